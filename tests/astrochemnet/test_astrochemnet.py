"""AstroChemNet's checkpoints: imported, and equal to a forward pass in NumPy."""

import json
import math

import numpy as np
import pytest
import tiny
from torch_file import write_state

from astrokeras.astrochemnet.checkpoint import (
    read_checkpoint,
    read_ranges,
    read_species,
)
from astrokeras.astrochemnet.importer import write_run
from astrokeras.astrochemnet.keras_conversion import Labels, build_surrogate
from astrokeras.errors import InputError

SPECIES = tiny.SPECIES[::-1]
RANGES = {"Density": (1e4, 1e9), "Radfield": (1e-4, 26.0), "Av": (0.1, 6914.0)}
WIDTHS = (7, 5)
LATENTS = 3
HIDDEN = 6
MINMAX = (-0.17, 4.3)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Reference:
    """The forward pass from the description, on arrays as PyTorch stores them."""

    def __init__(self, state):
        self.state = state

    def norm(self, name, x):
        weight, bias, mean, variance = (
            self.state[f"{name}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def encode(self, x):
        for i in (1, 2, 3):
            x = x @ self.state[f"encoder_fc{i}.weight"].T
            if i == 3:
                x = x + self.state["encoder_fc3.bias"]
            x = gelu(self.norm(f"encoder_norm{i}" if i == 3 else f"encoder_bn{i}", x))
        return x

    def decode(self, z):
        z = z @ self.state["encoder_fc3.weight"] + self.state["decoder_bias1"]
        z = gelu(self.norm("decoder_bn1", z))
        z = z @ self.state["encoder_fc2.weight"] + self.state["decoder_bias2"]
        z = gelu(self.norm("decoder_bn2", z))
        return sigmoid(
            z @ self.state["encoder_fc1.weight"] + self.state["decoder_bias3"]
        )

    def rollout(self, z, physical):
        low, high = MINMAX
        z, states = (z - low) / (high - low), []
        for p in np.moveaxis(physical, 1, 0):
            hidden = np.concatenate([p, z], axis=-1)
            for i in (0, 3):
                hidden = np.maximum(self.layer(i, hidden), 0)
            z = z + self.layer(6, hidden)
            states.append(z * (high - low) + low)
        return np.stack(states, axis=1)

    def layer(self, i, x):
        return x @ self.state[f"net.{i}.weight"].T + self.state[f"net.{i}.bias"]

    def emulate(self, initial, physical):
        """From physical units to physical units."""
        low, high = np.log10(list(RANGES.values())).T
        latents = self.encode((np.log10(np.maximum(initial, 1e-20)) + 20) / 20)
        rolled = self.rollout(latents, (np.log10(physical) - low) / (high - low))
        return 10 ** (20 * self.decode(rolled) - 20)


@pytest.fixture
def state(rng):
    def normal(*shape, scale=0.5):
        return rng.normal(0, scale, shape).astype("float32")

    sizes = (len(SPECIES), *WIDTHS, LATENTS)
    state = {}
    for i in (1, 2, 3):
        state[f"encoder_fc{i}.weight"] = normal(sizes[i], sizes[i - 1])
        state[f"decoder_bias{i}"] = normal(sizes[3 - i])
    state["encoder_fc3.bias"] = normal(LATENTS)
    norms = {"encoder_bn1": 1, "encoder_bn2": 2, "encoder_norm3": 3}
    for name, i in (norms | {"decoder_bn1": 2, "decoder_bn2": 1}).items():
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.{part}"] = normal(sizes[i])
        state[f"{name}.running_var"] = rng.uniform(0.5, 2, sizes[i]).astype("float32")
        state[f"{name}.num_batches_tracked"] = np.int64(12)
    widths = (len(RANGES) + LATENTS, HIDDEN, HIDDEN, LATENTS)
    for i, number in enumerate((0, 3, 6)):
        state[f"net.{number}.weight"] = normal(widths[i + 1], widths[i], scale=0.2)
        state[f"net.{number}.bias"] = normal(widths[i + 1], scale=0.2)
    return state


@pytest.fixture
def files(state, tmp_path):
    """Write the published layout: two checkpoints, the latent scale, the names."""
    folder = tmp_path / "weights"
    folder.mkdir()
    parts = {"autoencoder": {}, "mlp": {}}
    for name, array in state.items():
        parts["mlp" if name.startswith("net.") else "autoencoder"][name] = array
    for name, part in parts.items():
        write_state(folder / f"{name}.pth", part)
    np.save(folder / "latents_minmax.npy", np.array(MINMAX))
    (folder / "species.txt").write_text("\n".join(SPECIES))
    return folder


@pytest.fixture
def checkpoints(files):
    return [files / f for f in ("autoencoder.pth", "mlp.pth", "latents_minmax.npy")]


@pytest.fixture
def inputs(rng):
    initial = 10 ** rng.uniform(-19, -1, (4, len(SPECIES)))
    low, high = np.log10(list(RANGES.values())).T
    return initial, 10 ** rng.uniform(low, high, (4, 9, len(RANGES)))


def command(files, out, *more):
    ranges = [f"--ranges={k}={low}:{high}" for k, (low, high) in RANGES.items()]
    names = ("autoencoder.pth", "mlp.pth", "latents_minmax.npy")
    words = ["models", "import", *(files / name for name in names), *ranges]
    return [*words, "--species", files / "species.txt", "--out", out, *more]


def test_forward_pass_equals_the_reference(state, checkpoints, inputs):
    surrogate = build_surrogate(
        read_checkpoint(checkpoints), Labels(SPECIES, RANGES, "next")
    )
    initial, physical = inputs

    reference = Reference(state)
    expected = np.log10(reference.emulate(initial, physical))
    emulated = surrogate.emulate(initial, physical, 92.9)
    scaled = (np.log10(initial) + 20) / 20
    decoded = 10 ** (20 * reference.decode(reference.encode(scaled)) - 20)

    np.testing.assert_allclose(emulated[:, 0], initial, rtol=1e-5)
    np.testing.assert_allclose(np.log10(emulated[:, 1:]), expected, atol=2e-4)
    assert np.ptp(expected, axis=1).max() > 0.1, "the reference rollout stands still"
    np.testing.assert_allclose(surrogate.reconstruct(initial), decoded, rtol=1e-3)


def test_command_writes_a_run_that_loads(cli, state, files, inputs, tmp_path):
    out = tmp_path / "runs" / "published"

    result = cli(*command(files, out, "--alignment", "this"))

    assert result.exit_code == 0, result.output
    import astrokeras

    surrogate = astrokeras.load(out)
    assert surrogate.species == SPECIES
    assert surrogate.parameter_ranges == RANGES
    emulated = surrogate.emulate(*inputs, 92.9)[:, 1:]
    expected = np.log10(Reference(state).emulate(*inputs))
    np.testing.assert_allclose(np.log10(emulated), expected, atol=2e-4)
    assert "alignment: this" in (out / "config.yaml").read_text()
    imported = json.loads((out / "provenance.json").read_text())["imported"]
    assert set(imported) == {"autoencoder.pth", "mlp.pth", "latents_minmax.npy"}
    assert [path.name for path in out.parent.iterdir()] == ["published"]


def test_the_order_of_a_tracer_file_can_be_taken(cli, state, files, inputs, tmp_path):
    like = tiny.write_tracers(tmp_path / "tiny.h5")

    result = cli(*command(files, tmp_path / "run", "--alignment=next", "--like", like))

    assert result.exit_code == 0, result.output
    import astrokeras

    surrogate = astrokeras.load(tmp_path / "run")
    assert surrogate.species == tiny.SPECIES == SPECIES[::-1]
    initial, physical = inputs
    emulated = surrogate.emulate(initial[:, ::-1], physical, 92.9)[:, 1:, ::-1]
    expected = np.log10(Reference(state).emulate(initial, physical))
    np.testing.assert_allclose(np.log10(emulated), expected, atol=2e-4)


@pytest.mark.parametrize("option", ["--species", "--ranges", "--alignment"])
def test_what_the_files_lack_is_required(option, cli, files, tmp_path):
    words = [str(word) for word in command(files, tmp_path / "run", "--alignment=next")]
    words = [word for word in words if not word.startswith(f"{option}=")]
    if option in words:
        at = words.index(option)
        del words[at : at + 2]

    result = cli(*words)

    assert result.exit_code == 2
    assert f"Missing option '{option}'" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--alignment", "later"], "--alignment is 'later'; use next or this"),
        (["--alignment", "next", "--ranges", "gasTemp=10:100"], "names 4 parameters"),
        (["--alignment", "next", "--ranges", "Av=0:100"], "Av is 0 to 100"),
        (["--alignment", "next", "--ranges", "Av"], "write NAME=LOW:HIGH"),
        (["--alignment", "next", "--step", "-1"], "--step is -1.0 years"),
    ],
    ids=["alignment", "parameters", "zero", "spelling", "step"],
)
def test_wrong_options_are_one_line(words, message, cli, files, tmp_path):
    result = cli(*command(files, tmp_path / "run", *words))

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_is_replaced_only_when_asked(checkpoints, tmp_path):
    checkpoint, labels = read_checkpoint(checkpoints), Labels(SPECIES, RANGES, "next")
    path = tmp_path / "run"
    path.mkdir()

    with pytest.raises(InputError, match="exists; choose another"):
        write_run(checkpoint, labels, path, checkpoints)
    with pytest.raises(InputError, match="exists and is no run"):
        write_run(checkpoint, labels, path, checkpoints, overwrite=True)
    (path / "surrogate.keras").touch()
    with pytest.raises(InputError, match=r"surrogate.keras: is not a file of a run"):
        write_run(checkpoint, labels, path, checkpoints, overwrite=True)
    (path / "surrogate.keras").unlink()
    path.rmdir()
    write_run(checkpoint, labels, path, checkpoints)
    (path / "card.md").unlink()
    write_run(checkpoint, labels, path, checkpoints, overwrite=True)

    assert (path / "card.md").is_file()
    assert "run" in {one.name for one in tmp_path.iterdir()}
    assert not list(tmp_path.glob("run.*"))


