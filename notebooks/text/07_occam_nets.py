# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · OccamNets
#
# **The question.** So far a method changed weights, batches or the loss. Can the *architecture* help? A network with many
# layers uses them all for every image, also where a glance would do. What if easy images could leave early, so that the
# deep layers are for the others? And would such a network be less biased, though nobody tells it what the bias is?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch

from debias_course import figures, models, train
from debias_course.evaluation import predict
from debias_course.lectures.occam_nets import exercises
from debias_course.lectures.occam_nets.measurements import SETTINGS, OccamNetsLesson, digits
from debias_course.lectures.occam_nets.panel import draw_occam_nets, fit_occam
from debias_course.lectures.panels import panel
from debias_course.methods import ERM, OccamNets
from debias_course.methods import occam_nets as library
from debias_course.study import mean_over_seeds

here = OccamNetsLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - an OccamNet's first exit takes on the bias, which nobody labelled;
# - easy images leave early, conflicting ones later, and they have reason to;
# - leaving early makes nothing less biased: gates that open easily do harm;
# - on these digits the whole network is about as biased as the same one without exits;
# - its gates hardly see when their exits are wrong, so they move little weight to the conflicting images.
#
# ## See the problem
#
# Ten digits by ten colours, at half the resolution: a small network is fast enough on them. In training nearly all images
# of a digit have its own colour. We call these *aligned*, the others (the rare groups) *bias-conflicting*. In the
# test data each digit has each colour equally often.

# %% tags=["setup"]
print(inspect.getsource(digits), SETTINGS, sep="\n")

# %%
splits = digits(0)
aligned = splits.test.labels == splits.test.attributes
plain = train(models.staged(splits.train), splits.train, ERM(), epochs=8, **SETTINGS).model
print(splits.train)
figures.picture(
    figures.sample_grid(splits.train, groups=[0, 3, 30, 33]),
    alt="Small images of coloured digits in four rows: zeros in their own colour and another, threes likewise.",
    takeaway="Nearly every training image of a digit has the digit's own colour; a few have another.",
)

# %%
right = predict(plain, splits.test).argmax(1) == splits.test.labels
for name, rows in {"aligned": aligned, "bias-conflicting": ~aligned}.items():
    share = float(right[rows].float().mean())
    print(
        f"plain network, {name}: {'nearly all' if share > 0.95 else 'far from all' if share < 0.85 else 'most'} right"
    )

# %% [markdown]
# The plain network knows many digits by their shape, but leans on the colour: where it misleads, fewer are right. Colour
# needs one layer, shape needs several.
#
# ## The idea
#
# The *trunk* is the plain network's layers, in stages. After each stage stands an **exit**; we count them from 0. After
# two convolutions of its own (a *light* exit has none) it makes a *class activation map* for every class: how much each
# place speaks for the class. The mean over places is the exit's logits. Beside it a small **gate** learns whether the exit
# is right. At test time a sample leaves by the first exit, exit 0 apart, whose gate is open. (That could save work; our code
# asks all exits anyway, to compare them.)
#
# $$\min_\theta \sum_j \frac1n \sum_i \Big[ (w_{ij} + 0.1)\,\mathrm{CE}_{ij} + \lambda\, S_{ij} + \mathrm{BCE}(g_{ij}, r_{ij}) \Big],
# \qquad w_{i0} = p_{i0}^{\gamma_0}, \quad w_{ij} = (1 - g_{i,j-1})^{\gamma}$$
#
# - **Weights.** Exit $j$ counts a sample little where the gate before it is open: others have solved it. Exit 0 does the
#   opposite. It counts most what it already knows ($p_{i0}$ is its probability of the label), so it becomes a specialist
#   for what is easy, and that is the bias, if there is one. Its gradient does not reach the trunk, and nobody leaves by
#   it. It exists so that gate 0 can tell exit 1 what is too easy. Weights are divided by the exit's largest in this epoch,
#   and count as constants.
# - **Suppression.** $S$ costs something where the label's map is *below* its own mean and some class is favoured there. So
#   the evidence is pushed into a small region.
# - **Gates.** $r$ is whether the exit is right; the rarer answer counts more in the BCE. At first that is whether it is
#   right *now*. Once the exit is good, each sample keeps the last answer: otherwise all would be "right" as soon as the
#   training samples are fitted.

