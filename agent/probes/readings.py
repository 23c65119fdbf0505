"""What the modules for one system tell the probes that are the same on all."""

from collections.abc import Mapping
from typing import NamedTuple


class Antivirus(NamedTuple):
    enabled: bool | None = None
    signatures_at: float | None = None  # Unix seconds


class SecurityReading(NamedTuple):
    """What the system tells; nothing stands here for what it does not."""

    antivirus: Mapping[str, Antivirus] = {}  # by product
    firewall: Mapping[str, bool] = {}  # by profile
    encrypted: Mapping[str, bool] = {}  # by mountpoint
    auto_update: bool | None = None


class UpdateReading(NamedTuple):
    """None: this system does not tell. Times in Unix seconds."""

    security: int | None = None  # pending updates
    other: int | None = None
    reboot_required: bool | None = None
    reboot_required_since: float | None = None
    index_at: float | None = None  # when the lists of packages were refreshed
    installed_at: float | None = None  # when something was installed last
