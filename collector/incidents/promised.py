"""What is promised to a customer at a time: its contract, the contract's service model, and `sla.yaml`, joined."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from collector.contracts import ServiceModels
from collector.contracts.promises import SlaBook, Terms
from collector.contracts.scope import ContractScope
from collector.fleet.contracts import Contract

logger = logging.getLogger(__name__)


class Promised:
    """`contracts` has them by customer, as they are now; `kind_and_tags` are those that a device has now."""

    def __init__(
        self,
        contracts: Callable[[], Mapping[str, Sequence[Contract]]],
        kind_and_tags: Callable[[str], tuple[str, Collection[str]]],
        models: ServiceModels,
        book: SlaBook,
    ) -> None:
        self._contracts = contracts
        self._kind_and_tags = kind_and_tags
        self._models = models
        self._book = book
        self._known: dict[tuple[str, str | None, str | None], Terms] = {}  # equal terms are one object

    def terms_of(self, customer: str, at: datetime) -> Terms:
        """Where there is no contract, nothing is promised."""
        contract = self._contract_at(customer, at)
        if contract is None:
            return Terms()
        key = contract.plan, contract.agreement.sla, contract.agreement.support_level
        terms = self._known.get(key)
        if terms is None:
            terms = self._known[key] = self._agreed(*key)
        return terms

    def scope_of(self, customer: str, at: datetime) -> ContractScope | None:
        """What the contract covers; None: all, or there is none."""
        contract = self._contract_at(customer, at)
        return None if contract is None else contract.agreement.scope

    def covers(self, customer: str, at: datetime, *, site: str | None, device: str | None) -> bool:
        """Whether the contract covers what a ticket is about, as alerts about it are judged."""
        scope = self.scope_of(customer, at)
        if scope is None:
            return True
        kind, tags = ("", ()) if device is None else self._kind_and_tags(device)
        return scope.covers({"device_id": device or "", "site": site or "", "kind": kind}, tags)

    def changes(self, customer: str, since: datetime, until: datetime) -> list[datetime]:
        """When a contract began or ended: after `since`, no later than `until`, in order."""
        ends = (at for one in self._contracts().get(customer, ()) for at in (one.valid_from, one.valid_to))
        return sorted({at for at in ends if at is not None and since < at <= until})

    def _contract_at(self, customer: str, at: datetime) -> Contract | None:
        for one in self._contracts().get(customer, ()):  # asked for each ticket of a sweep
            if one.holds_at(at):
                return one
        return None

    def _agreed(self, plan: str, sla: str | None, support_level: str | None) -> Terms:
        """The contract's own, else what its model has for all; a model without hours of its own lends the first that a
        contract of it may have."""
        model = self._models.get(plan)
        if model is not None:
            sla = sla or model.sla
            support_level = support_level or next(iter(model.may_carry_support_levels), None)
        if sla is None or support_level is None:
            return Terms(plan)
        if sla not in self._book.slas or support_level not in self._book.support_levels:
            logger.error(
                "a contract names what sla.yaml has no longer, and nothing is promised to its new tickets: "
                "plan=%s sla=%s support_level=%s",
                plan,
                sla,
                support_level,
            )
            return Terms(plan)
        return Terms.agreed(self._book, plan=plan, sla=sla, support_level=support_level)
