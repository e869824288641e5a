"""Exercises of lecture 03."""

from __future__ import annotations

import dataclasses

import torch

from ... import data, models
from ...methods.hard_mining import hardest, score
from ...training import train
from ..exercises import Exercise, differs
from .measurements import noisy_digits


def _worst_mean(losses, share):
    keep = max(1, round(share * len(losses)))
    return losses.sort(descending=True).values[:keep].mean()


def _try_worst_mean(answer):
    losses = torch.tensor([0.1, 0.4, 2.5, 0.2])
    got = answer(losses, 0.5)
    if got is None:
        return "your function returns None; return a number"
    if not differs(got, 2.9 / 4):
        return "divide by the number of samples that are kept, not by all"
    if differs(got, 1.45):
        return f"of 0.1, 0.4, 2.5 and 0.2 the highest half is 2.5 and 0.4; their mean is not {float(got):.3f}"
    if differs(answer(losses, 0.4), 1.45):
        return "right for one half; of 0.4 · 4 = 1.6 samples keep two, the nearest whole number"
    if differs(answer(losses, 1.0), losses.mean()):
        return "right for one half; with share 1 it should be the plain mean"
    if differs(answer(losses, 0.01), 2.5):
        return "right for one half; keep at least one sample, however small the share"
    return None


worst_mean = Exercise(
    "Sort the losses from high to low, keep the first of them, and take their mean: over those that you kept.",
    _worst_mean,
    _try_worst_mean,
)


def _bound(worst, share, group):
    return worst * max(1.0, share / group)


def _try_bound(answer):
    got = answer(0.3, 0.1, 0.2)
    if got is None:
        return "your function returns None; return a number"
    if differs(got, 0.3):
        return f"a group larger than the tenth has at most the tenth's mean: 0.3, not {float(got):.3f}"
    got = answer(0.3, 0.1, 0.025)
    if not differs(got, 0.3):
        return (
            "right for a large group; one of a fortieth may have all of the tenth's loss, on a quarter of its samples"
        )
    if differs(got, 1.2):
        return f"a group of a fortieth has at most four times the mean of the worst tenth: 1.2, not {float(got):.3f}"
    return None


bound = Exercise(
    "A small group could be all that is hard in the worst share: then its losses sum to what the share's do. By "
    "how many samples do you divide that now, and by how many before?",
    _bound,
    _try_bound,
)


def _wrong_labels(seen):
    grey = dataclasses.replace(seen, inputs=seen.inputs.amax(1, keepdim=True))  # the shape, without the colour
    model = train(models.mlp(grey), grey, epochs=10).model
    return hardest(score(model, grey.batch(torch.arange(len(grey)))), 300)


def _try_open_experiment(answer):
    seen, clean = noisy_digits(0).train, data.colored_digits(seed=0).train
    got = answer(seen)
    if got is None:
        return "your function returns None; return a tensor of 300 rows, at most"
    rows = torch.as_tensor(got).flatten().unique()
    if rows.is_floating_point() or not len(rows) or rows.min() < 0 or rows.max() >= len(seen):
        return f"rows are whole numbers from 0 to {len(seen) - 1}"
    if len(rows) > 300:
        return f"you suspect {len(rows)} digits; name 300 at most"
    wrong = seen.labels != clean.labels
    rare = (clean.labels != clean.attributes) & ~wrong
    found, accused = int(wrong[rows].sum()), int(rare[rows].sum())
    said = f"{found} of yours have a wrong label, and {accused} are rare digits with the right one"
    if found < 200:
        return f"{said}; find 200 of the wrong ones"
    return f"{said}; accuse 20 of the rare at most" if accused > 20 else None


open_experiment = Exercise(
    "A high loss says that label and image do not go together, and here colour is most of the image. What would the "
    "network have to see, so that a rare digit with the right label is easy for it?",
    _wrong_labels,
    _try_open_experiment,
)
