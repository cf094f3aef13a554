"""One job of a sweep: all of it, the rest of it, or nothing."""

import dataclasses
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import lightning as L

from lenet.config import Config
from lenet.errors import BadInput
from lenet.run import train
from lenet.runs.directory import Result, RunDirectory
from lenet.sweeps.directory import check_job
from lenet.training.checkpoints import NoCheckpoint
from lenet.training.devices import bare_trainer

log = logging.getLogger(__name__)


def train_job(
    config: Config, place: str | Path | RunDirectory, overrides: Sequence[str], callbacks: Sequence[L.Callback] = ()
) -> Result:
    """Do what is left to do of one job of a sweep: all of it, the rest of a run that was cut off, or nothing.

    What is on disk decides, at the time when the job's turn comes. A process that still trains the job, left over
    from a sweep that was killed, is waited for.

    Args and Raises: those of `train`; a run that is given up raises Pruned.
    """
    if bare_trainer(config).world_size > 1:
        # They would start the command line again in other processes, which would be sweeps themselves.
        raise BadInput(f"trainer.devices={config.trainer.devices}: a job of a sweep uses one device; give 1")
    run = place if isinstance(place, RunDirectory) else _locked(Path(place))
    result = run.read_result()
    if result and result.get("status") == "completed":
        run.unlock()
        return result
    # A sweep shows its own progress.
    config = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, enable_progress_bar=False))
    try:
        if run.last_checkpoint.exists() or run.best_checkpoint.exists():
            try:
                return train(dataclasses.replace(config, resume=str(run.path)), run, overrides, callbacks)[0]
            except NoCheckpoint as error:
                log.warning("%s; doing so", error)
                run.lock(wait=True)
        run.clear()
        try:
            return train(config, run, overrides, callbacks)[0]
        except BadInput:
            with suppress(BadInput):
                if run.lock():  # which `train` has let go of
                    run.remove()
            raise
    finally:
        run.unlock()


def _locked(path: Path) -> RunDirectory:
    """The directory of a job, for this process alone."""
    check_job(path)
    run = RunDirectory(path)
    if not run.lock():
        log.warning("%s: waiting for another process that trains in it", path)
        run.lock(wait=True)
    return run
