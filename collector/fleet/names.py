"""Names that stand in labels, keys and command lines: short, lower case, safe everywhere."""

import re
import unicodedata

from collector.fleet.errors import FleetError

MAX_SLUG_CHARS = 40

PROVIDER = "provider"  # the customer that is built in
COLLECTOR = "collector"  # its site and its device: see provider.py

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def checked_name(what: str, name: str) -> str:
    """`name`, if it can be the id of a customer or site (`what`). Raises FleetError, which suggests one that can."""
    if not _NAME.fullmatch(name):
        raise FleetError(
            f"a {what} is named by lower case letters, digits, '-' and '_', such as {slug(name)!r}, not {name!r}"
        )
    return name


def slug(text: str) -> str:
    """`text` as lower case ASCII letters, digits and single dashes, cut to MAX_SLUG_CHARS; `device` if none is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:MAX_SLUG_CHARS].strip("-") or "device"
