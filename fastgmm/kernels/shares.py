"""Responsibilities of a tile for one component, and the points for which they count."""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.jit.settings import reduction, worker

# Part of the average share below which one vanishes, in a tile whose points all have a log-density
# at most so far below the highest that there could be.
VANISHING, DISTANT = 1e-17, 5e3
# Part of a sample of pairs that may count so that leaving out the others pays.
MOST_COUNTING, SAMPLE = 1 / 16, 64
# Points that are looked at together for shares that vanish.
POINTS_TOGETHER = 16


@reduction
def scale_share(shares, k, scale, length):
    """Scale exponentials shares[k] (P,) to responsibilities, in place; return their sum."""
    total = shares.dtype.type(0)
    for p in range(length):
        share = shares[k, p] * scale[p]
        shares[k, p] = share
        total += share
    return np.float64(total)


@reduction
def scale_and_count(shares, k, scale, length):
    """Do the same, and return how many responsibilities are not next to nothing."""
    total, n_counting = shares.dtype.type(0), 0
    least = shares.dtype.type(VANISHING)
    for p in range(length):
        share = shares[k, p] * scale[p]
        shares[k, p] = share
        total += share
        n_counting += share > least
    return np.float64(total), n_counting


@reduction
def scale_and_weigh(shares, k, scale, values, length):
    """Do the same, and return Σ r · values[k] too, which are read."""
    total, weighted = shares.dtype.type(0), shares.dtype.type(0)
    for p in range(length):
        share = shares[k, p] * scale[p]
        shares[k, p] = share
        total += share
        weighted += share * values[k, p]
    return np.float64(total), np.float64(weighted)


@reduction
def sum_of_share(shares, k, length):
    """Return the sum of the first shares of component k."""
    total = shares.dtype.type(0)
    for p in range(length):
        total += shares[k, p]
    return np.float64(total)


@worker
def few_points_count(shares, m, vanishing):
    """Whether few points count for a component, as far as the first points of the tile tell."""
    n_counting, sample = 0, np.uint64(min(m, SAMPLE))  # not negative, so vectorized
    least = shares.dtype.type(vanishing)
    for k in range(shares.shape[0]):
        for p in range(sample):
            n_counting += shares[k, p] > least
    return n_counting < MOST_COUNTING * shares.shape[0] * sample


# Wide: the caller takes arrays out of their records, once for a tile.
@worker
def choose_points(shares, chosen, chosen_shares, count, first, m, start, k, least):
    """Choose points of a tile, from `first` on, whose share is more than `least`.

    They are noted behind the `count` chosen before; the tile begins at `start` of the rows.
    Return the first point for which there was no room, or m, and how many are chosen now.
    """
    q, threshold, all_of_them = count, shares.dtype.type(least), np.uint64(POINTS_TOGETHER)
    for s in range(first, m, POINTS_TOGETHER):
        n_present, begin, place = 0, np.uint64(s), np.uint64(q)  # not negative, so vectorized
        for p in range(all_of_them):
            n_present += shares[k, begin + p] > threshold
        if n_present == 0:
            continue
        if q + POINTS_TOGETHER > chosen.shape[0]:
            return s, q
        if n_present == POINTS_TOGETHER and s + POINTS_TOGETHER <= m:
            for p in range(all_of_them):
                chosen[place + p] = start + s + np.int64(p)
                chosen_shares[place + p] = shares[k, begin + p]
            q += POINTS_TOGETHER
        else:
            for p in range(s, min(s + POINTS_TOGETHER, m)):
                chosen[q] = start + p
                chosen_shares[q] = shares[k, p]
                q += shares[k, p] > threshold
    return m, q


@worker
def vanishing_part(model, tile, m):
    """Part of the average share that may be left out of the moments of a tile.

    What is left out sums to less than the rounding error of the total, unless it is very far from
    all components: those points count however little they weigh, and all that are given.
    """
    likeliest, n_distant = -np.inf, 0
    for k in range(model.log_constants.size):
        constant = np.float64(model.log_constants[k])
        likeliest = constant if constant > likeliest else likeliest
    least = tile.peak.dtype.type(likeliest - DISTANT)
    for p in range(m):
        n_distant += not tile.peak[p] > least
    return VANISHING if n_distant == 0 and model.log_constants.size > 0 else 0.0
