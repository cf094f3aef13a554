"""The second derivatives are those of the paper's recursion, and the optimizer does with them what it says."""

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lenet import config
from lenet.config import Model, choices
from lenet.errors import BadInput
from lenet.models.lenet import activation
from lenet.models.lenet5 import RBF, LeNet5, PartialConv2d, Subsampling
from lenet.training.losses import Loss
from lenet.training.sdlm import SDLM, diagonal_hessian

ACTIVATIONS = [type(activation(name)) for name in choices()["model.activation"]]
LOSSES = ["cross_entropy", "mse", "map"]


def loss_of(name: str) -> Loss:
    return Loss(config.Loss(name=name, j=3.0))


@st.composite
def nets(draw: st.DrawFn) -> tuple[nn.Sequential, Tensor]:
    """A net with a few of all kinds of layers, and images for it."""
    seed = draw(st.integers(0, 10**6))
    maps, side = draw(st.integers(1, 2)), draw(st.integers(4, 7))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    images = torch.randn(draw(st.integers(1, 3)), maps, side, side, generator=generator, dtype=torch.float64)
    layers: list[nn.Module] = []
    x = images
    for kind in draw(st.lists(st.sampled_from(["conv", "partial", "pool", "activation"]), max_size=4)):
        layer: nn.Module | None = None
        maps, side = x.shape[1], x.shape[2]
        if kind == "conv":
            window, stride, padding = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
            if window <= side + 2 * padding:
                layer = nn.Conv2d(maps, draw(st.integers(1, 3)), window, stride, padding, bias=draw(st.booleans()))
        elif kind == "partial" and side >= 2:
            subset = st.lists(st.integers(0, maps - 1), min_size=1, unique=True).map(sorted).map(tuple)
            layer = PartialConv2d(maps, tuple(draw(st.lists(subset, min_size=1, max_size=3))), 2)
        elif kind == "pool" and side >= 2:
            layer = draw(st.sampled_from([Subsampling(maps), nn.AvgPool2d(2), nn.MaxPool2d(2)]))
        elif kind == "activation":
            layer = draw(st.sampled_from(ACTIVATIONS))()
        if layer is not None:
            layers.append(layer.double())
            x = layer(x)
    layers.append(nn.Flatten())
    features = x[0].numel()
    for units in draw(st.lists(st.integers(1, 4), max_size=2)):
        layers += [nn.Linear(features, units).double(), draw(st.sampled_from(ACTIVATIONS))()]
        features = units
    if draw(st.booleans()):
        layers.append(RBF(torch.randn(3, features, generator=generator, dtype=torch.float64)))
    else:
        layers.append(nn.Linear(features, 3).double())
    net = nn.Sequential(*layers)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return net, images


def connections(layer: nn.Module, x: Tensor) -> list[tuple[int, list[tuple[list[int], float, tuple | None]]]]:
    """For every output unit of a layer, one image at a time, in the order of flatten(): its connections.

    A connection has the inputs whose sum it weighs (one, but in subsampling four), its weight, and where that weight
    is kept: (parameter, index), or None if it is a constant. A bias is a connection without inputs.
    """
    if isinstance(layer, nn.Linear):
        return [
            [([j], layer.weight[i, j].item(), (layer.weight, (i, j))) for j in range(layer.in_features)]
            + ([([], layer.bias[i].item(), (layer.bias, (i,)))] if layer.bias is not None else [])
            for i in range(layer.out_features)
        ]
    maps, height, width = x.shape
    output = layer(x[None])[0]
    units = []
    for o in range(output.shape[0]):
        for row in range(output.shape[1]):
            for column in range(output.shape[2]):
                units.append(list(_window(layer, x, o, row, column, (maps, height, width))))
    return units


def _window(layer, x, o, row, column, shape):
    maps, height, width = shape

    def unit(m: int, r: int, c: int) -> int:
        return (m * height + r) * width + c

    if isinstance(layer, nn.Conv2d):
        (size, _), (stride, _), (padding, _) = layer.kernel_size, layer.stride, layer.padding
        for m in range(maps):
            for i in range(size):
                for j in range(size):
                    r, c = row * stride + i - padding, column * stride + j - padding
                    if 0 <= r < height and 0 <= c < width:
                        yield [unit(m, r, c)], layer.weight[o, m, i, j].item(), (layer.weight, (o, m, i, j))
    elif isinstance(layer, PartialConv2d):
        for k, pair in enumerate(layer.pairs.tolist()):
            if pair // maps == o:
                for i in range(layer.kernel_size):
                    for j in range(layer.kernel_size):
                        where = [unit(pair % maps, row + i, column + j)]
                        yield where, layer.weight[k, i, j].item(), (layer.weight, (k, i, j))
    else:
        four = [unit(o, 2 * row + i, 2 * column + j) for i in range(2) for j in range(2)]
        if isinstance(layer, Subsampling):
            yield four, layer.coefficient[o].item(), (layer.coefficient, (o,))
        elif isinstance(layer, nn.AvgPool2d):
            for where in four:
                yield [where], 0.25, None
        else:
            yield [max(four, key=lambda where: x.flatten()[where].item())], 1.0, None
    if getattr(layer, "bias", None) is not None:
        yield [], layer.bias[o].item(), (layer.bias, (o,))


