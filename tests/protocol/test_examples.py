"""The golden examples: what agent and collector are built against, and what the documentation shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from protocol import wire
from protocol.schema import MESSAGES, schema_of

EXAMPLES = Path(__file__).parents[2] / "protocol" / "examples"
# Besides one example per message there are more answers to a push.
MESSAGE_OF = {name: name for name in MESSAGES} | {
    "push_need_layouts.response": "push.response",
    "push_refused.response": "push.response",
}


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def test_every_file_is_an_example_of_a_message() -> None:
    assert {path.name.removesuffix(".json") for path in EXAMPLES.iterdir()} == set(MESSAGE_OF)


@pytest.mark.parametrize("name", MESSAGE_OF)
def test_an_example_passes_model_and_schema(name: str) -> None:
    text = (EXAMPLES / f"{name}.json").read_text(encoding="utf-8")
    message = MESSAGE_OF[name]

    model = MESSAGES[message].model_validate_json(text)

    Draft202012Validator(schema_of(message)).validate(json.loads(text))
    assert model.model_dump(mode="json", exclude_unset=True) == json.loads(text)


def test_layouts_are_named_by_their_series() -> None:
    push: wire.Push = example("push.request")
    assert [layout["id"] for layout in push["layouts"]] == [
        wire.layout_id(layout["series"]) for layout in push["layouts"]
    ]
    assert example("push_need_layouts.response")["need_layouts"] == [push["layouts"][1]["id"]]


def test_frames_are_as_long_as_their_layouts() -> None:
    push: wire.Push = example("push.request")
    lengths = {layout["id"]: len(layout["series"]) for layout in push["layouts"]}
    assert [len(frame["v"]) for frame in push["frames"]] == [lengths[frame["layout"]] for frame in push["frames"]]


def test_answers_fit_the_push() -> None:
    push: wire.Push = example("push.request")
    assert example("push.response")["acked"] == push["seq"]
    assert example("push_need_layouts.response")["acked"] is None
    refused = example("push_refused.response")["refused"]
    assert all("device" in push["frames"][refusal["frame"]] for refusal in refused)
