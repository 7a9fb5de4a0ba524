use super::*;
use crate::event::Kind as EventKind;
use crate::feed::testing::data;
use crate::feed::{Command, Outcome, Session, Survey};
use crate::tape::Tape;

fn read_as(orders: bool, frame: &str) -> Read<Frame> {
    let mut out = Frame::default();
    Bitstamp { orders, diffs: false }.read(frame.as_bytes(), &mut out).map(|()| out)
}

fn sole(orders: bool, frame: &str) -> Body {
    let out = read_as(orders, frame).expect("a frame");
    assert_eq!(out.messages.len(), 1, "{frame}");
    out.messages[0].body.clone()
}

const CHANGE: &str = r#"{"data":{"timestamp":"1","microtimestamp":"1000001","bids":[["99.5","0.00000000"]],"asks":[["101","2"]]},"channel":"diff_order_book_btcusd","event":"data"}"#;

#[test]
fn a_change_is_linked_by_its_time_alone() {
    let out = read_as(false, CHANGE).expect("a change");
    let link = Link::At(1_000_001);
    assert_eq!(out.messages[0].body, Body::Levels { snapshot: false, link, checksum: None, levels: 0..2 });
    assert_eq!((out.messages[0].ts_event, out.levels[0].size.is_zero()), (Nanos(1_000_001_000), true));
    let Symbol::At(symbol) = out.messages[0].symbol else { panic!("no symbol") };
    assert_eq!(symbol.of(CHANGE.as_bytes()), b"btcusd");
}

#[test]
fn a_whole_book_is_a_snapshot_unless_changes_come_on_the_same_connection() {
    let whole = CHANGE.replace("diff_order", "order");
    assert!(matches!(sole(false, &whole), Body::Levels { snapshot: true, link: Link::At(1_000_001), .. }));
    let (mut dialect, mut out) = (Bitstamp { orders: false, diffs: false }, Frame::default());
    dialect.read(CHANGE.as_bytes(), &mut out).expect("a change");
    out.clear();
    dialect.read(whole.as_bytes(), &mut out).expect("a whole book");
    assert!(out.messages.is_empty());
    let detail = CHANGE.replace("diff_order", "detail_order").replace("\"2\"", "\"2\",\"77\"");
    assert!(read_as(true, &detail).expect("the best orders").messages.is_empty());
}

const ORDER: &str = r#"{"data":{"id":77,"id_str":"77","order_type":1,"order_subtype":5,"datetime":"1787620345","microtimestamp":"1787620344640000","amount":0.25,"amount_str":"0.25000000","amount_traded":"0","amount_at_create":"0.25","price":79640.78,"price_str":"79640.78","is_liquidation":false},"channel":"live_orders_btcusd","event":"order_created","event_id":"000659d4-cba2-b200-0000-000101000020","pre_event_id":"000659d4-cba2-7768-0000-000100000020","order_source":"orderbook"}"#;

#[test]
fn an_order_names_the_message_before_it_and_its_own_time() {
    let out = read_as(true, ORDER).expect("an order");
    let Body::Orders { snapshot: false, link: Link::Timed { previous, last, time, .. }, .. } = out.messages[0].body
    else {
        panic!("{:?}", out.messages)
    };
    assert_eq!(time, 1_787_620_344_640_000, "the token begins with it");
    assert_ne!(previous, last);
    let next = ORDER
        .replace("cba2-b200-0000-000101000020", "cba2-b201-0000-000102000020")
        .replace("000659d4-cba2-7768-0000-000100000020", "000659d4-cba2-b200-0000-000101000020");
    let Body::Orders { link: Link::Timed { previous, .. }, .. } = sole(true, &next) else { panic!("no order") };
    assert_eq!(previous, last);
    let order = out.orders[0];
    assert_eq!((order.change, order.id, order.side), (Change::Add, 77, Some(Side::Ask)));
    assert_eq!(order.size.map(|size| (size.digits, size.exponent)), Some((25_000_000, -8)), "the text of it");
    let gone = read_as(true, &ORDER.replace("order_created", "order_deleted")).expect("an order");
    assert_eq!((gone.orders[0].change, gone.orders[0].size), (Change::Cancel, None));
    let waiting = read_as(true, &ORDER.replace("\"orderbook\"", "\"stop\"")).expect("an order");
    assert!(waiting.orders.is_empty() && waiting.messages.len() == 1, "it is in the chain, not in the book");
    assert!(read_as(false, ORDER).expect("an order").messages.is_empty(), "the book is kept by level");
}

