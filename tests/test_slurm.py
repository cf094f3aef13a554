"""Sweeps on a real Slurm of one node, in a folder of its own."""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import PROJECT, same_run, script
from lenet.runs import RunDirectory

pytestmark = [pytest.mark.slurm, pytest.mark.real_data]

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
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
KillWait=5
MinJobAge=86400
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
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
        began = time.monotonic()
        while "idle" not in subprocess.run(["sinfo", "-h"], env=environment, capture_output=True, text=True).stdout:
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            assert time.monotonic() - began < 60, logs
            time.sleep(0.2)
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

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(PROJECT / "scripts/train.py"), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def slurm(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def restarts(self) -> int:
        """How many jobs have been requeued, those of earlier tests included, which Slurm remembers for a while."""
        return self.slurm("scontrol", "show", "job").count(" Restarts=1 ")

    def job(self, seed: int, name: str = "lenet") -> RunDirectory:
        return RunDirectory(self.folder / "runs" / name / f"seed={seed}")

    def only(self, name: str = "lenet") -> RunDirectory:
        (path,) = (self.folder / "runs" / name).glob("*/config.yaml")
        return RunDirectory(path.parent)


@pytest.fixture
def sweep(slurm: Path, in_empty_folder: Path, real_root: str) -> Sweep:
    pytest.importorskip("submitit")
    return Sweep(slurm, in_empty_folder, str(Path(real_root).resolve()))


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)


def test_a_sweep_on_slurm_gives_the_numbers_of_one_on_this_machine_and_what_is_cancelled_goes_on(sweep: Sweep) -> None:
    done = sweep.run(*sweep.arguments("name=here", "trainer.max_epochs=30"))
    assert done.returncode == 0, done.stderr
    given = sweep.on_slurm("trainer.max_epochs=30")
    running = sweep.start(*given)
    until(lambda: sweep.job(0).epochs > 1)
    jobs = sweep.slurm("squeue", "--me", "--array", "--states=R", "--noheader", "--format=%i|%j").split()
    (first,) = [job for job in jobs if job.endswith("_0|lenet")]
    sweep.slurm("scancel", first.split("|")[0])
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 1
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
    again = sweep.run(*given)
    assert again.returncode == 2
    assert "scancel" in again.stderr
    assert again.stderr.count("\n") == 1
    look = script("report.py", "runs/lenet", cwd=sweep.folder)
    assert look.returncode == 0, look.stderr
    until(lambda: not sweep.slurm("squeue", "--me", "--noheader").strip())
    assert all((sweep.job(seed).read_result() or {})["status"] == "completed" for seed in range(3))
    assert "3 completed before, 0 to do" in sweep.run(*given).stdout


def test_ctrl_c_takes_the_jobs_out_of_the_queue_whatever_the_sweep_is_called(sweep: Sweep) -> None:
    running = sweep.start(*sweep.on_slurm("name='a,b'", "trainer.max_epochs=1000"))
    until(lambda: sweep.job(0, "a,b").epochs > 0)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "the same command goes on from here" in said
    until(lambda: not sweep.slurm("squeue", "--me", "--noheader").strip())
    assert (sweep.job(0, "a,b").read_result() or {})["status"] == "interrupted"


def test_jobs_that_make_room_for_urgent_ones_come_back_and_go_on(sweep: Sweep) -> None:
    given = ["seed=0,1", "trainer.max_epochs=60"]
    done = sweep.run(*sweep.arguments(*given, "name=here"))
    assert done.returncode == 0, done.stderr
    restarts = sweep.restarts()
    running = sweep.start(*sweep.on_slurm(*given))
    until(lambda: sweep.job(0).epochs > 1 and sweep.job(1).epochs > 1)
    sweep.slurm("srun", "--partition=urgent", "--cpus-per-task=2", "true")
    reached = [sweep.job(seed).epochs for seed in (0, 1)]
    assert max(reached) < 60
    assert sweep.restarts() == restarts + 2
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert "2 jobs: 2 completed" in said
    for seed in (0, 1):
        same_run(sweep.job(seed), sweep.job(seed, "here"))
        log = (sweep.job(seed).path / "train.log").read_text()
        assert sum(f"epoch {reached[seed]}/" in line for line in log.splitlines()) == 1, "not done again"


def test_a_job_whose_time_is_over_is_requeued_and_goes_on_to_its_end(sweep: Sweep) -> None:
    longer = ["trainer.limit_train_batches=null", "data.train_size=12000"]
    done = sweep.run(*sweep.arguments(*longer, "name=short", "seed=0", "trainer.max_epochs=6"))
    assert done.returncode == 0, done.stderr
    points = [float(line.split()[-2]) for line in (sweep.only("short").path / "train.log").read_text().splitlines()]
    # Slurm counts its limits in minutes, and looks every half minute; so 90 seconds are more than a limit of one.
    epochs = int(90 / statistics.median(points))
    given = sweep.on_slurm(*longer, "seed=0", f"trainer.max_epochs={epochs}", "hydra.launcher.timeout_min=1",
                           "hydra.launcher.signal_delay_s=1")  # fmt: skip
    restarts = sweep.restarts()
    running = sweep.start(*given)
    until(lambda: sweep.restarts() > restarts, 150)
    reached = sweep.only().epochs
    assert 0 < reached < epochs
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert "1 jobs: 1 completed" in said
    log = (sweep.only().path / "train.log").read_text()
    assert sum(f"epoch {reached}/" in line for line in log.splitlines()) == 1, "what was done is not done again"
