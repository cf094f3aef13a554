"""What is said to bad input: one line that names it and its remedy, an exit code, and nothing on disk.

docs/bad_input.md shows all of it: uv run pytest tests/test_bad_input.py --write-docs
"""

import io
import json
import os
import pickle
import re
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import safetensors.torch
import torch

from conftest import HEAVY, PROJECT, Answer, ask
from lenet.text import one_line

PAGE = PROJECT / "docs/bad_input.md"

# Arguments of scripts/train.py, and what the answer has to name.
CONFIGS: list[tuple[str, list[str]]] = [
    ("data.batchsize=3", ["data.batchsize", "data.batch_size"]),
    ("batch_size=3", ["batch_size", "did you mean data.batch_size?"]),
    ("+data.bs=3", ["data.bs", "no such key", "data.batch_size"]),
    ("+new=1", ["new", "no such key"]),
    ("trainer.accelrator=cpu", ["trainer.accelrator", "trainer.accelerator"]),
    ("data.batch_size=x", ["data.batch_size=x", "integer"]),
    ("data.batch_size=1.5", ["data.batch_size=1.5", "integer"]),
    ("data.batch_size=null", ["data.batch_size=null", "integer"]),
    ("data.shuffle=maybe", ["data.shuffle=maybe", "true or false"]),
    ("model.conv_channels=6", ["model.conv_channels=6", "list"]),
    ("model=3", ["model=3", "model.kind"]),
    ("schedule.factors=${seed}", ["schedule.factors=0", "another type"]),
    ("learning_rate=0.1", ["learning_rate: no such key; did you mean optimizer.lr?"]),
    ("learning-rate=0.1", ["learning-rate: no such key; did you mean optimizer.lr?"]),
    ("epochs=3", ["did you mean trainer.max_epochs or schedule.epochs?"]),
    ("lr 0.1", ["lr 0.1: write optimizer.lr=0.1"]),
    ("optimizer.lr = 0.1", ["optimizer.lr = 0.1: write optimizer.lr=0.1"]),
    ("optimizer.lr= 0.1", ["optimizer.lr= 0.1: write optimizer.lr=0.1"]),
    ("optimizer.lr =0.1", ["optimizer.lr =0.1: write optimizer.lr=0.1"]),
    ("model.activation=ReLU", ["did you mean relu? choose sigmoid"]),
    ("model.init=kaimin", ["did you mean kaiming? choose xavier_uniform"]),
    ("model=relu", ["did you mean model.activation=relu? take classic"]),
    ("model=LeNet5", ["did you mean lenet5? take classic"]),
    ("experiment=books", ["did you mean book? take blog"]),
    ("data=[0,39]", ["data=[0,39]", "choose a file"]),
    ("model.pool=a\nb", ["model.pool=a\\nb"]),
    ("seed=1,2", ["seed=1,2", "-m"]),
    ("seed=-1", ["seed=-1", "0"]),
    ("xx", ["xx", "key=value"]),
    ("data.val_fraction=1", ["data.val_fraction=1", "share"]),
    ("data.val_fraction=-0.1", ["data.val_fraction=-0.1", "share"]),
    ("data.val_fraction=x", ["data.val_fraction=x", "number"]),
    ("data.val_fraction=nan", ["data.val_fraction=nan", "share"]),
    ("data.val_fraction=0.99999999", ["data.val_fraction", "left to train on"]),
    ("data.val_fraction=0.0000001", ["data.val_fraction", "held out"]),
    ("data.val_fraction=0", ["test_on=best", "test_on=last"]),
    ("data.batch_size=0", ["data.batch_size=0", "from 1"]),
    ("data.batch_size=50000 data.drop_last=true", ["data.batch_size=50000", "48000"]),
    ("data.std=0", ["data.std=0", "above 0"]),
    ("data.mean=inf", ["data.mean=inf", "finite"]),
    ("data.name=cifar", ["data.name=cifar", "mnist"]),
    ("data=cifar", ["data=cifar", "mnist"]),
    ("optimizer.lr=-0.1", ["optimizer.lr=-0.1", "above 0"]),
    ("optimizer.lr=inf", ["optimizer.lr=inf", "finite"]),
    ("optimizer.lr=nan", ["optimizer.lr=nan", "finite"]),
    ("optimizer.name=lion", ["optimizer.name=lion", "adamw"]),
    ("logger=mlfow", ["logger=mlfow: did you mean mlflow? choose csv, mlflow, wandb"]),
    (
        "logger=csv,tensorboard",
        ["logger=tensorboard: TensorBoard is written without it (dashboard.enabled); choose csv"],
    ),
    ("logger=comet", ["logger=comet: Lightning's comes with --extend FILE.py", "or choose csv"]),
    ("logger=csv,csv", ["logger=csv,csv: csv stands there twice; give it once"]),
    ("logger=null", ["logger=null: give a list of words"]),
    ("-m seed=0,1 logger=[csv],[wandb]", ["logger: makes no run different, so it cannot be swept"]),
    ("optimizer=lion", ["optimizer=lion", "adamw"]),
    ("optimizer=adam optimizer.momentum=0.9", ["optimizer.momentum=0.9", "sgd"]),
    ("optimizer.nesterov=true", ["optimizer.nesterov=True", "momentum"]),
    ("optimizer=adagrad optimizer.momentum=0.9", ["optimizer.momentum=0.9", "sgd"]),
    ("optimizer=rmsprop optimizer.momentum=0.9 optimizer.nesterov=true", ["optimizer.nesterov=True", "rmsprop"]),
    ("optimizer=adam optimizer.alpha=0.9", ["optimizer.alpha=0.9", "optimizer.name=rmsprop"]),
    ("optimizer=rmsprop optimizer.alpha=1", ["optimizer.alpha=1.0", "share"]),
    ("optimizer.rho=0.5", ["optimizer.rho=0.5", "optimizer.name=adadelta"]),
    ("optimizer.betas=[0.9]", ["optimizer.betas=[0.9]", "two"]),
    ("schedule.name=warm", ["schedule.name=warm", "one_cycle"]),
    ("model.activation=swish", ["model.activation=swish", "silu"]),
    ("model.pool=min", ["model.pool=min", "avg"]),
    ("model.norm=layer", ["model.norm=layer", "batch"]),
    ("model.init=zeros", ["model.init=zeros", "lecun"]),
    ("model.kind=alexnet", ["model.kind=alexnet", "lenet"]),
    ("model.conv_channels=[]", ["model.conv_channels=[]", "at least one"]),
    ("model.conv_channels=[6,0]", ["model.conv_channels=[6, 0]", "from 1"]),
    ("model.fc_sizes=[-3]", ["model.fc_sizes=[-3]", "from 1"]),
    ("model.kernel_size=33", ["model.kernel_size=33", "32"]),
    ("model.kernel_size=[5,15]", ["model.kernel_size=15", "14"]),
    ("model.kernel_size=[5,5,5]", ["model.kernel_size=[5, 5, 5]", "2"]),
    ("model.kernel_size=big", ["model.kernel_size=big", "integer"]),
    ("model.kernel_size=0", ["model.kernel_size=0", "from 1"]),
    ("model.padding=-1", ["model.padding=-1", "from 0"]),
    ("model.conv_channels=[6,16,32,64] model.padding=0", ["c5", "fewer"]),
    ("model.dropout=1", ["model.dropout=1", "probability"]),
    ("test_on=first", ["test_on=first", "last"]),
    ("trainer.max_epochs=0", ["trainer.max_epochs=0", "from 1"]),
    ("trainer.limit_train_batches=1.5", ["trainer.limit_train_batches=1.5", "share"]),
    ("trainer.gradient_clip_val=-1", ["trainer.gradient_clip_val=-1", "above 0"]),
    ("trainer.limit_test_batches=0.05", ["trainer.limit_test_batches=0.05", "less than one batch"]),
    ("trainer.limit_train_batches=0.001", ["trainer.limit_train_batches=0.001", "less than one batch"]),
    ("trainer.limit_train_batches=0", ["trainer.limit_train_batches=0", "less than one batch"]),
    ("schedule=plateau data.val_fraction=0 test_on=last", ["schedule.monitor=val/loss", "train/loss"]),
    ("schedule=plateau schedule.monitor=val/f1", ["schedule.monitor=val/f1", "choose val/loss, train/loss"]),
    ("schedule=plateau schedule.factor=1", ["schedule.factor=1.0", "between 0 and 1"]),
    ("schedule.patience=3", ["schedule.patience=3", "schedule.name=plateau"]),
    ("schedule=exponential schedule.gamma=0", ["schedule.gamma=0.0", "between 0 and 1"]),
    ("schedule=cosine schedule.warmup_epochs=10", ["schedule.warmup_epochs=10", "trainer.max_epochs=10"]),
    ("schedule=one_cycle schedule.warmup_epochs=1", ["schedule.warmup_epochs=1", "schedule.warmup"]),
    ("schedule=steps schedule.warmup_epochs=5", ["schedule.epochs=[5, 8]", "schedule.warmup_epochs=5"]),
    ("early_stopping.patience=3 data.val_fraction=0 test_on=last", ["early_stopping.patience=3", "data.val_fraction"]),
    ("early_stopping.patience=0", ["early_stopping.patience=0", "at least 1, or null"]),
    ("early_stopping.patience=3 early_stopping.monitor=train/loss", ["monitor=train/loss", "val/acc, val/loss"]),
    ("early_stopping.min_delta=0.1", ["early_stopping.min_delta=0.1", "set early_stopping.patience"]),
    ("trainer.max_steps=0", ["trainer.max_steps=0", "at least 1"]),
    ("trainer.max_steps=5000", ["trainer.max_steps=5000", "1,880 updates", "add trainer.max_epochs=27"]),
    ("trainer.max_steps=9 debug=run", ["trainer.max_steps=9", "trainer.fast_dev_run=true makes one update"]),
    ("trainer.max_time=tomorrow", ["trainer.max_time=tomorrow", "such as 01:30:00"]),
    ("trainer.max_time={hours:1}", ["trainer.max_time={hours:1}", "such as 01:30:00"]),
    ("trainer.max_time=00:00:00", ["trainer.max_time=00:00:00", "such as 01:30:00"]),
    ("trainer.min_epochs=5", ["trainer.min_epochs=5", "nothing stops this run early"]),
    (
        "trainer.min_epochs=11 trainer.max_time=01:00:00",
        ["trainer.min_epochs=11", "ends with epoch 10"],
    ),
    (
        "trainer.max_steps=20 trainer.min_epochs=2 trainer.max_time=01:00:00",
        ["trainer.min_epochs=2", "ends with epoch 1", "trainer.max_steps=20"],
    ),
    ("trainer.overfit_batches=0.05", ["trainer.overfit_batches=0.05", "whole number of batches: of 188", "be 9"]),
    ("trainer.overfit_batches=189", ["trainer.overfit_batches=189", "from 1 to 188"]),
    ("trainer.overfit_batches=0", ["trainer.overfit_batches=0", "from 1 to 188"]),
    (
        "trainer.overfit_batches=5 trainer.limit_train_batches=3",
        ["trainer.limit_train_batches=3", "overfit_batches=5 says"],
    ),
    ("experiment=example", ["did you mean experiment=blog?"]),
    ("debug=overfit trainer.limit_val_batches=1", ["trainer.limit_val_batches=1", "trainer.overfit_batches=1"]),
    ("debug=overfit trainer.fast_dev_run=true", ["trainer.overfit_batches=1", "fast_dev_run"]),
    ("trainer.check_val_every_n_epoch=11", ["trainer.check_val_every_n_epoch=11", "give at most 10"]),
    (
        "trainer.check_val_every_n_epoch=2 data.val_fraction=0 test_on=last",
        ["trainer.check_val_every_n_epoch=2", "nothing is validated"],
    ),
    ("trainer.num_sanity_val_steps=-2", ["trainer.num_sanity_val_steps=-2", "-1 for all"]),
    (
        "trainer.num_sanity_val_steps=2 data.val_fraction=0 test_on=last",
        ["trainer.num_sanity_val_steps=2", "nothing is validated"],
    ),
    ("trainer.gradient_clip_algorithm=value", ["trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val"]),
    ("trainer.profiler=simpel", ["trainer.profiler=simpel", "did you mean simple?", "advanced, pytorch"]),
    ("trainer.detect_anomaly=maybe", ["trainer.detect_anomaly=maybe", "true or false"]),
    ("debug=overfitting", ["debug=overfitting", "did you mean overfit?", "profile"]),
    ("schedule=one_cycle schedule.warmup=1", ["schedule.warmup=1", "share"]),
    ("schedule=one_cycle schedule.warmup=0.1 trainer.limit_train_batches=1", ["schedule.warmup=0.1", "10 updates"]),
    ("model.norm=batch data.batch_size=1", ["data.batch_size=1", "drop_last"]),
    ("model.norm=batch data.batch_size=47999", ["data.batch_size=47999", "drop_last"]),
    ("name='" + "深" * 100 + "'", ["name=深", "255 bytes"]),
    ("name=" + "n" * 300, ["name=nnn", "100"]),
    ("threads=0", ["threads=0", "from 1"]),
    ("name=../elsewhere", ["name=../elsewhere", "directory"]),
    ("name=con", ["name=con", "on Windows it stands for a device"]),
    ("name=relu.", ["name=relu.", "Windows drops a dot at the end"]),
    ("init_from=nowhere", ["init_from=nowhere: no run directory"]),
    ("init_from=''", ["init_from", "no run directory"]),
    ("init_from=a.safetensors", ["init_from=a.safetensors: no such file of weights"]),
    ("pretrained=a", ["pretrained: no such key; did you mean init_from?"]),
    ("resume=nowhere", ["resume=nowhere: no such directory", "last line"]),
    ("experiment=nothing", ["experiment=nothing", "no such choice"]),
    ("data.train_size=50000", ["data.train_size=50000", "48000"]),
    ("data.train_size=0", ["data.train_size=0", "from 1"]),
    ("data.train_size=100 data.batch_size=101 data.drop_last=true", ["data.batch_size=101", "at most 100"]),
    ("data.augment.scale=1", ["data.augment.scale=1.0", "0.9"]),
    ("data.augment.rotate=181", ["data.augment.rotate=181.0", "degrees, from 0 to 180"]),
    ("data.augment.squeeze=-0.1", ["data.augment.squeeze=-0.1", "from 0"]),
    ("data.augment.shear=nan", ["data.augment.shear=nan", "from 0"]),
    ("name=größe", ["ö has to be in quotes", "name='größe'"]),
    ("--lr 0.1", ["--lr 0.1", "optimizer.lr=0.1"]),
    ("--epochs 3", ["--epochs 3", "trainer.max_epochs=3"]),
    ("--batch-size=64", ["--batch-size=64", "data.batch_size=64"]),
    ("--foo", ["--foo", "key=value"]),
    ("--config-name=nope", ["--config-name=nope", "leave it out"]),
    ("hydra/launcher=joblib", ["hydra/launcher=joblib", "-m or sweep=NAME"]),
    ("hydra.sweeper.seeds=3", ["hydra.sweeper.seeds=3", "-m or sweep=NAME"]),
    ("+hydra.callbacks.x._target_=joblib.load", ["hydra.callbacks.x._target_=joblib.load", "names no code"]),
    ("hydra.launcher._target_=pathlib.Path.touch", ["hydra.launcher._target_=pathlib.Path.touch", "joblib"]),
    ("+hydra.job_logging.handlers.x.class=joblib.load", ["hydra.job_logging.handlers.x.class=joblib.load"]),
    ("+hydra.job.env_set.LD_PRELOAD=x.so", ["hydra.job.env_set.LD_PRELOAD=x.so", "before the command"]),
    ("--experimental-rerun run.pickle", ["--experimental-rerun run.pickle", "resume=RUN_DIR"]),
    ("model=lenet5 data.pad=0", ["data.pad=0", "2"]),
    ("model.kind=lenet5", ["model.init=xavier_uniform", "sqrt_fan_in"]),
    ("experiment=lenet5_1998 model.init=kaiming", ["model.init=kaiming", "fan_in"]),
    ("model.init=fan_in", ["model.init=fan_in", "xavier_uniform"]),
    ("experiment=lenet5_1998 model.pool=max", ["model.pool=max", "subsample"]),
    ("experiment=lenet5_1998 model.conv_channels=[6,16,120]", ["model.conv_channels=[6, 16, 120]", "[6, 16]"]),
    ("experiment=lenet5_1998 data.pad=4", ["data.pad=4", "2"]),
    ("loss.name=mse", ["loss.name=mse", "cross_entropy"]),
    ("loss.name=hinge", ["loss.name=hinge", "map"]),
    ("experiment=lenet5_1998 loss.name=map loss.j=inf", ["loss.j=inf", "1000"]),
    ("experiment=lenet5_1998 loss.j=5", ["loss.j=5.0", "loss.name=map"]),
    ("experiment=lenet5_1998 schedule.name=cosine", ["schedule.epochs=[2, 5, 8, 12]", "schedule.epochs=[]"]),
    ("optimizer=sdlm model.norm=batch", ["model.norm=batch", "second derivatives"]),
    ("optimizer=sdlm optimizer.weight_decay=0.1", ["optimizer.weight_decay=0.1", "sdlm"]),
    ("optimizer=sdlm optimizer.mu=0", ["optimizer.mu=0", "above 0"]),
    ("optimizer=sdlm optimizer.curvature_samples=0", ["optimizer.curvature_samples=0", "from 1"]),
    ("optimizer=sdlm optimizer.curvature_memory=1", ["optimizer.curvature_memory=1", "share"]),
    ("schedule.name=steps", ["schedule.epochs=[]", "rising"]),
    ("schedule.epochs=[1] schedule.factors=[0.5]", ["schedule.epochs=[1]", "schedule.name=steps"]),
    ("schedule=lenet5_1998 schedule.epochs=[2,2,8,12]", ["schedule.epochs=[2, 2, 8, 12]", "rising"]),
    ("schedule=lenet5_1998 schedule.factors=[0.5]", ["schedule.factors=[0.5]", "[2, 5, 8, 12]"]),
    ("schedule=lenet5_1998 schedule.factors=[0.5,0.4,0.3,0]", ["schedule.factors=", "above 0"]),
    ("test_each_epoch=true", ["test_each_epoch=True", "test_on=last"]),
    ("resume=runs/x/pool=max,seed=2", ["resume=runs/x/pool=max,seed=2: no such directory"]),
    ("resume=''", ["no run directory", "folder"]),
    ("dashboard.pictures_every=0", ["dashboard.pictures_every=0", "at least 1"]),
    ("dashboard.histograms=maybe", ["dashboard.histograms=maybe", "true or false"]),
    ("dashboard.enabled=false dashboard.embedding=true", ["dashboard.embedding=True", "dashboard.enabled=false"]),
    (
        "test_each_epoch=true test_on=last trainer.limit_test_batches=0",
        ["test_each_epoch=True", "trainer.limit_test_batches=0"],
    ),
    ("data.augment.erase=1.1", ["data.augment.erase=1.1", "probability"]),
    ("data.augment.erase_area=0.3", ["data.augment.erase_area=0.3", "data.augment.erase"]),
    ("data.augment.erase_area=0.01", ["data.augment.erase_area=0.01", "0.02"]),
    ("loss.label_smoothing=1", ["loss.label_smoothing=1", "share"]),
    ("experiment=lenet5_1998 loss.label_smoothing=0.1", ["loss.label_smoothing=0.1", "cross_entropy"]),
    ("optimizer.decay_biases=false", ["optimizer.decay_biases=False", "optimizer.weight_decay"]),
    ("optimizer.swa_start=11", ["optimizer.swa_start=11", "trainer.max_epochs"]),
    ("optimizer.swa_start=0", ["optimizer.swa_start=0", "from 1"]),
    ("optimizer.swa_start=1.0", ["optimizer.swa_start=1.0", "share"]),
    ("optimizer.swa_start=5 optimizer.ema_decay=0.9", ["optimizer.swa_start=5", "optimizer.ema_decay"]),
    ("optimizer.ema_decay=1", ["optimizer.ema_decay=1.0", "between 0 and 1"]),
    ("optimizer.ema_decay=0.9 trainer.precision=bf16-true", ["optimizer.ema_decay=0.9", "bf16-true"]),
    ("model.convs_per_block=0", ["model.convs_per_block=0", "from 1"]),
    ("model.convs_per_block=[1,2,2]", ["model.convs_per_block=[1, 2, 2]", "2"]),
    ("model.convs_per_block=4", ["model.kernel_size=5", "c9", "model.convs_per_block"]),
    ("model.conv_channels=[100000,100000]", ["parameters", "smaller layers"]),
    ("model.conv_channels=[5000] model.padding=0", ["model.conv_channels=[5000]", "fewer maps"]),
    ("data.pad=100 data.batch_size=5000", ["data.batch_size=5000", "at most"]),
    ("~optimizer.lr", ["~optimizer.lr", "give optimizer.lr another value"]),
    ("~data", ["~data", "leave the word out"]),
    ("seed=[0,1,2]", ["write -m seed=0,1,2 for a run with each"]),
    ("seed=3-4", ['write -m "seed=range(3,5)"']),
    ("model.pool=[avg,max]", ["write -m model.pool=avg,max"]),
    ("threads.x=1", ["threads.x=1", "threads has no keys below it", "give an integer or null"]),
    ("sweep=pooling,kernel_size", ["one command runs one sweep", "sweep=pooling, then sweep=kernel_size"]),
    ("--config-path=x", ["--config-path=x", "--config-dir=FOLDER"]),
    ("--config-path=../docs", ["has no train.yaml", "--config-dir=FOLDER"]),
    ("hydra.run.dir=.", ["hydra.run.dir=.", "name a folder in this one"]),
    ("hydra.job.env_set.A=1", ["hydra.job.env_set.A", "write A=... before the command"]),
    ("hydra.launcher.n_jobs=4", ["hydra.launcher.n_jobs", "hydra/launcher=joblib"]),
    ("callbacks=early_stopping", ["callbacks: no such key", "--extend FILE.py"]),
    ("+callbacks.early_stopping.patience=5", ["callbacks.early_stopping.patience", "--extend FILE.py"]),
    ("trainer.val_check_interval=0.5", ["trainer.val_check_interval", "trainer.limit_train_batches=0.5"]),
    ("trainer.enable_checkpointing=false", ["trainer.enable_checkpointing", "leave it out"]),
    ("trainer=gpu", ["did you mean trainer.accelerator=gpu?"]),
    ("trainer=ddp_sim", ["trainer.strategy=ddp trainer.accelerator=cpu trainer.devices=2"]),
    ("trainer.strategy=ddp_spawn", ["did you mean ddp?"]),
    ("trainer.gpus=2", ["did you mean trainer.devices?"]),
    ("model.optimizer.lr=0.1", ["model.optimizer.lr: no such key; did you mean optimizer.lr?"]),
    ("model.net.lin1_size=64", ["model.net.lin1_size", "model.fc_sizes=[120,84]"]),
    ("data.num_workers=4", ["data.num_workers", "leave it out"]),
    ("paths.data_dir=x", ["did you mean data.root?"]),
    ("ckpt_path=x.ckpt", ["did you mean resume?"]),
    ("hparams_search=mnist_optuna", ["hparams_search", "sweep=NAME"]),
    ("loss=mse", ["did you mean loss.name=mse?"]),
    ("data=fmnist", ["did you mean fashion_mnist?"]),
    ("--num_workers 4", ["--num_workers 4: no such option", "leave it out"]),
    # Not here: what depends on this machine, which test_demands.py asks for.
    ("trainer.devices=0", ["trainer.devices=0", "at least 1"]),
    ("trainer.devices=-2", ["trainer.devices=-2", "at least 1"]),
    ("trainer.devices=many", ["trainer.devices=many", "'0,1'"]),
    ("trainer.strategy=nonsense", ["trainer.strategy=nonsense: choose auto, ddp"]),
    ("trainer.strategy=ddp_spawn trainer.devices=2", ["trainer.strategy=ddp_spawn", "ddp"]),
    (
        "model.norm=batch data.train_size=130 data.batch_size=128 trainer.devices=2 trainer.accelerator=cpu",
        ["data.batch_size=128", "2 devices", "batch of 2", "data.drop_last=true"],
    ),
    (
        "model.norm=batch test_each_epoch=true test_on=last trainer.devices=2 trainer.accelerator=cpu",
        ["test_each_epoch=True", "no single net"],
    ),
    ("data.root=/dev/null/data", ["data.root=/dev/null/data", "/dev/null is no folder", "LENET_DATA"]),
]

