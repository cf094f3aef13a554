"""One run on several devices: here two processes that share a CPU, which compute as one."""

import json
import logging
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lightning.fabric.utilities.device_parser import _normalize_parse_gpu_string_input
from torch import Tensor, nn

from conftest import HEAVY, script, until, zygote
from lenet.config import Config, Data, Model, Trainer
from lenet.errors import BadInput
from lenet.rules import validate
from lenet.rules.processes import check_shards, device_count
from lenet.runs.directory import RunDirectory
from lenet.training import demands, devices
from lenet.training.module import Classifier

TWO = ["trainer.devices=2", "trainer.strategy=ddp"]
# An epoch ends with a batch of a single image, of which the second process has none.
RUN = ["model=modern", "model.norm=none", "optimizer.lr=0.1", "trainer.accelerator=cpu", "trainer.max_epochs=3",
       "data.train_size=2041", "data.batch_size=255", "data.augment.shift=1", "data.augment.flip=true", "threads=1",
       "trainer.limit_val_batches=2", "trainer.limit_test_batches=2"]  # fmt: skip

# What each of them has to decide as the others do: 9 updates are an epoch, so the last has 2.
TOGETHER = ["trainer.max_steps=20", "trainer.max_time=10:00:00", "schedule=plateau", "schedule.patience=0",
            "schedule.warmup_epochs=1", "optimizer.swa_start=2", "trainer.num_sanity_val_steps=1"]  # fmt: skip


def one_of(model: Classifier, processes: int, rank: int) -> Classifier:
    model._trainer = SimpleNamespace(world_size=processes, global_rank=rank)  # type: ignore[assignment]
    return model


@given(size=st.integers(1, 40), processes=st.integers(1, 7))
def test_the_shares_of_a_batch_are_the_batch(size: int, processes: int) -> None:
    model, images = Classifier(Config()), torch.arange(size)
    dealt = [one_of(model, processes, rank).shard((images, images)) for rank in range(processes)]
    assert all(len(share[0]) == len(share[1]) > 0 for share, _ in dealt), "each has something to keep in step with"
    assert Counter(i for share, count in dealt for i in share[1][:count].tolist()) == Counter(range(size))
    assert max(count for _, count in dealt) - min(count for _, count in dealt) <= 1


