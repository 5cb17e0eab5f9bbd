"""A page in one file: sections of words, tables, pictures and live figures, which asks the network for nothing.

    html("Title", [Section("A heading", [Words("A paragraph."), Table(rows), Picture(svg, "what it shows")])])

makes a document with its style, its script and its data inside, light or dark as the reader's system is. Each part has
`html()`; what a reader's file names is text, and never markup. Without a script, and on paper, the `Picture`s and
tables stand by themselves; with one, live figures (see `live`) take the place of the pictures that are `still`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Protocol

from scratchnet.files import replacing

WEB = Path(__file__).parent / "web"
MOST = 3_000_000  # bytes of a page

# The style and scripts that are in the file, by their hashes, and data: images. Nothing else may be loaded or sent.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:; base-uri 'none'; form-action 'none'"
)
NUMBER = re.compile(r"[+−-]?[\d.,]+(e[−+-]?\d+)?( ± [\d.,e+-]+)?( ?%)?( \([^)]*\))?|∞|–|diverged|n/a|NaN|")


class Part(Protocol):
    """What a page is made of."""

    def html(self) -> str:
        """Markup that can stand among others in a section."""
        ...


@dataclass(frozen=True)
class Words:
    """A paragraph, with `code` between backticks. `kind`: "lead", "answer", "warning", "small", or "live", where a
    script runs.
    """

    text: str
    kind: str = ""

    def html(self) -> str:
        return f"<p{_class(self.kind)}>{words(self.text)}</p>"


@dataclass(frozen=True)
class Table:
    """Rows of text, of which the first names the columns, and the first cell of each other one its row.

    Columns of numbers are set to the right; rows that are too short end in empty cells.
    """

    rows: Sequence[Sequence[str]]
    caption: str = ""

    def html(self) -> str:
        head, *body = self.rows
        body = [[*row, *[""] * (len(head) - len(row))] for row in body]
        kinds = [_class("number" * (k > 0 and all(NUMBER.fullmatch(row[k]) for row in body))) for k in range(len(head))]
        top = "".join(
            f'<th scope="col"{kind}>{words(text)}</th>' if text else f"<td{kind}></td>"
            for text, kind in zip(head, kinds, strict=True)
        )
        lines = "".join(
            f'<tr><th scope="row">{words(row[0])}</th>'
            + "".join(f"<td{kind}>{words(text)}</td>" for text, kind in zip(row[1:], kinds[1:], strict=True))
            + "</tr>"
            for row in body
        )
        name = f'aria-label="{escape(self.caption or "Table")}"'
        caption = f'<p class="caption">{words(self.caption)}</p>' if self.caption else ""
        return (  # the caption is outside of what scrolls on a phone
            f'{caption}<div class="scroll" role="region" tabindex="0" {name}><table {name}>'
            f"<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
        )


@dataclass(frozen=True)
class Picture:
    """A static figure: an SVG or a PNG, what it shows for those who cannot see it, and a caption.

    `still`: a live figure stands beside it, which takes its place on a screen where there is a script.
    """

    image: bytes
    shows: str
    caption: str = ""
    still: bool = False

    def html(self) -> str:
        kind = "png" if self.image.startswith(b"\x89PNG") else "svg+xml"
        source = f"data:image/{kind};base64,{base64.b64encode(self.image).decode()}"
        caption = f"<figcaption>{words(self.caption)}</figcaption>" if self.caption else ""
        still = " still" * self.still
        return f'<figure class="picture{still}"><img src="{source}" alt="{escape(self.shows)}">{caption}</figure>'


@dataclass(frozen=True)
class Folded:
    """Parts that a reader may open; on paper they are open."""

    summary: str
    parts: Sequence[Part]

    def html(self) -> str:
        return f"<details><summary>{words(self.summary)}</summary>{_all(self.parts)}</details>"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it. `name` is its anchor, if there is one."""

    heading: str
    parts: Sequence[Part]
    name: str = ""
    level: int = 2

    def html(self) -> str:
        anchor = f' id="{escape(self.name)}"' if self.name else ""
        return f"<section{anchor}><h{self.level}>{words(self.heading)}</h{self.level}>{_all(self.parts)}</section>"


def words(text: str) -> str:
    """Text as markup: all of it escaped, and what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def data(content: Any, name: str) -> str:
    """`content` as JSON for a script to read, under the id `name`; no text in it can end the element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'


def _class(name: str) -> str:
    return f' class="{escape(name)}"' if name else ""


def _all(parts: Iterable[Part]) -> str:
    return "\n".join(part.html() for part in parts)


# --- the document ---------------------------------------------------------------------------------------------------


def html(title: str, parts: Sequence[Part], *, lead: Sequence[Part] = (), foot: Sequence[Part] = ()) -> str:
    """A whole document: `lead` stands below the title, `foot` below a rule at the end."""
    style = (WEB / "uplot" / "uPlot.min.css").read_text("utf-8") + (WEB / "page.css").read_text("utf-8")
    licence = (WEB / "uplot" / "LICENSE").read_text("utf-8").strip()
    plotter = f"/*\nuPlot {licence}\n*/\n" + (WEB / "uplot" / "uPlot.iife.min.js").read_text("utf-8")
    scripts = [plotter, (WEB / "page.js").read_text("utf-8")]
    policy = POLICY.format(scripts=" ".join(map(_hash, scripts)), styles=_hash(style))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{words(title)}</h1>\n{_all(lead)}</header>\n<main>\n{_all(parts)}\n</main>\n"
        f"<footer>{_all(foot)}</footer>\n"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write(path: str | os.PathLike[str], document: str) -> None:
    """Write a document that `html` made, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="replace", newline="\n")  # as a path of odd bytes has
