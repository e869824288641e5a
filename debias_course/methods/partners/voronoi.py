"""Voronoi cells: the moment at which a model errs most deeply tells what it is biased by.

A plain model is trained and watched. Each class has a centroid, the mean of the features of those that are classified
right; its Voronoi cell is what lies nearer to it than to any other. Whoever is misclassified lies across the bisector
of two centroids, or ought to:

    d_i = |w·z_i + b| / |w|,   w = c_j - c_y,   b = (|c_y|² - |c_j|²) / 2,   scaled by the mean of |c| over classes,

for features z, the class y and the predicted one j. In the epoch e* with the largest mean of d over the misclassified,
the model is sure of its errors and has not begun to learn them by heart: its predictions b* then are taken for the bias
of every sample. With them, a second model is trained from the same start.

1. Samples count by 1/ρ_y where b* agrees with the label, and by 1/(1 - ρ_b*) where it does not. 1 - ρ_c is the number
   of samples that are taken for class c and are not of it, in shares of the size of class c.
2. A head h learns b* from the features, which it does not shape; and the features unlearn what it reads: γ times the
   mutual information of b* and h's answers, over the misaligned samples of the batch, is minimised by the features
   alone. It is in units of log C, so that 1 is all there is to know.

A batch without misaligned samples has no information to remove, and makes its weighted step. In the authors' loop it
makes none, which at an aligned share of 0.99 and batches of 100 are a third of all, and most at 0.999.

Other differences from the authors' code: centroids and distances are those of one model, after the epoch and in
evaluation mode, where theirs are centroids before an epoch and features during it; a class that has nobody right has no
centroid, and whoever would need it has no distance; a class all of whose samples are taken for others keeps the weight
1, where theirs sets all weights of all classes to 1. Their paper writes ρ as the share of a class that is aligned, and
counts it as above in the code; so do we, as 1/(1 - ρ_b*) is then finite for whoever needs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import checks
from ...contexts import evaluating, fresh_layers
from ...data import Batch, GroupedData
from ...method import Method, State, knob
from ...stages import stage
from .networks import feature_width, features_and_logits, refuse_without_features

LEAST = 1e-15  # of a probability, in the authors' code


def _same_length(**tensors: Tensor) -> None:
    """TypeError for what is no tensor, ValueError for tensors of different lengths."""
    for name, each in tensors.items():
        checks.tensor(name, each, "[N, ...]")
    lengths = [len(each) for each in tensors.values()]
    if len(set(lengths)) > 1:
        raise ValueError(f"{', '.join(tensors)} have {', '.join(map(str, lengths))} rows; give one for each sample")


def centroids(features: Tensor, labels: Tensor, right: Tensor, n_labels: int) -> Tensor:
    """The mean of the features [N, d] of each class's samples that are classified right, bool [N]: [C, d]; NaN for a
    class that has none. Labels int64 [N]."""
    checks.tensor("features", features, "[N, d]", whole=False)
    _same_length(features=features, labels=labels, right=right)
    members = F.one_hot(labels, n_labels).to(features.dtype) * right[:, None]
    return (members.T @ features) / members.sum(0)[:, None]


def distances(features: Tensor, labels: Tensor, predicted: Tensor, centers: Tensor) -> Tensor:
    """How far each sample [N, d] is from the bisector of the centroids [C, d] of its class and of the predicted one,
    [N], in units of the mean distance of centroids from 0; NaN where the two are one class, or have no centroid."""
    checks.tensor("features", features, "[N, d]", whole=False)
    checks.tensor("centers", centers, "[C, d]", whole=False)
    _same_length(features=features, labels=labels, predicted=predicted)
    across = centers[predicted] - centers[labels]
    squares = centers.square().sum(1)
    offset = (squares[labels] - squares[predicted]) / 2
    scale = squares.sqrt().nanmean()
    far = ((across * features).sum(1) + offset).abs() / across.norm(dim=1)
    return torch.where(labels == predicted, torch.nan, far / scale)


def alignment_weights(labels: Tensor, bias: Tensor, n_labels: int) -> Tensor:
    """1/ρ_y of each sample whose presumed bias [N] is its label [N], and 1/(1 - ρ_bias) of the others: [N].

    With labels (0, 0, 0, 0, 1, 1) and bias (0, 0, 0, 1, 1, 1), one sample is taken for class 1, of two: ρ = (1, 1/2);
    the weights are (1, 1, 1, 2, 2, 2).
    """
    _same_length(labels=labels, bias=bias)
    sizes = torch.bincount(labels, minlength=n_labels).clamp(min=1).float()
    taken = torch.bincount(torch.where(labels == bias, n_labels, bias), minlength=n_labels + 1)[:n_labels]
    rho = 1 - taken / sizes
    aligned = torch.where(rho > 0, 1 / rho, 1.0)
    misaligned = sizes / taken
    return torch.where(labels == bias, aligned[labels], misaligned[bias])


def information(logits: Tensor, bias: Tensor, counted: Tensor) -> Tensor:
    """The mutual information of the answers softmax(logits) [B, C] and of the bias [B], over those that are counted,
    bool [B]: from 0 to 1, in units of log C. It is 0 where fewer than two are counted."""
    checks.tensor("logits", logits, "[B, C]", whole=False)
    _same_length(logits=logits, bias=bias, counted=counted)
    n_labels = logits.shape[1]
    told = F.one_hot(bias, n_labels).to(logits.dtype) * counted[:, None]
    joint = (told.T @ logits.softmax(1)).clamp(min=LEAST) / counted.sum().clamp(min=1)
    apart = (joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)).clamp(min=LEAST)
    return (joint * (joint / apart).log()).sum() / math.log(n_labels)


class Watched(nn.Module):
    """A model that remembers how it erred after each epoch.

    depth      the mean of `distances` over the misclassified, float [epochs]; NaN for epochs that were not looked at
    predicted  what it said of each training sample when that was largest, int64 [N];  best  after which epoch, from 1
    """

    depth: Tensor
    predicted: Tensor
    best: Tensor

    def __init__(self, model: nn.Module, data: GroupedData, epochs: int):
        super().__init__()
        self.model = model
        self.register_buffer("depth", torch.full((epochs,), torch.nan, device=data.device))
        self.register_buffer("predicted", data.labels.clone())
        self.register_buffer("best", torch.zeros((), dtype=torch.int64, device=data.device))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [B, n_labels] of the model."""
        return self.model(inputs)

    def look(self, data: GroupedData, epoch: int) -> None:
        """Measure the model as it is after `epoch`, and keep its predictions if it errs more deeply than before."""
        with torch.no_grad(), evaluating(self):
            rows = torch.arange(len(data), device=data.device).split(1024)
            seen = [features_and_logits(self.model, batch.inputs) for batch in data.batches(rows)]
        features, logits = (torch.cat(part) for part in zip(*seen))
        predicted = logits.argmax(1)
        centers = centroids(features, data.labels, predicted == data.labels, data.n_labels)
        depth = distances(features, data.labels, predicted, centers).nanmean()
        deepest = self.depth.nan_to_num(-1).max()
        self.depth[epoch - 1] = depth
        if depth > deepest:
            self.predicted.copy_(predicted)
            self.best.fill_(epoch)


