"""Data-parallel training over devices and processes, and which process this one is.

Every device holds the whole model and computes a part of each batch; the gradients are
summed. On JAX `keras.distribution.DataParallel` spreads a model over the devices of one
or several processes, on TensorFlow `tf.distribute.MirroredStrategy` over those of one.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from astrokeras.config import Config, ConfigError, TrainingConfig
from astrokeras.system.backend import select_backend
from astrokeras.training.heartbeat import Heartbeat

# Slurm does not assign ports to jobs; the port follows from the job's number.
FIRST_PORT, PORTS = 20000, 10000


@dataclass
class ProcessGroup:
    """The processes and devices of one training, and which process this one is.

    By default: one process, on the device that Keras chooses.

    Attributes:
        rank: Number of this process.
        world_size: Number of processes.
        host: Host of rank 0.
        port: Port on which JAX listens there; `Heartbeat` listens on the next one.
        devices: Number of devices of all processes, each of which has equally many.
        strategy: The object with which Keras or TensorFlow spreads a model, if any.
    """

    rank: int = 0
    world_size: int = 1
    host: str = ""
    port: int = 0
    devices: int = 1
    strategy: Any = None
    _heartbeat: Heartbeat | None = field(default=None, init=False, repr=False)

    @classmethod
    def from_config(cls, config: Config, stages: Sequence[str] = ()) -> "ProcessGroup":
        """Return the group that a configuration describes.

        If the configuration names no process, the tasks of Slurm's `srun` are the
        processes.

        Args:
            config: The composed configuration.
            stages: Stages that will be trained.

        Raises:
            ConfigError: If the settings contradict each other, or the backend or the
                stages cannot be distributed.
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
                    f"training.{key} is {value}, and training.distribution is none; "
                    "give training.distribution=data_parallel as well."
                )
            return cls()
        group = cls(*_rank_and_address(settings, {} if given else _slurm(os.environ)))
        _check(config, stages, group.world_size)
        return group

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.rank == 0

    @contextlib.contextmanager
    def connect(self) -> Iterator[None]:
        """Keep this process connected to the others, if there are any.

        Raises:
            WorkError: If the others cannot be reached.
        """
        if self.world_size == 1:
            yield
            return
        # JAX connects processes too, but only when Keras computes, which is after the
        # data are prepared; and it kills the others without naming the one that died.
        with Heartbeat(
            self.rank, self.world_size, self.host, self.port + 1
        ) as self._heartbeat:
            yield

    def barrier(self, what: str) -> None:
        """Wait for all processes, which must agree about the text `what`.

        Raises:
            WorkError: If the processes disagree.
        """
        if self._heartbeat:
            self._heartbeat.barrier(what)

    @contextlib.contextmanager
    def chief_first(self, what: str) -> Iterator[None]:
        """Run the block in rank 0 before the others; all must agree about `what`."""
        if not self.is_chief:
            self.barrier(what)
        yield
        if self.is_chief:
            self.barrier(what)

    def start_devices(self, config: Config, stages: Sequence[str]) -> None:
        """Connect the devices of all processes.

        Call this after Keras is imported and before it computes anything.

        Raises:
            ConfigError: If the devices cannot share the batches of a stage evenly.
            WorkError: If the processes have different numbers of devices.
        """
        if config.training.distribution == "none":
            return
        import keras

        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
            names = [device.name for device in tf.config.list_logical_devices(kind)]
            self.strategy = tf.distribute.MirroredStrategy(names)
            self.devices = len(names)
        else:
            # Without a seed Keras draws a seed and sums it over all processes.
            keras.utils.set_random_seed(config.seed)
            if self.world_size > 1:
                keras.distribution.initialize(
                    f"{self.host}:{self.port}", self.world_size, self.rank
                )
            # Each process reads its own part of a batch. With automatic sharding each
            # would read the whole batch and discard the parts of the others.
            self.strategy = keras.distribution.DataParallel(auto_shard_dataset=False)
            self.devices = self.strategy.num_model_replicas
            if self.world_size > 1:
                import jax

                self.barrier(f"{jax.local_device_count()} devices per process")
        _check_batches(config, stages, self.devices, "devices")

    @contextlib.contextmanager
    def replicate(self, model: Any) -> Iterator[Any]:
        """Yield a copy of a built model that is replicated on all devices.

        Variables that are created in this context are replicated too. At the end, the
        model gets the weights of the copy. Without a strategy, the copy is the model.
        """
        if self.strategy is None:
            yield model
            return
        with self.strategy.scope():
            copy = type(model).from_config(model.get_config())
            copy.build()
            copy.set_weights(model.get_weights())
            yield copy
            weights = copy.get_weights()
        model.set_weights(weights)

    def sum_before_clipping(self, optimizer: Any) -> Any:
        """Make an optimiser clip the summed gradient of all devices, and return it.

        On TensorFlow, Keras' optimisers clip the gradient of each device before they
        sum; the result has another direction than the clipped gradient of the batch.
        """
        devices = getattr(self.strategy, "num_replicas_in_sync", 1)
        if devices == 1:
            return optimizer
        import tensorflow as tf

        apply = optimizer.apply
        # Each device contributes the same share, and Keras sums the shares.
        if optimizer.global_clipnorm:
            optimizer.global_clipnorm /= devices

        def apply_mean(grads: Any, trainable_variables: Any = None) -> None:
            context = tf.distribute.get_replica_context()
            mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, list(grads))
            apply(mean, trainable_variables)

        optimizer.apply = apply_mean
        return optimizer


