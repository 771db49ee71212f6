"""A cell is complete or absent: staging, locks, atomic renames, what an earlier run left behind.

Work in flight lies in `.mdiff/` beside the cells, one folder a cell named by its fingerprint and guarded by a lock
that the kernel drops when its process dies. The record is written last and the folder is renamed into place.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError
from mdiff.run.png import read_back, whole_size

STAGING = ".mdiff"


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the cell's record, None where there is none; a damaged one is an error that names it."""
    path = folder / "record.json"
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise MdiffError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise MdiffError(f"{path} is not a record ({error}); remove it to make the cell again") from error
    if not isinstance(record, dict) or "status" not in record or not isinstance(record.get("images"), list):
        raise MdiffError(f"{path} is not a record of mdiff; remove it to make the cell again")
    return record


def finished_record(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the record of a complete cell of this fingerprint with all its images, else None."""
    record = read_record(folder)
    if record is None or record["status"] != "complete" or record.get("fingerprint") != fingerprint:
        return None
    return None if missing_images(folder, record) else record


def missing_images(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Names of images that the record lists and that are absent or cut short (by size and last chunk)."""
    images = record["images"]
    sizes = ((each["file"], each.get("bytes"), whole_size(folder / each["file"])) for each in images)
    return [name for name, expected, size in sizes if size is None or size != expected]


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that `path` appears whole or not at all."""
    write_text(path, json_text(value) + "\n", durable=True)


_encode = json.JSONEncoder(ensure_ascii=False).encode


def json_text(value: Any, encode: Callable[[Any], str] = _encode, depth: int = 2, indent: str = "") -> str:
    """Return JSON with a line for each entry of the outer `depth` levels, what lies deeper on one line.

    `encode` writes what is on one line: the standard encoder with an indent would run in Python, ten times slower.
    """
    if depth == 0 or not value or not isinstance(value, dict | list):
        return encode(value)
    inner = indent + " "
    if isinstance(value, list):
        lines = [inner + json_text(each, encode, depth - 1, inner) for each in value]
    else:
        entries = ((encode(key), json_text(each, encode, depth - 1, inner)) for key, each in value.items())
        lines = [f"{inner}{key}: {entry}" for key, entry in entries]
    begin, end = "[]" if isinstance(value, list) else "{}"
    return "\n".join([begin, ",\n".join(lines), indent + end])


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write UTF-8 text so that `path` appears whole or not at all; `durable` even if the machine goes down."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise MdiffError(f"cannot write {path}: {error.strerror or error}") from error


class Staging:
    """The work in flight of one cell; holds the cell's lock until `publish` or `close`."""

    def __init__(self, final: Path, key: str):
        self.final, self.key = final, key
        root = final.parent / STAGING
        self.path, self._lock_path = root / key, root / f"{key}.lock"
        self._lock: int | None = None

    def claim(self) -> bool:
        """Take the lock and the folder; False where another process is making this very cell."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    return False
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), self._lock_path.stat()):
                        break
                os.close(lock)  # the earlier holder removed the file between our open and our lock
            self._lock = lock
            if not self.path.exists():
                record = self._failed_before()
                if record is not None:
                    self.final.rename(self.path)
            self.path.mkdir(exist_ok=True)
            for partial in self.path.glob("*.part"):
                partial.unlink()
        except OSError as error:
            raise MdiffError(f"cannot write to {self.final.parent}: {error.strerror}") from error
        return True

    def _failed_before(self) -> dict[str, Any] | None:
        record = read_record(self.final)
        return record if record is not None and record["status"] == "failed" else None

    def adopted(self, fingerprint: str, count: int) -> dict[int, tuple[dict[str, Any], Any]]:
        """Finished images of this fingerprint that an interrupted run left: index to (recipe, pixels)."""
        found = {}
        for index in range(count):
            back = read_back(self.path / image_name(index))
            if back is not None and back[0].get("fingerprint") == fingerprint:
                found[index] = back
        return found

    def publish(self, record: Mapping[str, Any]) -> Path:
        """Write the record, last, and let the cell appear under its name."""
        write_json(self.path / "record.json", record)
        try:
            if self.final.exists() and any(self.final.iterdir()):
                aside = self.path.with_name(self.key + ".old")
                self.final.rename(aside)
                self.path.rename(self.final)
                shutil.rmtree(aside, ignore_errors=True)
            else:
                self.path.rename(self.final)
        except OSError as error:
            raise MdiffError(f"cannot write {self.final}: {error.strerror}") from error
        self.close()
        return self.final

    def close(self) -> None:
        """Release the lock; what is staged stays for the next run, an empty staging folder goes."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            self.path.rmdir()
        with contextlib.suppress(OSError):
            if not self.path.exists():
                self._lock_path.unlink()
        os.close(self._lock)
        self._lock = None
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def image_name(index: int) -> str:
    """File name of the cell's image `index`."""
    return f"image_{index:03d}.png"


def check_writable(folder: Path) -> None:
    """Make `folder` and a file in it, or say why that cannot be done, before anything is loaded."""
    probe = folder / f".{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise MdiffError(f"cannot write to {folder}: {error.strerror}") from error


def is_disk_full(error: BaseException) -> bool:
    """Whether `error`, or what caused it, says that no space is left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__cause__  # type: ignore[assignment]
    return False