SWEEPS: list[tuple[str, list[str]]] = [
    ("-m model.pol=avg,max", ["model.pol", "model.pool"]),
    ("-m +new=1,2", ["new", "no such key"]),
    ("-m seed=range(0)", ["seed=[]", "give one or more"]),
    ("-m optimizer.lr=range(0)", ["lr=[]", "at least one"]),
    ("-m model.pool=choice()", ["model.pool=choice()", "key=value"]),
    ("-m hydra.sweeper.design=paired model.pool=avg,max optimizer.lr=0.1,0.2,0.3", ["pool has 2", "lr has 3"]),
    ("-m hydra.sweeper.design=latin seed=1,2", ["latin", "one_at_a_time"]),
    ("-m hydra.sweeper.design=one-at-a-time seed=1,2", ["did you mean one_at_a_time?"]),
    ("-m model.pool avg,max", ["model.pool avg,max: write model.pool=avg,max"]),
    ("-m model.activation=tanh,Relu", ["did you mean relu?"]),
    ("sweep=poolin", ["did you mean pooling? take"]),
    ("-m model.kernel_size=3,33,34", ["kernel_size=33", "32x32", "1 more of 3", "nothing was started"]),
    ("-m optimizer.lr=interval(0,1)", ["optimizer.lr=interval(0,1)", "range"]),
    ("-m optimizer.lr=0.1,abc", ["optimizer.lr=abc", "number"]),
    ("-m model=classic,foo", ["model=foo", "modern"]),
    ("-m seed=1.5,2", ["seed=[1.5, 2]", "integers"]),
    ("-m seed=0,1 data.val_fraction=0", ["test_on=best", "test_on=last"]),
    ("sweep=nothing", ["sweep=nothing", "pooling"]),
    ("sweep=pooling hydra.sweeper.seeds=0", ["hydra.sweeper.seeds=0", "at least 1"]),
    ("sweep=pooling hydra.sweeper.seeds=x", ["hydra.sweeper.seeds", "x"]),
    ("sweep=pooling resume=runs/x", ["resume", "by itself"]),
    (
        "sweep=pooling hydra/launcher=joblib hydra.launcher.n_jbs=2",
        ["hydra.launcher.n_jbs", "hydra.launcher.n_jobs", "--cfg hydra"],
    ),
    (
        "sweep=pooling hydra/launcher=slurm hydra.launcher.additional_parameters.nice=1",
        ["hydra.launcher.additional_parameters.nice", "a + before it"],
    ),
    ("sweep=pooling hydra/launcher=nix", ["hydra/launcher=nix", "joblib"]),
    ("sweep=conv_layers model.padding=1", ["model.padding", "conv_layers", "command line"]),
    ("-m sweep=pooling,channels", ["sweep=pooling, then sweep=channels"]),
    ("-m seed=[0,1,2]", ["write -m seed=0,1,2 for a run with each"]),
    ("-m seed=0-4", ['write -m "seed=range(5)"']),
    ("-m model.optimizer.lr=0.1,0.2", ["model.optimizer.lr: no such key; did you mean optimizer.lr?"]),
    ("-m seed=0,1 hydra.run.dir=x", ["hydra.run.dir=x", "hydra.sweep.dir=x"]),
    ("-m name=a,b", ["name", "cannot be swept"]),
    ("-m seed=1,2 hydra.sweeper.max_batch_size=-1", ["hydra.sweeper.max_batch_size=-1", "at least 1"]),
    ("-m seed=1,2 trainer.devices=2", ["trainer.devices=2", "one device"]),
    ("-m seed=1,2 trainer.strategy=ddp", ["trainer.strategy=ddp", "one device"]),
    ("sweep=activation model.activation=tanh,relu", ["activation", "two parameters"]),
    ("-m +hydra.sweeper.params.x={a:{seed:1}} hydra.sweeper.seeds=2", ["seed", "x"]),
    ("-m model.kernel_size=5,[5] model.conv_channels=[6] model.padding=2", ["kernel_size=5", "2 jobs"]),
    ("-m +hydra.sweeper.params.pool.one=max seed=1,2", ["hydra.sweeper.params.pool.one", "model.pool"]),
    ("-m +hydra.sweeper.params.x={a:{optimizer.lr:1}} optimizer.lr=0.1,0.2", ["optimizer.lr", "x"]),
    ("-m optimizer.lr=range(0.0,nan,0.5)", ["lr=range(0.0,nan,0.5)", "give finite numbers"]),
    ("-m seed=range(0,1,0)", ["seed=range(0,1,0)", "a step other than 0"]),
    ("-m optimizer.lr=range(0.1,0.5,0.1),0.7", ["stand alone", "write optimizer.lr=0.1,0.2,0.3,0.4,0.7"]),
    ("-m seed=7,range(3)", ["seed=7,range(3): range(...) and glob(...) stand", "write seed=7,0,1,2"]),
    ("-m seed=range(9999),7", ["seed=range(9999),7: range(...) and glob(...) stand", "give all values one by one"]),
    ("-m seed=range(100001)", ["seed=range(100001)", "at most 100,000"]),
]


