"""One weight file by its path, in a folder, or in a Hub repository."""

from collections.abc import Sequence
from pathlib import Path

from mdiff.errors import MdiffError
from mdiff.model.source import Lora, Part
from mdiff.weights.hub import HubOptions, is_hub_id, open_repository

_PICKLES = (".bin", ".pt", ".ckpt")


def find_file(what: str, source: Lora | Part, hub: HubOptions) -> Path:
    """Return a path that is a file; else `file` or the only safetensors file of a folder or of a Hub repository.

    `what` names the thing in messages.
    """
    path = Path(source.path).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return path / choose_file(what, source.file, [entry.name for entry in path.iterdir()])
    if not is_hub_id(source.path):
        raise MdiffError(f"{what} is missing: there is no such file or folder, and it is no Hub id")
    repository = open_repository(source.path, source.revision, hub)
    name = choose_file(what, source.file, list(repository.files))
    return repository.fetch([name]) / name


def choose_file(what: str, file: str | None, names: Sequence[str]) -> str:
    """Return `file`, which must be among `names`, or the only safetensors file at their top."""
    if file is not None:
        if file not in names:
            raise MdiffError(f"{what} has no file {file!r}; it has {', '.join(sorted(names)[:20])}")
        return file
    found = sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    if len(found) == 1:
        return found[0]
    if found:
        raise MdiffError(f"{what} has several files: say which, as file: {found[0]} ({', '.join(found[:20])})")
    if any(name.endswith(_PICKLES) for name in names):
        raise MdiffError(f"{what} has only pickles, which can run code when loaded; safetensors are needed")
    raise MdiffError(f"{what} has no safetensors file")
