"""What external rulers posted, as metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from collector.reporting.families import counter, gauge


@dataclass(frozen=True, slots=True)
class ExternalHealth:
    firing: int = 0
    posted: Mapping[str, int] = field(default_factory=dict)  # by what became of it
    unassigned: int = 0


def external_families(health: ExternalHealth) -> Iterator[Metric]:
    yield gauge("quarkpulse_external_alerts_firing", "Alerts of external rulers that fire.", [], {(): health.firing})
    yield counter(
        "quarkpulse_external_alerts_posted",
        "Alerts that external rulers posted, each repetition counted: firing, resolved, invalid, or refused since too "
        "many are known.",
        ["result"],
        {(result,): count for result, count in health.posted.items()},
    )
    yield counter(
        "quarkpulse_external_alerts_unassigned",
        "Those among them that name no customer, site and device that exist.",
        [],
        {(): health.unassigned},
    )
