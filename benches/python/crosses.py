"""Events a second of `market.crosses` and `market.arbitrage` over a whole capture.

    python benches/python/crosses.py CAPTURE [--repeat 5] [--json]

The capture is decoded before the clock starts: what is timed is everything from events to crosses, in one thread.
`touch` compares touches only, `depth` walks both books of every cross that is open, `traders` lets 28 traders (4
capitals, 7 latencies) take them besides. Costs are given with each row, because they decide how often venues cross:
more crosses are more work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import crossbook as xb
from crossbook.crosses import Scan

CAPITALS, LATENCIES = [1e3, 1e4, 1e5, 1e6], [0, 1, 5, 20, 50, 100, 200]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("capture")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="a JSON line a row")
    given = parser.parse_args()
    capture = xb.open(given.capture)
    tapes = list(capture.batches())
    events = sum(map(len, tapes))
    market = xb.Market(capture.instruments, quote="USDT", fx={"USD": "1"})
    if not given.json:
        print(f"{events:,} events, {[i.name for i in capture.instruments]}")
    cases = {
        "touch": {"depth": False},
        "depth": {},
        "traders": {"capital": CAPITALS, "latency_ms": LATENCIES},
    }
    for costs in (None, 1.0, 0.0):
        for name, options in cases.items():
            times = []
            for _ in range(given.repeat):
                scan = Scan(market, costs=costs, **options)  # type: ignore[arg-type]
                start = time.perf_counter()
                for tape in tapes:
                    scan.apply(tape)
                scan.finish(0)
                times.append(time.perf_counter() - start)
            median = statistics.median(times)
            fees = "base tier" if costs is None else f"{costs:g} bp a leg"
            found = scan.raw().height
            rate = events / median / 1e6
            if given.json:
                print(json.dumps({"what": name, "fees": fees, "rate": rate * 1e6, "crosses": found}))
                continue
            print(f"{name:8} {fees:12} {rate:6.2f} M events/s  {found:>7,} crosses  {median * 1e3:7.1f} ms")


if __name__ == "__main__":
    main()
