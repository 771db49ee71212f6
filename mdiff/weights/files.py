"""The tensors of one component: a safetensors file, or several with an index."""

import hashlib
import json
import math
import mmap
import re
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from mdiff.errors import MdiffError, nearest
from mdiff.weights.convert import NUMPY, convert, widen_into
from mdiff.weights.digest import file_digest
from mdiff.weights.header import Header, TensorInfo, read_header
from mdiff.weights.memory import Arena, reading_room

_CHUNK = 1 << 19  # elements converted at a time: as float32 a huge page of them, and the working memory stays small
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


class Weights:
    """Named tensors that are read one by one; `WeightFiles` has them on disk, others rename or change them."""

    files: tuple[Path, ...]
    names: tuple[str, ...]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the tensor."""
        raise KeyError(name)

    def dtype(self, name: str) -> str:
        """Type of the tensor as stored: ``"float32"``, ``"float16"``, ``"bfloat16"`` …"""
        raise KeyError(name)

    def read(self, name: str) -> np.ndarray:
        """Return the tensor as stored, not to be written to; a bfloat16 tensor comes as its bit patterns in uint16."""
        raise KeyError(name)

    def read_as(self, name: str, dtype: str, round_to: str | None = None, arena: Arena | None = None) -> np.ndarray:
        """Read the tensor as `dtype`, its values rounded to those of `round_to` first (see `convert`).

        It may lie in `arena`, if it is converted.
        """
        try:
            return convert(self.read(name), self.dtype(name), dtype, round_to)
        except OverflowError:
            raise _beyond_float16(name, self.files) from None

    def digest(self) -> str:
        """The sha256 that identifies the bytes of the files."""
        return digest_of(self.files)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors' values, as stored."""
        return sum(np.dtype(NUMPY[self.dtype(n)]).itemsize * math.prod(self.shape(n)) for n in self.names)


