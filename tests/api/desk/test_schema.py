"""What the description promises holds for requests that nobody thought of: schemathesis against real processes, one on
SQLite and one on PostgreSQL, with tokens of every role, real ids and ETags that hold.

To draw a request takes ten times as long as to ask it, so all are drawn once: of each operation two that are right, and
three that are wrong, two of them in their query or body. On both databases an admin asks them all, and whoever else may
be a person one that is right and one that is wrong. Programs' tokens are refused whatever they ask."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import count
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks as known_checks

from tests.db.fixtures import BACKENDS, Cluster
from tests.e2e.harness import Collector, collector_in, eventually

ROOT = "/api/desk/v1"
# What is wrong is refused; what is so long that it is not read, with 413.
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429"]
EXAMPLES = 2  # of each operation and of each kind
PEOPLE = ("viewer", "contact", "technician", "manager", "admin")
PROGRAMS = ("sender", "ruler")
CALLS_OF_A_TOKEN = 350  # it may ask 400 times at once
TOKENS = 4  # of each role but admin, who has more to ask


def unless_unread(check: Callable[..., bool | None]) -> Callable[..., bool | None]:
    """A request line that is too long is refused before anybody knows whose path it is: not in the API's words."""

    @wraps(check)
    def checked(context: Any, response: Any, case: Any) -> bool | None:
        is_unread = response.status_code == 400 and b"a request line or header is longer than" in response.content
        return None if is_unread else check(context, response, case)

    return checked


CHECKS = [
    not_a_server_error,
    known_checks.status_code_conformance,
    unless_unread(known_checks.content_type_conformance),
    unless_unread(known_checks.response_schema_conformance),
    known_checks.unsupported_method,
    known_checks.negative_data_rejection,
]
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
SPAN = {"starts_at": LATER.isoformat(), "ends_at": (LATER + timedelta(days=7)).isoformat()}
ENDS = ("leave", "merge", "resolve", "close")  # after which there is little to ask
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)


