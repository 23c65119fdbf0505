"""Rule, runbook and threshold are kept together: no page without a rule, no rule without a page that helps."""

import re
from pathlib import Path

import pytest

from collector.alerting.pack import load_pack
from collector.alerting.rulefile import AlertRule

FOLDER = Path("docs/runbooks")
INDEX = FOLDER / "README.md"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
RULES = load_pack().rules.alert_rules
HEADINGS = ["What it means", "How to look", "How to mend", "When to raise the threshold"]
URL = re.compile(r"docs/runbooks/([a-z0-9-]+)\.md")


def page_of(rule: AlertRule) -> Path:
    return Path(rule.annotations["runbook_url"].text)


def rules_of(page: Path) -> list[AlertRule]:
    return [rule for rule in RULES if page_of(rule) == page]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_rule_has_a_runbook_that_names_its_thresholds(rule: AlertRule) -> None:
    assert rule.annotations["runbook_url"].is_constant
    assert URL.fullmatch(str(page_of(rule)))
    assert page_of(rule).is_file(), f"{rule.file}:{rule.line}: write {page_of(rule)}"
    text = page_of(rule).read_text(encoding="utf-8")
    assert [name for name in sorted(rule.thresholds) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_runbook_belongs_to_a_rule_and_answers_four_questions(page: Path) -> None:
    assert rules_of(page), f"no rule leads to {page}: remove it"
    title, *sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert title.startswith("# ")
    assert [section.partition("\n")[0] for section in sections] == HEADINGS
    assert all(section.partition("\n")[2].strip() for section in sections)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_names_only_thresholds_that_its_rules_read(page: Path) -> None:
    named = set(re.findall(r"`([a-z][a-z0-9_]+)`", page.read_text(encoding="utf-8"))) & set(load_pack().thresholds)
    assert named == set().union(*(rule.thresholds for rule in rules_of(page)))


def test_the_index_lists_every_runbook() -> None:
    listed = re.findall(r"^- \[[^]]+\]\(([a-z0-9-]+\.md)\)", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [page.name for page in PAGES]
