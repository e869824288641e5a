"""The values of columns as whole numbers from 0, with their names; and several attributes as one.

Several attributes are crossed: each combination that occurs is a value of one attribute, "sex=male & age=young". So
every method works on combinations as on any attribute. Groups that overlap, such as all men and all the young, are read
from the names again. Only this file knows how these are put together and taken apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..checks import kind_of, shown

if TYPE_CHECKING:
    import pandas as pd

AND = " & "  # between the attributes of a combination
MOST = 1000  # different labels or attributes; a column with more is something else


def cross_attributes(columns: Mapping[str, Sequence[Any]]) -> tuple[Tensor, tuple[str, ...]]:
    """Several attributes as one, for `GroupedData`: numbers int64 [N], and their names, such as "sex=male & age=young".

    columns  name -> a text or a number for each sample, in a list, an array or a tensor [N]; two columns or more, or
             a data frame of them

    Only combinations that occur have a number, at most 1,000: so cross all parts of a data set at once, and cut the
    numbers afterwards, that train, validation and test have the same. `GroupReport.by_attribute` tells the attributes
    apart again. TypeError or ValueError, in a sentence, for other columns.
    """
    import pandas as pd

    given = by_name(columns) or {}
    if len(given) < 2:
        raise TypeError(f"columns are {shown(columns)}; give two or more, such as {{'sex': sexes, 'age': ages}}")
    values = {column: [plain(each) for each in listed(f"columns[{column!r}]", of)] for column, of in given.items()}
    first, *others = values
    for column in others:
        if len(values[column]) != len(values[first]):
            sizes = f"{len(values[column]):,} values, and {first!r} {len(values[first]):,}"
            raise ValueError(f"{column!r} has {sizes}; give one for each sample")
    codes, names = crossed({column: pd.Series([str(v) for v in each], dtype=str) for column, each in values.items()})
    if (codes < 0).any():
        raise ValueError(f"sample {int((codes < 0).argmax())} lacks one of {', '.join(values)}; give all of them")
    return torch.from_numpy(codes).long(), names


def by_name(columns: Any) -> dict[str, Any] | None:
    """{name: column} of a mapping or a data frame; None for anything else."""
    frame = getattr(columns, "ndim", 1) == 2 and hasattr(columns, "items")
    return dict(columns.items()) if frame or isinstance(columns, Mapping) else None


def codes(values: pd.Series, column: str, *, named: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Integers from 0 and the names they stand for, sorted: texts as they are (or `named` like numbers), numbers as
    "column=number"; -1 where nothing stands."""
    import pandas as pd

    rows, different = pd.factorize(values)
    texts = pd.Series(different, dtype=object)
    empty = missing(texts)
    numbers = pd.to_numeric(texts[~empty], errors="coerce")
    numeric = np.isfinite(numbers.to_numpy(dtype=float)).all()
    known, places = np.unique((numbers if numeric else texts[~empty]).to_numpy(), return_inverse=True)
    codes = np.full(len(texts), -1)
    codes[~empty] = places
    names = [str(int(v) if v == int(v) else v) for v in known] if numeric else [str(v) for v in known]
    return codes[rows], tuple(f"{column}={each}" for each in names) if numeric or named else tuple(names)


def missing(values: pd.Series) -> np.ndarray:
    """Where nothing stands, bool [N]."""
    return values.isin(("", "nan", "NaN")).to_numpy()


def crossed(columns: Mapping[str, pd.Series]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The combination of each row, from 0, and the names of those that occur, sorted by the first column, then by the
    next; -1 where one of the values is missing."""
    found, names = [], []
    for column, values in columns.items():
        if not isinstance(column, str) or "=" in column or AND in f" {column} ":
            raise ValueError(f"{column!r} cannot be the name of one of several attributes; rename it, without = or &")
        each, its_names = codes(values, column, named=True)
        if odd := next((name for name in its_names if AND in f"{name} "), None):
            value = odd.removeprefix(f"{column}=")
            raise ValueError(f"the value {value!r} of {column!r} holds ' & ', which joins attributes; write 'and'")
        found.append(each)
        names.append(its_names)
    grid = np.stack(found)
    known = (grid >= 0).all(0)
    combinations, places = np.unique(grid[:, known], axis=1, return_inverse=True)
    if combinations.shape[1] > MOST:
        what = f"{', '.join(columns)} have {combinations.shape[1]:,} different combinations"
        raise ValueError(f"{what}, and {MOST:,} are allowed; choose fewer columns, or put their values into bins")
    codes_ = np.full(grid.shape[1], -1)
    codes_[known] = places.reshape(-1)
    return codes_, tuple(AND.join(of[i] for of, i in zip(names, each)) for each in combinations.T)


def apart(names: Sequence[str]) -> dict[str, tuple[tuple[str, ...], list[int]]]:
    """For each of the attributes that were crossed, the names of its values ("sex=male"), and which of them each
    combination has; {} for the names of one attribute."""
    rows = [name.split(AND) for name in names]
    columns = [tuple(part.partition("=")[0] for part in row if "=" in part) for row in rows]
    (first, *_), several = columns, len(rows[0])
    if several < 2 or set(columns) != {first} or len(set(first)) < several or any(len(row) != several for row in rows):
        return {}
    found = {}
    for column, parts in zip(first, zip(*rows)):
        values = tuple(dict.fromkeys(parts))
        found[column] = values, [values.index(part) for part in parts]
    return found


def merged(counts: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Counts of combinations, int [n_combinations, ...], as those of one attribute's values, [n_values, ...]; `apart`
    says which places they have."""
    sums = np.zeros((max(places) + 1, *counts.shape[1:]), int)
    np.add.at(sums, places, counts)
    return sums


def in_words(names: Sequence[str]) -> str:
    """ "3 attributes", or "6 combinations of sex & age"."""
    several = AND.join(apart(names))
    return f"{len(names)} combinations of {several}" if several else f"{len(names)} attributes"


def plain(value: Any) -> Hashable:
    """A label or an attribute as a text or a number."""
    if hasattr(value, "item") and getattr(value, "size", 1) != 0:
        try:
            value = value.item()
        except (ValueError, RuntimeError):
            pass
    if isinstance(value, (str, bool, int)) or isinstance(value, float) and value == value:
        return int(value) if isinstance(value, bool) else value
    raise TypeError(
        f"a label or an attribute is {shown(value)}; give a text or a number for each item: take apart in the dataset "
        "what holds several, and one-hot labels by argmax(); soft labels come afterwards, by data.soften"
    )


def listed(name: str, given: Any) -> list[Any]:
    """A list, an array, a tensor or a column as a list."""
    if isinstance(given, Mapping) and name.endswith("names"):
        given = [given[number] for number in sorted(given)]  # id2label
    if (
        isinstance(given, (str, Mapping, set, frozenset))
        or not hasattr(given, "__len__")
        or getattr(given, "ndim", 1) != 1
    ):
        raise TypeError(f"{name} is {kind_of(given)}; give a list with one value for each, in their order")
    return list(given)