@dataclass
class Served:
    """A collector with one of everything. `known`: by path up to a parameter, what may stand there: first what is to
    stay, last what may be ended."""

    collector: Collector
    secrets: dict[str, list[str]] = field(default_factory=dict)  # by role
    known: dict[str, list[str]] = field(default_factory=dict)
    calls: Iterator[int] = field(default_factory=count)

    def secret(self, role: str) -> str:
        """Of a token that may still ask."""
        of_role = self.secrets[role]
        return of_role[next(self.calls) // CALLS_OF_A_TOKEN % len(of_role)]

    def read(self, path: str) -> Any:
        return self.collector.request("GET", ROOT + path, secret=self.secrets["admin"][0]).json

    def make(self, path: str, body: object, place: str | None = None) -> Any:
        """Makes a thing twice, where it has a place."""
        for number in range(2 if place else 1):
            named = {key: f"{value}{number}" if place and key == "id" else value for key, value in dict(body).items()}  # type: ignore[call-overload]
            answer = self.collector.request(
                "POST", ROOT + path, named, secret=self.secrets["admin"][0], Content_Type="application/json"
            )
            assert answer.status == 201, answer.text
            if place:
                self.known.setdefault(place, []).append(str(answer.json["id"]))
        return answer.json


@pytest.fixture(scope="module", params=BACKENDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("desk")
    with collector_in(folder, start=False) as collector:
        collector.data.mkdir()
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("postgresql")
            url = asyncio.run(cluster.make("template"))
            (collector.data / "config.toml").write_text(f'database_url = "{url}"\n')
        collector.add_customers()
        admin = collector.run("tokens", "create", "--role", "admin").strip()
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d} 12:00"  # which there is on every day
        plan = ("--customer", "acme", "--task", "restore_test", "--from", tomorrow, "--repeat", "FREQ=DAILY")
        # Its first round opens when `serve` starts. There is no site yet to say where it is what time.
        collector.run("maintenance", "add", *plan, "--time-zone", "Europe/Amsterdam")
        collector.start()
        yield settle(Served(collector, {"admin": [admin]}))


def settle(made: Served) -> Served:
    """A fault under both plans, and one of everything that people make."""
    collector, known = made.collector, made.known
    devices = [collector.enrol("acme"), collector.enrol("acme", "ws-2"), collector.enrol("bakkerij", "ws-3")]
    printer = {"customer": "acme", "site": "hq", "address": "192.0.2.31"}
    known["/printers/{id}"] = [made.make("/printers", printer)["id"]]
    known["/devices/{id}"] = [one.device_id for one in devices[:2]]

    def opened() -> bool:
        for one in (devices[0], devices[2]):
            one.push_disk(0.95)
        return all(made.read(path)["items"] for path in ("/tickets?kind=incident", "/shadow-tickets"))

    eventually(opened, "a ticket and a shadow")
    rounds = eventually(lambda: made.read("/maintenance-plans/1/rounds")["items"], "a round of maintenance")
    known["a round"] = [str(rounds[0]["ticket"])]
    known["/alerts/{id}"] = ["1", "2"]
    known["/shadow-tickets/{id}"] = ["1"]
    known["/customers/{id}"] = known["/customers/{customer}"] = ["acme"]
    known["/customers/{customer}/sites/{site}"] = ["hq"]
    known["/contracts/{id}"] = ["1", "2"]
    for place, name in (("service-models", "monthly"), ("slas", "standard"), ("support-levels", "8x5")):
        known[f"/{place}/{{name}}"] = [name]
    made.make("/contacts", {"customer": "acme", "name": "Piet"}, "/contacts/{id}")
    contact = made.make("/contacts", {"customer": "acme", "name": "Jan"})["id"]
    made.make("/users", {"id": "anna", "name": "Anna", "role": "technician"}, "/users/{id}")
    made.make("/users", {"id": "jan", "name": "Jan", "role": "contact", "customer": "acme", "contact": contact})
    made.make("/tokens", {"role": "viewer"}, "/tokens/{id}")
    made.make("/technicians", {"id": "bob", "name": "Bob", "groups": ["second-line"]}, "/technicians/{id}")
    technician = known["/technicians/{id}"][0]
    absences = "/technicians/{id}/absences/{absence}"
    made.make(f"/technicians/{technician}/absences", {**SPAN, "reason": "holiday"}, absences)
    made.make("/on-call", {"technician": technician, **SPAN}, "/on-call/{id}")
    made.make(
        "/silences",
        {"matchers": ["alertname=Nothing"], "ends_at": SPAN["ends_at"], "comment": "nothing"},
        "/silences/{id}",
    )
    window = {"customer": "acme", "starts_local": f"{LATER:%Y-%m-%dT%H:%M}", "minutes": 60, "reason": "nothing"}
    made.make("/windows", window, "/windows/{id}")
    made.make(
        "/thresholds", {"name": "cpu_busy", "layer": "customer", "subject": "acme", "value": 0.8}, "/thresholds/{id}"
    )
    plan = {"customer": "acme", "task": "restore_test", "recurrence": "FREQ=DAILY"}
    made.make("/maintenance-plans", {**plan, "starts_local": f"{LATER:%Y-%m-%dT%H:%M}"}, "/maintenance-plans/{id}")
    number = made.make("/tickets", {"customer": "acme", "title": "It beeps"})["number"]
    other = made.make("/tickets", {"customer": "acme", "title": "It beeps, too"})["number"]
    for place in ("/tickets/{number}", "/portal/tickets/{number}"):
        known[place] = [str(number), str(other)]
    known["/tickets/{number}/links/{other}"] = [str(other)]
    known["/tickets/{number}/watchers/{watcher}"] = [technician]
    known["/tickets/{number}/checklist/{item}"] = ["1"]
    made.make(f"/tickets/{number}/work", {"minutes": 5}, "/tickets/{number}/work/{id}")
    made.make(
        f"/tickets/{number}/parts",
        {"description": "fuser", "quantity": "1", "unit_price": "9.50"},
        "/tickets/{number}/parts/{id}",
    )
    for _ in range(2):
        path = f"{ROOT}/tickets/{number}/attachments?name=screen.png&public=true"
        file = collector.request("POST", path, PNG, secret=made.secrets["admin"][0])
        for place in ("/tickets", "/portal/tickets"):
            known.setdefault(f"{place}/{{number}}/attachments/{{id}}", []).append(str(file.json["id"]))
    of_whom: dict[str, dict[str, str]] = {"contact": {"user": "jan"}, "sender": {"customer": "acme"}}
    for role in (*PROGRAMS, *PEOPLE):  # an admin's last: whose it is makes the others
        made.secrets[role] = [
            made.make("/tokens", {"role": role, **of_whom.get(role, {})})["secret"]
            for _ in range(TOKENS * 3 if role == "admin" else TOKENS)
        ]
    address = f"{collector.url}{ROOT}/openapi.json"
    newest = {"Authorization": f"Bearer {made.secrets['admin'][-1]}"}
    # `serve` takes a new token up within a second.
    eventually(lambda: requests.get(address, headers=newest, timeout=60).ok or None, "the tokens are known")
    return made


@dataclass(frozen=True, slots=True)
class Drawn:
    """Requests as the description says, and such as it forbids; of each operation in the order in which they came."""

    _right: list[list[Any]]
    _wrong: list[list[Any]]

    def right(self, of_each: int | None) -> Iterator[Any]:
        """None: all."""
        return (case for cases in self._right for case in cases[:of_each])

    def wrong(self, of_each: int | None) -> Iterator[Any]:
        return (case for cases in self._wrong for case in cases[:of_each])


def draw_right(operation: Any) -> list[Any]:
    return draw(operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE), EXAMPLES)


