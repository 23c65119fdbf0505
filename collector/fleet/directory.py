"""The fleet in memory, for `serve`: who a secret belongs to, and which plan holds. Loaded whole, swapped whole."""

from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import DEFAULT_OFFICE_HOURS, OfficeHours
from collector.contracts.scope import ContractScope
from collector.db.tables import customers, devices, printers, tokens
from collector.fleet.agent_settings import AgentSettings, load_agent_settings
from collector.fleet.contracts import Contract, list_contracts
from collector.fleet.customers import list_sites
from collector.fleet.devices import DeviceStatus
from collector.fleet.names import COLLECTOR
from collector.fleet.policies import customer_policies
from collector.fleet.policy import Policy, policy_of
from collector.fleet.presence import Presence, State
from collector.fleet.printers.asking import NOT_ASKED, Asking, stored_asking
from collector.fleet.printers.readers import load_former
from collector.fleet.privacy import Privacy, load_privacy
from collector.fleet.roles import Role
from collector.fleet.secrets import hash_secret
from collector.fleet.tags import load_tags
from collector.fleet.tokens import SELECT_TOKEN, Token, to_token
from collector.series.labels import Target
from protocol.wire import Kind

MAX_MODEL_CHARS = 200

SiteKey = tuple[str, str]  # customer and site


@dataclass(frozen=True, slots=True)
class Member:
    """A device as `serve` needs it."""

    target: Target
    status: DeviceStatus
    hostname: str
    os: str
    agent_version: str
    read_by: str | None  # printers: the device whose agent reads it
    address: str | None  # printers: where it is read
    enrolled_at: datetime
    last_seen_at: datetime | None  # as of loading; the head knows better
    goodbye_at: datetime | None
    goodbye_reason: str | None
    policy: Policy = Policy.ALWAYS
    hours: OfficeHours = DEFAULT_OFFICE_HOURS  # of its site
    machine: str = ""  # the same for the agents of one machine; empty: not known
    presence: State | None = None  # as of loading; None: never judged
    on_battery_since: datetime | None = None
    agent_crashes: int = 0
    machine_cuts: int = 0
    model: str = ""
    has_agent: bool = False
    asking: Asking = NOT_ASKED  # printers: how it is asked
    preferred_reader: str | None = None  # printers: the device that a person named

    @property
    def id(self) -> str:
        return self.target.device_id

    @property
    def is_printer(self) -> bool:
        return self.target.kind == Kind.PRINTER

    @property
    def site_key(self) -> SiteKey:
        return self.target.customer, self.target.site


@dataclass(frozen=True, slots=True)
class FleetDirectory:
    """A picture of the fleet at one moment; never changed. `load_directory` makes it. The collector is not in it."""

    members: Mapping[str, Member] = field(default_factory=dict)  # by device id
    _by_secret: Mapping[str, Member] = field(default_factory=dict)  # by the secret's hash
    _tokens: Mapping[str, Token] = field(default_factory=dict)  # access tokens, by the secret's hash
    _printers: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)  # by the device that reads them
    _contracts: Mapping[str, tuple[Contract, ...]] = field(default_factory=dict)  # by customer
    _tags: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by device id
    sites: frozenset[SiteKey] = frozenset()
    # By the device that read them before: printers, and until when.
    _former: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    agent_settings: AgentSettings = field(default_factory=AgentSettings)
    _privacy: Mapping[str, Privacy] = field(default_factory=dict)  # by customer

    def authenticate(self, secret: str) -> Member | None:
        """The device whose secret this is, whatever its status; None if it is nobody's."""
        return self._by_secret.get(hash_secret(secret))

    def access(self, secret: str, now: datetime) -> Token | None:
        """The access token whose secret this is, if it may be used now."""
        token = self._tokens.get(hash_secret(secret))
        return token if token is not None and token.is_usable(now) else None

    def printers_of(self, device: str) -> tuple[Member, ...]:
        """The printers that this device's agent reads, in the order of their ids."""
        return self._printers.get(device, ())

    def former_printers_of(self, device: str) -> Mapping[str, tuple[Member, datetime]]:
        """The printers that this device's agent read lately and reads no more, and until when it did."""
        former = self._former.get(device, {})
        members = {printer: self.members.get(printer) for printer in former}
        return {
            printer: (member, former[printer])
            for printer, member in members.items()
            if member is not None and member.status is DeviceStatus.ACTIVE and member.read_by != device
        }

    def privacy_of(self, customer: str) -> Privacy:
        """What the customer allows inventories to hold beside counts."""
        return self._privacy.get(customer, Privacy())

    def tags_of(self, device: str) -> frozenset[str]:
        """The words that people gave a device."""
        return self._tags.get(device, frozenset())

    def kind_and_tags(self, device: str) -> tuple[str, frozenset[str]]:
        """Of a device that is not known: no kind, no tags."""
        member = self.members.get(device)
        return "" if member is None else member.target.kind, self.tags_of(device)

    def plan_at(self, customer: str, at: datetime) -> str | None:
        """The name of the plan that holds for `customer` at that time."""
        contract = self.contract_at(customer, at)
        return None if contract is None else contract.plan

    def contract_at(self, customer: str, at: datetime) -> Contract | None:
        """What was agreed with `customer` for that time."""
        return next((one for one in self._contracts.get(customer, ()) if one.holds_at(at)), None)

    def scope_at(self, customer: str, at: datetime) -> ContractScope | None:
        """What the contract covers that holds then; None: all that the customer has, or there is no contract."""
        contract = self.contract_at(customer, at)
        return None if contract is None else contract.agreement.scope

    def without_contract(self, at: datetime) -> Sequence[str]:
        """The customers whose devices are looked after although no contract holds for them."""
        return sorted(one for one in self._with_devices() if self.contract_at(one, at) is None)

    def of_other_plans(self, at: datetime, known: Container[str]) -> Mapping[str, str]:
        """The customers whose devices are looked after under a plan that is none of those known, with that plan."""
        plans = {one: self.plan_at(one, at) for one in sorted(self._with_devices())}
        return {customer: plan for customer, plan in plans.items() if plan is not None and plan not in known}

    def _with_devices(self) -> Set[str]:
        return {one.target.customer for one in self.members.values() if one.status is DeviceStatus.ACTIVE}

    @property
    def contracts(self) -> Mapping[str, tuple[Contract, ...]]:
        """Every contract by customer, past ones and those to come among them."""
        return self._contracts

    @property
    def targets(self) -> list[Target]:
        """What is looked after."""
        return [member.target for member in self.members.values() if member.status is not DeviceStatus.ENDED]


