use serde_json::Value;

use super::*;
use crate::feed::testing::lines::{kind, kinds, lines, play, raw, read, texts};
use crate::feed::{Channel, Outcome, Session};
use crate::tape::Tape;

fn protocol() -> &'static Protocol {
    Protocol::named("bitmex").expect("registered")
}

fn names(frame: &str) -> Vec<&'static str> {
    read(protocol(), frame).expect("reads").0.messages.iter().map(|message| kind(&message.body)).collect()
}

#[test]
fn the_capture_of_2021_is_read_whole_and_every_id_is_known() {
    let (Some(frames), Some(listing)) = (lines("BITMEX.ws.1.0"), lines("BITMEX.0")) else { return };
    let found = kinds(protocol(), &frames);
    let count = |kind| found.get(kind).copied().unwrap_or(0);
    assert_eq!((count("snapshot"), count("subscribed"), count("other")), (10, 30, 1));
    assert_eq!((count("levels"), count("quote"), count("trade")), (1969, 436, 17));
    assert_eq!(count("silent trade"), 10, "the last trade of every symbol");

    let listed = (protocol().list)(&listing[0].body).expect("a listing");
    assert_eq!(listed.len(), 34);
    let played = play(protocol(), &listed, frames, |_| None);
    assert_eq!(played.errors, []);
    assert!(played.session.gaps().is_empty());
    let synced = (0..34).filter(|&index| played.session.is_synced(index)).count();
    assert_eq!(synced, 10);

    let of = |symbol: &str| listed.iter().find(|found| found.symbol == symbol).expect("listed");
    assert_eq!((of("XBTUSD").unified().as_str(), of("XBTUSD").contract), ("BTC-USD-PERP", Contract::Inverse));
    assert_eq!((of("XRPU21").unified().as_str(), of("XRPU21").multiplier), ("XRP-BTC-210924", Unit::ONE));
    assert_eq!((of("UNIUSDT").unified().as_str(), of("UNIUSDT").settle.as_str()), ("UNI-USDT-PERP", "BTC"));
    for found in &listed {
        let described = describe(&found.symbol).expect("described");
        assert_eq!((described.unified(), described.contract), (found.unified(), found.contract));
        // What is quoted in USDT was settled in bitcoin then, in USDT now.
        assert!(found.quote == "USDT" || described.settle == found.settle, "{}", found.symbol);
    }
}

#[test]
fn single_real_messages_are_read() {
    let Some(messages) = raw("bitmex") else { return };
    for (name, body) in messages {
        let text = String::from_utf8(body).expect("UTF-8");
        if name.starts_with("l2_snapshot") {
            let mut out = Frame::default();
            assert_eq!((protocol().dialect)().read_snapshot(text.as_bytes(), &mut out), Ok(()), "{name}");
            assert_eq!(out.levels.len(), 6);
            continue;
        }
        let kinds = names(&text);
        let kinds = kinds.first().copied();
        let expected = match name.split('/').next() {
            Some("trade") if text.contains("partial") || text.contains("Settlement") => Some("silent trade"),
            Some("trade") => Some("trade"),
            Some("funding_rate") => Some("mark"),
            Some("bbo") => Some("quote"),
            Some("order_book_l2_25") if text.contains("partial") => Some("snapshot"),
            // Changes by id alone, before the book was told.
            Some("order_book_l2_25") if !text.contains("insert") => None,
            Some("order_book_l2_25") => Some("levels"),
            _ => None,
        };
        assert_eq!(kinds, expected, "{name}: {text}");
    }
}

