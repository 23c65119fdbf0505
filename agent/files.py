"""Files that are whole or absent, also after a power cut."""

import os
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, fsync, rename, fsync the folder. Readable by the owner only. Raises OSError."""
    beside = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)  # a full disk must not keep the half of it
        raise
    sync_folder(path.parent)


def replace_whole(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write beside and rename, for what may be lost with the power. Readable by the owner only, unless `mode` says
    otherwise. Raises OSError."""
    beside = path.with_name(f".{path.name}.tmp")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    beside.replace(path)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in this folder durable."""
    if os.name == "nt":
        return  # folders cannot be opened there; NTFS journals its names
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
