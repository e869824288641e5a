"""Five findings in plain words for the front page, with their numbers from the receipts."""

from __future__ import annotations

from typing import Any

from .circumstances import in_words
from .receipts import shipped
from .topics import lesson_of, topics


def points(id: str, verdict: str, sign: int, **where: Any) -> str:
    """The effect of a claim in one of its circumstances, in points and without its `sign`, as the sentence says which
    way (0: neither). Names that are not given are those of the middle. ValueError where the receipt has another verdict
    or sign there than the sentence is built on."""
    topic = next(each for each in topics() if id in lesson_of(each).measures)
    found = lesson_of(topic).of_receipt(shipped(topic)[id])
    cell = next(cell for cell in found.cells if dict(cell.where) == dict(found.middle) | where)
    if cell.verdict != verdict or cell.mean.value * sign < 0:
        raise ValueError(
            f"a finding of the front page is built on {id}, which {verdict} at {in_words(cell.where)}, and has now "
            f"{cell.mean.value:.3f} ({cell.verdict}); write the sentence in claims/findings.py anew"
        )
    return f"{abs(100 * cell.mean.value):.0f}"


def findings() -> list[str]:
    """A paragraph each, in Markdown; all numbers are points of the worst group, if nothing else is said."""
    p = points
    fixed, batch = dict(sampler="fixed subset", epochs=60), dict(sampler="batch sampling", epochs=60)
    return [
        f"**Weights work, and fade.** They lift the worst group by {p('L01.1', 'holds', 1, epochs=5)} points after 5 "
        f"epochs, by {p('L01.1', 'holds', 1, epochs=20)} after 20, and by {p('L01.1', 'holds', 1, epochs=150)} after "
        "150. Whoever reports one number has chosen a training length.",
        "**What weights cost is the early stop.** On data composed like training they lose "
        f"{p('B01.1', 'holds', -1, select='validation-worst-group')} points where validation chooses the epoch, and "
        f"{p('B01.1', 'fails', 0)} at the last of 20 epochs.",
        "**Where a model fits all training data, leaving samples out works, and weights do not.** With 3,000 random "
        f"features under-sampling gains {p('B01.6', 'holds', 1, features=3000)} points; weights lose "
        f"{p('B01.5', 'fails', -1, features=3000)}.",
        "**The sampler decides whether sampling beats weights.** After 60 epochs of the MLP, a small subset drawn once "
        f"is ahead of weights by {p('L02.3', 'holds', 1, **fixed)} points, and balanced batches are "
        f"{p('L02.3', 'fails', -1, **batch)} points behind.",
        "**Augmentation alone first harms, then helps.** After 20 epochs plain training with augmentation is "
        f"{p('B02.3', 'fails', -1, epochs=20)} points worse than without; after 150 it is "
        f"{p('B02.3', 'holds', 1, epochs=150)} points better, without a single group label.",
    ]
