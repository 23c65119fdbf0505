"""Security posture of macOS: XProtect, the application firewall, FileVault, automatic updates."""

from pathlib import Path

from agent.children import run_child
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import decode
from agent.probes.readings import Antivirus, SecurityReading

FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
UPDATES = "/Library/Preferences/com.apple.SoftwareUpdate"
XPROTECT = Path("/Library/Apple/System/Library/CoreServices/XProtect.bundle/Contents/Info.plist")


def read_macos_security() -> SecurityReading:
    signatures_at = XPROTECT.stat().st_mtime if XPROTECT.exists() else None
    return judge_macos_security(
        filevault=ask("fdesetup", "status"),
        firewall=ask(FIREWALL, "--getglobalstate"),
        auto_update=ask("defaults", "read", UPDATES, "AutomaticallyInstallMacOSUpdates"),
        signatures_at=signatures_at,
    )


def ask(*command: str) -> str:
    """Empty if there is no answer."""
    try:
        return decode(run_child(command).output)
    except (ProbeUnavailable, ProbeFailed):
        return ""


def judge_macos_security(
    *, filevault: str, firewall: str, auto_update: str, signatures_at: float | None
) -> SecurityReading:
    """From `FileVault is On.`, `Firewall is enabled. (State = 1)` and a preference's `1`."""
    encrypted = {"/": filevault.startswith("FileVault is On")} if filevault.startswith("FileVault is") else {}
    state = firewall.partition("State = ")[2][:1]
    return SecurityReading(
        antivirus={} if signatures_at is None else {"XProtect": Antivirus(None, signatures_at)},
        firewall={"host": state != "0"} if state.isdecimal() else {},
        encrypted=encrypted,
        auto_update={"1": True, "0": False}.get(auto_update.strip()),
    )
