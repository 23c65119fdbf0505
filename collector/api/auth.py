"""Who asks: devices by their secret, people and programs by an access token, and who may read without one."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from collector.api.limits import is_loopback
from collector.api.problems import Handler, Refused, problem
from collector.fleet.roles import Role
from collector.fleet.tokens import Token

READING_ROLES = frozenset({Role.VIEWER, Role.TECHNICIAN, Role.MANAGER, Role.ADMIN})
NEW_VIEWER = "quarkpulse-collector tokens create --role viewer"


def bearer(request: web.Request) -> str | None:
    """The secret of the Authorization header, None if there is none."""
    return secret_in(request.headers.get("Authorization", ""))


def secret_in(authorization: str) -> str | None:
    """The secret of this Authorization header, None if it has none."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None


def is_forwarding(header: str) -> bool:
    """Whether a header of this name tells that the request came through a proxy."""
    return header.lower() in ("forwarded", "via") or header.lower().startswith("x-forwarded-")


def is_local_name(host: str) -> bool:
    """Whether a Host header, port and all, names this machine's loopback."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or is_loopback(name)


def why_not(token: Token) -> str | None:
    """Why this token may not read what is about all customers; None if it may."""
    if token.role not in READING_ROLES:
        return f"a token of role {token.role} does not read; use a viewer's: {NEW_VIEWER}"
    if token.customer is not None:
        return f"this is about every customer, and the token is of {token.customer} alone; use another: {NEW_VIEWER}"
    return None


@dataclass(frozen=True, slots=True)
class ReadAccess:
    """Who may read `/metrics` and the query API.

    Without a token only a peer on this machine may, over a socket that listens on loopback, and only if no header
    says that the request came through a proxy: behind one, every stranger looks local. A browser on this machine may
    be led here by a foreign name that resolves to loopback, so the name that it asked for must be local too.
    """

    token_of: Callable[[str], Token | None]  # the access token whose secret this is, if it may be used now
    only_loopback: bool  # the collector listens on loopback and no proxy stands before it

    def guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if self.is_local(request):
                return await handler(request)
            secret = bearer(request)
            token = self.token_of(secret) if secret is not None else None
            if token is None:
                message = f"reading needs a viewer's token: {NEW_VIEWER}"
                raise Refused(problem(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"}))
            if (reason := why_not(token)) is not None:
                raise Refused(problem(403, "forbidden", reason))
            return await handler(request)

        return guarded

    def is_local(self, request: web.Request) -> bool:
        if not self.only_loopback or any(is_forwarding(name) for name in request.headers):
            return False
        return is_loopback(request.remote) and is_local_name(request.host)
