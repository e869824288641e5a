"""Recipes that plant a bias in real images: an attribute that goes along with the label.

`aligned_share` is the share of a label's samples whose attribute is the label's own (attribute = label): 1 means
always, 1 / n_attributes means that the two are independent. Counts are exact, not only right on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..checks import choice, number, seeded, share, whole
from .changes import mislabel, thin
from .digits import load_digits, split_indices
from .grouped import GroupedData
from .splits import Splits

# Okabe and Ito's colours (2008), which people with a colour-vision deficiency tell apart, and five more for ten.
COLORS = {
    "orange": (230, 159, 0),
    "blue": (0, 114, 178),
    "green": (0, 158, 115),
    "pink": (204, 121, 167),
    "yellow": (240, 228, 66),
    "sky": (86, 180, 233),
    "red": (213, 40, 30),
    "violet": (120, 60, 200),
    "brown": (140, 86, 40),
    "white": (235, 235, 235),
}


def correlated_attributes(
    labels: Tensor, n_attributes: int, aligned_share: float, *, generator: torch.Generator
) -> Tensor:
    """An attribute for each label, int64 [N], that agrees with the label in exactly round(aligned_share · n_y) of the
    n_y samples of each label y; the others are spread over the other attributes as evenly as whole numbers allow.

    Needs labels below n_attributes, at least two attributes and an aligned_share in [0, 1]; ValueError otherwise.
    """
    aligned_share, n_attributes = share("aligned_share", aligned_share), whole("n_attributes", n_attributes, 2)
    if len(labels) and int(labels.max()) >= n_attributes:
        raise ValueError(f"{n_attributes} attributes for labels up to {int(labels.max())}; every label needs its own")
    attributes = torch.empty_like(labels)
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        aligned = round(aligned_share * len(rows))
        attributes[rows[:aligned]] = label
        others = (label + 1 + torch.arange(len(rows) - aligned) % (n_attributes - 1)) % n_attributes
        attributes[rows[aligned:]] = others
    return attributes


def paint(images: Tensor, colors: Tensor, where: str = "foreground") -> Tensor:
    """Grey images uint8 [N, H, W] in colours uint8 [N, 3] -> uint8 [N, 3, H, W].

    "foreground" colours the strokes on black; "background" keeps them white on a coloured ground.
    """
    choice("where", where, ("foreground", "background"))
    ink = images[:, None].int()
    color = colors[:, :, None, None].int()
    painted = ink * color if where == "foreground" else ink * 255 + (255 - ink) * color
    return (painted // 255).to(torch.uint8)


def colored_digits(
    *,
    classes: int = 2,
    aligned_share: float = 0.95,
    validation_aligned_share: float | None = None,
    test_aligned_share: float | None = None,
    where: str = "foreground",
    seed: int = 0,
    full: bool = False,
) -> Splits:
    """Digits whose colour goes along with the label.

    classes=2   two classes (digit < 5, digit ≥ 5) by two colours: four groups, as in Waterbirds (Sagawa et al. 2020)
    classes=10  ten digits by ten colours: a hundred groups (after Nam et al. 2020; Bahng et al. 2020)

    Which image is trained on and which tested is fixed (`digits.split_indices`: 3,000, 1,000 and 1,000 images); the
    seed decides which images get which colour. `aligned_share` holds for training. Validation and test are unbiased by
    default (the colour is independent of the label, all groups alike in size), so that every group is measured well;
    `validation_aligned_share` and `test_aligned_share` choose another composition. `full` takes the 60,000 digits.
    """
    palette = torch.tensor(list(COLORS.values()), dtype=torch.uint8)
    return _planted(
        classes,
        dict(
            aligned_share=aligned_share,
            validation_aligned_share=validation_aligned_share,
            test_aligned_share=test_aligned_share,
        ),
        tuple(COLORS),
        lambda images, attributes, generator: paint(images, palette[attributes], where),
        seed=seed,
        full=full,
    )


def _planted(
    classes: int,
    aligned: Mapping[str, float | None],
    names: tuple[str, ...],
    draw: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    *,
    seed: int,
    full: bool,
) -> Splits:
    """Digits drawn by `draw(images, attributes, generator)`, in train, validation and test of the aligned shares given
    (None, but for train: unbiased)."""
    classes, generator = choice("classes", classes, (2, 10)), seeded(seed)
    shares = [
        1 / classes if value is None and name != "aligned_share" else share(name, value)
        for name, value in aligned.items()
    ]
    images, numbers = load_digits(full=full)
    labels = numbers if classes == 10 else (numbers >= 5).long()
    label_names = tuple(f"digit {d}" for d in range(10)) if classes == 10 else ("digit<5", "digit≥5")
    parts = []
    for rows, aligned_share in zip(split_indices(numbers), shares):
        attributes = correlated_attributes(labels[rows], classes, aligned_share, generator=generator)
        inputs = draw(images[rows], attributes, generator)
        parts.append(GroupedData(inputs, labels[rows], attributes, label_names, names[:classes]))
    return Splits(*parts)


# Ten textures of one colour, told apart by their pattern: light where true, about half of the ground. y and x are rows
# and columns (they start anywhere, so that no pixel gives the texture away), u is uniform noise in [0, 1).
TEXTURES = {
    "stripes": lambda y, x, u: y % 8 < 4,
    "dots": lambda y, x, u: (y % 8 - 3.5) ** 2 + (x % 8 - 3.5) ** 2 < 10,
    "bars": lambda y, x, u: x % 8 < 4,
    "checkers": lambda y, x, u: (y // 4 + x // 4) % 2 == 0,
    "rising": lambda y, x, u: (y + x) % 8 < 4,
    "noise": lambda y, x, u: u < 0.5,
    "falling": lambda y, x, u: (y - x) % 8 < 4,
    "grid": lambda y, x, u: (y % 7 < 2) | (x % 7 < 2),
    "zigzag": lambda y, x, u: (y + (x % 8 - 4).abs()) % 8 < 4,
    "rings": lambda y, x, u: ((y - 13.5) ** 2 + (x - 13.5) ** 2).sqrt() % 6 < 3,
}
GROUND = 140  # brightness of a texture's light parts; strokes are 255


def texture(images: Tensor, kinds: Tensor, *, generator: torch.Generator) -> Tensor:
    """White strokes on a textured ground: grey images uint8 [N, H, W], kinds int64 [N] (places in TEXTURES, in order)
    -> uint8 [N, 1, H, W]. Every ground starts at a random row and column."""
    n, height, width = images.shape
    y, x = torch.randint(8, (2, n, 1, 1), generator=generator)
    y, x = y + torch.arange(height)[:, None], x + torch.arange(width)
    u = torch.rand(n, height, width, generator=generator)
    ground = torch.zeros(n, height, width, dtype=torch.int32)
    for kind, pattern in enumerate(TEXTURES.values()):
        rows = (kinds == kind).nonzero().flatten()
        ground[rows] = GROUND * pattern(y[rows], x[rows], u[rows]).int()
    return (images + (255 - images.int()) * ground // 255).to(torch.uint8)[:, None]


def textured_digits(
    *,
    classes: int = 10,
    aligned_share: float = 0.95,
    validation_aligned_share: float | None = None,
    test_aligned_share: float | None = None,
    seed: int = 0,
    full: bool = False,
) -> Splits:
    """Digits whose background texture goes along with the label: grey images, uint8 [N, 1, 20, 20].

    All else is as in `colored_digits`: splits, exact counts, unbiased validation and test, ten classes by ten textures
    or two by two. A texture is not one pixel's value but how pixels lie beside each other, and where it starts is
    random, so that a network has to learn it; it is still easier than the digit.
    """
    return _planted(
        classes,
        dict(
            aligned_share=aligned_share,
            validation_aligned_share=validation_aligned_share,
            test_aligned_share=test_aligned_share,
        ),
        tuple(TEXTURES),
        lambda images, attributes, generator: texture(images, attributes, generator=generator),
        seed=seed,
        full=full,
    )


CLOUD = 170  # brightness of the lightest spots


def clouds(n: int, height: int, width: int, *, generator: torch.Generator) -> Tensor:
    """Soft random spots, float [n, height, width] in [0, 1]: uniform noise on a grid four times as coarse, straight
    lines between them."""
    coarse = torch.rand(n, 1, -(-height // 4), -(-width // 4), generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[:, 0]


def domain_digits(*, seed: int = 0, full: bool = False) -> Splits:
    """The same digits in two domains, plain and on a cloudy ground: grey images, uint8 [N, 1, 20, 20], ten labels.

    Attribute 0, "plain": white strokes on black, as they are. Attribute 1, "textured": on `clouds` of another shape for
    each image, up to CLOUD bright (a sparing stand-in for MNIST-M, whose grounds are crops of photographs: Ganin et
    al. 2016, section 5.2.4). In training one half of each digit's images is plain and the other textured, as the seed
    decides; in validation and test every image is there in both domains.
    """
    generator = seeded(seed)
    images, numbers = load_digits(full=full)
    train, *others = split_indices(numbers)
    order = torch.randperm(len(train), generator=generator)
    order = order[torch.argsort(numbers[train][order], stable=True)]  # digit by digit, at random within
    domains = torch.empty_like(train)
    domains[order] = torch.arange(len(train)) % 2
    both = [(rows.repeat(2), torch.arange(2).repeat_interleave(len(rows))) for rows in others]
    parts = []
    for rows, domain in (train, domains), *both:
        chosen = images[rows].int()
        ground = CLOUD * clouds(*chosen.shape, generator=generator) * domain[:, None, None]
        inputs = (chosen + (255 - chosen) * ground.int() // 255).to(torch.uint8)[:, None]
        names = tuple(f"digit {d}" for d in range(10))
        parts.append(GroupedData(inputs, numbers[rows], domain, names, ("plain", "textured")))
    return Splits(*parts)


def long_tailed_digits(*, ratio: float = 100.0, seed: int = 0, full: bool = False) -> Splits:
    """Grey digits of which some are rare: uint8 [N, 1, 20, 20], ten labels, one attribute.

    In training, label y keeps a share ratio^(-y/9) of its images (the exponential profile of Cui et al. 2019), so that
    the most frequent is `ratio` times as frequent as the rarest: at 100, of 300 images each 300, 180, ... 5 and 3. The
    seed decides which images. Validation and test have all labels alike.
    """
    ratio = number("ratio", ratio, 1, what="the most frequent label is that many times as frequent: ")
    images, numbers = load_digits(full=full)
    names = tuple(f"digit {d}" for d in range(10))
    none = torch.zeros_like(numbers)
    even = Splits(
        *(
            GroupedData(images[rows][:, None], numbers[rows], none[rows], names, ("any",))
            for rows in split_indices(numbers)
        )
    )
    return even._replace(train=thin(even.train, tuple(ratio ** (-y / 9) for y in range(10)), seed=seed))


def colored_mnist(
    *, aligned_share: float = 0.85, label_noise: float = 0.25, seed: int = 0, full: bool = False
) -> Splits:
    """Colored MNIST (Arjovsky et al. 2019, section 5): uint8 [N, 2, 14, 14], digit < 5 or not, two colours.

    A share `label_noise` of all labels is wrong; then the colour agrees with the label in an `aligned_share` of the
    training samples (0.85: their two environments of 0.8 and 0.9, pooled) and in a tenth of the test samples. So colour
    predicts the training labels better than the digit can (1 - label_noise), and misleads on test. Training takes what
    elsewhere is training and validation; validation holds the digits of test, for looking on, not for choosing by it.
    """
    aligned_share, label_noise = share("aligned_share", aligned_share), share("label_noise", label_noise)
    generator = seeded(seed)
    images, numbers = load_digits(full=full, framed=True)
    images = torch.nn.functional.avg_pool2d(images[:, None].float(), 2)[:, 0].round().to(torch.uint8)
    first, second, third = split_indices(numbers)
    parts = []
    for rows, agreeing in (torch.cat([first, second]), aligned_share), (third, 0.1), (third, 0.1):
        truth = (numbers[rows] >= 5).long()
        names = ("digit<5", "digit≥5")
        clean = GroupedData(images[rows][:, None], truth, truth, names, ("red", "green"))
        labels = mislabel(clean, label_noise, seed=seed).labels
        attributes = correlated_attributes(labels, 2, agreeing, generator=generator)
        channels = torch.nn.functional.one_hot(attributes, 2).to(torch.uint8)
        parts.append(
            GroupedData(images[rows][:, None] * channels[:, :, None, None], labels, attributes, names, ("red", "green"))
        )
    return Splits(*parts)
