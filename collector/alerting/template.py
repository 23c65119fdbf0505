"""The part of Prometheus's Go templates that rules really use: compiled and type-checked once, rendered often.

Taken: `{{ $labels }}`, `{{ $labels.x }}`, `{{ $value }}`, `$externalLabels`, `$externalURL` and their long forms
`.Labels`, `.Value`, `.ExternalLabels`, `.ExternalURL`; pipelines and parentheses; the functions in FUNCTIONS; `if`,
`else if`, `else`, `end`; comments and trim markers. Anything else is refused when the rule is loaded, as is what would
fail at every rendering, such as comparing $value with `90`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from collector.alerting.gotext import Value, plain
from collector.alerting.template_functions import FUNCTIONS, REFUSED_FUNCTIONS, Kind, Operand, RefusalError
from protocol.errors import PermanentError

MAX_OUTPUT_CHARS = 4_000  # an annotation is read by people
MAX_NESTING = 20
CUT = "…"

Render = Callable[[Mapping[str, str], float], str]

TRIM_LEFT = re.compile(r"-(?=\s)")
TRIM_RIGHT = re.compile(r"\s-\}\}")
COMMENT = re.compile(r"(-\s+)?/\*.*?\*/(\s+-)?\}\}", re.DOTALL)
TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<raw>`[^`]*`)
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<path>(?:\$\w*)?(?:\.\w+)+|\$\w*|\.)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>:=|[|(),=])""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"'}
KEYWORDS = frozenset({"if", "else", "end"})
REFUSED_KEYWORDS = {
    "range": "write out the labels that matter, such as {{ $labels.device_id }}",
    "with": "use if … else … end",
    "define": "write the text where it is used",
    "template": "write the text where it is used",
    "block": "write the text where it is used",
    "break": "remove it",
    "continue": "remove it",
}


class TemplateError(PermanentError):
    """A template that is not taken: `line_offset` lines into its text."""

    def __init__(self, message: str, line_offset: int) -> None:
        super().__init__(message)
        self.line_offset = line_offset


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What templates see beside their alert; the same for all alerts, so it is known when a template is compiled."""

    labels: Mapping[str, str] = field(default_factory=dict)  # `external_labels`
    url: str = ""  # `external_url`


