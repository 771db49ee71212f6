"""Where a result was made: versions, git state, memory."""

import functools
import platform
import resource
import subprocess
import sys
from importlib import metadata
from typing import Any

import mdiff


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what takes part in a picture, without importing any of it."""
    return {
        "mdiff": mdiff.__version__,
        "mindspore": metadata.version("mindspore"),
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


@functools.cache
def git_state() -> dict[str, Any] | None:
    """Commit of the repository around the working directory and whether it has changes; None outside one."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.strip()


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)
