"""Loggers beside TensorBoard: what CSV, MLflow and W&B have of a run, read back with their own readers."""

import csv
import json
import logging
import os
import shutil
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock, Timeout
from lightning.pytorch.loggers import CSVLogger, Logger

from lenet.cli.commands import quoted
from lenet.cli.compose import resumed_config
from lenet.config import Config
from lenet.errors import BadInput
from lenet.rules import validate
from lenet.run import train
from lenet.runs.directory import RunDirectory
from lenet.training import demands, loggers
from lenet.training.loggers import Loggers, hyperparameters

if TYPE_CHECKING:  # MLflow and W&B take seconds to import, in every process that collects the tests
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient
    from wandb.proto.wandb_internal_pb2 import Record

pytestmark = pytest.mark.xdist_group("loggers")  # which imports them

ALL = ["csv", "mlflow", "wandb"]
BLOCK = 32768  # bytes, of a .wandb file


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run; making one takes seconds."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def folder(in_empty_folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the runs start; no setting of whoever runs the tests counts."""
    for variable in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(variable)
    for variable, value in loggers.QUIETLY.items():  # so that they are gone afterwards
        monkeypatch.setenv(variable, value)
    (in_empty_folder / "runs").mkdir()
    shutil.copy(database, in_empty_folder / "runs")
    yield in_empty_folder
    if (wandb := sys.modules.get("wandb")) and wandb.run:
        wandb.run.finish()


def client() -> "MlflowClient":
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{Path('runs/mlflow.db').absolute()}")


def only_run(name: str = "lenet") -> "Run":
    experiment = client().get_experiment_by_name(name)
    assert experiment
    (run,) = client().search_runs([experiment.experiment_id])
    return run


