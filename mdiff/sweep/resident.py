"""The resident launcher: all cells of a batch in one process and one call, the models staying loaded."""

from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from mdiff.config.loader import Loader
from mdiff.run import CellOutcome, Job, run_jobs
from mdiff.sweep.cells import cells_of
from mdiff.sweep.objective import objective
from mdiff.sweep.others import settle_busy
from mdiff.sweep.page import Page
from mdiff.sweep.session import current


class CellReturn(JobReturn):
    """A `JobReturn` that does not raise for a failed cell, so that the sweeper goes on with its other batches."""

    @property
    def return_value(self) -> Any:
        """The cell's objective, None where it has none."""
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def launch(
    loader: Loader, master: DictConfig, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
) -> list[JobReturn]:
    """Run the cells that the lists of overrides stand for; return one `JobReturn` a list, in order."""
    HydraConfig.instance().set_config(master)
    cells = cells_of(loader, master, job_overrides, initial_job_idx)
    session = current()
    session.folder = cells.folder
    if master.dry_run:
        from mdiff.sweep.plan import print_plan

        print_plan(cells)
        return [_returned(lines, None, None) for lines in job_overrides]
    cells.folder.mkdir(parents=True, exist_ok=True)  # Optuna writes its results there
    page = Page(cells.folder)

    def run(jobs: Sequence[Job]) -> list[CellOutcome]:
        return run_jobs(jobs, stop=session.interrupt, on_cell=lambda _: page.refresh_now_and_then())

    outcomes = settle_busy(run(cells.jobs), session.interrupt, run)
    session.outcomes += outcomes
    values = [objective(outcome) for outcome in outcomes]
    return [_returned(lines, outcomes[at], values[at]) for lines, at in zip(job_overrides, cells.index, strict=True)]


def _returned(overrides: Sequence[str], outcome: CellOutcome | None, value: Any) -> JobReturn:
    made = outcome is None or outcome.status in ("complete", "kept")
    returned = CellReturn(
        overrides=list(overrides),
        working_dir=None if outcome is None else str(outcome.folder),
        task_name="mdiff",
        status=JobStatus.COMPLETED if made else JobStatus.FAILED,
    )
    returned.return_value = value
    return returned
