"""What callers pass is refused in one line, flagged, or computed whole."""

import re
import warnings

import numpy as np
import pytest
from surrogates import make_surrogate, make_trust
from tiny import PARAMETERS, SPECIES, STEP, make_tracers, write_tracers

import astrokeras
from astrokeras.config import Config, SplitConfig, check
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.data.tracers.split import assign_split, make_split
from astrokeras.errors import InputError, OutsideBoxWarning, UnreliableWarning
from astrokeras.layers.conservation import Conservation
from astrokeras.layers.trust_model import Trust
from astrokeras.losses import DexLoss
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.status import RISKS, Status, status_of_risks
from astrokeras.system import arguments

NAN = float("nan")
ALL = {
    "return_sigma": True,
    "return_expected_error": True,
    "return_reliable": True,
    "return_status": True,
}


@pytest.fixture(scope="module")
def surrogate():
    """A calibrated surrogate to which nothing it is given here looks odd."""
    rng = np.random.default_rng(0)
    trust = make_trust(rng)
    # Its error, tolerated: 0.02 dex of 0.2; no distance, total or start is too large.
    trust.assign(
        error_range=[0.01, 0.02],
        largest=[1e3, 1e3, 1e3],
        totals=[[-30.0] * 3, [3.0] * 3],
    )
    whole = make_surrogate(rng)
    box = [[1e-20] * len(SPECIES), [1.0] * len(SPECIES)]
    return whole.replace(trust=trust, species_ranges=box)


@pytest.fixture
def given():
    tracers = make_tracers(simulations=3)
    return tracers.abundances[:, 0].copy(), tracers.physical.copy(), STEP


class TestCovers:
    """Which states can be reliable, without a rollout."""

    @pytest.fixture(autouse=True)
    def no_rollout(self, surrogate, monkeypatch):
        def refuse(*_):
            raise AssertionError("covers rolled out")

        monkeypatch.setattr(surrogate.functions, "rollout", refuse)

    @pytest.fixture(params=[True, False], ids=["calibrated", "not"])
    def either(self, request, surrogate):
        return surrogate if request.param else surrogate.replace(trust=None)

    def test_inside_everything_is_covered(self, either, given):
        found = either.covers(*given)

        assert (found.shape, found.dtype) == ((6, 12), bool)
        assert found.all()

    def test_a_parameter_outside_ends_the_coverage(self, either, given):
        initial, physical, step = given
        physical[3, 4, 1] = either.parameter_ranges["Radfield"][1] * 1.1
        physical[2, 9, 0] = either.parameter_ranges["Density"][0] / 1.1

        expected = np.ones((6, 12), bool)
        expected[3, 4:] = expected[2, 9:] = False
        np.testing.assert_array_equal(either.covers(*given), expected)
        moving = np.repeat(physical[:, :, None], 3, axis=2)
        moving[5, 7, 2, 2] = either.parameter_ranges["Av"][1] * 1.1
        expected[5, 7:] = False
        found = either.covers(initial, moving, step)
        np.testing.assert_array_equal(found, expected)

    def test_a_later_time_is_not_covered(self, either, given):
        initial, physical, step = given
        longer = np.concatenate([physical, physical[:, -1:]], axis=1)

        found = either.covers(initial, longer, step)

        assert found[:, :12].all()
        assert not found[:, 12].any()  # 1300 years, of 1200 trained

    def test_an_interval_of_another_length_is_not_covered(self, either, given):
        time = np.tile(STEP * np.arange(13.0), (6, 1))
        time[4, 3:] += 50.0

        found = either.covers(*given[:2], time)

        assert found.all(1).tolist() == [True, True, True, True, False, True]
        assert not found[4].any()

    def test_an_invalid_tracer_is_not_covered(self, either, given):
        initial, physical, _ = given
        initial[1, 3], physical[5, 2, 0] = np.nan, -1.0

        found = either.covers(*given)

        assert not found[[1, 5]].any()
        assert found[[0, 2, 3, 4]].all()
        assert not either.covers(initial * np.nan, *given[1:]).any()

    def test_a_start_outside_is_not_covered(self, either, given):
        narrow = either.replace(
            species_ranges=[[1e-20] * len(SPECIES), [1e-3] * len(SPECIES)]
        )
        initial, *rest = given
        initial[:] = 1e-4
        initial[2, 4] = 0.1

        found = narrow.covers(initial, *rest)

        assert found.any(1).tolist() == [True, True, False, True, True, True]

    def test_parameters_far_from_training_are_not_covered(self, surrogate, given):
        """Distances in parameters are compared with the largest of calibration."""
        trust, physical = surrogate.trust, given[1]
        setting = (np.log10(physical) - trust.value("centre")) @ trust.value(
            "whitening"
        )
        apart = setting[:, :, None] - trust.value("settings")
        far = np.linalg.norm(apart, axis=-1).min(-1)
        far = np.maximum.accumulate(far, axis=1)
        limit = float(np.median(far)) + 1e-3
        assert np.abs(far - limit).min() > 1e-5

        trust.assign(largest=[limit, 1e3, 1e3])
        found = surrogate.covers(*given)
        trust.assign(largest=[1e3, 1e3, 1e3])

        np.testing.assert_array_equal(found, far < limit)
        assert 0.2 < found.mean() < 0.8

    def test_what_is_no_tracer_is_refused(self, either, given):
        with pytest.raises(InputError, match="physical has shape"):
            either.covers(given[0], given[1][..., :2], STEP)

    def test_nothing_is_covered_of_nothing(self, either, given):
        assert either.covers(given[0][:0], given[1][:0], STEP).shape == (0, 12)


