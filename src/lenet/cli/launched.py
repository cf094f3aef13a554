"""What a launcher is given to run, around the job itself. It is sent to other processes."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import TaskFunction
from omegaconf import DictConfig

from lenet.errors import TimeUp
from lenet.sweeps.directory import FAILED


class SmallReturns(Callbacks):
    """The callbacks of a sweep; after a job's end they leave of what it returns only what is asked for.

    With both its configs a return has 30 KB, which a process sends in two steps. joblib's executor waits for the
    second for ever when the process is killed after the first; what is smaller is sent whole or not at all.
    """

    def __init__(self, callbacks: Callbacks) -> None:
        super().__init__()
        self.callbacks = callbacks.callbacks

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        super().on_job_end(config, job_return, **kwargs)
        job_return.cfg = job_return.hydra_cfg = None


class UnlessFailed:
    """A job that is not done once another one of its sweep has failed; a file says so, to any process."""

    def __init__(self, task: TaskFunction, directory: Path) -> None:
        self.task, self.directory = task, directory

    def __call__(self, config: DictConfig) -> Any:
        if (self.directory / FAILED).exists():
            with suppress(OSError):
                Path(HydraConfig.get().runtime.output_dir).rmdir()  # Hydra has made it
            return None
        try:
            return self.task(config)
        except TimeUp:  # the others go on
            raise
        except Exception:
            (self.directory / FAILED).touch()
            raise


class EndsWithSweep:
    """A job in a process of joblib's, which would train on and then wait forever once its sweep was killed."""

    watched = False  # whether this process is

    def __init__(self, task: TaskFunction) -> None:
        self.task, self.sweep = task, os.getpid()

    def __call__(self, config: DictConfig) -> Any:
        if not EndsWithSweep.watched and os.getpid() != self.sweep:  # with one job at a time it is the same process
            EndsWithSweep.watched = True
            threading.Thread(target=self._watch, daemon=True).start()
        return self.task(config)

    def _watch(self) -> None:
        import psutil

        with suppress(psutil.Error):  # it has ended already
            sweep = psutil.Process(self.sweep)
            # Linux hands this process on to another one; on Windows it keeps the number of one that is gone.
            while os.getppid() == self.sweep and sweep.is_running():
                time.sleep(0.5)
        os._exit(1)  # at once: the next job waits already, and checkpoints are written whole or not at all
