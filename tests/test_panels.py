"""panels: widgets made from a method's own fields; callbacks are plain functions."""

import base64
import importlib.util
import io
import math
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import ipywidgets as widgets
import nbformat
import pytest
import torch
from PIL import Image

from debias_course import training
from debias_course.data import toys
from debias_course.figures import new_figure
from debias_course.lectures import panels
from debias_course.lectures.adversarial_training.panel import draw_adversarial_training
from debias_course.lectures.dann.panel import draw_dann
from debias_course.lectures.dataset_bias.panel import draw_digits, draw_shortcut
from debias_course.lectures.group_dro.panel import draw_group_dro
from debias_course.lectures.hard_example_mining.panel import draw_mining
from debias_course.lectures.method_comparison.panel import draw_comparison
from debias_course.lectures.method_comparison.pictures import duel
from debias_course.lectures.occam_nets.panel import draw_occam_nets, exits_figure
from debias_course.lectures.smote.panel import draw_smote
from debias_course.lectures.spectral_decoupling.panel import draw_moons
from debias_course.methods import (
    DANN,
    ERM,
    LECTURE,
    METHODS,
    SMOTE,
    AdversarialTraining,
    DrawnMining,
    GroupDRO,
    HardMining,
    InputSMOTE,
    Knob,
    LossReweighting,
    Method,
    OccamNets,
    SpectralDecoupling,
    knob,
    knobs,
)
from debias_course.study import mean_over_seeds


@dataclass(frozen=True, kw_only=True)
class Example(Method):
    """min nothing"""

    step: float = knob(0.01, low=1e-4, high=1.0, log=True, help="a step")
    depth: int = knob(3, low=1, high=9, help="a depth")
    kind: str = knob("a", choices=("a", "b"), help="a kind")
    twice: bool = knob(True, help="a yes or no")


def drawing(method, **extra):
    """A line of some depth."""
    if extra.get("level") == 0.0:
        raise ValueError("level 0 makes no <picture>")
    figure, axis = new_figure(2, 2, layout="none")
    axis.plot([0, 1], [0, getattr(method, "depth", 1)])
    return figure, f"{method} {extra}"


def test_every_field_becomes_its_widget():
    made = panels.panel(drawing, Example(depth=5), level=Knob(0.5, low=0.0, high=1.0))
    assert isinstance(made.controls["step"], widgets.FloatLogSlider)
    assert isinstance(made.controls["depth"], widgets.IntSlider) and made.controls["depth"].value == 5
    assert made.controls["kind"].options == ("a", "b")
    assert isinstance(made.controls["twice"], widgets.Checkbox) and made.controls["twice"].value is True
    assert (made.controls["level"].min, made.controls["level"].max) == (0.0, 1.0)
    assert made.controls["depth"].description == "<b>depth</b> a depth"
    assert all(not each.continuous_update for each in made.controls.values() if hasattr(each, "continuous_update"))


@pytest.mark.parametrize("kind", METHODS.values())
def test_every_value_that_a_widget_offers_is_legal(kind):
    for name, declared in knobs(kind).items():
        made = panels.control(name, declared)
        ends = declared.choices or (made.min, made.max)
        if declared.log:
            ends = (10**made.min, 10**made.max)
        for value in ends:
            assert getattr(kind(**{name: value}), name) == value


def shown_picture(made):
    return Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]*)", made.shown.value)[1])))


def is_dim(made):
    return "debias-panel-old" in made.shown._dom_classes


@pytest.mark.parametrize("kind", ["step", "kind", "twice"])
def test_every_control_says_what_it_is(kind):
    declared = Knob(knobs(Example)[kind].default, **LEGAL[kind], help="less < is more", label="a word (epochs)")
    made = panels.panel(drawing, Example(), level=declared)
    assert made.controls["level"].description == "<b>a word (epochs)</b> less &lt; is more"
    assert made.controls["level"].description_allow_html and "a word (epochs)" in made.shown.value


LEGAL = {"step": dict(low=1e-4, high=1.0, log=True), "kind": dict(choices=("a", "b")), "twice": {}}


