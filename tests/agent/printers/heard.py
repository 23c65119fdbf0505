"""A client that is never too early: a device of the test's own tells when it keeps silent."""

import asyncio

from agent.printers.snmp import SnmpClient
from agent.printers.targets import Secret, SnmpAccess
from bench._snmp_device import Device
from protocol.wire import SnmpVersion

PATIENCE_SECONDS = 60.0


class Heard(SnmpClient):
    """Waits for an answer for as long as a busy machine takes; where the device gives none, time is over at once."""

    def __init__(
        self, device: Device, version: SnmpVersion, *, repetitions: int | None = None, attempts: int = 1
    ) -> None:
        super().__init__(
            "127.0.0.1",
            SnmpAccess(version, device.port, Secret("public")),
            repetitions=repetitions,
            timeout_seconds=PATIENCE_SECONDS,
            attempts=attempts,
        )
        self._loop = asyncio.get_running_loop()
        device.on_silence = lambda: self._loop.call_soon_threadsafe(self._end)

    def _limit(self) -> asyncio.Timeout:
        self._limited = super()._limit()
        return self._limited

    def _end(self) -> None:
        self._limited.reschedule(self._loop.time())
