"""What happens between two frames and goes out with the next: bounded, and filled from more than one thread."""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import cast

from protocol.wire import Event, EventType

MAX_WAITING = 200


class Events:
    """Waiting events. When there are too many the oldest goes: the last one may be the goodbye."""

    def __init__(self, now_milliseconds: Callable[[], int], make_id: Callable[[], str]) -> None:
        self.dropped = 0
        self._now_milliseconds = now_milliseconds
        self._make_id = make_id
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque()

    def add(self, type: EventType, **details: object) -> None:  # noqa: A002 - the wire's word
        event = {"id": self._make_id(), "t": self._now_milliseconds(), "type": type.value, **details}
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(cast(Event, event))

    def take(self) -> list[Event]:
        """All that wait, oldest first; they then wait no longer."""
        with self._lock:
            taken, self._waiting = self._waiting, deque()
        return list(taken)


def make_uuid() -> str:
    """A random UUID (version 4), without loading the uuid module."""
    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    text = number.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