async def load_directory(connection: AsyncConnection) -> FleetDirectory:
    ended_customers = set(await connection.scalars(select(customers.c.id).where(customers.c.ended_at.is_not(None))))
    hours = {(site.customer, site.id): site.hours for site in await list_sites(connection)}
    policies = await customer_policies(connection)
    rows = await connection.execute(_DEVICES.where(devices.c.id != COLLECTOR).order_by(devices.c.id))
    members: dict[str, Member] = {}
    by_secret: dict[str, Member] = {}
    read: dict[str, list[Member]] = {}
    for row in rows:
        if row.ended_at is not None or row.customer in ended_customers:
            status = DeviceStatus.ENDED
        else:
            status = DeviceStatus.ACTIVE if row.revoked_at is None else DeviceStatus.REVOKED
        member = Member(
            Target(row.id, row.customer, row.site, row.kind),
            status,
            row.hostname,
            row.os,
            row.agent_version,
            row.read_by,
            row.address,
            row.enrolled_at,
            row.last_seen_at,
            row.goodbye_at,
            row.goodbye_reason,
            policy=policy_of(row.policy, policies.get((row.customer, row.kind)), row.kind),
            hours=hours.get((row.customer, row.site), DEFAULT_OFFICE_HOURS),
            # Imaged machines share the id, their host names tell them apart.
            machine=f"{row.machine_id} {row.hostname}" if row.machine_id else "",
            presence=_state(row.presence, row.presence_since, row.presence_reason, row.presence_policy),
            on_battery_since=row.on_battery_since,
            agent_crashes=row.agent_crashes,
            machine_cuts=row.machine_cuts,
            model=(row.model if isinstance(row.model, str) else "")[:MAX_MODEL_CHARS],
            has_agent=row.secret_hash is not None,
            asking=_asking_of(row.snmp, row.ipp, row.interval_seconds),
            preferred_reader=row.preferred_reader,
        )
        members[row.id] = member
        if row.secret_hash is not None:
            by_secret[row.secret_hash] = member
        if row.read_by is not None and status is DeviceStatus.ACTIVE:
            read.setdefault(row.read_by, []).append(member)
    contracts: dict[str, list[Contract]] = {}
    for contract in await list_contracts(connection):
        contracts.setdefault(contract.customer, []).append(contract)
    access = await connection.execute(
        SELECT_TOKEN.add_columns(tokens.c.secret_hash).where(
            tokens.c.role != Role.ENROLL, tokens.c.revoked_at.is_(None)
        )
    )
    return FleetDirectory(
        members,
        by_secret,
        {row.secret_hash: to_token(row[:-1]) for row in access},
        {reader: tuple(found) for reader, found in read.items()},
        {customer: tuple(held) for customer, held in contracts.items()},
        await load_tags(connection),
        frozenset(hours),
        await load_former(connection),
        await load_agent_settings(connection),
        await load_privacy(connection),
    )


_DEVICES = select(
    devices.c.id,
    devices.c.customer,
    devices.c.site,
    devices.c.kind,
    devices.c.hostname,
    devices.c.os,
    devices.c.agent_version,
    devices.c.secret_hash,
    devices.c.read_by,
    devices.c.address,
    devices.c.enrolled_at,
    devices.c.revoked_at,
    devices.c.ended_at,
    devices.c.last_seen_at,
    devices.c.goodbye_at,
    devices.c.goodbye_reason,
    devices.c.machine_id,
    devices.c.policy,
    devices.c.presence,
    devices.c.presence_since,
    devices.c.presence_reason,
    devices.c.presence_policy,
    devices.c.on_battery_since,
    devices.c.agent_crashes,
    devices.c.machine_cuts,
    devices.c.inventory["model"].as_string().label("model"),
    printers.c.snmp,
    printers.c.ipp,
    printers.c.interval_seconds,
    printers.c.preferred_reader,
).outerjoin(printers, printers.c.device == devices.c.id)


def _asking_of(snmp: object, ipp: object, interval_seconds: float | None) -> Asking:
    return NOT_ASKED if interval_seconds is None else stored_asking(snmp, ipp, interval_seconds)


def _state(presence: str | None, since: datetime, reason: str | None, policy: str) -> State | None:
    return None if presence is None else State(Presence(presence), since, reason or "", Policy(policy))
