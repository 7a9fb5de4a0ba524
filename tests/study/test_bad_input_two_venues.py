"""Every public function of the study's part on two venues, fed what it should not be: each answer is either an error of
crossbook or figures without NaN and infinity."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

import crossbook as xb
from crossbook import study

START, MS = 1_700_000_000_000_000_000, 1_000_000
ROWS = 240


def _touches(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    mid = 100 + np.cumsum(rng.choice([-0.01, 0.0, 0.01], ROWS))
    ts = START + np.cumsum(rng.integers(1, 100, ROWS)) * MS
    sizes = {"bid_size": rng.uniform(1, 5, ROWS), "ask_size": rng.uniform(1, 5, ROWS)}
    return pl.DataFrame({"ts_recv": ts, "ts_event": ts - 3 * MS - rng.integers(0, 5, ROWS) * MS}).with_columns(
        bid=mid - 0.01, ask=mid + 0.01, **sizes
    )


def _quoted(touches: pl.DataFrame) -> pl.DataFrame:
    mid = (pl.col("bid") + pl.col("ask")) / 2
    return touches.with_columns(mid=mid, spread_bp=(pl.col("ask") - pl.col("bid")) / mid * 1e4)


def _trades(seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    side = rng.choice([-1, 1], ROWS).astype(np.int8)
    ts = START + np.cumsum(rng.integers(1, 100, ROWS)) * MS
    return pl.DataFrame({"ts_recv": ts, "ts_event": ts - 4 * MS}).with_columns(
        side=side, price=100 + 0.01 * side, size=rng.uniform(0.1, 2, ROWS)
    )


def _messages() -> pl.DataFrame:
    frames = [f.select(pl.lit(n).alias("venue"), "ts_recv", "ts_event") for n, f in (("a", T), ("b", U))]
    return pl.concat(frames).sort("ts_recv")


T, U, V, W = _touches(1), _touches(2), _trades(3), _trades(4)
QT, QU = (_quoted(f).drop("bid_size", "ask_size") for f in (T, U))
ST, SU = (f.select("ts_recv", "ts_event", sequence=pl.int_range(ROWS)) for f in (T, U))
BARE_T, BARE_U, BARE_W = (f.drop("ts_event") for f in (T, U, W))
MESSAGES = _messages()
GAPS = pl.DataFrame({"venue": ["a"], "ts_recv": [START + 500 * MS], "until": [START + 900 * MS]})
TIMES = START + np.arange(ROWS) * 50 * MS
OU = study.simulate_ou(TIMES, speed=2.0, mean=1.0, sigma=1.0, seed=3)
BASIS = OU.rename({"value": "basis_bp"})
RNG = np.random.default_rng(0)
WALK = np.cumsum(RNG.normal(size=ROWS))
PAIR = pl.DataFrame({"ts": TIMES, "primary": WALK, "secondary": 0.5 * WALK + RNG.normal(size=ROWS)})
EXCURSIONS = study.band_excursions(BASIS, lower_bp=0.8, upper_bp=1.2)
CROSSES = EXCURSIONS.with_columns(direction=pl.lit("buy a, sell b"))
RACES = pl.DataFrame(
    {
        "ts": [START + k // 3 * 1_000_000 + k % 3 * 1_000 for k in range(60)],
        "side": [1] * 60,
        "price": [100.0] * 60,
        "kind": ["take", "cancel", "take"] * 20,
        "success": [True, False, False] * 20,
        "size": [1.0] * 60,
    },
    schema_overrides={"side": pl.Int8},
)
FOUND_RACES = study.find_races(RACES, quotes=QT, mark_ms=1.0)
DECISIONS = START + np.arange(200, 9_000, 20) * MS
FEATURES = pl.DataFrame({"ts": DECISIONS}).with_columns(
    a=pl.Series(RNG.normal(size=DECISIONS.size)), secondary_b=pl.Series(RNG.normal(size=DECISIONS.size))
)
OUTCOMES = study.anticipation_outcomes(DECISIONS, U, horizons_ms=[100.0])
FORECASTS = study.walk_forward(FEATURES, OUTCOMES, horizon_ms=100.0, folds=2)
FORECAST_TRADES = study.forecast_trades(FORECASTS, U, threshold_bp=0.0)
EVENTS = {"a": V.select("ts_recv", "ts_event"), "b": W.select("ts_recv", "ts_event")}
FIT = study.fit_hawkes(EVENTS)
TAPE = pl.concat(
    f.select(pl.col("ts_recv").alias("ts"), instrument=pl.lit(k, pl.UInt32), bid=9_999 + k, ask=10_001 + k)
    for k, f in enumerate((T, U))
).sort("ts")
INSTRUMENTS = [xb.Instrument.builtin("binance-usdm", "BTCUSDT"), xb.Instrument.builtin("binance-spot", "BTCUSDT")]
BACKTEST = {"upper_bp": 1.0, "lower_bp": -1.0, "close_short_bp": 0.0, "close_long_bp": 0.0}
BACKTESTED = study.backtest_pair(T, U, **BACKTEST)
SURVIVAL = study.survival(EXCURSIONS)


class Call(NamedTuple):
    """A call that works, to be spoiled one argument at a time."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]


