"""What TensorBoard shows of a run beside its curves: pictures, texts, the graph, and a row of the HPARAMS tab.

The tags are chosen so that the page begins with what is asked first: TensorBoard sorts them by the alphabet.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL.Image import Image
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from lenet.batches import images_seen
from lenet.config import Config
from lenet.dashboard.events import points, sync
from lenet.dashboard.hparams import beginning, changed, ending, results
from lenet.data.files import Batch
from lenet.data.module import ImageData, Images
from lenet.datasets import data_set, input_size
from lenet.evaluation import pictures
from lenet.evaluation.activations import capture, features
from lenet.evaluation.examples import chosen
from lenet.evaluation.predictions import Predictions
from lenet.models.layers import Layer
from lenet.models.sizes import layers_of
from lenet.runs.directory import RunDirectory
from lenet.runs.metrics import Row, curves
from lenet.tables import as_markdown
from lenet.training.averaging import Averaging
from lenet.training.metrics import FURTHER_METRICS
from lenet.training.module import Classifier

TAGS = {
    "mine/…": "pictures that a file of your own draws, given with --extend",
    "test/loss, test/acc": "of the test set: once, at the epoch whose weights saw it; with test_each_epoch a curve",
    "train/loss, val/loss": "mean loss of an epoch; training is counted on the fly, while the weights change, as the "
    "book does",
    "train/acc, val/acc": "share of the images that are recognised, likewise",
    "train/loss_within_epoch": "the running mean of the training loss, about five times an epoch, over images seen",
    "train/lr": "learning rate of the epoch's last update",
    "train/lr_min, train/lr_max": "sdlm: the smallest and the largest of all weights",
    "train/grad_norm": "mean length of the gradient over every sixteenth update of the epoch, before it is clipped",
    "train/examples_per_sec": "training images per second: all steps of the epoch, without loading and evaluation",
    "weight_gradients/…, weights/…": "dashboard.histograms: after each epoch, of the weights as they are, "
    "also where their mean is what is validated; gradients are the last update's",
    "weight_log10_lr/…": "sdlm: decimal logarithm of every weight's learning rate, before each epoch",
    "what_it_confuses/matrix": "test images by what they are (rows) and what they are taken for (columns)",
    "what_it_confuses/precision_recall/…": "PR CURVES: each class against all others, as the threshold moves",
    "what_it_confuses/surest_mistakes": "test images taken for another class with the largest softmax of the outputs",
    "what_it_sees/…": "what the first convolution layer (C1) and the second (C3, or C2 in the same block) make of "
    "two classes that are easy to confuse and of one test image of each class; the filters of C1",
    "while_it_learns/…": "dashboard.pictures_every: these pictures on the way; confusions are of validation images",
    "whole_run/…": "what HPARAMS shows: of the tested weights, and what the run took",
    "whole_sweep/…": "of one setting of a sweep: the mean over its seeds; low and high are one standard deviation less "
    "and more",
}
"""What each tag means, in its order on the page."""

LAYOUT: dict[str, dict[str, list[Any]]] = {
    "is it learning?": {
        "accuracy": ["Multiline", ["^train/acc$", "^val/acc$"]],
        "loss": ["Multiline", ["^train/loss$", "^val/loss$"]],
    },
    "how does it learn?": {
        "loss within the epoch, over images seen": ["Multiline", ["^train/loss_within_epoch$"]],
        "length of the gradient": ["Multiline", ["^train/grad_norm$"]],
        "learning rate": ["Multiline", ["^train/lr(_min|_max)?$"]],
        "images per second": ["Multiline", ["^train/examples_per_sec$"]],
    },
}
"""The CUSTOM SCALARS tab; each further metric has a plot after the loss."""

# The groups of tags that have a point for each epoch.
OVER_EPOCHS = ("train/", "val/", "while_it_learns/", "weights/", "weight_gradients/", "weight_log10_lr/")

EMBEDDED = 1000  # test images in the PROJECTOR tab


# Pictures that somebody brings along, mine/NAME: of the test images' predictions and the names of the classes.
PICTURES: dict[str, Callable[[Predictions, list[str]], Image]] = {}


def layout() -> dict[str, dict[str, list[Any]]]:
    """`LAYOUT` with the metrics that there are beside loss and accuracy."""
    further = {
        name: ["Multiline", [f"^{split}/{re.escape(name)}$" for split in ("train", "val")]] for name in FURTHER_METRICS
    }
    first, *others = LAYOUT
    return {first: LAYOUT[first] | further, **{title: LAYOUT[title] for title in others}}


class RunLogger(TensorBoardLogger):
    """Lightning's logger, but with one event file for training and test, and no hparams.yaml beside config.yaml."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__(run.path, name="", version="", default_hp_metric=False)

    def save(self) -> None:
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        self.save()  # Lightning's closes the file after training, and testing opens a second one


