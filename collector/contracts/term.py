"""For how long a contract was agreed: when its term ends, and what happens then."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Term:
    """What ends next. `renews_for`: months for which it then goes on by itself, unless it is ended before; None: it is
    over then. `followed_by`: the contract that holds from then on, by its number."""

    ends_at: datetime  # UTC
    renews_for: int | None
    followed_by: int | None = None

    @property
    def notice(self) -> str:
        if self.followed_by is not None:
            return f"contract {self.followed_by} follows"
        return "is over then" if self.renews_for is None else f"goes on for {self.renews_for} months unless it is ended"


def term_of(
    began_at: datetime, months: int | None, valid_to: datetime | None, zone: ZoneInfo, now: datetime
) -> Term | None:
    """`began_at`: when what was agreed for `months` (None: until further notice) first held; `valid_to`: when it is
    over for certain. None: nothing ends by itself. A term ends on the same day of a month by the clock of `zone`, or on
    its last one."""
    if valid_to is not None and (months is None or valid_to <= now):
        return Term(valid_to, None)
    if months is None:
        return None
    first = began_at.astimezone(zone)
    passed = (now.astimezone(zone).year - first.year) * 12 + now.astimezone(zone).month - first.month
    terms = max(1, passed // months)  # not one too many: the day of the month decides below
    ends_at = _after(first, terms * months, zone)
    if ends_at <= now:
        ends_at = _after(first, (terms + 1) * months, zone)
    if valid_to is not None and valid_to <= ends_at:
        return Term(valid_to, None)
    return Term(ends_at, months)


def _after(first: datetime, months: int, zone: ZoneInfo) -> datetime:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    day = min(first.day, monthrange(year, month + 1)[1])
    return first.replace(year=year, month=month + 1, day=day, tzinfo=None).replace(tzinfo=zone).astimezone(UTC)
