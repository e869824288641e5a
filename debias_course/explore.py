"""The panel of a method: its own fields become widgets, and a picture follows them.

    panel(draw, LossReweighting(), correlation=Knob(0.95, low=0.5, high=1.0, help="..."))

`draw(method, **extra)` returns a matplotlib figure and one sentence; a slow one also takes `progress`, which it calls
with (done, of), and with the figure so far if it likes. It is a plain function: tests call it without a browser.
Pictures go to an Image widget and text to HTML, which work in every front end; there is no Output widget.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets
import torch

from . import figures, models, training
from .data import (
    GroupedData,
    Splits,
    colored_digits,
    domain_digits,
    half_size,
    long_tailed_digits,
    mislabel,
    textured_digits,
    toys,
)
from .evaluation import evaluate
from .methods import (
    DANN,
    ERM,
    METHODS,
    SMOTE,
    AdversarialTraining,
    GroupDRO,
    HardMining,
    Knob,
    Method,
    OccamNets,
    SpectralDecoupling,
    knobs,
)
from .methods.dann import RecordedDANN, fooled, probe
from .methods.group_dro import RecordedGroupDRO
from .methods.hard_mining import RecordedMining
from .methods.occam_nets import ask_exits, leave_by
from .methods.smote import among_others
from .study import Mean, Study, mean_over_seeds, study


def control(name: str, knob: Knob) -> widgets.Widget:
    """The widget of one knob: a drop-down for choices, otherwise a slider over its range."""
    common = dict(description=name, style={"description_width": "7em"}, layout={"width": "22em"}, tooltip=knob.help)
    if knob.choices:
        return widgets.Dropdown(options=knob.choices, value=knob.default, **common)
    common |= dict(continuous_update=False, readout_format=".3g")
    if isinstance(knob.default, int):
        common["readout_format"] = "d"
        return widgets.IntSlider(value=knob.default, min=int(knob.low), max=int(knob.high), **common)
    if knob.log:
        low, high = math.log10(knob.low), math.log10(knob.high)
        return widgets.FloatLogSlider(value=knob.default, min=low, max=high, step=(high - low) / 40, **common)
    step = knob.step or 10 ** math.floor(math.log10((knob.high - knob.low) / 20))
    return widgets.FloatSlider(value=knob.default, min=knob.low, max=knob.high, step=step, **common)


class Panel(widgets.HBox):
    """Controls on the left, picture and sentence on the right.

    controls  the widgets by name: the method's fields first, then the extra knobs
    picture   Image widget with the last drawing
    text      HTML widget with its sentence, or with what is wrong with the setting
    progress  bar that a slow drawing may move
    """

    def __init__(self, draw: Callable[..., tuple[Any, str]], method: Method, **extra: Knob):
        declared = {n: dataclasses.replace(k, default=getattr(method, n)) for n, k in knobs(method).items()}
        self.controls = {name: control(name, knob) for name, knob in (declared | extra).items()}
        self.draw, self.method, self.extra = draw, method, tuple(extra)
        self.slow = "progress" in inspect.signature(draw).parameters
        self.picture = widgets.Image(format="png", layout={"width": "100%", "max_width": "820px"})
        self.text = widgets.HTML()
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "22em", "visibility": "hidden"})
        for each in self.controls.values():
            each.observe(self.update, names="value")
        self.update()
        left = widgets.VBox([*self.controls.values(), self.progress], layout={"flex": "0 0 auto"})
        right = widgets.VBox([self.picture, self.text], layout={"flex": "1 1 24em", "overflow": "hidden"})
        super().__init__([left, right], layout={"flex_flow": "row wrap"})

    def update(self, _change: Any = None) -> None:
        """Draw the current setting; a setting that the method refuses is explained below the last picture."""
        values = {name: each.value for name, each in self.controls.items()}
        extra = {name: values.pop(name) for name in self.extra}
        if self.slow:
            extra["progress"] = self.show_progress
        try:
            figure, sentence = self.draw(dataclasses.replace(self.method, **values), **extra)
        except (ValueError, FloatingPointError) as error:
            self.text.value = f"<b>Not possible:</b> {html.escape(str(error))}"
            return
        self.picture.value = figures.png(figure)
        self.text.value = html.escape(sentence)

    def show_progress(self, done: int, of: int, figure: Any = None) -> None:
        """Move the bar, which is visible while something is going on, and show the drawing so far if there is one."""
        if figure is not None:
            self.picture.value = figures.png(figure)
        self.progress.value = done / of
        self.progress.layout.visibility = "visible" if done < of else "hidden"

    def __repr__(self) -> str:
        return f"Panel of {type(self.method).__name__}: {', '.join(self.controls)}"


def panel(draw: Callable[..., tuple[Any, str]], method: Method, **extra: Knob) -> Panel:
    """A panel of `method`'s fields and the `extra` knobs; see the module's text."""
    return Panel(draw, method, **extra)


@functools.lru_cache(maxsize=256)
def fit_shortcut(method: Method, correlation: float, hidden: int = 0, steps: int = 100):
    """Data and a model of the shortcut toy, trained with whole-batch steps in well under a tenth of a second."""
    data = toys.shortcut(correlation=correlation)
    start = models.mlp(data.train, hidden=(hidden,)) if hidden else models.linear(data.train)
    settings = dict(epochs=steps, batch_size=len(data.train), lr=0.05, device="cpu")
    return data, training.train(start, data.train, method, **settings).model


def draw_shortcut(method: Method, *, correlation: float = 0.95, hidden: int = 0):
    """Plain training beside `method` on the shortcut toy: decision regions and test accuracy per group."""
    data, plain = fit_shortcut(ERM(), correlation, hidden)
    trained = {"plain training": plain}
    if method != ERM():
        trained["this setting"] = fit_shortcut(method, correlation, hidden)[1]
    reports = {name: evaluate(model, data.test) for name, model in trained.items()}
    columns = len(trained) + 1
    figure, axes = figures.new_figure(3.4 * columns, 3.6, 1, columns, layout="none")
    figure.subplots_adjust(left=0.2 / columns, right=0.99, top=0.8, bottom=0.17, wspace=0.3)
    figures.regions(trained, _every(data.train, 2), axes=axes[:-1])
    figures.group_bars(reports, axis=axes[-1])
    return figure, " · ".join(_worst(name, report) for name, report in reports.items())


def draw_digits(method: Method, *, correlation: float = 0.95, epochs: int = 10, progress=None):
    """Validation accuracy per group while a network trains on coloured digits, and its test report."""
    data = colored_digits(correlation=correlation)
    settings = dict(epochs=epochs, validation=data.validation, progress=progress or False)
    run = training.train(models.mlp(data.train), data.train, method, **settings)
    figure, axis = figures.new_figure(7.0, 3.8)
    lines = {
        name: (rows["epoch"].tolist(), rows["accuracy"].tolist())
        for name, rows in run.history.groupby("group", sort=False)
    }
    figures.curves(lines, x="epoch", y="validation accuracy", axis=axis, ylim=(0, 1.02))
    return figure, _worst("on test", evaluate(run.model, data.test, train=data.train))


def draw_mining(method: HardMining, *, wrong: float = 0.0, epochs: int = 20, progress=None):
    """Logistic regression on coloured digits, some of them with wrong labels: where the kept samples come from, epoch
    by epoch, and what the worst group gains over plain training."""
    splits = colored_digits()
    clean, noisy = splits.train, mislabel(splits.train, wrong)
    marked = dataclasses.replace(  # each sample counted by what it is: its true group, or a wrong label
        clean,
        labels=noisy.labels,
        attributes=(clean.labels != clean.attributes).long() + 2 * (noisy.labels != clean.labels),
        attribute_names=("pattern", "against it", "wrong label", "wrong label, against it"),
    )
    settings = dict(epochs=epochs, batch_size=512, validation=splits.validation, select="validation-worst-class")
    mined = RecordedMining(**{name: getattr(method, name) for name in knobs(method)})
    run = training.train(models.linear(marked), marked, mined, progress=progress or False, **settings)
    plain = training.train(models.linear(noisy), noisy, ERM(), **settings)
    figure, axes = figures.new_figure(9.0, 3.8, 1, 2)
    if run.state.kept:
        kept = _shares(run.state.kept).view(-1, 2, 4).sum(1)
        rows = [kept[:, 0], kept[:, 1], kept[:, 2:].sum(1)]
        names = ("follows the pattern", "against the pattern", "wrong label")
        shares = {name: row.tolist() for name, row in zip(names, rows) if row.any()}
        figures.bands(shares, x="epoch", y="share of what is kept", start=min(run.state.kept), axis=axes[0])
    else:
        axes[0].set(title="every epoch trained plainly: nothing was chosen", xticks=[], yticks=[])
    reports = {"plain": evaluate(plain.model, splits.test), "mining": evaluate(run.model, splits.test)}
    figures.group_bars(reports, axis=axes[1])
    return figure, " · ".join(_worst(name, report) for name, report in reports.items())


def draw_smote(method: SMOTE, *, rare: int = 20):
    """New samples on the plane of two islands, and what a small network makes of them."""
    data = toys.islands(rare=rare)
    train, n = data.train, len(data.train)
    enlarged = method.enlarge(train, generator=torch.Generator().manual_seed(0))
    wrong = among_others(enlarged.inputs[n:], enlarged.labels[n:], train.inputs, train.labels)
    settings = dict(epochs=60, batch_size=500, lr=0.05, device="cpu")
    start = models.mlp(train, hidden=(16,))
    run = training.train(start, train, method, **settings)
    figure, axes = figures.new_figure(8.6, 4.0, 1, 2, layout="none")
    figure.subplots_adjust(left=0.08, right=0.99, top=0.82, bottom=0.14, wspace=0.25)
    figures.new_samples(enlarged, n, wrong, axis=axes[0])
    figures.regions({f"trained with new {method.space}s": run.model}, train, axes=axes[1:])
    axes[1].set(xlabel="first coordinate", ylabel="")
    share = f"{int(wrong.sum())} of {len(wrong)} new samples lie among the others"
    return figure, f"{share} · {_worst('on test', evaluate(run.model, data.test))}"


def draw_group_dro(method: GroupDRO, *, weight_decay: float = 0.0, epochs: int = 10, progress=None):
    """Group DRO on coloured digits: the groups' weights and training losses, while it trains, and its test report."""
    data = colored_digits()
    watched = RecordedGroupDRO(**{f.name: getattr(method, f.name) for f in dataclasses.fields(method)})

    def figure():
        drawn, axes = figures.new_figure(9.0, 3.8, 1, 2)
        for axis, part, name in (axes[0], 0, "weight of the group"), (axes[1], 1, "training loss of the group"):
            rows = torch.stack([step[part].cpu() for step in watched.trace])
            rows = rows.unfold(0, min(10, len(rows)), 1).mean(2)  # over ten steps
            lines = {group: (range(len(rows)), rows[:, g].tolist()) for g, group in enumerate(data.train.group_names)}
            figures.curves(lines, x="step", y=name, axis=axis, ylim=(0, 1.02 if part == 0 else None))
        return drawn

    def told(done, of):
        if progress:
            progress(done, of, figure() if done < of else None)

    settings = dict(epochs=epochs, weight_decay=weight_decay, validation=data.validation, progress=told)
    run = training.train(models.mlp(data.train), data.train, watched, **settings)
    return figure(), _worst("on test, after the last epoch", evaluate(run.model, data.test))


