# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · SMOTE
#
# **The question.** Over-sampling ([lecture 02](02_sampling.ipynb)) shows the same few rare samples again and again. Can one
# invent new ones, by mixing two that are alike? The *synthetic minority over-sampling technique* does that. When is a
# mixture worth more than a copy, and when is it wrong?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch

from debias_course import data, figures, models, train
from debias_course.data import toys
from debias_course.evaluation import predict
from debias_course.lectures.panels import panel
from debias_course.lectures.smote import exercises
from debias_course.lectures.smote.measurements import SMOTELesson, made
from debias_course.lectures.smote.panel import draw_smote
from debias_course.methods import SMOTE, InputSMOTE, Knob
from debias_course.methods import smote as library

here = SMOTELesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - training in two stages, first the network and then a new last layer (*head*) on balanced data, serves labels with
#   twenty to a hundred samples (*medium-shot*) worse than over-sampling, and those with fewer (*few-shot*) better, though
#   less surely so;
# - whether that (linear) head sees new samples or copies hardly matters;
# - a classifier that asks the nearest neighbours gains from copies, and more from new samples;
# - a random point between two neighbours serves it better than their average;
# - new samples can land in the wrong place, and can leak into the test.
#
# ## See the problem
#
# A *long tail*: digits of which the zero is a hundred times as frequent as the nine. There is no colour this time, and the
# populations are the ten labels. It is common to report three averages: over labels with more than a hundred training
# samples (*many-shot*), with twenty to a hundred (*medium-shot*), and with fewer (*few-shot*).

# %%
splits = data.long_tailed_digits(seed=0)
figures.picture(
    figures.sample_grid(splits.train, each=8),
    alt="Eight training images of each digit where there are as many: from hundreds of zeros down to three nines.",
    takeaway="The last rows are all that a network will ever see of these digits.",
)

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("plain"))
plain = here.plain
for metric in ("many_shot", "medium_shot", "few_shot"):
    print(f"{metric:12}", plain.mean("ERM", metric))

# %% [markdown]
# ## The idea
#
# Take a rare sample $x_i$, one of its *k* nearest neighbours of the same population $x_j$, and a point between them:
#
# $$x = x_i + u\,(x_j - x_i), \qquad u \in [0, 1).$$
#
# The published method draws *u* at random; some courses take the average, $u = 1/2$; both are compared here. $u = 0$ is a
# copy, and so plain over-sampling is a special case: everything else equal, that shows what new samples are worth. The
# usual *k* is five. (`k=0` in the library: five, or all others where a population has fewer. Our three nines have two.)
#
# Between two *images* of a digit there is mostly no digit. Between their *embeddings* (what a network makes of them
# before its last layer) there may be. So train a network plainly, embed the training data, make new embeddings, and train
# a new last layer, the *head*, on all of them.

# %%
print(inspect.getsource(library.between))
print(inspect.getsource(SMOTE.data))

# %% [markdown]
# Two sixes and what is between them, as pixels; below, the other training images whose embeddings are nearest to the points
# between their embeddings. (This network has seen as many sixes as zeros.)

# %%
whole = data.long_tailed_digits(ratio=1.0).train
network = train(models.mlp(whole), whole, epochs=10).model
embedded = predict(network.features, whole)
sixes = (whole.labels == 6).nonzero().flatten()
pair, shares = sixes[[0, 12]], torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
pixels = [torch.lerp(*(whole.inputs[pair] / 255), u)[0] for u in shares]
points = torch.stack([torch.lerp(*embedded[pair], u) for u in shares])
distances = torch.cdist(points, embedded)
distances[:, pair] = torch.inf
nearest = [whole.inputs[i, 0] / 255 for i in distances.argmin(1)]
figure, axes = figures.new_figure(6.4, 2.8, 2, 5)
for row, images, name in (axes[0], pixels, "mixed pixels"), (axes[1], nearest, "nearest to mixed\nembeddings"):
    row[0].set_ylabel(name)
    for axis, image, u in zip(row, images, shares):
        axis.imshow(image, cmap="gray_r")
        axis.set(xticks=[], yticks=[], title=f"u = {u:g}" if row is axes[0] else "")
figures.picture(
    figure,
    alt="Five images from one six to another: pixels fade one into the other, with both visible in the middle.",
    takeaway="Half of two images is a double exposure. Half of two embeddings has no picture; shown are the real images nearest to it.",
)

# %% [markdown]
# ## By hand
#
# Three samples of a rare population A: (0, 0), (1, 0) and (0, 2). The nearest neighbour of (0, 0) is (1, 0), at
# distance 1 against 2; that of (1, 0) is (0, 0); and (0, 2) is 2 from (0, 0) and √5 from (1, 0), so (0, 0) it is. Half-way
# there are (0.5, 0) twice and (0, 1). Three samples of another population, wherever they lie, are not asked.

# %%
a = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
nearest_one = library.neighbours(a, 1)
print("nearest neighbour of each:", nearest_one.flatten().tolist())
every, first = torch.arange(3), torch.zeros(3, dtype=torch.int64)
half_way = library.between(a, nearest_one, every, first, 0.5)
print("half-way:", half_way.tolist())
assert half_way.tolist() == [[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]]

# %% [markdown]
# ## Turn the knob
#
# Three settings in a plane where the rare class lives on two islands of ten samples: five neighbours; fifteen, which is more
# than the nine others on an island; and these nine, with each island as a population of its own (`by` group).

# %% tags=["measure", "nbval-ignore-output"]
print(inspect.getsource(made))

