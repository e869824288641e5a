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
# | [02 Sampling](02_sampling.ipynb) | change which samples the network sees, and how often |
# | [03 Hard example mining](03_hard_example_mining.ipynb) | learn from high losses, without naming a group |
# | [04 SMOTE](04_smote.ipynb) | invent new samples between rare ones |
# | [05 Group DRO](05_group_dro.ipynb) | let the weights of the groups follow their losses |
# | [06 Spectral decoupling](06_spectral_decoupling.ipynb) | keep the logits small, so that all features are learnt |
# | [07 OccamNets](07_occam_nets.ipynb) | let easy images leave the network early |
# | [08 Adversarial training](08_adversarial_training.ipynb) | train on images that are changed to mislead the network |
# | [09 DANN](09_dann.ipynb) | hide from the network where an image comes from |
# | [10 Comparison of methods](10_method_comparison.ipynb) | all of them, side by side, and what each has to know |
#
# Every lecture has the same ten parts. What a lecture states is a **claim** that its notebook measures over several
# seeds: it prints *holds*, *fails* or *undecided*, with an interval. (Its number says where it comes from: L is the
# lecture's own statement, B one that goes beyond.) Run the cells from top to bottom, change what you like, and run them
# again.
#
# ---
#
# # 00 · Dataset bias
#
# **The question.** A network is right on nearly all the data that we held back. Then it meets people, places or
# colours that were rare in training, and fails on half of them. What went wrong, and how would we have known?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

from debias_course import data, evaluate, figures, models, train
from debias_course.evaluation import GroupReport
from debias_course.lectures.dataset_bias import exercises
from debias_course.lectures.dataset_bias.measurements import DatasetBiasLesson
from debias_course.lectures.dataset_bias.panel import draw_shortcut, fit_shortcut
from debias_course.lectures.panels import panel
from debias_course.methods import ERM, Knob

here = DatasetBiasLesson()

# %% [markdown]
# **What you will be able to claim** when you are through, with measurements behind each sentence:
#
# - a network trained in the plain way does well on data composed like its own, and badly on the few samples whose colour
#   is unusual for their class;
# - it looks at the colour: repaint the digits, and many answers change;
# - one model has several honest summary numbers, and they are far apart;
# - train the same network on data without the correlation, and it is good for every group.
#
# ## See the problem
#
# Real handwritten digits, two classes: low (0 to 4) and high (5 to 9). Nearly all low digits are painted orange, nearly
# all high ones blue. The shape is the **core** feature: it makes the label. The colour means nothing; it only goes along
# with the label. Such a feature is **spurious**, and a network that uses it takes a **shortcut**. The colour is the
# **attribute**, and a label together with an attribute is a **group**.
#
# The word `correlation` stands for the share of each class that wears its usual colour. At 1 the colour gives the class
# away, and at one half it says nothing. (It is not Pearson's coefficient, for which one half would be a lot.)

# %%
splits = data.colored_digits(correlation=0.95, seed=0)
figures.picture(
    figures.sample_grid(splits.train),
    alt="Four rows of eight digits: low orange, low blue, high orange, high blue; beside each row its number of images.",
    takeaway="Four groups. The two in the middle break the pattern, and are rare.",
)

# %%
splits.train.table()

# %% [markdown]
# Train a small network on it, as everyone does, and test it on images that it has not seen. In the test set the four
# groups are equally large, so that each of them is measured well.

# %% tags=["nbval-ignore-output"]
run = train(models.mlp(splits.train), splits.train, ERM(), epochs=20, progress=True)
report = evaluate(run.model, splits.test, train=splits.train)
figures.picture(
    figures.group_bars({"plain training": report}),
    alt="Bars of test accuracy for the four groups. The two common groups are near one, the two rare ones near one half.",
    takeaway="Nearly always right where the pattern holds, and about half of the time where it breaks.",
)

# %% [markdown]
# ## The idea
#
# Plain training is **empirical risk minimisation** (ERM): choose the parameters θ of the network $f_\theta$ so that the
# mean loss ℓ (here the cross-entropy) over the *n* training samples $(x_i, y_i)$ is small,
#
# $$\min_\theta \frac{1}{n}\sum_{i=1}^{n} \ell\big(f_\theta(x_i),\, y_i\big).$$
#
# Nothing in this line knows about groups. Write it as a sum over them,
#
# $$\frac{1}{n}\sum_{i} \ell_i \;=\; \sum_{g} \frac{n_g}{n}\;\overline{\ell}_g ,$$
#
# with $n_g$ samples of mean loss $\overline{\ell}_g$ in group *g*: a group counts in proportion to its size. Whoever
# answers "orange, so it is low" is right about the two common groups, and has only to look at one pixel for it. That is
# not a bug of the optimiser: it does what it was asked to do.
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
# Six test samples, two labels by two attributes. Which summary would you report?
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
# A share of few samples is uncertain: one right answer of one says very little. So the accuracy of one model comes with
# its *n* and a 95 % interval (Wilson's): how well do so many test samples determine it? Below, the network from above.

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

