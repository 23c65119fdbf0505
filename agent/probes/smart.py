"""What disks say of themselves, through smartctl's JSON (smartmontools 7 and later): ATA, NVMe and SCSI."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.children import run_child
from agent.probes.base import DAILY_INTERVAL_SECONDS, Metric, MetricType, ProbeFailed, ProbeUnavailable, Sample
from agent.probes.parsing import dig, dig_list, dig_number, dig_text, parse_json
from agent.root_readings import FOLDER, Reading, find

DISK_LABELS = ("hw_id", "hw_name")
MAX_DISKS = 64
SCAN_TIMEOUT_SECONDS = 30.0
DISK_TIMEOUT_SECONDS = 30.0
STALE_SECONDS = 3 * DAILY_INTERVAL_SECONDS  # a machine that was off over the weekend has not lost its disks' health
# smartctl's exit code is a sum: these say that there was no answer, higher ones that the disk is not well.
BAD_USAGE, CANNOT_OPEN = 1, 2
REALLOCATED, REPORTED_UNCORRECTABLE, PENDING, OFFLINE_UNCORRECTABLE = 5, 187, 197, 198
# ATA attributes that count an SSD's life from 100 (new) down, in the order in which they are believed.
LIFE_LEFT = (231, 202, 233, 177, 173, 169)
LEADING_NUMBER = re.compile(r"^\s*(\d{1,15})\b")


class Device(NamedTuple):
    name: str
    type: str


class DiskReading(NamedTuple):
    """None: the disk does not tell."""

    id: str
    name: str
    healthy: bool | None = None
    reallocated_sectors: float | None = None
    pending_sectors: float | None = None
    media_errors: float | None = None
    wear_ratio: float | None = None  # 0 new, 1 worn out; more is possible
    power_on_seconds: float | None = None


NOTHING = DiskReading("", "")[2:]


def read_disks(folder: Path = FOLDER, now: Callable[[], float] = time.time) -> list[DiskReading]:
    """As root has left them, or else as smartctl tells whoever runs this. Raises ProbeUnavailable or ProbeFailed."""
    left = find(Reading.DISKS, folder, max_age_seconds=STALE_SECONDS, now=now)
    if left is None:
        return ask_smartctl()
    return [to_disk(one) for one in dig_list(left, "disks")[:MAX_DISKS] if dig_text(one, "id")]


def to_disk(left: object) -> DiskReading:
    """One disk of those that root left."""
    healthy = dig(left, "healthy")
    return DiskReading(
        dig_text(left, "id"),
        dig_text(left, "name"),
        healthy if isinstance(healthy, bool) else None,
        *(dig_number(left, field) for field in DiskReading._fields[3:]),
    )


def ask_smartctl() -> list[DiskReading]:
    """Every disk that it finds and that is awake. Raises ProbeUnavailable or ProbeFailed."""
    scanned = run_child(["smartctl", "--scan", "--json=c"], timeout_seconds=SCAN_TIMEOUT_SECONDS)
    devices = parse_scan(parse_json(scanned.output, "smartctl --scan"))
    if not devices:
        raise ProbeUnavailable("smartctl finds no disk on this machine")
    found, refusals = [], []
    for device in devices:
        # A disk that sleeps is left asleep, and then says nothing (and not, as by default, that it cannot be opened).
        command = ["smartctl", "--json=c", "--all", "--nocheck=standby,0", f"--device={device.type}", device.name]
        answer = run_child(command, timeout_seconds=DISK_TIMEOUT_SECONDS)
        content = parse_json(answer.output, "smartctl")
        if answer.exit_code & (BAD_USAGE | CANNOT_OPEN) or answer.exit_code < 0:
            refusals.append(explain(content, device))
        else:
            found.append(parse_disk(content, device))
    if not found:
        raise ProbeUnavailable(f"smartctl may read no disk: {refusals[0]}")
    if all(disk[2:] == NOTHING for disk in found):
        raise ProbeFailed("all disks sleep, or tell nothing of their health")
    return found


def parse_scan(content: object) -> list[Device]:
    """The devices in `smartctl --scan --json`."""
    devices = [Device(dig_text(one, "name"), dig_text(one, "type")) for one in dig_list(content, "devices")]
    return [one for one in devices if one.name and one.type and not one.name.startswith("-")][:MAX_DISKS]


def explain(content: object, device: Device) -> str:
    """Why there was no answer, in smartctl's words."""
    said = [dig_text(message, "string") for message in dig_list(content, "smartctl", "messages")]
    return f"{device.name}: {said[0] if said and said[0] else 'no reason given'}"[:200]


