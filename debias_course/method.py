"""Method: where can one intervene?

A method is a small frozen dataclass of hyper-parameters. `training.train` asks it seven questions, whose default
answers are plain empirical risk minimisation (ERM):

    model(model, data)                     what is trained?                              the model
    start(model, data)                     what has to be remembered from step to step?  a State, empty for ERM
    parameters(model, state)               which parameters move, and how fast?          all, at the run's learning rate
    data(model, data, state)               what is trained on in this epoch?             the data
    batches(data, ...)                     which samples form the batches of an epoch?   each once, in random order
    step(model, batch, state, optimizer)   what is an update?                            one step down the loss
    loss(model, batch, state)              what is minimised?                            the mean cross-entropy

Where another training comes first, such as that of a biased partner, `model` or `start` calls `stages.stage`, which
runs it once and keeps it for all methods that start from it.

Each field declares its range once, with `knob`; the widget, the command line and the list of methods read it there.
A field of one number per group or class is declared with `several`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from .checks import LARGEST, choice, flag, number, numbers, plain
from .data import Batch, GroupedData

if TYPE_CHECKING:
    from typing_extensions import Self


OVERRIDES = ("takes", "loss", "data", "step")  # the first has to be said anew with one of the others


@dataclass(frozen=True)
class Knob:
    """The range of one hyper-parameter: low to high (`log`: on a logarithmic scale), or one of `choices`. A
    yes or no, `knob(False)`, has True and False for choices.

    `step` is how far a slider moves at a time; by default about a fiftieth of the range. `search` are the values that a
    search for good settings tries beside the default. `label` is what a reader calls it, with its unit; by default the
    name of the field."""

    default: Any
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] | tuple[bool, ...] = ()
    step: float | None = None
    search: tuple[Any, ...] = ()
    help: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.default, bool):
            object.__setattr__(self, "choices", (True, False))
        if not self.choices and (self.low is None or self.high is None):
            raise ValueError(f"a knob with default {self.default!r} has no range; give low and high, or choices")

    def check(self, name: str, value: Any) -> Any:
        """`value` in the default's type; ValueError with the legal range where it is not in it."""
        if isinstance(self.default, bool):
            return flag(name, value)
        if self.choices:
            return choice(name, value, self.choices)
        whole, value = isinstance(self.default, int), plain(value)
        if whole and isinstance(value, float) and value.is_integer():
            value = int(value)
        assert self.low is not None and self.high is not None  # as __post_init__ has seen to
        return number(name, value, self.low, self.high, whole=whole)

    def range(self) -> str:
        """ "0 to 2", "0.001 to 1 (log)", "group | label" or "True | False", for lists and labels."""
        return " | ".join(map(str, self.choices)) or f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")


def knob(default: Any, **declaration: Any) -> Any:
    """A dataclass field with a declared range: `step_size: float = knob(0.01, low=1e-4, high=1.0, log=True)`."""
    return dataclasses.field(default=default, metadata={"knob": Knob(default, **declaration)})


def several(per: str, *, low: float = -LARGEST, whole: bool = False) -> Any:
    """A dataclass field with one number for each of what `per` names, () by default; a list, an array or a tensor
    becomes a tuple: `counts: tuple[int, ...] = several("population", low=0, whole=True)`."""
    return dataclasses.field(default=(), metadata={"several": dict(per=per, low=low, whole=whole)})


