use serde_json::Value;

use super::*;
use crate::feed::json::FaultKind;
use crate::feed::message::Message;
use crate::feed::testing::{data, frames, read_with, requests_of, singles, surveyed};
use crate::feed::{FeedErrorKind, Outcome, Session};
use crate::instrument::{Contract, Instrument};
use crate::tape::Tape;
use crate::units::Unit;

fn protocol(name: &str) -> &'static Protocol {
    Protocol::named(name).expect("a protocol")
}

fn book(kind: &str, update: u64, bids: &str) -> String {
    format!(
        r#"{{"topic":"orderbook.50.BTCUSDT","ts":1787612486116,"type":"{kind}","data":{{"s":"BTCUSDT","b":{bids},"a":[["101","2"]],"u":{update},"seq":9}},"cts":1787612486108}}"#
    )
}

fn all(dialect: &mut dyn Dialect, frame: &str) -> Vec<Message> {
    read_with(dialect, frame).unwrap_or_else(|fault| panic!("{fault:?}: {frame}")).messages
}

fn one(dialect: &mut dyn Dialect, frame: &str) -> Message {
    let mut messages = all(dialect, frame);
    assert_eq!(messages.len(), 1, "{frame}");
    messages.remove(0)
}

fn play(session: &mut Session, frames: &[&str]) -> Vec<Outcome> {
    let mut tape = Tape::default();
    let on_frame = |(frame, at): (&&str, i64)| session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good");
    frames.iter().zip(1..).map(on_frame).collect()
}

#[test]
fn every_frame_of_2021_is_read() {
    for (file, name, snapshots, depth, trades, acknowledgements) in [
        ("cryptofeed/BYBIT.ws.25.0.gz", "bybit-v2-linear", 8, 3_252, 66, 16),
        ("cryptofeed/BYBIT.ws.26.0.gz", "bybit-v2-inverse", 2, 1_016, 76, 4),
    ] {
        let Some(text) = data(file) else { return };
        let frames = frames(&text);
        let (mut session, found) = surveyed(protocol(name), &frames);
        let outcomes = play(&mut session, &frames);
        let count = |outcome| outcomes.iter().filter(|found| **found == outcome).count();
        assert_eq!((count(Outcome::Snapshot), count(Outcome::Depth)), (snapshots, depth));
        assert_eq!((count(Outcome::Trade), count(Outcome::Other)), (trades, acknowledgements));
        assert_eq!(count(Outcome::Gap) + count(Outcome::Repeated) + count(Outcome::Held), 0);
        assert_eq!(found.len(), snapshots);
        for at in 0..u32::try_from(found.len()).expect("few") {
            let counts = session.counts(at);
            assert_eq!((counts.gaps, counts.verified), (0, 0), "nothing proves that none is missing");
        }
    }
}

#[test]
fn the_books_of_2021_keep_25_levels_a_side() {
    let Some(text) = data("cryptofeed/BYBIT.ws.25.0.gz") else { return };
    let mut books = std::collections::BTreeMap::<Vec<u8>, std::collections::BTreeMap<(bool, String), u64>>::new();
    let mut dialect = V2::default();
    for frame in frames(&text) {
        let out = read_with(&mut dialect, frame).expect("reads");
        for message in &out.messages {
            let (Body::Levels { snapshot, levels, .. }, Symbol::At(symbol)) = (&message.body, message.symbol) else {
                continue;
            };
            let book = books.entry(symbol.of(frame.as_bytes()).to_vec()).or_default();
            if *snapshot {
                book.clear();
            }
            for level in &out.levels[levels.clone()] {
                let key = (level.side == Side::Bid, format!("{}e{}", level.price.digits, level.price.exponent));
                if level.size.is_zero() {
                    assert!(book.remove(&key).is_some(), "a delete of a level that was there");
                } else {
                    book.insert(key, level.size.digits);
                }
            }
            let bids = book.keys().filter(|(bid, _)| *bid).count();
            assert_eq!((bids, book.len()), (25, 50));
        }
    }
    assert_eq!(books.len(), 8);
}