def _rank_and_address(
    settings: TrainingConfig, slurm: Mapping[str, Any]
) -> tuple[int, int, str, int]:
    """Return rank, number of processes, and host and port of rank 0."""
    processes = settings.processes or slurm.get("processes", 1)
    rank = settings.rank if settings.rank is not None else slurm.get("rank")
    coordinator = settings.coordinator or slurm.get("coordinator", "")
    single = 0, 1, "", 0
    if processes == 1 and not rank and not coordinator:
        return single
    if rank is None or not coordinator:
        missing = "rank" if rank is None else "coordinator"
        raise ConfigError(
            f"training.{missing} is not given, and training.processes is {processes}; "
            "give each process training.coordinator=HOST:PORT, training.processes and "
            "its own training.rank, or start them with Slurm's srun."
        )
    if rank >= processes:
        raise ConfigError(
            f"training.rank is {rank}, and training.processes is {processes}; ranks "
            f"count from 0 to {processes - 1}."
        )
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdigit() and 1024 <= int(port) < 65535):
        raise ConfigError(
            f"training.coordinator is {coordinator!r}; give HOST:PORT of rank 0, "
            "such as node1:20000, where this port and the next one are free."
        )
    return (rank, processes, host, int(port)) if processes > 1 else single


def _slurm(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the rank, number and coordinator of the tasks of Slurm's `srun`, if any.

    JAX detects Slurm too, but it connects at once, before wrong input is reported, and
    does not return the address of rank 0.
    """
    # Only srun sets these two; a batch script is a single process.
    nodes = environment.get("SLURM_STEP_NODELIST")
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if not nodes or tasks == 1:
        return {}
    # The first host of a list such as `node[003-010,12],other`.
    first = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?", nodes)
    host = "".join(part or "" for part in first.groups()) if first else nodes
    port = FIRST_PORT + 2 * (int(environment.get("SLURM_JOB_ID", 0)) % PORTS)
    return {
        "processes": tasks,
        "rank": int(environment["SLURM_PROCID"]),
        "coordinator": f"{host}:{port}",
    }


def _check(config: Config, stages: Sequence[str], world_size: int) -> None:
    """Raise ConfigError for settings that are wrong on any device."""
    backend = select_backend(required=False)
    key = "training.distribution is data_parallel"
    if backend == "torch":
        raise ConfigError(
            f"{key}, which PyTorch does not support; use --backend jax, or tensorflow "
            "on one machine."
        )
    if backend == "tensorflow" and world_size > 1:
        raise ConfigError(
            f"training.processes is {world_size}, and TensorFlow trains in a single "
            "process; use --backend jax for several."
        )
    _check_batches(config, stages, world_size, "processes")


def _check_batches(
    config: Config, stages: Sequence[str], count: int, what: str
) -> None:
    """Raise ConfigError if processes or devices cannot share a batch evenly."""
    for stage in stages:
        size = getattr(config, stage).fit.batch_size
        if size % count:
            less = size // count * count
            raise ConfigError(
                f"{stage}.fit.batch_size is {size}, not a multiple of the {count} "
                f"{what} that share a batch; give {less or count} or {less + count}."
            )
