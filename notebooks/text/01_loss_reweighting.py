# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Loss re-weighting
#
# **The question.** In [lecture 00](00_dataset_bias.ipynb) a group counted in proportion to its size, and the rare ones
# were sacrificed. What if each of their samples simply counted more? That is the oldest remedy there is. It works, and
# there are three ways to be disappointed by it: weights by class instead of by group, too much training, too large a
# model.

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch

from debias_course import data, figures
from debias_course.data import GroupedData
from debias_course.lectures.dataset_bias.panel import draw_digits, draw_shortcut, fit_shortcut
from debias_course.lectures.loss_reweighting import exercises
from debias_course.lectures.loss_reweighting.measurements import LossReweightingLesson
from debias_course.lectures.panels import panel
from debias_course.methods import Knob, LossReweighting
from debias_course.methods import reweighting as library

here = LossReweightingLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - weighting by group lifts the worst group a lot, and costs something elsewhere;
# - it needs to know the attribute: weighting by the label lifts a rare class, but leaves a shortcut mostly in place;
# - inverse frequency and its square root are one family, and the way in which the weights are normalised is a hidden
#   learning rate for one optimiser and next to nothing for another;
# - the lead over plain training shrinks when training goes on, and is gone in a model that is large enough.
#
# ## See the problem
#
# How much weight has each group in the mean loss? Its share of the samples. So the network gains nineteen times as much
# by serving a common group of the coloured digits as by serving a rare one.

# %%
splits = data.colored_digits(correlation=0.95, seed=0)
table = splits.train.table().rename(columns={"share": "weight before"})
table["of a sample"] = LossReweighting(by="group").weights(splits.train).tolist()
table["weight after"] = table["weight before"] * table["of a sample"]
table.round(3)

# %% [markdown]
# ## The idea
#
# Multiply the loss of each sample by a weight that is larger the smaller its **population** is. A population is whichever
# set you want to even out: a group, a class, or all samples with one attribute. With $c(i)$ for the population of sample
# *i*, $n_c$ for the training samples of population *c*, and *B* samples in the batch:
#
# $$\min_\theta \frac{1}{B}\sum_{i \in \text{batch}} w_{c(i)}\,\ell_i,
# \qquad w_c \propto n_c^{-\gamma}
# \quad\text{or}\quad w_c \propto \frac{1-\beta}{1-\beta^{\,n_c}} .$$
#
# γ is called `power` in the code. At γ = 1 (inverse frequency) all populations get the same total weight, at γ = 0 each
# sample counts the same, and γ = ½, the square root, lies in between: nineteen times rarer means about four times
# heavier. That is `LossReweighting`. The second formula, with β between 0 and 1, is the *effective number of samples*: the
# more samples there are of a kind, the less a further one adds. That is `EffectiveNumberWeighting`. The weights are then
# scaled to a mean of one **over samples**, so that the loss keeps its size. This is the core of the library's own code:

# %%
print(inspect.getsource(library.inverse_frequency))
print(inspect.getsource(library.effective_number))
print(inspect.getsource(library.normalise))
print(inspect.getsource(LossReweighting.loss))

# %% [markdown]
# ## By hand
#
# Six samples, four of group 0 and two of group 1, and their losses:
#
# | sample | 1 | 2 | 3 | 4 | 5 | 6 |
# |---|---|---|---|---|---|---|
# | group | 0 | 0 | 0 | 0 | 1 | 1 |
# | loss | 0.1 | 0.3 | 0.2 | 0.2 | 1.0 | 2.0 |
#
# Inverse frequencies ¼ and ½; over samples they average (4·¼ + 2·½) / 6 = ⅓, so the weights are ¾ and 3/2. The weighted
# mean is (¾·0.8 + 3/2·3) / 6 = 0.85, which is the mean of the two group means, 0.2 and 1.5. The plain mean is 3.8 / 6.
# Equal weight is not equal loss: group 1 has the larger part of both means, because its samples are the harder ones.

