"""How well the labels of independent fits agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np


def agreement(labels: np.ndarray, others: np.ndarray) -> float:
    """Index of Fowlkes and Mallows of two labellings: T / √(P Q).

    T is the number of pairs of points that are together in both, P and Q in each of them. Without
    any such pair they say nothing, and the index is 0.

    References
    ----------
    Fowlkes and Mallows, A method for comparing two hierarchical clusterings, Journal of the
    American Statistical Association 78 (1983).
    """
    n_others = int(others.max()) + 1
    table = np.bincount(labels * n_others + others, minlength=(int(labels.max()) + 1) * n_others)
    counts = table.reshape(-1, n_others).astype(np.float64)
    n = float(len(labels))
    both = np.sum(counts**2) - n
    in_one, in_other = (np.sum(counts.sum(axis=axis) ** 2) - n for axis in (1, 0))
    return float(both / np.sqrt(in_one) / np.sqrt(in_other)) if both > 0 else 0.0


def mean_agreement(fits: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Mean over all pairs of fits with different numbers; NaN if there are none."""
    pairs = product(enumerate(fits), enumerate(others))
    return float(np.mean([agreement(a, b) for (i, a), (j, b) in pairs if i != j] or np.nan))


def stabilities(fits: Sequence[Sequence[np.ndarray]]) -> list[float]:
    """Mean agreement of the fits of each size with those of the sizes before and after it.

    NaN where there are no fits of the size, or of neither neighbour.

    References
    ----------
    Varrone et al., CellCharter reveals spatial cell niches associated with tissue remodeling and
    cell plasticity, Nature Genetics 56 (2024), methods.
    """
    between = [mean_agreement(a, b) for a, b in pairwise(fits)]
    sides = zip([np.nan, *between], [*between, np.nan], strict=True)
    known = [[side for side in pair if not np.isnan(side)] for pair in sides]
    return [float(np.mean(pair)) if pair else np.nan for pair in known]
