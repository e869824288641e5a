"""A cache of their own and no network, for the tests and for every process that they start."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

OFFLINE = str(Path(__file__).parent / "offline")
CACHE = tempfile.mkdtemp(prefix="debias-course-tests-")
os.environ["DEBIAS_COURSE_CACHE"] = CACHE
for each in ("DEBIAS_COURSE_SOLVED", "DEBIAS_COURSE_SHARED_CACHE"):  # a test solves nothing for a student
    os.environ.pop(each, None)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [OFFLINE, os.environ.get("PYTHONPATH")]))
sys.path.insert(0, OFFLINE)
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402, F401


def pytest_unconfigure():
    shutil.rmtree(CACHE, ignore_errors=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if "verdict_with" in getattr(item, "fixturenames", ()):  # measures a claim
            item.add_marker("slow")


@pytest.fixture(scope="session")
def digits():
    """Four-group coloured digits at the course's correlation."""
    from debias_course.data import colored_digits

    return colored_digits(aligned_share=0.95, seed=0)


@pytest.fixture(scope="session")
def toy():
    from debias_course.data import toys

    return toys.shortcut(seed=0)


@pytest.fixture
def two_threads():
    """Two CPU threads for one test; the next ones would be slow with them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def verdict_with(monkeypatch):
    """verdict_with(lesson, wrong, claim, seeds=...): of a claim, when the method that `wrong` derives from is replaced
    by it in the module that measures."""

    def verdict(lesson, wrong, claim, *, seeds):
        module = sys.modules[lesson.__module__]
        right = next(base.__name__ for base in wrong.__mro__[1:] if hasattr(module, base.__name__))
        monkeypatch.setattr(module, right, wrong)
        found = lesson(seeds=seeds).measured(claim)  # in the middle of its circumstances
        return found.alone(found.at_middle).verdict

    return verdict
