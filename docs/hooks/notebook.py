"""The tutorial: its notebook runs when the site is built, and becomes a page.

What it printed and drew is kept in `build/`, so that a notebook that has not changed is
not run again; `just notebook` runs it in any case.
"""

import tempfile
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).resolve().parents[1]
NOTEBOOK = DOCS / "tutorial.ipynb"
EXECUTED = DOCS.parent / "build" / NOTEBOOK.name
SECONDS = 600  # of one cell, at most


def on_files(files: Files, config: Any) -> Files:
    """Add the page and its pictures."""
    if not EXECUTED.is_file() or EXECUTED.stat().st_mtime < NOTEBOOK.stat().st_mtime:
        execute()
    text, pictures = as_markdown()
    files.append(File.generated(config, "tutorial.md", content=text))
    for name, content in pictures.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to the notebook lead to its page."""
    return markdown.replace("](tutorial.ipynb)", "](tutorial.md)")


def execute() -> None:
    """Run the notebook in an empty folder and keep it with what it gave."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        try:
            NotebookClient(
                notebook, timeout=SECONDS, resources={"metadata": {"path": folder}}
            ).execute()
        except CellExecutionError as error:
            raise PluginError(f"{NOTEBOOK.name}: {error}") from error
    EXECUTED.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, EXECUTED)


def as_markdown() -> tuple[str, dict[str, bytes]]:
    """Return the executed notebook as Markdown, and its pictures by their paths."""
    from nbconvert import MarkdownExporter

    resources = {"output_files_dir": "tutorial"}
    text, found = MarkdownExporter().from_filename(str(EXECUTED), resources)
    return text, found["outputs"]


if __name__ == "__main__":
    execute()
    print(EXECUTED)
