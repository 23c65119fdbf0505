"""From the attributes of IPP to a reading. Pure, and never raises."""

import re
from collections.abc import Iterable

from agent.printers import mibs
from agent.printers.colors import color_in, color_of_hex
from agent.printers.decoding import is_waste_box
from agent.printers.ipp_codec import Attributes
from agent.printers.levels import judge, without_direction
from agent.printers.reading import Alert, Reading, Supply, Tray
from agent.printers.text import MAX_TEXT_BYTES, decode_text

STATES = {3: "idle", 4: "printing", 5: "stopped"}
MAX_REASONS = 50
SEVERITIES = {"report": "other", "warning": "warningBinaryChangeEvent", "error": "critical"}
SUFFIX = re.compile(r"-(report|warning|error)$")
CONSUMED_LEVEL = 100
MARKERS = ("marker-types", "marker-colors", "marker-levels", "marker-low-levels", "marker-high-levels")
MAX_SUPPLIES = MAX_TRAYS = 60
# PWG 5100.9 maps alerts to reasons; this is the way back, to the bits of RFC 2790 …
ERROR_OF_REASON = {
    "media-low": "lowPaper",
    "media-empty": "noPaper",
    "media-needed": "noPaper",
    "toner-low": "lowToner",
    "marker-supply-low": "lowToner",
    "toner-empty": "noToner",
    "marker-supply-empty": "noToner",
    "door-open": "doorOpen",
    "cover-open": "doorOpen",
    "interlock-open": "doorOpen",
    "media-jam": "jammed",
    "shutdown": "offline",
    "input-tray-missing": "inputTrayMissing",
    "output-tray-missing": "outputTrayMissing",
    "marker-supply-missing": "markerSupplyMissing",
    "output-area-almost-full": "outputNearFull",
    "output-area-full": "outputFull",
}
# … and to the groups and codes of the alert table.
ALERT_OF_REASON = {
    "marker-waste-almost-full": (mibs.SUPPLIES_GROUP, "markerWasteTonerReceptacleAlmostFull"),
    "waste-receptacle-almost-full": (mibs.SUPPLIES_GROUP, "markerWasteTonerReceptacleAlmostFull"),
    "marker-waste-full": (mibs.SUPPLIES_GROUP, "markerWasteTonerReceptacleFull"),
    "waste-receptacle-full": (mibs.SUPPLIES_GROUP, "markerWasteTonerReceptacleFull"),
    "marker-waste-ink-receptacle-almost-full": (mibs.SUPPLIES_GROUP, "markerWasteInkReceptacleAlmostFull"),
    "marker-waste-ink-receptacle-full": (mibs.SUPPLIES_GROUP, "markerWasteInkReceptacleFull"),
    "marker-waste-toner-receptacle-almost-full": (mibs.SUPPLIES_GROUP, "markerWasteTonerReceptacleAlmostFull"),
    "marker-waste-toner-receptacle-full": (mibs.SUPPLIES_GROUP, "markerWasteTonerReceptacleFull"),
    "opc-near-eol": (mibs.SUPPLIES_GROUP, "markerOpcLifeAlmostOver"),
    "opc-life-over": (mibs.SUPPLIES_GROUP, "markerOpcLifeOver"),
    "developer-low": (mibs.SUPPLIES_GROUP, "markerDeveloperAlmostEmpty"),
    "developer-empty": (mibs.SUPPLIES_GROUP, "markerDeveloperEmpty"),
    "toner-low": (mibs.SUPPLIES_GROUP, "markerTonerAlmostEmpty"),
    "toner-empty": (mibs.SUPPLIES_GROUP, "markerTonerEmpty"),
    "marker-supply-low": (mibs.SUPPLIES_GROUP, "subunitAlmostEmpty"),
    "marker-supply-empty": (mibs.SUPPLIES_GROUP, "subunitEmpty"),
    "media-jam": ("mediaPath", "jam"),
    "media-low": ("input", "inputMediaSupplyLow"),
    "media-empty": ("input", "inputMediaSupplyEmpty"),
    "cover-open": ("cover", "coverOpen"),
    "door-open": ("cover", "doorOpen"),
    "interlock-open": ("cover", "interlockOpen"),
    "fuser-over-temp": ("marker", "markerFuserOverTemperature"),
    "fuser-under-temp": ("marker", "markerFuserUnderTemperature"),
    "power-saver": ("generalPrinter", mibs.ASLEEP),
}
DEVICE_ID_SERIAL = re.compile(r"(?:^|;)\s*(?:SN|SERN|SERIALNUMBER)\s*:\s*([^;]+)", re.IGNORECASE)


