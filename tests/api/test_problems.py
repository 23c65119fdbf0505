"""What an error in a handler is to who asked."""

import json
import logging

import pytest

from collector.api.desk.refusals import refusal_of
from collector.api.problems import failed
from collector.db.errors import DatabaseError
from protocol.errors import PermanentError


def test_a_database_that_turns_us_away_is_not_the_callers_fault(caplog: pytest.LogCaptureFixture) -> None:
    """An agent sets aside what is refused, and sends again what failed."""
    error = DatabaseError("postgresql://quarkpulse@db/quarkpulse: password authentication failed")
    with caplog.at_level(logging.ERROR):
        for answer in (failed(error, "POST /v1/push"), refusal_of(error, "GET /tickets").answer()):
            assert isinstance(answer.body, bytes)
            assert (answer.status, json.loads(answer.body)["error"]) == (500, "internal")
            assert b"postgresql" not in answer.body
    assert caplog.text.count("password authentication failed") == 2


def test_what_is_refused_on_purpose_says_why() -> None:
    error = PermanentError("no such plan")
    assert (failed(error, "").status, refusal_of(error, "").status) == (400, 422)
