"""What stands in a ticket's fields, and what people may write there."""

import re
from enum import StrEnum

from collector.db.text import one_line
from protocol.errors import PermanentError

MAX_TITLE_CHARS = 500
MAX_TEXT_CHARS = 20_000  # of a comment, a description, a cause, a solution
MAX_CATEGORY_CHARS = 64
MAX_DEVICES = 100  # that one ticket names
MAX_WATCHERS = 50

_CATEGORY = re.compile(r"[a-z0-9][a-z0-9_-]*")


class TicketError(PermanentError):
    """What was asked of a ticket cannot be done; the message says why."""


class TicketKind(StrEnum):
    INCIDENT = "incident"
    REQUEST = "request"
    QUESTION = "question"
    MAINTENANCE = "maintenance"


class TicketSource(StrEnum):
    """What it came from."""

    ALERT = "alert"
    PERSON = "person"  # who works for the provider
    CUSTOMER = "customer"
    PLAN = "plan"  # of regular maintenance


def checked_title(title: str) -> str:
    """One line without control characters. Raises TicketError."""
    shown = one_line(title).strip()
    if not 1 <= len(shown) <= MAX_TITLE_CHARS:
        raise TicketError(f"a title has 1 to {MAX_TITLE_CHARS} characters, not {len(shown)}")
    return shown


def checked_text(what: str, text: str) -> str:
    """Lines of text without other control characters. `what` names it in the error: `a comment`. Raises TicketError."""
    kept = "".join(one for one in text.replace("\r\n", "\n") if one in "\n\t" or one.isprintable()).strip()
    if not 1 <= len(kept) <= MAX_TEXT_CHARS:
        raise TicketError(f"{what} has 1 to {MAX_TEXT_CHARS} characters, not {len(kept)}")
    return kept


def checked_category(category: str) -> str:
    """A word such as `storage`. Raises TicketError."""
    word = category.strip().lower()
    if len(word) > MAX_CATEGORY_CHARS or not _CATEGORY.fullmatch(word):
        raise TicketError(
            f"a category is one word of letters, digits, '-' and '_', such as storage, not {one_line(category)[:80]!r}"
        )
    return word


def category_of(label: str | None) -> str | None:
    """The category that a rule's label names; None if it can be none."""
    try:
        return checked_category(label) if label else None
    except TicketError:
        return None
