"""What training makes small: of logits (n, classes) and labels (n,), the mean over the images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lenet import config


class Loss:
    """Cross-entropy, or one of the paper's two losses of the RBF outputs y, whose negatives are the logits.

    mse is y_D, the penalty of the right class D (eq. 8). map is y_D + log(exp(-j) + sum_i exp(-y_i)) (eq. 9), which
    also pushes the other classes away; exp(-j) stands for rubbish that is no class at all.

    Where the net trains, cross-entropy may be told to smooth the labels: a share of each target goes to all classes
    alike (Szegedy et al. 2016).

    The three are of one family: their derivative by logit i is p_i - [i = D], where p is what `posteriors` gives first.
    """

    def __init__(self, settings: config.Loss) -> None:
        if settings.name not in ("cross_entropy", "mse", "map"):
            raise ValueError(f"loss.name={settings.name}: no such loss")
        self.name, self.j, self.smoothing = settings.name, settings.j, settings.label_smoothing

    def __call__(self, logits: Tensor, labels: Tensor, training: bool = False) -> Tensor:
        if self.name == "cross_entropy":
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing if training else 0.0)
        right = logits.gather(1, labels[:, None]).squeeze(1)
        return (
            (torch.logaddexp(logits.logsumexp(1), logits.new_tensor(-self.j)) - right).mean()
            if self.name == "map"
            else -right.mean()
        )

    def posteriors(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """p (n, classes), and what is left of 1 for rubbish (n, 1).

        p is the softmax of the logits; for map, with rubbish as one more class; for mse, 0. The rest is no difference
        from 1, which would be nothing but rounding where it is small.
        """
        if self.name == "mse":
            return torch.zeros_like(logits), torch.ones_like(logits[:, :1])
        rubbish = logits.new_full((len(logits), 1), -self.j if self.name == "map" else -torch.inf)
        p = torch.cat([logits, rubbish], 1).softmax(1)
        return p[:, :-1], p[:, -1:]
