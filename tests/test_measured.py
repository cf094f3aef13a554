"""What a report says that was measured, what it ranks together, and how it bears files that somebody has edited."""

import copy
import csv
import json
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from conftest import script
from lenet.config import Config, Data, Optimizer, Trainer
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.sweeps import design as sweeps
from lenet.sweeps import report as reports
from lenet.sweeps.design import LONGEST_LABEL, Job, Level, Parameter, Sweep, check_labels
from lenet.sweeps.design import settings as settings_of
from lenet.sweeps.report import plain, report
from lenet.sweeps.runner import run

Change = Callable[[dict[str, Any]], object]


def config_of(data: str = "fashion_mnist", pool: str = "avg", seed: int = 0, **trainer: Any) -> Config:
    config = Config(seed=seed, data=Data(name=data), optimizer=Optimizer(lr=0.1), trainer=Trainer(**trainer))
    config.model.pool = pool
    return config


def make(directory: Path, configs: dict[str, Config], alone: bool = False, seeds: int = 2) -> Path:
    """A completed sweep over `kind`, whose levels have these configs; the first is the baseline."""
    labels = list(configs)
    jobs = []
    for seed in range(seeds):
        for place, (text, config) in enumerate(configs.items()):
            job = Job(f"kind={place},seed={seed}", f"kind={text}", {"kind": text}, seed, [], 2, 61_706, 416_520)
            jobs.append(job)
            run = RunDirectory(directory / job.name)
            run.path.mkdir(parents=True)
            config.seed = seed
            run.write_config(config)
            accuracy = 0.5 + 0.03 * place + 0.01 * seed
            metrics = {"train/acc": accuracy, "val/acc": accuracy, "test/acc": accuracy}
            run.write_metrics([{"epoch": 1, **metrics}])
            result = {"status": "completed", "metrics": metrics, "epochs": 1, "seconds": 9.5, "device": "cpu"}
            run.write_result(result | {"threads": 1, "versions": {"torch": "2.15.0", "omegaconf": "2.3.1"}})
    Sweep("grid", {"kind": labels}, {"kind": labels[0]}, jobs, alone).write(directory)
    return directory


