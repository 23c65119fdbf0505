"""Files that are whole or absent, also after a power cut."""

import contextlib
import os
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def write_atomically(path: Path | str, content: bytes) -> None:
    """Write beside, fsync, rename, fsync the folder. Readable by the owner only. Raises OSError."""
    folder, beside = place_beside(path)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105 - see place_beside
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)  # noqa: PTH108 - likewise; a full disk must not keep the half of it
        raise
    sync_folder(folder)


def replace_whole(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write beside and rename, for what may be lost with the power. Readable by the owner only, unless `mode` says
    otherwise. Raises OSError."""
    _, beside = place_beside(path)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    os.replace(beside, path)  # noqa: PTH105 - see place_beside


def place_beside(path: Path | str) -> tuple[str, str]:
    """The folder, and what the file is called until it is whole.

    Text, not a Path: that interns each new name, and of a thousand names a day Python's table of interned strings
    doubles one day, by half a MiB that an agent keeps."""
    folder, name = os.path.split(path)
    return folder, f"{folder}{os.sep if folder else ''}.{name}.tmp"


def sync_folder(folder: Path | str) -> None:
    """Make a rename or a new name in this folder durable."""
    if os.name == "nt":
        return  # folders cannot be opened there; NTFS journals its names
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
