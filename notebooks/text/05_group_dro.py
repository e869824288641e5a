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
# **It happened.** Remember the five companies' speech recognisers of [03](03_hard_example_mining.ipynb). They got about one
# word in five wrong when the speaker was white, and more than one in three when the speaker was Black; each of the five had
# such a gap (Koenecke et al. 2020). No mean over all users shows that. And it can get worse by itself: those who are served
# badly stop using the product, their share of the next training data shrinks, and the mean counts them even less
# (Hashimoto et al. 2018).
#
# **The question.** [Re-weighting](01_loss_reweighting.ipynb) fixes how much each group counts before training starts. But
# the group that is worst off can change while the network learns. What if the weights follow the losses, so that training
# always works on the worst group? That is *group distributionally robust optimisation*, Group DRO for short. Does the
# worst group gain more than it does from weights that are equal, and stay so?

# %% tags=["setup", "nbval-ignore-output"]
import torch

from debias_course import data, figures, models
from debias_course.lectures.group_dro import exercises, pictures
from debias_course.lectures.group_dro.game import FrozenWeights
from debias_course.lectures.group_dro.measurements import GroupDROLesson
from debias_course.lectures.group_dro.panel import draw_group_dro
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import BatchSampling, GroupDRO, Knob
from debias_course.methods import group_dro as library

here = GroupDROLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether Group DRO makes the worst group better, on training and on test data, than plain training and than equal weights;
# - how sensitive it is to its settings, compared with plain training over the same map of them;
# - what a step size does to the weights, when they go round in circles, and what helps then;
# - whether strong regularisation brings out what moving weights are good for.
#
# ## See the problem
#
# The training loss of each group, epoch by epoch: in plain training, and where each batch holds all groups alike and each
# group counts the same. We call that **frozen weights**. It is what Group DRO starts from, so it is the control of this
# lecture: whatever frozen weights do as well is no merit of weights that move.

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)
figures.picture(
    pictures.losses_by_epoch(splits.train),
    takeaway="Which group is worst off, and does it stay the same? How much is left to gain on the right?",
)

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Data, network and update stay as they are. A second player chooses the weights in the loss.",
)

# %%
here.guess(
    "L05.1",
    "Let the weights follow the losses. On test data, the worst group is better than",
    "with plain training and with frozen weights",
    "with plain training only",
    "with neither",
)

# %% [markdown]
# ## The idea
#
# Write $L_g(\theta)$ for the **risk** of group *g*: its mean loss with the network's parameters θ. Let an adversary choose a
# weight $q_g$ for each of the *G* groups, not negative and with sum 1 (the set of such weights is called Δ). The network
# minimises what the adversary makes as large as possible:
#
# $$\min_\theta\; \max_{q \in \Delta}\; \sum_{g=1}^{G} q_g\, L_g(\theta)
# \;=\; \min_\theta\; \max_g\; L_g(\theta), \qquad
# q_g \leftarrow \frac{q_g\, e^{\eta L_g}}{\sum_h q_h\, e^{\eta L_h}} .$$
#
# At once, the adversary would put all weight on one group. The update on the right makes it slower: after each batch, the
# weight of a group is multiplied by an exponential of its loss, with a **step size** η. Over many batches, *q* is
# proportional to the exponential of η times the *sum* of the group's losses so far. So what η does depends on how many
# steps there are, and on how long the losses differ.
#
# What does theory promise? If every $L_g$ is convex in θ, and both players take small steps, smaller the more steps there
# are, then the *average* of θ over all steps comes close to the best worst risk (Nemirovski et al. 2009). It says nothing
# about the last step. And for convex losses there are fixed weights with the same solution (Sagawa et al. 2020a): what
# moving weights add is to find them.
#
# Two details remain. Every batch holds equally many samples of each group, so all weights are updated equally often. And
# an **adjustment** adds $C/\sqrt{n_g}$ to a group's loss in the exponent, where $n_g$ is its size in training: small groups
# are memorised more easily, so their training loss says less about the test. (Two variants are not measured here:
# `normalize` divides the losses by their sum before the update, and `GreedyGroupDRO` fills weights from the worst group
# down, each up to its share of the data over `alpha`.)
#
# The core of it, in one training step:

# %%
model, q, step_size = models.mlp(splits.train), torch.full((4,), 1 / 4), 0.1
batch = splits.train.batch(BatchSampling().batches(splits.train, 128, seed=0, epoch=1)[0])
losses = torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels, reduction="none")
means = torch.stack([losses[batch.groups == group].mean() for group in range(4)])
q = q * torch.exp(step_size * means.detach())  # no gradient flows through the weights
q = q / q.sum()
loss = (q * means).sum()  # and then loss.backward(), as ever
print("weights after the first step", [round(each, 4) for each in q.tolist()])

