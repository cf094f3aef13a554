"""What the machine has is asked of the system, and what the system does not say is never taken for absent."""

import ctypes
import os
import sys
from pathlib import Path

import psutil
import pytest

from lenet.system import machine

GB = 2**30


def system(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_free_memory_is_the_machines_where_nothing_bounds_it(tmp_path) -> None:
    assert 0 < machine.free_memory(tmp_path) <= psutil.virtual_memory().total
    assert machine.own_memory() > 0


FIRST = {
    "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/job/step\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096),
    "sys/fs/cgroup/memory/memory.usage_in_bytes": str(50 * GB),
    "sys/fs/cgroup/memory/memory.stat": "inactive_file 0\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(5 * GB),
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(4 * GB),
    "sys/fs/cgroup/memory/job/memory.stat": f"inactive_file 0\ntotal_inactive_file {GB}\n",
}
SECOND = {
    "proc/self/cgroup": "0::/job/step\n",
    "sys/fs/cgroup/job/memory.max": str(5 * GB),
    "sys/fs/cgroup/job/memory.current": str(4 * GB),
    "sys/fs/cgroup/job/memory.stat": f"inactive_file {GB}\n",
    "sys/fs/cgroup/job/step/memory.max": "max\n",
    "sys/fs/cgroup/job/step/memory.current": str(4 * GB),
}


@pytest.mark.parametrize("files", [FIRST, SECOND], ids=["version 1", "version 2"])
def test_a_control_group_bounds_the_memory_and_files_that_were_read_give_way(tmp_path, monkeypatch, files) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("", (), {"available": 99 * GB}))
    assert machine.free_memory(system(tmp_path, files)) == 2 * GB


def test_within_a_container_the_top_of_what_is_mounted_counts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("", (), {"available": 99 * GB}))
    files = {
        "proc/self/cgroup": "0::/of/the/machine\n",
        "sys/fs/cgroup/memory.max": str(3 * GB),
        "sys/fs/cgroup/memory.current": str(GB),
        "sys/fs/cgroup/memory.stat": "",
    }
    assert machine.free_memory(system(tmp_path, files)) == 2 * GB


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not known")
@pytest.mark.parametrize(
    ("file", "visible", "found"),
    [
        ("dev/null", None, 0),
        ("dev/nvme0", None, 0),  # a disk
        ("dev/nvidia0", None, None),
        ("dev/nvmap", None, None),
        ("dev/dxg", None, None),
        ("dev/kfd", "", None),
        ("dev/nvme0", "0", 0),
        ("dev/nvidia0", "", 0),
        ("dev/nvidia0", "-1", 0),
        ("dev/nvidia0", "0", 1),
        ("dev/nvidia0", "1,2", 2),
        ("dev/nvidia0", "1,-1,2", 1),
        ("dev/nvidia0", "GPU-12,MIG-3", 2),
    ],
)
def test_a_card_is_ruled_out_only_where_none_can_be(tmp_path, monkeypatch, file, visible, found) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert machine.most_gpus(system(tmp_path, {file: ""})) == found


def test_where_the_drivers_library_is_there_may_be_a_card(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    assert machine.most_gpus(tmp_path) is None


def test_an_accelerator_that_cannot_be_here_is_known_by_its_name(monkeypatch) -> None:
    monkeypatch.setattr(machine, "most_gpus", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.why_not("gpu") == "this machine has no GPU"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.why_not("gpu") == "CUDA_VISIBLE_DEVICES hides every GPU"
    monkeypatch.setattr(machine, "most_gpus", lambda: None)
    assert machine.why_not("gpu") is None
    monkeypatch.setattr(sys, "platform", "linux")
    assert machine.why_not("mps")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.why_not("mps") is None
    assert machine.why_not("cpu") is None
    assert machine.why_not("auto") is None


def test_a_folder_that_cannot_be_made_says_why(tmp_path) -> None:
    assert machine.unwritable(tmp_path / "a/b") is None
    (tmp_path / "file").touch()
    assert machine.unwritable(tmp_path / "file/a/b") == f"{tmp_path}/file is no folder"
    assert machine.unwritable(Path("a\0b")) is not None
    assert machine.unwritable(tmp_path / ("a" * 300)) == "File name too long"
