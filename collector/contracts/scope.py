"""What of a customer a contract covers."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ContractScope:
    """The devices that are named, and those at one of the sites, of one of the kinds and with one of the tags, as far
    as sites, kinds and tags are named at all."""

    sites: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    @classmethod
    def of(cls, written: Mapping[str, Any] | None) -> Self | None:
        """From its JSON; None: all that the customer has."""
        return None if written is None else cls(**{name: tuple(names) for name, names in written.items()})

    def as_json(self) -> dict[str, list[str]]:
        return {name: list(names) for name, names in asdict(self).items() if names}

    def covers(self, labels: Mapping[str, str], tags: Collection[str]) -> bool:
        """Whether an alert with these labels is about something within it; `tags` are its device's.

        What is about no device concerns its whole site, or the customer: only a site that is not named is outside."""
        device, site = labels.get("device_id", ""), labels.get("site", "")
        if not device:
            return not (site and self.sites) or site in self.sites
        if device in self.devices:
            return True
        if not (self.sites or self.kinds or self.tags):
            return False
        return (
            (not self.sites or site in self.sites)
            and (not self.kinds or labels.get("kind", "") in self.kinds)
            and (not self.tags or not set(self.tags).isdisjoint(tags))
        )

    def __str__(self) -> str:
        return "; ".join(f"{name}: {', '.join(names)}" for name, names in asdict(self).items() if names)
