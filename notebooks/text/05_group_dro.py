# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Group DRO
#
# **The question.** [Re-weighting](01_loss_reweighting.ipynb) fixes how much each group counts before training starts. But
# the group that is worst off can change while the network learns. What if the weights follow the losses, so that training
# always works on the worst group? That is *group distributionally robust optimisation*, Group DRO for short.

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch

from debias_course import data, figures, models, train
from debias_course.lectures.group_dro import exercises
from debias_course.lectures.group_dro.measurements import GroupDROLesson
from debias_course.lectures.group_dro.panel import draw_group_dro
from debias_course.lectures.panels import panel
from debias_course.method import sample_losses
from debias_course.methods import ERM, GroupDRO, Knob, LossReweighting
from debias_course.methods import group_dro as library

here = GroupDROLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - Group DRO makes the worst group's training loss smaller than plain training does, and its test accuracy larger;
# - with its usual step size its weights stay near equal, and balanced batches alone do as well;
# - it is sensitive: over a map of step sizes and weight decays it goes from good to useless;
# - trained for long without regularisation, it loses a part of its lead;
# - with the wrong groups most of its gain is lost.
#
# ## See the problem
#
# The training loss of each group, epoch by epoch, in plain training and with the fixed weights of lecture 01. Which group
# is worst off, and does it stay the same?

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)


def losses_by_epoch(method, epochs=6):
    """Mean training loss of each group after 1, 2, ... epochs."""
    everything = splits.train.batch(torch.arange(len(splits.train)))
    rows = []
    for n in range(1, epochs + 1):
        model = train(models.mlp(splits.train), splits.train, method, epochs=n).model
        with torch.no_grad():
            rows.append(library.group_means(sample_losses(model, everything), everything.groups, 4)[0].tolist())
    return {name: (range(1, epochs + 1), list(column)) for name, column in zip(splits.train.group_names, zip(*rows))}


figure, axes = figures.new_figure(9.0, 3.8, 1, 2, sharey=True)
for axis, (name, method) in zip(axes, {"plain training": ERM(), "fixed weights": LossReweighting()}.items()):
    figures.curves(losses_by_epoch(method), x=f"epoch ({name})", y="training loss of the group", axis=axis)
figures.picture(
    figure,
    alt="Training loss of four groups per epoch: with plain training the rare groups are far above, with weights all are close.",
    takeaway="Plain training leaves the rare groups behind for many epochs; with fixed weights the four stay together.",
)

# %% [markdown]
# In plain training it is always the same group. With fixed weights it changes, but the four are nearly equal: there may be
# little left for moving weights to gain. Keep that in mind.

# %% [markdown]
# ## The idea
#
# Write $L_g$ for the mean loss of group *g*, in a batch. Let an adversary choose the weights *q* of the groups, not
# negative and with sum 1 (the set Δ), and let the model minimise what the adversary makes as large as possible:
#
# $$\min_\theta\; \max_{q \in \Delta}\; \sum_g q_g\, L_g(\theta), \qquad q_g \leftarrow \frac{q_g\, e^{\eta L_g}}{\sum_h q_h\, e^{\eta L_h}} .$$
#
# Given the losses, the worst choice would put all weight on one group. The adversary is made slower than that: after each
# batch, the weight of a group is multiplied by an exponential of its loss. Over many batches, *q* is proportional to the
# exponential of η times the *sum* of the group's losses so far. The *step size* η says how fast weights follow; the smaller
# it is, the longer they stay equal.
#
# Two more parts belong to it. *Batches* hold all groups alike here, so that each weight is updated as often. And the
# *adjustment* adds $C/\sqrt{n_g}$ to a group's loss before every update: small groups are memorised more easily, so their
# training loss says less about the test. (It adds up, too: from step to step, the weights of small groups grow.)
#
# `normalize` divides the losses by their sum before the update. The library also has `GreedyGroupDRO`, which fills weights
# from the worst group down, each up to its share of the data over `alpha`.

