"""Which thresholds there are: thresholds.yaml, read whole, and what may be set for each of them."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import yaml

from collector.alerting.yamlfile import Entry, YamlFile, raise_problems, shipped_folder
from collector.fleet.layers import Layer
from protocol.errors import PermanentError
from protocol.wire import Kind

FILE_NAME = "thresholds.yaml"
FILE_KEYS = frozenset({"thresholds"})
DEFINITION_KEYS = frozenset({"description", "unit", "default", "min", "max", "per", "by_kind"})
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")

LAYERS = tuple(Layer)  # the later wins
RATIO = "ratio"
# The lowest and highest value where a definition names none; other units have no bounds of their own.
BOUNDS_OF_UNIT = {RATIO: (0.0, 1.0), "seconds": (0.0, math.inf), "bytes": (0.0, math.inf)}


class ThresholdError(PermanentError):
    """No threshold is called so, or it cannot have this value; the message says what to write instead."""


class Per(StrEnum):
    """What has a value of its own."""

    DEVICE = "device"
    SITE = "site"
    CUSTOMER = "customer"


# How wide a layer may be to have a say: a site's threshold cannot differ between its devices.
LAYERS_OF = {
    Per.DEVICE: LAYERS,
    Per.SITE: (Layer.PLAN, Layer.CUSTOMER, Layer.SITE),
    Per.CUSTOMER: (Layer.PLAN, Layer.CUSTOMER),
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A threshold as thresholds.yaml defines it."""

    name: str
    description: str
    unit: str
    default: float
    per: Per = Per.DEVICE
    by_kind: Mapping[str, float] = field(default_factory=dict)  # the default of some kinds of device
    lowest: float = -math.inf
    highest: float = math.inf

    def default_for(self, kind: str) -> float:
        return self.by_kind.get(kind, self.default)

    def why_not(self, value: float) -> str | None:
        """What is wrong with a value; None if nothing is."""
        if self.lowest <= value <= self.highest:
            return None
        sentence = f"{self.name} is {self._unit_and_range()}"
        if self.unit == RATIO and self.highest == 1 and 1 < value <= 100:
            return f"{sentence}; for {value:g} % write {value / 100:g}"
        return f"{sentence}, not {value:g}"

    def check(self, value: float, layer: Layer, *, by_hours: bool = False) -> None:
        """Raises ThresholdError unless it may have this value in this layer, with `by_hours` for some hours only."""
        if layer not in LAYERS_OF[self.per]:
            *others, last = LAYERS_OF[self.per]
            raise ThresholdError(
                f"{self.name} has one value for each {self.per}: set it for a {', '.join(others)} or {last}, "
                f"not for a {layer}"
            )
        if by_hours and self.per is Per.CUSTOMER:
            raise ThresholdError(
                f"{self.name} has one value for each customer, and the clocks of a customer's sites may differ: "
                "set it for all times"
            )
        if (wrong := self.why_not(value)) is not None:
            raise ThresholdError(wrong)

    def _unit_and_range(self) -> str:
        unit = "a ratio" if self.unit == RATIO else f"in {self.unit}"
        if math.isinf(self.highest):
            return f"{unit}, {self.lowest:g} or more"
        if math.isinf(self.lowest):
            return f"{unit}, {self.highest:g} or less"
        return f"{unit} from {self.lowest:g} to {self.highest:g}"


def definition_named(definitions: Mapping[str, Definition], name: str) -> Definition:
    """Raises ThresholdError, with the name that was probably meant."""
    if name not in definitions:
        near = difflib.get_close_matches(name, definitions, n=1)
        hint = f"did you mean {near[0]}?" if near else "see: thresholds defaults"
        raise ThresholdError(f"there is no threshold {name[:80]!r}; {hint}")
    return definitions[name]


def thresholds_file(rules: Path | None = None) -> Path:
    """The thresholds.yaml that goes with the rules in a folder: the one beside them, else the shipped one."""
    if rules is not None:
        beside = (rules if rules.is_dir() else rules.parent) / FILE_NAME
        if beside.is_file():
            return beside
    return shipped_folder() / FILE_NAME


def load_thresholds(path: Path) -> Mapping[str, Definition]:
    """The definitions by name. Raises RuleFileError with every problem of the file."""
    file = YamlFile(path)
    definitions: dict[str, Definition] = {}
    if file.root is not None:
        top = file.mapping(file.root, "a thresholds file", FILE_KEYS)
        if "thresholds" in top:
            for name, entry in file.mapping(top["thresholds"].value, "'thresholds'").items():
                definition = _definition(file, name, entry)
                if definition is not None:
                    definitions[name] = definition
        elif not file.problems:
            file.refuse(file.root, "not a thresholds file: it has no 'thresholds'")
    raise_problems([file])
    return definitions


def _definition(file: YamlFile, name: str, entry: Entry) -> Definition | None:
    if not NAME_PATTERN.fullmatch(name):
        file.refuse(entry.key, f"a threshold is named like filesystem_full, not {name[:80]!r}")
    keys = file.mapping(entry.value, f"the threshold {name!r}", DEFINITION_KEYS)
    texts: dict[str, str] = {}
    for key in ("description", "unit", "default"):
        text = file.text(keys[key].value, f"{key!r}") if key in keys else ""
        if not text:
            file.refuse(keys[key].value if key in keys else entry.key, f"the threshold {name!r} needs a {key!r}")
        texts[key] = text or ""
    default = _number(file, keys["default"].value, "'default'") if texts["default"] else None
    per = file.text(keys["per"].value, "'per'") if "per" in keys else Per.DEVICE
    if per is None:
        return None
    if per not in [*Per]:
        file.refuse(keys["per"].value, f"'per' must be {', '.join(Per)}, got {per!r}")
        return None
    by_kind: dict[str, float] = {}
    nodes: dict[str, yaml.Node] = {}
    if "by_kind" in keys:
        if per != Per.DEVICE:
            file.refuse(keys["by_kind"].key, f"'by_kind' needs 'per: device': a {per} has no kind")
        for kind, one in file.mapping(keys["by_kind"].value, "'by_kind'", frozenset(Kind)).items():
            number = _number(file, one.value, f"{kind!r}")
            if number is not None:
                by_kind[kind], nodes[kind] = number, one.value
    if default is None:
        return None
    definition = Definition(
        name,
        texts["description"],
        texts["unit"],
        default,
        Per(per),
        by_kind,
        **_bounds(file, texts["unit"], keys),
    )
    nodes["default"] = keys["default"].value
    for place, value in [("default", default), *by_kind.items()]:
        if (wrong := definition.why_not(value)) is not None:
            file.refuse(nodes[place], f"{place!r}: {wrong}")
    return definition


def _bounds(file: YamlFile, unit: str, keys: Mapping[str, Entry]) -> dict[str, float]:
    lowest, highest = BOUNDS_OF_UNIT.get(unit, (-math.inf, math.inf))
    bounds = {"lowest": lowest, "highest": highest}
    for key, which in (("min", "lowest"), ("max", "highest")):
        number = _number(file, keys[key].value, f"{key!r}") if key in keys else None
        if number is not None:
            bounds[which] = number
    return bounds


def _number(file: YamlFile, node: yaml.Node, what: str) -> float | None:
    text = file.text(node, what)
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if text is not None and not math.isfinite(number):
        file.refuse(node, f"{what} must be a finite number, got {text[:40]!r}")
        return None
    return number
