"""Makes this machine a device of a customer: once, with a token that the provider handed out."""

import contextlib
import platform
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import ValidationError

from agent import VERSION
from agent.answers import explain
from agent.failover import Failover, reach
from agent.files import write_atomically
from agent.loading import describe_probe
from agent.machine import guess_kind, instance_of, read_machine_id, read_os_name, read_serial
from agent.state import FolderLock, Identity, ProbeEntry, StateError, StateFolder, encode
from agent.uplink import UplinkError
from protocol import models
from protocol.errors import PermanentError
from protocol.wire import ENROLL_PATH, Kind

PROBE_GROUP = "quarkpulse.probes"


class EnrolmentError(PermanentError):
    """The collector did not take this machine."""


def find_probes() -> dict[str, str]:
    """Name of each installed probe → `module:attribute`."""
    return {found.name: found.value for found in entry_points(group=PROBE_GROUP)}


def describe_probes() -> dict[str, ProbeEntry]:
    """The installed probes, as the state folder lists them."""
    return {name: describe_probe(name, place) for name, place in sorted(find_probes().items())}


def refresh(state: Path) -> int:
    """Look anew for the installed probes of an enrolled agent; how many there are. Raises StateError."""
    folder = StateFolder(state)
    folder.load_identity()
    probes = describe_probes()
    try:
        folder.save_probes(probes)
    except OSError as error:
        raise StateError(f"cannot write to the state folder {state} ({error}); run as the user who enrolled") from error
    return len(probes)


def describe_machine(folder: StateFolder, token: str, kind: Kind | None) -> models.EnrollRequest:
    """Raises EnrolmentError if the token is no token at all, OSError if the state folder takes no file."""
    try:
        return models.EnrollRequest(
            token=token,
            hostname=socket.gethostname()[:128],
            kind=kind or guess_kind(),
            machine_id=read_machine_id(folder),
            instance=instance_of(folder.path),
            serial=read_serial(),
            os=read_os_name(),
            arch=platform.machine(),
            agent_version=VERSION,
        )
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise EnrolmentError(f"the {field} cannot be used: {error.errors()[0]['msg']}") from None  # names no token


def enroll(
    state: Path,
    collector: str,
    token: str,
    *,
    others: Sequence[str] = (),
    kind: Kind | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    allow_plain_http: bool = False,
    force: bool = False,
    probes: Mapping[str, ProbeEntry] | None = None,
) -> str:
    """Enrol and fill the state folder; the device's id. `others` are further addresses of the same collector.

    Raises StateError, AddressError, UplinkError or EnrolmentError, each with one clear sentence."""
    folder = StateFolder(state)
    if folder.is_enrolled() and not force:
        device_id = folder.load_identity().device_id
        raise StateError(f"{state} is already enrolled as {device_id}; use another folder, or --force to enrol again")
    wanted = Identity(
        collector.rstrip("/"),
        "",
        None if ca is None else str(ca.resolve()),
        allow_plain_http,
        tuple(other.rstrip("/") for other in others),
        None if certificate is None else str(certificate.resolve()),
        None if key is None else str(key.resolve()),
    )
    uplink = reach(wanted, None, folder, time.monotonic)
    is_new = not state.exists()
    folder.make()  # before the token is used: a folder that takes no secret would waste it
    try:
        with FolderLock(folder.lock_path), undone_on_failure(folder, is_new=is_new):
            try:
                enrolled = ask(uplink, describe_machine(folder, token, kind))
            except UplinkError as error:
                raise UplinkError(f"{', '.join((wanted.collector, *wanted.others))}: {error}") from error
            identity = wanted._replace(device_id=enrolled.device_id)
            if not folder.belongs_to(identity):
                # What was spooled as another device, perhaps another customer's, must not arrive as this one's.
                shutil.rmtree(folder.spool_path, ignore_errors=True)
            write_atomically(
                folder.config_path, encode({"etag": "", "config": enrolled.config.model_dump(mode="json")})
            )
            folder.save_enrolment(identity, enrolled.secret, describe_probes() if probes is None else probes)
    except OSError as error:
        raise StateError(f"cannot write to the state folder {state} ({error})") from error
    finally:
        uplink.close()
    return enrolled.device_id


@contextlib.contextmanager
def undone_on_failure(folder: StateFolder, *, is_new: bool) -> Iterator[None]:
    """A failure removes what came into the folder meanwhile, its lock, and the folder if it is new.

    Entered under the lock. A folder that is enrolled all the same is left as it is."""
    before = {file.name for file in folder.path.iterdir()}
    try:
        yield
    except BaseException:
        if not folder.is_enrolled():
            with contextlib.suppress(OSError):
                for file in folder.path.iterdir():
                    if file.name not in before or file == folder.lock_path:
                        file.unlink()
                if is_new:
                    folder.path.rmdir()
        raise


def ask(uplink: Failover, request: models.EnrollRequest) -> models.EnrollAnswer:
    """Raises UplinkError or EnrolmentError."""
    answer = uplink.post(ENROLL_PATH, request.model_dump_json().encode())
    if answer.status != 200:
        raise EnrolmentError(f"the collector did not enrol this machine: {explain(answer)}")
    try:
        return models.EnrollAnswer.model_validate(answer.content)
    except ValidationError:
        raise EnrolmentError(
            f"{uplink.current.host}:{uplink.current.port} does not answer as a Quarkpulse collector; check the address"
        ) from None
