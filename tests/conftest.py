"""Tiny data sets for the tests that ask about behaviour, the real one for those that ask about figures."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pytest
import torch
from hypothesis import settings
from torch import Tensor

from lenet import data, fetch, validation
from lenet.config import Config, Data, Model, Optimizer, Trainer
from lenet.errors import BadInput
from lenet.runs import RunDirectory

PROJECT = Path(__file__).parents[1]
TINY_TRAIN, TINY_TEST = 200, 50


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
    for data_set in fetch.FOLDER.values():
        (root / data_set).mkdir(parents=True)
        for name, content in files.items():
            (root / data_set / name).write_bytes(content)
    know(monkeypatch, files)
    return root


def know(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> None:
    """Let `files` be the true files of both data sets."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for data_set in fetch.FOLDER:
        monkeypatch.setitem(fetch.SHA256, data_set, sums)
    monkeypatch.setattr(validation, "TRAINING_IMAGES", TINY_TRAIN)
    monkeypatch.setattr(validation, "TEST_IMAGES", TINY_TEST)
    for cached in (data.load, data.fetched, data.parts):
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


@pytest.fixture(scope="session")
def real_root() -> str:
    """A data root with the real Fashion-MNIST, fetched if it is not there; skips where it is not to be had."""
    root = os.environ.get("LENET_DATA", str(PROJECT / "data"))
    try:
        fetch.fetch("fashion_mnist", root)
    except BadInput as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    return root


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """What waits for ever fails instead."""

    def give_up(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def script(name: str, *arguments: str, cwd: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run one of scripts/ as a user does."""
    command = [sys.executable, str(PROJECT / "scripts" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, **kwargs)


# Runs a script of ours once for every line of standard input, each time in a fork of a process that has imported what
# takes time, so that forty cases take a second or two; prints what each said.
FORKING_DRIVER = """
import importlib, json, os, runpy, signal, sys, traceback
imports, absent = map(json.loads, sys.argv[1:])
for module in imports:
    importlib.import_module(module)
sys.modules.update(dict.fromkeys(absent))
for line in sys.stdin:
    script, arguments, cwd = json.loads(line)
    read, write = os.openpty() if absent else os.pipe()
    if not (child := os.fork()):
        signal.alarm(60)
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.chdir(cwd)
        sys.argv = [script, *arguments]
        code = 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        os.write(write, ("\\0" + json.dumps({"code": code, "torch": bool(sys.modules.get("torch"))})).encode())
        os._exit(0)
    os.close(write)
    chunks = []
    try:
        while chunk := os.read(read, 65536):
            chunks.append(chunk)
    except OSError:  # a terminal is gone with its last process
        pass
    os.close(read)
    said, _, end = b"".join(chunks).decode().replace("\\r\\n", "\\n").partition("\\0")
    _, status, used = os.wait4(child, 0)
    end = json.loads(end) if end else {"code": os.waitstatus_to_exitcode(status)}
    print(json.dumps({"said": said, "megabytes": used.ru_maxrss // 1024, **end}), flush=True)
"""


class Answer(TypedDict):
    said: str
    code: int
    torch: bool  # whether it was imported
    megabytes: int  # the most memory that it had


def ask(
    cases: Sequence[tuple[str, Sequence[str], Path]],
    imports: Sequence[str] = ("lenet.cli",),
    absent: Sequence[str] = (),
) -> list[Answer]:
    """What scripts answer to arguments in a folder, in processes that have imported `imports` before.

    With `absent`, on a terminal, and up to where one of these modules is wanted, which is not there.
    """
    lines = [json.dumps([str(PROJECT / "scripts" / name), arguments, str(cwd)]) for name, arguments, cwd in cases]
    command = [sys.executable, "-c", FORKING_DRIVER, json.dumps(imports), json.dumps(absent)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def answers(in_empty_folder: Path) -> Callable[[list[list[str]]], list[Answer]]:
    """What scripts/train.py answers to lists of arguments, in an empty folder."""
    return lambda cases: ask([("train.py", arguments, in_empty_folder) for arguments in cases])


# Runs scripts/train.py in forks of a process that has imported what takes time, each in a session of its own, so that
# a test can kill it; says the process ID of each, then its exit status.
KILLABLE_DRIVER = """
import json, os, runpy, sys, traceback
import lenet.cli, lenet.report, lenet.train
for line in sys.stdin:
    script, arguments, cwd, log = json.loads(line)
    if not (child := os.fork()):
        os.setsid()
        os.chdir(cwd)
        file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = [script, *arguments]
        code = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Started:
    """A script that runs."""

    def __init__(self, driver: "subprocess.Popen[str]", pid: int, log: Path) -> None:
        self.driver, self.pid, self.log = driver, pid, log

    def wait(self) -> tuple[int, str]:
        """Its exit status, and what it said."""
        assert self.driver.stdout
        return int(self.driver.stdout.readline()), self.log.read_text()

    def kill(self, signum: int, all_of_them: bool = True) -> tuple[int, str]:
        (os.killpg if all_of_them else os.kill)(self.pid, signum)
        return self.wait()


@pytest.fixture(scope="session")
def driver() -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(
        [sys.executable, "-c", KILLABLE_DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def start(driver: "subprocess.Popen[str]", in_empty_folder: Path, tmp_path: Path) -> Callable[..., Started]:
    """Start scripts/train.py, or another copy of it, in an empty folder; one at a time."""

    def begin(*arguments: str, script: Path = PROJECT / "scripts/train.py") -> Started:
        log = tmp_path / "said.txt"
        log.write_text("")  # not what the one before said
        assert driver.stdin
        assert driver.stdout
        driver.stdin.write(json.dumps([str(script), arguments, str(in_empty_folder), str(log)]) + "\n")
        driver.stdin.flush()
        return Started(driver, int(driver.stdout.readline()), log)

    return begin


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


settings.register_profile("untimed", deadline=None)  # machines are shared, and no test here is about time
settings.load_profile("untimed")
settings.register_profile(
    "long", max_examples=5000, deadline=None
)  # uv run pytest tests/test_fuzz.py --hypothesis-profile=long


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-docs", action="store_true", help="docs/bad_input.md says what was said")
    parser.addoption("--kills", type=int, default=4, help="how many times test_soak.py kills a sweep (default 4)")