def parse_disk(content: object, device: Device) -> DiskReading:
    """One disk in `smartctl --all --json`."""
    attributes = {
        int(number): attribute
        for attribute in dig_list(content, "ata_smart_attributes", "table")
        if (number := dig_number(attribute, "id")) is not None
    }
    nvme = dig(content, "nvme_smart_health_information_log")
    hours = dig_number(content, "power_on_time", "hours")
    serial = dig_text(content, "serial_number")
    return DiskReading(
        id=serial or device.name,
        name=dig_text(content, "model_name") or dig_text(content, "scsi_model_name") or device.name,
        healthy=read_health(content),
        reallocated_sectors=first_known(
            raw_value(attributes.get(REALLOCATED)), dig_number(content, "scsi_grown_defect_list")
        ),
        pending_sectors=raw_value(attributes.get(PENDING)),
        media_errors=first_known(
            dig_number(nvme, "media_errors"),
            raw_value(attributes.get(REPORTED_UNCORRECTABLE)),
            raw_value(attributes.get(OFFLINE_UNCORRECTABLE)),
            scsi_uncorrected(content),
        ),
        wear_ratio=read_wear(content, attributes),
        power_on_seconds=None if hours is None else hours * 3600,
    )


def read_health(content: object) -> bool | None:
    passed = dig_number(content, "smart_status", "passed")
    warning = dig_number(content, "nvme_smart_health_information_log", "critical_warning")
    if passed is None and warning is None:
        return None
    return passed != 0 and not warning


def read_wear(content: object, attributes: dict[int, object]) -> float | None:
    used = first_known(
        dig_number(content, "nvme_smart_health_information_log", "percentage_used"),
        dig_number(content, "endurance_used", "current_percent"),
        dig_number(content, "scsi_percentage_used_endurance_indicator"),
    )
    if used is not None:
        return used / 100
    if dig_number(content, "rotation_rate") != 0:
        return None  # it turns, or does not say: these attributes then mean something else
    for number in LIFE_LEFT:
        left = dig_number(attributes.get(number), "value")
        if left is not None and 0 <= left <= 100:
            return round(1 - left / 100, 4)
    return None


def raw_value(attribute: object) -> float | None:
    """Makers pack more than a count into the raw value; the leading number of smartctl's text is the count."""
    match = LEADING_NUMBER.match(dig_text(attribute, "raw", "string"))
    return float(match[1]) if match else None


def scsi_uncorrected(content: object) -> float | None:
    counts = [
        dig_number(content, "scsi_error_counter_log", way, "total_uncorrected_errors")
        for way in ("read", "write", "verify")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


class SmartProbe:
    name = "smart"
    isolated = True
    interval_seconds = DAILY_INTERVAL_SECONDS
    timeout_seconds = 600.0
    metrics = (
        Metric("hw_disk_healthy", MetricType.GAUGE, "boolean", "1 if the disk says that it is well", DISK_LABELS),
        Metric(
            "hw_disk_reallocated_sectors", MetricType.GAUGE, "sectors", "Sectors replaced by spare ones", DISK_LABELS
        ),
        Metric(
            "hw_disk_pending_sectors", MetricType.GAUGE, "sectors", "Sectors that cannot be read for now", DISK_LABELS
        ),
        Metric(
            "hw_disk_media_errors_total",
            MetricType.COUNTER,
            "errors",
            "Errors that the disk could not correct, in its life",
            DISK_LABELS,
        ),
        Metric(
            "hw_disk_wear_ratio",
            MetricType.GAUGE,
            "ratio",
            "0 new, 1 worn out as its maker reckons; may go beyond (SSDs)",
            DISK_LABELS,
        ),
        Metric("hw_disk_power_on_seconds", MetricType.GAUGE, "seconds", "Time it was on, in its life", DISK_LABELS),
    )

    def __init__(self, read: Callable[[], Iterable[DiskReading]] = read_disks) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        samples: list[Sample] = []
        for disk in self._read():
            values: Sequence[float | bool | None] = (
                disk.healthy,
                disk.reallocated_sectors,
                disk.pending_sectors,
                disk.media_errors,
                disk.wear_ratio,
                disk.power_on_seconds,
            )
            labels = {"hw_id": disk.id, "hw_name": disk.name}
            samples += [
                Sample(metric.name, float(value), labels)
                for metric, value in zip(self.metrics, values, strict=True)
                if value is not None
            ]
        return samples
