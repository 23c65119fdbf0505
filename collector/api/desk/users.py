"""`/users`: who signs in, and whose tokens work for them. Passwords are set on the command line alone."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Email, Id, Number, PersonName
from collector.fleet import users as store
from collector.fleet.errors import NotFoundError
from collector.fleet.people import Language
from collector.fleet.roles import Role
from collector.fleet.users import Profile


class UserRole(StrEnum):
    CONTACT = Role.CONTACT
    VIEWER = Role.VIEWER
    TECHNICIAN = Role.TECHNICIAN
    MANAGER = Role.MANAGER
    ADMIN = Role.ADMIN


class User(BaseModel):
    id: str
    name: str
    role: UserRole
    email: str | None
    language: Language
    customer: str | None = Field(description="Of a contact: whose.")
    contact: int | None
    technician: str | None
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None = Field(description="Not let in since then.")


class UserPage(Page[User]):
    pass


class NewUser(Request):
    id: Id = Field(examples=["anna"])
    name: PersonName
    role: UserRole
    email: Email | None = None
    language: Language = Language.NL
    customer: Id | None = None
    contact: Number | None = None
    technician: Id | None = None


class UserPatch(Patch):
    name: PersonName = ""
    role: UserRole = UserRole.VIEWER
    email: Email | None = None
    language: Language = Language.NL
    contact: Number | None = None
    technician: Id | None = None
    disabled: bool = Field(default=False, description="True: is let in no more, and tokens of this user stop working.")


class UserId(Request):
    id: Id


async def list_users(call: Call[PagingByName, None]) -> UserPage:
    _require_unbound(call.caller)
    found = await store.users_after(call.connection, call.params.after, call.params.limit + 1)
    page, cursor = cut(found, call.params.limit, lambda one: one.id)
    return UserPage(items=[_told(one) for one in page], next_cursor=cursor)


async def get_user(call: Call[UserId, None]) -> User:
    _require_unbound(call.caller)
    try:
        return _told(await store.get_user(call.connection, call.params.id))
    except NotFoundError:
        raise missing(f"user {call.params.id}") from None


async def add_user(call: Call[NoParameters, NewUser]) -> User:
    _require_unbound(call.caller)
    said = call.body.model_dump(exclude={"id"})
    profile = Profile(**(said | {"role": Role(said["role"])}))
    return _told(await store.add_user(call.connection, call.body.id, profile, actor=call.caller.name, now=call.now))


async def change_user(call: Call[UserId, UserPatch]) -> User:
    _require_unbound(call.caller)
    changes = call.body.given()
    disabled = changes.pop("disabled", None)
    user, actor = call.params.id, call.caller.name
    if "role" in changes:
        changes["role"] = Role(changes["role"])
    if changes:
        await store.change_user(call.connection, user, changes, actor=actor, now=call.now)
    if disabled is not None:
        await (store.disable_user if disabled else store.enable_user)(call.connection, user, actor=actor, now=call.now)
    return _told(await store.get_user(call.connection, user))


def operations() -> list[AnyOperation]:
    one = Operation("GET", "/users/{id}", "One user", UserId, None, User, get_user, role=Role.ADMIN)
    return [
        Operation("GET", "/users", "Users, by id", PagingByName, None, UserPage, list_users, role=Role.ADMIN),
        one,
        Operation(
            "POST",
            "/users",
            "Add a user",
            NoParameters,
            NewUser,
            User,
            add_user,
            creates=True,
            role=Role.ADMIN,
            description="Without a password: the command line sets it.",
        ),
        Operation(
            "PATCH",
            "/users/{id}",
            "Change, disable or enable a user",
            UserId,
            UserPatch,
            User,
            change_user,
            changes=one,
            role=Role.ADMIN,
            description="Tokens that reach further than a new role are revoked.",
        ),
    ]


def _require_unbound(caller: Caller) -> None:
    """Raises Refusal (403)."""
    if caller.customer is not None:
        raise Refusal(403, "forbidden", f"this token is of {caller.customer} alone, and users are of all")


def _told(user: store.User) -> User:
    profile = user.profile
    return User(
        id=user.id,
        name=profile.name,
        role=UserRole(profile.role),
        email=profile.email,
        language=profile.language,
        customer=profile.customer,
        contact=profile.contact,
        technician=profile.technician,
        has_password=user.has_password,
        created_at=user.created_at,
        disabled_at=user.disabled_at,
    )
