"""cache.py, and the digits that are kept: what can be made again is kept where that is possible."""

import os
import pwd
import time
import warnings

import numpy as np
import pytest
import torch

from debias_course import cache
from debias_course.cache import cache_folder, keep, write_atomically
from debias_course.data import digits, load_digits

PART = "digits.npy.0123456789abcdef0123456789abcdef.part"


@pytest.fixture(autouse=True)
def a_new_process(monkeypatch):
    """One that has read nothing and said nothing."""
    digits._digits.cache_clear()
    cache.sweep.cache_clear()
    monkeypatch.setattr(cache, "_told", set())


@pytest.fixture
def unwritable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "file" / "cache"))
    return tmp_path / "file" / "cache"


def test_damaged_and_missing_caches_are_rebuilt():
    path = cache_folder() / "digits.npy"
    images, _ = load_digits()
    flipped = path.read_bytes()[:-1] + b"\0"
    for damage in (lambda: path.write_bytes(flipped), lambda: path.write_bytes(b"x"), path.unlink):
        damage()
        digits._digits.cache_clear()
        again, _ = load_digits()
        assert torch.equal(again, images) and np.load(path).shape == (5000, 785)


def test_a_cached_read_does_not_parse(monkeypatch):
    load_digits()
    digits._digits.cache_clear()
    monkeypatch.setattr(digits, "_parse", lambda: pytest.fail("parsed again"))
    assert len(load_digits()[0]) == 5000


def test_an_unwritable_cache_costs_one_parse_and_one_warning_per_process(unwritable, monkeypatch):
    with pytest.warns(
        UserWarning, match=r"nothing can be kept in .*cache \(.*\), .* variable DEBIAS_COURSE_CACHE"
    ) as said:
        assert len(load_digits()[0]) == 5000
        keep(unwritable / "images" / "a.json", b"{}")
    assert len(said) == 1
    monkeypatch.setattr(digits, "_parse", lambda: pytest.fail("parsed again"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_digits()[0]) == 5000


def test_what_a_caller_does_to_his_digits_stays_with_him():
    images, labels = load_digits()
    first, label = images.clone(), labels.clone()
    images.zero_()
    labels.zero_()
    again = load_digits()
    assert torch.equal(again[0], first) and torch.equal(again[1], label)


def test_keeping_is_writing_where_that_is_possible(tmp_path):
    keep(tmp_path / "deep" / "a.txt", b"1")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"1"


def test_writing_leaves_no_half_file(tmp_path):
    write_atomically(tmp_path / "deep" / "a.txt", b"1")
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "deep" / "a.txt", "not bytes")
    assert os.listdir(tmp_path / "deep") == ["a.txt"] and (tmp_path / "deep" / "a.txt").read_bytes() == b"1"


def test_parts_of_killed_processes_are_swept_and_nothing_else(tmp_path):
    old = time.time() - 2 * cache.ABANDONED
    names = {"abandoned": PART, "young": PART.replace("0", "1"), "another's": "notes.part", "whole": "digits.npy"}
    for name in names.values():
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (old, old))
    os.utime(tmp_path / names["young"])
    write_atomically(tmp_path / "a.txt", b"1")
    assert sorted(os.listdir(tmp_path)) == sorted([names["young"], "notes.part", "digits.npy", "a.txt"])


def test_a_user_without_a_home_is_told_to_name_a_folder(monkeypatch, tmp_path):
    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for variable in ("HOME", "XDG_CACHE_HOME", "DEBIAS_COURSE_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(FileNotFoundError, match="no home folder is known .*; name another folder in full"):
        load_digits()
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    assert len(load_digits()[0]) == 5000 and cache_folder() == tmp_path
