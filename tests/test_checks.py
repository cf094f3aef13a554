"""What is wrong with files is answered before torch, pandas or matplotlib are imported."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.numpy
from PIL import Image

from conftest import ask
from lenet.config import Config, Data, Loss
from lenet.errors import BadInput
from lenet.evaluation import saved
from lenet.evaluation.load import load_trained
from lenet.runs.directory import RunDirectory

ABSENT = ("torch", "pandas", "matplotlib", "tensorboard")

# A command, and what the answer has to name.
WRONG: list[tuple[str, list[str]]] = [
    ("evaluate.py nosuchrun", ["nosuchrun: no run directory", "No such file"]),
    ("evaluate.py running", ["this run is running", "resume=running"]),
    ("evaluate.py lost", ["lost/checkpoints/best.ckpt: no such checkpoint"]),
    ("evaluate.py odd", ["odd/config.yaml", "kernel_size=33"]),
    ("evaluate.py run/checkpoints/best.ckpt", ["run/checkpoints/best.ckpt: no run directory", "name run"]),
    ("evaluate.py .", [".: no run directory", "such as "]),
    ("evaluate.py nosuch.safetensors", ["nosuch.safetensors: no such file of weights"]),
    ("evaluate.py theirs.safetensors", ["theirs.safetensors: not a file of weights of ours", "config"]),
    ("evaluate.py words.safetensors", ["words.safetensors: not a file of weights of ours"]),
    ("evaluate.py run --out words.safetensors", ["--out words.safetensors", "no folder"]),
    ("evaluate.py whole --part validation", ["--part validation", "val_fraction=0"]),
    ("evaluate.py whole --weights best", ["--weights best", "--weights last"]),
    ("evaluate.py elsewhere", ["data.root=/nowhere", "--data-root"]),
    ("evaluate.py run --data-root pictures", ["data.root=pictures: a folder of pictures", "activations.py"]),
    ("export.py nosuchrun net.safetensors", ["nosuchrun: no run directory"]),
    ("export.py run net.tflite", ["net.tflite", ".safetensors"]),
    ("export.py run folder.safetensors", ["folder.safetensors: it is a folder"]),
    ("export.py run words.safetensors/net.safetensors", ["words.safetensors is no folder", "can be written"]),
    ("activations.py nosuchrun", ["nosuchrun: no run directory"]),
    ("activations.py run --image nosuch.png", ["--image nosuch.png", "No such file"]),
    ("activations.py run --image words.safetensors", ["--image words.safetensors", "not a picture"]),
    ("activations.py run --image half.png", ["--image half.png", "cannot be read"]),
    ("activations.py run --classes sweater", ["--classes sweater", "'pullover'"]),
    ("activations.py run --images 10000", ["--images 10000", "0 to 9999"]),
    ("activations.py run --out nowhere/x.png", ["--out nowhere/x.png", "no folder nowhere"]),
    ("activations.py run --out x.nix", ["--out x.nix", ".nix", ".png"]),
    ("activations.py run --out run.png", ["--out run.png", "folder"]),
    ("report.py nosuch", ["nosuch: no sweep"]),
    ("report.py run nosuch", ["nosuch: no run directory"]),
    ("report.py run theirs.safetensors", ["theirs.safetensors: no run directory"]),
    ("report.py run --out words.safetensors", ["--out words.safetensors"]),
    ("report.py . --out folder", ["--out folder: goes with runs"]),
    ("report.py .", [".: no sweep, but single runs", "scripts/dashboard.py ."]),
    ("published.py run", ["run: no sweep"]),
    ("records.py run", ["run: no sweep"]),
    ("records.py run --out run", ["run: cannot be written", "it is a folder"]),
    ("dashboard.py nosuch", ["nosuch: no such directory"]),
    ("benchmark.py --json nowhere/x.json", ["--json nowhere/x.json", "no folder nowhere"]),
    ("activations.py elsewhere", ["data.root=/nowhere", "--data-root"]),
    ("activations.py run --data-root pictures", ["data.root=pictures: a folder of pictures"]),
    ("initial.py data.root=pictures", ["data.root=pictures: a folder of pictures"]),
    ("train.py data.root=pictures", ["data.root=pictures: a folder of pictures"]),
    ("train.py -m seed=0,1 data.root=pictures", ["data.root=pictures: a folder of pictures", "nothing was started"]),
    ("train.py resume=words.safetensors", ["resume=words.safetensors", "scripts/evaluate.py", "start a new run"]),
    ("train.py run", ["run: takes keys, not a run; resume=run"]),
    ("summary.py run", ["run: takes keys, not a run; resume=run"]),
    ("summary.py words.safetensors", ["words.safetensors: takes keys", "scripts/evaluate.py words.safetensors"]),
    ("train.py resume=run/checkpoints", ["run/checkpoints: no run directory", "name run"]),
]


def a_run(path: Path, config: Config, status: str = "completed") -> RunDirectory:
    run = RunDirectory(path)
    run.checkpoints.mkdir(parents=True)
    run.write_config(config)
    run.write_result({"status": status, "epochs": 1, "metrics": {"val/acc": 0.5}})
    for checkpoint in (run.best_checkpoint, run.last_checkpoint):
        checkpoint.touch()
    return run


@pytest.fixture
def files(in_empty_folder: Path) -> Path:
    a_run(Path("run"), Config())
    a_run(Path("running"), Config(), "running")
    a_run(Path("lost"), Config()).best_checkpoint.unlink()
    a_run(Path("elsewhere"), Config(data=Data(root="/nowhere")))
    odd = a_run(Path("odd"), Config()).path / "config.yaml"
    odd.write_text(odd.read_text().replace("kernel_size: 5", "kernel_size: 33"))
    a_run(Path("whole"), Config(data=Data(val_fraction=0), test_on="last"))
    Path("words.safetensors").write_text("words", encoding="utf-8")
    safetensors.numpy.save_file({}, "theirs.safetensors", {"format": "pt"})
    for folder in ("folder.safetensors", "run.png"):
        Path(folder).mkdir()
    Image.effect_noise((99, 99), 50).save("noise.png")
    Image.effect_noise((28, 28), 50).save("small.png")  # of the data's own size, so taken as it is
    (in_empty_folder / "pictures").mkdir()
    Image.effect_noise((99, 99), 50).save("pictures/noise.png")
    Path("half.png").write_bytes(Path("noise.png").read_bytes()[:3000])
    return in_empty_folder


def test_wrong_files_get_their_line_before_anything_is_imported(files) -> None:
    before = sorted(files.rglob("*"))
    answers = ask([(command.split()[0], command.split()[1:], files) for command, _ in WRONG], absent=ABSENT)
    wrong = []
    for (command, words), answer in zip(WRONG, answers, strict=True):
        said = answer["said"]
        if answer["code"] != 2 or said.count("\n") != 1 or not all(word in said for word in ("error: ", *words)):
            wrong.append(f"{command}: {said}")
    assert not wrong, "\n".join(wrong)
    assert sorted(files.rglob("*")) == before


def test_what_is_right_is_about_to_be_loaded_and_said_so(files) -> None:
    commands = ["evaluate.py run", "export.py run net.safetensors", "activations.py run --image small.png --noise"]
    answers = ask([(command.split()[0], command.split()[1:], files) for command in commands], absent=ABSENT)
    for answer in answers:
        assert answer["said"].startswith("run: loading torch ...\nerror: import of torch halted"), answer


def test_a_net_without_probabilities_cannot_be_flipped() -> None:
    config = Config(loss=Loss(name="mse"))
    with pytest.raises(BadInput, match=r"--flip: .*loss\.name=mse"):
        saved.check_evaluation(config, "test", flip=True)
    saved.check_evaluation(config, "test", flip=False)


def test_whoever_loads_a_net_looks_first(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", replace(Config(), test_on="last"))
    assert saved.saved(run.path).file == run.last_checkpoint
    run.write_result(json.loads((run.path / "result.json").read_text()) | {"status": "failed"})
    for look in (saved.saved, load_trained):
        with pytest.raises(BadInput, match="this run is failed, not completed"):
            look(run.path)
