"""Prometheus exporters and textfiles of this machine: the metrics that `agent.toml` names, and no others.

    [exporters.node]
    url = "http://127.0.0.1:9100/metrics"
    metrics = ["node_load1", "node_nfs_*"]

    [exporters.scripts]
    files = "/var/lib/node_exporter/*.prom"
    metrics = ["*"]

Each series gets the label `exporter`. A target that is defective in places gives what is sound of it.
"""

import fnmatch
import http.client
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from agent.acceptance import MAX_SERIES_PER_PROBE, is_sound
from agent.addresses import masked
from agent.probes.base import SLOW_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample
from agent.settings import Section
from protocol.wire import MAX_LABEL_VALUE_CHARS, is_reserved_metric

EXPORTER = "exporter"
MAX_EXPORTERS = 20
MAX_SERIES = 500  # of one exporter
MAX_TEXT_BYTES = 8 << 20
MAX_FILES = 100
FETCH_SECONDS = 10.0
DEADLINE_SECONDS = 20.0  # of one exporter, against one that trickles
CHUNK_BYTES = 1 << 16
OWN_SERIES = 4  # that this probe makes of each exporter
ACCEPT = "text/plain;version=0.0.4"


class Target(NamedTuple):
    """An exporter by its address, or files by an absolute path whose last part may be a pattern."""

    name: str
    metrics: tuple[str, ...]  # shell patterns
    url: str | None = None
    files: Path | None = None


class Read(NamedTuple):
    """What a target told: its text, and of files when the oldest was written, Unix seconds."""

    text: str
    written_at: float | None = None


class ExporterProbe:
    name = "exporters"
    isolated = True  # the parser and HTTP weigh more than the agent
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 120.0
    metrics = (
        Metric("exporter_up", MetricType.GAUGE, "boolean", "1 if it was read, in whole or in part", (EXPORTER,)),
        Metric(
            "exporter_series_left_out", MetricType.GAUGE, "series", "Beyond what one exporter may send", (EXPORTER,)
        ),
        Metric("exporter_lines_refused", MetricType.GAUGE, "lines", "That are no samples", (EXPORTER,)),
        Metric(
            "exporter_file_age_seconds", MetricType.GAUGE, "seconds", "Since the oldest file was written", (EXPORTER,)
        ),
    )

    def __init__(
        self,
        targets: tuple[Target, ...] = (),
        *,
        read: Callable[[Target], Read] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._targets = targets
        self._read = read or read_target
        self._now = now

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        tables = section.tables()
        if len(tables) > MAX_EXPORTERS:
            section.refuse(f"at most {MAX_EXPORTERS} exporters, got {len(tables)}")
        return cls(tuple(target_from(name, table) for name, table in tables.items())[:MAX_EXPORTERS])

    def sample(self) -> list[Sample]:
        if not self._targets:
            raise ProbeUnavailable("no exporters are named in agent.toml")
        samples: list[Sample] = []
        for target in self._targets:
            room = min(MAX_SERIES, MAX_SERIES_PER_PROBE - OWN_SERIES * len(self._targets) - len(samples))
            samples += self._samples_of(target, max(0, room))
        return samples

    def _samples_of(self, target: Target, room: int) -> list[Sample]:
        labels = {EXPORTER: target.name}
        try:
            read = self._read(target)
        except (OSError, ValueError, http.client.HTTPException):
            return [Sample("exporter_up", 0, labels)]
        found, refused = parse(read.text)
        wanted = [one for one in found if is_wanted(one.name, target.metrics)]
        sound = [one._replace(labels={**cut(one.labels), EXPORTER: target.name}) for one in wanted if is_sound(one)]
        own = [
            Sample("exporter_up", 1, labels),
            Sample("exporter_series_left_out", max(0, len(sound) - room), labels),
            Sample("exporter_lines_refused", refused + len(wanted) - len(sound), labels),
        ]
        if read.written_at is not None:
            own.append(Sample("exporter_file_age_seconds", max(0.0, self._now() - read.written_at), labels))
        return own + sound[:room]


def target_from(name: str, table: Section) -> Target:
    """What is wrong is told by the section's `finish`."""
    url, files, metrics = table.text("url"), table.path("files"), table.texts("metrics")
    if (url is None) == (files is None):
        table.refuse("needs either url or files")
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        table.refuse(f"must be an http or https address, got {masked(url)!r:.100}", "url")
    if not metrics:
        table.refuse('must name the metrics to send, such as ["node_load1", "node_nfs_*"]', "metrics")
    return Target(name, metrics, url, files)


def is_wanted(name: str, patterns: Iterable[str]) -> bool:
    return not is_reserved_metric(name) and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def cut(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: text[:MAX_LABEL_VALUE_CHARS] for name, text in labels.items()}


def parse(text: str) -> tuple[list[Sample], int]:
    """The samples of a text in Prometheus's format, and how many lines were none. Raises ProbeUnavailable."""
    try:
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ProbeUnavailable("exporters need the package prometheus-client: install quarkpulse[exporters]") from error

    def samples_of(some: str) -> list[Sample]:
        families = text_string_to_metric_families(some)
        return [Sample(one.name, one.value, dict(one.labels)) for family in families for one in family.samples]

    try:
        return samples_of(text), 0
    except Exception:  # noqa: BLE001 - whatever the parser makes of rubbish: what is sound is found line by line
        return line_by_line(text, samples_of)


def line_by_line(text: str, samples_of: Callable[[str], list[Sample]]) -> tuple[list[Sample], int]:
    found: list[Sample] = []
    refused = 0
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found += samples_of(line + "\n")
        except Exception:  # noqa: BLE001 - as above
            refused += 1
    return found, refused


def read_target(target: Target) -> Read:
    """Raises OSError, HTTPException or ValueError."""
    if target.url is not None:
        return Read(fetch(target.url))
    return read_files(target.files or Path("/"))


def read_files(pattern: Path) -> Read:
    """One after the other, in the order of their names."""
    files = sorted(file for file in pattern.parent.glob(pattern.name) if file.is_file())[:MAX_FILES]
    if not files:
        raise FileNotFoundError(f"there is no {pattern}")
    texts: list[str] = []
    left = MAX_TEXT_BYTES
    for file in files:
        with file.open("rb") as content:
            read = content.read(left + 1)
        left -= len(read)
        if left < 0:
            raise ValueError(f"more than {MAX_TEXT_BYTES >> 20} MiB in {pattern}")
        texts.append(read.decode(errors="replace"))
    return Read("\n".join(texts), min(file.stat().st_mtime for file in files))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The administrator named one address, and no other."""

    def redirect_request(self, *_: object) -> None:
        return None


def fetch(url: str) -> str:
    """Without proxies: an exporter of this machine, or of one that is near."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    request = urllib.request.Request(url, headers={"Accept": ACCEPT})  # noqa: S310 - http or https, as checked
    with opener.open(request, timeout=FETCH_SECONDS) as answer:
        return b"".join(chunks(answer.read1, time.monotonic() + DEADLINE_SECONDS)).decode(errors="replace")


def chunks(read: Callable[[int], bytes], deadline: float) -> Iterator[bytes]:
    size = 0
    while chunk := read(CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_TEXT_BYTES:
            raise ValueError(f"more than {MAX_TEXT_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError
        yield chunk
