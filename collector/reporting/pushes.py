"""What is measured of each push."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

# Up to the client's patience; the first bound is what a push costs when the disk is idle.
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class PushMetrics(Collector):
    """Counted since the process began, in the event loop; prometheus_client's own histogram takes a lock for each."""

    def __init__(self) -> None:
        self.by_status: Counter[int] = Counter()
        self.registry = CollectorRegistry(auto_describe=False)
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)  # not cumulative; the last is beyond every bound
        self._sum_seconds = 0.0
        self.registry.register(self)

    def observe(self, status: int, seconds: float) -> None:
        self.by_status[status] += 1
        self._counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._sum_seconds += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            "quarkpulse_ingest_push_duration_seconds",
            "From a push's arrival until its answer.",
            buckets=list(zip(bounds, accumulate(self._counts), strict=True)),
            sum_value=self._sum_seconds,
        )
