"""hydra/launcher=processes, and what is said where the launchers of past one machine are not installed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import HANG, PROJECT, frozen_when, script, until, who_writes_in
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory

SWEEP = ["-m", "seed=0,1,2", "model.conv_channels=[2,3]", "model.fc_sizes=[12]", "trainer.max_epochs=40",
         "trainer.limit_train_batches=12", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
         "trainer.accelerator=cpu", "threads=1", "dashboard.enabled=false", "data.batch_size=64"]  # fmt: skip
PROCESSES = ["hydra/launcher=processes", "hydra.launcher.n_jobs=2"]


@pytest.mark.real_data
def test_a_process_that_is_killed_takes_no_other_with_it_and_the_command_again_ends_its_job(
    start, in_empty_folder, real_root
) -> None:
    pytest.importorskip("submitit")
    given = [*SWEEP, f"data.root={Path(real_root).resolve()}"]
    assert script("train.py", *given, "name=whole", cwd=in_empty_folder).returncode == 0
    running = start(*given, *PROCESSES)
    jobs = [RunDirectory(in_empty_folder / f"runs/seed/seed={seed}") for seed in range(3)]

    def both_train() -> bool:
        """After the second epoch the first is in a checkpoint."""
        return 2 <= jobs[0].epochs < 40 and all(len(who_writes_in(job.path)) == 1 for job in jobs[:2])

    first = frozen_when(both_train, running, lambda: os.getpgid(*who_writes_in(jobs[0].path)))
    (process,), second = who_writes_in(jobs[0].path), who_writes_in(jobs[1].path)
    assert {process, running.pid}.isdisjoint(second), "a process for each"
    assert first != running.pid
    os.kill(process, signal.SIGKILL)
    code, said = running.wait()
    assert code == 1, said
    assert "3 jobs: 1 cut off, 2 completed" in said, said
    assert "Traceback" not in said
    assert "seed=0: job" in said
    done = script("train.py", *given, *PROCESSES, cwd=in_empty_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 completed before, 1 to do, 1 of them go on" in done.stdout
    for job in jobs:
        whole = in_empty_folder / "runs/whole" / job.path.name
        assert (job.path / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


@pytest.mark.real_data
def test_ctrl_c_stops_every_process_after_the_step_at_hand(start, in_empty_folder, real_root) -> None:
    pytest.importorskip("submitit")
    given = [*SWEEP, "trainer.max_epochs=100000", *PROCESSES, f"data.root={Path(real_root).resolve()}"]
    running = start(*given)
    jobs = [RunDirectory(in_empty_folder / f"runs/seed/seed={seed}") for seed in range(2)]
    until(lambda: all(job.epochs for job in jobs), running)
    code, said = running.kill(signal.SIGINT)
    assert code == 130, said
    assert "Traceback" not in said
    assert "stopped; started again, it goes on from here" in said
    until(lambda: not any(who_writes_in(job.path) for job in jobs))
    assert [(job.read_result() or {})["status"] for job in jobs] == ["interrupted", "interrupted"]


def test_jobs_that_do_not_hear_the_first_signals_are_waited_for_and_that_is_said_once(monkeypatch) -> None:
    pytest.importorskip("submitit")
    from hydra_plugins.lenet_launchers import lenet_launchers

    told: list[int] = []
    monkeypatch.setattr(lenet_launchers.os, "kill", lambda pid, _: told.append(pid))
    monkeypatch.setattr(lenet_launchers, "STOP_AGAIN", 0.001)
    said: list[str] = []  # not what handlers get: other tests have added some
    monkeypatch.setattr(lenet_launchers.log, "warning", lambda text, *values: said.append(text % values))
    jobs = [
        SimpleNamespace(job_id="4194400", done=lambda: told.count(4194400) >= 40),  # imports for long
        SimpleNamespace(job_id="4194500", done=lambda: True),
    ]
    launcher = lenet_launchers.Processes.__new__(lenet_launchers.Processes)
    launcher.stop(jobs)
    assert told == [4194400] * 40
    assert len(said) == 1
    assert said[0].startswith("waiting until processes 4194400, which still start, have ended")


# Waits for a job that never ends, whose process is this one's parent, which is told nothing.
WAITS = """
import os, types
from hydra_plugins.lenet_launchers import lenet_launchers as ours
kill = os.kill
def told(pid, signum):
    if pid == os.getpid():
        kill(pid, signum)
    else:
        print("told", flush=True)
