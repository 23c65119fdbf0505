"""Thresholds in layers, read as series at any time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from collector.alerting.definitions import (
    Definition,
    Per,
    ThresholdError,
    definition_named,
    load_thresholds,
    thresholds_file,
)
from collector.alerting.rulefile import RuleFileError
from collector.alerting.threshold_values import ThresholdDevice
from collector.alerting.thresholds import MAX_SAMPLES, Effective, ThresholdReader
from collector.clock import to_milliseconds
from collector.fleet.contracts import Contract
from collector.fleet.layers import Layer
from collector.fleet.thresholds import Threshold
from collector.promql import Engine, Vector, compile_expr
from collector.series.labels import Strings
from collector.series.read import Matcher, MatchOp

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
METRIC = Matcher("__name__", MatchOp.EQUAL, "quarkpulse_threshold")
FULL = Matcher("name", MatchOp.EQUAL, "full")

ZONE = "Europe/Amsterdam"
SERVER = ThresholdDevice("srv-1", "acme", "hq", "server", ZONE)
DESKTOP = ThresholdDevice("ws-1", "acme", "hq", "desktop", ZONE)
NAMESAKE = ThresholdDevice("srv-2", "bakkerij", "hq", "server", ZONE)
DEVICES = [SERVER, DESKTOP, NAMESAKE]
LONG_AGO = NOON - timedelta(days=1_000)


def contract(customer: str, plan: str, since: datetime = LONG_AGO, until: datetime | None = None) -> Contract:
    return Contract(1, customer, plan, since, until, None)


PLANS = {"acme": [contract("acme", "monthly")], "bakkerij": [contract("bakkerij", "break_fix")]}

DEFINITIONS = {
    "full": Definition("full", "", "ratio", 0.9, by_kind={"desktop": 0.95}),
    "line": Definition("line", "", "seconds", 60.0, Per.SITE),
    "quota": Definition("quota", "", "bytes", 10.0, Per.CUSTOMER),
    "unread": Definition("unread", "", "ratio", 1.0),
}


def row(
    layer: Layer, subject: str, value: float, since: float = -60, *, until: float | None = None, name: str = "full"
) -> Threshold:
    """Set from so many minutes after noon, until so many."""
    end = None if until is None else NOON + timedelta(minutes=until)
    return Threshold(name, layer, subject, value, NOON + timedelta(minutes=since), end, "anna")


def reader_of(*rows: Threshold) -> ThresholdReader:
    reader = ThresholdReader(Strings())
    reader.update(DEFINITIONS, {"full", "line", "quota"}, DEVICES, rows, PLANS)
    return reader


def values_of(
    reader: ThresholdReader, *matchers: Matcher, minute: float = 0
) -> dict[tuple[tuple[str, str], ...], float]:
    at = to_milliseconds(NOON + timedelta(minutes=minute))
    selection = reader.select((METRIC, *matchers), at, at)
    latest = reader.latest(selection, at, 300_000)
    assert latest.present.all()
    assert (latest.times == at).all()
    labels = [selection.labels.texts(reader.strings, index) for index in range(len(selection))]
    return {
        tuple(sorted((name, text) for name, text in one.items() if name not in ("__name__", "name"))): value
        for one, value in zip(labels, latest.values.tolist(), strict=True)
    }


def full_of(reader: ThresholdReader, minute: float = 0) -> dict[str, float]:
    return {labels[0][1]: value for labels, value in values_of(reader, FULL, minute=minute).items()}


def test_the_default_holds_by_kind() -> None:
    assert full_of(reader_of()) == {"srv-1": 0.9, "ws-1": 0.95, "srv-2": 0.9}


def test_only_name_and_owner_are_labels() -> None:
    reader = reader_of()
    assert set(values_of(reader, Matcher("name", MatchOp.EQUAL, "line"))) == {
        (("customer", "acme"), ("site", "hq")),
        (("customer", "bakkerij"), ("site", "hq")),
    }
    assert set(values_of(reader, Matcher("name", MatchOp.EQUAL, "quota"))) == {
        (("customer", "acme"),),
        (("customer", "bakkerij"),),
    }


def test_only_what_a_rule_reads_is_a_series() -> None:
    assert values_of(reader_of(), Matcher("name", MatchOp.EQUAL, "unread")) == {}
    reader = ThresholdReader(Strings())
    reader.update(DEFINITIONS, None, DEVICES, (), PLANS)
    assert len(values_of(reader, Matcher("name", MatchOp.EQUAL, "unread"))) == 3


def test_other_metrics_have_no_series() -> None:
    reader = reader_of()
    assert len(reader.select((Matcher("__name__", MatchOp.EQUAL, "up"),), 0, 1)) == 0
    assert len(reader.select((METRIC, Matcher("device_id", MatchOp.EQUAL, "nobody")), 0, 1)) == 0
    assert len(reader.select((Matcher("device_id", MatchOp.REGEX, "srv-.*"),), 0, 1)) == 2


def test_the_narrower_layer_wins() -> None:
    rows = [
        row(Layer.DEVICE, "srv-1", 0.1),
        row(Layer.SITE, "acme/hq", 0.2),
        row(Layer.CUSTOMER, "acme", 0.3),
        row(Layer.PLAN, "monthly", 0.4),
    ]
    expected = [0.1, 0.2, 0.3, 0.4, 0.9]
    for left_out, value in enumerate(expected):
        reader = reader_of(*rows[left_out:])
        assert full_of(reader)["srv-1"] == value
        assert full_of(reader)["srv-2"] == 0.9  # same site name, another customer
    everything = reader_of(*rows)
    assert full_of(everything)["ws-1"] == 0.2
    assert everything.explain("full", "srv-1", NOON) == Effective(0.1, Layer.DEVICE, "srv-1")
    assert everything.explain("full", "ws-1", NOON) == Effective(0.2, Layer.SITE, "acme/hq")
    assert everything.explain("full", "srv-2", NOON) == Effective(0.9, None, "")
    assert everything.explain("full", "nobody", NOON) is None
    assert everything.explain("unread", "srv-1", NOON) is None


def test_a_site_s_threshold_knows_no_devices() -> None:
    reader = reader_of(row(Layer.DEVICE, "srv-1", 1.0, name="line"), row(Layer.SITE, "acme/hq", 5.0, name="line"))
    assert sorted(values_of(reader, Matcher("name", MatchOp.EQUAL, "line")).values()) == [5.0, 60.0]
    assert reader.explain("line", "srv-1", NOON) == Effective(5.0, Layer.SITE, "acme/hq")


def test_a_value_holds_from_its_first_instant_until_before_its_last() -> None:
    reader = reader_of(row(Layer.CUSTOMER, "acme", 0.5, 0, until=10), row(Layer.CUSTOMER, "acme", 0.6, 10))
    moments = [-0.001, 0, 9.999, 10, 10_000]
    assert [full_of(reader, minute)["srv-1"] for minute in moments] == [0.9, 0.5, 0.5, 0.6, 0.6]


def test_a_range_has_a_sample_each_whole_minute() -> None:
    reader = reader_of(row(Layer.DEVICE, "srv-1", 0.5, 2, until=4))
    at = to_milliseconds(NOON)
    selection = reader.select((METRIC, FULL, Matcher("device_id", MatchOp.EQUAL, "srv-1")), at, at + 300_000)
    samples = reader.samples(selection, at, at + 300_000)
    assert samples.counts.tolist() == [5]
    assert ((samples.times[0] - at) // 60_000).tolist() == [1, 2, 3, 4, 5]
    assert samples.values[0].tolist() == [0.9, 0.5, 0.5, 0.9, 0.9]
    assert reader.samples(selection, at, at + 30_000).counts.tolist() == [0]


def test_a_range_of_many_years_stays_small() -> None:
    reader = reader_of()
    end = to_milliseconds(NOON)
    samples = reader.samples(reader.select((METRIC,), 0, end), 0, end)
    assert samples.values.size <= MAX_SAMPLES
    assert (samples.times[:, -1] <= end).all()


def test_a_selection_outlives_what_people_set_and_new_devices() -> None:
    reader = reader_of()
    matchers = (METRIC, FULL)
    at = to_milliseconds(NOON)
    before = reader.select(matchers, at, at)
    reader.update(DEFINITIONS, {"full", "line", "quota"}, DEVICES, [row(Layer.CUSTOMER, "acme", 0.5)], PLANS)
    assert reader.select(matchers, at, at) is before
    assert reader.latest(before, at, 0).values.tolist() == [0.5, 0.5, 0.9]
    reader.update(DEFINITIONS, {"full"}, DEVICES[1:], [], PLANS)
    assert reader.latest(before, at, 0).values.tolist() == [0.9, 0.95, 0.9]
    after = reader.select(matchers, at, at)
    assert reader.latest(after, at, 0).values.tolist() == [0.95, 0.9]


def test_the_engine_reads_thresholds_like_any_series() -> None:
    reader = reader_of(row(Layer.DEVICE, "srv-1", 0.5))
    plan = compile_expr('quarkpulse_threshold{name="full"} < 0.95 and avg_over_time(quarkpulse_threshold[5m]) > 0.6')
    result = Engine(reader).instant(plan, to_milliseconds(NOON))
    assert isinstance(result, Vector)
    assert [(one["device_id"], value) for one, value in zip(result.label_sets(), result.values, strict=True)] == [
        ("srv-2", 0.9)
    ]


def test_a_large_fleet_is_valued_at_once() -> None:
    devices = [ThresholdDevice(f"d{i}", f"c{i % 100}", "hq", "server", ZONE) for i in range(10_000)]
    reader = ThresholdReader(Strings())
    reader.update(DEFINITIONS, {"full"}, devices, [row(Layer.CUSTOMER, f"c{i}", i / 100) for i in range(100)], {})
    at = to_milliseconds(NOON)
    latest = reader.latest(reader.select((METRIC, FULL), at, at), at, 0)
    assert np.array_equal(latest.values, np.arange(10_000) % 100 / 100)


def test_the_shipped_thresholds_are_good() -> None:
    definitions = load_thresholds(thresholds_file())
    assert definitions["filesystem_full"].default_for("server") == 0.9
    assert definitions["filesystem_full"].default_for("laptop") == 0.93


def test_thresholds_stand_beside_the_rules_or_are_the_shipped_ones(tmp_path: Path) -> None:
    assert thresholds_file(tmp_path) == thresholds_file()
    (tmp_path / "thresholds.yaml").write_text("thresholds: {}")
    assert thresholds_file(tmp_path) == tmp_path / "thresholds.yaml" == thresholds_file(tmp_path / "rules.yaml")


def test_all_problems_of_a_thresholds_file_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.yaml"
    path.write_text(
        "thresholds:\n"
        "  Bad-Name: {description: d, unit: u, default: 1}\n"
        "  a: {description: d, unit: u, default: .nan}\n"
        "  b: {description: d, default: 1}\n"
        "  c: {description: d, unit: u, default: 1, per: galaxy}\n"
        "  d: {description: d, unit: u, default: 1, by_kind: {sever: 2, laptop: much}}\n"
        "  e: {description: d, unit: u, default: 1, per: site, by_kind: {server: 2}}\n"
        "  f: {description: d, unit: u, default: 1, hours: []}\n"
    )
    with pytest.raises(RuleFileError) as caught:
        load_thresholds(path)
    assert [f"{one.line}: {one.message.split(';')[0].split(',')[0]}" for one in caught.value.problems] == [
        "2: a threshold is named like filesystem_full",
        "3: 'default' must be a finite number",
        "4: the threshold 'b' needs a 'unit'",
        "5: 'per' must be device",
        "6: 'laptop' must be a finite number",
        "6: unknown key 'sever' in 'by_kind'",
        "7: 'by_kind' needs 'per: device': a site has no kind",
        "8: unknown key 'hours' in the threshold 'f'",
    ]


@pytest.mark.parametrize(
    ("name", "value", "layer", "told"),
    [
        ("filesystem_full", 95, Layer.PLAN, "filesystem_full is a ratio from 0 to 1; for 95 % write 0.95"),
        ("filesystem_full", -1, Layer.PLAN, "filesystem_full is a ratio from 0 to 1, not -1"),
        ("disk_latency", -1, Layer.DEVICE, "disk_latency is in seconds, 0 or more, not -1"),
        ("load_per_cpu", -1, Layer.DEVICE, "load_per_cpu is in processes, 0 or more, not -1"),
    ],
)
def test_a_value_must_suit_its_unit(name: str, value: float, layer: Layer, told: str) -> None:
    definition = definition_named(load_thresholds(thresholds_file()), name)
    with pytest.raises(ThresholdError) as refused:
        definition.check(value, layer)
    assert str(refused.value) == told


def test_a_value_must_be_set_where_it_counts() -> None:
    definition = Definition("room", "d", "celsius", 30, Per.SITE, highest=60)
    definition.check(-5, Layer.SITE)
    with pytest.raises(ThresholdError, match="set it for a plan, customer or site, not for a device"):
        definition.check(25, Layer.DEVICE)
    with pytest.raises(ThresholdError, match="room is in celsius, 60 or less, not 61"):
        definition.check(61, Layer.SITE)


def test_an_unknown_threshold_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(ThresholdError, match="no threshold 'filesystem_ful'; did you mean filesystem_full"):
        definition_named(load_thresholds(thresholds_file()), "filesystem_ful")
    with pytest.raises(ThresholdError, match="see: thresholds defaults"):
        definition_named({}, "x")


def test_defaults_must_lie_within_their_bounds(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.yaml"
    path.write_text(
        "thresholds:\n"
        "  a: {description: d, unit: ratio, default: 90}\n"
        "  b: {description: d, unit: celsius, default: 5, min: 0, max: 10,\n"
        "    by_kind: {server: 11}}\n"
        "  c: {description: d, unit: ratio, default: 2, max: 3}\n"
        "  e: {description: d, unit: ratio, default: 1, max: much}\n"
    )
    with pytest.raises(RuleFileError) as refused:
        load_thresholds(path)
    assert [(one.line, one.message) for one in refused.value.problems] == [
        (2, "'default': a is a ratio from 0 to 1; for 90 % write 0.9"),
        (4, "'server': b is in celsius from 0 to 10, not 11"),
        (6, "'max' must be a finite number, got 'much'"),
    ]
