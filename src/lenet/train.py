"""One run: a config and a run directory in, a result out."""

import contextlib
import dataclasses
import functools
import logging
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import LambdaCallback, TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher as SubprocessLauncher

from lenet.batches import batches
from lenet.config import Config, Trainer
from lenet.data.module import ImageData
from lenet.errors import BadInput, Deserted, Stopped
from lenet.models.layers import size_of
from lenet.rules import check_shares, validate
from lenet.runs.directory import Row, RunDirectory, write_atomically
from lenet.sweeps.design import check_job, swept
from lenet.system.allocator import keep_freed_memory
from lenet.system.ranks import is_first
from lenet.system.signals import Signals, starting_deaf, stop_on_signals
from lenet.training import demands, nodes
from lenet.training.blocks import updates_per_step
from lenet.training.callbacks import (
    AverageWeights,
    Bar,
    EpochLog,
    ObserveCurvature,
    SeedEpochs,
    StopAfterStep,
    TestEachEpoch,
    Throughput,
)
from lenet.training.checkpoints import (
    AtomicCheckpointIO,
    NoCheckpoint,
    checkpoint_callbacks,
    largest_checkpoint,
    load_checkpoint,
    newest_checkpoint,
)
from lenet.training.module import Classifier, set_arithmetic

if TYPE_CHECKING:
    from lenet.dashboard.callback import Dashboard

log = logging.getLogger(__name__)

# Lightning's notes on devices found and products to try; its warnings stay.
for library in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)

# Lightning sets this to 1, and torch then looks for the driver's library anew at every update of Adam: 0.3 ms where
# there is none to find.
if not torch.cuda.is_available():
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"

ALL_THREADS = torch.get_num_threads()
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard")

LEFT = "This is typically caused by a remote worker"  # what gloo says when one of several processes has gone

