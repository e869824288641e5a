# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 · DANN
#
# **The question.** So far we changed samples, losses, layers and pixels. Now we change what the network *knows*. If its
# features held nothing about the domain of an image (or about a sensitive attribute), the classifier on top could not
# misuse it. Can features be trained to keep such a secret, and how would we find out whether they do? *Domain-adversarial
# training of neural networks*, DANN for short, sets a second network on the features that tries to read the domain, and
# trains them to fool it.

# %% tags=["setup", "nbval-ignore-output"]
import inspect
import math

import torch

from debias_course import figures, models, train
from debias_course.lectures.dann import exercises
from debias_course.lectures.dann.measurements import (
    ADAPTING,
    COLORING,
    TARGET,
    DANNLesson,
    small_mlp,
    ten_colors,
    two_domains,
)
from debias_course.lectures.dann.panel import draw_dann
from debias_course.lectures.panels import panel
from debias_course.methods import DANN, Knob
from debias_course.methods import dann as library

here = DANNLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - reversing the gradient of a domain classifier makes features less informative of the domain, and a classifier better on
#   a domain without labels;
# - a domain classifier that fails (the *discriminator*) is no proof: a new one on the finished features (a *probe*) may
#   still read the attribute;
# - where label and attribute go together, a strong reversal hurts, as the features have to give up the label, too;
# - telling the discriminator the label helps against that, and so does a weaker reversal;
# - balancing and reversal together beat plain training by far, and balancing alone does as well.
#
# ## See the problem
#
# Somebody has labelled plain digits for us, but the images that we will meet have cloudy grounds. Of those we have many, too,
# but without labels. Plain is the *source* domain, textured the *target*. (Images have half their usual size here, which
# saves time.)

# %%
digits = two_domains(seed=0)
figures.picture(
    figures.sample_grid(digits.train, each=10, groups=[4, 5, 14, 15]),
    alt="Four rows of small images: a digit two and a digit seven, each on black ground and on soft grey spots.",
    takeaway="The same digits in two domains; only the labels of the plain ones are known in training.",
)

# %% [markdown]
# Train on the source alone, and look at the features of both domains: each image is a dot at its first two principal
# components. The numbers mark the mean of a digit, in a circle for the source and in a square for the target.

# %%
before = train(models.cnn(digits.train), digits.train, DANN(strength=0.0, **TARGET), **ADAPTING).model
figures.picture(
    figures.embedding({"source only": library.frozen_features(DANN(), before, digits.test)}, digits.test),
    alt="A cloud of dots of two colours. The circles with the numbers of plain digits lie far apart, the squares near each other.",
    takeaway="For a network that has seen labels of plain digits only, textured digits lie elsewhere, and closer together.",
)

# %% [markdown]
# ## The idea
#
# ```
#                       ┌── head ──────────────────── L_y   which digit is it?
# image ── features ────┤
#                       └── R ── discriminator ────── L_d   which domain is it from?
# ```
#
# Train everything to make $L_y + L_d$ small. Both are plain cross-entropies, and they are *added*. All that is new is
# the layer $R$ in front of the discriminator. On the way forward it does nothing; on the way back it turns the gradient round:
#
# $$R(f) = f, \qquad \frac{\partial R}{\partial f} = -\lambda .$$
#
# So the discriminator learns to tell the domains apart, at full speed. The features get its gradient with the wrong
# sign, and learn to make it fail. Nothing that is computed forward has such a derivative; the layer simply says so.
#
# Get the signs right: they are the most frequent mistake in codes called DANN. A minus in front of $L_d$ *without* the
# layer makes the discriminator bad, not the features. A minus *and* the layer cancel out.
#
# At first the discriminator knows nothing and its gradient is noise. So λ starts at zero and rises with the share *p* of
# training that is done: $\lambda_p = \lambda\,(2 / (1 + e^{-10p}) - 1)$.
#
# With `labelled="first domain"`, $L_y$ is a mean over the source only. The domain loss needs no label, so the target
# takes part in it.

# %%
print(inspect.getsource(library._Reversal))
print(inspect.getsource(library.ramp))
print(inspect.getsource(DANN.losses))
print(inspect.getsource(DANN.loss))

# %% [markdown]
# ## By hand
#
# A gradient of 1, 2 and 3 comes back through the layer with λ = 0.7 as -0.7, -1.4 and -2.1.
#
# And six samples with one number $x$ each, one feature $f = wx$ with $w = 1$, and a discriminator that says "target" with
# the probability $\sigma(vf)$, $v = 1$. The derivative of its mean loss by $v$ is the mean of $(\sigma(f) - a)\,x$, and by $w$
# it is the same here. The discriminator gets it as it is, so that it will grow more certain. The feature gets -0.7
# times as much.

