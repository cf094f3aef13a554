"""What `import lenet` gives to Python programs and notebooks: the same as the commands, by the same functions."""

from lenet.api.run import Run, compare, load, train
from lenet.api.tables import Tables, Text, summary, sweep

__all__ = ["Run", "Tables", "Text", "compare", "load", "summary", "sweep", "train"]