def draw_moons(method: SpectralDecoupling, *, gap: float = 0.1):
    """Plain training beside `method` on two half circles that were pulled apart, and the right answers where they
    interlock again."""
    data = toys.moons(gap=gap)
    trained = {"plain training": fit_moons(ERM(), gap), "this setting": fit_moons(method, gap)}
    figure, axes = figures.new_figure(9.0, 3.9, 1, 3, layout="none")
    figure.subplots_adjust(left=0.09, right=0.99, top=0.88, bottom=0.15, wspace=0.25)
    figures.regions(trained, data.train, axes=axes[:2])
    figures.regions({"this setting, on test": trained["this setting"]}, data.test, axes=axes[2:])
    for axis in axes:
        axis.set(xlabel="first coordinate", ylabel="", xlim=(-2, 2), ylim=(-1.8, 1.8))
    axes[0].set(ylabel="second coordinate")
    shares = {name: evaluate(model, data.test).overall.value for name, model in trained.items()}
    return figure, " · ".join(f"{name}: {share:.2f} right on test" for name, share in shares.items())


@functools.lru_cache(maxsize=256)
def fit_moons(method: Method, gap: float):
    """A network of 64 hidden units, trained on `toys.moons` with 300 whole-batch steps: about a tenth of a second."""
    part = toys.moons(gap=gap).train
    settings = dict(epochs=300, batch_size=len(part), lr=0.02, device="cpu")
    return training.train(models.mlp(part, hidden=(64,)), part, method, **settings).model


