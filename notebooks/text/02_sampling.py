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
# **It happened.** Public collections of face photographs showed mostly light-skinned people: four in five in one benchmark,
# more in another (Buolamwini and Gebru 2018). One answer was not another loss but another data set: a hundred thousand
# photographs, chosen so that seven groups are about equally common. Networks trained on them were more evenly accurate
# (Kärkkäinen and Joo 2021). Where one cannot collect, one can still choose what the network sees, and how often.
#
# **The question.** [Lecture 01](01_loss_reweighting.ipynb) let a rare sample count more. Instead, one can show it more
# often, or show the common ones less often. On average over the batches that is the same gradient. Is it the same
# training?

# %% tags=["setup", "nbval-ignore-output"]
import torch

from debias_course import data, figures
from debias_course.data import GroupedData
from debias_course.lectures.dataset_bias.panel import draw_shortcut, fit_shortcut
from debias_course.lectures.panels import panel
from debias_course.lectures.sampling import exercises, pictures
from debias_course.lectures.sampling.measurements import SamplingLesson
from debias_course.lectures.sources import source
from debias_course.methods import ERM, BatchSampling, Knob, OverSampling, UnderSampling
from debias_course.methods import sampling as library

here = SamplingLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether repeating the rare groups, or thinning the common ones, helps the network learn the rare ones;
# - whether sampling is to be preferred to weighting the loss, and what augmentation has to do with it;
# - what balancing every batch does that balancing an epoch does not, and whether it matters;
# - what augmentation does alone, without any group label, early and late.
#
# ## See the problem
#
# Ten batches of plain training on the coloured digits of lecture 00: one line per batch, with the number of samples from
# each group, in the order listed. A group that is missing from a batch contributes nothing to that step.

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)
print("groups:", *splits.train.group_names, sep="\n  ")
for batch in ERM().batches(splits.train, 32, seed=0, epoch=1)[:10]:
    print(*(f"{n:4d}" for n in torch.bincount(splits.train.groups[batch], minlength=4).tolist()))

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Three ways to choose what is seen. The loss stays as it is.",
)

# %%
here.guess(
    "L02.1",
    "Train longer and longer with rare groups shown as often as common ones. The gain in the worst group",
    "grows",
    "shrinks, but stays",
    "vanishes",
)

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
#   each epoch, or one subset kept throughout. (Then $p_i$ is zero for whatever was thrown away: another loss altogether.)
# - **Batch level.** Each group is owed its share of the *B* seats in every batch: it gets the whole number, and leftover
#   seats go to the largest remainders. What a group missed, later batches make up for. (A batch must have a seat for every
#   group.)
#
# The core of over-sampling, for an epoch:

# %%
members = [(splits.train.groups == group).nonzero().flatten() for group in range(4)]
largest = max(map(len, members))
epoch = torch.cat([each[torch.arange(largest) % len(each)] for each in members])
epoch = epoch[torch.randperm(len(epoch))]
print("samples of each group      ", splits.train.counts.tolist())
print("an over-sampled epoch shows", torch.bincount(splits.train.groups[epoch]).tolist())

# %% [markdown]
# And the heart of batch sampling in the library: what is due, minus what was given; whole seats first, the rest to the
# largest remainders. (At a first reading, skip it.)

# %%
source(library.quotas)

# %% [markdown]
# ## By hand
#
# Six samples, four of group 0 and two of group 1. Over-sampling shows each sample of group 1 twice, eight in all;
# under-sampling keeps two of group 0, four in all. With batches of 7 and equal shares, each group is owed 3½ seats: one
# gets 4, the other 3, and next time it is the other way round. With shares 0.45, 0.33 and 0.22 of a batch of 20, they are
# owed 9, 6.6 and 4.4 seats: 9, 6 and 4 at once, and the one that is left over goes to the second.

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
# Which groups are in ten batches of 32: first with the epoch balanced as a whole, then with fixed seats in each batch?

# %%
drawn = {
    "epoch level": OverSampling().batches(splits.train, 32, seed=0, epoch=1)[:10],
    "batch level": BatchSampling().batches(splits.train, 32, seed=0, epoch=1)[:10],
}
figures.picture(
    pictures.seats(splits.train, drawn),
    takeaway="A balanced epoch does not make balanced batches. At batch level, each one holds eight of every group.",
)

# %% [markdown]
# Three settings on the plane of lecture 00, with training samples as dots (the first coordinate is the shortcut), and
# then the panel.

# %%
trained = {}
for name, method in {"plain": ERM(), "over-sampling": OverSampling(), "under-sampling": UnderSampling()}.items():
    toy, trained[name] = fit_shortcut(method, 0.95)
figures.picture(
    figures.regions(trained, toy.train),
    takeaway="Both ways of evening out the groups turn the boundary away from the shortcut.",
)

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_shortcut,
    OverSampling(),
    aligned_share=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# Set *evened out by* to label. Why is it then the same as plain training?
#
# <details><summary>Answer</summary>Both classes are equally large, so there is nothing to even out. Only the groups
# differ in size.</details>
#
# ## Measure it
#
# With batches of 128, an epoch has 24 gradient steps for plain training and batch sampling, 45 for over-sampling, and 3
# for under-sampling. So epochs are no fair measure of length. Below, 20 epochs mean **as many gradient steps** as 20
# epochs of plain training, or a few fewer where a sampler's own epochs do not fit; never more.

# %%
here.guess(
    "L02.2",
    "An epoch of under-sampling shows 75 of a common group's 1,425 samples. Its worst group, against plain training, is",
    "better",
    "about the same",
    "worse",
)

