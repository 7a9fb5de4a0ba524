"""Bad input to the analytics of pairs of venues, order flow, costs and responses: a typed error, never a silent NaN."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.study.bad_input import NS, START, Case, attacks, outcome

from crossbook import study
from crossbook.study.lead_lag import lead_lag_both

rng = np.random.default_rng(5)
N = 120


def quotes(seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    ts = START + np.sort(rng.choice(60_000, N, replace=False)) * 1_000_000
    mid = 100 + np.round(np.cumsum(rng.standard_normal(N)) * 0.1, 1)
    size = rng.uniform(1, 9, (2, N))
    frame = {"ts_recv": ts, "ts_event": ts - 1_000_000, "bid": mid - 0.1, "bid_size": size[0], "ask": mid + 0.1}
    return study.quotes(pl.DataFrame(frame | {"ask_size": size[1]}))


def trades(seed: int, near: pl.DataFrame) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    side = rng.choice([-1, 1], N)
    price = np.where(side > 0, near["ask"].to_numpy(), near["bid"].to_numpy())
    ts = near["ts_recv"].to_numpy() + 500_000
    frame = {"ts_recv": ts, "ts_event": ts - 1_000_000, "side": side, "price": price, "size": rng.uniform(0.1, 2, N)}
    return pl.DataFrame(frame)


A, B = quotes(1), quotes(2)
AT, BT = trades(3, A), trades(4, B)
AQ, BQ = A.drop("microprice", "spread_bp"), B.drop("microprice", "spread_bp")
MID = ["ts_recv", "mid"]
PAIR = (A.select(MID), B.select(MID))
SMALL = {"max_lag_ms": 2000, "step_ms": 500, "block_s": 5, "resamples": 20, "null_shifts": 4}
PRICES = pl.DataFrame(
    {
        "ts": START + NS * np.arange(N),
        "x": 4 + (walk := np.cumsum(rng.standard_normal(N)) * 1e-3) + 1e-4 * rng.standard_normal(N),
        "y": 4 + walk + 1e-4 * rng.standard_normal(N),
    }
)
ALPHA, SIGMA = np.array([-0.1, 0.2]), np.array([[1.0, 0.3], [0.3, 1.0]])
FLOW = study.quote_flow(AQ)
BARS = study.integrated_flow(study.flow_bars(FLOW, every_ms=1000))
OTHER = study.integrated_flow(study.flow_bars(study.quote_flow(BQ), every_ms=1000)).with_columns(
    ts=BARS["ts"].head(1) + NS * pl.int_range(pl.len())
)
LEVELS = pl.DataFrame({"depth": np.full(50, 2.0), "ofi_1": rng.standard_normal(50), "ofi_2": rng.standard_normal(50)})
TRADE_BARS = study.trade_bars(AT, A, every_ms=1000)
IMPACTS = study.order_impacts(AT, A, horizon_ms=1000)
EVENTS = study.mid_moves(A).with_columns(kind=pl.int_range(pl.len()) % 2)
ROWS = pl.DataFrame(
    {
        "ts": START + NS * np.arange(N),
        "y": rng.standard_normal(N).cumsum(),
        "x": rng.standard_normal(N),
        "c": rng.standard_normal(N),
        "state": rng.choice(2, N),
    }
)
LP = {"outcome": "y", "shock": "x", "horizons": (1, 2), "lags": 2}
ORDERS = pl.DataFrame({"side": rng.choice([-1, 1], 200), "mid": 100 * np.exp(1e-4 * rng.standard_normal(200).cumsum())})
MATRIX = study.lead_lag_matrix({"a": PAIR[0], "b": PAIR[1]}, **SMALL)
CURVE = study.lead_lag(*PAIR, **SMALL)
MICRO = study.fit_micro_price(A, tick=0.1, buckets=3, spreads=1)
BASIS = study.basis(A, B)
SELL = {"periods": 4, "horizon": 1.0, "volatility": 0.5, "permanent": 1e-6, "temporary": 1e-5}


PLAIN = pl.DataFrame({"time": AT["ts_recv"] // NS, "price": AT["price"], "size": AT["size"], "side": AT["side"]})
NBBO = pl.DataFrame(
    {
        "date": ["2024-01-02"] * 20,
        "time": [f"9:30:{second:02}.5" for second in range(20)],
        "bid": A["bid"].head(20),
        "ofr": A["ask"].head(20),
        "bidsiz": A["bid_size"].head(20),
        "ofrsiz": A["ask_size"].head(20),
    }
)

CASES = [
    Case(study.market_table, (PLAIN,)),
    Case(study.market_table, (NBBO,), {"date": "date", "time": "time", "zone": "America/New_York"}),
    Case(study.lead_lag, PAIR, SMALL),
    Case(study.lead_lag_summary, PAIR, SMALL),
    Case(lead_lag_both, PAIR, SMALL),
    Case(study.lead_lag_ratio, (CURVE,)),
    Case(study.lead_lag_matrix, ({"a": PAIR[0], "b": PAIR[1]},), SMALL),
    Case(study.lead_lag_network, (MATRIX,)),
    Case(study.lead_lag_by_size, PAIR, SMALL | {"groups": 2}),
    Case(study.lead_lag_by_source, ({"quotes": PAIR[0]}, {"quotes": PAIR[1]}), SMALL),
    Case(study.lead_lag_by_time_of_day, PAIR, SMALL),
    Case(study.lead_lag_exact, PAIR),
    Case(study.lead_lag_rolling, PAIR, SMALL | {"window_s": 30, "every_s": 20}),
    Case(study.lead_lag_steps, PAIR),
    Case(study.feedback_twin, (), {"seconds": 5.0}),
    Case(study.feedback_twin, PAIR, {}),
    Case(study.against_twin, PAIR, SMALL | {"runs": 19, "half_life_ms": 500}),
    Case(study.aligned_prices, ({"a": PAIR[0], "b": PAIR[1]},), {"every_ms": 1000}),
    Case(
        study.half_life,
        (np.array([[-0.1], [0.2]]), np.array([[1.0], [-1.0]]), np.zeros((0, 2, 2)), SIGMA),
        {"longest": 100},
        frozenset({"result"}),
    ),
    Case(study.price_discovery, (PRICES,), {"lags": 1, "max_lags": 3, "resamples": 20}),
    Case(study.rolling_discovery, (PRICES,), {"window_rows": 60, "step_rows": 30, "lags": 1, "resamples": 20}),
    Case(study.information_shares, (ALPHA, SIGMA)),
    Case(study.ordered_information_shares, (ALPHA, SIGMA)),
    Case(study.cointegration, (PRICES,), {"lags": 1}),
    Case(study.lag_order, (PRICES,), {"max_lags": 3}),
    Case(study.var, (PRICES,), {"lags": 1}),
    Case(study.vecm, (PRICES,), {"lags": 1}),
    Case(study.vecm, (PRICES,), {"lags": 1, "beta": "johansen", "rank": 1}),
    Case(study.quote_flow, (AQ,)),
    Case(study.flow_bars, (FLOW,), {"every_ms": 1000}),
    Case(study.integrated_weights, (LEVELS,)),
    Case(study.integrated_flow, (LEVELS,)),
    Case(study.flow_regression, (BARS,)),
    Case(study.cross_flow, (BARS, OTHER), {"resamples": 100}),
    Case(study.queue_imbalance, (AQ,)),
    Case(study.queue_imbalance_curve, (AQ,), {"bins": 3}),
    Case(study.even_rows, (), {"states": {"y": (A, "mid")}, "flows": {"f": (AT, "size")}, "step_ms": 1000}),
    Case(study.flow_rows, (A, AT, B, BT), {"step_ms": 1000}, every=4),
    Case(study.trade_bars, (AT, A), {"every_ms": 1000}),
    Case(study.kyle_lambda, (TRADE_BARS,)),
    Case(study.amihud, (TRADE_BARS,)),
    Case(study.order_impacts, (AT, A), {"horizon_ms": 1000}, every=2),
    Case(study.impact_curve, (IMPACTS,), {"bins": 2}),
    Case(study.fit_impact, (IMPACTS,)),
    Case(study.fit_micro_price, (AQ,), {"tick": 0.1, "buckets": 3, "spreads": 1}),
    Case(study.micro_price, (AQ, MICRO)),
    Case(study.schedule_cost, ([10.0, 5.0, 0.0],), {k: v for k, v in SELL.items() if k != "periods"}),
    Case(study.almgren_chriss, (1e4,), SELL | {"risk_aversion": 1e-6}),
    Case(study.efficient_frontier, (1e4,), SELL),
    Case(
        study.obizhaeva_wang,
        (1e4,),
        {
            "periods": 4,
            "horizon": 1.0,
            "depth": 5e3,
            "permanent": 1e-5,
            "resilience": 2.0,
            "volatility": 0.1,
            "risk_aversion": 1e-5,
        },
    ),
    Case(study.sign_trades, (AT, A)),
    Case(study.signing_accuracy, (AT, A), every=3),
    Case(study.quoted_spread, (A,)),
    Case(study.spreads, (AT, A), {"resamples": 20}, every=2),
    Case(study.roll_spread, (AT,)),
    Case(study.prevailing_quotes, (AT, A)),
    Case(study.propagator, (ORDERS,), {"lags": 5, "blocks": 4}),
    Case(study.vpin, (AT,), {"bucket_volume": 5.0, "window": 3, "bar_s": 1.0}),
    Case(study.vpin, (AT,), {"bucket_volume": 5.0, "window": 3, "classify": "side"}),
    Case(study.quotes, (AQ.drop("mid"),)),
    Case(study.basis, (A, B)),
    Case(study.basis_summary, (BASIS,), {"resamples": 20}),
    Case(study.local_projections, (ROWS,), LP),
    Case(study.local_projections, (ROWS,), LP | {"errors": "hac", "controls": ("c",)}),
    Case(study.permanent_and_temporary, (ROWS,), LP | {"permanent": 5}),
    Case(study.split_projections, (ROWS,), LP | {"by": "sign"}),
    Case(study.split_projections, (ROWS,), LP | {"by": "state"}),
    Case(study.split_projections, (ROWS,), LP | {"by": "size", "groups": 2}),
    Case(study.event_projections, (EVENTS, B), {"regressors": "sign", "offsets_ms": (10, 100)}),
    Case(study.aggressor_orders, (AT,)),
    Case(study.mid_moves, (A,)),
    Case(study.touch_flow, (A, AT)),
    Case(study.response, (EVENTS, B), {"step_ms": 500}),
    Case(study.responses, (A, AT, B), {"step_ms": 500}, every=7),
    Case(study.event_paths, (EVENTS, B), {"value": "spread_bp", "step_ms": 500}),
    Case(
        study.event_paths,
        (EVENTS, B),
        {"value": "mid", "transform": "log_bp", "sign": "sign", "by": "kind", "step_ms": 500},
    ),
    Case(study.resilience, (EVENTS, B), {"value": "bid_size", "step_ms": 500, "block_s": 5, "resamples": 20}, every=2),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_gives_a_typed_error_or_a_result_without_nan(case: Case) -> None:
    assert outcome(case, case.frames, case.options) is None
    assert not isinstance(case.call(*case.frames, **case.options), Exception)
    wrong = {f"{kind}: {found}" for kind, frames, options in attacks(case) if (found := outcome(case, frames, options))}
    assert not wrong, f"{case.name}\n" + "\n".join(sorted(wrong))
