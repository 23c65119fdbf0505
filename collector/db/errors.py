"""What can go wrong with the state database."""

from protocol.errors import PermanentError, TransientError


class DatabaseError(PermanentError):
    """The database cannot be used as it is; the message says what to change."""


class DatabaseUnavailableError(TransientError):
    """The database did not answer, or another process held it for too long."""
