"""What we train on: grouped data, real digits with a planted bias, and toys."""

from functools import partial

from . import toys as toys
from .biases import colored_digits as colored_digits
from .biases import domain_digits as domain_digits
from .biases import half_size as half_size
from .biases import long_tailed_digits as long_tailed_digits
from .biases import mislabel as mislabel
from .biases import textured_digits as textured_digits
from .digits import load_digits as load_digits
from .grouped import Batch as Batch
from .grouped import GroupedData as GroupedData
from .grouped import Splits as Splits

# Data sets that the command line knows by name: each is called with seed=... and returns Splits.
DATASETS = {
    "colored-digits": partial(colored_digits, classes=2),
    "colored-digits-10": partial(colored_digits, classes=10),
    "textured-digits-10": partial(textured_digits, classes=10),
    "domain-digits": domain_digits,
    "long-tailed-digits": long_tailed_digits,
}
