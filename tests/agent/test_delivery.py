"""Delivery over real HTTP, with a collector that answers as each test wants; only the clock is the test's."""

import json
import logging
from pathlib import Path

import pytest

from agent.delivery import MAX_CRASHES_IN_ROW, Delivery, Policy
from agent.spool import Record
from agent.uplink import Answer, Uplink
from protocol import models
from protocol.wire import Frame
from tests.agent.collector import LOGIN_PAGE, SECRET, Reply
from tests.agent.delivering import LAYOUT, Bench, highest


def test_what_is_acknowledged_leaves_the_spool(bench: Bench) -> None:
    bench.append(1)
    bench.run()
    assert bench.stored == [[1]]
    assert len(bench.spool) == 0


def test_a_layout_goes_only_once(bench: Bench) -> None:
    for value in range(3):
        bench.append(value)
        bench.run()
    assert [len(push.layouts) for push in bench.collector.pushes] == [1, 0, 0]
    assert bench.collector.connections == 1  # kept alive


def test_a_collector_that_forgot_the_layouts_gets_them_again(bench: Bench) -> None:
    bench.append(1)
    bench.run()
    bench.collector.layouts.clear()
    bench.append(2)
    bench.run()
    assert bench.stored == [[1], [2]]
    assert bench.delivery.push_failures == 0


def test_live_first_then_the_gap_oldest_first_in_few_pushes(bench: Bench) -> None:
    bench.append(*range(50))
    bench.run()
    assert bench.stored[0] == [49]
    assert [value for push in bench.stored[1:] for value in push] == list(range(49))
    assert len(bench.stored) == 4


def test_each_inventory_of_a_day_offline_is_sent(bench: Bench) -> None:
    """A push holds one: of several in a batch only the last arrived."""
    for value in range(12):
        frame = Frame(layout=LAYOUT["id"], t=value, v=[float(value)])
        record = Record(layouts=[LAYOUT], frames=[frame], events=[])
        if value % 3 == 0 or value == 10:
            record["inventory"] = {"read_at": value}
        bench.spool.append(record, bench.clock.now_milliseconds())
    bench.run()
    told = [push.inventory["read_at"] for push in bench.collector.pushes if push.inventory is not None]
    assert told == [0, 3, 6, 9, 10]
    assert bench.stored == [[11], [0, 1, 2], [3, 4, 5], [6, 7, 8], [9], [10]]


def test_a_frame_that_comes_while_the_gap_is_filled_goes_ahead(bench: Bench) -> None:
    bench.append(*range(30))
    bench.delivery.step()
    bench.delivery.step()
    bench.append(30)
    bench.run()
    assert [push[0] for push in bench.stored] == [29, 0, 30, 20]


def test_the_gap_is_filled_the_slower_the_longer_answers_take_and_live_frames_do_not_wait(bench: Bench) -> None:
    class Slow:
        """The collector behind a long line."""

        def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
            return bench.uplink.get(path, headers)

        def post(self, path: str, content: bytes) -> Answer:
            return bench.uplink.post(path, content)._replace(round_trip_seconds=7.0)

    policy = Policy(backlog_rest=(1.0, 3.0), batch_records=20)
    delivery = Delivery(Slow(), bench.spool, bench.clock, boot_id="boot", policy=policy, uniform=highest)
    bench.append(*range(50))
    assert delivery.step() == 0.0
    assert delivery.step() == 21.0
    bench.boot += 5.0
    bench.append(50)
    assert delivery.step() == 16.0
    assert [push[0] for push in bench.stored] == [49, 0, 50]


def test_push_numbers_grow(bench: Bench) -> None:
    bench.append(*range(50))
    bench.run()
    seqs = [push.seq for push in bench.collector.pushes]
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(503, b"<h1>busy</h1>"),
        Reply(429),
        Reply(408),
        Reply(200, LOGIN_PAGE),
        Reply(200, {"hello": "world"}),
        Reply(200, {"acked": 999_999, "now": 1, "need_layouts": [], "refused": [], "config_etag": ""}),
        Reply(404, b"<h1>no such page</h1>"),
        Reply(400, LOGIN_PAGE),
        Reply(410, LOGIN_PAGE),
        Reply(404, {"statusCode": 404, "error": "Not Found", "message": "Route POST:/v1/push not found"}),
        Reply(410, {"error": "gone", "message": "this shop has moved"}),
        Reply(422, {"error": "Unprocessable Entity", "message": "no", "details": []}),
        Reply(302, b"", {"Location": "http://login.example/"}),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:15]!r}",
)
def test_what_may_pass_keeps_the_record_and_backs_off(bench: Bench, reply: Reply) -> None:
    bench.append(1)
    bench.collector.script.append(reply)
    assert bench.delivery.step() == 1.0
    assert (bench.stored, len(bench.spool)) == ([], 1)
    assert bench.delivery.step() == 1.0  # not yet
    bench.boot += 1.0
    bench.run()
    assert bench.stored == [[1]]


