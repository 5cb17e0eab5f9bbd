"""The site: `sphinx-build -W -n -b html docs OUT` (extra `docs`). The pages are plain GitHub Markdown.

Sphinx, MyST and Furo do nearly all of it. Three things are done here: docstrings are Markdown like the pages, formulas
become MathML at build time, so that no script has to typeset them, and a link to a file of the repository, which GitHub
shows, leads to that file's text on the site too.
"""

import html
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils import new_document
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from myst_parser.parsers.sphinx_ import MystParser
from pygments.lexers import get_lexer_for_filename
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]

# --- settings -------------------------------------------------------------------------------------------------

project = "scratchnet"
author = "the authors of scratchnet"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["**/__pycache__"]
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # as GitHub does
myst_heading_anchors = 4
highlight_language = "text"  # of a block that names no language
smartquotes = False

html_theme = "furo"
html_title = "scratchnet"
html_copy_source = html_show_copyright = False
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Array": "Array"}
# Types of other packages are named, and lead nowhere: their sites cannot be asked without a network.
nitpick_ignore_regex = [(r"py:.*", r"(?!scratchnet\.).*"), (r"py:class", r"scratchnet\.lab\.intervals\.Pair")]
# Local links are checked by -W and by tests/test_site.py. `sphinx-build -b linkcheck -t network docs OUT` asks the net.
linkcheck_ignore = [] if tags.has("network") else [r"https?://"]  # noqa: F821


def studies_below_their_index(app, docname, source) -> None:
    """scripts/study.py writes the index of the studies; here it gets its children in the site's sidebar."""
    if docname == "studies/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


# --- docstrings -----------------------------------------------------------------------------------------------


class Docstring(SphinxDirective):
    """The content is Markdown, in the dialect of the pages."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        document = new_document(self.get_source_info()[0], self.state.document.settings)
        MystParser().parse("\n".join(self.content), document)
        return document.children


def as_markdown(app, what, name, obj, options, lines) -> None:
    """Hand a docstring to `Docstring`; a doctest, which in Markdown would be a quotation, in a fence."""
    text = re.sub(r"^>>> .*?(?=\n\n|\Z)", r"```pycon\n\g<0>\n```", "\n".join(lines).strip(), flags=re.M | re.S)
    lines[:] = [".. docstring::", "", *("   " + line for line in text.splitlines()), ""]


def skip_member(app, what, name, obj, skip, options) -> bool | None:
    """Leave out the fields of named tuples, which say no more than their number."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


# --- formulas -------------------------------------------------------------------------------------------------


SYNONYMS = {"gt": ">", "lt": "<", "dots": r"\ldots"}  # what docutils knows by another name


def mathml(node, as_block=False) -> str:
    """The formula as MathML; what docutils does not know is a warning, and stays as it is written."""
    tex = re.sub(r"\\(gt|lt|dots)\b", lambda command: SYNONYMS[command[1]], node.astext())
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("%s in %s", error, tex, location=node)
        return f"<code>{html.escape(tex)}</code>"


def visit_math(translator, node) -> None:
    translator.body.append(mathml(node))
    raise nodes.SkipNode


def visit_math_block(translator, node) -> None:
    room = (
        'style="padding-block: 0.5em" display='  # for what hangs out of a line: without it the theme adds a scroll bar
    )
    translator.body.append(mathml(node, as_block=True).replace("display=", room, 1))
    raise nodes.SkipNode


# --- files of the repository ----------------------------------------------------------------------------------


def page_of(path: Path) -> str:
    """The page that shows a file or a folder of the repository."""
    inside = path.relative_to(ROOT)
    if inside.parts[0] == "scratchnet" and path.suffix == ".py":
        return f"_modules/{inside.with_suffix('')}"  # made by viewcode
    return f"files/{inside}"


class FileLinks(SphinxTransform):
    """A link that MyST takes for a download, or for nothing since it is a folder, leads to `page_of` the file."""

    default_priority = 800  # before downloads are collected

    def apply(self) -> None:
        links = [*self.document.findall(addnodes.download_reference), *self.document.findall(addnodes.pending_xref)]
        for link in links:
            target = link["reftarget"].partition("#")[0]
            path = (Path(self.env.doc2path(self.env.docname)).parent / target).resolve()
            isfile = isinstance(link, addnodes.download_reference)
            if link.get("reftype") == "myst" and target and path.is_relative_to(ROOT) and (isfile or path.is_dir()):
                page = page_of(path)
                self.env.repository_files = {*getattr(self.env, "repository_files", ()), path}
                target = self.app.builder.get_relative_uri(self.env.docname, page)
                link.replace_self(nodes.reference("", "", *link.children, refuri=target, internal=True))


def pages_of_files(app):
    """A page for each file that some page links to, and for each folder, with all its files."""
    todo = sorted(getattr(app.env, "repository_files", ()))
    todo += [file for folder in todo if folder.is_dir() for file in sorted(folder.glob("*.*")) if file.is_file()]
    for path in dict.fromkeys(todo):
        page = page_of(path)
        if page.startswith("_modules/"):
            continue
        if path.is_dir():
            names = [file for file in todo if file.parent == path]
            links = [(app.builder.get_relative_uri(page, page_of(file)), file.name) for file in names]
            body = "<ul>" + "".join(f'<li><a href="{url}">{name}</a></li>' for url, name in links) + "</ul>"
        else:
            lexer = get_lexer_for_filename(path.name).aliases[0]
            body = app.builder.highlighter.highlight_block(path.read_text("utf-8"), lexer)
        name = path.relative_to(ROOT)
        yield page, {"title": str(name), "body": f"<h1>{name}</h1>\n{body}"}, "page.html"


def for_keyboards_and_screen_readers(app, pagename, templatename, context, doctree) -> None:
    """What axe-core misses in Furo's pages: a level for headings in the sidebar, and code that a key can scroll."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    context["body"] = context.get("body", "").replace("<pre>", '<pre tabindex="0">')


def setup(app) -> None:
    app.connect("html-page-context", for_keyboards_and_screen_readers, priority=900)  # after Furo
    app.connect("source-read", studies_below_their_index)
    app.add_directive("docstring", Docstring)
    app.connect("autodoc-process-docstring", as_markdown)
    app.connect("autodoc-skip-member", skip_member)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_transform(FileLinks)
    app.connect("html-collect-pages", pages_of_files)
