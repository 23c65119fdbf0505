"""Windows: CIM, and the list of programs that Settings shows, in one call of PowerShell."""

import datetime

from agent.inventory.facts import MAX_DISKS, MAX_TEXT_CHARS, Facts, Package, Section, clean, section
from agent.probes.parsing import dig_list, dig_number, dig_text
from agent.probes.powershell import ask_powershell, dig_time

SCRIPT = r"""
$uninstall = 'HKLM:\Software\Microsoft\Windows\CurrentVersion\Uninstall\*',
             'HKLM:\Software\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*'
@{
  computer = Get-CimInstance Win32_ComputerSystem | Select-Object Manufacturer, Model
  bios = Get-CimInstance Win32_BIOS | Select-Object SerialNumber, SMBIOSBIOSVersion, ReleaseDate
  board = Get-CimInstance Win32_BaseBoard | Select-Object Manufacturer, Product
  system = Get-CimInstance Win32_OperatingSystem |
           Select-Object Caption, Version, BuildNumber, OSArchitecture, InstallDate
  cpu = @(Get-CimInstance Win32_Processor | Select-Object Name)
  disks = @(Get-CimInstance -Namespace root/Microsoft/Windows/Storage MSFT_PhysicalDisk |
            Select-Object DeviceId, FriendlyName, SerialNumber, Size, MediaType, BusType)
  programs = @(Get-ItemProperty $uninstall -ErrorAction SilentlyContinue |
               Where-Object { $_.DisplayName -and -not $_.SystemComponent } | Select-Object DisplayName, DisplayVersion)
} | ConvertTo-Json -Depth 3 -Compress
"""
MEDIA_TYPES = {3: "hdd", 4: "ssd"}
BUS_NVME = 17
BUS_USB = 7


def read_windows() -> Facts:
    return facts_of(ask_powershell(SCRIPT, "the inventory of Windows"))


def facts_of(told: object) -> Facts:
    board = f"{dig_text(told, 'board', 'Manufacturer')} {dig_text(told, 'board', 'Product')}"
    cpus = dig_list(told, "cpu")
    return Facts(
        section(
            manufacturer=clean(dig_text(told, "computer", "Manufacturer")),
            model=clean(dig_text(told, "computer", "Model")),
            serial=clean(dig_text(told, "bios", "SerialNumber")),
        ),
        section(
            name=clean(dig_text(told, "system", "Caption")) or "Windows",
            version=clean(dig_text(told, "system", "Version")),
            kernel=clean(dig_text(told, "system", "BuildNumber")),
            arch=clean(dig_text(told, "system", "OSArchitecture")),
            installed_at=day_of(dig_time(told, "system", "InstallDate")),
        ),
        section(
            cpu=clean(dig_text(cpus[0], "Name")) if cpus else None,
            board=clean(board),
            firmware=clean(dig_text(told, "bios", "SMBIOSBIOSVersion")),
            firmware_date=day_of(dig_time(told, "bios", "ReleaseDate")),
        ),
        [
            disk_of(one)
            for one in dig_list(told, "disks")
            if dig_text(one, "FriendlyName") and dig_number(one, "BusType") != BUS_USB
        ][:MAX_DISKS],
        [
            Package(name, clean(dig_text(one, "DisplayVersion")) or "", "windows")
            for one in dig_list(told, "programs")
            if (name := clean(dig_text(one, "DisplayName")))
        ],
    )


def disk_of(told: object) -> Section:
    media, size = dig_number(told, "MediaType"), dig_number(told, "Size")
    is_nvme = dig_number(told, "BusType") == BUS_NVME
    return section(
        name=f"disk {dig_text(told, 'DeviceId')}"[:MAX_TEXT_CHARS],
        model=clean(dig_text(told, "FriendlyName")),
        serial=clean(dig_text(told, "SerialNumber").rstrip(".")),
        size_bytes=None if size is None else int(size),
        type="nvme" if is_nvme else MEDIA_TYPES.get(int(media or 0)),
    )


def day_of(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"
