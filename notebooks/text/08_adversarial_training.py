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
# **The question.** A network reads a digit correctly. Somebody changes every pixel by a shade that you hardly see, and
# now the network reads another digit, and is sure of it. Can a network be trained so that this does not happen? What does
# it cost, and who pays? And does it help against a shortcut?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch
from torch import nn

from debias_course import figures
from debias_course.lectures.adversarial_training import exercises
from debias_course.lectures.adversarial_training.measurements import ATTACKS, HARDER, AdversarialTrainingLesson
from debias_course.lectures.adversarial_training.panel import draw_adversarial_training, fit_digits
from debias_course.lectures.panels import panel
from debias_course.methods import ERM, AdversarialTraining, Knob
from debias_course.methods import adversarial_training as library
from debias_course.methods.adversarial_training import robust_evaluate
from debias_course.study import mean_over_seeds

here = AdversarialTrainingLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - a network that is trained on attacked digits withstands that attack, and a plainly trained one does not;
# - with few grey digits this costs no accuracy on clean ones;
# - where a colour goes along with the label it costs a lot, and the rare groups pay: the bias gets *worse*;
# - a network that is trained on single steps can look robust and not be, and a large radius needs a slow start.
#
# ## See the problem
#
# A small network, plainly trained on grey digits of ten classes. We let an attack move every pixel by at most some radius
# (pixels go from 0, black, to 1, white), in the direction that makes the loss larger.

# %%
grey, plain = fit_digits(ERM())
radii = (0.0, 0.025, 0.05, 0.1, 0.15)
reports = [robust_evaluate(plain, grey.test, radius=radius, steps=10) for radius in radii]
noise = [robust_evaluate(plain, grey.test, radius=radius, steps=0) for radius in radii]  # a random start, and no step
lines = {
    "attacked": (radii, [report.overall.value for report in reports]),
    "random noise": (radii, [report.overall.value for report in noise]),
}
figures.picture(
    figures.curves(lines, x="radius: most that a pixel may change", y="test accuracy", ylim=(0, 1.02)),
    alt="Test accuracy against radius: it stays where it is for random noise, and falls towards zero for an attack.",
    takeaway="Noise of the same size does no harm. It is the direction that counts.",
)

# %% [markdown]
# ## The idea
#
# Plain training minimises the loss of the inputs as they are. Adversarial training minimises the loss of the worst inputs
# in a small ball around them:
#
# $$\min_\theta\; \frac1n \sum_i \max_{\|\delta_i\| \le \varepsilon} \ell\big(f_\theta(x_i + \delta_i), y_i\big) .$$
#
# The inner maximum is found, not exactly, by walking uphill. *Projected gradient descent* (PGD, although it ascends) takes
# *k* steps of length α and comes back into the ball and to legal pixels after each:
#
# $$x \leftarrow \Pi\big(x + \alpha\, \mathrm{sign}(\nabla_x \ell)\big) .$$
#
# The sign is there because the ball is a cube: each pixel may move by ε, so the steepest way up uses all of it everywhere.
# One step with α = ε from the input itself is the *fast gradient sign method* (FGSM). PGD mostly starts from a random
# point of the ball, so that it does not always find the same hill.
#
# This looks like the worst case over *inputs*, as Group DRO looks at the worst case over *groups*. But nobody mentions
# groups here. Keep that in mind.

# %%
print(inspect.getsource(library.attack).split('"""')[2])
print(inspect.getsource(library.ascent))
print(inspect.getsource(library.project))
print(inspect.getsource(AdversarialTraining.attacked))

# %% [markdown]
# Three details matter. The gradient is taken with respect to the input alone; parameters keep theirs. The model is asked in
# evaluation mode, so that batch norm and dropout do not take part. And the radius grows from 0 over the first part of
# training (`ramp`): you will see why.

# %% [markdown]
# ## By hand
#
# For logistic regression the worst case has a formula. With weights $w = (1, -2, 0.5)$ and label 1, the loss grows fastest
# where $w \cdot x$ falls fastest: move each pixel by ε against the sign of its weight. Six samples; for the first,
# $x = (0.2, 0.5, 0.9)$, ε = 0.1 leads to (0.1, 0.6, 0.8), and the margin falls from −0.35 to −0.70: by ε times the sum of
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
# The plain network of above, one digit, three radii.

