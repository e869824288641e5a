# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11 · A partner that is wrong on purpose
#
# **It happened.** Does one sentence follow from another? Thousands of people wrote pairs of sentences for that question, and
# networks became as good at it as people. Then Gururangan et al. (2018) hid the first sentence, so that nothing could be
# concluded from it. A simple text classifier, which saw the second sentence only, was right on two pairs in three. It had
# found out how people write on demand: with *not* or *nobody* for a contradiction, with *outdoors* or *animal* for what
# follows. McCoy et al. (2019) then wrote pairs in which such tricks mislead, and the best networks of the day failed on them.
#
# **The question.** That half-informed classifier is a failure, and a tool. It shows whom the shortcut serves, and nobody had
# to label the shortcut. Can we train a model beside a *partner* that is wrong on purpose, and have it learn what the partner
# cannot tell?

# %% tags=["setup", "nbval-ignore-output"]
import torch

from debias_course import figures
from debias_course.lectures.panels import panel
from debias_course.lectures.partners import exercises, pictures
from debias_course.lectures.partners.bench import ground_digits, met, trials
from debias_course.lectures.partners.measurements import PartnersLesson
from debias_course.lectures.partners.panel import draw_partner
from debias_course.lectures.partners.published import rebias_table
from debias_course.lectures.sources import source
from debias_course.methods import ProductOfExperts, ReBias
from debias_course.methods.partners import just_train_twice, learning_from_failure, product_of_experts, rebias, voronoi

here = PartnersLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether a product of experts, ReBias, and methods that look at who is learned late are less biased than plain training;
# - whether they find the right samples, and how long a partner has to train for that;
# - how weak a partner should be;
# - what happens without a bias, with wrong labels, with two biases, and when nobody can say which epoch to take.
#
# ## See the problem
#
# White digits on backgrounds of ten colours. Each digit has a colour of its own, such as orange for 0, and in training nearly
# all are painted on it; such digits are *aligned*. The others are *conflicting*, and they are few: thirty of three thousand
# at the aligned share below. In the test data the colour says nothing about the digit. (The colour of 9 is nearly white, so
# a tenth of the test digits can hardly be seen, whatever the method.)

# %%
splits = ground_digits(0, aligned_share=0.99)
print(splits.train, "\nconflicting in training:", int((splits.train.attributes == 1).sum()))
figures.picture(
    pictures.grounds(splits.train),
    alt="Small white digits on coloured ground: zeros on their own colour and on others, threes likewise.",
    takeaway="Two digits, each on its own colour and on others. In which rows does the colour alone give the digit away?",
)

# %% [markdown]
# Now the partner. Its layers see one pixel at a time, and then take a mean over all places. So it can know which colours
# there are, and no shape at all. We train it as usual, and look at the training digits about which it is sure, and wrong. The
# key above the picture shows each digit's own colour.

# %%
says = pictures.partner_says(splits.train)
figures.picture(
    pictures.surest_errors(splits.train, says),
    takeaway="For each, look up its background in the key, and compare with what the partner says. Does the shape matter?",
)

# %%
here.guess(
    "B11.1",
    "Train a model to learn what this partner cannot tell. Of the conflicting digits, it gets right",
    "many more than plain training",
    "about as many",
    "fewer",
)

# %% [markdown]
# ## The idea
#
# All methods of this lecture have the same two steps. Make a partner that is weak, so that it learns the shortcut and little
# else. Then turn the model away from what the partner knows; most let the samples count more that the partner gets wrong. They
# differ in how the partner is made weak, and in what it does to the model:
#
# | method | its partner is | and then |
# |---|---|---|
# | product of experts (Sanh et al. 2021) | small or near-sighted | its probabilities multiply the model's |
# | ReBias (Bahng et al. 2020) | near-sighted, and learns beside | the model's features must not depend on its features |
# | learning from failure (Nam et al. 2020) | a twin that turns away from what is hard | a sample counts by how much harder it is for the twin |
# | just train twice (Liu et al. 2021) | the model itself, stopped early | its errors count twenty times |
# | Voronoi cells (Nahon et al. 2023) | the model itself, when it errs most clearly | its answers stand for the bias, and are balanced |

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Four ways to be weak, one aim: right about the common samples, wrong about the rare ones.",
)

