"""What papers print, to stand beside what is measured here (lecture 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Bahng et al. 2020, table 1: accuracy in % on unbiased test data, digits on coloured ground, of 60,000 in training.
REBIAS = {
    "aligned share": ("0.999", "0.997", "0.995", "0.990"),
    "plain": (10.4, 33.4, 72.1, 89.1),
    "ReBias": (22.7, 64.2, 76.0, 88.1),
    "learned mixin": (12.1, 50.2, 78.2, 88.3),
    "RUBi": (13.7, 43.0, 90.4, 93.6),
}


def rebias_table() -> pd.DataFrame:
    """Table 1 of Bahng et al. (2020): accuracy in % on unbiased digits, by the aligned share in training."""
    import pandas as pd

    return pd.DataFrame(REBIAS)
