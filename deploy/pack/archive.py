"""A folder as a .tar.gz, the same bytes for the same content."""

import gzip
import tarfile
from pathlib import Path


def write_archive(tree: Path, archive: Path, name: str, date: int, *, compression: int = 9) -> None:
    """`name` is the folder that it unpacks to; `compression` from 0 (none) to 9."""

    def settle(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = date
        return entry

    archive.parent.mkdir(parents=True, exist_ok=True)
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=compression, mtime=date) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.add(tree, name, recursive=False, filter=settle)
        for path in sorted(tree.rglob("*")):
            tar.add(path, f"{name}/{path.relative_to(tree)}", recursive=False, filter=settle)