def png(width: int, height: int, content: bytes = b"") -> bytes:
    """A grey PNG that says that it has this size, whatever its content."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


class Evil:
    """Unpickled, it would make a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (Path("hacked"),)


Prepare = Callable[[Path], None]


def instead(make: Callable[[Path], object], *names: str) -> Prepare:
    """Put something else in the place of files."""

    def prepare(folder: Path) -> None:
        for path in (path for name in names for path in sorted(folder.glob(name)) or [folder / name]):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.rename(folder / f"theirs_{path.name}")
            make(path)

    return prepare


def pipe(*names: str) -> Prepare:
    return instead(os.mkfifo, *names)


def link(name: str) -> Prepare:
    """Let a file of the run be a link to one that lies beside the run."""
    return instead(lambda path: path.symlink_to(f"../theirs_{path.name}"), name)


def other_root(folder: Path) -> None:
    path = folder / "run/config.yaml"
    path.write_text(re.sub(r"root: .*", "root: theirs/data", path.read_text()))


def weights_of_another_net(folder: Path) -> None:
    config = (folder / "run/config.yaml").read_text().replace("  - 6\n  - 16\n", "  - 90\n  - 900\n")
    header = {"config": config, "result": (folder / "run/result.json").read_text(), "weights": "best"}
    safetensors.torch.save_file({"c1.weight": torch.zeros(6, 1, 5, 5)}, folder / "net.safetensors", header)