@functools.lru_cache(maxsize=8)
def fit_digits(method: Method):
    """Grey digits and a small network that `method` trained on them, in a second or two."""
    data = long_tailed_digits(ratio=1)
    settings = dict(epochs=10, batch_size=64, lr=2e-3, device="cpu")
    return data, training.train(models.mlp(data.train), data.train, method, **settings).model


def draw_adversarial_training(method: AdversarialTraining, *, digit: int = 7, done: float = 1.0):
    """The attack of `method` on one digit, against two networks that were trained once, plainly and adversarially: what
    is added, and what they say before and after. `done` is the share of training, for the ramp."""
    rows, sentences = {}, []
    for name, how in {"plain\ntraining": ERM(), "adversarial\ntraining": AdversarialTraining(steps=2)}.items():
        data, model = fit_digits(how)
        sample = data.test.batch((data.test.labels == digit).nonzero()[0])
        state = method.start(model, data.train)
        state.progress, state.generator = done, torch.Generator().manual_seed(0)
        moved = method.attacked(model, sample, state)
        with torch.no_grad(), models.evaluating(model):
            shares = torch.softmax(model(torch.cat([sample.inputs, moved])), 1).max(1)
        said = [f"says {label} ({share:.0%})" for share, label in zip(shares.values.tolist(), shares.indices.tolist())]
        rows[name] = (sample.inputs[0], moved[0], *said)
        plain = name.replace("\n", " ")
        sentences.append(f"{plain}: {said[0]}, after the attack {said[1].removeprefix('says ')}")
    return figures.perturbations(rows), " · ".join(sentences)


