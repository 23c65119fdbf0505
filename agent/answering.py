"""What the agent asks of a process of its own, and how that answers: both ends.

A reader prints one JSON object: what it read, or one of the keys `unavailable` and `failed` (each a sentence).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence

from agent.children import MAX_OUTPUT_BYTES, Grouping, run_child
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import dig_text, parse_json
from agent.settings import SettingsError
from protocol.errors import QuarkpulseError

MAX_SENTENCE_CHARS = 1000


def ask(command: Sequence[str], source: str, *, timeout_seconds: float, max_bytes: int = MAX_OUTPUT_BYTES) -> object:
    """What the reader printed. `source` names it in messages. Raises ProbeUnavailable or ProbeFailed."""
    answer = run_child(command, timeout_seconds=timeout_seconds, max_bytes=max_bytes)
    if answer.exit_code != 0:
        raise ProbeFailed(f"{source} ended with exit code {answer.exit_code}")
    content = parse_json(answer.output, source)
    refuse_unread(content)
    return content


def refuse_unread(content: object) -> None:
    """Raises ProbeUnavailable or ProbeFailed where the reader could not read, in its words."""
    if unavailable := dig_text(content, "unavailable"):
        raise ProbeUnavailable(unavailable[:MAX_SENTENCE_CHARS])
    if failed := dig_text(content, "failed"):
        raise ProbeFailed(failed[:MAX_SENTENCE_CHARS])


def answer(read: Callable[[], Mapping[str, object]]) -> None:
    """In the reader's process: print what `read` gives, or why it gives nothing."""
    Grouping.own_session = False
    # What a probe, a program or a library prints must not get into the answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        json.dump(read_or_explain(read), out)


def read_or_explain(read: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    try:
        return read()
    except (ProbeUnavailable, SettingsError) as error:
        return {"unavailable": str(error)}
    except QuarkpulseError as error:
        return {"failed": str(error)}
    except Exception as error:  # noqa: BLE001 - told to the agent, which logs and counts it
        return {"failed": f"{type(error).__name__}: {error}"}
