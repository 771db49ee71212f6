"""The cells of a sweep: composed, checked all together before anything is loaded, named, duplicates dropped."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mdiff.config.cell import given, sweep_folder
from mdiff.config.explain import COMPOSITION_ERRORS, as_config_error
from mdiff.config.folder import HASH_LENGTH, cell_name, place, present
from mdiff.config.job import job_from
from mdiff.config.loader import Loader
from mdiff.config.problem import ConfigError
from mdiff.errors import MdiffError
from mdiff.run.job import Job
from mdiff.sweep.compose import Composer

TOLD_AT_MOST = 20
CHECK = ("check", "expect", "expect.tolerance", "expect.reference")


@dataclass(frozen=True)
class Cells:
    """The distinct cells of a sweep, and for each list of overrides which of them it is."""

    folder: Path
    jobs: tuple[Job, ...]
    index: tuple[int, ...]
    varying: tuple[str, ...]


def cells_of(loader: Loader, master: DictConfig, overrides: Sequence[Sequence[str]], first: int = 0) -> Cells:
    """Return the cells that lists of overrides stand for; every mistake in any of them is told at once.

    `master` is the sweep's own config, `first` the number of the first cell. Raises `ConfigError`.
    """
    folder = sweep_folder(master)
    composer = Composer(loader, master)
    _refuse_conduct(composer, overrides)
    checked = _Checked(composer, overrides, first)
    for number in _cover(overrides):  # each override once: a typo in the last cell is told before the others compose
        checked.check(number)
    checked.raise_any()
    for number in range(len(overrides)):
        checked.check(number)
    checked.raise_any()

    said = [given([composer.parse(line) for line in lines]) for lines in overrides]
    varying = keys_that_vary(said)
    there = present(folder)
    jobs: dict[Path, Job] = {}
    homes = []
    for number, job in sorted(checked.jobs.items()):
        named = {key: value for key, value in said[number].items() if key in varying}
        batch = {"engine.batch": job.batch} if "engine.batch" in varying else None
        home = place(folder, cell_name(job, named, batch), there)
        there[home.name[-HASH_LENGTH:]] = home.name
        jobs.setdefault(home, replace(job, folder=home, varies=said[number], number=first + len(jobs)))
        homes.append(home)
    position = {home: at for at, home in enumerate(jobs)}
    return Cells(folder, tuple(jobs.values()), tuple(position[home] for home in homes), varying)


class _Checked:
    """Composes and validates cells one by one, and gathers their mistakes."""

    def __init__(self, composer: Composer, overrides: Sequence[Sequence[str]], first: int):
        self.composer, self.overrides, self.first = composer, overrides, first
        self.jobs: dict[int, Job] = {}
        self.problems: dict[str, int] = {}

    def check(self, number: int) -> None:
        if number in self.jobs:
            return
        try:
            self.jobs[number] = job_from(self.composer.compose(self.overrides[number], self.first + number))
        except MdiffError as error:
            self._note(error, number)
        except COMPOSITION_ERRORS as error:
            self._note(as_config_error(error), number)

    def raise_any(self) -> None:
        if not self.problems:
            return
        several = len(self.overrides) > 1
        told = [
            f"{sentence} (in the cell {_shown(self.overrides[number])})" if several else sentence
            for sentence, number in self.problems.items()
        ]
        if len(told) > TOLD_AT_MOST:
            told = [*told[:TOLD_AT_MOST], f"and {len(told) - TOLD_AT_MOST} more mistakes"]
        raise ConfigError(told)

    def _note(self, error: MdiffError, number: int) -> None:
        for sentence in error.problems if isinstance(error, ConfigError) else (str(error),):
            self.problems.setdefault(sentence, number)


def _cover(overrides: Sequence[Sequence[str]]) -> Iterator[int]:
    """A few cells in which every override appears at least once."""
    seen: set[str] = set()
    for number, lines in enumerate(overrides):
        if not seen.issuperset(lines):
            seen.update(lines)
            yield number


def keys_that_vary(said: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the keys that do not have one value in all cells."""
    keys = dict.fromkeys(key for each in said for key in each)
    return tuple(key for key in keys if len({repr(each.get(key)) for each in said}) > 1)


def _refuse_conduct(composer: Composer, overrides: Sequence[Sequence[str]]) -> None:
    """`name=a,b` would put the same cells into two folders, `resume=true,false` make and keep them."""
    said = Counter(composer.parse(line).key_or_group for line in {line for lines in overrides for line in lines})
    for key in ("name", "resume", "on_error", "dry_run", "output", "output.dir", *CHECK):
        if said[key] > 1:
            raise ConfigError([f"{key} cannot vary within a sweep; it has one value for all cells"])


def _shown(lines: Sequence[str]) -> str:
    return " ".join(line if len(line) <= 60 else line[:59] + "…" for line in lines)
