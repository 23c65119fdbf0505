"""A first look at the text of a query, before the parser sees it.

The parser gives no places and can be brought down by depth, so this finds the column that a message speaks of, and
refuses early what is too long or nested too deep.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from collector.promql.errors import ParseError

MAX_CHARACTERS = 32_768
MAX_TOKENS = 5_000
MAX_NESTING = 100
MAX_DURATION_SECONDS = 100 * 365 * 24 * 3_600

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
  | (?P<number>(?:0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?:[a-z0-9]*[a-z])?)
  | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<other>=~|!~|==|!=|>=|<=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED_BYTE = re.compile(r"\\(?:x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})|.)", re.DOTALL)
_UNDERSCORE = re.compile(r"(?<=[0-9a-fA-F])_(?=[0-9a-fA-F])")
_ZERO = re.compile(r"0+(?:ms|[smhdwy])?")
_QUOTED = re.compile(r"'([^']+)'")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    column: int  # from 1


def scan(text: str) -> tuple[Token, ...]:
    """The words of a query. Raises ParseError if it is too long, too deep, or holds what the parser gets wrong."""
    if len(text) > MAX_CHARACTERS:
        raise ParseError(f"a query may have {MAX_CHARACTERS} characters, this one has {len(text)}; split it into rules")
    tokens: list[Token] = []
    depth = 0
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "other"
        if kind == "space":
            continue
        token = Token(kind, found[0], found.start() + 1)
        depth += (token.text in "([{") - (token.text in ")]}") if kind == "other" else 0
        if depth > MAX_NESTING:
            raise ParseError(f"nested deeper than {MAX_NESTING} brackets", token.column)
        if kind == "string" and token.text[0] != "`":
            _refuse_broken_bytes(token)
        if token.text == "-" and tokens and tokens[-1].text == "@":
            raise ParseError("'@' takes a time after 1970", token.column)
        _refuse_endless(token, tokens)
        tokens.append(token)
        if len(tokens) > MAX_TOKENS:
            raise ParseError(f"a query may have {MAX_TOKENS} words and signs", token.column)
    return tuple(tokens)


def for_parser(text: str, tokens: Sequence[Token]) -> str:
    """The text with what Prometheus takes and the parser does not written otherwise; every word keeps its column.

    These are `offset 0s`, which says nothing, and digits grouped by underscores.
    """
    for before, token in pairwise(tokens):
        if before.text.lower() == "offset" and _ZERO.fullmatch(token.text):
            text = _overwritten(_overwritten(text, before, ""), token, "")
    for token in tokens:
        if token.kind == "number" and "_" in token.text:
            text = _overwritten(text, token, _UNDERSCORE.sub("", token.text))
    return text


def _overwritten(text: str, token: Token, new: str) -> str:
    start = token.column - 1
    return text[:start] + new.ljust(len(token.text)) + text[start + len(token.text) :]


def column_of(name: str, tokens: Sequence[Token]) -> int | None:
    """Where `name` first stands as a word of its own."""
    return next((token.column for token in tokens if token.text == name), None)


def column_of_complaint(message: str, tokens: Sequence[Token]) -> int | None:
    """The place of what the parser's message names in quotes, None if it names nothing that stands in the query."""
    for name in _QUOTED.findall(message):
        column = column_of(name, tokens)
        if column is not None:
            return column
    return None


def open_brackets(tokens: Sequence[Token]) -> list[str]:
    """For each token, what would close the brackets that are open before it."""
    closing = {"(": ")", "[": "]", "{": "}"}
    found, stack = [], ""
    for token in tokens:
        found.append(stack)
        if token.text in closing:
            stack = closing[token.text] + stack
        elif stack and token.text == stack[0]:
            stack = stack[1:]
    return found


def _refuse_endless(token: Token, before: Sequence[Token]) -> None:
    """A duration in plain seconds that no duration type holds."""
    lead = next((earlier.text for earlier in reversed(before) if earlier.text not in {"+", "-"}), "")
    if lead != "[" and lead.lower() != "offset":
        return
    try:
        seconds = float(token.text)
    except ValueError:
        return
    if not seconds <= MAX_DURATION_SECONDS:
        raise ParseError("a duration may not exceed 100 years", token.column)


def _refuse_broken_bytes(token: Token) -> None:
    """In Go's strings `\\xff` is a byte, which the parser takes for a character."""
    for escape in _ESCAPED_BYTE.finditer(token.text):
        number = int(escape["hex"], 16) if escape["hex"] else int(escape["octal"], 8) if escape["octal"] else 0
        if number > 0x7F:
            raise ParseError(f"{escape[0]} is no UTF-8 text; write the character itself", token.column)