def edit(path: Path, change: Change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not rendered, which takes most of the time."""
    monkeypatch.setattr(reports, "save", lambda figure, path: None)


def written(directory: Path) -> str:
    report(directory)
    return (directory / "report.md").read_text()


def test_the_header_says_what_was_measured(tmp_path: Path, undrawn) -> None:
    limits: dict[str, Any] = {"max_epochs": 4, "limit_train_batches": 60, "limit_val_batches": 2}
    text = written(make(tmp_path, {pool: config_of(pool=pool, **limits) for pool in ("avg", "max")}))
    for words in (
        "data: fashion_mnist;",
        "trained on 15,360 images (only 60 of 188 batches) an epoch",
        "validated on 2,000 images (only 2 of 12 batches)",
        "tested on 10,000 images\n",
        "4 epochs; seeds 0, 1",
        "all share: optimizer.lr=0.1\n",
        "computed on: cpu; 1 thread; torch 2.15.0\n",
    ):
        assert words in text, words


def test_what_cannot_be_compared_is_not_ranked_together(tmp_path: Path, undrawn) -> None:
    kinds = {"a": config_of(), "b": config_of("mnist"), "c": config_of("mnist", "max"), "d": config_of(pool="max")}
    text = written(make(tmp_path, kinds))
    assert "there are 2 rankings" in text
    fashion, mnist = re.split(r"## data\.name=\w+\n", text)[1:]
    assert [re.findall(r"^\| kind=(.) ", part, re.MULTILINE) for part in (fashion, mnist)] == [["d", "a"], ["c", "b"]]
    assert re.findall(r"^\| kind \| (.) \|", text, re.MULTILINE) == ["d"], "b and c have no baseline of their data"
    assert "What kind changes from this ranking to another is not told" in mnist
    assert len(pd.read_csv(tmp_path / "results.csv")) == 8
    shown = report(tmp_path)
    assert "data.name=mnist:" in shown


@pytest.mark.parametrize(
    ("one", "other", "rankings"),
    [
        (config_of(), config_of(limit_val_batches=2), 2),
        (config_of(limit_test_batches=0.5), config_of(), 2),
        (config_of(), config_of(max_epochs=5, limit_train_batches=9), 1),
        (config_of(), config_of(pool="max"), 1),
    ],
)
def test_as_many_images_have_to_judge(tmp_path: Path, undrawn, one: Config, other: Config, rankings: int) -> None:
    text = written(make(tmp_path, {"a": one, "b": other}, seeds=1))
    assert text.count("# Ranking\n") == rankings


@pytest.mark.parametrize("content", ["", "data: [", "data: {name: 3}", "data: {batch_size: 0}", "hobby: chess"])
def test_it_says_so_where_no_config_can_be_read(tmp_path: Path, undrawn, content: str) -> None:
    make(tmp_path, {"a": config_of(), "b": config_of("mnist")}, seeds=1)
    for path in tmp_path.glob("*/config.yaml"):
        path.write_text(content or "3")
    text = written(tmp_path)
    assert "What was measured is not known: no config.yaml of these jobs can be read." in text
    assert text.count("# Ranking\n") == 1


def test_a_job_without_a_config_is_not_ranked_with_the_others(tmp_path: Path, undrawn) -> None:
    make(tmp_path, {"a": config_of(), "b": config_of(pool="max")}, seeds=1)
    (tmp_path / "kind=1,seed=0/config.yaml").unlink()
    text = written(tmp_path)
    assert "## not known what on" in text
    assert text.count("# Ranking\n") == 2


@pytest.mark.parametrize("alone", [True, False])
def test_seconds_are_drawn_where_jobs_ran_alone(tmp_path: Path, monkeypatch, alone: bool) -> None:
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(reports, "save", lambda figure, path: drawn.update({path.name: figure}))
    text = written(make(tmp_path, {"a": config_of(), "b": config_of(pool="max")}, alone))
    titles = [axes.get_xlabel() for axes in drawn["cost.png"].axes]
    assert titles == ["parameters", "multiply-accumulates of one image", "seconds of a run"][: 3 if alone else 2]
    assert ("Seconds say little" in text) is not alone
    assert "seconds" in (tmp_path / "results.csv").read_text().splitlines()[0]


def test_a_sweep_knows_whether_its_jobs_have_always_run_alone(tmp_path: Path, undrawn) -> None:
    make(tmp_path, {"a": config_of()}, seeds=1)
    sweep = Sweep.read(tmp_path)
    configs = {job.name: config_of() for job in sweep.jobs}

    def start(directory: Path, at_once: int | None) -> bool:
        run(sweep, directory, configs, lambda jobs: {}, at_once=at_once)
        return Sweep.read(directory).alone

    assert not start(tmp_path, 1), "its jobs are of before this was written down"
    for path in tmp_path.glob("*/*.*"):
        path.rename(tmp_path / path.name)
    fresh = tmp_path / "fresh"
    with pytest.raises(Exception, match="not completed"):
        start(fresh, 1)
    assert Sweep.read(fresh).alone
    RunDirectory(fresh / sweep.jobs[0].name).path.mkdir()
    RunDirectory(fresh / sweep.jobs[0].name).write_result({"status": "completed", "metrics": {"val/acc": 0.5}})
    assert start(fresh, 1)
    assert not start(fresh, None)
    assert not start(fresh, 1), "some of them have not"


# What somebody may do to sweep.json, and what the answer names.
EDITED: list[tuple[Change, str]] = [
    (lambda sweep: sweep.update(baseline={}), "its baseline varies other parameters"),
    (lambda sweep: sweep.update(parameters={}), "its baseline varies"),
    (lambda sweep: sweep.update(jobs=[]), "no jobs"),
    (lambda sweep: sweep["parameters"].update(kind=["zzz"]), "kind=a, which is none"),
    (lambda sweep: [job.update(levels={}) for job in sweep["jobs"]], "kind=a varies other parameters"),
    (lambda sweep: sweep["jobs"][0].update(levels={"kind": "zzz"}), "other values than another"),
    (lambda sweep: sweep["jobs"][0].update(seed=-1), "the seed"),
    (lambda sweep: sweep["jobs"][0].update(seed=0.5), "seed is not of the kind"),
    (lambda sweep: sweep["jobs"][0].update(macs=-1), "size of job 1"),
    (lambda sweep: sweep["jobs"][0].update(parameters=0), "size of job 1"),
    (lambda sweep: sweep["jobs"][0].update(name="kind=1,seed=0"), "the name of job 2"),
    (lambda sweep: sweep["jobs"][0].pop("seed"), "other keys"),
    (lambda sweep: sweep.update(parameters={"kind": ["x" * 100_000]}), "100,000 characters"),
    (lambda sweep: sweep["jobs"][0].update(setting="x" * 100_000), "100,000 characters"),
    (lambda sweep: sweep["jobs"][0].update(setting="\u202egpj"), "cannot be printed"),
    (lambda sweep: sweep["jobs"][0].update(setting="\ud800"), "cannot be printed"),
]


@pytest.mark.parametrize(("change", "words"), EDITED, ids=[words for _, words in EDITED])
def test_an_edited_sweep_is_refused_with_a_reason(tmp_path: Path, change: Change, words: str) -> None:
    make(tmp_path, {"a": config_of(), "b": config_of(pool="max")}, seeds=2)
    edit(tmp_path / "sweep.json", change)
    with pytest.raises(BadInput) as caught:
        report(tmp_path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/sweep.json: not the list of a sweep's jobs (")
    assert "remove it and start the sweep again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_sweep_has_so_many_jobs_at_most(tmp_path: Path, monkeypatch) -> None:
    make(tmp_path, {"a": config_of()}, seeds=3)
    monkeypatch.setattr(sweeps, "MOST_JOBS", 2)
    with pytest.raises(BadInput, match="it has 3 jobs, and a sweep has at most 2"):
        report(tmp_path)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"val/acc": 1e300, "train/acc": 0.5}, "val/acc=1e+300 is no share of the images"),
        ({"val/acc": math.inf}, "val/acc=inf"),
        ({"val/acc": math.nan}, "val/acc=nan"),
        ({"val/acc": 0.5, "train/acc": 0.5, "test/acc": -1}, "test/acc=-1"),
        ({}, "it has no train/acc"),
    ],
)
def test_a_job_with_figures_that_cannot_be_is_damaged_and_not_ranked(
    tmp_path: Path, undrawn, metrics: dict[str, float], words: str
) -> None:
    make(tmp_path, {"a": config_of(), "b": config_of(pool="max")})
    edit(tmp_path / "kind=1,seed=1/result.json", lambda result: result.update(metrics=metrics))
    shown = report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "3 completed, 1 damaged" in text
    assert f"- damaged: `kind=1,seed=1/result.json`: {words}" in text
    assert f"{tmp_path}/kind=1,seed=1/result.json: damaged: {words}" in shown
    assert "remove it, and the sweep does this job again" in shown
    assert re.findall(r"^\| kind=b \| (\d) \|", text, re.MULTILINE) == ["1"]


def test_a_loss_that_is_no_number_damages_nothing(tmp_path: Path, undrawn) -> None:
    make(tmp_path, {"a": config_of()})  # the last update of a run may break its weights
    edit(tmp_path / "kind=0,seed=1/result.json", lambda result: result["metrics"].update({"val/loss": math.nan}))
    assert "2 completed" in written(tmp_path)


STRANGE = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "a|b", "`x`", "<img src=x>", "![x](http://x/y.png)",
           "[click](https://x)", "_hidden", "$x$", "\N{GRINNING FACE}", "\\", "x;=1+1", "*bold*"]  # fmt: skip


def test_strangers_values_are_plain_text_wherever_they_are_shown(tmp_path: Path) -> None:
    make(tmp_path, {text: config_of(pool="max") for text in STRANGE}, seeds=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = written(tmp_path)
    with (tmp_path / "results.csv").open() as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    for cell in cells:
        formula = re.match(r"\s*[=+@-]", cell) or re.search(r"[;,|]\s*[=+@-]", cell)
        assert not formula or re.fullmatch(r"-?[\d.e+-]+", cell), cell
    assert "'=cmd|' /C calc'!A0" in cells
    rows = [line for line in text.splitlines() if line.startswith("| kind=")]
    assert len(rows) == len(STRANGE)
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 8, row
    bare = re.sub(r"!\[\w+( \w+)*\]\(\w+\.png\)", "", text)
    for mark in ("`", "<", "[", "]", "*"):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", bare), mark
    assert "http://" not in bare


def test_numbers_stay_numbers_in_a_spreadsheet(tmp_path: Path, undrawn) -> None:
    report(make(tmp_path, {"-0.5": config_of(), "1e-3": config_of()}, seeds=1))
    assert pd.read_csv(tmp_path / "results.csv").kind.tolist() == [-0.5, 0.001]


@given(st.text())
def test_markdown_of_a_text_has_no_mark_that_is_not_escaped(text: str) -> None:
    shown = plain(text)
    assert not re.search(r"[`*\[\]<>|!~&]", re.sub(r"\\[\\`*\[\]<>|!~&:.]", "", shown))
    assert re.sub(r"\\([\\`*\[\]<>|!~&:.])", r"\1", shown) == text


numbers = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1, 0, 2**62, 2**70, 0.5])
values = (
    st.none() | st.booleans() | numbers | st.sampled_from(["", "zzz", "=1+1", "\x1b[2J", "\ud800", "..", "a" * 9999])
)
values |= st.lists(values, max_size=2) | st.dictionaries(st.sampled_from(["kind", "a", "val/acc", "x"]), values)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON document something can be changed."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else []
    return [path] * bool(path) + [place for key, value in inner for place in places(value, (*path, key))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_report_of_edited_files_works_or_is_refused_in_one_line(tmp_path: Path, undrawn, data: st.DataObject) -> None:
    directory = tmp_path / "sweep"
    if not directory.exists():
        make(directory, {"a": config_of(), "b": config_of(pool="max")})
    name = data.draw(st.sampled_from(["sweep.json", "kind=0,seed=0/result.json", "kind=1,seed=1/result.json"]))
    before = (directory / name).read_text()
    content = copy.deepcopy(json.loads(before))
    for _ in range(data.draw(st.integers(1, 2))):
        *outer, last = data.draw(st.sampled_from(places(content)))
        node = content
        for key in outer:
            node = node[key]
        if data.draw(st.booleans()):
            del node[last]
        else:
            node[last] = data.draw(values)
        if not places(content):
            break
    (directory / name).write_text(json.dumps(content))
    refused = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shown = report(directory)
        assert "\x1b" not in shown + (directory / "report.md").read_text()
    except BadInput as error:
        refused = str(error)
    finally:
        (directory / name).write_text(before)
    assert "\n" not in refused
    assert "sweep.json" in refused or not refused
    assert len(refused) < 700


def test_a_label_that_could_not_be_read_back_is_not_written() -> None:
    for text in ("x" * (LONGEST_LABEL + 1), "a\nb"):
        with pytest.raises(BadInput, match=f"a label of at most {LONGEST_LABEL}"):
            check_labels([Parameter("pool", (Level(text, ()),))])
    many = tuple(Level(str(number), ()) for number in range(1000))
    with pytest.raises(BadInput, match="1,000,000 settings"):
        list(settings_of("grid", [Parameter("a", many), Parameter("b", many)]))


def test_the_script_answers_a_label_of_100_000_characters_before_it_imports(tmp_path: Path) -> None:
    make(tmp_path / "x", {"a": config_of()}, seeds=1)
    edit(tmp_path / "x/sweep.json", lambda sweep: sweep["jobs"][0].update(setting="x" * 100_000))
    (tmp_path / "pandas.py").write_text("raise ImportError('pandas was imported')")
    done = script("report.py", "x", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr == (
        "error: x/sweep.json: not the list of a sweep's jobs (a name or value in it has 100,000 characters, and may "
        "have 500); remove it and start the sweep again, which finds the jobs that are done\n"
    )
