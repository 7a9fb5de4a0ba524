"""VPIN, Kyle's lambda, Amihud's ratio, impact curves, the square-root law and the propagator."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import (
    amihud,
    fit_impact,
    impact_curve,
    kyle_lambda,
    order_impacts,
    propagator,
    trade_bars,
    vpin,
)

MS, S = 1_000_000, 1_000_000_000
START = 1_700_000_000 * S


def fills(rows: list[tuple[float, int, float, float]]) -> pl.DataFrame:
    """Seconds, side, price, size."""
    schema = {"ts_recv": pl.Int64, "side": pl.Int8, "price": pl.Float64, "size": pl.Float64}
    table = [(START + round(at * S), side, price, size) for at, side, price, size in rows]
    return pl.DataFrame(table, schema=schema, orient="row").with_columns(ts_event="ts_recv")


def test_vpin_by_side_divides_trades_over_buckets() -> None:
    seen = fills([(0, 1, 10, 3), (1, -1, 10, 3), (2, 0, 10, 4), (3, 1, 10, 1)])
    found = vpin(seen, bucket_volume=5, window=2, classify="side")
    # 3 bought and 2 of 3 sold; 1 sold, and 4 of which half was bought.
    assert found["buy"].to_list() == [3, 2]
    assert found["sell"].to_list() == [2, 3]
    assert found["imbalance"].to_list() == pytest.approx([0.2, 0.2])
    assert found["vpin"].to_list() == [None, pytest.approx(0.2)]
    assert found["cdf"].to_list() == [None, 1.0]
    assert [(t - START) // S for t in found["start"].to_list()] == [0, 1]
    assert [(t - START) // S for t in found["end"].to_list()] == [1, 2]


def test_vpin_by_bulk_classification_is_the_papers_formula() -> None:
    rng = np.random.default_rng(1)
    price = 100 + np.cumsum(rng.standard_normal(300) * 0.1)
    size = rng.uniform(0.5, 2, 300)
    seen = fills([(k * 10.0, 1, price[k], size[k]) for k in range(300)])
    found = vpin(seen, bucket_volume=20.0, window=5, bar_s=60)
    # By hand: bars of six trades, then the fills of buckets one bar at a time.
    last, volume = price[5::6], size.reshape(50, 6).sum(axis=1)
    change = np.append(0.0, np.diff(last))
    sigma = np.std(change[1:], ddof=1)
    buy = volume * np.array([0.5 * (1 + math.erf(c / sigma / math.sqrt(2))) for c in change])
    buckets, room, bought = [], 20.0, 0.0
    for v, b in zip(volume, buy, strict=True):
        left = v
        while left >= room:
            bought += b * room / v
            buckets.append(bought)
            left, room, bought = left - room, 20.0, 0.0
        bought += b * left / v
        room -= left
    assert found["buy"].to_list() == pytest.approx(buckets)
    imbalance = np.abs(2 * np.array(buckets) - 20) / 20
    assert found["vpin"].to_list()[4:] == pytest.approx(np.convolve(imbalance, np.full(5, 0.2), "valid"))
    assert found["cdf"].drop_nulls().max() == 1.0


def test_vpin_of_little_or_constant_input_is_empty_or_even_and_of_bad_input_an_error() -> None:
    seen = fills([(k, 1, 10, 1) for k in range(10)])
    assert vpin(seen.head(2), bucket_volume=5).height == 0
    assert vpin(seen.head(0), bucket_volume=5).height == 0
    even = vpin(seen, bucket_volume=5, window=1, bar_s=1)
    assert even["vpin"].to_list() == [0.0, 0.0]
    assert vpin(seen, bucket_volume=5, window=3)["vpin"].to_list() == [None, None]
    assert vpin(seen.with_columns(size=0.1), bucket_volume=0.1, window=1).height == 10
    for frame, options, expected in [
        (seen.drop("size"), {}, "missing"),
        (seen.with_columns(size=-1.0), {}, "sizes of 0"),
        (seen.with_columns(price=math.nan), {}, "finite"),
        (seen, {"bucket_volume": 0}, "above 0"),
        (seen, {"window": 0}, "above 0"),
        (seen, {"classify": "lee"}, "classify"),
    ]:
        with pytest.raises(DataError, match=expected):
            vpin(frame, **({"bucket_volume": 5} | options))


def test_bars_of_trades_hold_what_they_should() -> None:
    seen = fills([(0.5, 1, 10, 2), (1.0, -1, 11, 1), (1.5, 0, 11, 4), (3.5, 1, 12, 1)])
    quotes = pl.DataFrame({"ts_recv": [START, START + S, START + 3 * S], "mid": [10.0, 11.0, 11.0]})
    found = trade_bars(seen, quotes, every_ms=1000, start=START, end=START + 3 * S)
    assert found["trades"].to_list() == [2, 1, 0]
    assert found["volume"].to_list() == [3, 4, 0]
    assert found["signed_volume"].to_list() == [1, 0, 0]
    assert found["value"].to_list() == [31, 44, 0]
    assert found["signed_value"].to_list() == [9, 0, 0]
    assert found["move"].to_list() == [1, 0, 0]
    assert found["return_bp"].to_list() == [pytest.approx(1e4 * math.log(1.1)), 0, 0]
    early = trade_bars(seen, quotes, every_ms=1000, start=START - S, end=START + S)
    assert early["move"].to_list() == [None, 1.0]
    for frames, options, expected in [
        ((seen.drop("side"), quotes), {}, "trades: missing"),
        ((seen, quotes.drop("mid")), {}, "quotes: expected a column mid"),
        ((seen.head(0), quotes), {}, "found none"),
        ((seen, quotes), {"every_ms": 0}, "every_ms"),
        ((seen, quotes), {"every_ms": 0.001, "end": START + 100 * S}, "at most"),
    ]:
        with pytest.raises(DataError, match=expected):
            trade_bars(*frames, **options)


def test_lambda_and_amihud_are_what_made_the_bars() -> None:
    rng = np.random.default_rng(2)
    signed = rng.standard_normal(2000)
    bars = pl.DataFrame(
        {
            "move": 0.4 * signed + rng.standard_normal(2000),
            "return_bp": 2.0 * signed + rng.standard_normal(2000),
            "signed_volume": signed,
            "signed_value": signed * 5e5,
            "value": np.abs(signed) * 5e5,
        }
    )
    row = kyle_lambda(bars).row(0, named=True)
    assert row["lo"] < 0.4 < row["hi"]
    assert row["bp_lo"] < 4.0 < row["bp_hi"]
    assert row["observations"] == 2000
    exact = bars.with_columns(return_bp=pl.when(pl.col("signed_volume") > 0).then(3.0).otherwise(-1.0), value=2e6)
    assert amihud(exact)["amihud"][0] == pytest.approx((3 * (signed > 0) + (signed <= 0)).mean() / 2)
    assert amihud(exact.with_columns(return_bp=3.0)).row(0) == (1.5, None, None, 2000)
    assert amihud(exact.with_columns(value=0.0)).row(0) == (None, None, None, 0)
    with pytest.raises(DataError, match="missing"):
        amihud(bars.drop("value"))
    with pytest.raises(DataError, match="at least 4"):
        kyle_lambda(bars.head(3))
    with pytest.raises(DataError, match="0 throughout"):
        kyle_lambda(bars.with_columns(signed_volume=0.0))


def test_an_orders_impact_is_measured_from_the_quote_it_met() -> None:
    quotes = pl.DataFrame(
        {"ts_recv": [START, START + S, START + 3 * S], "bid": [99.0, 100, 98], "ask": [101.0, 102, 100]}
    )
    quotes = quotes.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2)
    seen = fills([(1.05, 1, 101, 2), (2, -1, 100, 1), (2.5, 1, 102, 1)])
    found = order_impacts(seen, quotes, horizon_ms=1000)
    # The first met the quote that it moved, at 1 s; the third would need the mid at 3.5 s, after the last quote.
    assert found["mid"].to_list() == [100, 101]
    assert found["impact_bp"].to_list() == pytest.approx([1e4 * math.log(101 / 100), -1e4 * math.log(99 / 101)])
    assert found["value"].to_list() == [202, 100]
    assert order_impacts(seen, quotes.head(0)).height == 0
    with pytest.raises(DataError, match="horizon_ms"):
        order_impacts(seen, quotes, horizon_ms=0)
    with pytest.raises(DataError, match="column mid"):
        order_impacts(seen, quotes.drop("mid"))


def impacts(count: int, seed: int, exponent: float = 0.5, noise: float = 0.5) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    size = np.exp(rng.standard_normal(count))
    values = 3.0 * (size / 50.0) ** exponent + noise * rng.standard_normal(count)
    return pl.DataFrame({"ts": START + np.arange(count) * S, "size": size, "impact_bp": values})


def test_the_curve_averages_orders_of_like_size() -> None:
    frame = pl.DataFrame(
        {"ts": START + S * np.arange(6), "size": [1.0, 1, 1, 2, 3, 9], "impact_bp": [1.0, 2, 3, 4, 6, 7]}
    )
    found = impact_curve(frame, bins=2, block_s=1.0)
    assert found["orders"].to_list() == [3, 3]
    assert found["impact_bp"].to_list() == pytest.approx([2.0, 17 / 3])
    assert found["size"].to_list() == pytest.approx([1.0, 14 / 3])
    # Student's t of 2 degrees of freedom times the standard error, as the orders are blocks of their own.
    assert found["hi"][0] - 2.0 == pytest.approx(4.302652730 * 1 / math.sqrt(3))
    assert impact_curve(frame, bins=1, block_s=60.0)["lo"].to_list() == [None]
    assert impact_curve(frame.head(0)).height == 0
    assert impact_curve(frame.with_columns(size=1.0), bins=5)["orders"].to_list() == [6]
    with pytest.raises(DataError, match="positive"):
        impact_curve(frame.with_columns(size=0.0))
    with pytest.raises(DataError, match="missing"):
        impact_curve(frame, by="value")
    with pytest.raises(DataError, match="bins"):
        impact_curve(frame, bins=0)


def test_the_law_is_recovered_and_agrees_with_scipy() -> None:
    from scipy.optimize import curve_fit

    frame = impacts(5000, 1, exponent=0.6)
    law, free = fit_impact(frame, volume=50.0, block_s=1.0).iter_rows(named=True)
    assert free["exponent_lo"] < 0.6 < free["exponent_hi"]
    assert free["lo"] < 3.0 < free["hi"]
    assert (law["exponent"], law["exponent_lo"]) == (0.5, None)
    x, y = frame["size"].to_numpy(), frame["impact_bp"].to_numpy()
    (a, d), cover = curve_fit(lambda q, a, d: a * (q / 50) ** d, x, y, p0=[1, 0.5])
    assert (free["coefficient"], free["exponent"]) == (pytest.approx(a, rel=1e-5), pytest.approx(d, rel=1e-5))
    # Residuals of one variance: the sandwich and the textbook's errors agree but for noise.
    width = (free["exponent_hi"] - free["exponent"]) / 1.96
    assert width == pytest.approx(math.sqrt(cover[1, 1]), rel=0.1)
    root = np.sqrt(x / 50)
    assert law["coefficient"] == pytest.approx(float(root @ y / (root @ root)))
    assert law["r2"] < free["r2"]
    exact = fit_impact(impacts(50, 2, noise=0.0), volume=50.0, block_s=1.0)
    assert exact["exponent"].to_list() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert exact["coefficient"].to_list() == pytest.approx([3.0, 3.0], rel=1e-6)
    scaled = fit_impact(frame, volume=50.0, volatility_bp=10.0, block_s=1.0)
    assert scaled["coefficient"][0] == pytest.approx(law["coefficient"] / 10)


def test_a_law_that_cannot_be_fitted_is_an_error_and_an_edge_is_said() -> None:
    frame = impacts(200, 3)
    edge = fit_impact(frame, exponents=(1.0, 2.0)).row(1, named=True)
    assert (edge["status"], edge["exponent_lo"]) == ("edge", None)
    assert edge["exponent"] == pytest.approx(1.0, abs=1e-5)
    for table, options, expected in [
        (frame.head(9), {}, "at least 10"),
        (frame.with_columns(size=2.0), {}, "different sizes"),
        (frame.with_columns(impact_bp=0.0), {}, "not all 0"),
        (frame.with_columns(impact_bp=math.inf), {}, "finite"),
        (frame.with_columns(ts=START), {}, "3 blocks"),
        (frame, {"volume": 0.0}, "above 0"),
        (frame, {"exponents": (1.0, 0.0)}, "exponents"),
    ]:
        with pytest.raises(DataError, match=expected):
            fit_impact(table, **options)


def transient(count: int, seed: int, noise: float = 0.3) -> tuple[pl.DataFrame, np.ndarray]:
    """Signs that follow each other, each with an effect that decays to 0 within 20 orders."""
    rng = np.random.default_rng(seed)
    sign = np.cumprod(np.where(rng.uniform(size=count) < 0.75, 1, -1)).astype(np.float64)
    kernel = np.maximum(1 - np.arange(20) / 20, 0) ** 2
    effect = np.convolve(sign, kernel)[:count]
    mid = 100 * np.exp(1e-4 * (np.append(0.0, effect[:-1]) + noise * np.cumsum(rng.standard_normal(count))))
    return pl.DataFrame({"side": sign, "mid": mid}), kernel


def test_the_propagator_of_a_known_model_is_recovered() -> None:
    orders, kernel = transient(100_000, 1)
    found = propagator(orders, lags=30)
    truth = np.append(kernel, np.zeros(10))
    inside = (found["lo"].to_numpy() < truth) & (truth < found["hi"].to_numpy())
    assert inside.mean() > 0.8
    assert found["kernel_bp"].to_numpy() == pytest.approx(truth, abs=0.08)
    assert found["sign_correlation"].to_list()[:3] == pytest.approx([0.5, 0.25, 0.125], abs=0.02)
    # The response is that of the mid itself, orders that follow included.
    sign, log = orders["side"].to_numpy(), 1e4 * np.log(orders["mid"].to_numpy())
    for lag in (1, 7, 30):
        direct = np.mean(sign[: -lag or None] * (log[lag:] - log[:-lag]))
        assert found["response_bp"][lag - 1] == pytest.approx(direct, abs=2e-3)


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(2, 6), st.integers(0, 10**6))
def test_the_kernel_solves_the_equations_of_the_model(lags: int, blocks: int, seed: int) -> None:
    orders, _ = transient(300, seed)
    found = propagator(orders, lags=lags, blocks=blocks)
    sign, log = orders["side"].to_numpy()[:-1], 1e4 * np.log(orders["mid"].to_numpy())
    returns, n = np.diff(log), 299
    c = [float(sign[: n - k] @ sign[k:]) / (n - k) for k in range(lags + 1)]
    s = [float(sign[: n - k] @ returns[k:]) / (n - k) for k in range(lags)]
    matrix = np.array([[c[abs(i - j)] for j in range(lags)] for i in range(lags)])
    if np.linalg.cond(matrix) < 1e6:
        assert found["kernel_bp"].to_numpy() == pytest.approx(np.cumsum(np.linalg.solve(matrix, s)), abs=1e-6)
    assert found["sign_correlation"].to_list() == pytest.approx(c[1:])
    assert found["response_bp"].to_list() == pytest.approx(np.cumsum(s).tolist(), abs=1e-9)


def test_orders_without_a_propagator_are_typed_errors() -> None:
    orders, _ = transient(400, 1)
    holes = orders.with_columns(mid=pl.when(pl.int_range(pl.len()) % 50 != 0).then("mid"))
    assert propagator(holes, lags=5)["orders"][0] == 392
    for frame, options, expected in [
        (orders.drop("mid"), {}, "missing"),
        (orders, {"lags": 100}, "at least 1000 orders"),
        (orders.head(0), {}, "at least"),
        (orders.with_columns(side=1), {}, "one of them alone"),
        (orders.with_columns(mid=-1.0), {}, "positive"),
        (orders, {"lags": 0}, "lags"),
        (orders, {"blocks": 1}, "blocks"),
    ]:
        with pytest.raises(DataError, match=expected):
            propagator(frame, **({"lags": 5} | options))
