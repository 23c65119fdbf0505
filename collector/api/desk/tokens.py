"""`/tokens`: what lets agents enrol, and people and programs in. Each secret is told once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Id, Number
from collector.contracts import ServiceModels
from collector.fleet import tokens as store
from collector.fleet.errors import NotFoundError
from collector.fleet.roles import Role
from collector.fleet.tokens import ENROLLMENT_LIFETIME, MAX_USES
from protocol.wire import Kind

MAX_LIFETIME_SECONDS = 10 * 366 * 86_400


class Token(BaseModel):
    id: int
    role: Role
    user: str | None = Field(description="Whose it is: what is done with it bears this name.")
    customer: str | None = Field(description="Reaches no further than this customer.")
    site: str | None = Field(description="Reaches no further than this site.")
    kind: Kind | None = Field(description="Of an enrolment token: what the devices are.")
    uses_left: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class TokenMade(Token):
    secret: str | None = Field(description="Told this once; null when a repeat with the same key asks again.")


class TokenPage(Page[Token]):
    pass


class NewToken(Request):
    """An enrolment token names customer, site and kind; an access token a role."""

    role: Role
    user: Id | None = None
    customer: Id | None = None
    site: Id | None = None
    kind: Kind | None = None
    uses: int | None = Field(default=None, ge=1, le=MAX_USES, description="Of an enrolment token; 1 if left out.")
    lifetime_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_LIFETIME_SECONDS,
        description="Seven days for an enrolment token, for ever for others, if it is left out.",
    )


class TokenFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64, description="Only those of this customer.")
    user: str | None = Field(default=None, max_length=64, description="Only those of this user.")


class TokenId(Request):
    id: Number


@dataclass(frozen=True, slots=True)
class TokenOperations:
    models: ServiceModels

    async def list_tokens(self, call: Call[TokenFilter, None]) -> TokenPage:
        asked, caller = call.params, call.caller
        customer = asked.customer or caller.customer
        if customer is not None and not caller.sees(customer):
            return TokenPage(items=[], next_cursor=None)
        found = await store.list_tokens(
            call.connection, asked.after, asked.limit + 1, customer=customer, user=asked.user
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        return TokenPage(items=[_told(one) for one in page], next_cursor=cursor)

    async def get_token(self, call: Call[TokenId, None]) -> Token:
        try:
            found = await store.get_token(call.connection, call.params.id)
        except NotFoundError:
            raise missing(f"token {call.params.id}") from None
        call.caller.require(f"token {call.params.id}", found.customer)
        return _told(found)

    async def create_token(self, call: Call[NoParameters, NewToken]) -> TokenMade:
        asked = call.body
        _require_within(call.caller, asked)
        lifetime = None if asked.lifetime_seconds is None else timedelta(seconds=asked.lifetime_seconds)
        if asked.role is Role.ENROLL:
            secret = await self._enrolment(call, lifetime or ENROLLMENT_LIFETIME)
        else:
            if asked.kind is not None or asked.uses is not None:
                raise Refusal(422, "refused", "kind and uses belong to an enrolment token, whose role is enroll")
            secret = await store.create_access_token(
                call.connection,
                role=asked.role,
                customer=asked.customer,
                site=asked.site,
                user=asked.user,
                lifetime=lifetime,
                actor=call.caller.name,
                now=call.now,
            )
        made = _told(await store.token_with(call.connection, secret))
        return TokenMade(**made.model_dump(), secret=secret)

    async def revoke_token(self, call: Call[TokenId, None]) -> Token:
        await store.revoke_token(call.connection, call.params.id, actor=call.caller.name, now=call.now)
        return _told(await store.get_token(call.connection, call.params.id))

    async def _enrolment(self, call: Call[NoParameters, NewToken], lifetime: timedelta) -> str:
        asked = call.body
        if asked.customer is None or asked.site is None or asked.kind is None or asked.user is not None:
            raise Refusal(422, "refused", "an enrolment token names customer, site and kind, and no user")
        return await store.create_enrollment_token(
            call.connection,
            self.models,
            customer=asked.customer,
            site=asked.site,
            kind=asked.kind,
            uses=asked.uses or 1,
            lifetime=lifetime,
            actor=call.caller.name,
            now=call.now,
        )

    def operations(self) -> list[AnyOperation]:
        one = Operation("GET", "/tokens/{id}", "One token", TokenId, None, Token, self.get_token, role=Role.ADMIN)
        return [
            Operation(
                "GET", "/tokens", "Tokens, by id", TokenFilter, None, TokenPage, self.list_tokens, role=Role.ADMIN
            ),
            one,
            Operation(
                "POST",
                "/tokens",
                "Make a token",
                NoParameters,
                NewToken,
                TokenMade,
                self.create_token,
                creates=True,
                role=Role.ADMIN,
                told_once=frozenset({"secret"}),
                description="It reaches no further than the one that makes it.",
            ),
            Operation(
                "DELETE",
                "/tokens/{id}",
                "Take a token out of use",
                TokenId,
                None,
                Token,
                self.revoke_token,
                changes=one,
                role=Role.ADMIN,
                description="Devices that enrolled with it stay.",
            ),
        ]


def _require_within(caller: Caller, asked: NewToken) -> None:
    """Raises Refusal (404, or 403 if it names no bounds)."""
    if caller.customer is None:
        return
    if asked.customer is None:
        raise Refusal(403, "forbidden", f"this token is of {caller.customer} alone: name that customer")
    caller.require(f"customer {asked.customer}", asked.customer, asked.site)


def _told(token: store.Token) -> Token:
    return Token(
        id=token.id,
        role=token.role,
        user=token.user,
        customer=token.customer,
        site=token.site,
        kind=None if token.kind is None else Kind(token.kind),
        uses_left=token.uses_left,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )
