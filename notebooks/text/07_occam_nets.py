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
from dataclasses import replace

import joblib
import torch

from debias_course import data, explore, figures, models, train
from debias_course.claims import above, below, lesson, within
from debias_course.evaluation import predict
from debias_course.exercises import occam_nets as exercises
from debias_course.methods import ERM, OccamNets
from debias_course.methods import occam_nets as library
from debias_course.study import mean_over_seeds
from debias_course.training import pick_device

here = lesson("07_occam_nets")

# %% [markdown]
# **What you will be able to claim:**
#
# - an OccamNet can be right on more bias-conflicting images than the same network without exits, and nobody had to label
#   the bias;
# - its first exit becomes a detector of the bias;
# - easy images leave early, conflicting ones later, and they have reason to;
# - leaving early is not what helps: with gates that open easily it does harm;
# - it takes long training, and after a short one there is no lead.
#
# ## See the problem
#
# Ten digits by ten colours, at half the resolution: a small network is fast enough on them. In training nearly all images
# of a digit have its own colour. We call these *aligned*, the others (the rare groups) *bias-conflicting*. On test all
# colours are alike.


# %% tags=["setup"]
def digits(seed):
    return data.half_size(data.colored_digits(classes=10, correlation=0.95, seed=seed))


settings = dict(batch_size=64, lr=0.01)

# %%
splits = digits(0)
aligned = splits.test.labels == splits.test.attributes
plain = train(models.staged(splits.train), splits.train, ERM(), epochs=8, **settings).model
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
# The plain network knows most digits by their colour, and some by their shape. Colour needs one layer, shape needs several.
#
# ## The idea
#
# The *trunk* is the plain network's layers, in stages. After each stage stands an **exit**. It turns the stage's output
# into a *class activation map* for every class (how much each place speaks for the class); the mean over places is the
# exit's logits. Beside it a small **gate** learns whether the exit is right. At test time a sample leaves by the first
# exit, exit 0 apart, whose gate is open.
#
# $$\min_\theta \sum_j \frac1n \sum_i \Big[ (w_{ij} + 0.1)\,\mathrm{CE}_{ij} + \lambda\, S_{ij} + \mathrm{BCE}(g_{ij}, r_{ij}) \Big],
# \qquad w_{i0} = p_{i0}^{\gamma_0}, \quad w_{ij} = (1 - g_{i,j-1})^{\gamma}$$
#
# - **Weights.** Exit $j$ counts a sample little where the gate before it is open: others have solved it. The very first
#   exit does the opposite. It counts most what it already knows ($p_{i0}$ is its probability of the label), so it becomes a
#   specialist for what is easy, and that is the bias, if there is one. Its gradient does not reach the trunk, and nobody
#   leaves by it. It exists so that its gate can tell the next exit what is too easy.
# - **Suppression.** $S$ costs something where the label's map is *below* its own mean and some class is favoured there. So
#   only a part of the image may speak: a small region, if it can be.
# - **Gates.** $r$ is whether the exit is right. It is followed for some epochs, and remembered once the exit is good:
#   otherwise every gate would open as soon as all training samples are fitted.

# %%
print(inspect.getsource(library.exit_weights))
print(inspect.getsource(library.suppression))
print(inspect.getsource(library.leave_by))
print(inspect.getsource(OccamNets.loss))

# %% [markdown]
# ## By hand
#
# Six samples, four exits. The gates say 0.9, 0.5 and 0.2 for three of them: weights of the next exit are 0.1, 0.5 and 0.8,
# over the largest, plus a tenth. A map of four places with 1, 2, 3 and 6 for class 0, and zeros for class 1: if the label
# is 0, its mean is 3, so only the last place is spared. And which exits do the samples take at a threshold of one half?

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
# trained. Which exits do samples take at three thresholds, and how good is each exit? One setting differs from the paper's
# here: gates follow their exits for `live_epochs` of five epochs, not one. An epoch of the paper has some four hundred
# steps, ours has a tenth of that.

# %%
occam = OccamNets(live_epochs=5)
model, test, said = explore.fit_occam(occam)
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
    alt="Bars for three thresholds: aligned digits mostly leave by exit 1, conflicting ones rather by exit 2, the more so the "
    "higher the threshold; in a fourth panel the accuracy of conflicting digits grows from exit to exit.",
    takeaway="Aligned digits leave earlier than conflicting ones; a higher threshold sends more of both to the last exit.",
)

# %% [markdown]
# All exits know the aligned digits. The first knows next to no conflicting one: it has learnt the colour.
#
# The panel trains with your setting, which takes some seconds, then moves the threshold at once. What do light exits do? What
# happens without suppression?

# %% tags=["widget", "nbval-ignore-output"]
explore.panel(explore.draw_occam_nets, occam)

