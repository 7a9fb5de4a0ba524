use super::*;
use crate::feed::json::{Fault, FaultKind};
use crate::feed::testing::data;
use crate::feed::{Session, Survey};
use crate::tape::Tape;

fn read(frame: &str) -> Read<Frame> {
    let mut out = Frame::default();
    Hyperliquid::default().read(frame.as_bytes(), &mut out).map(|()| out)
}

fn sole(frame: &str) -> Body {
    let out = read(frame).expect("a frame");
    assert_eq!(out.messages.len(), 1, "{frame}");
    out.messages[0].body.clone()
}

const BOOK: &str = r#"{"channel":"l2Book","data":{"coin":"BTC","time":1700000000123,"levels":[[{"px":"98450.5","sz":"2.5","n":3}],[{"n":1,"px":"98451.0","sz":"1"},{"px":"98452.0","sz":"4","n":1}]],"fast":true}}"#;

#[test]
fn every_book_is_whole_and_bids_come_first() {
    let out = read(BOOK).expect("a book");
    let link = Link::At(1_700_000_000_123);
    assert_eq!(out.messages[0].body, Body::Levels { snapshot: true, link, checksum: None, levels: 0..3 });
    let sides: Vec<_> = out.levels.iter().map(|level| level.side).collect();
    assert_eq!(sides, [Side::Bid, Side::Ask, Side::Ask]);
    assert_eq!(out.messages[0].ts_event, Nanos(1_700_000_000_123_000_000));
    let empty = BOOK.replace(r#"{"px":"98450.5","sz":"2.5","n":3}"#, "");
    assert_eq!(read(&empty).expect("a book without bids").levels.len(), 2);
}

#[test]
fn keys_may_come_in_any_order_but_not_twice_and_not_never() {
    let (channel, data) = BOOK[1..BOOK.len() - 1].split_once(",\"data\":").expect("two fields");
    let turned = format!("{{\"data\":{data},{channel}}}");
    assert!(matches!(sole(&turned), Body::Levels { .. }));
    for field in ["channel", "data", "coin", "time", "levels", "px", "sz"] {
        let fault = read(&BOOK.replace(&format!("\"{field}\""), "\"else\"")).expect_err(field);
        assert!(matches!(fault, Fault { kind: FaultKind::Missing(_), .. }), "{field}: {fault:?}");
    }
    let twice = BOOK.replace("\"coin\":\"BTC\"", "\"coin\":\"BTC\",\"coin\":\"ETH\"");
    assert_eq!(read(&twice).expect_err("twice").kind, FaultKind::Twice("coin"));
    assert!(read(&BOOK.replace("\"data\":", "\"data\":{},\"data\":")).is_err());
    for garbage in ["", "{}", "[]", "x", r#"{"channel":"l2Book"}"#, &BOOK[..BOOK.len() - 1], &BOOK.replace("[[", "[")] {
        assert!(read(garbage).is_err(), "{garbage}");
    }
}

fn trades(coin: &str, id: u64) -> String {
    format!(
        r#"{{"channel":"trades","data":[{{"coin":"{coin}","side":"A","px":"105056.0","sz":"0.02","time":1737918847000,"hash":"0x0","tid":{id},"users":["0x1","0x2"]}}]}}"#
    )
}

#[test]
fn the_first_trades_of_a_coin_are_those_before_the_subscription() {
    let mut dialect = Hyperliquid::default();
    let mut silent = |frame: &str| {
        let mut out = Frame::default();
        dialect.read(frame.as_bytes(), &mut out).expect("a trade");
        let Body::Trade { silent, side, .. } = out.messages[0].body else { panic!("no trade") };
        assert_eq!(side, Some(Side::Ask));
        silent
    };
    let heard = [trades("BTC", 1), trades("BTC", 2), trades("ETH", 3), trades("BTC", 4)].map(|frame| silent(&frame));
    assert_eq!(heard, [true, false, true, false]);
    dialect.subscribe(false, &["BTC"], &[Channel::Trades], 0, &mut Vec::new());
    let mut out = Frame::default();
    dialect.read(trades("BTC", 5).as_bytes(), &mut out).expect("a trade");
    assert!(matches!(out.messages[0].body, Body::Trade { silent: true, .. }), "a new subscription tells them again");
    dialect.reset();
    assert!(dialect.begun.is_empty());
}

#[test]
fn a_quote_without_one_side_says_that_it_is_empty() {
    let frame = r#"{"channel":"bbo","data":{"coin":"BTC","time":5,"bbo":[{"px":"1.5","sz":"2","n":1},null]}}"#;
    let Body::Quote { bid: Some(bid), ask: Some(ask), sequence: 0 } = sole(frame) else { panic!("no quote") };
    assert_eq!((bid.0.digits, bid.1.digits, ask.1), (15, 2, Decimal::ZERO));
}

#[test]
fn a_context_brings_mark_oracle_and_funding_without_a_time() {
    let frame = r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"-0.0000125","openInterest":"1.1","prevDayPx":"1","dayNtlVlm":"2","premium":null,"oraclePx":"99.5","markPx":"100.5","midPx":null,"impactPxs":["1","2"]}}}"#;
    let out = read(frame).expect("a context");
    let Body::Mark { mark: Some(mark), index: Some(index), iv: None, funding: Some((rate, _)) } = out.messages[0].body
    else {
        panic!("no mark")
    };
    assert_eq!((mark.digits, index.digits, rate.negative), (1_005, 995, true));
    assert_eq!(out.messages[0].ts_event, Nanos::UNKNOWN);
}

