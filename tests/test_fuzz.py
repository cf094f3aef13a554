"""Whatever is given, the answer is a result or one line, never a traceback and never a lie.

A few examples each; uv run pytest tests/test_fuzz.py --hypothesis-profile=long takes three quarters of an hour.
"""

import contextlib
import copy
import gzip
import io
import math
import runpy
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conftest import PROJECT, idx, tiny_files
from lenet.batches import epochs
from lenet.cli import compose
from lenet.config import Augment, Config, Dashboard, Data, Loss, Model, Optimizer, Schedule, Trainer, choices, schema
from lenet.data import download
from lenet.data.files import parse_idx
from lenet.datasets import DATASETS
from lenet.errors import BadInput, Diverged
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.load import load_trained
from lenet.models.layers import ACTIVATIONS, POOLS
from lenet.rules import validate
from lenet.rules.model import INIT_CHOICES
from lenet.run import train
from lenet.runs.directory import RunDirectory


def examples(share: float) -> settings:
    """A share of the profile's number of examples."""
    number = max(1, int(settings.default.max_examples * share))
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=number, suppress_health_check=checks)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a few bytes changed, taken out or put in, or without its end."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        kind = draw(st.sampled_from(["change", "bit", "delete", "insert", "truncate", "repeat"]))
        some = draw(st.binary(min_size=1, max_size=8))
        if kind == "change":
            changed[place : place + len(some)] = some
        elif kind == "bit" and changed:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "delete":
            del changed[place : place + draw(st.integers(1, 100))]
        elif kind == "insert":
            changed[place:place] = some
        elif kind == "truncate":
            del changed[place:]
        else:
            changed[place:place] = changed[place : place + 50] * draw(st.integers(1, 50))
    return bytes(changed)


def one_line(error: Exception) -> None:
    assert "\n" not in str(error)


IMAGES = idx(torch.randint(0, 256, (5, 4, 3), dtype=torch.uint8))


@examples(100)
@given(content=mutated(IMAGES), dimensions=st.integers(1, 4))
def test_an_idx_reader_gives_the_bytes_that_are_there_or_says_what_is_wrong(content: bytes, dimensions: int) -> None:
    try:
        tensor = parse_idx(content, dimensions)
    except ValueError as error:
        one_line(error)
        return
    assert tensor.dim() == dimensions == content[3]
    assert tensor.flatten().numpy().tobytes() == content[4 + 4 * dimensions :]
    assert list(tensor.shape) == [int.from_bytes(content[i : i + 4], "big") for i in range(4, 4 + 4 * dimensions, 4)]


NAME = "t10k-labels-idx1-ubyte"


@examples(0.5)
@given(content=mutated(gzip.compress(tiny_files()[NAME])))
def test_a_compressed_file_is_the_right_one_or_refused(tiny: Path, content: bytes) -> None:
    folder = tiny / DATASETS["mnist"].folder
    (folder / NAME).unlink(missing_ok=True)
    (folder / f"{NAME}.gz").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.datasets.MNIST.mirrors", [])
        patch.setenv("PATH", "")
        try:
            download.fetch("mnist", tiny)
        except BadInput:
            assert not (folder / NAME).exists()
            return
    assert (folder / NAME).read_bytes() == tiny_files()[NAME]


KEYS = [name for name, kind in schema().items() if name != "resume"]
WORDS = sorted({word for choices in choices().values() for word in choices})
scalars = (
    st.integers(-3, 40)
    | st.sampled_from([2**31, 2**63, 10**30, 1e300, -0.0, "nan", "-.inf", ".inf", "1e400", "null", "true", "''", "~"])
    | st.floats(0, 1).map(lambda number: f"{number:.3g}")
    | st.sampled_from(WORDS)
    | st.sampled_from(
        ["???", "${seed}", "${oc.env:HOME}", "${x", "a b", "'", '"', "[", "{", "\\", "é", "\0", "1_0", "0x1F"]
    )
    | st.text(max_size=5)
)
values = scalars | st.lists(scalars, max_size=4).map(lambda some: f"[{','.join(map(str, some))}]")
words = (
    st.tuples(st.sampled_from(KEYS), values).map(lambda pair: f"{pair[0]}={pair[1]}")
    | st.tuples(st.sampled_from(["model", "optimizer", "schedule", "data", "experiment", "+x", "~seed", "++model.y"]),
                st.sampled_from(["lenet5", "modern", "sdlm", "one_cycle", "mnist", "blog", "nothing", "1", ""]),
                ).map("=".join)
    | st.text(max_size=10)
)  # fmt: skip


