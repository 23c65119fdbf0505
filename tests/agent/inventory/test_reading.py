"""Inventories, of this machine for real, of others from what their tools are documented to say."""

import json
import os
from collections import namedtuple
from pathlib import Path

import pytest

from agent.inventory import linux, macos, reading, windows
from agent.inventory.facts import Facts, Package, clean
from agent.inventory.reading import read_filesystems, read_inventory
from agent.probes.parsing import parse_json
from protocol.wire import MAX_INVENTORY_BYTES, PrivacyConfig

sdiskpart = namedtuple("sdiskpart", "device mountpoint fstype opts")  # as psutil's

NOTHING = PrivacyConfig(user_names=False, software=False)
EVERYTHING = PrivacyConfig(user_names=True, software=True)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What a laptop's kernel shows."""
    dmi = "sys/class/dmi/id"
    for name, text in {
        f"{dmi}/sys_vendor": "LENOVO\n",
        f"{dmi}/product_name": "20XW00FPMH\n",
        f"{dmi}/product_serial": "PF2XYZ01\n",
        f"{dmi}/board_vendor": "LENOVO\n",
        f"{dmi}/board_name": "20XW00FPMH\n",
        f"{dmi}/bios_version": "N32ET75W (1.51 )\n",
        f"{dmi}/bios_date": "02/02/2022\n",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nVERSION_ID="24.04"\n',
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i7\nflags\t\t: fpu vme\n\nprocessor\t: 1\n",
        "sys/block/nvme0n1/size": "1000215216\n",
        "sys/block/nvme0n1/device/model": "SAMSUNG MZVLB512HBJQ-000L7             \n",
        "sys/block/nvme0n1/device/serial": "S4ENNF0N123456      \n",
        "sys/block/nvme0n1/queue/rotational": "0\n",
        "sys/block/sda/size": "30031872\n",
        "sys/block/sda/removable": "1\n",
        "sys/block/loop0/size": "8\n",
        "sys/block/dm-0/size": "1000000\n",
    }.items():
        write(tmp_path / name, text)
    return tmp_path


def test_a_laptop_is_told_by_what_its_kernel_shows(root: Path) -> None:
    facts = linux.read_linux(root)
    assert facts.identity == {"manufacturer": "LENOVO", "model": "20XW00FPMH", "serial": "PF2XYZ01"}
    assert facts.system["name"] == "Ubuntu 24.04.1 LTS"
    assert facts.hardware == {
        "cpu": "Intel(R) Core(TM) i7",
        "board": "LENOVO 20XW00FPMH",
        "firmware": "N32ET75W (1.51 )",
        "firmware_date": "02/02/2022",
        "is_virtual": False,
    }
    assert facts.disks == [
        {
            "name": "nvme0n1",
            "model": "SAMSUNG MZVLB512HBJQ-000L7",
            "serial": "S4ENNF0N123456",
            "size_bytes": 512_110_190_592,
            "type": "nvme",
        }
    ]


def test_what_is_not_shown_is_left_out(tmp_path: Path) -> None:
    facts = linux.read_linux(tmp_path)
    assert facts.identity == {}
    assert facts.system["name"] == "Linux"
    assert facts.disks == []


def test_this_machine_is_read_and_names_are_held_back() -> None:
    inventory = read_inventory(NOTHING)
    assert inventory["software"]["count"] > 50  # Debian's packages
    assert "packages" not in inventory["software"]
    assert "names" not in inventory["users"]
    assert inventory["hardware"]["memory_bytes"] > 1 << 28
    assert any(one["mountpoint"] == "/" for one in inventory["filesystems"])


def test_places_named_after_users_are_told_where_names_are_allowed() -> None:
    parts = [
        sdiskpart("/dev/sda2", "/", "ext4", "rw"),
        sdiskpart("/dev/sda3", "/home/jan/photos", "ext4", "rw"),
        sdiskpart("/dev/sda4", "/media/data", "ext4", "rw"),
        sdiskpart("/dev/sdx1", "/media/jan/HOLIDAY", "vfat", "rw"),
        sdiskpart("/dev/sdx2", "/run/media/jan/HOLIDAY", "vfat", "rw"),
        sdiskpart("E:", "E:", "FAT32", "rw,removable"),
        sdiskpart("nas:/home", "/home/piet", "nfs4", "rw"),
    ]
    places = [
        [one["mountpoint"] for one in read_filesystems(are_allowed, lambda: parts, lambda _: 512)]
        for are_allowed in (False, True)
    ]
    assert places == [["/", "/home/*/photos", "/media/data"], ["/", "/home/jan/photos", "/media/data"]]


def test_a_drive_that_its_kernel_calls_removable_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for disk, flag in (("sda", "0\n"), ("sdb", "1\n")):
        write(tmp_path / f"devices/{disk}/removable", flag)
        (tmp_path / f"devices/{disk}/{disk}1").mkdir()
        (tmp_path / f"{disk}1").symlink_to(tmp_path / f"devices/{disk}/{disk}1")
    monkeypatch.setattr(reading, "BLOCK_DEVICES", tmp_path)
    assert not reading.is_removable("/dev/sda1", "/srv", "rw")
    assert reading.is_removable("/dev/sdb1", "/srv", "rw")


def test_software_is_listed_where_it_is_allowed() -> None:
    software = read_inventory(EVERYTHING)["software"]
    assert software["count"] == len(software["packages"])
    assert any(one["name"] == "dpkg" and one["source"] == "dpkg" for one in software["packages"])


