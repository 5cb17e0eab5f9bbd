"""What a study found, in words and numbers: a section of text, and a record for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.lab.study import Finding, Study
from scratchnet.report.results import environment


def text(study: Study, finding: Finding, *, note: str) -> str:
    """For a terminal: the claim, the rule, the table and what the rule says, in 80 columns."""

    def paragraph(heading: str, words: str) -> str:
        return textwrap.fill(f"{heading}: {_flat(words)}", 80, subsequent_indent="  ", break_on_hyphens=False)

    return "\n".join(
        [
            f"== {study.title} ==",
            paragraph("Claim", f"{study.claim} ({study.source})"),
            paragraph("Experiment", study.experiment),
            paragraph("Rule", study.rule),
            textwrap.fill(note, 80),
            "",
            table(finding.rows),
            "",
            textwrap.fill(f"→ The claim {finding.outcome}. {finding.answer}", 80, subsequent_indent="  "),
        ]
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as their widest cell, without blanks at the end of a line."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def section(study: Study, finding: Finding, *, command: str, minutes: float, note: str, look: bool) -> str:
    """A page of Markdown: what `text` says, the figure, the command and its `minutes` of processor time."""
    head, *body = finding.rows
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [head, *body]]
    rows.insert(1, "|" + "---|" * len(head))
    paragraphs = [
        f"# {study.title}",
        f"**Claim.** {_flat(study.claim)} Source: {_flat(study.source)}.",
        f"**Experiment.** {_flat(study.experiment)}",
        f"**Rule**, written before the run. {_flat(study.rule)}",
        f"**Outcome: the claim {finding.outcome}.** {finding.answer}",
        f"![{finding.answer}]({study.name}.png)",
        "\n".join(rows),
        _flat(study.remarks),
        f"`{command}` took {minutes:.1f} minutes of processor time, spread over the cores. {note}",
        "This was a quick look, too small to say more than that it works." if look else "",
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def index(studies: Sequence[Study], records: Sequence[Mapping[str, Any]]) -> str:
    """A page of Markdown that lists studies with their outcomes, from the `record` of each."""
    total = sum(found["processor_seconds"] for found in records) / 60
    lines = [
        "# Papers' claims, re-run",
        "Each page says what is claimed, what was done here, the rule, written before the run (where that or a size "
        "was changed after a first run, the page says so), and what came out. "
        "`python scripts/study.py NAME` repeats one; `--all` repeats all, `--quick` is a look.",
        "\n".join(
            [
                "| question | the claim | in short | minutes |",
                "|---|---|---|---|",
                *(
                    f"| [{study.title}]({study.name}.md) | {qualified(found)} | {found['answer']} | "
                    f"{found['processor_seconds'] / 60:.1f} |"
                    for study, found in zip(studies, records, strict=True)
                ),
            ]
        ),
        f"Minutes are processor time, {total:.0f} in all; on two cores it takes about half as long.",
    ]
    return "\n\n".join(lines) + "\n"


def is_record(found: Any) -> bool:
    """Whether what was read from a file is a `record`, as far as `index` and the page of studies need it."""
    kinds: dict[str, type] = dict.fromkeys(("study", "claim", "source", "rule", "outcome", "answer"), str)
    kinds |= {"rows": list, "dataset": dict, "command": list, "processor_seconds": float, "quick": bool}
    if not (isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in kinds.items())):
        return False
    rows, words = found["rows"], list(found["command"])
    if not (rows and all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)):
        return False
    return "stand_in" in found["dataset"] and all(isinstance(word, str) for word in sum(rows, words))


def qualified(found: Mapping[str, Any]) -> str:
    """The outcome in a `record`, and what makes it less than a result."""
    less = ["a quick look"] if found["quick"] else []
    less += ["not Fashion-MNIST"] if found["dataset"]["stand_in"] else []
    return found["outcome"] + (f" ({', '.join(less)})" if less else "")


def record(
    study: Study,
    finding: Finding,
    numbers: Mapping[str, Any],
    dataset: Dataset,
    *,
    command: Sequence[str],
    seconds: float,
    used: float,
    quick: bool = False,
) -> dict[str, Any]:
    """Everything that the section and the figure show, ready for JSON: NaN and infinity are None."""
    return {
        "study": study.name,
        "claim": _flat(study.claim),
        "source": _flat(study.source),
        "rule": _flat(study.rule),
        "outcome": str(finding.outcome),
        "answer": finding.answer,
        "rows": [list(row) for row in finding.rows],
        "numbers": _plain(numbers),
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "stand_in": dataset.stand_in},
        "command": list(command),
        "quick": quick,
        "seconds": round(seconds, 1),
        "processor_seconds": round(used, 1),
        "environment": environment(),
    }


def _plain(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {str(key): _plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [_plain(value) for value in x]
    if isinstance(x, (np.bool_, np.integer)):
        return x.item()
    if isinstance(x, (float, np.floating)):
        return float(f"{x:.7g}") if np.isfinite(x) else None
    return x


def _flat(words: str) -> str:
    """Words of a docstring, without its line breaks."""
    return " ".join(words.split())
