"""IPP over HTTP: one question to a printer. In a thread, through http.client; bounded in time and size."""

import asyncio
import concurrent.futures
import contextlib
import http.client
import socket
import ssl
import time

from agent.printers.errors import BadAnswer, NoAnswer
from agent.printers.ipp_codec import Attributes, decode_answer, encode_request
from agent.printers.targets import IppAccess

TIMEOUT_SECONDS = 8.0
MAX_ANSWER_BYTES = 1 << 20  # a large one is 20 KiB
CHUNK_BYTES = 1 << 16
# Of their own: a printer that keeps one busy must not hold up the look-up of another's name, which SNMP waits for.
THREADS = concurrent.futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="ipp")
VERSION_NOT_SUPPORTED = 0x0503
FIRST_ERROR = 0x0400
VERSIONS = ((2, 0), (1, 1))
WANTED = (
    "marker-colors",
    "marker-high-levels",
    "marker-levels",
    "marker-low-levels",
    "marker-names",
    "marker-types",
    "media-ready",
    "printer-device-id",
    "printer-firmware-string-version",
    "printer-impressions-completed",
    "printer-info",
    "printer-input-tray",
    "printer-is-accepting-jobs",
    "printer-location",
    "printer-make-and-model",
    "printer-name",
    "printer-serial-number",
    "printer-state",
    "printer-state-message",
    "printer-state-reasons",
    "printer-supply",
    "printer-supply-description",
    "printer-up-time",
    "queued-job-count",
)


async def ask_printer(host: str, access: IppAccess, timeout_seconds: float = TIMEOUT_SECONDS) -> Attributes:
    """What it tells about itself. Raises NoAnswer and BadAnswer."""
    name = f"[{host}]" if ":" in host else host
    uri = f"{'ipps' if access.tls else 'ipp'}://{name}:{access.port}{access.path}"
    for version in VERSIONS:
        answer = decode_answer(await _post(host, access, encode_request(uri, WANTED, version), timeout_seconds))
        if answer.status != VERSION_NOT_SUPPORTED:
            break
    if answer.status >= FIRST_ERROR:
        raise BadAnswer(f"it refuses to answer by IPP (status 0x{answer.status:04x}); check the path {access.path}")
    return answer.printer


async def _post(host: str, access: IppAccess, body: bytes, timeout_seconds: float) -> bytes:
    connection = _make_connection(host, access, timeout_seconds)
    deadline = time.monotonic() + timeout_seconds
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            return await loop.run_in_executor(THREADS, _exchange, connection, access.path, body, deadline)
    except TimeoutError as error:
        raise NoAnswer(f"no answer by IPP on TCP port {access.port} within {timeout_seconds:g} s") from error
    except http.client.HTTPException as error:
        raise BadAnswer(f"its answer on TCP port {access.port} is no HTTP ({type(error).__name__})") from error
    except OSError as error:
        raise NoAnswer(f"cannot be reached by IPP on TCP port {access.port} ({error})") from error
    finally:
        _hang_up(connection)


def _make_connection(host: str, access: IppAccess, timeout_seconds: float) -> http.client.HTTPConnection:
    if not access.tls:
        return http.client.HTTPConnection(host, access.port, timeout=timeout_seconds)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # printers sign for themselves; nothing secret is told to them
    return http.client.HTTPSConnection(host, access.port, timeout=timeout_seconds, context=context)


def _exchange(connection: http.client.HTTPConnection, path: str, body: bytes, deadline: float) -> bytes:
    # Who asked may have gone while it connected, and closed nothing then.
    with contextlib.closing(connection):
        connection.request("POST", path, body, {"Content-Type": "application/ipp", "Accept": "application/ipp"})
        with connection.getresponse() as response:
            if response.status != http.HTTPStatus.OK:
                raise BadAnswer(f"it answers IPP with HTTP status {response.status}; check port and path {path}")
            content = bytearray()
            while chunk := response.read1(CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise BadAnswer(f"its IPP answer is longer than {MAX_ANSWER_BYTES >> 10} KiB")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return bytes(content)


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """Wakes a thread that still waits for a slow answer, too."""
    if isinstance(connection.sock, socket.socket):
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
