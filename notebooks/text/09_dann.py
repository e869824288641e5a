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
# **It happened.** No radiologist is known to tell a patient's race from an X-ray of the chest. Researchers trained networks
# to do it, and they could, in one data set after another. They still could when the images were filtered so hard that a
# person would not recognise an X-ray. Nobody has found out what the networks look at (Gichoya et al. 2022). So a network that is
# trained to find a disease may read a patient's race without being told, and may use it.
#
# **The question.** So far we changed samples, losses and layers. Now we change what the network *knows*. If its
# features held nothing about the hospital, or about a person's race, the classifier on top could not misuse it. Can features
# be trained to keep such a secret? And how would we find out whether they do?

# %% tags=["setup", "nbval-ignore-output"]
import torch
import torch.nn.functional as F

from debias_course import figures, models
from debias_course.lectures.dann import exercises, pictures
from debias_course.lectures.dann.measurements import DANNLesson
from debias_course.lectures.dann.panel import draw_dann
from debias_course.lectures.dann.readers import ten_colors, two_domains
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import DANN, Knob
from debias_course.methods import dann as library

here = DANNLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether a reversed gradient makes features invariant to the domain, or only less informative of it;
# - whether a classifier is then better on a domain without labels;
# - what "invariant to race or gender" can mean, and which of its meanings was reached;
# - what balanced batches take out on their own, and what the reversal adds;
# - why a network that has been fooled proves nothing.
#
# ## See the problem
#
# Somebody has labelled plain digits for us. But the images that we will meet have cloudy grounds. We have many of those
# too, only without labels. Plain is the *source* **domain**, textured the *target* domain. (Images have half their usual
# size here, which saves time.)

# %%
digits = two_domains(seed=0)
figures.picture(
    figures.sample_grid(digits.train, each=10, groups=[4, 5, 14, 15]),
    alt="Four rows of small images: a digit two and a digit seven, each on black ground and on soft grey spots.",
    takeaway="The same digits in two domains; only the labels of the plain ones are known in training.",
)

# %% [markdown]
# Train on the labels of the source alone. The **features** are what the last layer reads. Here a third of the test images are shown, each a dot at the
# first two principal components of its features. The numbers mark the mean of a digit, in a circle for the source and in
# a square for the target.

# %%
figures.picture(
    pictures.both_domains((0.0,)),
    takeaway="Compare where the circles lie with where the squares lie: one network, two clouds.",
)

# %% [markdown]
# ## The idea
#
# Put a second network on the features, the **discriminator**. It learns to read the domain from them. Then train the
# features so that it fails. This is *domain-adversarial training of neural networks*, DANN for short (Ganin et al. 2016).

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Both losses are added. The only minus sign is in the layer R, on the way back.",
)

# %% [markdown]
# With $\theta$ for the network, $f_\theta$ for its features and $\phi$ for the discriminator:
#
# $$\min_{\theta,\,\phi}\; L_y(\theta) + L_d(\phi, R(f_\theta)), \qquad R(f) = f, \qquad
# \frac{\partial R}{\partial f} = -\lambda .$$
#
# $L_y$ is the cross-entropy of the digits, a mean over the samples whose labels are known. $L_d$ is the cross-entropy of the
# domains. It needs no label, so the target takes part in it. $R$ is the **reversal**: on the way forward it does nothing,
# on the way back it multiplies the gradient by $-\lambda$. No function of one piece has such a
# derivative: forward and backward have to be told apart. The library's layer does it in so many words; the code below, with
# `detach`.
#
# So the discriminator learns at full speed, whatever $\lambda$ is. The features get its gradient with the wrong sign. The core
# of it, on one batch:

# %%
torch.manual_seed(0)  # for the start of the discriminator
model = models.cnn(digits.train)
batch = digits.train.batch(torch.arange(64))
features, discriminator = model.features(batch.inputs), torch.nn.Linear(64, 2)
reversed_ = -1.0 * features + (features + 1.0 * features).detach()  # forward: the features; backward: times -1
known = batch.attributes == 0  # labels of the source only
L_y = F.cross_entropy(model.head(features)[known], batch.labels[known])
L_d = F.cross_entropy(discriminator(reversed_), batch.attributes.long())
(L_y + L_d).backward()
print(f"loss of the digit {L_y:.3f}, of the domain {L_d:.3f}")

# %% [markdown]
# A minus in front of $L_d$ *without* the layer makes the discriminator bad, not the features. A minus *and* the layer cancel
# out.
#
# At first the discriminator knows nothing, and its gradient is noise. So λ starts at zero and rises with the share $p$ of
# training that is done: $\lambda_p = \lambda\,(2 / (1 + e^{-10p}) - 1)$. The library's own code:

# %%
source(library._Reversal, library.ramp, DANN.losses, DANN.loss)

# %% [markdown]
# ## By hand
#
# Six samples with one number $x$ each, one feature $f = wx$ with $w = 1$, and a discriminator that says "target" with
# the probability $\sigma(vf)$, $v = 1$. The derivative of its mean loss by $v$ is the mean of $(\sigma(f) - a)\,x$, where
# $a$ is 1 for the target. By $w$ it is the same here. The discriminator gets it as it is. The feature gets -0.7 times as
# much, for λ = 0.7.

# %%
x = torch.tensor([-2.0, -1.0, 0.5, 0.5, 1.0, 2.0], dtype=torch.float64)
a = torch.tensor([0, 0, 0, 1, 1, 1], dtype=torch.float64)
v, w = (torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2))
domain_loss = F.binary_cross_entropy_with_logits(v * library.reverse(w * x, 0.7), a)
domain_loss.backward()
by_hand = ((torch.sigmoid(x) - a) * x).mean()
print(f"by hand {by_hand:.4f} | discriminator {v.grad:.4f} | feature {w.grad:.4f}")
assert torch.isclose(v.grad, by_hand) and torch.isclose(w.grad, -0.7 * by_hand)
right = ((x > 0) == a.bool()).double().mean()  # whoever says "target" where x is positive
print(f"right {right:.3f}: proxy A-distance {2 * (1 - 2 * (1 - right)):.3f}")

# %% [markdown]
# The last line is how the paper measures the distance of two domains. Fit a *fresh* classifier, the **probe**, to the finished
# features, and let $\epsilon$ be its error on images that nobody has trained on. The **proxy A-distance** is $2\,(1 - 2\epsilon)$
# (Ben-David et al. 2010): zero if the probe guesses, and two if it is always right. It is four times what the probe reads above
# one half, so we measure the probe. Ours is linear. A stronger reader can only find more.
#
# ## Turn the knob
#
# DANN has a second use: the "domain" is an attribute that the network should not use. Ten digits in ten colours, where the
# colour goes with the digit in nineteen of twenty training images. All labels are known. Three strengths:

# %% tags=["measure", "nbval-ignore-output"]
colored = ten_colors(seed=0)
figures.picture(
    pictures.two_losses(),
    takeaway="Compare the right ends with the dashed line of guessing: does the strongest reversal get there?",
)

# %% [markdown]
# The panel trains with your setting. Then three readers are asked: the head for the label, the discriminator for the domain, and
# a fresh probe. Find a setting in which the head still reads the label and the discriminator is near chance. Is the probe?

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
# **Two domains.** A small convolutional network is trained with stochastic gradient descent (SGD) and momentum, as in the
# paper, with λ = `0.2`; and, as circumstances, with λ = `0.5` and with AdamW. The last epoch is tested. "Without a
# reversal" is the same run with λ = 0: same batches, same steps, but the discriminator only looks on.
#
# How would you choose λ, if the target has no labels? You cannot look at the target's accuracy. The paper chooses by *reverse
# validation*: train a second network on the target with the first one's answers as labels, and see how well that one does on
# the source, whose labels are known. We did not do that. The value `0.2` was found *with* labels of the target, in an
# earlier version of this course. That is a help which a real user would not have. The paper's own value is λ = 1. A first attempt at this measurement had it, and stopped:
# on some seeds the loss became infinite at our learning rate, which has no schedule, so the largest here is `0.5`.

