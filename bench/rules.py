"""Rules over a whole fleet, here and in Prometheus: `python -m bench rules --against prometheus --devices 1000,10000`.

40 series of each device at 60 s, 12 minutes back, and one group of 20 typical host rules (`bench._fleet`). Both servers
take the same samples, one after the other in one run; each is measured over several evaluations while the window
slides, first over samples that were given before, with nothing coming in, then with the fleet pushing. CPU is that of
the whole process, background work included; with ingest, what ingest alone had cost before is taken off. Both must find
the same alerts.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench._evaluating import INGEST_TICK_SECONDS, Cost, Figures, Plan, measured_collector
from bench._fleet import SERIES, Fleet, rule_file
from bench._prometheus import Prometheus, encoded_labels, running_prometheus, write_request

# Both are set when an evaluation is over.
EVALUATED_AT = "prometheus_rule_group_last_evaluation_timestamp_seconds"
DURATION = "prometheus_rule_group_last_duration_seconds"
POLL_SECONDS = 0.2
SERIES_PER_WRITE = 20_000


class Feeder:
    """Gives a fleet's samples to Prometheus by remote write."""

    def __init__(self, fleet: Fleet, server: Prometheus) -> None:
        self._fleet = fleet
        self._server = server
        self._labels = [
            [encoded_labels({"__name__": name, **labels, **asdict(device)}) for name, labels, *_ in SERIES]
            for device in fleet.devices
        ]
        self.delivered_ms = fleet.start_ms - 1

    def deliver(self, until_ms: int) -> None:
        """Writes all samples that are due."""
        for step, some in self._fleet.due(self.delivered_ms, until_ms):
            samples = encoded_samples(self._fleet.times(step), self._fleet.values(step))
            series = [
                (labels, samples[number, column].tobytes())
                for number in some.tolist()
                for column, labels in enumerate(self._labels[number])
            ]
            for start in range(0, len(series), SERIES_PER_WRITE):
                self._server.write(write_request(series[start : start + SERIES_PER_WRITE]))
        self.delivered_ms = until_ms

    @contextmanager
    def running(self) -> Iterator[None]:
        """Delivers each second what is due, from a thread."""
        stop = threading.Event()

        def ingest() -> None:
            while not stop.wait(INGEST_TICK_SECONDS):
                self.deliver(int(time.time() * 1000))

        thread = threading.Thread(target=ingest)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def encoded_samples(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One protobuf Sample for each value, all of one length: shape (devices, series, 18) of bytes."""
    encoded = np.empty((*values.shape, 18), dtype=np.uint8)
    encoded[..., :3] = (0x12, 16, 0x09)  # field 2 of TimeSeries, its length, field 1 of Sample
    encoded[..., 3:11] = values.astype("<f8")[..., None].view(np.uint8)
    encoded[..., 11] = 0x10
    for place in range(6):  # the present takes six groups of seven bits until the year 2109
        more = 0x80 if place < 5 else 0
        encoded[..., 12 + place] = ((times >> (7 * place)) & 0x7F | more)[:, None]
    return encoded


def cpu_seconds(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | 2)  # the process's CPU clock, as clock_getcpuclockid(3) makes it


def group_metric(server: Prometheus, name: str) -> float:
    """What the server tells of its one rule group, 0 where it tells nothing yet."""
    lines = server.get("metrics").decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{")), 0.0)


def next_evaluation(server: Prometheus) -> float:
    """Waits until one more evaluation of the group is over; how long it took."""
    before = group_metric(server, EVALUATED_AT)
    while group_metric(server, EVALUATED_AT) == before:
        time.sleep(POLL_SECONDS)
    return group_metric(server, DURATION)


def cost(server: Prometheus, evaluations: int) -> Cost:
    next_evaluation(server)
    before = cpu_seconds(server.pid)
    seconds = [next_evaluation(server) for _ in range(evaluations)]
    return Cost((cpu_seconds(server.pid) - before) / evaluations, seconds)


def measured_prometheus(program: str, plan: Plan, folder: Path) -> tuple[Figures, Plan]:
    """The figures, and the plan with as much time for loading as it took."""
    with running_prometheus(program, folder) as server:
        fleet = Fleet(plan.devices, int((time.time() - plan.history_seconds) * 1000))
        feeder = Feeder(fleet, server)

        def at(seconds: float) -> float:
            return fleet.start_ms / 1000 + seconds

        started = time.monotonic()
        feeder.deliver(int(time.time() * 1000))
        load_seconds = time.monotonic() - started
        plan = replace(plan, loading_seconds=max(plan.loading_seconds, time.time() - at(plan.history_seconds) + 2))
        wait_until(at(plan.loaded_by))

        feeder.deliver(int(time.time() * 1000))
        with feeder.running():
            before, began = cpu_seconds(server.pid), time.monotonic()
            wait_until(at(plan.quiet_from))
            ingest_cores = (cpu_seconds(server.pid) - before) / (time.monotonic() - began)
        feeder.deliver(int(at(plan.quiet_until) * 1000))

        (folder / "rules.yaml").write_text(rule_file(plan.interval_seconds))
        server.reload()
        without_ingest = cost(server, plan.evaluations)
        wait_until(at(plan.quiet_until))
        evaluated_at, alerts = last_alerts(server)
        with feeder.running():
            next_evaluation(server)
            with_ingest = cost(server, plan.evaluations)
        rss = psutil.Process(server.pid).memory_info().rss
        compared_at = evaluated_at - fleet.start_ms / 1000
        return Figures(load_seconds, ingest_cores, without_ingest, with_ingest, rss, alerts, compared_at), plan


def wait_until(at: float) -> None:
    """Not at all, if that is past: a server may take longer than its phase on a busy machine."""
    time.sleep(max(0.0, at - time.time()))


def last_alerts(server: Prometheus) -> tuple[float, dict[str, int]]:
    """When the rules were last evaluated, Unix seconds, and how many alerts each found."""
    (newest,) = server.ask("query", {"query": "max(timestamp(ALERTS))"})["result"]
    at = float(newest["value"][1])
    counted = server.ask("query", {"query": "count by (alertname) (ALERTS)", "time": f"{at:.3f}"})["result"]
    return at, {row["metric"]["alertname"]: int(row["value"][1]) for row in counted}


def compare(program: str, plan: Plan) -> dict[str, Any]:
    """Both servers on one fleet. Raises AssertionError where they find different alerts, save of devices that have a
    sample just where windows begin."""
    say(f"{plan.devices} devices: {program}, about {minutes(plan)} minutes …")
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        theirs_folder, ours_folder = Path(name, "prometheus"), Path(name, "collector")
        theirs_folder.mkdir()
        ours_folder.mkdir()
        theirs, plan = measured_prometheus(program, plan, theirs_folder)
        say(f"{plan.devices} devices: the collector, about {minutes(plan)} minutes …")
        ours = measured_collector(plan, ours_folder, theirs.compared_at)
    found = {alert: count for alert, count in ours.alerts.items() if count}
    # Before 3.0 Prometheus counted a sample at the very beginning of a window to it.
    on_edge = Fleet(plan.devices, 0).sampled_at(round(theirs.compared_at * 1000))
    apart = {
        alert
        for alert in found.keys() | theirs.alerts.keys()
        if abs(found.get(alert, 0) - theirs.alerts.get(alert, 0)) > on_edge
    }
    assert not apart, f"different alerts: {sorted(apart)}: collector {found}, Prometheus {theirs.alerts}"
    return {
        "devices": plan.devices,
        "series": plan.devices * len(SERIES),
        "collector": summary(ours, plan),
        "prometheus": summary(theirs, plan),
        "cpu_ratio_without_ingest": round(theirs.without_ingest.cpu_seconds / ours.without_ingest.cpu_seconds, 1),
        "cpu_ratio_with_ingest": round(
            theirs.evaluation_beside_ingest(plan.interval_seconds)
            / ours.evaluation_beside_ingest(plan.interval_seconds),
            1,
        ),
        "alerts": found,
    }


def minutes(plan: Plan) -> int:
    """How long one server takes, roughly."""
    phases = plan.loading_seconds + plan.seconds + (2 * plan.evaluations + 5) * plan.interval_seconds
    return round(phases / 60) + 1


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def summary(figures: Figures, plan: Plan) -> dict[str, Any]:
    return {
        "cpu_seconds_per_evaluation": round(figures.without_ingest.cpu_seconds, 3),
        "seconds_per_evaluation": round(statistics.median(figures.without_ingest.seconds), 3),
        "cpu_seconds_per_evaluation_with_ingest": round(figures.evaluation_beside_ingest(plan.interval_seconds), 3),
        "seconds_per_evaluation_with_ingest": round(statistics.median(figures.with_ingest.seconds), 3),
        "ingest_cpu_seconds_per_interval": round(figures.ingest_cores * plan.interval_seconds, 3),
        "rss_mib": round(figures.rss_bytes / 2**20, 1),
        "rss_bytes_per_series": round(figures.rss_bytes / (plan.devices * len(SERIES))),
        "load_seconds": round(figures.load_seconds, 1),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench rules", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON array")
    parser.add_argument("--against", choices=["prometheus"], default="prometheus")
    parser.add_argument("--devices", default="1000,10000", help="fleet sizes, separated by commas")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds from evaluation to evaluation")
    parser.add_argument("--evaluations", type=int, default=4, help="measured in each phase")
    parser.add_argument("--seconds", type=float, default=45.0, help="of ingest alone, before the rules")
    options = parser.parse_args(arguments)
    program = shutil.which(options.against)
    if program is None:
        parser.error(f"needs {options.against}: see deploy/debian/packages-test.txt")
    plans = [
        Plan(int(devices), options.interval, options.evaluations, options.seconds)
        for devices in options.devices.split(",")
    ]
    results = [compare(program, plan) for plan in plans]
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    else:
        for result in results:
            sys.stdout.writelines(f"{name}: {value}\n" for name, value in result.items())
    return 0
