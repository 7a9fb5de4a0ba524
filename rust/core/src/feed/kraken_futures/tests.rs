use std::collections::BTreeMap;

use super::*;
use crate::feed::testing::{fetched, kinds, play, read, received, refuses_every_piece, requests};
use crate::feed::{Cause, Session};
use crate::tape::Tape;

const CHANGE: &str = concat!(
    r#"{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":8,"price":2004.85,"qty":4787.0,"#,
    r#""timestamp":1626994927744}"#
);

fn listed() -> Option<Vec<Instrument>> {
    Some(list(fetched("KRAKEN_FUTURES.0")?[0].1.as_bytes()).expect("a listing"))
}

#[test]
fn every_frame_of_the_capture_is_read_and_no_sequence_is_broken() {
    let (Some(frames), Some(instruments)) = (received("KRAKEN_FUTURES.ws.1.0"), listed()) else { return };
    let found = kinds("kraken-futures", &frames);
    let expected = [
        ("change", 7014),
        ("other", 108),
        ("past trade", found["past trade"]),
        ("snapshot", 10),
        ("subscribed", 30),
        ("trade", 3),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    assert!(found["past trade"] > 500);
    let (session, _) = play("kraken-futures", &instruments, &frames);
    let counts: Vec<_> = session.instruments().map(|instrument| session.counts(instrument)).collect();
    assert_eq!(counts.iter().map(|counts| counts.depth).sum::<u64>(), 7014);
    assert_eq!(
        counts.iter().map(|counts| counts.gaps + counts.trade_gaps + counts.repeated + counts.held).sum::<u64>(),
        0
    );
    assert_eq!(counts.iter().map(|counts| counts.trades).sum::<u64>(), 3);
}

#[test]
fn a_lost_change_is_a_gap_of_one_update() {
    let (Some(frames), Some(instruments)) = (received("KRAKEN_FUTURES.ws.1.0"), listed()) else { return };
    let product = instruments.iter().find(|found| found.symbol == "PI_ETHUSD").expect("listed");
    let mut frames: Vec<&String> =
        frames.iter().filter(|frame| frame.contains("\"product_id\":\"PI_ETHUSD\"")).collect();
    let changes: Vec<usize> = (0..frames.len()).filter(|&at| frames[at].starts_with("{\"feed\":\"book\",")).collect();
    let lost = frames.remove(changes[50]);
    let id = read("kraken-futures", lost).expect("a change").messages[0].body.clone();
    let crate::feed::message::Body::Levels { link, .. } = id else { panic!("{id:?}") };
    let mut session = Session::new(&PROTOCOLS[0], [(7, product)]);
    let mut tape = Tape::default();
    for frame in &frames {
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a frame");
    }
    let gap = session.gaps()[0];
    assert_eq!((gap.cause, gap.first, gap.last, gap.ours), (Cause::Sequence, link.last(), link.last(), false));
}

#[test]
fn the_listing_tells_contracts_and_deliveries() {
    let Some(instruments) = listed() else { return };
    assert_eq!(instruments.len(), 17, "without the indices");
    let future = instruments.iter().find(|found| found.symbol == "FI_XBTUSD_210924").expect("listed");
    assert_eq!((future.unified().as_str(), future.contract), ("BTC-USD-210924", Contract::Inverse));
    assert_eq!((future.tick, future.size_unit), (Unit::new(5, -1), Unit::ONE));
    assert_eq!((future.multiplier, future.settle.as_str()), (Unit::ONE, "BTC"));
    let body = r#"{"instruments":[{"symbol":"PF_XBTUSD","tickSize":0.5,"contractSize":1,
        "contractValueTradePrecision":4},
        {"symbol":"PF_PEPEUSD","tickSize":1e-9,"contractSize":1,"contractValueTradePrecision":-3},{"symbol":7}]}"#;
    let linear = list(body.as_bytes()).expect("a listing");
    assert_eq!((linear[0].unified().as_str(), linear[0].size_unit), ("BTC-USD-PERP", Unit::decimals(4)));
    assert_eq!((linear[0].contract, linear[0].settle.as_str()), (Contract::Linear, "USD"));
    assert_eq!(
        (linear[1].lot, linear[1].size_unit, linear[1].price_unit),
        (Unit::new(1, 3), Unit::ONE, Unit::decimals(9))
    );
    assert_eq!(describe("pv_xrpxbt").expect("a symbol").unified(), "XRP-BTC-PERP");
    assert!(describe("in_xbtusd").is_none() && describe("PF_USD").is_none() && describe("").is_none());
}

