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
# **It happened.** Can a computer tell from electrical signals of the womb whether a child will be born too early? A much-used
# public collection holds three hundred recordings, and only thirty-eight are of early births. Many papers reported near-
# perfect answers on them. Vandewiele et al. (2021) rebuilt some of these. The papers had filled up the early births with
# synthetic samples, and split the data into training and test set *afterwards*: the test set held mixtures of training
# samples. Done in the right order, little was left.
#
# **The question.** Over-sampling ([lecture 02](02_sampling.ipynb)) shows the same few rare samples again and again. Can
# one invent new ones instead, by mixing two that are alike? The *synthetic minority over-sampling technique*, SMOTE, does
# that. When is a mixture worth more than a copy, what should be mixed, and when does it go wrong?

# %% tags=["setup", "nbval-ignore-output"]
import torch

from debias_course import data, figures
from debias_course.lectures.panels import panel
from debias_course.lectures.smote import exercises, pictures
from debias_course.lectures.smote.measurements import SMOTELesson
from debias_course.lectures.smote.panel import draw_smote
from debias_course.lectures.sources import source
from debias_course.methods import SMOTE, InputSMOTE, Knob
from debias_course.methods import smote as library

here = SMOTELesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether synthetic samples serve a classifier better than copies, and which classifier;
# - whether they vary more than the samples that they are made of;
# - whether one has to mix embeddings, or pixels do;
# - whether a random point between two neighbours is better than their average;
# - where new samples land in the wrong place, and what they do to a test.
#
# ## See the problem
#
# A **long tail**: digits of which the zero is a hundred times as frequent as the nine. There is no colour this time: the
# populations are the ten digits. The test set holds a hundred images of each.

# %%
splits = data.long_tailed_digits(seed=0)
figures.picture(
    figures.sample_grid(splits.train, each=4),
    takeaway="The last row is complete: a network will never see more nines than these.",
)

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.found(splits),
    takeaway="The share of the test images that plain training finds, digit by digit. Compare the two ends.",
)

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Three ways to fill up a rare population. Only one number differs between them: u.",
)

# %% [markdown]
# ## The idea
#
# Take a rare sample $x_i$, and one of its *k* nearest neighbours of the same population, $x_j$. Put a new sample between
# them:
#
# $$x = x_i + u\,(x_j - x_i), \qquad 0 \le u < 1.$$
#
# The published method (Chawla et al. 2002) draws *u* at random each time. The lecture takes the average of the two, $u =
# 1/2$. With $u = 0$ the new sample is a copy, and SMOTE is plain over-sampling. So copies are the **control**: they
# balance the populations just as well, and add nothing new. The usual *k* is five.
#
# The core of it:


# %%
def new_samples(x, k, n):
    distances = torch.cdist(x, x).fill_diagonal_(torch.inf)  # no sample is its own neighbour
    nearest = distances.topk(k, largest=False).indices
    start = torch.randint(len(x), (n,))
    end = nearest[start, torch.randint(k, (n,))]
    u = torch.rand(n, 1)
    return x[start] + u * (x[end] - x[start])


eights = splits.train.inputs[splits.train.labels == 8].flatten(1) / 255
print(f"{len(eights)} eights, and {len(new_samples(eights, k=3, n=295))} new ones")

# %% [markdown]
# *What* is mixed? Half of one image and half of another is a double exposure, and mostly no digit. So the lecture mixes
# **embeddings**: what a network makes of an image before its last layer, a vector of numbers. That takes two stages.
# First, train a network plainly. Then embed the training data, make new embeddings $z$, and train a new last layer, the
# **head** *v*, on all $n'$ of them, old and new:
#
# $$\min_v \frac{1}{n'} \sum_{i=1}^{n'} \ell\big(v(z_i), y_i\big).$$
#
# The library's own code, as it runs in everything below:

# %%
source(library.between, SMOTE.data)

# %% [markdown]
# From a seven with a bar to one without, as mixed pixels. Then the same seven and its *nearest* neighbour. A mixed
# embedding has no picture, so the last row shows the real image that is nearest to it (at both ends, the originals).

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.sevens(),
    takeaway="SMOTE mixes neighbours, as in the second row. Would neighbours among only three nines look like the first row or the second?",
)

