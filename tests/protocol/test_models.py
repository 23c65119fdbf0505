"""`protocol.models` against `protocol.wire`, and what the models let pass and refuse."""

import json
import types
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from protocol import models, wire

SHAPES = {name: shape for name, shape in vars(wire).items() if is_typeddict(shape)}
EXAMPLE = json.loads((Path(__file__).parents[2] / "protocol/examples/push.request.json").read_text(encoding="utf-8"))


def form(hint: Any) -> Any:
    """A type as nested tuples, in which a model and a TypedDict of one name, or `str` and a `StrEnum`, are the same."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Annotated, NotRequired, Required):
        return form(arguments[0])
    if origin in (Union, types.UnionType):
        return ("union", frozenset(form(one) for one in arguments))
    if origin is not None:
        return (origin, *(form(one) for one in arguments))
    if isinstance(hint, type) and (is_typeddict(hint) or issubclass(hint, BaseModel)):
        return hint.__name__
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint.__bases__[0].__mro__[1]
    return hint


def without_none(shape: Any) -> Any:
    """A field that may be left out on the wire may be None in the model; otherwise they agree."""
    if isinstance(shape, tuple) and shape[0] == "union":
        left = shape[1] - {type(None)}
        return next(iter(left)) if len(left) == 1 else ("union", left)
    return shape


def test_every_shape_has_a_model() -> None:
    described = {
        name for name, model in vars(models).items() if isinstance(model, type) and issubclass(model, BaseModel)
    }
    assert described - {"BaseModel", "WireModel"} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_agrees_with_its_shape(name: str) -> None:
    shape, model = SHAPES[name], getattr(models, name)
    on_the_wire, in_the_model = get_type_hints(shape, include_extras=True), get_type_hints(model, include_extras=True)
    in_the_model.pop("model_config", None)
    optional = shape.__optional_keys__

    assert set(in_the_model) == set(on_the_wire)
    for field, hint in on_the_wire.items():
        wanted, found = form(hint), form(in_the_model[field])
        if field in optional:
            wanted, found = without_none(wanted), without_none(found)
        assert found == wanted, field
        # Whatever may be left out on the wire, the model does without; it may be more lenient, never stricter.
        if field in optional:
            assert not model.model_fields[field].is_required(), field


PUSHES = st.fixed_dictionaries(
    {
        "sent": st.integers(0, 2**53 - 1),
        "boot": st.text(min_size=1, max_size=20),
        "spool": st.text(min_size=1, max_size=20),
        "seq": st.integers(0, 2**53 - 1),
        "layouts": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.text(min_size=1, max_size=16),
                    "series": st.lists(
                        st.fixed_dictionaries(
                            {
                                "name": st.from_regex(wire.METRIC_NAME_PATTERN, fullmatch=True),
                                "labels": st.dictionaries(
                                    st.from_regex(wire.LABEL_NAME_PATTERN, fullmatch=True),
                                    st.text(max_size=9),
                                    max_size=3,
                                ),
                            }
                        ),
                        max_size=3,
                    ),
                }
            ),
            max_size=2,
        ),
        "frames": st.lists(
            st.fixed_dictionaries(
                {
                    "layout": st.text(min_size=1, max_size=16),
                    "t": st.integers(0, 2**53 - 1),
                    "v": st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=3),
                },
                optional={"device": st.text(max_size=9)},
            ),
            max_size=3,
        ),
        "events": st.lists(
            st.fixed_dictionaries(
                {"id": st.uuids().map(str), "t": st.integers(0, 2**53 - 1), "type": st.sampled_from(wire.EventType)},
                optional={"reason": st.text(max_size=9)},
            ),
            max_size=2,
        ),
    }
)


@given(PUSHES)
def test_a_push_survives_the_round_trip(push: dict[str, Any]) -> None:
    read = models.Push.model_validate_json(json.dumps(push))
    assert json.loads(read.model_dump_json(exclude_unset=True)) == json.loads(json.dumps(push))
    assert models.Push.model_validate_json(read.model_dump_json()) == read


def test_unknown_fields_are_ignored_everywhere_but_in_events() -> None:
    push = EXAMPLE | {"color": "blue", "frames": [EXAMPLE["frames"][0] | {"mood": 3}]}
    read = models.Push.model_validate(push).model_dump()
    assert "color" not in read
    assert "mood" not in read["frames"][0]
    assert read["events"][0]["probe"] == "battery"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("seq",), "184"),
        (("seq",), 184.0),
        (("seq",), True),
        (("seq",), -1),
        (("seq",), 2**53),
        (("sent",), None),
        (("boot",), ""),
        (("boot",), "b" * 129),
        (("frames",), {}),
        (("frames", 0, "t"), "now"),
        (("frames", 0, "v"), "1,2"),
        (("frames", 0, "v", 1), "0.5"),
        (("frames", 0, "v", 1), True),
        (("frames", 0, "v", 1), float("nan")),
        (("frames", 0, "v", 1), float("inf")),
        (("frames", 0, "v"), [0.0] * (wire.MAX_SERIES_PER_LAYOUT + 1)),
        (("layouts", 0, "series", 0, "name"), "9lives"),
        (("layouts", 0, "series", 0, "name"), "up\n"),
        (("layouts", 0, "series", 0, "labels"), {f"l{n}": "" for n in range(wire.MAX_LABELS_PER_SERIES + 1)}),
        (("layouts", 0, "series", 0, "labels", "probe"), 7),
        (("layouts", 0, "series", 0, "labels", "probe"), "x" * (wire.MAX_LABEL_VALUE_CHARS + 1)),
        (("events", 0, "type"), 1),
        (("inventory",), []),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_wrong_value_is_refused_by_its_name(where: tuple[str | int, ...], value: object) -> None:
    push = json.loads(json.dumps(EXAMPLE))
    place = push
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value

    with pytest.raises(ValidationError) as refused:
        models.Push.model_validate_json(json.dumps(push))  # json writes NaN and Infinity, as hostile senders do

    assert [error["loc"] for error in refused.value.errors()] == [where]


@pytest.mark.parametrize("field", ["sent", "boot", "spool", "seq"])
def test_a_missing_field_is_named(field: str) -> None:
    push = {name: value for name, value in EXAMPLE.items() if name != field}
    with pytest.raises(ValidationError) as refused:
        models.Push.model_validate_json(json.dumps(push))
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_a_secret_is_in_no_repr() -> None:
    answer = models.EnrollAnswer(device_id="ws-1", secret="s3cret", now=0, config=models.Config())
    assert "s3cret" not in repr(answer)
