use serde_json::Value;

use super::*;
use crate::feed::json::FaultKind;
use crate::feed::message::Message;

use crate::feed::testing::lines::{kind, kinds, lines, play, raw, read, texts};

fn protocol(name: &str) -> &'static Protocol {
    Protocol::named(name).expect("registered")
}

fn bodies(name: &str, frame: &str) -> Vec<&'static str> {
    let (frame, _) = read(protocol(name), frame).expect("reads");
    frame.messages.iter().map(|Message { body, .. }| kind(body)).collect()
}

#[test]
fn the_capture_of_2021_is_read_whole_and_its_ids_are_unbroken() {
    let (Some(frames), Some(answers), Some(listing)) =
        (lines("GATEIO.ws.1.0"), lines("GATEIO.http.0.0"), lines("GATEIO.0"))
    else {
        return;
    };
    let v1 = protocol("gate-v1");
    assert_eq!(frames.len(), 239);
    let found = kinds(v1, &frames);
    let count = |kind| found.get(kind).copied().unwrap_or(0);
    assert_eq!((count("levels"), count("trade"), count("subscribed")), (172, 9, 22));
    assert_eq!(count("none"), 36, "22 spot tickers and 14 candles");
    assert_eq!(answers.len(), 10);
    assert_eq!(kinds(v1, &answers).get("snapshot"), Some(&10));

    let listed = (v1.list)(&listing[0].body).expect("a listing");
    assert_eq!(listed.len(), 1458);
    let symbol = |url: &str| {
        let rest = url.split("currency_pair=").nth(1)?;
        Some(rest.split('&').next()?.to_owned())
    };
    let symbols: Vec<_> = answers.iter().filter_map(|line| symbol(&line.url)).collect();
    let traded: Vec<_> = listed.into_iter().filter(|found| symbols.contains(&found.symbol)).collect();
    assert_eq!(traded.len(), 10);
    let all: Vec<_> = frames.into_iter().chain(answers).collect();
    let played = play(v1, &traded, all, symbol);
    assert_eq!(played.errors, []);
    assert!(played.session.gaps().is_empty(), "{:?}", played.session.gaps());
    let counts: Vec<_> = (0..10).map(|index| played.session.counts(index)).collect();
    assert!((0..10).all(|index| played.session.is_synced(index)), "{:?}", played.outcomes);
    assert_eq!(counts.iter().map(|counts| counts.snapshots).sum::<u64>(), 10);
    assert_eq!(counts.iter().map(|counts| counts.trades).sum::<u64>(), 9);
}

#[test]
fn single_real_messages_are_read_or_refused_for_what_they_are() {
    let Some(messages) = raw("gate") else { return };
    for (name, body) in messages {
        let text = String::from_utf8(body).expect("UTF-8");
        if name.starts_with("open_interest") {
            continue;
        }
        let spot = name.contains("spot");
        let futures = protocol("gate-futures-v1");
        let asked = if spot { protocol("gate-v1") } else { futures };
        let mut out = Frame::default();
        let mut dialect = (asked.dialect)();
        let fault = if name.starts_with("l2_snapshot") {
            // Asked for without ids: good for nothing.
            dialect.read_snapshot(text.as_bytes(), &mut out).err()
        } else {
            dialect.read(text.as_bytes(), &mut out).err()
        };
        let retired = text.contains("\"method\"");
        let missing = |field| Some(FaultKind::Missing(field));
        let expected = match name.as_str() {
            _ if retired => missing("channel"),
            _ if name.starts_with("l2_snapshot") => missing("id"),
            _ => None,
        };
        assert_eq!(fault.map(|fault| fault.kind), expected, "{name}: {text}");
        let kinds: Vec<_> = out.messages.iter().map(|message| kind(&message.body)).collect();
        let expected: &[&str] = match name.split('/').next() {
            _ if retired => &[],
            Some("trade") if name.ends_with("inverse_future") => &["trade", "trade"],
            Some("trade") => &["trade"],
            Some("bbo") => &["quote"],
            Some("ticker") if !spot => &["mark"],
            Some("l2_event") if text.contains("order_book_update") => &["levels"],
            _ => &[],
        };
        assert_eq!(kinds, expected, "{name}: {text}");
    }
}

const FULL: &str = r#"{"channel":"spot.obu","result":{"t":1743673026995,"full":true,"s":"ob.BTC_USDT.50","u":100,
    "b":[["83705.9","3"],["83705.8","1"]],"a":[["83706","2"]]},"time_ms":1743673026999,"event":"update"}"#;

fn change(first: u64, last: u64, levels: &str) -> String {
    format!(
        r#"{{"channel":"spot.obu","event":"update","time_ms":1743673027001,"result":{{"t":1743673027000,"s":"ob.BTC_USDT.50","U":{first},"u":{last}{levels}}}}}"#
    )
}