# %% [markdown]
# Start with the **product of experts**. Let $m_c$ be the model's logits of the classes $c$, and $w_c$ those of the partner,
# which was trained before and stands still. Both have a say: their probabilities are multiplied and divided by the sum. In
# logits that is a sum, so that for a sample with label *y* training minimises
#
# $$\ell = -\log \frac{e^{\,m_y + w_y}}{\sum_c e^{\,m_c + w_c}}, \qquad
# \frac{\partial \ell}{\partial m_c} = \mathrm{softmax}(m + w)_c - [c = y] .$$
#
# Read the gradient on the right, where $[c = y]$ is 1 for the label and 0 for the other classes. Where the partner is sure
# and right, it is next to nothing: no need to learn. Where the partner is unsure, it is that of plain training. Where the
# partner is sure and wrong, the model has to make up for both. Afterwards the model is used alone.
#
# The picture shows this for two classes and a model that is undecided. The **margin** of the label is its logit minus that of
# the other class, in the partner. The **pull** of a sample is what pushes the model's logit of the label up: minus the
# gradient.

# %%
figures.picture(
    pictures.pull(),
    takeaway="Two classes. What is left of plain training's pull at the right end, and at the left?",
)

# %% [markdown]
# The core of it, on a batch of the digits above, whose partner we have asked already:

# %%
rows = torch.arange(128)
batch, told = splits.train.batch(rows), says[rows]
model = torch.zeros(128, 10, requires_grad=True)  # logits of a model that knows nothing
loss = torch.nn.functional.cross_entropy(model + told, batch.labels)
loss.backward()
pulled = -128 * model.grad[rows, batch.labels]  # on the logit of the label; 128, as the loss is a mean
for kind, name in enumerate(("aligned", "conflicting")):
    print(f"pull of {name} digits, on average: {float(pulled[batch.attributes == kind].mean()):.2f}")

# %% [markdown]
# And the library's own code. Two variants go with it: the model's own loss may be added, weighted by `alone`; and in the
# *learned mixin* (Clark et al. 2019) a gate, which reads the model's features, decides how much the partner is to be
# believed.

# %%
source(product_of_experts.product_losses, ProductOfExperts.loss)

# %% [markdown]
# **ReBias** has a partner of the same kind, but no stages: both learn at once. The partner minimises its own loss minus λ
# times HSIC, the model its own loss plus λ times HSIC. HSIC measures how much two sets of features depend on each other:
# whether two samples that are alike in the one are alike in the other, more often than others are. With the matrices $K$
# and $L$ of likeness within a batch of *n* samples, and zeros in their diagonals,
#
# $$\mathrm{HSIC} = \frac{1}{n(n-3)} \Big[ \sum_{ij} K_{ij} L_{ij} + \frac{\sum_{ij} K_{ij} \sum_{ij} L_{ij}}{(n-1)(n-2)}
# - \frac{2}{n-2} \sum_{i} \big(\sum_j K_{ij}\big)\big(\sum_j L_{ij}\big) \Big], \qquad
# K_{ij} = e^{-|f_i - f_j|^2 / 2 \sigma^2} .$$
#
# Here $f_i$ are the model's features of a sample; $L$ is made alike from the partner's. The width σ is 1, as published, or the median of all distances in the batch.
#
# The other three do not need a weak network, as they use **time**: what is easy is learned first. They differ in how they
# turn that into weights, which is in the last three functions below.
#
# - *Learning from failure* trains a twin beside the model. In the twin's loss, a sample that the twin thinks unlikely hardly
#   counts, so the twin stays with what is easy. For the model, a sample counts by the twin's share in the sum of both losses.
# - *Just train twice* trains plainly for a few epochs, notes the errors, and starts anew. Then each error counts more.
# - *Voronoi cells* divide the space of features. Each class has a centre, the mean features of the samples that are right, and
#   its cell is what lies nearer to this centre than to any other. An error lies in a wrong cell. In the epoch in which errors
#   lie deepest there, the model's answers are taken for the bias. Then those whose bias agrees with the label and the others
#   get weights that make both count about the same, and the features have to unlearn the bias.

