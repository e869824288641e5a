# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Hard example mining
#
# **The question.** [Lectures 01](01_loss_reweighting.ipynb) and [02](02_sampling.ipynb) had to know the group of each
# training sample. Most data sets do not come with groups. But a network that leans on the colour is wrong on the rare
# samples, so their loss is high. Is it enough to learn from whatever has a high loss?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch

from debias_course import data, figures, models, train
from debias_course.lectures.hard_example_mining import exercises
from debias_course.lectures.hard_example_mining.measurements import HardExampleMiningLesson, kept_shares
from debias_course.lectures.hard_example_mining.panel import draw_mining
from debias_course.lectures.panels import panel
from debias_course.methods import DrawnMining, HardMining, Knob
from debias_course.methods import hard_mining as library

here = HardExampleMiningLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - the samples with the highest losses come from the rare groups much more often than chance;
# - learning from the hardest tenth lifts the worst group of a small model, and nobody had to name a group;
# - how much is kept matters a lot, a plain warm-up much less;
# - drawing by the loss and dividing by the probability gives plain training back;
# - a network that can memorise gains much less, and with wrong labels it is harmed.
#
# ## See the problem
#
# Train a small model (logistic regression on the pixels) for a few epochs, and look at the 300 of its 3,000 training
# digits that have the highest losses. Compare the shares with those of the whole: the digits against the pattern are
# one in twenty.

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)
plain = train(models.linear(splits.train), splits.train, epochs=5, batch_size=512).model
losses = library.score(plain, splits.train.batch(torch.arange(3000)))
highest = splits.train.subset(library.hardest(losses, 300))
figures.picture(
    figures.sample_grid(highest),
    alt="Eight of the hardest digits of each group, and the groups' shares: every image of the rare groups is in it.",
    takeaway="Nobody told the model about groups; its own losses point to the rare ones.",
)
print("all:    ", *splits.train.counts.tolist())
print("hardest:", *highest.counts.tolist())

# %% [markdown]
# ## The idea
#
# Pass *N* samples through the network, look at their losses, and take the gradient of the *B* highest only. This is
# *mining*:
#
# $$\min_\theta\; \frac{1}{B} \sum_{i \in S} \ell_i , \qquad S = \text{the } B \text{ samples with the highest losses.}$$
#
# With all data as the batch, this is the mean loss of the worst share $B/N$ (the *conditional value at risk*). No group
# of that size or larger can have a higher mean loss: a bound for all of them, without a list of groups. (At a tenth of
# 3,000 it protects any 300 samples. Our rare groups have 75 each: nothing is promised to them.)
#
# A softer way draws with a probability that grows with the loss, here in proportion to it: $p_i =
# \ell_i / \sum_j \ell_j$. The expected gradient of one draw is $\sum_i p_i \nabla \ell_i$: still a focus on the hard
# ones. If the drawn gradient is divided by $N p_i$, it is the plain mean again, and only the noise has changed. (The
# library's `DrawnMining` draws *B different* samples, and divides by the probability with which each came in; `correct`
# turns that on.)
#
# Note what is *not* used: neither attribute nor group. The losses come from a first pass without gradients, in evaluation
# mode; the kept samples are forwarded again, with gradients. (`passes="one"` does it in one pass, with gradients of all.)

# %%
print(inspect.getsource(library.hardest))
print(inspect.getsource(HardMining.loss))

# %% [markdown]
# ## By hand
#
# Six losses: 0.1, 0.4, 2.5, 0.4, 0.2 and 0.4. The two highest are 2.5 and one of the three 0.4; of equals the first is
# taken, so samples 2 and 1, with mean 1.45. All six have the mean 0.667, and that is plain training; the highest alone
# is 2.5. If one is drawn, sample 2 comes with probability 2.5 / 4 = 0.625.

