use std::collections::BTreeMap;

use super::*;
use crate::feed::testing::{data, fetched, kinds, play, read, received, refuses_every_piece, requests, single};
use crate::feed::{Cause, GapUnit, Protocol, Session, Survey};
use crate::tape::Tape;

const UPDATE: &str = concat!(
    r#"{"channel":"l2_data","timestamp":"2026-08-24T22:34:13.813365299Z","sequence_num":2,"events":[{"type":"update","#,
    r#""product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-08-24T22:34:13.592233Z",
        "price_level":"56.05","#,
    r#""new_quantity":"0.04"},{"side":"offer","event_time":"2026-08-24T22:34:13.592234Z","price_level":"56.06","#,
    r#""new_quantity":"0"}]}]}"#
);

const MATCH: &str = concat!(
    r#"{"type":"match","trade_id":10,"maker_order_id":"m","taker_order_id":"t","side":"sell","size":"985","#,
    r#""price":"0.00001305","product_id":"SKL-BTC","sequence":177,"time":"2021-04-17T16:43:37.089723Z"}"#
);

fn bitcoin() -> Instrument {
    let mut found = describe("BTC-USD").expect("a name");
    (found.price_unit, found.size_unit) = (Unit::decimals(2), Unit::decimals(8));
    found
}

#[test]
fn every_real_advanced_frame_is_read_and_their_numbers_have_no_hole() {
    let Some(text) = data("current-frames/coinbase_l2.jsonl") else { return };
    let frames: Vec<&str> = text.lines().collect();
    let found = kinds("coinbase-advanced", &frames);
    assert_eq!(found, BTreeMap::from([("snapshot", 1), ("change", frames.len() - 2), ("subscribed", 1)]));
    let (session, _) = play("coinbase-advanced", &[bitcoin()], &frames);
    let counts = session.counts(0);
    assert_eq!((counts.gaps, counts.repeated, counts.unverifiable), (0, 0, 0));
    assert_eq!(counts.verified, u64::try_from(frames.len()).expect("few") - 1);
}

#[test]
fn a_lost_acknowledgement_is_a_gap_of_frames_that_taints_the_book() {
    let Some(text) = data("current-frames/coinbase_l2.jsonl") else { return };
    let mut session = Session::new(&PROTOCOLS[0], [(0, &bitcoin())]);
    let mut tape = Tape::default();
    for frame in text.lines().filter(|frame| !frame.contains("\"subscriptions\"")) {
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a frame");
    }
    let gap = session.gaps()[0];
    assert_eq!((gap.cause, gap.unit, gap.first, gap.last), (Cause::Sequence, GapUnit::Frames, 3, 3));
    assert!(!session.is_synced(0));
}

