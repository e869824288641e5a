"""Exercises of lecture 07."""

from __future__ import annotations

import torch

from ... import models
from ...evaluation import predict
from ...methods import LossReweighting
from ...training import train
from ..exercises import Exercise, differs, no_method
from .exits import SMALL, digits


def _leaves_by(gates, threshold):
    opened = gates >= threshold
    opened[0], opened[-1] = False, True
    return opened.int().argmax(0)


def _try_leaves_by(answer):
    gates = torch.tensor([[0.9, 0.9, 0.9, 0.1], [0.2, 0.7, 0.4, 0.5], [0.3, 0.9, 0.6, 0.8], [0.1, 0.9, 0.2, 0.9]])
    got = answer(gates.clone(), 0.5)
    if got is None:
        return "your function returns None; return one exit per sample"
    got = torch.as_tensor(got)
    if got.shape != (4,):
        return f"return one exit for each of the 4 samples; yours has shape {list(got.shape)}"
    if not differs(got, [0, 0, 0, 1]):
        return "the first exit, number 0, is not used for predicting; leave it out"
    if not differs(got, [0, 1, 2, 1]):
        return "the first sample meets no open gate; it leaves through the last exit, 3"
    if not differs(got, [2, 0, 1, 0]):
        return "those are counted without exit 0; count it, though nobody leaves through it"
    if any(not differs(got, wrong) for wrong in ([2, 2, 2, 3], [3, 2, 2, 3], [3, 3, 2, 3])):
        return "a sample leaves through the first gate that is open, not by the widest or the last"
    if differs(got, [3, 1, 2, 1]):
        return (
            f"the samples leave through exits 3, 1, 2 and 1, not {got.tolist()}; a gate is open at the threshold, too"
        )
    if differs(answer(gates.clone(), 0.75), [3, 2, 3, 2]):
        return "right for a threshold of 0.5; at 0.75 they leave through exits 3, 2, 3 and 2"
    return None


leaves_by = Exercise(
    "Compare all gates with the threshold, shut the first, open the last, and look for the first open one: argmax of "
    "whole numbers finds it.",
    _leaves_by,
    _try_leaves_by,
)


def _kept_small(maps, label):
    own = maps[label]
    divergence = -torch.log_softmax(maps, 0).mean(0) - torch.log(torch.tensor(float(len(maps))))
    return torch.where(own > own.mean(), 0.0, divergence).mean()


def _try_kept_small(answer):
    maps = torch.stack([torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.zeros(2, 2)])
    got = answer(maps.clone(), 0)
    if got is None:
        return "your function returns None; return one number"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.numel() != 1:
        return f"return one number, the mean over all places; yours has shape {list(got.shape)}"
    got = float(got)
    for wrong, words in {
        0.929666: "you suppress every place; spare those where the label's map is above its mean",
        0.577332: "you suppress where the map is high; it should be where it is at most its mean",
        0.469778: "take the mean over all places, those that are spared counting as 0",
        0.872194: "subtract log C, so that a place that favours no class costs nothing",
        0.179047: "subtract log C before the places are spared, not after",
    }.items():
        if abs(got - wrong) < 1e-4:
            return words
    if abs(got + 0.352334) < 1e-4:
        return "the sign is the other way round; a place that favours a class should cost something"
    if differs(got, 0.352334, 1e-4):
        return f"for class 0 it is 0.3523, not {got:.4f}"
    if differs(answer(maps.clone(), 1), 0.929666, 1e-4):
        return "right for class 0; for class 1, whose map is constant, it is 0.9297"
    return None


kept_small = Exercise(
    "At each place: minus the mean over classes of log_softmax, minus log C. Zero where the label's map is above its "
    "mean; then the mean over all places.",
    _kept_small,
    _try_kept_small,
)


def _better_than_an_occam_net():
    return LossReweighting(smooth=2.0)


def _try_open_experiment(answer):
    method = answer()
    if method is None:
        return "your function returns None; return a Method"
    if wrong := no_method(method):
        return wrong
    print("training ...", flush=True)
    splits = digits(0)
    run = train(models.staged(splits.train), splits.train, method, epochs=10, **SMALL)
    conflicting = splits.test.labels != splits.test.attributes
    right = predict(run.model, splits.test).argmax(1).cpu() == splits.test.labels
    share = float(right[conflicting].float().mean())
    print(f"of the conflicting digits {share:.2f} are right")
    return None if share > 0.82 else "it should be above 0.82"


open_experiment = Exercise(
    "With group labels it is not hard: LossReweighting, from debias_course.methods, with smooth=2.0 for groups of a "
    "single sample. "
    "Then try it without: which knob of OccamNets lets gates learn more of what they see?",
    _better_than_an_occam_net,
    _try_open_experiment,
)
