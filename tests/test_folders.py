"""A folder of somebody's pictures as a data set, and data sets whose SHA-256 nobody knows."""

import gzip
import hashlib
import io
import json
import os
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from conftest import ask, idx, script
from lenet.config import Config, Data, Model, Optimizer, Trainer
from lenet.data import download, pictures
from lenet.data.files import fetched, load
from lenet.datasets import DATASETS, check_classes, data_set
from lenet.errors import BadInput
from lenet.evaluation.load import load_trained
from lenet.folders import scan
from lenet.models.build import build_net
from lenet.models.sizes import size_of
from lenet.run import train


def draw(file: Path, seed: int = 0, size: tuple[int, int] = (28, 28)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Three classes of ten pictures each."""
    for label, name in enumerate(("bird", "cat", "dog")):
        for number in range(10):
            draw(tmp_path / "pets" / name / f"{number}.png", 10 * label + number, (20 + number, 30))
    return tmp_path / "pets"


def test_each_subfolder_is_a_class_and_every_seventh_picture_of_it_a_test_image(pets: Path) -> None:
    found = scan(str(pets))
    assert found.classes == ("bird", "cat", "dog")
    assert [(file.name, label) for file, label in found.test] == [("6.png", 0), ("6.png", 1), ("6.png", 2)]
    assert len(found.train) == 27
    assert not {file for file, _ in found.train} & {file for file, _ in found.test}


def test_which_images_are_test_images_depends_on_names_alone(pets: Path, tmp_path: Path) -> None:
    files = list(pets.rglob("*.png"))
    random.Random(1).shuffle(files)
    for file in files:  # made in another order, in another place
        draw(tmp_path / "copy" / file.relative_to(pets))

    def by_name(root: Path) -> list[tuple[str, int]]:
        return [(f"{file.relative_to(root)}", label) for file, label in scan(str(root)).test]

    assert by_name(tmp_path / "copy") == by_name(pets)


def test_pictures_are_opened_once_and_again_when_one_has_changed(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(pets)
    pictures.keep(root)
    before, _ = pictures.read(root, "train")
    assert before.shape == (27, 1, 28, 28)

    def forget() -> None:
        pictures._pixels.cache_clear()
        scan.cache_clear()

    def refuse(*_: object) -> None:
        raise AssertionError("it was opened")

    forget()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "picture", refuse)
        again, _ = pictures.read(root, "train")
    assert torch.equal(again, before)
    draw(pets / "cat" / "0.png", 99, (50, 50))
    forget()
    changed, _ = pictures.read(root, "train")
    assert not torch.equal(changed, before)


def test_what_somebody_else_has_put_there_for_the_tensors_is_not_taken_for_them(pets: Path) -> None:
    root = str(pets)
    (pets / pictures.KEPT).write_bytes(b"PK\x03\x04 no archive")
    assert pictures.read(root, "test")[0].shape == (3, 1, 28, 28)
    with (pets / pictures.KEPT).open("wb") as file:
        np.savez(file, mark=np.array(pictures._mark(root, scan(root))), train=np.zeros((1, 28, 28), np.uint8),
                 test=np.zeros((1, 28, 28), np.uint8))  # fmt: skip
    pictures._pixels.cache_clear()
    assert pictures.read(root, "test")[0].shape == (3, 1, 28, 28)


def npy(shape: str = "(1, 28, 28)", pixels: int = 784) -> bytes:
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(pixels)


@pytest.mark.parametrize("kind", ["too large a shape", "no shape", "encrypted", "compressed otherwise", "damaged"])
def test_a_file_that_means_harm_is_not_taken_for_the_tensors(pets: Path, kind: str) -> None:
    """What numpy and zipfile say of these: MemoryError, TokenError, RuntimeError, NotImplementedError, zlib.error."""
    root = str(pets)
    shape = {"too large a shape": f"({10**14},)", "no shape": "("}.get(kind, "(1, 28, 28)")
    mark = io.BytesIO()
    np.save(mark, np.array(pictures._mark(root, scan(root))))
    with zipfile.ZipFile(pets / pictures.KEPT, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mark.npy", mark.getvalue())
        for split in ("train", "test"):
            archive.writestr(f"{split}.npy", npy(shape))
    content = bytearray((pets / pictures.KEPT).read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)  # of train.npy, in the list at the end
    if kind == "encrypted":
        content[entry + 8] |= 1
    if kind == "compressed otherwise":
        content[entry + 10] = 99
    if kind == "damaged":
        start = content.index(b"train.npy") + len("train.npy")
        content[start : start + 4] = b"\xff\xff\xff\xff"
    (pets / pictures.KEPT).write_bytes(content)
    assert pictures.read(root, "test")[0].shape == (3, 1, 28, 28)


def test_a_picture_that_is_put_in_the_place_of_one_of_its_age_and_size_is_seen(pets: Path) -> None:
    def mark() -> str:
        scan.cache_clear()
        return pictures._mark(str(pets), scan(str(pets)))

    file = pets / "cat" / "0.png"
    content, known, before = file.read_bytes(), file.stat(), mark()
    assert mark() == before
    file.write_bytes(content[:-1] + b"?")
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert mark() != before


def test_a_link_to_nothing_among_the_pictures_is_named(pets: Path) -> None:
    (pets / "cat" / "gone.png").symlink_to(pets / "nowhere.png")
    with pytest.raises(BadInput, match=r"data\.root=.*gone\.png cannot be read \(No such file"):
        pictures.read(str(pets), "train")


@pytest.mark.real_data
def test_fashion_mnist_written_out_as_pictures_gives_its_numbers(real_root: str, tmp_path: Path, monkeypatch) -> None:
    """Of 600 training and 100 test images, whose files have their numbers for names."""
    files, root = {}, tmp_path / "pictures"
    for split, count in (("train", 600), ("test", 100)):
        images, labels = (part[:count] for part in load("fashion_mnist", real_root, split))
        files |= dict(zip(DATASETS["fashion_mnist"].files(split), (idx(images[:, 0]), idx(labels.byte())), strict=True))
        for number, (image, label) in enumerate(zip(images[:, 0].numpy(), labels.tolist(), strict=True)):
            file = root / split / str(label) / f"{number:05}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    few = tmp_path / "few"
    (few / DATASETS["fashion_mnist"].folder).mkdir(parents=True)
    for name, content in files.items():
        (few / DATASETS["fashion_mnist"].folder / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    small = replace(DATASETS["fashion_mnist"], sha256=sums, training_images=600, test_images=100)
    monkeypatch.setitem(DATASETS, "fashion_mnist", small)
    config = Config(model=Model(activation="tanh"), optimizer=Optimizer(lr=0.1), threads=1,
                    trainer=Trainer(max_epochs=2, accelerator="cpu", enable_progress_bar=False))  # fmt: skip
    metrics = {}
    for name, place in (("fashion_mnist", few), ("folder", root)):
        data = Data(name=name, root=str(place), batch_size=32)
        _, run = train(replace(config, data=data), tmp_path / f"run_{name}")
        metrics[name] = (run.path / "metrics.csv").read_bytes()
    assert metrics["folder"] == metrics["fashion_mnist"]


def letters(root: Path) -> Path:
    """26 classes that a net can tell: each is a bright spot in a place of its own."""
    for label in range(26):
        for number in range(14):
            pixels = np.random.default_rng(label * 100 + number).integers(0, 40, (28, 28), np.uint8)
            row, column = divmod(label, 6)
            pixels[3 + 4 * row : 7 + 4 * row, 2 + 4 * column : 6 + 4 * column] = 255
            file = root / chr(ord("a") + label) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return root


def test_twenty_six_classes_are_trained_evaluated_and_shown(tmp_path: Path) -> None:
    root = letters(tmp_path / "letters")
    words = ["data=folder", f"data.root={root}", "model=modern", "optimizer=adam", "optimizer.lr=0.003",
             "data.batch_size=16", "threads=1",
             "trainer.max_epochs=8", "trainer.accelerator=cpu", "hydra.run.dir=run"]  # fmt: skip
    done = script("train.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert json.loads((run / "result.json").read_text())["metrics"]["test/acc"] > 0.3  # chance is 0.04
    trained = load_trained(run)
    assert trained.config.data.classes == [chr(ord("a") + label) for label in range(26)]
    assert trained.model(torch.zeros(1, 1, 28, 28)).shape == (1, 26)
    assert script("evaluate.py", "run", cwd=tmp_path).returncode == 0
    figures = json.loads((run / "evaluation_folder_test_best.json").read_text())
    assert len(figures["confusion"]["images"]) == len(figures["confusion"]["images"][0]) == 26
    assert script("activations.py", "run", "--classes", "Q", "z", cwd=tmp_path).returncode == 0
    assert script("export.py", "run", "net.safetensors", cwd=tmp_path).returncode == 0
    root.rename(tmp_path / "elsewhere")
    draw(tmp_path / "mine.png")
    said = script("activations.py", "net.safetensors", "--image", "mine.png", cwd=tmp_path)
    assert said.returncode == 0, said.stderr  # a net is looked at where its pictures are not
    refused = script("evaluate.py", "run", "--data", "mnist", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--data mnist: has 10 classes, and this net knows 26" in refused.stderr


def test_a_folder_that_has_other_classes_than_its_run_is_refused(pets: Path) -> None:
    with pytest.raises(BadInput, match=r"^data\.classes=\[cat,dog\]: .*pets has bird, cat, dog; name the folder"):
        check_classes(Data(name="folder", root=str(pets), classes=["cat", "dog"]))


def one_class(root: Path) -> None:
    draw(root / "cat/1.png")


def no_picture(root: Path) -> None:
    draw(root / "cat/1.png")
    (root / "dog").mkdir()


def not_a_picture(root: Path) -> None:
    draw(root / "cat/1.png")
    draw(root / "dog/1.png")
    (root / "dog/notes.txt").write_text("words")


def differ_in_case(root: Path) -> None:
    draw(root / "cat/1.png")
    draw(root / "Cat/1.png")


def beside_the_classes(root: Path) -> None:
    draw(root / "cat/1.png")
    draw(root / "dog/1.png")
    draw(root / "1.png")


def few_pictures(root: Path) -> None:
    draw(root / "cat/1.png")
    draw(root / "dog/1.png")


def one_split_has_another_class(root: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "test/cow"):
        draw(root / name / "1.png")


def validation_images(root: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "test/dog", "val/cat"):
        draw(root / name / "1.png")


def a_folder_in_a_class(root: Path) -> None:
    draw(root / "cat/1.png")
    draw(root / "dog/small/1.png")


def damaged(root: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(7):
            draw(root / name / f"{number}.png")
    (root / "dog/3.png").write_bytes((root / "dog/3.png").read_bytes()[:60])


BAD_FOLDERS = {
    one_class: "mine has one class (cat)",
    no_picture: "dog has no picture",
    not_a_picture: "dog/notes.txt is no picture",
    differ_in_case: "differ in case alone",
    beside_the_classes: "1.png is in no class",
    few_pictures: "cat has 1 picture, and every 7th",
    one_split_has_another_class: "cow is in one of train and test alone",
    validation_images: "has val beside train and test",
    a_folder_in_a_class: "dog/small is a folder",
    damaged: "dog/3.png: ",
}


@pytest.mark.parametrize(("lay", "words"), BAD_FOLDERS.items(), ids=lambda case: getattr(case, "__name__", ""))
def test_a_folder_that_cannot_be_used_gets_one_line_and_nothing_is_written(tmp_path, lay, words) -> None:
    (tmp_path / "mine").mkdir()
    lay(tmp_path / "mine")
    if lay is differ_in_case and len(list((tmp_path / "mine").iterdir())) < 2:
        pytest.skip("this system sees no case")
    before = sorted(tmp_path.rglob("*"))
    imports = ("lenet.cli", "lenet.run") if lay is damaged else ("lenet.cli",)
    (answer,) = ask([("train.py", ["data=folder", "data.root=mine"], tmp_path)], imports)
    assert answer["code"] == 2, answer["said"]
    assert answer["said"].count("\n") == 1, answer["said"]
    assert "data.root" in answer["said"]
    assert words in answer["said"]
    assert answer["torch"] == (lay is damaged)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: no such folder; name one that has a subfolder"):
        data_set(Data(name="folder", root=str(tmp_path / "nowhere")))


# KMNIST and EMNIST: their mirrors are asked as in life, but serve files of the same form with few images.
FEW = {"train": 40, "test": 20}


def small_files(name: str) -> dict[str, bytes]:
    known, generator = DATASETS[name], torch.Generator().manual_seed(0)
    files = {}
    for split, count in FEW.items():
        images = torch.randint(0, 256, (count, 28, 28), generator=generator, dtype=torch.uint8)
        labels = torch.arange(count, dtype=torch.uint8) % len(known.classes) + known.first_label
        files |= dict(zip(known.files(split), (idx(images), idx(labels)), strict=True))
    return files


@pytest.fixture(params=["kmnist", "emnist_letters", "emnist_digits"])
def served(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, bytes], Path]:
    """The name of a data set, its files, and what is served of them."""
    name = request.param
    files, place = small_files(name), tmp_path / "mirror"
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], training_images=FEW["train"], test_images=FEW["test"]))
    place.mkdir()
    theirs = getattr(torchvision.datasets, DATASETS[name].torchvision)
    packed = {f"{file}.gz": gzip.compress(content, mtime=0) for file, content in files.items()}
    if name == "kmnist":
        for file, content in packed.items():
            (place / file).write_bytes(content)
        monkeypatch.setattr(theirs, "mirrors", [f"{place.as_uri()}/"])
        monkeypatch.setattr(theirs, "resources", [(f, hashlib.md5(c).hexdigest()) for f, c in packed.items()])
    else:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as content:
            for file, packed_content in packed.items():
                content.writestr(f"gzip/{file}", packed_content)
        (place / "gzip.zip").write_bytes(archive.getvalue())
        monkeypatch.setattr(theirs, "url", f"{place.as_uri()}/gzip.zip")
        monkeypatch.setattr(theirs, "md5", hashlib.md5(archive.getvalue()).hexdigest())
    for cached in (load, fetched):
        cached.cache_clear()
    return name, files, place


def test_what_the_mirrors_have_is_checked_unpacked_and_read(served, tmp_path: Path) -> None:
    name, files, _ = served
    root = str(tmp_path / "data")
    folder = download.fetch(name, root)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    images, labels = load(name, root, "train")
    assert images.shape == (FEW["train"], 1, 28, 28)
    assert labels.min() == 0, "letters are counted from 1 in their files"
    stored = np.frombuffer(files[DATASETS[name].files("train")[0]], np.uint8)[16:].reshape(-1, 28, 28)
    upright = stored.swapaxes(1, 2) if name.startswith("emnist") else stored
    assert np.array_equal(images[:, 0].numpy(), upright), "EMNIST's images lie on their side in their files"


def test_a_file_that_is_another_than_torchvision_knows_is_not_taken(served, tmp_path: Path) -> None:
    name, _, place = served
    for file in place.iterdir():
        file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(BadInput, match=f"the files of {name} are not there") as caught:
        download.fetch(name, tmp_path / "data")
    assert "the MD5 " in str(caught.value)
    assert not (tmp_path / "data" / DATASETS[name].folder).exists()


def test_what_lies_there_has_to_have_the_size_that_it_should(served, tmp_path: Path) -> None:
    name, _, _ = served
    folder = download.fetch(name, tmp_path / "data")
    file = folder / DATASETS[name].files("test")[0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadInput, match="truncated"):
        download.fetch(name, tmp_path / "data")


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_net_with_as_many_outputs_and_a_file_to_choose_it(name: str) -> None:
    config = Config(data=Data(name=name))
    known = DATASETS[name]
    assert len(set(known.classes)) == len(known.classes)
    assert set(known.pair) <= set(known.classes)
    net = build_net(config)
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, len(known.classes))
    assert sum(p.numel() for p in net.parameters()) == size_of(config)[0]
    assert (Path(__file__).parents[1] / f"conf/data/{name}.yaml").exists()
