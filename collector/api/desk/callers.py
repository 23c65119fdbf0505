"""Who asks, and what of the provider's customers a token may see and change."""

from dataclasses import dataclass

from collector.api.desk.refusals import Refusal
from collector.fleet.roles import USER_ROLES, Role, reaches
from collector.fleet.tokens import Token


@dataclass(frozen=True, slots=True)
class Caller:
    """A token that was taken. `customer` None: of all customers; `site` None: of all sites of the customer."""

    token: int
    role: Role
    customer: str | None = None
    site: str | None = None
    user: str | None = None
    contact: int | None = None  # who it is at the customer

    @classmethod
    def of(cls, token: Token) -> "Caller":
        """Raises Refusal (403) if the token's role has no business here."""
        if token.role not in USER_ROLES or (token.role is Role.CONTACT and token.customer is None):
            raise Refusal(
                403,
                "forbidden",
                f"a token of role {token.role} does not read here; make another: tokens create --role viewer",
            )
        return cls(token.id, token.role, token.customer, token.site, token.user, token.contact)

    @property
    def name(self) -> str:
        """For the audit and for tickets: the user, or `token 3 (technician)`."""
        return self.user or f"token {self.token} ({self.role})"

    def require_role(self, least: Role) -> None:
        """Raises Refusal (403)."""
        if not reaches(self.role, least):
            raise Refusal(
                403,
                "forbidden",
                f"this takes a token of role {least} at least, and this one has role {self.role}: "
                f"tokens create --role {least}",
            )

    @property
    def bounds(self) -> tuple[str, str | None] | None:
        """The customer, and the site, that the token is of; None: it is of all."""
        return None if self.customer is None else (self.customer, self.site)

    def sees(self, customer: str | None, site: str | None = None) -> bool:
        """Whether something of a customer, or of one of its sites, is within the token's bounds."""
        return self.customer in (None, customer) and self.site in (None, site)

    def require(self, what: str, customer: str | None, site: str | None = None) -> None:
        """Raises Refusal (404), as if there were no such thing, unless the caller sees it."""
        if not self.sees(customer, site):
            raise missing(what)


def missing(what: str) -> Refusal:
    """`what` names it: `ticket 1001`."""
    return Refusal(404, "not_found", f"there is no {what[:200]}, or this token does not see it")