class State(nn.Module):
    """What a method remembers from step to step, and what the training loop tells it.

    epoch      under way, from 1; `start` sets a later one where a stage has spent the epochs before
    progress   the share of all steps that are done, from 0
    generator  on the device, seeded by the run

    Buffers are moved and saved, parameters are trained with the model's unless `Method.parameters` says otherwise, and
    optimisers of a method's own are saved with what they remember. All else is for onlookers (`train(on_step=...)`).
    """

    def __init__(self, **buffers: Tensor):
        super().__init__()
        self.epoch, self.progress = 1, 0.0
        self.generator: torch.Generator | None = None
        for name, values in buffers.items():
            self.register_buffer(name, values)

    if TYPE_CHECKING:  # what a method keeps has whatever type it gave it

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def begin(self, *, seed: int = 0, device: torch.device | str = "cpu", progress: float = 0.0) -> Self:
        """As the training loop hands it to the first step."""
        self.generator, self.progress = torch.Generator(device).manual_seed(seed), progress
        return self

    def get_extra_state(self) -> dict[str, Any]:
        inner = {name: each.state_dict() for name, each in vars(self).items() if isinstance(each, Optimizer)}
        drawn = None if self.generator is None else self.generator.get_state()
        return dict(epoch=self.epoch, progress=self.progress, generator=drawn, optimizers=inner)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.progress = state["epoch"], state["progress"]
        if state["generator"] is not None:
            self.generator = self.generator or torch.Generator()
            self.generator.set_state(state["generator"])
        for name, kept in state["optimizers"].items():
            getattr(self, name).load_state_dict(kept)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Plain empirical risk minimisation, and the base of every other method. The hooks behind `model` get the network
    that it returned."""

    @property
    def needs(self) -> str:
        """Which labels beyond the class label it reads in training."""
        return "nothing"

    @property
    def takes(self) -> tuple[str, ...]:
        """Which samples it can train on beside those with a label each: "targets", where the cross-entropy is taken
        against `Batch.targets`, and "unlabelled", where it does without labels. Others are refused, so that nothing is
        passed over in silence: a class with a `loss`, `data` or `step` of its own says anew what it `takes` (`taken`).
        """
        return ("targets",)

    @property
    def first_epoch(self) -> int:
        """From which epoch it does more than train plainly."""
        return 1

    def __post_init__(self) -> None:
        _refuse_unused(type(self))
        for field in dataclasses.fields(self):
            name, value = f"{type(self).__name__}.{field.name}", getattr(self, field.name)
            if "knob" in field.metadata:
                object.__setattr__(self, field.name, field.metadata["knob"].check(name, value))
            elif "several" in field.metadata:
                object.__setattr__(self, field.name, numbers(name, value, **field.metadata["several"]))

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        """What is trained in place of `model`, a copy that may be changed; new layers start from the run's seed."""
        return model

    def start(self, model: Any, data: GroupedData) -> State:
        """What is remembered, on the device of `data`; layers of its own are built in `contexts.fresh_layers`."""
        return State()

    def parameters(self, model: Any, state: State) -> list[dict[str, Any]]:
        """Groups of what the run's optimiser moves: dict(params=...), and `lr`, relative to the run's, where it is not
        1."""
        return [dict(params=[*model.parameters(), *state.parameters()])]

    def data(self, model: Any, data: GroupedData, state: State) -> GroupedData:
        """The samples of epoch `state.epoch`, on the device of `data`: fewer, more, or their embeddings."""
        return data

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """Index tensors, int64 on the CPU (so that every device sees the same), one per batch of at most batch_size;
        the same for the same seed and epoch, whatever was drawn before."""
        generator = epoch_generator(seed, epoch)
        return cut(torch.randperm(len(data), generator=generator), batch_size)

    def step(self, model: Any, batch: Batch, state: State, optimizer: Optimizer) -> Tensor:
        """One update; returns the batch's loss as a tensor on the device, so that nobody has to wait for it."""
        optimizer.zero_grad(set_to_none=True)
        loss = self.loss(model, batch, state)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def loss(self, model: Any, batch: Batch, state: State) -> Tensor:
        """The scalar to minimise on one batch; may update `state`."""
        return sample_losses(model, batch).mean()


@dataclass(frozen=True, kw_only=True)
class ERM(Method):
    """min_θ (1/n) Σ_i ℓ(f_θ(x_i), y_i)

    Empirical risk minimisation (Vapnik 1992): every sample counts the same. ℓ is the cross-entropy.
    """


def _refuse_unused(kind: type[Method]) -> None:
    """TypeError where a class gives a hyper-parameter a value that dataclasses pass over, so that another one would be
    used: for want of the decorator, or of a type behind the name. What is no hyper-parameter is a ClassVar."""
    fields, settled = {field.name for field in dataclasses.fields(kind)}, set()
    for each in kind.__mro__:
        types, decorated = inspect.get_annotations(each), "__dataclass_fields__" in vars(each)
        settled |= set(types) if decorated else set()
        unused = [name for name in vars(each) if name in fields - settled]
        if issubclass(each, Method) and not decorated:
            unused += [name for name, type_ in types.items() if "ClassVar" not in str(type_)]
            unused += [name for name, value in vars(each).items() if isinstance(value, dataclasses.Field)]
        if unused:
            raise TypeError(
                f"{each.__name__} gives {unused[0]} a value that would not be used; put "
                "@dataclass(frozen=True, kw_only=True) above the class, and a type behind the name, as in "
                f"`{unused[0]}: float = 0.5`"
            )


def taken(method: Method) -> tuple[str, ...]:
    """What the method `takes`; nothing where a class overrides how it trains, and does not say what that takes."""
    order = type(method).__mro__
    where = {name: next(i for i, each in enumerate(order) if name in vars(each)) for name in OVERRIDES}
    return method.takes if where["takes"] == min(where.values()) else ()


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A CPU generator for one epoch of one seed. (torch reads the lower 32 bits of a seed only.)"""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**32)


def cut(indices: Tensor, batch_size: int) -> Sequence[Tensor]:
    """The fewest parts of at most `batch_size`, of equal size to within 1, so that no small one is left over."""
    return indices.tensor_split(math.ceil(len(indices) / batch_size))


def sample_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of each sample, [B], in nats, against the batch's targets."""
    return F.cross_entropy(model(batch.inputs), batch.targets, reduction="none")


def knobs(method: Method | type[Method]) -> dict[str, Knob]:
    """The declared hyper-parameters of a method, by name."""
    return {f.name: f.metadata["knob"] for f in dataclasses.fields(method) if "knob" in f.metadata}


def method_name(method: Method | type[Method]) -> str:
    """The name on the command line: LossReweighting -> loss-reweighting, GroupDRO -> group-dro."""
    kind = method if isinstance(method, type) else type(method)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()
