"""How long supplies last, as series: worked out from what printers tell, and stored like any other samples.

`turn` looks once a minute at the newest levels and page counters of all printers. It remembers at which moments a level
fell or rose by a step (`forecast`), and how many pages there were each day. Levels and counters only ever add up, so
what was missed in between, by the network or by the collector, is in the next reading.

A printer that is switched off at night, or whose reader is gone, is no fuller for it: what it told and what was
foretold stand for two weeks, and so do the alerts that hang on them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock, to_milliseconds
from collector.contracts import OfficeHours
from collector.db.text import one_line
from collector.fleet.devices import DeviceStatus
from collector.fleet.printers import forecast, supplies
from collector.fleet.printers.forecast import Point, observe, pages_of_a_cartridge, used_between
from collector.fleet.printers.pages import count
from collector.fleet.printers.supplies import PrinterDay, Supply
from collector.series.catalog import DeviceFrame, Layout, TemplateList, pack_values
from collector.series.labels import NAME, Target
from collector.series.read import Matcher, MatchOp, Selection, SeriesReader
from protocol.wire import Kind

FORESIGHT_SECONDS = 60.0
SAVE_EVERY = timedelta(minutes=15)  # what only counts on; the counter itself loses nothing
FORECAST_EVERY = timedelta(minutes=30)
SEEN_EVERY = timedelta(hours=6)
WORTH_SAVING_DAYS = 0.5
KNOWN_FOR = timedelta(days=14)
UNTOLD_FOR = timedelta(days=1)  # a level that is not told for so long, while the printer tells others, is not known
PAGES_OVER_DAYS = 28
MAX_FRAMES = 1_000  # in one append
MAX_SUPPLIES = 64  # of a printer
MAX_LABEL_CHARS = 128

LEVEL, EMPTY, PAGES = "printer_supply_level_ratio", "printer_supply_empty", "printer_pages_total"
REMAINING = "printer_supply_remaining_ratio"
DAYS_LEFT = "printer_supply_days_left"
PAGES_PER_DAY = "printer_pages_per_day"
MAINTENANCE = "printer_maintenance_days_left"
SUPPLY_LABELS = tuple(f"printer_supply_{name}" for name in ("index", "type", "color", "description"))

UNTOLD = ("", "other", "unknown")  # types and colours that say nothing

# For people and for checks of rules: each metric with its labels beside the reserved ones, and what it means.
METRICS: Mapping[str, tuple[tuple[str, ...], str]] = {
    REMAINING: (SUPPLY_LABELS, "What is left of a supply, as it was last told; waste boxes are none"),
    DAYS_LEFT: (SUPPLY_LABELS, "Days until a supply is told as empty, at the pace of the last weeks"),
    PAGES_PER_DAY: ((), "Pages a day, over the last four weeks"),
    MAINTENANCE: ((), "Days until the first part, such as a drum or fuser, is worn out"),
}


Names = tuple[tuple[str, Mapping[str, str]], ...]


class ForeseenPrinter(Protocol):
    """What is asked of a device of the directory."""

    @property
    def target(self) -> Target: ...

    @property
    def status(self) -> DeviceStatus: ...

    @property
    def hours(self) -> OfficeHours: ...


class SampleSink(Protocol):
    """The part of the sample store that is needed."""

    def series(self, series: Sequence[tuple[str, Mapping[str, str]]]) -> TemplateList: ...

    def layout(self, target: Target, series: TemplateList, stream: str = "") -> Layout: ...

    async def append(self, frames: Sequence[DeviceFrame]) -> None: ...


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(frozen=True, slots=True, order=True)
class SupplyName:
    """The values of SUPPLY_LABELS."""

    index: str
    type: str
    color: str
    description: str


@dataclass(slots=True)
class _Known:
    """What is remembered of a printer."""

    supplies: dict[str, Supply] = field(default_factory=dict)  # by index
    untold_since: dict[str, datetime] = field(default_factory=dict)  # by index: its level, while others were told
    days: dict[date, PrinterDay] = field(default_factory=dict)  # the last of them
    forecast_at: datetime | None = None
    saved_at: datetime | None = None
    stored: dict[str, Supply] = field(default_factory=dict)  # as the database has them
    stored_days: dict[date, PrinterDay] = field(default_factory=dict)
    names: Names = ()
    series: TemplateList | None = None

    @property
    def newest_day(self) -> PrinterDay | None:
        return self.days[max(self.days)] if self.days else None

    def unsaved_supplies(self) -> list[Supply]:
        return [one for index, one in self.supplies.items() if _is_news(self.stored.get(index), one)]

    def unsaved_days(self, now: datetime, *, at_once: bool) -> list[PrinterDay]:
        """At once, or every SAVE_EVERY."""
        if not at_once and self.saved_at is not None and now - self.saved_at < SAVE_EVERY:
            return []
        return [one for day, one in self.days.items() if self.stored_days.get(day) is not one]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a printer tells now."""

    levels: dict[SupplyName, float] = field(default_factory=dict)
    empty: dict[SupplyName, float] = field(default_factory=dict)
    pages: float | None = None


