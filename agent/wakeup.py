"""What the main thread sleeps on: until a signal, a call from another thread, or a time."""

import contextlib
import select
import signal
import socket
import threading
from types import FrameType, TracebackType
from typing import Self


class Wakeup:
    """Lets the main thread sleep until a signal, a call from another thread, or a time: a socket pair and select.

    A signal handler must not touch a threading.Event: it may interrupt the very wait that holds the event's lock."""

    def __init__(self) -> None:
        self.signalled = False
        self.is_shutdown = False
        self._sleep_announced = False
        self._receiver, self._trigger = socket.socketpair()
        self._receiver.setblocking(False)
        self._trigger.setblocking(False)
        self._hears_signals = False

    def __enter__(self) -> Self:
        # Python lets the main thread alone have them; a Windows service runs in another, and is told otherwise.
        self._hears_signals = threading.current_thread() is threading.main_thread()
        if not self._hears_signals:
            return self
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if hasattr(signal, "SIGUSR1"):  # not on Windows
            signal.signal(signal.SIGUSR1, self._on_sleep)
        signal.set_wakeup_fd(self._trigger.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hears_signals:
            signal.set_wakeup_fd(-1)
        self._receiver.close()
        self._trigger.close()

    def stop(self, *, is_shutdown: bool) -> None:
        """End the run, from another thread; `is_shutdown`: because the machine stops."""
        self.is_shutdown = is_shutdown
        self.signalled = True
        self.wake()

    def announce_sleep(self) -> None:
        """Say from another thread that the machine goes to sleep."""
        self._sleep_announced = True
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already
            self._trigger.send(b"w")

    def wait(self, seconds: float) -> bool:
        """Whether the time passed undisturbed."""
        ready, _, _ = select.select([self._receiver], [], [], max(0.0, seconds))
        if ready:
            with contextlib.suppress(OSError):
                self._receiver.recv(4096)
        return not ready

    def take_sleep(self) -> bool:
        """Whether somebody said, since this was asked last, that the machine goes to sleep."""
        announced, self._sleep_announced = self._sleep_announced, False
        return announced

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signalled = True

    def _on_sleep(self, number: int, frame: FrameType | None) -> None:
        self._sleep_announced = True
