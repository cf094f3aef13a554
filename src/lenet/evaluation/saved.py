"""Trained nets as their files describe them, before torch is imported."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors

from lenet.config import Config, Data
from lenet.data import download
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.models.sizes import size_of
from lenet.rules import validate
from lenet.runs.directory import RESULT, WEIGHTS, RunDirectory, parse_config
from lenet.runs.safe_io import fits, parse_json

PARTS = ("test", "validation")  # of the data, that a net can be evaluated on

LARGEST_HEADER = 100_000  # characters of the config in it, and of the result


@dataclass(frozen=True)
class Saved:
    """A trained net as its files describe it."""

    config: Config
    result: dict[str, Any]
    weights: str  # best | last
    file: Path  # that has them: a checkpoint, or a file of weights


def saved(path: str | Path, weights: str | None = None) -> Saved:
    """The net of a finished run.

    Args:
        path: the run directory, or a file that scripts/export.py has made of it.
        weights: best or last; without it, those that the run itself tested.

    Raises:
        BadInput: `path` is no run directory or of an unfinished run, the checkpoint is missing, or it is no file of
            weights.
    """
    if Path(path).suffix == WEIGHTS and not Path(path).is_dir():
        found = header(Path(path))
        if weights not in (None, found.weights):
            raise BadInput(f"--weights {weights}: {path} holds the {found.weights} weights alone; leave it out")
        return found
    run = RunDirectory(path)
    config = run.read_config()
    result = run.read_result()
    if result is None or result.get("status") != "completed":
        status = "without a result" if result is None else result.get("status")
        raise BadInput(f"{path}: this run is {status}, not completed; finish it with scripts/train.py resume={path}")
    try:
        validate(config)
    except BadInput as error:
        brought = "; or bring it with --extend FILE, as the run did" if "choose " in str(error) else ""
        raise BadInput(f"{run.path}/config.yaml: {error}{brought}") from error
    if weights == "best" and config.data.val_fraction == 0:
        raise BadInput(f"--weights best: {path} had no validation images to find them by; take --weights last")
    weights = weights or config.test_on
    checkpoint = {"best": run.best_checkpoint, "last": run.last_checkpoint}[weights]
    if not checkpoint.exists():
        raise BadInput(f"{checkpoint}: no such checkpoint; start the run again from the beginning")
    return Saved(config, result, weights, checkpoint)


def header(path: Path) -> Saved:
    """What a file of weights says of its net. The data are looked for where this computer has them.

    Raises:
        BadInput: it is not to be read, or not one of ours.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file of weights; name one that scripts/export.py has written")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = file.metadata() or {}
        if any(len(text[key]) > LARGEST_HEADER for key in ("config", "result")):
            raise ValueError(f"more than {LARGEST_HEADER:,} characters in its header")
        config, result = parse_config(text["config"]), parse_json(text["result"])
        _check_size(config, path)
        ours = isinstance(result, dict) and all(fits(result[key], RESULT[key]) for key in RESULT.keys() & result)
        if not ours or text["weights"] not in ("best", "last"):
            raise ValueError("its result is not one of ours")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); name a file that can") from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        words = f"no {error} in its header" if isinstance(error, KeyError) else str(error)
        raise BadInput(
            f"{path}: not a file of weights of ours ({words}); name one that scripts/export.py has written"
        ) from error
    return Saved(replace(config, data=replace(config.data, root=Data().root)), result, text["weights"], path)


def _check_size(config: Config, path: Path) -> None:
    """Before the tensors come into memory: whether the config is legal, and the file no larger than its net.

    Raises:
        BadInput: the config is not.
        ValueError: the file is larger.
    """
    try:
        validate(config)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    parameters, _ = size_of(config)
    most = 3 * 8 * parameters + 2**20  # in 64 bits; batch normalisation counts two numbers for each two parameters
    if path.stat().st_size > most:
        raise ValueError(f"more than {most:,} bytes")


def check_evaluation(config: Config, part: str, flip: bool) -> None:
    """Whether a net can be evaluated so.

    Raises:
        BadInput: it has no validation images, or no probabilities to take the mean of.
    """
    if flip and config.loss.name != "cross_entropy":
        raise BadInput(f"--flip: a net with loss.name={config.loss.name} has no probabilities; leave it out")
    if part == "validation" and config.data.val_fraction == 0:
        raise BadInput("--part validation: this run was trained with data.val_fraction=0; take --part test")


def is_own_root(root: str) -> bool:
    """Whether a config's data.root is the one of this computer, and not one that a stranger's config brings along."""
    try:
        return os.path.realpath(root) == os.path.realpath(Data().root)
    except ValueError:  # a null byte
        return False


def evaluated(of_the_run: Data, name: str | None, root: str | None) -> tuple[Data, bool]:
    """The data to evaluate a net on, and whether their folder is one of this computer's user, who may change it.

    Raises:
        BadInput: they have another number of classes than the net.
    """
    settings = replace(of_the_run, name=name or of_the_run.name, root=root or of_the_run.root)
    if name not in (None, of_the_run.name):
        settings.classes = []
        ours, theirs = len(data_set(of_the_run).classes), len(data_set(settings).classes)
        if ours != theirs:
            raise BadInput(f"--data {name}: has {theirs} classes, and this net knows {ours}; take data with as many")
    return settings, bool(root) or is_own_root(settings.root)


def check_data(data: Data, is_own: bool) -> None:
    """Whether the files of a data set are there or, in a place of one's own, can be put there.

    Raises:
        BadInput: they are not, or are other ones.
    """
    (download.look if is_own else download.find)(data.name, data.root)
