"""The fleet as the database has it, in memory for all who ask at every push and every evaluation."""

import logging
from collections.abc import Mapping
from datetime import datetime

from collector.alerting.pack import RulePack
from collector.alerting.thresholds import ThresholdReader, devices_of
from collector.api.agents import configure, member_of
from collector.api.auth import ReadAccess
from collector.clock import Clock, to_milliseconds
from collector.config import Settings
from collector.contracts import ServiceModel, ServiceModels
from collector.contracts.scope import ContractScope
from collector.db.database import Database
from collector.db.revisions import Topic, revisions
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import FleetDirectory, Member, load_directory
from collector.fleet.thresholds import list_thresholds
from collector.fleet.tokens import Token
from collector.ingest.native import Sender

logger = logging.getLogger(__name__)

IN_MEMORY = (Topic.FLEET, Topic.THRESHOLDS)  # what is taken in anew when another process changed it


class Fleet:
    """Devices, contracts and tokens, and thresholds by the rules that count. Empty until `reload`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        models: ServiceModels,
        thresholds: ThresholdReader,
        clock: Clock,
        *,
        pack: RulePack,
    ) -> None:
        self.directory = FleetDirectory()
        self.models = models
        self._settings = settings
        self._database = database
        self._thresholds = thresholds
        self._pack = pack
        self._clock = clock
        self._senders: dict[str, Sender] = {}
        self._seen_revisions: dict[str, int] = {}
        self._told_without_contract: frozenset[str] = frozenset()
        self._told_of_other_plans: Mapping[str, str] = {}

    async def notice_changes(self) -> None:
        """Takes in what other processes changed in the database."""
        async with self._database.connect() as connection:
            seen = await revisions(connection, IN_MEMORY)
        if seen != self._seen_revisions:
            await self.reload()

    async def use_rules(self, pack: RulePack) -> None:
        """Goes on with the thresholds that other rules ask for."""
        self._pack = pack
        await self.reload()

    async def reload(self) -> None:
        """All of it as the database has it now."""
        async with self._database.connect() as connection:
            self._seen_revisions = await revisions(connection, IN_MEMORY)
            self.directory = await load_directory(connection)
            overrides = await list_thresholds(connection)
        self._senders = {}
        self._thresholds.update(
            self._pack.thresholds,
            self._pack.rules.threshold_names,
            devices_of(self.directory),
            overrides,
            self.directory.contracts,
        )

    # Who asks

    def authenticate(self, secret: str | None) -> Sender:
        """Who pushes. Raises Refused."""
        return self.sender_of(member_of(secret, self.directory))

    def sender_of(self, member: Member) -> Sender:
        """Whose push it is, once the member has been authenticated."""
        device = member.target.device_id
        sender = self._senders.get(device)
        if sender is None:
            printers = {printer.id: printer.target for printer in self.directory.printers_of(device)}
            former = {
                printer: (found.target, to_milliseconds(until))
                for printer, (found, until) in self.directory.former_printers_of(device).items()
            }
            etag = configure(member, self.directory, self._settings.push_interval_seconds).etag
            sender = self._senders[device] = Sender(member.target, printers, etag, former)
        return sender

    def access_token(self, secret: str) -> Token | None:
        return self.directory.access(secret, self._clock())

    @property
    def read_access(self) -> ReadAccess:
        settings = self._settings
        only_loopback = settings.listen_address.is_loopback and not settings.trusted_proxy
        return ReadAccess(self.access_token, only_loopback=only_loopback)

    # What is agreed and known

    def model_of(self, customer: str, at: datetime) -> ServiceModel | None:
        plan = self.directory.plan_at(customer, at)
        return None if plan is None else self.models.get(plan)

    def scope_of(self, customer: str, at: datetime) -> ContractScope | None:
        return self.directory.scope_at(customer, at)

    def kind_and_tags_of(self, device: str) -> tuple[str, frozenset[str]]:
        return self.directory.kind_and_tags(device)

    def tags_of(self, device: str) -> frozenset[str]:
        return self.directory.tags_of(device)

    def is_ended(self, device: str) -> bool:
        member = self.directory.members.get(device)
        return member is not None and member.status is DeviceStatus.ENDED

    def without_contract(self) -> int:
        """How many customers have devices and no contract, or one of a plan that was in no file when this process
        started; the log names those that are new among them."""
        now = self._clock()
        found = frozenset(self.directory.without_contract(now))
        for customer in sorted(found - self._told_without_contract):
            logger.warning(
                "devices are looked after without a contract, and open no tickets: customer=%s; give it one with: "
                "contracts add %s --plan PLAN, or end it with: customers end %s",
                customer,
                customer,
                customer,
            )
        self._told_without_contract = found
        of_other_plans = self.directory.of_other_plans(now, self.models)
        for customer in of_other_plans.keys() - self._told_of_other_plans.keys():
            logger.error(
                "a contract is of a plan that service_models.yaml had not when serve started, and devices under it "
                "open no tickets: customer=%s plan=%s; check the file, and restart serve",
                customer,
                of_other_plans[customer],
            )
        self._told_of_other_plans = of_other_plans
        return len(found) + len(of_other_plans)
