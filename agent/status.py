"""What the running agent says about itself in `status.json`, for `quarkpulse-agent status` to read."""

import contextlib
import os
import threading
from pathlib import Path

from agent import VERSION
from agent.delivery import Delivery
from agent.files import replace_whole
from agent.measuring import Measuring
from agent.spool import Spool
from agent.state import encode

MAX_REASON_CHARS = 300


class StatusFile:
    """Replaced whole at each frame and after each push. All times are Unix seconds by this machine's own clock."""

    def __init__(self, path: Path, started_at: float) -> None:
        self._path = path
        self._started_at = started_at
        self._frame_at: float | None = None
        self._lock = threading.Lock()  # the main thread writes, and the sender

    def frame_made(self, at: float) -> None:
        self._frame_at = at

    def write(self, push_interval_seconds: float, delivery: Delivery, spool: Spool, measuring: Measuring) -> None:
        """A disk that takes nothing does not stop the agent."""
        with self._lock, contextlib.suppress(OSError):
            content = self._describe(push_interval_seconds, delivery, spool, measuring)
            replace_whole(self._path, encode(content, indent=None))

    def _describe(
        self, push_interval_seconds: float, delivery: Delivery, spool: Spool, measuring: Measuring
    ) -> dict[str, object]:
        attempt = delivery.last_attempt
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "started_at": round(self._started_at, 3),
            "frame_at": None if self._frame_at is None else round(self._frame_at, 3),
            "push_interval_seconds": push_interval_seconds,
            "push": None if attempt is None else attempt._asdict(),
            "acked_at": delivery.acked_at,
            "spool": {
                "records": len(spool),
                "bytes": spool.bytes,
                "dropped": spool.dropped,
                "set_aside": spool.set_aside_total,
            },
            "probes": [
                {
                    "name": one.name,
                    "errors": one.errors,
                    "trouble": one.trouble[:MAX_REASON_CHARS],
                    "is_lacking": one.is_lacking,
                }
                for one in measuring.schedules
            ],
            "shed": list(measuring.shed),
        }
