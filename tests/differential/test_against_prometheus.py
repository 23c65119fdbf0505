"""The same random series and expressions in a real Prometheus and in the collector, asked over HTTP on both.

The collector's side is its real store behind its real query API; the samples are given to the store, as ingest gives
them, and not pushed over HTTP: a push cannot carry NaN, infinities and staleness markers, and half of what may go wrong
lies there. Every example is a world of its own, told apart by the label `run`.

Debian's Prometheus is 2.42, the collector speaks PromQL as of 3. What the two differ in is listed in DIFFERENCES; the
grammar avoids the window edges, which 2 includes and 3 does not.

DIFFERENTIAL_EXAMPLES=10000 tries more than the default, with the same examples first.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.conftest import require
from tests.differential.expressions import EXPRESSIONS, MOMENTS
from tests.differential.servers import Answer, CollectorServer, PrometheusServer, collector, prometheus
from tests.differential.worlds import START, OneSeries, worlds

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "200"))
TOLERANCE = 1e-9
CANCELLED = 1e-12  # of the largest sample

Key = tuple[tuple[str, str], ...]
Values = Mapping[tuple[Key, float], float]  # by labels and time


@dataclass(frozen=True, slots=True)
class Question:
    path: str
    parameters: Mapping[str, str]


QUESTIONS = st.one_of(
    MOMENTS.map(lambda at: Question("query", {"time": str(at)})),
    st.builds(
        lambda start, steps, step: Question(
            "query_range", {"start": str(start), "end": str(start + steps * step), "step": str(step)}
        ),
        MOMENTS,
        st.integers(0, 20),
        st.sampled_from((30, 60, 90, 300)),
    ),
)


@dataclass(frozen=True, slots=True)
class Example:
    world: Sequence[OneSeries]
    expression: str
    question: Question
    ours: Answer
    theirs: Answer
    ask_both: Callable[[Question], tuple[Answer, Answer]]  # the same expression


@dataclass(frozen=True, slots=True)
class Difference:
    """What is known to differ between Prometheus 2.42 and 3, and when that explains two answers."""

    name: str
    why: str
    explains: Callable[[Example], bool]


def keeps_name(example: Example) -> bool:
    return "atan2" in example.expression


def agrees_at_each_instant(example: Example) -> bool:
    if example.question.path != "query_range" or not re.search(r"predict_linear.*@", example.expression):
        return False
    start, end, step = (int(example.question.parameters[name]) for name in ("start", "end", "step"))
    text = example.expression.replace("start()", str(start)).replace("end()", str(end))
    instants = [Question("query", {"time": str(at), "query": text}) for at in range(start, end + 1, step)]
    answers = [(instant, *example.ask_both(instant)) for instant in instants]
    return all(
        agree(ours, theirs) or is_rounding(replace(example, question=instant, ours=ours, theirs=theirs))
        for instant, ours, theirs in answers
    )


def has_equals_to_choose_from(example: Example) -> bool:
    return re.search(r"\b(topk|bottomk) ", example.expression) is not None


def varies_infinitely(example: Example) -> bool:
    if not same_series(example) or not re.search(r"\b(stddev|stdvar) ", example.expression):
        return False
    mine, others = values_of(example.ours), values_of(example.theirs)
    return all(math.isnan(value) or close(value, others[key]) for key, value in mine.items())


def begins_near_zero(example: Example) -> bool:
    return re.search(r"\b(rate|increase)\(", example.expression) is not None and same_series(example)


def is_rounding(example: Example) -> bool:
    """All differences are tiny beside the samples that the values were computed from."""
    if not same_series(example):
        return False
    finite = np.concatenate([np.abs(one.values[np.isfinite(one.values)]) for one in example.world])
    mine, others = values_of(example.ours), values_of(example.theirs)
    scale = max(finite.max(initial=0.0), 1.0)
    return all(
        close(value, others[key]) or abs(value - others[key]) <= CANCELLED * scale for key, value in mine.items()
    )


def same_series(example: Example) -> bool:
    if example.ours["status"] != "success" or example.theirs["status"] != "success":
        return False
    return values_of(example.ours).keys() == values_of(example.theirs).keys()


DIFFERENCES = (
    Difference("atan2", "2.42 keeps the metric's name, 3 drops it as for all arithmetic", keeps_name),
    Difference(
        "predict_linear with @ over a range",
        "2.42 loses samples from step to step; asked for each instant by itself it agrees with the collector",
        agrees_at_each_instant,
    ),
    Difference(
        "rate of a counter that begins near zero",
        "3 looks first whether the series begins within the window and then where it would have been zero, 2.42 the "
        "other way round",
        begins_near_zero,
    ),
    Difference(
        "equals in topk and bottomk",
        "which of several equal series is kept depends on their order in the store, and is defined nowhere",
        has_equals_to_choose_from,
    ),
    Difference(
        "variance of one infinite value",
        "NaN in 3, as of several; 0 in 2.42",
        varies_infinitely,
    ),
    Difference(
        "rounding",
        "3 adds up with compensation where 2.42 does not, and everyone adds in an order of his own: where large values "
        "cancel, what is left of them is noise",
        is_rounding,
    ),
)


@pytest.fixture(scope="module", name="servers")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CollectorServer, PrometheusServer]]:
    program = require("prometheus")
    with (
        collector(tmp_path_factory.mktemp("collector")) as ours,
        prometheus(program, tmp_path_factory.mktemp("prometheus")) as theirs,
    ):
        yield ours, theirs


SELECTOR = re.compile(r"\b(g|k|h_bucket)\b(?=[\s)\[}]|$)(?!\")|\b(g|k|h_bucket)\{|\{(?=__name__)")


def of_run(expression: str, run: str) -> str:
    """The expression with every selector kept to the series of one run."""

    def narrowed(found: re.Match[str]) -> str:
        if found[1]:
            return f'{found[1]}{{run="{run}"}}'
        return f'{found[2] or ""}{{run="{run}",'

    return SELECTOR.sub(narrowed, expression)


def values_of(answer: Answer) -> Values:
    """Every value of an answer's data. The order of series is not compared: it is undefined save for sort."""
    data = answer["data"]
    match data["resultType"]:
        case "scalar":
            return {((), data["result"][0]): float(data["result"][1])}
        case "vector":
            points = [(row["metric"], [row["value"]]) for row in data["result"]]
        case "matrix":
            points = [(row["metric"], row["values"]) for row in data["result"]]
    return {(tuple(sorted(metric.items())), at): float(text) for metric, pairs in points for at, text in pairs}


