"""figures: what the pictures show, and that nobody is left out."""

import itertools
from functools import partial

import pytest
import torch

from debias_course import figures, models
from debias_course.comparison import compare
from debias_course.data import toys
from debias_course.evaluation import GroupReport
from debias_course.lectures.dataset_bias.panel import fit_shortcut
from debias_course.methods import ERM, HardMining, LossReweighting
from debias_course.study import study


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
    from functools import partial

    from debias_course.data import toys

    data = partial(toys.shortcut, n=80)
    result = study({"ERM": ERM()}, data, seeds=3, model=models.linear, epochs=1, n_jobs=1, progress=False)
    axis = figures.study_bars(result).axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [3, 3, 3]


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


def test_a_picture_carries_its_alternative_text_and_takeaway(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    figure, axis = figures.new_figure(2, 2)
    axis.plot([0, 1], [1, 0])
    figures.picture(figure, alt='a "falling" line', takeaway="It falls.")
    (bundle,) = shown
    assert 'alt="a &quot;falling&quot; line"' in bundle["text/html"] and "It falls." in bundle["text/html"]
    assert bundle["text/plain"] == '[picture: a "falling" line] It falls.'
    assert len(bundle["image/png"]) < 30_000


def test_the_same_figure_is_the_same_png():
    def draw():
        figure, axis = figures.new_figure(2, 2)
        axis.plot([0, 1], [1, 0])
        return figures.png(figure)

    assert draw() == draw()


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
