"""What a run leaves for TensorBoard, read back as TensorBoard reads it."""

import io
import signal
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from conftest import PROJECT, script, until
from lenet.config import Config, Data, Loss, Model, Optimizer, Trainer
from lenet.dashboard.callback import TAGS, Dashboard, graph
from lenet.dashboard.hparams import HYPERPARAMETERS, hyperparameters
from lenet.errors import Diverged
from lenet.evaluation import pictures
from lenet.evaluation.activations import capture
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.examples import chosen
from lenet.evaluation.load import load_trained
from lenet.models.build import build_net
from lenet.rules import validate
from lenet.run import train
from lenet.runs.directory import RunDirectory
from lenet.training.checkpoints import load_checkpoint

CURVES = ["train/loss", "train/acc", "val/loss", "val/acc", "train/lr", "train/grad_norm", "train/examples_per_sec"]
PICTURES = [
    "what_it_confuses/matrix",
    "what_it_confuses/surest_mistakes",
    "what_it_sees/c1_by_class",
    "what_it_sees/c3_by_class",
    "what_it_sees/filters",
    "what_it_sees/pullover_and_coat",
]


def read(run: RunDirectory) -> EventAccumulator:
    keep_all = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(run.path), keep_all).Reload()


def steps(run: RunDirectory, tag: str) -> list[int]:
    return [point.step for point in read(run).Scalars(tag)]


def values(run: RunDirectory) -> dict[str, list[tuple[int, Any]]]:
    """Every point of every curve and every picture, but for what is a matter of time."""
    events = read(run)
    curves = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for tag in ("train/examples_per_sec", "whole_run/seconds"):
        curves[tag] = [(step, None) for step, _ in curves.get(tag, [])]
    images = {tag: [(i.step, i.encoded_image_string) for i in events.Images(tag)] for tag in events.Tags()["images"]}
    histograms = {
        tag: [(h.step, h.histogram_value) for h in events.Histograms(tag)] for tag in events.Tags()["histograms"]
    }
    return curves | images | histograms


def text(run: RunDirectory, name: str) -> str:
    (event,) = read(run).Tensors(f"run/{name}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def shown(events: EventAccumulator, tag: str) -> Image.Image:
    (picture,) = events.Images(tag)
    with Image.open(io.BytesIO(picture.encoded_image_string)) as opened:
        return opened.convert("RGB")


def session_end(run: RunDirectory) -> int:
    content = read(run).summary_metadata["_hparams_/session_end_info"].plugin_data.content
    return HParamsPluginData.FromString(content).session_end_info.status


@pytest.mark.parametrize(("size", "within_steps"), [(16, [32, 64, 96, 128, 160]), (8, [32, 64, 96, 128, 160]),
                                                    (48, [48, 96, 144, 160])])  # fmt: skip
def test_curves_have_a_point_for_each_epoch_and_the_values_of_metrics_csv(
    tiny_config, tmp_path, size, within_steps
) -> None:
    tiny_config.data.batch_size = size  # with 8 images many updates are one step of the Trainer
    result, run = train(tiny_config, tmp_path / "run")
    events, rows = read(run), run.read_metrics()
    for tag in CURVES:
        assert steps(run, tag) == [1, 2]
    for tag in ("train/loss", "train/acc", "val/loss", "val/acc"):
        assert [point.value for point in events.Scalars(tag)] == pytest.approx([row[tag] for row in rows])
    assert [point.value for point in events.Scalars("train/lr")] == pytest.approx([0.1, 0.1])
    within = events.Scalars("train/loss_within_epoch")
    assert [point.step for point in within] == [epoch * 160 + seen for epoch in (0, 1) for seen in within_steps]
    assert within[-1].value == pytest.approx(rows[-1]["train/loss"])
    for tag in ("test/loss", "test/acc"):
        (point,) = events.Scalars(tag)
        assert (point.step, point.value) == (result["best_epoch"], pytest.approx(result["metrics"][tag]))
    assert all(tag.startswith(("train/", "val/", "test/", "whole_run/")) for tag in events.Tags()["scalars"])


@pytest.mark.parametrize("blocks", [True, False])
def test_the_length_of_the_gradient_is_that_of_every_sixteenth_update(tiny_config, tmp_path, blocks) -> None:
    class Watch(L.Callback):
        def __init__(self) -> None:
            self.lengths: list[float] = []

        def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: object) -> None:
            self.lengths.append(sum(p.grad.square().sum() for p in pl_module.parameters()).sqrt().item())

    tiny_config.data.batch_size = 4  # 40 updates
    tiny_config.trainer.max_epochs = 1
    if not blocks:
        tiny_config.trainer.gradient_clip_val = 1e-3
    watch = Watch()
    _, run = train(tiny_config, tmp_path / "run", callbacks=[watch])
    assert len(watch.lengths) == 40
    (point,) = read(run).Scalars("train/grad_norm")
    assert point.value == pytest.approx(sum(watch.lengths[::16]) / 3)
    assert point.value > 1e-3, "before it is clipped"


