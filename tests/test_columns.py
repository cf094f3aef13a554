"""The columns of HPARAMS, as TensorBoard's own backend makes them of the event files of many runs."""

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import get_experiment, list_session_groups
from tensorboard.plugins.hparams.api_pb2 import (
    STATUS_UNKNOWN,
    Experiment,
    GetExperimentRequest,
    ListSessionGroupsRequest,
    SessionGroup,
)
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from lenet.config import Config, Trainer
from lenet.dashboard.columns import Columns
from lenet.dashboard.hparams import HYPERPARAMETERS, LABELS, PRINCIPAL, beginning, hyperparameters

SHOWN = 5  # columns that the tab ticks by itself
METRICS = ["whole_run/val_acc", "whole_run/test_acc", "whole_run/parameters", "whole_run/seconds"]
NAMES = {key: name for name, key in HYPERPARAMETERS.items()}

# Another legal value than the default, for keys of every type.
OTHERS = {
    "seed": 3,
    "tags": ["one", "two"],
    "test_each_epoch": True,
    "data.train_size": 1000,
    "data.augment.shift": 2,
    "model.conv_channels": [12, 32],
    "model.kernel_size": [5, 3],
    "model.pool": "max",
    "model.norm": "batch",
    "loss.name": "map",
    "optimizer.betas": [0.8, 0.9],
    "optimizer.lr": 0.1,
    "optimizer.ema_decay": 0.99,
    "schedule.name": "cosine",
    "schedule.epochs": [1, 2],
    "trainer.limit_train_batches": 0.5,
    "trainer.devices": "1,",
    "dashboard.histograms": True,
    "compile": True,
    "threads": 1,
}


def a_run(folder: Path, *overrides: str, **changes: Any) -> None:
    """The event file of a run that has begun: `changes` by key, of which `overrides` are what was typed."""
    config = Config()
    for key, value in changes.items():
        *path, last = key.split(".")
        group: Any = config
        for part in path:
            group = getattr(group, part)
        setattr(group, last, value)
    write(folder, *beginning(config, overrides))


def write(folder: Path, *summaries: Any) -> None:
    writer = EventFileWriter(str(folder))
    for summary in summaries:
        writer.add_event(Event(summary=summary))
    writer.close()


def loaded(folder: Path, kind: type[Context]) -> tuple[Context, RequestContext]:
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    return kind(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder)))), RequestContext()


def experiment(folder: Path, kind: type[Context] = Columns, limit: int = 1000) -> Experiment:
    context, request = loaded(folder, kind)
    return get_experiment.Handler(request, context, "", GetExperimentRequest(hparams_limit=limit)).run()


def rows(folder: Path) -> Sequence[SessionGroup]:
    context, request = loaded(folder, Columns)
    wanted = ListSessionGroupsRequest(allowed_statuses=[STATUS_UNKNOWN], slice_size=99)
    return list_session_groups.Handler(request, context, "", wanted).run().session_groups


def offered(folder: Path, kind: type[Context] = Columns) -> list[str]:
    return [info.name for info in experiment(folder, kind).hparam_infos]


def ticked(folder: Path) -> list[str]:
    """As the page does it: what TensorBoard is told that differs first, then the rest, in the order given."""
    return [info.name for info in sorted(experiment(folder).hparam_infos, key=lambda info: not info.differs)][:SHOWN]


def test_the_epochs_of_a_run_are_those_that_it_has() -> None:
    config = Config(trainer=Trainer(max_epochs=10, max_steps=200))  # 188 are an epoch
    _, start = beginning(config, ["trainer.max_steps=200"])
    content = start.value[0].metadata.plugin_data.content
    assert HParamsPluginData.FromString(content).session_start_info.hparams["epochs"].number_value == 2


