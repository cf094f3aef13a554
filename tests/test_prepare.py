"""A picture as people have it, made into an image as a data set has them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.pictures import CLEAN, FONTS, answers, printed
from conftest import PROJECT, real
from lenet.data.files import load
from lenet.data.prepare import drawing, prepare
from lenet.datasets import DATASETS, Fit
from lenet.errors import BadInput
from lenet.evaluation.load import load_trained

MNIST = DATASETS["mnist"].fit


def seven(
    ink: object = 0,
    paper: object = 255,
    mode: str = "L",
    size: tuple[int, int] = (200, 200),
    at: tuple[int, int] = (60, 50),
) -> Image.Image:
    """A 7 of 60x90 pixels, its box beginning at `at`."""
    picture = Image.new(mode, size, paper)  # type: ignore[arg-type]
    x, y = at
    ImageDraw.Draw(picture).polygon(
        [(x, y), (x + 60, y), (x + 30, y + 90), (x + 18, y + 90), (x + 42, y + 12), (x, y + 12)], ink
    )  # type: ignore[arg-type]
    return picture


def box(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width of what is there."""
    rows, columns = np.flatnonzero(pixels.max(1) > 20), np.flatnonzero(pixels.max(0) > 20)
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def test_a_digit_is_fitted_as_mnists_makers_did() -> None:
    pixels = prepare(seven(), MNIST).pixels
    assert (pixels.shape, pixels.dtype) == ((28, 28), np.uint8)
    height, width = box(pixels)
    assert height in (19, 20)
    assert width == pytest.approx(20 * 60 / 90, abs=1)
    mass = pixels.astype(float)
    middle = [(mass.sum(1 - axis) @ np.arange(28)) / mass.sum() for axis in (0, 1)]
    assert middle == pytest.approx([14, 14], abs=0.5)


def test_it_does_not_matter_where_it_is_how_large_and_in_which_colours() -> None:
    usual = prepare(seven(), MNIST).pixels.astype(int)
    for other in (
        seven(255, 0),
        seven(0, 255, "L", (500, 200), (400, 90)),
        seven((30, 30, 160), (240, 235, 200), "RGB"),
        seven((200, 30, 30), (120, 170, 120), "RGB"),
        seven((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"),
        seven((255, 255, 255, 255), (0, 0, 0, 0), "RGBA"),
        seven().resize((900, 900), Image.Resampling.BICUBIC),
    ):
        assert np.abs(prepare(other, MNIST).pixels - usual).mean() < 4


def test_an_image_of_the_data_set_stays_as_it_is_and_is_inverted_where_its_border_is_bright() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[2:9, 5:9] = 180
    assert (prepare(Image.fromarray(image), MNIST).pixels == image).all()
    assert (prepare(Image.fromarray(255 - image), MNIST).pixels == image).all()
    assert (prepare(Image.fromarray(255 - image), MNIST, invert=False).pixels == 255 - image).all()


@pytest.mark.parametrize("size", [20, 100, 600])
def test_a_line_of_one_pixel_is_drawn_as_broad_as_the_data_have_it(size: int) -> None:
    picture = Image.new("L", (size, size), 255)
    corners = [(size // 4, size // 4), (3 * size // 4, size // 4), (size // 2, 3 * size // 4)]
    ImageDraw.Draw(picture).line(corners, fill=0, width=1)
    pixels = prepare(picture, MNIST).pixels
    assert pixels.max() == 255
    assert 40 < (pixels > 127).sum() < 120


@pytest.mark.real_data
@pytest.mark.parametrize("margin", [0, 1, 3])
def test_a_digit_may_fill_its_picture(real_mnist: str, margin: int) -> None:
    images, _ = load("mnist", real_mnist, "test")
    for image in images[:50, 0].numpy():
        rows, columns = np.nonzero(image)
        cut = np.pad(image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], margin)
        large = Image.fromarray(255 - cut).resize((6 * cut.shape[1], 6 * cut.shape[0]), Image.Resampling.BICUBIC)
        seen = prepare(large, MNIST).pixels.astype(float)
        assert np.corrcoef(seen.ravel(), image.astype(float).ravel())[0, 1] > 0.6


def test_clothes_fill_the_image() -> None:
    picture = Image.new("L", (300, 300), 250)
    ImageDraw.Draw(picture).rectangle((40, 60, 120, 220), 90)
    pixels = prepare(picture, Fit(28, is_ink=False)).pixels
    assert box(pixels) == pytest.approx((28, 14), abs=1)
    assert pixels[14, 14] > 240
    assert pixels[14, 2] == 0


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (Image.new("L", (300, 200), 255), "all of one colour"),
        (Image.new("RGBA", (300, 200), (9, 9, 9, 0)), "all of one colour"),
        (Image.new("L", (28, 28), 0), "all of one colour"),
        (Image.effect_noise((200, 200), 60), "all of one colour, or nothing that stands out"),
        (Image.new("L", (50_000, 30), 255), "of 50,000x30 pixels, too long for one thing; give the part that shows it"),
    ],
    ids=["white", "nothing", "black", "noise", "long"],
)
def test_what_shows_nothing_is_refused_in_a_line(picture: Image.Image, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        prepare(picture, MNIST, named="a.png: ")
    assert str(refused.value).startswith(f"a.png: {said}")
    assert "\n" not in str(refused.value)


def test_more_than_one_thing_is_told() -> None:
    two = seven(0, 255, "L", (500, 200), (40, 50))
    two.paste(seven(), (300, 0))
    (said,) = prepare(two, MNIST).warnings
    assert said.startswith("there is more than one thing on it")
    assert prepare(seven(), MNIST).warnings == ()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("print.tif", lambda picture: picture.convert("CMYK")),
        ("palette.png", lambda picture: picture.convert("P")),
        ("deep.png", lambda picture: Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)),
        ("two levels.png", lambda picture: picture.convert("1")),
    ],
)
def test_whatever_kind_of_file_it_is_the_net_sees_the_same(tmp_path: Path, name: str, change: Callable) -> None:
    change(seven((0, 0, 0), (255, 255, 255), "RGB")).save(tmp_path / name)
    found = drawing(tmp_path / name, MNIST)
    assert np.abs(np.asarray(found.grey, int) - prepare(seven(), MNIST).pixels).mean() < 2
    assert found.warning is None