def test_readers_see_words_and_not_the_names_of_fields():
    made = panels.panel(draw_shortcut, LossReweighting(), aligned_share=Knob(0.95, low=0.5, high=0.99))
    assert "<b>aligned share</b>" in made.controls["aligned_share"].description
    for kind in METHODS.values():
        assert not any("_" in panels.label(name, declared) for name, declared in knobs(kind).items())


def test_moving_a_control_redraws():
    made = panels.panel(drawing, Example(), level=Knob(0.5, low=0.0, high=1.0))
    before = shown_picture(made)
    made.controls["depth"].value = 9
    made.controls["twice"].value = False
    assert shown_picture(made) != before and "depth=9" in made.shown.value and "twice=False" in made.shown.value
    assert shown_picture(made).format == "PNG" and not is_dim(made)
    setting = re.search(r"Setting: ([^<]*)<", made.shown.value)[1]
    assert setting == "step 0.01 · depth 9 · kind a · twice no · level 0.5"
    assert re.search(r'alt="([^"]*)"', made.shown.value)[1] == f"A line of some depth. {setting}"


def test_picture_setting_and_sentence_change_in_one_message(monkeypatch):
    made = panels.panel(drawing, Example())
    sent = []
    monkeypatch.setattr(made.shown, "_send", lambda message, buffers=None: sent.append(message["state"]))
    made.controls["depth"].value = 9
    dimmed, changed = sent
    assert list(dimmed) == ["_dom_classes"] and "debias-panel-old" in dimmed["_dom_classes"]
    assert set(changed) == {"_dom_classes", "value"} and "debias-panel-old" not in changed["_dom_classes"]
    assert "Setting: step 0.01 · depth 9" in changed["value"] and "depth=9" in changed["value"]


def test_a_setting_that_is_refused_is_explained_and_the_picture_stays_dim():
    made = panels.panel(drawing, Example(), level=Knob(0.5, low=0.0, high=1.0))
    before = made.shown.value
    made.controls["level"].value = 0.0
    assert "<b>Not possible:</b> level 0 makes no &lt;picture&gt;" in made.note.value
    assert made.shown.value == before and is_dim(made) and "level 0.5" in before
    made.controls["level"].value = 0.7
    assert made.note.value == "" and not is_dim(made) and "level 0.7" in made.shown.value


def test_a_refusal_by_the_method_itself_is_explained_too():
    made = panels.panel(lambda method: drawing(method), DANN())
    made.controls["conditional"].value = True
    made.controls["labelled"].value = "first domain"
    assert "Not possible:" in made.note.value and "needs the labels of all domains" in made.note.value and is_dim(made)


def slow(method, *, progress):
    """Slow."""
    for done in range(5):
        progress(done, 5, lambda done=done: (drawing(method)[0], f"after {done}"))
    return drawing(method)


def test_a_slow_drawing_begins_when_the_panel_is_displayed(monkeypatch):
    """So that its first pictures are seen; what is stored in the notebook is the last one."""
    bundles, made = [], panels.panel(slow, Example())
    assert made.shown.value == ""

    def display(bundle, **how):
        bundles.append(bundle)
        return SimpleNamespace(update=lambda bundle, **how: bundles.append(bundle))

    monkeypatch.setattr("IPython.display.display", display)
    made._ipython_display_()
    assert all("application/vnd.jupyter.widget-view+json" in bundle for bundle in bundles)
    assert "text/html" not in bundles[0] and "depth=3" in bundles[1]["text/html"]
    made._ipython_display_()
    assert len(bundles) == 3  # it is there already


def test_a_quick_drawing_is_stored_with_its_picture():
    made = panels.panel(drawing, Example())
    page = made._repr_mimebundle_()["text/html"]
    assert 'alt="A line of some depth. step 0.01' in page and "Setting: step 0.01 · depth 3" in page
    assert len(page) < 1.2 * len(made.shown.value)
    made.controls["depth"].value = 4
    assert "depth 4" in made._repr_mimebundle_()["text/html"]


