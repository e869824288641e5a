# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · Comparison of methods
#
# **The question.** Nine lectures, twelve methods, and each looked good somewhere. Which one should you take, when, at what
# price, and what do you have to know about your data? And how can you find out without fooling yourself?

# %% tags=["setup", "nbval-ignore-output"]
import inspect

import torch
from IPython.display import display

from debias_course import comparison as library
from debias_course import figures, study
from debias_course.lectures.method_comparison import exercises
from debias_course.lectures.method_comparison.measurements import (
    ONCE,
    RULES,
    MethodComparisonLesson,
    balancing,
    favourite,
    four_groups,
    long_tail,
    textures,
    unaided,
)
from debias_course.lectures.method_comparison.panel import COMPARED, draw_comparison, duel_figure
from debias_course.lectures.panels import panel
from debias_course.methods import ERM, LECTURE, HardMining, Knob
from debias_course.report import in_words, readable
from debias_course.study import Study, mean_over_seeds

here = MethodComparisonLesson()

# %% [markdown]
# **What you will be able to claim:**
#
# - with few groups, methods that balance them beat plain training, and which of them you take matters much less;
# - a method that is good on one kind of bias, or with one network, can be harmful with another;
# - a second setting of learning rate and weight decay can be worth much, so plain training deserves the same search;
# - what a method gains depends on how strong the bias is, and most when it is strong but not extreme;
# - and you can say how sure you are of each of these.
#
# ## See the problem
#
# Three data sets of the course, at half the resolution, which is fast: digits in two colours with four groups ([lecture
# 00](00_dataset_bias.ipynb)), ten digits on ten textures (regular patterns) with a hundred groups, and a long tail, in
# which some digits are a hundred times as rare as others ([lecture 04](04_smote.ipynb)).
#
# Five students want to know which of two methods is better with four groups, hard mining or DANN. Each trains both, once.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("both"))
both = here.both
for student, seed in enumerate(here.seeds, 1):
    mining, dann = (both.value(name, seed) for name in both.names)
    print(f"student {student}: {'DANN' if dann > mining else 'hard mining'} is better, by {abs(dann - mining):.2f}")
values = {name: [both.value(name, seed) for seed in here.seeds] for name in both.names}
figures.picture(
    duel_figure(values, both.difference("DANN", "hard mining")),
    alt="Left: worst-group accuracy of both methods, a line for each seed; some rise steeply and some fall. Right: the interval "
    "of the mean difference is wide and contains zero.",
    takeaway="Each line is a student with a clear result; together they know next to nothing.",
)

# %% [markdown]
# A table of single runs always has a winner. Which differences would be there again, with other seeds?
#
# ## The idea
#
# Four rules make a comparison fair. Each is a few lines of the library.
#
# 1. **Pair.** A seed fixes the colours of the data, the start of the network and the order of the samples, for every method
#    alike. So take the difference $d_s$ of two methods seed by seed; what made the seed easy or hard for both drops out.
# 2. **Give the same care to all.** Every method, plain training too, is tried in the same number of settings, and the best
#    *on validation* is tested.
# 3. **Widen.** Of twenty 95 % intervals, one is wrong on average. With $m$ comparisons each interval gets the level
#    $1 - 0.05/m$ (Bonferroni), so that with a probability of $0.95$ all of them hold. Eleven methods make ten comparisons
#    with plain training, and 55 pairs for the ranks:
#
# $$\bar d \pm t_{n-1,\;1 - 0.05/(2m)}\; \frac{s_d}{\sqrt n}$$
#
# 4. **Do not rank what is not told apart.** A method stands behind another one only if the interval of their difference
#    excludes zero. So a rank is a range.

# %%
print(inspect.getsource(Study.differences))
print(inspect.getsource(Study.ranks))
print(inspect.getsource(library.candidates))

# %% [markdown]
# ## By hand
#
# Worst-group accuracies of two methods for six seeds. The differences are 3, 6, 2, 5, 3 and 3 points: their mean is 3.67,
# their standard deviation 1.51, and with $t_{5, 0.975} = 2.571$ the interval is 3.67 ± 1.58 points. With eleven comparisons
# $t$ is 4.88, and the interval nearly twice as wide: 3.67 ± 3.00. Had we not paired, we would compare two means that each
# vary by about six points from seed to seed.

