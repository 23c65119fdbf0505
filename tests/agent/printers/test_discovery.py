"""Printers are found by a sweep and by what they announce; the networks are loopback's."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from agent.cli import cli
from agent.isolated import IsolatedProbe
from agent.printers import discovery, mibs
from agent.printers.discovery import Found, discover, look_at, parse_networks, sweep
from agent.printers.errors import NotPossible
from agent.printers.looking import DiscoveryProbe
from agent.printers.targets import Secret, SnmpAccess
from agent.probes.base import Occurrence, ProbeUnavailable, Sample
from agent.settings import FILE_NAME, Section, SettingsError
from bench._snmp_device import Device, Objects, load_recording, octets, parse_oid
from protocol.wire import EventType, SnmpVersion
from tests.agent.conftest import AGENT
from tests.agent.printers.snmpsim import RECORDINGS
from tests.agent.printers.test_ipp import RECORDED, http_answer, serving

HP = Objects(load_recording(RECORDINGS / "jetdirect_m252dw.snmprec"))
ROUTER = Objects({parse_oid("1.3.6.1.2.1.1.1.0"): octets(b"A router")})
EPSON = http_answer((RECORDED / "get-printer-attributes-epsonxp6000.bin").read_bytes())


@pytest.fixture
def announced() -> Iterator[None]:
    """An IPP printer on this machine that says so, to this machine alone; and one with a path that is none."""
    with serving(EPSON) as port:
        zeroconf = Zeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
        info = ServiceInfo(
            "_ipp._tcp.local.",
            "Epson at reception._ipp._tcp.local.",
            addresses=[socket.inet_aton("127.0.0.7")],
            port=port,
            properties={"rp": "ipp/print", "ty": "EPSON XP-6000"},
        )
        odd = ServiceInfo(
            "_ipp._tcp.local.",
            "Odd one._ipp._tcp.local.",
            addresses=[socket.inet_aton("127.0.0.6")],
            port=port,
            properties={"rp": b"dr\xfcck er", "ty": "Odd"},
        )
        for one in (odd, info):
            zeroconf.register_service(one)
        yield
        for one in (odd, info):
            zeroconf.unregister_service(one)
        zeroconf.close()


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [AGENT, "printers", "discover", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def run_here(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["printers", "discover", *arguments])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take long to answer; where nobody listens, that is known at once."""
    monkeypatch.setattr(discovery, "TIMEOUT_SECONDS", 60.0)


@pytest.mark.usefixtures("announced", "patient")
def test_what_answers_and_what_announces_itself_is_found() -> None:
    with Device(lambda request: [HP.answer(request)]) as device:
        done = run_here("127.0.0.0/29", "--port", str(device.port), "--interface", "127.0.0.1", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    model = "HP Color LaserJet Pro M252dw"
    assert found == [
        {"address": "127.0.0.1", "serial": "VNB3J99999", "model": model, "snmp": True, "ipp": False},
        {"address": "127.0.0.7", "serial": None, "model": "EPSON XP-6000", "snmp": False, "ipp": True},
    ]


@pytest.mark.usefixtures("announced")
async def test_without_snmp_there_is_what_announces_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "gufo.snmp", None)
    networks, access = parse_networks(["127.0.0.0/29"]), SnmpAccess(SnmpVersion.V2C, 161)
    assert await discover(networks, access, interfaces=["127.0.0.1"]) == [
        Found("127.0.0.7", model="EPSON XP-6000", ipp=True)
    ]
    assert "no sweep" in caplog.text
    with pytest.raises(NotPossible, match=r"install quarkpulse\[printers\]"):
        await discover(networks, access, interfaces=())


@pytest.mark.usefixtures("patient")
def test_what_is_no_printer_is_not_found() -> None:
    with Device(lambda request: [ROUTER.answer(request)]) as device:
        done = run_here("127.0.0.1/32", "--port", str(device.port), "--no-mdns", "--json")
        assert len(device.requests) <= 5
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


