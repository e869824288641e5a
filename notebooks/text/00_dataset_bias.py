# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bias mitigation in deep learning: an executable course
#
# | lecture | what you do there |
# |---|---|
# | **00 Dataset bias** (this notebook) | see a network learn the wrong thing, and measure for whom it fails |
# | [01 Loss re-weighting](01_loss_reweighting.ipynb) | let rare samples count more, and see when that stops working |
# | 02 Sampling · 03 Hard example mining · 04 SMOTE | change which samples the network sees |
# | 05 Group DRO · 06 Spectral decoupling | minimise another risk |
# | 07 OccamNets · 08 Adversarial training · 09 DANN | change the network, or play against it |
# | 10 Comparison | all of them, side by side |
#
# Lectures 02 to 10 are in preparation. Every lecture has the same ten parts, and every statement in it is a **claim**
# that its notebook measures over several seeds: it prints *holds*, *fails* or *undecided*, with an interval. Run the
# cells from top to bottom, change what you like, and run them again.
#
# ---
#
# # 00 · Dataset bias
#
# **The question.** A network is right on nearly all the data that we held back. Then it meets people, places or
# colours that were rare in training, and fails on half of them. What went wrong, and how would we have known?

# %% tags=["setup", "nbval-ignore-output"]
import inspect
from functools import partial

from debias_course import data, evaluate, explore, figures, models, study, train
from debias_course.claims import above, below, lesson, within
from debias_course.evaluation import GroupReport, predict
from debias_course.exercises import dataset_bias as exercises
from debias_course.methods import ERM, Knob

here = lesson("00_dataset_bias")

# %% [markdown]
# **What you will be able to claim** when you are through, with measurements behind each sentence:
#
# - a network trained in the plain way does well on data like its own and badly on the group that breaks the pattern;
# - it looks at the shortcut: repaint a digit, and the answer changes;
# - one model has four honest averages, and they tell four stories;
# - take the correlation away, and the very same network is fair to every group.
#
# ## See the problem
#
# Real handwritten digits, two classes: below five, and five or more. Nearly all the small digits are painted orange,
# nearly all the large ones blue. The colour means nothing; it only goes along with the label. Such a feature is called
# **spurious**, the colour is the **attribute**, and a label together with an attribute is a **group**.

# %%
splits = data.colored_digits(correlation=0.95, seed=0)
figures.picture(
    figures.sample_grid(splits.train),
    alt="Four rows of digits: small orange, small blue, large orange, large blue. The first and last rows are common.",
    takeaway="Four groups. The two in the middle break the pattern, and are rare.",
)

# %%
splits.train.table()

# %% [markdown]
# Train a small network on it, as everyone does, and test it. In the test set the four groups are equally large, so that
# each of them is measured well.

# %% tags=["nbval-ignore-output"]
run = train(models.mlp(splits.train), splits.train, ERM(), epochs=20, progress=True)
report = evaluate(run.model, splits.test, train=splits.train)
report

# %%
figures.picture(
    figures.group_bars({"plain training": report}),
    alt="Bars of test accuracy for the four groups. The two common groups are near one, the two rare ones far below.",
    takeaway="Right about the groups that follow the pattern, and not about those that break it.",
)

# %% [markdown]
# ## The idea
#
# Plain training is **empirical risk minimisation** (ERM): make the mean loss over the training samples small,
#
# $$\min_\theta \frac{1}{n}\sum_{i=1}^{n} \ell\big(f_\theta(x_i),\, y_i\big).$$
#
# Nothing in this line knows about groups. Write it as a sum over them,
#
# $$\frac{1}{n}\sum_{i} \ell_i \;=\; \sum_{g} \frac{n_g}{n}\;\overline{\ell}_g ,$$
#
# and it is plain that a group counts as much as it is large. Whoever answers "orange, so it is small" is right about
# the two large groups, and colour is far easier to see than shape. That is not a bug of the optimiser: it does what it
# was asked to do.
#
# In the library, a group is a number, defined in one place, and plain training is the method that changes nothing: the
# loop in `debias_course/training.py` asks a method for its loss, and this is the answer of the base class, and so of
# ERM.

# %%
print(inspect.getsource(data.grouped.group_ids))
print(inspect.getsource(ERM.loss))

