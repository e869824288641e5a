"""DANN: features from which a second network cannot tell the domain.

A discriminator reads the features and guesses the domain (or a sensitive attribute). It learns to guess well; between
it and the features stands a layer that is the identity on the way forward and turns the gradient round on the way back,
so that the features learn to make it guess badly. One loss, one optimiser, one step (Ganin et al. 2016).

Both losses are *added*: the minus sign is in the layer. Subtracting the discriminator's loss without the layer makes
the discriminator bad instead of the features, and both signs together cancel out. λ is not a weight of the
discriminator's loss: the discriminator learns at full speed whatever λ is.

A discriminator that has been fooled proves nothing, as it is the one that the features were trained against. `probe`
asks a new one, which is fitted to the frozen features (Elazar and Goldberg 2018).

Differences from the paper's own code: all methods of the course share one optimiser, so that the learning rate does not
follow a schedule of its own; the discriminator has one output per domain, of which there may be many; batches hold as
many of each domain if asked for. L_d is one mean over all samples of the batch, where the paper's eq. 13 adds the mean
over the source's to that over the target's: at equal sizes it is half of theirs, and where the target has a tenth of
the batch it has a tenth of L_d; sampling="domains" makes the two count alike. The discriminator can be told the label
("conditional") as in the CDANN of DomainBed, which adds an embedding of the label to the features instead of appending
the label to them, and weighs the samples so that all labels count the same in L_d; ours count as often as they come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks
from ..checks import Unsuitable, number
from ..contexts import evaluating, fresh_layers, threads_for
from ..data import Batch, GroupedData
from ..evaluation import Share, group_counts, weighted, wilson
from ..method import Method, State, knob
from .sampling import BatchSampling

UNKNOWN = -100  # in the place of a label: cross_entropy leaves the sample out


class _Reversal(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(features: Tensor, strength: float) -> Tensor:
        return features.view_as(features)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.strength = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse(features: Tensor, strength: float) -> Tensor:
    """`features` as they are; their gradient is multiplied by -λ on the way back, λ = `strength` from 0.

    It is the derivative of nothing that the forward pass computes, so torch.autograd.gradcheck rightly refuses it.
    """
    number("strength", strength, 0, unit=": the layer itself brings the minus")
    return _Reversal.apply(features, strength)


def ramp(progress: float) -> float:
    """2 / (1 + e^{-10 p}) - 1: 0 at the start of training (p = 0), 0.46 after a tenth of it, 0.9999 at the end."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


