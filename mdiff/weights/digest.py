"""SHA-256 of weight files, remembered between runs so that a sweep does not read gigabytes to name them."""

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


def file_digest(path: Path) -> str:
    """Return the sha256 of the file's bytes.

    A file of the Hub's cache is named by its sha256 already. Others are hashed once and remembered in the user's cache
    folder by (real path, size, time of change); an unreadable or broken entry there only costs hashing again.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and _SHA256.fullmatch(real.name):
        return real.name
    status = real.stat()
    key = f"{real}\n{status.st_size}\n{status.st_mtime_ns}"
    entry = cache_folder() / "digests" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    with suppress(OSError, UnicodeDecodeError):
        known = entry.read_text("ascii").strip()
        if _SHA256.fullmatch(known):
            return known
    with real.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):  # a cache that cannot be written is only slower
        _write(entry, digest)
    return digest


def cache_folder() -> Path:
    """The user's cache folder for mdiff: ``$MDIFF_CACHE``, else ``mdiff`` below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if own := os.environ.get("MDIFF_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "mdiff"
    return Path(os.path.expanduser("~/.cache")) / "mdiff"  # noqa: PTH111 (Path.expanduser raises without a home)


def _write(entry: Path, digest: str) -> None:
    """Write beside and rename, so that a parallel reader sees the whole digest or none."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=entry.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(digest)
        Path(name).replace(entry)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