# %%
print(inspect.getsource(library.exit_weights))
print(inspect.getsource(library.suppression))
print(inspect.getsource(library.leave_by))
print(inspect.getsource(OccamNets.loss))

# %% [markdown]
# ## By hand
#
# First three samples: a gate says 0.9, 0.5 and 0.2, so the next exit weighs them with 0.1, 0.5 and 0.8, each divided by 0.8,
# plus a tenth. Then a map of four places with 1, 2, 3 and 6 for class 0, and zeros for class 1: if the label is 0, its mean
# is 3, so only the last place is spared. Last, six samples and four exits: which do they take at a threshold of one half?

# %%
gates = torch.logit(torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64))
weights = library.exit_weights(torch.ones(3, dtype=torch.float64), torch.stack([gates, gates]), 3.0, 1.0)[1]
print("weights", [round(each, 3) for each in (weights / weights.max() + 0.1).tolist()])

maps = torch.stack([torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.zeros(2, 2)])[None]
for label in (0, 1):
    print(f"suppression, if the label is {label}: {float(library.suppression(maps, torch.tensor([label]))):.4f}")

says = [[0.9, 0.9, 0.1, 0.1, 0.9, 0.2], [0.9, 0.2, 0.5, 0.4, 0.1, 0.4], [0.9, 0.9, 0.9, 0.4, 0.6, 0.1], [0.9] * 6]
print("samples leave by exit", library.leave_by(torch.logit(torch.tensor(says)), 0.5).tolist())

# %% [markdown]
# Nobody leaves by exit 0, and the last exit takes whoever is left. (For label 1 the map is constant: no place is above its
# mean, so all are suppressed.)
#
# ## Turn the knob
#
# The *threshold* says how sure a gate has to be. It plays no part in training, so that it can be moved on a network that is
# trained. Which exits do samples take at three thresholds, and how good is each exit? One more setting differs from the
# paper's here: gates follow their exits for `live_epochs` of five epochs, not one. An epoch of the paper has some four hundred
# steps, ours has a tenth of that.

# %%
occam = OccamNets(live_epochs=5)
model, test, said = fit_occam(occam)
hits = said.logits.argmax(2) == test.labels
kinds = {"aligned": aligned, "conflicting": ~aligned}
names = [f"exit {number}" for number in range(len(hits))]
figure, axes = figures.new_figure(11.0, 3.4, 1, 4, sharey=True)
for axis, threshold in zip(axes, (0.5, 0.8, 0.95)):
    chosen = library.leave_by(said.gates, threshold)
    taken = {name: [float((chosen[rows] == e).float().mean()) for e in range(3)] for name, rows in kinds.items()}
    figures.bars(taken, places=names, y=f"share that leaves, threshold {threshold}", axis=axis, ylim=(0, 1.02))
shares = {name: [float(each[rows].float().mean()) for each in hits] for name, rows in kinds.items()}
figures.bars(shares, places=names, y="share that is right", axis=axes[3], ylim=(0, 1.02))
figures.picture(
    figure,
    alt="Bars for three thresholds: at each, more of the aligned than of the conflicting digits leave by exit 1; the higher "
    "the threshold, the more of both leave by exit 2; in a fourth panel the accuracy of conflicting digits grows from exit "
    "to exit.",
    takeaway="Aligned digits leave earlier than conflicting ones; a higher threshold sends more of both to the last exit.",
)

# %% [markdown]
# All exits know the aligned digits. Exit 0 knows next to no conflicting one: it has learnt the colour. With the strictest
# gates, exit 2 does nearly all the work on the conflicting digits.
#
# The panel trains with your setting, which takes some seconds, then moves the threshold at once. What do light exits do? What
# happens without suppression?

# %% tags=["widget", "nbval-ignore-output"]
panel(draw_occam_nets, occam)

