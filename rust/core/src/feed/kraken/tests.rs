use super::*;
use crate::feed::testing::{data, fetched, kinds, play, read, received, refuses_every_piece, requests, single};
use crate::feed::{Cause, Command, Session};
use crate::tape::Tape;

const SNAPSHOT: &str = concat!(
    r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":100.0,"qty":0.00005100}],"#,
    r#""asks":[{"price":101.5,"qty":2.00000000}],"checksum":7,"timestamp":"2026-08-24T22:21:57.110183Z"}]}"#
);

const UPDATE: &str = concat!(
    r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":101.5,"qty":0}],"#,
    r#""checksum":4294967295,"timestamp":"2026-08-24T22:21:57.110183Z"}]}"#
);

fn names(text: &str, out: &Frame) -> Vec<String> {
    let name = |symbol| match symbol {
        Symbol::At(place) => String::from_utf8_lossy(Text::of(place, text.as_bytes())).into_owned(),
        other => format!("{other:?}"),
    };
    out.messages.iter().map(|message| name(message.symbol)).collect()
}

#[test]
fn every_frame_of_the_v1_captures_is_read() {
    let Some(trades) = received("KRAKEN.ws.48.0") else { return };
    let found = kinds("kraken-v1", &trades);
    assert_eq!(found, BTreeMap::from([("heartbeat", 30), ("subscribed", 10), ("trade", found["trade"]), ("other", 1)]));
    assert!(found["trade"] >= 8);
    let tickers = received("KRAKEN.ws.49.0").expect("the capture");
    assert_eq!(
        kinds("kraken-v1", &tickers),
        BTreeMap::from([("heartbeat", 31), ("subscribed", 10), ("quote", 18), ("other", 1)])
    );
    let books = received("KRAKEN.ws.50.0").expect("the capture");
    assert_eq!(
        kinds("kraken-v1", &books),
        BTreeMap::from([("heartbeat", 31), ("subscribed", 10), ("snapshot", 10), ("change", 4269), ("other", 1)])
    );
}

fn listed(protocol: &str) -> Option<Vec<Instrument>> {
    let bodies = fetched("KRAKEN.0")?;
    let protocol = Protocol::named(protocol).expect("a protocol");
    Some((protocol.list)(bodies[0].1.as_bytes()).expect("a listing"))
}

#[test]
fn every_checksum_of_the_v1_capture_agrees() {
    let (Some(frames), Some(instruments)) = (received("KRAKEN.ws.50.0"), listed("kraken-v1")) else { return };
    let (session, _) = play("kraken-v1", &instruments, &frames);
    let counts: Vec<_> = session.instruments().map(|instrument| session.counts(instrument)).collect();
    assert_eq!(counts.iter().map(|counts| counts.checksums).sum::<u64>(), 4269);
    assert_eq!(counts.iter().map(|counts| counts.checksum_failures + counts.gaps).sum::<u64>(), 0);
    assert_eq!(counts.iter().map(|counts| counts.snapshots).sum::<u64>(), 10);
}

#[test]
fn what_falls_out_of_the_depth_that_v1_names_is_cut() {
    let (Some(frames), Some(instruments)) = (received("KRAKEN.ws.50.0"), listed("kraken-v1")) else { return };
    let (session, _) = play("kraken-v1", &instruments, &frames);
    for (at, instrument) in (0..).zip(&instruments) {
        let Some(book) = session.book(at).filter(|_| session.counts(at).depth > 0) else { continue };
        for side in [Side::Bid, Side::Ask] {
            assert!(book.levels(side).count() <= 1000, "{}", instrument.symbol);
        }
    }
}

