"""Small runs and their pages, for the tests of pages: a network of a few units that trains in a blink."""

from dataclasses import replace

import numpy as np

from scratchnet.lab.comparison import by_arm
from scratchnet.lab.experiment import Settings, named, train_stack
from scratchnet.report import plots, story
from scratchnet.report.results import results
from scratchnet.report.tables import Comparison, explanation, judged, verdicts

SMALL = Settings(sizes=(784, 20, 16, 10), batch_size=4, epochs=1)


def found(dataset, arms, seeds=(0, 1, 2), settings=SMALL, images=600, lesson=None, **more):
    """(results, comparison, explanation) of a small run, of names or `Arm`s."""
    arms = tuple(named(arm) if isinstance(arm, str) else arm for arm in arms)
    dataset = replace(dataset, images=dataset.images[:images], labels=dataset.labels[:images])
    runs = by_arm(train_stack(arms, seeds, dataset.images, dataset.labels, settings))
    comparison = Comparison("chosen-arms", "Chosen arms", arms, lesson)
    judgement = judged([comparison], runs, [0.1 for _ in seeds])
    record = results([comparison], runs, dataset, settings, judgement, command=["compare.py"], **more)
    return record, comparison, explanation(judgement, len(seeds)), verdicts(comparison, judgement)


def document(dataset, arms, *, lesson=None, **how):
    """The page of a small run."""
    record, comparison, told, answers = found(dataset, arms, lesson=lesson, **how)
    its = record["comparisons"][0]["arms"]
    curves = {arm["label"]: np.array(arm["training_loss"], np.float64) for arm in its}
    pictures = {}
    if len(curves) <= len(plots.COLORS):
        figure = plots.losses("Chosen arms", curves, dataset="x", answer="\n".join(answers))
        pictures = {comparison.key: plots.svg(figure)}
    return story.html(
        record,
        [comparison],
        dataset=dataset.title,
        note="784-20-16-10",
        explanation=told,
        pictures=pictures,
        lesson=lesson is not None,
    )
