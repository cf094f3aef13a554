"""Changes of pixels: normalising, and the random changes of training images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lenet import config
from lenet.config import SMALLEST_ERASED


def normalise(images: Tensor, mean: float, std: float, pad: int = 0) -> Tensor:
    """Pixels (n, 1, h, w) of 0 to 255 to float32 (n, 1, h + 2 pad, w + 2 pad): (pixel / 255 - mean) / std.

    The border is background.
    """
    if pad:
        images = F.pad(images, [pad] * 4)
    pixels = images.to(torch.float32, copy=True).div_(255)
    return pixels if (mean, std) == (0, 1) else pixels.sub_(mean).div_(std)


def changed(images: Tensor, change: config.Augment, generator: torch.Generator | None = None) -> Tensor:
    """Images (n, 1, h, w) of 0 to 255, each changed at random as the config says; unchanged where it says nothing."""
    if change.scale or change.squeeze or change.shear or change.rotate:
        images = distort(images, change, generator)
    elif change.shift or change.flip:
        images = augment(images, change.shift, change.flip, generator)
    if change.erase:
        images = erase(images, change.erase, change.erase_area, generator)
    return images


def augment(images: Tensor, shift: int, flip: bool, generator: torch.Generator | None = None) -> Tensor:
    """Move and mirror each image by its own random amount; the gaps are background.

    Args:
        images: uint8, (n, 1, h, w).
        shift: pixels, the largest move along either axis.
        flip: mirror left to right with probability 1/2.
        generator: of the images' device; without it, the device's own.
    """
    n, _, height, width = images.shape
    device = images.device
    moves = torch.randint(0, 2 * shift + 1, (2, n, 1), device=device, generator=generator)
    rows = torch.arange(height, device=device) + moves[0]
    columns = torch.arange(width, device=device) + moves[1]
    if flip:
        mirrored = torch.rand(n, 1, dtype=torch.float32, device=device, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(images, [shift] * 4)
    image = torch.arange(n, device=device)[:, None, None]
    return padded[image, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def distort(images: Tensor, change: config.Augment, generator: torch.Generator | None = None) -> Tensor:
    """Apply an affine map of its own to each image: angle, size, squeeze, shear, place, perhaps mirrored (bilinear).

    The planar distortions of LeCun et al. 1998, section III.C. Pixels from outside are background.

    Args:
        images: uint8, (n, 1, h, w).
        change: the range that each quantity is drawn from, uniformly.
        generator: of the images' device; without it, the device's own.

    Returns:
        float32 of the same shape, from 0 to 255.
    """
    n, _, height, width = images.shape

    def uniform(largest: float) -> Tensor:
        return (2 * torch.rand(n, dtype=torch.float32, device=images.device, generator=generator) - 1) * largest

    # With the middle of an image at 0 and its borders at -1 and 1: it turns, its size changes, it slants, it moves.
    size, squeeze = 1 + uniform(change.scale), 1 + uniform(change.squeeze)
    wide, high = size * squeeze, size / squeeze
    shear, right, down = uniform(change.shear), uniform(2 * change.shift / width), uniform(2 * change.shift / height)
    if change.flip:
        mirrored = torch.rand(n, dtype=torch.float32, device=images.device, generator=generator) < 0.5
        wide = torch.where(mirrored, -wide, wide)
    # The reverse, from each new pixel to the place that it comes from.
    rows = [1 / wide, -shear / wide, (shear * down - right) / wide], [torch.zeros_like(high), 1 / high, -down / high]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
    if change.rotate:  # drawn last: runs without it draw what they always drew
        angle = uniform(math.radians(change.rotate))
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
        matrix = turn @ matrix
    return F.grid_sample(images.float(), F.affine_grid(matrix, list(images.shape), False), align_corners=False)


def erase(images: Tensor, probability: float, largest: float, generator: torch.Generator | None = None) -> Tensor:
    """Make a rectangle of each image background, of its own size, shape and place (Zhong et al. 2017).

    Its sides are rounded to pixels, and cut to the image's.

    Args:
        images: (n, 1, h, w), background 0.
        probability: of an image to lose anything.
        largest: share of the image that the rectangle covers at most; it is drawn uniformly from 0.02 on, and the ratio
            of height to width log-uniformly from 0.3 to 1 / 0.3.
        generator: of the images' device; without it, the device's own.
    """
    n, _, height, width = images.shape
    chance, share, shape, down, right = torch.rand(
        5, n, 1, dtype=torch.float32, device=images.device, generator=generator
    )
    area = (SMALLEST_ERASED + share * (largest - SMALLEST_ERASED)) * height * width
    ratio = 0.3 ** (2 * shape - 1)
    high, wide = ((area * r).sqrt().round() for r in (ratio, 1 / ratio))

    def covered(size: int, length: Tensor, position: Tensor) -> Tensor:
        line = torch.arange(size, device=images.device)
        start = (position * ((size - length).clamp(min=0) + 1)).floor()
        return (line >= start) & (line < start + length)

    rows, columns = covered(height, high, down) & (chance < probability), covered(width, wide, right)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0)
