"""Where the command line's runs happen, in one option:

--on dask:tcp://host:8786                             the workers of a Dask scheduler
--on ray:auto                                         the Ray that runs on this machine, or ray:host:6379
--on slurm:jobs=20,queue=cpu,memory=4GB,walltime=02:00:00   jobs of a Slurm queue, of one core each
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

SLURM = dict(jobs="1", queue="", memory="4GB", walltime="01:00:00", account="")  # what may be said of it
FORMS = "dask:tcp://HOST:8786, ray:auto or slurm:jobs=20,queue=NAME"


@contextlib.contextmanager
def running_on(where: str | None) -> Iterator[None]:
    """Inside, studies run there; None: at home. ValueError for what names no place, OSError where nobody answers."""
    if where is None:
        yield
        return
    kind, _, address = where.partition(":")
    if kind not in PLACES or not address:
        raise ValueError(f"--on is {where!r}; use {FORMS}")
    with PLACES[kind](address):
        yield


def _needed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"--on needs {module} for this; pip install 'debias-course[{extra}]'") from error


@contextlib.contextmanager
def _dask(address: str, cluster: Any = None) -> Iterator[None]:
    import joblib

    distributed = _needed("distributed", "dask")
    try:
        client = distributed.Client(cluster or address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler") from error
    with client, joblib.parallel_config("dask", client=client):
        yield


@contextlib.contextmanager
def _ray(address: str) -> Iterator[None]:
    import joblib

    ray = _needed("ray", "ray")
    _needed("ray.util.joblib", "ray").register_ray()
    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OSError(f"no Ray answers at {address} ({error}); start one with: ray start --head") from error
    try:
        with joblib.parallel_config("ray"):
            yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _slurm(options: str) -> Iterator[None]:
    with slurm_queue(options) as cluster:
        cluster.scale(jobs=int(_slurm_options(options)["jobs"]))
        with _dask(f"slurm:{options}", cluster):
            yield


def slurm_queue(options: str) -> SLURMCluster:
    """The queue of "jobs=20,queue=cpu": nothing is submitted before it is scaled; `job_script()` says what will be."""
    given = _slurm_options(options)
    how = dict(queue=given["queue"] or None, account=given["account"] or None)
    jobqueue = _needed("dask_jobqueue", "dask")
    return jobqueue.SLURMCluster(cores=1, processes=1, memory=given["memory"], walltime=given["walltime"], **how)


def _slurm_options(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    given = {name.strip(): value.strip() for name, _, value in pairs}
    unknown = [name for name, value in given.items() if name not in SLURM or not value]
    if unknown or not given.get("jobs", "1").isdigit() or given.get("jobs") == "0":
        known = ", ".join(f"{name}={default or 'NAME'}" for name, default in SLURM.items())
        raise ValueError(f"--on slurm:{text} cannot be read; say some of {known}, with commas between them")
    return SLURM | given


PLACES = dict(dask=_dask, ray=_ray, slurm=_slurm)
