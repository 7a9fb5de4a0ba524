"""The analytics: each a function from DataFrames to DataFrames, and `Study`, which runs them on a capture.

What all have in common:

* **Times** are ns since 1970, UTC, in ``ts_recv`` (our clock) and ``ts_event`` (the exchange's), 0 or null where
  unknown; `clock` says which is used, rows without it are left out, and rows are put in its order (those of one instant
  stay in their own). A Datetime does as well. `market_table` makes such tables of any other.
* **Prices and sizes** are decimals; null and NaN mean unknown, infinite ones and sizes below 0 are refused.
* **Tables** are Polars', or any that speak Arrow's stream interface, as pandas' do.
* **Errors** are `crossbook.Error`: a `DataError` names function, argument, column and what was expected. Results hold
  nulls where a docstring says so, and never NaN.
* **Chance** has a `seed`: the same input gives the same numbers.
* **Threads**: a kernel runs on the caller's, the interpreter released. BLAS keeps to one while an analytic runs,
  unless a number is asked for by its own variable (``OPENBLAS_NUM_THREADS`` and their like).
"""

from __future__ import annotations

from crossbook.study.advice import advice, forecast_trades, forecast_trades_summary
from crossbook.study.anticipation import anticipation_features, anticipation_outcomes
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
from crossbook.study.discovery import Discovery, aligned_prices, half_life, price_discovery, rolling_discovery
from crossbook.study.execution import almgren_chriss, efficient_frontier, obizhaeva_wang, schedule_cost
from crossbook.study.flow_levels import flow_levels
from crossbook.study.flow_rows import even_rows, flow_rows
from crossbook.study.forecast import forecast_scores, purged_splits, reliability, walk_forward
from crossbook.study.forecasters import Boosted, Forecaster, Ridge
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
from crossbook.study.impact import amihud, fit_impact, impact_curve, kyle_lambda, order_impacts, trade_bars
from crossbook.study.latency import connectivity, latency_at, publication_grid, response_on_latency, venue_delays
from crossbook.study.lead_lag import lead_lag, lead_lag_ratio, lead_lag_summary
from crossbook.study.lead_lag_network import Network, lead_lag_matrix, lead_lag_network
from crossbook.study.lead_lag_parts import (
    lead_lag_by_size,
    lead_lag_by_source,
    lead_lag_by_time_of_day,
    lead_lag_exact,
    lead_lag_rolling,
    lead_lag_steps,
)
from crossbook.study.micro_price import fit_micro_price, micro_price
from crossbook.study.order_flow import (
    cross_flow,
    flow_bars,
    flow_regression,
    integrated_flow,
    integrated_weights,
    order_flow,
    queue_imbalance,
    queue_imbalance_curve,
    quote_flow,
)
from crossbook.study.ou import bertram, fit_ou, simulate_ou, zeng_lee
from crossbook.study.prevailing import prevailing_quotes
from crossbook.study.projections import event_projections, local_projections, permanent_and_temporary, split_projections
from crossbook.study.propagator import propagator
from crossbook.study.quotes import basis, basis_summary, decimals, quotes
from crossbook.study.races import adverse_selection, find_races, race_messages, race_summary
from crossbook.study.resilience import event_paths, resilience
from crossbook.study.response import aggressor_orders, mid_moves, response, responses, touch_flow
from crossbook.study.shares import information_shares, ordered_information_shares
from crossbook.study.signing import sign_trades, signing_accuracy
from crossbook.study.spreads import quoted_spread, roll_spread, spreads
from crossbook.study.stale import stale_effect, stale_windows
from crossbook.study.stat_arb import (
    backtest_pair,
    backtest_summary,
    engle_granger,
    johansen,
    kalman_hedge,
    sample_pair,
)
from crossbook.study.study import Study
from crossbook.study.tables import market_table
from crossbook.study.twin import Twins, against_twin, feedback_twin
from crossbook.study.vecm import Var, Vecm, cointegration, lag_order, var, vecm
from crossbook.study.vpin import vpin

__all__ = [
    "Boosted",
    "Discovery",
    "Forecaster",
    "HawkesFit",
    "Network",
    "Ridge",
    "Study",
    "Surfaces",
    "Twins",
    "Var",
    "Vecm",
    "adverse_selection",
    "advice",
    "against_twin",
    "aggressor_orders",
    "aligned_prices",
    "almgren_chriss",
    "amihud",
    "anticipation_features",
    "anticipation_outcomes",
    "backtest_pair",
    "backtest_summary",
    "band_excursions",
    "basis",
    "basis_summary",
    "bertram",
    "clock_path",
    "clocks",
    "cointegration",
    "connectivity",
    "cross_flow",
    "cross_ladder",
    "cross_share",
    "cross_survival",
    "crosses",
    "decimals",
    "default_fair_basis",
    "efficient_frontier",
    "engle_granger",
    "even_rows",
    "event_paths",
    "event_projections",
    "feedback_twin",
    "find_crosses",
    "find_races",
    "fit_band",
    "fit_hawkes",
    "fit_impact",
    "fit_micro_price",
    "fit_ou",
    "flow_bars",
    "flow_levels",
    "flow_regression",
    "flow_rows",
    "forecast_scores",
    "forecast_trades",
    "forecast_trades_summary",
    "half_life",
    "hawkes_forecast",
    "hawkes_intensity",
    "hawkes_log_likelihood",
    "hawkes_residuals",
    "hawkes_test",
    "impact_curve",
    "impute_times",
    "information_shares",
    "integrated_flow",
    "integrated_weights",
    "johansen",
    "kalman_hedge",
    "kyle_lambda",
    "lag_order",
    "latency_at",
    "lead_lag",
    "lead_lag_by_size",
    "lead_lag_by_source",
    "lead_lag_by_time_of_day",
    "lead_lag_exact",
    "lead_lag_matrix",
    "lead_lag_network",
    "lead_lag_ratio",
    "lead_lag_rolling",
    "lead_lag_steps",
    "lead_lag_summary",
    "local_projections",
    "market_table",
    "median_survival",
    "micro_price",
    "mid_moves",
    "no_arbitrage_band",
    "obizhaeva_wang",
    "order_flow",
    "order_impacts",
    "ordered_information_shares",
    "permanent_and_temporary",
    "prevailing_quotes",
    "price_discovery",
    "propagator",
    "publication_grid",
    "purged_splits",
    "queue_imbalance",
    "queue_imbalance_curve",
    "quote_flow",
    "quoted_spread",
    "quotes",
    "race_messages",
    "race_summary",
    "receive_only",
    "reliability",
    "resilience",
    "response",
    "response_on_latency",
    "responses",
    "roll_spread",
    "rolling_discovery",
    "sample_pair",
    "schedule_cost",
    "shock_half_life",
    "shock_path",
    "sign_trades",
    "signing_accuracy",
    "simulate_hawkes",
    "simulate_ou",
    "split_projections",
    "spreads",
    "stale_effect",
    "stale_windows",
    "survival",
    "threshold_basis",
    "touch_flow",
    "trade_bars",
    "var",
    "vecm",
    "venue_delays",
    "vpin",
    "walk_forward",
    "zeng_lee",
]
