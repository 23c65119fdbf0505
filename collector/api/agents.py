"""What agents ask for beside pushing: to be enrolled, and their configuration."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import ValidationError

from collector.api.auth import bearer
from collector.api.limits import ENROLMENT_RATE, Buckets, PeerBuckets
from collector.api.problems import Refused, invalid, problem, too_many
from collector.api.push import read_body
from collector.clock import Clock, to_milliseconds
from collector.db.database import Database
from collector.fleet.agent_settings import told_by
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import FleetDirectory, Member
from collector.fleet.enrollment import Enrollment, EnrollmentError, UnknownTokenError
from collector.fleet.errors import ConsentMissingError
from collector.fleet.printers.configs import printer_configs
from protocol import wire
from protocol.models import Config, EnrollAnswer, EnrollRequest, PrivacyConfig


@dataclass(frozen=True, slots=True)
class Configured:
    """A device's configuration as it goes over the wire, and the ETag that changes with it."""

    config: Config
    etag: str


def configure(member: Member, directory: FleetDirectory, push_interval_seconds: float) -> Configured:
    printers = printer_configs(directory.printers_of(member.target.device_id))
    told = told_by(directory.agent_settings.effective(member.target))
    allowed = directory.privacy_of(member.target.customer)
    config = Config(
        push_interval_seconds=told.push_interval_seconds or push_interval_seconds,
        probe_intervals_seconds=told.probe_intervals_seconds,
        probes_off=told.probes_off,
        services=told.services,
        custom_checks=told.custom_checks,
        presence_policy=member.policy.value,
        printers=printers,
        privacy=PrivacyConfig(user_names=allowed.user_names, software=allowed.software),
    )
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]
    return Configured(config, f'"{digest}"')


def authenticated(request: web.Request, directory: FleetDirectory) -> Member:
    """The device that asks. Raises Refused: 401 without a valid secret, 410 if it is no longer looked after."""
    return member_of(bearer(request), directory)


def member_of(secret: str | None, directory: FleetDirectory) -> Member:
    """The device whose secret this is. Raises Refused as `authenticated`."""
    member = None if secret is None else directory.authenticate(secret)
    if member is None or member.status is DeviceStatus.REVOKED:
        message = "this secret belongs to no device, or was revoked: enrol again with a new token"
        raise Refused(problem(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"}))
    if member.status is DeviceStatus.ENDED:
        raise Refused(problem(410, "ended", "this device is no longer looked after: stop pushing"))
    return member


@dataclass(frozen=True, slots=True)
class AgentApi:
    directory: Callable[[], FleetDirectory]
    reload_directory: Callable[[], Awaitable[None]]  # after an enrolment, so that the new secret works at once
    database: Database
    enrollment: Enrollment
    clock: Clock
    push_interval_seconds: float
    enrolments: PeerBuckets = field(default_factory=lambda: PeerBuckets(Buckets(ENROLMENT_RATE)))

    def routes(self) -> list[web.RouteDef]:
        return [web.post(wire.ENROLL_PATH, self.enroll), web.get(wire.CONFIG_PATH, self.config)]

    async def enroll(self, request: web.Request) -> web.Response:
        wait_seconds = self.enrolments.take(request.remote)
        if wait_seconds:
            raise Refused(too_many(wait_seconds))
        try:
            asked = EnrollRequest.model_validate_json(await read_body(request))
        except ValidationError as error:
            raise Refused(invalid(error)) from error
        now = self.clock()
        try:
            async with self.database.begin() as connection:
                outcome = await self.enrollment.enroll(connection, asked, now)
        except (EnrollmentError, ConsentMissingError) as error:
            status = 401 if isinstance(error, UnknownTokenError) else 403
            raise Refused(problem(status, error.error, str(error))) from error
        await self.reload_directory()
        directory = self.directory()
        configured = configure(directory.members[outcome.device_id], directory, self.push_interval_seconds)
        answer = EnrollAnswer(
            device_id=outcome.device_id, secret=outcome.secret, now=to_milliseconds(now), config=configured.config
        )
        return web.json_response(text=answer.model_dump_json())

    async def config(self, request: web.Request) -> web.Response:
        directory = self.directory()
        configured = configure(authenticated(request, directory), directory, self.push_interval_seconds)
        headers = {"ETag": configured.etag, "Cache-Control": "no-cache"}
        if configured.etag in {etag.strip() for etag in request.headers.get("If-None-Match", "").split(",")}:
            return web.Response(status=304, headers=headers)
        return web.json_response(text=configured.config.model_dump_json(), headers=headers)
