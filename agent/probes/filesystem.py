"""File systems that people can fill: local ones, network mounts, tmpfs; each only once."""

import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample

logger = logging.getLogger(__name__)

MOUNT_LABELS = ("system_device", "system_filesystem_mountpoint", "system_filesystem_type")
STATE = "system_filesystem_state"
MOUNTINFO = Path("/proc/self/mountinfo")

# A network mount that does not answer within this time is left out of the reading; its thread waits on.
REMOTE_TIMEOUT_SECONDS = 2.0
MAX_REMOTE_MOUNTS = 64  # a thread each: a server with thousands of mounted homes has its first ones looked at

# Kernel interfaces that look like file systems.
PSEUDO_TYPES = frozenset({
    "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devfs", "devpts", "devtmpfs",
    "efivarfs", "fusectl", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.snapfuse", "hugetlbfs", "mqueue",
    "none", "nsfs", "nullfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs",
})  # fmt: skip
# Images: always exactly full, and nothing can be done about it.
IMAGE_TYPES = frozenset({"cramfs", "erofs", "fuse.squashfuse", "iso9660", "squashfs", "udf"})
# Layers over another file system that is listed by itself; only as `/` there is nothing else (a container).
LAYER_TYPES = frozenset({"aufs", "overlay"})
# These can hang: the other side is a network or a program.
REMOTE_TYPES = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs",
})  # fmt: skip
# Memory that belongs to the system or to one session.
TMPFS_LEFT_OUT = ("/dev", "/proc", "/sys", "/run/credentials", "/run/user", "/run/lock", "/run/netns")
# Single files that containers mount over their own.
CONTAINER_FILES = frozenset({"/dev/termination-log", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    identity: str  # equal for two mounts of one file system
    whole: bool  # its root is mounted, not a folder of it
    mountpoint: str
    type: str
    device: str
    writable: bool

    @property
    def is_remote(self) -> bool:
        return self.type in REMOTE_TYPES or self.type.startswith("fuse")


class Usage(NamedTuple):
    """Bytes and inodes; inodes are 0 where a file system has no fixed number of them."""

    total: int
    free: int  # for everyone
    reserved: int  # free, for root only
    inodes: int
    inodes_free: int


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts in `/proc/self/mountinfo`, in order; see proc_pid_mountinfo(5)."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(source) < 2:
            continue
        _, _, identity, root, mountpoint, options = fields[:6]
        mounts.append(
            Mount(
                identity=identity,
                whole=root == "/",
                mountpoint=unescape(mountpoint),
                type=source[0],
                device=unescape(source[1]),
                writable="rw" in options.split(","),
            )
        )
    return mounts


def unescape(text: str) -> str:
    """Blanks and the like stand as octal escapes in mountinfo."""
    return OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def read_mounts() -> list[Mount]:
    try:
        return parse_mountinfo(MOUNTINFO.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:  # not Linux
        return [
            Mount(part.device, True, part.mountpoint, part.fstype, part.device, "rw" in part.opts.split(","))
            for part in psutil.disk_partitions(all=False)
            if part.fstype and "cdrom" not in part.opts
        ]


def worth_looking_at(mounts: Iterable[Mount]) -> list[Mount]:
    """What people can fill, each file system once: where its root is mounted, at the shortest path."""
    visible = {mount.mountpoint: mount for mount in mounts}  # a later mount hides an earlier one at the same place
    chosen: dict[str, Mount] = {}
    for mount in visible.values():
        if not is_fillable(mount):
            continue
        other = chosen.get(mount.identity)
        if other is None or preference(mount) < preference(other):
            chosen[mount.identity] = mount
    return sorted(chosen.values(), key=lambda mount: mount.mountpoint)


def is_fillable(mount: Mount) -> bool:
    if mount.type in PSEUDO_TYPES or mount.type in IMAGE_TYPES or mount.mountpoint in CONTAINER_FILES:
        return False
    if mount.type in LAYER_TYPES:
        return mount.mountpoint == "/"
    if mount.type == "tmpfs":
        inside = any(mount.mountpoint == place or mount.mountpoint.startswith(place + "/") for place in TMPFS_LEFT_OUT)
        return mount.writable and not inside
    return True


def preference(mount: Mount) -> tuple[bool, int, str]:
    return (not mount.whole, len(mount.mountpoint), mount.mountpoint)


def read_usage(mountpoint: str) -> Usage | None:
    """How full it is; None for what is no folder: single files can be mounted too. Raises OSError."""
    if not hasattr(os, "statvfs"):
        disk = psutil.disk_usage(mountpoint)
        return Usage(disk.total, disk.free, 0, 0, 0)
    if not stat.S_ISDIR(os.stat(mountpoint).st_mode):  # noqa: PTH116 - Path would make the hanging call no safer
        return None
    vfs = os.statvfs(mountpoint)
    unit = vfs.f_frsize
    return Usage(
        total=vfs.f_blocks * unit,
        free=vfs.f_bavail * unit,
        reserved=(vfs.f_bfree - vfs.f_bavail) * unit,
        inodes=vfs.f_files,
        inodes_free=vfs.f_ffree,
    )


class RemoteLook:
    """Looks at one mount in a thread of its own, so that it may hang for itself alone."""

    def __init__(self, mountpoint: str, read: Callable[[str], Usage | None]) -> None:
        self.usage: Usage | None = None
        self.error: OSError | None = None
        self._mountpoint = mountpoint
        self._read = read
        self._done = threading.Event()
        threading.Thread(target=self._look, name=f"mount {mountpoint}", daemon=True).start()

    def _look(self) -> None:
        try:
            self.usage = self._read(self._mountpoint)
        except OSError as error:
            self.error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Whether it came back within this time."""
        return self._done.wait(seconds)


class FilesystemProbe:
    name = "filesystem"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 10.0
    metrics = (
        Metric(
            "system_filesystem_usage_bytes",
            MetricType.GAUGE,
            "bytes",
            "Space by state: used, free, reserved (free for root only)",
            (*MOUNT_LABELS, STATE),
        ),
        Metric(
            "system_filesystem_utilization_ratio",
            MetricType.GAUGE,
            "ratio",
            "Space by state, share of the total",
            (*MOUNT_LABELS, STATE),
        ),
        Metric("system_filesystem_limit_bytes", MetricType.GAUGE, "bytes", "Space in total", MOUNT_LABELS),
        Metric(
            "system_filesystem_inodes_usage",
            MetricType.GAUGE,
            "inodes",
            "Inodes by state: used, free; absent where their number is not fixed",
            (*MOUNT_LABELS, STATE),
        ),
        Metric(
            "system_filesystem_inodes_utilization_ratio",
            MetricType.GAUGE,
            "ratio",
            "Inodes by state, share of the total",
            (*MOUNT_LABELS, STATE),
        ),
    )

    def __init__(
        self,
        mounts: Callable[[], Iterable[Mount]] = read_mounts,
        usage: Callable[[str], Usage | None] = read_usage,
        remote_timeout_seconds: float = REMOTE_TIMEOUT_SECONDS,
    ) -> None:
        self._mounts = mounts
        self._usage = usage
        self._remote_timeout_seconds = remote_timeout_seconds
        self._hanging: dict[str, RemoteLook] = {}
        self._complained: set[str] = set()

    def sample(self) -> list[Sample]:
        mounts = worth_looking_at(self._mounts())
        samples: list[Sample] = []
        for mount, usage in [*self._look_at_local(mounts), *self._look_at_remote(mounts)]:
            samples += to_samples(mount, usage)
        if not samples:
            raise ProbeUnavailable("no file system is mounted that could be looked at")
        return samples

    def _look_at_local(self, mounts: list[Mount]) -> list[tuple[Mount, Usage]]:
        looked = []
        for mount in mounts:
            if mount.is_remote:
                continue
            try:
                usage = self._usage(mount.mountpoint)
            except OSError as error:
                self._complain(mount.mountpoint, str(error))
            else:
                self._complained.discard(mount.mountpoint)
                if usage is not None:
                    looked.append((mount, usage))
        return looked

    def _look_at_remote(self, mounts: list[Mount]) -> list[tuple[Mount, Usage]]:
        """All of them at the same time. One that still hangs from an earlier round is not asked again."""
        looks: list[tuple[Mount, RemoteLook]] = []
        for mount in [mount for mount in mounts if mount.is_remote][:MAX_REMOTE_MOUNTS]:
            look = self._hanging.pop(mount.mountpoint, None) or RemoteLook(mount.mountpoint, self._usage)
            looks.append((mount, look))
        looked = []
        hanging: dict[str, RemoteLook] = {}
        patience_seconds = self._remote_timeout_seconds
        for mount, look in looks:
            if not look.wait(patience_seconds):
                hanging[mount.mountpoint] = look
                patience_seconds = 0.0  # the wait was for all
                self._complain(mount.mountpoint, f"no answer within {self._remote_timeout_seconds:.0f} s")
            elif look.error is not None:
                self._complain(mount.mountpoint, str(look.error))
            else:
                self._complained.discard(mount.mountpoint)
                if look.usage is not None:
                    looked.append((mount, look.usage))
        # Mounts that vanished while hanging are forgotten with their threads, which end by themselves.
        self._hanging = hanging
        return looked

    def _complain(self, mountpoint: str, reason: str) -> None:
        if mountpoint not in self._complained:
            self._complained.add(mountpoint)
            logger.warning("mount left out: mountpoint=%s reason=%r", mountpoint, reason)


def to_samples(mount: Mount, usage: Usage) -> list[Sample]:
    if usage.total <= 0:
        return []
    labels = dict(zip(MOUNT_LABELS, (mount.device, mount.mountpoint, mount.type), strict=True))
    samples = [Sample("system_filesystem_limit_bytes", usage.total, labels)]
    used = max(0, usage.total - usage.free - usage.reserved)
    for state, size in (("used", used), ("free", usage.free), ("reserved", usage.reserved)):
        by_state = labels | {STATE: state}
        samples.append(Sample("system_filesystem_usage_bytes", size, by_state))
        samples.append(Sample("system_filesystem_utilization_ratio", round(size / usage.total, 6), by_state))
    if usage.inodes > 0:
        for state, count in (("used", usage.inodes - usage.inodes_free), ("free", usage.inodes_free)):
            by_state = labels | {STATE: state}
            samples.append(Sample("system_filesystem_inodes_usage", count, by_state))
            samples.append(
                Sample("system_filesystem_inodes_utilization_ratio", round(count / usage.inodes, 6), by_state)
            )
    return samples
