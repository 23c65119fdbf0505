"""Bad input and faults, against a real collector over HTTP: each is answered as agreed, and nothing else suffers."""

import asyncio
import gzip
import json
import re
import urllib.parse
from collections.abc import Iterator

import pytest

from protocol import wire
from tests.db.fixtures import BACKENDS, Cluster
from tests.e2e.harness import Collector, Sender, collector_in, disk_series, eventually, now_ms

pytestmark = pytest.mark.slow

HOUR_MS = 3_600_000


@pytest.fixture(scope="module", params=BACKENDS)
def collector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One collector on each database for all these tests: none of them may harm it for the next."""
    url = None
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        url = asyncio.run(cluster.make("template"))
    with collector_in(tmp_path_factory.mktemp("faults"), database_url=url) as running:
        running.add_customers()
        yield running


@pytest.fixture
def sender(collector: Collector, request: pytest.FixtureRequest) -> Sender:
    return collector.enrol("acme", hostname=re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40])


@pytest.fixture(autouse=True)
def _still_serves(collector: Collector) -> Iterator[None]:
    yield
    assert collector.request("GET", "/healthz").status == 200


def valid_push() -> dict[str, object]:
    series = disk_series()
    layout = {"id": wire.layout_id([series]), "series": [series]}
    frame = {"layout": layout["id"], "t": now_ms(), "v": [0.5]}
    return {
        "sent": now_ms(), "boot": "b", "spool": "s", "seq": 7, "layouts": [layout], "frames": [frame], "events": [],
    }  # fmt: skip


def test_a_good_push_is_acknowledged_with_its_seq(collector: Collector, sender: Sender) -> None:
    answer = collector.request("POST", wire.PUSH_PATH, valid_push(), secret=sender.secret)
    assert answer.status == 200
    assert answer.json["acked"] == 7
    assert answer.json["need_layouts"] == answer.json["refused"] == []
    assert abs(answer.json["now"] - now_ms()) < 60_000
    assert answer.json["config_etag"]


def test_malformed_json_is_refused(collector: Collector, sender: Sender) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"null", b"[]"):
        answer = collector.request("POST", wire.PUSH_PATH, body, secret=sender.secret)
        assert answer.status in (400, 422), body
        assert answer.json["message"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("seq",), "7"),
        (("seq",), -1),
        (("sent",), 1.5),
        (("boot",), None),
        (("frames",), {}),
        (("frames", 0, "t"), "now"),
        (("frames", 0, "v"), ["0.5"]),
        (("frames", 0, "v"), [True]),
        (("frames", 0, "v"), [[]]),
        (("layouts", 0, "series", 0, "name"), "no good name"),
        (("layouts", 0, "series", 0, "labels"), {"x": 5}),
        (("events",), [{"id": "x"}]),
    ],
)
def test_a_wrong_type_is_refused_naming_the_field(
    collector: Collector, sender: Sender, place: tuple[str | int, ...], value: object
) -> None:
    push = json.loads(json.dumps(valid_push()))
    inner = push
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    answer = collector.request("POST", wire.PUSH_PATH, push, secret=sender.secret)
    assert answer.status == 422
    named = [step for step in place if isinstance(step, str)][-1]
    assert named in answer.text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_refused(collector: Collector, sender: Sender, value: str) -> None:
    body = json.dumps(valid_push()).replace("[0.5]", f"[{value}]").encode()
    answer = collector.request("POST", wire.PUSH_PATH, body, secret=sender.secret)
    assert answer.status in (400, 422)
    assert sender.push_disk(0.5).json["acked"] == 1


def test_oversize_bodies_and_gzip_bombs_are_refused(collector: Collector, sender: Sender) -> None:
    oversize = b" " * (wire.MAX_BODY_BYTES + 1)
    assert collector.request("POST", wire.PUSH_PATH, oversize, secret=sender.secret).status == 413
    bomb = gzip.compress(b" " * (wire.MAX_DECODED_BYTES + 1))
    assert len(bomb) < wire.MAX_BODY_BYTES
    headers = {"Content_Encoding": "gzip"}
    assert collector.request("POST", wire.PUSH_PATH, bomb, secret=sender.secret, **headers).status == 413
    broken = gzip.compress(b"{}")[:-4]
    assert collector.request("POST", wire.PUSH_PATH, broken, secret=sender.secret, **headers).status == 400
    good = gzip.compress(json.dumps(valid_push()).encode())
    assert collector.request("POST", wire.PUSH_PATH, good, secret=sender.secret, **headers).json["acked"] == 7


def test_an_unknown_layout_is_asked_for_and_nothing_is_stored(collector: Collector, sender: Sender) -> None:
    push = valid_push()
    layouts, push["layouts"] = push["layouts"], []
    answer = collector.request("POST", wire.PUSH_PATH, push, secret=sender.secret)
    assert answer.status == 200
    assert answer.json["acked"] is None
    assert answer.json["need_layouts"] == [wire.layout_id([disk_series()])]
    push["layouts"] = layouts
    assert collector.request("POST", wire.PUSH_PATH, push, secret=sender.secret).json["acked"] == 7


def test_a_wrong_or_revoked_secret_is_refused(collector: Collector, sender: Sender) -> None:
    assert collector.request("POST", wire.PUSH_PATH, valid_push()).status == 401
    assert collector.request("POST", wire.PUSH_PATH, valid_push(), secret="x" * 43).status == 401
    assert sender.push_disk(0.5).status == 200
    collector.run("devices", "revoke", sender.device_id)
    eventually(lambda: sender.push_disk(0.5).status == 401, "serve to notice the revocation")


def test_an_ended_device_is_told_so(collector: Collector, sender: Sender) -> None:
    collector.run("devices", "end", sender.device_id)
    eventually(lambda: sender.push_disk(0.5).status == 410, "serve to notice the end")


def test_a_token_is_good_for_as_many_uses_as_it_has(collector: Collector) -> None:
    request = {
        "token": collector.token("acme", uses=1), "hostname": "pc", "kind": "desktop", "machine_id": "m-used-up",
        "instance": "0", "os": "", "arch": "", "agent_version": "",
    }  # fmt: skip
    assert collector.request("POST", wire.ENROLL_PATH, request).status == 200
    other = {**request, "machine_id": "m-too-late"}
    answer = collector.request("POST", wire.ENROLL_PATH, other)
    assert answer.status == 403
    assert "used" in answer.json["message"]
    unknown = collector.request("POST", wire.ENROLL_PATH, {**request, "token": "nonsense"})
    assert unknown.status == 401
    assert collector.request("POST", wire.ENROLL_PATH, {**request, "hostname": 5}).status == 422


def test_a_senders_own_reserved_labels_are_kept_as_exported(collector: Collector, sender: Sender) -> None:
    series = disk_series("/liar")
    series["labels"] |= {"customer": "bakkerij", "device_id": "someone-else"}

    def fired() -> list[dict[str, object]]:
        assert sender.push_value(series, 0.99).status == 200
        rows = collector.rows("alerts", "list")
        return [row for row in rows if row["labels"].get("system_filesystem_mountpoint") == "/liar"]

    (alert,) = eventually(fired, "the alert on the series")
    labels = alert["labels"]
    assert isinstance(labels, dict)
    assert (labels["customer"], labels["device_id"]) == ("acme", sender.device_id)
    assert (labels["exported_customer"], labels["exported_device_id"]) == ("bakkerij", "someone-else")


def test_a_frame_for_a_strange_printer_is_refused_alone(collector: Collector, sender: Sender) -> None:
    push = json.loads(json.dumps(valid_push()))
    push["frames"].insert(0, {**push["frames"][0], "device": "prn-of-someone-else"})
    answer = collector.request("POST", wire.PUSH_PATH, push, secret=sender.secret)
    assert answer.status == 200
    assert answer.json["acked"] == 7
    assert [refusal["frame"] for refusal in answer.json["refused"]] == [0]
    assert "prn-of-someone-else" in answer.json["refused"][0]["reason"]


def test_frames_may_come_twice_and_in_any_order(sender: Sender) -> None:
    series = disk_series()
    layout: wire.Layout = {"id": wire.layout_id([series]), "series": [series]}
    now = now_ms()
    frames: list[wire.Frame] = [
        {"layout": layout["id"], "t": now - age, "v": [0.1]} for age in (0, 2000, 1000, 2000, 0, 3000)
    ]
    for _ in range(2):
        answer = sender.push(frames, [layout])
        assert answer.json["acked"] == sender.seq
        assert answer.json["refused"] == []


def test_frames_far_from_now(collector: Collector, sender: Sender) -> None:
    series = disk_series()
    assert sender.push_value(series, 0.5, t=now_ms() - 6 * 24 * HOUR_MS).json["refused"] == []
    too_old = sender.push_value(series, 0.5, t=now_ms() - 8 * 24 * HOUR_MS)
    assert too_old.json["acked"] == sender.seq
    assert [refusal["frame"] for refusal in too_old.json["refused"]] == [0]
    # An hour ahead: kept, and counted; it means something when its time comes.
    before = counter(collector, "quarkpulse_ingest_frames_ahead_total")
    ahead = sender.push_value(series, 0.5, t=now_ms() + HOUR_MS)
    assert ahead.json["refused"] == []
    assert counter(collector, "quarkpulse_ingest_frames_ahead_total") == before + 1


def test_a_clock_an_hour_ahead_fires_nothing_now(collector: Collector, sender: Sender) -> None:
    series = disk_series("/future")
    for second in range(5):
        assert sender.push_value(series, 0.99, t=now_ms() + HOUR_MS + 1000 * second).status == 200
    known = disk_series("/present")
    wanted = ("/present", sender.device_id)

    def fired() -> bool:
        assert sender.push_value(known, 0.99).status == 200
        return wanted in mounts(collector)

    eventually(fired, "the alert on the present")
    assert ("/future", sender.device_id) not in mounts(collector)


def test_a_clock_an_hour_behind_is_believed_and_fires_nothing_now(collector: Collector, sender: Sender) -> None:
    """Frames of an hour ago are what a buffer brings too: stored at their time, and no news."""
    past, known = disk_series("/past"), disk_series("/present")
    begin = now_ms() - HOUR_MS
    for second in range(5):
        answer = sender.push_value(past, 0.99, t=begin + 1000 * second)
        assert (answer.status, answer.json["refused"]) == (200, [])

    def fired() -> bool:
        assert sender.push_value(known, 0.99).status == 200
        return ("/present", sender.device_id) in mounts(collector)

    eventually(fired, "the alert on the present")
    assert ("/past", sender.device_id) not in mounts(collector)

    def ticketed() -> bool:
        assert sender.push_value(known, 0.99).status == 200
        return sender.device_id in {row["device"] for row in collector.rows("tickets", "list")}

    eventually(ticketed, "its ticket")
    assert [row["device"] for row in collector.rows("tickets", "list", "--all")].count(sender.device_id) == 1
    selector = f'{past["name"]}{{device_id="{sender.device_id}",system_filesystem_mountpoint="/past"}}'

    def value_at(t: int) -> list[str]:
        query = urllib.parse.urlencode({"query": selector, "time": t / 1000})
        answer = collector.request("GET", f"/api/v1/query?{query}")
        assert answer.status == 200, answer.text
        result = answer.json["data"]["result"]
        return [series["value"][1] for series in result]

    assert value_at(begin + 4000) == ["0.99"]
    assert value_at(begin - 1000) == value_at(now_ms()) == []


def test_an_event_counts_for_its_sender_alone(collector: Collector, sender: Sender) -> None:
    """Neither a device named in it nor an id that another used already makes an event another's."""
    other = collector.enrol("acme", hostname="other")
    goodbye = {"id": "0f0a2f6e-6f3c-4c5e-9d3e-2b1f0c9a7d11", "type": "goodbye", "reason": "shutdown"}

    def presence(device_id: str) -> str:
        (row,) = [row for row in collector.rows("devices", "list") if row["id"] == device_id]
        return str(row["presence"])

    assert sender.push_disk(0.1).status == other.push_disk(0.1).status == 200
    forged = {**goodbye, "t": now_ms(), "device": other.device_id, "device_id": other.device_id}
    assert sender.push([], events=[forged]).status == 200
    eventually(lambda: presence(sender.device_id) == "shut_down", "the sender to be gone")
    eventually(lambda: presence(other.device_id) == "online", "the other to be seen")
    assert other.push([], events=[{**goodbye, "t": now_ms()}]).status == 200
    eventually(lambda: presence(other.device_id) == "shut_down", "the other to be gone")


def mounts(collector: Collector) -> set[tuple[str, str]]:
    rows = collector.rows("alerts", "list")
    return {(row["labels"]["system_filesystem_mountpoint"], row["labels"]["device_id"]) for row in rows}


def counter(collector: Collector, name: str) -> float:
    page = collector.request("GET", "/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if re.match(rf"{name}(\{{| )", line))


def test_strangers_do_not_read_what_is_only_for_viewers(collector: Collector) -> None:
    assert collector.request("GET", "/metrics").status == 200
    assert collector.request("GET", "/metrics", X_Forwarded_For="192.0.2.1").status == 401
    assert collector.request("GET", "/metrics", Host="rebound.example").status == 401
    viewer = collector.run("tokens", "create", "--role", "viewer").strip()
    seen = lambda: collector.request("GET", "/metrics", secret=viewer, Via="1.1 proxy").status == 200  # noqa: E731
    eventually(seen, "serve to notice the token")
    assert collector.request("GET", "/nowhere").status == 404
    assert collector.request("GET", wire.PUSH_PATH).status == 405
