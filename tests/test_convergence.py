from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import (
    adverse_selection,
    band_excursions,
    cross_survival,
    find_races,
    fit_band,
    median_survival,
    no_arbitrage_band,
    race_messages,
    race_summary,
    shock_half_life,
    shock_path,
    survival,
    threshold_basis,
)

MS = 1_000_000
START = 1_700_000_000_000_000_000


def banded(seed: int, *, count: int = 120_000, lower: float = -4.0, upper: float = 6.0) -> pl.DataFrame:
    """A basis that wanders inside the band and comes back to its edges at 3 and 1 per second, 20 ms a step."""
    rng = np.random.default_rng(seed)
    fine, noise = 4, rng.standard_normal((count, 4))
    dt = 0.02 / fine
    x, values = 0.0, np.empty(count)
    for k in range(count):
        for e in noise[k]:
            drift = -3.0 * (x - upper) if x > upper else -1.0 * (x - lower) if x < lower else 0.0
            x += drift * dt + 4.0 * math.sqrt(dt) * e
        values[k] = x
    return pl.DataFrame({"ts": START + np.arange(count) * 20 * MS, "basis_bp": values})


@pytest.fixture(scope="module")
def basis() -> pl.DataFrame:
    return banded(1)


def test_the_band_is_where_the_exact_profit_of_taking_both_touches_changes_its_sign():
    fees = {"primary_fee_bp": 2.0, "secondary_fee_bp": 10.0}
    halves = {"primary_half_spread_bp": 0.5, "secondary_half_spread_bp": 1.5}
    lower, upper = no_arbitrage_band(**fees, **halves)
    for edge, sign in ((upper, 1), (lower, -1)):
        for nudge in (-1e-6, 1e-6):
            primary, secondary = 100.0, 100.0 * (1 + (edge + nudge) / 1e4)
            if sign > 0:
                profit = secondary * (1 - 1.5e-4) * (1 - 10e-4) - primary * (1 + 0.5e-4) * (1 + 2e-4)
            else:
                profit = primary * (1 - 0.5e-4) * (1 - 2e-4) - secondary * (1 + 1.5e-4) * (1 + 10e-4)
            assert (profit > 0) is (nudge * sign > 0)
    assert upper != pytest.approx(-lower, abs=1e-3)
    assert no_arbitrage_band(**fees, short_secondary_bp=5.0)[1] > no_arbitrage_band(**fees)[1] + 4.9
    assert no_arbitrage_band(**fees, short_primary_bp=5.0)[0] < no_arbitrage_band(**fees)[0] - 4.9
    with pytest.raises(DataError, match="finite number"):
        no_arbitrage_band(primary_fee_bp=math.nan, secondary_fee_bp=1.0)


def test_each_side_of_a_threshold_process_has_its_own_speed_and_the_inside_none(basis):
    found = threshold_basis(basis, lower_bp=-4.0, upper_bp=6.0)
    above, inside, below = found.rows(named=True)
    assert [row["regime"] for row in (above, inside, below)] == ["above", "inside", "below"]
    assert above["speed_lo"] < 3.0 < above["speed_hi"]
    assert below["speed_lo"] < 1.0 < below["speed_hi"]
    assert inside["speed_lo"] < 0.3
    assert above["sigma"] == pytest.approx(4.0, rel=0.05)
    assert found["time_share"].sum() == pytest.approx(1.0)
    assert above["half_life_ms"] < below["half_life_ms"]


def test_the_band_is_found_from_the_basis_itself(basis):
    row = fit_band(basis.gather_every(2), steps=10).row(0, named=True)
    assert row["lower_bp"] == pytest.approx(-4.0, abs=2.0)
    assert row["upper_bp"] == pytest.approx(6.0, abs=1.5)
    assert row["gain"] > 100
    rng = np.random.default_rng(2)
    walk = basis.head(5000).with_columns(basis_bp=np.cumsum(rng.standard_normal(5000)) * 0.5)
    assert fit_band(walk, steps=5)["gain"].item() < 60


def test_regimes_without_enough_steps_are_null_and_say_so(basis):
    found = threshold_basis(basis.head(2000), lower_bp=-1000.0, upper_bp=1000.0)
    assert found["status"].to_list()[::2] == ["too few", "too few"]
    assert found["speed"].to_list()[0] is None
    assert found["time_share"].to_list() == [0.0, 1.0, 0.0]