#[test]
fn orders_of_older_captures_have_only_their_time() {
    let (before, after) = ORDER.split_once(",\"event_id\"").expect("a token");
    assert!(after.contains("order_source"));
    let old = format!("{before}}}");
    assert!(matches!(sole(true, &old), Body::Orders { link: Link::At(1_787_620_344_640_000), .. }));
    assert!(read_as(true, &ORDER.replace("pre_event_id", "other")).is_err(), "half a chain is none");
    assert!(read_as(true, &ORDER.replace("000659d4-cba2-b200", "000659d4-cba2-b20")).is_err());
    assert!(read_as(true, &ORDER.replace("000659d4-cba2-b200", "000659d4-cba2-b20x")).is_err());
}

#[test]
fn a_trade_names_its_aggressor() {
    let frame = |side: u8| {
        format!(
            r#"{{"channel":"live_trades_btcusd","data":{{"amount":1e-08,"amount_str":"1E-8","buy_order_id":9,"id":158457579,"microtimestamp":"1616297318187000","price":57748.8,"price_str":"57748.80","timestamp":"1616297318","type":{side}}},"event":"trade"}}"#
        )
    };
    let Body::Trade { id, side, size, silent, .. } = sole(false, &frame(0)) else { panic!("no trade") };
    assert_eq!((id, side, size.digits, size.exponent, silent), (158_457_579, Some(Side::Bid), 1, -8, false));
    assert!(matches!(sole(true, &frame(1)), Body::Trade { side: Some(Side::Ask), .. }));
    assert!(read_as(false, &frame(2)).is_err());
}

