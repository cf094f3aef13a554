"""`import lenet`: what Python and notebooks get, and docs/api.md: uv run pytest tests/test_api.py --write-docs"""

import doctest
import functools
import inspect
import io
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

import lenet
import lenet.api.run
import lenet.run
from conftest import PROJECT, same_run, script
from lenet.api.spoken import as_python
from lenet.cli import usage
from lenet.cli.commands import IS_COMMAND
from lenet.cli.words import as_words, wanted, whole_key
from lenet.config import Config
from lenet.data.files import load
from lenet.errors import BadInput, Diverged, Interrupted, TimeUp
from lenet.evaluation.curves import as_text
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.load import load_trained
from lenet.run import train
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Sweep
from lenet.sweeps.report import plain, report
from lenet.training import callbacks

PAGE = PROJECT / "docs/api.md"
HEAD = """# From Python and notebooks

`import lenet` does what the commands do, by the same functions. Checks, files and numbers are the same to the last bit.
Words choose from the files of `conf/`, so lenet has to be installed from its source tree, as `uv run` does it.

In a notebook pictures, plots and tables show themselves, and a bar shows how far an epoch is. The stop button leaves a
run that can go on. What the command line would refuse is refused by the same line, as a `lenet.BadInput`; a notebook
shows that line alone. Where its remedy is a command, Python names the call that does the same.

Made from the docstrings by `uv run pytest tests/test_api.py --write-docs`, which also runs the examples.
"""

TINY = ["model.conv_channels=[2,3]", "model.fc_sizes=[12]", "model.activation=tanh", "optimizer.lr=0.1",
        "data.batch_size=32", "trainer.max_epochs=2", "trainer.accelerator=cpu", "threads=1"]  # fmt: skip


@pytest.fixture
def run(tiny_config: Config, tmp_path: Path) -> lenet.Run:
    return lenet.load(train(tiny_config, tmp_path / "run")[1].path)


