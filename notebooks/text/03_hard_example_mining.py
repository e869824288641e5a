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
# **It happened.** The speech recognisers of five large companies got about one word in five wrong when white Americans
# spoke, and more than one in three when Black Americans did (Koenecke et al. 2020). Weights or sampling by group would ask
# who speaks in each of many thousand hours of recordings. Recordings seldom say.
#
# **The question.** [Lectures 01](01_loss_reweighting.ipynb) and [02](02_sampling.ipynb) had to know the group of each
# training sample. But a network that goes by the colour is wrong on the samples where the colour misleads, so their loss
# is high. Is it enough to learn from whatever has a high loss?

# %% tags=["setup", "nbval-ignore-output"]
import torch
import torch.nn.functional as F

from debias_course import data, figures, models, train
from debias_course.lectures.hard_example_mining import exercises, pictures
from debias_course.lectures.hard_example_mining.measurements import HardExampleMiningLesson
from debias_course.lectures.hard_example_mining.panel import draw_mining
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import HardMining, Knob
from debias_course.methods import hard_mining as library

here = HardExampleMiningLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether the highest losses find the rare samples, with right labels and with wrong ones;
# - whether learning from them makes a network less biased, at equal epochs and at equal gradient steps;
# - whether drawing samples by their loss does, too, and what the famous correction does to it;
# - how far that goes: against a coin flip, and against weights that know the groups.
#
# ## See the problem
#
# Train a small model (logistic regression on the pixels) on the coloured digits of lecture 00. Then look at the 300 of
# its 3,000 training digits with the highest losses. Of all digits, one in twenty is *against the pattern*: its colour is
# that of the other class. These are the rare groups. How many of them are among the 300?

# %%
here.guess(
    "L03.1",
    "Of the tenth of the digits with the highest losses, the rare ones are",
    "a twentieth, as of all",
    "about a fifth",
    "about half",
)

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)
plain = train(models.linear(splits.train), splits.train, epochs=5).model
losses = library.score(plain, splits.train.batch(torch.arange(3000)))
highest = splits.train.subset(library.hardest(losses, 300))
figures.picture(
    figures.sample_grid(highest),
    takeaway="Compare the shares with one in forty for each rare group. Nobody told the model which groups there are.",
)
print("all:    ", *splits.train.counts.tolist())
print("hardest:", *highest.counts.tolist())

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Each sample is looked at, but few are learned from. No group and no attribute is used.",
)

# %% [markdown]
# ## The idea
#
# Pass *N* samples through the network, look at their losses, and take the gradient of the *B* highest only. This is
# *hard example mining*:
#
# $$\min_\theta\; \frac{1}{B} \sum_{i \in S} \ell_i , \qquad S = \text{the } B \text{ samples with the highest losses.}$$
#
# Here θ are the parameters, and $\ell_i$ is the loss of sample *i*. With all training data as the *N* samples, this is the
# *average top-k loss* (Fan et al. 2017), and statisticians call it the *conditional value at risk* (CVaR): the mean of the
# worst share $\alpha = B/N$. It can be written without sorting (Rockafellar and Uryasev 2000), with a threshold λ:
#
# $$\frac{1}{B} \sum_{i \in S} \ell_i \;=\; \min_\lambda \Big( \lambda + \frac{1}{B} \sum_{i=1}^{N} \max(0,\, \ell_i - \lambda) \Big) .$$
#
# Whoever lies below the threshold does not count. Hashimoto et al. (2018) square the part above it, and train on that to
# protect groups that nobody listed. In batches, as below, the *B* highest of each batch only come close to the worst share
# of all.
#
# **Who is protected?** A group that is at least as large as the share α cannot have a higher mean loss than the worst
# share has. A smaller group, of a share *g*, has a bound too, as losses are not negative: its losses cannot sum to
# more than those of the worst share. So its mean is at most $\alpha/g$ times the mean of the worst share. A group of one
# in forty and a worst tenth: at most four times.
#
# **A softer way** draws *B* samples with a probability that grows with the loss, here in proportion to it: $p_i = \ell_i /
# \sum_j \ell_j$. The expected gradient of a draw, $\sum_i p_i \nabla \ell_i$, points the same way as the gradient of the sum of
# **squared** losses. Dividing a drawn loss by $N p_i$ takes the focus away again: then the expected gradient is the plain
# mean. (The library draws *B different* samples, and divides by the probability with which each came in. `correct` turns
# that on.)
#
# The core of mining, in a training step:

# %% tags=["measure", "nbval-ignore-output"]
batch = splits.train.batch(torch.arange(128))
with torch.no_grad():  # look at all of the batch
    losses = F.cross_entropy(plain(batch.inputs), batch.labels, reduction="none")
kept = losses.argsort(descending=True)[:13]
loss = F.cross_entropy(plain(batch.inputs[kept]), batch.labels[kept])  # learn from these
print(f"all 128: {losses.mean():.3f}, the hardest 13: {loss:.3f}")
print("groups of the hardest:", torch.bincount(batch.groups[kept], minlength=4).tolist())

# %% [markdown]
# The library does the same. It scores in evaluation mode, so that the first pass changes no running statistics.
# (`passes="one"` keeps the gradients of the first pass instead of a second one.)

# %%
source(library._Mining.loss)

# %% [markdown]
# ## By hand
#
# Six losses: 0.1, 0.4, 2.5, 0.4, 0.2 and 0.4. Keep two: 2.5 and one of the three 0.4. Of equals the first is taken, so
# samples 2 and 1 (counted from 0), with mean 1.45. With the threshold λ = 0.4 the other formula gives 0.4 + ½ · 2.1, the
# same. Keep all six: 0.667, which is plain training. Keep one: 2.5.
#
# Any three of them are a group larger than the share of one third, with a mean of at most 1.45: the worst three have 1.1.
# A single sample is half as large as the share, with a mean of at most 2 · 1.45 = 2.9, and the worst has 2.5.
#
# If one is drawn, sample 2 comes with probability 2.5 / 4 = 0.625. Divided by 6 · 0.625 its loss is 0.667, and so is that
# of any other: the loss of a corrected draw is always the mean, whoever is drawn. Its gradient is not.

# %%
six = torch.tensor([0.1, 0.4, 2.5, 0.4, 0.2, 0.4])
for keep in (1, 2, 6):
    kept = library.hardest(six, keep)
    print(f"keep {keep}: samples {kept.tolist()}, mean loss {six[kept].mean():.3f}")
print(f"with the threshold: {0.4 + (six - 0.4).clamp(min=0).sum() / 2:.3f}")
p = six / six.sum()
print("probability of each in one draw:", [round(each, 3) for each in p.tolist()])
print("corrected:", [round(each, 3) for each in (six / (6 * p)).tolist()])
assert library.hardest(six, 2).tolist() == [2, 1]

# %% [markdown]
# ## Turn the knob
#
# Whom does mining keep while it trains? Below, the hardest tenth of each batch. On the right, one training digit in ten
# has the label of the other class.

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.kept(HardMining(keep=0.1)),
    takeaway="Against the pattern is one sample in twenty. Compare that with its bands, left and right.",
)

# %% [markdown]
# The panel trains the small model or the MLP of lecture 00 with your setting. Give a tenth of the labels to the wrong
# class, or keep more.

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_mining,
    HardMining(keep=0.1),
    wrong=Knob(0.0, low=0.0, high=0.3, help="share of training samples with a wrong label"),
    network=Knob("linear", choices=("linear", "mlp"), help="logistic regression, or one hidden layer of 128 units"),
    epochs=Knob(20, low=1, high=60, help="passes over the training data"),
)

# %% [markdown]
# Import `DrawnMining` from `debias_course.methods`, put it in the place of `HardMining`, and run the cell again. It draws
# samples by their losses. What does the box `corrected` do?
#
# <details><summary>Answer</summary>It hardly changes who is drawn: the rule is the same, and only the model that
# is scored differs. It changes the bars, as the formula says: on average, the steps are those of plain training.</details>

