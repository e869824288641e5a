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
# **It happened.** A network found collapsed lungs on chest X-rays, well on average. But most of its patients with a
# collapsed lung were already treated, and had a drain in the chest that is easy to see. On those without a drain, whom it was
# meant to find, it did much worse (Oakden-Rayner et al. 2020). The mean loss had counted them for what they were: few. A loss
# function always says whose errors count how much, whether one asks or not.
#
# **The question.** In [lecture 00](00_dataset_bias.ipynb) a group counted in proportion to its size, and the rare ones
# were sacrificed. What if each of their samples simply counted more? It is one of the oldest remedies. Does it make the
# system more robust, does it need labels for the attribute, and for how long does it work?

# %% tags=["setup", "nbval-ignore-output"]
import torch

from debias_course import data, figures
from debias_course.data import GroupedData
from debias_course.lectures.dataset_bias.measurements import levels
from debias_course.lectures.dataset_bias.panel import draw_digits, draw_shortcut, fit_shortcut
from debias_course.lectures.loss_reweighting import exercises, pictures
from debias_course.lectures.loss_reweighting.measurements import LossReweightingLesson
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import Knob, LossReweighting
from debias_course.methods import reweighting as library

here = LossReweightingLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether larger weights for the rare groups make a network more robust, and for how long;
# - whether they need labels of the attribute, or those of the class do;
# - what they cost on data like the training data, and whether the weights or the early stop cost it;
# - what happens in a model that can fit all training data.
#
# ## See the problem
#
# How much weight has each group in the mean loss? Its share of the samples. So the network gains nineteen times as much
# by serving a common group of the coloured digits as by serving a rare one. With weights, each group counts the same.

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)
table = splits.train.table().rename(columns={"share": "share of the loss, plain"})
table["weight of each sample"] = LossReweighting(by="group").weights(splits.train).tolist()
table["share, weighted"] = table["share of the loss, plain"] * table["weight of each sample"]
table.round(3)

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Data, batch, network and update stay as they are. One factor in the loss changes.",
)

# %%
here.guess(
    "L01.1",
    "Train longer and longer with these weights. The lead in the worst group",
    "grows",
    "shrinks, but stays",
    "vanishes",
)

# %% [markdown]
# ## The idea
#
# Multiply the loss of each sample by a weight that is larger the smaller its **population** is. A population is whichever
# set you want to even out: a group, a class, or all samples with one attribute. With $c(i)$ for the population of sample
# *i*, $n_c$ for the number of training samples in population *c*, and *B* samples in the batch:
#
# $$\min_\theta \frac{1}{B}\sum_{i \in \text{batch}} w_{c(i)}\,\ell_i,
# \qquad w_c \propto n_c^{-\gamma}
# \quad\text{or}\quad w_c \propto \frac{1-\beta}{1-\beta^{\,n_c}} .$$
#
# γ is called `power` in the code. At γ = 1 (inverse frequency) all populations get the same total weight; at γ = 0 each
# sample counts the same; γ = ½, the square root, lies in between. That is `LossReweighting`. The second formula, with β
# between 0 and 1, is the *effective number of samples* (Cui et al. 2019): the more samples there are of a kind, the less
# a further one adds. That is `EffectiveNumberWeighting`. The weights are then scaled to a mean of one **over samples**, so
# that the loss keeps its size.
#
# The core of it, in a training step of lecture 00:

# %%
weights = LossReweighting(by="group").weights(splits.train)  # one for each group
batch = splits.train.batch(torch.arange(128))
logits = torch.zeros(128, 2)  # of a network that knows nothing yet
losses = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
print(f"plain {losses.mean():.4f}, weighted {(weights[batch.groups] * losses).mean():.4f}")

# %% [markdown]
# All losses are equal here, and still the two means differ: the weights average one over the training set, not over each
# batch, and this batch has fewer rare samples than their share.
#
# The library's own code, as it runs in everything below:

# %%
source(library.inverse_frequency, library.normalise, LossReweighting.loss)

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
    takeaway="The more the rare groups count, the less the boundary follows the shortcut.",
)

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_shortcut,
    LossReweighting(),
    aligned_share=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# Weight by label, and by attribute. Do they help here?
