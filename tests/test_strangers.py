"""A run directory from somebody else: nothing outside it is changed, and nothing in it holds anybody up."""

import copy
import os
import runpy
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from conftest import PROJECT
from lenet.cli import compose
from lenet.config import Config, Model
from lenet.dashboard.events import read_events
from lenet.data.prepare import drawing
from lenet.datasets import DATASETS
from lenet.errors import BadInput
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.examples import chosen
from lenet.evaluation.load import export, load_trained
from lenet.evaluation.weights import Weights, read, write
from lenet.job import train_job
from lenet.models.build import build_net
from lenet.run import train
from lenet.runs.directory import FOLDERS, RunDirectory
from lenet.runs.files import host, remove_leftovers, write_atomically
from lenet.sweeps.design import Sweep
from lenet.sweeps.directory import check_directory

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strangers") / "run"


@pytest.fixture
def run(tiny_config: Config, tmp_path: Path, trained_once: Path) -> RunDirectory:
    """A copy of a run that is over, of two epochs."""
    if not trained_once.exists():
        train(tiny_config, trained_once)
    shutil.copytree(trained_once, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def longer(config: Config, run: RunDirectory) -> Config:
    return replace(config, resume=str(run.path), trainer=replace(config.trainer, max_epochs=3))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OURS = ["train.log", "checkpoints", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "config.yaml", "result.json",
        "metrics.csv", "events", "00000", ".lock", "loggers.json", "csv", "wandb"]  # fmt: skip


def path_of(run: RunDirectory, name: str) -> Path:
    return run.event_files[0] if name == "events" else run.path / name


@pytest.mark.parametrize("name", OURS)
def test_a_run_with_a_link_out_of_it_is_not_gone_on_with(tiny_config, run, tmp_path, name) -> None:
    path, elsewhere = path_of(run, name), tmp_path / "elsewhere"
    if path.exists():
        path.rename(elsewhere)
    path.symlink_to(elsewhere)  # which may lead nowhere
    before = everything_in(tmp_path)
    for go_on in (
        lambda: train(longer(tiny_config, run), run.path),
        lambda: train_job(longer(tiny_config, run), run.path, []),
        lambda: compose.resumed_config(str(run.path), ["trainer.max_epochs=3"]),
        lambda: RunDirectory.create(run.path),
    ):
        with pytest.raises(BadInput, match=rf"{path.name}: a link to {elsewhere}.*put a copy in its place") as caught:
            go_on()
        assert "\n" not in str(caught.value)
    assert everything_in(tmp_path) == before
    assert path.is_symlink()


def test_a_link_to_a_whole_run_and_a_link_within_one_are_followed(tiny_config, run, tmp_path) -> None:
    (tmp_path / "link").symlink_to(run.path)
    (run.path / "mine").symlink_to(tmp_path)
    run.best_checkpoint.rename(run.checkpoints / "epoch2.ckpt")
    run.best_checkpoint.symlink_to("epoch2.ckpt")
    linked = RunDirectory(tmp_path / "link")
    assert train(longer(tiny_config, linked), linked.path)[0]["epochs"] == 3


def test_a_job_whose_folder_is_a_link_out_of_the_sweep_is_not_begun(tiny_config, run, tmp_path) -> None:
    (run.path / "result.json").unlink()  # so that a job would start again there
    job = tmp_path / "sweep/baseline"
    job.parent.mkdir()
    job.symlink_to("../run")
    before = everything_in(tmp_path)
    sweep = Sweep("grid", {}, {}, [])
    for begin in (
        lambda: check_directory(job.parent, {"baseline": tiny_config}, sweep),
        lambda: train_job(tiny_config, job, []),
    ):
        with pytest.raises(BadInput, match=r"sweep/baseline: a link to \.\./run, .*put a copy in its place") as caught:
            begin()
        assert "\n" not in str(caught.value)
    assert everything_in(tmp_path) == before


def test_a_sweep_in_a_place_that_is_named_by_a_link_goes(tiny_config, tmp_path) -> None:
    (tmp_path / "disk/job").mkdir(parents=True)
    (tmp_path / "sweep").symlink_to("disk")
    (tmp_path / "disk/another").symlink_to("job")
    for name in ("job", "another"):
        check_directory(tmp_path / "sweep", {name: tiny_config}, Sweep("grid", {}, {}, []))
    assert train_job(tiny_config, tmp_path / "sweep/another", [])["status"] == "completed"


@pytest.mark.parametrize("name", [name for name in OURS if name != "events"])
@pytest.mark.parametrize("kind", ["pipe", "other"])
def test_a_run_with_something_else_for_a_file_is_refused_without_waiting(tiny_config, run, name, kind) -> None:
    path = path_of(run, name)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif name in FOLDERS:
        path.touch()
    else:
        path.mkdir()
    for go_on in (
        lambda: train(longer(tiny_config, run), run.path),
        lambda: train_job(longer(tiny_config, run), run.path, []),
    ):
        with pytest.raises(BadInput, match=rf"{path}: no (folder|regular file), .*; remove it"):
            go_on()


def record(content: bytes, length: int | None = None) -> bytes:
    """A record of an event file, whose checksums are right; `length` is what it claims to have."""
    size = struct.pack("<Q", len(content) if length is None else length)
    sums = (struct.pack("<I", masked_crc32c(part)) for part in (size, content))
    return size + next(sums) + content + next(sums)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.unlink()
        make(file)

    return change


STRANGE_EVENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (instead(Path.mkdir), "no regular file"),
    "a pipe": (instead(os.mkfifo), "no regular file"),
    "garbage with a checksum": (lambda file: file.write_bytes(record(b"\xff" * 20) + file.read_bytes()), "parsing"),
    "a record of a terabyte": (lambda file: file.write_bytes(record(b"", 2**40)), ""),
    "that with its terabyte": (
        lambda file: (file.write_bytes(record(b"", 2**40)), os.truncate(file, 2**40 + 100)), ""
    ),
    "nothing but holes": (lambda file: os.truncate(file, 2**40), ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE_EVENTS)
def test_a_run_goes_on_from_its_metrics_where_its_events_cannot_be_read(tiny_config, run, caplog, kind) -> None:
    change, words = STRANGE_EVENTS[kind]
    (file,) = run.event_files
    change(file)
    caplog.clear()
    result, _ = train(longer(tiny_config, run), run.path)
    assert (result["status"], result["epochs"]) == ("completed", 3)
    said = [message for message in caplog.messages if "event file" in message]
    assert len(said) == (1 if words else 0)  # one that was cut off says nothing
    assert all(words in message and "metrics.csv" in message and "\n" not in message for message in said)
    events = [file for file in run.event_files if file.is_file()]
    assert len(events) == 1
    found = {event.step: value.simple_value for event in read_events(events) for value in event.summary.value
             if value.tag == "val/acc"}  # fmt: skip
    assert found == pytest.approx({row["epoch"]: row["val/acc"] for row in run.read_metrics()})


def test_a_job_that_starts_again_does_so_beside_a_folder_called_like_an_event_file(tiny_config, run) -> None:
    instead(Path.mkdir)(run.event_files[0])
    shutil.rmtree(run.checkpoints)
    (run.path / "result.json").unlink()
    assert train_job(tiny_config, run.path, [])["status"] == "completed"


def test_a_file_is_written_in_the_place_of_a_link_and_not_through_it(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "result.json").symlink_to("target")
    (tmp_path / f".result.json.{os.getpid()}@{host()}.tmp").symlink_to("target")  # guessed
    write_atomically(tmp_path / "result.json", b"ours")
    assert (tmp_path / "result.json").read_text() == "ours"
    assert (tmp_path / "target").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "target"]


