"""Method: where can one intervene?

A method is a small frozen dataclass of hyper-parameters. `training.train` asks it five questions, whose default
answers are plain empirical risk minimisation (ERM):

    model(model, data)         what is trained?                              the model
    start(model, data)         what has to be remembered from step to step?  an nn.Module, empty for ERM
    data(model, data, state)   what is trained on in this epoch?             the data
    batches(data, ...)         which samples form the batches of an epoch?   each once, in random order
    loss(model, batch, state)  what is minimised?                            the mean cross-entropy

Each field declares its range once, with `knob`; the widget, the command line and the list of methods read it there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import Batch, GroupedData


@dataclass(frozen=True)
class Knob:
    """The range of one hyper-parameter: low to high (`log`: on a logarithmic scale), or one of `choices`.

    `step` is how far a slider moves at a time; by default about a fiftieth of the range. `search` are the values that a
    search for good settings tries beside the default."""

    default: Any
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()
    step: float | None = None
    search: tuple[Any, ...] = ()
    help: str = ""

    def __post_init__(self):
        if not self.choices and (self.low is None or self.high is None):
            raise ValueError(f"a knob with default {self.default!r} has no range; give low and high, or choices")

    def check(self, name: str, value: Any) -> Any:
        """`value` in the default's type; ValueError with the legal range where it is not in it."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{name} is {value!r}; use one of {', '.join(map(repr, self.choices))}")
            return value
        try:
            number = type(self.default)(value)
            legal = self.low <= number <= self.high and number == value and not isinstance(value, bool)
        except (TypeError, ValueError, OverflowError):
            legal = False
        if not legal:
            kind = "a whole number" if isinstance(self.default, int) else "a number"
            raise ValueError(f"{name} is {value!r}; use {kind} from {self.low:g} to {self.high:g}")
        return number

    def range(self) -> str:
        """ "0 to 2", "0.001 to 1 (log)" or "group | label", for lists and labels."""
        return " | ".join(self.choices) or f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")


def knob(default: Any, **declaration: Any) -> Any:
    """A dataclass field with a declared range: `step_size: float = knob(0.01, low=1e-4, high=1.0, log=True)`."""
    return dataclasses.field(default=default, metadata={"knob": Knob(default, **declaration)})


@dataclass(frozen=True, kw_only=True)
class Method:
    """Plain empirical risk minimisation, and the base of every other method."""

    needs: ClassVar[str] = "nothing"  # which labels beyond the class label it reads in training

    def __post_init__(self):
        for name, declared in knobs(self).items():
            object.__setattr__(self, name, declared.check(f"{type(self).__name__}.{name}", getattr(self, name)))

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        """What is trained in place of `model`, a copy that may be changed; random layers start from the run's seed."""
        return model

    def start(self, model: nn.Module, data: GroupedData) -> nn.Module:
        """Running state, on the device of `data`. Buffers are saved, parameters are trained with the model's.

        The training loop adds `state.epoch`, from 1, `state.progress`, the share of all steps that are done, and
        `state.generator`, on the device and seeded."""
        return nn.Module()

    def data(self, model: nn.Module, data: GroupedData, state: nn.Module) -> GroupedData:
        """The samples of epoch `state.epoch`, on the device of `data`: fewer, more, or their embeddings."""
        return data

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """Index tensors, int64 on the CPU (so that every device sees the same), one per batch of at most batch_size;
        the same for the same seed and epoch, whatever was drawn before."""
        generator = epoch_generator(seed, epoch)
        return cut(torch.randperm(len(data), generator=generator), batch_size)

    def loss(self, model: nn.Module, batch: Batch, state: nn.Module) -> Tensor:
        """The scalar to minimise on one batch; may update `state`."""
        return sample_losses(model, batch).mean()


@dataclass(frozen=True, kw_only=True)
class ERM(Method):
    """min_θ (1/n) Σ_i ℓ(f_θ(x_i), y_i)

    Empirical risk minimisation (Vapnik 1992): every sample counts the same. ℓ is the cross-entropy.
    """


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A CPU generator for one epoch of one seed. (torch reads the lower 32 bits of a seed only.)"""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**32)


def cut(indices: Tensor, batch_size: int) -> Sequence[Tensor]:
    """The fewest parts of at most `batch_size`, of equal size to within 1, so that no small one is left over."""
    return indices.tensor_split(math.ceil(len(indices) / batch_size))


def sample_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of each sample, [B], in nats."""
    return F.cross_entropy(model(batch.inputs), batch.labels, reduction="none")


def knobs(method: Method | type[Method]) -> dict[str, Knob]:
    """The declared hyper-parameters of a method, by name."""
    return {f.name: f.metadata["knob"] for f in dataclasses.fields(method) if "knob" in f.metadata}


def method_name(method: Method | type[Method]) -> str:
    """The name on the command line: LossReweighting -> loss-reweighting, GroupDRO -> group-dro."""
    kind = method if isinstance(method, type) else type(method)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()
