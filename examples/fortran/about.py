"""What a surrogate is about, in plain text for codes that read no JSON.

    python about.py exports/grav-onnx     # about.json to about.txt

Line 1: the numbers of species and parameters; then the name of each parameter; then a
line for each species: name, start.
"""

import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
about = json.loads((folder / "about.json").read_text())
lines = [(len(about["species"]), len(about["parameters"]))]
lines += [(name,) for name in about["parameters"]]
lines += zip(about["species"], about["start"], strict=True)
(folder / "about.txt").write_text("".join(" ".join(map(str, x)) + "\n" for x in lines))
