"""Printers that nobody has told of: looked for once a day in the networks that `agent.toml` names, and proposed."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from ipaddress import IPv4Network
from typing import Self

from agent.config import DEFAULT_SNMP_PORT
from agent.printers.discovery import Found, discover, parse_networks
from agent.printers.errors import NotPossible
from agent.printers.targets import DEFAULT_COMMUNITY, Secret, SnmpAccess
from agent.probes.base import DAILY_INTERVAL_SECONDS, Metric, MetricType, Occurrence, ProbeUnavailable, Sample
from agent.settings import Section
from protocol.wire import EventType, SnmpVersion

MAX_TOLD = 100


class DiscoveryProbe:
    """What it finds is proposed to a technician, not read: `printer_found`, at most once a day for each printer."""

    name = "printer_discovery"
    isolated = True
    interval_seconds = DAILY_INTERVAL_SECONDS
    timeout_seconds = 900.0
    metrics = (
        Metric("printer_discovery_found", MetricType.GAUGE, "printers", "Printers in the networks that are looked at"),
    )

    def __init__(
        self,
        networks: Sequence[IPv4Network] = (),
        community: str = DEFAULT_COMMUNITY,
        port: int = DEFAULT_SNMP_PORT,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        self._networks = networks
        self._access = SnmpAccess(SnmpVersion.V2C, port, Secret(community))
        self._interfaces = interfaces
        self._found: list[Found] = []

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        networks: tuple[IPv4Network, ...] = ()
        try:
            networks = parse_networks(section.texts("networks"))
        except NotPossible as error:
            section.refuse(str(error), "networks")
        return cls(networks, section.text("community") or DEFAULT_COMMUNITY)

    def sample(self) -> list[Sample]:
        if not self._networks:
            raise ProbeUnavailable("no networks are named in agent.toml, [printer_discovery]")
        try:
            self._found = asyncio.run(discover(self._networks, self._access, interfaces=self._interfaces))
        except NotPossible as error:
            raise ProbeUnavailable(str(error)) from error
        return [Sample("printer_discovery_found", len(self._found))]

    def take_occurrences(self) -> list[Occurrence]:
        taken, self._found = self._found[:MAX_TOLD], []
        return [
            Occurrence(EventType.PRINTER_FOUND, {name: one for name, one in asdict(found).items() if one is not None})
            for found in taken
        ]
