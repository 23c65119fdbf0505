"""What is said of people: names, addresses and languages, and what of it cannot be."""

import re
from collections.abc import Iterator
from enum import StrEnum

from collector.db.text import one_line

MAX_NAME_CHARS = 200
MAX_EMAIL_CHARS = 254  # of an SMTP path (RFC 5321)
MAX_PHONE_CHARS = 64

# No quoted local parts: they are legal, nobody has one, and they carry what mail headers trip over.
_EMAIL = re.compile(r"[^@\s,;:<>()\[\]\"\\]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,63}")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{2,62}(?: ?(?:x|ext\.?|tst\.?) ?[0-9]{1,6})?")


class Language(StrEnum):
    NL = "nl"
    EN = "en"


def problems_of(*, name: str, email: str | None, phone: str | None = None) -> Iterator[str]:
    """A sentence for each thing that is wrong."""
    if not 1 <= len(name) <= MAX_NAME_CHARS or one_line(name).strip() != name:
        yield f"a name has 1 to {MAX_NAME_CHARS} characters on one line"
    if email is not None and (len(email) > MAX_EMAIL_CHARS or not _EMAIL.fullmatch(email) or ".." in email):
        yield f"write a mail address like j.jansen@example.com, not {email[:80]!r}"
    if phone is not None and (len(phone) > MAX_PHONE_CHARS or not _PHONE.fullmatch(phone)):
        yield f"write a phone number like +31 20 123 4567, not {phone[:80]!r}"