def in_csv(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    """The points of each metric, in the order in which they came; likewise below."""
    points: dict[str, list[tuple[int, float]]] = {}
    with (run.path / "csv/metrics.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            epoch = int(row.pop("step"))
            for tag, value in row.items():
                if value:
                    points.setdefault(tag, []).append((epoch, float(value)))
    return points


def in_mlflow(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    there = only_run()
    assert there.info.run_name == run.path.name
    histories = {tag: client().get_metric_history(there.info.run_id, tag) for tag in there.data.metrics}
    return {tag: sorted((point.step, point.value) for point in points) for tag, points in histories.items()}


def in_wandb(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    points: dict[str, list[tuple[int, float]]] = {}
    for record in records(run):
        row = {item.nested_key[0] if item.nested_key else item.key: item.value_json for item in record.history.item}
        values = {tag: json.loads(text) for tag, text in row.items() if not tag.startswith("_")}
        epoch = values.pop("trainer/global_step", None)
        for tag, value in values.items():
            points.setdefault(tag, []).append((epoch, value))
    return points


def records(run: RunDirectory) -> "list[Record]":
    """Of the one file that W&B would send."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    data, at, found, parts = path.read_bytes(), 7, [], b""  # a log as LevelDB's, behind seven bytes
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # too little for the head of another part
            at += BLOCK - at % BLOCK
        _, length, kind = struct.unpack_from("<IHB", data, at)  # 1: whole, 2: first part, 3: middle, 4: last
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(Record.FromString(parts))
            parts = b""
    return found


def in_metrics_csv(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    """What every logger is to have: all rows, and the test set's figures at the epoch that was tested."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in run.read_metrics():
        for tag, value in loggers.curves(row).items():
            points.setdefault(tag, []).append((int(row["epoch"]), value))
    result = run.read_result()
    assert result
    for tag, value in result["metrics"].items():
        if tag.startswith("test/"):
            points[tag] = [(result["best_epoch"], value)]
    return points


def test_every_logger_has_each_epoch_and_the_test_and_the_config(tiny_config, folder) -> None:
    _, plain = train(tiny_config, "runs/lenet/plain")
    tiny_config.logger, tiny_config.tags = ALL, ["mine"]
    _, run = train(tiny_config, "runs/lenet/one")
    assert (run.path / "metrics.csv").read_bytes() == (plain.path / "metrics.csv").read_bytes()
    assert in_csv(run) == in_mlflow(run) == in_wandb(run) == in_metrics_csv(run)

    settings = hyperparameters(tiny_config)
    assert settings["optimizer.lr"] == 0.1
    assert "data.root" not in settings
    there = only_run()
    assert there.data.params == {key: str(value) for key, value in settings.items()}
    assert (there.info.status, there.data.tags["directory"]) == ("FINISHED", str(folder / "runs/lenet/one"))
    (begun,) = [record.run for record in records(run) if record.HasField("run")]
    assert (begun.display_name, begun.run_group, begun.project, list(begun.tags)) == ("one", "lenet", "lenet", ["mine"])
    (last,) = [record.exit for record in records(run) if record.HasField("exit")]
    assert last.exit_code == 0

    assert {path.name for path in folder.iterdir()} == {"runs"}
    assert loggers.URI not in os.environ
    assert not [name for name in ("csv", "wandb", "loggers.json") if (plain.path / name).exists()]


def test_a_resumed_run_goes_on_in_every_logger_with_each_epoch_once(tiny_config) -> None:
    tiny_config.logger = ALL
    _, run = train(tiny_config, "runs/lenet/one")
    shutil.copytree(run.path, "kept")
    longer = replace(tiny_config, resume=str(run.path), trainer=replace(tiny_config.trainer, max_epochs=3))
    train(longer, run.path)
    shutil.rmtree(run.path)  # a kill between the points of an epoch and its checkpoint leaves two epochs of it
    shutil.move("kept", run.path)
    number = only_run().info.run_id
    longer.trainer.max_epochs = 4
    train(longer, run.path)
    assert only_run().info.run_id == number
    data = only_run().data
    assert (data.params["trainer.max_epochs"], data.tags["trainer.max_epochs"]) == ("2", "4")
    assert "trainer.max_steps" not in data.tags, "what is as it was"
    expected = in_metrics_csv(run)
    assert [epoch for epoch, _ in expected["train/loss"]] == [1, 2, 3, 4]
    for points in (in_csv(run), in_mlflow(run), in_wandb(run)):
        tested = {tag: points.pop(tag)[-1] for tag in ("test/loss", "test/acc")}
        assert tested == {tag: expected[tag][-1] for tag in tested}
        assert points == {tag: values for tag, values in expected.items() if tag not in tested}


def test_runs_one_after_another_in_one_process_are_several_in_every_logger(tiny_config) -> None:
    tiny_config.trainer.max_epochs = 1
    runs = [train(replace(tiny_config, seed=seed, logger=ALL), f"runs/lenet/{seed}")[1] for seed in (0, 1)]
    assert len({json.dumps(in_wandb(run)) for run in runs}) == 2
    experiment = client().get_experiment_by_name("lenet")
    assert experiment
    there = client().search_runs([experiment.experiment_id])
    assert sorted(run.data.params["seed"] for run in there) == ["0", "1"]


def test_a_run_that_ends_early_says_so(tiny_config) -> None:
    tiny_config.logger = ALL
    tiny_config.optimizer.lr = 1e38
    with pytest.raises(Exception, match="the training loss became"):
        train(tiny_config, "runs/lenet/one")
    assert only_run().info.status == "FAILED"
    (last,) = [record.exit for record in records(RunDirectory("runs/lenet/one")) if record.HasField("exit")]
    assert last.exit_code == 1


class Failing(CSVLogger):
    """Has room for one epoch."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if step == 2:
            raise OSError(28, "No space left on device")
        super().log_metrics(metrics, step)


def test_a_logger_that_fails_costs_neither_the_run_nor_the_others(tiny_config, monkeypatch, caplog) -> None:
    monkeypatch.setitem(loggers.FURTHER_LOGGERS, "mine", lambda config, path: Failing(path, name="", version="mine"))
    monkeypatch.setattr(logging.getLogger("lenet"), "propagate", True)
    tiny_config.logger = ["mine", "csv"]
    monkeypatch.setattr(loggers, "check", lambda config: None)
    monkeypatch.setattr("lenet.run.validate", lambda config: None)  # which knows no such choice
    result, run = train(tiny_config, "runs/lenet/one")
    assert result["status"] == "completed"
    assert in_csv(run) == in_metrics_csv(run)
    records = {id(record): record for record in caplog.records}  # another test may have left a second way to here
    (told,) = [record.getMessage() for record in records.values() if record.name == loggers.__name__]
    assert told == (
        "runs/lenet/one: logger=mine lacks the rest of this run, which goes on without it "
        "(OSError: [Errno 28] No space left on device)"
    )
    assert told in (run.path / "train.log").read_text(encoding="utf-8")
    with (run.path / "mine/metrics.csv").open(encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1"]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_that_cannot_begin_costs_nothing(tiny_config, name, monkeypatch, caplog) -> None:
    shutil.rmtree("runs")
    Path("runs").touch()  # where MLflow's database would be
    Path("one/wandb").mkdir(parents=True)
    monkeypatch.setattr("wandb.init", lambda **_: 1 / 0)
    monkeypatch.setattr(logging.getLogger("lenet"), "propagate", True)
    tiny_config.logger = [name]
    assert train(tiny_config, "one")[0]["status"] == "completed"
    assert f"logger={name} lacks the rest of this run" in caplog.text


def test_of_several_processes_the_first_alone_logs(tiny_config, monkeypatch, tmp_path) -> None:
    tiny_config.logger = ALL
    monkeypatch.setenv("LOCAL_RANK", "1")
    begun = Loggers(tiny_config, RunDirectory(tmp_path / "run"))
    begun.start([{"epoch": 1, "train/loss": 1.0}])
    assert not begun.begun
    assert not (tmp_path / "run").exists()


def test_tables_and_experiment_are_made_by_one_process_at_a_time(tmp_path, monkeypatch) -> None:
    """Jobs of a sweep that start at once would both make them, and one would fail."""
    make = loggers._mlflow_run

    def look_and_make(*args: Any) -> Any:
        with pytest.raises(Timeout):
            FileLock("runs/.mlflow.lock").acquire(timeout=0)
        return make(*args)

    monkeypatch.setattr(loggers, "_mlflow_run", look_and_make)
    run = RunDirectory(tmp_path / "job")
    run.lock()
    begun = Loggers(Config(logger=["mlflow"]), run)
    begun.start([{"epoch": 1, "lr": 0.5}])
    begun.close({"status": "interrupted"})
    assert (only_run().data.metrics, only_run().info.status) == ({"train/lr": 0.5}, "KILLED")
    FileLock("runs/.mlflow.lock").acquire(timeout=0).lock.release()


@pytest.mark.parametrize(
    ("variables", "names", "said"),
    [
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, ["mlflow"], r"MLFLOW_TRACKING_URI=http://127.0.0.1:9: nobody "),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:x"}, ["mlflow"], "127.0.0.1:x: no address"),
        ({"WANDB_MODE": "on"}, ["wandb"], "WANDB_MODE=on: choose offline, online or disabled"),
        ({"WANDB_MODE": "online", "NETRC": "none"}, ["wandb"], "WANDB_MODE=online: no key for an account; set WANDB_"),
    ],
)
def test_a_place_that_cannot_be_had_is_refused_at_once(tiny_config, monkeypatch, variables, names, said) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    tiny_config.logger = names
    with pytest.raises(BadInput, match=said) as caught:
        train(tiny_config, "runs/lenet/one")
    assert "\n" not in str(caught.value)
    assert not Path("runs/lenet").exists()
    tiny_config.logger = []
    demands.check(tiny_config)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_named_with_the_command_that_brings_it(tiny_config, monkeypatch, name) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    tiny_config.logger = [name]
    with pytest.raises(BadInput, match=rf"logger={name}: needs {name}; start with uv run --extra {name}, or pip "):
        train(tiny_config, "runs/lenet/one")
    assert not Path("runs/lenet").exists()
    validate(tiny_config)  # elsewhere it may be there


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("logger=csv", "logger=[csv]"),
        ("logger=csv,mlflow", "logger=[csv,mlflow]"),
        ("logger=[csv,mlflow]", "logger=[csv,mlflow]"),
        ("logger=null", "logger=null"),
        ("logger=[csv],[mlflow]", "logger=[csv],[mlflow]"),
        ("name=a,b", "name=a,b"),
    ],
)
def test_loggers_with_commas_are_a_list_and_no_sweep(word: str, read: str) -> None:
    assert quoted(word) == read


def test_a_resumed_run_may_have_other_loggers(tiny_config) -> None:
    tiny_config.logger = ["csv"]
    _, run = train(tiny_config, "runs/lenet/one")
    assert resumed_config(str(run.path), ["logger=[mlflow]", "trainer.max_epochs=3"]).logger == ["mlflow"]
    assert resumed_config(str(run.path), ["trainer.max_epochs=3"]).logger == ["csv"]


@pytest.mark.parametrize("content", ["[]", "{", '{"mlflow": 3}', '{"mlflow": "../../x", "wandb": "0"}'])
def test_numbers_from_somebody_else_are_read_as_data(tmp_path: Path, content: str) -> None:
    (tmp_path / "loggers.json").write_text(content, encoding="utf-8")
    assert loggers._read_ids(RunDirectory(tmp_path)) in ({}, {"wandb": "0"})


def test_a_logger_is_lightnings() -> None:
    assert issubclass(Failing, Logger)
    assert Config().logger == []