Result = dict[str, Any]


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
    """
    with stop_on_signals() as signals:
        git_commit()  # takes a moment, which is better spent before there is a directory without a result
        validate(config)
        demands.check(config)
        trainer = _bare_trainer(config)
        set_arithmetic(config, _check_devices(config, trainer))
        torch.manual_seed(config.seed)
        model = Classifier(config)
        updates = updates_per_step(config)
        data = ImageData(config.data, config.seed, updates, batches(config, "train") if updates > 1 else None)
        data.prepare_data()
        data.setup("check")  # reads the files, so that a bad one is found before anything is written
        keep_freed_memory()  # from here on: the files' bytes need not stay
        if _brings_nodes_together(trainer):
            nodes.meet(config.trainer.num_nodes)
        run = _directory(config, place)
        try:
            with signals.put_off():
                return _recorded(
                    config, run, model, data, overrides, [*callbacks, StopAfterStep(signals)], signals
                ), run
        except Stopped as stopped:
            if run.last_checkpoint.exists() or run.best_checkpoint.exists():
                stopped.run = run.path
            raise
        finally:
            run.unlock()


def train_job(config: Config, path: str | Path, overrides: Sequence[str]) -> Result:
    """Do what is left to do of one job of a sweep: all of it, the rest of a run that was cut off, or nothing.

    What is on disk decides, at the time when the job's turn comes. A process that still trains the job, left over
    from a sweep that was killed, is waited for.

    Args and Raises: those of `train`.
    """
    if _bare_trainer(config).world_size > 1:
        # They would start the command line again in other processes, which would be sweeps themselves.
        raise BadInput(f"trainer.devices={config.trainer.devices}: a job of a sweep uses one device; give 1")
    check_job(Path(path))
    run = RunDirectory(path)
    if not run.lock():
        log.warning("%s: waiting for another process that trains in it", path)
        run.lock(wait=True)
    result = run.read_result()
    if result and result.get("status") == "completed":
        run.unlock()
        return result
    # A sweep shows its own progress.
    config = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, enable_progress_bar=False))
    try:
        if run.last_checkpoint.exists() or run.best_checkpoint.exists():
            try:
                return train(dataclasses.replace(config, resume=str(path)), run, overrides)[0]
            except NoCheckpoint as error:
                log.warning("%s; doing so", error)
                run.lock(wait=True)
        run.clear()
        try:
            return train(config, run, overrides)[0]
        except BadInput:
            run.remove()
            raise
    finally:
        run.unlock()


def _directory(config: Config, place: str | Path | RunDirectory) -> RunDirectory:
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


def _recorded(
    config: Config,
    run: RunDirectory,
    model: Classifier,
    data: ImageData,
    overrides: Sequence[str],
    callbacks: Sequence[L.Callback],
    signals: Signals,
) -> Result:
    """Train and test; however that ends, result.json says so."""
    rows, before, checkpoint = resumed(config, run, model) if config.resume else ([], {}, None)
    kept = run.begun_with()
    result = _started(config, run, rows, before, overrides)
    dashboard = None
    if config.dashboard.enabled and is_first():
        from lenet.dashboard.callback import Dashboard  # a run without one need not wait for what it imports

        dashboard = Dashboard(config, run, data, swept(run.path.parent) or result["overrides"])
    started = time.perf_counter()
    error: BaseException | None = None
    try:
        with run.log_file() if is_first() else contextlib.nullcontext(), signals.put_off():
            try:
                _fit_and_test(config, run, rows, checkpoint, model, data, result, dashboard, callbacks)
            except Deserted:
                signals.check()  # the others may have had it a moment before
                raise
        result["status"] = "completed"
    except BaseException as caught:
        error = caught
        if isinstance(error, OSError) and error.errno and error.filename is None:  # TensorBoard does not say where
            error.filename = str(run.path)
        # SystemExit is how submitit leaves a job whose time is over, once it is in Slurm's queue again.
        stopped = isinstance(error, Stopped | KeyboardInterrupt | SystemExit)
        result["status"] = "interrupted" if stopped else "failed"
        trace = None if stopped else "".join(traceback.format_exception(error))
        result["error"] = {"message": f"{type(error).__name__}: {error}", "traceback": trace}
        if rows and not result["metrics"]:
            result["metrics"] = {name: value for name, value in rows[-1].items() if "/" in name}
        raise
    finally:
        result["epochs"] = len(rows)
        result["seconds"] = round((before.get("seconds") or 0) + time.perf_counter() - started, 3)
        if dashboard:  # before the result: a run that says it is completed has nothing left to write
            with _unless_it_fails(run):
                dashboard.close(result)
        if is_first():
            # On a full disk the first error is the one to report.
            with contextlib.suppress(*[OSError] if error else []):
                run.write_result(result)
        if isinstance(error, NoCheckpoint) and is_first():  # found out too late to have touched nothing
            with contextlib.suppress(OSError):
                run.begin_with(kept)
    return result


def _started(config: Config, run: RunDirectory, rows: list[Row], before: Result, overrides: Sequence[str]) -> Result:
    """Write config.yaml and the first result.json; `before` is the result of the run that is resumed, or empty."""
    parameters, macs = size_of(config)
    result: Result = {
        "status": "running",
        "name": config.name,
        "tags": list(config.tags),
        "overrides": before.get("overrides") or list(overrides),
        "seed": config.seed,
        "metrics": {},
        "epochs": len(rows),
        "best_epoch": None,
        "parameters": parameters,
        "macs": macs,
        "seconds": before.get("seconds"),
        "examples_per_sec": before.get("examples_per_sec"),
        "device": None,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "git_commit": git_commit(),
        "error": None,
    }
    if not is_first():
        return result
    try:
        data = dataclasses.replace(config.data, root=str(Path(config.data.root).resolve()))
        run.write_config(dataclasses.replace(config, resume=None, data=data))
        run.write_result(result)
    except OSError as error:
        if not config.resume:
            run.remove()
        raise BadInput(f"{run.path}: {error.strerror}; make room, or start where there is some") from error
    return result


def _fit_and_test(
    config: Config,
    run: RunDirectory,
    rows: list[Row],
    checkpoint: Path | None,
    model: Classifier,
    data: ImageData,
    result: Result,
    dashboard: "Dashboard | None",
    watchers: Sequence[L.Callback],
) -> None:
    throughput = Throughput()
    decay = config.optimizer.ema_decay
    average = AverageWeights(decay=decay) if decay else None
    began: list[L.LightningModule] = []
    callbacks: list[L.Callback] = [
        LambdaCallback(on_train_start=lambda _, model: began.append(model)),  # what a checkpoint says has been taken
        SeedEpochs(data),
        *([average] if average else []),  # before what counts the time, and what looks at the net after validation
        throughput,
        *([TestEachEpoch(data, average)] if config.test_each_epoch else []),
        EpochLog(run, rows, config.trainer.log_every_n_steps),
        *([ObserveCurvature(data)] if config.optimizer.name == "sdlm" else []),
        *([dashboard] if dashboard else []),
        *checkpoint_callbacks(run, validates(config)),
        *watchers,
    ]
    if config.trainer.enable_progress_bar and sys.stdout.isatty():
        callbacks.append(Bar(refresh_rate=20))
    logger = dashboard.start(rows, average) if dashboard else False
    trainer = build_trainer(config, callbacks=callbacks, logger=logger, default_root_dir=run.path)
    if isinstance(launcher := trainer.strategy.launcher, SubprocessLauncher):
        # Not a hook of Lightning's, but the only place between its environment variables and its processes.
        launcher._call_children_scripts = starting_deaf()(launcher._call_children_scripts)  # type: ignore[method-assign]
    result["device"] = str(trainer.strategy.root_device)
    if trainer.world_size > 1:
        result["device"] = f"{trainer.world_size} x {trainer.strategy.root_device.type}"
    try:
        with _ended_with_it(trainer):
            trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RuntimeError) as error:
        if checkpoint is None or began or isinstance(error, torch.OutOfMemoryError):
            raise
        words = (str(error).splitlines() or [""])[0]
        raise NoCheckpoint(
            f"{checkpoint}: a run cannot go on from it ({type(error).__name__}: {words}); start the run again from the "
            "beginning"
        ) from error
    run = RunDirectory(trainer.strategy.broadcast(str(run.path)))  # the first process has made it
    if checkpoint == run.best_checkpoint and not began and is_first():  # cut off between the last epoch's two files
        write_atomically(run.last_checkpoint, run.best_checkpoint.read_bytes())
    if throughput.images:
        result["examples_per_sec"] = round(throughput.examples_per_sec, 1)

    tested = len(rows)
    if validates(config):
        best = load_checkpoint(run.best_checkpoint)
        result["best_epoch"] = best["epoch"] + 1
        if config.test_on == "best":
            tested = result["best_epoch"]
            model.load_state_dict(best["state_dict"])
    if average and checkpoint and not began and config.test_on == "last":
        # Resumed after its last epoch it has no end of training, at which the mean would have come into the net.
        model.load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    if config.trainer.limit_test_batches != 0:
        with _ended_with_it(trainer):
            trainer.test(model, data, verbose=False)
    row = {name: value for name, value in rows[tested - 1].items() if "/" in name}
    test = {name: model.metrics[name] for name in ("test/loss", "test/acc") if name in model.metrics}
    result["metrics"] = row | test  # all of the epoch whose weights were tested
    result["epochs"] = len(rows)
    if dashboard:
        with _unless_it_fails(run):
            dashboard.show_test(model, result, tested)


@contextlib.contextmanager
def _unless_it_fails(run: RunDirectory) -> Iterator[None]:
    """What is shown of a result must not cost the result."""
    try:
        yield
    except Exception as error:
        log.warning("%s: TensorBoard lacks the end of this run (%s: %s)", run.path, type(error).__name__, error)


def build_trainer(config: Config, **kwargs: Any) -> L.Trainer:
    """The Lightning Trainer of a config; `kwargs` are what is not a matter of configuration."""
    settings = config.trainer
    one: int | None = 1 if settings.fast_dev_run else None
    blocks = updates_per_step(config) > 1
    return L.Trainer(
        max_epochs=1 if settings.fast_dev_run else settings.max_epochs,
        accelerator=demands.accelerator(config),
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=settings.precision,  # type: ignore[arg-type]  # checked by lenet.rules
        deterministic=settings.deterministic,
        gradient_clip_val=settings.gradient_clip_val,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        limit_train_batches=None if blocks else one or settings.limit_train_batches,  # blocks: ImageData's affair
        limit_val_batches=one or settings.limit_val_batches if validates(config) else 0,
        limit_test_batches=one or settings.limit_test_batches,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # Classifier.share deals out each batch
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, TQDMProgressBar) for c in kwargs.get("callbacks", [])),
        # Under submitit a job goes back into the queue by itself; Lightning's own way would do it a second time.
        plugins=[AtomicCheckpointIO(), *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])],
        **kwargs,
    )


@contextlib.contextmanager
def _ended_with_it(trainer: L.Trainer) -> Iterator[None]:
    """Where this process breaks off, end those that it has started to train with it: they would wait for it.

    Raises:
        Deserted: one of the others broke off before.
    """
    try:
        yield
    except BaseException as error:
        launcher = trainer.strategy.launcher
        if isinstance(launcher, SubprocessLauncher):
            for process in launcher.procs:
                process.kill()
            launcher.procs.clear()  # or Lightning, which looks at them now and then, would kill this process as well
        if trainer.world_size > 1 and LEFT in str(error):
            raise Deserted("another process that trained this net with this one has ended") from error
        raise


def _bare_trainer(config: Config) -> L.Trainer:
    """A trainer that says what the config means on this machine.

    Raises:
        BadInput: this machine does not have the devices.
    """
    try:
        return build_trainer(config, logger=False, enable_checkpointing=False)
    except Exception as error:  # Lightning has several kinds for this
        raise BadInput(_blamed(config, error)) from error


def _blamed(config: Config, error: Exception) -> str:
    """The key to blame for a trainer that cannot be made: the one without which it can."""
    words = (str(error).splitlines() or [type(error).__name__])[0]
    settings, defaults = config.trainer, Trainer()
    given = {
        key: getattr(settings, key)
        for key in ("strategy", "precision", "devices", "accelerator")
        if getattr(settings, key) != getattr(defaults, key)
    }
    for key, value in given.items():
        default = {key: getattr(defaults, key)}
        try:
            build_trainer(
                dataclasses.replace(config, trainer=dataclasses.replace(settings, **default)),
                logger=False,
                enable_checkpointing=False,
            )
        except Exception:  # so it is not this one alone
            continue
        return f"trainer.{key}={value}: not possible on this machine; {default[key]}, the default, is ({words})"
    together = " ".join(f"trainer.{key}={value}" for key, value in given.items()) or "trainer"
    return (
        f"{together}: not possible on this machine; trainer.accelerator=cpu with the default of the others is ({words})"
    )


def _check_devices(config: Config, trainer: L.Trainer) -> int:
    """The number of threads that this process is to compute with, on the devices of `trainer`.

    Raises:
        BadInput: this machine does not have the devices, or not for this.
    """
    settings = config.trainer
    if trainer.world_size == 1 and not is_first():
        raise BadInput(
            f"trainer.devices={settings.devices} trainer.num_nodes={settings.num_nodes}: several processes were "
            "started for a run that uses one; start one, or set these to as many as there are, and trainer.strategy=ddp"
        )
    launcher = trainer.strategy.launcher
    scripts = isinstance(launcher, SubprocessLauncher)  # each process is the script again, and so makes its own run
    if trainer.world_size > 1 and not (isinstance(trainer.strategy, DDPStrategy) and scripts):
        raise BadInput(f"trainer.strategy={settings.strategy}: take ddp, which is what several devices do here")
    check_shares(config, trainer.world_size)
    if trainer.strategy.root_device.type == "cpu":
        demands.check_cpu(config)
    elif trainer.strategy.root_device.type == "cuda":
        device = trainer.strategy.root_device
        room = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)  # that this process has already
        demands.check_memory(config, room, gpus=trainer.world_size)
    starts = isinstance(launcher, SubprocessLauncher) and not launcher.cluster_environment.creates_processes_externally
    if starts and "OMP_NUM_THREADS" not in os.environ:
        own = max(1, ALL_THREADS // trainer.num_devices)
        os.environ["OMP_NUM_THREADS"] = str(own)  # those that it starts inherit this, and Lightning leaves them alone
        return config.threads or own
    return config.threads or ALL_THREADS


def _brings_nodes_together(trainer: L.Trainer) -> bool:
    """Whether there are other nodes, started by hand, and this process is the one that was so started on its node."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    by_hand = isinstance(environment, LightningEnvironment) and not environment.creates_processes_externally
    return trainer.num_nodes > 1 and by_hand


