"""Each tenant sees only itself: whatever the description tells of, asked with a token of another customer."""

import asyncio
import re
from typing import Any

import pytest

from collector.api.desk.operations import AnyOperation
from collector.app.operations import desk_operations
from collector.contracts import load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.contracts.promises import load_sla_book
from collector.fleet.directory import FleetDirectory
from collector.fleet.roles import Role
from collector.incidents.promised import Promised
from tests.api.desk.conftest import Desk

MODELS = load_service_models()
BOOK = load_sla_book()
OPERATIONS = desk_operations(
    FleetDirectory,
    dict,
    MODELS,
    Promised(dict, FleetDirectory().kind_and_tags, MODELS, BOOK),
    tasks=load_maintenance_tasks(),
    book=BOOK,
    escalate_to="dispatch",
    max_devices=100,
)
FOREIGN = re.compile(r"acme|prn-1|srv-1|srv-2|ws-1|\bny\b")
WORDS = {"customer": "acme", "site": "hq", "number": "1001", "ticket": "1001"}


def about_acme(operation: AnyOperation) -> list[str]:
    """Its path, with what is acme's in place of the parameters: several, where a name may stand for several things."""
    first = operation.path.split("/")[1]
    things = {"customers": ["acme"], "devices": ["srv-1", "ws-1"], "printers": ["prn-1"]}.get(first, ["1", "2", "3"])
    parts = operation.path.split("/")
    return ["/".join(WORDS.get(part[1:-1], thing) if "{" in part else part for part in parts) for thing in things]


@pytest.fixture
async def foreign(desk: Desk) -> Desk:
    """Acme has one of everything; its silences and thresholds are bound to it."""
    later = desk.life.now.replace(year=2027).isoformat()
    for path, body in (
        ("/silences", {"matchers": ["alertname=Acme"], "ends_at": later, "comment": "acme"}),
        ("/windows", {"customer": "acme", "starts_local": "2027-03-08T02:00", "minutes": 60, "reason": "acme"}),
        ("/thresholds", {"name": "cpu_busy", "layer": "customer", "subject": "acme", "value": 0.8}),
        ("/agent-settings", {"layer": "customer", "subject": "acme", "key": "probe.smart", "value": False}),
        ("/contacts", {"customer": "acme", "name": "Acme Jansen"}),
    ):
        answer = await desk.ask("POST", path, body, who="acme")
        assert answer.status == 201, answer.text
    return desk


async def test_what_is_another_customers_is_not_there(foreign: Desk) -> None:
    leaks: list[tuple[str, str, int, str]] = []
    seen = set()
    for operation in OPERATIONS:
        for path in about_acme(operation):
            body: Any = {} if operation.body is not None else None
            headers = {"If-Match": '"0"'} if operation.changes is not None else {}
            answer = await foreign.ask(operation.method, path, body, who="other admin", headers=headers)
            seen.add(answer.status)
            told = answer.text.replace(path, "")
            if answer.status < 300 and FOREIGN.search(told):
                leaks.append((operation.method, path, answer.status, told[:200]))
            assert answer.status < 500, (operation.method, path, answer.text)
            await asyncio.sleep(0)
    assert leaks == []
    assert seen >= {200, 404}


async def test_whoever_may_sees_them(foreign: Desk) -> None:
    """The same questions have answers: the test above would see what leaks."""
    told = 0
    for operation in OPERATIONS:
        if operation.writes:
            continue
        for path in about_acme(operation):
            answer = await foreign.ask("GET", path, who="admin")
            told += answer.status == 200 and FOREIGN.search(answer.text.replace(path, "")) is not None
    assert told > 15


def test_contacts_may_change_nothing_by_mistake() -> None:
    writing = [one.name for one in OPERATIONS if one.writes and one.least_role is Role.CONTACT]
    assert writing == ["open_portal_ticket", "comment_portal_ticket", "attach_portal_file"]
