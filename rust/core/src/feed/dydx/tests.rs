use serde_json::Value;

use super::*;
use crate::feed::testing::lines::{kind, kinds, lines, play, raw, read, texts};
use crate::feed::{Outcome, Session};
use crate::tape::Tape;

fn v3() -> &'static Protocol {
    Protocol::named("dydx-v3").expect("registered")
}

fn v4() -> &'static Protocol {
    Protocol::named("dydx-v4").expect("registered")
}

#[test]
fn the_capture_of_v3_is_read_whole_without_a_hole() {
    let (Some(frames), Some(listing)) = (lines("DYDX.ws.1.0"), lines("DYDX.0")) else { return };
    let found = kinds(v3(), &frames);
    let count = |kind| found.get(kind).copied().unwrap_or(0);
    assert_eq!((frames.len(), count("snapshot"), count("levels")), (4733, 10, 4687));
    assert_eq!((count("subscribed"), count("heartbeat")), (20, 1));
    assert!(count("trade") >= 25 && count("silent trade") >= 10, "{found:?}");

    let mut dialect = Dydx::new(true);
    let (mut out, mut told, mut kept) = (Frame::default(), 0, 0);
    for line in &frames {
        out.clear();
        dialect.read(&line.body, &mut out).expect("reads");
        let value: Value = serde_json::from_slice(&line.body).expect("JSON");
        let contents = &value["contents"];
        if value["type"] == "channel_data" && value["channel"] == "v3_orderbook" {
            told += ["bids", "asks"].iter().filter_map(|side| contents[side].as_array()).map(Vec::len).sum::<usize>();
            kept += out.levels.len();
        }
    }
    assert_eq!(told - kept, 34, "levels of which something newer was known");
    assert!(dialect.late.is_empty());

    let listed = (v3().list)(&listing[0].body).expect("a listing");
    assert_eq!(listed.len(), 27);
    let played = play(v3(), &listed, frames, |_| None);
    assert_eq!(played.errors, []);
    assert!(played.session.gaps().is_empty(), "{:?}", played.session.gaps());
    assert_eq!((0..27).filter(|&index| played.session.is_synced(index)).count(), 10);
    let all = (0..27).map(|index| played.session.counts(index));
    assert_eq!(all.map(|counts| counts.depth).sum::<u64>(), 4687, "{:?}", played.outcomes);
}

#[test]
fn single_real_messages_are_read() {
    let Some(messages) = raw("dydx") else { return };
    for (name, body) in messages {
        let text = String::from_utf8(body).expect("UTF-8");
        if name.starts_with("l2_snapshot") || name.starts_with("open_interest") {
            continue;
        }
        let (frame, names) = read(v3(), &text).expect("reads");
        let expected: &[&str] = match name.as_str() {
            _ if name.starts_with("trade") => &["trade"],
            _ if text.contains("subscribed") => &["snapshot", "subscribed"],
            _ => &["levels"],
        };
        assert_eq!(frame.messages.iter().map(|message| kind(&message.body)).collect::<Vec<_>>(), expected);
        assert_eq!(names[0], "BTC-USD");
        assert!(matches!(frame.counter, Some(1 | 2)));
    }
}

fn book(number: u64, what: &str, contents: &str) -> String {
    format!(
        r#"{{"type":"{what}","connection_id":"c","message_id":{number},"id":"BTC-USD","channel":"v4_orderbook","version":"1.0.0","contents":{contents}}}"#
    )
}

const FIRST: &str = r#"{"bids":[{"price":"100","size":"1"}],"asks":[{"price":"101","size":"2"}]}"#;
const CHANGE: &str = r#"{"bids":[["100","0"]]}"#;

fn session() -> (Session, Tape) {
    let btc = Instrument::infer(Venue::Dydx, "BTC-USD", Unit::decimals(2), Unit::decimals(4)).expect("a market");
    (Session::new(v4(), [(0, &btc)]), Tape::default())
}

#[test]
fn a_batch_is_one_change_and_a_change_may_have_one_side() {
    let (frame, _) = read(v4(), &book(3, "channel_batch_data", &format!("[{CHANGE},{CHANGE}]"))).expect("reads");
    assert_eq!((frame.messages.len(), frame.levels.len(), frame.counter), (1, 2, Some(3)));
    assert_eq!(frame.messages[0].ts_event, Nanos::UNKNOWN, "nobody says when");
}

