"""The exported JSON Schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from protocol.schema import ANSWERS, FOLDER, MESSAGES, main, schema_of

ROOT = Path(__file__).parents[2]


def test_the_documented_schemas_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert CliRunner().invoke(main, ["--check"]).output == ""
    assert {path.name for path in FOLDER.iterdir()} == {f"{message}.schema.json" for message in MESSAGES}


def test_a_check_finds_what_is_out_of_date_and_writing_mends_it(tmp_path: Path) -> None:
    missing = CliRunner().invoke(main, ["--check", str(tmp_path)])
    assert missing.exit_code == 1
    assert "push.request.schema.json" in missing.output

    assert CliRunner().invoke(main, [str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(main, ["--check", str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize("message", MESSAGES)
def test_a_schema_is_valid(message: str) -> None:
    Draft202012Validator.check_schema(schema_of(message))


def objects_in(schema: Any) -> list[dict[str, Any]]:
    return [one for one in (schema, *schema.get("$defs", {}).values()) if one.get("type") == "object"]


@pytest.mark.parametrize("message", ANSWERS)
def test_an_answer_leaves_nothing_out(message: str) -> None:
    for described in objects_in(schema_of(message)):
        assert sorted(described.get("required", [])) == sorted(described["properties"])


def test_a_schema_refuses_what_the_model_refuses() -> None:
    push = json.loads((ROOT / "protocol/examples/push.request.json").read_text(encoding="utf-8"))
    push["seq"] = "184"
    errors = list(Draft202012Validator(schema_of("push.request")).iter_errors(push))
    assert [list(error.absolute_path) for error in errors] == [["seq"]]
