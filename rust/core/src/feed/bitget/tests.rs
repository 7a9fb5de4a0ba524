use serde_json::Value;

use super::*;
use crate::feed::json::FaultKind;
use crate::feed::message::Message;
use crate::feed::testing::{data, frames, read_with, requests_of, singles, surveyed};
use crate::feed::{Command, FeedErrorKind, Outcome};
use crate::tape::Tape;

fn protocol(name: &str) -> &'static Protocol {
    Protocol::named(name).expect("a protocol")
}

fn mix() -> Bitget {
    Bitget { mix: true }
}

fn all(frame: &str) -> Vec<Message> {
    read_with(&mut mix(), frame).unwrap_or_else(|fault| panic!("{fault:?}: {frame}")).messages
}

fn one(frame: &str) -> Message {
    let mut messages = all(frame);
    assert_eq!(messages.len(), 1, "{frame}");
    messages.remove(0)
}

fn numbered(action: &str, previous: u64, last: u64) -> String {
    format!(
        r#"{{"action":"{action}","arg":{{"instType":"USDT-FUTURES","channel":"books","instId":"BTCUSDT"}},"data":[{{"asks":[["101.0","2"]],"bids":[],"seq":"{last}","pseq":{previous},"ts":"1755937421270"}}],"ts":1755937421337}}"#
    )
}

#[test]
fn every_frame_of_2022_is_read_and_every_checksum_agrees() {
    let Some(text) = data("cryptofeed/BITGET.ws.2.0.gz") else { return };
    let frames = frames(&text);
    let (mut session, found) = surveyed(protocol("bitget-v1-mix"), &frames);
    let names: Vec<String> = found.iter().map(Instrument::unified).collect();
    assert_eq!(names, ["DASH-USDT-PERP", "UNI-USDT-PERP"]);
    let mut tape = Tape::default();
    for (frame, at) in frames.iter().zip(1..) {
        session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good");
    }
    let (dash, uni) = (session.counts(0), session.counts(1));
    assert_eq!((dash.snapshots + uni.snapshots, dash.depth + uni.depth), (2, 192));
    assert_eq!((dash.checksums + uni.checksums, dash.checksum_failures + uni.checksum_failures), (194, 0));
    assert_eq!((dash.marks + uni.marks, dash.gaps + uni.gaps), (217, 0));
    assert_eq!(session.frames().1, 0);
}

#[test]
fn a_lost_frame_of_2022_shows_in_the_checksum() {
    let Some(text) = data("cryptofeed/BITGET.ws.2.0.gz") else { return };
    let mut frames = frames(&text);
    let (mut session, _) = surveyed(protocol("bitget-v1-mix"), &frames);
    let book = |frame: &&str| frame.contains("\"books\"") && frame.contains("update") && frame.contains("DASHUSDT");
    let lost = frames.iter().position(book).expect("one");
    frames.remove(lost);
    let mut tape = Tape::default();
    for (frame, at) in frames.iter().zip(1..) {
        session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("read");
    }
    assert_eq!((session.counts(0).gaps, session.counts(0).checksum_failures, session.counts(1).gaps), (1, 1, 0));
}

#[test]
fn single_messages_of_every_kind_are_read() {
    let Some(text) = data("raw-messages/raw_messages.jsonl") else { return };
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for exchange in ["bitget", "bitget_legacy", "bitget-legacy"] {
        for (group, raw) in singles(&text, exchange) {
            *kinds.entry(group).or_default() += all(&raw).len();
        }
    }
    let of = |group: &str| kinds.get(group).copied().unwrap_or(0);
    assert!(of("trade") >= 4 && of("l2_event") == 3 && of("l2_topk") == 3 && of("ticker") >= 2, "{kinds:?}");
}

#[test]
fn the_listings_of_2022_give_units() {
    let Some(text) = data("cryptofeed/BITGET.0.gz") else { return };
    let futures = text.lines().filter(|line| line.contains("/mix/v1/")).filter_map(|line| line.split_once(": {"));
    let found: Vec<Instrument> =
        futures.flat_map(|(_, body)| list(format!("{{{body}").as_bytes()).expect("a listing")).collect();
    let of = |symbol: &str| found.iter().find(|found| found.symbol == symbol).expect(symbol);
    let dash = of("DASHUSDT");
    assert_eq!(
        (dash.unified().as_str(), dash.price_unit, dash.size_unit),
        ("DASH-USDT-PERP", Unit::decimals(2), Unit::decimals(2))
    );
    let btc = of("BTCUSDT");
    assert_eq!((btc.tick, btc.lot), (Unit::new(5, -1), Some(Unit::decimals(3))));
    assert_eq!(of("BTCUSD").settle, "BTC");
    for found in &found {
        assert_eq!(describe(&found.symbol).map(|known| known.unified()), Some(found.unified()), "{}", found.symbol);
    }
}