#[test]
fn every_frame_of_the_exchange_capture_is_read() {
    let Some(frames) = received("COINBASE.ws.28.0") else { return };
    // The tickers of 2021 have no sizes: no quotes.
    let found = kinds("coinbase-exchange", &frames);
    let expected = [
        ("change", 9719),
        ("snapshot", 10),
        ("trade", 97),
        ("past trade", 10),
        ("other", 107),
        ("subscribed", found["subscribed"]),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    let listed = list_exchange(fetched("COINBASE.0").expect("the capture")[0].1.as_bytes()).expect("a listing");
    let mut survey = Survey::new(&PROTOCOLS[1]);
    for frame in &frames {
        survey.observe(frame.as_bytes());
    }
    for instruments in [listed, survey.instruments()] {
        let (session, _) = play("coinbase-exchange", &instruments, &frames);
        let counts: Vec<_> = session.instruments().map(|instrument| session.counts(instrument)).collect();
        let sum = |field: fn(&crate::feed::Counts) -> u64| counts.iter().map(field).sum::<u64>();
        assert_eq!((sum(|c| c.depth), sum(|c| c.snapshots), sum(|c| c.trades)), (9719, 10, 97));
        assert_eq!((sum(|c| c.gaps), sum(|c| c.trade_gaps), sum(|c| c.repeated)), (0, 0, 0));
        assert_eq!((sum(|c| c.verified), sum(|c| c.unverifiable)), (0, 9729), "nothing proves these books");
    }
}

#[test]
fn every_single_message_is_read() {
    let Some(messages) = single("coinbase_pro") else { return };
    assert_eq!(messages.len(), 6);
    for (group, text) in messages.iter().map(|(_, text)| (text.contains("auction_mode"), text)) {
        if group {
            let mut out = Frame::default();
            Exchange.read_snapshot(text.as_bytes(), &mut out).expect("a snapshot");
            let link = Link::At(406_959_136);
            assert_eq!(out.messages[0].body, Body::Levels { snapshot: true, link, checksum: None, levels: 0..10 });
        } else {
            assert_eq!(read("coinbase-exchange", text).expect("a message").messages.len(), 1, "{text}");
        }
    }
}

#[test]
fn the_listings_are_read() {
    if let Some(bodies) = fetched("COINBASE.0") {
        let found = list_exchange(bodies[0].1.as_bytes()).expect("a listing");
        assert!(found.len() > 100, "{}", found.len());
        let bitcoin = found.iter().find(|found| found.symbol == "BTC-GBP").expect("listed");
        assert_eq!((bitcoin.unified().as_str(), bitcoin.price_unit), ("BTC-GBP", Unit::decimals(2)));
        assert_eq!((bitcoin.lot, bitcoin.size_unit), (Some(Unit::decimals(8)), Unit::decimals(8)));
    }
    let body = r#"{"products":[{"product_id":"BTC-USD","base_currency_id":"BTC","quote_currency_id":"USD",
        "product_type":"SPOT",
        "price_increment":"0.01","base_increment":"0.00000001"},{"product_id":"BIT-25SEP26-CDE",
            "quote_currency_id":"USD",
        "product_type":"FUTURE","price_increment":"5","base_increment":"1",
            "future_product_details":{"contract_root_unit":"BTC",
        "contract_size":"0.01","contract_expiry":"2026-09-25T15:00:00Z","contract_expiry_type":"EXPIRING"}},
        {"product_id":"SHIB-USD","base_currency_id":"SHIB","quote_currency_id":"USD","base_increment":"1"},
            {"product_id":5}]}"#;
    let found = list_advanced(body.as_bytes()).expect("a listing");
    let names: Vec<String> = found.iter().map(Instrument::unified).collect();
    assert_eq!(names, ["BTC-USD", "BTC-USD-260925", "SHIB-USD"]);
    assert_eq!((found[1].multiplier, found[1].contract), (Unit::decimals(2), Contract::Linear));
    assert_eq!(found[2].size_unit, Unit::decimals(4), "room for trillions");
    assert_eq!(describe("BTC-PERP-INTX").expect("a name").unified(), "BTC-USDC-PERP");
    assert!(describe("BIT-25SEP26-CDE").is_none() && describe("BTCUSD").is_none() && describe("-USD").is_none());
}