# %%
groups = torch.tensor([0, 0, 0, 0, 1, 1])
losses = torch.tensor([0.1, 0.3, 0.2, 0.2, 1.0, 2.0])
six = GroupedData(torch.zeros(6, 1), torch.zeros(6, dtype=torch.int64), groups, ("any",), ("group 0", "group 1"))
weights = LossReweighting(by="group").weights(six)
print(f"weights       {weights.tolist()}")
print(f"plain mean    {losses.mean():.4f}")
print(f"weighted mean {(weights[groups] * losses).mean():.4f}")
print(f"square root   {[round(w, 4) for w in LossReweighting(power=0.5).weights(six).tolist()]}")
print(f"by label      {LossReweighting(by='label').weights(six).tolist()}  (one label: nothing to even out)")
assert weights.tolist() == [0.75, 1.5] and abs((weights[groups] * losses).mean() - 0.85) < 1e-6

# %% [markdown]
# ## Turn the knob
#
# On the plane of lecture 00, where the first coordinate is a shortcut. Three powers of the inverse frequency, with test
# samples as dots:

# %%
trained = {}
for power in (0.0, 0.5, 1.0):
    toy, trained[f"power {power}"] = fit_shortcut(LossReweighting(power=power), 0.95)
figures.picture(
    figures.regions(trained, toy.test),
    alt="Three scatter plots with a straight decision boundary that becomes more level as the power grows.",
    takeaway="The more the rare groups count, the less the boundary follows the shortcut.",
)

# %% [markdown]
# The panel has a control for every field of the method, made from the field's own declaration. (Dots are training
# samples.) Weight by label, and by attribute. Do they help here? Count the samples of each class, and of each attribute,
# to see why not.

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_shortcut,
    LossReweighting(),
    correlation=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# The same on real digits: each move trains a network, which takes about a second per ten epochs. The lines are the four
# groups of the validation set while training goes on. Give it sixty epochs and watch the rare groups.

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_digits,
    LossReweighting(),
    correlation=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    epochs=Knob(10, low=1, high=60, help="passes over the training data"),
)

# %% [markdown]
# ## Measure it
#
# In this first study all methods get the same seeds, the same network, the same epochs, and the same rule for which epoch
# is tested: the one with the best worst group on validation. So validation needs group labels, for ERM too. Ours is
# balanced by colour, and holds more images of the rare groups than training does: a luxury. The rule picks a much earlier
# epoch of weighted training than of plain training, and what the first claim measures belongs to both, the weights and
# the stopping.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("runs"))
runs = here.runs
runs.table.groupby("method", sort=False)["epoch"].describe()[["min", "50%", "max"]]  # the epochs that were tested

# %%
figures.picture(
    figures.study_bars(runs),
    alt="Dots per seed and intervals for four methods: the worst group is lowest for ERM and highest by group.",
    takeaway="The rare groups gain more than the common ones lose; but on data like the training data, the common ones count.",
)

# %% tags=["claim"]
here.claim("L01.1a", "L01.1b", "B01.4a")

# %% [markdown]
# **Which labels?** Keep only a quarter of the high digits, so that there is something to even out between the classes as
# well, and weight by label and by group. Then a problem whose only fault is that one class is rare, with colours that say
# nothing. The lines show the mean over seeds of each method's worst group, and of its *worst class*, the class with the
# lowest accuracy. (Where no rule is named, as here, the last epoch is tested.)

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("shortcut", "rare_class"))
shortcut, rare_class = here.shortcut, here.rare_class
for result, metric in (shortcut, "worst_group"), (rare_class, "worst_class"):
    print(metric, {name: round(result.mean(name, metric).value, 2) for name in result.names})

# %% tags=["claim"]
here.claim("L01.2a", "L01.2b")

# %% [markdown]
# **A hidden learning rate.** Some implementations scale the weights to a mean of one over *populations* instead of
# samples. That multiplies all weights by the same number, on these digits about a fifth. Stochastic gradient descent
# (SGD) then takes steps that are a fifth as long. AdamW, which all other runs use, divides its step by the size of the
# gradient, and hardly notices.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("with_sgd", "with_adam"))

# %% tags=["claim"]
here.claim("B01.4b", "B01.4c")

# %% [markdown]
# ## When it breaks
#
# **Too much training.** Once the network separates the classes, it can lower every loss by making its outputs larger.
# Cross-entropy then falls like $e^{-m}$ with the margin *m* of a sample (how far the right class's output lies above the
# other's), so a weight of nineteen does what a shift of the margin by ln 19 ≈ 3 would do, and that matters less and less
# as the margins grow (Byrd and Lipton 2019 saw it in deep networks). Two things keep margins small: stopping early, and
# weight decay. The decay of 10 below is not as huge as it sounds: AdamW multiplies the parameters by 1 − learning rate ·
# decay, here $0.99$, at each step.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("short", "long", "decayed"))
long, decayed = here.long, here.decayed

