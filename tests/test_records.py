"""A sweep over sizes beside others' figures, with made-up runs whose accuracies are known."""

import statistics
from pathlib import Path

import pytest

from benchmarks import records
from conftest import PROJECT, script
from lenet.config import Config
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Job, Sweep


def make(directory: Path, data: str, found: dict[str, list[float | None]]) -> Path:
    """A sweep over `size`: for each level the test accuracies of its seeds; None for one that is not done."""
    jobs = []
    for place, (level, accuracies) in enumerate(found.items()):
        for seed, accuracy in enumerate(accuracies):
            name = f"{level},seed={seed}"
            jobs.append(Job(name, level, {"size": level}, seed, [], 20, 10_000 * (3 - place), 1))
            if accuracy is None:
                continue
            run = RunDirectory(directory / name)
            run.path.mkdir(parents=True)
            config = Config()
            config.data.name = data
            run.write_config(config)
            result = {"status": "completed", "metrics": {"test/acc": accuracy}, "epochs": 20, "seconds": 60.0 + seed}
            run.write_result(result)
    directory.mkdir(exist_ok=True)
    Sweep("grid", {"size": list(found)}, {"size": next(iter(found))}, jobs).write(directory)
    return directory


def test_the_table_has_mean_and_spread_of_what_is_done_the_smallest_net_first(tmp_path: Path) -> None:
    accuracies = [0.93, 0.94, 0.945]
    ((data, table),) = records.by_net(
        records.read([make(tmp_path / "s", "mnist", {"large": accuracies, "small": [0.9, None]})])
    ).items()
    assert data == "mnist"
    assert list(table.index) == ["small", "large"]
    percent = [100 * accuracy for accuracy in accuracies]
    assert table["mean"]["large"] == pytest.approx(statistics.mean(percent))
    assert table.sd["large"] == pytest.approx(statistics.stdev(percent))
    assert table.seconds["large"] == 61
    lines = records.as_markdown(data, table).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| **large** | 30,000 | **93.83 ± 0.76** | 93.00 94.00 94.50 | 20 | 61 |" in lines
    assert "| **small** | 20,000 | **90.00** | 90.00 | 20 | 60 |" in lines
    assert "| 8,900 | 99.5 |" in lines[2], "the smallest net, though another's"


def test_a_data_set_on_which_nobody_else_has_a_record_is_shown_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(records, "RECORDS", {})
    found = records.by_net(records.read([make(tmp_path / "s", "mnist", {"large": [0.9, 0.92]})]))
    assert len(records.as_markdown("mnist", found["mnist"]).splitlines()) == 3
    assert records.draw(found).axes


def test_several_sweeps_on_one_data_set_stand_in_one_table(tmp_path: Path) -> None:
    seeds_alone = make(tmp_path / "improved", "mnist", {"baseline": [0.95, 0.96]})
    sizes = make(tmp_path / "sizes", "mnist", {"large": [0.93], "medium": [None], "small": [0.9, 0.92]})
    table = records.by_net(records.read([sizes, seeds_alone]))["mnist"]
    assert list(table.index) == ["small", "large", "improved"]
    assert table.n.tolist() == [2, 1, 2]
    begun = make(tmp_path / "begun", "mnist", {"large": [0.94], "small": [None]})
    table = records.by_net(records.read([sizes, begun]))["mnist"]
    assert sorted(table.index) == ["begun: large", "sizes: large", "small"]
    assert table["mean"]["begun: large"] == pytest.approx(94)


def test_the_figure_has_every_net_of_ours_and_of_others(tmp_path: Path) -> None:
    found = records.read(
        [make(tmp_path / name, name, {"large": [0.93, 0.94], "small": [0.9]}) for name in ("fashion_mnist", "mnist")]
    )
    panels = records.draw(records.by_net(found)).axes
    assert [panel.get_title() for panel in panels] == ["fashion_mnist", "mnist"]
    for panel in panels:
        texts = " ".join(text.get_text() for text in panel.texts)
        for record in records.RECORDS[panel.get_title()]:
            assert record.name in texts
        assert "93.50 ± 0.71" in texts
        low, high = panel.get_ylim()
        assert all(low < record.accuracy < high for record in records.RECORDS[panel.get_title()])


def test_what_is_no_such_sweep_gets_one_line(tmp_path: Path, in_empty_folder: Path) -> None:
    with pytest.raises(BadInput, match="has been tested yet"):
        records.read([make(tmp_path / "begun", "mnist", {"large": [None]})])
    done = script("records.py", "nowhere", cwd=in_empty_folder)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert list(in_empty_folder.iterdir()) == []


def test_the_command_prints_the_tables_and_draws_the_figure(tmp_path: Path, in_empty_folder: Path) -> None:
    sweep = make(tmp_path / "s", "mnist", {"large": [0.93, 0.94]})
    done = script("records.py", str(sweep), "--out", "figure.png", cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    assert "93.50 ± 0.71" in done.stdout
    assert (in_empty_folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_runs_that_are_kept_stand_beside_new_ones_and_make_room_for_them(tmp_path: Path, in_empty_folder: Path) -> None:
    old = make(tmp_path / "old", "mnist", {"large": [0.9, 0.92]})
    new = make(tmp_path / "new", "fashion_mnist", {"small": [0.8]})
    for sweep in (old, new):
        done = script("records.py", str(sweep), "--kept", "kept.csv", cwd=in_empty_folder)
        assert done.returncode == 0, done.stderr
    again = make(tmp_path / "again/old", "mnist", {"large": [0.94]})
    kept = records.read_kept(in_empty_folder / "kept.csv")
    runs = records.together(kept, records.read([again]))
    assert runs.set_index(["net", "seed"]).percent.to_dict() == {("new", 0): 80, ("old", 0): 94}, (
        "the sweep as it is now"
    )
    with pytest.raises(BadInput, match="two directories"):
        records.read([old, again])
    before = (in_empty_folder / "kept.csv").read_bytes()
    done = script("records.py", "--kept", "kept.csv", cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    assert "91.00 ± 1.41" in done.stdout
    assert (in_empty_folder / "kept.csv").read_bytes() == before
    for wrong in (b"seed,net\n1,x\n", before.replace(b",1,", b",0.7,"), before.replace(b",92.0,", b",inf,")):
        assert wrong != before
        (in_empty_folder / "kept.csv").write_bytes(wrong)
        with pytest.raises(BadInput, match=r"mend it|no table of runs"):
            records.read_kept(in_empty_folder / "kept.csv")


def test_the_page_has_the_figures_of_the_runs_that_are_kept() -> None:
    page = (PROJECT / "docs/improved.md").read_text()
    nets = records.by_net(records.read_kept(PROJECT / "docs/records.csv"))
    for table in nets.values():
        assert len(table) == 3
        for _, row in table.iterrows():
            assert f"{row['parameters']:,}" in page
            assert f"**{records.with_spread(row)}**" in page
            assert f"| {row['seeds']} |" in page
