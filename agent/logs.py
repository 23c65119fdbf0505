"""Where the running agent's log goes: to the journal with a level on every line, elsewhere with the time."""

import logging
import os
import sys
import time
from collections.abc import Mapping

FORMAT = "level=%(levelname)s %(name)s: %(message)s"
# sd-daemon(3): what stands before a line tells the journal its level.
PRIORITIES = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.NOTSET, "<7>"))


class JournalFormatter(logging.Formatter):
    """The journal stamps every line by itself, and takes each of them, also of a traceback, for an entry of its own."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next(prefix for level, prefix in PRIORITIES if record.levelno >= level)
        return "\n".join(priority + line for line in super().format(record).splitlines())


def set_up_logging() -> None:
    """From INFO, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    if leads_to_journal(os.environ, sys.stderr.fileno()):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        formatter = logging.Formatter(f"%(asctime)s {FORMAT}")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def leads_to_journal(environment: Mapping[str, str], descriptor: int) -> bool:
    """Whether this is the very stream that systemd has connected: a child whose stderr goes elsewhere inherits the
    variable, too."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
