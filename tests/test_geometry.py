"""The arithmetic agrees with the nets that torch builds, over the whole space of nets."""

from dataclasses import asdict

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lenet.config import Config, Model
from lenet.errors import BadInput
from lenet.models.layers import ACTIVATIONS, POOLS
from lenet.models.lenet import LeNet
from lenet.models.lenet5 import Subsampling
from lenet.models.sizes import layers, parameters_and_macs
from lenet.rules import validate
from lenet.rules.model import INIT_CHOICES

sizes = st.integers(1, 7)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Nets of up to four blocks of convolutions, legal or not."""
    channels = draw(st.lists(sizes, min_size=1, max_size=4))
    window = st.integers(1, 9)
    padding = st.integers(0, 3)
    each = {"min_size": len(channels), "max_size": len(channels)}
    return Model(
        conv_channels=channels,
        convs_per_block=draw(st.integers(1, 3) | st.lists(st.integers(1, 3), **each)),
        kernel_size=draw(window | st.lists(window, **each)),
        padding=draw(padding | st.lists(padding, **each)),
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        pool=draw(st.sampled_from(sorted(POOLS))),
        norm=draw(st.sampled_from(["none", "batch"])),
        fc_sizes=draw(st.lists(sizes, max_size=3)),
        dropout=draw(st.sampled_from([0.0, 0.5])),
        init=draw(st.sampled_from(INIT_CHOICES["lenet"])),
    )


def macs_of(module: nn.Module, output: torch.Tensor) -> int:
    """Every output unit of a layer with weights takes one multiplication per weight that it sees."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output[0].numel() * module.weight[0].numel()
    return output[0].numel() if isinstance(module, Subsampling) else 0


def refusal(config: Config) -> str | None:
    try:
        validate(config)
    except BadInput as error:
        return str(error)
    return None


@settings(max_examples=150)
@given(model=models(), pad=st.integers(0, 3))
def test_a_net_is_refused_without_torch_or_built_as_predicted(model: Model, pad: int) -> None:
    config = Config(model=model)
    config.data.pad = pad
    side = 28 + 2 * pad
    if reason := refusal(config):
        assert reason.startswith("model.")
        return
    net = LeNet(model, side).eval()
    predicted = list(layers(model, side))
    assert [layer.name for layer in predicted] == [name for name, _ in net.named_children()]
    x = torch.rand(2, 1, side, side)
    for layer, module in zip(predicted, net, strict=True):
        x = module(x)
        assert layer.kind == type(module).__name__, layer
        assert layer.shape == tuple(x.shape[1:]), layer
        assert layer.parameters == sum(p.numel() for p in module.parameters()), layer
        assert layer.macs == macs_of(module, x), layer
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = net.output.bias.clone()
    nn.functional.cross_entropy(net.train()(torch.rand(2, 1, side, side)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert not torch.equal(net.output.bias, before)
    assert parameters_and_macs(model, side)[0] == sum(p.numel() for p in net.parameters())


def test_the_books_macs_are_those_of_its_layers() -> None:
    by_name = {layer.name: layer.macs for layer in layers(Model())}
    assert by_name["c1"] == 28 * 28 * 6 * 25
    assert by_name["c3"] == 10 * 10 * 16 * 6 * 25
    assert by_name["c5"] == 400 * 120
    assert parameters_and_macs(Model()) == (61_706, 117_600 + 240_000 + 48_000 + 10_080 + 840)


@given(model=models())
def test_the_arithmetic_does_not_change_the_config(model: Model) -> None:
    before = asdict(model)
    refusal(Config(model=model))
    assert asdict(model) == before
