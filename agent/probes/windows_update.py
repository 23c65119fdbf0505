"""Updates as the Windows Update Agent tells them, through its COM objects."""

from agent.probes.base import ProbeFailed
from agent.probes.parsing import dig, dig_list, dig_number, dig_text
from agent.probes.powershell import ask_powershell, dig_time
from agent.probes.readings import UpdateReading

# The search is made offline: Windows looks for updates by itself, and the agent only asks what it has found.
SCRIPT = """
$ErrorActionPreference = 'Stop';
function Stamp($date) { if ($date) { ([DateTimeOffset][DateTime]::SpecifyKind($date, 'Utc')).ToUnixTimeSeconds() } };
$searcher = (New-Object -ComObject Microsoft.Update.Session).CreateUpdateSearcher(); $searcher.Online = $false;
$found = $searcher.Search("IsInstalled=0 and IsHidden=0 and Type='Software'").Updates;
$results = (New-Object -ComObject Microsoft.Update.AutoUpdate).Results;
@{
  updates = @($found | ForEach-Object { @{ categories = @($_.Categories | ForEach-Object { $_.CategoryID }) } });
  reboot_required = (New-Object -ComObject Microsoft.Update.SystemInfo).RebootRequired;
  searched = Stamp $results.LastSearchSuccessDate;
  installed = Stamp $results.LastInstallationSuccessDate
} | ConvertTo-Json -Depth 5 -Compress
"""
# Microsoft's update classifications: Security Updates, Critical Updates. Names are localized, these are not.
SECURITY_CATEGORIES = frozenset({"0fa1201d-4330-4fa8-8ae9-b877473b6441", "e6cf1350-c01b-414d-a61f-263d14d133b4"})


def read_windows_update() -> UpdateReading:
    return judge_windows_update(ask_powershell(SCRIPT, "Windows Update"))


def judge_windows_update(content: object) -> UpdateReading:
    """Raises ProbeFailed."""
    if not isinstance(content, dict) or "updates" not in content:
        raise ProbeFailed("Windows Update gave no list of updates")
    updates = dig_list(content, "updates")
    security = sum(is_security(update) for update in updates)
    reboot = dig_number(content, "reboot_required")
    return UpdateReading(
        security=security,
        other=len(updates) - security,
        reboot_required=None if reboot is None else reboot != 0,
        index_at=dig_time(content, "searched"),
        installed_at=dig_time(content, "installed"),
    )


def is_security(update: object) -> bool:
    if dig_text(update, "categories"):  # a list of one
        return dig_text(update, "categories").lower() in SECURITY_CATEGORIES
    categories = dig(update, "categories")
    return isinstance(categories, list) and any(
        isinstance(one, str) and one.lower() in SECURITY_CATEGORIES for one in categories
    )