# %%
x = torch.tensor([-2.0, -1.0, 0.5, 0.5, 1.0, 2.0], dtype=torch.float64)
a = torch.tensor([0, 0, 0, 1, 1, 1], dtype=torch.float64)
v, w = (torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2))
domain_loss = torch.nn.functional.binary_cross_entropy_with_logits(v * library.reverse(w * x, 0.7), a)
domain_loss.backward()
by_hand = ((torch.sigmoid(x) - a) * x).mean()
print(f"by hand {by_hand:.4f} | discriminator {v.grad:.4f} | feature {w.grad:.4f}")
assert torch.isclose(v.grad, by_hand) and torch.isclose(w.grad, -0.7 * by_hand)
print("λ at p = 0, 0.1, 0.25, 0.5, 1:", [round(library.ramp(p), 4) for p in (0, 0.1, 0.25, 0.5, 1)])

# %% [markdown]
# ## Turn the knob
#
# The second use of DANN: the "domain" is an attribute that the network should not use. Ten digits in ten colours, where the
# colour goes with the digit in nineteen of twenty training images. All labels are known. Three strengths:

# %%
colored = ten_colors(seed=0)


def losses_by_step(strength):
    """Loss of the label and of the domain, [steps, 2]."""
    trace = []

    def look(model, batch, state, loss):  # after every step
        trace.append(torch.stack(state.losses))

    train(small_mlp(colored.train), colored.train, DANN(strength=strength), on_step=look, **COLORING)
    return torch.stack(trace)


figure, axes = figures.new_figure(9.0, 3.8, 1, 2)
lines = {}
for strength in (0.0, 0.3, 1.0):
    smooth = losses_by_step(strength).unfold(0, 10, 1).mean(2)
    lines[f"λ = {strength:g}"] = (range(len(smooth)), smooth.T.tolist())
for axis, part, name in (axes[0], 0, "loss of the label"), (axes[1], 1, "loss of the domain"):
    figures.curves({k: (xs, ys[part]) for k, (xs, ys) in lines.items()}, x="step", y=name, axis=axis, ylim=(0, 2.5))
axes[1].axhline(math.log(10), color="black", linewidth=1)
figures.picture(
    figure,
    alt="Two plots over the steps for three strengths: with the largest, the losses of label and domain are high and swing.",
    takeaway="A strong reversal pushes the domain's loss up, towards guessing (the level line); both losses swing then.",
)

# %% [markdown]
# The panel trains with your setting, and then asks three readers of the features: the head for the label, the discriminator,
# and a *probe*, which is fitted afterwards to the frozen features. Find a setting in which the discriminator is near chance.
# Is the probe? And which setting has the best accuracy?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_dann,
    DANN(),
    digits=Knob("coloured", choices=("coloured", "textured"), help="ten colours, or two domains"),
    epochs=Knob(6, low=2, high=30, help="of training"),
)

# %% [markdown]
# ## Measure it
#
# **Two domains.** A small convolutional network, trained with stochastic gradient descent and momentum as in the paper; the
# last epoch is tested. "Source only" is the same run with λ = 0: same batches, same steps, but the discriminator only looks on.
# The probe is a logistic regression, fitted to the features of validation images, and tested on those of test images;
# chance is one half. (Afterwards, try the course's usual optimiser here. What does the probe say?)

# %% tags=["measure", "nbval-ignore-output"]
print("training:", ADAPTING, TARGET)
print(here.how("adapted"))
adapted = here.adapted

# %%
after = train(models.cnn(digits.train), digits.train, DANN(strength=0.2, **TARGET), **ADAPTING).model
features = {"source only": before, "DANN": after}
figures.picture(
    figures.embedding(
        {name: library.frozen_features(DANN(), model, digits.test) for name, model in features.items()}, digits.test
    ),
    alt="Two clouds of dots. Left, circles and squares of the same number lie apart; right, they lie on top of each other.",
    takeaway="With the reversal the two domains lie on each other, digit by digit.",
)

# %% tags=["claim"]
here.claim("L09.1a", "L09.1b", "B09.1c")

# %% [markdown]
# **An attribute as the domain.** The coloured digits again; the test set has all pairs of digit and colour alike. The
# network is a small fully connected one, with the course's optimiser, and the last epoch is tested. Besides plain
# training and DANN there are
#
# - *weak*: a reversal with $\lambda = 0.3$ instead of $1$;
# - *conditional*: the discriminator is told the digit. It cannot win by recognising the digit any more, so that the features
#   need not hide it;
# - *balanced*: batches in which all hundred groups are alike in number (lecture 02), so that the digit says nothing about the
#   colour; without and with a reversal, $\lambda = 0.5$.

# %% tags=["measure", "nbval-ignore-output"]
print("training:", COLORING)
print(here.how("runs"))
runs = here.runs