ours.os.kill = told
ours.Processes.stop(None, [types.SimpleNamespace(job_id=str(os.getppid()), done=lambda: False)])
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_wait_and_says_what_is_left(signum) -> None:
    pytest.importorskip("submitit")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=pipe, stderr=pipe, text=True) as waits:
        assert waits.stdout
        assert waits.stdout.readline() == "told\n"
        waits.send_signal(signum)
        _, said = waits.communicate(timeout=HANG)
    assert waits.returncode == -signum
    assert f"ended by {signum.name}; processes that still run, and stop with kill: {os.getpid()}\n" in said


def test_the_wait_for_slurm_outlasts_a_requeue_and_a_scheduler_that_does_not_answer(monkeypatch) -> None:
    pytest.importorskip("submitit")
    from hydra_plugins.lenet_launchers import lenet_launchers

    monkeypatch.setattr(lenet_launchers, "POLL", 0)
    looks = iter([["1_0", "1_1"], BadInput("no answer"), ["1_0"], ["1_0", "1_1"], ["1_0"], BadInput("again"), [], []])
    seen = []

    def queued() -> list[str]:
        seen.append(look := next(looks))
        if isinstance(look, BadInput):
            raise look
        return look

    launcher = lenet_launchers.Slurm.__new__(lenet_launchers.Slurm)
    monkeypatch.setattr(launcher, "queued", queued)
    launcher.wait([SimpleNamespace(job_id="1_0"), SimpleNamespace(job_id="1_1")])
    assert len(seen) == 8, "until both have been gone at two looks"


@pytest.mark.parametrize("launcher", ["slurm", "processes"])
def test_without_submitit_it_is_said_how_to_get_it(in_empty_folder, launcher) -> None:
    hide = f"import sys, runpy; sys.modules |= {dict.fromkeys(['submitit', 'hydra_plugins.hydra_submitit_launcher'])}"
    arguments = ["train.py", "-m", "seed=0,1", f"hydra/launcher={launcher}"]
    run = f"{hide}; sys.argv = {arguments}; runpy.run_path({str(PROJECT / 'scripts/train.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", run], cwd=in_empty_folder, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"hydra/launcher={launcher}" in done.stderr
    assert "uv run --extra cluster" in done.stderr
    assert list(in_empty_folder.iterdir()) == []


def test_slurms_jobs_are_those_of_the_folder_that_a_sweep_has(in_empty_folder, monkeypatch) -> None:
    """Two sweeps may have one name, and be started in one folder."""
    pytest.importorskip("submitit")
    from hydra_plugins.lenet_launchers import lenet_launchers

    here = f"{in_empty_folder}/runs/lenet/.slurm"
    jobs = {"7_0": f"{here}/a.sh", "7_1": f"{here}/a.sh", "8_0": f"{in_empty_folder}/runs/other/.slurm/b.sh"}
    said = "".join(f"{number}|{what}\n" for number, what in jobs.items())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    launcher = lenet_launchers.Slurm.__new__(lenet_launchers.Slurm)
    launcher.params = {"name": "lenet", "submitit_folder": "runs/lenet/.slurm"}
    assert launcher.queued() == ["7_0", "7_1"]
    launcher.params["submitit_folder"] = "elsewhere/.slurm"
    assert launcher.queued() == []


def test_slurms_jobs_are_those_of_a_folder_whatever_it_is_called(in_empty_folder, monkeypatch) -> None:
    """By way of a link nothing is submitted twice."""
    pytest.importorskip("submitit")
    from hydra_plugins.lenet_launchers import lenet_launchers

    (in_empty_folder / "real").mkdir()
    (in_empty_folder / "link").symlink_to("real")
    said = f"7_0|{in_empty_folder}/real/runs/lenet/.slurm/a.sh\n8_0|{in_empty_folder}/link/runs/lenet/.slurm/a.sh\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    launcher = lenet_launchers.Slurm.__new__(lenet_launchers.Slurm)
    for name in ("link", "real"):
        launcher.params = {"name": "lenet", "submitit_folder": f"{name}/runs/lenet/.slurm"}
        assert launcher.queued() == ["7_0", "8_0"]


def test_where_there_is_no_slurm_nothing_is_written(in_empty_folder) -> None:
    pytest.importorskip("submitit")
    done = script("train.py", "-m", "seed=0,1", "hydra/launcher=slurm", cwd=in_empty_folder,
                  env=os.environ | {"PATH": str(in_empty_folder)})  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no Slurm here" in done.stderr
    assert list(in_empty_folder.iterdir()) == []
