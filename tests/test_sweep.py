"""A sweep as data: designs, names, and what is on disk."""

import json
import multiprocessing
import pickle
import re
import select
import signal
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext
from hypothesis import given
from hypothesis import strategies as st

from conftest import HANG, PROJECT
from lenet.cli.launched import SmallReturns
from lenet.cli.values import as_meant
from lenet.config import Config, Model
from lenet.errors import BadInput, Stopped
from lenet.runs.directory import RunDirectory
from lenet.sweeps import report as report_module
from lenet.sweeps import runner
from lenet.sweeps.design import Job, Level, Parameter, Sweep, job_names, settings
from lenet.sweeps.directory import check_directory, state
from lenet.sweeps.names import label, short
from lenet.sweeps.runner import _launch_all

labels = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


def parameter(name: str, *values: str) -> Parameter:
    return Parameter(name, tuple(Level(value, (f"{name}={value}",)) for value in values))


parameters = st.lists(
    st.builds(
        lambda name, values: parameter(name, *values),
        st.text("abcdefgh_", min_size=1, max_size=8),
        st.lists(labels, min_size=1, max_size=4, unique=True),
    ),
    max_size=3,
    unique_by=lambda p: p.name,
)


def shown(design: str, *given: Parameter) -> list[str]:
    return [" ".join(f"{name}={level.label}" for name, level in one.items()) for one in settings(design, given)]


def test_a_grid_has_every_combination() -> None:
    assert shown("grid", parameter("a", "1", "2"), parameter("b", "3", "4")) == [
        "a=1 b=3",
        "a=1 b=4",
        "a=2 b=3",
        "a=2 b=4",
    ]


def test_one_at_a_time_has_the_baseline_once_and_each_level_alone() -> None:
    assert shown("one_at_a_time", parameter("a", "1", "2"), parameter("b", "3")) == ["", "a=1", "a=2", "b=3"]


def test_paired_parameters_go_together() -> None:
    assert shown("paired", parameter("a", "1", "2"), parameter("b", "3", "4")) == ["a=1 b=3", "a=2 b=4"]


@pytest.mark.parametrize(
    ("design", "given", "words"),
    [
        ("latin", [parameter("a", "1")], ["latin", "grid"]),
        ("grid", [parameter("a")], ["a=[]", "at least one"]),
        ("paired", [parameter("a", "1"), parameter("b", "1", "2")], ["a has 1", "b has 2"]),
    ],
)
def test_a_design_that_cannot_be_is_refused(design: str, given: list[Parameter], words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        list(settings(design, given))
    assert all(word in str(caught.value) for word in words)


@given(parameters, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True))
def test_every_job_has_a_directory_of_its_own_whatever_it_varies(given, seeds) -> None:
    jobs = [(setting, seed) for setting in settings("grid", given) for seed in seeds]
    plain = [",".join(f"{name}={level.label}" for name, level in setting.items()) for setting, _ in jobs]
    if len({name.casefold() for name in plain}) < len(set(plain)):
        return  # as with the values a and A, which some file systems cannot tell apart: refused, or with digests
    names = job_names(jobs)
    assert len({name.casefold() for name in names}) == len(jobs)
    for name in names:
        assert re.fullmatch(r"[\w.=,+-]+", name)
        assert name not in (".", "..")
        assert len(name) <= 180


@given(parameters.filter(bool))
def test_a_job_keeps_its_name_when_the_sweep_grows(given) -> None:
    grown = [*given[:-1], Parameter(given[-1].name, (*given[-1].levels, Level("the new one", ("new=1",))))]
    try:
        before, after = (
            {str(setting): job_names([(setting, 0)])[0] for setting in settings("grid", one)} for one in (given, grown)
        )
        assert list(before.values()) == job_names([(setting, 0) for setting in settings("grid", given)])
    except BadInput:
        return
    assert before.items() <= after.items()


