"""The seeds' recipes: each does exactly what its seed does, and each runs."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn

from conftest import PROJECT
from lenet import cli  # noqa: F401  (registers the schema)
from lenet.config import Config, Schedule
from lenet.data.transforms import normalise
from lenet.models.build import build_net
from lenet.models.lenet import LeNet
from lenet.rules import validate
from lenet.run import train
from lenet.training.optimizers import share_in_steps

EXPERIMENTS = sorted(path.stem for path in (PROJECT / "conf/experiment").glob("*.yaml"))
MODELS = sorted(path.stem for path in (PROJECT / "conf/model").glob("*.yaml"))


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        config = OmegaConf.to_object(compose("train", list(overrides)))
    assert isinstance(config, Config)
    validate(config)
    return config


def test_the_five_recipes_are_there() -> None:
    assert {"book", "blog", "notebook_relu", "notebook_sigmoid", "notebook_fair"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_its_command_cost_and_expectation_and_runs(tiny: Path, tmp_path: Path, name: str) -> None:
    header = (PROJECT / f"conf/experiment/{name}.yaml").read_text()
    for word in ("# Command:", "# Cost:", "# Expected:", f"experiment={name}"):
        assert word in header
    config = composed(f"experiment={name}", f"data.root={tiny}", "trainer.fast_dev_run=true", "trainer.accelerator=cpu")
    assert config.name == name
    result, _ = train(config, tmp_path / "run")
    assert result["status"] == "completed"
    assert result["epochs"] == 1


def test_book_is_the_books_training() -> None:
    expected = Config(name="book", test_on="last")
    expected.data.val_fraction = 0
    assert composed("experiment=book") == expected


def test_blog_is_the_blogs_training() -> None:
    config = composed("experiment=blog")
    assert (config.data.name, config.data.batch_size, config.data.val_fraction) == ("mnist", 1024, 0)
    assert (config.data.mean, config.data.std, config.data.shuffle, config.data.drop_last) == (0, 1, True, False)
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.momentum) == ("sgd", 0.1, 0)
    assert (config.model.activation, config.model.pool, config.model.init) == ("relu", "max", "default")
    assert (config.trainer.max_epochs, config.test_on) == (20, "last")


@pytest.mark.parametrize(
    ("overrides", "activation", "decay"),
    [
        (["experiment=notebook_sigmoid"], "sigmoid", 0.1),
        (["experiment=notebook_relu"], "relu", 0.1),
        (["experiment=notebook_fair", "model=sigmoid_max"], "sigmoid", 0),
        (["experiment=notebook_fair", "model=modern"], "relu", 0),
    ],
)
def test_the_notebooks_trainings_differ_in_activation_and_decay_alone(overrides, activation, decay) -> None:
    config = composed(*overrides)
    assert (config.data.name, config.data.batch_size, config.data.val_fraction) == ("mnist", 64, 0.2)
    assert (config.data.mean, config.data.std, config.data.shuffle, config.data.drop_last) == (
        0.1307,
        0.3081,
        False,
        True,
    )
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.weight_decay) == ("adam", 0.001, decay)
    assert (config.model.activation, config.model.pool, config.model.init) == (activation, "max", "default")
    assert (config.trainer.max_epochs, config.test_on) == (15, "last")


def test_lenet5_1998_is_the_papers_training() -> None:
    config = composed("experiment=lenet5_1998")
    assert (config.data.name, config.data.batch_size, config.data.val_fraction) == ("mnist", 1, 0)
    ends = normalise(
        torch.tensor([[[[0, 255]]]], dtype=torch.uint8), config.data.mean, config.data.std, config.data.pad
    )
    assert ends.shape[2:] == (5, 6)
    assert sorted(ends.unique().tolist()) == pytest.approx([-0.1, 1.175], abs=1e-6)
    assert (config.loss.name, config.optimizer.name, config.optimizer.mu) == ("mse", "sdlm", 0.02)
    assert (config.optimizer.curvature_samples, config.trainer.max_epochs, config.test_on) == (500, 20, "last")
    rates = [config.optimizer.lr * share_in_steps(config.schedule, epoch) for epoch in range(20)]
    assert rates == pytest.approx([5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8)


@pytest.mark.parametrize("name", ["improved", "improved_mnist"])
def test_the_improved_nets_are_lenets_of_less_than_half_a_million_parameters(name: str) -> None:
    model = composed(f"experiment={name}").model
    net = LeNet(model)
    assert sum(p.numel() for p in net.parameters()) < 500_000
    kinds = [type(layer) for layer in net]
    blocks, rest = kinds[: kinds.index(nn.Flatten)], kinds[kinds.index(nn.Flatten) + 1 :]
    assert set(blocks) == {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d}
    assert blocks[-1] == nn.MaxPool2d
    assert nn.Linear in rest
    assert nn.Conv2d not in rest


def test_the_ablation_changes_one_thing_at_a_time_and_ends_at_the_books_net() -> None:
    sweep = yaml.safe_load((PROJECT / "conf/sweep/ablation.yaml").read_text())
    levels = list(sweep["hydra"]["sweeper"]["params"]["change"].values())
    for before, after in pairwise(levels[1:]):
        assert before.items() < after.items(), "all of the one above, and something more"
    overrides = [f"{key}={value}".replace(" ", "") for key, value in levels[-1].items()]
    common = ["data.val_fraction=0.2", "test_on=best", "trainer.max_epochs=10", "name=lenet"]
    last = composed("experiment=improved", *overrides, *common)
    assert last == Config(schedule=Schedule(warmup=last.schedule.warmup)), "but for what a constant rate does not use"


class Blog(nn.Module):
    """The blog's net: six blocks by name, joined by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_layer1 = nn.Sequential(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.ReLU())
        self.pool_layer1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Sequential(nn.Conv2d(6, 16, kernel_size=5), nn.ReLU())
        self.pool_layer2 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.c5 = nn.Sequential(nn.Linear(400, 120), nn.ReLU())
        self.fc1 = nn.Sequential(nn.Linear(120, 84), nn.ReLU())
        self.fc2 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool_layer1(self.conv_layer1(x))
        x = self.pool_layer2(self.conv_layer2(x)).reshape(-1, 400)
        return self.fc2(self.fc1(self.c5(x)))


