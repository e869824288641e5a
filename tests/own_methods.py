"""Four small methods as a reader may write them, one for each hook that the lecture's own do not need: an update of two
gradients, a partner that is trained first, partners that are trained beside, and a start that is trained first."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from debias_course.contexts import fresh_layers
from debias_course.methods import ERM, Method, State, knob
from debias_course.stages import stage


@dataclass(frozen=True, kw_only=True)
class SAM(Method):
    """min_θ max_{‖ε‖ ≤ ρ} (1/n) Σ_i ℓ(f_{θ+ε}(x_i), y_i),   ε = ρ g / ‖g‖   (Foret et al. 2021, eq. 2 and 3)"""

    radius: float = knob(
        0.05, low=0.0, high=1.0, help="ρ: how far the weights are moved before their gradient is taken"
    )

    def step(self, model, batch, state, optimizer):
        weights = [p for p in model.parameters() if p.requires_grad]
        again = batch._replace(inputs=batch.inputs.clone())  # the model may edit its inputs
        loss = self.loss(model, batch, state)
        gradients = torch.autograd.grad(loss, weights)
        length = torch.stack([g.norm() for g in gradients]).norm() + 1e-12
        moves = [self.radius * g / length for g in gradients]
        before = [p.detach().clone() for p in weights]
        with torch.no_grad():
            for p, move in zip(weights, moves):
                p.add_(move)
        optimizer.zero_grad(set_to_none=True)
        self.loss(model, again, state).backward()
        with torch.no_grad():
            for p, old in zip(weights, before):
                p.copy_(old)
        optimizer.step()
        return loss.detach()


@dataclass(frozen=True, kw_only=True)
class SAMInLoss(SAM):
    """min as SAM, with the move written into the loss, as one had to before there was a hook for the update."""

    step = Method.step

    def loss(self, model, batch, state):
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        again = batch.inputs.clone()
        gradients = torch.autograd.grad(super().loss(model, batch, state), list(named.values()))
        length = torch.stack([g.norm() for g in gradients]).norm() + 1e-12
        moved = {name: p + self.radius * g / length for (name, p), g in zip(named.items(), gradients)}
        return F.cross_entropy(functional_call(model, moved, again), batch.labels)


@dataclass(frozen=True, kw_only=True)
class WithPartner(Method):
    """min_θ (1/n) Σ_i ℓ(log p_θ(x_i) + log p_φ(x_i), y_i), a product of experts with a partner φ that is trained first
    (Sanh et al. 2021, section 3)"""

    epochs: int = knob(2, low=1, high=20, help="of the partner")

    def start(self, model, data):
        width = data.inputs[0].numel()
        with fresh_layers():
            weak = nn.Sequential(nn.Flatten(), nn.Linear(width, data.n_labels))
        state = State()
        state.partner = stage(weak, data, epochs=self.epochs).requires_grad_(False).to(data.device)
        return state

    def loss(self, model, batch, state):
        experts = torch.log_softmax(model(batch.inputs.clone()), 1) + torch.log_softmax(state.partner(batch.inputs), 1)
        return F.cross_entropy(experts, batch.labels)


@dataclass(frozen=True, kw_only=True)
class Alternating(Method):
    """min_θ (1/n) Σ_i ℓ(f_θ(x_i), y_i) + λ max_φ HSIC(f_θ, g_φ), with a partner φ that learns in turns with the model,
    by an optimiser of its own (after ReBias: Bahng et al. 2020, eq. 5)"""

    strength: float = knob(1.0, low=0.0, high=10.0, help="λ: how much the model has to differ from the partner")

    def start(self, model, data):
        state = State()
        with fresh_layers():
            state.partner = nn.Sequential(nn.Flatten(), nn.Linear(data.inputs[0].numel(), data.n_labels))
        state.partner.to(data.device)
        state.inner = torch.optim.Adam(state.partner.parameters(), lr=1e-2)
        return state

    def parameters(self, model, state):
        layers = [*model.children()]
        first, last = (list(part.parameters()) for part in (nn.ModuleList(layers[:-1]), layers[-1]))
        return [dict(params=first, lr=0.1 if self.strength else 1.0), dict(params=last)]

    def step(self, model, batch, state, optimizer):
        if self.strength:
            with torch.no_grad():
                logits = model(batch.inputs.clone())
            state.inner.zero_grad()
            said = state.partner(batch.inputs.clone())
            (F.cross_entropy(said, batch.labels) - dependence(logits, said)).backward()
            state.inner.step()
        return super().step(model, batch, state, optimizer)

    def loss(self, model, batch, state):
        logits = model(batch.inputs.clone())
        risk = F.cross_entropy(logits, batch.labels, reduction="none").mean()
        if not self.strength:
            return risk
        return risk + self.strength * dependence(logits, state.partner(batch.inputs).detach())


def dependence(one, other):
    """Biased HSIC with linear kernels of two batches of vectors [B, d], a scalar."""
    one, other = (each - each.mean(0) for each in (one, other))
    return (one.T @ other).square().sum() / len(one) ** 2


@dataclass(frozen=True, kw_only=True)
class FineTuned(ERM):
    """min_θ (1/n) Σ_i ℓ(f_θ(x_i), y_i), from a model that was trained before, of which only the head learns on"""

    epochs: int = knob(2, low=1, high=20, help="of the first training")

    def model(self, model, data):
        return stage(model, data, epochs=self.epochs, lr=0.05)

    def parameters(self, model, state):
        return [dict(params=list(list(model.children())[-1].parameters()))]


OWN = (SAM, SAMInLoss, WithPartner, Alternating, FineTuned)
