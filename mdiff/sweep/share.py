"""A sweep over several processes: the plan written down, a share for each worker, and what became of it."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, read_write

import mdiff
from mdiff.config.start import PLUGIN_FOLDER
from mdiff.run import CellOutcome
from mdiff.run.plan import PlannedCell, plan
from mdiff.run.store import STAGING, read_record, write_json
from mdiff.sweep.cells import Cells
from mdiff.sweep.page import Page
from mdiff.sweep.session import current

WATCH_S = 30.0


def launch_shares(launcher: Launcher, config: DictConfig, cells: Cells, workers: int | None) -> None:
    """Have the launcher's workers make the cells; how each ended is read from the folder, whoever made it."""
    session = current()
    before = {cell.folder for cell in plan(cells.jobs) if cell.done is not None}
    count = min(workers if workers is not None else _workers(config), len(cells.jobs))
    folder = cells.folder.absolute()
    with _written_plan(cells, folder) as path, _workers_find_mdiff():
        with read_write(config.hydra):  # wherever a worker starts, it is this folder
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")
            config.hydra.sweep.dir = str(folder)
        share = [f"++worker.plan='{path}'", f"++worker.count={count}"]
        watch = _Watch(cells)
        try:
            returned = launcher.launch([[*share, f"++worker.number={number}"] for number in range(count)], 0)
            for each in returned:
                _ = each.return_value
        except Exception as error:
            session.failures.append(f"a worker did not come to its end: {_reason(error)}")
        finally:
            watch.end()
    session.outcomes += [_outcome(cell, before) for cell in plan(cells.jobs)]


class _Watch:
    """Says how far the workers are, and keeps the page up to date, while the launcher waits for them."""

    def __init__(self, cells: Cells):
        self._cells, self._page = cells, Page(cells.folder)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(WATCH_S):
            made = sum((job.folder / "record.json").is_file() for job in self._cells.jobs)
            print(f"mdiff: {made}/{len(self._cells.jobs)} cells", file=sys.stderr, flush=True)
            self._page.refresh_now_and_then()


def _reason(error: BaseException) -> str:
    """The last line of the innermost error, which may be a traceback that came from the worker as text."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip(' "')]
    return lines[-1] if lines else type(error).__name__


def _workers(config: DictConfig) -> int:
    """As many as the launcher would run at once."""
    jobs = OmegaConf.select(config, "hydra.launcher.n_jobs")
    if isinstance(jobs, int) and jobs > 0:
        return jobs
    there = os.cpu_count()
    return there if there is not None else 1


@contextlib.contextmanager
def _written_plan(cells: Cells, folder: Path) -> Iterator[Path]:
    path = folder / STAGING / f"plan-{os.getpid()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    jobs = [
        {
            "requested": job.requested,
            "folder": str(job.folder.absolute()),
            "varies": job.varies,
            "number": job.number,
        }
        for job in cells.jobs
    ]
    write_json(path, {"cwd": str(Path.cwd()), "jobs": jobs})
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


@contextlib.contextmanager
def _workers_find_mdiff() -> Iterator[None]:
    """Let processes started in the block import mdiff and its plugins as this one does."""
    before = os.environ.get("PYTHONPATH")
    places = [str(PLUGIN_FOLDER), str(Path(mdiff.__file__).resolve().parent.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _outcome(cell: PlannedCell, before: set[Path]) -> CellOutcome:
    if cell.done is not None:
        status = "kept" if cell.folder in before else "complete"
        return CellOutcome(cell.job, status, cell.folder, record=dict(cell.done))
    if cell.problem is not None:
        return CellOutcome(cell.job, "failed", cell.folder, cell.problem)
    record = read_record(cell.folder)
    if record is not None and record["status"] == "failed":
        return CellOutcome(cell.job, "failed", cell.folder, record["error"]["message"], record)
    return CellOutcome(cell.job, "pending", cell.folder)
