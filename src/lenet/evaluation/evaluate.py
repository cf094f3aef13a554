"""A trained net, read back from its run directory, and what it gets right and wrong."""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lenet.data.files import Batch, fetched
from lenet.data.module import ImageData
from lenet.datasets import check_classes, data_set
from lenet.evaluation.load import Trained, check_memory
from lenet.evaluation.pictures import confusion
from lenet.evaluation.predictions import Predictions
from lenet.evaluation.saved import check_evaluation, evaluated
from lenet.training.metrics import Totals


@dataclass(frozen=True)
class Evaluation:
    """Loss, accuracy and who was taken for whom. `confusion[true][predicted]` counts images."""

    trained_on: str
    data: str
    part: str
    weights: str
    loss: float
    accuracy: float
    confusion: list[list[int]]
    classes: list[str]  # what the images show, one name for each row of `confusion`
    answers: list[str]  # what the net can say, one name for each column
    further: dict[str, float] = field(default_factory=dict)  # metrics of somebody's own, by their names
    flip: bool = False  # the answers are the mean of those to each image and its mirror image
    predictions: Predictions | None = field(default=None, repr=False, compare=False)  # of each image
    images: Tensor | None = field(default=None, repr=False, compare=False)  # (n, 1, 28, 28) of uint8, as stored

    def precision(self, number: int) -> float | None:
        """Share of the images called class `number` that are of it; None if there was none."""
        called = sum(row[number] for row in self.confusion)
        return self.confusion[number][number] / called if called else None

    def recall(self, number: int) -> float | None:
        """Share of the images of class `number` that were called so; None if there was none."""
        images = sum(self.confusion[number])
        return self.confusion[number][number] / images if images else None

    def _repr_html_(self) -> str:
        return as_html(self)

    def as_dict(self) -> dict[str, Any]:
        return {
            "trained_on": self.trained_on,
            "data": self.data,
            "part": self.part,
            "weights": self.weights,
            "flip": self.flip,
            "loss": self.loss,
            "acc": self.accuracy,
            **self.further,
            "per_class": {
                name: {"precision": self.precision(number), "recall": self.recall(number)}
                for number, name in enumerate(self.classes)
            },
            "confusion": {"true": self.classes, "predicted": self.answers, "images": self.confusion},
        }


def evaluate(
    trained: Trained, part: str = "test", data: str | None = None, root: str | None = None, flip: bool = False
) -> Evaluation:
    """Show the net every image of a part.

    Args:
        trained: from `load_trained`.
        part: test or validation.
        data: a data set other than the one that the net was trained on.
        root: where the data files are, or are to be; else they are read where the run found them.
        flip: show it each image's mirror image too, and take the mean of both answers, as probabilities. The run's own
            figures are without.

    Raises:
        BadInput: there are no validation images, the files are not to be had, the net has no probabilities, or the
            memory is certainly not there.
    """
    check_evaluation(trained.config, part, flip)
    settings, is_own = evaluated(trained.config.data, data, root)
    classes, answers = list(data_set(settings).classes), list(data_set(trained.config.data).classes)
    check_memory(trained)
    images = ImageData(settings, trained.config.seed)
    check_classes(settings)
    fetched(settings.name, settings.root, only_there=not is_own)
    images.setup("test")
    shown, loader = {
        "test": (images.test, images.test_dataloader()),
        "validation": (images.validation, images.val_dataloader()),
    }[part]
    predictions, metrics = _answers(trained, images, loader, flip)
    return Evaluation(
        trained_on=trained.config.data.name,
        data=settings.name,
        part=part,
        weights=trained.weights,
        loss=metrics["loss"],
        accuracy=metrics["acc"],
        confusion=predictions.confusion(),
        classes=classes,
        answers=answers,
        further={name: value for name, value in metrics.items() if name not in ("loss", "acc")},
        flip=flip,
        predictions=predictions,
        images=shown.images,
    )