def draw_wrong(operation: Any) -> list[Any]:
    """First those whose query or body is wrong, if it has some: of a wrong path or header the rest is not looked at."""
    wrong = schemathesis.GenerationMode.NEGATIVE
    anywhere = draw(operation.as_strategy(generation_mode=wrong), 1)
    if not operation.body and not operation.query.items:
        return anywhere
    path = {one.name: "1" for one in operation.path_parameters}
    headers = {one.name: '"1"' for one in operation.headers} | {"Authorization": "Bearer 1"}
    within = operation.as_strategy(generation_mode=wrong, path_parameters=path, headers=headers)
    return draw(within, EXAMPLES)[::-1] + anywhere  # the first that is drawn is the simplest, such as no JSON at all


def draw(strategy: Any, count: int) -> list[Any]:
    cases: list[Any] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def keep(case: Any) -> None:
        cases.append(case)

    keep()
    return cases


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {}


@pytest.fixture
def drawn(served: Served, kept: dict[str, Any]) -> Drawn:
    """The same on both databases, which have the same description."""
    document = served.read("/openapi.json")
    if not kept:
        config = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
        schema = schemathesis.openapi.from_dict(document, config=config)
        operations = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr] # an error ends this
        kept["document"] = document
        kept["drawn"] = Drawn([draw_right(one) for one in operations], [draw_wrong(one) for one in operations])
    assert document == kept["document"]
    found: Drawn = kept["drawn"]
    return found


def copied(case: Any) -> Any:
    """For one who asks, whose ids and ETag it is given."""
    return case.operation.Case(
        method=case.method,
        path_parameters=dict(case.path_parameters),
        headers=dict(case.headers),
        cookies=dict(case.cookies),
        query=dict(case.query),
        body=case.body,
        media_type=case.media_type,
        multipart_content_types=case.multipart_content_types,
        _meta=deepcopy(case.meta),
    )


def is_wrong_within(case: Any) -> bool:
    """In its query or body. Then it is wrong whatever its path is."""
    parts = (case.meta.components.get(one) for one in (ParameterLocation.QUERY, ParameterLocation.BODY))
    return any(part is not None and part.mode.is_negative for part in parts)


