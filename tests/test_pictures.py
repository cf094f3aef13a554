"""What a net sees: the right images, the right maps, and a file that can be opened."""

import itertools
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from conftest import script
from lenet.config import Config, Data, Loss, Model, Optimizer
from lenet.data.files import load
from lenet.data.prepare import drawing
from lenet.errors import BadInput
from lenet.evaluation import activations, canvas, pictures
from lenet.evaluation.activations import capture
from lenet.evaluation.canvas import mosaic
from lenet.evaluation.examples import chosen
from lenet.evaluation.predictions import Predictions
from lenet.run import train
from lenet.training.module import Classifier


@given(n=st.integers(1, 20), height=st.integers(1, 12), width=st.integers(1, 12))
def test_a_mosaic_shows_every_map_whole(n: int, height: int, width: int) -> None:
    maps = torch.arange(n * height * width, dtype=torch.float).view(n, height, width)
    shown = mosaic(maps)
    values = shown[~shown.isnan()]
    assert sorted(values.tolist()) == maps.flatten().tolist()


@pytest.mark.parametrize("pooled", [False, True])
def test_the_maps_are_those_of_the_layers(pooled: bool) -> None:
    torch.manual_seed(0)
    model = Classifier(Config(model=Model(activation="relu", pool="max"))).eval()
    images = torch.rand(2, 1, 28, 28)
    captured = capture(model, images, ["a", "b"], [f"class {i}" for i in range(10)], pooled)
    with torch.inference_mode():
        c1 = model.net.c1(images).relu()
        s2 = model.net.s2(c1)
        c3 = model.net.c3(s2).relu()
        s4 = model.net.s4(c3)
        logits = model.net(images)
    expected = {"S2": s2, "S4": s4} if pooled else {"C1": c1, "C3": c3}
    for i, each in enumerate(captured):
        assert list(each.maps) == list(expected)
        for name, maps in expected.items():
            assert torch.equal(each.maps[name], maps[i])
        assert each.answer == f"class {logits[i].argmax()}"
        assert torch.equal(each.image, images[i, 0])


