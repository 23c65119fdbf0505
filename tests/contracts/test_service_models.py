from decimal import Decimal
from pathlib import Path

import pytest

from collector.cli.report import report
from collector.contracts import (
    AlertOutcome,
    Priority,
    ServiceModel,
    ServiceModelError,
    Severity,
    UnknownPlanError,
    highest,
    load_service_models,
    model_named,
    priority_of,
)
from collector.contracts.service_models import OWN_NAME, Report, parse_service_models
from protocol.wire import Kind

MONTHLY = load_service_models()["monthly"]


def test_the_shipped_models() -> None:
    models = load_service_models()
    assert {name: model.on_alert for name, model in models.items()} == {
        "monthly": AlertOutcome.TICKET,
        "break_fix": AlertOutcome.SHADOW,
        "managed": AlertOutcome.TICKET,
        "hybrid": AlertOutcome.ASK_TECHNICIAN,
    }
    assert [name for name, model in models.items() if model.requires_monitoring_consent] == ["break_fix", "hybrid"]
    assert {name: (model.sla, model.support_level) for name, model in models.items()} == {
        "monthly": ("standard", "8x5"),
        "break_fix": (None, None),
        "managed": ("critical", "24x7"),
        "hybrid": ("response_only", "8x5"),
    }
    assert models["break_fix"].may_carry_slas == ("response_only",)
    assert models["monthly"].may_carry_support_levels == ("8x5", "12x6", "24x7", "lunch_break")


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        (
            "monthly",
            "intake, evaluation of the infrastructure, sla, implementation plan, installation and configuration, "
            "training, continuous monitoring, periodic evaluation and reporting",
        ),
        (
            "break_fix",
            "consultation, registration and contract, ticketing access, technician assigned, problem solved, report on "
            "cause and solution, feedback asked",
        ),
    ],
)
def test_onboarding_is_as_the_product_promises_it(model: str, steps: str) -> None:
    told = [step.en.lower().removeprefix("agree on the ") for step in load_service_models()[model].onboarding]
    assert ", ".join(told) == steps


def test_a_third_model_is_a_paragraph_of_yaml(tmp_path: Path) -> None:
    (tmp_path / OWN_NAME).write_text(
        "by_hand: {title: By hand, on_alert: ask_technician, priority_shift: 1}\n"
        "monthly: {title: Quiet, on_alert: shadow}\n"
    )
    models = load_service_models(tmp_path)
    assert list(models) == ["monthly", "break_fix", "managed", "hybrid", "by_hand"]
    assert model_named(models, "by_hand").on_alert is AlertOutcome.ASK_TECHNICIAN
    assert models["monthly"].on_alert is AlertOutcome.SHADOW
    with pytest.raises(UnknownPlanError, match="monthly, break_fix, managed, hybrid, by_hand"):
        model_named(models, "yearly")


def test_all_problems_of_a_file_are_told_at_once() -> None:
    with pytest.raises(ServiceModelError) as caught:
        parse_service_models(
            "a: {title: A, on_alert: tikcet}\nb: {title: B, on_alert: ticket, fee: 3}\nC: 1\n", "own.yaml"
        )
    problems = str(caught.value).splitlines()
    assert [problem.rpartition(": ")[0] for problem in problems][:2] == ["own.yaml:1: a.on_alert", "own.yaml:2: b.fee"]
    assert all(problem.startswith("own.yaml:3: C") for problem in problems[2:])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("sla: gold, support_level: 8x5", r"own\.yaml:2: a\.sla: there is no SLA 'gold'; .* one of standard, critical"),
        ("slas: [gold], support_levels: [8x5]", r"a\.slas: there is no SLA 'gold'"),
        ("sla: standard, support_level: 9x9", r"a\.support_level: there is no support level '9x9'; .* 8x5, 12x6"),
        ("sla: standard", "'sla' and 'support_level' belong together"),
        ("slas: [standard]", "no 'support_levels' for their hours"),
        ("onboarding: [{nl: Een}]", r"a\.onboarding\.0\.en: Field required"),
        ("monitored: [toaster]", r"a\.monitored\.0: "),
        ("reported: [horoscope]", r"a\.reported\.0: Input should be 'billing' or 'maintenance'"),
        ("title: B", "title stands here a second time"),
    ],
)
def test_a_model_names_what_there_is(model: str, said: str) -> None:
    with pytest.raises(ServiceModelError, match=said):
        parse_service_models(f"\na: {{title: A, on_alert: ticket, {model}}}\n", "own.yaml")


