"""A picture as people have it, made into an image as a data set has them. Nothing here imports torch.

Photographs of ink on paper, scans, drawings on nothing, a shirt before a wall: the thing on it is found and cut out,
made bright on dark, and fitted in as the makers of the data set did (`lenet.datasets.Fit`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from lenet.data.drawings import Drawing, as_grey, has_bright_border, picture, upright
from lenet.datasets import IMAGE_SIZE, Fit
from lenet.errors import BadInput

Grey = npt.NDArray[np.float32]  # (h, w)
Mask = npt.NDArray[np.bool_]  # (h, w)

WORKING_SIZE = 640  # pixels of the longer side of what the thing is looked for in; larger pictures are made smaller
LONGEST = 20  # times as long as wide: no picture of one thing is longer
FAINTEST = 20  # grey values of 0..255 between the thing and what is behind it
OVER_NOISE = 5  # and how many standard deviations of the noise

# Of MNIST's test images the strokes of the thinnest hundredth are 1.1 pixels wide, of the median 2.0, where the digit
# is 20 pixels high. What is thinner, as a fine pen on a large sheet, is drawn as broad as the median.
THIN, USUAL = 1.1 / 20, 1.9 / 20


@dataclass(frozen=True)
class Prepared:
    """What a net sees of a picture."""

    pixels: npt.NDArray[np.uint8]  # (28, 28), bright on dark
    warnings: tuple[str, ...] = ()  # why it may be something else than meant, a line each, without the picture's name
    is_fitted: bool = False  # otherwise the pixels are the picture's own, or squeezed


def prepare(picture: Image.Image, fit: Fit | None, invert: bool | None = None, named: str = "") -> Prepared:
    """What a net sees of a picture of any mode and size.

    One of 28x28 pixels counts as an image of the data set, and its pixels stay as they are; it is made bright on dark
    where its border is bright. So does every picture where nobody knows how the data set was made (fit=None).

    Args:
        picture: it is turned upright first, if it says that it lies on its side; of several the first is taken.
        fit: how the data set that the net was trained on was made: `lenet.datasets.data_set(...).fit`.
        invert: True: the thing is darker than what is behind it; False: brighter; None: the picture tells.
        named: how the picture was named, for what is said of a bad one: "--image a.png: ".

    Raises:
        BadInput: nothing is to be seen on it, or it is too long for a picture of one thing.
    """
    width, height = picture.size
    if fit is None or picture.size == (IMAGE_SIZE, IMAGE_SIZE):
        return _as_it_is(picture, fit, invert, named)
    if max(width, height) > LONGEST * min(width, height):
        raise BadInput(f"{named}of {width:,}x{height:,} pixels, too long for one thing; give the part that shows it")
    warnings = []
    if getattr(picture, "n_frames", 1) > 1:
        warnings.append("it moves, or has several pages; the first is taken")
    colours = _colours(picture)
    difference = colours - _background(colours)
    thing = _ink(difference, invert) if fit.is_ink else _shades(difference, invert)
    mask, alone = _found(thing, named, invert)
    if not alone:
        warnings.append("there is more than one thing on it; the largest is taken: cut out the one that you mean")
    levels = _levels(thing, mask, fit.is_ink)
    return Prepared(_placed(levels, fit), tuple(warnings), is_fitted=True)


def drawing(file: Path, fit: Fit | None, invert: bool | None = None, named: str = "--image ") -> Drawing:
    """The picture in a file, as `prepare` makes it.

    Raises:
        BadInput: the file is no picture, or one too large to be opened safely, or `prepare` refuses it.
    """
    with picture(file, named) as opened:
        return drawn(opened, file.name, fit, invert, f"{named}{file}: ")


def drawn(picture: Image.Image, name: str, fit: Fit | None, invert: bool | None = None, named: str = "") -> Drawing:
    """A picture, as `prepare` makes it, with its name.

    Raises: that of `prepare`.
    """
    found = prepare(picture, fit, invert, named)
    told = found.warnings if found.is_fitted or fit is None else None  # nobody knows what another folder's nets know
    return Drawing(name, Image.fromarray(found.pixels), invert, told)


def _as_it_is(picture: Image.Image, fit: Fit | None, invert: bool | None, named: str) -> Prepared:
    pixels = np.asarray(as_grey(picture))
    if invert is None:
        invert = fit is not None and has_bright_border(pixels)
    if fit is not None and int(pixels.max()) - int(pixels.min()) < FAINTEST:
        raise _nothing(named, None)
    return Prepared(255 - pixels if invert else pixels.copy())


def _nothing(named: str, invert: bool | None) -> BadInput:
    if invert is not None:
        word, darker = ("--invert", "darker") if invert else ("--no-invert", "brighter")
        return BadInput(f"{named}nothing on it is {darker} than what is behind it; leave out {word}")
    return BadInput(f"{named}all of one colour, or nothing that stands out; give a picture with more contrast")


def _colours(picture: Image.Image) -> npt.NDArray[np.float32]:
    """(h, w, 3) of 0..255, not larger than it is worked on."""
    found = upright(picture).convert("RGB")
    if (factor := max(found.size) / WORKING_SIZE) > 1:
        small = [max(1, round(side / factor)) for side in found.size]
        found = found.resize((small[0], small[1]), Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(found, np.float32)


def _background(colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What is behind the thing, (h, w, 3): a quadratic surface, as light falls off over a sheet of paper.

    It is fitted to the pixels along the border, then to all that are near it.
    """
    height, width, _ = colours.shape
    step = max(1, max(height, width) // 96)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    known, seen = terms[::step, ::step].reshape(-1, 6), colours[::step, ::step].reshape(-1, 3)
    border = (np.abs(known[:, 1:3]) > 0.88).any(1)
    # First the median of the border: where the thing touches it, most of the border is background all the same.
    surface = np.zeros((6, 3), np.float32)
    surface[0] = np.median(seen[border], 0)
    near = border
    for _ in range(6):
        off = np.abs(seen - known @ surface).max(1)
        spread = 1.5 * np.median(off[near])
        fitting = (off < max(3 * spread, 12)) & (near if near is border else True)
        if fitting.sum() < 20:
            break
        rows = known[fitting].astype(np.float64)  # six unknowns: their normal equations are quick, and good enough
        surface = np.linalg.solve(rows.T @ rows + 1e-6 * np.eye(6), rows.T @ seen[fitting]).astype(np.float32)
        near = fitting
    return np.clip(terms @ surface, 0, 255).astype(np.float32)


def _ink(difference: npt.NDArray[np.float32], invert: bool | None) -> Grey:
    """How far each pixel is from the background towards the colour of the ink, 0..255, whatever colours these are."""
    smooth = ndimage.gaussian_filter(difference, (1, 1, 0))
    if invert is not None:
        return np.asarray((-1 if invert else 1) * difference.mean(2), np.float32)
    distance = np.sqrt((smooth**2).mean(2))
    colour = smooth[distance >= 0.5 * _highest(distance)].mean(0)
    length = float(np.sqrt((colour**2).mean()))
    return np.asarray(difference @ colour / (3 * max(length, 1e-6)), np.float32)


def _shades(difference: npt.NDArray[np.float32], invert: bool | None) -> Grey:
    """How much darker than its background a thing is, or how much brighter, 0..255."""
    grey = ndimage.gaussian_filter(difference.mean(2), 0.5)
    if invert is None:
        noise = 1.5 * float(np.median(np.abs(grey)))
        invert = bool(np.clip(-grey - 2 * noise, 0, None).sum() > np.clip(grey - 2 * noise, 0, None).sum())
    return -grey if invert else grey


def _highest(levels: Grey) -> float:
    """The level that a few pixels reach: one alone may be dust."""
    few = min(max(4, levels.size // 5000), levels.size)
    return float(np.partition(levels, -few, axis=None)[-few])


def _found(thing: Grey, named: str, invert: bool | None) -> tuple[Mask, bool]:
    """Where the thing is, and whether it is the only one.

    Raises:
        BadInput: nothing stands out.
    """
    smooth = ndimage.gaussian_filter(thing, 1)
    highest = _highest(smooth)
    # Where the thing covers most of the picture, the one is of the thing; where there is grain, the other is larger.
    noise = 1.5 * float(min(np.median(np.abs(smooth)), np.median(np.abs(thing - smooth))))
    if highest < max(FAINTEST, OVER_NOISE * noise):
        raise _nothing(named, invert)
    labels, count = ndimage.label(smooth > max(0.4 * highest, 3 * noise), np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    height, width = thing.shape
    inside = np.array([_is_inside(box, thing.shape) for box in boxes])
    large = np.array([max(b[0].stop - b[0].start, b[1].stop - b[1].start) > 0.04 * max(height, width) for b in boxes])
    # What touches the border is a shadow or the edge of the table, where there is something else.
    eligible = inside & large if (inside & large).any() else np.ones(count, bool)
    main = int(np.where(eligible, areas, 0).argmax())
    parts = [n for n in range(count) if n == main or ((eligible | inside)[n] and areas[n] > 0.01 * areas[main])]
    near = [n for n in parts if _are_near(boxes[main], boxes[n])]
    alone = not any(areas[n] > 0.3 * areas[main] for n in set(parts) - set(near))
    return np.isin(labels, np.array(near) + 1), alone


def _is_inside(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    return all(one.start > 0 and one.stop < side for one, side in zip(box, shape, strict=True))


def _are_near(one: tuple[slice, ...], other: tuple[slice, ...]) -> bool:
    """Whether a part belongs to the same thing: a stroke that the pen set anew."""
    size = max(side.stop - side.start for side in one)
    return all(
        b.start - a.stop < 0.15 * size and a.start - b.stop < 0.15 * size for a, b in zip(one, other, strict=True)
    )


def _levels(thing: Grey, mask: Mask, is_ink: bool) -> Grey:
    """The thing cut out, 0..1, background 0."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if not is_ink:
        within = ndimage.binary_fill_holes(mask)[cut]
        levels = np.where(within, thing[cut], 0).clip(0)
        return np.asarray(levels / levels.max(), np.float32)
    around = ndimage.binary_dilation(mask, iterations=2)[cut]
    inked = thing[mask]
    full = float(max(np.percentile(inked, 60), 0.5 * inked.max()))  # most of the mask of a thin line is beside it
    levels = np.where(around, (thing[cut] / full - 0.12) / 0.88, 0).clip(0, 1).astype(np.float32)
    return _broad_enough(levels)


def _broad_enough(levels: Grey) -> Grey:
    """The same where the strokes are not thinner than a net knows them; otherwise drawn with a broader pen."""
    size = max(levels.shape)
    stroke = np.pad(levels > 0.5, 1)
    edges = sum(int((np.diff(stroke.astype(np.int8), axis=axis) != 0).sum()) for axis in (0, 1))
    width = 2 * int(stroke.sum()) / max(1, edges)
    if width >= THIN * size:
        return levels
    more = (USUAL * size - width) / 2
    wider = np.pad(levels, int(np.ceil(more)))
    distance = ndimage.distance_transform_edt(wider <= 0.5)
    return np.asarray(np.maximum(wider, np.clip(more + 1 - distance, 0, 1)), np.float32)


def _placed(levels: Grey, fit: Fit) -> npt.NDArray[np.uint8]:
    """An image: its longer side of so many pixels, in the middle."""
    height, width = levels.shape
    scale = fit.size / max(height, width)
    small = max(1, round(height * scale)), max(1, round(width * scale))
    fitted = Image.fromarray(levels).resize((small[1], small[0]), Image.Resampling.BICUBIC, reducing_gap=3)
    pixels = np.asarray(fitted, np.float32).clip(0, 1)
    pixels = pixels / max(float(pixels.max()), 1e-6)
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    corner = []
    for axis, side in enumerate(small):
        # MNIST's centres of mass are at pixel 14 along both axes, counted from 0.
        mass = pixels.sum(1 - axis)
        middle = float(mass @ np.arange(side)) / float(mass.sum()) if fit.by_mass else (side - 1) / 2
        wanted = IMAGE_SIZE / 2 - middle if fit.by_mass else (IMAGE_SIZE - side) / 2
        corner.append(min(max(int(wanted + 0.5), 0), IMAGE_SIZE - side))
    image[corner[0] : corner[0] + small[0], corner[1] : corner[1] + small[1]] = (255 * pixels).round()
    return image
