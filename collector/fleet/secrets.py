"""Secrets of machines and access tokens: 256 random bits, shown once, stored as their SHA-256.

They are random and long, so that neither salt nor slow hashing adds anything; passwords are another matter.
"""

import hashlib
import secrets

SECRET_BYTES = 32


def new_secret() -> str:
    """43 characters that are safe in a URL and in a header."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()
