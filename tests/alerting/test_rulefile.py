"""Rule files: what Prometheus takes is taken, and every problem is told at once, with its line."""

from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from collector.alerting.rulefile import (
    AlertRule,
    RecordingRule,
    RuleFileError,
    RuleSet,
    Scope,
    Severity,
    find_rule_files,
    load_rules,
    parse_duration,
)
from collector.alerting.tenancy import examine
from collector.alerting.yamlfile import MAX_DEPTH, MAX_FILE_BYTES

COMMUNITY = Path("tests/data/community-rules/node-exporter.yml")

GOOD = """\
    groups:
      - name: storage
        interval: 30s
        limit: 10
        query_offset: 1m
        labels: {team: infra, category: storage}
        rules:
          - alert: DiskFull
            expr: disk_used > on (device_id) group_left () quarkpulse_threshold{name="disk_full"}
            for: 1h30m
            keep_firing_for: 5m
            labels: {severity: warning, incident: disk, mount: "{{ $labels.mountpoint }}"}
            annotations: {summary: "{{ $labels.mountpoint }} is {{ $value | humanizePercentage }} full"}
          - record: device:disk_used:max
            expr: max by (device_id) (disk_used)
            labels: {note: "{{ not a template }}"}
      - name: windows
        rules:
          - {alert: Slow, expr: 'rate(errors_total[10m]) > 1', labels: {severity: critical, scope: site, ticket: never}}
          - {alert: Slow, expr: 'rate(errors_total[1h]) > 2', labels: {severity: critical}}
"""


def load(folder: Path, text: str) -> RuleSet:
    path = folder / "rules.yaml"
    path.write_text(dedent(text))
    return load_rules([path])


def problems_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(RuleFileError) as caught:
        load(folder, text)
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


def only_problem(folder: Path, text: str) -> str:
    (problem,) = problems_of(folder, text)
    return problem


def rule(lines: str) -> str:
    return "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: x > 1\n" + "".join(
        f"    {line}\n" for line in dedent(lines).strip().splitlines()
    )


def test_a_file_becomes_rules(tmp_path: Path) -> None:
    rules = load(tmp_path, GOOD)
    storage, windows = rules.groups
    assert (storage.key, storage.interval, storage.limit, storage.query_offset) == (
        "rules.yaml:storage",
        timedelta(seconds=30),
        10,
        timedelta(minutes=1),
    )
    disk, recorded = storage.rules
    assert isinstance(disk, AlertRule)
    assert (disk.alert, disk.hold_for, disk.keep_firing_for, disk.line) == (
        "DiskFull",
        timedelta(minutes=90),
        timedelta(minutes=5),
        8,
    )
    assert (disk.severity, disk.category, disk.scope, disk.incident, disk.ticket_never) == (
        Severity.MAJOR,
        "storage",
        Scope.DEVICE,
        "disk",
        False,
    )
    sample = {"device_id": "srv-1", "mountpoint": "/srv"}
    assert disk.render_labels(sample, 0.9) == {
        "team": "infra",
        "category": "storage",
        "severity": "warning",
        "incident": "disk",
        "mount": "/srv",
    }
    assert disk.render_annotations(sample, 0.913) == {"summary": "/srv is 91.3% full"}
    assert disk.thresholds == rules.threshold_names == frozenset({"disk_full"})
    assert isinstance(recorded, RecordingRule)
    assert recorded.labels == {"team": "infra", "category": "storage", "note": "{{ not a template }}"}
    assert windows.interval is None
    assert rules.windows["errors_total"] == 3600.0
    assert rules.windows["disk_used"] == 0.0
    assert [str(notice) for notice in rules.notices] == []


def test_a_rule_keeps_its_key_and_changes_its_version_when_it_is_edited(tmp_path: Path) -> None:
    before = load(tmp_path, GOOD)
    respelled = load(tmp_path, "    # a comment\n" + GOOD.replace("limit: 10", "limit:   10"))
    edited = load(tmp_path, GOOD.replace("> 1", "> 5"))
    assert before.version == respelled.version != edited.version
    keys = [one.key for one in before.alert_rules]
    assert len(set(keys)) == 3
    assert keys == [one.key for one in edited.alert_rules]
    changed = [
        old.alert for old, new in zip(before.alert_rules, edited.alert_rules, strict=True) if old.version != new.version
    ]
    assert changed == ["Slow"]