class TestEmulate:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *[("batch_size", value) for value in (-1, 0, 1.5, True, None, "2", NAN)],
            *[
                ("state_indices", value)
                for value in ([[1, 2], [3, 4]], [], [1, [2]], [True])
            ],
            *[("species", value) for value in ([3], [], 3, ["CO", None], {"CO", "H"})],
            ("conserve", "no"),
            ("strict", 1),
            ("return_sigma", 2),
            ("return_expected_error", "yes"),
            ("return_reliable", 0),
            ("return_status", None),
            ("return_cost", 1),
            ("on_error", "ignore"),
            ("on_error", ["flag"]),
            ("fallback", 3),
        ],
    )
    def test_an_option_that_is_none_is_named(self, surrogate, given, name, value):
        with pytest.raises(InputError) as caught:
            surrogate.emulate(*given, **{name: value})

        message = str(caught.value)
        assert name in message
        assert "\n" not in message
        assert "give" in message or "name at least" in message

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize(
        "value",
        [None, "abc", [1, [2, 3]], 1j, True, [["1"]], {"a": 1}, [object()], [10**400]],
        ids=lambda value: re.sub(" at 0x.*?>", ">", str(value)),
    )
    def test_what_is_no_array_of_numbers_is_named(self, surrogate, given, place, value):
        changed = [*given]
        changed[place] = value
        name = ("initial", "physical", "time")[place]
        named = (
            "no initial condition is named" if (place, value) == (0, "abc") else name
        )
        with pytest.raises(InputError, match=named):
            surrogate.emulate(*changed)

    @pytest.mark.parametrize("tracers", [0, 6])
    @pytest.mark.parametrize("steps", [0, 12])
    def test_nothing_to_do_is_done(self, surrogate, given, tracers, steps):
        initial, physical, step = given
        if tracers and steps:
            pytest.skip("there is something to do")
        found = surrogate.emulate(
            initial[:tracers], physical[:tracers, :steps], step, **ALL
        )

        x, sigma, expected, reliable, status = found
        assert x.shape == sigma.shape == (tracers, steps + 1, len(SPECIES))
        assert {one.shape for one in (expected, reliable, status)} == {x.shape[:2]}
        np.testing.assert_array_equal(x[:, 0], initial[:tracers])
        assert not sigma[:, 0].any()
        assert not expected[:, 0].any()
        assert reliable.all()
        assert not status.any()

    def test_the_refused_tracers_are_named(self, surrogate, given):
        initial, physical, step = given
        initial[[1, 4], 3] = np.nan
        with pytest.raises(InputError) as caught:
            surrogate.emulate(initial, physical, step)

        message = str(caught.value)
        assert f"initial: {SPECIES[3]} is nan for tracer 1" in message
        assert "2 of 6 tracers are rejected: 1, 4" in message
        assert message.endswith('pass on_error="flag" to evolve the others.')

    @pytest.mark.parametrize("options", [{"batch_size": 4}, {"state_indices": [-1, 0]}])
    def test_what_is_refused_is_flagged_and_the_rest_evolved(
        self, surrogate, given, options
    ):
        initial, physical, step = given
        expected = surrogate.emulate(*given, **ALL, **options)
        time = np.tile(step * np.arange(13.0), (6, 1))
        time[5, 3:] += 50.0
        initial[0, 2], physical[2, 7, 1] = np.nan, 0.0
        given = initial, physical, time

        found = surrogate.emulate(*given, on_error="flag", **ALL, **options)

        fine = [1, 3, 4]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours[fine], theirs[fine], rtol=1e-4)
        *numbers, reliable, status = (one[[0, 2, 5]] for one in found)
        for one in numbers:
            assert np.isnan(one).all()
        assert not reliable.any()
        assert (status == np.array([[32], [32], [2]])).all()

    def test_nothing_but_refused_tracers(self, surrogate, given):
        initial, physical, step = given
        x, status = surrogate.emulate(
            initial * np.nan, physical, step, on_error="flag", return_status=True
        )
        assert np.isnan(x).all()
        assert (status == Status.INPUT).all()

    def test_the_fallback_is_not_asked_for_bad_input(self, surrogate, given):
        initial, physical, step = given
        initial[1, 0] = np.nan
        time = np.tile(step * np.arange(13.0), (6, 1))
        time[5] *= 2.0
        asked = []

        def solve(x, p, t):
            asked.append((x, t))
            return np.full((len(x), t.shape[1], len(SPECIES)), 0.1)

        x, sigma, expected, reliable, status = surrogate.emulate(
            initial, physical, time, on_error="flag", fallback=solve, **ALL
        )

        ((start, years),) = asked
        np.testing.assert_array_equal(start, initial[[5]])
        np.testing.assert_array_equal(years, time[[5]])
        assert (x[5] == np.float32(0.1)).all()
        assert (status[5] == Status.SOLVED).all()
        assert not sigma[5].any()
        assert not expected[5].any()
        assert reliable[5].all()
        assert np.isnan(x[1]).all()

    def test_a_solver_that_returns_no_numbers_is_refused(self, surrogate, given):
        surrogate.trust.assign(error_range=[1.0, 2.0])
        with pytest.raises(InputError, match="the return value of fallback is not an"):
            surrogate.emulate(*given, fallback=lambda *_: "solved")
        surrogate.trust.assign(error_range=[0.01, 0.02])

    @pytest.mark.filterwarnings("ignore::astrokeras.OutsideBoxWarning")
    def test_the_status_says_what_speaks_against_a_state(self, surrogate, given):
        initial, physical, step = given
        physical = np.concatenate([physical, physical[:, -1:]], axis=1)
        physical[3, 4, 1] = surrogate.parameter_ranges["Radfield"][1] * 1.1

        status = surrogate.emulate(initial, physical, step, return_status=True)[1]

        expected = np.zeros((6, 14), int)
        expected[3, 5:] = Status.PARAMETER
        expected[:, 13] |= Status.TIME  # 1300 years, of 1200 trained
        np.testing.assert_array_equal(status, expected)

        plain = surrogate.replace(trust=None)
        uncalibrated = plain.emulate(initial, physical, step, return_status=True)[1]
        np.testing.assert_array_equal(uncalibrated, expected)

    def test_a_large_expected_error_is_flagged(self, surrogate, given):
        surrogate.trust.assign(error_range=[0.3, 0.4])
        _, expected, reliable, status = surrogate.emulate(
            *given,
            return_expected_error=True,
            return_reliable=True,
            return_status=True,
        )
        surrogate.trust.assign(error_range=[0.01, 0.02])

        assert (status[:, 1:] == Status.ERROR).all()
        assert (expected[:, 1:] > 0.2).all()
        np.testing.assert_array_equal(reliable, status == 0)

    @pytest.mark.parametrize("uncalibrated", [False, True])
    def test_more_than_a_twentieth_not_reliable_is_a_warning(
        self, surrogate, given, uncalibrated
    ):
        """Of 6 x 13 = 78 states 3.9 may be unreliable."""
        initial, physical, step = given
        time = np.tile(step * np.arange(13.0), (6, 1))
        outside = surrogate.parameter_ranges["Radfield"][1] * 1.5
        asked = [{"return_reliable": True}, {"return_status": True}]
        asked.append({"fallback": lambda x, p, t: np.full((*t.shape, 10), 0.1)})
        few, many = physical.copy(), physical.copy()
        few[0, -3:, 1] = many[0, -4:, 1] = outside
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutsideBoxWarning)
            surrogate.emulate(initial, few, time)  # warnings are errors here
            for options in asked:
                surrogate.emulate(initial, many, time, **options)
            if uncalibrated:
                surrogate.replace(trust=None).emulate(initial, many, time)
                return
            with pytest.warns(UnreliableWarning) as caught:
                # In two batches.
                surrogate.emulate(
                    initial, many, time, return_expected_error=True, batch_size=4
                )
            with pytest.warns(UnreliableWarning) as later:
                surrogate.emulate(initial, few, time, state_indices=[-1, 0])

        (warning,) = (one for one in caught if one.category is UnreliableWarning)
        line = str(warning.message)
        assert line.startswith("4 of 78 states are not reliable (4: a parameter lies ")
        assert "return_reliable=True" in line
        assert "fallback" in line
        assert "\n" not in line
        assert warning.filename == __file__
        (warning,) = (one for one in later if one.category is UnreliableWarning)
        line = str(warning.message)
        assert line.startswith("1 of 12 states are not reliable (1: a parameter lies ")

    @pytest.mark.filterwarnings("ignore::astrokeras.OutsideBoxWarning")
    def test_the_warning_names_every_reason(self, surrogate, given):
        initial, physical, step = given
        time = np.tile(step * np.arange(13.0), (6, 1))
        time[5, 3:] += 50.0  # an interval of another length
        initial[0, 2] = np.nan
        surrogate.trust.assign(error_range=[0.3, 0.4])
        with pytest.warns(UnreliableWarning) as caught:
            surrogate.emulate(
                initial, physical, time, on_error="flag", return_expected_error=True
            )
        surrogate.trust.assign(error_range=[0.01, 0.02])

        (warning,) = (one for one in caught if one.category is UnreliableWarning)
        line = str(warning.message)
        assert line.startswith("74 of 78 states are not reliable (")
        assert "48: the expected error is above the threshold" in line
        assert "13: invalid input" in line
        assert "13: a time step or the age lies outside" in line

    @pytest.mark.torch
    def test_gradients_of_what_is_given_are_left_behind(self, surrogate, given):
        import torch

        wanted = surrogate.emulate(*given)
        tensors = [torch.tensor(one, requires_grad=True) for one in given[:2]]
        np.testing.assert_array_equal(surrogate.emulate(*tensors, STEP), wanted)


