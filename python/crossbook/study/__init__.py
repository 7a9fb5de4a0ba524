"""The analytics: each a function from DataFrames to DataFrames, and `Study`, which runs them on a capture."""

from __future__ import annotations

from crossbook.study.arbitrage import Surfaces, receive_only
from crossbook.study.clocks import clock_path, clocks, impute_times
from crossbook.study.crosses import cross_ladder, cross_share, crosses, default_fair_basis, find_crosses
from crossbook.study.hawkes import (
    HawkesFit,
    fit_hawkes,
    hawkes_forecast,
    hawkes_intensity,
    hawkes_log_likelihood,
    hawkes_residuals,
    hawkes_test,
    simulate_hawkes,
)
from crossbook.study.lead_lag import lead_lag, lead_lag_summary
from crossbook.study.ou import bertram, fit_ou, simulate_ou, zeng_lee
from crossbook.study.quotes import basis, basis_summary, decimals, quotes
from crossbook.study.response import aggressor_orders, mid_moves, response, responses, touch_flow
from crossbook.study.study import Study

__all__ = [
    "HawkesFit",
    "Study",
    "Surfaces",
    "aggressor_orders",
    "basis",
    "basis_summary",
    "bertram",
    "clock_path",
    "clocks",
    "cross_ladder",
    "cross_share",
    "crosses",
    "decimals",
    "default_fair_basis",
    "find_crosses",
    "fit_hawkes",
    "fit_ou",
    "hawkes_forecast",
    "hawkes_intensity",
    "hawkes_log_likelihood",
    "hawkes_residuals",
    "hawkes_test",
    "impute_times",
    "lead_lag",
    "lead_lag_summary",
    "mid_moves",
    "quotes",
    "receive_only",
    "response",
    "responses",
    "simulate_hawkes",
    "simulate_ou",
    "touch_flow",
    "zeng_lee",
]
