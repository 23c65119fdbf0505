"""`quarkpulse-agent printers`: look at printers by hand."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import click

from agent.config import DEFAULT_IPP_PORT, DEFAULT_SNMP_PORT, ConfigError, Fields, parse_ipp, parse_snmp
from agent.printers import mibs
from agent.printers.asking import ask
from agent.printers.discovery import discover, parse_networks
from agent.printers.errors import NotPossible
from agent.printers.metrics import share_of
from agent.printers.reading import Fill, Reading, Supply, Tray, to_json
from agent.printers.targets import (
    DEFAULT_COMMUNITY,
    IppAccess,
    SnmpAccess,
    make_ipp_access,
    make_snmp_access,
)
from protocol import wire

AUTH_VARIABLE = "QUARKPULSE_SNMP_AUTH_PASSWORD"
PRIVACY_VARIABLE = "QUARKPULSE_SNMP_PRIVACY_PASSWORD"
VERSION_CHOICES = click.Choice([one.value for one in wire.SnmpVersion])

FULL: Mapping[Fill, str] = {Fill.EMPTY: "full", Fill.LOW: "almost full", Fill.SOME_LEFT: "some room left"}

F = TypeVar("F", bound=Callable[..., None])


def snmp_options(command: F) -> F:
    """How to ask by SNMP. Passwords come by environment or file: the command line can be read by everybody."""
    for option in reversed(
        (
            click.option("--port", default=DEFAULT_SNMP_PORT, show_default=True, help="UDP port of SNMP."),
            click.option(
                "--community",
                default=DEFAULT_COMMUNITY,
                show_default=True,
                envvar="QUARKPULSE_SNMP_COMMUNITY",
                help="Community of version 1 and 2c (or QUARKPULSE_SNMP_COMMUNITY).",
            ),
            click.option(
                "--version", type=VERSION_CHOICES, default="2c", show_default=True, help="SNMP version; --user means 3."
            ),
            click.option("--user", help="User of version 3."),
            click.option(
                "--auth",
                type=click.Choice([one.value for one in wire.SnmpAuth]),
                help="How the user proves who it is (version 3).",
            ),
            click.option(
                "--auth-password-file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help=f"File with the password for it (or {AUTH_VARIABLE}).",
            ),
            click.option(
                "--privacy",
                type=click.Choice([one.value for one in wire.SnmpPrivacy]),
                help="How it is encrypted (version 3).",
            ),
            click.option(
                "--privacy-password-file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help=f"File with the password for it (or {PRIVACY_VARIABLE}).",
            ),
        )
    ):
        command = option(command)
    return command


@click.group("printers")
def printers() -> None:
    """Look at the printers around this machine. E.g. `quarkpulse-agent printers read 192.168.1.40`."""


@printers.command("read")
@click.argument("host")
@snmp_options
@click.option("--ipp", "ipp_address", help="Ask by IPP, too, e.g. ipp://192.168.1.40:631/ipp/print.")
@click.option("--no-snmp", is_flag=True, help="Ask by IPP alone; without --ipp at its usual place.")
@click.option("--json", "as_json", is_flag=True, help="Print the reading as a JSON object.")
def printers_read(host: str, ipp_address: str | None, *, no_snmp: bool, as_json: bool, **snmp: object) -> None:
    """Read a printer now and print it. E.g. `quarkpulse-agent printers read 192.168.1.40 --community office --json`.

    Exit code: 0 read, 1 not read, or only in part (what is known is printed), 2 wrong usage.
    """
    access = None if no_snmp else make_access(snmp)
    ipp_host, ipp = (
        make_ipp(ipp_address) if ipp_address else (host, make_ipp_access(parse_ipp(Fields({}))) if no_snmp else None)
    )
    reading, troubles = asyncio.run(ask(host, access, ipp, ipp_host))
    if reading is not None:
        click.echo(json.dumps(to_json(reading), ensure_ascii=False, indent=1) if as_json else to_text(reading))
    for trouble in troubles:
        click.echo(f"{host}: {trouble}", err=True)
    sys.exit(1 if troubles else 0)


@printers.command("discover")
@click.argument("networks", nargs=-1, required=True, metavar="NET...")
@snmp_options
@click.option("--no-mdns", is_flag=True, help="Do not listen to what printers announce.")
@click.option("--interface", "interfaces", multiple=True, help="Listen there alone: an address of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as a JSON array.")
def printers_discover(
    networks: tuple[str, ...], interfaces: tuple[str, ...], *, no_mdns: bool, as_json: bool, **snmp: object
) -> None:
    """Look for printers. E.g. `quarkpulse-agent printers discover 192.168.1.0/24 --json`; nothing is enrolled.

    Every address is asked once, at most 100 a second; networks up to a /20. Exit code: 0 looked through,
    whatever was found, 1 not possible, 2 wrong usage.
    """
    access = make_access(snmp)
    listen_on = () if no_mdns else interfaces or None
    found = asyncio.run(discover(parse_networks(networks), access, interfaces=listen_on))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=1))
        return
    for one in found:
        ways = " ".join(way for way, has in (("snmp", one.snmp), ("ipp", one.ipp)) if has)
        click.echo(f"{one.address:<15}  {ways:<8}  {one.serial or '-':<20}  {one.model or '-'}")


def make_access(options: Mapping[str, object]) -> SnmpAccess:
    """Raises click.UsageError."""
    user = options["user"]
    content = {
        "version": "3" if user else options["version"],
        "port": options["port"],
        "community": options["community"],
        "user": user,
        "auth": options["auth"],
        "auth_password": read_password(options["auth_password_file"], AUTH_VARIABLE),
        "privacy": options["privacy"],
        "privacy_password": read_password(options["privacy_password_file"], PRIVACY_VARIABLE),
    }
    try:
        return make_snmp_access(parse_snmp(Fields(content)))
    except (ConfigError, NotPossible) as error:
        raise click.UsageError(str(error)) from error


def read_password(path: object, variable: str) -> str | None:
    """Of the file if one is named, else of the environment. Raises click.UsageError."""
    if not isinstance(path, Path):
        return os.environ.get(variable) or None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {path} ({error})") from error


def make_ipp(address: str) -> tuple[str, IppAccess]:
    """Host and access of an `ipp://` or `ipps://` address. Raises click.UsageError."""
    try:
        parts = urlsplit(address)
        port = parts.port or DEFAULT_IPP_PORT
    except ValueError as error:
        raise click.UsageError(f"--ipp: {error}") from error
    if parts.scheme not in ("ipp", "ipps") or not parts.hostname:
        raise click.UsageError(f"--ipp must look like ipp://192.168.1.40:631/ipp/print, got {address!r}")
    content = {"port": port, "path": parts.path or None, "tls": parts.scheme == "ipps"}
    try:
        return parts.hostname, make_ipp_access(parse_ipp(Fields(content)))
    except (ConfigError, NotPossible) as error:
        raise click.UsageError(f"--ipp: {error}") from error


def to_text(reading: Reading) -> str:
    """For people: a line for each thing that is told."""
    told = {
        "model": reading.model,
        "serial": reading.serial,
        "firmware": reading.firmware,
        "name": reading.name,
        "location": reading.location,
        "status": f"{reading.status} (asleep)" if reading.is_asleep else reading.status,
        "errors": ", ".join(reading.error_states or ()) or None,
        "pages" if mibs.is_of_pages(reading.pages_unit) else "counter": None
        if reading.pages is None
        else f"{reading.pages} {reading.pages_unit or ''}".strip(),
        **{f"pages, {one.kind}": str(one.pages) for one in reading.page_counts},
        "jobs waiting": None if reading.queued_jobs is None else str(reading.queued_jobs),
        "display": " | ".join(reading.console) or None,
    }
    lines = [f"{name:<14} {value}" for name, value in told.items() if value is not None]
    for kind, rows in (("supply", reading.supplies), ("tray", reading.trays)):
        for one in rows:
            name = one.description if isinstance(one, Supply) else one.name or one.description
            lines.append(f"{kind + ' ' + one.index:<14} {name or '-'}: {describe(one)}")
    lines += [f"{'cover ' + one.index:<14} {one.description or '-'}: open" for one in reading.covers if one.is_open]
    lines += [f"{'alert':<14} {one.severity}: {one.group} {one.code} {one.description}" for one in reading.alerts]
    return "\n".join(line.rstrip() for line in lines)


def describe(one: Supply | Tray) -> str:
    """How much there is, in people's percent; of a waste box how full it is, since nobody thinks of the room in it."""
    is_receptacle = isinstance(one, Supply) and one.is_receptacle
    words = (FULL if is_receptacle else {}).get(one.state, one.state.value.replace("_", " "))
    share = share_of(one)
    if share is not None:
        return f"{share:.0%}{' free' if is_receptacle else ''} ({words})"
    if one.level:
        return f"{one.level} {one.unit or ''}".strip() + ", of an unknown capacity"
    return words
