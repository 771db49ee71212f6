"""Repositories of the Hugging Face Hub at one commit: what they have, and files from the Hub or its cache on disk."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARALLEL = 4  # downloads at once: small files wait for answers more than for bytes
_TIMEOUT = 10.0  # seconds until a Hub that does not answer counts as out of reach


@dataclass(frozen=True)
class HubOptions:
    """How to reach the Hub; None and False mean what its own environment variables say (HF_TOKEN, HF_HUB_CACHE …)."""

    token: str | None = field(default=None, repr=False)
    cache_dir: str | None = None
    offline: bool = False


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its size in bytes and, for large files, the sha256 of its content."""

    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Repository:
    """A repository at `commit`; `files` by name are those of the Hub, or out of its reach those in the cache.

    `unreachable` says why the Hub was not asked; None where it was.
    """

    id: str
    revision: str | None
    commit: str
    files: Mapping[str, RemoteFile]
    options: HubOptions
    unreachable: str | None

    def has(self, names: Sequence[str]) -> bool:
        """Whether every one of these files is in the repository (or, out of the Hub's reach, in the cache)."""
        return all(name in self.files for name in names)

    def fetch(self, names: Sequence[str]) -> Path:
        """Return the folder of the commit on disk, in which each file now is, whole; missing ones are downloaded."""
        if self.unreachable is not None:
            if missing := [name for name in names if name not in self.files]:
                raise missing_files(self.id, self.revision, missing, names, self.unreachable)
            return _snapshot(self.id, self.commit, self.options)
        from huggingface_hub import hf_hub_download

        where: Any = {"revision": self.commit, "cache_dir": self.options.cache_dir, "token": self.options.token}

        def download(name: str) -> None:
            try:
                with _explained(self.id, self.revision):
                    hf_hub_download(self.id, name, **where)
            except _Unreachable as error:
                raise MdiffError(
                    f"the download of {name} of {self.id} broke off ({error}); the same command takes it up again"
                ) from None

        with _progress(), ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(download, names))
        _remember_commit(self)
        return _snapshot(self.id, self.commit, self.options)


def is_hub_id(path: str) -> bool:
    """Whether `path` has the form ``owner/name``."""
    return _ID.fullmatch(path) is not None and ".." not in path


@lru_cache(maxsize=64)
def open_repository(repo_id: str, revision: str | None = None, options: HubOptions | None = None) -> Repository:
    """Ask the Hub which commit `revision` is and what it has; out of its reach, look into the cache.

    Raises MdiffError where there is no such repository or revision, where access is refused, and where neither the
    Hub can be reached nor anything is in the cache. The answer holds for the life of the process.
    """
    options = HubOptions() if options is None else options
    from huggingface_hub import constants

    if options.offline or constants.HF_HUB_OFFLINE:
        return cached_repository(repo_id, revision, options, "HF_HUB_OFFLINE is set or offline was asked for")
    from huggingface_hub import HfApi

    try:
        with _explained(repo_id, revision):
            info = HfApi(token=options.token).model_info(
                repo_id, revision=revision, files_metadata=True, timeout=_TIMEOUT
            )
    except _Unreachable as error:
        return cached_repository(repo_id, revision, options, f"the Hub cannot be reached ({error})")
    return Repository(repo_id, revision, str(info.sha), _files(info), options, None)


def cached_repository(repo_id: str, revision: str | None, options: HubOptions, why: str) -> Repository:
    """The commit that `revision` had when it was last downloaded, with the files that are whole in the cache."""
    commit = _cached_commit(repo_id, revision, options)
    folder = None if commit is None else _snapshot(repo_id, commit, options)
    if commit is None or folder is None or not folder.is_dir():
        raise missing_files(repo_id, revision, (), (), why)
    # A link whose blob is not there yet does not exist for is_file: what an interrupted download left is never used.
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {name: RemoteFile((folder / name).stat().st_size) for name in names}
    return Repository(repo_id, revision, commit, files, options, why)