# %%
ours = [0.60, 0.72, 0.55, 0.68, 0.63, 0.70]
theirs = [0.57, 0.66, 0.53, 0.63, 0.60, 0.67]
gains = [a - b for a, b in zip(ours, theirs)]
for comparisons in (1, 11):
    gain = mean_over_seeds(gains, level=1 - 0.05 / comparisons)
    print(f"{comparisons} at once: {gain.value:.4f} ± {gain.high - gain.value:.4f}")
for what, each in {"ours": ours, "theirs": theirs, "the difference": gains}.items():
    print(f"spread of {what} over seeds: {float(torch.tensor(each).std()):.4f}")

# %% [markdown]
# ## Turn the knob
#
# How many seeds does it take? Hard mining against plain training with four groups: the difference and its interval after
# two seeds, three, and so on up to ten; if it were the only comparison, and if it were one of eleven.

# %%
mining = {"plain": ERM(), "hard mining": HardMining()}
ten = study(mining, four_groups, seeds=10, **ONCE)
lead = [ten.value("hard mining", seed) - ten.value("plain", seed) for seed in range(10)]
counts = range(2, 11)
alone, of_eleven = ([mean_over_seeds(lead[:n], level=1 - 0.05 / m) for n in counts] for m in (1, 11))
figure, axes = figures.new_figure(9.0, 3.4, 1, 2, sharey=True)
for axis, means, name in (axes[0], alone, "alone"), (axes[1], of_eleven, "one of eleven"):
    lines = {name: (counts, [mean.value for mean in means])}
    shaded = {name: ([mean.low for mean in means], [mean.high for mean in means])}
    figures.curves(
        lines, x="seeds", y="hard mining minus plain, worst group", bands=shaded, axis=axis, ylim=(-0.5, 0.6)
    )
    axis.axhline(0, color="black", linewidth=1)
figures.picture(
    figure,
    alt="The mean difference by number of seeds with a shaded interval that is wide for two seeds and narrows; in the second "
    "panel, for one of eleven comparisons, it is wider at every number of seeds.",
    takeaway="Two seeds tell next to nothing; the more methods are compared at once, the more seeds it takes.",
)

# %% [markdown]
# In the panel any two methods meet, with their defaults. Find two that ten seeds cannot tell apart. Then look at the second
# interval: what does pairing save?

# %% tags=["widget", "nbval-ignore-output"]
names = tuple(name for name in LECTURE if name != "occam-nets")  # which needs a network with stages
panel(
    draw_comparison,
    ERM(),
    digits=Knob("coloured", choices=tuple(COMPARED), help="the data set"),
    ours=Knob("hard-mining", choices=names, help="one method"),
    theirs=Knob("erm", choices=names, help="and another"),
    seeds=Knob(3, low=2, high=10, help="with how many seeds each is trained"),
    at_once=Knob(1, low=1, high=66, help="how many comparisons have to hold at once"),
)

# %% [markdown]
# ## Measure it
#
# Eleven methods on three data sets, under one protocol: a network of one hidden layer, ten epochs, two settings each (a
# learning rate, a weight decay, and a value for some knobs), chosen with one seed by a rule on validation, and tested
# with the others. The first claims repeat what lectures 01, 02 and 05 said of their own method, now side by side. With
# four groups the rule and the result are the worst group. A hundred groups have twenty test digits each, so the worst of
# them is mostly chance; there, and on the long tail, it is the mean over groups, and validation has all groups alike,
# which somebody who knew the groups had to arrange. (On the long tail there are no domains that DANN could hide.)

# %% tags=["measure", "nbval-ignore-output"]
for source, rule in RULES.items():
    print(inspect.getsource(source), rule, sep="\n", end="\n\n")
print(here.how("found"))
found = here.found
for source, each in found.items():
    print(f"{source.__name__}\n{in_words(each)}")
    display(readable(each))

