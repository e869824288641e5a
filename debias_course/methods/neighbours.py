"""The k nearest neighbours of every sample, exactly.

Three ways to the same answer. Up to a few thousand rows, all pairs are compared in double precision. Beyond, in few
dimensions and on a CPU, a tree is asked. Otherwise all pairs are compared in single precision, for a few candidates
more than wanted; these are measured again in double precision; and a bound on the rounding says of each row whether a
neighbour may have been missed. Where it may, the row is compared in double precision, too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checks
from ..checks import number

BLOCK = 16_000_000  # distances that are held at once
SMALL = 4096  # rows for which double precision costs nothing that matters
CHUNK = 64
WIDE = 256  # dimensions from which on the products take most of the time


def neighbours(x: Tensor, k: int) -> Tensor:
    """The k nearest others of each row of x [n, d] in Euclidean distance, nearest first: int64 [n, k]; among equally
    near ones the order is any. Exact up to the rounding of double precision, whatever the precision of x.

    All pairs are compared, a block at a time, as |y|²/2 - x·y: one matrix product, after the mean of x is taken off (a
    long way from the origin, the squares would drown the distances in rounding).
    """
    checks.tensor("x", x, "[n, d]", whole=False)
    n = len(x)
    number("k", k, whole=True)
    if not 1 <= k < n:
        raise ValueError(f"each of {n} samples has {n - 1} neighbours; k is {k}, use 1 to {n - 1}")
    x = x.detach()
    if n > SMALL and x.device.type == "cpu" and 4 ** (x.shape[1] - 1) <= n:  # where a tree is faster, as measured
        return _by_tree(x.double(), k)
    precise = x.double() - x.double().mean(0)
    return _search(precise, k)[1] if n <= SMALL or x.dtype == torch.float64 else _twice(precise, k)


def _twice(x: Tensor, k: int) -> Tensor:
    """`_search` for x [n, d] in single precision, and in double precision for the rows in which that may be wrong.

    Single precision compares by |y|²/2 - x·y, which is off by ε (|x| + |y|)²/2 at most, ε = (d + 8) 2^-24: rounded
    inputs, sums of d products and a few operations more. (What is too small for it is off by (d + 8) 2^-125; and torch
    takes true single precision for products, not TF32, unless asked to.) So two candidates are in their true
    order, and all others behind, where the values differ by more than twice that. Other rows measure their candidates
    again; their k nearest are right where the k-th is surely nearer than the last.
    """
    n, d = x.shape
    least, found = _search(x.float(), min(k + 1 + (d >= WIDE), n - 1))  # the more dimensions, the less is sure
    length = x.norm(dim=1)
    off = (d + 8) * (2.0**-25 * (length + length.max()).square() + 2.0**-125)
    unsure = (least.diff(dim=1)[:, :k] <= 2 * off[:, None]).any(1).nonzero().flatten()
    nearest, missed = found[:, :k].contiguous(), [unsure[:0]]
    for rows in unsure.split(max(1, BLOCK // (4 * found.shape[1] * d))):
        candidates = found[rows].sort(1).values  # so that equal ones come in their order
        squares, order = (x[candidates] - x[rows, None]).square_().sum(2).sort(dim=1, stable=True)
        nearest[rows] = candidates.gather(1, order[:, :k])
        last = (squares[:, k - 1] - length[rows].square()) / 2
        missed.append(rows[last + off[rows] >= least[rows, -1]])
    wrong = torch.cat(missed)
    if len(wrong):
        nearest[wrong] = _compared(*_padded(x), wrong, k)[1]
    return nearest


def _by_tree(x: Tensor, k: int) -> Tensor:
    from scipy.spatial import KDTree

    points = x.cpu().numpy()
    found = KDTree(points, leafsize=32, balanced_tree=False).query(points, k + 1)[1]
    others = torch.from_numpy(found) != torch.arange(len(x))[:, None]
    others[others.all(1), -1] = False  # more than k copies came before the sample itself
    return torch.from_numpy(found)[others].view(-1, k)


def _padded(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with rows of zeros up to a multiple of CHUNK, and |x|²/2 of each row, which is infinite for those."""
    columns = F.pad(x, (0, 0, 0, -len(x) % CHUNK))
    half = F.pad(x.square().sum(1) / 2, (0, -len(x) % CHUNK), value=torch.inf)
    if not torch.isfinite(half[: len(x)]).all():
        raise ValueError("the samples are too large to square; scale them down, to a standard deviation of 1, say")
    return columns, half


