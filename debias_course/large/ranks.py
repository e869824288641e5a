"""What the processes of `torchrun` share: each computes its part of a batch, and all of them know the whole.

A method's loss looks at the whole batch: at the means of its groups, at its largest losses, at which images are alike.
So the batch is the same everywhere, as are the state and all that is drawn; what is divided is the network. A call of
one of its modules with B samples computes the rows of this process, and returns those of all, [B, ...]. Three samples
and two processes, of which this is the first:

    inputs [3, d]  ->  rows 0, 1 of them  ->  the module  ->  [2, k]  ->  with row 2 from the other: outputs [3, k]

The gradient goes back the same way, and that of the weights is the mean of what the processes find. So every method is
what it is in one process, without a line of its own. (DistributedDataParallel divides the batch before the loss is
taken, knows one call of one module in a step, and no gradient that a method takes itself: of a partner, by the inputs.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ..checks import Unsuitable


def rows_of(n: int) -> slice:
    """The rows of this process: as many as others', to within 1."""
    each, more = divmod(n, dist.get_world_size())
    rank = dist.get_rank()
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def gathered(part: Tensor, n: int) -> Tensor:
    """All n rows, of which this process has a part."""
    world = dist.get_world_size()
    size = -(-n // world)  # parts of one size are sent: a row may be filled up
    padded = part.new_zeros((size, *part.shape[1:]))
    padded[: len(part)] = part
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    each, more = divmod(n, world)
    return torch.cat([whole[: each + (rank < more)] for rank, whole in enumerate(parts)])


def averaged(gradient: Tensor) -> Tensor:
    """The mean over the processes, in place of this one's gradient."""
    mean = gradient.contiguous() / dist.get_world_size()
    dist.all_reduce(mean)
    return mean


class Divide(torch.autograd.Function):
    """The rows of this process; back, the gradients of all."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:  # noqa: D102
        ctx.n = len(whole)
        return whole[rows_of(ctx.n)].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gathered(gradient, ctx.n) / dist.get_world_size()


class Unite(torch.autograd.Function):
    """The rows of all processes; back, those of this one, as many times as there are processes: their mean is taken."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, n: int) -> Tensor:  # noqa: D102
        ctx.n = n
        return gathered(part.detach(), n)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient[rows_of(ctx.n)] * dist.get_world_size(), None  # type: ignore[attr-defined]


def divided(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """What a module takes or returns, with all tensors in it changed."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(divided(each, change) for each in output))
    if isinstance(output, (tuple, list)):
        return type(output)(divided(each, change) for each in output)
    return output


class Division:
    """Divides the calls of modules among the processes, from `divide` to `end`.

    A call is divided at the outermost module under which nobody else looks on: a method that reads the output of a
    layer by a hook of its own gets that of the whole batch. What a module draws, as for dropout, each process draws for
    itself, from a generator that starts anew with every epoch.
    """

    def __init__(self, device: torch.device, active: Callable[[], bool] = lambda: True):
        self.device, self.active = device, active
        self.parts: list[nn.Module] = []
        self.handles: list[Any] = []  # of the hooks of parameters
        self.calls: list[int] = []  # of the modules that are under way, how many rows are divided there; 0: none
        self.own: Tensor | None = None  # where this process's generator is
        self.others: Tensor | None = None  # and where the one was that all share

        # functions, and no methods: who copies a module takes them along
        def enter(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            return self._enter(module, given)

        def leave(module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
            return self._leave(output)

        self.enter, self.leave = enter, leave

    def divide(self, *parts: nn.Module) -> None:
        """Divide the calls of all modules, and take the mean of the gradients of all parameters, which begin alike."""
        self.parts += parts
        for part in parts:
            for module in part.modules():
                if self.enter not in module._forward_pre_hooks.values():  # a copy of a module has them
                    module.register_forward_pre_hook(self.enter)
                    module.register_forward_hook(self.leave)
            for tensor in (*part.parameters(), *part.buffers()):
                dist.broadcast(tensor.data, 0)
            self.handles += [p.register_hook(averaged) for p in part.parameters() if p.requires_grad]

    def end(self) -> None:
        """Leave the modules as they were."""
        for handle in self.handles:
            handle.remove()
        for module in (module for part in self.parts for module in part.modules()):
            for hooks in module._forward_pre_hooks, module._forward_hooks:
                for key in [key for key, hook in hooks.items() if hook in (self.enter, self.leave)]:
                    del hooks[key]

    def epoch(self, seed: int, epoch: int) -> None:
        """Let this process draw anew."""
        number = (seed * 1_000_003 + epoch) * 4_099 + dist.get_rank() + 1
        self.own = torch.Generator(self.device).manual_seed(number % 2**32).get_state()

    def _enter(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        sizes = {len(each) if each.ndim else 0 for each in given if isinstance(each, Tensor)}
        n = sizes.pop() if len(sizes) == 1 else 0
        if any(self.calls) or n < dist.get_world_size() or not self.active() or self._watched(module):
            self.calls.append(0)
            return given
        self.calls.append(n)
        if self.own is not None:
            self.others = _swap(self.own, self.device)
        return divided(given, Divide.apply)

    def _leave(self, output: Any) -> Any:
        n = self.calls.pop()
        if not n:
            return output
        if self.own is not None and self.others is not None:
            self.own = _swap(self.others, self.device)

        def whole(part: Tensor) -> Tensor:
            if not part.ndim or len(part) != len(range(n)[rows_of(n)]):
                raise Unsuitable(
                    f"a module of the network returns {tuple(part.shape)} for a part of a batch; several processes "
                    "need a row for each sample: train in one process, or let the method's loss bring the rows together"
                )
            return Unite.apply(part, n)

        return divided(output, whole)

    def _watched(self, module: nn.Module) -> bool:
        """Whether somebody else looks at what is in the module."""
        return any(
            hook not in (self.enter, self.leave)
            for inner in list(module.modules())[1:]
            for hook in (*inner._forward_pre_hooks.values(), *inner._forward_hooks.values())
        )


def _swap(state: Tensor, device: torch.device) -> Tensor:
    """Let torch draw from `state`; where it was before."""
    where = torch if device.type == "cpu" else getattr(torch, device.type)
    before = where.get_rng_state()
    where.set_rng_state(state)
    return before
