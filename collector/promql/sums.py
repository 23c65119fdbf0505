"""Sums that lose no digits where it matters.

Prometheus sums with compensation (Neumaier's), one number after the other. Here plain sums are taken of all rows at
once, and only the rows in which digits were lost to cancellation, or that met infinities, are summed again that way.
"""

import numpy as np

from collector.series.read import Mask, Values

# A plain sum of k terms errs by at most k * 2^-53 * (sum of magnitudes): rows where that could exceed 1e-12 of the
# result are repeated with compensation.
_LOSS_ALLOWED = 1e-12
_ROUNDING = 2.0**-53


def sum_rows(values: Values, valid: Mask | None) -> Values:
    """Sums of the valid cells of each row: values of shape (m, k) in, (m,) out; 0 for a row without any."""
    terms = values if valid is None else np.where(valid, values, 0.0)
    sums = terms.sum(axis=1)
    doubtful = _doubtful(sums, terms)
    if doubtful.any():
        rows = np.flatnonzero(doubtful)
        total, compensation = compensated(terms[rows])
        sums[rows] = np.where(np.isinf(total), total, total + compensation)
    return np.asarray(sums)


def mean_rows(values: Values, valid: Mask | None, counts: Values) -> Values:
    """Means of the valid cells, the first of each row: as `sum_rows`, but safe where the sum overflows."""
    terms = values if valid is None else np.where(valid, values, 0.0)
    sums = terms.sum(axis=1)
    means = sums / counts
    doubtful = _doubtful(sums, terms)
    if doubtful.any():
        rows = np.flatnonzero(doubtful)
        means[rows] = _careful_means(terms[rows], counts[rows])
    return np.asarray(means)


def compensated(terms: Values) -> tuple[Values, Values]:
    """Neumaier's sum along each row: the sums and what must still be added to them."""
    total = np.zeros(len(terms))
    compensation = np.zeros(len(terms))
    for column in range(terms.shape[1]):
        total, compensation = add(terms[:, column], total, compensation)
    return total, compensation


def add(term: Values, total: Values, compensation: Values) -> tuple[Values, Values]:
    """One step of Neumaier's sum."""
    grown = total + term
    lost = np.where(np.abs(total) >= np.abs(term), (total - grown) + term, (term - grown) + total)
    return grown, np.where(np.isinf(grown), 0.0, compensation + lost)


def _doubtful(sums: Values, terms: Values) -> Mask:
    magnitudes = np.abs(terms).sum(axis=1)
    kept = magnitudes * (_ROUNDING * terms.shape[1]) <= np.abs(sums) * _LOSS_ALLOWED
    return np.asarray((~kept & ~np.isnan(magnitudes)) | np.isinf(sums))


def _careful_means(terms: Values, counts: Values) -> Values:
    """Mean by compensated sum, going over to an incremental mean in the rows where the sum overflows."""
    total = terms[:, 0].copy()
    compensation = np.zeros(len(terms))
    incremental = np.zeros(len(terms), dtype=bool)
    mean = np.zeros(len(terms))
    for column in range(1, terms.shape[1]):
        term, within = terms[:, column], column < counts
        grown, lost = add(term, total, compensation)
        overflowing = within & ~incremental & np.isinf(grown)
        mean = np.where(overflowing, total / column, mean)
        compensation = np.where(overflowing, compensation / column, compensation)
        direct = within & ~incremental & ~overflowing
        total = np.where(direct, grown, total)
        incremental |= overflowing
        kept = column / (column + 1)
        new_mean, new_lost = add(term / (column + 1), kept * mean, kept * compensation)
        stepping = within & incremental
        mean = np.where(stepping, new_mean, mean)
        compensation = np.where(stepping, new_lost, np.where(direct, lost, compensation))
    return np.asarray(np.where(incremental, mean + compensation, total / counts + compensation / counts))
