"""Studies on a cluster: the same table as at home, whoever dies on the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import joblib
import pandas as pd
import pytest
import torch

from debias_course import cli, models, study
from debias_course.cache import cache_folder
from debias_course.data import toys
from debias_course.fingerprints import fingerprint
from debias_course.methods import ERM, GroupDRO, JustTrainTwice
from debias_course.study import WorkerDied, in_workers
from debias_course.study.clusters import DaskCluster
from debias_course.study.on import running_on, slurm_queue
from debias_course.study.records import Sent

METHODS = {"plain": ERM(), "robust": GroupDRO(), "twice": JustTrainTwice(first_epochs=2)}
small = partial(study, METHODS, partial(toys.shortcut, n=400), seeds=4, model=models.linear, epochs=30, progress=False)
quick = partial(small, seeds=2, epochs=2)
FAILED = r"'(plain|robust|twice)' with seed [0-3]: the (training )?loss .*lower lr"  # whichever run fails first


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "asker"))


def table(found):
    """All that does not depend on the clock."""
    return found.table.drop(columns="seconds")


class Pretended:
    """A cluster in this process: it pickles what it is given, and hands results out from behind."""

    def __init__(self, *, dies_after=None, loses=()):
        self.dies_after, self.loses, self.put_there, self.done_there = dies_after, loses, [], 0

    def put(self, thing):
        self.put_there.append(thing)
        return thing

    def done(self, calls):
        import cloudpickle

        for place in reversed(range(len(calls))):
            if self.done_there == self.dies_after:
                raise ChildProcessError("workers were lost again and again")
            self.done_there += 1
            function, given, named = cloudpickle.loads(cloudpickle.dumps(calls[place]))
            yield place, None if place in self.loses else function(*given, **named)


@pytest.fixture
def pretended(monkeypatch):
    def make(**how):
        there = Pretended(**how)
        monkeypatch.setattr(sys.modules["debias_course.study.workers"], "cluster", lambda: there)
        return there

    return make


def test_the_asker_keeps_what_a_cluster_ran_and_sends_data_once(pretended, monkeypatch, tmp_path):
    home = quick(n_jobs=1)
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "other"))
    there = pretended()
    assert table(quick()).equals(table(home))
    assert len(there.put_there) == 2 and there.done_there == 6
    assert len(list((cache_folder() / "runs").glob("*.json"))) == 6
    quick()
    assert there.done_there == 6  # all were kept


def test_what_is_something_else_there_is_run_here_and_said(pretended, monkeypatch):
    pretended(loses=(0, 5))
    with pytest.warns(UserWarning, match="2 of 6 runs were something else on the cluster and were done here; install"):
        found = quick()
    assert len(found.records) == 6 and all(record["report"] for record in found.records)


def test_finished_runs_are_kept_when_a_cluster_dies(pretended):
    pretended(dies_after=5)
    with pytest.raises(WorkerDied, match="lost again and again; finished runs are kept: repeat the call"):
        quick()
    assert len(list((cache_folder() / "runs").glob("*.json"))) == 5


def test_other_calls_come_back_in_their_order(pretended):
    pretended()
    assert in_workers([joblib.delayed(pow)(2, n) for n in range(5)]) == [1, 2, 4, 8, 16]


def test_what_is_sent_can_be_sent_on():
    import pickle

    sent = Sent({"a": torch.ones(2)})
    for _ in range(3):
        sent = pickle.loads(pickle.dumps(sent))
    assert sent.thing["a"].tolist() == [1, 1]


def test_workers_with_threads_are_told():
    class Client:
        def nthreads(self):
            return {"tcp://a": 8}

    with pytest.warns(UserWarning, match="has 8 threads and does one run at a time; start one worker per core"):
        DaskCluster(Client())


@pytest.mark.parametrize(
    "on, said",
    [
        ("dask", "--on is 'dask'; use dask:tcp://HOST:8786, ray:auto or slurm:jobs=20"),
        ("moon:1", "--on is 'moon:1'; use"),
        ("slurm:jobs=none", "--on slurm:jobs=none cannot be read; say some of jobs=1, queue=NAME, memory=4GB"),
        ("slurm:gpu=1", "cannot be read"),
    ],
)
def test_a_place_that_is_none_is_said(on, said, capsys):
    assert cli.main(["compare", "--methods", "erm", "--on", on]) == 2
    assert said in capsys.readouterr().err


def test_a_cluster_whose_package_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"needs distributed for this; pip install 'debias-course\[dask\]'"):
        with running_on("dask:tcp://127.0.0.1:1"):
            pass


def environment(folder):
    """Of a worker with a cache and a working directory of its own."""
    folder.mkdir()
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    return dict(os.environ, DEBIAS_COURSE_CACHE=str(folder / "cache"), OMP_NUM_THREADS="1", PYTHONPATH=path)


NO_PAGE = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]


@contextlib.contextmanager
def dask_cluster(folder, workers=3):
    """The address of a scheduler, and its workers, each a process of its own."""
    own = environment(folder / "scheduler")
    where = folder / "scheduler.json"
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    started = [subprocess.Popen([*command, *NO_PAGE, "--scheduler-file", where], env=own, **quiet)]
    try:
        while not where.exists():
            assert started[0].poll() is None, "the scheduler ended"
            time.sleep(0.05)
        address = json.loads(where.read_text())["address"]
        for n in range(workers):
            own = environment(folder / f"worker-{n}")
            command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
            command += [*NO_PAGE, "--host", "127.0.0.1"]
            started.append(subprocess.Popen(command, env=own, cwd=folder / f"worker-{n}", **quiet))
        yield address, started[1:]
    finally:
        for each in started:
            each.kill()
            each.wait()


def kill_half_way(process_of):
    """In a thread: once four runs are kept, the process that `process_of` returns is killed."""

    def wait():
        while len(list((cache_folder() / "runs").glob("*.json"))) < 4:
            time.sleep(0.01)
        os.kill(process_of(), signal.SIGKILL)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_three_dask_workers_of_which_one_is_killed_give_the_table_of_one_process(tmp_path, monkeypatch):
    home = table(small(n_jobs=1))
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "other"))
    with dask_cluster(tmp_path) as (address, workers), running_on(f"dask:{address}"):
        backend, _ = joblib.parallel.get_active_backend()
        backend.client.wait_for_workers(3, timeout=60)
        thread = kill_half_way(lambda: workers[0].pid)
        found = table(small())
        thread.join(60)
        assert workers[0].wait(10) == -signal.SIGKILL
        with pytest.raises(FloatingPointError, match=FAILED):
            small(lr=1e38)
    assert found.equals(home) and len(list((tmp_path / "other" / "runs").glob("*.json"))) == 12
    caches = [tmp_path / f"worker-{n}" / "cache" for n in range(3)]
    assert not any((cache / "runs").exists() for cache in caches)
    assert sum((cache / "stages").exists() for cache in caches) >= 2  # each in its own


RAY = """
import os, sys, ray, joblib, test_clusters as t
from pathlib import Path
folder = Path(sys.argv[1])
def own():
    here = folder / f"worker-{os.getpid()}"
    here.mkdir()
    os.chdir(here)
    os.environ["DEBIAS_COURSE_CACHE"] = str(here / "cache")
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, runtime_env=dict(worker_process_setup_hook=own))
from ray.util.joblib import register_ray
register_ray()
def some_worker():
    return next(int(each.name.split("-")[1]) for each in folder.glob("worker-*") if (each / "cache").exists())
