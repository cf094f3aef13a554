"""What a shell offers while a command is typed."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, ask
from lenet.cli import completion

POOLS = [f"model.pool={one}" for one in ("avg", "max", "conv", "subsample")]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("scripts/train.py model.pool=", POOLS),
        ("uv run scripts/train.py seed=1 model.pool=", POOLS),
        (".uv/bin/uv run --extra cluster scripts/train.py model.pool=su", ["model.pool=subsample"]),
        ("python scripts/summary.py model.pool=a", ["model.pool=avg"]),
        ("scripts/train.py -m model.pool=avg,m", ["model.pool=avg,max"]),
        ("scripts/train.py +experiment=bl", ["+experiment=blog"]),
        ("scripts/train.py sweep=poo", ["sweep=pooling"]),
        ("scripts/train.py optimizer=ad", [f"optimizer={one}" for one in ("adadelta", "adagrad", "adam", "adamw")]),
        ("scripts/train.py data.shuffle=", ["data.shuffle=true", "data.shuffle=false"]),
        ("scripts/train.py trainer.max_e", ["trainer.max_epochs="]),
        ("scripts/train.py hydra/launcher=j", ["hydra/launcher=joblib"]),
        ("scripts/train.py --mul", ["--multirun"]),
        ("scripts/evaluate.py --da", ["--data", "--data-root"]),
        ("scripts/train.py no.such.key=", []),
        ("python other.py model.pool=", []),
        ("uv pip install ", []),
    ],
)
def test_what_is_offered_are_the_keys_the_files_of_conf_and_the_choices_of_a_key(line: str, offered: list[str]) -> None:
    assert completion.candidates(line) == offered


def test_a_run_is_offered_where_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs/lenet").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert completion.candidates("scripts/train.py resume=") == ["resume=runs/"]
    assert completion.candidates("scripts/evaluate.py runs/l") == ["runs/lenet/"]


def test_a_press_imports_neither_hydra_nor_torch() -> None:
    code = (
        f"import runpy, sys; sys.argv = ['x', 'scripts/train.py model.pool=']; runpy.run_path({completion.__file__!r}, "
    )
    code += "run_name='__main__'); print({'hydra', 'torch', 'omegaconf', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*POOLS, "set()"]


def type_in(command: list[str], lines: list[str], awaited: str) -> None:
    """Type into an interactive shell, until it shows what is awaited."""
    child, terminal = pty.fork()
    if not child:
        os.environ.update(TERM="dumb", PS1="$ ", HISTFILE="")
        os.execvp(command[0], command)
    shown = b""
    try:
        os.write(terminal, "".join(lines).encode())
        while awaited.encode() not in shown:
            assert select.select([terminal], [], [], HANG)[0], shown
            shown += os.read(terminal, 4096)
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A shell, and what it is to run."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not here")
    folder = tmp_path_factory.mktemp("shell")
    (answer,) = ask([("train.py", ["-sc", f"install={request.param}"], folder)])
    assert (answer["code"], answer["torch"]) == (0, False), answer["said"]
    (folder / "code").write_text(answer["said"])
    return request.param, folder / "code"


def test_a_shell_completes_the_word(installed: tuple[str, Path]) -> None:
    shell, code = installed
    source = f"source {shlex.quote(str(code))}"
    if shell == "fish":
        ask_fish = f"{source}; complete -C 'uv run scripts/train.py model.pool=su'"
        done = subprocess.run(["fish", "-N", "-c", ask_fish], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "model.pool=subsample"
        return
    command = ["bash", "--norc", "--noprofile", "-i"] if shell == "bash" else ["zsh", "-f", "-i"]
    type_in(command, [f"{source}\n", "uv run scripts/train.py model.pool=subs\t"], "model.pool=subsample")


def test_what_is_installed_twice_asks_what_was_there_before_and_not_itself(installed: tuple[str, Path]) -> None:
    shell, code = installed
    if shell != "bash":
        pytest.skip("bash alone keeps what was there before")
    source = (
        f"before() {{ :; }}; complete -F before uv; source {shlex.quote(str(code))}; source {shlex.quote(str(code))}"
    )
    done = subprocess.run(["bash", "-c", f"{source}; echo $_LENET_UV"], capture_output=True, text=True, check=True)
    assert done.stdout == "before\n"


def test_a_shell_that_is_none_is_refused(answers) -> None:
    (answer,) = answers([["-sc", "install=csh"]])
    assert (answer["code"], answer["said"].count("\n")) == (2, 1)
    assert "install=bash, zsh or fish" in answer["said"]
