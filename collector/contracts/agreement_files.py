"""The YAML files that say what is sold and promised: those shipped, and the provider's own in the data folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from protocol.errors import PermanentError

T = TypeVar("T")

MAX_FILE_BYTES = 256 << 10
MAX_DEPTH = 16  # a service model needs 4; the parser behind it would recurse without bound
NAME_PATTERN = r"^[a-z0-9][a-z0-9_]{0,63}$"

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML has it


class Written(BaseModel):
    """What a person wrote: a typo must not change what is promised."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AgreementFileError(PermanentError):
    """A file is wrong, and nothing of it was taken; the message names each problem with file, line and place."""


def own_text(path: Path) -> str | None:
    """The text of a file of the provider's, None without one. Raises AgreementFileError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise AgreementFileError(f"{path}:1: is larger than {MAX_FILE_BYTES >> 10} KiB; is it the right file?")
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise AgreementFileError(f"{path}:1: cannot be read: {exc}") from exc


def parse(adapter: TypeAdapter[T], text: str, source: str) -> T:
    """What `text` (YAML) says; `source` names it in errors. Raises AgreementFileError with all problems at once."""
    root, value = _tree(text, source)
    problems = list(_repeated(root, source))
    try:
        found = adapter.validate_python({} if value is None else value)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_input=False):
            parts = [part for part in error["loc"] if part != "[key]"]
            place = ".".join(map(str, parts)) or "file"
            unknown = error["type"] == "extra_forbidden"
            told = "there is no such key" if unknown else error["msg"].removeprefix("Value error, ")
            problems.append(f"{source}:{_line(root, parts)}: {place}: {told}")
        raise AgreementFileError("\n".join(problems)) from exc
    if problems:
        raise AgreementFileError("\n".join(problems))
    return found


def place_of(text: str, *parts: str) -> int:
    """The line of a key of a text that was parsed before."""
    return _line(yaml.compose(text, Loader=_Loader), parts)


def _tree(text: str, source: str) -> tuple[yaml.Node | None, Any]:
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise AgreementFileError(f"{source}:{line}: nests deeper than {MAX_DEPTH} levels")
            if isinstance(event, yaml.AliasEvent):
                raise AgreementFileError(f"{source}:{line}: aliases (*{event.anchor}) are not taken; write it out")
        return yaml.compose(text, Loader=_Loader), yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise AgreementFileError(f"{source}:{mark.line + 1 if mark else 1}: is not valid YAML: {exc.problem}") from exc
    except (yaml.YAMLError, ValueError) as exc:  # ValueError: a date that there is not
        raise AgreementFileError(f"{source}:1: is not valid YAML: {exc}") from exc


def _repeated(node: yaml.Node | None, source: str) -> Iterator[str]:
    """Keys that stand twice in one mapping, of which YAML would take the last."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                yield f"{source}:{key.start_mark.line + 1}: {key.value} stands here a second time"
            seen.add(str(key.value))
            yield from _repeated(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item, source)


def _line(node: yaml.Node | None, parts: Sequence[str | int]) -> int:
    """The line of the key that `parts` lead to, or of the last that is there."""
    line = 1
    for part in parts:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if str(key.value) == str(part):
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        if found is None:
            return line
        node = found
    return line
