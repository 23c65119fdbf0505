"""A small SNMP agent (version 1 and 2c): it serves recorded objects fast, and a test can make it misbehave."""

import socket
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

Oid: TypeAlias = tuple[int, ...]
Encoded: TypeAlias = bytes  # a value with its tag

GET, GET_NEXT, RESPONSE, GET_BULK = 0xA0, 0xA1, 0xA2, 0xA5
SEQUENCE, INTEGER, OCTETS, NULL, OBJECT_ID = 0x30, 0x02, 0x04, 0x05, 0x06
COUNTER32, GAUGE32, TIME_TICKS = 0x41, 0x42, 0x43
NO_SUCH_OBJECT, END_OF_MIB_VIEW = b"\x80\x00", b"\x82\x00"
NO_SUCH_NAME = 2
VERSION_1 = 0


class Request(NamedTuple):
    version: int
    community: bytes
    kind: int
    request_id: int
    repetitions: int
    objects: tuple[Oid, ...]


def tagged(tag: int, content: bytes) -> Encoded:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(value: int, tag: int = INTEGER) -> Encoded:
    return tagged(tag, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True))


def octets(value: bytes) -> Encoded:
    return tagged(OCTETS, value)


def object_id(oid: Oid) -> Encoded:
    content = bytearray([40 * oid[0] + oid[1]])
    for number in oid[2:]:
        part = [number & 0x7F]
        while number := number >> 7:
            part.append(number & 0x7F | 0x80)
        content += bytes(reversed(part))
    return tagged(OBJECT_ID, bytes(content))


def parse_oid(text: str) -> Oid:
    return tuple(map(int, text.split(".")))


def split(content: bytes) -> list[tuple[int, bytes]]:
    """The parts of a constructed value. Raises IndexError or ValueError for what is none."""
    parts = []
    offset = 0
    while offset < len(content):
        tag, size = content[offset], content[offset + 1]
        offset += 2
        if size & 0x80:
            length = size & 0x7F
            size = int.from_bytes(content[offset : offset + length], "big")
            offset += length
        parts.append((tag, content[offset : offset + size]))
        offset += size
    return parts


def decode_object_id(content: bytes) -> Oid:
    numbers = [content[0] // 40, content[0] % 40]
    number = 0
    for octet in content[1:]:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    return tuple(numbers)


def decode_request(datagram: bytes) -> Request:
    (_, message), *_ = split(datagram)
    (_, version), (_, community), (kind, pdu) = split(message)
    (_, request_id), _, (_, repetitions), (_, bindings) = split(pdu)
    objects = tuple(decode_object_id(split(binding)[0][1]) for _, binding in split(bindings))
    return Request(
        int.from_bytes(version, "big"),
        community,
        kind,
        int.from_bytes(request_id, "big", signed=True),
        int.from_bytes(repetitions, "big", signed=True),
        objects,
    )


def encode_response(request: Request, bindings: Sequence[tuple[Oid, Encoded]], error: int = 0, at: int = 0) -> bytes:
    listed = b"".join(tagged(SEQUENCE, object_id(oid) + value) for oid, value in bindings)
    pdu = integer(request.request_id) + integer(error) + integer(at) + tagged(SEQUENCE, listed)
    return tagged(SEQUENCE, integer(request.version) + octets(request.community) + tagged(RESPONSE, pdu))


class Objects:
    """What a device holds, in the order of the numbers."""

    def __init__(self, found: Mapping[Oid, Encoded]) -> None:
        self.values = dict(found)
        self._order = sorted(self.values)

    def after(self, oid: Oid) -> tuple[Oid, Encoded] | None:
        at = bisect_right(self._order, oid)
        return (self._order[at], self.values[self._order[at]]) if at < len(self._order) else None

    def answer(self, request: Request) -> bytes:
        bindings: list[tuple[Oid, Encoded]] = []
        missing = b"\x05\x00" if request.version == VERSION_1 else None
        for place, oid in enumerate(request.objects, start=1):
            if request.kind == GET:
                found = (oid, self.values.get(oid, missing or NO_SUCH_OBJECT))
                if found[1] == missing:
                    nothing = [(one, b"\x05\x00") for one in request.objects]
                    return encode_response(request, nothing, NO_SUCH_NAME, place)
                bindings.append(found)
                continue
            last = oid
            for _ in range(request.repetitions if request.kind == GET_BULK else 1):
                after = self.after(last)
                if after is None:
                    if missing is not None:
                        return encode_response(request, [(last, missing)], NO_SUCH_NAME, place)
                    bindings.append((last, END_OF_MIB_VIEW))
                    break
                bindings.append(after)
                last = after[0]
        return encode_response(request, bindings)


def load_recording(path: Path) -> dict[Oid, Encoded]:
    """Of a `.snmprec` file; what is no number, text or object is left out."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        oid, kind, value = line.split("|", 2)
        if kind in ("2", "65", "66", "67"):
            tag = {"2": INTEGER, "65": COUNTER32, "66": GAUGE32, "67": TIME_TICKS}[kind]
            found[parse_oid(oid)] = integer(int(value), tag)
        elif kind in ("4", "4x"):
            found[parse_oid(oid)] = octets(bytes.fromhex(value) if kind == "4x" else value.encode())
        elif kind == "6":
            found[parse_oid(oid)] = object_id(parse_oid(value))
    return found


Answer = Callable[[Request], Sequence[bytes]]


class Device:
    """Answers on a loopback port of its own, in a thread. `answer` gives the datagrams to send back for a request."""

    def __init__(self, answer: Answer, *, keep_requests: bool = True) -> None:
        self.requests: list[Request] = []
        self._keep_requests = keep_requests
        self.peer = ("", 0)  # who asked last
        self.on_silence: Callable[[], object] = lambda: None  # called where it gives no answer
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="device")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))  # an empty datagram ends it
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            datagram, self.peer = self._socket.recvfrom(65_535)
            if not datagram:
                return
            request = decode_request(datagram)
            if self._keep_requests:
                self.requests.append(request)
            answers = self._answer(request)
            for one in answers:
                self._socket.sendto(one, self.peer)
            if not answers:
                self.on_silence()