#[test]
fn a_lost_v1_change_shows_and_another_snapshot_is_asked_for() {
    let (Some(frames), Some(instruments)) = (received("KRAKEN.ws.50.0"), listed("kraken-v1")) else { return };
    let xmr = instruments.iter().find(|instrument| instrument.symbol == "XMR/USD").expect("listed").clone();
    let mut frames: Vec<String> = frames.into_iter().filter(|frame| frame.contains("XMR/USD\"]")).collect();
    assert!(frames.len() > 200);
    // A change of the best bid that makes the book another one: the next one cannot agree.
    let lost = (20..frames.len())
        .find(|&at| {
            let mut session = Session::new(&PROTOCOLS[1], [(0, &xmr)]);
            let mut tape = Tape::default();
            for frame in frames.iter().take(at).chain(frames.iter().skip(at + 1).take(1)) {
                let _ = session.on_frame(Nanos(1), frame.as_bytes(), &mut tape);
            }
            session.counts(0).checksum_failures == 1
        })
        .expect("a change that matters");
    frames.remove(lost);
    let mut session = Session::new(&PROTOCOLS[1], [(0, &xmr)]);
    let mut tape = Tape::default();
    session.on_open(Nanos(1));
    let asked: Vec<Command> = session.commands().collect();
    assert_eq!(asked.len(), 3, "book, trades, quotes");
    for frame in &frames {
        session.on_frame(Nanos(2), frame.as_bytes(), &mut tape).expect("a frame");
    }
    assert_eq!(session.counts(0).checksum_failures, 1);
    assert_eq!(session.gaps()[0].cause, Cause::Checksum);
    assert!(!session.is_synced(0));
    assert_eq!(session.commands().count(), 2, "unsubscribe and subscribe, once");
}

#[test]
fn the_real_v2_frames_agree_with_their_checksums_and_a_lost_one_shows() {
    let Some(text) = data("current-frames/kraken_book.jsonl") else { return };
    let frames: Vec<&str> = text.lines().collect();
    assert_eq!(
        kinds("kraken-v2", &frames),
        BTreeMap::from([("other", 1), ("subscribed", 1), ("snapshot", 1), ("change", 3), ("heartbeat", 2)])
    );
    let mut btc = describe("BTC/USD").expect("a pair");
    (btc.price_unit, btc.size_unit) = (Unit::decimals(1), Unit::decimals(8));
    let (session, _) = play("kraken-v2", &[btc.clone()], &frames);
    let counts = session.counts(0);
    assert_eq!((counts.checksums, counts.checksum_failures, counts.gaps), (4, 0, 0));
    let lost: Vec<&str> =
        frames.iter().copied().enumerate().filter(|(at, _)| *at != 5).map(|(_, frame)| frame).collect();
    let (session, _) = play("kraken-v2", &[btc], &lost);
    assert_eq!((session.counts(0).checksum_failures, session.counts(0).gaps), (1, 1));
}

#[test]
fn every_single_message_is_read() {
    let Some(messages) = single("kraken") else { return };
    let mut read_as = BTreeMap::<&str, usize>::new();
    for (group, text) in messages {
        let futures = text.contains("PI_") || text.contains("FI_") || text.contains("orderBook");
        let protocol = if futures { "kraken-futures" } else { "kraken-v1" };
        if group == "l2_snapshot" {
            let mut out = Frame::default();
            let mut dialect = (Protocol::named(protocol).expect("a protocol").dialect)();
            dialect.read_snapshot(text.as_bytes(), &mut out).expect("a snapshot");
            assert_eq!((out.messages.len(), out.levels.len()), (1, 6), "{text}");
        } else {
            let out = read(protocol, &text).unwrap_or_else(|fault| panic!("{fault:?}: {text}"));
            assert!(!out.messages.is_empty(), "{text}");
        }
        *read_as.entry(protocol).or_default() += 1;
    }
    assert_eq!(read_as, BTreeMap::from([("kraken-futures", 12), ("kraken-v1", 9)]));
}

#[test]
fn the_listing_gives_ordinary_currency_codes_and_each_protocols_symbols() {
    let (Some(v1), Some(v2)) = (listed("kraken-v1"), listed("kraken-v2")) else { return };
    assert_eq!((v1.len(), v2.len()), (293, 293), "all but the eleven of the dark pool");
    let find = |listed: &[Instrument], symbol: &str| listed.iter().find(|found| found.symbol == symbol).cloned();
    assert!(find(&v2, "XBT/USD").is_none());
    let (old, new) = (find(&v1, "XBT/USD").expect("v1"), find(&v2, "BTC/USD").expect("v2"));
    for found in [&old, &new] {
        assert_eq!((found.unified().as_str(), found.contract), ("BTC-USD", Contract::Spot));
        assert_eq!((found.price_unit, found.size_unit), (Unit::decimals(1), Unit::decimals(8)));
    }
    assert_eq!(find(&v2, "DOGE/BTC").expect("v2").unified(), "DOGE-BTC");
}

