"""HTTP to the collector over one connection that is kept alive; every wait and every answer is bounded."""

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent import VERSION
from agent.addresses import Proxy, parse_address
from agent.clock import read_boot_seconds
from agent.connection import Connection, ProxyError
from agent.etags import bare_etag
from agent.http1 import HttpError
from agent.http_dates import parse_http_date
from agent.spool import compress
from agent.tls import Trust, TrustError, TrustFiles
from protocol.errors import TransientError

MAX_ANSWER_BYTES = 1 << 20
TIMEOUT_SECONDS = 15.0  # of one wait: connecting, sending, or the next bytes of the answer
DEADLINE_SECONDS = 60.0  # of the whole, against an answer that trickles
COMPRESS_FROM_BYTES = 256
NO_ANSWER = (OSError, ValueError)  # what cannot be parsed, or written, is a ValueError
PLAUSIBLE_SECONDS = (1_577_836_800, 4_102_444_800)  # Unix time of 2020 and 2100: no collector's clock is beyond


class UplinkError(TransientError):
    """No answer came."""


class Answer(NamedTuple):
    """An HTTP answer. `content` is its JSON object, None if it is anything else: then somebody else answered."""

    status: int
    content: dict[str, object] | None
    round_trip_seconds: float
    date_seconds: float | None = None  # Unix time in the Date header, to the second
    retry_after_seconds: float | None = None
    etag: str = ""


class Uplink:
    """Requests to one collector, one at a time; one thread uses it."""

    def __init__(
        self,
        collector: str,
        *,
        secret: str | None = None,
        trust: Trust | TrustFiles = Trust(),  # noqa: B008 - a tuple of constants
        allow_plain_http: bool = False,
        proxy: Proxy | None = None,
        boot: Callable[[], float] = read_boot_seconds,
    ) -> None:
        """`boot` measures round trips: a machine that sleeps within one gets an old answer. Raises AddressError."""
        self.sent_bytes = 0  # of bodies, as they went out
        self.address = collector
        self.proxy = proxy
        self.host, self.port, self.is_encrypted, self._base = parse_address(collector, allow_plain_http)
        self._boot = boot
        self._timeout_seconds = TIMEOUT_SECONDS
        self._deadline_seconds = DEADLINE_SECONDS
        self._headers = {"User-Agent": f"quarkpulse-agent/{VERSION}", "Accept": "application/json"}
        if secret is not None:
            self._headers["Authorization"] = f"Bearer {secret}"
        self._trust = trust if isinstance(trust, TrustFiles) else TrustFiles(trust)
        self._tls: ssl.SSLContext | None = None
        self._connection: Connection | None = None

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Raises UplinkError."""
        return self._request("GET", path, None, headers or {})

    def set_patience(
        self, timeout_seconds: float = TIMEOUT_SECONDS, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """How long the next requests may take: each single wait, and the whole."""
        self._timeout_seconds, self._deadline_seconds = timeout_seconds, deadline_seconds
        if self._connection is not None:
            self._connection.set_timeout(timeout_seconds)

    def post(self, path: str, content: bytes) -> Answer:
        """Send JSON, compressed if that pays. Raises UplinkError."""
        headers = {"Content-Type": "application/json"}
        if len(content) >= COMPRESS_FROM_BYTES:
            content = compress(content)
            headers["Content-Encoding"] = "gzip"
        return self._request("POST", path, content, headers)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        self._renew_trust()
        is_reused = self._connection is not None
        try:
            return self._exchange(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not is_reused:
                raise UplinkError(f"the collector closed the connection ({error})") from error
        except NO_ANSWER as error:
            self.close()
            raise UplinkError(describe(error)) from error
        # The kept connection had been closed meanwhile, as proxies do after a minute: once more on a new one.
        try:
            return self._exchange(method, path, body, headers)
        except NO_ANSWER as error:
            self.close()
            raise UplinkError(describe(error)) from error

    def _renew_trust(self) -> None:
        """Files that have changed hold for the connection that is kept, too. Raises UplinkError."""
        if not self.is_encrypted:
            return
        try:
            context = self._trust.context()
        except TrustError as error:
            self.close()
            raise UplinkError(str(error)) from error
        if context is not self._tls:
            self.close()
            self._tls = context

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = self._connection
        if connection is None:
            connection = self._connection = Connection(self.host, self.port, self._tls, self.proxy)
        watchdog = threading.Timer(self._deadline_seconds, connection.abort)
        watchdog.daemon = True
        watchdog.start()
        try:
            if not connection.is_open:
                connection.connect(self._timeout_seconds)
            began = self._boot()  # connecting is no part of how old the answer's time is
            self.sent_bytes += len(body or b"")
            told = {**self._headers, **headers}
            found = connection.ask(method, self._base + path, told, body, max_body_bytes=MAX_ANSWER_BYTES)
            round_trip_seconds = self._boot() - began  # the body holds the time, and may take its own
        finally:
            watchdog.cancel()
        if not found.keeps_open:
            self.close()
        date = found.headers.get("date", "")
        return Answer(
            status=found.status,
            content=parse_object(found.body),
            round_trip_seconds=round_trip_seconds,
            date_seconds=parse_date(date),
            retry_after_seconds=parse_retry_after(found.headers.get("retry-after"), date),
            etag=bare_etag(found.headers.get("etag", "")),
        )


def describe(error: Exception) -> str:
    """One clear sentence for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the collector's certificate is not trusted ({error.verify_message});"
            " check its name, or enrol with --ca FILE of its issuer"
        )
    if isinstance(error, ssl.SSLEOFError) or (isinstance(error, ssl.SSLError) and "alert certificate" in str(error)):
        return (
            "the collector ended the connection; if it asks for a certificate of this machine,"
            " enrol with --client-certificate FILE"
        )
    if isinstance(error, ProxyError | HttpError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the collector did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the collector refuses connections; is it running, and is the port right?"
    return f"the collector cannot be reached ({str(error) or type(error).__name__})"


def parse_object(content: bytes) -> dict[str, object] | None:
    """A JSON object; None for anything else, such as a login page."""
    if len(content) > MAX_ANSWER_BYTES:
        return None
    try:
        found = json.loads(content)
        if b"\\u" in content:
            json.dumps(found, ensure_ascii=False).encode()  # half a character can be escaped, but not written down
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def is_plausible(seconds: float) -> bool:
    """Whether this Unix time can be now."""
    return PLAUSIBLE_SECONDS[0] <= seconds <= PLAUSIBLE_SECONDS[1]


def parse_date(text: str) -> float | None:
    """Unix seconds of an HTTP date; None if it is none, or no time that can be now."""
    seconds = parse_http_date(text)
    return seconds if seconds is not None and is_plausible(seconds) else None


def parse_retry_after(text: str | None, date: str) -> float | None:
    """Seconds to wait, from seconds or an HTTP date. A date is taken against the answer's own, not this machine's."""
    if text is None:
        return None
    if text.isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    until, answered = parse_date(text), parse_date(date)
    return max(0.0, until - answered) if until is not None and answered is not None else None
