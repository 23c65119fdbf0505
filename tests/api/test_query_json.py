import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.api.query_json import (
    encode_list,
    format_exponent,
    format_fixed,
    format_float,
    format_time,
    in_label_order,
    label_sets_as_json,
    texts_as_json,
)
from collector.api.streaming import CHUNK_CHARACTERS
from collector.series.labels import LabelFrame, Strings

# value, as a sample, as a scalar, as an alert's value: what Go's strconv and Prometheus's jsonutil write
NUMBERS = [
    (0.0, "0", "0", "0e+00"),
    (-0.0, "-0", "-0", "-0e+00"),
    (1.0, "1", "1", "1e+00"),
    (-42.0, "-42", "-42", "-4.2e+01"),
    (0.1, "0.1", "0.1", "1e-01"),
    (1 / 3, "0.3333333333333333", "0.3333333333333333", "3.333333333333333e-01"),
    (1435781451.781, "1435781451.781", "1435781451.781", "1.435781451781e+09"),
    (1.5e-5, "0.000015", "0.000015", "1.5e-05"),
    (1e-6, "0.000001", "0.000001", "1e-06"),
    (9.99e-7, "9.99e-07", "0.000000999", "9.99e-07"),
    (-1e-7, "-1e-07", "-0.0000001", "-1e-07"),
    (2.0**53, "9007199254740992", "9007199254740992", "9.007199254740992e+15"),
    (1e16, "10000000000000000", "10000000000000000", "1e+16"),
    (1.25e20, "125000000000000000000", "125000000000000000000", "1.25e+20"),
    (1e21, "1e+21", "1" + "0" * 21, "1e+21"),
    (1e100, "1e+100", "1" + "0" * 100, "1e+100"),
    (5e-324, "5e-324", "0." + "0" * 323 + "5", "5e-324"),
    (math.inf, "+Inf", "+Inf", "+Inf"),
    (-math.inf, "-Inf", "-Inf", "-Inf"),
    (math.nan, "NaN", "NaN", "NaN"),
]


@pytest.mark.parametrize(("value", "sample", "scalar", "alert"), NUMBERS)
def test_numbers_are_written_as_go_writes_them(value: float, sample: str, scalar: str, alert: str) -> None:
    assert (format_float(value), format_fixed(value), format_exponent(value)) == (sample, scalar, alert)


@given(st.floats(allow_nan=False))
def test_every_number_reads_back_exactly(value: float) -> None:
    for text in (format_float(value), format_fixed(value), format_exponent(value)):
        assert float(text) == value
        assert math.copysign(1, float(text)) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("at", "text"),
    [(0, "0"), (1_000, "1"), (1_500, "1.500"), (1_001, "1.001"), (-1_500, "-1.500"), (1767614400123, "1767614400.123")],
)
def test_times_are_float_seconds(at: int, text: str) -> None:
    assert format_time(at) == text


LABEL_SETS = st.lists(
    st.dictionaries(st.sampled_from(["__name__", "a", "b", "c"]), st.sampled_from(["1", "2", 'x"y\n', "é"])),
    max_size=12,
)


@given(LABEL_SETS)
def test_label_sets_are_sorted_pair_by_pair(label_sets: list[dict[str, str]]) -> None:
    strings = Strings()
    frame = LabelFrame.of(label_sets, strings)
    rows = in_label_order(frame, strings)
    assert [sorted(label_sets[row].items()) for row in rows] == sorted(sorted(labels.items()) for labels in label_sets)


@given(LABEL_SETS)
def test_label_sets_are_json_objects(label_sets: list[dict[str, str]]) -> None:
    strings = Strings()
    frame = LabelFrame.of(label_sets, strings)
    texts = label_sets_as_json(frame, strings, np.arange(frame.length))
    assert [json.loads(text) for text in texts] == label_sets


def test_a_long_list_comes_in_pieces() -> None:
    elements = [f"element {number:06d}" for number in range(30_000)]
    pieces = list(encode_list(texts_as_json(elements)))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < CHUNK_CHARACTERS + 100
    assert json.loads(b"".join(pieces)) == {"status": "success", "data": elements}