def agree(ours: Answer, theirs: Answer) -> bool:
    if ours["status"] != "success" or theirs["status"] != "success":
        return (ours["status"], ours.get("errorType")) == (theirs["status"], theirs.get("errorType"))
    if ours["data"]["resultType"] != theirs["data"]["resultType"]:
        return False
    mine, others = values_of(ours), values_of(theirs)
    return mine.keys() == others.keys() and all(close(value, others[key]) for key, value in mine.items())


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE) or (math.isnan(one) and math.isnan(other))


def differences_of(ours: Answer, theirs: Answer) -> str:
    if ours["status"] != "success" or theirs["status"] != "success":
        return f"ours: {ours}\ntheirs: {theirs}"
    mine, others = values_of(ours), values_of(theirs)
    lines = [
        f"{dict(key[0])} at {key[1] - START:+g}: ours {mine.get(key)}, theirs {others.get(key)}"
        for key in sorted(mine.keys() | others.keys())
        if key not in mine or key not in others or not close(mine[key], others[key])
    ]
    return "\n".join(lines[:20])


runs = iter(range(10**9))


def test_the_collector_answers_as_prometheus(
    servers: tuple[CollectorServer, PrometheusServer], record_property: Callable[[str, object], None]
) -> None:
    counted: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(world=worlds(), expression=EXPRESSIONS, question=QUESTIONS)
    def check(world: list[OneSeries], expression: str, question: Question) -> None:
        run = f"r{next(runs)}"
        for server in servers:
            server.push(world, run)

        def ask_both(question: Question) -> tuple[Answer, Answer]:
            asked = {"query": expression, **question.parameters}
            asked["query"] = of_run(asked["query"], run)
            ours, theirs = (server.ask(question.path, asked) for server in servers)
            return ours, theirs

        ours, theirs = ask_both(question)
        if agree(ours, theirs):
            counted["the same"] += 1
            counted["the same, and not empty"] += theirs["status"] == "success" and bool(values_of(theirs))
            return
        example = Example(world, expression, question, ours, theirs, ask_both)
        known = next((one.name for one in DIFFERENCES if one.explains(example)), None)
        if known is None:
            note(f"{of_run(expression, run)}\n{question}\n{differences_of(ours, theirs)}")
        assert known is not None, "the two answer differently"
        counted[known] += 1

    check()
    for name, count in counted.items():
        record_property(name, count)
    tried = counted["the same"] + sum(counted[one.name] for one in DIFFERENCES)
    assert counted["the same"] >= 0.95 * tried, f"known differences explain too much: {counted}"
    assert counted["the same, and not empty"] >= 0.5 * tried, f"too many questions have no answer: {counted}"
