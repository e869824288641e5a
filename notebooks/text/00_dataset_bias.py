# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bias mitigation in deep learning: an executable course
#
# | lecture | what you do there |
# |---|---|
# | **00 Dataset bias** (this notebook) | see a network learn the wrong thing, and measure for whom it fails |
# | [01 Loss re-weighting](01_loss_reweighting.ipynb) | let rare samples count more, and see when that stops working |
# | [02 Sampling](02_sampling.ipynb) | change which samples the network sees, and how often |
# | [03 Hard example mining](03_hard_example_mining.ipynb) | learn from high losses, without naming a group |
# | [04 SMOTE](04_smote.ipynb) | invent new samples between rare ones |
# | [05 Group DRO](05_group_dro.ipynb) | let the weights of the groups follow their losses |
# | [06 Spectral decoupling](06_spectral_decoupling.ipynb) | keep the outputs small, so that all features are learnt |
# | [07 OccamNets](07_occam_nets.ipynb) | let easy images leave the network early |
# | [08 Adversarial training](08_adversarial_training.ipynb) | train on images that are changed to mislead the network |
# | [09 DANN](09_dann.ipynb) | hide from the network where an image comes from |
# | [10 Comparison of methods](10_method_comparison.ipynb) | all of them, side by side, and what each has to know |
# | [11 A partner that is wrong on purpose](11_partners.ipynb) | beyond the lecture: train beside a model that falls for the shortcut |
#
# Run the cells from top to bottom. Guess before you look: a guess costs one click, and nobody grades it. Then change what
# you like and run it again.
#
# ---
#
# # 00 · Dataset bias
#
# **It happened.** In 2018, researchers reported on a network that was trained to find pneumonia on chest X-rays. On pictures
# from the hospitals that it knew it did well. On pictures from another hospital it did clearly worse. The network could
# tell almost perfectly which hospital a picture came from, partly by the metal tokens that staff place at the edge of the
# picture. And pneumonia was far more common in one hospital than in the other. So "where was it taken?" could become part
# of the diagnosis (Zech et al. 2018). A network sold for judging moles called far more harmless ones cancer when the
# surgeon's ink mark was beside them (Winkler et al. 2019). Commercial software that guesses gender from a face failed far
# more often on dark-skinned women than on light-skinned men (Buolamwini and Gebru 2018). The husky that is taken for a wolf
# because of the snow is a lecture-room tale: that classifier was built to fail, for a user study (Ribeiro et al. 2016).
#
# **The question.** A network is right on nearly all the data that we held back. What has it learnt, and how would we know?

# %% tags=["setup", "nbval-ignore-output"]
import torch
import torch.nn.functional as F

from debias_course import data, evaluate, figures, models
from debias_course.evaluation import GroupReport
from debias_course.lectures.dataset_bias import exercises, pictures
from debias_course.lectures.dataset_bias.measurements import DatasetBiasLesson
from debias_course.lectures.dataset_bias.panel import draw_shortcut, fit_shortcut
from debias_course.lectures.panels import panel
from debias_course.methods import ERM, Knob

here = DatasetBiasLesson()

# %% [markdown]
# **What you will be able to claim** by the end, with measurements behind each sentence:
#
# - whether a network trained plainly relies on an attribute that only goes along with the label, and in which
#   circumstances: how long it trained, which network it is, how strong the bias was;
# - how one model can have several honest summary numbers that are far apart;
# - what the accuracy on data like training hides.
#
# ## See the problem
#
# Real handwritten digits, two classes: low (0 to 4) and high (5 to 9). Nearly all low digits are painted orange, nearly
# all high ones blue. The shape is the **core** feature: it makes the label. The colour means nothing; it only goes along
# with the label. Such a feature is **spurious**, and a network that uses it takes a **shortcut**. The colour is the
# **attribute**, and a label together with an attribute is a **group**.
#
# The **aligned share** is the share of each class that wears its usual colour. At one, the colour gives the class away. At
# one half, it says nothing.

