"""PNG files by hand: any text chunk, whole or damaged."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*texts: bytes, side: int = 16) -> bytes:
    """A grey picture with chunks of text before its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    rows = np.full((side, side * 3), 128, np.uint8)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return SIGNATURE + head + b"".join(texts) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text(keyword: str, value: str) -> bytes:
    """A tEXt chunk."""
    return chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + value.encode("latin-1"))


def international(keyword: str, value: str, compressed: bool = False) -> bytes:
    """An iTXt chunk."""
    data = zlib.compress(value.encode()) if compressed else value.encode()
    return chunk(b"iTXt", keyword.encode() + b"\0" + bytes([compressed, 0]) + b"\0\0" + data)


def compressed(keyword: str, value: bytes) -> bytes:
    """A zTXt chunk."""
    return chunk(b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(value))


def recipe(**changes: Any) -> dict[str, Any]:
    """A recipe in the form that mdiff writes; `changes` replace its parts."""
    config = {
        "model": {"_target_": "mdiff.model.ModelSource", "path": "bundled:emoji", "revision": None, "variant": None},
        "scheduler": {"_target_": None},
        "precision": {"name": "fp32"},
        "prompt": {"_target_": "mdiff.prompt.Prompts", "text": "a cat", "negative": "", "file": None},
        "device": {"kind": "cpu", "id": 0},
        "output": {"dir": "outputs"},
        "engine": {"batch": 1},
        "steps": 4,
        "guidance": 5.0,
        "seed": 3,
        "num_images": 1,
        "width": 64,
        "height": 64,
        "name": "default",
        "resume": True,
        "on_error": "continue",
        "dry_run": False,
    }
    image = {"index": 0, "prompt": "a cat", "negative_prompt": "", "seed": 3, "width": 64, "height": 64}
    return {
        "schema": 1,
        "config": config,
        "image": {**image, "sha256": "ab" * 32},
        "weights": {},
        "versions": {},
        "effective": {},
        "fingerprint": "cd" * 32,
        **changes,
    }


def write(path: Path, content: object) -> Path:
    """Write a PNG whose chunk `mdiff` is `content` as JSON, or as it stands where it is text."""
    path.write_bytes(png(text("mdiff", content if isinstance(content, str) else json.dumps(content))))
    return path
