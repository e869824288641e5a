"""What decides a result, as a hash: values with everything that they hold, and code with everything that it reaches.

    fingerprint(method, augment, training.train)

Equal fingerprints mean equal behaviour. A function counts with its instructions, defaults, closure and attributes, and
with what its names stand for: functions, classes, tables, tensors, and of a module the attributes that it may read. A
class counts with its parents and everything in it; an object with its class and all its fields, whatever its repr
shows. Comments, docstrings, line numbers, addresses and the order of a set do not count.

Code of installed packages is known by its name and version and is not looked into. What cannot be known is refused
with a `NoFingerprint` that says where it is: a lock, a file, a running generator, code that calls eval.
"""

from __future__ import annotations

import abc
import builtins
import contextvars
import enum
import functools
import hashlib
import importlib
import importlib.util
import logging
import pathlib
import re
import sys
import types
import typing
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from .instructions import described, is_library, named, version_of

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range)
PLAIN += (torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, pathlib.PurePath)
PLAIN += (types.GenericAlias, types.UnionType, typing.TypeVar, type(typing.Any), type(typing.Optional[int]))  # noqa: UP045
# C functions, and what a class has for its slots: their names say which
NAMED = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
NAMED += (
    types.MethodWrapperType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ClassMethodDescriptorType,
)
VIEWS = tuple(type(view) for view in ({}.keys(), {}.values(), {}.items()))
HARMLESS = {object, typing.Generic, typing.Protocol, abc.ABC}  # bases that hold nothing
MOST = 50_000  # values on a walk
HOLDERS = (list, tuple, dict, set, frozenset, types.MappingProxyType, types.ModuleType)
# of a class: what Python adds as it goes, where it stands, and what is written about it
NOT_COUNTED = {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__", "_abc_impl"}
NOT_COUNTED |= {"__slotnames__", "__static_attributes__", "__dataclass_fields__", "__dataclass_params__"}
NOT_COUNTED |= {"__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__parameters__"}
NOT_COUNTED |= {"__match_args__", "_autograd_function_id"}  # torch counts them up over the whole process
OPAQUE = (eval, exec, globals, __import__, importlib.import_module, sys.modules)  # what they reach is in no instruction
CACHES = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)


class NoFingerprint(ValueError):
    """Something that decides a result cannot be known; the sentence says what and where."""


def fingerprint(*things: Any) -> str:
    """Hash of the things, 64 hexadecimal digits, the same in every process that has the same things and code.

    Raises NoFingerprint for what cannot be known."""
    try:
        return _Walk().over(things).digest.hexdigest()
    except _TooMany:  # a net of objects has more ways through it than anyone can walk
        return _Walk(nets=True).over(things).digest.hexdigest()


def reached(*things: Any, but: Iterable[str] = ()) -> list[Any]:
    """The functions and classes that the things reach, but for those of installed packages and of the modules `but`,
    and of what is behind those. Of an object its class counts, and not its fields."""
    return list(_Walk(deep=False, but=but, nets=True).over(things).met.values())


class _TooMany(Exception):
    """More values on the way than MOST."""