@pytest.mark.parametrize(
    ("repeats", "layers", "pools"),
    [(1, ["C1", "C3"], ["S2", "S4"]), (2, ["C1", "C2"], ["S3", "S6"]), ([1, 2], ["C1", "C3"], ["S2", "S5"])],
)
def test_blocks_of_several_convolutions_show_the_first_two_of_each_kind(repeats, layers, pools) -> None:
    config = Config(model=Model(convs_per_block=repeats, kernel_size=3, padding=1))
    model = Classifier(config).eval()
    images = torch.rand(1, 1, 28, 28)
    for pooled, expected in ((False, layers), (True, pools)):
        (each,) = capture(model, images, ["a"], [str(i) for i in range(10)], pooled)
        assert list(each.maps) == expected
    with torch.inference_mode():
        for name, layer in model.net.named_children():
            images = layer(images)
            if name == f"s{pools[1][1:]}":
                assert torch.equal(each.maps[pools[1]], images[0])


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written in the pictures of a test."""
    words: list[str] = []
    write = canvas.Canvas.write

    def noted(self: canvas.Canvas, text: str, *rest: object, **more: object) -> None:
        words.append(text)
        write(self, text, *rest, **more)

    monkeypatch.setattr(canvas.Canvas, "write", noted)
    return words


Box = tuple[float, float, float, float]  # left, top, right, bottom


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Box]]:
    """Each text that is drawn in a picture of scale 1, and where it lies."""
    found: list[tuple[str, Box]] = []
    draw, upwards = ImageDraw.ImageDraw.text, canvas.Canvas.write_upwards

    def noted(self: ImageDraw.ImageDraw, at: tuple[float, float], text: str, **more: Any) -> None:
        found.append((text, self.textbbox(at, text, font=more["font"], anchor=more["anchor"])))
        draw(self, at, text, **more)

    def turned(self: canvas.Canvas, text: str, x: int, y: int, room: int, size: int) -> None:
        upwards(self, text, x, y, room, size)
        said, (left, top, right, bottom) = found.pop()
        edge = x - (canvas.LINE if size == canvas.LETTERS else size + 1) // 2
        found.append((said, (edge + top, y - right, edge + bottom, y - left)))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    monkeypatch.setattr(canvas.Canvas, "write_upwards", turned)
    return found


def capture_of(model: Classifier, titles: list[str], pooled: bool = False) -> list[activations.Activations]:
    return capture(model, torch.rand(len(titles), 1, 28, 28), titles, [str(i) for i in range(10)], pooled)


def test_the_picture_of_activations_names_image_answer_and_layers(written: list[str]) -> None:
    shown = pictures.activations(capture_of(Classifier(Config()).eval(), ["coat", "bag", "noise"]), scale=2)
    assert [text for text in written if text in ("coat", "bag", "noise")] == ["coat", "bag", "noise"]
    assert sum(text.startswith("taken for: ") for text in written) == 3
    assert sum(text.startswith("C1: 6 maps of 28x28") for text in written) == 3
    assert sum(text.startswith("C3: 16 maps of 10x10") for text in written) == 3
    assert shown.width > 2 * canvas.WIDTH
    assert len({colour for _, colour in shown.getcolors(10**6)}) > 100, "there are maps in it"


LENET5 = Config(
    data=Data(pad=2),
    model=Model("lenet5", kernel_size=5, padding=0, activation="scaled_tanh", pool="subsample", init="sqrt_fan_in"),
    optimizer=Optimizer("sdlm", lr=0.001),
    loss=Loss("map"),
)


@pytest.mark.parametrize("kind", ["lenet", "lenet5"])
def test_the_three_likeliest_classes_are_named_with_their_shares(kind: str) -> None:
    model = Classifier(LENET5 if kind == "lenet5" else Config()).eval()
    images = torch.rand(4, 1, 32, 32) if kind == "lenet5" else torch.rand(4, 1, 28, 28)
    captured = capture(model, images, ["a", "b", "c\x1b", "d"], [f"class {i}" for i in range(10)], pooled=False)
    with torch.inference_mode():
        shares = Predictions(model(images), torch.zeros(4, dtype=torch.long)).probabilities
    for each, row in zip(captured, shares, strict=True):
        named = [(int(name.removeprefix("class ")), share) for name, share in each.likeliest]
        assert [share for _, share in named] == sorted(row.tolist(), reverse=True)[:3]
        assert all(row[number] == share for number, share in named)
        assert each.answer == each.likeliest[0][0]
    shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in captured[2].likeliest)
    assert activations.in_words(captured[2]) == f"c\\x1b: {shown}"


def test_the_script_says_of_each_image_what_it_may_be_and_sees_ink_on_paper_as_it_is_meant(
    tiny_config: Config, tmp_path: Path
) -> None:
    tiny_config.trainer.max_epochs = 1
    train(tiny_config, tmp_path / "run")
    Image.new("L", (40, 40), 255).save(tmp_path / "paper.png")
    with Image.open(tmp_path / "paper.png") as paper:
        paper.paste(0, (15, 15, 25, 25))
        paper.save(tmp_path / "ink.png")
    lines: list[str] = []
    for words in ([], ["--invert"]):
        done = script("activations.py", "run", "--image", "ink.png", "--noise", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        ink, noise, where = done.stdout.splitlines()
        assert re.fullmatch(r"ink\.png: ([a-z -]+ \d+\.\d %(, |$)){3}", ink)
        assert noise.startswith("noise: ")
        assert where == "run/activations.png"
        assert done.stderr == ""
        lines.append(ink)
    assert lines[0] == lines[1]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_net_with_one_convolution_layer_has_one_column_of_maps(pooled: bool) -> None:
    model = Classifier(Config(model=Model(conv_channels=[4], padding=0))).eval()
    (each,) = capture_of(model, ["x"], pooled)
    assert list(each.maps) == (["S2"] if pooled else ["C1"])
    pictures.activations([each])


def test_images_are_chosen_by_class_number_and_file(tiny: Path, tmp_path: Path) -> None:
    data = Data(root=str(tiny), mean=0.5, std=0.5)
    images, labels = load("fashion_mnist", str(tiny), "test")
    white = Image.new("RGB", (28, 28), "black")
    white.paste("white", (4, 0, 24, 28))
    white.save(tmp_path / "white.png")
    pixels, titles, answers = chosen(data, ["coat", "bag"], [7], [tmp_path / "white.png"], noise=True)
    assert pixels.shape == (5, 1, 28, 28)
    coat = (labels == answers.index("coat")).nonzero()[0].item()
    assert titles[0] == f"coat (test image {coat})"
    assert torch.allclose(pixels[0], images[coat] / 255 * 2 - 1)
    assert titles[2] == f"{answers[labels[7]]} (test image 7)"
    assert pixels[3, 0, 14, [0, 14]].tolist() == [-1, 1]
    assert titles[3:] == ["white.png", "noise"]
    assert 0.4 < (pixels[4] * 0.5 + 0.5).mean().item() < 0.6


def test_without_a_choice_a_pullover_and_a_coat_are_shown(tiny: Path) -> None:
    titles = chosen(Data(root=str(tiny)))[1]
    assert [title.split(" (")[0] for title in titles] == ["pullover", "coat"]


def test_a_class_or_number_that_does_not_exist_is_named_with_those_that_do(tiny: Path) -> None:
    with pytest.raises(BadInput, match=r"--classes sweater: .*pullover.*ankle boot"):
        chosen(Data(root=str(tiny)), ["sweater"])
    with pytest.raises(BadInput, match=r"--images 50: .*0 to 49"):
        chosen(Data(root=str(tiny)), numbers=[50])


def bomb() -> bytes:
    """A PNG of a few bytes that says that it is 50,000 pixels wide and high."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"words", "not a picture"), (b"", "not a picture"), (bomb(), "smaller picture"), (None, "No such file")],
)
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    file = tmp_path / "file.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=word) as caught:
        drawing(file, None)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_transparent_is_background(tmp_path: Path) -> None:
    drawn = Image.new("RGBA", (28, 28), (255, 255, 255, 0))
    drawn.putpixel((3, 5), (255, 255, 255, 255))
    drawn.save(tmp_path / "drawn.png")
    grey = np.asarray(drawing(tmp_path / "drawn.png", None).grey, int)
    assert grey[5, 3] == 255
    assert grey.sum() == 255


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"cut\.png"):
        drawing(tmp_path / "cut.png", None)


