"""Ports for programs that are told where to listen."""

import itertools
import os
import socket

# Linux gives higher ones to whoever asks for none, and to every connection that is made. Zabbix takes no higher one.
FIRST, COUNT = 12_000, 20_000
STRIDE = 257  # between processes that were started one after the other; each takes fewer
_taken = itertools.count()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of the loopback interface that nobody has. Nor is it given to anybody else before the program that is told
    of it listens, or while that is started anew. Raises OSError if there is none."""
    first = os.getpid() * STRIDE
    for number in itertools.islice(_taken, COUNT):
        port = FIRST + (first + number) % COUNT
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free from {FIRST} to {FIRST + COUNT - 1}")
