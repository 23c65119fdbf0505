"""The push that a device sends nearly always: frames of layouts that are known, and nothing else.

The model (`protocol.models.Push`) is the judge of everything; this recognises by hand what it would let pass as it
is, at a third of its time. Whatever is not so plain goes to the model.
"""

import struct
from typing import NamedTuple, TypeGuard

import orjson

from collector.series.catalog import pack_values
from protocol import wire

_END = 1 << 53  # of timestamps and sequence numbers


class PlainFrame(NamedTuple):
    device: str | None  # None: the sender itself
    layout: str  # as the sender calls it
    t: int  # Unix milliseconds
    values: bytes  # as in DeviceFrame


class PlainPush(NamedTuple):
    seq: int
    frames: list[PlainFrame]


def plain_push(body: bytes) -> PlainPush | None:
    """The push of this JSON; None if it is not plain, or is none at all."""
    if b"true" in body or b"false" in body:  # they would pass for numbers
        return None
    try:
        push = orjson.loads(body)
        if not _is_plain(push):
            return None
        return PlainPush(push["seq"], [_frame(frame) for frame in push["frames"]])
    except (orjson.JSONDecodeError, KeyError, TypeError, struct.error, _NotPlainError):
        return None


class _NotPlainError(Exception):
    pass


def _is_plain(push: object) -> bool:
    return (
        type(push) is dict
        and _is_number(push["sent"])
        and _is_number(push["seq"])
        and _is_text(push["boot"], 128)
        and _is_text(push["spool"], 128)
        and push.get("layouts", []) == []
        and push.get("events", []) == []
        and push.get("inventory") is None
        and type(push["frames"]) is list
        and len(push["frames"]) <= wire.MAX_FRAMES_PER_PUSH
    )


def _frame(frame: object) -> PlainFrame:
    if type(frame) is not dict:
        raise _NotPlainError
    device, layout, t, values = frame.get("device"), frame["layout"], frame["t"], frame["v"]
    if (
        (device is None or (type(device) is str and len(device) <= 128))
        and _is_text(layout, 64)
        and _is_number(t)
        and type(values) is list
        and len(values) <= wire.MAX_SERIES_PER_LAYOUT
    ):
        return PlainFrame(device, layout, t, pack_values(values))
    raise _NotPlainError


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _END


def _is_text(value: object, most: int) -> TypeGuard[str]:
    return type(value) is str and 0 < len(value) <= most