class Notebook(nn.Module):
    """The notebook's nets: layers as attributes, the rest as functions."""

    def __init__(self, activation) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(1, 6, padding=2, kernel_size=5, stride=1)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5, stride=1)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.activation(self.conv1(x)), (2, 2))
        x = F.max_pool2d(self.activation(self.conv2(x)), (2, 2)).view(-1, 400)
        x = self.activation(self.fc1(x))
        return self.fc3(self.activation(self.fc2(x)))


@pytest.mark.parametrize(
    ("preset", "theirs"),
    [
        ("modern", Blog),
        ("modern", lambda: Notebook(F.relu)),
        ("sigmoid_max", lambda: Notebook(torch.sigmoid)),
    ],
    ids=["blog", "notebook_relu", "notebook_sigmoid"],
)
def test_a_seeds_net_with_our_weights_gives_the_same_bits(preset: str, theirs) -> None:
    ours, net = LeNet(composed(f"model={preset}").model), theirs()
    net.load_state_dict(dict(zip(net.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.rand(64, 1, 28, 28)
    assert torch.equal(ours(images), net(images))


@pytest.mark.parametrize("preset", MODELS)
def test_a_preset_is_a_few_lines_and_has_as_many_parameters_as_published(preset: str) -> None:
    assert len((PROJECT / f"conf/model/{preset}.yaml").read_text().splitlines()) <= 6
    config = composed(f"model={preset}")
    parameters = sum(p.numel() for p in build_net(config).parameters())
    assert parameters == (60_000 if preset == "lenet5" else 61_706)


@pytest.mark.real_data
def test_the_quick_try_learns(real_root: str, tmp_path: Path) -> None:
    lines = (PROJECT / "docs/sweeps.md").read_text().replace("\\\n", " ").splitlines()
    (command,) = (line for line in lines if "name=quick" in line)
    words = [word for word in command.split()[3:] if not word.startswith("sweep=")]
    half = ["trainer.max_epochs=2", "dashboard.enabled=false", "trainer.accelerator=cpu"]
    result, _ = train(composed(*words, f"data.root={real_root}", *half), tmp_path / "run")
    assert result["metrics"]["val/acc"] > 0.6
