"""How long a sweep will still take, from the jobs that it has done. Nothing here imports torch.

A job takes as long as its work, which its config tells, at the speed of the jobs that have ended; what comes before it,
as the import of torch, is counted apart: in one process it comes once, and where each job has a process of its own,
once for each job.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter

from lenet.batches import (
    EVALUATION_BATCH,
    batches,
    batches_in,
    images_seen,
    overfitted,
    validated_every,
    validation_size,
)
from lenet.batches import epochs as epochs_of
from lenet.config import Config
from lenet.datasets import data_set
from lenet.models.sizes import size_of

# What goes on beside the multiply-accumulates, in as many of them as take as long. In the book's net with 3 and 8, 6
# and 16, 12 and 32, 32 and 64 maps an image takes 71, 94, 159 and 460 microseconds on one core, forward and backward:
# as its 0.15, 0.42, 1.30 and 5.95 million do with 0.85 million more each, within a sixth.
OF_AN_IMAGE = 850_000
OF_A_BATCH = 60_000_000  # a millisecond and a half
OF_A_JOB = 10_000_000_000  # a quarter of a second: files, pictures
BACKWARD = 3  # forward and backward take as long as this many times forward


def work(config: Config, epochs: int) -> float:
    """What the last `epochs` of a run and its test take, in multiply-accumulates."""
    _, macs = size_of(config)
    image = macs + OF_AN_IMAGE
    training = BACKWARD * image * images_seen(config, 1) + OF_A_BATCH * batches(config, "train")
    last, every = epochs_of(config), validated_every(config)
    held_out = overfitted(config) or validation_size(config.data)
    validation, test = (
        image * min(images, EVALUATION_BATCH * batches(config, split))
        for split, images in (("val", held_out), ("test", data_set(config.data).test_images))
    )
    validations = last // every - (last - epochs) // every if every else 0
    in_epochs = epochs + last_share(config) - 1 if epochs else 0
    tests = epochs + 1 if config.test_each_epoch else 1
    return in_epochs * training + validations * validation + tests * test + OF_A_JOB


def last_share(config: Config) -> float:
    """What the last epoch of a run has of the training batches of a whole one: fewer with trainer.max_steps."""
    return batches_in(config, epochs_of(config) - 1) / batches(config, "train")


@dataclass
class Timed:
    """A job of a sweep since the sweep was started: what there was to do of it, and when it was done, in seconds."""

    work: float
    epochs: int
    last: float = 1.0  # the share that its last epoch has of a whole one
    done: int = 0  # epochs
    began: float | None = None
    ended: float | None = None
    is_whole: bool = False  # it did all of its work, where another failed


def time_left(
    jobs: Sequence[Timed], started: float, now: float, at_once: int | None = 1, afresh: bool = False
) -> float | None:
    """Seconds until the last job ends; None until one has done its work.

    Args:
        jobs: in the order in which they begin.
        started: when the sweep was.
        at_once: how many run at a time; None: as many as have been seen to.
        afresh: each job has a process of its own, which imports anew.
    """
    times = [(job.began, job.ended) for job in jobs if job.began is not None]
    whole = [(job.ended - job.began, job.work) for job in jobs
             if job.is_whole and job.began is not None and job.ended is not None]  # fmt: skip
    seconds = sum(taken for taken, _ in whole)
    if seconds <= 0:
        return None
    pace = seconds / sum(amount for _, amount in whole)
    before = _before_a_job(times, started, afresh)
    ends = [_left(job, job.began, pace, now) for job in jobs if job.began is not None and job.ended is None]
    free = _free_since(times, started, at_once or _most_at_once(times))
    ends += [-min(before, now - since) for since in free]  # the next job may begin soon
    heapq.heapify(ends)
    for job in jobs:
        if job.began is None and job.ended is None:  # it takes the first place that is free
            heapq.heapreplace(ends, ends[0] + before + job.work * pace)
    return max(ends)


def _left(job: Timed, began: float, pace: float, now: float) -> float:
    """Of a job that runs: as far as the clock says that it is, within the epoch that it is in."""
    seconds, whole = job.work * pace, max(job.last, job.epochs - 1 + job.last)
    share = min(max((now - began) / seconds, job.done / whole), (job.done + 1) / whole, 1.0)
    return seconds * (1 - share)


def _before_a_job(times: Sequence[tuple[float, float | None]], started: float, afresh: bool) -> float:
    """Seconds from the end of a job to the beginning of the one that takes its place."""
    ends = [ended for _, ended in times if ended is not None]
    later = [began - max(ended for ended in ends if ended <= began) for began, _ in times if began >= min(ends)]
    if later:
        return sum(later) / len(later)
    return max(0.0, min(began for began, _ in times) - started) if afresh else 0.0


def _free_since(times: Sequence[tuple[float, float | None]], started: float, at_once: int) -> list[float]:
    """When each of the places became free in which no job runs."""
    places = [started] * at_once
    for _, ended in sorted(times, key=itemgetter(0)):
        heapq.heapreplace(places, math.inf if ended is None else ended)
    return [since for since in places if since < math.inf]


def _most_at_once(times: Sequence[tuple[float, float | None]]) -> int:
    changes = sorted([(began, 1) for began, _ in times] + [(ended, -1) for _, ended in times if ended is not None])
    return max(1, *accumulate(change for _, change in changes))  # where two meet, the end comes first
