"""How long: where a run ends, and what depends on that."""

import math
from itertools import pairwise

from lenet.batches import (
    epochs,
    stops_early,
    updates,
    updates_per_epoch,
    validates,
)
from lenet.bounds import seconds
from lenet.config import (
    Config,
    EarlyStopping,
)
from lenet.errors import Complaints
from lenet.text import counted


def last_epoch(config: Config) -> int:
    """With which the run would end; with trainer.fast_dev_run too, to which any config can be brought."""
    return config.trainer.max_epochs if config.trainer.fast_dev_run else epochs(config)


def stopping_rules(config: Config) -> Complaints:
    settings = config.trainer
    last, steps = last_epoch(config), updates_per_epoch(config)
    if settings.max_steps is not None:
        if settings.fast_dev_run:
            yield "trainer.max_steps", "trainer.fast_dev_run=true makes one update; leave out one of the two"
        if settings.max_steps > settings.max_epochs * steps:
            yield (
                "trainer.max_steps",
                f"trainer.max_epochs={settings.max_epochs} ends before, after "
                f"{counted(settings.max_epochs * steps, 'update')}; add trainer.max_epochs="
                f"{math.ceil(settings.max_steps / steps)}, or give fewer",
            )
    if settings.max_time is not None and not seconds(settings.max_time):
        yield (
            "trainer.max_time",
            "give hours:minutes:seconds, such as 01:30:00, or days before them, such as 00:01:30:00; in a file in "
            "quotes",
        )
    if settings.min_epochs is not None:
        if settings.min_epochs > last:
            yield (
                "trainer.min_epochs",
                f"the run ends with epoch {last} (trainer.max_epochs={settings.max_epochs}"
                + (f" trainer.max_steps={settings.max_steps}" if settings.max_steps else "")
                + "); give at most that, or let it end later",
            )
        if not stops_early(config):
            yield (
                "trainer.min_epochs",
                "nothing stops this run early; set early_stopping.patience or trainer.max_time, or leave it out",
            )
    every = settings.check_val_every_n_epoch
    if every > 1 and not validates(config):
        yield "trainer.check_val_every_n_epoch", "nothing is validated; leave it out, or set data.val_fraction above 0"
    if every > last:
        yield (
            "trainer.check_val_every_n_epoch",
            f"of {counted(last, 'epoch')} none would be validated; give at most {last}, or "
            "trainer.limit_val_batches=0 test_on=last",
        )
    if settings.num_sanity_val_steps and not validates(config):
        yield "trainer.num_sanity_val_steps", "nothing is validated; leave it at 0, or set data.val_fraction above 0"
    if settings.gradient_clip_algorithm != "norm" and settings.gradient_clip_val is None:
        yield "trainer.gradient_clip_algorithm", "nothing is clipped; set trainer.gradient_clip_val, or leave it out"


def early_stopping_rules(config: Config) -> Complaints:
    settings, usual = config.early_stopping, EarlyStopping()
    if settings.patience is None:
        for name in ("monitor", "min_delta"):
            if getattr(settings, name) != getattr(usual, name):
                yield f"early_stopping.{name}", "nothing stops early; set early_stopping.patience, or leave it out"
    elif not validates(config):
        yield (
            "early_stopping.patience",
            "without validation images nothing says when to stop; set data.val_fraction above 0, or leave it null",
        )


def schedule_rules(config: Config) -> Complaints:
    schedule, factors = config.schedule, config.schedule.factors
    is_steps = schedule.name == "steps"
    if not is_steps and (schedule.epochs or factors):
        yield (
            "schedule.epochs",
            f"schedule.name={schedule.name} takes none; set schedule.name=steps, or schedule.epochs=[] "
            "schedule.factors=[]",
        )
    rises = all(a < b for a, b in pairwise([0, *schedule.epochs]))
    if not rises or bool(schedule.epochs) != is_steps:
        yield "schedule.epochs", "schedule.name=steps needs rising numbers of epochs, such as [2,5]"
    if len(factors) != len(schedule.epochs) or not all(0 < factor < math.inf for factor in factors):
        yield "schedule.factors", f"give a number above 0 for each of schedule.epochs={list(schedule.epochs)}"
    yield from _warmup(config)
    if schedule.name == "plateau" and schedule.monitor == "val/loss" and not validates(config):
        yield (
            "schedule.monitor",
            "without validation images there is no such loss; set schedule.monitor=train/loss, or data.val_fraction "
            "above 0",
        )
    count = updates(config)
    rising = schedule.warmup * count
    if schedule.name == "one_cycle" and not (0 < rising < count and not math.isclose(rising, 1)):
        yield (
            "schedule.warmup",
            f"of {counted(count, 'update')} some have to go up, other than just one, and some down; give a share "
            "between 0 and 1, or schedule.name=cosine",
        )


def _warmup(config: Config) -> Complaints:
    schedule, last = config.schedule, last_epoch(config)
    if not schedule.warmup_epochs:
        return
    if schedule.name == "one_cycle":
        yield (
            "schedule.warmup_epochs",
            "one_cycle has a warm-up of its own, schedule.warmup, a share of the updates; leave this at 0",
        )
    if schedule.warmup_epochs >= last:
        steps = f" trainer.max_steps={config.trainer.max_steps}" if config.trainer.max_steps else ""
        yield (
            "schedule.warmup_epochs",
            f"trainer.max_epochs={config.trainer.max_epochs}{steps} leaves none for what comes after; give fewer, or 0",
        )
    if schedule.epochs and schedule.epochs[0] <= schedule.warmup_epochs:
        yield (
            "schedule.epochs",
            f"the first change falls into schedule.warmup_epochs={schedule.warmup_epochs}; give later ones, or a "
            "shorter warm-up",
        )
