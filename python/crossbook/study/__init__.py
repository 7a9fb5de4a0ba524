"""The analytics: each a function from DataFrames to DataFrames, and `Study`, which runs them on a capture."""

from __future__ import annotations

from crossbook.study.arbitrage import Surfaces, receive_only
from crossbook.study.clocks import clock_path, clocks, impute_times
from crossbook.study.crosses import cross_ladder, cross_share, crosses, default_fair_basis, find_crosses
from crossbook.study.lead_lag import lead_lag, lead_lag_summary
from crossbook.study.quotes import basis, basis_summary, decimals, quotes
from crossbook.study.response import aggressor_orders, mid_moves, response, responses, touch_flow
from crossbook.study.study import Study

__all__ = [
    "Study",
    "Surfaces",
    "aggressor_orders",
    "basis",
    "basis_summary",
    "clock_path",
    "clocks",
    "cross_ladder",
    "cross_share",
    "crosses",
    "decimals",
    "default_fair_basis",
    "find_crosses",
    "impute_times",
    "lead_lag",
    "lead_lag_summary",
    "mid_moves",
    "quotes",
    "receive_only",
    "response",
    "responses",
    "touch_flow",
]
