"""The API described as OpenAPI 3.1, from the models that validate it, so that neither says what the other does not."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from collector.api.desk import idempotency
from collector.api.desk.operations import AnyOperation, Download, Upload
from collector.api.desk.refusals import CONTENT_TYPE, Problem

_REF = "#/components/schemas/{model}"
_FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
Mode = Literal["validation", "serialization"]


def describe(operations: Sequence[AnyOperation], root: str, version: str) -> dict[str, Any]:
    """The document, as JSON holds it."""
    wanted: list[tuple[type[BaseModel], Mode]] = [(Problem, "serialization")]
    for one in operations:
        wanted.append((one.params, "validation"))
        if one.answer is not Download:
            wanted.append((one.answer, "serialization"))
        if one.body not in (None, Upload):
            wanted.append((one.body, "validation"))
    refs, found = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    schemas: dict[str, Any] = found["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        params = schemas[_name(refs[one.params, "validation"])]
        paths.setdefault(one.path, {})[one.method.lower()] = _describe(one, params, refs)
    for one in operations:
        schemas.pop(_name(refs[one.params, "validation"]), None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quarkpulse desk API", "version": version},
        "servers": [{"url": root}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(
    one: AnyOperation,
    params: Mapping[str, Any],
    refs: Mapping[Any, Any],  # by model and mode
) -> dict[str, Any]:
    required = params.get("required", [])
    parameters = [
        {
            "name": name,
            "in": "path" if name in one.in_path else "query",
            "required": name in required,
            "schema": _without_null(schema),
        }
        for name, schema in params.get("properties", {}).items()
    ]
    if one.creates:
        parameters.append(
            {
                "name": idempotency.HEADER,
                "in": "header",
                "required": False,
                "description": "A repeat with the same key within 24 hours creates nothing and gives the same answer.",
                "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_CHARS, "pattern": "^[!-~]+$"},
            }
        )
    refused = {"content": {CONTENT_TYPE: {"schema": refs[Problem, "serialization"]}}}
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.path.split("/")[1]],
        "parameters": parameters,
        "responses": {
            str(one.status): {
                "description": "Done.",
                "content": _FILE
                if one.answer is Download
                else {"application/json": {"schema": refs[one.answer, "serialization"]}},
            },
            "401": {"description": "No token, or none that may be used.", **refused},
            "403": {"description": "The token's role does not allow it.", **refused},
            "404": {"description": "There is none, or the token does not see it.", **refused},
            "422": {"description": "Something of the request is wrong.", **refused},
            "default": {"description": "Another refusal.", **refused},
        },
    }
    if one.body is Upload:
        told["requestBody"] = {"required": True, "content": _FILE}
    elif one.body is not None:
        schema = refs[one.body, "validation"]
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told


def _name(ref: Mapping[str, str]) -> str:
    return ref["$ref"].rsplit("/", 1)[1]


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it is never null."""
    told = {key: value for key, value in schema.items() if key != "default" or value is not None}
    others = [one for one in told.get("anyOf", []) if one != {"type": "null"}]
    if len(others) == 1:
        del told["anyOf"]
        told |= others[0]
    return told
