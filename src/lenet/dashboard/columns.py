"""Which columns HPARAMS has: those that tell the runs below the folder apart, whichever of them came first.

TensorBoard itself takes the columns that one of the runs wrote for all of them (tensorflow/tensorboard#3597). Under a
plain `tensorboard --logdir runs` every key has its box to tick all the same, since every run writes all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
from tensorboard.plugins.hparams.metadata import (
    EXPERIMENT_TAG,
    SESSION_START_INFO_TAG,
    parse_experiment_plugin_data,
    parse_session_start_info_plugin_data,
)

from lenet.config import Config
from lenet.dashboard.hparams import HYPERPARAMETERS, LABELS, LEGAL, PRINCIPAL, hyperparameters, read


class Columns(Context):  # type: ignore[misc]  # TensorBoard has no types
    """Where TensorBoard asks for the columns."""

    def experiment_from_metadata(
        self,
        ctx: Any,
        experiment_id: str,
        include_metrics: bool,
        hparams_run_to_tag_to_content: Mapping[str, Mapping[str, bytes]],
        data_provider_hparams: Any,
        hparams_limit: int | None = None,
    ) -> Experiment:
        runs = [hparams_run_to_tag_to_content[run] for run in sorted(hparams_run_to_tag_to_content)]
        written = [parse_experiment_plugin_data(tags[EXPERIMENT_TAG]) for tags in runs if EXPERIMENT_TAG in tags]
        inferred = super().experiment_from_metadata(  # what TensorBoard makes of runs without written columns
            ctx,
            experiment_id,
            include_metrics and not written,
            {
                run: {tag: content for tag, content in tags.items() if tag != EXPERIMENT_TAG}
                for run, tags in hparams_run_to_tag_to_content.items()
            },
            data_provider_hparams,
        )
        if include_metrics and written:
            metrics = {(info.name.group, info.name.tag): info for one in written for info in one.metric_infos}
            inferred.metric_infos.extend(metrics.values())
        chosen = _chosen(
            inferred.hparam_infos, {i.name for one in written for i in one.hparam_infos if i.differs}, runs
        )
        inferred.ClearField("hparam_infos")
        inferred.hparam_infos.extend(chosen[: hparams_limit or None])
        return inferred


class HParams(HParamsPlugin):  # type: ignore[misc]
    """The tab, with these columns."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._context = Columns(context)


def _chosen(infos: Iterable[HParamInfo], named: set[str], runs: Sequence[Mapping[str, bytes]]) -> list[HParamInfo]:
    """Those of `infos` that are offered, in the order of their columns, of which the tab ticks the first five.

    First what differs, then what a command line or a sweep has `named`, then what is always asked for. What every run
    has as it is by default is left out.
    """
    offered = PRINCIPAL.keys() | named | _changed(runs)
    by_rank = {}
    for info in infos:
        key = HYPERPARAMETERS.get(info.name)  # None: of a run that is not ours
        if not (info.differs or info.name in offered or key is None):
            continue
        foremost = key is None or not key.startswith(LABELS)
        rank = 0 if info.differs and foremost else 1 if info.name in named and foremost else 2
        if info.domain_discrete:  # a box to tick for each, in a fixed order
            legal = LEGAL.get(key or "", ())
            seen = sorted(set(info.domain_discrete) - set(legal))
            info.ClearField("domain_discrete")
            info.domain_discrete.extend([*legal, *seen])
        info.differs = rank < 2  # so the tab is told what comes first
        by_rank[rank, info.name not in PRINCIPAL, info.name] = info
    return [info for _, info in sorted(by_rank.items())]


def _changed(runs: Sequence[Mapping[str, bytes]]) -> set[str]:
    """The names that a run has with another value than the default."""
    usual = hyperparameters(Config())
    found = set()
    for tags in runs:
        if SESSION_START_INFO_TAG in tags:
            given = parse_session_start_info_plugin_data(tags[SESSION_START_INFO_TAG]).hparams
            found |= {name for name, value in usual.items() if name in given and read(given[name]) != value}
    return found
