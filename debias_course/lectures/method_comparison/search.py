"""What lecture 10 compares, where, and how each method's setting is chosen before it is tested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ... import data, models
from ...comparison import SEARCH_SEED, Trial, candidates, mean_score
from ...data import Splits
from ...methods import (
    DANN,
    ERM,
    SMOTE,
    AdversarialTraining,
    BatchSampling,
    GroupDRO,
    HardMining,
    LossReweighting,
    Method,
    OverSampling,
    SpectralDecoupling,
    UnderSampling,
)
from ...study import Study, study

TRIALS, SEARCH_SEEDS = 5, tuple(SEARCH_SEED + i for i in range(3))
RULES = {"worst group": "validation-worst-group", "mean": "validation-mean"}
LONGEST, SHORT = 30, 10  # epochs, of which validation chooses one
ENOUGH = {"textures": 15}  # where accuracy rises sooner
SCHEDULED = ("DANN", "adversarial training", "SMOTE")  # whose course depends on the length: trained for each


def four_groups(seed: int, aligned_share: float = 0.95, wrong: float = 0.0) -> Splits:
    """Digits below five or not, in two colours; `wrong` is the share of training labels that are wrong."""
    splits = data.half_size(data.colored_digits(aligned_share=aligned_share, seed=seed))
    return splits._replace(train=data.mislabel(splits.train, wrong, seed=seed)) if wrong else splits


def textures(seed: int) -> Splits:
    return data.half_size(data.textured_digits(seed=seed))


def long_tail(seed: int) -> Splits:
    return data.half_size(data.long_tailed_digits(seed=seed))


DATA: dict[str, Callable[..., Splits]] = {
    "four groups": four_groups,
    "99 % aligned": partial(four_groups, aligned_share=0.99),
    "conv net": four_groups,
    "textures": textures,
    "long tail": long_tail,
}
NETWORKS = {"conv net": models.cnn}  # elsewhere one with a hidden layer
WRONG: dict[str, Callable[..., Splits]] = {f"wrong labels {w:g}": partial(four_groups, wrong=w) for w in (0.1, 0.2)}


def metric(where: str) -> str:
    """A hundred groups have ten test digits each, so that the worst of them is mostly chance."""
    return "group_balanced" if where in ("textures", "long tail") else "worst_group"


def rule(where: str) -> str:
    """What setting and epoch are chosen by, unless said."""
    return "worst group" if metric(where) == "worst_group" else "mean"


def balancing() -> dict[str, Method]:
    """Those that balance groups."""
    return {
        "re-weighting": LossReweighting(),
        "over-sampling": OverSampling(),
        "under-sampling": UnderSampling(),
        "balanced batches": BatchSampling(),
        "Group DRO": GroupDRO(),
    }


def others(epochs: int = 30) -> dict[str, Method]:
    """Plain training, and those that do not."""
    return {
        "plain": ERM(),
        "hard mining": HardMining(),
        "SMOTE": SMOTE() if epochs > 15 else SMOTE(warm_up=5),
        "spectral decoupling": SpectralDecoupling(),
        "adversarial training": AdversarialTraining(steps=3),  # more cost more
        "DANN": DANN(),
    }


def unaided() -> tuple[str, ...]:
    """Of the others, those that need no group or domain in training."""
    return tuple(n for n, each in others().items() if n != "plain" and each.needs != "attribute labels")


def longest(where: str) -> int:
    return ENOUGH.get(where, LONGEST)


def compared(where: str, epochs: int = 30) -> dict[str, Method]:
    """All that work there: DANN needs domains."""
    every = others(epochs) | balancing()
    return {name: each for name, each in every.items() if (name, where) != ("DANN", "long tail")}


def trials(name: str, epochs: int = 30) -> list[Trial]:
    """The settings that are tried, the default first; as many for each method."""
    method = (others(epochs) | balancing())[name]
    return candidates(Trial(name, method, lr=1e-3, weight_decay=0.0), TRIALS)


def length(name: str, where: str, epochs: int) -> int:
    """For how many epochs a method is trained where `epochs` are asked for: a long training holds shorter ones."""
    return epochs if name in SCHEDULED else longest(where)


def trained(of: Sequence[tuple[str, Trial]], where: str, epochs: int, seeds: Sequence[int]) -> Study:
    """One study of named trials that share learning rate, weight decay and length."""
    network = NETWORKS.get(where, models.mlp)
    methods = {name: trial.method for name, trial in of}
    how: dict[str, Any] = dict(lr=of[0][1].lr, weight_decay=of[0][1].weight_decay, epochs=epochs)
    return study(methods, (DATA | WRONG)[where], model=network, seeds=seeds, test_every_epoch=True, **how)


def search(where: str, epochs: int) -> dict[str, list[Study]]:
    """All trials of all methods on the seeds of the search: by name one study for each trial."""
    names = compared(where)
    alike: dict[tuple, list[tuple[str, int, Trial]]] = {}
    for name in names:
        for i, trial in enumerate(trials(name, epochs)):
            key = trial.lr, trial.weight_decay, length(name, where, epochs)
            alike.setdefault(key, []).append((name, i, trial))
    found: dict[str, list[Any]] = {name: [None] * TRIALS for name in names}
    for (_, _, run), members in alike.items():
        both = trained([(f"{n}, trial {i}", t) for n, i, t in members], where, run, SEARCH_SEEDS)
        for name, i, trial in members:
            records = [dict(r, name=name) for r in both.records if r["name"] == f"{name}, trial {i}"]
            found[name][i] = Study([name], {name: trial.method}, list(SEARCH_SEEDS), records)
    return found


def score(runs: Study, epochs: int, chosen_by: str) -> float:
    """What validation says of a trial, on average over the seeds of the search, at the epochs that it chose."""
    return mean_score(runs.at(epochs, RULES[chosen_by]).records, RULES[chosen_by])


def choice(found: Mapping[str, Sequence[Study]], epochs: int, chosen_by: str) -> list[dict[str, Any]]:
    """A row for each method: the trial that validation likes best, its score, and that of the defaults."""
    rows = []
    for name, runs in found.items():
        scores = [score(each, epochs, chosen_by) for each in runs]
        best = max(range(len(scores)), key=scores.__getitem__)
        trial = trials(name, epochs)[best]
        said = dict(setting=trial.setting or "defaults", lr=trial.lr, weight_decay=trial.weight_decay)
        rows.append(dict(method=name, trial=best, **said, score=scores[best], untried=scores[0]))
    return rows


def favourite(rows: Iterable[Mapping[str, Any]], names: Iterable[str], search: str = "a search") -> str:
    """The method that validation likes best, of those that are named."""
    of = [row for row in rows if row["method"] in names]
    return max(of, key=lambda row: row["untried" if search == "defaults" else "score"])["method"]


def concordance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Spearman's correlation of ranks, from -1 for the opposite order to 1 for the same; ties share their ranks."""
    import torch

    def centred(values: Sequence[float]) -> torch.Tensor:
        v = torch.tensor(values, dtype=torch.float64)
        ranks = (v[:, None] > v).double().sum(1) + (v[:, None] == v).double().sum(1) / 2
        return ranks - ranks.mean()

    one, other = centred(ours), centred(theirs)
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size else 0.0
