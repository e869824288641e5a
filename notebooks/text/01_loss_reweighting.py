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
# **The question.** In [lecture 00](00_dataset_bias.ipynb) a group counted as much as it was large, and the rare ones
# were sold. What if one of their samples simply counted more? The answer is the oldest remedy there is. It works, and
# there are three ways to be disappointed by it: the wrong labels, too much training, too large a model.

# %% tags=["setup", "nbval-ignore-output"]
import functools
import inspect

import torch

from debias_course import data, explore, figures, study
from debias_course.claims import above, below, lesson, within
from debias_course.data import GroupedData, toys
from debias_course.data.biases import thin
from debias_course.exercises import reweighting as exercises
from debias_course.methods import ERM, Knob, LossReweighting
from debias_course.methods import reweighting as library

here = lesson("01_loss_reweighting")

# %% [markdown]
# **What you will be able to claim:**
#
# - weighting by group lifts the worst group a lot, and costs something elsewhere;
# - it needs to know the attribute: weighting by the label repairs unequal classes, but not a shortcut;
# - inverse frequency, its square root and the effective number are one family, and the way in which the weights are
#   normalised is a hidden learning rate for one optimiser and nothing at all for another;
# - the effect fades when training goes on until every sample is fitted, and is gone in a model that is large enough.
#
# ## See the problem
#
# Who is the mean loss made of? Each group's part in it is its share of the samples.

# %%
splits = data.colored_digits(correlation=0.95, seed=0)
table = splits.train.table().rename(columns={"share": "part in the mean"})
table["weight of a sample"] = LossReweighting(by="group").weights(splits.train).tolist()
table["part after weighting"] = table["part in the mean"] * table["weight of a sample"]
table.round(3)

# %% [markdown]
# ## The idea
#
# Multiply the loss of each sample by a weight that is larger the smaller its population *c* is (its group, its label or
# its attribute):
#
# $$\min_\theta \frac{1}{B}\sum_{i \in \text{batch}} w_{c(i)}\,\ell_i,
# \qquad w_c \propto n_c^{-\gamma}
# \quad\text{or}\quad w_c \propto \frac{1-\beta}{1-\beta^{\,n_c}} .$$
#
# With γ = 1 (inverse frequency) every population has the same part in the loss; γ = ½ goes half of the way, and γ = 0
# nowhere. The second formula is the *effective number of samples*: the more samples there are of a kind, the less a
# further one adds. The weights are then scaled to a mean of one **over samples**, so that the loss keeps its size. This
# is the library's own code, all of it:

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
# On the plane of lecture 00, where the first coordinate is a shortcut. Three powers of the inverse frequency:

# %%
trained = {}
for power in (0.0, 0.5, 1.0):
    toy, trained[f"power {power}"] = explore.fit_shortcut(LossReweighting(power=power), 0.95)
figures.picture(
    figures.regions(trained, toy.test),
    alt="Three scatter plots with a straight decision boundary that becomes more level as the power grows.",
    takeaway="The more the rare groups count, the less the boundary follows the shortcut.",
)

# %% [markdown]
# The panel has a control for every field of the method, made from the field's own declaration. Weight by label and by
# attribute. Which of them help here, and why not? (Both classes are equally large, and so are both attributes.)