# %% [markdown]
# **Where is the evidence?** Two aligned digits and two conflicting ones. Each map shows how much the places speak for the
# true class, from the lowest (dark) to the highest (light). Beside the exits is the plain network: its last layer, applied
# at each place.

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
    alt="Four coloured digits with the maps of three exits and of a plain network: the strokes are light in the first "
    "exit's maps of the aligned digits and mostly dark in those of the conflicting ones; the last maps are coarse.",
    takeaway="To the first exit, strokes speak for an aligned digit and against a conflicting one: it reads the colour.",
)

# %% [markdown]
# Read such maps with care: a place of a late map has seen most of the image, so that light there says little about which
# pixels counted.
#
# ## Measure it
#
# The plain network and the OccamNet have the same trunk, start, batches and number of epochs. The epoch with the best
# accuracy on validation is tested; that needs no label of the bias, but validation data without it. All numbers are means
# over the bias-conflicting test digits, whose groups are alike in size.
#
# The threshold is $0.95$: a search found it better here than the paper's $0.5$. The same networks are looked at with $0.5$,
# too, and with no gates at all, so that everybody leaves by the last exit.


# %% tags=["measure", "nbval-ignore-output"]
methods = {"plain": ERM(), "OccamNet": OccamNets(live_epochs=5, threshold=0.95)}


def examined(name, seed, epochs=30):
    """Train and test: shares of right answers of aligned and conflicting digits, and by which exit they leave."""
    part, test = digits(seed), digits(seed).test
    chosen_by = dict(epochs=epochs, validation=part.validation, select="validation-mean")
    start = models.staged(part.train, seed=seed)
    run = train(start, part.train, methods[name], seed=seed, **chosen_by, **settings)
    each_group = torch.tensor(run.history["accuracy"].tolist()).view(-1, 10, 10)
    own = each_group.diagonal(dim1=1, dim2=2).sum(1)
    values = {"by epoch": ((each_group.sum((1, 2)) - own) / 90).tolist()}  # conflicting, on validation
    right = {"tested": predict(run.model, test).argmax(1).cpu() == test.labels}
    kinds = {"aligned": test.labels == test.attributes, "conflicting": test.labels != test.attributes}
    if name != "plain":
        said = library.ask_exits(run.model, test)
        hits, chosen = said.logits.argmax(2) == test.labels, library.leave_by(said.gates, 0.5)
        right |= {f"exit {e}": each for e, each in enumerate(hits)} | {"threshold 0.5": hits.gather(0, chosen[None])[0]}
        values |= {("depth", kind): float(chosen[rows].float().mean()) for kind, rows in kinds.items()}
    return values | {
        (what, kind): float(hit[rows].float().mean()) for what, hit in right.items() for kind, rows in kinds.items()
    }


ablated = {"no gates": OccamNets(gates="no"), "no suppression": replace(methods["OccamNet"], suppression=0.0)}
methods |= ablated if here.budget == "full" else {}
work = [(name, seed) for seed in here.seeds for name in methods]
workers = joblib.Parallel(n_jobs=-1 if pick_device().type == "cpu" else 1)
found = dict(zip(work, workers(joblib.delayed(examined)(*each) for each in work)))

# %% tags=["measure", "nbval-ignore-output"]
shown = {"plain network": ("plain", "tested"), "OccamNet": ("OccamNet", "tested")}
shown |= {f"OccamNet, {what}": ("OccamNet", what) for what in ("threshold 0.5", "exit 0", "exit 1", "exit 2")}
for label, (name, what) in shown.items():
    print(f"{label}: {mean_over_seeds([found[name, seed][what, 'conflicting'] for seed in here.seeds])}")


# %% tags=["claim"]
def share(name, what, seed, kind="conflicting"):
    return found[name, seed][what, kind]


here.claim(
    "L07.1a",
    "Without labels of the bias, the OccamNet is right on more conflicting digits than the plain network",
    measure=lambda seed: share("OccamNet", "tested", seed) - share("plain", "tested", seed),
    holds=above(0.0),
)
here.claim(
    "L07.1b",
    "Its first exit is a detector of the bias: it knows aligned digits better than conflicting ones by seventy points",
    measure=lambda seed: share("OccamNet", "exit 0", seed, "aligned") - share("OccamNet", "exit 0", seed),
    holds=above(0.70),
)
here.claim(
    "L07.2a",
    "At a threshold of one half, conflicting digits leave later than aligned ones, by a quarter of an exit or more",
    measure=lambda seed: share("OccamNet", "depth", seed) - share("OccamNet", "depth", seed, "aligned"),
    holds=above(0.25),
)
here.claim(
    "L07.2b",
    "They have reason to: the last exit is right on more of them than the one before, by five points or more",
    measure=lambda seed: share("OccamNet", "exit 2", seed) - share("OccamNet", "exit 1", seed),
    holds=above(0.05),
)

# %% [markdown]
# **Which part does it?** Two parts can be taken from the trained network: the strictness of its gates, and the gates.

