"""The parametric LeNet is the book's net, to the last bit."""

import pytest
import torch
from torch import nn

from lenet.config import Model
from lenet.models.lenet import LeNet, ScaledTanh


def book_net() -> nn.Sequential:
    """The chapter's net, as the chapter has it."""
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_books_sequential_with_the_same_weights_gives_the_same_bits(memory_format: torch.memory_format) -> None:
    ours, theirs = LeNet(Model()), book_net()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    ours, theirs = ours.to(memory_format=memory_format), theirs.to(memory_format=memory_format)
    images = torch.rand(256, 1, 28, 28)
    a, b = ours(images), theirs(images)
    assert torch.equal(a, b)
    a.sum().backward()
    b.sum().backward()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine.grad, its.grad)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("pool", ["max", "avg"])
def test_layers_one_after_another_give_the_bits_of_the_net(pool: str, norm: str, memory_format) -> None:
    """With ReLU before a maximum the net itself takes another order."""
    model = Model(activation="relu", pool=pool, norm=norm, convs_per_block=[2, 1])
    net = LeNet(model).to(memory_format=memory_format)
    in_order = nn.Sequential(*net)
    images = torch.randint(0, 4, (256, 1, 28, 28)) / 3  # few values, so that windows have several maxima
    results = []
    for one in (net, in_order):
        one.zero_grad()
        logits = one(images)
        logits.square().sum().backward()
        results.append([logits, *(weight.grad.clone() for weight in net.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_the_same_seed_draws_the_weights_that_the_book_would() -> None:
    torch.manual_seed(3)
    ours = LeNet(Model())
    torch.manual_seed(3)
    theirs = book_net()
    for module in theirs:
        if type(module) in (nn.Linear, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_the_shapes_after_every_layer_are_the_books() -> None:
    x = torch.rand(1, 1, 28, 28)
    shapes = []
    for layer in LeNet(Model()):
        x = layer(x)
        shapes.append((type(layer).__name__, tuple(x.shape)))
    assert shapes == [
        ("Conv2d", (1, 6, 28, 28)),
        ("Sigmoid", (1, 6, 28, 28)),
        ("AvgPool2d", (1, 6, 14, 14)),
        ("Conv2d", (1, 16, 10, 10)),
        ("Sigmoid", (1, 16, 10, 10)),
        ("AvgPool2d", (1, 16, 5, 5)),
        ("Flatten", (1, 400)),
        ("Linear", (1, 120)),
        ("Sigmoid", (1, 120)),
        ("Linear", (1, 84)),
        ("Sigmoid", (1, 84)),
        ("Linear", (1, 10)),
    ]


def test_layers_have_the_papers_names_and_the_net_61706_parameters() -> None:
    net = LeNet(Model())
    weights = [name for name, module in net.named_children() if list(module.parameters())]
    assert weights == ["c1", "c3", "c5", "f6", "output"]
    assert sum(p.numel() for p in net.parameters()) == 61_706


def test_a_block_may_have_several_convolutions_before_its_pooling() -> None:
    net = LeNet(Model(conv_channels=[4, 6, 8], convs_per_block=[1, 2, 2], kernel_size=3, padding=1, fc_sizes=[20]))
    weights = [(name, tuple(module.weight.shape)) for name, module in net.named_children() if list(module.parameters())]
    assert weights == [
        ("c1", (4, 1, 3, 3)),
        ("c3", (6, 4, 3, 3)),
        ("c4", (6, 6, 3, 3)),
        ("c6", (8, 6, 3, 3)),
        ("c7", (8, 8, 3, 3)),
        ("c9", (20, 8 * 3 * 3)),
        ("output", (10, 20)),
    ]
    pools = [name for name, module in net.named_children() if isinstance(module, nn.AvgPool2d)]
    assert pools == ["s2", "s5", "s8"]


def test_the_scaled_tanh_is_one_at_one() -> None:
    assert torch.allclose(ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([-1.0, 0.0, 1.0]), atol=1e-4)


@pytest.mark.parametrize(
    ("init", "variance"),
    [("xavier_uniform", 2 / (400 + 120)), ("kaiming", 2 / 400), ("lecun", 1 / 400), ("normal", 0.01**2)],
)
def test_an_initialisation_has_its_variance(init: str, variance: float) -> None:
    torch.manual_seed(0)
    weight = LeNet(Model(init=init)).c5.weight
    assert weight.var().item() == pytest.approx(variance, rel=0.05)
    assert abs(weight.mean().item()) < 3 * (variance / weight.numel()) ** 0.5


def test_the_default_initialisation_is_the_frameworks() -> None:
    torch.manual_seed(0)
    net = LeNet(Model(init="default"))
    torch.manual_seed(0)
    for mine, its in zip(net.parameters(), book_net().parameters(), strict=True):
        assert torch.equal(mine, its)
