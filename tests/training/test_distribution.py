"""Training on many devices and in many processes, against training on one."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import ROOT
from tiny import make_tracers, overrides, write_tracers

from astrokeras.config import ConfigError, compose
from astrokeras.data.pipeline.chunk_reader import ChunkReader
from astrokeras.data.pipeline.samplers import RowSampler
from astrokeras.data.pipeline.training_cache import prepare
from astrokeras.data.pipeline.validation_samplers import RolloutSampler, StateSampler
from astrokeras.data.pipeline.window_sampler import WindowSampler
from astrokeras.errors import WorkError
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.heartbeat import Heartbeat

pytestmark = pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")

SAMPLERS = {
    "rows": lambda cache: RowSampler(cache, 12, 1, 4),
    "windows": lambda cache: WindowSampler(
        cache, 2, [3, 8], 1, states_per_window=2, chunk=4
    ),
    "rollouts": lambda cache: RolloutSampler(cache, 3),
    "states": lambda cache: StateSampler(cache, 3),
}


def sharded(sampler, *shard):
    sampler.shard(*shard)
    return sampler


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data whose validation batches no two devices can share evenly."""
    path = tmp_path_factory.mktemp("distributed")
    write_tracers(path / "tiny.h5", make_tracers(simulations=34, per_simulation=1))
    return path


@pytest.fixture(scope="module")
def cache(folder):
    return prepare(folder / "tiny.h5", folder / "cache", 1e-20)


class TestShard:
    """What the processes make is together what one process makes."""

    @pytest.fixture(params=SAMPLERS)
    def kind(self, request):
        return SAMPLERS[request.param]

    @pytest.mark.parametrize("processes", [2, 3])
    def test_the_parts_are_the_batch(self, cache, kind, processes):
        whole = kind(cache)
        parts = [
            sharded(kind(cache), rank, processes, processes)
            for rank in range(processes)
        ]

        for epoch in range(2):
            for step in range(whole.steps):
                arrays = whole.batch(epoch, step)
                made = [part.batch(epoch, step) for part in parts]
                assert len({one[0].shape for one in made}) == 1
                made = [np.concatenate(each) for each in zip(*made, strict=True)]
                if len(arrays) > 1:
                    # What was added does not count.
                    counts = made[-1].reshape(len(made[-1]), -1).sum(1) > 0
                    made = [one[counts] for one in made[:-1]]
                    was = arrays[-1].reshape(len(arrays[-1]), -1).sum(1) > 0
                    arrays = [one[was] for one in arrays[:-1]]
                np.testing.assert_allclose(rows(made), rows(arrays), rtol=1e-6)

    def test_the_mean_of_a_batch_is_not_changed(self, cache):
        """Weighed by what a batch counts in `fit`, also where it was filled up."""
        for name in ("windows", "rollouts", "states"):
            whole = SAMPLERS[name](cache)
            filled = sharded(SAMPLERS[name](cache), 0, 1, 7)
            total = {"sum": 0.0, "filled": 0.0, "size": 0, "filled size": 0}
            for step in range(whole.steps):
                weight, more = whole.batch(0, step)[-1], filled.batch(0, step)[-1]
                assert len(more) % 7 == 0
                total["sum"] += weight.sum()
                total["filled"] += more.sum()
                total["size"] += weight.size
                total["filled size"] += more.size
                if name == "windows":
                    assert more.mean() == pytest.approx(weight.mean(), rel=1e-6)
            mean = total["sum"] / total["size"]
            if name != "windows":
                again = total["filled"] / total["filled size"]
                assert again == pytest.approx(mean, rel=1e-6)

    def test_a_process_reads_about_its_own_share(self, cache, monkeypatch):
        """Of single states, from chunks of 20 tracers: what it reads is counted."""
        read, load = [], ChunkReader._load

        def count(reader, key):
            read.append(sum(stop - start for start, stop in key[1]))
            return load(reader, key)

        monkeypatch.setattr(ChunkReader, "_load", count)
        for rank in range(2):
            sampler = sharded(RowSampler(cache, 64, 1), rank, 2, 2)
            for step in range(sampler.steps):
                sampler.batch(0, step)
            sampler.close()

        assert len(read) >= 2
        assert max(read) < 0.8 * cache.tracers
        assert sum(read[:1] + read[-1:]) >= cache.tracers


def rows(arrays):
    """Return examples as rows, in an order of their own."""
    flat = np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)
    return flat[np.lexsort(flat.T)]


BOTH = ("training.distribution=data_parallel", "training.coordinator=here:20000")


