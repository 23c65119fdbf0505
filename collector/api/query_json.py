"""Prometheus's JSON, made piece by piece so that no answer need be in memory whole.

Source of the shapes and of how numbers are written: Prometheus 3, `web/api/v1/json_codec.go`, `util/jsonutil`.
"""

import math
from collections.abc import Iterable, Iterator
from decimal import Decimal

import numpy as np
import orjson

from collector.api.streaming import chunks_of
from collector.promql import Matrix, Result, Scalar, String, Vector
from collector.series.labels import Indexes, LabelFrame, ScratchStrings, Strings
from collector.series.read import Milliseconds

BLOCK_ROWS = 512  # label sets put into words at once

TRUNCATED = "results truncated due to limit"


def format_float(value: float) -> str:
    """A sample's value: the shortest digits that give it back, with an exponent only below 1e-6 and from 1e21 on."""
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if "e" not in text:
        return _special(value) or text
    return format(Decimal(text), "f") if 1e-6 <= abs(value) < 1e21 else text


def format_fixed(value: float) -> str:
    """A scalar's value: the shortest digits, never an exponent."""
    return _special(value) or format(Decimal(repr(value)), "f").removesuffix(".0")


def format_exponent(value: float) -> str:
    """An alert's value: the shortest digits, always with an exponent."""
    special = _special(value)
    if special is not None:
        return special
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - only NaN and infinity have letters there
    fraction = "".join(map(str, digits[1:]))
    point = f".{fraction}" if fraction else ""
    exponent = exponent + len(fraction) if value else 0
    return f"{'-' * sign}{digits[0]}{point}e{exponent:+03d}"


def _special(value: float) -> str | None:
    if math.isfinite(value):
        return None
    return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"


def format_time(at: Milliseconds) -> str:
    """Unix ms as float seconds."""
    seconds, milliseconds = divmod(abs(at), 1000)
    return f"{'-' * (at < 0)}{seconds}" + (f".{milliseconds:03d}" if milliseconds else "")


def encode_result(result: Result, at: Milliseconds, limit: int | None) -> Iterator[bytes]:
    """The answer to a query; `at` (Unix ms) is the time of results that carry none of their own."""
    time = format_time(at)
    match result:
        case Scalar(value):
            return _single("scalar", time, format_fixed(value))
        case String(text):
            return _single("string", time, text)
        case Vector():
            return _encode_series("vector", _vector_elements(result, time, limit), len(result), limit)
        case Matrix():
            return _encode_series("matrix", _matrix_elements(result, limit), len(result), limit)


def encode_list(elements: Iterable[str], *, truncated: bool = False) -> Iterator[bytes]:
    """The answer whose data is an array of `elements`, each of them JSON already."""
    return chunks_of(_pieces('{"status":"success","data":[', elements, "]" + _end(truncated=truncated)))


def encode_data(data: object) -> Iterator[bytes]:
    yield orjson.dumps({"status": "success", "data": data})


def texts_as_json(texts: Iterable[str]) -> Iterator[str]:
    return (orjson.dumps(text).decode() for text in texts)


def label_sets_as_json(labels: LabelFrame, strings: Strings | ScratchStrings, rows: Indexes) -> Iterator[str]:
    """The label sets of `rows` as JSON objects, a block of them at a time: each column is looked at once per block."""
    columns = [(orjson.dumps(name).decode() + ":", labels.columns[name]) for name in sorted(labels.columns)]
    known: dict[int, str] = {}
    for low in range(0, len(rows), BLOCK_ROWS):
        block = rows[low : low + BLOCK_ROWS]
        pairs: list[list[str]] = [[] for _ in range(len(block))]
        for key, column in columns:
            for row, code in zip(pairs, column[block].tolist(), strict=True):
                if code:
                    if code not in known:
                        known[code] = orjson.dumps(strings.text(code)).decode()
                    row.append(key + known[code])
        for row in pairs:
            yield "{" + ",".join(row) + "}"


def in_label_order(labels: LabelFrame, strings: Strings | ScratchStrings) -> Indexes:
    """The rows sorted as Prometheus sorts label sets: pair by pair, by name and then by value."""
    keys = [np.zeros(labels.length, dtype=np.int64)]
    has_later = np.zeros(labels.length, dtype=np.bool_)
    for name in sorted(labels.columns, reverse=True):
        column = labels.columns[name]
        codes, places = np.unique(column, return_inverse=True)
        texts = [strings.text(code) for code in codes.tolist()]
        rank = np.empty(len(codes), dtype=np.int64)
        rank[sorted(range(len(codes)), key=texts.__getitem__)] = np.arange(1, len(codes) + 1)
        # Where a series lacks this label its next one is compared, whose name is larger; and an end comes first of all.
        keys.append(np.where(column != 0, rank[places], np.where(has_later, len(codes) + 1, 0)))
        has_later |= column != 0
    return np.lexsort(keys)


def _single(kind: str, time: str, text: str) -> Iterator[bytes]:
    value = orjson.dumps(text).decode()
    yield f'{{"status":"success","data":{{"resultType":"{kind}","result":[{time},{value}]}}}}'.encode()


def _encode_series(kind: str, elements: Iterable[str], found: int, limit: int | None) -> Iterator[bytes]:
    head = f'{{"status":"success","data":{{"resultType":"{kind}","result":['
    return chunks_of(_pieces(head, elements, "]}" + _end(truncated=limit is not None and found > limit)))


def _vector_elements(vector: Vector, time: str, limit: int | None) -> Iterator[str]:
    rows = np.arange(len(vector))[:limit]  # its order is what `sort` and `topk` are for
    sets = label_sets_as_json(vector.labels, vector.strings, rows)
    for labels, value in zip(sets, vector.values[rows].tolist(), strict=True):
        yield f'{{"metric":{labels},"value":[{time},"{format_float(value)}"]}}'


def _matrix_elements(matrix: Matrix, limit: int | None) -> Iterator[str]:
    rows = in_label_order(matrix.labels, matrix.strings)[:limit]
    starts = [f'[{format_time(at)},"' for at in matrix.times.tolist()]
    sets = label_sets_as_json(matrix.labels, matrix.strings, rows)
    for row, labels in zip(rows.tolist(), sets, strict=True):
        columns = np.flatnonzero(matrix.present[row])
        values = matrix.values[row][columns].tolist()
        points = [
            f'{starts[column]}{format_float(value)}"]' for column, value in zip(columns.tolist(), values, strict=True)
        ]
        yield f'{{"metric":{labels},"values":[{",".join(points)}]}}'


def _end(*, truncated: bool) -> str:
    return f',"warnings":["{TRUNCATED}"]}}' if truncated else "}"


def _pieces(head: str, elements: Iterable[str], tail: str) -> Iterator[str]:
    yield head
    separator = ""
    for element in elements:
        yield separator + element
        separator = ","
    yield tail
