"""Optimizers and learning-rate schedules: what each name of the config becomes."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

from lenet import config
from lenet.batches import updates
from lenet.config import Config, Schedule
from lenet.training.sdlm import SDLM


def _sgd(parameters: Any, settings: config.Optimizer) -> Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


def _adam(parameters: Any, settings: config.Optimizer) -> Optimizer:
    beta1, beta2 = settings.betas
    return torch.optim.Adam(parameters, lr=settings.lr, betas=(beta1, beta2), weight_decay=settings.weight_decay)


def _adamw(parameters: Any, settings: config.Optimizer) -> Optimizer:
    beta1, beta2 = settings.betas
    return torch.optim.AdamW(parameters, lr=settings.lr, betas=(beta1, beta2), weight_decay=settings.weight_decay)


def _sdlm(parameters: Any, settings: config.Optimizer) -> Optimizer:
    return SDLM(parameters, lr=settings.lr, mu=settings.mu, memory=settings.curvature_memory)


# The values of optimizer.name: what makes an optimizer of parameters, or of groups of them, and of the config's keys.
OPTIMIZERS: dict[str, Callable[[Any, config.Optimizer], Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "sdlm": _sdlm,
}


def build_optimizer(net: nn.Module, settings: config.Optimizer) -> Optimizer:
    """The optimizer that the config names, over all parameters of `net`."""
    parameters: Any = net.parameters()
    if not settings.decay_biases:
        # Biases, and the scale and shift of batch normalisation, are vectors; what multiplies an input is not.
        weights, others = [p for p in net.parameters() if p.dim() > 1], [p for p in net.parameters() if p.dim() <= 1]
        parameters = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return OPTIMIZERS[settings.name](parameters, settings)


def factor(schedule: Schedule, epoch: int) -> float:
    """The share of the learning rate that a schedule in steps leaves in an epoch, counted from 0."""
    changed = sum(epoch >= change for change in schedule.epochs)
    return schedule.factors[changed - 1] if changed else 1.0


def _steps(optimizer: Optimizer, config: Config) -> LRScheduler:
    return LambdaLR(optimizer, lambda epoch: factor(config.schedule, epoch))


def _cosine(optimizer: Optimizer, config: Config) -> LRScheduler:
    return CosineAnnealingLR(optimizer, T_max=updates(config))


def _one_cycle(optimizer: Optimizer, config: Config) -> LRScheduler:
    return OneCycleLR(
        optimizer, config.optimizer.lr, updates(config), pct_start=config.schedule.warmup, cycle_momentum=False
    )


# The values of schedule.name, of which constant needs nothing: what changes the learning rate, and how often.
SCHEDULES: dict[str, tuple[Callable[[Optimizer, Config], LRScheduler], str] | None] = {
    "constant": None,
    "steps": (_steps, "epoch"),
    "cosine": (_cosine, "step"),
    "one_cycle": (_one_cycle, "step"),
}


def build_schedule(optimizer: Optimizer, config: Config) -> LRSchedulerConfigType | None:
    """The schedule that the config names, as Lightning takes it; None where the learning rate stays as it is."""
    found = SCHEDULES[config.schedule.name]
    if found is None:
        return None
    build, interval = found
    return {"scheduler": build(optimizer, config), "interval": interval}