# %%
six = torch.tensor([0.1, 0.4, 2.5, 0.4, 0.2, 0.4])
for keep in (1, 2, 6):
    kept = library.hardest(six, keep)
    print(f"keep {keep}: samples {kept.tolist()}, mean loss {six[kept].mean():.3f}")
print("probability of each in one draw:", [round(p, 3) for p in (six / six.sum()).tolist()])
assert library.hardest(six, 2).tolist() == [2, 1]

# %% [markdown]
# ## Turn the knob
#
# Which groups do the kept samples come from, epoch by epoch? Three settings: the hardest tenth from the start, the
# hardest tenth after five epochs of plain training (`warm_up`), and the hardest quarter.

# %% tags=["measure", "nbval-ignore-output"]
print(inspect.getsource(kept_shares))

# %%
watched = {
    "a tenth": HardMining(keep=0.1),
    "a tenth, after 5 epochs": HardMining(keep=0.1, warm_up=5),
    "a quarter, after 5 epochs": HardMining(keep=0.25, warm_up=5),
}
figure, axes = figures.new_figure(11.0, 3.6, 1, 3, sharey=True)
for axis, (name, method) in zip(axes, watched.items()):
    shares = kept_shares(splits.train, method, 0)
    bands = {"with the pattern": shares[:, [0, 3]].sum(1).tolist(), "against it": shares[:, 1:3].sum(1).tolist()}
    figures.bands(bands, x=f"epoch ({name})", y="share of the kept", start=method.first_epoch, axis=axis)
figures.picture(
    figure,
    alt="Bands over epochs for three settings: samples against the pattern are two fifths of a tenth, a fifth of a quarter.",
    takeaway="One sample in twenty is against the pattern, and far more than that among the kept. A quarter has all of them.",
)

# %% [markdown]
# The panel trains the small model with your setting (a second or so) and shows what it kept, and the groups it served.
# Let a tenth of the training digits have a wrong label (`wrong`): what is kept now?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_mining,
    HardMining(keep=0.1, warm_up=5),
    wrong=Knob(0.0, low=0.0, high=0.3, help="share of training samples with a wrong label"),
)

# %% [markdown]
# The same, but with samples that are drawn by their losses. What does `correct` do?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_mining,
    DrawnMining(keep=0.1, warm_up=5),
    wrong=Knob(0.0, low=0.0, high=0.3, help="share of training samples with a wrong label"),
)

# %% [markdown]
# ## Measure it
#
# The small model again, for 20 epochs of six batches of 512. The last epoch is tested, so no validation set is needed, and
# no group label is used before the test.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("runs", "chosen"))
runs = here.runs

# %%
figures.picture(
    figures.study_bars(runs),
    alt="Dots per seed and intervals for six methods: the hardest tenth has the highest worst group, ERM nearly none.",
    takeaway="Learning from the hardest tenth has the best worst group of these, with or without a warm-up.",
)

# %% tags=["claim"]
here.claim("L03.1a", "L03.2a", "L03.2b", "L03.1b")

# %% [markdown]
# **It has knobs**, and without group labels nobody tells you how to set them. A quarter holds all 150 rare samples, but
# 600 others, too. Training plainly first is common advice. And the epoch can be chosen by the worst *class* on validation:
# that rule reads class labels only, but our validation set is balanced in colour, which somebody has to know.

# %% tags=["claim"]
here.claim("B03.2c", "B03.2d", "B03.2e")

# %% [markdown]
# ## When it breaks
#
# **A network that can memorise.** Take the network of lectures 00 to 02 (one hidden layer), the same batches, and 60
# epochs. It can learn the rare samples one by one, without learning the shape any better. (That this is the reason is
# likely, not measured.)
#
# **Wrong labels.** Give one in ten training digits the other class. If it was a digit of a common group, its loss is high
# for the same reason as that of a rare one: label and colour do not go together. There are 284 of those, twice as many as
# rightly labelled rare ones.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("flexible", "flexible_noisy", "small_noisy"))
flexible, flexible_noisy = here.flexible, here.flexible_noisy