# %%
print(inspect.getsource(library.group_means))
print(inspect.getsource(library.exponentiated))
print(inspect.getsource(GroupDRO.loss))
print(inspect.getsource(GroupDRO.weights))

# %% [markdown]
# ## By hand
#
# Six samples of three groups, with mean losses 0.5, 1 and 2, and equal weights to start with. With η = 1 the weights
# become proportional to $e^{0.5}$, $e$ and $e^2$: 0.140, 0.231 and 0.629. The loss that the model follows is their weighted
# sum, 1.558 instead of the mean 1.167. With η = 0.01 hardly anything has moved after one batch.

# %%
losses = torch.tensor([0.25, 0.75, 0.5, 1.5, 2.0, 2.0], dtype=torch.float64)
means, counts = library.group_means(losses, torch.tensor([0, 0, 1, 1, 2, 2]), 3)
equal = torch.full((3,), 1 / 3, dtype=torch.float64)
for step_size in (1.0, 0.01):
    q = library.exponentiated(equal.log(), means, step_size).exp()
    print(f"η = {step_size}: q = {[round(each, 3) for each in q.tolist()]}, loss {float((q * means).sum()):.3f}")
assert torch.allclose(library.exponentiated(equal.log(), means, 1.0).exp(), torch.softmax(means, 0))

# %% [markdown]
# ## Turn the knob
#
# The weights over the steps of ten epochs, for three step sizes.


# %%
def weights_by_step(method):
    """q after every step of ten epochs, [steps, groups]."""
    used = []

    def look(model, batch, state, loss):
        used.append(state.used)

    train(models.mlp(splits.train), splits.train, method, epochs=10, on_step=look)
    return torch.stack(used)


figure, axes = figures.new_figure(11.0, 3.8, 1, 3, sharey=True)
for axis, step_size in zip(axes, (0.01, 0.1, 1.0)):
    q = weights_by_step(GroupDRO(step_size=step_size))
    lines = {group: (range(len(q)), q[:, g].tolist()) for g, group in enumerate(splits.train.group_names)}
    figures.curves(lines, x=f"step (η = {step_size:g})", y="weight of the group", axis=axis, ylim=(0, 1.02))
figures.picture(
    figure,
    alt="Weights of four groups over the steps: nearly constant at a small step size, jumping between groups at the largest.",
    takeaway="A small step size hardly moves the weights in so short a training; a large one throws them about.",
)

# %% [markdown]
# The panel trains with your setting, and draws weights and losses while it does. What does a step size of 1 do to the
# losses? What does `adjustment` do to the weights of the rare groups?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_group_dro,
    GroupDRO(step_size=0.1),
    weight_decay=Knob(0.0, low=0.0, high=30.0, help="of AdamW, decoupled from the loss"),
)

# %% [markdown]
# ## Measure it
#
# The network and the rule of lecture 02: of ten epochs, the one with the best worst group on validation is tested.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("runs"))
runs = here.runs

# %%
figures.picture(
    figures.study_bars(runs),
    alt="Dots per seed and intervals for five methods: ERM has the lowest worst group, the other four are close together.",
    takeaway="Group DRO is far above plain training, and where the simpler methods are.",
)

# %% tags=["claim"]
here.claim("L05.1a", "B05.1e", "L05.1b", "B05.1c", "B05.1d")

# %% [markdown]
# With the usual step size of $0.01$ the weights hardly leave one quarter in so short a training, as the picture of the weights
# has shown. A loss with equal weights for all groups is the loss of lecture 01, with balanced or plain batches alike. Does
# a larger step size make a difference?
#
# **A map.** Step size by weight decay, six epochs, the last one tested; the mean over seeds is in the cell. References are
# plain training and fixed weights at the same decay.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("mapped"))
mapped = here.mapped

