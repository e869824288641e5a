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
# **It happened.** Beery et al. (2018, *Recognition in terra incognita*) showed cows to a commercial image tagger. On a pasture
# it said "cow", and was sure of it. On a beach it said "water" and "seashore", and among its first five words there was no
# cow. They found the same at camera traps: what a network knew of animals in some places was lost in others. The grass fills
# the picture, and a few layers see it. The cow is small, and takes many.
#
# **The question.** So far a method changed weights, batches or the loss. Can the *architecture* help? Shrestha et al. (2022)
# build a network that prefers the simplest solution for each image: few layers, and little evidence. They call it an
# *OccamNet*, after the razor of William of Ockham. They say that it is less biased, though nobody tells it what the bias is.

# %% tags=["setup", "nbval-ignore-output"]
import torch

from debias_course import figures
from debias_course.lectures.occam_nets import exercises, pictures
from debias_course.lectures.occam_nets.exits import WeightedOccamNets, digits, moved
from debias_course.lectures.occam_nets.measurements import OccamNetsLesson
from debias_course.lectures.occam_nets.panel import draw_occam_nets, fit_occam
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import OccamNets
from debias_course.methods import occam_nets as library

here = OccamNetsLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether such a network is less biased than the same network without exits;
# - whether a debiasing method on top of it does better than either alone;
# - whether its gates tell where its exits are wrong, and how much weight they move;
# - what leaving early costs.
#
# ## See the problem
#
# Ten digits by ten colours, at half the resolution, so that a small network trains in seconds. In training, nineteen in
# twenty images of a digit have its own colour. We call these *aligned*, and the others *conflicting*. In the test data, each digit
# has each colour equally often, so nine in ten of its digits are conflicting.

# %%
splits = digits(0)
print(splits.train)
figures.picture(
    figures.sample_grid(splits.train, groups=[0, 3, 30, 33]),
    alt="Small images of coloured digits in four rows: zeros in their own colour and another, threes likewise.",
    takeaway="Nearly every training image of a digit has the digit's own colour; a few have another.",
)

# %%
here.guess(
    "L07.1",
    "Of the conflicting digits, an OccamNet gets right",
    "many more than the same network without exits",
    "about as many",
    "fewer",
)

# %% [markdown]
# ## The idea
#
# The layers of a plain network are cut into *stages*. After each stage stands an **exit**, a small classifier; we count them
# from 0. An exit makes a map for every class: how much each place of the image speaks for that class. The mean over the
# places is its answer. Beside each exit a small **gate** learns whether the exit is right.
#
# At test time a sample leaves through the first open gate; exit 0 never predicts. How sure a gate has to be is called the
# *threshold*.

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Each exit is to learn what the gate before it does not let go.",
)

# %% [markdown]
# With $n$ samples $i$, exits $j$ and parameters $\theta$, training minimises
#
# $$\min_\theta \sum_j \frac1n \sum_i \Big[ (w_{ij} + 0.1)\,\mathrm{CE}_{ij} + \lambda\, S_{ij} + \mathrm{BCE}(g_{ij}, r_{ij}) \Big],
# \qquad w_{i0} = p_{i0}^{\gamma_0}, \quad w_{ij} = (1 - g_{i,j-1})^{\gamma} .$$
#
# - $\mathrm{CE}_{ij}$ is the cross-entropy of exit $j$ on sample $i$, and $w_{ij}$ its **weight**. It is small where the gate
#   before is open, $g_{i,j-1} \approx 1$: others have solved that sample. Weights are divided by the largest of the epoch.
# - Exit 0 does the opposite. It counts most what it already knows, where its probability $p_{i0}$ of the label is high. So it
#   becomes a specialist for what is easy, which is the bias, if there is one. Its gradient does not reach the stage below.
# - $g_{ij}$ is the gate, a probability, and $r_{ij}$ is 1 where the exit is right and 0 where it is wrong. BCE is the binary
#   cross-entropy of the two. Once an exit is good, each sample keeps its last $r$.
# - $\gamma_0 = 3$, $\gamma = 1$ and $\lambda = 0.1$ are constants of the paper.
#
# $S$ keeps the evidence **small**. Let $M_{c}(u)$ be the map of class $c$ at place $u$, of $U$ places, $q_c(u)$ the softmax of
# $M_c(u)$ over the $C$ classes, $y$ the label, and $\bar M_y$ the mean of the label's map over all places. Then
#
# $$S = \frac1U \sum_{u\,:\,M_y(u)\, \le\, \bar M_y} \;\sum_{c=1}^{C} \frac1C \log \frac{1/C}{q_c(u)} .$$
#
# So where the label's map is not above its own mean, a place should favour no class. The core of the weights, for
# three samples:

# %%
gates = torch.tensor([0.9, 0.5, 0.2])  # how open gate 0 is
losses = torch.tensor([0.1, 1.0, 2.0])  # of exit 1
weights = 1 - gates
weights = weights / weights.max()
print("weights", [round(each, 3) for each in (weights + 0.1).tolist()])
print("weighted loss of exit 1:", round(float(((weights + 0.1) * losses).mean()), 4))