#[test]
fn a_listed_tick_that_is_coarser_than_the_pairs_decimals_does_not_coarsen_the_unit() {
    let body = r#"{"error":[],"result":{"XXBTZUSD":{"wsname":"XBT/USD","pair_decimals":5,"lot_decimals":8,
        "tick_size":"0.1"},
        "NEW":{"wsname":"NEW/USD","pair_decimals":1,"lot_decimals":5,"tick_size":"0.005"},"odd":{"wsname":7}}}"#;
    let found = list(body.as_bytes(), today).expect("a listing");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].symbol.as_str(), found[0].price_unit), ("NEW/USD", Unit::decimals(3)));
    assert_eq!((found[1].price_unit, found[1].tick), (Unit::decimals(5), Some(Unit::decimals(1))));
}

#[test]
fn requests_are_as_documented() {
    let v2 = requests("kraken-v2", true, &["BTC/USD", "ETH/USD"], 11);
    let book = serde_json::json!({"method": "subscribe", "params":
        {"channel": "book", "depth": 25, "snapshot": true, "symbol": ["BTC/USD", "ETH/USD"]}});
    assert_eq!((v2.len(), &v2[0]), (3, &book), "the next depth there is; no marks");
    assert_eq!(v2[2]["params"]["event_trigger"], "bbo");
    let off = requests("kraken-v2", false, &["BTC/USD"], 10);
    assert_eq!((&off[0]["method"], &off[0]["params"]["depth"]), (&"unsubscribe".into(), &10.into()));
    let v1 = requests("kraken-v1", true, &["XBT/USD"], 0);
    assert_eq!(
        v1[0],
        serde_json::json!({"event": "subscribe", "pair": ["XBT/USD"], "subscription": {"name": "book", "depth": 10}})
    );
    let names: Vec<&str> = v1.iter().filter_map(|request| request["subscription"]["name"].as_str()).collect();
    assert_eq!(names, ["book", "trade", "spread"]);
    let many: Vec<String> = (0..120).map(|i| format!("A{i}/USD")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(requests("kraken-v2", true, &many, 10).len(), 9, "fifty at once");
}

#[test]
fn a_v2_frame_may_hold_several_symbols_and_its_keys_any_order() {
    let text = concat!(
        r#"{"data":[{"checksum":1,"asks":[],"bids":[{"qty":1.50,"price":2}],"symbol":"A/USD",
            "timestamp":"2026-08-24T22:21:57Z"},"#,
        r#"{"symbol":"B/USD","bids":[],"asks":[{"price":3.0,"qty":4}],"checksum":2,
            "timestamp":"2026-08-24T22:21:58Z"}],"#,
        r#""type":"update","channel":"book"}"#
    );
    let out = read("kraken-v2", text).expect("a frame");
    assert_eq!(names(text, &out), ["A/USD", "B/USD"]);
    let Body::Levels { snapshot: false, checksum: Some(2), ref levels, .. } = out.messages[1].body else {
        panic!("{:?}", out.messages[1]);
    };
    assert_eq!((levels.clone(), out.levels[1].side), (1..2, Side::Ask));
    assert_eq!((out.levels[0].size.digits, out.levels[0].size.exponent), (150, -2), "the zeros count");
    assert_eq!(out.symbol, None, "a fault would be of both");
}

