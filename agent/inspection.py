"""Takes readings once, for `probe`, `doctor` and the catalogue: the same probes and the same timeouts as `run`."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from agent import own
from agent.config import AgentConfig
from agent.loading import load_probe
from agent.printers import metrics as printer_metrics
from agent.probes.base import Metric, Occurrence, Probe, Sample
from agent.sampling import Sampler
from agent.settings import Settings
from protocol.wire import DEFAULT_PUSH_INTERVAL_SECONDS

SETTLE_SECONDS = 60.0


class Inspection(NamedTuple):
    """What the probes said; troubles by probe: not available here (`lacking`), failed or hung
    (`failed`); and what they would tell as events."""

    samples: list[Sample]
    lacking: dict[str, str]
    failed: dict[str, str]
    told: list[Occurrence]


def load_probes(places: Mapping[str, str], settings: Settings | None = None) -> list[Probe]:
    """All in this process, isolated ones too. Raises ProbeError or SettingsError."""
    return [load_probe(name, place, settings) for name, place in places.items()]


def declared_metrics(probes: list[Probe]) -> dict[str, Metric]:
    """By name: the probes' own, those of printers, and the agent's."""
    of_probes = [metric for probe in probes for metric in probe.metrics]
    return {metric.name: metric for metric in (*of_probes, *printer_metrics.METRICS, *own.METRICS)}


def inspect(probes: list[Probe], config: AgentConfig = AgentConfig()) -> Inspection:  # noqa: B008 - constants
    """Read every probe once, as `config` wants it. A probe that hangs costs its timeout and no more."""
    lacking: dict[str, str] = {}
    sampler = Sampler(probes, boot=time.monotonic, on_unavailable=lacking.__setitem__)
    sampler.configure(config, DEFAULT_PUSH_INTERVAL_SECONDS)
    for schedule in sampler.schedules:
        settle = getattr(schedule.probe, "settle", None)
        if settle is not None:
            settle(SETTLE_SECONDS)
    sampler.read_due(slack_seconds=0.0)
    sampler.wait(max((probe.timeout_seconds for probe in probes), default=0.0))
    failed = {
        schedule.name: "hangs" if schedule.is_running else schedule.trouble
        for schedule in sampler.schedules
        if schedule.name not in lacking and (schedule.is_running or schedule.trouble)
    }
    samples = [sample for one in sampler.schedules for sample in one.samples]
    return Inspection(samples, lacking, failed, sampler.take_occurrences())