def test_names_read_like_what_they_vary() -> None:
    pool = parameter("pool", "max").levels[0]
    assert job_names([({"pool": pool}, 3), ({"pool": pool}, None), ({}, 3)]) == [
        "pool=max,seed=3",
        "pool=max",
        "baseline,seed=3",
    ]
    assert job_names([({}, 3)], varied=False) == ["seed=3"]
    assert [label(value) for value in ([6, 16], [], 0.1, None, True, "max")] == [
        "6x16",
        "none",
        "0.1",
        "null",
        "true",
        "max",
    ]
    assert [short(key) for key in ("model.pool", "optimizer.name", "model", "conv_layers")] == [
        "pool",
        "optimizer.name",
        "model",
        "conv_layers",
    ]


def a_sweep(*names: str) -> Sweep:
    jobs = [Job(name, name, {}, 0, [], 10, 61_706, 416_520) for name in names]
    return Sweep("grid", {}, {}, jobs)


def test_a_sweep_is_read_back_as_it_was(tmp_path: Path) -> None:
    sweep = Sweep("grid", {"pool": ["avg"]}, {"pool": "avg"}, [Job("a", "a", {"pool": "avg"}, 1, ["x=1"], 10, 1, 2)])
    sweep.write(tmp_path)
    assert Sweep.read(tmp_path) == sweep


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"jobs": 3}', '{"jobs": [{}]}'])
def test_a_folder_without_a_sweep_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(BadInput, match=re.escape(str(tmp_path))):
        Sweep.read(tmp_path)


def hold(path: Path, held, go_on) -> None:
    run = RunDirectory(path)
    assert run.lock()
    held.set()
    go_on.wait()


def test_a_run_without_a_process_was_cut_off(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    assert state(run) == "not started"
    for status in ("completed", "failed"):
        (tmp_path / "run").mkdir(exist_ok=True)
        run.write_result({"status": status})
        assert state(run) == status
    run.write_result({"status": "running"})
    assert state(run) == "cut off"
    (tmp_path / "run/result.json").write_text("{")
    assert state(run) == "cut off"
    run.write_result({"status": "running"})
    context = multiprocessing.get_context("fork")
    held, go_on = context.Event(), context.Event()
    other = context.Process(target=hold, args=(run.path, held, go_on))
    other.start()
    assert held.wait(HANG)
    assert state(run) == "running"
    assert not run.lock()
    other.kill()
    other.join()
    assert state(run) == "cut off"
    assert run.lock()


def test_a_directory_with_runs_of_another_config_is_refused_with_the_two_ways_out(tmp_path: Path) -> None:
    config = Config(seed=3)
    run = RunDirectory(tmp_path / "sweep/job")
    run.path.mkdir(parents=True)
    run.write_config(config)
    sweep = a_sweep("job")
    check_directory(tmp_path / "sweep", {"job": config, "another": Config(seed=4)}, sweep)
    incidental = replace(config, name="else", threads=7, tags=["x"], data=replace(config.data, root="/elsewhere"))
    check_directory(tmp_path / "sweep", {"job": incidental}, sweep)
    other = replace(config, model=Model(conv_channels=[12, 32]))
    with pytest.raises(BadInput) as caught:
        check_directory(tmp_path / "sweep", {"job": other}, sweep)
    words = ("model.conv_channels=6x16", "model.conv_channels=12x32", "name=", f"remove {tmp_path}/sweep/job")
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (6, " (and 1 more)")])
def test_all_keys_that_differ_are_named_or_the_first_of_many(tmp_path: Path, count: int, more: str) -> None:
    run = RunDirectory(tmp_path / "job")
    run.path.mkdir()
    run.write_config(Config())
    changes = {"dropout": 0.5, "activation": "relu", "pool": "max", "norm": "batch", "init": "lecun", "padding": 2}
    other = Config(model=Model(**dict(list(changes.items())[:count])))
    with pytest.raises(BadInput) as caught:
        check_directory(tmp_path, {"job": other}, a_sweep("job"))
    differ = {key: value for key, value in asdict(other.model).items() if value != asdict(Model())[key]}
    old, new = (
        ", ".join(f"model.{key}={label(of[key])}" for key in list(differ)[:5]) for of in (asdict(Model()), differ)
    )
    assert f"holds a run with {old}, and this sweep has {new}{more}; give name=ANOTHER" in str(caught.value)