# %%
source(library.exit_weights, library.suppression, OccamNets.loss)

# %% [markdown]
# ## By hand
#
# First the suppression: a map of four places with 1, 2, 3 and 6 for class 0, and zeros for class 1. If the label is 0, the
# mean of its map is 3, so only the last place is spared. If the label is 1, its map is constant: no place is above the mean,
# and all are suppressed. Then six samples and four exits: which do they take at a threshold of one half?

# %%
maps = torch.stack([torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.zeros(2, 2)])[None]
for label in (0, 1):
    print(f"suppression, if the label is {label}: {float(library.suppression(maps, torch.tensor([label]))):.4f}")
says = [[0.9, 0.9, 0.1, 0.1, 0.9, 0.2], [0.9, 0.2, 0.5, 0.4, 0.1, 0.4], [0.9, 0.9, 0.9, 0.4, 0.6, 0.1], [0.9] * 6]
print("samples leave through exit", library.leave_by(torch.logit(torch.tensor(says)), 0.5).tolist())

# %% [markdown]
# How much weight *can* a gate move? Say that one sample in twenty is conflicting, and that exit 0 is wrong on all of those and
# right on all others. A gate that sees this gives them $1.1$ each and the others $0.1$, so they get this share of the next
# exit's weights. A later exit that is wrong less often leaves its gate less to move.

# %%
conflicting = torch.arange(1000) < 50
for name, wrong in {"wrong on all": conflicting, "wrong on a third": torch.arange(1000) < 17}.items():
    print(f"{name} of the conflicting: they get {moved((~wrong).float(), conflicting):.2f} of the weights")

# %% [markdown]
# ## Turn the knob
#
# An OccamNet, trained for ten epochs. One setting differs from the paper's: gates follow their exits for the first five epochs,
# not only in the first, because an epoch of ours has a tenth of the paper's steps.

# %%
occam = OccamNets(live_epochs=5)
model, test, said = fit_occam(occam)
figures.picture(
    pictures.by_threshold(test, said),
    alt="Bars for two thresholds of which exit aligned and conflicting digits take, and of how often each exit is right.",
    takeaway="Compare the two thresholds, then the exits: what does exit 0 know of the conflicting digits?",
)

# %% [markdown]
# The panel trains with your setting for a few seconds, on half of the images. Once trained, it moves the threshold
# without training again. What happens without suppression? And with light exits, which have no convolutions of their own?

# %% tags=["widget", "nbval-ignore-output"]
panel(draw_occam_nets, occam)

# %% [markdown]
# **Where is the evidence?** Two aligned digits, then two conflicting ones. At each place you see the score of the true class
# minus the mean over all classes.

# %%
aligned = test.labels == test.attributes
rows = torch.cat([aligned.nonzero().flatten()[[20, 75]], (~aligned).nonzero().flatten()[[200, 650]]])
figures.picture(
    pictures.evidence(model, test, rows),
    takeaway="Compare the column of exit 0 between the upper two digits and the lower two: what does it look at?",
)

# %% [markdown]
# Read such maps with care. A place of a late map has seen most of the image, so its colour says little about which pixels
# counted.
#
# ## Measure it
#
# The plain network and the OccamNet have the same stages, start, batches and number of epochs, and the last epoch is tested.
# The OccamNet has more parameters, two convolutions in each exit, so the comparison favours it. What is compared is the share
# of conflicting test digits that are right. The threshold is the paper's `0.5`, or `0.95`, which a search on these digits found.

# %% tags=["claim"]
here.claim("L07.1")

# %%
here.where("L07.1")

# %%
figures.picture(
    figures.over_epochs(here.kept("T07.1"), levels={"chance": 0.1}, y="conflicting digits right", log=True),
    takeaway="Compare each OccamNet with the plain network of its kind, and all of them with the line without the bias.",
)

# %% [markdown]
# **On top.** The paper also says that debiasing methods do better on top of an OccamNet. The picture has one: weights by
# group, as in lecture 01, on the loss of every exit. Weights by group need to know the colours.

# %%
source(WeightedOccamNets)

# %%
here.guess(
    "B07.2",
    "Weights by group on top of an OccamNet gain",
    "over the weights alone and over the OccamNet alone",
    "over the OccamNet alone",
    "over neither",
)

# %% tags=["claim"]
here.claim("B07.2")

# %%
here.where("B07.2")

# %% [markdown]
# **Do the gates see?** The idea is a chain: exit 0 fails on the conflicting samples, its gate sees that, and exit 1 counts
# them more. Take a digit that an exit gets right and one that it gets wrong. A gate that knows nothing is more open for the
# right one in half of such pairs.

# %%
here.guess(
    "B07.3",
    "On new digits, in more than three quarters of such pairs the one that is right is told by",
    "both gates",
    "gate 1 only",
    "neither gate",
)

# %% tags=["claim"]
here.claim("B07.3", "B07.4", "B07.5")

# %%
here.where("B07.3", points=False)

# %%
here.where("B07.4", points=False)

# %%
figures.picture(
    pictures.gates(here.kept("T07.2")),
    takeaway="Left: dotted, the share of conflicting digits in the data. Right: on *training* digits; the claim is of new ones.",
)

