use serde_json::Value;

use super::*;
use crate::feed::message::Message;
use crate::feed::testing::lines::{kind, kinds, lines, play, raw, read, texts};

fn protocol() -> &'static Protocol {
    Protocol::named("kucoin").expect("registered")
}

#[test]
fn the_capture_of_2021_is_read_whole_and_its_ids_are_unbroken() {
    let (Some(frames), Some(answers), Some(listing)) =
        (lines("KUCOIN.ws.1.0"), lines("KUCOIN.http.0.0"), lines("KUCOIN.0"))
    else {
        return;
    };
    let found = kinds(protocol(), &frames);
    let count = |kind| found.get(kind).copied().unwrap_or(0);
    assert_eq!((count("levels"), count("quote"), count("trade")), (3853, 830, 18));
    assert_eq!((count("subscribed"), count("heartbeat"), count("none")), (13, 1, 6), "6 candles");
    assert_eq!(kinds(protocol(), &answers).get("snapshot"), Some(&9));

    let listed = (protocol().list)(&listing[0].body).expect("a listing");
    assert_eq!(listed.len(), 634);
    let symbol = |url: &str| Some(url.split("symbol=").nth(1)?.to_owned());
    // Nothing happened to the tenth.
    let symbols: Vec<_> = answers.iter().filter_map(|line| symbol(&line.url)).collect();
    assert_eq!(symbols.len(), 9);
    let traded: Vec<_> = listed.into_iter().filter(|found| symbols.contains(&found.symbol)).collect();
    let all: Vec<_> = frames.into_iter().chain(answers).collect();
    let played = play(protocol(), &traded, all, symbol);
    assert_eq!(played.errors, []);
    assert!(played.session.gaps().is_empty(), "{:?}", played.session.gaps());
    assert!((0..9).all(|index| played.session.is_synced(index)), "{:?}", played.outcomes);
    let counts: Vec<_> = (0..9).map(|index| played.session.counts(index)).collect();
    assert_eq!(counts.iter().map(|counts| counts.trades).sum::<u64>(), 18);
    assert!(counts.iter().all(|counts| counts.unverifiable <= 1), "the snapshot is what nothing proves");
}

#[test]
fn the_day_tells_which_snapshot_is_to_be_had_without_a_key() {
    let at = |day| Protocol::at("wss://push-private.kucoin.com/endpoint?token=x", day).expect("an address");
    let url = "https://api.kucoin.com/api/v3/market/orderbook/level2?symbol=SNX-BTC";
    assert_eq!((at("2021-04-25").name, at("2026-01-01").name), ("kucoin-2021", "kucoin"));
    assert_eq!(at("2021-04-25").symbol_at(url).as_deref(), Some("SNX-BTC"));
}

#[test]
fn single_real_messages_are_read() {
    let Some(messages) = raw("kucoin") else { return };
    for (name, body) in messages {
        let text = String::from_utf8(body).expect("UTF-8");
        let mut out = Frame::default();
        let mut dialect = (protocol().dialect)();
        if name.starts_with("l2_snapshot") {
            assert_eq!(dialect.read_snapshot(text.as_bytes(), &mut out), Ok(()), "{name}");
            continue;
        }
        if name.starts_with("open_interest") {
            continue;
        }
        assert_eq!(dialect.read(text.as_bytes(), &mut out), Ok(()), "{name}: {text}");
        let kinds: Vec<_> = out.messages.iter().map(|Message { body, .. }| kind(body)).collect();
        let expected: &[&str] = match name.split_once('/') {
            Some((group, test)) if test.starts_with("spot") => match group {
                "trade" => &["trade"],
                "bbo" => &["quote"],
                "l2_event" => &["levels"],
                _ => &[],
            },
            _ => &[],
        };
        assert_eq!(kinds, expected, "{name}: {text}");
    }
}

