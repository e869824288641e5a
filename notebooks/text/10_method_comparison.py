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
# **It happened.** Henderson et al. (2018) trained one algorithm ten times, with the same settings and ten seeds. They put five
# of the runs into one pile and five into another, and took the mean of each. The two curves looked like two different
# algorithms. In a paper, one would have been called the better one. Two years later, Gulrajani and Lopez-Paz gave
# fourteen methods for new domains the same search. None was ahead of plain training by more than a point, though each had
# been published as an advance.
#
# **The question.** Nine lectures, twelve methods, and each looked good somewhere. Which one should you take, when, and what do
# you have to know about your data? And how can you find out without fooling yourself?

# %% tags=["setup", "nbval-ignore-output"]
from functools import partial

from debias_course import comparison as library
from debias_course import figures, methods, models, study
from debias_course.data import toys
from debias_course.lectures.method_comparison import decision, exercises, pictures
from debias_course.lectures.method_comparison.measurements import MethodComparisonLesson
from debias_course.lectures.method_comparison.panel import COMPARED, draw_comparison
from debias_course.lectures.panels import panel
from debias_course.lectures.sources import source
from debias_course.methods import ERM, Knob, LossReweighting
from debias_course.study import Study, mean_over_seeds

here = MethodComparisonLesson()

# %% [markdown]
# **What you will be able to claim**, each with the circumstances in which it holds:
#
# - whether robust risk and architecture methods beat plain training, and balanced batches, under one search for all;
# - whether balancing groups always helps, and in which of its five ways;
# - how near a method comes that needs no group labels in training, once it is searched with care;
# - whether the order of the methods is the same on other data;
# - and what a search for plain training is worth.
#
# ## See the problem
#
# The data are digits in two colours, with four groups ([lecture 00](00_dataset_bias.ipynb)), at half the resolution, which is
# fast. Five students want to know which of two methods has the better worst group: hard mining or DANN. Each trains both,
# once, with default settings.

# %% tags=["measure", "nbval-ignore-output"]
both = here.both
values = {name: [both.value(name, seed) for seed in here.seeds] for name in both.names}
print(pictures.single_runs(values))
figures.picture(
    pictures.duel(values, both.difference("DANN", "hard mining")),
    takeaway="Each line on the left is a student with a clear result. On the right: what do all five know together?",
)

# %% [markdown]
# A table of single runs always has a winner. Which differences would be there again, with other seeds?
#
# The right half shows two intervals. The upper one is *paired*: it takes the difference on each seed first. The lower one
# treats the ten runs as strangers. You may have heard that pairing makes an interval narrower. Look again: it does so only where
# both methods find the same seeds easy, that is, where the printed correlation is clearly above zero. If it is near zero,
# pairing costs a little. If it is negative, pairing shows honestly that the difference itself is unsteady.
#
# ## The idea
#
# Four rules make a comparison fair.
#
# 1. **The same care for all.** Each method, plain training too, is tried in equally many settings, with its own knob among
#    what is tried. Training is as long for all, and validation chooses the epoch. The setting is chosen on
#    validation, on several seeds, and then tested on others.
# 2. **Pair.** A seed fixes the colours of the data, the start of the network and the order of the samples, for every method
#    alike. So take the difference $d_s$ of two methods on each seed $s$.
# 3. **Widen.** Of twenty 95 % intervals, one is wrong on average. With $m$ comparisons each interval gets the level
#    $1 - 0.05/m$ (Bonferroni), so that all of them hold at once in nineteen of twenty cases.
# 4. **Don't rank methods whose difference could be zero.** A method stands behind another one only if the whole interval of
#    their difference says so. So a rank is a range.

# %%
figures.picture(
    pictures.schematic(),
    takeaway="Three steps, and none may look ahead. What would be wrong if the test seeds were used to choose the settings?",
)

# %% [markdown]
# The interval is Student's, with $\bar d$ for the mean difference, $n$ for the number of seeds, $s_d$ for the standard
# deviation of the differences and $t_{n-1,\,q}$ for the $q$-quantile of Student's distribution with $n-1$ degrees of freedom:
#
# $$\bar d \pm t_{n-1,\;1 - 0.05/(2m)}\; \frac{s_d}{\sqrt n}$$
#
# The core of a fair search, on points in a plane with a shortcut. All that a method brings itself is the list of settings:

# %% tags=["measure", "nbval-ignore-output"]
points, rule = partial(toys.shortcut, n=300), "validation-worst-group"
how = dict(model=models.linear, epochs=5, select=rule, test_every_epoch=True, n_jobs=1, progress=False)
for name, method in {"plain": ERM(), "re-weighting": LossReweighting()}.items():
    tried, scores = library.candidates(library.Trial(name, method, lr=0.05, weight_decay=0.0), 5), []
    for trial in tried:
        settings = dict(lr=trial.lr, weight_decay=trial.weight_decay, seeds=range(900, 903))
        scores.append(library.mean_score(study({name: trial.method}, points, **settings, **how).records, rule))
    best = tried[scores.index(max(scores))]
    tested = study({name: best.method}, points, lr=best.lr, weight_decay=best.weight_decay, seeds=5, **how)
    print(f"{name}: {[f'{s:.2f}' for s in scores]} on validation, then {tested.mean(name)} on test")

# %% [markdown]
# And the library's own code: which settings are tried, and how ranks are made.

# %%
source(library.candidates, Study.ranks)

# %% [markdown]
# ## By hand
#
# Worst-group accuracies of two methods for six seeds. The differences are 3, 6, 2, 5, 3 and 3 points: their mean is 3.67,
# their standard deviation 1.51, and with $t_{5, 0.975} = 2.571$ the interval is 3.67 ± 1.58 points. With eleven comparisons
# $t$ is 4.88, and the interval nearly twice as wide: 3.67 ± 3.00. Here both methods find the same seeds easy, so pairing
# saves much: each of them varies by about six points from seed to seed.

# %%
ours = [0.60, 0.72, 0.55, 0.68, 0.63, 0.70]
theirs = [0.57, 0.66, 0.53, 0.63, 0.60, 0.67]
gains = [a - b for a, b in zip(ours, theirs)]
for comparisons in (1, 11):
    gain = mean_over_seeds(gains, level=1 - 0.05 / comparisons)
    print(f"{comparisons} at once: {gain.value:.4f} ± {gain.high - gain.value:.4f}")
both = dict(ours=ours, theirs=theirs)
paired, unpaired = pictures.half_widths(both)
print(f"correlation {pictures.correlation(both):.2f}: ± {paired:.4f} paired, ± {unpaired:.4f} unpaired")

# %% [markdown]
# ## Turn the knob
#
# How many seeds does it take? Below are searched methods with four groups. First the lead of hard mining over plain training,
# after two seeds, three, and so on. Then all pairs of methods: what did pairing do to the width of their intervals?

# %%
results = here.kept("T10.2")
figures.picture(
    pictures.by_seeds(results, "hard mining", "plain"),
    takeaway="Where does the band leave zero on the left, and where on the right, as one of many comparisons?",
)

# %% [markdown]
# With two seeds, one of many comparisons has a band that is wider than the picture. And a band that has left zero can come
# back with the next seed. So fix the number of seeds before you look. Whoever stops at the first good moment finds a winner.

# %%
figures.picture(
    pictures.pairing(results),
    takeaway="A dot for each pair of methods. Below the line, pairing has narrowed the interval; see on which side those lie.",
)

# %% [markdown]
# In the panel any two methods meet, with their defaults. Find two that ten seeds cannot tell apart. Find two for which pairing
# helps, and two for which it does not.

# %% tags=["widget", "nbval-ignore-output"]
names = tuple(name for name in methods.LECTURE if name != "occam-nets")  # which needs a network with stages
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
# **Who takes part.** Plain training and ten methods of the lectures, with their defaults to start from. (OccamNets need a network
# with stages; [lecture 07](07_occam_nets.ipynb) compares them.) **Where.** On four groups, as above; then with fewer exceptions,
# where one training image in a hundred breaks the pattern instead of five; and with a convolutional network instead of one hidden
# layer, which all other places have. On ten digits with ten *textures*, which makes a hundred groups. On a *long tail*, where
# some digits are a hundred times as rare as others; there a group is a class, and DANN has no domain to hide.
#
# **How.** Five settings each: the defaults; a learning rate three times as large; and with that rate, one change at a time: the
# first value of each of the method's own knobs and a strong weight decay, then the second values. In one place a run is as
# long for all, in epochs, and validation chooses one of them. (An epoch of under-sampling is short: with a hundred groups it is
# a step or two.) Three seeds choose the setting, and others test it. With four groups, validation chooses by the worst group, and that is what we report. A hundred
# groups have ten test digits each, so that the worst of them is mostly chance: there, and on the long tail, it is the mean
# over groups.
#
# This search takes minutes for each place, so the notebook reads its outcome from the receipts. What it tests here, it trains.