# %%
lines = long.worst_by_epoch()
lines |= {f"{name}, weight decay 10": line for name, line in decayed.worst_by_epoch().items()}
figures.picture(
    figures.curves(lines, x="epoch", y="worst group, validation", ylim=(0, 1.02)),
    alt="Mean over seeds of the worst group per epoch: weighted falls, ERM rises; with decay weighted stays, ERM stays low.",
    takeaway="Without decay the two approach each other from both sides; with decay the weighted network stays where it was.",
)

# %% tags=["claim"]
here.claim("B01.3a", "B01.3b", "B01.3f")

# %% [markdown]
# **Too large a model.** The clearest case, simulated by Sagawa et al. (2020b), who also prove it for a simpler linear
# model. A sample has 200 coordinates: half of them show the label with much noise, the other half the attribute with
# little. Multiply them by a fixed random matrix and apply a ReLU: these are the *features*. Only a logistic regression on
# top is trained, until it cannot improve. A hundred features cannot fit all 3,000 training samples; a thousand can, and
# such a model is called over-parameterised. **Under-sampling**, a subject of the next lecture, does not weight: it throws
# samples of the common groups away until all groups are as small as the smallest.


# %% tags=["claim"]
here.claim("B01.3c", "B01.3d", "B01.3e")
fitted = {n: here.lowest_training_accuracy(n) == 1 for n in (100, 1000)}
print(f"with 1000 features, every training sample is fitted: {fitted[1000]}; with 100: {fitted[100]}")

# %% [markdown]
# ## Exercises
#
# `exercises.group_weights.hint()` helps, `exercises.group_weights.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The inverse-frequency weight of each group, with a mean of one over samples.
def group_weights(counts): ...


exercises.group_weights.check(group_weights)


# %% tags=["exercise"]
# 2. The weighted loss of a batch.
def weighted_loss(losses, groups, weights): ...


exercises.weighted_loss.check(weighted_loss)


# %% tags=["exercise"]
# 3. Weights that average one over populations instead of samples multiply the steps of SGD by a number below one. By
#    which, for a tensor of counts?
def learning_rate_factor(counts): ...


exercises.learning_rate_factor.check(learning_rate_factor)

# %% [markdown]
# ## Recap
#
# - A weight per population changes who counts in the mean loss. By group, it lifts the worst group.
# - By label, it lifts a rare class; against a shortcut one needs the attribute's labels.
# - The scale of the weights is a learning rate under SGD. Say how yours are normalised.
# - With long training the lead over plain training shrinks: stop early or decay the weights. In the over-parameterised
#   model it was gone, and throwing samples away still helped.
#
# **Quiz**
#
# <details><summary>Why does <code>F.cross_entropy(weight=w)</code> with its default mean differ from the loss
# here?</summary>It divides by the sum of the batch's weights. A batch with a single class then ignores the weight
# altogether.</details>
#
# <details><summary>Is the weighted model better?</summary>For the rare groups. On data that are distributed like the
# training data it makes more errors than plain training: you decide which distribution matters.</details>
#
# <details><summary>Your weighted run and your plain run end alike. What do you check?</summary>Whether the weights differ
# from one at all (by label, on equal classes, they do not). Then whether the training loss has gone to zero in both: stop
# earlier, decay the weights, or change the sample instead of the loss.</details>
#
# ## References
#
# - King and Zeng 2001, *Logistic regression in rare events data*, Political Analysis (weights: the share in the
#   population over the share in the sample).
# - Cui et al. 2019, *Class-balanced loss based on effective number of samples*, CVPR.
# - Byrd and Lipton 2019, *What is the effect of importance weighting in deep learning?*, ICML.
# - Sagawa et al. 2020a, *Distributionally robust neural networks for group shifts*, ICLR (upweighting as a baseline).
# - Sagawa et al. 2020b, *An investigation of why overparameterization exacerbates spurious correlations*, ICML.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
#
# **Next:** [02 Sampling](02_sampling.ipynb) shows the rare groups more often instead.
