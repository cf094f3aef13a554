"""A disk that is full, that cannot be written, that is another one than that of temporary files: mounted for a test."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from conftest import HEAVY, PROJECT, until, zygote
from lenet.runs.directory import RunDirectory

pytestmark = [
    pytest.mark.xdist_group("disk"),
    pytest.mark.real_data,
    pytest.mark.skipif(
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0
        if sys.platform == "linux"
        else True,
        reason="this user may not mount anything, not even where nobody else sees it",
    ),
]

# In a process that sees mounts of its own, as after `unshare -rm`: shell commands, and scripts of ours in forks of it.
DRIVER = """
import ctypes, json, os, runpy, subprocess, sys, traceback
from pathlib import Path

asked, told, user, group = open(sys.argv[1]), open(sys.argv[2], "w"), os.geteuid(), os.getegid()
libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, REC, PRIVATE = 0x20000, 0x10000000, 0x4000, 0x40000  # of <sched.h> and <sys/mount.h>
if libc.unshare(NEWNS | NEWUSER):
    sys.exit(os.strerror(ctypes.get_errno()))
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text(f"0 {user} 1")
Path("/proc/self/gid_map").write_text(f"0 {group} 1")
if libc.mount(b"none", b"/", None, REC | PRIVATE, None):
    sys.exit(os.strerror(ctypes.get_errno()))
