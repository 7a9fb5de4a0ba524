use std::collections::BTreeMap;

use super::*;
use crate::feed::Survey;
use crate::feed::testing::{fetched, kinds, play, read, received, refuses_every_piece, requests};

#[test]
fn every_frame_of_the_capture_is_read_and_the_first_of_a_symbol_is_its_snapshot() {
    let Some(frames) = received("GEMINI.ws.1.0") else { return };
    let expected = [("change", 645), ("snapshot", 10), ("trade", 16), ("heartbeat", 7), ("past trade", 500)];
    assert_eq!(kinds("gemini-v2", &frames), BTreeMap::from(expected));
    let instruments: Vec<Instrument> = fetched("GEMINI.0")
        .expect("the capture")
        .iter()
        .filter(|(url, _)| url.contains("/details/"))
        .flat_map(|(_, body)| list(body.as_bytes()).expect("details"))
        .collect();
    let mut survey = Survey::new(&PROTOCOLS[0]);
    for frame in &frames {
        survey.observe(frame.as_bytes());
    }
    let seen = survey.instruments();
    assert_eq!(seen.len(), 10);
    // Symbols that the listing names are read in its units, all of them in those that the data shows.
    for instruments in [instruments, seen] {
        let known: Vec<&String> = frames
            .iter()
            .filter(|frame| instruments.iter().any(|found| frame.contains(&format!("\"{}\"", found.symbol))))
            .collect();
        let (session, _) = play("gemini-v2", &instruments, &known);
        let counts: Vec<_> = session.instruments().map(|instrument| session.counts(instrument)).collect();
        assert_eq!(counts.iter().map(|counts| counts.held + counts.gaps + counts.resets).sum::<u64>(), 0);
        assert_eq!(counts.iter().map(|counts| counts.unverifiable).sum::<u64>(), {
            counts.iter().map(|counts| counts.depth + counts.snapshots).sum::<u64>()
        });
        assert!(counts.iter().map(|counts| counts.depth).sum::<u64>() > 300);
    }
}

#[test]
fn the_listing_may_be_names_or_details() {
    let Some(bodies) = fetched("GEMINI.0") else { return };
    let names = list(bodies[0].1.as_bytes()).expect("names");
    assert!(names.len() > 60 && names.iter().any(|found| found.unified() == "BTC-USD" && found.symbol == "BTCUSD"));
    let all: Vec<Instrument> =
        bodies[1..].iter().flat_map(|(_, body)| list(body.as_bytes()).expect("details")).collect();
    assert!(all.len() > 60, "every one is understood: {}", all.len());
    let bitcoin = all.iter().find(|found| found.symbol == "BTCUSD").expect("listed");
    assert_eq!((bitcoin.price_unit, bitcoin.size_unit), (Unit::decimals(2), Unit::decimals(10)));
    assert_eq!(bitcoin.lot, Some(Unit::decimals(8)));
    for found in &all {
        let described = describe(&found.symbol).expect("a name");
        assert_eq!(described.unified(), found.unified(), "the name alone tells as much");
    }
    let perpetual = r#"{"symbol":"BTCGUSDPERP","base_currency":"BTC","quote_currency":"GUSD","tick_size":0.0001,
        "quote_increment":0.5,"product_type":"swap"}"#;
    let found = &list(perpetual.as_bytes()).expect("details")[0];
    assert_eq!((found.unified().as_str(), found.contract), ("BTC-GUSD-PERP", Contract::Linear));
    assert_eq!(describe("paxgusd").expect("a name").unified(), "PAXG-USD");
    assert!(describe("USD").is_none() && list(b"7").is_err());
}

#[test]
fn a_book_with_trades_is_a_snapshot_and_its_trades_are_past() {
    let text = concat!(
        r#"{"type":"l2_updates","symbol":"BTCUSD","changes":[["buy","1.50","2"],["sell","2","0"]],"trades":["#,
        r#"{"type":"trade","symbol":"BTCUSD","event_id":9,"timestamp":5,"price":"1","quantity":"2","side":"buy"},"#,
        r#"{"type":"trade","symbol":"BTCUSD","event_id":8,"timestamp":4,"price":"1","quantity":"2","side":"sell"}],"#,
        r#""auction_events":[]}"#
    );
    let out = read("gemini-v2", text).expect("a snapshot");
    assert_eq!(kinds("gemini-v2", &[text]), BTreeMap::from([("snapshot", 1), ("past trade", 2)]));
    assert!(matches!(out.messages[0].body, Body::Trade { id: 8, side: Some(Side::Ask), silent: true, .. }));
    assert_eq!((out.levels.len(), out.levels[1].side), (2, Side::Ask));
    assert_eq!(out.channel, Some(Channel::Book), "not that of its last trade");
    refuses_every_piece("gemini-v2", text);
    let change = r#"{"changes":[["buy","1.50","0"]],"symbol":"BTCUSD","type":"l2_updates"}"#;
    assert_eq!(kinds("gemini-v2", &[change]), BTreeMap::from([("change", 1)]), "in any order");
    let trade = r#"{"type":"trade","symbol":"A","event_id":1,"timestamp":2,"price":"3","quantity":"4","side":"sell"}"#;
    refuses_every_piece("gemini-v2", trade);
    for field in ["type", "symbol", "event_id", "timestamp", "price", "quantity", "side"] {
        let once = format!("\"{field}\":");
        assert!(read("gemini-v2", &trade.replace(&once, "\"other\":")).is_err(), "{field}");
        let value = if field == "side" { "\"buy\"" } else { "\"1\"" };
        let twice = trade.replace(&once, &format!("{once}{value},{once}"));
        assert!(read("gemini-v2", &twice).is_err(), "{field} twice");
    }
}

#[test]
fn requests_heartbeats_refusals_and_what_does_not_concern_us() {
    let texts = requests("gemini-v2", true, &["BTCUSD", "ETHUSD"], 0);
    let expected =
        serde_json::json!({"type": "subscribe", "subscriptions": [{"name": "l2", "symbols": ["BTCUSD", "ETHUSD"]}]});
    assert_eq!(texts, [expected], "one feed for the book and the trades");
    assert_eq!(requests("gemini-v2", false, &["BTCUSD"], 0)[0]["type"], "unsubscribe");
    for (text, body) in [
        (r#"{"type":"heartbeat","timestamp":1624493666869}"#, Body::Heartbeat),
        (r#"{"type":"candles_1m_updates","symbol":"A","changes":[[1,2,3,4,5,6]]}"#, Body::Other),
        (r#"{"symbol":"A","changes":[[1,2,3,4,5,6]],"type":"candles_1m_updates"}"#, Body::Other),
        (r#"{"type":"auction_indicative","symbol":"A","price":null}"#, Body::Other),
    ] {
        assert_eq!(read("gemini-v2", text).expect("a message").messages[0].body, body, "{text}");
    }
    let no = r#"{"result":"error","reason":"InvalidJson"}"#;
    let out = read("gemini-v2", no).expect("a refusal");
    assert!(matches!(out.messages[0].body, Body::Refused(why) if why.of(no.as_bytes()) == b"InvalidJson"));
    for garbage in ["", "{}", "[]", "null", "{\"type\":1}", "\u{0}"] {
        assert!(read("gemini-v2", garbage).is_err(), "{garbage}");
    }
}
