"""Figure of the packages in the order of their imports, for docs/architecture.md.

`python docs/hooks/packages.py` draws it anew from the order that
`tests/test_package.py` asserts. Every letter stands in a box with a colour of its own,
so that the figure reads on light and on dark pages, and at 400 pixels.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURE = ROOT / "docs" / "packages.svg"
WIDTH, BOX, GAP, MARGIN = 400, 22, 4, 30
STYLE = (
    "text{font:12.5px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;"
    "text-anchor:middle;dominant-baseline:central}"
    ".package{fill:#303f9f}.name{fill:#fff}"
    ".leaf{fill:#e8eaf6;stroke:#303f9f;stroke-width:1.5;stroke-dasharray:4 3}"
    ".note{fill:#e8eaf6}.leaf-name{fill:#1a237e}.band{fill:#7986cb;fill-opacity:.22}"
    ".arrow{stroke:#7986cb;stroke-width:3;fill:none}"
)


def read_order() -> tuple[list[list[str]], set[str]]:
    """Return the packages by rank, the lowest first, and those only `cli` imports."""
    tree = ast.parse((ROOT / "tests" / "test_package.py").read_text())
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    # A set literal, evaluated, would lose the order of its names.
    ranks = [[name.value for name in rank.elts] for rank in values["ORDER"].elts]
    return ranks, ast.literal_eval(values["LEAVES"])


def draw(ranks: list[list[str]], leaves: set[str]) -> str:
    """Return the figure as SVG, the highest rank on top."""
    parts: list[str] = []
    top = BOX + 2 * GAP
    for rank in reversed(ranks):
        size = 3 if len(rank) % 3 == 0 or len(rank) < 3 else 2
        lines = [rank[i : i + size] for i in range(0, len(rank), size)]
        height = len(lines) * (BOX + GAP) + GAP
        inner = WIDTH - MARGIN
        parts.append(_rect("band", 0, top, inner, height))
        for number, line in enumerate(lines):
            y = top + GAP + number * (BOX + GAP)
            wide = (inner - GAP) / len(line) - GAP
            for i, name in enumerate(line):
                leaf = name in leaves
                x = GAP + i * (wide + GAP)
                parts.append(_rect("leaf" if leaf else "package", x, y, wide, BOX))
                style = "leaf-name" if leaf else "name"
                parts.append(_text(style, x + wide / 2, y + BOX / 2, name))
        top += height + GAP
    x = WIDTH - MARGIN / 2
    end = top - GAP
    parts.append(
        f'<path class="arrow" d="M{x:g} {BOX + 2 * GAP}V{end:g}m-8-10l8 10l8-10"/>'
    )
    for y, label in (
        (0, "Each package imports from the rows below it."),
        (top, "Dashed: only cli imports it."),
    ):
        parts.append(_rect("note", 0, y, WIDTH - MARGIN, BOX))
        parts.append(_text("leaf-name", (WIDTH - MARGIN) / 2, y + BOX / 2, label))
    title = "Packages of astrokeras in the order of their imports"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{top + BOX}" viewBox="0 0 {WIDTH} {top + BOX}" role="img">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def _rect(style: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{width:g}" '
        f'height="{height:g}" rx="4"/>'
    )


def _text(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{text}</text>'


if __name__ == "__main__":
    FIGURE.write_text(draw(*read_order()))
    print(FIGURE)
