"""Inhibition rules as people write them: Alertmanager's `inhibit_rules`, in a file beside the rule files; without one
the shipped file counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from collector.alerting.matching import MatcherError, parse_matchers
from collector.alerting.yamlfile import Entry, YamlFile, raise_problems, shipped_folder
from collector.series.read import Matcher

FILE_NAME = "inhibit.yaml"
FILE_KEYS = frozenset({"inhibit_rules"})
RULE_KEYS = frozenset({"name", "source_matchers", "target_matchers", "equal"})
MAX_RULES = 100


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """While an alert that matches `source` fires, those that match `target` and have the same `equal` labels are held
    back. A label that both lack is equal, as in Alertmanager."""

    name: str
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


def inhibit_file(rules: Path | None = None) -> Path:
    """The inhibit.yaml that goes with the rules in a folder: the one in it, else the shipped one."""
    if rules is not None and rules.is_dir() and (rules / FILE_NAME).is_file():
        return rules / FILE_NAME
    return shipped_folder() / FILE_NAME


def load_inhibit_rules(path: Path) -> tuple[InhibitRule, ...]:
    """Raises RuleFileError with every problem of the file."""
    file = YamlFile(path)
    found: list[InhibitRule] = []
    if file.root is not None:
        top = file.mapping(file.root, "a file of inhibition rules", FILE_KEYS)
        if "inhibit_rules" in top:
            for node in file.items(top["inhibit_rules"].value, "'inhibit_rules'"):
                rule = _rule(file, node)
                if rule is not None:
                    found.append(rule)
        elif not file.problems:
            file.refuse(file.root, "not a file of inhibition rules: it has no 'inhibit_rules'")
    if len(found) > MAX_RULES:
        file.refuse(file.root, f"at most {MAX_RULES} inhibition rules are taken, not {len(found)}")
    raise_problems([file])
    return tuple(found)


def _rule(file: YamlFile, node: yaml.Node) -> InhibitRule | None:
    entries = file.mapping(node, "an inhibition rule", RULE_KEYS)
    source = _matchers(file, node, entries, "source_matchers")
    target = _matchers(file, node, entries, "target_matchers")
    equal = _texts(file, entries["equal"], "'equal'") if "equal" in entries else []
    if "customer" not in equal:
        file.refuse(node, "'equal' must name 'customer': one customer's fault holds back nothing of another's")
    name = file.text(entries["name"].value, "'name'") if "name" in entries else ""
    if source is None or target is None:
        return None
    return InhibitRule(name or "an inhibition rule", source, target, tuple(equal))


def _matchers(file: YamlFile, node: yaml.Node, entries: Mapping[str, Entry], key: str) -> tuple[Matcher, ...] | None:
    if key not in entries:
        file.refuse(node, f"an inhibition rule needs {key!r}")
        return None
    try:
        return parse_matchers(_texts(file, entries[key], f"{key!r}"))
    except MatcherError as exc:
        file.refuse(entries[key].value, str(exc))
        return None


def _texts(file: YamlFile, entry: Entry, what: str) -> list[str]:
    texts = [file.text(item, f"an item of {what}") for item in file.items(entry.value, what)]
    return [text for text in texts if text]
