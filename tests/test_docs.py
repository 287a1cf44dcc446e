"""The documentation: whole, and right where it can be checked without building it."""

import json
import re
import shlex

import numpy as np
import pytest
import typer
from conftest import ROOT

import astrokeras
from astrokeras import plotting
from astrokeras.cli import app
from astrokeras.config import compose

pytestmark = pytest.mark.neutral

PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not {"build", ".venv"} & set(page.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#([^)\s]*))?\)")  # none to elsewhere
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Pages whose Python needs no more than a preset and a few tracers.
RUN = ("README.md", "docs/data.md", "docs/index.md", "docs/quickstart.md")
RUN += ("docs/species.md", "docs/expected_errors.md", "docs/tracks.md")
# Variants and folders of these names are the reader's own.
OWN = re.compile(r"=(mine|shock|best-1)$")


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

    figures = {f"plotting.{name}" for name in plotting.__all__}
    assert {*astrokeras.__all__, *figures} - {"__version__"} <= set(shown)


def test_the_figures_of_the_presets_are_those_of_their_evaluations(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import page_figures

    for page in page_figures.PAGES:
        text = (ROOT / page).read_text()

        assert page_figures.render(text) == text, "run `just numbers`"
    # A figure that was changed by hand would be found.
    text = (ROOT / "README.md").read_text()
    stale = text.replace("| `grav` |", "| `gravity` |")
    assert stale != page_figures.render(stale) == text


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]

    assert [cell for cell in cells if cell.get("outputs")] == []


def blocks(page, *languages):
    """Return the blocks of code on a page in some languages."""
    return [code for name, code in BLOCK.findall(page.read_text()) if name in languages]


@pytest.fixture(scope="module")
def names():
    """Return what the blocks take as given: two tracers, four intervals, a solver."""
    with astrokeras.TracerStore(astrokeras.resource("data") / "grav.h5") as store:
        tracers = store.read(store.rows("test")[:2])
    time = np.array([0, 92.9, 1000, 1500, 4000])
    physical = tracers.physical[:, [0, 1, 10, 16]]
    return {
        "surrogate": astrokeras.load("grav"),
        "initial": tracers.abundances[:, 0],
        "abundances": tracers.abundances[:, 5],
        "physical": physical,
        "moving": np.stack([physical] * 3, axis=2),
        "time": time,
        "solver": lambda initial, physical, time: np.repeat(initial[:, None], 5, 1),
        "my_tracers": [
            (np.full((298, 4), 0.1), np.full((297, 2), 10.0), np.arange(298.0))
        ]
        * 12,
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::astrokeras.OutsideBoxWarning")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param("README.md", marks=pytest.mark.long),
        *(p for p in RUN if p != "README.md"),
    ],
)
def test_the_python_of_a_page_runs(page, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = blocks(ROOT / page, "python")
    given = dict(names)

    assert codes
    for code in codes:
        exec(compile(code, page, "exec"), given)


def command_lines():
    """Yield page and words of every command of ours in the blocks of the pages."""
    for page in PAGES:
        for code in blocks(page, "sh", "bash"):
            for line in code.replace("\\\n", " ").splitlines():
                part = re.search(r"(?:^|[\s/&|])astrokeras( [a-z-].*)", line)
                if part and "[" not in line.split("astrokeras")[1][:12]:
                    yield page, shlex.split(part[1], comments=True)


@pytest.mark.parametrize(
    ("page", "words"),
    list(command_lines()),
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_commands_of_a_page_exist(page, words, tmp_path, monkeypatch):
    """Its options and overrides are right; what it would do is not done."""
    monkeypatch.chdir(tmp_path)
    words = [word for word in words if word not in ("$resume", "$again", "&")]
    while words[0].startswith("--"):
        words = words[2:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, list(words))

    if command.name == "train":
        overrides = [word for word in words if "=" in word and not OWN.search(word)]
        assert compose(overrides) is not None
    assert context.params
