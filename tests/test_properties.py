"""What holds for any input: names, scales, splits, importers, damaged files."""

import shutil

import numpy as np
import pandas as pd
import pytest
from frames import PARAMETERS, settings
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from tiny import write_tracers

from astrokeras.chemistry.species import PHASES, find_elements, parse_species
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.abundance_scaling import (
    decades,
    scale_abundances,
    unscale_abundances,
)
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.split import assign_split
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

ELEMENTS = ("H", "HE", "C", "N", "O", "MG", "SI", "S", "CL")

# The same examples everywhere; the fuzzing of `fuzz/` looks further.
how.register_profile("same", deadline=None, derandomize=True, database=None)
how.load_profile("same")
slowly = how(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def attempt(function, *arguments, **options):
    """Return a result and no message, or none and that of the refusal."""
    try:
        return function(*arguments, **options), ""
    except InputError as error:
        return None, str(error)


def read_all(path):
    with TracerStore(path) as store:
        return store.read(slice(None))


class TestSpeciesNames:
    atoms = st.lists(
        st.tuples(st.sampled_from(ELEMENTS), st.integers(1, 9)), min_size=1, max_size=6
    )

    @given(atoms, st.sampled_from(list(PHASES)), st.integers(-3, 3))
    def test_what_is_spelled_is_read(self, atoms, sign, charge):
        signs = ("+" if charge > 0 else "-") * abs(charge)
        body = "".join(name + str(count) * (count > 1) for name, count in atoms)
        expected = {}
        for name, count in atoms:
            expected[name] = expected.get(name, 0) + count

        species = parse_species(sign + body + signs, ELEMENTS)

        assert dict(species.elements) == expected
        assert species.charge == charge
        assert species.phase == PHASES[sign]

    @given(st.text(max_size=80), st.lists(st.text(max_size=3), max_size=4))
    def test_any_text_is_read_or_refused_in_a_line(self, name, declared):
        elements, message = attempt(find_elements, [name], declared)
        species = None
        if not message:
            species, message = attempt(parse_species, name, elements)
        assert len(message) < 1500
        if species is not None:
            assert set(species.elements) <= set(elements)
            assert all(count > 0 for count in species.elements.values())

    @given(st.text("HECNO+-#@$0123456789", max_size=40))
    def test_a_reading_has_the_letters_of_the_name(self, name):
        species, message = attempt(parse_species, name, ("H", "HE", "C", "N", "O"))
        if not message and name != "E-":
            letters = name.replace("HE", "X").translate(str.maketrans("", "", "#@+-"))
            assert sum(species.elements.values()) >= sum(map(str.isalpha, letters))


class TestScales:
    floors = st.floats(-30, -6).map(lambda power: 10.0**power)

    @given(floors, st.lists(st.floats(-40, 0), min_size=1, max_size=20))
    def test_scaled_and_back(self, floor, logs):
        abundances = 10.0 ** np.array(logs)
        span = decades(floor)

        scaled = scale_abundances(abundances, floor)

        assert ((scaled >= -1e-12) & (scaled <= 1)).all()
        expected = np.clip(abundances, floor, 1)
        np.testing.assert_allclose(10 ** (span * (scaled - 1)), expected, rtol=1e-9)
        back = unscale_abundances(scaled, floor)
        np.testing.assert_allclose(back, expected, rtol=1e-9)

    @given(floors, st.floats(-29, -1), st.floats(0.01, 10))
    def test_the_order_is_kept(self, floor, log, more):
        pair = 10.0 ** np.array([log, min(log + more, 0)])
        assert np.diff(scale_abundances(pair, floor))[0] >= 0


class TestSplits:
    @given(
        st.lists(st.integers(0, 40), min_size=1, max_size=120),
        st.floats(0, 0.9),
        st.floats(0, 0.9),
        st.integers(0, 2**31),
    )
    def test_whole_groups_in_the_shares_asked_for(self, groups, validation, test, seed):
        groups = np.array(groups)
        split, message = attempt(assign_split, groups, validation, test, seed)
        if message:
            assert "too few" in message
            return

        ids = np.unique(groups)
        codes = [set(split[groups == one]) for one in ids]
        assert all(len(one) == 1 for one in codes)
        counts = np.bincount([one.pop() for one in codes], minlength=3)
        assert counts[2] == round(test * len(ids))
        assert counts[1] == round(validation * len(ids))
        assert counts[0] > 0 or validation + test >= 1 - 1e-9
        np.testing.assert_array_equal(
            split, assign_split(groups, validation, test, seed)
        )
        order = np.random.default_rng(0).permutation(len(groups))
        np.testing.assert_array_equal(
            split[order], assign_split(groups[order], validation, test, seed)
        )


@st.composite
def tables(draw):
    """Raw tables: tracers of any lengths, in any order of their numbers."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    numbers = draw(st.permutations(range(len(lengths))))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    parts = []
    for number, length in zip(numbers, lengths, strict=True):
        part = pd.DataFrame(
            {name: rng.uniform(1, 9, length) for name in PARAMETERS.values()}
        )
        part["Time"] = np.cumsum(rng.uniform(1, 9, length))
        for name in ("H", "CO", "E-"):
            part[name] = 10.0 ** rng.uniform(-25, 0, length)
        parts.append(part.assign(Tracer=number))
    return pd.concat(parts, ignore_index=True)


class TestImporters:
    @slowly
    @given(tables())
    @pytest.mark.filterwarnings("ignore")
    def test_a_table_is_cut_into_its_tracers(self, tmp_path, table):
        out = tmp_path / "out.h5"
        whole = [part for _, part in table.groupby("Tracer", sort=False)]
        kept = [part for part in whole if len(part) > 1]
        if not kept:
            with pytest.raises(InputError, match="no tracer of at least two states"):
                import_tracers(table, out, settings(), split=False)
            return

        import_tracers(table, out, settings(), split=False)

        with TracerStore(out) as store:
            read = store.read(slice(None))
        assert read.length.tolist() == [len(part) for part in kept]
        assert read.tracer.tolist() == [part["Tracer"].iloc[0] for part in kept]
        for i, part in enumerate(kept):
            n = len(part)
            np.testing.assert_allclose(read.time[i, :n], part["Time"])
            np.testing.assert_allclose(
                read.abundances[i, :n],
                np.maximum(part[["H", "CO", "E-"]], 1e-20),
                rtol=1e-6,
            )
            np.testing.assert_allclose(
                read.physical[i, : n - 1], part[[*PARAMETERS.values()]][:-1], rtol=1e-6
            )

    @slowly
    @given(st.text(" ,.\n-+E0123456789TimeDensityCO", max_size=200))
    def test_any_text_is_imported_or_refused(self, tmp_path, text):
        (tmp_path / "run.csv").write_text(
            "Time,Density,radfield,Av,gasTemp,CO\n" + text
        )
        out = tmp_path / "out.h5"
        out.unlink(missing_ok=True)
        path = tmp_path / "run.csv"
        _, message = attempt(import_tracers, path, out, settings(), split=False)
        if message:
            assert str(path) in message
            assert not list(tmp_path.glob("out*"))
        else:
            read_all(out)


class TestDamagedFiles:
    @slowly
    @given(st.data())
    def test_flipped_bits_are_refused_or_harmless(self, tmp_path, data):
        path, whole = tmp_path / "x.h5", tmp_path / "whole.h5"
        if not whole.exists():
            write_tracers(whole)
        shutil.copy(whole, path)
        raw = bytearray(path.read_bytes())
        places = st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=20)
        for place in data.draw(places):
            raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        _, message = attempt(read_all, path)
        assert not message or message.startswith(str(path))
