"""How long a page of a list takes, over HTTP: every list of the API, whole, by each of its filters and by any two of
them together, in each order, as an administrator asks; as a technician of one customer or its contact does, by each."""

import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from statistics import median

import aiohttp
from aiohttp import web

from bench._desk_data import NOW, customer_id, device_id
from collector.api.desk.frame import ROOT, DeskApi
from collector.api.desk.operations import AnyOperation
from collector.api.limits import Rate
from collector.app.operations import desk_operations
from collector.contracts import load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.contracts.promises import load_sla_book
from collector.db.database import Database
from collector.desk.listing import Order
from collector.fleet.directory import FleetDirectory
from collector.fleet.roles import Role
from collector.fleet.tokens import Token
from collector.incidents.promised import Promised

PAGES = 15  # of a list by one filter; a list by two is read for its first two pages
SLOWEST_TOLD = 5
ASKED_AGAIN = 40  # the slowest questions, when all have been asked: the machine does other things, too
LATELY, LONG_SINCE = (NOW - timedelta(days=3)).isoformat(), (NOW - timedelta(days=700)).isoformat()

# What filters are asked for: much and little, something and nothing.
ASKED: Mapping[str, Sequence[str]] = {
    "all": ("true",),
    "assigned": ("true", "false"),
    "assignee": ("tech-7", "tech-none"),
    "category": ("storage", "none"),
    "customer": (customer_id(7), customer_id(0), "nobody"),
    "device": (device_id(70), "none"),
    "holding": ("true",),
    "id": (device_id(70),),
    "kind": ("incident", "maintenance"),
    "language": ("en",),
    "month": ("2026-02",),
    "name": ("filesystem_full", "none"),
    "number": ("1001",),
    "open": ("true", "false"),
    "opened_since": (LATELY, LONG_SINCE),
    "opened_until": (LATELY, LONG_SINCE),
    "outcome": ("ticket", "asked", "shadow"),
    "priority": ("P1", "P4"),
    "rule": ("ServerFilesystemFull", "None"),
    "site": ("site-1", "none"),
    "sort": tuple(Order),
    "state": (),  # by its list, since each has its own
    "status": ("new", "closed", "waiting_customer"),
    "text": ("full", device_id(70), "nothing like it"),
    "type": ("goodbye", "none"),
    "user": ("user-0007", "nobody"),
}
ASKED_AT: Mapping[tuple[str, str], Sequence[str]] = {
    ("/alerts", "state"): ("firing", "resolved", "unknown"),
    ("/silences", "state"): ("to_come", "in_force", "ended"),
    ("/maintenance-plans/{id}/rounds", "id"): ("1",),
    ("/technicians/{id}/absences", "id"): ("tech-7",),
}


@dataclass
class ListTimes:
    """Of one list: the milliseconds of each page, by question."""

    pages_of: dict[str, list[float]] = field(default_factory=dict)

    def slowest(self, count: int) -> list[str]:
        return sorted(self.pages_of, key=lambda question: -max(self.pages_of[question]))[:count]

    def report(self) -> dict[str, object]:
        pages = [page for pages in self.pages_of.values() for page in pages]
        return {
            "questions": len(self.pages_of),
            "pages": len(pages),
            "median": round(median(pages), 1),
            "longest": round(max(pages), 1),
            "slowest": {question: round(max(self.pages_of[question]), 1) for question in self.slowest(SLOWEST_TOLD)},
        }


