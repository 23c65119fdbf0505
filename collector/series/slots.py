"""Places in arrays that grow: given out, given back, and given out again."""

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.int32]

MIN_CAPACITY = 64
GROWTH = 1.5


class SlotAllocator:
    """Numbers from 0 up. `used` is one more than the highest number ever given out."""

    def __init__(self, used: int = 0, free: list[int] | None = None) -> None:
        self.used = used
        self._free = free or []

    def __len__(self) -> int:
        """How many are given out."""
        return self.used - len(self._free)

    def take(self, count: int) -> Slots:
        """`count` numbers that nobody has, rising."""
        again = self._free[len(self._free) - min(count, len(self._free)) :]
        del self._free[len(self._free) - len(again) :]
        fresh = count - len(again)
        slots = np.concatenate((np.array(sorted(again), dtype=np.int32), np.arange(self.used, self.used + fresh)))
        self.used += fresh
        return slots.astype(np.int32)

    def give(self, slots: Slots) -> None:
        self._free.extend(slots.tolist())

    def free(self) -> list[int]:
        return list(self._free)


def capacity_for(used: int, capacity: int) -> int:
    """How long an array must be to hold `used` entries, with room to grow."""
    return capacity if used <= capacity else max(MIN_CAPACITY, int(capacity * GROWTH), used)
