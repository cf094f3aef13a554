"""The net of another run as the start of this one: `init_from`. Nothing here imports torch before it has to.

The weights have to fit, all of them. Alone the last layer may be another one, where it knows other classes: it then
begins anew. All else may differ: the data, the optimizer, and what of a net has no weights.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from lenet.config import Config, value_of
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.evaluation.saved import Saved, saved
from lenet.models.sizes import layers_of
from lenet.runs.directory import WEIGHTS, RunDirectory

if TYPE_CHECKING:
    from torch import Tensor

    from lenet.training.module import Classifier

# What says which weights a net has, and what it does with them.
SHAPE = ("model.kind", "model.conv_channels", "model.convs_per_block", "model.kernel_size", "model.padding",
         "model.pool", "model.norm", "model.fc_sizes", "data.pad")  # fmt: skip
USE = ("model.activation", "model.pool")

log = logging.getLogger(__name__)


def check_initial_weights(config: Config) -> Saved | None:
    """The net that a run is to start from, if any, as far as can be known without torch.

    Raises:
        BadInput: it is not to be had, or has other layers.
    """
    if config.init_from is None or _is_under_way(config):
        return None
    try:
        found = saved(config.init_from)
    except BadInput as error:
        raise BadInput(f"init_from={str(error).removeprefix('init_from=')}") from error
    if _weighted(found.config) != _weighted(config):
        raise BadInput(_other_layers(found.config, config))
    return found


def load_initial_weights(config: Config, model: Classifier) -> dict[str, Any] | None:
    """Put the weights of `init_from` into a net.

    Returns:
        What result.json says of them: the file and its SHA-256, and which weights of the net are not from there. None
        where the net stays as it was drawn, or is about to get the weights of a checkpoint.

    Raises:
        BadInput: they are not to be had, or are of another net.
    """
    found = check_initial_weights(config)
    if found is None:
        return None
    from lenet.training.checkpoints import check_weights

    (state, digest), own = _state(found), {f"net.{name}": value for name, value in model.net.state_dict().items()}
    before, now = (len(data_set(one.data).classes) for one in (found.config, config))
    anew = [name for name, value in own.items() if before != now and _is_output(state.get(name), value, before, now)]
    try:
        state = state | {name: own[name] for name in anew}
        check_weights(state, model.net)
    except ValueError as error:
        raise BadInput(
            f"init_from={config.init_from}: the weights of another net ({error}); name a run with this one's layers"
        ) from error
    model.load_state_dict(state)
    if anew:
        log.info("init_from=%s: knows %d classes, and here are %d; the last layer begins anew",
                 config.init_from, before, now)  # fmt: skip
    for key in USE:
        then, here = value_of(found.config, key), value_of(config, key)
        if then != here:
            log.warning("init_from=%s: was trained with %s=%s, and goes on with %s", config.init_from, key, then, here)
    return {"path": str(found.file.resolve()), "sha256": digest, "anew": [name.removeprefix("net.") for name in anew]}


def _is_under_way(config: Config) -> bool:
    """Whether the run has a checkpoint to go on from, in which all of its weights are."""
    return config.resume is not None and not RunDirectory(config.resume).has_saved_nothing


def _weighted(config: Config) -> list[tuple[str, str, int]]:
    """The layers that have weights, but the last."""
    return [(row.name, row.kind, row.parameters) for row in layers_of(config)[:-1] if row.parameters]


def _other_layers(found: Config, config: Config) -> str:
    differing = [key for key in SHAPE if value_of(found, key) != value_of(config, key)]
    there, here = (
        " ".join(f"{key}={value_of(one, key)}".replace(" ", "") for key in differing) for one in (found, config)
    )
    if not differing:
        return f"init_from={config.init_from}: the net has other layers; name a run with this one's"
    return f"init_from={config.init_from}: has {there}, and this net {here}; give {_as_there(found, config)}"


def _as_there(found: Config, config: Config) -> str:
    """The words that make a net of these weights do with them what it did."""
    legal = ("model.init", "loss.name") if found.model.kind != config.model.kind else ()  # with that kind alone
    keys = dict.fromkeys((*SHAPE, *USE, *legal))
    return " ".join(
        f"{key}={value_of(found, key)}".replace(" ", "")
        for key in keys
        if value_of(found, key) != value_of(config, key)
    )


def _state(found: Saved) -> tuple[dict[str, Tensor], str]:
    """The weights, under the names that they have in a `Classifier`, and the SHA-256 of what they were read from."""
    from lenet.evaluation.weights import hashed
    from lenet.training.checkpoints import largest_checkpoint, load_checkpoint

    if found.file.suffix == WEIGHTS:
        named, digest = hashed(found.file)
        return {f"net.{name}": tensor for name, tensor in named.items()}, digest
    sha256 = hashlib.sha256()
    content = load_checkpoint(found.file, largest=largest_checkpoint(found.config), digest=sha256)
    return content["state_dict"], sha256.hexdigest()


def _is_output(there: Any, here: Tensor, before: int, now: int) -> bool:
    """Whether it has a row for each class, and is otherwise the same."""
    shape = tuple(getattr(there, "shape", ()))
    return bool(shape) and shape[0] == before and here.shape[0] == now and shape[1:] == tuple(here.shape[1:])
