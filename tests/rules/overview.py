"""docs/reference/rules.md: the shipped rules in one table. `python -m tests.rules.overview` writes it anew."""

import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from collector.alerting.definitions import Definition
from collector.alerting.pack import load_pack
from collector.alerting.rulefile import AlertRule

PAGE = Path("docs/reference/rules.md")
UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
THRESHOLD = re.compile(r'on \([a-z_, ]+\) group_left \(\) quarkpulse_threshold\{name="([a-z0-9_]+)"\}')
# What every rule of a pack says and what keeps customers apart tells the reader nothing.
NOISE = (
    (re.compile(r'kind=~?"[a-z|]+"(, )?'), ""),
    (re.compile(r'customer="provider"(, )?'), ""),
    (re.compile(r'system_filesystem_type!~"[a-z0-9|]+"'), ""),
    (re.compile(r", \}"), "}"),
    (re.compile(r"\{\}"), ""),
)

HEAD = """# Rules

Made by `python -m tests.rules.overview` from `rules/*.yaml` and `rules/thresholds.yaml`; do not edit. {rules} rules,
{thresholds} thresholds, {pages} [runbooks](../runbooks/README.md).

The condition is the rule's PromQL, shortened: without the labels that choose the kind of device, and with a
threshold's name where the rule joins it. *For* is how long it must hold. A threshold is shown with its default, then
those of some kinds of device; [set a threshold](../how-to/set-a-threshold.md) tells how a customer gets another value.
Rules with one incident make one ticket for a device.
"""


def page() -> str:
    """The whole page."""
    pack = load_pack()
    rules = pack.rules.alert_rules
    pages = {rule.annotations["runbook_url"].text for rule in rules}
    parts = [HEAD.format(rules=len(rules), thresholds=len(pack.thresholds), pages=len(pages))]
    for file, members in groupby(rules, lambda rule: Path(rule.file).name):
        parts.append(f"## {file}\n")
        parts.append("| rule | severity | incident | fires when | for | thresholds | runbook |")
        parts.append("|---|---|---|---|---|---|---|")
        parts.extend(_row(rule, pack.thresholds) for rule in members)
        parts.append("")
    return "\n".join(parts)


def _row(rule: AlertRule, definitions: Mapping[str, Definition]) -> str:
    severity = f"{rule.severity}, never a ticket" if rule.ticket_never else str(rule.severity)
    link = rule.annotations["runbook_url"].text.removeprefix("docs/runbooks/")
    cells = [
        f"`{rule.alert}`",
        severity,
        rule.incident if rule.incident != rule.alert else "",
        f"`{_condition(rule)}`",
        _duration(rule.hold_for / timedelta(seconds=1)) if rule.hold_for else "",
        "; ".join(_threshold(definitions[name]) for name in sorted(rule.thresholds)),
        f"[{link.removesuffix('.md')}](../runbooks/{link})",
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _condition(rule: AlertRule) -> str:
    text = THRESHOLD.sub(r"\1", " ".join(rule.expr.split()))
    for pattern, replacement in NOISE:
        text = pattern.sub(replacement, text)
    return text


def _threshold(definition: Definition) -> str:
    kinds = "".join(f", {kind} {_value(value, definition.unit)}" for kind, value in sorted(definition.by_kind.items()))
    return f"`{definition.name}` {_value(definition.default, definition.unit)}{kinds}"


def _value(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value * 100:g} %"
    if unit == "seconds":
        return _duration(value)
    if unit == "bytes":
        return f"{value / 2**20:g} MiB"
    return f"{value:g}" if unit == "boolean" else f"{value:g} {unit}"


def _duration(seconds: float) -> str:
    """In the largest unit that divides it: 26h, 3d, 0.5s."""
    size, letter = next(((size, letter) for size, letter in UNITS if seconds and seconds % size == 0), (1, "s"))
    return f"{seconds / size:g}{letter}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
