"""What a net answered to many images, and where it was wrong."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for another class."""

    index: int  # of the image, in the order in which the net saw them
    true: int
    predicted: int
    probability: float  # that the net gave to its answer


@dataclass(frozen=True)
class Predictions:
    """Logits (n, classes) and labels (n,), on the CPU, in the order in which the images were seen."""

    logits: Tensor
    labels: Tensor

    @property
    def probabilities(self) -> Tensor:
        """The softmax of the logits, (n, classes)."""
        return self.logits.double().softmax(1)

    @property
    def accuracy(self) -> float:
        return (self.logits.argmax(1) == self.labels).float().mean().item()

    def confusion(self) -> list[list[int]]:
        """How many images of each class were taken for each: [true][predicted]."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.logits.argmax(1)
        counts: list[list[int]] = torch.bincount(pairs, minlength=classes**2).view(classes, classes).tolist()
        return counts

    def surest_mistakes(self, count: int) -> list[Mistake]:
        """At most `count` images that were taken for another class, those with the most confident answers first."""
        probability, predicted = self.probabilities.max(1)
        wrong = (predicted != self.labels).nonzero().squeeze(1)
        surest = wrong[probability[wrong].argsort(descending=True, stable=True)][:count]
        return [Mistake(i, int(self.labels[i]), int(predicted[i]), float(probability[i])) for i in surest.tolist()]
