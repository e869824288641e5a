"""fingerprints: whatever changes what a class computes changes its hash, and nothing else does."""

import subprocess
import sys
import types

import pytest

from debias_course import evaluate, models, training
from debias_course.fingerprints import code_of, module_hash
from debias_course.methods import LossReweighting

SOURCE = """
from dataclasses import dataclass
from debias_course.methods import ERM
SCALE = {scale}
def helper(x):
    return x + {helper}
@dataclass(frozen=True, kw_only=True)
class Parent(ERM):
    def loss(self, model, batch, state):
        return super().loss(model, batch, state) * {parent}
@dataclass(frozen=True, kw_only=True)
class Mine(Parent):
    def loss(self, model, batch, state):
        return helper(super().loss(model, batch, state)) * SCALE  # {remark}
"""


def mine(scale=1.0, helper=0, parent=1, remark=""):
    """A class as a notebook makes it: no file has its source."""
    space = {"__name__": "notebook"}
    exec(compile(SOURCE.format(**locals()), "<cell>", "exec", dont_inherit=True), space)
    return space["Mine"]


@pytest.mark.parametrize("change", [dict(scale=-1.0), dict(helper=1), dict(parent=2)])
def test_a_changed_constant_function_or_parent_is_another_code(change):
    assert code_of(mine()) == code_of(mine()) == code_of(mine(remark="a remark"))
    assert code_of(mine(**change)) != code_of(mine())


def test_every_process_agrees():
    things = "training.train, evaluate, LossReweighting, models.Classifier"
    source = "from debias_course import evaluate, models, training\nfrom debias_course.methods import LossReweighting\n"
    source += f"from debias_course.fingerprints import code_of\nprint(code_of({things}))"
    here = code_of(training.train, evaluate, LossReweighting, models.Classifier)
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", source], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here


def test_the_training_loop_is_part_of_every_result(monkeypatch):
    before = code_of(training.train)
    monkeypatch.setattr(training, "step", lambda model, batch, method, state, optimizer: batch.inputs.sum())
    assert code_of(training.train) != before


def hash_of(tmp_path, monkeypatch, source):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"module_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    module = types.ModuleType(name)
    module.__file__ = str(tmp_path / f"{name}.py")
    exec(compile(source, module.__file__, "exec"), vars(module))
    return module_hash(module)


def test_comments_docstrings_and_layout_do_not_make_a_receipt_stale(tmp_path, monkeypatch):
    plain = hash_of(tmp_path, monkeypatch, "def f(x):\n    'doc'\n    return x + 1\n")
    same = hash_of(tmp_path, monkeypatch, "# why\n\ndef f(x):\n    '''another\n    text'''\n    return x + 1  # so\n")
    other = hash_of(tmp_path, monkeypatch, "def f(x):\n    return x + 2\n")
    layout = hash_of(tmp_path, monkeypatch, "def f(x):\n\n    return x   + 1\n")
    assert plain == layout == same != other
