"""Files as answers: strangers made them, so no browser may run or guess anything."""

from urllib.parse import quote

from aiohttp import web

from collector.api.desk.operations import Download

MEDIA_TYPE = "application/octet-stream"  # whatever it is: its name tells, and no browser shows it

_QUOTED = '"\\'


def served(file: Download) -> web.Response:
    """An answer that a browser saves under the file's name, and never shows in our name."""
    plain = "".join(one if one.isascii() and one.isprintable() and one not in _QUOTED else "_" for one in file.name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
    return web.Response(
        body=file.content,
        content_type=MEDIA_TYPE,
        headers={
            "Content-Disposition": disposition,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )
