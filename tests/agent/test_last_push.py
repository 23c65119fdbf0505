"""The push on the way out."""

import pytest

from agent.delivery import Delivery, Policy
from protocol import models
from tests.agent.collector import Reply
from tests.agent.delivering import Bench, highest


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
