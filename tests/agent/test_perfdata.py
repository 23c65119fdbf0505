"""What Nagios plugins print: the cases of data/nagios-perfdata.md, which also tells where each is from."""

import json
import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.perfdata import Range, parse_figures, parse_output, to_base

PAGE = (Path(__file__).parent / "data" / "nagios-perfdata.md").read_text(encoding="utf-8")
CASES = re.findall(r"^### (\d+\. .*?)\n\n```text\n(.*?)\n```\n\n```json\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
RANGES = re.findall(r"^\| `(\S+)` \| .*? \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", PAGE, re.MULTILINE)
VALUES = (0.0, 5.0, 10.0, 10.1, -1.0)


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_case_of_the_page(text: str, expected: str) -> None:
    wanted = json.loads(expected)
    output = parse_output(text)
    figures = output.figures if "|" in text else parse_figures(text)  # some cases are the data alone
    found = [
        {
            "label": one.label,
            "value": one.value,
            "uom": one.unit,
            "warn": one.warning,
            "crit": one.critical,
            "min": one.low,
            "max": one.high,
        }
        for one in figures
    ]
    assert found == wanted["perf"]
    assert output.text == wanted.get("text", output.text)


def test_the_page_is_read_whole() -> None:
    assert (len(CASES), len(RANGES)) == (24, 7)


@pytest.mark.parametrize(("text", "expected"), [(text, told) for text, *told in RANGES], ids=[one[0] for one in RANGES])
def test_a_range_of_the_page(text: str, expected: list[str]) -> None:
    found = Range.parse(text)
    assert found is not None
    alerts = [(found.low <= value <= found.high) is found.is_inside for value in VALUES]
    assert alerts == [word == "yes" for word in expected]


@pytest.mark.parametrize("text", [":", "1:~", "foo", "1-10", "10:~", "1-10:2.4", "1,10", "2:1", "", "@", "1:2:3", "."])
def test_what_is_no_range(text: str) -> None:
    assert Range.parse(text) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("users=U", [("users", None, "")]),
        ("a=1.5e-05s b=2E3", [("a", 1.5e-05, "s"), ("b", 2000.0, "")]),
        ("'it''s'=1 'a=b'=2", [("it's", 1.0, ""), ("a=b", 2.0, "")]),
        ("=1 a= b=x c=1=2 d=1", [("d", 1.0, "")]),
        ("a=1 'never ends=2 b=3", [("a", 1.0, "")]),
        ("'a'b=1 c=2", [("c", 2.0, "")]),
        ("a=.5 b=5. c=-.5%", [("a", 0.5, ""), ("b", 5.0, ""), ("c", -0.5, "%")]),
        ("a=1e999 b=nan c=inf d=--1", []),
        ("größe=3KB", [("größe", 3.0, "KB")]),
    ],
)
def test_what_plugins_write_beside_the_rules(data: str, expected: list[tuple[str, float | None, str]]) -> None:
    assert [(one.label, one.value, one.unit) for one in parse_figures(data)] == expected


def test_units_become_base_units() -> None:
    assert [to_base(unit) for unit in ("s", "ms", "us", "%", "B", "MB", "GiB", "", "rpm")] == [
        ("seconds", 1.0),
        ("seconds", 1e-3),
        ("seconds", 1e-6),
        ("ratio", 0.01),
        ("bytes", 1.0),
        ("bytes", 2.0**20),
        ("bytes", 2.0**30),
        ("", 1.0),
        ("rpm", 1.0),
    ]


@given(st.text(alphabet="ab'=;:|,.0123456789eE%@~- \n\\", max_size=200))
def test_any_text_is_borne(text: str) -> None:
    for figure in parse_output(text).figures:
        assert figure.label
        assert figure.value is None or math.isfinite(figure.value)
        for threshold in (figure.warning, figure.critical):
            Range.parse(threshold or "")


@pytest.mark.parametrize("data", ["'''' " * 13_000, "'" * 65_000, "a=" * 32_000, "=" * 65_000, "1" * 65_000 + "=1;"])
def test_broken_text_takes_no_time(data: str) -> None:
    began = time.process_time()
    parse_output(f"|{data}")
    assert time.process_time() - began < 1.0
