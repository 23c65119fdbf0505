"""Roles: what a token, or a user, may do."""

from enum import StrEnum


class Role(StrEnum):
    ENROLL = "enroll"
    CONTACT = "contact"  # of a customer: reads what is that customer's
    VIEWER = "viewer"  # reads
    TECHNICIAN = "technician"  # works on tickets
    MANAGER = "manager"  # changes customers, contracts and who works
    ADMIN = "admin"  # changes users and tokens
    SENDER = "sender"  # writes samples of one customer or site
    RULER = "ruler"  # posts alerts for all


# People's, in order: each may what those before it may.
USER_ROLES = (Role.CONTACT, Role.VIEWER, Role.TECHNICIAN, Role.MANAGER, Role.ADMIN)


def reaches(role: Role, least: Role) -> bool:
    """Whether `role` may what takes `least`; roles of programs reach nothing here."""
    return role in USER_ROLES and least in USER_ROLES and USER_ROLES.index(role) >= USER_ROLES.index(least)
