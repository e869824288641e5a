"""Scenes: a small digit in one cell of a large textured picture, with four biases at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..checks import seeded, share, whole
from .biases import COLORS, correlated_attributes, texture
from .digits import load_digits, split_indices
from .grouped import GroupedData
from .splits import Splits

CELL, SIDE = 8, 5  # pixels in a cell, cells in a row
HINTS = ("texture", "colour", "place", "disc")
PLACES = (0, 2, 4, 6, 8, 12, 16, 18, 20, 24)  # the cells, counted row by row, in which a digit may lie


def scenes(*, aligned_share: float = 0.95, copies: int = 4, seed: int = 0) -> Splits:
    """Digits of 8×8 pixels in scenes uint8 [N, 3, 40, 40] of 5×5 cells (after Biased MNISTv2 of Shrestha et al. 2022).

    Four hints go along with the digit, each for itself: in a share `aligned_share` of a digit's training scenes the
    *texture* of the ground is its own, or the *colour* of its strokes, or the *place* where it lies (one of ten cells),
    or the colour of a *disc* in another cell. In validation and test no hint tells anything. The attribute of a scene
    is the number of its hints that mislead. Every training digit lies in as many scenes as there are `copies`.

    In the published set are seven hints and 50,000 scenes of 160×160, of digits that are magnified, too.
    """
    aligned_share, copies, generator = share("aligned_share", aligned_share), whole("copies", copies, 1), seeded(seed)
    images, numbers = load_digits()
    parts = []
    for rows, told, times in zip(split_indices(numbers), (aligned_share, 0.1, 0.1), (copies, 1, 1)):
        rows = rows.repeat(times)
        labels = numbers[rows]
        hints = [correlated_attributes(labels, 10, told, generator=generator) for _ in HINTS]
        misleading = torch.stack([hint != labels for hint in hints]).sum(0)
        inputs = drawn(images[rows], *hints, generator=generator)
        names = tuple(f"{n} of 4 mislead" for n in range(len(HINTS) + 1))
        parts.append(GroupedData(inputs, labels, misleading, tuple(f"digit {d}" for d in range(10)), names))
    return Splits(*parts)


def drawn(
    digits: Tensor, textures: Tensor, colors: Tensor, places: Tensor, discs: Tensor, *, generator: torch.Generator
) -> Tensor:
    """Scenes uint8 [N, 3, 40, 40] of digits uint8 [N, H, W] and what is chosen for each, int64 [N], from 0 to 9: its
    texture, colour, place, and the colour of the disc, which lies in any cell but the digit's."""
    n, palette = len(digits), torch.tensor(list(COLORS.values())).float()
    ground = texture(torch.zeros(n, CELL * SIDE, CELL * SIDE, dtype=torch.uint8), textures, generator=generator)
    scene = (ground.float() / 2).expand(-1, 3, -1, -1).clone()
    small = adaptive_avg_pool2d(digits.float(), CELL) / 255
    own = torch.tensor(PLACES)[places]
    other = (own + torch.randint(1, SIDE**2, (n,), generator=generator)) % SIDE**2
    at = torch.arange(CELL) - (CELL - 1) / 2
    disc = ((at[:, None] ** 2 + at**2) < 8.0).float().expand(n, -1, -1)
    for ink, cell, chosen in ((1.6 * small).clamp(max=1), own, colors), (disc, other, discs):
        rows, columns = (CELL * (cell // SIDE))[:, None] + torch.arange(CELL), (CELL * (cell % SIDE))[:, None]
        where = torch.arange(n)[:, None, None], rows[:, :, None], (columns + torch.arange(CELL))[:, None, :]
        color = palette[chosen][:, None, None]
        behind = scene.permute(0, 2, 3, 1)[where]
        scene.permute(0, 2, 3, 1)[where] = ink[..., None] * color + (1 - ink[..., None]) * behind
    return scene.round().to(torch.uint8)