# %%
time_tells = learning_from_failure.relative_difficulty, just_train_twice.error_weights, voronoi.alignment_weights
source(rebias.hsic, ReBias.step, *time_tells)

# %% [markdown]
# ## By hand
#
# Six samples of two classes, with the margin of the label in the partner's logits: 4, 4, 4, 0, −4, −4. The model is
# undecided. Then a sample pulls by $1 / (1 + e^{\text{margin}})$: 0.018 where the partner is sure and right, 0.5 where it is
# unsure, and 0.982 where it is sure and wrong. So the last two samples have more than three quarters of the whole pull.
#
# The partner is wrong about samples 5 and 6: it *points at* them. If 4 and 6 are conflicting, **precision** is one half (of
# the two pointed at, one is conflicting), and so is **recall** (of the two conflicting, one is pointed at).

# %%
margin = torch.tensor([4.0, 4.0, 4.0, 0.0, -4.0, -4.0])
partner = torch.stack([margin, torch.zeros(6)], 1)
model = torch.zeros(6, 2, requires_grad=True)
product_of_experts.product_losses(model, partner, torch.zeros(6, dtype=torch.int64)).sum().backward()
pulled = -model.grad[:, 0]
last_two = float(pulled[4:].sum() / pulled.sum())
print("pull", [round(each, 3) for each in pulled.tolist()], f"share of the last two {last_two:.2f}")
print("precision and recall", met(margin < 0, torch.tensor([0, 0, 0, 1, 0, 1]).bool()))

# %% [markdown]
# ## Turn the knob
#
# How weak should a partner be? Above, how sure it is of aligned and of conflicting digits; below, what the model makes of it.
# Nineteen in twenty digits are aligned here, so that a few seconds on half of the images are enough.

# %% tags=["measure", "nbval-ignore-output"]
figures.picture(
    draw_partner(ProductOfExperts())[0],
    takeaway="Compare the conflicting digits: where is the partner sure of them, and what does the model make of that?",
)

# %% [markdown]
# The panel trains with your setting. What happens to the bars with a `width` of 1, and to the lines? And with a large partner
# that sees squares of pixels (`coarse`)?

# %% tags=["widget", "nbval-ignore-output"]
panel(draw_partner, ProductOfExperts())

# %% [markdown]
# ## Measure it
#
# All methods train the same small network of convolutions (called *staged* below; where it says MLP, one without
# convolutions), from the same start, with the same batches, for as many epochs. What comes before, such as the training of a
# partner, comes on top. Each method has its paper's settings where they carry over to few digits, and the last epoch is
# tested. What is compared is the share of conflicting test digits that are right; ten points more count as a gain.
#
# What we expected is what the papers say, and is printed with each claim. We did look at one seed before. That look
# decided the network, the learning rate and the numbers of epochs, but none of the claims.

# %% tags=["claim"]
here.claim("B11.1")

# %%
here.where("B11.1")

# %%
here.guess(
    "B11.2",
    "And ReBias, with the settings of its paper, gains ten points",
    "where the bias is strongest, as in the paper",
    "at all strengths",
    "at none",
)

# %% tags=["claim"]
here.claim("B11.2", "B11.3")

# %% [markdown]
# The paper's own table, from sixty thousand digits, has the accuracy in hundredths, on test data without the bias. At the
# weakest of its four biases, ReBias is behind plain training. Does ours look like that? (RUBi, by Cadene et al. 2019, is a
# relative of the product of experts, which we do not measure.)

# %%
print("accuracy in %, Bahng et al. 2020:")
print(rebias_table().to_string(index=False))
here.where("B11.2")

