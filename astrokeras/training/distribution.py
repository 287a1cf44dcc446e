"""Training on many devices and many machines: data-parallel, by Keras or TensorFlow.

Every device holds the whole model and computes a part of each batch; the gradients are
summed. On JAX `keras.distribution.DataParallel` does so over the devices of one or of
several processes, on TensorFlow `tf.distribute.MirroredStrategy` over those of one.
The one place that knows how; whoever trains gets a `Cluster`.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from astrokeras.config import Config, ConfigError, FitConfig, TrainingConfig
from astrokeras.data.pipeline.shard import Share
from astrokeras.errors import InputError
from astrokeras.system.backend import select_backend
from astrokeras.training.peers import Peers

# Slurm gives a job no port of its own: one by the job's number, in an unused range.
FIRST_PORT, PORTS = 20000, 10000


@dataclass(frozen=True)
class Place:
    """Which of the processes of a training this one is.

    Attributes:
        rank: Its number.
        processes: How many there are.
        host, port: Where rank 0 listens: JAX on this port, `Peers` on the next one.
    """

    rank: int = 0
    processes: int = 1
    host: str = ""
    port: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes the run."""
        return self.rank == 0

    def join(self) -> "Peers | contextlib.nullcontext[None]":
        """Return the other processes as a context, or `None` as one."""
        if self.processes == 1:
            return contextlib.nullcontext()
        return Peers(self.rank, self.processes, self.host, self.port + 1)


@dataclass(frozen=True)
class Cluster:
    """The devices that a training is spread over; by default, those that Keras takes.

    Attributes:
        share: What of a batch is made here.
        peers: The other processes, if there are any.
        strategy: What Keras or TensorFlow spreads a model by.
    """

    share: Share = field(default_factory=Share)
    peers: Peers | None = None
    strategy: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes the run."""
        return self.share.rank == 0

    def meet(self, what: str) -> None:
        """Wait for all processes, which must agree about `what`."""
        if self.peers:
            self.peers.meet(what)

    @contextlib.contextmanager
    def spread(self, model: Any) -> Iterator[Any]:
        """Lend a twin of a built model that lives on all devices.

        What is made in this context lives there too. In the end the model has the
        twin's weights; without a strategy the twin is the model itself.
        """
        if self.strategy is None:
            yield model
            return
        with self.strategy.scope():
            twin = type(model).from_config(model.get_config())
            twin.build()
            twin.set_weights(model.get_weights())
            yield twin
            weights = twin.get_weights()
        model.set_weights(weights)

    def whole_gradients(self, optimizer: Any) -> Any:
        """Let an optimiser see the sum of the devices' gradients.

        Keras' optimisers on TensorFlow clip each device's gradient and sum them then,
        which is another direction than that of the whole batch.
        """
        devices = getattr(self.strategy, "num_replicas_in_sync", 1)
        if devices == 1:
            return optimizer
        import tensorflow as tf

        apply = optimizer.apply
        # Each device brings the same share of the sum, which Keras sums up again.
        if optimizer.global_clipnorm:
            optimizer.global_clipnorm /= devices

        def apply_whole(grads: Any, trainable_variables: Any = None) -> None:
            context = tf.distribute.get_replica_context()
            mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, list(grads))
            apply(mean, trainable_variables)

        optimizer.apply = apply_whole
        return optimizer


def find_place(config: Config, stages: Sequence[str] = ()) -> Place:
    """Return which process this is, and refuse what cannot be distributed.

    What the configuration leaves open is Slurm's, where each task is a process.

    Args:
        config: The composed configuration.
        stages: Those that will be trained.

    Raises:
        ConfigError: Naming the key, its value and what is possible.
    """
    settings = config.training
    given = {
        key: getattr(settings, key)
        for key in ("coordinator", "processes", "rank")
        if getattr(settings, key) is not None
    }
    if settings.distribution == "none":
        for key, value in given.items():
            raise ConfigError(
                f"training.{key} is {value}, and training.distribution none; give "
                "training.distribution=data_parallel as well."
            )
        return Place()
    place = _place(settings, {} if given else _slurm(os.environ))
    _check(config, stages, place)
    return place


def _place(settings: TrainingConfig, slurm: Mapping[str, Any]) -> Place:
    processes = settings.processes or slurm.get("processes", 1)
    rank = settings.rank if settings.rank is not None else slurm.get("rank")
    coordinator = settings.coordinator or slurm.get("coordinator", "")
    if processes == 1 and not rank and not coordinator:
        return Place()
    if rank is None or not coordinator:
        lacking = "rank" if rank is None else "coordinator"
        raise ConfigError(
            f"training.{lacking} is not given, and training.processes is {processes}; "
            "give each process training.coordinator=HOST:PORT, training.processes and "
            "its own training.rank, or start them with Slurm's srun."
        )
    if rank >= processes:
        raise ConfigError(
            f"training.rank is {rank}, and training.processes {processes}; ranks count "
            f"from 0 to {processes - 1}."
        )
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdigit() and 1024 <= int(port) < 65535):
        raise ConfigError(
            f"training.coordinator is {coordinator!r}; give HOST:PORT of rank 0, "
            "such as node1:20000, where this port and the next one are free."
        )
    return Place(rank, processes, host, int(port)) if processes > 1 else Place()


def _slurm(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what Slurm says of this task, if srun started it among several."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS")
    nodes = environment.get("SLURM_STEP_NODELIST")
    nodes = nodes or environment.get("SLURM_JOB_NODELIST", "")
    rank = environment.get("SLURM_PROCID")
    if rank is None or not nodes or not tasks or int(tasks) == 1:
        return {}
    port = FIRST_PORT + 2 * (int(environment.get("SLURM_JOB_ID", 0)) % PORTS)
    return {
        "processes": int(tasks),
        "rank": int(rank),
        "coordinator": f"{_first_node(nodes)}:{port}",
    }


def _first_node(nodes: str) -> str:
    """Return the first of Slurm's list of nodes, such as `node[003-010,12],other`."""
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def _check(config: Config, stages: Sequence[str], place: Place) -> None:
    """Refuse what needs no device to be seen."""
    backend = select_backend(required=False)
    key = "training.distribution is data_parallel"
    if backend == "torch":
        raise ConfigError(
            f"{key}, which is not offered on PyTorch; use --backend jax, or tensorflow "
            "on one machine."
        )
    if backend == "tensorflow" and place.processes > 1:
        raise ConfigError(
            f"training.processes is {place.processes}, and TensorFlow trains in one; "
            "use --backend jax for several."
        )
    if config.ensemble_size > 1:
        raise ConfigError(
            f"{key}, and ensemble_size {config.ensemble_size}; train the members "
            "apart, each with name=K runs_dir=RUN/members seed=SEED+K, then the "
            "ensemble with --resume."
        )
    for stage in stages:
        check_batch(getattr(config, stage).fit, stage, place.processes, "processes")


