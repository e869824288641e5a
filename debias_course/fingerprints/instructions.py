"""What code says, and whose it is: instructions without what does not matter, and the packages that are installed."""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.util
import os
import platform
import sys
import sysconfig
import types
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any, TypeGuard

GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"}
CLOSED = {"LOAD_DEREF", "LOAD_FAST", "STORE_FAST", "STORE_DEREF"}  # a module that a function imports, or is closed over


@functools.lru_cache(maxsize=100_000)
def described(code: types.CodeType) -> tuple[bytes, tuple[str, ...], tuple[str, ...], tuple, tuple[str, ...]]:
    """Of a code object: the hash of its instructions, and the names that it reads, the attributes, the imports (module,
    level), and those of the names and (with a dot) attributes of which it does not just read an attribute; with those
    of the functions that are defined in it."""
    digest = hashlib.sha256()
    names: dict[str, None] = {}
    attributes: dict[str, None] = {}
    imports: dict[tuple[str, int], None] = {}
    bare: dict[str, None] = {}
    found: tuple[dict[Any, None], ...] = (names, attributes, imports, bare)

    def constant(value: Any) -> str:
        if isinstance(value, types.CodeType):
            inner = described(value)
            for mine, its in zip(found, inner[1:]):
                mine.update(dict.fromkeys(its))
            return inner[0].hex()
        if isinstance(value, tuple):
            return f"({','.join(map(constant, value))})"
        if isinstance(value, frozenset):
            return f"{{{','.join(sorted(map(constant, value)))}}}"
        return f"{type(value).__name__} {value!r}"

    taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + 2]
    sizes = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    digest.update(repr((taken, sizes, getattr(code, "co_exceptiontable", b""))).encode())
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for number, step in enumerate(steps):
        following = steps[number + 1] if number + 1 < len(steps) else step
        stored = {each.argval for each in (step, following) if each.opname == "STORE_NAME"}
        if stored & {"__doc__", "__firstlineno__"}:
            continue  # of a class in the function
        if step.opname in GLOBALS:
            names[step.argval] = None
        elif step.opname in ATTRIBUTES:
            attributes[step.argval] = None
        elif step.opname == "IMPORT_NAME":
            imports[step.argval, steps[number - 2].argval] = None
        if step.opname in GLOBALS | ATTRIBUTES | CLOSED and following.opname not in ATTRIBUTES:
            bare["." * (step.opname in ATTRIBUTES) + step.argval] = None
        digest.update(f"{step.opname} {constant(step.argval)}\n".encode("utf-8", "surrogatepass"))
    return digest.digest(), tuple(sorted(names)), tuple(sorted(attributes)), tuple(sorted(imports)), tuple(sorted(bare))


def named(module: str, qualified: str) -> Any:
    """What a package has under this name."""
    thing = sys.modules.get(module)
    for name in qualified.split("."):
        thing = getattr(thing, name, None)
    return thing


def is_library(name: Any) -> TypeGuard[str]:
    """Whether a module is Python's own or an installed package, which its version describes; our own never is."""
    top = name.partition(".")[0] if isinstance(name, str) else ""
    if top in ("", "debias_course", "__main__"):
        return False
    module = sys.modules.get(top)
    try:
        spec = module.__spec__ if module else importlib.util.find_spec(top)
    except (AttributeError, ValueError):
        spec = None
    places = getattr(module, "__file__", None), getattr(spec, "origin", None)
    place = next((each for each in places if isinstance(each, str)), None)
    return _installed(top, place or next(iter(getattr(spec, "submodule_search_locations", None) or ()), None))


@functools.lru_cache(maxsize=10_000)
def _installed(top: str, place: str | None) -> bool:
    if place is None or place in ("built-in", "frozen"):
        return top in sys.stdlib_module_names
    if {"site-packages", "dist-packages"} & set(os.path.normpath(place).split(os.sep)):
        return bool(version_of(top))  # otherwise nobody would know that it has changed
    stdlib = (sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib"))
    return any(os.path.realpath(place).startswith(os.path.realpath(folder) + os.sep) for folder in stdlib)


@functools.lru_cache(maxsize=10_000)
def version_of(name: str) -> str:
    """The version of the package that a module is of; Python's for its own."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return platform.python_version()
    try:
        return version(top)
    except PackageNotFoundError:  # sklearn is of scikit-learn
        return ", ".join(sorted(version(each) for each in _distributions().get(top, ())))


_distributions = functools.cache(packages_distributions)
