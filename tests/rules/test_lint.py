"""What `rules check` says of rules that are good, and yet worth a look."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.alerting.lint import find_notices, sent_by_agents
from collector.alerting.rulefile import load_rules
from collector.cli import main

COMMUNITY = "tests/data/community-rules/node-exporter.yml"
TEXTS = "{summary: s, description: d, action: a, runbook_url: r, customer_summary_nl: n, customer_summary_en: e}"


def notices(folder: Path, expr: str, *, more: str = "", head: str = "") -> set[tuple[str, str]]:
    """Subjects and messages for one rule with all its texts, apart from that it has no test."""
    (folder / "some.yaml").write_text(
        f"groups:\n- name: g\n{head}  rules:\n"
        f"  - alert: A\n    expr: |-\n      {expr}\n    labels: {{severity: major}}\n    annotations: {TEXTS}\n{more}"
    )
    found = find_notices(load_rules([folder / "some.yaml"]))
    return {(one.subject, one.message) for one in found if "no test" not in one.message}


@pytest.mark.parametrize(
    "expr",
    [
        'system_filesystem_utilization_ratio{kind="server", system_filesystem_state="used"} > 0.9',
        'system_memory_utilization_ratio > on (device_id) group_left () quarkpulse_threshold{name="x"}',
        'ALERTS{alertname="B", anything="x"} > 0',
        'quarkpulse_device_presence{state="gone"} == 1',
        'system_uptime_seconds{nothing!="x", nothing=~".*"} > 0',
        "label_replace(system_uptime_seconds, 'mount', '$1', 'site', '(.*)') > on (mount, device_id) "
        "label_replace(system_uptime_seconds, 'mount', 'x', '', '')",
        "sum by (device_id, site) (system_network_io_bytes_total) > on (device_id) system_uptime_seconds",
        'system_uptime_seconds{kind=~"desktop|laptop", kind!="server", kind!~"p.*"} > 0',
        'ALERTS{kind="laptopp"} > 0',
        "sum by (device_id, anything) (ALERTS) > on (device_id, anything) group_left (more) "
        "sum without (other) (ALERTS_FOR_STATE)",
        "system_filesystem_utilization_ratio * ignoring (system_filesystem_mountpoint) group_left () "
        "sum without (system_filesystem_mountpoint) (system_filesystem_utilization_ratio) > 0",
        'count_values by (device_id) ("value", system_uptime_seconds) > 0',
    ],
)
def test_what_can_match_is_passed_over(expr: str, tmp_path: Path) -> None:
    assert notices(tmp_path, expr) == set()


@pytest.mark.parametrize(
    ("expr", "subject", "message"),
    [
        ("system_uptime_secs > 0", "system_uptime_secs", "no probe sends this metric"),
        ('system_uptime_seconds{mount="/"} > 0', "mount", "system_uptime_seconds never has this label"),
        ('rate(system_uptime_seconds{mount=~"/.+"}[5m]) > 0', "mount", "never has this label"),
        (
            "system_filesystem_utilization_ratio > on (device_id, system_filesystem_mountpoint) system_uptime_seconds",
            "system_filesystem_mountpoint",
            "on (device_id, system_filesystem_mountpoint): the right side never has this label",
        ),
        (
            "max by (device_id) (system_filesystem_utilization_ratio) "
            "unless on (device_id, system_filesystem_mountpoint) system_filesystem_utilization_ratio",
            "system_filesystem_mountpoint",
            "the left side never has this label",
        ),
        (
            'system_uptime_seconds{kind="laptopp"} > 0',
            "laptopp",
            "no device is of this kind; kinds are desktop",
        ),
        ('system_uptime_seconds{kind!="servr"} > 0', "servr", "no device is of this kind"),
        ('system_uptime_seconds{kind=~"server|laptopp"} > 0', "laptopp", "no device is of this kind"),
        ('system_uptime_seconds{kind=~"srv.+"} > 0', "srv.+", "no device is of this kind"),
        ("sum by (device_id, mount) (system_uptime_seconds) > 0", "mount", "by (device_id, mount): nothing that is"),
        ("sum without (mount) (system_uptime_seconds) > 0", "mount", "without (mount): nothing that is aggregated"),
        (
            "system_uptime_seconds > on (device_id, mount) system_uptime_seconds",
            "mount",
            "on (device_id, mount): neither side ever has this label",
        ),
        (
            "system_uptime_seconds > ignoring (mount) system_uptime_seconds",
            "mount",
            "ignoring (mount): neither side ever has this label",
        ),
        (
            "system_filesystem_utilization_ratio > on (device_id) group_left (mount) system_uptime_seconds",
            "mount",
            "group_left (mount): the right side never has this label, so it is always empty",
        ),
        (
            "ALERTS > on (device_id, mount) group_left () system_uptime_seconds",
            "mount",
            "on (device_id, mount): the right side never has this label",
        ),
    ],
)
def test_what_cannot_match_is_told(expr: str, subject: str, message: str, tmp_path: Path) -> None:
    ((found_subject, found_message),) = notices(tmp_path, expr)
    assert found_subject == subject
    assert message in found_message


def test_what_these_rules_record_is_known(tmp_path: Path) -> None:
    more = "  - {record: 'customer:x:sum', expr: sum by (customer) (system_uptime_seconds)}\n"
    assert notices(tmp_path, 'customer:x:sum{any="label"} > 0', more=more) == set()


def test_a_for_shorter_than_the_interval_is_told(tmp_path: Path) -> None:
    found = notices(tmp_path, "system_uptime_seconds > 0\n    for: 6m", head="  interval: 10m\n")
    assert found == {("A", "'for' is shorter than the group's interval, and so as long as it")}


def test_missing_texts_are_told_unless_no_customer_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    rule = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: system_uptime_seconds > 0, labels: {severity: %s}}\n"
    path.write_text(rule % "major")
    messages = [one.message for one in find_notices(load_rules([path]))]
    assert (
        "annotations are missing: summary, description, action, runbook_url, customer_summary_nl, customer_summary_en"
        in messages
    )
    path.write_text(rule % "info")
    messages = [one.message for one in find_notices(load_rules([path]))]
    assert "annotations are missing: summary, description, action, runbook_url" in messages


def test_a_rule_without_a_test_is_told(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(
        "groups:\n- name: g\n  rules:\n  - {alert: Tested, expr: x}\n  - {alert: Also, expr: x}\n"
        "  - {alert: Not, expr: x}\n  - {record: recorded, expr: x}\n"
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.test.yaml").write_text(
        "tests:\n- alert_rule_test: [{alertname: Also}]\n  promql_expr_test:\n"
        "  - {expr: 'count(ALERTS{alertname=\"Tested\"}) + recorded'}\n"
    )
    (tmp_path / "tests" / "b.test.yaml").write_text("testz: []\n")
    found = {one.subject: one for one in find_notices(load_rules([path])) if "test" in one.message}
    assert found.keys() == {"Not", "bad test file"}
    assert found["bad test file"].file.endswith("b.test.yaml")


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rules", "check", *arguments])


def test_forty_rules_from_elsewhere_are_told_in_few_lines() -> None:
    result = check("--single-tenant", COMMUNITY)
    lines = [line for line in result.stdout.splitlines() if line.endswith("(notice)")]
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "no problems")
    assert 3 <= len(lines) <= 8
    assert all(len(line) < 600 for line in lines)
    assert check(COMMUNITY).exit_code == 1  # two of them mix customers


def test_strict_counts_notices() -> None:
    result = check("--single-tenant", "--strict", COMMUNITY, "--json")
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert any(row["message"].startswith("node_timex_sync_status: no probe") for row in rows)
    assert {row["level"] for row in rows} == {"notice", "memory"}


def test_the_list_of_metrics_is_that_of_the_agents() -> None:
    assert "system_filesystem_mountpoint" in sent_by_agents()["system_filesystem_utilization_ratio"]
