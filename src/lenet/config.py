"""The whole run as data: every key with its type, its default, its unit and a line of meaning.

Hydra composes `conf/` over this schema, so the YAML files hold only what differs. The defaults are the recipe of the
LeNet chapter of d2l, with 20 % of the training images held out for validation. A bound or the choices stand with their
key; `lenet.rules` says which values may not be together. Nothing here imports torch, and nothing names code: a config
from a stranger cannot run anything.
"""

import os
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from math import inf
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from lenet.bounds import Bound, OneOf, above_zero, at_least_one, below_one, between, for_each_block, sizes
from lenet.datasets import IMAGE_SIZE, names

SMALLEST_ERASED = 0.02  # of an image, as in Zhong et al. 2017
SHARE = Bound(0, 1, "give a share between 0 and 1", "both")
FIRST_AVERAGED = "give the first epoch to average, from 1 to trainer.max_epochs, or a share from 0.0 up to 1.0, or null"
BATCHES = Bound(0, inf, "give a number of batches, or a share of them from 0.0 to 1.0")

# Of Lightning's, those whose processes are the command again (others would have to send them what cannot be sent) and
# whose checkpoints are files like ours.
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true", "single_device",
              "fsdp", "fsdp_cpu_offload")  # fmt: skip
PRECISIONS = ("32-true", "32", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "64")


class OptimizerFacts(NamedTuple):
    """What is known of an optimizer without torch."""

    states: int  # numbers that it keeps for each parameter, beside one for momentum
    large_lr: float  # where a net learns nothing, a smaller learning rate is the likeliest remedy from this one on


# The values of optimizer.name; a large learning rate is some three times what conf/optimizer/ has.
OPTIMIZER_FACTS = {
    "sgd": OptimizerFacts(states=0, large_lr=0.3),
    "adam": OptimizerFacts(states=2, large_lr=0.003),
    "adamw": OptimizerFacts(states=2, large_lr=0.003),
    "nadam": OptimizerFacts(states=2, large_lr=0.003),
    "rmsprop": OptimizerFacts(states=1, large_lr=0.01),
    "adagrad": OptimizerFacts(states=1, large_lr=0.1),
    "adadelta": OptimizerFacts(states=2, large_lr=3.0),
    "sdlm": OptimizerFacts(states=1, large_lr=0.002),
}

# Words that Lightning takes for others.
ALIKE = {"accelerator": {"cuda": "gpu"}, "precision": {"16": "16-mixed", "bf16": "bf16-mixed"}}


@dataclass
class Augment:
    """Random changes to each training image, drawn anew every epoch, each of them uniform in its range."""

    # Pixels; each image moves by up to this many, up or down and left or right. By whole ones, unless scale, squeeze,
    # shear or rotate ask for interpolation.
    shift: Annotated[int, between(0, IMAGE_SIZE, "pixels,")] = 0
    flip: bool = False  # mirror each image left to right with probability 1/2
    scale: Annotated[float, between(0, 0.9, "a share")] = 0.0  # 0.1: the size changes by up to a tenth, up or down
    # 0.1: up to a tenth narrower and as much taller, or the reverse.
    squeeze: Annotated[float, between(0, 0.9, "a share")] = 0.0
    # 0.1: the top moves against the bottom by up to a tenth of the height.
    shear: Annotated[float, between(0, 2, "a share of the height")] = 0.0
    rotate: Annotated[float, between(0, 180, "degrees,")] = 0.0  # 10: each image turns by up to 10 degrees, either way
    # Probability that a rectangle of the image becomes background (Zhong et al. 2017).
    erase: Annotated[float, between(0, 1, "a probability")] = 0.0
    # Largest share of the image that the rectangle covers; the smallest is 0.02.
    erase_area: Annotated[float, between(SMALLEST_ERASED, 1, "a share of the image")] = 0.25