# %% [markdown]
# ## By hand
#
# Six samples. Three are rare: (0, 0), (1, 0) and (0, 2). The nearest neighbour of (0, 0) is (1, 0), at distance 1 against 2;
# that of (1, 0) is (0, 0); and (0, 2) is 2 from (0, 0) and √5 from (1, 0), so (0, 0) it is. Half-way there are (0.5, 0) twice
# and (0, 1). The other three samples are common. One of them, (0.5, 0.1), is nearer to (0, 0) than any rare one is. Samples of
# other classes are ignored, however close: here, a new sample lands right beside it.

# %%
x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.5, 0.1], [3.0, 3.0], [4.0, 3.0]])
labels = torch.tensor([1, 1, 1, 0, 0, 0])
rare = x[labels == 1]
nearest = library.neighbours(rare, 1)
print("nearest neighbour of each:", nearest.flatten().tolist())
every, first = torch.arange(3), torch.zeros(3, dtype=torch.int64)
half_way = library.between(rare, nearest, every, first, 0.5)
print("half-way:", half_way.tolist())
print("nearest is a common sample:", library.among_others(half_way, labels[:3], x, labels).tolist())
assert half_way.tolist() == [[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]]

# %% [markdown]
# ## Turn the knob
#
# Three settings in a plane where the rare class lives on two islands of ten samples: five neighbours; fifteen, which is
# more than the nine others on an island; and all nine, with each island as a population of its own (`by` group).

# %%
settings = {"k = 5": SMOTE(k=5), "k = 15": SMOTE(k=15), "k = 9, by island": SMOTE(k=9, by="group")}
figures.picture(
    pictures.islands(settings),
    takeaway="A sample that needs more neighbours than its island has must find some across the sea.",
)

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_smote,
    InputSMOTE(k=5),
    rare=Knob(20, low=4, high=60, help="rare training samples, on two islands"),
)

# %% [markdown]
# Set `interpolation` to repeat. Why is *k* grey now, and where are the new samples?
#
# <details><summary>Answer</summary>A copy needs no neighbour. It lies exactly on the sample that it copies.</details>
#
# ## Measure it
#
# All that follows has two stages. Stage one is a network, trained plainly on the long tail; its embeddings are kept. Stage
# two is a classifier that gets these embeddings with new ones, until all ten digits are equally common:
#
# - **k-NN** (*k nearest neighbours*) looks at places: of the known samples, the nearest 1, 5 or 31 vote. This is not the
#   *k* of SMOTE.
# - **linear**: one layer. **MLP** (*multi-layer perceptron*): one hidden layer and one more. Both are trained for as many
#   epochs as stage one.
#
# We count how many test images are found of the **four rarest digits**, six to nine; each digit counts the same. `ratio`
# says how much more frequent the zero is than the nine. First, random points minus as many *copies*; then copies minus
# nothing done.

# %%
here.guess(
    "L04.2",
    "Fill up the rare digits with synthetic samples instead of copies. More of them are found by",
    "every classifier",
    "k-NN only",
    "linear and MLP only",
    "none",
)

# %% tags=["claim"]
here.claim("L04.2", "B04.1")

# %%
here.where("L04.2")

# %%
figures.picture(
    figures.over_epochs(
        here.kept("T04.1"), x="neighbours that vote", y="rare digits found", levels={"chance": 0.1}, log=True
    ),
    takeaway="Follow the line of copies: where does it meet that of doing nothing, and where that of random points?",
)

# %% [markdown]
# With one neighbour, a copy changes nothing: the nearest sample is as near as before. And for a linear head there is a
# theorem. Its logits are linear in $z$, and the cross-entropy is convex in the logits. So between two samples of one class
# the loss is at most the mean of their two losses, weighted by *u*. A linear head that fits the copies fits everything
# between them already.
#
# **What does "variety" mean?** That samples lie far from each other, or that they fill the gaps? These are two
# different questions.

