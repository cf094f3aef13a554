"""TensorBoard itself, with the settings that runs need. Nothing here imports torch."""

import io
import json
import time
from contextlib import redirect_stderr, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import ProxyHandler, build_opener

from tensorboard import default
from tensorboard.plugins.core.core_plugin import CorePluginLoader
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
from tensorboard.program import TensorBoard, TensorBoardServerException

from lenet.dashboard.columns import HParams
from lenet.dashboard.page import files
from lenet.errors import BadInput
from lenet.runs.directory import EVENT_FILES, OVER_SEEDS

SECONDS = 10  # to wait for the first run to be read

# CUSTOM SCALARS, and there and in TIME SERIES no smoothing, which would bend a curve of ten points.
OPENS_AT = "?smoothing=0#custom_scalars&_smoothingWeight=0"


def serve(directory: Path, port: int | None = None) -> str:
    """Start TensorBoard on a directory, in a thread of this process, for this machine alone.

    Args:
        directory: of runs, of a sweep, or of one run.
        port: 0 is any that is free; None 6006, or the next that is free.

    Returns:
        Its address, which opens at CUSTOM SCALARS, where curves are not smoothed.

    Raises:
        BadInput: the port is taken.
    """
    shown, link = _by_its_name(directory)
    flags = ["--logdir", str(shown), "--host", "localhost"]  # it asks nobody who he is
    flags += ["--samples_per_plugin", "scalars=100000,images=1000,histograms=1000"]  # else it leaves out points
    flags += ["--reload_multifile", "true"]  # a run that is resumed begins a new file
    flags += ["--reload_interval", "5"]
    if port is not None:
        flags += ["--port", str(port)]
    board = TensorBoard(plugins(), assets_zip_provider=files)
    board.link = link  # there as long as the server is
    board.configure(argv=["tensorboard", *flags])
    try:
        with redirect_stderr(io.StringIO()):  # a notice that its fast reader is experimental
            address: str = board.launch()
    except TensorBoardServerException as error:
        words = error.msg.strip().splitlines()[0].rstrip(".")
        given = "" if port is None else f"--port {port}: "
        raise BadInput(f"{given}{words}; give another --port, or --port 0 for any that is free") from error
    _wait_for_runs(address)
    return address + OPENS_AT


def _by_its_name(directory: Path) -> tuple[Path, TemporaryDirectory[str] | None]:
    """What TensorBoard is to read: of a single run a folder with a link to it.

    TensorBoard calls runs by their paths below what it reads, so a single run would be called ".". Where no link can be
    made, as Windows allows it to few, it is.
    """
    if any(directory.glob(EVENT_FILES)):
        folder = TemporaryDirectory(prefix="dashboard_")
        with suppress(OSError, NotImplementedError):
            whole = directory.resolve()
            (Path(folder.name) / whole.name).symlink_to(whole, target_is_directory=True)
            return Path(folder.name), folder
    return directory, None


def plugins() -> list[Any]:
    """TensorBoard's tabs: CUSTOM SCALARS is the first, at which the page opens; HPARAMS has our columns."""

    def place(plugin: Any) -> int:
        return 0 if isinstance(plugin, CorePluginLoader) else 1 if plugin is CustomScalarsPlugin else 2

    ours = {HParamsPlugin: HParams, CustomScalarsPlugin: CustomScalars}
    return [ours.get(plugin, plugin) for plugin in sorted(default.get_plugins(), key=place)]


class CustomScalars(CustomScalarsPlugin):  # type: ignore[misc]  # TensorBoard has no types
    """The tab, with the curves over seeds on top, however the runs are called by which TensorBoard sorts its plots."""

    def layout_impl(self, ctx: Any, experiment: str) -> Any:
        layout = super().layout_impl(ctx, experiment) or "{}"  # {} where no run has one
        plots: dict[str, Any] = json.loads(layout)
        plots.get("category", []).sort(key=lambda category: category["title"] != OVER_SEEDS)
        return plots


def _wait_for_runs(address: str) -> None:
    """Until there is something to show: a page that is opened before that stays empty."""
    ask = build_opener(ProxyHandler({})).open
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with ask(f"{address}data/plugins_listing", timeout=SECONDS) as answer:
            if any(plugin["enabled"] for plugin in json.load(answer).values()):
                return
        time.sleep(0.05)
