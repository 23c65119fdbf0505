"""Which devices were seen when, as far as their samples tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from collector.alerting.replay import stretches
from collector.clock import to_milliseconds
from collector.promql import Engine, compile_expr
from collector.series.read import Mask, Times

# Every agent sends one of them with every frame.
PRESENCE = compile_expr(
    'max by (device_id) ({__name__=~"system_uptime_seconds|printer_reachable|agent_clock_offset_seconds"})'
)


@dataclass(slots=True)
class Seen:
    """Filled stretch by stretch, in order; between instants the one before counts."""

    step: timedelta
    _times: list[Times] = field(default_factory=list)
    _present: list[Mapping[str, Mask]] = field(default_factory=list)

    def read(self, engine: Engine, start: datetime, end: datetime) -> None:
        """Raises PromqlError."""
        for first, last in stretches(start, end, self.step):
            matrix = engine.range(PRESENCE, first, last, self.step // timedelta(milliseconds=1))
            devices = [labels.get("device_id", "") for labels in matrix.label_sets()]
            self._times.append(matrix.times)
            self._present.append(dict(zip(devices, np.asarray(matrix.present), strict=True)))

    @property
    def is_read(self) -> bool:
        return bool(self._times)

    def is_seen(self, device: str, at: datetime) -> bool:
        """A device that sent none of those metrics at all is taken as seen: there is nothing to judge by."""
        return self._found(device, at) is not False

    def _found(self, device: str, at: datetime) -> bool | None:
        moment = to_milliseconds(at)
        for times, present in zip(reversed(self._times), reversed(self._present), strict=True):
            if len(times) and times[0] <= moment:
                place = min(int(np.searchsorted(times, moment, side="right")) - 1, len(times) - 1)
                mask = present.get(device)
                if mask is not None:
                    return bool(mask[place])
                return None if not any(device in one for one in self._present) else False
        return None
