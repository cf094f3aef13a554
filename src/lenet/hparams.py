"""The HPARAMS tab of TensorBoard: which setting won."""

import functools
import time
from collections.abc import Mapping, Sequence
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

from lenet.config import Config, schema
from lenet.validation import CHOICES, INITS

# What the tab sorts and filters by, with the key of the config. In every run the same names with the same types, and
# few of them: TensorBoard silently leaves out runs that differ.
HYPERPARAMETERS = {
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

LEGAL = {**CHOICES, "model.init": (*INITS["lenet"], *INITS["lenet5"])}

# The points that the tab reads, with the name that each has there and in result.json.
RESULTS = {
    "whole_run/val_acc": "val/acc",
    "whole_run/test_acc": "test/acc",
    "whole_run/parameters": "parameters",
    "whole_run/seconds": "seconds",
}


def hyperparameters(config: Config) -> dict[str, str | float]:
    """A run's values: numbers, and text such as 6x16 for lists and for what may be one."""
    values: dict[str, str | float] = {}
    for name, key in HYPERPARAMETERS.items():
        value: Any = functools.reduce(getattr, key.split("."), config)
        if _is_number(key):
            values[name] = float(value)
        else:
            values[name] = "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return values


def beginning(config: Config, overrides: Sequence[str]) -> tuple[Summary, Summary]:
    """To be written when a run starts. What `overrides` set is shown before the rest."""
    words = {override.split("=")[0].lstrip("+") for override in overrides}
    infos = [_info(name, key, differs=bool({key, key.split(".")[0]} & words)) for name, key in HYPERPARAMETERS.items()]
    metrics = [MetricInfo(name=MetricName(tag=tag), display_name=shown) for tag, shown in RESULTS.items()]
    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in hyperparameters(config).items():
        setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
    return (
        _summary(EXPERIMENT_TAG, experiment=Experiment(hparam_infos=infos, metric_infos=metrics)),
        _summary(SESSION_START_INFO_TAG, session_start_info=start),
    )


def results(result: Mapping[str, Any]) -> dict[str, float]:
    """The points of RESULTS that a run has."""
    known = {tag: result["metrics"].get(shown, result.get(shown)) for tag, shown in RESULTS.items()}
    return {tag: value for tag, value in known.items() if value is not None}


def ending(result: Mapping[str, Any]) -> Summary:
    """To be written when a run is finished, has failed or was stopped."""
    status = STATUS_SUCCESS if result["status"] == "completed" else STATUS_FAILURE
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
