"""Never two processes in one directory, whatever people tidy away in it."""

import errno
import multiprocessing
import os
import shutil
import stat
import threading
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as EventType
from pathlib import Path

import pytest

from conftest import HANG
from lenet.config import Config
from lenet.errors import BadInput, JobsFailed
from lenet.runs.directory import RunDirectory
from lenet.sweeps import runner
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.directory import is_at_work
from lenet.system import lock
from lenet.system.lock import LOCK, FolderLock


@pytest.mark.parametrize("gone", ["train.log", LOCK, f"{LOCK} and train.log"])
def test_a_run_keeps_its_directory_when_somebody_tidies_up_in_it(tmp_path: Path, gone: str) -> None:
    run, other = RunDirectory.create(tmp_path / "run"), RunDirectory(tmp_path / "run")
    with run.log_file():
        for name in gone.split(" and "):
            (run.path / name).unlink()
        assert not other.lock()
        assert other.is_locked
    run.unlock()
    assert not other.is_locked
    assert other.lock()
    other.unlock()


def test_a_sweep_keeps_its_directory_likewise(tmp_path: Path) -> None:
    sweep = Sweep("grid", {}, {}, [Job("seed=0", "baseline", {}, 0, ["seed=0"], 10, 1, 1)])

    def launch(jobs: object) -> dict[str, Exception]:
        (tmp_path / LOCK).unlink()
        assert is_at_work(tmp_path)
        with pytest.raises(BadInput, match="another sweep is at work"):
            runner.run(sweep, tmp_path, {"seed=0": Config()}, lambda jobs: {})
        return {"seed=0": BadInput("train.log: a link")}

    with pytest.raises(JobsFailed):
        runner.run(sweep, tmp_path, {"seed=0": Config()}, launch)
    assert not is_at_work(tmp_path)


def test_what_a_job_was_refused_for_is_said_and_not_how_it_failed_before(tmp_path: Path, capsys) -> None:
    sweep = Sweep("grid", {}, {}, [Job("seed=0", "baseline", {}, 0, ["seed=0"], 10, 1, 1)])
    (tmp_path / "seed=0").mkdir()
    RunDirectory(tmp_path / "seed=0").write_result({"status": "failed", "error": {"message": "long ago"}})
    with pytest.raises(JobsFailed):
        runner.run(sweep, tmp_path, {"seed=0": Config()}, lambda jobs: {"seed=0": BadInput("train.log: a link")})
    assert f"{tmp_path}/seed=0: train.log: a link\n" in capsys.readouterr().out


def test_whoever_looks_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert not RunDirectory(tmp_path / "run").is_locked
    assert not RunDirectory(tmp_path / "nowhere").is_locked
    assert list(tmp_path.rglob("*")) == [tmp_path / "run"]


def test_nothing_is_left_of_a_lock(tmp_path: Path) -> None:
    held = FolderLock(tmp_path / "run")
    assert held.take()
    assert stat.S_ISREG((tmp_path / "run" / LOCK).stat().st_mode)
    held.let_go()
    held.let_go()
    assert list((tmp_path / "run").iterdir()) == []


def test_where_the_system_locks_no_folders_the_file_is_enough(tmp_path: Path, monkeypatch) -> None:
    really = lock.lock_descriptor

    def files_alone(descriptor: int, *, blocking: bool) -> bool:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(9, "Bad file descriptor")  # what NFS says
        return really(descriptor, blocking=blocking)

    monkeypatch.setattr(lock, "lock_descriptor", files_alone)
    one, other = FolderLock(tmp_path), FolderLock(tmp_path)
    assert one.take()
    assert other.is_taken
    assert not other.take()
    one.let_go()
    assert not other.is_taken
    assert other.take()


@pytest.mark.parametrize("removes", [False, True])
def test_whoever_waits_gets_it_next_even_if_the_folder_was_removed(tmp_path: Path, removes: bool) -> None:
    one, other = FolderLock(tmp_path / "run"), FolderLock(tmp_path / "run")
    assert one.take()
    taken: list[bool] = []
    waiting = threading.Thread(target=lambda: taken.append(other.take(wait=True)), daemon=True)
    waiting.start()
    if removes:
        (one.folder / LOCK).unlink()
        one.folder.rmdir()
    one.let_go()
    waiting.join(HANG)
    assert taken == [True]
    assert FolderLock(tmp_path / "run").is_taken


def test_a_lock_that_is_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    assert not FolderLock(tmp_path).is_taken


def test_a_folder_that_goes_while_it_is_taken_is_made_again(tmp_path: Path, monkeypatch) -> None:
    folder, really, went = tmp_path / "run", os.open, list[str]()

    def opened(path: Path, *given: int, **more: int) -> int:
        if Path(path).name == LOCK and not went:  # another's run that never began is taken back just now
            went.append("once")
            shutil.rmtree(folder)
        return really(path, *given, **more)

    monkeypatch.setattr(lock.os, "open", opened)
    assert FolderLock(folder).take(wait=True)
    assert went
    assert FolderLock(folder).is_taken


