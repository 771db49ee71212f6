"""Making an image again from what it carries."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mdiff.config.job import job_from
from mdiff.errors import MdiffError
from mdiff.replay.chunk import read_texts
from mdiff.replay.override import apply_overrides, compose, parse_overrides
from mdiff.replay.recipe import CONDUCT, Recipe, check_paths, parse_recipe
from mdiff.replay.verdict import Comparison, compare, differences, printable, settings_that_differ
from mdiff.replay.webui import parse_parameters
from mdiff.report.raster import read_rgb
from mdiff.run import CellOutcome, run_jobs
from mdiff.run.job import Job


@dataclasses.dataclass(frozen=True)
class Replay:
    """What came of it: the new file, how it compares, and what differed between then and now.

    `variation` is true where something else was asked for than the image was made with; then a difference is no fault.
    `notes` are sentences on what the image does not say, or says of itself.
    """

    image: Path
    made: Path
    comparison: Comparison
    variation: bool
    differences: tuple[str, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """An image whose recipe has been checked, and the job that makes it again."""

    source: Path
    picture: Image.Image
    job: Job
    recipe: Recipe | None
    changed: tuple[str, ...]
    unsaid: tuple[str, ...]


def replay(
    image: str | Path, out: str | Path | None = None, words: Sequence[str] = (), *, config_dir: str | None = None
) -> Replay:
    """Make the image again, from its own recipe or a web UI's text, with `words` (``key=value``) on top.

    It goes to `out`, by default a folder of its own in ``outputs/replay/``. MdiffError for a file without a recipe, a
    recipe that is broken or names what it may not, and for everything that `python -m mdiff` refuses.
    """
    return _run([_prepare(Path(image), None if out is None else Path(out), words, config_dir)], words)[0]


def replay_all(
    images: Sequence[str | Path],
    out: str | Path | None = None,
    words: Sequence[str] = (),
    *,
    config_dir: str | None = None,
) -> list[Replay]:
    """Make several images again in one go, each in its own folder below `out`; nothing runs if one is refused."""
    below = Path("outputs", "replay") if out is None else Path(out)
    folders = [below / _name(Path(image)) for image in images]
    folders = [f.with_name(f"{f.name}-{at}") if f in folders[:at] else f for at, f in enumerate(folders)]
    paths = zip((Path(image) for image in images), folders, strict=True)
    return _run([_prepare(source, folder, words, config_dir) for source, folder in paths], words)


def _prepare(source: Path, folder: Path | None, words: Sequence[str], config_dir: str | None) -> _Prepared:
    folder = Path("outputs", "replay", _name(source)) if folder is None else folder
    if folder.resolve() == source.resolve().parent:
        raise MdiffError(f"--out {folder} is the folder that {source.name} is in and would be replaced; choose another")
    texts = read_texts(source)
    if "mdiff" in texts:
        return _from_recipe(source, parse_recipe(texts["mdiff"], source), folder, words, config_dir)
    if "parameters" in texts:
        return _from_web_ui(source, texts["parameters"], folder, words, config_dir)
    raise MdiffError(
        f"{source} carries no recipe: it has neither the text 'mdiff' nor a web UI's 'parameters' "
        "(saving a picture in another program mostly drops them)"
    )


def _from_recipe(source: Path, recipe: Recipe, folder: Path, words: Sequence[str], config_dir: str | None) -> _Prepared:
    overrides = parse_overrides(words)
    check_paths(recipe.config, overrides.keys, source)
    before = recipe.single()
    job = job_from(apply_overrides(before, overrides, config_dir), folder)
    changed = settings_that_differ(before, job.requested)
    return _Prepared(source, _picture(source), job, recipe, tuple(changed), ())


def _from_web_ui(source: Path, text: str, folder: Path, words: Sequence[str], config_dir: str | None) -> _Prepared:
    said = parse_parameters(text, source)
    taken = parse_overrides(words)
    own = [word for word in said.overrides if word.partition("=")[0] not in taken.keys]
    config = compose([*own, *(f"{group}={file}" for group, file in taken.groups.items())], config_dir)
    config["prompt"].update(text=said.prompt, negative=said.negative_prompt, file=None)
    job = job_from(apply_overrides({**config, **CONDUCT}, dataclasses.replace(taken, groups={})), folder)
    return _Prepared(source, _picture(source), job, None, (), tuple(printable(note) for note in said.unsaid))


def _run(prepared: Sequence[_Prepared], words: Sequence[str]) -> list[Replay]:
    """Run every job in one session, so that a model is loaded and compiled once."""
    outcomes = run_jobs([each.job for each in prepared])
    return [_finish(each, outcome, bool(words)) for each, outcome in zip(prepared, outcomes, strict=True)]


def _finish(prepared: _Prepared, outcome: CellOutcome, asked: bool) -> Replay:
    source, job, recipe, record = prepared.source, prepared.job, prepared.recipe, outcome.record
    if outcome.status != "complete" or record is None:
        reason = outcome.error if outcome.error is not None else f"the run ended as {outcome.status!r}"
        raise MdiffError(f"{source} could not be made again: {reason}")
    made = outcome.folder / record["images"][0]["file"]
    if recipe is None:
        return Replay(source, made, compare(prepared.picture, made, None), True, (), prepared.unsaid)
    comparison = compare(prepared.picture, made, recipe.sha256)
    in_effect = {name: record["effective"].get(name) for name in recipe.effective}
    differing = [
        *prepared.changed,
        *_weights(recipe, job, record),
        *differences("in effect", recipe.effective, in_effect),
        *differences("version", recipe.versions, record["versions"]),
    ]
    notes = []
    if comparison.edited:
        notes.append(f"the pixels of {source} are not those that its recipe names: it was changed after it was made")
    if not comparison.identical and job.batch != 1:
        notes.append(
            f"engine.batch is {job.batch}: images that share a network call round differently, with engine.batch=1 none"
        )
    return Replay(source, made, comparison, asked and bool(prepared.changed), tuple(differing), tuple(notes))


def _picture(source: Path) -> Image.Image:
    try:
        return read_rgb(source)
    except ValueError as error:
        raise MdiffError(f"the picture cannot be read: {error}") from error


def _weights(recipe: Recipe, job: Job, record: Mapping[str, Any]) -> list[str]:
    """Return a sentence, with the files, for every component whose weights are not the recipe's."""
    found = []
    for name in dict.fromkeys([*recipe.weights, *record["weights"]]):
        then, now = recipe.weights.get(name), record["weights"].get(name)
        if then != now:
            digests = f"{_short(then)} then, {_short(now)} now"
            found.append(f"weights: {printable(name)} is not the same ({digests}){_where(job, name)}")
    return found


def _where(job: Job, name: str) -> str:
    """The files of a component, for a message."""
    from mdiff.model import describe

    description = describe(job.model)
    if name in description.components:
        files = [str(path) for path in description.components[name].weights.files]
    else:
        files = [str(tokenizer.path) for tokenizer in description.tokenizers if tokenizer.name == name]
    return f": {', '.join(files[:4])}{', …' if len(files) > 4 else ''}" if files else ""


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"sha256 {printable(digest[:12])}…"


def _name(source: Path) -> str:
    """The name of a new image's folder, after the old image and its folder."""
    name = re.sub(r"[^\w.-]+", "-", f"{source.absolute().parent.name}-{source.stem}").strip("-.")[-80:]
    return name if name else "image"