def draw_dann(method: DANN, *, digits: str = "coloured", epochs: int = 8, progress=None):
    """Adversarial training on small digits, in ten colours that go with the label or in two domains: both losses while
    it trains, and then what is read from the features by the label's head, the discriminator and a fresh probe."""
    data = half_size(colored_digits(classes=10) if digits == "coloured" else domain_digits())
    watched = RecordedDANN(**{f.name: getattr(method, f.name) for f in dataclasses.fields(method)})
    start = models.mlp(data.train, hidden=(100, 100)) if digits == "coloured" else models.cnn(data.train)

    def figure(rows=None):
        drawn, axes = figures.new_figure(9.0, 3.8, 1, 2)
        losses = torch.stack([torch.stack(both) for both in watched.trace]).cpu()
        losses = losses.unfold(0, min(10, len(losses)), 1).mean(2)  # over ten steps
        names = {"label": losses[:, 0], "domain": losses[:, 1]}
        lines = {f"of the {name}": (range(len(column)), column.tolist()) for name, column in names.items()}
        level = math.log(data.train.n_attributes)
        lines["of guessing the domain"] = ([0, len(losses) - 1], [level] * 2)
        figures.curves(lines, x="step", y="training loss", axis=axes[0], ylim=(0, 1.6 * level))
        if rows:
            axes[1].barh(list(rows), [share.value for share in rows.values()], color=figures.PALETTE[: len(rows)])
            chance = 1 / data.train.n_attributes
            axes[1].axvline(chance, color="black", linestyle="--", label="chance, for the domain")
            axes[1].set(xlim=(0, 1.02), xlabel="share of the test samples that are right")
            axes[1].legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=10)
            axes[1].invert_yaxis()
        else:
            axes[1].set_axis_off()
        return drawn

    def told(done, of):
        if progress:
            progress(done, of, figure() if done < of else None)

    settings = dict(epochs=epochs, optimizer="sgd", lr=0.05, progress=told)
    run = training.train(start, data.train, watched, **settings)
    report = evaluate(run.model, data.test)
    if digits == "coloured":
        rows = {"label": report.overall}
    else:
        parts = {name: data.test.subset(data.test.attributes == i) for i, name in enumerate(data.test.attribute_names)}
        rows = {f"label, {name}": evaluate(run.model, part).overall for name, part in parts.items()}
    rows["discriminator"] = fooled(watched, run.model, run.state, data.test)
    rows["fresh probe"] = probe(run.model, data.validation, data.test, method=watched)
    return figure(rows), "right on test: " + " · ".join(f"{name} {share.value:.2f}" for name, share in rows.items())