# %%
sample = grey.test.batch((grey.test.labels == 7).nonzero()[0])
rows = {}
for radius in (0.02, 0.1, 0.3):
    moved = library.attack(plain, sample.inputs, sample.labels, radius=radius, steps=10, random_start=False)
    with torch.no_grad():
        shares = torch.softmax(plain(torch.cat([sample.inputs, moved])), 1).max(1)
    said = [f"says {label} ({share:.0%})" for share, label in zip(shares.values.tolist(), shares.indices.tolist())]
    rows[f"radius\n{radius:g}"] = (sample.inputs[0], moved[0], *said)
figures.picture(
    figures.perturbations(rows),
    alt="A seven, what is added to it, and the sum, at three radii: from some radius on the network says something else.",
    takeaway="You still read a seven. From some radius on, the network does not, and is sure of what it says.",
)

# %% [markdown]
# In the panel, the attack of your setting meets two networks: one trained plainly, one adversarially (with a radius of a
# tenth). Raise `radius`. Where does each of the two give way? Look at the change, too: what does it draw? `done` is how much of
# training is over, for the `ramp`.

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
# Ten grey digits, eight epochs. Each step of an attack costs a forward and a backward pass, so we take a network that is
# small, and two steps per batch in training. It is *tested* with more steps than it was trained with, and every number says
# with how many: a robust accuracy without its attack means nothing.

# %% tags=["measure", "nbval-ignore-output"]
for name, settings in ATTACKS.items():
    print(f"{name}: {settings}")
print(here.how("grey"))
reports = here.grey


def shown(name, attack, average="overall"):
    return mean_over_seeds([getattr(reports[name, seed][attack], average).value for seed in here.seeds])


for name in ("plain", "adversarial"):
    print(f"{name}: clean {shown(name, 'clean')}, attacked {shown(name, 'PGD-40, radius 0.1')}")
print("attack:", reports["plain", here.seeds[0]]["PGD-40, radius 0.1"].attack)

# %%
figure, axes = figures.new_figure(11.0, 3.6, 1, 2, sharey=True)
for axis, attack in zip(axes, ("clean", "PGD-40, radius 0.1")):
    figures.group_bars({name: reports[name, here.seeds[0]][attack] for name in ("plain", "adversarial")}, axis=axis)
    axis.set(xlabel=f"digit ({attack})", xticks=range(10), xticklabels=range(10))
figures.picture(
    figure,
    alt="Accuracy per digit, clean and attacked: clean, both networks are good; attacked, only the adversarially trained one.",
    takeaway="Attacked, the plain network loses most digits; the adversarially trained one keeps most of them.",
)

# %% tags=["claim"]
here.claim("L08.1a", "L08.1b")

# %% [markdown]
# **What does it cost on clean digits?** The usual answer is: accuracy. Look at the picture again, on the left, before you
# read on.

# %% tags=["claim"]
here.claim("B08.2a")

# %% [markdown]
# If anything, it gains: there are only a few hundred images of each digit here, and attacks make more of them, as an
# augmentation does. Where data are plentiful, the gain is gone and a cost remains (Tsipras et al. 2019 show both sides on
# MNIST). But there is another way to pay.
#
# **And the groups?** Adversarial training minimises a worst case. Does it help the worst *group*? Take the coloured digits
# of the other lectures, two classes by two colours. In one data set, the colour goes along with the class in nineteen of
# twenty training images; in the other it says nothing. Guess first.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("coloured"))
reports = here.grey | here.coloured
for name in ("plain, biased", "adversarial, biased", "adversarial, unbiased"):
    print(f"{name}: clean worst group {shown(name, 'clean', 'worst_group')}")

# %%
figure, axes = figures.new_figure(8.0, 6.8, 2, 1)
names = ("plain, biased", "adversarial, biased", "adversarial, unbiased")
for axis, attack in zip(axes, ("clean", "PGD-20, radius 0.1")):
    figures.group_bars({name: reports[name, here.seeds[0]][attack] for name in names}, axis=axis)
    axis.set(xlabel=attack)
figures.picture(
    figure,
    alt="Accuracy per group, clean and attacked: adversarial training on biased data leaves two groups at zero and two at one.",
    takeaway="With biased data, adversarial training gives the rare groups up; without bias the groups are alike.",
)

# %% tags=["claim"]
here.claim("B08.2b", "B08.2c", "B08.2d", "B08.2e")

# %% [markdown]
# The network was told to use what an attack cannot change. A stroke can be thinned and smeared within the radius; the
# colour of a whole digit cannot be turned into the other. So the shortcut is the most robust feature of all, and
# adversarial training holds on to it (Moayeri et al. 2022 describe this trade-off). Robust to small changes is not the same
# as robust to a change of groups.
#
# ## When it breaks
#
# **Single steps.** PGD with *k* steps makes training about *k* + 1 times as long. Is one step enough? Train with FGSM, at
# a larger radius, and test with the same FGSM; and with more steps than that.
#
# **No ramp.** Start with the full radius at once, before the network knows anything.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("single", "double"))
reports = here.single | here.double

