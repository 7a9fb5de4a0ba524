"""How often intervals of responses, of resilience and of what latency does to them hold the truth, on simulated pairs.

    python -m tests.coverage.response [--runs 500] [--seed 1]

`run(count, seed)` gives the share of runs in which each interval at 95 % covers; for the test of equality, in how many
it does not reject at 5 % what is equal.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl

from crossbook.study import (
    event_projections,
    local_projections,
    permanent_and_temporary,
    resilience,
    response_on_latency,
    split_projections,
    stale_effect,
)

MS, SECOND = 1_000_000, 1_000_000_000
START = 1_700_000_000 * SECOND
PERSISTENCE, STAYS, PASSES, FADES = 0.3, 0.5, 0.8, 0.85
"""Of the flow; of a unit of flow in the price for good, and for a time; of what passes, left after each row."""
DRAINED, REFILLED, HALF_LIFE_MS = 4.0, 0.7, 150.0
SIZE_BP, DELAY_MS, SLOWER = 1.5, 120.0, 4.0
RATE = 20.0


def effect(rows: int) -> float:
    """Of a unit shock of the flow on the price so many rows later."""
    later = range(rows + 1)
    stays = STAYS * sum(PERSISTENCE**j for j in later)
    return stays + PASSES * sum(PERSISTENCE**j * FADES ** (rows - j) for j in later)


def flow_and_price(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """A persistent flow in spells of calm and storm, a price that it moves for good and for a time, another noise."""
    spells = np.repeat(rng.choice([0.5, 1.5], count // 50 + 1), 50)[:count]
    shock, other = rng.standard_normal((2, count)) * spells
    flow, price = np.empty(count), np.empty(count)
    x = value = passing = 0.0
    for k, (e, u) in enumerate(zip(shock.tolist(), other.tolist(), strict=True)):
        x = PERSISTENCE * x + e
        value += STAYS * x + u
        passing = FADES * passing + PASSES * x
        flow[k], price[k] = x, value + passing
    state = np.repeat(rng.choice([True, False], count // 20 + 1), 20)[:count]
    return pl.DataFrame({"ts": START + np.arange(count) * 20 * MS, "flow": flow, "price": price, "state": state})


def events_and_price(rng: np.random.Generator, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events in bursts whose size moves a price 30 ms later; the price wanders besides."""
    gaps = np.where(rng.uniform(size=count) < 0.7, rng.exponential(10.0, count), rng.exponential(300.0, count))
    at = START + SECOND + np.cumsum((gaps * MS).astype(np.int64) + 1)
    size = rng.standard_normal(count) + 0.3
    wander = np.arange(START, int(at[-1]) + 2 * SECOND, 25 * MS)
    times = np.concatenate([at + 30 * MS, wander])
    moves = np.concatenate([2.0 * size, rng.standard_normal(wander.size) * 1.5])
    order = np.argsort(times, kind="stable")
    level = np.cumsum(moves[order])
    return pl.DataFrame({"ts_recv": at, "size": size}), pl.DataFrame({"ts_recv": times[order], "value": level})


