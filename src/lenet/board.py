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
        port: 0 is any that is free; None 6006, or the next that is free.

    Returns:
        Its address.

    Raises:
        BadInput: the port is taken.
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
        words = error.msg.strip().splitlines()[0].rstrip(".")
        given = "" if port is None else f"--port {port}: "
        raise BadInput(f"{given}{words}; give another --port, or --port 0 for any that is free") from error
    return address
