"""macOS: system_profiler."""

import platform

from agent.children import run_child
from agent.inventory.facts import MAX_DISKS, Facts, Package, Section, clean, section
from agent.probes.base import ProbeFailed
from agent.probes.parsing import dig_list, dig_number, dig_text, parse_json

COMMAND = (
    "system_profiler", "-json", "-detailLevel", "mini",
    "SPHardwareDataType", "SPSoftwareDataType", "SPNVMeDataType", "SPSerialATADataType", "SPApplicationsDataType",
)  # fmt: skip
TIMEOUT_SECONDS = 240.0
MAX_BYTES = 8 << 20


def read_macos() -> Facts:
    answer = run_child(COMMAND, timeout_seconds=TIMEOUT_SECONDS, max_bytes=MAX_BYTES)
    if answer.exit_code != 0:
        raise ProbeFailed(f"system_profiler ended with exit code {answer.exit_code}")
    return facts_of(parse_json(answer.output, "system_profiler"))


def facts_of(told: object) -> Facts:
    hardware = first(told, "SPHardwareDataType")
    software = first(told, "SPSoftwareDataType")
    name, kernel = clean(dig_text(software, "os_version")), clean(dig_text(software, "kernel_version"))
    return Facts(
        section(
            manufacturer="Apple",
            model=clean(dig_text(hardware, "machine_name")),
            serial=clean(dig_text(hardware, "serial_number")),
        ),
        section(name=name or "macOS", kernel=kernel, arch=platform.machine()),
        section(
            cpu=clean(dig_text(hardware, "chip_type")) or clean(dig_text(hardware, "cpu_type")),
            board=clean(dig_text(hardware, "machine_model")),
            firmware=clean(dig_text(hardware, "boot_rom_version")),
        ),
        [
            disk_of(disk, kind)
            for kind, data_type in (("nvme", "SPNVMeDataType"), (None, "SPSerialATADataType"))
            for controller in dig_list(told, data_type)
            for disk in dig_list(controller, "_items")
            if dig_text(disk, "device_model")
        ][:MAX_DISKS],
        [
            Package(name, clean(dig_text(one, "version")) or "", "macos")
            for one in dig_list(told, "SPApplicationsDataType")
            if (name := clean(dig_text(one, "_name")))
        ],
    )


def first(told: object, data_type: str) -> object:
    found = dig_list(told, data_type)
    return found[0] if found else None


def disk_of(told: object, kind: str | None) -> Section:
    size = dig_number(told, "size_in_bytes")
    medium = {"Solid State": "ssd", "Rotational": "hdd"}.get(dig_text(told, "spsata_medium_type"))
    return section(
        name=clean(dig_text(told, "bsd_name")) or "?",
        model=clean(dig_text(told, "device_model")),
        serial=clean(dig_text(told, "device_serial")),
        size_bytes=None if size is None else int(size),
        type=kind or medium,
    )
