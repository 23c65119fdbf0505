"""A ticket's events in plain words, for the command line and the pages that people read."""

from collections.abc import Callable, Mapping
from datetime import datetime

from collector.desk.events import EventType, HistoryEvent

Data = Mapping[str, object]


def in_words(event: HistoryEvent) -> str:
    """What happened, as one sentence; a comment's own lines follow it. An event that is not known here is told by its
    type and data."""
    tell = TOLD.get(event.type)
    return tell(event.data) if tell is not None else _unknown(event)


def _opened(data: Data) -> str:
    kind, source = data.get("kind") or "incident", data.get("source") or "alert"
    by = {"alert": "by an alert", "customer": "by the customer", "plan": "as planned,"}.get(str(source), "")
    follows = f"; follows {data['follows']}" if data.get("follows") else ""
    return f"opened {by} as {kind}, {data.get('priority')}".replace("  ", " ") + follows


def _status(data: Data) -> str:
    since = f", since {_time(data['at'])}" if data.get("at") else ""
    return f"{_word(data.get('from'))} → {_word(data.get('to'))}{since}{_why(data)}"


def _priority(data: Data) -> str:
    return f"priority {data.get('from')} → {data.get('to')}{_why(data)}"


def _comment(data: Data) -> str:
    said = "wrote, for the customer too" if data.get("public") else "wrote"
    if data.get("contact") is not None:
        said = f"contact {data['contact']} of the customer says"
    return f"{said}: {data.get('text')}"


def _changed(data: Data) -> str:
    return "; ".join(_field(name, change) for name, change in data.items())


def _field(name: str, change: object) -> str:
    if name == "description" or not isinstance(change, Mapping):
        return f"changed the {name}"
    return f"{name} {_value(change.get('from'))} → {_value(change.get('to'))}"


def _corrected(data: Data) -> str:
    words = {"began_at": "the condition has held since", "resolved_at": "the condition was gone at"}
    return "late data: " + ", ".join(f"{words[name]} {_time(at)}" for name, at in data.items() if name in words)


def _solution(data: Data) -> str:
    if data.get("without"):
        return "resolves it without saying cause and solution"
    return f"cause: {data.get('cause')}\nsolution: {data.get('solution')}"


def _members(what: str) -> Callable[[Data], str]:
    def told(data: Data) -> str:
        parts = [f"{verb} {', '.join(map(str, named))}" for verb, named in _both(data) if named]
        return f"{what}: {'; '.join(parts)}"

    return told


def _both(data: Data) -> list[tuple[str, list[object]]]:
    found: list[tuple[str, list[object]]] = []
    for name in ("added", "removed"):
        named = data.get(name)
        found.append((name, list(named) if isinstance(named, list) else []))
    return found


def _file(verb: str) -> Callable[[Data], str]:
    return lambda data: f"{verb} {data.get('name')} ({data.get('size_bytes')} bytes, file {data.get('id')})"


def _linked(data: Data) -> str:
    return f"{_word(data.get('kind'))} {data.get('other')}"


def _parent(data: Data) -> str:
    return f"part of {data['parent']} now" if data.get("parent") else "no longer part of another ticket"


def _assigned(data: Data) -> str:
    if data.get("to") is None:
        return f"no longer {data.get('from')}'s{_why(data)}"
    before = f", before {data['from']}'s" if data.get("from") else ""
    return f"assigned to {data['to']}{before}{_why(data)}"


def _terms(data: Data) -> str:
    promised = f"SLA {data['sla']}" if data.get("sla") else "no SLA"
    return f"what holds for it: {promised}"


def _clock(word: str) -> Callable[[Data], str]:
    return lambda data: f"the {data.get('clock')} target {word}"


def _work(data: Data) -> str:
    began = f", from {_time(data['started_at'])}" if data.get("started_at") else ""
    free = ", not billable" if data.get("billable") is False else ""
    forgotten = "; nobody stopped it: not billable until somebody corrects it" if data.get("forgotten") else ""
    length = f"{data.get('minutes')} minutes of {data.get('kind')}"
    return f"{data.get('author')}: {length}{began}{free}{_entry(data)}{forgotten}"