def test_the_community_s_rules_load() -> None:
    assert len(load_rules([COMMUNITY], single_tenant=True).alert_rules) == 35
    with pytest.raises(RuleFileError) as caught:
        load_rules([COMMUNITY])
    assert [problem.line for problem in caught.value.problems] == [68, 89]
    assert all("on (instance, device, mountpoint)" in problem.message for problem in caught.value.problems)


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(rule("for: -5m\nlabels: {severity: minor, 'a-b': c}"))
    second.write_text(rule("annotations:\n  summary: |\n    fine\n    {{ $label.x }}"))
    with pytest.raises(RuleFileError) as caught:
        load_rules([first, second])
    assert str(caught.value).splitlines() == [
        f"{first}:6: 'for' must not be negative, got '-5m'",
        f"{first}:7: 'a-b' is no name for 'labels': use letters, digits and '_'",
        f"{second}:9: 'summary': '$label.x' is not known; write $value, $labels or $labels.NAME",
    ]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("for: soon", "6: 'for' must be a duration such as 5m or 1h30m, got 'soon'"),
        ("for: ''", "6: 'for' must be a duration such as 5m or 1h30m, got ''"),
        ("for: 99999999y", "6: 'for' is too long: '99999999y'"),
        ("for: [5m]", "6: 'for' must be text, got a list"),
        ("fro: 5m", "6: unknown key 'fro' in a rule; known are"),
        ("for: 5m\nfor: 6m", "7: 'for' stands twice in a rule; first in line 6"),
        ("labels: x", "6: 'labels' must be a mapping of keys to values, got 'x'"),
        ("labels: {severity: minor, __name__: x}", "6: '__name__' is no name for 'labels'"),
        ("labels: {severity: minor, ticket: maybe}", "6: the label 'ticket' must be never, got 'maybe'"),
        ("labels: {severity: minor, scope: world}", "6: the label 'scope' must be device or site or customer or fleet"),
        ("labels: {severity: minor, customer: acme}", "6: the label 'customer' says whose series it is"),
        ("labels: {severity: minor, incident: storm}", "6: the incident 'storm' is the collector's own; name another"),
        (
            "labels: {severity: minor, incident: device_silent}",
            "6: the incident 'device_silent' is the collector's own",
        ),
        ("labels: {severity: '{{ $value }}'}", "6: the label 'severity' must be plain text, not a template"),
        (
            "labels: {severity: minor, incident: " + "x" * 101 + "}",
            "6: the label 'incident' must be up to 100 printable",
        ),
        ('labels: {severity: minor, "a\\n": b}', "6: 'a\\n' is no name for 'labels'"),
        ("annotations: {summary: '{{ range .x }}'}", "6: 'summary': 'range' is not taken"),
        ("record: y", "4: a rule needs either 'alert' or 'record'"),
        ("<<: {for: 5m}", "6: merge keys ('<<') are not taken in a rule; write the keys out"),
    ],
)
def test_a_bad_rule_is_refused_with_its_line(tmp_path: Path, lines: str, problem: str) -> None:
    assert only_problem(tmp_path, rule(lines)).startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: the file is empty"),
        ("[]", "1: a rule file must be a mapping of keys to values, got a list"),
        ("rules: []", "1: unknown key 'rules' in a rule file; known are groups"),
        ("groups: {}", "1: 'groups' must be a list, got a mapping"),
        ("groups:\n- rules: []", "2: a group needs a 'name'"),
        ("groups:\n- {name: a}\n- {name: a}", "3: the group 'a' stands twice; first in line 2"),
        ("groups:\n- {name: a, limit: -1}", "2: 'limit' must be a whole number, 0 for none, got '-1'"),
        (
            "groups:\n- name: a\n  interval: 1ms",
            "3: 'interval' must be 1s or more: nothing is evaluated more often",
        ),
        ("groups:\n- {name: a, interval: 5}", "2: 'interval' must be a duration such as 5m or 1h30m, got '5'"),
        ("groups:\n- name: a\n  rules:\n  - {alert: A}", "4: a rule needs an 'expr'"),
        ("groups:\n- name: a\n  rules:\n  - {alert: '', expr: x}", "4: 'alert' must be 1 to 100 printable characters"),
        ("groups:\n- name: a\n  rules:\n  - {alert: A, expr: ''}", "4: 'expr' is empty"),
        ("groups:\n- name: a\n  rules:\n  - {alert: A, expr: 'sum('}", "4: 'expr': "),
        ("groups:\n- name: a\n  rules:\n  - {record: A-b, expr: x}", "4: 'A-b' is no metric name"),
        ("groups:\n- name: a\n  rules:\n  - {record: ALERTS, expr: x}", "4: only the collector makes 'ALERTS'"),
        ("groups:\n- name: a\n  rules:\n  - {record: a, expr: x, for: 5m}", "4: 'for' belongs to alerts"),
        ("groups: [\n", "2: not YAML: "),
        ("groups: []\n---\ngroups: []", "2: not YAML: "),
        ("groups: &a [*a]", "1: a group must be a mapping"),
        ("groups:\n- name: a\x00b", "2: not YAML: "),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert only_problem(tmp_path, text).startswith(problem)


