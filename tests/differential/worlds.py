"""Random series: what senders really send, and what they should not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from collector.series.read import STALE

Floats = NDArray[np.float64]
Make = Callable[[np.random.Generator, int], Floats]

START = int(datetime(2026, 1, 5, 12, 0, tzinfo=UTC).timestamp())  # Unix seconds
SPAN = 2_400  # seconds of samples
LE = ("0.1", "0.5", "1", "5", "+Inf")


@dataclass(frozen=True, slots=True)
class OneSeries:
    labels: Mapping[str, str]  # without those that name the device
    device: int
    times: NDArray[np.int64]  # Unix ms, rising, never on a whole second
    values: Floats


def _gauge(rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(20.0, 30.0, count)


def _counter(rng: np.random.Generator, count: int) -> Floats:
    """Rises, and falls back to near zero now and then."""
    grown = rng.exponential(40.0, count)
    values = np.empty(count)
    level = rng.uniform(0, 5_000)
    for place in range(count):
        level = grown[place] if rng.random() < 0.06 else level + grown[place]
        values[place] = level
    return values


def _special(rng: np.random.Generator, count: int) -> Floats:
    values = _gauge(rng, count)
    for odd in (np.nan, np.inf, -np.inf, 0.0, -0.0):
        values[rng.random(count) < 0.08] = odd
    return values


KINDS: dict[str, Make] = {
    "gauge": _gauge,
    "small integers": lambda rng, count: rng.integers(-3, 4, count).astype(float),
    "constant": lambda rng, count: np.full(count, rng.normal(0, 100)),
    "counter": _counter,
    "special": _special,
    "tiny": lambda rng, count: rng.normal(0, 1, count) * 10.0 ** rng.integers(-300, -20),
    "huge": lambda rng, count: rng.normal(0, 1, count) * 10.0 ** rng.integers(20, 300),
    "mixed": lambda rng, count: rng.normal(0, 1, count) * 10.0 ** rng.integers(-6, 6, count),
}
COUNTERS = ("counter", "counter", "counter", "special", "huge", "constant")


def sample_times(rng: np.random.Generator) -> NDArray[np.int64]:
    """Regular, jittered or wild, with gaps; never on a whole second, where the edges of windows are."""
    spacing = int(rng.choice([10, 15, 30, 60, 200]))
    seconds = np.arange(rng.integers(0, 600), SPAN - rng.integers(0, 300), spacing)
    if rng.random() < 0.3:
        seconds = np.unique(rng.integers(0, SPAN, len(seconds)))
    if rng.random() < 0.5:
        begins = rng.integers(0, SPAN)
        seconds = seconds[(seconds < begins) | (seconds > begins + rng.integers(30, 600))]
    seconds = seconds[rng.random(len(seconds)) > rng.choice([0.0, 0.02, 0.3])]
    if len(seconds) == 0:
        seconds = np.array([SPAN // 2])
    within = rng.integers(1, 1000, len(seconds)) if rng.random() < 0.5 else np.full(len(seconds), rng.integers(1, 1000))
    return (START + seconds) * 1000 + within


def one_series(labels: Mapping[str, str], device: int, kind: str, seed: int) -> OneSeries:
    rng = np.random.default_rng(seed)
    times = sample_times(rng)
    values = KINDS[kind](rng, len(times))
    if rng.random() < 0.3:
        values[rng.random(len(times)) < 0.08] = STALE
    return OneSeries(labels, device, times, values)


def histogram(labels: Mapping[str, str], device: int, seed: int) -> list[OneSeries]:
    """Classic buckets that are read together."""
    rng = np.random.default_rng(seed)
    times = sample_times(rng)
    counts = rng.poisson(rng.uniform(0, 6, len(LE)), (len(times), len(LE))).cumsum(axis=0).cumsum(axis=1)
    return [
        OneSeries({**labels, "le": le}, device, times, counts[:, place].astype(float)) for place, le in enumerate(LE)
    ]


LABELS = [{"a": a, "b": b} for a in ("x", "y") for b in ("p", "q", "")]
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def worlds(draw: st.DrawFn) -> list[OneSeries]:
    """Series of two devices: `g` gauges, `k` counters, `h_bucket` histograms."""
    found: list[OneSeries] = []
    places = st.tuples(st.sampled_from(range(len(LABELS))), st.sampled_from((0, 1)))
    for name, kinds in (("g", tuple(KINDS)), ("k", COUNTERS)):
        for place, device in draw(st.lists(places, min_size=1, max_size=4, unique=True)):
            labels = {"__name__": name, **LABELS[place]}
            found.append(one_series(labels, device, draw(st.sampled_from(kinds)), draw(SEEDS)))
    for device in draw(st.sets(st.sampled_from((0, 1)))):
        found += histogram({"__name__": "h_bucket", "a": "x"}, device, draw(SEEDS))
    return found
