"""What `benches/README.md` says around its tables."""

from __future__ import annotations

HEAD = """# Benches

Written by `make bench` (`benches/run.py`); do not edit. Medians. Each section says when and on what it was measured.

| folder | tool | what |
|---|---|---|
| `rust/` | criterion | price book and feed on three real captures, every venue's frames, order books by size, in Rust |
| `rust/matching.rs` | whole passes | the exchange on three public order streams, in Rust |
| `rust/market.rs` | single events | the market over three and 32 venues: quantiles beyond the books |
| `python/crosses.py` | whole passes | crosses over the whole capture: at the touch, with depth, with traders |
| `instructions.py` | gungraun under valgrind | instructions of the hot paths against `instructions.json`, 0.5 % |
| `rust/{stats,flow,hawkes}.rs` | criterion | kernels of the study |
| `python/` | `timeit`, pytest-benchmark | single calls and batches; capture reading and the study's kernels |
| `python/exchange.py` | whole runs | the same streams in columns through `Exchange.run`, and single calls |
| `python/end_to_end.py` | two processes | a websocket to tapes: frames a second and latency |
| `peers/` | same process and input | other packages, pinned in `requirements.txt`, no extra of ours |

The captures are Binance USD-M, COIN-M and spot of 2024-08-08, and cryptofeed's of 2021 and 2022 (`CROSSBOOK_DATA`).
Before any clock starts the answer is compared: books level by level with `serde_json` and a `BTreeMap` over the same
frames (Rust), quotes row by row with single calls and with every peer, books with cryptofeed's (Python), the SHA-256
of all reports of an order stream with the published one (both).
"""

