"""Names and paths that come from a config stay inside the output folder."""

import os
import unicodedata
from pathlib import Path, PurePath

from mdiff.errors import MdiffError


def check_name(key: str, value: object) -> str:
    """Return `value` as a relative folder name below the output folder; `a/b` nests, nothing leads outside."""
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(name, str) or not name.strip():
        raise MdiffError(f"{key} must be a folder's name, got {value!r}")
    if PurePath(name).is_absolute() or any(part in ("", ".", "..") for part in name.split("/")):
        raise MdiffError(f"{key}={name!r} leaves the output folder; give a plain name such as 'portraits'")
    if any(unicodedata.category(character).startswith("C") for character in name) or "\\" in name:
        raise MdiffError(f"{key}={name!r} has characters that no folder's name should have")
    if any(len(part.encode()) > 200 for part in name.split("/")):
        raise MdiffError(f"{key} is too long for a folder's name ({len(name.encode())} bytes); keep it under 200")
    return name


def check_inside(key: str, folder: str | Path, root: str | Path) -> Path:
    """Return `folder` as an absolute path, an error where it does not lie below `root` (both as written)."""
    inside, outer = (Path(os.path.normpath(Path(each).absolute())) for each in (folder, root))
    if not inside.is_relative_to(outer):
        raise MdiffError(f"{key}={str(folder)!r} lies outside the output folder {str(root)!r}")
    return inside


def check_output_dir(value: object, *, by_user: bool) -> str:
    """Return the output folder; one that leaves the current folder has to come from the command line itself."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise MdiffError(f"output.dir must be a folder, got {value!r}")
    if not by_user and (PurePath(value).is_absolute() or ".." in PurePath(value).parts):
        raise MdiffError(
            f"output.dir={value!r} from a config file leads out of the current folder; "
            f"if that is meant, give it on the command line: output.dir={value}"
        )
    return value


def check_writable(folder: Path) -> None:
    """Raise where `folder` cannot be written or made; writes nothing."""
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise MdiffError(f"cannot write results to {folder}: {place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MdiffError(f"cannot write results to {folder}: {place} is not writable; choose another with output.dir=")
