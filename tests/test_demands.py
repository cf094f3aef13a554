"""What a machine does not have is refused in a line that says how much it has, before torch is imported.

No refusal is tested by starting what it is to prevent: the machine is made small instead.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from conftest import Answer, ask, zygote
from lenet.cli.compose import resumed_config
from lenet.cli.sweeping import ask_machine
from lenet.config import Config, Data, Model, Optimizer, Trainer
from lenet.data import download
from lenet.errors import BadInput
from lenet.rules import validate
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Job, Sweep
from lenet.system import machine
from lenet.training import demands, devices

GB = 10**9


@pytest.fixture
def small(monkeypatch) -> None:
    """A machine of two cores, 4 GB and no GPU."""
    monkeypatch.setattr(demands, "cores", lambda: 2)
    monkeypatch.setattr(demands, "free_memory", lambda: 4 * GB)
    monkeypatch.setattr(demands, "own_memory", lambda: 0)
    monkeypatch.setattr(machine, "most_gpus", lambda: 0)
    monkeypatch.setattr(demands, "most_gpus", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def said(config: Config) -> str:
    validate(config)
    with pytest.raises(BadInput) as caught:
        demands.check(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def on(**settings: object) -> Config:
    return Config(trainer=Trainer(**settings))  # type: ignore[arg-type]


CASES = [
    (
        on(devices=99),
        "trainer.devices=99: without a GPU each is a process of its own, and this machine has 2 cores; give at most 2",
    ),
    (on(devices="3", accelerator="cpu"), "trainer.devices=3: without a GPU each is a process"),
    (on(devices=-1), "trainer.devices=-1: without a GPU it counts processes of the CPU; give a number from 1 to 2"),
    (on(devices="0,1"), "trainer.devices=0,1: without a GPU it counts processes"),
    (on(accelerator="gpu"), "trainer.accelerator=gpu: this machine has no GPU; trainer.accelerator=cpu does without"),
    (on(accelerator="gpu", devices=4, strategy="ddp"), "trainer.accelerator=gpu: this machine has no GPU"),
    (on(devices=2, strategy="fsdp"), "trainer.strategy=fsdp: take ddp"),
    (Config(threads=9), "threads=9: this machine has 2 cores, and more than 4 threads on a core"),
    (Config(threads=5, trainer=Trainer(devices=2)), "threads=5: this machine has 2 cores for 2 processes"),
    (
        Config(data=Data(batch_size=10_000, pad=30)),
        "data.batch_size=10000: the run needs about 6.6 GB of memory, and 4.0 GB are free; give at most 5700",
    ),
    (
        Config(data=Data(pad=100), model=Model(conv_channels=[12, 16])),
        "data.pad=100: the run needs about 5.5 GB of memory, and 4.0 GB are free; give less",
    ),
    (
        Config(model=Model(conv_channels=[600], padding=2)),
        "model.conv_channels=[600]: the run needs about 4.4 GB of memory, and 4.0 GB are free; give fewer maps",
    ),
    (
        Config(optimizer=Optimizer(name="sdlm", curvature_samples=60_000), data=Data(pad=20)),
        "optimizer.curvature_samples=60000: the run needs about 19 GB of memory, and 4.0 GB are free; give",
    ),
]


@pytest.mark.parametrize(("config", "words"), CASES, ids=[words.partition(":")[0] for _, words in CASES])
def test_what_the_machine_does_not_have_is_refused_in_a_line(small, config: Config, words: str) -> None:
    assert said(config).startswith(words)


@pytest.mark.parametrize("given", [{}, {"devices": 2}, {"devices": "2"}, {"devices": "auto"}, {"accelerator": "cpu"}])
def test_what_it_has_is_not(small, given) -> None:
    demands.check(Config(trainer=Trainer(**given)))
    demands.check(Config(threads=4, trainer=Trainer(**given)))


def test_an_ordinary_net_is_tried_whatever_little_is_free(small, monkeypatch) -> None:
    monkeypatch.setattr(demands, "free_memory", lambda: 0)
    demands.check(Config())


def test_even_a_single_core_is_left_to_try_two_devices(small, monkeypatch) -> None:
    monkeypatch.setattr(demands, "cores", lambda: 1)
    demands.check(on(devices=2))
    assert "1 core; give at most 2" in said(on(devices=3))


def test_where_there_may_be_a_gpu_the_cores_are_not_counted(small, monkeypatch) -> None:
    for module in (machine, demands):
        monkeypatch.setattr(module, "most_gpus", lambda: None)
    demands.check(on(devices=99))
    demands.check(on(devices=-1, accelerator="gpu"))
    demands.check(on(devices="0,1", accelerator="gpu", strategy="ddp"))
    monkeypatch.setattr(demands, "most_gpus", lambda: 1)
    assert said(on(devices=2, accelerator="gpu")) == "trainer.devices=2: this machine has 1, or fewer; give at most 1"


def test_where_paths_are_short_a_long_one_is_refused_before_anything_is_made(monkeypatch, in_empty_folder) -> None:
    monkeypatch.setattr(machine, "LONGEST_PATH", len(str(in_empty_folder)) + 200)
    demands.check_length(Path("runs/lenet"))
    with pytest.raises(BadInput, match=r"takes \d+; give a shorter name="):
        demands.check_length(Path("runs") / ("x" * 120))
    monkeypatch.setattr(machine, "LONGEST_PATH", None)
    demands.check_length(Path("runs") / ("x" * 120))


def test_a_path_of_windows_makes_no_folder_elsewhere(in_empty_folder) -> None:
    for root in (r"C:\data", "D:/data", r"\\server\share\data"):
        with pytest.raises(BadInput, match="is a path on Windows"):
            download.look("mnist", root)
        with pytest.raises(BadInput, match="is a path on Windows"):
            download.fetch("mnist", root)
    assert not list(in_empty_folder.iterdir())


BEYOND = [Trainer(precision="64-true"), Trainer(deterministic=True)]


@pytest.mark.parametrize("trainer", BEYOND, ids=["64 bits", "to the last bit"])
def test_what_the_graphics_of_a_mac_cannot_do_its_cpu_does(small, monkeypatch, trainer: Trainer) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for module in (machine, demands):
        monkeypatch.setattr(module, "most_gpus", lambda: None)
    assert demands.accelerator(Config(trainer=trainer)) == "cpu"
    assert demands.accelerator(Config()) == "auto"
    assert demands.accelerator(Config(trainer=replace(trainer, accelerator="gpu"))) == "gpu"
    for accelerator in ("mps", "gpu"):
        words = said(Config(trainer=replace(trainer, accelerator=accelerator)))
        assert words.endswith("which Apple's graphics have not; trainer.accelerator=cpu has it")
    monkeypatch.setattr(sys, "platform", "linux")
    assert demands.accelerator(Config(trainer=trainer)) == "auto"


def test_a_gpu_is_asked_for_its_own_memory() -> None:
    large = Config(data=Data(batch_size=10_000, pad=30))
    demands.check_memory(large, 4 * GB, gpus=1)
    with pytest.raises(
        BadInput, match=r"data.batch_size=10000: the run needs about 3.4 GB .* 2.0 GB are free on the GPU"
    ):
        demands.check_memory(large, 2 * GB, gpus=1)
    demands.check_memory(large, 2 * GB, gpus=2)


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (Model(fc_sizes=[90_000, 500]), "model.fc_sizes=[90000, 500]"),
        (Model(conv_channels=[3000, 1000], fc_sizes=[]), "model.conv_channels=[3000, 1000]"),
    ],
    ids=["fc_sizes", "conv_channels"],
)
def test_a_net_that_does_not_fit_by_itself_names_its_larger_part(model: Model, key: str) -> None:
    config = Config(model=model, optimizer=Optimizer(name="adam"))
    with pytest.raises(BadInput) as caught:
        demands.check_memory(config, GB)
    assert str(caught.value).startswith(f"{key}: the run needs about ")
    assert str(caught.value).endswith("1.0 GB are free; give smaller layers")


def test_several_processes_each_have_the_net(small) -> None:
    net = Model(fc_sizes=[60_000, 1000])
    demands.check_memory(Config(model=net), 2 * GB, 1)
    with pytest.raises(BadInput, match=r"trainer.devices=8: the run needs about .* give fewer"):
        demands.check_memory(replace(on(devices=8), model=net), 2 * GB, 8)


def test_the_jobs_of_a_sweep_at_a_time_are_as_many_as_there_are_cores(small, monkeypatch) -> None:
    for n_jobs in (-1, 1, 2):
        demands.check_jobs(n_jobs, 100)
    with pytest.raises(
        BadInput, match=r"hydra.launcher.n_jobs=1000: .* this machine has 2 cores; give at most 2, or -1"
    ):
        demands.check_jobs(1000, 100)
    with pytest.raises(BadInput, match=r"hydra.launcher.n_jobs=0: no job would run"):
        demands.check_jobs(0, 100)
    monkeypatch.setattr(demands, "cores", lambda: 64)
    demands.check_jobs(64, 2)
    with pytest.raises(
        BadInput, match=r"hydra.launcher.n_jobs=64: so many processes need about 16 GB .* give at most 14"
    ):
        demands.check_jobs(64, 100)


def test_a_config_of_a_larger_machine_is_legal_on_a_smaller_one(small, tmp_path) -> None:
    """It can be planned, looked at, and gone on with as far as this machine goes."""
    run = RunDirectory(tmp_path)
    run.write_config(Config(threads=64, trainer=Trainer(devices=8, accelerator="gpu")))
    validate(run.read_config())
    assert resumed_config(str(tmp_path), ["trainer.devices=1", "threads=2"]).threads == 2
    demands.check(resumed_config(str(tmp_path), ["trainer.devices=1", "threads=2", "trainer.accelerator=cpu"]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"devices": -1}, "trainer.devices=-1: not possible on this machine; 1, the default, is ("),
        ({"devices": 3, "precision": "16-true"}, None),
        ({"strategy": "fsdp"}, "trainer.strategy=fsdp: not possible on this machine; auto, the default, is ("),
        ({"strategy": "fsdp", "devices": 2}, "trainer.strategy=fsdp: "),
        ({"strategy": "fsdp", "devices": -1}, "trainer.strategy=fsdp trainer.devices=-1 trainer.accelerator=cpu: "),
    ],
    ids=str,
)
def test_of_what_only_torch_knows_one_key_is_blamed(given, words) -> None:
    """Where the system does not say what there is: a trainer that cannot be made."""
    config = on(accelerator="cpu", **given)
    if words is None:
        assert devices.bare_trainer(config).num_devices == 3
        return
    with pytest.raises(BadInput) as caught:
        devices.bare_trainer(config)
    assert str(caught.value).startswith(words)


def test_a_gpu_that_lightning_does_not_find_is_the_accelerators_fault(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("lightning.pytorch.accelerators.cuda.num_cuda_devices", lambda: 0)
    monkeypatch.setattr("lightning.pytorch.accelerators.mps.MPSAccelerator.is_available", lambda: False)
    with pytest.raises(
        BadInput, match=r"^trainer.accelerator=gpu: not possible on this machine; auto, the default, is "
    ):
        devices.bare_trainer(on(accelerator="gpu", devices=4, strategy="ddp"))


@pytest.fixture
def one_core() -> Iterator[None]:
    """The scripts of `ask` have a single core, so that three processes are refused and more are never started."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes cannot be bound to a core here")
    parent = zygote("lenet.cli").process.pid
    before = os.sched_getaffinity(parent)
    os.sched_setaffinity(parent, {min(before)})
    yield
    os.sched_setaffinity(parent, before)


