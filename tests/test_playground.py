"""The page to draw on, in a real Chromium: what it computes is what torch computes, and everybody can use it."""

import http.client
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Page
from torch import Tensor, nn

import conftest
from conftest import HANG, HEAVY, PROJECT, script, zygote
from lenet.config import Config
from lenet.data.prepare import prepare
from lenet.data.transforms import normalise
from lenet.datasets import DATASETS, data_set
from lenet.errors import BadInput
from lenet.evaluation.activations import capture
from lenet.evaluation.load import Trained, load_trained
from lenet.evaluation.saved import Saved
from lenet.playground.check import check
from lenet.playground.describe import describe
from lenet.playground.page import page as html
from lenet.playground.server import Server, serve
from lenet.training.module import Classifier
from test_browser import CHROMIUM, chromium, photograph

DIGITS, CLOTHES = (PROJECT / f"docs/weights/{name}.safetensors" for name in ("improved_mnist", "improved"))

# Digits as a hand draws them: strokes through points from the top left of the sheet (0, 0) to its bottom right (1, 1).
DRAWN: dict[str, list[list[tuple[float, float]]]] = {
    "0": [[(0.5, 0.15), (0.35, 0.22), (0.28, 0.5), (0.36, 0.78), (0.5, 0.85), (0.65, 0.77), (0.72, 0.5), (0.64, 0.22),
           (0.5, 0.15)]],
    "1": [[(0.42, 0.28), (0.52, 0.15), (0.5, 0.85)]],
    "2": [[(0.3, 0.32), (0.36, 0.18), (0.52, 0.13), (0.67, 0.22), (0.66, 0.4), (0.3, 0.82), (0.74, 0.82)]],
    "3": [[(0.3, 0.2), (0.5, 0.13), (0.67, 0.24), (0.62, 0.4), (0.46, 0.48), (0.66, 0.57), (0.71, 0.72), (0.52, 0.87),
           (0.27, 0.8)]],
    "4": [[(0.4, 0.15), (0.28, 0.52), (0.72, 0.52)], [(0.63, 0.2), (0.6, 0.88)]],
    "5": [[(0.7, 0.15), (0.38, 0.15), (0.34, 0.45), (0.55, 0.42), (0.7, 0.57), (0.66, 0.78), (0.48, 0.87), (0.3, 0.8)]],
    "6": [[(0.6, 0.13), (0.4, 0.35), (0.32, 0.65), (0.42, 0.85), (0.6, 0.84), (0.68, 0.68), (0.56, 0.55), (0.35, 0.6)]],
    "7": [[(0.25, 0.18), (0.73, 0.18), (0.45, 0.86)]],
    "8": [[(0.66, 0.25), (0.5, 0.14), (0.36, 0.25), (0.42, 0.42), (0.62, 0.57), (0.66, 0.75), (0.5, 0.87), (0.34, 0.74),
           (0.42, 0.56), (0.62, 0.4), (0.66, 0.25)]],
    "9": [[(0.66, 0.3), (0.52, 0.15), (0.36, 0.25), (0.37, 0.44), (0.54, 0.5), (0.66, 0.3), (0.64, 0.6), (0.58, 0.88)]],
}  # fmt: skip

pytestmark = pytest.mark.xdist_group("playground")  # one Chromium
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def digits() -> Trained:
    return load_trained(DIGITS)


