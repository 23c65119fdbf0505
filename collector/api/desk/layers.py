"""Which layers a token may see and set something for."""

from collector.api.desk.callers import Caller
from collector.fleet.directory import FleetDirectory
from collector.fleet.layers import Layer


def sees_layer(caller: Caller, directory: FleetDirectory, layer: Layer, subject: str) -> bool:
    """Whether what stands there reaches nobody beyond the token's bounds."""
    match layer:
        case Layer.PLAN:
            return caller.customer is None
        case Layer.CUSTOMER:
            return caller.sees(subject)
        case Layer.SITE:
            customer, _, site = subject.partition("/")
            return caller.sees(customer, site)
        case Layer.DEVICE:
            member = directory.members.get(subject)
            if member is None:
                return caller.customer is None
            return caller.sees(member.target.customer, member.target.site)
