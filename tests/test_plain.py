"""Whatever the encoding of what is printed on: nothing fails and nothing is lost."""

import ast
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.types import RunMode
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from conftest import PROJECT, script
from lenet.cli import commands
from lenet.system import terminal

SHORT = ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
         "trainer.max_epochs=1", "data.batch_size=32", "threads=1")  # fmt: skip


@given(st.text(), st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8", "cp437"]))
def test_every_text_can_be_printed(text: str, encoding: str) -> None:
    content = io.BytesIO()
    before, sys.stdout = sys.stdout, io.TextIOWrapper(content, encoding, newline="")
    try:
        terminal.output()
        print(text, end="", flush=True)
    finally:
        sys.stdout.detach()
        sys.stdout = before
    said = content.getvalue().decode(encoding)
    assert len(said) >= len(text.encode(encoding, "ignore").decode(encoding))
    assert "±" not in text or "±" in said or "+-" in said


def test_what_a_job_of_a_sweep_says_is_printed_as_well(monkeypatch) -> None:
    """A launcher's process has a standard output that is as Python made it."""
    content, logger = io.BytesIO(), logging.getLogger("lenet")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, "ascii", errors="strict", write_through=True))
    monkeypatch.setattr(commands.HydraConfig, "get", lambda: OmegaConf.create({"mode": RunMode.MULTIRUN}))
    for name, value in (("handlers", logger.handlers), ("propagate", logger.propagate), ("level", logger.level)):
        monkeypatch.setattr(logger, name, value)  # put back afterwards
    with commands.job():
        logger.warning("größe: ± 1")
    assert content.getvalue().decode("ascii") == "gr\\xf6\\xdfe: +- 1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, real_root: str) -> Path:
    return tmp_path_factory.mktemp("plain")


def test_every_script_prints_on_what_knows_ascii_alone(folder: Path, real_root: str) -> None:
    said = {}
    for encoding in ("ascii", "cp1252"):
        env = os.environ | {"PYTHONIOENCODING": encoding, "LENET_DATA": real_root}
        sweep, run = f"runs/größe-{encoding}", f"runs/größe-{encoding}/seed=0"
        commands = [
            ("train.py", "-m", f"name='größe-{encoding}'", "seed=0,1", *SHORT),
            ("train.py", f"hydra.run.dir='runs/é-{encoding}'", *SHORT),
            ("train.py", "--help"),
            ("train.py", "name='größe'", "model.pool=größe"),
            ("report.py", sweep),
            ("evaluate.py", run),
            ("activations.py", run),
            ("export.py", run, f"größe-{encoding}.safetensors"),
            ("summary.py", "name='größe'"),
            ("initial.py",),
            ("published.py", "--help"),
            ("records.py", "--help"),
        ]
        for name, *arguments in commands:
            done = script(name, *arguments, cwd=folder, env=env)
            wrong = name == "train.py" and "model.pool=größe" in arguments
            assert done.returncode == (2 if wrong else 0), (name, done.stdout, done.stderr)
            said[name, encoding] = said.get((name, encoding), "") + done.stdout + done.stderr
    assert "+-" in said["report.py", "ascii"]
    assert "±" in said["report.py", "cp1252"]
    assert r"gr\xf6\xdfe" in said["train.py", "ascii"]
    assert "größe" in said["train.py", "cp1252"]


NAMES_OF_DEVICES = "¹²³"  # Windows has COM¹ and the like; nothing of ours prints these


def texts(path: Path) -> Iterator[str]:
    """Every string of a Python file, but for what explains it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    explaining = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explaining:
            yield node.value


def test_the_project_is_plain() -> None:
    """What our own texts are written with has a counterpart in ASCII that can be read."""
    seen = set()
    for path in [*(PROJECT / "src").rglob("*.py"), *(PROJECT / "scripts").glob("*.py")]:
        for text in texts(path):
            strange = {character for character in text if not character.isascii()} - {*NAMES_OF_DEVICES}
            assert strange <= {*terminal.INSTEAD}, f"{path}: {text!r}"
            seen |= strange
    assert "±" in seen, "there is something to look at"