@dataclass(slots=True)
class Foresight:
    store: SampleSink
    reader: SeriesReader
    database: Transactions
    members: Callable[[], Mapping[str, ForeseenPrinter]]
    clock: Clock
    lookback: timedelta
    _known: dict[str, _Known] | None = None
    _written: set[str] = field(default_factory=set)  # printers that have series
    _labels: dict[str, tuple[Selection, list[tuple[str, SupplyName]]]] = field(default_factory=dict)

    async def turn(self) -> None:
        """Raises what store and database raise; the next turn makes up for it."""
        now, members = self.clock(), self.members()
        printers = {
            device: one
            for device, one in members.items()
            if one.target.kind == Kind.PRINTER and one.status is not DeviceStatus.ENDED
        }
        if self._known is None:
            self._known = await self._load(now)
        told = self._read(now)
        news: list[tuple[_Known, list[Supply], list[PrinterDay]]] = []
        for device, member in printers.items():
            if device not in told and device not in self._known:
                continue
            known = self._known.setdefault(device, _Known())
            has_changed = device in told and _take(known, device, told[device], now, member.hours.zone)
            if has_changed or known.forecast_at is None or now - known.forecast_at >= FORECAST_EVERY:
                _foretell(known, now)
            changed, days = known.unsaved_supplies(), known.unsaved_days(now, at_once=has_changed)
            if changed or days:
                news.append((known, changed, days))
        if news:
            await self._save(news, now)
        await self._write(printers, now)

    async def _save(self, news: Sequence[tuple[_Known, Sequence[Supply], Sequence[PrinterDay]]], now: datetime) -> None:
        async with self.database.begin() as connection:
            await supplies.save_supplies(connection, [one for _, changed, _ in news for one in changed])
            await supplies.save_days(connection, [one for *_, days in news for one in days])
        for known, changed, days in news:
            known.saved_at = now if days else known.saved_at
            known.stored |= {one.index: one for one in changed}
            known.stored_days = known.days | {one.day: one for one in days} if days else known.stored_days

    async def _load(self, now: datetime) -> dict[str, _Known]:
        found: dict[str, _Known] = {}
        async with self.database.begin() as connection:
            for supply in await supplies.load_supplies(connection):
                known = found.setdefault(supply.device, _Known())
                known.supplies[supply.index] = known.stored[supply.index] = supply
            first = now.date() - timedelta(days=PAGES_OVER_DAYS + 1)
            for day in await supplies.load_days(connection, first, now.date() + timedelta(days=1)):
                known = found.setdefault(day.device, _Known())
                known.days[day.day] = known.stored_days[day.day] = day
        return found

    def _read(self, now: datetime) -> dict[str, _Told]:
        """By device, what printers told within the lookback."""
        at, lookback = to_milliseconds(now), self.lookback // timedelta(milliseconds=1)
        found: dict[str, _Told] = {}
        for metric in (LEVEL, EMPTY, PAGES):
            matchers = (Matcher(NAME, MatchOp.EQUAL, metric), Matcher("kind", MatchOp.EQUAL, Kind.PRINTER))
            selection = self.reader.select(matchers, at - lookback, at)
            latest = self.reader.latest(selection, at, lookback)
            for (device, name), value, is_there in zip(
                self._labels_of(metric, selection), latest.values.tolist(), latest.present.tolist(), strict=True
            ):
                if not is_there:
                    continue
                told = found.setdefault(device, _Told())
                if metric == PAGES:
                    found[device] = replace(told, pages=value)
                else:
                    values = told.levels if metric == LEVEL else told.empty
                    if len(values) < MAX_SUPPLIES:
                        values[name] = value
        return found

    def _labels_of(self, metric: str, selection: Selection) -> list[tuple[str, SupplyName]]:
        """For each series its device and its supply, if it is of one."""
        known = self._labels.get(metric)
        if known is None or known[0] is not selection:
            text = self.reader.strings.text
            columns = [selection.labels.column(name).tolist() for name in ("device_id", *SUPPLY_LABELS)]
            rows = []
            for device, *codes in zip(*columns, strict=True):
                index, kind, color, description = (_label(text(code)) for code in codes)
                rows.append((text(device), SupplyName(index, kind, color, description)))
            known = self._labels[metric] = (selection, rows)
        return known[1]

    async def _write(self, printers: Mapping[str, ForeseenPrinter], now: datetime) -> None:
        t = to_milliseconds(now)
        frames = []
        written = set()
        for device, member in printers.items():
            known = (self._known or {}).get(device)
            names, values = ((), ()) if known is None else _series_of(known, now)
            if known is None or (not names and device not in self._written):
                continue
            if known.series is None or known.names != names:
                known.names, known.series = names, self.store.series(names)
            if names:
                written.add(device)
            layout = self.store.layout(member.target, known.series, "foresight")
            frames.append(DeviceFrame(layout, t, t, pack_values(values)))
        nothing = self.store.series([])
        for device in self._written - printers.keys():
            gone = self.members().get(device)
            if gone is not None:
                frames.append(DeviceFrame(self.store.layout(gone.target, nothing, "foresight"), t, t, pack_values(())))
        for start in range(0, len(frames), MAX_FRAMES):
            await self.store.append(frames[start : start + MAX_FRAMES])
        self._written = written