# %%
here.where("B11.3")

# %%
figures.picture(
    pictures.by_epoch(here.kept("T11.1")),
    takeaway="Compare all with plain training at the right end. Whose line is still rising, and whose band is wide?",
)

# %% [markdown]
# **Next to other methods, and what it costs.** Hard mining (lecture 03) and the OccamNet (07) need no label of the bias
# either. Group DRO (05) is told who conflicts, and nobody else here is. The dotted line is plain training. A grey tick says
# how many of the *aligned* digits are right: a model that never learns what the partner knows may lack it.

# %%
figures.picture(
    pictures.compared(here.kept("T11.2")),
    takeaway="Who is ahead of the method that is told who conflicts? And whose grey tick has moved to the left?",
)

# %% tags=["claim"]
here.claim("B11.11")

# %% [markdown]
# **After a search.** A setting that suits sixty thousand digits need not suit three thousand. So give each method knobs of its
# own and equally many settings to try, the one that we used so far (*as it is*) among them. Then let validation choose: by its
# conflicting digits, or, as in real life, by digits that are mixed as in training, of which hardly any conflicts. The knobs of
# plain training are its learning rate and weight decay.

# %%
for name in ("plain", "product of experts", "ReBias"):
    print(f"{name}: {', '.join(each.name for each in trials(name))}")
print("chosen, by what settings were judged by:")
print(here.kept("T11.5").to_string(index=False))

# %% tags=["claim"]
here.claim("B11.5")

# %%
here.where("B11.5")

# %% [markdown]
# **Who is found?** All but ReBias point at samples, and bet that those are the conflicting ones. Of those pointed at, how many
# are conflicting (*precision*)? Of the conflicting, how many are pointed at (*recall*)? The claim is about the smaller of the
# two. The lines of the picture are means over seeds: where seeds disagree, a claim stays open even though its mean is high.

# %%
here.guess(
    "B11.4",
    "Precision and recall are both above one half for",
    "all four methods that point at samples",
    "the product of experts only",
    "none of them",
)

# %% tags=["claim"]
here.claim("B11.4")

# %%
figures.picture(
    pictures.found(here.kept("T11.4")),
    takeaway="Follow each line from left to right. For whom does more training help, and for whom does it blur?",
)

# %% [markdown]
# ## When it breaks
#
# **Too weak, too strong.** With a partner that knows nothing, a product of experts is plain training. One that is as strong
# as the model knows all training labels, is sure and right throughout, and leaves nothing to learn. The picture has the
# weakest on the left and the strongest, a twin of the model, on the right.

# %%
figures.picture(
    pictures.by_size(here.kept("T11.3")),
    takeaway="Compare the conflicting bars from left to right, then the aligned ones: what does a partner that is too strong cost?",
)

# %% tags=["claim"]
here.claim("B11.6")

# %% [markdown]
# **No bias, wrong labels, two biases.** Nobody tells these methods that there is a shortcut. What do they take away where
# there is none? A partner errs on a wrong label just as on a conflicting digit, and points at both. And where the
# background has two colours, left and right, one of them a weaker sign than the other, the partner may pick up only one.
#
# **When to stop?** With group labels on validation one takes the epoch that serves the conflicting digits best. Without them
# one takes the last epoch, or what looks best on digits that are mixed as in training. What does that cost?

# %% tags=["claim"]
here.claim("B11.7", "B11.8", "B11.10", "B11.9")

# %% [markdown]
# **What we have not measured.** *Partition and debias* (Li et al. 2023), with experts at several depths: we have no trial that
# is fair to it. The wide kernels and the eighty epochs of the papers. And the strongest bias in the table above: we have three
# hundred digits of each class, too few for even one of them to conflict.
#
# **What is said, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.product_losses.hint()` helps, `exercises.product_losses.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The loss of each sample in a product of experts, from logits [B, C] of the model and of the partner, and labels [B].
def product_losses(model, partner, labels): ...


