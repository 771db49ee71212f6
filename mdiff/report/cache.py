"""What was found out about images already, so that a page can be refreshed often while a sweep runs."""

import base64
import json
import math
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdiff.report.raster import digest, read_rgb, thumbnail
from mdiff.report.record import load_json

FOLDER = ".report"
MAX_CACHE_BYTES = 256 << 20
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Seen:
    """What an image file holds: its pixels' sha256 and size, or the reason that it cannot be read."""

    sha256: str
    width: int
    height: int
    error: str = ""


class Cache:
    """Digests, thumbnails and distances, kept in ``.report/`` beside the page; losing it costs only time."""

    def __init__(self, folder: Path):
        self.folder = folder / FOLDER
        self.images: dict[str, Seen] = {}
        self.pairs: dict[str, tuple[float, float | None]] = {}
        self._known = self._load()
        self._used: set[str] = set()

    def look(self, paths: Iterable[Path], side: int) -> dict[Path, Seen]:
        """Return what each file holds, and make the thumbnails that are missing."""
        wanted = list(paths)
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            return dict(zip(wanted, pool.map(lambda path: self._look(path, side), wanted), strict=True))

    def thumbnail(self, seen: Seen, side: int) -> str:
        """Return the thumbnail as a data URI, empty where the image could not be read."""
        if not seen.sha256:
            return ""
        try:
            data = self._thumbnail_path(seen, side).read_bytes()
        except OSError:
            return ""
        return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")

    def distance(self, a: Seen, b: Seen) -> tuple[float, float | None] | None:
        """Return the mean squared error and SSIM of a pair, if they were measured before."""
        return self.pairs.get(_pair(a, b))

    def keep_distance(self, a: Seen, b: Seen, error: float, similarity: float | None) -> None:
        """Remember the distance of a pair."""
        self.pairs[_pair(a, b)] = (error, similarity)

    def save(self) -> None:
        """Write what is known of the images seen this time, and remove the thumbnails of others."""
        alive = {seen.sha256 for seen in self.images.values()}
        pairs = {name: value for name, value in self.pairs.items() if alive.issuperset(name.split(":"))}
        images = {name: [seen.sha256, seen.width, seen.height, seen.error] for name, seen in self.images.items()}
        write_atomically(self.folder / "cache.json", json.dumps({"schema": 1, "images": images, "pairs": pairs}))
        for path in self.folder.glob("*.webp"):
            if path.name not in self._used:
                path.unlink(missing_ok=True)

    def _look(self, path: Path, side: int) -> Seen:
        try:
            status = path.stat()
        except OSError as error:
            return Seen("", 0, 0, f"{path.name}: {error.strerror}")
        name = f"{path}|{status.st_size}|{status.st_mtime_ns}"
        seen = self._known.get(name)
        if seen is None or (seen.sha256 and not self._thumbnail_path(seen, side).is_file()):
            seen = self._read(path, side)
        self.images[name] = seen
        if seen.sha256:
            self._used.add(self._thumbnail_path(seen, side).name)
        return seen

    def _read(self, path: Path, side: int) -> Seen:
        try:
            image = read_rgb(path)
        except ValueError as error:
            return Seen("", 0, 0, str(error))
        seen = Seen(digest(image), image.width, image.height)
        write_atomically(self._thumbnail_path(seen, side), thumbnail(image, side))
        return seen

    def _thumbnail_path(self, seen: Seen, side: int) -> Path:
        return self.folder / f"{seen.sha256[:40]}-{side}.webp"

    def _load(self) -> dict[str, Seen]:
        try:
            data = load_json(self.folder / "cache.json", MAX_CACHE_BYTES)
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(data, dict) or data.get("schema") != 1:
            return {}
        pairs, images = data.get("pairs"), data.get("images")
        if isinstance(pairs, dict):
            self.pairs = {name: (value[0], value[1]) for name, value in pairs.items() if _is_distance(value)}
        if not isinstance(images, dict):
            return {}
        return {name: Seen(*value) for name, value in images.items() if _is_seen(value)}


def write_atomically(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write a file under a temporary name and rename it, so that a reader sees the old one or the new one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = (content,) if isinstance(content, str | bytes) else content
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            for part in parts:
                stream.write(part.encode("utf-8", "replace") if isinstance(part, str) else part)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _pair(a: Seen, b: Seen) -> str:
    return ":".join(sorted((a.sha256, b.sha256)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_distance(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2
    return pair and _is_number(value[0]) and value[0] >= 0 and (value[1] is None or _is_number(value[1]))


def _is_seen(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 4:
        return False
    sha256, width, height, error = value
    known = isinstance(sha256, str) and (sha256 == "" or (len(sha256) == 64 and _HEX.issuperset(sha256)))
    return known and type(width) is int and type(height) is int and isinstance(error, str)