#[test]
fn a_fault_says_whose_book_is_lost() {
    let text = UPDATE.replace(r#""qty":0}"#, r#""qty":x}"#);
    let mut out = Frame::default();
    V2Dialect::default().read(text.as_bytes(), &mut out).expect_err("no number");
    assert_eq!(out.channel, Some(Channel::Book));
    let Some(Symbol::At(place)) = out.symbol else { panic!("no symbol") };
    assert_eq!(place.of(text.as_bytes()), b"BTC/USD");
    let text = r#"[1,{"a":[["5.1","2","x"]],"c":"1"},"book-10","XBT/USD"]"#;
    V1.read(text.as_bytes(), &mut out).expect_err("no time");
    let Some(Symbol::At(place)) = out.symbol else { panic!("no symbol") };
    assert_eq!((out.channel, place.of(text.as_bytes())), (Some(Channel::Book), &b"XBT/USD"[..]));
}

#[test]
fn v2_fields_that_are_missing_or_come_twice_are_refused() {
    refuses_every_piece("kraken-v2", SNAPSHOT);
    refuses_every_piece("kraken-v2", UPDATE);
    for field in ["channel", "type", "data", "symbol", "bids", "asks", "checksum", "timestamp", "price", "qty"] {
        let other = UPDATE.replace(&format!("\"{field}\":"), &format!("\"{field}_\":"));
        assert_ne!(other, UPDATE);
        // Without a channel it is none of the venue's data: nothing is applied.
        let read = read("kraken-v2", &other);
        assert!(if field == "channel" {
            read.is_ok_and(|out| out.messages[0].body == Body::Other)
        } else {
            read.is_err()
        });
    }
    for (once, twice) in [
        ("\"checksum\":", "\"checksum\":1,\"checksum\":"),
        ("\"bids\":", "\"bids\":[],\"bids\":"),
        ("\"type\":", "\"type\":\"update\",\"type\":"),
        ("\"price\":", "\"price\":1,\"price\":"),
        ("\"data\":", "\"data\":[],\"data\":"),
    ] {
        let fault = read("kraken-v2", &UPDATE.replace(once, twice)).expect_err("twice");
        assert!(matches!(fault.kind, FaultKind::Twice(_)), "{fault:?}");
    }
    assert!(read("kraken-v2", &UPDATE.replace("4294967295", "4294967296")).is_err(), "33 bits");
}

#[test]
fn v2_messages_without_a_book() {
    let ack = r#"{"method":"subscribe","result":{"channel":"book","depth":25,"snapshot":true,"symbol":"BTC/USD"},
        "success":true}"#;
    let out = read("kraken-v2", ack).expect("an acknowledgement");
    assert_eq!((out.messages[0].body.clone(), names(ack, &out)), (Body::Subscribed, vec!["BTC/USD".to_owned()]));
    let no = r#"{"error":"Currency pair not supported X/Y","method":"subscribe","success":false,"symbol":"X/Y"}"#;
    let out = read("kraken-v2", no).expect("a refusal");
    assert!(matches!(out.messages[0].body, Body::Refused(why) if why.of(no.as_bytes()).starts_with(b"Currency pair")));
    assert_eq!(names(no, &out), ["X/Y"]);
    for (text, body) in [
        (r#"{"channel":"heartbeat"}"#, Body::Heartbeat),
        (r#"{"method":"pong","req_id":1,"time_in":"x"}"#, Body::Heartbeat),
        (r#"{"channel":"status","type":"update","data":[{"system":"online"}]}"#, Body::Other),
        (r#"{"channel":"ohlc","type":"update","data":[{"symbol":"A/B","open":1}]}"#, Body::Other),
        (r#"{"method":"unsubscribe","result":{"channel":"book","symbol":"A/B"},"success":true}"#, Body::Other),
    ] {
        assert_eq!(read("kraken-v2", text).expect("a message").messages[0].body, body, "{text}");
    }
    let text = r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[{"symbol":"A/B",
        "status":"online"},
        {"symbol":"C/D","status":"cancel_only"}]}}"#;
    let out = read("kraken-v2", text).expect("instruments");
    assert_eq!(names(text, &out), ["A/B", "C/D"]);
    assert_eq!(out.messages[1].body, Body::Status { trading: false });
}

#[test]
fn v2_trades_and_tickers() {
    let text = concat!(
        r#"{"channel":"trade","type":"update","data":[{"symbol":"A/B","side":"sell","price":0.5117,"qty":40.0,"#,
        r#""ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"#
    );
    let out = read("kraken-v2", text).expect("a trade");
    let Body::Trade { id: 4_665_906, side: Some(Side::Ask), silent: false, .. } = out.messages[0].body else {
        panic!("{:?}", out.messages[0]);
    };
    assert_eq!(out.messages[0].ts_event, Nanos(1_695_628_177_708_706_000));
    let past = read("kraken-v2", &text.replace("update", "snapshot")).expect("a trade");
    assert!(matches!(past.messages[0].body, Body::Trade { silent: true, .. }));
    refuses_every_piece("kraken-v2", text);
    let text = concat!(
        r#"{"channel":"ticker","type":"snapshot","data":[{"symbol":"A/B","bid":0.10025,"bid_qty":740.0,"ask":null,"#,
        r#""ask_qty":null,"last":0.1}]}"#
    );
    let out = read("kraken-v2", text).expect("a ticker");
    let Body::Quote { bid: Some((bid, _)), ask: Some((_, empty)), .. } = out.messages[0].body else {
        panic!("{:?}", out.messages[0]);
    };
    assert!(bid.digits == 10025 && empty.is_zero());
}

#[test]
fn the_depth_is_known_from_v1_messages_and_from_v2_confirmations_or_snapshots() {
    let mut out = Frame::default();
    V1.read(br#"[1,{"b":[["5.1","0","1.5"]],"c":"1"},"book-25","XBT/USD"]"#, &mut out).expect("a change");
    assert_eq!(out.depth, Some(25));
    let mut dialect = V2Dialect::default();
    out.clear();
    dialect.read(SNAPSHOT.as_bytes(), &mut out).expect("a snapshot");
    assert_eq!(out.depth, Some(10));
    dialect
        .read(
            br#"{"method":"subscribe","result":{"channel":"book","depth":500,"symbol":"BTC/USD"},"success":true}"#,
            &mut out,
        )
        .expect("an acknowledgement");
    out.clear();
    dialect.read(UPDATE.as_bytes(), &mut out).expect("a change");
    assert_eq!(out.depth, Some(500));
    dialect.reset();
    out.clear();
    dialect.read(UPDATE.as_bytes(), &mut out).expect("a change");
    assert_eq!(out.depth, None, "of another connection nothing is known");
}

#[test]
fn a_v1_frame_may_hold_two_payloads() {
    let text = concat!(
        r#"[1920,{"a":[["0.042990","364630.2","1618678145.920470"],["0.05","0.0","1618678145.1","r"]]},"#,
        r#"{"b":[["0.042980","0.0","1618678145.920708"]],"c":"4105471083"},"book-1000","SC/EUR"]"#
    );
    let out = read("kraken-v1", text).expect("a change");
    let expected = Body::Levels { snapshot: false, link: Link::None, checksum: Some(4_105_471_083), levels: 0..3 };
    assert_eq!((out.messages.len(), &out.messages[0].body), (1, &expected));
    assert_eq!(out.messages[0].ts_event, Nanos(1_618_678_145_920_708_000), "the latest");
    assert_eq!(names(text, &out), ["SC/EUR"]);
    refuses_every_piece("kraken-v1", text);
    for (whole, broken) in [
        (r#""a":"#, r#""b":"#),
        (r#","c":"4105471083""#, ""),
        (r#""a":"#, r#""as":"#),
        (r#""a":"#, r#""x":[],"a":[],"a":"#),
        ("SC/EUR\"", "SC/EUR\",\"more\""),
    ] {
        assert!(read("kraken-v1", &text.replace(whole, broken)).is_err(), "{broken}");
    }
}

#[test]
fn v1_messages_without_a_book() {
    let no =
        r#"{"errorMessage":"Currency pair not supported","event":"subscriptionStatus","pair":"X/Y","status":"error"}"#;
    let out = read("kraken-v1", no).expect("a refusal");
    assert!(matches!(out.messages[0].body, Body::Refused(_)) && names(no, &out) == ["X/Y"]);
    let pong = read("kraken-v1", r#"{"event":"pong","reqid":42}"#).expect("a pong");
    assert_eq!(pong.messages[0].body, Body::Heartbeat);
    let spread = r#"[341,["31760.0","31760.1","1654031976.197239","0.02","6.4"],"spread","XBT/USD"]"#;
    let out = read("kraken-v1", spread).expect("a quote");
    let Body::Quote { ask: Some((price, size)), .. } = out.messages[0].body else { panic!("{out:?}") };
    assert_eq!((price.digits, size.digits, out.channel), (317_601, 64, Some(Channel::Quotes)));
    refuses_every_piece("kraken-v1", spread);
    for garbage in ["", "[]", "[1]", "{}", "null", r#"[1,"book-10","A/B"]"#, r#"["x",{},"book-10","A/B"]"#, "\u{0}]"] {
        assert!(read("kraken-v1", garbage).is_err(), "{garbage}");
    }
}

#[test]
fn one_book_says_nothing_of_the_depth_of_another() {
    let (mut dialect, mut out) = (V2Dialect::default(), Frame::default());
    let confirmed = |symbol: &str, depth: u16| {
        format!(
            r#"{{"method":"subscribe","result":{{"channel":"book","depth":{depth},"symbol":"{symbol}"}},"success":true}}"#
        )
    };
    let book = |symbol: &str| {
        format!(
            r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"{symbol}","bids":[],"asks":[],"checksum":0}}]}}"#
        )
    };
    for frame in [confirmed("A/USD", 100), confirmed("B/USD", 10), book("C/USD")] {
        dialect.read(frame.as_bytes(), &mut out).expect("a frame");
    }
    for (symbol, depth) in [("A/USD", 100), ("B/USD", 10), ("C/USD", 10)] {
        out.clear();
        dialect.read(book(symbol).as_bytes(), &mut out).expect("a book");
        assert_eq!(out.depth, Some(depth), "{symbol}");
    }
}
