"""The head that stands now, as PromQL reads it."""

from collector.series.head import Head, Picked
from collector.series.labels import Strings
from collector.series.read import Latest, Matcher, Milliseconds, Samples, Selection


class HeadReader:
    """Reads the head that stands now; a selection keeps to the head that it was made of."""

    def __init__(self, head: Head) -> None:
        self.head = head

    @property
    def strings(self) -> Strings:
        return self.head.strings

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        """The series that match; the head holds the recent ones only, so `start` and `end` rule none out."""
        return self.head.select(matchers)

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        picked = _picked(selection)
        return picked.head.latest(picked, at, lookback)

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        picked = _picked(selection)
        return picked.head.samples(picked, start, end)


def _picked(selection: Selection) -> Picked:
    if not isinstance(selection.handle, Picked):
        raise TypeError("this selection was made by another reader")
    return selection.handle