@pytest.mark.parametrize(("count", "lines"), [(1, []), (2, ["trainer.devices=2: 2 processes train on the CPU"])])
def test_several_devices_of_a_cpu_are_said_to_be_processes(count, lines, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(demands, "check_cpu", lambda _: None)
    config = Config(trainer=Trainer(accelerator="cpu", devices=count))
    caplog.set_level(logging.INFO, "lenet.training.devices")
    devices._check_devices(config, devices.bare_trainer(config))
    assert [record.getMessage() for record in caplog.records if record.name == devices.__name__] == lines


@given(size=st.integers(1, 12), processes=st.integers(1, 5), seed=st.integers(0, 9))
def test_the_mean_of_the_shares_gradients_is_the_batchs(size: int, processes: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = Classifier(Config(model=Model(conv_channels=[2], padding=2, fc_sizes=[]))).double()
    model.net.to(memory_format=torch.contiguous_format)
    batch = torch.randn(size, 1, 28, 28, dtype=torch.double), torch.randint(0, 10, (size,))

    def gradient(rank: int, processes: int) -> Tensor:
        model.zero_grad()
        one_of(model, processes, rank).step(batch, model.train_totals)[0].backward()
        return nn.utils.parameters_to_vector(p.grad.clone() for p in model.parameters() if p.grad is not None)

    shares = torch.stack([gradient(rank, processes) for rank in range(processes)])
    torch.testing.assert_close(shares.mean(0), gradient(0, 1))


@given(size=st.integers(1, 60), batch_size=st.integers(1, 40), drop_last=st.booleans(), processes=st.integers(2, 5))
def test_batch_normalisation_is_refused_just_where_a_share_has_no_two_images(
    size: int, batch_size: int, drop_last: bool, processes: int
) -> None:
    assume(not drop_last or batch_size <= size)
    data = Data(train_size=size, batch_size=batch_size, drop_last=drop_last)
    config = Config(data=data, model=Model(conv_channels=[2], padding=2, fc_sizes=[], norm="batch"))
    model, images = Classifier(config), torch.arange(size)
    epoch = [batch for batch in images.split(batch_size) if len(batch) == batch_size or not drop_last]
    counts = [one_of(model, processes, rank).shard((batch, batch))[1] for batch in epoch for rank in range(processes)]
    if min(counts) > 1:
        check_shards(config, processes)
    else:
        with pytest.raises(BadInput, match=f"^data.batch_size={batch_size}: model.norm=batch .* {processes} devices"):
            check_shards(config, processes)
    check_shards(replace(config, model=replace(config.model, norm="none")), processes)


@pytest.mark.parametrize(
    ("devices", "count"),
    [
        (1, 1),
        (3, 3),
        ("2", 2),
        (" 2 ", 2),
        ("1,", 1),
        ("0,1", 2),
        ("0, 2, 5", 3),
        (-1, None),
        ("-1", None),
        ("auto", None),
    ],
)
def test_devices_are_counted_as_lightning_counts_them(devices: int | str, count: int | None) -> None:
    validate(Config(trainer=Trainer(devices=devices)))
    assert device_count(devices) == count
    if count is not None:
        theirs = _normalize_parse_gpu_string_input(devices)
        assert count == (theirs if isinstance(theirs, int) else len(theirs))


def test_a_curve_of_the_test_set_needs_one_net() -> None:
    config = Config(test_each_epoch=True, test_on="last", model=Model(norm="batch"))
    check_shards(config, 1)
    with pytest.raises(BadInput, match=r"^test_each_epoch=True: .* no single net"):
        check_shards(config, 2)


@pytest.mark.real_data
def test_two_processes_find_what_one_finds(in_empty_folder, real_root) -> None:
    runs = {}
    for name, more in {"one": [], "two": TWO}.items():
        more = [*more, *TOGETHER, "test_on=last", "test_each_epoch=true", "dashboard.pictures_every=1"]
        done = script("train.py", *RUN, *more, f"data.root={real_root}", f"name={name}", cwd=in_empty_folder)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        (path,) = (in_empty_folder / "runs" / name).iterdir()
        runs[name] = RunDirectory(path), done.stdout
    (one, said), (two, said_by_two) = runs["one"], runs["two"]
    for ours, theirs in zip(two.read_metrics(), one.read_metrics(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    assert (two.read_result() or {})["metrics"] == pytest.approx((one.read_result() or {})["metrics"], abs=1e-4)
    assert (two.read_result() or {})["device"] == "2 x cpu"
    assert len(two.read_metrics()) == 3
    checkpoint = torch.load(two.last_checkpoint, weights_only=True)
    assert (checkpoint["global_step"], checkpoint["averaging_state"]["n_averaged"]) == (20, 2)
    a, b = (torch.load(run.last_checkpoint, weights_only=True)["state_dict"] for run in (one, two))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-3, atol=1e-4)
    told = "trainer.devices=2: 2 processes train on the CPU\n"
    assert said_by_two.count(told) == 1
    assert said_by_two.replace(told, "").count("\n") == said.count("\n"), "one process speaks for both"
    assert {path.name.split(".")[0] for path in two.path.rglob("*")} == {
        path.name.split(".")[0] for path in one.path.rglob("*")
    }


# Trains a little, and notes the images that each process counts.
COUNTING = """
import json, os, sys
from pathlib import Path
from lenet.training import demands, devices
from lenet.training.module import Classifier
from lenet.config import Config, Data, Model, Trainer
from lenet.run import train

root, folder = sys.argv[1:]
counted = {"train": [], "validate": [], "test": []}
share = Classifier.shard

def noting(self, batch):
    (images, labels), count = share(self, batch)
    pixels = (255 * images[:count].double()).round().long()
    counted[self.trainer.state.stage.value].extend(pixels.sum((1, 2, 3)).tolist())
    return (images, labels), count

Classifier.shard = noting
config = Config(
    data=Data(root=root, val_fraction=0.0335, train_size=1001, batch_size=100),  # 2010 validation images: 1024 and 986
    model=Model(conv_channels=[2], padding=2, fc_sizes=[]),
    trainer=Trainer(max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", enable_progress_bar=False),
    threads=1,
)
train(config, Path(folder) / "run")
(Path(folder) / f"process{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(counted))
"""


@pytest.mark.real_data
def test_every_image_is_counted_exactly_once(tmp_path, real_root) -> None:
    from lenet.config import Data
    from lenet.data.module import ImageData

    (tmp_path / "count.py").write_text(COUNTING)
    code, said = zygote(*HEAVY).start(tmp_path / "count.py", [real_root, str(tmp_path)], tmp_path).wait()
    assert code == 0, said
    processes = [json.loads((tmp_path / f"process{rank}.json").read_text()) for rank in range(2)]
    data = ImageData(Data(root=real_root, val_fraction=0.0335, train_size=1001), 0)
    data.setup("test")
    for part, images in (("train", data.training), ("validate", data.validation), ("test", data.test)):
        there = images.images.long().sum((1, 2, 3)).tolist()
        assert Counter(processes[0][part] + processes[1][part]) == Counter(there)
        assert len(set(there)) > 0.7 * len(there), "or their sums would not tell images apart"
        assert 0 <= len(processes[0][part]) - len(processes[1][part]) <= 11, "one more of each batch at most"


# Learns nothing, and notes the epochs that each process begins.
STOPPING = """
import os, sys
from pathlib import Path
import lightning as L
from lenet.config import Config, Data, EarlyStopping, Model, Optimizer, Trainer
from lenet.run import train

root, folder = sys.argv[1:]

class Noting(L.Callback):
    def on_train_epoch_start(self, trainer, _):
        with (Path(folder) / f"process{os.environ.get('LOCAL_RANK', '0')}").open("a") as file:
            file.write(f"{trainer.current_epoch} ")

config = Config(
    data=Data(root=root, val_fraction=0.01, train_size=64, batch_size=32),
    model=Model(conv_channels=[2], padding=2, fc_sizes=[]),
    optimizer=Optimizer(lr=1e-30),
    early_stopping=EarlyStopping(patience=2),
    trainer=Trainer(max_epochs=9, accelerator="cpu", devices=2, strategy="ddp", limit_test_batches=1,
                    enable_progress_bar=False),
    threads=1,
)
train(config, Path(folder) / "run", callbacks=[Noting()])
"""


@pytest.mark.real_data
def test_both_processes_stop_early_after_the_same_epoch(tmp_path, real_root) -> None:
    (tmp_path / "stop.py").write_text(STOPPING)
    code, said = zygote(*HEAVY).start(tmp_path / "stop.py", [real_root, str(tmp_path)], tmp_path).wait()
    assert code == 0, said
    assert [(tmp_path / f"process{rank}").read_text() for rank in range(2)] == ["0 1 2 "] * 2
    result = RunDirectory(tmp_path / "run").read_result() or {}
    assert (result["status"], result["epochs"]) == ("completed", 3)
    assert result["stopped_early"]


def others(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def is_gone(pid: int) -> bool:
    line = Path(f"/proc/{pid}/cmdline")
    return not (line.exists() and line.read_bytes())  # a zombie has none


@pytest.mark.real_data
def test_a_signal_ends_all_of_them_and_the_run_goes_on_as_if_none_had_come(start, in_empty_folder, real_root) -> None:
    given = [*RUN, *TWO, f"data.root={real_root}"]
    code, said = start(*given, "hydra.run.dir=whole").wait()
    assert code == 0, said
    cut = RunDirectory(in_empty_folder / "cut")
    process = start(*given, "hydra.run.dir=cut")
    until(lambda: cut.epochs, process)
    (other,) = others(process.pid)
    os.kill(other, signal.SIGTERM)  # which is the first one's to heed
    code, said = process.kill(signal.SIGTERM)
    assert code == 143, said
    assert "Traceback" not in said
    until(lambda: is_gone(other))
    assert (cut.read_result() or {})["status"] == "interrupted"
    code, said = start("resume=cut").wait()
    assert code == 0, said
    whole = RunDirectory(in_empty_folder / "whole")
    assert (cut.path / "metrics.csv").read_bytes() == (whole.path / "metrics.csv").read_bytes()


@pytest.mark.real_data
def test_ctrl_c_while_the_others_start_is_heeded_once_they_train(start, in_empty_folder, real_root) -> None:
    run = RunDirectory(in_empty_folder / "run")
    process = start(*RUN, *TWO, f"data.root={real_root}", "trainer.max_epochs=5000", "hydra.run.dir=run")
    until(lambda: (run.path / "result.json").exists() and others(process.pid), process)
    (other,) = others(process.pid)
    code, said = process.kill(signal.SIGINT)
    assert code == 130, said
    assert "Traceback" not in said
    assert (run.read_result() or {})["status"] == "interrupted"
    until(lambda: is_gone(other))


@pytest.mark.real_data
@pytest.mark.parametrize("first", [1, 2])
def test_a_run_goes_on_with_another_number_of_devices(start, in_empty_folder, real_root, first) -> None:
    given = [*RUN, f"data.root={real_root}"]
    run = RunDirectory(in_empty_folder / "run")
    shorter = [word for word in given if not word.startswith("trainer.max_epochs=")]
    code, said = start(*shorter, f"trainer.devices={first}", "trainer.max_epochs=2", "hydra.run.dir=run").wait()
    assert code == 0, said
    code, said = start("resume=run", f"trainer.devices={3 - first}", "trainer.max_epochs=3").wait()
    assert code == 0, said
    code, said = start(*given, "hydra.run.dir=whole").wait()
    assert code == 0, said
    whole = RunDirectory(in_empty_folder / "whole")
    for ours, theirs in zip(run.read_metrics(), whole.read_metrics(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)


@pytest.mark.real_data
def test_a_job_of_a_sweep_with_several_is_refused_however_they_are_given(start, in_empty_folder, real_root) -> None:
    code, said = start("-m", "seed=1,2", *RUN, "trainer.devices='2'", f"data.root={real_root}").wait()
    assert code == 1, said
    assert "trainer.devices=2: a job of a sweep uses one device" in said
    assert "Traceback" not in said


@pytest.mark.real_data
def test_where_one_of_them_dies_the_run_says_so_and_how_to_go_on(start, in_empty_folder, real_root) -> None:
    run = RunDirectory(in_empty_folder / "run")
    process = start(*RUN, *TWO, f"data.root={real_root}", "trainer.max_epochs=5000", "hydra.run.dir=run")
    until(lambda: run.epochs, process)
    os.kill(others(process.pid)[0], signal.SIGKILL)
    code, said = process.wait()
    assert code == 1
    assert said.splitlines()[-1].startswith("error: another process that trained this net with this one has ended")
    assert "resume=" in said.splitlines()[-1]
    assert (run.read_result() or {})["status"] == "failed"


@pytest.mark.parametrize(
    ("given", "environment", "words"),
    [
        (["trainer.devices=2", "trainer.strategy=ddp_spawn"], {}, ["trainer.strategy=ddp_spawn", "ddp"]),
        ([], {"RANK": "1"}, ["trainer.devices=1", "trainer.strategy=ddp"]),
    ],
)
def test_what_cannot_be_done_with_several_is_refused_in_a_line(in_empty_folder, given, environment, words) -> None:
    done = script("train.py", *given, "trainer.accelerator=cpu", cwd=in_empty_folder, env=os.environ | environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words)
    assert list(in_empty_folder.iterdir()) == []
