"""Settings side by side in one table: activations, optimizers, depths.

python docs/examples/variants.py
"""

from lion import Lion
from softplus import Softplus

from scratchnet import init
from scratchnet.data import load
from scratchnet.lab.comparison import by_arm, compare
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.report.tables import Comparison, judged, table, verdicts

SEEDS = range(5)
VARIANTS = {
    "lesson": Settings(),
    "Softplus": Settings(activation=Softplus),
    "Lion at 0.0001": Settings(optimizer=Lion, learning_rate=0.0001),
    "784-256-128-64-10": Settings(sizes=(784, 256, 128, 64, 10)),
}

dataset = load()
arms = tuple(Arm(name, name, init.he_normal) for name in VARIANTS)
runs = []
for arm in arms:
    runs += compare([arm], dataset, VARIANTS[arm.key], seeds=SEEDS)
comparison, runs = Comparison("variants", "Variants", arms), by_arm(runs)
print(table(comparison, runs), *verdicts(comparison, judged([comparison], runs)), sep="\n")
