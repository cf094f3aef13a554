"""The files that other programs read, and whether they answer as the net does, before anything is written."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from lenet.batches import EVALUATION_BATCH
from lenet.data import download
from lenet.data.files import load
from lenet.data.transforms import normalise
from lenet.datasets import IMAGE_SIZE, data_set
from lenet.errors import BadInput
from lenet.evaluation.checks import ONNX, check_export
from lenet.evaluation.load import Trained
from lenet.export.portable import Portable
from lenet.runs.files import write_atomically
from lenet.text import first_line, shortened

INPUT, OUTPUTS = "images", ("probabilities", "logits")
TOLERANCE = 1e-5  # of the largest logit, or of 1 if that is more: what float32 can keep in other orders of addition
GENERATED = 500  # images to check with where the test images are not there

Answer = Callable[[Tensor], tuple[Tensor, Tensor]]  # of a batch of images: probabilities and logits


@dataclass(frozen=True)
class Agreement:
    """How a file answers beside the net that it was made of."""

    images: int
    is_generated: bool  # otherwise they are test images
    difference: float  # the largest of a logit
    same_class: int  # images of which both say the same
    accuracy: tuple[float, float] | None  # of the net and of the file, on test images

    def as_text(self) -> str:
        what = "generated images, as the test images are not there" if self.is_generated else "test images"
        text = f"checked on {self.images:,} {what}: logits differ by {self.difference:.1e} at most, "
        text += f"{self.same_class:,} times the same class"
        return text + (f"; accuracy {self.accuracy[1]:.4f}, the net's {self.accuracy[0]:.4f}" if self.accuracy else "")


def export_graph(trained: Trained, path: Path, data_root: str | None = None) -> Agreement:
    """Write a net with its normalisation as ONNX or, as the name of the file says, as a program of torch.export.

    Both take images (n, 1, 28, 28) of uint8, bright on dark, for any n from 1 on, and give probabilities and logits,
    (n, classes) of float32. They know the names of the classes, the config and the result.

    Args:
        data_root: where the test images may lie; by default where the run found them. Nothing is fetched.

    Raises:
        BadInput: it cannot be written there, or something of the net is unknown to the format.
    """
    check_export(path)
    net, own = Portable(trained.config, trained.model.net), _own_answer(trained)
    images, labels = _images(trained, data_root)
    with _in_one_line(path):
        content = (_as_onnx if path.suffix == ONNX else _as_program)(net, _metadata(trained))
        answer = (_read_onnx if path.suffix == ONNX else _read_program)(content)
        found = agreement(own, answer, images, labels)
    scale = max(1.0, _largest(own, images))
    if not found.difference <= TOLERANCE * scale:
        raise BadInput(
            f"{path}: not written, since it does not answer as the net does (logits differ by {found.difference:.1e}); "
            "take .safetensors, which holds the weights themselves"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; name a file that can be written") from error
    return found


def _own_answer(trained: Trained) -> Answer:
    """What the net answers where it is evaluated, in float32."""
    data, model = trained.config.data, trained.model

    def answer(images: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(normalise(images.to(model.device), data.mean, data.std, data.pad)).float().cpu()
        return logits.softmax(1), logits

    return answer


def agreement(net: Answer, answer: Answer, images: Tensor, labels: Tensor | None) -> Agreement:
    """Compare two on images (n, 1, 28, 28) of uint8; `labels` (n,) where they are known."""
    ours, theirs = (_logits(one, images) for one in (net, answer))
    said, also = ours.argmax(1), theirs.argmax(1)
    accuracy = None
    if labels is not None:
        accuracy = float((said == labels).float().mean()), float((also == labels).float().mean())
    return Agreement(
        len(images), labels is None, float((ours - theirs).abs().max()), int((said == also).sum()), accuracy
    )


@torch.inference_mode()
def _logits(answer: Answer, images: Tensor) -> Tensor:
    return torch.cat([answer(part)[1] for part in torch.split(images, EVALUATION_BATCH)])


def _largest(net: Answer, images: Tensor) -> float:
    return float(_logits(net, images[:EVALUATION_BATCH]).abs().max())


def _images(trained: Trained, data_root: str | None) -> tuple[Tensor, Tensor | None]:
    """The test images, where they are on this computer; otherwise strokes and noise."""
    data = trained.config.data
    root = data_root or data.root
    try:
        download.find(data.name, root)
        images, labels = load(data.name, root, "test")
    except BadInput as error:
        if data_root is not None:
            raise BadInput(f"--data-root {data_root}: {str(error).removeprefix(f'data.root={data_root}: ')}") from error
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(GENERATED, 1, 7, 7, generator=generator)
        large = torch.nn.functional.interpolate(noise, IMAGE_SIZE, mode="bilinear").sub(0.3).clamp(0) / 0.7
        return (255 * large).to(torch.uint8), None
    return images, labels


def _metadata(trained: Trained) -> dict[str, str]:
    """What the file says of itself. Where the data and other runs lay is left out."""
    config = replace(trained.config, resume=None, init_from=None, data=replace(trained.config.data, root="data"))
    of_these = trained.weights == trained.config.test_on
    result = {name: trained.result[name] for name in ("metrics", "best_epoch") if of_these and name in trained.result}
    return {
        "classes": json.dumps(list(data_set(trained.config.data).classes), ensure_ascii=False),
        "data": trained.config.data.name,
        "weights": trained.weights,
        "result": json.dumps(result),
        "config": yaml.safe_dump(asdict(config), sort_keys=False),
    }


def _program(net: Portable) -> torch.export.ExportedProgram:
    example = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8)
    return torch.export.export(net, (example,), dynamic_shapes={INPUT: {0: torch.export.Dim("n", min=1)}})


def _as_program(net: Portable, metadata: dict[str, str]) -> bytes:
    content = io.BytesIO()
    torch.export.save(_program(net), content, extra_files=dict(metadata))
    return content.getvalue()


def _read_program(content: bytes) -> Answer:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda images: module(images)


def _as_onnx(net: Portable, metadata: dict[str, str]) -> bytes:
    made = torch.onnx.export(_program(net), dynamo=True, verbose=False, input_names=[INPUT], output_names=list(OUTPUTS))
    assert made is not None
    model = made.model_proto
    graph = model.graph
    graph.name = "lenet"
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for length in value.type.tensor_type.shape.dim:
            if length.dim_param == symbol:
                length.dim_param = "n"
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    return bytes(model.SerializeToString())


def _read_onnx(content: bytes) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def answer(images: Tensor) -> tuple[Tensor, Tensor]:
        probabilities, logits = (torch.from_numpy(each) for each in session.run(OUTPUTS, {INPUT: images.numpy()}))
        return probabilities, logits

    return answer


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """The exporters say much, and fail in many ways at a net that somebody has brought along."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError:
        raise
    except Exception as error:
        raise BadInput(
            f"{path}: this net cannot be exported so ({_first(error)}); take .safetensors, or change the layer"
        ) from error
    finally:
        logging.disable(before)


def _first(error: Any) -> str:
    return shortened(first_line(str(error)) or type(error).__name__, 200)
