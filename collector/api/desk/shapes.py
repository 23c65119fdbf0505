"""Kinds of fields that several resources share."""

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from collector.fleet.people import MAX_EMAIL_CHARS, MAX_NAME_CHARS, MAX_PHONE_CHARS

MAX_NUMBER = 2**53 - 1  # what every JSON reader holds exactly
FIRST_YEAR, LAST_YEAR = 1970, 2200  # far beyond what anybody agrees on, and within every calendar


def _in_utc(at: datetime) -> datetime:
    if not FIRST_YEAR < at.year < LAST_YEAR:
        raise ValueError(f"is not between {FIRST_YEAR} and {LAST_YEAR}")
    return at.astimezone(UTC)


def _sane_day(day: date) -> date:
    if not FIRST_YEAR < day.year < LAST_YEAR:
        raise ValueError(f"is not between {FIRST_YEAR} and {LAST_YEAR}")
    return day


Id = Annotated[str, Field(min_length=1, max_length=64)]
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
When = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Day = Annotated[date, AfterValidator(_sane_day)]
PersonName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Email = Annotated[str, Field(min_length=3, max_length=MAX_EMAIL_CHARS, examples=["j.jansen@acme.example"])]
Phone = Annotated[str, Field(min_length=3, max_length=MAX_PHONE_CHARS, examples=["+31 20 123 4567"])]
# Text, since a JSON number is a binary fraction to most who read it.
Money = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,2})?$", examples=["95.50"])]
