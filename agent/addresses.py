"""Where the collector is, and the proxy on the way to it."""

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from protocol.errors import PermanentError

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
DEFAULT_PROXY_PORT = 3128
NO_PROXY = "none"


class AddressError(PermanentError):
    """An address that cannot be used."""


class Proxy(NamedTuple):
    """An HTTP proxy that is asked to CONNECT."""

    host: str
    port: int
    authorization: str | None = None  # the header's value, with the password

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def parse_address(collector: str, allow_plain_http: bool) -> tuple[str, int, bool, str]:
    """Host, port, whether TLS, and the path before ours. Raises AddressError."""
    try:
        parts = urlsplit(collector)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"the collector's address {masked(collector)!r} is not valid ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressError(
            f"the collector's address {masked(collector)!r} must look like https://collector.example.com"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise AddressError("the collector's address must hold no user name, query or fragment")
    is_encrypted = parts.scheme == "https"
    if not is_encrypted and not allow_plain_http and parts.hostname not in LOOPBACK_HOSTS:
        raise AddressError(
            "plain http would send the credential readably over the network; use https, or --allow-plain-http"
        )
    return parts.hostname, port or (443 if is_encrypted else 80), is_encrypted, parts.path.rstrip("/")


def parse_proxy(text: str) -> Proxy:
    """`http://user:password@proxy.example:3128`, or host and port alone. Raises AddressError, without the password."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise AddressError("the proxy's address is not valid; write http://proxy.example:3128") from None
    if parts.scheme != "http" or not parts.hostname:
        raise AddressError("the proxy's address must look like http://proxy.example:3128")
    authorization = None
    if parts.username is not None:
        credential = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(credential.encode()).decode('ascii')}"
    return Proxy(parts.hostname, port or DEFAULT_PROXY_PORT, authorization)


def find_proxy(host: str, told: str | None, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """What agent.toml tells, else HTTPS_PROXY unless NO_PROXY names the host. This machine is asked directly.

    Raises AddressError."""
    if host in LOOPBACK_HOSTS or told == NO_PROXY:
        return None
    if told is not None:
        return parse_proxy(told)
    variables = {name.lower(): value.strip() for name, value in environment.items()}
    proxy = variables.get("https_proxy")
    if not proxy or is_exempt(host, variables.get("no_proxy", "")):
        return None
    return parse_proxy(proxy)


def is_exempt(host: str, no_proxy: str) -> bool:
    """Whether a list of names, domains and `*` names the host."""
    for entry in no_proxy.split(","):
        name = entry.strip().lower().removeprefix("*").lstrip(".")
        if entry.strip() == "*" or (name and (host.lower() == name or host.lower().endswith(f".{name}"))):
            return True
    return False


def masked(text: str) -> str:
    """For messages, which are kept and sent: without what stands before the last @ of an address, as passwords do."""
    before, at, rest = text.rpartition("@")
    scheme, slashes, _ = before.partition("://") if "://" in before else ("", "", "")
    return f"{scheme}{slashes}***@{rest}" if at else text