# %%
lines = {f"{name}, clean": line for name, line in flexible.worst_by_epoch().items()}
lines |= {f"{name}, wrong labels": line for name, line in flexible_noisy.worst_by_epoch().items()}
figures.picture(
    figures.curves(lines, x="epoch", y="worst group, validation", ylim=(0, 1.02)),
    alt="Worst validation group per epoch on the larger network: mining is a little ahead on clean labels, and falls far "
    "behind with wrong ones.",
    takeaway="On the larger network mining gains a little from clean labels; with wrong labels it falls apart.",
)


# %% tags=["claim"]
here.claim("B03.3a", "B03.3b", "B03.3c", "B03.3e", "B03.3f", "B03.3g")

# %% [markdown]
# That the small model's worst group gains at all may surprise. A likely reason (not measured): it cannot memorise samples,
# and all that contradict the colour, rightly or wrongly labelled, tell it not to trust the colour. The wrong ones also
# teach it wrong shapes, and that is the price.
#
# ## Exercises
#
# `exercises.worst_mean.hint()` helps, `exercises.worst_mean.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The mean of the highest round(share · N) of N losses (of at least one).
def worst_mean(losses, share): ...


exercises.worst_mean.check(worst_mean)


# %% tags=["exercise"]
# 2. Sample i was drawn with probability p_i = losses[i] / (sum of the losses). Return its loss divided by N · p_i.
def single_draw(losses, i): ...


exercises.single_draw.check(single_draw)


# %% tags=["exercise"]
# 3. Of the `keep` highest losses, which share belongs to `group`?
def kept_of_group(losses, groups, group, keep): ...


exercises.kept_of_group.check(kept_of_group)

# %% [markdown]
# ## Recap
#
# - A biased model's losses point at the rare groups; mining learns from those without a name for them.
# - It lifted the worst group of a small model a great deal with a tenth, and much less with a quarter. Without group
#   labels in validation, nothing tells you which to take.
# - Drawing by the loss focuses on the hard; dividing by the probability takes the focus away again.
# - A network that memorises gained much less, and with wrong labels it was harmed: a high loss does not say why.
#
# **Quiz**
#
# <details><summary>What does <code>keep=1</code> with the highest losses do, and what does a single kept sample
# do?</summary>The first is plain training, to the bit. The second minimises the largest loss of each batch: one wrong label
# is enough to lead it.</details>
#
# <details><summary>In exercise 2 (a single draw) every sample counts the same in the end. Is the correction then
# useless?</summary>The loss is the mean, whoever was drawn. Its gradient is not: samples with a high loss tend to have a
# large gradient, and drawing those makes the estimate less noisy.</details>
#
# <details><summary>You have no group labels, and a tenth of your labels may be wrong. How could you tell whether mining
# serves the rare or the wrong?</summary>Look at what it keeps: a hundred of the hardest samples, by eye. That is what the
# first picture of this lecture is for.</details>
#
# ## References
#
# - Shrivastava et al. 2016, *Training region-based object detectors with online hard example mining*, CVPR.
# - Kawaguchi and Lu 2020, *Ordered SGD: a new stochastic optimization framework for empirical risk minimization*, AISTATS.
# - Katharopoulos and Fleuret 2018, *Not all samples are created equal: deep learning with importance sampling*, ICML.
# - Kool et al. 2019, *Stochastic beams and where to find them*, ICML (drawing without repeats, and the correction).
# - Rockafellar and Uryasev 2000, *Optimization of conditional value-at-risk*, Journal of Risk.
# - Liu et al. 2021, *Just train twice: improving group robustness without training group information*, ICML (a relative
#   of mining that finds its hard samples once).
#
# **Next:** [04 SMOTE](04_smote.ipynb) returns to rare classes, and makes new samples for them.
