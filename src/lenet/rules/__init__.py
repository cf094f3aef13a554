"""Which configs are legal: every value by itself, then what may not be together. Imports no torch.

Bounds and choices stand with their keys, in `lenet.config`. Each rule here yields complaints: a key and a remedy.
"""

from lenet.config import Config, value_of
from lenet.errors import BadInput
from lenet.rules.data import data_rules
from lenet.rules.model import model_rules
from lenet.rules.processes import device_rules
from lenet.rules.stopping import early_stopping_rules, schedule_rules, stopping_rules
from lenet.rules.training import loss_rules, optimizer_rules, overfitting_rules, test_rules, trainer_rules
from lenet.rules.values import dashboard_rules, name_rules, unread_rules, value_rules


def validate(config: Config) -> None:
    """Check every value by itself, then together.

    Raises:
        BadInput: the first thing found wrong: the key, the value, and what would be legal.
    """
    rules = (
        value_rules,
        unread_rules,
        dashboard_rules,
        name_rules,
        data_rules,
        model_rules,
        optimizer_rules,
        loss_rules,
        trainer_rules,
        stopping_rules,
        overfitting_rules,
        schedule_rules,
        early_stopping_rules,
        test_rules,
        device_rules,
    )
    for rule in rules:
        for key, remedy in rule(config):
            raise BadInput(f"{key}={value_of(config, key)}: {remedy}")
