"""Product of experts: what a weak partner can tell already, the model need not learn.

A weak network is trained first, and stands still. The model is then trained as one of two experts whose probabilities
are multiplied, and is used alone. Where the partner is sure and right the product is right whatever the model says, and
its gradient is next to nothing; where the partner is unsure it is that of plain training; where the partner is sure and
wrong, the model has to make up for both. For two classes with margins m of the model and w of the partner, it is

    ∂ℓ/∂m = σ(m + w) - y

Multiplying probabilities is adding logits: log-probabilities differ from them by a number per sample, which the softmax
takes out again. So what the partner says is added to the logits as it is.

The partner is asked about the samples that it was trained on. One that has learnt them by heart is sure and right
throughout, and nothing is left for the model; one that sees too little is the uniform expert, which is plain training.
As it stands still it is asked once, before the first epoch, about each sample as it is, so that a step costs what one
of plain training does; where a run augments its images, the partner's answer is that of the image before.

Differences from the papers: theirs are networks of language, with a partner of the same kind but smaller (Sanh et al.)
or one that reads hand-made features (Clark et al.); here it sees coarse pixels or colours only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ... import checks
from ...contexts import fresh_layers
from ...data import Batch, GroupedData
from ...evaluation import predict
from ...method import Method, State, knob
from ...stages import stage
from .networks import (
    KINDS,
    feature_width,
    features_and_logits,
    frozen,
    refuse_all_but_images,
    refuse_without_features,
    weak,
)


def product_losses(logits: Tensor, partner: Tensor, labels: Tensor) -> Tensor:
    """-log of the product's probability of the label, [B], in nats: the product of softmax(logits) and
    softmax(partner), both [B, C], divided by its sum over the classes; labels [B]."""
    checks.tensor("logits", logits, "[B, C]", whole=False)
    checks.tensor("partner", partner, "[B, C]", whole=False)
    checks.tensor("labels", labels, "[B]", whole=True)
    if logits.shape != partner.shape or len(labels) != len(logits):
        raise ValueError(
            f"logits {tuple(logits.shape)}, partner {tuple(partner.shape)} and labels {tuple(labels.shape)}; give "
            "[B, C], [B, C] and [B]"
        )
    return F.cross_entropy(logits + partner, labels, reduction="none")


@dataclass(frozen=True, kw_only=True)
class _WithFrozenPartner(Method):
    """min_θ (1/B) Σ_i ℓ(what θ and a frozen partner φ say of x_i, y_i); `state.told` are φ's logits, [N, C]"""

    partner: str = knob("pointwise", choices=KINDS, help="sees colours without places, or squares of 4×4 pixels")
    width: int = knob(8, low=1, high=256, search=(2, 32), help="units of the partner's hidden layer: how strong it is")
    partner_epochs: int = knob(10, low=1, high=100, search=(3, 30), help="of the partner's training, which comes first")
    partner_lr: float = knob(0.01, low=1e-4, high=1.0, log=True, help="learning rate of the partner")

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        if self.partner == "pointwise":
            refuse_all_but_images(data)
        return model

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state, how = State(), dict[str, Any](epochs=self.partner_epochs, lr=self.partner_lr)
        fresh = weak(data, self.partner, width=self.width)
        state.partner = frozen(stage(fresh, data, **how)).to(data.device)
        state.register_buffer("told", predict(state.partner, data).clone())
        return state

    def parameters(self, model: nn.Module, state: State) -> list[dict[str, Any]]:
        own = [each for each in state.parameters() if each.requires_grad]
        return [dict(params=[*model.parameters(), *own])]


@dataclass(frozen=True, kw_only=True)
class ProductOfExperts(_WithFrozenPartner):
    """min_θ (1/B) Σ_i ℓ(log p_θ(x_i) + log p_φ(x_i), y_i) + α ℓ(log p_θ(x_i), y_i)   (Sanh et al. 2021, section 3)

    ℓ is the cross-entropy, p_θ the model, which is used alone afterwards, and p_φ the partner, which is trained first
    by plain cross-entropy on the same data and then frozen.

    alone           α: how much the model's own loss counts beside; 0 is the product alone, as published, and 1 their
                    "PoE + CE"
    partner, width  what the partner sees and how large it is (`networks.weak`)
    partner_epochs, partner_lr  of its training; all else is as in the run that asks for it

    Raises Unsuitable for a partner of 1×1 convolutions on what is no image.
    """

    alone: float = knob(0.0, low=0.0, high=10.0, search=(1.0,), help="α: weight of the model's own cross-entropy")

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        told = state.told[batch.indices]
        logits = model(batch.inputs)
        together = product_losses(logits, told, batch.labels).mean()
        if self.alone == 0:
            return together
        return together + self.alone * F.cross_entropy(logits, batch.labels, reduction="none").mean()


@dataclass(frozen=True, kw_only=True)
class LearnedMixin(_WithFrozenPartner):
    """min_θ,v (1/B) Σ_i ℓ(log p_θ + g_i log p_φ, y_i) + η H(softmax(g_i log p_φ)),   g_i = softplus(v·f_i + v_0)
    (Clark et al. 2019, "Learned-Mixin + H")

    The product of experts with a gate g ≥ 0 on the partner: from the model's features f, it learns how much the partner
    is to be believed about a sample. It could stop listening, g = 0, which would be plain training: then what is left
    of the partner has the highest entropy H there is, and η makes that dear.

    entropy         η; 0 is their Learned-Mixin without H
    partner, width, partner_epochs, partner_lr    as in `ProductOfExperts`

    For onlookers, `state.trust` are the gates of the last batch, [B]. Raises Unsuitable for a model without features
    and head, and for a partner of 1×1 convolutions on what is no image.
    """

    entropy: float = knob(0.03, low=0.0, high=10.0, search=(0.0, 0.3), help="η: weight of the gated partner's entropy")

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        refuse_without_features(model, "the gate")
        return super().model(model, data)

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state, width = super().start(model, data), feature_width(model, data)
        with fresh_layers():
            state.gate = nn.Linear(width, 1)
        state.gate.to(data.device)
        return state

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        told = state.told[batch.indices].log_softmax(1)
        features, logits = features_and_logits(model, batch.inputs)
        trust = F.softplus(state.gate(features))
        state.trust = trust.detach()[:, 0]
        together = product_losses(logits, trust * told, batch.labels).mean()
        if self.entropy == 0:
            return together
        gated = (trust * told).log_softmax(1)
        return together - self.entropy * (gated.exp() * gated).sum(1).mean()
