"""The instrument: whose turn it is, what is counted, and what is made of it."""

from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
import torch

from benchmarks.speed import finished, stacked
from benchmarks.speed.commands import run_in
from benchmarks.speed.parts import PARTS, PROCESSOR, Settings, Table
from benchmarks.speed.tables import compiling, figures, processor, together
from benchmarks.speed.turns import Row, Times, measure


def command(code: str, **settings: object) -> Row:
    return Row("commands.run", {"arguments": ["-c", code], **settings})


def test_rows_take_turns_and_the_first_turn_is_not_counted(tmp_path: Path) -> None:
    order = tmp_path / "order"

    def row(name: str) -> Row:
        return command(f"open({str(order)!r}, 'a').write({name!r}); print('done'); print(0.5)", says=True)

    times = measure({"a": row("a"), "b": row("b")}, rounds=2)
    turns = order.read_text()
    assert [sorted(turns[i : i + 2]) for i in (0, 2, 4)] == [["a", "b"]] * 3
    for row_times in times.values():
        assert len(row_times.seconds) == 2
        assert row_times.scores == [0.5, 0.5]
        assert row_times.warm_up > 0
        assert 1 < row_times.memory < 10_000


def test_a_row_that_fails_ends_the_measurement_with_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="slow: its process ended early"):
        measure({"quick": command(""), "slow": command("raise SystemExit(3)")}, rounds=1)
    assert "exit code 3" in capfd.readouterr().err


def test_commands_fail_as_they_do_for_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our scripts set a variable with which Hydra's errors are tracebacks, and what they start would inherit it."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    row = command("import os; raise SystemExit(2 if 'HYDRA_FULL_ERROR' in os.environ else 3)", expected=3)
    assert len(measure({"error": row}, rounds=1)["error"].seconds) == 1


def test_memory_is_that_of_the_largest_process_and_not_of_the_one_that_measures() -> None:
    here = bytearray(400_000_000)
    rows = {"large": command("bytearray(200_000_000)"), "small": command("")}
    found = measure(rows, rounds=1)
    del here
    assert 200 < found["large"].memory < 300
    assert found["small"].memory < 100


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("part", PARTS)
def test_every_row_of_every_part_is_told_what_its_function_asks_for(part: str, device: str) -> None:
    for table in PARTS[part](Settings("data", 2, device, rounds=5, images=60_000)):
        for row in table.rows.values():
            module, _, function = row.function.partition(".")
            signature(getattr(import_module(f"benchmarks.speed.{module}"), function)).bind(None, **row.settings)


@pytest.mark.real_data
def test_a_sweep_that_counts_as_completed_is_completed(tmp_path: Path, real_root: str, monkeypatch) -> None:
    monkeypatch.setenv("LENET_DATA", str(Path(real_root).resolve()))
    jobs = 2 * finished.SEEDS_OF_EACH
    finished.finish(tmp_path, jobs)
    said, _ = run_in(tmp_path, [str(finished.SCRIPTS / "train.py"), *finished.arguments(jobs)])
    assert f"{jobs} completed before, 0 to do" in said
    assert len(set((tmp_path / "runs/finished/results.csv").read_text().splitlines())) == 1 + jobs


def test_nets_that_are_trained_as_one_computation_learn_what_each_learns_by_itself() -> None:
    """Within the order of sums; each has a seed, an order of images and a learning rate of its own."""
    count, images, lrs = 3, 300, [0.05, 0.4, 0.9]
    pixels = torch.randint(0, 256, (images, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(images) % 10
    alone = stacked.OneByOne(stacked.nets(count, "cpu"), lrs)
    at_once = stacked.Stacked(stacked.nets(count, "cpu"), lrs)
    for _ in range(3):
        order = stacked.orders(count, images)
        found, wanted = (train.epoch(pixels, labels, order, 64) for train in (at_once, alone))
        assert found[0].tolist() == pytest.approx(wanted[0].tolist(), abs=1e-4 * images)
    for number in range(count):
        for name, weight in alone.weights(number).items():
            assert (at_once.weights(number)[name] - weight).abs().max() < 1e-4, (number, name)
    first = stacked.nets(count, "cpu")
    assert (alone.weights(2)["0.weight"] - first[2][0].weight).abs().max() > 1e-3, "it has not learned"


def times(warm_up: float, *seconds: float, scores: tuple[float, ...] = ()) -> Times:
    return Times(warm_up, list(seconds), list(scores), memory=100)


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    other, ours = figures({"other": times(9, 2, 30, 8, scores=(0.9, 0.8)), "ours": times(9, 1, 10, 2)})
    assert other["times_as_fast"] == 3  # of 2, 3 and 4; the ratio of the medians would be 4
    assert other["median_s"] == 8
    assert other["score"] == pytest.approx(0.85)
    assert (ours["times_as_fast"], ours["score"]) == (1, None)


def test_compiling_pays_when_what_it_saves_is_more_than_it_took() -> None:
    rows = figures({"ours compiled": times(23, 3, 3, 3), "ours": times(4, 4, 4, 4)})
    assert compiling(rows) == "Compiling took 20.0 s in the first epoch and pays from epoch 20 on."
    slower = figures({"ours compiled": times(23, 5, 5, 5), "ours": times(4, 4, 4, 4)})
    assert compiling(slower) == "Compiling took 18.0 s in the first epoch and does not pay."
    assert compiling(rows[:1]) is None


def test_of_two_rows_it_says_what_all_turns_took() -> None:
    assert together(figures({"bare": times(9, 2, 4), "ours": times(9, 1, 2)})) == (
        "All turns together: `ours` takes 0.50 times as long as `bare`; by rounds 0.50 (0.50 to 0.50)."
    )


def test_of_two_rows_it_says_what_the_processor_worked() -> None:
    rows = figures({"bare": times(9, 2, 4, scores=(2, 2)), "ours": times(9, 1, 2, scores=(3, 2))})
    said = "Of the processor's time `ours` takes 1.25 (1.00 to 1.50) times as much as `bare`."
    assert processor(Table("", {}, 2, PROCESSOR), rows) == said
    assert processor(Table("", {}, 2, "test accuracy"), rows) is None


@pytest.mark.real_data
def test_every_kind_of_row_can_be_run(real_root: str) -> None:
    to = {"root": real_root, "threads": 1, "device": "cpu"}
    rows = {
        "usual": Row("usual.epochs", to | {"images": 512, "rounds": 1}),
        "bare": Row("peers.bare", to | {"images": 512, "channels_last": True}),
        "stacked": Row("stacked.epochs", to | {"images": 512, "count": 2, "together": True}),
        "ours": Row("ours.epochs", to | {"images": 512, "rounds": 1}),
        "jobs": Row("ours.jobs", to | {"rounds": 1, "overrides": ["trainer.limit_train_batches=2"]}),
    }
    found = measure(rows, rounds=1)
    assert [len(row.seconds) for row in found.values()] == [1] * len(rows)
    assert found["ours"].memory > found["bare"].memory
