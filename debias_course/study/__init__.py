"""Methods × seeds on one data set: paired, in parallel, cached, one tidy table.

A seed decides the data's colours, the model's start and the batch order, and is the same for every method: so the
difference of two methods is taken seed by seed. A finished run is kept in the cache folder under a key made of the
configuration, the data, the start of the model and the code that computes it: the same run is never done twice, an
interrupted study continues where it stopped, and an edited method is measured anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from .. import models, training
from ..data import Splits
from ..method import Method
from .jobs import Job
from .results import AVERAGES as AVERAGES
from .results import METRICS as METRICS
from .results import Study as Study
from .seeds import Mean as Mean
from .seeds import far_from_the_others as far_from_the_others
from .seeds import mean_over_seeds as mean_over_seeds
from .seeds import parse_seeds as parse_seeds
from .seeds import point as point
from .workers import WorkerDied as WorkerDied
from .workers import in_workers as in_workers
from .workers import progress_bar as progress_bar
from .workers import run_all as run_all


def study(
    methods: Mapping[str, Method],
    data: Callable[..., Splits] | Splits,
    *,
    seeds: int | str | Sequence[int] = 5,
    model: Callable[..., torch.nn.Module] | Mapping[str, Callable[..., torch.nn.Module]] = models.mlp,
    device: torch.device | str | None = None,
    test_every_epoch: bool = False,
    n_jobs: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Study:
    """Run every method with every seed and test the selected models.

    methods   name -> method; the names appear in tables and pictures
    data      called as data(seed=s) -> Splits, or fixed Splits
    model     called as model(splits.train, seed=s); or one for each method, by its name
    test_every_epoch  then `Study.at` and `Study.by_epoch` know the test accuracy of shorter trainings, too; all have
              one constant learning rate, and none is stopped early
    n_jobs    worker processes: one for each core by default, or for each GPU; more of them share the GPUs.
              `joblib.parallel_config` chooses other places, such as a cluster with all its workers (see `clusters`;
              with threads, the runs go one by one)
    settings  as for `training.train`: epochs, batch_size, lr, weight_decay, select, schedule, patience

    Interrupted with Ctrl-C, it keeps every finished run: the same call goes on from there.
    """
    check_call(methods, data, model)
    settings = training.completed(settings, "study")
    if test_every_epoch:
        _check_shorter(settings)
    seeds = parse_seeds(seeds)
    device = str(training.pick_device(device))
    given = tuple(sorted(settings.items()))
    start = starts(model, methods)
    how: dict[str, Any] = dict(settings=given, device=device, test_every_epoch=test_every_epoch)
    jobs = [Job(n, m, data, start[n], s, **how) for s in seeds for n, m in methods.items()]
    with progress_bar(len(jobs), show=progress) as bar:
        records = run_all(jobs, bar, n_jobs=n_jobs)
    return Study(list(methods), methods, seeds, [dict(r, name=j.name) for j, r in zip(jobs, records)])


def check_call(methods: Any, data: Any, model: Any) -> None:
    """TypeError or ValueError for methods, data or a builder of models that cannot be those of a study."""
    if not isinstance(methods, Mapping) or not methods:
        raise TypeError(f'methods are {methods!r}; pass names and methods, such as {{"ERM": ERM(), "mine": Mine()}}')
    for name, method in methods.items():
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"{name!r} is no name for a method; use a word, which tables and pictures will show")
        if not isinstance(method, Method):
            raise TypeError(f"method {name!r} is {method!r}; pass an instance, such as ERM()")
    if not isinstance(data, Splits):
        takes(data, "data", Splits, "a function of seed, or Splits(train, validation, test)", seed=0)
    for build in starts(model, methods).values():
        _check_builder(build, data)


def _check_shorter(settings: Mapping[str, Any]) -> None:
    """ValueError where a long training holds no shorter ones."""
    remedy = "train for each length, without test_every_epoch"
    if settings["schedule"] != "constant":
        raise ValueError(
            f"schedule is {settings['schedule']!r}, so a shorter training has other learning rates from its first step "
            f"on, and none can be read out of a longer one; {remedy}"
        )
    if settings["patience"] is not None:
        raise ValueError(
            f"patience={settings['patience']} ends some trainings early, and test_every_epoch=True needs all their "
            f"epochs; leave patience out, or {remedy}"
        )


def starts(model: Any, methods: Mapping[str, Method]) -> dict[str, Callable[..., torch.nn.Module]]:
    """For each method the function that builds its start; TypeError where one is missing."""
    if not isinstance(model, Mapping):
        return dict.fromkeys(methods, model)
    if set(model) != set(methods):
        raise TypeError(f"model has starts for {', '.join(map(str, model))}; give one for each of {', '.join(methods)}")
    return dict(model)


def _check_builder(model: Any, data: Any) -> None:
    if isinstance(model, torch.nn.Module):
        raise TypeError(
            f"model is one {type(model).__name__}, and every seed needs a start of its own; pass a function such as "
            "models.mlp, or lambda data, seed: copy.deepcopy(model) to start from that one always"
        )
    takes(
        model,
        "model",
        torch.nn.Module,
        "a function such as models.mlp, called as model(data.train, seed=0)",
        data,
        seed=0,
    )


def takes(function: Any, name: str, kind: type, wanted: str, *given: Any, **named: Any) -> None:
    """TypeError where `function` is none, or cannot be called like this."""
    if not callable(function) or isinstance(function, type) and issubclass(function, kind):
        raise TypeError(f"{name} is a {type(function).__name__}; pass {wanted}")
    try:
        inspect.signature(function).bind(*given, **named)
    except TypeError as error:
        raise TypeError(f"{name} cannot be called with what it is given ({error}); pass {wanted}") from None
    except ValueError:  # it does not tell what it takes
        pass
