"""Tiny data sets for the tests that ask about behaviour, the real one for those that ask about figures."""

import atexit
import functools
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

# Before torch comes in: idle threads of OpenMP would spin, and take the processor from other tests.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import lightning as L
import pytest
import torch
from hypothesis import settings
from torch import Tensor

from lenet.config import Config, Data, Model, Optimizer, Trainer
from lenet.data import download
from lenet.data.files import fetched, load
from lenet.data.module import splits
from lenet.datasets import DATASETS
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory

PROJECT = Path(__file__).parents[1]
TINY_TRAIN, TINY_TEST = 200, 50
TINY = ("fashion_mnist", "mnist")  # the data sets that are made of few images


def idx(tensor: Tensor) -> bytes:
    """A uint8 tensor as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in tensor.shape)
    return bytes([0, 0, 8, tensor.dim()]) + sizes + bytes(tensor.flatten().tolist())


def tiny_files(seed: int = 0) -> dict[str, bytes]:
    """The four IDX files of a data set that a net can learn: every class is a bright bar at a height of its own."""
    generator = torch.Generator().manual_seed(seed)
    files = {}
    for part, size in (("train", TINY_TRAIN), ("t10k", TINY_TEST)):
        labels = torch.randint(0, 10, (size,), generator=generator, dtype=torch.uint8)
        images = torch.randint(0, 60, (size, 28, 28), generator=generator, dtype=torch.uint8)
        for image, label in zip(images, labels.tolist(), strict=True):
            image[2 * label + 3 : 2 * label + 6] += 180
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(labels)
    return files


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root whose data sets have 200 training and 50 test images; their files are the known ones now."""
    root = tmp_path / "data"
    files = tiny_files()
    for folder in (DATASETS[name].folder for name in TINY):
        (root / folder).mkdir(parents=True)
        for name, content in files.items():
            (root / folder / name).write_bytes(content)
    know(monkeypatch, files)
    return root


def know(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> None:
    """Let `files` be the true files of both data sets."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name in TINY:
        tiny = replace(DATASETS[name], sha256=sums, training_images=TINY_TRAIN, test_images=TINY_TEST)
        monkeypatch.setitem(DATASETS, name, tiny)
    for cached in (load, fetched, splits):
        cached.cache_clear()


@pytest.fixture
def tiny_config(tiny: Path) -> Config:
    """A run of a second: two epochs of five batches."""
    return Config(
        data=Data(root=str(tiny), batch_size=32),
        model=Model(conv_channels=[2, 3], fc_sizes=[12], activation="tanh"),
        optimizer=Optimizer(lr=0.1),
        trainer=Trainer(max_epochs=2, accelerator="cpu", enable_progress_bar=False),
        threads=1,
    )


def real(name: str) -> str:
    """A data root with the real data set, fetched if it is not there; skips where it is not to be had."""
    root = os.environ.get("LENET_DATA", str(PROJECT / "data"))
    try:
        download.fetch(name, root)
    except BadInput as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    return root


@pytest.fixture(scope="session")
def real_root() -> str:
    """A data root with the real Fashion-MNIST."""
    return real("fashion_mnist")


@pytest.fixture(scope="session")
def real_mnist() -> str:
    """A data root with the real MNIST."""
    return real("mnist")


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """What waits for ever fails instead."""

    def give_up(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


# A shell that starts the tests in the background lets them ignore Ctrl-C, and they would let what they start do so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

HANG = 1800  # seconds; nothing here takes a tenth of it on the busiest machine, so what does will never end

# What takes long to import, and some script or other needs. torch imports its compiler at the first update.
HEAVY = (
    "lenet.cli", "lenet.run", "lenet.dashboard.callback", "lenet.evaluation.evaluate", "lenet.evaluation.pictures",
    "lenet.sweeps.report", "benchmarks.published", "lenet.training.callbacks", "torch._dynamo",
)  # fmt: skip

# Imports modules once, and runs a script in a fork of itself for each line of standard input. The fork of a fork, so
# that one process waits for each script, and many can run at once.
ZYGOTE = """
import gc, importlib, json, os, runpy, signal, sys, traceback
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
for module in sys.argv[1:]:
    importlib.import_module(module)
Plugins.instance()  # it looks for them once, and the parser makes its tables once
OverridesParser.create().parse_overrides(["key=value"])
gc.freeze()  # what is here is not garbage, and its pages are the children's too


def become(job, told):
    os.setsid()  # so that a test can kill all that it starts
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    if compose := sys.modules.get("lenet.cli.compose"):  # data.root is what LENET_DATA was when it was imported
        compose.ConfigStore.instance().store("schema", compose.Config)
    streams = [os.open(os.devnull, os.O_RDONLY)]
    streams += [os.open(job[name], os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOCTTY) for name in ("out", "err")]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    encoding = job["env"].get("PYTHONIOENCODING", "utf-8")  # which Python reads when it starts
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", encoding=encoding, errors="strict", closefd=False)
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False, buffering=1)
    sys.modules.update(dict.fromkeys(job["absent"]))
    sys.argv = job["argv"]
    sys.orig_argv = [sys.executable, *sys.argv]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 99
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or 1
    os.write(told, b"torch" if sys.modules.get("torch") else b"no torch")
    os._exit(code)


