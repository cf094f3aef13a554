"""What a command imports, which is nearly all that somebody waits for before its first update."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import PROJECT
from lenet.system import imports

# What Lightning and torchmetrics would bring along, and what a run needs at no time.
UNNEEDED = {"IPython", "matplotlib", "mpl_toolkits", "pandas", "rich", "scipy", "torchvision"}

# Runs a script, and says at its end what it has imported.
SAYS = """
import json, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_a_run_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """All of it, test and pictures included. A process of its own, since this one has imported everything."""
    grey = np.random.default_rng(0).integers(0, 256, (24, 28, 28), dtype=np.uint8)
    for number, image in enumerate(grey):
        folder = tmp_path / "pictures" / f"kind{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    words = ["data=folder", f"data.root={tmp_path / 'pictures'}", "data.batch_size=8", "trainer.max_epochs=1"]
    done = subprocess.run(
        [sys.executable, "-c", SAYS, str(PROJECT / "scripts/train.py"), *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"torch", "lightning", "tensorboard"} <= imported
    assert not UNNEEDED & imported


def test_what_is_left_out_is_missing_for_a_moment_and_then_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rich", raising=False)
    with imports.without("rich"):
        with pytest.raises(ModuleNotFoundError, match="rich is left out"):
            importlib.util.find_spec("rich")
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("rich")
        assert importlib.util.find_spec("markdown_it")
        assert importlib.metadata.version("torch")
    assert importlib.util.find_spec("rich")
    assert importlib.metadata.version("rich")


@pytest.mark.parametrize("words", [[], ["--extend", "mine.py"]])
def test_code_of_somebodys_own_gets_all_that_lightning_has(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    says = "from lenet import cli; from lenet.system import imports; cli.run(lambda: print(*imports.left_out()))"
    done = subprocess.run(
        [sys.executable, "-c", says, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ([] if words else list(imports.OPTIONAL))