def test_importing_it_imports_nothing_and_what_needs_no_net_no_torch() -> None:
    asked = """
import sys
import lenet
assert not {"torch", "hydra", "pandas", "numpy"} & set(sys.modules), "at import"
assert set(lenet.__all__) <= set(dir(lenet))
lenet.summary("model.pool=max")
lenet.load("docs/weights/improved.safetensors").config
for wrong in (lenet.train, lenet.summary):
    try:
        wrong("model.pol=max")
    except lenet.api.run.BadInput as error:
        assert "did you mean model.pool?" in str(error)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", asked], cwd=PROJECT, check=True)


def refused() -> Iterator[tuple[list[str], str]]:
    """The words of single runs in docs/bad_input.md, and what is said to them before the machine is asked."""
    page = (PROJECT / "docs/bad_input.md").read_text(encoding="utf-8").partition("## Configs")[2].partition("\n## ")[0]
    for given, said in re.findall(r"^\| `train\.py (.*?)` \| error: (.*?) \| 2 \|$", page, re.M):
        try:
            words = shlex.split(given)
        except ValueError:  # a quote that the word itself has
            continue
        if not {"\\", "'"} & set(given) and not any(word.startswith(("-", "sweep=", "search=")) for word in words):
            yield words, said


def test_each_bad_word_gives_the_very_line_of_the_command_line(
    in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lenet.run.train", lambda *_: pytest.fail("it is trained"))
    cases = list(refused())[::5]  # all of them take twenty seconds
    assert len(cases) > 20
    for words, said in cases:
        with pytest.raises(BadInput) as caught:
            lenet.train(*words)
        assert str(caught.value).splitlines()[0].replace("|", "\\|") == as_python(said), words
    assert not any(in_empty_folder.iterdir())


@pytest.mark.real_data
def test_the_same_bits_as_the_command_line(
    real_root: str, in_empty_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    few = [f"trainer.limit_{part}_batches=3" for part in ("train", "val", "test")]
    words = [*TINY, *few, f"data.root={real_root}"]
    ours = lenet.train(*words, "hydra.run.dir=ours")
    assert capsys.readouterr().out.splitlines()[-1] == str(in_empty_folder / "ours")
    done = script("train.py", *words, "hydra.run.dir=theirs", cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    theirs = lenet.load("theirs")
    same_run(RunDirectory(ours.path), RunDirectory(theirs.path))
    assert ours.config == theirs.config
    assert ours.result["overrides"] == theirs.result["overrides"] == words


@pytest.mark.parametrize(
    ("given", "keys", "words"),
    [
        ([], {"max_epochs": 2, "lr": 0.1}, ["trainer.max_epochs=2", "optimizer.lr=0.1"]),
        (["model.pool=max"], {"seed": np.int64(3)}, ["model.pool=max", "seed=3"]),
        ([{"model.pool": "max"}], {}, ["model.pool=max"]),
        ([], {"model": {"pool": "max", "conv_channels": (4, 8)}}, ["model.pool=max", "model.conv_channels=[4,8]"]),
        ([], {"model": "modern", "experiment": "book"}, ["model=modern", "experiment=book"]),
        ([], {"shuffle": False, "threads": None}, ["data.shuffle=false", "threads=null"]),
        (
            [],
            {"conv_channels": np.array([4, 8]), "lr": np.float32(0.1)},
            ["model.conv_channels=[4,8]", "optimizer.lr=0.1"],
        ),
        ([], {"tags": ["a b", "it's", "null"]}, ["tags=['a b','it\\'s','null']"]),
        ([], {"root": Path("a,b")}, ["data.root='a,b'"]),
    ],
)
def test_keys_are_words(given: list[Any], keys: dict[str, Any], words: list[str]) -> None:
    asked = wanted(given, keys)
    assert asked.words == words
    assert asked.config == wanted(words, {}).config


def test_levels_of_a_sweep_may_be_arrays() -> None:
    for levels, words in (
        (np.array(["avg", "max"]), ["model.pool=avg,max"]),
        (torch.tensor([0.1, 0.5]), ["model.pool=0.1,0.5"]),
        (np.arange(0.1, 0.45, 0.1), ["model.pool=0.1,0.2,0.3,0.4"]),
        (np.linspace(0, 1, 4), [f"model.pool=0.0,{1 / 3},{2 / 3},1.0"]),
        ([np.float64(0.3), np.int64(2)], ["model.pool=0.3,2"]),
        (np.array(1), ["model.pool=1"]),
    ):
        assert as_words([], {"pool": levels}, sweeps=True) == words
    channels = np.array([[6, 16], [12, 32]])
    assert as_words([], {"conv_channels": channels}, sweeps=True) == ["model.conv_channels=[6,16],[12,32]"]
    assert as_words([], {"conv_channels": channels[0]}, sweeps=True) == ["model.conv_channels=[6,16]"]


@pytest.mark.parametrize("text", ["it's", "a\\", "a\\'", "${x", "$", "1e3", "null", "a=b", "[a]", " a ", "ä", "a:b"])
def test_a_text_comes_as_it_is(text: str) -> None:
    if "${" in text:
        with pytest.raises(BadInput):
            wanted([], {"tags": [text]})
    else:
        assert [str(tag) for tag in wanted([], {"tags": [text]}).config.tags] == [text]


def test_a_short_name_is_a_key_only_where_it_can_be_no_other() -> None:
    assert whole_key("max_epochs") == "trainer.max_epochs"
    assert whole_key("name") == "name"  # and not model.name, loss.name, ...
    for word in ("epochs", "learning_rate", "monitor", "new"):  # of which the first three are asked back
        assert whole_key(word) == word
        with pytest.raises(BadInput, match=f"{word}: no such key"):
            lenet.train(**{word: 1})


def test_a_config_is_taken_with_other_values_and_stays_as_it_was() -> None:
    config = Config(seed=3)
    asked = wanted([config, "model.pool=max"], {"max_epochs": 2, "conv_channels": [4, 8]})
    assert (asked.config.seed, asked.config.model.pool, asked.config.trainer.max_epochs) == (3, "max", 2)
    assert asked.config.model.conv_channels == [4, 8]
    assert config == Config(seed=3)


@pytest.mark.parametrize(
    ("given", "keys", "said"),
    [
        ([Config(seed=-1)], {}, "seed=-1: give an integer from 0 to 4294967295"),
        ([Config(seed="x")], {}, "seed=x: give an integer"),  # type: ignore[arg-type]
        ([Config()], {"lrr": 1}, "lrr: no such key; did you mean optimizer.lr?"),
        ([Config()], {"data": "mnist"}, "a Config has single keys; write data.name=mnist"),
        (
            [Config()],
            {"model": "modern"},
            "model=modern: chooses a file of conf/, and a Config has single keys",
        ),
        ([3], {}, "3: no word"),
        ([], {"tags": {3}}, "tags={3}: give a number, a text"),
        ([], {"callbacks": print}, "callbacks=<built-in function print>: give a list of Lightning callbacks"),
        ([], {"callbacks": ["x"]}, "callbacks=['x']: give a list of Lightning callbacks"),
        (["-m", "seed=1,2"], {}, "-m: goes with scripts/train.py"),
        (["sweep=pooling"], {}, "sweep=pooling: is many runs"),
        ([], {"devices": 2}, "trainer.devices=2: each is a process"),
        ([], {"resume": "nowhere"}, "resume=nowhere: no such directory"),
        (
            ["+hydra.callbacks.x._target_=pathlib.Path.touch"],
            {},
            "hydra.callbacks.x._target_=pathlib.Path.touch: a config",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    given: list[Any], keys: dict[str, Any], said: str, in_empty_folder: Path
) -> None:
    with pytest.raises(lenet.BadInput, match=re.escape(said)) as caught:
        lenet.train(*given, **keys)
    assert len(str(caught.value).splitlines()) == 1
    assert not any(in_empty_folder.iterdir())


def test_without_the_source_tree_words_are_refused_and_a_config_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "CONF", Path("nowhere/conf"))
    with pytest.raises(BadInput, match="nowhere/conf: not there"):
        lenet.summary("model.pool=max")
    assert "c1 " in lenet.summary(Config())


@pytest.mark.parametrize(
    "error", [BadInput("a=1: no"), Diverged("a=1: no"), TimeUp("a=1: no"), Interrupted(None, "no")]
)
def test_a_notebook_shows_one_line(error: BaseException) -> None:
    """`_render_traceback_` is what IPython asks an exception for, and shows in place of the traceback."""
    (line,) = error._render_traceback_()  # type: ignore[attr-defined]
    assert line == f"{type(error).__name__}: {error}" + ("; no" if isinstance(error, Interrupted) else "")


class Watcher(L.Callback):
    """Counts epochs, and does something after the first batch of one."""

    def __init__(self, epoch: int = -1, act: Callable[[], object] = lambda: None) -> None:
        self.epoch, self.act, self.seen = epoch, act, 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.current_epoch == self.epoch:
            self.act()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seen += 1


def test_stopped_it_goes_on_to_the_same_bits(
    tiny_config: Config, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)  # somebody has a prompt
    tiny_config.trainer.max_epochs = 3
    before = signal.getsignal(signal.SIGINT)
    handlers = []

    def stop() -> None:
        signal.raise_signal(signal.SIGINT)
        handlers.append(signal.getsignal(signal.SIGINT))

    with pytest.raises(KeyboardInterrupt, match="the run was stopped") as caught:
        lenet.train(tiny_config, name="stopped", callbacks=[Watcher(1, stop)])
    assert handlers == [signal.default_int_handler]  # a second one does not end the session
    assert signal.getsignal(signal.SIGINT) == before
    assert isinstance(caught.value, Interrupted)
    assert caught.value.run is not None
    assert caught.value.advice == f'this goes on: lenet.train(resume="{caught.value.run}")'
    stopped = lenet.load(caught.value.run)
    assert (stopped.result["status"], len(stopped.metrics)) == ("interrupted", 1)
    watcher = Watcher()
    ended = stopped.resume(callbacks=[watcher])
    assert watcher.seen == 2
    whole = lenet.train(tiny_config, name="whole")
    same_run(RunDirectory(ended.path), RunDirectory(whole.path))


def test_a_run_that_went_on_has_no_net_of_before(tiny_config: Config, in_empty_folder: Path) -> None:
    before = lenet.train(tiny_config, name="on", test_on="last")
    old = before.net.output.weight.clone()
    after = before.resume(max_epochs=3)
    assert not torch.equal(after.net.output.weight, old)
    assert torch.equal(before.net.output.weight, after.net.output.weight)


def test_one_that_trains_already_is_refused(run: lenet.Run) -> None:
    other = RunDirectory(run.path)
    assert other.lock()
    try:
        with pytest.raises(BadInput, match="another process trains in it"):
            run.resume(max_epochs=3)
    finally:
        other.unlock()


def test_a_run_has_its_files(run: lenet.Run, tiny_config: Config) -> None:
    assert run.config == tiny_config
    assert run.result["status"] == "completed"
    assert list(run.metrics.index) == [1, 2]
    assert run.metrics["val/acc"].max() == run.result["metrics"]["val/acc"]
    assert repr(run).startswith(f"<Run {run.path}: completed, 2 epochs, val acc 0.")


def test_its_net_gives_logits_of_normalised_images(run: lenet.Run, tiny: Path) -> None:
    images, labels = load("fashion_mnist", str(tiny), "test")
    with torch.inference_mode():
        predicted = run.net(images / 255).argmax(1)
    assert (predicted == labels).float().mean().item() == pytest.approx(run.result["metrics"]["test/acc"])


def test_its_pictures_show_themselves(run: lenet.Run) -> None:
    seen = [
        run.plot(), run.activations(),
        run.activations("Pullover", np.int64(3), np.zeros((28, 28)), noise=True, pooled=True),
        run.confusion(), run.confusion("validation"), run.mistakes(), lenet.compare(run, run.path),
    ]  # fmt: skip
    for one in seen:
        assert one._repr_png_().startswith(b"\x89PNG"), one
    assert isinstance(run.plot(), matplotlib.figure.Figure)
    labels = [text.get_text().strip() for text in lenet.compare(run, run).legends[0].get_texts()]
    assert labels == [f"{run.path.parent.name}/run ({number})" for number in (1, 2)]
    for wrong, said in (
        ("sweater", "sweater: no class of fashion_mnist"),
        (99, "99: there are test images from 0 to 49"),
    ):
        with pytest.raises(BadInput, match=said):
            run.activations(wrong)
    with pytest.raises(BadInput, match="part=train: choose test or validation"):
        run.confusion("train")


def test_runs_side_by_side_have_a_table(run: lenet.Run, tiny_config: Config, tmp_path: Path) -> None:
    other = train(replace(tiny_config, seed=5), tmp_path / "other")[1]
    table = lenet.compare(run, other.path).table
    assert list(table.index) == ["run", "other"]
    assert table.epochs.tolist() == [2, 2]
    result = other.read_result() or {}
    other.write_result({key: result[key] for key in result if key not in ("epochs", "best_epoch")})
    table = lenet.compare(run, other.path).table
    assert str(table.epochs["run"]) == "2"  # and not 2.0, as beside nothing
    assert [row.split()[-5:-3] for row in as_text(table).splitlines()[1:2]] == [["2", str(result["best_epoch"])]]
    assert list(table.columns[:4]) == ["seed", "train/acc", "val/acc", "test/acc"]
    assert list(table.seed) == [0, 5]
    assert table["test/acc"]["run"] == run.result["metrics"]["test/acc"]


def test_the_report_of_runs_is_the_same(
    run: lenet.Run, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    other = train(replace(tiny_config, seed=5), tmp_path / "other")[1]
    monkeypatch.setattr(sys, "argv", ["report.py", str(run.path), str(other.path)])
    capsys.readouterr()  # what the training has said
    runpy.run_path(str(PROJECT / "scripts/report.py"), run_name="report")["main"]()
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:5] == ["run", "seed", "train", "acc", "val"]
    assert [line.split()[0] for line in said[1:3]] == ["run", "other"]
    assert said[3] == str(tmp_path / "comparison.png")
    assert Image.open(said[3]).size[0] > 500


def test_runs_that_are_called_by_their_time_are_told_by_what_differs(run: lenet.Run, tmp_path: Path) -> None:
    paths = [tmp_path / f"2026-11-22_09-30-0{second}" for second in range(3)]
    for path, pool in zip(paths, ("avg", "max", "max"), strict=True):
        shutil.copytree(run.path, path)
        config = run.config
        config.model.pool, config.early_stopping.patience = pool, 3 if pool == "max" else None
        RunDirectory(path).write_config(config)
    table = lenet.compare(*paths[:2]).table
    assert list(table.index) == ["pool=avg,early_stopping.patience=null", "pool=max,early_stopping.patience=3"]
    assert list(table["early_stopping.patience"]) == [None, 3]
    assert str(table["early_stopping.patience"].iloc[1]) == "3"
    assert list(lenet.compare(*paths).table.index) == [path.name for path in paths]  # of which two are alike


def test_what_it_finds_shows_itself_in_a_notebook(run: lenet.Run) -> None:
    found = run.evaluate()
    page = found._repr_html_()
    assert f"accuracy {found.accuracy:.4f}" in page
    assert page.count("<tr>") == 11
    assert page.count("<th>") == 13
    marked = replace(found, classes=["<b>", *found.classes[1:]])
    assert "<td>&lt;b&gt;</td>" in marked._repr_html_()


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt2"])
def test_it_is_exported_as_the_script_does(name: str, run: lenet.Run, in_empty_folder: Path) -> None:
    agreement = run.export(f"new/{name}")
    assert Path(f"new/{name}").stat().st_size > 1000
    assert (agreement is None) == (name == "net.safetensors")
    assert agreement is None or agreement.difference < 1e-4
    with pytest.raises(BadInput, match=r"net\.zip: no format that a net is written in"):
        run.export("net.zip")


def test_scripts_that_look_at_a_net_ask_a_run(
    run: lenet.Run, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[str] = []
    for name in ("maps", "predict", "export"):
        whole = getattr(lenet.Run, name)
        monkeypatch.setattr(
            lenet.Run,
            name,
            lambda *given, _whole=whole, _name=name, **keys: (asked.append(_name), _whole(*given, **keys))[1],
        )
    Image.fromarray(np.arange(784, dtype=np.uint8).reshape(28, 28)).save("own.png")
    for words in (
        [
            "activations.py",
            run.path,
            "--classes",
            "coat",
            "--images",
            "3",
            "--image",
            "own.png",
            "--noise",
            "--out",
            "a.png",
        ],
        ["predict.py", run.path, "own.png"],
        ["export.py", run.path, "net.safetensors"],
    ):
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        runpy.run_path(str(PROJECT / "scripts" / words[0]), run_name="script")["main"]()  # type: ignore[operator]
    assert asked == ["maps", "predict", "export"]
    said = capsys.readouterr().out
    assert [said.count(title) for title in ("coat (test image", "test image 3)", "own.png: ", "noise: ")] == [
        1,
        1,
        1,
        1,
    ]
    assert Image.open("a.png").size[0] > 500


def test_what_is_refused_names_what_python_has(run: lenet.Run, in_empty_folder: Path) -> None:
    config = run.config
    config.data.val_fraction, config.test_on = 0.0, "last"
    RunDirectory(run.path).write_config(config)
    path = str(run.path)
    for ask, said in (
        (lambda: lenet.load(path, "best").net, 'weights="best": '),
        (lambda: lenet.load(path).evaluate("validation"), 'part="validation": '),
        (lambda: lenet.load(path, data_root="nowhere").predict([]), "no image"),
        (lambda: lenet.load(path, data_root=".").evaluate(data="emnist_letters"), 'data="emnist_letters": has 26'),
        (lambda: lenet.train("seed=0-2"), 'lenet.sweep("seed=range(3)") trains one with each'),
        (lambda: lenet.train("optimizer.lr=0.1,0.2"), "several values; lenet.sweep trains one with each"),
        (lambda: lenet.train(auto_scale_batch_size=True), 'lenet.sweep("data.batch_size=64,128,256") tries several'),
        (lambda: lenet.train(enable_model_summary=True), "lenet.summary shows the layers"),
        (
            lambda: lenet.train("callbacks=early_stopping"),
            "and optimizer.ema_decay averages weights; callbacks=[...] takes yours",
        ),
        (lambda: lenet.train("zzz=1"), "docs/keys.md has all keys"),
        (lambda: lenet.train(model_registry=1), 'lenet.load(RUN_DIR).export("FILE.safetensors") writes'),
    ):
        with pytest.raises(BadInput, match=re.escape(said)) as caught:
            ask()
        assert not re.search(r"(?<![\w-])--?[a-z]|scripts/", str(caught.value))
    result = run.result | {"status": "interrupted"}
    RunDirectory(run.path).write_result(result)
    with pytest.raises(BadInput, match=re.escape(f'finish it with lenet.train(resume="{path}")')):
        _ = lenet.load(path).net


def test_a_line_that_is_right_for_both_stays_as_it_is() -> None:
    for line in ("runs/a-m b: give name=ANOTHER for a sweep of its own", "a--data: no", "seed=-1: give an integer"):
        assert as_python(line) == line
    assert as_python("1 of 2 jobs are not completed; the same command tries them again").endswith(
        "same call tries them again"
    )
    assert as_python(as_python("take --weights last")) == 'take weights="last"'
    assert as_python("leave out --no-invert") == "leave out invert=False"
    assert as_python("--data-root there: no files") == 'data_root="there": no files'


def test_a_script_keeps_the_words_of_the_command_line() -> None:
    token = IS_COMMAND.set(True)
    try:
        with pytest.raises(BadInput, match="add -m for a run with each"):
            lenet.train("optimizer.lr=0.1,0.2")
    finally:
        IS_COMMAND.reset(token)


def test_a_run_without_an_epoch_has_no_rows(run: lenet.Run) -> None:
    (run.path / "metrics.csv").unlink()
    assert len(run.metrics) == 0
    assert run.plot()._repr_png_()


def test_its_predictions_are_those_of_the_evaluation(run: lenet.Run, tiny: Path) -> None:
    images, _ = load("fashion_mnist", str(tiny), "test")
    found = evaluate(load_trained(run.path)).predictions
    assert found is not None
    table = run.predict(images)
    assert table.shape == (50, 11)
    assert np.abs(table.iloc[:, 1:].to_numpy() - found.probabilities.numpy()).max() < 1e-6
    assert list(table.prediction) == [table.columns[1:][c] for c in found.logits.argmax(1).tolist()]


def test_what_layers_see_comes_in_the_order_of_the_images(run: lenet.Run, tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(28, dtype=np.uint8) * 9, (28, 1))).save(tmp_path / "ramp.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = [tmp_path / "ramp.png", 3, "Coat", np.eye(28), "Bag", 0]
        titles = [each.title for each in run.maps(*given, noise=True)]
        alone = [run.maps(one)[0].title for one in given]
    assert titles[0] == "ramp.png"
    assert [title.split(" (")[0] for title in (titles[2], titles[4])] == ["coat", "bag"]
    assert titles[:3] + titles[4:6] == alone[:3] + alone[4:]
    assert titles[6:] == ["noise"]


def test_images_come_in_many_kinds(run: lenet.Run, tmp_path: Path) -> None:
    pixels = load("fashion_mnist", run.config.data.root, "test")[0][0, 0]
    picture = Image.fromarray(pixels.numpy())
    picture.save(tmp_path / "one.png")
    kinds: list[Any] = [
        pixels, pixels.numpy(), pixels[None, None], pixels[None], pixels / 255, pixels.double().numpy() / 255,
        picture, picture.convert("RGB"), tmp_path / "one.png", str(tmp_path / "one.png"), pixels.int(),
        np.stack([pixels.numpy()] * 3, axis=2), torch.stack([pixels] * 3)[None],
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the bars of this data set look like
        alone = run.predict(pixels).iloc[0, 1:].to_numpy(float)
        together = run.predict(kinds)
    assert len(together) == len(kinds)
    assert list(together.index[8:10]) == ["one.png", "one.png"]
    assert np.abs(together.iloc[:, 1:].to_numpy(float) - alone).max() < 1e-6
    for look in (run.predict, run.activations):
        with pytest.warns(UserWarning, match="contrast") as said:
            look(np.zeros((28, 28)))
        assert said[0].filename == __file__, "it names a line of ours"


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], "no image"),
        (3, "int: no image"),
        (np.zeros(5), r"shape \(5,\): no images"),
        (np.full((2, 28, 28), -1.0), "has values from -1 to -1"),
        (np.full((28, 28), np.nan), "has values from nan"),
        (np.full((28, 28), 300), "has values from 300"),
        (np.array([["a"]]), "no numbers"),
        ([np.zeros((28, 28)), np.zeros((40, 30))], "image 1: all of one colour"),
        ("nowhere.png", "nowhere.png: cannot be read"),
    ],
)
def test_what_is_no_image_is_refused(run: lenet.Run, images: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run.predict(images)


def test_a_file_of_weights_is_loaded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    run = lenet.load("docs/weights/improved.safetensors")
    assert run.result["metrics"]["test/acc"] == pytest.approx(0.9484)
    assert run.predict(torch.rand(2, 1, 28, 28)).shape == (2, 11)
    for ask in (lambda: run.metrics, run.plot, run.resume):
        with pytest.raises(BadInput, match="holds a net alone"):
            ask()


@pytest.mark.parametrize(
    ("path", "weights", "said"),
    [
        (".", None, "no run directory"),
        ("nowhere", None, f"no run directory, as {PROJECT}/nowhere is not there"),
        ("a.safetensors", None, f"no such file of weights, as {PROJECT}/a.safetensors is not there"),
        ("docs/weights/improved.safetensors", "first", "weights=first: choose best or last"),
    ],
)
def test_what_is_no_run_is_refused(path: str, weights: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    with pytest.raises(BadInput, match=said):
        lenet.load(path, weights)


@pytest.fixture
def swept(in_empty_folder: Path) -> Path:
    shutil.copytree(PROJECT / "tests/runs_of_before/old", "runs/pooling")
    return Path("runs/pooling")


def test_a_sweep_has_the_tables_of_its_report(swept: Path) -> None:
    for asked in ("runs/pooling", swept):
        results, ranking, effects = lenet.sweep(asked)
        assert list(results.state) == ["completed", "completed"]
        assert list(ranking.index) == list(results.sort_values("val/acc", ascending=False).setting)
        assert list(ranking.n) == [1, 1]
        assert set(effects.level) == {"max"}
    for wrong, said in (
        ("runs", "no sweep"),
        ("runs/channels", "runs/channels: no such folder, as /"),
        ("seed=1", "seed=1: varies nothing"),
        ("search=quick", "search=quick: a search"),
        ("model.pool=avg,maks", "model.pool=maks: choose avg, max"),
        ("model.pol=avg,max", "model.pol: no such key"),
    ):
        with pytest.raises(BadInput, match=said):
            lenet.sweep(wrong)
    assert not (swept / "report.md").exists()  # it is looked at, and nothing is written


def test_a_sweep_is_trained_and_trained_once(tiny: Path, in_empty_folder: Path, capsys: pytest.CaptureFixture) -> None:
    def ask() -> lenet.api.Tables:
        return lenet.sweep(*TINY, {"data.root": tiny}, pool=["avg", "max"], seed=range(2), max_epochs=1, name="pools")

    results, ranking, effects = ask()
    assert set(results.job) == {f"pool={pool},seed={seed}" for pool in ("avg", "max") for seed in (0, 1)}
    assert list(ranking.n) == [2, 2]
    assert list(effects.level) == ["max"]
    assert capsys.readouterr().out.count("[4/4]") == 1
    assert ask().results.equals(results)
    assert "4 completed before, 0 to do" in capsys.readouterr().out
    assert lenet.sweep("runs/pools").ranking.equals(ranking)
    alone = lenet.train(*TINY, root=tiny, pool="max", seed=1, max_epochs=1)
    same_run(RunDirectory(alone.path), RunDirectory("runs/pools/pool=max,seed=1"))


def test_a_sweep_that_asks_for_less_says_what_it_does_not_show(
    swept: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep.read(swept)
    replace(sweep, jobs=sweep.jobs[:1]).write(swept)
    left = sweep.jobs[1].name
    assert list(lenet.sweep(swept).results.job) == [sweep.jobs[0].name]
    said = f"1 run of before is not shown, as this sweep does not ask for it: {left}"
    assert said in capsys.readouterr().out.splitlines()
    assert said in report(swept).splitlines()
    assert plain(said) in (swept / "report.md").read_text()
    monkeypatch.setattr(lenet.api.tables, "swept", lambda words: swept)
    lenet.sweep("sweep=pooling")  # at whose end the report has said so
    assert capsys.readouterr().out == ""


def test_differences_of_one_seed_come_with_a_hint(swept: Path, capsys: pytest.CaptureFixture) -> None:
    tables = lenet.sweep(swept)
    assert tables.effects.low.isna().all()
    assert "a spread needs two seeds or more, such as seed=0,1" in capsys.readouterr().out
    page = tables._repr_html_()
    assert page.count("<table") == 3
    assert "<h4>ranking</h4>" in page


def test_a_sweep_that_is_stopped_goes_on(tiny: Path, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = functools.partial(lenet.sweep, *TINY, {"data.root": tiny}, seed=[0, 1], max_epochs=2, name="stopped")
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "FURTHER_CALLBACKS", [])
        callbacks.FURTHER_CALLBACKS.append(lambda config: Watcher(1, lambda: signal.raise_signal(signal.SIGINT)))
        patch.setattr(lenet.run, "FURTHER_CALLBACKS", callbacks.FURTHER_CALLBACKS)
        with pytest.raises(Interrupted) as caught:
            ask()
    assert caught.value.advice == "the same call goes on"
    assert list(ask().results.state) == ["completed", "completed"]


def test_a_summary_shows_itself_line_by_line() -> None:
    assert repr(lenet.summary()) == str(lenet.summary(Config()))


def test_a_notebook_has_one_bar(tiny_config: Config, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    tiny_config.trainer.enable_progress_bar = True
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", cell)
        lenet.train(tiny_config)
    assert "\repoch 2/2" in cell.getvalue()
    assert "\x1b[A" not in cell.getvalue()  # to the line before, which a notebook does not know
    assert "Validation" not in cell.getvalue()


OBJECTS = {lenet.train: "lenet.train", lenet.load: "lenet.load", lenet.Run: "run", lenet.compare: "lenet.compare",
           lenet.sweep: "lenet.sweep", lenet.summary: "lenet.summary"}  # fmt: skip


def page() -> Iterator[str]:
    yield HEAD
    for thing, name in OBJECTS.items():
        if not isinstance(thing, type):
            yield from entry(name, thing, "##")
            continue
        yield f"## lenet.{thing.__name__}\n"
        yield markdown(inspect.getdoc(thing) or "")
        for member, value in vars(thing).items():
            if not member.startswith("_"):
                yield from entry(f"{name}.{member}", value, "###")


def entry(name: str, thing: Any, level: str) -> Iterator[str]:
    """A heading, how it is called, and what its docstring says."""
    yield f"{level} {name}\n"
    if inspect.isfunction(thing):
        parameters = [
            parameter.replace(annotation=parameter.empty)
            for word, parameter in inspect.signature(thing).parameters.items()
            if word != "self"
        ]
        yield f"    {name}{inspect.Signature(parameters)}\n"
    yield markdown(inspect.getdoc(thing) or "")


def markdown(doc: str) -> str:
    """Sections become lists, and examples blocks of code."""
    lines: list[str] = []
    section = ""
    for line in doc.splitlines():
        if line in ("Args:", "Raises:", "Returns:", "Attributes:"):
            section = line
            lines += [f"**{line.removesuffix(':')}**", ""]
        elif section and line.startswith("    ") and not line.startswith("     "):
            word, colon, rest = line.strip().partition(": ")
            is_name = colon and re.fullmatch(r"\w+", word)
            lines.append(f"- `{word}`: {rest}" if is_name else f"- {line.strip()}")
        elif section and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        elif line.startswith(">>> ") or (line and lines and lines[-1].startswith("    ")):
            lines.append(f"    {line}")
        else:
            section = section if line else ""
            lines.append(line)
    return "\n".join(lines).strip() + "\n"


def test_the_page_is_what_the_docstrings_say(request: pytest.FixtureRequest) -> None:
    made = "\n".join(page())
    if request.config.getoption("--write-docs"):
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made, "another docs/api.md: --write-docs makes it anew"
    assert set(OBJECTS.values()) - {"run"} == {
        f"lenet.{name}" for name in lenet.__all__ if name not in ("Run", "BadInput")
    }


def test_its_examples_run(run: lenet.Run, swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small run in place of each that they train or load."""
    shutil.copytree(run.path, "runs/lenet/2026-11-22_09-30-00")
    shutil.copytree(PROJECT / "docs/weights", "docs/weights")

    def trained(words: list[Any], keys: dict[str, Any], callbacks: Any) -> Path:
        wanted(words, keys)
        return run.path

    monkeypatch.setattr(lenet.api.run, "trained", trained)
    monkeypatch.setattr(lenet.api.tables, "swept", lambda words: swept)
    monkeypatch.setattr("lenet.sweeps.report.notes", lambda *_: [])  # the small sweep has one seed
    known = {"lenet": lenet, "torch": torch}
    count = 0
    for thing in OBJECTS:
        for test in doctest.DocTestFinder().find(thing, module=False, globs=known | {"run": run}):
            count += len(test.examples)
            said: list[str] = []
            assert doctest.DocTestRunner().run(test, out=said.append).failed == 0, "".join(said)
    assert count > 15
