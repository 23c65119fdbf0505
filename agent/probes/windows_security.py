"""Security posture of Windows, as its own PowerShell modules tell it."""

from agent.probes.base import ProbeFailed
from agent.probes.parsing import dig_list, dig_number, dig_text
from agent.probes.powershell import ask_powershell, dig_time
from agent.probes.readings import Antivirus, SecurityReading

# Each part for itself: servers have no Security Center, home editions no BitLocker, which needs an administrator.
SCRIPT = """
$ErrorActionPreference = 'SilentlyContinue';
function Stamp($date) { if ($date) { ([DateTimeOffset]$date).ToUnixTimeSeconds() } };
$defender = Get-MpComputerStatus;
@{
  defender = if ($defender) { @{
    enabled = $defender.AntivirusEnabled; realtime = $defender.RealTimeProtectionEnabled;
    mode = [string]$defender.AMRunningMode; signatures = Stamp $defender.AntivirusSignatureLastUpdated } };
  products = @(Get-CimInstance -Namespace root/SecurityCenter2 -ClassName AntiVirusProduct |
    ForEach-Object { @{ name = $_.displayName; state = [int]$_.productState } });
  firewall = @(Get-NetFirewallProfile -PolicyStore ActiveStore |
    ForEach-Object { @{ name = [string]$_.Name; enabled = [int]$_.Enabled } });
  volumes = @(Get-BitLockerVolume |
    ForEach-Object { @{ mountpoint = [string]$_.MountPoint; status = [int]$_.ProtectionStatus } });
  update_level = [int](New-Object -ComObject Microsoft.Update.AutoUpdate).Settings.NotificationLevel
} | ConvertTo-Json -Depth 4 -Compress
"""
DEFENDER = "Microsoft Defender"
DEFENDER_NAMES = ("windows defender", "microsoft defender antivirus", "microsoft defender")
PASSIVE_MODES = ("passive", "passive mode", "edr block mode", "sxs passive mode", "not running")
PRODUCT_IS_ON = 0x1000  # of Security Center's productState
PROTECTED, NOT_PROTECTED = 1, 0  # of BitLocker; 2 is not known, as while the volume is locked
SCHEDULED_INSTALLATION = 4  # of the update settings' NotificationLevel; 0 is not configured


def read_windows_security() -> SecurityReading:
    return judge_windows_security(ask_powershell(SCRIPT, "Windows' security settings"))


def judge_windows_security(content: object) -> SecurityReading:
    """Raises ProbeFailed."""
    if not isinstance(content, dict):
        raise ProbeFailed("Windows' security settings are no JSON object")
    level = dig_number(content, "update_level")
    return SecurityReading(
        antivirus=judge_antivirus(content),
        firewall={
            dig_text(one, "name").lower(): dig_number(one, "enabled") != 0
            for one in dig_list(content, "firewall")
            if dig_text(one, "name") and dig_number(one, "enabled") in (0, 1)
        },
        encrypted={
            dig_text(one, "mountpoint").rstrip("\\") or "\\": dig_number(one, "status") == PROTECTED
            for one in dig_list(content, "volumes")
            if dig_text(one, "mountpoint") and dig_number(one, "status") in (PROTECTED, NOT_PROTECTED)
        },
        auto_update=level == SCHEDULED_INSTALLATION if level else None,
    )


def judge_antivirus(content: object) -> dict[str, Antivirus]:
    """Defender by its own account, unless another product has taken over and Defender stands back as it should."""
    products = {
        dig_text(one, "name"): bool(int(dig_number(one, "state") or 0) & PRODUCT_IS_ON)
        for one in dig_list(content, "products")
        if dig_text(one, "name")
    }
    others = {name: on for name, on in products.items() if name.lower() not in DEFENDER_NAMES}
    found = {name: Antivirus(on) for name, on in others.items()}
    enabled, realtime = dig_number(content, "defender", "enabled"), dig_number(content, "defender", "realtime")
    stands_back = any(others.values()) and (
        not enabled or dig_text(content, "defender", "mode").lower() in PASSIVE_MODES
    )
    if enabled is not None and not stands_back:
        found[DEFENDER] = Antivirus(enabled != 0 and realtime != 0, dig_time(content, "defender", "signatures"))
    return found
