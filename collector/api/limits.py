"""How often one sender may ask: a token bucket for each credential, or for each address where there is none yet."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

# An IPv6 customer has a /64 at least; its single addresses are as many as it likes.
IPV6_SENDER_BITS = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and then `per_second`; what is not used is saved up to `burst`."""

    per_second: float
    burst: int


# An agent pushes once a minute, and five times a second at most while it catches up; other senders may have more to
# say. What this stops is a program that runs wild.
PUSH_RATE = Rate(per_second=500.0, burst=20_000)
# A provider rolls out to an office in one go, and the whole office has one address.
ENROLMENT_RATE = Rate(per_second=2.0, burst=300)
# An office full of revoked agents asks once every 5 to 15 minutes for each of them.
FAILURES_RATE = Rate(per_second=1.0, burst=100)
MAX_KEYS = 50_000  # of one kind; about 10 MB


class Buckets:
    """One token bucket for each key, the least recently used forgotten beyond `max_keys`.

    A bucket is a single number, the time at which it will be full again (the generic cell rate algorithm)."""

    def __init__(self, rate: Rate, *, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds that never go backwards."""
        self._seconds_per_token = 1.0 / rate.per_second
        self._slack_seconds = (rate.burst - 1) / rate.per_second
        self._max_keys = max_keys
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float:
        """Takes a token of this key. 0.0 if there was one, else the seconds until there will be."""
        now = self._clock()
        full_at = self._full_at.get(key)
        if full_at is None:
            if len(self._full_at) >= self._max_keys:
                self._full_at.popitem(last=False)
            full_at = now
        else:
            self._full_at.move_to_end(key)
            if full_at < now:
                full_at = now
            elif full_at - now > self._slack_seconds:
                return full_at - now - self._slack_seconds
        self._full_at[key] = full_at + self._seconds_per_token
        return 0.0

    def give_back(self, key: str) -> None:
        """Undoes a `take` of this key that went well."""
        if key in self._full_at:
            self._full_at[key] -= self._seconds_per_token


class PeerBuckets:
    """Buckets by the address of the peer. Loopback is exempt: a proxy of the operator's own stands there."""

    def __init__(self, buckets: Buckets, is_exempt: Callable[[str], bool] | None = None) -> None:
        self._buckets = buckets
        self._is_exempt = is_exempt or is_loopback

    def take(self, address: str | None) -> float:
        """As `Buckets.take`; without an address (a socket that is no network's) always 0.0."""
        if address is None or self._is_exempt(address):
            return 0.0
        return self._buckets.take(sender_of(address))


def is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=4_096)
def sender_of(address: str) -> str:
    """What counts as one sender: an IPv4 address, or the network that an IPv6 address is of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed.packed[: IPV6_SENDER_BITS // 8] + bytes(8), IPV6_SENDER_BITS)))
