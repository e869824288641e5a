"""What lies between two digits, between the samples of two islands, and how far apart it is (lecture 04)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from ... import data, figures, models
from ...data import Splits, toys
from ...evaluation import predict
from ...figures.schematics import INK, LINE, caption, samples
from ...figures.words import describe
from ...methods import SMOTE
from ...methods.smote import neighbours
from ...training import train
from .measurements import by_digit, floats, made

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WITH_A_BAR, WITHOUT = 2, 29  # places among the sevens, in the order of the file
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def found(splits: Splits, epochs: int = 20) -> Figure:
    """The test accuracy on each digit after plain training, with the number of its training images."""
    model = train(models.mlp(splits.train), splits.train, epochs=epochs).model
    accuracy = by_digit(predict(model, splits.test).argmax(1).cpu(), splits.test)
    places = [f"{digit}\n{n}" for digit, n in enumerate(splits.train.counts_by("label").tolist())]
    figure, axis = figures.new_figure(7.2, 3.2)
    figures.bars(
        {"plain training": accuracy},
        places=places,
        y="test accuracy",
        axis=axis,
        ylim=(0, 1.02),
        xlabel="digit, images",
    )
    return figure


def sevens(epochs: int = 10) -> Figure:
    """From a seven with a bar to one without, and to its nearest neighbour: as mixed pixels; and the other digits whose
    embeddings are nearest to the mixed embeddings, by a network that has seen as many sevens as zeros."""
    whole = floats(data.long_tailed_digits(ratio=1.0).train)
    pixels = whole.inputs.flatten(1)
    rows = (whole.labels == 7).nonzero().flatten()
    start, far = rows[WITH_A_BAR], rows[WITHOUT]
    near = rows[neighbours(pixels[rows], 1)[WITH_A_BAR, 0]]
    features = train(models.mlp(whole), whole, epochs=epochs, device="cpu").model.get_submodule("features")
    points = predict(features, whole)
    between = torch.stack([torch.lerp(points[start], points[far], u) for u in SHARES])
    distances = torch.cdist(between, points)
    distances[1:-1, [int(start), int(far)]] = torch.inf  # the ends are the originals
    strips = {
        "mixed pixels,\nfar apart": [torch.lerp(pixels[start], pixels[far], u) for u in SHARES],
        "mixed pixels,\nneighbours": [torch.lerp(pixels[start], pixels[near], u) for u in SHARES],
        "nearest to mixed\nembeddings": list(pixels[distances.argmin(1)]),
    }
    figure, axes = figures.new_figure(6.8, 4.0, 3, 5)
    for line, (name, images) in zip(axes, strips.items()):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, image, u in zip(line, images, SHARES):
            axis.imshow(image.view(20, 20).numpy(), cmap="gray_r")
            axis.set(xticks=[], yticks=[], title=f"u = {u:g}" if line is axes[0] else "")
    describe(
        axes[0, 0],
        """Three rows of five images. A seven with a bar fades into one without, and in the middle both are seen, half
        as dark. The same seven fades into its nearest neighbour, and stays one digit. The last row has real images
        between the two ends of the first, which were nearest to the mixed embeddings.""",
    )
    return figure


def islands(methods: Mapping[str, SMOTE], seed: int = 0) -> Figure:
    """The new samples of some methods on the plane of two islands."""
    figure, axes = figures.new_figure(3.1 * len(methods), 3.4, 1, len(methods), sharey=True, squeeze=False)
    n = len(toys.islands(seed=seed).train)
    for axis, (name, method) in zip(axes[0], methods.items()):
        both, wrong = made(method, seed)
        axis.set_title(name)
        figures.new_samples(both, n, wrong, axis=axis)
    for axis in axes[0, 1:]:
        axis.set_ylabel("")
    return figure


def schematic() -> Figure:
    """What fills up a rare population, where its samples are or on the way between neighbours."""

    def glyph(axis: Axes, top: float) -> None:
        """Three rare samples with a common one beside them. Copies lie where the three are; random points lie anywhere
        on the way between two neighbours; averages lie half-way. The common sample is ignored."""
        places = [(-0.7, 0.78), (0.1, 0.44), (0.75, 0.86)]
        for middle, name, said, shares in (
            (1.4, "copies", "u = 0: the same three places", ()),
            (4.0, "random points", "u between 0 and 1", (0.2, 0.35, 0.55, 0.7, 0.85)),
            (6.6, "averages", "u = ½", (0.5,)),
        ):
            caption(axis, middle, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            caption(axis, middle, top + 1.17, said)
            points = [(middle + x, top + y) for x, y in places]
            samples(axis, [middle - 0.05], top + 0.86)
            for (x, y), (to_x, to_y) in (points[:2], points[1:]) if shares else ():
                axis.plot([x, to_x], [y, to_y], color=LINE, linewidth=1, zorder=1)
                for u in shares:
                    cross = x + u * (to_x - x), y + u * (to_y - y)
                    axis.plot(*cross, "+", color=INK, markersize=8, markeredgewidth=1.6)
            for x, y in points:
                samples(axis, [x], y, rare=True)
                if not shares:
                    axis.plot([x], [y], "+", color=INK, markersize=8, markeredgewidth=1.6)

    how = "Fill up the rare population with new samples (crosses): on the way from one of its samples to a neighbour."
    return figures.schematic("data", how=how, title="SMOTE", glyph=glyph)
