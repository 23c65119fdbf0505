"""When certificates expire: those in files, and those that servers show."""

import base64
import binascii
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

from agent.addresses import masked
from agent.probes.base import HOURLY_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample
from agent.probes.parsing import decode
from agent.settings import Section

SOURCE_LABEL = ("certificate_source",)
MAX_SOURCES = 50
MAX_FILE_BYTES = 1 << 20
ENDPOINT_TIMEOUT_SECONDS = 10.0
PEM = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.+?)-----END", re.DOTALL)
ENDPOINT = re.compile(r"^(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]{1,253}):(?P<port>\d{1,5})$")
# ASN.1 tags of X.509, RFC 5280 section 4.1.
SEQUENCE, INTEGER, EXPLICIT_VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18


class CertificateError(ValueError):
    """What was read is no certificate."""


class Element(NamedTuple):
    tag: int
    content: bytes
    rest: bytes  # what follows


class Endpoint(NamedTuple):
    host: str
    port: int


def read_file(path: Path) -> float:
    """When the first of its certificates expires, in Unix seconds: a chain is as good as its weakest link.

    PEM or DER. Raises CertificateError or OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise CertificateError(f"larger than {MAX_FILE_BYTES} bytes")
    blocks = [found[1] for found in PEM.finditer(decode(content))]
    if not blocks:
        return parse_expiry(content)
    try:
        return min(parse_expiry(base64.b64decode(block)) for block in blocks)
    except binascii.Error as error:
        raise CertificateError("damaged base64") from error


def read_endpoint(endpoint: Endpoint) -> float:
    """When the certificate that the server shows expires, in Unix seconds. Raises CertificateError or OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # an expired or foreign certificate is to be read, not to be trusted
    # The time is for each read: a server that trickles is ended by the probe's own timeout.
    with (
        socket.create_connection(endpoint, ENDPOINT_TIMEOUT_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=endpoint.host) as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
    if shown is None:
        raise CertificateError("the server shows no certificate")
    return parse_expiry(shown)


def parse_expiry(der: bytes) -> float:
    """`notAfter` of an X.509 certificate. Raises CertificateError.

    Done by hand: the library for it weighs as much as half the agent, and the ssl module tells no dates of a
    certificate that it has not verified."""
    certificate = expect(der, SEQUENCE)
    signed = expect(certificate.content, SEQUENCE)
    element = read_element(signed.content)
    if element.tag == EXPLICIT_VERSION:
        element = read_element(element.rest)
    if element.tag != INTEGER:  # the serial number
        raise CertificateError("no serial number")
    algorithm = expect(element.rest, SEQUENCE)
    issuer = expect(algorithm.rest, SEQUENCE)
    validity = expect(issuer.rest, SEQUENCE)
    return parse_time(read_element(read_element(validity.content).rest))


def read_element(content: bytes) -> Element:
    """The first ASN.1 element, in DER. Raises CertificateError."""
    if len(content) < 2:
        raise CertificateError("cut off")
    tag, length, begin = content[0], content[1], 2
    if length & 0x80:
        size = length & 0x7F
        begin += size
        if not 1 <= size <= 4 or len(content) < begin:
            raise CertificateError("not in DER")
        length = int.from_bytes(content[2:begin], "big")
    if len(content) < begin + length:
        raise CertificateError("cut off")
    return Element(tag, content[begin : begin + length], content[begin + length :])


def expect(content: bytes, tag: int) -> Element:
    element = read_element(content)
    if element.tag != tag:
        raise CertificateError("not an X.509 certificate")
    return element


def parse_time(element: Element) -> float:
    """RFC 5280 section 4.1.2.5; of UTCTime, years from 50 on are of the 20th century."""
    text = element.content.decode("ascii", errors="replace")
    if element.tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif element.tag != GENERALIZED_TIME:
        raise CertificateError("no date")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise CertificateError("not a date") from error


class CertificateProbe:
    name = "certificates"
    isolated = True  # a server may hang
    interval_seconds = HOURLY_INTERVAL_SECONDS
    timeout_seconds = 900.0
    metrics = (
        Metric(
            "certificate_expiry_seconds",
            MetricType.GAUGE,
            "seconds",
            "Until it expires, negative when it has; of several in a file the first to expire",
            SOURCE_LABEL,
        ),
        Metric("certificate_readable", MetricType.GAUGE, "boolean", "1 if the file or server has one", SOURCE_LABEL),
    )

    def __init__(
        self, files: Sequence[Path] = (), endpoints: Sequence[Endpoint] = (), now: Callable[[], float] = time.time
    ) -> None:
        self._files = files
        self._endpoints = endpoints
        self._now = now

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        files = section.paths("files")
        endpoints = []
        for text in section.texts("endpoints"):
            match = ENDPOINT.match(text)
            if match is None or not 0 < int(match["port"]) < 1 << 16:
                section.refuse(f"must look like host:443, got {masked(text)!r:.100}", "endpoints")
            else:
                endpoints.append(Endpoint(match["host"].strip("[]"), int(match["port"])))
        if len(files) + len(endpoints) > MAX_SOURCES:
            section.refuse(f"at most {MAX_SOURCES} files and endpoints, got {len(files) + len(endpoints)}")
        return cls(files, endpoints)

    def sample(self) -> list[Sample]:
        if not self._files and not self._endpoints:
            raise ProbeUnavailable("no certificate is named in agent.toml: [certificates] files = [...]")
        samples: list[Sample] = []
        for path in self._files:
            samples += self._look_at(str(path), path)
        for endpoint in self._endpoints:
            samples += self._look_at(f"{endpoint.host}:{endpoint.port}", endpoint)
        return samples

    def _look_at(self, source: str, place: Path | Endpoint) -> list[Sample]:
        labels = {"certificate_source": source}
        expires_at: float | None = None
        with contextlib.suppress(CertificateError, OSError):
            expires_at = read_endpoint(place) if isinstance(place, Endpoint) else read_file(place)
        samples = [Sample("certificate_readable", int(expires_at is not None), labels)]
        if expires_at is not None:
            samples.append(Sample("certificate_expiry_seconds", float(round(expires_at - self._now())), labels))
        return samples
