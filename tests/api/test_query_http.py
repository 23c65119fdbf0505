"""The query API over HTTP, in Prometheus's shapes."""

from typing import Any

import pytest
from aiohttp import FormData, web
from pytest_aiohttp.plugin import AiohttpClient

from collector.series.in_memory import InMemoryReader
from collector.series.read import Matcher, Milliseconds, Selection
from tests.api.query_fixtures import Client, Query, T, application, query_api, small_store


@pytest.fixture(name="client")
async def client_fixture(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(application(query_api(small_store())))


async def data_of(client: Client, path: str, params: Query | None = None) -> Any:
    response = await client.get(f"/api/v1/{path}", params=params)
    body = await response.json()
    assert (response.status, body["status"]) == (200, "success"), body
    assert response.content_type == "application/json"
    assert set(body) == {"status", "data"}
    return body["data"]


WEB_A = {"__name__": "up", "instance": "a", "job": "web"}
WEB_B = {"__name__": "up", "instance": "b", "job": "web"}
DB_A = {"__name__": "up", "instance": "a", "job": "db"}


@pytest.mark.parametrize(
    ("query", "kind", "result"),
    [
        ("1e-7", "scalar", [T, "0.0000001"]),
        ('"né"', "string", [T, "né"]),
        ("vector(1e-7)", "vector", [{"metric": {}, "value": [T, "1e-07"]}]),
        ('up{instance="b"}', "vector", [{"metric": WEB_B, "value": [T, "0"]}]),
        (
            'odd_ratio{case="nan"}',
            "vector",
            [{"metric": {"__name__": "odd_ratio", "case": "nan"}, "value": [T, "NaN"]}],
        ),
        (
            "odd_ratio < 0",
            "vector",
            [{"metric": {"__name__": "odd_ratio", "case": 'inf "quoted" é'}, "value": [T, "-Inf"]}],
        ),
        ("nothing", "vector", []),
        (
            'up{job="web"}[2m]',
            "matrix",
            [
                {"metric": WEB_A, "values": [[T - 60, "1"], [T, "1"]]},
                {"metric": WEB_B, "values": [[T - 60, "1"], [T, "0"]]},
            ],
        ),
        (
            "up[10m]",
            "matrix",
            [
                {"metric": DB_A, "values": [[T - 300, "1"]]},
                {"metric": WEB_A, "values": [[T - 60, "1"], [T, "1"]]},
                {"metric": WEB_B, "values": [[T - 60, "1"], [T, "0"]]},
            ],
        ),
        ("sort_desc(up)", "vector", [{"metric": WEB_A, "value": [T, "1"]}, {"metric": WEB_B, "value": [T, "0"]}]),
    ],
)
async def test_an_instant_query_gives_each_kind_of_result(
    client: Client, query: str, kind: str, result: object
) -> None:
    assert await data_of(client, "query", {"query": query}) == {"resultType": kind, "result": result}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [(str(T - 60), T - 60), ("2026-01-05T11:59:00Z", T - 60), ("2026-01-05T12:59:00.25+01:00", T - 59.75)],
)
async def test_the_time_of_a_query_is_unix_or_rfc_3339(client: Client, time: str, seconds: float) -> None:
    assert (await data_of(client, "query", {"query": "time()", "time": time}))["result"] == [seconds, str(seconds)]


async def test_a_form_asks_as_well_as_a_query_string(client: Client) -> None:
    response = await client.post(
        "/api/v1/query?time=5&query=ignored", data=FormData({"query": "time() + 1", "timeout": "10s"})
    )
    assert await response.json() == {"status": "success", "data": {"resultType": "scalar", "result": [5, "6"]}}


async def test_a_range_query_gives_a_matrix_in_label_order(client: Client) -> None:
    data = await data_of(client, "query_range", {"query": "up", "start": T - 120, "end": T, "step": "1m"})
    assert data == {
        "resultType": "matrix",
        "result": [
            {"metric": DB_A, "values": [[T - 120, "1"], [T - 60, "1"]]},
            {"metric": WEB_A, "values": [[T - 60, "1"], [T, "1"]]},
            {"metric": WEB_B, "values": [[T - 60, "1"], [T, "0"]]},
        ],
    }


async def test_a_range_query_of_a_scalar_is_a_series_without_labels(client: Client) -> None:
    data = await data_of(client, "query_range", {"query": "2", "start": "1", "end": "1.5", "step": "0.25"})
    assert data["result"] == [{"metric": {}, "values": [[1, "2"], [1.25, "2"], [1.5, "2"]]}]


async def test_a_range_query_may_have_11000_steps(client: Client) -> None:
    data = await data_of(client, "query_range", {"query": "1", "start": 0, "end": 11_000, "step": 1})
    assert len(data["result"][0]["values"]) == 11_001


