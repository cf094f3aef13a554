"""LeNet-5 has the shapes, the counts and the constants of the paper."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lenet import config
from lenet.config import Model
from lenet.models.layers import C3_INPUTS
from lenet.models.lenet5 import LENET5_INITS, RBF, LeNet5, PartialConv2d, ScaledTanh, Subsampling, bitmaps
from lenet.models.sizes import layers, parameters_and_macs
from lenet.rules.model import INIT_CHOICES
from lenet.training.losses import Loss

PAPER = Model(
    kind="lenet5",
    kernel_size=5,
    padding=0,
    activation="scaled_tanh",
    pool="subsample",
    init="sqrt_fan_in",
)

# name: shape, trainable parameters, connections
PUBLISHED = {
    "c1": ((6, 28, 28), 156, 122_304),
    "s2": ((6, 14, 14), 12, 5_880),
    "c3": ((16, 10, 10), 1_516, 151_600),
    "s4": ((16, 5, 5), 32, 2_000),
    "c5": ((120, 1, 1), 48_120, 48_120),
    "f6": ((84,), 10_164, 10_164),
    "output": ((10,), 0, 840),
}


@pytest.fixture
def net() -> LeNet5:
    torch.manual_seed(0)
    return LeNet5(PAPER)


def test_layers_have_the_published_names_shapes_parameters_and_connections() -> None:
    rows = {row.name: row for row in layers(PAPER, 32)}
    for name, (shape, parameters, connections) in PUBLISHED.items():
        assert (rows[name].shape, rows[name].parameters, rows[name].connections) == (shape, parameters, connections)
    assert sum(row.parameters for row in rows.values()) == 60_000
    assert sum(row.connections for row in rows.values()) == 340_908


def test_the_net_is_what_the_table_says(net: LeNet5) -> None:
    rows = list(layers(PAPER, 32))
    assert [row.name for row in rows] == [name for name, _ in net.named_children()]
    x = torch.rand(2, 1, 32, 32)
    for row, layer in zip(rows, net, strict=True):
        x = layer(x)
        assert row.kind == type(layer).__name__
        assert row.shape == tuple(x.shape[1:])
        assert row.parameters == sum(p.numel() for p in layer.parameters())
    assert parameters_and_macs(PAPER, 32)[0] == sum(p.numel() for p in net.parameters()) == 60_000


@pytest.mark.parametrize("layer", ["c1", "s2", "c3", "s4", "c5", "f6"])
def test_a_unit_is_connected_to_as_many_units_as_are_counted(net: LeNet5, layer: str) -> None:
    """Counted by pushing at every unit of a layer in turn and seeing which inputs notice."""
    before = {"c1": (1, 32), "s2": (6, 28), "c3": (6, 14), "s4": (16, 10), "c5": (16, 5)}
    x = torch.rand(1, 120) if layer == "f6" else torch.rand(1, before[layer][0], *[before[layer][1]] * 2)
    x.requires_grad_()
    y = net.get_submodule(layer)(x)
    maps = y.flatten(2)[0] if y.dim() == 4 else y[0][:, None]
    # All units of a map see windows of one shape, so one from the middle of each is enough.
    seen = [int(torch.autograd.grad(units[len(units) // 2], x, retain_graph=True)[0].count_nonzero()) for units in maps]
    assert sum((count + 1) * maps.shape[1] for count in seen) == PUBLISHED[layer][2]


def test_a_map_of_c3_depends_on_the_maps_of_the_table_and_on_no_other(net: LeNet5) -> None:
    x = torch.rand(1, 6, 14, 14, requires_grad=True)
    y = net.c3(x)
    for output, seen in enumerate(C3_INPUTS):
        gradient = torch.autograd.grad(y[0, output].sum(), x, retain_graph=True)[0][0]
        assert [i for i in range(6) if gradient[i].any()] == list(seen)


def test_absent_connections_of_c3_do_not_exist_and_training_does_not_make_them(net: LeNet5) -> None:
    assert net.c3.weight.shape == (60, 5, 5)
    absent = [(o, i) for o, seen in enumerate(C3_INPUTS) for i in range(6) if i not in seen]
    assert len(absent) == 16 * 6 - 60
    net(torch.randn(4, 1, 32, 32)).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9).step()
    assert net.c3.weight.grad.flatten(1).any(1).all()  # of every connection that there is
    x = torch.randn(2, 6, 14, 14)
    for o, i in absent:
        other = x.clone()
        other[:, i] += 1
        assert torch.equal(net.c3(x)[:, o], net.c3(other)[:, o])


@settings(max_examples=30)
@given(data=st.data(), inputs=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_partial_convolution_is_the_sum_over_its_table(data: st.DataObject, inputs: int, seed: int) -> None:
    subset = st.lists(st.integers(0, inputs - 1), min_size=1, unique=True).map(sorted).map(tuple)
    table = tuple(data.draw(st.lists(subset, min_size=1, max_size=4)))
    torch.manual_seed(seed)
    layer = PartialConv2d(inputs, table, 3).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, inputs, 5, 6, dtype=torch.float64)
    kernels = iter(layer.weight)
    for output, seen in enumerate(table):
        expected = layer.bias[output] + sum(
            torch.nn.functional.conv2d(x[:, i : i + 1], next(kernels)[None, None]) for i in seen
        )
        assert torch.allclose(layer(x)[:, output], expected[:, 0])


def test_subsampling_is_the_sum_of_four_times_a_coefficient_plus_a_bias() -> None:
    layer = Subsampling(2)
    layer.coefficient.data, layer.bias.data = torch.tensor([0.5, -2.0]), torch.tensor([1.0, 3.0])
    x = torch.arange(32.0).view(1, 2, 4, 4)
    assert layer(x)[0, 0, 0, 1].item() == (2 + 3 + 6 + 7) * 0.5 + 1
    assert layer(x)[0, 1, 1, 0].item() == (24 + 25 + 28 + 29) * -2 + 3


def test_the_squashing_function_is_1_at_1_and_minus_1_at_minus_1() -> None:
    f = ScaledTanh()
    assert f(torch.tensor([1.0, -1.0, 0.0])).tolist() == pytest.approx([1, -1, 0], abs=2e-5)
    assert f(torch.tensor(1e9)).item() == pytest.approx(1.7159)


def test_the_bitmaps_are_those_of_the_figure() -> None:
    digits = bitmaps()
    assert digits.shape == (10, 84)
    assert set(digits.unique().tolist()) == {-1, 1}
    assert (digits == 1).sum(1).tolist() == [35, 27, 33, 32, 41, 35, 39, 25, 43, 39]
    seven = ["".join(" #"[int(pixel > 0)] for pixel in row).rstrip() for row in digits[7].view(12, 7)]
    assert seven == [
        *("#######", "     ##", "     ##", "    ##", "   ##", "   ##"),
        *("  ##", "  ##", "  ##", "  ##", "", ""),
    ]


def test_the_penalty_of_a_bitmap_is_0_for_itself_and_at_least_48_for_others() -> None:
    penalties = RBF(bitmaps())(bitmaps())
    assert penalties.diagonal().tolist() == [0] * 10
    others = penalties[~torch.eye(10, dtype=torch.bool)]
    assert others.min() == 48  # 12 pixels, between 6 and 8, each 2 apart
    assert penalties[6, 8] == 48


def test_the_answer_is_the_class_with_the_smallest_penalty(net: LeNet5) -> None:
    images = torch.randn(5, 1, 32, 32)
    features = nn.Sequential(*list(net)[:-1])(images)
    distances = torch.cdist(features, bitmaps()).square()
    assert torch.allclose(-net(images), distances, rtol=1e-4)
    assert torch.equal(net(images).argmax(1), distances.argmin(1))


@pytest.mark.parametrize(
    ("init", "scale", "power"), [("fan_in", 2.4, 1), ("sqrt_fan_in", 2.4, 0.5), ("eblearn", 1, 0.5)]
)
def test_weights_fill_a_range_that_falls_with_the_fan_in_of_their_unit(init: str, scale: float, power: float) -> None:
    torch.manual_seed(0)
    net = LeNet5(Model(init=init))
    third, fourth, sixth = net.c3.weight[:18], net.c3.weight[18:54], net.c3.weight[54:]
    for weight, fan_in in (
        *((net.c1.weight, 25), (third, 75), (fourth, 100), (sixth, 150)),
        *((net.c5.weight, 400), (net.f6.weight, 120)),
    ):
        bound = scale / fan_in**power
        assert 0.93 * bound < weight.abs().max().item() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert not any(layer.bias.any() for layer in (net.c1, net.s2, net.c3, net.s4, net.c5, net.f6))
    if init == "fan_in":
        assert 0 < net.s4.coefficient.abs().max() <= 0.6
    else:
        assert net.s2.coefficient.tolist() == [{"sqrt_fan_in": 0.25, "eblearn": 0.5}[init]] * 6


def test_there_is_no_other_initialisation() -> None:
    assert set(LENET5_INITS) == set(INIT_CHOICES["lenet5"])


def naive(name: str, j: float, penalties: Tensor, labels: Tensor) -> Tensor:
    """Equations 8 and 9 as they are written."""
    total = 0
    for y, right in zip(penalties, labels, strict=True):
        total = total + y[right]
        if name == "map":
            total = total + torch.log(math.exp(-j) + sum(torch.exp(-y_i) for y_i in y))
    return total / len(labels)


@pytest.mark.parametrize("name", ["mse", "map"])
@settings(max_examples=30)
@given(seed=st.integers(0, 999), j=st.floats(0.1, 20))
def test_the_losses_are_equations_8_and_9(name: str, seed: int, j: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    penalties = 20 * torch.rand(4, 10, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 10, (4,), generator=generator)
    loss = Loss(config.Loss(name=name, j=j))
    assert loss(-penalties, labels).item() == pytest.approx(naive(name, j, penalties, labels).item())


def test_map_is_finite_where_every_penalty_is_huge() -> None:
    loss = Loss(config.Loss(name="map", j=12.0))
    penalties = torch.full((1, 10), 1e4, requires_grad=True)
    value = loss(-penalties, torch.tensor([3]))
    value.backward()
    assert value.item() == pytest.approx(1e4 - 12)
    assert penalties.grad.isfinite().all()
    assert loss(torch.full((1, 10), -0.0), torch.tensor([0])).item() == pytest.approx(math.log(10), rel=1e-4)


def test_map_without_rubbish_is_cross_entropy() -> None:
    logits, labels = torch.randn(6, 10), torch.arange(6)
    assert torch.allclose(
        Loss(config.Loss(name="map", j=1000.0))(logits, labels), nn.functional.cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "map"])
def test_the_posteriors_are_the_derivatives_of_the_loss(name: str) -> None:
    loss = Loss(config.Loss(name=name, j=1.0))
    logits = torch.randn(3, 10, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 2, 2])
    (loss(logits, labels) * 3).backward()
    assert torch.allclose(logits.grad, loss.posteriors(logits)[0] - nn.functional.one_hot(labels, 10))
