"""Why a printer could not be read."""

from protocol.errors import PermanentError, TransientError


class NoAnswer(TransientError):  # noqa: N818 - it says what is the case
    """It is switched off, elsewhere, does not speak this protocol or not to us; or it fell silent in the middle."""


class BadAnswer(TransientError):  # noqa: N818 - it says what is the case
    """What came back breaks its protocol."""


class AccessRefused(PermanentError):  # noqa: N818 - it says what is the case
    """It answers, and does not take the user or the passwords."""


class NotPossible(PermanentError):  # noqa: N818 - it says what is the case
    """This installation cannot do it, or was told nonsense; the message says what to do."""
