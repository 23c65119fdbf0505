"""Layout ids and reserved names: what every sender and every collector must compute alike, for good."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wire

SERIES = st.builds(
    wire.Series,
    name=st.from_regex(wire.METRIC_NAME_PATTERN, fullmatch=True),
    labels=st.dictionaries(st.from_regex(wire.LABEL_NAME_PATTERN, fullmatch=True), st.text(max_size=20), max_size=4),
)


def test_the_id_of_a_layout_never_changes() -> None:
    series = [
        wire.Series(name="system_uptime_seconds", labels={}),
        wire.Series(name="hw_temperature_celsius", labels={"hw_name": "Gehäuse", "hw_id": 'a"b\\c'}),
    ]
    assert (
        wire.canonical_series(series)
        == (
            '[["system_uptime_seconds",[]],["hw_temperature_celsius",[["hw_id","a\\"b\\\\c"],["hw_name","Gehäuse"]]]]'
        ).encode()
    )
    assert wire.layout_id(series) == "0528eab8102d19b5"
    assert wire.layout_id([]) == "4f53cda18c2baa0c"


@given(st.lists(SERIES, max_size=5))
def test_the_order_of_labels_does_not_matter(series: list[wire.Series]) -> None:
    turned = [wire.Series(name=one["name"], labels=dict(reversed(one["labels"].items()))) for one in series]
    assert wire.layout_id(turned) == wire.layout_id(series)


@given(st.lists(SERIES, max_size=5))
def test_an_id_survives_json(series: list[wire.Series]) -> None:
    assert wire.layout_id(json.loads(json.dumps(series))) == wire.layout_id(series)


@given(st.lists(SERIES, max_size=4), st.lists(SERIES, max_size=4))
def test_equal_ids_mean_equal_series(one: list[wire.Series], other: list[wire.Series]) -> None:
    assert (wire.layout_id(one) == wire.layout_id(other)) == (one == other)


def test_the_order_of_series_matters() -> None:
    cpu, memory = wire.Series(name="cpu", labels={}), wire.Series(name="memory", labels={})
    assert wire.layout_id([cpu, memory]) != wire.layout_id([memory, cpu])


@pytest.mark.parametrize("name", ["ALERTS", "ALERTS_FOR_STATE", "quarkpulse_device_up"])
def test_only_the_collector_makes(name: str) -> None:
    assert wire.is_reserved_metric(name)


@pytest.mark.parametrize("name", ["ALERTS_TOTAL", "quarkpulse", "agent_probe_age_seconds"])
def test_a_sender_may_make(name: str) -> None:
    assert not wire.is_reserved_metric(name)
