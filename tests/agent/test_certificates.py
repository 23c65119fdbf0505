"""Certificates that openssl makes on the spot, in files and shown by a real TLS server."""

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import certificates
from agent.probes.base import ProbeUnavailable
from agent.probes.certificates import (
    CertificateError,
    CertificateProbe,
    Element,
    Endpoint,
    parse_expiry,
    parse_time,
    read_file,
)
from agent.settings import Section, SettingsError
from tests.conftest import require

DAY = 24 * 3600.0


def make(folder: Path, name: str, days: int, *arguments: str) -> Path:
    """A self-signed certificate with its key in one PEM file."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        [require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", str(days), "-subj", f"/CN={name}", "-keyout", key, "-out", certificate, *arguments],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    both = folder / f"{name}.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def values(probe: CertificateProbe) -> dict[tuple[str, str], float | None]:
    return {
        (sample.labels["certificate_source"], sample.name.removeprefix("certificate_")): sample.value
        for sample in probe.sample()
    }


def test_files_in_pem_and_der_and_the_first_of_a_chain_to_expire(tmp_path: Path) -> None:
    long, short = make(tmp_path, "long", 400), make(tmp_path, "short", 20)
    chain, der = tmp_path / "chain.pem", tmp_path / "long.der"
    chain.write_bytes(long.read_bytes() + short.read_bytes())
    subprocess.run(
        ["openssl", "x509", "-in", long, "-outform", "DER", "-out", der], check=True, capture_output=True, timeout=60
    )
    gone, binary = tmp_path / "gone.pem", tmp_path / "binary.pem"
    binary.write_bytes(os.urandom(3000))
    found = values(CertificateProbe([chain, der, gone, binary]))
    assert found[str(chain), "expiry_seconds"] == pytest.approx(20 * DAY, abs=120)
    assert found[str(der), "expiry_seconds"] == pytest.approx(400 * DAY, abs=120)
    assert {source: value for (source, metric), value in found.items() if metric == "readable"} == {
        str(chain): 1,
        str(der): 1,
        str(gone): 0,
        str(binary): 0,
    }
    assert (str(gone), "expiry_seconds") not in found
    later = CertificateProbe([chain], now=lambda: time.time() + 30 * DAY)
    assert values(later)[str(chain), "expiry_seconds"] == pytest.approx(-10 * DAY, abs=120)


def test_a_certificate_of_the_next_century(tmp_path: Path) -> None:
    far = make(tmp_path, "far", 100 * 365)
    assert read_file(far) == pytest.approx(time.time() + 100 * 365 * DAY, abs=120)


def test_a_file_that_is_huge_or_no_certificate_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"", b"0" * (2 << 20), b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", b"0\x82"):
        file.write_bytes(content)
        with pytest.raises(CertificateError):
            read_file(file)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Endpoint]]:
    """Starts a server on loopback that does something with its first connection."""
    listeners: list[tuple[socket.socket, threading.Thread]] = []

    def start(act: Callable[[socket.socket], None]) -> Endpoint:
        listener = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                act(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        listeners.append((listener, thread))
        return Endpoint("127.0.0.1", listener.getsockname()[1])

    yield start
    for listener, thread in listeners:
        listener.close()
        thread.join(60)


def test_a_server_shows_its_certificate_expired_and_self_signed_as_it_is(
    tmp_path: Path, serve: Callable[[Callable[[socket.socket], None]], Endpoint]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make(tmp_path, "server", 3))

    def shake_hands(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    endpoint = serve(shake_hands)
    found = values(CertificateProbe(endpoints=[endpoint], now=lambda: time.time() + 10 * DAY))
    source = f"127.0.0.1:{endpoint.port}"
    assert found == {
        (source, "readable"): 1,
        (source, "expiry_seconds"): pytest.approx(-7 * DAY, abs=120),
    }


def test_servers_that_babble_or_hang_are_not_readable(
    serve: Callable[[Callable[[socket.socket], None]], Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "ENDPOINT_TIMEOUT_SECONDS", 0.3)
    released = threading.Event()

    def hang(_: socket.socket) -> None:
        assert released.wait(60)

    endpoints = [serve(lambda connection: connection.sendall(b"220 mail\r\n" * 100)), serve(lambda _: None)]
    endpoints += [serve(hang), Endpoint("127.0.0.1", 1)]
    found = values(CertificateProbe(endpoints=endpoints))
    released.set()
    assert list(found.values()) == [0, 0, 0, 0]


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\x30\x80" + tail))
def test_any_bytes_are_borne(content: bytes) -> None:
    with pytest.raises(CertificateError):
        parse_expiry(content)


def test_dates_of_both_kinds() -> None:
    assert parse_time(Element(0x17, b"991231235959Z", b"")) == 946684799.0
    assert parse_time(Element(0x18, b"20991231235959Z", b"")) == 4102444799.0
    for element in (Element(0x17, b"991331000000Z", b""), Element(0x02, b"1", b""), Element(0x18, b"\xff", b"")):
        with pytest.raises(CertificateError):
            parse_time(element)


def test_settings() -> None:
    section = Section({"files": ["/etc/ssl/a.pem"], "endpoints": ["mail.example.com:465", "[::1]:1"]}, "agent.toml: c")
    probe = CertificateProbe.from_settings(section)
    section.finish()
    assert probe._files == (Path("/etc/ssl/a.pem"),)
    assert probe._endpoints == [Endpoint("mail.example.com", 465), Endpoint("::1", 1)]
    with pytest.raises(ProbeUnavailable):
        CertificateProbe().sample()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"files": ["a.pem"]}, r"c\.files: must be absolute paths, got 'a\.pem'"),
        ({"files": "a.pem"}, r"c\.files: must be a list of texts"),
        ({"endpoints": ["example.com"]}, r"c\.endpoints: must look like host:443, got 'example\.com'"),
        ({"endpoints": ["https://example.com:443"]}, "must look like host:443"),
        ({"endpoints": ["example.com:70000"]}, "must look like host:443"),
        ({"endpoints": [f"h{number}:1" for number in range(60)]}, "at most 50"),
        ({"file": []}, r"c\.file: no such setting; there are endpoints, files"),
    ],
)
def test_wrong_settings_are_refused(content: dict[str, object], complaint: str) -> None:
    section = Section(content, "agent.toml: c")
    CertificateProbe.from_settings(section)
    with pytest.raises(SettingsError, match=complaint):
        section.finish()
