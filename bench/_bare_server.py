"""The yardstick of `bench ingest`: aiohttp, uvloop and orjson that read a body and store nothing."""

import asyncio
import sys

import orjson
import uvloop
from aiohttp import web

from protocol.wire import PUSH_PATH


async def push(request: web.Request) -> web.Response:
    orjson.loads(await request.read())
    return web.Response(status=204)


async def serve(port: int) -> None:
    application = web.Application()
    application.router.add_post(PUSH_PATH, push)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
