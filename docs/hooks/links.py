"""Links that lead out of `docs/` lead to pages of the site that show what they name.

So the Markdown reads the same on a code host, and nothing is copied by hand: Markdown
becomes a page, any other text a page with its source.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
SHOWN = "repository"  # where the site keeps them
LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")
LANGUAGES = {
    ".py": "python",
    ".c": "c",
    ".f90": "fortran",
    ".yaml": "yaml",
    ".sh": "sh",
    ".csv": "text",
}


def on_files(files: Files, config: Any) -> Files:
    """Add a page for everything in the repository that pages link to."""
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for target in map(page_target(page.src_uri), LINK.findall(text_of(page))):
            if target and files.get_file_from_path(target[1]) is None:
                shown = show(*target, config)
                files.append(shown)
                waiting.append(shown)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page to those pages."""
    find = page_target(page.file.src_uri)

    def replace(match: re.Match[str]) -> str:
        target = find(match.groups(default=""))
        if target is None:
            return match[0]
        link = posixpath.relpath(target[1], posixpath.dirname(page.file.src_uri))
        return f"]({link}{match[2] or ''})"

    return LINK.sub(replace, markdown) if is_prose(page.file.src_uri) else markdown


def page_target(source: str) -> Any:
    """Return a function of a link on a page: the file named, and the page for it."""
    origin = posixpath.dirname(posixpath.join("docs", source))
    if source.startswith(f"{SHOWN}/"):
        origin = posixpath.dirname(source.removeprefix(f"{SHOWN}/"))

    def find(link: tuple[str, str]) -> tuple[str, str] | None:
        named = posixpath.normpath(posixpath.join(origin, link[0]))
        if named.startswith("docs/"):
            inside = named.removeprefix("docs/")
            return (named, inside) if source.startswith(f"{SHOWN}/") else None
        # What is no file stays as it is, and MkDocs warns of it.
        if named.startswith("..") or not (ROOT / named).is_file():
            return None
        suffix = "" if named.endswith(".md") else ".md"
        return named, f"{SHOWN}/{named}{suffix}"

    return find


def show(named: str, uri: str, config: Any) -> File:
    """Return a page that shows a file of the repository."""
    text = (ROOT / named).read_text()
    if not named.endswith(".md"):
        language = LANGUAGES.get(Path(named).suffix, "text")
        text = f"# {named}\n\n````{language}\n{text}\n````\n"
    page = File.generated(config, uri, content=text)
    page.inclusion = InclusionLevel.NOT_IN_NAV
    return page


def text_of(page: File) -> str:
    """Return the Markdown of a page that may hold links, else nothing."""
    return page.content_string if is_prose(page.src_uri) else ""


def is_prose(uri: str) -> bool:
    """Whether a page is Markdown of ours, and not a source that is shown."""
    return "." not in posixpath.basename(uri).removesuffix(".md")
