"""Alerts that a ruler elsewhere evaluates and posts: what is known of each, state and time in, new state out.

A ruler tells of each alert again and again, at least once and in any order. Source of the semantics: Alertmanager,
`api/v2/api.go`; Prometheus, `rules/alerting.go` and `cmd/prometheus` (a firing alert is sent every minute with an end
four minutes ahead, a resolved one for 15 minutes, and one that fires anew has a later beginning).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from collector.alerting.external_keys import KEY_PREFIX
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import fingerprint

ALERTNAME = "alertname"
RESOLVE_TIMEOUT = timedelta(minutes=5)  # Alertmanager's, for an alert without an end that is not sent again
REMEMBERED = timedelta(minutes=15)  # so long rulers repeat that an alert is over, and so late an older word may come
NO_VERSION = "external"  # of the rule, where none of that name is loaded

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Posted:
    """One alert as it was posted, checked. `ends_at` in the past: it is over; None: nothing was said."""

    labels: Labels  # `alertname` among them, none empty
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    generator_url: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """One label set: it fires until `ends_at`, which each repetition puts off."""

    labels: Labels
    annotations: Mapping[str, str]
    active_since: datetime  # the earliest beginning that was told since it last was over
    starts_at: datetime  # the latest
    ends_at: datetime
    is_told_over: bool  # the ruler said so; else it is over when nobody repeats it
    generator_url: str = ""

    def fires(self, now: datetime) -> bool:
        return now < self.ends_at


@dataclass(frozen=True, slots=True)
class ExternalRule:
    """The rule of a posted alert, as far as incidents ask: what a loaded rule of that name tells, or nothing."""

    key: str
    alert: str
    version: str = NO_VERSION
    hold_for: timedelta = timedelta(0)
    labels: Mapping[str, object] = field(default_factory=dict)
    thresholds: frozenset[str] = frozenset()


def external_key(alert: str) -> str:
    """The rule key of all posted alerts of this name."""
    return KEY_PREFIX + hashlib.sha256(alert.encode()).hexdigest()[:32]


def is_external(rule_key: str) -> bool:
    return rule_key.startswith(KEY_PREFIX)


def mark_of(labels: Labels) -> tuple[str, str]:
    """The rule key and the fingerprint of a posted alert."""
    return external_key(labels[ALERTNAME]), fingerprint(labels)


def taken(known: Known | None, posted: Posted, now: datetime) -> Known:
    """What is known of a label set after it was posted; the same object where the message brings nothing new."""
    begin = min(posted.starts_at, now)
    end = now + RESOLVE_TIMEOUT if posted.ends_at is None else posted.ends_at
    is_over = end <= now
    if known is None:
        return _begun(posted, begin, end, is_over=is_over)
    if is_over:
        if known.is_told_over or begin < known.starts_at:
            return known  # of an episode before this one
        return replace(known, ends_at=end, is_told_over=True)
    if known.is_told_over:
        return known if begin <= known.starts_at else _begun(posted, begin, end, is_over=False)
    return replace(
        known,
        annotations=posted.annotations,
        active_since=min(known.active_since, begin),
        starts_at=max(known.starts_at, begin),
        ends_at=end if begin > known.starts_at else max(known.ends_at, end),
        generator_url=posted.generator_url,
    )


def rule_of(labels: Labels, by_name: Mapping[str, Iterable[AlertRule]]) -> AlertRule | None:
    """The loaded rule that a posted alert is of: one of its name whose constant labels it bears; of several the one
    with the most."""
    best: AlertRule | None = None
    most = -1
    for rule in by_name.get(labels[ALERTNAME], ()):
        texts = {name: label.text for name, label in rule.labels.items() if label.is_constant}
        if len(texts) > most and all(labels.get(name, "") == text for name, text in texts.items()):
            best, most = rule, len(texts)
    return best


def _begun(posted: Posted, begin: datetime, end: datetime, *, is_over: bool) -> Known:
    return Known(posted.labels, posted.annotations, begin, begin, end, is_over, posted.generator_url)
