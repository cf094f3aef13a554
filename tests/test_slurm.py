"""Sweeps on a real Slurm of one node, in a folder of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import HEAVY, PROJECT, Started, frozen_when, members, same_run, script, until, who_writes_in, zygote
from lenet.runs.directory import RunDirectory

# One Slurm, in one of pytest-xdist's workers.
pytestmark = [pytest.mark.slurm, pytest.mark.real_data, pytest.mark.xdist_group("slurm")]

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=60
MinJobAge=86400
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=3 CoresPerSocket=3 RealMemory=4000 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
PartitionName=undisturbed Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The slurm.conf of a cluster that is up."""
    if missing := [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)} here: Debian's packages slurm-wlm and munge have them")
    if os.getuid() != 0:
        pytest.skip("only root can start Slurm")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(folder=folder, host=socket.gethostname(), ports=free_ports(2)))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = os.environ | {"SLURM_CONF": str(conf)}
    munge = ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    commands = [munge, ["slurmctld", "-D", "-f", str(conf)], ["slurmd", "-D", "-f", str(conf)]]
    with (folder / "daemons.log").open("w") as log:
        daemons = [subprocess.Popen(command, env=environment, stdout=log, stderr=log) for command in commands]
    try:

        def is_up() -> bool:
            ended = [daemon.args for daemon in daemons if daemon.poll() is not None]
            assert not ended, "\n".join([str(ended), *(path.read_text() for path in folder.glob("*.log"))])
            return "idle" in subprocess.run(["sinfo", "-h"], env=environment, capture_output=True, text=True).stdout

        until(is_up)
        yield conf
        subprocess.run(["scancel", "--me"], env=environment, check=False)
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()


