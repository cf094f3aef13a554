"""`hydra/launcher=slurm` and `hydra/launcher=processes`: submitit's launchers, with what a sweep here promises.

One lost job does not lose the others; jobs that are still queued are not submitted again; and with Slurm one may leave
after submitting. Hydra reads this file at every start, so it imports nothing that takes time; without submitit it has
nothing to offer, and `lenet.cli` says how to install it.
"""

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

try:
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf, LocalQueueConf, SlurmQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher, SlurmLauncher
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = hasattr(os, "setsid")  # Windows has neither Slurm nor process groups, which submitit relies on

if TYPE_CHECKING:
    import submitit

POLL = 2.0  # seconds between two looks at Slurm's queue
STOP_AGAIN = 5.0  # seconds until a process is told again to stop
LARGEST_ARRAY = 1000  # jobs; Slurm takes 1001 unless it is told otherwise (MaxArraySize)
log = logging.getLogger("lenet.launchers")
HERE = "hydra_plugins.lenet_launchers.lenet_launchers"

if AVAILABLE:

    @dataclass
    class SlurmConf(SlurmQueueConf):  # type: ignore[misc]  # has no types
        """hydra.launcher.* of hydra/launcher=slurm"""

        _target_: str = f"{HERE}.Slurm"
        detach: bool = False  # leave once the jobs are submitted

    @dataclass
    class ProcessesConf(LocalQueueConf):  # type: ignore[misc]  # has no types
        """hydra.launcher.* of hydra/launcher=processes"""

        _target_: str = f"{HERE}.Processes"
        n_jobs: int = -1  # at a time; -1: one for each core

    for name, node in (("lenet_slurm", SlurmConf), ("lenet_processes", ProcessesConf)):
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="lenet")

    class Processes(LocalLauncher):  # type: ignore[misc]  # has no types
        """A process of its own for each job, on this machine, a few at a time."""

        def __init__(self, n_jobs: int = -1, **params: Any) -> None:
            super().__init__(**params)
            self.n_jobs = n_jobs

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            from lenet.system.machine import cores
            from lenet.system.signals import ignore_signals

            most = self.n_jobs if self.n_jobs > 0 else cores()
            there, jobs = executor(self), list["submitit.Job[JobReturn]"]()
            try:
                for call in calls(self, job_overrides, initial_job_idx):
                    while sum(not job.done() for job in jobs) >= most:
                        time.sleep(0.2)
                    with ignore_signals():
                        jobs.append(there.submit(call))
                while not all(job.done() for job in jobs):
                    time.sleep(0.2)
            except BaseException:
                self.stop(jobs)
                raise
            return [outcome(job) for job in jobs]

        def stop(self, jobs: Sequence["submitit.Job[JobReturn]"]) -> None:
            """End those that run, after the step at hand; one that still starts does not hear the first signals."""
            left = [job for job in jobs if not job.done()]
            with leaving(lambda: [int(job.job_id) for job in left]):
                is_said = False
                while left:
                    for job in left:
                        with suppress(ProcessLookupError):
                            os.kill(int(job.job_id), signal.SIGTERM)
                    told = time.monotonic()
                    while left and time.monotonic() - told < STOP_AGAIN:
                        time.sleep(min(0.1, STOP_AGAIN))
                        left = [job for job in left if not job.done()]
                    if left and not is_said:
                        pids = ", ".join(job.job_id for job in left)
                        log.warning(
                            "waiting until processes %s, which still start, have ended; Ctrl-C leaves them", pids
                        )
                        is_said = True

    class Slurm(SlurmLauncher):  # type: ignore[misc]  # has no types
        """A job of Slurm for each job of the sweep, in arrays."""

        def __init__(self, detach: bool = False, **params: Any) -> None:
            super().__init__(**params)
            self.detach = detach

        def check(self) -> None:
            """Whether jobs can be submitted; the sweeper asks before it writes anything.

            Raises:
                BadInput: there is no Slurm, it does not answer, or it has jobs of this sweep already.
            """
            from lenet.errors import BadInput
            from lenet.text import counted

            if queued := self.queued():
                raise BadInput(
                    f"{self.config.hydra.sweep.dir}: Slurm has {counted(len(queued), 'job')} of this sweep; wait for "
                    "them (scripts/report.py shows how far they are), or scancel "
                    f"{' '.join(dict.fromkeys(job.split('_')[0] for job in queued))} first"
                )

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            from lenet.sweeps.runner import Detached

            self.check()
            there, jobs = executor(self), list["submitit.Job[JobReturn]"]()
            try:
                found = calls(self, job_overrides, initial_job_idx)
                for first in range(0, len(found), LARGEST_ARRAY):
                    jobs += submit(there, found[first : first + LARGEST_ARRAY])
                if self.detach:
                    arrays = dict.fromkeys(job.job_id.split("_")[0] for job in jobs)
                    raise Detached(f"submitted as Slurm job {', '.join(arrays)}")
                self.wait(jobs)
            except Detached:
                raise
            except BaseException:
                self.cancel()
                raise
            return [outcome(job) for job in jobs]

        def wait(self, jobs: Sequence["submitit.Job[JobReturn]"]) -> None:
            """Until each has been gone from Slurm's queue at two looks in a row: one that is requeued comes back.

            submitit would ask sacct, which needs accounting; one squeue for all jobs is also the lighter load.
            """
            from lenet.errors import BadInput

            there, gone, pause = {job.job_id for job in jobs}, set[str](), POLL
            while there:
                time.sleep(pause)
                began = time.monotonic()
                try:
                    queued = set(self.queued())
                except BadInput as error:
                    log.warning("%s; the jobs go on, and squeue is asked again", str(error).split(";")[0])
                    continue
                pause = max(POLL, 50 * (time.monotonic() - began))  # a scheduler with much to do is left in peace
                there -= gone - queued
                gone = there - queued

        def cancel(self) -> None:
            """Take the jobs of this sweep out of Slurm's queue; those that run stop after the step at hand.

            Asked anew, since one may have come in that this process has not heard of yet.
            """
            from lenet.errors import BadInput
            from lenet.text import first_line

            with suppress(BadInput):
                for array in dict.fromkeys(job.split("_")[0] for job in self.queued()):
                    done = subprocess.run(["scancel", array], check=False, capture_output=True, text=True)
                    if done.returncode:
                        log.warning("scancel %s failed (%s); give it again", array, first_line(done.stderr))
                return
            log.warning("squeue does not answer, so jobs may be left in it; scancel --name %s", self.params["name"])

        def queued(self) -> list[str]:
            """Slurm's jobs, waiting or running, that belong to this sweep: what they run lies in its folder."""
            from submitit.core.utils import JobPaths

            from lenet.errors import BadInput
            from lenet.text import first_line

            command = ["squeue", "--me", "--array", "--noheader", "--format=%i|%o"]
            try:
                found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
            except FileNotFoundError as error:
                raise BadInput(
                    "hydra/launcher=slurm: there is no Slurm here, squeue is not found; take joblib"
                ) from error
            except subprocess.CalledProcessError as error:
                raise BadInput(
                    f"hydra/launcher=slurm: Slurm does not answer ({first_line(error.stderr)}); give the command where "
                    "squeue works, or take hydra/launcher=joblib"
                ) from error
            except subprocess.TimeoutExpired as error:
                raise BadInput("hydra/launcher=slurm: squeue has not answered for five minutes; try later") from error
            ours = JobPaths.get_first_id_independent_folder(self.params["submitit_folder"])
            lines = [line.partition("|") for line in found.splitlines()]
            folder = os.path.realpath(ours)  # a folder may have several names
            return [number for number, _, what in lines if os.path.realpath(Path(what).parent) == folder]


