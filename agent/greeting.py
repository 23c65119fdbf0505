"""The agent's first question to the collector, before the first stamp is made."""

import logging
from collections.abc import Callable
from typing import Protocol

from agent.answers import is_collectors_config, is_problem
from agent.clock import AgentClock
from agent.config import ConfigError
from agent.uplink import Answer, UplinkError
from protocol.wire import CONFIG_PATH

logger = logging.getLogger(__name__)

GREETING_SECONDS = 3.0
DATE_ERROR_SECONDS = 1.0  # an HTTP date is cut to the second; beside it, half of the way there and back is not known


class Line(Protocol):
    def set_patience(self, timeout_seconds: float = ..., deadline_seconds: float = ...) -> None: ...
    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer: ...


def greet(line: Line, clock: AgentClock, etag: str, take_config: Callable[[str, dict[str, object]], None]) -> None:
    """Ask for the configuration once, and with it for the time.

    Without an answer, what the last session knew serves for both. `take_config` raises ConfigError."""
    line.set_patience(GREETING_SECONDS, GREETING_SECONDS)
    try:
        answer = line.get(CONFIG_PATH, {"If-None-Match": f'"{etag}"'} if etag else None)
    except UplinkError as error:
        logger.warning("collector not reached at start: reason=%r", str(error))
        return
    finally:
        line.set_patience()
    # A login page's clock is anyone's; the collector's own refusals are as good as its answers.
    is_ours = is_collectors_config(answer, etag)
    if answer.date_seconds is not None and (is_ours or is_problem(answer.content)):
        half_seconds = answer.round_trip_seconds / 2
        clock.calibrate(answer.date_seconds + 0.5 + half_seconds, DATE_ERROR_SECONDS + half_seconds)
    if is_ours and answer.content is not None:
        try:
            take_config(answer.etag, answer.content)
        except ConfigError as error:
            logger.error("configuration refused, keeping the one before: reason=%r", str(error))  # noqa: TRY400