class Sweep:
    """scripts/train.py -m with hydra/launcher=slurm, in a folder of its own."""

    def __init__(self, conf: Path, folder: Path, data: str) -> None:
        self.folder, self.data = folder, data
        self.environment = os.environ | {"SLURM_CONF": str(conf), "CUDA_VISIBLE_DEVICES": ""}

    def arguments(self, *more: str) -> list[str]:
        small = ["seed=0,1,2", "model.conv_channels=[2,3]", "model.fc_sizes=[12]", "trainer.limit_train_batches=12",
                 "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]  # fmt: skip
        keys = {word.split("=")[0]: word for word in [*small, *more]}
        return ["-m", *keys.values(), "trainer.accelerator=cpu", "threads=1", f"data.root={self.data}"]

    def on_slurm(self, *more: str) -> list[str]:
        resources = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
        return self.arguments(*resources, *more)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return script("train.py", *arguments, cwd=self.folder, env=self.environment)

    def start(self, *arguments: str) -> Started:
        return zygote(*HEAVY).start(PROJECT / "scripts/train.py", arguments, self.folder, self.environment)

    def slurm(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def restarts(self) -> int:
        """How many jobs of this folder have been requeued; Slurm remembers those of other tests for a while."""
        jobs = self.slurm("scontrol", "show", "job").split("\n\n")
        return sum(f"={self.folder}/" in job and " Restarts=1 " in job for job in jobs)

    def queue(self, name: str) -> list[str]:
        return self.slurm("squeue", "--me", "--noheader", *([f"--name={name}"] if name else [])).splitlines()

    def job(self, seed: int, name: str = "seed") -> RunDirectory:
        return RunDirectory(self.folder / "runs" / name / f"seed={seed}")

    def only(self, name: str = "seed") -> RunDirectory:
        (path,) = (self.folder / "runs" / name).glob("*/config.yaml")
        return RunDirectory(path.parent)


@pytest.fixture
def sweep(slurm: Path, in_empty_folder: Path, real_root: str) -> Sweep:
    pytest.importorskip("submitit")
    return Sweep(slurm, in_empty_folder, str(Path(real_root).resolve()))


@dataclass
class Timed:
    """A job whose time will be over some minutes after it was started: the other tests need not wait for that.

    It stands still until Slurm has told it so, which leaves the machine to them.
    """

    sweep: Sweep
    running: Started
    number: str  # that Slurm gave it
    waits: threading.Thread


@pytest.fixture(scope="module")
def timed(slurm: Path, tmp_path_factory: pytest.TempPathFactory, real_root: str) -> Timed:
    pytest.importorskip("submitit")
    sweep = Sweep(slurm, tmp_path_factory.mktemp("timed"), str(Path(real_root).resolve()))
    given = sweep.on_slurm("seed=0", "trainer.max_epochs=9", "name=timed", "hydra.launcher.partition=undisturbed",
                           "hydra.launcher.timeout_min=3", "hydra.launcher.signal_delay_s=60")  # fmt: skip
    running = sweep.start(*given)
    runs = sweep.folder / "runs/timed"
    until(lambda: any(RunDirectory(path.parent).epochs > 1 for path in runs.glob("*/config.yaml")), running)
    (trains,) = who_writes_in(sweep.only("timed").path)
    os.kill(trains, signal.SIGSTOP)

    def go_on_when_told() -> None:
        until(lambda: has_been_told(trains, signal.SIGUSR2))
        os.kill(trains, signal.SIGCONT)

    waits = threading.Thread(target=go_on_when_told, daemon=True)
    waits.start()
    number = sweep.slurm("squeue", "--me", "--name=timed", "--noheader", "--format=%A").strip()
    return Timed(sweep, running, number, waits)


def test_jobs_that_make_room_for_urgent_ones_come_back_and_go_on(sweep: Sweep) -> None:
    given = ["seed=0,1", "trainer.max_epochs=60"]
    done = sweep.run(*sweep.arguments(*given, "name=here"))
    assert done.returncode == 0, done.stderr
    running = sweep.start(*sweep.on_slurm(*given))
    until(lambda: sweep.job(0).epochs > 1 and sweep.job(1).epochs > 1, running)
    sweep.slurm("srun", "--partition=urgent", "--cpus-per-task=3", "true")
    reached = [sweep.job(seed).epochs for seed in (0, 1)]
    assert max(reached) < 60
    assert sweep.restarts() == 2
    code, said = running.wait()
    assert code == 0, said
    assert "2 jobs: 2 completed" in said
    for seed in (0, 1):
        same_run(sweep.job(seed), sweep.job(seed, "here"))
        log = (sweep.job(seed).path / "train.log").read_text()
        assert sum(f"epoch {reached[seed]}/" in line for line in log.splitlines()) == 1, "not done again"


@pytest.mark.usefixtures("timed")
def test_a_sweep_on_slurm_gives_the_numbers_of_one_on_this_machine_and_what_is_cancelled_goes_on(sweep: Sweep) -> None:
    done = sweep.run(*sweep.arguments("name=here", "trainer.max_epochs=30"))
    assert done.returncode == 0, done.stderr
    given = sweep.on_slurm("trainer.max_epochs=30")
    running = sweep.start(*given)

    def trains() -> bool:
        return 1 < sweep.job(0).epochs < 29 and len(who_writes_in(sweep.job(0).path)) == 1

    group = frozen_when(trains, running, lambda: os.getpgid(*who_writes_in(sweep.job(0).path)))
    (process,) = who_writes_in(sweep.job(0).path)
    jobs = sweep.slurm("squeue", "--me", "--array", "--states=R", "--noheader", "--format=%i|%j").split()
    (first,) = [job for job in jobs if job.endswith("_0|seed")]
    sweep.slurm("scancel", first.split("|")[0])
    with suppress(FileNotFoundError, ProcessLookupError):  # Slurm may have let it go on itself
        until(lambda: members(group).get(process) != "T" or has_been_told(process, signal.SIGTERM))
        os.killpg(group, signal.SIGCONT)
    code, said = running.wait()
    assert code == 1
    assert "3 jobs: 1 cut off, 2 completed" in said, said
    assert "Traceback" not in said
    epochs = sweep.job(0).epochs
    assert 0 < epochs < 30
    before = [(sweep.job(seed).path / "result.json").read_bytes() for seed in (1, 2)]
    done = sweep.run(*given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 completed before, 1 to do, 1 of them go on" in done.stdout
    assert before == [(sweep.job(seed).path / "result.json").read_bytes() for seed in (1, 2)], "not run again"
    for seed in range(3):
        same_run(sweep.job(seed), sweep.job(seed, "here"))


def test_a_search_over_two_workers_loses_nothing_when_one_of_them_is_cancelled(sweep: Sweep) -> None:
    running = sweep.start(*sweep.on_slurm(
        "seed=0", "optimizer.lr=tag(log, interval(0.01,1))", "hydra.sweeper.design=search", "hydra.sweeper.trials=8",
        "hydra.sweeper.workers=2", "hydra.sweeper.confirm=0", "name=found", "trainer.max_epochs=4"
    ))  # fmt: skip
    found = sweep.folder / "runs/found"
    until(lambda: len(list(found.glob("0*/metrics.csv"))) > 1, running)
    jobs = sweep.slurm("squeue", "--me", "--array", "--states=R", "--noheader", "--format=%i|%j").split()
    (first,) = [job for job in jobs if job.endswith("_0|found")]
    sweep.slurm("scancel", first.split("|")[0])
    code, said = running.wait()
    assert code == 0, said
    assert "a worker broke off" in said
    jobs = sorted(path.parent for path in found.glob("0*/result.json"))
    assert len(jobs) == 8
    assert [(RunDirectory(job).read_result() or {})["status"] for job in jobs] == ["completed"] * 8


def test_where_slurm_refuses_the_jobs_a_line_says_why(sweep: Sweep) -> None:
    done = sweep.run(*sweep.on_slurm("hydra.launcher.mem_gb=100"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "sbatch" in done.stderr
    assert "Memory" in done.stderr
    assert "hydra.launcher" in done.stderr


def test_one_may_leave_after_submitting_and_look_later(sweep: Sweep) -> None:
    comment = "+hydra.launcher.additional_parameters.comment=ours"
    given = sweep.on_slurm("hydra.launcher.detach=true", "trainer.max_epochs=10", comment)
    done = sweep.run(*given)
    assert done.returncode == 0, done.stderr
    assert "submitted as Slurm job" in done.stdout
    assert "Comment=ours" in sweep.slurm("scontrol", "show", "job")
    other = sweep.run(*given, "seed=0", "hydra.sweep.dir=elsewhere")
    assert other.returncode == 0, f"of the same name, in another folder: {other.stderr}"
    again = sweep.run(*given)
    assert again.returncode == 2
    assert "scancel" in again.stderr
    assert again.stderr.count("\n") == 1
    look = script("report.py", "runs/seed", cwd=sweep.folder)
    assert look.returncode == 0, look.stderr
    until(lambda: not sweep.queue("seed"))
    assert all((sweep.job(seed).read_result() or {})["status"] == "completed" for seed in range(3))
    assert "3 completed before, 0 to do" in sweep.run(*given).stdout


def test_ctrl_c_takes_the_jobs_out_of_the_queue_whatever_the_sweep_is_called(sweep: Sweep) -> None:
    running = sweep.start(*sweep.on_slurm("name='a,b'", "trainer.max_epochs=100000"))

    def all_that_run_train() -> bool:
        """One that still starts would not hear the first signal."""
        started = sweep.slurm("squeue", "--me", "--array", "--states=R", "--noheader", "--format=%j").split()
        return started.count("a,b") == sum(sweep.job(seed, "a,b").epochs > 0 for seed in range(3)) > 0

    until(all_that_run_train, running)
    code, said = running.kill(signal.SIGINT)
    assert code == 130, said
    assert "stopped; started again, it goes on from here" in said
    until(lambda: not [line for line in sweep.queue("") if "timed" not in line])
    assert (sweep.job(0, "a,b").read_result() or {})["status"] == "interrupted"


def test_a_job_whose_time_is_over_is_requeued_and_goes_on_to_its_end(timed: Timed) -> None:
    timed.waits.join()
    code, said = timed.running.wait()
    assert code == 0, said
    assert "1 job: 1 completed" in said
    assert " Restarts=1 " in timed.sweep.slurm("scontrol", "show", "job", timed.number)
    log = (timed.sweep.only("timed").path / "train.log").read_text()
    done = [int(epoch) for epoch in re.findall(r"epoch (\d)/9 ", log)]
    assert sorted(set(done)) == list(range(1, 10))
    # It is told at any moment, also between the line of an epoch and its checkpoint.
    assert len(done) <= 9 + 1, "at most the epoch at hand is done again"
    assert done.count(1) == 1, "it goes on, and does not begin anew"


def has_been_told(pid: int, signum: int) -> bool:
    """Whether a signal waits for a process to go on."""
    (waiting,) = re.findall(r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    return bool(int(waiting, 16) >> (signum - 1) & 1)
