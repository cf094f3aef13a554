"""A process that takes one trial after another until nothing is left to begin. A launcher runs one of them or many."""

import logging

import lightning as L

from lenet.batches import epochs
from lenet.errors import BadInput, Pruned
from lenet.job import train_job
from lenet.runs.directory import RunDirectory
from lenet.search import journal
from lenet.search.proposals import Past, should_give_up
from lenet.search.trials import Make, Search
from lenet.sweeps.design import Job
from lenet.text import first_line

log = logging.getLogger(__name__)


class GiveUp(L.Callback):
    """Ends a run that others are better than after as many epochs."""

    def __init__(self, search: Search, number: int, job: Job, epochs: int) -> None:
        self.search, self.number, self.job, self.epochs = search, number, job, epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        own = self.search.past_of(self.job)  # its last row has just been written
        if max(own.epochs, default=0) >= self.epochs or trainer.should_stop:
            return  # nothing is saved any more
        others = self.search.past(self.search.read())
        del others[self.number]
        own = Past(own.labels, "running", epochs=own.epochs)
        if should_give_up(self.search.space, self.search.spec, others, own, self.number, self.epochs):
            raise Pruned(f"given up after epoch {max(own.epochs)}")


def work(search: Search, make: Make, fail_fast: bool = False) -> None:
    """Do trials until there is nothing left to begin.

    Raises:
        BadInput: no trial can be done here, or hardly any setting can be.
        Exception: with `fail_fast`, what a trial failed with.
    """
    while taken := search.take(make):
        number, job, run = taken
        try:
            _train(search, make, number, job, run)
        except Pruned:
            pass
        except BadInput:
            raise
        except Exception as error:  # result.json has it
            if fail_fast:
                raise
            log.debug("%s: %s", job.name, first_line(str(error)))
        finally:
            run.unlock()
        with search.alone():
            journal.write(search)


def _train(search: Search, make: Make, number: int, job: Job, run: RunDirectory) -> None:
    config = make(job.overrides)
    watching: list[L.Callback] = []
    if search.spec.pruner != "none":
        watching.append(GiveUp(search, number, job, epochs(config)))
    train_job(config, run, job.overrides, watching)