@pytest.fixture
def shown(page: Page, tmp_path: Path) -> Callable[..., Page]:
    """Opens nets as one file from the disk, without a network; what the page then asks for fails the test."""

    def show(*nets: tuple[Trained, Path], width: int = 1600, height: int = 1000, dark: bool = False) -> Page:
        file = tmp_path / "play.html"
        file.write_text(html([describe(*net) for net in nets]), encoding="utf-8")
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.goto(file.as_uri())
        return page

    def asked(request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            wrong.append(request.url)

    def failed(error: Any) -> None:
        wrong.append(str(error))

    wrong: list[str] = []
    page.on("request", asked)
    page.on("pageerror", failed)
    page.context.set_offline(True)
    yield show
    page.context.set_offline(False)
    page.remove_listener("request", asked)
    page.remove_listener("pageerror", failed)
    assert not wrong


def draw(page: Page, digit: str) -> None:
    page.click("#clear")
    box = page.locator("#paper").bounding_box()
    assert box
    for stroke in DRAWN[digit]:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()
    settled(page)


def until(page: Page, condition: str) -> None:
    """Playwright's own way asks from within the page, whose policy forbids to evaluate text."""
    conftest.until(lambda: page.evaluate(condition))


def settled(page: Page) -> None:
    """Until the page shows the last stroke."""
    until(page, "!isWaiting")


def seen(page: Page, net: int = 0) -> Tensor:
    """What a net sees, as the page says: (1, 1, 28, 28) of uint8."""
    grey = page.evaluate(f"Array.from(now.seen[{net}])")
    return torch.tensor(grey, dtype=torch.uint8).view(1, 1, 28, 28)


def steps(page: Page, net: int = 0) -> dict[str, Tensor]:
    """What each layer gives, as the page says."""
    found = page.evaluate(f"now.results[{net}].steps.map((s) => [s.name, s.shape, Array.from(s.values)])")
    return {name: torch.tensor(values).view(shape) for name, shape, values in found}


def answer(page: Page, net: int = 0) -> str:
    return page.locator(".answer .class").nth(net).inner_text()


def untrained(**model: Any) -> Trained:
    """A net of random weights, with statistics that batch normalisation could have found."""
    config = Config()
    config.data.name, config.data.mean, config.data.std = "mnist", 0.13, 0.31
    for key, value in model.items():
        setattr(config.model, key, value)
    if config.model.kind == "lenet5":
        config.data.pad, config.loss.name = 2, "map"
    torch.manual_seed(0)
    classifier = Classifier(config)
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (layer.running_var, layer.weight):
                nn.init.uniform_(values, 0.5, 2)
            for values in (layer.running_mean, layer.bias):
                nn.init.normal_(values)
    return Trained(config, {"parameters": 1, "metrics": {}}, classifier.eval(), "last")


@in_chromium
@pytest.mark.parametrize(
    "model",
    [
        {},
        {"activation": "relu", "pool": "max", "norm": "batch", "dropout": 0.5},
        {"activation": "tanh", "pool": "conv", "conv_channels": [3, 5], "fc_sizes": [7]},
        {"activation": "gelu", "kernel_size": [7, 3], "padding": [3, 0], "fc_sizes": []},
        {"activation": "silu", "convs_per_block": 2, "kernel_size": 3, "padding": 1, "norm": "batch"},
        {"activation": "leaky_relu", "kernel_size": [6, 4], "conv_channels": [9, 90]},
        {"activation": "scaled_tanh", "pool": "subsample"},
        {"kind": "lenet5", "init": "sqrt_fan_in", "activation": "scaled_tanh", "pool": "subsample"},
    ],
    ids=lambda model: "-".join(str(value) for value in model.values()).replace(" ", "") or "book",
)
def test_every_map_of_every_layer_is_torchs(model: dict[str, Any], shown: Callable[..., Page], tmp_path: Path) -> None:
    trained = untrained(**model)
    page = shown((trained, tmp_path))
    draw(page, "5")
    page.check("#every")
    settled(page)
    config = trained.config.data
    x, found = normalise(seen(page), config.mean, config.std, config.pad), steps(page)
    assert torch.allclose(found.pop("input"), x[0], atol=1e-6)
    for name, layer in trained.model.net.named_children():
        x = layer(x).detach()
        if name in found:
            given = found.pop(name)
            assert torch.allclose(given, x[0], rtol=1e-5, atol=1e-5 * float(x.abs().max())), name
        else:
            assert isinstance(layer, nn.Flatten | nn.Dropout)
    assert not found
    logits = trained.model(normalise(seen(page), config.mean, config.std, config.pad))
    shares = torch.tensor(page.evaluate("now.results[0].probabilities"))
    assert torch.allclose(shares, logits.softmax(1)[0].detach(), atol=1e-4)


@in_chromium
def test_digits_that_are_drawn_are_recognised_and_the_maps_are_those_of_activations(
    shown: Callable[..., Page], digits: Trained
) -> None:
    page = shown((digits, DIGITS))
    assert answer(page) == "…"
    for digit in DRAWN:
        draw(page, digit)
        assert answer(page) == digit
        assert page.locator("#verdict").inner_text() == f"It is taken for: {digit}"
        assert page.locator(".bars .first .label").inner_text() == digit
    data = digits.config.data
    known = list(data_set(data).classes)
    (captured,) = capture(digits.model, normalise(seen(page), data.mean, data.std), ["9"], known, pooled=False)
    (pooled,) = capture(digits.model, normalise(seen(page), data.mean, data.std), ["9"], known, pooled=True)
    for layer, maps in (captured.maps | pooled.maps).items():
        size = "x".join(map(str, maps.shape[1:]))
        caption = page.locator("figcaption:visible").filter(has=page.locator(f"b:text-is('{layer}')")).inner_text()
        assert caption.split("\n") == [f"{layer} {len(maps)} maps of {size}", f"{maps.min():.2f} to {maps.max():.2f}"]
    percent = page.locator(".bars .first .percent").inner_text()
    assert percent == f"{100 * captured.likeliest[0][1]:.1f} %"
    photograph(page, PROJECT / "screenshots/playground.png")


@in_chromium
def test_two_nets_answer_side_by_side_and_each_says_what_it_knows(shown: Callable[..., Page], digits: Trained) -> None:
    clothes = load_trained(CLOTHES)
    page = shown((digits, DIGITS), (clothes, CLOTHES))
    draw(page, "7")
    assert answer(page) == "7"
    assert answer(page, 1) in DATASETS["fashion_mnist"].classes
    assert page.locator("#verdict").inner_text() == f"They disagree: 7 and {answer(page, 1)}."
    said = page.locator(".about").nth(1).inner_text()
    assert "It knows Fashion-MNIST, and takes everything for one of: t-shirt, trouser, pullover" in said
    boxes = [net.bounding_box() for net in page.locator(".net").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    # Each is fitted as the makers of its data did: a digit into 20 rows, a shirt into all 28.
    assert [int((seen(page, net).amax(3) > 0).sum()) for net in (0, 1)] == [20, 28]


@in_chromium
def test_the_sheet_is_drawn_on_with_keys_and_a_finger_and_maps_are_read_with_keys(
    shown: Callable[..., Page], digits: Trained
) -> None:
    page = shown((digits, DIGITS), width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.focus("#paper")
    for key in ["ArrowUp"] * 9 + [" "] + ["ArrowDown"] * 18 + [" "]:
        page.keyboard.press(key)
    settled(page)
    assert answer(page) == "1"
    page.keyboard.press("ArrowRight")  # with the pen lifted
    assert page.evaluate("now.strokes.map((stroke) => stroke.points.length)") == [19]
    page.keyboard.press("Delete")
    settled(page)
    assert answer(page) == "…"
    points = [{"x": 100 + 10 * i, "y": 200} for i in range(12)]
    touch = page.context.new_cdp_session(page)
    for kind, where in (("touchStart", points[:1]), *(("touchMove", [p]) for p in points[1:]), ("touchEnd", [])):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
    until(page, "now.strokes.length === 1 && now.strokes[0].points.length > 3")
    assert page.evaluate("scrollY") == 0  # it is drawn, and the page stays where it is
    draw(page, "8")
    page.locator(".flow canvas:visible").nth(2).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    value = steps(page)["act1"][0, 1, 2]
    assert page.locator("#reading").inner_text() == f"C1, map 1, row 2, column 3: {value:.2f}"
    photograph(page, PROJECT / "screenshots/playground_on_a_phone.png")


@in_chromium
def test_two_fingers_draw_a_stroke_each_and_what_is_taken_back_is_not_drawn_on(
    shown: Callable[..., Page], digits: Trained
) -> None:
    page = shown((digits, DIGITS))
    box = page.locator("#paper").bounding_box()
    assert box
    left, up = box["x"], box["y"]
    fingers = [[{"x": left + x, "y": up + 40 + 10 * i, "id": id} for id, x in ((0, 50), (1, 200))] for i in range(9)]
    touch = page.context.new_cdp_session(page)
    for kind, where in (("touchStart", fingers[0]), *(("touchMove", each) for each in fingers[1:]), ("touchEnd", [])):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
    until(page, "now.strokes.length === 2 && now.strokes.every((stroke) => stroke.points.length > 3)")
    across = page.evaluate(
        "now.strokes.map(({ points }) => Math.max(...points.map(([x]) => Math.abs(x - points[0][0]))))"
    )
    assert max(across) < 5, "each goes straight down"
    for press in ("Delete", "Undo"):
        page.click("#clear")
        page.focus("#paper")
        page.mouse.move(left + 50, up + 50)
        page.mouse.down()
        page.mouse.move(left + 90, up + 90, steps=3)
        if press == "Delete":
            page.keyboard.press(press)
        else:
            page.evaluate("element('undo').click()")  # as another finger does
        page.mouse.move(left + 150, up + 90, steps=3)
        page.mouse.up()
        settled(page)
        assert page.evaluate("now.strokes.length") == 0


@in_chromium
def test_the_last_picture_counts_and_a_stroke_begins_an_empty_sheet(
    shown: Callable[..., Page], digits: Trained, pictures: tuple[Path, Path, Path]
) -> None:
    """However long an earlier picture takes to be read."""
    page = shown((digits, DIGITS))
    draw(page, "1")
    page.evaluate("""() => {
        const read = readHere;
        globalThis.ends = {};
        readHere = async (file) => {
            await new Promise((end) => { ends[file.name] = end; });
            return read(file);
        };
    }""")
    seven, nothing, _ = pictures
    page.set_input_files("#file", nothing)
    until(page, "'nothing.png' in ends")
    page.set_input_files("#file", seven)
    until(page, "'seven.png' in ends")
    page.evaluate("ends['seven.png']()")
    until(page, "now.picture && !isWaiting")
    page.evaluate("ends['nothing.png']()")
    page.set_input_files("#file", nothing)  # a third, whose turn shows that the first has had its own
    until(page, "element('message').textContent === 'nothing.png …'")
    assert answer(page) == "7"
    box = page.locator("#paper").bounding_box()
    assert box
    page.mouse.click(box["x"] + 140, box["y"] + 140)
    page.evaluate("ends['nothing.png']()")
    settled(page)
    assert page.evaluate("now.strokes.map((stroke) => stroke.points.length)") == [1]
    assert page.evaluate("element('message').textContent") == ""


@in_chromium
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing_serious(width: int, dark: bool, shown: Callable[..., Page], tmp_path: Path) -> None:
    page = shown((untrained(), tmp_path), (untrained(), tmp_path), width=width, dark=dark)
    draw(page, "2")
    page.focus("#paper")
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


@pytest.fixture
def server(digits: Trained) -> Iterator[Server]:
    fits = [data_set(digits.config.data).fit]
    with serve(html([describe(digits, DIGITS)], server=True), fits, 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join(HANG)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Ink on grey paper, off the middle; one that shows nothing; and a text."""
    paper = Image.new("RGB", (300, 200), (205, 200, 190))
    ImageDraw.Draw(paper).line([(180, 40), (250, 40), (210, 160)], fill=(30, 40, 90), width=12, joint="curve")
    files = (tmp_path / "seven.png", tmp_path / "nothing.png", tmp_path / "words.png")
    paper.save(files[0])
    Image.new("L", (50, 50), 7).save(files[1])
    files[2].write_text("words", encoding="utf-8")
    return files


def give(page: Page, pictures: tuple[Path, Path, Path]) -> None:
    """What the page says to each, the one that shows a digit last."""
    seven, nothing, words = pictures
    for file, said in ((nothing, "all of one colour"), (words, "not a picture"), (seven, "seven.png")):
        page.set_input_files("#file", file)
        until(page, f"element('message').textContent.includes('{said}') && !isWaiting")
        assert page.evaluate("element('message').textContent").startswith(file.name)
    until(page, "now.picture && !isWaiting")
    assert answer(page) == "7"


@in_chromium
def test_a_picture_that_is_dropped_on_the_served_page_is_read_as_predict_reads_it(
    server: Server, page: Page, pictures: tuple[Path, Path, Path]
) -> None:
    page.goto(server.address)
    give(page, pictures)
    with Image.open(pictures[0]) as picture:
        assert np.array_equal(seen(page)[0, 0].numpy(), prepare(picture, DATASETS["mnist"].fit).pixels)


@in_chromium
def test_the_file_reads_a_picture_without_a_server(
    shown: Callable[..., Page], digits: Trained, pictures: tuple[Path, Path, Path]
) -> None:
    give(shown((digits, DIGITS)), pictures)


def test_the_server_answers_this_machine_alone(server: Server) -> None:
    host, port = server.server_address
    assert host == "127.0.0.1"
    for name, status in ((f"localhost:{port}", 200), (f"127.0.0.1:{port}", 200), (f"evil.example:{port}", 404)):
        connection = http.client.HTTPConnection(host, port)
        connection.request("GET", "/", headers={"Host": name})
        answered = connection.getresponse()
        assert (answered.status, b"<html" in answered.read()) == (status, status == 200)
        connection.request("POST", "/picture", b"words", headers={"Host": name})
        answered = connection.getresponse()
        assert answered.status == status
        if status == 200:
            assert "not a picture" in json.loads(answered.read())["error"]
        connection.close()
    with pytest.raises(BadInput, match=f"--port {port}: .*; give another --port"):
        serve("", [], port)


def test_the_command_serves_and_writes_one_file(tmp_path: Path) -> None:
    done = script("playground.py", str(DIGITS), "--html", "play.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "play.html  1," in done.stdout
    written = (tmp_path / "play.html").read_text(encoding="utf-8")
    assert "http:" not in written
    assert "https:" not in written
    running = zygote(*HEAVY).start(PROJECT / "scripts/playground.py", [str(DIGITS), "--port", "0"], tmp_path)
    try:
        conftest.until(lambda: "Ctrl-C" in running.said, running)
        port = running.said.splitlines()[0].removeprefix("http://127.0.0.1:").rstrip("/")
        taken = script("playground.py", str(DIGITS), "--port", port, cwd=tmp_path)
        assert taken.returncode == 2
        assert taken.stderr.startswith(f"error: --port {port}: Address already in use; give another --port")
        assert taken.stderr.count("\n") == 1
    finally:
        assert running.kill(2)[0] == 0  # Ctrl-C


def test_nets_that_the_page_cannot_compute_are_refused_in_one_line(tmp_path: Path) -> None:
    config = Config()
    config.model.kind = "mine"
    with pytest.raises(BadInput, match=r"run: model.kind=mine, and the page computes nets of the LeNet family alone"):
        check(Saved(config, {}, "last", tmp_path), Path("run"))
    config.model.kind, config.model.fc_sizes = "lenet", [30_000, 900]
    with pytest.raises(BadInput, match=r"39,\d+,\d+ parameters .* too many for a page"):
        check(Saved(config, {}, "last", tmp_path), Path("run"))
    trained = untrained()
    trained.model.net.act1 = nn.Softplus()
    with pytest.raises(BadInput, match=r"run: its layer act1 is Softplus, and the page"):
        describe(trained, Path("run"))


def test_no_text_of_a_net_becomes_part_of_the_page(tmp_path: Path) -> None:
    net = describe(untrained(), tmp_path) | {"title": "</script><script>alert(1)</script>"}
    assert html([net]).count("<script") == 2


def photograph_for_docs(file: Path, picture: Path) -> None:
    """A drawn 3 on the page of --html."""
    with chromium() as page:
        page.goto(file.resolve().as_uri())
        draw(page, "3")
        photograph(page, picture)


if __name__ == "__main__":
    photograph_for_docs(*map(Path, sys.argv[1:]))
