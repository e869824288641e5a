"""The labels and attributes that come with datasets, in their items or beside them, as numbers with names.

Several attributes are crossed (`columns`). In train the attribute may be unknown.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import shown
from .columns import by_name, codes, cross_attributes, listed, plain
from .grouped import UNKNOWN


def places(attribute: Any) -> dict[str, int | str]:
    """The place or key of each attribute by its name; {} where none is wanted."""
    if not isinstance(attribute, (tuple, list)):
        return {} if attribute is None else {"attribute": attribute}
    if not attribute or len(set(attribute)) < len(attribute):
        raise ValueError(f"attribute is {shown(attribute)}; name each place or key once, as in attribute=(2, 3)")
    named = {f"attribute {each}" if isinstance(each, int) else each: each for each in attribute}
    return named if len(named) > 1 else {"attribute": attribute[0]}


def beside(name: str, n: int, given: Any, wanted: bool) -> dict[str, list[Any]]:
    """The columns of attributes that came beside the items."""
    several = by_name(given)
    columns = {"attribute": given} if several is None else several
    if not columns:
        raise ValueError(f"the attributes of {name} have no column; give one or more, such as {{'sex': [...]}}")
    found = {}
    for column, values in columns.items():
        values = listed(f"attributes[{column!r}]" if several else "attributes", values)
        if wanted or len(values) != n:
            what = "name the attribute of the items, or give attributes: one value for each item, and not both"
            raise ValueError(f"{name} has {n:,} items and {len(values):,} attributes; {what}")
        found[column] = [value_of(name, each) for each in values]
    return found


def value_of(part: str, given: Any) -> Hashable:
    """The value of an attribute in one of the parts; that of train may be None."""
    return None if given is None and part == "train" else plain(given)


def coded(
    what: str, parts: Mapping[str, Sequence[Any]], names: Sequence[str] | None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Values as numbers from 0, or -1 for None, and their names."""
    import pandas as pd

    given = [value is not None for part in parts.values() for value in part]
    every = [value for part in parts.values() for value in part if value is not None]
    if not every:
        raise ValueError(f"no item has a {what}; give one at least to some")
    if names is None:
        _check_not_measured(what, every)
        found, known = codes(pd.Series([str(value) for value in every]), what)
    else:
        known = tuple(names)
        places = dict(zip(known, range(len(known)))) | dict(zip(range(len(known)), range(len(known))))
        found = np.array([places.get(value, -1) for value in every])
    if (found < 0).any():
        odd = every[int((found < 0).argmax())]
        of = f"one of the names {shown(known)}, nor a number of them" if names is not None else "a name or a number"
        raise ValueError(f"a value of the {what} is {odd!r}, which is not {of}")
    numbers = torch.full((len(given),), -1)
    numbers[torch.tensor(given)] = torch.from_numpy(found).long()
    return dict(zip(parts, numbers.split([len(part) for part in parts.values()]))), known


def _check_not_measured(what: str, values: Sequence[Any]) -> None:
    """ValueError where there are fractions."""
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        raise ValueError(
            f"the {what} is measured, such as {values[0]!r}, and not one of a few: put the numbers into bins"
        )


def of_parts(
    kinds: Mapping[str, dict[str, list[Any]]], sizes: Mapping[str, int], names: Sequence[str] | None
) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
    """The attributes of each part as numbers from 0, several columns crossed, and their names."""
    kinds = {name: _known(name, columns) for name, columns in kinds.items()}
    known = {name: columns for name, columns in kinds.items() if columns}
    without = [name for name in kinds if name not in known]
    if known and (others := [name for name in without if name != "train"]):
        raise ValueError(f"the attribute is not known in {others[0]}; give it there, too: only train may lack it")
    if not known:
        found, alike = coded("attribute", {name: [UNKNOWN] * n for name, n in sizes.items()}, names)
        return {name: (each, alike) for name, each in found.items()}
    columns, *rest = known.values()
    if any(list(each) != list(columns) for each in rest):
        raise ValueError(f"the attributes have different columns in {', '.join(known)}; give the same, in one order")
    if len(columns) == 1:
        (column,) = columns
        found, alike = coded(column, {name: each[column] for name, each in known.items()}, names)
    elif names is not None:
        raise ValueError("attribute_names are those of one attribute; leave them out where several are crossed")
    else:
        every = {column: [v for each in known.values() for v in each[column]] for column in columns}
        for column, values in every.items():
            _check_not_measured(column, values)
        crossed, alike = cross_attributes(every)
        found = dict(zip(known, crossed.split([sizes[name] for name in known])))
    unknown = {name: (torch.zeros(sizes[name], dtype=torch.int64), (UNKNOWN,)) for name in without}
    return unknown | {name: (each, alike) for name, each in found.items()}


def _known(name: str, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The columns, or {} where they hold nothing but None; ValueError where they hold it here and there."""
    nothing = [value is None for values in columns.values() for value in values]
    if any(nothing) and not all(nothing):
        item = nothing.index(True) % max(len(values) for values in columns.values())
        raise ValueError(f"item {item} of {name} has no attribute, and others do; give all of them one, or None to all")
    return {} if any(nothing) else columns
