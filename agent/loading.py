"""From the list of probes in the state folder to probes that can be read."""

import importlib
from collections.abc import Callable

from agent.isolated import IsolatedProbe
from agent.probes.base import BACKGROUND_BEYOND_SECONDS, Probe
from agent.settings import FILE_NAME, Settings, SettingsError, load_settings
from agent.state import ProbeEntry, StateFolder
from protocol.errors import PermanentError

BESIDE_PROBES = ("inventory", "printers")  # that the agent reads; turned off like a probe


class ProbeError(PermanentError):
    """A probe in the list cannot be loaded."""


def load_probe(name: str, place: str, settings: Settings | None = None) -> Probe:
    """The probe at `module:attribute`, made from its section of the settings. Raises ProbeError or SettingsError."""
    section = (settings or Settings()).section(name)
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        make = getattr(found, "from_settings", None)
        probe: Probe = found() if make is None else make(section)
    except Exception as error:
        raise ProbeError(f"probe {name} cannot be loaded from {place} ({type(error).__name__}: {error})") from error
    section.finish()
    return probe


def describe_probe(name: str, place: str) -> ProbeEntry:
    """How `run` is to read it. What cannot be loaded now is not isolated, so that `run` says so. Never raises."""
    try:
        probe = load_probe(name, place)
    except (ProbeError, SettingsError):
        return ProbeEntry(place)
    if not getattr(probe, "isolated", False):
        return ProbeEntry(place)
    timeout_seconds = max(probe.timeout_seconds, 2 * BACKGROUND_BEYOND_SECONDS)  # its own process takes its time
    return ProbeEntry(place, probe.interval_seconds, timeout_seconds)


def assemble_probes(folder: StateFolder, complain: Callable[[str, str], None]) -> list[Probe]:
    """All that can be read; of the rest `complain` is told the name (or the settings file's) and the reason.

    Raises StateError."""
    entries = folder.load_probes()
    settings: Settings | None = None
    off: tuple[str, ...] = ()
    try:
        settings = load_settings(folder.path)
        for problem in settings.without_probe(entries):
            complain(FILE_NAME, problem)
        off = settings.probes_off()
        for name in sorted(set(off) - entries.keys() - set(BESIDE_PROBES)):
            complain(FILE_NAME, f"{FILE_NAME}: probes.off: no such probe: {name}")
        settings.forbidden()
        settings.proxy()
    except SettingsError as error:
        complain(FILE_NAME, str(error))
    probes: list[Probe] = []
    for name, entry in entries.items():
        if name in off:
            continue
        try:
            probes.append(make_probe(name, entry, folder, settings))
        except (ProbeError, SettingsError) as error:
            complain(name, str(error))
    return probes


def turned_off(folder: StateFolder) -> tuple[str, ...]:
    """What the settings turn off; nothing where they cannot be used, which `assemble_probes` tells."""
    try:
        return load_settings(folder.path).probes_off()
    except SettingsError:
        return ()


def make_probe(name: str, entry: ProbeEntry, folder: StateFolder, settings: Settings | None) -> Probe:
    """Raises ProbeError or SettingsError."""
    if entry.interval_seconds is None or entry.timeout_seconds is None:
        return load_probe(name, entry.place, settings)
    return IsolatedProbe(
        name,
        entry.place,
        folder.path,
        interval_seconds=entry.interval_seconds,
        timeout_seconds=entry.timeout_seconds,
    )
