# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · Adversarial training
#
# **It happened.** A few black and white stickers were put on a stop sign. A driver would take them for graffiti. A network
# that had learnt to read road signs said "speed limit 45": in every test photograph from a standing camera, and in more than
# four of five frames of a video from a moving car (Eykholt et al. 2018). Nobody had broken into the car's software. The
# stickers had been computed.
#
# **The question.** The lecture says: add such examples to training, and the model becomes more robust. Robust to what? To
# the change that was trained on, or to a stronger one? And is it robust to a *bias*, too? This lecture is part of a course
# on bias, so both are asked.

# %% tags=["setup", "nbval-ignore-output"]
import torch
from torch import nn

from debias_course import figures
from debias_course.lectures.adversarial_training import exercises, pictures
from debias_course.lectures.adversarial_training.measurements import AdversarialTrainingLesson
from debias_course.lectures.adversarial_training.panel import draw_adversarial_training, fit_digits
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import ERM, AdversarialTraining, BatchSampling, Knob
from debias_course.methods import adversarial_training as library

here = AdversarialTrainingLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether training on attacked images makes a network withstand attacks, weaker and stronger ones;
# - whether it makes a network rely less on a shortcut, and what balanced batches on top of it do;
# - when a network only *looks* robust;
# - what it costs on clean images, and which classes pay.
#
# ## See the problem
#
# One network plays all through this lecture, the small MLP with one hidden layer. (A small convolutional network, the *conv
# net*, stands beside it in the strips, and takes over once; we say so there.) Here it was plainly trained on grey digits of
# ten classes. Pixels go from 0, black, to 1, white. No pixel may change by more than the **radius**. Random changes of that
# size are noise. An **attack** chooses the changes so that the loss grows.

# %% tags=["measure", "nbval-ignore-output"]
grey, plain = fit_digits(ERM())
figures.picture(
    pictures.noise_and_attack(plain, grey.test),
    takeaway="Both lines change the pixels by as much. What differs is the direction.",
)

# %% [markdown]
# How large is such a change? One digit, three radii. In the middle is what was added, with its contrast turned up: grey is
# nothing.

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    pictures.one_digit(plain, grey.test),
    takeaway="From top to bottom, the change becomes visible. Look for the first row in which the answer changes.",
)

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Labels, network and update stay as they are. Only the images of the batch are changed.",
)

# %%
here.guess(
    "L08.1",
    "Trained on attacked images, beside clean ones or instead of them, a network becomes more robust",
    "to attacks and to the bias",
    "to attacks only",
    "to the attack of its training only",
    "to neither",
)

# %% [markdown]
# ## The idea
#
# Plain training minimises the loss $\ell$ of the images $x_i$ as they are, with labels $y_i$ and a network $f$ with
# parameters θ. Adversarial training minimises the loss of the worst image near each of them. A change $\delta_i$ may be as
# large as the radius ε:
#
# $$\min_\theta\; \frac1n \sum_{i=1}^{n}\; \max_{\|\delta_i\|_\infty \le \varepsilon}\;
# \ell\big(f_\theta(x_i + \delta_i),\, y_i\big) .$$
#
# $\|\delta\|_\infty$ is the largest change of any pixel. The images that are allowed form a cube around $x_i$, which for
# two pixels is a square. Nobody can search that cube for its highest loss: it has a dimension for every pixel. So one
# walks uphill, in steps of length α:
#
# $$x \;\leftarrow\; \Pi\big(x + \alpha\, \mathrm{sign}(\nabla_x\, \ell)\big) .$$
#
# $\nabla_x\, \ell$ is the gradient of the loss with respect to the *image*. Its sign says for each pixel whether lighter or
# darker raises the loss. Π (projection) brings the point back into the cube, and to pixels between black and white. *k* such
# steps from a random point of the cube are called *projected gradient descent*, **PGD**, although they go up. One step of
# length ε from the image itself is the *fast gradient sign method*, **FGSM**. Several **restarts**, each from another random
# point, make PGD stronger: a digit counts as right only if it is right after all of them.
#
# The lecture says that adversarial examples are *added*. So we train on both, attacked images and clean ones, each with
# half of the loss (Goodfellow et al. 2015). Training on attacked images *instead* of clean ones is the equation above
# (Madry et al. 2018). In the library that is `share`, a half or one.
#
# The core of it, five steps of PGD on a batch:

# %%
model, batch, radius = plain, grey.train.batch(torch.arange(64)), 0.1
moved = batch.inputs + radius * (2 * torch.rand(batch.inputs.shape) - 1)  # a random point of the cube
for _ in range(5):
    moved = moved.clamp(0, 1).requires_grad_()
    loss = nn.functional.cross_entropy(model(moved), batch.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, moved)
    moved = moved.detach() + radius / 2 * gradient.sign()
    moved = torch.clamp(moved, batch.inputs - radius, batch.inputs + radius)
moved = moved.clamp(0, 1)
print("farthest from where it was:", round(float((moved - batch.inputs).abs().max()), 4))

# %% [markdown]
# And the library's own code. It asks the network in evaluation mode, and leaves the gradients of its parameters alone. The
# radius grows from zero over the first part of training (`ramp`); you will see why.

# %%
source(library.ascent, library.project, AdversarialTraining.loss, AdversarialTraining.attacked)

# %% [markdown]
# Now in a plane, where all can be drawn: a sample (the star) between two half circles, a trained network, and its loss,
# which grows from light to dark. The thick line is where the answer changes. The dashed square is what may be reached.
# We picked a sample on which one step fails and several do not; most are not like that. But it shows why a robust accuracy
# means nothing without its attack. It is an upper bound: a better attack may find more.

# %%
figures.picture(
    pictures.square_and_path(),
    takeaway="Left, the loss looked steepest towards a corner. Right, steps that leave the square are brought back to it.",
)

# %% [markdown]
# ## By hand
#
# For logistic regression the worst case has a formula. Take weights $w = (1, -2, 0.5)$ and label 1. The loss grows fastest
# where $w \cdot x$ falls fastest: move each pixel by ε against the sign of its weight. For the first of six samples,
# $x = (0.2, 0.5, 0.9)$, ε = 0.1 leads to (0.1, 0.6, 0.8), and $w \cdot x$ falls from −0.35 to −0.70: by ε times the sum of
# all absolute weights, 0.35.

# %%
w = torch.tensor([1.0, -2.0, 0.5])
logistic = nn.Linear(3, 2, bias=False)
logistic.weight.data = torch.stack([torch.zeros(3), w])
x = torch.tensor(
    [[0.2, 0.5, 0.9], [0.5, 0.5, 0.5], [0.9, 0.2, 0.4], [0.3, 0.8, 0.6], [0.6, 0.4, 0.2], [0.15, 0.7, 0.3]]
)
labels = torch.tensor([1, 1, 1, 0, 0, 0])
moved = library.fgsm(logistic, x, labels, radius=0.1)
for before, after, label in zip(x, moved, labels.tolist()):
    points = [[round(value, 2) for value in each.tolist()] for each in (before, after)]
    print(f"label {label}: {points[0]} → {points[1]}, w·x {float(w @ before):+.2f} → {float(w @ after):+.2f}")
by_hand = x - 0.1 * (2 * labels[:, None] - 1) * w.sign()
ten_steps = library.attack(logistic, x, labels, radius=0.1, steps=10, generator=torch.Generator().manual_seed(0))
assert torch.allclose(moved, by_hand) and torch.allclose(ten_steps, by_hand)

# %% [markdown]
# Ten steps from a random point end in the same corner, as the loss of a linear model has no other hills.
#
# ## Turn the knob
#
# First the accuracy over the radius of the *attack*, one line for each radius in *training*. All were trained equally long.

# %%
figures.picture(
    figures.over_epochs(
        here.kept("T08.1"),
        x="radius of the attack",
        y="test accuracy",
        levels={"chance": 0.1},
        xticks=(0, 0.05, 0.1, 0.15, 0.2),
    ),
    takeaway="Follow each line past the radius of its training. Then compare where the lines begin, at the left end.",
)

# %% [markdown]
# In the panel, the attack of your setting meets two networks, one trained plainly and one adversarially (with a radius of
# a tenth). Raise `radius`: where does each of the two give way? Look at the change, too. What does it draw? `done` is how
# much of training is over, for the `ramp`.

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_adversarial_training,
    AdversarialTraining(radius=0.1),
    digit=Knob(7, low=0, high=9, help="which digit is attacked"),
    done=Knob(1.0, low=0.0, high=1.0, step=0.05, help="share of training that is done, for the ramp"),
)