CALLS = [
    Call(study.venue_delays, (MESSAGES,), {}),
    Call(study.publication_grid, (MESSAGES,), {"clock": "event"}),
    Call(study.connectivity, (MESSAGES,), {"gaps": GAPS, "window_s": 1.0, "silence_ms": 50.0}),
    Call(study.latency_at, (V, MESSAGES), {"venue": "a", "prefix": "p", "clock": "recv"}),
    Call(
        study.response_on_latency,
        (
            V.with_columns(sign="side", late=pl.int_range(ROWS) % 7).drop("price", "size"),
            QU.drop("bid", "ask", "spread_bp"),
        ),
        {
            "regressors": ["late"],
            "sign": "sign",
            "value": "mid",
            "horizon_ms": 100.0,
            "step_ms": 10.0,
            "block_s": 1.0,
            "resamples": 20,
            "clock": "recv",
            "level": 0.9,
            "seed": 0,
        },
    ),
    Call(study.stale_windows, (MESSAGES,), {"silence_ms": 60.0, "gaps": GAPS, "touches": BARE_T, "clock": "recv"}),
    Call(
        study.stale_effect,
        (study.stale_windows(V, silence_ms=90.0), QU.drop("bid", "ask"), BARE_W),
        {
            "before_ms": 100.0,
            "matches": 2,
            "within_s": 5.0,
            "every_ms": 20.0,
            "longest_ms": 500.0,
            "block_s": 1.0,
            "clock": "recv",
            "level": 0.9,
        },
    ),
    Call(study.clocks, (MESSAGES,), {}),
    Call(study.clock_path, (MESSAGES,), {}),
    Call(study.impute_times, (ST.with_columns(ts_event=pl.when(pl.int_range(ROWS) % 2 == 0).then(0)), SU), {}),
    Call(
        study.hawkes_log_likelihood,
        (EVENTS,),
        {
            "baseline": [1.0, 1.0],
            "adjacency": [[0.1, 0.1], [0.1, 0.1]],
            "decays": 2.0,
            "clock": "recv",
            "start": START,
            "end": START + 20_000 * MS,
            "ties": "spread",
            "resolution_ns": MS,
        },
    ),
    Call(
        study.fit_hawkes,
        (EVENTS,),
        {
            "components": 1,
            "clock": "recv",
            "start": START,
            "end": START + 20_000 * MS,
            "ties": "spread",
            "resolution_ns": MS,
            "decays": [10.0],
            "fixed_decays": True,
            "stationary": True,
            "level": 0.9,
        },
    ),
    Call(
        study.simulate_hawkes,
        (),
        {
            "baseline": [1.0, 1.0],
            "adjacency": [[0.1, 0.1], [0.1, 0.1]],
            "decays": 2.0,
            "names": ["a", "b"],
            "count": 50,
            "start": 0,
            "seed": 0,
            "method": "exact",
            "limit": 1000,
        },
    ),
    Call(study.hawkes_intensity, (FIT,), {}),
    Call(study.hawkes_residuals, (FIT,), {}),
    Call(study.hawkes_test, (FIT,), {"lags": 5}),
    Call(study.hawkes_forecast, (FIT,), {"horizons_ms": [10.0]}),
    Call(
        study.no_arbitrage_band,
        (),
        {
            "primary_fee_bp": 1.0,
            "secondary_fee_bp": 1.0,
            "primary_half_spread_bp": 0.1,
            "secondary_half_spread_bp": 0.1,
            "short_primary_bp": 0.1,
            "short_secondary_bp": 0.1,
            "fair_bp": 0.0,
        },
    ),
    Call(study.threshold_basis, (BASIS,), {"lower_bp": 0.8, "upper_bp": 1.2, "value": "basis_bp", "level": 0.9}),
    Call(study.fit_band, (BASIS,), {"value": "basis_bp", "tail": 0.1, "steps": 2}),
    Call(study.band_excursions, (BASIS,), {"lower_bp": 0.8, "upper_bp": 1.2, "value": "basis_bp"}),
    Call(study.survival, (EXCURSIONS,), {"duration": "duration_ms", "censored": "censored", "level": 0.9}),
    Call(study.median_survival, (SURVIVAL,), {"share": 0.5}),
    Call(study.cross_survival, (CROSSES,), {"level": 0.9}),
    *(
        Call(
            function,
            (BASIS,),
            {
                "shock_bp": 0.3,
                "window_ms": 100.0,
                "horizon_ms": 300.0,
                "steps": 5,
                "value": "basis_bp",
                "block_s": 1.0,
                "level": 0.9,
                "resamples": 20,
                "seed": 0,
            },
        )
        for function in (study.shock_path, study.shock_half_life)
    ),
    Call(study.race_messages, (T, V), {"clock": "recv"}),
    Call(
        study.find_races,
        (RACES,),
        {
            "quotes": QT.drop("bid", "ask", "spread_bp"),
            "horizon_us": 500.0,
            "participants": 2,
            "takes": 1,
            "failures": 1,
            "mark_ms": 1.0,
            "clock": "recv",
        },
    ),
    Call(study.race_summary, (FOUND_RACES,), {"traded_notional": 1e6, "seconds": 60.0}),
    Call(
        study.adverse_selection,
        (V, QT.drop("spread_bp")),
        {"horizons_ms": [100.0], "clock": "recv", "block_s": 1.0, "level": 0.9, "resamples": 20, "seed": 0},
    ),
    Call(study.fit_ou, (OU,), {"time": "ts", "value": "value", "mean": 1.0, "level": 0.9}),
    Call(
        study.simulate_ou,
        (TIMES[:20],),
        {"speed": 2.0, "mean": 1.0, "sigma": 1.0, "first": 0.0, "seed": 0},
    ),
    Call(study.bertram, (), {"mean": 0.0, "speed": 181.0, "sigma": 0.15, "cost": 0.001}),
    Call(study.zeng_lee, (), {"mean": 3.4, "speed": 0.02, "sigma": 0.008, "cost": 0.02, "rule": "new"}),
    Call(
        study.sample_pair,
        (QT.drop("bid", "ask", "spread_bp"), QU.drop("bid", "ask", "spread_bp")),
        {"every_ms": 100.0, "value": "mid", "clock": "recv", "log": True},
    ),
    Call(study.engle_granger, (PAIR,), {"lags": 1}),
    Call(study.johansen, (PAIR,), {"lags": 1, "trend": "constant"}),
    Call(
        study.kalman_hedge,
        (PAIR,),
        {"noise": 1.0, "step": (1e-4, 1e-4), "first": (0.5, 0.0), "doubt": (0.1, 0.1), "warm_up": 20},
    ),
    Call(
        study.backtest_pair,
        (BARE_T, BARE_U),
        {
            **BACKTEST,
            "hedge": 1.0,
            "centre_bp": 0.0,
            "fees_bp": (1.0, 1.0),
            "notional": 1e4,
            "latency_ms": (1.0, 1.0),
            "clock": "recv",
        },
    ),
    Call(study.backtest_summary, (BACKTESTED,), {"level": 0.9, "resamples": 20, "seed": 0}),
    *(
        Call(function, (TAPE, INSTRUMENTS), {"fair_basis": "none", "end": START + 20_000 * MS} | more)
        for function, more in (
            (study.find_crosses, {"ladder_bp": [0.0, 1.0], "fees_bp": {}}),
            (study.crosses, {"fees_bp": {}}),
            (study.cross_ladder, {"ladder_bp": [0.0, 1.0]}),
        )
    ),
    Call(
        study.cross_share,
        (
            study.crosses(TAPE, INSTRUMENTS, fair_basis="none", fees_bp={i.name: -1.0 for i in INSTRUMENTS}),
            study.basis(QT.with_columns(microprice="mid"), QU.with_columns(microprice="mid")).select("ts", "held_ns"),
        ),
        {"fair_basis": "none", "block_s": 1.0, "resamples": 20, "level": 0.9, "seed": 0},
    ),
    Call(
        study.receive_only,
        ([ST.drop("sequence"), SU.drop("sequence")], study.crosses(TAPE, INSTRUMENTS, fair_basis="none")),
        {},
    ),
    Call(
        partial(study.anticipation_features, T, V, U, W),
        (),
        {
            "at": DECISIONS[:50],
            "every_ms": 100.0,
            "decays_ms": [10.0],
            "basis_decay_s": 1.0,
            "warm_up_ms": 10.0,
            "clock": "recv",
        },
    ),
    Call(
        study.anticipation_features,
        (BARE_T, V.drop("price"), BARE_U, BARE_W.drop("price")),
        {"every_ms": 500.0, "warm_up_ms": 10.0},
    ),
    Call(study.anticipation_outcomes, (DECISIONS[:50], BARE_U), {"horizons_ms": [10.0], "clock": "recv"}),
    Call(
        study.walk_forward,
        (FEATURES, OUTCOMES),
        {
            "target": "move_bp",
            "horizon_ms": 100.0,
            "columns": ["a", "secondary_b"],
            "own": True,
            "directions": True,
            "folds": 1,
            "first_share": 0.5,
            "embargo_ms": 0.0,
            "seed": 0,
        },
    ),
    Call(
        study.purged_splits,
        (DECISIONS,),
        {"horizon_ms": 100.0, "folds": 2, "first_share": 0.4, "embargo_ms": 0.0},
    ),
    Call(study.forecast_scores, (FORECASTS,), {"block_s": 1.0, "level": 0.9}),
    Call(study.reliability, (FORECASTS,), {"bins": 3, "block_s": 1.0, "level": 0.9}),
    Call(
        study.forecast_trades,
        (FORECASTS, BARE_U),
        {"threshold_bp": 0.0, "fee_bp": 0.1, "latency_ms": 1.0, "clock": "recv"},
    ),
    Call(study.forecast_trades_summary, (FORECAST_TRADES,), {"block_s": 1.0, "level": 0.9}),
    Call(
        study.advice,
        (FORECASTS.select("ts", "horizon_ms", "forecast"), BARE_U, BARE_W),
        {
            "side": "both",
            "taker_fee_bp": 1.0,
            "maker_fee_bp": 0.0,
            "latency_ms": 1.0,
            "size": 0.0,
            "buckets": 2,
            "block_s": 1.0,
            "level": 0.9,
            "clock": "recv",
        },
    ),
]


