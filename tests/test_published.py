"""The paper's curves beside those of made-up runs whose errors are known."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import published
from conftest import script
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Job, Sweep

LEVELS = ["60000", "15000", "distorted"]


def make(directory: Path, passes: dict[str, int], tested: bool = True, parameter: str = "images") -> Path:
    """A sweep of two seeds. `passes` of each job: after pass p 10/p + seed % test error, 1/p % training error."""
    jobs = []
    for level in LEVELS:
        for seed in (0, 1):
            name = f"{level},seed={seed}"
            jobs.append(Job(name, level, {parameter: level}, seed, [], 20, 60_000, 328_096))
            if name in passes:
                run = RunDirectory(directory / name)
                run.path.mkdir(parents=True)
                rows = [
                    {"epoch": p, "train/acc": 1 - 0.01 / p}
                    | ({"test/acc": 0.9 + (0.1 - 0.1 / p) - 0.01 * seed} if tested else {})
                    for p in range(1, passes[name] + 1)
                ]
                run.write_metrics(rows)
    directory.mkdir(exist_ok=True)
    Sweep("grid", {parameter: LEVELS}, {parameter: LEVELS[0]}, jobs).write(directory)
    return directory


def test_errors_are_those_of_the_passes_that_all_begun_runs_have_done(tmp_path: Path) -> None:
    found = published.curves(make(tmp_path / "s", {"60000,seed=0": 12, "60000,seed=1": 11, "15000,seed=1": 2}))
    assert list(found) == ["60000", "15000"]
    assert list(found["60000"].index) == list(range(1, 12))
    assert found["60000"]["test", 0].tolist() == pytest.approx([10 / p for p in range(1, 12)])
    assert found["60000"]["test", 1].tolist() == pytest.approx([10 / p + 1 for p in range(1, 12)])
    assert found["15000"]["train"].columns.tolist() == [1]


def test_the_tables_hold_the_mean_of_the_seeds_beside_the_paper(tmp_path: Path) -> None:
    found = published.curves(
        make(tmp_path / "s", {"60000,seed=0": 11, "60000,seed=1": 11, "15000,seed=1": 2, "distorted,seed=0": 1})
    )
    lines = published.pass_by_pass(found["60000"]).splitlines()
    assert len(lines) == 2 + 11
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3] == "| 2 | 2.24 | 5.50 | 5.00 | 6.00 | +3.26 | 3.04 | 0.50 |"
    assert lines[12] == "| 11 | (0.95) | 1.41 | 0.91 | 1.91 | +0.46 | (0.36) | 0.09 |"
    ends = published.at_the_end(found).splitlines()
    assert ends[2] == "| 60000 | 11 | 2 | 1.41 ± 0.71 | 0.91, 1.91 | 0.95 | 0.09 | 0.35 |"
    assert ends[3] == "| 15000 | 2 | 1 | 6.00 | 6.00 | 1.68 | 0.50 | 0.05 |"
    assert ends[4] == "| distorted | 1 | 1 | 10.00 | 10.00 | 0.80 | 1.00 |  |"


def test_the_figures_have_a_line_for_the_paper_and_one_for_the_mean(tmp_path: Path) -> None:
    found = published.curves(make(tmp_path / "s", dict.fromkeys(["60000,seed=0", "60000,seed=1", "15000,seed=0"], 20)))
    axes = published.draw_passes(found["60000"]).axes[0]
    by_label = {line.get_label(): line for line in axes.lines}
    assert tuple(by_label["test error, paper"].get_ydata()) == published.TEST_ERROR
    assert by_label["test error, mean of 2 seeds"].get_ydata()[0] == pytest.approx(10.5)
    sizes = published.draw_sizes(found).axes[0]
    by_label = {line.get_label(): line for line in sizes.lines}
    assert list(by_label["test error, mean of our seeds"].get_xdata()) == [15_000, 60_000]
    assert list(by_label["test error, paper"].get_ydata()) == [1.68, 1.14, 0.95]


def test_the_script_writes_two_figures_and_prints_both_tables(tmp_path: Path) -> None:
    directory = make(tmp_path / "s", {"60000,seed=0": 3})
    done = script("published.py", str(directory), "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| 60000 | 3 | 1 | 3.33 |" in done.stdout
    assert "| 3 | 1.48 | 3.33 |" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["figure5.png", "figure6.png"]


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"passes": {}}, "no run of this sweep has finished a pass"),
        ({"passes": {"60000,seed=0": 2}, "tested": False}, "test_each_epoch=true"),
        ({"passes": {"60000,seed=0": 2}, "parameter": "pool"}, "sweep=lenet5_1998_figures"),
    ],
)
def test_a_sweep_without_such_curves_is_refused_in_one_line(tmp_path: Path, sweep: dict, said: str) -> None:
    directory = make(tmp_path / "s", **sweep)
    with pytest.raises(BadInput, match=said) as caught:
        published.curves(directory)
    assert "\n" not in str(caught.value)


def test_nothing_of_it_imports_torch() -> None:
    check = "import sys, benchmarks.published; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