def test_a_folder_that_goes_and_comes_back_while_it_is_taken_is_no_file(tmp_path: Path, monkeypatch) -> None:
    folder, really, went = tmp_path / "run", Path.is_dir, list[str]()
    folder.mkdir()

    def is_dir(path: Path) -> bool:
        if path != folder or went:
            return really(path)
        went.append("once")
        return False  # when mkdir looks what is in its way, another process has removed it, and a third one makes it

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert FolderLock(folder).take(wait=True)
    assert went


def denied(winerror: int, path: Path) -> PermissionError:
    error = PermissionError(errno.EACCES, "denied", str(path))
    error.winerror = winerror  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(("winerror", "times"), [(lock.SHARING, 3 * lock.LOOKS), (5, lock.LOOKS - 1)])
def test_what_windows_denies_for_a_moment_is_waited_for(tmp_path: Path, monkeypatch, winerror: int, times: int) -> None:
    really, left = os.open, [None] * times

    def opened(path: Path, *given: int, **more: int) -> int:
        if Path(path).name == LOCK and left:
            left.pop()
            raise denied(winerror, path)
        return really(path, *given, **more)

    monkeypatch.setattr(lock.os, "open", opened)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    assert FolderLock(tmp_path / "run").take(wait=True)
    assert not left


def test_what_windows_denies_for_good_is_not(tmp_path: Path, monkeypatch) -> None:
    def opened(path: Path, *given: int, **more: int) -> int:
        raise denied(5, path)

    monkeypatch.setattr(lock.os, "open", opened)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    with pytest.raises(PermissionError):
        FolderLock(tmp_path / "run").take(wait=True)


def test_a_run_that_never_began_takes_nothing_of_whoever_has_the_folder_next(tmp_path: Path, monkeypatch) -> None:
    really, locks = Path.unlink, lock.lock_descriptor
    ours, theirs = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")

    def files_alone(descriptor: int, *, blocking: bool) -> bool:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(9, "Bad file descriptor")  # what NFS says
        return locks(descriptor, blocking=blocking)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        really(path, missing_ok)
        if path.name == LOCK and not theirs.begun:
            assert theirs.lock()
            theirs.write_result({"status": "running"})

    monkeypatch.setattr(lock, "lock_descriptor", files_alone)
    assert ours.lock()
    monkeypatch.setattr(Path, "unlink", unlink)
    ours.remove()
    assert theirs.read_result() == {"status": "running"}
    assert theirs.is_locked


def test_a_run_that_never_began_is_taken_back_where_nothing_open_can_be_removed(tmp_path: Path, monkeypatch) -> None:
    really = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if str(path) in {os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()}:
            raise denied(lock.SHARING, path)
        really(path, missing_ok)

    run = RunDirectory.create(tmp_path / "run")
    monkeypatch.setattr(Path, "unlink", unlink)
    run.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_one_that_is_gone_cannot_be_made_and_nobody_waits_for_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError):
        FolderLock(Path("run")).take(wait=True)


def look_until(folder: Path, enough: EventType, answers: Connection) -> None:
    answers.send("begun")
    seen = 0
    while not enough.is_set():
        seen += FolderLock(folder).is_taken
    answers.send(seen)


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared looks", "as on Windows"])
def test_those_who_look_do_not_take_one_another_for_somebody_who_has_it(tmp_path: Path, monkeypatch, is_shared) -> None:
    """And whoever wants it gets it, while they look."""
    if not is_shared:
        monkeypatch.setattr(lock, "shared", None)
    (tmp_path / LOCK).touch()  # as after a kill
    fork = multiprocessing.get_context("fork")
    enough, pipes = fork.Event(), [fork.Pipe(duplex=False) for _ in range(4)]
    lookers = [fork.Process(target=look_until, args=(tmp_path, enough, there), daemon=True) for _, there in pipes]
    for looker in lookers:
        looker.start()
    assert [here.recv() for here, _ in pipes] == ["begun"] * 4
    assert [FolderLock(tmp_path).is_taken for _ in range(100)] == [False] * 100
    enough.set()
    assert [here.recv() for here, _ in pipes] == [0] * 4
    for looker in lookers:
        looker.join()


def test_somebody_who_looks_for_long_only_delays_whoever_wants_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / LOCK).touch()
    looks = os.open(tmp_path / LOCK, os.O_RDONLY)
    assert lock.shared
    assert lock.shared(looks)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3 * lock.LOOKS:
            os.close(looks)

    monkeypatch.setattr(lock.time, "sleep", pause)
    assert FolderLock(tmp_path).take()
    assert len(pauses) == 3 * lock.LOOKS


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_where_nothing_can_be_locked_a_line_says_so_and_nothing_is_left(tmp_path: Path, monkeypatch, number) -> None:
    def locks_nothing(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock, "lock_descriptor", locks_nothing)
    words = (
        rf"run: cannot be locked \({os.strerror(number)}\), as on some network and synchronised drives; set hydra.run"
    )
    with pytest.raises(BadInput, match=words):
        RunDirectory.create(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    sweep = Sweep("grid", {}, {}, [Job("seed=0", "baseline", {}, 0, ["seed=0"], 10, 1, 1)])
    with pytest.raises(BadInput, match=r"cannot be locked .*hydra.sweep.dir"):
        runner.run(sweep, tmp_path, {"seed=0": Config()}, lambda jobs: {})
    assert list(tmp_path.iterdir()) == []