def put(name: str, content: bytes | str) -> Prepare:
    """Write a file in the folder of a case."""

    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def config_with(line: str) -> Prepare:
    """Another line at the end of run/config.yaml."""

    def append(folder: Path) -> None:
        with (folder / "run/config.yaml").open("a") as file:
            file.write(line + "\n")

    return append


def config_instead(old: str, new: str) -> Prepare:
    """Other words in run/config.yaml."""

    def edit(folder: Path) -> None:
        text = (folder / "run/config.yaml").read_text()
        assert old in text
        (folder / "run/config.yaml").write_text(text.replace(old, new))

    return edit


def a_sweep(**changes: object) -> Prepare:
    """A sweep over pooling, otherwise than we write it."""
    job = {"name": "pool=avg", "setting": "pool=avg", "levels": {"pool": "avg"}, "seed": 0, "overrides": [],
           "epochs": 1, "parameters": 1, "macs": 1}  # fmt: skip
    sweep = {"design": "grid", "parameters": {"pool": ["avg"]}, "baseline": {"pool": "avg"}, "jobs": [job]}
    return put("sweep/sweep.json", json.dumps(sweep | changes))


def result_with(**changes: object) -> Prepare:
    def change(folder: Path) -> None:
        path = folder / "run/result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def checkpoints(change: Callable[[bytes], bytes]) -> Prepare:
    """Do the same to both checkpoints."""

    def apply(folder: Path) -> None:
        for path in (folder / "run/checkpoints").iterdir():
            path.write_bytes(change(path.read_bytes()))

    return apply


