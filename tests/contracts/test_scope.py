import pytest

from collector.contracts.currencies import is_currency
from collector.contracts.scope import ContractScope

HQ = ContractScope(sites=("hq",))
SERVERS_AT_HQ = ContractScope(sites=("hq",), kinds=("server",))
TAGGED = ContractScope(tags=("vip", "till"))
ONE = ContractScope(devices=("ws-1",))
HQ_AND_ONE = ContractScope(sites=("hq",), devices=("ws-1",))


@pytest.mark.parametrize(
    ("scope", "labels", "tags", "covered"),
    [
        (HQ, {"device_id": "srv-1", "site": "hq", "kind": "server"}, (), True),
        (HQ, {"device_id": "srv-1", "site": "ny", "kind": "server"}, (), False),
        (SERVERS_AT_HQ, {"device_id": "ws-1", "site": "hq", "kind": "desktop"}, (), False),
        (SERVERS_AT_HQ, {"device_id": "srv-1", "site": "hq", "kind": "server"}, (), True),
        (TAGGED, {"device_id": "ws-1", "site": "hq"}, ("till",), True),
        (TAGGED, {"device_id": "ws-1", "site": "hq"}, ("other",), False),
        (ONE, {"device_id": "ws-1", "site": "ny"}, (), True),
        (ONE, {"device_id": "ws-2", "site": "ny"}, (), False),
        (HQ_AND_ONE, {"device_id": "ws-1", "site": "ny"}, (), True),
        (HQ_AND_ONE, {"device_id": "ws-2", "site": "ny"}, (), False),
        (HQ, {"site": "ny"}, (), False),  # about a whole site
        (HQ, {"site": "hq"}, (), True),
        (HQ, {}, (), True),  # about the customer
        (ONE, {"site": "ny"}, (), True),
    ],
)
def test_what_a_contract_covers(
    scope: ContractScope, labels: dict[str, str], tags: tuple[str, ...], covered: bool
) -> None:
    assert scope.covers(labels, tags) is covered


def test_a_scope_is_the_same_after_a_trip_through_json() -> None:
    for scope in (HQ, SERVERS_AT_HQ, TAGGED, HQ_AND_ONE):
        assert ContractScope.of(scope.as_json()) == scope
    assert str(SERVERS_AT_HQ) == "sites: hq; kinds: server"


@pytest.mark.parametrize(
    ("code", "known"), [("EUR", True), ("USD", True), ("DEM", False), ("EURO", False), ("eur", False)]
)
def test_currencies_are_those_of_today(code: str, known: bool) -> None:
    assert is_currency(code) is known