# %%
choices = here.kept("T10.1")
figures.picture(
    pictures.searched(choices),
    takeaway="From the open dot (defaults) to the full one (searched). Who would be wronged most by a table of defaults?",
)

# %% [markdown]
# The full dots look a little too good, as the best of five always does. That is why the test has other seeds.
#
# **Robust risk and architecture.** The lecture says that they make models rely on what generalises. Of its methods, Group DRO,
# spectral decoupling and adversarial training change the risk, and DANN changes the architecture. Two things to
# hold them against: plain training, and balanced batches with nothing else. The second is a control: Group DRO has such
# batches, too, so what both reach is no merit of the robust risk. (It does need group labels.)

# %%
here.guess(
    "L10.1",
    "Searched alike, which of the robust risk and architecture methods beat plain training with four groups?",
    "all",
    "some, and these beat balanced batches, too",
    "some, but none beats balanced batches",
    "none",
)

# %% tags=["claim"]
here.claim("L10.1")

# %%
here.where("L10.1")

# %%
figures.picture(
    pictures.leads(results),
    takeaway="The methods stand in the order of the first column. Whose interval lies right of zero in every column?",
)
pictures.ranked(results)

# %% [markdown]
# The last column is the honest rank. Everything between two such numbers is undecided, with so few seeds and so many pairs.
#
# **Balancing.** Five methods give each group the same weight: by weights, by copies, by leaving out, in each batch, or through
# Group DRO. All of them must know the groups in training.

# %%
here.guess(
    "B10.1",
    "Do these five beat plain training by five points or more?",
    "always",
    "where groups are few or classes are rare, and not with a hundred groups",
    "only with four groups",
)

# %% tags=["claim"]
here.claim("B10.1")

# %% [markdown]
# The blue squares of the picture above are these five, place by place.
#
# **Without group labels.** Now take the favourite of those that need none in training, and the favourite of the five. The
# favourite is the one that *validation* likes best; the test has no say. First with default settings, then searched.

# %%
here.guess(
    "B10.2",
    "With four groups, the best method without group labels stays behind balancing by more than five points",
    "with defaults and when searched",
    "with defaults only",
    "never",
)

# %% tags=["claim"]
here.claim("B10.2")

# %%
here.where("B10.2")

# %%
pictures.favourites(choices)

# %% [markdown]
# **Is the order the same elsewhere?** We compare the order of all methods on one seed with their order on another seed of the
# same data. That is the most that can be asked for. Then with their order elsewhere. One is the same order, zero is no
# relation.

# %%
here.guess(
    "B10.3",
    "The order with four groups recurs (rank correlation above one half)",
    "on other seeds and on other data",
    "on other seeds only",
    "not even on other seeds",
)

# %% tags=["claim"]
here.claim("B10.3")

# %%
here.where("B10.3", points=False)

# %% [markdown]
# **The same care for plain training.** Somebody searches for plain training, and takes all methods without group labels at
# their defaults. Whom would that make look good?

# %% tags=["claim"]
here.claim("B10.4")

# %% [markdown]
# If you tune only the new method and leave the others at their defaults, what you measure is the tuning.
#
# **What group labels are worth, and where.** Labels for all training images are expensive, for a small validation set less so. So
# compare two people. One knows the groups in training only, balances them, and chooses by the mean accuracy on validation.
# The other knows them in validation only, trains without, and chooses by the worst group. (Our validation sets hold all groups
# alike, which somebody who knew them had to arrange.)

# %% tags=["claim"]
here.claim("B10.5", "B10.6", "B10.7")

# %% [markdown]
# ## When it breaks
#
# **Wrong labels.** So far labels were right. A digit with a wrong label contradicts its colour just as a rare one does, and its
# loss is high. Now some training labels are wrong, and nobody knows: methods keep the settings that were chosen before.

# %% tags=["claim"]
here.claim("B10.8")

# %% [markdown]
# **What this cannot say.** How the methods rank on *your* data. B10.3 tells how far an order travels. Nor is our search the last
# word: five settings are few, and each method has knobs that nobody turned here. Take it as a protocol, not as a league table.
#
# **What to try first.** What do you know, and what can you afford? Each leaf of the tree rests on claims of this course; follow
# them to the lecture, and read there in which circumstances they hold.

