"""A trained net for other programs: the graph answers as the net does, says what it is, or is not written."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml

from conftest import PROJECT
from lenet.config import Config
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.evaluation import checks
from lenet.evaluation.load import Trained, load_trained
from lenet.export.files import OUTPUTS, TOLERANCE, _as_onnx, _metadata, _read_onnx, agreement, export_graph
from lenet.export.portable import Portable
from lenet.training.module import Classifier
from test_experiments import EXPERIMENTS, composed


def untrained(config: Config) -> Trained:
    torch.manual_seed(0)
    model = Classifier(config)
    for module in model.net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):  # as if it had seen something
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return Trained(config, {}, model.eval(), config.test_on)


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def recipes() -> dict[str, Config]:
    """Of the recipes that have the same net, one."""
    found: dict[str, Config] = {}
    for name in EXPERIMENTS:
        config = composed(f"experiment={name}", "compile=false")
        found.setdefault(repr((config.model, config.data.pad, config.data.mean, config.data.std)), config)
    return {config.name: config for config in found.values()}


RECIPES = recipes()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipes_net_answers_in_onnxruntime_as_here(name: str) -> None:
    trained = untrained(RECIPES[name])
    answer = _read_onnx(_as_onnx(Portable(trained.config, trained.model.net), _metadata(trained)))
    net = Portable(trained.config, trained.model.net)
    for count in (1, 3, 300):
        shown = images(count)
        scale = max(1.0, float(net(shown)[1].abs().max()))
        found = agreement(net, answer, shown, None)
        assert found.difference <= TOLERANCE * scale
        assert found.same_class == count
        probabilities, logits = answer(shown)
        assert torch.allclose(probabilities, logits.softmax(1), atol=1e-6)


def test_the_graph_has_the_whole_way_from_a_pixel_to_a_probability() -> None:
    """As the Classifier sees images that the DataModule has normalised and padded."""
    from lenet.data.transforms import normalise

    trained = untrained(RECIPES["lenet5_1998"])
    data, shown = trained.config.data, images(5)
    with torch.inference_mode():
        logits = trained.model(normalise(shown, data.mean, data.std, data.pad))
        probabilities, same = Portable(trained.config, trained.model.net)(shown)
    assert torch.allclose(logits, same, rtol=1e-5)
    assert torch.allclose(probabilities.sum(1), torch.ones(5), atol=1e-6)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_file_says_what_it_is_and_where_nothing_lay(tmp_path: Path, suffix: str) -> None:
    config = composed("model.norm=batch", f"data.root={tmp_path / 'nowhere'}")
    trained = untrained(config)
    file = tmp_path / "new" / f"net{suffix}"
    found = export_graph(trained, file)
    assert found.is_generated
    assert found.accuracy is None
    assert str(tmp_path).encode() not in file.read_bytes()
    if suffix == ".onnx":
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
        said = {each.key: each.value for each in model.metadata_props}
        (given,) = model.graph.input
        assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert given.type.tensor_type.shape.dim[0].dim_param == "n"
        assert [each.name for each in model.graph.output] == list(OUTPUTS)
    else:
        said = dict.fromkeys(_metadata(trained), "")
        module = torch.export.load(io.BytesIO(file.read_bytes()), extra_files=said).module()
        assert module(images(7))[0].shape == (7, 10)
    assert json.loads(said["classes"]) == list(data_set(config.data).classes)
    assert yaml.safe_load(said["config"])["model"]["norm"] == "batch"


@pytest.mark.real_data
def test_the_published_nets_accuracy_is_the_same_number_in_onnxruntime(real_mnist: str, tmp_path: Path) -> None:
    """The smaller one; `scripts/export.py` says it of each net that it writes, and docs/look.md of both."""
    trained = load_trained(PROJECT / "docs/weights/improved_mnist.safetensors")
    file = tmp_path / "net.onnx"
    found = export_graph(trained, file, real_mnist)
    assert not found.is_generated
    assert found.accuracy is not None
    assert found.accuracy[0] == found.accuracy[1] == pytest.approx(trained.result["metrics"]["test/acc"], abs=2e-4)
    assert found.same_class == found.images == 10_000
    session = onnxruntime.InferenceSession(file)
    (probabilities,) = session.run(["probabilities"], {"images": np.zeros((2, 1, 28, 28), np.uint8)})
    assert probabilities.shape == (2, 10)


def test_a_graph_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = untrained(composed(f"data.root={tmp_path / 'nowhere'}"))
    other = lambda images: (images[:, 0, 0, :10].float(),) * 2  # noqa: E731
    monkeypatch.setattr("lenet.export.files._read_program", lambda content: other)
    with pytest.raises(BadInput, match=r"net.pt2: not written, since it does not answer as the net does .*take \.safe"):
        export_graph(trained, tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_graph_is_held_against_the_net_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the way from pixels to the net was wrong in what is exported, the exported file had it wrong as well."""
    monkeypatch.setattr("lenet.export.portable.normalise", lambda images, *_: images.float())
    with pytest.raises(BadInput, match=r"net.pt2: not written, since it does not answer as the net does"):
        export_graph(untrained(composed(f"data.root={tmp_path / 'nowhere'}")), tmp_path / "net.pt2")


def test_a_folder_of_data_that_is_given_has_the_data(tmp_path: Path) -> None:
    trained = untrained(composed(f"data.root={tmp_path / 'nowhere'}"))
    with pytest.raises(BadInput, match=r"^--data-root \S+elsewhere: train-images-\S+ of fashion_mnist is not there"):
        export_graph(trained, tmp_path / "net.pt2", str(tmp_path / "elsewhere"))
    assert list(tmp_path.iterdir()) == []


class Branches(torch.nn.Module):
    """What no graph has: the way depends on the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0, :10] if x.sum() > 0 else -x[:, 0, 0, :10]


def test_a_net_that_is_no_graph_is_refused_in_a_line(tmp_path: Path) -> None:
    trained = untrained(composed(f"data.root={tmp_path / 'nowhere'}"))
    trained.model.net = Branches()
    with pytest.raises(BadInput, match=r"net.pt2: this net cannot be exported so \(.*\); take .safetensors") as refused:
        export_graph(trained, tmp_path / "net.pt2")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_or_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file/net.onnx: .*; name a file that can be written"):
        checks.check_export(tmp_path / "file" / "net.onnx")
    with pytest.raises(BadInput, match=r"net.pt: no format that a net is written in; let the name end in \.safe"):
        checks.check_export(tmp_path / "net.pt")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"needs onnx and onnxscript and onnxruntime; .* uv run --extra export"):
        checks.check_export(tmp_path / "net.onnx")
    checks.check_export(tmp_path / "net.pt2")
