"""The description of the API as a page for people: made here, without scripts and without anything from elsewhere."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

STYLE_FILE = "page.css"
PAGE_FILE = "page.html"
FEW = 3  # fields of an example of which none must be there
MAX_DEPTH = 4  # of examples: what a thing holds of others, and those of others

Schema = Mapping[str, Any]

_CHOICES = ("anyOf", "oneOf", "allOf")

# What a text of a format looks like.
_TEXTS = {
    "date-time": "2026-12-01T08:00:00+01:00",
    "date": "2026-12-01",
    "email": "j.jansen@example.com",
    "binary": "…",
}


# What fields of these names hold in examples that have none of their own.
_NAMED: Mapping[str, object] = {
    "address": "192.0.2.31",
    "author": "anna",
    "cause": "the mailbox was full",
    "comment": "we know, and are on it",
    "community": "public",
    "customer": "acme",
    "device": "ws-reception-7k3p",
    "devices": ["ws-reception-7k3p"],
    "add": ["ws-reception-7k3p"],
    "remove": ["ws-meeting-2x9d"],
    "description": "since noon, for three people",
    "email": "a.devries@example.com",
    "ends_at": "2026-12-01T18:00:00+01:00",
    "evidence": "the restored file opens",
    "groups": ["second-line"],
    "holidays": "NL",
    "hours": "Mon-Fri 08:30-17:00",
    "id": "anna",
    "language": "nl",
    "layer": "customer",
    "minutes": 30,
    "name": "Anna de Vries",
    "note": "the cable is new, the switch is next",
    "office_hours": "Mon-Fri 08:30-17:00",
    "phone": "+31 20 123 4567",
    "plan": "monthly",
    "reader": "srv-files-4m1c",
    "reason": "thrown away next week",
    "role": "viewer",
    "site": "hq",
    "skills": ["network"],
    "sla": "standard",
    "solution": "the oldest year is archived",
    "status": "in_progress",
    "subject": "acme",
    "support_level": "8x5",
    "tags": ["reception"],
    "technician": "anna",
    "technicians": ["anna", "bob"],
    "text": "it prints again",
    "time_zone": "Europe/Amsterdam",
    "title": "Outlook is slow",
    "to": "bob",
    "watcher": "anna",
}
# What stands for the name of a thing in a path, by what stands before it.
_IDS: Mapping[str, str] = {
    "customers": "acme",
    "devices": "ws-reception-7k3p",
    "printers": "printer-hall-5c2h",
    "service-models": "monthly",
    "sites": "hq",
    "slas": "standard",
    "support-levels": "8x5",
    "technicians": "anna",
    "users": "anna",
    "watchers": "anna",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a table of fields."""

    name: str
    type: str
    model: str | None  # the schema that the type links to
    required: bool
    description: str
    limits: str


@dataclass(frozen=True, slots=True)
class Page:
    """As it is served; `policy` is its Content-Security-Policy, which lets in its own style and nothing else."""

    html: bytes
    policy: str