# %%
figures.picture(
    decision.tree(),
    takeaway="A place to start from, not a verdict. Whatever you try, give plain training the same search beside it.",
)

# %% [markdown]
# **On the command line** the same is done with data sets of the course, and with a folder of your own images, which
# `inspect` looks through first:
#
#     debias-course compare --data colored-digits --methods all --trials 5 --search-seeds 3 --seeds 5 --out results
#     debias-course inspect my-images
#     debias-course compare --data my-images --methods erm,group-dro --model resnet18 --out results
#
# It prints a table with differences and ranks, and writes a page with pictures and settings. Interrupted, it goes on where it
# was.
#
# **What the lecture says, what you guessed, what we measured:**

# %% tags=["answers"]
here.answers()

# %% [markdown]
# ## Exercises
#
# `exercises.paired.hint()` helps, `exercises.paired.reveal()` shows a solution.


# %% tags=["exercise"]
# 1. The mean difference of two methods and its interval: lower end, upper end. One number per seed each, and t's quantile.
def paired(ours, theirs, quantile): ...


exercises.paired.check(paired)


# %% tags=["exercise"]
# 2. The accuracy to report, from scores on validation [settings, seeds] and on test [settings]. A diverged run is not a number.
def reported(validation, test): ...


exercises.reported.check(reported)


# %% tags=["exercise"]
# 3. Open: how far without group labels? Return a method that needs none in training and its settings, such as
#    (methods.HardMining(), dict(lr=1e-3, epochs=20)), with a worst group above 0.52 on each of three seeds. How far above can it be?
def without_labels(): ...


exercises.open_experiment.check(without_labels)

# %% [markdown]
# ## Recap
#
# - Give all methods the same search: equally many settings, each method's own knob among them, the epoch chosen by the same
#   rule, on seeds that the test does not use. Plain training, too.
# - Take differences seed by seed. That is right whether it narrows the interval or not.
# - Widen the intervals for the number of comparisons. Don't rank methods whose difference could be zero.
# - Hold a method against a control that isolates what is credited, not against plain training only.
# - Say where you measured. An order of methods is one of data, network and search.
#
# That is where the lecture ends. The methods are `debias_course.methods`: each is one file, and yours can be the next.
# [Lecture 11](11_partners.ipynb) goes beyond it, to methods that need no group labels at all.
#
# **Quiz**
#
# <details><summary>Two methods have overlapping intervals of their own accuracies. Can their difference still be told from
# zero?</summary>Yes. If both find the same seeds easy, that drops out of the paired difference, and its interval can be much
# narrower.</details>
#
# <details><summary>And can the paired interval be wider than the unpaired one?</summary>Yes, if the two are not correlated
# over seeds, or negatively. It is then the unpaired one that is wrong, or lucky: the runs are paired whether we look or
# not.</details>
#
# <details><summary>A new method is tried in fifty settings, the old ones in one. What is wrong?</summary>The best of fifty is
# better by luck and by care alone. Give all the same number, and choose on validation.</details>
#
# <details><summary>All methods are tried in two settings, drawn at random. Is that equal care?</summary>Equal in count only. A
# method whose important knob was not drawn has been tried in one setting twice.</details>
#
# <details><summary>The rank of a method is 2 to 7. What does that say?</summary>At least one method is clearly better. Among the
# methods in between, nobody knows.</details>
#
# ## References
#
# - Student 1908, *The probable error of a mean*, Biometrika.
# - Dunn 1961, *Multiple comparisons among means*, Journal of the American Statistical Association.
# - Demšar 2006, *Statistical comparisons of classifiers over multiple data sets*, Journal of Machine Learning Research.
# - Henderson et al. 2018, *Deep reinforcement learning that matters*, AAAI.
# - Gulrajani and Lopez-Paz 2021, *In search of lost domain generalization*, ICLR (the same search for all).
# - Bouthillier et al. 2021, *Accounting for variance in machine learning benchmarks*, MLSys.
# - Idrissi et al. 2022, *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR.
# - Shrestha, Kafle and Kanan 2022, *An investigation of critical issues in bias mitigation techniques*, WACV.
# - Mogstad, Romano, Shaikh and Wilhelm 2024, *Inference for ranks with applications to mobility across neighbourhoods and
#   academic achievement across countries*, Review of Economic Studies.