# %% [markdown]
# ## By hand
#
# Six test samples, two labels by two attributes. Which average would you report?
#
# | sample | label | attribute | right? |
# |---|---|---|---|
# | 1 | 0 | 0 | yes |
# | 2 | 0 | 0 | yes |
# | 3 | 0 | 1 | no |
# | 4 | 1 | 0 | no |
# | 5 | 1 | 0 | yes |
# | 6 | 1 | 1 | yes |
#
# - **overall**: four of six.
# - **group-balanced**: the groups have accuracies 1, 0, ½ and 1; their mean is ⅝.
# - **worst group**: nobody of "label 0, attribute 1" is right.
# - **train-weighted**: as if the test set were composed like the training set, say eight, one, one and ten samples:
#   (8·1 + 1·0 + 1·½ + 10·1) / 20.
#
# A share of few samples is uncertain. Every accuracy in this course comes with its *n* and a 95 % interval (Wilson's):
# one right answer of one says very little.

# %%
six = GroupReport(
    correct=(2, 0, 1, 1),
    n=(2, 1, 2, 1),
    label_names=("label 0", "label 1"),
    attribute_names=("attribute 0", "attribute 1"),
    train_n=(8, 1, 1, 10),
)
print(f"overall        {six.overall.value:.4f}")
print(f"group-balanced {six.group_balanced.value:.4f}")
print(f"worst group    {six.worst_group.value:.4f} at {six.group_names[six.worst]}")
print(f"train-weighted {six.train_weighted.value:.4f}")
print(f"last group     {six.groups[3]}")
assert (six.overall.value, six.group_balanced.value) == (4 / 6, 5 / 8)
assert (six.worst_group.value, six.train_weighted.value) == (0, 18.5 / 20)

# %% [markdown]
# ## Turn the knob
#
# A problem that fits on paper: the second coordinate shows the label, with some noise; the first shows the attribute,
# with little. First three settings of one knob, the correlation of label and attribute in training.

# %%
trained = {}
for correlation in (0.5, 0.9, 0.99):
    toy, trained[f"correlation {correlation}"] = explore.fit_shortcut(ERM(), correlation)
figures.picture(
    figures.regions(trained, toy.test),
    alt="Three scatter plots with a straight decision boundary: level for correlation one half, then ever steeper.",
    takeaway="The more label and attribute go together, the more the boundary turns towards the shortcut.",
)

# %% [markdown]
# Now yours. `correlation` is the share of training samples whose attribute goes along with the label; `hidden` is the
# width of a hidden layer (none: a straight boundary). Is there a width at which the shortcut is no longer taken?

