"""Delivery over real HTTP, with a collector that answers as each test wants; only the clock is the test's."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.clock import AgentClock
from agent.config import ConfigError
from agent.delivery import MAX_CRASHES_IN_ROW, UNREADABLE_SECONDS, Delivery, Policy
from agent.spool import Record, Spool
from agent.uplink import Answer, Uplink
from protocol import models
from protocol.wire import Frame, Layout, Series, layout_id
from tests.agent.collector import LOGIN_PAGE, SECRET, Collector, Reply

SERIES = [Series(name="system_uptime_seconds", labels={})]
LAYOUT = Layout(id=layout_id(SERIES), series=SERIES)


def highest(_: float, high: float) -> float:
    return high


class Bench:
    """A delivery, its spool, and a clock that the test moves. Chance is out of the game: the highest delay counts."""

    def __init__(self, collector: Collector, folder: Path) -> None:
        self.collector = collector
        self.boot = 1000.0
        self.clock = AgentClock(boot=lambda: self.boot, wall=collector.now_seconds)
        self.spool = Spool(folder)
        self.configs: list[tuple[str, dict[str, object]]] = []
        self.uplink = Uplink(collector.url, secret=SECRET)
        self.delivery = Delivery(
            self.uplink,
            self.spool,
            self.clock,
            boot_id="boot",
            config_etag=collector.config_etag,
            on_config=lambda etag, content: self.configs.append((etag, content)),
            policy=Policy(backlog_pause_seconds=(0.0, 0.0), backlog_rest=(0.0, 0.0), batch_records=20),
            uniform=highest,
        )

    def append(self, *values: float) -> None:
        for value in values:
            frame = Frame(layout=LAYOUT["id"], t=int(value), v=[value])
            self.spool.append(Record(layouts=[LAYOUT], frames=[frame], events=[]), self.clock.now_milliseconds())

    def run(self, *, steps: int = 50) -> None:
        """Step while there is something to do at once."""
        for _ in range(steps):
            if self.delivery.step() != 0:
                return
        raise AssertionError("it never comes to rest")

    @property
    def stored(self) -> list[list[float | None]]:
        """Values by push."""
        return [[frame.v[0] for frame in push.frames] for push in self.collector.pushes]


@pytest.fixture
def bench(collector: Collector, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(collector, tmp_path / "spool")
    yield bench
    bench.uplink.close()


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


def test_who_answers_in_the_collectors_place_keeps_the_agent_away_for_minutes_at_most(bench: Bench) -> None:
    bench.append(1)
    bench.collector.script.append(Reply(503, LOGIN_PAGE, {"Retry-After": "3600"}))
    assert bench.delivery.step() == 300.0


@pytest.mark.parametrize(
    "answer",
    [
        {"need_layouts": True},
        {"need_layouts": ["0123456789abcdef"], "acked": None},
        {"need_layouts": [LAYOUT["id"]], "acked": 2},
        {"need_layouts": [LAYOUT["id"], {}], "acked": None},
        {"need_layouts": [], "acked": True},
    ],
    ids=["no list", "not ours", "taken all the same", "no layout", "no number"],
)
def test_an_answer_that_is_not_quite_the_collectors_moves_no_clock(bench: Bench, answer: dict[str, object]) -> None:
    bench.append(1)
    before = bench.clock.now()
    now = int(bench.collector.now_seconds() * 1000)
    bench.collector.script.append(Reply(200, {"now": now + 3_600_000, "refused": [], "config_etag": ""} | answer))
    assert bench.delivery.step() == 1.0
    assert bench.clock.now() == pytest.approx(before, abs=5.0)
    assert len(bench.spool) == 1


def test_a_message_holds_nothing_that_a_terminal_obeys(bench: Bench) -> None:
    bench.append(1)
    message = "\x1b]0;evil\x07 come\r\nagain"
    bench.collector.script.append(Reply(503, {"error": "busy", "message": message, "details": []}))
    bench.delivery.step()
    assert bench.delivery.last_attempt is not None
    assert bench.delivery.last_attempt.answer == "503 ?]0;evil? come??again"


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


def poison(*bad: float) -> Callable[[models.Push], Reply | None]:
    def reject(push: models.Push) -> Reply | None:
        return Reply(422) if any(frame.v[0] in bad for frame in push.frames) else None

    return reject


def test_one_poisoned_record_at_the_head_is_set_aside_and_the_rest_goes_on(bench: Bench) -> None:
    bench.append(*range(60))
    bench.collector.reject = poison(0)
    bench.run()
    assert sorted(value for push in bench.stored for value in push if value is not None) == list(range(1, 60))
    assert (len(bench.spool), bench.spool.set_aside_total) == (0, 1)
    assert len(bench.collector.requests) < 20  # found by halving


def test_a_poisoned_live_record_does_not_stop_the_next(bench: Bench) -> None:
    bench.collector.reject = poison(1, 2)
    bench.append(1)
    bench.run()
    bench.append(2)
    bench.append(3)
    bench.run()
    assert bench.stored == [[3]]
    assert bench.spool.set_aside_total == 2


def test_a_push_too_large_is_split(bench: Bench) -> None:
    def reject(push: models.Push) -> Reply | None:
        return Reply(413, b"<h1>413 nginx</h1>") if len(push.frames) > 5 else None

    bench.collector.reject = reject
    bench.append(*range(40))
    bench.run()
    assert sorted(value for push in bench.stored for value in push if value is not None) == list(range(40))
    assert bench.spool.set_aside_total == 0


@pytest.mark.parametrize(
    "event",
    [b'{"id": "a", "t": 1, "type": "x", "value": 1e999}', b'{"id": "a", "t": 1, "type": "x", "text": "\\ud83d"}'],
    ids=["infinite", "half a character"],
)
def test_a_record_that_cannot_be_sent_is_set_aside_and_the_rest_goes_on(bench: Bench, event: bytes) -> None:
    bench.append(1)
    now = bench.clock.now_milliseconds()
    bench.spool.append_encoded(b'{"layouts": [], "frames": [], "events": [%s]}' % event, now)
    bench.append(2, 3)
    bench.run()
    assert sorted(value for push in bench.stored for value in push if value is not None) == [1, 2, 3]
    assert (len(bench.spool), bench.spool.set_aside_total) == (0, 1)


def test_a_record_that_cannot_be_read_now_is_kept_and_holds_nobody_up(bench: Bench, tmp_path: Path) -> None:
    bench.append(0, 1, 2)
    first = min((tmp_path / "spool").glob("*.json.gz"))
    hidden = first.rename(tmp_path / "elsewhere")
    first.mkdir()  # refuses to be read by root as well
    assert [bench.delivery.step(), bench.delivery.step()] == [0.0, UNREADABLE_SECONDS]
    bench.append(3)
    assert bench.delivery.step() == UNREADABLE_SECONDS
    assert bench.stored == [[2], [1], [3]]
    assert (len(bench.spool), bench.spool.set_aside_total, bench.spool.damaged) == (1, 0, 0)
    first.rmdir()
    hidden.rename(first)
    bench.boot += UNREADABLE_SECONDS
    bench.run()
    assert bench.stored[-1] == [0]


def test_any_number_of_records_that_cannot_be_read_holds_nobody_up(bench: Bench, tmp_path: Path) -> None:
    bench.append(*range(50))
    for file in sorted((tmp_path / "spool").glob("*.json.gz"))[:45]:  # a batch is 20
        file.unlink()
        file.mkdir()
    waits = [bench.delivery.step() for _ in range(4)]
    assert bench.stored == [[49], [45, 46, 47, 48]]
    assert waits == [0.0, 0.0, 0.0, UNREADABLE_SECONDS]
    bench.boot += UNREADABLE_SECONDS
    first = min((tmp_path / "spool").glob("*.json.gz"))
    first.rmdir()
    first.write_bytes(b"garbage")  # so that it can be read, and is set aside
    bench.delivery.step()
    assert (len(bench.spool), bench.spool.set_aside_total) == (44, 1)


def test_the_last_push_takes_along_what_fits_of_the_newest(bench: Bench) -> None:
    bench.append(*range(50))
    bench.delivery.step_last()
    assert bench.stored == [list(range(30, 50))]  # a batch is 20
    assert len(bench.spool) == 30


def test_the_last_push_is_small_and_has_the_newest_whatever_went_wrong_before(bench: Bench) -> None:
    bench.collector.script.append(Reply(503))
    bench.append(*range(5))
    bench.delivery.step()
    policy = Policy(last_batch_bytes=1)
    delivery = Delivery(bench.uplink, bench.spool, bench.clock, boot_id="boot", policy=policy, uniform=highest)
    delivery.step_last()
    assert bench.stored == [[4]]


@pytest.mark.parametrize("status", [413, 422])
def test_what_spoils_the_last_push_is_left_to_the_next_start(bench: Bench, status: int) -> None:
    def reject(push: models.Push) -> Reply | None:
        return Reply(status) if len(push.frames) > 1 else None

    bench.collector.reject = reject
    bench.append(*range(5))
    bench.delivery.step_last()
    assert bench.stored == [[4]]
    assert (len(bench.spool), bench.spool.set_aside_total) == (4, 0)
    assert len(bench.collector.requests) == 2


def test_without_a_record_there_is_no_last_push(bench: Bench) -> None:
    bench.delivery.step_last()
    assert bench.collector.requests == []


def test_a_proxy_that_finds_everything_too_large_empties_no_spool(bench: Bench) -> None:
    bench.append(*range(40))
    bench.collector.reject = lambda _: Reply(413, b"<h1>413 nginx</h1>")
    for _ in range(5):
        assert bench.delivery.step()
        bench.boot += 300.0
    assert (len(bench.spool), bench.spool.set_aside_total) == (40, 0)
    bench.collector.reject = lambda _: None
    bench.run()
    assert sorted(value for push in bench.stored for value in push if value is not None) == list(range(40))


def test_one_record_that_the_collector_itself_finds_too_large_is_set_aside(bench: Bench) -> None:
    bench.append(1)
    bench.collector.script.append(Reply(413))
    bench.run()
    assert (len(bench.spool), bench.spool.set_aside_total) == (0, 1)


def test_a_failure_in_the_midst_of_halving_loses_nothing(bench: Bench) -> None:
    bench.append(*range(40))
    bench.delivery.step()
    bench.collector.script.extend([Reply(422), Reply(200, LOGIN_PAGE)])
    assert bench.delivery.step() == 1.0
    bench.boot += 1.0
    bench.run()
    assert sorted(value for push in bench.stored for value in push if value is not None) == list(range(40))


def test_refused_frames_are_counted_and_not_sent_again(bench: Bench) -> None:
    bench.append(1)
    now = int(bench.collector.now_seconds() * 1000)
    # The first number is the record's, the second the push's.
    answer = {
        "acked": 2,
        "now": now,
        "need_layouts": [],
        "refused": [{"frame": 0, "reason": "too old"}],
        "config_etag": "",
    }
    bench.collector.script.append(Reply(200, answer))
    bench.run()
    assert (bench.delivery.frames_refused, len(bench.spool)) == (1, 0)


def test_a_collector_that_never_has_enough_of_layouts_is_backed_off(bench: Bench) -> None:
    bench.append(1)
    answer = {"acked": None, "now": 1, "need_layouts": [LAYOUT["id"]], "refused": [], "config_etag": ""}
    bench.collector.script.extend([Reply(200, answer)] * 2)
    assert bench.delivery.step() == 1.0
    assert len(bench.spool) == 1


def test_an_answer_without_end_is_no_answer(bench: Bench) -> None:
    bench.append(1)
    bench.collector.script.append(Reply(200, b"[" * (2 << 20)))
    assert bench.delivery.step() == 1.0
    bench.boot += 1.0
    bench.run()
    assert bench.stored == [[1]]


def answer_of(bench: Bench, **changes: object) -> Reply:
    """An acknowledgement of the first push of the first record, but for the changes."""
    now = int(bench.collector.now_seconds() * 1000)
    return Reply(200, {"acked": 2, "now": now, "need_layouts": [], "refused": [], "config_etag": '"first"'} | changes)


@pytest.mark.parametrize("now", [10**400, -(10**15), 0, 1_577_836_799_999, 4_102_444_801_000, 1.8e12, True])
def test_a_time_that_no_collector_can_have_is_nobodys_answer(bench: Bench, now: float) -> None:
    bench.append(1)
    before = bench.clock.now()
    bench.collector.script.append(answer_of(bench, now=now))
    assert bench.delivery.step() == 1.0
    assert bench.clock.now() == pytest.approx(before, abs=1.0)
    assert len(bench.spool) == 1


@pytest.mark.parametrize("etag", ["€", "a\r\nX-Evil: 1", 'a"b', "a b", "", '""', "x" * 129, 7, None])
def test_what_can_be_no_etag_is_not_asked_for(bench: Bench, etag: object) -> None:
    bench.append(1)
    bench.collector.script.append(answer_of(bench, config_etag=etag))
    bench.run()
    assert len(bench.spool) == 0
    assert [method for method, *_ in bench.collector.requests] == ["POST"]


def test_half_a_character_in_an_answer_is_nobodys_answer(bench: Bench) -> None:
    """It could be written into no file: neither the status nor the reason of an end."""
    bench.append(1)
    bench.collector.script.append(Reply(410, b'{"error": "ended", "message": "\\ud83d", "details": []}'))
    assert bench.delivery.step() == 1.0
    bench.boot += 1.0
    bench.collector.script.append(Reply(410, b'{"error": "ended", "message": "\\ud83d\\ude00", "details": []}'))
    assert bench.delivery.step() is None
    assert bench.delivery.ended_reason == "410 \U0001f600"


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


def test_a_new_configuration_is_fetched_once(bench: Bench) -> None:
    bench.append(1)
    bench.run()
    assert bench.configs == []
    bench.collector.config_etag = "second"
    bench.collector.config["push_interval_seconds"] = 30.0
    bench.append(2)
    bench.run()
    bench.append(3)
    bench.run()
    assert [(etag, content["push_interval_seconds"]) for etag, content in bench.configs] == [("second", 30.0)]


def test_any_object_is_no_configuration_and_is_asked_for_again(bench: Bench) -> None:
    whole = bench.collector.config
    bench.collector.config_etag = "second"
    bench.collector.config = {"status": "maintenance"}
    bench.append(1)
    bench.run()
    assert bench.configs == []
    bench.collector.config = whole
    bench.append(2)
    bench.run()
    assert bench.configs == [("second", whole)]


def test_a_configuration_that_changed_between_push_and_question_has_its_own_etag(bench: Bench) -> None:
    bench.append(1)
    bench.collector.script.append(answer_of(bench, config_etag='"second"'))
    bench.collector.config_etag = "third"
    bench.run()
    bench.append(2)
    bench.run()
    assert [etag for etag, _ in bench.configs] == ["third"]


@pytest.mark.parametrize("etag", ["first", "second", ""])
def test_a_cache_that_says_nothing_has_changed_is_asked_again(bench: Bench, etag: str) -> None:
    bench.collector.config_etag = "second"
    bench.collector.config_reply = Reply(304, b"", {"ETag": f'"{etag}"'} if etag else {})
    bench.append(1)
    bench.run()
    assert bench.configs == []
    bench.collector.config_reply = None
    bench.append(2)
    bench.run()
    assert [found for found, _ in bench.configs] == ["second"]


def test_a_bad_configuration_is_refused_once_and_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("push_interval_seconds must be 1 to 120, got 0")

    delivery = Delivery(bench.uplink, bench.spool, bench.clock, boot_id="boot", on_config=refuse)
    with caplog.at_level(logging.ERROR):
        for value in range(3):
            bench.append(value)
            delivery.step()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


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
