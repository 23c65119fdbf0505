"""The routes below `/api/v2`: rulers post alerts here as to an Alertmanager, and amtool reads and silences them.

Source of what is answered: prometheus/alertmanager `api/v2/api.go`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from pydantic import ValidationError

from collector.alerting.external import ALERTNAME, Posted
from collector.alerting.matching import MatcherError
from collector.api.alertmanager.alerts import AlertQuery, told_alerts
from collector.api.alertmanager.shapes import (
    ALERT,
    ALERTS,
    MAX_ALERTS_AT_ONCE,
    MAX_BODY_BYTES,
    RECEIVERS,
    SILENCE,
    PostedAlert,
    answer,
    set_time,
    silence_id,
    silence_number,
    time_text,
)
from collector.api.alertmanager.silences import replace_silence, told_silence, told_silences
from collector.api.auth import READING_ROLES, bearer, why_not
from collector.api.limits import PUSH_RATE, Buckets
from collector.api.problems import Handler, Refused, problem, too_many
from collector.clock import Clock
from collector.db.database import Database
from collector.fleet.roles import Role
from collector.fleet.tokens import Token
from collector.incidents import silences as store
from collector.incidents.external import ExternalAlerts, TooManyAlertsError
from protocol.errors import QuarkpulseError

logger = logging.getLogger(__name__)

WRITING_ROLES = frozenset({Role.TECHNICIAN, Role.MANAGER, Role.ADMIN})
IN_LOOP_BYTES = 128 << 10  # a longer body is read in a thread: pushes come first
MAX_ALERTNAME_CHARS = 200
MAX_TOLD = 20  # wrong alerts of one request

Answering = Callable[[web.Request, Token], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class AlertmanagerApi:
    """`token_of`: the access token whose secret this is, if it may be used now."""

    alerts: ExternalAlerts
    database: Database
    token_of: Callable[[str], Token | None]
    clock: Clock
    version: str
    started_at: datetime
    posts: Buckets

    @classmethod
    def of(
        cls,
        alerts: ExternalAlerts,
        database: Database,
        token_of: Callable[[str], Token | None],
        clock: Clock,
        version: str,
    ) -> "AlertmanagerApi":
        return cls(alerts, database, token_of, clock, version, clock(), Buckets(PUSH_RATE))

    def routes(self) -> list[web.RouteDef]:
        reads = READING_ROLES | {Role.RULER}
        return [
            web.post("/api/v2/alerts", self._for({Role.RULER}, self._post_alerts)),
            web.get("/api/v2/alerts", self._for(reads, self._get_alerts)),
            web.get("/api/v2/status", self._for(reads, self._status)),
            web.get("/api/v2/receivers", self._for(reads, self._receivers)),
            web.get("/api/v2/silences", self._for(reads, self._get_silences)),
            web.post("/api/v2/silences", self._for(WRITING_ROLES, self._post_silence)),
            web.get("/api/v2/silence/{id}", self._for(reads, self._get_silence)),
            web.delete("/api/v2/silence/{id}", self._for(WRITING_ROLES, self._delete_silence)),
        ]

    def _for(self, roles: Set[Role], handler: Answering) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            token = self._token(request, roles)
            try:
                return await handler(request, token)
            except (MatcherError, store.SilenceError) as error:
                return answer(str(error), status=400)
            except ValidationError as error:
                return answer(_first(error), status=400)

        return guarded

    def _token(self, request: web.Request, roles: Set[Role]) -> Token:
        """Raises Refused (401, 403 or 429)."""
        secret = bearer(request)
        token = self.token_of(secret) if secret is not None else None
        named = " or ".join(sorted(roles & {Role.RULER, Role.VIEWER, Role.TECHNICIAN}))
        wanted = f"tokens create --role {named.partition(' ')[0]}"
        if token is None:
            message = f"this needs an access token, as 'Authorization: Bearer …': {wanted}"
            raise Refused(problem(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"}))
        if token.role not in roles:
            message = f"a token of role {token.role} may not do this; use one of role {named}: {wanted}"
            raise Refused(problem(403, "forbidden", message))
        if token.role is not Role.RULER and (reason := why_not(token)) is not None:
            raise Refused(problem(403, "forbidden", reason))
        if wait_seconds := self.posts.take(str(token.id)):
            raise Refused(too_many(wait_seconds))
        return token

    async def _post_alerts(self, request: web.Request, _token: Token) -> web.StreamResponse:
        raw = await _read(request)
        now = self.clock()
        read = asyncio.to_thread(_posted, raw, now) if len(raw) > IN_LOOP_BYTES else None
        good, wrong = _posted(raw, now) if read is None else await read
        self.alerts.counters.invalid += len(wrong)
        try:
            await self.alerts.take(good)
        except TooManyAlertsError as error:
            return answer(str(error), status=503, headers={"Retry-After": "60"})
        if wrong:
            more = f"; and {len(wrong) - MAX_TOLD} more" if len(wrong) > MAX_TOLD else ""
            return answer("; ".join(wrong[:MAX_TOLD]) + more, status=400)
        return web.Response()

    async def _get_alerts(self, request: web.Request, _token: Token) -> web.StreamResponse:
        query = AlertQuery.of(request.query)
        async with self.database.connect() as connection:
            return answer(await told_alerts(connection, query, self.alerts.known, self.clock()))

    async def _status(self, _request: web.Request, _token: Token) -> web.StreamResponse:
        build = dict.fromkeys(("branch", "buildDate", "buildUser", "goVersion"), "")
        return answer(
            {
                "cluster": {"status": "disabled", "peers": []},
                "config": {"original": "# Quarkpulse: it routes by contract, not by configuration\n"},
                "uptime": time_text(self.started_at),
                "versionInfo": {"version": self.version, "revision": "quarkpulse", **build},
            }
        )

    async def _receivers(self, _request: web.Request, _token: Token) -> web.StreamResponse:
        return answer(RECEIVERS)

    async def _get_silences(self, request: web.Request, _token: Token) -> web.StreamResponse:
        async with self.database.connect() as connection:
            return answer(await told_silences(connection, request.query.getall("filter", []), self.clock()))

    async def _get_silence(self, request: web.Request, _token: Token) -> web.StreamResponse:
        number = silence_number(request.match_info["id"])
        if number is None:
            return _no_silence()
        async with self.database.connect() as connection:
            try:
                found = await store.get_silence(connection, number)
            except store.SilenceError:
                return _no_silence()
        return answer(told_silence(found, self.clock()))

    async def _post_silence(self, request: web.Request, token: Token) -> web.StreamResponse:
        asked = SILENCE.validate_json(await _read(request), strict=True)
        async with self.database.begin() as connection:
            number = await replace_silence(connection, asked, f"token {token.id} ({token.role})", self.clock())
        return answer({"silenceID": silence_id(number)}) if number else _no_silence()

    async def _delete_silence(self, request: web.Request, token: Token) -> web.StreamResponse:
        number = silence_number(request.match_info["id"])
        if number is None:
            return _no_silence()
        now = self.clock()
        async with self.database.begin() as connection:
            try:
                silence = await store.get_silence(connection, number)
            except store.SilenceError:
                return _no_silence()
            if silence.ends_at > now:
                actor = f"token {token.id} ({token.role})"
                await store.expire_silence(connection, number, actor=actor, now=now)
        return web.Response()


def _posted(raw: bytes, now: datetime) -> tuple[list[Posted], list[str]]:
    """The alerts that are right, and what is wrong with the others. Raises ValidationError if it is no list."""
    good: list[Posted] = []
    wrong: list[str] = []
    found = ALERTS.validate_json(raw)
    if len(found) > MAX_ALERTS_AT_ONCE:
        wrong.append(f"{len(found)} alerts at once; only the first {MAX_ALERTS_AT_ONCE} are taken")
    for number, one in enumerate(found[:MAX_ALERTS_AT_ONCE]):
        try:
            good.append(_checked(ALERT.validate_python(one), now))
        except ValidationError as error:
            wrong.append(f"alert {number}: {_first(error)}")
        except _InvalidError as error:
            wrong.append(f"alert {number}: {error}")
    return good, wrong


class _InvalidError(QuarkpulseError):
    """What an alert holds cannot be; the message says why."""


def _checked(alert: PostedAlert, now: datetime) -> Posted:
    labels = {name: text for name, text in alert.labels.items() if text}
    if not labels.get(ALERTNAME):
        raise _InvalidError(f"the label {ALERTNAME} is missing")
    if any("\0" in text for some in (labels, alert.annotations) for pair in some.items() for text in pair):
        raise _InvalidError("a NUL character cannot be kept")
    if len(labels[ALERTNAME]) > MAX_ALERTNAME_CHARS:
        raise _InvalidError(f"an {ALERTNAME} has at most {MAX_ALERTNAME_CHARS} characters")
    starts_at, ends_at = set_time(alert.startsAt), set_time(alert.endsAt)
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        raise _InvalidError("start time must be before end time")
    return Posted(labels, alert.annotations, starts_at or ends_at or now, ends_at, alert.generatorURL)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, found["loc"]))
    return f"{where}: {found['msg']}" if where else found["msg"]


async def _read(request: web.Request) -> bytes:
    """Raises Refused (413)."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_chunked(64 << 10):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise Refused(problem(413, "too_large", f"a body has at most {MAX_BODY_BYTES} bytes"))
    return b"".join(pieces)


def _no_silence() -> web.Response:
    return answer("silence not found", status=404)
