"""What the agent weighs: `python -m bench agent --json [--seconds 120] [--interval 60] [--against NAME,NAME]`, or
`python -m bench agent --day --json [--hours 24]`.

A real agent process, with all probes of this machine, TLS and the spool, pushes to a sink in a process of its own that
speaks protocol version 1. Memory is the highest seen in `/proc/PID/smaps_rollup`; processor time is taken from the
process's own clock, in nanoseconds, after the first frames: start-up is reported apart. What is read less often than a
frame is made (and its children: apt, smartctl, readers in processes of their own) is read once more beside it, and its
cost spread over its interval: `day_cpu_seconds_per_hour` is the sum, the average over a day. `--against` measures other
agents after it in the same run, for as long, asked once in the same interval, summed over their processes.

`--day` lets the agent live a whole day without waiting: each probe at its own interval, with its children, on a clock
that leaps over what the agent would sleep. It is looked at after its first frame and after each hour of that day, and
processor time is what it and its children took, from their start on.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from agent.enrolment import describe_probes
from agent.inventory.watch import InventoryProbe
from agent.loading import make_probe
from agent.probes.base import FAST_INTERVAL_SECONDS, ProbeUnavailable
from agent.sampling import Schedule
from agent.state import StateFolder
from bench._agent_process import make_certificate, read_cpu_seconds, read_memory_kib, running_agent, running_sink
from bench._day import live
from bench._peers import PEERS, running, tree
from protocol.errors import QuarkpulseError

SAMPLE_EVERY_SECONDS = 5.0
WARM_UP_FRAMES = 2


def measure(seconds: float, interval_seconds: float) -> dict[str, Any]:
    """Run the agent for `seconds` after its first frames, and report its weight."""
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        interval = ("--interval", f"{interval_seconds:g}s")
        with running_sink(certificate) as url, running_agent(url, folder / "state", certificate, interval) as pid:
            return watch(pid, seconds, interval_seconds)


def watch(pid: int, seconds: float, interval_seconds: float) -> dict[str, Any]:
    time.sleep(min(10.0, WARM_UP_FRAMES * interval_seconds))
    start_cpu = read_cpu_seconds(pid)
    began = time.monotonic()
    peak: dict[str, int] = {}
    while time.monotonic() - began < seconds:
        time.sleep(min(SAMPLE_EVERY_SECONDS, seconds))
        for name, kib in read_memory_kib(pid).items():
            peak[name] = max(peak.get(name, 0), kib)
    spent_cpu = read_cpu_seconds(pid) - start_cpu
    hours = (time.monotonic() - began) / 3600
    return {
        "seconds": round(hours * 3600, 1),
        "interval_seconds": interval_seconds,
        "python": sys.version.split()[0],
        "rss_mib": round(peak["Rss"] / 1024, 2),
        "pss_mib": round(peak["Pss"] / 1024, 2),
        "anonymous_mib": round(peak["Anonymous"] / 1024, 2),
        "cpu_seconds_per_hour": round(spent_cpu / hours, 3),
        "start_cpu_seconds": round(start_cpu, 3),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def measure_peer(name: str, seconds: float, interval_seconds: float) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as folder,
        running(name, Path(folder), interval_seconds) as peer,
    ):
        peer.ask()
        time.sleep(min(10.0, WARM_UP_FRAMES * interval_seconds))
        before = sum(map(read_cpu_seconds, tree(peer.pid)))
        began = time.monotonic()
        asked = 0
        peak: dict[str, int] = {}
        while time.monotonic() - began < seconds:
            if time.monotonic() - began >= asked * interval_seconds:
                peer.ask()
                asked += 1
            now = Counter[str]()
            for pid in tree(peer.pid):
                now.update(read_memory_kib(pid))
            peak = {kind: max(peak.get(kind, 0), now[kind]) for kind in now}
            time.sleep(min(SAMPLE_EVERY_SECONDS, interval_seconds))
        spent = sum(map(read_cpu_seconds, tree(peer.pid))) - before
        return {
            "rss_mib": round(peak["Rss"] / 1024, 2),
            "pss_mib": round(peak["Pss"] / 1024, 2),
            "anonymous_mib": round(peak["Anonymous"] / 1024, 2),
            "cpu_seconds_per_hour": round(spent * 3600 / (time.monotonic() - began), 3),
            "processes": len(tree(peer.pid)),
        }


def measure_slow_probes() -> dict[str, dict[str, float]]:
    """By probe that is read less often than every frame: its cost per reading and per hour, children included."""
    costs = {}
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        folder = StateFolder(Path(name))
        listed = [make_probe(probe_name, entry, folder, None) for probe_name, entry in describe_probes().items()]
        for probe in [*listed, InventoryProbe(folder, time.time)]:
            if probe.interval_seconds <= FAST_INTERVAL_SECONDS:
                continue
            schedule = Schedule(probe)
            for _ in range(2):  # the first reading loads, and finds out where logs end
                before = spent_cpu_seconds()
                try:
                    probe.sample()
                except ProbeUnavailable:  # what this machine lacks has cost its look, and is looked for more seldom
                    schedule.is_lacking = True
                except QuarkpulseError:
                    pass
                spent = spent_cpu_seconds() - before
            per_hour = spent * 3600 / schedule.seconds_between
            costs[probe.name] = {"cpu_seconds": round(spent, 4), "cpu_seconds_per_hour": round(per_hour, 4)}
    return costs


def spent_cpu_seconds() -> float:
    """Of this process and of its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench agent", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch (120)")
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between frames (60)")
    parser.add_argument("--against", default="", help=f"other agents, separated by commas: {', '.join(PEERS)}")
    parser.add_argument("--day", action="store_true", help="let it live a day on a clock that leaps, and nothing else")
    parser.add_argument("--hours", type=int, default=24, help="of that day (24)")
    options = parser.parse_args(arguments)
    if options.day:
        print_figures(live(options.hours).summarize(), as_json=options.json)
        return 0
    peers = [name for name in options.against.split(",") if name]
    if unknown := sorted(set(peers) - set(PEERS)):
        parser.error(f"no such agent: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    figures = measure(options.seconds, options.interval)
    slow = measure_slow_probes()
    in_all = figures["cpu_seconds_per_hour"] + sum(cost["cpu_seconds_per_hour"] for cost in slow.values())
    figures |= {"day_cpu_seconds_per_hour": round(in_all, 3), "slow_probes": slow}
    if peers:
        figures["peers"] = {name: measure_peer(name, options.seconds, options.interval) for name in peers}
    print_figures(figures, as_json=options.json)
    return 0


def print_figures(figures: dict[str, Any], *, as_json: bool) -> None:
    print(json.dumps(figures) if as_json else "\n".join(f"{name:<34} {value}" for name, value in figures.items()))