@pytest.mark.slow
def test_an_executed_notebook_keeps_the_last_picture_and_no_widget(tmp_path, monkeypatch):
    script = Path(__file__).parents[1] / "notebooks" / "execute.py"
    spec = importlib.util.spec_from_file_location("execute", script)
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    (tmp_path / "text").mkdir()
    lines = ["from debias_course.lectures.group_dro.panel import draw_group_dro", "from debias_course.methods import *"]
    lines += ["from debias_course.lectures.panels import panel", "panel(draw_group_dro, GroupDRO(step_size=0.1))"]
    (tmp_path / "text" / "99_panel.py").write_text("\n".join(["# %%", *lines]))
    monkeypatch.setattr(execute, "HERE", tmp_path)
    execute.execute("99_panel")
    (output,) = nbformat.read(tmp_path / "99_panel.ipynb", as_version=4).cells[0].outputs
    assert set(output.data) == {"text/plain", "text/html"}
    assert 'alt="Group DRO on coloured digits' in output.data["text/html"]
    assert "step size 0.1" in output.data["text/html"] and "<em>on test, after the last" in output.data["text/html"]


def test_pictures_of_a_training_keep_their_distance(monkeypatch):
    """The first is shown at once, the others not more often than every `PAUSE`, and never all the time."""
    seen, clock, cost = [], [100.0], 0.02

    def slow(method, *, progress):
        def so_far(done):
            clock[0] += cost
            seen.append(done)
            return drawing(method)[0], f"so far {done}"

        for done in range(21):
            progress(done, 20, partial(so_far, done))
            assert made.progress.value == done / 20 and made.progress.layout.visibility == "visible"
            assert "so far" in made.shown.value or seen == []
            clock[0] += 0.1
        return drawing(method)

    monkeypatch.setattr(panels, "monotonic", lambda: clock[0])
    made = panels.panel(slow, Example())
    made.update()
    assert seen == [0, 4, 8, 12, 16, 20][: len(seen)] and len(seen) > 4 and "so far" not in made.shown.value
    assert made.progress.layout.visibility == "hidden"
    seen.clear()
    made.controls["depth"].value = 4
    assert seen[0] in (3, 4)  # there is a picture, if a dim one
    seen.clear()
    cost = 0.5
    made.controls["depth"].value = 5
    assert len(seen) < 3


def test_a_knob_that_does_nothing_is_grey_and_says_why():
    @panels.drawing(idle=lambda method, level: {"depth": "no <step>.", "kind": ""} if level == 0.2 else {})
    def told(method, *, level):
        return drawing(method)

    made = panels.panel(told, Example(), level=Knob(0.5, low=0.0, high=1.0))
    assert not made.controls["depth"].disabled and "depth 3" in made.shown.value
    made.controls["level"].value = 0.2
    assert (
        made.controls["depth"].disabled and "Does nothing here: no &lt;step&gt;." in made.controls["depth"].description
    )
    assert (
        made.controls["kind"].layout.display == "none" and "Setting: step 0.01 · twice yes · level" in made.shown.value
    )
    made.controls["level"].value = 0.5
    assert made.controls["depth"].description == "<b>depth</b> a depth" and not made.controls["depth"].disabled
    assert made.controls["kind"].layout.display is None


def test_a_drawing_may_narrow_a_range():
    @panels.drawing(depth=Knob(3, low=1, high=5))
    def told(method):
        return drawing(method)

    made = panels.panel(told, Example(depth=4))
    assert (made.controls["depth"].value, made.controls["depth"].max) == (4, 5)
    assert panels.panel(draw_occam_nets, OccamNets(live_epochs=5)).controls["live_epochs"].max == 4


SHARE = dict(aligned_share=0.9)
IDLE = [  # a drawing, a method at which knobs do nothing, and the other knobs
    (draw_shortcut, LossReweighting(by="label"), SHARE),
    (draw_shortcut, LossReweighting(power=0.0), SHARE),
    (draw_shortcut, LossReweighting(), SHARE),
    (draw_digits, LossReweighting(), dict(aligned_share=0.95, epochs=5)),
    (draw_smote, InputSMOTE(k=3, interpolation="repeat"), {}),
    (draw_moons, SpectralDecoupling(strength=0.0), {}),
    (draw_mining, DrawnMining(keep=1.0), {}),
    (draw_mining, DrawnMining(keep=0.1, warm_up=20), {}),
    (draw_mining, HardMining(keep=0.1, warm_up=5), {}),
    (draw_adversarial_training, AdversarialTraining(), dict(done=1.0)),
    (draw_adversarial_training, AdversarialTraining(ramp=0.0), dict(done=0.4)),
    (draw_adversarial_training, AdversarialTraining(radius=0.0), dict(done=0.4)),
    (draw_adversarial_training, AdversarialTraining(steps=0), dict(done=0.4)),
    (draw_adversarial_training, AdversarialTraining(reach=0.0, random_start=False), dict(done=0.4)),
    (draw_adversarial_training, AdversarialTraining(steps=0, reach=0.0, random_start=False), dict(done=0.4)),
    (draw_dann, DANN(strength=0.0), dict(epochs=1)),
    (draw_occam_nets, OccamNets(exits="light", live_epochs=5), {}),
    (draw_occam_nets, OccamNets(exits="light", first_accuracy=1.0, last_accuracy=1.0), {}),
]
NAMES = [f"{draw.__name__} {method}" for draw, method, _ in IDLE]


