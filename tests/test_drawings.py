"""What becomes of a picture from a file, and what is said of one that a net cannot know."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from lenet.data import drawings, prepare
from lenet.data.drawings import LEAST_CONTRAST, Drawing, as_grey
from lenet.data.files import load
from lenet.errors import BadInput

PAPER = "its border is bright, as of ink on paper; the net was trained on bright on dark: give --invert"
LEFT = "its border is bright; the net was trained on bright on dark: leave out --no-invert"
INVERTED = "its border is bright once it is inverted; the net was trained on bright on dark: leave out --invert"
FLAT = "it is flat, its grey values go from {} to {}; the net was trained on 0 to 255: give one with more contrast"


def three(ink: object, paper: object, mode: str = "L", side: int = 84) -> Image.Image:
    """A 3 without symmetries, drawn with a broad pen."""
    picture = Image.new(mode, (side, side), paper)
    pen = ImageDraw.Draw(picture)
    for box in ((24, 12, 60, 42), (20, 38, 62, 74)):
        pen.arc([side * edge / 84 for edge in box], -140, 100, fill=ink, width=side // 9)
    return picture


BRIGHT_ON_DARK = three(255, 0).resize((28, 28))


def drawing(file: Path, invert: bool | None = None) -> Drawing:
    """As it is, and held against what the nets of MNIST and Fashion-MNIST know."""
    return replace(prepare.drawing(file, None, invert), told=None)


def differ(one: Image.Image, other: Image.Image) -> int:
    return int(ImageChops.difference(one, other).getextrema()[1])


def saved(picture: Image.Image, file: Path, **options: object) -> Path:
    picture.save(file, **options)
    return file


@pytest.mark.parametrize(
    ("picture", "inverts", "said"),
    [
        (three(255, 0), None, None),
        (three(0, 255), None, PAPER),
        (three(0, 255), False, LEFT),
        (three(0, 255), True, None),
        (three(255, 0), True, INVERTED),
        (three(60, 120), None, PAPER),  # in the shade
        (three(40, 190), None, PAPER),  # a dark shirt on a light wall
        (three(230, 130), None, "its background is grey; the net was trained on things before black: make it darker"),
        (three(255, 255), None, FLAT.format(255, 255)),
        (three(120, 100), None, FLAT.format(98, 122)),
        (three((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"), None, PAPER),
        (three((0, 0, 0, 255), (255, 255, 255, 0), "RGBA"), True, None),
        (three((255, 255, 255, 255), (0, 0, 0, 0), "RGBA"), None, None),
        (three((9, 9, 9, 0), (9, 9, 9, 0), "RGBA"), None, FLAT.format(0, 0)),
    ],
    ids=["bright on dark", "ink on paper", "ink on paper, not inverted", "ink on paper, inverted",
         "bright on dark, inverted", "ink in the shade", "dark shirt", "grey background", "white paper", "faint",
         "ink on nothing", "ink on nothing, inverted", "chalk on nothing", "nothing"],
)  # fmt: skip
def test_a_picture_that_a_net_cannot_know_is_told_with_the_remedy(
    tmp_path: Path, picture: Image.Image, inverts: bool | None, said: str | None
) -> None:
    found = drawing(saved(picture, tmp_path / "picture.png"), inverts)
    assert found.warning == (said and f"picture.png: {said}")


def test_what_is_inverted_is_what_a_net_was_trained_on(tmp_path: Path) -> None:
    for name, picture in {
        "paper": three(0, 255),
        "black on nothing": three((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"),
        "black on nothing white": three((0, 0, 0, 255), (255, 255, 255, 0), "RGBA"),
    }.items():
        assert differ(drawing(saved(picture, tmp_path / f"{name}.png"), True).grey, BRIGHT_ON_DARK) <= 1, name


@given(ink=st.tuples(*[st.integers(0, 255)] * 3), nothing=st.tuples(*[st.integers(0, 255)] * 3))
def test_whatever_colour_was_drawn_with_on_nothing_can_be_seen(ink: tuple[int, ...], nothing: tuple[int, ...]) -> None:
    grey = as_grey(three((*ink, 255), (*nothing, 0), "RGBA"))
    darkest, brightest = grey.getextrema()
    assert brightest - darkest > LEAST_CONTRAST


def deep(picture: Image.Image, kind: type[np.generic], factor: float) -> Image.Image:
    values: npt.NDArray[np.generic] = (np.asarray(picture, float) * factor).astype(kind)
    return Image.fromarray(values)


def by_palette(picture: Image.Image) -> Image.Image:
    """With one colour of the palette transparent, and black all the same."""
    found = Image.new("P", picture.size, 1)
    found.putpalette([255, 255, 255, 0, 0, 0])
    found.paste(0, mask=picture.point(lambda value: 255 if value > 127 else 0))
    return found


THREE = three(255, 0)
KINDS = {
    "grey.png": (THREE, {}),
    "grey.jpg": (THREE, {"quality": 95}),
    "colours.png": (THREE.convert("RGB"), {}),
    "colours.webp": (THREE.convert("RGB"), {"lossless": True}),
    "opaque.png": (THREE.convert("RGBA"), {}),
    "grey and opaque.png": (THREE.convert("LA"), {}),
    "two levels.png": (THREE.convert("1"), {}),
    "palette.png": (THREE.convert("P"), {}),
    "transparent palette.png": (by_palette(THREE), {"transparency": 1}),
    "palette.gif": (THREE.convert("P"), {}),
    "animated.gif": (THREE, {"save_all": True, "append_images": [Image.new("L", THREE.size, 90)]}),
    "animated.png": (THREE, {"save_all": True, "append_images": [Image.new("L", THREE.size, 90)]}),
    "print.jpg": (THREE.convert("RGB").convert("CMYK"), {"quality": 95}),
    "print.tif": (THREE.convert("RGB").convert("CMYK"), {}),
    "16 bits.png": (deep(THREE, np.uint16, 257), {}),
    "16 bits, not all used.png": (deep(THREE, np.uint16, 256), {}),
    "16 bits.tif": (deep(THREE, np.uint16, 257), {}),
    "integers.tif": (deep(THREE, np.int32, 257), {}),
    "shares.tif": (deep(THREE, np.float32, 1 / 255), {}),
    "floats.tif": (deep(THREE, np.float32, 1), {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_grey_picture(tmp_path: Path, name: str) -> None:
    picture, options = KINDS[name]
    found = drawing(saved(picture, tmp_path / name, **options))
    assert differ(found.grey, BRIGHT_ON_DARK) <= (12 if name.endswith(".jpg") else 3)
    assert found.warning is None


@pytest.mark.parametrize("mode", [*Image.MODES, "La", "RGBa", "RGBX", "PA", "I;16B", "I;16L", "I;16N"])
def test_there_is_no_kind_of_pixel_that_cannot_be_made_grey(mode: str) -> None:
    grey = as_grey(Image.new(mode, (40, 30)))
    assert (grey.mode, grey.size) == ("L", (28, 28))


TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNED)
def test_a_photograph_is_upright_however_the_camera_was_held(tmp_path: Path, orientation: int) -> None:
    turned = TURNED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    as_held = THREE if turned is None else THREE.transpose(turned)
    found = drawing(saved(as_held, tmp_path / "photo.jpg", exif=exif, quality=95))
    assert differ(found.grey, BRIGHT_ON_DARK) <= 12


def test_what_is_damaged_beside_the_picture_does_not_matter(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    file = saved(THREE, tmp_path / "photo.jpg", exif=exif, quality=95)
    content = bytearray(file.read_bytes())
    entries = content.index(b"Exif") + 14
    content[entries : entries + 2] = b"\xff\xff"  # how many there are
    file.write_bytes(content)
    assert differ(drawing(file).grey, BRIGHT_ON_DARK) <= 12
    assert not recwarn.list


def test_a_name_that_a_terminal_would_obey_is_written_out() -> None:
    warning = Drawing("\x1b[31m.png", Image.new("L", (28, 28))).warning
    assert warning is not None
    assert warning.startswith("\\x1b[31m.png: it is flat")


@pytest.mark.real_data
def test_nothing_is_said_of_the_images_that_nets_are_tested_on(real_root: str) -> None:
    images, _ = load("fashion_mnist", real_root, "test")
    said = [Drawing("x", Image.fromarray(image)).warning for image in images[:2000, 0].numpy()]
    assert said == [None] * 2000


@pytest.mark.parametrize("kind", ["BLP", "DDS", "EPS"])
def test_what_few_have_pictures_in_is_not_tried(tmp_path: Path, kind: str) -> None:
    """Pillow would raise errors of each kind's own, or start Ghostscript, on a stranger's file that is called .png."""
    file = tmp_path / "theirs.png"
    (three(255, 0, "P") if kind == "BLP" else three(255, 0)).save(file, kind)
    with pytest.raises(BadInput, match=r"theirs.png: not a picture that can be read here; give a PNG or JPEG file"):
        drawing(file)


def test_what_goes_wrong_with_a_picture_that_was_read_is_no_fault_of_its_file(tmp_path: Path) -> None:
    THREE.save(tmp_path / "three.png")
    with pytest.raises(ValueError, match=r"^mine$"), drawings.picture(tmp_path / "three.png"):
        raise ValueError("mine")


def test_of_what_the_nets_of_another_folder_know_nothing_is_said(tmp_path: Path) -> None:
    assert prepare.drawing(saved(three(0, 255), tmp_path / "ink.png"), None).warning is None
