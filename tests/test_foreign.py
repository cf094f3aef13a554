"""The commands on a system that is not Linux, simulated (tests/foreign): what Windows has not, and what it forbids."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import HEAVY, PROJECT, Zygote, script

FOREIGN = PROJECT / "tests/foreign"
SHORT = ("trainer.limit_train_batches=3", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
         "trainer.accelerator=cpu", "data.batch_size=32", "threads=1")  # fmt: skip


class System:
    def __init__(self, folder: Path, root: str) -> None:
        self.folder = folder
        self.env = os.environ | {"PYTHONPATH": str(FOREIGN), "PYTHONIOENCODING": "cp1252", "LENET_DATA": root}
        self.zygote = Zygote(HEAVY, self.env)

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        """The exit status, and what was said on both streams."""
        started = self.zygote.start(PROJECT / "scripts" / script, arguments, self.folder, self.env)
        return started.wait()

    def says(self, script: str, *arguments: str) -> str:
        code, said = self.run(script, *arguments)
        assert code == 0, said
        return said


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, real_root: str) -> Iterator[System]:
    """A folder with a finished run of one epoch."""
    system = System(tmp_path_factory.mktemp("foreign"), real_root)
    system.says("train.py", *SHORT, "trainer.max_epochs=1", "hydra.run.dir=runs/one", "dashboard.histograms=true",
                "dashboard.pictures_every=1")  # fmt: skip
    yield system
    system.zygote.close()


def test_it_is_foreign(foreign: System) -> None:
    """What the other tests rest on: without this they would show nothing."""
    (foreign.folder / "script.py").write_text(
        """
import importlib, os, signal, tempfile
from pathlib import Path
for module, name in ((os, "fork"), (os, "setsid"), (os, "sched_getaffinity"), (signal, "SIGKILL")):
    assert not hasattr(module, name), name
for name in ("fcntl", "resource"):
    try:
        exec(f"import {name}")
    except ImportError:
        continue
    raise AssertionError(name)
def fails(work):
    try:
        work()
    except OSError:
        return
    raise AssertionError("it can be done")
here = Path(tempfile.mkdtemp())
(here / "a").write_text("ä")
assert (here / "a").read_bytes() == b"\\xe4"
assert (here / "A").exists()
fails(lambda: os.open(here, os.O_RDONLY))
fails(lambda: (here / "con").mkdir())
fails(lambda: (here / ("x" * 260)).mkdir())
with (here / "a").open():
    fails(lambda: (here / "a").unlink())
    (here / "b").touch()
    fails(lambda: (here / "b").replace(here / "a"))
(here / "a").unlink()
""",
        encoding="utf-8",
    )
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=foreign.folder, env=foreign.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_with_its_dashboard_goes_on(foreign: System) -> None:
    run = foreign.folder / "runs/one"
    assert json.loads((run / "result.json").read_bytes())["status"] == "completed"
    foreign.says("train.py", "resume=runs/one", "trainer.max_epochs=2")
    result = json.loads((run / "result.json").read_bytes())
    assert (result["status"], result["epochs"]) == ("completed", 2)
    assert not (run / ".lock").exists()
    assert not list(run.rglob("*.tmp"))


def test_a_net_is_evaluated_and_looked_at(foreign: System) -> None:
    assert "accuracy" in foreign.says("evaluate.py", "runs/one")
    foreign.says("activations.py", "runs/one")
    assert (foreign.folder / "runs/one/activations.png").exists()


def test_a_sweep_on_all_cores_and_its_report(foreign: System) -> None:
    arguments = ("-m", "model.pool=avg,max", "hydra/launcher=joblib", "trainer.max_epochs=1", *SHORT)
    foreign.says("train.py", *arguments)
    assert "2 completed before, 0 to do" in foreign.says("train.py", *arguments)
    report = foreign.folder / "runs/pool/report.md"
    report.unlink()
    assert "pool=max" in foreign.says("report.py", "runs/pool")
    assert report.exists()


def test_a_file_that_somebody_reads_is_replaced_once_he_has_done(foreign: System) -> None:
    result = foreign.folder / "runs/one/result.json"
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.1):  # whoever waits for the file tries for four seconds
            with result.open("rb") as file:
                file.read()
                stop.wait(0.02)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        foreign.says("train.py", "resume=runs/one", "trainer.max_epochs=3")
    finally:
        stop.set()
        reader.join()
    assert json.loads(result.read_bytes())["epochs"] == 3


@pytest.mark.parametrize("launcher", ["processes", "slurm"])
def test_a_launcher_that_is_not_there_says_what_to_take(foreign: System, launcher: str) -> None:
    assert foreign.run("train.py", "-m", "seed=0,1", f"hydra/launcher={launcher}") == (
        2,
        f"error: hydra/launcher={launcher}: not to be had on this system; take hydra/launcher=joblib\n",
    )


def test_a_path_that_is_too_long_is_one_line(foreign: System) -> None:
    code, said = foreign.run("train.py", f"hydra.run.dir={'x' * 240}", *SHORT)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert "hydra.run.dir" in said


def test_a_run_that_was_made_on_windows_goes_on_here(foreign: System, tmp_path: Path, real_root: str) -> None:
    """Ends of lines, backslashes and a time zone of another system."""
    run = tmp_path / "runs/theirs"
    shutil.copytree(foreign.folder / "runs/one", run)
    for name in ("config.yaml", "result.json", "metrics.csv", "train.log"):
        content = (run / name).read_bytes().replace(b"\n", b"\r\n")
        (run / name).write_bytes(content.replace(real_root.encode(), rb"C:\Users\someone\data"))
    assert rb"C:\Users\someone\data" in (run / "config.yaml").read_bytes()
    env = os.environ | {"TZ": "Asia/Kathmandu", "LENET_DATA": real_root}
    epochs = json.loads((run / "result.json").read_bytes())["epochs"] + 1
    command = ("train.py", "resume=runs/theirs", f"trainer.max_epochs={epochs}")
    refused = script(*command, cwd=tmp_path, env=env)
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: data.root=C:\\Users\\someone\\data: is a path on Windows, and this is another system; set data.root\n",
    )
    assert "error: data.root=C:" in script("evaluate.py", "runs/theirs", cwd=tmp_path, env=env).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    for name, *arguments in (
        (*command, f"data.root={real_root}"),
        ("evaluate.py", "runs/theirs", "--data-root", real_root),
        ("report.py", "runs/theirs"),
    ):
        done = script(name, *arguments, cwd=tmp_path, env=env)
        assert done.returncode == 0 or "no sweep" in done.stderr, done.stderr
    assert json.loads((run / "result.json").read_bytes())["epochs"] == epochs
