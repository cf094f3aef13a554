"""The HPARAMS tab of TensorBoard: which setting won."""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_FAILURE,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.metadata import (
    EXPERIMENT_TAG,
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
    create_summary_metadata,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from lenet.batches import epochs
from lenet.config import Config, choices, schema
from lenet.rules.model import INIT_CHOICES
from lenet.sweeps.names import label, short

# What the tab always offers to sort and filter by, with the key of the config.
PRINCIPAL = {
    "data": "data.name",
    "model": "model.kind",
    "pool": "model.pool",
    "kernel_size": "model.kernel_size",
    "conv_channels": "model.conv_channels",
    "fc_sizes": "model.fc_sizes",
    "activation": "model.activation",
    "init": "model.init",
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "batch_size": "data.batch_size",
    "epochs": "trainer.max_epochs",
    "seed": "seed",
}


def _others() -> dict[str, str]:
    """Every other key of a config, by the name that it has in the directories of a sweep; norm for model.norm."""
    keys = [key for key, kind in schema().items() if not is_dataclass(kind) and key not in PRINCIPAL.values()]
    names = {key: short(key) for key in keys if key not in ("resume", "logger")}  # no part of what a run is
    return {key if name in PRINCIPAL else name: key for key, name in names.items()}


# All that a run says of itself. In every run the same names with the same types: what one leaves out, or has in another
# type, TensorBoard cannot tell from the others'. `lenet.dashboard.columns` chooses which of them have a column.
HYPERPARAMETERS = PRINCIPAL | _others()

# Keys that say how a run is called and shown, not what it computes: no column of theirs comes first.
LABELS = ("name", "tags", "data.root", "data.classes", "trainer.enable_progress_bar", "dashboard.")

LEGAL = {**choices(), "model.init": tuple(init for known in INIT_CHOICES.values() for init in known)}

# The points that the tab reads, with the name that each has there and in result.json.
RESULTS = {
    "whole_run/val_acc": "val/acc",
    "whole_run/test_acc": "test/acc",
    "whole_run/parameters": "parameters",
    "whole_run/seconds": "seconds",
}


def hyperparameters(config: Config) -> dict[str, str | float]:
    """A run's values: numbers, and text such as 6x16 for lists and for what may be one, or null."""
    values: dict[str, str | float] = {}
    for name, key in HYPERPARAMETERS.items():
        value: Any = functools.reduce(getattr, key.split("."), config)
        values[name] = float(value) if _is_number(key) else label(value)
    return values


def changed(config: Config) -> list[tuple[str, str, str]]:
    """The keys that differ from the default, with both values; those that say how a run is called are left out."""
    values, usual = hyperparameters(config), hyperparameters(Config())
    return [
        (key, _in_words(values[name]), _in_words(usual[name]))
        for name, key in HYPERPARAMETERS.items()
        if values[name] != usual[name] and not key.startswith(LABELS)
    ]


def _in_words(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def read(value: Any) -> str | float | None:
    """A value as the event file has it."""
    kind = value.WhichOneof("kind")
    return getattr(value, kind) if kind in ("string_value", "number_value") else None


def beginning(config: Config, overrides: Sequence[str], further: Sequence[str] = ()) -> tuple[Summary, Summary]:
    """To be written when a run starts. What `overrides` set is shown before the rest.

    `further`: the names of the metrics beside loss and accuracy.
    """
    words = {override.split("=")[0].lstrip("+") for override in overrides}
    values, usual = hyperparameters(config), hyperparameters(Config())

    def is_set(name: str, key: str) -> bool:
        """By its own word, or by that of its group, such as optimizer=adam, which sets some of its keys."""
        by_group = key.split(".")[0] in words and (name in PRINCIPAL or values[name] != usual[name])
        return (key in words or by_group) and not key.startswith(LABELS)

    infos = [_info(name, key, differs=is_set(name, key)) for name, key in HYPERPARAMETERS.items()]
    values["epochs"] = float(epochs(config))  # fewer than trainer.max_epochs where trainer.max_steps ends the run
    metrics = [MetricInfo(name=MetricName(tag=tag), display_name=shown) for tag, shown in _points(further).items()]
    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in values.items():
        setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
    return (
        _summary(EXPERIMENT_TAG, experiment=Experiment(hparam_infos=infos, metric_infos=metrics)),
        _summary(SESSION_START_INFO_TAG, session_start_info=start),
    )


def _points(further: Sequence[str]) -> dict[str, str]:
    """`RESULTS`, and the same of validation and test for each further metric."""
    return RESULTS | {f"whole_run/{split}_{name}": f"{split}/{name}" for name in further for split in ("val", "test")}


def results(result: Mapping[str, Any]) -> dict[str, float]:
    """The points that a run has for the tab."""
    further = {name.split("/")[1] for name in result["metrics"]} - {"loss", "acc"}
    values = {tag: result["metrics"].get(shown, result.get(shown)) for tag, shown in _points(sorted(further)).items()}
    return {tag: value for tag, value in values.items() if value is not None}


def ending(result: Mapping[str, Any]) -> Summary:
    """To be written when a run is finished, has failed or was stopped."""
    status = STATUS_SUCCESS if result["status"] in ("completed", "pruned") else STATUS_FAILURE
    return _summary(SESSION_END_INFO_TAG, session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()))


def _summary(tag: str, **content: Any) -> Summary:
    metadata = create_summary_metadata(HParamsPluginData(**content))
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata)])


def _is_number(key: str) -> bool:
    return schema()[key] in (int, float)


def _info(name: str, key: str, differs: bool) -> HParamInfo:
    """`differs`: TensorBoard shows such columns first; it shows five before it is asked for more."""
    if _is_number(key):
        return HParamInfo(name=name, type=DATA_TYPE_FLOAT64, differs=differs)
    info = HParamInfo(name=name, type=DATA_TYPE_STRING, differs=differs)
    info.domain_discrete.extend(LEGAL.get(key, ()))  # each with a box to tick
    return info
