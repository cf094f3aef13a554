"""Several processes that train one net together: each does a share of every batch."""

import lightning as L
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from lenet.data.files import Batch


class ShardedModule(L.LightningModule):
    """Deals the images of each batch out to the processes, so that together they do what one alone does."""

    @property
    def processes(self) -> int:
        """How many train this net together."""
        return self._trainer.world_size if self._trainer else 1

    def shard(self, batch: Batch) -> tuple[Batch, int]:
        """This process's share of a batch, and how many of its images count.

        Of fewer images than processes some have none to count; those are given one all the same, to keep in step.
        """
        if self.processes == 1:
            return batch, len(batch[1])
        images, labels = (part[self.global_rank :: self.processes] for part in batch)
        count = len(labels)
        return ((images, labels) if count else (batch[0][:1], batch[1][:1])), count

    def weighted(self, loss: Tensor, count: int, size: int) -> Tensor:
        """The mean loss of `count` images, so weighted that its mean over the processes is that of all `size`."""
        return loss if self.processes == 1 else loss * (count * self.processes / size)

    def gathered(self, logits: Tensor, size: int) -> Tensor:
        """The logits (size, classes) of a batch from those that each process has of its share."""
        if len(logits) == size:
            return logits
        whole = logits.new_empty(size, *logits.shape[1:])
        for rank, share in enumerate(gather_all_tensors(logits)):
            place = whole[rank :: self.processes]
            place.copy_(share[: len(place)])
        return whole