#[test]
fn events_of_the_connection_are_told_apart() {
    let event =
        |name: &str| format!(r#"{{"event":"bts:{name}","channel":"","data":{{"message":"Bad subscription."}}}}"#);
    assert_eq!(sole(false, &event("request_reconnect")), Body::Reconnect);
    assert_eq!(sole(false, &event("heartbeat")), Body::Heartbeat);
    assert!(matches!(sole(false, &event("error")), Body::Refused(_)));
    assert!(read_as(false, &event("unsubscription_succeeded")).expect("an answer").messages.is_empty());
    let stands = r#"{"event":"bts:subscription_succeeded","channel":"diff_order_book_btcusd","data":{}}"#;
    assert_eq!(sole(false, stands), Body::Subscribed);
}

#[test]
fn what_is_missing_or_comes_twice_is_refused() {
    for (frame, orders, fields) in [
        (CHANGE, false, &["microtimestamp", "bids", "asks", "event"][..]),
        (ORDER, true, &["id", "order_type", "microtimestamp", "event"]),
    ] {
        for field in fields {
            assert!(read_as(orders, &frame.replace(&format!("\"{field}\""), "\"else\"")).is_err(), "{field}");
            let twice = frame.replacen("\"data\":{", &format!("\"data\":{{\"{field}\":7,"), 1);
            assert!(*field == "event" || read_as(orders, &twice).is_err(), "{field}");
        }
        assert!(read_as(orders, &frame[..frame.len() - 1]).is_err());
        assert!(read_as(orders, &format!("{frame}x")).is_err());
    }
    for garbage in ["", "{}", "[]", "x", r#"{"event":"data","channel":"live_trades_btcusd","data":{}}"#] {
        assert!(read_as(false, garbage).is_err(), "{garbage}");
    }
}

#[test]
fn subscriptions_are_as_documented() {
    let mut sent = Vec::new();
    Bitstamp { orders: false, diffs: false }.subscribe(true, &["btcusd"], &Channel::ALL, 0, &mut sent);
    Bitstamp { orders: true, diffs: false }.subscribe(false, &["btcusd"], &[Channel::Book], 0, &mut sent);
    assert_eq!(
        sent,
        [
            r#"{"event":"bts:subscribe","data":{"channel":"diff_order_book_btcusd"}}"#,
            r#"{"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}"#,
            r#"{"event":"bts:unsubscribe","data":{"channel":"live_orders_btcusd"}}"#,
        ]
    );
    assert_eq!(Protocol::current(Venue::Bitstamp).expect("a feed").name, "bitstamp-diff");
}

#[test]
fn names_and_listings_say_what_an_instrument_is() {
    assert_eq!(describe("btcusd").map(|found| found.unified()).as_deref(), Some("BTC-USD"));
    assert_eq!(describe("usdtusdc").map(|found| found.unified()).as_deref(), Some("USDT-USDC"));
    assert_eq!(describe("btcusd-perp").map(|found| found.unified()).as_deref(), Some("BTC-USD-PERP"));
    for symbol in ["", "usd", "BTCUSD", "btcxyz", "btc/usd"] {
        assert_eq!(describe(symbol), None, "{symbol}");
    }
    let today = r#"[{"name":"BTC/USD","market_symbol":"btcusd","base_currency":"BTC","base_decimals":8,"counter_currency":"USD","counter_decimals":0,"trading":"Enabled","market_type":"SPOT"},{"name":"odd"}]"#;
    let found = list(today.as_bytes()).expect("a listing");
    assert_eq!((found.len(), found[0].price_unit, found[0].size_unit), (1, Unit::decimals(2), Unit::decimals(8)));
    let text = data("cryptofeed/BITSTAMP.0.gz").unwrap_or_default();
    if let Some((_, body)) = text.lines().next().and_then(|line| line.split_once(": ")) {
        let found = list(body.as_bytes()).expect("a listing");
        assert_eq!(found.len(), body.matches("url_symbol").count());
        for found in &found {
            let named = describe(&found.symbol).map(|named| named.unified());
            assert!(named.is_none() || named == Some(found.unified()), "{}", found.symbol);
        }
    }
}

/// The frames and REST answers of the capture of 2022 in the order in which they came: symbol of the answer, text.
fn in_order<'a>(socket: &'a str, rest: &'a str) -> Vec<(f64, Option<&'a str>, &'a str)> {
    let time = |text: &str| text.parse::<f64>().expect("seconds");
    let frames = socket.lines().filter(|line| !line.starts_with("wss")).filter_map(|line| line.split_once(": "));
    let answers = rest.lines().filter_map(|line| line.split_once(" -> "));
    let mut all: Vec<_> = frames.map(|(at, frame)| (time(at), None, frame)).collect();
    all.extend(answers.filter_map(|(url, rest)| {
        let (at, body) = rest.split_once(": ")?;
        Some((time(at), url.rsplit('/').next(), body))
    }));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

#[test]
fn every_frame_of_the_capture_of_2022_is_read_and_every_snapshot_joins() {
    let (socket, rest) = (
        data("cryptofeed/BITSTAMP.ws.1.0.gz").unwrap_or_default(),
        data("cryptofeed/BITSTAMP.http.0.0.gz").unwrap_or_default(),
    );
    if socket.is_empty() {
        return;
    }
    let all = in_order(&socket, &rest);
    let mut survey = Survey::new(&PROTOCOLS[0]);
    // Here all the answers came before all the frames.
    all.iter().filter(|one| one.1.is_none()).for_each(|(_, _, text)| survey.observe(text.as_bytes()));
    for (_, symbol, body) in &all {
        symbol.iter().for_each(|symbol| survey.observe_snapshot(symbol, body.as_bytes()));
    }
    let instruments = survey.instruments();
    assert_eq!(instruments.len(), 10);
    let mut session = Session::new(&PROTOCOLS[0], (0..).zip(&instruments));
    let mut tape = Tape::default();
    let (mut frames, mut trades, mut snapshots, mut repeated) = (0, 0, 0, 0);
    for ((_, symbol, text), at) in all.iter().zip(1..) {
        let outcome = match symbol {
            Some(symbol) => {
                let found = (0..).zip(&instruments).find(|(_, found)| found.symbol == **symbol);
                session.on_snapshot(Nanos(at), found.expect("an instrument").0, text.as_bytes(), &mut tape)
            }
            None => session.on_frame(Nanos(at), text.as_bytes(), &mut tape),
        };
        match outcome.expect("a text that can be read") {
            Outcome::Snapshot => snapshots += 1,
            Outcome::Trade => trades += 1,
            Outcome::Depth | Outcome::Held => frames += 1,
            // The snapshot is fresher than what was still on its way.
            Outcome::Repeated => repeated += 1,
            outcome => assert_eq!(outcome, Outcome::Other),
        }
    }
    assert_eq!((frames + repeated, trades, snapshots), (257 + 253 + 207, 10, 10));
    assert!(session.gaps().is_empty());
    let counts: Vec<_> = session.instruments().map(|at| session.counts(at)).collect();
    assert!(counts.iter().all(|counts| counts.verified == 0), "nothing proves a change");
}

#[test]
fn todays_changes_join_todays_snapshot() {
    let (socket, body) = (
        data("current-frames/bitstamp_diff.jsonl").unwrap_or_default(),
        data("current-frames/bitstamp_snapshot.json").unwrap_or_default(),
    );
    if socket.is_empty() {
        return;
    }
    let mut found = describe("btcusd").expect("a pair");
    (found.price_unit, found.size_unit) = (Unit::decimals(2), Unit::decimals(8));
    let (mut session, mut tape) = (Session::new(&PROTOCOLS[0], [(0, &found)]), Tape::default());
    session.on_open(Nanos(0));
    for (frame, at) in socket.lines().zip(1..) {
        session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("a frame");
    }
    assert!(session.commands().any(|command| matches!(command, Command::FetchSnapshot { instrument: 0 })));
    let outcome = session.on_snapshot(Nanos(99), 0, body.as_bytes(), &mut tape).expect("a snapshot");
    let counts = session.counts(0);
    assert_eq!((counts.held, outcome, counts.verified), (11, Outcome::Snapshot, 0));
}

#[test]
fn the_chain_of_orders_of_the_capture_is_unbroken_and_a_hole_shows() {
    let socket = data("current-frames/bitstamp_live_orders.jsonl").unwrap_or_default();
    let body = data("current-frames/bitstamp_snapshot_l3.json").unwrap_or_default();
    if socket.is_empty() {
        return;
    }
    let mut found = describe("btcusd").expect("a pair");
    (found.price_unit, found.size_unit) = (Unit::decimals(2), Unit::decimals(8));
    let play = |hole: Option<usize>, snapshot: &str, after: usize| {
        let (mut session, mut tape) = (Session::new(&PROTOCOLS[1], [(0, &found)]), Tape::default());
        let mut outcomes = std::collections::BTreeMap::new();
        for (at, frame) in socket.lines().enumerate().filter(|(at, _)| Some(*at) != hole) {
            let now = Nanos(i64::try_from(at).expect("a line"));
            if at == after {
                let joined = session.on_snapshot(now, 0, snapshot.as_bytes(), &mut tape).expect("a snapshot");
                assert_eq!(joined, Outcome::Snapshot);
            }
            let outcome = session.on_frame(now, frame.as_bytes(), &mut tape).expect("a frame");
            *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1;
        }
        let counts = session.counts(0);
        (
            outcomes,
            session.gaps().len(),
            counts.verified,
            tape.view().iter().filter(|e| e.kind == EventKind::Add).count(),
        )
    };
    // The capture's own snapshot is later than all of its changes.
    let (outcomes, gaps, verified, orders) = play(None, &body, 300);
    assert_eq!((outcomes.get("Held"), outcomes.get("Repeated"), gaps, verified), (Some(&299), Some(&201), 0, 0));
    assert_eq!(orders, 240);
    let before = r#"{"microtimestamp":"1787620344639999","bids":[],"asks":[]}"#;
    let (outcomes, gaps, verified, _) = play(None, before, 300);
    assert_eq!((outcomes.get("Held"), outcomes.get("Depth"), gaps, verified), (Some(&299), Some(&201), 0, 500));
    let (outcomes, gaps, ..) = play(Some(400), before, 300);
    assert_eq!((outcomes.get("Gap"), gaps), (Some(&1), 1), "{outcomes:?}");
}

#[test]
fn every_single_message_of_the_collection_is_read() {
    let text = data("raw-messages/raw_messages.jsonl").unwrap_or_default();
    let mut read = 0;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if line["exchange"] != "bitstamp" {
            continue;
        }
        let frame = line["raw"].as_str().expect("a text").as_bytes();
        let mut out = Frame::default();
        let mut dialect = Bitstamp { orders: line["test"] == "l3_event", diffs: false };
        let found = if line["test"] == "l2_snapshot" {
            dialect.read_snapshot(frame, &mut out)
        } else {
            dialect.read(frame, &mut out)
        };
        assert_eq!(found, Ok(()), "{line}");
        read += 1;
        assert!(!out.messages.is_empty(), "{line}");
    }
    assert!(text.is_empty() || read == 5, "{read}");
}