# %%
here.guess(
    "B04.2",
    "The new samples of a rare digit, compared with the ones that they are made of, spread",
    "more widely",
    "just as widely",
    "less widely",
)

# %% tags=["claim"]
here.claim("B04.2", "B04.3")

# %% [markdown]
# For two *independent* samples of variance $\sigma^2$, the point between them has variance $\big((1-u)^2 + u^2\big)\,
# \sigma^2$: half of it at the average, and two thirds on average over all *u*. Averaging pulls inwards, and no new sample
# ever lies outside the ones it is made of. (Real neighbours are not independent. Of many samples, near ones are alike, and
# less is lost. Of three, the neighbour is never the sample itself, and more is.)
#
# **Embeddings or pixels?** A fair comparison changes one thing. Both sides below have the same network, the same two stages
# and the same classifier. One side embeds first and mixes then. The other mixes the pixels first, and embeds the mixtures.
# Even the random draws are the same: where to start, which of the *k* neighbours to take (each space has its own), and *u*.
# The strip shows mixed embeddings minus mixed pixels.

# %%
here.guess(
    "L04.1",
    "With everything else equal, mixed embeddings are better than mixed pixels",
    "always",
    "with some networks or classifiers",
    "never",
)

# %% tags=["claim"]
here.claim("L04.1", "B04.7")

# %%
here.where("L04.1")

# %%
figures.picture(
    figures.over_epochs(here.kept("T04.2"), y="rare digits found, by an MLP", levels={"chance": 0.1}),
    takeaway="Which lines are hard to tell apart? Compare them with the line of doing nothing.",
)

# %% [markdown]
# If pixels come close, why? Two likely reasons, not measured here. The digits are centred and of one size, so that two
# neighbours overlap. And the network embeds the mixture, so it has a say in what half of two images is. With photographs of
# birds, in any place and pose, expect less of pixels. With embeddings that know more than ours, from `models.pretrained`,
# expect more of embeddings.
#
# One stage is how most people would use pixels: train the whole network on the enlarged data from the start.

# %% tags=["claim"]
here.claim("B04.8")

# %% [markdown]
# **Average or random?** Same starts, same neighbours. Only *u* differs: one half each time, or any number. We take the
# lecture at its word, so the strip shows averages minus random points.

# %%
here.guess(
    "L04.3",
    "Averages, compared with random points between the same neighbours, are",
    "better",
    "no different",
    "worse for some classifiers",
    "worse for all",
)

# %% tags=["claim"]
here.claim("L04.3")

# %%
here.where("L04.3")

# %% [markdown]
# Three nines have three averages, and each is drawn a hundred times over. Random points are all different.
#
# ## When it breaks
#
# **A population that is two.** How many of the new samples on the islands have a common one for their nearest?

# %%
here.guess("B04.4", "An island has ten samples. New ones fall into the sea from", "k = 3", "k = 9 or 12", "k = 19")

# %% tags=["claim"]
here.claim("B04.4")

# %% [markdown]
# **New samples before the split.** This is what went wrong with the early births. Enlarge the training digits first, and
# split them into two halves afterwards. The first half classifies the second: that is the accuracy one would report. Then
# ask the same classifier about the real test digits.

# %% tags=["claim"]
here.claim("B04.5")

# %% [markdown]
# The library refuses that where it can: validation and test know what they are.

# %%
try:
    SMOTE().enlarge(splits.test)
except ValueError as error:
    print(error)

# %% [markdown]
# **Someone pays.** What is given to the rare digits may be taken from the common ones. Is it the balance that costs, or the
# new samples? Compare against copies, and against nothing done.

# %% tags=["claim"]
here.claim("B04.6")