#[test]
fn an_advanced_frame_has_a_number_and_the_time_of_its_latest_level() {
    let out = read("coinbase-advanced", UPDATE).expect("a change");
    assert_eq!((out.counter, out.channel), (Some(2), Some(Channel::Book)));
    assert_eq!(out.messages[0].body, Body::Levels { snapshot: false, link: Link::None, checksum: None, levels: 0..2 });
    assert_eq!(out.messages[0].ts_event, Nanos(1_787_610_853_592_234_000));
    assert_eq!((out.levels[0].side, out.levels[1].side), (Side::Bid, Side::Ask));
    refuses_every_piece("coinbase-advanced", UPDATE);
    let empty = r#"{"events":[{"updates":[],"product_id":"A-B","type":"update"}],"sequence_num":1,
        "timestamp":"2026-08-24T22:34:13Z","channel":"l2_data"}"#;
    let out = read("coinbase-advanced", empty).expect("a change of nothing, in any order");
    assert_eq!(out.messages[0].ts_event, Nanos(1_787_610_853_000_000_000), "the envelope's");
    for field in
        ["channel", "timestamp", "sequence_num", "events", "type", "product_id", "updates", "side", "price_level"]
    {
        let once = format!("\"{field}\":");
        // The envelope's time is needed only where no level has one.
        let other = read("coinbase-advanced", &UPDATE.replace(&once, "\"other\":"));
        assert!(other.is_err(), "{field}");
    }
    for (once, twice) in [
        ("\"sequence_num\":", "\"sequence_num\":1,\"sequence_num\":"),
        ("\"new_quantity\":", "\"new_quantity\":\"1\",\"new_quantity\":"),
        ("\"product_id\":", "\"product_id\":\"A\",\"product_id\":"),
        ("\"events\":", "\"events\":[],\"events\":"),
    ] {
        assert!(read("coinbase-advanced", &UPDATE.replace(once, twice)).is_err(), "{twice}");
    }
}

#[test]
fn a_snapshot_whose_levels_have_no_time_has_the_envelopes() {
    let text = UPDATE.replace("2026-08-24T22:34:13.592233Z", "1970-01-01T00:00:00Z");
    let text =
        text.replace("2026-08-24T22:34:13.592234Z", "1970-01-01T00:00:00Z").replace("\"update\"", "\"snapshot\"");
    let out = read("coinbase-advanced", &text).expect("a snapshot");
    assert_eq!(out.messages[0].ts_event, Nanos(1_787_610_853_813_365_299));
    assert!(matches!(out.messages[0].body, Body::Levels { snapshot: true, .. }));
}

