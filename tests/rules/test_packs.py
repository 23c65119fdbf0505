"""The shipped rules: taken by promtool and by us, each with texts for its readers and a test that shows it fire."""

import functools
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from collector.alerting.pack import load_pack
from collector.alerting.rulefile import AlertRule, shipped_rules
from collector.alerting.yamlfile import shipped_folder
from collector.series.read import MatchOp
from protocol.wire import Kind
from tests.conftest import require

DEMO = Path("deploy/demo/rules/demo.yaml")
TESTS = sorted((shipped_folder() / "tests").glob("*.test.yaml"))
RULES = load_pack().rules.alert_rules
ANNOTATIONS = {"summary", "description", "action", "runbook_url", "customer_summary_nl", "customer_summary_en"}
# Its absence is the alarm, and whoever pings from outside is the one to see it.
ALWAYS_FIRING = {"Watchdog"}


@pytest.mark.parametrize("path", [*shipped_rules(), DEMO], ids=str)
def test_promtool_takes_the_rules(path: Path) -> None:
    done = subprocess.run(
        [require("promtool"), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pack_has_unit_tests() -> None:
    """A pack's tests may be in several files: fleet.test.yaml, fleet.days.test.yaml. That they pass, here and with
    promtool, is seen in test_rule_tests."""
    assert {path.name.partition(".")[0] for path in TESTS} == {path.stem for path in shipped_rules()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_rule_is_shown_firing_and_not_firing(rule: AlertRule) -> None:
    expectations = _expectations()[rule.alert]
    assert any(expectations), "no unit test expects it to fire"
    assert not all(expectations) or rule.alert in ALWAYS_FIRING, "no unit test expects it not to fire"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_rule_speaks_to_technician_and_customer(rule: AlertRule) -> None:
    assert rule.annotations.keys() - {"ticket_title"} == ANNOTATIONS
    assert rule.category
    labels = {"device_id": "srv-1", "system_filesystem_mountpoint": "/srv", "probe": "disk"}
    for name, text in rule.render_annotations(labels, 0.5).items():
        assert text
        assert "error expanding" not in text
        if name.startswith("customer_summary"):
            assert rule.annotations[name].is_constant, "a customer reads no device ids and numbers"


def test_no_pack_gives_cause_for_notices() -> None:
    assert load_pack().rules.notices == ()


def test_no_two_rules_share_a_name() -> None:
    names = [rule.alert for rule in RULES]
    assert len(names) == len(set(names))


def test_rules_about_the_collector_are_the_provider_s() -> None:
    """Whatever a customer's devices send cannot open a ticket about the collector."""
    for rule in (rule for rule in RULES if Path(rule.file).stem == "provider"):
        for matchers in rule.plan.selectors:
            pins = {one.label: one.value for one in matchers if one.op is MatchOp.EQUAL}
            assert pins["__name__"] == "quarkpulse_threshold" or pins["customer"] == "provider", rule.alert


def test_a_device_has_the_rules_of_servers_or_of_desktops() -> None:
    kinds_of = {"server": {Kind.SERVER}, "desktop": {Kind.DESKTOP, Kind.LAPTOP, Kind.OTHER}, "printer": {Kind.PRINTER}}
    for rule in RULES:
        expected = kinds_of.get(Path(rule.file).stem)
        if expected is None:
            continue
        for matchers in rule.plan.selectors:
            metric = next(one.value for one in matchers if one.label == "__name__" and one.op is MatchOp.EQUAL)
            kinds = {kind for kind in Kind if all(one.matches(kind) for one in matchers if one.label == "kind")}
            # A join partner needs no kind of its own: it is found by the other side's device.
            if metric in ("quarkpulse_threshold", "system_cpu_logical_count", "hw_battery_power_plugged"):
                continue
            assert kinds == expected, f"{rule.alert} reads {metric} of {sorted(kinds)}"


def test_one_fault_is_one_incident_on_every_kind_of_device() -> None:
    """ServerX and DesktopX tell of the same fault, so what belongs to one incident does so on both."""
    incidents = {rule.alert: rule.incident for rule in RULES}
    for alert, incident in incidents.items():
        twin = alert.replace("Server", "Desktop", 1)
        if alert.startswith("Server") and twin in incidents:
            expected = incident.replace("Server", "Desktop", 1)
            assert incidents[twin] == expected, f"{alert} and {twin}"


def test_every_threshold_is_read_by_a_rule() -> None:
    pack = load_pack()
    assert pack.rules.threshold_names == frozenset(pack.thresholds)


def test_only_what_few_devices_have_is_read_over_more_than_two_hours() -> None:
    """Up to two hours the collector keeps in compact rings; longer windows take it 16 bytes a sample."""
    long = {metric for metric, seconds in load_pack().rules.windows.items() if seconds > 2 * 3600}
    assert long == {
        "backup_size_bytes",
        "hw_raid_sync_ratio",
        "printer_error",
        "printer_pages_total",
        "printer_reachable",
        "printer_supply_low",  # of those that tell no level
        "system_filesystem_utilization_ratio",  # of servers
    }


def test_what_keeps_an_alert_from_flapping_is_known_to_every_ruler() -> None:
    assert [rule.alert for rule in RULES if rule.keep_firing_for] == []  # promtool 2.42 and vmalert do not know it


def test_the_demo_s_rules_are_good() -> None:
    rules = load_pack([DEMO]).rules.alert_rules
    assert [rule.alert for rule in rules] == ["DemoCpuBusy"]


@functools.cache
def _expectations() -> dict[str, list[bool]]:
    """By alert: for each look that a unit test takes at it, whether it expects it to fire."""
    expectations: dict[str, list[bool]] = {rule.alert: [] for rule in RULES}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for look in test.get("promql_expr_test", []):
                found = re.search(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}', look["expr"])
                assert found is not None, look["expr"]
                expectations[found[1]].append(bool(look["exp_samples"]))
    return expectations