def all_refused_without_torch(answers: list[Answer], words: list[str], folder: Path) -> None:
    for answer, some in zip(answers, words, strict=True):
        assert answer["said"].startswith("error: "), answer
        assert some in answer["said"]
        assert answer["said"].count("\n") == 1
        assert (answer["code"], answer["torch"]) == (2, False)
    assert sorted(path.name for path in folder.iterdir()) == ["files"]


def test_commands_are_refused_before_torch_is_imported_and_nothing_is_written(one_core, in_empty_folder) -> None:
    raw = in_empty_folder / "files/FashionMNIST/raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(bytes(10_008))
    (in_empty_folder / "files/null").symlink_to("/dev/null")
    cases = {
        "trainer.devices=3 trainer.accelerator=cpu": "trainer.devices=3: without a GPU each is a process",
        "trainer.accelerator=gpu": "trainer.accelerator=gpu: CUDA_VISIBLE_DEVICES hides every GPU",
        "data.root=files": "t10k-labels-idx1-ubyte is not an IDX file",
        "data.root=files/null/x": "data.root=files/null/x: cannot be read and written (files/null is no folder)",
        "-m seed=1,2 hydra/launcher=joblib hydra.launcher.n_jobs=3": "hydra.launcher.n_jobs=3: each job at a time",
        "-m seed=1,2 hydra/launcher=processes hydra.launcher.n_jobs=3": "hydra.launcher.n_jobs=3: each job at a time",
        "-m threads=1,5": "threads=5: threads=5: this machine has 1 core",
    }
    answers = ask([("train.py", text.split(), in_empty_folder) for text in cases])
    all_refused_without_torch(answers, list(cases.values()), in_empty_folder)


