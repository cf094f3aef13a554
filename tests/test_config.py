"""The config: its defaults, and what it says to input that cannot be meant."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lenet.config import Config, Model, Optimizer
from lenet.errors import BadInput
from lenet.models.sizes import layers, parameters_and_macs
from lenet.rules import model, training, validate


def test_the_defaults_are_the_books_recipe_with_a_validation_split() -> None:
    config = Config()
    validate(config)
    assert parameters_and_macs(config.model)[0] == 61_706
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.momentum) == ("sgd", 0.9, 0)
    assert (config.data.name, config.data.batch_size, config.data.val_fraction) == ("fashion_mnist", 256, 0.2)
    assert (config.data.mean, config.data.std) == (0, 1)
    assert (config.model.activation, config.model.pool, config.model.init) == ("sigmoid", "avg", "xavier_uniform")
    assert config.trainer.max_epochs == 10


def test_the_composed_config_without_overrides_is_the_default(answers, monkeypatch) -> None:
    monkeypatch.delenv("LENET_DATA", raising=False)
    (shown,) = answers([["--cfg", "job"]])
    assert shown["code"] == 0
    assert not shown["torch"]
    assert OmegaConf.to_object(OmegaConf.merge(Config, OmegaConf.create(shown["said"]))) == Config()


def test_no_file_in_conf_names_code() -> None:
    for file in (Path(__file__).parents[1] / "conf").rglob("*.yaml"):
        assert "_target_" not in file.read_text(), file


def test_a_directory_that_hydra_made_for_a_refused_run_is_taken_back(answers, in_empty_folder) -> None:
    (answer,) = answers([["hydra.run.dir=here", "data.batch_size=0"]])
    assert answer["code"] == 2
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "remedy"),
    [("trainer.accelerator=gpu", "trainer.accelerator=cpu"), ("trainer.devices=0", "at least 1")],
)
def test_a_device_that_is_not_there_is_named_and_nothing_is_written(answers, in_empty_folder, given, remedy) -> None:
    if sys.platform == "darwin" and given.endswith("gpu"):
        pytest.skip("this machine may have a GPU")
    (answer,) = answers([[given]])
    assert answer["code"] == 2
    assert answer["said"].count("\n") == 1
    assert given in answer["said"]
    assert remedy in answer["said"]
    assert not answer["torch"]
    assert list(in_empty_folder.iterdir()) == []


def test_the_number_of_training_images_follows_from_the_fraction() -> None:
    config = Config()
    config.data.val_fraction = 0.5
    config.data.drop_last = True
    config.data.batch_size = 30_000
    validate(config)
    config.data.batch_size = 30_001
    with pytest.raises(BadInput, match="30000"):
        validate(config)


WRONG = {
    "optimizer.name": "lion",
    "model.activation": "swish",
    "model.norm": "layer",
    "model.kind": "alexnet",
    "loss.name": "hinge",
    "schedule.name": "warm",
    "data.name": "cifar10",
    "trainer.accelerator": "abacus",
    "trainer.max_epochs": -3,
    "test_on": "first",
    "seed": "many",
    "model": None,
}


@pytest.mark.parametrize(("key", "value"), WRONG.items(), ids=WRONG)
def test_train_checks_a_config_whoever_made_it(tiny_config, tmp_path, key, value) -> None:
    from lenet.run import train

    node = tiny_config
    for part in key.split(".")[:-1]:
        node = getattr(node, part)
    setattr(node, key.split(".")[-1], value)
    with pytest.raises(BadInput, match=f"^{key}={value}: "):
        train(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_name_that_there_is_not_falls_through_to_a_default(tmp_path) -> None:
    from torch import nn

    from lenet.config import Loss, Model, Optimizer, Schedule
    from lenet.data.download import fetch, look
    from lenet.models.lenet import LeNet
    from lenet.training.losses import Loss as Losses
    from lenet.training.module import Classifier
    from lenet.training.optimizers import build_optimizer

    wrong = (KeyError, ValueError, BadInput)
    with pytest.raises(wrong, match="lion"):
        build_optimizer(nn.Linear(1, 1), Optimizer(name="lion"))
    with pytest.raises(wrong, match="hinge"):
        Losses(Loss(name="hinge"))
    with pytest.raises(wrong, match="warm"):
        Classifier(Config(schedule=Schedule(name="warm"))).configure_optimizers()
    for key in ("norm", "pool", "activation", "init"):
        with pytest.raises(wrong, match="other"):
            LeNet(Model(**{key: "other"}))
    for key in ("kind", "norm", "pool", "activation"):
        with pytest.raises(wrong, match="other"):
            list(layers(Model(**{key: "other"})))
    for find in (fetch, look):
        with pytest.raises(BadInput, match=r"data\.name=cifar10: choose fashion_mnist, mnist"):
            find("cifar10", tmp_path)


def test_a_net_with_initialisations_of_its_own_is_no_lenet_for_sdlm(monkeypatch) -> None:
    monkeypatch.setitem(model.INIT_CHOICES, "mine", ("default",))
    config = Config(model=Model(kind="mine"), optimizer=Optimizer(name="sdlm"))
    assert dict(training.optimizer_rules(config))["optimizer.name"].startswith(
        "it knows the second derivatives of LeNets alone"
    )
    assert "optimizer.name" not in dict(training.optimizer_rules(replace(config, model=Model())))