def seconds_of(loss: Loss, outputs: list[float], rbf: RBF | None) -> list[float]:
    """The loss of label 0, differentiated twice by each output, with 60 digits: floats cancel where it is sure."""

    def loss_at(unit: int, value: mpmath.mpf) -> mpmath.mpf:
        values = [mpmath.mpf(output) for output in outputs]
        values[unit] = value
        centres = rbf.centres.tolist() if rbf else []
        y = [sum((v - c) ** 2 for v, c in zip(values, row, strict=True)) for row in centres] or [-v for v in values]
        terms = {"cross_entropy": y, "map": [*y, mpmath.mpf(loss.j)]}.get(loss.name)
        return y[0] + (mpmath.log(sum(mpmath.exp(-term) for term in terms)) if terms else 0)

    with mpmath.workdps(60):
        return [
            float(mpmath.diff(lambda value, unit=unit: loss_at(unit, value), mpmath.mpf(output), 2))
            for unit, output in enumerate(outputs)
        ]


def by_loops(net: nn.Sequential, loss: Loss, images: Tensor) -> dict[nn.Parameter, Tensor]:
    """Equations 23, 25 and 27, unit by unit."""
    found = {parameter: torch.zeros_like(parameter) for parameter in net.parameters()}
    layers = list(net)
    rbf = layers.pop() if isinstance(layers[-1], RBF) else None
    for image in images:
        x = image[None]
        inputs = []
        for layer in layers:
            inputs.append(x[0].detach())
            x = layer(x)
        by_output = seconds_of(loss, x[0].tolist(), rbf)
        for layer, seen in zip(reversed(layers), reversed(inputs), strict=True):
            by_output = _layer_by_loops(layer, seen, by_output, found, len(images))
    return found


def _layer_by_loops(layer, x, by_output, found, images) -> list[float]:
    signals = x.flatten().tolist()
    if isinstance(layer, nn.Flatten):
        return by_output
    if type(layer) in ACTIVATIONS:
        slopes = torch.func.vmap(torch.func.grad(layer))(x.flatten()).tolist()
        return [slope**2 * second for slope, second in zip(slopes, by_output, strict=True)]
    by_input = [0.0] * len(signals)
    for second, unit in zip(by_output, connections(layer, x), strict=True):
        for sources, weight, kept in unit:
            if kept is not None:
                parameter, index = kept
                signal = sum(signals[j] for j in sources) if sources else 1.0
                found[parameter][index] += second * signal**2 / images
            for j in sources:
                by_input[j] += weight**2 * second
    return by_input


