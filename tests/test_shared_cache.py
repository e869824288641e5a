"""The folder of results that a class shares: it is read, checked, and never written to."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from debias_course import cache, models, stages, study
from debias_course.data import toys
from debias_course.methods import ERM, LossReweighting
from debias_course.stages import stage
from debias_course.study import jobs

RECORDS = sys.modules["debias_course.study.records"]
METHODS = {"plain": ERM(), "weighted": LossReweighting()}
SPLITS = toys.shortcut(n=80, seed=0)
small = partial(study, METHODS, data=SPLITS, model=models.linear, epochs=2, n_jobs=1, progress=False, seeds=1)


def trained():
    """What a study and a stage give: numbers that are the same wherever they come from."""
    table = small().table.drop(columns="seconds")
    return table, stage(models.linear(SPLITS.train), SPLITS.train, epochs=2).head.weight.detach()


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*") if path.suffix != ".lock"}


def equal(these, those):
    return these[0].equals(those[0]) and torch.equal(these[1], those[1])


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """A shared folder with two runs and a stage, beside an empty cache of one's own; and what they are."""
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "shared"))
    first = trained()
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("DEBIAS_COURSE_SHARED_CACHE", str(tmp_path / "shared"))
    return tmp_path / "shared", first


def trains_nothing(monkeypatch):
    """From now on whoever trains fails; the loop itself is part of the keys."""
    monkeypatch.setattr(stages, "keep", lambda *given: pytest.fail("a stage was trained"))
    monkeypatch.setattr(RECORDS, "keep", lambda *given: pytest.fail("a run was trained"))


def test_what_is_shared_is_read_and_neither_trained_nor_copied(shared, monkeypatch, tmp_path):
    folder, first = shared
    before = files(folder)
    assert len(before) == 3
    trains_nothing(monkeypatch)
    assert equal(trained(), first) and files(folder) == before and not files(tmp_path / "own")


def test_what_is_missing_is_trained_into_ones_own_folder(shared, tmp_path):
    folder, first = shared
    gone = sorted(path for path in folder.rglob("*.*") if path.suffix != ".lock")[0]
    gone.unlink()
    before = files(folder)
    assert equal(trained(), first) and files(folder) == before
    assert list(files(tmp_path / "own")) == [gone.relative_to(folder)]


def foreign(path):
    """A whole entry under the name of another."""
    if path.suffix == ".pt":
        torch.save(dict(torch.load(path), key="0" * 64), path)
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), "key": "0" * 64}))


@pytest.mark.parametrize(
    "damage", [foreign, lambda path: path.write_bytes(path.read_bytes()[:40]), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_or_foreign_entry_is_never_served_and_stays_as_it_is(shared, tmp_path, damage):
    folder, first = shared
    for path in folder.rglob("*.*"):
        if path.suffix != ".lock":
            damage(path)
    before = files(folder)
    assert equal(trained(), first) and files(folder) == before
    assert files(tmp_path / "own").keys() == before.keys()


def test_where_ones_own_entry_is_damaged_the_shared_one_is_read(shared, monkeypatch, tmp_path):
    folder, first = shared
    shutil.copytree(folder, tmp_path / "own")
    for path in (tmp_path / "own").rglob("*.*"):
        path.write_bytes(b"{")
    trains_nothing(monkeypatch)
    assert equal(trained(), first)


@pytest.mark.parametrize("kind", ["unset", "empty", "missing", "a file", "own", "unreadable"])
def test_a_shared_folder_that_is_of_no_use_costs_nothing_but_time(shared, monkeypatch, tmp_path, kind):
    folder, first = shared
    if kind == "unreadable":
        folder.chmod(0)
        for name in ("stat", "read_bytes"):  # root may look everywhere
            monkeypatch.setattr(Path, name, unreadable(folder, getattr(Path, name)))
    elif kind == "unset":
        monkeypatch.delenv("DEBIAS_COURSE_SHARED_CACHE")
    else:
        (tmp_path / "a file").touch()
        names = {"empty": "", "own": tmp_path / "own"}
        monkeypatch.setenv("DEBIAS_COURSE_SHARED_CACHE", str(names.get(kind, tmp_path / kind)))
    result = trained()
    monkeypatch.undo()
    folder.chmod(0o755)
    assert equal(result, first) and len(files(tmp_path / "own")) == 3


def unreadable(folder, look):
    """`look` of a path, for a user who may not look into a folder."""

    def refused(path, **how):
        if path.is_relative_to(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, **how)

    return refused


def test_a_key_says_nothing_of_where_results_are_kept(shared, monkeypatch):
    job = jobs.Job("m", ERM(), SPLITS, models.linear, 0, (), "cpu")
    keys = [next(jobs.keyed([job])).key]
    monkeypatch.delenv("DEBIAS_COURSE_SHARED_CACHE")
    assert keys == [next(jobs.keyed([job])).key]


def test_the_shared_copy_lies_where_ones_own_would(monkeypatch, tmp_path):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    assert cache.places(tmp_path / "runs" / "a.json") == [tmp_path / "runs" / "a.json"]
    monkeypatch.setenv("DEBIAS_COURSE_SHARED_CACHE", "/srv/course")
    assert list(map(str, cache.places(tmp_path / "runs" / "a.json")))[1] == "/srv/course/runs/a.json"
