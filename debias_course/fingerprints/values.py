"""What holds others: values and objects, each looked into in the way of its kind."""

from __future__ import annotations

import abc
import contextvars
import enum
import functools
import logging
import re
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from .definitions import Definitions, everything
from .instructions import is_library, named, version_of
from .walk import TooMany

VIEWS = tuple(map(type, ({}.keys(), {}.values(), {}.items())))
HARMLESS = {object, typing.Generic, typing.Protocol, abc.ABC}  # bases that hold nothing
HOLDERS = (list, tuple, dict, set, frozenset, types.MappingProxyType, types.ModuleType)
CACHES = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)


def fingerprint(*things: Any) -> str:
    """Hash of the things, 64 hexadecimal digits, the same in every process that has the same things and code.

    Raises NoFingerprint for what cannot be known."""
    try:
        return Values().over(things).digest.hexdigest()
    except TooMany:  # a net of objects has more ways through it than anyone can walk
        return Values(nets=True).over(things).digest.hexdigest()


def reached(*things: Any, but: Iterable[str] = ()) -> list[Any]:
    """The functions and classes that the things reach, but for those of installed packages and of the modules `but`,
    and of what is behind those. Of an object its class counts, and not its fields."""
    return list(Values(deep=False, but=but, nets=True).over(things).met.values())


class Values(Definitions):
    """A walk that looks into values, too."""

    def way(self, thing: Any) -> Callable[[Values, Any], None]:
        """How to look into what holds others, by what it is: the first way that fits."""
        kind = type(thing)
        if not (self.deep or kind in HOLDERS or _parts(thing)):
            return Values.its_class
        return EXACTLY.get(kind) or next((way for kinds, way in OF if isinstance(thing, kinds)), Values.thing)

    def its_class(self, thing: Any) -> None:
        """Only the code."""
        self.code(type(thing))

    def sequence(self, thing: list | tuple) -> None:
        """Elements in their order."""
        self.put(type(thing).__name__, str(len(thing)))
        for number, each in enumerate(thing):
            self.at(str(number), each)

    def table(self, thing: Mapping) -> None:
        """Keys and values, in the order of the table."""
        self.put("dict", str(len(thing)))
        for key, each in thing.items():
            self.feed(key)
            self.at(str(key) if isinstance(key, (str, int)) else "...", each)

    def unordered(self, thing: set | frozenset) -> None:
        """Elements of a set, in an order that is the same in every process."""
        self.put(type(thing).__name__, str(len(thing)))
        for each in sorted(thing, key=self.place_in_a_set):
            self.feed(each)

    def array(self, thing: np.ndarray | np.generic) -> None:
        """Type, shape and bytes; of an array of objects, the objects."""
        self.code(type(thing))
        self.put("array", str(thing.dtype), str(thing.shape))
        self.feed(thing.tolist()) if thing.dtype.hasobject else self.put(thing.tobytes())

    def ufunc(self, thing: np.ufunc) -> None:
        """A function of NumPy or SciPy, by its name."""
        if not any(named(package, thing.__name__) is thing for package in ("numpy", "scipy.special")):
            raise self.unknowable(thing, "is made from a function that nobody can see")
        self.put("ufunc", thing.__name__, version_of("numpy"), version_of("scipy"))

    def enumerated(self, thing: enum.Enum) -> None:
        """A member: its class, and what it is in it."""
        self.code(type(thing))
        self.fields({name: each for name, each in vars(thing).items() if name != "__objclass__"})

    def network(self, thing: torch.nn.Module) -> None:
        """Class, fields with hooks, parameters and buffers, and which of these share memory."""
        self.code(type(thing))
        self.fields(_without_numbers_of_hooks(vars(thing)))
        self.put(*_shared(thing))

    def name_of_kind(self, thing: Any) -> None:
        """Of what is filled as it is used, or is a number that torch has counted."""
        self.put(type(thing).__name__)

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

    def tensor(self, thing: torch.Tensor) -> None:
        """Type, shape, strides and bytes, with its fields; where it is met again, which it is."""
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


# The ways into values of exactly this class, ...
EXACTLY: dict[type, Callable[[Values, Any], None]] = {
    list: Values.sequence,
    tuple: Values.sequence,
    dict: Values.table,
    types.MappingProxyType: Values.table,
    set: Values.unordered,
    frozenset: Values.unordered,
    slice: lambda walk, thing: walk.feed([thing.start, thing.stop, thing.step]),
}
# ... and into others, by the first class that they are of; all the rest by `Values.thing`.
OF: tuple[tuple[Any, Callable[[Values, Any], None]], ...] = (
    (re.Pattern, lambda walk, thing: walk.feed([thing.pattern, thing.flags])),
    (torch.Tensor, Values.tensor),
    ((np.ndarray, np.generic), Values.array),
    (torch.Generator, lambda walk, thing: walk.put("generator", thing.get_state().numpy().tobytes())),
    (weakref.ReferenceType, lambda walk, thing: walk.at("reference", thing())),  # as of an LSTM to its parameters
    (np.ufunc, Values.ufunc),
    (VIEWS, lambda walk, thing: walk.at(type(thing).__name__, list(thing))),
    (types.ModuleType, lambda walk, thing: walk.module(thing, everything(thing))),
    (logging.Logger, lambda walk, thing: walk.put(type(thing).__name__, thing.name)),  # it is told; it computes nothing
    (contextvars.ContextVar, lambda walk, thing: walk.at(thing.name, thing.get(None))),
    ((*CACHES, torch.utils.hooks.RemovableHandle), Values.name_of_kind),
    (enum.Enum, Values.enumerated),
    (torch.nn.Module, Values.network),
)


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
