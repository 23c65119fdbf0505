"""Tells systemd how the agent is, by the socket that it names (sd_notify(3)); where it names none, nothing is told."""

import contextlib
import os
import socket
from collections.abc import MutableMapping

# What systemd hands to its service alone: a child that kept them could speak in the agent's name.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """One datagram for each message. A manager that does not listen is no reason to stop."""

    def __init__(self, address: str = "") -> None:
        """`address` is a path, or `@` and an abstract name; any other says that nobody listens."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")) and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def ready(self) -> None:
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """The main loop did its work; `status` is the line that `systemctl status` shows."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _send(self, message: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)


def take_notifier(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """The one that the environment names, which is taken out of it."""
    address = environment.get("NOTIFY_SOCKET", "")
    for name in VARIABLES:
        environment.pop(name, None)
    return Notifier(address)
