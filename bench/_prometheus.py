"""A real Prometheus of one's own: started, fed by remote write, and asked."""

import contextlib
import json
import signal
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench._ports import free_port

START_TIMEOUT_SECONDS = 60.0
SNAPPY_LITERAL_BYTES = 65_536
SCRAPES_NOTHING = "rule_files: [rules.yaml]\nstorage: {tsdb: {out_of_order_time_window: 2h}}\n"


# Remote write 1.0: a WriteRequest of TimeSeries, each of Labels (name, value) and Samples (value, timestamp).


def varint(number: int) -> bytes:
    """Negative numbers as protobuf's int64 has them."""
    number &= 2**64 - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def encoded_labels(labels: Mapping[str, str]) -> bytes:
    """The labels of a TimeSeries, sorted by name as the protocol asks."""
    return b"".join(
        field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels.items())
    )


def encoded_sample(at_ms: int, value: float) -> bytes:
    """`value` keeps its bits, whatever kind of NaN it is."""
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms))


def snappy_stored(data: bytes) -> bytes:
    """`data` as a Snappy block without any compression."""
    parts = [varint(len(data))]
    for start in range(0, len(data), SNAPPY_LITERAL_BYTES):
        chunk = data[start : start + SNAPPY_LITERAL_BYTES]
        parts += [b"\xf4", struct.pack("<H", len(chunk) - 1), chunk]
    return b"".join(parts)


def write_request(series: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The body of a push: encoded labels and encoded samples of each series."""
    return snappy_stored(b"".join([field(1, labels + samples) for labels, samples in series]))


@dataclass(frozen=True, slots=True)
class Prometheus:
    port: int
    pid: int

    def ask(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """What GET /api/v1/`path` answers, the envelope taken off. Raises HTTPError."""
        return json.loads(self.get(f"api/v1/{path}?{urlencode(parameters or {})}"))["data"]

    def get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}/{path}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            body: bytes = answer.read()
            return body

    def write(self, body: bytes) -> None:
        """Remote write. Raises HTTPError."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        self._post("api/v1/write", body, headers)

    def reload(self) -> None:
        """Reads configuration and rules again."""
        self._post("-/reload", b"", {})

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", body, dict(headers))
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - our own server
            pass


@contextlib.contextmanager
def running_prometheus(
    program: str, folder: Path, *, configured: str = SCRAPES_NOTHING, options: Sequence[str] = ()
) -> Iterator[Prometheus]:
    """A Prometheus with its configuration in `folder`; the usual one reads folder/rules.yaml, if there is one, on
    `reload`."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(configured)
    port = free_port()
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-lifecycle",
        "--log.level=warn",
        *options,
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready"):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Prometheus did not start: {(folder / 'prometheus.log').read_text()}")
                time.sleep(0.05)
            yield Prometheus(port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
