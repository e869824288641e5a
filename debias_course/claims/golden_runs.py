"""The golden runs of `golden`: a few steps on a few samples each, from starts that depend on no other part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from .. import contexts, evaluation, methods, models, training
from ..data import GroupedData, Splits, biases, changes, toys, two_biases
from ..method import sample_losses
from ..methods import (
    METHODS,
    Knob,
    Method,
    adversarial_training,
    dann,
    group_dro,
    hard_mining,
    knobs,
    method_name,
    occam_nets,
    smote,
)
from ..methods.spectral_decoupling import ColoredMNISTDecoupling, single_logit
from ..study import Study, mean_over_seeds
from .golden_studies import OF_STUDIES


@dataclass(frozen=True)
class Golden:
    """A small run: its numbers, and the functions or classes whose behaviour they show (none: everyone rests on it)."""

    run: Callable[[], Iterable[float]]
    of: tuple[Any, ...] = ()


def points(n: int = 64) -> GroupedData:
    """Four unequal groups in a plane, float [n, 2]."""
    generator = torch.Generator().manual_seed(17)
    groups = (torch.arange(n) * 7 % 16).clamp(max=15)
    groups = torch.bucketize(groups, torch.tensor([6, 8, 10]))  # 7, 2, 2 and 5 of 16
    centers = torch.stack([groups % 2, groups // 2], 1) * 2.0 - 1
    inputs = centers + 0.6 * torch.randn(n, 2, generator=generator)
    return GroupedData(inputs, groups // 2, groups % 2, ("no", "yes"), ("left", "right"))


def images(n: int = 64) -> GroupedData:
    """The same as images, uint8 [n, 2, 8, 8]."""
    plane, generator = points(n), torch.Generator().manual_seed(18)
    noise = torch.rand(n, 2, 8, 8, generator=generator)
    inputs = (60 * noise + 40 * (cast(Tensor, plane.inputs)[:, :, None, None] + 2.5).clamp(0, 4.5)).to(torch.uint8)
    return replace(plane, inputs=inputs)


def waves(n: int, phase: float = 0.0) -> Tensor:
    """Numbers that are all different, float64 [n]."""
    return torch.cos(torch.arange(n, dtype=torch.float64) * 0.7 + phase)


def told(values: Tensor) -> list[float]:
    """Numbers that say where the values [N, ...] are and in which order."""
    flat = values.detach().cpu().double().reshape(len(values), -1)
    rows = flat @ waves(flat.shape[1])
    return [float(flat.sum()), float(rows.sum()), float(rows @ waves(len(rows), 0.3)), float(rows.norm())]


def weights(model: nn.Module) -> list[float]:
    """Three numbers of all parameters and statistics of a network."""
    flat = torch.cat([value.double().flatten() for value in model.state_dict().values()])
    return [float(flat.norm()), float(flat @ waves(len(flat))), float(flat @ waves(len(flat), 1.0))]


def recipe(build: Callable[..., Splits | GroupedData]) -> list[float]:
    """What a recipe makes of seed 3."""
    made = build(seed=3)
    parts: Any = made if isinstance(made, Splits) else [made]
    return [each for part in parts for x in (part.inputs, part.labels, part.attributes) for each in told(x)]


def network(build: Callable[..., nn.Module], on: Callable[[], GroupedData]) -> list[float]:
    """The start of a network and what it says of a few samples."""
    part = on()
    with torch.no_grad():
        model = build(part, seed=3).eval()
        return [*weights(model), *told(model(part.batch(torch.arange(len(part))).inputs))]


def trained(method: Method, *, epochs: int = 3, **how: Any) -> list[float]:
    """Losses and final weights of a short training: on points, or on images where the method needs a network with
    stages."""
    part, start = points(), models.mlp(points(), hidden=(8,), seed=1)
    try:
        method.model(copy.deepcopy(start), part)
    except ValueError:
        part, start = images(), models.staged(images(), widths=(4, 6), seed=1)
    usual: dict[str, Any] = dict(epochs=epochs, batch_size=16, lr=0.02, optimizer="sgd", seed=2, device="cpu")
    run = training.train(start, part, method, **(usual | how))
    return [*(row["loss"] for row in run.records), *weights(run.model)]


# settings in which a knob does something that does nothing at the others' defaults
TOGETHER: dict[str, list[dict[str, Any]]] = {
    "over-sampling": [dict(counts=(10, 20, 30, 4)), dict(repeats="random", counts=(10, 20, 30, 4))],
    "under-sampling": [dict(counts=(10, 5, 8, 4))],
    "batch-sampling": [dict(shares=(0.5, 0.125, 0.125, 0.25))],
    "input-smote": [dict(counts=(50, 60))],
    "group-dro": [dict(adjustments=(1.0, 2.0, 0.0, 3.0), step_size=1.0)],
    "spectral-decoupling": [dict(strength=1.0, offsets=(1.0, -1.0), variant="true", per_class=True)],
    "adversarial-training": [dict(norm="L2", radius=1.0, ramp=0.0)],
    "dann": [dict(conditional=True, sampling="groups", schedule="constant"), dict(labelled="first domain", layer="0")],
}


def variants(kind: type[Method]) -> dict[str, Method]:
    """A method with its defaults, with every knob at every other choice or at another number, and in the settings of
    TOGETHER."""
    short = {"warm_up": 1} if "warm_up" in knobs(kind) else {}  # what comes after it, too
    settings: list[dict[str, Any]] = [{}]
    for name, knob in knobs(kind).items():
        others = [2] if name in short else knob.choices or (another(knob),)
        settings += [{name: value} for value in others if value != knob.default]
    settings += TOGETHER.get(method_name(kind), [])
    return {"".join(f" {name}={value}" for name, value in each.items()): kind(**(short | each)) for each in settings}


def another(knob: Knob) -> float:
    """A number that is not the default: the first that a search tries, or the middle between the default and an end."""
    end = knob.high if knob.default < knob.high else knob.low
    middle = (knob.default + end) / 2
    return knob.search[0] if knob.search else type(knob.default)(middle)


def optimised(optimizer: str) -> list[float]:
    """Plain training with weight decay."""
    return trained(methods.ERM(), optimizer=optimizer, weight_decay=0.1, lr=0.01)


def selected(rule: str) -> list[float]:
    """What a rule says of a report, and whether the epoch that it takes is the first that is best on validation."""
    report = evaluation.GroupReport((8, 1, 5, 9), (10, 5, 10, 10), ("a", "b"), ("x", "y"), (40, 3, 4, 53))
    part, score = points(), training.SELECT[rule]
    how: dict[str, Any] = dict(epochs=8, batch_size=16, lr=0.1, optimizer="sgd", seed=2, device="cpu")
    run = training.train(models.mlp(part, hidden=(8,), seed=1), part, validation=points(96), select=rule, **how)
    if score is None:
        return [float(run.epoch)]
    scores = []
    for epoch in range(1, 9):
        correct, n = zip(*((row["correct"], row["n"]) for row in run.records if row["epoch"] == epoch))
        scores.append(score(evaluation.GroupReport(correct, n, ("no", "yes"), ("left", "right"))))
    return [score(report), float(run.epoch == 1 + scores.index(max(scores))), float(max(scores) > min(scores))]


def averages() -> list[float]:
    """Every average of a report, with its interval; one from a model and one by hand."""
    part = points()
    by_hand = evaluation.GroupReport((8, 1, 5, 9), (10, 5, 10, 10), ("a", "b"), ("x", "y"), (140, 9, 4, 3))
    measured = evaluation.evaluate(models.linear(part, seed=1), part, train=part)
    names = ("overall", "group_balanced", "worst_group", "worst_class", "train_weighted")
    shares = [getattr(measured, name) for name in names]
    shares += [getattr(by_hand, name) for name in (*names, "many_shot", "few_shot")]
    return [float(each) for share in shares for each in share]


def statistics() -> list[float]:
    """Means, paired differences and ranks of a study that is made up."""
    grid = dict(label_names=["a", "b"], attribute_names=["x"], n=[50, 50], train_n=[90, 10])
    right = {"one": (30, 33, 31, 36), "two": (40, 44, 39, 47), "three": (41, 43, 42, 44)}
    records = [
        dict(name=name, seed=seed, report=dict(grid, correct=[45, value]))
        for name, values in right.items()
        for seed, value in enumerate(values)
    ]
    made = Study(list(right), {}, [0, 1, 2, 3], records)
    ranks = [float(end) for ends in made.ranks().values() for end in ends]
    means = (mean_over_seeds([0.2, 0.5, 0.35]), made.mean("two"), made.difference("two", "one", level=0.99))
    return [float(each) for mean in means for each in (mean.value, mean.low, mean.high)] + ranks


def intervals() -> list[float]:
    """Intervals of values that a t interval does not carry: one seed apart, and seeds that all agree."""
    means = (mean_over_seeds([0.8, 0.81, 0.79, 0.805, 0.2]), mean_over_seeds([0.0] * 5, trials=94))
    return [float(each) for mean in means for each in (mean.value, mean.low, mean.high, mean.apart)]


def attacked() -> list[float]:
    """Accuracy under attack, and attacked images."""
    part = images()
    model = models.mlp(part, hidden=(8,), seed=1)
    how: dict[str, Any] = dict(radius=0.05, steps=5, random_start=True, seed=3)
    reports = [adversarial_training.robust_evaluate(model, part, norm=norm, **how) for norm in ("max", "L2")]
    generator = torch.Generator().manual_seed(3)
    batch = part.batch(torch.arange(16))
    moved = adversarial_training.attack(model, batch.inputs, batch.labels, radius=0.05, steps=3, generator=generator)
    return [*(float(each) for report in reports for each in report.correct), *told(moved)]


def mined() -> list[float]:
    """The hardest of a batch, others drawn by their losses with their chances, and scores."""
    part, losses = points(), (waves(40) + 1.5).float()
    model = models.linear(part, seed=1)
    scores = hard_mining.score(model, part.batch(torch.arange(20)))
    drawn, chance = hard_mining.drawn_by_loss(losses, 9, generator=torch.Generator().manual_seed(3))
    return [*told(hard_mining.hardest(losses, 9)), *told(drawn), *told(chance), *told(scores)]


def read_domains() -> list[float]:
    """What a probe reads of the domain, and how often the discriminator is right about it."""
    part = replace(points(200), split="")
    method, model = dann.DANN(), models.mlp(part, hidden=(8,), seed=1)
    state = training.train(model, part, method, epochs=2, batch_size=50, seed=1, device="cpu").state
    shares = (dann.probe(model, part, part), dann.fooled(method, model, state.cpu(), part))
    return [share.value for share in shares]


def exits() -> list[float]:
    """Logits and gates of all exits, and where samples leave."""
    part = images()
    with contexts.isolated_randomness(4):
        model = methods.OccamNets().model(models.staged(part, widths=(4, 6, 8), seed=1), part).eval()
    said = occam_nets.ask_exits(model, part)
    leave = occam_nets.leave_by(torch.stack([waves(12, phase).float() for phase in (0.0, 1.0, 2.0, 3.0)]), 0.5)
    return [*told(said.logits), *told(said.gates), *told(leave)]


def enlarged() -> list[float]:
    """New samples, where they start, and how many lie among others."""
    part = points(40)
    new, start = smote.smote(cast(Tensor, part.inputs), part.groups, generator=torch.Generator().manual_seed(3))
    astray = smote.among_others(new, part.labels[start], cast(Tensor, part.inputs), part.labels)
    return [*told(new), *told(start), float(astray.sum())]


def group_losses() -> list[float]:
    """The losses of samples, and their means by group."""
    part = points()
    losses = sample_losses(models.linear(part, seed=1), part.batch(torch.arange(64)))
    return [*told(losses), *told(group_dro.group_means(losses, part.groups, 4)[0])]


def _goldens() -> dict[str, Golden]:
    found = {f"training {name}": Golden(partial(optimised, name)) for name in training.OPTIMIZERS}
    found |= {f"selection {rule}": Golden(partial(selected, rule)) for rule in training.SELECT}
    found |= {"evaluation": Golden(averages), "statistics": Golden(statistics), "intervals": Golden(intervals)}
    digits: Any = {"2": dict(classes=2), "10": dict(classes=10)}
    digits["background"] = dict(where="background", aligned_share=0.8)
    recipes: dict[str, tuple[Any, Mapping[str, dict]]] = dict(
        colored_digits=(biases.colored_digits, digits),
        textured_digits=(biases.textured_digits, {"10": dict(classes=10)}),
        long_tailed_digits=(biases.long_tailed_digits, {"": {}}),
        domain_digits=(biases.domain_digits, {"": {}}),
        two_sided_digits=(two_biases.two_sided_digits, {"": {}}),
        colored_mnist=(biases.colored_mnist, {"": {}}),
    )
    recipes |= {name: (getattr(toys, name), {"": {}}) for name in ("shortcut", "imbalanced", "islands", "moons")}
    recipes |= dict(core_and_spurious=(toys.core_and_spurious, {"": dict(n=200, dimensions=10)}))
    for name, (build, settings) in recipes.items():
        for which, how in settings.items():
            found[f"{name} {which}".strip()] = Golden(partial(recipe, partial(build, **how)), (build,))
    smaller = partial(recipe, lambda seed: changes.half_size(Splits(images(), images(48), images(32))))
    found["half_size"] = Golden(smaller, (changes.half_size,))
    found["thin"] = Golden(partial(recipe, lambda seed: changes.thin(points(), (1.0, 0.4), seed=seed)), (changes.thin,))
    wrong = partial(recipe, lambda seed: changes.mislabel(points(), 0.2, seed=seed))
    found["mislabel"] = Golden(wrong, (changes.mislabel,))
    for name, build in models.MODELS.items():
        small: dict[str, Any] = {"resnet18": dict(width=4, stem="small")}.get(name, {})
        on = points if name in ("mlp", "linear") else images
        found[name] = Golden(partial(network, partial(build, **small), on), (build,))
    found["single_logit"] = Golden(partial(network, single_logit, points), (single_logit,))
    for name, kind in METHODS.items():
        for variant, method in variants(kind).items():
            found[name + variant] = Golden(partial(trained, method), (kind,))
    long: dict[str, Any] = dict(epochs=120, lr=1e-3)  # beyond its switch
    for variant, method in variants(ColoredMNISTDecoupling).items():
        found[f"colored-mnist-decoupling{variant}"] = Golden(partial(trained, method, **long), (type(method),))
    found["attack"] = Golden(attacked, (adversarial_training.attack, adversarial_training.robust_evaluate))
    found["mining"] = Golden(mined, (hard_mining.hardest, hard_mining.score, hard_mining.drawn_by_loss))
    found["domains"] = Golden(read_domains, (dann.probe, dann.fooled))
    found["exits"] = Golden(exits, (occam_nets.ask_exits, occam_nets.leave_by))
    found["smote new samples"] = Golden(enlarged, (smote.smote, smote.among_others))
    found["group losses"] = Golden(group_losses, (group_dro.group_means, sample_losses))
    return found | {name: Golden(*each) for name, each in OF_STUDIES.items()}


GOLDEN = _goldens()
