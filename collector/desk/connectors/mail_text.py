"""What a mail says, in the recipient's language."""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.db.text import one_line
from collector.desk.delivery import Message
from collector.desk.resolving import Texts

MAX_SUBJECT_CHARS = 200
MAX_QUOTED_CHARS = 5_000

# By kind, what happened: in the subject, and as the first sentence.
_WORDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "nl": {
        "opened": ("nieuw", "Er is een nieuwe melding."),
        "assigned": ("toegewezen", "De melding is toegewezen aan {to}."),
        "commented": ("reactie", "Er is een nieuwe reactie op de melding:"),
        "escalated": ("escalatie", "De melding is geëscaleerd naar {to}: {reason}"),
        "warned": ("bijna te laat", "De afgesproken tijd voor deze melding is bijna om ({clock})."),
        "breached": ("te laat", "De afgesproken tijd voor deze melding is voorbij ({clock})."),
        "resolved": ("opgelost", "De melding is opgelost."),
        "reopened": ("heropend", "De melding is weer open."),
    },
    "en": {
        "opened": ("new", "There is a new ticket."),
        "assigned": ("assigned", "The ticket is assigned to {to}."),
        "commented": ("comment", "There is a new comment on the ticket:"),
        "escalated": ("escalated", "The ticket is escalated to {to}: {reason}"),
        "warned": ("nearly late", "The time agreed for this ticket is nearly over ({clock})."),
        "breached": ("late", "The time agreed for this ticket is over ({clock})."),
        "resolved": ("resolved", "The ticket is resolved."),
        "reopened": ("reopened", "The ticket is open again."),
    },
}
_CLOCKS: Mapping[str, Mapping[str, str]] = {
    "nl": {"response": "reactietijd", "resolution": "oplostijd"},
    "en": {"response": "response", "resolution": "resolution"},
}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "nl": {
        "ticket": "Melding",
        "customer": "Klant",
        "site": "Locatie",
        "device": "Apparaat",
        "priority": "Prioriteit",
        "assignee": "Behandelaar",
    },
    "en": {
        "ticket": "Ticket",
        "customer": "Customer",
        "site": "Site",
        "device": "Device",
        "priority": "Priority",
        "assignee": "Technician",
    },
}
_SOLUTION: Mapping[str, tuple[str, str]] = {
    "nl": ("Wat er aan de hand was:", "Wat eraan is gedaan:"),
    "en": ("What was wrong:", "What was done about it:"),
}
_ASKED: Mapping[str, str] = {
    "nl": "Is het niet verholpen, of wilt u iets kwijt over hoe het ging? Laat het ons weten.",
    "en": "Is it not mended, or is there something to say about how it went? Let us know.",
}
DEFAULT_LANGUAGE = "nl"
NO_TEXTS = Texts(None, None, None)


@dataclass(frozen=True, slots=True)
class MailText:
    subject: str
    body: str


def mail_text(
    message: Message, language: str, texts: Texts = NO_TEXTS, *, is_ours: bool = True, summary: str | None = None
) -> MailText:
    """Without what is internal: notes are not told, and reasons only to those who work here. Of a ticket that is
    resolved it tells cause and solution, and asks who is not ours how it went. `summary` says in a customer's words
    what it is about."""
    language = language if language in _WORDS else DEFAULT_LANGUAGE
    ticket, data = message.ticket, message.data
    word, sentence = _WORDS[language][message.kind]
    clock = str(data.get("clock") or "")
    told = {
        "to": one_line(str(data.get("to") or "-")),
        "reason": one_line(str(data.get("reason") or "-")),
        "clock": _CLOCKS[language].get(clock, one_line(clock)),
    }
    lines = [sentence.format(**told), "", *([one_line(summary), ""] if summary else [])]
    if message.kind == "commented":
        lines += [*_quoted(str(data.get("text") or "")), ""]
    if message.kind == "resolved":
        for title, text in zip(_SOLUTION[language], (texts.cause, texts.solution), strict=True):
            lines += [title, *_quoted(text), ""] if text else []
        lines += [] if is_ours else [_ASKED[language], ""]
    names = _FIELDS[language]
    fields = {
        names["ticket"]: f"{ticket.number}: {ticket.title}",
        names["customer"]: ticket.customer,
        names["site"]: ticket.site,
        names["device"]: ticket.device,
        names["priority"]: ticket.priority.value,
        names["assignee"]: ticket.assignee,
    }
    width = max(map(len, names.values())) + 1
    lines += [f"{name + ':':<{width}} {one_line(value)}" for name, value in fields.items() if value]
    subject = one_line(f"[#{ticket.number}] {word}: {ticket.title}")[:MAX_SUBJECT_CHARS]
    return MailText(subject, "\n".join(lines) + "\n")


def _quoted(text: str) -> list[str]:
    return [f"> {one_line(line)}" for line in text[:MAX_QUOTED_CHARS].splitlines()]