class Dashboard(L.Callback):
    """Writes what the config asks for: at the start, after each epoch, and at the end."""

    def __init__(self, config: Config, run: RunDirectory, data: ImageData, overrides: Sequence[str]) -> None:
        self.config, self.run, self.data, self.overrides = config, run, data, overrides
        self.names = list(data_set(config.data).classes)
        self.logger: RunLogger | None = None
        self.average: Averaging | None = None
        self.tested: int | None = None  # the epoch whose weights saw the test set
        self._answers: list[tuple[Tensor, Tensor]] = []

    @property
    def writer(self) -> SummaryWriter:
        assert self.logger, "start it first"
        writer: SummaryWriter = self.logger.experiment
        return writer

    def start(self, rows: Sequence[Row], average: Averaging | None = None) -> RunLogger:
        """Write what is known before training starts or, after the epochs in `rows`, goes on.

        `average`: whose weights the pictures on the way are to show.
        """
        self.average = average
        earlier = self.run.event_files
        self.run.clear_projector()
        logger = RunLogger(self.run)
        logger.experiment.flush()  # makes the file, or fails to
        self.logger = logger
        self.writer.add_custom_scalars(layout())
        self.writer.add_text("run/changed", _as_table(changed(self.config)))
        self.writer.add_text("run/tags", "\n".join(as_markdown(("tag", "meaning"), TAGS.items())))
        self.writer.add_text(
            "run/config", "```yaml\n" + (self.run.path / "config.yaml").read_text(encoding="utf-8") + "```"
        )
        self._write(Event(graph_def=graph(self.config)))
        for summary in beginning(self.config, self.overrides, tuple(FURTHER_METRICS)):
            self._write(Event(summary=summary))
        self._go_on(earlier, rows)
        return self.logger

    def _go_on(self, earlier: list[Path], rows: Sequence[Row]) -> None:
        """Take over the points of the epochs in `rows` from the event files of an earlier start, and remove those.

        So each point is there once, whenever the run was cut off. What an epoch has was on the disk before its
        checkpoint; should a file be damaged all the same, metrics.csv gives back the curves that it has.
        """
        assert self.logger
        epochs = len(rows)
        seen = images_seen(self.config, epochs)
        groups = (*OVER_EPOCHS, "test/") if self.config.test_each_epoch else OVER_EPOCHS

        def belongs(tag: str, step: int) -> bool:
            return tag.startswith(groups) and step <= (seen if tag == "train/loss_within_epoch" else epochs)

        kept = points(earlier, belongs)
        as_it_stands = self.writer._get_file_writer().event_writer  # type: ignore[no-untyped-call]
        for event in kept.values():
            as_it_stands.add_event(event)  # with the time that it has
        for row in rows:
            epoch = int(row["epoch"])
            self.logger.log_metrics(
                {tag: value for tag, value in curves(row).items() if (tag, epoch) not in kept}, epoch
            )
        self._flush()
        self.run.remove_events(earlier)

    def _flush(self) -> None:
        self.writer.flush()
        sync(self.run.event_files)

    def _write(self, event: Event) -> None:
        self.writer._get_file_writer().add_event(event)  # type: ignore[no-untyped-call]

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        # Now, since Lightning drops the gradients before it validates.
        if self.config.dashboard.histograms and batch_idx + 1 == trainer.num_training_batches:
            assert isinstance(pl_module, Classifier)
            for name, parameter in pl_module.net.named_parameters():
                for tag, values in (("weights", parameter.detach()), ("weight_gradients", parameter.grad)):
                    # Gradients under 16-mixed may overflow; torch's histograms take nothing beyond 1e20.
                    if values is not None and len(finite := values[values.abs() < 1e20]):
                        self.writer.add_histogram(f"{tag}/{name}", finite.float(), trainer.current_epoch + 1)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._is_due(trainer) and not trainer.sanity_checking:
            self._answers.append((outputs, batch[1]))

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._answers.append((outputs, batch[1]))

    def _is_due(self, trainer: L.Trainer) -> bool:
        every = self.config.dashboard.pictures_every
        return every is not None and (trainer.current_epoch + 1) % every == 0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        epoch = trainer.current_epoch + 1
        if self._is_due(trainer):
            pl_module.eval()
            with self.average.in_place(pl_module) if self.average else nullcontext():
                shown = self._of_what_it_sees(pl_module)
            pl_module.train()
            if predictions := self._predictions():
                shown |= self._of_what_it_confuses(predictions, self.data.validation, f"validation, epoch {epoch}")
            self._add_pictures("while_it_learns", shown, epoch)
        self._flush()  # before the checkpoint: what is checkpointed can be seen

    def show_test(self, model: Classifier, result: Mapping[str, Any], epoch: int) -> None:
        """Write what the weights of `epoch` did on the test set, which the model has now, and what they see."""
        self.tested = epoch
        if not self.config.test_each_epoch:
            for tag, value in result["metrics"].items():
                if tag.startswith("test/"):
                    self.writer.add_scalar(tag, value, epoch)
        if predictions := self._predictions():
            shown = self._of_what_it_confuses(predictions, self.data.test, f"test, weights of epoch {epoch}")
            self._add_pictures("what_it_confuses", shown, epoch)
            self._add_pictures("mine", {name: draw(predictions, self.names) for name, draw in PICTURES.items()}, epoch)
            for number, (name, probability) in enumerate(zip(self.names, predictions.probabilities.T, strict=True)):
                is_it = predictions.labels == number
                self.writer.add_pr_curve(f"what_it_confuses/precision_recall/{name}", is_it, probability, epoch)
        self._add_pictures("what_it_sees", self._of_what_it_sees(model.eval()), epoch)
        if self.config.dashboard.embedding:
            self._add_embedding(model)

    def close(self, result: Mapping[str, Any]) -> None:
        """Write the result to the disk, as text and as a row of HPARAMS, however the run ended."""
        if not self.logger:
            return
        try:
            epoch = self.tested or result["epochs"]
            for tag, value in results(result).items():
                self.writer.add_scalar(tag, value, epoch)
            told = dict(result)
            if result["error"]:
                told["error"] = result["error"]["message"]  # the traceback is in result.json
            cells = {key: _as_text(value) for key, value in told.items() if value not in (None, [], {})}
            self.writer.add_text("run/result", "\n".join(as_markdown(("", ""), cells.items())), epoch)
            self._write(Event(summary=ending(result)))
        finally:
            self.writer.close()
        sync(self.run.event_files)

    def _predictions(self) -> Predictions | None:
        """Of the images just seen, if any."""
        answers, self._answers = self._answers, []
        if not answers:
            return None
        logits, labels = (torch.cat(batches).cpu() for batches in zip(*answers, strict=True))
        return Predictions(logits.double(), labels)

    def _of_what_it_confuses(self, predictions: Predictions, images: Images, part: str) -> dict[str, Image]:
        count = len(predictions.labels)
        title = f"{self.config.data.name}, {part}: accuracy {predictions.accuracy:.4f} of {count:,}"
        mistakes = f"{part}: the surest mistakes"
        return {
            "matrix": pictures.confusion(predictions.confusion(), self.names, self.names, title),
            "surest_mistakes": pictures.surest_mistakes(predictions, images.images, self.names, mistakes),
        }

    def _of_what_it_sees(self, model: Classifier) -> dict[str, Image]:
        pair = list(data_set(self.config.data).pair)
        rest = [name for name in self.names if name not in pair]
        pixels, titles, answers = chosen(self.config.data, pair + rest)
        captured = capture(model, pixels, titles, answers, pooled=False)
        if not captured[0].maps:  # a net without convolutions
            return {}
        by_layer = {f"{layer.lower()}_by_class": pictures.classes(captured, layer) for layer in captured[0].maps}
        first = next(module for module in model.net.modules() if isinstance(module, nn.Conv2d))
        return {
            "_and_".join(pair): pictures.activations(captured[:2]),
            **by_layer,
            "filters": pictures.filters(first.weight),
        }

    def _add_pictures(self, group: str, shown: Mapping[str, Image], epoch: int) -> None:
        for name, picture in shown.items():
            self.writer.add_image(f"{group}/{name}", np.asarray(picture), epoch, dataformats="HWC")

    def _add_embedding(self, model: Classifier) -> None:
        """The outputs of the last hidden layer, as TensorBoard's projector wants them: in files of their own."""
        images, labels = self.data.test.images[:EMBEDDED], self.data.test.labels[:EMBEDDED]
        with torch.inference_mode():
            x, _ = self.data.on_after_batch_transfer((images.to(model.device), labels), 0)
            x = features(model.net, x.to(model.dtype))
        names = [self.names[label] for label in labels.tolist()]
        thumbnails = 1 - images.cpu().float() / 255  # dark on bright: the page is bright
        self.writer.add_embedding(x.flatten(1).float(), names, thumbnails, tag="last_hidden_layer")