def validates(config: Config) -> bool:
    """Whether there are validation images."""
    return config.data.val_fraction > 0 and config.trainer.limit_val_batches != 0


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
    checkpoint, epochs = newest_checkpoint(run, model.net, validates(config), largest_checkpoint(config))
    finished = epochs == config.trainer.max_epochs and result.get("status") == "completed"
    if finished or epochs > config.trainer.max_epochs:
        raise BadInput(
            f"resume={config.resume}: {epochs} epochs are done, and trainer.max_epochs={config.trainer.max_epochs}; "
            "give a later one to go on"
        )
    try:
        rows = run.read_metrics()
    except BadInput as error:
        raise NoCheckpoint(str(error)) from error
    if len(rows) < epochs:
        raise NoCheckpoint(
            f"{run.path / 'metrics.csv'}: has {len(rows)} of the {epochs} epochs that {checkpoint} has seen; start the "
            "run again from the beginning"
        )
    return rows[:epochs], result, checkpoint


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


def report(result: Result, run: RunDirectory, test_on: str) -> str:
    """The book's two closing lines, and where to look further; the first one ends with the epoch of its figures."""
    shown = {"loss": "train/loss", "train acc": "train/acc", "val acc": "val/acc", "test acc": "test/acc"}
    metrics = result["metrics"]
    figures = [f"{label} {metrics[name]:.3f}" for label, name in shown.items() if name in metrics]
    epoch = result["best_epoch"] if test_on == "best" else result["epochs"]
    line = ", ".join([*figures, f"{test_on} epoch {epoch}"])
    speed = result["examples_per_sec"]
    lines = [line, f"{speed:.1f} examples/sec on {result['device']}" if speed else "", str(run.path)]
    return "\n".join(filter(None, lines))
