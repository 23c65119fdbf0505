"""The options that say how a printer is asked, shared by the commands that add, accept and change one."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click

from collector.fleet.printers.asking import Asking, checked_asking
from protocol.wire import DEFAULT_PRINTER_INTERVAL_SECONDS, SnmpVersion

C = TypeVar("C", bound=Callable[..., object])

AUTHS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
PRIVACIES = ("des", "aes128", "aes192", "aes256")

_OPTIONS = [
    click.option("--no-snmp", is_flag=True, help="Do not ask by SNMP."),
    click.option("--snmp-version", type=click.Choice([one.value for one in SnmpVersion]), help="[default: 2c]"),
    click.option("--snmp-port", type=click.IntRange(1, 65_535), help="UDP port of SNMP.  [default: 161]"),
    click.option(
        "--community",
        envvar="SNMP_COMMUNITY",
        help="Of versions 1 and 2c; better in the environment variable SNMP_COMMUNITY.  [default: public]",
    ),
    click.option("--user", help="Of version 3."),
    click.option(
        "--auth",
        type=click.Choice(AUTHS),
        help="Of version 3; the password is taken from SNMP_AUTH_PASSWORD, asked for, or the next line of stdin.",
    ),
    click.option(
        "--privacy",
        type=click.Choice(PRIVACIES),
        help="Of version 3; the password is taken from SNMP_PRIVACY_PASSWORD, asked for, or the next line of stdin.",
    ),
    click.option(
        "--auth-password", envvar="SNMP_AUTH_PASSWORD", hidden=True, help="As SNMP_AUTH_PASSWORD in the environment."
    ),
    click.option(
        "--privacy-password",
        envvar="SNMP_PRIVACY_PASSWORD",
        hidden=True,
        help="As SNMP_PRIVACY_PASSWORD in the environment.",
    ),
    click.option("--ipp/--no-ipp", "ipp", default=None, help="Ask by IPP too, or no longer."),
    click.option("--ipp-port", type=click.IntRange(1, 65_535), help="TCP port of IPP.  [default: 631]"),
    click.option("--ipp-path", help="Path of IPP.  [default: /ipp/print]"),
    click.option("--ipp-tls", is_flag=True, help="Ask by IPP over TLS."),
    click.option("--interval", type=float, help="Seconds between two readings of its state.  [default: 300]"),
]

reader_option = click.option("--reader", help="The device whose agent shall read it.  [default: any of the site]")


def asking_options(command: C) -> C:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asking_of(given: Mapping[str, object], ways: Sequence[str] = ("snmp",)) -> Asking:
    """What the options say, on top of the defaults of these ways. Raises FleetError."""
    ipp = given["ipp"] if given["ipp"] is not None else ("ipp" in ways or _names_ipp(given))
    is_by_snmp = not given["no_snmp"] and ("snmp" in ways or not ipp or _names_snmp(given))
    interval = given["interval"]
    return checked_asking(
        _snmp(given, {}) if is_by_snmp else None,
        _ipp(given, {}) if ipp else None,
        interval if isinstance(interval, float) else DEFAULT_PRINTER_INTERVAL_SECONDS,
    )


def changed_asking(was: Asking, given: Mapping[str, object]) -> Asking | None:
    """What becomes of it; None if no option says anything. Another version of SNMP begins anew. Raises FleetError."""
    names_ipp = given["ipp"] is not None or _names_ipp(given)
    if not (names_ipp or _names_snmp(given) or given["no_snmp"] or given["interval"] is not None):
        return None
    snmp = None if was.snmp is None else was.snmp.model_dump(mode="json", exclude_none=True)
    if given["no_snmp"]:
        snmp = None
    elif _names_snmp(given):
        is_other = given["snmp_version"] is not None and snmp is not None and given["snmp_version"] != snmp["version"]
        snmp = _snmp(given, {} if snmp is None or is_other else snmp)
    ipp = None if was.ipp is None else was.ipp.model_dump(mode="json")
    if given["ipp"] is False:
        ipp = None
    elif names_ipp:
        ipp = _ipp(given, ipp or {})
    interval = given["interval"]
    return checked_asking(snmp, ipp, interval if isinstance(interval, float) else was.interval_seconds)


def _names_snmp(given: Mapping[str, object]) -> bool:
    return any(
        given[name] is not None for name in ("snmp_version", "snmp_port", "community", "user", "auth", "privacy")
    )


def _names_ipp(given: Mapping[str, object]) -> bool:
    return bool(given["ipp_port"] or given["ipp_path"] or given["ipp_tls"])


def _snmp(given: Mapping[str, object], was: Mapping[str, object]) -> dict[str, object]:
    named = {"version": "snmp_version", "port": "snmp_port", "community": "community", "user": "user"}
    told = dict(was) | {key: given[name] for key, name in named.items() if given[name] is not None}
    if told.get("version") == SnmpVersion.V3:
        told.pop("community", None)  # of the environment, where several printers are added in a row
    for what in ("auth", "privacy"):
        if given[what] is not None:
            password = given[f"{what}_password"] or _password(f"SNMP password for {what}")
            told |= {what: given[what], f"{what}_password": password}
    return told


def _ipp(given: Mapping[str, object], was: Mapping[str, object]) -> dict[str, object]:
    told = dict(was) | {
        key: given[name] for key, name in (("port", "ipp_port"), ("path", "ipp_path")) if given[name] is not None
    }
    return told | ({"tls": True} if given["ipp_tls"] else {})


def _password(what: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline(300).rstrip("\n")