# %% tags=["claim"]
here.claim("L02.1", "L02.2", "B02.1")

# %%
here.where("L02.1")

# %% [markdown]
# **Exact or on average?** If only the epoch is balanced, how far off is a group's number in a batch?

# %%
here.guess(
    "L02.5",
    "In a batch of 32, an epoch-level sampler misses the eight seats of a group by",
    "nearly nothing",
    "about two",
    "half of them",
)

# %% tags=["claim"]
here.claim("L02.5", "B02.2")

# %% [markdown]
# **Sampling or weights?** Batch sampling shows each rare digit about ten times in an epoch; weighting shows it once, and
# lets it count ten times. Both take the same number of steps.

# %%
here.guess(
    "L02.3",
    "Without augmentation, sampling is better than weights",
    "with any sampler",
    "with some samplers only",
    "with none",
)

# %% tags=["claim"]
here.claim("L02.3")

# %%
here.where("L02.3")

# %% [markdown]
# It is often said that sampling wins in vision, because images are **augmented** there: each time a digit is shown, it is
# turned, shifted and scaled a little. So the ten showings are ten different pictures, where weighting shows one picture
# that counts ten times.

# %%
figures.picture(
    pictures.ten_ways(splits.train),
    takeaway="One rare digit, as it is and ten times augmented. Its shape varies; its colour never does.",
)

# %%
here.guess(
    "L02.4",
    "With augmentation, batch sampling is better than weights",
    "at any length",
    "only in short training",
    "never",
)

# %% tags=["claim"]
here.claim("L02.4", "B02.6")

# %%
here.where("L02.4")

# %% [markdown]
# ## When it breaks
#
# **Augmentation alone.** Turning and shifting makes the shape harder to read, and leaves the colour as it is. What does
# that do to plain training? Compare the left ends of the two pictures, and the right ends.

# %%
figures.picture(
    figures.over_epochs(here.kept("T02.1"), levels={"chance": 0.5}, y="worst group, not augmented", log=True),
    takeaway="Without augmentation: three methods, and plain training on digits without the bias.",
)

# %%
figures.picture(
    figures.over_epochs(here.kept("T02.2"), levels={"chance": 0.5}, y="worst group, augmented", log=True),
    takeaway="With augmentation, plain training starts later. Compare the two right ends.",
)

# %% tags=["claim"]
here.claim("B02.3", "B02.4")

# %% [markdown]
# **What is lost.** Under-sampling with a fixed subset throws nearly all of the common samples away, for good. Redrawn
# for each epoch, it sees them all in the end, and repeats the rare ones as over-sampling does. Which one serves the worst
# group better?

# %% tags=["claim"]
here.claim("B02.5")

# %% [markdown]
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.seats.hint()` helps, `exercises.seats.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The seats of each population in a batch, from a tensor of shares: largest remainders.
def seats(shares, batch_size): ...


exercises.seats.check(seats)


# %% tags=["exercise"]
# 2. The share of n samples that is seen, on average, in so many draws with replacement.
def seen(n, draws): ...


exercises.seen.check(seen)


# %% tags=["exercise"]
# 3. Open: any sampler, any knob. Return a Method with a worst group above 0.7 after 480 steps (20 epochs of plain
#    training).
def my_sampler(): ...


exercises.open_experiment.check(my_sampler)

# %% [markdown]
# ## Recap
#
# - Over-sampling, under-sampling and batch sampling even out who is seen. Compare them after equal gradient steps.
# - Epoch-level balance is right on average; batch-level balance is right in every batch. Whether that matters is a
#   question of its own.
# - Augmentation can change who wins, and when: say how long you trained.
# - Say which under-sampling you mean: B02.5 says how far apart a fixed subset and a redrawn one end.
#
# **Quiz**
#
# <details><summary>A weighted sampler draws as many samples per epoch as there are, half of them from the rare groups. Is
# every common sample seen in an epoch?</summary>No. It draws with replacement, and a common group of 1,425 gets only 750
# of our 3,000 draws: <code>seen(1425, 750)</code> of exercise 2 tells the share that is seen.</details>
#
# <details><summary>Every redrawn subset has equal groups, too. Why might a fixed one serve the worst group
# differently?</summary>A likely reason (not measured here): the fixed subset holds 75 different samples of every group, so no
# group is easier to memorise than another. Redrawn ones repeat the same 75 rare samples but bring new common ones: the
# rare can be memorised, the common must be learnt.</details>
#
# <details><summary>One group has a single training sample. What does over-sampling do with it, and what would you
# do?</summary>It repeats it as often as the largest group has samples. Augment it, merge the group with another, or say that
# you cannot know.</details>
#
# ## References
#
# - Buda et al. 2018, *A systematic study of the class imbalance problem in convolutional neural networks*, Neural Networks.
# - Buolamwini and Gebru 2018, *Gender shades*, FAT*. Kärkkäinen and Joo 2021, *FairFace*, WACV.
# - An, Ying and Zhu 2021, *Why resampling outperforms reweighting for correcting sampling bias with stochastic gradients*,
#   ICLR.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR (fixed subsets, "SUBG",
#   and sampling that is balanced on average, "RWG").
# - Sagawa et al. 2020b, *An investigation of why overparameterization exacerbates spurious correlations*, ICML.
# - Shorten and Khoshgoftaar 2019, *A survey on image data augmentation for deep learning*, Journal of Big Data.
#
# **Next:** [03 Hard example mining](03_hard_example_mining.ipynb) does without group labels.
