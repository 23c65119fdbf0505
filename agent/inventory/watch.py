"""Has the inventory read every six hours, and tells the agent when it is to be sent: when it has changed, and daily."""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from agent.answering import ask
from agent.files import write_atomically
from agent.probes.base import DAILY_INTERVAL_SECONDS, Metric, ProbeFailed, Sample
from agent.probes.parsing import dig
from agent.state import StateFolder, encode
from protocol.wire import MAX_INVENTORY_BYTES

SENT_AGAIN_SECONDS = DAILY_INTERVAL_SECONDS
MARGIN_SECONDS = 10.0
SOURCE = "the reader of the inventory"
PASSING = ("read_at", "users")  # who is logged in changes all day, and is no reason to send


class InventoryProbe:
    """A probe without samples: what it reads goes beside the frames."""

    name = "inventory"
    isolated = True
    interval_seconds = DAILY_INTERVAL_SECONDS / 4
    timeout_seconds = 300.0
    metrics: tuple[Metric, ...] = ()

    def __init__(
        self,
        folder: StateFolder,
        now: Callable[[], float],
        *,
        interpreter: Sequence[str] = (sys.executable, "-P", "-m"),
    ) -> None:
        """`now` in Unix seconds."""
        self._path = folder.inventory_path  # {digest, sent_at}: of the inventory that was sent last
        self._now = now
        self._command = [*interpreter, "agent.inventory", str(folder.path.absolute())]
        self._waiting: dict[str, Any] | None = None
        sent = folder.load_optional(self._path)
        self._digest, sent_at = sent.get("digest"), sent.get("sent_at")
        self._sent_at = float(sent_at) if isinstance(sent_at, int | float) else 0.0

    def sample(self) -> list[Sample]:
        content = ask(
            self._command,
            SOURCE,
            timeout_seconds=self.timeout_seconds - MARGIN_SECONDS,
            max_bytes=2 * MAX_INVENTORY_BYTES,
        )
        inventory = dig(content, "inventory")
        if not isinstance(inventory, dict):
            raise ProbeFailed(f"{SOURCE} gave none")
        is_due = not 0 <= self._now() - self._sent_at < SENT_AGAIN_SECONDS
        if is_due or digest_of(inventory) != self._digest:
            self._waiting = {"read_at": int(self._now() * 1000), **inventory}
        return []

    def take(self) -> dict[str, Any] | None:
        """The inventory, if it is to be sent. Whoever takes it keeps it durably: it is not given again."""
        inventory, self._waiting = self._waiting, None
        if inventory is not None:
            self._digest, self._sent_at = digest_of(inventory), self._now()
            with contextlib.suppress(OSError):  # then it is sent once more after the next start
                write_atomically(self._path, encode({"digest": self._digest, "sent_at": self._sent_at}))
        return inventory


def digest_of(inventory: dict[str, Any]) -> str:
    lasting = {name: content for name, content in inventory.items() if name not in PASSING}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
