"""Disks that a test fills; conftest.py has a small one of its own."""

import os
from pathlib import Path


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            for size in (1 << 20, 4096, 1):
                while True:
                    try:
                        file.write(b"x" * size)
                    except OSError:
                        break
        finally:
            os.fsync(file.fileno())