@dataclass
class Data:
    """The images. A pixel p of 0..255 reaches the net as (p / 255 - mean) / std."""

    name: Annotated[str, OneOf(*names())] = "fashion_mnist"  # folder: pictures of your own
    # Folder of the data files, laid out as torchvision does; made if absent. Of data=folder: of your pictures.
    root: str = field(default_factory=lambda: os.environ.get("LENET_DATA", "data"))
    # Of data=folder, as a run records them: the names of its subfolders.
    classes: list[str] = field(default_factory=list)
    batch_size: Annotated[int, between(1, 60_000)] = 256  # images per update
    # Share of the training images held out; 0 trains on all of them.
    val_fraction: Annotated[float, below_one("a share")] = 0.2
    # Which images are held out; nothing else depends on it, and it on nothing else.
    split_seed: Annotated[int, between(0, 2**32 - 1)] = 0
    shuffle: bool = True  # a new order every epoch, a function of seed and epoch alone
    drop_last: bool = False  # leave out the last, smaller batch of an epoch
    train_size: int | None = None  # images to train on, the first of a random order that split_seed sets; null: all
    # In units of 0..1 pixels; Fashion-MNIST 0.2860, MNIST 0.1307.
    mean: Annotated[float, Bound(-inf, inf, "give a finite number")] = 0.0
    std: Annotated[float, above_zero("a finite number")] = 1.0  # likewise; Fashion-MNIST 0.3530, MNIST 0.3081
    # Pixels of background added on every side; 2 gives the paper's 32x32.
    pad: Annotated[int, between(0, 100, "pixels,")] = 0
    augment: Augment = field(default_factory=Augment)