@dataclass(frozen=True, kw_only=True)
class _Watching(Method):
    """min_θ (1/n) Σ_i ℓ(f_θ(x_i), y_i), looked at at the start of each epoch, as the one before has left it"""

    epochs: int
    first: int

    def model(self, model: nn.Module, data: GroupedData) -> Watched:
        return Watched(model, data, self.epochs)

    def data(self, model: Watched, data: GroupedData, state: State) -> GroupedData:
        if state.epoch > self.first:
            model.look(data, state.epoch - 1)
        return data


@dataclass(frozen=True, kw_only=True)
class VoronoiAlignment(Method):
    """min_θ,h (1/B) Σ_i w_i ℓ_i(θ) + γ I(h(f_θ), b*) + ℓ(h(f), b*),   w_i = 1/ρ_y where b*_i = y_i, else 1/(1 - ρ_b*)
    (Nahon et al. 2023, section 3)

    b* are the predictions of a first, plain training, in the epoch in which its errors lie deepest. I is the mutual
    information over the misaligned samples, in which h is held still; in the last term, the features f are.

    first_epochs  of the first training, from the same start; all else is as in the run. Published: 80
    watched_from  the epoch after which its errors are first looked at
    strength      γ; 0 leaves the weights alone

    Where the first model has no errors, it is ERM. `state.bias` are b*, int64 [N], `state.weights` w, [N], `state.best`
    the epoch, and `state.depth` how deep errors lay after each, in units of the centroids' mean norm. Raises Unsuitable
    for a model without features and head.
    """

    first_epochs: int = knob(10, low=1, high=200, search=(5, 20), help="epochs of the plain training that is watched")
    watched_from: int = knob(2, low=1, high=20, help="the first epoch after which errors are looked at")
    strength: float = knob(2.0, low=0.0, high=20.0, search=(0.0, 5.0), help="γ: how much of b* the features unlearn")

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        refuse_without_features(model, "the distance from a cell")
        return model

    def start(self, model: nn.Module, data: GroupedData) -> State:
        watching = _Watching(epochs=self.first_epochs, first=min(self.watched_from, self.first_epochs))
        first = cast(Watched, stage(model, data, watching, epochs=self.first_epochs))
        first.look(data, self.first_epochs)
        weights = alignment_weights(data.labels, first.predicted, data.n_labels)
        state = State(bias=first.predicted, weights=weights, depth=first.depth, best=first.best)
        width = feature_width(model, data)
        with fresh_layers():
            state.head = nn.Linear(width, data.n_labels)
        state.head.to(data.device)
        return state

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        features, logits = features_and_logits(model, batch.inputs)
        bias, weights = state.bias[batch.indices], state.weights[batch.indices]
        risk = (weights * F.cross_entropy(logits, batch.labels, reduction="none")).mean()
        told = F.cross_entropy(state.head(features.detach()), bias)
        if self.strength == 0:
            return risk + told
        still = F.linear(features, state.head.weight.detach(), state.head.bias.detach())
        return risk + told + self.strength * information(still, bias, bias != batch.labels)