# %% tags=["widget", "nbval-ignore-output"]
explore.panel(
    explore.draw_shortcut,
    LossReweighting(),
    correlation=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# The same on real digits: each move trains a network, which takes about a second per ten epochs. The lines are the four
# groups of the validation set while training goes on. Give it many epochs and watch the rare groups.

# %% tags=["widget", "nbval-ignore-output"]
explore.panel(
    explore.draw_digits,
    LossReweighting(),
    correlation=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    epochs=Knob(10, low=1, high=60, help="passes over the training data"),
)

# %% [markdown]
# ## Measure it
#
# All methods get the same seeds, the same network, the same epochs, and the same rule for which epoch is tested: the
# one with the best worst group on validation. (So validation needs group labels, for ERM too.)

# %% tags=["measure", "nbval-ignore-output"]
methods = {
    "ERM": ERM(),
    "by group": LossReweighting(by="group"),
    "square root": LossReweighting(by="group", power=0.5),
    "effective number": LossReweighting(by="group", scheme="effective", beta=0.999),
}
runs = study(methods, data.colored_digits, seeds=here.seeds, epochs=20, select="validation-worst-group")

# %%
figures.picture(
    figures.study_bars(runs),
    alt="Dots per seed and intervals: the worst group of ERM is lowest, weighting by group lifts it most.",
    takeaway="The worst group gains, data like the training data lose: what is moved is where the errors are made.",
)

# %% tags=["claim"]
here.claim(
    "L01.1a",
    "Weighting by group lifts the worst group over plain training",
    measure=lambda seed: runs.value("by group", seed) - runs.value("ERM", seed),
    holds=above(0.10),
)
here.claim(
    "L01.1b",
    "On data distributed like the training data it is worse than plain training",
    measure=lambda seed: runs.value("by group", seed, "train_weighted") - runs.value("ERM", seed, "train_weighted"),
    holds=below(0.0),
)
here.claim(
    "B01.4a",
    "The square root stands between plain training and the inverse frequency",
    measure=lambda seed: min(
        runs.value("by group", seed) - runs.value("square root", seed),
        runs.value("square root", seed) - runs.value("ERM", seed),
    ),
    holds=above(0.0),
)

# %% [markdown]
# **Which labels?** Thin the large digits out to a quarter, so that there is something to even out between the classes,
# and weight by label and by group. Then the same for a problem whose only fault is that one class is rare: the colours
# say nothing there.


# %% tags=["measure", "nbval-ignore-output"]
def uneven(*, seed, correlation, keep):
    parts = data.colored_digits(correlation=correlation, seed=seed)
    return parts._replace(train=thin(parts.train, (1.0, keep), seed=seed))


shortcut = study(
    {"ERM": ERM(), "by label": LossReweighting(by="label"), "by group": LossReweighting(by="group")},
    functools.partial(uneven, correlation=0.95, keep=0.25),
    seeds=here.seeds,
    epochs=10,
    select="validation-worst-group",
)
rare_class = study(
    {"ERM": ERM(), "by label": LossReweighting(by="label")},
    functools.partial(uneven, correlation=0.5, keep=0.03),
    seeds=here.seeds,
    epochs=10,
    select="validation-worst-class",
)

# %% tags=["claim"]
here.claim(
    "L01.2a",
    "Against a shortcut, weighting by label stays far behind weighting by group",
    measure=lambda seed: shortcut.value("by label", seed) - shortcut.value("by group", seed),
    holds=below(-0.10),
)
here.claim(
    "L01.2b",
    "Against a rare class, weighting by label is enough to lift the worst class",
    measure=lambda seed: (
        rare_class.value("by label", seed, "worst_class") - rare_class.value("ERM", seed, "worst_class")
    ),
    holds=above(0.20),
)

# %% [markdown]
# **A hidden learning rate.** Some codes scale the weights to a mean of one over *populations* instead of samples. On
# these digits that divides all weights by the same number, about five. Stochastic gradient descent takes steps that are
# five times as short; Adam divides its step by the size of the gradient, and does not notice.

# %% tags=["measure", "nbval-ignore-output"]
scales = {
    "over samples": LossReweighting(normalize="samples"),
    "over populations": LossReweighting(normalize="populations"),
}
with_sgd = study(scales, data.colored_digits, seeds=here.seeds, epochs=5, optimizer="sgd", lr=0.01)
with_adam = study(scales, data.colored_digits, seeds=here.seeds, epochs=5, optimizer="adamw")

# %% tags=["claim"]
here.claim(
    "B01.4b",
    "Under SGD the smaller scale gets less far in five epochs",
    measure=lambda seed: (
        with_sgd.value("over samples", seed, "group_balanced")
        - with_sgd.value("over populations", seed, "group_balanced")
    ),
    holds=above(0.01),
)
here.claim(
    "B01.4c",
    "Under AdamW it makes no difference",
    measure=lambda seed: (
        with_adam.value("over samples", seed, "group_balanced")
        - with_adam.value("over populations", seed, "group_balanced")
    ),
    holds=within(-0.01, 0.01),
)

# %% [markdown]
# ## When it breaks
#
# **Too much training.** The weights act through the losses. Once every training sample is fitted, all losses are nearly
# zero, and five times nearly nothing is nearly nothing (Byrd and Lipton 2019). What keeps the effect is whatever keeps
# the losses from vanishing: stopping early, or a strong weight decay.

# %% tags=["measure", "nbval-ignore-output"]
pair = {"ERM": ERM(), "by group": LossReweighting(by="group")}
short = study(pair, data.colored_digits, seeds=here.seeds, epochs=10)
long = study(pair, data.colored_digits, seeds=here.seeds, epochs=30)
decayed = study(pair, data.colored_digits, seeds=here.seeds, epochs=30, weight_decay=10.0)

# %%
lines = {}
for name, result in {"ERM": long, "by group": long, "by group, weight decay 10": decayed}.items():
    history = result.history[result.history["method"] == name.split(",")[0]]
    worst = history.groupby(["seed", "epoch"])["accuracy"].min().groupby("epoch").mean()
    lines[name] = (worst.index.tolist(), worst.tolist())
figures.picture(
    figures.curves(lines, x="epoch", y="worst group, validation", ylim=(0, 1.02)),
    alt="Worst group over epochs: weighted starts high and falls, with weight decay it stays high, ERM stays low.",
    takeaway="Weighting leads early; later the lead melts, unless weight decay keeps the losses alive.",
)

# %% tags=["claim"]
here.claim(
    "B01.3a",
    "The lead over plain training melts between epoch 10 and epoch 30",
    measure=lambda seed: (
        (short.value("by group", seed) - short.value("ERM", seed))
        - (long.value("by group", seed) - long.value("ERM", seed))
    ),
    holds=above(0.05),
)
here.claim(
    "B01.3b",
    "A strong weight decay keeps it",
    measure=lambda seed: (
        (decayed.value("by group", seed) - decayed.value("ERM", seed))
        - (long.value("by group", seed) - long.value("ERM", seed))
    ),
    holds=above(0.10),
)


# %% [markdown]
# **Too large a model.** The clearest case has a theory (Sagawa et al. 2020b). Random ReLU features of a Gaussian
# problem, and a logistic regression on top that is fitted to the end. Few features cannot fit every sample; a thousand
# can. Under-sampling, the subject of the next lecture, throws away samples of the large groups instead.


# %% tags=["claim"]
@functools.cache
def worst_group_of(how, features, seed):
    from sklearn.linear_model import LogisticRegression

    parts = toys.core_and_spurious(seed=seed)
    projection = torch.randn(200, features, generator=torch.Generator().manual_seed(seed))
    projection /= projection.norm(dim=0)
    seen, unseen = (torch.relu(part.inputs @ projection).numpy() for part in (parts.train, parts.test))
    rows = torch.arange(len(parts.train))
    if how == "under-sampled":
        smallest = int(parts.train.counts.min())
        rows = torch.cat([(parts.train.groups == g).nonzero().flatten()[:smallest] for g in range(4)])
    weight = LossReweighting().weights(parts.train)[parts.train.groups] if how == "weighted" else torch.ones(3000)
    fit = LogisticRegression(C=1e9 / len(rows), fit_intercept=False, max_iter=1000)
    fit.fit(seen[rows], parts.train.labels[rows].numpy(), sample_weight=weight[rows].numpy())
    right = torch.from_numpy(fit.predict(unseen)) == parts.test.labels
    return min(right[parts.test.groups == g].float().mean().item() for g in range(4))


here.claim(
    "B01.3c",
    "With few features, weighting lifts the worst group",
    measure=lambda seed: worst_group_of("weighted", 100, seed) - worst_group_of("plain", 100, seed),
    holds=above(0.10),
)
here.claim(
    "B01.3d",
    "With a thousand features, weighting does nothing",
    measure=lambda seed: worst_group_of("weighted", 1000, seed) - worst_group_of("plain", 1000, seed),
    holds=within(-0.08, 0.08),
)
here.claim(
    "B01.3e",
    "And there under-sampling still works",
    measure=lambda seed: worst_group_of("under-sampled", 1000, seed) - worst_group_of("plain", 1000, seed),
    holds=above(0.15),
)

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
# 3. Weights that average one over populations: by which factor do they shorten the steps of SGD?
def learning_rate_factor(counts): ...


exercises.learning_rate_factor.check(learning_rate_factor)

# %% [markdown]
# ## Recap
#
# - A weight per population changes who the mean loss is made of. By group, it lifts the worst group.
# - By label, it repairs unequal classes; a shortcut needs the attribute's labels.
# - The scale of the weights is a learning rate under SGD. Say how yours are normalised.
# - It acts through the losses: stop early or decay the weights. In a model that fits everything it does nothing.
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
# <details><summary>Your weighted run and your plain run end alike. What do you check first?</summary>Whether the
# training loss has gone to zero in both. Then stop earlier, decay the weights, or change the sample instead of the
# loss.</details>
#
# ## References
#
# - King and Zeng 2001, *Logistic regression in rare events data*, Political Analysis (weighting by inverse frequency).
# - Cui et al. 2019, *Class-balanced loss based on effective number of samples*, CVPR.
# - Byrd and Lipton 2019, *What is the effect of importance weighting in deep learning?*, ICML.
# - Sagawa et al. 2020a, *Distributionally robust neural networks for group shifts*, ICLR (upweighting as a baseline).
# - Sagawa et al. 2020b, *An investigation of why overparameterization exacerbates spurious correlations*, ICML.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