def graph(config: Config) -> bytes:
    """The net as TensorBoard draws it: a node for each layer, with the shape of what it passes on.

    torch's own add_graph folds a net into one box, and takes longer than all else here.
    """
    nodes: list[NodeDef] = []
    size = input_size(config.data)
    for layer in (Layer("images", "Placeholder", (1, size, size)), *layers_of(config)):
        sizes = [TensorShapeProto.Dim(size=length) for length in (-1, *layer.shape)]  # -1: images in a batch
        shape = AttrValue(list=AttrValue.ListValue(shape=[TensorShapeProto(dim=sizes)]))
        attributes = {"_output_shapes": shape, "parameters": AttrValue(i=layer.parameters)}
        previous = [node.name for node in nodes[-1:]]
        nodes.append(NodeDef(name=layer.name, op=layer.kind, input=previous, attr=attributes))
    drawn: bytes = GraphDef(node=nodes, versions=VersionDef(producer=22)).SerializeToString()
    return drawn


def _as_table(differing: Sequence[tuple[str, str, str]]) -> str:
    """What differs from the default, as Markdown."""
    if not differing:
        return "nothing: this is the default run"
    return "\n".join(as_markdown(("key", "here", "by default"), [list(map(_as_text, row)) for row in differing]))


def _as_text(value: Any) -> str:
    """For a cell of a Markdown table."""
    if isinstance(value, dict):
        return "<br>".join(f"{key}: {_as_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).replace("|", r"\|").replace("\n", "<br>")
