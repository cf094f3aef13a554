"""Many nets at once: those of a sweep that differ in seed and learning rate, as one computation. Nothing of ours."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.speed.peers import BATCH, LR, book_net, step, stored
from benchmarks.speed.turns import Turns

Sums = tuple[Tensor, Tensor]  # of each net: the loss and the hits of an epoch


def nets(count: int, device: str) -> list[nn.Sequential]:
    """As many of the book's, each drawn with a seed of its own."""
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        found.append(book_net().to(device))
    return found


def orders(count: int, images: int) -> list[Tensor]:
    """The order of an epoch's images, of each net its own."""
    return [torch.randperm(images, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]


class OneByOne:
    """Trains each net by itself, as a sweep does."""

    def __init__(self, those: Sequence[nn.Sequential], lrs: Sequence[float]) -> None:
        self.nets = [net.to(memory_format=torch.channels_last) for net in those]
        self.optimizers = [torch.optim.SGD(net.parameters(), lr=lr) for net, lr in zip(self.nets, lrs, strict=True)]

    def epoch(self, pixels: Tensor, labels: Tensor, order: Sequence[Tensor], batch_size: int = BATCH) -> Sums:
        sums = []
        for net, optimizer, own in zip(self.nets, self.optimizers, order, strict=True):
            batches = own.to(pixels.device).split(batch_size)  # type: ignore[no-untyped-call]
            each = [step(net, optimizer, pixels[batch].float().div_(255), labels[batch]) for batch in batches]
            sums.append(torch.stack([torch.stack([loss, hits]) for loss, hits in each]).sum(0))
        total, hits = torch.stack(sums).unbind(1)
        return total, hits.long()

    def weights(self, number: int) -> dict[str, Tensor]:
        return dict(self.nets[number].named_parameters())


class Stacked:
    """Trains all nets in each update: their weights lie in one tensor for each layer, the net as its first axis."""

    def __init__(self, those: Sequence[nn.Sequential], lrs: Sequence[float]) -> None:
        self.template = those[0]
        self.stack, _ = stack_module_state(list(those))
        device = next(iter(self.stack.values())).device
        self.lrs = torch.tensor(lrs, device=device)

        def loss_of(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Sums]:
            logits = functional_call(self.template, weights, (images,))
            loss = nn.functional.cross_entropy(logits, labels)
            return loss, (loss.detach() * len(labels), (logits.argmax(1) == labels).sum())

        self.gradients = vmap(grad(loss_of, has_aux=True))

    @torch.no_grad()
    def epoch(self, pixels: Tensor, labels: Tensor, order: Sequence[Tensor], batch_size: int = BATCH) -> Sums:
        total, hits = torch.zeros_like(self.lrs), torch.zeros_like(self.lrs, dtype=torch.long)
        for batch in torch.stack(list(order)).to(pixels.device).split(batch_size, dim=1):  # type: ignore[no-untyped-call]
            gradients, (loss, correct) = self.gradients(self.stack, pixels[batch].float().div_(255), labels[batch])
            for name, weight in self.stack.items():
                weight -= self.lrs.view(-1, *[1] * (weight.dim() - 1)) * gradients[name]
            total += loss
            hits += correct
        return total, hits

    def weights(self, number: int) -> dict[str, Tensor]:
        return {name: weight[number] for name, weight in self.stack.items()}


def epochs(turns: Turns, root: str, threads: int, device: str, images: int, count: int, together: bool) -> None:
    """An epoch of `count` nets a turn, each over `images` images in an order of its own."""
    torch.set_num_threads(threads)
    pixels, labels = stored("fashion_mnist", root, device)
    train = (Stacked if together else OneByOne)(nets(count, device), [LR] * count)
    order = orders(count, images)

    def epoch() -> None:
        total, _ = train.epoch(pixels, labels, order)
        total.sum().item()  # waits for a GPU to be done

    turns.repeat(epoch)
