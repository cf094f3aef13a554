"""Early stopping: when a run ends, and that one that was cut off ends as one that never stopped."""

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import CutOff, CutOffIn, same_run
from lenet.cli.compose import resumed_config
from lenet.cli.messages import closing_lines
from lenet.config import Config, EarlyStopping, Optimizer, Schedule
from lenet.errors import BadInput
from lenet.run import train
from lenet.training.demands import check_places
from lenet.training.stopping import stopped_early


@pytest.mark.parametrize(
    ("settings", "values", "after"),
    [
        (EarlyStopping(), [0.5, 0.4, 0.3], None),
        (EarlyStopping(2), [0.5, 0.5, 0.5], 3),
        (EarlyStopping(2), [0.5, 0.4, 0.6, 0.4, 0.7], None),
        (EarlyStopping(2), [0.5, 0.4, 0.6, 0.4, 0.6, 0.9], 5),
        (EarlyStopping(2, min_delta=0.1), [0.5, 0.55, 0.59], 3),
        (EarlyStopping(2, min_delta=0.1), [0.5, 0.55, 0.65, 0.7], None),
        (EarlyStopping(1, "val/loss"), [0.5, 0.4, 0.3], None),
        (EarlyStopping(1, "val/loss"), [0.5, 0.4, 0.45], 3),
        (EarlyStopping(2), [0.5, None, None, 0.4, None, 0.3], 6),
        (EarlyStopping(2, "val/loss"), [float("nan"), 0.5, 0.4, 0.3], None),
    ],
)
def test_a_run_ends_where_nothing_is_better_for_so_many_validations(settings, values, after) -> None:
    rows = [
        {"epoch": epoch} if value is None else {"epoch": epoch, settings.monitor: value}
        for epoch, value in enumerate(values, 1)
    ]
    early = stopped_early(settings, rows)
    assert (early and early[0]) == after


def restless(config: Config, patience: int | None) -> Config:
    """A run of eight epochs at most, few of which are better than those before."""
    trainer = replace(config.trainer, max_epochs=8)
    stopping = EarlyStopping(patience, "val/loss") if patience else EarlyStopping()
    optimizer, schedule = Optimizer(lr=3.0), Schedule("cosine")
    return replace(config, trainer=trainer, early_stopping=stopping, optimizer=optimizer, schedule=schedule)


def test_a_run_that_stops_early_says_so_and_ends_so_wherever_it_is_cut_off(tiny_config: Config, tmp_path: Path) -> None:
    longest = train(restless(tiny_config, None), tmp_path / "longest")[1].read_metrics()
    config = restless(tiny_config, 1)
    result, whole = train(config, tmp_path / "whole")
    rows = whole.read_metrics()
    done = len(rows)
    assert 2 <= done < 8, "or this says nothing"
    assert rows == longest[:done], "the schedule is that of trainer.max_epochs"
    assert result["stopped_early"] == f"val/loss has not fallen since epoch {done - 1}"
    said = closing_lines(result, whole, "best").splitlines()
    assert said[1] == f"stopped early after epoch {done}: {result['stopped_early']}"
    for epochs in (1, done):  # within the second epoch, and before the test
        path = tmp_path / f"cut{epochs}"
        with pytest.raises(CutOff):
            train(config, path, callbacks=[CutOffIn(epochs)])
        again, cut = train(replace(config, resume=str(path)), path)
        same_run(cut, whole)
        assert again["stopped_early"] == result["stopped_early"]
        assert again["best_epoch"] == result["best_epoch"]


def test_a_run_that_stopped_early_goes_on_with_more_patience_alone(tiny_config: Config, tmp_path: Path) -> None:
    patient, impatient = (replace(restless(tiny_config, n), schedule=Schedule()) for n in (None, 1))
    result, run = train(impatient, tmp_path / "run")
    assert 1 < result["epochs"] < 8
    for more in ([], ["trainer.max_epochs=8"]):
        again = resumed_config(str(run.path), more)
        for refuse in (lambda again=again: check_places(again, run.path), lambda again=again: train(again, run.path)):
            with pytest.raises(BadInput, match=rf"stopped early after epoch {result['epochs']}: .*patience, or null"):
                refuse()
    result, _ = train(resumed_config(str(run.path), ["early_stopping.patience=null"]), run.path)
    assert result["stopped_early"] is None
    same_run(run, train(patient, tmp_path / "longest")[1])
    again = ["early_stopping.patience=1", "early_stopping.monitor=val/loss", "trainer.max_epochs=9"]
    with pytest.raises(BadInput, match=r"early_stopping.patience=1: of 8 epochs that are done, this ends after"):
        train(resumed_config(str(run.path), again), run.path)