def test_a_photograph_that_lies_on_its_side_is_turned_and_an_animation_is_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    seven().rotate(90).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    usual = prepare(seven(), MNIST).pixels.astype(int)
    assert np.abs(np.asarray(drawing(tmp_path / "photo.jpg", MNIST).grey, int) - usual).mean() < 4
    seven().save(tmp_path / "two.gif", save_all=True, append_images=[seven(at=(20, 20))])
    found = drawing(tmp_path / "two.gif", MNIST)
    assert np.abs(np.asarray(found.grey, int) - usual).mean() < 4
    assert found.warning == "two.gif: it moves, or has several pages; the first is taken"


def test_a_net_of_a_folder_of_pictures_sees_them_as_its_own() -> None:
    wide = seven(0, 255, "L", (300, 150), (40, 20))
    assert (prepare(wide, None).pixels == np.asarray(wide.resize((28, 28)))).all()


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_test_images_are_seen_as_they_are(name: str) -> None:
    images, _ = load(name, real(name), "test")
    for image in images[:1000, 0].numpy():
        assert (prepare(Image.fromarray(image), DATASETS[name].fit).pixels == image).all()


def test_the_published_net_recognises_printed_digits_in_every_clean_way() -> None:
    """A hundred of the five hundred clean pictures of benchmarks/pictures.py, of which docs/predict.md has all."""
    samples = list(printed(tuple(CLEAN), FONTS[::5]))
    trained = load_trained(PROJECT / "docs/weights/improved_mnist.safetensors")
    assert MNIST is not None
    found = answers(trained, [prepare(sample.open(), MNIST).pixels for sample in samples])
    right = [sample.label == answer for sample, answer in zip(samples, found, strict=True)]
    assert len(right) == 100
    assert sum(right) >= 95


@pytest.mark.parametrize(
    ("ink", "invert", "remedy"),
    [(0, False, "brighter than what is behind it; leave out --no-invert"),
     (255, True, "darker than what is behind it; leave out --invert")],
)  # fmt: skip
def test_where_somebody_has_said_how_to_see_it_that_is_the_remedy(ink: int, invert: bool, remedy: str) -> None:
    with pytest.raises(BadInput, match=rf"^nothing on it is {remedy}$"):
        prepare(seven(ink, 255 - ink), MNIST, invert)
