"""An answer in Prometheus's words for whatever is wrong with a query."""

import logging

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from collector.api.query_params import MAX_FORM_BYTES
from collector.promql import Limits
from collector.series.in_memory import InMemoryReader
from collector.series.read import Matcher, Milliseconds, Selection
from protocol.errors import TransientError
from tests.api.query_fixtures import Client, Query, application, query_api, small_store


@pytest.fixture(name="client")
async def client_fixture(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(application(query_api(small_store())))


async def error_of(client: Client, path: str, params: Query) -> tuple[int, str, str]:
    """Status, type and text of a refusal."""
    response = await client.get(f"/api/v1/{path}", params=params)
    body = await response.json()
    assert set(body) == {"status", "errorType", "error"}, body
    assert body["status"] == "error"
    assert response.content_type == "application/json"
    return response.status, body["errorType"], body["error"]


NO_TIME = "to a valid timestamp"
NO_DURATION = "to a valid duration"
RANGE = {"query": "up", "start": "0", "end": "60", "step": "15"}
NO_RESOLUTION = (
    "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
)
WRONG_TYPE = 'invalid parameter "query": invalid expression type "{}" for range query, must be Scalar or instant Vector'


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("query", {}, 'invalid parameter "query": parse error: '),
        ("query", {"query": "up["}, 'invalid parameter "query": parse error: '),
        ("query", {"query": "rate(up)"}, 'invalid parameter "query": parse error: '),
        ("query", {"query": "1", "time": "x"}, f'invalid parameter "time": cannot parse "x" {NO_TIME}'),
        ("query", {"query": "1", "time": "1e300"}, NO_TIME),
        ("query", {"query": "1", "time": "2026-13-01T00:00:00Z"}, NO_TIME),
        ("query", {"query": "1", "time": "2026-01-01"}, NO_TIME),
        ("query", {"query": "1", "time": "NaN"}, NO_TIME),
        (
            "query",
            {"query": "1", "timeout": "5 min"},
            f'invalid parameter "timeout": cannot parse "5 min" {NO_DURATION}',
        ),
        ("query", {"query": "1", "limit": "-1"}, 'invalid parameter "limit": '),
        ("query", {"query": "1", "limit": "٣"}, 'invalid parameter "limit": '),
        ("query_range", {**RANGE, "query": ""}, 'invalid parameter "query": parse error: '),
        ("query_range", {**RANGE, "start": ""}, f'invalid parameter "start": cannot parse "" {NO_TIME}'),
        ("query_range", {**RANGE, "end": "-1"}, 'invalid parameter "end": end timestamp must not be before start time'),
        ("query_range", {**RANGE, "step": "0"}, 'invalid parameter "step": zero or negative query resolution step'),
        ("query_range", {**RANGE, "step": "-5"}, 'invalid parameter "step": zero or negative query resolution step'),
        ("query_range", {**RANGE, "step": "q"}, f'invalid parameter "step": cannot parse "q" {NO_DURATION}'),
        ("query_range", {**RANGE, "step": "1e30"}, NO_DURATION),
        ("query_range", {**RANGE, "end": "11001", "step": "1"}, NO_RESOLUTION),
        ("query_range", {**RANGE, "query": "up[5m]"}, WRONG_TYPE.format("range vector")),
        ("query_range", {**RANGE, "query": '"a"'}, WRONG_TYPE.format("string")),
        ("series", {}, "no match[] parameter provided"),
        ("series", {"match[]": "{}"}, 'invalid parameter "match[]": '),
        ("series", {"match[]": "sum("}, 'invalid parameter "match[]": parse error: '),
        ("series", {"match[]": "sum(up)"}, 'invalid parameter "match[]": "sum(up)" selects no series'),
        ("series", {"match[]": "up offset 5m"}, 'invalid parameter "match[]": "up offset 5m" selects no series'),
        ("series", {"match[]": "up", "start": "x"}, 'invalid parameter "start": '),
        ("series", [("match[]", "up")] * 101, 'invalid parameter "match[]": may stand 100 times'),
        ("labels", {"match[]": "1"}, 'invalid parameter "match[]": '),
        ("label/job/values", {"end": "x"}, 'invalid parameter "end": '),
        ("metadata", {"limit": "x"}, 'invalid parameter "limit": '),
        ("rules", {"type": "x"}, 'invalid parameter "type": not supported value "x"'),
    ],
)
async def test_bad_parameters_are_named(client: Client, path: str, params: Query, message: str) -> None:
    status, kind, error = await error_of(client, path, params)
    assert (status, kind) == (400, "bad_data")
    assert message in error


async def test_series_that_cannot_be_joined_are_an_execution_error(client: Client) -> None:
    status, kind, error = await error_of(client, "query", {"query": "up + on(job) up"})
    assert (status, kind) == (422, "execution")
    assert "match group" in error


async def test_a_query_out_of_time_is_a_timeout(client: Client) -> None:
    assert await error_of(client, "query", {"query": "1", "timeout": "0"}) == (
        503,
        "timeout",
        "query timed out after 0 s",
    )


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    status, kind, error = await error_of(client, "query_exemplars", {})
    assert (status, kind) == (404, "not_found")
    assert "/api/v1/query_exemplars" in error


async def test_a_limit_of_the_engine_is_named(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(application(query_api(small_store(), limits=Limits(series=1))))
    status, kind, error = await error_of(client, "query", {"query": "up"})
    assert (status, kind) == (422, "execution")
    assert "series = 1" in error


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"query=" + b"1" * MAX_FORM_BYTES, 413, "shorten the query"),
        (b"query=" + b"1%2b" * 40_000 + b"1", 400, "a query may have"),
        (b"query=%ff%fe", 400, "error parsing form values"),
        (b"query=\xff", 400, "error parsing form values"),
        (b"&".join([b"match[]=up"] * 1_001), 400, "error parsing form values"),
    ],
)
async def test_a_bad_form_is_refused(client: Client, body: bytes, status: int, message: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await client.post("/api/v1/query", data=body, headers=headers)
    answer = await response.json()
    assert (response.status, answer["errorType"]) == (status, "bad_data")
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [(RuntimeError("secret detail"), 500, "internal"), (TransientError("history is busy"), 503, "unavailable")],
)
async def test_what_a_store_raises_is_answered(
    aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture, raised: Exception, status: int, kind: str
) -> None:
    class BrokenReader(InMemoryReader):
        def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
            raise raised

    client = await aiohttp_client(application(query_api(BrokenReader())))
    with caplog.at_level(logging.ERROR):
        answered = await error_of(client, "query", {"query": "up"})
    assert answered[:2] == (status, kind)
    assert "secret" not in answered[2]
    assert ("secret detail" in caplog.text) == (status == 500)
