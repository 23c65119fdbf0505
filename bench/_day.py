"""A day of an agent that does not wait: what it takes, and what of that grows, looked at after each hour."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench._agent_process import (
    ask_stats,
    enroll_agent,
    make_certificate,
    read_cpu_seconds,
    read_memory_kib,
    running_sink,
    service_variables,
)

WARM_HOURS = 2  # until then what is read each hour has been read twice
ASLEEP_WITHIN_SECONDS = 10.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
DAY_AGENT = Path(__file__).with_name("_day_agent.py")


@dataclass(frozen=True, slots=True)
class Look:
    """The agent between two frames. Processor time since it was started."""

    rss_mib: float
    anonymous_mib: float
    threads: int
    open_files: int
    cpu_seconds: float  # its own
    children_cpu_seconds: float  # of those that have ended


@dataclass(frozen=True, slots=True)
class Day:
    looks: Sequence[Look]  # after the first frame, and after each hour
    frame_times: Sequence[int]  # Unix milliseconds by the agent's clock
    seconds: float  # that it took

    @property
    def hours(self) -> int:
        return len(self.looks) - 1

    def summarize(self) -> dict[str, Any]:
        """The figures of `bench agent --day`. Processor time is all of it, the start included."""
        last = self.looks[-1]
        spent = last.cpu_seconds + last.children_cpu_seconds
        gaps = [later - earlier for earlier, later in pairwise(sorted(self.frame_times)[1:])]  # the first comes at once
        return {
            "hours": self.hours,
            "took_seconds": round(self.seconds, 1),
            "frames": len(self.frame_times),
            "longest_gap_between_frames_seconds": max(gaps, default=0) / 1000,
            "cpu_seconds_per_hour": round(spent / self.hours, 3),
            "children_cpu_seconds_per_hour": round(last.children_cpu_seconds / self.hours, 3),
            "highest_rss_mib": max(look.rss_mib for look in self.looks),
            "anonymous_mib_by_hour": [look.anonymous_mib for look in self.looks],
            "at_start": asdict(self.looks[0]),
            "warmed_up": asdict(self.looks[min(WARM_HOURS, self.hours)]),
            "at_end": asdict(last),
        }


def live(hours: int) -> Day:
    """Let an agent with all probes of this machine live so long."""
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        state = Path(name) / "state"
        certificate = make_certificate(Path(name))
        with running_sink(certificate) as url:
            enroll_agent(url, state, certificate)
            began = time.monotonic()
            with running_fast(state) as agent:
                looks = [look_after_an_hour(agent)]
                for _ in range(hours):
                    go_on(agent)
                    looks.append(look_after_an_hour(agent))
                seconds = time.monotonic() - began
                times = ask_stats(url)["times"]
    return Day(looks, times, seconds)


@contextmanager
def running_fast(state: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", str(DAY_AGENT), str(state)]  # a module would be run by others, which stay loaded
    agent = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | service_variables(),
    )
    with agent:  # its pipes are closed, by which it stops, and it is waited for
        try:
            yield agent
        except BaseException:
            agent.kill()
            raise


def go_on(agent: "subprocess.Popen[bytes]") -> None:
    assert agent.stdin is not None
    agent.stdin.write(b"go on\n")
    agent.stdin.flush()


def look_after_an_hour(agent: "subprocess.Popen[bytes]") -> Look:
    assert agent.stdout is not None
    if not agent.stdout.readline():
        raise RuntimeError(f"the agent ended with exit code {agent.wait()}")
    wait_until_asleep(agent.pid)
    process = Path(f"/proc/{agent.pid}")
    memory = read_memory_kib(agent.pid)
    return Look(
        rss_mib=round(memory["Rss"] / 1024, 2),
        anonymous_mib=round(memory["Anonymous"] / 1024, 2),
        threads=len(list((process / "task").iterdir())),
        open_files=len(list((process / "fd").iterdir())),
        cpu_seconds=round(read_cpu_seconds(agent.pid), 3),
        children_cpu_seconds=round(sum(map(int, fields_of_stat(process)[13:15])) / TICKS_PER_SECOND, 3),
    )


def wait_until_asleep(pid: int) -> None:
    """The main thread stands still, the sender may be putting its last push away."""
    deadline = time.monotonic() + ASLEEP_WITHIN_SECONDS
    while any(fields_of_stat(thread)[0] != "S" for thread in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            raise RuntimeError("a thread of the agent does not come to rest")
        time.sleep(0.001)


def fields_of_stat(process: Path) -> list[str]:
    """Of /proc/PID/stat, what stands after the name; nothing but its state, as of one asleep, if it has ended."""
    try:
        return (process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["S"]