# %% [markdown]
# And the library's own code, as it runs in everything below. It keeps the logarithms of the weights, so that no loss is
# too large for the exponential. The last method is the whole of frozen weights.

# %%
source(library.group_means, library.exponentiated, GroupDRO.loss, GroupDRO.weights, FrozenWeights.weights)

# %% [markdown]
# ## By hand
#
# Six samples of three groups, with mean losses 0.5, 1 and 2, and equal weights to start with. With η = 1 the weights
# become proportional to $e^{0.5}$, $e$ and $e^2$: 0.140, 0.231 and 0.629, as in the drawing above. The loss that the network
# follows is their weighted sum, 1.558 instead of the mean 1.167. With η = 0.01 hardly anything has moved after one batch;
# after a hundred batches with the same losses, the weights are where η = 1 was after one.

# %%
losses = torch.tensor([0.25, 0.75, 0.5, 1.5, 2.0, 2.0], dtype=torch.float64)
means, counts = library.group_means(losses, torch.tensor([0, 0, 1, 1, 2, 2]), 3)
equal = torch.full((3,), 1 / 3, dtype=torch.float64)
for step_size in (1.0, 0.01):
    q = library.exponentiated(equal.log(), means, step_size).exp()
    print(f"η = {step_size}: q = {[round(each, 3) for each in q.tolist()]}, loss {float((q * means).sum()):.3f}")
log_q = equal.log()
for _ in range(100):
    log_q = library.exponentiated(log_q, means, 0.01)
assert torch.allclose(log_q.exp(), torch.softmax(means, 0))

# %% [markdown]
# ## Turn the knob
#
# The weights over the steps of ten epochs, for three step sizes. The thin line is where frozen weights stay.

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.weights_by_step(splits.train, (0.01, 0.1, 1.0)),
    takeaway="From left to right the step size grows tenfold. Where do weights settle, where do they jump, and why?",
)

# %% [markdown]
# The panel trains with your setting, and draws weights and losses while it does. The sentence below it says what frozen
# weights reach. What does a step size of 1 do to the losses? What does `adjustment` do to the weights of the rare groups?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_group_dro,
    GroupDRO(step_size=0.1),
    weight_decay=Knob(0.0, low=0.0, high=30.0, help="of AdamW, decoupled from the loss"),
)

# %% [markdown]
# ## Measure it
#
# All methods get the same seeds, the same network and the same number of epochs, and the last epoch is tested unless
# something else is said. Group DRO has a step size of `0.1`, as in Idrissi et al. (2022). Three networks play: a linear
# model, a small network with one hidden layer (MLP), and one of convolutions. Risk is measured twice: as the share of
# errors in the worst group, and as its mean loss.

# %% tags=["claim"]
here.claim("L05.1", "B05.4")

# %%
here.where("L05.1")

# %% [markdown]
# First read the rows of frozen weights. Where do moving weights add something, on which data, and with which network?
# B05.4 looks at the loss itself, which is what the weights follow.

# %%
figures.picture(
    figures.over_epochs(here.kept("T05.2"), levels={"chance": 0.5}, y="worst group, training", log=True),
    takeaway="The linear model on its own training data, which it cannot fit. Compare the two upper lines.",
)

# %%
figures.picture(
    figures.over_epochs(here.kept("T05.1"), levels={"chance": 0.5}, y="worst group, test", log=True),
    takeaway="The MLP on test data. Compare the two upper lines again, and then all three at the right end.",
)

# %% [markdown]
# **Why do the weights stop?** They follow differences between losses. A network that fits every training sample leaves no
# differences to follow. The step size of $0.01$ that papers use was meant for runs with tens of times more steps.

# %% tags=["claim"]
here.claim("B05.5", "B05.3")

# %% [markdown]
# **How sensitive is it?** A map: three learning rates, two weight decays, and for Group DRO three step sizes. For each
# method, how far apart are the best and the worst cell? Plain training and frozen weights have a map, too, without step
# sizes.

# %%
here.guess(
    "L05.2",
    "Over the same learning rates and decays, the worst group of Group DRO spans",
    "more than that of plain training, at each step size",
    "more only if the step size is varied, too",
    "less",
)

# %%
figures.picture(
    pictures.cells(here.kept("T05.3")),
    takeaway="Within a row, learning rate and decay change. Below the first two rows, the step size changes, too. Which row changes most?",
)

# %% tags=["claim"]
here.claim("L05.2")

# %%
here.where("L05.2")

# %% [markdown]
# **Regularised risk.** Large networks reach a training loss of zero in every group. Sagawa et al. (2020a) found Group DRO to
# be far better than plain training once strong weight decay or an early stop prevents that; without them there was hardly a
# gain on two of three data sets. They also compared it with sampling all groups alike. On two sets of photographs Group DRO
# was ahead by three to six points. On sentences, equal sampling was below plain training, and Group DRO eleven points above
# it. Here, too?