exercises.product_losses.check(product_losses)


# %% tags=["exercise"]
# 2. Precision and recall of those pointed at, bool [N], given who is conflicting, bool [N].
def precision_and_recall(pointed_at, conflicting): ...


exercises.precision_and_recall.check(precision_and_recall)


# %% tags=["exercise"]
# 3. Open: ten conflicting digits in three thousand. Return a Method that gets more than 0.15 of the conflicting test digits
#    right after ten epochs. It needs no group labels and is no product of experts; you may start from ReBias(strength=1.0).
def without_a_product(): ...


exercises.open_experiment.check(without_a_product)

# %% [markdown]
# ## Recap
#
# - A weak partner learns the shortcut; whom it does not serve counts more. Partners are made weak by size, by sight, by time,
#   or by a loss that turns away from what is hard.
# - Ask first whom the partner gets wrong. Precision and recall of those tell whether the rest can work.
# - Sight is knowledge: whoever builds a partner that sees only colours has said that colour is the shortcut. Time needs no such
#   knowledge, and says less.
# - A partner can be too weak and too strong. Nobody without group labels can see which.
# - To a partner, a wrong label looks like a conflicting sample. Whether that spoils the gain has to be measured (B11.8).
# - A number from a paper holds for its size of data and its length of training.
# - Look at the aligned digits, too. What the partner knows, the model may never learn.
#
# **Quiz**
#
# <details><summary>The partner gives all classes the same probability. What is the product of experts then?</summary>Plain
# training: a number that is added to all logits is taken out by the softmax.</details>
#
# <details><summary>The partner has learnt all training labels by heart. What does the model learn?</summary>Next to nothing:
# the product is right whatever the model says, and the gradient vanishes.</details>
#
# <details><summary>Just train twice is run with a first training that fits all samples. What is the second?</summary>Plain
# training: nobody is wrong, so nobody counts more.</details>
#
# <details><summary>Why is HSIC computed with zeros in the diagonals?</summary>A sample is always like itself, in both sets of
# features. Counted, that would look like dependence, most of all in small batches.</details>
#
# <details><summary>A paper reports a method without group labels, with the epoch chosen by worst-group validation accuracy.
# What is missing?</summary>The number at an epoch that could be chosen without group labels.</details>
#
# ## References
#
# - Hinton 2002, *Training products of experts by minimizing contrastive divergence*, Neural Computation.
# - Gretton et al. 2005, *Measuring statistical dependence with Hilbert-Schmidt norms*, ALT; Song et al. 2012, *Feature
#   selection via dependence maximization*, JMLR (the estimate without bias).
# - Gururangan et al. 2018, *Annotation artifacts in natural language inference data*, NAACL.
# - McCoy, Pavlick and Linzen 2019, *Right for the wrong reasons*, ACL.
# - Clark, Yatskar and Zettlemoyer 2019, *Don't take the easy way out: ensemble based methods for avoiding known dataset
#   biases*, EMNLP; He, Zha and Wang 2019, *Unlearn dataset bias in natural language inference by fitting the residual*.
# - Cadene et al. 2019, *RUBi: reducing unimodal biases for visual question answering*, NeurIPS.
# - Bahng et al. 2020, *Learning de-biased representations with biased representations*, ICML (ReBias).
# - Nam et al. 2020, *Learning from failure: training debiased classifier from biased classifier*, NeurIPS.
# - Liu et al. 2021, *Just train twice: improving group robustness without training group information*, ICML.
# - Sanh et al. 2021, *Learning from others' mistakes: avoiding dataset biases without modeling them*, ICLR.
# - Nahon, Nguyen and Tartaglione 2023, *Mining bias-target alignment from Voronoi cells*, ICCV.
# - Li et al. 2023, *Partition-and-debias: agnostic biases mitigation via a mixture of biases-specific experts*, ICCV.
#
# **Back to the start:** [00 Dataset bias](00_dataset_bias.ipynb), or [10](10_method_comparison.ipynb), which compares the
# lecture's own methods.
