"""A printer's series. Declared here for the catalogue, and made of its readings."""

import re
from collections.abc import Iterator, Sequence

from agent.printers import mibs
from agent.printers.decoding import stable_label
from agent.printers.reading import Fill, Reading, Supply, Tray
from agent.probes.base import Metric, MetricType, Sample

SUPPLY_LABELS = (
    "printer_supply_index",
    "printer_supply_type",
    "printer_supply_color",
    "printer_supply_description",
)
REACHABLE = "printer_reachable"
METRICS = (
    Metric(REACHABLE, MetricType.GAUGE, "boolean", "1 if it answered when it was last asked; of sleeping ones too"),
    Metric(
        "printer_status",
        MetricType.GAUGE,
        "boolean",
        "1 for the status that it is in, such as idle, printing or warmup",
        ("printer_status",),
    ),
    Metric("printer_asleep", MetricType.GAUGE, "boolean", "1 if it says that it sleeps"),
    Metric(
        "printer_error",
        MetricType.GAUGE,
        "boolean",
        "1 for what it has detected; for each state of RFC 2790, if it tells them at all",
        ("printer_error",),
    ),
    Metric("printer_pages_total", MetricType.COUNTER, "pages", "Impressions or sheets of its whole life, as it counts"),
    Metric(
        "printer_pages_of_kind_total",
        MetricType.COUNTER,
        "pages",
        "Of them mono, color, duplex, mono_large or color_large, where its maker tells; kinds overlap",
        ("printer_page_kind",),
    ),
    Metric("printer_uptime_seconds", MetricType.GAUGE, "seconds", "Since its network part was started"),
    Metric("printer_queued_jobs", MetricType.GAUGE, "jobs", "Jobs that wait in it"),
    Metric(
        "printer_supply_level_ratio",
        MetricType.GAUGE,
        "ratio",
        "What is left of a supply; of a waste box the room in it, where its maker follows the standard",
        SUPPLY_LABELS,
    ),
    Metric(
        "printer_supply_empty",
        MetricType.GAUGE,
        "boolean",
        "1 if a supply is used up, as its level or an alert says; of a waste box only an alert counts",
        SUPPLY_LABELS,
    ),
    Metric(
        "printer_supply_low",
        MetricType.GAUGE,
        "boolean",
        "1 if an alert calls a supply low or used up whose level is not told, else 0; of others their level tells",
        SUPPLY_LABELS,
    ),
    Metric("printer_tray_level_ratio", MetricType.GAUGE, "ratio", "Paper in a tray", ("printer_tray",)),
    Metric("printer_cover_open", MetricType.GAUGE, "boolean", "1 if a cover or door is open", ("printer_cover",)),
    Metric(
        "printer_alert",
        MetricType.GAUGE,
        "boolean",
        "1 while a condition of its alert table stands; conditions that are over have no series",
        ("printer_alert_group", "printer_alert_index", "printer_alert_code"),
    ),
)
PART = "part"  # what wears out and has no keyword: rollers, kits, pads
INK_IN_TEXT = re.compile(r"(?i)ink|tinte|encre|maintenance")  # a maintenance box takes the ink of cleaning
# The parts first: a `toner drum` is a drum, a `transfer roller` no toner.
KINDS_IN_TEXT = tuple(
    (kind, re.compile(words, re.IGNORECASE))
    for kind, words in (
        ("opc", r"\bdrum|imaging unit|photoconduct|trommel|tambour|\bopc\b"),
        ("fuser", r"fus(er|ing)|fixier|fixeer"),
        ("transferUnit", r"transfer|transport belt|\bitb\b"),
        ("developer", r"developer|entwickler|ontwikkel"),
        ("cleanerUnit", r"clean"),
        (PART, r"maintenance|wartung|onderhoud|entretien|roller|\bbelt|\bpad\b"),
        ("toner", r"toner"),
        ("ink", r"\bink|tinte|encre"),
        (PART, r"kit\b"),  # no toner kit
    )
)
STATUSES = ("idle", "printing", "warmup", "stopped", "other", "unknown")


