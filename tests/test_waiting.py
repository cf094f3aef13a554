"""What a person sees while waiting, and after an interruption."""

import shlex
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from conftest import ask
from lenet.cli import commands, messages
from lenet.config import Config, Trainer
from lenet.system import terminal
from lenet.training import demands

LIBRARIES = ("torch", "pandas", "matplotlib", "tensorboard")


def test_on_a_terminal_a_run_says_what_it_is_before_torch_is_imported(in_empty_folder) -> None:
    other = ["data=mnist", "model=modern", "model.fc_sizes=[10]", "trainer.max_epochs=1"]
    book, mine = ask([("train.py", words, in_empty_folder) for words in ([], other)], absent=LIBRARIES)
    assert book["said"].startswith("lenet on fashion_mnist, 61,706 parameters, 10 epochs: loading torch ...\nerror:")
    assert mine["said"].startswith("lenet on mnist, 6,692 parameters, 1 epoch: loading torch ...\nerror:")


def test_what_reads_from_a_pipe_gets_nothing_of_it(capfd) -> None:
    terminal.loading(demands.about(Config()))
    assert capfd.readouterr() == ("", "")


def test_a_run_that_goes_on_says_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    terminal.loading(demands.about(Config(resume="runs/x", trainer=Trainer(max_epochs=20))))
    assert capsys.readouterr().err == "runs/x goes on, to epoch 20: loading torch ...\n"


@pytest.mark.parametrize(
    ("argv", "by_uv", "said"),
    [
        (["python", "scripts/train.py", "seed=1"], False, "python scripts/train.py resume=runs/x"),
        (["python", "-X", "dev", "my dir/train.py"], False, "python -X dev 'my dir/train.py' resume=runs/x"),
        (["/x/.venv/bin/python", "scripts/train.py"], True, "uv run scripts/train.py resume=runs/x"),
        (["/x/bin/torchrun", "-c", "..."], False, "scripts/train.py resume=runs/x"),
    ],
)
def test_the_command_that_goes_on_is_started_as_the_run_was(monkeypatch, argv, by_uv, said) -> None:
    monkeypatch.setattr(sys, "orig_argv", argv)
    monkeypatch.setattr(sys, "argv", [next((word for word in argv if word.endswith(".py")), "scripts/train.py")])
    for name in ("UV", "UV_RUN_RECURSION_DEPTH"):
        monkeypatch.delenv(name, raising=False)
    if by_uv:
        monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert terminal.command("resume=runs/x") == said


def test_uv_is_called_as_it_can_be_called_here(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    ours = tmp_path / ".uv/bin/uv"
    ours.parent.mkdir(parents=True)
    ours.touch(mode=0o755)
    for path, uv, said in (
        ("/usr/bin", ours, str(Path(".uv/bin/uv"))),
        (str(ours.parent), ours, "uv"),
        ("/usr/bin", "/elsewhere/uv", "/elsewhere/uv"),
    ):
        monkeypatch.setenv("PATH", path)
        monkeypatch.setenv("UV", str(uv))
        assert terminal.command("resume=runs/x").startswith(f"{said} run ")


@given(st.text(st.characters(exclude_characters="\0\\$", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1))
def test_whatever_the_directory_is_called_the_command_names_it(name) -> None:
    path = f"runs/{name}/2026-11-22_09-30-00"
    word = shlex.split(messages.how_to_go_on(path))[-1]
    override = OverridesParser.create().parse_override(commands.quoted(word))
    assert override.key_or_group == "resume"
    assert str(override.value()) == path
