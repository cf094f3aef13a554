"""The whole run as data: every key with its type, its default, its unit and a line of meaning.

Hydra composes `conf/` over this schema, so the YAML files hold only what differs. The defaults are the recipe of the
LeNet chapter of d2l, with 20 % of the training images held out for validation. `lenet.rules` says which values
are legal. Nothing here imports torch, and nothing names code: a config from a stranger cannot run anything.
"""

import os
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from typing import Any, get_type_hints


@dataclass
class Augment:
    """Random changes to each training image, drawn anew every epoch, each of them uniform in its range."""

    shift: int = 0  # pixels; each image moves by up to this many, up or down and left or right; by whole ones, unless
    #                 scale, squeeze or shear ask for interpolation
    flip: bool = False  # mirror each image left to right with probability 1/2
    scale: float = 0.0  # 0.1: the size changes by up to a tenth, up or down
    squeeze: float = 0.0  # 0.1: up to a tenth narrower and as much taller, or the reverse
    shear: float = 0.0  # 0.1: the top moves against the bottom by up to a tenth of the height
    erase: float = 0.0  # probability that a rectangle of the image becomes background (Zhong et al. 2017)
    erase_area: float = 0.25  # largest share of the image that the rectangle covers; the smallest is 0.02


@dataclass
class Data:
    """The images. A pixel p of 0..255 reaches the net as (p / 255 - mean) / std."""

    name: str = "fashion_mnist"  # fashion_mnist | mnist
    # Folder of the data files, laid out as torchvision does; made if absent.
    root: str = field(default_factory=lambda: os.environ.get("LENET_DATA", "data"))
    batch_size: int = 256  # images per update
    val_fraction: float = 0.2  # share of the 60,000 training images held out; 0 trains on all of them
    split_seed: int = 0  # which images are held out; nothing else depends on it, and it on nothing else
    shuffle: bool = True  # a new order every epoch, a function of seed and epoch alone
    drop_last: bool = False  # leave out the last, smaller batch of an epoch
    train_size: int | None = None  # images to train on, the first of a random order that split_seed sets; null: all
    mean: float = 0.0  # in units of 0..1 pixels; Fashion-MNIST 0.2860, MNIST 0.1307
    std: float = 1.0  # likewise; Fashion-MNIST 0.3530, MNIST 0.3081
    pad: int = 0  # pixels of background added on every side; 2 gives the paper's 32x32
    augment: Augment = field(default_factory=Augment)


@dataclass
class Model:
    """The parametric LeNet: convolution, activation, pooling, repeated; then fully connected layers.

    Or, with kind=lenet5, the net of 1998: all but `init` is then fixed, and model=lenet5 sets it so.
    """

    kind: str = "lenet"  # lenet | lenet5
    conv_channels: list[int] = field(default_factory=lambda: [6, 16])  # output maps of each block's convolutions
    # Any, since OmegaConf knows no union of an integer and a list; lenet.rules looks closer.
    convs_per_block: Any = 1  # convolutions before each pooling; one integer for all blocks, or one for each in a list
    kernel_size: Any = 5  # pixels; likewise, of all convolutions of a block
    padding: Any = field(default_factory=lambda: [2, 0])  # pixels; likewise
    activation: str = "sigmoid"  # sigmoid | tanh | scaled_tanh | relu | leaky_relu | gelu | silu
    pool: str = "avg"  # avg | max | conv (a learned 2x2 convolution of stride 2) | subsample (1998: a·sum + b)
    norm: str = "none"  # none | batch (after every hidden layer's weights, whose bias it replaces)
    fc_sizes: list[int] = field(default_factory=lambda: [120, 84])  # units of each hidden fully connected layer
    dropout: float = 0.0  # probability, after every hidden fully connected layer
    init: str = "xavier_uniform"  # xavier_uniform | default (the framework's) | kaiming | lecun | normal;
    #                               lenet5: sqrt_fan_in | eblearn | fan_in (the paper's, which does not train)
    init_std: float = 0.01  # standard deviation of the weights under init=normal


@dataclass
class Loss:
    name: str = "cross_entropy"  # cross_entropy | for lenet5 also mse (eq. 8 of the paper) and map (eq. 9)
    # map: the penalty at which an image counts as no digit at all. The paper gives no value. 12 is the penalty of a
    # picture half-way between the two bitmaps that are most alike: beyond it a digit is nearer to another one.
    j: float = 12.0
    label_smoothing: float = 0.0  # cross_entropy: share of each target that is spread over all classes; train/loss has
    #                               it, val/loss and test/loss do not


