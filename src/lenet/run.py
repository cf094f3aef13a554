"""One run: a config and a run directory in, a result out."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback

from lenet.batches import batches_in, overfitted, updates_per_step, validated_every
from lenet.config import Config
from lenet.data.module import ImageData
from lenet.errors import BadInput, Stopped, TimeUp
from lenet.evaluation.initial_weights import load_initial_weights
from lenet.rules import validate
from lenet.runs.directory import Result, RunDirectory
from lenet.sweeps.directory import swept
from lenet.system.allocator import keep_freed_memory
from lenet.system.ranks import is_first
from lenet.system.signals import stop_on_signals
from lenet.system.terminal import shows_bars
from lenet.training import demands, devices, nodes
from lenet.training.averaging import AverageEpochs, AverageWeights, Averaging, TestEachEpoch, build_average
from lenet.training.blocks import build_classifier
from lenet.training.callbacks import FURTHER_CALLBACKS, Bar, SeedEpochs, StopAfterStep, StopEarly
from lenet.training.checkpoints import checkpoint_callbacks
from lenet.training.curvature import ObserveCurvature
from lenet.training.epoch_log import EpochLog
from lenet.training.fitting import fit, test
from lenet.training.profiling import build_profiler
from lenet.training.recording import Record, git_commit, recording
from lenet.training.time_limit import stop_in_time

# Lightning's notes on devices found and products to try; its warnings stay.
for library in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)

# Lightning sets this to 1, and torch then looks for the driver's library anew at every update of Adam: 0.3 ms where
# there is none to find.
if not torch.cuda.is_available():
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def train(
    config: Config,
    place: str | Path | RunDirectory,
    overrides: Sequence[str] = (),
    callbacks: Sequence[L.Callback] = (),
) -> tuple[Result, RunDirectory]:
    """Fetch the data, train, test, and leave a run directory behind.

    Args:
        config: checked here, whoever made it.
        place: the directory to make, or one that is locked already; with `config.resume`, the one that is there.
        overrides: the words of the command line, for the record.
        callbacks: to watch the training, beside our own.

    Returns:
        What result.json says, and the run directory.

    Raises:
        BadInput: a value is not legal, or the data, the device or a checkpoint to go on from is not to be had; no file
            that says what the run is or how far it got has changed.
        Diverged: the loss is no longer finite; recorded as failed.
        Stopped: a signal came; recorded as interrupted. It knows the run directory where a run can go on in it.
        TimeUp: trainer.max_time is over; likewise.
    """
    with stop_on_signals() as signals:
        git_commit()  # takes a moment, which is better spent before there is a directory without a result
        validate(config)
        demands.check(config)
        planned = devices.prepare(config)

        torch.manual_seed(config.seed)
        model = build_classifier(config)
        init_from = load_initial_weights(config, model)
        data = _data(config)
        keep_freed_memory()  # from here on: the files' bytes need not stay
        if devices.has_nodes_started_by_hand(planned):
            nodes.meet(config.trainer.num_nodes)

        run = _open(config, place)
        try:
            with signals.put_off(), recording(config, run, model, overrides, signals, init_from) as record:
                record.result["precision"] = str(planned.precision)  # 16-mixed is bf16-mixed on a CPU
                average = build_average(config, data)
                watchers = [*callbacks, *(build(config) for build in FURTHER_CALLBACKS), *stop_in_time(config.trainer)]
                watching = _callbacks(record, data, average, [*watchers, StopAfterStep(signals)])
                logger = record.dashboard.start(record.rows, average) if record.dashboard else False
                record.loggers.start(record.rows)
                lightning = {"logger": logger, "default_root_dir": run.path, "profiler": build_profiler(config, run)}
                trainer = devices.build_trainer(config, callbacks=watching, **lightning)
                fit(trainer, model, data, record)
                test(trainer, model, data, record, average)
            return record.result, run
        except (Stopped, TimeUp) as stopped:
            if run.last_checkpoint.exists() or run.best_checkpoint.exists():
                stopped.run = run.path
            raise
        finally:
            run.unlock()


def _data(config: Config) -> ImageData:
    """The images, read, so that a bad file is found before anything is written."""
    data = ImageData(
        config.data, config.seed, updates_per_step(config), partial(batches_in, config), overfitted(config)
    )
    data.prepare_data()
    data.setup("check")
    return data


def _open(config: Config, place: str | Path | RunDirectory) -> RunDirectory:
    """The run directory, locked."""
    if isinstance(place, RunDirectory):
        return place
    if not is_first():
        return RunDirectory(config.resume or place)  # where nothing is to be written
    if not config.resume:
        return RunDirectory.create(place)
    run = RunDirectory(config.resume)
    if not run.lock():
        raise BadInput(f"resume={config.resume}: another process trains in it; wait for it, or stop it")
    return run


def _callbacks(
    record: Record, data: ImageData, average: Averaging | None, watchers: Sequence[L.Callback]
) -> list[L.Callback]:
    """All that happens while the net trains, in the order in which it happens."""
    config = record.config
    if config.dashboard.enabled and is_first():
        from lenet.dashboard.callback import Dashboard  # a run without one need not wait for what it imports

        varied = swept(record.run.path.parent) or record.result["overrides"]
        ran = dataclasses.replace(config.trainer, precision=record.result["precision"])
        record.dashboard = Dashboard(dataclasses.replace(config, trainer=ran), record.run, data, varied)
    return [
        LambdaCallback(on_train_start=lambda *_: record.note_beginning()),
        SeedEpochs(data),
        # Each before what looks at the net after validation. An update of the one is part of the training's time; what
        # the other does after an epoch is not.
        *([average] if isinstance(average, AverageWeights) else []),
        record.throughput,
        *([average] if isinstance(average, AverageEpochs) else []),
        *([TestEachEpoch(data, average)] if config.test_each_epoch else []),
        EpochLog(record.run, record.rows, config.trainer.log_every_n_steps),
        LambdaCallback(on_train_epoch_end=lambda *_: record.loggers.log_epoch(record.rows[-1])),
        StopEarly(config.early_stopping, record.rows, config.trainer.min_epochs),
        *([ObserveCurvature(data)] if config.optimizer.name == "sdlm" else []),
        *([record.dashboard] if record.dashboard else []),
        *checkpoint_callbacks(record.run, validated_every(config)),
        *watchers,
        *([Bar()] if config.trainer.enable_progress_bar and shows_bars() else []),
    ]
