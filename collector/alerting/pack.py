"""Rule files, with the thresholds and inhibition rules that go with them, loaded together: no rule may read a threshold
that is unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from collector.alerting.definitions import FILE_NAME, Definition, load_thresholds, thresholds_file
from collector.alerting.inhibit import FILE_NAME as INHIBIT_NAME
from collector.alerting.inhibit import InhibitRule, inhibit_file, load_inhibit_rules
from collector.alerting.rulefile import RuleFileError, RuleSet, load_rules
from collector.alerting.yamlfile import Problem, shipped_folder
from collector.promql import DEFAULT_LOOKBACK


@dataclass(frozen=True, slots=True)
class RulePack:
    rules: RuleSet
    thresholds: Mapping[str, Definition]
    inhibit: tuple[InhibitRule, ...]


def load_pack(paths: Sequence[Path] = (), *, lookback: timedelta = DEFAULT_LOOKBACK) -> RulePack:
    """Rule files and folders of them, by default the shipped ones, with the thresholds.yaml and inhibit.yaml among or
    beside them. They are evaluated with this lookback.

    Raises RuleFileError with every problem of every file.
    """
    wanted = list(paths) or [shipped_folder()]
    named = [path for path in wanted if path.name == FILE_NAME]
    named_inhibiting = [path for path in wanted if path.name == INHIBIT_NAME]
    beside = [found for path in wanted if (found := thresholds_file(path)) != thresholds_file()]
    inhibiting = [found for path in wanted if (found := inhibit_file(path)) != inhibit_file()]
    inhibit: tuple[InhibitRule, ...] = ()
    problems: list[Problem] = []
    thresholds: Mapping[str, Definition] | None = None
    try:
        thresholds = load_thresholds([*named, *beside, thresholds_file()][0])
    except RuleFileError as exc:
        problems.extend(exc.problems)
    try:
        inhibit = load_inhibit_rules([*named_inhibiting, *inhibiting, inhibit_file()][0])
    except RuleFileError as exc:
        problems.extend(exc.problems)
    try:
        others = [path for path in wanted if path not in (*named, *named_inhibiting)]
        rules = load_rules(others, known_thresholds=thresholds, lookback=lookback)
    except RuleFileError as exc:
        problems.extend(exc.problems)
    if problems or thresholds is None:
        raise RuleFileError(problems)
    return RulePack(rules, thresholds, inhibit)
