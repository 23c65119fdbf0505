"""The way to the collector: names in any script, several addresses, and that no step of it can hold the agent up."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.addresses import parse_proxy
from agent.connection import open_socket
from agent.uplink import Uplink, UplinkError
from protocol.wire import CONFIG_PATH
from tests.agent.collector import SECRET, Collector
from tests.agent.proxy import ConnectProxy

DEADLINE_SECONDS = 0.2


@contextmanager
def trickling(told: bytes) -> Iterator[int]:
    """The port of somebody who begins so, and then says a byte now and then, for ever."""
    is_over = threading.Event()

    def trickle() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(told)
            while not is_over.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            is_over.set()
            thread.join()


def ask_in_vain(uplink: Uplink) -> float:
    """Seconds until it was given up."""
    uplink.set_patience(timeout_seconds=5.0, deadline_seconds=DEADLINE_SECONDS)
    began = time.monotonic()
    with pytest.raises(UplinkError):
        uplink.get(CONFIG_PATH)
    uplink.close()
    return time.monotonic() - began


def test_a_handshake_that_trickles_is_cut_off() -> None:
    with trickling(b"\x16\x03\x03\x40\x00") as port:  # the head of a TLS record of 16 KiB
        assert ask_in_vain(Uplink(f"https://127.0.0.1:{port}")) < 60.0


def test_a_proxy_that_trickles_is_cut_off() -> None:
    with trickling(b"HTTP/1.1 200 Connection esta") as port:
        proxy = parse_proxy(f"127.0.0.1:{port}")
        assert ask_in_vain(Uplink("https://c.example", proxy=proxy)) < 60.0


@pytest.mark.parametrize(
    ("address", "authority", "host"),
    [
        ("http://c.example", "c.example:80", "c.example"),
        ("http://c.example:8420", "c.example:8420", "c.example:8420"),
        ("http://[::1]:8420", "[::1]:8420", "[::1]:8420"),
        ("http://bücher.example", "xn--bcher-kva.example:80", "xn--bcher-kva.example"),
    ],
)
def test_how_the_collector_is_named_to_a_proxy_and_to_itself(
    collector: Collector, address: str, authority: str, host: str
) -> None:
    with ConnectProxy(collector.port) as proxy:
        uplink = Uplink(address, secret=SECRET, allow_plain_http=True, proxy=parse_proxy(proxy.address))
        assert uplink.get(CONFIG_PATH).status == 200
        uplink.close()
        (asked,) = proxy.asked
    assert asked == f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    assert collector.requests[0][2]["Host"] == host


def test_an_address_of_the_host_that_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent, socket.create_server(("127.0.0.1", 0)) as server:
        silent.bind(("127.0.0.1", 0))  # and does not listen
        nobody = silent.getsockname()
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        addresses = [(*kind, nobody), (*kind, server.getsockname())]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        with open_socket(b"c.example", 443, 60.0) as found:
            assert found.getpeername() == server.getsockname()
        del addresses[1]
        with pytest.raises(ConnectionRefusedError):
            open_socket(b"c.example", 443, 60.0)


def test_a_name_that_cannot_be_is_no_answer() -> None:
    with pytest.raises(UplinkError, match="cannot be reached"):
        Uplink(f"https://{'ä' * 64}.example").get(CONFIG_PATH)