@pytest.mark.parametrize("maps", [3, 8, 16, 40])
def test_each_class_has_a_row_of_maps_sixteen_at_most(maps: int, written: list[str]) -> None:
    model = Classifier(Config(model=Model(conv_channels=[maps, 4]))).eval()
    shown = pictures.classes(capture_of(model, [f"class {i}" for i in range(10)]), "C1")
    assert shown.width == canvas.WIDTH
    assert written[0].startswith("C1: 16 of 40 maps" if maps == 40 else f"C1: {maps} maps")
    assert [text for text in written if text.startswith("class")] == [f"class {i}" for i in range(10)]


@pytest.mark.parametrize("kernels", [1, 6, 64])
def test_filters_are_red_where_they_are_positive_and_blue_where_negative(kernels: int) -> None:
    weight = torch.full((kernels, 1, 5, 5), 0.5)
    weight[0] = -0.5
    shown = pictures.filters(weight)
    colours = {colour for _, colour in shown.getcolors(10**6)}
    assert canvas.DIVERGING[0] in colours
    assert (canvas.DIVERGING[2] in colours) == (kernels > 1)
    assert shown.width == canvas.WIDTH


def test_the_confusion_matrix_shows_every_count_in_its_cell(written: list[str]) -> None:
    counts = [[0] * 10 for _ in range(10)]
    counts[0][0], counts[0][1], counts[1][0] = 6, 2, 4
    names = [f"class {i}" for i in range(10)]
    shown = pictures.confusion(counts, names, names, "the title")
    assert written[0] == "the title"
    assert {"6", "2", "4"} == {text for text in written if text.isdigit()}
    assert all(written.count(name) == 2 for name in names), "a row and a column"
    assert shown.width == canvas.WIDTH
    corner = shown.getpixel((66 + 28 + 3, shown.height - canvas.GAP - 10 * 28 + 28 + 3))  # class 1 as class 1: 0 of 4
    assert corner == (255, 255, 255)
    assert shown.getpixel((66 + 3, shown.height - canvas.GAP - 10 * 28 + 28 + 3)) == canvas.BLUES[-1]  # 4 of 4