async def test_a_range_query_in_a_form(client: Client) -> None:
    form = FormData({"query": "rate(requests_total[1m])", "start": str(T), "end": str(T), "step": "15"})
    body = await (await client.post("/api/v1/query_range", data=form)).json()
    (series,) = body["data"]["result"]
    assert series["metric"] == {"instance": "a", "job": "web"}
    assert float(series["values"][0][1]) == pytest.approx(2.5 / 15)


@pytest.mark.parametrize(
    ("path", "params", "kept"),
    [
        ("query", {"query": "up"}, 2),
        ("query", {"query": "up[10m]"}, 3),
        ("query_range", {"query": "up", "start": T - 120, "end": T, "step": 60}, 3),
    ],
)
async def test_a_limit_cuts_a_result_and_says_so(
    client: Client, path: str, params: dict[str, str | float], kept: int
) -> None:
    for limit in (1, kept, 0):
        body = await (await client.get(f"/api/v1/{path}", params={**params, "limit": limit})).json()
        assert len(body["data"]["result"]) == (limit or kept)
        assert body.get("warnings") == (["results truncated due to limit"] if 0 < limit < kept else None)


async def test_series_are_label_sets_and_none_comes_twice(client: Client) -> None:
    one = await data_of(client, "series", {"match[]": "up"})
    assert one == [DB_A, WEB_A, WEB_B]
    two = await data_of(client, "series", [("match[]", '{job="web"}'), ("match[]", "up")])
    assert sorted(map(repr, two)) == sorted(map(repr, [{**WEB_A, "__name__": "requests_total"}, *one]))
    cut = await client.get("/api/v1/series", params={"match[]": "up", "limit": 2})
    assert await cut.json() == {"status": "success", "data": one[:2], "warnings": ["results truncated due to limit"]}
    posted = await client.post("/api/v1/series", data=FormData({"match[]": "up", "start": str(T - 60), "end": str(T)}))
    assert WEB_A in (await posted.json())["data"]


async def test_label_names_and_values_are_sorted(client: Client) -> None:
    assert await data_of(client, "labels") == ["__name__", "case", "instance", "job"]
    assert await data_of(client, "labels", {"match[]": "up"}) == ["__name__", "instance", "job"]
    assert await data_of(client, "label/__name__/values") == ["odd_ratio", "requests_total", "up"]
    assert await data_of(client, "label/instance/values", {"match[]": 'up{job="db"}'}) == ["a"]
    assert await data_of(client, "label/nothing/values") == []
    cut = await client.get("/api/v1/label/job/values", params={"limit": 1})
    assert await cut.json() == {"status": "success", "data": ["db"], "warnings": ["results truncated due to limit"]}
    posted = await client.post("/api/v1/labels", data=FormData({"match[]": "odd_ratio"}))
    assert (await posted.json())["data"] == ["__name__", "case"]


async def test_the_bounds_of_time_reach_the_store(aiohttp_client: AiohttpClient) -> None:
    asked = []

    class NotingReader(InMemoryReader):
        def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
            asked.append((start, end))
            return super().select(matchers, start, end)

    client = await aiohttp_client(application(query_api(NotingReader())))
    everything = {"start": "-292273086-05-16T16:47:06Z", "end": "292277025-08-18T07:12:54.999999999Z"}
    await data_of(client, "labels", {"start": 10, "end": 20.5})
    await data_of(client, "labels", everything)
    await data_of(client, "labels")
    assert asked == [(9_999, 20_500), (-1, 253_402_300_799_999), (-1, 253_402_300_799_999)]


async def test_metadata_is_what_names_tell(client: Client) -> None:
    counter = [{"type": "counter", "help": "", "unit": ""}]
    assert await data_of(client, "metadata") == {
        "odd_ratio": [{"type": "gauge", "help": "", "unit": "ratio"}],
        "requests_total": counter,
        "up": [{"type": "unknown", "help": "", "unit": ""}],
    }
    assert await data_of(client, "metadata", {"metric": "requests_total"}) == {"requests_total": counter}
    assert list(await data_of(client, "metadata", {"limit": 2})) == ["odd_ratio", "requests_total"]


async def test_build_info_names_the_version_that_is_spoken(client: Client) -> None:
    info = await data_of(client, "status/buildinfo")
    assert info["version"].startswith("3.")
    assert info["revision"] == "quarkpulse 1.2.3"
    assert set(info) == {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"}


async def test_every_route_is_guarded(aiohttp_client: AiohttpClient) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401)

    api = query_api(small_store())
    app = web.Application()
    app.add_routes(api.routes(lambda _: refuse))
    client = await aiohttp_client(app)
    routes = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource]
    assert {"/api/v1/query", "/api/v1/rules", "/api/v1/label/{name}/values"} <= {path for _, path in routes}
    for method, path in routes:
        response = await client.request(method, path.format(name="job", path="x"))
        assert response.status == 401
    api.close()
