use super::*;
use crate::event::Kind as EventKind;
use crate::feed::testing::data;
use crate::feed::{Outcome, Session, message};
use crate::tape::Tape;

fn read(frame: &str) -> Read<Frame> {
    let mut out = Frame::default();
    Deribit::default().read(frame.as_bytes(), &mut out).map(|()| out)
}

fn sole(frame: &str) -> Body {
    let out = read(frame).expect("a frame");
    assert_eq!(out.messages.len(), 1, "{frame}");
    out.messages[0].body.clone()
}

fn book(more: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"book.BTC-PERPETUAL.100ms","data":{{{more}"timestamp":1,"instrument_name":"BTC-PERPETUAL","change_id":7,"bids":[["delete",5.5,3.0]],"asks":[["new",6.0,20.0]]}}}}}}"#
    )
}

#[test]
fn a_change_names_the_one_before_it_and_a_deletion_is_a_size_of_zero() {
    let out = read(&book(r#""type":"change","prev_change_id":5,"#)).expect("a change");
    let link = Link::Chain { previous: 5, last: 7 };
    assert_eq!(out.messages[0].body, Body::Levels { snapshot: false, link, checksum: None, levels: 0..2 });
    assert_eq!((out.channel, out.levels[0].side, out.levels[0].size.digits), (Some(Channel::Book), Side::Bid, 0));
    assert_eq!((out.levels[1].side, out.levels[1].size.digits, out.levels[1].size.exponent), (Side::Ask, 200, -1));
    assert_eq!(out.messages[0].ts_event, Nanos(1_000_000));
}

#[test]
fn books_that_are_whole_are_snapshots_with_or_without_a_type() {
    let link = Link::At(7);
    let whole = Body::Levels { snapshot: true, link, checksum: None, levels: 0..2 };
    assert_eq!(sole(&book(r#""type":"snapshot","#)), whole);
    let grouped = book("").replace("[\"delete\",5.5,3.0]", "[5.5,3.0]").replace("[\"new\",6.0,20.0]", "[6.0,20.0]");
    assert_eq!(sole(&grouped), whole);
}

#[test]
fn keys_may_come_in_any_order_but_not_twice_and_not_never() {
    let data = r#"{"asks":[],"bids":[],"change_id":7,"instrument_name":"A-PERPETUAL","timestamp":1,"prev_change_id":5,"type":"change"}"#;
    let frame = format!(r#"{{"params":{{"data":{data},"channel":"book.A-PERPETUAL.raw"}},"method":"subscription"}}"#);
    assert!(matches!(sole(&frame), Body::Levels { snapshot: false, .. }));
    for field in ["asks", "bids", "change_id", "instrument_name", "timestamp", "prev_change_id"] {
        let without = frame.replace(&format!("\"{field}\""), "\"else\"");
        let fault = read(&without).expect_err(field);
        assert!(matches!(fault.kind, FaultKind::Missing(_)), "{field}: {fault:?}");
        let twice = frame.replace("\"type\":\"change\"", &format!("\"type\":\"change\",\"{field}\":7"));
        assert!(read(&twice).is_err(), "{field}");
    }
    for garbage in ["", "{}", "[]", "x", "{\"method\":\"subscription\",\"params\":{}}", "{\"method\":\"subscription\"}"]
    {
        assert!(read(garbage).is_err(), "{garbage}");
    }
    let cut = &frame[..frame.len() - 40];
    let mut out = Frame::default();
    assert!(Deribit::default().read(cut.as_bytes(), &mut out).is_err());
}

#[test]
fn a_damaged_frame_says_whose_data_is_lost() {
    let frame = book(r#""type":"change","prev_change_id":5,"#).replace("6.0", "6.x");
    let mut out = Frame::default();
    Deribit::default().read(frame.as_bytes(), &mut out).expect_err("damaged");
    let Some(Symbol::At(place)) = out.symbol else { panic!("no symbol") };
    assert_eq!((out.channel, place.of(frame.as_bytes())), (Some(Channel::Book), &b"BTC-PERPETUAL"[..]));
}

#[test]
fn a_trade_is_counted_per_instrument_and_names_its_aggressor() {
    let trade = |seq: u64, direction: &str| {
        format!(
            r#"{{"trade_seq":{seq},"trade_id":"ETH-{seq}","timestamp":9,"tick_direction":1,"price":2000.5,"instrument_name":"ETH-PERPETUAL","direction":"{direction}","amount":15.0}}"#
        )
    };
    let frame = format!(
        r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"trades.ETH-PERPETUAL.100ms","data":[{},{}]}}}}"#,
        trade(3, "buy"),
        trade(4, "sell")
    );
    let out = read(&frame).expect("trades");
    let sides: Vec<_> = out
        .messages
        .iter()
        .map(|message| match message.body {
            Body::Trade { id, side, silent, .. } => (id, side, silent),
            _ => panic!("{message:?}"),
        })
        .collect();
    assert_eq!(sides, [(3, Some(Side::Bid), false), (4, Some(Side::Ask), false)]);
}

const TICKER: &str = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.100ms","data":{"timestamp":5,"stats":{"volume":null},"state":"open","mark_price":29932.79,"mark_iv":120.74,"instrument_name":"BTC-PERPETUAL","index_price":29930.44,"funding_8h":0.00000255,"current_funding":1.5e-7,"best_bid_price":29930.5,"best_bid_amount":10.0,"best_ask_price":null,"best_ask_amount":null}}}"#;

#[test]
fn a_ticker_brings_the_quote_and_the_mark_with_volatility_as_a_ratio() {
    let out = read(TICKER).expect("a ticker");
    let Body::Quote { bid: Some(bid), ask: Some(ask), .. } = &out.messages[0].body else { panic!("no quote") };
    assert_eq!((bid.0.digits, bid.1.digits, ask.1), (299_305, 100, Decimal::ZERO), "no offers: an empty side");
    let Body::Mark { mark, index, iv, funding } = out.messages[1].body else { panic!("no mark") };
    let number = |decimal: Option<Decimal>| decimal.map(|decimal| (decimal.digits, decimal.exponent));
    assert_eq!((number(mark), number(index)), (Some((2_993_279, -2)), Some((2_993_044, -2))));
    assert_eq!((number(iv), funding.map(|(rate, due)| (rate.digits, due))), (Some((12_074, -4)), Some((15, Nanos(0)))));
}

#[test]
fn quotes_of_their_own_channel_silence_those_of_the_ticker() {
    let quote = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":{"timestamp":1,"instrument_name":"BTC-PERPETUAL","best_bid_price":1.0,"best_bid_amount":2.0,"best_ask_price":2.0,"best_ask_amount":3.0}}}"#;
    let (mut dialect, mut out) = (Deribit::default(), Frame::default());
    dialect.read(quote.as_bytes(), &mut out).expect("a quote");
    assert!(matches!(out.messages[0].body, Body::Quote { .. }));
    out.clear();
    dialect.read(TICKER.as_bytes(), &mut out).expect("a ticker");
    assert!(matches!(out.messages[..], [message::Message { body: Body::Mark { .. }, .. }]), "{:?}", out.messages);
    dialect.reset();
    out.clear();
    dialect.read(TICKER.as_bytes(), &mut out).expect("a ticker");
    assert_eq!(out.messages.len(), 2);
    let without = quote.replace("best_ask_price", "other");
    assert!(read(&without).is_err(), "a quote always has both sides");
}

#[test]
fn a_test_request_is_answered_and_other_heartbeats_are_not() {
    let frame = |kind: &str| format!(r#"{{"params":{{"type":"{kind}"}},"method":"heartbeat","jsonrpc":"2.0"}}"#);
    let out = read(&frame("test_request")).expect("a heartbeat");
    assert_eq!(out.messages[0].body, Body::Heartbeat);
    let answer: serde_json::Value = serde_json::from_str(&out.answers[0]).expect("JSON");
    assert_eq!(answer["method"], "public/test");
    assert!(read(&frame("heartbeat")).expect("a heartbeat").answers.is_empty());
}

#[test]
fn refusals_and_acknowledgements_are_told_apart() {
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"message":"Invalid params","data":{"reason":"x"},"code":-32602}}"#;
    let Body::Refused(what) = sole(error) else { panic!("not refused") };
    assert_eq!(what.of(error.as_bytes()), b"Invalid params");
    let stands = r#"{"jsonrpc":"2.0","id":1,"result":["book.A-PERPETUAL.100ms","quote.A-PERPETUAL"],"usIn":1}"#;
    assert_eq!(read(stands).expect("an answer").messages.len(), 2);
    assert!(matches!(sole(r#"{"jsonrpc":"2.0","id":1,"result":[]}"#), Body::Refused(_)), "no channel of that name");
    assert!(read(r#"{"jsonrpc":"2.0","id":1,"result":"ok"}"#).expect("an answer").messages.is_empty());
    let candle = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"chart.trades.BTC-PERPETUAL.1","data":{"volume":1.0}}}"#;
    assert!(read(candle).expect("a candle").messages.is_empty());
}

#[test]
fn subscriptions_ask_for_heartbeats_once_and_name_channels_as_documented() {
    let mut dialect = Deribit::default();
    let mut out = Vec::new();
    dialect.subscribe(true, &["BTC-PERPETUAL"], &Channel::ALL, 0, &mut out);
    dialect.subscribe(false, &["BTC-PERPETUAL"], &[Channel::Book], 0, &mut out);
    let sent: Vec<serde_json::Value> = out.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let methods: Vec<_> = sent.iter().map(|sent| sent["method"].as_str().expect("a method")).collect();
    assert_eq!(methods, ["public/set_heartbeat", "public/subscribe", "public/unsubscribe"]);
    assert_eq!(
        sent[1]["params"]["channels"],
        serde_json::json!([
            "book.BTC-PERPETUAL.100ms",
            "trades.BTC-PERPETUAL.100ms",
            "quote.BTC-PERPETUAL",
            "ticker.BTC-PERPETUAL.100ms"
        ])
    );
}

#[test]
fn names_say_what_an_instrument_is() {
    for (symbol, unified, contract, settle) in [
        ("BTC-PERPETUAL", "BTC-USD-PERP", Contract::Inverse, "BTC"),
        ("BTC_USDC-PERPETUAL", "BTC-USDC-PERP", Contract::Linear, "USDC"),
        ("BTC-25JUN21", "BTC-USD-210625", Contract::Inverse, "BTC"),
        ("BTC-24SEP21-8000-P", "BTC-USD-210924-8000-P", Contract::Option, "BTC"),
        ("BTC-2JAN26-90000-C", "BTC-USD-260102-90000-C", Contract::Option, "BTC"),
        ("XRP_USDC-30JUN23-0d625-C", "XRP-USDC-230630-0.625-C", Contract::Option, "USDC"),
        ("BTC_USDC", "BTC-USDC", Contract::Spot, "USDC"),
    ] {
        let found = describe(symbol).expect(symbol);
        assert_eq!((found.unified().as_str(), found.contract, found.settle.as_str()), (unified, contract, settle));
    }
    for symbol in ["", "BTC", "BTC-FS-31DEC21_PERP", "BTC-CS-24SEP21-8000_9000", "BTC-31XXX21", "BTC-24SEP21-8000", "-"]
    {
        assert_eq!(describe(symbol), None, "{symbol}");
    }
}

fn frames(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with("wss"))
        .filter_map(|line| line.split_once(": ").map(|(_, frame)| frame))
}

#[test]
fn every_frame_of_the_capture_is_read_and_every_chain_holds() {
    let text = data("cryptofeed/DERIBIT.ws.1.0.gz").unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let mut survey = crate::feed::Survey::new(&PROTOCOLS[0]);
    frames(&text).for_each(|frame| survey.observe(frame.as_bytes()));
    let instruments = survey.instruments();
    assert_eq!(instruments.len(), 10);
    let mut session = Session::new(&PROTOCOLS[0], (0..).zip(&instruments));
    let mut tape = Tape::default();
    let mut outcomes = std::collections::BTreeMap::new();
    for (frame, at) in frames(&text).zip(1..) {
        let outcome = session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("a frame that can be read");
        *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1;
    }
    let expected = [("Depth", 36), ("Mark", 89), ("Other", 1), ("Snapshot", 10)];
    assert_eq!(outcomes.iter().map(|(name, count)| (name.as_str(), *count)).collect::<Vec<_>>(), expected);
    assert!(session.gaps().is_empty());
    let verified: u64 = session.instruments().map(|at| session.counts(at).verified).sum();
    assert_eq!(verified, 36, "snapshots cannot be verified, changes can");
    let marks = tape.view().iter().filter(|event| event.kind == EventKind::MarkIv).count();
    assert_eq!(marks, 89);
}

#[test]
fn a_change_that_is_missing_from_the_capture_is_a_gap() {
    let text = data("cryptofeed/DERIBIT.ws.1.0.gz").unwrap_or_default();
    let instrument = |symbol: &str| {
        let mut found = describe(symbol).expect("an option");
        (found.price_unit, found.size_unit) = (Unit::decimals(4), Unit::decimals(1));
        found
    };
    let symbol = "BTC-24SEP21-34000-P";
    let own = |line: &&str| line.contains("book.") && line.contains(&format!("\"instrument_name\":\"{symbol}\""));
    let lines: Vec<&str> = frames(&text).filter(own).collect();
    if lines.len() < 4 {
        return;
    }
    let option = instrument(symbol);
    let mut session = Session::new(&PROTOCOLS[0], [(0, &option)]);
    let mut tape = Tape::default();
    let outcomes: Vec<_> = lines
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != 2)
        .map(|(_, line)| session.on_frame(Nanos(1), line.as_bytes(), &mut tape).expect("a frame"))
        .collect();
    assert_eq!(outcomes[..3], [Outcome::Snapshot, Outcome::Depth, Outcome::Gap]);
}

#[test]
fn the_listings_of_the_capture_are_understood() {
    let text = data("cryptofeed/DERIBIT.0.gz").unwrap_or_default();
    let bodies =
        text.lines().filter(|line| line.starts_with("http")).filter_map(|line| line.split_once(": ").map(|l| l.1));
    let found: Vec<Instrument> = bodies.flat_map(|body| list(body.as_bytes()).expect("a listing")).collect();
    if text.is_empty() {
        return;
    }
    let listed = text.matches("\"instrument_name\"").count();
    assert_eq!(found.len(), listed, "every instrument but combinations, of which there are none here");
    let perpetual = found.iter().find(|found| found.symbol == "BTC-PERPETUAL").expect("a perpetual");
    assert_eq!((perpetual.tick, perpetual.lot), (Unit::parse("0.5").ok(), Unit::parse("10").ok()));
    assert_eq!((perpetual.price_unit, perpetual.size_unit), (Unit::decimals(2), Unit::decimals(2)));
}

#[test]
fn every_single_message_of_the_collection_is_read() {
    let text = data("raw-messages/raw_messages.jsonl").unwrap_or_default();
    let mut read = 0;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if line["exchange"] != "deribit" {
            continue;
        }
        let frame = line["raw"].as_str().expect("a text").as_bytes();
        let mut out = Frame::default();
        let mut dialect = Deribit::default();
        assert_eq!(dialect.read(frame, &mut out), Ok(()), "{line}");
        read += 1;
        let silent = ["candlestick", "l2_snapshot", "open_interest"].iter().any(|group| line["group"] == *group);
        assert!(silent || !out.messages.is_empty(), "{line}");
    }
    assert!(text.is_empty() || read == 26, "{read}");
}
