"""A run directory never lies."""

import errno
import json
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet.config import Config, Model
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.runs.files import host, remove_leftovers, write_atomically
from lenet.system.lock import LOCK


def test_runs_that_start_in_the_same_second_get_directories_of_their_own(tmp_path: Path) -> None:
    def start(number: int) -> str:
        run = RunDirectory.create(tmp_path / "runs/lenet/now")
        run.write_result({"number": number})
        return str(run.path)

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(start, range(16)))
    assert len(set(paths)) == 16
    for number, path in enumerate(paths):
        assert RunDirectory(path).read_result() == {"number": number}


def test_a_run_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(BadInput, match=r"runs.*cannot be made"):
        RunDirectory.create(tmp_path / "runs/lenet/now")


def test_a_run_that_never_began_takes_nothing_with_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    RunDirectory.create(tmp_path).remove()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    run = RunDirectory.create(tmp_path / "new")
    run.write_result({})
    run.remove()
    assert not run.path.exists()


def test_what_a_killed_process_left_is_removed_also_where_the_next_one_has_its_number(tmp_path: Path) -> None:
    (tmp_path / f".result.json.{os.getpid()}@{host()}.tmp").touch()  # in a container every start may have the same
    (tmp_path / f".evaluation.json.{os.getppid()}@{host()}.tmp").touch()  # being written by another
    assert RunDirectory(tmp_path).lock()
    assert [path.name for path in tmp_path.glob(".*.tmp")] == [f".evaluation.json.{os.getppid()}@{host()}.tmp"]


def test_what_another_computer_writes_in_a_folder_of_both_is_let_be_until_nobody_can_be_writing_it(
    tmp_path: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    files = [tmp_path / f".result.json.{gone.pid}{whose}.tmp" for whose in ("@another", "")]  # as it once was called
    for file in files:
        file.touch()
    assert RunDirectory(tmp_path).lock()
    assert all(file.exists() for file in files)
    for file in files:
        os.utime(file, (0, 0))
    remove_leftovers(tmp_path)
    assert not any(file.exists() for file in files)


def test_what_was_killed_before_it_had_a_config_is_to_be_started_again(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()  # whoever is not killed lets go of it
    with pytest.raises(
        BadInput, match=r"no run directory.* killed before it began, so give the command that started it"
    ):
        RunDirectory(tmp_path).read_config()


def test_only_a_run_that_has_saved_nothing_may_start_anew(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_result({"status": "running"})
    run.write_metrics([{"epoch": 1}])  # killed between an epoch's row and its checkpoint
    assert run.has_saved_nothing
    run.write_metrics([{"epoch": 1}, {"epoch": 2}])  # there must have been a checkpoint
    assert not run.has_saved_nothing
    run.write_metrics([{"epoch": 1}])
    run.write_result({"status": "completed"})
    assert not run.has_saved_nothing
    run.write_result({"status": "failed"})
    run.checkpoints.mkdir()
    run.best_checkpoint.touch()
    assert not run.has_saved_nothing


def test_the_log_takes_every_text_whatever_the_system(tmp_path: Path, monkeypatch) -> None:
    log = logging.getLogger("lenet")
    # pytest-xdist cannot pass on what pytest would keep of it, be it logged or, as a command logs, printed.
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [])
    with RunDirectory(tmp_path).log_file():
        log.warning("größe ± ✓ \udcff")
        (handler,) = [one for one in log.handlers if isinstance(one, logging.FileHandler)]
        assert handler.encoding == "utf-8"
    assert (tmp_path / "train.log").read_text(encoding="utf-8").endswith("größe ± ✓ \\udcff\n")


def test_a_file_that_is_being_replaced_is_read_a_moment_later(tmp_path: Path, monkeypatch) -> None:
    run, really, times = RunDirectory(tmp_path), Path.open, [5, 32]
    run.write_result({"status": "completed"})

    def opened(path: Path, *args: str) -> object:
        if times and path.name == "result.json":
            error = PermissionError(errno.EACCES, "denied", str(path))
            error.winerror = times.pop()  # type: ignore[attr-defined]
            raise error
        return really(path, *args)

    monkeypatch.setattr(Path, "open", opened)
    assert run.read_result() == {"status": "completed"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"status": "comp', b"[1, 2]", b"\xff\xfe", b"null"])
def test_a_result_that_is_not_whole_counts_as_unfinished(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    assert RunDirectory(tmp_path).read_result() is None


def test_a_config_is_read_back_as_it_was(tmp_path: Path) -> None:
    config = Config(name="x", model=Model(conv_channels=[3], kernel_size=[3], padding=1), threads=2)
    run = RunDirectory(tmp_path)
    run.write_config(config)
    assert run.read_config() == config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: a",
        "seed: 1\nmodel: {}",
        "seed: x",
        "unknown: 1",
        "model: {_target_: os.system}",
        "seed: [",
        "- 1\n- 2",
        "\0",
        "just words",
    ],
)
def test_a_config_from_a_stranger_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        RunDirectory(tmp_path).read_config()
    assert str(caught.value).startswith(f"{tmp_path}/config.yaml")
    assert "\n" not in str(caught.value)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_metrics_are_read_back_to_the_last_bit(tmp_path_factory, losses: list[float]) -> None:
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    rows = [{"epoch": epoch, "train/loss": loss} for epoch, loss in enumerate(losses, start=1)]
    run.write_metrics(rows)
    assert run.read_metrics() == rows


def fill_the_disk(folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write past the limit is an error, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_atomically(folder / "result.json", b"n" * 5000)
    except OSError as error:
        os._exit(0 if error.filename == str(folder / "result.json") else 1)
    os._exit(2)


def test_where_there_is_no_room_the_old_file_stays_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "result.json", b'{"status": "running"}')
    child = multiprocessing.get_context("fork").Process(target=fill_the_disk, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "result.json").read_text()) == {"status": "running"}
