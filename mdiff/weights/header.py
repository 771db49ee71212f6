"""The header of a safetensors file, read and checked without reading the tensors.

Format (https://github.com/huggingface/safetensors): eight bytes with the length of the header (little endian), the
header as JSON ``{name: {dtype, shape, data_offsets: [begin, end]}}``, then the tensors' bytes without gaps.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from mdiff.errors import MdiffError

# Names as in the file: (bytes an element, the name used everywhere in mdiff)
DTYPES = {
    "F64": (8, "float64"),
    "F32": (4, "float32"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "I64": (8, "int64"),
    "I32": (4, "int32"),
    "I16": (2, "int16"),
    "I8": (1, "int8"),
    "U8": (1, "uint8"),
    "BOOL": (1, "bool"),
}
HEADER_LIMIT = 100_000_000  # bytes, the limit of the format's own reader
_SAFETENSORS_ADVICE = "mdiff reads safetensors only"


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies in its file: `offset` and `nbytes` in bytes from the file's beginning."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    """The tensors of one file by name, and the file's free-form metadata."""

    path: Path
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    nbytes: int


def read_header(path: Path) -> Header:
    """Read and check the header; MdiffError says what the file is where it is not a whole safetensors file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _parse(path, file, size)
    except FileNotFoundError:
        raise MdiffError(f"weight file {path} is missing") from None
    except OSError as error:
        raise MdiffError(f"weight file {path} cannot be read: {error.strerror or error}") from None


def _parse(path: Path, file: BinaryIO, size: int) -> Header:
    start = file.read(256)
    if len(start) < 8:
        raise MdiffError(f"weight file {path} is truncated: {size} bytes, fewer than a safetensors file's first 8")
    length = int.from_bytes(start[:8], "little")
    looks_like_json = start[8:9] in (b"{", b"")
    if not looks_like_json or length > HEADER_LIMIT:
        raise MdiffError(_what_else(path, start, size))
    if 8 + length > size:
        raise MdiffError(
            f"weight file {path} is truncated: its header alone needs {8 + length} bytes, the file has {size} bytes"
        )
    file.seek(8)
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"weight file {path} is corrupt: its header is not valid JSON ({error})") from None
    if not isinstance(header, dict):
        raise MdiffError(f"weight file {path} is corrupt: its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise MdiffError(f"weight file {path} is corrupt: its metadata is not a JSON object")
    tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in header.items()}
    expected = _check_layout(path, tensors, 8 + length)
    if expected > size:
        raise MdiffError(f"weight file {path} is truncated: expected {expected} bytes, it has {size} bytes")
    if expected < size:
        raise MdiffError(f"weight file {path} is corrupt: expected {expected} bytes by its header, it has {size} bytes")
    return Header(path, tensors, {str(key): str(value) for key, value in metadata.items()}, size)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that occurs twice: which of the two is meant would depend on the reader."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"name {twice!r} occurs twice")
    return entries


def _tensor(path: Path, name: str, entry: Any, data_begin: int) -> TensorInfo:
    def corrupt(what: str) -> MdiffError:
        return MdiffError(f"weight file {path} is corrupt: tensor {name!r} {what}")

    if not isinstance(entry, dict):
        raise corrupt("is not described by a JSON object")
    if entry.get("dtype") not in DTYPES:
        raise MdiffError(
            f"weight file {path}: tensor {name!r} has the unsupported type {entry.get('dtype')!r}; "
            f"supported are {', '.join(DTYPES)}"
        )
    itemsize, dtype = DTYPES[entry["dtype"]]
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _are_sizes(shape):
        raise corrupt(f"has the shape {shape!r}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise corrupt(f"has the data offsets {offsets!r}")
    nbytes = offsets[1] - offsets[0]
    if nbytes != itemsize * math.prod(shape):
        raise corrupt(f"of shape {shape} and type {entry['dtype']} has {nbytes} bytes")
    return TensorInfo(dtype, tuple(shape), data_begin + offsets[0], nbytes)


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_layout(path: Path, tensors: dict[str, TensorInfo], data_begin: int) -> int:
    """Return the file's size in bytes that the header implies; tensors that overlap or leave gaps are refused."""
    end = data_begin
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if tensor.offset != end:
            raise MdiffError(f"weight file {path} is corrupt: tensor {name!r} overlaps another or leaves a gap")
        end += tensor.nbytes
    return end


def _what_else(path: Path, start: bytes, size: int) -> str:
    """Say what a file that is no safetensors file is, by its content, whatever its name."""
    if start.startswith(b"version https://git-lfs"):
        expected = re.search(rb"\nsize (\d+)", start)
        wanted = f"expected {expected[1].decode()} bytes, it has {size} bytes" if expected else f"{size} bytes"
        return f"weight file {path} is a git-lfs pointer, not the file itself ({wanted}); run `git lfs pull` there"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return f"weight file {path} is a PyTorch zip of pickles, which can run code when loaded; {_SAFETENSORS_ADVICE}"
    if start[0] == 0x80 and start[1] in (1, 2, 3, 4, 5):
        return f"weight file {path} is a pickle, which can run code when loaded; {_SAFETENSORS_ADVICE}"
    if start.lstrip()[:1] == b"<":
        return f"weight file {path} is a web page, not a weight file; download it again"
    if start.startswith(b"GGUF"):
        return f"weight file {path} is in the GGUF format; {_SAFETENSORS_ADVICE}"
    if start.startswith(b"\x89HDF"):
        return f"weight file {path} is in the HDF5 format; {_SAFETENSORS_ADVICE}"
    if not any(start):
        return f"weight file {path} is corrupt: it begins with zeros, as after an interrupted download"
    return f"weight file {path} is not a safetensors file ({size} bytes); {_SAFETENSORS_ADVICE}"