# %% tags=["claim"]
here.claim(
    "B07.3a",
    "With the paper's threshold of one half, the same networks are right on fewer conflicting digits",
    measure=lambda seed: share("OccamNet", "threshold 0.5", seed) - share("OccamNet", "tested", seed),
    holds=below(0.0),
)
here.claim(
    "B07.3b",
    "With no gates at test, when all leave by the last exit, they are within five points of what they are with strict ones",
    measure=lambda seed: share("OccamNet", "exit 2", seed) - share("OccamNet", "tested", seed),
    holds=within(-0.05, 0.05),
)

# %% [markdown]
# Leaving early saves work; it does not make the network less biased. The lead is in the last exit, so it comes from how the
# network is trained. Two more parts can be taken away there: all *gates* (every exit counts every sample alike) and the
# *suppression*. Each needs a training of its own, so it is measured on the full budget only
# (`debias-course claims --topic 07_occam_nets --budget full --seeds 5 --save`); here you see what was kept.

# %% tags=["claim"]
here.claim(
    "B07.3c",
    "Trained without gates, the last of the same exits is within ten points of the OccamNet's",
    measure=lambda seed: share("no gates", "exit 2", seed) - share("OccamNet", "exit 2", seed),
    holds=within(-0.10, 0.10),
    costly=True,
)
here.claim(
    "B07.3d",
    "Trained without suppression, it is, too",
    measure=lambda seed: share("no suppression", "exit 2", seed) - share("OccamNet", "exit 2", seed),
    holds=within(-0.10, 0.10),
    costly=True,
)

# %% [markdown]
# Without suppression nothing is lost that could be seen here; without gates a part of the lead is, not all. That there
# are exits after each stage, and all of them are trained, may be a good part of it.
#
# ## When it breaks
#
# Weights below one and three losses at a time make training slow. How far are the two networks after a few epochs?

# %%
lines = {
    name: (
        range(1, 31),
        [sum(each) / len(here.seeds) for each in zip(*(found[name, s]["by epoch"] for s in here.seeds))],
    )
    for name in ("plain", "OccamNet")
}
figures.picture(
    figures.curves(lines, x="epoch", y="conflicting digits right, validation", ylim=(0, 1)),
    alt="Accuracy on conflicting validation digits per epoch for two networks: the plain one rises faster and levels off, "
    "the OccamNet overtakes it late.",
    takeaway="The OccamNet needs many epochs; stopped early, it has nothing to show.",
)


# %% tags=["claim"]
def early(name, seed):
    """The mean over the first six epochs."""
    return sum(found[name, seed]["by epoch"][:6]) / 6


here.claim(
    "B07.4a",
    "Over the first six epochs, its lead is less than five points on average, if it has one",
    measure=lambda seed: early("OccamNet", seed) - early("plain", seed),
    holds=below(0.05),
)
here.claim(
    "B07.4b",
    "With the paper's threshold its lead at the end is less than ten points",
    measure=lambda seed: share("OccamNet", "threshold 0.5", seed) - share("plain", "tested", seed),
    holds=below(0.10),
)

# %% [markdown]
# Two more things to know. The first exit can only detect what is *easier* than the task: a bias that is as hard as the digit
# is not caught. And nothing in the method knows that the easy part is unwanted. On data without a bias, it is easy digits
# that leave early, and the first gate takes weight from them all the same.
#
# The published network is there by name: `OccamNets()` around `models.resnet18(data, width=58, stem="small")`. It wants a
# GPU.
#
# ## Exercises
#
# `exercises.leaves_by.hint()` helps, `exercises.leaves_by.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. By which exit does each sample leave? Gates are probabilities, a row for each exit, a column for each sample.
def leaves_by(gates, threshold): ...


exercises.leaves_by.check(leaves_by)


# %% tags=["exercise"]
# 2. The weights of an exit's samples, from the gates before it: one minus the gate, over the largest, and a tenth.
def weights(gates): ...


exercises.weights.check(weights)


# %% tags=["exercise"]
# 3. The suppression of one sample: its maps, a matrix per class, and its label.
def kept_small(maps, label): ...


exercises.kept_small.check(kept_small)

# %% [markdown]
# ## Recap
#
# - An OccamNet has an exit after each stage. Exits are trained mostly on what the gates before them hold back, and a sample
#   leaves by the first exit whose gate is open.
# - The first exit learnt the bias, though nobody named it, and aligned digits left earlier than conflicting ones.
# - After long training with strict gates, it was right on more conflicting digits than the plain network. Much of that is
#   lost with gates that open easily.
# - Compare it with the same trunk, trained as long, after the same search; other data may give another answer.
#   `data.textured_digits` is a good next place to look.
#
# **Quiz**
#
# <details><summary>Why does the first exit's gradient not reach the trunk?</summary>It is made to learn the bias. The trunk
# would learn features for the bias, too.</details>
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