# %% [markdown]
# ## Measure it
#
# All networks get the same seeds, batches and number of epochs, and the last epoch is tested. Attacks in training take two
# steps at a radius of a tenth. Attacks at test have the same radius and more steps: PGD-40 takes forty, twice, from two
# random points. For robustness to the *bias* there is no attack: we take the coloured digits of lecture 00, in which the
# colour goes along with the class, and look at the worst group on clean test images.

# %% tags=["claim"]
here.claim("L08.1")

# %%
here.where("L08.1")

# %% [markdown]
# First read the rows of the two attacks. Does it matter whether clean images are kept? Then read the rows of the bias, and
# mind the sign.

# %%
here.guess(
    "B08.2",
    "Train adversarially on batches that hold all groups alike. The worst group of clean coloured digits gets",
    "better than with adversarial training alone",
    "neither better nor worse by 10 points",
    "worse",
)

# %% [markdown]
# Why should an attack have anything to do with the bias? It asks the network to rely on what a small change cannot undo. A
# stroke can be thinned, thickened and smeared within the radius. The colour of a whole digit cannot be turned into the
# other one. Between shape and colour, the *shortcut* is the more robust feature here (Moayeri et al. 2022 describe this
# trade-off). If that is the reason, it should help to take the shortcut away: batch sampling (lecture 02) shows all groups
# equally often. A method that chooses batches and one that changes the loss go together in one class:


# %%
class BothAtOnce(AdversarialTraining):
    batches = BatchSampling().batches


print(BothAtOnce(radius=0.1, steps=2, share=0.5))

# %%
here.guess(
    "B08.3",
    "And against balanced batches without attacks, the worst group of clean digits gets",
    "better by 2 points or more",
    "neither better nor worse by 2 points",
    "worse by 2 points or more",
)

# %% tags=["claim"]
here.claim("B08.2", "B08.3")

# %%
here.where("B08.2")

# %% [markdown]
# Now group by group, after twenty epochs. The last of the five trainings is adversarial, too, on data in which the colour
# says nothing about the class.

# %%
figures.picture(
    pictures.groups(here.kept("T08.2"), {"clean": "clean", "PGD-10": "under PGD-10"}),
    takeaway="Compare the groups in the middle, the rare ones, whose colour is against the rule, with those at the ends. Then look below.",
)

# %% [markdown]
# An average under attack hides all this: a network that goes by the colour alone keeps its common groups, attacked or not.
# Report robust accuracy by group, or not at all.
#
# Where balanced batches and attacks gain together, ask for a control. Attacks make new versions of the few rare images, and
# so does the augmentation of lecture 02. Which of the two helps is not measured here. And is the bias all that harms? The
# last training in the picture had none. Below it is held against plain training on the same data, which the picture leaves
# out, after six epochs and after twenty.

# %% tags=["claim"]
here.claim("B08.7")

# %%
here.where("B08.7")

# %% [markdown]
# **What does it cost on clean images?** The usual answer is: accuracy (Tsipras et al. 2019). Another one is that classes
# pay unequally (Xu et al. 2021): those that were hard before become harder still.

# %% tags=["claim"]
here.claim("B08.4", "B08.5")

# %% [markdown]
# There are only a few hundred images of each digit here. Attacks make more of them, as an augmentation does. Where images
# are plentiful, expect something else.
#
# ## When it breaks
#
# **Single steps.** PGD with *k* steps makes training about *k* + 1 times as long. Is one step enough? Train with FGSM and
# test with the same FGSM; and then with many steps. Here the conv net takes over, and the radius is larger.

# %%
here.guess(
    "B08.1",
    "Trained on single steps at a radius of 0.3, then attacked with forty steps, twice: the accuracy is",
    "about the same as under the single step",
    "lower, by less than 20 points",
    "lower by 20 points or more",
)

# %% tags=["claim"]
here.claim("B08.1")

# %%
here.where("B08.1")

