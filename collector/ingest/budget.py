"""How much one device may make the collector remember: new series, and the text of their labels."""

from dataclasses import dataclass

from collector.series.catalog import Labels
from protocol import wire

HOUR_MS = 3_600_000
SERIES_OVERHEAD_BYTES = 300  # roughly, of the objects that a definition is made of
LABEL_OVERHEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class LayoutLimits:
    """What layouts may cost. A device whose disks or interfaces change a few times an hour stays far below, and so does
    one whose whole layout changes with an upgrade."""

    text_bytes_per_series: int = 4_096  # name and labels
    text_bytes_per_layout: int = 2 << 20
    layouts_per_sender: int = 2 * wire.MAX_LAYOUTS_PER_PUSH
    kept_bytes_per_sender: int = 32 << 20  # memory for the definitions of all its layouts, roughly
    layouts_per_device: int = 8  # a series that none of them has is new
    new_series_at_once: int = 10_000
    new_series_per_hour: int = 1_000
    new_text_bytes_at_once: int = 8 << 20
    new_text_bytes_per_hour: int = 1 << 20


@dataclass(slots=True)
class Allowance:
    """Fills evenly up to `most`, and is spent."""

    most: int
    per_hour: int
    left: float
    at_ms: int

    def fill(self, now_ms: int) -> None:
        self.left = min(self.most, self.left + max(0, now_ms - self.at_ms) * self.per_hour / HOUR_MS)
        self.at_ms = now_ms

    def wait_ms(self, amount: int) -> int:
        """How long until `amount` may be spent; 0: now."""
        return max(0, int((amount - self.left) * HOUR_MS / self.per_hour))


class DeviceBudget:
    """What one device may still add."""

    __slots__ = ("_limits", "_series", "_text")

    def __init__(self, limits: LayoutLimits, now_ms: int) -> None:
        self._limits = limits
        self._series = Allowance(
            limits.new_series_at_once, limits.new_series_per_hour, limits.new_series_at_once, now_ms
        )
        self._text = Allowance(
            limits.new_text_bytes_at_once, limits.new_text_bytes_per_hour, limits.new_text_bytes_at_once, now_ms
        )

    def spend(self, series: int, text_bytes: int, now_ms: int) -> tuple[str, int] | None:
        """Take it from the budget. None if that went well; else nothing is taken, and why and when to ask again."""
        self._series.fill(now_ms)
        self._text.fill(now_ms)
        limits = self._limits
        if wait := self._series.wait_ms(series):
            reason = (
                f"too many new series: {series} in this layout; a device may add {limits.new_series_at_once} at once "
                f"and {limits.new_series_per_hour} an hour"
            )
            return reason, now_ms + wait
        if wait := self._text.wait_ms(text_bytes):
            reason = (
                f"too much new label text: {text_bytes} bytes in this layout; a device may add "
                f"{limits.new_text_bytes_at_once} at once and {limits.new_text_bytes_per_hour} an hour"
            )
            return reason, now_ms + wait
        self._series.left -= series
        self._text.left -= text_bytes
        return None


def text_bytes(name: str, labels: Labels) -> int:
    """The length of a series' name and labels, in UTF-8."""
    return len(name.encode()) + sum(len(label) + len(value.encode()) for label, value in labels)