# Hydra's own flags are its affair.
@examples(1)
@given(arguments=st.lists(words.filter(lambda word: not word.startswith("-")), max_size=4))
def test_a_config_is_taken_or_refused_in_one_line(in_empty_folder, arguments: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["summary.py", *arguments])
        patch.setenv("HYDRA_FULL_ERROR", "")  # so that what becomes of it is undone
        patch.delenv("HYDRA_FULL_ERROR")
        patch.setattr(threading, "excepthook", threading.excepthook)
        try:
            runpy.run_path(str(PROJECT / "scripts/summary.py"), run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code
    assert code in (0, 2), (code, err.getvalue())
    assert err.getvalue().count("\n") == (1 if code else 0), err.getvalue()
    assert err.getvalue().startswith("error: " if code else "")
    assert ("total" in out.getvalue()) == (code == 0)
    assert list(in_empty_folder.iterdir()) == []


def configs(root: str) -> st.SearchStrategy[Config]:
    """Small runs with values that are mostly legal, and combinations that may not be."""
    some, share = st.integers(1, 4), st.sampled_from([0.0, 0.1, 0.5, 0.9])
    sizes = some | st.lists(some, min_size=1, max_size=3)
    model = st.builds(
        Model,
        kind=st.just("lenet"),
        conv_channels=st.lists(some, min_size=1, max_size=3),
        kernel_size=sizes,
        padding=sizes,
        activation=st.sampled_from(list(ACTIVATIONS)),
        pool=st.sampled_from(list(POOLS)),
        norm=st.sampled_from(["none", "batch"]),
        fc_sizes=st.lists(some, max_size=2),
        dropout=share,
        init=st.sampled_from(INIT_CHOICES["lenet"]),
    )
    lenet5 = st.builds(
        lambda init: Model("lenet5", padding=0, activation="scaled_tanh", pool="subsample", init=init),
        st.sampled_from(INIT_CHOICES["lenet5"]),
    )
    augment = st.builds(Augment, st.integers(0, 5), st.booleans(), share, share, share)
    data = st.builds(
        Data,
        root=st.just(root),
        batch_size=st.sampled_from([1, 2, 7, 64, 200, 1000]),
        val_fraction=st.sampled_from([0.0, 0.01, 0.2, 0.99]),
        shuffle=st.booleans(),
        drop_last=st.booleans(),
        train_size=st.none() | st.integers(1, 100),
        mean=share,
        std=st.sampled_from([1.0, 0.3]),
        pad=st.sampled_from([0, 2, 5]),
        augment=st.just(Augment()) | augment,
    )
    rates: dict[str, Any] = {
        "lr": st.sampled_from([1e-4, 0.1, 1e6]),
        "momentum": share,
        "nesterov": st.booleans(),
        "weight_decay": share,
    }
    return st.builds(
        Config,
        test_on=st.sampled_from(["best", "last"]),
        test_each_epoch=st.booleans(),
        data=data,
        model=model | model | lenet5,
        loss=st.just(Loss()) | st.builds(Loss, st.sampled_from(["mse", "map"])),
        optimizer=st.builds(Optimizer, name=st.sampled_from(["sgd", "adam", "adamw"]), **rates)
        | st.builds(Optimizer, name=st.just("sdlm"), curvature_samples=st.sampled_from([1, 20, 500]), **rates),
        schedule=st.builds(Schedule, st.sampled_from(["constant", "one_cycle", "cosine"]), share),
        trainer=st.builds(
            Trainer,
            max_epochs=st.integers(1, 2),
            max_steps=st.sampled_from([None, None, None, 1, 3]),
            overfit_batches=st.sampled_from([None, None, None, 1, 2]),
            check_val_every_n_epoch=st.sampled_from([1, 1, 1, 2]),
            num_sanity_val_steps=st.sampled_from([0, 0, 0, 1]),
            accelerator=st.just("cpu"),
            precision=st.sampled_from(["32-true", "64-true", "bf16-true", "bf16-mixed", "16-mixed"]),
            deterministic=st.booleans(),
            log_every_n_steps=st.none() | some,
            gradient_clip_val=st.none() | st.just(0.5),
            accumulate_grad_batches=st.integers(1, 2),
            fast_dev_run=st.booleans(),
            limit_train_batches=st.none() | st.integers(1, 3) | st.just(0.5),
            limit_val_batches=st.none() | st.integers(0, 2) | st.just(1.0),
            limit_test_batches=st.none() | st.integers(0, 2) | st.just(1.0),
            enable_progress_bar=st.just(False),
        ),
        dashboard=st.builds(Dashboard, st.booleans(), st.none() | some, st.booleans(), st.booleans()),
        threads=st.just(1),
    )


@examples(0.2)
@given(data=st.data())
def test_what_is_taken_can_be_trained(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    config = data.draw(configs(str(tiny)))
    try:
        validate(config)
    except BadInput as error:
        one_line(error)
        assume(False)
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    try:
        result, run = train(config, path)
    except Diverged as error:
        one_line(error)
        assert (RunDirectory(path).read_result() or {})["status"] == "failed"
        return
    assert result["status"] == "completed"
    assert str(run.read_result()) == str(result)  # a loss may be nan, which equals nothing
    assert len(run.read_metrics()) == result["epochs"] == epochs(config)
    if config.trainer.limit_test_batches != 0:
        assert math.isfinite(result["metrics"]["test/loss"]) or config.optimizer.lr > 1


@pytest.fixture
def finished(tiny_config: Config, tmp_path: Path) -> RunDirectory:
    tiny_config.optimizer = Optimizer(lr=0.05, momentum=0.9)
    tiny_config.dashboard.enabled = False
    return train(tiny_config, tmp_path / "finished")[1]


FILES = ["config.yaml", "result.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"]
others = (
    st.none() | st.integers() | st.booleans() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
    | st.sampled_from([torch.zeros(3), torch.tensor(float("nan")), torch.zeros(2, 2, dtype=torch.long)])
)  # fmt: skip


def somewhere(draw: Any, content: Any, change: Any) -> Any:
    """The same with one of the values inside it left out, or another."""
    content = copy.copy(content)
    inside = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else []
    if not inside:
        return draw(change)
    key = draw(st.sampled_from(list(inside)))
    deeper = isinstance(content[key], dict | list) and content[key] and draw(st.integers(0, 3))
    if deeper:
        content[key] = somewhere(draw, content[key], change)
    elif isinstance(content, dict) and draw(st.booleans()):
        del content[key]
    else:
        content[key] = draw(change)
    return content


@st.composite
def damaged(draw: st.DrawFn, run: RunDirectory) -> tuple[str, bytes]:
    """A file of the run, and other content for it: other bytes, or whole but saying something else."""
    name = draw(st.sampled_from(FILES))
    content = (run.path / name).read_bytes()
    if draw(st.booleans()):
        return name, draw(mutated(content))
    if name.endswith("ckpt"):
        file = io.BytesIO()
        torch.save(somewhere(draw, torch.load(io.BytesIO(content), weights_only=True), others), file)
        return name, file.getvalue()
    if name != "metrics.csv":
        plain = others.filter(lambda value: not isinstance(value, torch.Tensor))
        return name, yaml.safe_dump(somewhere(draw, yaml.safe_load(content), plain), default_flow_style=True).encode()
    return name, content.replace(
        draw(st.sampled_from([b",", b"\n", b"epoch", b"0", b"."])), draw(st.binary(max_size=3))
    )


@examples(0.5)
@given(data=st.data())
def test_a_run_directory_from_a_stranger_is_used_or_refused_in_one_line(
    finished, tmp_path, data: st.DataObject
) -> None:
    path = tmp_path / "strange"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(finished.path, path)
    name, content = data.draw(damaged(finished))
    (path / name).write_bytes(content)
    with contextlib.suppress(BadInput):
        evaluate(load_trained(path))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    try:
        config = compose.resumed_config(str(path), ["trainer.max_epochs=3"])
        assume(config.trainer.max_epochs <= 3 and config.data.root == finished.read_config().data.root)
        result, _ = train(replace(config, trainer=replace(config.trainer, accelerator="cpu")), path)
        assert result["status"] == "completed"
    except BadInput as error:
        one_line(error)
        after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        assert {file for file in before if after.get(file) != before[file]} <= {path / "train.log"}
    except Diverged:
        pass
