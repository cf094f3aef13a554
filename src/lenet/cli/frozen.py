"""The configs of a sweep's jobs, from the files of conf/ as they were when the sweep started."""

import copy
import re
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lenet.cli.guard import GuardedLoader
from lenet.errors import BadInput
from lenet.sweeps.names import label


class FrozenConfigs(GuardedLoader):
    """Composes the configs of jobs from files as they were when the sweep started.

    The files are read once for every choice of config groups; what else a job overrides is set in a copy. That is also
    some ten times faster than composing. Launchers send this object to other processes.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        super().__init__(loader.get_search_path())
        self.shared: list[str] = []  # overrides of all jobs
        self.directory = ""
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.tasks: dict[tuple[str, ...], DictConfig] = {}
        self.groups = set(loader.list_groups(""))

    @property
    def parser(self) -> OverridesParser:
        return OverridesParser.create(config_loader=self)

    def compose(self, master: DictConfig, overrides: Sequence[str], hydra: bool = False) -> DictConfig:
        """The config of a job with these overrides beside the shared ones: all of it with `hydra`, or what is ours."""
        from lenet.cli.compose import typed

        parsed = [self.parse(text) for text in overrides]
        for one in parsed:
            require_swept(one.key_or_group)  # what follows changes a config that has been looked at
        groups = tuple(text for text, one in zip(overrides, parsed, strict=True) if one.key_or_group in self.groups)
        if groups not in self.composed:
            whole = super().load_sweep_config(master, [*self.shared, *groups])
            with open_dict(whole.hydra):  # what no job asks for, and Hydra copies several times for each job
                whole.hydra.sweeper.params = {}
                whole.hydra.runtime.config_sources = []
            self.composed[groups] = whole
            self.tasks[groups] = typed(OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"]))
        config = copy.deepcopy((self.composed if hydra else self.tasks)[groups])
        # Hydra's own, so that a value means here what it means anywhere else.
        self._apply_overrides_to_config([one for one in parsed if one.key_or_group not in self.groups], config)
        if any(one.is_add() for one in parsed) and not hydra:
            config = typed(config)  # refuses keys that +key=value has added
        return config

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """What a launcher asks for: the config of one job, whose last override names its directory."""
        *overrides, subdir = sweep_overrides
        config = self.compose(master_config, overrides[len(self.shared) :], hydra=True)
        with open_dict(config.hydra):
            config.hydra.mode = RunMode.MULTIRUN
            config.hydra.overrides.task = overrides
            config.hydra.sweep.dir = self.directory
            config.hydra.sweep.subdir = subdir.partition("=")[2]
        return config

    def parse(self, text: str) -> Override:
        return self.parser.parse_overrides([text])[0]

    def usual(self, key: str) -> str:
        """What a key, or a group of choices, is where no job sets it, as a label; of the jobs composed so far."""
        if key in self.groups:
            return label(self.composed[()].hydra.runtime.choices[key])
        value = OmegaConf.select(self.tasks[()], key)
        return label(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def require_swept(key: str) -> None:
    if re.split("[./@]", key.lstrip("+~"))[0] == "hydra":
        raise BadInput(
            f"{key}: belongs to the sweep and not to its jobs, so it cannot be swept; set it once, beside hydra.sweeper"
        )
