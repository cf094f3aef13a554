"""Sweeps as a user runs them: scripts/train.py -m, and sweep=NAME."""

import json
import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from conftest import PROJECT, frozen_when, members, script, until
from lenet.sweeps.directory import is_at_work

SWEEPS = sorted(file.stem for file in (PROJECT / "conf/sweep").glob("*.yaml"))
EXERCISES = yaml.safe_load((PROJECT / "conf/sweep/exercises.yaml").read_text())["defaults"]
# A job of a second or two: real images, few of them.
SHORT = ["trainer.limit_train_batches=8", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "threads=1",
         "data.batch_size=32", "optimizer.momentum=0.5"]  # fmt: skip

DESIGNS = {
    "grid": ["model.pool=avg,max", "seed=0,1"],
    "one_at_a_time": ["model.pool=max", "optimizer.lr=0.5", "seed=0,1"],
    "paired": ["model.pool=avg,max,conv", "optimizer.lr=0.9,0.5,0.3"],
}
TIMES = ["seconds", "examples_per_sec"]


def results(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / "results.csv").drop(columns=TIMES)


def result(directory: Path) -> dict:
    return json.loads((directory / "result.json").read_text())


def epochs(run: Path) -> int:
    try:
        return len((run / "metrics.csv").read_text().splitlines()) - 1
    except OSError:
        return 0


def status(run: Path) -> str | None:
    try:
        return result(run)["status"]
    except (OSError, ValueError):
        return None


def test_every_sweep_of_the_project_can_be_planned(answers, in_empty_folder) -> None:
    plans = answers([[f"sweep={name}", "hydra.sweeper.plan=true"] for name in SWEEPS])
    for name, plan in zip(SWEEPS, plans, strict=True):
        assert plan["code"] == 0, plan
        assert not plan["torch"]
        assert f"in runs/{name}; nothing was started" in plan["said"]
        assert "not started" in plan["said"]
    assert list(in_empty_folder.iterdir()) == []


def test_more_jobs_than_a_sweep_may_have_are_counted_and_not_listed(answers) -> None:
    words = {
        "hydra.sweeper.seeds=5000000": "fewer seeds",
        "seed=shuffle(range(5000000))": "fewer values",
        "seed=range(10000000000000000000)": "fewer values",
    }
    given = answers([["-m", word] for word in words])
    for (word, remedy), answer in zip(words.items(), given, strict=True):
        said = f"error: {word}: a sweep has at most 100,000 jobs; take {remedy}\n"
        assert (answer["code"], answer["said"]) == (2, said)
        assert answer["megabytes"] < 150, answer


def planned(said: str) -> list[str]:
    """The jobs of a plan, between a line about its columns and the last lines."""
    return [words[1] for words in map(str.split, said.splitlines()) if words[0].isdigit() and words[1] != "jobs,"]


def test_the_exercises_are_all_there_and_share_one_baseline(answers) -> None:
    plans = answers([[f"sweep={name}", "hydra.sweeper.plan=true"] for name in ["exercises", *EXERCISES]])
    together, *parts = [set(planned(plan["said"])) for plan in plans]
    assert len(parts) == 9
    assert together == set.union(*parts)
    assert set.intersection(*parts) == {f"baseline,seed={seed}" for seed in range(3)}


def test_a_plan_says_what_each_job_varies_and_how_large_its_net_is(answers) -> None:
    given = ["-m", "hydra.sweeper.plan=true", "hydra.sweeper.seeds=2", "model.conv_channels=[6,16],[12,32]"]
    (plan,) = answers([given])
    lines = [line.split() for line in plan["said"].splitlines()]
    assert [line[1] for line in lines[1:-2]] == [
        "conv_channels=6x16,seed=0",
        "conv_channels=12x32,seed=0",
        "conv_channels=6x16,seed=1",
        "conv_channels=12x32,seed=1",
    ]
    assert [line[2] for line in lines[1:3]] == ["61,706", "117,078"]
    assert plan["said"].splitlines()[-2:] == [
        "baseline: model.conv_channels=6x16",
        "4 jobs, 40 epochs to do, in runs/conv_channels; nothing was started",
    ]


def test_seeds_alone_can_be_planned_in_every_design(answers) -> None:
    plans = answers(
        [["-m", f"hydra.sweeper.design={design}", "seed=4,5", "hydra.sweeper.plan=true"] for design in DESIGNS]
    )
    for plan in plans:
        assert planned(plan["said"]) == ["seed=4", "seed=5"]