#[test]
fn the_counter_of_2026_is_unbroken_and_a_lost_frame_breaks_it() {
    let Some(text) = data("current-frames/bybit_orderbook.jsonl") else { return };
    let frames: Vec<&str> = text.lines().collect();
    let (mut whole, found) = surveyed(protocol("bybit-v5-spot"), &frames);
    assert_eq!(found[0].unified(), "BTC-USDT");
    play(&mut whole, &frames);
    let counts = whole.counts(0);
    assert_eq!((counts.snapshots, counts.depth, counts.verified, counts.gaps), (1, 8, 8, 0));
    let (mut holed, _) = surveyed(protocol("bybit-v5-spot"), &frames);
    let lost: Vec<&str> = frames.iter().enumerate().filter(|(at, _)| *at != 4).map(|(_, frame)| *frame).collect();
    play(&mut holed, &lost);
    assert_eq!((holed.counts(0).gaps, holed.gaps().len()), (1, 1));
    assert_eq!(holed.gaps()[0].first, holed.gaps()[0].last, "one message is missing");
}

#[test]
fn the_first_number_and_a_snapshot_replace_the_book() {
    let bids = r#"[["99","1"]]"#;
    let frames = [
        book("delta", 7, bids),
        book("snapshot", 10, bids),
        book("delta", 11, bids),
        book("delta", 11, bids),
        book("delta", 1, bids),
        book("delta", 2, bids),
        book("snapshot", 40, bids),
        book("delta", 42, bids),
        book("snapshot", 1, bids),
    ];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let (mut session, _) = surveyed(protocol("bybit-v5-linear"), &frames);
    use Outcome::{Depth, Gap, Held, Repeated, Snapshot};
    assert_eq!(
        play(&mut session, &frames),
        [Held, Snapshot, Depth, Repeated, Snapshot, Depth, Snapshot, Gap, Snapshot]
    );
    assert_eq!(session.counts(0).resets, 2);
}

#[test]
fn the_engines_time_comes_before_the_time_of_sending() {
    let with = one(&mut V5::default(), &book("delta", 2, "[]"));
    assert_eq!(with.ts_event, Nanos(1_787_612_486_108_000_000));
    let without = one(&mut V5::default(), &book("delta", 2, "[]").replace(r#","cts":1787612486108"#, ""));
    assert_eq!(without.ts_event, Nanos(1_787_612_486_116_000_000));
}

#[test]
fn single_messages_of_every_kind_are_read() {
    let Some(text) = data("raw-messages/raw_messages.jsonl") else { return };
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for (group, raw) in singles(&text, "bybit") {
        *kinds.entry(group).or_default() += all(&mut V2::default(), &raw).len();
    }
    let of = |group: &str| kinds.get(group).copied().unwrap_or(0);
    assert!(of("trade") >= 4 && of("l2_orderbook") == 6 && of("ticker") == 5, "{kinds:?}");
    assert_eq!(of("candlestick") + of("open_interest"), 0);
}

#[test]
fn the_listing_of_2021_holds_both_kinds_of_contracts() {
    let Some(text) = data("cryptofeed/BYBIT.0.gz") else { return };
    let body =
        text.lines().find_map(|line| line.split_once(": {")).map(|(_, body)| format!("{{{body}")).expect("a body");
    let linear = v2::list(Venue::BybitLinear, body.as_bytes()).expect("a listing");
    let inverse = v2::list(Venue::BybitInverse, body.as_bytes()).expect("a listing");
    let entries: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(Some(linear.len() + inverse.len()), entries["result"].as_array().map(Vec::len));
    let btc = inverse.iter().find(|found| found.symbol == "BTCUSD").expect("listed");
    assert_eq!((btc.unified().as_str(), btc.settle.as_str(), btc.multiplier), ("BTC-USD-PERP", "BTC", Unit::ONE));
    assert_eq!((btc.tick, btc.price_unit), (Unit::new(5, -1), Unit::decimals(1)));
    let eth = linear.iter().find(|found| found.symbol == "ETHUSDT").expect("listed");
    assert_eq!((eth.unified().as_str(), eth.contract), ("ETH-USDT-PERP", Contract::Linear));
    for (venue, found) in linear
        .iter()
        .map(|found| (Venue::BybitLinear, found))
        .chain(inverse.iter().map(|found| (Venue::BybitInverse, found)))
    {
        assert_eq!(describe(venue, &found.symbol).map(|known| known.unified()), Some(found.unified()));
    }
}

#[test]
fn a_listing_of_today_gives_units_and_deliveries() {
    let body = |entries: &str| {
        format!(r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"x","list":[{entries}]}},"time":1}}"#)
    };
    let linear = body(
        r#"{"symbol":"BTCUSDT-26DEC25","contractType":"LinearFutures","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT","deliveryTime":"1766736000000","priceFilter":{"tickSize":"0.50"},"lotSizeFilter":{"qtyStep":"0.001"}},{"symbol":5}"#,
    );
    let found = list(Venue::BybitLinear, linear.as_bytes()).expect("a listing");
    assert_eq!(found.len(), 1, "the other one is passed over");
    assert_eq!((found[0].unified().as_str(), found[0].size_unit), ("BTC-USDT-251226", Unit::decimals(3)));
    assert_eq!((found[0].tick, found[0].price_unit), (Unit::new(5, -1), Unit::decimals(1)));
    let option = body(
        r#"{"symbol":"BTC-27DEC24-60000-C-USDT","optionsType":"Call","baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT","deliveryTime":"1735286400000","priceFilter":{"tickSize":"5"},"lotSizeFilter":{"qtyStep":"0.01"}}"#,
    );
    let found = list(Venue::BybitOption, option.as_bytes()).expect("a listing");
    assert_eq!((found[0].unified().as_str(), found[0].price_unit), ("BTC-USDT-241227-60000-C", Unit::ONE));
    let spot = body(
        r#"{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","lotSizeFilter":{"basePrecision":"0.000001","quotePrecision":"0.00000001"},"priceFilter":{"tickSize":"0.1"}}"#,
    );
    let found = list(Venue::BybitSpot, spot.as_bytes()).expect("a listing");
    assert_eq!((found[0].unified().as_str(), found[0].size_unit), ("BTC-USDT", Unit::decimals(6)));
    assert!(list(Venue::BybitSpot, b"{}").is_err());
}

