"""What an agent is told about the printers that it reads."""

from collections.abc import Iterable
from typing import Protocol

from collector.fleet.printers.asking import Asking
from protocol.models import PrinterConfig
from protocol.wire import MAX_PRINTERS_PER_AGENT


class ReadPrinter(Protocol):
    """What is asked of a printer of the directory."""

    @property
    def id(self) -> str: ...

    @property
    def address(self) -> str | None: ...

    @property
    def asking(self) -> Asking: ...


def printer_configs(printers: Iterable[ReadPrinter]) -> list[PrinterConfig]:
    """Those with an address; as many as an agent may have."""
    return [
        PrinterConfig(
            device_id=one.id,
            host=one.address,
            snmp=one.asking.snmp,
            ipp=one.asking.ipp,
            interval_seconds=one.asking.interval_seconds,
        )
        for one in printers
        if one.address
    ][:MAX_PRINTERS_PER_AGENT]
