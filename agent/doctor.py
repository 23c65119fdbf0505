"""Looks for what keeps an agent from working, and says what to do about each thing it finds."""

import os
import shutil
import socket
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.addresses import AddressError
from agent.answers import explain, is_collectors, is_collectors_config, is_problem
from agent.configuration import load_config
from agent.failover import make_uplinks
from agent.files import PRIVATE_FILE, PRIVATE_FOLDER
from agent.findings import Finding
from agent.inspection import inspect
from agent.loading import assemble_probes
from agent.settings import FILE_NAME as SETTINGS_NAME
from agent.settings import SettingsError, load_settings
from agent.state import FolderLock, Identity, StateError, StateFolder
from agent.status_report import ago, read_status
from agent.tls import Trust, TrustError, make_tls_context
from agent.uplink import Answer, Uplink, UplinkError, describe
from protocol.wire import CONFIG_PATH, EventType

PATIENCE_SECONDS = 5.0
MIN_FREE_BYTES = 128 << 20  # the spool at its largest, twice
CLOCK_TOLERANCE_SECONDS = 10.0  # the agent copes with any difference; people reading logs do not
CERTIFICATE_DAYS_LEFT = 14


def examine(state: Path) -> Iterator[Finding]:
    """Every check that makes sense after the ones before it, as they are made."""
    folder = StateFolder(state)
    try:
        identity, secret = folder.load_identity(), folder.load_secret()
    except StateError as error:
        detail, _, advice = str(error).partition("; ")
        yield Finding("enrolment", False, detail, advice)
        return
    if folder.ended_path.exists():
        yield Finding(
            "enrolment",
            False,
            f"{identity.device_id} has been ended by the collector",
            "ask for a token, enroll --force",
        )
    else:
        yield Finding("enrolment", True, f"{identity.device_id} at {identity.collector}")
    yield check_permissions(folder)
    yield check_settings(folder)
    yield check_space(state)
    yield check_spool(folder)
    yield check_running(folder)
    yield check_push(folder)
    if sys.platform == "linux":
        from agent.rights import check_rights  # noqa: PLC0415 - Windows has no groups of this kind

        yield from check_rights()
    yield from check_network(identity, secret, folder)
    yield from check_probes(folder)


def check_permissions(folder: StateFolder) -> Finding:
    """Windows keeps to who the folder lets in; elsewhere each file tells."""
    found = find_open_or_foreign(folder) if os.name != "nt" else None
    if found is not None:
        return found
    if not os.access(folder.path, os.W_OK):
        return Finding("permissions", False, f"{folder.path} is not writable", "run as the user who enrolled")
    return Finding("permissions", True, "for the owner only")


def find_open_or_foreign(folder: StateFolder) -> Finding | None:
    """The first thing that others may read, or that the agent may not: somebody has run it as another user."""
    owner = folder.path.stat().st_uid
    paths = [folder.path, *sorted(folder.path.iterdir()), *sorted(folder.spool_path.glob("spool*.json"))]
    for path in paths:
        try:
            found = path.lstat()
        except FileNotFoundError:  # the agent runs, and replaces its files
            continue
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != owner:
            advice = f"chown --recursive --reference={folder.path} {folder.path}"
            return Finding("permissions", False, f"{path} belongs to another user than {folder.path}", advice)
        if stat.S_ISLNK(found.st_mode) or path.name == SETTINGS_NAME:
            continue
        allowed = PRIVATE_FOLDER if stat.S_ISDIR(found.st_mode) else PRIVATE_FILE
        if mode & ~allowed:
            return Finding("permissions", False, f"{path} is open to others ({mode:o})", f"chmod {allowed:o} {path}")
    return None


def check_settings(folder: StateFolder) -> Finding:
    """Whoever writes agent.toml says which programs run as the agent."""
    path = folder.path / SETTINGS_NAME
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        if path.is_symlink():
            return Finding("settings", False, f"{path} leads nowhere", f"make {path.readlink()}, or remove the link")
        return Finding("settings", True, f"no {SETTINGS_NAME}: nothing is set")
    except OSError as error:
        return Finding("settings", False, f"{path} cannot be read ({error.strerror})", "give it to the agent's user")
    if os.name != "nt" and mode & 0o022:
        return Finding("settings", False, f"{path} may be changed by others ({mode:o})", f"chmod go-w {path.resolve()}")
    return Finding("settings", True, str(path.resolve()))


def check_push(folder: StateFolder) -> Finding:
    """What the agent that runs, or ran last, was answered."""
    status = read_status(folder, time.time())
    if status.push_at is None:
        return Finding("push", True, "none yet")
    detail = f"{ago(status.push_at, time.time())}: {status.push_answer}"
    is_acked = status.push_at == status.acked_at
    return Finding("push", is_acked, detail, "see below; what cannot be sent waits, and nothing is lost meanwhile")


def check_space(state: Path) -> Finding:
    free = shutil.disk_usage(state).free
    detail = f"{free >> 20} MiB free for the spool"
    return Finding("space", free >= MIN_FREE_BYTES, detail, f"free {MIN_FREE_BYTES >> 20} MiB on the disk of {state}")


def check_spool(folder: StateFolder) -> Finding:
    waiting = len(list(folder.spool_path.glob("*.json.gz")))
    aside = len(list(folder.spool_path.glob("aside/*.json.gz")))
    detail = f"{waiting} records waiting, {aside} set aside"
    advice = f"read them with `zcat {folder.spool_path}/aside/*.json.gz`, tell the provider, and delete them"
    return Finding("spool", aside == 0, detail, advice)


def check_running(folder: StateFolder) -> Finding:
    try:
        with FolderLock(folder.lock_path):
            # No fault: so it is right after `enroll`, and while somebody has stopped the service to look.
            return Finding("running", True, "no agent runs on this folder", "start the service", is_notice=True)
    except StateError:
        return Finding("running", True, "an agent runs on this folder")


