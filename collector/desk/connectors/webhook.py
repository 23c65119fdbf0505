"""Tells an address of the operator's what happened to tickets: a signed POST of JSON.

`Quarkpulse-Signature: t=<Unix seconds>,v1=<hex>` is HMAC-SHA256 of `<t>.<body>` under the shared secret; `t` lets a
receiver refuse what was recorded and sent again. `Idempotency-Key` stays the same however often a message is tried.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import orjson

from collector.clock import Clock
from collector.desk.delivery import Message, PutOffError, RefusedError

TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=5.0)
MAX_ANSWER_BYTES = 65_536
SIGNATURE = "Quarkpulse-Signature"
# What is wrong with this one message. Anything else, such as a wrong secret, is for the operator to mend.
NEVER = frozenset({400, 413, 422})

_TICKET_FIELDS = (
    "number",
    "customer",
    "site",
    "device",
    "rule",
    "title",
    "status",
    "priority",
    "category",
    "assignee",
    "escalated_to",
    "opened_at",
    "began_at",
    "resolved_at",
)


class Webhook:
    """`url` and `secret` are the operator's secrets: no message of an error names them."""

    name = "webhook"

    def __init__(
        self, url: str, secret: str, clock: Clock, *, session: Callable[[], aiohttp.ClientSession] | None = None
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._session = session or (lambda: aiohttp.ClientSession(timeout=TIMEOUT, trust_env=False))

    async def send(self, message: Message) -> None:
        """Raises PutOffError or RefusedError. Redirects are not followed: they would carry the message elsewhere."""
        body = body_of(message)
        seconds = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Quarkpulse",
            "Idempotency-Key": message.key,
            SIGNATURE: f"t={seconds},v1={signature(self._secret, seconds, body)}",
        }
        try:
            async with (
                self._session() as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                await _drain(response)
                status = response.status
        except TimeoutError:
            raise PutOffError(f"{self._host}: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # their texts may hold the whole address
            raise PutOffError(f"{self._host}: {type(error).__name__}") from None
        if status in NEVER:
            raise RefusedError(f"{self._host}: status {status}")
        if not 200 <= status < 300:
            what = "a redirect, which is not followed" if 300 <= status < 400 else "no success"
            raise PutOffError(f"{self._host}: status {status}, {what}")

    @property
    def _host(self) -> str:
        return urlsplit(self._url).hostname or "webhook"


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Reads what a receiver may say, and no more; the rest is cut off with the connection."""
    read = 0
    async for chunk in response.content.iter_chunked(8192):
        read += len(chunk)
        if read > MAX_ANSWER_BYTES:
            response.close()
            return


def body_of(message: Message) -> bytes:
    ticket = asdict(message.ticket)
    told: Mapping[str, object] = {
        "key": message.key,
        "kind": message.kind,
        "at": _time(message.at),
        "actor": message.actor,
        "data": message.data,
        "ticket": {
            name: _time(ticket[name]) if isinstance(ticket[name], datetime) else ticket[name] for name in _TICKET_FIELDS
        },
    }
    return orjson.dumps(told)


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    return hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
