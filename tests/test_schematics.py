"""Schematics and strips: where a method intervenes, and where a statement holds."""

import importlib
import itertools
import pkgutil

import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from debias_course import figures, lectures
from debias_course.lectures.method_comparison import decision

OURS = {
    topic.name: importlib.import_module(f"{lectures.__name__}.{topic.name}.pictures").schematic
    for topic in pkgutil.iter_modules(lectures.__path__)
    if topic.ispkg
}
OURS["choosing"] = decision.tree
OURS["plain"] = lambda: figures.schematic("model", title="DANN", how="A second head guesses the domain. " * 4)


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text()]


def strong(figure):
    """The names of the stages in colour."""
    return [text.get_text() for text in texts(figure) if text.get_fontweight() == "bold" and text.get_fontsize() == 12]


@pytest.mark.parametrize("where", ["data", "batch", "model", "loss", "update"])
def test_the_stage_where_a_method_intervenes_stands_out(where):
    figure = figures.schematic(where, how="By a small change.")
    assert strong(figure) == [where]
    edges = {patch.get_edgecolor() for patch in figure.findobj(FancyBboxPatch) if patch.get_linewidth() == 2}
    assert len(edges) == 1 and f"This one changes the {where}. By a small change." in figures.alt_text(figure)


def test_two_stages_may_stand_out():
    figure = figures.schematic(("data", "batch"), how="Both.")
    assert strong(figure) == ["data", "batch"] and "changes the data and the batch" in figures.alt_text(figure)


@pytest.mark.parametrize("where", ["nonsense", (), ("data", "optimizer")])
def test_a_stage_that_there_is_not_gets_a_sentence(where):
    with pytest.raises(ValueError, match="use one or more of data, batch, model, loss, update"):
        figures.schematic(where, how="")


def test_a_glyph_is_drawn_below_the_words_and_says_what_it_shows():
    heights = []

    def glyph(axis, top):
        """Three dots."""
        heights.append(top)
        figures.schematics.samples(axis, [1, 2, 3], top)

    figure = figures.schematic("loss", how="Words.", glyph=glyph)
    assert figure.get_figheight() == pytest.approx(figures.schematic("loss", how="Words.").get_figheight() + 1.4)
    (words,) = [text for text in texts(figure) if text.get_text() == "Words."]
    assert words.get_position()[1] < heights[0] and figures.alt_text(figure).endswith("Words. Three dots.")


@pytest.mark.parametrize("name", OURS)
def test_a_schematic_is_a_small_drawing_in_which_no_text_hides_another(name, monkeypatch):
    figure, shown = OURS[name](), []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle["text/html"]))
    figures.picture(figure, takeaway="It intervenes there.")
    assert 'src="data:image/svg+xml;base64,' in shown[0] and 'width="640"' in shown[0] and len(shown[0]) < 80_000
    assert figures.svg(figure) == figures.svg(OURS[name]())
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts(figure)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
    assert min(text.get_fontsize() for text in texts(figure)) * 80 / 72 >= 12


def test_the_weights_in_the_schematic_are_those_of_the_method():
    import torch

    from debias_course.methods.reweighting import inverse_frequency, normalise

    counts = torch.tensor([6, 2])
    expected = normalise(inverse_frequency(counts, 1.0), counts, "samples")
    heights = [-bar.get_height() for bar in OURS["loss_reweighting"]().axes[0].patches if hasattr(bar, "get_height")]
    bars = torch.tensor([h for h in heights if 0 < h < 1])
    plain, weighted = bars[0], bars[8:]
    assert (weighted / plain).tolist() == pytest.approx(expected.repeat_interleave(counts).tolist(), rel=1e-5)


def test_the_weights_in_the_schematic_of_group_dro_are_those_of_its_update():
    import torch

    from debias_course.methods.group_dro import exponentiated

    bars = [-bar.get_height() for bar in OURS["group_dro"]().axes[0].patches if hasattr(bar, "get_height")]
    before, losses, after = torch.tensor([each for each in bars if 0 < each < 0.7]).view(3, 3)
    losses = 2 * losses / losses.max()
    assert losses.tolist() == pytest.approx([0.5, 1.0, 2.0])
    assert (after / after.sum()).tolist() == pytest.approx(exponentiated(before.log(), losses, 1.0).exp().tolist())
    assert after.sum() == pytest.approx(float(before.sum()))