@contextmanager
def leaving(left: Callable[[], Sequence[int]]) -> Iterator[None]:
    """While this lasts, a signal that would end this process does so after a line with the processes that are left."""
    from lenet.system.signals import STOPPING

    def leave(signum: int, frame: FrameType | None) -> None:
        pids = " ".join(str(pid) for pid in left())
        line = f"ended by {signal.Signals(signum).name}; processes that still run, and stop with kill: {pids}\n"
        os.write(2, line.encode())  # print may be at work just now
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {signum: signal.signal(signum, leave) for signum in STOPPING}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def executor(launcher: Any) -> "submitit.AutoExecutor":
    """What submits jobs, with the resources that hydra.launcher.* asks for."""
    import submitit

    cluster, params = launcher._EXECUTOR, dict(launcher.params)
    folder = params.pop("submitit_folder")
    own = {f"{cluster}_max_num_timeout": params.pop("max_num_timeout")} if "max_num_timeout" in params else {}
    found = submitit.AutoExecutor(folder, cluster=cluster, **own)
    common = BaseQueueConf.__dataclass_fields__
    found.update_parameters(**{key if key in common else f"{cluster}_{key}": value for key, value in params.items()})
    return found


def submit(there: "submitit.AutoExecutor", array: Sequence["Call"]) -> list["submitit.Job[JobReturn]"]:
    """Hand an array to Slurm.

    Raises:
        BadInput: sbatch refuses it, and would refuse any job of it.
    """
    from submitit.core.utils import FailedJobError

    from lenet.errors import BadInput
    from lenet.text import one_line

    try:
        with redirect_stderr(io.StringIO()):  # where submitit repeats what it raises
            return list(there.submit_array(array))
    except FailedJobError as error:
        words = [line.removeprefix("sbatch: error: ").strip() for line in str(error).splitlines() if line.strip()]
        raise BadInput(
            f"hydra/launcher=slurm: sbatch refuses these jobs ({one_line('; '.join(words))}), so none is submitted; "
            "change hydra.launcher.*, which --cfg hydra -p hydra.launcher shows, or give "
            "hydra.sweeper.max_batch_size=100 where they are too many at a time"
        ) from error


