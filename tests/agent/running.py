"""What tests of a real `quarkpulse-agent run`, and of its threads, say of it."""

import signal
import subprocess
import threading
import time
from pathlib import Path

from protocol import models


def told(event: models.Event) -> dict[str, object]:
    return {"type": event.type, **(event.model_extra or {})}


def stop(agent: "subprocess.Popen[str]") -> int:
    agent.send_signal(signal.SIGTERM)
    return agent.wait(60)


def await_threads(count: int, *, before: set[threading.Thread]) -> None:
    """Until so many run that did not before: one that has done its work ends a moment later."""
    deadline = time.monotonic() + 60
    while len(set(threading.enumerate()) - before) != count:
        assert time.monotonic() < deadline, threading.enumerate()


def times(push: models.Push) -> set[int]:
    return {frame.t for frame in push.frames} | {event.t for event in push.events}


def spooled(state: Path) -> set[str]:
    return {path.name for path in (state / "spool").glob("*.json.gz")}
