"""What `/metrics` says about the outbox: what waits to be told outside, and what was given up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import Metric

from collector.desk.outbox import Waiting
from collector.reporting.families import Figures, counter, gauge


@dataclass(frozen=True, slots=True)
class OutboxHealth:
    """By connector, of those in use."""

    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    oldest_seconds: Mapping[str, float] = field(default_factory=dict)
    deliveries: Figures = field(default_factory=dict)  # by connector and result


def outbox_health(waiting: Mapping[str, Waiting], deliveries: Figures, now: datetime) -> OutboxHealth:
    ages = {
        name: 0.0 if one.oldest_at is None else max((now - one.oldest_at).total_seconds(), 0.0)
        for name, one in waiting.items()
    }
    return OutboxHealth(waiting, ages, deliveries)


def outbox_families(health: OutboxHealth) -> Iterator[Metric]:
    waiting = health.waiting.items()
    yield gauge(
        "quarkpulse_outbox_pending",
        "What waits to be told outside.",
        ["connector"],
        {(name,): one.pending for name, one in waiting},
    )
    yield gauge(
        "quarkpulse_outbox_oldest_seconds",
        "How long the oldest of it has waited; 0 if nothing waits.",
        ["connector"],
        {(name,): seconds for name, seconds in health.oldest_seconds.items()},
    )
    yield gauge(
        "quarkpulse_outbox_parked",
        "What could not be told and was given up; `outbox list --parked` shows it.",
        ["connector"],
        {(name,): one.parked for name, one in waiting},
    )
    yield counter(
        "quarkpulse_outbox_deliveries",
        "Tries to tell something outside, by what came of them: delivered, put_off, parked.",
        ["connector", "result"],
        health.deliveries,
    )
