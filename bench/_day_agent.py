"""An agent that does not wait: `python -P bench/_day_agent.py STATE`, for `bench._day`.

Runner, probes with their children, spool and sender are the agent's own. Only its clocks leap: where the main thread
waits for the next frame, what was begun comes to its end first, and then it is that late already. After the first frame
and after each hour's last one it says so on stdout, and stands still until it is told to go on on stdin.
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

FRAMES_PER_HOUR = 60
LOOK_SECONDS = 0.005  # between two looks at whether anything is still being done


class LeapingWakeup(Wakeup):
    """Leaps over what the agent would sleep."""

    def __init__(self, spool: Path) -> None:
        super().__init__()
        self._spool = spool
        self._leapt_seconds = 0.0
        self._frames = 1  # made, once there is a spool
        self._looked_at = 0  # so many frames

    def times(self) -> Times:
        return Times(
            boot=self._boot,
            awake=lambda: time.monotonic() + self._leapt_seconds,
            wall=lambda: time.time() + self._leapt_seconds,
        )

    def wait(self, seconds: float) -> bool:
        until = self._boot() + seconds
        while self._is_busy():
            if not super().wait(LOOK_SECONDS):
                return False
        if self._is_time_to_look():
            self._stand_still()
        self._leapt_seconds += max(0.0, until - self._boot())
        is_undisturbed = super().wait(0)
        self._frames += is_undisturbed and self._spool.exists()
        return is_undisturbed

    def _is_time_to_look(self) -> bool:
        """Once after each of those frames, however often the agent waits for the next one."""
        if not self._spool.exists() or self._frames == self._looked_at:
            return False
        self._looked_at = self._frames
        return self._frames == 1 or self._frames % FRAMES_PER_HOUR == 0

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
