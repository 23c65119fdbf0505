"""Answers to a push that are not quite the collector's."""

import pytest

from tests.agent.collector import LOGIN_PAGE, Reply
from tests.agent.delivering import LAYOUT, Bench, answer_of


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
