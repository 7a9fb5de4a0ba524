"""The analytics: each a function from DataFrames to DataFrames, and `Study`, which runs them on a capture."""

from __future__ import annotations

from crossbook.study.arbitrage import Surfaces, receive_only
from crossbook.study.clocks import clock_path, clocks, impute_times
from crossbook.study.convergence import (
    band_excursions,
    cross_survival,
    fit_band,
    median_survival,
    no_arbitrage_band,
    shock_half_life,
    shock_path,
    survival,
    threshold_basis,
)
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
from crossbook.study.races import adverse_selection, find_races, race_messages, race_summary
from crossbook.study.response import aggressor_orders, mid_moves, response, responses, touch_flow
from crossbook.study.stat_arb import (
    backtest_pair,
    backtest_summary,
    engle_granger,
    johansen,
    kalman_hedge,
    sample_pair,
)
from crossbook.study.study import Study

__all__ = [
    "HawkesFit",
    "Study",
    "Surfaces",
    "adverse_selection",
    "aggressor_orders",
    "backtest_pair",
    "backtest_summary",
    "band_excursions",
    "basis",
    "basis_summary",
    "bertram",
    "clock_path",
    "clocks",
    "cross_ladder",
    "cross_share",
    "cross_survival",
    "crosses",
    "decimals",
    "default_fair_basis",
    "engle_granger",
    "find_crosses",
    "find_races",
    "fit_band",
    "fit_hawkes",
    "fit_ou",
    "hawkes_forecast",
    "hawkes_intensity",
    "hawkes_log_likelihood",
    "hawkes_residuals",
    "hawkes_test",
    "impute_times",
    "johansen",
    "kalman_hedge",
    "lead_lag",
    "lead_lag_summary",
    "median_survival",
    "mid_moves",
    "no_arbitrage_band",
    "quotes",
    "race_messages",
    "race_summary",
    "receive_only",
    "response",
    "responses",
    "sample_pair",
    "shock_half_life",
    "shock_path",
    "simulate_hawkes",
    "simulate_ou",
    "survival",
    "threshold_basis",
    "touch_flow",
    "zeng_lee",
]