@dataclass
class Optimizer:
    name: str = "sgd"  # sgd | adam | adamw | sdlm; optimizer=adam also brings the learning rate that goes with it
    lr: float = 0.9  # the peak, where the schedule has one
    momentum: float = 0.0  # sgd
    nesterov: bool = False  # sgd, with momentum
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])  # adam, adamw: decay of the two running means
    weight_decay: float = 0.0  # L2 in the gradient for sgd and adam, decoupled for adamw
    decay_biases: bool = True  # false: weight_decay spares biases, and the scale and shift of batch normalisation
    ema_decay: float | None = None  # validation and test see the running mean of the weights, of which each update
    #                                 keeps this share; null: the weights as they are
    mu: float = 0.02  # sdlm: each weight's learning rate is lr / (mu + its second derivative)
    curvature_samples: int = 500  # sdlm: training images, at most, for second derivatives before each epoch
    curvature_memory: float = 0.9  # sdlm: share of the earlier estimate that stays in the mean with the new one


@dataclass
class Schedule:
    """The learning rate over a run, changed after every update or, in steps, between epochs."""

    name: str = "constant"  # constant | one_cycle (half a cosine up, half a one down to 0) | cosine (down to 0) | steps
    warmup: float = 0.3  # one_cycle: share of the updates spent going up
    epochs: list[int] = field(default_factory=list)  # steps: after how many epochs the learning rate changes
    factors: list[float] = field(default_factory=list)  # steps: and to what share of optimizer.lr


@dataclass
class Trainer:
    """Arguments of the Lightning Trainer, under its own names. `docs` of Lightning say more about each."""

    max_epochs: int = 10
    accelerator: str = "auto"  # auto | cpu | gpu | mps | tpu
    devices: int | str = 1  # how many, or which: "1," is the second GPU
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"  # 32-true | 16-mixed | bf16-mixed | 64-true ...
    deterministic: bool = False  # on a GPU: only algorithms that repeat to the last bit; a CPU always does
    log_every_n_steps: int | None = None  # batches from one point of train/loss_within_epoch to the next; null: a fifth
    gradient_clip_val: float | None = None  # largest norm of the gradient
    accumulate_grad_batches: int = 1  # batches per update
    fast_dev_run: bool = False  # one batch of everything, to see whether it runs
    limit_train_batches: int | float | None = None  # batches, or a share of them, per epoch; null: all
    limit_val_batches: int | float | None = None  # likewise; evaluation takes 1,000 images at a time
    limit_test_batches: int | float | None = None
    enable_progress_bar: bool = True  # shown on a terminal only


@dataclass
class Dashboard:
    """What TensorBoard shows beside the curves, the pictures at the end, and the row of HPARAMS."""

    enabled: bool = True  # false: nothing at all is written for TensorBoard
    pictures_every: int | None = None  # epochs from one set of pictures to the next while the net trains; null: none
    histograms: bool = False  # of weights and gradients, after every epoch
    embedding: bool = False  # the last hidden layer's outputs for 1,000 test images, in the PROJECTOR tab


@dataclass
class Config:
    """One run. `src/lenet/train.py` is a function of this and of nothing else."""

    name: str = "lenet"  # the run directory is runs/<name>/<time>; the dashboard shows the same
    tags: list[str] = field(default_factory=list)  # free words, kept in the result
    seed: int = 0  # weights, order of the data, dropout, augmentation
    test_on: str = "best"  # weights the test set sees: best (by val/acc) | last
    # For a published curve: tests after every epoch. Nothing may be chosen by it, so it needs test_on=last.
    test_each_epoch: bool = False
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    trainer: Trainer = field(default_factory=Trainer)
    dashboard: Dashboard = field(default_factory=Dashboard)
    compile: bool = False  # torch.compile of the net; worth it for runs of many minutes
    threads: int | None = None  # of one operation on the CPU; null: one per core
    resume: str | None = None  # a run directory to go on with, from its last checkpoint


@cache
def schema(node: Any = Config, prefix: str = "") -> dict[str, Any]:
    """Every key, such as data.augment.shift, with its type; a group of keys has a dataclass."""
    found = {}
    for name, kind in get_type_hints(node).items():
        found[prefix + name] = kind
        if isinstance(kind, type) and is_dataclass(kind):
            found |= schema(kind, f"{prefix}{name}.")
    return found


def value_of(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