# %% tags=["widget", "nbval-ignore-output"]
explore.panel(
    explore.draw_shortcut,
    ERM(),
    correlation=Knob(0.95, low=0.5, high=1.0, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# ## Measure it
#
# One run is an anecdote. A **study** repeats it: each seed repaints the digits, starts the network anew and shuffles
# the batches. Finished runs are kept on disk, so the second time is quick.
#
# A **claim** is a sentence, a number per seed, and the band in which their mean should lie. It *holds* only when the
# whole 95 % interval of the mean lies in the band.

# %% tags=["measure", "nbval-ignore-output"]
runs = study({"plain training": ERM()}, data.colored_digits, seeds=here.seeds, epochs=20)
runs.summary

# %% tags=["claim"]
here.claim(
    "L00.1a",
    "Plain training is right on most of the data that are distributed like its own",
    measure=lambda seed: runs.value("plain training", seed, "train_weighted"),
    holds=above(0.90),
)
here.claim(
    "L00.1b",
    "Its worst group is far below",
    measure=lambda seed: runs.value("plain training", seed, "worst_group"),
    holds=below(0.60),
)

# %% [markdown]
# Is it really the colour? Ask for the counterfactual: the same test digits, once all in their class's own colour, once
# all in the other's. How many answers change?


# %% tags=["claim"]
def changed_by_repainting(seed):
    own, other = (data.colored_digits(test_correlation=share, seed=seed) for share in (1.0, 0.0))
    model = train(models.mlp(own.train, seed=seed), own.train, ERM(), epochs=20, seed=seed).model
    before, after = (predict(model, painted.test).argmax(1) for painted in (own, other))
    return (before != after).float().mean()


here.claim(
    "L00.1c",
    "Repainting a digit in the other colour changes many answers",
    measure=changed_by_repainting,
    holds=above(0.25),
)

# %% [markdown]
# Four averages, one model. None of them is wrong; each answers another question. Before you compare two papers, find
# out which one they call "average".


# %% tags=["claim"]
def spread(seed):
    averages = ("overall", "group_balanced", "worst_group", "train_weighted")
    values = [runs.value("plain training", seed, average) for average in averages]
    return max(values) - min(values)


here.claim("B00.2", "The four averages of one model are far apart", measure=spread, holds=above(0.30))

# %% [markdown]
# ## When it breaks
#
# Is the network too weak to read the shape? Give it the same digits with colours that say nothing: as many orange as
# blue ones in both classes. And how strong does a correlation have to be to do harm?

# %% tags=["measure", "nbval-ignore-output"]
correlations = (0.5, 0.8, 0.9, 0.95, 0.99)
by_correlation = {
    share: study(
        {"plain training": ERM()},
        partial(data.colored_digits, correlation=share),
        seeds=here.seeds,
        epochs=20,
        progress=False,
    )
    for share in correlations
}

# %%
lines, bands = {}, {}
for metric in ("train_weighted", "group_balanced", "worst_group"):
    means = [result.mean("plain training", metric) for result in by_correlation.values()]
    name = metric.replace("_", " ")
    lines[name] = (correlations, [mean.value for mean in means])
    bands[name] = ([mean.low for mean in means], [mean.high for mean in means])
figures.picture(
    figures.curves(lines, bands=bands, x="correlation in training", y="test accuracy", ylim=(0, 1.02)),
    alt="Three curves against the correlation. The train-weighted one rises slightly, the worst group falls steeply.",
    takeaway="The stronger the bias, the better the usual number looks, and the worse it is for the worst group.",
)

# %% tags=["claim"]
here.claim(
    "B00.3",
    "Without a correlation, the same network is good for every group",
    measure=lambda seed: by_correlation[0.5].value("plain training", seed, "worst_group"),
    holds=above(0.85),
)


def advantage_of_own_color(seed):
    blue_small, orange_small = 1, 0
    blue_large, orange_large = 3, 2
    accuracy = [share.value for share in by_correlation[0.5].report("plain training", seed).groups]
    own = accuracy[orange_small] + accuracy[blue_large]
    return (own - accuracy[blue_small] - accuracy[orange_large]) / 2


here.claim(
    "B00.4",
    "And then it makes no difference whether a digit wears its class's own colour",
    measure=advantage_of_own_color,
    holds=within(-0.03, 0.03),
)
here.claim(
    "B00.5",
    "A stronger correlation costs the worst group a lot",
    measure=lambda seed: (
        by_correlation[0.8].value("plain training", seed) - by_correlation[0.99].value("plain training", seed)
    ),
    holds=above(0.40),
)

# %% [markdown]
# ## Exercises
#
# Replace the `...`, run the cell, read what it says. `exercises.group_id.hint()` helps, `exercises.group_id.reveal()`
# shows a solution.


# %% tags=["exercise"]
# 1. Number the groups, as the library does.
def group_id(label, attribute, n_attributes): ...


exercises.group_id.check(group_id)


# %% tags=["exercise"]
# 2. The accuracy of the worst group, from correct (1 or 0 for each sample) and groups. A group may be empty.
def worst_group(correct, groups, n_groups): ...


exercises.worst_group.check(worst_group)


# %% tags=["exercise"]
# 3. The train-weighted average, from the accuracy of each group and its number of training samples.
def train_weighted(accuracy, train_counts): ...


exercises.train_weighted.check(train_weighted)

# %% [markdown]
# ## Recap
#
# - ERM weighs a group by its size, and takes the easiest feature that makes the mean loss small.
# - The average that is usually reported cannot see it: it even rises with the bias.
# - Report overall, group-balanced, worst group and train-weighted by name, with *n* and an interval.
# - The cause is in the data, not in the network: without the correlation there is no gap.
#
# **Quiz**
#
# <details><summary>A paper reports an "average accuracy" on Waterbirds above that of another one. What do you ask
# first?</summary>Which average. The test set of Waterbirds is composed in another way than its training set, and many
# tables re-weight the groups by their training shares.</details>
#
# <details><summary>The smallest group has ten test samples, all of them right. Is it the best group?</summary>Its
# interval is wide; look at it before you rank. And the worst group is the one with the lowest accuracy, which need not
# be the smallest.</details>
#
# <details><summary>Would more data of the same kind help?</summary>The shares stay as they are, and so does the reward
# for the shortcut; but the rare groups grow in number too, and a network can learn more from them. Try
# <code>data.toys.shortcut(n=4000)</code>.</details>
#
# ## References
#
# - Geirhos et al. 2020, *Shortcut learning in deep neural networks*, Nature Machine Intelligence.
# - Sagawa et al. 2020, *Distributionally robust neural networks for group shifts*, ICLR (Waterbirds; train-weighted
#   averages in its tables).
# - Nam et al. 2020, *Learning from failure*, NeurIPS (coloured digits with exact shares).
# - LeCun et al. 1998, *Gradient-based learning applied to document recognition* (MNIST).
# - Wilson 1927, *Probable inference, the law of succession, and statistical inference* (the interval).
# - Okabe and Ito 2008, *Color universal design* (the palette).
#
# **Next:** [01 Loss re-weighting](01_loss_reweighting.ipynb) lets the rare groups count more.
