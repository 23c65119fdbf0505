"""Requests whose head is, but for the body's length, byte for byte the one that came before on the same connection.

An agent's pushes are all of that kind. What the parser found in such a head once holds for it again, so that it need
not be parsed anew. Where a request begins and ends stays the parser's matter: this looks only at what begins where the
parser has nothing left over, and says nothing where a request could be read in two ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "
MAX_DIGITS = 15


class Framing(NamedTuple):
    """Of a request whose head is all there: where it ends, where in it the digits of Content-Length stand (0 and 0:
    nowhere), and how long the body is."""

    head_bytes: int
    digits_begin: int
    digits_end: int
    body_bytes: int

    @classmethod
    def of(cls, data: bytes) -> "Framing | None":
        """Of the request that begins `data`; None if its head is not all there, or not plain about the body."""
        head_bytes = data.find(HEAD_END) + len(HEAD_END)
        if head_bytes < len(HEAD_END):
            return None
        head = data[:head_bytes].lower()
        told = head.count(b"content-length")
        if told > 1 or b"transfer-encoding" in head:
            return None
        if not told:
            return cls(head_bytes, 0, 0, 0)
        place = head.find(LENGTH)
        begin = place + len(LENGTH)
        end = head.find(b"\r\n", begin)
        digits = head[begin:end]
        if place < 0 or len(digits) > MAX_DIGITS or not digits.isdigit():
            return None
        return cls(head_bytes, begin, end, int(digits))


@dataclass(frozen=True, slots=True)
class RepeatedHead:
    """A head that was parsed, in two parts: up to the digits of Content-Length, and behind them."""

    before: bytes
    after: bytes
    headers: Mapping[str, str]  # as parsed; Content-Length is that of the first such request

    @classmethod
    def of(cls, request: bytes, headers: Mapping[str, str]) -> Self | None:
        """That of a whole request, in which the parser found these headers."""
        framing = Framing.of(request)
        if framing is None or not framing.digits_end:
            return None
        begin, end = framing.digits_begin, framing.digits_end
        return cls(request[:begin], request[end : framing.head_bytes], headers)

    def body_of(self, data: bytes, most: int) -> bytes | None:
        """The body, if `data` is one whole request with this head and a body of at most so many bytes."""
        begin = len(self.before)
        end = data.find(b"\r\n", begin, begin + MAX_DIGITS)
        if end < 0 or not data.startswith(self.before) or not data.startswith(self.after, end):
            return None
        body = end + len(self.after)
        size = len(data) - body
        return data[body:] if 0 < size <= most and data[begin:end] == b"%d" % size else None


class Boundary:
    """Whether a connection's parser is between two requests, told from what it was fed and what it gave."""

    __slots__ = ("_missing",)

    def __init__(self) -> None:
        self._missing: int | None = 0  # bytes until the request under way is over; None: it cannot be told any more

    @property
    def is_here(self) -> bool:
        return self._missing == 0

    def fed(self, data: bytes, requests: int) -> None:
        """The parser was fed this, and gave so many requests."""
        missing = self._missing
        if missing is None or not data:
            return
        expected = 0
        if missing == 0:
            framing = Framing.of(data)
            missing = -1 if framing is None else framing.head_bytes + framing.body_bytes
            expected = 1
        missing -= len(data)
        self._missing = missing if missing >= 0 and requests == expected else None