@dataclass(frozen=True, kw_only=True)
class DANN(Method):
    """min_θ,φ L_y(θ) + L_d(φ, R_λ(f_θ)),   R_λ(f) = f,   ∂R_λ/∂f = -λ   (Ganin et al. 2016, eq. 13 to 18)

    L_y is the mean cross-entropy of the labels, L_d that of the domains: the attributes, as the discriminator φ guesses
    them from the features f. λ starts at 0 and rises to `strength` (`ramp`), or is constant.

    conditional   tells the discriminator the label, so that it cannot win by what the label says of the domain,
                  and the features need not hide the label
    labelled      "first domain": L_y is the mean over the samples of attribute 0, the source. The labels of all other
                  samples are never read, and may be -1: unsupervised domain adaptation. L_y always leaves out samples
                  with the label -1, which `conditional` and sampling="groups" do not work with
    sampling      "plain" batches are ERM's; in those of "domains" each domain has as many samples, in those of "groups"
                  each group, so that label and attribute are independent in the batch
    width         of the discriminator's one hidden layer
    layer         a submodule of `model.features` whose output the discriminator reads, such as "2"; "" is their end

    For onlookers, `state.losses` are (L_y, L_d) of the last batch.

    Raises ValueError for data of one domain, and where a choice would need labels that are taken to be unknown.
    """

    strength: float = knob(
        1.0, low=0.0, high=5.0, step=0.05, search=(0.1, 0.3), help="λ: how strongly features work against it"
    )
    schedule: str = knob("published", choices=("published", "constant"), help="λ rises from 0, or is the same always")
    conditional: bool = knob(False, help="is the discriminator told the label?")
    labelled: str = knob("all", choices=("all", "first domain"), help="whose labels are known")
    sampling: str = knob("plain", choices=("plain", "groups", "domains"), help="what all batches hold alike")
    width: int = knob(100, low=1, high=500, help="hidden units of the discriminator")
    layer: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.isa("DANN.layer", self.layer, str, "the name of a submodule of `model.features`, such as '2', or ''")
        if self.labelled == "first domain" and (self.conditional or self.sampling == "groups"):
            asks = "a conditional discriminator" if self.conditional else "sampling by groups"
            raise ValueError(f"{asks} needs the labels of all domains; use it with labelled='all'")

    @property
    def needs(self) -> str:
        """Domains are attributes; sampling by groups needs labels, too."""
        return "group labels" if self.sampling == "groups" else "attribute labels"

    @property
    def takes(self) -> tuple[str, ...]:
        """Whoever is told the label, or balances by it, needs that of every sample."""
        return ("targets",) if self.conditional or self.sampling == "groups" else ("targets", "unlabelled")

    def start(self, model: nn.Module, data: GroupedData) -> State:
        present = data.counts_by("attribute") > 0
        if int(present.sum()) < 2:
            raise Unsuitable(
                f"all samples are of one domain, {data.attribute_names[int(present.int().argmax())]!r}; a "
                "discriminator needs two: put the other domain's samples into the training data, labelled or not"
            )
        if self.labelled == "first domain" and not present[0]:
            raise Unsuitable(f"no sample is of {data.attribute_names[0]!r}, the labelled domain; use labelled='all'")
        if not self.known(data.labels, data.attributes).any():
            raise Unsuitable("no sample has a label to learn from; give those that have one")
        with torch.no_grad(), evaluating(model):
            seen, _ = self.look(model, data.batch(torch.zeros(1, dtype=torch.int64, device=data.device)).inputs)
        inputs = seen.shape[1] + data.n_labels * self.conditional
        with fresh_layers():
            hidden, last = nn.Linear(inputs, self.width), nn.Linear(self.width, data.n_attributes)
        state = State()
        state.discriminator = nn.Sequential(hidden, nn.ReLU(), last).to(data.device)
        return state

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """Batches with equal shares of domains or groups, or plain ones."""
        if self.sampling == "plain":
            return super().batches(data, batch_size, seed=seed, epoch=epoch)
        by = "group" if self.sampling == "groups" else "attribute"
        present = (data.counts_by(by) > 0).tolist()
        even = BatchSampling(by=by, shares=tuple(each / sum(present) for each in present))
        return even.batches(data, batch_size, seed=seed, epoch=epoch)

    def look(self, model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """What the discriminator sees of the inputs, [B, d], and the logits [B, n_labels], in one forward pass."""
        where = f"features.{self.layer}".rstrip(".")
        try:
            module = model.get_submodule(where)
        except AttributeError:
            raise Unsuitable(
                f"the model has no {where}; use layer='' and a model with `features` and `head`, such as models.mlp"
            ) from None
        seen: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            checks.isa(f"the output of {where}", output, Tensor, "a `layer` that returns one tensor")
            seen.append(output.clone())  # the next layer may edit it, as nn.ReLU(inplace=True) does

        hook = module.register_forward_hook(keep)
        try:
            logits = model(inputs)
        finally:
            hook.remove()
        if not seen:
            raise Unsuitable(
                f"the model's forward does not call its {where}, so the discriminator sees nothing; let "
                "it return head(features(inputs)), as models.Classifier does"
            )
        return seen[-1].flatten(1), logits

    def guesses(self, seen: Tensor, labels: Tensor, state: State) -> Tensor:
        """The discriminator's logits [B, n_attributes] for features [B, d]."""
        if self.conditional:
            told = state.discriminator[0].in_features - seen.shape[1]
            seen = torch.cat([seen, F.one_hot(labels, told).to(seen.dtype)], 1)
        return state.discriminator(seen)

    def known(self, labels: Tensor, attributes: Tensor) -> Tensor:
        """Whose labels L_y reads, bool [N]."""
        return (labels >= 0) & (attributes == 0) if self.labelled == "first domain" else labels >= 0

    def label_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """L_y; 0 for a batch without any labelled sample."""
        known, targets = self.known(batch.labels, batch.attributes), batch.targets
        targets = targets.where(known, UNKNOWN) if targets.ndim == 1 else targets * known[:, None]
        return F.cross_entropy(logits, targets, reduction="none").sum() / known.sum().clamp(min=1)

    def losses(self, model: nn.Module, batch: Batch, state: State) -> tuple[Tensor, Tensor]:
        """L_y and L_d."""
        strength = self.strength * (ramp(state.progress) if self.schedule == "published" else 1.0)
        seen, logits = self.look(model, batch.inputs)
        guesses = self.guesses(reverse(seen, strength), batch.labels, state)
        return self.label_loss(logits, batch), F.cross_entropy(guesses, batch.attributes.long())

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        label_loss, domain_loss = self.losses(model, batch, state)
        state.losses = label_loss.detach(), domain_loss.detach()
        return label_loss + domain_loss


@torch.no_grad()
def frozen_features(method: DANN, model: nn.Module, data: GroupedData) -> Tensor:
    """What the discriminator sees of the whole data, [N, d], in evaluation mode and on the model's device."""
    checks.network(model)
    checks.grouped(data)
    checks.isa("method", method, DANN, "the method that the model was trained with, such as DANN()")
    data = data.to(next(model.parameters(), data.labels).device)
    everything = data.batch(torch.arange(len(data), device=data.device))
    with evaluating(model), threads_for(model):
        return method.look(model, everything.inputs)[0]


def per_domain(right: Tensor, data: GroupedData) -> Share:
    """The share of right guesses, bool [N], each domain counting the same; chance is 1 / the number of domains."""
    counts = group_counts(right, data.attributes.to(right.device), data.n_attributes).long().tolist()
    shares = [wilson(hits, n) for hits, n in zip(counts, data.counts_by("attribute").tolist()) if n]
    return weighted(shares, [1.0] * len(shares))


def fooled(method: DANN, model: nn.Module, state: State, data: GroupedData) -> Share:
    """How often the discriminator itself is right about the domains of `data` (see `per_domain`)."""
    seen = frozen_features(method, model, data)
    checks.isa("state", state, nn.Module, "the `state` of the run")
    with torch.no_grad():
        guesses = method.guesses(seen, data.labels.to(seen.device), state)
    return per_domain(guesses.argmax(1).cpu() == data.attributes.cpu(), data)


def probe(model: nn.Module, fit: GroupedData, test: GroupedData, *, method: DANN | None = None) -> Share:
    """How well the domain can be read from the frozen features: a logistic regression is fitted to those of `fit`, and
    tested on those of `test`, which it has not seen (see `per_domain`: chance is 1 / the number of domains).

    Neither should be the data that the model was trained on; and where label and attribute go together, the label
    gives the attribute away, so take data in which they do not. `method` tells of another layer than the last.
    """
    from sklearn.linear_model import LogisticRegression  # imported here: it costs seconds

    method = DANN() if method is None else method
    x, unseen = (frozen_features(method, model, part).cpu().double() for part in (fit, test))
    center, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    reader = LogisticRegression(max_iter=1000, class_weight="balanced")
    reader.fit(((x - center) / scale).numpy(), fit.attributes.cpu().numpy())
    read = reader.predict(((unseen - center) / scale).numpy())
    return per_domain(torch.from_numpy(read) == test.attributes.cpu(), test)