# %% [markdown]
# **Probabilities.** After balancing, a network's probabilities are those of a world in which all classes are equally
# common. For a doctor who needs the risk of this patient, that is wrong, whatever it does for accuracy (van den Goorbergh
# et al. 2022).
#
# **Relatives.** *Borderline-SMOTE* (Han et al. 2005) starts only from rare samples in danger: half of their neighbours, or
# more, but not all, belong to other classes. The boundary is where new samples matter most, and where they do most harm.
#
# *ADASYN* (He et al. 2008) starts from all rare samples, but makes more new ones where more of the neighbours belong to
# other classes. So the hard regions are filled first; wrong labels, which look just like that, are too.
#
# *mixup* (Zhang et al. 2018) mixes any two samples, of different classes as well, and mixes their labels by the same *u*. It
# balances nothing. It makes the network change its mind slowly on the way from one sample to another. *Manifold mixup*
# (Verma et al. 2019) does so in a hidden layer, and so asks our question about pixels and embeddings once more.
#
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

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
# 3. Open: return a method and how many neighbours vote, such as (SMOTE(), 5), that find more than 60 in 100 of the rare
#    digits (six to nine), and at the same time more than 735 in 1,000 of all.
def my_recipe(): ...


exercises.open_experiment.check(my_recipe)

# %% [markdown]
# ## Recap
#
# - A synthetic sample is a point between two neighbours of one population. A copy is the control: it balances as well.
# - Ask who classifies: in the strip of L04.2, compare the columns with the rows.
# - "Variety" has two meanings: filling gaps, and spreading widely. B04.2 and B04.3 say what SMOTE does to each.
# - Compare embeddings with pixels only at the same number of stages, with the same classifier.
# - Mind clusters, mind *k*, and make new samples after the split, in the training set only.
#
# **Quiz**
#
# <details><summary>A population has four samples. What does <code>k=5</code> do, and what <code>k=0</code>?</summary>The
# first is refused: each sample has three others. The second takes all there are, three.</details>
#
# <details><summary>Why is <code>interpolation="repeat"</code> in the library at all?</summary>It is the control. Without
# it, a comparison of SMOTE with plain training changes two things at once: the balance, and the new samples.</details>
#
# <details><summary>Can SMOTE give a rare class a variety that none of its samples has?</summary>Only what they span.
# Between an upright and a slanted nine there may be, in a good embedding, one that is half slanted; never one more slanted
# than all of yours.</details>
#
# <details><summary>A paper reports that SMOTE lifts a network from half to nearly all of the rare cases. What do you ask
# for?</summary>The result with copies instead, the same classifier, and when the data were split.</details>
#
# ## References
#
# - Chawla et al. 2002, *SMOTE: synthetic minority over-sampling technique*, Journal of Artificial Intelligence Research.
# - Blagus and Lusa 2013, *SMOTE for high-dimensional class-imbalanced data*, BMC Bioinformatics (what it does to means and
#   variances, and that in high dimensions it mainly helps nearest neighbours, once variables have been selected).
# - Fernández et al. 2018, *SMOTE for learning from imbalanced data: progress and challenges*, Journal of Artificial
#   Intelligence Research. Elor and Averbuch-Elor 2022, *To SMOTE, or not to SMOTE?*, arXiv.
# - Han, Wang and Mao 2005, *Borderline-SMOTE*, ICIC. He et al. 2008, *ADASYN*, IJCNN.
# - Zhang et al. 2018, *mixup: beyond empirical risk minimization*, ICLR. Verma et al. 2019, *Manifold mixup*, ICML.
# - Kang et al. 2020, *Decoupling representation and classifier for long-tailed recognition*, ICLR (two stages).
# - Dablain, Krawczyk and Chawla 2021, *DeepSMOTE: fusing deep learning and SMOTE for imbalanced data* (embeddings, with a
#   decoder that makes images of them).
# - Cui et al. 2019, *Class-balanced loss based on effective number of samples*, CVPR (the long tail's profile).
# - Vandewiele et al. 2021, *Overly optimistic prediction results on imbalanced data: a case study of flaws and benefits when
#   applying over-sampling*, Artificial Intelligence in Medicine. Van den Goorbergh et al. 2022, *The harm of class imbalance
#   corrections for risk prediction models*, Journal of the American Medical Informatics Association.
# - Lemaître et al. 2017, *Imbalanced-learn*, Journal of Machine Learning Research (the usual library).
#
# **Next:** [05 Group DRO](05_group_dro.ipynb) returns to groups, and lets their losses choose the weights.