def finite(found: object, where: str = "") -> None:
    """Nothing in an answer is NaN or infinite; nulls are for the functions to explain."""
    if isinstance(found, pl.DataFrame):
        for name, kind in found.schema.items():
            if kind.is_float():
                known = found[name].drop_nulls()
                assert known.is_finite().all(), f"{where}.{name}: {known.filter(~known.is_finite())[0]}"
    elif isinstance(found, np.ndarray):
        assert np.isfinite(found).all(), where
    elif isinstance(found, float):
        assert math.isfinite(found), where
    elif isinstance(found, Mapping):
        for name, one in found.items():
            finite(one, f"{where}.{name}")
    elif isinstance(found, (tuple, list)):
        for one in found:
            finite(one, where)
    elif is_dataclass(found):
        for one in fields(found):
            # The covariance says in its docstring where it is NaN, and what was observed is what was given.
            if one.name not in ("covariance", "observed"):
                finite(getattr(found, one.name), f"{where}.{one.name}")


def spoiled(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every way in which a frame can be wrong."""
    clocks = [name for name in ("ts", "ts_recv", "ts_event", "start", "end", "decided") if name in frame.columns]
    yield "empty", frame.head(0)
    yield "no columns", pl.DataFrame()
    yield "one row", frame.head(1)
    yield "two rows", frame.head(2)
    if frame.height:
        yield "one row many times", pl.concat([frame.head(1)] * 60)
        yield "constant but for time", pl.concat([frame.head(1)] * frame.height).with_columns(frame.select(clocks))
    yield "reversed", frame.reverse()
    yield "shuffled", frame.sample(fraction=1, shuffle=True, seed=1)
    yield "every row twice", pl.concat([frame, frame]).sort(clocks[:1], maintain_order=True) if clocks else frame
    if clocks:
        yield "another day", frame.with_columns(pl.col(c) + 86_400_000_000_000 for c in clocks)
        yield "one instant", frame.with_columns(pl.lit(START).alias(c) for c in clocks)
        yield "whole seconds", frame.with_columns(pl.col(c) // 10**9 * 10**9 for c in clocks)
    for name, kind in frame.schema.items():
        yield f"without {name}", frame.drop(name)
        yield f"{name} all null", frame.with_columns(pl.lit(None, kind).alias(name))
        yield f"{name} of null", frame.with_columns(pl.lit(None).alias(name))
        third = pl.int_range(pl.len()) % 3 == 0
        yield f"{name} null at times", frame.with_columns(pl.when(~third).then(pl.col(name)).alias(name))
        yield f"{name} as text", frame.with_columns(pl.lit("x").alias(name))
        yield f"{name} as lists", frame.with_columns(pl.lit([1]).alias(name))
        if name in clocks:
            yield f"{name} as Datetime", frame.with_columns(pl.col(name).cast(pl.Datetime("ns")))
            yield f"{name} as Float64", frame.with_columns(pl.col(name).cast(pl.Float64))
            yield f"{name} as UInt64", frame.with_columns(pl.col(name).cast(pl.UInt64))
            yield f"{name} as Int32", frame.with_columns((pl.col(name) - START).cast(pl.Int32, strict=False))
            yield f"{name} negative", frame.with_columns(-pl.col(name))
            yield f"{name} at the end of time", frame.with_columns(pl.lit((1 << 63) - 1).alias(name))
            yield (
                f"{name} from end to end",
                frame.with_columns(pl.when(third).then((1 << 63) - 1).otherwise(-(1 << 63)).alias(name)),
            )
        elif kind.is_numeric():
            for value in (math.nan, -math.inf, 0.0, -1.0, 1e300, 1e-300):
                number = pl.lit(value)
                yield (
                    f"{name} {value} at times",
                    frame.with_columns(
                        pl.when(third).then(number).otherwise(pl.col(name).cast(pl.Float64)).alias(name)
                    ),
                )
            for value in (0.0, 1e60):
                yield f"{name} all {value}", frame.with_columns(pl.lit(value).alias(name))
            yield f"{name} as Float32", frame.with_columns(pl.col(name).cast(pl.Float32))
            yield f"{name} as UInt8", frame.with_columns(pl.col(name).cast(pl.UInt8, strict=False))
            yield f"{name} as Decimal", frame.with_columns(pl.col(name).cast(pl.Decimal(20, 6), strict=False))
            yield f"{name} as Boolean", frame.with_columns(pl.col(name) > 0)


WRONG_NUMBERS = (-1, 0, math.nan, math.inf, -math.inf, 1e300, 10**400, 1 << 62, 10**9, 1e-300, 0.5)
WRONG_KINDS = ("x", b"x", True, None, [1.0], {}, object(), dt.datetime(2024, 1, 1), np.float64("nan"), 1 + 2j)
WRONG_LISTS = ([], [math.nan], [0.0], [-1.0], ["x"], [None], [1.0, 1.0], [1e300], [[1.0]], "xx", 3, None, [1e-300])


def wrong(value: object) -> Iterator[object]:
    """Values that an option should not have, by what it has."""
    if isinstance(value, bool):
        yield from ("x", 2, None)
    elif isinstance(value, (int, float)):
        yield from WRONG_NUMBERS
        yield from WRONG_KINDS
    elif isinstance(value, str):
        yield from ("", "nothing", 1, None, [], math.nan)
    elif isinstance(value, (list, tuple, np.ndarray)):
        yield from WRONG_LISTS
    elif isinstance(value, pl.DataFrame):
        yield from (None, 1, "x", {}, value.lazy())
    else:
        yield from (None, 1, "x", {})


def answers(call: Call, args: tuple[Any, ...], options: dict[str, Any], what: str) -> list[str]:
    """What is wrong with an answer, if anything."""
    try:
        found = call.function(*args, **options)
    except xb.Error as error:
        return [] if len(str(error)) > 10 else [f"{what}: says only {error}"]
    except BaseException as error:
        return [f"{what}: {type(error).__name__}: {str(error)[:150]}"]
    try:
        finite(found)
    except AssertionError as error:
        return [f"{what}: {error}"]
    return []


def replaced(args: tuple[Any, ...], place: int, value: object) -> tuple[Any, ...]:
    return (*args[:place], value, *args[place + 1 :])


@pytest.mark.parametrize("call", CALLS, ids=lambda call: getattr(call.function, "func", call.function).__name__)
def test_what_works_gives_figures(call: Call) -> None:
    finite(call.function(*call.args, **call.options))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: getattr(call.function, "func", call.function).__name__)
def test_a_wrong_frame_is_an_error_of_crossbook_or_gives_no_nan(call: Call) -> None:
    bad = []
    for place, value in enumerate(call.args):
        frames = [(f"[{k}]", k, f) for k, f in enumerate(value)] if isinstance(value, list) else []
        frames += [(f"[{k}]", k, f) for k, f in value.items()] if isinstance(value, dict) else []
        frames += [("", None, value)] if isinstance(value, pl.DataFrame) else []
        for label, key, frame in frames:
            if not isinstance(frame, pl.DataFrame):
                continue
            for kind, one in spoiled(frame):
                new = one
                if key is not None:
                    new = value.copy()
                    new[key] = one
                bad += answers(call, replaced(call.args, place, new), call.options, f"argument {place}{label} {kind}")
    for name, value in call.options.items():
        if isinstance(value, pl.DataFrame):
            for kind, one in spoiled(value):
                bad += answers(call, call.args, call.options | {name: one}, f"{name} {kind}")
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: getattr(call.function, "func", call.function).__name__)
def test_a_wrong_option_is_an_error_of_crossbook_or_gives_no_nan(call: Call) -> None:
    bad = []
    for place, value in enumerate(call.args):
        for one in wrong(value):
            bad += answers(call, replaced(call.args, place, one), call.options, f"argument {place} = {one!r}"[:80])
    for name, value in call.options.items():
        for one in wrong(value):
            bad += answers(call, call.args, call.options | {name: one}, f"{name} = {one!r}"[:80])
    assert not bad, "\n".join(bad)


WRONG = ("x", [], {}, math.nan, 1.5, True, -1, 10**400, object())
MODELS = {
    study.Ridge: {"penalties": [*WRONG, (), (math.nan,), ("x",), (0.0,)], "clip": [*WRONG[:4], True, -1, 0.0, 10**400]},
    study.Boosted: {
        **dict.fromkeys(("iterations", "leaves", "least_leaf", "threads"), (*WRONG, 0, math.inf, 10**12)),
        **dict.fromkeys(("learning_rate", "l2"), (*WRONG[:4], True, -1, math.inf, 10**400)),
    },
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_that_cannot_be_is_refused(model: Callable[..., Any]) -> None:
    for name, values in MODELS[model].items():
        for value in values:
            with pytest.raises(xb.DataError, match="expected"):
                model(**{name: value})


def test_a_study_that_cannot_be_is_refused(small: Path) -> None:
    capture = xb.open(small)
    times = [value for value in WRONG if value != -1]
    wrong = {
        **dict.fromkeys(("start", "end"), times),
        **dict.fromkeys(("seed", "primary", "secondary", "clock", "untimed"), WRONG),
        "fair_basis": [value for value in WRONG if not isinstance(value, str)],
        "fees_bp": ["x", 1.5, True, object(), *({"usdm": fee} for fee in ("x", None, math.nan, math.inf, 1e9, True))],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(xb.Error):
                xb.Study(capture, **{"primary": "usdm", "secondary": "spot"} | {name: value})
    with pytest.raises(xb.DataError, match=r"what crossbook\.open gives"):
        xb.Study(small, primary="usdm", secondary="spot")  # type: ignore[arg-type]
