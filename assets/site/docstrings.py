"""The course's docstrings for Sphinx: plain text with `code`, indented examples, and columns of names and texts."""

from __future__ import annotations

import re
from typing import Any

COLUMN = re.compile(r"(\S.*?) {2,}(\S.*)")  # "name  what it is"; its text goes on in the same column below


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines[:] = [line for each in blocks if each.strip() for line in [*block(each.splitlines()), ""]]


def block(lines: list[str]) -> list[str]:
    """A paragraph, a list of names, or an example."""
    if lines[0].startswith("    "):
        return ["::", "", *(f"    {line}" for line in lines)]
    if COLUMN.fullmatch(lines[0]) and all(line.startswith("  ") or COLUMN.fullmatch(line) for line in lines):
        return columns(lines)
    return [text(line.strip()) for line in lines]


def columns(lines: list[str]) -> list[str]:
    made: list[str] = []
    for line in lines:
        found = COLUMN.fullmatch(line)
        if found and not line.startswith(" "):
            made += [text(found[1]), f"    {text(found[2])}"]
        else:
            made.append(f"    {text(line.strip())}")
    return made


def text(line: str) -> str:
    """Plain text with `code`: nothing else is marked up."""
    parts = re.split(r"`([^`]+)`", line)
    plain = (re.sub(r"([\\*|_`<>])", r"\\\1", each) for each in parts[::2])
    pairs = zip(plain, [f"\\ ``{each}``\\ " for each in parts[1::2]] + [""])
    return "".join(first + second for first, second in pairs)


def is_foreign(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what a package only imports from elsewhere."""
    module, here = getattr(obj, "__module__", None), app.env.current_document.autodoc_module
    return True if what == "module" and isinstance(module, str) and not module.startswith(here) else None