# %% [markdown]
# ## Measure it
#
# **Who has the highest losses?** Train plainly, stop after some epochs, and look at the hardest tenth. With wrong labels,
# only rare samples with the right label count as found. The strip shows how many in a hundred of the hardest are rare; by
# chance it would be 5.

# %% tags=["claim"]
here.claim("L03.1")

# %%
here.where("L03.1")

# %% [markdown]
# **Does learning from them help?** Plain training and mining get the same batches of 128. Mining looks at all of a
# batch, keeps a tenth of it, and takes one step, as plain training does. So equal epochs are equal gradient steps.
#
# That is not so when mining looks at 512, of which it keeps a tenth. Then *same epochs* means that both look at as many
# samples, and mining takes a quarter of the steps. *Same steps* means that mining looks at four times as many.

# %%
here.guess(
    "L03.2",
    "Learn from the hardest tenth. The worst group, against plain training, is",
    "better at any length",
    "better in short training only",
    "no better",
)

# %% tags=["claim"]
here.claim("L03.2", "B03.4")

# %%
here.where("L03.2")

# %% [markdown]
# *Best epoch* means that the worst group on validation chose the epoch, for both; that needs group labels, in validation
# at least. *1 in 100 rare* is a stronger bias: the rare groups are a fifth as large. B03.4 is the control: it keeps as many
# samples of each batch, but any of them.
#
# **And drawing by the loss?** As many samples are kept, but an easy one may be drawn, too.

# %%
here.guess(
    "L03.3",
    "Draw the tenth by the loss instead. The gain in the worst group is",
    "larger",
    "about the same",
    "smaller",
)

# %% tags=["claim"]
here.claim("L03.3", "B03.5")

# %%
here.where("L03.3")

# %% [markdown]
# **How far does it go?** Here are plain training and mining between two references: weights by group on the same network
# (lecture 01), which need the labels that mining does without, and the same network without the bias. With two classes, a
# coin is right on half of each group.

# %%
figures.picture(
    figures.over_epochs(here.kept("T03.1"), levels={"chance": 0.5}, y="worst group, linear model", log=True),
    takeaway="The small model. Compare the lines of mining with chance before you call them a success.",
)

# %%
figures.picture(
    figures.over_epochs(here.kept("T03.2"), levels={"chance": 0.5}, y="worst group, MLP", log=True),
    takeaway="The MLP. Compare mining with weights by group at their best epochs, and at the right end.",
)

# %%
here.guess(
    "B03.2",
    "Mining, without group labels, comes within ten points of weights with them",
    "at any length",
    "late in training only",
    "never",
)

# %% tags=["claim"]
here.claim("B03.2", "B03.3")

# %%
here.where("B03.2")

# %% [markdown]
# ## When it breaks
#
# **A network that can memorise?** Once the MLP knows its training digits by heart, no loss is high any more. Does it then
# gain less from mining than a linear model, after as many epochs?

# %%
here.guess(
    "B03.1",
    "At the same length, the network that can memorise gains",
    "less than the linear model",
    "about as much",
    "more",
)

# %% tags=["claim"]
here.claim("B03.8", "B03.1")

# %%
here.where("B03.1")

# %% [markdown]
# **Wrong labels.** Give one training digit in ten the label of the other class. If it came from a common group, its loss
# is high for the same reason as that of a rare one: label and colour do not go together. There are about twice as many of
# these as there are rare digits. Below are the 300 digits with the highest losses of a small model, the highest first.

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.highest(),
    takeaway="Where label and colour disagree, a blue 8 has a wrong label and a blue 2 is rare: only the shape tells.",
)

# %% tags=["claim"]
here.claim("B03.7", "B03.6")