# %%
here.guess(
    "L09.1",
    "After DANN, a fresh probe reads the domain of a test image",
    "no better than by guessing (within five points)",
    "better than guessing, but less often than without the reversal",
    "as often as without the reversal",
)

# %%
here.guess(
    "B09.2",
    "On the target, whose labels nobody has seen, the accuracy is",
    "higher with the reversal",
    "the same",
    "higher under SGD only",
)

# %% tags=["claim"]
here.claim("L09.1", "B09.1", "B09.2")

# %%
here.where("B09.1")

# %%
here.where("B09.2")

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.both_domains((0.0, 0.2)),
    takeaway="Left without a reversal, right with one. A plane shows two directions of many: the probe reads them all.",
)

# %% [markdown]
# **A sensitive attribute.** What could "invariant to race or gender" mean? There are at least three answers.
#
# - *The features do not show it.* A fresh probe is at chance.
# - *The answers do not depend on it.* Each answer is given equally often to both. This is **demographic parity**. It is the
#   *unconditional* meaning, and what a discriminator that sees only the features works for (Edwards and Storkey 2016).
# - *Among those with the same true label, the answers do not depend on it.* This is **equalised odds**, the *conditional*
#   meaning (Hardt et al. 2016). A discriminator that is also told the label works for it (Zhang et al. 2018; Zhao and Gordon
#   2019). `DANN(conditional=True)` does that; CDAN tells it the network's own answer instead, so that it needs no labels
#   (Long et al. 2018).
#
# If a label is truly more frequent in one group than in the other, no classifier of two classes that is better than guessing
# has both of the last two. So "invariant to race or gender" is a choice before it is a method. Here two colours play the
# attribute, two classes of digits the label. No person's attribute is this simple, nor seen this easily.

# %%
here.guess(
    "L09.2",
    "DANN makes a network that is trained on biased colours invariant to the colour",
    "in all three meanings",
    "in its answers, but not in its features",
    "in none of them",
)

# %% tags=["claim"]
here.claim("L09.2", "B09.9")

# %%
here.where("L09.2")

# %%
figures.picture(
    figures.over_epochs(here.kept("T09.2"), y="gap in equalised odds", ylim=(0, 1.02)),
    takeaway="Find the lines of plain training and of balancing alone first, and then ask what each reversal adds.",
)

# %% [markdown]
# **Balance first.** In balanced batches all groups are alike in number (lecture 02). There the label says nothing about the
# colour, so nothing of the label has to be given up to hide the colour. But balancing is a remedy of its own. What remains
# for the reversal to do? Back to ten colours:

# %%
here.guess(
    "B09.3",
    "Balanced batches, with a reversal instead of without: a fresh probe reads the colour",
    "less often",
    "equally often",
    "more often",
)

# %% tags=["claim"]
here.claim("B09.3", "B09.4", "B09.5", "B09.7")

# %%
here.where("B09.3")

# %%
figures.picture(
    figures.over_epochs(here.kept("T09.1"), levels={"chance": 0.1}, y="probe of the colour", ylim=(0, 1.02)),
    takeaway="Two steps: from plain training to balancing, and from there to the reversal. Which goes down, and which not?",
)

# %% [markdown]
# ## When it breaks
#
# **Fooling is not removal.** In balanced batches no digit gives a colour away, so the discriminator has to read colours from the
# features. It is one player in a game, and the features need not lose the colour to win: they may just move faster than it
# can follow. Whoever wants to know what features hold has to ask somebody new.

# %% tags=["claim"]
here.claim("B09.6", "B09.8")

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.three_readers(here.readers(), chance=0.1),
    takeaway="A dot for each seed. In each row with a discriminator, compare it with the fresh probe beside it.",
)

