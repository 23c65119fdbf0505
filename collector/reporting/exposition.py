"""`/metrics`: the collector's own health and the fleet's totals, in Prometheus's text format."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from collector.reporting.external import ExternalHealth, external_families
from collector.reporting.families import counter, gauge
from collector.reporting.history import history_families
from collector.reporting.outbox import OutboxHealth, outbox_families
from collector.reporting.pushes import PushMetrics
from collector.reporting.totals import Counts, Totals
from collector.series.history.history import HistoryStats


@dataclass(frozen=True, slots=True)
class GroupHealth:
    duration_seconds: float
    last_at: datetime | None
    missed: int
    failures: int


@dataclass(frozen=True, slots=True)
class Health:
    """What the process counts about itself."""

    version: str
    devices: Counts  # (customer, kind, presence)
    pushes: Mapping[str, int]  # by result
    frames_refused: Mapping[str, int]  # by reason
    samples: int
    frames_ahead: int
    data_free_ratio: float | None  # of the data folder's file system; None: it cannot be told
    log_bytes: int
    log_segments: int
    commits: int
    commit_seconds: float  # in all
    store_faults: Mapping[str, int]  # by kind
    late_frames: int
    history: HistoryStats
    head_series: int
    head_devices: int
    groups: Mapping[str, GroupHealth]
    rule_conflicts: Mapping[str, int]  # by customer
    customers_without_contract: int  # although devices of theirs are looked after
    deadman_pings: Mapping[str, int]  # by result
    deadman_last_success: datetime | None
    outbox: OutboxHealth = field(default_factory=OutboxHealth)
    external: ExternalHealth = field(default_factory=ExternalHealth)


class Exposition:
    """Renders one page from the process's own health, read at once, and the totals counted in the database."""

    def __init__(self, health: Callable[[], Health], pushes: PushMetrics) -> None:
        self._health = health
        self._pushes = pushes
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def render(self, totals: Totals) -> bytes:
        """The page, UTF-8."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families([*health_families(self._health()), *totals_families(totals)]))
        return b"".join(map(generate_latest, (registry, self._pushes.registry, self._process)))


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def health_families(health: Health) -> Iterator[Metric]:
    yield gauge("quarkpulse_build_info", "Always 1; the version is a label.", ["version"], {(health.version,): 1})
    yield gauge(
        "quarkpulse_devices",
        "Devices by customer, kind and presence.",
        ["customer", "kind", "presence"],
        health.devices,
    )
    yield counter("quarkpulse_ingest_pushes", "Pushes by how they were answered.", ["result"], _by_one(health.pushes))
    yield counter("quarkpulse_ingest_samples", "Samples stored durably.", [], {(): health.samples})
    yield counter(
        "quarkpulse_ingest_frames_refused", "Frames refused one by one.", ["reason"], _by_one(health.frames_refused)
    )
    yield counter(
        "quarkpulse_ingest_frames_ahead",
        "Frames whose time lay more than a minute ahead; they count when it comes.",
        [],
        {(): health.frames_ahead},
    )
    yield gauge(
        "quarkpulse_data_free_ratio",
        "Share of the data folder's file system that is free.",
        [],
        {} if health.data_free_ratio is None else {(): health.data_free_ratio},
    )
    yield gauge("quarkpulse_log_bytes", "Size of the sample log on disk.", [], {(): health.log_bytes})
    yield gauge("quarkpulse_log_segments", "Files of the sample log.", [], {(): health.log_segments})
    yield SummaryMetricFamily(
        "quarkpulse_log_fsync_duration_seconds",
        "Time to bring a batch of frames to disk.",
        count_value=health.commits,
        sum_value=health.commit_seconds,
    )
    yield counter(
        "quarkpulse_store_faults",
        "What went wrong with storing samples: failed writes, refused or lost frames, by kind.",
        ["fault"],
        _by_one(health.store_faults),
    )
    yield counter(
        "quarkpulse_ingest_frames_late", "Frames older than what was known already.", [], {(): health.late_frames}
    )
    yield from history_families(health.history)
    yield gauge("quarkpulse_head_series", "Series in memory.", [], {(): health.head_series})
    yield gauge("quarkpulse_head_devices", "Devices with series in memory.", [], {(): health.head_devices})
    groups = health.groups.items()
    yield gauge(
        "quarkpulse_rule_group_last_duration_seconds",
        "How long the last evaluation of the group took.",
        ["group"],
        {(key,): group.duration_seconds for key, group in groups},
    )
    yield gauge(
        "quarkpulse_rule_group_last_evaluation_timestamp_seconds",
        "The instant that the group was last evaluated for.",
        ["group"],
        {(key,): group.last_at.timestamp() for key, group in groups if group.last_at is not None},
    )
    yield counter(
        "quarkpulse_rule_group_iterations_missed",
        "Evaluations skipped because the one before took too long.",
        ["group"],
        {(key,): group.missed for key, group in groups},
    )
    yield counter(
        "quarkpulse_rule_evaluation_failures",
        "Rules that could not be evaluated.",
        ["group"],
        {(key,): group.failures for key, group in groups},
    )
    yield counter(
        "quarkpulse_rule_conflicts",
        "Match groups dropped because a customer's series were duplicate.",
        ["customer"],
        _by_one(health.rule_conflicts),
    )
    yield gauge(
        "quarkpulse_customers_without_contract",
        "Customers with devices and without a contract, or under a plan that `serve` does not know: what fires there "
        "opens no ticket.",
        [],
        {(): health.customers_without_contract},
    )
    yield from outbox_families(health.outbox)
    yield from external_families(health.external)
    yield counter(
        "quarkpulse_deadman_pings",
        "Calls of the dead-man address (`deadman_url`), by what came of them.",
        ["result"],
        _by_one(health.deadman_pings),
    )
    yield gauge(
        "quarkpulse_deadman_last_success_timestamp_seconds",
        "When the dead-man address last answered; missing until then.",
        [],
        {} if health.deadman_last_success is None else {(): health.deadman_last_success.timestamp()},
    )


def totals_families(totals: Totals) -> Iterator[Metric]:
    yield gauge(
        "quarkpulse_alerts",
        "Alerts that are not resolved: pending, firing, or unknown because the device is not seen.",
        ["customer", "severity", "state"],
        totals.alerts,
    )
    yield gauge(
        "quarkpulse_alerts_asked",
        "Alerts that are not resolved and wait for a technician to decide whether they become tickets.",
        ["customer"],
        totals.alerts_asked,
    )
    yield gauge(
        "quarkpulse_tickets",
        "Tickets that are not closed, save rounds of maintenance.",
        ["customer", "status", "priority"],
        totals.tickets,
    )
    yield counter(
        "quarkpulse_tickets_opened",
        "Tickets ever opened, save rounds of maintenance.",
        ["customer"],
        totals.tickets_opened,
    )
    yield gauge(
        "quarkpulse_sla_clocks",
        "SLA clocks of tickets that are not closed: running, paused, met, breached, or none where nothing is promised.",
        ["clock", "state", "priority"],
        totals.sla_clocks,
    )
    yield counter(
        "quarkpulse_sla_breaches", "SLA clocks that ever ran out.", ["clock", "priority"], totals.sla_breaches
    )
    yield gauge(
        "quarkpulse_shadow_tickets",
        "Open shadow tickets: what would be a ticket under a plan that opens tickets.",
        ["customer"],
        totals.shadow_tickets,
    )
    yield counter(
        "quarkpulse_shadow_tickets_opened", "Shadow tickets ever recorded.", ["customer"], totals.shadow_tickets_opened
    )


def _by_one(counts: Mapping[str, int]) -> Counts:
    return {(key,): count for key, count in counts.items()}
