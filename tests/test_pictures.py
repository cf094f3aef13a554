"""What a net sees: the right images, the right maps, and a file that can be opened."""

import struct
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lenet.classifier import Classifier
from lenet.config import Config, Data, Model
from lenet.data import load
from lenet.errors import BadInput
from lenet.inputs import chosen, picture
from lenet.pictures import activations_figure, look, mosaic
from lenet.train import train


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
    sights = look(model, images, ["a", "b"], [f"class {i}" for i in range(10)], pooled)
    with torch.inference_mode():
        c1 = model.net.c1(images).relu()
        s2 = model.net.s2(c1)
        c3 = model.net.c3(s2).relu()
        s4 = model.net.s4(c3)
        logits = model.net(images)
    expected = {"S2": s2, "S4": s4} if pooled else {"C1": c1, "C3": c3}
    for i, sight in enumerate(sights):
        assert list(sight.maps) == list(expected)
        for name, maps in expected.items():
            assert torch.equal(sight.maps[name], maps[i])
        assert sight.answer == f"class {logits[i].argmax()}"
        assert torch.equal(sight.image, images[i, 0])


def test_the_figure_names_image_answer_and_layers(tmp_path: Path) -> None:
    model = Classifier(Config()).eval()
    sights = look(model, torch.rand(3, 1, 28, 28), ["coat", "bag", "noise"], [str(i) for i in range(10)], pooled=False)
    figure = activations_figure(sights)
    titles = [text.get_text() for text in figure.texts]
    assert len(titles) == 9
    assert titles[0].startswith("coat\ntaken for: ")
    assert titles[4].startswith("C1: 6 maps of 28×28")
    assert titles[8].startswith("C3: 16 maps of 10×10")
    figure.savefig(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as shown:
        assert shown.width > shown.height > 300


@pytest.mark.parametrize("pooled", [False, True])
def test_a_net_with_one_convolution_layer_has_one_column_of_maps(pooled: bool) -> None:
    model = Classifier(Config(model=Model(conv_channels=[4], padding=0))).eval()
    (sight,) = look(model, torch.rand(1, 1, 28, 28), ["x"], [str(i) for i in range(10)], pooled)
    assert list(sight.maps) == (["S2"] if pooled else ["C1"])
    assert len(activations_figure([sight]).texts) == 2


def test_images_are_chosen_by_class_number_and_file(tiny: Path, tmp_path: Path) -> None:
    data = Data(root=str(tiny), mean=0.5, std=0.5)
    images, labels = load("fashion_mnist", str(tiny), "t10k")
    Image.new("RGB", (300, 200), "white").save(tmp_path / "white.png")
    pixels, titles, answers = chosen(data, ["coat", "bag"], [7], [tmp_path / "white.png"], noise=True)
    assert pixels.shape == (5, 1, 28, 28)
    coat = (labels == answers.index("coat")).nonzero()[0].item()
    assert titles[0] == f"coat (test image {coat})"
    assert torch.allclose(pixels[0], images[coat] / 255 * 2 - 1)
    assert titles[2] == f"{answers[labels[7]]} (test image 7)"
    assert pixels[3].min().item() == 1
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
        picture(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_transparent_is_background(tmp_path: Path) -> None:
    drawn = Image.new("RGBA", (28, 28), (255, 255, 255, 0))
    drawn.putpixel((3, 5), (255, 255, 255, 255))
    drawn.save(tmp_path / "drawn.png")
    grey = picture(tmp_path / "drawn.png")
    assert grey[0, 5, 3] == 255
    assert grey.sum() == 255


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"cut\.png"):
        picture(tmp_path / "cut.png")


def test_the_same_picture_is_in_tensorboard_at_the_end_of_a_run(tiny_config: Config, tmp_path: Path) -> None:
    result, run = train(tiny_config, tmp_path / "run")
    events = EventAccumulator(str(run.path)).Reload()
    (image,) = events.Images("activations")
    assert image.step == result["best_epoch"]
    assert image.width > image.height > 200