@pytest.mark.parametrize("pid", ["99999999999999999999", "4194305", "words"])
def test_leftovers_that_no_process_of_ours_left_are_no_trouble(tmp_path: Path, pid: str) -> None:
    (tmp_path / f".x.{pid}@{host()}.tmp").mkdir()
    remove_leftovers(tmp_path)


def elsewhere(run: RunDirectory, root: Path) -> RunDirectory:
    """The same run with another data.root in its config."""
    config = run.read_config()
    run.write_config(replace(config, data=replace(config.data, root=str(root))))
    return run


def test_what_a_strangers_config_names_for_the_data_is_read_and_never_made(tiny_config, run, tmp_path) -> None:
    trained = load_trained(elsewhere(run, tmp_path / "theirs/data").path)
    words = r"theirs/data: train-images-idx3-ubyte of fashion_mnist is not there.*--data-root"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=words) as caught:
        evaluate(trained)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=words):
        chosen(trained.config.data, ["coat"], only_there=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert evaluate(trained, root=tiny_config.data.root).accuracy > 0
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/data").symlink_to(tiny_config.data.root)
    assert evaluate(trained) == evaluate(trained, root=tiny_config.data.root)


@pytest.mark.parametrize("name", ["activations", "evaluate"])
def test_a_picture_takes_the_place_of_a_link_and_leaves_its_target(run, tmp_path, monkeypatch, capsys, name) -> None:
    evaluation = run.path / "evaluation_fashion_mnist_test_best"
    written = [run.path / "activations.png"] if name == "activations" else [
        evaluation.with_suffix(".json"), evaluation.with_suffix(".png")
    ]  # fmt: skip
    (tmp_path / "theirs").write_text("not to be touched")
    for path in written:
        path.symlink_to(tmp_path / "theirs")
    monkeypatch.setattr("sys.argv", [name, str(run.path)])
    runpy.run_path(str(PROJECT / f"scripts/{name}.py"))["main"]()
    assert all(str(path) in capsys.readouterr().out for path in written[:1])
    assert (tmp_path / "theirs").read_text() == "not to be touched"
    assert not any(path.is_symlink() for path in written)
    assert written[-1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("given", ["default", "by hand"])
def test_a_folder_of_ones_own_is_filled(run, tmp_path, monkeypatch, given) -> None:
    root, asked = tmp_path / "own", list[str]()
    monkeypatch.setenv("LENET_DATA", str(root if given == "default" else tmp_path / "another"))
    monkeypatch.setattr("lenet.data.download._fetch_into", lambda folder, *_: asked.append(str(folder)))
    trained = load_trained(elsewhere(run, root if given == "default" else tmp_path / "theirs").path)
    with pytest.raises(BadInput, match="cannot be read"):  # as nothing has been fetched after all
        evaluate(trained, root=None if given == "default" else str(root))
    assert asked == [str(root / DATASETS["fashion_mnist"].folder)]


def test_a_picture_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "picture.png")
    with pytest.raises(BadInput, match=r"picture.png: cannot be read \(no regular file\)"):
        drawing(tmp_path / "picture.png", None)


def test_weights_of_another_net_are_found_before_the_net_is_built(tiny_config, run, tmp_path, monkeypatch) -> None:
    export(load_trained(run.path), tmp_path / "net.safetensors")
    content = read(tmp_path / "net.safetensors")
    huge = replace(content.config, model=replace(content.config.model, conv_channels=[2, 90], fc_sizes=[20_000]))
    write(replace(content, config=huge), tmp_path / "net.safetensors")
    run.write_config(replace(run.read_config(), model=huge.model))

    def build(*_: object) -> None:
        raise AssertionError("it was built")

    monkeypatch.setattr("lenet.evaluation.load.Classifier", build)
    for path, words in ((tmp_path / "net.safetensors", "not a file of weights of ours"), (run.path, "another net")):
        with pytest.raises(BadInput, match=rf"{words} .*another net.c3.weight"):
            load_trained(path)


def test_a_small_net_whose_maps_fill_the_memory_is_refused_where_it_is_not_there(
    tiny_config, run, tmp_path, monkeypatch
) -> None:
    model = Model(conv_channels=[1] * 7, kernel_size=5, padding=[300, *[2] * 6], fc_sizes=[])
    content = Weights(
        replace(tiny_config, model=model), run.read_result(), "best", build_net(Config(model=model)).state_dict()
    )
    write(content, tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size < 10_000
    monkeypatch.setattr("lenet.evaluation.load.free_memory", lambda: 2_000_000_000)
    with pytest.raises(
        BadInput, match=r"model.padding=\[300, .* 1,000 images in this net take 3.1 GB, and 2.0 GB are free"
    ):
        evaluate(load_trained(tmp_path / "net.safetensors"), root=tiny_config.data.root)


def test_a_checkpoint_with_more_bytes_than_its_net_can_fill_is_not_read(run: RunDirectory) -> None:
    os.truncate(run.best_checkpoint, 2**40)
    with pytest.raises(BadInput, match=r"best\.ckpt: not a whole checkpoint"):
        load_trained(run.path)


def test_a_checkpoint_whose_parts_share_their_bytes_is_not_read(run: RunDirectory) -> None:
    """A small file would become as many times as large in memory."""
    with zipfile.ZipFile(run.best_checkpoint, "a") as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        for number in range(100):
            another = copy.copy(largest)
            another.filename = f"{largest.filename}{number}"
            archive.filelist.append(another)
        archive._didModify = True  # so that the table is written
    with pytest.raises(BadInput, match=r"best\.ckpt: not a whole checkpoint"):
        load_trained(run.path)


def test_a_result_with_more_bytes_than_any_of_ours_is_named_before_a_run_goes_on(run: RunDirectory) -> None:
    (run.path / "result.json").write_text("[" + "[]," * 400_000 + "[]]")
    assert run.read_result() is None
    with pytest.raises(BadInput, match=r"run/result\.json: more than 1,048,576 bytes, .*; remove it"):
        compose.resumed_config(str(run.path), ["trainer.max_epochs=3"])
