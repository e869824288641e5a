"""OccamNets: an architecture that prefers simple answers.

After each stage of a trunk stands an exit: a class activation map, whose mean over places is the exit's logits, and a
gate, which learns whether the exit is right. A sample leaves through the first open gate, so that no more depth
is used than needed; and each exit is trained mostly on what the gate before it lets pass. The first exit is made to
learn what is easy, the bias if there is one, and is not used for predicting: its gate takes the easy samples out of the
next exit's training. Maps are kept small: where the label's map is below its mean, no class may be favoured.

Source: Shrestha, Kafle and Kanan 2022, "OccamNets: mitigating dataset bias by favoring simpler hypotheses", ECCV.
Differences from the authors' code: gates are kept as logits, so that a saturated one has a finite loss; accuracies and
maxima are tensors on the device, and what is remembered of samples is state, and saved; a sample that was not seen yet
counts as it is now; accuracy thresholds are spread evenly over as many exits as there are; batches of one work with
light exits and are refused with a sentence by published ones. There is a light kind of exit, for small trunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks
from ..checks import Unsuitable, choice
from ..contexts import evaluating, threads_for
from ..data import Batch, GroupedData
from ..method import Method, State, knob
from ..models import Staged

KINDS = ("published", "light")  # of exits
EPSILON = 1e-5  # of the authors' code, where weights and counts are divided


class Exits(NamedTuple):
    """What all E exits say: logits [E, B, C], the gates' logits [E, B], and one map [B, C, H_j, W_j] each."""

    logits: Tensor
    gates: Tensor
    maps: tuple[Tensor, ...]


def exit_weights(own: Tensor, gates: Tensor, first: float, exponent: float) -> Tensor:
    """Weights [E, B] before they are scaled: p_y^γ0 of the first exit, from its probabilities of the label, own [B];
    (1 - g_{j-1})^γ of the others, from the gates' logits [E, B]. No gradient flows through them."""
    closed = torch.sigmoid(-gates[:-1])  # 1 - sigmoid(gates), without rounding to 0
    return torch.cat([own[None] ** first, closed**exponent]).detach()


def suppression(maps: Tensor, labels: Tensor) -> Tensor:
    """Mean over all places of KL(uniform ‖ softmax over classes of the place), which is 0 where the label's map is
    above its own mean: maps [B, C, H, W], labels [B] -> scalar."""
    own = maps.gather(1, labels.view(-1, 1, 1, 1).expand(-1, 1, *maps.shape[2:]))[:, 0]
    divergence = -math.log(maps.shape[1]) - torch.log_softmax(maps, 1).mean(1)
    return torch.where(own > own.mean((1, 2), keepdim=True), 0.0, divergence).mean()


def gate_loss(gates: Tensor, right: Tensor, balance: float = 0.5) -> Tensor:
    """Binary cross-entropy of a gate's logits [B] with whether its exit is right, bool [B]; the rarer of the two
    answers counts (n_max / n)^balance times."""
    right = right.to(gates.dtype)
    n = torch.stack([(1 - right).sum(), right.sum()])
    weights = (1 / (n / n.max() + EPSILON)) ** balance
    return F.binary_cross_entropy_with_logits(gates, right, torch.where(right > 0, weights[1], weights[0]))


def leave_by(gates: Tensor, threshold: float) -> Tensor:
    """The exit by which each sample leaves, int64 [B]: the first, but for exit 0, with sigmoid(gates) ≥ threshold; the
    last one where there is none. Gates' logits [E, B]."""
    opened = torch.sigmoid(gates[1:]) >= threshold
    opened = torch.cat([opened[:-1], torch.ones_like(opened[-1:])])  # the last gate is always open
    return opened.int().argmax(0) + 1


