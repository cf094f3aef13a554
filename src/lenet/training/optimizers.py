"""Optimizers and learning-rate schedules: what each name of the config becomes."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lenet import config
from lenet.batches import updates, warmup_updates
from lenet.config import Config, Schedule
from lenet.training.sdlm import SDLM


def _betas(settings: config.Optimizer) -> tuple[float, float]:
    first, second = settings.betas
    return first, second


# The values of optimizer.name: what makes an optimizer of parameters, or of groups of them, and of the config's keys.
OPTIMIZERS: dict[str, Callable[[Any, config.Optimizer], Optimizer]] = {
    "sgd": lambda parameters, keys: torch.optim.SGD(
        parameters, lr=keys.lr, momentum=keys.momentum, nesterov=keys.nesterov, weight_decay=keys.weight_decay
    ),
    "adam": lambda parameters, keys: torch.optim.Adam(
        parameters, lr=keys.lr, betas=_betas(keys), weight_decay=keys.weight_decay
    ),
    "adamw": lambda parameters, keys: torch.optim.AdamW(
        parameters, lr=keys.lr, betas=_betas(keys), weight_decay=keys.weight_decay
    ),
    "nadam": lambda parameters, keys: torch.optim.NAdam(
        parameters, lr=keys.lr, betas=_betas(keys), weight_decay=keys.weight_decay
    ),
    "rmsprop": lambda parameters, keys: torch.optim.RMSprop(
        parameters, lr=keys.lr, alpha=keys.alpha, momentum=keys.momentum, weight_decay=keys.weight_decay
    ),
    "adagrad": lambda parameters, keys: torch.optim.Adagrad(parameters, lr=keys.lr, weight_decay=keys.weight_decay),
    "adadelta": lambda parameters, keys: torch.optim.Adadelta(
        parameters, lr=keys.lr, rho=keys.rho, weight_decay=keys.weight_decay
    ),
    "sdlm": lambda parameters, keys: SDLM(parameters, lr=keys.lr, mu=keys.mu, memory=keys.curvature_memory),
}


def build_optimizer(net: nn.Module, settings: config.Optimizer) -> Optimizer:
    """The optimizer that the config names, over all parameters of `net`."""
    parameters: Any = net.parameters()
    if not settings.decay_biases:
        # Biases, and the scale and shift of batch normalisation, are vectors; what multiplies an input is not.
        weights, others = [p for p in net.parameters() if p.dim() > 1], [p for p in net.parameters() if p.dim() <= 1]
        parameters = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return OPTIMIZERS[settings.name](parameters, settings)


def share_in_steps(schedule: Schedule, epoch: int) -> float:
    """The share of the learning rate that a schedule in steps leaves in an epoch, counted from 0."""
    changed = sum(epoch >= change for change in schedule.epochs)
    return schedule.factors[changed - 1] if changed else 1.0


class WarmUp(LambdaLR):
    """A straight line: of `count` updates the first has 1 / count of the learning rate, and the last all of it."""

    def __init__(self, optimizer: Optimizer, count: int) -> None:
        super().__init__(optimizer, lambda done: min(1.0, (done + 1) / count))


# The values of schedule.name, of which constant needs nothing: what changes the learning rate, and how often.
SCHEDULES: dict[str, tuple[Callable[[Optimizer, Config], LRScheduler], str] | None] = {
    "constant": None,
    "steps": (
        lambda optimizer, config: lr_scheduler.LambdaLR(
            optimizer, lambda epoch: share_in_steps(config.schedule, config.schedule.warmup_epochs + epoch)
        ),
        "epoch",
    ),
    "exponential": (lambda optimizer, config: lr_scheduler.ExponentialLR(optimizer, config.schedule.gamma), "epoch"),
    "plateau": (
        lambda optimizer, config: lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=config.schedule.factor, patience=config.schedule.patience
        ),
        "epoch",
    ),
    "cosine": (
        lambda optimizer, config: lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=updates(config) - warmup_updates(config)
        ),
        "step",
    ),
    "one_cycle": (
        lambda optimizer, config: lr_scheduler.OneCycleLR(
            optimizer, config.optimizer.lr, updates(config), pct_start=config.schedule.warmup, cycle_momentum=False
        ),
        "step",
    ),
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
