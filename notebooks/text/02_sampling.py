# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Sampling
#
# **The question.** [Lecture 01](01_loss_reweighting.ipynb) let a rare sample count more. Instead, one can show it more
# often, or show the common ones less often. On average over the batches that is the same gradient. Is it the same
# training?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch
from torch.utils.data import WeightedRandomSampler

from debias_course import data, figures
from debias_course.data import GroupedData
from debias_course.lectures.dataset_bias.panel import draw_shortcut, fit_shortcut
from debias_course.lectures.panels import panel
from debias_course.lectures.sampling import exercises
from debias_course.lectures.sampling.measurements import SamplingLesson
from debias_course.methods import ERM, BatchSampling, Knob, OverSampling, UnderSampling
from debias_course.methods import sampling as library

here = SamplingLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - repeating the rare groups and thinning the common ones both lift the worst group;
# - a batch can have exactly the shares that you ask for, where the usual weighted sampler has them on average only;
# - without augmentation, batch sampling and loss weights come out alike; with it, batch sampling is ahead;
# - augmentation alone, without balancing, can make the worst group much worse;
# - a subset that is drawn once and one that is drawn anew for each epoch are two different methods.
#
# ## See the problem
#
# Ten batches of plain training on the coloured digits of lecture 00, a line each, with the number of samples of each
# group in the order of the list. A batch that holds none of a group gives no gradient from it.

# %%
splits = data.colored_digits(correlation=0.95, seed=0)


def show_counts(batches):
    for batch in batches[:10]:
        print(*(f"{n:4d}" for n in torch.bincount(splits.train.groups[batch], minlength=4).tolist()))


print("groups:", *splits.train.group_names, sep="\n  ")
show_counts(ERM().batches(splits.train, 32, seed=0, epoch=1))

# %% [markdown]
# ## The idea
#
# Draw each of the *B* samples of a batch with a probability $p_i$ of your choice instead of $1/n$. At given parameters θ,
# the expected gradient of the batch is then
#
# $$\mathbb{E}\Big[\tfrac{1}{B}\sum_{i \in \text{batch}} \nabla\ell_i\Big] \;=\; \sum_{i=1}^{n} p_i\,\nabla\ell_i ,$$
#
# the same as with loss weights $w_i = n\,p_i$ and plain sampling. The mean agrees; the noise of a batch does not, nor how
# often a sample is seen. One can choose at two levels.
#
# - **Epoch level.** When an epoch starts, choose its indices: *over-sampling* repeats the small populations until all
#   are as large as the largest; *under-sampling* thins the large ones to the size of the smallest, with a new subset for
#   each epoch, or with one subset for good. (Then $p_i$ is zero for whatever was thrown away: another loss altogether.)
# - **Batch level.** Every population has *B* times its share of seats due in each batch. It gets the whole ones; seats
#   that are left over go to the largest fractions (on a tie, to the first), and later batches make up for it.
#
# A method returns its indices, so you can print them. This draws an epoch: with `replacement`, a random member for each
# slot of a population; otherwise the members in random order, again and again. (`index_select` picks rows.)

# %%
print(inspect.getsource(library.draw_epoch))
print(inspect.getsource(OverSampling.targets))
print(inspect.getsource(UnderSampling.targets))

# %% [markdown]
# ## By hand
#
# Six samples, four of group 0 and two of group 1. Over-sampling shows each sample of group 1 twice, eight in all;
# under-sampling keeps two of group 0, four in all. With batches of 7 and equal shares, 3½ seats are due to each: one
# group gets 4, the other 3, and next time it is the other way round. With shares 0.45, 0.33 and 0.22 of a batch of 20,
# 9, 6.6 and 4.4 seats are due: 9, 6 and 4 at once, and the one that is left over goes to the second.

