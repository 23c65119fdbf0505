"""The description as people read it: complete, and from nowhere else."""

import json
import re
import shlex
from html import unescape
from html.parser import HTMLParser

from tests.api.desk.conftest import Desk


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")


async def test_the_page_tells_every_operation_and_field(desk: Desk) -> None:
    document = await desk.get("/openapi.json", "viewer")
    answer = await desk.ask("GET", "/", who=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    reader = Reader()
    reader.feed(answer.text)
    assert len(reader.ids) == len(set(reader.ids))
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert {one["operationId"] for one in operations} <= set(reader.ids)
    assert {f"model-{name}" for name in document["components"]["schemas"]} <= set(reader.ids)
    text = re.sub(r"\s+", " ", answer.text)
    for operation in operations:
        for parameter in operation["parameters"]:
            assert f"<code>{parameter['name']}</code>" in text
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", {}):
            assert f"<code>{name}</code>" in text
    assert text.count("<pre><code>curl") == len(operations)


async def test_the_page_loads_nothing_and_leads_nowhere_else(desk: Desk) -> None:
    answer = await desk.ask("GET", "/", who=None)
    reader = Reader()
    reader.feed(answer.text)
    assert {link for link in reader.links if not link.startswith("#")} == set()
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert not reader.tags & {"script", "img", "iframe", "link", "form", "object"}
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")


def examples(page: str) -> list[tuple[str, str, str]]:
    """Of each that sends JSON: method, path with query, and body."""
    found = []
    for written in re.findall(r"<pre><code>(curl.*?)</code></pre>", page, re.DOTALL):
        words = shlex.split(unescape(written).replace("\\\n", " "))
        if "-d" in words:
            address = next(word for word in words if word.startswith("https://"))
            found.append((words[words.index("-X") + 1], address.partition("/v1")[2], words[words.index("-d") + 1]))
    return found


async def test_its_examples_can_be_sent(desk: Desk) -> None:
    """What they name need not be there, nor be as they saw it, but nothing is written wrong."""
    told = examples((await desk.ask("GET", "/", who=None)).text)
    assert len(told) > 50
    wrong = []
    for method, path, body in told:
        if ': "text"' in body or "/text" in path:
            wrong.append(f"{method} {path}: says 'text': {body}")
        answer = await desk.ask(method, path, json.loads(body), who="admin")
        if answer.status == 400 or (answer.status == 422 and answer.json["error"] == "invalid"):
            wrong.append(f"{method} {path}: {answer.status} {answer.text}")
    assert not wrong, "\n".join(wrong)