class Call:
    """A job, as it is sent to another process: what it shares with all others lies in a file that is written once.

    submitit would write all of it for each job, a tenth of a megabyte.
    """

    def __init__(self, shared: Path, overrides: Sequence[str], number: int) -> None:
        self.shared, self.overrides, self.number = shared, list(overrides), number

    def __call__(self) -> JobReturn:
        import cloudpickle

        launcher, state = cloudpickle.loads(self.shared.read_bytes())
        if launcher._EXECUTOR == "local":  # not on Slurm, which may know a job by its process group
            if sys.platform == "win32":  # where AVAILABLE is False
                raise NotImplementedError
            os.setsid()  # a Ctrl-C is the affair of whoever started this
        found: JobReturn = launcher(self.overrides, "hydra.sweep.dir", self.number, f"job_id_for_{self.number}", state)
        return found

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What is to be done when the job's time is over and it comes back: the same, for what is done lies on disk."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def calls(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[Call]:
    """The jobs, and what they share, written beside what submitit keeps."""
    import cloudpickle

    from lenet.runs.directory import timestamp
    from lenet.runs.files import write_atomically

    shared = Path(launcher.params["submitit_folder"]).absolute() / f"{timestamp()}_{first}.pickle"
    shared.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(shared, cloudpickle.dumps((launcher, Singleton.get_state())))
    return [Call(shared, overrides, number) for number, overrides in enumerate(job_overrides, first)]


def outcome(job: "submitit.Job[JobReturn]") -> JobReturn:
    """What a job returned; where it was killed, a failure that says so."""
    from lenet.text import first_line

    try:
        if not job.paths.result_pickle.exists():
            raise RuntimeError("it was cancelled or killed, or its node went away")
        return job.results()[0]
    except Exception as error:
        lost = JobReturn()
        lost.status = JobStatus.FAILED
        lost.return_value = RuntimeError(f"job {job.job_id} was lost: {first_line(str(error))}; see {job.paths.stderr}")
        return lost
