"""A connection to the collector: TCP, the proxy on the way, TLS. It may be kept, and ended from another thread."""

import contextlib
import socket
import ssl
from collections.abc import Mapping

from agent import http1
from agent.addresses import Proxy
from agent.http1 import Response


class ProxyError(OSError):
    """The proxy refuses."""


class Connection:
    """One question at a time. One thread uses it, any may call `abort`."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        """Connects only in `connect`."""
        self._host = encode_host(host)
        self._port = port
        self._tls = tls
        self._proxy = proxy
        self._socket: socket.socket | None = None
        name = f"[{host}]" if ":" in host else self._host.decode("ascii")
        self._authority = f"{name}:{port}"
        self._host_header = name if port == (80 if tls is None else 443) else self._authority

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def connect(self, timeout_seconds: float) -> None:
        """`timeout_seconds` is for each single wait, of later questions too. Raises HttpError, ValueError or OSError,
        ProxyError among them."""
        proxy = self._proxy
        host, port = (self._host, self._port) if proxy is None else (encode_host(proxy.host), proxy.port)
        self._socket = open_socket(host, port, timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is written is whole
        if proxy is not None:
            headers = {} if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization}
            answer = http1.open_tunnel(self._socket, self._authority, headers)
            if not 200 <= answer.status < 300:
                told = f"{answer.status} {answer.reason}".rstrip()
                raise ProxyError(f"the proxy does not let the agent through ({told})")
        if self._tls is not None:
            wrapped = self._tls.wrap_socket(self._socket, server_hostname=self._host, do_handshake_on_connect=False)
            self._socket = wrapped  # before the handshake, which `abort` must be able to end
            wrapped.do_handshake()

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> Response:
        """Raises as `http1.ask`."""
        if self._socket is None:
            raise ConnectionResetError("it is closed")
        told = {"Host": self._host_header, "Accept-Encoding": "identity", **headers}
        return http1.ask(self._socket, method, target, told, body, max_body_bytes=max_body_bytes)

    def set_timeout(self, seconds: float) -> None:
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def abort(self) -> None:
        """Wake whoever waits for this connection, with an error."""
        current = self._socket
        if current is not None:
            with contextlib.suppress(OSError):  # ended by itself meanwhile
                current.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        current, self._socket = self._socket, None
        if current is not None:
            current.close()


def open_socket(host: bytes, port: int, timeout_seconds: float) -> socket.socket:
    """To the first address of the host that takes the call. Raises OSError.

    The host as bytes: for a text Python loads the tables of all scripts, 0.4 MiB, to see that it needs none."""
    error: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            found = socket.socket(family, kind, protocol)
        except OSError as trouble:  # an address of a family that this machine does not speak
            error = trouble
            continue
        try:
            found.settimeout(timeout_seconds)
            found.connect(address)
        except OSError as trouble:
            error = trouble
            found.close()
        else:
            return found
    raise error or OSError("the host has no address")


def encode_host(host: str) -> bytes:
    """As it is looked up and certified. Raises ValueError."""
    return host.encode("ascii" if host.isascii() else "idna")
