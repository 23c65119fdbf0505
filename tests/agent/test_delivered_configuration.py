"""The agent's configuration, fetched beside its pushes."""

import logging

import pytest

from agent.config import ConfigError
from agent.delivery import Delivery
from tests.agent.collector import Reply
from tests.agent.delivering import Bench, answer_of


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
