"""What other people write: loops by hand, from the book's to the least that eager PyTorch needs. Nothing of ours."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks.speed.turns import Turns

BATCH, LR = 256, 0.9
SETS = {"fashion_mnist": datasets.FashionMNIST, "mnist": datasets.MNIST}

Images = tuple[Tensor, Tensor]


def stored(name: str, root: str, device: str, train: bool = True) -> Images:
    """All images (n, 1, 28, 28), of 0 to 255, and labels of a part."""
    part = SETS[name](root, train=train)
    return part.data.unsqueeze(1).to(device), part.targets.to(device)


def book_net(width: int = 1) -> nn.Sequential:
    """The book's net, its initialisation included; `width` times the channels."""
    net = nn.Sequential(
        nn.Conv2d(1, 6 * width, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Conv2d(6 * width, 16 * width, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Flatten(),
        nn.Linear(400 * width, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    return net


def step(net: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """An update; the summed loss and the hits of the batch."""
    logits = net(images)
    loss = nn.functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach() * len(labels), (logits.argmax(1) == labels).sum()


def book(turns: Turns, root: str, threads: int, device: str, images: int) -> None:
    """The book's training function: torchvision's data set, one PIL image at a time, in four worker processes."""
    torch.set_num_threads(threads)
    every = datasets.FashionMNIST(root, train=True, transform=transforms.ToTensor())
    loader = DataLoader(Subset(every, range(images)), BATCH, shuffle=True, num_workers=4)
    net = book_net().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)

    def epoch() -> None:
        total, hits = 0.0, 0.0
        for batch, labels in loader:
            loss, correct = step(net, optimizer, batch.to(device), labels.to(device))
            total, hits = total + float(loss), hits + float(correct)  # the book reads both at every step

    turns.repeat(epoch)


def bare(
    turns: Turns,
    root: str,
    threads: int,
    device: str,
    images: int,
    channels_last: bool,
    batch_size: int = BATCH,
    width: int = 1,
) -> None:
    """The least that a loop written by hand needs: all images in memory, an index per batch, sums on the device."""
    torch.set_num_threads(threads)
    pixels, labels = stored("fashion_mnist", root, device)
    net = book_net(width).to(device)
    if channels_last:
        net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)

    def epoch() -> None:
        total, hits = torch.zeros((), device=device), torch.zeros((), dtype=torch.long, device=device)
        for batch in torch.randperm(images, device=device).split(batch_size):  # type: ignore[no-untyped-call]
            loss, correct = step(net, optimizer, pixels[batch].float().div_(255), labels[batch])
            total += loss
            hits += correct
        float(total)  # waits for a GPU to be done

    turns.repeat(epoch)


def graph(turns: Turns, root: str, threads: int, device: str, images: int) -> None:
    """On a GPU nearly nothing but arithmetic: an update is one replay of a CUDA graph, its batch taken inside it."""
    torch.set_num_threads(threads)
    pixels, labels = stored("fashion_mnist", root, device)
    net = book_net().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    order = torch.zeros(BATCH, dtype=torch.long, device=device)
    total, hits = torch.zeros((), device=device), torch.zeros((), dtype=torch.long, device=device)

    def update() -> None:
        loss, correct = step(net, optimizer, pixels[order].float().div_(255), labels[order])
        total.add_(loss)
        hits.add_(correct)

    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):  # what is set up at first use must not be recorded
            update()
    torch.cuda.current_stream().wait_stream(beside)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        update()

    def epoch() -> None:
        total.zero_()
        hits.zero_()
        for batch in torch.randperm(images, device=device).split(BATCH):  # type: ignore[no-untyped-call]
            if len(batch) == BATCH:  # a recording has one size
                order.copy_(batch)
                recorded.replay()
            else:
                loss, correct = step(net, optimizer, pixels[batch].float().div_(255), labels[batch])
                total.add_(loss)
                hits.add_(correct)
        float(total)

    turns.repeat(epoch)


def job(turns: Turns, root: str, threads: int, device: str) -> None:
    """What a job of one epoch computes, by hand: a new net; train on 48,000 images, validate on 12,000, test."""
    torch.set_num_threads(threads)
    pixels, labels = stored("fashion_mnist", root, device)
    test_pixels, test_labels = stored("fashion_mnist", root, device, train=False)
    order = torch.randperm(len(labels), device=device)
    training, validation = order[12_000:], order[:12_000]

    def evaluate(net: nn.Module, pixels: Tensor, labels: Tensor) -> float:
        total, hits = torch.zeros((), device=device), torch.zeros((), dtype=torch.long, device=device)
        with torch.no_grad():
            for some, their_labels in zip(pixels.split(1000), labels.split(1000), strict=True):  # type: ignore[no-untyped-call]
                logits = net(some.float().div_(255))
                total += nn.functional.cross_entropy(logits, their_labels) * len(some)
                hits += (logits.argmax(1) == their_labels).sum()
        return hits.item() / len(labels)

    def train_and_test() -> float:
        net = book_net().to(device)
        net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), lr=LR)
        total, hits = torch.zeros((), device=device), torch.zeros((), dtype=torch.long, device=device)
        shuffled = training[torch.randperm(len(training), device=device)]
        for batch in shuffled.split(BATCH):  # type: ignore[no-untyped-call]
            loss, correct = step(net, optimizer, pixels[batch].float().div_(255), labels[batch])
            total += loss
            hits += correct
        evaluate(net, pixels[validation], labels[validation])
        return evaluate(net, test_pixels, test_labels)

    turns.repeat(train_and_test)


def mnist_fast(turns: Turns, root: str, threads: int, device: str, channels_last: bool) -> None:
    """The last recipe of github.com/tuomaso/train_mnist_fast: one epoch, then the test, all images normalised before.

    Its net is 24@5x5, 32@3x3, 256, with the pooling before ReLU. Its order of images is drawn once and for all.
    """
    torch.set_num_threads(threads)

    def ready(train: bool) -> Images:
        pixels, labels = stored("mnist", root, device, train)
        order = torch.randperm(len(labels), device=device)
        return pixels[order].float().div_(255).sub_(0.1307).div_(0.3081), labels[order]

    (images, labels), (test_images, test_labels) = ready(True), ready(False)

    def train_and_test() -> float:
        net = nn.Sequential(
            nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10), nn.LogSoftmax(1),
        ).to(device)  # fmt: skip
        if channels_last:
            net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.7, 0.9))
        batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))  # type: ignore[no-untyped-call]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, len(batches), cycle_momentum=False)
        for some, their_labels in batches:
            optimizer.zero_grad()
            nn.functional.nll_loss(net(some), their_labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        hits = 0.0
        with torch.no_grad():
            for some, their_labels in zip(test_images.split(2000), test_labels.split(2000), strict=True):  # type: ignore[no-untyped-call]
                hits += (net(some).argmax(1) == their_labels).sum().item()
        return hits / len(test_labels)

    turns.repeat(train_and_test)