class TestCoding:
    def test_no_states_are_coded_to_none(self, surrogate):
        nothing = np.zeros((0, len(SPECIES)))
        assert surrogate.encode(nothing).shape == (0, 3)
        assert surrogate.reconstruct(nothing).shape == nothing.shape
        assert surrogate.decode(np.zeros((0, 3)), ["CO", "$H2O"]).shape == (0, 2)
        assert surrogate.decode(np.zeros((4, 0, 3))).shape == (4, 0, len(SPECIES))

    @pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
    def test_latents_that_no_state_has_are_refused(self, surrogate, value):
        latents = np.zeros((3, 3))
        latents[1] = value
        with pytest.raises(InputError, match=r"latents of state 1 .* `encode` returns"):
            surrogate.decode(latents)


def test_every_risk_has_its_bit():
    status = status_of_risks(np.eye(len(RISKS), dtype=bool))
    assert status.tolist() == list(RISKS.values())


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path):
        return write_tracers(tmp_path / "tiny.h5")

    @pytest.mark.parametrize(
        "rows",
        [
            [-1], [20], [0.5], [True, False], 3, "0", None, [[0, 1]], slice("a"),
            slice(0, 2, 0),
        ],
        ids=str,
    )  # fmt: skip
    def test_rows_that_are_none_are_refused(self, path, rows):
        with TracerStore(path) as store:
            with pytest.raises(InputError, match="rows"):
                store.read(rows)
            assert len(store.read([])) == 0

    @pytest.mark.parametrize("size", [0, -1, 1.5, True])
    def test_blocks_of_no_size_are_refused(self, path, size):
        with TracerStore(path) as store, pytest.raises(InputError, match="size is"):
            next(store.blocks(size=size))

    @pytest.mark.parametrize("name", [3, None, b"x", "a\0b", "a\nb", "x" * 5000, ["a"]])
    def test_what_is_no_path_is_refused(self, name):
        for read in (TracerStore, astrokeras.load):
            with pytest.raises(InputError, match="give the path of a file"):
                read(name)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("species", "CO"), ("species", ["CO", 3]), ("species", ["CO", "CO"]),
            ("parameters", []), ("units", ["K"]), ("units", None), ("states", 1),
            ("states", 2.5), ("states", -3), ("compression", "zip"),
            ("compression", 10), ("compression", ""), ("extra", {"status": "letters"}),
            ("extra", {"time": "f4"}), ("solved", "no"), ("attributes", ["a"]),
            ("attributes", {"source": object()}),
        ],
    )  # fmt: skip
    def test_a_writer_refuses_and_leaves_nothing(self, tmp_path, key, value):
        wanted = {
            "species": SPECIES,
            "parameters": PARAMETERS,
            "units": ("cm^-3", "Habing", "mag"),
            "states": 13,
            "attributes": {},
        }
        with pytest.raises(InputError, match=key.removesuffix("s")):
            TracerWriter(tmp_path / "out.h5", **(wanted | {key: value}))

        assert not list(tmp_path.iterdir())

    def test_a_refused_block_adds_nothing(self, tmp_path):
        tracers, wrong, odd = make_tracers(), make_tracers(), make_tracers()
        wrong.split, odd.length = wrong.split[:3], 13.0
        with TracerWriter(
            tmp_path / "out.h5",
            species=SPECIES,
            parameters=PARAMETERS,
            units=("cm^-3", "Habing", "mag"),
            states=13,
            attributes={},
        ) as writer:
            writer.append(tracers)
            for bad in (wrong, odd, "tracers"):
                with pytest.raises(InputError):
                    writer.append(bad)
        with TracerStore(tmp_path / "out.h5") as store:
            read = store.read(slice(None))
        np.testing.assert_array_equal(read.tracer, tracers.tracer)
        np.testing.assert_array_equal(read.split, tracers.split)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", True), ("seed", 1.5), ("seed", NAN), ("members", 0),
        ("members", "2"), ("calibration", NAN), ("tolerance", float("inf")),
        ("precision", ["float32"]), ("name", 3),
    ],
)  # fmt: skip
def test_a_value_put_into_a_configuration_is_checked(key, value):
    config = Config(name="tests")
    setattr(config, key, value)
    with pytest.raises(InputError, match=f"{key} is"):
        check(config)


