"""Write the figures of the presets into README.md and the docs.

    python benchmarks/page_figures.py

What stands between `<!-- numbers: NAME -->` and `<!-- end of numbers -->` on a page is
replaced by the table NAME, made of the metrics that the presets keep. So no figure of
these tables is older than its preset.
"""

import re
from collections.abc import Callable

import measure

PRESETS = {
    "ism": "interstellar gas of any kind",
    "grav": "1-D collapse",
    "turbulent": "turbulent, shocked gas",
}
PAGES = ("README.md", "docs/accuracy.md")
MARK = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- end of numbers -->)", re.DOTALL)


def presets() -> list[list[str]]:
    """Return what each preset covers and how good it is."""
    from astrokeras.runs.directory import find_run
    from astrokeras.runs.listing import format_limit, format_range
    from astrokeras.runs.loading import read_metadata

    shown = ("Density", "gasTemp", "Av", "Radfield", "zeta")
    head = ["", "gas", "n, cm⁻³", "T, K", "Av, mag", "field, Habing"]
    head += ["ζ, 1.3e-17 s⁻¹", "steps, yr", "ages, yr", "dex", "reliable states"]
    rows = [head]
    for name in available():
        run = find_run(name)
        metadata, metrics = read_metadata(run.path), run.read_metrics()
        ranges = metadata.parameter_ranges
        trust = metrics["reliability"]
        row = [f"`{name}`", PRESETS[name]]
        row += [format_range(ranges[key]) if key in ranges else "1" for key in shown]
        row += [format_range(metadata.dt_range), f"to {format_limit(metadata.t_max)}"]
        row += [f"{metrics['dex']:.2g} ± {metrics['dex_standard_error']:.1g}"]
        row += [f"{1 - trust['unreliable']:.0%} ({trust['reliable_dex']:.2g} dex)"]
        rows.append(row)
    return rows


def accuracy() -> list[list[str]]:
    """Return the errors of each preset on its test tracers, beside the baselines'."""
    from astrokeras.runs.directory import find_run

    head = ["", "test tracers", "dex", "of abundances ≥ 1e-12", "at the last state"]
    rows = [
        [*head, "element totals", "nearest training tracer", "re-encoded each step"]
    ]
    for name in available():
        found = find_run(name).read_metrics()
        rows.append(
            [
                f"`{name}`",
                f"{found['tracers']} of {found['simulations']} simulations",
                f"{found['dex']:.3f} ± {found['dex_standard_error']:.3f}",
                f"{found['dex_seen']:.3f}",
                f"{found['dex_final']:.3f}",
                f"{found['conservation']:.0e}, at most {found['conservation_max']:.0e}",
                f"{found['baselines']['nearest_tracer']['dex']:.2f}",
                f"{found['closed_loop']['dex']:.3f}",
            ]
        )
    return rows


TABLES: dict[str, Callable[[], list[list[str]]]] = {
    "presets": presets,
    "accuracy": accuracy,
}


def available() -> list[str]:
    """Return the presets that ship."""
    return [
        name
        for name in PRESETS
        if (measure.ROOT / "saved_models" / name / "metrics.json").is_file()
    ]


def render(text: str) -> str:
    """Return a page with its tables made anew."""

    def replace(match: re.Match[str]) -> str:
        head, *rows = TABLES[match[2]]()
        lines = [head, ["---"] * len(head), *rows]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return match[1] + table + match[3]

    return MARK.sub(replace, text)


def main() -> None:
    """Write the pages that have changed."""
    for page in PAGES:
        path = measure.ROOT / page
        old = path.read_text(encoding="utf-8")
        new = render(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"{page} is written anew.")


if __name__ == "__main__":
    main()
