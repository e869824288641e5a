"""The workers of a cluster, where `joblib.parallel_config` names one: those of Dask, of Ray, of a Slurm queue.

    with joblib.parallel_config("dask", client=Client("tcp://host:8786")):
        study(methods, data)

Calls go to the cluster's own scheduler, which gives a call that died with its worker to another one. joblib's backends
are asked which cluster it is and not to run anything: that of Ray hands out no result before all are there and loses
all with one worker, and that of Dask keeps data that were sent on one worker, with which they are lost.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from distributed import Client

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]  # as `joblib.delayed` makes it
AGAIN = 3  # times that a call is given to another worker before it is taken to be what ends them


@functools.cache  # and no name of the module: a lock has no fingerprint, nor has a study that reaches one
def one_by_one() -> threading.Lock:
    """What a worker with several threads does its runs with: they share random generators."""
    return threading.Lock()


class Cluster(Protocol):
    """Workers somewhere."""

    def put(self, thing: Any) -> Any:
        """Send something once to each worker; what stands for it among the arguments of calls."""

    def done(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """(place, result) of each call as it comes; calls that are not done are taken back when nobody asks any more.
        ChildProcessError where workers die again and again."""


def cluster() -> Cluster | None:
    """The one that joblib is told to use; None at home."""
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    name = type(backend).__name__
    if name == "DaskDistributedBackend":
        return DaskCluster(backend.client)
    return RayCluster() if name == "RayBackend" else None


def alone(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The call in a worker, which does one at a time."""
    with one_by_one():
        return function(*given, **named)


def handed(thing: Any) -> Any:
    """The thing itself, where it is needed."""
    return thing


class DaskCluster:
    """The workers that a client of `dask.distributed` knows."""

    def __init__(self, client: Client):
        self.client = client
        threads = max(client.nthreads().values(), default=1)
        if threads > 1:
            warnings.warn(
                f"a worker of the Dask cluster has {threads} threads and does one run at a time; start one worker per "
                "core, with one thread each (dask worker --nworkers -1 --nthreads 1)",
                stacklevel=2,
            )

    def put(self, thing: Any) -> Any:
        """As the result of a call, which the scheduler can make again: what is scattered is lost with its worker."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            return self.client.submit(handed, thing, pure=False)

    def done(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Of those that the scheduler gives to its workers, and to another one where a worker is lost."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker, as_completed

        how = dict(pure=False, retries=0)
        places = {self.client.submit(alone, f, *given, **named, **how): i for i, (f, given, named) in enumerate(calls)}
        try:
            for future in as_completed(places, loop=self.client.loop):
                yield places[future], future.result()
        except (KilledWorker, CancelledError) as error:
            raise ChildProcessError(f"workers of the Dask cluster were lost again and again ({error})") from error
        finally:
            self.client.cancel([future for future in places if not future.done()])


class RayCluster:
    """The workers of the Ray that this process is connected to."""

    def put(self, thing: Any) -> Any:
        """In the object store, from which each node takes it once."""
        import ray

        return ray.put(thing)

    def done(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Of tasks of one core each, which are given to another process where one is lost."""
        import ray

        task = ray.remote(num_cpus=1, max_retries=AGAIN)(alone)
        places = {task.remote(f, *given, **named): i for i, (f, given, named) in enumerate(calls)}
        try:
            while places:
                (first,), _ = ray.wait(list(places), num_returns=1)
                yield places.pop(first), ray.get(first)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.ObjectLostError) as error:
            raise ChildProcessError(f"workers of the Ray cluster were lost again and again ({error})") from error
        finally:
            for each in places:
                ray.cancel(each)
