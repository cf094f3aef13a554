"""A real TensorBoard on a real sweep in a real Chromium: what a person sees there.

The pictures of every panel are left in screenshots/. Those in docs/ are made of other runs by

    uv run python tests/test_browser.py RUNS_DIR FOLDER
"""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, sync_playwright

import conftest
from conftest import HANG, HEAVY, PROJECT, script, zygote
from lenet.config import Config
from lenet.run import train
from lenet.runs.directory import RunDirectory
from test_over_seeds import made

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PANELS = ["custom_scalars", "timeseries", "hparams", "images", "graphs", "text", "pr_curves", "histograms", "projector"]
JOBS = ["lr=0.1", "lr=0.3", "lr=1e+30"]  # the last one does not train

pytestmark = [
    pytest.mark.xdist_group("browser"),  # one sweep, TensorBoard and Chromium, in one of pytest-xdist's workers
    pytest.mark.real_data,
    pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium is installed"),
]


@contextmanager
def board(directory: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """The address that scripts/dashboard.py prints for a directory."""
    dashboard, arguments = PROJECT / "scripts/dashboard.py", (str(directory), "--port", "0", *arguments)
    running = zygote(*HEAVY).start(dashboard, arguments, Path.cwd(), os.environ | environment)
    try:
        # On a busy machine a thread of TensorBoard's own may say something before.
        address = re.compile(r"^http://localhost:.*(?=\n)", re.MULTILINE)
        conftest.until(lambda: running.end or address.search(running.said), running)
        printed = address.search(running.said)
        assert printed, running.said
        yield printed[0]
    finally:
        running.kill(signal.SIGTERM)


@contextmanager
def chromium() -> Iterator[Page]:
    assert CHROMIUM, "install Debian's chromium"
    with sync_playwright() as playwright:
        # WebGL, which the projector needs, without a graphics card; no sandbox, which root may not have.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(1000 * HANG)
        yield page
        browser.close()


def show(page: Page, address: str, panel: str) -> None:
    page.goto("about:blank")  # else a new panel of the same page is no new page
    page.goto(f"{address.split('?')[0]}?darkMode=false&{address.split('?')[1].replace('custom_scalars', panel)}")


def text(element: Locator) -> str:
    """All that is written in an element and in the shadow trees in it."""
    said: str = element.evaluate("""element => {
        const hidden = ['STYLE', 'SCRIPT', 'TEMPLATE', 'DOM-MODULE'];
        const read = node => node.nodeType === Node.TEXT_NODE ? node.textContent
            : hidden.includes(node.tagName) ? ''
            : [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes].map(read).join(' ');
        return read(element).replace(/\\s+/g, ' ');
    }""")
    return said


DRAWN = "lines => lines.filter(line => (line.getAttribute('d') || '').length > 20).length"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {HANG} s"
        time.sleep(0.1)


def photograph(page: Page, path: Path) -> None:
    page.wait_for_timeout(500)  # lines are drawn slowly
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path=path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, real_root: str) -> Path:
    """A short sweep with everything that the dashboard offers."""
    folder = tmp_path_factory.mktemp("browser")
    given = ["-m", "optimizer.lr=0.1,0.3,1e30", "model.activation=relu", "model.pool=max", "trainer.max_epochs=3",
             "trainer.limit_train_batches=20", "trainer.limit_val_batches=2", "dashboard.histograms=true",
             "dashboard.embedding=true", "trainer.accelerator=cpu", "threads=1", f"data.root={real_root}"]  # fmt: skip
    done = script("train.py", *given, cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "3 jobs: 2 completed, 1 failed" in done.stdout + done.stderr
    return folder / "runs/lr"


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    with board(runs) as where:
        yield where


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as opened:
        yield opened


@pytest.fixture(autouse=True)
def screenshot(page: Page, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    photograph(page, PROJECT / "screenshots" / f"{request.node.name.removeprefix('test_')}.png")


def test_runs_are_called_after_what_they_vary(page: Page, address: str) -> None:
    show(page, address, "timeseries")
    names = page.locator("runs-data-table")
    until(lambda: names.count() > 0 and all(job in text(names) for job in JOBS), "names of the runs")
    first = page.locator("metrics-card-group-toolbar, card-group-toolbar").first
    until(lambda: first.count() > 0, "the first group of cards")
    assert text(first).split()[0] == "test", "numbers come before pictures"


def test_training_and_validation_are_in_one_plot(page: Page, address: str) -> None:
    show(page, address, "custom_scalars")
    cards = page.locator("tf-custom-scalar-multi-line-chart-card")
    until(lambda: cards.count() == 6 and "Matches (4)" in text(cards.nth(0)), "the plots")
    for card, metric in ((cards.nth(0), "acc"), (cards.nth(1), "loss")):
        until(lambda card=card: "Matches (4)" in text(card), "the curves of a plot")
        said = text(card)
        for part in ("train", "val"):
            for job in JOBS[:2]:  # the third has not finished an epoch
                assert f"{part}/{metric} ({job})" in said
        until(lambda card=card: card.locator("path.line").evaluate_all(DRAWN) >= 4, "four lines")
        assert text(card.locator("#shades")).split() == ["validation", "training"]
        entries = card.locator(".match-list-entry")
        colours = {text(one).split(" ", 1)[1].strip(): one.evaluate("e => e.style.color") for one in entries.all()}
        assert entries.first.is_visible(), "the list is the legend"
        assert len(set(colours.values())) == 4, "a shade for each of two runs and two parts"
        strokes = "lines => lines.map(line => line.getAttribute('stroke'))"
        assert len(set(card.locator("path.line").evaluate_all(strokes))) >= 4


def test_every_job_has_a_row_in_hparams_and_the_values_of_its_result(page: Page, address: str, runs: Path) -> None:
    show(page, address, "hparams")
    table = page.locator("tf-hparams-table-view")
    until(lambda: table.count() > 0 and all(job in text(table) for job in JOBS), "a row for each job")
    said = text(table)
    # What the sweep varies comes first; TensorBoard then adds by the alphabet until there are five.
    heads = ["Trial ID", "Show Metrics", "lr", "activation", "batch_size", "conv_channels", "data",
             "val/acc", "test/acc", "parameters", "seconds"]  # fmt: skip
    assert said.split(JOBS[0])[0].split() == " ".join(heads).split()
    for job, following in zip(JOBS, [*JOBS[1:], None], strict=True):
        cells = said.split(job, 1)[1].split(following, 1)[0].split() if following else said.split(job, 1)[1].split()
        result = RunDirectory(runs / job).read_result()
        assert cells[1:5] == ["relu", "256", "6x16", "fashion_mnist"]
        numbers = [float(cell) for cell in cells if cell.replace("e+", "").replace(".", "").isdigit()]
        assert float(job[3:]) in numbers
        for value in (*result["metrics"].values(), result["parameters"], result["seconds"]):
            key = next((key for key, known in result["metrics"].items() if known == value), "")
            if key.startswith("train") or key.endswith("loss"):
                continue
            assert any(number == pytest.approx(value, rel=1e-4) for number in numbers), (job, key, value, cells)


def test_the_address_opens_at_custom_scalars_and_bends_no_curve(page: Page, address: str) -> None:
    page.goto("about:blank")
    page.goto(address)
    cards = page.locator("tf-custom-scalar-multi-line-chart-card")
    until(lambda: cards.count() == 6 and cards.first.is_visible(), "the plots")
    assert "#custom_scalars" in page.url
    until(lambda: cards.first.locator("path.line").evaluate_all(DRAWN) >= 4, "four lines")
    assert page.locator("tf-smoothing-input").first.evaluate("e => e.weight") == 0
    show(page, address, "timeseries")
    smoothing = page.locator(".scalars-smoothing input[type=number]")
    until(lambda: smoothing.count() == 1 and smoothing.input_value() == "0", "no smoothing there either")


def test_a_sweep_has_its_mean_and_band_over_seeds_on_top(page: Page, tmp_path: Path) -> None:
    made(tmp_path / "runs")
    with board(tmp_path / "runs") as place:
        page.goto("about:blank")
        page.goto(place)
        cards = page.locator("tf-custom-scalar-margin-chart-card")
        until(lambda: cards.count() == 1 and "Matches (2)" in text(cards.first), "the plot")
        said = text(page.locator("tf-custom-scalar-dashboard"))
        assert "over seeds: mean ± standard deviation" in said
        for setting in ("pool=avg", "pool=max"):
            assert f"whole_sweep/val/acc (over_seeds/{setting})" in said
        until(lambda: cards.first.locator("path.area").evaluate_all(DRAWN) == 2, "two bands")
        assert "Missing Tags" not in said


def test_a_single_run_has_its_name(page: Page, runs: Path) -> None:
    with board(runs / JOBS[0]) as place:
        show(page, place, "custom_scalars")
        names = page.locator("tf-runs-selector")
        until(lambda: names.count() > 0 and JOBS[0] in text(names), "the name of the run")


def test_the_result_is_in_sight_on_a_small_screen(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    try:
        show(page, address, "hparams")
        table = page.locator("tf-hparams-table-view")
        until(lambda: table.count() > 0 and all(job in text(table) for job in JOBS), "a row for each job")
        head = table.locator("vaadin-grid-cell-content", has_text="test/acc").first
        until(lambda: (box := head.bounding_box()) is not None and box["x"] + box["width"] <= 1400, "its column")
    finally:
        page.set_viewport_size({"width": 1600, "height": 1000})


def test_hparams_shows_what_tells_runs_apart_whichever_ran_first(
    page: Page, tiny_config: Config, tmp_path: Path
) -> None:
    tiny_config.trainer.max_epochs = 1
    tiny_config.optimizer.lr = Config().optimizer.lr
    train(tiny_config, tmp_path / "runs/lenet/1")
    first = RunDirectory(tmp_path / "runs/lenet/1")
    tiny_config.model.norm, tiny_config.schedule.name, tiny_config.data.augment.shift = "batch", "cosine", 2
    train(tiny_config, tmp_path / "runs/lenet/2", ["model.norm=batch", "schedule=cosine", "data.augment.shift=2"])
    resumed = first.read_config()
    resumed.trainer.max_epochs, resumed.resume = 2, str(first.path)
    train(resumed, first.path)
    with board(tmp_path / "runs") as place:
        show(page, place, "hparams")
        table = page.locator("tf-hparams-table-view")
        until(lambda: table.count() > 0 and "lenet/2" in text(table), "a row for each run")
        said = text(table)
        heads = ["Trial ID", "Show Metrics", "epochs", "norm", "schedule.name", "shift", "activation",
                 "val/acc", "test/acc", "parameters", "seconds"]  # fmt: skip
        assert said.split("lenet/1")[0].split() == " ".join(heads).split()
        row = said.split("lenet/1")[1].split("lenet/2")
        assert row[0].split()[:5] == ["2", "none", "constant", "0", "tanh"]
        assert row[1].split()[:5] == ["1", "batch", "cosine", "2", "tanh"]


def test_pictures_are_shown_pixel_for_pixel(page: Page, address: str) -> None:
    show(page, address, "images")
    pictures = page.locator("tf-image-loader img")
    until(lambda: pictures.count() >= 12, "two runs with six pictures")
    until(lambda: all(p.evaluate("p => p.naturalWidth > 0") for p in pictures.all()), "the pictures themselves")
    loaders = [text(loader) for loader in page.locator("tf-image-loader").all()]
    for tag in ("what_it_confuses/matrix", "what_it_confuses/surest_mistakes", "what_it_sees/pullover_and_coat",
                "what_it_sees/c1_by_class", "what_it_sees/c3_by_class", "what_it_sees/filters"):  # fmt: skip
        for job in JOBS[:2]:
            assert any(tag in said and job in said for said in loaders), (tag, job)
    for picture in pictures.all():
        wide, shown = picture.evaluate("p => [p.naturalWidth, p.getBoundingClientRect().width]")
        assert wide == shown, "it would be unreadable: TensorBoard leaves out pixels of wider ones"


def test_the_graph_shows_the_layers_and_their_shapes(page: Page, address: str) -> None:
    show(page, address, "graphs")
    drawn = page.locator("tf-graph-scene")
    until(lambda: drawn.count() > 0 and "output" in text(drawn), "the graph")
    said = text(drawn).split()
    for layer in ("images", "c1", "act1", "s2", "c3", "s4", "c5", "f6", "output"):
        assert layer in said
    assert "?×16×10×10" in said


def test_the_text_has_config_result_error_and_explanations(page: Page, address: str) -> None:
    show(page, address, "text")
    texts = page.locator("tf-text-loader")
    until(lambda: texts.count() == 12 and all("step" in text(one) for one in texts.all()), "the texts")
    said = [text(one) for one in texts.all()]
    assert "run/changed" in said[0], "it begins with what differs from the default"
    assert "model.pool max avg" in said[0]
    assert any("run/config" in one and "max_epochs: 3" in one for one in said)
    assert any("run/result" in one and "status completed" in one for one in said)
    assert any("run/result" in one and "status failed" in one and "the training loss became" in one for one in said)
    assert any("run/tags" in one and "train/grad_norm" in one for one in said)


def test_each_class_has_its_curve_of_precision_and_recall(page: Page, address: str) -> None:
    show(page, address, "pr_curves")
    cards = page.locator("tf-pr-curve-card")
    until(lambda: cards.count() >= 10, "ten curves")
    assert {text(card).split("precision_recall/")[1].split()[0] for card in cards.all()} >= {"coat", "pullover", "bag"}


def test_histograms_are_of_weights_and_gradients(page: Page, address: str) -> None:
    show(page, address, "histograms")
    panes = page.locator("tf-category-paginated-view")
    until(lambda: panes.count() >= 2, "two groups")
    said = " ".join(text(pane) for pane in panes.all())
    assert "weight_gradients" in said
    assert "weights" in said


def test_the_projector_has_a_thousand_test_images(page: Page, address: str) -> None:
    show(page, address, "projector")
    pane = page.frame_locator("iframe").frame_locator("iframe").locator("vz-projector")  # in frames of its own
    until(lambda: pane.count() > 0 and "Dimension: 84" in text(pane), "a point has 84 coordinates")
    assert "Points: 1000" in text(pane)
    assert JOBS[0] in text(pane)


def test_it_serves_this_machine_alone_and_opens_a_browser(runs: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/opened\n")
    browser.chmod(0o755)
    with board(runs, "--open", BROWSER=str(browser)) as place:
        until((tmp_path / "opened").exists, "the browser")
        until(lambda: (tmp_path / "opened").read_text().strip() == place, "the address")
        port = int(place.split("/?")[0].rsplit(":", 1)[1])
        listening = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
        ours = [where for _, where, _, state, *_ in listening if state == "0A" and where.endswith(f":{port:04X}")]
        assert ours == [f"0100007F:{port:04X}"], "127.0.0.1 and no other"


if __name__ == "__main__":
    with board(Path(sys.argv[1])) as place, chromium() as window:
        for panel in PANELS:
            window.set_viewport_size({"width": 1400 if panel == "custom_scalars" else 1600, "height": 1040})
            show(window, place, panel)
            window.wait_for_timeout(8000)
            photograph(window, Path(sys.argv[2]) / f"{panel}.png")