class _Walk:
    """One way through things. Functions and classes are numbered when they are met and looked into once; a value is
    looked into wherever it stands, so that it does not matter which equal values are one object. In `nets` of objects
    that is too much: there, a value is looked into once, too, and it matters."""

    def __init__(self, *, deep: bool = True, but: Iterable[str] = (), nets: bool = False) -> None:
        self.deep, self.but, self.nets = deep, tuple(but), nets
        self.values: dict[int, tuple[int, Any]] = {}  # in nets: number and value, by id
        self.count = 0
        self.digest = hashlib.sha256()
        self.met: dict[int, Any] = {}  # by id; it keeps them alive, so that no id comes twice
        self.places: dict[int, int] = {}
        self.read: dict[int, set[str]] = {}  # of modules, which attributes we have been to
        self.waiting: list[tuple[Any, tuple[str, ...]]] = []
        self.inside: list[int] = []  # ids of the values that we are in
        self.tensors: dict[int, tuple[int, torch.Tensor]] = {}
        self.path: list[str] = []

    def over(self, things: Iterable[Any]) -> _Walk:
        for thing in things:
            self.feed(thing)
        while self.waiting:  # one after the other: calls may be nested deeply
            code, path = self.waiting.pop()
            self.path = list(path)
            (self.function if isinstance(code, types.FunctionType) else self.kind)(code)
        return self

    def put(self, *words: str | bytes) -> None:
        for word in words:
            word = word if isinstance(word, bytes) else word.encode("utf-8", "surrogatepass")
            self.digest.update(b"%d:" % len(word))
            self.digest.update(word)

    def at(self, name: str, thing: Any) -> None:
        """Feed what is called `name` here."""
        self.put(name)
        self.path.append(name)
        self.feed(thing)
        self.path.pop()

    def feed(self, thing: Any) -> None:
        kind = type(thing)
        if any(thing is each for each in OPAQUE):
            raise self.unknowable(thing, "reaches code by a name that is made as it runs")
        if kind in PLAIN or isinstance(thing, PLAIN) and is_library(kind.__module__):
            self.put(kind.__qualname__, repr(thing))
        elif isinstance(thing, (types.FunctionType, type)):
            self.code(thing)
        elif kind in NAMED:
            owner = getattr(thing, "__objclass__", getattr(thing, "__self__", None))
            self.put("named", getattr(thing, "__qualname__", thing.__name__))
            self.feed(owner.__name__ if isinstance(owner, types.ModuleType) else owner)
        elif id(thing) in self.values:
            self.put("value", str(self.values[id(thing)][0]))
        elif id(thing) in self.inside:
            self.put("circle", str(len(self.inside) - self.inside.index(id(thing))))
        else:
            self.count += 1
            if self.nets:
                self.values[id(thing)] = len(self.values), thing  # with the thing, so that no id comes twice
            elif self.count > MOST:
                raise _TooMany
            self.inside.append(id(thing))
            try:
                self.value(thing)
            except RecursionError:
                raise self.unknowable(thing, "is nested too deeply") from None
            except (NoFingerprint, _TooMany):
                raise
            except Exception as error:
                raise self.unknowable(thing, f"cannot be looked into ({type(error).__name__}: {error})") from error
            self.inside.pop()

    def value(self, thing: Any) -> None:
        """What holds others, by what it is."""
        kind = type(thing)
        if not (self.deep or kind in HOLDERS or _parts(thing)):
            self.code(kind)
        elif kind in (list, tuple):
            self.put(kind.__name__, str(len(thing)))
            for number, each in enumerate(thing):
                self.at(str(number), each)
        elif kind in (dict, types.MappingProxyType):
            self.put("dict", str(len(thing)))
            for key, each in thing.items():
                self.feed(key)
                self.at(str(key) if isinstance(key, (str, int)) else "...", each)
        elif kind in (set, frozenset):
            self.put(kind.__name__, str(len(thing)))
            for each in sorted(thing, key=self.place_in_a_set):
                self.feed(each)
        elif kind is slice:
            self.feed([thing.start, thing.stop, thing.step])
        elif isinstance(thing, re.Pattern):
            self.feed([thing.pattern, thing.flags])
        elif isinstance(thing, torch.Tensor):
            self.tensor(thing)
        elif isinstance(thing, (np.ndarray, np.generic)):
            self.code(kind)
            self.put("array", str(thing.dtype), str(thing.shape))
            self.feed(thing.tolist()) if thing.dtype.hasobject else self.put(thing.tobytes())
        elif isinstance(thing, torch.Generator):
            self.put("generator", thing.get_state().numpy().tobytes())
        elif isinstance(thing, weakref.ReferenceType):  # as those of an LSTM to its parameters
            self.at("reference", thing())
        elif isinstance(thing, np.ufunc):
            if not any(named(package, thing.__name__) is thing for package in ("numpy", "scipy.special")):
                raise self.unknowable(thing, "is made from a function that nobody can see")
            self.put("ufunc", thing.__name__, version_of("numpy"), version_of("scipy"))
        elif isinstance(thing, VIEWS):
            self.at(kind.__name__, list(thing))
        elif isinstance(thing, types.ModuleType):
            self.module(thing, everything(thing))
        elif isinstance(thing, logging.Logger):
            self.put(kind.__name__, thing.name)  # it is told; it computes nothing
        elif isinstance(thing, contextvars.ContextVar):
            self.at(thing.name, thing.get(None))
        elif isinstance(thing, (*CACHES, torch.utils.hooks.RemovableHandle)):
            self.put(kind.__name__)  # filled as it is used, or a number that torch has counted
        elif isinstance(thing, enum.Enum):
            self.code(kind)
            self.fields({name: each for name, each in vars(thing).items() if name != "__objclass__"})
        elif isinstance(thing, torch.nn.Module):
            self.code(kind)
            self.fields(_without_numbers_of_hooks(vars(thing)))
            self.put(*_shared(thing))
        else:
            self.thing(thing)

    def thing(self, thing: Any) -> None:
        """A wrapper of code, or an object of any class."""
        parts = _parts(thing)
        if parts is not None:
            self.code(type(thing))
            self.fields(parts)
            return
        kind, module = type(thing), getattr(thing, "__module__", None)
        if is_library(module) and named(module, getattr(thing, "__qualname__", "")) is thing:  # a compiled function
            self.put("library", module, thing.__qualname__, version_of(module))
            return
        self.code(kind)
        own = not is_library(kind.__module__)
        if own:
            self.fields(_fields(thing))
        if own and all(base in HARMLESS or not is_library(base.__module__) for base in kind.__mro__):
            return
        try:
            reduced = thing.__reduce_ex__(4)  # what a package itself takes for the content
        except Exception as error:
            raise self.unknowable(thing, "cannot be looked into") from error
        if isinstance(reduced, tuple):
            state = None if own and reduced[2:3] == (getattr(thing, "__dict__", None),) else [*reduced[2:3]]
            reduced = [*reduced[:2], state, *(None if part is None else list(part) for part in reduced[3:5])]
        self.feed(reduced)

    def place_in_a_set(self, thing: Any) -> tuple[str, ...]:
        """By what the elements of a set are put in order: by what they are, and only then by what they hold."""
        if isinstance(thing, (types.FunctionType, type)):
            return "code", str(thing.__module__), thing.__qualname__
        try:
            return type(thing).__qualname__, fingerprint(thing)
        except RecursionError:
            raise self.unknowable(thing, "is in a set that it holds itself") from None

    def fields(self, fields: dict[str, Any]) -> None:
        self.put(str(len(fields)))
        for name in sorted(fields):
            self.at(name, fields[name])

    def tensor(self, thing: torch.Tensor) -> None:
        if id(thing) in self.tensors:  # one parameter in two places is not the same as two equal ones
            self.put("tensor", str(self.tensors[id(thing)][0]))
            return
        self.tensors[id(thing)] = len(self.tensors), thing
        if torch.nn.parameter.is_lazy(thing):  # it takes its shape from the first batch
            self.put("lazy", str(thing.dtype))
            return
        if type(thing) not in (torch.Tensor, torch.nn.Parameter):
            self.code(type(thing))
        if thing.is_nested or thing.layout != torch.strided or thing.is_quantized or thing._backward_hooks:
            raise self.unknowable(thing, "is sparse, quantized or has hooks")
        self.put("tensor", str(thing.dtype), str(tuple(thing.shape)), str(thing.stride()), str(thing.requires_grad))
        if thing.device.type != "meta":
            values = thing.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
            self.put(values.view(torch.uint8).numpy().tobytes() if len(values) else b"")
        if vars(thing):
            self.fields(vars(thing))

    def code(self, thing: Any) -> None:
        """A function or class: its number here; if it is new, it waits to be looked into. Of a package: its name."""
        name = thing.__globals__.get("__name__", "") if isinstance(thing, types.FunctionType) else thing.__module__
        if str(thing.__module__).startswith((__name__, *self.but)):  # what names results computes none
            return
        if is_library(name) and named(name, thing.__qualname__) is thing:
            self.put("library", name, thing.__qualname__, version_of(name))
            return
        if id(thing) not in self.met:
            self.places[id(thing)] = len(self.met)
            self.met[id(thing)] = thing
            self.waiting.append((thing, (*self.path, thing.__qualname__)))
        self.put("code", str(self.places[id(thing)]))

    def function(self, thing: types.FunctionType) -> None:
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

    def unknowable(self, thing: Any, why: str) -> NoFingerprint:
        what = getattr(thing, "__qualname__", None) or f"a {type(thing).__module__}.{type(thing).__qualname__}"
        where = ".".join(self.path) or "what was given"
        return NoFingerprint(
            f"{where}: {what} {why}, so that a kept result could be that of something else; leave it out, or pass "
            "what it is made from"
        )


