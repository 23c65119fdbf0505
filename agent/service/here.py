"""Which kind of service this machine has."""

import sys
from pathlib import Path

from agent.service import launchd, windows
from agent.service.base import Say, Service
from agent.service.launchd import Launchd
from agent.service.systemd import STATE, Systemd
from agent.service.windows import WindowsService


def find_service(say: Say) -> Service:
    if sys.platform == "win32":
        return WindowsService(say)
    if sys.platform == "darwin":
        return Launchd(say)
    return Systemd(say)


def default_state() -> Path:
    """The state folder of the agent that is a service of this machine."""
    if sys.platform == "win32":
        return windows.state_folder()
    return launchd.STATE if sys.platform == "darwin" else STATE
