"""Probes against recorded readings, and against this machine."""

from collections import namedtuple
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import VERSION, own
from agent.catalogue import PATH, PROBES_PATH, RULES_PATH, make_catalogue, make_list, make_probe_list
from agent.clock import AgentClock
from agent.configuration import Configuration
from agent.delivery import Delivery
from agent.enrolment import find_probes
from agent.events import Events
from agent.inspection import declared_metrics, inspect, load_probes
from agent.probes.base import Metric, MetricType, Probe, ProbeUnavailable, Sample
from agent.probes.cpu import CpuProbe, LoadProbe, utilization
from agent.probes.disk import DiskProbe
from agent.probes.hardware import BatteryProbe, TemperatureProbe
from agent.probes.host import UptimeProbe, UserProbe
from agent.probes.memory import MemoryProbe, SwapProbe
from agent.probes.network import NetworkProbe
from agent.sampling import Sampler
from agent.spool import Spool
from agent.state import StateFolder
from agent.uplink import Uplink
from protocol.wire import is_reserved_metric

IDLE = {"user": 10.0, "system": 5.0, "idle": 100.0, "iowait": 1.0, "interrupt": 0.5}


def by_labels(samples: list[Sample], name: str) -> dict[tuple[str, ...], float | None]:
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.name == name}


def test_cpu_utilization_is_the_share_of_the_time_between_two_readings() -> None:
    readings = iter([
        IDLE,
        IDLE | {"idle": 101.0},
        IDLE | {"user": 13.0, "idle": 102.0},
    ])  # fmt: skip
    windows: list[float] = []
    probe = CpuProbe(lambda: next(readings), windows.append)
    first = by_labels(probe.sample(), "system_cpu_utilization_ratio")
    second = by_labels(probe.sample(), "system_cpu_utilization_ratio")
    assert len(windows) == 1  # only the first reading waits
    assert first["idle",] == 1.0
    assert (second["user",], second["idle",]) == (0.75, 0.25)


def test_cpu_time_that_steps_back_counts_as_nothing() -> None:
    shares = utilization(IDLE, IDLE | {"iowait": 0.0, "idle": 104.0})
    assert (shares["iowait"], shares["idle"]) == (0.0, 1.0)
    assert set(utilization(IDLE, IDLE).values()) == {None}


def test_load_is_absent_where_the_system_keeps_none() -> None:
    assert [sample.value for sample in LoadProbe(lambda: (1.5, 1.0, 0.5)).sample()] == [1.5, 1.0, 0.5]
    with pytest.raises(ProbeUnavailable):
        LoadProbe(None).sample()


def test_memory_in_use_is_what_programs_cannot_have() -> None:
    windows = SimpleNamespace(total=1000, available=400, free=300)
    linux = SimpleNamespace(total=1000, available=400, free=100, cached=250, buffers=50)
    name = "system_memory_utilization_ratio"
    assert by_labels(MemoryProbe(lambda: windows).sample(), name) == {("used",): 0.6, ("free",): 0.3}
    assert by_labels(MemoryProbe(lambda: linux).sample(), name) == {
        ("used",): 0.6,
        ("free",): 0.1,
        ("cached",): 0.25,
        ("buffers",): 0.05,
    }


def test_a_machine_without_swap_is_not_full_of_it() -> None:
    samples = SwapProbe(lambda: SimpleNamespace(total=0, used=0, free=0)).sample()
    assert by_labels(samples, "system_paging_usage_bytes") == {("used",): 0, ("free",): 0}
    assert by_labels(samples, "system_paging_utilization_ratio") == {}


def test_disks_count_in_seconds_and_without_busy_time_where_there_is_none() -> None:
    common = {"read_bytes": 1, "write_bytes": 2, "read_count": 3, "write_count": 4, "read_time": 5000, "write_time": 6}
    disks = {"sda": SimpleNamespace(**common, busy_time=2500), "PhysicalDrive0": SimpleNamespace(**common)}
    samples = DiskProbe(lambda: disks).sample()
    assert by_labels(samples, "system_disk_io_time_seconds_total") == {("sda",): 2.5}
    times = by_labels(samples, "system_disk_operation_time_seconds_total")
    assert times["sda", "read"] == times["PhysicalDrive0", "read"] == 5.0
    with pytest.raises(ProbeUnavailable):
        DiskProbe(dict).sample()


def test_loopback_and_containers_cables_are_left_out() -> None:
    io = SimpleNamespace(
        bytes_recv=1, bytes_sent=2, packets_recv=3, packets_sent=4, errin=5, errout=6, dropin=7, dropout=8
    )
    samples = NetworkProbe(lambda: {"lo": io, "eth0": io, "veth3f2a": io}).sample()
    assert by_labels(samples, "system_network_io_bytes_total") == {("eth0", "receive"): 1, ("eth0", "transmit"): 2}
    assert by_labels(samples, "system_network_packet_dropped_total") == {
        ("eth0", "receive"): 7,
        ("eth0", "transmit"): 8,
    }
    with pytest.raises(ProbeUnavailable):
        NetworkProbe(lambda: {"lo": io}).sample()


def test_a_user_with_two_sessions_is_one_user() -> None:
    assert UserProbe(lambda: ["anna", "bert", "anna"]).sample()[0].value == 2
    assert UptimeProbe(lambda: 12.345).sample()[0].value == 12.35


