"""Files of certificates that are renewed, lost and spoilt while the agent runs; over real sockets."""

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.enrolment import enroll
from agent.tls import Trust, TrustFiles, find_files
from agent.uplink import Uplink, UplinkError
from protocol.wire import CONFIG_PATH
from tests.agent.collector import SECRET, Collector
from tests.agent.conftest import StartAgent, make_certificate
from tests.agent.running import stop


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another certificate."""
    (tmp_path / "other").mkdir()
    return make_certificate(tmp_path / "other")


@pytest.fixture
def secure(certificate: Path) -> Iterator[Collector]:
    """Asks for a certificate, too."""
    with Collector(certificate=certificate, client_ca=certificate) as running:
        yield running


def renew(path: Path, content: bytes) -> None:
    """As tools do it: beside, and renamed."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


def test_a_renewed_ca_holds_from_the_next_request_on(certificate: Path, other: Path, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    renew(ca, other.read_bytes())
    with Collector(certificate=certificate) as collector:
        uplink = Uplink(collector.url, secret=SECRET, trust=Trust(str(ca)))
        with pytest.raises(UplinkError, match="not trusted"):
            uplink.get(CONFIG_PATH)
        renew(ca, certificate.read_bytes())
        assert [uplink.get(CONFIG_PATH).status for _ in range(2)] == [200, 200]
        renew(ca, other.read_bytes())
        with pytest.raises(UplinkError, match="not trusted"):  # the connection that was kept ends with it
            uplink.get(CONFIG_PATH)
        uplink.close()


def test_a_renewed_client_certificate_is_shown_on_a_new_connection(
    secure: Collector, certificate: Path, other: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    renew(own, certificate.read_bytes())
    uplink = Uplink(secure.url, secret=SECRET, trust=Trust(str(certificate), str(own)))
    assert [uplink.get(CONFIG_PATH).status for _ in range(2)] == [200, 200]
    assert secure.connections == 1
    renew(own, other.read_bytes())
    with pytest.raises(UplinkError):  # the collector does not know it
        uplink.get(CONFIG_PATH)
    renew(own, certificate.read_bytes())
    assert uplink.get(CONFIG_PATH).status == 200
    uplink.close()


def test_certificates_that_are_lost_or_spoilt_leave_those_from_before_in_use_and_it_is_said_once(
    secure: Collector, certificate: Path, other: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca, own, key = (tmp_path / name for name in ("ca.pem", "own.pem", "key.pem"))
    for file in (ca, own, key):
        renew(file, certificate.read_bytes())
    uplink = Uplink(secure.url, secret=SECRET, trust=Trust(str(ca), str(own), str(key)))
    uplink.get(CONFIG_PATH)

    def said() -> list[str]:
        """In three requests on new connections."""
        caplog.clear()
        for _ in range(3):
            uplink.close()
            assert uplink.get(CONFIG_PATH).status == 200
        return [record.getMessage() for record in caplog.records]

    with caplog.at_level(logging.INFO):
        assert said() == []
        ca.unlink()
        (lost,) = said()
        assert f"using those from before: reason='cannot read the certificates to trust from {ca}" in lost
        ca.write_text("-----BEGIN")
        (spoilt,) = said()
        assert "using those from before" in spoilt
        renew(ca, certificate.read_bytes())
        assert said() == ["certificates have changed, read again"]
        renew(key, other.read_bytes())  # half of a renewal
        (half,) = said()
        assert "cannot use the client certificate" in half
        renew(key, certificate.read_bytes())
        assert said() == ["certificates have changed, read again"]
    uplink.close()


def test_a_file_that_is_written_in_its_place_with_the_same_size_and_time_is_read_again(
    certificate: Path, other: Path, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    contents = [one.read_bytes().ljust(4000) for one in (other, certificate)]
    ca.write_bytes(contents[0])
    files = TrustFiles(Trust(str(ca)))
    first, before = files.context(), ca.stat()
    assert files.context() is first
    ca.write_bytes(contents[1])
    os.utime(ca, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files.context() is not first


def test_without_a_ca_the_systems_certificates_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert str(certificate) in find_files(Trust())


def test_an_agent_that_starts_without_its_ca_waits_for_it(
    certificate: Path, tmp_path: Path, start_agent: StartAgent
) -> None:
    state, ca, log = tmp_path / "state", tmp_path / "ca.pem", tmp_path / "agent.log"
    renew(ca, certificate.read_bytes())
    with Collector(certificate=certificate) as collector:
        enroll(state, collector.url, "a-token", ca=ca, probes={})
        ca.unlink()
        agent = start_agent(state)
        deadline = time.monotonic() + 60
        while not log.exists() or "push failed, kept" not in log.read_text():
            assert time.monotonic() < deadline
        assert f"push failed, kept: spooled_records=1 reason='cannot read the certificates to trust from {ca}" in (
            log.read_text()
        )
        renew(ca, certificate.read_bytes())
        collector.wait_for(lambda it: len(it.frames) >= 2)
        assert stop(agent) == 0
    assert json.loads((state / "status.json").read_bytes())["push"]["answer"] == "acknowledged"