OCCAM = dict(epochs=10, batch_size=64, lr=0.01)  # as in lecture 07
_occam: dict[tuple, tuple] = {}


def fit_occam(method: OccamNets, *, epochs: int = OCCAM["epochs"], progress=None):
    """An OccamNet trained on small coloured digits, its test data, and what its exits say of them. Trained once for a
    setting, whatever its threshold, which training does not look at."""
    key = dataclasses.replace(method, threshold=0.5), epochs
    if key not in _occam:
        data = half_size(colored_digits(classes=10))
        settings = OCCAM | dict(epochs=epochs, progress=progress or False)
        model = training.train(models.staged(data.train), data.train, key[0], **settings).model
        _occam[key] = model, data.test, ask_exits(model, data.test)
    return _occam[key]


def draw_occam_nets(method: OccamNets, *, progress=None, **fit):
    """By which exit coloured digits leave, and how often each exit is right; see `fit_occam`."""
    _, test, said = fit_occam(method, progress=progress, **fit)
    chosen = leave_by(said.gates, method.threshold if method.gates == "yes" else math.inf)
    return exits_figure(test, said.logits.argmax(2) == test.labels, chosen)


def exits_figure(test: GroupedData, right: torch.Tensor, chosen: torch.Tensor):
    """Bars of what `test` samples with their label's own attribute (aligned) and others (conflicting) do: the exit they
    leave by, `chosen` [N], and whether each exit is right, bool [E, N]. Figure and sentence."""
    aligned = test.labels == test.attributes
    kinds = {"aligned": aligned, "conflicting": ~aligned}
    exits = [f"exit {number}" for number in range(len(right))]
    taken = {
        name: [float((chosen[rows] == e).float().mean()) for e in range(len(right))] for name, rows in kinds.items()
    }
    leaving = right.gather(0, chosen[None])[0]
    hits = {name: [float(each[rows].float().mean()) for each in (*right, leaving)] for name, rows in kinds.items()}
    figure, axes = figures.new_figure(9.0, 3.6, 1, 2, width_ratios=(3, 4))
    figures.bars(taken, places=exits, y="share that leaves here", axis=axes[0], ylim=(0, 1.02))
    figures.bars(hits, places=[*exits, "as they leave"], y="test accuracy", axis=axes[1], ylim=(0, 1.02))
    depth = {name: float(chosen[rows].float().mean()) for name, rows in kinds.items()}
    parts = [f"{name}: accuracy {hits[name][-1]:.2f}, leave by exit {depth[name]:.2f} on average" for name in kinds]
    return figure, " · ".join(parts)


