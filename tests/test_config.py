"""The config: its defaults, and what it says to input that cannot be meant."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from conftest import script
from lenet.config import Config
from lenet.errors import BadInput
from lenet.geometry import parameters_and_macs
from lenet.validation import validate


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


# what is given, and what the answer has to name
BAD = [
    ("data.batchsize=3", "data.batchsize", "data.batch_size"),
    ("batch_size=3", "batch_size", "data.batch_size"),
    ("+data.bs=3", "data.bs", "no such key"),
    ("+new=1", "new", "no such key"),
    ("trainer.accelrator=cpu", "trainer.accelrator", "trainer.accelerator"),
    ("data.batch_size=x", "data.batch_size=x", "integer"),
    ("data.batch_size=1.5", "data.batch_size=1.5", "integer"),
    ("data.batch_size=null", "data.batch_size=null", "integer"),
    ("data.shuffle=maybe", "data.shuffle=maybe", "true or false"),
    ("model.conv_channels=6", "model.conv_channels=6", "list"),
    ("model=3", "model=3", "model.kind"),
    ("seed=1,2", "seed=1,2", "-m"),
    ("seed=-1", "seed=-1", "0"),
    ("xx", "xx", "key=value"),
    ("data.val_fraction=1", "data.val_fraction=1", "share"),
    ("data.val_fraction=-0.1", "data.val_fraction=-0.1", "share"),
    ("data.val_fraction=x", "data.val_fraction=x", "number"),
    ("data.val_fraction=nan", "data.val_fraction=nan", "share"),
    ("data.val_fraction=0.99999999", "data.val_fraction", "left to train on"),
    ("data.val_fraction=0.0000001", "data.val_fraction", "held out"),
    ("data.val_fraction=0", "test_on=best", "test_on=last"),
    ("data.batch_size=0", "data.batch_size=0", "from 1"),
    ("data.batch_size=50000 data.drop_last=true", "data.batch_size=50000", "48000"),
    ("data.std=0", "data.std=0", "above 0"),
    ("data.mean=inf", "data.mean=inf", "finite"),
    ("data.name=cifar", "data.name=cifar", "mnist"),
    ("data=cifar", "data=cifar", "mnist"),
    ("optimizer.lr=-0.1", "optimizer.lr=-0.1", "above 0"),
    ("optimizer.lr=inf", "optimizer.lr=inf", "finite"),
    ("optimizer.lr=nan", "optimizer.lr=nan", "finite"),
    ("optimizer.name=lion", "optimizer.name=lion", "adamw"),
    ("optimizer=lion", "optimizer=lion", "adamw"),
    ("optimizer=adam optimizer.momentum=0.9", "optimizer.momentum=0.9", "sgd"),
    ("optimizer.nesterov=true", "optimizer.nesterov=True", "momentum"),
    ("optimizer.betas=[0.9]", "optimizer.betas=[0.9]", "two"),
    ("schedule.name=warm", "schedule.name=warm", "one_cycle"),
    ("model.activation=swish", "model.activation=swish", "silu"),
    ("model.pool=min", "model.pool=min", "avg"),
    ("model.norm=layer", "model.norm=layer", "batch"),
    ("model.init=zeros", "model.init=zeros", "lecun"),
    ("model.kind=alexnet", "model.kind=alexnet", "lenet"),
    ("model.conv_channels=[]", "model.conv_channels=[]", "at least one"),
    ("model.conv_channels=[6,0]", "model.conv_channels=[6, 0]", "from 1"),
    ("model.fc_sizes=[-3]", "model.fc_sizes=[-3]", "from 1"),
    ("model.kernel_size=33", "model.kernel_size=33", "32"),
    ("model.kernel_size=[5,15]", "model.kernel_size=15", "14"),
    ("model.kernel_size=[5,5,5]", "model.kernel_size=[5, 5, 5]", "2"),
    ("model.kernel_size=big", "model.kernel_size=big", "integer"),
    ("model.kernel_size=0", "model.kernel_size=0", "from 1"),
    ("model.padding=-1", "model.padding=-1", "from 0"),
    ("model.conv_channels=[6,16,32,64] model.padding=0", "c5", "fewer"),
    ("model.dropout=1", "model.dropout=1", "probability"),
    ("test_on=first", "test_on=first", "last"),
    ("trainer.max_epochs=0", "trainer.max_epochs=0", "from 1"),
    ("trainer.limit_train_batches=1.5", "trainer.limit_train_batches=1.5", "share"),
    ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1", "above 0"),
    ("trainer.limit_test_batches=0.05", "trainer.limit_test_batches=0.05", "less than one batch"),
    ("trainer.limit_train_batches=0.001", "trainer.limit_train_batches=0.001", "less than one batch"),
    ("trainer.limit_train_batches=0", "trainer.limit_train_batches=0", "less than one batch"),
    ("schedule=one_cycle schedule.warmup=1", "schedule.warmup=1", "share"),
    ("schedule=one_cycle schedule.warmup=0.1 trainer.limit_train_batches=1", "schedule.warmup=0.1", "10 updates"),
    ("model.norm=batch data.batch_size=1", "data.batch_size=1", "drop_last"),
    ("model.norm=batch data.batch_size=47999", "data.batch_size=47999", "drop_last"),
    ("name=" + "n" * 300, "name=nnn", "100"),
    ("threads=0", "threads=0", "from 1"),
    ("name=../elsewhere", "name=../elsewhere", "directory"),
    ("resume=nowhere", "nowhere", "no run directory"),
    ("experiment=nothing", "experiment=nothing", "no such choice"),
    ("data.train_size=50000", "data.train_size=50000", "48000"),
    ("data.train_size=0", "data.train_size=0", "from 1"),
    ("data.train_size=100 data.batch_size=101 data.drop_last=true", "data.batch_size=101", "at most 100"),
    ("data.augment.scale=1", "data.augment.scale=1.0", "0.9"),
    ("data.augment.squeeze=-0.1", "data.augment.squeeze=-0.1", "from 0"),
    ("data.augment.shear=nan", "data.augment.shear=nan", "from 0"),
    ("model=lenet5", "data.pad=0", "2"),
    ("model.kind=lenet5", "model.init=xavier_uniform", "sqrt_fan_in"),
    ("experiment=lenet5_1998 model.init=kaiming", "model.init=kaiming", "fan_in"),
    ("model.init=fan_in", "model.init=fan_in", "xavier_uniform"),
    ("experiment=lenet5_1998 model.pool=max", "model.pool=max", "subsample"),
    ("experiment=lenet5_1998 model.conv_channels=[6,16,120]", "model.conv_channels=[6, 16, 120]", "[6, 16]"),
    ("experiment=lenet5_1998 data.pad=4", "data.pad=4", "2"),
    ("loss.name=mse", "loss.name=mse", "cross_entropy"),
    ("loss.name=hinge", "loss.name=hinge", "map"),
    ("experiment=lenet5_1998 loss.name=map loss.j=inf", "loss.j=inf", "1000"),
    ("experiment=lenet5_1998 loss.j=5", "loss.j=5.0", "loss.name=map"),
    ("experiment=lenet5_1998 schedule.name=cosine", "schedule.epochs=[2, 5, 8, 12]", "schedule.epochs=[]"),
    ("optimizer=sdlm model.norm=batch", "model.norm=batch", "second derivatives"),
    ("optimizer=sdlm optimizer.weight_decay=0.1", "optimizer.weight_decay=0.1", "sdlm"),
    ("optimizer=sdlm optimizer.mu=0", "optimizer.mu=0", "above 0"),
    ("optimizer=sdlm optimizer.curvature_samples=0", "optimizer.curvature_samples=0", "from 1"),
    ("optimizer=sdlm optimizer.curvature_memory=1", "optimizer.curvature_memory=1", "share"),
    ("schedule.name=steps", "schedule.epochs=[]", "rising"),
    ("schedule.epochs=[1] schedule.factors=[0.5]", "schedule.epochs=[1]", "schedule.name=steps"),
    ("schedule=lenet5_1998 schedule.epochs=[2,2,8,12]", "schedule.epochs=[2, 2, 8, 12]", "rising"),
    ("schedule=lenet5_1998 schedule.factors=[0.5]", "schedule.factors=[0.5]", "[2, 5, 8, 12]"),
    ("schedule=lenet5_1998 schedule.factors=[0.5,0.4,0.3,0]", "schedule.factors=", "above 0"),
    ("test_each_epoch=true", "test_each_epoch=True", "test_on=last"),
    ("resume=runs/x/pool=max,seed=2", "runs/x/pool=max,seed=2: no run directory", "folder"),
    ("resume=''", "no run directory", "folder"),
    ("dashboard.pictures_every=0", "dashboard.pictures_every=0", "at least 1"),
    ("dashboard.histograms=maybe", "dashboard.histograms=maybe", "true or false"),
    ("dashboard.enabled=false dashboard.embedding=true", "dashboard.embedding=True", "dashboard.enabled=false"),
    (
        "test_each_epoch=true test_on=last trainer.limit_test_batches=0",
        "test_each_epoch=True",
        "trainer.limit_test_batches=0",
    ),
]


def test_bad_input_gets_one_line_with_key_and_remedy_without_torch_and_writes_nothing(answers, in_empty_folder) -> None:
    for (given, key, remedy), answer in zip(BAD, answers([given.split() for given, _, _ in BAD]), strict=True):
        assert answer["code"] == 2, (given, answer)
        assert answer["said"].count("\n") == 1, (given, answer)
        assert answer["said"].startswith("error: "), (given, answer)
        assert key in answer["said"], (given, answer)
        assert remedy in answer["said"], (given, answer)
        assert not answer["torch"], given
    assert list(in_empty_folder.iterdir()) == []


def test_a_directory_that_hydra_made_for_a_refused_run_is_taken_back(answers, in_empty_folder) -> None:
    (answer,) = answers([["hydra.run.dir=here", "data.batch_size=0"]])
    assert answer["code"] == 2
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "key"),
    [("trainer.accelerator=gpu", "trainer.accelerator=gpu"), ("trainer.devices=2", "trainer.devices=2")],
)
def test_a_device_that_is_not_there_is_named_and_nothing_is_written(in_empty_folder, given, key) -> None:
    if given.endswith("gpu"):
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available() or torch.backends.mps.is_available():
            pytest.skip("this machine has a GPU")
    done = script("train.py", given, cwd=in_empty_folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert key in done.stderr
    assert ("trainer.accelerator=cpu" if given.endswith("gpu") else "trainer.devices=1") in done.stderr
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
