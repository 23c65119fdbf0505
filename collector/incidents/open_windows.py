"""Which maintenance windows are open, without reading and unfolding all of them at each evaluation."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.recurrence import next_start
from collector.db.revisions import Topic, revision_of
from collector.incidents.windows import Window, list_windows

LOOKED_AHEAD = timedelta(days=365)  # `next_start` looks a little further
AT_ONCE = 20  # unfolded between two turns of the event loop, 0.2 ms each


@dataclass(frozen=True, slots=True)
class _Stretch:
    """In which a window stays as it is: from when it was looked at until it opens, ends, or opens anew."""

    is_open: bool
    until: datetime


@dataclass(slots=True)
class OpenWindows:
    """Keeps the windows that were not called off, and how long each stays open or shut. They are read again when one
    was changed, as the database tells, or a clock was set back. Not for a transaction that changes windows itself."""

    _kept: Sequence[tuple[Window, _Stretch]] = ()
    _revision: int | None = None
    _looked_at: datetime | None = None

    async def at(self, connection: AsyncConnection, at: datetime) -> Mapping[str, Sequence[Window]]:
        """Those that are open, by customer, in the order in which they were made."""
        revision = await revision_of(connection, Topic.WINDOWS)
        is_back = self._looked_at is None or at < self._looked_at
        known: Sequence[tuple[Window, _Stretch | None]] = self._kept
        if is_back or revision != self._revision:
            before = {} if is_back else dict(self._kept)
            known = [(one, before.get(one)) for one in await list_windows(connection, open_after=at)]
        kept: list[tuple[Window, _Stretch]] = []
        by_customer: dict[str, list[Window]] = {}
        unfolded = 0
        for window, seen in known:
            stretch = seen
            if stretch is None or stretch.until <= at:
                stretch = _stretch(window, at)
                unfolded += 1
                if unfolded % AT_ONCE == 0:
                    await asyncio.sleep(0)  # pushes come first
            kept.append((window, stretch))
            if stretch.is_open:
                by_customer.setdefault(window.scope.customer, []).append(window)
        self._kept, self._revision, self._looked_at = kept, revision, at
        return by_customer


def _stretch(window: Window, at: datetime) -> _Stretch:
    opened = window.open_at(at)
    opens = next_start(window.starts_local, window.recurrence, window.time_zone, at)
    changes = (opened and opened[1], opens, window.ended_at, at + LOOKED_AHEAD)
    return _Stretch(opened is not None, min(change for change in changes if change is not None and change > at))
