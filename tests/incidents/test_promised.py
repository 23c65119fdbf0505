"""What is promised to a customer: contract, model and sla.yaml joined."""

import logging
from datetime import UTC, datetime

import pytest

from collector.contracts import load_service_models
from collector.contracts.promises import SlaBook, Terms, load_sla_book
from collector.contracts.scope import ContractScope
from collector.fleet.agreements import Agreement
from collector.fleet.contracts import Contract
from collector.incidents.promised import Promised

MODELS, BOOK = load_service_models(), load_sla_book()


def at(day: int) -> datetime:
    return datetime(2026, 3, day, tzinfo=UTC)


def contract(plan: str, since: int, until: int | None = None, agreement: Agreement | None = None) -> Contract:
    ends = None if until is None else at(until)
    return Contract(1, "acme", plan, at(since), ends, None, agreement or Agreement())


def promised(*contracts: Contract, book: SlaBook = BOOK) -> Promised:
    return Promised(lambda: {"acme": contracts}, lambda _device: ("desktop", ["accounting"]), MODELS, book)


def test_the_contract_of_the_time_decides() -> None:
    told = promised(contract("monthly", 2, 10), contract("managed", 10, 20))
    assert told.terms_of("acme", at(1)) == Terms()
    assert told.terms_of("acme", at(9)).sla == "standard"
    assert told.terms_of("acme", at(10)).support_level == "24x7"
    assert told.terms_of("acme", at(20)) == Terms()
    assert told.terms_of("nobody", at(9)) == Terms()
    assert told.changes("acme", at(2), at(20)) == [at(10), at(20)]
    assert told.changes("acme", at(10), at(15)) == []


@pytest.mark.parametrize(
    ("plan", "agreement", "sla", "support_level"),
    [
        ("monthly", Agreement(), "standard", "8x5"),
        ("monthly", Agreement(support_level="24x7"), "standard", "24x7"),
        ("monthly", Agreement(sla="critical"), "critical", "8x5"),
        ("break_fix", Agreement(), None, None),
        ("break_fix", Agreement(sla="response_only"), "response_only", "8x5"),
    ],
)
def test_a_contract_may_differ_from_its_model(
    plan: str, agreement: Agreement, sla: str | None, support_level: str | None
) -> None:
    terms = promised(contract(plan, 2, agreement=agreement)).terms_of("acme", at(3))
    assert (terms.plan, terms.sla, terms.support_level) == (plan, sla, support_level)


@pytest.mark.parametrize(
    ("scope", "site", "device", "is_covered"),
    [
        (None, "ny", "ws-1", True),
        (ContractScope(sites=("hq",)), "hq", "ws-1", True),
        (ContractScope(sites=("hq",)), "ny", "ws-1", False),
        (ContractScope(sites=("hq",)), "ny", None, False),
        (ContractScope(sites=("hq",)), None, None, True),  # about the customer
        (ContractScope(kinds=("server",)), "ny", "ws-1", False),
        (ContractScope(kinds=("desktop",)), "ny", "ws-1", True),
        (ContractScope(tags=("accounting",)), "ny", "ws-1", True),
        (ContractScope(devices=("ws-2",)), "ny", "ws-1", False),
    ],
)
def test_what_the_contract_of_the_time_covers(
    scope: ContractScope | None, site: str | None, device: str | None, is_covered: bool
) -> None:
    told = promised(contract("monthly", 2, 10), contract("monthly", 10, agreement=Agreement(scope=scope)))
    assert told.scope_of("acme", at(11)) == scope
    assert told.covers("acme", at(11), site=site, device=device) is is_covered
    assert told.covers("acme", at(9), site=site, device=device)


def test_equal_terms_are_one_object() -> None:
    told = promised(contract("monthly", 2))
    assert told.terms_of("acme", at(3)) is told.terms_of("acme", at(4))


def test_what_sla_yaml_has_no_longer_is_told_and_not_promised(caplog: pytest.LogCaptureFixture) -> None:
    told = promised(contract("monthly", 2), book=SlaBook(support_levels=BOOK.support_levels, slas={}))
    with caplog.at_level(logging.ERROR):
        assert told.terms_of("acme", at(3)) == Terms("monthly")
        assert told.terms_of("acme", at(4)) == Terms("monthly")
    assert caplog.text.count("sla.yaml has no longer") == 1
