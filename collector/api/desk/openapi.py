"""The API described as OpenAPI 3.1, from the models that validate it, so that neither says what the other does not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from collector.api.desk import etags, idempotency
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
            **_parameter(schema),
        }
        for name, schema in params.get("properties", {}).items()
    ]
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": _description(one),
        "tags": [one.path.split("/")[1]],
        "parameters": [*parameters, *_headers_of(one)],
        "responses": _responses(one, refs),
    }
    if one.body is Upload:
        told["requestBody"] = {"required": True, "content": _FILE}
    elif one.body is not None:
        schema = refs[one.body, "validation"]
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told


def _description(one: AnyOperation) -> str:
    said = [one.description] if one.description else []
    said.append(f"Takes a token of role {one.least_role} at least.")
    if one.changes is not None:
        said.append(f"Takes the ETag of GET {one.changes.path} as {etags.IF_MATCH}.")
    elif one.works_on is not None:
        said.append(f"May be given the ETag of GET {one.works_on.path} as {etags.IF_MATCH}.")
    return " ".join(said)


def _headers_of(one: AnyOperation) -> Iterator[dict[str, Any]]:
    """The headers that it takes, as parameters."""
    if one.creates:
        text = "A repeat with the same key within 24 hours creates nothing and gives the same answer."
        schema = {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_CHARS, "pattern": "^[!-~]+$"}
        yield {"name": idempotency.HEADER, "in": "header", "required": False, "description": text, "schema": schema}
    tags = {"type": "string", "maxLength": etags.MAX_CHARS, "pattern": etags.TAGS_PATTERN}
    if one.thing is not None:
        text = "The ETag of what is to be changed, as you saw it: if it was changed since, nothing happens (412)."
        is_needed = one.changes is not None
        yield {"name": etags.IF_MATCH, "in": "header", "required": is_needed, "description": text, "schema": tags}
    if not one.writes and one.answer is not Download:
        text = "ETags of answers that you have: 304 if one of them is still right."
        schema = {"type": "string"}  # what is no ETag matches none, and does no harm
        yield {"name": etags.IF_NONE_MATCH, "in": "header", "required": False, "description": text, "schema": schema}


def _responses(one: AnyOperation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {
        "description": "Made." if one.creates else "Done." if one.writes else "As it is now.",
        "content": _FILE
        if one.answer is Download
        else {"application/json": {"schema": refs[one.answer, "serialization"]}},
    }
    etag = {"ETag": {"description": "Changes with the answer.", "schema": {"type": "string"}}}
    refused: dict[str, str] = {}
    has_etag = one.answer is not Download and (not one.writes or one.shows_what_it_changes)
    if has_etag:
        done["headers"] = etag
    if one.body is not None or one.creates or one.thing is not None:
        refused["400"] = "The body is no JSON, or a header cannot be what it should be."
    refused |= {
        "401": "No token, or none that may be used.",
        "403": "The token's role or bounds do not allow it.",
        "404": "There is none, or the token does not see it.",
    }
    if one.writes:
        refused["409"] = "It is taken, or does not go together with what is there."
    if one.thing is not None:
        refused["412"] = "It was changed since: read it again."
    if one.changes is not None:
        refused["428"] = f"There is no {etags.IF_MATCH}."
    if one.body is not None:
        refused["413"] = "The body is too large."
        refused["415"] = "The body is not application/json."
    refused |= {
        "422": "Something of the request is wrong.",
        "429": "Too many requests: come back when Retry-After has passed.",
        "503": "Busy: come back when Retry-After has passed.",
        "default": "Another refusal.",
    }
    responses = {str(one.status): done}
    if not one.writes and has_etag:
        responses["304"] = {"description": f"{etags.IF_NONE_MATCH} still holds.", "headers": etag}
    content = {CONTENT_TYPE: {"schema": refs[Problem, "serialization"]}}
    return responses | {status: {"description": text, "content": content} for status, text in sorted(refused.items())}


def _name(ref: Mapping[str, str]) -> str:
    return ref["$ref"].rsplit("/", 1)[1]


def _parameter(schema: Mapping[str, Any]) -> dict[str, Any]:
    told = _without_null(schema)
    description = told.pop("description", None)
    return {"schema": told} | ({"description": description} if description else {})


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it is never null."""
    told = {key: value for key, value in schema.items() if key != "default" or value is not None}
    others = [one for one in told.get("anyOf", []) if one != {"type": "null"}]
    if len(others) == 1:
        del told["anyOf"]
        told |= others[0]
    return told