#
# <details><summary>Answer</summary>Count the samples of each class and of each attribute: they are equally many. So all
# weights are one.</details>
#
# The same on real digits: each move trains a network. The lines are the four groups of the validation set while training
# goes on. Give it sixty epochs and watch the rare groups.

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_digits,
    LossReweighting(),
    aligned_share=Knob(0.95, low=0.5, high=0.99, help="share of training samples that follow the pattern"),
    epochs=Knob(10, low=1, high=60, help="passes over the training data"),
)

# %% [markdown]
# ## Measure it
#
# Both methods get the same seeds, the same network and the same number of epochs. Two rules say which epoch is tested: the
# **last** one, or the **best on validation**, the epoch with the best worst group there. That rule needs group labels in
# validation, for plain training too.

# %% tags=["claim"]
here.claim("L01.1")

# %%
here.where("L01.1")

# %%
figures.picture(
    figures.over_epochs(here.kept("T01.1"), levels={"chance": 0.5}, log=True),
    takeaway="The gap is wide early and narrow late. Follow each line: which of them moves more?",
)

# %% [markdown]
# **Which labels?** Label, colour, or both: the lecture calls the colour a *covariate*, something that varies along with the
# label. Does one need to know it? Keep only a quarter of the high digits, so that there is something to even out between
# the classes as well, and weight by label and by group. Then a problem whose only fault is that one class is rare, with colours that say
# nothing.

# %%
here.guess(
    "L01.2",
    "Against the colour shortcut, weights by class label do",
    "as well as weights by group",
    "worse by 5 points or more",
)

# %%
here.guess(
    "L01.3",
    "Against a rare class without a shortcut, weights by class label",
    "help at any length",
    "help only early",
    "do not help",
)

# %% tags=["claim"]
here.claim("L01.2", "L01.3")

# %%
here.where("L01.2")

# %%
here.where("L01.3")

# %% [markdown]
# **What it costs.** Weights move effort from the common groups to the rare ones. On data composed like the training data,
# that should cost accuracy. Or does only stopping early cost it?

# %%
here.guess(
    "B01.1",
    "On data like training, weights cost accuracy",
    "always",
    "only where training stops early, by plan or by validation",
    "never",
)

# %% tags=["claim"]
here.claim("B01.1")

# %%
here.where("B01.1")

# %% [markdown]
# **A hidden learning rate.** Some implementations scale the weights to a mean of one over *populations* instead of
# samples. On these digits, that makes every weight about a fifth as large. Stochastic gradient descent (SGD) then takes
# steps that are a fifth as long. AdamW divides its step by the size of the gradient. Which of the two is affected?

# %% tags=["claim"]
here.claim("B01.4")

# %% [markdown]
# ## When it breaks
#
# **Too much training.** Once the network separates the classes, it can lower every loss by making its outputs larger.
# The **margin** *m* of a sample is how far the right class's output lies above the other's, and its loss is
# $w\log(1+e^{-m})$, about $w\,e^{-m}$ for large *m*. So there a weight of nineteen does what a shift of the margin by
# ln 19 ≈ 3 would do, and that matters less and less as the margins grow. In a linear model, gradient descent tends towards
# one and the same separator (Soudry et al. 2018), whatever the weights are (Xu et al. 2021). Byrd and Lipton (2019) saw the
# weights fade in deep networks, too.

# %%
figures.picture(
    pictures.weighted_losses(),
    takeaway="The heavy curve is 19 times the light one everywhere. On the right, that is the light one moved by about 3.",
)

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.reached(splits),
    takeaway="From epoch 5 to epoch 30 the margins move to the right, where both losses are nearly zero.",
)

# %% tags=["claim"]
here.claim("B01.2", "B01.3", "B01.7")

# %% [markdown]
# Strong weight decay keeps the outputs, and so the margins, small. It is a huge decay: AdamW multiplies the parameters by
# $0.99$ at each step, which halves them in three epochs; PyTorch's default is a thousand times smaller. It serves the
# weighted network, and the shortcut in the plain one.

# %%
figures.picture(
    figures.over_epochs(here.kept("T01.2"), levels=levels(), y="worst group, decay 10", log=True),
    takeaway="With strong decay the weights keep their lead. Compare the plain line with the picture further above.",
)

