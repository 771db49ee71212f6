"""`check=record`: an experiment's `expect` written anew, and the pictures beside it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from mdiff.config.expect import Expectation
from mdiff.errors import MdiffError
from mdiff.report.raster import digest, read_rgb
from mdiff.run.store import write_text
from mdiff.sweep.summary import counted

_BLOCK = re.compile(r"^expect:.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def record(expected: Expectation, images: Mapping[str, Path]) -> str:
    """Expect `images`, files by label, from now on; return what to print.

    The `expect` of the experiment's file is replaced, everything else in it stays as it is; where a run has no
    experiment's file, what belongs into one is in the returned text.
    """
    pictures = {label: read_rgb(path) for label, path in sorted(images.items())}
    block = _block(expected, {label: digest(picture) for label, picture in pictures.items()})
    if expected.file is None:
        return f"{block}\nThis belongs into an experiment's file, where check=true finds it."
    text = _replaced(expected.file, block)
    if expected.reference is not None:
        for label, picture in pictures.items():
            path = expected.reference / label
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path, "PNG", optimize=True)  # without the recipe, whose versions are not what is expected
            except OSError as error:
                raise MdiffError(f"cannot write {path}: {error.strerror}") from error
        for label in expected.images.keys() - pictures.keys():
            (expected.reference / label).unlink(missing_ok=True)
    write_text(expected.file, text)
    beside = f", pictures in {expected.reference}" if expected.reference is not None else ""
    return f"check: {counted(len(pictures), 'image')} expected from now on by {expected.file}{beside}"


def _block(expected: Expectation, digests: Mapping[str, str]) -> str:
    lines = ["expect:"]
    if expected.reference is not None and expected.file is not None:
        folder = expected.reference.relative_to(expected.file.parent.resolve()).as_posix()
        lines += [f"  reference: {_quoted(folder)}", f"  tolerance: {expected.tolerance}"]
    lines.append("  images:")
    lines += [f"    {_quoted(label)}: {_quoted(value)}" for label, value in digests.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _replaced(file: Path, block: str) -> str:
    """The experiment's text with its `expect`, or with one behind it where it had none."""
    try:
        before = file.read_text(encoding="utf-8")
    except OSError as error:
        raise MdiffError(f"cannot read {file}: {error.strerror}") from error
    if _BLOCK.search(before):
        text = _BLOCK.sub(lambda _: block, before, count=1)
    else:
        text = f"{before.rstrip()}\n\n{block}"
    if _without_expect(before) != _without_expect(text):
        raise MdiffError(f"{file} is written in a way that its expect cannot be replaced; put this into it:\n{block}")
    return text


def _without_expect(text: str) -> object:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return {key: value for key, value in content.items() if key != "expect"} if isinstance(content, dict) else None