fn change(first: u64, last: u64, bids: &str) -> String {
    format!(
        r#"{{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{{"changes":{{"asks":[],"bids":[{bids}]}},"sequenceEnd":{last},"sequenceStart":{first},"symbol":"BTC-USDT","time":1658449800752}}}}"#
    )
}

#[test]
fn a_change_at_price_zero_moves_the_ids_on_and_touches_no_level() {
    let (frame, names) = read(protocol(), &change(5, 6, r#"["0","0","5"],["3.5","2","6"]"#)).expect("reads");
    assert_eq!((frame.levels.len(), names), (1, vec!["BTC-USDT".to_owned()]));
    let Body::Levels { link, .. } = frame.messages[0].body else { panic!("levels") };
    assert_eq!(link, Link::Range { first: 5, last: 6 });
    assert_eq!(frame.messages[0].ts_event, Nanos(1_658_449_800_752_000_000));
}

#[test]
fn the_ticker_of_all_symbols_names_them_in_its_subject() {
    let frame = r#"{"type":"message","topic":"/market/ticker:all","subject":"DOT-USDT","data":{"bestAsk":"10.4686",
        "bestAskSize":"64.9","bestBid":null,"bestBidSize":null,"price":"10.4","sequence":"7","size":"1","time":1653955200018}}"#;
    let (frame, names) = read(protocol(), frame).expect("reads");
    assert_eq!(names, ["DOT-USDT"]);
    let Body::Quote { sequence: 7, bid: Some((_, size)), .. } = frame.messages[0].body else { panic!("a quote") };
    assert!(size.is_zero(), "nobody bids");
}

#[test]
fn a_trade_has_its_number_where_it_is_one() {
    assert_eq!((number(b"11067996711960577"), number(b"6057bb822e113d292396c272")), (11_067_996_711_960_577, 0));
    assert_eq!(number(b"605700822011300292396272"), 0, "hexadecimal, by chance without a letter");
}

#[test]
fn acknowledgements_pongs_and_errors_are_told_apart() {
    let body = |frame: &str| kind(&read(protocol(), frame).expect("reads").0.messages[0].body);
    assert_eq!(body(r#"{"id":"1","type":"ack"}"#), "subscribed");
    assert_eq!(body(r#"{"id":"1","type":"pong"}"#), "heartbeat");
    assert_eq!(body(r#"{"id":"x","type":"welcome"}"#), "heartbeat");
    assert_eq!(body(r#"{"id":"1","type":"error","code":404,"data":"topic /x is not found"}"#), "refused");
}

#[test]
fn missing_and_double_fields_and_garbage_are_refused() {
    let fault = |frame: &str| read(protocol(), frame).expect_err("refused");
    let good = change(1, 2, "");
    assert!(fault(&good.replace(r#""asks":[],"#, "")).contains("Missing(\"asks\")"));
    assert!(fault(&good.replace(r#""asks":[]"#, r#""bids":[]"#)).contains("Twice(\"bids\")"));
    assert!(fault(&good.replace(r#""sequenceEnd":2,"#, "")).contains("Missing(\"sequenceEnd\")"));
    assert!(fault(&good.replace(r#""topic":"/market/level2:BTC-USDT","#, "")).contains("Missing(\"topic\")"));
    for garbage in ["", "[]", "null", "{}", "hello", &good[..good.len() - 1]] {
        assert!(read(protocol(), garbage).is_err(), "{garbage}");
    }
}

#[test]
fn a_hundred_symbols_are_subscribed_with_one_message() {
    let symbols: Vec<String> = (0..101).map(|n| format!("A{n}-USDT")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let texts = texts(protocol(), &symbols, 0);
    assert_eq!(texts.len(), 6, "three topics; KuCoin's spot has no marks");
    let last: Value = serde_json::from_str(&texts[1]).expect("JSON");
    assert_eq!(last["topic"], "/market/level2:A100-USDT");
    assert_eq!((last["type"].as_str(), last["response"].as_bool()), (Some("subscribe"), Some(true)));
}