@pytest.mark.parametrize(
    ("written", "kinds"),
    [
        ("", tuple(Kind)),
        (", monitored: true", tuple(Kind)),
        (", monitored: false", ()),
        (", monitored: [server]", (Kind.SERVER,)),
    ],
)
def test_what_is_watched_is_all_none_or_some(written: str, kinds: tuple[Kind, ...]) -> None:
    models = parse_service_models(f"a: {{title: A, on_alert: ticket{written}}}\n", "own.yaml")
    assert models["a"].monitored == kinds


def test_every_report_that_a_model_may_name_is_a_command() -> None:
    assert {one.value for one in Report} == set(report.commands)


def test_a_model_may_name_an_sla_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "sla.yaml").write_text(
        "slas: {gold: {title: Gold, targets: {P1: {response: 5m}}}}\n"
        "support_levels: {weekend: {title: Weekend, hours: 'Sat-Sun 10:00-16:00'}}\n"
    )
    (tmp_path / OWN_NAME).write_text("own: {title: O, on_alert: ticket, sla: gold, support_level: weekend}\n")
    assert load_service_models(tmp_path)["own"].sla == "gold"


@pytest.mark.parametrize("text", ["[", "- 1", "3", "[" * 100, "a: &a {b: *a}", "a: 2026-02-31"])
def test_what_is_no_table_of_models_is_refused(text: str) -> None:
    with pytest.raises(ServiceModelError, match=r"own\.yaml"):
        parse_service_models(text, "own.yaml")


@pytest.mark.parametrize(
    ("severity", "kind", "priority"),
    [
        (Severity.CRITICAL, Kind.SERVER, Priority.P1),
        (Severity.CRITICAL, Kind.DESKTOP, Priority.P2),
        (Severity.CRITICAL, Kind.PRINTER, Priority.P3),
        (Severity.MAJOR, Kind.SERVER, Priority.P2),
        (Severity.MINOR, Kind.LAPTOP, Priority.P4),
        (Severity.INFO, Kind.SERVER, Priority.P4),
        (Severity.CRITICAL, "", Priority.P1),
        ("strange", Kind.SERVER, Priority.P3),
    ],
)
def test_priority(severity: str, kind: str, priority: Priority) -> None:
    assert priority_of(severity, kind, MONTHLY) is priority


def test_a_model_may_start_lower_but_no_lower_than_the_lowest() -> None:
    model = ServiceModel(name="x", title="X", on_alert=AlertOutcome.TICKET, priority_shift=2)
    assert priority_of(Severity.CRITICAL, Kind.SERVER, model) is Priority.P3
    assert priority_of(Severity.MINOR, Kind.SERVER, model) is Priority.P4


def test_the_highest_is_the_one_with_the_smallest_number() -> None:
    assert highest(Priority.P3, Priority.P1) is Priority.P1


def test_what_the_shipped_models_charge() -> None:
    models = load_service_models()
    assert models["monthly"].charge.hours is None and models["monthly"].charge.monthly_fee == Decimal("75.00")
    assert models["break_fix"].charge.hours is not None and models["break_fix"].charge.monthly_fee == 0


@pytest.mark.parametrize(
    ("charge", "problem"),
    [
        ("{monthly_fee: 95.50}", "a.charge.monthly_fee: write it in quotes, such as '95.50', not 95.5"),
        ("{monthly_fee: '95.505'}", "at most two decimals"),
        ("{monthly_fee: '-1'}", "is an amount"),
        ("{monthly_fee: -1}", "greater than or equal to 0"),
        ("{monthly_fee: yes}", "in quotes"),
        ("{vat_percent: '101'}", "less than or equal to 100"),
        ("{currency: euro}", "a.charge.currency"),
        ("{per_device: {toaster: '1'}}", "a.charge.per_device.toaster"),
        ("{hours: {rate: '90', travel: call_out}}", "belong together"),
        ("{hours: {rate: '90', call_out_fee: '40'}}", "belong together"),
        ("{hours: {rate: '90', rounding_minutes: 0}}", "a.charge.hours.rounding_minutes"),
    ],
)
def test_a_wrong_charge_is_told_with_its_place(charge: str, problem: str) -> None:
    with pytest.raises(ServiceModelError) as caught:
        parse_service_models(f"a: {{title: A, on_alert: ticket, charge: {charge}}}\n", "own.yaml")
    assert problem in str(caught.value)
