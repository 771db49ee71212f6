"""The default sweeper: a grid, checked as a whole, launched in one batch or as one share for each worker."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from mdiff.config.loader import Loader
from mdiff.sweep.cells import cells_of
from mdiff.sweep.plan import print_plan
from mdiff.sweep.session import current


def sweep_grid(sweeper: BasicSweeper, arguments: Sequence[str], workers: int | None) -> list[Sequence[JobReturn]]:
    """Launch every combination of the values in `arguments` and in the sweeper's own `params`."""
    assert sweeper.hydra_context is not None and sweeper.launcher is not None and sweeper.config is not None
    loader, launcher = sweeper.hydra_context.config_loader, sweeper.launcher
    assert isinstance(loader, Loader)
    parser = OverridesParser.create(config_loader=loader)
    lines = [*sweeper._parse_config(), *arguments]  # of two lines for one key the command line's, the last, counts
    batches: list[list[list[str]]] = BasicSweeper.split_arguments(parser.parse_overrides(lines), sweeper.max_batch_size)
    if not _is_resident(launcher):
        cells = cells_of(loader, sweeper.config, [line for batch in batches for line in batch])
        current().folder = cells.folder
        if sweeper.config.dry_run:
            print_plan(cells)
            return []
        if not isinstance(launcher, BasicLauncher):
            from mdiff.sweep.share import launch_shares

            launch_shares(launcher, sweeper.config, cells, workers)
            return []
    returned: list[Sequence[JobReturn]] = []
    first = 0
    for batch in batches:
        returned.append(launcher.launch(batch, initial_job_idx=first))
        first += len(batch)
    if not _is_resident(launcher):
        current().outcomes += [job.return_value for batch in returned for job in batch]
    return returned


def _is_resident(launcher: Launcher) -> bool:
    return type(launcher).__name__ == "ResidentLauncher"
