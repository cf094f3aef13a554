"""Evaluation of a saved run: the run's own numbers, and what they are made of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import script
from lenet.config import Config, Model, Optimizer
from lenet.data.files import load
from lenet.datasets import DATASETS
from lenet.errors import BadInput
from lenet.evaluation.activations import capture
from lenet.evaluation.evaluate import Evaluation, as_text, evaluate
from lenet.evaluation.examples import chosen
from lenet.evaluation.load import load_trained
from lenet.run import train
from lenet.runs.directory import RunDirectory


@pytest.fixture
def run(tiny_config: Config, tmp_path: Path) -> RunDirectory:
    tiny_config.trainer.max_epochs = 5
    tiny_config.optimizer.lr = 1.0  # restless, so that the best epoch is not the last
    return train(tiny_config, tmp_path / "run")[1]


def test_the_numbers_are_those_of_the_result_exactly(run: RunDirectory) -> None:
    metrics = run.read_result()["metrics"]
    test = evaluate(load_trained(run.path))
    assert (test.loss, test.accuracy) == (metrics["test/loss"], metrics["test/acc"])
    validation = evaluate(load_trained(run.path), "validation")
    assert (validation.loss, validation.accuracy) == (metrics["val/loss"], metrics["val/acc"])
    last = evaluate(load_trained(run.path, "last"), "validation")
    row = run.read_metrics()[-1]
    assert (last.loss, last.accuracy) == (row["val/loss"], row["val/acc"])


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed", "16-mixed"])
def test_so_they_are_in_other_precisions(tiny_config: Config, tmp_path: Path, precision: str) -> None:
    tiny_config.trainer.precision = precision
    result, run = train(tiny_config, tmp_path / "run")
    evaluation = evaluate(load_trained(run.path))
    assert (evaluation.loss, evaluation.accuracy) == (result["metrics"]["test/loss"], result["metrics"]["test/acc"])


def test_the_confusion_matrix_counts_every_image_once(run: RunDirectory) -> None:
    evaluation = evaluate(load_trained(run.path))
    labels = load("fashion_mnist", run.read_config().data.root, "test")[1]
    assert [sum(row) for row in evaluation.confusion] == torch.bincount(labels, minlength=10).tolist()
    hits = sum(evaluation.confusion[i][i] for i in range(10))
    assert hits / len(labels) == evaluation.accuracy


def test_with_mirror_images_the_answer_is_the_mean_of_two(run: RunDirectory) -> None:
    trained = load_trained(run.path)
    images, labels = load("fashion_mnist", trained.config.data.root, "test")
    with torch.inference_mode():
        once, mirrored = (trained.model(pixels / 255).softmax(1) for pixels in (images, images.flip(3)))
    mean = (once + mirrored) / 2
    seen = evaluate(trained, flip=True)
    assert seen.accuracy == pytest.approx((mean.argmax(1) == labels).double().mean().item(), abs=1.5 / len(labels))
    assert seen.loss == pytest.approx(-mean[range(len(labels)), labels].log().mean().item(), rel=1e-4)
    plain = evaluate(trained)
    assert seen.loss != plain.loss
    assert "mirror" in as_text(seen)
    assert "mirror" not in as_text(plain)


def two_classes() -> Evaluation:
    confusion = [[0] * 10 for _ in range(10)]
    confusion[0][0], confusion[0][1], confusion[1][0] = 6, 2, 4
    names = list(DATASETS["fashion_mnist"].classes)
    return Evaluation("fashion_mnist", "fashion_mnist", "test", "best", 1.0, 0.5, confusion, names, names)


def test_precision_and_recall_are_shares_of_columns_and_of_rows() -> None:
    evaluation = two_classes()
    assert evaluation.precision(0) == 0.6
    assert evaluation.recall(0) == 0.75
    assert evaluation.precision(1) == 0
    assert evaluation.recall(1) == 0
    assert evaluation.precision(2) is None
    assert evaluation.recall(2) is None


def test_the_text_has_class_names() -> None:
    text = as_text(two_classes())
    for name in list(DATASETS["fashion_mnist"].classes):
        assert name in text
    assert "0.600" in text


def test_a_net_may_be_shown_another_data_set_and_that_is_said(run: RunDirectory) -> None:
    evaluation = evaluate(load_trained(run.path), data="mnist")
    assert evaluation.classes == [str(digit) for digit in range(10)]
    assert evaluation.answers == list(DATASETS["fashion_mnist"].classes)
    assert "trained on fashion_mnist" in as_text(evaluation)
    assert "trained on" not in as_text(evaluate(load_trained(run.path)))


def test_what_cannot_be_evaluated_is_named(run: RunDirectory, tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere: no run directory"):
        load_trained("nowhere")
    result = run.read_result()
    run.write_result(result | {"status": "interrupted"})
    with pytest.raises(BadInput, match=r"interrupted, not completed.*resume="):
        load_trained(run.path)
    (run.path / "result.json").unlink()
    with pytest.raises(BadInput, match="without a result"):
        load_trained(run.path)
    run.write_result(result)
    run.write_config(replace(tiny_config, model=replace(tiny_config.model, conv_channels=[2, 4])))
    with pytest.raises(BadInput, match=r"best.ckpt: the weights of another net"):
        load_trained(run.path)
    run.best_checkpoint.write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"best.ckpt: not a whole checkpoint"):
        load_trained(run.path)
    run.best_checkpoint.unlink()
    with pytest.raises(BadInput, match=r"best.ckpt: no such checkpoint"):
        load_trained(run.path)


def test_a_lenet5_is_evaluated_by_its_own_loss_and_its_maps_can_be_seen(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.model = Model("lenet5", padding=0, activation="scaled_tanh", pool="subsample", init="sqrt_fan_in")
    tiny_config.data.pad = 2
    tiny_config.loss.name = "mse"
    tiny_config.optimizer = Optimizer(name="sdlm", lr=5e-4)
    result, run = train(tiny_config, tmp_path / "run")
    trained = load_trained(run.path)
    found = evaluate(trained)
    assert (found.loss, found.accuracy) == (result["metrics"]["test/loss"], result["metrics"]["test/acc"])
    pixels, titles, answers = chosen(trained.config.data)
    captured = capture(trained.model, pixels, titles, answers, pooled=False)
    assert [tuple(captured[0].maps[name].shape) for name in ("C1", "C3")] == [(6, 28, 28), (16, 10, 10)]
    assert [each.answer for each in captured] == [answers[i] for i in trained.model(pixels).argmax(1)]


def test_counts_stand_apart_where_names_are_short() -> None:
    confusion = [[1000 + 10 * i + j for j in range(10)] for i in range(10)]
    text = as_text(
        Evaluation("mnist", "mnist", "test", "last", 0.1, 0.9, confusion, list("0123456789"), list("0123456789"))
    )
    assert [line.split() for line in text.splitlines()[-10:]] == [
        [str(i), *map(str, row)] for i, row in enumerate(confusion)
    ]


def test_without_validation_images_there_is_nothing_to_validate_on(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.data.val_fraction = 0
    tiny_config.test_on = "last"
    run = train(tiny_config, tmp_path / "run")[1]
    with pytest.raises(BadInput, match=r"--part validation.*--part test"):
        evaluate(load_trained(run.path), "validation")
    with pytest.raises(BadInput, match=r"--weights best.*--weights last"):
        load_trained(run.path, "best")
    tiny_config.model.activation = "nope"
    run.write_config(tiny_config)
    with pytest.raises(BadInput, match=r"config.yaml: model.activation=nope"):
        load_trained(run.path)


def test_a_wrong_argument_gets_one_line(in_empty_folder: Path) -> None:
    done = script("evaluate.py", "nowhere", cwd=in_empty_folder)
    assert done.returncode == 2
    assert done.stderr == (
        "error: nowhere: no run directory, config.yaml cannot be read (No such file or directory); "
        "name the folder that holds it\n"
    )


@pytest.mark.real_data
def test_the_script_writes_text_json_and_picture(real_root: str, tmp_path: Path) -> None:
    config = Config()
    config.data.root = real_root
    config.trainer.max_epochs = 1
    config.trainer.limit_train_batches = 20
    config.trainer.enable_progress_bar = False
    run = train(config, tmp_path / "run")[1]
    done = script("evaluate.py", str(run.path), "--part", "validation", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ankle boot" in done.stdout
    stem = run.path / "evaluation_fashion_mnist_validation_best"
    found = json.loads(stem.with_suffix(".json").read_text())
    assert found["acc"] == run.read_result()["metrics"]["val/acc"]
    assert found["loss"] == run.read_result()["metrics"]["val/loss"]
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_strangers_result_starts_no_more_threads_than_the_machine_bears(run: RunDirectory) -> None:
    run.write_result((run.read_result() or {}) | {"threads": 1000})
    before = torch.get_num_threads()
    load_trained(run.path)
    assert torch.get_num_threads() == before
