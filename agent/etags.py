"""The name of a configuration, as the collector gave it: it goes back in a header, so nothing else may be in it."""

import re

ETAG = re.compile(r"[!#-~]{1,128}")  # printable ASCII without blanks and quotes


def bare_etag(found: object) -> str:
    """Without quotes and weakness, so that a header compares with what stands in an answer; empty if it is no ETag."""
    if not isinstance(found, str):
        return ""
    bare = found.removeprefix("W/").removeprefix('"').removesuffix('"')
    return bare if ETAG.fullmatch(bare) else ""