@pytest.mark.parametrize("launcher", ["Slurm", "SlurmLauncher", "Processes"])
def test_what_a_sweep_asks_for_is_asked_of_this_machine_unless_its_jobs_run_on_others(
    tmp_path, monkeypatch, launcher
) -> None:
    def has_not(config: Config) -> None:
        raise BadInput("not here")

    monkeypatch.setattr(demands, "check", has_not)
    settings = OmegaConf.create({"_target_": f"somewhere.{launcher}"})
    sweep = Sweep("grid", {}, {}, [Job("seed=0", "baseline", {}, 0, ["seed=0"], 10, 1, 1)])
    here = launcher == "Processes"
    with pytest.raises(BadInput, match="not here") if here else nullcontext():
        ask_machine(settings, sweep, tmp_path, {"seed=0": Config()})


def test_what_cannot_be_gone_on_with_is_known_without_torch(in_empty_folder) -> None:
    runs = {name: RunDirectory(in_empty_folder / name) for name in ("lost", "done", "busy")}
    for run in runs.values():
        run.checkpoints.mkdir(parents=True)
        run.write_config(Config())
    runs["lost"].write_metrics([{"epoch": 1}, {"epoch": 2}])
    runs["done"].last_checkpoint.touch()
    runs["done"].write_result({"status": "completed", "epochs": 10})
    assert runs["busy"].lock()
    cases = {
        "resume=lost": "last.ckpt: there is no checkpoint, and no best.ckpt either; start the run again",
        "resume=done": "resume=done: 10 epochs are done, and trainer.max_epochs=10; give a larger "
        "trainer.max_epochs to go on",
        "resume=busy": "resume=busy: another process trains in it; wait for it, or stop it",
    }
    answers = ask([("train.py", [text], in_empty_folder) for text in cases])
    for answer, words in zip(answers, cases.values(), strict=True):
        assert words in answer["said"]
        assert (answer["code"], answer["said"].count("\n"), answer["torch"]) == (2, 1, False)


