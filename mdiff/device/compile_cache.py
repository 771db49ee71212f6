"""Compiled graphs kept between processes, so that the second process of a shape starts at once.

MindSpore (2.7 to 2.10, measured) numbers the graphs that a process compiles while its cache is enabled, and takes the
file of that number from the one folder that the process began with, whatever shape or network it was made for: a graph
of another shape gives wrong results silently. So the safety is here. A folder belongs to one state of the code, one
MindSpore, one purpose and one first graph; its manifest says which graph each number is, with the digest of its file.
A graph that is not the next one of the manifest is compiled without the cache, which leaves MindSpore's count alone.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

KEPT_FOLDERS, KEPT_BYTES = 24, 2**30
IN_USE_S = 60.0  # a folder that was opened this recently is left alone
_NAME = re.compile(r"[0-9a-f]{24}")
OFF = "off"


class CompileCache:
    """The graphs of this process, in the order in which they are compiled; there is one such order a process."""

    def __init__(self, root: Path):
        self._root = root
        self._folder: Path | None = None
        self._manifest: list[dict[str, str]] = []
        self._count = 0
        self._lock: int | None = None
        self._purpose = ""
        self._aside = False

    def begin(self, purpose: str) -> None:
        """Say what the process is about to compile; processes of other purposes keep their graphs elsewhere.

        The graphs of a process that makes one image and of a sweep that makes eight at a time begin alike (with the
        text encoder) and then part; without this the sweep would find the other's graphs in its way for ever. Once
        anything was compiled there is no choice any more.
        """
        if self._folder is None:
            self._purpose = purpose

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Compile what is no part of the process's usual order (trials) without the cache, in the block."""
        self._aside = True
        try:
            yield
        finally:
            self._aside = False

    def compile(self, key: str, call: Callable[[], Any]) -> bool:
        """Run `call`, which compiles the graph that `key` describes in full (network, shapes, types, device).

        Returns whether the graph was read from the cache.
        """
        import mindspore as ms

        try:
            usable = not self._aside and self._next_is(key)
        except OSError:
            usable = False  # no home to write to, or no room: the cache is a convenience
        if not usable:
            ms.set_context(enable_compile_cache=False)
            call()
            return False
        known = self._count < len(self._manifest)
        ms.set_context(enable_compile_cache=True, compile_cache_path=str(self._folder))
        try:
            call()
        finally:
            ms.set_context(enable_compile_cache=False)
            self._count += 1
        if not known:
            with contextlib.suppress(OSError):
                self._append(key)
        return known

    def _next_is(self, key: str) -> bool:
        """Whether this graph may be read from, or written to, the place of the next number."""
        if not Path(sys.argv[0]).is_file():
            return False  # MindSpore hashes the entry script's source, and a prompt or `python -c` has none
        if self._folder is None:
            self._open(key)
        if self._count < len(self._manifest):
            return self._manifest[self._count]["key"] == key
        return self._count == len(self._manifest) and self._locked()

    def _open(self, key: str) -> None:
        identity = f"{_process_identity()}\n{self._purpose}\n{key}"
        self._folder = self._root / hashlib.sha256(identity.encode()).hexdigest()[:24]
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(self._folder)
        manifest = self._folder / "manifest.json"
        try:
            self._manifest = json.loads(manifest.read_text()) if manifest.exists() else []
            whole = all(_digest(self._graph(i)) == entry["sha256"] for i, entry in enumerate(self._manifest))
        except (OSError, ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            warnings.warn(
                f"the compile cache in {self._folder} is damaged or not mdiff's; compiling anew", stacklevel=2
            )
            self._manifest = []
            if self._locked():
                manifest.unlink(missing_ok=True)
                shutil.rmtree(self._folder / "rank_0", ignore_errors=True)
        self._prune()

    def _graph(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / "rank_0" / "graph_cache" / f"compile_cache_{number}.mindir"

    def _locked(self) -> bool:
        """Take the folder's lock for as long as the process lives, and clear what a killed writer left."""
        assert self._folder is not None
        if self._lock is None:
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        self._graph(self._count).unlink(missing_ok=True)
        return True

    def _append(self, key: str) -> None:
        assert self._folder is not None
        self._manifest.append({"key": key, "sha256": _digest(self._graph(self._count - 1))})
        partial = self._folder / "manifest.part"
        partial.write_text(json.dumps(self._manifest, indent=1))
        partial.replace(self._folder / "manifest.json")

    def _prune(self) -> None:
        """Remove the folders that were used longest ago, beyond the number and the bytes that are kept.

        Whatever else lies in the root, which the user may have chosen, is none of the cache's business.
        """
        own = [folder for folder in self._root.iterdir() if _NAME.fullmatch(folder.name) and folder.is_dir()]
        total = 0
        for place, folder in enumerate(sorted(own, key=lambda folder: -folder.stat().st_mtime)):
            total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            beyond = place >= KEPT_FOLDERS or total > KEPT_BYTES
            if beyond and time.time() - folder.stat().st_mtime > IN_USE_S:
                shutil.rmtree(folder, ignore_errors=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _process_identity() -> str:
    """Everything beside the graph's own key that decides what a compiled graph is."""
    package = Path(__file__).parent.parent
    sources = hashlib.sha256()
    for path in sorted([*(package / "nn").rglob("*.py"), *(package / "device").rglob("*.py")]):
        sources.update(path.read_bytes())
    facts = {
        "sources": sources.hexdigest(),
        "mindspore": metadata.version("mindspore"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "entry": str(Path(sys.argv[0]).resolve()),
    }
    return json.dumps(facts, sort_keys=True)


@functools.cache
def compile_cache() -> CompileCache | None:
    """The cache of this process, below the user's cache folder; None where ``MDIFF_COMPILE_CACHE=off``."""
    chosen = os.environ.get("MDIFF_COMPILE_CACHE")
    if chosen == OFF:
        return None
    if chosen:
        return CompileCache(Path(chosen).absolute())
    return CompileCache(cache_folder() / "compile")


def cache_folder() -> Path:
    """Return where mdiff keeps what it can do without, below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mdiff"