def test_a_sweep_without_a_name_is_called_after_what_it_varies_and_never_lies_among_single_runs(
    answers, in_empty_folder: Path
) -> None:
    own = in_empty_folder / "conf/sweep/own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {model.pool: [avg, max]}}}\n")
    places = {
        "model.pool=avg,max optimizer.lr=0.1,0.2 seed=0,1": "runs/pool,lr",
        "seed=0,1": "runs/seed",
        "hydra.sweeper.seeds=2": "runs/seed",
        "model=glob(*)": "runs/model",
        "experiment=blog model.pool=avg,max": "runs/blog,pool",
        "experiment=book,blog": "runs/experiment",
        "model.pool=avg,max name=lenet": "runs/lenet",
        "model.pool=avg,max ++name=mine": "runs/mine",
        "model.pool=avg,max hydra.sweep.dir=there": "there",
        "sweep=pooling": "runs/pooling",
        "sweep=pooling debug=run": "runs/debug,pooling",
        "model.pool=avg,max debug=run": "runs/debug,pool",
        f"sweep=own --config-dir={own.parent.parent}": "runs/own",
    }
    plans = answers([["-m", *given.split(), "hydra.sweeper.plan=true"] for given in places])
    found = [plan["said"].splitlines()[-1].partition(", in ")[2].partition(";")[0] for plan in plans]
    assert dict(zip(places, found, strict=True)) == places


def test_a_seed_on_the_command_line_takes_the_place_of_the_sweeps_seeds(answers) -> None:
    given = ["sweep=pooling", "hydra.sweeper.plan=true"]
    one, two, swept = answers([[*given, "seed=7"], [*given, "seed=7,8"], [*given, "model.pool=max"]])
    assert planned(one["said"]) == ["baseline", "pool=max", "pool=conv"]
    assert {name[-1] for name in planned(two["said"])} == {"7", "8"}
    # and a value takes the place of the sweep's values
    assert planned(swept["said"]) == ["seed=0", "seed=1", "seed=2"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("design", "launcher"), [("grid", "basic"), ("one_at_a_time", "basic"), ("paired", "basic"), ("grid", "joblib")]
)
def test_a_killed_sweep_that_is_started_again_ends_as_one_that_never_stopped(
    start, in_empty_folder, real_root, design, launcher
) -> None:
    given = ["-m", *DESIGNS[design], *SHORT, f"hydra.sweeper.design={design}", f"data.root={real_root}",
             "trainer.max_epochs=12"]  # fmt: skip
    code, said = start(*given, "name=whole").wait()
    assert code == 0, said
    whole = results(in_empty_folder / "runs/whole")
    assert set(whole.state) == {"completed"}

    directory = in_empty_folder / "runs" / launcher
    begun = start(*given, f"name={launcher}", f"hydra/launcher={launcher}")
    jobs = [directory / job for job in whole.job]

    def in_the_middle() -> bool:
        done = [job for job in jobs if status(job) == "completed"]
        return bool(done) and any(2 <= epochs(job) < 12 for job in jobs if status(job) == "running")

    frozen_when(in_the_middle, begun)
    begun.kill(signal.SIGKILL)
    before = {job: (job / "result.json").read_bytes() for job in jobs if status(job) == "completed"}
    written = {job: (job / "result.json").stat().st_mtime_ns for job in before}
    cut_off = [job for job in jobs if epochs(job) >= 2 and job not in before]
    assert before
    assert cut_off

    code, said = start(*given, f"name={launcher}", f"hydra/launcher={launcher}").wait()
    assert code == 0, said
    assert f"{len(before)} completed before, {len(jobs) - len(before)} to do" in said
    for job, content in before.items():
        assert (job / "result.json").read_bytes() == content
        assert (job / "result.json").stat().st_mtime_ns == written[job]
    for job in cut_off:  # what was trained was not trained again
        assert (job / "train.log").read_text().count("epoch 1/12") == 1
    pd.testing.assert_frame_equal(results(directory), whole)


@pytest.mark.real_data
def test_the_processes_of_a_killed_sweep_end_with_it(start, in_empty_folder, real_root) -> None:
    given = ["-m", "seed=0,1,2", *SHORT, f"data.root={real_root}", "trainer.max_epochs=3000", "hydra/launcher=joblib"]
    runs = [in_empty_folder / f"runs/seed/seed={seed}" for seed in range(3)]
    begun = start(*given)
    until(lambda: epochs(runs[0]) > 2, begun)
    begun.kill(signal.SIGKILL, all_of_them=False)
    until(lambda: not members(begun.pid))
    assert max(epochs(run) for run in runs) < 3000


