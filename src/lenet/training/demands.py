"""What a run asks of the machine that it starts on, and a line where the machine does not have it. Imports no torch.

That is no matter of validation: a config that was legal elsewhere stays legal, and can be planned, looked at and handed
to a cluster from here. Nothing is refused that might just go well: the estimates are lower than what was measured.
"""

import logging
import math
import sys
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

from lenet.batches import EVALUATION_BATCH, epochs, overfitted, training_size, validates
from lenet.config import Config, optimizer_facts
from lenet.data import download
from lenet.errors import BadInput
from lenet.models.sizes import layers_of, size_of
from lenet.rules.processes import check_shards, device_count
from lenet.runs.directory import RunDirectory
from lenet.system import machine
from lenet.system.machine import (
    THREADS_PER_CORE,
    cores,
    free_disk,
    free_memory,
    most_gpus,
    own_memory,
    unwritable,
    why_not,
)
from lenet.system.ranks import is_first
from lenet.text import are, counted
from lenet.training import loggers
from lenet.training.stopping import check_stopping

TRIAL = 2  # processes that even a single core is left to, to see whether several devices work

# Of memory. The peak of a process was measured for thirty runs on a CPU, with nets of all kinds, images of 28 to 228
# pixels and batches of 2 to 48,000. Every figure is below the smallest found there, where EAGER was 1.06 to 2.2.
PROCESS = 0.5e9  # bytes that a process takes for torch, Lightning and the data: 0.7e9 were measured
ANOTHER = 0.25e9  # bytes of each further one, which has the libraries in common with the first
EAGER, FUSED = 0.9, 0.5  # bytes for each byte that all layers give out for a batch, to train on; compiled, or on a GPU
ORDINARY = 1.5e9  # bytes that no run is refused: whether so little is there is found by trying
log = logging.getLogger(__name__)

# Of disk. A small net's run begins wherever its config finds room: it is recorded, and goes on when there is more.
SMALL_FILE, BLOCK = 10e6, 4096  # bytes
LONGEST_INSIDE = 90  # characters; TensorBoard's file names have the time, the computer's name and two numbers


def check(config: Config) -> None:
    """Whether this machine has what a run asks for, as far as that is known without torch.

    Raises:
        BadInput: it certainly has not.
    """
    settings = config.trainer
    if reason := why_not(settings.accelerator):
        raise BadInput(f"trainer.accelerator={settings.accelerator}: {reason}; trainer.accelerator=cpu does without")
    apple = settings.accelerator == "mps" or (settings.accelerator == "gpu" and sys.platform == "darwin")
    if apple and (key := beyond_mps(config)):
        raise BadInput(f"{key}, which Apple's graphics have not; trainer.accelerator=cpu has it")
    if accelerator(config) != settings.accelerator:
        log.info("%s, which Apple's graphics have not; the CPU computes it", beyond_mps(config))
    count = device_count(settings.devices)
    if settings.accelerator == "cpu" or (
        settings.accelerator == "auto" and all(why_not(name) for name in ("gpu", "mps", "tpu"))
    ):
        check_cpu(config)
    elif settings.accelerator == "gpu" and (most := most_gpus()) is not None and count is not None and count > most:
        raise BadInput(f"trainer.devices={settings.devices}: this machine has {most}, or fewer; give at most {most}")
    check_threads(config, count or 1)
    loggers.check(config)
    if count and count * settings.num_nodes > 1:
        if not settings.strategy.startswith(("auto", "ddp")):
            raise BadInput(f"trainer.strategy={settings.strategy}: take ddp, which is what several devices do here")
        check_shards(config, count * settings.num_nodes)


def beyond_mps(config: Config) -> str:
    """The key that asks for what torch has not on Apple's graphics, and what that is; "" where it has all.

    Metal knows no 64 bits (pytorch #122602), and several of its operations repeat only nearly (#97574, #195404).
    """
    if "64" in config.trainer.precision:
        return f"trainer.precision={config.trainer.precision}: wants numbers of 64 bits"
    if config.trainer.deterministic:
        return "trainer.deterministic=True: wants operations that repeat to the last bit"
    return ""


def accelerator(config: Config) -> str:
    """trainer.accelerator, where `auto` on a Mac is the CPU for what its graphics cannot do."""
    chosen = config.trainer.accelerator
    return "cpu" if chosen == "auto" and sys.platform == "darwin" and beyond_mps(config) else chosen