# %%
island = toys.islands(seed=0).train
settings = {"k = 5": SMOTE(), "k = 15": SMOTE(k=15), "k = 9, by island": SMOTE(k=9, by="group")}
figure, axes = figures.new_figure(11.0, 4.2, 1, 3, sharey=True)
for axis, (name, method) in zip(axes, settings.items()):
    both, wrong = made(method)
    figures.new_samples(both, len(island), wrong, axis=axis)
    axis.set(xlabel=name)
figures.picture(
    figure,
    alt="Two islands of rare samples with a common class between; with many neighbours, new samples fill the common class.",
    takeaway="With more neighbours than an island has, new samples land in the sea between; by island none is made there with this seed.",
)

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_smote,
    InputSMOTE(k=5),
    rare=Knob(20, low=4, high=60, help="rare training samples, on two islands"),
)

# %% [markdown]
# ## Measure it
#
# Twenty epochs for all. *Two stages* means ten plain ones, and ten for a new head on balanced embeddings: of copies, of
# random points between neighbours, or of their averages. *SMOTE on pixels* (`InputSMOTE`) trains on new images all the
# time.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("runs"))
runs = here.runs

# %%
figures.picture(
    figures.study_bars(runs, ("few_shot", "medium_shot", "many_shot")),
    alt="Dots per seed and intervals for six methods: few-shot accuracy is lowest for ERM, highest for the two-stage ones.",
    takeaway="Two stages have the best few-shot and the worst medium-shot accuracy, with copies as with new samples.",
)

# %% tags=["claim"]
here.claim("L04.1a", "L04.1b", "B04.1d", "B04.1e", "L04.2a", "L04.2b")

# %% [markdown]
# **Who gains from new samples?** A linear head draws a line, and points between its samples may hardly move it (a likely
# reason, not measured). Take a classifier that looks at places: the five nearest training samples vote. Copies of a rare
# sample all vote at one place; new ones vote between. The same network, embeddings and samples otherwise.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("votes"))

# %% tags=["claim"]
here.claim("B04.1f", "L04.1c", "L04.3", "L04.2c")

# %% [markdown]
# "SMOTE works on embeddings, not on pixels", one reads. Among the votes pixels win. (There the neighbours are sought in
# pixels, too, so that this ranks the spaces and not what SMOTE adds in each.) Probably because our digits are centred and
# of one size, and because these features, trained on the long tail, have next to nothing of the rare digits in them.
# (Would features that know more be better? `models.pretrained` has networks trained on ImageNet, where their weights are
# on your machine.)
#
# ## When it breaks
#
# **Two islands.** How many of the new samples have a common one for nearest, with five neighbours, with fifteen, and with
# nine within the island?

# %% tags=["claim"]
here.claim("B04.4a", "B04.4b", "B04.4c")

# %% [markdown]
# **New samples before the split.** Enlarge the training digits (their pixels) and split afterwards, so that both halves hold
# mixtures of the same samples. The first half classifies the second by its nearest neighbour: that is the accuracy one
# would report. Then ask the same classifier about the real test digits.

# %% tags=["claim"]
here.claim("B04.4d")

# %% [markdown]
# The library refuses that where it can: validation and test know what they are.

# %%
try:
    SMOTE().enlarge(splits.test)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Exercises
#
# `exercises.new_sample.hint()` helps, `exercises.new_sample.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The point that lies the share u of the way from x_i to x_j.
def new_sample(x_i, x_j, u): ...


exercises.new_sample.check(new_sample)


# %% tags=["exercise"]
# 2. For each row of x, the index of the nearest other row.
def nearest_other(x): ...


exercises.nearest_other.check(nearest_other)


# %% tags=["exercise"]
# 3. How many pairs of a start and a neighbour can be drawn from n samples with k neighbours each?
#    (From i to j and from j to i are two pairs, though their averages are the same point.)
def pairs(n, k): ...


exercises.pairs.check(pairs)

# %% [markdown]
# ## Recap
#
# - Two stages, features first and a balanced head after, were worse for medium-shot labels than over-sampling, better for
#   few-shot ones (with SMOTE not surely so), and about the same over all.
# - The new samples had no part in that: copies of the embeddings did as well or slightly better.
# - Voting neighbours gained from copies, and more from new samples: more from random points than from averages.
# - New samples are only as good as the space between neighbours: mind clusters, mind *k*, and make them after the split.
#
# **Quiz**
#
# <details><summary>A population has four samples. What does <code>k=5</code> do, and what <code>k=0</code>?</summary>The
# first is refused: each sample has three others. The second takes all there are, three.</details>
#
# <details><summary>Why is <code>interpolation="repeat"</code> in the library at all?</summary>It is the control. Without
# it, a comparison of SMOTE with plain training changes two things at once: the balance, and the new samples.</details>
#
# <details><summary>Can SMOTE give a rare class a variety that none of its samples has?</summary>Only what
# they span. Between an upright and a slanted nine there may be, in a good embedding, one that is half slanted; never one
# more slanted than all of yours.</details>
#
# ## References
#
# - Chawla et al. 2002, *SMOTE: synthetic minority over-sampling technique*, Journal of Artificial Intelligence Research.
# - Cui et al. 2019, *Class-balanced loss based on effective number of samples*, CVPR (the long tail's profile).
# - Kang et al. 2020, *Decoupling representation and classifier for long-tailed recognition*, ICLR (two stages).
# - Dablain et al. 2021, *DeepSMOTE: fusing deep learning and SMOTE for imbalanced data* (embeddings, with a decoder).
# - Liu et al. 2019, *Large-scale long-tailed recognition in an open world*, CVPR (many-, medium- and few-shot).
# - Lemaître et al. 2017, *Imbalanced-learn*, Journal of Machine Learning Research.
#
# **Next:** [05 Group DRO](05_group_dro.ipynb) returns to groups, and lets their losses choose the weights.