# %%
for source, each in found.items():
    figures.picture(
        figures.differences(each),
        alt=f"{source.__name__}: each method's difference to plain training with its interval, best first, in colours by what "
        "it needs to know, and the ranks that it may have.",
        takeaway={
            four_groups: "The methods that balance groups lead, and overlap; nobody else is clearly ahead of plain training.",
            textures: "With a hundred groups, most methods are level with plain training, and some are far behind it.",
            long_tail: "With rare classes balancing helps again, and so does hard mining, which looks at losses only.",
        }[source],
    )

# %% tags=["claim"]
here.claim("B10.1a", "B10.1b", "B10.1c")

# %% [markdown]
# So with few groups and their labels, the choice among the five matters much less than taking one of them at all. Without
# such labels nothing here comes near. Now the other two data sets.

# %% tags=["claim"]
here.claim("B10.2a", "B10.2b", "B10.2c", "B10.2d", "B10.2e")

# %% [markdown]
# **What you have to know.** Take the favourite of the search among all methods that need group labels in training, and among
# those that do not. What do they reach? (On the long tail a group is a class: those labels are there anyway.)

# %%
reached = {"without group labels": [], "with group labels": []}
for each in found.values():
    for kind, methods in zip(reached, (["plain", *unaided()], balancing())):
        best = favourite(each, [name for name in methods if name in each.chosen])
        reached[kind].append(each.study.mean(best, each.metric).value)
places = ["four groups\nworst group", "textures\nmean of groups", "long tail\nmean of classes"]
figures.picture(
    figures.bars(reached, places=places, y="test accuracy of the favourite", ylim=(0, 1)),
    alt="Two bars on each data set, for the favourites that do without group labels in training and those that need them: the "
    "second is far higher with four groups, and a little higher on the two others.",
    takeaway="Group labels in training are worth most where there are few groups.",
)

# %% [markdown]
# **The same care for plain training.** One trial is the setting that somebody has chosen beforehand; we gave every method two.
# On the long tail, what was the second one worth to plain training?

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("untuned"))
print(f"plain on the long tail, untuned: {here.untuned.mean('plain', 'group_balanced')}")

# %% tags=["claim"]
here.claim("B10.3a")

# %% [markdown]
# Whoever searches for a new method only, and takes the others as they are, measures the search.
#
# **Another network.** All of this was one small network. With convolutions, fifteen epochs, a larger learning rate and four
# trials, and with the OccamNet, which needs stages, it takes a quarter of an hour, so it is measured on the full budget only
# (`debias-course claims --topic 10_method_comparison --budget full --seeds 5 --save`); here you see what was kept.

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("deep"))
if here.budget == "full":
    for source, each in here.deep.items():
        print(source.__name__, readable(each).to_string(), in_words(each), sep="\n")

# %% tags=["claim"]
here.claim("B10.5a", "B10.5b", "B10.5c", "B10.5d", "B10.5e")

# %% [markdown]
# So the order of the methods is one of *this* network, too. Only two things stayed: balancing a few groups helps, and throwing
# samples away is costly where little is left.
#
# ## When it breaks
#
# So far the bias had one strength, and labels were right. How does the picture change from a correlation of 90 in a
# hundred to 995 in a thousand, where eight digits of a rare group are left? And when some of the training labels are wrong?

# %% tags=["measure", "nbval-ignore-output"]
print(here.how("stronger", "noisier"))
stronger, noisier = here.stronger, here.noisier
names = stronger[0.90].names
for name in names:
    print(name, *(f"{runs.mean(name).value:.2f}" for runs in (*stronger.values(), *noisier.values())))

# %%
figure, axes = figures.new_figure(9.0, 3.4, 1, 2, sharey=True)
for axis, runs, x in (axes[0], stronger, "correlation in training"), (axes[1], noisier, "share of wrong labels"):
    means = {name: [each.mean(name) for each in runs.values()] for name in names}
    lines = {name: (list(runs), [mean.value for mean in row]) for name, row in means.items()}
    shaded = {name: ([mean.low for mean in row], [mean.high for mean in row]) for name, row in means.items()}
    figures.curves(lines, x=x, y="worst group, test", bands=shaded, axis=axis, ylim=(0, 1))
