"""Series that are made when asked for, such as thresholds, beside those that senders push: one reader for PromQL."""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.series.labels import NAME, Strings
from collector.series.read import Latest, Matcher, MatchOp, Milliseconds, Samples, Selection, SeriesReader

MAX_ROUTED = 4096  # selections remembered; more than any set of rules has selectors


@dataclass(frozen=True, slots=True)
class _Routed:
    reader: SeriesReader
    selection: Selection


class RoutingReader:
    """Asks the reader of `made` whose metric name a selector gives in full, and the `pushed` one for all else.

    Senders cannot push series of those names, so nothing is hidden from a selector that names its metric.
    """

    def __init__(self, pushed: SeriesReader, made: Mapping[str, SeriesReader]) -> None:
        self._pushed = pushed
        self._made = dict(made)
        self._routed: dict[tuple[Matcher, ...], Selection] = {}

    @property
    def strings(self) -> Strings:
        return self._pushed.strings

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        reader = self._reader_for(matchers)
        inner = reader.select(matchers, start, end)
        known = self._routed.get(matchers)
        if known is not None and isinstance(known.handle, _Routed) and known.handle.selection is inner:
            return known
        if len(self._routed) >= MAX_ROUTED:
            self._routed.clear()
        routed = self._routed[matchers] = Selection(inner.labels, _Routed(reader, inner))
        return routed

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        routed = _routed(selection)
        return routed.reader.latest(routed.selection, at, lookback)

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        routed = _routed(selection)
        return routed.reader.samples(routed.selection, start, end)

    def _reader_for(self, matchers: tuple[Matcher, ...]) -> SeriesReader:
        for matcher in matchers:
            if matcher.label == NAME and matcher.op is MatchOp.EQUAL:
                return self._made.get(matcher.value, self._pushed)
        return self._pushed


def _routed(selection: Selection) -> _Routed:
    if not isinstance(selection.handle, _Routed):
        raise TypeError("this selection was made by another reader")
    return selection.handle
