"""Optimizers and learning-rate schedules: what each name of the config becomes."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from lenet import config
from lenet.batches import updates, warmup_updates
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


def _nadam(parameters: Any, settings: config.Optimizer) -> Optimizer:
    beta1, beta2 = settings.betas
    return torch.optim.NAdam(parameters, lr=settings.lr, betas=(beta1, beta2), weight_decay=settings.weight_decay)


def _rmsprop(parameters: Any, settings: config.Optimizer) -> Optimizer:
    return torch.optim.RMSprop(
        parameters,
        lr=settings.lr,
        alpha=settings.alpha,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


def _adagrad(parameters: Any, settings: config.Optimizer) -> Optimizer:
    return torch.optim.Adagrad(parameters, lr=settings.lr, weight_decay=settings.weight_decay)


def _adadelta(parameters: Any, settings: config.Optimizer) -> Optimizer:
    return torch.optim.Adadelta(parameters, lr=settings.lr, rho=settings.rho, weight_decay=settings.weight_decay)


def _sdlm(parameters: Any, settings: config.Optimizer) -> Optimizer:
    return SDLM(parameters, lr=settings.lr, mu=settings.mu, memory=settings.curvature_memory)


# The values of optimizer.name: what makes an optimizer of parameters, or of groups of them, and of the config's keys.
OPTIMIZERS: dict[str, Callable[[Any, config.Optimizer], Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
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


class WarmUp(LambdaLR):
    """A straight line: of `count` updates the first has 1 / count of the learning rate, and the last all of it."""

    def __init__(self, optimizer: Optimizer, count: int) -> None:
        super().__init__(optimizer, lambda done: min(1.0, (done + 1) / count))


def _steps(optimizer: Optimizer, config: Config) -> LRScheduler:
    return LambdaLR(optimizer, lambda epoch: factor(config.schedule, config.schedule.warmup_epochs + epoch))


def _exponential(optimizer: Optimizer, config: Config) -> LRScheduler:
    return ExponentialLR(optimizer, config.schedule.gamma)


def _plateau(optimizer: Optimizer, config: Config) -> LRScheduler:
    return ReduceLROnPlateau(optimizer, factor=config.schedule.factor, patience=config.schedule.patience)


def _cosine(optimizer: Optimizer, config: Config) -> LRScheduler:
    return CosineAnnealingLR(optimizer, T_max=updates(config) - warmup_updates(config))


def _one_cycle(optimizer: Optimizer, config: Config) -> LRScheduler:
    return OneCycleLR(
        optimizer, config.optimizer.lr, updates(config), pct_start=config.schedule.warmup, cycle_momentum=False
    )


# The values of schedule.name, of which constant needs nothing: what changes the learning rate, and how often.
SCHEDULES: dict[str, tuple[Callable[[Optimizer, Config], LRScheduler], str] | None] = {
    "constant": None,
    "steps": (_steps, "epoch"),
    "exponential": (_exponential, "epoch"),
    "plateau": (_plateau, "epoch"),
    "cosine": (_cosine, "step"),
    "one_cycle": (_one_cycle, "step"),
}


def build_schedules(optimizer: Optimizer, config: Config) -> list[LRSchedulerConfigType]:
    """The schedule that the config names and its warm-up, as Lightning takes them; none for a constant learning rate.

    `Classifier.lr_scheduler_step` lets one of them change the learning rate at a time.
    """
    schedules: list[LRSchedulerConfigType] = []
    if found := SCHEDULES[config.schedule.name]:
        build, interval = found
        schedules.append({"scheduler": build(optimizer, config), "interval": interval})
    if count := warmup_updates(config):
        schedules.append({"scheduler": WarmUp(optimizer, count), "interval": "step"})  # the last, so it comes first
    return schedules
