"""A run that has learned nothing says so, and what to try."""

from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import binom

from lenet.batches import epochs
from lenet.cli.messages import closing_lines
from lenet.config import Config, Data, EarlyStopping, Model, Optimizer, Trainer
from lenet.runs.directory import RunDirectory
from lenet.sweeps.results import trained_from
from lenet.training.chance import LUCK, at_chance, is_guessing, remedy


@pytest.mark.parametrize("classes", [2, 10, 26])
@pytest.mark.parametrize("images", [20, 1000, 10_000])
def test_guesses_are_hardly_ever_taken_for_something_learned(images: int, classes: int) -> None:
    least = next((right for right in range(images + 1) if not is_guessing(right / images, images, classes)), images)
    assert binom.sf(least - 1, images, 1 / classes) <= LUCK
    assert least / images <= 1 / classes + (7 / (2 * images)) ** 0.5  # Hoeffding's bound, which is wider


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        ({"test/acc": 0.108}, True),
        ({"test/acc": 0.115}, False),
        ({"val/acc": 0.115, "test/acc": 0.1}, True),  # of the test, which is what a result is about
        ({"val/acc": 0.115}, False),
        ({"train/acc": 0.1}, True),
        ({"test/acc": 0.0}, True),
        ({"test/acc": 1.0}, False),
        ({}, None),
    ],
)
def test_the_accuracy_of_a_run_is_held_against_guessing(metrics: dict[str, float], verdict: bool | None) -> None:
    assert at_chance(Config(), metrics) is verdict


def test_fewer_images_leave_more_to_luck() -> None:
    assert at_chance(Config(trainer=Trainer(limit_test_batches=1)), {"test/acc": 0.115})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(optimizer=Optimizer(lr=1e6)), "the learning rate may be too large: try optimizer.lr=0.5"),
        (Config(model=Model(activation="relu")), "try optimizer.lr=0.1"),
        (Config(model=Model(activation="relu"), optimizer=Optimizer(lr=0.1, momentum=0.9)), "optimizer.lr=0.01"),
        (Config(optimizer=Optimizer(name="adam", lr=0.1)), "try optimizer.lr=0.001"),
        (Config(trainer=Trainer(max_epochs=1)), "188 updates are few: try trainer.max_epochs=11, or model=modern"),
        (Config(), "try trainer.max_epochs=20, or model=modern"),
        (Config(model=Model(activation="tanh"), optimizer=Optimizer(lr=1e-6)), "sweep=learning_rate"),
        (Config(data=Data(train_size=100), model=Model(activation="tanh"), optimizer=Optimizer(lr=0.1)), "10 updates"),
    ],
)
def test_what_to_try_depends_on_the_net_and_its_recipe(config: Config, words: str) -> None:
    assert words in remedy(config, epochs(config))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_a_run_that_ended_early_is_not_told_to_have_more_epochs(activation: str) -> None:
    config = Config(model=Model(activation=activation), optimizer=Optimizer(lr=0.1))
    stopping = replace(config, early_stopping=EarlyStopping(patience=2))
    early = "it ended early, after 3 of 10 epochs: try early_stopping.patience=null, or more than 2"
    assert remedy(stopping, 3).startswith(early)
    assert remedy(config, 3).startswith("it ended early, after 3 of 10 epochs: let it go on for longer")  # a callback
    assert ("model=modern" in remedy(stopping, 3)) == (activation == "sigmoid")
    assert "max_epochs" not in remedy(stopping, 3)
    assert "early" not in remedy(stopping, 10)
    assert "learning rate" in remedy(replace(stopping, optimizer=Optimizer(lr=1e6)), 3)


def test_it_is_said_before_the_last_line() -> None:
    result = {"metrics": {"test/acc": 0.1}, "best_epoch": 1, "epochs": 1, "examples_per_sec": 1, "device": "cpu"}
    run = RunDirectory("runs/x")
    lines = closing_lines(result | {"at_chance": True}, run, "best", "try more").splitlines()
    assert lines[-2:] == ["this is no better than guessing; try more", "runs/x"]
    assert "guessing" not in closing_lines(result | {"at_chance": False}, run, "best", "try more")
    assert "guessing" not in closing_lines(result, run, "best", "try more")  # of a run of before


@pytest.mark.parametrize(("classes", "least"), [(2, 0.55), (10, 0.15), (26, 1.5 / 26)])
def test_from_where_a_job_of_a_sweep_counts_as_trained_depends_on_the_number_of_classes(classes, least) -> None:
    assert trained_from(pd.DataFrame({"mean": [least, 0.01]}), classes) == pytest.approx(least)
    assert trained_from(pd.DataFrame({"mean": [2 * least + 0.2]}), classes) == pytest.approx(least + 0.1)
