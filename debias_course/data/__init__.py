"""What we train on: grouped data, real digits with a planted bias, toys, and one's own images."""

from collections.abc import Callable
from functools import partial

from . import toys as toys
from .biases import colored_digits as colored_digits
from .biases import domain_digits as domain_digits
from .biases import long_tailed_digits as long_tailed_digits
from .biases import textured_digits as textured_digits
from .changes import half_size as half_size
from .changes import mislabel as mislabel
from .changes import smooth_labels as smooth_labels
from .changes import soften as soften
from .changes import weigh as weigh
from .columns import cross_attributes as cross_attributes
from .datasets import from_dataset as from_dataset
from .datasets import from_datasets as from_datasets
from .digits import load_digits as load_digits
from .folder import image_folder as image_folder
from .folder import inspect_folder as inspect_folder
from .grouped import Batch as Batch
from .grouped import GroupedData as GroupedData
from .problems import FolderError as FolderError
from .scenes import scenes as scenes
from .splits import Splits as Splits
from .streaming import ImageFiles as ImageFiles
from .two_biases import two_sided_digits as two_sided_digits

# Data sets that the command line knows by name: each is called with seed=... and returns Splits.
DATASETS: dict[str, Callable[..., Splits]] = {
    "colored-digits": partial(colored_digits, classes=2),
    "colored-digits-10": partial(colored_digits, classes=10),
    "textured-digits-10": partial(textured_digits, classes=10),
    "two-sided-digits-10": partial(two_sided_digits, classes=10),
    "domain-digits": domain_digits,
    "long-tailed-digits": long_tailed_digits,
}
