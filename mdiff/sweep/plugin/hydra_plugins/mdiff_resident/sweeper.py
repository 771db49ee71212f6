"""Every combination of the values given, as Hydra's basic sweeper lists them, and nothing written before all hold."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper without its `multirun.yaml` and its second composition of every cell.

    Launchers of several processes get a share of the cells for each of `workers`, in place of a job for each cell.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None, workers: int | None = None):
        super().__init__(max_batch_size, params)
        self.workers = workers

    def sweep(self, arguments: list[str]) -> Any:
        """Launch the whole grid, in batches only where `max_batch_size` asks for them."""
        from mdiff.sweep.grid import sweep_grid

        return sweep_grid(self, arguments, self.workers)
