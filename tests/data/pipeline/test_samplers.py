"""The training cache and the batches drawn from it, on every backend the same."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
from tiny import make_tracers, write_tracers

from astrokeras.data.pipeline.chunk_reader import ChunkReader
from astrokeras.data.pipeline.sampler_dataset import EpochNumber, SamplerDataset
from astrokeras.data.pipeline.samplers import RowSampler
from astrokeras.data.pipeline.statistics import StatisticsCollector
from astrokeras.data.pipeline.training_cache import prepare
from astrokeras.data.pipeline.validation_samplers import RolloutSampler, StateSampler
from astrokeras.data.pipeline.window_sampler import WindowSampler
from astrokeras.errors import InputError


@pytest.fixture(scope="module")
def tracers():
    return make_tracers()


@pytest.fixture(scope="module")
def cache(tmp_path_factory, tracers):
    folder = tmp_path_factory.mktemp("cache")
    return prepare(write_tracers(folder / "tiny.h5", tracers), folder, 1e-20)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ragged")
    tracers = make_tracers()
    tracers.length[:6] = [13, 9, 6, 4, 3, 2]
    for i, length in enumerate(tracers.length):
        tracers.abundances[i, length:] = np.nan
        tracers.physical[i, length - 1 :] = np.nan
    return prepare(write_tracers(folder / "r.h5", tracers), folder, 1e-20)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Tracers of several lengths, no two intervals of which are equal."""
    folder = tmp_path_factory.mktemp("uneven")
    tracers = make_tracers(states=40)
    steps = np.random.default_rng(1).uniform(50, 150, tracers.physical.shape[:2])
    tracers.time[:, 1:] = np.cumsum(steps, axis=1)
    tracers.length[::3] = 25
    for i, length in enumerate(tracers.length):
        tracers.abundances[i, length:] = tracers.time[i, length:] = np.nan
        tracers.physical[i, length - 1 :] = np.nan
    return prepare(write_tracers(folder / "u.h5", tracers), folder, 1e-20)


def scaled(tracers):
    return 1 + np.log10(np.maximum(tracers.abundances.astype("f8"), 1e-20)) / 20


def test_the_cache_holds_the_training_tracers_scaled(cache, tracers):
    import h5py

    with h5py.File(cache.path) as file:
        held = file["train/abundances"][:]
        physical = file["train/physical"][:]
    train = tracers.split == 0
    expected = scaled(tracers)[train]
    assert not np.array_equal(held, expected.astype("f4"))  # another order

    order = np.lexsort(held[:, -1].T)
    expected_order = np.lexsort(expected[:, -1].astype("f4").T)
    np.testing.assert_allclose(held[order], expected[expected_order], atol=1e-6)
    logs = np.log10(tracers.physical[train])
    np.testing.assert_allclose(physical[order], logs[expected_order], atol=1e-6)