def ids_in(path: str, served: Served) -> dict[str, list[str]] | None:
    """What may stand in place of the parameters of a path; None: something is not known."""
    if path.startswith("/tickets/{number}/checklist"):
        return {"number": served.known["a round"], **({"item": ["1"]} if "{item}" in path else {})}
    found = {one[1]: served.known.get(path[: one.end()]) for one in re.finditer(r"\{(\w+)\}", path)}
    known = {name: ids for name, ids in found.items() if ids is not None}
    return known if len(known) == len(found) else None


def to_real(case: Any, served: Served) -> bool:
    """Puts real ids in place of those that were made up, if there are some; says whether there are."""
    ids = ids_in(case.operation.path, served)
    if ids is None:
        return False
    is_end = case.method == "DELETE" or case.operation.path.rpartition("/")[2] in ENDS
    case.path_parameters |= {name: of_these[-1 if is_end else 0] for name, of_these in ids.items()}
    return True


def with_etag(case: Any, served: Served, secret: str) -> None:
    """What it is meant for is as it is now."""
    path = case.formatted_path
    for thing in (path, path.rpartition("/")[0]):
        seen = served.collector.request("GET", ROOT + thing, secret=secret)
        if seen.status == 200 and "ETag" in seen.headers:
            case.headers["If-Match"] = seen.headers["ETag"]
            return


def to_plain(case: Any) -> None:
    """Without what may make an answer empty, or none."""
    required = {one.name for one in case.operation.query if one.is_required}
    case.query = {name: value for name, value in case.query.items() if name in required}
    case.headers.pop("If-None-Match", None)


@dataclass
class Found:
    asked: set[str] = field(default_factory=set)
    got: set[str] = field(default_factory=set)  # of these, those that did what was asked of what is there
    statuses: set[int] = field(default_factory=set)


def ask_all(served: Served, role: str, cases: Iterable[Any], *, right: bool) -> Found:
    """Asks them, and holds each answer against the description."""
    told = Found()
    with requests.Session() as session:
        for drawn in cases:
            case, label, secret = copied(drawn), drawn.operation.label, served.secret(role)
            may_be_real = right or is_wrong_within(case)
            if may_be_real:
                case.headers["Authorization"] = f"Bearer {secret}"
            was_real = may_be_real and to_real(case, served)
            if was_real and any(one.name == "If-Match" for one in case.operation.headers):
                with_etag(case, served, secret)
            if right and was_real and case.method == "GET" and label not in told.got:
                to_plain(case)
            response = case.call_and_validate(
                f"{served.collector.url}{ROOT}", session, {"Authorization": f"Bearer {secret}"}, CHECKS
            )
            told.asked.add(label)
            told.statuses.add(response.status_code)
            if was_real and response.status_code < 300:
                told.got.add(label)
    assert len(told.asked) > 100
    return told


@pytest.mark.slow
@pytest.mark.parametrize("role", PEOPLE)
def test_every_answer_is_as_described(served: Served, drawn: Drawn, role: str) -> None:
    """Whatever can be read is read, and an admin does most of what there is."""
    told = ask_all(served, role, drawn.right(None if role == "admin" else 1), right=True)
    assert 429 not in told.statuses
    reading = {
        label
        for label in told.asked
        if label.startswith("GET ")
        and ("/portal/" in label) == (role == "contact")
        and ids_in(label.removeprefix("GET "), served) is not None
    }
    match role:
        case "admin":
            assert not reading - told.got, sorted(reading - told.got)
            assert len(told.got) > len(told.asked) // 2, sorted(told.asked - told.got)
        case "contact":
            assert not reading - told.got, sorted(reading - told.got)


@pytest.mark.slow
@pytest.mark.parametrize("role", PROGRAMS)
def test_programs_have_no_business_here(served: Served, drawn: Drawn, role: str) -> None:
    assert ask_all(served, role, drawn.right(1), right=True).statuses == {403}


@pytest.mark.slow
@pytest.mark.parametrize("role", PEOPLE)
def test_what_is_wrong_is_refused(served: Served, drawn: Drawn, role: str) -> None:
    ask_all(served, role, drawn.wrong(None if role == "admin" else 1), right=False)