def _work_corrected(data: Data) -> str:
    before, after = data.get("from"), data.get("to")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return f"corrected work{_entry(data)}"
    changes = [_correction(str(name), before.get(name), value) for name, value in after.items() if name != "ended_at"]
    return f"corrected work{_entry(data)}: {'; '.join(changes)}"


def _correction(name: str, before: object, after: object) -> str:
    match name:
        case "note":
            return "changed the note"
        case "started_at":
            return f"began {_time(before)} → {_time(after)}"
        case _:
            return f"{_word(name.removeprefix('is_'))} {_value(before)} → {_value(after)}"


def _work_voided(data: Data) -> str:
    minutes = f", {data['minutes']} minutes" if data.get("minutes") is not None else ""
    return f"voided work{_entry(data)}{minutes}{_why(data)}"


def _entry(data: Data) -> str:
    return f" (entry {data.get('entry')})"


def _part(data: Data) -> str:
    price = f"{data.get('unit_price')} {data.get('currency')}"
    return f"used {data.get('quantity')} of {data.get('description')} at {price} (part {data.get('part')})"


def _checklist(data: Data) -> str:
    item = f"item {data.get('item')}, {data.get('text')}"
    if not data.get("done"):
        return f"{item}: left out{_why(data)}" if data.get("reason") else f"{item}: not done after all"
    shown = f", shown by {data['evidence']}" if data.get("evidence") else ""
    file = f", shown by file {data['attachment']}" if data.get("attachment") else ""
    note = f"; {data['note']}" if data.get("note") else ""
    return f"{item}: done{shown}{file}{note}"


TOLD: Mapping[str, Callable[[Data], str]] = {
    EventType.ASSIGNED: _assigned,
    EventType.ESCALATED: lambda data: f"escalated to {data.get('to')}{_why(data)}",
    EventType.TERMS: _terms,
    EventType.SLA_WARNED: _clock("is nearly used up"),
    EventType.SLA_BREACHED: _clock("was missed"),
    EventType.WORK_STARTED: lambda data: f"began {data.get('kind')}{_entry(data)}",
    EventType.WORK: _work,
    EventType.WORK_CORRECTED: _work_corrected,
    EventType.WORK_VOIDED: _work_voided,
    EventType.PART: _part,
    EventType.PART_VOIDED: lambda data: f"voided part {data.get('part')}{_why(data)}",
    EventType.CHECKLIST: _checklist,
    EventType.OPENED: _opened,
    EventType.STATUS: _status,
    EventType.PRIORITY: _priority,
    EventType.COMMENT: _comment,
    EventType.CHANGED: _changed,
    EventType.CORRECTED: _corrected,
    EventType.SOLUTION: _solution,
    EventType.DEVICES: _members("devices"),
    EventType.WATCHERS: _members("watchers"),
    EventType.ATTACHED: _file("attached"),
    EventType.DETACHED: _file("deleted"),
    EventType.LINKED: _linked,
    EventType.UNLINKED: lambda data: f"no longer {_linked(data)}",
    EventType.PARENT: _parent,
    EventType.MERGED: lambda data: f"merged into {data.get('into')}: work on that one",
    EventType.TOOK_IN: lambda data: f"took in ticket {data.get('ticket')}, with its open alerts",
    EventType.UNSTABLE: lambda data: f"comes and goes{_why(data)}",
    EventType.STEADY: lambda data: f"{data.get('reason')}",
}


def _unknown(event: HistoryEvent) -> str:
    told = ", ".join(f"{_word(name)} {_value(value)}" for name, value in event.data.items() if value is not None)
    return _word(event.type) + (f": {told}" if told else "")


def _why(data: Data) -> str:
    return f": {data['reason']}" if data.get("reason") else ""


def _word(name: object) -> str:
    return str(name).replace("_", " ")


def _value(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_value, value))
        case _:
            return str(value)


def _time(at: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(at)):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(at)
