"""The parts of a study beyond its pass over the events, each in a file of its own: `part(study)` gives a `Part`."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from crossbook.errors import DataError
from crossbook.study.blas import one_blas_thread
from crossbook.study.parts.part import Part, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crossbook.study.study import Study

__all__ = ["Part", "Row", "parts"]


def parts(study: Study) -> Iterator[Part]:
    """Every part of a study of two venues, in the report's order. One that cannot be computed says why.

    Two run at a time: their kernels hold no lock.
    """
    from crossbook.study.parts import (
        anticipation,
        convergence,
        discovery,
        feedback,
        latency,
        order_flow,
        projections,
        stat_arb,
        twin,
    )

    if len(study.capture.instruments) < 2:
        return
    # What several of them read is computed once, before.
    study.basis, study.crosses  # noqa: B018
    with contextlib.suppress(DataError):
        study.response  # noqa: B018
    every = [
        (twin.part, twin.TITLE, twin.HEADLINE),
        (discovery.part, discovery.TITLE, discovery.HEADLINE),
        (projections.part, projections.TITLE, projections.HEADLINE),
        (order_flow.part, order_flow.TITLE, order_flow.HEADLINE),
        (latency.part, latency.TITLE, latency.HEADLINE),
        (feedback.part, feedback.TITLE, feedback.HEADLINE),
        (convergence.part, convergence.TITLE, convergence.HEADLINE),
        (stat_arb.part, stat_arb.TITLE, stat_arb.HEADLINE),
        (anticipation.part, anticipation.TITLE, anticipation.HEADLINE),
    ]

    def one(entry: tuple[Callable[[Study], Part], str, tuple[str, str, str]]) -> Part:
        compute, title, (part, measure, unit) = entry
        try:
            with one_blas_thread:
                return compute(study)
        except DataError as error:
            return Part(title, [(part, measure, None, None, None, unit, None)], f"Not measured: {error}.")

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(one, every)
