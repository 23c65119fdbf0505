"""Which files may stand beside a ticket: those that a desk needs, if their content is what their name says."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import filetype

from collector.db.text import one_line
from collector.desk.fields import TicketError

MAX_NAME_CHARS = 150
LOOKED_AT_BYTES = 8_192  # what tells types apart stands at the beginning; nothing is unpacked

_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_ZIP = "application/zip"

# By the end of the name: the type, and what the content may look like. Text has no mark of its own.
_TEXT = frozenset({None})
ALLOWED: Mapping[str, tuple[str, frozenset[str | None]]] = {
    "png": ("image/png", frozenset({"image/png"})),
    "jpg": ("image/jpeg", frozenset({"image/jpeg"})),
    "jpeg": ("image/jpeg", frozenset({"image/jpeg"})),
    "gif": ("image/gif", frozenset({"image/gif"})),
    "webp": ("image/webp", frozenset({"image/webp"})),
    "heic": ("image/heic", frozenset({"image/heic"})),
    "pdf": ("application/pdf", frozenset({"application/pdf"})),
    "docx": (f"{_OFFICE}.wordprocessingml.document", frozenset({f"{_OFFICE}.wordprocessingml.document", _ZIP})),
    "xlsx": (f"{_OFFICE}.spreadsheetml.sheet", frozenset({f"{_OFFICE}.spreadsheetml.sheet", _ZIP})),
    "pptx": (f"{_OFFICE}.presentationml.presentation", frozenset({f"{_OFFICE}.presentationml.presentation", _ZIP})),
    "odt": (f"{_OPEN}.text", frozenset({f"{_OPEN}.text", _ZIP})),
    "ods": (f"{_OPEN}.spreadsheet", frozenset({f"{_OPEN}.spreadsheet", _ZIP})),
    "zip": (_ZIP, frozenset({_ZIP})),
    "gz": ("application/gzip", frozenset({"application/gzip"})),
    "7z": ("application/x-7z-compressed", frozenset({"application/x-7z-compressed"})),
    "mp4": ("video/mp4", frozenset({"video/mp4"})),
    "txt": ("text/plain", _TEXT),
    "log": ("text/plain", _TEXT),
    "csv": ("text/csv", _TEXT),
    "json": ("application/json", _TEXT),
    "eml": ("message/rfc822", _TEXT),
}


def cleaned_name(name: str) -> str:
    """The last part of a path, without control characters and what file systems take ill. Raises TicketError."""
    shown = one_line(name.replace("\\", "/").rsplit("/", 1)[-1])
    kept = "".join("_" if one in '<>:"|?*' else one for one in shown).strip(" .")
    path = PurePosixPath(kept)
    if not kept or not path.suffix:
        raise TicketError(f"name the file with its type, such as screen.png; it may be one of: {', '.join(ALLOWED)}")
    return path.stem[: MAX_NAME_CHARS - len(path.suffix)] + path.suffix


def media_type_of(name: str, content: bytes) -> str:
    """The type of a file whose name was cleaned. Raises TicketError if it may not be attached, or is something else
    than its name says."""
    ending = PurePosixPath(name).suffix[1:].lower()
    if ending not in ALLOWED:
        raise TicketError(
            f"files of type .{ending[:20]} are not taken; pack them, or send one of: {', '.join(ALLOWED)}"
        )
    media_type, looks = ALLOWED[ending]
    seen = filetype.guess_mime(content[:LOOKED_AT_BYTES])
    if seen not in looks or (looks is _TEXT and not _is_text(content)):
        raise TicketError(
            f"{name[:80]} is no .{ending} inside, "
            + (f"but {seen}: name it by that" if seen else "nor anything else that is known: save it anew, or pack it")
        )
    return media_type


def _is_text(content: bytes) -> bool:
    """UTF-8, or UTF-16 with its mark, as Windows writes logs; without NUL."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return "\0" not in content.decode(encoding)
    except UnicodeDecodeError:
        return False
