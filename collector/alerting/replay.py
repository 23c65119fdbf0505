"""Rules over the past: what they would have done, for all devices or for some of them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.alerting.ruleset import AlertRule, Group
from collector.alerting.timeline import Episode, Timeline
from collector.clock import EPOCH, to_milliseconds
from collector.promql import Engine
from collector.series.labels import Strings
from collector.series.read import Latest, Matcher, MatchOp, Milliseconds, Samples, Selection, SeriesReader

MAX_STEPS = 10_000  # at once
DAY_MS = 86_400_000  # history is read best a day (UTC) at a time
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class DevicesReader:
    """What a reader holds of some devices."""

    reader: SeriesReader
    devices: Collection[str]
    _of_devices: Matcher = field(init=False)

    def __post_init__(self) -> None:
        # Ids are made of letters, digits and dashes: nothing in them means anything to a regular expression.
        matcher = Matcher("device_id", MatchOp.REGEX, "|".join(sorted(self.devices)))
        object.__setattr__(self, "_of_devices", matcher)

    @property
    def strings(self) -> Strings:
        return self.reader.strings

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        return self.reader.select((*matchers, self._of_devices), start, end)

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        return self.reader.latest(selection, at, lookback)

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        return self.reader.samples(selection, start, end)


def episodes(
    rule: AlertRule, group: Group, engine: Engine, *, interval: timedelta, start: datetime, end: datetime
) -> Iterator[Episode]:
    """What `rule` does at the instants of its group from `start` to `end`, both included where they are instants: what
    ended, as it ends, and at last what goes on. Raises PromqlError."""
    timeline = Timeline(rule, interval)
    offset = group.query_offset // _MILLISECOND
    for first, last in stretches(start, end, interval):
        step = interval // _MILLISECOND
        matrix = engine.range(rule.plan, first - offset, last - offset, step, drop_conflicts=True)
        yield from timeline.advance(matrix.shifted(offset))
    yield from timeline.open()


def stretches(start: datetime, end: datetime, interval: timedelta) -> Iterator[tuple[Milliseconds, Milliseconds]]:
    """The first and last instant of each stretch that is evaluated at once: the multiples of `interval` from `start` to
    `end`, no more than a day at a time."""
    step = interval // _MILLISECOND
    at = to_milliseconds(EPOCH + -(-(start - EPOCH) // interval) * interval)
    while at <= to_milliseconds(end):
        until = min(to_milliseconds(end), (at // DAY_MS + 1) * DAY_MS - 1, at + (MAX_STEPS - 1) * step)
        last = until - (until - at) % step
        yield at, last
        at = last + step
