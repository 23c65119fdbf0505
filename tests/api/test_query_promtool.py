"""promtool, Prometheus's own client, asks the query API."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pytest_aiohttp.plugin import AiohttpServer

from tests.api.query_fixtures import T, application, query_api, small_store
from tests.conftest import require

Promtool = Callable[..., Awaitable[tuple[int | None, str]]]

PROMTOOL_SECONDS = 20


@pytest.fixture(name="promtool")
async def promtool_fixture(aiohttp_server: AiohttpServer) -> Promtool:
    program = require("promtool")
    server = await aiohttp_server(application(query_api(small_store())))

    async def run(command: str, *arguments: str) -> tuple[int | None, str]:
        """The exit code and all output of `promtool query COMMAND` with the server put before the arguments."""
        process = await asyncio.create_subprocess_exec(
            program, "query", *command.split(), f"http://127.0.0.1:{server.port}", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PROMTOOL_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return process.returncode, output.decode().strip()

    return run


@pytest.mark.parametrize(
    ("query", "output"),
    [
        ('up{job="web",instance="a"}', f'up{{instance="a", job="web"}} => 1 @[{T}]'),
        ("odd_ratio < 0", f'odd_ratio{{case="inf \\"quoted\\" é"}} => -Inf @[{T}]'),
        ("1e-7", f"scalar: 0.0000001 @[{T}]"),
        ('up{job="db"}[10m]', f'up{{instance="a", job="db"}} =>\n1 @[{T - 300}]'),
    ],
)
async def test_instant(promtool: Promtool, query: str, output: str) -> None:
    assert await promtool(f"instant --time={T}", query) == (0, output)


async def test_range(promtool: Promtool) -> None:
    code, output = await promtool(f"range --start={T - 30} --end={T} --step=15s", "requests_total")
    samples = "\n".join(f"{value} @[{at}]" for value, at in [("95", T - 30), ("97.5", T - 15), ("100", T)])
    assert (code, output) == (0, f'requests_total{{instance="a", job="web"}} =>\n{samples}')


async def test_series(promtool: Promtool) -> None:
    code, output = await promtool("series --match=up")
    assert code == 0
    assert output.splitlines() == [
        '{__name__="up", instance="a", job="db"}',
        '{__name__="up", instance="a", job="web"}',
        '{__name__="up", instance="b", job="web"}',
    ]


async def test_labels(promtool: Promtool) -> None:
    assert await promtool("labels", "job") == (0, "db\nweb")


async def test_errors_are_understood(promtool: Promtool) -> None:
    code, output = await promtool("instant", "up[")
    assert code != 0
    assert "bad_data" in output
    assert "parse error" in output
    code, output = await promtool(f"instant --time={T}", "up + on(job) up")
    assert code != 0
    assert "execution" in output