def everything(thing: Any) -> list[str]:
    """The attributes of a module, but for those that Python gives it; of anything else, none."""
    return [name for name in vars(thing) if not name.startswith("__")] if isinstance(thing, types.ModuleType) else []


def _shared(network: torch.nn.Module) -> list[str]:
    """Which parameters and buffers of a network lie in one memory, as one number for each memory."""
    places: dict[int, int] = {}
    tensors = [each for each in (*network.parameters(), *network.buffers()) if not torch.nn.parameter.is_lazy(each)]
    held = [each.untyped_storage().data_ptr() for each in tensors if each.device.type != "meta" and each.numel()]
    return [str(places.setdefault(place, len(places))) for place in held]


def _parts(thing: Any) -> dict[str, Any] | None:
    """What Python's own wrappers of code hold; None for everything else."""
    if isinstance(thing, functools.partial):
        return dict(func=thing.func, args=thing.args, keywords=thing.keywords, fields=vars(thing))
    if isinstance(thing, types.MethodType):
        return dict(func=thing.__func__, self=thing.__self__)
    if isinstance(thing, (classmethod, staticmethod)):
        return dict(func=thing.__func__)
    if isinstance(thing, functools.cached_property):
        return dict(func=thing.func)
    if isinstance(thing, property):
        return dict(fget=thing.fget, fset=thing.fset, fdel=thing.fdel)
    if isinstance(thing, functools._lru_cache_wrapper):
        return dict(func=thing.__wrapped__, parameters=thing.cache_parameters())
    return None


def _fields(thing: Any) -> dict[str, Any]:
    """An object's fields, those in slots, too."""
    found = {}
    for kind in type(thing).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, types.MemberDescriptorType) and not is_library(kind.__module__):
                try:
                    found[name] = member.__get__(thing)
                except AttributeError:  # it was never set
                    pass
    found |= getattr(thing, "__dict__", {})
    derived = functools.cached_property
    return {name: each for name, each in found.items() if not isinstance(getattr(type(thing), name, None), derived)}


def _without_numbers_of_hooks(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a network, with hooks numbered from 0: torch counts them up over the whole process."""
    hooks = {name: each for name, each in fields.items() if "_hooks" in name and isinstance(each, dict)}
    order = {key: place for place, key in enumerate(sorted({key for each in hooks.values() for key in each}))}
    return fields | {name: {order[key]: one for key, one in each.items()} for name, each in hooks.items()}
