"""The site of docs/: it is built without a warning, its links lead somewhere, and it opens without a network."""

import os
import posixpath
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

import pytest
from browser import barriers, chromium, console, emulate, phone, requests
from conftest import ROOT
from test_structure import ROOMS

REQUIRED = bool(os.environ.get("SCRATCHNET_DOCS_REQUIRED"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    if not find_spec("furo") and not REQUIRED:
        pytest.skip('Sphinx, MyST and Furo are not installed: python -m pip install -e ".[docs]"')
    out = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", "-d", f"{out}-doctrees"]
    done = subprocess.run([sys.executable, *command, "docs", str(out)], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return out


class Page(HTMLParser):
    """The addresses that a page names, and the names by which its parts can be reached."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.loaded = [], set(), []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        address = attrs.get("href") or attrs.get("src")
        if address is not None:
            self.links.append(address)
            if tag != "a":
                self.loaded.append(address)


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def test_every_link_of_the_site_leads_to_a_page_and_to_a_place_on_it(site, pages):
    for name, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme:
                continue
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(url.path))) if url.path else name
            )
            assert (site / target).is_file(), f"{name} links to {link}"
            if url.fragment and target in pages:
                assert unquote(url.fragment) in pages[target].ids, f"{name} links to {link}"


def test_no_page_loads_anything_from_the_net(pages):
    assert len(pages) > 60
    for name, page in pages.items():
        assert not [address for address in page.loaded if re.match(r"(https?:)?//", address)], name


def test_a_link_to_a_file_of_the_repository_shows_that_file(site, pages):
    links = pages["your-own.html"].links
    assert "files/docs/examples/laplace.py.html" in links
    assert "files/docs/examples.html" in links
    assert "examples/laplace.py.html" in pages["files/docs/examples.html"].links
    assert "_modules/scratchnet/lab/intervals.html" in pages["verdicts.html"].links
    assert not (site / "_downloads").exists()


def test_the_reference_names_every_file_in_reading_order(pages):
    for room, (names, _) in ROOMS.items():
        text = (ROOT / "docs" / "reference" / f"{room or 'mathematics'}.rst").read_text("utf-8")
        modules = [".".join(filter(None, ("scratchnet", room, name))) for name in names]
        assert re.findall(r"^\.\. automodule:: (\S+)$", text, re.MULTILINE) == modules
    text = (ROOT / "docs" / "reference" / "studies.rst").read_text("utf-8")
    studies = {path.stem for path in (ROOT / "scratchnet" / "lab" / "studies").glob("[a-z]*.py")}
    assert set(re.findall(r"automodule:: scratchnet\.lab\.studies\.(\S+)$", text, re.MULTILINE)) == studies
    assert {"scratchnet.layers.Linear", "scratchnet.layers.Linear.backward"} <= pages["reference/mathematics.html"].ids
    assert "scratchnet.init.schemes.he_normal" in pages["reference/init.html"].ids


def test_a_docstring_is_read_as_markdown(site):
    html = (site / "reference" / "mathematics.html").read_text("utf-8")
    assert '<strong>Rows are examples.</strong> <code class="docutils literal notranslate">' in html
    assert "**" not in re.sub(r"<pre>.*?</pre>|<dt.*?</dt>", "", html, flags=re.DOTALL)


def test_a_formula_becomes_mathml(site, tmp_path):
    """In a site of one page, with this site's settings."""
    (tmp_path / "conf.py").write_text((ROOT / "docs" / "conf.py").read_text("utf-8"), "utf-8")
    (tmp_path / "index.md").write_text("# Sums\n\nLet $n_{in}$ be\n\n$$\\sum_k x_k$$\n\n```math\ny\n```\n", "utf-8")
    command = ["-m", "sphinx", "-q", "-W", "-n", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, *command], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert len(re.findall("<math ", html)) == 3
    assert len(re.findall('display="block"', html)) == 2
    assert "<msub>" in html


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_browser_shows_the_site_without_a_network_and_without_complaint(site, tmp_path, theme):
    with chromium(tmp_path / "profile") as page:
        emulate(page, theme=theme)
        for name in ("index", "initialization", "reference/mathematics", "files/docs/examples/laplace.py"):
            page.get((site / f"{name}.html").as_uri())
            assert console(page) == []
            assert [url for url in requests(page) if not url.startswith("file:")] == []
            assert page.find_element("tag name", "h1").is_displayed()


def test_a_search_finds_a_page(site, tmp_path):
    with chromium(tmp_path / "profile") as page:
        page.get((site / "search.html").as_uri() + "?q=orthogonal")
        page.implicitly_wait(10)
        assert page.find_element("css selector", "#search-results li a").get_attribute("href").startswith("file:")


def test_a_phone_scrolls_no_page_sideways(site, tmp_path):
    with chromium(tmp_path / "profile") as page:
        phone(page)
        for name in ("index", "initialization", "lesson", "reference/init"):
            page.get((site / f"{name}.html").as_uri())
            assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), name


def test_the_front_page_is_open_to_everyone(site, tmp_path):
    with chromium(tmp_path / "profile") as page:
        page.get((site / "index.html").as_uri())
        assert barriers(page) == []
