"""What becomes of an alert that fires: pure functions of the rule, the contract and what is known of the device."""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.alerting.records import Outcome
from collector.alerting.rulefile import AlertRule, Scope
from collector.contracts import AlertOutcome, Priority, ServiceModel, priority_of


@dataclass(frozen=True, slots=True)
class Decision:
    outcome: Outcome
    reason: str  # for people: what decided, in one sentence
    priority: Priority | None = None  # of the ticket, or of the one that would have been


@dataclass(frozen=True, slots=True)
class TicketKey:
    """What one ticket covers: there is one open ticket for each (customer, scope entity, incident)."""

    customer: str
    entity: str
    incident: str

    def __str__(self) -> str:
        return f"{self.customer}/{self.entity}/{self.incident}"


def ticket_key(rule: AlertRule, labels: Mapping[str, str]) -> TicketKey:
    """The key of an alert's ticket. A label that the scope needs and the alert lacks widens the scope by one step."""
    customer = labels.get("customer", "")
    site, device = labels.get("site", ""), labels.get("device_id", "")
    entity = "customer"
    if rule.scope is Scope.DEVICE and device:
        entity = f"device:{device}"
    elif rule.scope in (Scope.DEVICE, Scope.SITE) and site:
        entity = f"site:{site}"
    elif rule.scope is Scope.FLEET:
        entity = "fleet"
    return TicketKey(customer, entity, rule.incident)


def decide(rule: AlertRule, labels: Mapping[str, str], model: ServiceModel | None) -> Decision:
    """What the contract makes of a firing alert. `model`: the customer's service model now, None without a contract."""
    if rule.ticket_never:
        return Decision(Outcome.NONE, f"no ticket: rule {rule.alert} has the label 'ticket: never'")
    customer = labels.get("customer", "")
    if not customer:
        return Decision(
            Outcome.NONE, f"no ticket: the alert names no customer; keep the label 'customer' in rule {rule.alert}"
        )
    if model is None:
        return Decision(Outcome.NONE, f"no ticket: customer {customer} has no contract in force")
    priority = priority_of(rule.severity, labels.get("kind", ""), model)
    match model.on_alert:
        case AlertOutcome.TICKET:
            return Decision(Outcome.TICKET, f"plan {model.name} opens a ticket ({priority})", priority)
        case AlertOutcome.SHADOW:
            return Decision(
                Outcome.SHADOW,
                f"plan {model.name} opens no ticket for an alert; it would have been opened ({priority})",
                priority,
            )
        case AlertOutcome.ASK_TECHNICIAN:
            return Decision(Outcome.NONE, f"plan {model.name} leaves it to a technician to open a ticket", priority)
