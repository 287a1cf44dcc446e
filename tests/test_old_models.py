"""Surrogates of earlier formats are read, and of later ones refused."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from surrogates import emulate_with_risks

import astrokeras
from astrokeras.errors import InputError
from astrokeras.models.metadata import FORMAT
from astrokeras.runs.loading import read_metadata

OLD = Path(__file__).parent / "old"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_an_old_surrogate_says_what_it_said(version):
    """Written by another backend, maybe; what differs is its rounding."""
    surrogate = astrokeras.load(OLD / f"format{version}.keras")
    with np.load(OLD / f"format{version}.npz") as known:
        given = known["initial"], known["physical"], known["years"]
        latents = known["latents"]
        names = ("abundances", "sigma", "trust", "latents", "decoded")
        expected = {name: known[name] for name in names}

    *found, risks = emulate_with_risks(surrogate, *given, return_sigma=True)
    # The score that both formats were asked for; it is returned no more.
    found += [1 / (1 + risks), surrogate.encode(given[0]), surrogate.decode(latents)]

    for (name, wanted), value in zip(expected.items(), found, strict=True):
        np.testing.assert_allclose(value, wanted, 2e-4, 1e-4 * (name == "latents"))


def test_a_surrogate_of_a_later_format_is_refused_in_a_line(tmp_path, cli):
    path = tmp_path / "later.keras"
    with zipfile.ZipFile(OLD / "format1.keras") as old:
        with zipfile.ZipFile(path, "w") as later:
            for name in old.namelist():
                content = old.read(name)
                if name == "config.json":
                    model = json.loads(content)
                    model["config"]["version"] = FORMAT + 1
                    del model["config"]["step"]  # which it may call something else
                    content = json.dumps(model)
                later.writestr(name, content)

    with pytest.raises(InputError, match=f"has format version {FORMAT + 1}, .* newer"):
        read_metadata(path)
    with pytest.raises(InputError, match="install a newer one"):
        astrokeras.load(path)
    result = cli("predict", path, tmp_path / "no.h5", tmp_path / "out.h5")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
