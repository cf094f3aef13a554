"""Stochastic diagonal Levenberg-Marquardt, the optimizer of LeNet-5.

Every weight has a learning rate of its own, eta / (mu + h): h is the second derivative of the loss by that weight,
estimated on a few hundred images before each pass. LeCun et al. 1998, appendix C; equation numbers are the paper's.
"""

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input, conv2d_weight

from lenet.errors import BadInput
from lenet.models.layers import ACTIVATIONS
from lenet.models.lenet import ACTIVATION_MODULES
from lenet.models.lenet5 import RBF, PartialConv2d, ScaledTanh, Subsampling
from lenet.training.losses import Loss

Curvatures = dict[nn.Parameter, Tensor]  # for each parameter a tensor of its shape


class SDLM(torch.optim.Optimizer):
    """w <- w - lr / (mu + h) dE/dw (eq. 18 and 21). Call `observe` before the first step.

    Args:
        params: the parameters.
        lr: eta, the global learning rate.
        mu: keeps the step finite where h is near 0.
        memory: decay of the moving average of h: the share of the earlier h that an observation leaves standing.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 5e-4, mu: float = 0.02, memory: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "mu": mu, "memory": memory})
        self.last_rates: Curvatures = {}  # of every weight in the last step
        self._lrs: list[float] = []
        self.register_load_state_dict_post_hook(lambda _: self.last_rates.clear())

    def observe(self, curvatures: Curvatures) -> None:
        """Take in a new estimate of h, from `diagonal_hessian`."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state, new = self.state[parameter], curvatures[parameter]
                state["h"] = torch.lerp(new, state["h"], group["memory"]) if "h" in state else new
        self.last_rates.clear()

    def rates(self) -> Curvatures:
        """The learning rate of every weight."""
        return {
            parameter: group["lr"] / (group["mu"] + self.state[parameter]["h"])
            for group in self.param_groups
            for parameter in group["params"]
        }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        lrs = [group["lr"] for group in self.param_groups]
        if not self.last_rates or lrs != self._lrs:
            self.last_rates, self._lrs = self.rates(), lrs
        for parameter, rates in self.last_rates.items():
            if parameter.grad is not None:
                parameter.addcmul_(parameter.grad, rates, value=-1)
        return loss


@torch.no_grad()
def diagonal_hessian(net: nn.Module, loss: Loss, images: Tensor) -> Curvatures:
    """The Gauss-Newton estimate of d2E/dw2 for every parameter w, the mean over the images.

    Labels are not asked for: the second derivatives of all our losses are the same for every label.

    Args:
        net: layers in sequence, each of a kind that `second_derivatives` knows. Evaluated as it stands; dropout should
            be off.
        loss: its second derivative starts the recursion, by the logits or, for an RBF layer, by that layer's inputs.
        images: as the net takes them.

    Raises:
        BadInput: a layer or a loss of another kind.
    """
    if not isinstance(net, nn.Sequential):
        raise BadInput(f"optimizer.name=sdlm: {type(net).__name__} is no sequence of layers; take an nn.Sequential")
    if not isinstance(loss, Loss):
        raise BadInput(
            f"optimizer.name=sdlm: the second derivative of the loss {getattr(loss, '__name__', type(loss).__name__)} "
            "is not known; take a lenet.training.losses.Loss"
        )
    layers = list(net)
    inputs = []
    x = images
    for layer in layers:
        inputs.append(x)
        x = layer(x)
    output = layers[-1]
    if isinstance(output, RBF):
        curvature = _by_rbf_inputs(output, inputs[-1], loss)
        del layers[-1], inputs[-1]
    else:
        p, rubbish = loss.posteriors(x)
        others = p @ (1 - torch.eye(p.shape[1], dtype=p.dtype, device=p.device)) + rubbish  # 1 - p without rounding
        curvature = p * others
    found: Curvatures = {}
    for layer, x in zip(reversed(layers), reversed(inputs), strict=True):
        curvature, by_parameter = second_derivatives(layer, x, curvature)
        found |= {getattr(layer, name): total / len(images) for name, total in by_parameter.items()}
    return found