@pytest.mark.usefixtures("patient")
async def test_a_printer_that_is_not_its_devices_first_is_found() -> None:
    values = {
        (*parse_oid(mibs.SYS_DESCR), 0): octets(b"A box"),
        (*parse_oid(mibs.HR_PRINTER_ERRORS), 3): octets(b"\x00"),
        (*parse_oid(mibs.HR_DEVICE_DESCR), 3): octets(b"A printer"),
        (*parse_oid(mibs.GENERAL_SERIAL), 3): octets(b"S123456"),
    }
    box = Objects(values)
    with Device(lambda request: [box.answer(request)]) as device:
        access = SnmpAccess(SnmpVersion.V2C, device.port, Secret("public"))
        assert await look_at("127.0.0.1", access) == Found("127.0.0.1", "S123456", "A printer", snmp=True)


@pytest.mark.parametrize("network", ["10.0.0.0/8", "192.168.1.0/33", "reception", "fe80::/64"])
def test_what_is_no_network_to_look_through_is_refused(network: str) -> None:
    done = run(network)
    assert done.returncode == 1
    assert network.partition("/")[0] in done.stderr


@pytest.mark.usefixtures("patient")
async def test_no_more_is_sent_than_a_network_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred addresses at a thousand a second take a tenth of one."""
    monkeypatch.setattr(discovery, "REQUESTS_PER_SECOND", 1_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with Device(lambda request: [HP.answer(request)]) as device:
        access = SnmpAccess(SnmpVersion.V2C, device.port, Secret("public"))
        found = await sweep(parse_networks(["127.0.0.0/25"]), access)
    assert found == [Found("127.0.0.1", "VNB3J99999", "HP Color LaserJet Pro M252dw", snmp=True)]
    assert loop.time() - began >= 0.12


@pytest.mark.usefixtures("patient")
def test_the_probe_proposes_what_it_finds() -> None:
    with Device(lambda request: [HP.answer(request)]) as device:
        probe = DiscoveryProbe(parse_networks(["127.0.0.1/32"]), "public", device.port, interfaces=())
        assert probe.sample() == [Sample("printer_discovery_found", 1)]
    told = {"address": "127.0.0.1", "serial": "VNB3J99999", "model": "HP Color LaserJet Pro M252dw"}
    assert probe.take_occurrences() == [Occurrence(EventType.PRINTER_FOUND, {**told, "snmp": True, "ipp": False})]
    assert probe.take_occurrences() == []


def test_it_looks_at_nothing_unless_told() -> None:
    with pytest.raises(ProbeUnavailable, match=r"no networks are named in agent\.toml"):
        DiscoveryProbe.from_settings(Section({}, "printer_discovery")).sample()
    with pytest.raises(NotPossible, match="too large"):
        parse_networks(["10.0.0.0/19"])


def test_a_network_that_is_none_is_named_with_its_place() -> None:
    section = Section({"networks": ["10.0.0.0/8"]}, f"{FILE_NAME}: printer_discovery")
    DiscoveryProbe.from_settings(section)
    with pytest.raises(SettingsError, match=r"printer_discovery\.networks: 10\.0\.0\.0/8 is too large"):
        section.finish()


def test_events_of_an_isolated_probe_come_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_probe.py").write_text(
        "from agent.probes.base import Occurrence\n"
        "from protocol.wire import EventType\n"
        "class Telling:\n"
        "    name = 'telling'\n"
        "    def sample(self): return []\n"
        "    def take_occurrences(self): return [Occurrence(EventType.PRINTER_FOUND, {'address': 'here'})]\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = IsolatedProbe("telling", "their_probe:Telling", tmp_path, interval_seconds=3600.0, timeout_seconds=60.0)
    assert probe.sample() == []
    assert probe.take_occurrences() == [Occurrence(EventType.PRINTER_FOUND, {"address": "here"})]
    assert probe.take_occurrences() == []
