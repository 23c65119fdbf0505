"""`python -m protocol.schema`: the protocol's messages as JSON Schema, for those who write a sender of their own.

The schemas are made from `protocol.models`, so they cannot say anything else than what the collector checks.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from protocol import models

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path("docs/reference/protocol")

REQUESTS: Mapping[str, type[BaseModel]] = {
    "enroll.request": models.EnrollRequest,
    "push.request": models.Push,
}
ANSWERS: Mapping[str, type[BaseModel]] = {
    "enroll.response": models.EnrollAnswer,
    "push.response": models.PushAnswer,
    "config.response": models.Config,
    "problem.response": models.Problem,
}
MESSAGES: Mapping[str, type[BaseModel]] = {**REQUESTS, **ANSWERS}


class AnswerSchema(GenerateJsonSchema):
    """In an answer every field is there: the collector leaves no default out."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return True


def schema_of(message: str) -> dict[str, Any]:
    """The JSON Schema of a message of `MESSAGES`: of a request what is accepted, of an answer what is sent."""
    if message in REQUESTS:
        schema = REQUESTS[message].model_json_schema()
    else:
        schema = ANSWERS[message].model_json_schema(mode="serialization", schema_generator=AnswerSchema)
    return {"$schema": DIALECT, **schema}


def file_of(message: str, folder: Path) -> Path:
    return folder / f"{message}.schema.json"


def text_of(message: str) -> str:
    return json.dumps(schema_of(message), indent=2) + "\n"


def is_current(message: str, folder: Path) -> bool:
    path = file_of(message, folder)
    return path.exists() and path.read_text(encoding="utf-8") == text_of(message)


@click.command(epilog="Example: python -m protocol.schema --check")
@click.argument("folder", default=FOLDER, type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is missing or out of date.")
def main(folder: Path, check: bool) -> None:
    """Write the JSON Schema of every message into FOLDER, by default docs/reference/protocol."""
    outdated = [file_of(message, folder) for message in MESSAGES if not is_current(message, folder)]
    if check and outdated:
        names = ", ".join(map(str, outdated))
        raise click.ClickException(f"out of date: {names}; write them anew with: python -m protocol.schema")
    if check:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for message in MESSAGES:
        file_of(message, folder).write_text(text_of(message), encoding="utf-8")


if __name__ == "__main__":
    main()