def _answers(
    trained: Trained, images: ImageData, loader: Iterable[Batch], flip: bool
) -> tuple[Predictions, dict[str, float]]:
    """What the net answers to the images of a loader, and the figures of that."""
    model = trained.model
    totals = Totals(len(data_set(trained.config.data).classes)).to(model.device)
    seen = []
    half = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(trained.config.trainer.precision)
    if half is not None and model.device.type == "cpu":
        half = torch.bfloat16  # which Lightning takes for 16-mixed there
    with torch.inference_mode(), torch.autocast(model.device.type, half, enabled=half is not None):
        for stored, true in loader:
            batch = stored.to(model.device), true.to(model.device)
            pixels, labels = images.on_after_batch_transfer(batch, 0)
            logits = model(pixels)
            if flip:
                both = torch.stack([logits, model(pixels.flip(3))]).float().log_softmax(2)
                logits = both.logsumexp(0) - math.log(2)
            totals.update(logits, labels, model.loss(logits, labels))
            seen.append((logits.float().cpu(), true.cpu()))
    logits, labels = (torch.cat(batches) for batches in zip(*seen, strict=True))
    return Predictions(logits, labels), totals.compute()


def as_picture(evaluation: Evaluation) -> Image.Image:
    """The confusion matrix, with numbers where there is room for them."""
    e = evaluation
    title = f"{e.data}, {e.part}, {e.weights} weights: accuracy {e.accuracy:.4f}"
    scale, most = (3, 1000) if len(e.answers) <= 32 else (1, 3000)  # numbers for up to a hundred classes
    return confusion(e.confusion, e.classes, e.answers, title, scale, most)


def as_html(evaluation: Evaluation) -> str:
    """The figures, a row per class, and beside them the confusion matrix, for a notebook."""
    e = evaluation
    figures = {"loss": e.loss, "accuracy": e.accuracy, **e.further}
    head = f"{e.data}, {e.part}, {e.weights} weights: " + ", ".join(f"{name} {v:.4f}" for name, v in figures.items())
    rows = [["", "precision", "recall", *e.answers]]
    for number, (name, row) in enumerate(zip(e.classes, e.confusion, strict=True)):
        shares = ["-" if share is None else f"{share:.3f}" for share in (e.precision(number), e.recall(number))]
        rows.append([name, *shares, *(str(count or ".") for count in row)])
    first, *others = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{row}</tr>" for row in others)
    note = "Rows: what the images show. Columns on the right: what they were taken for."
    return (
        f"<p>{html.escape(head)}</p><table><thead><tr>{first.replace('td>', 'th>')}</tr></thead>"
        f"<tbody>{body}</tbody></table><p><small>{note}</small></p>"
    )


def as_text(evaluation: Evaluation) -> str:
    """The figures, a line per class, and the confusion matrix, for a terminal."""
    e = evaluation
    shown = ", with mirror images" if e.flip else ""
    lines = [f"{e.data}, {e.part}, {e.weights} weights{shown}: loss {e.loss:.4f}, accuracy {e.accuracy:.4f}"]
    lines[0] += "".join(f", {name} {value:.4f}" for name, value in e.further.items())
    if e.data != e.trained_on:
        lines.append(f"This net was trained on {e.trained_on}: its answers are {e.trained_on}'s classes.")
    lines += ["", f"{'class':<12}{'precision':>10}{'recall':>10}"]
    for number, name in enumerate(e.classes):
        shares = [e.precision(number), e.recall(number)]
        lines.append(f"{name:<12}" + "".join(f"{'-' if share is None else f'{share:.3f}':>10}" for share in shares))
    width = max(len(cell) for cell in [*e.classes, *e.answers, *(str(n) for row in e.confusion for n in row)]) + 1
    lines += ["", "images, by what they show (rows) and what they were taken for (columns)"]
    lines.append(" " * width + "".join(f"{name:>{width}}" for name in e.answers))
    for name, row in zip(e.classes, e.confusion, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count or '.':>{width}}" for count in row))
    return "\n".join(lines)
