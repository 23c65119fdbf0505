"""Rules' windows that reach further back than the head: `[1d]`, `[1w]`, `offset 1d`.

History is read once for each selector, and from then on only what it lacks: its samples stay in memory as a slab that
ends an hour ago, and the head adds the last hour each time. So a result is the same as if all of it were read from
history, and an evaluation does not touch the disk.

- The slab moves on when it ends too long ago: what has come since is read from history, what no window reaches any more
  is let go.
- A selector far in the past (`offset 1d`) has a slab of its own that reaches an hour beyond what is asked, and moves on
  when that hour is over.
- Samples up to 55 minutes late are in the head. The devices of later ones are read from history again at the next
  evaluation, or a little after, as long as that takes no more than a tenth of the time.
- After a start, a reload, or two hours without a question, a slab is made anew by the first evaluation that needs it.
- All slabs together hold `max_samples`. A rule that would need more fails, and says so.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.clock import Clock, to_milliseconds
from collector.series.history.reader import SampleHistory
from collector.series.keeping import MAX_WINDOW_MS, SLACK_MS
from collector.series.labels import Indexes, Strings
from collector.series.late import LateFrames, Stretch
from collector.series.read import Latest, Matcher, Milliseconds, Samples, Selection, SeriesReader, latest_of
from collector.series.slab import BYTES_PER_SAMPLE, Slab
from protocol.errors import PermanentError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RECENT_MS = HOUR_MS  # what is younger comes from the head, each time
TAIL_MS = 100 * 60_000  # so much may come from the head before the slab moves on; the head holds two hours
AHEAD_MS = HOUR_MS  # how far a slab in the past reaches beyond what is asked
BACK_MS = HOUR_MS  # and how much further back: a subquery's first step lies now here, now there
UNUSED_MS = 130 * 60_000  # after so long without a question a slab goes
UNUSED_WHERE_NEEDED_MS = 15 * 60_000  # or after so long, where another one needs its room
DEFAULT_MAX_SAMPLES = (512 << 20) // BYTES_PER_SAMPLE
PAUSE_PER_SECOND = 9.0  # of reading late samples, before they are read again


class LongWindowError(PermanentError):
    """The rules' long windows need more memory than they may have."""


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """What a selection reads: a slab, and the series of the head that go on where it ends, with their rows in it."""

    slab: Slab
    recent: Selection | None = None
    rows: Indexes = field(default_factory=lambda: np.empty(0, dtype=np.intp))


@dataclass(slots=True, eq=False)
class _Held:
    """A selection's handle. Its content moves on; its series stay what they are."""

    content: _Content


@dataclass(slots=True, eq=False)
class _View:
    """What is remembered for one selector."""

    selection: Selection
    held: _Held
    late_number: int  # of the newest late arrival that is in it
    used_at: Milliseconds
    deepest: tuple[Milliseconds, Milliseconds]  # how far back was asked, and when
    read_late_at: float = -math.inf  # not before, on the monotonic clock

    @property
    def slab(self) -> Slab:
        return self.held.content.slab


@dataclass(slots=True)
class LongWindowCounters:
    history_reads: int = 0  # a day's worth, or less, of one selector
    late_devices: int = 0  # read again


