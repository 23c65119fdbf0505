"""Makes sense of what programs print, whatever they print."""

import json
import math

from agent.probes.base import ProbeFailed


def decode(content: bytes) -> str:
    """UTF-8 or, with a byte order mark, UTF-16, as PowerShell writes it; what is neither becomes question marks."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    return content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")


def parse_json(content: bytes, source: str) -> object:
    """Raises ProbeFailed."""
    try:
        return json.loads(decode(content))
    except (ValueError, RecursionError) as error:
        raise ProbeFailed(f"{source} did not answer in JSON ({type(error).__name__})") from error


def dig(content: object, *keys: str) -> object:
    """What lies under these keys; None if anything on the way is missing or no object."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def dig_list(content: object, *keys: str) -> list[object]:
    """PowerShell writes a list of one as the one: taken as a list here."""
    found = dig(content, *keys)
    if isinstance(found, list):
        return found
    return [] if found is None else [found]


def dig_text(content: object, *keys: str) -> str:
    found = dig(content, *keys)
    return found.strip() if isinstance(found, str) else ""


def dig_number(content: object, *keys: str) -> float | None:
    found = dig(content, *keys)
    if isinstance(found, bool):
        return float(found)
    return float(found) if isinstance(found, int | float) and abs(found) < 1e300 and math.isfinite(found) else None


def to_number(text: str) -> float | None:
    """A decimal number; None for anything else, infinity included."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