def _search(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`_compared` for all rows of x [n, d], by whichever way is faster."""
    n, (columns, half) = len(x), _padded(x)
    size = min(1024, max(1, BLOCK // n))
    if x.shape[1] >= WIDE and n > size and k <= CHUNK:
        least, found = _halved(columns, half, k, size // CHUNK * CHUNK or CHUNK)
        return least[:n], found[:n]
    return _compared(columns, half, torch.arange(n, device=x.device), k)


def _compared(columns: Tensor, half: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """|y|²/2 - x·y of the k best y for each of the `rows` x, best first, and which these are: both [rows, k]."""
    size = min(1024, max(1, BLOCK // len(columns)))
    buffer = columns.new_empty(min(size, len(rows)), len(columns))
    least, found = [columns[:0, :1].expand(0, k)], [rows[:0, None].expand(0, k)]
    for block in rows.split(size):
        distances = torch.addmm(half, columns[block], columns.T, alpha=-1, out=buffer[: len(block)])
        distances[torch.arange(len(block), device=rows.device), block] = torch.inf  # no sample is its own neighbour
        found.append(_smallest(distances, k))
        least.append(distances.gather(1, found[-1]))
    return torch.cat(least), torch.cat(found)


def _halved(x: Tensor, half: Tensor, k: int, size: int) -> tuple[Tensor, Tensor]:
    """`_compared` for all rows with half of the products, which is what takes the time in many dimensions: a block of
    rows is compared with itself and the rows behind it only, and what it has for those is merged into their best.

    By hand, k = 1 and blocks of two for x = 0, 1, 3, 4 with |x|²/2 = 0, 0.5, 4.5, 8:

        the block 0, 1   |y|²/2 - x·y  [inf, 0.5, 4.5, 8], [0, inf, 1.5, 4]   nearest: row 1 for row 0, row 0 for row 1
        for 3, 4 behind  |x|²/2 - x·y  [0, -2.5], [0, -3.5]                   row 1 for both, so far
        the block 3, 4   |y|²/2 - x·y  [inf, -4], [-7.5, inf]                 less than -2.5 and -3.5: row 3 and row 2
    """
    n = len(x)
    best = x.new_full((n, k), torch.inf)
    found = torch.zeros(n, k, dtype=torch.int64, device=x.device)
    buffer = x.new_empty(size * n)

    def merge(rows: slice, distances: Tensor, indices: Tensor) -> None:
        distances = torch.cat([best[rows], distances], 1)
        best[rows], at = distances.topk(k, largest=False)
        found[rows] = torch.cat([found[rows], indices], 1).gather(1, at)

    for start in range(0, n, size):
        end = min(start + size, n)
        shape = (end - start, n - start)
        block = buffer[: shape[0] * shape[1]].view(shape)
        torch.addmm(half[start:], x[start:end], x[start:].T, alpha=-1, out=block)
        block.diagonal().fill_(torch.inf)
        at = _smallest(block, k)
        merge(slice(start, end), block.gather(1, at), at + start)
        if end == n:
            break
        behind = block[:, end - start :].sub_(half[end:]).add_(half[start:end, None])  # the other way round
        chunks = behind.view(-1, CHUNK, n - end)
        chunk, column = (chunks.amin(1) < best[end:, -1]).nonzero().unbind(1)  # few, after the first blocks
        order = torch.argsort(column, stable=True)
        chunk, column = chunk[order], column[order]
        values, inside = chunks[chunk, :, column].topk(k, largest=False)
        hits = torch.bincount(column, minlength=n - end)  # column 0 0 2: hits 2 0 1, and places 0 1 0
        place = torch.arange(len(column), device=x.device) - (hits.cumsum(0) - hits)[column]
        width = int(hits.max())
        distances = x.new_full((n - end, width, k), torch.inf)
        indices = torch.zeros(n - end, width, k, dtype=torch.int64, device=x.device)
        distances[column, place] = values
        indices[column, place] = chunk[:, None] * CHUNK + inside + start
        merge(slice(end, n), distances.flatten(1), indices.flatten(1))
    return best, found


def _smallest(values: Tensor, k: int) -> Tensor:
    """Columns of the k smallest of each row, smallest first; the k best chunks of a row hold them.

    By hand, k = 2 and chunks of two: [5, 1 | 7, 8 | 2, 3] has the smallest 1, 7, 2, so chunks 0 and 2 are best. Of what
    is in them, [5, 1, 2, 3], places 1 and 2 are smallest: place 1 of chunk 0 is column 1, place 0 of chunk 2 column 4.
    """
    rows, columns = values.shape
    chunks = values.view(rows, columns // CHUNK, CHUNK)
    if k >= chunks.shape[1]:
        return values.topk(k, largest=False).indices
    best = chunks.amin(2).topk(k, largest=False, sorted=False).indices
    inside = chunks.gather(1, best[:, :, None].expand(-1, -1, CHUNK)).flatten(1)
    at = inside.topk(k, largest=False).indices
    return best.gather(1, at // CHUNK) * CHUNK + at % CHUNK