#[test]
fn a_full_book_may_come_again_and_changes_must_begin_at_the_next_id() {
    let btc = Instrument::infer(Venue::Gate, "BTC_USDT", Unit::decimals(2), Unit::decimals(4)).expect("a pair");
    let mut session = crate::feed::Session::new(protocol("gate-v2"), [(0, &btc)]);
    let mut tape = crate::tape::Tape::default();
    let mut play = |frame: &str| session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).expect("reads");
    use crate::feed::Outcome;
    assert_eq!(play(FULL), Outcome::Snapshot);
    assert_eq!(play(&change(101, 105, r#","b":[["83705.9","0"]]"#)), Outcome::Depth);
    assert_eq!(play(&change(106, 110, "")), Outcome::Depth, "ids move on without a level");
    assert_eq!(play(FULL), Outcome::Snapshot, "a full book replaces everything, even an older one");
    assert_eq!(play(&change(101, 103, r#","a":[["83706","5"]]"#)), Outcome::Depth);
    assert_eq!(play(&change(105, 106, "")), Outcome::Gap, "104 is missing");
    assert_eq!(session.gaps().len(), 1);
    assert_eq!((session.gaps()[0].first, session.gaps()[0].last), (104, 104));
}

#[test]
fn the_symbol_and_the_depth_stand_in_the_name_of_the_stream() {
    let (frame, names) = read(protocol("gate-v2"), FULL).expect("reads");
    assert_eq!((names, frame.depth), (vec!["BTC_USDT".to_owned()], Some(50)));
    assert_eq!(frame.messages[0].ts_event, Nanos(1_743_673_026_995_000_000));
    assert_eq!(stream_symbol(b"ob.A.B_USDT.400"), Some((&b"A.B_USDT"[..], 400)));
    assert_eq!(stream_symbol(b"BTC_USDT"), None);
}

#[test]
fn futures_levels_are_objects_or_arrays_and_sold_sizes_negative() {
    let frame = r#"{"time":1,"channel":"futures.order_book_update","event":"update","result":
        {"t":1632793098358,"s":"BTC_USDT","U":1,"u":2,"b":[{"p":"42372.9","s":7}],"a":[["42373","8"]]}}"#;
    let (frame, _) = read(protocol("gate-futures-v1"), frame).expect("reads");
    assert_eq!(frame.levels.iter().map(|level| level.size.digits).collect::<Vec<_>>(), [7, 8]);
    let frame = r#"{"channel":"futures.trades","event":"update","time":1,"result":[
        {"size":-108,"id":27753479,"create_time":1545136464,"create_time_ms":1545136464123,"price":"96.4","contract":"BTC_USDT"},
        {"size":5,"id":27753480,"create_time":1545136464,"price":"96.5","contract":"BTC_USDT","is_internal":true}]}"#;
    let (frame, _) = read(protocol("gate-futures-v2"), frame).expect("reads");
    let [first, second] = frame.messages.as_slice() else { panic!("two trades") };
    let Body::Trade { size, side, silent, .. } = &first.body else { panic!("a trade") };
    assert_eq!((size.digits, size.negative, *side, *silent), (108, false, Some(Side::Ask), false));
    assert_eq!(first.ts_event, Nanos(1_545_136_464_123_000_000));
    assert_eq!(kind(&second.body), "silent trade");
}

#[test]
fn answers_name_the_symbols_of_the_request_and_an_existing_subscription_is_no_refusal() {
    let ack = r#"{"time":1,"channel":"spot.obu","event":"subscribe","payload":["ob.BTC_USDT.50","ob.ETH_USDT.50"],
        "result":{"status":"success"}}"#;
    let (frame, names) = read(protocol("gate-v2"), ack).expect("reads");
    assert_eq!((frame.messages.len(), names), (2, vec!["BTC_USDT".to_owned(), "ETH_USDT".to_owned()]));
    let refusal = |message: &str| {
        format!(
            r#"{{"time":1,"channel":"spot.order_book_update","event":"subscribe","payload":["FOO_BAR","100ms"],
            "error":{{"code":2,"message":"{message}"}},"result":{{"status":"fail"}}}}"#
        )
    };
    let (frame, names) = read(protocol("gate-v1"), &refusal("unknown currency pair")).expect("reads");
    assert_eq!((kind(&frame.messages[0].body), names), ("refused", vec!["FOO_BAR".to_owned()]));
    assert_eq!(bodies("gate-v1", &refusal("Alert sub ob.BTC_USDT.50")), ["subscribed"]);
    assert_eq!(bodies("gate-v2", r#"{"time":1,"channel":"spot.pong","event":"","result":null}"#), ["heartbeat"]);
}

#[test]
fn a_result_before_its_channel_is_read_all_the_same() {
    let frame = r#"{"result":{"t":1654029559473,"u":7,"s":"BTC_USDT","b":"","B":"","a":"31738.94","A":"0.335"},
        "event":"update","channel":"spot.book_ticker"}"#;
    let (frame, names) = read(protocol("gate-v2"), frame).expect("reads");
    let Body::Quote { sequence: 7, bid: Some((_, bid)), ask: Some((ask, _)) } = frame.messages[0].body else {
        panic!("a quote");
    };
    assert!(bid.is_zero() && ask.digits == 3_173_894 && names == ["BTC_USDT"]);
}

