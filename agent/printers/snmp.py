"""SNMP: one device asked one question at a time, through gufo-snmp, which knows the versions, BER and the encryption.

What the library leaves to its user is here: walks that end whatever the device answers, questions that become smaller
when a device cannot take them, the end of a table told from an answer that was too big, errors that say what to do.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    BaseAuthKey,
    BasePrivKey,
    DesKey,
    Md5Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpAuthError,
    SnmpError,
    SnmpVersion,
    User,
)
from gufo.snmp.aio import SnmpSession

from agent.printers.errors import AccessRefused, BadAnswer, NoAnswer
from agent.printers.rows import Index, Value, parse_index
from agent.printers.targets import SnmpAccess
from protocol import wire

RESOLVE_SECONDS = 3.0
REPETITIONS = (16, 4, 0)  # rows asked for at once; 0: one after the other. Goes down for a device that cannot take it
MAX_ROWS = 300  # of one column
MAX_OBJECTS_PER_GET = 12
VERSIONS = {
    wire.SnmpVersion.V1: SnmpVersion.v1,
    wire.SnmpVersion.V2C: SnmpVersion.v2c,
    wire.SnmpVersion.V3: SnmpVersion.v3,
}
AUTH_KEYS: dict[wire.SnmpAuth, type[BaseAuthKey]] = {
    wire.SnmpAuth.MD5: Md5Key,
    wire.SnmpAuth.SHA1: Sha1Key,
    wire.SnmpAuth.SHA224: Sha224Key,
    wire.SnmpAuth.SHA256: Sha256Key,
    wire.SnmpAuth.SHA384: Sha384Key,
    wire.SnmpAuth.SHA512: Sha512Key,
}
PRIVACY_KEYS: dict[wire.SnmpPrivacy, type[BasePrivKey]] = {
    wire.SnmpPrivacy.DES: DesKey,
    wire.SnmpPrivacy.AES128: Aes128Key,
    wire.SnmpPrivacy.AES192: Aes192Key,
    wire.SnmpPrivacy.AES256: Aes256Key,
}
PANIC = "PanicException"  # of the library's Rust part, on a header that it cannot make sense of; has no importable name

T = TypeVar("T")


class SnmpClient:
    """One device. Its questions are asked one after the other, and answers of other addresses never get here: the
    library's socket is connected to the device's."""

    def __init__(
        self,
        address: str,
        access: SnmpAccess,
        *,
        repetitions: int | None = None,
        timeout_seconds: float,
        attempts: int,
    ) -> None:
        """`address` is an IP address. Raises NoAnswer if there is no way to it."""
        bulk = REPETITIONS[0] if repetitions is None else repetitions
        self.repetitions = 0 if access.version is wire.SnmpVersion.V1 else bulk
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._has_answered = False
        self._takes_bulk = False  # seen to
        self.asked_singly: set[str] = set()
        user = make_user(access) if access.version is wire.SnmpVersion.V3 else None
        try:
            self._session = SnmpSession(
                address,
                port=access.port,
                community=access.community,
                user=user,
                version=VERSIONS[access.version],
                timeout=timeout_seconds,
            )
        except OSError as error:
            raise NoAnswer(f"no way to {address} ({error})") from error

    async def open(self) -> None:
        """Find out what version 3 needs to know; nothing is sent for the others. Raises NoAnswer and AccessRefused."""
        if self._access.version is wire.SnmpVersion.V3:
            await self._ask(self._session.refresh)
            self._has_answered = False  # its engine did, which answers everybody

    async def get(self, objects: Sequence[str]) -> dict[str, Value]:
        """What there is of these objects, by their full numbers; `asked_singly` grows by those of a question that had
        to be asked one by one. Raises NoAnswer, BadAnswer and AccessRefused."""
        found: dict[str, Value] = {}
        for start in range(0, len(objects), MAX_OBJECTS_PER_GET):
            part = objects[start : start + MAX_OBJECTS_PER_GET]
            some = await self._get_many(part)
            if not some and len(part) > 1:
                # Version 1 answers nothing if one of them is missing, and some agents of the others do so, too.
                self.asked_singly.update(part)
                for oid in part:
                    some |= await self._get_many([oid])
            found |= {oid: value for oid, value in some.items() if oid in part}
        return found

    async def _get_many(self, objects: Sequence[str]) -> dict[str, Value]:
        return {**await self._ask(lambda: self._session.get_many(objects))}

    async def walk(self, column: str) -> dict[Index, Value]:
        """A column by index, at most MAX_ROWS of it. Raises NoAnswer, BadAnswer and AccessRefused."""
        before = self.repetitions
        while True:
            try:
                return await self._walk(column)
            except (NoAnswer, BadAnswer):
                if self.repetitions == 0:
                    if self._takes_bulk:  # it is this column that it does not answer, however it is asked
                        self.repetitions = before
                    raise
                self.repetitions = next(size for size in REPETITIONS if size < self.repetitions)

    async def _walk(self, column: str) -> dict[Index, Value]:
        is_last_try = self.repetitions == 0
        rows = await self._collect(
            column, self._session.getbulk(column, self.repetitions) if self.repetitions else None
        )
        if rows and not is_last_try:
            self._takes_bulk = True
        elif not is_last_try and not self._takes_bulk:
            # An empty column, or an agent that finds its own answer too big and sends none: ask for one row.
            rows = await self._collect(column, None)
            if rows:
                self.repetitions = 0
        return rows

    async def _collect(self, column: str, bulk: AsyncIterator[tuple[str, Value]] | None) -> dict[Index, Value]:
        """Until it leaves the column, or turns in a circle: tables in odd order are read, endless ones end."""
        rows: dict[Index, Value] = {}
        iterator = self._session.getnext(column) if bulk is None else bulk
        while len(rows) < MAX_ROWS:
            found = await self._ask(lambda: anext(iterator, None), attempts=self._attempts if bulk is None else 1)
            if found is None:
                break
            oid, value = found
            index = parse_index(oid, column)
            if index is None or index in rows:
                break
            rows[index] = value
        return rows

    async def _ask(self, question: Callable[[], Awaitable[T]], attempts: int | None = None) -> T:
        left = attempts or self._attempts
        while True:
            left -= 1
            try:
                answer = await self._ask_once(question)
            except (NoAnswer, BadAnswer):
                if left <= 0:
                    raise
            else:
                self._has_answered = True
                return answer

    async def _ask_once(self, question: Callable[[], Awaitable[T]]) -> T:
        try:
            async with self._limit():
                return await question()
        except SnmpAuthError as error:
            raise AccessRefused(self._refusal()) from error
        except SnmpError as error:
            raise BadAnswer(f"its answer is no SNMP ({error})") from error
        except TimeoutError as error:
            if self._is_known_but_silent():
                raise AccessRefused(self._refusal()) from error
            raise NoAnswer(self._silence(str(error.__cause__ or error))) from error
        except OSError as error:
            raise NoAnswer(f"cannot be reached ({error})") from error
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            raise BadAnswer("its answer is no SNMP") from None

    def _limit(self) -> asyncio.Timeout:
        """Of one question: other answers than ours may keep the library busy."""
        return asyncio.timeout(2 * self._timeout_seconds)

    def _is_known_but_silent(self) -> bool:
        """Whether its engine has told its name, and nothing else since."""
        is_v3 = self._access.version is wire.SnmpVersion.V3
        return is_v3 and not self._has_answered and bool(self._session.get_engine_id())

    def _refusal(self) -> str:
        if self._access.version is wire.SnmpVersion.V3:
            return (
                f"answers, and refuses the user {self._access.user!r}: check the name, the passwords and the algorithms"
                f" ({self._access.auth or 'no authentication'}, {self._access.privacy or 'no privacy'})"
            )
        return "answers, and refuses this community"

    def _silence(self, detail: str) -> str:
        if "refused" in detail:
            return f"nothing listens on UDP port {self._access.port}: SNMP is off there"
        if self._has_answered:
            return "fell silent in the middle"
        hint = "" if self._access.version is wire.SnmpVersion.V3 else ", or to this community"
        return (
            f"no answer on UDP port {self._access.port}, asked {self._attempts} times for {self._timeout_seconds:g} s:"
            f" switched off, another address, or it does not answer SNMP version {self._access.version.value}{hint}"
        )


def make_user(access: SnmpAccess) -> User:
    auth = privacy = None
    if access.auth:
        auth = AUTH_KEYS[access.auth](access.auth_password.encode())
    if access.privacy:
        privacy = PRIVACY_KEYS[access.privacy](access.privacy_password.encode())
    return User(access.user, auth_key=auth, priv_key=privacy)


async def resolve(host: str) -> str:
    """An address of this host. Raises NoAnswer."""
    with contextlib.suppress(ValueError):
        return str(ip_address(host))  # asks no name server, and waits for no thread
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise NoAnswer(f"there is no address of {host} ({str(error) or 'no answer in time'})") from error
    # Where a name has addresses of both kinds, printers answer SNMP by IPv4 more often than not.
    first = next((one for one in found if one[0] is socket.AF_INET), found[0])
    return str(first[4][0])