def test_backoff_doubles_up_to_five_minutes_and_begins_anew_after_a_success(bench: Bench) -> None:
    bench.append(1)
    bench.collector.script.extend([Reply(503)] * 12)
    delays = []
    for _ in range(12):
        delay = bench.delivery.step()
        assert delay is not None
        delays.append(delay)
        bench.boot += delay
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    bench.run()
    bench.append(2)
    bench.collector.script.append(Reply(503))
    assert bench.delivery.step() == 1.0


def test_an_unreachable_collector_keeps_everything(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    nobody = Uplink("http://127.0.0.1:9", secret=SECRET)
    delivery = Delivery(nobody, bench.spool, bench.clock, boot_id="boot", uniform=highest)
    bench.append(1, 2)
    with caplog.at_level(logging.WARNING):
        assert delivery.step() == 1.0
        bench.boot += 1.0
        assert delivery.step() == 2.0
    assert len(bench.spool) == 2
    assert len(caplog.records) == 1  # said when it begins, not at each try


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "999999999999"}, 3600.0),
        ({"Retry-After": "Thu, 26 Nov 2026 10:02:00 GMT", "Date": "Thu, 26 Nov 2026 10:00:00 GMT"}, 120.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": "\xb2"}, 1.0),
        ({"Retry-After": "Thu, 26 Nov 9999 10:02:00 GMT", "Date": "Thu, 26 Nov 2026 10:00:00 GMT"}, 1.0),
    ],
    ids=["seconds", "bounded", "date", "nonsense", "squared", "far away"],
)
def test_retry_after_is_obeyed(bench: Bench, header: dict[str, str], seconds: float) -> None:
    bench.append(1)
    bench.collector.script.append(Reply(503, None, header))
    assert bench.delivery.step() == pytest.approx(seconds)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_keeps_all_and_asks_seldom(bench: Bench, status: int) -> None:
    bench.append(1)
    bench.collector.script.append(Reply(status))
    assert bench.delivery.step() == 900.0
    assert len(bench.spool) == 1
    bench.boot += 900.0
    bench.run()
    assert bench.stored == [[1]]


def test_an_ended_device_stops_pushing_and_says_why(bench: Bench) -> None:
    bench.append(1)
    bench.collector.script.append(
        Reply(410, {"error": "ended", "message": "this device is no longer looked after", "details": []})
    )
    assert bench.delivery.step() is None
    assert bench.delivery.ended_reason == "410 this device is no longer looked after"
    bench.boot += 1e6
    assert bench.delivery.step() is None
    assert len(bench.collector.requests) == 1


def test_a_bug_in_a_step_is_told_and_backed_off_and_raised_only_when_it_stays(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        """Where an answer brings out what nobody foresaw."""

        is_broken = True

        def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
            return bench.uplink.get(path, headers)

        def post(self, path: str, content: bytes) -> Answer:
            if self.is_broken:
                raise ZeroDivisionError("unforeseen")
            return bench.uplink.post(path, content)

    broken = Broken()
    delivery = Delivery(broken, bench.spool, bench.clock, boot_id="boot", config_etag="first", uniform=highest)
    bench.append(1)

    def crash(times: int) -> list[float | None]:
        delays = []
        for _ in range(times):
            delays.append(delivery.step())
            bench.boot += 300.0
        return delays

    assert crash(3) == [1.0, 2.0, 4.0]
    assert delivery.push_failures == 3
    assert "ZeroDivisionError: unforeseen" in caplog.text
    broken.is_broken = False
    delivery.step()
    assert bench.stored == [[1]]
    broken.is_broken = True
    bench.append(2)
    crash(MAX_CRASHES_IN_ROW - 1)
    with pytest.raises(ZeroDivisionError):
        delivery.step()
    assert len(bench.spool) == 1


def test_a_connection_that_the_other_side_closed_meanwhile_is_no_failure(bench: Bench) -> None:
    bench.append(1)
    bench.run()
    bench.collector.drop_connections()
    bench.append(2)
    bench.run()
    assert bench.stored == [[1], [2]]
    assert bench.delivery.push_failures == 0


def test_the_answers_time_moves_the_clock(bench: Bench) -> None:
    before = bench.clock.now()
    bench.collector.ahead_seconds = 3600.0
    bench.append(1)
    bench.run()
    assert bench.clock.now() - before == pytest.approx(3600.0, abs=5.0)


def test_golden_push_is_what_the_agent_makes(bench: Bench) -> None:
    golden = json.loads(Path("protocol/examples/push.request.json").read_text(encoding="utf-8"))
    record = Record(layouts=golden["layouts"], frames=golden["frames"], events=golden["events"])
    bench.spool.append(record, bench.clock.now_milliseconds())
    bench.run()
    (push,) = bench.collector.pushes
    sent = push.model_dump(mode="json", exclude_none=True, include={"layouts", "frames", "events"})
    expected = models.Push.model_validate(golden).model_dump(
        mode="json", exclude_none=True, include={"layouts", "frames", "events"}
    )
    assert sent == expected
