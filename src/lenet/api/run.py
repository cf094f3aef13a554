"""A run, from Python: its figures, its net, and what that sees. Nothing here imports torch before it has to."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet.api.spoken import as_python, in_python, spoken
from lenet.api.training import trained
from lenet.config import Config
from lenet.data.drawings import Drawing
from lenet.data.given import drawings
from lenet.datasets import Fit, data_set
from lenet.errors import BadInput
from lenet.evaluation import checks, saved
from lenet.runs.directory import WEIGHTS, RunDirectory
from lenet.runs.metrics import in_a_line
from lenet.system.imports import quickly
from lenet.text import counted

if TYPE_CHECKING:
    import lightning as L
    import pandas as pd
    import torch
    from PIL import Image

    from lenet.evaluation.activations import Activations
    from lenet.evaluation.curves import Plot
    from lenet.evaluation.evaluate import Evaluation
    from lenet.evaluation.load import Trained
    from lenet.export.files import Agreement


class Run:
    """A run that has ended, or that still trains: what `lenet.train` and `lenet.load` give.

    Its files are read when they are asked for. Pictures are Pillow's and plots are matplotlib's; a notebook shows both.

    >>> run = lenet.load("docs/weights/improved.safetensors")
    >>> run.config.model.conv_channels
    [32, 64, 128]

    Attributes:
        path: the run directory, or a file of weights.
    """

    def __init__(self, path: str | Path, weights: str | None = None, data_root: str | None = None) -> None:
        """Use `lenet.load`, which has the same arguments."""
        self.path = Path(path)
        self._weights, self._data_root = weights, data_root
        self._evaluations: dict[tuple[str, str | None, bool], Evaluation] = {}
        with in_python():
            if self._is_file:
                saved.saved(self.path, weights)
            else:
                RunDirectory(self.path).read_config()

    def __repr__(self) -> str:
        result = self.result
        figures = in_a_line(result.get("metrics") or {}, "val/acc", "test/acc")
        said = [str(result.get("status", "without a result")), counted(result.get("epochs", 0), "epoch"), figures]
        return f"<Run {self.path}: {', '.join(filter(None, said))}>"

    @property
    def _is_file(self) -> bool:
        return self.path.suffix == WEIGHTS and not self.path.is_dir()

    @property
    def config(self) -> Config:
        """The whole config, a `lenet.config.Config`: run.config.model.pool."""
        return saved.header(self.path).config if self._is_file else RunDirectory(self.path).read_config()

    @property
    def result(self) -> dict[str, Any]:
        """What result.json says: status, metrics, seconds and more (docs/runs.md); empty where that is not whole."""
        return saved.header(self.path).result if self._is_file else RunDirectory(self.path).read_result() or {}

    @property
    @spoken
    def metrics(self) -> pd.DataFrame:
        """metrics.csv: a row per epoch, and a column for each figure.

        >>> best = run.metrics["val/acc"].idxmax()
        """
        self._require_directory("metrics")

        from lenet.evaluation.curves import metrics_of

        return metrics_of(RunDirectory(self.path))

    @property
    @spoken
    def net(self) -> torch.nn.Module:
        """The trained net, in evaluation mode: logits (n, classes) of normalised images (n, 1, size, size).

        >>> run.net(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
        """
        return self._trained.model.net

    @cached_property
    def _trained(self) -> Trained:
        with quickly():
            from lenet.evaluation.load import load_trained

        return load_trained(self.path, self._weights)

    @spoken
    def plot(self) -> Plot:
        """Loss and accuracy against the epoch, in training and in validation; a figure of matplotlib.

        >>> plot = run.plot()
        """
        return compare(self)

    @spoken
    def activations(
        self, *images: Any, pooled: bool = False, noise: bool = False, invert: bool | None = None
    ) -> Image.Image:
        """What the first two convolution layers see in images, as scripts/activations.py draws it.

        >>> picture = run.activations("pullover", "coat")

        Args:
            images: names of classes, of each the first test image; numbers of test images, from 0; files, arrays and
                pictures as of `predict`. They are shown in this order. Without any, two classes that are easy to
                confuse.
            pooled: the channels after each pooling, not before.
            noise: an image of random pixels as well.
            invert: as for `predict`.

        Raises:
            BadInput: there is no such class or image, or it is no picture.
        """
        from lenet.evaluation.pictures import activations

        return activations(self.maps(*images, pooled=pooled, noise=noise, invert=invert), scale=3)

    @spoken
    def maps(
        self, *images: Any, pooled: bool = False, noise: bool = False, invert: bool | None = None
    ) -> list[Activations]:
        """What `activations` draws, as numbers; the arguments are its.

        >>> first = run.maps("pullover")[0]
        >>> shapes = {layer: maps.shape for layer, maps in first.maps.items()}

        Returns:
            Of each image, in the order given: `title`, `maps` (a tensor (maps, h, w) for each layer), `likeliest`, the
            classes that come first, and `is_wrong`.

        Raises:
            BadInput: there is no such class or image, or it is no picture.
        """
        config = saved.saved(self.path, self._weights).config
        data, is_own = saved.evaluated(config.data, None, self._data_root)
        known = {name.lower() for name in data_set(data).classes}
        texts = [one for one in images if isinstance(one, str) and (one.lower() in known or not Path(one).is_file())]
        numbers = [int(one) for one in images if isinstance(one, Integral)]
        own = [one for one in images if not isinstance(one, Integral) and not any(one is text for text in texts)]
        classes = checks.class_names(data, texts, named="")
        checks.check_numbers(numbers, data_set(data).test_images, named="")
        pictures = _drawn(own, data_set(data).fit, invert) if own else []

        trained = self._trained  # the imports of torch before others that bring it too

        from lenet.evaluation.activations import capture
        from lenet.evaluation.examples import chosen

        shown = chosen(data, classes, numbers, pictures, noise, only_there=not is_own)
        found = capture(trained.model, *shown, pooled)
        # They come kind by kind; here they are in the order in which they were given.
        kinds = [0 if any(one is text for text in texts) else 1 if isinstance(one, Integral) else 2 for one in images]
        order = sorted(range(len(images)), key=kinds.__getitem__)
        by_place = dict(zip(order, found, strict=False))
        return [by_place[place] for place in range(len(images))] + found[len(images) :]

    @spoken
    def confusion(self, part: str = "test", data: str | None = None, flip: bool = False) -> Image.Image:
        """What is taken for what, as scripts/evaluate.py draws it: a picture of Pillow's.

        >>> picture = run.confusion()

        Args:
            part: of the images: test, or validation.
            data: another data set than the run's.
            flip: take the mean of the answers to each image and to its mirror image.

        Raises:
            BadInput: there are no such images.
        """
        from lenet.evaluation.evaluate import as_picture

        return as_picture(self.evaluate(part, data, flip))

    @spoken
    def mistakes(self, part: str = "test") -> Image.Image:
        """The images taken for another class of which the net was surest: a picture of Pillow's.

        >>> picture = run.mistakes()

        Raises:
            BadInput: there are no such images.
        """
        from lenet.evaluation.pictures import surest_mistakes

        found = self.evaluate(part)
        assert found.predictions is not None
        assert found.images is not None
        title = f"{found.data}, {found.part}: the surest mistakes"
        return surest_mistakes(found.predictions, found.images, found.answers, title, scale=2)

    @spoken
    def evaluate(self, part: str = "test", data: str | None = None, flip: bool = False) -> Evaluation:
        """What the net makes of all images of a part, whatever limits the run had. The arguments are `confusion`'s.

        >>> found = run.evaluate("validation")
        >>> accuracy, mistaken = found.accuracy, found.confusion[2][4]

        Returns:
            `accuracy`, `loss`, and `confusion`: rows are what the images show, columns what they are taken for. A
            notebook shows them with the precision and the recall of each class.
        """
        if part not in saved.PARTS:
            raise BadInput(f"part={part}: choose {' or '.join(saved.PARTS)}")
        if (part, data, flip) not in self._evaluations:
            from lenet.evaluation.evaluate import evaluate

            self._evaluations[part, data, flip] = evaluate(self._trained, part, data, self._data_root, flip)
        return self._evaluations[part, data, flip]

    @spoken
    def predict(self, images: Any, invert: bool | None = None) -> pd.DataFrame:
        """What images are, and how probable each class is; what a picture shows is found and fitted in first.

        >>> table = run.predict(torch.rand(5, 1, 28, 28))
        >>> table.shape
        (5, 11)

        Args:
            images: a file, a picture of Pillow's, an array or a tensor; or several in a list. An array is of 0..255
                (uint8) or of 0..1 (floats), and its shape (h, w), (h, w, 3), (n, h, w), (n, 1, h, w) or (n, h, w, 3).
                One of 28x28 is taken for an image of the data set, bright on dark.
            invert: True: the thing is darker than what is behind it, as ink on paper; False: it is brighter; None: the
                picture tells.

        Returns:
            A row per image, called after its file, or its number: `prediction`, and the probability of each class.

        Raises:
            BadInput: something is no image.
        """
        import pandas as pd

        data = saved.saved(self.path, self._weights).config.data
        pictures = _drawn(images, data_set(data).fit, invert)

        from lenet.evaluation.activations import probabilities
        from lenet.evaluation.examples import chosen

        pixels, names, classes = chosen(self._trained.config.data, files=pictures)
        table = pd.DataFrame(probabilities(self._trained.model, pixels).numpy(), index=names, columns=classes)
        table.insert(0, "prediction", table.idxmax(axis=1), allow_duplicates=True)
        return table

    @spoken
    def export(self, file: str | Path) -> Agreement | None:
        """Write the net into one file to give away, as scripts/export.py does.

        FILE.safetensors has the weights, for `lenet.load` and the commands. FILE.onnx and FILE.pt2 have a whole graph,
        for other programs: grey values of 28x28 pixels in, probabilities out.

        >>> run.export("net.safetensors")
        >>> run.export("net.pt2").difference < 1e-4
        True

        Args:
            file: its name says the format. Folders that are not there are made.

        Returns:
            How a graph answers beside the net, which is looked at before anything is written; None of weights.

        Raises:
            BadInput: it cannot be written there, a package is missing, or the format does not know a layer.
        """
        file = Path(file)
        checks.check_export(file)
        trained = self._trained
        if file.suffix == WEIGHTS:
            from lenet.evaluation.load import export

            export(trained, file)
            return None

        from lenet.export.files import export_graph

        return export_graph(trained, file, self._data_root)

    @spoken
    def resume(self, *words: str, callbacks: Sequence[L.Callback] = (), **keys: Any) -> Run:
        """Go on with the run in its directory, from its last whole epoch; use what it returns.

        >>> run = run.resume(max_epochs=20)

        Its result is that of the best epoch by validation, as before; that may be an earlier one.

        Args:
            words: and `keys`, what may change on the way, such as max_epochs, max_time and early_stopping; and
                callbacks, as for `lenet.train`.

        Raises: those of `lenet.train`.
        """
        self._require_directory("resume")
        self.__dict__.pop("_trained", None)  # which has the weights of before
        self._evaluations.clear()
        return Run(trained([f"resume={self.path}", *words], keys, callbacks), data_root=self._data_root)

    def _require_directory(self, what: str) -> None:
        if self._is_file:
            raise BadInput(f"{self.path}: holds a net alone, and no {what}; load the directory of the run instead")


def _drawn(images: Any, fit: Fit | None, invert: bool | None) -> list[Drawing]:
    """Images as a net gets them; a warning says why it cannot be expected to know one."""
    found = drawings(images, fit, invert)
    for one in found:
        if one.warning:
            warnings.warn(as_python(one.warning), stacklevel=_outside())
    return found


def _outside() -> int:
    """The stack level of the line of somebody's own that called us, seen from our caller."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "lenet":
        level, frame = level + 1, frame.f_back
    return level + 1


@spoken
def train(*words: Any, callbacks: Sequence[L.Callback] = (), **keys: Any) -> Run:
    """Train one net and test it, as scripts/train.py does: the same checks, files and numbers.

    >>> run = lenet.train("experiment=book", "model.pool=max", max_epochs=2)
    >>> run = lenet.train(lr=0.1, model="modern", data={"batch_size": 64})
    >>> run = lenet.train(max_epochs=100, early_stopping={"patience": 5})
    >>> run = lenet.train(run.config, "data.name=mnist", init_from=run)
    >>> run = lenet.train(resume=run, max_epochs=20)
    >>> run = lenet.train(model="modern", lr=0.1, max_epochs=2, limit_train_batches=60)

    The last one shows in seconds that something is learned. The book's own net, the default, stays at chance for its
    whole first epoch.

    `resume` goes on with a run in its directory. `init_from` takes the weights of another run and nothing else of it,
    so its config comes first, as here, or its keys are given again. A run lies in runs/NAME/TIME below the current
    folder. All keys: docs/keys.md. enable_progress_bar=False draws no bar, as for a notebook that nobody watches:
    `jupyter nbconvert --execute` would show each of the bar's steps.

    Args:
        words: those of the command line, such as "model.pool=max"; or a `lenet.config.Config`, and single keys that
            change it. A dictionary stands for its words: {"model.pool": "max"}.
        callbacks: Lightning callbacks of your own, which watch the training.
        keys: values of keys. max_epochs=2 is trainer.max_epochs=2, as no other key ends so; of model={"pool": "max"}
            comes model.pool=max, and model="modern" chooses a file of conf/.

    Returns:
        The finished run.

    Raises:
        BadInput: what the command line says of the same words; nothing has been written.
        Diverged: the loss is no longer finite.
        Interrupted: Ctrl-C, or the stop button of a notebook; a KeyboardInterrupt. The run can go on.
        TimeUp: trainer.max_time is over; likewise.
    """
    return Run(trained(words, keys, callbacks))


@spoken
def load(path: str | Path | Run, weights: str | None = None, data_root: str | None = None) -> Run:
    """A run that has been trained before.

    >>> run = lenet.load("runs/lenet/2026-11-22_09-30-00")
    >>> run = lenet.load("docs/weights/improved.safetensors")

    Args:
        path: a run directory, or a file of scripts/export.py; as seen from the current folder.
        weights: best or last; by default those that the run tested.
        data_root: the folder of the data files; by default where the run found them.

    Raises:
        BadInput: it is neither, or there are no such weights.
    """
    if weights not in (None, "best", "last"):
        raise BadInput(f"weights={weights}: choose best or last")
    return Run(path.path if isinstance(path, Run) else _there(path), weights, data_root)


def _there(path: str | Path) -> Path:
    """A path, where there is something: a notebook is in another folder than one thinks."""
    if not Path(path).exists():
        kind = "no such file of weights" if Path(path).suffix == WEIGHTS else "no run directory"
        raise BadInput(
            f"{path}: {kind}, as {Path(path).absolute()} is not there; give a whole path, or one from the current "
            "folder on"
        )
    return Path(path)


@spoken
def compare(*runs: Run | str | Path) -> Plot:
    """Loss and accuracy of several runs in one plot, a figure of matplotlib; each run has a colour.

    >>> plot = lenet.compare(run, "runs/lenet/2026-11-22_09-30-00")
    >>> plot.savefig("curves.png")

    Its `table`, a DataFrame, has a row per run: the keys in which they differ, and their figures.

    >>> table = plot.table[["val/acc", "test/acc", "seconds"]]

    scripts/report.py does the same for run directories.

    Args:
        runs: runs, or their directories.

    Raises:
        BadInput: one is a file of weights, which has no curves, or no run.
    """
    if not runs:
        raise BadInput("compare: no run; give one or more")

    from lenet.evaluation.curves import compared

    return compared([run.path if isinstance(run, Run) else _there(run) for run in runs])
