"""What is measured of each push."""

from collections import Counter

from prometheus_client import CollectorRegistry, Histogram

# Up to the client's patience; the first bound is what a push costs when the disk is idle.
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class PushMetrics:
    """Counted since the process began."""

    def __init__(self) -> None:
        self.by_status: Counter[int] = Counter()
        self.registry = CollectorRegistry(auto_describe=False)
        self._seconds = Histogram(
            "quarkpulse_ingest_push_duration_seconds",
            "From a push's arrival until its answer.",
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )

    def observe(self, status: int, seconds: float) -> None:
        self.by_status[status] += 1
        self._seconds.observe(seconds)