@pytest.mark.parametrize("key", ["dataset.minimum", "solver.constants"])
def test_free_values_of_a_configuration_are_finite(key):
    from astrokeras.config import compose_generation

    with pytest.raises(InputError, match=rf"{key}\.Av is nan; give a finite number"):
        compose_generation([f"{key}.Av=nan"])


def test_overrides_and_folders_are_checked(tmp_path):
    with pytest.raises(InputError, match="give a list of strings"):
        astrokeras.compose("seed=3")
    with pytest.raises(InputError, match="give a folder that exists"):
        astrokeras.compose([], tmp_path / "none")


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"test": NAN}, {"validation": -0.5}, {"seed": 0.5}]
)
def test_a_split_is_of_fractions_and_a_seed(options):
    (name,) = options
    with pytest.raises(InputError, match=f"{name} is"):
        assign_split(np.arange(20), **options)
    with pytest.raises(InputError, match=rf"dataset\.split\.{name} is"):
        make_split(np.arange(20), SplitConfig(**options))


def test_a_sample_by_a_seed_that_is_none(cli, tmp_path):
    path = write_tracers(tmp_path / "tiny.h5")
    for words in (("sample", path, tmp_path / "out.h5"), ("split", path, "--force")):
        result = cli("data", *words, "--seed", -1)
        assert result.exit_code == 2
        assert "seed is -1; " in result.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["tiny.h5"]


