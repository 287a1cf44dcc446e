"""LaTeX becomes MathML when the site is built: no script, and nothing to fetch."""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

# What pymdownx.arithmatex leaves of `$...$` and `$$...$$`.
FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL
)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Replace the formulas of a page."""

    def replace(match: re.Match[str]) -> str:
        latex = html.unescape(match[2]).strip()
        block = match[1] == "div"
        formula = convert(latex, display="block" if block else "inline")
        if "\\" in formula:  # A command that was not understood.
            raise PluginError(f"{page.file.src_uri}: cannot typeset {latex}")
        return f"<p>{formula}</p>" if block else formula

    return FORMULA.sub(replace, content)
