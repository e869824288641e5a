"""For whom does a model fail that `debias-course train` has left?

    found, predictions = audit_trained("my-images", "run")

The network, its size, the window and the colours are those of the training, and so are the columns, unless others are
named: another attribute asks the same model for whom else it fails, and another folder how it does elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.folder import image_part
from ..large.left import loaded
from ..training import pick_device
from . import Audit, answers, count

if TYPE_CHECKING:
    import pandas as pd


def audit_trained(
    folder: str | Path,
    model: str | PathLike[str],
    *,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | None = None,
    broken: str = "refuse",
) -> tuple[Audit, pd.DataFrame]:
    """Audit the model in the folder `model` on the images of one split ("train", "validation", "test", or "all"), and
    its predictions as a table: image, prediction, probability, as `audit_predictions` reads it. `columns`, `label`,
    `attribute` and `broken` are those of `image_folder`. Raises what `loaded` and `image_part` raise, and ValueError
    where the folder has other labels than the model, or the model takes no square images."""
    import pandas as pd

    found = loaded(model)
    if len(found.shape) != 3 or found.shape[0] not in (1, 3) or found.shape[1] != found.shape[2]:
        what = f"the model in {model} takes inputs {found.shape}, and images of a folder are [1 or 3, size, size]"
        raise ValueError(f"{what}; audit it in Python: audit(loaded({str(model)!r}).model, data)")
    given = dict(columns=columns, label=label, attribute=attribute)
    how: dict[str, Any] = {name: each for name, each in found.told.items() if name == "window" or not columns}
    how |= dict(size=found.shape[1], grey=found.shape[0] == 1)
    how |= {name: value for name, value in given.items() if value is not None}
    if "columns" in how:
        pairs = dict(how["columns"])  # as JSON keeps them
        how["columns"] = {part: column for part, column in pairs.items() if part != "weight"}  # of training
    labels = found.label_names
    data, files = image_part(folder, split, broken=broken, labels=labels, **how)
    predicted, sure = answers(found.model.to(pick_device()), data)
    audit = count(data.labels, data.attributes, predicted, labels, data.attribute_names, confidence=sure)
    names = [labels[each] for each in predicted]
    return audit, pd.DataFrame(dict(image=files, prediction=names, probability=sure))