def test_excursions_by_hand():
    values = [0, 5, 9, 6, 3, 0, -7, -4, -2, 8]
    frame = pl.DataFrame({"ts": [k * MS for k in range(10)], "basis_bp": [float(v) for v in values]})
    found = band_excursions(frame, lower_bp=-3.0, upper_bp=4.0)
    rows = found.select(
        "side", "start", "end", "peak_at", "peak_bp", "duration_ms", "half_ms", "censored", "half_censored"
    )
    assert rows.rows() == [
        # Peak 5 beyond 4, at 6 it is 2: half or less.
        (1, 1 * MS, 4 * MS, 2 * MS, 5.0, 3.0, 1.0, False, False),
        (-1, 6 * MS, 8 * MS, 6 * MS, 4.0, 2.0, 1.0, False, False),
        (1, 9 * MS, 9 * MS, 9 * MS, 4.0, 0.0, 0.0, True, True),
    ]
    assert band_excursions(frame, lower_bp=-50, upper_bp=50).height == 0


def test_survival_by_hand():
    # Freireich's 6-MP arm (1963), the standard example: weeks of remission, + for those censored. Kaplan–Meier
    # estimates and the median of 23 weeks as in Kalbfleisch & Prentice, and in R's survival.
    weeks = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    cut = [0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    curve = survival(pl.DataFrame({"duration_ms": [float(w) for w in weeks], "censored": [bool(c) for c in cut]}))
    steps = curve.filter(pl.col("ended") > 0)
    assert steps["duration_ms"].to_list() == [6, 7, 10, 13, 16, 22, 23]
    expected = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert steps["survival"].to_list() == pytest.approx(expected, abs=5e-4)
    assert steps["at_risk"].to_list() == [21, 17, 15, 12, 11, 7, 6]
    # R: survfit(..., conf.type = "log-log"): at 10 weeks 0.503 to 0.889.
    row = steps.filter(pl.col("duration_ms") == 10).row(0, named=True)
    assert (row["lo"], row["hi"]) == (pytest.approx(0.503, abs=1e-3), pytest.approx(0.889, abs=1e-3))
    assert median_survival(curve) == (23.0, 13.0, None)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40))
def test_survival_agrees_with_statsmodels_and_without_censoring_it_is_the_share_that_lasts(rows):
    from statsmodels.duration.survfunc import SurvfuncRight

    frame = pl.DataFrame({"duration_ms": [float(t) for t, _ in rows], "censored": [c for _, c in rows]})
    curve = survival(frame)
    if not frame["censored"].all():
        theirs = SurvfuncRight(frame["duration_ms"].to_numpy(), (~frame["censored"]).to_numpy().astype(int))
        ours = curve.tail(-1).filter(pl.col("ended") > 0)
        assert ours["duration_ms"].to_list() == theirs.surv_times.tolist()
        assert ours["survival"].to_list() == pytest.approx(theirs.surv_prob.tolist())
    whole = survival(frame.with_columns(censored=False))
    for t, share in whole.tail(-1).select("duration_ms", "survival").rows():
        assert share == pytest.approx((frame["duration_ms"] > t).mean())
    assert curve["survival"].is_between(0, 1).all()


def test_empty_and_unusable_durations():
    empty = pl.DataFrame(schema={"duration_ms": pl.Float64, "censored": pl.Boolean})
    curve = survival(empty)
    assert curve.height == 0
    assert median_survival(curve) == (None, None, None)
    for frame, expected in [
        (pl.DataFrame({"duration_ms": [-1.0], "censored": [False]}), "0 or more"),
        (pl.DataFrame({"duration_ms": [math.nan], "censored": [False]}), "finite"),
        (
            pl.DataFrame({"duration_ms": [None], "censored": [False]}, schema_overrides={"duration_ms": pl.Float64}),
            "finite",
        ),
        (pl.DataFrame({"duration_ms": [1.0]}), "missing"),
    ]:
        with pytest.raises(DataError, match=expected):
            survival(frame)
    with pytest.raises(DataError, match="share"):
        median_survival(curve, share=1.0)
    crosses = pl.DataFrame({"duration_ms": [1.0, 2.0], "censored": [False, False], "direction": ["b", "a"]})
    assert cross_survival(crosses)["direction"].unique(maintain_order=True).to_list() == ["all", "a", "b"]