#[test]
fn pongs_errors_and_acknowledgements_are_told_apart() {
    assert_eq!(sole(r#"{"channel":"pong"}"#), Body::Heartbeat);
    assert!(matches!(sole(r#"{"channel":"error","data":"Invalid subscription"}"#), Body::Refused(_)));
    let stands = r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"trades","coin":"BTC"}}}"#;
    let out = read(stands).expect("an acknowledgement");
    assert_eq!((out.messages[0].body.clone(), out.channel), (Body::Subscribed, Some(Channel::Trades)));
    let left = stands.replace("\"subscribe\"", "\"unsubscribe\"");
    assert!(read(&left).expect("an acknowledgement").messages.is_empty());
    assert!(read(r#"{"channel":"candle","data":{"t":1}}"#).expect("a candle").messages.is_empty());
}

#[test]
fn subscriptions_are_as_documented() {
    let mut sent = Vec::new();
    let mut dialect = Hyperliquid::default();
    dialect.subscribe(true, &["BTC"], &Channel::ALL, 0, &mut sent);
    dialect.subscribe(false, &["xyz:GOLD"], &[Channel::Book], 20, &mut sent);
    let subscribe = |what: &str| format!(r#"{{"method":"subscribe","subscription":{{{what}}}}}"#);
    assert_eq!(
        sent,
        [
            subscribe(r#""type":"l2Book","coin":"BTC","fast":true"#),
            subscribe(r#""type":"trades","coin":"BTC""#),
            subscribe(r#""type":"bbo","coin":"BTC""#),
            subscribe(r#""type":"activeAssetCtx","coin":"BTC""#),
            r#"{"method":"unsubscribe","subscription":{"type":"l2Book","coin":"xyz:GOLD"}}"#.to_owned(),
        ]
    );
}

#[test]
fn names_and_the_listing_say_what_an_instrument_is() {
    let unified = |symbol: &str| describe(symbol).map(|found| found.unified());
    assert_eq!(unified("BTC").as_deref(), Some("BTC-USDC-PERP"));
    assert_eq!(unified("xyz:GOLD").as_deref(), Some("GOLD-USDC-PERP"));
    assert_eq!(unified("PURR/USDC").as_deref(), Some("PURR-USDC"));
    assert_eq!((unified("@107"), unified("")), (None, None));
    let body = r#"{"universe":[{"szDecimals":5,"name":"BTC","maxLeverage":40},{"szDecimals":0,"name":"kPEPE","maxLeverage":10},{"szDecimals":1,"name":"OLD","isDelisted":true},{"odd":1}],"marginTables":[]}"#;
    let found = list(body.as_bytes()).expect("a listing");
    let units: Vec<_> = found.iter().map(|found| (found.symbol.as_str(), found.price_unit, found.size_unit)).collect();
    assert_eq!(units, [("BTC", Unit::decimals(1), Unit::decimals(5)), ("kPEPE", Unit::decimals(6), Unit::decimals(0))]);
    assert!(list(b"[]").is_err());
}

#[test]
fn every_frame_of_the_capture_is_read() {
    let text = data("hyperliquid/btcusd.gz").unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let frames = || text.lines().filter_map(|line| line.split_once(' '));
    let mut survey = Survey::new(&PROTOCOLS[0]);
    frames().for_each(|(_, frame)| survey.observe(frame.as_bytes()));
    let instruments = survey.instruments();
    assert_eq!((instruments.len(), instruments[0].symbol.as_str()), (1, "BTC"));
    let (mut session, mut tape) = (Session::new(&PROTOCOLS[0], [(0, &instruments[0])]), Tape::default());
    let mut outcomes = std::collections::BTreeMap::new();
    for (at, frame) in frames() {
        let at = Nanos(at.parse().expect("ns"));
        let outcome = session.on_frame(at, frame.as_bytes(), &mut tape).expect("a frame that can be read");
        *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1;
    }
    assert_eq!(
        outcomes.into_iter().collect::<Vec<_>>(),
        [("Depth".to_owned(), 46), ("Other".to_owned(), 1), ("Trade".to_owned(), 8)]
    );
    assert_eq!(session.counts(0).trades, 34, "without the thirty that came first");
    assert!(session.gaps().is_empty());
}

#[test]
fn a_wrong_time_does_not_silence_a_book() {
    let known = Instrument { price_unit: Unit::decimals(1), ..describe("BTC").expect("a name") };
    let known = Instrument { size_unit: Unit::decimals(5), ..known };
    let mut session = Session::new(&PROTOCOLS[0], [(0, &known)]);
    let mut tape = Tape::default();
    for time in [1_700_000_000_123_u64, 1_900_000_000_123, 1_700_000_000_623, 1_700_000_001_123, 1_700_000_001_623] {
        let frame = BOOK.replace("1700000000123", &time.to_string());
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a book");
    }
    let counts = session.counts(0);
    assert_eq!((counts.depth, counts.repeated, counts.gaps), (3, 2, 1));
    assert!(session.is_synced(0) && session.gaps()[0].ours);
}

#[test]
fn marks_that_a_lost_connection_misses_are_a_gap() {
    let known = Instrument { price_unit: Unit::decimals(1), ..describe("BTC").expect("a name") };
    let mut session = Session::with(&PROTOCOLS[0], [(0, &known)], &[Channel::Marks], 0);
    let mut tape = Tape::default();
    session.on_open(Nanos(1));
    let frame = r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"markPx":"100.0"}}}"#;
    session.on_frame(Nanos(2), frame.as_bytes(), &mut tape).expect("a mark");
    session.on_close(Nanos(3), &mut tape);
    assert_eq!((session.counts(0).marks, session.gaps().len()), (1, 1));
}
