"""How far back the head keeps samples, and how much it may hold: what the rules read decides."""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.series.read import Milliseconds

Windows = Mapping[str | None, float]  # metric name to the seconds of history that rules read; None: all other names

MAX_WINDOW_MS = 2 * 3600 * 1000
SLACK_MS = 120_000  # an evaluation may stand so far behind the newest sample and still see its whole window


@dataclass(frozen=True, slots=True)
class HeadLimits:
    lookback_ms: Milliseconds = 300_000  # Prometheus's default
    silent_ms: Milliseconds = 2 * 3600 * 1000  # series without a sample for so long are freed
    expected_interval_ms: Milliseconds = 60_000  # rings of new series are made for this push interval
    max_series: int = 5_000_000
    max_series_per_stream: int = 2_000
    max_ahead_frames_per_stream: int = 240


def keep_ms(window_seconds: float, lookback_ms: Milliseconds) -> Milliseconds:
    """How far back samples are kept that rules read so far back, infinity included; 0: only the newest."""
    if window_seconds <= 0:
        return 0
    return max(int(min(MAX_WINDOW_MS, window_seconds * 1000)), lookback_ms) + SLACK_MS


def head_seconds(newest_seconds: float, oldest_seconds: float) -> float:
    """How far back the head must keep what rules read between two ages: nothing where it is too old for the head."""
    return 0.0 if newest_seconds * 1000 >= MAX_WINDOW_MS + SLACK_MS else oldest_seconds


def keep_of(name: str | None, windows: Windows, lookback_ms: Milliseconds) -> Milliseconds:
    """How far back a metric's samples are kept; 0: only the newest."""
    return keep_ms(windows.get(name, windows.get(None, 0.0)), lookback_ms)


def is_deeper(windows: Windows, before: Windows, lookback_ms: Milliseconds) -> bool:
    """Whether `windows` asks for more than is kept for `before`."""
    names = {None, *windows, *before}
    return any(keep_of(name, windows, lookback_ms) > keep_of(name, before, lookback_ms) for name in names)
