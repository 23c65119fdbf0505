"""What can go wrong with a query, by whose hand."""

from protocol.errors import PermanentError, QuarkpulseError


class PromqlError(QuarkpulseError):
    """A query that cannot be compiled or evaluated."""


class ParseError(PromqlError, PermanentError):
    """The text is not PromQL, or PromQL of a kind that is not supported. `column` counts characters from 1."""

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message if column is None else f"column {column}: {message}")
        self.column = column


class EvaluationError(PromqlError, PermanentError):
    """The query is sound, but not on these series (duplicates in a match, for instance)."""


class LimitError(PromqlError, PermanentError):
    """The query asks for more than one query may; `limit` is the name of the limit it met."""

    def __init__(self, limit: str, allowed: float, advice: str) -> None:
        super().__init__(f"the query exceeds the limit {limit} = {allowed:g}: {advice}")
        self.limit = limit