@pytest.mark.parametrize(
    ("backend", "given", "message"),
    [
        ("jax", ["training.rank=1"], "training.distribution is none"),
        ("jax", [BOTH[0], "training.processes=2", "training.rank=0"], "coordinator"),
        ("jax", [*BOTH, "training.processes=2"], "rank is not given"),
        ("jax", [*BOTH, "training.processes=2", "training.rank=2"], "from 0 to 1"),
        ("jax", [BOTH[0], "training.coordinator=here", "training.rank=0"], "HOST:PORT"),
        (
            "jax",
            [*BOTH, "training.processes=3", "training.rank=0"],
            "batch_size is 512, not a multiple of the 3 processes",
        ),
        (
            "tensorflow",
            [*BOTH, "training.processes=2", "training.rank=0"],
            "--backend jax",
        ),
        ("torch", [BOTH[0]], "which PyTorch does not support"),
    ],
)
def test_what_cannot_be_distributed_is_refused(monkeypatch, backend, given, message):
    monkeypatch.setattr(
        "astrokeras.training.distribution.select_backend", lambda **_: backend
    )
    with pytest.raises(ConfigError, match=message) as refusal:
        ProcessGroup.from_config(compose(given), ("autoencoder", "emulator"))
    assert "\n" not in str(refusal.value)


def set_slurm(monkeypatch, nodes):
    """Set what srun sets for the last of four tasks."""
    for name, value in {
        "SLURM_JOB_ID": "1234567",
        "SLURM_PROCID": "3",
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_NUM_TASKS": "4",
    }.items():
        monkeypatch.setenv(name, value)


def test_slurm_says_what_the_configuration_does_not(monkeypatch):
    monkeypatch.setattr(
        "astrokeras.training.distribution.select_backend", lambda **_: "jax"
    )
    set_slurm(monkeypatch, "gpu[07-08,11]")

    group = ProcessGroup.from_config(compose([BOTH[0]]))

    assert (group.rank, group.world_size, group.host) == (3, 4, "gpu07")
    assert 1024 < group.port < 65535
    assert ProcessGroup.from_config(compose([])).world_size == 1  # not asked for


def test_a_batch_script_without_srun_is_one_process(monkeypatch):
    """It knows the tasks and nodes of its job, and no step."""
    monkeypatch.setattr(
        "astrokeras.training.distribution.select_backend", lambda **_: "jax"
    )
    for name, value in {
        "SLURM_JOB_ID": "1234567",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "0",
        "SLURM_JOB_NODELIST": "gpu[07-08,11]",
    }.items():
        monkeypatch.setenv(name, value)

    assert ProcessGroup.from_config(compose([BOTH[0]])).world_size == 1


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("gpu[007-010,12],cpu3", "gpu007"),
        ("rack[2,5]-ib", "rack2-ib"),
    ],
)
def test_the_first_node_of_a_list(monkeypatch, nodes, first):
    monkeypatch.setattr(
        "astrokeras.training.distribution.select_backend", lambda **_: "jax"
    )
    set_slurm(monkeypatch, nodes)
    assert ProcessGroup.from_config(compose([BOTH[0]])).host == first


def free_port():
    """Return a port that is free, as is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def wait_with(texts):
    """Let processes, here threads, wait with a text each; return what they raise."""
    port, raised = free_port(), {}

    def come(rank, text):
        heartbeat = Heartbeat(rank, len(texts), "127.0.0.1", port)
        try:
            heartbeat.barrier("first")
            heartbeat.barrier(text)
            raised[rank] = None
        except WorkError as error:
            raised[rank] = str(error)
        finally:
            heartbeat._closed = True

    threads = [threading.Thread(target=come, args=pair) for pair in enumerate(texts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return raised


def test_processes_wait_for_each_other_and_must_agree():
    assert wait_with(["a", "a", "a"]) == {0: None, 1: None, 2: None}

    raised = wait_with(["a", "a", "b"])
    assert all(
        "rank 2 at 127.0.0.1 is at 'b', rank 0 at 'a'" in raised[k] for k in raised
    )


CONNECTED = """
import sys
from astrokeras.training.heartbeat import Heartbeat
with Heartbeat(int(sys.argv[1]), 2, "127.0.0.1", int(sys.argv[2])) as heartbeat:
    heartbeat.barrier("begin")
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_dies_is_named(killed):
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONNECTED, str(rank), port],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    assert [one.stdout.readline() for one in processes] == ["begun\n"] * 2

    processes[killed].kill()
    processes[killed].communicate(timeout=60)
    _, said = processes[1 - killed].communicate(timeout=60)

    assert said.startswith(f"Error: rank {killed} at 127.0.0.1 is gone; start all")
    assert processes[1 - killed].returncode == 1