def saved(content: object) -> Callable[[bytes], bytes]:
    file = io.BytesIO()
    torch.save(content, file)
    return lambda _: file.getvalue()


def edited(change: Callable[[dict], None]) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        checkpoint = torch.load(io.BytesIO(content), weights_only=True)
        change(checkpoint)
        return saved(checkpoint)(b"")

    return edit


def packed(content: bytes) -> bytes:
    """The same ZIP file, compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return file.getvalue()


def flipped(content: bytes) -> bytes:
    """One bit of a weight is another."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    place = content.index(largest.filename.encode(), largest.header_offset) + len(largest.filename) + 200
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


def reshape(checkpoint: dict) -> None:
    checkpoint["state_dict"]["net.c1.weight"] = torch.zeros(9, 1, 5, 5)


def astronomic(checkpoint: dict) -> None:
    weight = checkpoint["state_dict"]["net.c1.weight"]
    checkpoint["state_dict"]["net.c1.weight"] = weight.flatten()[:1].expand(10**5, 10**5, 10, 10)


def laughs() -> str:
    """A billion words in twenty lines of YAML."""
    lines = ["tags:", "- &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"- &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]" for i in range(9)]
    return "\n".join(lines) + "\n"


IMAGES = "data/FashionMNIST/raw/train-images-idx3-ubyte"
EVALUATE, RESUME, REPORT = "evaluate.py run", "train.py resume=run", "report.py sweep"
SHOW = "activations.py run --image picture.png"

