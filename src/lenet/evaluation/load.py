"""A trained net, read back from its run directory or from a file of weights."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lenet.batches import EVALUATION_BATCH
from lenet.config import Config
from lenet.datasets import input_size
from lenet.errors import BadInput
from lenet.evaluation.checks import check_export
from lenet.evaluation.saved import saved
from lenet.evaluation.weights import Weights, read, write
from lenet.models.build import build_net
from lenet.models.sizes import layers_of
from lenet.system.machine import THREADS_PER_CORE, cores, free_memory
from lenet.training.checkpoints import check_weights, largest_checkpoint, load_checkpoint
from lenet.training.demands import ORDINARY
from lenet.training.devices import set_arithmetic
from lenet.training.module import Classifier


@dataclass(frozen=True)
class Trained:
    """A net with the weights of one of its checkpoints, ready to look at images."""

    config: Config
    result: dict[str, Any]
    model: Classifier
    weights: str  # best | last


def load_trained(path: str | Path, weights: str | None = None) -> Trained:
    """The net of a finished run.

    Args:
        path: the run directory, or a file that scripts/export.py has made of it.
        weights: best or last; without it, those that the run itself tested.

    Raises:
        BadInput: `path` is no run directory or of an unfinished run, or the checkpoint is missing, damaged or of
            another net.
    """
    found = saved(path, weights)
    if found.file == Path(path):
        return _from_file(found.file)
    state = load_checkpoint(found.file, largest=largest_checkpoint(found.config))["state_dict"]
    try:
        return _trained(found.config, found.result, found.weights, state)
    except ValueError as error:
        raise BadInput(
            f"{found.file}: the weights of another net than {Path(path)}/config.yaml describes ({error}); keep both "
            "files of one run together"
        ) from error


def _from_file(path: Path) -> Trained:
    content = read(path)
    try:
        state = {f"net.{name}": tensor for name, tensor in content.tensors.items()}
        return _trained(content.config, content.result, content.which, state)
    except ValueError as error:
        raise BadInput(
            f"{path}: not a file of weights of ours ({error}); name one that scripts/export.py wrote"
        ) from error


def _trained(config: Config, result: dict[str, Any], weights: str, state: dict[str, Tensor]) -> Trained:
    """The net with the weights of a checkpoint's state_dict in it.

    Raises:
        ValueError: they are of another net than the config describes.
    """
    with torch.device("meta"):  # shapes alone: the config may ask for a net that fills the memory
        check_weights(state, build_net(config))
    model = Classifier(replace(config, compile=False))
    # What the run computed with, so that its numbers come out the same to the last bit.
    threads = result.get("threads", 0)  # perhaps of a larger machine, or of somebody who means harm
    set_arithmetic(config, threads if 0 < threads <= THREADS_PER_CORE * cores() else torch.get_num_threads())
    model.to(next(value.dtype for value in state.values() if value.is_floating_point()))
    model.load_state_dict(state)
    if str(result.get("device")).startswith("cuda") and torch.cuda.is_available():
        model.to("cuda")  # whichever it is here
    return Trained(config, result, model.eval(), weights)


def export(trained: Trained, path: Path) -> None:
    """Make one small file of a net; `load_trained` reads it.

    Raises:
        BadInput: it cannot be written there.
    """
    check_export(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result = dict(trained.result)
        if trained.weights != trained.config.test_on:  # the result is of the others
            result = {key: value for key, value in result.items() if key not in ("metrics", "best_epoch")}
        write(Weights(trained.config, result, trained.weights, trained.model.net.state_dict()), path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; name a file that can be written") from error


def check_memory(trained: Trained) -> None:
    """Whether a batch of images and the largest two layers that follow one another find room.

    Raises:
        BadInput: they do not.
    """
    if trained.model.device.type != "cpu":
        return
    model, size = trained.config.model, input_size(trained.config.data)
    numbers = [size**2, *(math.prod(layer.shape) for layer in layers_of(trained.config))]
    width = next(trained.model.parameters()).element_size()
    needed = EVALUATION_BATCH * width * max(a + b for a, b in pairwise(numbers))
    free = free_memory()
    if needed > max(free, ORDINARY):
        raise BadInput(
            f"model.conv_channels={model.conv_channels} model.padding={model.padding}: {EVALUATION_BATCH:,} images in "
            f"this net take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; use a machine with more"
        )