for line in asked:
    kind, *words = json.loads(line)
    if kind == "set":
        os.environ[words[0]] = words[1]
        print("[0, \\"\\"]", file=told, flush=True)
        continue
    if kind == "shell":
        subprocess.run(words[0], shell=True, check=True)
        print("[0, \\"\\"]", file=told, flush=True)
        continue
    read, write = os.pipe()
    if not (child := os.fork()):
        os.dup2(write, 1)
        os.dup2(write, 2)
        sys.argv = words
        code = 0
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, said]), file=told, flush=True)
"""


@pytest.fixture(autouse=True)
def nothing_stays_mounted(do: "Do") -> Iterator[None]:
    yield
    do("shell", "umount small 2> /dev/null || true")


Do = Callable[..., tuple[int, str]]
RUN = ["trainer.limit_train_batches=5", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
       "trainer.max_epochs=3", "data.batch_size=32", "threads=1"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    (folder / "small").mkdir()
    return folder


@pytest.fixture(scope="module")
def do(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Do]:
    """Run a shell command, or a script, in a folder whose subfolder `small` is mounted on."""
    pipes = [tmp_path_factory.mktemp("driver") / name for name in ("asked", "told")]
    for pipe in pipes:
        os.mkfifo(pipe)
    driver = pipes[0].with_name("driver.py")
    driver.write_text(DRIVER)
    running = zygote(*HEAVY).start(driver, [str(pipe) for pipe in pipes], folder)
    # Neither waits for the driver, which may never come: a pipe for reading and writing, and one that is asked first.
    ends = os.open(pipes[0], os.O_RDWR), os.open(pipes[1], os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(ends[1], True)
    with os.fdopen(ends[0], "w", encoding="utf-8") as ask, os.fdopen(ends[1], encoding="utf-8") as answers:

        def do(*words: str) -> tuple[int, str]:
            if words[0] not in ("shell", "set"):
                words = ("script", str(PROJECT / "scripts" / words[0]), *words[1:])
            print(json.dumps(words), file=ask, flush=True)
            until(lambda: select.select([answers], [], [], 0)[0], running)
            answer = answers.readline()
            assert answer, running.wait()
            code, said = json.loads(answer)
            assert "Traceback" not in said
            return code, said

        yield do
    assert running.wait() == (0, "")


@pytest.fixture(scope="module")
def whole(do: Do, folder: Path, real_root: str) -> RunDirectory:
    """A run that had room."""
    code, said = do("train.py", "hydra.run.dir=whole", f"data.root={real_root}", *RUN)
    assert code == 0, said
    return RunDirectory(folder / "whole")


# What still fits: the config, but no event file; one checkpoint; two, but no third beside them while it is written.
@pytest.mark.parametrize(("size", "epochs"), [("8k", 0), ("300k", 1), ("600k", 2)])
def test_on_a_full_disk_a_run_says_so_leaves_whole_files_and_goes_on_when_there_is_room(
    do, folder, whole, real_root, size, epochs
) -> None:
    do("shell", f"mount -t tmpfs -o size={size} none small")
    code, said = do("train.py", "hydra.run.dir=small/run", f"data.root={real_root}", *RUN)
    assert code == 1
    assert said.splitlines()[-1].startswith("error: ")
    assert "small/run" in said.splitlines()[-1]
    assert "No space left on device; make room" in said.splitlines()[-1]
    assert said.count("error") == 1
    do("shell", f"cp -r small/run full{size}")  # nobody else sees what is mounted
    run = RunDirectory(folder / f"full{size}")
    # With no room for a few bytes more the failure cannot be written down; then the run was cut off.
    assert run.read_result()["status"] == ("failed" if epochs else "running")
    assert not list(run.path.rglob(".*.tmp"))
    for checkpoint in run.checkpoints.glob("*"):
        torch.load(checkpoint, weights_only=True)
    do("shell", "mount -o remount,size=100m small")
    code, said = do("train.py", "resume=small/run")
    assert code == 0, said
    assert ("it starts from the beginning" in said) == (not epochs)
    do("shell", f"rm -r full{size} && cp -r small/run full{size}")
    assert (run.path / "metrics.csv").read_bytes() == (whole.path / "metrics.csv").read_bytes()
    assert run.read_result()["metrics"] == whole.read_result()["metrics"]


def test_a_sweep_on_a_full_disk_names_what_failed_and_goes_on_when_there_is_room(do, folder, real_root) -> None:
    do("shell", "mount -t tmpfs -o size=700k none small")
    given = ["train.py", "-m", "model.pool=avg,max", "hydra.sweep.dir=small/sweep", f"data.root={real_root}", *RUN]
    code, said = do(*given)
    assert code == 1
    assert "No space left on device" in said
    do("shell", "mount -o remount,size=100m small")
    code, said = do(*given)
    assert code == 0, said
    assert "2 jobs: 2 completed" in said


def test_a_folder_that_cannot_be_written_is_named_and_a_run_in_it_can_be_looked_at(
    do, folder, whole, real_root
) -> None:
    do("shell", "mount -t tmpfs none small && cp -r whole small/run && mount -o remount,ro small")
    for given in (["hydra.run.dir=small/new", f"data.root={real_root}"], ["resume=small/run", "trainer.max_epochs=4"],
                  ["-m", "seed=0,1", "hydra.sweep.dir=small/sweep", f"data.root={real_root}"]):  # fmt: skip
        code, said = do("train.py", *given, *(RUN if "resume" not in given[0] else []))
        assert code == 2, said
        assert said.count("\n") == 1, said
        assert "small/" in said
        assert "Read-only file system" in said
    code, said = do("evaluate.py", "small/run")
    assert code == 2
    assert said.splitlines()[-1].startswith("error: small/run: Read-only file system; name")
    assert "--out" in said.splitlines()[-1]
    code, said = do("evaluate.py", "small/run", "--out", "looked")
    assert code == 0, said
    assert len(list((folder / "looked").iterdir())) == 2
    code, said = do("activations.py", "small/run")
    assert (code, said.count("\n")) == (2, 1), said
    code, said = do("activations.py", "small/run", "--out", "seen.png")
    assert code == 0, said


def test_that_temporary_files_have_a_disk_of_their_own_and_a_full_one_makes_no_difference(
    do, folder, whole, real_root
) -> None:
    do("shell", "mount -t tmpfs -o size=4k none small && head -c 4096 /dev/zero > small/full")
    do("set", "TMPDIR", str(folder / "small"))
    code, said = do("train.py", "hydra.run.dir=other", f"data.root={real_root}", *RUN)
    assert code == 0, said
    other = RunDirectory(folder / "other")
    assert (other.path / "metrics.csv").read_bytes() == (whole.path / "metrics.csv").read_bytes()
