"""For whom does a model fail? Its answers, counted by attribute, label and prediction, and the gaps between attributes
that fairness is measured by, each with an interval.

    found = audit(model, data)                  a network, on data with attributes
    found = count(labels, attributes, predictions, label_names, attribute_names)        anybody's answers
    found.report, found.gaps, found.calibration
    found.by_attribute()                        of several attributes that were crossed, the same of each

For a label y against all others (a prediction ŷ, an attribute a):

    accuracy               P(ŷ is right | a)
    selection rate         P(ŷ = y | a); its gap is zero under demographic parity
    true positive rate     P(ŷ = y | label y, a); zero under equal opportunity (Hardt, Price and Srebro 2016)
    false positive rate    P(ŷ = y | another label, a)
    equalised odds         the larger gap of the two before (Hardt, Price and Srebro 2016)

A gap is the rate of the attribute that has the highest, minus that of the one with the lowest: values as fairlearn's
(`demographic_parity_difference` and its kin). Which two those are is chosen by looking, so the interval holds for all
pairs of attributes, and all labels that are shown, at once: Newcombe's for each pair (1998, method 10), at the level
1 - 0.05/m for m pairs and labels, with the largest lower and the largest upper end of any pair. Attributes without a
sample to count are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checks import choice
from ..data import GroupedData
from ..data.columns import apart, merged
from ..data.grouped import group_names
from ..evaluation import Z95, GroupReport, no_labels, predict

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

BINS = 15  # of the confidence, as in Guo et al. 2017
LEVEL = 0.95


class Gap(NamedTuple):
    """A difference of rates between the attributes number `highest` and `lowest`, with its interval, and both rates."""

    value: float
    low: float
    high: float
    highest: int
    lowest: int
    rates: tuple[float, float] = (math.nan, math.nan)
    trials: tuple[int, int] = (0, 0)


def gap(successes: Sequence[int] | np.ndarray, trials: Sequence[int] | np.ndarray, level: float = LEVEL) -> Gap | None:
    """The largest difference between the rates of attributes, one number of `successes` and `trials` for each; None
    where fewer than two have a trial."""
    from scipy.stats import binomtest

    known = [a for a, n in enumerate(trials) if n]
    if len(known) < 2:
        return None
    each = 1 - (1 - level) / math.comb(len(known), 2)
    rates, ends = [], []
    for a in known:
        found = binomtest(int(successes[a]), int(trials[a]))
        rates.append(found.statistic)
        ends.append(found.proportion_ci(each, "wilson"))
    p, (low, high) = np.array(rates), np.array(ends).T
    ahead = p[:, None] - p  # row minus column
    down = np.hypot((p - low)[:, None], high - p)
    up = np.hypot((high - p)[:, None], p - low)
    first, last = int(p.argmax()), int(p.argmin())
    lowest, highest = max(0.0, float((ahead - down).max())), float((ahead + up).max())
    ends_at = float(p[first] - p[last]), lowest, min(1.0, highest)
    n = int(trials[known[first]]), int(trials[known[last]])
    return Gap(*ends_at, known[first], known[last], (float(p[first]), float(p[last])), n)


@dataclass(frozen=True, eq=False)
class Audit:
    """Answers of a model, counted.

    counts      int [n_attributes, n_labels, n_labels]: samples by attribute, label and prediction
    confidence  for each attribute, of each sample: the probability of the prediction, and whether it is right; None
                where it is not known
    """

    counts: np.ndarray
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    confidence: tuple[tuple[np.ndarray, np.ndarray], ...] | None = None

    @property
    def report(self) -> GroupReport:
        """Accuracies by group, and their averages."""
        right = self.counts.diagonal(axis1=1, axis2=2).T.flatten()
        n = self.counts.sum(2).T.flatten()
        return GroupReport(tuple(map(int, right)), tuple(map(int, n)), self.label_names, self.attribute_names)

    def by_attribute(self) -> dict[str, Audit]:
        """Where several attributes were crossed, the audit of each, {"sex": ..., "age": ...}, over all values of the
        others; {} where there is one attribute. The intervals of its gaps hold for that attribute, not for all."""
        found = {}
        for column, (names, places) in apart(self.attribute_names).items():
            sure = None
            if self.confidence is not None:
                both = [np.stack(each) for each in self.confidence]  # [2, n] of each combination
                of = ([b for b, at in zip(both, places) if at == value] for value in range(len(names)))
                sure = tuple((rows[0], rows[1]) for rows in map(np.hstack, of))
            found[column] = Audit(merged(self.counts, places), self.label_names, names, sure)
        return found

    def gaps(self, positive: str | None = None) -> pd.DataFrame:
        """Data frame with a row per measure and label: measure, label, gap, low, high, and for the attributes with the
        highest and the lowest rate: highest, highest_rate, highest_n, lowest, ... Of two labels only one is shown, the
        second or the `positive` one: the rates of the other follow. NaN where fewer than two attributes have samples
        to count."""
        import pandas as pd

        names = self.label_names
        if positive is not None:
            shown = [choice("positive", positive, names)]
        else:
            shown = list(names[1:] if len(names) == 2 else names)
        n, right = self.counts.sum((1, 2)), self.counts.trace(axis1=1, axis2=2)
        rows = [("accuracy", "", gap(right, n))]
        for name in shown:
            level = 1 - (1 - LEVEL) / len(shown)
            rows += [(measure, name, found) for measure, found in self._of(names.index(name), level).items()]
        ends = [f"{end}{what}" for end in ("highest", "lowest") for what in ("", "_rate", "_n")]
        columns = ["measure", "label", "gap", "low", "high", *ends]
        return pd.DataFrame([(m, y, *self._said(found)) for m, y, found in rows], columns=columns)

    def _of(self, label: int, level: float) -> dict[str, Gap | None]:
        """The gaps of one label against all others."""
        of_label, others = self.counts[:, label], np.delete(self.counts, label, axis=1).sum(1)
        chosen, every = self.counts[:, :, label].sum(1), self.counts.sum((1, 2))
        hits, alarms = np.stack([of_label[:, label], of_label.sum(1)]), np.stack([others[:, label], others.sum(1)])
        both = [each for s, n in (hits, alarms) if (each := gap(s, n, 1 - (1 - level) / 2))]
        odds = max(both, default=None, key=lambda each: each.value)
        if odds:  # two families of pairs, and the ends hold for both
            odds = odds._replace(low=max(each.low for each in both), high=max(each.high for each in both))
        return {
            "selection rate": gap(chosen, every, level),
            "true positive rate": gap(hits[0], hits[1], level),
            "false positive rate": gap(alarms[0], alarms[1], level),
            "equalised odds": odds,
        }

    def _said(self, found: Gap | None) -> tuple[Any, ...]:
        if found is None:
            return (math.nan,) * 3 + ("", math.nan, 0) * 2
        numbers = found.highest, found.lowest
        names = [self.attribute_names[i] if found.value else "" for i in numbers]  # at a tie, nobody is ahead
        both = zip(names, found.rates, found.trials)
        return (*found[:3], *(each for end in both for each in end))

    @property
    def calibration(self) -> pd.DataFrame:
        """Data frame with a row per attribute: n, confidence and accuracy (means), over_confidence (their difference)
        with its 95 % interval low to high (none below 10 samples), and ece, the expected calibration error with 15 bins
        of equal width (Guo et al. 2017, equation 3; it has no interval, and is too high where samples are few)."""
        import pandas as pd

        if self.confidence is None:
            raise ValueError("the confidence of the predictions is not known; give their probabilities")
        rows = []
        for name, (sure, right) in zip(self.attribute_names, self.confidence):
            n, over = len(sure), sure - right
            half = Z95 * over.std(ddof=1) / math.sqrt(n) if n >= 10 else math.nan
            bins = np.minimum((sure * BINS).astype(int), BINS - 1)
            error = np.abs(np.bincount(bins, over, BINS)).sum() / n if n else math.nan
            mean = over.mean() if n else math.nan
            means = (sure.mean(), right.mean()) if n else (math.nan, math.nan)
            rows.append((name, n, *means, mean, max(mean - half, -1.0), min(mean + half, 1.0), error))
        columns = ["attribute", "n", "confidence", "accuracy", "over_confidence", "low", "high", "ece"]
        return pd.DataFrame(rows, columns=columns)


def count(
    labels: Any,
    attributes: Any,
    predictions: Any,
    label_names: Sequence[str],
    attribute_names: Sequence[str],
    *,
    confidence: Any = None,
) -> Audit:
    """Count anybody's answers: whole numbers [N] for labels, attributes and predictions, from 0, and the probability
    [N] of each prediction, where it is known. Raises ValueError for other lengths, numbers without a name, and
    probabilities outside of 0 to 1."""
    label_names, attribute_names = tuple(label_names), tuple(attribute_names)
    group_names(label_names, attribute_names)
    known = dict(labels=len(label_names), attributes=len(attribute_names), predictions=len(label_names))
    given = {}
    for (name, size), values in zip(known.items(), (labels, attributes, predictions)):
        given[name] = values = np.asarray(values)
        if values.ndim != 1 or len(values) != len(given["labels"]):
            raise ValueError(f"{name} have the shape {values.shape}; give one whole number for each of the samples")
        if values.dtype.kind not in "iu" or (len(values) and not 0 <= values.min() <= values.max() < size):
            raise ValueError(f"{name} are not all whole numbers from 0 to {size - 1}; there are {size} names for them")
    if not len(given["labels"]):
        raise ValueError("there is no sample; give at least one")
    counts = np.zeros((known["attributes"], known["labels"], known["labels"]), int)
    np.add.at(counts, (given["attributes"], given["labels"], given["predictions"]), 1)
    if confidence is None:
        return Audit(counts, label_names, attribute_names)
    sure = np.asarray(confidence, float)
    if sure.shape != given["labels"].shape or not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("confidence is not one probability from 0 to 1 for each sample; give the prediction's own")
    right = (given["labels"] == given["predictions"]).astype(float)
    of = [given["attributes"] == a for a in range(known["attributes"])]
    return Audit(counts, label_names, attribute_names, tuple((sure[rows], right[rows]) for rows in of))


def audit(model: nn.Module, data: GroupedData, *, batch_size: int = 1024) -> Audit:
    """The answers of a network that returns logits, on data with labels and attributes."""
    if data.unlabelled:
        raise ValueError(no_labels(data))
    predictions, confidence = answers(model, data, batch_size=batch_size)
    labels, attributes = data.labels.cpu().numpy(), data.attributes.cpu().numpy()
    return count(labels, attributes, predictions, data.label_names, data.attribute_names, confidence=confidence)


def answers(model: nn.Module, data: GroupedData, *, batch_size: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """What a network predicts for each sample, whole numbers [N], and how probable it finds that, [N]."""
    logits = predict(model, data, batch_size=batch_size)
    if logits.shape != (len(data), data.n_labels) or not logits.isfinite().all():
        wanted = f"finite logits [{len(data)}, {data.n_labels}]"
        raise ValueError(f"the model returns {tuple(logits.shape)}, or what is not finite; it should return {wanted}")
    sure, predictions = logits.double().softmax(1).max(1)
    return predictions.cpu().numpy(), sure.cpu().numpy()