with joblib.parallel_config("ray"):
    thread = t.kill_half_way(some_worker)
    t.table(t.small()).to_pickle(folder / "table")
    thread.join(60)
    with t.pytest.raises(FloatingPointError, match=t.FAILED):
        t.small(lr=1e38)
assert not thread.is_alive()
ray.shutdown()
"""


@pytest.mark.slow
def test_three_ray_workers_of_which_one_is_killed_give_the_table_of_one_process(tmp_path):
    home = table(small(n_jobs=1))
    own = environment(tmp_path / "ray") | dict(DEBIAS_COURSE_CACHE=str(tmp_path / "other"), RAY_USAGE_STATS_ENABLED="0")
    subprocess.run([sys.executable, "-c", RAY, tmp_path / "ray"], env=own, check=True, timeout=170)
    assert pd.read_pickle(tmp_path / "ray" / "table").equals(home)
    assert len(list((tmp_path / "other" / "runs").glob("*.json"))) == 12
    caches = [each / "cache" for each in (tmp_path / "ray").glob("worker-*")]
    assert len(caches) >= 3 and not any((cache / "runs").exists() for cache in caches)


@pytest.mark.slow
def test_the_job_script_of_a_slurm_queue():
    import dask

    here = {"jobqueue.slurm.scheduler-options": dict(host="127.0.0.1", dashboard_address="127.0.0.1:0")}
    asked = "jobs=20,queue=short,account=me,memory=2GB,walltime=00:30:00"
    with dask.config.set(here), slurm_queue(asked) as queue:
        script = queue.job_script()
    for line in ("#SBATCH -p short", "#SBATCH -A me", "#SBATCH -n 1", "#SBATCH --cpus-per-task=1", "#SBATCH --mem=2G"):
        assert line in script
    assert "#SBATCH -t 00:30:00" in script and "--nthreads 1" in script


def test_what_reaches_a_study_has_a_fingerprint():
    """As that of a golden run: no lock stands in its way."""
    assert len(fingerprint(study, in_workers)) == 64