# What lies in the folder, in words; how it is made; the command; what the answer has to name.
FILES: list[tuple[str, Prepare | None, str, list[str]]] = [
    ("config.yaml has a key that there is not", config_with("hobby: chess"), EVALUATE, ["config.yaml", "hobby"]),
    ("config.yaml has a `_target_`", config_with("_target_: os.system"), EVALUATE, ["config.yaml", "_target_"]),
    ("config.yaml has a `_target_` within a group",
     put("run/config.yaml", "model: {_target_: os.system, command: touch x}"), RESUME, ["config.yaml", "_target_"]),
    ("config.yaml has a Python object",
     put("run/config.yaml", "name: !!python/object/apply:os.system [touch hacked]"), RESUME, ["config.yaml", "a tag"]),
    ("config.yaml asks for an environment variable", put("run/config.yaml", "name: ${oc.env:HOME}"), EVALUATE,
     ["config.yaml", "${oc.env:HOME}"]),
    ("config.yaml is a billion laughs", put("run/config.yaml", laughs()), EVALUATE, ["config.yaml", "a reference"]),
    ("config.yaml is a pipe", pipe("run/config.yaml"), EVALUATE, ["config.yaml", "no regular file"]),
    ("config.yaml names a folder for the data that is not there", other_root, EVALUATE,
     ["data.root=theirs/data", "--data-root"]),
    ("config.yaml names a folder for the data that is not there", other_root, "activations.py run",
     ["data.root=theirs/data", "--data-root"]),
    ("config.yaml is a link", link("run/config.yaml"), RESUME,
     ["run/config.yaml", "../theirs_config.yaml", "remove it"]),
    ("train.log is a link", link("run/train.log"), RESUME, ["run/train.log", "../theirs_train.log", "remove it"]),
    ("train.log is a pipe", pipe("run/train.log"), RESUME, ["run/train.log", "no regular file", "remove it"]),
    ("checkpoints is a link", link("run/checkpoints"), RESUME,
     ["run/checkpoints", "../theirs_checkpoints", "remove it"]),
    ("an event file is a link", link("run/events.out.tfevents.1"), RESUME,
     ["run/events.out.tfevents.1", "../theirs_", "remove it"]),
    ("an event file is a pipe", pipe("run/events.out.tfevents.1"), "dashboard.py run",
     ["events.out.tfevents.1", "no regular file", "remove it"]),
    ("config.yaml is 30,000 lists within lists", put("run/config.yaml", "tags: " + "[" * 30_000 + "]" * 30_000),
     EVALUATE, ["config.yaml", "values within values"]),
    ("config.yaml has 10 MB", put("run/config.yaml", "tags: [" + "x, " * 3_000_000 + "]"), EVALUATE,
     ["config.yaml", "100,000 bytes"]),
    ("config.yaml is empty", put("run/config.yaml", ""), RESUME, ["config.yaml", "seed, data, model", "missing"]),
    ("config.yaml is cut off", lambda folder: (folder / "run/config.yaml").write_text(
        (folder / "run/config.yaml").read_text().partition("loss:")[0]), EVALUATE, ["config.yaml", "missing"]),
    ("config.yaml is no YAML", put("run/config.yaml", "model: ["), EVALUATE, ["config.yaml"]),
    ("config.yaml is a list", put("run/config.yaml", "- 1\n- 2"), EVALUATE, ["config.yaml"]),
    ("config.yaml is no text", put("run/config.yaml", b"\xff\xfe\0"), EVALUATE, ["config.yaml", "utf-8"]),
    ("config.yaml has a word for a number", put("run/config.yaml", "seed: many"), RESUME, ["config.yaml", "many"]),
    ("config.yaml has a seed of 5,000 digits", put("run/config.yaml", "seed: " + "9" * 5000), EVALUATE,
     ["config.yaml"]),
    ("config.yaml describes a net that cannot be", config_instead("kernel_size: 5", "kernel_size: 33"), EVALUATE,
     ["config.yaml", "kernel_size=33"]),
    ("config.yaml describes a net of ten billion parameters",
     config_instead("  - 6\n  - 16\n", "  - 20000\n  - 20000\n"), EVALUATE, ["config.yaml", "parameters"]),
    ("config.yaml describes another net", config_instead("  - 6\n  - 16\n", "  - 6\n  - 17\n"), EVALUATE,
     ["best.ckpt", "another net"]),
    ("result.json is cut off", put("run/result.json", '{"status": "comp'), EVALUATE,
     ["without a result", "resume=run"]),
    ("result.json is 100,000 lists within lists", put("run/result.json", "[" * 100_000 + "]" * 100_000), EVALUATE,
     ["without a result"]),
    ("result.json has words for metrics", result_with(metrics={"test/acc": "good"}), EVALUATE, ["without a result"]),
    ("the run was interrupted", result_with(status="interrupted"), EVALUATE, ["interrupted", "resume=run"]),
    ("the run is completed", None, RESUME, ["resume=run", "trainer.max_epochs=1; give a larger"]),
    ("the run is completed", None, RESUME + " seed=3", ["seed=3", "keeps its config"]),
    ("metrics.csv is no table", put("run/metrics.csv", "epoch,val/acc\n1,good\n"), RESUME + " trainer.max_epochs=2",
     ["metrics.csv"]),
    ("metrics.csv has an epoch twice", put("run/metrics.csv", "epoch,val/acc\n1,0.5\n1,0.5\n"),
     RESUME + " trainer.max_epochs=3", ["metrics.csv", "1, 2, 3"]),
    ("both checkpoints are pickles that run a command", checkpoints(lambda _: pickle.dumps(Evil())), EVALUATE,
     ["best.ckpt", "not a whole checkpoint"]),
    ("both checkpoints hold an object that would run a command", checkpoints(saved({"epoch": 1, "state_dict": Evil()})),
     RESUME + " trainer.max_epochs=2", ["last.ckpt", "best.ckpt", "start the run again"]),
    ("both checkpoints are pipes", pipe("run/checkpoints/*"), EVALUATE, ["best.ckpt", "not a whole checkpoint"]),
    ("both checkpoints are truncated", checkpoints(lambda content: content[:-500]), RESUME + " trainer.max_epochs=2",
     ["last.ckpt", "best.ckpt", "start the run again"]),
    ("both checkpoints are empty", checkpoints(lambda _: b""), EVALUATE, ["best.ckpt", "not a whole checkpoint"]),
    ("both checkpoints are gone", lambda folder: shutil.rmtree(folder / "run/checkpoints"), RESUME,
     ["last.ckpt", "best.ckpt", "start the run again"]),
    ("a bit of each checkpoint is another", checkpoints(flipped), EVALUATE, ["best.ckpt", "not a whole checkpoint"]),
    ("both checkpoints are compressed, as a bomb would be", checkpoints(packed), EVALUATE,
     ["best.ckpt", "not a whole checkpoint"]),
    ("both checkpoints are of another net", checkpoints(edited(reshape)), EVALUATE, ["best.ckpt", "another net"]),
    ("both checkpoints have a weight of ten to the twelve numbers", checkpoints(edited(astronomic)), EVALUATE,
     ["best.ckpt", "another net"]),
    ("both checkpoints have words for weights", checkpoints(saved({"epoch": 0, "state_dict": {"net.c1.weight": "x"}})),
     EVALUATE, ["best.ckpt", "another net"]),
    ("both checkpoints have no weights", checkpoints(edited(lambda content: content.pop("state_dict"))), EVALUATE,
     ["best.ckpt", "not a checkpoint of ours"]),
    ("both checkpoints are lists", checkpoints(saved([1, 2])), EVALUATE, ["best.ckpt", "not a checkpoint of ours"]),
    ("both checkpoints are of epoch many", checkpoints(edited(lambda content: content.update(epoch="many"))), EVALUATE,
     ["best.ckpt", "not a checkpoint of ours"]),
    ("sweep.json is no JSON", put("sweep/sweep.json", "{"), REPORT, ["sweep/sweep.json"]),
    ("sweep.json lists a job that lies elsewhere",
     put("sweep/sweep.json", json.dumps({"design": "grid", "parameters": {}, "baseline": {}, "jobs": [
         {"name": "../run", "setting": "", "levels": {}, "seed": 0, "overrides": [], "epochs": 1, "parameters": 1,
          "macs": 1}]})), REPORT, ["sweep/sweep.json"]),
    ("sweep.json has no jobs", a_sweep(jobs=[]), REPORT, ["sweep/sweep.json", "it has no jobs", "remove it"]),
    ("sweep.json has a baseline without its parameter", a_sweep(baseline={}), REPORT,
     ["sweep/sweep.json", "its baseline varies other parameters"]),
    ("sweep.json has a parameter that its jobs do not vary", a_sweep(parameters={"pool": ["avg"], "zzz": ["1"]}),
     REPORT, ["sweep/sweep.json", "varies other parameters than the sweep"]),
    ("sweep.json has a label of 100,000 characters", a_sweep(parameters={"pool": ["avg", "x" * 100_000]}), REPORT,
     ["sweep/sweep.json", "100,000 characters", "500"]),
    ("sweep.json has a label that writes backwards", a_sweep(parameters={"pool": ["avg", "\u202egpj"]}), REPORT,
     ["sweep/sweep.json", "cannot be printed"]),
    ("there is no sweep", None, REPORT, ["sweep: no sweep", "name the folder"]),
    ("there is no sweep", None, "published.py run", ["run: no sweep"]),
    ("an IDX file is cut off", put(IMAGES, struct.pack(">4B3I", 0, 0, 8, 3, 60_000, 28, 28) + bytes(100)),
     "train.py data.root=data", [IMAGES, "truncated", "delete it"]),
    ("an IDX file says that it has 2**96 pixels", put(IMAGES, bytes([0, 0, 8, 3]) + b"\xff" * 12),
     "train.py data.root=data", [IMAGES, "truncated", "delete it"]),
    ("an IDX file is a page of text", put(IMAGES, "<html>404 not found</html>"), "train.py data.root=data",
     [IMAGES, "not an IDX file", "delete it"]),
    ("an IDX file is compressed", put(IMAGES, b"\x1f\x8b" + bytes(100)), "train.py data.root=data",
     [IMAGES, "still compressed", "gunzip"]),
    ("an IDX file is a pipe", pipe(IMAGES), "train.py data.root=data", [IMAGES, "no regular file", "delete it"]),
    ("an IDX file is empty", put(IMAGES, b""), "train.py data.root=data", [IMAGES, "truncated: 0 bytes", "delete it"]),
    ("an IDX file has other images", put(IMAGES, struct.pack(">4B3I", 0, 0, 8, 3, 1, 28, 28) + bytes(784)),
     "train.py data.root=data", [IMAGES, "corrupted", "delete it"]),
    ("the data folder is one of pictures", put("data/cat/1.png", png(99, 99)), "train.py data.root=data",
     ["data.root=data: a folder of pictures (cat", "scripts/activations.py"]),
    ("a file of weights", put("net.safetensors", ""), "train.py resume=net.safetensors",
     ["resume=net.safetensors", "scripts/evaluate.py", "start a new run"]),
    ("", None, "train.py init_from=run model.norm=batch model.pool=max",
     ["init_from=run: has model.pool=avg model.norm=none", "give model.pool=avg model.norm=none"]),
    ("", None, "train.py init_from=run/checkpoints/last.ckpt", ["init_from=run/checkpoints/last.ckpt", "name run"]),
    ("the run was interrupted", result_with(status="interrupted"), "train.py init_from=run",
     ["init_from=run: this run is interrupted", "finish it"]),
    ("", None, "train.py resume=run/checkpoints/last.ckpt", ["last.ckpt: no run directory", "name run"]),
    ("", None, "export.py run run/config.yaml/net.onnx", ["net.onnx", "name a file that can be written"]),
    ("", None, "export.py run /proc/net.pt2", ["/proc/net.pt2", "name a file that can be written"]),
    ("a file lies where the data folder should be", put("data", ""), "train.py data.root=data",
     ["data.root=data", "LENET_DATA"]),
    ("a picture of 50,000 x 50,000 pixels", put("picture.png", png(50_000, 50_000)), SHOW,
     ["picture.png", "smaller picture"]),
    ("a picture of 13,000 x 13,000 pixels", put("picture.png", png(13_000, 13_000, bytes(13_001 * 100))), SHOW,
     ["picture.png"]),
    ("a picture that is no picture", put("picture.png", "words"), SHOW, ["picture.png", "not a picture"]),
    ("a picture that is empty", put("picture.png", b""), SHOW, ["picture.png", "not a picture"]),
    ("a picture that is a pipe", pipe("picture.png"), SHOW, ["picture.png", "no regular file"]),
    ("a picture that is cut off", put("picture.png", png(99, 99)), SHOW, ["picture.png", "cannot be read"]),
    ("there is no picture", None, SHOW, ["picture.png", "No such file"]),
    ("a picture of one colour", put("black.png", png(60, 60, bytes(61 * 60))), "predict.py run black.png",
     ["black.png", "all of one colour"]),
    ("a picture of 50,000 pixels in a row", put("long.png", png(50_000, 9)), "predict.py run long.png",
     ["long.png", "50,000x9", "give the part"]),
    ("a picture is a text", put("words.png", "words"), "predict.py run words.png", ["words.png: not a picture"]),
    ("", None, "predict.py run", ["PICTURE"]),
    ("", None, "predict.py run --csv --json picture.png", ["--json", "--csv"]),
    ("", None, "predict.py run --out seen.png picture.png", ["--out seen.png", "--show"]),
    ("", None, "predict.py nowhere picture.png", ["nowhere", "no run directory"]),
    ("", None, "activations.py run --classes sweater", ["--classes sweater", "pullover"]),
    ("", None, "activations.py run --images 10000", ["--images 10000", "0 to 9999"]),
    ("", None, "activations.py run --images many", ["--images", "many"]),
    ("", None, "activations.py run --invert", ["--invert", "--image"]),
    ("", None, "activations.py run --out nowhere/x.png", ["--out nowhere/x.png"]),
    ("", None, "activations.py run --noise --out x.nix", ["--out x.nix", ".png"]),
    ("", None, "evaluate.py", ["run"]),
    ("", None, "evaluate.py nowhere.safetensors", ["nowhere.safetensors", "scripts/export.py"]),
    ("a file of weights is none", put("net.safetensors", b"x" * 50), "evaluate.py net.safetensors", ["not a file"]),
    ("a file of weights is a pipe", pipe("net.safetensors"), "evaluate.py net.safetensors", ["net.safetensors"]),
    ("a file of weights has a config of a larger net than its own", weights_of_another_net,
     "evaluate.py net.safetensors", ["net.safetensors", "not a file of weights of ours"]),
    ("", None, "export.py run net.pt", ["net.pt", ".safetensors", ".onnx", ".pt2"]),
    ("", None, "records.py run", ["run"]),
    ("", None, "evaluate.py nowhere", ["nowhere", "no run directory"]),
    ("", None, "evaluate.py run --part training", ["--part", "training", "validation"]),
    ("", None, "evaluate.py run --weights first", ["--weights", "first", "best"]),
    ("", None, "evaluate.py run --fast", ["--fast"]),
    ("", None, "dashboard.py nowhere", ["nowhere", "no such directory"]),
    ("", None, "dashboard.py run --port 70000", ["--port 70000", "65535"]),
    ("", None, "dashboard.py run --port x", ["--port", "x"]),
    ("no run wrote anything for TensorBoard", put("empty/x", ""), "dashboard.py empty", ["empty", "dashboard.enabled"]),
    ("", None, "playground.py", ["run"]),
    ("", None, "playground.py run run other", ["other", "two runs"]),
    ("", None, "playground.py run --port 70000", ["--port 70000", "65535"]),
    ("", None, "playground.py run --html play.html --port 8028", ["--port 8028", "a file needs no port"]),
    ("", None, "playground.py run --html nowhere/play.html", ["--html nowhere/play.html", "no folder nowhere"]),
    ("", None, "report.py", ["directory"]),
    ("", None, "benchmark.py --only fastest", ["--only fastest", "book"]),
    ("", None, "benchmark.py --rounds 0", ["--rounds", "0"]),
    ("", None, "benchmark.py epoch", ["epoch", "epochs"]),
    ("", None, "benchmark.py --json nowhere/speed.json", ["--json nowhere/speed.json", "no folder"]),
    ("", None, "summary.py model.kernel_size=40", ["kernel_size=40"]),
    ("", None, "initial.py model=lenet6", ["model=lenet6"]),
    ("the run directory is a file", put("file", ""), "train.py hydra.run.dir=file",
     ["hydra.run.dir: file", "can be made"]),
    ("", None, "train.py hydra.run.dir=/proc/run", ["hydra.run.dir", "/proc/run", "can be made"]),
]  # fmt: skip


