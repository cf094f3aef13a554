"""What is counted while a net trains and is evaluated."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Totals(Metric):
    """Mean loss and accuracy over all images seen since the last reset.

    Sums stay on the device, so no step has to wait for a figure; hits are integers, so the accuracy is exact.
    """

    full_state_update = False
    loss: Tensor
    hits: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor, mean_loss: Tensor) -> None:
        """Add a batch: logits (n, classes), labels (n,), and the mean of the loss over it."""
        self.loss += mean_loss.detach() * len(labels)
        self.hits += (logits.argmax(1) == labels).sum()
        self.images += len(labels)

    def compute(self) -> dict[str, float]:
        images = self.images.item()
        return {"loss": self.loss.item() / images, "acc": self.hits.item() / images}