NO_SURROUNDINGS = Surroundings()


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; equal to another of the same text."""

    text: str
    _render: Render | None = field(default=None, repr=False, compare=False)  # None: the text as it is

    @classmethod
    def compile(cls, text: str, surroundings: Surroundings = NO_SURROUNDINGS) -> "Template":
        """Raises TemplateError."""
        return cls(text, _Compiler(text, surroundings).compile() if "{{" in text else None)

    @property
    def is_constant(self) -> bool:
        return self._render is None

    def render(self, labels: Mapping[str, str], value: float) -> str:
        """The text for one alert: `labels` are its sample's, `__name__` included where it has one.

        Never raises: where Prometheus would fail, the text says so as it does there. At most MAX_OUTPUT_CHARS long.
        """
        if self._render is None:
            text = self.text
        else:
            try:
                text = self._render(labels, value)
            except ValueError as exc:
                text = f"<error expanding template: {exc}>"
        return text if len(text) <= MAX_OUTPUT_CHARS else text[: MAX_OUTPUT_CHARS - 1] + CUT


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(slots=True)
class _Block:
    """An `if` that is open: its finished branches, and the one being filled."""

    at: int
    branches: list[tuple[Operand, Render]]
    condition: Operand | None  # None: in the else branch
    parts: list[Render]


class _Compiler:
    def __init__(self, text: str, surroundings: Surroundings) -> None:
        self.text = text
        self.surroundings = surroundings
        self.open: list[_Block] = []
        self.parts: list[Render] = []
        self.tokens: list[_Token] = []
        self.at = 0  # index in tokens
        self.nesting = 0

    def compile(self) -> Render:
        position, trim = 0, False
        while (start := self.text.find("{{", position)) >= 0:
            left_trim = TRIM_LEFT.match(self.text, start + 2) is not None
            self._add_text(self.text[position:start], trim_left=trim, trim_right=left_trim)
            position, trim = self._action(start, left_trim=left_trim)
        self._add_text(self.text[position:], trim_left=trim, trim_right=False)
        if self.open:
            raise self._error("this 'if' has no {{ end }}", self.open[-1].at)
        return _joined(self.parts)

    def _add_text(self, text: str, *, trim_left: bool, trim_right: bool) -> None:
        text = text.lstrip(" \t\r\n") if trim_left else text
        text = text.rstrip(" \t\r\n") if trim_right else text
        if text:
            self.parts.append(partial(_constant, text))

    def _action(self, start: int, *, left_trim: bool) -> tuple[int, bool]:
        """Takes one action; the position behind it, and whether it trims the text that follows."""
        if comment := COMMENT.match(self.text, start + 2):
            return comment.end(), comment[2] is not None
        position = start + 2 + left_trim
        self.tokens, self.at = [], 0
        while True:
            trims = TRIM_RIGHT.match(self.text, position) is not None
            if trims or self.text.startswith("}}", position):
                break
            token = TOKEN.match(self.text, position)
            if token is None:
                shown = self.text[position : position + 20].split("\n")[0]
                what = f"cannot be read here: {shown!r}" if shown else "has no closing '}}'"
                raise self._error(f"the template {what}", min(position, len(self.text) - 1))
            if token.lastgroup != "blank":
                self.tokens.append(_Token(str(token.lastgroup), token[0], position))
            position = token.end()
        if not self.tokens:
            raise self._error("an action {{ }} is empty; remove it", start)
        self._statement(start)
        return position + (4 if trims else 2), trims

    def _statement(self, start: int) -> None:
        first = self.tokens[0]
        if first.kind == "word" and first.text in REFUSED_KEYWORDS:
            raise self._error(f"{first.text!r} is not taken; {REFUSED_KEYWORDS[first.text]}", first.at)
        for token in self.tokens:
            if token.text in (":=", "=", ","):
                raise self._error("variables are not taken; write the value where it is used", token.at)
        if first.kind != "word" or first.text not in KEYWORDS:
            value = self._pipeline()
            self._expect_end()
            self.parts.append(partial(_printed, value.evaluate))
            return
        self.at = 1
        if first.text == "if":
            if len(self.open) >= MAX_NESTING:
                raise self._error(f"'if' is nested deeper than {MAX_NESTING}", start)
            self.open.append(_Block(start, [], self._pipeline(), self.parts))
            self.parts = []
        elif not self.open:
            raise self._error(f"{first.text!r} stands without an 'if'", start)
        elif first.text == "else":
            self._else(start)
        else:
            block = self.open.pop()
            otherwise = self._close_branch(block)
            self.parts = block.parts
            self.parts.append(partial(_chosen, tuple((one.evaluate, text) for one, text in block.branches), otherwise))
        self._expect_end()

    def _else(self, start: int) -> None:
        block = self.open[-1]
        if block.condition is None:
            raise self._error("an 'if' has two plain 'else'", start)
        self._close_branch(block)
        if self.at < len(self.tokens) and self.tokens[self.at].text == "if":
            self.at += 1
            block.condition = self._pipeline()
        else:
            block.condition = None
        self.parts = []

    def _close_branch(self, block: _Block) -> Render | None:
        """Ends the branch being filled; returns it if it was the else branch."""
        rendered = _joined(self.parts)
        if block.condition is None:
            return rendered
        block.branches.append((block.condition, rendered))
        return None

    def _pipeline(self) -> Operand:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self._error(f"parentheses are nested deeper than {MAX_NESTING}", self._here())
        value = self._command(None)
        while self._takes("|"):
            value = self._command(value)
        self.nesting -= 1
        return value

    def _command(self, piped: Operand | None) -> Operand:
        if self.at >= len(self.tokens):
            raise self._error("a value is missing", self._here())
        token = self.tokens[self.at]
        if token.kind == "word" and token.text not in ("true", "false"):
            self.at += 1
            arguments = []
            while self.at < len(self.tokens) and self.tokens[self.at].text not in ("|", ")"):
                arguments.append(self._operand())
            return self._call(token, arguments + ([] if piped is None else [piped]))
        value = self._operand()
        if piped is not None:
            raise self._error(f"behind '|' must stand a function, not {token.text!r}", token.at)
        return value

    def _call(self, token: _Token, arguments: list[Operand]) -> Operand:
        if token.text not in FUNCTIONS:
            advice = REFUSED_FUNCTIONS.get(token.text, f"known are {', '.join(sorted(FUNCTIONS))}")
            raise self._error(f"the function {token.text!r} is not taken; {advice}", token.at)
        try:
            return FUNCTIONS[token.text](arguments)
        except RefusalError as exc:
            raise self._error(f"{token.text}: {exc}", token.at) from exc

    def _operand(self) -> Operand:  # noqa: PLR0911 - one line for each kind of token
        if self.at >= len(self.tokens):
            raise self._error("a value is missing", self._here())
        token = self.tokens[self.at]
        self.at += 1
        match token.kind:
            case "string":
                return Operand.constant(Kind.TEXT, self._unquoted(token))
            case "raw":
                return Operand.constant(Kind.TEXT, token.text[1:-1])
            case "number" if re.fullmatch(r"[+-]?\d+", token.text):
                return Operand.constant(Kind.WHOLE, int(token.text))
            case "number":
                return Operand.constant(Kind.NUMBER, float(token.text))
            case "path":
                return self._path(token)
            case "word" if token.text in ("true", "false"):
                return Operand.constant(Kind.TRUTH, token.text == "true")
            case "word":
                raise self._error(f"put the call of {token.text!r} in parentheses", token.at)
            case "mark" if token.text == "(":
                value = self._pipeline()
                if not self._takes(")"):
                    raise self._error("this '(' is not closed", token.at)
                return value
        raise self._error(f"{token.text!r} is not expected here", token.at)

    def _path(self, token: _Token) -> Operand:  # noqa: PLR0911 - one line for each path
        match token.text.removeprefix("$").split("."):
            case ["value"] if token.text[0] == "$":
                return Operand(Kind.NUMBER, _the_value)
            case ["labels"] if token.text[0] == "$":
                return Operand(Kind.LABELS, _the_labels)
            case ["labels", name] if token.text[0] == "$":
                return Operand(Kind.TEXT, partial(_the_label, name))
            case ["", "Value"]:
                return Operand(Kind.NUMBER, _the_value)
            case ["", "Labels"]:
                return Operand(Kind.LABELS, _the_labels)
            case ["", "Labels", name]:
                return Operand(Kind.TEXT, partial(_the_label, name))
            case ["externalLabels"] if token.text[0] == "$":
                return self._external()
            case ["externalLabels", name] if token.text[0] == "$":
                return self._external(name)
            case ["", "ExternalLabels"]:
                return self._external()
            case ["", "ExternalLabels", name]:
                return self._external(name)
            case ["externalURL"] if token.text[0] == "$":
                return Operand.constant(Kind.TEXT, self.surroundings.url)
            case ["", "ExternalURL"]:
                return Operand.constant(Kind.TEXT, self.surroundings.url)
        raise self._error(f"{token.text!r} is not known; write $value, $labels or $labels.NAME", token.at)

    def _external(self, name: str | None = None) -> Operand:
        labels = self.surroundings.labels
        if name is None:
            return Operand.constant(Kind.LABELS, labels)
        return Operand.constant(Kind.TEXT, labels.get(name, ""))

    def _unquoted(self, token: _Token) -> str:
        def one(found: re.Match[str]) -> str:
            code = found[1]
            if code[0] in "xuU" and len(code) > 1:
                number = int(code[1:], 16)
            elif code.isdigit() and len(code) == 3:
                number = int(code, 8)
            elif code in ESCAPES:
                return ESCAPES[code]
            else:
                raise self._error(f"'\\{code}' is no escape; write '\\\\{code}' for a backslash", token.at)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                raise self._error(f"'\\{code}' is no character", token.at)
            return chr(number)

        return ESCAPE.sub(one, token.text[1:-1])

    def _takes(self, mark: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at].text == mark:
            self.at += 1
            return True
        return False

    def _expect_end(self) -> None:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            raise self._error(f"{token.text!r} is not expected here", token.at)

    def _here(self) -> int:
        return self.tokens[min(self.at, len(self.tokens) - 1)].at

    def _error(self, message: str, at: int) -> TemplateError:
        return TemplateError(message, self.text.count("\n", 0, at))


def _the_value(_labels: Mapping[str, str], value: float) -> Value:
    return value


def _the_labels(labels: Mapping[str, str], _value: float) -> Value:
    return labels


def _the_label(name: str, labels: Mapping[str, str], _value: float) -> Value:
    return labels.get(name, "")


def _constant(text: str, _labels: Mapping[str, str], _value: float) -> str:
    return text


def _printed(evaluate: Callable[[Mapping[str, str], float], Value], labels: Mapping[str, str], value: float) -> str:
    return plain(evaluate(labels, value))


def _chosen(
    branches: tuple[tuple[Callable[[Mapping[str, str], float], Value], Render], ...],
    otherwise: Render | None,
    labels: Mapping[str, str],
    value: float,
) -> str:
    for condition, text in branches:
        if condition(labels, value):  # 0, "", false and no labels are false, in Go as here
            return text(labels, value)
    return otherwise(labels, value) if otherwise else ""


def _joined(parts: list[Render]) -> Render:
    if len(parts) == 1:
        return parts[0]
    fixed = tuple(parts)
    return lambda labels, value: "".join([part(labels, value) for part in fixed])
