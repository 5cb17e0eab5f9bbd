"""The page of a comparison, from what results.json holds: question, curves, table, answer, and why."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.lab.intervals import interval
from scratchnet.lab.rates import Choice
from scratchnet.lab.recording import LOOKED_AT
from scratchnet.report import page
from scratchnet.report.accounts import read_on
from scratchnet.report.live import Chart, Steps, walk
from scratchnet.report.page import Folded, Part, Picture, Section, Table, Words
from scratchnet.report.tables import LAST, Comparison, _loss_format, ends

APART = 7  # arms that colours keep apart; of more, a chart starts with the BEST
BEST = 5
WALKS = 1_200_000  # bytes of walks through training: of many arms of a deep network, the first ones
WORDS = [
    "E[y²] is the mean square of a layer's outputs, over its units and images: their size. A start explodes where that "
    "grows more than tenfold from a layer to the next, or a thousandfold from the images; it fades where it shrinks as "
    "much. The gradient, on its way back, is judged by the same limits; and a loss above twice that of a blind guess "
    "counts as an explosion.",
    "Distinct units differ in their weights or bias. A layer is symmetric where fewer than half do: the others repeat "
    "them. The effective rank says how many directions the outputs use: with 1, all images give the same pattern, only "
    "larger or smaller. A layer is dead where more than half of its units are silent for every image, and saturated "
    "where far more outputs than usual lie where the activation is flat, so that hardly any gradient passes.",
]


def write(
    path: str | os.PathLike[str], found: Mapping[str, Any], comparisons: Sequence[Comparison], **how: Any
) -> None:
    """Write what `html` makes, whole or not at all."""
    page.write(path, html(found, comparisons, **how))


def html(
    found: Mapping[str, Any],
    comparisons: Sequence[Comparison],
    *,
    dataset: str,
    note: str,
    explanation: str,
    pictures: Mapping[str, bytes],
    first: int = 100,
    classes: int = 10,
    lesson: bool = False,
    choice: Choice | None = None,
) -> str:
    """The page of a run: `found` is `results`' record of it, and `comparisons` those that it holds, in order.

    `pictures` maps a comparison's key to its static figure; `lesson`: the lesson's own numbers can stand beside ours;
    `choice`: where learning rates were chosen. `dataset`, `note` and `explanation` are the words
    that the tables have.
    """
    seeds = found["settings"]["seeds"]
    lessons = any(comparison.lesson is not None for comparison in comparisons)
    title = "Which initial weights let a network learn?" if lessons else comparisons[0].title
    arms = {arm["key"]: arm for comparison in found["comparisons"] for arm in comparison["arms"]}
    lead: list[Part] = [
        Words(_lead(len(arms), len(seeds), dataset, choice), "lead"),
        *_warnings(found, seeds),
    ]
    parts: list[Part] = [Section("The question", _question(found, note, len(seeds), lessons), "question")]
    for comparison, its in zip(comparisons, found["comparisons"], strict=True):
        parts.append(
            _comparison(comparison, its, seeds, first, classes, pictures.get(comparison.key), lesson and lessons, found)
        )
    parts.append(Section("How sure this is", [Words(explanation.replace("\n", " "))], "sure"))
    if choice:
        parts.append(Section("How the learning rates were chosen", _rates(choice, comparisons), "rates"))
    parts += _why(arms, seeds, classes, plain=found["settings"]["network"] == "mlp")
    more = [("the lesson's story, claim by claim", "`docs/lesson.md`")] if lessons else []
    parts.append(read_on(*more, ("when a difference is called real", "`docs/verdicts.md`")))
    return page.html(title, parts, lead=lead, foot=_foot(found))


def _lead(arms: int, seeds: int, dataset: str, choice: Choice | None) -> str:
    many = f"{seeds} seeds each" if seeds > 1 else "one seed each" if arms > 1 else "one seed"
    differs = "and nothing else" if choice is None else "and for each its own best learning rate"
    what = f": what differs is the initial weights, {differs}" if arms > 1 else ""
    return f"{f'{arms} starts' if arms > 1 else 'One start'} of one network, {many}, on {dataset}{what}."


def _warnings(found: Mapping[str, Any], seeds: Sequence[int]) -> list[Part]:
    parts: list[Part] = []
    if found["dataset"]["stand_in"]:
        parts.append(
            Words(
                "This is not Fashion-MNIST. The images are a stand-in, drawn by code: no "
                "number on this page says anything about Fashion-MNIST.",
                "warning",
            )
        )
    if not found["complete"]:
        parts.append(
            Words(
                "The run was stopped before its end: here is what its "
                f"{len(seeds)} complete seed{'s' * (len(seeds) > 1)} found.",
                "warning",
            )
        )
    if found["quick"]:
        parts.append(
            Words(
                f"A quick look at {found['dataset']['train'] + found['dataset']['validation']:,} images: an early lead "
                "may be gone after a whole training.",
                "small",
            )
        )
    return parts


def _question(found: Mapping[str, Any], note: str, seeds: int, lessons: bool) -> list[Part]:
    ask = (
        "Before a network learns, its weights have to have some values. Udacity's lesson “Weight Initialization” tries "
        "a few on one small network, and watches how the loss falls. This page repeats its experiments"
        if lessons
        else "Before a network learns, its weights have to have some values. This page compares a few such starts"
    )
    many = f", with {seeds} seeds each, so that luck can be told from a better start" if seeds > 1 else ""
    return [
        Words(f"{ask}{many}."),
        Words(f"The network and its training: {note}."),
        Words(
            "For each seed, all starts share the split of the images, the order of the batches and the dropout masks. "
            f"Accuracy is that of {found['dataset']['validation']:,} images held out; dropout is off for them."
        ),
    ]


# --- a comparison -----------------------------------------------------------------------------------------------------


def _comparison(
    comparison: Comparison,
    its: Mapping[str, Any],
    seeds: Sequence[int],
    first: int,
    classes: int,
    picture: bytes | None,
    lesson: bool,
    found: Mapping[str, Any],
) -> Section:
    curves = {arm["label"]: np.array(arm["training_loss"], np.float64) for arm in its["arms"]}
    many = len(curves) > APART
    shown = None
    if many:
        ranked = sorted(its["arms"], key=lambda arm: -float(np.mean(arm["validation_accuracy"])))
        shown = [arm["label"] for arm in ranked[:BEST]]
    answers = its["verdicts"]
    parts: list[Part] = [Words(comparison.question)] if comparison.question else []
    if many:
        parts.append(Words(f"The curves are those of the {BEST} most accurate; switch others on below them.", "small"))
    parts += [
        Chart(
            f"losses-{its['key']}",
            f"Training loss: {its['title']}",
            "Training loss",
            curves,
            seeds,
            first,
            _apart(curves, shown),
            shown,
            {f"blind guess, ln {classes}": math.log(classes)},
        )
    ]
    if picture is not None:
        parts.append(Picture(picture, f"Training loss over batches. {' '.join(answers)}", still=not many))
    table = Table(_rows(its["arms"], comparison.lesson if lesson else None, many), _caption(seeds, found))
    parts += [table, *(Words(answer, "answer") for answer in answers[:6])]
    if len(answers) > 6:
        parts.append(Folded(f"All {len(answers)} verdicts", [Words(answer) for answer in answers[6:]]))
    parts.append(Folded("The curves as a table", [Table(_curve_rows(curves), "Training loss, mean over seeds")]))
    return Section(its["title"], parts, its["key"])


def _apart(curves: Mapping[str, np.ndarray], shown: Sequence[str] | None) -> bool:
    """Whether a linear scale would hide all but one curve: the losses are more than twentyfold apart."""
    some = np.concatenate([values.ravel() for label, values in curves.items() if shown is None or label in shown])
    some = some[np.isfinite(some)]
    return bool(some.size and some.min() > 0 and some.max() / some.min() > 20)


def _caption(seeds: Sequence[int], found: Mapping[str, Any]) -> str:
    steps = min(LAST, len(found["comparisons"][0]["arms"][0]["training_loss"][0]))
    over = f"mean ± standard deviation over {len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    return f"Validation accuracy, and training loss as the mean of the last {steps} batches; {over}"


def _rows(
    arms: Sequence[Mapping[str, Any]], lesson: Mapping[str, tuple[float, float]] | None, ranked: bool
) -> list[list[str]]:
    rows = [["initial weights", "accuracy", "loss", *(["the lesson’s accuracy", "its loss"] if lesson else [])]]
    if ranked:
        arms = sorted(arms, key=lambda arm: -float(np.mean(arm["validation_accuracy"])))
    for arm in arms:
        accuracy = interval([100 * x for x in arm["validation_accuracy"]])
        losses = np.array(arm["training_loss"], np.float64)[:, -LAST:]
        loss = interval(losses.mean(axis=1))
        number = _loss_format(loss.mean)
        diverged = sum(arm["diverged"])
        row = [
            arm["label"],
            _plus_minus(accuracy.mean, accuracy.std, "{:.2f}") + " %",
            _plus_minus(loss.mean, loss.std, number) if math.isfinite(loss.mean) else "diverged",
        ]
        if diverged and math.isfinite(loss.mean):
            row[2] += f", diverged in {diverged} of {len(losses)}"
        if lesson:
            row += (
                [f"{lesson[arm['key']][0]:.3f} %", f"{lesson[arm['key']][1]:.3f}"] if arm["key"] in lesson else ["", ""]
            )
        rows.append(row)
    return rows


def _plus_minus(mean: float, std: float, number: str) -> str:
    return number.format(mean) + ("" if math.isnan(std) else " ± " + number.format(std))


def _curve_rows(curves: Mapping[str, np.ndarray]) -> list[list[str]]:
    """The mean loss of each arm at some batches, 1, 2, 5, 10, … and the last."""
    steps = max(values.shape[1] for values in curves.values())
    at = sorted({steps, *(m * 10**k for k in range(len(str(steps))) for m in (1, 2, 5) if m * 10**k < steps)})
    rows = [["", *(f"batch {batch:,}" for batch in at)]]
    for label, values in curves.items():
        means = values[:, [batch - 1 for batch in at]].mean(axis=0)
        rows.append([label, *(_loss_format(x).format(x) if math.isfinite(x) else "diverged" for x in means)])
    return rows


def _rates(choice: Choice, comparisons: Sequence[Comparison]) -> list[Part]:
    arms = list(dict.fromkeys(arm for comparison in comparisons for arm in comparison.arms))
    rows = [["", *(f"{rate:g}" for rate in choice.rates)]]
    for arm in arms:
        means = 100 * choice.accuracy[arm.key].mean(axis=0)
        rows.append([arm.label, *("diverged" if math.isnan(mean) else f"{mean:.2f} %" for mean in means)])
    return [
        Words("Each start has its own learning rate: each seed takes the best on a part of its training images."),
        Table(rows, "Mean accuracy with each learning rate, on the images on which the rates are chosen"),
        *(Words(sentence) for sentence in ends(choice, arms)),
    ]


# --- why --------------------------------------------------------------------------------------------------------------


def _why(arms: Mapping[str, Mapping[str, Any]], seeds: Sequence[int], classes: int, plain: bool) -> list[Part]:
    walks, room = {}, WALKS
    for arm in arms.values():
        recording = arm["recording"][0]
        room -= recording.get("y") is not None and len(json.dumps(walk(recording, classes)))
        if room > 0 and "y" in recording:
            walks[arm["label"]] = recording
    if not walks:
        return []
    words = (
        "What goes forward in a network: the outputs of each layer, here before the activation. What comes back: the "
        "gradients of the loss there. Both should keep their size from layer to layer; where they grow or fade, the "
        "first layers learn wildly or not at all. And units that do not differ count as one."
    )
    if len(walks) < len(arms):
        words += f" There is room for {len(walks)} of the {len(arms)} starts here; results.json has all."
    if not plain:
        words += " The layers are the Linear ones of the network itself; those inside of its blocks are not looked at."
    steps = Steps("why", "Outputs, gradients and units of each layer, step by step", walks, classes)
    caption = (
        f"What the rules say of each start, by step: seed {seeds[0]}, {LOOKED_AT} validation images. The rules are "
        "made to judge a start: learning makes signals larger, so that a network that has learned may break one too"
    )
    choose = Words("Choose a start and step through its training.", "live")
    meanings = Folded("What the words mean", [Words(text) for text in WORDS])
    return [Section("Why", [Words(words), choose, steps, meanings, Table(steps.table(), caption)], "why-section")]


def _foot(found: Mapping[str, Any]) -> list[Part]:
    used = found["environment"]
    return [
        Words(
            f"Made by scratchnet {used['scratchnet']} with NumPy {used['numpy']} and Python {used['python']}.", "small"
        ),
        Words(f"Command: `{' '.join(found['command'])}`", "small"),
    ]