def test_the_half_life_after_a_shock_is_that_of_the_decay():
    rng = np.random.default_rng(5)
    count = 60_000
    values = rng.standard_normal(count) * 0.05
    # Every 12 s a jump of 10 bp either way that decays at ln 2 / 0.5 s to a third that stays a while (then is undone).
    for k in range(300, count - 600, 600):
        sign = rng.choice([-1, 1])
        ages = np.arange(600) * 0.02
        values[k : k + 600] += sign * (10 / 3 + 20 / 3 * 2 ** (-ages / 0.5)) * np.clip((11 - ages) / 5, 0, 1)
    frame = pl.DataFrame({"ts": START + np.arange(count) * 20 * MS, "basis_bp": values})
    path, row = shock_path(frame, shock_bp=5.0, window_ms=20.0, horizon_ms=5000.0)
    found = row.row(0, named=True)
    assert found["shocks"] >= 95
    assert found["start_bp"] == pytest.approx(10.0, abs=0.1)
    assert found["rest_bp"] == pytest.approx(10 / 3, abs=0.1)
    assert found["half_life_ms"] == pytest.approx(500, abs=51)
    assert found["lo_ms"] <= found["half_life_ms"] <= found["hi_ms"]
    assert (path["lo_bp"] <= path["mean_bp"]).all()
    assert shock_half_life(frame, shock_bp=5.0, window_ms=20.0).equals(row)
    for options, expected in [({"shock_bp": 100.0}, "found none"), ({"shock_bp": 0.0}, "above 0")]:
        with pytest.raises(DataError, match=expected):
            shock_path(frame, **options)


def test_unusable_bases_say_what_was_expected(basis):
    for frame, expected in [
        (basis.head(0), "at least three"),
        (basis.head(1), "at least three"),
        (basis.reverse(), "ascending"),
        (basis.drop("ts"), "missing"),
    ]:
        for test in (threshold_basis, band_excursions):
            with pytest.raises(DataError, match=expected):
                test(frame, lower_bp=-1.0, upper_bp=1.0)
        with pytest.raises(DataError, match=expected):
            fit_band(frame)
        with pytest.raises(DataError, match=expected):
            shock_path(frame, shock_bp=1.0)
    constant = basis.with_columns(basis_bp=pl.lit(1.0))
    with pytest.raises(DataError, match="values that move"):
        fit_band(constant)
    assert threshold_basis(constant, lower_bp=-1.0, upper_bp=2.0)["status"].to_list() == ["too few"] * 3
    for bad in ({"lower_bp": 1.0, "upper_bp": 1.0}, {"lower_bp": math.nan, "upper_bp": 1.0}):
        with pytest.raises(DataError, match=r"lower_bp < upper_bp|finite number"):
            threshold_basis(basis, **bad)


def messages(rows: list[tuple]) -> pl.DataFrame:
    """Rows of microseconds, side, price, kind, success, size, participant."""
    schema = ["us", "side", "price", "kind", "success", "size", "participant"]
    return pl.DataFrame(rows, schema=schema, orient="row").select(
        pl.exclude("us"), ts=START + pl.col("us").cast(pl.Int64) * 1000
    )


RACE = [
    (0, 1, 100.0, "take", True, 5.0, "a"),
    (40, 1, 100.0, "take", False, 5.0, "b"),
    (90, 1, 100.0, "cancel", False, 3.0, "m"),
    (1000, 1, 100.0, "take", True, 1.0, "a"),
    (2000, -1, 99.0, "cancel", True, 2.0, "m"),
    (2100, -1, 99.0, "take", False, 2.0, "a"),
    (2100, 1, 101.0, "take", True, 2.0, "a"),
]


def test_races_by_hand():
    quotes = pl.DataFrame({"ts_recv": [START - 10**9, START + 10**9, START + 10**12], "mid": [99.5, 100.5, 100.5]})
    found = find_races(messages(RACE), quotes=quotes, mark_ms=5_000)
    assert found.height == 2
    first, second = found.rows(named=True)
    assert (first["messages"], first["participants"], first["takes"], first["cancels"]) == (3, 3, 2, 1)
    assert (first["takes_won"], first["cancels_won"], first["failed"]) == (1, 0, 2)
    assert (first["duration_us"], first["span_us"], first["winner"], first["winner_participant"]) == (
        40.0,
        90.0,
        "take",
        "a",
    )
    assert (first["size"], first["taken"], first["profit"]) == (5.0, 5.0, pytest.approx(2.5))
    assert first["profit_bp"] == pytest.approx(50.0)
    assert (second["winner"], second["duration_us"], second["taken"], second["profit"]) == ("cancel", 100.0, 0.0, 0.0)
    row = race_summary(found, traded_notional=10_000.0, seconds=60.0).row(0, named=True)
    assert (row["races"], row["per_minute"], row["won_by_take"]) == (2, 2.0, 0.5)
    assert row["latency_tax_bp"] == pytest.approx(2.5)
    assert row["median_duration_us"] == 70.0
    # One sender twice is no contest; a shorter horizon keeps the two apart; a failure more and only one is left.
    alone = [(*row[:-1], "a") for row in RACE]
    assert find_races(messages(alone)).height == 0
    assert find_races(messages(RACE), horizon_us=30).height == 0
    assert find_races(messages(RACE), failures=2).height == 1
    assert find_races(messages(RACE), takes=2).height == 1
    assert find_races(messages(RACE))["profit"].null_count() == 2


