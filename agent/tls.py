"""Which certificates are trusted, and which one the agent shows. Both are renewed while it runs."""

import logging
import os
import ssl
from pathlib import Path
from typing import NamedTuple

from protocol.errors import TransientError

logger = logging.getLogger(__name__)

Signature = tuple[int, int, int, int]


class TrustError(TransientError):
    """Files of certificates that cannot be used as they are now."""


class Trust(NamedTuple):
    """Files in PEM. Without `ca`, the system's certificates are trusted."""

    ca: str | None = None
    certificate: str | None = None  # the agent's own, for a collector or a gateway before it that asks for one
    key: str | None = None  # of the certificate; None: in the same file


class TrustFiles:
    """The files of a Trust, read again when they have changed. What cannot be read leaves the last good ones in use."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._context: ssl.SSLContext | None = None
        self._read: list[Signature | None] = []  # of the files as the context has them
        self._trouble = ""

    def context(self) -> ssl.SSLContext:
        """Another object than before once the files are others. Raises TrustError if they could never be read."""
        found = [sign(path) for path in find_files(self._trust)]
        if self._context is not None and found == self._read:
            self._trouble = ""
            return self._context
        try:
            context = make_tls_context(self._trust)
        except TrustError as error:
            if self._context is None:
                raise
            self._say(str(error))
            return self._context
        if self._context is not None:
            logger.info("certificates have changed, read again")
        self._context, self._read, self._trouble = context, found, ""
        return context

    def _say(self, trouble: str) -> None:
        """When it begins or becomes another, not at each request."""
        if trouble != self._trouble:
            self._trouble = trouble
            logger.error("certificates have changed, using those from before: reason=%r", trouble)


def find_files(trust: Trust) -> list[str]:
    """What a change of the certificates would show in."""
    files = [trust.ca, trust.certificate, trust.key]
    if trust.ca is None:
        paths = ssl.get_default_verify_paths()
        files += [paths.cafile, paths.capath]
    return [path for path in files if path is not None]


def sign(path: str) -> Signature | None:
    """What changes with a file's content; None if there is nothing to see."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def make_tls_context(trust: Trust) -> ssl.SSLContext:
    """Raises TrustError."""
    context = make_trusting(trust.ca)
    if trust.certificate is not None:
        try:
            # The password: a key that needs one must not ask for it on a terminal that nobody looks at.
            context.load_cert_chain(trust.certificate, trust.key, password=lambda: "")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise TrustError(
                f"cannot use the client certificate {trust.certificate} ({error}); its key must be without a password"
            ) from error
    return context


def make_trusting(ca: str | None) -> ssl.SSLContext:
    """Raises TrustError."""
    try:
        hashed = find_hashed_certificates() if ca is None else None
        if hashed is None:
            return ssl.create_default_context(cafile=ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies name and certificate
        context.load_verify_locations(capath=hashed)
    except (OSError, ssl.SSLError) as error:
        raise TrustError(f"cannot read the certificates to trust from {ca or 'the system'} ({error})") from error
    return context


def find_hashed_certificates() -> str | None:
    """The system's folder of certificates by hash, if it has one: OpenSSL then reads the one it needs.

    Loading the whole bundle instead costs 1 MiB of memory. Raises OSError."""
    paths = ssl.get_default_verify_paths()
    folder = paths.capath
    if not folder or paths.openssl_cafile_env in os.environ:  # the administrator names a file of their own
        return None
    with os.scandir(folder) as entries:
        return folder if any(entry.name.endswith(".0") for entry in entries) else None