def test_a_list_without_end_is_cut_to_what_the_collector_takes() -> None:
    packages = [Package(f"package-{number:06}" + "x" * 150, "1", "dpkg") for number in range(50_000)]
    inventory = read_inventory(EVERYTHING, lambda: Facts({}, {}, {}, [], packages))
    assert len(json.dumps(inventory)) < MAX_INVENTORY_BYTES
    assert 100 < len(inventory["software"]["packages"]) < inventory["software"]["count"] == 5_000


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  Default  string ", None),
        ("To Be Filled By O.E.M.", None),
        ("a\x00b\x1b[31m\nc\u202e", "a b [31m c"),
        ("x" * 5_000, "x" * 200),
        (None, None),
        (7, None),
    ],
)
def test_a_text_becomes_one_clean_line(text: object, cleaned: str | None) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize("output", ["", "\n\t\n", "installed\n", "\x00\xff" * 500, "Name Version\nonly-a-name\n"])
def test_a_program_that_talks_rubbish_lists_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    for name in ("dpkg-query", "rpm", "flatpak", "snap"):
        write(tmp_path / "bin" / name, f"#!/bin/sh\ncat {tmp_path}/said\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "said").write_bytes(output.encode("latin-1"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert linux.read_packages() == []


WINDOWS = {
    "computer": {"Manufacturer": "Dell Inc.", "Model": "Latitude 5420"},
    "bios": {"SerialNumber": "7XQ1R92", "SMBIOSBIOSVersion": "1.36.2", "ReleaseDate": "/Date(1706659200000)/"},
    "board": {"Manufacturer": "Dell Inc.", "Product": "0NK0KX"},
    "system": {
        "Caption": "Microsoft Windows 11 Pro",
        "Version": "10.0.22631",
        "BuildNumber": "22631",
        "OSArchitecture": "64-bit",
        "InstallDate": "/Date(1673438400000)/",
    },
    "cpu": {"Name": "11th Gen Intel(R) Core(TM) i5-1145G7 @ 2.60GHz"},  # a list of one, as PowerShell writes it
    "disks": [
        {
            "DeviceId": "0",
            "FriendlyName": "KBG40ZNS256G NVMe KIOXIA 256GB",
            "SerialNumber": "0000_0000_0000_0000_8CE3_8E04_0123_4567.",
            "Size": 256060514304,
            "MediaType": 4,
            "BusType": 17,
        },
        {"DeviceId": "1", "FriendlyName": "SanDisk Cruzer", "Size": 16008609792, "MediaType": 0, "BusType": 7},
    ],
    "programs": [
        {"DisplayName": "Mozilla Firefox (x64 nl)", "DisplayVersion": "121.0.1"},
        {"DisplayName": "Boekhouding", "DisplayVersion": None},
        {"DisplayName": None, "DisplayVersion": "1"},
    ],
}


def test_windows_is_read_from_cim() -> None:
    facts = windows.facts_of(parse_json(json.dumps(WINDOWS).encode(), "PowerShell"))
    assert facts.identity == {"manufacturer": "Dell Inc.", "model": "Latitude 5420", "serial": "7XQ1R92"}
    assert facts.system["installed_at"] == "2023-01-11"
    assert facts.hardware["firmware_date"] == "2024-01-31"
    assert facts.disks == [
        {
            "name": "disk 0",
            "model": "KBG40ZNS256G NVMe KIOXIA 256GB",
            "serial": "0000_0000_0000_0000_8CE3_8E04_0123_4567",
            "size_bytes": 256060514304,
            "type": "nvme",
        }
    ]
    assert facts.packages == [
        Package("Mozilla Firefox (x64 nl)", "121.0.1", "windows"),
        Package("Boekhouding", "", "windows"),
    ]


MACOS = {
    "SPHardwareDataType": [
        {
            "machine_name": "MacBook Air",
            "machine_model": "MacBookAir10,1",
            "chip_type": "Apple M1",
            "serial_number": "C02XXXXXXXXX",
            "boot_rom_version": "10151.81.1",
        }
    ],
    "SPSoftwareDataType": [{"os_version": "macOS 14.3 (23D56)", "kernel_version": "Darwin 23.3.0"}],
    "SPNVMeDataType": [
        {
            "_items": [
                {
                    "bsd_name": "disk0",
                    "device_model": "APPLE SSD AP0256Q",
                    "device_serial": "0ba0",
                    "size_in_bytes": 251000193024,
                }
            ]
        }
    ],
    "SPApplicationsDataType": [{"_name": "Safari", "version": "17.3"}],
}


def test_macos_is_read_from_system_profiler() -> None:
    facts = macos.facts_of(MACOS)
    assert facts.identity == {"manufacturer": "Apple", "model": "MacBook Air", "serial": "C02XXXXXXXXX"}
    assert facts.hardware["cpu"] == "Apple M1"
    assert facts.disks == [
        {
            "name": "disk0",
            "model": "APPLE SSD AP0256Q",
            "serial": "0ba0",
            "size_bytes": 251000193024,
            "type": "nvme",
        }
    ]
    assert facts.packages == [Package("Safari", "17.3", "macos")]


@pytest.mark.parametrize("read", [windows.facts_of, macos.facts_of])
@pytest.mark.parametrize("told", [None, [], {}, {"disks": "none", "programs": [1, None], "SPNVMeDataType": [3]}])
def test_what_makes_no_sense_is_an_empty_inventory(read: object, told: object) -> None:
    assert callable(read)
    facts = read(told)
    assert (facts.disks, facts.packages) == ([], [])
