"""What becomes of an alert that fires: pure functions of its labels, of what may hold it back, and of the contract."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from collector.alerting.records import Outcome
from collector.alerting.rulefile import Scope, severity_of
from collector.contracts import AlertOutcome, Priority, ServiceModel, priority_of
from collector.contracts.scope import ContractScope
from collector.incidents.inhibition import Inhibitors, inhibitor_of
from collector.incidents.silences import Silence
from collector.incidents.windows import Window

ALERTNAME = "alertname"


class Uncovered(StrEnum):
    """Why a contract says nothing about an alert. When a contract covers it, the alert is decided anew."""

    NO_CONTRACT = "no_contract"
    OUTSIDE_SCOPE = "outside_scope"
    NOT_MONITORED = "not_monitored"


class HeldBy(StrEnum):
    """What keeps a firing alert from what the contract would make of it. When it ends, the alert is decided anew."""

    SILENCE = "silence"
    WINDOW = "window"
    INHIBITION = "inhibition"


@dataclass(frozen=True, slots=True)
class Decision:
    outcome: Outcome
    reason: str  # for people: what decided, in one sentence
    priority: Priority | None = None  # of the ticket, or of the one that would have been
    data: Mapping[str, object] = field(default_factory=dict)  # the same for programs


@dataclass(frozen=True, slots=True)
class TicketKey:
    """What one ticket covers: there is one open ticket for each (customer, scope entity, incident)."""

    customer: str
    entity: str
    incident: str

    @property
    def is_of_a_device(self) -> bool:
        return self.entity.startswith("device:")

    def __str__(self) -> str:
        return f"{self.customer}/{self.entity}/{self.incident}"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What holds at the moment of a decision."""

    now: datetime
    silences: Sequence[Silence] = ()
    windows: Mapping[str, Sequence[Window]] = field(default_factory=dict)  # those that are open, by customer
    inhibitors: Inhibitors = field(default_factory=dict)


def ticket_key(labels: Mapping[str, str]) -> TicketKey:
    """The key of an alert's ticket. A label that the scope needs and the alert lacks widens the scope by one step."""
    customer = labels.get("customer", "")
    scope = labels.get("scope", Scope.DEVICE)
    site, device = labels.get("site", ""), labels.get("device_id", "")
    entity = "customer"
    if scope == Scope.DEVICE and device:
        entity = f"device:{device}"
    elif scope in (Scope.DEVICE, Scope.SITE) and site:
        entity = f"site:{site}"
    elif scope == Scope.FLEET:
        entity = "fleet"
    return TicketKey(customer, entity, labels.get("incident") or labels[ALERTNAME])


def may_have_ticket(labels: Mapping[str, str]) -> bool:
    """Whether anything that may change, such as the plan, can give an alert of these labels a ticket."""
    return labels.get("ticket") != "never" and bool(labels.get("customer"))


def decide(
    labels: Mapping[str, str],
    tags: Collection[str],
    model: ServiceModel | None,
    circumstances: Circumstances,
    scope: ContractScope | None = None,
) -> Decision:
    """What becomes of a firing alert: who asked for silence, work under way, a fault behind it, then the contract.

    `tags` are its device's; `model` is the customer's service model now, None without a contract; `scope` is what that
    contract covers, None if that is all.
    """
    if labels.get("ticket") == "never":
        return Decision(Outcome.NONE, f"no ticket: rule {labels[ALERTNAME]} has the label 'ticket: never'")
    return held_back(labels, tags, circumstances) or _by_contract(labels, tags, model, scope)


def held_back(labels: Mapping[str, str], tags: Collection[str], circumstances: Circumstances) -> Decision | None:
    """What holds a firing alert back, whatever the contract; None if nothing does."""
    for silence in circumstances.silences:
        if silence.covers(labels, circumstances.now):
            return _held(
                HeldBy.SILENCE,
                f"silence {silence.id} of {silence.author} until {_told(silence.ends_at)}: {silence.comment}",
                silence.id,
            )
    for window in circumstances.windows.get(labels.get("customer", ""), ()):
        if window.scope.covers(labels, tags) and (opened := window.open_at(circumstances.now)):
            return _held(
                HeldBy.WINDOW,
                f"maintenance window {window.id} of {window.scope} until {_told(opened[1])}: {window.reason}",
                window.id,
            )
    inhibitor = inhibitor_of(labels, circumstances.inhibitors)
    if inhibitor is not None:
        return _held(
            HeldBy.INHIBITION,
            f"{inhibitor.told} fires (alert {inhibitor.alert}): {inhibitor.rule.name}",
            inhibitor.alert,
        )
    return None


def _by_contract(
    labels: Mapping[str, str], tags: Collection[str], model: ServiceModel | None, scope: ContractScope | None
) -> Decision:
    if model is None:
        return _without_contract(labels)
    not_covered = _not_covered(labels, tags, model, scope)
    if not_covered is not None:
        return not_covered
    priority = priority_of(severity_of(labels), labels.get("kind", ""), model)
    data = {"plan": model.name, "priority": priority}
    match model.on_alert:
        case AlertOutcome.TICKET:
            return Decision(Outcome.TICKET, f"plan {model.name} opens a ticket ({priority})", priority, data)
        case AlertOutcome.SHADOW:
            return Decision(
                Outcome.SHADOW,
                f"plan {model.name} opens no ticket for an alert; it would have been opened ({priority})",
                priority,
                data,
            )
        case AlertOutcome.ASK_TECHNICIAN:
            reason = f"plan {model.name} leaves it to a technician to open a ticket"
            return Decision(Outcome.ASKED, reason, priority, data)


def _without_contract(labels: Mapping[str, str]) -> Decision:
    customer = labels.get("customer", "")
    if not customer:
        name = labels[ALERTNAME]
        return Decision(
            Outcome.NONE, f"no ticket: the alert names no customer; keep the label 'customer' in rule {name}"
        )
    reason = (
        f"no ticket: customer {customer} has no contract in force; give it one with: contracts add {customer}, or "
        "restart serve if its plan is new in service_models.yaml"
    )
    return Decision(Outcome.NONE, reason, data={"uncovered": Uncovered.NO_CONTRACT})


def _not_covered(
    labels: Mapping[str, str], tags: Collection[str], model: ServiceModel, scope: ContractScope | None
) -> Decision | None:
    """What the contract that holds is not about; None: it is."""
    if scope is not None and not scope.covers(labels, tags):
        what = f"device {labels['device_id']}" if labels.get("device_id") else f"site {labels.get('site')}"
        reason = f"no ticket: {what} is outside the contract of {labels.get('customer')}, which covers {scope}"
        return Decision(Outcome.NONE, reason, data={"uncovered": Uncovered.OUTSIDE_SCOPE, "plan": model.name})
    kind = labels.get("kind", "")
    if labels.get("device_id") and kind and kind not in model.monitored:
        reason = f"no ticket: plan {model.name} watches no {kind}; see 'monitored' in service_models.yaml"
        return Decision(Outcome.NONE, reason, data={"uncovered": Uncovered.NOT_MONITORED, "plan": model.name})
    return None


def _held(by: HeldBy, reason: str, number: int) -> Decision:
    return Decision(Outcome.SUPPRESSED, f"held back: {reason}", data={"held_by": by, by.value: number})


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