# %% [markdown]
# Larger margins for rarer classes can also be asked for directly (Cao et al. 2019; Menon et al. 2021). But we have just
# seen that a shift and a weight are nearly the same thing, so a shift alone fades, too. It lasts where the outputs cannot
# grow, as in Cao et al., who normalise them, or where outputs are multiplied by a factor for each class (Kini et al. 2021).
#
# **Too large a model.** The clearest case, simulated by Sagawa et al. (2020b). A sample has 200 coordinates: half of them
# show the label with much noise, the other half the attribute with little. Multiply them by a fixed random matrix and
# apply a ReLU: these are the *features*. Only a logistic regression on top is trained, until its gradient is nearly zero. With few
# features it cannot fit all 3,000 training samples; with many it can (the model is **over-parameterised**). *Under-sampling*,
# of the next lecture, throws samples of the common groups away until all groups are as small as the smallest.

# %%
here.guess("B01.5", "With 1,000 features, weights lift the worst group", "by a lot", "a little", "not at all")

# %% tags=["claim"]
here.claim("B01.5", "B01.6")

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    figures.over_epochs(here.kept("T01.3"), x="random features", levels={"chance": 0.5}, log=True),
    takeaway="Compare the three lines left and right of 300 features. From 1,000 on, every training sample can be fitted.",
)

# %% [markdown]
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.group_weights.hint()` helps, `exercises.group_weights.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The inverse-frequency weight of each group, with a mean of one over samples.
def group_weights(counts): ...


exercises.group_weights.check(group_weights)


# %% tags=["exercise"]
# 2. Weights that average one over populations instead of samples multiply the steps of SGD by a number below one. By
#    which, for a tensor of counts?
def learning_rate_factor(counts): ...


exercises.learning_rate_factor.check(learning_rate_factor)


# %% tags=["exercise"]
# 3. Open: a method whose lead does not fade. Return a Method and a weight decay, such as (LossReweighting(), 0.1), with a
#    worst group above two thirds at the last of 150 epochs on the coloured digits.
def lasting_lead(): ...


exercises.open_experiment.check(lasting_lead)

# %% [markdown]
# ## Recap
#
# - A weight per population changes who counts in the mean loss.
# - How much it helps depends on how long one trains: say for how many epochs, and which epoch you tested.
# - Against a shortcut, weights by group do what weights by class label cannot, above all in short training (L01.2 says
#   where). Against a rare class, class labels are enough.
# - The scale of the weights is a learning rate under SGD. Say how yours are normalised.
#
# **Quiz**
#
# <details><summary>Why does <code>F.cross_entropy(weight=w)</code> with its default mean differ from the loss
# here?</summary>It divides by the sum of the batch's weights. A batch with a single class then ignores the weight
# altogether.</details>
#
# <details><summary>Is the weighted model worse on data like the training data?</summary>It depends on which epoch is
# tested, and how early that is. Look at the strip of B01.1 above: compare the two rules at the same length, and the last
# of few epochs with the last of many.</details>
#
# <details><summary>Your weighted run and your plain run end alike. What do you check?</summary>Whether the weights differ
# from one at all (by label, on equal classes, they do not). Then whether the training loss has gone to zero in both: stop
# earlier, keep the outputs small, or change the sample instead of the loss.</details>
#
# ## References
#
# - Shimodaira 2000, *Improving predictive inference under covariate shift by weighting the log-likelihood function*.
# - King and Zeng 2001, *Logistic regression in rare events data*, Political Analysis.
# - Soudry et al. 2018, *The implicit bias of gradient descent on separable data*, JMLR.
# - Byrd and Lipton 2019, *What is the effect of importance weighting in deep learning?*, ICML.
# - Cui et al. 2019, *Class-balanced loss based on effective number of samples*, CVPR.
# - Cao et al. 2019, *Learning imbalanced datasets with label-distribution-aware margin loss*, NeurIPS.
# - Oakden-Rayner et al. 2020, *Hidden stratification causes clinically meaningful failures in machine learning for medical
#   imaging*, CHIL.
# - Sagawa et al. 2020a, *Distributionally robust neural networks for group shifts: on the importance of regularization for
#   worst-case generalization*, ICLR (weights as a baseline).
# - Sagawa et al. 2020b, *An investigation of why overparameterization exacerbates spurious correlations*, ICML.
# - Menon et al. 2021, *Long-tail learning via logit adjustment*, ICLR.
# - Xu, Ye and Ruan 2021, *Understanding the role of importance weighting for deep learning*, ICLR.
# - Kini et al. 2021, *Label-imbalanced and group-sensitive classification under overparameterization*, NeurIPS.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
#
# **Next:** [02 Sampling](02_sampling.ipynb) shows the rare groups more often instead.
