"""IPP's binary form (RFC 8010), as much as one question and its answer take. Whatever comes in, decoding ends.

Not pyipp: its parser follows negative lengths backwards for ever, its models put supplies in another order and lose
what is not UTF-8, and it brings aiohttp, which weighs as much as all else in the reader.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from agent.printers.errors import BadAnswer

GET_PRINTER_ATTRIBUTES = 0x000B
REQUEST_ID = 1
OPERATION_ATTRIBUTES, PRINTER_ATTRIBUTES, END_OF_ATTRIBUTES = 0x01, 0x04, 0x03
LAST_DELIMITER = 0x0F
INTEGER, BOOLEAN, ENUM = 0x21, 0x22, 0x23
TEXT_WITH_LANGUAGE, NAME_WITH_LANGUAGE = 0x35, 0x36
BEGIN_COLLECTION, END_COLLECTION = 0x34, 0x37
FIRST_VALUE, OCTET_STRING, FIRST_TEXT, LAST_TEXT = 0x20, 0x30, 0x40, 0x5F
URI, KEYWORD, CHARSET, LANGUAGE = 0x45, 0x44, 0x47, 0x48

AttributeValue: TypeAlias = int | bytes
Attributes: TypeAlias = dict[str, list[AttributeValue]]


class Answer(NamedTuple):
    status: int
    printer: Attributes  # of the first printer; booleans as 0 and 1, texts and octets as they came


def encode_request(uri: str, wanted: Sequence[str], version: tuple[int, int] = (2, 0)) -> bytes:
    """Get-Printer-Attributes for `wanted`."""
    parts = [struct.pack(">BBHI", *version, GET_PRINTER_ATTRIBUTES, REQUEST_ID), bytes([OPERATION_ATTRIBUTES])]
    parts.append(_encode(CHARSET, "attributes-charset", "utf-8"))
    parts.append(_encode(LANGUAGE, "attributes-natural-language", "en"))
    parts.append(_encode(URI, "printer-uri", uri))
    parts += [_encode(KEYWORD, "" if place else "requested-attributes", one) for place, one in enumerate(wanted)]
    return b"".join([*parts, bytes([END_OF_ATTRIBUTES])])


def _encode(tag: int, name: str, value: str) -> bytes:
    encoded_name, encoded_value = name.encode("ascii"), value.encode()
    return b"".join(
        [
            struct.pack(">BH", tag, len(encoded_name)),
            encoded_name,
            struct.pack(">H", len(encoded_value)),
            encoded_value,
        ]
    )


def decode_answer(content: bytes) -> Answer:
    """Raises BadAnswer. What is inside collections is left out: nothing of it is asked for."""
    try:
        return _decode(content)
    except (struct.error, IndexError) as error:
        raise BadAnswer("its IPP answer ends in the middle") from error


def _decode(content: bytes) -> Answer:
    _, status, _ = struct.unpack_from(">HHI", content)
    printer: Attributes = {}
    group = name = None
    printers = depth = 0
    offset = 8
    while content[offset] != END_OF_ATTRIBUTES:
        tag = content[offset]
        offset += 1
        if tag <= LAST_DELIMITER:
            group, name = tag, None
            printers += tag == PRINTER_ATTRIBUTES
            continue
        own_name, offset = _take(content, offset)
        value, offset = _take(content, offset)
        if tag == END_COLLECTION:
            depth = max(0, depth - 1)
            continue
        if own_name and depth == 0:
            name = own_name.decode("ascii", errors="replace")
        decoded = _decode_value(tag, value) if depth == 0 else None
        depth += tag == BEGIN_COLLECTION
        if group == PRINTER_ATTRIBUTES and printers == 1 and name is not None and decoded is not None:
            printer.setdefault(name, []).append(decoded)
    return Answer(status, printer)


def _take(content: bytes, offset: int) -> tuple[bytes, int]:
    """A length and so many bytes; where the next thing begins. Raises struct.error, BadAnswer."""
    (length,) = struct.unpack_from(">H", content, offset)
    end = offset + 2 + length
    if end > len(content):
        raise BadAnswer("its IPP answer ends in the middle")
    return content[offset + 2 : end], end


def _decode_value(tag: int, value: bytes) -> AttributeValue | None:
    """None for what has no value, or one of no use here."""
    if tag in (INTEGER, ENUM):
        return int(struct.unpack(">i", value)[0]) if len(value) == 4 else None
    if tag == BOOLEAN:
        return int(value == b"\x01")
    if tag in (TEXT_WITH_LANGUAGE, NAME_WITH_LANGUAGE):
        _, offset = _take(value, 0)
        return _take(value, offset)[0]
    if tag == OCTET_STRING or FIRST_TEXT <= tag <= LAST_TEXT:
        return value
    return None
