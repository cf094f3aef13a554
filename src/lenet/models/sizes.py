"""How large a net is: its layers with their shapes, its parameters, its multiply-accumulates.

torch is imported only for a net of which nobody has written down the arithmetic.
"""

from collections.abc import Iterator

from lenet.config import Config, Model
from lenet.datasets import IMAGE_SIZE, data_set, input_size
from lenet.errors import BadInput
from lenet.models.layers import CLASSES, LAYERS, Layer


def layers(model: Model, size: int = IMAGE_SIZE, classes: int = CLASSES) -> Iterator[Layer]:
    """Every layer in order, under the name that it has in `lenet.models`.

    Args:
        model: its values are legal one by one; whether they fit together is found out here.
        size: height and width of the input in pixels, the padding of the data included.
        classes: number of outputs.

    Raises:
        BadInput: a window is larger than its map, or a map is too small to be pooled.
    """
    if model.kind in LAYERS:
        yield from LAYERS[model.kind](model, size, classes)
        return
    from lenet.models.build import NETS  # with torch
    from lenet.models.measure import measured

    if model.kind not in NETS:
        raise BadInput(f"model.kind={model.kind}: choose {', '.join(NETS)}")
    yield from measured(NETS[model.kind], model, size, classes)


def parameters_and_macs(model: Model, size: int = IMAGE_SIZE, classes: int = CLASSES) -> tuple[int, int]:
    """Trainable parameters of the whole net, and its multiply-accumulates for one image."""
    rows = list(layers(model, size, classes))
    return sum(row.parameters for row in rows), sum(row.macs for row in rows)


def layers_of(config: Config) -> list[Layer]:
    """Every layer of the net of a run.

    Raises: those of `layers`.
    """
    return list(layers(config.model, input_size(config.data), len(data_set(config.data).classes)))


def size_of(config: Config) -> tuple[int, int]:
    """Trainable parameters of the net of a run, and its multiply-accumulates for one image."""
    rows = layers_of(config)
    return sum(row.parameters for row in rows), sum(row.macs for row in rows)
