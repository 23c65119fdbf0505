"""Asks Windows through PowerShell: slow (a second of processor time), so for hourly and daily readings only."""

import re

from agent.children import run_child
from agent.probes.base import ProbeFailed
from agent.probes.parsing import dig, parse_json

TIMEOUT_SECONDS = 240.0
JSON_DATE = re.compile(r"^/Date\((-?\d+)")


def ask_powershell(script: str, source: str) -> object:
    """What the script gives, as JSON. Raises ProbeUnavailable or ProbeFailed."""
    whole = f"[Console]::OutputEncoding = [Text.Encoding]::UTF8; $ProgressPreference = 'SilentlyContinue'; {script}"
    answer = run_child(
        ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", whole], timeout_seconds=TIMEOUT_SECONDS
    )
    if not answer.output.strip():
        raise ProbeFailed(f"{source} said nothing, exit code {answer.exit_code}")
    return parse_json(answer.output, source)


def dig_time(content: object, *keys: str) -> float | None:
    """Unix seconds: a number of them, or the `/Date(milliseconds)/` of Windows PowerShell's ConvertTo-Json."""
    found = dig(content, *keys)
    if isinstance(found, str) and (match := JSON_DATE.match(found)):
        milliseconds = match[1]
        found = int(milliseconds) / 1000 if len(milliseconds) <= 15 else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 < found < 1e11 else None  # COM's year 1899 means never