async def lists(database: Database) -> dict[str, dict[str, object]]:
    """For each list of the API what its pages took, as an HTTP client sees it."""
    models = load_service_models()
    book = load_sla_book()
    operations = desk_operations(
        FleetDirectory,
        dict,
        models,
        Promised(dict, FleetDirectory().kind_and_tags, models, book),
        tasks=load_maintenance_tasks(),
        book=book,
        escalate_to="dispatch",
        max_devices=100,
    )
    tokens = {
        "admin": Token(1, Role.ADMIN, None, None, None, None, NOW, None, None),
        "customer": Token(2, Role.TECHNICIAN, customer_id(7), None, None, None, NOW, None, None),
        "contact": Token(3, Role.CONTACT, customer_id(7), None, None, None, NOW, None, None),
    }
    api = DeskApi(operations, database, tokens.get, lambda: NOW, version="bench", rate=Rate(1e6, 1_000_000))
    application = web.Application()
    application.add_routes(api.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}{ROOT}"
    found: dict[str, dict[str, object]] = {}
    try:
        async with aiohttp.ClientSession() as client:
            for one in operations:
                if one.method == "GET" and "limit" in one.params.model_fields:
                    found[one.path] = (await _times(client, base, one)).report()
    finally:
        await runner.cleanup()
    return found


async def _times(client: aiohttp.ClientSession, base: str, one: AnyOperation) -> ListTimes:
    times = ListTimes()
    callers = ["contact"] if one.path.startswith("/portal") else ["admin"]
    if "customer" in one.params.model_fields and "customer" not in one.in_path:
        callers.append("customer")
    asked_by = [(who, query) for who in callers for query in questions(one, by_two=who == "admin")]
    ask_of: dict[str, Callable[[], Awaitable[list[float] | None]]] = {}
    for who, query in asked_by:
        in_path = {name: query[name] for name in one.in_path}
        asked = {name: value for name, value in query.items() if name not in in_path}
        count = PAGES if len(asked.keys() - {"sort"}) < 2 else 2
        ask = partial(_pages, client, base + one.path.format(**in_path), asked, who, count)
        pages = await ask()
        if pages is None:  # such as another customer's
            continue
        question = " ".join([who, *(f"{name}={value}" for name, value in query.items())])
        times.pages_of[question], ask_of[question] = pages, ask
    for question in times.slowest(ASKED_AGAIN):
        again = await ask_of[question]() or []
        times.pages_of[question] = [min(both) for both in zip(times.pages_of[question], again, strict=True)]
    return times


def questions(one: AnyOperation, *, by_two: bool) -> Iterator[dict[str, str]]:
    """Nothing asked, each filter alone, and any two together if so wanted, in each order."""
    fields = one.params.model_fields
    names = [name for name in fields if name not in ("limit", "cursor", "sort") and not fields[name].is_required()]
    needed = {name: _values(one, name)[0] for name in fields if fields[name].is_required()}
    for sort in _values(one, "sort") if "sort" in fields else [None]:
        order = needed | ({} if sort is None else {"sort": sort})
        for chosen in itertools.chain.from_iterable(
            itertools.combinations(names, n) for n in range(3 if by_two else 2)
        ):
            for values in itertools.product(*(_values(one, name) for name in chosen)):
                yield order | dict(zip(chosen, values, strict=True))


def _values(one: AnyOperation, name: str) -> Sequence[str]:
    return ASKED_AT.get((one.path, name)) or ASKED[name]


async def _pages(
    client: aiohttp.ClientSession, url: str, query: Mapping[str, str], who: str, count: int
) -> list[float] | None:
    """Milliseconds of the first pages, one after the other as the cursor leads. Each is asked for twice, and the lesser
    counts: the machine does other things, too. None: the caller does not see it."""
    times: list[float] = []
    headers = {"Authorization": f"Bearer {who}"}
    asked = dict(query)
    for _ in range(count):
        taken = []
        for _ in range(2):
            begun = time.perf_counter()
            answer = await _page(client, url, asked, headers)
            taken.append((time.perf_counter() - begun) * 1_000)
        if answer is None:
            return None
        times.append(min(taken))
        if answer["next_cursor"] is None:
            break
        asked["cursor"] = answer["next_cursor"]
    return times


async def _page(
    client: aiohttp.ClientSession, url: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> dict[str, str] | None:
    async with client.get(url, params=query, headers=headers) as response:
        text = await response.text()
        if response.status in (403, 404):
            return None
        if response.status != 200:
            raise RuntimeError(f"{url} {query}: {response.status} {text[:500]}")
        answer: dict[str, str] = json.loads(text)
        return answer
