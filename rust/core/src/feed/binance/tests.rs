use std::io::Read;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::event::{Event, Flags, Kind};
use crate::feed::{Command, FeedError, FeedErrorKind, Outcome, Session};
use crate::tape::Tape;
use crate::units::{Price, Size, UnitError};

fn spot() -> Instrument {
    Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in")
}

fn usdm() -> Instrument {
    Instrument::builtin(Venue::BinanceUsdm, "BTCUSDT").expect("built in")
}

fn feed(instrument: &Instrument) -> Session {
    Session::new(Protocol::current(instrument.venue).expect("a feed"), [(0, instrument)])
}

/// Feeds the frames one ms apart; the n-th result and all events.
fn play(instrument: &Instrument, frames: &[String]) -> (Vec<Result<Outcome, FeedError>>, Vec<Event>) {
    let (mut feed, mut tape) = (feed(instrument), Tape::default());
    let results = frames
        .iter()
        .zip(1..)
        .map(|(frame, at)| feed.on_frame(Nanos(at * 1_000_000), frame.as_bytes(), &mut tape))
        .collect();
    (results, tape.view().iter().collect())
}

fn diff(first: u64, last: u64, previous: Option<u64>, bid: &str) -> String {
    let previous = previous.map_or_else(String::new, |pu| format!(r#""pu":{pu},"#));
    format!(
        r#"{{"stream":"btcusdt@depth","data":{{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":{first},"u":{last},{previous}"b":[["{bid}","1"]],"a":[["101","2"]]}}}}"#
    )
}

fn snapshot(id: u64) -> String {
    format!(r#"{{"lastUpdateId":{id},"bids":[["99","5"]],"asks":[["102","5"]]}}"#)
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    events.iter().map(|event| event.kind).collect()
}

#[test]
fn changes_before_the_snapshot_wait_for_it_and_the_older_ones_go() {
    let frames = [diff(1, 5, None, "90"), diff(6, 8, None, "91"), diff(9, 12, None, "92"), snapshot(8)];
    let (results, events) = play(&spot(), &frames);
    assert_eq!(results, [Ok(Outcome::Held), Ok(Outcome::Held), Ok(Outcome::Held), Ok(Outcome::Snapshot)]);
    assert_eq!(kinds(&events), [Kind::Clear, Kind::Level, Kind::Level, Kind::Level, Kind::Level]);
    assert_eq!(events[3].price, Price(9_200), "only the change after the snapshot is replayed");
    assert!(events[3].flags.contains(Flags::REPLAYED) && !events[3].flags.contains(Flags::SNAPSHOT));
    assert!(events.iter().all(|event| event.ts_recv == Nanos(4_000_000)));
    assert!(events[2].flags.contains(Flags::LAST) && events[4].flags.contains(Flags::LAST));
}

#[test]
fn a_snapshot_older_than_what_is_held_is_not_used_and_another_is_asked_for() {
    let mut feed = feed(&spot());
    let mut tape = Tape::default();
    feed.on_open(Nanos(1));
    assert_eq!(feed.commands().count(), 1, "a subscription");
    feed.on_frame(Nanos(1), diff(10, 12, None, "90").as_bytes(), &mut tape).expect("a change");
    assert_eq!(feed.commands().count(), 1, "the first change asks for a snapshot");
    assert_eq!(feed.on_frame(Nanos(2), snapshot(5).as_bytes(), &mut tape), Ok(Outcome::Held));
    assert_eq!(feed.commands().collect::<Vec<_>>(), [Command::FetchSnapshot { instrument: 0 }]);
    assert!(tape.is_empty() && !feed.is_synced(0));
    // One that was fetched and does not serve is followed by another after a pause, not at once.
    assert_eq!(feed.on_snapshot(Nanos(3), 0, snapshot(6).as_bytes(), &mut tape), Ok(Outcome::Held));
    assert_eq!(feed.commands().count(), 0);
    feed.on_time(Nanos(700_000_000));
    assert_eq!(feed.commands().collect::<Vec<_>>(), [Command::FetchSnapshot { instrument: 0 }]);
    assert_eq!(feed.on_frame(Nanos(3), snapshot(11).as_bytes(), &mut tape), Ok(Outcome::Snapshot));
    assert!(feed.is_synced(0));
}

#[test]
fn a_missing_spot_change_is_a_gap_and_the_next_snapshot_resumes() {
    let frames =
        [snapshot(8), diff(9, 9, None, "91"), diff(11, 12, None, "92"), diff(13, 14, None, "93"), snapshot(12)];
    let (results, events) = play(&spot(), &frames);
    assert_eq!(results[2], Ok(Outcome::Gap));
    let gap = events.iter().find(|event| event.kind == Kind::Gap).expect("a gap");
    assert_eq!((gap.sequence, gap.order_id), (10, 10));
    assert_eq!(results[4], Ok(Outcome::Snapshot));
    assert_eq!(events.last().map(|event| event.sequence), Some(14), "the change after the snapshot joins");
}

#[test]
fn a_broken_futures_chain_is_a_gap() {
    let frames = [snapshot(8), diff(7, 9, Some(6), "91"), diff(12, 15, Some(9), "92"), diff(20, 22, Some(18), "93")];
    let (results, events) = play(&usdm(), &frames);
    assert_eq!(results[..3], [Ok(Outcome::Snapshot), Ok(Outcome::Depth), Ok(Outcome::Depth)]);
    let gap = events.last().expect("events");
    assert_eq!((gap.kind, gap.sequence, gap.order_id), (Kind::Gap, 16, 18));
}

#[test]
fn a_repeated_message_changes_nothing() {
    let frames = [snapshot(8), diff(7, 9, Some(6), "91"), diff(7, 9, Some(6), "95")];
    let (results, events) = play(&usdm(), &frames);
    assert_eq!(results[2], Ok(Outcome::Repeated));
    assert!(events.iter().all(|event| event.price != Price(950)));
}

#[test]
fn a_trade_names_its_aggressor_and_a_missing_trade_leaves_the_book_alone() {
    let trade = |id: u64, maker: bool| {
        format!(
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":{id},"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":{maker},"M":true}}}}"#
        )
    };
    let (results, events) = play(&spot(), &[trade(7, true), trade(9, false), trade(9, false)]);
    assert_eq!(results, [Ok(Outcome::Trade), Ok(Outcome::Trade), Ok(Outcome::Repeated)]);
    assert_eq!(kinds(&events), [Kind::Trade, Kind::Gap, Kind::Trade]);
    assert_eq!(
        (events[0].side, events[2].side),
        (Some(Side::Ask), Some(Side::Bid)),
        "the buyer was the maker, then not"
    );
    assert_eq!((events[0].price, events[0].size), (Price(6_183_763), Size(2_000_000)));
    assert_eq!(events[0].ts_event, Nanos(1_723_161_255_342_000_000), "the engine's time");
    assert!(events[1].flags.contains(Flags::TRADES));
}

#[test]
fn a_spot_quote_has_no_exchange_time() {
    let frame = r#"{"u":5,"s":"BTCUSDT","b":"1.00","B":"2","a":"1.01","A":"3"}"#.to_owned();
    let (_, events) = play(&spot(), &[frame]);
    assert_eq!(
        events.iter().map(|event| (event.ts_event, event.price.0)).collect::<Vec<_>>(),
        [(Nanos::UNKNOWN, 100), (Nanos::UNKNOWN, 101)]
    );
}

#[test]
fn a_mark_price_brings_index_and_funding() {
    let frame = r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.6","P":"11784.25","r":"0.00038167","T":1562306400000}"#;
    let (results, events) = play(&usdm(), &[frame.to_owned()]);
    assert_eq!(results, [Ok(Outcome::Mark)]);
    assert_eq!(kinds(&events), [Kind::Mark, Kind::Index, Kind::Funding]);
    assert_eq!((events[2].price, events[2].size), (Price(3_816_700), Size(1_562_306_400_000_000_000)));
}

#[test]
fn partial_books_are_no_changes_even_where_they_look_like_them() {
    let frame = diff(9, 9, Some(8), "91").replace("btcusdt@depth", "btcusdt@depth5");
    let (results, events) = play(&usdm(), &[snapshot(8), frame, diff(9, 9, Some(8), "92")]);
    assert_eq!(results[1..], [Ok(Outcome::Other), Ok(Outcome::Depth)]);
    assert!(events.iter().all(|event| event.price != Price(910)));
}

#[test]
fn messages_of_all_symbols_at_once_are_read_one_by_one() {
    let one = r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"1","r":"","T":0}"#;
    let frame = format!(r#"{{"stream":"!markPrice@arr","data":[{one},{one}]}}"#);
    let (results, events) = play(&usdm(), &[frame]);
    assert_eq!((results, events.len()), (vec![Ok(Outcome::Mark)], 4));
}

#[test]
fn acknowledgements_are_passed_over() {
    let (results, events) = play(&spot(), &[r#"{"result":null,"id":1}"#.to_owned()]);
    assert_eq!((results, events.len()), (vec![Ok(Outcome::Other)], 0));
}

#[test]
fn an_error_says_venue_symbol_sequence_byte_and_what_was_expected() {
    let frame = diff(9, 9, None, "91.001");
    let (results, events) = play(&spot(), &[snapshot(8), frame.clone()]);
    let error = results[1].clone().expect_err("off its unit");
    assert_eq!((error.venue, error.symbol.as_str(), error.sequence), (Venue::BinanceSpot, "BTCUSDT", 9));
    assert_eq!(Some(error.offset), frame.find("91.001"));
    let cent = Unit::decimals(2);
    assert!(matches!(error.kind, FeedErrorKind::Decimal { error: UnitError::OffUnit(unit), .. } if unit == cent));
    assert!(error.to_string().contains("expected a multiple of the unit 0.01"), "{error}");
    let gap = events.last().expect("events");
    assert_eq!((gap.kind, gap.flags.contains(Flags::OURS), gap.sequence), (Kind::Gap, true, 9));
}

#[test]
fn a_truncated_depth_frame_makes_the_book_stale_at_once() {
    let mut frame = diff(9, 9, None, "91");
    frame.truncate(120);
    let (results, events) = play(&spot(), &[snapshot(8), frame]);
    assert!(matches!(results[1].as_ref().map_err(|e| &e.kind), Err(FeedErrorKind::Malformed { .. })));
    assert_eq!(events.last().map(|event| event.kind), Some(Kind::Gap));
}

#[test]
fn wrong_types_negative_sizes_and_huge_numbers_are_refused() {
    let huge = "9".repeat(40);
    for (bid, size) in [("\"1\"", "-1"), ("null", "\"1\""), (&*format!("\"{huge}\""), "\"1\"")] {
        let size = if size.starts_with('"') { size.to_owned() } else { format!("\"{size}\"") };
        let frame = format!(r#"{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":9,"u":9,"b":[[{bid},{size}]],"a":[]}}"#);
        let (results, _) = play(&spot(), &[snapshot(8), frame.clone()]);
        assert!(results[1].is_err(), "{frame}");
    }
    let time = r#"{"e":"trade","E":99999999999999,"s":"BTCUSDT","t":1,"p":"1","q":"1","m":true}"#;
    let (results, _) = play(&spot(), &[time.to_owned()]);
    assert!(results[0].as_ref().is_err_and(|error| error.to_string().contains("a time that fits")));
}

#[test]
fn a_symbol_that_was_not_asked_for_is_refused() {
    let frame = diff(1, 2, None, "1").replace("BTCUSDT", "ETHUSDT");
    let (results, _) = play(&spot(), &[frame]);
    assert_eq!(results[0].as_ref().map_err(|e| &e.kind), Err(&FeedErrorKind::UnknownSymbol));
}

#[test]
fn another_symbols_message_leaves_our_book_as_it_is() {
    let frames = [snapshot(8), diff(9, 9, None, "1").replace("BTCUSDT", "ETHUSDT"), diff(9, 9, None, "91")];
    let (results, events) = play(&spot(), &frames);
    assert_eq!(results[1].as_ref().map_err(|e| &e.kind), Err(&FeedErrorKind::UnknownSymbol));
    assert_eq!(results[2], Ok(Outcome::Depth));
    assert!(events.iter().all(|event| event.kind != Kind::Gap));
}

#[test]
fn an_absurd_id_of_a_depth_message_is_a_gap_at_the_next() {
    let frames =
        [snapshot(8), diff(9, 900, None, "91"), diff(10, 10, None, "92"), snapshot(10), diff(11, 11, None, "94")];
    let (results, events) = play(&spot(), &frames);
    assert_eq!(results[2], Ok(Outcome::Gap), "older, yet not one that was applied");
    let gap = events.iter().find(|event| event.kind == Kind::Gap).expect("a gap");
    assert!(gap.flags.contains(Flags::OURS));
    assert_eq!(results[3..], [Ok(Outcome::Snapshot), Ok(Outcome::Depth)]);
}

#[test]
fn an_absurd_id_of_a_quote_or_trade_costs_two_messages() {
    let quote = |id: u64| format!(r#"{{"u":{id},"s":"BTCUSDT","b":"1.00","B":"2","a":"1.01","A":"3"}}"#);
    let trade =
        |id: u64| format!(r#"{{"e":"trade","E":1,"s":"BTCUSDT","t":{id},"p":"1.00","q":"2","T":1,"m":true,"M":true}}"#);
    for (frame, outcome) in [(&quote as &dyn Fn(u64) -> String, Outcome::Quote), (&trade, Outcome::Trade)] {
        let (results, _) = play(&spot(), &[900, 9, 10, 11, 12].map(frame));
        let taken = Ok(outcome);
        assert_eq!(results, [taken.clone(), Ok(Outcome::Repeated), Ok(Outcome::Repeated), taken.clone(), taken]);
    }
}

/// Real frames of every kind from each capture, or none where there are no captures.
fn real_frames() -> Vec<(Instrument, Vec<u8>)> {
    let root = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let mut frames = Vec::new();
    for (file, venue, symbol) in [
        ("spot-btcusdt.gz", Venue::BinanceSpot, "BTCUSDT"),
        ("usdm-btcusdt.gz", Venue::BinanceUsdm, "BTCUSDT"),
        ("coinm-btcusd_perp.gz", Venue::BinanceCoinm, "BTCUSD_PERP"),
    ] {
        let Ok(file) = std::fs::File::open(root.join("binance-2024-08-08").join(file)) else {
            assert!(std::env::var_os("CI").is_none(), "CROSSBOOK_DATA: expected captures under {}", root.display());
            eprintln!("skipped: set CROSSBOOK_DATA to the folder of captures");
            continue;
        };
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(file).take(3 << 20).read_to_end(&mut text).expect("gzip");
        let instrument = Instrument::builtin(venue, symbol).expect("built in");
        let lines = text.split(|byte| *byte == b'\n').filter(|line| line.len() < 4_000);
        frames.extend(lines.filter_map(|line| {
            let space = line.iter().position(|byte| *byte == b' ')?;
            Some((instrument.clone(), line[space + 1..].to_vec()))
        }));
    }
    frames
}

/// Whether a frame is read; if it is, `serde_json` must read the same ids and levels in it.
fn agree(instrument: &Instrument, frame: &[u8]) -> bool {
    let mut dialect = (Protocol::current(instrument.venue).expect("a feed").dialect)();
    let mut found = Frame::default();
    if dialect.read(frame, &mut found).is_err() {
        return false;
    }
    let shown = String::from_utf8_lossy(frame);
    let value: serde_json::Value = match serde_json::from_slice(frame) {
        Ok(value) => value,
        // A number that no float holds is fine where nobody needs it.
        Err(error) if error.to_string().contains("number out of range") => return true,
        Err(error) => panic!("{shown}: {error}"),
    };
    let body = value.get("data").filter(|_| value.get("stream").is_some()).unwrap_or(&value);
    for message in &found.messages {
        let Body::Levels { link, levels, .. } = &message.body else { continue };
        let last = body.get("u").or_else(|| body.get("lastUpdateId"));
        assert_eq!(last.and_then(serde_json::Value::as_u64), Some(link.last()), "{shown}");
        let sides = [(Side::Bid, ["b", "bids"]), (Side::Ask, ["a", "asks"])];
        for (side, names) in sides {
            let expected = names.iter().find_map(|name| body.get(name)?.as_array()).expect("a side");
            let ours = found.levels[levels.clone()].iter().filter(|level| level.side == side);
            assert_eq!(ours.clone().count(), expected.len(), "{shown}");
            for (level, text) in ours.zip(expected) {
                for (decimal, at) in [(level.price, 0), (level.size, 1)] {
                    // A number outside quotes is read as well.
                    let text = text[at].as_str().map_or_else(|| text[at].to_string(), str::to_owned);
                    let value: f64 = text.parse().expect("a number");
                    #[allow(clippy::cast_precision_loss)]
                    let ours = decimal.digits as f64 * 10_f64.powi(i32::from(decimal.exponent));
                    let ours = if decimal.negative { -ours } else { ours };
                    assert!((ours - value).abs() <= value.abs() * 1e-12, "{shown}: {ours} and {value}");
                }
            }
        }
    }
    true
}

#[test]
fn every_real_frame_is_read_as_serde_json_reads_it() {
    for (instrument, frame) in real_frames() {
        let whole = serde_json::from_slice::<serde_json::Value>(&frame).is_ok();
        assert!(!whole || agree(&instrument, &frame), "{}", String::from_utf8_lossy(&frame));
    }
}

/// How many times the usual number of cases to try: `make slow` asks for more.
fn slow() -> u32 {
    std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"))
}

#[test]
fn what_is_read_of_mutated_real_frames_means_the_same_to_serde_json() {
    let frames = real_frames();
    if frames.is_empty() {
        return;
    }
    let mutation = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..7_u8, any::<u8>());
    let cases = 300_000 * slow();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let hits = std::cell::Cell::new((0, 0));
    proptest!(config, |(mutations in prop::collection::vec(mutation, 1..4))| {
        let (instrument, mut frame) = frames[mutations[0].0.index(frames.len())].clone();
        for (_, at, how, byte) in &mutations {
            if frame.is_empty() {
                break;
            }
            let at = at.index(frame.len());
            match how {
                0 => frame[at] = *byte,
                1 => frame[at] = b"0123456789.-eE\",:[]{}\\ abU"[usize::from(*byte) % 26],
                2 => { frame.remove(at); }
                3 => frame.truncate(at),
                4 => frame.insert(at, *byte),
                5 => { let copy = frame[at]; frame.insert(at, copy); }
                _ => { let other = usize::from(*byte) % frame.len(); frame.swap(at, other); }
            }
        }
        let (all, fast) = hits.get();
        hits.set((all + 1, fast + u32::from(agree(&instrument, &frame))));
    });
    let (all, fast) = hits.get();
    assert!(all >= cases && fast > all / 50, "{all} mutants, of which {fast} were read");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000 * slow(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_at_all_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut feed, mut tape) = (feed(&usdm()), Tape::default());
        let _ = feed.on_frame(Nanos(1), &bytes, &mut tape);
    }
}

#[test]
fn frames_that_we_lose_do_not_ask_twice_nor_without_a_socket() {
    let known = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
    let change = br#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}"#;
    for open in [false, true] {
        let mut session = Session::new(&PROTOCOLS[0], [(0, &known)]);
        let mut tape = Tape::default();
        if open {
            session.on_open(Nanos(0));
        }
        session.on_frame(Nanos(1), change, &mut tape).expect("a change");
        session.on_overflow(Nanos(2), &mut tape);
        session.on_overflow(Nanos(3), &mut tape);
        let fetches = session.commands().filter(|one| matches!(one, Command::FetchSnapshot { .. })).count();
        assert_eq!((fetches, session.counts(0).resyncs), (usize::from(open), u64::from(open)));
    }
}

#[test]
fn a_partial_book_does_not_replace_a_book_that_its_changes_prove() {
    let known = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
    let mut session = Session::new(&PROTOCOLS[0], [(0, &known)]);
    let mut tape = Tape::default();
    let change = br#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,"b":[],"a":[]}"#;
    session.on_frame(Nanos(1), change, &mut tape).expect("a change");
    let whole = br#"{"lastUpdateId":5,"bids":[["10","1"],["9","1"],["8","1"]],"asks":[]}"#;
    assert_eq!(session.on_snapshot(Nanos(2), 0, whole, &mut tape), Ok(Outcome::Snapshot));
    let rows = tape.len();
    let partial = br#"{"lastUpdateId":7,"bids":[["10","1"]],"asks":[]}"#;
    assert_eq!(session.on_frame(Nanos(3), partial, &mut tape), Ok(Outcome::Repeated));
    assert_eq!((tape.len(), session.counts(0).resets), (rows, 0));
}

#[test]
fn a_break_while_a_snapshot_was_awaited_does_not_count_what_it_does_not_know() {
    let known = Instrument::builtin(Venue::BinanceUsdm, "BTCUSDT").expect("built in");
    let mut session = Session::new(Protocol::named("binance-usdm").expect("a protocol"), [(0, &known)]);
    let mut tape = Tape::default();
    for (first, last, previous) in [(10, 12, 9), (20, 22, 11)] {
        let frame = format!(
            r#"{{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":{first},"u":{last},"pu":{previous},"b":[],"a":[]}}"#
        );
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a change");
    }
    let whole = br#"{"lastUpdateId":11,"bids":[],"asks":[]}"#;
    assert_eq!(session.on_snapshot(Nanos(2), 0, whole, &mut tape), Ok(Outcome::Snapshot));
    assert_eq!((session.gaps()[0].last, session.gaps()[0].unit), (0, crate::feed::GapUnit::Unknown));
}

#[test]
fn the_loss_of_the_first_trade_is_said_too() {
    let known = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
    let trade = |id: u64, price: &str| {
        format!(r#"{{"e":"trade","E":1,"s":"BTCUSDT","t":{id},"p":"{price}","q":"1","T":1,"m":true}}"#)
    };
    let mut session = Session::new(&PROTOCOLS[0], [(0, &known)]);
    let mut tape = Tape::default();
    session.on_frame(Nanos(1), trade(1, "1.000000000001").as_bytes(), &mut tape).expect_err("off the unit");
    session.on_frame(Nanos(1), trade(2, "1").as_bytes(), &mut tape).expect("a trade");
    assert_eq!((session.counts(0).trade_gaps, session.counts(0).trades), (1, 1));
    // Later ones show by their ids.
    session.on_frame(Nanos(1), trade(3, "1.000000000001").as_bytes(), &mut tape).expect_err("off the unit");
    session.on_frame(Nanos(1), trade(4, "1").as_bytes(), &mut tape).expect("a trade");
    assert_eq!((session.counts(0).trade_gaps, session.gaps()[1].first), (2, 3));
}
