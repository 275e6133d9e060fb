"""Where Hydra looks for plugins: it takes only classes of this namespace, and imports this file at every start.

The work is in `loralab.sweeper`, imported when a sweep begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """Runs a study (`hydra/sweeper=study`)."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra has composed."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study until it has its trials."""
        from loralab.sweeper import run_sweep

        assert self.hydra_context is not None
        assert self.config is not None
        run_sweep(arguments, config=self.config, context=self.hydra_context, task_function=self.task_function)


class SubprocessLauncher(Launcher):
    """Runs each job as a process of its own (`hydra/launcher=subprocess`)."""

    def __init__(self, **settings: Any) -> None:
        """Keeps what `conf/hydra/launcher/subprocess.yaml` says."""
        self._settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra has composed."""
        from loralab.sweeper import Processes

        self._processes = Processes(config, context=hydra_context, **self._settings)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs and gives how each ended."""
        return self._processes.launch(job_overrides, first=initial_job_idx)


class PackedLauncher(Launcher):
    """Trains jobs beside each other on one base (`hydra/launcher=packed`)."""

    def __init__(self, **settings: Any) -> None:
        """Keeps what `conf/hydra/launcher/packed.yaml` says."""
        self._settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra has composed."""
        from loralab.sweeper.packing import Packing  # which needs all that a run needs

        self.packing = Packing(config, context=hydra_context, **self._settings)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs and gives how each ended."""
        return self.packing.launch(job_overrides, first=initial_job_idx)
