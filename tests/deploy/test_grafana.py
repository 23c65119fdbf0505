"""The Grafana dashboard: well formed, and every query answered by a real Prometheus that scraped a real collector."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import yaml

from bench._ports import free_port
from protocol.wire import Frame, Layout, Push, Series, layout_id
from tests.conftest import require

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/quarkpulse.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in CHARTS for target in panel["targets"]]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
# As Grafana fills them in: all customers, and a range that holds several of this test's scrapes.
FILLED_IN = {"$customer": ".*", "$__rate_interval": "20s"}

ANSWER_SECONDS = 60.0  # a busy machine may take so long to start a program; nothing waits longer than it must
# Nothing goes wrong in this test, so these have no series yet.
MAY_BE_EMPTY = {"sum(increase(quarkpulse_rule_conflicts_total[1h]))"}

RULES = """\
groups:
  - name: demo
    interval: 1s
    rules:
      - alert: MachineIsThere
        expr: system_uptime_seconds >= 0
        labels: {severity: major}
        annotations: {summary: "{{ $labels.device_id }} is there"}
"""


def filled_in(expression: str) -> str:
    for variable, value in FILLED_IN.items():
        expression = expression.replace(variable, value)
    return expression


# The dashboard by itself.


def test_every_panel_has_an_id_of_its_own() -> None:
    assert [number for number, times in Counter(panel["id"] for panel in PANELS).items() if times > 1] == []


def test_panels_lie_beside_each_other() -> None:
    def covers(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    overlapping = [(one["title"], two["title"]) for one, two in combinations(PANELS, 2) if covers(one) & covers(two)]
    assert overlapping == []


@pytest.mark.parametrize("panel", CHARTS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_only_variables_that_exist_are_used() -> None:
    used = {name for _, expression in QUERIES for name in re.findall(r"\$(\w+)", expression)}
    assert used <= {*VARIABLES, "__rate_interval"}


def test_what_depends_on_a_customer_is_filtered_by_it() -> None:
    tenant_metrics = re.compile(
        r"quarkpulse_(devices|alerts|tickets|tickets_opened_total|shadow_tickets\w*)\{([^}]*)\}"
    )
    for title, expression in QUERIES:
        for _, matchers in tenant_metrics.findall(expression):
            assert 'customer=~"$customer"' in matchers, title


def test_provisioning_leads_to_the_dashboard_and_the_scraper() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    provider = yaml.safe_load((provisioning / "dashboards/quarkpulse.yaml").read_text(encoding="utf-8"))["providers"][0]
    source = yaml.safe_load((provisioning / "datasources/quarkpulse.yaml").read_text(encoding="utf-8"))
    scraper = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))

    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()
    assert source["datasources"][0]["type"] == VARIABLES["datasource"]["query"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scraper["global"]["scrape_interval"]


def test_promtool_accepts_the_scrape_configuration() -> None:
    checked = subprocess.run(
        [require("promtool"), "check", "config", "--syntax-only", ROOT / "deploy/prometheus/prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=ANSWER_SECONDS,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# The dashboard against the real thing.


class Collector(NamedTuple):
    address: str
    data: Path

    def command(self, *arguments: str) -> str:
        program = Path(sys.executable).with_name("quarkpulse-collector")
        done = subprocess.run(
            [program, *arguments, "--data", self.data], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def post(self, path: str, body: object, secret: str | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        answer: dict[str, Any] = json.loads(request(self.address, path, json.dumps(body).encode(), headers))
        return answer


def request(address: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """The body of a 200. Raises OSError where nobody answers so."""
    host, port = address.rsplit(":", 1)
    with closing(HTTPConnection(host, int(port), timeout=ANSWER_SECONDS)) as connection:
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise ConnectionError(f"{path} answered {answer.status}: {content.decode()}")
        return content


def eventually(what: str, look: Callable[[], bool]) -> None:
    """Ask again until it is so or the time is over.

    The pause is no guess of how long something takes: there is no event to wait for in another process."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not look():
        assert time.monotonic() < deadline, f"did not come about: {what}"
        time.sleep(0.1)