#[test]
fn answers_to_subscriptions_come_late_and_are_no_loss() {
    let (mut session, mut tape) = session();
    let mut play = |frame: &str| session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("reads");
    assert_eq!(play(r#"{"type":"connected","connection_id":"c","message_id":0}"#), Outcome::Other);
    assert_eq!(play(&book(1, "subscribed", FIRST)), Outcome::Snapshot);
    assert_eq!(play(&book(4, "channel_data", CHANGE)), Outcome::Depth, "2 and 3 are under way");
    assert_eq!(play(&book(4, "channel_data", CHANGE)), Outcome::Repeated);
    assert_eq!(play(&book(3, "unsubscribed", "{}")), Outcome::Other);
    assert_eq!(play(&book(2, "channel_data", CHANGE)), Outcome::Depth);
    assert_eq!(play(&book(5, "channel_data", CHANGE)), Outcome::Depth);
    assert!(session.gaps().is_empty());
}

#[test]
fn a_hole_that_nobody_fills_is_a_loss_and_later_ones_are_at_once() {
    let (mut session, mut tape) = session();
    let mut gaps = |number: u64, what: &str, contents: &str| {
        session.on_frame(Nanos(1), book(number, what, contents).as_bytes(), &mut tape).expect("reads");
        session.gaps().len()
    };
    assert_eq!(gaps(1, "subscribed", FIRST), 0);
    let patience = u64::from(PATIENCE);
    let noticed = (3..patience + 10).find(|&number| gaps(number, "channel_data", CHANGE) > 0);
    assert_eq!(noticed, Some(patience + 2), "2 is missing, and that is said when patience ends");
    assert_eq!(gaps(patience + 3, "subscribed", FIRST), 1);
    let settled = patience + 3 + patience;
    assert!((patience + 4..=settled).all(|number| gaps(number, "channel_data", CHANGE) == 1));
    assert_eq!(gaps(settled + 2, "channel_data", CHANGE), 2);
}

#[test]
fn in_v3_an_older_offset_does_not_overwrite_a_newer_one() {
    let mut dialect = Dydx::new(true);
    let mut number = 0;
    let mut sizes = |what: &str, contents: &str| {
        number += 1;
        let mut out = Frame::default();
        dialect.read(book(number, what, contents).replace("v4", "v3").as_bytes(), &mut out).expect("reads");
        out.levels.iter().map(|level| level.size.digits).collect::<Vec<_>>()
    };
    let first =
        r#"{"bids":[{"price":"100.0","offset":"50","size":"1"},{"price":"99","offset":"7","size":"0"}],"asks":[]}"#;
    assert_eq!(sizes("subscribed", first), [1], "an emptied level is no level");
    let change = |offset, bids| format!(r#"{{"offset":"{offset}","bids":[{bids}],"asks":[]}}"#);
    assert_eq!(sizes("channel_data", &change(49, r#"["100","2"],["98","3"]"#)), [3]);
    assert_eq!(sizes("channel_data", &change(60, r#"["100","0"]"#)), [0]);
    assert_eq!(sizes("channel_data", &change(55, r#"["100.00","4"]"#)), [0; 0], "it was removed later");
    assert_eq!(sizes("channel_data", &change(61, r#"["100","5"]"#)), [5]);
}

#[test]
fn trades_of_a_subscription_are_history() {
    let trade = |what: &str| {
        let frame = book(
            1,
            what,
            r#"{"trades":[{"id":"01563a5e0000000200000005","side":"BUY","size":"0.1","price":"5","type":"LIMIT","createdAt":"2024-01-01T00:00:00.000Z"}]}"#,
        );
        let (frame, _) = read(v4(), &frame.replace("orderbook", "trades")).expect("reads");
        kind(&frame.messages[0].body)
    };
    assert_eq!((trade("subscribed"), trade("channel_data")), ("silent trade", "trade"));
}

#[test]
fn oracle_prices_are_marks_of_the_markets_that_were_asked_for() {
    let frame = r#"{"type":"channel_data","connection_id":"c","message_id":7,"channel":"v4_markets","version":"1.0.0",
        "contents":{"oraclePrices":{"BTC-USD":{"oraclePrice":"60000.1","effectiveAt":"2024-01-01T00:00:00.000Z"},
        "ETH-USD":{"oraclePrice":"2000"}},"trading":{"BTC-USD":{"nextFundingRate":"-0.00001"}}}}"#;
    let (found, names) = read(v4(), frame).expect("reads");
    assert_eq!(names, ["BTC-USD", "ETH-USD", "BTC-USD"]);
    assert!(matches!(found.messages[2].body, Body::Mark { mark: None, funding: Some(_), .. }));
    let (mut dialect, mut out) = (Dydx::new(false), Frame::default());
    dialect.subscribe(true, &["ETH-USD"], &[Channel::Marks], 0, &mut Vec::new());
    dialect.read(frame.as_bytes(), &mut out).expect("reads");
    assert_eq!(out.messages.len(), 1);
}

#[test]
fn a_refusal_says_why_and_garbage_is_refused() {
    let error = r#"{"type":"error","message":"Invalid subscription id","connection_id":"c","message_id":3}"#;
    let (frame, _) = read(v4(), error).expect("reads");
    assert_eq!((kind(&frame.messages[0].body), frame.counter), ("refused", Some(3)));
    let fault = |frame: &str| read(v4(), frame).expect_err("refused");
    let good = book(1, "subscribed", FIRST);
    assert!(fault(&good.replace(r#""message_id":1,"#, "")).contains("Missing(\"message_id\")"));
    assert!(fault(&good.replace(r#""bids":[{"price":"100","size":"1"}],"#, "")).contains("Missing(\"bids\")"));
    assert!(fault(&good.replace(r#""price":"100""#, r#""price":"100","price":"100""#)).contains("Twice(\"price\")"));
    for garbage in ["", "[]", "null", "{}", "hello", &good[..good.len() - 1]] {
        assert!(read(v4(), garbage).is_err(), "{garbage}");
    }
}

#[test]
fn subscriptions_are_as_documented_and_markets_are_listed() {
    let found = texts(v4(), &["BTC-USD"], 0);
    assert_eq!(found[0], r#"{"type":"subscribe","channel":"v4_orderbook","id":"BTC-USD","batched":false}"#);
    assert_eq!(found.len(), 3, "there are no quotes");
    assert!(texts(v3(), &["BTC-USD"], 0)[0].contains(r#""includeOffsets":true"#));
    let body = br#"{"markets":{"BTC-USD":{"ticker":"BTC-USD","status":"ACTIVE","tickSize":"1","stepSize":"0.0001",
        "atomicResolution":-10},"BAD":{}}}"#;
    let listed = (v4().list)(body).expect("a listing");
    assert_eq!((listed.len(), listed[0].unified().as_str()), (1, "BTC-USD-PERP"));
    assert_eq!(listed[0].size_unit, Unit::decimals(10));
}
