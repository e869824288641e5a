"""Which code computed this? Two answers: for results that are kept here, and for receipts that travel."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import io
import sys
import tokenize
from types import CodeType, FunctionType, ModuleType
from typing import Any

OUTSIDE = {"torch", "numpy", "tqdm", *(sys.stdlib_module_names - {"__main__"})}  # known by their versions


def code_of(*things: Any) -> str:
    """Hash of the code that runs, not of a file: functions, and classes with their parents and methods, with all
    functions, classes and plain constants that they name. So a class written in a notebook has one, and an edited file
    counts from the moment it is imported again."""
    digest = hashlib.sha256()
    seen: list[Any] = []  # by equality: not everything is hashable

    def feed(thing: Any) -> None:
        thing = getattr(thing, "__func__", getattr(thing, "fget", getattr(thing, "__wrapped__", thing)))
        if isinstance(thing, (int, float, str)):
            digest.update(repr(thing).encode())
            return
        if isinstance(thing, tuple):
            for part in thing:
                feed(part)
            return
        if thing in seen or (getattr(thing, "__module__", None) or "").split(".")[0] in OUTSIDE:
            return
        seen.append(thing)
        if isinstance(thing, type):
            for parent in thing.__mro__[1:]:
                feed(parent)
            for name, value in sorted(vars(thing).items()):
                if not name.startswith("__") or isinstance(value, FunctionType):  # Python adds others as it goes
                    digest.update(name.encode())
                    feed(value)
        elif isinstance(thing, FunctionType):
            pending = [thing.__code__]
            while pending:
                code = pending.pop()
                digest.update(code.co_code + repr(code.co_names).encode())
                for constant in code.co_consts:
                    if isinstance(constant, CodeType):
                        pending.append(constant)
                    else:
                        feed(tuple(sorted(constant, key=repr)) if isinstance(constant, frozenset) else constant)
                for name in code.co_names:
                    feed(thing.__globals__.get(name))

    for thing in things:
        feed(thing)
    return digest.hexdigest()


@functools.cache
def module_hash(module: ModuleType) -> str:
    """Hash of a module's source without comments, docstrings and white space; the same on every Python version."""
    source = inspect.getsource(module)
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            for row in range(first.lineno - 1, first.end_lineno):
                lines[row] = ""
    return hashlib.sha256("".join("".join(lines).split()).encode()).hexdigest()