# %% [markdown]
# **Where label and attribute go together**, the digit itself tells the colour in nineteen of twenty training images. Features
# that hide the colour must hide the digit, too, and the head wants to know it. Zhao et al. (2019) prove that something has to
# give: if the shares of the labels differ between domains, invariant features cannot be right on both.
#
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.reversal.hint()` helps, `exercises.reversal.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The reversal without a class: forward the features, backward -λ times the gradient. What can `detach` do for you?
def reversal(features, strength): ...


exercises.reversal.check(reversal)


# %% tags=["exercise"]
# 2. The label loss where only domain 0 has labels, from losses [B] and domains [B]; 0 where a batch has none.
def label_loss(losses, domains): ...


exercises.label_loss.check(label_loss)


# %% tags=["exercise"]
# 3. Open: forget the colour. Return a Method and a weight decay, such as (DANN(sampling="groups"), 0.0), with which at least
#    0.7 of the digits are right on test, and a fresh probe names fewer than 0.5 of the ten colours. How low can it go?
def forget_the_colour(): ...


exercises.open_experiment.check(forget_the_colour)

# %% [markdown]
# ## Recap
#
# - DANN adds a discriminator and a layer that turns its gradient round. The losses are added; the minus is in the layer.
# - "Less informative" and "invariant" are two statements. Measure both with a fresh probe, on images that neither network has
#   seen.
# - A fooled discriminator proves nothing.
# - Say which invariance you mean: of the features, of the answers, or of the answers at equal labels.
# - Compare with balanced batches alone before you credit a reversal.
#
# **Quiz**
#
# <details><summary>λ is doubled. Does the discriminator learn twice as fast?</summary>No: λ stands between it and the features.
# Its own gradient stays as it is.</details>
#
# <details><summary>Somebody writes the loss as L_y - λ L_d, without the layer. What will the discriminator
# do?</summary>Make its own loss as large as it can: be wrong with certainty. The features help it with that, and nobody looks
# for the domain any more.</details>
#
# <details><summary>A discriminator that was trained on biased batches is at chance on an unbiased test set. Why does that say
# little?</summary>It may guess the colour from the digit. That is right most of the time in training, and no better than
# chance where the two are independent.</details>
#
# <details><summary>Source and target have different shares of the ten digits. What is wrong with features of the same
# distribution in both?</summary>The shares of digits are part of that distribution. To be alike, some digits of one
# domain have to lie where other digits of the other lie, and are mistaken for them.</details>
#
# <details><summary>A linear probe is at chance. Is the attribute gone?</summary>Not from that alone: a network may still read
# what a line cannot. A probe that reads it shows that it is there; one that fails shows only that this probe
# fails.</details>
#
# ## References
#
# - Ben-David et al. 2010, *A theory of learning from different domains*, Machine Learning (the proxy A-distance).
# - Ganin et al. 2016, *Domain-adversarial training of neural networks*, JMLR.
# - Edwards and Storkey 2016, *Censoring representations with an adversary*, ICLR.
# - Hardt et al. 2016, *Equality of opportunity in supervised learning*, NeurIPS.
# - Elazar and Goldberg 2018, *Adversarial removal of demographic attributes from text data*, EMNLP.
# - Li et al. 2018, *Deep domain generalization via conditional invariant adversarial networks*, ECCV.
# - Long et al. 2018, *Conditional adversarial domain adaptation*, NeurIPS (CDAN).
# - Zhang et al. 2018, *Mitigating unwanted biases with adversarial learning*, AIES.
# - Zhao et al. 2019, *On learning invariant representations for domain adaptation*, ICML.
# - Zhao and Gordon 2019, *Inherent tradeoffs in learning fair representations*, NeurIPS.
# - Gichoya et al. 2022, *AI recognition of patient race in medical imaging*, The Lancet Digital Health.
#
# **Next:** [10 Comparison of methods](10_method_comparison.ipynb) puts all of them side by side.
