"""Regular expressions: RE2 itself, so that none means another thing than in Prometheus or takes exponential time."""

import re
from functools import lru_cache
from typing import Protocol, cast

import re2

_OPTIONS = re2.Options()
_OPTIONS.dot_nl = True  # Prometheus 3: `.` matches a newline too
_OPTIONS.log_errors = False


class Match(Protocol):
    def group(self, key: int | str, /) -> str | None: ...


class Pattern(Protocol):
    """What is used of a compiled pattern; always matched against the whole text."""

    groups: int
    groupindex: dict[str, int]

    def fullmatch(self, text: str) -> Match | None: ...


class RegexError(ValueError):
    """Not a regular expression that RE2 takes."""


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Pattern:
    """Raises RegexError. Source of the syntax: https://github.com/google/re2/wiki/Syntax"""
    try:
        return cast("Pattern", re2.compile(pattern, options=_OPTIONS))
    except re2.error as exc:
        reason = exc.args[0] if exc.args else exc
        raise RegexError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from exc


_REFERENCE = re.compile(r"\$(?:\$|(?P<plain>\w+)|\{(?P<braced>\w+)\})")


def expand(template: str, pattern: Pattern, match: Match) -> str:
    """`$1`, `${1}`, `$name`, `${name}` replaced by what they matched, `$$` by a dollar sign: Go's Regexp.Expand."""

    def replacement(reference: re.Match[str]) -> str:
        name = reference["plain"] or reference["braced"]
        if name is None:
            return "$"
        if name.isascii() and name.isdigit():
            return (match.group(int(name)) or "") if int(name) <= pattern.groups else ""
        return (match.group(name) or "") if name in pattern.groupindex else ""

    return _REFERENCE.sub(replacement, template)
