"""Going on with a run that was cut off."""

import logging
from pathlib import Path

from lenet.batches import epochs as epochs_of
from lenet.batches import validated_every
from lenet.config import Config
from lenet.errors import BadInput
from lenet.runs.directory import Result, RunDirectory
from lenet.runs.metrics import Row
from lenet.text import counted
from lenet.training.checkpoints import (
    NoCheckpoint,
    largest_checkpoint,
    newest_checkpoint,
)
from lenet.training.demands import all_done
from lenet.training.module import Classifier
from lenet.training.stopping import check_stopping

log = logging.getLogger(__name__)


def resumed(config: Config, run: RunDirectory, model: Classifier) -> tuple[list[Row], Result, Path | None]:
    """The metrics of the run to go on with, up to its newest checkpoint; its result so far; and that checkpoint.

    A run that was cut off before its first checkpoint has none, and starts from the beginning.

    Raises:
        BadInput: checkpoints are damaged or have been lost, or nothing is left to do.
    """
    result = run.read_result() or {}
    if run.has_saved_nothing:
        log.info("%s: cut off before its first checkpoint; it starts from the beginning", run.path)
        return [], {"overrides": result.get("overrides")}, None
    checkpoint, epochs = newest_checkpoint(run, model.net, validated_every(config), largest_checkpoint(config))
    finished = epochs == epochs_of(config) and result.get("status") == "completed"
    if finished or epochs > epochs_of(config):
        raise BadInput(all_done(config, epochs))
    try:
        rows = run.read_metrics()
    except BadInput as error:
        raise NoCheckpoint(str(error)) from error
    if len(rows) < epochs:
        raise NoCheckpoint(
            f"{run.path / 'metrics.csv'}: has {len(rows)} of the {counted(epochs, 'epoch')} that {checkpoint} has "
            "seen; start the run again from the beginning"
        )
    check_stopping(config, rows[:epochs], result)
    return rows[:epochs], result, checkpoint
