"""The error of an average over time when what is averaged depends on its own past."""

from __future__ import annotations

import math

import numpy as np

from crossbook.study.series import Floats

__all__ = ["cosine_error"]

CELLS = 8
"""Pieces of time to a cosine: so many that the sums over them tell it from the next ones."""


def cosine_error(ends: Floats, totals: Floats, cosines: int) -> float:
    """The standard error of a sum that grows over time, by `cosines` equally weighted cosines.

    ``Var Σu = (2 / ν) Σ_{j=1..ν} (∫ cos(π j t / T) dU(t))²`` with ``U`` the running sum: its value ``totals`` at times
    ``ends`` (both from 0, straight between), known to end at 0 (deviations from a mean). Cosines of up to ``ν / 2``
    turns over the whole time see what is slow, and what is slower than they are is what makes the error of a mean.
    Student's t with ``ν`` degrees. Beside sums over blocks nothing is lost that depends across the end of one: the bias
    is of second order in the length of memory over that of a cosine, not of first.

    Müller (2004), "A theory of robust long-run variance estimation"; Lazarus, Lewis, Stock & Watson (2018), "HAR
    inference: recommendations for practice", Journal of Business & Economic Statistics 36(4), where it is the
    equal-weighted cosine (EWC) estimator.
    """
    cells = CELLS * cosines
    added = np.diff(np.interp(np.linspace(0.0, ends[-1], cells + 1), ends, totals))
    turn = np.arange(1, cosines + 1)
    # Σ_t u_t cos(π j (t + ½) / cells): a transform of twice the length, turned by half a step.
    waves = np.fft.rfft(added, 2 * cells)[1 : cosines + 1] * np.exp(-0.5j * np.pi * turn / cells)
    return math.sqrt(2 / cosines * float((waves.real**2).sum()))