@pytest.mark.parametrize("classes", [2, 10, 11, 15, 26, 47, 100, 400])
@pytest.mark.parametrize("length", [1, 40])
def test_a_matrix_of_any_number_of_classes_is_whole_and_no_text_lies_on_another(
    boxes: list[tuple[str, Box]], classes: int, length: int
) -> None:
    names = [f"{i:x<{length}}" for i in range(classes)]
    counts = [[500 if i == j else int(i == 1) * j for j in range(classes)] for i in range(classes)]
    shown = pictures.confusion(counts, names, names, "the title")
    assert shown.width == canvas.WIDTH, "as wide as TensorBoard shows it"
    for (text, one), (other, two) in itertools.combinations(boxes, 2):
        across, down = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
        assert min(across, down) <= 1, f"{text} lies on {other}"  # a pixel: letters that end below the line
    for text, (left, top, right, bottom) in boxes:
        assert left >= 0, text
        assert top >= 0, text
        assert right <= shown.width, text
        assert bottom <= shown.height, text
    said = [text for text, _ in boxes]
    if classes >= 26:
        assert "the most frequent mistakes:" in said
        assert length > 1 or f"1 taken for {classes - 1}: {classes - 1:,} of {sum(counts[1]):,}" in said
        assert "500" not in said, "where a number has no room there is none"
    elif classes < 20:
        assert said.count("500") == classes


def test_a_file_has_the_numbers_of_many_classes_too(written: list[str]) -> None:
    names = [chr(ord("A") + i) for i in range(26)]
    counts = [[500 if i == j else 3 for j in range(26)] for i in range(26)]
    shown = pictures.confusion(counts, names, names, "the title", most=1000)
    assert written.count("500") == 26
    assert shown.width > 26 * 28


def test_the_surest_mistakes_say_what_is_taken_for_what(written: list[str]) -> None:
    logits = torch.zeros(3, 10)
    logits[0, 1], logits[1, 2], logits[2, 2] = 9, 5, 9
    names = [f"class {i}" for i in range(10)]
    shown = pictures.surest_mistakes(
        Predictions(logits, torch.tensor([0, 3, 2])), torch.zeros(3, 1, 28, 28, dtype=torch.uint8), names, "title"
    )
    assert written == ["title", "is: class 0", "class 1 100 %", "is: class 3", "class 2 94 %"]
    assert shown.width == canvas.WIDTH


def test_a_value_between_two_colours_is_mixed_and_nan_is_white() -> None:
    shown = canvas.paint(torch.tensor([[0.0, 0.5, 1.0, float("nan")]]), 0, 1, canvas.GREY)
    assert shown.tolist() == [[[0, 0, 0], [128, 128, 128], [255, 255, 255], [255, 255, 255]]]
    level = canvas.paint(torch.ones(1, 1), 1, 1, canvas.GREY)  # a map that is the same everywhere
    assert level.tolist() == [[[0, 0, 0]]]
