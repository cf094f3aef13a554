"""What is counted while a net trains and is evaluated."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchmetrics import Metric

# Beside the loss and the accuracy: the name of a metric, and what makes it for so many classes. It is updated with
# logits (n, classes) and labels (n,).
FURTHER_METRICS: dict[str, Callable[[int], Metric]] = {}


class Totals(Metric):
    """Mean loss, accuracy, and further metrics over all images seen since the last reset.

    Sums stay on the device, so no step has to wait for a figure; hits are integers, so the accuracy is exact.
    """

    full_state_update = False
    loss: Tensor
    hits: Tensor
    images: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.further = nn.ModuleDict({name: make(classes) for name, make in FURTHER_METRICS.items()})

    def update(self, logits: Tensor, labels: Tensor, mean_loss: Tensor) -> None:
        """Add a batch: logits (n, classes), labels (n,), and the mean of the loss over it."""
        self.loss += mean_loss.detach() * len(labels)
        self.hits += (logits.argmax(1) == labels).sum()
        self.images += len(labels)
        for metric in self.further.values() if len(labels) else ():
            metric.update(logits.detach(), labels)  # type: ignore[operator]  # of torchmetrics

    def compute(self) -> dict[str, float]:
        images = self.images.item()
        figures = {"loss": self.loss.item() / images, "acc": self.hits.item() / images}
        return figures | {name: float(metric.compute()) for name, metric in self.further.items()}  # type: ignore[operator]

    def reset(self) -> None:
        super().reset()
        for metric in self.further.values():
            metric.reset()  # type: ignore[operator]
