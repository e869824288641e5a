"""What is defined: functions with what their names stand for, classes with everything in them, modules."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable
from typing import Any

from .instructions import described, is_library, named, version_of
from .walk import OPAQUE, Walk

# of a class: what Python adds as it goes, where it stands, and what is written about it
NOT_COUNTED = {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__", "_abc_impl"}
NOT_COUNTED |= {"__slotnames__", "__static_attributes__", "__dataclass_fields__", "__dataclass_params__"}
NOT_COUNTED |= {"__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__parameters__"}
NOT_COUNTED |= {"__match_args__", "_autograd_function_id"}  # torch counts them up over the whole process


class Definitions(Walk):
    """A walk that looks into code."""

    def code(self, thing: Any) -> None:
        """A function or class: its number here; if it is new, it waits to be looked into. Of a package: its name."""
        name = thing.__globals__.get("__name__", "") if isinstance(thing, types.FunctionType) else thing.__module__
        if str(thing.__module__).startswith((__package__, *self.but)):  # what names results computes none
            return
        if is_library(name) and named(name, thing.__qualname__) is thing:
            self.put("library", name, thing.__qualname__, version_of(name))
            return
        if id(thing) not in self.met:
            self.places[id(thing)] = len(self.met)
            self.met[id(thing)] = thing
            self.waiting.append((thing, (*self.path, thing.__qualname__)))
        self.put("code", str(self.places[id(thing)]))

    def look_into(self, code: Any) -> None:
        """A function or class that waits."""
        self.function(code) if isinstance(code, types.FunctionType) else self.kind(code)

    def function(self, thing: types.FunctionType) -> None:
        """Instructions, defaults, attributes, closure, and what its names and imports stand for."""
        instructions, names, attributes, imports, bare = described(thing.__code__)
        self.put("function", instructions)
        if "__globals__" in attributes:
            raise self.unknowable(thing, "reaches code by a name that is made as it runs")
        self.at("defaults", thing.__defaults__)
        self.at("keyword defaults", thing.__kwdefaults__)
        self.fields(vars(thing))
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or ()):
            try:
                self.name(name, cell.cell_contents, attributes, bare)
            except ValueError:  # nothing is in it yet
                self.put(name, "empty")
        for name in sorted(set(names) - {"__annotations__"}):
            known = thing.__globals__ if name in thing.__globals__ else vars(builtins)
            if name in known:
                self.name(name, known[name], attributes, bare)
        for name, level in imports:
            name = importlib.util.resolve_name("." * level + name, thing.__globals__.get("__package__"))
            if is_library(name):  # the same whether somebody has imported it by now or not
                self.put("library", name, version_of(name))
                self.put_there(sys.modules.get(name), attributes)
                continue
            for module in dict.fromkeys((name.partition(".")[0], name)):
                try:
                    self.name(module, importlib.import_module(module), attributes, bare)
                except ImportError:
                    self.put(module, "missing")  # as it will be for the code itself

    def name(self, name: str, thing: Any, attributes: Iterable[str], bare: Iterable[str]) -> None:
        """What a name in a function stands for; of a module, the attributes that the function may read, or all where it
        does not just read one."""
        if not isinstance(thing, types.ModuleType):
            self.at(name, thing)
            return
        self.put(name)
        whole = name in bare and not is_library(thing.__name__)
        self.module(thing, everything(thing) if whole else attributes, bare)

    def module(self, module: types.ModuleType, attributes: Iterable[str], bare: Iterable[str] = ()) -> None:
        """Of a module the attributes; each is looked into once."""
        if is_library(module.__name__):
            self.put("library", module.__name__, version_of(module.__name__))
            self.put_there(module, attributes)
            return
        seen = self.read.setdefault(id(module), set())
        new = sorted(set(attributes) - seen)
        seen.update(new)
        whole = set(everything(module)) <= seen
        for name in new:
            try:
                thing = getattr(module, name) if hasattr(module, "__getattr__") else vars(module)[name]
            except (AttributeError, KeyError):
                continue
            if whole:
                self.name(f".{name}", thing, (), (f".{name}",))
            else:
                self.name(f".{name}", thing, attributes, bare)

    def put_there(self, package: types.ModuleType | None, attributes: Iterable[str]) -> None:
        """What somebody else has put into a package, or what in it is opaque."""
        known = vars(package) if package else {}
        for name in sorted(set(attributes) & set(known)):
            whose = getattr(known[name], "__module__", None)
            replaced = isinstance(known[name], (types.FunctionType, type)) and whose and not is_library(whose)
            if replaced or any(known[name] is each for each in OPAQUE):
                self.at(name, known[name])

    def kind(self, thing: type) -> None:
        """A class: its parents, and everything in it that is its own."""
        self.put("class", thing.__name__)  # a class that is sent to a worker loses where it was defined
        for parent in (type(thing), *thing.__mro__[1:]):
            self.code(parent)
        bases = [vars(base) for base in thing.__bases__]
        self.fields(
            {
                name: each
                for name, each in vars(thing).items()  # what is a parent's, too, is lost on the way to a worker
                if name not in NOT_COUNTED and not any(name in base and base[name] is each for base in bases)
            }
        )


def everything(thing: Any) -> list[str]:
    """The attributes of a module, but for those that Python gives it; of anything else, none."""
    return [name for name in vars(thing) if not name.startswith("__")] if isinstance(thing, types.ModuleType) else []