def test_hostile_files_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    laughs = ["a: &a0 {severity: minor}"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 50)}]" for i in range(1, 10)]
    for content, complaint in [
        (b"groups: " + b"[" * (MAX_DEPTH + 1), "nests deeper"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
        ("\n".join([*laughs, "groups: *a9"]).encode(), "unknown key"),
        (
            b"groups:\n- &g {name: x, rules: ["
            + b"&r {alert: A, expr: x}, "
            + b"*r, " * 1000
            + b"]}\n"
            + b"- *g\n" * 1000,
            "values",
        ),
        (b"groups: \xff", "UTF-8"),
    ]:
        path.write_bytes(content)
        with pytest.raises(RuleFileError) as caught:
            load_rules([path])
        assert complaint in str(caught.value)
    with pytest.raises(RuleFileError) as caught:
        load_rules([tmp_path / "missing.yaml"])
    assert "cannot be read" in str(caught.value)


def test_notices_do_not_refuse(tmp_path: Path) -> None:
    notices = load(tmp_path, rule("for: 1m\nlabels: {severity: page}")).notices
    assert [f"{notice.line}: {notice.message.split(';')[0].split(':')[0]}" for notice in notices] == [
        "6: 'for' is shorter than the lookback, 5m",
        "7: severity 'page' reads as minor",
    ]


def test_the_lookback_that_is_configured_counts(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(rule("for: 15m\nlabels: {severity: minor}"))
    assert load_rules([path]).notices == ()
    (notice,) = load_rules([path], lookback=timedelta(minutes=20)).notices
    assert "shorter than the lookback, 20m:" in notice.message


def test_a_threshold_that_nobody_defines_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(dedent(GOOD))
    assert load_rules([path], known_thresholds={"disk_full"}).threshold_names == frozenset({"disk_full"})
    with pytest.raises(RuleFileError, match="reads the threshold 'disk_full', which"):
        load_rules([path], known_thresholds={"other"})


def test_a_folder_s_rule_files_are_those_with_groups(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("groups: []")
    (tmp_path / "thresholds.yaml").write_text("thresholds: {}")
    (tmp_path / "broken.yml").write_text("groups: [")
    (tmp_path / "notes.txt").write_text("groups: []")
    assert [path.name for path in find_rule_files(tmp_path)] == ["broken.yml", "rules.yaml"]


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="the folder holds no rule file"):
        load_rules([tmp_path])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "rules.yaml" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("groups: []")
    with pytest.raises(RuleFileError, match="has the same file name"):
        load_rules(paths)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("0m", 0), ("1h30m", 5400), ("1y2w3d4h5m6s7ms", 33_019_506.007), ("90s", 90)]
)
def test_durations_as_prometheus_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["30m1h", "1.5h", "5", "m", "1h ", " 1h", "+1h", "1H"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "expression",
    [
        'x > on (device_id) group_left () quarkpulse_threshold{name="a"}',
        "sum by (customer) (x)",
        "sum by (device_id) (x) / on (device_id) y",
        "sum without (system_device) (x)",
        "sum without (customer) (x)",
        "sum without (site) (sum by (customer, site) (x))",
        "x / ignoring (system_device) group_left () y",
        "x and on () hour() > 8",
        "x * on () group_left () vector(2)",
        'sum(x{customer="acme"}) / sum(x{customer="acme"})',
        'absent(x{device_id="srv-1"})',
        "vector(1)",
        "time() - x > 3",
        "topk by (customer) (3, x)",
        "x unless on (customer, site) y",
    ],
)
def test_customers_are_kept_apart(expression: str) -> None:
    assert examine(expression).mixing == ()


@pytest.mark.parametrize(
    ("expression", "culprit"),
    [
        ("sum(x)", "'sum'"),
        ("sum by (site) (x)", "'sum by (site)'"),
        ("topk(3, x)", "'topk'"),
        ("sum without (customer, device_id) (x)", "'sum without (customer, device_id)'"),
        ("sum without (device_id) (sum by (device_id, site) (x))", "'sum without (device_id)'"),
        ("sum without (device_id) (x / on (device_id) y)", "'sum without (device_id)'"),
        ('sum without (device_id) (quarkpulse_threshold{name="a"})', "'sum without (device_id)'"),
        ("x and on (site) y", "'on (site)'"),
        ("x or on () y", "'on ()'"),
        ("x / ignoring (customer, device_id, mode) group_left () y", "'ignoring (customer, device_id, mode)'"),
        ("x > on () vector(2)", "'on ()'"),
        ('x > on () group_left () y{customer="acme"}', "'on ()'"),
        ("absent(x)", "'absent'"),
        ("x > scalar(y)", "'scalar'"),
        ('label_replace(x, "customer", "acme", "", "")', "'label_replace'"),
    ],
)
def test_mixing_customers_is_refused_unless_the_rule_covers_the_fleet(
    tmp_path: Path, expression: str, culprit: str
) -> None:
    text = rule("labels: {severity: minor}").replace("x > 1", f"'{expression}'")
    assert only_problem(tmp_path, text).startswith(f"5: 'expr': {culprit}")
    assert load(tmp_path, text.replace("{severity", "{scope: fleet, severity")).alert_rules[0].scope is Scope.FLEET


def test_a_selector_of_many_thresholds_reads_them_all(tmp_path: Path) -> None:
    text = rule("labels: {severity: minor}").replace(
        "x > 1", "'x > on (device_id) quarkpulse_threshold{name=~\"a|b\"}'"
    )
    assert load(tmp_path, text).threshold_names is None