# %% [markdown]
# Compare the two networks. A model that cannot learn its samples by heart can only stop trusting the colour when
# many of them contradict it, whether their labels are right or wrong. (That is a likely reason, not a measured one.)
#
# **How many to keep?** A tenth has room for all rare digits, twice over. A quarter holds at least four others for each of
# them. Without group labels in validation, nothing tells you which share to take.
#
# **Others who learn from high losses.** Nam et al. (2020) train a second network beside the first, on what the first finds
# hard. Liu et al. (2021) train twice: the mistakes of a short first training get more weight in the second. Both ask
# a first model who is hard, biased on purpose or stopped early. In mining the model that is trained says so itself, as it
# changes.

# %% [markdown]
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.worst_mean.hint()` helps, `exercises.worst_mean.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The mean of the highest round(share · N) of N losses (of at least one).
def worst_mean(losses, share): ...


exercises.worst_mean.check(worst_mean)


# %% tags=["exercise"]
# 2. The worst share of the losses has the mean `worst`. The highest mean that a group can have which is a share `group` of
#    the samples (a number from 0 to 1, as `share` is)?
def bound(worst, share, group): ...


exercises.bound.check(bound)


# %% tags=["exercise"]
# 3. Open: of 3,000 coloured digits 300 have a wrong label. Return the rows of 300 suspects, with at least 200 of the wrong
#    ones and at most 20 of the rare digits with the right label. You may use groups and colours, but not the clean labels.
def wrong_labels(seen): ...


exercises.open_experiment.check(wrong_labels)

# %% [markdown]
# ## Recap
#
# - Mining learns from the highest losses of a batch. It needs no group label, and minimises the mean of a worst share.
# - Say what is equal when you compare it: epochs, steps, or samples that are looked at. The strip of L03.2 shows why.
# - A gain is not yet a good worst group. Draw chance, and what group labels would reach.
# - A high loss does not say why. Look at what is kept before you trust it.
#
# **Quiz**
#
# <details><summary>What does <code>keep=1</code> do, and what does a single kept sample do?</summary>The first is plain
# training, to the bit. The second minimises the largest loss of each batch: one wrong label is enough to lead
# it.</details>
#
# <details><summary>The loss of a corrected single draw is the mean, whoever was drawn. Is the correction then
# useless?</summary>No. The loss is the mean, but its gradient is not: samples with a high loss tend to have a large
# gradient, and drawing those makes the estimate less noisy. That is what Katharopoulos and Fleuret (2018) are after: speed,
# not fairness.</details>
#
# <details><summary>A paper mines from batches four times as large and reports the same number of epochs as its baseline.
# What do you ask?</summary>How many gradient steps each took, and what plain training reaches after as many. Then what
# either reaches when it is stopped at its best epoch.</details>
#
# <details><summary>You have no group labels, and a tenth of your labels may be wrong. How could you tell whether mining
# serves the rare or the wrong?</summary>Look at what it keeps: a hundred of the hardest samples, by eye.</details>
#
# ## References
#
# - Rockafellar and Uryasev 2000, *Optimization of conditional value-at-risk*, Journal of Risk.
# - Shrivastava et al. 2016, *Training region-based object detectors with online hard example mining*, CVPR.
# - Fan et al. 2017, *Learning with average top-k loss*, NeurIPS.
# - Hashimoto et al. 2018, *Fairness without demographics in repeated loss minimization*, ICML.
# - Katharopoulos and Fleuret 2018, *Not all samples are created equal: deep learning with importance sampling*, ICML.
# - Kool et al. 2019, *Stochastic beams and where to find them*, ICML (drawing without repeats, and the correction).
# - Kawaguchi and Lu 2020, *Ordered SGD: a new stochastic optimization framework for empirical risk minimization*, AISTATS.
# - Koenecke et al. 2020, *Racial disparities in automated speech recognition*, PNAS.
# - Nam et al. 2020, *Learning from failure: training debiased classifier from biased classifier*, NeurIPS.
# - Liu et al. 2021, *Just train twice: improving group robustness without training group information*, ICML.
#
# **Next:** [04 SMOTE](04_smote.ipynb) returns to rare classes, and makes new samples for them.