# %%
here.guess(
    "B05.1",
    "Under a weight decay of 10, Group DRO against frozen weights is",
    "better by 2 points or more",
    "neither better nor worse by 2 points",
    "worse by 2 points or more",
)

# %% tags=["claim"]
here.claim("B05.1")

# %%
here.where("B05.1")

# %% [markdown]
# **Plain batches.** So far every batch held all groups alike. In a plain batch of ours, a rare group has about three
# samples. Lecture 01 multiplies each by the same weight, always. Group DRO takes the mean over however many there are, so
# that the group counts the same in each batch, as soon as it is there at all. Is that a merit of its own?
#
# **Groups that are not equally hard.** A sceptic may say that our four groups are much alike once they are equally
# frequent, so that equal weights are nearly what the adversary wants. So make all groups equally large, and put noise on the
# blue digits, in training and in test. There is nothing to balance now. Do weights that move help?

# %% tags=["claim"]
here.claim("B05.6", "B05.7", "B05.11")

# %% [markdown]
# ## When it breaks
#
# **Going round in circles.** With a large step size, all weight sits on one group. The network serves that group and gives
# up the others; the weight jumps to one of those, and so on. In a game of two players that is no accident: it is what
# simultaneous steps do around a solution. Each is where the other was. Theory's answer is to average the parameters.

# %%
here.guess(
    "B05.2",
    "At a step size of 1, average the parameters of all steps. Against the last step, the worst group is",
    "better by 10 points or more",
    "about the same",
    "worse",
)

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.cycles(splits.train),
    takeaway="A linear model: the last step depends on when one stops. Compare the average with it, and with frozen weights.",
)

# %% tags=["claim"]
here.claim("B05.2")

# %% [markdown]
# **The adjustment** is constant from step to step, so it adds up, too: after *t* steps it has multiplied the weight of
# group *g* by $e^{\,\eta t C/\sqrt{n_g}}$. That is a ramp of weight towards the small groups, whose training losses say
# least about the test. How much of what it does is owed to the losses? The control has the same ramp, and never looks at a
# loss.

# %% tags=["claim"]
here.claim("B05.8", "B05.9")

# %% [markdown]
# **The wrong groups.** The adversary protects the groups that it is told, and no others. Shuffle the colours in the
# training data's table (not in the images), so that a group is a class and a coin toss.

# %% tags=["claim"]
here.claim("B05.10")

# %% [markdown]
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

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
# 3. Open: tame a step size of 1. Return a GroupDRO(step_size=1.0, ...) and its settings, such as dict(lr=1e-3), with a
#    worst group above a coin flip at the last of 20 epochs, with each of three seeds. All but step size and epochs is yours.
def tamed(): ...


exercises.open_experiment.check(tamed)

# %% [markdown]
# ## Recap
#
# - Group DRO lets the weights of the groups follow their losses. Its control is the same thing with frozen weights; without
#   that control, one credits the adversary with what balanced batches do.
# - A smaller worst risk on training data is what it is made for. Whether that helps on test data is another question.
# - A step size means nothing without the number of steps, and without losses that differ. Say both.
# - Search the step size, the learning rate and the decay on validation, and give the same search to what you compare with.
# - If the weights jump, take smaller steps or average the parameters.
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
# <details><summary>The labels of one group are noise, so nothing can be learnt about it. What will Group DRO
# do?</summary>Give it more and more weight, at the expense of all others: the worst group need not be one that can be
# helped. Subtract from each loss what a model of that group alone reaches (Oren et al. 2019), and the update asks who could
# do better, not who does badly.</details>
#
# <details><summary>A paper reports Group DRO on balanced batches far above plain training on plain batches. What is
# missing?</summary>Balanced batches with equal, fixed weights. Two things were changed at once.</details>
#
# ## References
#
# - Nemirovski et al. 2009, *Robust stochastic approximation approach to stochastic programming*, SIAM Journal on
#   Optimization.
# - Ben-Tal et al. 2013, *Robust solutions of optimization problems affected by uncertain probabilities*, Management Science.
# - Hashimoto et al. 2018, *Fairness without demographics in repeated loss minimization*, ICML.
# - Hu et al. 2018, *Does distributionally robust supervised learning give robust classifiers?*, ICML.
# - Oren et al. 2019, *Distributionally robust language modeling*, EMNLP (baselines are subtracted from the losses).
# - Koenecke et al. 2020, *Racial disparities in automated speech recognition*, PNAS.
# - Sagawa et al. 2020a, *Distributionally robust neural networks for group shifts: on the importance of regularization for
#   worst-case generalization*, ICLR.
# - Gulrajani and Lopez-Paz 2021, *In search of lost domain generalization*, ICLR (equal search for all).
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
#
# **Next:** [06 Spectral decoupling](06_spectral_decoupling.ipynb) needs no group labels: it adds a penalty to the loss.
