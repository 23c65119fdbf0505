"""Exporters and textfiles: real texts of real exporters, and targets that misbehave."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.probes.base import ProbeUnavailable, Sample
from agent.probes.exporters import MAX_SERIES, ExporterProbe, Read, Target, parse
from agent.settings import Section, SettingsError

DATA = Path(__file__).parents[1] / "data" / "exposition"
NODE = (DATA / "node_exporter-linux.prom").read_text()
WINDOWS = (DATA / "windows_exporter-0.20.prom").read_text()


def values(samples: list[Sample], name: str) -> dict[tuple[str, ...], float | None]:
    """By the values of the labels other than the exporter's name."""
    return {
        tuple(text for label, text in sorted(one.labels.items()) if label != "exporter"): one.value
        for one in samples
        if one.name == name
    }


def probe(text: str, *metrics: str, written_at: float | None = None) -> ExporterProbe:
    target = Target("some", metrics, url="http://127.0.0.1:1/metrics")
    return ExporterProbe((target,), read=lambda _: Read(text, written_at), now=lambda: 1_000.0)


def test_a_node_exporter_gives_what_is_named_and_nothing_else() -> None:
    samples = probe(NODE, "node_load*", "node_zfs_arc_memory_available_bytes", "node_wifi_station_signal_dbm").sample()
    assert values(samples, "node_load1") == {(): 0.21}
    assert values(samples, "node_zfs_arc_memory_available_bytes") == {(): -9.223372036854776e17}
    assert values(samples, "node_wifi_station_signal_dbm")["wlan0", "01:02:03:04:05:06"] == -26
    assert {one.name for one in samples} == {
        "exporter_up", "exporter_series_left_out", "exporter_lines_refused", "node_load1", "node_load5", "node_load15",
        "node_zfs_arc_memory_available_bytes", "node_wifi_station_signal_dbm",
    }  # fmt: skip
    assert all(one.labels["exporter"] == "some" for one in samples)


def test_every_sample_of_the_node_exporter_is_sound() -> None:
    samples, refused = parse(NODE)
    assert (len(samples), refused) == (3027, 0)


def test_one_bad_family_does_not_cost_the_scrape() -> None:
    samples = probe(WINDOWS, "windows_logical_disk_*", "windows_service_state", "windows_cpu_time_total").sample()
    assert values(samples, "windows_logical_disk_free_bytes")["C:",] == 43636490240
    assert values(samples, "windows_service_state")["dhcp", "running"] == 1
    assert values(samples, "windows_cpu_time_total")["0,0", "idle"] == 162455.59375
    assert values(samples, "exporter_up") == {(): 1}


def test_a_line_that_is_none_is_counted_and_the_rest_stands() -> None:
    text = 'good 1\nbad{ 2\n# HELP\n\x00\x01 \nother{a="b"} 3\nlast NaN\n'
    samples = probe(text, "*").sample()
    assert values(samples, "good") == {(): 1}
    assert values(samples, "other") == {("b",): 3}
    assert values(samples, "exporter_lines_refused") == {(): 2}


def test_series_are_bounded_and_the_rest_is_told() -> None:
    samples = probe(NODE, "*").sample()
    assert values(samples, "exporter_series_left_out") == {(): 3027 - MAX_SERIES}
    assert len(samples) == MAX_SERIES + 3


def test_names_of_the_collector_and_labels_without_end_do_not_pass() -> None:
    text = f'quarkpulse_device_up 0\nALERTS 1\nlong{{a="{"x" * 5_000}"}} 1\n'
    samples = probe(text, "*").sample()
    assert {one.name for one in samples if not one.name.startswith("exporter_")} == {"long"}
    assert len(next(one for one in samples if one.name == "long").labels["a"]) == 512