# %% [markdown]
# **Where is the evidence?** Two aligned digits and two conflicting ones. Each map shows how much the places speak for the
# true class, from its own lowest (dark) to its own highest (light). Beside the exits is the plain network: its last layer,
# applied at each place.

# %%
rows = torch.cat([aligned.nonzero().flatten()[[20, 75]], (~aligned).nonzero().flatten()[[200, 650]]])
batch = test.batch(rows)
on_device = batch.inputs.to(next(model.parameters()).device)
with torch.no_grad():
    maps = dict(zip(names, model.exits(on_device).maps)) | {"plain": library.activation_map(plain, on_device)}
true = {name: each.cpu()[range(4), batch.labels] for name, each in maps.items()}
chosen = library.leave_by(said.gates, 0.95)[rows]
labels = [f"{test.group_names[g]}\nleaves by exit {e}" for g, e in zip(batch.groups.tolist(), chosen.tolist())]
figures.picture(
    figures.evidence(batch.inputs, true, rows=labels),
    alt="Four coloured digits with the maps of three exits and of a plain network: the strokes are the lightest part of "
    "exit 0's maps of the aligned digits, and mostly darker than the rest in those of the conflicting ones; the last maps "
    "are coarse.",
    takeaway="In exit 0's maps the strokes speak most for an aligned digit, and mostly least for a conflicting one.",
)

# %% [markdown]
# Read such maps with care: a place of a late map has seen most of the image, so that light there says little about which
# pixels counted.
#
# ## Measure it
#
# The plain network and the OccamNet have the same trunk, start, batches and number of epochs: 15 here, 30 on the full
# budget. The OccamNet has more: two convolutions in each exit, and two settings that were chosen on such digits, so the
# comparison favours it. The epoch with the best accuracy on validation is tested; that needs no label of the bias, but
# validation data without it. All numbers are means over the bias-conflicting test digits, whose groups are alike in size.
#
# The threshold is $0.95$: a search found it better here than the paper's $0.5$. The same networks are looked at with $0.5$,
# too, and with no gates at all, so that everybody leaves by the last exit.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("found"))
found = here.found

# %% tags=["measure", "nbval-ignore-output"]
shown = {"plain network": ("plain", "tested"), "OccamNet": ("OccamNet", "tested")}
shown |= {f"OccamNet, {what}": ("OccamNet", what) for what in ("threshold 0.5", "exit 0", "exit 1", "exit 2")}
for label, (name, what) in shown.items():
    print(f"{label}: {mean_over_seeds([found[name, seed][what, 'conflicting'] for seed in here.seeds])}")

# %% tags=["claim"]
here.claim("L07.1b", "L07.2a", "L07.2b")

# %% [markdown]
# So exit 0 took on the bias, and easy images leave early. **Is the network less biased, then?** The means above are too close
# to tell with five seeds. So the next claims are measured on the full budget, with more seeds and epochs
# (`debias-course claims --topic 07_occam_nets --budget full --seeds 10 --save`); here you see what was kept. Only B07.3b is
# measured here. Two of them need a training of their own: without gates (`UngatedOccamNets`), every exit counts every sample
# alike.

# %% tags=["claim"]
here.claim("L07.1a", "B07.3a", "B07.3b", "B07.3c", "B07.3d")

# %% [markdown]
# So the statement that such an architecture is less biased is not borne out here: a lead of a few points is possible, one of
# ten is not. The paper has a lead of 28 points on its own Biased MNIST, with seven biases at once and a much larger network,
# 8 on COCO-on-Places, and 1 on BAR.
#
# ## When it breaks
#
# The idea is a chain: an exit fails on the conflicting samples, its gate sees that, and the next exit counts them more. How
# strong is it? We ask the gates of the trained network what share of the next exit's weights the conflicting digits have in
# the training data. They are a twentieth of the samples. A gate that is never wrong would give them 37 in a hundred (more
# is not possible, as a tenth is added for all), and weights by group (lecture 01) would give them 90.

# %% tags=["claim"]
here.claim("B07.4a", "B07.4b")

