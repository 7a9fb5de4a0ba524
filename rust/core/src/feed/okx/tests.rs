use serde_json::Value;

use super::*;
use crate::feed::json::FaultKind;
use crate::feed::message::Message;
use crate::feed::testing::{data, frames, read_with, requests_of, singles, surveyed};
use crate::feed::{Command, FeedErrorKind, Outcome};
use crate::tape::Tape;

const LEGACY: &str = "okx-2021";

fn okx(name: &str) -> &'static Protocol {
    Protocol::named(name).expect("a protocol")
}

fn update(previous: i64, last: i64, bids: &str) -> String {
    let action = if previous < 0 { "snapshot" } else { "update" };
    format!(
        r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{"asks":[["101","2","0","1"]],"bids":{bids},"ts":"1597026383085","checksum":0,"seqId":{last},"prevSeqId":{previous}}}]}}"#
    )
}

fn one(frame: &str) -> Message {
    let mut out = read_with(&mut Okx, frame).expect("reads");
    assert_eq!(out.messages.len(), 1, "{frame}");
    out.messages.remove(0)
}

#[test]
fn every_frame_of_2022_is_read_and_every_checksum_agrees() {
    let Some(text) = data("cryptofeed/OKX.ws.1.0.gz") else { return };
    let frames = frames(&text);
    let (mut session, found) = surveyed(okx(LEGACY), &frames);
    let names: Vec<_> = found.iter().map(|found| (found.unified(), found.contract)).collect();
    assert_eq!(
        names,
        [
            ("BTC-USD-220527".to_owned(), Contract::Inverse),
            ("BTC-USDT".to_owned(), Contract::Spot),
            ("UNI-USD-PERP".to_owned(), Contract::Inverse),
        ]
    );
    let mut tape = Tape::default();
    for (frame, at) in frames.iter().zip(1..) {
        session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good");
    }
    let counts: Vec<_> = (0..3).map(|at| session.counts(at)).collect();
    let sum = |count: fn(&crate::feed::Counts) -> u64| counts.iter().map(count).sum::<u64>();
    assert_eq!((sum(|c| c.snapshots), sum(|c| c.depth)), (3, 287));
    assert_eq!((sum(|c| c.checksums), sum(|c| c.checksum_failures), sum(|c| c.verified)), (290, 0, 290));
    assert_eq!((sum(|c| c.trades), sum(|c| c.quotes), sum(|c| c.gaps)), (74, 28, 0));
    assert_eq!(session.frames(), (410, 0, 18), "18 acknowledgements");
}

#[test]
fn a_lost_frame_of_2022_shows_in_the_checksum() {
    let Some(text) = data("cryptofeed/OKX.ws.1.0.gz") else { return };
    let mut frames = frames(&text);
    let (mut session, _) = surveyed(okx(LEGACY), &frames);
    let lost = frames.iter().position(|frame| frame.contains("update") && frame.contains("BTC-USDT")).expect("one");
    frames.remove(lost);
    let mut tape = Tape::default();
    for (frame, at) in frames.iter().zip(1..) {
        session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("read");
    }
    assert_eq!((session.counts(1).gaps, session.counts(1).checksum_failures), (1, 1));
    assert_eq!(session.counts(0).gaps + session.counts(2).gaps, 0);
}

#[test]
fn the_chain_of_2026_is_unbroken_and_a_lost_frame_breaks_it() {
    let Some(text) = data("current-frames/okx_books.jsonl") else { return };
    let frames: Vec<&str> = text.lines().collect();
    for lost in [None, Some(4)] {
        let (mut session, _) = surveyed(okx("okx-v5"), &frames);
        let mut tape = Tape::default();
        for (at, frame) in frames.iter().enumerate().filter(|(at, _)| Some(*at) != lost) {
            session.on_frame(Nanos(i64::try_from(at).expect("few")), frame.as_bytes(), &mut tape).expect("good");
        }
        let counts = session.counts(0);
        let expected = if lost.is_some() { (1, 2, 1) } else { (1, 6, 0) };
        assert_eq!((counts.snapshots, counts.depth, counts.gaps), expected);
        assert_eq!(counts.checksums, 0, "the checksum is dead");
    }
}

#[test]
fn single_messages_of_every_kind_are_read() {
    let Some(text) = data("raw-messages/raw_messages.jsonl") else { return };
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for (group, raw) in singles(&text, "okx") {
        let out = read_with(&mut Okx, &raw).unwrap_or_else(|fault| panic!("{fault:?}: {raw}"));
        *kinds.entry(group).or_default() += out.messages.len();
    }
    let of = |group: &str| kinds.get(group).copied().unwrap_or(0);
    assert!(of("trade") >= 6 && of("funding_rate") >= 2 && of("l2_event") >= 5 && of("l2_topk") >= 6, "{kinds:?}");
}

