"""Which certificates are trusted, and which one the agent shows."""

import os
import ssl
from typing import NamedTuple

from agent.addresses import AddressError


class Trust(NamedTuple):
    """Files in PEM. Without `ca`, the system's certificates are trusted."""

    ca: str | None = None
    certificate: str | None = None  # the agent's own, for a collector or a gateway before it that asks for one
    key: str | None = None  # of the certificate; None: in the same file


def make_tls_context(trust: Trust) -> ssl.SSLContext:
    """Raises AddressError."""
    context = make_trusting(trust.ca)
    if trust.certificate is not None:
        try:
            # The password: a key that needs one must not ask for it on a terminal that nobody looks at.
            context.load_cert_chain(trust.certificate, trust.key, password=lambda: "")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise AddressError(
                f"cannot use the client certificate {trust.certificate} ({error}); its key must be without a password"
            ) from error
    return context


def make_trusting(ca: str | None) -> ssl.SSLContext:
    hashed = find_hashed_certificates() if ca is None else None
    if hashed is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies name and certificate
        context.load_verify_locations(capath=hashed)
        return context
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise AddressError(f"cannot read the certificates to trust from {ca} ({error})") from error


def find_hashed_certificates() -> str | None:
    """The system's folder of certificates by hash, if it has one: OpenSSL then reads the one it needs.

    Loading the whole bundle instead costs 1 MiB of memory."""
    paths = ssl.get_default_verify_paths()
    folder = paths.capath
    if not folder or paths.openssl_cafile_env in os.environ:  # the administrator names a file of their own
        return None
    with os.scandir(folder) as entries:
        return folder if any(entry.name.endswith(".0") for entry in entries) else None