@pytest.mark.parametrize("name", [3, None, ["CO"], b"CO", "C\0"])
def test_a_species_is_a_text(name):
    with pytest.raises(InputError, match="a species is"):
        astrokeras.parse_species(name)
    with pytest.raises(InputError, match="species is"):
        astrokeras.stoichiometric_matrix([name])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Autoencoder(0), "species"),
        (lambda: Autoencoder(5, (8, -1)), "widths"),
        (lambda: Autoencoder(5, latents=2.5), "latents"),
        (lambda: Autoencoder(5, dropout=NAN), "rate"),
        (lambda: Conservation([[1.0]], steps=0), "steps"),
        (lambda: Conservation([["H"]]), "stoichiometry"),
        (lambda: DexLoss([[1.0]], width=0.0), "width"),
        (lambda: DexLoss([[1.0]], decades=NAN), "decades"),
        (lambda: Trust(0, 1, 1, 1), "Trust"),
        (lambda: astrokeras.resource(".."), "folder"),
    ],
)
def test_constructors_check_what_counts_and_divides(make, named):
    with pytest.raises(InputError, match=named):
        make()


class TestChecks:
    def test_what_is_given_comes_back_plain(self):
        assert type(arguments.whole("x", np.int8(3))) is int
        assert type(arguments.number("x", np.float32(1.5))) is float
        assert arguments.texts("x", np.array(["a", "b"])) == ("a", "b")
        assert arguments.wholes("x", (np.int64(3), 4)) == [3, 4]

    def test_a_value_that_answers_nothing_is_refused(self):
        class Evil:
            def __repr__(self):
                raise RuntimeError("no")

            __index__ = __float__ = __iter__ = __array__ = __repr__

        for one in ("whole", "number", "flag", "text", "texts", "path", "wholes"):
            with pytest.raises(InputError, match=r"x is (an? |<)Evil"):
                getattr(arguments, one)("x", Evil())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threshold": NAN}, "threshold is nan"),
        ({"tracers": 0}, "tracers is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_verification_checks_what_it_counts(options, named):
    from astrokeras.config import GenerationConfig
    from astrokeras.generation.verify import verify

    with pytest.raises(InputError, match=named):
        verify("none.h5", GenerationConfig(), **options)


@pytest.mark.parametrize("name", ["predict", "evaluate"])
@pytest.mark.parametrize("value", [-1, 0, 1.5, True])
def test_commands_check_their_batch_size(name, value, surrogate, tmp_path):
    from importlib import import_module

    package = {"predict": "prediction", "evaluate": "evaluation"}[name]
    command = getattr(import_module(f"astrokeras.{package}.{name}"), name)
    given = (surrogate, write_tracers(tmp_path / "tiny.h5"))
    out = {"out": tmp_path / "out"}
    with pytest.raises(InputError, match=f"batch_size is {value}; give a whole"):
        command(*given, **out, batch_size=value)
    assert [one.name for one in tmp_path.iterdir()] == ["tiny.h5"]


def test_a_field_to_search_is_a_text_of_one_line():
    from astrokeras.tuning.search_space import find_field

    with pytest.raises(InputError, match=r"a field of tuner.space is 'seed\\n'"):
        find_field("seed\n")