def _label(text: str) -> str:
    return one_line(text)[:MAX_LABEL_CHARS]


def _take(known: _Known, device: str, told: _Told, now: datetime, zone: tzinfo) -> bool:
    """Takes in what a printer tells; says whether a level made a step, or a day began."""
    stamp, local = now.timestamp(), now.astimezone(zone)
    has_changed = False
    day = known.newest_day
    if day is None or day.day < local.date():
        day = PrinterDay(device, local.date(), None if day is None else day.counter)
        has_changed = True
    if told.pages is not None:
        counter, pages = count(day.counter, told.pages, stamp)
        if day.counter is None or counter.value != day.counter.value:
            day = replace(day, counter=counter, pages=day.pages + pages)
    for labels in sorted({*told.levels, *told.empty}):
        was = _of_labels(known.supplies.get(labels.index), device, labels)
        has_changed = has_changed or was is not known.supplies.get(labels.index)
        level, is_empty = told.levels.get(labels), told.empty.get(labels) == 1
        points = was.points if level is None else observe(was.points, Point(stamp, level, told.pages))
        if points is not was.points:
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
            day = replace(day, used={**day.used, labels.index: used_between(points, midnight, stamp + 1)})
        has_changed = has_changed or points is not was.points or is_empty is not was.is_empty
        known.supplies[labels.index] = replace(
            was,
            description=labels.description,
            level_ratio=was.level_ratio if level is None else level,
            is_empty=is_empty,
            points=points,
            seen_at=now,
        )
    has_changed = _forget_untold(known, told, now) or has_changed
    if known.days.get(day.day) is not day:
        known.days[day.day] = day
        for old in sorted(known.days)[: -PAGES_OVER_DAYS - 2]:
            del known.days[old]
    return has_changed


