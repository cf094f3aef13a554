"""Training and testing one net, with what can go wrong around Lightning's own."""

import lightning as L
import torch
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher as SubprocessLauncher

from lenet.batches import epochs, first_averaged, validates
from lenet.data.module import ImageData
from lenet.errors import Diverged, NothingValidated
from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.metrics import figures
from lenet.system.ranks import is_first
from lenet.system.signals import block_signals
from lenet.training.averaging import Averaging
from lenet.training.chance import at_chance
from lenet.training.checkpoints import NoCheckpoint, load_checkpoint
from lenet.training.devices import ending_together
from lenet.training.module import Classifier
from lenet.training.recording import Record, unless_it_fails
from lenet.training.stopping import stopped_early


def fit(trainer: L.Trainer, model: Classifier, data: ImageData, record: Record) -> None:
    """Train to the last epoch, from the checkpoint that the record goes on from, if any.

    Raises:
        NoCheckpoint: that checkpoint is one that no run can go on from.
        Diverged: trainer.detect_anomaly has found a gradient that is no number.
    """
    if isinstance(launcher := trainer.strategy.launcher, SubprocessLauncher):
        # Not a hook of Lightning's, but the only place between its environment variables and its processes.
        launcher._call_children_scripts = block_signals()(launcher._call_children_scripts)  # type: ignore[method-assign]
    device = trainer.strategy.root_device
    record.result["device"] = str(device) if trainer.world_size == 1 else f"{trainer.world_size} x {device.type}"
    checkpoint = record.checkpoint
    config = record.config
    if stopped_early(config.early_stopping, record.rows, config.trainer.min_epochs):  # cut off after its last epoch
        trainer.fit_loop.max_epochs = len(record.rows)
    try:
        with ending_together(trainer):
            trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RuntimeError) as error:
        if config.trainer.detect_anomaly and "returned nan values" in str(error):
            raise Diverged(
                f"{error} In epoch {trainer.current_epoch + 1}; {record.run.path / 'train.log'} has the line of the "
                "net that computes it; try a smaller optimizer.lr"
            ) from error
        if checkpoint is None or record.has_begun or isinstance(error, torch.OutOfMemoryError):
            raise
        words = (str(error).splitlines() or [""])[0]
        raise NoCheckpoint(
            f"{checkpoint}: a run cannot go on from it ({type(error).__name__}: {words}); start the run again from the "
            "beginning"
        ) from error
    early = stopped_early(config.early_stopping, record.rows, config.trainer.min_epochs)
    if early and early[0] < epochs(config):
        record.result["stopped_early"] = early[1]
    record.run = RunDirectory(trainer.strategy.broadcast(str(record.run.path)))  # the first process has made it
    best, last = record.run.best_checkpoint, record.run.last_checkpoint
    if checkpoint == best and not record.has_begun and is_first():  # cut off between the last epoch's two files
        write_atomically(last, best.read_bytes())
    if record.throughput.images:
        record.result["examples_per_sec"] = round(record.throughput.examples_per_sec, 1)


def test(trainer: L.Trainer, model: Classifier, data: ImageData, record: Record, average: Averaging | None) -> None:
    """Show the test set, once, to the weights that the recipe names, and put the figures into the result.

    Raises:
        NothingValidated: these are the best epoch's, and a callback has ended the run before any was validated.
    """
    config, result, rows = record.config, record.result, record.rows
    tested = len(rows)
    if validates(config) and not any("val/acc" in row for row in rows):
        if config.test_on == "best":
            raise NothingValidated(
                f"{record.run.path}: a callback ended it after epoch {tested}, before the first validation "
                f"(trainer.check_val_every_n_epoch={config.trainer.check_val_every_n_epoch}), so no epoch is the best; "
                "start it again with trainer.check_val_every_n_epoch=1 or test_on=last, or let it go on for longer"
            )
    elif validates(config):
        best = load_checkpoint(record.run.best_checkpoint)
        result["best_epoch"] = best["epoch"] + 1
        if config.test_on == "best":
            tested = result["best_epoch"]
            model.load_state_dict(best["state_dict"])
    if average and record.checkpoint and not record.has_begun and config.test_on == "last":
        # Resumed after its last epoch it has no end of training, at which the mean would have come into the net.
        model.load_state_dict(load_checkpoint(record.checkpoint)["state_dict"])
    if config.trainer.limit_test_batches != 0:
        with ending_together(trainer):
            trainer.test(model, data, verbose=False)
    result["metrics"] = figures(rows[:tested]) | {  # of the epoch whose weights were tested
        name: value for name, value in model.metrics.items() if name.startswith("test/")
    }
    first = first_averaged(config)
    if first and tested < first:
        result["not_averaged"] = (
            f"optimizer.swa_start={config.optimizer.swa_start} averages from epoch {first} on, and these are the "
            f"weights of epoch {tested}"
        )
    result["at_chance"] = at_chance(config, result["metrics"])
    result["epochs"] = len(rows)
    record.loggers.log_test(result["metrics"], tested)
    if record.dashboard:
        with unless_it_fails(record.run):
            record.dashboard.show_test(model, result, tested)