@pytest.mark.real_data
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_sweep_with_a_report_and_it_goes_on_later(
    start, in_empty_folder, real_root, signum, code
) -> None:
    given = ["-m", "model.pool=avg,max,conv", *SHORT, f"data.root={real_root}", "trainer.max_epochs=12"]
    runs = in_empty_folder / "runs/pool"
    begun = start(*given)
    frozen_when(lambda: 2 <= epochs(runs / "pool=max") < 11, begun)
    os.killpg(begun.pid, signum)  # which waits until it goes on
    ended, said = begun.kill(signal.SIGCONT)
    assert ended == code
    assert "Traceback" not in said
    assert f"interrupted by {signal.Signals(signum).name}" in said
    assert "stopped; started again, it goes on from here" in said
    assert "3 jobs: 1 completed, 1 cut off, 1 not started" in said
    assert status(runs / "pool=max") == "interrupted"
    assert list(results(runs).state) == ["completed", "cut off", "not started"]
    assert "cut off: `pool=max`" in (runs / "report.md").read_text()
    assert "at work" not in (runs / "report.md").read_text()  # it writes this itself, while it holds the lock
    code, said = start(*given).wait()
    assert code == 0, said
    assert list(results(runs).state) == ["completed"] * 3


@pytest.mark.real_data
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_failed_job_is_reported_and_the_others_finish(start, in_empty_folder, real_root, launcher) -> None:
    # momentum makes such a rate overflow in the first epoch
    given = ["-m", "optimizer.lr=1e30,0.5,0.3", *SHORT, f"data.root={real_root}", "trainer.max_epochs=1",
             "model.activation=relu", f"hydra/launcher={launcher}"]  # fmt: skip
    code, said = start(*given).wait()
    runs = in_empty_folder / "runs/lr"
    assert code == 1
    assert said.splitlines()[-1] == "error: 1 of 3 jobs are not completed; the same command tries them again"
    assert "runs/lr/lr=1e+30: failed: Diverged" in said
    assert "Traceback" not in said
    failed = result(runs / "lr=1e+30")
    assert failed["status"] == "failed"
    assert "Traceback" in failed["error"]["traceback"]
    assert list(results(runs).state) == ["failed", "completed", "completed"]
    assert "failed: `lr=1e+30`: Diverged" in (runs / "report.md").read_text()
    assert (runs / "ranking.png").exists()
    # each has its row in HPARAMS
    for job, ended in (("lr=1e+30", STATUS_FAILURE), ("lr=0.5", STATUS_SUCCESS)):
        events = EventAccumulator(str(runs / job)).Reload()
        data = events.summary_metadata["_hparams_/session_end_info"].plugin_data
        assert HParamsPluginData.FromString(data.content).session_end_info.status == ended
        data = events.summary_metadata["_hparams_/session_start_info"].plugin_data
        values = HParamsPluginData.FromString(data.content).session_start_info.hparams
        assert values["lr"].number_value == float(job[3:])


@pytest.mark.real_data
def test_fail_fast_starts_nothing_after_a_failure(start, in_empty_folder, real_root) -> None:
    given = ["-m", "optimizer.lr=0.5,1e30,0.3", *SHORT, f"data.root={real_root}", "trainer.max_epochs=1",
             "model.activation=relu", "hydra.sweeper.fail_fast=true"]  # fmt: skip
    code, said = start(*given).wait()
    runs = in_empty_folder / "runs/lr"
    assert code == 1
    assert "3 jobs: 1 completed, 1 failed, 1 not started" in said
    assert not (runs / "lr=0.3").exists()
    code, said = start(*given[:-1]).wait()  # without it the rest is done, and the failed one tried again
    assert code == 1
    assert list(results(runs).state) == ["completed", "failed", "completed"]