# %% tags=["nbval-ignore-output"]
report  # of the network that was trained above

# %% [markdown]
# ## Turn the knob
#
# A problem that fits on paper: the second coordinate shows the label, with some noise; the first shows the attribute,
# with little. First three settings of one knob, the correlation in training. The dots are test samples.

# %%
trained = {}
for correlation in (0.5, 0.9, 0.99):
    toy, trained[f"correlation {correlation}"] = fit_shortcut(ERM(), correlation)
figures.picture(
    figures.regions(trained, toy.test),
    alt="Three scatter plots with a straight decision boundary: level for correlation one half, then ever steeper.",
    takeaway="The more label and attribute go together, the more the boundary turns towards the shortcut.",
)

# %% [markdown]
# Now yours, with training samples as dots. `hidden` is the width of a hidden layer (none: a straight boundary). Is there
# a width at which the shortcut is no longer taken?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_shortcut,
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
# A **claim** is a sentence, a number per seed, and the band in which their mean should lie. The interval is now that of
# the mean over seeds (Student's t): how much does the number move when the training is repeated? The claim *holds* when
# the whole 95 % interval lies in the band, *fails* when all of it lies outside, and is *undecided* in between.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("runs"))
runs = here.runs
runs.summary

# %% tags=["claim"]
here.claim("L00.1a", "L00.1b")

# %% [markdown]
# Is it really the colour? Ask for the counterfactual: the same test digits, once all in their class's own colour, once
# all in the other's. How many answers change?


# %% tags=["claim"]
here.claim("L00.1c")

# %% [markdown]
# Four summary numbers, one model. None of them is wrong; each answers a different question. (Overall and group-balanced
# agree here, because the groups of our test set are equally large; by hand they did not.) Before you compare two papers,
# find out which one they call "average".


# %% tags=["claim"]
here.claim("B00.2")

# %% [markdown]
# ## When it breaks
#
# Is the network too weak to read the shape? Give it the same digits with colours that say nothing: as many orange as
# blue ones in both classes. And how strong does a correlation have to be to do harm? (The shaded bands are intervals of
# the mean over seeds.)

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("by_correlation"))
by_correlation = here.by_correlation

# %%
lines, bands = {}, {}
for metric in ("train_weighted", "group_balanced", "worst_group"):
    means = [result.mean("plain training", metric) for result in by_correlation.values()]
    name = metric.replace("_", " ")
    lines[name] = (list(by_correlation), [mean.value for mean in means])
    bands[name] = ([mean.low for mean in means], [mean.high for mean in means])
figures.picture(
    figures.curves(lines, bands=bands, x="correlation in training", y="test accuracy", ylim=(0, 1.02)),
    alt="Three curves against the correlation: train-weighted rises a little, group-balanced falls, worst group plunges.",
    takeaway="The stronger the bias, the better the train-weighted accuracy looks, and the worse the worst group fares.",
)

# %% tags=["claim"]
here.claim("B00.3", "B00.4", "B00.5")

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
# - ERM weighs a group by its size; here it took the feature that serves the common groups.
# - An average over data that are composed like the training data does not show it.
# - Report overall, group-balanced, worst group and train-weighted by name, with *n* and an interval.
# - The correlation is what makes this network fail; how badly, also depends on the network (try `hidden` above).
#
# **Quiz**
#
# <details><summary>A paper reports an "average accuracy" on Waterbirds above that of another one. What do you ask
# first?</summary>Which average. The test set of Waterbirds is composed in another way than its training set, and many
# tables re-weight the groups by their training shares.</details>
#
# <details><summary>The smallest group has ten test samples, all of them right. Is it the best group?</summary>Its
# interval is wide (<code>wilson(10, 10)</code> in <code>debias_course.evaluation</code> prints it); look at it before you
# rank. And the worst group is the one with the lowest accuracy, which need not be the smallest.</details>
#
# <details><summary>Would more data of the same kind help?</summary>The shares stay as they are, and so does the reward
# for the shortcut; but the rare groups grow in number too, and a network can learn more from them. Train on half of the
# digits to see the difference: <code>half = splits.train.subset(range(0, 3000, 2))</code>.</details>
#
# ## References
#
# - Geirhos et al. 2020, *Shortcut learning in deep neural networks*, Nature Machine Intelligence.
# - Sagawa et al. 2020, *Distributionally robust neural networks for group shifts*, ICLR (Waterbirds: water birds and land
#   birds pasted on water and land; train-weighted averages in its tables).
# - Nam et al. 2020, *Learning from failure*, NeurIPS (ten coloured digits).
# - LeCun et al. 1998, *Gradient-based learning applied to document recognition* (MNIST).
# - Wilson 1927, *Probable inference, the law of succession, and statistical inference* (the interval).
# - Okabe and Ito 2008, *Color universal design* (the palette).
#
# **Next:** [01 Loss re-weighting](01_loss_reweighting.ipynb) lets the rare groups count more.
