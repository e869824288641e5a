"""Exercises of lecture 11."""

from __future__ import annotations

import torch

from ... import models
from ...evaluation import predict
from ...methods import LearnedMixin, ProductOfExperts, ReBias
from ...training import train
from ..exercises import Exercise, differs, no_method
from .bench import SETTINGS, ground_digits


def _product_losses(model, partner, labels):
    together = torch.log_softmax(model + partner, 1)
    return -together[range(len(labels)), labels]


def _try_product_losses(answer):
    model, partner = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.8, 0.2]]).log(), torch.tensor([[0.4, 0.6]] * 3).log()
    got = answer(model.clone(), partner.clone(), torch.tensor([0, 0, 1]))
    if got is None:
        return "your function returns None; return one loss per sample"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.shape != (3,):
        return f"return one loss for each of the 3 samples, no mean; yours has shape {list(got.shape)}"
    for wrong, words in {
        (0.223144, 0.693147, 1.609438): "that is the model's own loss; the partner is not in it",
        (0.510826, 0.798508, 0.916291): "you average the two probabilities; multiply them, and divide by the sum",
        (1.139434, 1.609438, 2.120264): "divide the products by their sum over the classes",
    }.items():
        if not differs(got, wrong, 1e-4):
            return words
    if differs(got, [0.318454, 0.916291, 1.299283], 1e-4):
        numbers = ", ".join(f"{each:.4f}" for each in got)
        return f"experts (0.8, 0.2) and (0.4, 0.6) make 8/11 and 3/11: losses 0.3185, 0.9163, 1.2993, not {numbers}"
    if differs(answer(3 + model, partner - 2, torch.tensor([0, 0, 1])), got, 1e-4):
        return "right for log-probabilities; a number added to all logits of a sample should change nothing"
    return None


product_losses = Exercise(
    "Multiplying probabilities is adding logits. Add them, take log_softmax over the classes, and pick minus the entry "
    "of the label.",
    _product_losses,
    _try_product_losses,
)


def _precision_and_recall(pointed_at, conflicting):
    both = (pointed_at & conflicting).sum()
    return float(both / pointed_at.sum().clamp(min=1)), float(both / conflicting.sum().clamp(min=1))


def _try_precision_and_recall(answer):
    pointed_at = torch.tensor([True, True, True, True, False, False])
    conflicting = torch.tensor([True, False, False, False, True, False])
    got = answer(pointed_at.clone(), conflicting.clone())
    if got is None:
        return "your function returns None; return two numbers"
    if isinstance(got, (int, float)) or getattr(got, "ndim", 1) == 0:
        return "return two numbers, precision and recall; yours is one"
    got = [float(each) for each in got]
    if len(got) != 2:
        return f"return two numbers, precision and recall; yours are {len(got)}"
    if not differs(got, [0.5, 0.25]):
        return "those are recall and precision; the other way round"
    if differs(got, [0.25, 0.5]):
        return f"of four pointed at one is conflicting, of two conflicting one is pointed at: 0.25, 0.5, not {got}"
    nobody = [float(each) for each in answer(torch.zeros(6).bool(), conflicting.clone())]
    if differs(nobody, [0.0, 0.0]):
        return "right; but where nobody is pointed at, both should be 0, and not 0 / 0"
    return None


precision_and_recall = Exercise(
    "Count those who are both; divide once by the number of those pointed at and once by the number of conflicting.",
    _precision_and_recall,
    _try_precision_and_recall,
)


def _without_a_product():
    return ReBias(strength=100.0)


def _try_open_experiment(answer):
    method = answer()
    if method is None:
        return "your function returns None; return a Method"
    if wrong := no_method(method):
        return wrong
    if isinstance(method, (ProductOfExperts, LearnedMixin)):
        return "leave out the product of experts and its sibling; can another do it?"
    if method.needs != "nothing":
        return f"it needs {method.needs}; do without"
    print("training ...", flush=True)
    splits = ground_digits(0, 0.997)
    run = train(models.staged(splits.train), splits.train, method, epochs=10, **SETTINGS)
    conflicting = splits.test.attributes == 1
    right = predict(run.model, splits.test).argmax(1).cpu() == splits.test.labels
    share = float(right[conflicting].float().mean())
    print(f"of the conflicting digits {share:.2f} are right")
    return None if share > BAR else f"it should be above {BAR}"


BAR = 0.15

open_experiment = Exercise(
    "Ten digits of three thousand conflict. A penalty that is as strong as in a paper may be far too weak here. Try "
    "strengths of ReBias that are ten times apart.",
    _without_a_product,
    _try_open_experiment,
)
