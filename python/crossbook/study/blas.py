"""BLAS on one thread while an analytic runs.

A product of two columns of 10,000 is enough for OpenBLAS to wake its threads, which then wait by spinning: analytics
side by side took a third more time for it, and won nothing.
"""

from __future__ import annotations

import os
import sys
from threading import Lock
from types import TracebackType
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]

ASKED = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")
"""Variables by which somebody asks for a number of threads; if one is set, nothing is changed."""


class _OneThread:
    """Entered by any number of threads and calls at once; the numbers of before come back when the last has left.

    NumPy and SciPy each bring a BLAS, the second with `scipy.linalg`: whichever is there when a call begins is limited.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._known: dict[bool, ThreadpoolController] = {}
        self._limits: dict[bool, Any] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            loaded = "scipy.linalg" in sys.modules
            if loaded in self._limits or any(name in os.environ for name in ASKED):
                return
            if loaded not in self._known:
                self._known[loaded] = ThreadpoolController()
            self._limits[loaded] = self._known[loaded].limit(limits=1, user_api="blas")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                while self._limits:
                    self._limits.popitem()[1].restore_original_limits()


one_blas_thread = _OneThread()
"""``with one_blas_thread: …``"""