@pytest.mark.slow
@pytest.mark.parametrize("draw, method, extra", IDLE, ids=NAMES)
def test_a_grey_knob_does_nothing(draw, method, extra):
    """Wherever it is set, the picture is the same; and it is not grey without another one that could free it."""
    idle = draw.idle(method, **extra)
    assert idle and set(idle) < {*knobs(method), *extra}
    figure, sentence = draw(method, **extra)
    image = panels.png(figure)
    for name in idle:
        declared = knobs(method).get(name) or Knob(0.0, low=0.0, high=1.0)
        for value in declared.choices or (declared.low, (declared.low + declared.high) / 2, declared.high):
            value = value if declared.choices else type(declared.default)(value)
            moved = (method, extra | {name: value}) if name in extra else (replace(method, **{name: value}), extra)
            other, said = draw(moved[0], **moved[1])
            if idle[name]:
                assert (said, panels.png(other)) == (sentence, image), f"{name}={value}"
            else:  # it is not shown, as it does next to nothing
                numbers = [[float(each) for each in re.findall(r"\d\.\d\d", text)] for text in (said, sentence)]
                assert numbers[0] == pytest.approx(numbers[1], abs=0.02), f"{name}={value}"


def test_no_output_widget_anywhere():
    def walk(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    made = panels.panel(drawing, Example())
    assert not any(isinstance(each, widgets.Output) for each in walk(made))
    assert repr(made) == "Panel of Example: step, depth, kind, twice"


@pytest.mark.slow
def test_the_toy_drawing_shows_the_lesson():
    """Weighting levels the boundary: the sentence below the picture says that the worst group gains."""
    _, sentence = draw_shortcut(LossReweighting(), aligned_share=0.95)
    plain, weighted = (float(part.rsplit(" ", 1)[1]) for part in sentence.split(" · "))
    assert weighted > plain + 0.2


def test_the_digits_drawing_trains_in_the_open():
    seen = []
    figure, sentence = draw_digits(LossReweighting(), epochs=2, progress=lambda *at: seen.append(at))
    assert [at[:2] for at in seen] == [(0, 2), (1, 2), (2, 2)] and sentence.startswith("on test: group-balanced")
    assert [line.get_label() for line in figure.axes[0].lines] == [
        "digit<5, orange",
        "digit<5, blue",
        "digit≥5, orange",
        "digit≥5, blue",
    ]


@pytest.mark.slow
def test_the_mining_drawing_tells_rare_from_wrong():
    seen = []
    method = HardMining(keep=0.1, warm_up=2)
    figure, sentence = draw_mining(method, wrong=0.1, epochs=4, progress=lambda *at: seen.append(at))
    assert seen[-1] == (4, 4) and sentence.startswith("plain: group-balanced")
    bands = [area.get_label() for area in figure.axes[0].collections]
    assert bands == ["follows the pattern", "against the pattern", "wrong label"] and figure.axes[0].get_xlim() == (
        3,
        4,
    )
    clean = draw_mining(method, epochs=4)[0]
    assert [area.get_label() for area in clean.axes[0].collections] == bands[:2]
    drawn = draw_mining(DrawnMining(keep=0.1, warm_up=2), wrong=0.1, epochs=4)[0]
    assert [area.get_label() for area in drawn.axes[0].collections] == bands
    nothing = draw_mining(HardMining(warm_up=4), epochs=4)[0]
    assert "nothing was chosen" in nothing.axes[0].get_title()


def test_the_smote_drawing_counts_what_lands_among_the_others():
    counts = {}
    for name, method in {"few": SMOTE(k=5), "many": SMOTE(k=15), "apart": SMOTE(k=9, by="group")}.items():
        figure, sentence = draw_smote(method)
        counts[name] = int(sentence.split(" of 180 new samples")[0])
    assert counts["few"] <= 5 and counts["apart"] <= 5 and counts["many"] > 20
    assert "new, among others" in figure.axes[0].get_legend_handles_labels()[1] or counts["apart"] == 0
    titles = [draw_smote(kind(k=5))[0].axes[1].get_title() for kind in (SMOTE, InputSMOTE)]
    assert titles == ["trained with new embeddings", "trained with new inputs"]
    with pytest.raises(ValueError, match=r"rare has 4 samples; k=5 neighbours need at least 6: use k=3 or less"):
        draw_smote(SMOTE(k=5), rare=4)


def test_the_group_dro_drawing_shows_weights_while_it_trains():
    seen = []

    def look(done, of, so_far=None):
        seen.append((done, of, so_far() if so_far else None))

    figure, sentence = draw_group_dro(GroupDRO(step_size=0.5), epochs=3, progress=look)
    assert [(done, of) for done, of, _ in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert "Nothing is trained yet" in seen[0][2][1] and "after 1 of 3 epochs" in seen[1][2][1] and seen[3][2] is None
    assert seen[1][2][0].axes[0].lines[0].get_xdata()[-1] < figure.axes[0].lines[0].get_xdata()[-1]
    weights = sum(line.get_ydata() for line in figure.axes[0].lines[:4])  # the fifth is where frozen ones stay
    assert weights == pytest.approx(1.0) and figure.axes[0].lines[4].get_ydata() == [0.25, 0.25]
    assert sentence.startswith("on test, after the last epoch: group-balanced") and "with frozen weights: " in sentence


@pytest.mark.slow
def test_the_moons_drawing_tells_what_the_penalty_adds():
    figure, sentence = draw_moons(SpectralDecoupling(strength=0.1, variant="margin"), gap=0.3)
    plain, decoupled = (float(part.split(": ")[1].split(" ")[0]) for part in sentence.split(" · "))
    assert decoupled > plain + 0.03 and len(figure.axes) == 3
    _, same = draw_moons(SpectralDecoupling(strength=0.0), gap=0.3)
    assert same == f"plain training: {plain:.2f} right on test · this setting: {plain:.2f} right on test"


@pytest.mark.slow
def test_the_adversarial_drawing_fools_the_plain_network_only():
    figure, sentence = draw_adversarial_training(AdversarialTraining(radius=0.1, steps=10), digit=7)
    plain, robust = sentence.split(" · ")
    assert plain.startswith("plain training: says 7") and "after the attack 7" not in plain
    assert robust.startswith("adversarial training: says 7") and "after the attack 7" in robust
    assert [axis.get_title() for axis in figure.axes].count("change, at most 0.10") == 2
    begun = draw_adversarial_training(AdversarialTraining(radius=0.1), done=0.15)[0]
    assert begun.axes[1].get_title() == "change, at most 0.05"
    nothing = draw_adversarial_training(AdversarialTraining(radius=0.0))[0]
    assert nothing.axes[0].get_title() == nothing.axes[2].get_title()


@pytest.mark.slow
@pytest.mark.parametrize("digits, level, names", [("coloured", 10, ["label"]), ("textured", 2, ["plain", "textured"])])
def test_the_dann_drawing_asks_the_discriminator_and_a_fresh_probe(digits, level, names):
    seen = []
    method = DANN(strength=0.1, sampling="domains")
    figure, sentence = draw_dann(method, digits=digits, epochs=2, progress=lambda *at: seen.append(at))
    assert [at[:2] for at in seen] == [(0, 2), (1, 2), (2, 2)] and seen[1][2] is not None
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert list(lines) == ["of the label", "of the domain", "of guessing the domain"]
    assert lines["of guessing the domain"][0] == pytest.approx(math.log(level))
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(1 / level)
    shares = {part.rsplit(" ", 1)[0]: float(part.rsplit(" ", 1)[1]) for part in sentence.split(": ")[1].split(" · ")}
    assert [name.split(", ")[-1] for name in shares] == [*names, "discriminator", "fresh probe"]
    assert shares["fresh probe"] > 1.5 / level
    bars = [bar.get_width() for bar in figure.axes[1].patches]
    assert bars == pytest.approx(list(shares.values()), abs=0.006)


@pytest.mark.slow
def test_the_occam_drawing_trains_once_and_then_only_moves_the_threshold(monkeypatch):
    seen = []
    figure, sentence = draw_occam_nets(OccamNets(), epochs=1, progress=lambda *at: seen.append(at))
    assert [at[:2] for at in seen] == [(0, 1), (1, 1)] and "aligned: accuracy" in sentence
    assert sentence.startswith("conflicting: accuracy 0.") and sentence.endswith("after epoch 1, on half of the images")
    monkeypatch.setattr(training, "train", lambda *a, **k: pytest.fail("trained again"))

    def taken(threshold):
        figure, sentence = draw_occam_nets(OccamNets(threshold=threshold), epochs=1)
        return [bar.get_height() for bar in figure.axes[0].patches], sentence

    assert taken(0.0)[0] == [0, 1, 0] * 2 and taken(1.0)[0] == [0, 0, 1] * 2
    assert "mean exit 2.00" in taken(1.0)[1]
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == [
        *(f"exit {e}" for e in range(3)),
        "as they leave",
    ]


def test_the_exits_figure_counts_by_hand():
    ten = toys.shortcut(n=8).test
    aligned = ten.labels == ten.attributes
    right = torch.stack([aligned, aligned, torch.ones_like(aligned)])
    figure, sentence = exits_figure(ten, right, torch.where(aligned, 1, 2))
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0, 0, 1, 0, 1, 0]
    assert [bar.get_height() for bar in figure.axes[1].patches] == [0, 0, 1, 1, 1, 1, 1, 1]
    assert len(figure.legends) == 1 and not any(axis.get_legend() for axis in figure.axes)
    assert sentence == "conflicting: accuracy 1.00, mean exit 2.00 · aligned: accuracy 1.00, mean exit 1.00"


@pytest.mark.slow
@pytest.mark.parametrize("ours", [name for name in LECTURE if name not in ("erm", "occam-nets")])
def test_any_two_methods_can_be_compared(ours):
    assert f"{ours} minus erm: " in draw_comparison(ERM(), ours=ours, seeds=2)[1]


@pytest.mark.slow
def test_the_comparison_drawing_pairs_by_seed():
    seen = []
    draw = partial(draw_comparison, ERM(), progress=lambda *at: seen.append(at))
    figure, sentence = draw(ours="loss-reweighting", seeds=3)
    assert (
        [at[:2] for at in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
        and "loss-reweighting is ahead" in sentence
        and "3 seeds" in sentence
    )
    pairs = [line.get_ydata() for line in figure.axes[0].lines]
    assert len(pairs) == 3 and f"erm: {sum(b - a for a, b in pairs) / 3:.3f} (" in sentence
    assert "loss-reweighting is ahead" in draw(ours="erm", theirs="loss-reweighting", seeds=3)[1]
    assert "not told apart" in draw(ours="loss-reweighting", seeds=1)[1]  # one seed tells nothing
    many = draw(ours="loss-reweighting", seeds=3, at_once=66)[1]
    assert "99.9% " in many and many.split(" (")[0] == sentence.split(" (")[0]
    with pytest.raises(ValueError, match="both are erm"):
        draw(ours="erm")


def test_the_duel_figure_shows_what_pairing_is_worth():
    values = {"erm": [0.2, 0.4, 0.6], "other": [0.3, 0.52, 0.68]}
    gain = mean_over_seeds([0.1, 0.12, 0.08])
    figure = duel(values, gain)
    paired, unpaired = (bar.get_segments()[0][:, 0] for bar in figure.axes[1].collections)
    assert paired == pytest.approx([gain.low, gain.high])
    spread = sum(torch.tensor(each).var().item() for each in values.values())
    half = 2.7764 * (spread / 3) ** 0.5  # t with four degrees of freedom
    assert unpaired == pytest.approx([0.1 - half, 0.1 + half], abs=1e-4) and unpaired[0] < -0.25 < paired[0]
