"""The list of settings for people, made of what `Settings` declares: `python -m collector.catalogue [--check]`."""

import sys
from pathlib import Path

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from collector.config import Settings, variable_of

PATH = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"
INTRODUCTION = """\
# Settings of the collector

Made by `python -m collector.catalogue` from what `collector/config.py` declares; do not edit. Settings stand in
`config.toml` in the data folder or in the file that `--config` names. Each is also an environment variable, which wins
over the file; what the command line gives wins over both. Unknown keys and variables are refused.

| key | default | allowed | environment variable | meaning |
|---|---|---|---|---|
"""


def make_catalogue() -> str:
    """Markdown: one table."""
    return INTRODUCTION + "".join(map(_line, Settings.model_fields, Settings.model_fields.values()))


def main(arguments: list[str]) -> int:
    """Exit code: 0 written or up to date, 1 `--check` found it out of date, 2 wrong usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m collector.catalogue [--check]\n")
        return 2
    catalogue = make_catalogue()
    if not arguments:
        PATH.write_text(catalogue, encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == catalogue:
        return 0
    sys.stderr.write(f"{PATH.name} is out of date; run `python -m collector.catalogue`\n")
    return 1


def _line(key: str, field: FieldInfo) -> str:
    default = "" if field.default is None else f"`{_as_toml(field.default)}`"
    return f"| `{key}` | {default} | {_bounds(field)} | `{variable_of(key)}` | {field.description} |\n"


def _as_toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:_}".removesuffix(".0")
        case _:
            return f'"{value}"'


def _bounds(field: FieldInfo) -> str:
    told = []
    for bound in field.metadata:
        match bound:
            case Ge(ge):
                told.append(f"from {_as_toml(ge)}")
            case Gt(gt):
                told.append(f"above {_as_toml(gt)}")
            case Le(le):
                told.append(f"to {_as_toml(le)}")
    return " ".join(told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