@pytest.mark.real_data
def test_a_job_gives_the_very_numbers_of_the_same_single_run(start, in_empty_folder, real_root) -> None:
    given = [*SHORT, f"data.root={real_root}", "trainer.max_epochs=2"]
    code, said = start("-m", "model.pool=avg,max", "seed=0,1", "model.dropout=0.2", *given).wait()
    assert code == 0, said
    code, said = start("model.pool=max", "seed=1", "model.dropout=0.2", "hydra.run.dir=single", *given).wait()
    assert code == 0, said
    single, job = in_empty_folder / "single", in_empty_folder / "runs/pool/pool=max,seed=1"
    assert (single / "metrics.csv").read_bytes() == (job / "metrics.csv").read_bytes()
    assert result(single)["metrics"] == result(job)["metrics"]
    ours, theirs = (
        torch.load(path / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for path in (single, job)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.real_data
def test_a_config_edited_while_a_sweep_runs_does_not_reach_later_jobs(
    start, tmp_path, in_empty_folder, real_root
) -> None:
    project = tmp_path / "project"
    for part in ("conf", "scripts"):
        shutil.copytree(PROJECT / part, project / part)
    runs = in_empty_folder / "runs/pooling"
    for launcher in ("basic", "joblib"):
        begun = start(
            "sweep=pooling", *SHORT, f"data.root={real_root}", "trainer.max_epochs=4", f"hydra/launcher={launcher}",
            "hydra.sweeper.seeds=1",
            script=project / "scripts/train.py",
        )  # fmt: skip
        until(lambda: epochs(runs / "baseline,seed=0") >= 1, begun)
        (project / "conf/optimizer/sgd.yaml").write_text("name: sgd\nlr: 0.001\n")
        (project / "conf/sweep/pooling.yaml").write_text("not: [yaml")
        code, said = begun.wait()
        assert code == 0, said
        configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in runs.iterdir() if run.is_dir()]
        assert len(configs) == 3
        assert {config["optimizer"]["lr"] for config in configs} == {0.9}
        shutil.rmtree(runs)
        for name in ("optimizer/sgd.yaml", "sweep/pooling.yaml"):
            shutil.copy(PROJECT / "conf" / name, project / "conf" / name)


@pytest.mark.real_data
def test_a_second_sweep_in_the_same_directory_says_so_and_stops(start, in_empty_folder, real_root) -> None:
    given = ["-m", "seed=0,1", *SHORT, f"data.root={real_root}", "trainer.max_epochs=20"]
    begun = start(*given)
    until(lambda: epochs(in_empty_folder / "runs/seed/seed=0") >= 1, begun)
    os.killpg(begun.pid, signal.SIGSTOP)  # it waits for the second, however long that takes
    assert is_at_work(in_empty_folder / "runs/seed")
    second = script("train.py", *given, cwd=in_empty_folder)
    os.killpg(begun.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "runs/seed: another sweep is at work in it" in second.stderr
    assert "name=" in second.stderr
    code, said = begun.wait()
    assert code == 0, said
    assert not is_at_work(in_empty_folder / "runs/seed")


@pytest.mark.real_data
def test_a_sweep_of_another_config_in_the_same_directory_is_refused(start, in_empty_folder, real_root) -> None:
    given = ["-m", "seed=0", *SHORT, f"data.root={real_root}"]
    assert start(*given, "trainer.max_epochs=1").wait()[0] == 0
    before = {path: path.stat().st_mtime_ns for path in in_empty_folder.rglob("*")}
    code, said = start(*given, "trainer.max_epochs=2").wait()
    assert code == 2
    assert said.count("\n") == 1
    assert "trainer.max_epochs=1" in said
    assert "trainer.max_epochs=2" in said
    assert "name=" in said
    assert "remove" in said
    assert {path: path.stat().st_mtime_ns for path in in_empty_folder.rglob("*")} == before


# Runs a sweep of fifty jobs in this process, and says how many files were open and how much memory was in use after
# each job.
WATCHED = """
import gc, json, os, runpy, sys
import lenet.job
train_job = lenet.job.train_job
seen = []
def watched(*arguments):
    result = train_job(*arguments)
    gc.collect()  # what is left then is held by somebody; when Python would have collected is a matter of chance
    pages = int(open("/proc/self/statm").read().split()[1])
    seen.append((len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
    return result
lenet.job.train_job = watched
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
json.dump(seen, open("seen.json", "w"))
"""


@pytest.mark.real_data
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")  # noqa: PTH112
def test_fifty_jobs_leave_open_files_and_memory_where_they_were(start, in_empty_folder, real_root) -> None:
    (in_empty_folder / "watched.py").write_text(WATCHED)
    given = [str(PROJECT / "scripts/train.py"), "-m", "seed=range(50)", "model.conv_channels=[1]", "model.padding=0",
             "model.fc_sizes=[]", f"data.root={real_root}", *SHORT[1:], "trainer.limit_train_batches=1",
             "trainer.max_epochs=1"]  # fmt: skip
    code, said = start(*given, script=in_empty_folder / "watched.py").wait()
    assert code == 0, said
    seen = json.loads((in_empty_folder / "seen.json").read_text())
    assert len(seen) == 50
    files, memory = zip(*seen, strict=True)
    assert min(files[-5:]) <= files[10]  # a thread of the system may hold one open for a moment
    # MiB; the first jobs fill caches, and a leak of the images alone would be 40 a job
    assert memory[-1] - memory[10] < 40