class WeightFiles(Weights):
    """The tensors of one safetensors file or of all shards; reading one touches its bytes alone."""

    def __init__(self, headers: list[Header]):
        self.files = tuple(header.path for header in headers)
        self.metadata = {key: value for header in headers for key, value in header.metadata.items()}
        self._tensors: dict[str, tuple[Path, TensorInfo]] = {}
        for header in headers:
            for name, tensor in header.tensors.items():
                if name in self._tensors:
                    raise MdiffError(
                        f"tensor {name!r} is in two weight files: {self._tensors[name][0]} and {header.path}"
                    )
                self._tensors[name] = (header.path, tensor)
        self.names = tuple(self._tensors)
        self._maps: dict[Path, mmap.mmap] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name][1].shape

    def dtype(self, name: str) -> str:
        return self._tensors[name][1].dtype

    def read(self, name: str) -> np.ndarray:
        return self.read_as(name, self.dtype(name))

    def read_as(self, name: str, dtype: str, round_to: str | None = None, arena: Arena | None = None) -> np.ndarray:
        path, tensor = self._tensors[name]
        try:
            if tensor.dtype == dtype and round_to in (None, dtype):
                return self._mapped(path, tensor, name)
            count = math.prod(tensor.shape)
            memory = arena if arena is not None else Arena(count * np.dtype(NUMPY[dtype]).itemsize)
            values = memory.room(count, NUMPY[dtype])
            with path.open("rb", buffering=0) as file:
                file.seek(tensor.offset)
                self._convert(file, tensor, values, name, (dtype, round_to), memory)
        except OSError as error:
            raise MdiffError(f"weight file {path} cannot be read: {error.strerror or error}") from None
        return values.reshape(tensor.shape)

    def _mapped(self, path: Path, tensor: TensorInfo, name: str) -> np.ndarray:
        """The tensor as it lies in the file, without a copy.

        Its memory is the system's cache of the file: shared between processes, and given back when memory is short. The
        map is private, so that whoever writes to it in spite of the array's flag changes no file.
        """
        if tensor.nbytes == 0:
            return np.empty(tensor.shape, NUMPY[tensor.dtype])
        if path not in self._maps:
            with path.open("rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                self._maps[path].madvise(mmap.MADV_WILLNEED)
        if tensor.offset + tensor.nbytes > min(len(self._maps[path]), path.stat().st_size):
            raise _shrunk(path, name)
        flat = np.frombuffer(self._maps[path], NUMPY[tensor.dtype], math.prod(tensor.shape), tensor.offset)
        flat.flags.writeable = False
        return flat.reshape(tensor.shape)

    def _convert(
        self,
        file: FileIO,
        tensor: TensorInfo,
        values: np.ndarray,
        name: str,
        target: tuple[str, str | None],
        memory: Arena,
    ) -> None:
        """Fill `values` with the tensor in the target's type, a chunk at a time."""
        buffer = reading_room(min(values.size, _CHUNK), NUMPY[tensor.dtype], tensor.offset)
        dtype, round_to = target
        widens = dtype == "float32" and tensor.dtype in ("float16", "bfloat16") and round_to in (None, dtype)
        for begin in range(0, values.size, _CHUNK):
            piece = buffer[: min(_CHUNK, values.size - begin)]
            _fill(file, piece, name)
            place = values[begin : begin + piece.size]
            memory.provide(place)
            if widens:
                widen_into(place, piece, tensor.dtype)
                continue
            try:
                place[:] = convert(piece, tensor.dtype, *target)
            except OverflowError:
                raise _beyond_float16(name, self.files) from None


def _fill(file: FileIO, values: np.ndarray, name: str) -> None:
    """Read from the file until `values` is full."""
    view = values.view(np.uint8).data
    filled = 0
    while filled < len(view):
        count = file.readinto(view[filled:])
        if not count:
            raise _shrunk(file.name, name)
        filled += count


def _shrunk(path: Any, name: str) -> MdiffError:
    return MdiffError(f"weight file {path} ends within tensor {name!r}: it changed while being read")


def open_weights(folder: Path, stem: str, variant: str | None = None) -> WeightFiles:
    """Open ``folder/stem.safetensors``, or its shards by ``stem.safetensors.index.json``, or those of `variant`.

    Raises MdiffError for whatever keeps the tensors from being read: no such file (naming what is there instead), only
    pickles, a shard missing, a file truncated or corrupt (expected and actual bytes), a git-lfs pointer, an index that
    leaves its folder or does not agree with its shards.
    """
    if not folder.is_dir():
        raise MdiffError(f"folder {folder} is missing")
    single, indices = file_names(stem, variant)
    if (folder / single).exists() or (folder / single).is_symlink():
        return WeightFiles([read_header(folder / single)])
    for index in indices:
        if (folder / index).exists():
            return _open_sharded(folder, folder / index)
    raise MdiffError(_what_is_there(folder, stem, variant))


def file_names(stem: str, variant: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the name of the single weight file, and those that an index of shards goes by (libraries differ)."""
    if variant is None:
        return f"{stem}.safetensors", (f"{stem}.safetensors.index.json",)
    return f"{stem}.{variant}.safetensors", (
        f"{stem}.safetensors.{variant}.index.json",
        f"{stem}.safetensors.index.{variant}.json",
        f"{stem}.{variant}.safetensors.index.json",
    )


def variants(names: list[str], stem: str) -> dict[str | None, str]:
    """Return the variants (None for the plain one) whose weight file or index is among the file `names`."""
    found: dict[str | None, str] = {}
    patterns = (
        rf"{re.escape(stem)}(?:\.([\w-]+))?\.safetensors",
        rf"{re.escape(stem)}\.safetensors\.(?:([\w-]+)\.)?index\.json",
        rf"{re.escape(stem)}\.safetensors\.index\.([\w-]+)\.json",
        rf"{re.escape(stem)}\.([\w-]+)\.safetensors\.index\.json",
    )
    for name in sorted(names):
        for pattern in patterns:
            if (match := re.fullmatch(pattern, name)) and not re.search(r"-\d{5}-of-\d{5}", name):
                found.setdefault(match[1], name)
    return found


def shard_names(index: Path) -> dict[str, list[str]]:
    """Return the shards that an index names, each with its tensors; names that leave the folder are refused."""
    try:
        content = json.loads(index.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"weight index {index} is not valid JSON: {error}") from None
    except OSError as error:
        raise MdiffError(f"weight index {index} cannot be read: {error.strerror or error}") from None
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise MdiffError(f"weight index {index} has no weight_map")
    shards: dict[str, list[str]] = {}
    for tensor, file in weight_map.items():
        if not is_plain_name(file):
            raise MdiffError(f"weight index {index} names {file!r}, which is not a file of its own folder")
        shards.setdefault(file, []).append(tensor)
    return shards


def is_plain_name(name: object) -> bool:
    """Tell whether `name` is the name of an entry of a folder: no separator, no parent, not hidden, not empty."""
    return isinstance(name, str) and re.fullmatch(r"[^/\\\0:]+", name) is not None and not name.startswith(".")


def _open_sharded(folder: Path, index: Path) -> WeightFiles:
    shards = shard_names(index)
    missing = [file for file in shards if not (folder / file).exists()]
    if missing:
        raise MdiffError(f"{len(missing)} of {len(shards)} weight files are missing in {folder}: {', '.join(missing)}")
    headers = [read_header(folder / file) for file in sorted(shards)]
    for header in headers:
        listed, present = set(shards[header.path.name]), set(header.tensors)
        if absent := sorted(listed - present):
            raise MdiffError(f"weight file {header.path} lacks {absent[0]!r}, which {index.name} says is there")
        if extra := sorted(present - listed):
            raise MdiffError(f"weight file {header.path} has {extra[0]!r}, which {index.name} does not name")
    return WeightFiles(headers)


def _what_is_there(folder: Path, stem: str, variant: str | None) -> str:
    names = [entry.name for entry in folder.iterdir()]
    wanted = file_names(stem, variant)[0]
    available = variants(names, stem)
    if available and variant is not None:
        choices = ["null" if name is None else name for name in available]
        return f"{folder} has no {wanted}, so no variant {variant!r}{nearest(variant, choices)}"
    if available:
        return f"{folder} has no {wanted}, only the variant {', '.join(map(str, available))}: set model.variant to it"
    if pickles := sorted(name for name in names if name.endswith(_PICKLES)):
        return (
            f"{folder} has only {', '.join(pickles[:3])}: a pickle can run code when loaded and mdiff reads "
            f"safetensors only; it needs {wanted}"
        )
    return f"weight file {folder / wanted} is missing"


def digest_of(files: tuple[Path, ...]) -> str:
    """The digest of the files' content, see `combined_digest`."""
    return combined_digest({path.name: file_digest(path) for path in files})


def combined_digest(digests: Mapping[str, str]) -> str:
    """The sha256 of one file; of several, that of the lines that ``sha256sum`` prints for them in order of name."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _beyond_float16(name: str, files: tuple[Path, ...]) -> MdiffError:
    return MdiffError(f"tensor {name!r} of {files[0].name} has values beyond the range of float16; use bf16 or fp32")