def test_a_run_of_an_older_version_without_a_newer_key_is_the_same_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "job")
    run.path.mkdir()
    saved = asdict(Config())
    del saved["model"]["dropout"]
    (run.path / "config.yaml").write_text(json.dumps(saved))
    check_directory(tmp_path, {"job": Config()}, a_sweep("job"))


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/config.yaml").write_text("model: [")
    with pytest.raises(BadInput, match=r"job/config\.yaml: not the config of a run"):
        check_directory(tmp_path, {"job": Config()}, a_sweep("job"))


def test_a_directory_with_a_sweep_over_something_else_is_refused(tmp_path: Path) -> None:
    replace(a_sweep("a"), parameters={"pool": ["avg", "max"]}).write(tmp_path)
    more = replace(a_sweep("a", "b"), parameters={"pool": ["avg", "max", "conv"]})
    check_directory(tmp_path, {}, more)
    with pytest.raises(BadInput, match="one_at_a_time"):
        check_directory(tmp_path, {}, replace(more, design="one_at_a_time"))
    with pytest.raises(BadInput) as caught:
        check_directory(tmp_path, {}, replace(a_sweep("c"), parameters={"lr": ["0.1"]}))
    words = ("over pool (grid)", "over lr (grid)", "name=", f"remove {tmp_path}/sweep.json")
    assert all(word in str(caught.value) for word in words)


def test_a_job_that_kills_its_worker_stops_no_other(tmp_path: Path) -> None:
    sweep = a_sweep("a", "killer", "b")
    launched = []

    def launch(jobs) -> dict[str, Exception]:
        launched.append([job.name for job in jobs])
        for job in jobs:
            if job.name == "killer":
                raise RuntimeError("a worker was killed")
            if len(jobs) == 1:  # together, none gets anywhere before the pool breaks
                (tmp_path / job.name).mkdir()
                RunDirectory(tmp_path / job.name).write_result({"status": "completed"})
        return {}

    errors = _launch_all(sweep.jobs, tmp_path, launch, fail_fast=False)
    assert launched == [["a", "killer", "b"], ["a", "killer", "b"], ["a"], ["killer"], ["b"]]
    assert list(errors) == ["killer"]
    launched.clear()
    _launch_all(sweep.jobs[1:], tmp_path, launch, fail_fast=True)
    assert launched == [["killer", "b"]]


def test_after_a_worker_was_killed_by_chance_the_jobs_still_run_side_by_side(tmp_path: Path) -> None:
    sweep = a_sweep("a", "b", "c")
    launched = []

    def launch(jobs) -> dict[str, Exception]:
        launched.append([job.name for job in jobs])
        for job in jobs:
            (tmp_path / job.name).mkdir(exist_ok=True)
        if len(launched) == 1:
            raise RuntimeError("a worker was killed")
        for job in jobs:
            RunDirectory(tmp_path / job.name).write_result({"status": "completed"})
        return {}

    assert _launch_all(sweep.jobs, tmp_path, launch, fail_fast=False) == {}
    assert launched == [["a", "b", "c"], ["a", "b", "c"]]


def test_only_jobs_that_had_begun_when_workers_were_killed_are_run_one_by_one(tmp_path: Path) -> None:
    sweep = a_sweep("a", "killer", "b", "c")
    launched = []

    def launch(jobs) -> dict[str, Exception]:
        """Two at a time."""
        launched.append([job.name for job in jobs])
        for job in jobs[:2]:
            (tmp_path / job.name).mkdir(exist_ok=True)
            (tmp_path / job.name / f"{len(launched)}").touch()
        if "killer" in launched[-1]:
            raise RuntimeError("a worker was killed")
        for job in jobs:
            (tmp_path / job.name).mkdir(exist_ok=True)
            RunDirectory(tmp_path / job.name).write_result({"status": "completed"})
        return {}

    assert list(_launch_all(sweep.jobs, tmp_path, launch, fail_fast=False)) == ["killer"]
    assert launched == [["a", "killer", "b", "c"]] * 2 + [["b", "c"], ["a"], ["killer"]]


def test_a_failure_of_an_earlier_session_is_tried_again_after_a_worker_was_killed(tmp_path: Path) -> None:
    sweep = a_sweep("a", "b")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    RunDirectory(tmp_path / "b").write_result({"status": "failed"})
    launched = []

    def launch(jobs) -> dict[str, Exception]:
        launched.append([job.name for job in jobs])
        RunDirectory(tmp_path / jobs[0].name).write_result({"status": "completed"})
        if len(jobs) > 1:
            raise RuntimeError("a worker was killed")
        return {}

    assert _launch_all(sweep.jobs, tmp_path, launch, fail_fast=False) == {}
    assert launched == [["a", "b"], ["b"]]


@pytest.mark.parametrize("batches", [0, 1])
def test_where_the_launcher_refuses_jobs_after_others_it_is_said_what_became_of_these(
    tmp_path: Path, capsys, batches
) -> None:
    sweep = replace(a_sweep("a", "b"), parameters={})

    def launch(jobs) -> dict[str, Exception]:
        """One job at a time."""
        for job in jobs[:batches]:
            (tmp_path / job.name).mkdir()
            RunDirectory(tmp_path / job.name).write_result({"status": "completed", "metrics": {}, "seconds": 1.0})
        raise BadInput("sbatch refuses the jobs")

    with pytest.raises(BadInput, match="sbatch refuses the jobs"):
        runner.run(sweep, tmp_path, {"a": Config(), "b": Config()}, launch)
    said = capsys.readouterr().out
    assert ("2 jobs: 1 completed, 1 not started" in said) == bool(batches), said
    assert (tmp_path / "report.md").exists() == bool(batches)


def test_a_signal_while_the_report_is_written_is_heeded_once_it_is_there(tmp_path: Path, capsys, monkeypatch) -> None:
    """Where it comes while matplotlib is imported, a part of that would stay, and the next try fail by it."""
    write = report_module.report

    def interrupted(directory: Path, at_work: bool = False) -> str:
        signal.raise_signal(signal.SIGTERM)
        return write(directory, at_work)

    monkeypatch.setattr(report_module, "report", interrupted)

    def launch(jobs) -> dict[str, Exception]:
        for job in jobs:
            (tmp_path / job.name).mkdir()
            RunDirectory(tmp_path / job.name).write_result({"status": "completed", "metrics": {}, "seconds": 1.0})
        return {}

    sweep = replace(a_sweep("a", "b"), parameters={})
    with pytest.raises(Stopped):
        runner.run(sweep, tmp_path, {"a": Config(), "b": Config()}, launch)
    assert str(tmp_path / "report.md") in capsys.readouterr().out
    assert (tmp_path / "report.md").exists()


def test_what_a_job_returns_to_its_sweep_is_sent_in_one_step(tmp_path: Path) -> None:
    # Or a process that is killed after the first of two steps leaves its sweep waiting for the second, for ever.
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        config = compose("train", [f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=job"], return_hydra_config=True)
    context = HydraContext(config_loader=None, callbacks=SmallReturns(Callbacks()))  # type: ignore[arg-type]
    returned = run_job(lambda _: 0.5, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    assert (returned.status, returned.return_value) == (JobStatus.COMPLETED, 0.5)
    assert len(pickle.dumps(returned)) < select.PIPE_BUF


def test_a_signal_comes_back_from_another_process() -> None:
    stopped = pickle.loads(pickle.dumps(Stopped(signal.SIGTERM)))
    assert (str(stopped), stopped.exit_code) == ("SIGTERM", 143)


@given(st.integers(-50, 50), st.integers(1, 40), st.integers(-9, 9).filter(bool), st.integers(1, 4), st.booleans())
def test_a_range_has_the_decimal_numbers_that_were_meant(first, count, step, digits, shuffled) -> None:
    """Hydra adds up in binary, which gives 0.30000000000000004, and may go one too far."""
    meant = [Decimal(first + number * step).scaleb(-digits) for number in range(count)]
    end = Decimal(first + count * step).scaleb(-digits)
    numbers = ",".join(f"{number:f}" for number in (meant[0], end, Decimal(step).scaleb(-digits)))
    words = f"shuffle(range({numbers}))" if shuffled else f"range({numbers})"
    word = f"optimizer.lr={words}"
    override = OverridesParser.create().parse_override(word)
    found = as_meant(override.value(), list(override.sweep_string_iterator()))
    assert (sorted(found, key=float) if shuffled else found) == (
        [str(float(number)) for number in (sorted(meant) if shuffled else meant)]
    )