def decode_attributes(attributes: Attributes) -> Reading:
    """All that these tell."""
    reasons = [one for one in _texts(attributes, "printer-state-reasons") if one != "none"][:MAX_REASONS]
    bare = {SUFFIX.sub("", one) for one in reasons}
    errors = {ERROR_OF_REASON[one] for one in bare if one in ERROR_OF_REASON}
    serial = DEVICE_ID_SERIAL.search(_text(attributes, "printer-device-id") or "")
    pages = _number(attributes, "printer-impressions-completed")
    uptime = _number(attributes, "printer-up-time")
    return Reading(
        model=_text(attributes, "printer-make-and-model"),
        serial=_text(attributes, "printer-serial-number") or (serial[1].strip() if serial else None),
        firmware=_text(attributes, "printer-firmware-string-version"),
        name=_text(attributes, "printer-info") or _text(attributes, "printer-name"),
        location=_text(attributes, "printer-location"),
        status=STATES.get(_number(attributes, "printer-state") or 0),
        is_asleep="power-saver" in bare,
        error_states=tuple(one for one in mibs.ERROR_STATES if one in errors),
        pages=pages if pages is not None and pages >= 0 else None,
        pages_unit=None if pages is None else "impressions",
        supplies=tuple(_markers(attributes)),
        trays=tuple(_trays(attributes)),
        alerts=tuple(_alert(one) for one in reasons),
        console=tuple(_texts(attributes, "printer-state-message")[:1]),
        uptime_seconds=float(uptime) if uptime is not None and uptime >= 0 else None,
        queued_jobs=_number(attributes, "queued-job-count"),
    )


def _markers(attributes: Attributes) -> Iterable[Supply]:
    """marker-*: lists of one length. One that is shorter or longer belongs to nothing that is known: left out."""
    names = _texts(attributes, "marker-names", keep_empty=True)
    types, colors, levels, lows, highs = (
        found if len(found := attributes.get(one, [])) == len(names) else [None] * len(names) for one in MARKERS
    )
    for place, name in enumerate(names[:MAX_SUPPLIES]):
        kind = _supply_type(types[place])
        is_receptacle = is_waste_box(kind, name)
        level, low, high = (one if isinstance(one, int) else None for one in (levels[place], lows[place], highs[place]))
        if is_receptacle and level is not None and 0 <= level <= CONSUMED_LEVEL:
            level = CONSUMED_LEVEL - level  # how full it is; the room in it, as the Printer MIB counts
        amount = judge(level, CONSUMED_LEVEL, _low_ratio(low, high))
        if is_receptacle:
            amount = without_direction(amount)
        color = colors[place]
        yield Supply(
            index=str(place + 1),
            description=name,
            type=kind,
            color=None
            if is_receptacle
            else (color_in(name) or (color_of_hex(decode_text(color)) if isinstance(color, bytes) else None)),
            level=amount.level,
            max_capacity=amount.max_capacity,
            unit=mibs.PERCENT,
            ratio=amount.ratio,
            state=amount.state,
            is_receptacle=is_receptacle,
        )


def _low_ratio(low: int | None, high: int | None) -> float:
    """Where the printer itself calls it low; never the whole range, as some tell of receptacles."""
    if low is None or high is None or not 0 < low < high <= CONSUMED_LEVEL:
        return 0.1
    return low / CONSUMED_LEVEL


def _supply_type(value: object) -> str | None:
    """`ink-cartridge` and `inkCartridge` alike, as the IANA printer MIB writes it."""
    if not isinstance(value, bytes):
        return None
    first, *others = decode_text(value).split("-")
    name = first + "".join(one.capitalize() for one in others)
    return name if name in mibs.SUPPLY_TYPES.values() else "other"


def _trays(attributes: Attributes) -> Iterable[Tray]:
    """printer-input-tray (PWG 5100.13): `type=…;maxcapacity=250;level=-3;name=Tray1;` for each; without it what
    media-ready lists, of which nobody knows how much there is. Lists of one length belong together."""
    told = [one for one in attributes.get("printer-input-tray", []) if isinstance(one, bytes)][:MAX_TRAYS]
    media = _texts(attributes, "media-ready")[:MAX_TRAYS]
    if not told:
        yield from (Tray(index=str(place), media=one) for place, one in enumerate(media, start=1))
    for place, value in enumerate(told):
        pairs = (one.partition("=") for one in decode_text(value, max_chars=MAX_TEXT_BYTES).split(";"))
        tray = {key.strip().lower(): text.strip() for key, _, text in pairs}
        amount = judge(_to_int(tray.get("level")), _to_int(tray.get("maxcapacity")))
        yield Tray(
            index=tray.get("index") or str(place + 1),
            name=tray.get("name") or None,
            media=media[place] if len(media) == len(told) else None,
            level=amount.level,
            max_capacity=amount.max_capacity,
            unit=tray.get("unit"),
            ratio=amount.ratio,
            state=amount.state,
        )


def _alert(reason: str) -> Alert:
    """A reason without a suffix is an error."""
    suffix = SUFFIX.search(reason)
    bare = SUFFIX.sub("", reason)
    group, code = ALERT_OF_REASON.get(bare, ("other", bare))
    return Alert(SEVERITIES[suffix[1] if suffix else "error"], group, 0, code, reason)


def _texts(attributes: Attributes, name: str, *, keep_empty: bool = False) -> list[str]:
    texts = [decode_text(one, max_chars=MAX_TEXT_BYTES) for one in attributes.get(name, []) if isinstance(one, bytes)]
    return texts if keep_empty else [one for one in texts if one]


def _text(attributes: Attributes, name: str) -> str | None:
    return next(iter(_texts(attributes, name)), None)


def _number(attributes: Attributes, name: str) -> int | None:
    return next((one for one in attributes.get(name, []) if isinstance(one, int)), None)


def _to_int(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,12}", text) else None