# Two devices on one CPU: JAX reads them from the environment, TensorFlow is told.
DEVICES = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
"""
MAIN = "from astrokeras.cli import main; main()"


class Training:
    """A command line in a process of its own."""

    def __init__(self, folder, backend, name, *more, code=MAIN, **environment):
        words = overrides(folder, f"name={name}", *more)
        # Wide enough for its gradients to matter, odd enough to be filled up.
        words += [
            "emulator.finetune_autoencoder=true",
            "emulator.use_timestep=true",
            "emulator.stride=2",
        ]
        self.path = folder / "runs" / name
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "train", *words],
            env=os.environ
            | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend}
            | environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, code=0, timeout=300):
        """Wait for its end and return what it said to people."""
        _, said = self.process.communicate(timeout=timeout)
        assert self.process.returncode == code, said
        return said

    def history(self):
        try:
            return json.loads((self.path / "history.json").read_text())
        except (OSError, ValueError):
            return {}


def train_together(folder, name, *more, code=None):
    """Start two processes of one training, with code of their own by their rank."""
    words = [BOTH[0], f"training.coordinator=127.0.0.1:{free_port()}"]
    words += ["training.processes=2", *more]
    codes = [(code or {}).get(rank, MAIN) for rank in range(2)]
    return [
        Training(folder, "jax", name, *words, f"training.rank={rank}", code=one)
        for rank, one in enumerate(codes)
    ]


def assert_same_history(ours, theirs, reliability_threshold=1e-5):
    assert set(ours) == set(theirs) == {"autoencoder", "emulator"}
    for stage in ours:
        assert len(ours[stage]) == len(theirs[stage])
        for one, other in zip(ours[stage], theirs[stage], strict=True):
            assert one == pytest.approx(other, rel=reliability_threshold), stage


def assert_same_surrogate(folder, ours, theirs):
    """Two runs predict the same for the tracers of the file."""
    import astrokeras
    from astrokeras.data.tracers.reader import TracerStore

    with TracerStore(folder / "tiny.h5") as store:
        tracers = store.read(store.rows("test"))
    given = tracers.abundances[:, 0], tracers.physical, tracers.time
    one, other = (
        np.log10(astrokeras.load(path / "surrogate.keras").emulate(*given))
        for path in (ours, theirs)
    )
    np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.fixture(scope="module")
def alone(folder):
    """The same training on one device, on the backend in use."""
    run = Training(folder, os.environ["KERAS_BACKEND"], "alone")
    run.end()
    return run


@pytest.mark.long
@pytest.mark.jax
def test_two_devices_train_as_one(folder, alone):
    run = Training(
        folder, "jax", "devices", BOTH[0],
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )  # fmt: skip
    run.end()

    assert_same_history(run.history(), alone.history())
    assert_same_surrogate(folder, run.path, alone.path)


@pytest.mark.long
@pytest.mark.tensorflow
def test_two_devices_train_as_one_on_tensorflow(folder, alone):
    run = Training(folder, "tensorflow", "devices", BOTH[0], code=DEVICES + MAIN)
    run.end()

    assert_same_history(run.history(), alone.history())
    assert_same_surrogate(folder, run.path, alone.path)


@pytest.mark.long
@pytest.mark.jax
def test_two_processes_train_as_one(folder, alone):
    runs = train_together(folder, "processes")
    said = [run.end() for run in runs]

    assert_same_history(runs[0].history(), alone.history())
    assert_same_surrogate(folder, runs[0].path, alone.path)
    best = [line for line in said[0].splitlines() if line.startswith("Best val_dex")]
    assert len(best) == 2
    assert all(f"Rank 1: {line}" in said[1] for line in best)


# What the emulator's third epoch begins with in a process that dies.
KILLED = """
import os, signal
from astrokeras.data.pipeline import sampler_dataset
begin = sampler_dataset.EpochNumber.on_epoch_begin
def die(self, epoch, logs=None):
    begin(self, epoch, logs)
    if epoch == 2 and type(self.model).__name__ == "Emulator":
        os.kill(os.getpid(), signal.SIGKILL)
sampler_dataset.EpochNumber.on_epoch_begin = die
"""


def kill_one(folder, killed):
    """Start two processes, one of which dies, and return them and the other's words."""
    code = {killed: KILLED + MAIN}
    runs = train_together(folder, f"killed_{killed}", code=code)
    runs[killed].end(code=-signal.SIGKILL)
    died = time.monotonic()
    said = runs[1 - killed].end(code=1)

    assert time.monotonic() - died < 60
    # JAX says more, of connections that were closed.
    errors = [one for one in said.splitlines() if one.startswith("Error:")]
    assert len(errors) == 1
    assert f"Error: rank {killed} at 127.0.0.1 is gone" in errors[0]
    assert "--resume" in errors[0]
    assert not (runs[0].path / "surrogate.keras").exists()
    return runs


@pytest.mark.long
@pytest.mark.jax
def test_rank_0_is_missed_too(folder):
    kill_one(folder, killed=0)


@pytest.mark.long
@pytest.mark.jax
def test_a_process_that_dies_is_named_and_the_training_resumed(folder, alone):
    runs = kill_one(folder, killed=1)
    assert len(runs[0].history()["emulator"]) == 2

    again = train_together(folder, "killed_1", "--resume")
    said = [run.end() for run in again]

    assert "Resuming the emulator after epoch 2 of 4." in said[0]
    assert_same_history(again[0].history(), alone.history())