for line in sys.stdin:
    job = json.loads(line)
    reading, writing = os.pipe()
    if not os.fork():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asked, told = os.pipe()
        if not (child := os.fork()):
            become(job, told)
        os.write(writing, str(child).encode())
        os.close(writing)
        _, status, used = os.wait4(child, 0)
        os.set_blocking(asked, False)
        try:
            torch = os.read(asked, 99) == b"torch"
        except BlockingIOError:  # it was killed
            torch = None
        code = os.waitstatus_to_exitcode(status)
        with open(job["end"], "w") as end:  # a pipe: until somebody listens
            json.dump({"code": code, "torch": torch, "megabytes": used.ru_maxrss // 1024}, end)
        os._exit(0)
    os.close(writing)
    print(os.read(reading, 99).decode(), flush=True)
    os.close(reading)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""


class Answer(TypedDict):
    said: str
    code: int
    torch: bool  # whether it was imported
    megabytes: int  # the most memory that it had


class Started:
    """A script that runs."""

    def __init__(self, pid: int, folder: Path, encoding: str) -> None:
        self.pid, self.folder, self.encoding, self.end = pid, folder, encoding, dict[str, Any]()

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "out"

    @property
    def said(self) -> str:
        return self.log.read_text(encoding=self.encoding, errors="replace")

    @property
    def complaints(self) -> str:
        """What it prints on standard error, where that is kept apart."""
        return (self.folder / "err").read_text(encoding=self.encoding, errors="replace")

    def ended(self) -> dict[str, Any]:
        """How it ended, once it has: its exit status, whether torch was imported, and the most memory that it had.

        One that hangs is killed, and fails the test with what it said.
        """
        if not self.end:
            # Whoever opens a pipe to read it waits for whoever writes, unless told not to.
            pipe = os.open(self.folder / "end", os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(pipe, encoding="utf-8") as end:
                if not select.select([end], [], [], HANG)[0]:
                    with suppress(ProcessLookupError):
                        os.killpg(self.pid, signal.SIGKILL)
                    raise AssertionError(f"it has not ended in {HANG} s; it said:\n{self.said}")
                os.set_blocking(pipe, True)
                self.end = json.load(end)
        return self.end

    def wait(self) -> tuple[int, str]:
        """Its exit status, and what it said."""
        return self.ended()["code"], self.said

    def kill(self, signum: int, all_of_them: bool = True) -> tuple[int, str]:
        (os.killpg if all_of_them else os.kill)(self.pid, signum)
        return self.wait()


class Terminal:
    """A terminal to print on; `said` is what was."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        termios.tcsetwinsize(self.theirs, (24, 80))
        self.name = os.ttyname(self.theirs)
        self.chunks: list[bytes] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # how a terminal ends, once nobody has it open
            while chunk := os.read(self.ours, 65536):
                self.chunks.append(chunk)
        os.close(self.ours)

    def said(self) -> str:
        """All of it, once the scripts that print on it have ended."""
        os.close(self.theirs)
        self.thread.join(HANG)
        assert not self.thread.is_alive(), f"after {HANG} s somebody still has the terminal; {self.chunks}"
        return b"".join(self.chunks).decode().replace("\r\n", "\n")


class Zygote:
    """A process that has imported some modules, and of which scripts are forks: importing torch takes ten seconds."""

    def __init__(self, imports: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-c", ZYGOTE, *imports]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=(env or os.environ) | NO_GPU)
        self.folder = Path(tempfile.mkdtemp())
        self.number = 0

    def start(
        self,
        script: Path,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str] | None = None,
        out: str | None = None,
        apart: bool = False,
        absent: Sequence[str] = (),
    ) -> Started:
        """Run a script.

        Args:
            env: instead of this process's environment variables.
            out: a terminal to print on, instead of a file.
            apart: keep what it prints on standard error in a file `err` of its own.
            absent: modules that cannot be imported.
        """
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        os.mkfifo(folder / "end")
        (folder / "out").touch()
        job = {
            "argv": [str(script), *arguments],
            "cwd": str(cwd),
            "env": dict(os.environ if env is None else env) | NO_GPU,
            "out": out or str(folder / "out"),
            "err": out or str(folder / ("err" if apart else "out")),
            "end": str(folder / "end"),
            "absent": list(absent),
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        encoding = job["env"].get("PYTHONIOENCODING", "utf-8")
        return Started(int(self.process.stdout.readline()), folder, encoding)

    def close(self) -> None:
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@functools.cache
def zygote(*imports: str) -> Zygote:
    """One for each set of modules in this process of the tests."""
    made = Zygote(imports)
    atexit.register(made.close)
    return made


def script(name: str, *arguments: str, cwd: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run one of scripts/ to its end: in a fork, or afresh where it gets variables that Python reads when it starts."""
    path = PROJECT / "scripts" / name
    environment: Mapping[str, str] = kwargs.get("env") or os.environ
    python = {key for key in environment if key.startswith("PYTHON")} - {"PYTHONIOENCODING"}
    if any(os.environ.get(key) != environment[key] for key in python):
        return fresh(name, *arguments, cwd=cwd, **kwargs)
    started = zygote(*HEAVY).start(path, arguments, cwd, environment, apart=True)
    code, said = started.wait()
    return subprocess.CompletedProcess([name, *arguments], code, said, started.complaints)


def fresh(name: str, *arguments: str, cwd: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run one of scripts/ as a user does, with all its imports."""
    command = [sys.executable, str(PROJECT / "scripts" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=HANG, **kwargs)


def ask(
    cases: Sequence[tuple[str, Sequence[str], Path]],
    imports: Sequence[str] = ("lenet.cli",),
    absent: Sequence[str] = (),
) -> list[Answer]:
    """What scripts answer to arguments in a folder, in processes that have imported `imports` before.

    With `absent`, on a terminal, and up to where one of these modules is wanted, which is not there.
    """
    answers = []
    for name, arguments, cwd in cases:
        terminal = Terminal() if absent else None
        out = terminal.name if terminal else None
        started = zygote(*imports).start(PROJECT / "scripts" / name, arguments, cwd, out=out, absent=absent)
        ended = started.ended()
        answers.append(Answer(said=terminal.said() if terminal else started.said, **ended))
    return answers


@pytest.fixture
def answers(in_empty_folder: Path) -> Callable[[list[list[str]]], list[Answer]]:
    """What scripts/train.py answers to lists of arguments, in an empty folder."""
    return lambda cases: ask([("train.py", arguments, in_empty_folder) for arguments in cases])


@pytest.fixture
def start(in_empty_folder: Path) -> Iterator[Callable[..., Started]]:
    """Start scripts/train.py, or another copy of it, in an empty folder; what still runs after the test is killed."""
    begun: list[Started] = []

    def begin(*arguments: str, script: Path = PROJECT / "scripts/train.py", **kwargs: Any) -> Started:
        begun.append(zygote(*HEAVY).start(script, arguments, in_empty_folder, **kwargs))
        return begun[-1]

    yield begin
    for one in begun:
        if not one.end:
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)


def members(group: int) -> dict[int, str]:
    """The processes of a process group that have not ended, and the state of each, such as T: stopped."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found[int(stat.parent.name)] = state
    return found


def who_writes_in(folder: Path) -> set[int]:
    """The processes that have a file of it open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        files: list[Path] = []
        with suppress(OSError):  # it has ended by now, or is somebody else's
            files = list((process / "fd").iterdir())
        for file in files:
            with suppress(OSError):  # it is closed by now
                if file.readlink().is_relative_to(folder):
                    found.add(int(process.name))
    return found


def until(condition: Callable[[], object], of: Started | None = None) -> None:
    """Wait for something that will be. However long that takes, unless it can no longer be since `of` has ended."""
    guard = time.monotonic() + HANG
    while not condition():
        if of and not Path(f"/proc/{of.pid}").exists():
            assert condition(), of.wait()
        assert time.monotonic() < guard, f"it has not come about in {HANG} s; {of.said if of else ''}"
        time.sleep(0.005)


def frozen_when(condition: Callable[[], object], of: Started, group: Callable[[], int] | None = None) -> int:
    """Stop a script, or a process group of it, at a moment at which something holds that will not hold for long.

    On a busy machine it may have passed by when it has been seen; then it goes on to the next such moment.
    """
    while True:
        until(condition, of)
        try:
            found = group() if group else of.pid
            os.killpg(found, signal.SIGSTOP)
        except (TypeError, ProcessLookupError):  # it is not there any more
            continue
        until(lambda group=found: set(members(group).values()) <= {"T"})
        if condition():
            return found
        with suppress(ProcessLookupError):
            os.killpg(found, signal.SIGCONT)


def same_run(ours: RunDirectory, theirs: RunDirectory) -> None:
    """Bit for bit: metrics, and the weights of both checkpoints."""
    assert (ours.path / "metrics.csv").read_bytes() == (theirs.path / "metrics.csv").read_bytes()
    assert (ours.read_result() or {})["metrics"] == (theirs.read_result() or {})["metrics"]
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(run.checkpoints / name, weights_only=True) for run in (ours, theirs))
        assert (a["epoch"], a["global_step"]) == (b["epoch"], b["global_step"]), f"{ours.path}: {name}"
        differ = {
            key: f"{int((a['state_dict'][key] != value).sum())} of {value.numel()} values"
            for key, value in b["state_dict"].items()
            if not torch.equal(a["state_dict"][key], value)
        }
        assert not differ, f"{ours.path}: {name}"


class CutOff(BaseException):
    pass


class CutOffIn(L.Callback):
    """Stops in the middle of an epoch: what lies on disk then is what a kill would leave there."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.current_epoch == self.epoch:
            raise CutOff

    def on_test_start(self, trainer: L.Trainer, *_: object) -> None:
        raise CutOff  # after the last epoch


# No deadline: machines are shared, and no test here is about time. The same examples on every machine: the README's
# command does not fail by chance, and what fails fails again. New examples: uv run pytest --hypothesis-profile=long
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")
settings.register_profile("long", max_examples=5000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-docs", action="store_true", help="docs/bad_input.md and CONTRIBUTING.md are made anew")
    parser.addoption("--kills", type=int, default=4, help="how many times test_soak.py kills a sweep (default 4)")
    parser.addoption("--every-call", action="store_true", help="test_kills.py kills a run at every change of a file")