#[test]
fn a_market_trade_has_the_makers_side_and_an_update_may_be_newest_first() {
    let text = concat!(
        r#"{"channel":"market_trades","client_id":"","timestamp":"2023-02-09T20:19:35.39625135Z","sequence_num":0,
            "events":["#,
        r#"{"type":"update","trades":[{"trade_id":"000000012","product_id":"ETH-USD","price":"1260.01","size":"0.3","#,
        r#""side":"BUY","time":"2019-08-14T20:42:28Z"},{"trade_id":"000000011","product_id":"ETH-USD",
            "price":"1260.01","#,
        r#""size":"0.3","side":"SELL","time":"2019-08-14T20:42:27.265Z"}]}]}"#
    );
    let out = read("coinbase-advanced", text).expect("trades");
    let trades: Vec<_> = out
        .messages
        .iter()
        .filter_map(|message| match message.body {
            Body::Trade { id, side, silent, .. } => Some((id, side, silent)),
            _ => None,
        })
        .collect();
    assert_eq!(trades, [(11, Some(Side::Bid), false), (12, Some(Side::Ask), false)]);
    refuses_every_piece("coinbase-advanced", text);
    let past = text.replace("\"update\"", "\"snapshot\"");
    assert_eq!(kinds("coinbase-advanced", &[past]), BTreeMap::from([("past trade", 2)]));
}

#[test]
fn advanced_tickers_heartbeats_acknowledgements_and_errors() {
    let head = r#""timestamp":"2026-08-24T22:34:13Z","sequence_num":5"#;
    let ticker = format!(
        r#"{{"channel":"ticker",{head},"events":[{{"type":"snapshot","tickers":[{{"type":"ticker","product_id":"A-B",
        "price":"1","best_bid":"1.5","best_bid_quantity":"2","best_ask":"","best_ask_quantity":""}}]}}]}}"#
    );
    let out = read("coinbase-advanced", &ticker).expect("a ticker");
    let Body::Quote { bid: Some((bid, _)), ask: Some((_, empty)), sequence: 0 } = out.messages[0].body else {
        panic!("{out:?}");
    };
    assert!(bid.digits == 15 && empty.is_zero() && out.messages[0].ts_event == Nanos(1_787_610_853_000_000_000));
    refuses_every_piece("coinbase-advanced", &ticker);
    let batch = ticker.replace("\"ticker\"", "\"ticker_batch\"").replace("best_", "no_");
    assert_eq!(kinds("coinbase-advanced", &[batch]), BTreeMap::from([("other", 1)]));
    for (text, kind, count) in [
        (
            format!(r#"{{"channel":"heartbeats",{head},"events":[{{"current_time":"x","heartbeat_counter":3}}]}}"#),
            "heartbeat",
            1,
        ),
        (
            format!(
                r#"{{"channel":"subscriptions",{head},"events":[{{"subscriptions":{{"level2":["A-B","C-D"],
                    "heartbeats":["heartbeats"]}}}}]}}"#
            ),
            "subscribed",
            2,
        ),
        (format!(r#"{{"channel":"candles",{head},"events":[{{"type":"snapshot","candles":[]}}]}}"#), "other", 1),
        (r#"{"type":"error","message":"authentication failure"}"#.to_owned(), "refusal", 1),
    ] {
        assert_eq!(kinds("coinbase-advanced", &[&text]), BTreeMap::from([(kind, count)]), "{text}");
    }
    for garbage in ["", "{}", "[]", "null", "{\"channel\":1}", "\u{0}", "{\"type\":\"x\"}"] {
        assert!(read("coinbase-advanced", garbage).is_err(), "{garbage}");
        assert!(read("coinbase-exchange", garbage).is_err() || garbage == "{\"type\":\"x\"}", "{garbage}");
    }
}

#[test]
fn a_match_has_the_makers_side_and_the_last_match_is_past() {
    let out = read("coinbase-exchange", MATCH).expect("a trade");
    let Body::Trade { id: 10, side: Some(Side::Bid), silent: false, .. } = out.messages[0].body else {
        panic!("{out:?}")
    };
    refuses_every_piece("coinbase-exchange", MATCH);
    let last = read("coinbase-exchange", &MATCH.replace("\"match\"", "\"last_match\"")).expect("a trade");
    assert!(matches!(last.messages[0].body, Body::Trade { silent: true, .. }));
    for field in ["type", "trade_id", "side", "size", "price", "product_id", "time"] {
        let once = format!("\"{field}\":");
        assert!(read("coinbase-exchange", &MATCH.replace(&once, "\"other\":")).is_err(), "{field}");
        let value = if field == "side" { "\"buy\"" } else { "\"1\"" };
        let twice = MATCH.replace(&once, &format!("{once}{value},{once}"));
        assert!(read("coinbase-exchange", &twice).is_err(), "{field} twice");
    }
    let ticker = concat!(
        r#"{"type":"ticker","sequence":9,"product_id":"A-B","price":"1","best_bid":"1.5","best_bid_size":"2",
            "best_ask":"1.6","#,
        r#""best_ask_size":"3","side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":1,"last_size":"1"}"#
    );
    assert_eq!(kinds("coinbase-exchange", &[ticker]), BTreeMap::from([("quote", 1)]));
    let full = r#"{"price":null,"order_id":"x","type":"received","side":"sell","product_id":"A-B","sequence":3}"#;
    assert_eq!(kinds("coinbase-exchange", &[full]), BTreeMap::from([("other", 1)]));
    let no = r#"{"type":"error","message":"Failed to subscribe","reason":"X-Y is not a valid product"}"#;
    assert_eq!(kinds("coinbase-exchange", &[no]), BTreeMap::from([("refusal", 1)]));
}

#[test]
fn requests_are_as_documented_and_the_address_tells_the_protocol() {
    let advanced = requests("coinbase-advanced", true, &["BTC-USD"], 0);
    let book = serde_json::json!({"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "level2"});
    assert_eq!((advanced.len(), &advanced[0]), (4, &book));
    assert_eq!(advanced[3], serde_json::json!({"type": "subscribe", "channel": "heartbeats"}));
    assert_eq!(requests("coinbase-advanced", false, &["BTC-USD"], 0).len(), 3, "heartbeats stay");
    let exchange = requests("coinbase-exchange", true, &["BTC-USD"], 0);
    let channels = ["level2_batch", "matches", "ticker", "heartbeat"];
    let expected = serde_json::json!({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": channels});
    assert_eq!(exchange, [expected]);
    let at = |url| Protocol::at(url, "2021-04-17").map(|protocol| protocol.name);
    assert_eq!(at("wss://ws-feed.pro.coinbase.com"), Some("coinbase-exchange"));
    assert_eq!(at("wss://ws-feed.exchange.coinbase.com"), Some("coinbase-exchange"));
    assert_eq!(at("wss://advanced-trade-ws.coinbase.com"), Some("coinbase-advanced"));
    assert_eq!(at("wss://ws.kraken.com"), Some("kraken-v1"));
    assert_eq!(at("wss://ws.kraken.com/v2"), Some("kraken-v2"));
}

fn numbered(number: u64, kind: &str, product: &str, price: &str) -> String {
    format!(
        r#"{{"channel":"l2_data","timestamp":"2026-08-24T22:34:13.8Z","sequence_num":{number},"events":[{{"type":"{kind}","product_id":"{product}","updates":[{{"side":"bid","event_time":"2026-08-24T22:34:13.5Z","price_level":"{price}","new_quantity":"1"}}]}}]}}"#
    )
}

fn feed(session: &mut Session, tape: &mut Tape, frames: &[String]) {
    for frame in frames {
        let _ = session.on_frame(Nanos(1), frame.as_bytes(), tape);
    }
}

#[test]
fn numbers_that_begin_anew_are_a_gap_and_the_frames_count() {
    let mut session = Session::new(&PROTOCOLS[0], [(0, &bitcoin())]);
    let mut tape = Tape::default();
    let mut frames = vec![numbered(0, "snapshot", "BTC-USD", "1")];
    frames.extend((1..=20).map(|number| numbered(number, "update", "BTC-USD", "1")));
    // A reconnect that nobody recorded.
    frames.push(numbered(0, "snapshot", "BTC-USD", "500"));
    frames.extend((1..=30).map(|number| numbered(number, "update", "BTC-USD", "500")));
    feed(&mut session, &mut tape, &frames);
    assert_eq!((session.gaps().len(), session.gaps()[0].ours), (1, true));
    let counts = session.counts(0);
    assert_eq!((counts.snapshots, counts.depth, counts.gaps), (2, 50, 1));
    // A wrong number does not silence the connection; repetitions stay repetitions.
    feed(&mut session, &mut tape, &[numbered(9_000, "update", "BTC-USD", "500")]);
    let more: Vec<_> = [(31, "snapshot"), (32, "update"), (32, "update"), (33, "update")]
        .map(|(number, kind)| numbered(number, kind, "BTC-USD", "500"))
        .into();
    feed(&mut session, &mut tape, &more);
    assert!(session.is_synced(0));
    assert_eq!((session.counts(0).depth, session.gaps().len()), (52, 2));
}

#[test]
fn a_damaged_frame_does_not_hide_the_frames_lost_before_it() {
    let ether = Instrument { symbol: "ETH-USD".to_owned(), ..bitcoin() };
    let mut session = Session::new(&PROTOCOLS[0], [(0, &bitcoin()), (1, &ether)]);
    let mut tape = Tape::default();
    let frames = [
        numbered(0, "snapshot", "BTC-USD", "1"),
        numbered(1, "snapshot", "ETH-USD", "1"),
        numbered(4, "update", "BTC-USD", "x"),
        numbered(5, "update", "ETH-USD", "1"),
    ];
    feed(&mut session, &mut tape, &frames);
    assert_eq!((session.is_synced(0), session.is_synced(1)), (false, false), "2 and 3 may have been either's");
    let mut session = Session::new(&PROTOCOLS[0], [(0, &bitcoin())]);
    let last = [numbered(u64::MAX, "snapshot", "BTC-USD", "1"), "{\"chan".to_owned()];
    feed(&mut session, &mut tape, &last);
}