#[test]
fn symbols_say_what_they_are() {
    for (venue, symbol, unified, settle) in [
        (Venue::BybitSpot, "ETHBTC", "ETH-BTC", "BTC"),
        (Venue::BybitLinear, "BTCPERP", "BTC-USDC-PERP", "USDC"),
        (Venue::BybitLinear, "BTC-5DEC25", "BTC-USDC-251205", "USDC"),
        (Venue::BybitLinear, "BTCUSDT-26DEC25", "BTC-USDT-251226", "USDT"),
        (Venue::BybitInverse, "BTCUSDM22", "BTC-USD-220624", "BTC"),
        (Venue::BybitInverse, "BTCUSDZ25", "BTC-USD-251226", "BTC"),
        (Venue::BybitOption, "ETH-27DEC24-3000.5-P", "ETH-USDC-241227-3000.5-P", "USDC"),
    ] {
        let found = describe(venue, symbol).expect(symbol);
        assert_eq!((found.unified().as_str(), found.settle.as_str()), (unified, settle));
    }
    for (venue, symbol) in [
        (Venue::BybitSpot, "USDT"),
        (Venue::BybitLinear, "BTCUSD"),
        (Venue::BybitLinear, "BTC-99XXX25"),
        (Venue::BybitInverse, "BTCUSDT"),
        (Venue::BybitInverse, "é"),
        (Venue::BybitOption, "BTC-27DEC24-60000"),
        (Venue::BybitOption, "BTC-27DEC24-60000-X"),
    ] {
        assert!(describe(venue, symbol).is_none(), "{symbol}");
    }
}

#[test]
fn trades_have_the_takers_side_and_block_trades_are_silent() {
    let frame = r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false},{"T":1672304486866,"s":"BTCUSDT","S":"Sell","v":"2","p":"16578.00","i":"2290000000007764263","BT":true}]}"#;
    let found = all(&mut V5::default(), frame);
    let Body::Trade { id: 0, side: Some(Side::Bid), silent: false, .. } = found[0].body else { panic!("a trade") };
    let Body::Trade { id: 2_290_000_000_007_764_263, side: Some(Side::Ask), silent: true, .. } = found[1].body else {
        panic!("a block trade")
    };
    assert_eq!(found[0].ts_event, Nanos(1_672_304_486_865_000_000));
}

