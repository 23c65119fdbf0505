"""How the collector is: what it counts about itself, and what is wrong with it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.alerting.loop import EvaluationStats, Evaluator
from collector.alerting.rulefile import RuleSet
from collector.api.query_rules import EvaluatedGroup
from collector.clock import Clock
from collector.desk.delivery import Deliverer
from collector.incidents.external import ExternalAlerts
from collector.ingest.native import Ingest
from collector.reporting.dead_man import DeadMan
from collector.reporting.exposition import GroupHealth, Health
from collector.reporting.external import ExternalHealth
from collector.reporting.outbox import outbox_health
from collector.reporting.pushes import PushMetrics
from collector.reporting.totals import Counts
from collector.series.history.history import History
from collector.series.store import SampleStore

# What a push that was not taken counts as, by the status of its answer.
PUSH_REFUSALS = {
    400: "malformed",
    401: "unauthorized",
    408: "too_slow",
    410: "ended",
    413: "too_large",
    415: "unsupported_encoding",
    422: "invalid",
    429: "too_many",
    500: "failed",
    503: "busy",
}


def free_ratio(folder: Path) -> float | None:
    """The share of its file system that is free for us; None where that cannot be told."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:  # the folder is gone, or its disk: pushes fail then, which is told
        return None
    return usage.free / usage.total if usage.total else None


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """Of one running collector."""

    version: str
    data: Path
    store: SampleStore
    ingest: Ingest
    history: History
    pushes: PushMetrics
    evaluation: EvaluationStats
    dead_man: DeadMan
    deliverer: Deliverer
    external: ExternalAlerts
    clock: Clock
    devices: Callable[[], Counts]  # (customer, kind, presence)
    rules: Callable[[], RuleSet]  # those that are evaluated now
    without_contract: Callable[[], int]  # customers with devices and no contract

    def report(self) -> Health:
        store, counters = self.store.stats(), self.ingest.counters
        return Health(
            version=self.version,
            devices=self.devices(),
            pushes=self._push_results(),
            frames_refused={
                "too_old": counters.frames_too_old,
                "too_far_ahead": counters.frames_too_far_ahead,
                "unknown_device": counters.frames_of_unknown_device,
                "wrong_size": counters.frames_of_wrong_size,
                "layout": counters.frames_of_refused_layout,
            },
            samples=counters.samples,
            frames_ahead=counters.frames_ahead,
            data_free_ratio=free_ratio(self.data),
            log_bytes=store.log_bytes,
            log_segments=store.log_segments,
            commits=store.commits,
            commit_seconds=store.commit_seconds,
            store_faults={
                "write_failed": store.write_failures,
                "checkpoint_failed": store.checkpoint_failures,
                "busy": store.frames_refused_busy,
                "series_refused": store.series_refused,
                "frames_lost": store.lost_frames,
                "frames_ahead_refused": store.frames_ahead_refused,
                "segments_unreadable": store.unreadable_segments,
            },
            late_frames=store.late_frames,
            history=self.history.stats(),
            head_series=store.series,
            head_devices=store.devices,
            groups={
                key: GroupHealth(group.duration_seconds, group.last_at, group.missed, group.failures)
                for key, group in self.evaluation.groups.items()
            },
            rule_conflicts=self.evaluation.conflicts,
            customers_without_contract=self.without_contract(),
            deadman_pings=self.dead_man.pings,
            deadman_last_success=self.dead_man.last_success,
            external=_external_health(self.external),
            outbox=outbox_health(self.deliverer.waiting, self.deliverer.results, self.clock()),
        )

    def _push_results(self) -> dict[str, int]:
        by_status = self.pushes.by_status
        without_layouts = self.ingest.counters.pushes_without_layouts
        refused = {word: by_status[status] for status, word in PUSH_REFUSALS.items()}
        return {"acked": by_status[200] - without_layouts, "need_layouts": without_layouts, **refused}

    def what_is_wrong(self) -> Iterator[str]:
        """A sentence for each reason why pushes are not taken in or rules not evaluated."""
        if not self.store.stats().last_commit_ok:
            yield "pushes cannot be stored: see the log"
        for group in self.rules().groups:
            if self.evaluation.group(group.key).is_failing:
                yield f"evaluations of {group.name} cannot be stored: see the log"


def evaluated_groups(evaluator: Evaluator, stats: EvaluationStats) -> list[EvaluatedGroup]:
    """How the loaded rules stand."""
    groups = []
    for group in evaluator.rules.groups:
        last = stats.group(group.key)
        groups.append(
            EvaluatedGroup(
                group,
                evaluator.interval(group),
                {rule.key: evaluator.active.get(rule.key, {}) for rule in group.alert_rules},
                last.last_at,
                last.duration_seconds,
                last.errors,
            )
        )
    return groups


def _external_health(alerts: ExternalAlerts) -> ExternalHealth:
    counters = alerts.counters
    posted = {name: getattr(counters, name) for name in ("firing", "resolved", "invalid", "refused")}
    return ExternalHealth(alerts.firing, posted, counters.unassigned)
