"""What can go wrong with customers, sites, tokens and devices."""

from protocol.errors import PermanentError


class FleetError(PermanentError):
    """What was asked cannot be done; the message says what to do instead."""


class NotFoundError(FleetError):
    """There is no such customer, site, token or device."""


class AlreadyExistsError(FleetError):
    """The name is taken."""


class ConsentMissingError(FleetError):
    """The customer's plan allows agents only with a monitoring consent on record."""

    error = "consent_missing"