def render(document: Mapping[str, Any]) -> Page:
    """The page of an OpenAPI document as `describe` makes it."""
    environment = Environment(
        loader=PackageLoader("collector.api.desk", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked"] = _marked
    assert environment.loader is not None  # noqa: S101 - as given above
    style, _, _ = environment.loader.get_source(environment, STYLE_FILE)
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    root = document["servers"][0]["url"]
    tags: dict[str, list[dict[str, Any]]] = {}
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            told = _operation(root, path, method.upper(), operation, schemas)
            tags.setdefault(operation["tags"][0], []).append(told)
    html = environment.get_template(PAGE_FILE).render(
        title=document["info"]["title"],
        root=root,
        style=style,
        tags=dict(sorted(tags.items())),
        models={name: _model(schema) for name, schema in sorted(schemas.items())},
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html.encode(), policy)


def _marked(text: str) -> Markup:
    """Words in backticks as code; the rest as it is."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _operation(
    root: str, path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Schema]
) -> dict[str, Any]:
    body = operation.get("requestBody")
    media_type, content = next(iter(body["content"].items())) if body else (None, None)
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation["description"],
        "parameters": [
            (
                one["in"],
                Field(
                    one["name"],
                    *_type(one["schema"]),
                    one["required"],
                    one.get("description", ""),
                    _limits(one["schema"]),
                ),
            )
            for one in operation["parameters"]
        ],
        "media_type": media_type,
        "body": _type(content["schema"]) if content else None,
        "responses": [
            (
                status,
                told["description"],
                [(kind, *_type(one["schema"])) for kind, one in told.get("content", {}).items()],
            )
            for status, told in operation["responses"].items()
        ],
        "curl": _curl(root, path, method, operation, schemas),
    }


def _model(schema: Schema) -> dict[str, Any]:
    required = schema.get("required", [])
    return {
        "description": schema.get("description", ""),
        "values": list(map(str, schema.get("enum", []))),
        "fields": [
            Field(name, *_type(one), name in required, one.get("description", ""), _limits(one))
            for name, one in schema.get("properties", {}).items()
        ],
    }


def _type(schema: Schema) -> tuple[str, str | None]:
    """In words, and the schema that it names."""
    if "$ref" in schema:
        name = _ref(schema)
        return name, name
    for key in _CHOICES:
        if key in schema:
            told = [_type(one) for one in schema[key]]
            model = next((model for _, model in told if model is not None), None)
            return " or ".join(dict.fromkeys(words for words, _ in told)), model
    match schema.get("type"):
        case "array":
            words, model = _type(schema.get("items", {}))
            return f"list of {words}", model
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            words, model = _type(schema["additionalProperties"])
            return f"object of {words}", model
        case None:
            return (f"always {json.dumps(schema['const'])}", None) if "const" in schema else ("anything", None)
        case kind:
            return schema.get("format", kind) if kind == "string" else kind, None


_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters at most",
    "minItems": "{} or more",
    "maxItems": "{} at most",
    "pattern": "matches {}",
}


def _limits(schema: Schema) -> str:
    """What a value must keep to, and what stands for one that is left out."""
    told: list[str] = []
    for one in [schema, *schema.get("anyOf", [])]:
        told += [text.format(one[key]) for key, text in _LIMITS.items() if key in one]
        if "enum" in one:
            told.append(", ".join(map(str, one["enum"])))
    if schema.get("default") is not None:
        told.append(f"default {json.dumps(schema['default'])}")
    return "; ".join(dict.fromkeys(told))


def _curl(root: str, path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Schema]) -> str:
    query: list[str] = []
    headers = ["Authorization: Bearer $TOKEN"]
    for one in operation["parameters"]:
        value = _named(one["name"], one["schema"], schemas, 0)
        if one["in"] == "path":
            before = path.partition("/{" + one["name"] + "}")[0].rpartition("/")[2]
            value = _IDS.get(before, value) if one["schema"].get("type") == "string" else value
            path = path.replace("{" + one["name"] + "}", str(value))
        elif one["in"] == "query" and one["required"]:
            query.append(f"{one['name']}={value}")
        elif one["name"] == "If-Match":
            headers.append("If-Match: $ETAG")
        elif one["name"] == "Idempotency-Key":
            headers.append("Idempotency-Key: $(uuidgen)")
    body = operation.get("requestBody")
    lines = [f'curl{"" if method == "GET" else f" -X {method}"} "https://collector.example{root}{path}{_asked(query)}"']
    if body is not None:
        kind, content = next(iter(body["content"].items()))
        headers.append(f"Content-Type: {kind}")
    lines += [f'-H "{header}"' for header in headers]
    if body is not None:
        if kind == "application/json":
            written = json.dumps(_example(content["schema"], schemas), ensure_ascii=False, indent=2)
            lines.append("-d '" + written.replace("'", "'\\''") + "'")
        else:
            lines.append("--data-binary @FILE")
    return " \\\n  ".join(lines)


def _asked(query: list[str]) -> str:
    return "?" + "&".join(query) if query else ""


def _example(schema: Schema, schemas: Mapping[str, Schema], depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """A value that the schema describes: an example that it gives, or else the plainest there is."""
    given = [*schema.get("examples", ()), schema.get("default"), schema.get("const"), *schema.get("enum", ())]
    found = next((one for one in given if one is not None), None)
    return _plain(schema, schemas, depth) if found is None else found


def _plain(schema: Schema, schemas: Mapping[str, Schema], depth: int) -> Any:  # noqa: ANN401 - any JSON
    if "$ref" in schema:
        return _example(schemas[_ref(schema)], schemas, depth + 1)
    choices = [one for key in _CHOICES for one in schema.get(key, ()) if one.get("type") != "null"]
    if choices:
        return _example(choices[0], schemas, depth)
    match schema.get("type"):
        case "object":
            return dict(_members(schema, schemas, depth)) if depth <= MAX_DEPTH else {}
        case "array":
            return [_example(schema.get("items", {}), schemas, depth + 1)] if depth <= MAX_DEPTH else []
        case "string":
            return _TEXTS.get(schema.get("format", ""), "text")
        case kind:
            return {"integer": 1, "number": 1, "boolean": True}.get(str(kind))


def _members(schema: Schema, schemas: Mapping[str, Schema], depth: int) -> Iterator[tuple[str, Any]]:
    """Those that must be there; where none must, the first few."""
    properties = schema.get("properties", {})
    required = schema.get("required", []) or list(properties)[:FEW]
    for name in required:
        yield name, _named(name, properties[name], schemas, depth + 1)


def _named(name: str, schema: Schema, schemas: Mapping[str, Schema], depth: int) -> Any:  # noqa: ANN401 - any JSON
    """A value of a field: an example of its own, or what a field of that name holds elsewhere."""
    if "examples" not in schema and name in _NAMED:
        return _NAMED[name]
    return _example(schema, schemas, depth)


def _ref(schema: Schema) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]