@settings(max_examples=25)
@given(
    runs=st.lists(st.sets(st.sampled_from(sorted(OTHERS)), max_size=4), min_size=2, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_every_key_in_which_any_runs_differ_has_a_column(runs: list[set[str]], order: random.Random) -> None:
    with TemporaryDirectory() as folder:
        names = [f"{number}" for number in range(len(runs))]
        order.shuffle(names)
        for name, keys in zip(names, runs, strict=True):
            a_run(Path(folder, name), **{key: OTHERS[key] for key in keys})
        anywhere, everywhere = set.union(*runs), set.intersection(*runs)
        assert {NAMES[key] for key in anywhere} <= set(offered(Path(folder), Context)), "under a plain tensorboard too"
        found = experiment(Path(folder)).hparam_infos
        assert {info.name for info in found} == PRINCIPAL.keys() | {NAMES[key] for key in anywhere}, "and no other"
        differ = {NAMES[key] for key in anywhere - everywhere if not key.startswith(LABELS)}
        assert {info.name for info in found if info.differs} == differ
        assert set(ticked(Path(folder))[: len(differ)]) <= differ
        assert all(len(row.hparams) == len(HYPERPARAMETERS) for row in rows(Path(folder)))


@pytest.mark.parametrize("first", ["default", "other"])
def test_what_tells_two_runs_apart_is_shown_whichever_ran_first(tmp_path: Path, first: str) -> None:
    words = ("model.norm=batch", "schedule=cosine", "data.augment.shift=2")
    other = {"model.norm": "batch", "schedule.name": "cosine", "data.augment.shift": 2}
    a_run(tmp_path / ("1" if first == "default" else "2"))
    a_run(tmp_path / ("2" if first == "default" else "1"), *words, **other)
    assert ticked(tmp_path) == ["norm", "schedule.name", "shift", "activation", "batch_size"]


def test_a_sweep_and_single_runs_side_by_side_have_the_columns_of_both(tmp_path: Path) -> None:
    a_run(tmp_path / "lenet/2026-11-22_09-30-00", "model.norm=batch", **{"model.norm": "batch"})
    for pool in ("avg", "max"):
        a_run(tmp_path / f"pooling/pool={pool}", "model.pool=avg", "model.pool=max", **{"model.pool": pool})
    assert ticked(tmp_path)[:2] == ["pool", "norm"]


def test_what_the_command_line_sets_comes_first_though_nothing_differs(tmp_path: Path) -> None:
    words = ("optimizer=adam", "model.dropout=0.0", "name=mine", "data.root=elsewhere")
    for run in ("a", "b"):
        a_run(tmp_path / run, *words, **{"optimizer.name": "adam", "optimizer.lr": 0.001, "name": "mine"})
    assert ticked(tmp_path) == ["lr", "optimizer", "dropout", "activation", "batch_size"]
    assert "name" in offered(tmp_path)
    assert not {"momentum", "betas", "warmup"} & set(offered(tmp_path)), "of its group nothing that stayed as it was"


def test_a_run_of_an_earlier_time_has_its_row_beside_new_ones(tmp_path: Path) -> None:
    """Such a run wrote thirteen values, and thirteen columns for all."""
    then = Config()
    then.optimizer.lr = 0.3
    summaries = beginning(then, ())
    for summary in summaries:
        plugin_data = summary.value[0].metadata.plugin_data
        content = HParamsPluginData.FromString(plugin_data.content)
        if content.HasField("experiment"):
            del content.experiment.hparam_infos[len(PRINCIPAL) :]
        else:
            for name in HYPERPARAMETERS.keys() - PRINCIPAL.keys():
                del content.session_start_info.hparams[name]
        plugin_data.content = content.SerializeToString()
    write(tmp_path / "0", *summaries)
    a_run(tmp_path / "1", **{"model.norm": "batch"})
    a_run(tmp_path / "2", "optimizer.ema_decay=0.9", **{"optimizer.ema_decay": 0.9})
    assert {"norm", "ema_decay"} <= set(offered(tmp_path))
    assert ticked(tmp_path)[0] == "lr"
    assert sorted(len(row.hparams) for row in rows(tmp_path)) == [13, len(HYPERPARAMETERS), len(HYPERPARAMETERS)]


def test_the_results_are_the_same_four_in_the_same_order(tmp_path: Path) -> None:
    a_run(tmp_path / "a")
    a_run(tmp_path / "b", seed=1)
    for kind in (Columns, Context):
        found = experiment(tmp_path, kind).metric_infos
        assert [info.name.tag for info in found] == METRICS
        assert [info.display_name for info in found] == ["val/acc", "test/acc", "parameters", "seconds"]


def test_values_that_can_be_ticked_are_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("a", "b"):
        a_run(tmp_path / name, **{"model.conv_channels": [ord(name)], "model.activation": "an old one"})
    boxes = {
        info.name: list(info.domain_discrete) for info in experiment(tmp_path).hparam_infos if info.domain_discrete
    }
    assert boxes["pool"] == ["avg", "max", "conv", "subsample"]
    assert boxes["activation"][-2:] == ["silu", "an old one"]
    assert boxes["conv_channels"] == ["97", "98"]


def test_as_many_columns_as_are_asked_for(tmp_path: Path) -> None:
    a_run(tmp_path / "a")
    a_run(tmp_path / "b", **{"model.norm": "batch"})
    assert [info.name for info in experiment(tmp_path, limit=2).hparam_infos] == ["norm", "activation"]


def test_a_run_says_the_same_wherever_it_was_started() -> None:
    assert "resume" not in HYPERPARAMETERS
    assert len(set(HYPERPARAMETERS.values())) == len(HYPERPARAMETERS)
    assert hyperparameters(Config(resume="runs/x")) == hyperparameters(Config())
