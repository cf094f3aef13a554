"""How many devices a run asks for, and whether as many processes can share its batches."""

import re

from lenet.batches import batch_sizes, training_size
from lenet.config import (
    Config,
)
from lenet.errors import BadInput, Complaints


def device_rules(config: Config) -> Complaints:
    words = re.sub(r"\s", "", str(config.trainer.devices))
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+,(\d+(,\d+)*)?", words):
        yield (
            "trainer.devices",
            "give a number of devices, at least 1; auto or -1 for all; or those to take, such as '0,1'",
        )


def device_count(devices: int | str) -> int | None:
    """How many devices of a machine trainer.devices asks for, having been checked; None where all that there are."""
    text = re.sub(r"\s", "", str(devices))
    if text in ("auto", "-1"):
        return None
    return len(re.findall(r"\d+", text)) if "," in text else int(text)


def check_one_device(config: Config) -> None:
    """Several devices start the command line again in other processes, which would be sweeps themselves.

    Raises:
        BadInput: a job of a sweep asks for more than one.
    """
    trainer = config.trainer
    several = isinstance(trainer.devices, int) and trainer.devices != 1
    if several or trainer.num_nodes > 1 or trainer.strategy.startswith(("ddp", "fsdp", "deepspeed")):
        raise BadInput(
            f"trainer.devices={trainer.devices} trainer.num_nodes={trainer.num_nodes} "
            f"trainer.strategy={trainer.strategy}: a job of a sweep uses one device; leave these at their defaults"
        )


def check_shards(config: Config, processes: int) -> None:
    """Whether so many processes, which share each batch, can do what the config asks for.

    Not part of `validate`: what a run was started with has nothing to do with how its net is looked at.

    Raises:
        BadInput: they cannot.
    """
    if processes == 1 or config.model.norm == "none":
        return
    size, smallest = config.data.batch_size, min(batch_sizes(config))
    if smallest // processes <= 1:
        drop = ", or data.drop_last=true" if smallest < size < training_size(config.data) else ""
        raise BadInput(
            f"data.batch_size={size}: model.norm=batch cannot normalise a share of one image or none, which is what "
            f"{processes} devices leave one of them of the epoch's batch of {smallest}; give another size or number of "
            f"devices{drop}"
        )
    if config.test_each_epoch:
        raise BadInput(
            f"test_each_epoch=True: with model.norm=batch each of {processes} devices normalises by what it has seen "
            "itself, so the curve would be that of no single net; take one device, or leave it false"
        )
