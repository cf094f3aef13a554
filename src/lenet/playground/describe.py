"""A trained net as text: what the page's JavaScript needs to compute it (net.js), and what the page says of it."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lenet.datasets import DataSet, data_set
from lenet.evaluation.load import Trained
from lenet.models.lenet5 import RBF, PartialConv2d, ScaledTanh, Subsampling
from lenet.playground.check import not_ours

Described = dict[str, Any]  # names, numbers and texts, as JSON has them


def numbers(values: Tensor) -> str:
    """A tensor in base64, row after row: float32, the lowest byte first."""
    flat = values.detach().float().cpu().contiguous().numpy()
    return base64.b64encode(flat.astype("<f4").tobytes()).decode("ascii")


def _weights(layer: nn.Conv2d | nn.Linear) -> Described:
    """Weights, and biases where there are any."""
    return {"weight": numbers(layer.weight)} | ({} if layer.bias is None else {"bias": numbers(layer.bias)})


def _convolution(layer: nn.Conv2d) -> Described:
    """Every window of ours is a square, and moves as far down as to the right."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    sizes = {"maps": layer.out_channels, "kernel": kernel, "stride": stride, "padding": padding}
    return {"kind": "Conv2d", **sizes, **_weights(layer)}


def _partial_convolution(layer: PartialConv2d) -> Described:
    """An ordinary one, with zeros where a map does not look at another."""
    sizes = {"maps": layer.outputs, "kernel": layer.kernel_size, "stride": 1, "padding": 0}
    return {"kind": "Conv2d", **sizes, "weight": numbers(layer.dense(layer.weight)), "bias": numbers(layer.bias)}


def _norm(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> Described:
    """After training it is a factor and a summand for each map."""
    mean, variance = layer.running_mean, layer.running_var
    assert mean is not None
    assert variance is not None
    scale = layer.weight / torch.sqrt(variance + layer.eps)
    return {"kind": "BatchNorm", "scale": numbers(scale), "shift": numbers(layer.bias - mean * scale)}


def _subsampling(layer: Subsampling) -> Described:
    return {"kind": "Subsampling", "coefficient": numbers(layer.coefficient), "bias": numbers(layer.bias)}


def _name_alone(layer: nn.Module) -> Described:
    return {"kind": type(layer).__name__}


# What net.js is told of each layer that it can compute.
WRITTEN: dict[type[nn.Module], Callable[[Any], Described]] = {
    nn.Conv2d: _convolution,
    PartialConv2d: _partial_convolution,
    nn.Linear: lambda layer: {"kind": "Linear", **_weights(layer)},
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    Subsampling: _subsampling,
    RBF: lambda layer: {"kind": "RBF", "centres": numbers(layer.centres)},
    nn.LeakyReLU: lambda layer: {"kind": "LeakyReLU", "slope": layer.negative_slope},
    **dict.fromkeys((nn.Sigmoid, nn.Tanh, ScaledTanh, nn.ReLU, nn.GELU, nn.SiLU), _name_alone),
    **dict.fromkeys((nn.AvgPool2d, nn.MaxPool2d), _name_alone),
}

UNCHANGED = (nn.Flatten, nn.Dropout)  # they change no number of a trained net


def describe(trained: Trained, path: Path) -> Described:
    """All that the page needs of a net: its layers with their weights, and what it says of it.

    Args:
        trained: the net of a run that `lenet.playground.check` has let pass.
        path: where it is from.

    Raises:
        BadInput: it has a layer that the page cannot compute.
    """
    layers = []
    for name, layer in trained.model.net.named_children():
        if isinstance(layer, UNCHANGED):
            continue
        if type(layer) not in WRITTEN:
            raise not_ours(path, f"its layer {name} is {type(layer).__name__}")
        layers.append({"name": name, **WRITTEN[type(layer)](layer)})
    data = trained.config.data
    record = data_set(data)
    return {
        "title": path.name if path.is_file() else "/".join(path.resolve().parts[-2:]),
        "about": about(trained, record),
        "classes": list(record.classes),
        "mean": data.mean,
        "std": data.std,
        "pad": data.pad,
        "fit": record.fit and {"size": record.fit.size, "by_mass": record.fit.by_mass},
        "layers": layers,
    }


def about(trained: Trained, record: DataSet) -> str:
    """What a net is, how good it is, and that it knows nothing but its classes."""
    model, metrics = trained.config.model, trained.result.get("metrics", {})
    parts = [f"{model.kind}, {model.activation}, {model.pool} pooling"]
    parts += ["batch normalisation"] if model.norm == "batch" else []
    parts += [f"{trained.result['parameters']:,} parameters"] if "parameters" in trained.result else []
    tested = "test/acc" in metrics and trained.weights == trained.config.test_on  # and not the other ones
    parts += [f"test accuracy {metrics['test/acc']:.4f}"] if tested else []
    names = ", ".join(record.classes)
    return f"{'; '.join(parts)}. It knows {record.title}, and takes everything for one of: {names}."