def check_cpu(config: Config) -> None:
    """Whether a CPU can take the place of as many devices as are asked for, and the memory of the machine all of it.

    Raises:
        BadInput: it cannot.
    """
    devices = config.trainer.devices
    count, most = 1 if devices == "auto" else device_count(devices), max(cores(), TRIAL)
    if count is None or "," in str(devices):
        raise BadInput(
            f"trainer.devices={devices}: without a GPU it counts processes of the CPU; give a number from 1 to {most}"
        )
    if count > most:
        raise BadInput(
            f"trainer.devices={devices}: without a GPU each is a process of its own, and this machine has {_cores()}; "
            f"give at most {most}"
        )
    if is_first():  # the others find what it has left
        check_memory(config, free_memory() + own_memory(), count)


def check_threads(config: Config, processes: int) -> None:
    """Whether so many processes of so many threads find cores enough.

    Raises:
        BadInput: they would mostly wait.
    """
    most = max(1, THREADS_PER_CORE * cores() // processes)
    if config.threads is not None and config.threads > most:
        shared = f" for {processes} processes" if processes > 1 else ""
        raise BadInput(
            f"threads={config.threads}: this machine has {_cores()}{shared}, and more than {THREADS_PER_CORE} threads "
            f"on a core only wait for one another; give at most {most}, or null for one on each core"
        )


def check_memory(config: Config, room: int, processes: int = 1, gpus: int = 0) -> None:
    """Whether the net, its gradients, and the largest batch find room.

    Args:
        room: bytes that are free: on this machine or, with `gpus`, on a GPU.
        processes: of this machine, which share each batch and each have the whole net.
        gpus: that share each batch, each with the whole net in a memory of its own.

    Raises:
        BadInput: they certainly do not.
    """
    model, optimizer, trainer = config.model, config.optimizer, config.trainer
    rows = layers_of(config)
    sizes = [math.prod(row.shape) for row in rows]
    output = 2 if "16" in trainer.precision else 8 if "64" in trainer.precision else 4  # bytes of a number
    weight = 4 if "mixed" in trainer.precision else output
    states = optimizer_facts(optimizer.name).states + bool(optimizer.momentum)
    copies = 2 + states + bool(optimizer.ema_decay or optimizer.swa_start)  # 2: with the gradients
    net = copies * weight * sum(row.parameters for row in rows)
    libraries = 0 if gpus else PROCESS
    always = processes * net + libraries + (processes - 1) * ANOTHER

    an_image = output * sum(sizes) * (FUSED if config.compile or gpus else EAGER) / max(1, gpus)
    a_sample = output * sum(sizes) if optimizer.name == "sdlm" else 0
    # Of an evaluated batch nothing is kept for a gradient: two neighbouring layers are there at a time.
    images = EVALUATION_BATCH if validates(config) or trainer.limit_test_batches != 0 else 0
    evaluated = images * output * max(a + b for a, b in pairwise(sizes)) / max(1, gpus)
    padded = config.data.pad > 0 and model.kind == "lenet"
    at_a_time = f"as {EVALUATION_BATCH:,} images are evaluated at a time"
    found = [  # what the most of it is for: its bytes, its key, and what would do
        (
            min(config.data.batch_size, training_size(config.data)) * an_image,
            "data.batch_size",
            f"give at most {_rounded((room - always) / an_image)}",
        ),
        (
            min(optimizer.curvature_samples, training_size(config.data)) * a_sample,
            "optimizer.curvature_samples",
            f"give at most {_rounded((room - always) / (a_sample or 1))}",
        ),
        (evaluated, "data.pad", f"give less, {at_a_time}")
        if padded
        else (evaluated, "model.conv_channels", f"give fewer maps, {at_a_time}"),
    ]
    used, key, remedy = max(found)
    if always > room:
        linear = sum(row.parameters for row in rows if row.kind == "Linear" and row.name != "output")
        key = "model.fc_sizes" if 2 * copies * weight * linear > net else "model.conv_channels"
        remedy = "give smaller layers"
        if processes > 1 and net + libraries + used <= room:
            key, remedy = "trainer.devices", "give fewer"
    needed = always + used
    if needed > max(room, ORDINARY):
        raise BadInput(
            f"{key}={attrgetter(key)(config)}: the run needs about {_size(needed)} of memory, and {_size(room)} are "
            f"free{' on the GPU' if gpus else ''}; {remedy}"
        )


def check_places(config: Config, place: Path) -> None:
    """Whether the data files that are there are the right ones, and what a new run writes will find a place.

    Raises:
        BadInput: no.
    """
    download.look(config.data.name, config.data.root)
    if not is_first():
        return
    if config.resume:
        place = Path(config.resume)
        _check_run(config, RunDirectory(place))
    check_length(place)
    if reason := unwritable(place):
        raise BadInput(
            f"{place}: the run directory cannot be made ({reason}); start where you can write, or set hydra.run.dir"
        )
    parameters, _ = size_of(config)
    states = optimizer_facts(config.optimizer.name).states
    checkpoint, free = parameters * (1 + states) * 4, free_disk(place)
    if free is not None and free < (checkpoint if checkpoint > SMALL_FILE else BLOCK):
        raise BadInput(
            f"{place}: a checkpoint of this net has about {_size(checkpoint)}, and {_size(free)} are free; make room, "
            "or start where there is some"
        )


def check_length(place: Path) -> None:
    """Whether the system takes the paths of the files that a run will have.

    Raises:
        BadInput: they are too long.
    """
    longest, length = machine.LONGEST_PATH, len(str(place.absolute()))
    if longest is not None and length + LONGEST_INSIDE > longest:
        raise BadInput(
            f"{place}: has {length} characters with what stands before it, and this system takes "
            f"{longest - LONGEST_INSIDE}; give a shorter name=..., or work in a folder with a shorter path"
        )


def _check_run(config: Config, run: RunDirectory) -> None:
    """Whether there is something left to do in a run directory, and something to go on from."""
    run.check()
    if run.is_locked:
        raise BadInput(f"resume={config.resume}: another process trains in it; wait for it, or stop it")
    if not (run.last_checkpoint.exists() or run.best_checkpoint.exists() or run.has_saved_nothing):
        raise BadInput(
            f"{run.last_checkpoint}: there is no checkpoint, and no {run.best_checkpoint.name} either; start the run "
            "again from the beginning"
        )
    result = run.read_result() or {}
    if result.get("status") == "completed" and result.get("epochs", 0) >= epochs(config):
        raise BadInput(all_done(config, result["epochs"]))
    if result.get("status") == "completed" and config.early_stopping.patience is not None:
        check_stopping(config, run.read_metrics(), result)


def all_done(config: Config, done: int) -> str:
    """What is said where a run is to go on that is at its end, after so many epochs."""
    settings = config.trainer
    if settings.max_steps is not None or settings.fast_dev_run:
        key = "fast_dev_run=true" if settings.fast_dev_run else f"max_steps={settings.max_steps}"
        return (
            f"resume={config.resume}: it is at its end, and trainer.{key} stays what it was; for a longer one "
            "start a new run"
        )
    return (
        f"resume={config.resume}: {counted(done, 'epoch')} {are(done)} done, and "
        f"trainer.max_epochs={settings.max_epochs}; give a larger trainer.max_epochs to go on"
    )


def check_jobs(n_jobs: int, jobs: int) -> None:
    """Whether this machine can do so many of a sweep's jobs at a time, each in a process of its own.

    Raises:
        BadInput: it cannot.
    """
    key, most = f"hydra.launcher.n_jobs={n_jobs}", max(cores(), TRIAL)
    as_many = "or -1 for as many as there are cores"
    if n_jobs == 0:
        raise BadInput(f"{key}: no job would run; give a number from 1 to {most}, {as_many}")
    if n_jobs > most:
        raise BadInput(
            f"{key}: each job at a time is a process of its own, and this machine has {_cores()}; give at most {most}, "
            f"{as_many}"
        )
    needed, room = PROCESS + (min(n_jobs, jobs) - 1) * ANOTHER, free_memory() + own_memory()
    if needed > max(room, ORDINARY):
        raise BadInput(
            f"{key}: so many processes need about {_size(needed)} of memory, and {_size(room)} are free; give at most "
            f"{max(1, int((room - PROCESS) / ANOTHER))}"
        )


def _size(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= 0.95 * size:
            return f"{count / size:.1f} {unit}" if count < 9.95 * size else f"{count / size:.0f} {unit}"
    return f"{count / 1e6:.1f} MB"


def _rounded(count: float) -> int:
    """A whole number with two figures, not above `count`, and at least 1."""
    whole = max(1, int(count))
    figures = int(10 ** max(0, len(str(whole)) - 2))
    return whole // figures * figures


def _cores() -> str:
    return "1 core" if cores() == 1 else f"{cores()} cores"


def about(config: Config) -> str:
    """What a run is to do, in a few words."""
    most, settings = config.trainer.max_time, config.trainer
    within = f", for {most} at most" if most else ""
    if config.resume:
        return f"{config.resume} goes on, to epoch {epochs(config)}{within}"
    parameters, _ = size_of(config)
    length = counted(epochs(config), "epoch")
    if settings.max_steps is not None:
        length = f"{counted(settings.max_steps, 'update')} in {length}"
    if few := overfitted(config):
        length += f"; it is trained and validated on the same {counted(few, 'image')}"
    return f"{config.model.kind} on {config.data.name}, {parameters:,} parameters, {length}{within}"
