"""The pages of why.py and study.py, in the dress of a comparison's: diagnoses layer by layer, and papers' claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scratchnet.lab.diagnostics import Diagnosis
from scratchnet.lab.study import Study
from scratchnet.report import page
from scratchnet.report.diagnoses import EXPLANATION, cells, reasons, whole
from scratchnet.report.findings import qualified
from scratchnet.report.page import Folded, Part, Picture, Section, Table, Words
from scratchnet.report.results import environment
from scratchnet.report.tables import Comparison

STAND_IN = (
    "This is not Fashion-MNIST. The images are a stand-in, drawn by code: no number on this page says anything about "
    "Fashion-MNIST."
)
READ_ON = [
    ("how large a weight should be, and why: one neuron, then many layers", "`docs/initialization.md`"),
    ("what the rules count, and where their limits are", "`docs/diagnostics.md`"),
    ("the lines that made these numbers", "`scratchnet/layers.py`, and `scratchnet/init/schemes.py` for the starts"),
    ("to change one thing and watch", "`python scripts/play.py`"),
]
COLUMNS = " ".join(EXPLANATION.split())


def why(
    comparisons: Sequence[Comparison],
    start: Mapping[str, Diagnosis],
    after: Mapping[str, tuple[str, Diagnosis]],
    *,
    units: Sequence[str] = (),
    pictures: Mapping[str, bytes],
    dataset: str,
    stand_in: bool,
    note: str,
    classes: int,
    command: Sequence[str],
) -> str:
    """Each comparison with its picture and, for each arm, its table and verdicts before training.

    `start` maps an arm's key to its diagnosis, `after` a key to a heading and the diagnosis after some steps; `units`
    are sentences on what became of the units, and `pictures` maps "why-KEY" and "why-units" to figures.
    """
    lead: list[Part] = [
        Words(f"What initial weights do to signals, gradients and units, layer by layer, on {dataset}.", "lead"),
        *([Words(STAND_IN, "warning")] if stand_in else []),
        Words(f"{note}."),
    ]
    parts: list[Part] = []
    told: set[str] = set()
    for comparison in comparisons:
        inside: list[Part] = []
        if f"why-{comparison.key}" in pictures:
            shows = "; ".join(f"{arm.label}: {', '.join(start[arm.key].words)}" for arm in comparison.arms)
            inside.append(Picture(pictures[f"why-{comparison.key}"], f"Six panels over the layers. {shows}"))
        for arm in comparison.arms:
            if arm.key in told:
                words = ", ".join(start[arm.key].words)
                inside.append(Section(f"{arm.label}: {words}", [Words("Its table is above.", "small")], level=3))
            else:
                inside.append(diagnosed(arm.label, start[arm.key], classes))
            told.add(arm.key)
        parts.append(Section(comparison.title, inside, comparison.key))
    if after:
        inside = [Picture(pictures["why-units"], " ".join(units))] if "why-units" in pictures else []
        inside += [Words(sentence) for sentence in units]
        inside += [diagnosed(heading, diagnosis, classes) for heading, diagnosis in after.values()]
        parts.append(Section("After some steps", inside, "after"))
    parts += [Section("What the columns are", [Words(COLUMNS)], "columns"), read_on()]
    return page.html("Why does a start work, or fail?", parts, lead=lead, foot=foot(command))


def diagnosed(heading: str, diagnosis: Diagnosis, classes: int) -> Section:
    """An arm's verdicts, each with its number and rule, its table, and the network as a whole."""
    first, *lines = cells(diagnosis)
    rows = [("layer", *first[1:]), *lines]
    parts: list[Part] = [Words(reason, "answer") for reason in reasons(diagnosis)]
    parts.append(Table(rows, "Measured and, in brackets, what theory expects of independent weights of this size"))
    parts.append(Folded("The network as a whole", [Words(" ".join(whole(diagnosis, classes).split()))]))
    return Section(f"{heading}: {', '.join(diagnosis.words)}", parts, level=3)


def studies(some: Sequence[Study], records: Sequence[Mapping[str, Any]], pictures: Mapping[str, bytes]) -> str:
    """An index of studies with their outcomes, and each with its claim, rule, outcome, figure and table.

    `records` are those of `findings.record`, one for each study; `pictures` maps a study's name to its figure. Where
    all figures are too large for one page, the largest are left out, and the page says where they are.
    """
    room = page.MOST * 2 // 3  # in bytes before base64, with words and tables beside them
    kept = {}
    for name, image in sorted(pictures.items(), key=lambda item: len(item[1])):
        room -= len(image) * 4 // 3
        if room > 0:
            kept[name] = image
    rows = [["study", "the claim", "in short"]]
    rows += [[study.title, qualified(record), record["answer"]] for study, record in zip(some, records, strict=True)]
    parts: list[Part] = [Section("What held", [Table(rows, "Outcomes, by rules that were written before the run")])]
    parts += [_studied(study, record, kept.get(study.name)) for study, record in zip(some, records, strict=True)]
    lead: list[Part] = [
        Words("What papers and the lesson claim about initial weights, tried on one small network.", "lead"),
        *([Words(STAND_IN, "warning")] if any(record["dataset"]["stand_in"] for record in records) else []),
    ]
    return page.html("Papers’ claims, re-run", parts, lead=lead, foot=foot(records[-1]["command"] if records else ()))


def _studied(study: Study, record: Mapping[str, Any], picture: bytes | None) -> Section:
    parts: list[Part] = [
        Words(f"The claim {qualified(record)}. {record['answer']}", "answer"),
        Words(f"Claim: {record['claim']} Source: {record['source']}."),
        Words(f"Rule: {record['rule']}"),
        Folded("The experiment", [Words(" ".join(study.experiment.split()))]),
    ]
    if record["quick"]:
        parts.insert(0, Words("A quick look, too small to decide.", "small"))
    if picture is not None:
        parts.append(Picture(picture, record["answer"]))
    else:
        parts.append(Words(f"The figure is in `{study.name}.png`, beside this page.", "small"))
    parts.append(Table(record["rows"], study.title))
    if study.remarks:
        parts.append(Words(" ".join(study.remarks.split())))
    return Section(study.title, parts, study.name)


def read_on(*more: tuple[str, str]) -> Section:
    """Where a reader goes from a page, as names of files: a page that is sent elsewhere could not link to them."""
    rows = [("you want", "read or run, in a copy of scratchnet"), *more, *READ_ON]
    return Section("Where to go from here", [Table(rows)], "read-on")


def foot(command: Sequence[str]) -> list[Part]:
    """Versions and the command, for the end of a page."""
    used = environment()
    made = f"Made by scratchnet {used['scratchnet']} with NumPy {used['numpy']} and Python {used['python']}."
    return [Words(made, "small"), Words(f"Command: `{' '.join(command)}`", "small")]