def wrong(words: Sequence[str], answer: Answer) -> str:
    """What is wrong with an answer to bad input; nothing, as it should be."""
    said = answer["said"]
    reasons = {
        f"exit code {answer['code']}": answer["code"] != 2,
        "not one line": said.count("\n") != 1 or not said.startswith("error: "),
        f"{answer['megabytes']} MB": answer["megabytes"] > 1500,
        **{f"does not say {word}": word not in said for word in words},
    }
    found = [reason for reason, holds in reasons.items() if holds]
    return f"{', '.join(found)}: {said}" if found else ""


def rows_of(title: str, given: Sequence[str], answers: Sequence[Answer]) -> str:
    def cell(text: str) -> str:
        short = text if len(text) < 400 else f"{text[:80]} ... {text[-160:]}"
        return short.replace("|", "\\|").replace("<", "&lt;")

    lines = [f"## {title}", "", "| given | said | exit code |", "| --- | --- | --- |"]
    for text, answer in zip(given, answers, strict=True):
        lines.append(f"| {cell(text)} | {cell(answer['said'].strip())} | {answer['code']} |")
    return "\n".join(lines) + "\n"


@pytest.fixture
def documented(request: pytest.FixtureRequest) -> Callable[[str, Sequence[str], Sequence[Answer]], None]:
    """A section of the page is what was said just now; with --write-docs it is made so."""

    def check(title: str, given: Sequence[str], answers: Sequence[Answer]) -> None:
        if sys.version_info[:2] != (3, 11):
            return  # argparse and the system have other words in each version
        section, page = rows_of(title, given, answers), PAGE.read_text()
        if request.config.getoption("--write-docs"):
            before, _, rest = page.partition(f"## {title}\n")
            after = rest.find("\n## ")
            page = before + section + (rest[after:] if after >= 0 else "")
            PAGE.write_text(page)
        assert section in page, f"docs/bad_input.md says something else under {title!r}: --write-docs makes it anew"

    return check


