"""An agent that does not wait: `python -P bench/_day_agent.py STATE`, for `bench._day`.

Runner, probes with their children, spool and sender are the agent's own. Only its clocks leap: where the main thread
waits for the next frame, what was begun comes to its end first, and then it is that late already. After the first frame
and after each hour of this time it says so on stdout, and stands still until it is told to go on on stdin.
"""

import os
import sys
import threading
import time
from pathlib import Path

from agent.clock import Times, read_boot_seconds
from agent.runner import RunOptions, run
from agent.state import StateFolder
from agent.wakeup import Wakeup

HOUR_SECONDS = 3600.0
LOOK_SECONDS = 0.005  # between two looks at whether anything is still being done


class LeapingWakeup(Wakeup):
    """Leaps over what the agent would sleep."""

    def __init__(self, spool: Path) -> None:
        super().__init__()
        self._spool = spool
        self._leapt_seconds = 0.0
        self._hour_ends = 0.0  # by the leaping boot clock

    def times(self) -> Times:
        return Times(
            boot=self._boot,
            monotonic=lambda: time.monotonic() + self._leapt_seconds,
            wall=lambda: time.time() + self._leapt_seconds,
        )

    def wait(self, seconds: float) -> bool:
        until = self._boot() + seconds
        while self._is_busy():
            if not super().wait(LOOK_SECONDS):
                return False
        if until >= self._hour_ends and self._spool.exists():
            self._hour_ends = (self._hour_ends or self._boot()) + HOUR_SECONDS
            self._stand_still()
        self._leapt_seconds += max(0.0, until - self._boot())
        return super().wait(0)

    def _boot(self) -> float:
        return read_boot_seconds() + self._leapt_seconds

    def _is_busy(self) -> bool:
        """Whether a probe is read or a record waits for its acknowledgement. It has no spool before its first frame."""
        if not self._spool.exists():
            return False
        if any(thread.name in ("probes", "background") for thread in threading.enumerate()):
            return True
        with os.scandir(self._spool) as entries:
            return any(entry.name.endswith(".json.gz") for entry in entries)

    def _stand_still(self) -> None:
        sys.stdout.write("an hour\n")
        sys.stdout.flush()
        if not sys.stdin.readline():  # who measures is gone
            self.stop(is_shutdown=False)


def main(state: Path) -> int:
    wakeup = LeapingWakeup(StateFolder(state).spool_path)
    return run(RunOptions(state), wakeup=wakeup, times=wakeup.times())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
