"""TensorBoard itself, with the settings that runs need. Nothing here imports torch."""

import io
from contextlib import redirect_stderr
from pathlib import Path

from tensorboard.program import TensorBoard, TensorBoardServerException

from lenet.errors import BadInput


def serve(directory: Path, port: int | None = None) -> str:
    """Start TensorBoard on a directory, in a thread of this process, for this machine alone.

    Args:
        directory: of runs, of a sweep, or of one run.
        port: without one, 6006 or the next that is free.

    Returns:
        Its address.

    Raises:
        BadInput: the port is taken, or no port.
    """
    flags = ["--logdir", str(directory), "--host", "localhost"]  # it asks nobody who he is
    flags += ["--samples_per_plugin", "scalars=100000,images=1000,histograms=1000"]  # else it leaves out points
    flags += ["--reload_multifile", "true"]  # a run that is resumed begins a new file
    flags += ["--reload_interval", "5"]
    if port is not None:
        flags += ["--port", str(port)]
    board = TensorBoard()
    board.configure(argv=["tensorboard", *flags])
    try:
        with redirect_stderr(io.StringIO()):  # a notice that its fast reader is experimental
            address: str = board.launch()
    except TensorBoardServerException as error:
        raise BadInput(f"--port {port}: {error.msg}; give another one, or none") from error
    return address
