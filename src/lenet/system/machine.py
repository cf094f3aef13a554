"""What this machine has: cores, memory, places to write, graphics cards. It asks the system and imports no torch.

Wherever the system does not say, the answer is the larger one: what is refused because of it is certainly not there.
"""

import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

# Linux has at least one of these where a program can reach a graphics card: NVIDIA's, those of its small computers,
# AMD's, and what Windows hands on to the Linux inside it.
CARDS = ("nvidia*", "nvhost*", "nvmap", "kfd", "dxg")


# Characters of a whole path that Windows takes, unless its settings were changed.
LONGEST_PATH = 259 if sys.platform == "win32" else None


THREADS_PER_CORE = 4  # a bound that nobody meets who means it


def cores() -> int:
    """The cores that this process may use: the affinity mask's, where there is one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process could still take without anything being swapped out.

    Args:
        root: where the system's files lie.
    """
    return max(0, min([psutil.virtual_memory().available, *_left_by_groups(root)]))


def own_memory() -> int:
    """Bytes of memory that this process has, which it may hand on from one run to its next."""
    return int(psutil.Process().memory_info().rss)


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each of the control groups that this process is in leaves it, where Linux bounds their memory."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):  # the first version
                yield from _left(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
            elif not controllers:
                yield from _left(root / "sys/fs/cgroup", path, "memory.max", "memory.current")


def _left(mounted: Path, path: str, limit: str, used: str) -> Iterator[int]:
    group = mounted / path.lstrip("/")
    # Within a container the path may be that of the machine, and then only the top of what is mounted is there.
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # also where the limit is the word max
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            # Files that were read or written are counted as used, and give way to whoever needs memory.
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield left + int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
        if folder == mounted:
            return


def free_disk(folder: Path) -> int | None:
    """Bytes that may still be written to `folder`, which may have to be made first; None where it is not known."""
    for path in (folder, *folder.parents):
        with suppress(OSError, ValueError):
            usage = shutil.disk_usage(path)
            return usage.free if usage.total else None  # of some network drives nothing is known
    return None


def most_gpus(root: Path = Path("/")) -> int | None:
    """How many graphics cards torch can find at most; None where that is not known."""
    if sys.platform == "linux" and not any(list((root / "dev").glob(name)) for name in CARDS):
        try:
            ctypes.CDLL("libcuda.so.1")  # torch's way to NVIDIA's cards; somebody may have put one there
        except OSError:
            return 0
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
    if cuda is None or sys.platform == "darwin" or (root / "dev/kfd").exists():
        return None
    # CUDA takes the cards up to the first that is no number and no name.
    names = [name.strip() for name in cuda.split(",")]
    bad = [position for position, name in enumerate(names) if not re.match(r"\+?\d|GPU-|MIG-", name)]
    return bad[0] if bad else len(names)


def why_not(accelerator: str) -> str | None:
    """Why this machine certainly has no such accelerator, as the Trainer calls them; None where it may have one."""
    if accelerator == "gpu" and most_gpus() == 0:
        if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
            return "CUDA_VISIBLE_DEVICES hides every GPU"
        return "this machine has no GPU"
    if accelerator == "mps" and sys.platform != "darwin":
        return "only Macs have it"
    if accelerator == "tpu" and find_spec("torch_xla") is None:
        return "torch_xla, which computes on one, is not installed"
    return None


def unwritable(folder: Path) -> str | None:
    """Why no file can be made in `folder`, which may have to be made first; None where nothing is known against it."""
    for path in (folder, *folder.parents):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # it would be made, in the one above it
        except (OSError, ValueError) as error:  # a name that is too long, or has a null byte
            return getattr(error, "strerror", None) or str(error)
        if not path.is_dir():
            return f"{path} is no folder"
        if not os.access(path, os.W_OK | os.X_OK):
            read_only = hasattr(os, "statvfs") and os.statvfs(path).f_flag & getattr(os, "ST_RDONLY", 0)
            return f"{path}: {os.strerror(errno.EROFS if read_only else errno.EACCES)}"
        return None
    return None
