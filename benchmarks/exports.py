"""Whether exported nets answer in onnxruntime as here: each recipe of conf/experiment/, and the weights in docs/.

    python -m benchmarks.exports

Each recipe is trained for one short epoch. Its net is written as ONNX, and both see all 10,000 test images.
"""

import argparse
import tempfile
from pathlib import Path

import lenet
from lenet.evaluation.load import Trained, load_trained
from lenet.export.files import Agreement, export_graph
from lenet.tables import as_markdown

ROOT = Path(__file__).parents[1]
SHORT = ("trainer.max_epochs=1", "trainer.limit_train_batches=20", "trainer.limit_val_batches=1",
         "trainer.limit_test_batches=1", "dashboard.enabled=false", "trainer.accelerator=cpu", "compile=false",
         "threads=1")  # fmt: skip
HEADER = ["net", "data", "images", "accuracy here", "in onnxruntime", "the same class", "largest difference of a logit"]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("\n".join(as_markdown(HEADER, rows())))


def rows() -> list[list[str]]:
    """A row for each net."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for recipe in sorted((ROOT / "conf/experiment").glob("*.yaml")):
            trained = load_trained(trained_shortly(recipe.stem, Path(folder)))
            found.append(row(f"`experiment={recipe.stem}`", trained, Path(folder)))
        for weights in sorted((ROOT / "docs/weights").glob("*.safetensors")):
            found.append(row(f"`docs/weights/{weights.name}`", load_trained(weights), Path(folder)))
    return found


def trained_shortly(recipe: str, folder: Path) -> Path:
    """The directory of a run of a recipe."""
    words = [f"experiment={recipe}", *SHORT, f"hydra.run.dir={folder / recipe}"]
    return lenet.train(*words, enable_progress_bar=False).path


def row(name: str, trained: Trained, folder: Path) -> list[str]:
    found: Agreement = export_graph(trained, folder / "net.onnx")
    assert found.accuracy is not None, "the test images are not there"
    return [
        name, trained.config.data.name, f"{found.images:,}", *(f"{each:.4f}" for each in found.accuracy),
        f"{found.same_class:,}", f"{found.difference:.1e}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