def check_batch(settings: FitConfig, stage: str, count: int, what: str) -> None:
    """Refuse a batch that devices or processes cannot share evenly."""
    if settings.batch_size % count:
        less = settings.batch_size // count * count
        raise ConfigError(
            f"{stage}.fit.batch_size is {settings.batch_size}, no multiple of the "
            f"{count} {what} that share a batch; give {less or count} or "
            f"{less + count}."
        )


def start_cluster(config: Config, place: Place, peers: Peers | None) -> Cluster:
    """Bring the devices of all processes together. Keras is imported, and unused.

    Raises:
        InputError: If they cannot share the batches of a stage.
        WorkError: If the processes have not the same number of devices each.
    """
    if config.training.distribution == "none":
        return Cluster()
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        strategy = tf.distribute.MirroredStrategy(names)
        return Cluster(Share(devices=len(names)), strategy=strategy)

    # Otherwise Keras draws a seed, and sums it over all processes.
    keras.utils.set_random_seed(config.seed)
    if peers:
        address = f"{place.host}:{place.port}"
        keras.distribution.initialize(address, place.processes, place.rank)
    # Each process reads its own part of a batch: Keras would have each read the whole
    # batch and throw away the others' parts.
    strategy = keras.distribution.DataParallel(auto_shard_dataset=False)
    devices = strategy.num_model_replicas
    if peers:
        import jax

        peers.meet(f"{jax.local_device_count()} devices a process")
    return Cluster(Share(place.rank, place.processes, devices), peers, strategy)


def check_tracers(place: Place, count: int) -> None:
    """Refuse more processes than there are training tracers."""
    if place.processes > count:
        raise InputError(
            f"training.processes is {place.processes}, more than the {count} training "
            "tracers; give fewer."
        )