# %%
figure, axis = figures.new_figure(8.0, 4.4)
readers = {
    "label, by the head": "accuracy",
    "colour, by the discriminator": "discriminator",
    "colour, by a probe": "probe",
}
methods = list(dict.fromkeys(name for name, _ in runs))
for j, (title, what) in enumerate(readers.items()):
    style = dict(color=figures.PALETTE[j], marker=figures.MARKERS[j], linestyle="none")
    for i, name in enumerate(methods):
        values = [runs[name, seed].get(what, math.nan) for seed in here.seeds]
        axis.plot(values, [i + 0.2 * (j - 1)] * len(values), alpha=0.6, label=None if i else title, **style)
axis.axvline(0.1, color="black", linestyle="--", linewidth=1)
axis.set(yticks=range(len(methods)), yticklabels=methods, xlim=(0, 1), xlabel="share of the test images that are right")
axis.invert_yaxis()
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=10, frameon=False)
figures.picture(
    figure,
    alt="Dots per seed for six methods: the discriminators are near chance, the probes far above it, everywhere.",
    takeaway="Discriminators are mostly right on one or two in ten, near chance (dashed), and all probes far above it. Balancing gains most accuracy.",
)

# %% [markdown]
# **Fooling is not removal.** Look at balanced DANN. In its batches no digit gives a colour away, so that the discriminator
# has to read colours from the features, and it fails. A linear probe on the same features does not.

# %% tags=["claim"]
here.claim("B09.2a", "B09.2b", "B09.2c")

# %% [markdown]
# The discriminator is one player in a game. The features need not lose the colour to win: they may just move faster than the
# discriminator can follow. Whoever wants to know what features hold has to ask somebody new.
#
# **Balance first.** Balanced batches make digit and colour independent, so that nothing of the digit has to be given up.

# %% tags=["claim"]
here.claim("B09.2d", "B09.2e")

# %% [markdown]
# ## When it breaks
#
# **Where label and attribute go together**, the digit itself tells the colour in nineteen of twenty training images. Features
# that hide the colour from the discriminator must hide the digit, too, and the head wants to know it. The stronger the
# reversal, the more of the digit is lost (Zhao et al. 2019 prove that something has to be).

# %% tags=["claim"]
here.claim("B09.2f", "B09.2g", "B09.2h")

# %% [markdown]
# The harm is one of degree, and a method whose strength decides between gain and loss needs a validation set that can tell. Here
# that is one in which colours do not go with the digits, as they do in training.
#
# ## Exercises
#
# `exercises.reversal.hint()` helps, `exercises.reversal.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The reversal without a class: forward the features, backward -λ times the gradient. What can `detach` do for you?
def reversal(features, strength): ...


exercises.reversal.check(reversal)


# %% tags=["exercise"]
# 2. The published schedule: λ when a share `progress` of training is done, and `highest` is where it goes to.
def schedule(progress, highest): ...


exercises.schedule.check(schedule)


# %% tags=["exercise"]
# 3. The label loss where only domain 0 has labels, from losses [B] and domains [B]; 0 where a batch has none.
def label_loss(losses, domains): ...


exercises.label_loss.check(label_loss)

# %% [markdown]
# ## Recap
#
# - DANN adds a discriminator and a layer that turns its gradient round. The losses are added; the minus is in the layer.
# - With two domains it made features less informative of the domain, and helped where labels were missing.
# - A fooled discriminator proves nothing. Measure removal with a fresh probe, on data that neither network has seen.
# - Where label and attribute go together, a strong reversal throws the label out with the attribute. Balance first, or tell
#   the discriminator the label; and compare with balancing alone, which did as well here.
#
# **Quiz**
#
# <details><summary>λ is doubled. Does the discriminator learn twice as fast?</summary>No: λ stands between it and the features.
# Its own gradient stays as it is.</details>
#
# <details><summary>Somebody writes the loss as L_y - λ L_d, without the layer. What will the discriminator
# do?</summary>Make its own loss as large as it can, which is very large: be wrong with certainty. The features help it with
# that, and nobody looks for the domain any more.</details>
#
# <details><summary>A discriminator on biased batches has an accuracy at chance on an unbiased test set. Why does that say
# little?</summary>It may guess the colour from the digit. That is right most of the time in training, and no better than
# chance where the two are independent.</details>
#
# <details><summary>Source and target have different shares of the ten digits. What is wrong with features of the same
# distribution in both?</summary>The shares of digits are part of that distribution. To be alike, some digits of one
# domain have to lie where other digits of the other lie, and are mistaken for them.</details>
#
# ## References
#
# - Ganin et al. 2016, *Domain-adversarial training of neural networks*, JMLR.
# - Elazar and Goldberg 2018, *Adversarial removal of demographic attributes from text data*, EMNLP.
# - Zhao et al. 2019, *On learning invariant representations for domain adaptation*, ICML.
# - Li et al. 2018, *Deep domain generalization via conditional invariant adversarial networks*, ECCV (conditional).
# - Gulrajani and Lopez-Paz 2021, *In search of lost domain generalization*, ICLR.
#
# **Next:** [10 Comparison of methods](10_method_comparison.ipynb) puts all of them side by side.