fn rows(action: &str, rows: &str) -> String {
    format!(r#"{{"table":"orderBookL2","action":"{action}","data":[{rows}]}}"#)
}

const BOOK: &str = r#"{"symbol":"XBTUSD","id":10,"side":"Sell","size":7,"price":101},
    {"symbol":"XBTUSD","id":11,"side":"Buy","size":5,"price":99.5}"#;

fn session() -> (Session, Tape) {
    let xbt = Instrument::infer(Venue::Bitmex, "XBTUSD", Unit::decimals(1), Unit::ONE).expect("a contract");
    let eth = Instrument::infer(Venue::Bitmex, "ETHUSD", Unit::decimals(2), Unit::ONE).expect("a contract");
    (Session::new(protocol(), [(0, &xbt), (1, &eth)]), Tape::default())
}

#[test]
fn updates_and_deletions_find_the_price_of_their_id() {
    let mut dialect = Bitmex::default();
    let mut read = |frame: &str| {
        let mut out = Frame::default();
        dialect.read(frame.as_bytes(), &mut out).expect("reads");
        out.levels.iter().map(|level| (level.price.digits, level.size.digits)).collect::<Vec<_>>()
    };
    assert_eq!(read(&rows("partial", BOOK)), [(101, 7), (995, 5)]);
    assert_eq!(read(&rows("update", r#"{"symbol":"XBTUSD","id":11,"side":"Buy","size":6}"#)), [(995, 6)]);
    assert_eq!(read(&rows("delete", r#"{"symbol":"XBTUSD","id":11,"side":"Buy"}"#)), [(995, 0)]);
    let again = r#"{"symbol":"XBTUSD","id":11,"side":"Buy","size":1,"price":99}"#;
    assert_eq!(read(&rows("insert", again)), [(99, 1)]);
    let today =
        r#"{"symbol":"XBTUSD","id":11,"side":"Buy","size":2,"price":98.5,"timestamp":"2024-01-01T00:00:00.000Z"}"#;
    assert_eq!(read(&rows("update", today)), [(985, 2)], "today's updates name the price");
}

#[test]
fn a_change_of_an_id_that_nobody_named_is_a_fault_and_the_book_waits_to_be_told_anew() {
    let (mut session, mut tape) = session();
    let mut play = |frame: &str| session.on_frame(Nanos(1), frame.as_bytes(), &mut tape);
    let unknown = rows("update", r#"{"symbol":"XBTUSD","id":12,"side":"Buy","size":6}"#);
    assert_eq!(play(&unknown), Ok(Outcome::Other), "before the book is told, nothing can be wrong");
    assert_eq!(play(&rows("partial", BOOK)), Ok(Outcome::Snapshot));
    let error = play(&unknown).expect_err("unknown");
    assert!(error.to_string().contains("an earlier message named"), "{error}");
    assert_eq!(error.symbol, "XBTUSD");
    assert_eq!(play(&unknown), Ok(Outcome::Other));
    assert_eq!(play(&rows("partial", BOOK)), Ok(Outcome::Snapshot));
    assert_eq!(session.gaps().len(), 1);
    assert!(session.is_synced(0));
}

#[test]
fn one_frame_may_hold_two_books_and_a_fault_in_it_loses_both() {
    let both = format!(r#"{BOOK},{{"symbol":"ETHUSD","id":20,"side":"Buy","size":1,"price":1800.05}}"#);
    let (frame, names) = read(protocol(), &rows("partial", &both)).expect("reads");
    assert_eq!((frame.messages.len(), names), (2, vec!["XBTUSD".to_owned(), "ETHUSD".to_owned()]));
    let (mut session, mut tape) = session();
    session.on_frame(Nanos(1), rows("partial", &both).as_bytes(), &mut tape).expect("reads");
    assert!(session.is_synced(0) && session.is_synced(1));
    let damaged = both.replace(r#""price":1800.05"#, r#""price":x"#);
    session.on_frame(Nanos(2), rows("insert", &damaged).as_bytes(), &mut tape).expect_err("damaged");
    assert!(!session.is_synced(0) && !session.is_synced(1));
}

#[test]
fn an_empty_book_is_a_book_and_fields_may_come_in_any_order() {
    let empty = r#"{"table":"orderBookL2","action":"partial","filter":{"symbol":"XBTUSD"},"data":[]}"#;
    let (frame, names_of) = read(protocol(), empty).expect("reads");
    assert_eq!((kind(&frame.messages[0].body), names_of), ("snapshot", vec!["XBTUSD".to_owned()]));
    let turned = format!(r#"{{"data":[{BOOK}],"action":"partial","table":"orderBookL2"}}"#);
    assert_eq!(names(&turned), ["snapshot"]);
}

#[test]
fn instruments_tell_marks_funding_and_whether_they_trade() {
    let frame = r#"{"table":"instrument","action":"update","data":[{"symbol":"XBTUSD","state":"Open","markPrice":60000.5,
        "fundingRate":-0.0001,"fundingTimestamp":"2024-01-01T08:00:00.000Z","timestamp":"2024-01-01T00:00:01.000Z"},
        {"symbol":"ETHUSD","volume":5,"timestamp":"2024-01-01T00:00:01.000Z"}]}"#;
    assert_eq!(names(frame), ["status", "mark"]);
    let (frame, _) = read(protocol(), frame).expect("reads");
    let Body::Mark { funding: Some((rate, due)), .. } = frame.messages[1].body else { panic!("a mark") };
    assert!(rate.negative && due == Nanos(1_704_096_000_000_000_000));
}

#[test]
fn answers_are_told_apart() {
    assert_eq!(names("pong"), ["heartbeat"]);
    let refused = |args: &str, status: u16| {
        format!(
            r#"{{"status":{status},"error":"Unknown or expired symbol.","meta":{{}},"request":{{"op":"subscribe","args":{args}}}}}"#
        )
    };
    let of = |frame: &str| read(protocol(), frame).expect("reads").1;
    assert_eq!(of(&refused(r#"["trade:FOO"]"#, 400)), ["FOO"]);
    assert_eq!(of(&refused(r#""trade:FOO""#, 400)), ["FOO"]);
    assert_eq!(of(&refused(r#"["trade:FOO"]"#, 429)), [""], "too many requests: nothing is wrong with the symbol");
    assert_eq!(of(&refused(r#"["trade:FOO","trade:XBTUSD"]"#, 400)), [""], "nobody says which of the two");
    assert_eq!(names(&refused(r#"["trade:FOO"]"#, 400)), ["refused"]);
}

#[test]
fn missing_and_double_fields_and_garbage_are_refused() {
    let fault = |frame: &str| read(protocol(), frame).expect_err("refused");
    assert!(fault(&rows("partial", &BOOK.replacen(r#""size":7,"#, "", 1))).contains("Missing(\"size\")"));
    assert!(
        fault(&rows("partial", &BOOK.replacen(r#""size":7"#, r#""size":7,"size":7"#, 1))).contains("Twice(\"size\")")
    );
    assert!(fault(&rows("insert", &BOOK.replacen(r#","price":101"#, "", 1))).contains("Missing(\"price\")"));
    assert!(fault(r#"{"table":"orderBookL2","data":[]}"#).contains("Missing(\"action\")"));
    for garbage in ["", "[]", "null", "hello", "ping", "{\"table\":\"trade\""] {
        assert!(read(protocol(), garbage).is_err(), "{garbage}");
    }
}

#[test]
fn ten_topics_are_subscribed_with_one_message() {
    let texts = texts(protocol(), &["XBTUSD", "ETHUSD", "XRPUSD"], 0);
    assert_eq!(texts.len(), 2, "twelve topics");
    let first: Value = serde_json::from_str(&texts[0]).expect("JSON");
    assert_eq!((first["op"].as_str(), first["args"][0].as_str()), (Some("subscribe"), Some("orderBookL2:XBTUSD")));
    let mut shallow = Vec::new();
    Bitmex::default().subscribe(false, &["XBTUSD"], &[Channel::Book], 25, &mut shallow);
    assert_eq!(shallow, [r#"{"op":"unsubscribe","args":["orderBookL2_25:XBTUSD"]}"#]);
}

#[test]
fn deliveries_are_the_last_friday_of_their_month() {
    let of = |symbol: &str| describe(symbol).and_then(|found| found.delivery);
    for (symbol, day) in [("XBTZ21", "211231"), ("XBTU21", "210924"), ("XBTH24", "240329"), ("ETHUSDH23", "230331")] {
        assert_eq!(of(symbol).as_deref(), Some(day), "{symbol}");
    }
    assert_eq!(describe("ETHUSD_ETH").map(|found| found.contract), Some(Contract::Inverse));
    assert_eq!((describe("XBT_USDT"), describe(".BXBT")), (None, None), "spot and indices");
}
