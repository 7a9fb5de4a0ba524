use super::*;
use crate::book::PriceBook;
use crate::feed::checksum::Checksum;
use crate::feed::testing::data;
use crate::feed::{Cause, Outcome, Session, Survey};
use crate::tape::Tape;
use crate::units::{Price, Size};

/// A dialect that knows these channels: 1 book, 2 trades, 3 raw book, 4 best level, 5 ticker, 6 status.
fn dialect() -> Bitfinex {
    let mut dialect = Bitfinex::default();
    for (id, more) in [
        (1, r#""channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250""#),
        (2, r#""channel":"trades","symbol":"tBTCUSD""#),
        (3, r#""channel":"book","symbol":"tBTCUSD","prec":"R0","len":"250""#),
        (4, r#""channel":"book","symbol":"tBTCUSD","prec":"P0","len":"1""#),
        (5, r#""channel":"ticker","symbol":"tBTCUSD""#),
        (6, r#""channel":"status","key":"deriv:tBTCF0:USTF0""#),
        (7, r#""channel":"trades","symbol":"fUSD""#),
    ] {
        let frame = format!(r#"{{"event":"subscribed","chanId":{id},{more},"pair":"x"}}"#);
        let mut out = Frame::default();
        dialect.read(frame.as_bytes(), &mut out).expect("an acknowledgement");
        assert_eq!(out.messages[0].body, Body::Subscribed);
    }
    dialect
}

fn read(frame: &str) -> Read<Frame> {
    let mut out = Frame::default();
    dialect().read(frame.as_bytes(), &mut out).map(|()| out)
}

fn sole(frame: &str) -> Body {
    let out = read(frame).expect("a frame");
    assert_eq!(out.messages.len(), 1, "{frame}");
    out.messages[0].body.clone()
}

#[test]
fn levels_take_their_side_from_the_sign_and_go_when_nothing_is_counted() {
    let out = read("[1,[[100.5,2,0.5],[101,1,-7e-7],[99,0,1]],17,1618677543960]").expect("a snapshot");
    assert!(matches!(out.messages[0].body, Body::Levels { snapshot: true, link: Link::None, .. }));
    assert_eq!((out.counter, out.messages[0].ts_event), (Some(17), Nanos(1_618_677_543_960_000_000)));
    let levels: Vec<_> = out.levels.iter().map(|level| (level.side, level.size.digits, level.size.exponent)).collect();
    assert_eq!(levels, [(Side::Bid, 5, -1), (Side::Ask, 7, -7), (Side::Bid, 0, 0)]);
    assert!(out.levels.iter().all(|level| !level.size.negative));
    let out = read("[1,[101,0,-1],18]").expect("a change");
    assert!(matches!(out.messages[0].body, Body::Levels { snapshot: false, .. }));
    assert_eq!((out.levels[0].side, out.levels[0].size.is_zero(), out.counter), (Side::Ask, true, Some(18)));
    assert_eq!(out.messages[0].ts_event, Nanos::UNKNOWN, "this connection has no timestamps");
    assert!(matches!(sole("[1,[],3]"), Body::Levels { snapshot: true, .. }), "an empty book");
}

#[test]
fn the_sequence_is_told_from_the_time_whatever_flags_are_set() {
    assert_eq!(read("[1,\"hb\"]").expect("a heartbeat").counter, None);
    assert_eq!(read("[1,\"hb\",5]").expect("a heartbeat").counter, Some(5));
    assert_eq!(read("[1,\"hb\",1618677543960]").expect("a heartbeat").counter, None);
    assert_eq!(read("[1,\"hb\",5,1618677543960]").expect("a heartbeat").counter, Some(5));
    assert_eq!(read("[99,\"hb\",6]").expect("a heartbeat before its acknowledgement").counter, Some(6));
    assert!(read("[1,\"hb\",5,6]").is_err(), "two sequences");
    assert!(read("[99,[1,1,1],6]").is_err(), "nobody subscribed this");
}

#[test]
fn orders_of_a_raw_book_leave_with_a_price_of_zero() {
    let out = read("[3,[[11,100,0.5],[12,101,-1]],1]").expect("a snapshot");
    assert!(matches!(out.messages[0].body, Body::Orders { snapshot: true, .. }));
    assert_eq!((out.orders[1].id, out.orders[1].side, out.orders[1].change), (12, Some(Side::Ask), Change::Add));
    let out = read("[3,[11,0,1],2]").expect("a change");
    assert_eq!((out.orders[0].change, out.orders[0].price), (Change::Cancel, None));
}

#[test]
fn trades_count_once_and_those_before_the_subscription_are_silent() {
    let Body::Trade { id, side, silent, size, .. } = sole("[2,\"te\",[637,1615232733897,-0.115,51350],9]") else {
        panic!("no trade")
    };
    assert_eq!((id, side, silent, size.negative), (637, Some(Side::Ask), false, false));
    assert!(read("[2,\"tu\",[637,1615232733897,-0.115,51350],10]").expect("again").messages.is_empty());
    let out = read("[2,[[2,1615232733897,1,5],[1,1615232733896,-1,5]],3]").expect("history");
    assert!(out.messages.iter().all(|message| matches!(message.body, Body::Trade { silent: true, .. })));
    assert_eq!(out.messages.len(), 2);
    assert!(read("[7,[[2,1615232733897,1,5,30]],3]").expect("lending").messages.is_empty());
    assert!(read("[7,\"fte\",[2,1615232733897,1,5,30],3]").expect("lending").messages.is_empty());
}

#[test]
fn a_quote_comes_from_a_book_of_one_level_and_not_from_a_ticker() {
    let Body::Quote { bid: Some(bid), ask: Some(ask), .. } = sole("[4,[[100,1,0.5],[101,1,-2]],1]") else {
        panic!("no quote")
    };
    assert_eq!((bid.0.digits, bid.1.digits, ask.0.digits, ask.1.digits), (100, 5, 101, 2));
    assert!(matches!(sole("[4,[100.5,1,3],2]"), Body::Quote { bid: Some(_), ask: None, .. }));
    assert!(read("[4,[100,0,1],3]").expect("what was best leaves").messages.is_empty());
    let ticker = read("[5,[100,19203.444049780002,101,2,-4,-0.1,100,5,110,90],4]").expect("a ticker");
    assert_eq!((ticker.messages.len(), ticker.counter), (0, Some(4)));
}

#[test]
fn a_derivative_has_mark_index_and_funding() {
    let frame = "[6,[1596124822000,null,0.896,0.771,null,1396531.6,null,1596153600000,0.0001,0,null,0.0003,null,null,0.8969,null,null,2.1],8]";
    let Body::Mark { mark, index, iv: None, funding: Some((rate, due)) } = sole(frame) else { panic!("no mark") };
    assert_eq!((mark.map(|mark| mark.digits), index.map(|index| index.digits)), (Some(8_969), Some(771)));
    assert_eq!((rate.digits, due), (3, Nanos(1_596_153_600_000_000_000)));
}

#[test]
fn a_checksum_is_32_bits_signed_or_not() {
    assert_eq!(sole("[1,\"cs\",-1,5,1618677543960]"), Body::Checksum(u32::MAX));
    assert_eq!(sole("[1,\"cs\",30026640,5]"), Body::Checksum(30_026_640));
    assert!(read("[4,\"cs\",30026640,5]").expect("of one level").messages.is_empty());
    assert!(read("[1,\"cs\",99999999999,5]").is_err());
}

#[test]
fn events_of_the_connection_are_told_apart() {
    assert_eq!(sole(r#"{"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}"#), Body::Reconnect);
    assert_eq!(sole(r#"{"event":"info","code":20061,"msg":"Resume"}"#), Body::Reconnect);
    assert!(read(r#"{"event":"info","code":20060,"msg":"Pause"}"#).expect("a notice").messages.is_empty());
    let greeting = r#"{"event":"info","version":2,"serverId":"x","platform":{"status":1}}"#;
    assert!(read(greeting).expect("a greeting").messages.is_empty());
    assert!(read(r#"{"event":"conf","status":"OK","flags":229376}"#).expect("flags").messages.is_empty());
    assert_eq!(sole(r#"{"event":"pong","ts":1511545528111,"cid":1234}"#), Body::Heartbeat);
    let error =
        r#"{"channel":"book","symbol":"tXYZUSD","event":"error","msg":"symbol: invalid","code":10300,"pair":"XYZUSD"}"#;
    let out = read(error).expect("an error");
    let Body::Refused(what) = out.messages[0].body else { panic!("not refused") };
    assert_eq!(what.of(error.as_bytes()), b"symbol: invalid");
    let Symbol::At(symbol) = out.messages[0].symbol else { panic!("no symbol") };
    assert_eq!(symbol.of(error.as_bytes()), b"tXYZUSD");
    let again = r#"{"event":"error","channel":"book","symbol":"tBTCUSD","msg":"subscribe: dup","code":10301}"#;
    assert!(read(again).expect("an error").messages.is_empty(), "the subscription stands");
    for garbage in
        ["", "x", "[", "[]", "[1]", "[1,]", "{}", "[1,[1,2],3]", "[1,[1,-2,3],3]", "{\"event\":\"subscribed\"}"]
    {
        assert!(read(garbage).is_err(), "{garbage}");
    }
}

#[test]
fn a_channel_may_be_written_out_in_place_of_its_number() {
    let frame = r#"[{"symbol":"tBTCUST","channel":"trades"},"te",[637771130,1615232733897,0.11546588,51350]]"#;
    let out = read(frame).expect("a trade");
    let Symbol::At(symbol) = out.messages[0].symbol else { panic!("no symbol") };
    assert_eq!(symbol.of(frame.as_bytes()), b"tBTCUST");
    let candles = r#"[{"channel":"candles","key":"trade:1m:tBTCUST"},[1654075080000,31619,31619,31619,31619,0.008]]"#;
    assert!(read(candles).expect("a candle").messages.is_empty());
    let raw = r#"[{"len":"250","symbol":"tBTCUST","channel":"book","prec":"R0"},[[9,31534,0.0285]]]"#;
    assert!(matches!(sole(raw), Body::Orders { snapshot: true, .. }));
}

#[test]
fn subscriptions_set_the_flags_once_and_are_given_up_by_number() {
    let mut dialect = dialect();
    let mut sent = Vec::new();
    dialect.subscribe(true, &["tBTCUSD", "tBTCF0:USTF0"], &Channel::ALL, 0, &mut sent);
    dialect.subscribe(true, &["tETHUSD"], &[Channel::Book], 10, &mut sent);
    let json: Vec<serde_json::Value> = sent.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    assert_eq!(json[0], serde_json::json!({"event": "conf", "flags": 229_376}));
    assert_eq!(json.iter().filter(|sent| sent["event"] == "conf").count(), 1);
    assert_eq!(json[1]["len"], "250");
    assert_eq!(json.last().map(|sent| sent["len"].clone()), Some(serde_json::json!("25")));
    let marks: Vec<_> = json.iter().filter(|sent| sent["channel"] == "status").collect();
    assert_eq!((marks.len(), marks[0]["key"].as_str()), (1, Some("deriv:tBTCF0:USTF0")));
    sent.clear();
    dialect.subscribe(false, &["tBTCUSD"], &[Channel::Trades], 0, &mut sent);
    assert_eq!(sent, [r#"{"event":"unsubscribe","chanId":2}"#]);
    let mut out = Frame::default();
    dialect.read(b"[2,\"te\",[637,1615232733897,-0.115,51350],9]", &mut out).expect("on its way");
    assert_eq!((out.messages.len(), out.counter), (0, Some(9)), "not wanted any more, but counted");
    dialect.read(br#"{"event":"unsubscribed","status":"OK","chanId":2}"#, &mut out).expect("given up");
    assert_eq!(dialect.known(2), None);
    let known = dialect.names.len();
    dialect.reset();
    assert_eq!((dialect.open.len(), dialect.names.len()), (0, known));
}

#[test]
fn names_say_what_an_instrument_is() {
    for (symbol, unified, contract) in [
        ("tBTCUSD", "BTC-USD", Contract::Spot),
        ("tBTCUST", "BTC-USDT", Contract::Spot),
        ("tAVAX:USD", "AVAX-USD", Contract::Spot),
        ("tTESTBTC:TESTUSD", "TESTBTC-TESTUSD", Contract::Spot),
        ("tBTCF0:USTF0", "BTC-USDT-PERP", Contract::Linear),
    ] {
        let found = describe(symbol).expect(symbol);
        assert_eq!((found.unified().as_str(), found.contract), (unified, contract));
    }
    for symbol in ["", "t", "fUSD", "BTCUSD", "tBTC", "tbtcusd", "t:USD"] {
        assert_eq!(describe(symbol), None, "{symbol}");
    }
}

#[test]
fn the_checksums_of_the_venues_own_tests_match() {
    let text = data("../vectors/checksums.json").unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let own = |vector: &&serde_json::Value| vector["venue"].as_str().is_some_and(|venue| venue.starts_with("bitfinex"));
    let (price, size) = (Unit::decimals(10), Unit::decimals(8));
    let rule = PROTOCOLS[0].checksum.expect("a rule");
    let mut seen = 0;
    for vector in vectors.iter().filter(own) {
        let mut book = PriceBook::new();
        let parts: Vec<&str> = vector["string"].as_str().expect("a text").split(':').collect();
        for pair in parts.chunks(2) {
            let at = price.parse_count(pair[0].as_bytes()).expect("a price");
            let amount = size.parse_count(pair[1].as_bytes()).expect("an amount");
            let side = if amount < 0 { Side::Ask } else { Side::Bid };
            book.update(side, Price(at), Size(amount.abs()));
        }
        let expected = vector["crc32_signed"].as_i64().and_then(|crc| i32::try_from(crc).ok()).expect("32 bits");
        let found = Checksum::new(rule, price, size).of(&book);
        assert_eq!(i32::from_ne_bytes(found.to_ne_bytes()), expected, "{}", vector["venue"]);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn spot() -> Instrument {
    let mut found = describe("tBTCUSD").expect("a pair");
    (found.price_unit, found.size_unit) = (Unit::decimals(1), Unit::decimals(8));
    found
}

const ACKNOWLEDGED: &str =
    r#"{"event":"subscribed","channel":"book","chanId":1,"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250"}"#;

#[test]
fn a_book_is_proved_by_its_checksum_and_lost_where_it_fails() {
    let instrument = spot();
    let crc = |text: &[u8]| i32::from_ne_bytes(crc32fast::hash(text).to_ne_bytes());
    let right = format!("[1,\"cs\",{},3]", crc(b"100.5:0.5:101:-7e-7"));
    let (mut session, mut tape) = (Session::new(&PROTOCOLS[0], [(0, &instrument)]), Tape::default());
    let mut play = |frame: &str| session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a frame");
    play(ACKNOWLEDGED);
    assert_eq!(play("[1,[[100.5,1,0.5],[102,1,-1]],1]"), Outcome::Snapshot);
    assert_eq!(play("[1,[102,0,-1],2]"), Outcome::Depth);
    play("[1,[101,1,-7e-7],3]");
    play(&right.replace(",3]", ",4]"));
    assert_eq!(play("[1,[101,1,-8e-7],5]"), Outcome::Depth);
    assert_eq!(play(&right.replace(",3]", ",6]")), Outcome::Gap);
    assert_eq!((session.counts(0).checksums, session.counts(0).checksum_failures), (1, 1));
    assert_eq!(session.gaps()[0].cause, Cause::Checksum);
}

#[test]
fn a_hole_in_the_count_of_the_connection_is_a_gap() {
    let instrument = spot();
    let (mut session, mut tape) = (Session::new(&PROTOCOLS[0], [(0, &instrument)]), Tape::default());
    let mut play = |frame: &str| session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a frame");
    play(ACKNOWLEDGED);
    assert_eq!(play("[1,[[100.5,1,0.5],[102,1,-1]],1]"), Outcome::Snapshot);
    play("[77,\"hb\",2]");
    assert_eq!(play("[1,[102,0,-1],3]"), Outcome::Depth);
    assert_eq!(play("[1,[102,0,-1],3]"), Outcome::Repeated);
    play("[1,\"hb\",5]");
    assert!(!session.is_synced(0));
    let gap = session.gaps()[0];
    assert_eq!((gap.cause, gap.first, gap.last), (Cause::Sequence, 4, 4));
}

fn frames(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with("wss"))
        .filter_map(|line| line.split_once(": ").map(|(_, frame)| frame))
}

#[test]
fn every_frame_of_the_capture_is_read_and_counted_without_a_hole() {
    let text = data("cryptofeed/BITFINEX.ws.11.0.gz").unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let mut survey = Survey::new(&PROTOCOLS[0]);
    frames(&text).for_each(|frame| survey.observe(frame.as_bytes()));
    let instruments = survey.instruments();
    assert_eq!(instruments.len(), 7);
    let mut session = Session::new(&PROTOCOLS[0], (0..).zip(&instruments));
    let mut tape = Tape::default();
    let mut outcomes = std::collections::BTreeMap::new();
    for (frame, at) in frames(&text).zip(1..) {
        let outcome = session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("a frame that can be read");
        *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1;
    }
    // Heartbeats, tickers, old trades, acknowledgements.
    let expected = [("Depth", 1_593), ("Other", 42 + 21 + 7 + 23), ("Snapshot", 7)];
    assert_eq!(outcomes.iter().map(|(name, count)| (name.as_str(), *count)).collect::<Vec<_>>(), expected);
    assert!(session.gaps().is_empty());
    for at in session.instruments() {
        let book = session.book(at).expect("a book");
        assert!(!book.quote().is_crossed());
        for side in [Side::Bid, Side::Ask] {
            assert!(book.levels(side).count() <= 100, "the venue takes back what leaves the depth");
        }
    }
}

#[test]
fn the_listings_of_the_capture_are_understood() {
    let text = data("cryptofeed/BITFINEX.0.gz").unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let lines = text.lines().filter(|line| line.contains("pub:list:pair")).filter_map(|line| line.split_once(": "));
    let found: Vec<Instrument> = lines.flat_map(|(_, body)| list(body.as_bytes()).expect("a listing")).collect();
    let perpetual = found.iter().find(|found| found.symbol == "tBTCF0:USTF0").expect("a perpetual");
    assert_eq!((perpetual.contract, perpetual.unified().as_str()), (Contract::Linear, "BTC-USDT-PERP"));
    assert!(found.iter().any(|found| found.symbol == "tBTCUSD"));
    assert!(found.len() > 250, "{}", found.len());
}

#[test]
fn every_single_message_of_the_collection_is_read() {
    let text = data("raw-messages/raw_messages.jsonl").unwrap_or_default();
    let mut read = 0;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if line["exchange"] != "bitfinex" {
            continue;
        }
        let frame = line["raw"].as_str().expect("a text").as_bytes();
        let mut out = Frame::default();
        let mut dialect = Bitfinex::default();
        let found = if line["group"] == "l2_snapshot" {
            dialect.read_snapshot(frame, &mut out)
        } else {
            dialect.read(frame, &mut out)
        };
        assert_eq!(found, Ok(()), "{line}");
        read += 1;
        let silent = line["group"] == "candlestick"
            || line["group"] == "ticker"
            || line["test"].as_str().is_some_and(|test| test.ends_with("_tu"));
        assert!(silent || !out.messages.is_empty(), "{line}");
    }
    assert!(text.is_empty() || read == 22, "{read}");
}

#[test]
fn a_replay_without_a_clock_gives_what_the_live_session_gave() {
    let known = Instrument { price_unit: Unit::decimals(1), ..describe("tBTCUSD").expect("a name") };
    let known = Instrument { size_unit: Unit::decimals(8), ..known };
    let opened = |id: u64| {
        format!(
            r#"{{"event":"subscribed","channel":"book","chanId":{id},"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250"}}"#
        )
    };
    let frames = [
        (1, opened(1)),
        (2, "[1,[[100,1,1],[101,1,-1]],1,1700000000000]".to_owned()),
        (3, "[1,[100.1,1,1],3,1700000000000]".to_owned()),
        (4, opened(2)),
        (5, r#"[2,"hb",4,1700000000000]"#.to_owned()),
        (16, "[2,[[100,1,1],[101,1,-1]],5,1700000000000]".to_owned()),
        (17, "[2,[100.3,1,1],6,1700000000000]".to_owned()),
    ];
    let play = |live: bool| {
        let mut session = Session::with(&PROTOCOLS[0], [(0, &known)], &[Channel::Book], 0);
        let mut tape = Tape::default();
        session.on_open(Nanos(0));
        let mut before = 0;
        for (at, frame) in &frames {
            for second in before..*at {
                if live {
                    session.on_time(Nanos(second * 1_000_000_000));
                }
            }
            before = *at;
            session.on_frame(Nanos(at * 1_000_000_000), frame.as_bytes(), &mut tape).expect("a frame");
        }
        (tape.kind, tape.price, session.is_synced(0))
    };
    assert_eq!(play(true), play(false));
}

#[test]
fn frames_without_numbers_prove_nothing() {
    let known = Instrument { price_unit: Unit::decimals(1), ..describe("tBTCUSD").expect("a name") };
    let mut session = Session::new(&PROTOCOLS[0], [(0, &Instrument { size_unit: Unit::decimals(8), ..known })]);
    let mut tape = Tape::default();
    let opened = r#"{"event":"subscribed","channel":"book","chanId":1,"symbol":"tBTCUSD","prec":"P0","len":"25"}"#;
    for frame in [opened, "[1,[[100,1,1],[101,1,-1]]]", "[1,[100.1,1,1]]"] {
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("a frame");
    }
    assert_eq!((session.counts(0).verified, session.counts(0).unverifiable), (0, 2));
}
