"""The lectures of the course, found by their notebooks and their folders."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any


def notebooks_folder() -> Path:
    """The notebooks of this clone; FileNotFoundError with a remedy where the package was installed without them."""
    folder = Path(__file__).parents[2] / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there are no notebooks beside the package (looked in {folder}); "
            "clone the repository and install it with pip install -e ."
        )
    return folder


def topics() -> list[str]:
    """The lectures of the course, by number."""
    return sorted(path.stem for path in notebooks_folder().glob("[0-9][0-9]_*.ipynb"))


def measurements(topic: str) -> ModuleType:
    """The module that measures a lecture: `debias_course.lectures.NAME.measurements`, with the notebook's name without
    its number."""
    return importlib.import_module(f"debias_course.lectures.{topic[3:]}.measurements")


def lesson_of(topic: str) -> Any:
    """The class of a lecture's lesson: of its measurements, the one that has the topic."""
    module = measurements(topic)
    for each in vars(module).values():
        if isinstance(each, type) and getattr(each, "topic", None) == topic:
            return each
    raise ValueError(f'{module.__name__} has no lesson; define a class of Lesson in it with topic = "{topic}"')
