"""Long lists page by page: each names the place after which the next one goes on."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.clock import EPOCH, from_milliseconds, to_milliseconds

MAX_LIMIT = 200
MAX_RECKONED = 25  # entries of a page that are reckoned for it, and not read
MAX_CURSOR_CHARS = 2000  # the place of an agent's setting has up to 340 characters, and base64 adds a third

T = TypeVar("T")
Row = TypeVar("Row")


def _place(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor.encode("ascii")).decode()
    except (binascii.Error, ValueError) as exc:
        raise ValueError("not a cursor that an earlier page gave") from exc


def _number(cursor: str) -> str:
    if not (cursor.isascii() and _place(cursor).isdecimal() and len(_place(cursor)) < 19):
        raise ValueError("not a cursor that an earlier page of this list gave")
    return cursor


def _name(cursor: str) -> str:
    if "\0" in _place(cursor):
        raise ValueError("not a cursor that an earlier page of this list gave")
    return cursor


def _moment(cursor: str) -> str:
    try:
        at, name = _parted(_place(cursor))
    except (ValueError, OverflowError):
        raise ValueError("not a cursor that an earlier page of this list gave") from None
    if "\0" in name or at < EPOCH:
        raise ValueError("not a cursor that an earlier page of this list gave")
    return cursor


def _parted(place: str) -> tuple[datetime, str]:
    at, _, name = place.partition(" ")
    return from_milliseconds(int(at)), name


CURSOR = Field(
    default=None, max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the page before; the first has none."
)


class Paging(BaseModel):
    """The parameters of every list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=100, ge=1, le=MAX_LIMIT, description="How many at most.")


class PagingByNumber(Paging):
    """Of a list whose entries are numbered."""

    cursor: Annotated[str, AfterValidator(_number)] | None = CURSOR

    @property
    def after(self) -> int | None:
        return None if self.cursor is None else int(_place(self.cursor))


class PagingByName(Paging):
    """Of a list whose entries have names."""

    cursor: Annotated[str, AfterValidator(_name)] | None = CURSOR

    @property
    def after(self) -> str | None:
        return None if self.cursor is None else _place(self.cursor)


class PagingOfReckoned(PagingByName):
    """Of a list whose entries have names and take a while each."""

    limit: int = Field(default=MAX_RECKONED, ge=1, le=MAX_RECKONED, description="How many at most.")


class PagingByMoment(Paging):
    """Of a list whose entries have a time, and names that tell those of one time apart."""

    cursor: Annotated[str, AfterValidator(_moment)] | None = CURSOR

    @property
    def after(self) -> tuple[datetime, str] | None:
        return None if self.cursor is None else _parted(_place(self.cursor))


def moment(at: datetime, name: str) -> str:
    """The key of `cut` for such a list."""
    return f"{to_milliseconds(at)} {name}"


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last.")


def cut(rows: Sequence[Row], limit: int, key: Callable[[Row], int | str]) -> tuple[Sequence[Row], str | None]:
    """The rows of a page and the cursor of the next one. `rows` has one more than `limit` where there is a next."""
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, base64.urlsafe_b64encode(str(key(page[-1])).encode()).decode()
