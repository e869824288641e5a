"""figures: what the pictures show, and that nobody is left out."""

import base64
import io
import itertools
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.text import Text
from PIL import Image

from debias_course import figures, models
from debias_course.comparison import compare
from debias_course.data import colored_digits, toys
from debias_course.evaluation import GroupReport
from debias_course.figures.marks import spread
from debias_course.lectures.dataset_bias.panel import fit_shortcut
from debias_course.methods import ERM, HardMining, LossReweighting
from debias_course.study import study

LEVELS = {"without the bias": 0.95, "chance": 0.5, "best": 0.97, "attribute alone": 0.0}
REPORT = GroupReport((9, 0, 5, 4), (10, 0, 10, 10), ("a", "b"), ("x", "y"))


def linear_rgb(color):
    channels = torch.tensor([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return torch.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


# Viénot, Brettel and Mollon 1999: what is left of a colour for protanopes and deuteranopes (linear RGB).
SIMULATED = {
    "protan": torch.tensor([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deutan": torch.tensor([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
}


@pytest.mark.parametrize("vision", SIMULATED)
def test_the_first_colours_stay_apart_with_a_colour_vision_deficiency(vision):
    seen = [(SIMULATED[vision] @ linear_rgb(color)).clamp(0, 1) ** (1 / 2.2) for color in figures.PALETTE[:4]]
    for a, b in itertools.combinations(seen, 2):
        assert (a - b).norm() > 0.12


def test_lines_differ_by_colour_marker_and_dash():
    figure = figures.curves({f"line {i}": ([0, 1], [i, i]) for i in range(4)}, x="epoch", y="accuracy")
    lines = figure.axes[0].lines
    for property_of in ("get_color", "get_marker", "get_linestyle"):
        assert len({str(getattr(line, property_of)()) for line in lines}) == 4
    assert figure.axes[0].get_xlabel() == "epoch" and figure.axes[0].get_ylabel() == "accuracy"


def test_bars_show_the_report_and_leave_empty_groups_out():
    report = GroupReport((9, 0, 5, 4), (10, 0, 10, 10), ("a", "b"), ("x", "y"))
    axis = figures.group_bars({"one": report, "two": report}).axes[0]
    assert [round(bar.get_height(), 2) for bar in axis.patches] == [0.9, 0.5, 0.4] * 2
    assert len({bar.get_hatch() for bar in axis.patches}) == 2 and axis.get_ylabel() == "test accuracy"


def test_regions_show_every_group_with_its_own_marker():
    data, model = fit_shortcut(ERM(), 0.9)
    figure = figures.regions({"a": model, "b": model}, data.test)
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels == list(data.test.group_names) and figure.legends


def test_study_bars_have_a_dot_for_every_seed():
    data = partial(toys.shortcut, n=80)
    result = study({"ERM": ERM()}, data, seeds=3, model=models.linear, epochs=1, n_jobs=1, progress=False)
    axis = figures.study_bars(result).axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [3, 3, 3]


def test_study_bars_name_their_levels_below_the_methods():
    data = partial(toys.shortcut, n=80)
    result = study({"ERM": ERM()}, data, seeds=3, model=models.linear, epochs=1, n_jobs=1, progress=False)
    figure = figures.study_bars(result, levels=LEVELS)
    axis = figure.axes[0]
    (legend,), (frame,) = boxes(figure)
    names = {text.get_text(): text.get_window_extent() for text in axis.texts}
    assert list(names) == list(LEVELS) and not set(LEVELS) & set(axis.get_legend_handles_labels()[1])
    lowest = min(axis.transData.transform((0, y))[1] for line in axis.lines[:-4] for y in line.get_ydata())
    for box in names.values():
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 < box.y0 and box.y1 < lowest
    assert not any(a.overlaps(b) for a, b in itertools.combinations(names.values(), 2)) and not legend.overlaps(frame)


def test_samples_of_an_empty_group_are_no_error(digits):
    part = digits.train.subset(digits.train.groups != 1)
    figure = figures.sample_grid(part, each=4)
    assert "0 images" in figure.axes[1].get_ylabel() and len(figure.axes) == 4


def test_bands_fill_the_whole():
    axis = figures.bands({"rare": [0.2, 0.4], "common": [0.8, 0.6]}, x="epoch", y="share", start=3).axes[0]
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in axis.collections]
    assert tops == pytest.approx([0.4, 1.0]) and axis.get_xlim() == (3, 4)


def test_an_embedding_shows_each_domain_with_its_own_marker_and_each_group_by_its_label(toy):
    wide = torch.cat([toy.train.inputs, torch.zeros(400, 5)], 1)
    figure = figures.embedding({"before": wide, "after": wide * 2}, toy.train)
    assert len(figure.axes) == 2 and figure.axes[1].get_xlabel() == "first principal component (after)"
    for axis in figure.axes:
        dots = axis.collections
        assert [each.get_label() for each in dots] == ["left", "right"] and len(dots[0].get_offsets()) == 200
        assert len({each.get_facecolor().tobytes() for each in dots}) == 2
        assert len({each.get_paths()[0].vertices.tobytes() for each in dots}) == 2
        assert [text.get_text() for text in axis.texts] == ["0", "0", "1", "1"]


def test_principal_components_by_hand():
    """Along (3, 4) / 5 the values are -1, -1 and 2; across it there is less."""
    along, across = torch.tensor([0.6, 0.8]), torch.tensor([-0.8, 0.6])
    values = torch.tensor([-1.0, -1, 2])[:, None] * along + torch.tensor([0.2, -0.2, 0])[:, None] * across + 7
    points = figures.principal(values)
    assert points.shape == (3, 2) and points[:, 0].tolist() == pytest.approx([-1, -1, 2], abs=1e-5)
    assert points[:, 1].abs().tolist() == pytest.approx([0.2, 0.2, 0], abs=1e-5)


def test_bars_of_two_names_stand_side_by_side():
    figure = figures.bars({"a": [0.25, 1.0], "b": [0.5, 0.75]}, places=["here", "there"], y="share", ylim=(0, 1))
    drawn = figure.axes[0].patches
    assert [bar.get_height() for bar in drawn] == [0.25, 1.0, 0.5, 0.75] and drawn[0].get_hatch() != drawn[
        2
    ].get_hatch()
    assert drawn[0].get_x() + drawn[0].get_width() == pytest.approx(drawn[2].get_x())
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["here", "there"]


@pytest.mark.parametrize("n", [1, 3])
def test_evidence_shows_image_and_maps_in_one_frame(digits, n):
    images = digits.test.batch(torch.arange(n)).inputs
    maps = {"exit 1": torch.rand(n, 7, 7, generator=torch.Generator().manual_seed(0)), "exit 2": torch.rand(n, 3, 3)}
    figure = figures.evidence(images, maps, rows=[f"digit {i}" for i in range(n)])
    assert len(figure.axes) == 3 * n and [axis.get_title() for axis in figure.axes[:3]] == ["image", "exit 1", "exit 2"]
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == [f"digit {i}" for i in range(n)]
    assert figure.axes[1].images[0].get_extent() == figure.axes[0].images[0].get_extent() == [0, 20, 20, 0]
    assert torch.equal(torch.tensor(figure.axes[1].images[0].get_array().data), maps["exit 1"][0])


def test_a_heat_map_shows_its_numbers_readably():
    cells = [[0.0, 0.5], [0.75, 1.0]]
    axis = figures.heat(cells, rows={"step": [1, 2]}, columns={"decay": ["a", "b"]}, of="accuracy").axes[0]
    assert [text.get_text() for text in axis.texts] == ["0.00", "0.50", "0.75", "1.00"]
    assert [text.get_color() for text in axis.texts] == ["white", "white", "black", "black"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("decay", "step")


def test_a_perturbation_is_shown_around_grey_and_measured():
    image = torch.full((1, 4, 4), 0.5)
    moved = image.clone()
    moved[0, 0, 0], moved[0, 1, 1] = 0.7, 0.3
    figure = figures.perturbations({"a row": (image, moved, "says 1", "says 2"), "none": (image, image, "", "")})
    assert [axis.get_title() for axis in figure.axes[:3]] == ["says 1", "change, at most 0.20", "says 2"]
    shown = [axis.images[0].get_array()[..., 0] for axis in figure.axes]
    assert shown[1][0, 0] == 1 and shown[1][1, 1] == 0 and shown[1][2, 2] == 0.5 == shown[4].max()
    assert shown[2][0, 0] == pytest.approx(0.7) and figure.axes[0].get_ylabel() == "a row"


@pytest.fixture
def shown(monkeypatch):
    """What `picture` displays."""
    bundles = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def by_hand():
    figure, axis = figures.new_figure(2, 2)
    axis.plot([0, 1], [1, 0])
    return figure


def test_a_picture_carries_its_alternative_text_and_takeaway(shown):
    figures.picture(by_hand(), alt='a "falling" line', takeaway="It falls.")
    (bundle,) = shown
    assert 'alt="a &quot;falling&quot; line"' in bundle["text/html"] and "It falls." in bundle["text/html"]
    assert bundle["text/plain"] == '[picture: a "falling" line] It falls.'
    assert len(bundle["text/html"]) < 40_000


def test_a_picture_says_of_itself_what_its_function_drew(shown):
    def draw():
        return figures.bars({"a": [0.25, 1.0]}, places=["here", "there"], y="share")

    figures.picture(draw(), takeaway="More there.")
    assert 'alt="Bars of share. a: here 0.25, there 1.00."' in shown[0]["text/html"]
    # Notebooks compare this text between machines, on which the last digit may differ.
    assert shown[0]["text/plain"] == "[picture] More there."
    figures.picture(draw(), alt="Two bars.", takeaway="More there.")
    assert 'alt="Two bars."' in shown[1]["text/html"] and "0.25" not in shown[1]["text/html"]
    with pytest.raises(ValueError, match="drawn by hand; give alt="):
        figures.picture(by_hand(), takeaway="It falls.")


def test_a_chart_has_two_pixels_for_one_of_the_page(shown):
    figures.picture(by_hand(), alt="a line", takeaway="It falls.")
    page = shown[0]["text/html"]
    data = base64.b64decode(re.search(r"data:image/png;base64,([^\"]*)", page)[1])
    assert Image.open(io.BytesIO(data)).size == (320, 320) and 'width="160"' in page


def test_a_stored_picture_keeps_its_colours(shown):
    """Rare ones beside many: a thin bar of one colour map beside a large picture in the colours of another."""
    figure, axis = figures.new_figure(4.0, 2.0)
    axis.imshow(np.linspace(0, 1, 4000).reshape(10, 400), cmap="viridis", aspect="auto")
    figure.colorbar(ScalarMappable(cmap="PuOr"), ax=axis)
    figures.png(figure)  # the first time, the layout still settles
    figures.picture(figure, alt="colours", takeaway="They stay.")
    whole = np.asarray(Image.open(io.BytesIO(figures.png(figure, dpi=160))).convert("RGB")).astype(int)
    data = base64.b64decode(re.search(r"data:image/png;base64,([^\"]*)", shown[0]["text/html"])[1])
    kept = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert kept.shape == whole.shape and abs(kept - whole).max() < 24


def test_the_same_figure_is_the_same_png():
    assert figures.png(by_hand()) == figures.png(by_hand())


def test_the_same_figure_is_the_same_svg():
    drawing = figures.svg(by_hand())
    assert drawing == figures.svg(by_hand()) and b"<svg" in drawing and b"<dc:date>" not in drawing


LINES = {"plain": ([1, 10, 100], [0.1, 0.7, 0.5]), "weights": ([1, 10, 100], [0.6, 0.2, 0.8])}


def boxes(figure):
    """Of the legends and of the axes, in pixels."""
    figure.draw_without_rendering()
    legends = [*figure.legends, *filter(None, (axis.get_legend() for axis in figure.axes))]
    return [each.get_window_extent() for each in legends], [axis.get_window_extent() for axis in figure.axes]


def test_axes_that_would_repeat_a_legend_share_one_and_it_hides_nothing():
    figure, axes = figures.new_figure(9.0, 3.4, 1, 3, sharey=True)
    for axis, title in zip(axes, "abc"):
        figures.curves(LINES, x="epoch", y="accuracy", axis=axis, title=title)
    legends, drawn = boxes(figure)
    assert len(legends) == 1 and not any(legends[0].overlaps(box) for box in drawn)
    assert not any(legends[0].overlaps(axis.title.get_window_extent()) for axis in axes)


def test_axes_with_legends_of_their_own_keep_them():
    figure, axes = figures.new_figure(9.0, 3.4, 1, 2)
    figures.curves(LINES, x="epoch", y="accuracy", axis=axes[0], title="left")
    figures.curves({"other": ([0, 1], [0, 1])}, x="epoch", y="accuracy", axis=axes[1])
    legends, drawn = boxes(figure)
    assert len(legends) == 2 and not any(a.overlaps(b) for a in legends for b in drawn)
    assert not legends[0].overlaps(axes[0].title.get_window_extent())


def test_a_legend_of_long_names_stays_inside_the_picture():
    names = [f"batch sampling, augmented, weight decay {n}" for n in range(5)]
    figure = figures.curves({name: ([0, 1], [0, 1]) for name in names}, x="epoch", y="accuracy")
    (legend,), _ = boxes(figure)
    assert legend.x0 >= 0 and legend.x1 <= 80 * figure.get_figwidth()


@pytest.mark.parametrize(
    "draw",
    [
        lambda **levels: figures.curves(LINES, x="epoch", y="accuracy", ylim=(0, 1.02), **levels),
        lambda **levels: figures.group_bars({"one": REPORT, "two": REPORT}, **levels),
    ],
    ids=["curves", "group_bars"],
)
def test_levels_are_lines_with_their_names_in_the_margin(draw):
    figure = draw(levels=LEVELS)
    axis = figure.axes[0]
    (legend,), _ = boxes(figure)
    drawn = [line.get_ydata()[0] for line in axis.lines if line.get_ydata()[0] == line.get_ydata()[-1]]
    assert {0.0, 0.5, 0.95, 0.97} <= set(drawn)
    assert not set(LEVELS) & set(axis.get_legend_handles_labels()[1])
    names = {text.get_text(): text.get_window_extent() for text in axis.texts}
    assert list(names) == ["attribute alone", "chance", "without the bias", "best"]
    for name, box in names.items():
        assert box.x0 > axis.get_window_extent().x1 and not box.overlaps(legend), name
    assert not any(a.overlaps(b) for a, b in itertools.combinations(names.values(), 2))
    assert "Lines mark without the bias 0.95, chance 0.50, best 0.97, attribute alone 0.00." in figures.alt_text(figure)


def test_axes_that_share_their_heights_name_a_level_once():
    figure, axes = figures.new_figure(9.0, 3.4, 1, 2, sharey=True)
    for axis in axes:
        figures.curves(LINES, x="epoch", y="accuracy", axis=axis, levels={"chance": 0.5})
    assert [[text.get_text() for text in axis.texts] for axis in axes] == [[], ["chance"]]
    assert all(any(set(line.get_ydata()) == {0.5} for line in axis.lines) for axis in axes)


def test_names_in_the_margin_move_apart():
    assert spread([0.2, 0.9, 0.95], 0.1) == pytest.approx([0.2, 0.9, 1.0])
    assert spread([0.98, 0.99, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert spread([0.1, 0.5], 0.1) == [0.1, 0.5] and spread([], 0.1) == []


def by_epoch():
    rows = [("weights", 10, 0.7, 0.6, 0.8), ("weights", 1, 0.3, 0.2, 0.4), ("plain", 1, 0.1, -0.1, 0.2)]
    rows += [("plain", 10, 0.4, 0.3, 1.3), ("once", 1, 0.5, -float("inf"), float("inf"))]
    return pd.DataFrame(rows, columns=["method", "epoch", "value", "low", "high"])


@pytest.mark.parametrize("log", [False, True])
def test_a_table_over_epochs_becomes_a_line_with_its_band_per_method(log):
    figure = figures.over_epochs(by_epoch(), levels={"chance": 0.5}, log=log)
    axis = figure.axes[0]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines[:3]}
    assert lines == {"weights": ([1, 10], [0.3, 0.7]), "plain": ([1, 10], [0.1, 0.4]), "once": ([1], [0.5])}
    ends = [[path.get_extents().intervaly.tolist() for path in area.get_paths()] for area in axis.collections]
    assert ends == [[pytest.approx([0.2, 0.8])], [[0, 1]], []]  # an accuracy lies nowhere else
    figures.png(figure)
    ticks = [tick.get_text() for tick in axis.get_xticklabels()]
    assert ({"1", "3", "10"} <= set(ticks)) == log and axis.get_xscale() == ("log" if log else "linear")
    assert figures.alt_text(figure).startswith(
        "Worst group over epoch 1 to 10: weights from 0.30 to 0.70; plain from 0.10 to 0.40; once 0.50 at 1."
    )


def test_what_a_curve_does_between_its_ends_is_said():
    said = figures.alt_text(figures.curves(LINES, x="epoch", y="accuracy"))
    assert said == (
        "Accuracy over epoch 1 to 100: plain from 0.10 to 0.50, highest 0.70 at 10; "
        "weights from 0.60 to 0.80, lowest 0.20 at 10."
    )


def test_every_figure_says_what_it_shows_in_letters_that_can_be_read(toy, digits):
    image, model = torch.full((1, 4, 4), 0.5), models.linear(toy.train)
    wide = torch.cat([toy.train.inputs, torch.zeros(400, 5)], 1)
    drawn = {
        "b y 0.40": figures.group_bars({f"r{i}": REPORT for i in range(2)}),
        "rare from 0.20 to 0.40": figures.bands({"rare": [0.2, 0.4]}, x="epoch", y="share"),
        "9 values, from 0.00 (1, a) to 0.80 (3, c)": figures.heat(
            [[0.0, 0.1, 0.2], [0.3, 0.4, 0.5], [0.6, 0.7, 0.8]],
            rows={"k": [1, 2, 3]},
            columns={"d": list("abc")},
            of="x",
        ),
        "1425 images": figures.sample_grid(digits.train),
        "says 1": figures.perturbations({"a": (image, image, "says 1", "says 2")}),
        "maps of exit 1": figures.evidence(digits.test.batch(torch.arange(1)).inputs, {"exit 1": image}, rows=["zero"]),
        "degrees off level": figures.regions({"plain": model}, toy.test),
        "standard deviations apart": figures.embedding({"before": wide}, toy.train),
        "400 given samples, 0 new ones": figures.new_samples(toy.train, 400, torch.zeros(0, dtype=torch.bool)),
    }
    for words, figure in drawn.items():
        assert words in figures.alt_text(figure)
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
        assert min(sizes) * 80 / 72 >= 12, words


def test_the_tilt_of_a_boundary_is_told(toy):
    model = models.linear(toy.train)
    first, second = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    for weight, degrees in (first, 90), (second, 0), (first + second, 45):
        with torch.no_grad():
            model.head.weight.copy_(weight)
        assert f"the boundary is {degrees} degrees off level" in figures.alt_text(
            figures.regions({"a": model}, toy.test)
        )


def test_differences_are_sorted_and_say_ranks_and_needs():
    methods = {"weights": LossReweighting(), "plain": ERM(), r"mining $\frac$": HardMining()}
    how = dict(seeds=3, trials=1, model=models.linear, epochs=3, lr=0.05, n_jobs=1, progress=False)
    found = compare(methods, partial(toys.shortcut, n=120), **how)
    table = found.table.set_index("method").sort_values("worst_group", ascending=False)
    figure = figures.differences(found)
    axis = figure.axes[0]
    assert [label.get_text().replace(r"\$", "$") for label in axis.get_yticklabels()] == list(table.index)
    assert all(figures.png(each) for each in (figure, figures.study_bars(found.study)))  # a name is no formula
    intervals = [bar.get_segments()[0][:, 0] for bar in axis.collections]
    expected = [table.loc[name, ["low", "high"]].clip(-1, 1).tolist() for name in table.index if name != "plain"]
    assert [each.tolist() for each in intervals] == [pytest.approx(each) for each in expected]
    ranks = [f"{a} to {b}" if a != b else f"{a}" for a, b in zip(table["first_rank"], table["last_rank"])]
    assert [text.get_text() for text in axis.texts] == [*ranks, "rank"]
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {"needs nothing", "needs group labels"}


def test_repainted_frames_the_answers_that_flip(digits):
    """A network that answers by the amount of red: painted in the other colour, every answer is the other one."""

    class ByColor(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            red, _, blue = images.mean((2, 3)).unbind(1)
            return torch.stack([red - blue, blue - red], 1)

    own, other = (colored_digits(test_aligned_share=share).test for share in (1.0, 0.0))
    for again, flips in ((other, 5), (own, 0)):
        figure = figures.repainted(ByColor(), own, again, each=5)
        assert len(figure.axes) == 10 and f"; {flips} answers of the network flip" in figures.alt_text(figure)
        assert sum(axis.spines["top"].get_visible() for axis in figure.axes[5:]) == flips
        assert not any(axis.spines["top"].get_visible() for axis in figure.axes[:5])