def test_a_disk_without_room_for_a_checkpoint_is_found_before_anything_is_written(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(download, "look", lambda *_: None)
    large = Config(model=Model(fc_sizes=[60_000, 100]))
    for config, free, size in ((large, 10**8, "120 MB, and 100 MB"), (Config(), 0, "0.2 MB, and 0.0 MB")):
        monkeypatch.setattr(demands, "free_disk", lambda _, free=free: free)
        with pytest.raises(BadInput, match=f"run: a checkpoint of this net has about {size} are free; make room"):
            demands.check_places(config, tmp_path / "run")
    monkeypatch.setattr(demands, "free_disk", lambda _: 5000)  # enough to begin, and to go on later
    demands.check_places(Config(), tmp_path / "run")
    monkeypatch.setattr(demands, "free_disk", lambda _: None)  # not known
    demands.check_places(large, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_is_only_planned_or_goes_to_slurm_asks_nothing_of_this_machine(one_core, in_empty_folder) -> None:
    plan, slurm = ask(
        [
            ("train.py", ["-m", "threads=1,64", "hydra.sweeper.plan=true"], in_empty_folder),
            ("train.py", ["-m", "threads=1,64", "hydra/launcher=slurm"], in_empty_folder),
        ]
    )
    assert plan["code"] == 0, plan
    assert "threads=64" in plan["said"]
    assert "this machine" not in slurm["said"]


def test_what_a_machine_has_not_does_not_matter_for_jobs_that_are_done(small, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(download, "look", lambda *_: None)
    jobs = [Job(f"threads={n}", f"threads={n}", {}, 0, [], 1, 1, 1) for n in (1, 64)]
    configs = {job.name: Config(threads=n) for job, n in zip(jobs, (1, 64), strict=True)}
    launcher = OmegaConf.create({"_target_": "basic"})
    with pytest.raises(BadInput, match=r"^threads=64: threads=64: this machine has 2 cores.*; nothing was started$"):
        ask_machine(launcher, Sweep("grid", {}, {}, jobs), tmp_path, configs)
    (tmp_path / "threads=64").mkdir()
    RunDirectory(tmp_path / "threads=64").write_result({"status": "completed"})
    ask_machine(launcher, Sweep("grid", {}, {}, jobs), tmp_path, configs)