def test_statistics_are_those_of_the_training_tracers(cache, tracers):
    train = tracers.split == 0
    logs = np.log10(tracers.physical[train].astype("f8")).reshape(-1, 3)
    states = scaled(tracers)[train].reshape(-1, 10)
    statistics = cache.statistics

    np.testing.assert_allclose(statistics.offset, logs.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.scale, logs.std(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.parameter_low, 10 ** logs.min(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.parameter_high, 10 ** logs.max(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.species_mean, states.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics.step, [100, 100])
    assert statistics.duration == 1200
    start = 10 ** np.median(20 * (scaled(tracers)[train][:, 0] - 1), axis=0)
    np.testing.assert_allclose(statistics.start, start, rtol=1e-4)
    assert (statistics.species_low <= start).all()
    assert cache.fixed == ["zeta = 1"]


def test_the_cache_is_keyed_by_content(cache, tracers, tmp_path):
    source = write_tracers(tmp_path / "tiny.h5", tracers)
    again = prepare(source, cache.path.parent, 1e-20)
    changed = make_tracers()
    changed.abundances[0, 3, 2] *= 1.01
    write_tracers(source, changed)
    other = prepare(source, cache.path.parent, 1e-20)

    # The writer notes the time in no dataset: equal contents may differ as files.
    assert again.source_hash != other.source_hash
    assert again.path != other.path
    assert not list(cache.path.parent.glob("*.partial*"))


def test_a_missing_cache_is_named(cache, tracers, tmp_path):
    source = write_tracers(tmp_path / "other.h5", make_tracers(seed=5))
    with pytest.raises(InputError, match="--mode preprocess"):
        prepare(source, tmp_path, 1e-20, build=False)


def test_rows_of_an_epoch_are_training_states_once_each(cache, tracers):
    sampler = RowSampler(cache, 12, seed=0, chunk=4)
    rows = np.concatenate([sampler.batch(0, i)[0] for i in range(sampler.steps)])
    states = scaled(tracers)[tracers.split == 0].reshape(-1, 10).astype("f4")

    assert len(rows) >= 0.9 * len(states)
    distance = np.abs(rows[:, None] - states[None]).max(-1)
    assert (distance.min(1) < 1e-6).all()
    # States of different tracers are equal at t = 0 only; the others appear once.
    found = distance.argmin(1)
    later = found[found % 13 > 0]
    assert len(np.unique(later)) == len(later)


@pytest.mark.parametrize("decode", [0, 3])
def test_windows_are_pieces_of_tracers(cache, tracers, decode):
    sampler = WindowSampler(
        cache, 4, [4, 8], seed=0, states_per_window=decode, reconstruction=0.5
    )
    train = tracers.split == 0
    states = scaled(tracers)[train]
    logs = np.log10(tracers.physical[train])
    physical = (logs - cache.statistics.offset) / cache.statistics.scale
    lengths, starts = set(), set()
    for step in range(sampler.steps):
        initial, parameters, *index, truth, weight = sampler.batch(2, step)
        window = parameters.shape[1]
        lengths.add(window)
        every = np.tile(np.arange(window + 1), (len(initial), 1))
        wanted = index[0] if index else every
        states_compared = 1 + (min(decode, window) if decode else window)
        assert truth.shape[1] == weight.shape[1] == states_compared
        assert (wanted[:, 0] == 0).all()
        assert (wanted[:, -1] == window).all()
        assert (np.diff(wanted) > 0).all()
        np.testing.assert_allclose(weight[:, 0], 0.5 * (states_compared - 1))
        assert (weight[:, 1:] == 1).all()
        for row in range(len(initial)):
            gap = np.abs(physical[:, : 13 - window] - parameters[row, 0]).max(-1)
            tracer, start = np.unravel_index(gap.argmin(), gap.shape)
            starts.add(int(start))
            run = slice(start, start + window)
            np.testing.assert_allclose(
                physical[tracer, run], parameters[row], atol=1e-5
            )
            np.testing.assert_allclose(states[tracer, start], initial[row], atol=1e-6)
            expected = states[tracer, start + wanted[row]]
            np.testing.assert_allclose(expected, truth[row], atol=1e-6)
    assert lengths == {4, 8}
    assert len(starts) > 4


class TestLongIntervals:
    """Windows whose intervals span several steps of the file, each its own number."""

    STRIDE = 6

    def sampler(self, cache, **changes):
        settings = {
            "use_timestep": True,
            "stride": self.STRIDE,
            "native_step_fraction": 0.5,
            "chunk": 4,
        }
        return WindowSampler(cache, 4, [5, 20], seed=0, **(settings | changes))

    def drawn(self, sampler, epochs=4):
        """Tracers and states of all windows, those of one length at a time."""
        for epoch in range(epochs):
            for step in range(sampler.steps):
                tracers, states, *_ = sampler.choose(epoch, step)
                yield tracers, states

    def test_they_fit_the_tracer_and_span_no_more_than_allowed(self, uneven):
        sampler = self.sampler(uneven)
        seen = {5: set(), 20: set()}
        for tracers, states in self.drawn(sampler, epochs=20):
            spans = np.diff(states)
            assert states.min() >= 0
            assert (states[:, -1] < sampler.length[tracers]).all()
            assert spans.min() == 1
            seen[spans.shape[1]].update(spans.ravel().tolist())
        assert seen[5] == set(range(1, self.STRIDE + 1))
        assert max(seen[20]) > 1
        assert sampler.reach == self.STRIDE

    def test_a_share_of_them_is_even(self, uneven):
        def share(native_step_fraction):
            sampler = self.sampler(uneven, native_step_fraction=native_step_fraction)
            windows = [np.diff(s) for _, s in self.drawn(sampler) if s.shape[1] == 6]
            return (np.concatenate(windows) == 1).all(1).mean()

        never, half = share(0.0), share(0.5)
        # Some have only short intervals by chance.
        assert 0.2 < never < 0.5
        assert abs(half - (0.5 + 0.5 * never)) < 0.1
        assert share(1.0) == 1
        assert self.sampler(uneven, native_step_fraction=1.0).reach == 1

    def test_each_interval_is_told_as_a_loop_over_its_steps_tells(self, uneven):
        sampler = self.sampler(uneven, states_per_window=3)
        logs, years = sampler.group["physical"][:], sampler.group["years"][:]
        abundances = sampler.group["abundances"][:]
        offset, scale = uneven.statistics.offset, uneven.statistics.scale
        for step in range(sampler.steps):
            tracers, states, index, _ = sampler.choose(0, step)
            initial, features, wanted, truth, _ = sampler.batch(0, step)
            np.testing.assert_array_equal(wanted, index)
            for row, tracer in enumerate(tracers):
                np.testing.assert_array_equal(
                    initial[row], abundances[tracer, states[row, 0]]
                )
                np.testing.assert_array_equal(
                    truth[row], abundances[tracer, states[row, index[row]]]
                )
                for i, (a, b) in enumerate(pairwise(states[row])):
                    share = years[tracer, a:b] / years[tracer, a:b].sum()
                    pieces = logs[tracer, a:b].astype("f8")
                    mean = share @ pieces
                    mean[0] = np.log10(share @ 10 ** pieces[:, 0])  # the density
                    mean, first, last = (
                        (one - offset) / scale for one in (mean, pieces[0], pieces[-1])
                    )
                    length = np.log10(years[tracer, a:b].sum() / sampler.step)
                    told = [mean, first - mean, last - mean, [length]]
                    np.testing.assert_allclose(
                        features[row, i], np.concatenate(told), atol=2e-5
                    )

    def test_intervals_are_those_of_the_file(self, uneven):
        sampler = self.sampler(uneven)
        steps = sampler.group["years"][:]
        valid = np.arange(39) < sampler.length[:, None] - 1

        low, high = uneven.statistics.step
        assert steps[valid].min() == pytest.approx(low, rel=1e-6)
        assert steps[valid].max() == pytest.approx(high, rel=1e-6)
        assert (steps > 0).all()  # also where no tracer is: there are logarithms

    def test_validation_is_told_the_length_of_each_step(self, uneven):
        plain, use_timestep = (
            RolloutSampler(uneven, 3),
            RolloutSampler(uneven, 3, use_timestep=True),
        )
        features, parameters = use_timestep.batch(0, 0)[1], plain.batch(0, 0)[1]

        np.testing.assert_array_equal(features[..., :3], parameters)
        assert (features[..., 3:9] == 0).all()
        years = use_timestep.group["years"][:][: len(features)]
        expected = np.log10(years / uneven.statistics.step[0])
        np.testing.assert_allclose(features[..., 9], expected, atol=1e-6)


def test_windows_of_single_steps_are_drawn_as_ever(cache):
    """So that what was trained before can be trained again."""
    sampler = WindowSampler(
        cache, 4, [4, 8], seed=1, from_start=0.3, states_per_window=2, chunk=4
    )
    digest = hashlib.sha256()
    for epoch in range(3):
        for step in range(sampler.steps):
            for array in sampler.choose(epoch, step)[:3]:
                digest.update(np.ascontiguousarray(array, "<i8").tobytes())

    assert digest.hexdigest()[:16] == "be9759a9a22bd887"


def test_the_share_of_windows_from_the_start_is_kept(cache, tracers):
    sampler = WindowSampler(cache, 4, [4], seed=0, from_start=0.5)
    first = scaled(tracers)[0, 0]
    starts = [
        np.abs(sampler.batch(epoch, step)[0] - first).max(1) < 1e-6
        for epoch in range(20)
        for step in range(sampler.steps)
    ]

    # By chance a window of 4 in 12 steps starts at state 0 once in 9 times.
    assert abs(np.concatenate(starts).mean() - (0.5 + 0.5 / 9)) < 0.1


def test_batches_of_all_lengths_hold_as_many_states(cache):
    sampler = WindowSampler(cache, 3, [4, 12], seed=0)
    shapes = {sampler.batch(0, i)[1].shape[:2] for i in range(sampler.steps)}

    assert shapes == {(9, 4), (3, 12)}


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(2, {3, 6}), (7, {6, 21}), (9, {9, 27})]
)
def test_members_share_every_batch_evenly(cache, batch_size, sizes):
    sampler = WindowSampler(cache, batch_size, [4, 12], seed=0, multiple=3)
    found = {len(sampler.choose(0, i)[0]) for i in range(sampler.steps)}

    assert found == sizes


def test_members_share_the_part_of_every_device_evenly(cache):
    sampler = WindowSampler(cache, 9, [4, 12], seed=0, multiple=3)
    sampler.shard(0, 1, 2)
    *_, weight = sampler.choose(0, 0)

    assert len(weight) % 6 == 0


def test_the_same_seed_gives_the_same_batches(cache):
    first = WindowSampler(cache, 4, [4, 8], seed=1, states_per_window=2)
    second = WindowSampler(cache, 4, [4, 8], seed=1, states_per_window=2)
    other = WindowSampler(cache, 4, [4, 8], seed=2, states_per_window=2)
    second.batch(0, 1)  # what was drawn before must not matter

    for a, b in zip(first.batch(3, 1), second.batch(3, 1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.batch(3, 1)[0], first.batch(4, 1)[0])
    assert not np.array_equal(first.batch(3, 1)[0], other.batch(3, 1)[0])


def test_short_tracers_take_short_windows_or_are_left_out(ragged):
    sampler = WindowSampler(ragged, 4, [4, 8], seed=0)
    assert sampler.left_out == 3  # those of 4, 3 and 2 states
    for epoch in range(3):
        for step in range(sampler.steps):
            for array in sampler.batch(epoch, step):
                assert np.isfinite(array).all()
    states = np.concatenate(
        [
            sampler.batch(e, i)[-2].reshape(-1, 10)
            for e in range(3)
            for i in range(sampler.steps)
        ]
    )
    assert (states.sum(1) > 0).all()  # no padding, which would be zero


def test_rows_leave_out_what_lies_beyond_a_tracers_length(ragged):
    sampler = RowSampler(ragged, 8, seed=0)
    rows = np.concatenate([sampler.batch(0, i)[0] for i in range(sampler.steps)])

    assert (rows.sum(1) > 0).all()


def test_windows_longer_than_every_tracer_are_refused(cache):
    with pytest.raises(InputError, match=r"emulator.window is \[30\].*at most 12"):
        WindowSampler(cache, 4, [30], seed=0)


def test_validation_covers_every_state_once(cache, tracers):
    rollout, states = RolloutSampler(cache, 3), StateSampler(cache, 3)
    validation = scaled(tracers)[tracers.split == 1]

    truth = np.concatenate([rollout.batch(0, i)[2] for i in range(rollout.steps)])
    weight = np.concatenate([rollout.batch(0, i)[3] for i in range(rollout.steps)])
    rows = np.concatenate([states.batch(0, i)[0] for i in range(states.steps)])

    assert truth.shape == validation.shape
    assert (weight[:, 0] == 0).all()
    assert (weight[:, 1:] == 1).all()
    np.testing.assert_allclose(np.sort(truth[:, -1, 3]), np.sort(validation[:, -1, 3]))
    assert rows.shape == (validation.shape[0] * 13, 10)


def test_tf_data_gives_the_samplers_batches(cache):
    pytest.importorskip("tensorflow")
    from astrokeras.data.pipeline.tf_dataset import tf_batches

    sampler = WindowSampler(cache, 4, [4, 8], seed=0, states_per_window=2)
    reference = WindowSampler(cache, 4, [4, 8], seed=0, states_per_window=2)
    epoch = EpochNumber(5)
    dataset = tf_batches(sampler, epoch)
    for number in (5, 6):
        epoch.on_epoch_begin(number)
        read = list(dataset)
        assert len(read) == sampler.steps
        for step, (x, y, w) in enumerate(read):
            expected = reference.batch(number, step)
            for a, b in zip((*x, y, w), expected, strict=True):
                np.testing.assert_array_equal(a.numpy(), b)


def test_without_tensorflow_the_batches_are_the_same(cache):
    sampler = RowSampler(cache, 12, seed=0)
    dataset = SamplerDataset(sampler, EpochNumber(3))

    assert len(dataset) == sampler.steps
    np.testing.assert_array_equal(dataset[1][0], sampler.batch(3, 1)[0])


SAMPLERS = {
    "rows": lambda cache: RowSampler(cache, 12, seed=1, chunk=4),
    "windows": lambda cache: WindowSampler(cache, 4, [4, 8], seed=1, chunk=4),
    "drawn states": lambda cache: WindowSampler(
        cache,
        4,
        [4, 8],
        seed=1,
        from_start=0.3,
        states_per_window=2,
        reconstruction=0.5,
        chunk=4,
    ),
    "long intervals": lambda cache: WindowSampler(
        cache,
        4,
        [4, 8],
        seed=1,
        states_per_window=2,
        use_timestep=True,
        stride=5,
        native_step_fraction=0.3,
        chunk=4,
    ),
    "rollouts": lambda cache: RolloutSampler(cache, 3),
    "timed rollouts": lambda cache: RolloutSampler(cache, 3, use_timestep=True),
    "states": lambda cache: StateSampler(cache, 3),
}


@pytest.mark.parametrize("data", ["cache", "ragged"])
@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.jax
@pytest.mark.torch
def test_data_on_the_device_give_the_same_batches(make, data, request):
    import keras

    from astrokeras.data.pipeline.device_dataset import DeviceDataset

    streamed, other = (make(request.getfixturevalue(data)) for _ in range(2))
    epoch = EpochNumber()
    dataset = DeviceDataset(other, epoch)
    tolerance = {
        "rtol": 0,
        "atol": 2e-5 if getattr(other, "use_timestep", False) else 0,
    }

    assert len(dataset) == streamed.steps
    for number in (0, 3):
        epoch.on_epoch_begin(number)
        for step in range(streamed.steps):
            expected = streamed.arguments(streamed.batch(number, step))
            found = dataset[step]
            keras.tree.assert_same_structure(found, expected)
            for a, b in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
                a = keras.ops.convert_to_numpy(a)
                # Means and logarithms differ in the last digit.
                np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("make", [RowSampler, WindowSampler], ids=["rows", "windows"])
def test_a_compressed_cache_gives_the_same_batches(tmp_path, cache, tracers, make):
    source = write_tracers(tmp_path / "tiny.h5", tracers)
    compressed = prepare(source, tmp_path, 1e-20, compression="blosc")
    plain = prepare(source, tmp_path, 1e-20)
    settings = (12,) if make is RowSampler else (4, [4, 8])
    first, second = (make(c, *settings, seed=0) for c in (plain, compressed))

    assert compressed.path != plain.path
    assert second.group["abundances"].chunks == (1, 13, 10)
    for step in range(first.steps):
        for a, b in zip(first.batch(1, step), second.batch(1, step), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_cache_that_is_not_compressed_keeps_its_name(cache):
    key = json.dumps([3, cache.source_hash, 1e-20]).encode()

    assert cache.path.stem == f"tiny-{hashlib.sha256(key).hexdigest()[:16]}"


class TestReadingAhead:
    """Chunks come as they are in the file, whoever reads them, and whenever."""

    @pytest.fixture
    def reader(self, cache):
        reader = ChunkReader(cache, "train", 3)
        yield reader
        reader.close()

    @pytest.mark.parametrize(
        "asked",
        [
            [(0, 1), (1, 2), (2, 3), (3, 0), (0, 1)],
            [(0, 1), (0, 1), (3, 2), (1, 1), (2, None), (0, None)],
        ],
        ids=["in order", "in another order"],
    )
    def test_chunks_are_those_of_the_file(self, reader, asked):
        truth = reader.group["abundances"][:]
        for chunk, following in asked:
            abundances, physical, years = reader.read(chunk, following)
            run = slice(reader.bounds[chunk], reader.bounds[chunk + 1])
            np.testing.assert_array_equal(abundances, truth[run])
            assert len(physical) == len(years) == len(abundances)

    @pytest.mark.parametrize("kind", ["rows", "windows"])
    def test_the_chunk_read_ahead_is_the_next_one(self, cache, kind, monkeypatch):
        sampler = SAMPLERS[kind](cache)
        asked, read = [], sampler.reader.read
        monkeypatch.setattr(
            sampler.reader, "read", lambda *pair: asked.append(pair) or read(*pair)
        )
        for epoch in range(2):
            for step in range(sampler.steps):
                sampler.batch(epoch, step)

        changes = [
            (ahead, chunk)
            for (before, ahead), (chunk, _) in pairwise(asked)
            if chunk != before
        ]
        assert len(changes) > len(sampler.parts) > 1
        assert all(ahead == chunk for ahead, chunk in changes)

    def test_two_chunks_are_in_memory_at_most(self, reader):
        chunks = [reader.read(i % 4, (i + 1) % 4)[0] for i in range(8)]
        assert len({chunk.ctypes.data for chunk in chunks}) == 2

    def test_a_failure_ahead_reaches_who_asks_for_the_chunk(self, reader, monkeypatch):
        reader.read(0, 1)
        reader._ahead[1].result()
        monkeypatch.setattr(reader, "_load", lambda _: 1 / 0)
        reader.read(1, 2)
        with pytest.raises(ZeroDivisionError):
            reader.read(2, 3)


@pytest.mark.parametrize("bare", [1, 2, 3])
def test_the_usual_start_is_one_that_has_evolved(bare):
    """Wherever there is one: of bare and evolved starts no median is a state."""
    starts = np.array([[1e-4, 1e-9, 1e-6], [2e-4, 2e-9, 1e-6], [3e-4, 3e-9, 1e-6]])
    starts[:bare] = [1e-4, 1e-20, 1e-20]
    collector = StatisticsCollector(3, 1e-20)
    tracers = make_tracers(1)
    for start in starts:
        tracers.abundances[:, 0] = np.resize(start, tracers.abundances.shape[-1])
        collector.update(tracers.take(np.array([0])))
    expected = starts[bare:] if bare < 3 else starts
    usual = 10 ** np.median(np.log10(expected), axis=0)
    np.testing.assert_allclose(collector.result().start[:3], usual, rtol=1e-5)
