"""An executable course companion on bias mitigation in deep learning.

from debias_course import data, evaluate, methods, models, train

splits = data.colored_digits(aligned_share=0.95)
run = train(models.mlp(splits.train), splits.train, methods.LossReweighting(by="group"), epochs=10)
print(evaluate(run.model, splits.test, train=splits.train))
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import data as data
    from . import methods as methods
    from . import models as models
    from .evaluation import evaluate as evaluate
    from .large import train as train
    from .study import study as study


FUNCTIONS = dict(evaluate="debias_course.evaluation", train="debias_course.large")


class _Package(ModuleType):
    """This package. Its modules are imported when they are asked for: torch takes seconds, in which the command line
    already wants to understand Ctrl-C."""

    # A function with the name of its module, which the import system sets as an attribute here.
    study = property(lambda self: import_module("debias_course.study").study, lambda self, module: None)

    def __getattr__(self, name: str) -> Any:
        if name in FUNCTIONS:
            return getattr(import_module(FUNCTIONS[name]), name)
        full = f"debias_course.{name}"
        try:
            return import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
            raise AttributeError(f"module 'debias_course' has no attribute {name!r}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), "data", "evaluate", "methods", "models", "study", "train"]


sys.modules[__name__].__class__ = _Package
