"""benchmarks/searches.py: ways to search, compared on a table of runs."""

import math
from pathlib import Path

import pytest

from benchmarks.searches import CHANCE, WAYS, Table, found, main
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Job, Sweep

RATES, POOLS, EPOCHS = ["0.1", "0.2", "0.4", "0.8"], ["avg", "max"], 4
SEEDS = [0, 1, 2]


def accuracy(rate: str, pool: str, seed: int, epoch: int) -> float:
    return 0.5 + (pool == "max") * 0.2 - abs(math.log2(float(rate) / 0.4)) / 10 + epoch / 100 + seed / 1000


@pytest.fixture
def table() -> Table:
    curves = {((rate, pool), seed): [accuracy(rate, pool, seed, epoch) for epoch in range(1, EPOCHS + 1)]
              for rate in RATES for pool in POOLS for seed in SEEDS}  # fmt: skip
    return Table({"lr": RATES, "pool": POOLS}, ("0.1", "avg"), curves, SEEDS)


@pytest.mark.parametrize("name", WAYS)
def test_each_way_spends_its_budget_and_is_judged_by_seeds_that_it_has_not_seen(name: str, table: Table) -> None:
    curve = found(table, WAYS[name], 0, 24)
    assert len(curve) == 24
    assert math.isnan(curve[EPOCHS - 1])  # before the first trial has ended
    others = {table.mean(key, [2]) for key, _ in table.curves}
    assert set(curve[EPOCHS:]) <= others
    assert curve[-1] >= curve[EPOCHS]


def test_what_was_good_by_luck_is_not_what_is_confirmed(table: Table) -> None:
    lucky = ("0.8", "max")
    table.curves[lucky, 0] = [0.95] * EPOCHS  # where the search looks; on the other seeds it learns nothing
    for seed in SEEDS[1:]:
        table.curves[lucky, seed] = [CHANCE] * EPOCHS
    budget = 8 * EPOCHS
    assert found(table, WAYS["search: random"], 0, budget, top=1)[-1] == CHANCE
    assert found(table, WAYS["search: random"], 0, budget, top=3)[-1] == accuracy("0.4", "max", 2, EPOCHS)


@pytest.mark.parametrize("name", WAYS)
def test_a_run_that_diverged_is_an_answer_and_no_value(name: str, table: Table) -> None:
    """It costs the epochs until then. It is never what was found, and counts as a guess where it is to confirm."""
    best = max(table.curves, key=lambda one: table.curves[one][-1])[0]
    for seed in SEEDS:
        table.curves[best, seed] = [0.9] * (EPOCHS - 1)
    assert table.mean(best, [1]) == CHANCE
    curve = found(table, WAYS[name], 0, 8 * EPOCHS)
    assert CHANCE not in curve
    assert curve[-1] > 0.5


def test_a_sweep_becomes_a_table_a_picture_and_rows(tmp_path: Path, monkeypatch, capsys) -> None:
    jobs = []
    for rate in RATES:
        for pool in POOLS:
            for seed in SEEDS:
                name = f"lr={rate},pool={pool},seed={seed}"
                levels = {"lr": rate, "pool": pool}
                jobs.append(Job(name, name.rpartition(",")[0], levels, seed, [], EPOCHS, 10, 10))
                run = RunDirectory(tmp_path / name)
                run.path.mkdir()
                run.write_result({"status": "completed"})
                run.write_metrics([{"epoch": epoch, "val/acc": accuracy(rate, pool, seed, epoch)}
                                   for epoch in range(1, EPOCHS + 1)])  # fmt: skip
    Sweep("grid", {"lr": RATES, "pool": POOLS}, {"lr": "0.1", "pool": "avg"}, jobs).write(tmp_path)
    out = tmp_path / "out"
    words = [str(tmp_path), "--repetitions", "2", "--budget", "30", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["searches", *words])
    RunDirectory(tmp_path / jobs[0].name).write_result({"status": "interrupted"})
    with pytest.raises(SystemExit, match=r"lr=0.1,pool=avg,seed=0 has not ended; finish the sweep first"):
        main()
    RunDirectory(tmp_path / jobs[0].name).write_result({"status": "failed", "error": {"message": "Diverged: nan"}})
    main()
    assert "n = 2 repetitions" in capsys.readouterr().out
    assert len((out / "searches.csv").read_text().splitlines()) == 1 + 2 * 2 * len(WAYS)
    assert (out / "searches.png").exists()