#[test]
fn a_listing_gives_units_and_multipliers() {
    let Some(text) = data("cryptofeed/OKX.0.gz") else { return };
    let bodies = text.lines().filter_map(|line| line.split_once(": {")).map(|(_, body)| format!("{{{body}"));
    let mut all: Vec<Instrument> = Vec::new();
    for body in bodies.take(5) {
        let listed = list(body.as_bytes()).expect("a listing");
        let entries: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(Some(listed.len()), entries["data"].as_array().map(Vec::len), "none is left out");
        all.extend(listed);
    }
    let find = |symbol: &str| all.iter().find(|found| found.symbol == symbol).expect(symbol);
    let spot = find("BTC-USDT");
    assert_eq!(
        (spot.price_unit, spot.size_unit, spot.contract),
        (Unit::decimals(1), Unit::decimals(8), Contract::Spot)
    );
    let inverse = find("BTC-USD-SWAP");
    assert_eq!(
        (inverse.contract, inverse.multiplier.to_string(), inverse.settle.as_str()),
        (Contract::Inverse, "100".into(), "BTC")
    );
    let linear = find("BTC-USDT-SWAP");
    assert_eq!(
        (linear.contract, linear.multiplier.to_string(), linear.settle.as_str()),
        (Contract::Linear, "0.01".into(), "USDT")
    );
    assert_eq!(linear.unified(), "BTC-USDT-PERP");
    let option = find("BTC-USD-220514-22000-C");
    assert_eq!((option.unified().as_str(), option.multiplier.to_string()), ("BTC-USD-220514-22000-C", "0.1".into()));
    assert_eq!((option.settle.as_str(), option.price_unit), ("BTC", Unit::decimals(4)));
    for found in &all {
        let known = describe(&found.symbol).expect("the symbol says what it is");
        assert_eq!((known.contract, known.unified(), &known.settle), (found.contract, found.unified(), &found.settle));
    }
}

