"""Plain pushes are recognised exactly: what passes by hand, the model would let pass with the same values."""

import struct
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.ingest.plain import plain_push
from collector.series.catalog import pack_values
from protocol.models import Push

PLAIN: dict[str, Any] = {
    "sent": 1,
    "boot": "b",
    "spool": "s",
    "seq": 7,
    "layouts": [],
    "frames": [{"layout": "l", "t": 5, "v": [0.5, None, -3, 2**60]}],
    "events": [],
}

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**64), 2**65),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["x" * 64, "x" * 65, "x" * 129, [], {}, [[]], [1, "2"], [True], [None], {"a": 1}]),
    st.lists(st.floats() | st.none() | st.integers(), max_size=3),
)
frames = st.fixed_dictionaries(
    {"layout": st.just("l") | anything, "t": st.just(5) | anything, "v": st.just([0.5]) | anything},
    optional={"device": anything, "more": anything},
)
pushes = st.fixed_dictionaries(
    {
        "sent": st.just(1) | anything,
        "boot": st.just("b") | anything,
        "spool": st.just("s"),
        "seq": st.just(1) | anything,
    },
    optional={
        "layouts": st.just([]) | anything,
        "frames": st.lists(frames, max_size=3) | anything,
        "events": st.just([]) | anything,
        "inventory": anything,
        "more": anything,
    },
)


def test_what_agents_send_is_plain() -> None:
    push = plain_push(orjson.dumps(PLAIN))
    assert push is not None
    assert (push.seq, [frame[:3] for frame in push.frames]) == (7, [(None, "l", 5)])
    assert struct.unpack("<4d", push.frames[0].values)[2:] == (-3.0, float(2**60))


@pytest.mark.parametrize(
    "change",
    [
        {"frames": [{"layout": "l", "t": 5, "v": [True]}]},
        {"frames": [{"layout": "l", "t": 5, "v": ["1"]}]},
        {"frames": [{"layout": "l", "t": 5.0, "v": [1]}]},
        {"frames": [["l", 5, [1]]]},
        {"frames": {}},
        {"seq": -1},
        {"seq": 1 << 53},
        {"boot": ""},
        {"layouts": None},
        {"layouts": [{"id": "l", "series": []}]},
        {"events": [{"id": "1", "t": 1, "type": "x"}]},
        {"inventory": {}},
    ],
    ids=str,
)
def test_what_is_more_or_wrong_is_not(change: dict[str, object]) -> None:
    assert plain_push(orjson.dumps(PLAIN | change)) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"1e999", b"\xff", b"[" * 100_000])
def test_what_is_no_push_is_not(body: bytes) -> None:
    assert plain_push(body) is None


@given(push=pushes)
@example(push=PLAIN)
@example(push=PLAIN | {"frames": [{"layout": "l", "t": 5, "v": [2**64]}, {"layout": "l", "t": 5, "v": []}]})
def test_it_says_what_the_model_says(push: dict[str, object]) -> None:
    body = _json(push)
    plain = plain_push(body)
    if plain is None:
        return
    try:
        model = Push.model_validate_json(body)
    except ValidationError as error:
        raise AssertionError(f"the model refuses {body!r}") from error
    assert not model.layouts
    assert not model.events
    assert model.inventory is None
    assert plain.seq == model.seq
    assert plain.frames == [(frame.device, frame.layout, frame.t, pack_values(frame.v)) for frame in model.frames]


def _json(value: object) -> bytes:
    """As JSON, NaN and integers of any size included."""
    if isinstance(value, dict):
        return b"{%b}" % b",".join(orjson.dumps(key) + b":" + _json(member) for key, member in value.items())
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(_json, value))
    return repr(value).encode() if type(value) in (int, float) else orjson.dumps(value)
