import socket
import threading
from pathlib import Path

import pytest

from agent.addresses import AddressError
from agent.tls import Trust, find_hashed_certificates
from agent.uplink import Uplink, UplinkError
from protocol.wire import CONFIG_PATH
from tests.agent.collector import LOGIN_PAGE, SECRET, Collector, Reply


def test_a_trusted_certificate_is_spoken_to(certificate: Path) -> None:
    with Collector(certificate=certificate) as collector:
        uplink = Uplink(collector.url, secret=SECRET, trust=Trust(str(certificate)))
        before = collector.now_seconds()
        answer = uplink.get(CONFIG_PATH)
        uplink.close()
        assert (answer.status, answer.etag) == (200, "first")
        assert answer.date_seconds is not None
        assert before - 1 < answer.date_seconds <= collector.now_seconds()  # to the second


def test_an_unknown_certificate_is_refused_in_words(certificate: Path) -> None:
    with Collector(certificate=certificate) as collector:
        with pytest.raises(UplinkError, match=r"certificate is not trusted .* enrol with --ca"):
            Uplink(collector.url).get(CONFIG_PATH)
        assert collector.requests == []


def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    with Collector(certificate=certificate) as collector:
        address = collector.url.replace("127.0.0.1", "localhost")
        with pytest.raises(UplinkError, match="not trusted"):
            Uplink(address, trust=Trust(str(certificate))).get(CONFIG_PATH)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("http://collector.example", "plain http"),
        ("collector.example", "must look like"),
        ("ftp://collector.example", "must look like"),
        ("https://anna:secret@collector.example", "no user name"),
        ("https://collector.example:99999", "not valid"),
        ("https://[::1", "not valid"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused_in_words(address: str, complaint: str) -> None:
    with pytest.raises(AddressError, match=complaint):
        Uplink(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8420", "http://localhost", "http://[::1]:8420"])
def test_plain_http_is_for_this_machine_only(address: str) -> None:
    assert not Uplink(address).is_encrypted
    assert not Uplink("http://10.0.0.7:8420", allow_plain_http=True).is_encrypted


def test_a_folder_before_our_paths_is_kept(collector: Collector) -> None:
    uplink = Uplink(f"{collector.url}/quarkpulse/")
    uplink.get(CONFIG_PATH)
    uplink.close()
    assert collector.requests[0][1] == f"/quarkpulse{CONFIG_PATH}"


def test_a_redirect_is_not_followed(collector: Collector) -> None:
    collector.script.append(Reply(307, LOGIN_PAGE, {"Location": f"{collector.url}/elsewhere"}))
    uplink = Uplink(collector.url, secret=SECRET)
    answer = uplink.post("/v1/push", b"{}")
    uplink.close()
    assert (answer.status, answer.content) == (307, None)
    assert len(collector.requests) == 1


def test_the_secret_is_in_no_representation() -> None:
    assert SECRET not in repr(Uplink("http://127.0.0.1", secret=SECRET))


def test_an_answer_that_trickles_is_cut_off(collector: Collector) -> None:
    collector.script.append(Reply(200, b"{", {"Transfer-Encoding": "chunked"}))
    uplink = Uplink(collector.url, secret=SECRET)
    uplink.set_patience(timeout_seconds=5.0, deadline_seconds=0.2)
    with pytest.raises(UplinkError):
        uplink.post("/v1/push", b"{}")
    uplink.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_collector_that_takes_the_call_and_says_nothing_is_given_up(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uplink = Uplink(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}", secret=SECRET)
        uplink.set_patience(timeout_seconds=0.2, deadline_seconds=5.0)
        with pytest.raises(UplinkError, match="did not answer in time"):
            uplink.post("/v1/push", b"{}")
        uplink.close()


def test_a_body_that_comes_late_is_part_of_the_round_trip() -> None:
    """Or the clock, which learns from what stands in it, would take the delay for a difference."""
    body = b'{"now": 1}'

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            threading.Event().wait(0.2)
            connection.sendall(body)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        uplink = Uplink(f"http://127.0.0.1:{server.getsockname()[1]}")
        found = uplink.post("/v1/push", b"{}")
        uplink.close()
        thread.join()
    assert found.content == {"now": 1}
    assert found.round_trip_seconds >= 0.2


def test_a_round_trip_counts_the_sleep_within_it(collector: Collector) -> None:
    """Or the clock would take an answer from before the sleep for one of now."""
    times = iter([1000.0, 29_800.0])
    uplink = Uplink(collector.url, boot=lambda: next(times))
    assert uplink.get(CONFIG_PATH).round_trip_seconds == 28_800.0
    uplink.close()


def test_an_administrators_own_bundle_is_used(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert find_hashed_certificates() is None
    with Collector(certificate=certificate) as collector:
        uplink = Uplink(collector.url)
        assert uplink.get(CONFIG_PATH).status == 200
        uplink.close()