def state_samples(reading: Reading) -> Iterator[Sample]:
    """What is read every time."""
    if reading.status in STATUSES:  # the Host Resources MIB's words for a device are no printer's status
        yield from (_flag("printer_status", one == reading.status, printer_status=one) for one in STATUSES)
    if reading.status is not None:
        yield _flag("printer_asleep", reading.is_asleep)
    if reading.error_states is not None:
        for name in mibs.ERROR_STATES:
            yield _flag("printer_error", name in reading.error_states, printer_error=name)
    if reading.pages is not None and mibs.is_of_pages(reading.pages_unit):
        yield Sample("printer_pages_total", reading.pages)
    if reading.uptime_seconds is not None:
        yield Sample("printer_uptime_seconds", reading.uptime_seconds)
    if reading.queued_jobs is not None:
        yield Sample("printer_queued_jobs", reading.queued_jobs)


def table_samples(reading: Reading) -> Iterator[Sample]:
    """What is read seldom."""
    for count in reading.page_counts:
        yield Sample("printer_pages_of_kind_total", count.pages, {"printer_page_kind": count.kind})
    for supply in reading.supplies:
        labels = supply_labels(supply)
        share = share_of(supply)
        if share is not None:
            yield Sample("printer_supply_level_ratio", share, labels)
        if supply.state is not Fill.UNKNOWN:
            yield Sample("printer_supply_empty", float(supply.state is Fill.EMPTY), labels)
        if share is None and not supply.is_receptacle:
            yield Sample("printer_supply_low", float(supply.state in (Fill.LOW, Fill.EMPTY)), labels)
    trays = _told_apart([(one.index, one.name or one.description) for one in reading.trays])
    for tray, name in zip(reading.trays, trays, strict=True):
        if tray.ratio is not None:
            yield Sample("printer_tray_level_ratio", tray.ratio, {"printer_tray": name})
    covers = _told_apart([(one.index, one.description) for one in reading.covers])
    for cover, name in zip(reading.covers, covers, strict=True):
        if cover.is_open is not None:
            yield _flag("printer_cover_open", cover.is_open, printer_cover=name)
    for alert in reading.alerts:
        if alert.severity in mibs.BINARY_SEVERITIES:
            labels = {
                "printer_alert_group": alert.group,
                "printer_alert_index": str(alert.group_index),
                "printer_alert_code": alert.code,
            }
            yield Sample("printer_alert", 1.0, labels)


def supply_labels(supply: Supply) -> dict[str, str]:
    values = (supply.index, kind_of(supply), supply.color or "", stable_label(supply.description))
    return dict(zip(SUPPLY_LABELS, values, strict=True))


def share_of(supply: Supply | Tray) -> float | None:
    """Its ratio; of a level in percent without a capacity that level."""
    if supply.ratio is None and supply.unit == mibs.PERCENT and supply.level is not None and supply.level <= 100:
        return supply.level / 100
    return supply.ratio


def kind_of(supply: Supply) -> str:
    """Its type; where the printer tells none, the one that its description speaks of, since rules go by it.

    What is filled is waste, whatever it is called."""
    if supply.is_receptacle and supply.type not in mibs.RECEPTACLE_TYPES:
        is_ink = INK_IN_TEXT.search(supply.description) or supply.type in ("ink", "inkCartridge")
        return "wasteInk" if is_ink else "wasteToner"
    if supply.type not in mibs.UNTOLD:
        return str(supply.type)
    found = (kind for kind, words in KINDS_IN_TEXT if words.search(supply.description))
    return next(found, supply.type or "unknown")


def _told_apart(rows: Sequence[tuple[str, str | None]]) -> list[str]:
    """A name for each row, by its index and own name: the index where it has none, or shares it with another."""
    names = [name or index for index, name in rows]
    return [
        name if names.count(name) == 1 else f"{name} ({index})" for (index, _), name in zip(rows, names, strict=True)
    ]


def _flag(name: str, holds: bool, **labels: str) -> Sample:
    return Sample(name, float(holds), labels)