@contextmanager
def serving(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except OSError:
            return  # it had read enough

    return respond


def scrape(url: str) -> list[Sample]:
    return ExporterProbe((Target("some", ("*",), url=url),)).sample()


def test_an_exporter_is_read_over_http() -> None:
    with serving(reply(200, b"answer 42\n")) as url:
        assert values(scrape(url), "answer") == {(): 42}


@pytest.mark.parametrize(
    "respond",
    [
        reply(404, b"answer 42\n"),
        reply(302, b"", Location="http://127.0.0.1:1/elsewhere"),
        reply(200, b"x" * (9 << 20)),
        lambda handler: handler.wfile.write(b"no http at all"),
    ],
    ids=["missing", "redirect", "huge", "rubbish"],
)
def test_a_target_that_misbehaves_is_down(respond: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with serving(respond) as url:
        samples = scrape(url)
    assert samples == [Sample("exporter_up", 0, {"exporter": "some"})]


def test_one_that_is_down_leaves_the_others() -> None:
    with serving(reply(200, b"answer 42\n")) as url:
        targets = (Target("dead", ("*",), url="http://127.0.0.1:1/"), Target("alive", ("*",), url=url))
        samples = ExporterProbe(targets).sample()
    assert {one.labels["exporter"]: one.value for one in samples if one.name == "exporter_up"} == {
        "dead": 0, "alive": 1,
    }  # fmt: skip


def test_textfiles_are_read_in_order_and_their_age_is_told(tmp_path: Path) -> None:
    for number, name in enumerate(("b.prom", "a.prom", "notes.txt")):
        (tmp_path / name).write_text(f'text{{file="{name}"}} {number}')
        os.utime(tmp_path / name, (900 + number, 900 + number))
    target = Target("files", ("text",), files=tmp_path / "*.prom")
    samples = ExporterProbe((target,), now=lambda: 1_000.0).sample()
    assert values(samples, "text") == {("a.prom",): 1, ("b.prom",): 0}
    assert values(samples, "exporter_file_age_seconds") == {(): 100}
    missing = ExporterProbe((target._replace(files=tmp_path / "*.none"),)).sample()
    assert values(missing, "exporter_up") == {(): 0}


def test_without_settings_there_is_nothing_to_read() -> None:
    with pytest.raises(ProbeUnavailable, match="no exporters are named"):
        ExporterProbe.from_settings(Section({}, "exporters")).sample()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"url": "http://127.0.0.1/", "files": "/x", "metrics": ["*"]}, "either url or files"),
        ({"metrics": ["*"]}, "either url or files"),
        ({"url": "file:///etc/shadow", "metrics": ["*"]}, "http or https"),
        ({"url": "prom:secret@127.0.0.1/metrics", "metrics": ["*"]}, r"got '\*\*\*@127\.0\.0\.1/metrics'"),
        ({"url": "ftp://prom:" + "x" * 200 + "@nas/", "metrics": ["*"]}, r"got 'ftp://\*\*\*@nas/'"),
        ({"url": "http://127.0.0.1/"}, "metrics"),
        ({"files": "relative/*.prom", "metrics": ["*"]}, "absolute"),
        ({"url": "http://127.0.0.1/", "metrics": ["*"], "limit": 3}, "no such setting"),
    ],
)
def test_wrong_settings_are_refused(content: dict[str, object], problem: str) -> None:
    section = Section({"some": content}, "exporters")
    ExporterProbe.from_settings(section)
    with pytest.raises(SettingsError, match=problem):
        section.finish()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("table", "\nnode_load1  "),
        ("prometheus", '# TYPE node_load1 untyped\nnode_load1{exporter="node"} 0.5'),
        ("json", '"node_load1"'),
    ],
)
def test_probe_prints_what_it_declares_and_what_the_exporter_tells(tmp_path: Path, form: str, text: str) -> None:
    (tmp_path / "load.prom").write_text("node_load1 0.5\n")
    (tmp_path / "agent.toml").write_text(f'[exporters.node]\nfiles = "{tmp_path}/*.prom"\nmetrics = ["*"]\n')
    command = ["probe", "exporters", "--state", str(tmp_path), "--format", form]
    printed = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert printed.exit_code == 0
    assert text in printed.stdout
    assert "exporter_up" in printed.stdout