Temperature = namedtuple("Temperature", "label current high critical")


def test_temperatures_with_their_limits_where_the_maker_names_one() -> None:
    sensors = {
        "coretemp": [Temperature("Package id 0", 47.0, 80.0, 100.0), Temperature("Core 0", 45.0, 80.0, None)],
        "acpitz": [Temperature("", 27.8, None, None)],
    }
    samples = TemperatureProbe(lambda: sensors).sample()
    assert by_labels(samples, "hw_temperature_celsius") == {
        ("coretemp/0", "Package id 0"): 47.0,
        ("coretemp/1", "Core 0"): 45.0,
        ("acpitz/0", "acpitz"): 27.8,
    }
    assert by_labels(samples, "hw_temperature_limit_celsius") == {("coretemp/0", "Package id 0"): 100.0}
    with pytest.raises(ProbeUnavailable):
        TemperatureProbe(dict).sample()


@pytest.mark.parametrize(
    ("secsleft", "plugged", "expected"),
    [(3600, False, [0.85, 3600, 0]), (-2, True, [0.85, None, 1]), (-1, None, [0.85, None, None])],
    ids=["on battery", "on mains", "not known"],
)
def test_battery(secsleft: int, plugged: bool | None, expected: list[float | None]) -> None:
    battery = SimpleNamespace(percent=85, secsleft=secsleft, power_plugged=plugged)
    assert [sample.value for sample in BatteryProbe(lambda: battery).sample()] == expected


def test_a_machine_without_battery_says_so() -> None:
    with pytest.raises(ProbeUnavailable, match="no battery"):
        BatteryProbe(lambda: None).sample()


# What is declared and what is emitted.


@pytest.fixture(scope="module")
def probes() -> list[Probe]:
    return load_probes(find_probes())


def matches(sample: Sample, metrics: tuple[Metric, ...]) -> bool:
    return any(sample.name == metric.name and set(sample.labels) == set(metric.labels) for metric in metrics)


def test_this_machine_emits_what_is_declared_and_no_more(probes: list[Probe]) -> None:
    probes = [probe for probe in probes if probe.name != "updates"]  # takes apt some seconds, and has its own test
    found = inspect(probes)
    assert found.failed == {}
    declared = tuple(metric for probe in probes for metric in probe.metrics)
    assert [sample for sample in found.samples if not matches(sample, declared)] == []
    emitted = {sample.name for sample in found.samples}
    silent = {metric.name for probe in probes if probe.name not in found.lacking for metric in probe.metrics} - emitted
    assert silent <= {
        "system_paging_utilization_ratio",  # without swap
        "system_filesystem_inodes_usage",  # on file systems without a fixed number of them
        "system_filesystem_inodes_utilization_ratio",
        "hw_temperature_limit_celsius",
        "process_cpu_utilization_ratio",  # before the second reading
        "security_antivirus_enabled",  # without one
        "security_antivirus_signature_age_seconds",
        "security_firewall_enabled",
        "service_up",  # nothing is watched
        "service_failed",
        "system_clock_offset_seconds",
        "system_memory_oom_kills_total",
    }


def test_the_agent_emits_what_it_declares_of_itself(probes: list[Probe], tmp_path: Path) -> None:
    clock, spool = AgentClock(), Spool(tmp_path)
    delivery = Delivery(Uplink("http://127.0.0.1:9"), spool, clock, boot_id="boot")
    schedules = Sampler(probes, boot=clock.boot, on_unavailable=lambda *_: None).schedules
    configuration = Configuration(StateFolder(tmp_path), lambda *_: None)
    events = Events(clock.now_milliseconds, str)
    metrics = own.OwnMetrics(clock, spool, delivery, events, configuration, sent_bytes=lambda: 0)
    samples = metrics.sample(schedules, clock.boot(), reader=(1 << 20, 0.5))
    assert [sample for sample in samples if not matches(sample, own.METRICS)] == []
    assert {sample.name for sample in samples} == {metric.name for metric in own.METRICS}


def test_names_and_types_are_sound(probes: list[Probe]) -> None:
    metrics = [metric for probe in probes for metric in probe.metrics] + list(own.METRICS)
    names = [metric.name for metric in metrics]
    assert sorted(names) == sorted(set(names))
    for metric in metrics:
        assert (metric.type is MetricType.COUNTER) == metric.name.endswith("_total"), metric.name
        assert not is_reserved_metric(metric.name)
        for unit in ("seconds", "bytes", "ratio", "celsius"):
            assert (metric.unit == unit) == (metric.name.removesuffix("_total").endswith(f"_{unit}")), metric.name


def test_the_catalogue_is_up_to_date(probes: list[Probe]) -> None:
    assert PATH.read_text(encoding="utf-8") == make_catalogue(probes), "run `python -m agent.catalogue`"
    listed = RULES_PATH.read_text(encoding="utf-8")
    assert listed == make_list(declared_metrics(probes)), "run `python -m agent.catalogue`"
    listed = PROBES_PATH.read_text(encoding="utf-8")
    assert listed == make_probe_list(probes), "run `python -m agent.catalogue`"


def test_the_version_is_the_packages() -> None:
    assert version("quarkpulse") == VERSION
