"""What the collector's answers to a push mean. The running agent has no pydantic: what it reads, it checks here."""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import NamedTuple

from agent.etags import bare_etag
from agent.uplink import Answer, is_plausible


class Verdict(StrEnum):
    """What to do with a push that was answered."""

    ACKED = "acked"
    NEED_LAYOUTS = "need_layouts"  # nothing stored; send it again with these
    TOO_LARGE = "too_large"  # split
    REJECTED = "rejected"  # never to be taken as it is: find the record that is at fault, set it aside
    UNAUTHORIZED = "unauthorized"  # keep, and ask again seldom
    ENDED = "ended"  # this device is no longer wanted
    TRANSIENT = "transient"  # keep, and back off


RETRIABLE_STATUSES = (408, 425, 429)
# A proxy's limit or refusal is as binding as the collector's; only, nothing is given up at a proxy's word.
REGARDLESS_OF_BODY = {413: Verdict.TOO_LARGE, 401: Verdict.UNAUTHORIZED, 403: Verdict.UNAUTHORIZED}

PROBLEM_WORD = re.compile("[a-z]+(_[a-z]+)*")
MAX_EXPLANATION_CHARS = 300
CONFIG_KEYS = {"push_interval_seconds", "custom_checks", "presence_policy", "printers"}


def judge(answer: Answer, seq: int, layouts: Collection[str] = ()) -> Verdict:
    """The verdict on push `seq` of frames of these layouts. A body that is not the collector's (a login page, a proxy's
    error) proves nothing."""
    if answer.status == 200:
        return judge_success(answer.content, seq, layouts)
    if answer.status in REGARDLESS_OF_BODY:
        return REGARDLESS_OF_BODY[answer.status]
    if not is_problem(answer.content) or answer.status in RETRIABLE_STATUSES or not 400 <= answer.status < 500:
        return Verdict.TRANSIENT
    return Verdict.ENDED if answer.status == 410 else Verdict.REJECTED


def judge_success(content: Mapping[str, object] | None, seq: int, layouts: Collection[str]) -> Verdict:
    if content is None or parse_now(content.get("now")) is None:
        return Verdict.TRANSIENT
    acked, needed = content.get("acked"), content.get("need_layouts")
    if needed:
        is_ours = isinstance(needed, list) and all(one in layouts for one in needed) and acked is None
        return Verdict.NEED_LAYOUTS if is_ours else Verdict.TRANSIENT
    return Verdict.ACKED if type(acked) is int and acked == seq else Verdict.TRANSIENT


def is_problem(content: Mapping[str, object] | None) -> bool:
    """Whether a refusal's body is the collector's own: `protocol.wire.Problem`, whole.

    Other servers' refusals often hold `error` and `message` too, but no details, and words for people as the error."""
    if content is None:
        return False
    error, message, details = (content.get(key) for key in ("error", "message", "details"))
    return (
        isinstance(error, str)
        and PROBLEM_WORD.fullmatch(error) is not None
        and isinstance(message, str)
        and isinstance(details, list)
    )


def is_collectors(answer: Answer, etag: str = "") -> bool:
    """Whether the collector itself answered; not a login page, nor a gateway that refuses or does not reach it. `etag`:
    of the configuration that the question named."""
    if is_collectors_config(answer, etag) or is_problem(answer.content):
        return True
    return answer.status == 200 and answer.content is not None and parse_now(answer.content.get("now")) is not None


def is_collectors_config(answer: Answer, etag: str) -> bool:
    """Whether the collector itself answered the question for its configuration: with one, or that it is still the one
    of `etag`, which the question named."""
    if answer.status == 304:
        return etag != "" and answer.etag == etag
    return answer.status == 200 and is_config(answer.content)


def is_config(content: Mapping[str, object] | None) -> bool:
    """Whether this is a configuration at all: the collector always sends these keys, and each has its default, so that
    any other object would pass for one that turns everything off."""
    return content is not None and content.keys() >= CONFIG_KEYS


def explain(answer: Answer) -> str:
    """What to tell people about an answer that is no success."""
    if is_problem(answer.content) and answer.content is not None:
        return f"{answer.status} {printable(str(answer.content['message'])[:MAX_EXPLANATION_CHARS])}"
    if answer.status < 400 or answer.content is not None:
        return f"{answer.status} with a body that is not the collector's: a login page or a proxy answers in its place"
    return f"{answer.status} without an explanation"


def printable(text: str) -> str:
    """Without what a terminal or a log would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)


class PushReply(NamedTuple):
    """The parts of a 200 that the agent uses; what is missing or of the wrong type is empty."""

    now_seconds: float
    need_layouts: frozenset[str]
    refused: dict[int, str]  # index of the frame → reason
    config_etag: str


def parse_push_reply(content: Mapping[str, object]) -> PushReply:
    now, need, refused, etag = (content.get(key) for key in ("now", "need_layouts", "refused", "config_etag"))
    refusals = [one for one in refused if isinstance(one, dict)] if isinstance(refused, list) else []
    return PushReply(
        now_seconds=parse_now(now) or 0.0,
        need_layouts=frozenset(one for one in need if isinstance(one, str)) if isinstance(need, list) else frozenset(),
        refused={one["frame"]: str(one.get("reason")) for one in refusals if type(one.get("frame")) is int},
        config_etag=bare_etag(etag),
    )


def parse_now(found: object) -> float | None:
    """Unix seconds of the Unix milliseconds in an answer; None if that can be no collector's time."""
    return found / 1000 if type(found) is int and is_plausible(found // 1000) else None