figures.picture(
    figure,
    alt="Worst group of three methods. Left: all fall as the correlation grows, re-weighting latest and then steeply. Right: "
    "with wrong labels re-weighting falls a little, plain training falls, and hard mining rises.",
    takeaway="Re-weighting leads most where the bias is strong but not extreme; wrong labels help hard mining here.",
)

# %% tags=["claim"]
here.claim("B10.4a", "B10.4b", "B10.4c", "B10.4d")

# %% [markdown]
# Where so few digits of a rare group are left, no weight can make up for what is not there. And wrong labels do something odd:
# a common digit with a wrong label contradicts its colour, as the rare ones do. Among the hardest samples the colour then
# tells little about the label, and there are more of them to learn from. (A likely reason; measured is the outcome. In
# [lecture 03](03_hard_example_mining.ipynb) a model that learns from fewer of them was harmed.)
#
# What this comparison cannot say: how the methods rank on *your* data. Take it as a protocol, not as a league table.
#
# **On the command line** the same is done with data sets of the course, and with a folder of your own images, which
# `inspect` looks through first:
#
#     debias-course compare --data colored-digits --methods all --seeds 5 --out results
#     debias-course inspect my-images
#     debias-course compare --data my-images --methods erm,group-dro --model resnet18 --out results
#
# It prints the table that you have seen here, with the time that is left, and writes a page with pictures and settings.
# Interrupted, it goes on where it was.
#
# ## Exercises
#
# `exercises.paired.hint()` helps, `exercises.paired.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The mean difference of two methods and its interval: lower end, upper end. One number per seed each, and t's quantile.
def paired(ours, theirs, quantile): ...


exercises.paired.check(paired)


# %% tags=["exercise"]
# 2. First and last rank of each method, from the intervals of all differences: low[i, j] and high[i, j] of i minus j.
def ranks(low, high): ...


exercises.ranks.check(ranks)


# %% tags=["exercise"]
# 3. The accuracy to report, from the scores of some settings on validation and on test. A diverged one has no number.
def reported(validation, test): ...


exercises.reported.check(reported)

# %% [markdown]
# ## Recap
#
# - Compare methods on the same seeds, and take differences. Give all of them the same search, plain training too. Widen the
#   intervals for the number of comparisons, and call an overlap an overlap.
# - With few groups and their labels: balance them, in whichever way suits you. With many groups, throwing samples away or
#   learning from the hardest can be worse than nothing. With rare classes, nearly every kind of balancing helps.
# - Without group labels in training, expect little, and look at the worst group before you believe more.
# - Another network, or a second try at the learning rate, can be worth as much as a method.
#
# That was the last lecture. The methods are `debias_course.methods`: each is one file, and yours can be the next.
#
# **Quiz**
#
# <details><summary>Two methods have overlapping intervals of their own accuracies. Can their difference still be told from
# zero?</summary>Yes. What makes a seed hard for both drops out of the paired difference, so that its interval can be much
# narrower.</details>
#
# <details><summary>A new method is tried in fifty settings, the old ones in one. What is wrong?</summary>The best of fifty is
# better by luck and by care alone. Give all the same number, and choose on validation.</details>
#
# <details><summary>Which methods here can be trained without group labels, and which need them in validation?</summary>Plain
# training, hard mining, SMOTE by class, spectral decoupling, OccamNets and adversarial training need none in training. To
# choose the epoch and the setting by the worst group, all of them need groups in validation.</details>
#
# <details><summary>The rank of a method is 2 to 7. What does that say?</summary>At least one method is clearly better. Among the
# methods in between, nobody knows.</details>
#
# ## References
#
# - Student 1908, *The probable error of a mean*, Biometrika.
# - Mogstad, Romano, Shaikh and Wilhelm 2024, *Inference for ranks with applications to mobility across neighbourhoods and
#   academic achievement across countries*, Review of Economic Studies.
# - Gulrajani and Lopez-Paz 2021, *In search of lost domain generalization*, ICLR (the same search for all).
# - Bouthillier et al. 2021, *Accounting for variance in machine learning benchmarks*, MLSys.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
# - Shrestha, Kafle and Kanan 2022, *An investigation of critical issues in bias mitigation techniques*, WACV.