@settings(max_examples=80)
@given(drawn=nets(), name=st.sampled_from(LOSSES))
def test_h_is_the_papers_recursion_unit_by_unit(drawn: tuple[nn.Sequential, Tensor], name: str) -> None:
    net, images = drawn
    with torch.no_grad():
        expected = by_loops(net, loss_of(name), images)
    found = diagonal_hessian(net, loss_of(name), images)
    assert found.keys() == set(net.parameters())
    for parameter, h in found.items():
        assert h.shape == parameter.shape
        assert torch.allclose(h, expected[parameter], rtol=1e-7, atol=1e-20)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(36, 4),
        nn.Conv2d(1, 2, 3, padding=1),
        nn.Conv2d(1, 3, 2, stride=2),
        PartialConv2d(1, ((0,), (0,)), 3),
        Subsampling(1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_for_a_single_layer_h_is_the_true_second_derivative(layer: nn.Module) -> None:
    """Under the squared distance the loss of one layer is a square, so that Gauss-Newton leaves nothing out."""
    torch.manual_seed(0)
    layer = layer.double()
    images = torch.randn(3, 1, 6, 6, dtype=torch.float64)
    first: list[nn.Module] = [nn.Flatten()] if isinstance(layer, nn.Linear) else []
    features = nn.Sequential(*first, layer, nn.Flatten())(images).shape[1]
    net = nn.Sequential(*first, layer, nn.Flatten(), RBF(torch.randn(4, features, dtype=torch.float64)))
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    labels = torch.tensor([0, 1, 1])
    names = [name for name, _ in net.named_parameters()]

    def total(*values: Tensor) -> Tensor:
        logits = -torch.func.functional_call(net, dict(zip(names, values, strict=True)), images)
        return loss_of("mse")(logits, labels)

    values = tuple(net.parameters())
    whole = torch.func.hessian(total, argnums=tuple(range(len(values))))(*values)
    found = diagonal_hessian(net, loss_of("mse"), images)
    for k, parameter in enumerate(values):
        size = parameter.numel()
        exact = whole[k][k].reshape(size, size).diagonal().view_as(parameter)
        assert torch.allclose(found[parameter], exact)


def test_for_a_linear_layer_under_cross_entropy_too() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 5)).double()
    images, labels = torch.randn(4, 1, 3, 3, dtype=torch.float64), torch.tensor([0, 1, 4, 2])

    def total(weight: Tensor) -> Tensor:
        return nn.functional.cross_entropy(images.flatten(1) @ weight.T + net[1].bias, labels)

    exact = torch.func.hessian(total)(net[1].weight).reshape(45, 45).diagonal().view(5, 9)
    assert torch.allclose(diagonal_hessian(net, loss_of("cross_entropy"), images)[net[1].weight], exact)


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives_of_lenet5_are_never_negative(name: str) -> None:
    torch.manual_seed(0)
    net = LeNet5(Model(init="sqrt_fan_in"))
    found = diagonal_hessian(net, loss_of(name), torch.randn(20, 1, 32, 32))
    assert found.keys() == set(net.parameters())
    assert all((h >= 0).all() for h in found.values())


def test_a_step_moves_each_weight_by_eta_over_mu_plus_h_times_its_gradient() -> None:
    w = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    optimizer = SDLM([w], lr=0.1, mu=0.5)
    optimizer.observe({w: torch.tensor([0.5, 1.5, 0.0])})
    w.grad = torch.tensor([1.0, -2.0, 1.0])
    optimizer.step()
    assert w.tolist() == pytest.approx([1 - 0.1, 1 + 0.1, 1 - 0.2])
    optimizer.param_groups[0]["lr"] = 0.05
    optimizer.step()
    assert w.tolist() == pytest.approx([1 - 0.15, 1 + 0.15, 1 - 0.3])
    assert optimizer.last_rates[w].tolist() == pytest.approx([0.05, 0.025, 0.1])


def test_an_observation_is_averaged_with_the_earlier_one_as_far_as_there_is_memory() -> None:
    w = nn.Parameter(torch.zeros(1))
    optimizer = SDLM([w], lr=1.0, mu=1.0, memory=0.25)
    for value, mean in ((4.0, 4.0), (8.0, 7.0), (7.0, 7.0)):
        optimizer.observe({w: torch.tensor([value])})
        assert optimizer.rates()[w].item() == pytest.approx(1 / (1 + mean))


def test_an_optimizer_that_is_restored_goes_on_with_its_second_derivatives() -> None:
    w = nn.Parameter(torch.zeros(2))
    first, second = SDLM([w], lr=0.1), SDLM([w], lr=9.0)
    first.observe({w: torch.tensor([0.3, 0.7])})
    second.observe({w: torch.tensor([1.0, 1.0])})
    w.grad = torch.ones(2)
    second.step()
    second.load_state_dict(first.state_dict())
    w.data.zero_()
    second.step()
    assert torch.equal(-w, first.rates()[w])


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)), "BatchNorm1d"),
        (nn.Sequential(nn.Flatten(), nn.Bilinear(4, 4, 3)), "Bilinear"),
        (nn.Linear(2, 3), "Linear"),
    ],
)
def test_a_net_that_cannot_be_differentiated_twice_is_refused_by_name(net: nn.Module, named: str) -> None:
    if named == "Bilinear":
        net[1].forward = lambda x: x[:, :3]
    with pytest.raises(BadInput, match=named) as caught:
        diagonal_hessian(net, loss_of("cross_entropy"), torch.rand(5, 1, 2, 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("loss", "named"), [(nn.L1Loss(), "L1Loss"), (nn.functional.nll_loss, "nll_loss")])
def test_a_loss_that_is_not_known_is_refused_by_name(loss: object, named: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(BadInput, match=named) as caught:
        diagonal_hessian(net, loss, torch.rand(5, 1, 2, 2))
    assert "\n" not in str(caught.value)