# %% [markdown]
# Where a gate moves more than a perfect one, it remembers: gates stop following their exits after five epochs, and the
# perfect one knows who is wrong now.
#
# What may gate 0 be missing? A gate reads only the mean over places of its exit's features, and may not change them. Exit
# 0 was made to tell colours, so that its gate can know well which digit a colour stands for, and hardly whether the shape
# agrees. That is a guess: we have not tested it.
#
# ## When it breaks
#
# **Leaving early.** Aligned digits leave earlier than conflicting ones, as they should. But a conflicting digit that leaves
# too early is answered by an exit that does not know it. **Gates and suppression** can be taken away in training: without
# gates, every exit counts every sample alike, and all leave through the last exit.

# %% tags=["claim"]
here.claim("B07.6", "B07.7", "B07.8")

# %% [markdown]
# **Another setting.** Our digits fill the frame, there is one bias, and three convolutions make a shallow network. That does not
# test what the paper tested. Its images are scenes: a small digit lies in one cell of a large textured picture, and seven
# hints go along with it. `data.scenes` makes scenes of that kind, with four hints: the texture, the colour of the digit, the
# place where it lies, and the colour of a disc that lies elsewhere. Each goes along with the digit for itself.

# %%
figures.picture(
    pictures.scenes(),
    takeaway="The ground is large and easy to read. The digit has 8×8 pixels, and its shape alone always tells.",
)

# %% [markdown]
# The paper trains a ResNet-18 for 90 epochs on 50,000 scenes. Ours has an eighth of its width, exits after its four stages,
# and 6,000 scenes, so that a laptop can do it. Even so it takes half an hour for four seeds, so what you see is kept from
# then. Here a digit counts as right if its shape is read, whatever the hints say.

# %%
here.guess(
    "B07.1",
    "In such scenes, an OccamNet reads",
    "more digits than the same network without exits",
    "about as many",
    "fewer",
)

# %% tags=["claim"]
here.claim("B07.1")

# %%
here.where("B07.1")

# %% [markdown]
# On its own scenes, in which each hint goes along with the digit in 95 of 100, the paper reports that 37 in a hundred are
# right with a ResNet, and 65 with the OccamNet. On COCO-on-Places (objects pasted onto other scenes) it is
# 36 and 43, on BAR (photographs of actions in unusual places) 51 and 53. What differs from our
# trial: depth of training, width, size of the pictures, and how many hints there are. Our trial can't say which of these
# the lead needs. `followed` of `debias_course.lectures.occam_nets.exits` is one such training; on a GPU, try a wider one.
#
# Two more things to know. The first exit can only detect what is *easier* than the task: a bias that is as hard as the digit
# is not caught. And nothing in the method knows that the easy part is unwanted. On data without a bias, it is easy digits
# that leave early, and the method takes weight from them all the same, as far as its gates see them.
#
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.leaves_by.hint()` helps, `exercises.leaves_by.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. Through which exit does each sample leave? Gates are probabilities, a row for each exit, a column for each sample.
#    Exit 0 never predicts, and the last exit takes the rest.
def leaves_by(gates, threshold): ...


exercises.leaves_by.check(leaves_by)


# %% tags=["exercise"]
# 2. The suppression S of one sample: its maps, a matrix per class, and its label.
def kept_small(maps, label): ...


exercises.kept_small.check(kept_small)


# %% tags=["exercise"]
# 3. Open: return any Method, such as OccamNets(live_epochs=5), with which the network of this lecture gets more than 0.82 of
#    the conflicting digits right after ten epochs. How near do you come without group labels?
def better_than_an_occam_net(): ...


exercises.open_experiment.check(better_than_an_occam_net)

# %% [markdown]
# ## Recap
#
# - An OccamNet has an exit after each stage. Gates weigh the samples of the next exit, and a sample leaves through the first
#   open gate; exit 0 never predicts.
# - It is a chain. Measure each link: does exit 0 take on the bias, does its gate see that, does the weight move, does the
#   next exit profit?
# - A ceiling belongs beside every number: what could a gate move at most, what does the network reach without the bias?
# - A fair comparison gives the same stages the same training. Other data and deeper networks may give another answer, and
#   the paper's setting is such.
#
# **Quiz**
#
# <details><summary>Why does the first exit's gradient not reach the stage below?</summary>It is made to learn the bias;
# otherwise the stage would learn features for the bias, too.</details>
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
# - Teerapittayanon, McDanel and Kung 2016, *BranchyNet: fast inference via early exiting from deep neural networks*, ICPR.
# - Zhou et al. 2016, *Learning deep features for discriminative localization*, CVPR (class activation maps).
# - Beery, Van Horn and Perona 2018, *Recognition in terra incognita*, ECCV.
# - Nam et al. 2020, *Learning from failure: training debiased classifier from biased classifier*, NeurIPS.
# - Shrestha, Kafle and Kanan 2022, *OccamNets: mitigating dataset bias by favoring simpler hypotheses*, ECCV.
#
# **Next:** [08 Adversarial training](08_adversarial_training.ipynb) changes the images instead.
