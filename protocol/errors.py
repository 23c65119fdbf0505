"""The root of every error that Quarkpulse raises on purpose."""


class QuarkpulseError(Exception):
    """Raised on purpose; the message says what happened and what to do next."""


class TransientError(QuarkpulseError):
    """The same call may succeed later: keep the data and retry with backoff."""


class PermanentError(QuarkpulseError):
    """The same call can never succeed: do not retry it unchanged."""
