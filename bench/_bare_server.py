"""The yardstick of `bench ingest`: aiohttp, uvloop and orjson that read a body, store nothing, and answer as the
collector does. The process is set up as `serve` sets up its own: no access log, the same garbage collection."""

import asyncio
import gc
import sys
import time

import orjson
import uvloop
from aiohttp import web

from protocol.wire import PUSH_PATH

JSON_HEADERS = {"Content-Type": "application/json"}


async def push(request: web.Request) -> web.Response:
    pushed = orjson.loads(await request.read())
    answer = {
        "acked": pushed["seq"],
        "now": int(time.time() * 1000),
        "need_layouts": [],
        "refused": [],
        "config_etag": '"0123456789abcdef"',
    }
    return web.Response(body=orjson.dumps(answer), headers=JSON_HEADERS)


async def serve(port: int) -> None:
    application = web.Application()
    application.router.add_post(PUSH_PATH, push)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    uvloop.run(serve(int(sys.argv[1])))