# %%
groups = torch.tensor([0, 0, 0, 0, 1, 1])
six = GroupedData(torch.zeros(6, 1), torch.zeros(6, dtype=torch.int64), groups, ("any",), ("group 0", "group 1"))
over = torch.cat(list(OverSampling().batches(six, 8, seed=0, epoch=1)))
under = torch.cat(list(UnderSampling().batches(six, 8, seed=0, epoch=1)))
print("over-sampling uses each sample", torch.bincount(over, minlength=6).tolist(), "times")
print("under-sampling keeps of each group", torch.bincount(groups[under]).tolist())
print("seats in four batches of 7:", library.quotas(torch.tensor([0.5, 0.5], dtype=torch.float64), 7, 4).tolist())
shares = torch.tensor([0.45, 0.33, 0.22], dtype=torch.float64)
print("seats in a batch of 20 for", shares.tolist(), "are", library.quotas(shares, 20, 1).tolist())
assert torch.bincount(over).tolist() == [1, 1, 1, 1, 2, 2]

# %% [markdown]
# ## Turn the knob
#
# Who is in ten batches of 32, when a *weighted sampler* draws with probabilities that even the groups out (as much code
# does), and when the batch level fixes the seats?

# %%
weights = (1 / splits.train.counts.double())[splits.train.groups]
weighted = WeightedRandomSampler(weights, 320, generator=torch.Generator().manual_seed(0))
drawn = {
    "weighted sampler": torch.tensor(list(weighted)).split(32),
    "batch sampling": BatchSampling().batches(splits.train, 32, seed=0, epoch=1)[:10],
}
figure, axes = figures.new_figure(9.0, 3.6, 1, 2, sharey=True)
for axis, (name, batches) in zip(axes, drawn.items()):
    counts = torch.stack([torch.bincount(splits.train.groups[batch], minlength=4) for batch in batches])
    lines = {group: (range(1, 11), counts[:, g].tolist()) for g, group in enumerate(splits.train.group_names)}
    figures.curves(lines, x=f"batch of the {name}", y="samples of the group", axis=axis, ylim=(0, 20))
figures.picture(
    figure,
    alt="Samples per group in ten batches: four jagged lines for the weighted sampler, one level line for batch sampling.",
    takeaway="Balanced on average is not balanced: batch sampling gives eight of each group in every batch.",
)
show_counts(drawn["batch sampling"])

# %% [markdown]
# Three settings on the plane of lecture 00, with training samples as dots (the first coordinate is the shortcut), and
# then the panel. Set `by` to label: why is it then the same as plain training?

# %%
trained = {}
for name, method in {"plain": ERM(), "over-sampling": OverSampling(), "under-sampling": UnderSampling()}.items():
    toy, trained[name] = fit_shortcut(method, 0.95)
figures.picture(
    figures.regions(trained, toy.train),
    alt="Three scatter plots with a straight decision boundary: tilted for plain training, nearly level for the others.",
    takeaway="Both ways of evening out the groups turn the boundary away from the shortcut.",
)

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_shortcut,
    OverSampling(),
    correlation=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# ## Measure it
#
# The same network, seeds and rule for all, as in lecture 01: the epoch with the best worst group on validation is tested,
# of ten this time. With batches of 128 (above they hold 32), steps are not equal: an epoch has 24 of them for plain
# training and batch sampling, 45 for over-sampling, and 3 for under-sampling.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("runs"))
runs = here.runs

# %%
figures.picture(
    figures.study_bars(runs),
    alt="Dots per seed and intervals for four methods: the worst group is low for ERM and higher for the three samplers.",
    takeaway="All three ways of balancing have a better worst group here; which is best is not tested.",
)

# %% tags=["claim"]
here.claim("L02.1a", "L02.1b", "L02.1c")

# %% [markdown]
# **Exact or on average?** How far is a group from its eight seats in a batch of 32: on average over groups and batches
# of an epoch for the weighted sampler, and at most for batch sampling?


# %% tags=["claim"]
here.claim("L02.2a", "L02.2b")

# %% [markdown]
# **Sampling or weights?** It is often said that sampling is to be preferred in vision, where images are *augmented*: each
# time a digit is shown, it is turned, shifted and scaled a little, as `move` does. In an epoch, batch sampling shows each
# rare digit about ten times, as ten different pictures; weighting shows it once, as one picture that counts ten times.
# Train both with and without augmentation, to the last epoch; both take the same number of steps.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("plain", "augmented"))
plain, augmented = here.plain, here.augmented
for name, result in {"plain": plain, "augmented": augmented}.items():
    print(name, {each: round(result.mean(each, "group_balanced").value, 2) for each in result.names})

