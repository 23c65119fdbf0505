"""Updates of macOS. Apple marks none as security, but ships security fixes with the system, Safari and XProtect."""

import re
from datetime import datetime

from agent.children import run_child
from agent.probes.base import ProbeFailed
from agent.probes.parsing import decode
from agent.probes.readings import UpdateReading

PREFERENCES = "/Library/Preferences/com.apple.SoftwareUpdate"
LABEL = re.compile(r"^\s*\*\s+(?:Label:\s*)?(?P<label>\S.*)$")
SECURITY = re.compile(r"security|\bmacOS\b|\bSafari|XProtect", re.IGNORECASE)
TIMEOUT_SECONDS = 120.0


def read_softwareupdate() -> UpdateReading:
    listed = run_child(["softwareupdate", "--list", "--no-scan"], timeout_seconds=TIMEOUT_SECONDS)
    if listed.exit_code != 0:
        raise ProbeFailed(f"softwareupdate --list ended with exit code {listed.exit_code}")
    searched = run_child(["defaults", "read", PREFERENCES, "LastSuccessfulDate"])
    return judge_softwareupdate(decode(listed.output), decode(searched.output))


def judge_softwareupdate(listed: str, searched: str) -> UpdateReading:
    labels = [match["label"] for match in map(LABEL.match, listed.splitlines()) if match]
    security = sum(SECURITY.search(label) is not None for label in labels)
    return UpdateReading(security=security, other=len(labels) - security, index_at=parse_defaults_date(searched))


def parse_defaults_date(text: str) -> float | None:
    """`2026-05-14 08:12:11 +0000` as Unix seconds; None for anything else."""
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%S %z").timestamp()
    except (ValueError, OverflowError):
        return None
