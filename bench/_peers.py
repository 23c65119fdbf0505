"""Other agents, as Debian packages them, each started for one measurement and asked as its server would ask it."""

import contextlib
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from bench._ports import free_port

START_SECONDS = 15.0
PEERS = ("prometheus-node-exporter", "zabbix-agent", "collectd")
ZABBIX_KEYS = (
    "agent.ping", "agent.version", "system.uptime", "system.cpu.load[all,avg1]", "system.cpu.load[all,avg5]",
    "system.cpu.load[all,avg15]", "system.cpu.util[,user]", "system.cpu.util[,system]", "system.cpu.util[,iowait]",
    "system.cpu.util[,idle]", "system.cpu.util[,steal]", "system.cpu.util[,nice]", "system.cpu.util[,softirq]",
    "system.cpu.switches", "system.cpu.intr", "system.cpu.num", "system.swap.size[,free]", "system.swap.size[,total]",
    "system.swap.size[,pused]", "vm.memory.size[total]", "vm.memory.size[available]", "vm.memory.size[pavailable]",
    "vm.memory.size[cached]", "vm.memory.size[buffers]", "vfs.fs.size[/,total]", "vfs.fs.size[/,used]",
    "vfs.fs.size[/,pused]", "vfs.fs.inode[/,pfree]", "net.if.in[lo]", "net.if.out[lo]", "net.if.in[lo,packets]",
    "net.if.out[lo,packets]", "net.if.in[lo,errors]", "net.if.out[lo,errors]", "proc.num[]", "proc.num[,,run]",
    "system.users.num", "system.hostname", "system.uname", "kernel.maxproc",
)  # fmt: skip
COLLECTD = """\
Hostname "bench"
FQDNLookup false
Interval {interval:g}
BaseDir "{folder}"
PIDFile "{folder}/pid"
LoadPlugin cpu
LoadPlugin df
LoadPlugin disk
LoadPlugin interface
LoadPlugin load
LoadPlugin memory
LoadPlugin swap
LoadPlugin uptime
LoadPlugin network
<Plugin network>
  Server "127.0.0.1" "{port}"
</Plugin>
"""
ZABBIX = """\
Server=127.0.0.1
ListenIP=127.0.0.1
ListenPort={port}
StartAgents=3
LogType=console
PidFile={folder}/pid
AllowRoot=1
"""


class Peer(NamedTuple):
    pid: int
    ask: Callable[[], None]  # once in each interval


@contextlib.contextmanager
def running(name: str, folder: Path, interval_seconds: float) -> Iterator[Peer]:
    """Raises FileNotFoundError if it is not installed."""
    port = free_port()
    match name:
        case "prometheus-node-exporter":
            command = [program(name), f"--web.listen-address=127.0.0.1:{port}"]
            ask: Callable[[], None] = lambda: scrape(port)  # noqa: E731 - one of three
        case "zabbix-agent":
            (folder / "zabbix.conf").write_text(ZABBIX.format(folder=folder, port=port))
            command = [program("zabbix_agentd"), "--foreground", "--config", str(folder / "zabbix.conf")]
            ask = lambda: poll_zabbix(port)  # noqa: E731
        case _:
            text = COLLECTD.format(folder=folder, port=port, interval=interval_seconds)
            (folder / "collectd.conf").write_text(text)
            command = [program(name), "-f", "-C", str(folder / "collectd.conf")]
            ask = lambda: None  # noqa: E731 - it sends by itself
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        until_it_answers(process, ask)
        yield Peer(process.pid, ask)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: see deploy/debian/packages-bench.txt")
    return found


def until_it_answers(process: "subprocess.Popen[bytes]", ask: Callable[[], None]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")
        try:
            ask()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def scrape(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        answer.read()


def poll_zabbix(port: int) -> None:
    """Each key over a connection of its own, as the server does it."""
    for key in ZABBIX_KEYS:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(b"ZBXD\x01" + struct.pack("<Q", len(key)) + key.encode())
            while connection.recv(4096):
                pass


def tree(pid: int) -> list[int]:
    """The process and all that it has started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
