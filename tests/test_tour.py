"""docs/tour.ipynb, from top to bottom, and what a notebook does to a run: its stop button, and a new kernel.

All of the tour, and its outputs made anew: uv run pytest tests/test_tour.py --write-docs
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

import lenet
from conftest import PROJECT, same_run
from lenet.runs.directory import RunDirectory

TOUR = PROJECT / "docs/tour.ipynb"
BATCHES = "LENET_TOUR_BATCHES"  # an epoch has so many batches

pytestmark = pytest.mark.xdist_group("tour")


def tidy(book: Any) -> None:
    """Of a bar that was drawn again and again its last state stays, and nothing of this machine."""
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # when it was
        outputs: list[Any] = []
        for output in cell.get("outputs", []):  # a kernel sends what is printed in pieces
            if output.output_type == "stream" and outputs and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        for output in outputs:
            if output.output_type == "stream":
                output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
            elif "image/png" in output.get("data", {}):
                output.data.pop("image/jpeg", None)  # Pillow gives a picture as both
        if cell.cell_type == "code":
            cell.outputs = outputs
    book.metadata.language_info = {"name": "python"}


@pytest.mark.real_data
def test_the_tour_runs_from_top_to_bottom(
    request: pytest.FixtureRequest, real_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat  # here, as it takes seconds, in every process that collects the tests
    from nbclient import NotebookClient

    writes = request.config.getoption("--write-docs")
    monkeypatch.setenv("LENET_DATA", str(Path(real_root).resolve()))
    if not writes:
        monkeypatch.setenv(BATCHES, "2")
    book = nbformat.read(TOUR, 4)
    NotebookClient(book, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    if writes:
        tidy(book)
        nbformat.write(book, TOUR)
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 7
    assert not [output.text for output in shown if output.get("name") == "stderr"]


def test_the_tour_can_be_read_without_running_it() -> None:
    import nbformat

    text = TOUR.read_text(encoding="utf-8")
    assert len(text) < 2**20
    book = nbformat.reads(text, 4)
    nbformat.validate(book)
    assert not re.search(r"/(tmp|home|root|work|Users)/", text)
    first, *cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert BATCHES in first.source
    for cell in cells:
        assert cell.outputs, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source
            assert len(output.get("text", "").splitlines()) <= 25, cell.source  # no wall of log


class Notebook:
    """A kernel, and cells that it is given."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(cwd=str(folder))
        self.connect()

    def connect(self) -> None:
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=600)

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self.connect()

    def start(self, source: str) -> str:
        return self.client.execute(source)

    def ended(self, cell: str) -> list[dict[str, Any]]:
        """What is shown below a cell, once it has ended."""
        shown = []
        while True:
            message = self.client.get_iopub_msg(timeout=600)
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return shown
            shown.append(message["content"])

    def run(self, source: str) -> list[dict[str, Any]]:
        return self.ended(self.start(source))


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_root: str) -> Iterator[Notebook]:
    monkeypatch.setenv("LENET_DATA", str(Path(real_root).resolve()))
    opened = Notebook(tmp_path)
    try:
        yield opened
    finally:
        opened.client.stop_channels()
        opened.manager.shutdown_kernel(now=True)


def until(said: Callable[[], bool]) -> None:
    for _ in range(6000):
        if said():
            return
        time.sleep(0.1)
    pytest.fail("it never came")


@pytest.mark.real_data
def test_stop_button_and_restart_cost_no_more_than_an_epoch_and_no_bit(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model.fc_sizes=[12]", "threads=1", "trainer.accelerator=cpu",
             *(f"trainer.limit_{part}_batches=2" for part in ("train", "val", "test"))]  # fmt: skip
    run = RunDirectory(tmp_path / "run")
    ask = f"run = lenet.train(*{words}, 'hydra.run.dir=run', max_epochs=100_000)"
    training = notebook.start(f"import lenet\n{ask}")
    until(lambda: run.last_checkpoint.exists())
    notebook.start("lenet.train(resume='run', max_epochs=100_000)")  # a second cell, started meanwhile: it is not run
    notebook.manager.interrupt_kernel()
    error = notebook.ended(training)[-1]
    assert (error["ename"], error["evalue"]) == ("Interrupted", "the run was stopped")
    (line,) = error["traceback"]
    assert line.endswith(f'this goes on: lenet.train(resume="{run.path}")')
    stopped = run.epochs
    assert stopped >= 1
    assert (run.read_result() or {})["status"] == "interrupted"

    training = notebook.start("run = lenet.train(resume='run', max_epochs=100_000)")
    until(lambda: run.epochs > stopped + 1)
    reached = run.epochs
    notebook.restart()
    left = run.epochs
    assert left >= reached
    shown = notebook.run(f"import lenet\nrun = lenet.load('run').resume(max_epochs={left + 1})\nlen(run.metrics)")
    assert shown[-1]["data"]["text/plain"] == str(left + 1)

    monkeypatch.chdir(tmp_path)
    whole = lenet.train(*words, "hydra.run.dir=whole", max_epochs=left + 1)
    same_run(run, RunDirectory(whole.path))