class LongWindowReader:
    """The head for what it holds, slabs for what reaches further back. For threads that may wait for the disk."""

    def __init__(
        self,
        head: SeriesReader,
        spanning: SeriesReader,
        history: SampleHistory,
        late: LateFrames,
        clock: Clock,
        *,
        max_samples: int = DEFAULT_MAX_SAMPLES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spanning` reads the head where that is complete, and history where it is not."""
        self.counters = LongWindowCounters()
        self._head = head
        self._spanning = spanning
        self._history = history
        self._late = late
        self._clock = clock
        self._max_samples = max_samples
        self._monotonic = monotonic
        self._lock = threading.Lock()  # of the views; one selector at a time is read
        self._views: dict[tuple[Matcher, ...], list[_View]] = {}

    @property
    def strings(self) -> Strings:
        return self._head.strings

    @property
    def samples_held(self) -> int:
        """In all slabs, BYTES_PER_SAMPLE each."""
        return sum(len(view.slab) for views in list(self._views.values()) for view in views)

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        """The series that match and may have samples in (start, end]. Raises LongWindowError and what history does."""
        now = to_milliseconds(self._clock())
        if start >= now - MAX_WINDOW_MS - SLACK_MS:
            return self._head.select(matchers, start, end)
        with self._lock:
            self._forget(now - UNUSED_MS)
            view = self._view(matchers, start, end, now)
            view.used_at = now
            age = now - start
            if age >= view.deepest[1] or now - view.deepest[0] > UNUSED_MS:
                view.deepest = now, age
            self._move_on(matchers, view, end, now)
            self._read_late(matchers, view)
            self._add_recent(matchers, view, end)
            return view.selection

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        if isinstance(selection.handle, _Held):
            return latest_of(self.samples(selection, at - lookback, at))
        return self._head.latest(selection, at, lookback)

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        if not isinstance(selection.handle, _Held):
            return self._head.samples(selection, start, end)
        content = selection.handle.content
        slab = content.slab
        newer = None
        if content.recent is not None and end > slab.until:
            newer = self._spanning.samples(content.recent, max(start, slab.until), end)
        return slab.window(start, end, newer, content.rows)

    # With the lock held

    def _view(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds, now: Milliseconds) -> _View:
        """One that has what is asked, or can move on to it; a new one where there is none."""
        views = self._views.get(matchers, ())
        able = [view for view in views if view.slab.start <= start <= view.slab.until]
        if able:
            return min(able, key=lambda view: (not _reaches(view.slab, end, now), view.slab.start))
        late_number = self._late.number
        slab = Slab.empty(start - BACK_MS, start - BACK_MS)
        slab = self._read_on(matchers, slab, _goal(end, now), now)
        held = _Held(_Content(slab))
        view = _View(Selection(slab.labels, held), held, late_number, now, (now, now - start))
        self._views.setdefault(matchers, []).append(view)
        return view

    def _move_on(self, matchers: tuple[Matcher, ...], view: _View, end: Milliseconds, now: Milliseconds) -> None:
        """Have the slab end late enough for `end`, and begin where it is needed from."""
        if _reaches(view.slab, end, now):
            return
        slab = self._read_on(matchers, view.slab, _goal(end, now), now)
        slab = slab.since(now - view.deepest[1] - BACK_MS)
        counts = slab.counts
        if not counts.all():
            recent = view.held.content.recent
            is_needed = counts > 0
            if recent is not None:
                rows = recent.labels.places_among(slab.labels)
                is_needed[rows[rows >= 0]] = True
            if not is_needed.all():
                slab = slab.only(np.flatnonzero(is_needed))
        self._put(view, _Content(slab))

    def _read_late(self, matchers: tuple[Matcher, ...], view: _View) -> None:
        """Read the devices again whose samples came too late to be in the slab."""
        number = self._late.number
        if number == view.late_number or self._monotonic() < view.read_late_at:
            return
        slab = view.slab
        stretches = self._late.since(view.late_number)
        began = self._monotonic()
        if stretches is None:
            slab = self._read_on(matchers, Slab.empty(slab.start, slab.start), slab.until, view.used_at, replacing=slab)
        elif devices := _within(stretches, slab):
            codes = [code for device in devices if (code := self.strings.find(device)) is not None]
            kept = slab.without_samples_of(np.isin(slab.labels.column("device_id"), codes))
            again = Slab.empty(slab.start, slab.start)
            for part in self._parts(matchers, slab.start, slab.until, devices=codes):
                self._make_room(len(kept) + len(again) + len(part), view.used_at, replacing=slab)
                again = again.joined(part)
            slab = kept.joined(again)
            self.counters.late_devices += len(devices)
        if slab is not view.slab:
            view.read_late_at = self._monotonic() + PAUSE_PER_SECOND * (self._monotonic() - began)
            self._put(view, _Content(slab))
        view.late_number = number

    def _add_recent(self, matchers: tuple[Matcher, ...], view: _View, end: Milliseconds) -> None:
        """See which series of the head go on where the slab ends."""
        content = view.held.content
        slab = content.slab
        if end <= slab.until:
            return
        recent = self._spanning.select(matchers, slab.until, end)
        if recent is content.recent:
            return
        rows = recent.labels.places_among(slab.labels)
        new = np.flatnonzero(rows < 0)
        if len(new):
            rows[new] = slab.labels.length + np.arange(len(new))
            slab = slab.with_series(recent.labels.take(new))
        self._put(view, _Content(slab, recent, rows))

    def _put(self, view: _View, content: _Content) -> None:
        """Go on with other content. While the series are the same, so is the selection."""
        if content.slab.labels is view.selection.labels:
            view.held.content = content
            return
        view.held = _Held(content)
        view.selection = Selection(content.slab.labels, view.held)

    # History

    def _read_on(
        self,
        matchers: tuple[Matcher, ...],
        slab: Slab,
        until: Milliseconds,
        now: Milliseconds,
        replacing: Slab | None = None,
    ) -> Slab:
        """The slab with what comes after it, up to `until`."""
        before = slab if replacing is None else replacing
        for part in self._parts(matchers, slab.until, until):
            self._make_room(len(slab) + len(part), now, replacing=before)
            slab = slab.joined(part)
        return slab

    def _parts(
        self, matchers: tuple[Matcher, ...], start: Milliseconds, until: Milliseconds, devices: list[int] | None = None
    ) -> Iterator[Slab]:
        """What history holds in (start, until], day by day; of some devices alone if so asked."""
        for begin in range(start, until, DAY_MS):
            end = min(begin + DAY_MS, until)
            rows = self._history.select(matchers, begin, end)
            labels = self._history.labels(rows)
            if devices is not None:
                wanted = np.flatnonzero(np.isin(labels.column("device_id"), devices))
                rows, labels = rows[wanted], labels.take(wanted)
            self.counters.history_reads += 1
            yield Slab.of(labels, self._history.samples(rows, begin, end), begin, end)

    def _make_room(self, samples: int, now: Milliseconds, *, replacing: Slab) -> None:
        """Raises LongWindowError if there is no room for so many samples in place of those of a slab."""
        if self.samples_held - len(replacing) + samples > self._max_samples:
            self._forget(now - UNUSED_WHERE_NEEDED_MS)
        if self.samples_held - len(replacing) + samples > self._max_samples:
            raise LongWindowError(
                f"the rules' windows beyond 2 hours need more than {self._max_samples * BYTES_PER_SAMPLE >> 20} MiB: "
                "select fewer series, take shorter windows, or raise long_window_bytes"
            )

    def _forget(self, before: Milliseconds) -> None:
        """Let go of what nobody has asked for since `before`."""
        for matchers, views in list(self._views.items()):
            for view in [view for view in views if view.used_at < before]:
                views.remove(view)
                view.held.content = _Content(view.slab.emptied())
            if not views:
                del self._views[matchers]


def slab_ms(newest: Milliseconds, oldest: Milliseconds) -> Milliseconds:
    """How long a stretch a slab holds for questions between two ages, as it stands when it has moved on."""
    return oldest + BACK_MS - max(RECENT_MS, newest - AHEAD_MS)


def _goal(end: Milliseconds, now: Milliseconds) -> Milliseconds:
    """Where a slab ends that is read for a question up to `end`."""
    return min(end + AHEAD_MS, now - RECENT_MS)


def _reaches(slab: Slab, end: Milliseconds, now: Milliseconds) -> bool:
    """Whether a slab, with the head behind it, has what there is up to `end`."""
    return end <= slab.until or slab.until >= now - TAIL_MS


def _within(stretches: Mapping[str, Stretch], slab: Slab) -> list[str]:
    """The devices whose late samples a slab should have."""
    return [
        device for device, stretch in stretches.items() if stretch.last > slab.start and stretch.first <= slab.until
    ]
