"""What is known of a printer after it was read. None: it does not tell."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from agent.printers import mibs


class Fill(StrEnum):
    """How much there is of a supply or in a tray. Of a waste box: of the room in it."""

    OK = "ok"
    SOME_LEFT = "some_left"  # told as -3: there is some, nobody knows how much
    UNKNOWN = "unknown"
    UNRESTRICTED = "unrestricted"  # told as -1
    LOW = "low"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Supply:
    index: str  # of its row, without the device's: "3"
    description: str
    type: str | None = None  # as the IANA printer MIB names them
    color: str | None = None  # black, cyan, …
    level: int | None = None  # in `unit`
    max_capacity: int | None = None
    unit: str | None = None
    ratio: float | None = None  # 0 to 1
    state: Fill = Fill.UNKNOWN
    is_receptacle: bool = False  # a box that fills: makers disagree on what its level means


@dataclass(frozen=True, slots=True)
class Tray:
    index: str
    name: str | None = None
    description: str | None = None
    media: str | None = None
    level: int | None = None
    max_capacity: int | None = None
    unit: str | None = None
    ratio: float | None = None
    state: Fill = Fill.UNKNOWN


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of the alert table, or a state reason of IPP. The same condition has the same group, index and code; the
    row's own number means nothing."""

    severity: str
    group: str
    group_index: int
    code: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Cover:
    index: str
    description: str
    is_open: bool | None = None


@dataclass(frozen=True, slots=True)
class PageCount:
    """Pages of one kind: mono, color, duplex, mono_large, color_large. Kinds overlap."""

    kind: str
    pages: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All of a printer. Of what was not asked for, or failed, the defaults stand."""

    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    name: str | None = None  # as its administrator calls it
    location: str | None = None
    status: str | None = None  # idle, printing, warmup; else what the Host Resources MIB says of the device
    is_asleep: bool = False
    error_states: tuple[str, ...] | None = None  # as RFC 2790 names them
    pages: int | None = None
    pages_unit: str | None = None  # impressions or sheets, mostly; of some plotters feet
    page_counts: tuple[PageCount, ...] = ()
    supplies: tuple[Supply, ...] = ()
    trays: tuple[Tray, ...] = ()
    covers: tuple[Cover, ...] = ()
    alerts: tuple[Alert, ...] = ()
    console: tuple[str, ...] = ()  # the lines of its display
    uptime_seconds: float | None = None
    queued_jobs: int | None = None


def to_json(reading: Reading) -> dict[str, object]:
    """What `printers read --json` prints. Its keys are fixed; others may come in trays and alerts. A counter of hours
    or feet is not told as one of pages."""
    return {
        "model": reading.model,
        "serial": reading.serial,
        "pages": reading.pages if mibs.is_of_pages(reading.pages_unit) else None,
        "status": reading.status,
        "error_states": list(reading.error_states or ()),
        "supplies": [
            {
                "description": one.description,
                "type": one.type,
                "color": one.color,
                "level": one.level,
                "max_capacity": one.max_capacity,
                "unit": one.unit,
                "ratio": one.ratio,
                "state": one.state.value,
            }
            for one in reading.supplies
        ],
        "trays": [asdict(one) | {"state": one.state.value} for one in reading.trays],
        "alerts": [asdict(one) for one in reading.alerts],
    }