# %%
names = mapped[0.0].names
cells = [[each.mean(name).value for each in mapped.values()] for name in names]
figures.picture(
    figures.heat(cells, rows={"": names}, columns={"weight decay": [f"{d:g}" for d in mapped]}, of="worst group, test"),
    alt="Map of worst-group accuracy: good for small step sizes with much weight decay, near zero for the largest step size.",
    takeaway="The largest step size is bad everywhere, and useless with decay; the small ones are alike, near fixed weights.",
)

# %% tags=["claim"]
here.claim("L05.2a", "L05.2b")

# %% [markdown]
# **The adjustment** is the second knob: none against $C = 10$, at a weight decay of 10, after ten epochs.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("adjusted"))
for name in here.adjusted.names:
    print(name, "worst group", here.adjusted.mean(name))

# %% tags=["claim"]
here.claim("L05.2c")

# %% [markdown]
# ## When it breaks
#
# **Without regularisation.** Lecture 01 ended with weights that stop mattering once every sample is fitted. What becomes of
# Group DRO, when all training losses are near zero and there is no worst group left for the weights to follow? Train for
# thirty epochs, and test the last.
#
# **With the wrong groups.** The adversary can only protect groups that it is told. Shuffle the colours in the training
# data's table (not in the images), so that a group is a class and a coin toss.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("long", "wrong"))
long = here.long

# %%
figures.picture(
    figures.curves(long.worst_by_epoch(), x="epoch", y="worst group, validation", ylim=(0, 1.02)),
    alt="Worst validation group per epoch: Group DRO peaks early and falls, ERM rises slowly; they come near each other.",
    takeaway="Without regularisation, Group DRO loses a part of what it gains early, while plain training catches up.",
)

# %% tags=["claim"]
here.claim("B05.3a", "B05.3b", "B05.3c")

# %% [markdown]
# ## Exercises
#
# `exercises.updated.hint()` helps, `exercises.updated.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The weights after one update, from the weights q, the groups' losses and the step size.
def updated(q, losses, step_size): ...


exercises.updated.check(updated)


# %% tags=["exercise"]
# 2. The mean loss of each of n_groups groups in a batch; 0 for a group that is not there. Try without a loop.
def means(losses, groups, n_groups): ...


exercises.means.check(means)


# %% tags=["exercise"]
# 3. The losses with the adjustment C / √n, from the groups' sizes in training.
def adjusted_losses(losses, counts, c): ...


exercises.adjusted.check(adjusted_losses)

# %% [markdown]
# ## Recap
#
# - Group DRO lets the weights of the groups follow their losses; it lifted the worst group a great deal.
# - With the usual step size its weights stayed near equal, so that on balanced batches it added nothing to them. Always
#   compare with those.
# - A step size that is too large ends in a useless network; the adjustment can help. Search them on validation, and give
#   the methods that you compare with the same search.
# - Trained on without regularisation it lost a part of its lead; and it protects the groups it is told, no others.
#
# **Quiz**
#
# <details><summary>All groups have the same loss. What does an update do to the weights?</summary>Nothing: all are multiplied
# by the same number, and the sum is divided out again.</details>
#
# <details><summary>A group has no sample in a batch. Its loss counts as zero there. What happens to its
# weight?</summary>It falls behind: the others are multiplied by more than one. Where many plain batches miss the rare
# groups (small batches, very rare groups), those fall behind most; balanced batches prevent it.</details>
#
# <details><summary>A group in the training data is mislabelled noise, so that nothing can be learnt about it. What will
# Group DRO do?</summary>Give it more and more weight, at the expense of all others: the worst group need not be one that
# can be helped.</details>
#
# ## References
#
# - Sagawa et al. 2020, *Distributionally robust neural networks for group shifts: on the importance of regularization for
#   worst-case generalization*, ICLR.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
# - Hu et al. 2018, *Does distributionally robust supervised learning give robust classifiers?*, ICML.
# - Gulrajani and Lopez-Paz 2021, *In search of lost domain generalization*, ICLR (equal search for all).
#
# **Next:** [06 Spectral decoupling](06_spectral_decoupling.ipynb) needs no group labels: it adds a penalty to the loss.
