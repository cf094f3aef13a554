"""Pictures as people have them, drawn here, and how many of them a net recognises.

    python -m benchmarks.pictures docs/weights/improved_mnist.safetensors --out docs/predict

A printed digit in ten fonts, on paper, on black, on nothing; large and small, upright and turned, in a shadow, noisy,
blurred, as a bad JPEG. Where MNIST is there, digits that people wrote are put on such sheets as well. Each picture goes
through a file format and back. They are the same on every machine that has the same Pillow and matplotlib.
"""

import argparse
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from lenet.config import Data
from lenet.data.drawings import as_grey
from lenet.data.files import load
from lenet.data.prepare import prepare
from lenet.data.transforms import normalise
from lenet.datasets import IMAGE_SIZE, Fit, data_set
from lenet.errors import BadInput
from lenet.evaluation.activations import probabilities
from lenet.evaluation.load import Trained, load_trained
from lenet.tables import as_markdown

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
)  # come with matplotlib
DIGITS = 10
Random = np.random.Generator
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    """One picture, as the content of a file."""

    kind: str
    font: str
    label: int
    content: bytes
    is_dark: bool  # the digit, on something brighter

    def open(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))


def stencil(font: str, digit: int, size: int) -> Image.Image:
    """A printed digit, mode L, white on black, cut to its box; `size` is that of the type in pixels."""
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    kind = ImageFont.truetype(folder / f"{font}.ttf", size)
    picture = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(picture).text((size // 2, size // 2), str(digit), font=kind, fill=255)
    return picture.crop(picture.getbbox())


def written(pixels: np.ndarray, size: int) -> Image.Image:
    """A digit of MNIST's as a pen would have drawn it: large, and with sharp edges."""
    large = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    sharp = large.point(lambda level: min(255, max(0, (level - 96) * 4)))
    return sharp.crop(sharp.getbbox())


def sheet(
    shape: Image.Image, size: tuple[int, int], place: tuple[float, float], ink: Colour, paper: Colour
) -> Image.Image:
    """The digit in one colour on a sheet of another; `place` is that of its middle, as shares of width and height."""
    picture = Image.new("RGB", size, paper)
    corner = [round(p * whole - part / 2) for p, whole, part in zip(place, size, shape.size, strict=True)]
    picture.paste(ink, (corner[0], corner[1]), shape)
    return picture


def as_file(picture: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def turned(shape: Image.Image, degrees: float) -> Image.Image:
    found = shape.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    return found.crop(found.getbbox())


def shaded(picture: Image.Image, random: Random) -> Image.Image:
    """As a lamp lights a sheet: down to a third in one corner."""
    pixels = np.asarray(picture, float)
    y, x = np.mgrid[-1 : 1 : pixels.shape[0] * 1j, -1 : 1 : pixels.shape[1] * 1j]
    direction = random.uniform(0, 2 * np.pi)
    light = 0.68 + 0.23 * (np.cos(direction) * x + np.sin(direction) * y)
    return Image.fromarray((pixels * light[..., None]).clip(0, 255).astype(np.uint8))


def noisy(picture: Image.Image, random: Random, deviation: float) -> Image.Image:
    pixels = np.asarray(picture, float)
    return Image.fromarray((pixels + random.normal(0, deviation, pixels.shape)).clip(0, 255).astype(np.uint8))


# Each makes a file of a digit's shape: its content, and whether the digit is darker than what is behind it.
Maker = Callable[[Image.Image, Random], tuple[bytes, bool]]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def _anywhere(random: Random) -> tuple[float, float]:
    return float(random.uniform(0.3, 0.7)), float(random.uniform(0.35, 0.65))


def _on_paper(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    return as_file(sheet(shape, (300, 300), (0.5, 0.5), BLACK, WHITE)), True


def _in_blue(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    return as_file(
        sheet(shape, (480, 320), _anywhere(random), (30, 50, 140), (250, 245, 225)), "JPEG", quality=92
    ), True


def _on_black(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    return as_file(sheet(shape, (320, 480), _anywhere(random), (250, 240, 200), (15, 25, 15))), False


def _on_nothing(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    picture = Image.new("RGBA", (320, 320), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (70, 50), shape)
    return as_file(picture), True


def _small(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    return as_file(
        sheet(shape, (1400, 1050), _anywhere(random), (40, 40, 40), (235, 235, 235)), "JPEG", quality=90
    ), True


def _turned(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    degrees = float(random.choice([-1, 1]) * random.uniform(10, 35))
    return as_file(sheet(turned(shape, degrees), (400, 320), _anywhere(random), BLACK, WHITE)), True


def _noisy(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    return as_file(noisy(sheet(shape, (400, 320), _anywhere(random), (70, 70, 70), (200, 200, 200)), random, 40)), True


def _shaded(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    plain = sheet(shape, (480, 360), _anywhere(random), (50, 60, 110), (245, 240, 230))
    return as_file(noisy(shaded(plain, random), random, 5), "JPEG", quality=80), True


def _bad_jpeg(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    plain = sheet(shape, (400, 320), _anywhere(random), (200, 30, 30), (120, 170, 120))
    return as_file(plain.filter(ImageFilter.GaussianBlur(3)), "JPEG", quality=8), True


def _all_of_it(shape: Image.Image, random: Random) -> tuple[bytes, bool]:
    degrees = float(random.uniform(-30, 30))
    plain = sheet(turned(shape, degrees), (640, 480), _anywhere(random), (80, 80, 110), (225, 220, 205))
    seen = noisy(shaded(plain.filter(ImageFilter.GaussianBlur(6)), random), random, 15)
    return as_file(seen, "JPEG", quality=25), True


CLEAN: dict[str, Maker] = {
    "black on white": _on_paper,
    "blue on cream, off the middle": _in_blue,
    "chalk on black": _on_black,
    "black on nothing (PNG)": _on_nothing,
    "small on a large sheet": _small,
}
HARD: dict[str, Maker] = {
    "turned by 10 to 35 degrees": _turned,
    "noise, little contrast": _noisy,
    "in a shadow": _shaded,
    "red on green, blurred, JPEG of quality 8": _bad_jpeg,
    "all of that at once": _all_of_it,
}


WAYS = CLEAN | HARD
HANDS = 30  # digits of MNIST's for each way


def printed(ways: Sequence[str] = tuple(WAYS), fonts: Sequence[str] = FONTS) -> Iterator[Sample]:
    """Every digit in every font and in every way: 1,000 pictures, the first half clean."""
    for kind, font, digit in itertools.product(ways, fonts, range(DIGITS)):
        random = np.random.default_rng([list(WAYS).index(kind), FONTS.index(font), digit])
        shape = stencil(font, digit, int(random.integers(120, 220)))
        yield Sample(kind, font, digit, *WAYS[kind](shape, random))


def by_hand(images: np.ndarray, labels: np.ndarray) -> Iterator[Sample]:
    """Test images of MNIST's on the same sheets: (n, 28, 28) and (n,)."""
    for number, kind in enumerate(WAYS):
        for one in range(HANDS):
            random = np.random.default_rng([1998, number, one])
            chosen = int(random.integers(len(labels)))
            shape = written(images[chosen], int(random.integers(150, 260)))
            yield Sample(kind, "by hand", int(labels[chosen]), *WAYS[kind](shape, random))


def squeezed(sample: Sample, invert: bool) -> np.ndarray:
    """What the net saw before there was a preparation: the whole picture, grey, in 28x28 pixels."""
    grey = np.asarray(as_grey(sample.open()))
    return 255 - grey if invert and sample.is_dark else grey


def prepared(sample: Sample, fit: Fit) -> np.ndarray:
    """What it sees now; black where the picture is refused."""
    try:
        return prepare(sample.open(), fit).pixels
    except BadInput:
        return np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)


def answers(trained: Trained, pixels: Sequence[np.ndarray]) -> np.ndarray:
    """The class of each, (n,)."""
    images = torch.from_numpy(np.stack(pixels))[:, None]
    data = trained.config.data
    return probabilities(trained.model, normalise(images, data.mean, data.std, data.pad)).argmax(1).numpy()


def table(samples: Sequence[Sample], ways: dict[str, np.ndarray]) -> list[str]:
    """Accuracies by kind of picture, in Markdown; `ways` has the classes that were answered."""
    labels = np.array([sample.label for sample in samples])
    rows = []
    for hand in (False, True):
        of_hand = np.array([(sample.font == "by hand") == hand for sample in samples])
        if not of_hand.any():
            continue
        for title, kinds in (*((kind, [kind]) for kind in WAYS), ("clean", list(CLEAN)), ("the rest", list(HARD))):
            these = of_hand & np.array([sample.kind in kinds for sample in samples])
            name = f"**{title}**" if len(kinds) > 1 else title
            shares = [f"{100 * float((found == labels)[these].mean()):.1f} %" for found in ways.values()]
            rows.append(["by hand" if hand else "printed", name, str(int(these.sum())), *shares])
    return as_markdown(["digits", "picture", "n", *ways], rows)


def mistaken(samples: Sequence[Sample], found: np.ndarray) -> list[int]:
    return [number for number, sample in enumerate(samples) if sample.label != found[number]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a net for digits")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for two pictures; default: here")
    arguments = parser.parse_args()
    trained = load_trained(arguments.run)
    samples = list(printed())
    try:
        images, labels = load("mnist", Data().root, "test")
        samples += by_hand(images[:, 0].numpy(), labels.numpy())
    except (BadInput, OSError):
        print("without digits by hand: MNIST is not there")
    fit = data_set(trained.config.data).fit
    assert fit is not None
    seen = [prepared(sample, fit) for sample in samples]
    ways = {
        "squeezed": answers(trained, [squeezed(sample, False) for sample in samples]),
        "squeezed, `--invert` where it is due": answers(trained, [squeezed(sample, True) for sample in samples]),
        "prepared": answers(trained, seen),
    }
    print("\n".join(table(samples, ways)))
    wrong = mistaken(samples, ways["prepared"])
    pairs = Counter(f"{samples[number].label} taken for {ways['prepared'][number]}" for number in wrong)
    print(", ".join(f"{pair}: {count}" for pair, count in pairs.most_common()))
    arguments.out.mkdir(parents=True, exist_ok=True)
    some = [next(n for n, one in enumerate(samples) if one.kind == kind and one.label == digit and one.font == font)
            for digit, (kind, font) in enumerate(zip(WAYS, FONTS, strict=True))]  # fmt: skip
    for name, shown in (("seen", some), ("mistaken", wrong[:20])):
        if shown:
            both(samples, seen, ways["prepared"], shown).save(arguments.out / f"{name}.png")


def both(
    samples: Sequence[Sample], seen: Sequence[np.ndarray], found: np.ndarray, numbers: Sequence[int]
) -> Image.Image:
    """Pictures as they were, and below each what the net saw of it and the answer."""
    side, gap, text, columns = 120, 8, 18, 10
    rows = -(-len(numbers) // columns)
    height = 2 * side + text + 3 * gap
    page = Image.new("RGB", (columns * (side + gap) + gap, rows * height), "white")
    pen = ImageDraw.Draw(page)
    for place, number in enumerate(numbers):
        x, y = gap + place % columns * (side + gap), gap + place // columns * height
        picture = samples[number].open().convert("RGBA")
        framed = ImageOps.contain(picture, (side, side))
        page.paste("#ddd", (x, y, x + side, y + side))
        page.paste(framed, (x + (side - framed.width) // 2, y + (side - framed.height) // 2), framed)
        page.paste(Image.fromarray(seen[number]).resize((side, side), Image.Resampling.NEAREST), (x, y + side + gap))
        said = f"{samples[number].label}: {found[number]}"
        pen.text((x, y + 2 * side + gap + 2), said, fill="black", font=ImageFont.load_default(14))
    return page


if __name__ == "__main__":
    main()
