"""A way through things: what is on it goes into one hash, word by word."""

from __future__ import annotations

import hashlib
import importlib
import pathlib
import sys
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

import torch

from .instructions import is_library

PLAIN: tuple[type, ...] = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range)
PLAIN += (torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, pathlib.PurePath)
PLAIN += (types.GenericAlias, types.UnionType, typing.TypeVar, type(typing.Any), type(typing.Optional[int]))  # noqa: UP045
# C functions, and what a class has for its slots: their names say which
NAMED: tuple[type, ...] = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
NAMED += (
    types.MethodWrapperType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ClassMethodDescriptorType,
)
MOST = 50_000  # values on a walk
OPAQUE = (eval, exec, globals, __import__, importlib.import_module, sys.modules)  # what they reach is in no instruction


class NoFingerprint(ValueError):
    """Something that decides a result cannot be known; the sentence says what and where."""


class TooMany(Exception):
    """More values on the way than MOST."""


class Walk:
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

    def over(self, things: Iterable[Any]) -> Walk:
        """Walk over the things and all code that they reach; the walk itself, for its hash and whom it has met."""
        for thing in things:
            self.feed(thing)
        while self.waiting:  # one after the other: calls may be nested deeply
            code, path = self.waiting.pop()
            self.path = list(path)
            self.look_into(code)
        return self

    def put(self, *words: str | bytes) -> None:
        """Words into the hash, each with its length, so that no two lists of words are the same."""
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
        """Any thing: by its text where that says all, by its number where we have been, or looked into."""
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
                raise TooMany
            self.inside.append(id(thing))
            try:
                self.way(thing)(self, thing)
            except RecursionError:
                raise self.unknowable(thing, "is nested too deeply") from None
            except (NoFingerprint, TooMany):
                raise
            except Exception as error:
                raise self.unknowable(thing, f"cannot be looked into ({type(error).__name__}: {error})") from error
            self.inside.pop()

    def fields(self, fields: dict[str, Any]) -> None:
        """Values by name, whatever their order."""
        self.put(str(len(fields)))
        for name in sorted(fields):
            self.at(name, fields[name])

    def way(self, thing: Any) -> Callable[[Any, Any], None]:
        """How a value that holds others is looked into: a function of the walk and the value."""
        raise NotImplementedError

    def code(self, thing: Any) -> None:
        """Give a function or class its number."""
        raise NotImplementedError

    def look_into(self, code: Any) -> None:
        """Look into a function or class that is new."""
        raise NotImplementedError

    def unknowable(self, thing: Any, why: str) -> NoFingerprint:
        """The error to raise: what cannot be known, where, and what to do."""
        what = getattr(thing, "__qualname__", None) or f"a {type(thing).__module__}.{type(thing).__qualname__}"
        where = ".".join(self.path) or "what was given"
        return NoFingerprint(
            f"{where}: {what} {why}, so that a kept result could be that of something else; leave it out, or pass "
            "what it is made from"
        )