def _by_rbf_inputs(layer: RBF, x: Tensor, loss: Loss) -> Tensor:
    """d2E/dx_j2 for the inputs x (n, 84) of the RBF layer: exact, and never negative.

    With E's derivatives p_i - [i = D] by -y_i, and y_i = sum_j (x_j - w_ij)^2, it is 2 (1 - sum_i p_i) + 4 (sum_i p_i
    d_ij^2 - (sum_i p_i d_ij)^2) with d = x - w; so 2 for mse.
    """
    posteriors, rubbish = loss.posteriors(-layer(x))
    differences = x[:, None, :] - layer.centres
    known = posteriors.sum(1, keepdim=True)
    mean = torch.einsum("ni,nij->nj", posteriors, differences) / known.clamp(min=torch.finfo(x.dtype).tiny)
    # Around the mean, since the difference of two large squares would leave nothing but rounding.
    spread = torch.einsum("ni,nij->nj", posteriors, (differences - mean[:, None, :]).square())
    return 2 * rubbish + 4 * (spread + known * rubbish * mean.square())


@singledispatch
def second_derivatives(layer: nn.Module, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """One layer of the recursion: from d2E/da2 of its outputs to those of its inputs and its parameters.

    Args:
        layer: of one of the kinds below.
        x: its inputs, for n images.
        curvature: d2E/da2 of its outputs, likewise.

    Returns:
        d2E/dx2 in the shape of x (eq. 27); d2E/dw2 for each parameter by name, summed over the images and over the
        connections that share it (eq. 23 and 25).

    Raises:
        BadInput: a layer of another kind.
    """
    raise BadInput(
        f"optimizer.name=sdlm: second derivatives through a {type(layer).__name__} layer are not known; "
        "take a net without it, or another optimizer"
    )


@second_derivatives.register
def _(layer: nn.Linear, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    found = {"weight": curvature.T @ x.square()}
    if layer.bias is not None:
        found["bias"] = curvature.sum(0)
    return curvature @ layer.weight.square(), found


def _convolution(weight: Tensor, x: Tensor, curvature: Tensor, **geometry: Any) -> tuple[Tensor, Tensor, Tensor]:
    """By the inputs, by the kernels and by the biases. A kernel's weight is used once in each output."""
    return (
        conv2d_input(x.shape, weight.square(), curvature, **geometry),  # type: ignore[no-untyped-call]
        conv2d_weight(x.square(), weight.shape, curvature, **geometry),  # type: ignore[no-untyped-call]
        curvature.sum((0, 2, 3)),
    )


@second_derivatives.register
def _(layer: nn.Conv2d, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    geometry = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
    by_x, kernels, biases = _convolution(layer.weight, x, curvature, **geometry)
    return by_x, {"weight": kernels} | ({"bias": biases} if layer.bias is not None else {})


@second_derivatives.register
def _(layer: PartialConv2d, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    by_x, kernels, biases = _convolution(layer.dense(layer.weight), x, curvature)
    return by_x, {"weight": kernels.flatten(0, 1)[layer.pairs], "bias": biases}


@second_derivatives.register
def _(layer: Subsampling, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    # The coefficient weighs one signal, the sum: its second derivative has the square of the sum.
    found = {
        "coefficient": (layer.sums(x).square() * curvature).sum((0, 2, 3)),
        "bias": curvature.sum((0, 2, 3)),
    }
    return _through(layer.sums, x, layer.coefficient.square()[:, None, None] * curvature), found


@second_derivatives.register(ScaledTanh)
def _activation(layer: nn.Module, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return _through(layer, x, torch.ones_like(x)).square() * curvature, {}


for name in ACTIVATIONS.keys() - ACTIVATION_MODULES.keys():  # those that torch has
    second_derivatives.register(getattr(nn, ACTIVATIONS[name]), _activation)


@second_derivatives.register
def _(layer: nn.AvgPool2d, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    kernel = layer.kernel_size
    # Without padding, as in our nets.
    area = kernel**2 if isinstance(kernel, int) else kernel[0] * kernel[1]
    return _through(layer, x, curvature) / area, {}  # every input has weight 1 / area, which is to be squared


@second_derivatives.register
def _(layer: nn.MaxPool2d | nn.Flatten | nn.Dropout, x: Tensor, curvature: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return _through(layer, x, curvature), {}  # only weights of 0 and 1, which are their own squares


def _through(function: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> Tensor:
    """What backpropagation makes of a gradient of the function's outputs."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, gradient)[0]
