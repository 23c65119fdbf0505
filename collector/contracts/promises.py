"""What may be promised: support levels (when minutes count) and SLAs (how many), as `sla.yaml` says; and the terms of
one ticket, which are both as they were agreed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, model_validator

from collector.contracts.agreement_files import NAME_PATTERN, Written, own_text, parse
from collector.contracts.business_time import NO_DAYS_OFF, BusinessCalendar, DaysOff, calendar_of
from collector.contracts.office_hours import DEFAULT_HOLIDAYS, NO_HOLIDAYS, OfficeHours, OfficeHoursError
from collector.contracts.priority import Priority

SHIPPED = Path(__file__).with_name("sla.yaml")
OWN_NAME = "sla.yaml"  # in the data folder
DEFAULT_TIME_ZONE = "Europe/Amsterdam"
WARN_AT = 0.75
MAX_TARGET = timedelta(hours=10_000)  # more than a year of all hours

_LENGTH = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?")
_EVERY_YEAR = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


def _length(value: object) -> object:
    match = _LENGTH.fullmatch(str(value))
    if match is None or not match[0]:
        # How long is a day, if eight hours of it count? Nobody agrees, so nobody can write it.
        raise ValueError(f"write it in hours and minutes, such as 4h, 90m or 1h30m, not {str(value)[:40]!r}")
    length = timedelta(hours=int(match[1] or 0), minutes=int(match[2] or 0))
    if not timedelta() < length <= MAX_TARGET:
        raise ValueError(f"is more than nothing and at most {MAX_TARGET // timedelta(hours=1)}h, not {match[0]!r}")
    return length


def _day(value: object) -> object:
    """A date or a month and day of every year; YAML makes a date of the former."""
    text = value.isoformat() if isinstance(value, date) else value
    if isinstance(text, str):
        try:
            date.fromisoformat(text if _EVERY_YEAR.fullmatch(text) is None else f"2024-{text}")
        except ValueError:
            pass
        else:
            return text
    raise ValueError(f"write a date like 2026-12-24, or 12-24 for every year, not {str(text)[:40]!r}")


def _worked(value: object) -> object:
    text = value.isoformat() if isinstance(value, date) else value
    if isinstance(text, str) and not text[:1].isdigit():
        return text  # a holiday's name
    return _day(value)


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Colleague = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]  # a technician, or a group of them
Length = Annotated[timedelta, BeforeValidator(_length)]
Day = Annotated[str, BeforeValidator(_day)]
WorkedDay = Annotated[str, BeforeValidator(_worked), Field(max_length=100)]
Title = Annotated[str, Field(min_length=1, max_length=200)]


class SupportLevel(Written):
    title: Title
    hours: str
    time_zone: str = DEFAULT_TIME_ZONE
    holidays: str = Field(default=DEFAULT_HOLIDAYS, max_length=8)
    worked_days: tuple[WorkedDay, ...] = Field(default=(), max_length=100)
    closing_days: dict[Day, Title] = Field(default={}, max_length=400)

    @model_validator(mode="after")
    def _makes_a_calendar(self) -> Self:
        try:
            calendar = self.calendar  # reads the hours, and knows the zone
            if self.holidays not in (DEFAULT_HOLIDAYS, NO_HOLIDAYS):
                calendar.hours.is_holiday(date(2026, 1, 1))
        except OfficeHoursError as exc:
            raise ValueError(str(exc)) from exc
        return self

    @property
    def calendar(self) -> BusinessCalendar:
        hours = OfficeHours.parse(self.hours, self.time_zone, self.holidays)
        return calendar_of(hours, DaysOff(tuple(self.closing_days.items()), frozenset(self.worked_days)))


class Targets(Written):
    """Of one priority; None: not promised."""

    response: Length | None = None
    resolution: Length | None = None


class Sla(Written):
    title: Title
    targets: dict[Priority, Targets] = Field(min_length=1)
    warn_at: float = Field(default=WARN_AT, gt=0, lt=1)
    escalate_to: Colleague | None = None


class SlaBook(Written):
    """All that may be promised, by name."""

    support_levels: dict[Name, SupportLevel] = Field(default_factory=dict)
    slas: dict[Name, Sla] = Field(default_factory=dict)

    def escalating_to(self, whom: str) -> list[str]:
        """The SLAs that name a technician, or a group."""
        return sorted(name for name, sla in self.slas.items() if sla.escalate_to == whom)

    @property
    def escalates_to(self) -> frozenset[str]:
        """The technicians and groups that its SLAs name."""
        return frozenset(sla.escalate_to for sla in self.slas.values() if sla.escalate_to is not None)


def load_sla_book(data: Path | None = None) -> SlaBook:
    """What is shipped, with that of `data`/sla.yaml added or in its place. Raises AgreementFileError."""
    book = _shipped()
    path = data / OWN_NAME if data is not None else None
    text = own_text(path) if path is not None else None
    if text is None:
        return book
    own = parse_sla_book(text, str(path))
    return SlaBook(support_levels=book.support_levels | own.support_levels, slas=book.slas | own.slas)


def parse_sla_book(text: str, source: str) -> SlaBook:
    """What `text` (YAML) says; `source` names it in errors. Raises AgreementFileError with all problems at once."""
    return parse(_BOOK, text, source)


@lru_cache(maxsize=1)
def _shipped() -> SlaBook:
    return parse_sla_book(SHIPPED.read_text(encoding="utf-8"), str(SHIPPED))


_BOOK = TypeAdapter(SlaBook)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a ticket's customer was promised, whole: an edit of a file changes nothing that was promised before it.

    `sla` None: nothing was, and the rest says nothing either."""

    plan: str | None = None  # None: there was no contract
    sla: str | None = None
    support_level: str | None = None
    hours: str = ""
    time_zone: str = DEFAULT_TIME_ZONE
    holidays: str = NO_HOLIDAYS
    days_off: DaysOff = NO_DAYS_OFF
    targets: tuple[tuple[Priority, timedelta | None, timedelta | None], ...] = ()  # response, resolution
    warn_at: float = WARN_AT
    escalate_to: str | None = None
    _calendar: BusinessCalendar | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def agreed(cls, book: SlaBook, *, plan: str, sla: str, support_level: str) -> Self:
        """Raises KeyError for a name that the book has not."""
        level, promise = book.support_levels[support_level], book.slas[sla]
        return cls(
            plan,
            sla,
            support_level,
            level.hours,
            level.time_zone,
            level.holidays,
            DaysOff(tuple(level.closing_days.items()), frozenset(level.worked_days)),
            tuple((priority, of.response, of.resolution) for priority, of in sorted(promise.targets.items())),
            promise.warn_at,
            promise.escalate_to,
        )

    @property
    def calendar(self) -> BusinessCalendar:
        """Raises OfficeHoursError if nothing was promised."""
        if self._calendar is None:  # asked several times for each ticket, and hashing all of this is slower than it
            hours = OfficeHours.parse(self.hours, self.time_zone, self.holidays)
            object.__setattr__(self, "_calendar", calendar_of(hours, self.days_off))
        assert self._calendar is not None  # noqa: S101 - set above
        return self._calendar

    def data(self) -> dict[str, object]:
        """As JSON, for the ticket's event; `of_data` reads it."""
        told: dict[str, object] = {"plan": self.plan, "sla": self.sla}
        if self.sla is None:
            return told
        return told | {
            "support_level": self.support_level,
            "hours": self.hours,
            "time_zone": self.time_zone,
            "holidays": self.holidays,
            "closing_days": dict(self.days_off.closed),
            "worked_days": sorted(self.days_off.worked),
            "targets": {
                priority: {"response_seconds": _seconds(response), "resolution_seconds": _seconds(resolution)}
                for priority, response, resolution in self.targets
            },
            "warn_at": self.warn_at,
            "escalate_to": self.escalate_to,
        }

    @classmethod
    def of_data(cls, data: Mapping[str, object]) -> Self:
        """Raises pydantic's ValidationError for what `data` never wrote."""
        told = _TOLD.validate_python(data)
        if told.sla is None:
            return cls(told.plan)
        return cls(
            told.plan,
            told.sla,
            told.support_level,
            told.hours,
            told.time_zone,
            told.holidays,
            DaysOff(tuple(told.closing_days.items()), frozenset(told.worked_days)),
            tuple(
                (priority, _span(of.response_seconds), _span(of.resolution_seconds))
                for priority, of in sorted(told.targets.items())
            ),
            told.warn_at,
            told.escalate_to,
        )


class _ToldTargets(BaseModel):
    response_seconds: int | None
    resolution_seconds: int | None


class _Told(BaseModel):
    """The data of an event, as `Terms.data` writes it."""

    plan: str | None
    sla: str | None
    support_level: str | None = None
    hours: str = ""
    time_zone: str = DEFAULT_TIME_ZONE
    holidays: str = NO_HOLIDAYS
    closing_days: dict[str, str] = {}
    worked_days: list[str] = []
    targets: dict[Priority, _ToldTargets] = {}
    warn_at: float = WARN_AT
    escalate_to: str | None = None


_TOLD = TypeAdapter(_Told)


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else length // timedelta(seconds=1)


def _span(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