# %%
splits = data.colored_digits(aligned_share=0.95, seed=0)
figures.picture(
    figures.sample_grid(splits.train),
    takeaway="Four groups. The two in the middle break the pattern, and are rare.",
)

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Two paths lead from the image to the label. Nothing tells the network which one we meant.",
)

# %% [markdown]
# Here is training, written out in full once. Most methods in this course change one line of it.

# %%
model = models.mlp(splits.train)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
draws = torch.Generator().manual_seed(0)
for _ in range(20):
    for rows in torch.randperm(len(splits.train), generator=draws).split(128):
        batch = splits.train.batch(rows)
        loss = F.cross_entropy(model(batch.inputs), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %% [markdown]
# Now test it on images that it has not seen. In the test set the four groups are equally large, so that each of them is
# measured well.

# %%
here.guess(
    "L00.1",
    "In the worst group, what does the bias cost this network?",
    "nothing",
    "about 20 points",
    "40 points or more",
)

# %% tags=["measure", "nbval-ignore-output"]
report = evaluate(model, splits.test, train=splits.train)
figures.picture(
    figures.group_bars({"plain training": report}, levels={"chance": 0.5}),
    takeaway="Good where the colour fits, and far worse where it does not.",
)

# %% [markdown]
# Is it the colour? Take eight digits, and repaint them. Nothing else changes.

# %% tags=["measure", "nbval-ignore-output"]
own, other = (data.colored_digits(test_aligned_share=share, seed=0).test for share in (1.0, 0.0))
figures.picture(
    figures.repainted(model, own, other),
    takeaway="The same pen strokes in another colour. A red frame marks an answer that flipped.",
)

# %% [markdown]
# ## The idea
#
# Plain training is **empirical risk minimisation** (ERM): choose the parameters θ of the network $f_\theta$ so that the
# mean loss ℓ (here the cross-entropy) over the *n* training samples $(x_i, y_i)$ is small,
#
# $$\min_\theta \frac{1}{n}\sum_{i=1}^{n} \ell\big(f_\theta(x_i),\, y_i\big).$$
#
# Nothing in this line knows about groups. Write it as a sum over them,
#
# $$\frac{1}{n}\sum_{i} \ell_i \;=\; \sum_{g} \frac{n_g}{n}\;\overline{\ell}_g ,$$
#
# with $n_g$ samples of mean loss $\overline{\ell}_g$ in group *g*: a group counts in proportion to its size. "Orange is
# low, blue is high" is right for the two common groups, and a colour is much easier to see than a shape. That is not a bug of
# the optimiser: it does what it was asked to do.
#
# ## By hand
#
# Six test samples, two labels by two attributes. Which summary would you report?
#
# | sample | label | attribute | right? |
# |---|---|---|---|
# | 1 | 0 | 0 | yes |
# | 2 | 0 | 0 | yes |
# | 3 | 0 | 1 | no |
# | 4 | 1 | 0 | no |
# | 5 | 1 | 0 | yes |
# | 6 | 1 | 1 | yes |
#
# - **overall**: four of six.
# - **group-balanced**: the groups have accuracies 1, 0, ½ and 1; their mean is ⅝.
# - **worst group**: nobody of "label 0, attribute 1" is right.
# - **train-weighted**: as if the test set were composed like the training set, say eight, one, one and ten samples:
#   (8·1 + 1·0 + 1·½ + 10·1) / 20.
#
# The literature on fairness has names for gaps between such numbers. Say that label 1 is the good outcome, such as a loan.
# **Equal opportunity**: of those with label 1, the same share gets it in both attributes. **Equalised odds**: the same
# holds for those with label 0 as well. **Demographic parity**: people with either attribute get it equally often, whatever their labels.
# Above, opportunity differs by ½: one of two is right with attribute 0, and one of one with attribute 1.
#
# A share of few samples is uncertain, so every accuracy here comes with its *n* and a 95 % interval (Wilson's). The
# interval shows how precisely this many test samples pin it down.

# %%
six = GroupReport(
    correct=(2, 0, 1, 1),
    n=(2, 1, 2, 1),
    label_names=("label 0", "label 1"),
    attribute_names=("attribute 0", "attribute 1"),
    train_n=(8, 1, 1, 10),
)
for name in ("overall", "group_balanced", "worst_group", "train_weighted"):
    print(f"{name:15} {getattr(six, name).value:.4f}")
print(f"last group      {six.groups[3]}")
assert (six.overall.value, six.group_balanced.value) == (4 / 6, 5 / 8)
assert (six.worst_group.value, six.train_weighted.value) == (0, 18.5 / 20)

# %% tags=["measure", "nbval-ignore-output"]
report  # of the network that was trained above

# %% [markdown]
# ## Turn the knob
#
# A problem that fits on paper: the second coordinate shows the label, with some noise; the first shows the attribute,
# with little. First three settings of one knob, the aligned share in training. The dots are test samples.

# %%
trained = {}
for share in (0.5, 0.9, 0.99):
    toy, trained[f"aligned share {share}"] = fit_shortcut(ERM(), share)
figures.picture(
    figures.regions(trained, toy.test),
    takeaway="The more label and attribute go together, the more the boundary turns towards the shortcut.",
)

# %% [markdown]
# Now yours, with training samples as dots. `hidden layer` is the width of one (0: none, a straight boundary). Is
# there a width at which the shortcut is no longer taken?

# %% tags=["widget", "nbval-ignore-output"]
panel(
    draw_shortcut,
    ERM(),
    aligned_share=Knob(0.95, low=0.5, high=1.0, help="share of training samples that follow the pattern"),
    hidden=Knob(0, low=0, high=32, help="hidden units; 0 is logistic regression"),
)

# %% [markdown]
# <details><summary>Where to look</summary>A wider layer can bend the boundary around training samples that break the
# pattern. Look at the bars: does that help <em>new</em> samples of those groups?</details>
#
# ## Measure it
#
# One run is an anecdote. Each **seed** repaints the digits, starts the network anew and shuffles the batches, and every
# number below is a mean over seeds with its 95 % interval (Student's t). A **claim** names a direction, and the size from
# which an effect matters. It is measured in several **circumstances**: how long training went on, which network, how strong
# the bias was, which epoch was tested. The answer is one of four:
#
# - **confirmed**: in every circumstance the whole interval lies on the claimed side, and leaves room for effects that matter;
# - **only** …: in some of them, and it says in which;
# - **refuted**: in every circumstance the effect is absent, too small to matter, or the other way round;
# - **open**: too uncertain to say, or other seeds might well answer differently. That can be so even where all circumstances
#   say the same: each would probably say it again, but many at once are hard to promise.
#
# Claims whose number begins with L are statements of the lecture that this course goes with. B marks those that we add.
#
# What we expected was written down before the run, and you will see where we were wrong.

# %%
here.guess("B00.1", "Repaint all test digits. How many answers change?", "hardly any", "a tenth", "more than a quarter")

# %%
here.guess(
    "B00.2",
    "Colour alone is right on 95 of 100 digits composed like training. How many of the other 5 does the network get right?",
    "nearly all",
    "about half",
    "none",
)

# %% tags=["claim"]
here.claim("L00.1", "B00.1", "B00.2")

# %% [markdown]
# To save time, this notebook measured only the circumstance with the black frame. We measured the others earlier, and the
# notebook reads them from a stored file, the **receipt**. The picture is called a **strip**. Each of its boxes is one
# circumstance, with the effect in points (hundredths).

# %%
here.where("L00.1")

# %% [markdown]
# How long you train matters, too. Chance would earn one half; answering by the colour alone earns nothing in the worst
# group.

# %%
figures.picture(
    figures.over_epochs(here.kept("T00.1"), levels={"chance": 0.5, "colour alone": 0.0}, log=True),
    takeaway="Follow each line to its right end: which of them still rise?",
)

# %% [markdown]
# ## When it breaks
#
# Is the network simply too weak to read the shape? Train the same network on digits whose colours say nothing. And how does
# the strength of the bias change the worst group, and the number that most people report?

# %%
here.guess(
    "B00.3",
    "From an aligned share of 80 to 99 in 100, the worst group loses",
    "a few points",
    "about 20 points",
    "more than 40 points",
)

# %% tags=["claim"]
here.claim("B00.3", "B00.6", "B00.7")

# %% [markdown]
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# Replace the `...`, run the cell, read what it says. `exercises.worst_group.hint()` helps, `exercises.worst_group.reveal()`
# shows a solution.


# %% tags=["exercise"]
# 1. The accuracy of the worst group, from correct (1 or 0 for each sample) and groups. A group may be empty.
def worst_group(correct, groups, n_groups): ...


exercises.worst_group.check(worst_group)


# %% tags=["exercise"]
# 2. Equal opportunity: the gap between the highest and the lowest share of right answers among label 1, over attributes.
def opportunity_gap(correct, labels, attributes): ...


exercises.opportunity_gap.check(opportunity_gap)


# %% tags=["exercise"]
# 3. Open: you know that the colour misleads. Without a group label, change the batches (images, a tensor of shape
#    [samples, 3, 20, 20]) that train the network of this lecture, so that its worst group is above 0.8.
def change(images): ...


exercises.open_experiment.check(change)

# %% [markdown]
# ## Recap
#
# - ERM weighs a group by its size; where a shortcut serves the common groups, it takes it.
# - An average over data that are composed like the training data does not show it.
# - Report overall, group-balanced, worst group and train-weighted by name, with *n* and an interval.
# - How much harm is done depends on the strength of the bias and on how long one trains. Ask for both.
#
# **Quiz**
#
# <details><summary>A paper reports an "average accuracy" on Waterbirds above that of another one. What do you ask
# first?</summary>Which average. The test set of Waterbirds is composed in another way than its training set, and many
# tables re-weight the groups by their training shares.</details>
#
# <details><summary>The smallest group has ten test samples, all of them right. Is it the best group?</summary>Its
# interval is wide (<code>wilson(10, 10)</code> in <code>debias_course.evaluation</code> prints it); look at it before you
# rank. And the worst group is the one with the lowest accuracy, which need not be the smallest.</details>
#
# <details><summary>Would more data of the same kind help?</summary>The shares stay as they are, and so does the reward
# for the shortcut; but the rare groups grow in number too, and a network can learn more from them. Train on half of the
# digits to see the difference: <code>half = splits.train.subset(range(0, 3000, 2))</code>.</details>
#
# ## References
#
# - Torralba and Efros 2011, *Unbiased look at dataset bias*, CVPR (one can guess which data set an image is from).
# - Zech et al. 2018, *Variable generalization performance of a deep learning model to detect pneumonia in chest
#   radiographs*, PLoS Medicine.
# - Buolamwini and Gebru 2018, *Gender shades*, FAT*. Winkler et al. 2019, *Association between surgical skin markings in
#   dermoscopic images and diagnostic performance of a deep learning convolutional neural network for melanoma
#   recognition*, JAMA Dermatology.
# - Arjovsky et al. 2019, *Invariant risk minimization* (coloured MNIST). Nam et al. 2020, *Learning from failure*, NeurIPS.
# - Geirhos et al. 2020, *Shortcut learning in deep neural networks*, Nature Machine Intelligence.
# - Hardt et al. 2016, *Equality of opportunity in supervised learning*, NeurIPS (the words for gaps).
# - Sagawa et al. 2020, *Distributionally robust neural networks for group shifts: on the importance of regularization for
#   worst-case generalization*, ICLR (Waterbirds).
# - Ribeiro et al. 2016, *"Why should I trust you?"*, KDD (the husky). LeCun et al. 1998 (MNIST). Wilson 1927 (the
#   interval). Okabe and Ito 2008 (the palette).
#
# **Next:** [01 Loss re-weighting](01_loss_reweighting.ipynb) lets the rare groups count more.
