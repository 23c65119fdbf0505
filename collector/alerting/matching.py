"""Matchers over an alert's labels, as people write them for silences and inhibition: Alertmanager's syntax."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from collector.series.read import Matcher, MatchOp
from collector.series.regex import RegexError, compile_regex
from protocol.errors import PermanentError
from protocol.wire import LABEL_NAME_PATTERN

MAX_MATCHERS = 20
MAX_MATCHER_CHARS = 1_000

_WRITTEN = re.compile(r"\s*(?P<label>[^\s=!~]+)\s*(?P<op>=~|!~|!=|=)\s*(?P<value>.*?)\s*", re.DOTALL)


class MatcherError(PermanentError):
    """Not a matcher; the message says what to write instead."""


@lru_cache(maxsize=4096)  # silences are read at every evaluation, and hardly change
def parse_matcher(text: str) -> Matcher:
    """`customer=acme`, `alertname=~"Disk.*"`, `kind!=server`; the quotes may be left out. Raises MatcherError."""
    found = _WRITTEN.fullmatch(text)
    if found is None or len(text) > MAX_MATCHER_CHARS or not re.fullmatch(LABEL_NAME_PATTERN, found["label"]):
        raise MatcherError(f'write a matcher like customer="acme" or alertname=~"Disk.*", not {text[:80]!r}')
    value = found["value"]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    matcher = Matcher(found["label"], MatchOp(found["op"]), value)
    if matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
        try:
            compile_regex(value)
        except RegexError as exc:
            raise MatcherError(f"{text[:80]!r} is no regular expression (RE2): {exc}") from exc
    return matcher


def parse_matchers(texts: Iterable[str]) -> tuple[Matcher, ...]:
    """Raises MatcherError, also if there is none, too many, or none that an alert without labels would not match."""
    matchers = tuple(map(parse_matcher, texts))
    if not 1 <= len(matchers) <= MAX_MATCHERS:
        raise MatcherError(f"name 1 to {MAX_MATCHERS} matchers, not {len(matchers)}")
    if all(matcher.matches("") for matcher in matchers):
        raise MatcherError("these matchers match every alert; name at least one label that must be there")
    return matchers


def write_matcher(matcher: Matcher) -> str:
    """As `parse_matcher` reads it."""
    value = matcher.value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{matcher.label}{matcher.op}"{value}"'


def all_match(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """A label that is missing counts as empty."""
    return all(matcher.matches(labels.get(matcher.label, "")) for matcher in matchers)
