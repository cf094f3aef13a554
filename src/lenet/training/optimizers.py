"""Optimizers and learning-rate schedules."""

from typing import Any

import torch
from torch import nn

from lenet.config import Optimizer, Schedule
from lenet.training.sdlm import SDLM


def factor(schedule: Schedule, epoch: int) -> float:
    """The share of the learning rate that a schedule in steps leaves in an epoch, counted from 0."""
    changed = sum(epoch >= change for change in schedule.epochs)
    return schedule.factors[changed - 1] if changed else 1.0


def build_optimizer(net: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """The optimizer that the config names, over all parameters of `net`."""
    parameters: Any = net.parameters()
    if not settings.decay_biases:
        # Biases, and the scale and shift of batch normalisation, are vectors; what multiplies an input is not.
        weights, others = [p for p in net.parameters() if p.dim() > 1], [p for p in net.parameters() if p.dim() <= 1]
        parameters = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
    if settings.name == "sdlm":
        return SDLM(net.parameters(), lr=settings.lr, mu=settings.mu, memory=settings.curvature_memory)
    beta1, beta2 = settings.betas
    adams: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return adams[settings.name](parameters, lr=settings.lr, betas=(beta1, beta2), weight_decay=settings.weight_decay)
