"""Every value by itself, and keys that nothing would read."""

from lenet.bounds import Bound, OneOf
from lenet.config import OURS, Config, Dashboard, limits, schema, value_of
from lenet.errors import BadInput, Complaints
from lenet.runs.names import trouble
from lenet.runs.safe_io import fits
from lenet.text import did_you_mean

# Lightning's other loggers.
LOGGERS = {
    "tensorboard": "TensorBoard is written without it (dashboard.enabled); ",
    **dict.fromkeys(("aim", "comet", "neptune"), "Lightning's comes with --extend FILE.py (docs/extending.md), or "),
}

# Keys that one optimizer or schedule reads.
READERS = {
    "optimizer.alpha": "rmsprop",
    "optimizer.rho": "adadelta",
    "optimizer.mu": "sdlm",
    "optimizer.curvature_samples": "sdlm",
    "optimizer.curvature_memory": "sdlm",
    "schedule.gamma": "exponential",
    "schedule.monitor": "plateau",
    "schedule.patience": "plateau",
    "schedule.factor": "plateau",
}


def value_rules(config: Config) -> Complaints:
    for key, kind in schema().items():  # OmegaConf looks at values, but not at what an interpolation makes of them
        if not fits(value_of(config, key), kind):
            yield key, "of another type than this key has"
    for key, limit in limits().items():
        value = value_of(config, key)  # null, where the key may have it
        for word in value if isinstance(value, list) else [value]:
            if isinstance(limit, OneOf) and word is not None and word not in limit:
                meant = LOGGERS.get(str(word)) if key == "logger" else None
                meant = meant or did_you_mean(str(word), limit)
                raise BadInput(f"{key}={word}: {meant}choose {', '.join(limit)}")
    for key, limit in limits().items():
        value = value_of(config, key)
        if isinstance(limit, Bound) and value is not None and not limit.holds(value):
            yield key, limit.remedy


def unread_rules(config: Config) -> Complaints:
    """Keys that one optimizer or schedule of ours reads: with another of ours they would be ignored without a word."""
    usual = Config()
    for key, reader in READERS.items():
        chooses = key.split(".")[0] + ".name"
        chosen = value_of(config, chooses)
        if chosen in OURS[chooses] and chosen != reader and value_of(config, key) != value_of(usual, key):
            yield key, f"{chooses}={chosen} has none; set {chooses}={reader}, or leave it out"


def dashboard_rules(config: Config) -> Complaints:
    if not config.dashboard.enabled:
        for name in ("pictures_every", "histograms", "embedding"):
            if getattr(config.dashboard, name) != getattr(Dashboard(), name):
                yield (
                    f"dashboard.{name}",
                    "dashboard.enabled=false writes nothing for TensorBoard; leave out one of the two",
                )


def name_rules(config: Config) -> Complaints:
    for word in config.logger:
        if config.logger.count(word) > 1:
            raise BadInput(f"logger={','.join(config.logger)}: {word} stands there twice; give it once")
    if reason := trouble(config.name, longest=100):
        yield "name", f"it names a directory: {reason}"