def test_no_races_and_unusable_messages():
    none = find_races(messages(RACE).head(0))
    assert none.height == 0
    row = race_summary(none).row(0, named=True)
    assert row["races"] == 0
    assert all(value is None for name, value in row.items() if name != "races")
    assert find_races(messages(RACE).head(1)).height == 0
    for frame, options, expected in [
        (messages(RACE).drop("kind"), {}, "missing columns"),
        (messages(RACE).reverse(), {}, "ascending"),
        (messages(RACE).with_columns(kind=pl.lit("add")), {}, "kinds"),
        (messages(RACE), {"horizon_us": 0}, "horizon_us"),
    ]:
        with pytest.raises(DataError, match=expected):
            find_races(frame, **options)
    with pytest.raises(DataError, match="positive traded_notional"):
        race_summary(none, seconds=0.0)


def quotes_and_trades() -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        (0, 10.0, 5.0, 11.0, 5.0),
        (1, 10.0, 5.0, 11.0, 2.0),
        (2, 10.0, 5.0, 11.0, 0.5),
        (900, 11.0, 5.0, 12.0, 5.0),
    ]
    names = ["ms", "bid", "bid_size", "ask", "ask_size"]
    quotes = pl.DataFrame(rows, schema=names, orient="row").select(
        ts_recv=START + pl.col("ms").cast(pl.Int64) * MS,
        ts_event=START + pl.col("ms").cast(pl.Int64) * MS,
        **{name: pl.col(name) for name in names[1:]},
        mid=(pl.col("bid") + pl.col("ask")) / 2,
    )
    at = pl.Series([START + MS], dtype=pl.Int64)
    trades = pl.DataFrame({"ts_recv": at, "ts_event": at, "price": [11.0], "size": [3.0], "side": [1]})
    return quotes, trades.with_columns(pl.col("side").cast(pl.Int8))


def test_public_data_gives_takes_and_cancels_that_want_one_price():
    found = race_messages(*quotes_and_trades())
    assert found.select("kind", "side", "price", "size").rows() == [("take", 1, 11.0, 3.0), ("cancel", 1, 11.0, 1.5)]
    races = find_races(found, failures=0, horizon_us=2_000)
    assert races.select("messages", "takes", "cancels", "participants", "duration_us").rows() == [(2, 1, 1, None, None)]


def test_what_takers_pay_splits_into_what_is_kept_and_what_is_lost_to_the_informed():
    quotes, trades = quotes_and_trades()
    row = adverse_selection(trades, quotes, horizons_ms=[899.0]).row(0, named=True)
    # Bought at 11 with the mid at 10.5 before and 11.5 after.
    assert row["effective_bp"] == pytest.approx(2e4 * 0.5 / 10.5)
    assert row["realised_bp"] == pytest.approx(-2e4 * 0.5 / 10.5)
    assert row["impact_bp"] == pytest.approx(2e4 / 10.5)
    assert row["impact_share"] == pytest.approx(2.0)
    assert row["effective_lo"] is None
    late = adverse_selection(trades, quotes, horizons_ms=[10_000]).row(0, named=True)
    assert (late["orders"], late["effective_bp"], late["impact_share"]) == (0, None, None)
    assert adverse_selection(trades.head(0), quotes)["orders"].to_list() == [0, 0, 0]
    for frames, options, expected in [
        ((trades, quotes.drop("mid")), {}, "column mid"),
        ((trades.drop("size"), quotes), {}, "missing"),
        ((trades, quotes), {"horizons_ms": [0]}, "positive horizons"),
    ]:
        with pytest.raises(DataError, match=expected):
            adverse_selection(*frames, **options)


def test_the_venue_with_informed_flow_shows_the_larger_impact_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(8)
    count = 4000
    at = START + np.arange(1, count + 1) * 100 * MS
    side = rng.choice([-1, 1], count)
    for informed in (0.0, 0.3):
        # Half a spread of 0.5 at 100; after a trade the mid moves by `informed` its way, and wanders.
        steps = informed * side + rng.standard_normal(count) * 0.05
        mid = 1000 + np.concatenate([[0.0], np.cumsum(steps)])
        quotes = pl.DataFrame({"ts_recv": np.concatenate([[START], at + MS]), "mid": mid})
        trades = pl.DataFrame(
            {"ts_recv": at, "ts_event": at, "side": side, "price": mid[:-1] + 0.5 * side, "size": 1.0}
        )
        row = adverse_selection(trades, quotes, horizons_ms=[50.0]).row(0, named=True)
        truth = 2e4 * informed / 1000
        assert row["impact_lo"] - 0.15 < truth < row["impact_hi"] + 0.15
        assert row["effective_bp"] == pytest.approx(10.0, rel=0.1)
        assert row["realised_bp"] == pytest.approx(row["effective_bp"] - row["impact_bp"])
