"""Arms and settings that several test files compare, small enough to be quick."""

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Run, Settings

ARMS = [
    Arm("rule", "rule", init.rule_uniform),
    Arm("normal", "normal", init.rule_normal),
    Arm("default", "default", init.torch_linear, bias=init.torch_linear_bias),
    Arm("zeros", "zeros", init.zeros),
    Arm("wide", "wide", init.uniform),
]
SETTINGS = Settings(sizes=(784, 32, 16, 10), epochs=1)


def same(a: Run, b: Run) -> bool:
    """Equal to the last bit."""
    return (
        (a.arm, a.seed, a.validation_accuracy, a.validation_loss)
        == (b.arm, b.seed, b.validation_accuracy, b.validation_loss)
    ) and np.array_equal(a.training_loss, b.training_loss)
