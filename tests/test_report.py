"""What a report says about made-up sweeps whose answers are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import script
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Job, Level, Parameter, Sweep, job_names, settings
from lenet.sweeps.directory import plan
from lenet.sweeps.plots import draw_cost, draw_curves
from lenet.sweeps.report import report, tables
from lenet.sweeps.results import effects, ranking, read_jobs, verdict


def make(directory: Path, design: str, accuracy, seeds=range(3), metric="val/acc", **parameters: list[str]) -> Sweep:
    """A sweep whose jobs have the accuracy that a function of their levels and seed gives: a number, a status that is
    not `completed`, or None for a job that was not started. The first level of each parameter is the baseline."""
    given = [Parameter(name, tuple(Level(text, ()) for text in levels)) for name, levels in parameters.items()]
    baseline = {name: levels[0] for name, levels in parameters.items()}
    if design == "one_at_a_time":
        given = [Parameter(one.name, one.levels[1:]) for one in given]
    varied = [(setting, seed) for seed in seeds for setting in settings(design, given)]
    jobs = []
    for (setting, seed), name in zip(varied, job_names(varied), strict=True):
        levels = baseline | {key: level.label for key, level in setting.items()}
        jobs.append(Job(name, name.rsplit(",seed=", 1)[0], levels, seed, [], 2, 61_706, 416_520))
        value = accuracy(seed=seed, **levels)
        if value is None:
            continue
        run = RunDirectory(directory / name)
        run.path.mkdir(parents=True)
        if isinstance(value, str):
            error = {"message": "Diverged: the training loss became nan\nand more", "traceback": "..."}
            run.write_result(
                {"status": value, "metrics": {}, "epochs": 1, "error": error if value == "failed" else None}
            )
            continue
        metrics = {metric: value, "test/acc": value - 0.01}
        run.write_metrics([{"epoch": 1, metric: value / 2}, {"epoch": 2, metric: value}])
        run.write_result({"status": "completed", "metrics": metrics, "epochs": 2, "best_epoch": 2, "seconds": 9.5,
                          "examples_per_sec": 1e4, "error": None})  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    sweep = Sweep(design, parameters, baseline, jobs)
    sweep.write(directory)
    return sweep


def written(directory: Path) -> str:
    report(directory)
    return (directory / "report.md").read_text()


NOISE = {0: 0.01, 1: -0.01, 2: 0.0}


def test_one_at_a_time_each_change_is_held_against_the_baseline(tmp_path: Path) -> None:
    def accuracy(pool: str, lr: str, seed: int) -> float:
        return 0.8 + NOISE[seed] + (0.05 if pool == "max" else 0) - (0.2 if lr == "0.1" else 0)

    sweep = make(tmp_path, "one_at_a_time", accuracy, pool=["avg", "max"], lr=["0.9", "0.1", "0.5"])
    jobs = read_jobs(sweep, tmp_path)
    assert len(jobs) == 12
    found = effects(sweep, jobs, "val/acc").set_index(["parameter", "level"])
    assert list(found.index) == [("pool", "max"), ("lr", "0.1"), ("lr", "0.5")]
    assert found.difference.tolist() == pytest.approx([0.05, -0.2, 0])
    assert found.n.tolist() == [3, 3, 3]
    # The seeds shift all settings alike, and pairs leave that out.
    assert found.low.tolist() == pytest.approx([0.05, -0.2, 0])
    assert found.high.tolist() == pytest.approx([0.05, -0.2, 0])
    text = written(tmp_path)
    assert "| pool | max | +5.00 |" in text
    assert text.count("| better |") == 1
    assert text.count("| worse |") == 1
    assert text.count("| cannot be told from chance |") == 1
    assert "(pool=avg, lr=0.9)" in text


@pytest.mark.parametrize("design", ["grid", "one_at_a_time", "paired"])
def test_the_baseline_is_said_with_its_value(tmp_path: Path, design: str) -> None:
    sweep = make(tmp_path, design, lambda pool, lr, seed: 0.5, [0, 1], pool=["avg", "max"], lr=["0.1", "0.2"])
    jobs = [replace(job, overrides=[f"model.pool={job.levels['pool']}"]) for job in sweep.jobs]
    replace(sweep, jobs=jobs).write(tmp_path)
    words = "pool=avg,lr=0.1" if design == "paired" else "model.pool=avg, lr=0.1"
    assert f"baseline: {words}" in report(tmp_path).splitlines()
    assert f"Baseline: {words}." in (tmp_path / "report.md").read_text()
    assert f"baseline: {words}" in plan(Sweep.read(tmp_path), tmp_path).splitlines()


def test_where_nothing_but_the_seed_varies_there_is_no_baseline(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda seed: 0.5)
    assert "baseline:" not in report(tmp_path)
    assert "Baseline" not in (tmp_path / "report.md").read_text()
    assert "baseline:" not in plan(Sweep.read(tmp_path), tmp_path)


def test_in_a_grid_an_effect_is_over_all_settings_of_the_others(tmp_path: Path) -> None:
    def accuracy(pool: str, lr: str, seed: int) -> float:
        return 0.5 + NOISE[seed] + (0.1 if pool == "max" and lr == "0.1" else 0)

    sweep = make(tmp_path, "grid", accuracy, pool=["avg", "max"], lr=["0.9", "0.1"])
    found = effects(sweep, read_jobs(sweep, tmp_path), "val/acc").set_index(["parameter", "level"])
    assert found.difference.tolist() == pytest.approx([0.05, 0.05])
    assert found.n.tolist() == [3, 3]  # a seed is one observation, however many settings it was run at


def test_an_incomplete_grid_compares_only_what_has_a_counterpart(tmp_path: Path) -> None:
    def accuracy(pool: str, lr: str, seed: int) -> float | str:
        if (pool, lr) == ("max", "0.1"):
            return "failed"
        return 0.8 + NOISE[seed] - (0.3 if lr == "0.1" else 0)  # and the pooling changes nothing

    sweep = make(tmp_path, "grid", accuracy, pool=["avg", "max"], lr=["0.9", "0.1"])
    found = effects(sweep, read_jobs(sweep, tmp_path), "val/acc").set_index("parameter")
    assert found.difference.tolist() == pytest.approx([0, -0.3])
    assert found.failed.tolist() == [3, 3]


def test_the_verdict_says_what_is_known(tmp_path: Path) -> None:
    def accuracy(pool: str, seed: int) -> float | None:
        if pool == "none":
            return None
        return {"avg": 0.8, "max": 0.1 if seed else 0.8, "conv": 0.1}[pool] + NOISE[seed]

    sweep = make(tmp_path / "x", "one_at_a_time", accuracy, pool=["avg", "max", "conv", "none"])
    found = effects(sweep, read_jobs(sweep, tmp_path / "x"), "val/acc", floor=0.4)
    said = [verdict(row) for _, row in found.iterrows()]
    assert said == [
        "1 of 3 runs train (share: 6 to 79 %)", "does not train (share: 0 to 56 %)", "no run completed"
    ]  # fmt: skip
    sweep = make(
        tmp_path / "y", "grid", lambda pool, seed: None if pool == "avg" else 0.8 + NOISE[seed], pool=["avg", "max"]
    )
    (row,) = (row for _, row in effects(sweep, read_jobs(sweep, tmp_path / "y"), "val/acc").iterrows())
    assert verdict(row) == "no run of the baseline completed"
    sweep = make(tmp_path / "z", "grid", lambda pool, seed: 0.8, seeds=[0], pool=["avg", "max"])
    (row,) = (row for _, row in effects(sweep, read_jobs(sweep, tmp_path / "z"), "val/acc").iterrows())
    assert verdict(row) == "one seed: cannot be told"


def test_where_nothing_learns_it_says_so(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.1, pool=["avg", "max"])
    assert "| does not train (share: 0 to 56 %) |" in written(tmp_path)


def test_a_label_may_look_like_mathematics(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.8 + NOISE[seed], pool=["$_$", "$x"])
    assert "$_$" in written(tmp_path)


def test_paired_settings_are_held_against_the_first(tmp_path: Path) -> None:
    sweep = make(tmp_path, "paired", lambda a, b, seed: 0.1 * int(a) + NOISE[seed], a=["1", "2"], b=["3", "4"])
    found = effects(sweep, read_jobs(sweep, tmp_path), "val/acc")
    assert found.level.tolist() == ["a=2,b=4"]
    assert found.difference.tolist() == pytest.approx([0.1])
    assert "a=2,b=4" in written(tmp_path)


def test_the_ranking_is_by_validation_and_shows_the_test_set(tmp_path: Path) -> None:
    sweep = make(tmp_path, "grid", lambda pool, seed: {"a": 0.7, "b": 0.9, "c": 0.8}[pool] + NOISE[seed], pool=[*"abc"])
    jobs = read_jobs(sweep, tmp_path)
    jobs.loc[jobs.setting == "pool=a", "test/acc"] = 1.0
    ranked = ranking(jobs, "val/acc")
    assert list(ranked.index) == ["pool=b", "pool=c", "pool=a"]
    assert ranked["mean"].tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert ranked["sd"].tolist() == pytest.approx([0.01] * 3)
    assert ranked.n.tolist() == [3, 3, 3]


def test_a_further_metric_has_a_column_of_the_ranking(tmp_path: Path) -> None:
    sweep = make(tmp_path, "grid", lambda pool, seed: {"a": 0.7, "b": 0.9}[pool], pool=["a", "b"])
    for job in sweep.jobs[:5]:  # one is from before there was the metric
        run = RunDirectory(tmp_path / job.name)
        result = run.read_result()
        assert result
        run.write_result(result | {"metrics": result["metrics"] | {"test/f1": 0.5 + NOISE[job.seed]}})
    text = written(tmp_path)
    assert "| parameters | MACs | seconds | test/f1 |" in text
    assert "| 10 | 0.5000 ± 0.0100 |" in text
    assert text.index("| 10 | 0.5000 ± 0.0141 |") < text.index("| 10 | 0.5000 ± 0.0100 |"), "it ranks nothing"


def test_without_validation_images_the_training_accuracy_counts(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.5, pool=["a"], metric="train/acc")
    assert "By training accuracy" in written(tmp_path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    answers = {("a", 0): 0.8, ("a", 1): "failed", ("b", 0): "running", ("b", 1): None}
    make(tmp_path, "grid", lambda pool, seed: answers[pool, seed], seeds=[0, 1], pool=["a", "b"])
    text = written(tmp_path)
    assert "4 jobs: " in text
    for words in ("1 completed", "1 failed", "1 cut off", "1 not started"):
        assert words in text
    assert "- failed: `pool=a,seed=1`: Diverged: the training loss became nan (" in text
    assert "- cut off: `pool=b,seed=0`" in text
    assert "- not started: `pool=b,seed=1`" in text
    assert "| b |  |  |  | 0 | no run completed |" in text
    table = pd.read_csv(tmp_path / "results.csv")
    assert table.state.tolist() == ["completed", "failed", "cut off", "not started"]
    assert "0.8000" in report(tmp_path)
    assert "±" not in report(tmp_path)  # one seed has no spread


def test_a_sweep_without_a_finished_job_has_a_report_too(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: None, pool=["a"])
    assert "3 jobs: 3 not started" in written(tmp_path)
    assert not (tmp_path / "ranking.png").exists()


@pytest.mark.parametrize("design", ["grid", "one_at_a_time", "paired"])
@pytest.mark.parametrize("seeds", [[0], [0, 1], [0, 1, 2]])
def test_the_plots_are_there_for_every_design(tmp_path: Path, design: str, seeds: list[int]) -> None:
    levels = {"pool": ["avg", "max"], "a_parameter_with_a_long_name": ["with", "long_values_x_long_values"]}
    make(tmp_path, design, lambda seed, **one: 0.1 if one["pool"] == "max" else 0.8 + NOISE[seed], seeds, **levels)
    report(tmp_path)
    for name in ("ranking", "effects", "cost", "curves"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        assert pixels.std() > 5  # something is drawn


def test_epochs_that_were_not_validated_leave_no_hole_in_a_curve(tmp_path: Path) -> None:
    sweep = make(tmp_path, "grid", lambda seed, pool: 0.8 + NOISE[seed], pool=["avg", "max"])
    for job in sweep.jobs:
        rows = [{"epoch": epoch, "train/acc": 0.5} | ({"val/acc": epoch / 10} if epoch % 2 == 0 else {})
                for epoch in range(1, 7)]  # fmt: skip
        RunDirectory(tmp_path / job.name).write_metrics(rows)
    figure = draw_curves(sweep, read_jobs(sweep, tmp_path), tmp_path, "val/acc")
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert [list(map(float, line.get_xdata())) for line in lines] == [[2, 4, 6]] * 2
    assert all(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).all() for line in lines)


def test_a_parameter_may_be_called_like_a_column(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda seconds, seed: 0.1 * int(seconds) + NOISE[seed], seconds=["1", "2"])
    report(tmp_path)
    table = pd.read_csv(tmp_path / "results.csv")
    assert table["seconds (swept)"].tolist() == [1, 1, 1, 2, 2, 2]
    assert table["seconds"].tolist() == [9.5] * 6


def test_a_report_made_twice_is_the_same(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.5 + NOISE[seed], pool=["a", "b"])
    report(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()}
    report(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()} == first


def test_the_script_says_where_the_report_is_and_imports_no_torch(tmp_path: Path) -> None:
    make(tmp_path / "x", "grid", lambda pool, seed: 0.5 + NOISE[seed], pool=["a", "b"])
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    done = script("report.py", "x", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "x/report.md"
    assert "pool=a" in done.stdout
    done = script("report.py", "y", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: y: no sweep")
    assert done.stderr.count("\n") == 1


def test_a_baseline_that_does_not_always_train_is_told(tmp_path: Path) -> None:
    def accuracy(pool: str, seed: int) -> float:
        return 0.1 if pool == "avg" and seed else 0.8 + NOISE[seed % 3]

    make(tmp_path, "one_at_a_time", accuracy, range(4), pool=["avg", "max"])
    text = written(tmp_path)
    assert "The baseline itself trains in 1 of 4 runs (share: 5 to 70 %)" in text
    assert "from validation accuracy 0.40 on" in text
    make(tmp_path / "b", "one_at_a_time", lambda pool, seed: 0.8 + NOISE[seed], pool=["avg", "max"])
    assert "The baseline itself" not in written(tmp_path / "b")


def test_in_a_grid_the_share_that_trains_is_of_each_setting_alone(tmp_path: Path) -> None:
    def accuracy(pool: str, lr: str, seed: int) -> float:
        return 0.1 if (pool, lr) == ("max", "0.1") and seed else 0.8 + NOISE[seed]

    sweep = make(tmp_path, "grid", accuracy, pool=["avg", "max"], lr=["0.9", "0.1"])
    found = effects(sweep, read_jobs(sweep, tmp_path), "val/acc", floor=0.4)
    assert [verdict(row) for _, row in found.iterrows()] == ["4 of 6 runs train (2 settings)"] * 2
    text = written(tmp_path)
    assert text.count("share: ") == 1
    assert "| pool=max,lr=0.1 | 1 | 3 | share: 6 to 79 % |" in text


def test_a_report_of_what_learned_nothing_has_its_plots(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.1, pool=["avg", "max"])
    report(tmp_path)
    assert (tmp_path / "ranking.png").stat().st_size > 1000
    assert (tmp_path / "cost.png").stat().st_size > 1000


@pytest.mark.parametrize("levels", [{"a": 0.2, "b": 0.11}, {"a": 0.8, "b": 0.45}])
def test_a_plot_leaves_out_just_what_did_not_train(tmp_path: Path, levels: dict[str, float]) -> None:
    sweep = make(tmp_path, "grid", lambda pool, seed: levels[pool] + NOISE[seed] / 10, pool=[*levels])
    (part,) = tables(sweep, tmp_path)[1]
    figure = draw_cost(part.ranked, "val/acc", part.floor, False)
    (row,) = (row for _, row in part.compared.iterrows())
    is_off = any("1 settings below" in text.get_text() or "1 setting below" in text.get_text()
                 for axes in figure.axes for text in axes.texts)  # fmt: skip
    assert is_off == (row["trained"] < row["completed"])


def test_one_job_is_one_job(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.8, seeds=[0], pool=["avg"])
    assert "\n1 job: 1 completed" in written(tmp_path)