NOTES = {
    "Market, Rust": (
        "Every event of the three captures in order of receipt, and of 32 venues made of them, into a `Market`, the "
        "best quote with its state and the cross net of fees read after each; before the clock starts every answer is "
        "compared with a search over all venues. Quantiles in ns of single events, the clock's reading subtracted; "
        "*beyond*: the difference to the books alone for the same event, each the median of five passes."
    ),
    "Routing, pools, cycles, Rust": (
        "Criterion, ns. `route`: eight books of 100 levels a side read from their price books, a share of what they "
        "hold; `ladders`: the search alone. `tick`, `step`, `swap`: concentrated liquidity, exact. `network`: pools by "
        "the dual, whole amounts at the end; `benches/python/pools.py` puts cvxpy beside it. `cycles`: 20,000 events "
        "over ten currencies and thirty books; `books` are the books alone."
    ),
    "Crosses, Python": (
        "Events a second of `Market.crosses` over the whole capture, decoded before. `depth` walks both books of every "
        "open cross, `traders` has 28 traders take them; the lower the fees, the more crosses."
    ),
    "Price book, Rust": (
        "One level set and the quote read back; `set_and_top` reads so many levels of each side instead. All books "
        "start from the capture's snapshot and take the same changes in the same order."
    ),
    "Feed, Rust": (
        "Decode, check of the update ids, events on a tape that is reused, every event applied to a price book "
        "(`decode`) or to a market (`market`). Frames lie in memory: gunzip and the split into lines are left out, "
        "except in `replay`, which reads the gzip files from disk. The COIN-M frames of exactly 8 levels do not "
        "follow one another in the file, so their ids are rewritten, digit for digit as long, to chain; every other "
        "byte is real. 1,429 ns a frame are 700,000 frames a second."
    ),
    "Matching, Rust": (
        "Two million messages a stream, in memory as they are in the file; a pass makes a command of each, applies "
        "it to a new exchange and writes every report into a small buffer. One thread, ns per message, median and "
        "best of 15 passes. *published*: the best public engines on a 2-core machine like ours, on the same streams,"
        " one thread, no report transport either; their figures as they are published with the streams, not measured"
        " here. Latency in ns: *alone*, each message by itself, the clock's reading ({clock} ns) subtracted, which "
        "is service time; *due*, one message due every microsecond, counted from when it was due, so that a message "
        "that waits is seen to wait."
    ),
    "Order book by order, Rust": (
        "An `OrderBook` on 4,000 levels that keeps its size: a round cancels 128 random orders and adds 128 with "
        "random ids at random levels, drawn before the clock starts; `execute head` fills the first order of the "
        "best bid. ns per order, and how many times that of 1,000 orders. What differs is how much of the book the "
        "caches hold. For every fill alone the clock is read twice."
    ),
    "Exchange, Python": (
        "The same streams. `run` begins with a Polars DataFrame of commands and an empty exchange and ends with a "
        "DataFrame of executions, each in fresh memory, page faults included: ns per message, median of seven runs, "
        "columns of one-byte codes or Enums of names. *submit or cancel*: single calls over the first 200,000 "
        "messages that are no replaces, the loop that makes them included; the empty loop stands beside it."
    ),
    "Feeds, Rust": (
        "Decode, check of sequences and checksums, events on a tape that is reused, by venue. `depth`: the frames that "
        "change or replace a book, per level; `1 level` and `8 levels`: those of them that bring so many. The clock "
        "runs round each of these frames, and what it costs to read, `venues/clock`, is in them; a frame costs what it "
        "costs however few levels it has, so `depth` is high where a venue sends levels one by one. `all`: every "
        "frame of the file, trades, quotes and snapshots included. With checksums: Kraken, OKX, Bitget."
    ),
    "Feeds against cryptofeed": (
        "One process, the same frames in memory, the passes of all take turns, CPU time of the process per frame about "
        "a book, the median of nine passes; snapshots are frames of the stream or are read in between, except where "
        "cryptofeed fetches them when it subscribes (Bitstamp). cryptofeed: its message handler awaited frame by "
        "frame as in its playback, a callback a message, checksums on (off beside it, its default). It "
        "keeps a book and gives it to the callback; ours gives events, and keeps a book only where a rule needs one, "
        "so it is timed also with every tape applied to a `PriceBook`, the quote written after each message. *One a "
        "call* is `Session.frames(time, [frame])` and `take()`, *64 a call* what a busy socket brings; with one a call "
        "the instrument to apply is known before. Books are compared at the end, all levels of all instruments; "
        "`peers/feeds.py` says what is left out, and why."
    ),
    "End to end": (
        "A blaster on core 1, the client on core 0, 127.0.0.1, Binance USD-M frames from a seed: seven quotes and two "
        "trades to one change of up to eight levels. *blast*: as fast as TCP takes them, the client's core is the "
        "limit; CPU is user and system of the client. *paced*: one frame at a time, latency from the sender's clock "
        "before it sends to the moment that the tape, or the message, is in Python's hands, without the first tenth. "
        "crossbook: `feeds.stream`, picows, tapes; events wait up to `linger` (0.5 ms) for others if they come faster. "
        "websockets: `json.loads`, a dict a side, a tuple an event. Every frame arrived in order, and every book was "
        "right at the end. Medians of five runs, of three when paced."
    ),
    "Price book, Python": (
        "`timeit` over all changes of a capture, from a book that holds its snapshot. A single call's figure "
        "includes the loop that makes it; the empty loop stands beside it. Reused memory is `out=`; fresh memory "
        "comes from the system, page faults included."
    ),
    "Peers": (
        "One process, one input, the rounds of all take turns, each on a new book. *call*: set or remove a level "
        "and read best bid and ask with sizes back, over the first 50,000 changes; every peer in the best of its "
        "documented ways, and what it needs as its own objects is made outside the clock. *batch*: the top of the "
        "book after every row, from an empty book, to a Polars DataFrame. `peers/compare.py` says what each does."
    ),
    "Study": (
        "pytest-benchmark on the USD-M and spot captures. The last row is the wall time of the command `crossbook "
        "study` from start to end, report and Parquet written."
    ),
    "Route, Python": (
        "One `market.route` over eight books of 100 levels a side; each size is a share of all asks, its total "
        "compared with that of all levels sorted by net price before the clock starts."
    ),
    "Pools against cvxpy": (
        "1,000 pools over 40 tokens, whole amounts, beside cvxpy with Clarabel in two forms: as it is published, a "
        "constraint a pool, and with all pools in one cone. `solver_s` is what Clarabel alone took."
    ),
    "Analytics, Rust": (
        "Kernels of the study, one thread. `lead_lag`: 400,000 × 400,000 ticks in an hour. `hawkes`: 700,000 events of "
        "two types, ns an event, log-likelihood with its whole gradient, decays included. `order_flow`: a level into "
        "the book alone, and with the imbalance of ten levels after it."
    ),
    "Analytics against peers": (
        "One process, the same input, answers compared before the clock starts. Each file in `benches/peers` says "
        "what is compared; `lead_lag.py --peers` measures what takes minutes too."
    ),
    "Instructions": (
        "Per run of 2,000 operations (frames, levels; the contrast: 2,000 × 2,000 ticks over 2,001 lags), input "
        "made from a seed. {tools}"
    ),
}