@contextmanager
def running(command: list[str | Path], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_answering(address: str, path: str) -> bool:
    try:
        request(address, path)
    except OSError:
        return False
    return True


def push_frame(collector: Collector, secret: str, seq: int) -> None:
    series = [Series(name="system_uptime_seconds", labels={})]
    layout = Layout(id=layout_id(series), series=series)
    now = time.time_ns() // 1_000_000
    frame = Frame(layout=layout["id"], t=now, v=[4711.0 + seq])
    # A printer that nobody gave to this device: refused, and counted.
    strangers = Frame(device="prn-nobody-0000", layout=layout["id"], t=now, v=[1.0])
    push = Push(
        sent=now, boot="b", spool="s", seq=seq, layouts=[layout], frames=[frame, strangers], events=[], inventory={}
    )
    answer = collector.post("/v1/push", push, secret)
    assert (answer["acked"], [refused["frame"] for refused in answer["refused"]]) == (seq, [1])


def enrol(collector: Collector, customer: str, *plan: str) -> str:
    """A customer with one device; the device's secret."""
    collector.command("customers", "add", customer, "--name", customer.title(), *plan)
    token = collector.command(
        "tokens", "create", "--customer", customer, "--site", "hq", "--kind", "server", "--uses", "1"
    )
    enrolment = {
        "token": token,
        "hostname": f"srv-{customer}",
        "kind": "server",
        "machine_id": f"machine-{customer}",
        "instance": "i",
        "os": "Debian GNU/Linux 12",
        "arch": "x86_64",
        "agent_version": "0.1.0",
    }
    secret: str = collector.post("/v1/enroll", enrolment)["secret"]
    return secret


def scrape_configuration(target: str) -> dict[str, Any]:
    """The configuration that is shipped, with this test's address and a scrape a second."""
    scraper: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    scraper["global"]["scrape_interval"] = "1s"
    scraper["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    return scraper


class Prometheus(NamedTuple):
    address: str
    at: float | None = None  # Unix seconds; None: now

    def query(self, expression: str) -> list[dict[str, Any]]:
        asked = {"query": expression} | ({} if self.at is None else {"time": str(self.at)})
        answer = json.loads(request(self.address, f"/api/v1/query?{urlencode(asked)}"))
        assert answer["status"] == "success"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else 0.0


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a collector with two customers, one device each, and one alert each."""
    program = require("prometheus")
    folder = tmp_path_factory.mktemp("grafana")
    collector = Collector(f"127.0.0.1:{free_port()}", folder / "collector")
    (folder / "rules").mkdir()
    (folder / "rules/demo.yaml").write_text(RULES, encoding="utf-8")
    prometheus = Prometheus(f"127.0.0.1:{free_port()}")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(scrape_configuration(collector.address)), encoding="utf-8")
    serve: list[str | Path] = [
        Path(sys.executable).with_name("quarkpulse-collector"), "serve",
        "--data", collector.data, "--listen", collector.address, "--rules", folder / "rules",
    ]  # fmt: skip
    scrape: list[str | Path] = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={prometheus.address}",
        "--log.level=warn",
    ]
    with ExitStack() as processes:
        processes.enter_context(running(serve, folder / "collector.log"))
        eventually("the collector is ready", lambda: is_answering(collector.address, "/readyz"))
        secrets = [
            enrol(collector, "acme", "--plan", "monthly"),
            enrol(collector, "fixit", "--plan", "break_fix", "--monitoring-consent", "J. Jansen, 2026-01-15"),
        ]
        processes.enter_context(running(scrape, folder / "prometheus.log"))
        eventually("Prometheus is ready", lambda: is_answering(prometheus.address, "/-/ready"))
        # A first round before the first scrape would be no rate at all: push on until both kinds of ticket are seen.
        rounds = iter(range(1, 1_000_000))

        def tickets_are_seen() -> bool:
            seq = next(rounds)
            for secret in secrets:
                push_frame(collector, secret, seq)
            tickets, shadows = "sum(quarkpulse_tickets)", "sum(quarkpulse_shadow_tickets)"
            pushes = "sum(rate(quarkpulse_ingest_frames_refused_total[20s]))"
            return prometheus.value(tickets) == 1 and prometheus.value(shadows) == 1 and prometheus.value(pushes) > 0

        eventually("a ticket and a shadow ticket are seen by Prometheus", tickets_are_seen)
        # Rates of the last seconds must not depend on how long the tests take to ask for them.
        yield prometheus._replace(at=time.time())


@pytest.mark.slow
@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[f"{title}: {expr}" for title, expr in QUERIES])
def test_a_query_finds_something(prometheus: Prometheus, title: str, expression: str) -> None:
    result = prometheus.query(filled_in(expression))
    assert result or expression in MAY_BE_EMPTY, title
    assert all(series["value"][1] not in ("NaN", "+Inf") for series in result), title


@pytest.mark.slow
def test_the_customers_can_be_chosen(prometheus: Prometheus) -> None:
    listed = re.fullmatch(r"label_values\((\w+), (\w+)\)", VARIABLES["customer"]["query"]["query"])
    assert listed
    metric, label = listed.groups()
    assert {"acme", "fixit"} <= {series["metric"][label] for series in prometheus.query(metric)}


@pytest.mark.slow
def test_the_numbers_are_right(prometheus: Prometheus) -> None:
    assert prometheus.value('sum(quarkpulse_devices{customer="acme"})') == 1
    assert prometheus.value('sum(quarkpulse_alerts{state="firing"})') == 2
    assert prometheus.value('sum(quarkpulse_tickets{customer="acme"})') == 1
    assert prometheus.value('sum(quarkpulse_tickets{customer="fixit"})') == 0
    assert prometheus.value('sum(quarkpulse_shadow_tickets{customer="fixit"})') == 1
