"""Names of Lightning, of Hydra's best-known template and of other programs: what they are called here, or why not.

Nothing here imports torch.
"""

from collections.abc import Sequence

# The last part of a key elsewhere, and the key here.
KEYS = {
    "learning_rate": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "optim": "optimizer",
    "opt": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "epochs": "trainer.max_epochs",
    "epoch": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "batchsize": "data.batch_size",
    "batch": "data.batch_size",
    "bs": "data.batch_size",
    "b": "data.batch_size",
    "dataset": "data",
    "datamodule": "data",
    "data_dir": "data.root",
    "data_path": "data.root",
    "val_split": "data.val_fraction",
    "validation_split": "data.val_fraction",
    "train_val_test_split": "data.val_fraction",
    "device": "trainer.accelerator",
    "gpus": "trainer.devices",
    "gpu": "trainer.devices",
    "num_processes": "trainer.devices",
    "tpu_cores": "trainer.accelerator",
    "amp": "trainer.precision",
    "fp16": "trainer.precision",
    "clip_grad": "trainer.gradient_clip_val",
    "grad_clip": "trainer.gradient_clip_val",
    "max_grad_norm": "trainer.gradient_clip_val",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "channels": "model.conv_channels",
    "filters": "model.conv_channels",
    "hidden_size": "model.fc_sizes",
    "pooling": "model.pool",
    "batch_norm": "model.norm",
    "batchnorm": "model.norm",
    "smoothing": "loss.label_smoothing",
    "ema": "optimizer.ema_decay",
    "num_threads": "threads",
    "out": "hydra.run.dir",
    "output": "hydra.run.dir",
    "output_dir": "hydra.run.dir",
    "save_dir": "hydra.run.dir",
    "log_dir": "hydra.run.dir",
    "root_dir": "hydra.run.dir",
    "default_root_dir": "hydra.run.dir",
    "weights_save_path": "hydra.run.dir",
    "checkpoint": "resume",
    "ckpt": "resume",
    "ckpt_path": "resume",
    "resume_from_checkpoint": "resume",
    "load_from_checkpoint": "init_from",
    "pretrained": "init_from",
    "pretrained_weights": "init_from",
    "random_seed": "seed",
    "manual_seed": "seed",
    "task_name": "name",
    "run_name": "name",
    "experiment_name": "name",
}

_IN_MEMORY = "the images lie in memory and no worker loads them; leave it out"
_MIXED = "trainer.precision=16-mixed, or bf16-mixed, is mixed precision here"

# A key elsewhere, or its last part, or the group that it stands in; and why there is none here, or what does the same.
REASONS = {
    "amp_backend": _MIXED,
    "amp_level": _MIXED,
    "auto_lr_find": "sweep=learning_rate tries several",
    "auto_scale_batch_size": "-m data.batch_size=64,128,256 tries several",
    "barebones": "dashboard.enabled=false writes nothing for TensorBoard; checkpoints and metrics.csv always are",
    "benchmark": "the fastest algorithm that a GPU finds may be another one each time; leave it out",
    "callbacks": "a run always keeps checkpoints and curves, early_stopping.patience stops it, and "
    "optimizer.ema_decay averages weights; a callback of your own comes with --extend FILE.py (docs/extending.md)",
    "checkpoint_callback": "a run always keeps its best and its last weights, to resume from; leave it out",
    "enable_autolog_hparams": "config.yaml and TensorBoard's HPARAMS always have the settings; leave it out",
    "enable_checkpointing": "a run always keeps its best and its last weights, to resume from; leave it out",
    "enable_model_summary": "scripts/summary.py shows the layers, with the same keys",
    "extras": "--cfg job prints the config, and tags=[a,b] sets tags",
    "flush_logs_every_n_steps": "metrics.csv has each epoch as soon as it is over; leave it out",
    "hparams_search": "search=NAME chooses a file of conf/search/, such as search=quick; sweep=NAME one of conf/sweep/",
    "inference_mode": "evaluation never computes gradients; leave it out",
    "limit_predict_batches": "scripts/evaluate.py RUN_DIR shows what a trained net predicts",
    "local": "--config-dir FOLDER adds files of your own to those of conf/",
    "min_steps": "trainer.min_epochs says how long a run goes on whatever would stop it early",
    "model_registry": "scripts/export.py RUN_DIR FILE.safetensors writes a net to give away",
    "net": "model.conv_channels=[6,16] and model.fc_sizes=[120,84] set the layers",
    "num_classes": "the data set says how many classes there are; leave it out",
    "num_workers": _IN_MEMORY,
    "optimized_metric": "the report of a sweep ranks by validation accuracy; leave it out",
    "persistent_workers": _IN_MEMORY,
    "pin_memory": _IN_MEMORY,
    "plugins": "trainer.precision and trainer.strategy choose Lightning's; code of your own: --extend FILE.py "
    "(docs/extending.md)",
    "prefetch_factor": _IN_MEMORY,
    "print_config": "--cfg job prints the config",
    "progress_bar_refresh_rate": "trainer.enable_progress_bar=false leaves the bar out",
    "project": "name=WORD names the folder of the runs, and tags=[a,b] sets tags",
    "reload_dataloaders_every_n_epochs": "data.augment changes the images anew in every epoch; leave it out",
    "replace_sampler_ddp": "several devices share each batch, and count each image once; leave it out",
    "stochastic_weight_avg": "optimizer.swa_start=0.75 averages the weights of the last quarter of the epochs",
    "swa": "optimizer.swa_start=0.75 averages the weights of the last quarter of the epochs",
    "sync_batchnorm": "with model.norm=batch each device normalises its share of a batch; trainer.devices=1 all of it",
    "terminate_on_nan": "a run whose loss is no longer finite always ends, and says so; leave it out",
    "test": "trainer.limit_test_batches=0 leaves the test out",
    "track_grad_norm": "TensorBoard always shows the norm of the gradient (docs/dashboard.md); leave it out",
    "train": "scripts/evaluate.py RUN_DIR tests a trained net without training it",
    "use_distributed_sampler": "several devices share each batch, and count each image once; leave it out",
    "val_check_interval": "validation comes after an epoch: trainer.limit_train_batches=0.5 makes epochs shorter, "
    "trainer.check_val_every_n_epoch=2 validates after every second one",
    "weights_summary": "scripts/summary.py shows the layers, with the same keys",
    "workers": _IN_MEMORY,
}

GROUPS = ("callbacks", "extras", "hparams_search", "plugins", "net")  # of these, those that stand before other keys

# Files that the template has in a group, and what to write here.
CHOICES = {
    "debug=default": "debug=run",
    "debug=fdr": "debug=run",
    "debug=limit": "trainer.limit_train_batches=0.01 trainer.limit_val_batches=0.05",
    "debug=profiler": "debug=profile",
    "experiment=example": "experiment=blog",
    "trainer=ddp_sim": "trainer.strategy=ddp trainer.accelerator=cpu trainer.devices=2",
}


def reason(key: str) -> str | None:
    """Why there is no such key, or what does the same: asked by its last part, then by the groups that it stands in."""
    *outer, last = key.replace("-", "_").split(".")
    if last in REASONS:
        return REASONS[last]
    groups = () if last in KEYS else GROUPS
    return next((REASONS[part] for part in outer if part in groups), None)


def one_sweep(names: Sequence[str]) -> str:
    """What is said to several sweeps at once."""
    return f"one command runs one sweep; give one after the other: {', then '.join(f'sweep={one}' for one in names)}"
