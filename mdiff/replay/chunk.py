"""The text chunks of a PNG from anywhere: bounded in number and size, and read without decoding a pixel."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from mdiff.errors import MdiffError

MAX_FILE_BYTES = 256 << 20
MAX_TEXT_BYTES = 4 << 20
MAX_CHUNKS = 100_000

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")


def read_texts(path: Path) -> dict[str, str]:
    """Return the text chunks of a PNG by keyword; MdiffError says why a file is refused.

    Portable Network Graphics specification, third edition, sections 5.3 and 11.3.3. The first chunk of a keyword
    counts. What follows a damaged or missing chunk is refused with it.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise MdiffError(f"{path} has {size} bytes, more than the {MAX_FILE_BYTES} that are read")
            return _texts(stream, path)
    except OSError as error:
        raise MdiffError(f"cannot read {path}: {error.strerror}") from error


def _texts(stream: BinaryIO, path: Path) -> dict[str, str]:
    if stream.read(8) != _SIGNATURE:
        raise MdiffError(f"{path} is not a PNG; only PNG files carry a recipe that can be replayed")
    found: dict[str, str] = {}
    left = MAX_TEXT_BYTES
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            raise MdiffError(f"{path} is cut short: it ends before its last chunk")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return found
        if kind not in _TEXT:
            stream.seek(length + 4, 1)
            continue
        if length > left:
            raise MdiffError(f"{path} holds more than {MAX_TEXT_BYTES} bytes of text; no recipe is that long")
        data, check = stream.read(length), stream.read(4)
        if len(data) < length or len(check) < 4:
            raise MdiffError(f"{path} is cut short: it ends inside a text")
        if zlib.crc32(kind + data) != int.from_bytes(check, "big"):
            raise MdiffError(f"{path} is damaged: a text in it does not match its checksum")
        keyword, text = _decode(kind, data, left, path)
        left -= max(length, len(text))
        found.setdefault(keyword, text)
    raise MdiffError(f"{path} has more than {MAX_CHUNKS} chunks; that is no picture of a recipe")


def _decode(kind: bytes, data: bytes, limit: int, path: Path) -> tuple[str, str]:
    keyword, _, rest = data.partition(b"\0")
    name = keyword[:79].decode("latin-1")
    if kind == b"tEXt":
        return name, rest.decode("latin-1")
    if kind == b"zTXt":
        return name, _inflate(rest[1:], limit, path).decode("latin-1")
    compressed, rest = rest[:1] == b"\1", rest[2:]
    _, _, rest = rest.partition(b"\0")  # language
    _, _, rest = rest.partition(b"\0")  # translated keyword
    text = _inflate(rest, limit, path) if compressed else rest
    try:
        return name, text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MdiffError(f"{path} is damaged: its text {name!r} is not UTF-8") from error


def _inflate(data: bytes, limit: int, path: Path) -> bytes:
    try:
        text = zlib.decompressobj().decompress(data, limit + 1)
    except zlib.error as error:
        raise MdiffError(f"{path} is damaged: a compressed text in it cannot be read") from error
    if len(text) > limit:
        raise MdiffError(f"{path} holds more than {MAX_TEXT_BYTES} bytes of text; no recipe is that long")
    return text
