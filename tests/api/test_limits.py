"""Token buckets under a clock of the test's own."""

import pytest

from collector.api.limits import Buckets, PeerBuckets, Rate, is_loopback, sender_of


class Hand:
    """A clock moved by hand, in seconds."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(name="hand")
def hand_fixture() -> Hand:
    return Hand()


def taken(buckets: Buckets, key: str, tries: int) -> int:
    return sum(buckets.take(key) == 0.0 for _ in range(tries))


def test_a_burst_passes_and_then_so_many_a_second(hand: Hand) -> None:
    buckets = Buckets(Rate(per_second=2.0, burst=10), clock=hand)
    assert taken(buckets, "a", 50) == 10
    assert buckets.take("a") == pytest.approx(0.5)
    hand.seconds += 3.0
    assert taken(buckets, "a", 50) == 6
    hand.seconds += 1_000.0
    assert taken(buckets, "a", 50) == 10


def test_whoever_waits_as_long_as_told_is_served(hand: Hand) -> None:
    buckets = Buckets(Rate(per_second=0.3, burst=1), clock=hand)
    assert buckets.take("a") == 0.0
    hand.seconds += buckets.take("a") + 1e-9
    assert buckets.take("a") == 0.0


def test_one_sender_does_not_use_up_anothers(hand: Hand) -> None:
    buckets = Buckets(Rate(per_second=1.0, burst=3), clock=hand)
    assert taken(buckets, "a", 9) == 3
    assert taken(buckets, "b", 9) == 3


def test_the_longest_unused_is_forgotten_and_whoever_floods_is_not(hand: Hand) -> None:
    buckets = Buckets(Rate(per_second=1.0, burst=3), max_keys=100, clock=hand)
    assert taken(buckets, "flood", 9) == 3
    for number in range(1_000):
        assert buckets.take(f"passer-by {number}") == 0.0
        assert buckets.take("flood") > 0.0
    assert len(buckets) == 100


def test_loopback_is_exempt_and_an_ipv6_network_is_one_sender(hand: Hand) -> None:
    peers = PeerBuckets(Buckets(Rate(per_second=1.0, burst=2), clock=hand))
    assert [peers.take(address) for address in ("127.0.0.1", "::1", None)] * 3 == [0.0] * 9
    assert [peers.take(f"2001:db8:1:2::{host}") > 0 for host in range(1, 5)] == [False, False, True, True]
    assert peers.take("2001:db8:1:3::1") == 0.0
    assert [peers.take(address) > 0 for address in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("address", "sender"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
    ],
)
def test_what_counts_as_one_sender(address: str, sender: str) -> None:
    assert sender_of(address) == sender


def test_loopback_is_told_apart() -> None:
    assert [is_loopback(address) for address in ("127.8.8.8", "::1", "192.0.2.1", "", None)] == [
        True, True, False, False, False,
    ]  # fmt: skip