# %% [markdown]
# A likely reason: a gate reads only the mean over places of its exit's features, and may not change them. Exit 0 was made to
# tell colours. So its gate knows well which digit a colour stands for, and hardly whether the shape agrees. Does that
# hold exit 1 back, and the last exit, too? Try it: let `OccamNets.weights` see gates that are always right, and look at
# both.
#
# Does the OccamNet at least learn the conflicting digits sooner? No.

# %%
lines = {}
for name in ("plain", "OccamNet"):
    by_epoch = torch.tensor([found[name, seed]["by epoch"] for seed in here.seeds]).mean(0)
    lines[name] = (range(1, len(by_epoch) + 1), by_epoch.tolist())
figures.picture(
    figures.curves(lines, x="epoch", y="conflicting digits right, validation", ylim=(0, 1)),
    alt="Accuracy on conflicting validation digits per epoch for two networks: both rise from chance, the OccamNet a little "
    "below the plain one at first and level with it at the end.",
    takeaway="The OccamNet is no sooner than the plain network, and ends level with it.",
)

# %% tags=["claim"]
here.claim("B07.4c")

# %% [markdown]
# Two more things to know. The first exit can only detect what is *easier* than the task: a bias that is as hard as the digit
# is not caught. And nothing in the method knows that the easy part is unwanted. On data without a bias, it is easy digits
# that leave early, and the method takes weight from them all the same, as far as its gates see them.
#
# The published network, OccamResNet-18, is `OccamNets()` around `models.resnet18(data, width=58, stem="small")`. It wants a
# GPU.
#
# ## Exercises
#
# `exercises.leaves_by.hint()` helps, `exercises.leaves_by.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. By which exit does each sample leave? Gates are probabilities, a row for each exit, a column for each sample. Nobody
#    leaves by exit 0, and the last exit takes the rest.
def leaves_by(gates, threshold): ...


exercises.leaves_by.check(leaves_by)


# %% tags=["exercise"]
# 2. The weights of an exit's samples, from the gate before it: one minus the gate, divided by the largest such number, plus
#    a tenth.
def weights(gates): ...


exercises.weights.check(weights)


# %% tags=["exercise"]
# 3. The suppression of one sample: its maps, a matrix per class, and its label.
def kept_small(maps, label): ...


exercises.kept_small.check(kept_small)

# %% [markdown]
# ## Recap
#
# - An OccamNet has an exit after each stage. Exits are meant to be trained mostly on what the gates before them hold back,
#   and a sample leaves by the first exit whose gate is open.
# - Exit 0 learnt the bias, though nobody named it, and aligned digits left earlier than conflicting ones.
# - All the same, it was right on about as many conflicting digits as the plain network, within ten points. Its gates hardly
#   told where its exits were wrong, and gates that open easily cost something.
# - A fair comparison gives the same trunk the same training and the same search. Other data and larger networks may give
#   another answer; `data.textured_digits` is a good next place to look.
#
# **Quiz**
#
# <details><summary>Why does the first exit's gradient not reach the trunk?</summary>It is made to learn the bias;
# otherwise the trunk would learn features for the bias, too.</details>
#
# <details><summary>All training samples are fitted. Which gates would be open, if they went on following their
# exits?</summary>All: every exit is right on every training sample. So each gate remembers what its exit could do when it
# was not yet that good.</details>
#
# <details><summary>A map is the same at all places. What does the suppression do?</summary>No place is above the mean, so
# all of them are suppressed, and the exit is pushed towards not favouring any class.</details>
#
# ## References
#
# - Shrestha, Kafle and Kanan 2022, *OccamNets: mitigating dataset bias by favoring simpler hypotheses*, ECCV.
# - Zhou et al. 2016, *Learning deep features for discriminative localization*, CVPR (class activation maps).
# - Teerapittayanon, McDanel and Kung 2016, *BranchyNet: fast inference via early exiting from deep neural networks*, ICPR.
# - Nam et al. 2020, *Learning from failure: training debiased classifier from biased classifier*, NeurIPS.
#
# **Next:** [08 Adversarial training](08_adversarial_training.ipynb) changes the images instead.
