"""What a file of your own brings in: `--extend my_lenet.py` runs it before anything else (docs/extending.md).

Each function below takes one thing in under a name, which is then a value of a key of the config, as ours are. A config
names it, and never says where its code is: whoever starts the command does.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from lenet.config import allow, choices
from lenet.datasets import DATASETS, DataSet
from lenet.errors import BadInput
from lenet.runs.metrics import METRIC_NAME
from lenet.runs.names import trouble

Made = TypeVar("Made", bound=Callable[..., Any])


def _new(key: str, name: str) -> None:
    """Let `name` be a value of a key.

    Raises:
        BadInput: it is one already, or cannot be one.
    """
    if reason := trouble(name, longest=60):
        raise BadInput(f"{key}={name}: {reason}")
    if name in choices()[key]:
        raise BadInput(f"{key}={name}: there is one of this name already; give yours another name")
    allow(key, name)


def data_set(name: str, record: DataSet) -> None:
    """Bring in a data set, `data.name=NAME`: a record such as those of `lenet.datasets`."""
    _new("data.name", name)
    DATASETS[name] = record


def net(name: str) -> Callable[[Made], Made]:
    """Bring in a net, `model.kind=NAME`: a class or function of (model, size, classes) that returns a torch module.

    It maps normalised images (n, 1, size, size) to logits (n, classes), and may use what it likes of
    `lenet.config.Model`. Its layers are looked at in a trial run without numbers, for the table of scripts/summary.py
    and for what fits.
    """

    def bring(build: Made) -> Made:
        from lenet.models.build import NETS

        _new("model.kind", name)
        NETS[name] = build
        return build

    return bring


def activation(name: str) -> Callable[[Made], Made]:
    """Bring in an activation, `model.activation=NAME`: what makes a torch module that keeps the shape."""

    def bring(build: Made) -> Made:
        from lenet.models import lenet
        from lenet.models.layers import ACTIVATIONS

        _new("model.activation", name)
        ACTIVATIONS[name] = getattr(build, "__name__", name)
        lenet.ACTIVATION_MODULES[name] = build
        return build

    return bring


def optimizer(name: str) -> Callable[[Made], Made]:
    """Bring in an optimizer, `optimizer.name=NAME`: a function of (parameters, `lenet.config.Optimizer`)."""

    def bring(build: Made) -> Made:
        from lenet.training.optimizers import OPTIMIZERS

        _new("optimizer.name", name)
        OPTIMIZERS[name] = build
        return build

    return bring


def schedule(name: str, every: str = "step") -> Callable[[Made], Made]:
    """Bring in a schedule, `schedule.name=NAME`: a function of (optimizer, `lenet.config.Config`).

    `every`: step, so that the learning rate may change after every update, or epoch.
    """

    def bring(build: Made) -> Made:
        from lenet.training.optimizers import SCHEDULES

        _new("schedule.name", name)
        SCHEDULES[name] = (build, every)
        return build

    return bring


def metric(name: str) -> Callable[[Made], Made]:
    """Bring in a metric, train/NAME, val/NAME and test/NAME: what makes a torchmetrics Metric for so many classes.

    It is updated with logits (n, classes) and labels (n,), and stands in metrics.csv, the lines of a run, its result,
    TensorBoard and evaluate.py.
    """

    def bring(build: Made) -> Made:
        from lenet.training.metrics import FURTHER_METRICS

        if name in ("loss", "acc", *FURTHER_METRICS):
            raise BadInput(f"{name}: there is a metric of this name already; give yours another name")
        if not METRIC_NAME.fullmatch(name):
            raise BadInput(f"{name}: no name for a metric; give at most 60 of a-z, A-Z, 0-9 and _, such as top_5")
        FURTHER_METRICS[name] = build
        return build

    return bring


def picture(name: str) -> Callable[[Made], Made]:
    """Bring in a picture for TensorBoard, mine/NAME: a function of (`Predictions`, names of the classes).

    It is drawn once, of the test images, and returns a Pillow image.
    """

    def bring(draw: Made) -> Made:
        from lenet.dashboard.callback import PICTURES

        if name in PICTURES:
            raise BadInput(f"{name}: there is a picture of this name already; give yours another name")
        PICTURES[name] = draw
        return draw

    return bring


def logger(name: str) -> Callable[[Made], Made]:
    """Bring in a logger, `logger=NAME`: a function of (`lenet.config.Config`, the run's directory).

    It returns a Logger of Lightning's, which gets the config and the points of each epoch and of the test. A resumed
    run gives it all epochs anew.
    """

    def bring(build: Made) -> Made:
        from lenet.training.loggers import FURTHER_LOGGERS

        _new("logger", name)
        FURTHER_LOGGERS[name] = build
        return build

    return bring


def callback(build: Made) -> Made:
    """Bring in a callback of Lightning's: a function of `lenet.config.Config` that returns one, for every run."""
    from lenet.training.callbacks import FURTHER_CALLBACKS

    FURTHER_CALLBACKS.append(build)
    return build
