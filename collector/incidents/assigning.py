"""Whose alert it is that an external ruler posts: it must name what exists, or it goes to the provider, loudly."""

from collections.abc import Mapping
from dataclasses import replace

from collector.alerting.external import ALERTNAME, Posted
from collector.alerting.ruleset import Scope
from collector.fleet.directory import FleetDirectory
from collector.fleet.names import COLLECTOR, PROVIDER
from protocol.wire import EXPORTED_PREFIX

UNASSIGNED = "unassigned_alerts"  # the incident of all of them: one ticket of the provider's
PLACE = ("customer", "site", "device_id")


def assigned(posted: Posted, directory: FleetDirectory) -> tuple[Posted, bool]:
    """The alert, and whether customer, site and device_id, or as many of them as its scope has, name what exists.

    One that does not is of the provider itself; what it bore is kept as `exported_…`."""
    labels = posted.labels
    if _exists(labels, directory):
        return posted, True
    borne = {name: labels[name] for name in PLACE if name in labels}
    kept = {name: text for name, text in labels.items() if name not in (*PLACE, "kind")}
    exported = {EXPORTED_PREFIX + name: text for name, text in borne.items()}
    own = {"customer": PROVIDER, "site": COLLECTOR, "scope": Scope.CUSTOMER.value, "incident": UNASSIGNED}
    told = ", ".join(f"{name}={text}" for name, text in borne.items()) or "no customer"
    summary = f"Alert {labels[ALERTNAME]} of an external ruler is nobody's: it names {told}, which does not exist"
    return replace(
        posted, labels={**kept, **exported, **own}, annotations={**posted.annotations, "summary": summary}
    ), False


def _exists(labels: Mapping[str, str], directory: FleetDirectory) -> bool:
    customer, site, device = (labels.get(name, "") for name in PLACE)
    if not (customer or site or device) and labels.get("ticket") == "never":
        return True  # a watchdog: it is of nobody, and asks for nobody
    if device:
        if device == COLLECTOR:
            return (customer, site) == (PROVIDER, COLLECTOR)
        member = directory.members.get(device)
        return member is not None and (member.target.customer, member.target.site) == (customer, site)
    if site:
        return (customer, site) in directory.sites
    return customer in directory.contracts