# %%
lines = {
    f"trained with {name}": (
        (0, 1, 5, 100),
        [reports[name, here.seeds[0]][a].overall.value for a in ("clean", *HARDER)],
    )
    for name in ("FGSM", "PGD")
}
figure, axis = figures.new_figure(6.4, 3.4)
axis.set_xscale("symlog", linthresh=1)
figures.curves(
    lines, x="steps of the attack (radius 0.3; one step is FGSM)", y="test accuracy", axis=axis, ylim=(0, 1.02)
)
axis.set(xticks=(0, 1, 5, 100), xticklabels=("0", "1", "5", "100"))
figures.picture(
    figure,
    alt="Test accuracy against steps of the attack: trained with FGSM it is high for one step and near zero for a hundred.",
    takeaway="Trained with one step and tested with one step, a network looks robust. More steps tell.",
)

# %% tags=["claim"]
here.claim("B08.2f", "B08.2g", "B08.2h")

# %% [markdown]
# A single step finds the top of a hill that is straight. Trained on single steps only, the network bends the hill: where
# one step leads, the loss is low, and beside it, it is not. This is called *gradient masking*, or catastrophic
# overfitting when it comes all at once. A random start and a step a little longer than the radius help (Wong et al.
# 2020), the ramp alone did not (this network had one); to be sure, test with many steps and several restarts, and
# mistrust a number without its attack.
#
# And a network that always says the same is perfectly robust: no attack changes its answer. The library warns of it, in
# training and in `robust_evaluate`.
#
# ## Exercises
#
# `exercises.moved.hint()` helps, `exercises.moved.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. FGSM: the pixels x after one step, from the gradient of the loss and the radius. Pixels lie between 0 and 1.
def moved_pixels(x, gradient, radius): ...


exercises.moved.check(moved_pixels)


# %% tags=["exercise"]
# 2. Back inside: the nearest legal pixels to `moved` that differ from x by at most the radius.
def back_inside(moved, x, radius): ...


exercises.back_inside.check(back_inside)


# %% tags=["exercise"]
# 3. Robust accuracy, from a table of what was right, bool [restarts, samples].
def robust_accuracy(right): ...


exercises.robust.check(robust_accuracy)

# %% [markdown]
# ## Recap
#
# - Adversarial training minimises the loss of the worst inputs in a small ball; PGD looks for them, step by step.
# - It made a network robust to attacks of that size, with more steps than it had seen. On these few digits it did not cost
#   clean accuracy.
# - It does not know about groups. Where a shortcut is hard to attack, it makes the network rely on it: the bias got worse.
# - A robust accuracy is an upper bound. Report radius, norm, steps and restarts, and the groups.
# - Single steps can fool the trainer; a large radius needs a ramp.
#
# **Quiz**
#
# <details><summary>Why does the attack use the sign of the gradient, and not the gradient?</summary>Each pixel may move by
# the same amount, whatever the others do. The loss of a linear model grows most if each pixel uses all of it. In an
# L2 ball it would be the gradient itself, scaled to length.</details>
#
# <details><summary>A paper reports a robust accuracy under FGSM only. What would you ask for?</summary>PGD with many steps
# and restarts, and an attack that does not need gradients. FGSM is one guess at the worst case, and training may have
# learnt to make just this guess wrong.</details>
#
# <details><summary>A shortcut is a texture of faint stripes, which differ by less than the radius. Would adversarial training
# make that bias worse, too?</summary>No: the attack can wipe such stripes out or draw others, so they are of no use to a
# robust network. It depends on whether the shortcut or the core is easier to attack.</details>
#
# ## References
#
# - Goodfellow et al. 2015, *Explaining and harnessing adversarial examples*, ICLR.
# - Madry et al. 2018, *Towards deep learning models resistant to adversarial attacks*, ICLR.
# - Tsipras et al. 2019, *Robustness may be at odds with accuracy*, ICLR.
# - Wong et al. 2020, *Fast is better than free: revisiting adversarial training*, ICLR.
# - Moayeri et al. 2022, *Explicit tradeoffs between adversarial and natural distributional robustness*, NeurIPS.
#
# **Next:** [09 DANN](09_dann.ipynb) changes what the features may know.