#[test]
fn tickers_give_marks_and_best_prices_unless_faster_ones_come() {
    let frame = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17217.33","indexPrice":"17227.36","fundingRate":"-0.000212","nextFundingTime":"1672387200000","bid1Price":"17215.5","bid1Size":"84","ask1Price":"17216"},"cs":24987956059,"ts":1673272861686}"#;
    let mut dialect = V5::default();
    let found = all(&mut dialect, frame);
    assert_eq!(found.len(), 2);
    let Body::Mark { mark: Some(_), index: Some(_), iv: None, funding: Some((rate, due)) } = found[0].body else {
        panic!("a mark")
    };
    assert!(rate.negative && due == Nanos(1_672_387_200_000_000_000));
    let Body::Quote { bid: Some(_), ask: None, .. } = found[1].body else { panic!("a bid") };
    let best = r#"{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],"a":[],"u":18521288,"seq":7961638724}}"#;
    let Body::Quote { sequence: 18_521_288, bid: Some(_), ask: Some((_, none)) } = one(&mut dialect, best).body else {
        panic!("a quote")
    };
    assert!(none.is_zero(), "an empty side");
    let moved = best
        .replace("snapshot", "delta")
        .replace(r#"[["16493.50","0.006"]]"#, r#"[["16493.50","0"],["16493.00","2"]]"#);
    let Body::Quote { bid: Some((price, size)), ask: None, .. } = one(&mut dialect, &moved).body else {
        panic!("a bid")
    };
    assert_eq!((price.digits, size.digits), (1_649_300, 2));
    assert_eq!(all(&mut dialect, frame).len(), 1, "only the marks");
    let option = r#"{"id":"a","topic":"tickers.BTC-6JAN23-17500-C","ts":1672917511074,"type":"snapshot","data":{"symbol":"BTC-6JAN23-17500-C","bidPrice":"0","bidSize":"0","bidIv":"0","askPrice":"10","askSize":"5.1","markPrice":"7.86976724","indexPrice":"16823.73","markPriceIv":"0.4896"}}"#;
    let found = all(&mut V5 { options: true, ..V5::default() }, option);
    let Body::Mark { iv: Some(iv), .. } = found[0].body else { panic!("a volatility") };
    assert_eq!((iv.digits, iv.exponent, found.len()), (4_896, -4, 2));
}

#[test]
fn answers_are_told_apart() {
    let mut dialect = V5::default();
    let stands = r#"{"success":true,"ret_msg":"subscribe","conn_id":"a","op":"subscribe"}"#;
    assert_eq!(one(&mut dialect, stands).body, Body::Subscribed);
    for pong in [
        r#"{"success":true,"ret_msg":"pong","conn_id":"a","op":"ping"}"#,
        r#"{"op":"pong","args":["1675418560633"],"conn_id":"a"}"#,
        r#"{"success":true,"ret_msg":"pong","conn_id":"a","request":{"op":"ping","args":null}}"#,
    ] {
        assert_eq!(one(&mut dialect, pong).body, Body::Heartbeat);
        assert_eq!(one(&mut V2::default(), pong).body, Body::Heartbeat);
    }
    let refused = r#"{"success":false,"ret_msg":"error:handler not found,topic:orderbook.500.BTCUSDT","conn_id":"a","op":"subscribe"}"#;
    let found = one(&mut dialect, refused);
    let Symbol::At(symbol) = found.symbol else { panic!("named") };
    assert!(symbol.of(refused.as_bytes()) == b"BTCUSDT" && matches!(found.body, Body::Refused(_)));
    let twice = refused.replace("handler not found", "already subscribed");
    assert_eq!(one(&mut dialect, &twice).body, Body::Other);
    assert_eq!(one(&mut dialect, &refused.replace("orderbook.500", "tickers")).symbol, Symbol::None);
    let options = r#"{"success":true,"conn_id":"a","data":{"failTopics":["tickers.X"],"successTopics":["orderbook.25.BTC-6JAN23-17500-C"]},"type":"COMMAND_RESP"}"#;
    let found = all(&mut dialect, options);
    assert!(matches!((found[0].symbol, &found[0].body), (Symbol::None, Body::Refused(_))));
    let Symbol::At(symbol) = found[1].symbol else { panic!("named") };
    assert_eq!((symbol.of(options.as_bytes()), &found[1].body), (&b"BTC-6JAN23-17500-C"[..], &Body::Subscribed));
    let old = r#"{"success":true,"ret_msg":"","conn_id":"a","request":{"op":"subscribe","args":["trade.EOSUSD","orderBookL2_25.EOSUSD"]}}"#;
    assert!(
        all(&mut V2::default(), old).iter().all(|found| found.body == Body::Subscribed && found.symbol != Symbol::None)
    );
}

#[test]
fn the_trade_ahead_of_an_acknowledgement_is_history() {
    let trade = r#"{"topic":"trade.BCHUSDT","data":[{"symbol":"BCHUSDT","price":"1053.90","size":0.14,"trade_time_ms":"1618677785116","side":"Buy","trade_id":"x"}]}"#;
    let silent = |dialect: &mut V2| matches!(one(dialect, trade).body, Body::Trade { silent: true, .. });
    let mut dialect = V2::default();
    assert!(!silent(&mut dialect), "the middle of a connection");
    dialect.reset();
    assert!(silent(&mut dialect) && !silent(&mut dialect));
}

#[test]
fn a_frame_is_read_in_any_order_of_its_keys() {
    let turned = r#"{"data":{"u":2,"a":[],"b":[["9","1"]]},"ts":5,"type":"delta","topic":"orderbook.200.BTCUSDT"}"#;
    let Body::Levels { snapshot: false, link, levels, .. } = one(&mut V5::default(), turned).body else {
        panic!("levels")
    };
    assert_eq!((link, levels), (Link::Range { first: 2, last: 2 }, 0..1));
    let old = r#"{"data":[{"size":1,"side":"Buy","price":"7.9"}],"cross_seq":3,"timestamp_e6":"4","type":"snapshot","topic":"orderBookL2_25.EOSUSD"}"#;
    let found = one(&mut V2::default(), old);
    let Body::Levels { snapshot: true, link: Link::At(3), .. } = found.body else { panic!("levels") };
    assert_eq!(found.ts_event, Nanos(4_000));
}

#[test]
fn what_is_missing_or_twice_is_refused() {
    let whole = book("delta", 2, "[]");
    for (field, text) in [
        ("b", r#""b":[],"#),
        ("a", r#""a":[["101","2"]],"#),
        ("u", r#""u":2,"#),
        ("type", r#""type":"delta","#),
        ("topic", r#""topic":"orderbook.50.BTCUSDT","#),
    ] {
        let fault = read_with(&mut V5::default(), &whole.replace(text, "")).expect_err("a field is missing");
        assert_eq!(fault.kind, FaultKind::Missing(field));
        let fault = read_with(&mut V5::default(), &whole.replace(text, &format!("{text}{text}"))).expect_err("twice");
        assert_eq!(fault.kind, FaultKind::Twice(field));
    }
    for garbage in ["", "{", "[]", "{}", "null", r#"{"topic":"orderbook.50.X"}"#, &format!("{whole}}}")] {
        assert!(read_with(&mut V5::default(), garbage).is_err(), "{garbage:?}");
        assert!(read_with(&mut V2::default(), garbage).is_err(), "{garbage:?}");
    }
    let delta = r#"{"topic":"orderBookL2_25.X","type":"delta","data":{"delete":[],"update":[]},"timestamp_e6":1}"#;
    assert_eq!(read_with(&mut V2::default(), delta).expect_err("no inserts").kind, FaultKind::Missing("insert"));
    let error = {
        let (mut session, _) = surveyed(protocol("bybit-v5-linear"), &[&book("delta", 2, r#"[["9","1"]]"#)]);
        session
            .on_frame(Nanos(1), whole.replace("\"u\":2", "\"u\":x").as_bytes(), &mut Tape::default())
            .expect_err("damaged")
    };
    assert!(error.symbol == "BTCUSDT" && matches!(error.kind, FeedErrorKind::Malformed { .. }));
}

#[test]
fn topics_without_a_book_of_ours_are_passed_over() {
    for topic in ["orderbook.full.BTCUSDT", "orderbook.rpi.BTCUSDT", "kline.1.BTCUSDT", "allLiquidation.BTCUSDT", "x"] {
        let frame = format!(r#"{{"topic":"{topic}","type":"delta","ts":1,"data":{{"b":[]}}}}"#);
        assert!(all(&mut V5::default(), &frame).is_empty());
    }
}

#[test]
fn subscriptions_are_what_the_venue_expects() {
    let everything = [Channel::Book, Channel::Trades, Channel::Quotes, Channel::Marks];
    let args = |dialect: &mut dyn Dialect, symbols: &[&str], depth| -> Vec<Vec<String>> {
        let texts = requests_of(dialect, true, symbols, &everything, depth);
        let strings = |args: &Value| serde_json::from_value(args.clone()).expect("strings");
        texts.iter().map(|text| strings(&text["args"])).collect()
    };
    let one = args(&mut V5::default(), &["BTCUSDT"], 50);
    assert_eq!(one, [["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "orderbook.1.BTCUSDT", "tickers.BTCUSDT"]]);
    assert_eq!(args(&mut V5::default(), &["BTCUSDT"], 51)[0][0], "orderbook.200.BTCUSDT");
    let lengths: Vec<usize> = args(&mut V5::default(), &["A", "B", "C"], 50).iter().map(Vec::len).collect();
    assert_eq!(lengths, [10, 2], "ten topics in one request");
    let mut options = V5 { options: true, ..V5::default() };
    let both = args(&mut options, &["BTC-6JAN23-17500-C", "BTC-6JAN23-17500-P"], 25);
    assert_eq!(both[0].iter().filter(|topic| *topic == "publicTrade.BTC").count(), 1);
    assert_eq!(both[0].len(), 5);
    assert!(requests_of(&mut options, false, &["BTC-6JAN23-17500-C"], &[Channel::Trades], 0).is_empty());
    let old = args(&mut V2::default(), &["BTCUSD"], 25);
    assert_eq!(old, [["orderBookL2_25.BTCUSD", "trade.BTCUSD", "instrument_info.100ms.BTCUSD"]]);
}

#[test]
fn the_address_tells_the_protocol() {
    for (url, name) in [
        ("wss://stream.bybit.com/v5/public/spot", "bybit-v5-spot"),
        ("wss://stream.bybit.com/v5/public/option", "bybit-v5-option"),
        ("wss://stream.bybit.com/realtime_public", "bybit-v2-linear"),
        ("wss://stream.bybit.com/realtime", "bybit-v2-inverse"),
        ("wss://stream.bybit.com/contract/usdt/public/v3", "bybit-v3-linear"),
    ] {
        assert_eq!(Protocol::at(url, "2022-01-01").map(|protocol| protocol.name), Some(name));
    }
    assert_eq!(Protocol::current(Venue::BybitInverse).expect("a feed").name, "bybit-v5-inverse");
}

#[test]
fn no_damage_of_a_frame_makes_the_reader_panic_and_every_cut_is_refused() {
    let whole = book("delta", 2, r#"[["99","1"]]"#);
    for end in 0..whole.len() {
        assert!(read_with(&mut V5::default(), &whole[..end]).is_err(), "{}", &whole[..end]);
        for byte in *b"\"\\0-[]{}:,e" {
            let mut damaged = whole.clone().into_bytes();
            damaged[end] = byte;
            let mut out = Frame::default();
            if V5::default().read(&damaged, &mut out).is_ok() {
                assert!(out.messages.len() <= 1);
            }
        }
    }
}

#[test]
fn what_a_restart_counts_anew_repeats_nothing() {
    let known = Instrument::infer(Venue::BybitLinear, "BTCUSDT", Unit::decimals(2), Unit::decimals(8)).expect("a name");
    let frame = |depth: u16, kind: &str, update: u64| {
        format!(
            r#"{{"topic":"orderbook.{depth}.BTCUSDT","ts":1,"type":"{kind}","data":{{"s":"BTCUSDT","b":[["1","1"]],"a":[["9","1"]],"u":{update},"seq":1}},"cts":1}}"#
        )
    };
    let mut session = Session::new(Protocol::named("bybit-v5-linear").expect("a protocol"), [(0, &known)]);
    let mut tape = Tape::default();
    let mut frames = vec![frame(50, "snapshot", 1)];
    frames.extend((2..9).map(|update| frame(50, "delta", update)));
    // A second restart, and 2 and 3 are lost.
    frames.extend([frame(50, "snapshot", 1), frame(50, "delta", 4)]);
    frames.extend([frame(1, "snapshot", 500), frame(1, "snapshot", 1), frame(1, "delta", 2)]);
    for frame in frames {
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a frame");
    }
    let gap = session.gaps()[0];
    assert_eq!((gap.first, gap.last, session.counts(0).repeated), (2, 3, 0));
    assert_eq!(session.counts(0).quotes, 3);
}