COMPARED = {"coloured": colored_digits, "textured": textured_digits, "long-tailed": long_tailed_digits}


def small_digits(name: str, seed: int) -> Splits:
    """One of the three data sets of lecture 10 at half the resolution: four groups, ten by ten groups, ten labels."""
    return half_size(COMPARED[name](seed=seed))


def draw_comparison(
    _: Method,
    *,
    digits: str = "coloured",
    ours: str,
    theirs: str = "erm",
    seeds: int = 5,
    at_once: int = 1,
    progress=None,
):
    """Two methods with their defaults, seed by seed, and their mean difference with its interval, as wide as it has to
    be for one of `at_once` comparisons: paired by seed, and as if nobody knew which runs belong together."""
    if ours == theirs:
        raise ValueError(f"both are {ours}; choose another method for one side")
    methods = {name: METHODS[name]() for name in (theirs, ours)}
    how = dict(epochs=10, select="validation-worst-group", progress=False, n_jobs=1, device="cpu")
    records = []
    for seed in range(seeds):
        records += study(methods, partial(small_digits, digits), seeds=[seed], **how).records
        if progress:
            progress(seed + 1, seeds)
    found = Study(list(methods), methods, list(range(seeds)), records)
    values = {name: [found.value(name, seed) for seed in found.seeds] for name in methods}
    gain = found.difference(ours, theirs, level=1 - 0.05 / at_once)
    return duel_figure(values, gain), f"{ours} minus {theirs}: {gain}, {told_apart(ours, theirs, gain)}"


def told_apart(ours: str, theirs: str, gain: Mean) -> str:
    if gain.low <= 0 <= gain.high:
        return "not told apart"
    return f"{ours if gain.value > 0 else theirs} is ahead"


def duel_figure(values: Mapping[str, Sequence[float]], gain: Mean):
    """Worst groups of two methods, name -> one per seed, joined by seed; and their difference with its interval."""
    from scipy.special import stdtrit

    figure, axes = figures.new_figure(9.0, 3.6, 1, 2, width_ratios=(3, 4))
    theirs, ours = values
    for pair in zip(*values.values()):
        axes[0].plot([0, 1], pair, color=figures.PALETTE[6], marker="o", alpha=0.6)
    axes[0].set(xticks=[0, 1], xticklabels=[theirs, ours], xlim=(-0.3, 1.3), ylim=(0, 1))
    axes[0].set_ylabel("test accuracy, worst group")
    means = [mean_over_seeds(each, gain.level) for each in values.values()]
    degrees = len(values[ours]) - 1
    wider = stdtrit(2 * degrees, (1 + gain.level) / 2) / stdtrit(degrees, (1 + gain.level) / 2) if degrees else 1.0
    unpaired = wider * math.hypot(*(mean.high - mean.value for mean in means))
    for i, half in enumerate((gain.high - gain.value, unpaired)):
        style = dict(color=figures.PALETTE[i], marker=figures.MARKERS[i], markersize=8, capsize=5)
        axes[1].errorbar([gain.value], [-i], xerr=[half] if half < math.inf else None, **style)
    axes[1].axvline(0, color="black", linewidth=1)
    axes[1].set(yticks=[0, -1], yticklabels=["paired\nby seed", "as if\nunpaired"], ylim=(-1.6, 0.6))
    axes[1].set_xlabel(f"{ours} minus {theirs}, {100 * gain.level:.3g} % interval")
    return figure


def _shares(counts: dict[int, Any]):
    """Counts per group of each epoch -> shares, float [epochs, groups]."""
    table = torch.stack([counts[epoch] for epoch in sorted(counts)]).float()
    return table / table.sum(1, keepdim=True)


def _every(data: GroupedData, k: int) -> GroupedData:
    """Every k-th sample, so that a picture is not too full."""
    return data.subset(torch.arange(0, len(data), k))


def _worst(name: str, report) -> str:
    return f"{name}: group-balanced {report.group_balanced.value:.2f}, worst group {report.worst_group.value:.2f}"
