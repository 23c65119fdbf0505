"""`python -m agent.printers.reader`: reads printers for the agent as long as there are any.

One task follows each printer, a few of them ask at a time, and one printer is never asked two things at once. It ends
when its stdin does: then the agent is gone. What it hears and says is described in agent.printers.exchange.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

from agent.clock import read_boot_seconds
from agent.config import ConfigError, parse_config
from agent.printers.connecting import connect_snmp
from agent.printers.exchange import MAX_LINE_BYTES
from agent.printers.ipp import ask_printer
from agent.printers.ipp_codec import Attributes
from agent.printers.polling import AskIpp, Client, Connect, PrinterPoll
from agent.printers.targets import make_ipp_access, make_snmp_access
from agent.printers.telling import Teller
from protocol.wire import IppConfig, PrinterConfig, SnmpConfig

logger = logging.getLogger(__name__)

AT_ONCE = 16  # printers that are asked at a time
# The first readings begin one after the other, those of many printers over half a minute.
FIRST_SPREAD_SECONDS = 30.0
SPREAD_SECONDS_EACH = 0.12
MAX_POLL_SECONDS = 60.0  # for one printer, however slowly it answers


class Reader:
    """Follows the printers of the newest configuration."""

    def __init__(
        self, say: Callable[[Mapping[str, object]], None], clock: Callable[[], float] = read_boot_seconds
    ) -> None:
        self._say = say
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._followed: dict[str, tuple[PrinterConfig, asyncio.Task[None]]] = {}

    def configure(self, printers: tuple[PrinterConfig, ...]) -> None:
        """What is as it was goes on undisturbed."""
        wanted = {one["device_id"]: one for one in printers}
        for device_id, (config, task) in list(self._followed.items()):
            if wanted.get(device_id) != config:
                task.cancel()
                del self._followed[device_id]
        for device_id, config in wanted.items():
            if device_id not in self._followed:
                task = asyncio.create_task(self._follow(config), name=device_id)
                self._followed[device_id] = config, task

    async def stop(self) -> None:
        tasks = [task for _, task in self._followed.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, config: PrinterConfig) -> None:
        interval_seconds = config["interval_seconds"]
        poll = make_poll(config)
        teller = Teller(config["device_id"], interval_seconds)
        # Each has a place of its own in the interval, so that they do not come all together.
        phase = zlib.crc32(config["device_id"].encode()) / (1 << 32)
        due = self._clock() + phase * min(FIRST_SPREAD_SECONDS, SPREAD_SECONDS_EACH * len(self._followed))
        trouble, failed = "", 0
        while True:
            await asyncio.sleep(max(0.0, due - self._clock()))
            try:
                trouble = await self._take_turn(poll, teller, config["device_id"], trouble)
            except Exception:
                failed += 1
                logger.exception("printer not told of: device_id=%s times=%d", config["device_id"], failed)
            due = max(due + interval_seconds, self._clock())  # what was late is not caught up

    async def _take_turn(self, poll: PrinterPoll, teller: Teller, device_id: str, trouble: str) -> str:
        """The trouble that it is in now, said if it is another than before."""
        async with self._gate:
            now = self._clock()
            await self._poll(poll, now)
        if poll.trouble != trouble:
            self._log(device_id, poll.trouble)
        self._say(teller.tell(poll, now))
        return poll.trouble

    async def _poll(self, poll: PrinterPoll, now: float) -> None:
        """One printer must not spoil the rest, whatever it makes of us."""
        try:
            async with asyncio.timeout(MAX_POLL_SECONDS):
                await poll.poll(now)
        except TimeoutError:
            poll.give_up(f"not read within {MAX_POLL_SECONDS:g} s")
        except Exception as error:
            logger.exception("reading failed")
            poll.give_up(f"{type(error).__name__}: {error}")

    def _log(self, device_id: str, trouble: str) -> None:
        if trouble:
            logger.warning("printer not read, or in part: device_id=%s reason=%r", device_id, trouble)
        else:
            logger.info("printer read: device_id=%s", device_id)


def make_poll(config: PrinterConfig) -> PrinterPoll:
    snmp, ipp = config.get("snmp"), config.get("ipp")
    return PrinterPoll(
        None if snmp is None else snmp_connector(config["host"], snmp),
        None if ipp is None else ipp_asker(config["host"], ipp),
    )


def snmp_connector(host: str, config: SnmpConfig) -> Connect:
    async def connect(repetitions: int | None) -> Client:
        return await connect_snmp(host, make_snmp_access(config), repetitions=repetitions)

    return connect


def ipp_asker(host: str, config: IppConfig) -> AskIpp:
    async def ask() -> Attributes:
        return await ask_printer(host, make_ipp_access(config))

    return ask


async def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Until `source` ends."""

    def say(line: Mapping[str, object]) -> None:
        sink.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n")
        sink.flush()

    reader = Reader(say)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def listen() -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the loop has ended before
            while line := source.readline(MAX_LINE_BYTES):
                loop.call_soon_threadsafe(take, line)
            loop.call_soon_threadsafe(ended.set)

    def take(line: bytes) -> None:
        try:
            reader.configure(parse_config(json.loads(line)).printers)
        except (ValueError, ConfigError) as error:
            logger.error("configuration not understood: reason=%r", str(error))  # noqa: TRY400 - it says it all

    threading.Thread(target=listen, name="stdin", daemon=True).start()
    await ended.wait()
    await reader.stop()


def main() -> int:
    """Exit code: 0 when stdin has ended."""
    # What libraries print must neither get among the lines nor fill the log: SNMP's says a line for each broken answer.
    sink = os.fdopen(os.dup(1), "wb")
    sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.close(silence)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s level=%(levelname)s %(name)s: %(message)s"
    )
    logging.Formatter.converter = time.gmtime
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        asyncio.run(serve(sys.stdin.buffer, sink))
    return 0


if __name__ == "__main__":
    sys.exit(main())
