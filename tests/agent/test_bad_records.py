"""Delivery of records that the collector or the disk refuses: the others go on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.delivery import UNREADABLE_SECONDS
from protocol import models
from tests.agent.collector import LOGIN_PAGE, Reply
from tests.agent.delivering import Bench


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
