"""Whether a caller sees a place: a customer, a site of it, or a device."""

from collector.api.desk.callers import Caller
from collector.fleet.directory import FleetDirectory
from collector.incidents.windows import Scope


def sees_scope(caller: Caller, scope: Scope, directory: FleetDirectory) -> bool:
    """`directory` tells at which site a device is."""
    site = scope.site
    if scope.device is not None:
        member = directory.members.get(scope.device)
        if member is None or not caller.sees(member.target.customer, member.target.site):
            return caller.customer is None
        site = member.target.site
    return caller.sees(scope.customer, site)