@pytest.mark.parametrize(("title", "cases"), [("Configs", CONFIGS), ("Sweeps", SWEEPS)])
def test_bad_values_get_one_line_without_torch_and_nothing_is_written(
    title, cases, answers, in_empty_folder, documented
) -> None:
    given = answers([text.split(" ") for text, _ in cases])
    found = [f"{text}: {words}" for (text, names), answer in zip(cases, given, strict=True)
             if (words := wrong(names, answer))]  # fmt: skip
    assert not found, "\n".join(found)
    assert not any(answer["torch"] for answer in given)
    assert list(in_empty_folder.iterdir()) == []
    documented(title, [f"`train.py {one_line(text)}`" for text, _ in cases], given)


@pytest.mark.real_data
def test_damaged_and_strange_files_get_one_line_and_nothing_is_touched(
    start, in_empty_folder, tmp_path, real_root, documented, monkeypatch
) -> None:
    limits = [f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    code, said = start("hydra.run.dir=run", "trainer.max_epochs=1", f"data.root={real_root}", *limits).wait()
    assert code == 0, said
    folders, before = [], []
    for number, (_, prepare, _, _) in enumerate(FILES):
        folder = tmp_path / str(number)
        shutil.copytree(in_empty_folder, folder)
        if prepare:
            prepare(folder)
        folders.append(folder)
        before.append(content(folder))
    commands = [command.split() for _, _, command, _ in FILES]
    cases = [(name, rest, folder) for (name, *rest), folder in zip(commands, folders, strict=True)]
    given = ask(cases, HEAVY)
    texts = [f"{what}: `{command}`" if what else f"`{command}`" for what, _, command, _ in FILES]
    found = [f"{text}: {words}" for text, (*_, names), answer in zip(texts, FILES, given, strict=True)
             if (words := wrong(names, answer))]  # fmt: skip
    assert not found, "\n".join(found)
    for text, folder, files in zip(texts, folders, before, strict=True):
        assert content(folder) == files, text
    documented("Files and scripts", texts, given)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_has_sixty_cases_at_least() -> None:
    assert PAGE.read_text().count("| 2 |") == len(CONFIGS) + len(SWEEPS) + len(FILES) >= 60
