"""Lightning's Trainer for a config, and what this machine has of what it asks for."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher as SubprocessLauncher

from lenet.batches import FEW_IMAGES, ends_within_an_epoch, epochs, validated_every, validates
from lenet.config import Config, Trainer
from lenet.errors import BadInput, PeerLost
from lenet.rules.processes import check_shards
from lenet.system.ranks import is_first
from lenet.training import demands
from lenet.training.checkpoints import (
    AtomicCheckpointIO,
)

log = logging.getLogger(__name__)


def set_arithmetic(config: Config, threads: int) -> None:
    """How this process computes on a CPU from now on: the last bits of a run's numbers depend on it.

    oneDNN's convolutions, fastest for large batches, take 1.6 times as long as PyTorch's own for LeNet-5 and one image.
    """
    torch.set_num_threads(threads)
    enabled = config.data.batch_size > FEW_IMAGES
    torch.backends.mkldnn.set_flags(enabled, _fp32_precision=None)  # type: ignore[no-untyped-call]


ALL_THREADS = torch.get_num_threads()


LEFT = "This is typically caused by a remote worker"  # what gloo says when one of several processes has gone


def build_trainer(config: Config, **kwargs: Any) -> L.Trainer:
    """The Lightning Trainer of a config; `kwargs` are what is not a matter of configuration."""
    settings = config.trainer
    one: int | None = 1 if settings.fast_dev_run else None
    return L.Trainer(
        max_epochs=epochs(config),
        min_epochs=settings.min_epochs,
        accelerator=demands.accelerator(config),
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=settings.precision,  # type: ignore[arg-type]  # checked by lenet.rules
        deterministic=settings.deterministic,
        gradient_clip_val=settings.gradient_clip_val,
        gradient_clip_algorithm=settings.gradient_clip_algorithm if settings.gradient_clip_val else None,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        # How many training batches an epoch has is ImageData's affair; it is asked again where epochs differ.
        reload_dataloaders_every_n_epochs=int(ends_within_an_epoch(config)),
        limit_val_batches=one or settings.limit_val_batches if validates(config) else 0,
        limit_test_batches=one or settings.limit_test_batches,
        check_val_every_n_epoch=validated_every(config) or 1,
        num_sanity_val_steps=0 if one else settings.num_sanity_val_steps,
        detect_anomaly=settings.detect_anomaly,
        use_distributed_sampler=False,  # Classifier.shard deals out each batch
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, TQDMProgressBar) for c in kwargs.get("callbacks", [])),
        # Under submitit a job goes back into the queue by itself; Lightning's own way would do it a second time.
        plugins=[AtomicCheckpointIO(), *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])],
        **kwargs,
    )


@contextlib.contextmanager
def ending_together(trainer: L.Trainer) -> Iterator[None]:
    """Where this process breaks off, end those that it has started to train with it: they would wait for it.

    Raises:
        PeerLost: one of the others broke off before.
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
            raise PeerLost("another process that trained this net with this one has ended") from error
        raise


def bare_trainer(config: Config) -> L.Trainer:
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
    check_shards(config, trainer.world_size)
    if trainer.strategy.root_device.type == "cpu":
        demands.check_cpu(config)
        if trainer.num_devices > 1:  # what somebody may have meant for GPUs
            log.info("trainer.devices=%s: %d processes train on the CPU", settings.devices, trainer.num_devices)
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


def has_nodes_started_by_hand(trainer: L.Trainer) -> bool:
    """Whether there are other nodes, started by hand, and this process is the one that was so started on its node."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    by_hand = isinstance(environment, LightningEnvironment) and not environment.creates_processes_externally
    return trainer.num_nodes > 1 and by_hand


def prepare(config: Config) -> L.Trainer:
    """Let this process compute as the config says; a trainer that says what the config means on this machine.

    Raises:
        BadInput: this machine does not have the devices, or not for this.
    """
    trainer = bare_trainer(config)
    set_arithmetic(config, _check_devices(config, trainer))
    return trainer