#[test]
fn the_listing_of_today_is_read() {
    let body = br#"{"code":"00000","data":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","priceEndStep":"1","volumePlace":"4","pricePlace":"1","sizeMultiplier":"0.0001","symbolType":"perpetual","deliveryTime":""},{"symbol":"BTCUSDH26","baseCoin":"BTC","quoteCoin":"USD","priceEndStep":"1","volumePlace":"4","pricePlace":"1","deliveryTime":"1774598400000"}]}"#;
    let found = list(body).expect("a listing");
    assert_eq!((found.len(), found[0].lot, found[0].tick), (1, Some(Unit::decimals(4)), Some(Unit::decimals(1))));
    assert!(list(b"[]").is_err());
}

#[test]
fn numbered_messages_are_chained() {
    let frames = [
        numbered("snapshot", 0, 100),
        numbered("update", 100, 107),
        numbered("update", 107, 109),
        numbered("update", 111, 115),
    ];
    let texts: Vec<&str> = frames.iter().map(String::as_str).collect();
    let (mut session, _) = surveyed(protocol("bitget-v2-futures"), &texts);
    let mut tape = Tape::default();
    let outcomes: Vec<Outcome> = texts
        .iter()
        .zip(1..)
        .map(|(frame, at)| session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good"))
        .collect();
    assert_eq!(outcomes, [Outcome::Snapshot, Outcome::Depth, Outcome::Depth, Outcome::Gap]);
}

#[test]
fn trades_of_the_snapshot_are_history() {
    let frame = r#"{"action":"snapshot","arg":{"instType":"mc","channel":"trade","instId":"UNIUSDT"},"data":[["1649290076332","9.964","1","sell"],["1649290074759","9.966","1","buy"]]}"#;
    let silent =
        |frame: &str| all(frame).iter().filter(|found| matches!(found.body, Body::Trade { silent: true, .. })).count();
    assert_eq!((silent(frame), silent(&frame.replace("snapshot", "update"))), (2, 0));
    let named = r#"{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"trade","instId":"BTCUSDT"},"data":[{"ts":"1695716760565","price":"27000.5","size":"0.001","side":"buy","tradeId":"1111111111"}],"ts":1695716761589}"#;
    let Body::Trade { id: 1_111_111_111, side: Some(Side::Bid), silent: false, .. } = one(named).body else {
        panic!("a trade")
    };
}

#[test]
fn tickers_give_marks_and_with_sizes_best_prices() {
    let frame = r#"{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"ticker","instId":"BTCUSDT"},"data":[{"instId":"BTCUSDT","lastPr":"27000.5","askPr":"27000.5","bidPr":"27000","bidSz":"2.71","askSz":"8.76","markPrice":"27000.12","fundingRate":"-0.00001","nextFundingTime":"1695722400000","indexPrice":"25702.4","ts":"1695715383021"}],"ts":1695715383039}"#;
    let found = all(frame);
    assert_eq!(found.len(), 2);
    assert!(matches!(found[0].body, Body::Quote { bid: Some(_), ask: Some(_), .. }));
    let Body::Mark { mark: Some(_), index: Some(_), funding: Some((rate, due)), .. } = found[1].body else {
        panic!("a mark")
    };
    assert!(rate.negative && due == Nanos(1_695_722_400_000_000_000));
    let best = r#"{"action":"snapshot","arg":{"instType":"mc","channel":"books5","instId":"BTCUSD"},"data":[{"asks":[["30669.0","0.763"],["30669.5","3"]],"bids":[],"ts":"1653937135034"}]}"#;
    let Body::Quote { ask: Some((price, _)), bid: Some((_, none)), .. } = one(best).body else { panic!("a quote") };
    assert!(none.is_zero() && price.digits == 306_690);
}

#[test]
fn answers_and_heartbeats_are_told_apart() {
    assert_eq!(one("pong").body, Body::Heartbeat);
    assert_eq!(read_with(&mut mix(), "ping").expect("reads").answers, ["pong"]);
    let named = one(r#"{"event":"subscribe","arg":{"instType":"mc","channel":"books","instId":"UNIUSDT"}}"#);
    assert!(named.body == Body::Subscribed && named.symbol != Symbol::None);
    let refused = r#"{"event":"error","code":30001,"msg":"instType:mc,channel:books,instId:ABCUSDT doesn't exist"}"#;
    let found = one(refused);
    let Symbol::At(symbol) = found.symbol else { panic!("named") };
    assert!(symbol.of(refused.as_bytes()) == b"ABCUSDT" && matches!(found.body, Body::Refused(_)));
    let ticker =
        r#"{"event":"error","arg":{"instType":"mc","channel":"ticker","instId":"ABCUSDT"},"code":30001,"msg":"no"}"#;
    assert_eq!(one(ticker).symbol, Symbol::None, "the book does not depend on it");
    let candle =
        r#"{"action":"update","arg":{"instType":"mc","channel":"candle1m","instId":"BTCUSD"},"data":[["1","2"]]}"#;
    assert!(all(candle).is_empty());
}

#[test]
fn a_frame_is_read_in_any_order_of_its_keys() {
    let turned = r#"{"data":[{"ts":"1","bids":[["9","1"]],"asks":[],"checksum":-1}],"arg":{"instId":"AUSDT","channel":"books"},"action":"update"}"#;
    let Body::Levels { snapshot: false, link: Link::None, checksum, levels } = one(turned).body else {
        panic!("levels")
    };
    assert_eq!((checksum, levels), (Some(u32::MAX), 0..1));
}

#[test]
fn what_is_missing_or_twice_is_refused() {
    let whole = numbered("update", 1, 2);
    for (field, text) in [
        ("asks", r#""asks":[["101.0","2"]],"#),
        ("bids", r#""bids":[],"#),
        ("action", r#""action":"update","#),
        ("channel", r#""channel":"books","#),
    ] {
        let fault = read_with(&mut mix(), &whole.replace(text, "")).expect_err("a field is missing");
        assert_eq!(fault.kind, FaultKind::Missing(field));
        let fault = read_with(&mut mix(), &whole.replace(text, &format!("{text}{text}"))).expect_err("twice");
        assert_eq!(fault.kind, FaultKind::Twice(field));
    }
    for garbage in ["", "{", "[]", "{}", "null", r#"{"arg":{"channel":"books"}}"#, &format!("{whole},")] {
        assert!(read_with(&mut mix(), garbage).is_err(), "{garbage:?}");
    }
    let (mut session, _) = surveyed(protocol("bitget-v2-futures"), &[&whole]);
    let damaged = whole.replace("\"ts\":\"1", "\"ts\":\"x");
    let error = session.on_frame(Nanos(1), damaged.as_bytes(), &mut Tape::default()).expect_err("damaged");
    assert!(error.symbol == "BTCUSDT" && matches!(error.kind, FeedErrorKind::Malformed { .. }));
}

#[test]
fn subscriptions_name_the_kind_of_futures() {
    let everything = [Channel::Book, Channel::Trades, Channel::Quotes, Channel::Marks];
    let args = |mix, symbol| -> Vec<String> {
        let texts = requests_of(&mut Bitget { mix }, true, &[symbol], &everything, 0);
        let args = texts[0]["args"].as_array().expect("arguments");
        let text = |arg: &Value, field: &str| arg[field].as_str().expect("text").to_owned();
        args.iter().map(|arg| format!("{} {}", text(arg, "instType"), text(arg, "channel"))).collect()
    };
    assert_eq!(args(true, "BTCUSDT"), ["mc books", "mc trade", "mc books5", "mc ticker"]);
    assert_eq!(args(false, "BTCUSDT")[0], "USDT-FUTURES books");
    assert_eq!(args(false, "BTCPERP")[2], "USDC-FUTURES books1");
    assert_eq!(args(false, "BTCUSD")[3], "COIN-FUTURES ticker");
    let (mut session, _) = surveyed(protocol("bitget-v2-futures"), &[&numbered("snapshot", 0, 1)]);
    session.on_open(Nanos(1));
    let sent: Vec<Command> = session.commands().collect();
    assert!(sent.iter().all(|command| matches!(command, Command::Send(text) if text.contains("\"subscribe\""))));
}

#[test]
fn the_date_tells_which_protocol_an_address_stands_for() {
    let at = |url, day| Protocol::at(url, day).map(|protocol| protocol.name);
    assert_eq!(at("wss://ws.bitget.com/mix/v1/stream", "2022-04-07"), Some("bitget-v1-mix"));
    assert_eq!(at("wss://ws.bitget.com/v2/ws/public", "2025-01-01"), Some("bitget-v2-futures-2023"));
    assert_eq!(at("wss://ws.bitget.com/v2/ws/public", "2026-08-01"), Some("bitget-v2-futures"));
    assert_eq!(Protocol::current(Venue::BitgetFutures).expect("a feed").name, "bitget-v2-futures");
}

#[test]
fn no_damage_of_a_frame_makes_the_reader_panic_and_every_cut_is_refused() {
    let whole = numbered("update", 1, 2);
    for end in 0..whole.len() {
        assert!(read_with(&mut mix(), &whole[..end]).is_err(), "{}", &whole[..end]);
        for byte in *b"\"\\0-[]{}:,e" {
            let mut damaged = whole.clone().into_bytes();
            damaged[end] = byte;
            let mut out = Frame::default();
            if mix().read(&damaged, &mut out).is_ok() {
                assert!(out.messages.len() <= 1);
            }
        }
    }
}