# %% tags=["claim"]
here.claim("L02.3a", "L02.3b")

# %% [markdown]
# ## When it breaks
#
# **Augmentation alone.** Turning and shifting makes the shape harder to read, and leaves the colour as it is. That may be
# why plain training with augmentation serves the rare groups even worse (or does it only need more epochs? Try.)

# %% tags=["claim"]
here.claim("B02.5")

# %% [markdown]
# **What is lost.** Under-sampling with a fixed subset throws nearly all of the common samples away, for good. Redrawn
# for each epoch, it sees them all in the end, and repeats the rare ones as over-sampling does. Train both for eighty
# (short) epochs, and over-sampling for twenty.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("long", "repeated"))
long = here.long

# %%
figures.picture(
    figures.curves(long.worst_by_epoch(), x="epoch", y="worst group, validation", ylim=(0, 1.02)),
    alt="Mean over seeds of the worst group per epoch: the fixed subset rises and stays, the redrawn one peaks and falls.",
    takeaway="A fixed subset keeps its worst group in long training; one that is redrawn loses it again.",
)

# %% tags=["claim"]
here.claim("B02.4a", "B02.4b", "B02.4c")

# %% [markdown]
# ## Exercises
#
# `exercises.seats.hint()` helps, `exercises.seats.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. Indices of an over-sampled epoch, from the tensor of groups: complete copies, and part of one where needed.
def over_sample(groups): ...


exercises.over_sample.check(over_sample)


# %% tags=["exercise"]
# 2. The seats of each population in a batch, from a tensor of shares: largest remainders.
def seats(shares, batch_size): ...


exercises.seats.check(seats)


# %% tags=["exercise"]
# 3. The share of n samples that is seen, on average, in so many draws with replacement.
def seen(n, draws): ...


exercises.seen.check(seen)

# %% [markdown]
# ## Recap
#
# - Over-sampling, under-sampling and batch sampling even out who is seen; all lift the worst group.
# - The usual weighted sampler balances on average; batch sampling, with fixed seats for each group, does it in every
#   batch.
# - Without augmentation batch sampling is not better than weighting; with it, it was, and plain training with
#   augmentation was much worse in its worst group.
# - Say which under-sampling you mean: a fixed subset and a redrawn one end in different places.
#
# **Quiz**
#
# <details><summary>A weighted sampler draws as many samples per epoch as there are, half of them from the rare groups. Is
# every common sample seen in an epoch?</summary>No. It draws with replacement, and a common group of 1,425 gets only 750
# of our 3,000 draws: <code>seen(1425, 750)</code> of exercise 3 tells the share that is seen.</details>
#
# <details><summary>Every redrawn subset has equal groups, too. Why does only the fixed one keep its worst
# group?</summary>A likely reason (not measured here): the fixed subset holds 75 different samples of every group, so no
# group is easier to memorise than another. Redrawn ones repeat the same 75 rare samples but bring new common ones: the
# rare can be memorised, the common must be learnt.</details>
#
# <details><summary>One group has a single training sample. What does over-sampling do with it, and what would you
# do?</summary>It repeats it as often as the largest group is large. Augment it, merge the group with another, or say that
# you cannot know.</details>
#
# ## References
#
# - Buda et al. 2018, *A systematic study of the class imbalance problem in convolutional neural networks*, Neural Networks
#   (over- and under-sampling compared).
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR (fixed subsets, "SUBG",
#   and balanced sampling, "RWG").
# - Sagawa et al. 2020b, *An investigation of why overparameterization exacerbates spurious correlations*, ICML.
# - Shorten and Khoshgoftaar 2019, *A survey on image data augmentation for deep learning*, Journal of Big Data
#   (augmentation).
#
# **Next:** [03 Hard example mining](03_hard_example_mining.ipynb) does without group labels.