MIDDLE = {"epochs": 20, "network": "MLP", "aligned share": 0.95, "tested": "last epoch"}


def cell(value, verdict, low=float("nan"), high=float("nan"), **where):
    names = {"share": "aligned share"}
    changed = {names.get(name, name): each for name, each in where.items()}
    return dict(where=MIDDLE | changed, value=value, low=low, high=high, verdict=verdict)


CELLS = [
    cell(0.12, "holds", 0.08, 0.16),
    cell(-0.034, "fails", -0.05, -0.01, epochs=150),
    cell(0.001, "open", -0.02, 0.02, epochs=5),
    cell(0.2, "holds", network="conv net"),
    cell(0.3, "holds", share=0.9, epochs=60),
]


def test_a_strip_shows_each_cell_in_its_place_with_its_verdict():
    figure = figures.strip(CELLS, title="It helps", middle=MIDDLE)
    where = {text.get_text(): text.get_position() for text in texts(figure)}
    columns = [where[name][0] for name in ("5", "20", "60", "150")]
    assert columns == sorted(columns)
    for value, column in ("+12 ✓", "20"), ("−3 ✗", "150"), ("+0.1 ?", "5"), ("+20 ✓", "20"), ("+30 ✓", "60"):
        assert where[value][0] == pytest.approx(where[column][0])
    assert where["+30 ✓"][1] < where["+12 ✓"][1] < where["+20 ✓"][1]  # 0.9 before 0.95; MLP before conv net
    assert {"+8 to +16", "−5 to −1"} <= set(where) and "nan" not in "".join(where)
    assert any("everywhere: tested last epoch" in text for text in where) and not any(
        "framed" in text for text in where
    )
    told = figures.strip(CELLS, middle=MIDDLE, frame="in haste")
    assert any("framed: in haste" in text.get_text().replace("\n", " ") for text in texts(told))
    colors = {patch.get_facecolor() for patch in figure.axes[0].patches if patch.get_fill()}
    frames = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    assert len(colors) == 3 and len(frames) == 1 and len(figure.axes[0].patches) == 6
    assert frames[0].get_x() < where["+12 ✓"][0] < frames[0].get_x() + frames[0].get_width()
    said = figures.alt_text(figure)
    assert said.startswith("It helps. epochs 20, network MLP, aligned share 0.95, tested last epoch: +12, holds;")


def test_a_strip_of_four_columns_and_six_rows_is_readable_on_640_pixels():
    every = itertools.product((5, 20, 60, 150), ("MLP", "conv net"), (0.9, 0.95, 0.99))
    cells = [cell(-0.123, "open", -0.223, -0.101, epochs=e, network=n, share=s) for e, n, s in every]
    figure = figures.strip(cells, title="Sampling is to be preferred to weighting the loss, " * 2, middle=MIDDLE)
    assert figure.get_figwidth() * 80 == 640 and min(t.get_fontsize() for t in texts(figure)) * 80 / 72 >= 12
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts(figure)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= 640 and box.y0 >= 0 for box in boxes)


def test_a_strip_of_one_cell_and_of_effects_that_are_no_points():
    single = figures.strip([dict(where={"epochs": 5}, value=1.234, verdict="holds")], points=False)
    assert "+1.2 ✓" in {text.get_text() for text in texts(single)}
    small = figures.strip([dict(where={"epochs": 5}, value=0.0034, low=-0.0096, high=0.0164, verdict="open")])
    assert {"+0.3 ?", "−1.0 to +2"} <= {text.get_text() for text in texts(small)}
    many = [cell(0.1, "open", 0.05, 0.15, epochs=e, network=n) for e in range(1, 9) for n in ("MLP", "conv net")]
    assert not any(" to " in text.get_text() for text in texts(figures.strip(many)))  # no room


def test_cells_that_make_no_sense_get_a_sentence():
    with pytest.raises(ValueError, match=r"cells: \[\] with nothing to draw"):
        figures.strip([])
    with pytest.raises(ValueError, match="verdict is 'perhaps'; use one of holds, fails, open"):
        figures.strip([cell(0.1, "perhaps")])
    with pytest.raises(ValueError, match="give every cell the same circumstances"):
        figures.strip([CELLS[0], dict(where={"epochs": 5}, value=0.1, verdict="open")])