def missing_files(
    repo_id: str, revision: str | None, missing: Sequence[str], wanted: Sequence[str], why: str
) -> MdiffError:
    """The error that says which files are missing, and how to bring all that are `wanted` without network."""
    at = "" if revision is None else f" --revision {revision}"
    if missing:
        what = f"the Hub's cache lacks {', '.join(missing)} of {repo_id}"
    else:
        what = f"nothing of {repo_id}{'' if revision is None else f' at {revision}'} is in the Hub's cache"
    listed = " ".join(wanted) if wanted else "--include '*.json' --include '*.txt' --include '*.safetensors'"
    return MdiffError(
        f"{why}, and {what}; where there is network, run `hf download {repo_id}{at} {listed} --local-dir FOLDER`, "
        "then bring FOLDER here and set model.path to it"
    )


class _Unreachable(Exception):
    """The Hub did not answer."""


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn the client's errors into sentences; one that is about the connection into `_Unreachable`."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise MdiffError(
            f"access to {repo_id} is gated: accept its licence at https://huggingface.co/{repo_id} and set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise MdiffError(f"{repo_id} has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise MdiffError(
            f"the Hub has no repository {repo_id!r} that you may read (check the name; a private one needs HF_TOKEN), "
            "and there is no such folder here"
        ) from None
    except errors.HFValidationError as error:
        raise MdiffError(f"{repo_id!r} is no valid Hub id: {error}") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 500)
        if status >= 500 or status == 429:
            raise _Unreachable(_brief(error)) from None
        raise MdiffError(f"the Hub refused {repo_id}: {_brief(error)}") from None
    except OSError as error:
        if getattr(error, "errno", None) is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise MdiffError(f"{repo_id} cannot be written to the Hub's cache: {error}") from None
        raise _Unreachable(_brief(error)) from None
    except Exception as error:  # the client's transport has its own errors, which differ from version to version
        raise _Unreachable(_brief(error)) from None


def _brief(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


@contextmanager
def _progress() -> Iterator[None]:
    """The client's progress bars, where stderr is a terminal."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _files(info: Any) -> dict[str, RemoteFile]:
    found = {}
    for entry in info.siblings or []:
        lfs = entry.lfs
        sha256 = lfs.get("sha256") if isinstance(lfs, Mapping) else getattr(lfs, "sha256", None)
        found[entry.rfilename] = RemoteFile(entry.size, sha256)
    return found


def _cache(repo_id: str, options: HubOptions) -> Path:
    from huggingface_hub import constants

    folder = Path(options.cache_dir if options.cache_dir is not None else constants.HF_HUB_CACHE)
    return folder / ("models--" + repo_id.replace("/", "--"))


def _snapshot(repo_id: str, commit: str, options: HubOptions) -> Path:
    return _cache(repo_id, options) / "snapshots" / commit


def _remember_commit(repository: Repository) -> None:
    """Note in the cache, as the client does for a branch, which commit it was, so that it is found without network."""
    if repository.revision is not None and _COMMIT.fullmatch(repository.revision):
        return
    ref = _ref(repository.id, repository.revision, repository.options)
    with suppress(OSError):  # a cache that others own is still good to read
        if not ref.exists() or ref.read_text("ascii") != repository.commit:
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(repository.commit, "ascii")


def _ref(repo_id: str, revision: str | None, options: HubOptions) -> Path:
    """The file of the cache that holds the commit of a branch or tag."""
    name = "main" if revision is None else revision
    if ".." in name.split("/") or name.startswith("/"):
        raise MdiffError(f"model.revision is {name!r}, which is no branch, tag or commit")
    return _cache(repo_id, options) / "refs" / name


def _cached_commit(repo_id: str, revision: str | None, options: HubOptions) -> str | None:
    """The commit that a branch or tag had at the last download."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    try:
        commit = _ref(repo_id, revision, options).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None
