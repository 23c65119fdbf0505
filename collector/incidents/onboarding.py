"""Taking a customer on: the steps that its service model names become one ticket with a checklist when the contract has
begun. It is asked for, since customers of long standing are entered, too. Where the model says so it comes by itself
for those who are new: whose first contract begins no earlier than they were entered."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock
from collector.contracts import ServiceModels, model_named
from collector.contracts.service_models import Seen
from collector.db import audit
from collector.desk import checklists, tickets
from collector.desk import onboarding as store
from collector.desk.events import SYSTEM
from collector.desk.maintenance import Step
from collector.desk.onboarding import Onboarding
from collector.fleet.contracts import contract_at, get_contract
from collector.incidents.maintenance import Transactions
from collector.incidents.onboarding_seen import seen_done
from protocol.errors import PermanentError

logger = logging.getLogger(__name__)

AT_ONCE = 200
KNOWN = frozenset(Seen)  # a checklist may be of a later version, before which this one was put back
LATELY = timedelta(days=7)  # so that a model that is changed to do it by itself takes nobody of long standing on


class OnboardingError(PermanentError):
    """A customer cannot be taken on like that; the message says why."""


async def onboard(
    connection: AsyncConnection, models: ServiceModels, contract: int, *, actor: str, now: datetime
) -> Onboarding:
    """Has the customer of a contract taken on under its model: now, or when the contract begins.

    Raises NotFoundError, UnknownPlanError, or OnboardingError: also if that was asked for before."""
    found = await get_contract(connection, contract)
    model = model_named(models, found.plan)
    if not model.onboarding:
        raise OnboardingError(f"plan {model.name} names no steps of taking a customer on: see 'onboarding' in its file")
    if found.valid_to is not None and found.valid_to <= max(now, found.valid_from):
        held = await contract_at(connection, found.customer, now)
        told = "there is nobody to take on" if held is None else f"it is contract {held.id} that holds now"
        raise OnboardingError(f"contract {contract} is over: {told}")
    wanted = Onboarding(
        found.customer, model.name, max(found.valid_from, now), None, f"{model.title}: in gebruik nemen / onboarding"
    )
    steps = [Step(one.nl, one.en, seen=one.seen) for one in model.onboarding]
    made, is_new = await store.add(connection, wanted, steps, author=actor)
    if not is_new:
        told = "when its contract begins" if made.ticket is None else f"by ticket {made.ticket}"
        raise OnboardingError(f"customer {made.customer} is taken on under plan {model.name} already, {told}")
    data = {"customer": made.customer, "plan": made.model, "from": made.begins_at.isoformat()}
    await audit.record(connection, actor=actor, action="contracts.onboard", subject=str(contract), now=now, data=data)
    return await _begin(connection, made, now) if made.begins_at <= now else made


@dataclass(frozen=True, slots=True)
class Onboardings:
    """Opens the tickets of those whose contract has begun, and ticks what it sees done. `turn` is called every minute
    or so."""

    database: Transactions
    models: ServiceModels
    clock: Clock

    async def turn(self) -> None:
        now = self.clock()
        await self._take_on_by_itself(now)
        async with self.database.connect() as connection:
            waiting = await store.due(connection, now, AT_ONCE)
        for one in waiting:
            async with self.database.begin() as connection:
                contract = await contract_at(connection, one.customer, now)
                if contract is not None and contract.plan == one.model:
                    await _begin(connection, one, now)
                else:  # it was changed or ended before it began
                    await store.call_off(connection, one)
                    logger.info("onboarding called off: customer=%s plan=%s", one.customer, one.model)
        await self._tick_what_is_seen(now)

    async def _take_on_by_itself(self, now: datetime) -> None:
        plans = [name for name, model in self.models.items() if model.onboards_by_itself]
        if not plans:
            return
        async with self.database.connect() as connection:
            new = await store.begun_with(connection, plans, now - LATELY, now, AT_ONCE)
        for contract in new:
            async with self.database.begin() as connection:
                try:
                    await onboard(connection, self.models, contract, actor=SYSTEM, now=now)
                except OnboardingError as error:  # somebody asked for it, or ended the contract, in between
                    logger.info("not taken on: contract=%d reason=%s", contract, error)

    async def _tick_what_is_seen(self, now: datetime) -> None:
        wanted: dict[Seen, list[Onboarding]] = defaultdict(list)
        async with self.database.connect() as connection:
            in_hand = await store.in_hand(connection)
            for one, steps in in_hand:
                for seen in KNOWN.intersection(step.seen for _, step in steps):
                    wanted[seen].append(one)
            found = await seen_done(connection, wanted, now)
        for one, steps in in_hand:
            for item, step in steps:
                evidence = found[Seen(step.seen)].get((one.customer, one.model)) if step.seen in KNOWN else None
                if one.ticket is not None and evidence is not None:
                    async with self.database.begin() as connection:
                        await checklists.tick_seen(connection, one.ticket, item, evidence, now=now)


async def _begin(connection: AsyncConnection, wanted: Onboarding, now: datetime) -> Onboarding:
    number = await store.open_ticket(connection, wanted, now)
    if number is not None:
        since = f"{wanted.begins_at:%Y-%m-%d %H:%M} UTC"
        await tickets.note(connection, number, now, f"taken on under plan {wanted.model} since {since}")
    return Onboarding(wanted.customer, wanted.model, wanted.begins_at, number, wanted.title)
