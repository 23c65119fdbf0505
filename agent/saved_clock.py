"""How far this machine's own clock is off, kept from one run to the next: for a start without the collector."""

import contextlib

from agent.clock import AgentClock
from agent.files import write_atomically
from agent.state import StateFolder, encode

SAVED_FROM_SECONDS = 0.5  # a correction that moved by less is not worth writing down
MAX_CORRECTION_SECONDS = 3_200_000_000  # a century: a clock without a battery begins in 1970


class SavedCorrection:
    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self.seconds = parse_correction(folder.load_optional(folder.clock_path).get("correction_seconds"))

    def save(self, clock: AgentClock) -> None:
        """A disk that takes nothing is no fault: the collector tells again at the next start."""
        seconds = clock.correction_seconds()
        if abs(seconds - self.seconds) < SAVED_FROM_SECONDS:
            return
        with contextlib.suppress(OSError):
            write_atomically(self._folder.clock_path, encode({"correction_seconds": round(seconds, 3)}))
            self.seconds = seconds


def parse_correction(found: object) -> float:
    """Seconds, of what the last session kept; 0 if that is none."""
    if isinstance(found, int | float) and abs(found) <= MAX_CORRECTION_SECONDS:
        return float(found)
    return 0.0
