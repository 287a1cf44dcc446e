"""The documentation: whole, and right where it can be checked without building it."""

import json
import re

import pytest
from conftest import ROOT

import astrokeras

PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not {"build", ".venv"} & set(page.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#([^)\s]*))?\)")  # none to elsewhere
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def anchors(page):
    """Return the anchors of a page's headings, as a code host makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text()):
        found = (page.parent / target).resolve()
        assert found.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(found), f"{target} has no #{anchor}"


def test_each_public_name_is_in_the_reference():
    pages = (ROOT / "docs" / "api").glob("*.md")
    text = "\n".join(page.read_text() for page in pages)
    shown = re.findall(r"^::: astrokeras\.(\S+)", text, re.MULTILINE)

    assert set(astrokeras.__all__) - {"__version__"} <= set(shown)


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]

    assert [cell for cell in cells if cell.get("outputs")] == []