def test_the_precision_in_which_a_run_was_computed_is_what_is_recorded(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.trainer.precision, tiny_config.trainer.max_epochs = "16-mixed", 1
    result, run = train(tiny_config, tmp_path / "run")
    assert (result["precision"], (run.read_result() or {})["precision"]) == ("bf16-mixed", "bf16-mixed")
    assert run.read_config().trainer.precision == "16-mixed"  # what was asked for, and what a GPU would take
    content = read(run).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    given = HParamsPluginData.FromString(content).session_start_info.hparams
    assert given["precision"].string_value == "bf16-mixed"


def test_hparams_have_keys_of_one_type_and_the_results_of_the_run(tiny_config: Config, tmp_path: Path) -> None:
    result, run = train(tiny_config, tmp_path / "run", ["model.pool=avg", "optimizer=sgd"])
    events = read(run)
    content = {
        kind: HParamsPluginData.FromString(events.summary_metadata[f"_hparams_/{kind}"].plugin_data.content)
        for kind in ("experiment", "session_start_info")
    }
    given = content["session_start_info"].session_start_info.hparams
    assert set(given) == set(HYPERPARAMETERS)
    assert (given["conv_channels"].string_value, given["lr"].number_value) == ("2x3", 0.1)
    experiment = content["experiment"].experiment
    assert {info.name for info in experiment.hparam_infos if info.differs} == {"pool", "optimizer", "lr"}
    shown = {info.name.tag: info.display_name for info in experiment.metric_infos}
    read_back = {name: events.Scalars(tag)[0].value for tag, name in shown.items()}
    assert read_back == pytest.approx(
        {
            "val/acc": result["metrics"]["val/acc"],
            "test/acc": result["metrics"]["test/acc"],
            "parameters": result["parameters"],
            "seconds": result["seconds"],
        }
    )
    assert session_end(run) == STATUS_SUCCESS


@given(
    model=st.builds(
        Model,
        conv_channels=st.lists(st.integers(1, 9), min_size=1, max_size=3),
        kernel_size=st.one_of(st.integers(1, 5), st.lists(st.integers(1, 5), min_size=1, max_size=3)),
        fc_sizes=st.lists(st.integers(1, 99), max_size=3),
    ),
    lr=st.one_of(st.integers(1, 3), st.floats(1e-6, 3)),
    seed=st.integers(0, 99),
)
def test_hyperparameters_have_the_same_names_and_types_in_every_config(model: Model, lr: float, seed: int) -> None:
    usual, other = (
        {name: type(value) for name, value in hyperparameters(config).items()}
        for config in (Config(), Config(model=model, optimizer=Optimizer(lr=lr), seed=seed))
    )
    assert usual == other
    assert set(usual.values()) == {str, float}


def test_pictures_are_there_once_and_as_wide_as_tensorboard_shows_them(tiny_config: Config, tmp_path: Path) -> None:
    result, run = train(tiny_config, tmp_path / "run")
    events = read(run)
    assert sorted(events.Tags()["images"]) == PICTURES
    for tag in PICTURES:
        (picture,) = events.Images(tag)
        assert picture.step == result["best_epoch"]
        assert picture.width == 350
    trained = load_trained(run.path)
    evaluation = evaluate(trained)
    names = evaluation.classes
    title = f"fashion_mnist, test, weights of epoch {result['best_epoch']}: accuracy {evaluation.accuracy:.4f} of 50"
    assert shown(events, "what_it_confuses/matrix") == pictures.confusion(evaluation.confusion, names, names, title)
    captured = capture(trained.model, *chosen(trained.config.data), pooled=False)
    assert shown(events, "what_it_sees/pullover_and_coat").size == pictures.activations(captured).size
    assert shown(events, "what_it_sees/filters") == pictures.filters(trained.model.net.c1.weight)


def test_a_class_has_the_precision_and_recall_of_the_evaluation(tiny_config: Config, tmp_path: Path) -> None:
    _, run = train(tiny_config, tmp_path / "run")
    evaluation = evaluate(load_trained(run.path))
    (event,) = read(run).Tensors("what_it_confuses/precision_recall/coat")
    table = torch.tensor(list(event.tensor_proto.float_val)).view(6, -1)  # true and false positives, and so on
    positives = sum(evaluation.confusion[4])
    assert table[0, 0] == positives, "with a threshold of 0 everything is a coat"
    assert table[1, 0] == 50 - positives


def test_config_result_and_the_meaning_of_each_tag_can_be_read(tiny_config: Config, tmp_path: Path) -> None:
    result, run = train(tiny_config, tmp_path / "run")
    assert (run.path / "config.yaml").read_text() in text(run, "config")
    assert "| optimizer.lr | 0.1 | 0.9 |" in text(run, "changed")
    assert "data.root" not in text(run, "changed"), "where the data lie is no change of the run"
    assert f"| best_epoch | {result['best_epoch']} |" in text(run, "result")
    assert "| status | completed |" in text(run, "result")
    page = (PROJECT / "docs/dashboard.md").read_text()
    for tags, meaning in TAGS.items():
        assert f"| {tags} | {meaning} |" in text(run, "tags")
        assert "| " + ", ".join(f"`{tag}`" for tag in tags.split(", ")) + f" | {meaning} |" in page
    known = {tag for tags in TAGS for tag in tags.split(", ")}
    assert [tags.split(",")[0] for tags in TAGS] == sorted((t.split(",")[0] for t in TAGS), key=page_order)
    for tag in curves_and_more(run):
        assert tag in known or any(tag.startswith(one[:-1]) for one in known if one.endswith("…")), tag


def page_order(tag: str) -> str:
    """TensorBoard sorts groups; within one the table begins with what is asked first."""
    return tag.split("/")[0]


def curves_and_more(run: RunDirectory) -> list[str]:
    tags = read(run).Tags()
    tensors = [tag for tag in tags["tensors"] if not tag.startswith(("run/", "custom_scalars"))]
    return [*tags["scalars"], *tags["images"], *tags["histograms"], *tensors]


@pytest.mark.parametrize(
    "model", [Model(), Model(norm="batch", dropout=0.1), Model(conv_channels=[4], padding=2, fc_sizes=[])]
)
def test_the_graph_has_every_layer_after_the_one_before(model: Model) -> None:
    nodes = GraphDef.FromString(graph(Config(model=model))).node
    assert [node.name for node in nodes] == [
        "images",
        *(name for name, _ in build_net(Config(model=model)).named_children()),
    ]
    for before, node in pairwise(nodes):
        assert list(node.input) == [before.name]
    shape = nodes[-1].attr["_output_shapes"].list.shape[0]
    assert [dim.size for dim in shape.dim] == [-1, 10]


def test_by_choice_there_are_pictures_on_the_way_histograms_and_an_embedding(tiny_config, tmp_path) -> None:
    tiny_config.trainer.max_epochs = 4
    tiny_config.dashboard.pictures_every = 2
    tiny_config.dashboard.histograms = True
    tiny_config.dashboard.embedding = True
    plain = Config(tiny_config.name, data=tiny_config.data, model=tiny_config.model, optimizer=tiny_config.optimizer)
    plain.trainer, plain.threads = tiny_config.trainer, 1
    without = train(plain, tmp_path / "plain")[1]
    run = train(tiny_config, tmp_path / "run")[1]
    assert (run.path / "metrics.csv").read_bytes() == (without.path / "metrics.csv").read_bytes(), (
        "looking is no change"
    )
    events = read(run)
    for tag in ("matrix", "surest_mistakes", "filters", "c1_by_class"):
        assert [picture.step for picture in events.Images(f"while_it_learns/{tag}")] == [2, 4]
    for kind in ("weights", "weight_gradients"):
        for layer in ("c1", "c3", "c5", "output"):
            assert [h.step for h in events.Histograms(f"{kind}/{layer}.weight")] == [1, 2, 3, 4]
    rows = (run.path / "00000/last_hidden_layer/tensors.tsv").read_text().splitlines()
    assert (len(rows), len(rows[0].split("\t"))) == (50, 12), "all test images, and the units of the last hidden layer"
    names = (run.path / "00000/last_hidden_layer/metadata.tsv").read_text().splitlines()
    assert len(names) == 50
    assert "last_hidden_layer/sprite.png" in (run.path / "projector_config.pbtxt").read_text()
    run.clear()
    assert [path.name for path in run.path.iterdir()] == ["train.log"]


def test_without_a_dashboard_nothing_is_written_for_tensorboard(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.dashboard.enabled = False
    result, run = train(tiny_config, tmp_path / "run")
    assert result["status"] == "completed"
    assert not run.event_files
    tiny_config.dashboard.enabled = True
    assert train(tiny_config, tmp_path / "with")[0]["metrics"] == result["metrics"]


def test_a_run_that_fails_has_its_curves_its_error_and_its_row(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.optimizer.lr = 1e30
    tiny_config.model.activation = "relu"
    with pytest.raises(Diverged):
        train(tiny_config, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    assert session_end(run) == STATUS_FAILURE
    assert "| status | failed |" in text(run, "result")
    assert "the training loss became" in text(run, "result")


def resume(run: RunDirectory, epochs: int) -> None:
    config = run.read_config()
    config.trainer.max_epochs, config.resume = epochs, str(run.path)
    train(config, run.path)


def cut(tiny_config: Config, path: Path, epochs: int, after: Callable[[RunDirectory], None]) -> RunDirectory:
    """A run that was stopped after an epoch, something done to it, and finished."""
    tiny_config.trainer.max_epochs = epochs
    _, run = train(tiny_config, path)
    after(run)
    resume(run, 4)
    return run


def test_pictures_on_the_way_are_of_the_mean_of_the_weights_as_validation_is(tiny_config, tmp_path) -> None:
    tiny_config.optimizer.ema_decay = 0.9
    tiny_config.test_on = "last"
    tiny_config.dashboard.pictures_every = 1
    events = read(train(tiny_config, tmp_path / "run")[1])
    on_the_way = events.Images("while_it_learns/filters")
    (at_the_end,) = events.Images("what_it_sees/filters")
    assert on_the_way[-1].encoded_image_string == at_the_end.encoded_image_string
    assert on_the_way[0].encoded_image_string != at_the_end.encoded_image_string


def tear(run: RunDirectory, share: float) -> None:
    (file,) = run.event_files
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_after_a_resume_every_point_is_there_once_as_if_nothing_had_happened(tiny_config, tmp_path, epochs) -> None:
    tiny_config.dashboard.pictures_every = 1
    tiny_config.dashboard.histograms = True
    run = cut(tiny_config, tmp_path / "cut", epochs, lambda run: None)
    assert len(run.event_files) == 1
    tiny_config.trainer.max_epochs = 4
    whole = train(tiny_config, tmp_path / "whole")[1]
    ours, theirs = values(run), values(whole)
    assert ours.keys() == theirs.keys()
    for tag in theirs:
        assert ours[tag] == theirs[tag], tag


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_event_file_can_be_read_and_a_resume_mends_its_curves(tiny_config, tmp_path, share) -> None:
    def damage(run: RunDirectory) -> None:
        tear(run, share)
        read(run).Tags()  # up to where it is torn, without a word

    run = cut(tiny_config, tmp_path / "cut", 2, damage)
    for tag in CURVES[:-1]:  # metrics.csv has no times, so it cannot bring back images per second
        assert steps(run, tag) == [1, 2, 3, 4]
    rows = run.read_metrics()
    assert [p.value for p in read(run).Scalars("val/acc")] == pytest.approx([row["val/acc"] for row in rows])


@pytest.mark.parametrize(("first", "second"), [(0.3, 1.0), (1.0, 0.3), (0.5, 0.5)])
def test_a_resume_that_was_itself_cut_off_leaves_no_point_twice(tiny_config, tmp_path, first, second) -> None:
    def copy(run: RunDirectory) -> None:
        (file,) = run.event_files
        file.with_name(file.name + ".1").write_bytes(file.read_bytes()[: int(second * file.stat().st_size)])
        file.write_bytes(file.read_bytes()[: int(first * file.stat().st_size)])

    run = cut(tiny_config, tmp_path / "cut", 2, copy)
    tiny_config.trainer.max_epochs = 4
    whole = train(tiny_config, tmp_path / "whole")[1]
    assert len(run.event_files) == 1
    ours, theirs = values(run), values(whole)
    for tag in CURVES[:-1]:
        assert ours[tag] == theirs[tag]
    if 1.0 in (first, second):
        assert ours == theirs


LENET5 = {
    "model": Model("lenet5", kernel_size=5, padding=0, activation="scaled_tanh", pool="subsample", init="sqrt_fan_in"),
    "optimizer": Optimizer("sdlm", lr=0.001),
    "loss": Loss("mse"),
}
WAY = "while_it_learns/"
PICTURES_ON_THE_WAY = {WAY + "matrix", WAY + "filters"}


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({}, {"val/acc", "what_it_confuses/matrix"}, {"train/lr_min", "weight_log10_lr/c1.weight"}),
        (LENET5, {"train/lr_min", "train/lr_max", "weight_log10_lr/c1.weight", "what_it_sees/c3_by_class"}, set()),
        ({"data.val_fraction": 0, "test_on": "last"}, {WAY + "filters"}, {"val/acc", WAY + "matrix"}),
        ({"trainer.limit_test_batches": 0}, {"what_it_sees/filters"}, {"test/acc", "what_it_confuses/matrix"}),
        ({"test_each_epoch": True, "test_on": "last"}, {"test/acc"}, set()),
        ({"trainer.precision": "64-true"}, PICTURES_ON_THE_WAY, set()),
        ({"trainer.precision": "bf16-true"}, PICTURES_ON_THE_WAY, set()),
        ({"model.conv_channels": [70, 3]}, PICTURES_ON_THE_WAY, set()),
        ({"trainer.gradient_clip_val": 0.1, "data.batch_size": 1, "trainer.limit_train_batches": 9}, {"val/acc"}, {""}),
    ],
    ids=lambda value: (",".join(value) or "defaults") if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_kind_of_run_has_each_point_once_even_resumed(tiny_config, tmp_path, changes, there, absent) -> None:
    tiny_config.dashboard.pictures_every, tiny_config.dashboard.histograms = 2, True
    if "model" in changes:
        tiny_config.data.pad = 2
    for key, value in changes.items():
        *path, name = key.split(".")
        setattr(getattr(tiny_config, path[0]) if path else tiny_config, name, value)
    validate(tiny_config)
    run = cut(tiny_config, tmp_path / "cut", 2, lambda run: None)
    tiny_config.trainer.max_epochs = 4
    whole = train(tiny_config, tmp_path / "whole")[1]
    ours = values(run)
    assert there <= ours.keys()
    assert not absent & ours.keys()
    for tag, found in ours.items():
        over_steps = [step for step, _ in found]
        assert over_steps == sorted(set(over_steps)), tag
    assert ours == values(whole)


def test_of_values_that_are_no_numbers_there_is_no_histogram(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.optimizer.lr, tiny_config.model.activation = 1e30, "relu"
    tiny_config.trainer.limit_train_batches = 1  # the loss is a number, the weights are none
    tiny_config.dashboard.histograms = True
    with pytest.raises(Diverged):
        train(tiny_config, tmp_path / "run")


def test_what_fails_in_the_dashboard_does_not_cost_the_result(tiny_config, tmp_path, monkeypatch, caplog) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Dashboard, "_add_pictures", fail)
    result, run = train(tiny_config, tmp_path / "run")
    assert run.read_result() == result
    assert result["status"] == "completed"
    assert "test/acc" in result["metrics"]
    assert "TensorBoard lacks the end of this run (OSError: [Errno 28] No space left on device)" in caplog.text
    assert session_end(run) == STATUS_SUCCESS


def test_a_signal_leaves_the_curves_and_a_row(start, in_empty_folder, real_root) -> None:
    begun = start(f"data.root={real_root}", "trainer.limit_train_batches=20", "trainer.max_epochs=9999", "threads=1",
                  "trainer.limit_val_batches=1", "hydra.run.dir=run")  # fmt: skip
    run = RunDirectory(in_empty_folder / "run")
    until(lambda: run.epochs >= 2, begun)
    code, _ = begun.kill(signal.SIGTERM)
    assert code == 143
    assert session_end(run) == STATUS_FAILURE
    assert "| status | interrupted |" in text(run, "result")


def test_a_killed_run_has_the_points_of_every_epoch_that_is_checkpointed(start, in_empty_folder, real_root) -> None:
    given = [f"data.root={real_root}", "trainer.limit_train_batches=20", "trainer.max_epochs=9999", "threads=1",
             "trainer.limit_val_batches=1", "hydra.run.dir=run"]  # fmt: skip
    begun = start(*given)
    run = RunDirectory(in_empty_folder / "run")
    until(lambda: run.epochs >= 3, begun)
    begun.kill(signal.SIGKILL)
    epochs = load_checkpoint(run.last_checkpoint)["epoch"] + 1
    assert steps(run, "val/acc")[:epochs] == list(range(1, epochs + 1))
    code, said = start("resume=run", f"trainer.max_epochs={epochs + 2}").wait()
    assert code == 0, said
    assert steps(run, "val/acc") == list(range(1, epochs + 3))
    assert steps(run, "train/examples_per_sec") == list(range(1, epochs + 3))


def test_the_script_says_so_where_there_is_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([], "runs: no such dir"),
        (["else"], "else: no such dir"),
        (["empty"], "empty: no run in it"),
    ):
        done = script("dashboard.py", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {said}")


@pytest.mark.parametrize("port", ["99999", "-1", "taken"])
def test_a_port_that_cannot_be_is_named(tiny_config: Config, tmp_path: Path, port: str) -> None:
    tiny_config.trainer.max_epochs = 1
    train(tiny_config, tmp_path / "runs/run")
    with socket.create_server(("localhost", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        done = script("dashboard.py", "--port", number, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --port {number}: ")


def test_rows_of_an_earlier_time_without_a_column_go_on(tmp_path: Path) -> None:
    """A run that was begun before there was a curve goes on with one."""
    run = RunDirectory(tmp_path)
    run.write_metrics([{"epoch": 1, "lr": 0.5}, {"epoch": 2, "lr": 0.5, "grad_norm": 1.25}])
    assert run.read_metrics() == [{"epoch": 1, "lr": 0.5}, {"epoch": 2, "lr": 0.5, "grad_norm": 1.25}]


def test_a_run_over_mnist_shows_a_four_and_a_nine(tiny: Path, tmp_path: Path) -> None:
    config = Config(
        data=Data(name="mnist", root=str(tiny), batch_size=32),
        model=Model(conv_channels=[2], fc_sizes=[], padding=0),  # neither a second layer nor a hidden one
        trainer=Trainer(max_epochs=1, accelerator="cpu", enable_progress_bar=False),
        threads=1,
    )
    config.dashboard.embedding = True
    _, run = train(config, tmp_path / "run")
    assert sorted(tag for tag in read(run).Tags()["images"] if tag.startswith("what_it_sees")) == [
        "what_it_sees/4_and_9", "what_it_sees/c1_by_class", "what_it_sees/filters",
    ]  # fmt: skip
