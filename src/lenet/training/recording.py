"""What a run records of itself, however it ends."""

import dataclasses
import functools
import logging
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lenet.config import Config
from lenet.datasets import FOLDER, data_set
from lenet.errors import BadInput, PeerLost, Pruned, Stopped, TimeUp
from lenet.models.sizes import size_of
from lenet.runs.directory import Result, RunDirectory
from lenet.runs.metrics import Row, figures
from lenet.system.ranks import is_first
from lenet.system.signals import Signals
from lenet.training.callbacks import Throughput
from lenet.training.checkpoints import NoCheckpoint
from lenet.training.demands import about
from lenet.training.loggers import Loggers
from lenet.training.module import Classifier
from lenet.training.resuming import resumed

log = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard")


@dataclass
class Record:
    """A run while it trains: what result.json and metrics.csv will say, and where it goes on from."""

    config: Config
    run: RunDirectory
    result: Result
    rows: list[Row]  # of metrics.csv
    checkpoint: Path | None  # to go on from
    loggers: Loggers
    dashboard: Any = None  # lenet.dashboard.callback.Dashboard, of a floor above this one
    throughput: Throughput = field(default_factory=Throughput)
    has_begun: bool = False  # to train, so that what a checkpoint says has been taken

    def note_beginning(self) -> None:
        self.has_begun = True


@contextmanager
def recording(
    config: Config,
    run: RunDirectory,
    model: Classifier,
    overrides: Sequence[str],
    signals: Signals,
    init_from: Result | None = None,
) -> Iterator[Record]:
    """Within it a net is trained and tested; however that ends, result.json says so.

    Args:
        init_from: the weights that `model` was given, where they are not drawn (`lenet.evaluation.initial_weights`).

    Raises:
        BadInput: there is nothing to go on from, or no room for the first files.
    """
    rows, before, checkpoint = resumed(config, run, model) if config.resume else ([], {}, None)
    kept = run.begun_with()
    if is_first() and not sys.stdout.isatty():  # a terminal has been told before the imports
        log.info("%s", about(config))
    record = Record(
        config, run, _begun(config, run, rows, before, overrides, init_from), rows, checkpoint, Loggers(config, run)
    )
    result = record.result
    started = time.perf_counter()
    error: BaseException | None = None
    try:
        with run.log_file() if is_first() else nullcontext(), signals.put_off():
            try:
                yield record
            except PeerLost:
                signals.check()  # the others may have had it a moment before
                raise
        result["status"] = "completed"
    except BaseException as caught:
        error = caught
        if isinstance(error, OSError) and error.errno and error.filename is None:  # TensorBoard does not say where
            error.filename = str(run.path)
        result |= _ended_by(error)
        if rows and not result["metrics"]:
            result["metrics"] = figures(rows)
        raise
    finally:
        result["epochs"] = len(rows)
        result["seconds"] = round((before.get("seconds") or 0) + time.perf_counter() - started, 3)
        if record.dashboard:  # before the result: a run that says it is completed has nothing left to write
            with unless_it_fails(run):
                record.dashboard.close(result)
        record.loggers.close(result)
        if is_first():
            # On a full disk the first error is the one to report.
            with suppress(*[OSError] if error else []):
                run.write_result(result)
        if isinstance(error, NoCheckpoint) and is_first():  # found out too late to have touched nothing
            with suppress(OSError):
                run.begin_with(kept)


def _begun(
    config: Config,
    run: RunDirectory,
    rows: list[Row],
    before: Result,
    overrides: Sequence[str],
    init_from: Result | None,
) -> Result:
    """Write config.yaml and the first result.json; `before` is the result of the run that is resumed, or empty."""
    parameters, macs = size_of(config)
    result: Result = {
        "status": "running",
        "name": config.name,
        "tags": list(config.tags),
        "overrides": before.get("overrides") or list(overrides),
        "seed": config.seed,
        "init_from": init_from or before.get("init_from"),
        "metrics": {},
        "epochs": len(rows),
        "best_epoch": None,
        "stopped_early": None,
        "not_averaged": None,
        "parameters": parameters,
        "macs": macs,
        "seconds": before.get("seconds"),
        "examples_per_sec": before.get("examples_per_sec"),
        "device": None,
        "threads": torch.get_num_threads(),
        "precision": None,
        "at_chance": None,
        "versions": versions(),
        "git_commit": git_commit(),
        "error": None,
    }
    if not is_first():
        return result
    try:
        classes = list(data_set(config.data).classes) if config.data.name == FOLDER else []
        data = dataclasses.replace(config.data, root=str(Path(config.data.root).resolve()), classes=classes)
        run.write_config(dataclasses.replace(config, resume=None, data=data))
        run.write_result(result)
    except OSError as error:
        if not config.resume:
            run.remove()
        raise BadInput(f"{run.path}: {error.strerror}; make room, or start where there is some") from error
    return result


def _ended_by(error: BaseException) -> Result:
    """What a result says of an end before the end."""
    if isinstance(error, Pruned):
        return {"status": "pruned"}
    # SystemExit is how submitit leaves a job whose time is over, once it is in Slurm's queue again.
    stopped = isinstance(error, Stopped | TimeUp | KeyboardInterrupt | SystemExit)
    trace = None if stopped else "".join(traceback.format_exception(error))
    return {
        "status": "interrupted" if stopped else "failed",
        "error": {"message": f"{type(error).__name__}: {error}", "traceback": trace},
    }


@contextmanager
def unless_it_fails(run: RunDirectory) -> Iterator[None]:
    """What is shown of a result must not cost the result."""
    try:
        yield
    except Exception as error:
        log.warning("%s: TensorBoard lacks the end of this run (%s: %s)", run.path, type(error).__name__, error)


@functools.cache
def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


@functools.cache
def git_commit() -> str | None:
    """The commit of this source tree, with -dirty behind it where files differ; None outside a git checkout.

    Asked once per process: what is imported does not change when the files do.
    """
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
