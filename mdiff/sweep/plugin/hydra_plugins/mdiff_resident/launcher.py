"""The launcher that Hydra instantiates by name; all it does is in `mdiff.sweep`, imported when a sweep begins."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ResidentLauncher(Launcher):
    """Runs all cells of a batch in this process, with each model loaded once."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `launch` composes cells with."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Return a `JobReturn` for each list of overrides, in order, duplicates included."""
        from mdiff.config.loader import Loader
        from mdiff.sweep.resident import launch

        assert isinstance(self.hydra_context.config_loader, Loader)
        return launch(self.hydra_context.config_loader, self.config, job_overrides, initial_job_idx)