def test_another_number_of_species_is_refused(checkpoints):
    with pytest.raises(InputError, match="names 9 species, the autoencoder has 10"):
        build_surrogate(
            read_checkpoint(checkpoints), Labels(SPECIES[1:], RANGES, "next")
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gate_layer.weight": np.ones(2, "float32")}, "holds 'gate_layer.weight'"),
        ({"encoder_bn2.running_var": None}, "lacks 'encoder_bn2.running_var'"),
        ({"decoder_bias1": np.ones(3, "float32")}, r"has shape \(3,\), not \(5,\)"),
        (
            {"net.3.weight": np.ones(3, "float32")},
            r"has shape \(3,\); it must be a matrix",
        ),
        ({"net.0.weight": None}, "give the checkpoint of the emulator"),
        ({"encoder_fc1.weight": None}, "give the checkpoint of the autoencoder"),
    ],
    ids=["unknown", "missing", "shape", "vector", "no emulator", "no autoencoder"],
)
def test_another_layout_is_refused(change, message, state, files, tmp_path):
    state = {k: v for k, v in (state | change).items() if v is not None}
    path = write_state(tmp_path / "both.pth", state)

    with pytest.raises(InputError, match=message):
        read_checkpoint([path, files / "latents_minmax.npy"])


def test_the_latent_scale_is_needed(checkpoints, tmp_path):
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{}]), allow_pickle=True)

    with pytest.raises(InputError, match=r"give latents_minmax\.npy too"):
        read_checkpoint(checkpoints[:2])
    with pytest.raises(InputError, match="does not hold two numbers"):
        read_checkpoint([*checkpoints[:2], pickled])


def test_species_from_lines_and_json(tmp_path):
    (tmp_path / "species.txt").write_text("#CO \n\nCO\n")
    (tmp_path / "species.json").write_text(json.dumps({"species": ["#CO", "CO"]}))
    (tmp_path / "twice.txt").write_text("CO\nCO\n")

    for name in ("species.txt", "species.json"):
        assert read_species(tmp_path / name) == ("#CO", "CO")
    with pytest.raises(InputError, match="names 'CO' twice"):
        read_species(tmp_path / "twice.txt")


def test_species_are_spelled_as_uclchem_does(tmp_path):
    (tmp_path / "species.txt").write_text("#CH4O\n@N2C2\nH2CN+\nCO")

    assert read_species(tmp_path / "species.txt") == ("#CH3OH", "@NCCN", "HCNH+", "CO")


def test_ranges_from_json(tmp_path):
    stored = {"Density": {"min": 10, "max": 1e6, "unit": "x"}, "Av": [1, 2]}
    path = tmp_path / "physical_parameter_ranges.json"
    path.write_text(json.dumps(stored))

    assert read_ranges([str(path)]) == {"Density": (10.0, 1e6), "Av": (1.0, 2.0)}