def check_network(identity: Identity, secret: str, folder: StateFolder) -> Iterator[Finding]:
    """Of each address of the collector. One that answers is enough to work, but not to be well."""
    try:
        uplinks = make_uplinks(identity, secret, load_settings(folder.path))
    except AddressError as error:
        yield Finding("address", False, str(error), "enrol again with --force")
        return
    except SettingsError as error:
        yield Finding("address", False, str(error), "mend agent.toml")
        return
    trust = Trust(identity.ca, identity.certificate, identity.key)
    for uplink in uplinks:
        yield from check_uplink(uplink, trust)


def check_uplink(uplink: Uplink, trust: Trust) -> Iterator[Finding]:
    """Name, connection, TLS, answer: each only if the one before is well. What lies behind a proxy is its business."""
    steps: list[tuple[str, Callable[[], str], str]]
    proxy = uplink.proxy
    if proxy is not None:
        steps = [("proxy", lambda: connect(proxy.host, proxy.port), "check agent.toml: [uplink] proxy, or HTTPS_PROXY")]
    else:
        steps = [
            ("name", lambda: resolve(uplink), "check the name, and this machine's DNS servers"),
            (
                "connection",
                lambda: connect(uplink.host, uplink.port),
                "check the firewall between here and the collector",
            ),
        ]
    if uplink.is_encrypted and proxy is None:
        steps.append(("tls", lambda: shake_hands(uplink, trust), "check the certificate, or enroll --ca FILE"))
    for check, step, advice in steps:
        try:
            yield Finding(check, True, step())
        except TrustError as error:
            yield Finding(check, False, str(error), "put the file back, or enrol again with another and --force")
            return
        except OSError as error:
            yield Finding(check, False, f"{uplink.host}:{uplink.port}: {describe(error)}", advice)
            return
    uplink.set_patience(PATIENCE_SECONDS, PATIENCE_SECONDS)
    try:
        answer = uplink.get(CONFIG_PATH)
    except UplinkError as error:
        yield Finding("collector", False, str(error), "ask the provider whether the collector is well")
        return
    finally:
        uplink.close()
    yield check_credential(answer)
    if answer.date_seconds is not None and is_collectors(answer):
        yield check_clock(answer.date_seconds + 0.5 - time.time())


def resolve(uplink: Uplink) -> str:
    found = socket.getaddrinfo(uplink.host, uplink.port, type=socket.SOCK_STREAM)
    return f"{uplink.host} is {', '.join(sorted({str(address[4][0]) for address in found}))}"


def connect(host: str, port: int) -> str:
    began = time.monotonic()
    with socket.create_connection((host, port), PATIENCE_SECONDS):
        return f"port {port} answers after {(time.monotonic() - began) * 1000:.0f} ms"


def shake_hands(uplink: Uplink, trust: Trust) -> str:
    """Raises TrustError, or OSError, also for a certificate that ends so soon that the provider should know."""
    context = make_tls_context(trust)
    with (
        socket.create_connection((uplink.host, uplink.port), PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=uplink.host) as secure,
    ):
        certificate = secure.getpeercert() or {}
        ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        days = (ends_at - time.time()) / 86_400
        if days < CERTIFICATE_DAYS_LEFT:
            raise ssl.SSLError(f"the certificate ends in {days:.0f} days")
        return f"{secure.version()}, certificate valid for {days:.0f} more days"


def check_credential(answer: Answer) -> Finding:
    """Of the answer to the question for the configuration. What refuses in the collector's place says nothing of it."""
    if is_collectors_config(answer, ""):
        return Finding("credential", True, "accepted")
    if not is_problem(answer.content):
        return Finding("collector", False, explain(answer), "check the address, and proxies on the way")
    if answer.status == 410:
        return Finding("credential", False, explain(answer), "ask the provider for a token, enroll --force")
    if answer.status in (401, 403):
        return Finding("credential", False, explain(answer), "ask the provider; a new token and enroll --force mend it")
    return Finding("collector", False, explain(answer), "ask the provider whether the collector is well")


def check_clock(slow_by_seconds: float) -> Finding:
    detail = f"this machine is {abs(slow_by_seconds):.0f} s {'behind' if slow_by_seconds > 0 else 'ahead'}"
    is_well = abs(slow_by_seconds) <= CLOCK_TOLERANCE_SECONDS
    return Finding("clock", is_well, detail, "turn on time synchronisation; the agent's stamps are corrected meanwhile")


def check_probes(folder: StateFolder) -> Iterator[Finding]:
    left_out: list[tuple[str, str]] = []
    try:
        probes = assemble_probes(folder, lambda name, reason: left_out.append((name, reason)))
    except StateError as error:
        yield Finding("probes", False, str(error), "enroll --force")
        return
    for name, reason in left_out:
        yield Finding(
            name, False, reason, "mend agent.toml, or install what is missing and run `quarkpulse-agent refresh`"
        )
    found = inspect(probes, load_config(folder))
    for one in found.told:
        if one.type is EventType.PROBE_UNAVAILABLE:
            name, reason = str(one.details["probe"]), str(one.details["reason"])
            yield Finding(
                name, True, reason, "allow it in agent.toml, or have the collector ask no more", is_notice=True
            )
    for probe in probes:
        name = probe.name
        if name in found.failed:
            yield Finding(f"probe {name}", False, found.failed[name], f"try `quarkpulse-agent probe {name}`")
        elif name in found.lacking:
            yield Finding(f"probe {name}", True, f"nothing to read: {found.lacking[name]}")
        else:
            yield Finding(f"probe {name}", True, "reads")
