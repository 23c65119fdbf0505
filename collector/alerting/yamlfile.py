"""YAML whose every value knows its line, and problems that name file and line, all at once.

A file is hostile until read: its size, depth and number of nodes are bounded before a tree is built, aliases included.
"""

import importlib.resources
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from protocol.errors import PermanentError

MAX_FILE_BYTES = 2 << 20
MAX_DEPTH = 32  # a rule file needs 7; the parser behind it would recurse without bound
MAX_NODES = 50_000  # some 2,500 rules; as visited, so an alias counts each time it is used
BLOCK_STYLES = ("|", ">")
NULL_TAG = "tag:yaml.org,2002:null"
MERGE_KEY = "<<"

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML has it


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What must be mended before a file is taken."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class RuleFileError(PermanentError):
    """Holds every problem of every file; nothing of them was taken."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class YamlFile:
    """One file's tree and the problems found in it so far. Its readers note a problem and return None or nothing."""

    def __init__(self, path: Path, *, may_be_empty: bool = False) -> None:
        self.path = path
        self._may_be_empty = may_be_empty
        self.problems: list[Problem] = []
        self._visits_left = MAX_NODES
        self.root = self._compose()

    def refuse(self, node: yaml.Node | None, message: str, *, line_offset: int = 0) -> None:
        """Notes a problem at `node`, `line_offset` lines into its text."""
        line = 1 if node is None else node.start_mark.line + 1 + line_offset
        if line_offset and node is not None and getattr(node, "style", None) in BLOCK_STYLES:
            line += 1  # a block's text begins below its `|`
        self.problems.append(Problem(str(self.path), line, message))

    def mapping(self, node: yaml.Node, what: str, known: frozenset[str] | None = None) -> dict[str, "Entry"]:
        """The entries of a mapping by key. A duplicate key, or one not in `known`, is a problem; null is empty."""
        if is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.refuse(node, f"{what} must be a mapping of keys to values, got {describe(node)}")
            return {}
        entries: dict[str, Entry] = {}
        for key_node, value in node.value:
            if not self._visit(key_node):
                return entries
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(key_node, f"a key of {what} must be plain text, got {describe(key_node)}")
                continue
            key = str(key_node.value)
            if known is not None and key not in known:
                self.refuse(key_node, _unknown_key(key, what, known))
            elif key in entries:
                self.refuse(key_node, f"{key!r} stands twice in {what}; first in line {entries[key].line}")
            else:
                entries[key] = Entry(key_node, value)
        return entries

    def items(self, node: yaml.Node, what: str) -> Iterator[yaml.Node]:
        """The items of a list; null is empty."""
        if is_null(node):
            return
        if not isinstance(node, yaml.SequenceNode):
            self.refuse(node, f"{what} must be a list, got {describe(node)}")
            return
        for item in node.value:
            if not self._visit(item):
                return
            yield item

    def text(self, node: yaml.Node, what: str) -> str | None:
        """A scalar as it is written (`1` and `true` too, as Prometheus reads them); null is empty."""
        if not isinstance(node, yaml.ScalarNode):
            self.refuse(node, f"{what} must be text, got {describe(node)}")
            return None
        return "" if is_null(node) else str(node.value)

    def _visit(self, node: yaml.Node) -> bool:
        self._visits_left -= 1
        if self._visits_left == -1:
            self.refuse(node, f"the file holds more than {MAX_NODES} values, aliases included; split it")
        return self._visits_left >= 0

    def _compose(self) -> yaml.Node | None:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
            if len(raw) > MAX_FILE_BYTES:
                self.refuse(None, f"the file is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
                return None
            text = raw.decode("utf-8-sig")
            if not self._is_bounded(text):
                return None
            root = yaml.compose(text, Loader=_Loader)
        except OSError as exc:
            self.refuse(None, f"cannot be read: {exc.strerror}")
        except UnicodeDecodeError as exc:
            line = raw[: exc.start].count(b"\n")
            self.problems.append(Problem(str(self.path), line + 1, "the text is not UTF-8; save the file as UTF-8"))
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            why = "; ".join(part for part in (exc.context, exc.problem) if part)
            self.problems.append(Problem(str(self.path), mark.line + 1 if mark else 1, f"not YAML: {why}"))
        except yaml.reader.ReaderError as exc:
            line = text[: exc.position].count("\n")
            self.problems.append(Problem(str(self.path), line + 1, f"not YAML: {exc.reason}"))
        else:
            if root is None and not self._may_be_empty:
                self.refuse(None, "the file is empty")
            return root
        return None

    def _is_bounded(self, text: str) -> bool:
        depth = 0
        for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or count > MAX_NODES:
                limit = f"nests deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"has over {MAX_NODES} values"
                line = event.start_mark.line + 1 if event.start_mark else 1
                self.problems.append(Problem(str(self.path), line, f"the file {limit}; split it"))
                return False
        return True


@dataclass(frozen=True, slots=True)
class Entry:
    key: yaml.Node
    value: yaml.Node

    @property
    def line(self) -> int:
        return self.key.start_mark.line + 1


def shipped_folder() -> Path:
    """Where the rule packs of this installation and their thresholds are."""
    return Path(str(importlib.resources.files("rules")))


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL_TAG


def describe(node: yaml.Node) -> str:
    """What stands there, for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if is_null(node) else repr(str(node.value)[:80])


def raise_problems(files: Iterable[YamlFile]) -> None:
    """Raises RuleFileError if any of the files has a problem."""
    problems = [problem for file in files for problem in file.problems]
    if problems:
        raise RuleFileError(problems)


def _unknown_key(key: str, what: str, known: frozenset[str]) -> str:
    if key == MERGE_KEY:
        return f"merge keys ('<<') are not taken in {what}; write the keys out"
    return f"unknown key {key[:80]!r} in {what}; known are {', '.join(sorted(known))}"