#[test]
fn ids_may_stand_still_and_run_back_as_long_as_the_chain_holds() {
    let frames = [
        update(-1, 10, r#"[["99","1","0","1"]]"#),
        update(10, 15, r#"[["98","1","0","1"]]"#),
        update(15, 15, "[]"),
        update(15, 3, r#"[["98","0","0","0"]]"#),
        update(3, 5, "[]"),
        update(3, 5, "[]"),
        update(7, 9, "[]"),
    ];
    let texts: Vec<&str> = frames.iter().map(String::as_str).collect();
    let (mut session, _) = surveyed(okx("okx-v5"), &texts);
    let mut tape = Tape::default();
    let mut outcomes = Vec::new();
    for (frame, at) in frames.iter().zip(1..) {
        outcomes.push(session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good"));
    }
    use Outcome::{Depth, Gap, Repeated, Snapshot};
    assert_eq!(outcomes, [Snapshot, Depth, Depth, Depth, Depth, Repeated, Gap]);
}

#[test]
fn a_broken_chain_is_subscribed_anew() {
    let frames = [update(-1, 10, "[]"), update(11, 12, "[]")];
    let texts: Vec<&str> = frames.iter().map(String::as_str).collect();
    let (mut session, _) = surveyed(okx("okx-v5"), &texts);
    session.on_open(Nanos(1));
    assert_eq!(session.commands().count(), 1);
    let mut tape = Tape::default();
    for (frame, at) in frames.iter().zip(1..) {
        session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good");
    }
    let asked: Vec<Command> = session.commands().collect();
    let text = |op| Command::Send(format!(r#"{{"op":"{op}","args":[{{"channel":"books","instId":"BTC-USDT"}}]}}"#));
    assert_eq!(asked, [text("unsubscribe"), text("subscribe")]);
}

#[test]
fn marks_and_quotes_of_every_channel_are_read() {
    let ts = Nanos(1_597_026_383_085_000_000);
    let text = |channel: &str, fields: &str| {
        format!(
            r#"{{"arg":{{"channel":"{channel}","instId":"X-Y"}},"data":[{{"instId":"X-Y",{fields},"ts":"1597026383085"}}]}}"#
        )
    };
    let value = |digits, exponent| {
        move |found: Option<Decimal>| found.is_some_and(|found| (found.digits, found.exponent) == (digits, exponent))
    };
    let Message { ts_event, body: Body::Mark { mark, index, iv, funding }, .. } =
        one(&text("mark-price", r#""markPx":"42310.6""#))
    else {
        panic!("a mark")
    };
    assert!(value(423_106, -1)(mark) && index.is_none() && iv.is_none() && funding.is_none() && ts_event == ts);
    let Body::Mark { index, .. } = one(&text("index-tickers", r#""idxPx":"0.1""#)).body else { panic!("an index") };
    assert!(value(1, -1)(index));
    let Body::Mark { iv, .. } = one(&text("opt-summary", r#""markVol":"0.75""#)).body else { panic!("a volatility") };
    assert!(value(75, -2)(iv));
    let funding = text("funding-rate", r#""fundingRate":"-0.0001","fundingTime":"1597026384000""#);
    let Body::Mark { funding: Some((rate, due)), .. } = one(&funding).body else { panic!("funding") };
    assert!(rate.negative && due == Nanos(1_597_026_384_000_000_000));
    let best = text("bbo-tbt", r#""asks":[["8446","95","0","3"]],"bids":[],"seqId":7"#);
    let Body::Quote { sequence: 7, bid: Some((_, none)), ask: Some((ask, _)) } = one(&best).body else {
        panic!("a quote")
    };
    assert!(none.is_zero() && ask.digits == 8446);
    let ticker = text("tickers", r#""bidPx":"1.5","bidSz":"2","askPx":"","askSz":"""#);
    let Body::Quote { sequence: 0, bid: Some((bid, _)), ask: Some((_, none)) } = one(&ticker).body else {
        panic!("a quote")
    };
    assert!(none.is_zero() && bid.digits == 15);
}

#[test]
fn answers_heartbeats_and_notices_are_told_apart() {
    assert_eq!(one("pong").body, Body::Heartbeat);
    let named = one(r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a"}"#);
    assert!(named.body == Body::Subscribed && matches!(named.symbol, Symbol::At(_)));
    let refused =
        r#"{"event":"error","msg":"Wrong URL or channel:books,instId:ABC-USDT doesn't exist.","code":"60018"}"#;
    let found = one(refused);
    let Symbol::At(symbol) = found.symbol else { panic!("named") };
    assert_eq!(symbol.of(refused.as_bytes()), b"ABC-USDT");
    assert!(matches!(found.body, Body::Refused(text) if text.of(refused.as_bytes()).starts_with(b"Wrong URL")));
    let mark =
        r#"{"event":"error","msg":"Wrong URL or channel:mark-price,instId:ABC-USDT doesn't exist.","code":"60018"}"#;
    assert_eq!(one(mark).symbol, Symbol::None, "the book does not depend on it");
    let notice =
        r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade."}"#;
    assert_eq!(one(notice).body, Body::Reconnect);
    assert_eq!(one(r#"{"event":"channel-conn-count","channel":"books","connCount":"2"}"#).body, Body::Other);
    let candle = r#"{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1","2"]]}"#;
    assert!(read_with(&mut Okx, candle).expect("reads").messages.is_empty());
}

#[test]
fn a_frame_is_read_in_any_order_of_its_keys() {
    let turned = r#"{"data":[{"prevSeqId":3,"seqId":5,"ts":"1597026383085","bids":[["9","1"]],"asks":[]}],"action":"update","arg":{"instId":"A-B","channel":"books"}}"#;
    let Body::Levels { snapshot: false, link, checksum: None, levels } = one(turned).body else { panic!("levels") };
    assert_eq!((link, levels), (Link::Chain { previous: 3, last: 5 }, 0..1));
}

#[test]
fn a_signed_checksum_becomes_its_32_bits() {
    let frame = update(1, 2, "[]").replace("\"checksum\":0", "\"checksum\":-1817371130");
    let Body::Levels { checksum, .. } = one(&frame).body else { panic!("levels") };
    assert_eq!(checksum, Some(2_477_596_166));
}

#[test]
fn what_is_missing_or_twice_is_refused() {
    let whole = update(1, 2, "[]");
    for (field, text) in [
        ("asks", r#""asks":[["101","2","0","1"]],"#),
        ("bids", r#""bids":[],"#),
        ("ts", r#""ts":"1597026383085","#),
        ("seqId", r#""seqId":2,"#),
        ("action", r#""action":"update","#),
        ("arg", r#""arg":{"channel":"books","instId":"BTC-USDT"},"#),
        ("channel", r#""channel":"books","#),
    ] {
        let without = whole.replace(text, "");
        let fault = read_with(&mut Okx, &without).expect_err("a field is missing");
        assert_eq!(fault.kind, FaultKind::Missing(field), "{without}");
        let twice = whole.replace(text, &format!("{text}{text}"));
        let fault = read_with(&mut Okx, &twice).expect_err("a field comes twice");
        assert_eq!(fault.kind, FaultKind::Twice(field), "{twice}");
    }
    for garbage in ["", "{", "[]", "{}", "null", "pong ", r#"{"arg":{"channel":"books"}}"#, &format!("{whole} x")] {
        assert!(read_with(&mut Okx, garbage).is_err(), "{garbage:?}");
    }
}

#[test]
fn a_damaged_frame_says_whose_data_is_lost() {
    let frame = update(1, 2, "[]").replace("\"ts\":\"1", "\"ts\":\"x");
    let mut out = Frame::default();
    Okx.read(frame.as_bytes(), &mut out).expect_err("damaged");
    let Some(Symbol::At(symbol)) = out.symbol else { panic!("named") };
    assert_eq!((out.channel, symbol.of(frame.as_bytes())), (Some(Channel::Book), &b"BTC-USDT"[..]));
    let (mut session, _) = surveyed(okx("okx-v5"), &[&update(1, 2, r#"[["98","1","0","1"]]"#)]);
    let error = session.on_frame(Nanos(1), frame.as_bytes(), &mut Tape::default()).expect_err("damaged");
    assert!(error.symbol == "BTC-USDT" && matches!(error.kind, FeedErrorKind::Malformed { .. }));
}

#[test]
fn subscriptions_name_the_channels_of_each_kind_of_instrument() {
    let args = |symbols: &[&str], channels: &[Channel]| -> Vec<String> {
        let texts = requests_of(&mut Okx, true, symbols, channels, 0);
        assert!(texts.iter().all(|text| text["op"] == "subscribe"));
        let args = texts.iter().filter_map(|text| text["args"].as_array()).flatten();
        args.map(|arg| {
            let of = arg["instId"].as_str().or(arg["instFamily"].as_str()).expect("named");
            format!("{} {of}", arg["channel"].as_str().expect("a channel"))
        })
        .collect()
    };
    let all = [Channel::Book, Channel::Trades, Channel::Quotes];
    assert_eq!(args(&["BTC-USDT"], &all), ["books BTC-USDT", "trades BTC-USDT", "bbo-tbt BTC-USDT"]);
    let marks = [Channel::Marks];
    assert_eq!(args(&["BTC-USDT"], &marks), ["index-tickers BTC-USDT"]);
    assert_eq!(args(&["BTC-USDT-SWAP"], &marks), ["mark-price BTC-USDT-SWAP", "funding-rate BTC-USDT-SWAP"]);
    assert_eq!(
        args(&["BTC-USD-241227-60000-C", "BTC-USD-241227-60000-P"], &marks),
        ["mark-price BTC-USD-241227-60000-C", "mark-price BTC-USD-241227-60000-P", "opt-summary BTC-USD"]
    );
    let many = vec!["BTC-USDT"; 250];
    assert_eq!(requests_of(&mut Okx, false, &many, &[Channel::Book], 0).len(), 3);
}

#[test]
fn the_date_tells_which_protocol_an_address_stands_for() {
    let at = |day| Protocol::at("wss://ws.okx.com:8443/ws/v5/public", day).map(|protocol| protocol.name);
    assert_eq!((at("2022-05-13"), at("2026-07-06"), at("2026-08-24")), (Some(LEGACY), Some(LEGACY), Some("okx-v5")));
    assert_eq!(Protocol::current(Venue::Okx).expect("a feed").name, "okx-v5");
}

#[test]
fn dollar_margined_contracts_are_not_inverse() {
    let found = describe("BTC-USD_UM-SWAP").expect("described");
    assert_eq!((found.contract, found.unified().as_str()), (Contract::Linear, "BTC-USD-PERP"));
    for bad in ["BTC", "", "-USDT", "BTC-", "BTC-USD-WEEK", "BTC-USD-241227-x-C", "A-B-241227-1-C-D"] {
        assert!(describe(bad).is_none(), "{bad}");
    }
}

#[test]
fn no_damage_of_a_frame_makes_the_reader_panic_and_every_cut_is_refused() {
    let whole = update(1, 2, r#"[["99","1","0","1"]]"#);
    for end in 0..whole.len() {
        assert!(read_with(&mut Okx, &whole[..end]).is_err(), "{}", &whole[..end]);
        for byte in *b"\"\\0-[]{}:,e" {
            let mut damaged = whole.clone().into_bytes();
            damaged[end] = byte;
            let mut out = Frame::default();
            if Okx.read(&damaged, &mut out).is_ok() {
                assert!(out.messages.len() <= 1);
            }
        }
    }
}
