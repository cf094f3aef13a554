"""The images: read, split, ordered, normalised, moved."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import rotate

from conftest import idx
from lenet.config import Augment, Data
from lenet.data.files import load, parse_idx
from lenet.data.module import EpochOrder, ImageData, Images, split
from lenet.data.seeds import epoch_seed
from lenet.data.transforms import augment, distort, erase, normalise


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_an_idx_file_reads_as_what_was_written(shape: list[int], seed: int) -> None:
    tensor = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    assert torch.equal(parse_idx(idx(tensor), len(shape)), tensor)


@given(content=st.binary(max_size=40), dimensions=st.integers(1, 3))
def test_bytes_that_are_no_idx_file_are_refused(content: bytes, dimensions: int) -> None:
    with pytest.raises(ValueError, match=r"IDX|bytes"):
        parse_idx(b"\x01" + content, dimensions)


@given(keep=st.integers(0, 27))
def test_a_truncated_idx_file_is_refused(keep: int) -> None:
    content = idx(torch.zeros(3, 2, 2, dtype=torch.uint8))
    assert len(content) == 28
    with pytest.raises(ValueError, match=r"IDX|bytes"):
        parse_idx(content[:keep], 3)


def test_a_header_with_absurd_sizes_takes_no_memory() -> None:
    with pytest.raises(ValueError, match="bytes"):
        parse_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12, 3)


@given(size=st.integers(1, 500), fraction=st.floats(0, 0.999), seed=st.integers(0, 2**32 - 1))
def test_a_split_has_every_index_once(size: int, fraction: float, seed: int) -> None:
    training, validation = split(size, fraction, seed)
    assert sorted(torch.cat([training, validation]).tolist()) == list(range(size))
    assert len(validation) == round(size * fraction)


@pytest.mark.real_data
def test_training_validation_and_test_are_disjoint_and_of_48000_12000_and_10000_images(real_root: str) -> None:
    images = ImageData(Data(root=real_root), seed=0)
    images.setup("fit")
    assert [len(part) for part in (images.training, images.validation, images.test)] == [48_000, 12_000, 10_000]
    everything, labels = load("fashion_mnist", real_root, "train")
    training, validation = split(len(labels), 0.2, 0)
    assert not set(training.tolist()) & set(validation.tolist())
    assert torch.equal(images.training.images, everything[training])
    assert torch.equal(images.validation.labels, labels[validation])
    test_images, test_labels = load("fashion_mnist", real_root, "test")
    assert torch.equal(images.test.images, test_images)
    assert torch.equal(images.test.labels, test_labels)
    assert torch.bincount(labels).tolist() == [6000] * 10
    assert torch.bincount(test_labels).tolist() == [1000] * 10


@pytest.mark.real_data
def test_the_published_mean_and_deviation_normalise_fashion_mnist(real_root: str) -> None:
    pixels = normalise(load("fashion_mnist", real_root, "train")[0], 0.2860, 0.3530, pad=0)
    assert pixels.mean().item() == pytest.approx(0, abs=1e-3)
    assert pixels.std().item() == pytest.approx(1, abs=1e-3)


def test_the_split_does_not_depend_on_the_run_seed(tiny) -> None:
    parts = []
    for seed in (0, 1):
        images = ImageData(Data(root=str(tiny)), seed)
        images.setup("fit")
        parts.append((images.training.labels, images.validation.images))
    assert torch.equal(parts[0][0], parts[1][0])
    assert torch.equal(parts[0][1], parts[1][1])
    other = ImageData(Data(root=str(tiny), split_seed=1), 0)
    other.setup("fit")
    assert not torch.equal(other.validation.images, parts[0][1])


def test_without_validation_all_images_are_trained_on_in_the_files_order(tiny) -> None:
    images = ImageData(Data(root=str(tiny), val_fraction=0), 0)
    images.setup("fit")
    assert torch.equal(images.training.images, load("fashion_mnist", str(tiny), "train")[0])


def test_a_smaller_training_set_is_part_of_a_larger_one_and_leaves_validation_alone(tiny) -> None:
    parts = []
    for size in (None, 90, 40):
        images = ImageData(Data(root=str(tiny), train_size=size), 0)
        images.setup("fit")
        parts.append(images)
    whole, ninety, forty = parts
    assert [len(images.training) for images in parts] == [160, 90, 40]
    assert torch.equal(ninety.training.images[:40], forty.training.images)
    assert torch.equal(whole.training.labels[:90], ninety.training.labels)
    assert torch.equal(whole.validation.images, forty.validation.images)
    assert len({row.numpy().tobytes() for row in ninety.training.images}) == 90


@given(size=st.integers(1, 300), seed=st.integers(0, 10**6), epoch=st.integers(0, 1000))
def test_the_order_is_a_permutation_and_a_function_of_seed_and_epoch(size: int, seed: int, epoch: int) -> None:
    torch.manual_seed(size)  # the state of the global generator has no say
    first, second = EpochOrder(size, seed), EpochOrder(size, seed)
    first.set_epoch(epoch)
    list(second)
    second.set_epoch(epoch)
    assert list(first) == list(second)
    assert sorted(first) == list(range(size))


def test_orders_of_neighbouring_seeds_and_epochs_differ() -> None:
    orders = set()
    for seed in range(5):
        for epoch in range(5):
            order = EpochOrder(50, seed)
            order.set_epoch(epoch)
            orders.add(tuple(order))
    assert len(orders) == 25


def test_purposes_do_not_share_a_seed() -> None:
    assert epoch_seed(0, 0, "order") != epoch_seed(0, 0, "noise")


def test_a_batch_is_what_its_indices_say() -> None:
    images = Images(torch.arange(10).view(10, 1, 1, 1), torch.arange(10))
    batch, labels = images.__getitems__([3, 1, 1])
    assert batch.flatten().tolist() == labels.tolist() == [3, 1, 1]
    assert images[4][1] == 4


def test_normalise_maps_pixels_and_leaves_the_input_alone() -> None:
    images = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8).view(1, 1, 2, 2)
    before = images.clone()
    assert normalise(images, 0, 1, 0).flatten().tolist() == pytest.approx([0, 1, 0.2, 0.4])
    padded = normalise(images, 0.5, 2, 1)
    assert padded.shape == (1, 1, 4, 4)
    assert padded[0, 0, 0, 0].item() == pytest.approx(-0.25)
    assert padded[0, 0, 1, 2].item() == pytest.approx(0.25)
    assert torch.equal(images, before)


@given(shift=st.integers(0, 4), flip=st.booleans(), seed=st.integers(0, 1000))
def test_augment_moves_each_image_by_its_own_amount_and_invents_nothing(shift: int, flip: bool, seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.zeros(40, 1, 12, 12, dtype=torch.uint8)
    images[:, 0, 6, 4] = torch.arange(1, 41, dtype=torch.uint8)  # one lit pixel; its mirror image is column 7
    moved = augment(images, shift, flip)
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    places = set()
    for number, image in enumerate(moved, start=1):
        ((_, row, column),) = (image == number).nonzero().tolist()
        assert (image > 0).sum() == 1
        assert abs(row - 6) <= shift
        assert abs(column - 4) <= shift or (flip and abs(column - 7) <= shift)
        places.add((row, column))
    if shift or flip:
        assert len(places) > 1
    if not shift and not flip:
        assert torch.equal(moved, images)


@given(largest=st.floats(0.02, 1), seed=st.integers(0, 1000), height=st.integers(8, 40), width=st.integers(8, 40))
def test_erase_makes_one_rectangle_background_and_no_larger_than_it_may(largest, seed, height, width) -> None:
    torch.manual_seed(seed)
    images = torch.full((30, 1, height, width), 7, dtype=torch.uint8)
    for image in erase(images, 1, largest):
        assert set(image.unique().tolist()) <= {0, 7}
        gone = image[0] == 0
        rows, columns = gone.any(1), gone.any(0)
        assert torch.equal(gone, rows[:, None] & columns), "a rectangle"
        for line in (rows, columns):
            assert line.int().diff().clamp(min=0).sum() + line[0] <= 1, "in one piece"
        # Rounding each side to pixels adds half of one at most.
        high, wide = int(rows.sum()), int(columns.sum())
        assert (high - 0.5) * (wide - 0.5) <= largest * height * width + 1e-3 or min(high, wide) == 0
        whole = high < height and wide < width  # not cut off by the image
        assert not whole or (high + 0.5) * (wide + 0.5) >= 0.02 * height * width - 1e-3
        if high and wide and whole:
            assert (high + 0.5) / (wide - 0.5) >= 0.3 - 1e-6
            assert (high - 0.5) / (wide + 0.5) <= 1 / 0.3 + 1e-6
    assert torch.equal(erase(images, 0, largest), images)


def test_erase_takes_its_share_of_the_images_and_every_pixel_and_size() -> None:
    torch.manual_seed(0)
    images = torch.ones(20_000, 1, 28, 28, dtype=torch.uint8)
    gone = (erase(images, 0.5, 0.25) == 0).flatten(1).sum(1) / 28**2
    assert (gone > 0).float().mean().item() == pytest.approx(0.5, abs=0.015)
    sizes = gone[gone > 0]
    assert sizes.mean().item() == pytest.approx((0.02 + 0.25) / 2, abs=0.005)
    for share in (0.07, 0.135, 0.2):  # uniform between its ends
        assert (sizes < share).float().mean().item() == pytest.approx((share - 0.02) / 0.23, abs=0.03)
    places = (erase(images, 1, 0.25) == 0).float().mean(0)[0]
    assert places.min() > 0.001  # the corners are the rarest
    assert torch.allclose(places, places.flip(0), atol=0.02)
    assert torch.allclose(places, places.flip(1), atol=0.02)


SQUARE = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
SQUARE[..., 10:30, 10:30] = 200  # 20 pixels wide and high, in the middle


def moments(image: torch.Tensor) -> dict[str, float]:
    """Area, middle, extent and slant of what is lit."""
    mass = image / image.sum()
    places = torch.arange(image.shape[-1], dtype=torch.float)
    x, y = (mass.sum(0) * places).sum(), (mass.sum(1) * places).sum()
    across, down = places - x, places - y
    wide = (mass.sum(0) * across**2).sum().mul(12).sqrt()
    high = (mass.sum(1) * down**2).sum().mul(12).sqrt()
    slant = (mass * down[:, None] * across).sum() / (mass.sum(1) * down**2).sum()
    return {key: float(value) for key, value in locals().items() if key in ("x", "y", "wide", "high", "slant")}


@pytest.mark.parametrize("kind", ["scale", "squeeze", "shear", "shift"])
def test_distort_changes_what_it_says_of_each_image_within_its_range(kind: str) -> None:
    torch.manual_seed(0)
    change = Augment(**{kind: 3 if kind == "shift" else 0.2})
    seen = [moments(image[0]) for image in distort(SQUARE.expand(60, -1, -1, -1), change)]
    still = {"x": 19.5, "y": 19.5, "wide": 20, "high": 20, "slant": 0}
    moving = {
        "scale": {"wide": (16, 24), "high": (16, 24)},
        "squeeze": {"wide": (16, 24), "high": (20 / 1.2, 20 / 0.8)},
        "shear": {"slant": (-0.2, 0.2)},
        "shift": {"x": (16.5, 22.5), "y": (16.5, 22.5)},
    }[kind]
    for name, value in still.items():
        values = torch.tensor([m[name] for m in seen])
        if name not in moving and not (kind == "shear" and name == "wide"):
            assert (values - value).abs().max() < 0.15, name
    for name, (low, high) in moving.items():
        values = torch.tensor([m[name] for m in seen])
        assert low - 0.1 <= values.min() < values.max() <= high + 0.1
        assert values.max() - values.min() > 0.8 * (high - low), "uses its range"
    wide, tall = (torch.tensor([m[name] for m in seen]) for name in ("wide", "high"))
    if kind == "scale":
        assert torch.allclose(wide, tall, atol=0.2)
    if kind == "squeeze":
        assert torch.allclose(wide * tall, torch.tensor(400.0), atol=8)


def test_distort_keeps_to_the_range_of_each_where_all_are_asked_for() -> None:
    torch.manual_seed(0)
    change = Augment(shift=3, scale=0.2, squeeze=0.2, shear=0.2)
    seen = [moments(image[0]) for image in distort(SQUARE.expand(300, -1, -1, -1), change)]
    for name, middle, largest in (("x", 19.5, 3), ("y", 19.5, 3), ("slant", 0, 0.2)):
        off = (torch.tensor([m[name] for m in seen]) - middle).abs().max().item()
        assert 0.9 * largest < off < 1.03 * largest


def test_distort_without_ranges_changes_nothing_and_mirrors_half_where_asked() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (100, 1, 28, 28), dtype=torch.uint8)
    same = distort(images, Augment())
    assert torch.allclose(same, images.float(), atol=0.01)
    flipped = distort(images, Augment(flip=True))
    mirrored = [torch.allclose(a, b.float().flip(-1), atol=0.01) for a, b in zip(flipped, images, strict=True)]
    straight = [torch.allclose(a, b.float(), atol=0.01) for a, b in zip(flipped, images, strict=True)]
    assert 30 < sum(mirrored) < 70
    assert sum(mirrored) + sum(straight) == 100


def test_distorted_images_are_moved_after_padding_so_that_nothing_is_cut_off(tiny) -> None:
    data = Data(root=str(tiny), pad=10, augment=Augment(shift=6, shear=0.01))
    images = ImageData(data, 0)
    images.trainer = SimpleNamespace(training=True)
    stored = torch.full((30, 1, 28, 28), 255, dtype=torch.uint8)
    pixels, _ = images.on_after_batch_transfer((stored, torch.zeros(30)), 0)
    assert pixels.shape == (30, 1, 48, 48)
    assert torch.allclose(pixels.sum((1, 2, 3)), torch.tensor(28.0**2), rtol=1e-3)


def test_rotate_turns_each_image_about_its_middle_by_an_angle_of_its_own() -> None:
    images = torch.randint(0, 256, (20, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    turned = distort(images, Augment(rotate=40), torch.Generator().manual_seed(1))
    drawn = torch.rand(6, 20, generator=torch.Generator().manual_seed(1))  # the angle is the last of six
    angles = (2 * drawn[5] - 1) * 40
    assert angles.min() < -30 < 30 < angles.max()
    for image, result, angle in zip(images, turned, angles.tolist(), strict=True):
        expected = rotate(image.float(), angle, InterpolationMode.BILINEAR)
        assert torch.allclose(result, expected, atol=0.05)


def test_who_does_not_rotate_draws_as_before_there_was_rotation() -> None:
    generator, other = (torch.Generator().manual_seed(3) for _ in range(2))
    distort(SQUARE.expand(7, -1, -1, -1), Augment(scale=0.1, flip=True), generator)
    torch.rand(6, 7, generator=other)  # size, squeeze, shear, right, down, mirrored
    assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=other))