def _of_labels(was: Supply | None, device: str, labels: SupplyName) -> Supply:
    """What is known of it, or a new one if it is of another type or colour now. One that is not told for a moment, as
    by an incomplete answer, is no other."""
    if was is None or _differs(was.type, labels.type) or _differs(was.color, labels.color):
        return Supply(device, labels.index, labels.type, labels.color, labels.description)
    kind = was.type if labels.type in UNTOLD else labels.type
    color = labels.color or was.color
    return was if (kind, color) == (was.type, was.color) else replace(was, type=kind, color=color)


def _differs(one: str, other: str) -> bool:
    return one != other and one not in UNTOLD and other not in UNTOLD


def _forget_untold(known: _Known, told: _Told, now: datetime) -> bool:
    """Levels that are told no more while the printer tells of other things in it: another maker's cartridge, of which
    it knows only that there is some. Says whether one was forgotten."""
    if not told.levels and not told.empty:
        return False
    levels = {labels.index for labels in told.levels}
    has_forgotten = False
    for index, was in known.supplies.items():
        if index in levels or was.level_ratio is None:
            known.untold_since.pop(index, None)
        elif now - known.untold_since.setdefault(index, now) >= UNTOLD_FOR:
            known.supplies[index] = replace(
                was, level_ratio=None, points=(), days_left=None, used_per_day=None, changed_at=now
            )
            has_forgotten = True
    return has_forgotten


def _foretell(known: _Known, now: datetime) -> None:
    """Works out how long each supply lasts."""
    for index, was in known.supplies.items():
        foreseen = None if was.is_waste else forecast.forecast(was.points, now.timestamp())
        changed = forecast.last_change(was.points)
        known.supplies[index] = replace(
            was,
            days_left=0.0 if was.is_empty and not was.is_waste else None if foreseen is None else foreseen.days_left,
            used_per_day=None if foreseen is None else foreseen.used_per_day,
            pages_per_cartridge=pages_of_a_cartridge(was.points),
            changed_at=was.changed_at if changed is None else datetime.fromtimestamp(changed, tz=UTC),
        )
    known.forecast_at = now


def _is_news(stored: Supply | None, supply: Supply) -> bool:
    """Whether the database should hear of it: it is new or made a step, its forecast moved, or it is long ago."""
    if stored is None or stored.points is not supply.points or stored.is_empty is not supply.is_empty:
        return True
    if (stored.type, stored.color, stored.description) != (supply.type, supply.color, supply.description):
        return True
    if (stored.days_left is None) is not (supply.days_left is None):
        return True
    if stored.seen_at is not None and supply.seen_at is not None and supply.seen_at - stored.seen_at >= SEEN_EVERY:
        return True
    return abs((stored.days_left or 0.0) - (supply.days_left or 0.0)) >= WORTH_SAVING_DAYS


def _series_of(known: _Known, now: datetime) -> tuple[Names, tuple[float, ...]]:
    """A printer's series with their values."""
    found: list[tuple[str, Mapping[str, str], float]] = []
    parts = []
    for supply in known.supplies.values():
        if supply.is_waste or supply.seen_at is None or now - supply.seen_at > KNOWN_FOR:
            continue
        labels = dict(zip(SUPPLY_LABELS, (supply.index, supply.type, supply.color, supply.description), strict=True))
        if supply.level_ratio is not None:
            found.append((REMAINING, labels, supply.level_ratio))
        if supply.days_left is None:
            continue
        found.append((DAYS_LEFT, labels, supply.days_left))
        if supply.is_part:
            parts.append(supply.days_left)
    if parts:
        found.append((MAINTENANCE, {}, min(parts)))
    if (pages := pages_per_day(list(known.days.values()), now)) is not None:
        found.append((PAGES_PER_DAY, {}, pages))
    return tuple((name, labels) for name, labels, _ in found), tuple(value for *_, value in found)


def pages_per_day(days: Sequence[PrinterDay], now: datetime) -> float | None:
    """Over the last four weeks, or since the printer is known; None in its first day."""
    today = now.date()
    lately = [one for one in days if (today - one.day).days < PAGES_OVER_DAYS]
    if not lately:
        return None
    length = (today - min(one.day for one in lately)).days
    return sum(one.pages for one in lately) / length if length >= 1 else None