# %% [markdown]
# A single step finds the top of a hill that is straight. A network that is trained on single steps can learn to bend the
# hill: the loss is low where one step leads, and high beside it. This is called *gradient masking*, and *catastrophic
# overfitting* when it comes all at once. Whole families of published defences fell to it: the gradient was hidden, and the
# hole was still there (Athalye et al. 2018). So test with many steps and restarts, and with attacks that choose their own
# step length and need no gradient. *AutoAttack* is a collection of four, and the usual test today (Croce and Hein 2020). We
# have only PGD here: our robust accuracies are upper bounds.
#
# **No ramp.** Start with the full radius before the network knows anything.

# %% tags=["claim"]
here.claim("B08.6")

# %% [markdown]
# A network that gives every image the same answer is perfectly robust: no attack changes it. The library warns of it, in
# training and in `robust_evaluate`.
#
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.moved.hint()` helps, `exercises.moved.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. One step in another ball: the whole change may have the length `radius` (the root of its sum of squares). Pixels x
#    after the step, between 0 and 1, from the gradient of the loss.
def moved_pixels(x, gradient, radius): ...


exercises.moved.check(moved_pixels)


# %% tags=["exercise"]
# 2. Robust accuracy, from a table of what was right, bool [restarts, samples].
def robust_accuracy(right): ...


exercises.robust.check(robust_accuracy)


# %% tags=["exercise"]
# 3. Open: robust and fair. Return a Method and its settings, such as dict(epochs=6), whose worst group of coloured digits
#    is above 0.25 under PGD-10 at a radius of 0.05. How far can you get? And what do clean images pay?
def robust_and_fair(): ...


exercises.open_experiment.check(robust_and_fair)

# %% [markdown]
# ## Recap
#
# - Adversarial training minimises the loss of the worst images in a small cube around each. PGD looks for them, step by
#   step, and what it finds is a lower bound of how bad it gets.
# - "More robust" is half a sentence. Say against which change, of which size, under which attack, and for which groups.
# - It looks at no group. It asks for features that a small change cannot undo, and a shortcut may be one of them.
# - Methods that choose batches and methods that change images go together. Try both before you choose.
# - Trust no robust accuracy that was measured with the attack of training alone.
#
# **Quiz**
#
# <details><summary>Why does the attack use the sign of the gradient, and not the gradient?</summary>Each pixel may move by
# the same amount, whatever the others do. The loss of a linear model grows most if every pixel uses all of it. If the length
# of the whole change is limited, it is the gradient itself, scaled to that length.</details>
#
# <details><summary>A paper reports a robust accuracy under FGSM only. What would you ask for?</summary>PGD with many steps
# and restarts, and an attack that does not need gradients. FGSM is one guess at the worst case, and training may have
# learnt to make just this guess wrong.</details>
#
# <details><summary>The shortcut is a texture of faint stripes, fainter than the radius. Would you expect adversarial training
# to cling to it?</summary>No: an attack can wipe such stripes out, or draw others, so they are of no use to a robust network.
# It depends on whether the shortcut or the core is easier to attack.</details>
#
# <details><summary>A network has the same accuracy with and without an attack. Is it robust?</summary>Perhaps it says the
# same of everything, or goes by something that the attack cannot reach, such as the colour. Look at the groups.</details>
#
# ## References
#
# - Szegedy et al. 2014, *Intriguing properties of neural networks*, ICLR.
# - Goodfellow, Shlens and Szegedy 2015, *Explaining and harnessing adversarial examples*, ICLR.
# - Madry et al. 2018, *Towards deep learning models resistant to adversarial attacks*, ICLR.
# - Athalye, Carlini and Wagner 2018, *Obfuscated gradients give a false sense of security*, ICML.
# - Eykholt et al. 2018, *Robust physical-world attacks on deep learning visual classification*, CVPR.
# - Tsipras et al. 2019, *Robustness may be at odds with accuracy*, ICLR.
# - Wong, Rice and Kolter 2020, *Fast is better than free: revisiting adversarial training*, ICLR.
# - Croce and Hein 2020, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
#   attacks*, ICML.
# - Xu et al. 2021, *To be robust or to be fair: towards fairness in adversarial training*, ICML.
# - Moayeri, Banihashem and Feizi 2022, *Explicit tradeoffs between adversarial and natural distributional robustness*,
#   NeurIPS.
#
# **Next:** [09 DANN](09_dann.ipynb) changes what the features may know.