#[test]
fn missing_and_double_fields_and_garbage_are_refused() {
    let v2 = protocol("gate-v2");
    let fault = |frame: &str| read(v2, frame).expect_err("refused");
    assert!(fault(&change(1, 2, r#","b":[],"b":[]"#)).contains("Twice(\"b\")"));
    assert!(fault(&FULL.replace(r#""u":100,"#, "")).contains("Missing(\"u\")"));
    assert!(fault(&FULL.replace(r#""full":true,"#, "")).contains("Missing(\"U\")"));
    assert!(fault(&FULL.replace("ob.", "")).contains("a stream such as"));
    for garbage in
        ["", "[]", "null", "{}", "hello", "{\"channel\":\"spot.obu\"", r#"{"channel":"spot.obu","event":"update"}"#]
    {
        assert!(read(v2, garbage).is_err(), "{garbage}");
    }
    let old = r#"{"channel":"spot.order_book_update","event":"update","result":{"t":1,"s":"A_B","U":1,"u":1,"b":[]}}"#;
    assert!(read(v2, old).expect_err("refused").contains("Missing(\"a\")"), "the old channel sends both sides");
}

#[test]
fn subscriptions_are_as_documented() {
    let payload = |text: &str| -> (String, Value) {
        let value: Value = serde_json::from_str(text).expect("JSON");
        (value["channel"].as_str().unwrap_or_default().to_owned(), value["payload"].clone())
    };
    let v2 = texts(protocol("gate-v2"), &["BTC_USDT", "ETH_USDT"], 0);
    assert_eq!(payload(&v2[0]), ("spot.obu".to_owned(), serde_json::json!(["ob.BTC_USDT.50", "ob.ETH_USDT.50"])));
    assert_eq!(v2.len(), 3, "spot has no marks");
    let deep = texts(protocol("gate-futures-v2"), &["BTC_USDT"], 400);
    assert_eq!(payload(&deep[0]), ("futures.obu".to_owned(), serde_json::json!(["ob.BTC_USDT.400"])));
    assert_eq!(payload(&deep[3]), ("futures.tickers".to_owned(), serde_json::json!(["BTC_USDT"])));
    let v1 = texts(protocol("gate-v1"), &["BTC_USDT", "ETH_USDT"], 0);
    assert_eq!(payload(&v1[1]).1, serde_json::json!(["ETH_USDT", "100ms"]), "one pair a message");
}

#[test]
fn futures_are_listed_with_their_multiplier() {
    let body =
        br#"[{"name":"BTC_USDT","type":"direct","quanto_multiplier":"0.0001","order_price_round":"0.1"},{"name":3}]"#;
    let listed = (protocol("gate-futures-v2").list)(body).expect("a listing");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].unified().as_str(), listed[0].multiplier), ("BTC-USDT-PERP", Unit::decimals(4)));
    let dated = describe(Venue::GateFutures, "BTC_USDT_20210326").expect("a contract");
    assert_eq!(dated.unified(), "BTC-USDT-210326");
}

#[test]
fn the_address_and_the_day_tell_old_from_new() {
    let name = |day| Protocol::at("wss://api.gateio.ws/ws/v4/", day).map(|protocol| protocol.name);
    assert_eq!((name("2025-07-31"), name("2025-08-01")), (Some("gate-v1"), Some("gate-v2")));
    let current =
        |venue| PROTOCOLS.iter().filter(move |found| found.venue == venue && found.valid.1.is_empty()).count();
    assert_eq!((current(Venue::Gate), current(Venue::GateFutures)), (1, 1));
}

#[test]
fn an_instrument_whose_trades_are_refused_keeps_its_book() {
    let known = Instrument::infer(Venue::Gate, "BTC_USDT", Unit::decimals(2), Unit::decimals(8)).expect("a name");
    let mut session = crate::feed::Session::new(protocol("gate-v2"), [(0, &known)]);
    let mut tape = crate::tape::Tape::default();
    let refused = |channel: &str, stream: &str| {
        format!(
            r#"{{"time":1,"channel":"{channel}","event":"subscribe","payload":["{stream}"],"error":{{"code":2,"message":"no"}}}}"#
        )
    };
    let full = r#"{"channel":"spot.obu","time_ms":1,"event":"update","result":{"t":1,"s":"ob.BTC_USDT.50","u":10,"full":true,"b":[],"a":[]}}"#;
    session.on_open(Nanos(1));
    for frame in [full.to_owned(), refused("spot.trades", "BTC_USDT")] {
        session.on_frame(Nanos(2), frame.as_bytes(), &mut tape).expect("a frame");
    }
    assert!(session.is_synced(0) && session.gaps().is_empty());
    // One that comes after all is as good as any other: what it loses is asked for.
    for frame in [refused("spot.obu", "ob.BTC_USDT.50"), full.to_owned()] {
        session.on_frame(Nanos(3), frame.as_bytes(), &mut tape).expect("a frame");
    }
    session.commands().for_each(drop);
    session.on_frame(Nanos(4), b"{", &mut tape).expect_err("no frame");
    assert_ne!(session.commands().count(), 0);
}
