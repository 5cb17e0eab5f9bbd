"""The lesson's five comparisons, and the numbers that it reported for them, from one seed each.

The lesson is Udacity's "Weight Initialization": https://github.com/udacity/deep-learning-v2-pytorch, in the folder
weight-initialization.
"""

from functools import partial

from scratchnet import init
from scratchnet.lab.experiment import Arm
from scratchnet.report.tables import Comparison

ZEROS = Arm("zeros", "All zeros", init.zeros)
ONES = Arm("ones", "All ones", init.ones)
UNIFORM = Arm("uniform", "Uniform [0, 1)", init.uniform)
CENTERED = Arm("uniform_centered", "Centered [−0.5, 0.5)", partial(init.uniform, low=-0.5, high=0.5))
RULE = Arm("rule_uniform", "General rule, uniform", init.rule_uniform)
NORMAL = Arm("rule_normal", "General rule, normal", init.rule_normal)
DEFAULT = Arm("torch_linear", "PyTorch's default", init.torch_linear, bias=init.torch_linear_bias)

# arm → (validation accuracy in %, training loss) in the lesson
COMPARISONS = (
    Comparison(
        "zeros-vs-ones",
        "All zeros vs all ones",
        (ZEROS, ONES),
        {"zeros": (9.475, 2.304), "ones": (10.175, 1914.703)},
        "The simplest start gives all weights the same value. Then all units of a layer compute the same, and it is "
        "hard to say which weight should change.",
    ),
    Comparison(
        "uniform-baseline",
        "Uniform baseline",
        (UNIFORM,),
        {},
        "So let the weights differ. The simplest random start takes any value between 0 and 1, all equally likely.",
    ),
    Comparison(
        "centered-vs-rule",
        "Uniform centered vs general rule",
        (CENTERED, RULE),
        {},
        "Positive weights all pull the same way: center them on 0. And how wide should they be? The general rule says "
        "U(−y, y) with y = 1/√n_in: the more inputs a unit has, the smaller each weight.",
    ),
    Comparison(
        "uniform-vs-normal",
        "Uniform vs normal",
        (RULE, NORMAL),
        {},
        "A uniform distribution likes all values of its range equally. Is a normal one with deviation y, which prefers "
        "those near 0, any better?",
    ),
    Comparison(
        "defaults",
        "Default vs normal vs general rule",
        (DEFAULT, NORMAL, RULE),
        {},
        "And what does PyTorch's nn.Linear do if one says nothing about its weights?",
    ),
)
ARMS = list(dict.fromkeys(arm for comparison in COMPARISONS for arm in comparison.arms))
