"""What PostgreSQL's errors mean: what passes by itself, and what somebody has to mend first."""

import ssl
from collections.abc import Mapping

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# How the codes begin of what may pass: could not serialize, deadlock, waited long enough for a lock; and the classes of
# lost connections, of too little room, memory or connections, of interventions such as a restart, and of what its own
# machine does to it.
_TRY_AGAIN = ("40001", "40P01", "55P03", "08", "53", "57", "58")

# How the codes begin of what no waiting mends, and what to do about it.
_REMEDIES: Mapping[str, str] = {
    "28P": "correct the password in database_url",
    "28": "make the role at the server, or let it come in (LOGIN, pg_hba.conf), or name another in database_url",
    "3D": "make that database (createdb), or name another in database_url",
    "42501": "make the role the database's owner (ALTER DATABASE ... OWNER TO ...), or grant it what it lacks",
}
_TLS = "mend TLS at the server, or what database_url says of it (ssl=)"
_ADDRESS = "correct what stands behind the ? in database_url"
_NO_TLS_THERE = "rejected SSL upgrade"  # asyncpg has no class for it


def passes(error: DBAPIError) -> bool:
    """Whether the same may succeed later."""
    lost = isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated
    return lost or _code(error).startswith(_TRY_AGAIN)


def remedy(error: DBAPIError) -> str | None:
    """What to do about an error that no waiting mends; None if it may pass, or is of another kind."""
    return next((todo for code, todo in _REMEDIES.items() if _code(error).startswith(code)), None)


def remedy_to_connect(error: Exception) -> str | None:
    """Like `remedy`, for what keeps a connection from being made: there the driver has errors of its own, too."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig else None
        return _ADDRESS if isinstance(cause, ValueError) else remedy(error)  # asyncpg's ClientConfigurationError
    if isinstance(error, ssl.SSLCertVerificationError) or _NO_TLS_THERE in str(error):
        return _TLS
    return _ADDRESS if isinstance(error, TypeError) else None  # an option that the driver does not know


def _code(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