def drained(rng: np.random.Generator, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A depth that falls at events and comes back in part; what is missing then is put back before the next."""
    at = START + SECOND + np.arange(count) * 4 * SECOND + rng.integers(0, SECOND, count)
    times = np.unique(np.concatenate([START + np.arange(0, (count + 1) * 4_000, 10) * MS, at]))
    noise, level = np.empty(times.size), 0.0
    for k, e in enumerate((rng.standard_normal(times.size) * 0.6).tolist()):
        level = 0.97 * level + e
        noise[k] = level
    place = np.searchsorted(at, times, "right") - 1
    since = np.where(place >= 0, (times - at[np.maximum(place, 0)]) / MS, np.inf)
    missing = np.where(
        since < 2_500, DRAINED * (1 - REFILLED * (1 - 2.0 ** (-np.minimum(since, 1e9) / HALF_LIFE_MS))), 0.0
    )
    return pl.DataFrame({"ts_recv": at}), pl.DataFrame({"ts_recv": times, "depth": 50 + noise - missing})


def delayed(rng: np.random.Generator, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events after which a mid moves by a fixed size, later where the delay of that time is longer."""
    at = START + 2 * SECOND + np.cumsum(rng.exponential(60.0, count) * MS).astype(np.int64)
    delay = np.interp(at, START + np.arange(0, 400) * SECOND, rng.uniform(0, 20, 400))
    sign = rng.choice([-1, 1], count)
    late = DELAY_MS + SLOWER * (delay - delay.mean()) + rng.uniform(-20, 20, count)
    wander = np.arange(START, int(at[-1]) + 3 * SECOND, 20 * MS)
    times = np.concatenate([at + (late * MS).astype(np.int64), wander])
    moves = np.concatenate([SIZE_BP * sign, rng.standard_normal(wander.size) * 0.5])
    order = np.argsort(times, kind="stable")
    mid = 100 * np.exp(np.cumsum(moves[order]) / 1e4)
    return pl.DataFrame({"ts_recv": at, "sign": sign, "delay_ms": delay}), pl.DataFrame(
        {"ts_recv": times[order], "mid": mid}
    )


def stale(rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Trades come half as often in stale windows; nothing else differs."""
    begin = START + 5 * SECOND + np.arange(60) * 5 * SECOND + rng.integers(0, SECOND, 60)
    windows = pl.DataFrame({"start": begin, "end": begin + rng.integers(500, 1_500, 60) * MS})
    times = START + np.sort(rng.integers(0, 320 * SECOND, round(320 * RATE)))
    inside = np.searchsorted(begin, times, "right") - 1
    in_window = (inside >= 0) & (times < windows["end"].to_numpy()[np.maximum(inside, 0)])
    kept = ~in_window | (rng.uniform(size=times.size) < 0.5)
    quotes = START + np.sort(rng.integers(0, 320 * SECOND, 6_400))
    mid = 100 * np.exp(np.cumsum(rng.standard_normal(6_400)) * 1e-5)
    touches = pl.DataFrame({"ts_recv": quotes, "mid": mid, "spread_bp": 1 + rng.uniform(size=6_400)})
    return windows, touches, pl.DataFrame({"ts_recv": times[kept], "size": 1.0})


def run(count: int, seed: int) -> dict[str, float]:
    """The share of `count` runs in which the interval of each measure holds the truth."""
    held: dict[str, list[bool]] = {}

    def note(name: str, lo: float | None, truth: float, hi: float | None) -> None:
        held.setdefault(name, []).append(lo is not None and hi is not None and lo <= truth <= hi)

    for number in range(count):
        rng = np.random.default_rng([seed, number])
        rows = flow_and_price(rng, 4_000)
        both = {"outcome": "price", "shock": "flow", "lags": 4}
        for name, options in (("lag-augmented", {}), ("HAC", {"errors": "hac"})):
            found = local_projections(rows, horizons=[1, 10], **both, **options)
            for row in found.iter_rows(named=True):
                note(f"response {row['horizon']} rows on, {name}", row["lo"], effect(row["horizon"]), row["hi"])
        parts = permanent_and_temporary(rows, permanent=60, horizons=[5], **both).row(0, named=True)
        note("permanent part", parts["permanent_lo"], STAYS / (1 - PERSISTENCE), parts["permanent_hi"])
        passes = effect(5) - STAYS / (1 - PERSISTENCE)
        note("temporary part 5 rows on", parts["temporary_lo"], passes, parts["temporary_hi"])
        for by in ("sign", "state"):
            p = split_projections(rows, by=by, horizons=[5], **both)["p_equal"][0]
            held.setdefault(f"equal by {by}, not rejected", []).append(p > 0.05)
        found = event_projections(
            *events_and_price(rng, 1_500), regressors="size", value="value", transform="level", offsets_ms=[50]
        )
        note("response 50 ms after events", found["lo"][0], 2.0, found["hi"][0])
        _, table = resilience(
            *drained(rng, 150), value="depth", from_ms=0, horizon_ms=2_000, resamples=300, seed=number
        )
        truth = {"drained": DRAINED, "share_refilled": REFILLED, "half_life_ms": HALF_LIFE_MS}
        for row in table.filter(pl.col("measure").is_in(list(truth))).iter_rows(named=True):
            note(f"resilience: {row['measure']}", row["lo"], truth[row["measure"]], row["hi"])
        events, mids = delayed(rng, 4_000)
        found = response_on_latency(events, mids, regressors=["delay_ms"], resamples=300, block_s=5.0, seed=number)
        truths = {("size", "mean"): SIZE_BP, ("size", "delay_ms"): 0.0}
        truths |= {("speed", "mean"): DELAY_MS, ("speed", "delay_ms"): SLOWER}
        for row in found.iter_rows(named=True):
            note(f"latency: {row['measure']}, {row['term']}", row["lo"], truths[row["measure"], row["term"]], row["hi"])
        found = stale_effect(*stale(rng)).filter(when="during", measure="volume").row(0, named=True)
        note("stale windows: volume", found["lo"], -RATE / 2, found["hi"])
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for measure, share in run(options.runs, options.seed).items():
        print(f"| {measure} | {options.runs} | {share:.1%} |")