#[test]
fn a_snapshot_older_than_all_that_was_held_is_asked_for_again() {
    let known = describe("btcusd").expect("a name");
    let known = Instrument { price_unit: Unit::decimals(2), size_unit: Unit::decimals(8), ..known };
    let order = ORDER.to_owned();
    for (at, frame) in [(0, CHANGE.to_owned()), (1, order)] {
        let mut session = Session::new(&PROTOCOLS[at], [(0, &known)]);
        let mut tape = Tape::default();
        session.on_open(Nanos(1));
        session.on_frame(Nanos(2), frame.as_bytes(), &mut tape).expect("a change");
        let body = |time: u64| format!(r#"{{"microtimestamp":"{time}","bids":[["99","1","5"]],"asks":[]}}"#);
        // The message before this one is newer than the snapshot: what lies between was never seen.
        let old = if at == 0 { 1_000_000 } else { 1_787_620_344_000_000 };
        let outcome = session.on_snapshot(Nanos(3), 0, body(old).as_bytes(), &mut tape);
        assert_eq!((outcome, session.is_synced(0)), (Ok(Outcome::Held), false), "{frame}");
        session.commands().for_each(drop);
        session.on_time(Nanos(1_000_000_000));
        assert!(session.commands().any(|command| command == Command::FetchSnapshot { instrument: 0 }));
        let outcome = session.on_snapshot(Nanos(4), 0, body(old + 700_000).as_bytes(), &mut tape);
        assert_eq!((outcome, session.is_synced(0)), (Ok(Outcome::Snapshot), true));
    }
}