#[test]
fn a_change_is_linked_by_its_number_and_a_snapshot_begins_with_one() {
    let out = read("kraken-futures", CHANGE).expect("a change");
    let expected =
        Body::Levels { snapshot: false, link: Link::Range { first: 8, last: 8 }, checksum: None, levels: 0..1 };
    assert_eq!((&out.messages[0].body, out.messages[0].ts_event), (&expected, Nanos(1_626_994_927_744_000_000)));
    assert_eq!((out.levels[0].side, out.channel), (Side::Ask, Some(Channel::Book)));
    refuses_every_piece("kraken-futures", CHANGE);
    for field in ["feed", "product_id", "side", "seq", "price", "qty", "timestamp"] {
        let once = format!("\"{field}\":");
        assert!(read("kraken-futures", &CHANGE.replace(&once, "\"other\":")).is_err(), "{field}");
        let value = if field == "side" { "\"buy\"" } else { "1" };
        let twice = CHANGE.replace(&once, &format!("{once}{value},{once}"));
        assert!(read("kraken-futures", &twice).is_err(), "{field} twice");
    }
    let snapshot = concat!(
        r#"{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1,"seq":7,"tickSize":null,"#,
        r#""bids":[{"price":1.0,"qty":2.0}],"asks":[]}"#
    );
    let out = read("kraken-futures", snapshot).expect("a snapshot");
    let expected = Body::Levels { snapshot: true, link: Link::At(7), checksum: None, levels: 0..1 };
    assert_eq!(out.messages[0].body, expected);
    assert!(read("kraken-futures", &snapshot.replace(r#","asks":[]"#, "")).is_err());
}

#[test]
fn past_trades_come_oldest_first_and_blocks_are_no_trades_of_the_book() {
    let text = concat!(
        r#"{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":["#,
        r#"{"feed":"trade","product_id":"PI_XBTUSD","uid":"x","side":"buy","type":"fill","seq":12,"time":30,"qty":1.0,
            "price":2.0},"#,
        r#"{"feed":"trade","product_id":"PI_XBTUSD","uid":"y","side":"sell","type":"block","seq":11,"time":20,
            "qty":1.0,"price":2.0}]}"#
    );
    let out = read("kraken-futures", text).expect("trades");
    let ids: Vec<u64> = out
        .messages
        .iter()
        .filter_map(|message| match message.body {
            Body::Trade { id, silent: true, .. } => Some(id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [11, 12]);
    refuses_every_piece("kraken-futures", text);
    let block =
        r#"{"feed":"trade","product_id":"P","side":"buy","type":"block","seq":1,"time":2,"qty":1.0,"price":2.0}"#;
    let out = read("kraken-futures", block).expect("a trade");
    assert!(matches!(out.messages[0].body, Body::Trade { silent: true, side: Some(Side::Bid), .. }));
    let fill = read("kraken-futures", &block.replace("block", "liquidation")).expect("a trade");
    assert!(matches!(fill.messages[0].body, Body::Trade { silent: false, .. }));
}

#[test]
fn a_ticker_is_a_quote_and_a_mark_with_the_relative_funding_rate() {
    let text = concat!(
        r#"{"time":5,"product_id":"PI_XBTUSD","funding_rate":3.2e-12,"relative_funding_rate":-9.6321875e-8,"#,
        r#""next_funding_rate_time":7,"feed":"ticker","bid":1.5,"ask":2.5,"bid_size":3.0,"ask_size":4.0,"#,
        r#""index":2.25,"markPrice":2.0,"premium":-0.0}"#
    );
    let out = read("kraken-futures", text).expect("a ticker");
    assert_eq!(kinds("kraken-futures", &[text]), BTreeMap::from([("quote", 1), ("mark", 1)]));
    let Body::Mark { mark: Some(mark), funding: Some((rate, due)), .. } = out.messages[1].body else {
        panic!("{out:?}")
    };
    assert_eq!((mark.digits, rate.digits, rate.exponent, rate.negative), (20, 96_321_875, -15, true));
    assert_eq!(due, Nanos(7_000_000));
    refuses_every_piece("kraken-futures", text);
}

#[test]
fn requests_acknowledgements_refusals_and_heartbeats() {
    let texts = requests("kraken-futures", true, &["PI_XBTUSD", "PF_ETHUSD"], 0);
    let book = serde_json::json!({"event": "subscribe", "feed": "book", "product_ids": ["PI_XBTUSD", "PF_ETHUSD"]});
    assert_eq!((texts.len(), &texts[0]), (3, &book), "quotes and marks are one feed");
    assert_eq!(requests("kraken-futures", false, &["PI_XBTUSD"], 0)[1]["event"], "unsubscribe");
    for (text, body) in [
        (r#"{"event":"subscribed","feed":"book","product_ids":["A"]}"#, Body::Subscribed),
        (r#"{"event":"unsubscribed","feed":"book","product_ids":["A"]}"#, Body::Other),
        (r#"{"event":"info","version":1}"#, Body::Other),
        (r#"{"feed":"heartbeat","time":1534262350627}"#, Body::Heartbeat),
        (r#"{"feed":"ticker_lite","product_id":"A","bid":1.0,"ask":2.0}"#, Body::Other),
    ] {
        assert_eq!(read("kraken-futures", text).expect("a message").messages[0].body, body, "{text}");
    }
    let no = r#"{"event":"error","message":"Invalid product id"}"#;
    let out = read("kraken-futures", no).expect("a refusal");
    assert!(matches!(out.messages[0].body, Body::Refused(why) if why.of(no.as_bytes()) == b"Invalid product id"));
    for garbage in ["", "{}", "[]", "null", "{\"feed\":1}", "\u{0}"] {
        assert!(read("kraken-futures", garbage).is_err(), "{garbage}");
    }
}

#[test]
fn trades_within_trades_without_end_are_refused() {
    let text = format!("{{{}", r#""trades":[{"#.repeat(1 << 17));
    assert!(read("kraken-futures", &text).is_err());
}
