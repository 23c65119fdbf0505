"""What stands in a ticket that orders supplies: one of a customer, with a line for each supply, in Dutch and English.

The lines are those of the ticket's alerts that are not over: one that fires adds its line, and a new cartridge, which
ends its alert, takes it away. Numbers of days go on while the ticket is open. A description that a person wrote stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertRecord
from collector.db.tables import devices, tickets
from collector.desk.tickets import note
from collector.fleet.printers.supplies import Supply, load_supplies

INCIDENT = "printer_supplies"
MAX_LINES = 100  # told in full; a customer with more orders by the list of its printers

_HEADS = (
    "Te bestellen voor uw printers:",
    "To be ordered for the printers:",
)
_COLORS_NL: Mapping[str, str] = {
    "black": "zwarte",
    "cyan": "cyaan",
    "magenta": "magenta",
    "yellow": "gele",
    "red": "rode",
    "green": "groene",
    "blue": "blauwe",
    "white": "witte",
    "gray": "grijze",
    "grey": "grijze",
    "orange": "oranje",
}
_SHADES_NL: Mapping[str, str] = {"photo": "foto", "matte": "mat", "light": "licht"}
# By the keywords of the IANA printer MIB: what people call it, in English and in Dutch.
_THINGS: Mapping[str, tuple[str, str]] = {
    "toner": ("toner", "toner"),
    "tonercartridge": ("toner", "toner"),
    "ink": ("ink", "inkt"),
    "inkcartridge": ("ink", "inkt"),
    "inkribbon": ("ribbon", "lint"),
    "staples": ("staples", "nietjes"),
}
_TONER_OR_INK = ("toner or ink", "toner of inkt")


@dataclass(frozen=True, slots=True)
class Line:
    """A supply that runs out, as people are told of it."""

    printer: str  # what people call it
    location: str
    type: str = ""
    color: str = ""
    description: str = ""  # as the printer names the cartridge, which is mostly its part number
    days_left: float | None = None
    is_empty: bool = False
    pages: float | None = None  # that a cartridge makes

    @property
    def in_english(self) -> str:
        thing = _THINGS.get(self.type.lower(), _TONER_OR_INK)[0]
        where = f"{self.printer} ({self.location})" if self.location else self.printer
        name = f", {self.description}" if self.description else ""
        pages = f", good for about {_rounded(self.pages):,} pages" if self.pages else ""
        what = " ".join(filter(None, (self.color.lower(), thing)))
        return f"{what} for the printer {where}, {self._left_en}{name}{pages}"

    @property
    def in_dutch(self) -> str:
        thing = _THINGS.get(self.type.lower(), _TONER_OR_INK)[1]
        color = _color_nl(self.color.lower())
        where = f"{self.printer} ({self.location})" if self.location else self.printer
        name = f", {self.description}" if self.description else ""
        number = f"{_rounded(self.pages):,}".replace(",", ".") if self.pages else ""
        pages = f", goed voor ongeveer {number} pagina's" if number else ""
        what = " ".join(filter(None, (color, thing)))
        return f"{what} voor de printer {where}, {self._left_nl}{name}{pages}"

    @property
    def _left_en(self) -> str:
        if self.is_empty:
            return "empty"
        if self.days_left is None:
            return "low"
        days = round(self.days_left)
        return "less than a day left" if days < 1 else f"about {days} {'day' if days == 1 else 'days'} left"

    @property
    def _left_nl(self) -> str:
        if self.is_empty:
            return "op"
        if self.days_left is None:
            return "bijna op"
        days = round(self.days_left)
        return "nog minder dan een dag" if days < 1 else f"nog ongeveer {days} {'dag' if days == 1 else 'dagen'}"


def _color_nl(color: str) -> str:
    """`photo black` is one word: `fotozwarte`."""
    shade, _, plain = color.rpartition(" ")
    return _SHADES_NL.get(shade, f"{shade} ".lstrip()) + _COLORS_NL.get(plain, plain)


def description_of(lines: Sequence[Line]) -> str:
    """Dutch, then English; what runs out first stands first."""
    told = sorted(lines, key=_urgency)[:MAX_LINES]
    parts = []
    for head, texts, more in (
        (_HEADS[0], [one.in_dutch for one in told], "en nog {} andere"),
        (_HEADS[1], [one.in_english for one in told], "and {} more"),
    ):
        rest = [more.format(len(lines) - MAX_LINES)] if len(lines) > MAX_LINES else []
        parts.append("\n".join((head, *(f"- {text}" for text in (*texts, *rest)))))
    return "\n\n".join(parts)


def rewritten(was: str, lists: str) -> str:
    """A ticket's description with other lists: what somebody wrote below them stays, and so does all of one that does
    not begin with them."""
    paragraphs = was.split("\n\n")
    if was and tuple(one.partition("\n")[0] for one in paragraphs[: len(_HEADS)]) != _HEADS:
        return was
    return "\n\n".join([lists, *paragraphs[len(_HEADS) :]])


def _urgency(line: Line) -> tuple[bool, bool, float, str]:
    return not line.is_empty, line.days_left is None, line.days_left or 0.0, line.in_english


def is_line(record: AlertRecord) -> bool:
    return record.labels.get("incident") == INCIDENT


def is_order(key: str) -> bool:
    """Whether a ticket of this key orders supplies."""
    return key.endswith(f"/{INCIDENT}")


async def tell_lines(
    connection: AsyncConnection,
    number: int,
    now: datetime,
    *,
    added: Sequence[AlertRecord] = (),
    done: Sequence[AlertRecord] = (),
) -> None:
    """Writes the lines of a ticket anew, and notes what came to it and what is done while it goes on."""
    members = [one for one in await records.open_members(connection, ticket=number) if is_line(one)]
    lines = await _lines(connection, [*members, *done])
    current = {_key(one) for one in members}
    if current:
        await _describe(connection, number, description_of([lines[key] for key in sorted(current)]))
    new = {_key(one) for one in added}
    if new and current - new:
        await note(
            connection, number, now, _noted("to be ordered as well", [lines[key] for key in sorted(new & current)])
        )
    over = {_key(one) for one in done} - current
    if over and current:
        await note(connection, number, now, _noted("done", [lines[key] for key in sorted(over)]))


async def refresh(connection: AsyncConnection, now: datetime) -> None:
    """The numbers of days in all open tickets that order supplies."""
    numbers = await connection.scalars(
        select(tickets.c.number).where(tickets.c.incident == INCIDENT, tickets.c.resolved_at.is_(None))
    )
    for number in list(numbers):
        await tell_lines(connection, number, now)


async def _describe(connection: AsyncConnection, number: int, description: str) -> None:
    was = await connection.scalar(select(tickets.c.description).where(tickets.c.number == number))
    description = rewritten(was or "", description)
    if was == description:
        return
    await connection.execute(update(tickets).where(tickets.c.number == number).values(description=description))


async def _lines(connection: AsyncConnection, alerts: Sequence[AlertRecord]) -> dict[tuple[str, str], Line]:
    """By device and place in its table of supplies."""
    named = sorted({one.device for one in alerts if one.device})
    rows = await connection.execute(
        select(devices.c.id, devices.c.hostname, devices.c.inventory).where(devices.c.id.in_(named))
    )
    printers = {row.id: row for row in rows}
    known = {(one.device, one.index): one for one in await load_supplies(connection, named)}
    found: dict[tuple[str, str], Line] = {}
    for alert in alerts:
        key = _key(alert)
        supply = known.get(key)
        row = printers.get(key[0])
        inventory = row.inventory if row is not None and isinstance(row.inventory, Mapping) else {}
        location = inventory.get("location")
        makers = _makers_pages(inventory.get("supplies"), key[1])
        found[key] = _line(
            alert,
            supply,
            key[0] if row is None else row.hostname,
            location if isinstance(location, str) else "",
            makers,
        )
    return found


def _makers_pages(supplies: object, index: str) -> float | None:
    """How many pages its maker says that one makes, where the printer tells that."""
    for one in supplies if isinstance(supplies, list) else ():
        if isinstance(one, Mapping) and one.get("index") == index and one.get("unit") == "impressions":
            capacity = one.get("max_capacity")
            return float(capacity) if isinstance(capacity, int | float) else None
    return None


def _line(alert: AlertRecord, supply: Supply | None, printer: str, location: str, makers_pages: float | None) -> Line:
    if supply is not None:
        return Line(
            printer,
            location,
            supply.type,
            supply.color,
            supply.description,
            supply.days_left,
            supply.is_empty,
            supply.pages_per_cartridge or makers_pages,
        )
    kind, color, name = (alert.labels.get(f"printer_supply_{one}", "") for one in ("type", "color", "description"))
    return Line(printer, location, kind, color, name, pages=makers_pages)


def _key(alert: AlertRecord) -> tuple[str, str]:
    return alert.device or "", alert.labels.get("printer_supply_index", "")


def _noted(word: str, lines: Sequence[Line]) -> str:
    return "\n".join(f"{word}: {one.in_english}" for one in lines)


def _rounded(pages: float) -> int:
    """To two digits: more nobody knows."""
    return int(round(pages, 2 - len(str(int(pages)))))
