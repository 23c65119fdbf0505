"""Who asks: devices by their secret, people and programs by an access token, and who may read without one."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from collector.api.limits import is_loopback
from collector.api.problems import Handler, Refused, problem


def bearer(request: web.Request) -> str | None:
    """The secret of the Authorization header, None if there is none."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None


def is_forwarding(header: str) -> bool:
    """Whether a header of this name tells that the request came through a proxy."""
    return header.lower() in ("forwarded", "via") or header.lower().startswith("x-forwarded-")


def is_local_name(host: str) -> bool:
    """Whether a Host header, port and all, names this machine's loopback."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or is_loopback(name)


@dataclass(frozen=True, slots=True)
class ReadAccess:
    """Who may read `/metrics` and the query API.

    Without a token only a peer on this machine may, over a socket that listens on loopback, and only if no header
    says that the request came through a proxy: behind one, every stranger looks local. A browser on this machine may
    be led here by a foreign name that resolves to loopback, so the name that it asked for must be local too.
    """

    may_read: Callable[[str], bool]  # whether this secret is that of an access token which reads everything
    only_loopback: bool  # the collector listens on loopback and no proxy stands before it

    def guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if self.is_local(request):
                return await handler(request)
            secret = bearer(request)
            if secret is None or not self.may_read(secret):
                message = "reading needs a viewer's token: quarkpulse-collector tokens create --role viewer"
                raise Refused(problem(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"}))
            return await handler(request)

        return guarded

    def is_local(self, request: web.Request) -> bool:
        if not self.only_loopback or any(is_forwarding(name) for name in request.headers):
            return False
        return is_loopback(request.remote) and is_local_name(request.host)