class Exit(nn.Module):
    """A map [B, width, H, W] -> logits [B, C], gate [B] (a logit), class activation map [B, C, H, W].

    "published": two 3×3 convolutions before the map, and a gate with batch norm; "light": neither. An exit that is not
    `gated` has 0 for a gate.
    """

    def __init__(self, width: int, n_labels: int, kind: str, gated: bool = True):
        super().__init__()
        self.kind, narrow = kind, max(width // 4, 1)
        published = kind == "published"
        self.before = nn.Sequential()
        if published:
            squeeze = [nn.Conv2d(width, narrow, 3, padding=1), nn.BatchNorm2d(narrow), nn.ReLU()]
            self.before.extend([*squeeze, nn.Conv2d(narrow, width, 3, padding=1), nn.ReLU()])
        self.map = nn.Conv2d(width, n_labels, 1)
        norm = [nn.BatchNorm1d(16)] if published else []
        self.gate = nn.Sequential(nn.Linear(width, 16), *norm, nn.ReLU(), nn.Linear(16, 1)) if gated else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, gate and map; ValueError for a batch of one that a published exit cannot normalise."""
        if self.training and self.kind == "published" and len(maps) < 2:
            raise Unsuitable(
                "published exits normalise over the batch, which a batch of one does not allow in training; use a "
                "larger batch_size, or exits='light'"
            )
        features = self.before(maps)
        activation = self.map(features)
        logits = activation.mean((2, 3))
        if self.gate is None:
            return logits, torch.zeros_like(logits[:, 0]), activation
        return logits, self.gate(features.detach().mean((2, 3)))[:, 0], activation


class OccamNet(nn.Module):
    """A trunk with stages and an exit after each; its own head is dropped.

    model(inputs) are the logits [B, C] of the exit by which each sample leaves, model.exits(inputs) those of all.
    `threshold` decides how sure a gate has to be to let a sample leave, and may be changed at any time; at ∞ there are
    no gates, and all samples leave through the last exit.
    """

    def __init__(self, trunk: nn.Module, n_labels: int, *, exits: str = "published", threshold: float = 0.5):
        super().__init__()
        widths: tuple[int, ...] = getattr(trunk, "widths", ())
        if len(widths) < 2 or not hasattr(trunk, "stages"):
            raise Unsuitable(
                f"OccamNets put an exit after each of several stages, and {type(trunk).__name__} has no such stages; "
                "use models.staged or models.resnet18"
            )
        choice("exits", exits, KINDS)
        self.features, self.widths, self.threshold = trunk.get_submodule("features"), widths, threshold
        self.doors = nn.ModuleList(Exit(width, n_labels, exits, threshold < math.inf) for width in self.widths)

    @property
    def stages(self) -> list[nn.Module]:
        """The stages of the trunk."""
        return list(self.features.children())[: len(self.widths)]

    def exits(self, inputs: Tensor) -> Exits:
        """What every exit says; the first does not shape the trunk."""
        said = []
        for number, (stage, door) in enumerate(zip(self.stages, self.doors)):
            inputs = stage(inputs.clone() if number else inputs)  # it may edit them, and the exit before needs them
            said.append(door(inputs if number else inputs.detach()))
        logits, gates, maps = zip(*said)
        return Exits(torch.stack(logits), torch.stack(gates), maps)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [B, n_labels] of the exit at which each sample leaves."""
        said = self.exits(inputs)
        chosen = leave_by(said.gates, self.threshold)
        return said.logits.gather(0, chosen[None, :, None].expand(1, -1, said.logits.shape[2]))[0]


@torch.no_grad()
def ask_exits(model: OccamNet, data: GroupedData, *, batch_size: int = 1024) -> Exits:
    """What all exits say of all samples of `data`, in evaluation mode and on the CPU; their maps are left out."""
    checks.isa("model", model, OccamNet, "the `model` of a run with OccamNets")
    checks.grouped(data)
    data = data.to(next(model.parameters()).device)
    with evaluating(model), threads_for(model):
        rows = torch.arange(len(data), device=data.device).split(batch_size)
        said = [model.exits(batch.inputs)[:2] for batch in data.batches(rows)]
    logits, gates = (torch.cat(part, 1).cpu() for part in zip(*said))
    return Exits(logits, gates, ())


def activation_map(model: Staged, inputs: Tensor) -> Tensor:
    """The class activation map of a plain network [B, C, H, W], whose mean over places is its logits: the head applied
    at each place of the last stage (Zhou et al. 2016)."""
    for stage in model.stages:
        inputs = stage(inputs)
    head = checks.isa("the head of the network", model.head, nn.Linear, "a linear one")
    return F.conv2d(inputs, head.weight[:, :, None, None], head.bias)


def exit_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each exit on each sample, [E, B], from logits [E, B, C] and labels [B]."""
    return F.cross_entropy(logits.transpose(1, 2), labels.expand(len(logits), -1), reduction="none")


@dataclass(frozen=True, kw_only=True)
class _SeveralExits(Method):
    """min_θ Σ_j mean_i [ w_ij CE_ij + λ S_ij ]"""

    exits: str = knob("published", choices=KINDS, help="with two convolutions each, or without")
    suppression: float = knob(0.1, low=0.0, high=10.0, help="λ: how much maps are kept small; 0 does not")


@dataclass(frozen=True, kw_only=True)
class OccamNets(_SeveralExits):
    """min_θ Σ_j mean_i [ (w_ij + 0.1) CE_ij + λ S_ij + BCE(g_ij, r_ij) ],   w_i0 = p_y^γ0,  w_ij = (1 - g_{i,j-1})^γ
    (Shrestha et al. 2022, eq. 1 to 5)

    j counts the exits from 0, S is the suppression of the maps, g the gate and r whether the exit is right. The weights
    are divided by the largest of the exit in this epoch. Of three of its inputs, exit j takes no gradient elsewhere:
    the first exit leaves the trunk alone, the gates leave trunk and maps alone, and the weights are numbers.

    r is remembered: once an exit's mean accuracy over the classes, counted from the start of the epoch, is above a
    threshold (evenly from `first_accuracy` at the first exit to `last_accuracy` at the last), each sample keeps the r
    that it had; the first `live_epochs` are spared. So gates still tell the hard samples when all are fitted.
    """

    first_exponent: float = knob(3.0, low=0.0, high=10.0, help="γ0: how much the first exit prefers what it knows")
    exponent: float = knob(1.0, low=0.0, high=10.0, help="γ: how much an exit trusts the gate before it")
    threshold: float = knob(
        0.5, low=0.0, high=1.0, search=(0.95,), help="how sure a gate has to be to let a sample leave"
    )
    first_accuracy: float = knob(0.5, low=0.0, high=1.0, help="accuracy from which the first gate keeps its targets")
    last_accuracy: float = knob(0.8, low=0.0, high=1.0, help="the same, of the last gate")
    live_epochs: int = knob(1, low=0, high=1000, help="epochs in which all gates follow their exits")

    def model(self, model: nn.Module, data: GroupedData) -> OccamNet:
        return OccamNet(model, data.n_labels, exits=self.exits, threshold=self.threshold)

    def start(self, model: OccamNet, data: GroupedData) -> State:
        state, exits = State(), len(model.widths)
        buffers = dict(
            of_epoch=torch.zeros((), dtype=torch.int64),  # to which the next three belong
            peak=torch.zeros(exits),  # the largest weight
            right=torch.zeros(exits, data.n_labels),  # right answers of each label
            seen=torch.zeros(data.n_labels),
            accuracy=torch.linspace(self.first_accuracy, self.last_accuracy, exits),
            remembered=torch.zeros(exits, len(data), dtype=torch.bool),  # r of each sample
            known=torch.zeros(len(data), dtype=torch.bool),
        )
        for name, values in buffers.items():
            state.register_buffer(name, values.to(data.device))
        return state

    def loss(self, model: OccamNet, batch: Batch, state: State) -> Tensor:
        said, labels = model.exits(batch.inputs), batch.labels
        losses = exit_losses(said.logits, labels)
        small = sum(suppression(maps, labels) for maps in said.maps) if self.suppression else 0.0
        self._open_epoch(state)
        weights = self.weights(losses, said.gates, state)
        right = self.targets(said.logits.argmax(2) == labels, batch, state)
        told = sum(gate_loss(gate, answers) for gate, answers in zip(said.gates, right))
        return ((weights + 0.1) * losses).mean(1).sum() + self.suppression * small + told

    def _open_epoch(self, state: State) -> None:
        """Start to count anew where the last batch was of another epoch."""
        for counted in (state.peak, state.right, state.seen):
            counted.mul_(state.of_epoch == state.epoch)
        state.of_epoch.fill_(state.epoch)

    def weights(self, losses: Tensor, gates: Tensor, state: State) -> Tensor:
        """w [E, B], between 0 and 1, from the exits' losses and the gates' logits, both [E, B]."""
        weights = exit_weights(torch.exp(-losses[0]), gates, self.first_exponent, self.exponent)
        state.peak.copy_(torch.maximum(state.peak, weights.amax(1)))
        return weights / (state.peak[:, None] + EPSILON)

    def targets(self, right: Tensor, batch: Batch, state: State) -> Tensor:
        """What the gates learn, bool [E, B]: which exits are right now, or were when last remembered."""
        labels = (batch.labels[:, None] == torch.arange(len(state.seen), device=right.device)).float()
        state.seen.add_(labels.sum(0))
        state.right.add_(right.float() @ labels)
        accuracy = (state.right / state.seen.clamp(min=1)).sum(1) / (state.seen > 0).sum()
        live = (accuracy <= state.accuracy) | (state.epoch <= self.live_epochs)
        use_now = live[:, None] | ~state.known[batch.indices]
        right = torch.where(use_now, right, state.remembered[:, batch.indices])
        state.remembered.index_copy_(1, batch.indices, right)
        state.known.index_fill_(0, batch.indices, True)
        return right


@dataclass(frozen=True, kw_only=True)
class UngatedOccamNets(_SeveralExits):
    """min_θ Σ_j mean_i [ 1.1 CE_ij + λ S_ij ],   `OccamNets` with w_ij = 1 and no gates   (Shrestha et al. 2022)

    No gate is trained, all exits count all samples alike, and all samples leave through the last exit. (1.1 is the
    largest weight that a sample has in `OccamNets`, 1 + 0.1.)
    """

    def model(self, model: nn.Module, data: GroupedData) -> OccamNet:
        return OccamNet(model, data.n_labels, exits=self.exits, threshold=math.inf)

    def loss(self, model: OccamNet, batch: Batch, state: State) -> Tensor:
        said, labels = model.exits(batch.inputs), batch.labels
        small = sum(suppression(maps, labels) for maps in said.maps) if self.suppression else 0.0
        return 1.1 * exit_losses(said.logits, labels).mean(1).sum() + self.suppression * small