@dataclass
class Model:
    """The parametric LeNet: convolution, activation, pooling, repeated; then fully connected layers.

    Or, with kind=lenet5, the net of 1998: all but `init` is then fixed, and model=lenet5 sets it so.
    """

    kind: Annotated[str, OneOf("lenet", "lenet5")] = "lenet"  # lenet5: as published in 1998
    # Output channels of each block's convolutions.
    conv_channels: Annotated[list[int], sizes()] = field(default_factory=lambda: [6, 16])
    # Convolutions before each pooling; one integer for all blocks, or a list with one for each block.
    convs_per_block: Annotated[Any, for_each_block(1, 100)] = 1
    # Of a block's convolutions, in pixels; one integer, or a list with one for each block.
    kernel_size: Annotated[Any, for_each_block(1, 1000)] = 5
    # Zeros around what a block's convolutions get, in pixels; one integer, or a list with one for each block.
    padding: Annotated[Any, for_each_block(0, 1000)] = field(default_factory=lambda: [2, 0])
    # After every hidden layer's weights.
    activation: Annotated[str, OneOf("sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "gelu", "silu")] = (
        "sigmoid"
    )
    # conv: a learned 2x2 convolution of stride 2; subsample: as in 1998, a·sum + b
    pool: Annotated[str, OneOf("avg", "max", "conv", "subsample")] = "avg"
    # batch: after every hidden layer's weights, whose bias it replaces
    norm: Annotated[str, OneOf("none", "batch")] = "none"
    # Units of each hidden fully connected layer.
    fc_sizes: Annotated[list[int], sizes()] = field(default_factory=lambda: [120, 84])
    # After every hidden fully connected layer.
    dropout: Annotated[float, below_one("a probability")] = 0.0
    # xavier_uniform | default (the framework's) | kaiming | lecun | normal; for lenet5 sqrt_fan_in | eblearn | fan_in
    # (the paper's, which does not train). `lenet.rules.model` has the choices, as they depend on model.kind.
    init: str = "xavier_uniform"
    init_std: Annotated[float, above_zero("a number")] = 0.01  # standard deviation of the weights under init=normal


@dataclass
class Loss:
    # For lenet5 also mse (eq. 8 of the paper) and map (eq. 9).
    name: Annotated[str, OneOf("cross_entropy", "mse", "map")] = "cross_entropy"
    # map: the penalty at which an image counts as no digit at all. The paper gives no value. 12 is the penalty of a
    # picture half-way between the two bitmaps that are most alike: beyond it a digit is nearer to another one.
    j: Annotated[float, between(-1000, 1000, "a penalty")] = 12.0
    # cross_entropy: share of each target that is spread over all classes; train/loss has it, val/loss and test/loss do
    # not.
    label_smoothing: Annotated[float, below_one("a share")] = 0.0


@dataclass
class Optimizer:
    # optimizer=adam brings the learning rate that goes with it, where optimizer.name=adam leaves it as it is.
    name: Annotated[str, OneOf(*OPTIMIZER_FACTS)] = "sgd"
    lr: Annotated[float, above_zero("a finite number")] = 0.9  # the peak, where the schedule has one
    momentum: Annotated[float, below_one("a number")] = 0.0  # sgd, rmsprop
    nesterov: bool = False  # sgd, with momentum
    # Of adam and its kin: decay of the two running means.
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    # L2 in the gradient, but decoupled for adamw; sdlm has none.
    weight_decay: Annotated[float, Bound(0, inf, "give a finite number, at least 0")] = 0.0
    decay_biases: bool = True  # false: weight_decay spares biases, and the scale and shift of batch normalisation
    # Validation and test see the running mean of the weights, of which each update keeps this share; null: the weights
    # as they are.
    ema_decay: Annotated[float | None, Bound(0, 1, "give a share between 0 and 1, such as 0.999, or null", "both")] = (
        None
    )
    # sdlm: each weight's learning rate is lr / (mu + its second derivative).
    mu: Annotated[float, above_zero("a finite number", 1e-12)] = 0.02
    # sdlm: training images, at most, for second derivatives before each epoch.
    curvature_samples: Annotated[int, between(1, 60_000)] = 500
    # sdlm: share of the earlier estimate that stays in the mean with the new one.
    curvature_memory: Annotated[float, below_one("a share")] = 0.9
    # Stochastic weight averaging: from this epoch on, or after this share of the epochs (0.75), validation and test see
    # the mean of the weights at the end of each epoch; null: the weights as they are.
    swa_start: Annotated[int | float | None, Bound(0, 10**6, FIRST_AVERAGED)] = None
    # rmsprop: share of the running mean of squared gradients that each update keeps (the book's gamma).
    alpha: Annotated[float, below_one("a share")] = 0.99
    rho: Annotated[float, below_one("a share")] = 0.9  # adadelta: likewise, and of squared changes


@dataclass
class Schedule:
    """The learning rate over a run of trainer.max_epochs, changed after every update, or between epochs."""

    # one_cycle: half a cosine up, half a one down to 0; cosine: down to 0; steps: as epochs and factors say;
    # exponential: each epoch has gamma times the one before; plateau: times factor, where monitor no longer falls
    name: Annotated[str, OneOf("constant", "one_cycle", "cosine", "steps", "exponential", "plateau")] = "constant"
    warmup: float = 0.3  # one_cycle: share of the updates spent going up
    epochs: list[int] = field(default_factory=list)  # steps: after how many epochs the learning rate changes
    factors: list[float] = field(default_factory=list)  # steps: and to what share of optimizer.lr
    # Epochs in which the learning rate first rises, update by update, in a straight line from 0; the schedule has those
    # that are left. one_cycle has its own: warmup.
    warmup_epochs: Annotated[int, between(0, 10**6, "a number of epochs")] = 0
    gamma: Annotated[float, SHARE] = 0.9  # exponential
    # Plateau: what is to fall, by a ten-thousandth of its least value so far or more.
    monitor: Annotated[str, OneOf("val/loss", "train/loss")] = "val/loss"
    # Plateau: epochs without such a fall that pass before the learning rate changes; torch's 10 are a whole run here.
    patience: Annotated[int, between(0, 10**6, "a number of epochs")] = 2
    factor: Annotated[float, SHARE] = 0.1  # plateau


@dataclass
class Trainer:
    """Named as the arguments of the Lightning Trainer, whose documentation says more of each.

    Those that say how much is trained (max_steps, max_time, limit_*_batches, overfit_batches, fast_dev_run) are ours to
    keep, not the Trainer's: it may be given blocks of many updates (`lenet.training.blocks`).
    """

    max_epochs: Annotated[int, between(1, 10**6)] = 10
    # Updates of the weights after which the run ends, within an epoch too; null: whole epochs alone.
    max_steps: Annotated[int | None, Bound(1, 10**9, "give a number of updates, at least 1, or null")] = None
    # Days:hours:minutes:seconds, or hours:minutes:seconds, of training after which a start of the run stops between two
    # steps; resume=RUN_DIR goes on, for as long again. In a file in quotes. null: no limit.
    max_time: str | None = None
    # Neither max_time nor early stopping ends the run before this epoch; null: they may at once.
    min_epochs: Annotated[int | None, Bound(1, 10**6, "give a number of epochs, at least 1, or null")] = None
    accelerator: Annotated[str, OneOf("auto", "cpu", "gpu", "mps", "tpu")] = "auto"
    devices: int | str = 1  # how many, or which: "1," is the second GPU
    num_nodes: Annotated[int, at_least_one(10**6)] = 1
    strategy: Annotated[str, OneOf(*STRATEGIES)] = "auto"
    precision: Annotated[str, OneOf(*PRECISIONS)] = "32-true"
    deterministic: bool = False  # on a GPU: only algorithms that repeat to the last bit; a CPU always does
    # Batches from one point of train/loss_within_epoch to the next; null: a fifth.
    log_every_n_steps: Annotated[int | None, at_least_one(10**9)] = None
    # Largest norm of the whole gradient or, with gradient_clip_algorithm=value, largest size of each of its numbers.
    gradient_clip_val: Annotated[float | None, above_zero("a number", null=True)] = None
    gradient_clip_algorithm: Annotated[str, OneOf("norm", "value")] = "norm"
    accumulate_grad_batches: Annotated[int, at_least_one(10**6)] = 1  # batches per update
    fast_dev_run: bool = False  # one batch of everything, to see whether it runs
    # Batches, or a share of them, per epoch; null: all.
    limit_train_batches: Annotated[int | float | None, BATCHES] = None
    # Of these too; evaluation takes 1,000 images at a time.
    limit_val_batches: Annotated[int | float | None, BATCHES] = None
    limit_test_batches: Annotated[int | float | None, BATCHES] = None
    # To see whether a net can learn at all: trains and validates on the first so many training batches, always the same
    # and in the same order; null: on all, as usual.
    overfit_batches: Annotated[int | float | None, Bound(0, inf, "give a number of batches, such as 5, or null")] = None
    # Epochs from one validation to the next; those between have no val/acc, and cannot be the best.
    check_val_every_n_epoch: Annotated[int, at_least_one(10**6)] = 1
    # Validation batches to try before the training, which shows a mistake there at once; -1: all.
    num_sanity_val_steps: Annotated[int, Bound(-1, 10**6, "give a number of batches, 0 for none, or -1 for all")] = 0
    detect_anomaly: bool = False  # stop at the first operation whose gradient is no number, and name it; slow
    # What takes how long, into the folder profile/ of the run: simple | advanced | pytorch; null: nothing.
    profiler: Annotated[str | None, OneOf("simple", "advanced", "pytorch")] = None
    enable_progress_bar: bool = True  # shown on a terminal only

    def __post_init__(self) -> None:
        for key, words in ALIKE.items():
            if isinstance(word := getattr(self, key), str):  # others are refused by lenet.rules
                setattr(self, key, words.get(word, word))


@dataclass
class EarlyStopping:
    """Whether a run ends before trainer.max_epochs, whose schedule still counts on all of them."""

    # Validated epochs in a row without a better one after which it ends; null: it does not.
    patience: Annotated[int | None, Bound(1, 10**6, "give a number of epochs, at least 1, or null")] = None
    monitor: Annotated[str, OneOf("val/acc", "val/loss")] = "val/acc"  # by which an epoch is better
    # By how much more than this it has to be better to count.
    min_delta: Annotated[float, Bound(0, inf, "give a finite number, at least 0")] = 0.0


@dataclass
class Dashboard:
    """What TensorBoard shows beside the curves, the pictures at the end, and the row of HPARAMS."""

    enabled: bool = True  # false: nothing at all is written for TensorBoard
    # Epochs from one set of pictures to the next while the net trains; null: none.
    pictures_every: Annotated[int | None, Bound(1, 10**6, "give a number of epochs, at least 1, or null")] = None
    histograms: bool = False  # of weights and gradients, after every epoch
    embedding: bool = False  # the last hidden layer's outputs for 1,000 test images, in the PROJECTOR tab


@dataclass
class Config:
    """One run: its numbers follow from this, the data files and the number of threads."""

    name: str = "lenet"  # the run directory is runs/<name>/<time>; the dashboard shows the same
    tags: list[str] = field(default_factory=list)  # free words, kept in the result
    seed: Annotated[int, between(0, 2**32 - 1)] = 0  # weights, order of the data, dropout, augmentation
    test_on: Annotated[str, OneOf("best", "last")] = "best"  # weights the test set sees; best is by val/acc
    # For a published curve: tests after every epoch. Nothing may be chosen by it, so it needs test_on=last.
    test_each_epoch: bool = False
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    trainer: Trainer = field(default_factory=Trainer)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    # Where curves, config and test figures go beside TensorBoard.
    logger: Annotated[list[str], OneOf("csv", "mlflow", "wandb")] = field(default_factory=list)
    dashboard: Dashboard = field(default_factory=Dashboard)
    compile: bool = False  # torch.compile of the net; worth it for runs of many minutes
    threads: Annotated[int | None, between(1, 1024)] = None  # of one operation on the CPU; null: one per core
    # The weights to start from: the directory of another run, or a file of scripts/export.py; null: as model.init draws
    # them. The last layer begins anew where it knows other classes.
    init_from: str | None = None
    resume: str | None = None  # a run directory to go on with, from its last checkpoint


def optimizer_facts(name: str) -> OptimizerFacts:
    """Those of optimizer.name; of one that a file of somebody's own brings in, what most have."""
    return OPTIMIZER_FACTS.get(name, OptimizerFacts(states=2, large_lr=inf))


@cache
def schema(node: Any = Config, prefix: str = "") -> dict[str, Any]:
    """Every key, such as data.augment.shift, with its type; a group of keys has a dataclass."""
    found = {}
    for name, kind in get_type_hints(node).items():
        found[prefix + name] = kind
        if isinstance(kind, type) and is_dataclass(kind):
            found |= schema(kind, f"{prefix}{name}.")
    return found


@cache
def limits(node: Any = Config, prefix: str = "") -> dict[str, Bound | OneOf]:
    """What each key that has a `Bound` or choices may be."""
    found: dict[str, Bound | OneOf] = {}
    for name, kind in get_type_hints(node, include_extras=True).items():
        if get_origin(kind) is Annotated:
            found[prefix + name] = get_args(kind)[1]
        elif isinstance(kind, type) and is_dataclass(kind):
            found |= limits(kind, f"{prefix}{name}.")
    return found


def choices() -> dict[str, tuple[str, ...]]:
    """The words that keys may have."""
    return {key: tuple(limit) for key, limit in limits().items() if isinstance(limit, OneOf)}


OURS = choices()  # without the words that a file of somebody's own brings in (`allow`)


def allow(key: str, word: str) -> None:
    """Let a key have one more word than it has here."""
    limit = limits()[key]
    assert isinstance(limit, OneOf)
    limits()[key] = OneOf(*limit, word)


def value_of(config: Config, key: str) -> Any:
    """What a config has under a key such as data.augment.shift."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
