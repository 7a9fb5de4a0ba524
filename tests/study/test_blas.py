"""BLAS keeps to one thread while an analytic runs, and goes back to what it was."""

import numpy as np
import polars as pl
import pytest
from threadpoolctl import ThreadpoolController

from crossbook.study import blas
from crossbook.study.blas import one_blas_thread
from crossbook.study.checked import checked


def threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}


@pytest.fixture
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in blas.ASKED:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody_asks")
def test_an_analytic_runs_with_one_thread_and_leaves_the_number_as_it_was() -> None:
    @checked
    def analytic(frame: pl.DataFrame) -> set[int]:
        with one_blas_thread:  # calls within calls
            np.ones(3) @ np.ones(3)
        return threads()

    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = threads()
        assert analytic(pl.DataFrame()) == {1}
        assert threads() == before


@pytest.mark.usefixtures("nobody_asks")
def test_the_number_comes_back_after_an_error_too() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = threads()
        with pytest.raises(ValueError, match="on purpose"), one_blas_thread:
            raise ValueError("on purpose")
        assert threads() == before


def test_who_asks_for_threads_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = threads()
        with one_blas_thread:
            assert threads() == before
