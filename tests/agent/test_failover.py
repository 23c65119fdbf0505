"""Several addresses, proxies and client certificates, over real sockets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.addresses import AddressError, Proxy, find_proxy, parse_proxy
from agent.failover import Failover, make_uplinks
from agent.settings import Settings, SettingsError
from agent.state import Identity, StateFolder
from agent.tls import Trust
from agent.uplink import Uplink, UplinkError
from protocol.wire import CONFIG_PATH
from tests.agent.collector import DEVICE_ID, LOGIN_PAGE, SECRET, Collector, Reply
from tests.agent.conftest import StartAgent
from tests.agent.proxy import ConnectProxy
from tests.agent.running import stop
from tests.agent.test_enroll import run_cli

NOBODY = "http://127.0.0.1:9"
BUSY = Reply(503, {"error": "busy", "message": "the store is busy: come again", "details": []})


class Ways:
    """Two collectors, the first of which can be put out of the way, and a clock that the test moves."""

    def __init__(self, first: Collector, second: Collector) -> None:
        self.now = 1000.0
        self.first, self.second = first, second
        self.uplinks = [Uplink(one.url, secret=SECRET) for one in (first, second)]
        self.failover = Failover(self.uplinks, lambda: self.now, uniform=lambda _, high: high)

    def ask(self) -> str:
        """Who answered."""
        before = len(self.second.requests)
        self.failover.get(CONFIG_PATH)
        return "second" if len(self.second.requests) > before else "first"

    def post(self) -> tuple[int, dict[str, object] | None]:
        answer = self.failover.post("/v1/push", b"{}")
        return answer.status, answer.content

    def lose_first(self) -> None:
        self.uplinks[0].close()
        self.uplinks[0].port = 9

    def find_first(self) -> None:
        self.uplinks[0].port = self.first.port


@pytest.fixture
def ways(collector: Collector) -> Iterator[Ways]:
    with Collector() as second:
        ways = Ways(collector, second)
        yield ways
        ways.failover.close()


def test_the_next_address_is_asked_when_one_fails_and_the_first_again_after_a_while(
    ways: Ways, caplog: pytest.LogCaptureFixture
) -> None:
    assert ways.ask() == "first"
    ways.lose_first()
    assert [ways.ask(), ways.ask()] == ["second", "second"]
    assert len(caplog.records) == 1
    assert ways.failover.current is ways.uplinks[1]
    ways.now += 901.0
    assert ways.ask() == "second"  # it is still away
    ways.find_first()
    ways.now += 899.0
    assert ways.ask() == "second"
    ways.now += 2.0
    assert ways.ask() == "first"
    assert ways.failover.current is ways.uplinks[0]


@pytest.mark.parametrize(
    ("reply", "answered"),
    [
        (Reply(200, LOGIN_PAGE), "second"),
        (Reply(200, {"login": "please"}), "second"),
        (Reply(302, b"", {"Location": "/login"}), "second"),
        (Reply(502, b"<h1>Bad gateway</h1>"), "second"),
        (Reply(404, b"<h1>no such page</h1>"), "second"),
        (BUSY, "first"),
        (Reply(413, b"<h1>413 nginx</h1>"), "second"),
        (Reply(401, b""), "second"),
        (Reply(403, b"<h1>blocked</h1>"), "second"),
        (Reply(304, b""), "second"),
        (Reply(413), "first"),
        (Reply(401), "first"),
        (Reply(422), "first"),
        (Reply(410, {"error": "ended", "message": "no longer", "details": []}), "first"),
    ],
    ids=lambda value: f"{value.status} {value.body[:12]!r}" if isinstance(value, Reply) else value,
)
def test_what_is_not_the_collectors_answer_is_asked_elsewhere(ways: Ways, reply: Reply, answered: str) -> None:
    ways.first.script.append(reply)
    ways.second.script.append(BUSY)
    status, content = ways.post()
    assert len(ways.second.requests) == (1 if answered == "second" else 0)
    assert status == (503 if answered == "second" else reply.status)
    if answered == "second":
        assert content is not None


def test_a_configuration_that_has_not_changed_is_the_collectors_word(ways: Ways) -> None:
    answer = ways.failover.get(CONFIG_PATH, {"If-None-Match": f'"{ways.first.config_etag}"'})
    assert (answer.status, len(ways.second.requests)) == (304, 0)


def test_that_it_has_not_changed_is_asked_elsewhere_if_it_is_said_of_another(ways: Ways) -> None:
    ways.first.config_reply = Reply(304, b"")
    answer = ways.failover.get(CONFIG_PATH, {"If-None-Match": '"first"'})
    assert (answer.status, len(ways.second.requests)) == (304, 1)
    assert ways.failover.current is ways.uplinks[1]


def test_when_nobody_answers_rightly_the_failure_is_told(ways: Ways) -> None:
    ways.lose_first()
    ways.second.script.append(Reply(200, LOGIN_PAGE))
    assert ways.post() == (200, None)
    nobody = Failover([Uplink(NOBODY), Uplink(NOBODY)], lambda: 0.0)
    with pytest.raises(UplinkError, match="refuses connections"):
        nobody.get(CONFIG_PATH)


def test_an_agent_goes_on_at_the_other_address_and_loses_nothing(
    collector: Collector, tmp_path: Path, start_agent: StartAgent
) -> None:
    state = tmp_path / "state"
    with Collector() as second:
        addresses = [word for one in (NOBODY, collector.url, second.url) for word in ("--collector", one)]
        result = run_cli("enroll", *addresses, "--token", "a-token", "--state", state)
        assert (result.exit_code, result.stdout) == (0, f"{DEVICE_ID}\n")
        assert StateFolder(state).load_identity().collectors == (NOBODY, collector.url, second.url)
        probes = json.dumps({"uptime": "agent.probes.host:UptimeProbe"})
        (state / "probes.json").write_text(probes)
        agent = start_agent(state)
        collector.wait_for(lambda it: len(it.frames) >= 3)
        taken = len(collector.frames)
        collector.script.extend([Reply(502, b"<h1>Bad gateway</h1>")] * 1000)
        second.wait_for(lambda it: len(it.frames) >= 3)
        assert stop(agent) == 0
    times = [frame.t for one in (collector, second) for frame in one.frames]
    assert len(set(times)) == len(times)
    assert len(collector.frames) >= taken
    assert not list((state / "spool").glob("*.json.gz"))


# Proxies.


def test_a_proxy_is_asked_to_connect(certificate: Path) -> None:
    with Collector(certificate=certificate) as collector, ConnectProxy(collector.port) as proxy:
        uplink = Uplink(collector.url, secret=SECRET, trust=Trust(str(certificate)), proxy=parse_proxy(proxy.address))
        assert [uplink.get(CONFIG_PATH).status for _ in range(2)] == [200, 200]
        uplink.close()
        (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT 127.0.0.1:{collector.port} ")
    assert SECRET not in asked


def test_a_proxy_that_asks_for_a_password_gets_it(collector: Collector) -> None:
    with ConnectProxy(collector.port, authorization="Basic YW5uYTpoZW1saWpr") as proxy:
        good = Uplink(collector.url, proxy=parse_proxy(f"http://anna:hemlijk@{proxy.address}"))
        assert good.get(CONFIG_PATH).status == 200
        good.close()
        bad = Uplink(collector.url, proxy=parse_proxy(proxy.address))
        with pytest.raises(UplinkError, match=r"the proxy does not let the agent through \(407 "):
            bad.get(CONFIG_PATH)
    assert "hemlijk" not in repr(good.proxy)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy.example:8080", ("proxy.example", 8080, None)),
        ("proxy.example", ("proxy.example", 3128, None)),
        ("http://a%40b:p%3Aw@proxy.example:3128/", ("proxy.example", 3128, "Basic YUBiOnA6dw==")),
    ],
)
def test_proxies_are_named_as_usual(text: str, expected: tuple[str, int, str | None]) -> None:
    assert parse_proxy(text) == Proxy(*expected)


@pytest.mark.parametrize(
    "text", ["socks5://proxy.example", "https://proxy.example", "http://", "http://a:geheim@x:99999"]
)
def test_other_proxies_are_refused_without_the_password(text: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse_proxy(text)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "told", "environment", "expected"),
    [
        ("c.example", None, {}, None),
        ("c.example", None, {"HTTPS_PROXY": "http://p:1"}, "p"),
        ("c.example", None, {"https_proxy": "p:1"}, "p"),
        ("c.example", "q:1", {"HTTPS_PROXY": "http://p:1"}, "q"),
        ("c.example", "none", {"HTTPS_PROXY": "http://p:1"}, None),
        ("c.example", None, {"HTTPS_PROXY": "p:1", "NO_PROXY": "x, .example"}, None),
        ("c.example", None, {"HTTPS_PROXY": "p:1", "no_proxy": "C.EXAMPLE"}, None),
        ("c.example", None, {"HTTPS_PROXY": "p:1", "NO_PROXY": "ample"}, "p"),
        ("c.example", None, {"HTTPS_PROXY": "p:1", "NO_PROXY": "*"}, None),
        ("127.0.0.1", "q:1", {"HTTPS_PROXY": "p:1"}, None),
    ],
)
def test_which_proxy(host: str, told: str | None, environment: dict[str, str], expected: str | None) -> None:
    proxy = find_proxy(host, told, environment)
    assert (None if proxy is None else proxy.host) == expected


def test_the_proxy_stands_in_the_settings() -> None:
    identity = Identity("https://c.example", DEVICE_ID, others=("http://127.0.0.1:1",))
    first, second = make_uplinks(identity, SECRET, Settings({"uplink": {"proxy": "http://proxy.example:8080"}}))
    assert (first.proxy, second.proxy) == (Proxy("proxy.example", 8080), None)
    for mistake in ({"proxy": "socks://geheim@x"}, {"proxi": "x"}, {"proxy": 3}):
        with pytest.raises(SettingsError, match=r"agent\.toml: uplink\.prox") as refused:
            Settings({"uplink": mistake}).proxy()
        assert "geheim" not in str(refused.value)


# Certificates.


def test_a_collector_that_asks_for_a_certificate_gets_it(certificate: Path, tmp_path: Path) -> None:
    text = certificate.read_text()
    cut = text.index("-----BEGIN CERTIFICATE")
    (tmp_path / "key.pem").write_text(text[:cut])
    (tmp_path / "cert.pem").write_text(text[cut:])
    with Collector(certificate=certificate, client_ca=certificate) as collector:
        files = ("--client-certificate", tmp_path / "cert.pem", "--client-key", tmp_path / "key.pem")
        common = ("--collector", collector.url, "--token", "t", "--ca", certificate)
        refused = run_cli("enroll", *common, "--state", tmp_path / "no")
        assert refused.exit_code == 1
        # Which side notices first is chance.
        assert "--client-certificate FILE" in refused.output or "closed the connection" in refused.output
        assert run_cli("enroll", *common, *files, "--state", tmp_path / "yes").exit_code == 0
        identity = StateFolder(tmp_path / "yes").load_identity()
        assert (identity.certificate, identity.key) == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
        (uplink,) = make_uplinks(identity, SECRET, Settings())
        assert uplink.get(CONFIG_PATH).status == 200
        uplink.close()


def test_a_client_certificate_that_cannot_be_used_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing of the kind")
    for path in (tmp_path / "cert.pem", tmp_path / "gone.pem"):
        with pytest.raises(UplinkError, match=r"cannot use the client certificate .*must be without a password"):
            Uplink("https://c.example", trust=Trust(certificate=str(path))).get(CONFIG_PATH)
