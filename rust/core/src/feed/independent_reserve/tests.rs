use serde_json::Value;

use super::*;
use crate::feed::testing::lines::{kind, kinds, lines, play, read, texts};
use crate::feed::{Outcome, Session};
use crate::tape::Tape;

fn protocol() -> &'static Protocol {
    Protocol::named("independent-reserve").expect("registered")
}

fn asked(url: &str) -> Option<String> {
    let value = |name: &str| url.split(name).nth(1)?.split('&').next();
    Some(format!("{}-{}", value("primaryCurrencyCode=")?, value("secondaryCurrencyCode=")?))
}

#[test]
fn the_capture_of_2022_is_read_whole_and_its_nonces_are_unbroken() {
    let (Some(frames), Some(answers), Some(listing)) =
        (lines("INDEPENDENT_RESERVE.ws.1.0"), lines("INDEPENDENT_RESERVE.http.0.0"), lines("INDEPENDENT_RESERVE.0"))
    else {
        return;
    };
    let found = kinds(protocol(), &frames);
    let count = |kind| found.get(kind).copied().unwrap_or(0);
    assert_eq!(count("orders"), 1663 * 4, "every event concerns four books");
    assert_eq!((count("heartbeat"), count("subscribed")), (1, 1));
    assert_eq!(kinds(protocol(), &answers).get("snapshot"), Some(&5));

    let listed = (protocol().list)(&listing[0].body).expect("a listing");
    assert_eq!(listed.len(), 28 * 4);
    let of = |symbol: &str| listed.iter().find(|found| found.symbol == symbol).expect("listed").unified();
    assert_eq!((of("xbt-aud"), of("eth-nzd")), ("BTC-AUD".to_owned(), "ETH-NZD".to_owned()));
    for line in &answers {
        assert_eq!(protocol().symbol_at(&line.url), asked(&line.url));
    }
    let all: Vec<_> = frames.into_iter().chain(answers).collect();
    let played = play(protocol(), &listed, all, asked);
    assert_eq!(played.errors, []);
    assert!(played.session.gaps().is_empty(), "{:?}", played.session.gaps());
    let synced: Vec<_> = (0..112)
        .filter(|&index| played.session.is_synced(index))
        .map(|index| listed[index as usize].symbol.as_str())
        .collect();
    assert_eq!(synced, ["eth-aud", "bch-sgd", "dot-nzd", "matic-usd", "pmgt-nzd"]);
}

fn event(nonce: u64, what: &str, data: &str) -> String {
    format!(
        r#"{{"Channel":"orderbook-eth","Nonce":{nonce},"Data":{{"OrderType":"LimitBid","OrderGuid":"dbe7b832-b9b7-4eac-84ce-9f49c2a93b87"{data}}},"Time":1649023809209,"Event":"{what}"}}"#
    )
}

const PRICED: &str = r#","Price":{"aud":2500,"usd":1816.5,"nzd":2587.5},"Volume":1.5"#;

#[test]
fn a_new_order_goes_to_the_books_that_price_it_and_a_cancellation_to_all() {
    let (frame, names) = read(protocol(), &event(7, "NewOrder", PRICED)).expect("reads");
    assert_eq!(names, ["eth-aud", "eth-usd", "eth-nzd", "eth-sgd"]);
    let counts: Vec<_> = frame
        .messages
        .iter()
        .map(|message| match &message.body {
            Body::Orders { orders, link, .. } => {
                assert_eq!(*link, Link::Timed { previous: 6, last: 7, since: 0, time: 1_649_023_809_209 });
                orders.len()
            }
            _ => panic!("orders"),
        })
        .collect();
    assert_eq!(counts, [1, 1, 1, 0], "not in Singapore, but its nonce moves on");
    assert_eq!(frame.orders[1].price.map(|price| price.digits), Some(18_165));
    let (frame, _) = read(protocol(), &event(8, "OrderCanceled", "")).expect("reads");
    assert_eq!((frame.orders.len(), frame.orders[3].change, frame.orders[3].price), (4, Change::Cancel, None));
    let (frame, _) = read(protocol(), &event(8, "OrderChanged", r#","Volume":0.5"#)).expect("reads");
    assert_eq!(frame.orders[0].change, Change::Modify);
    let (frame, _) = read(protocol(), &event(8, "OrderChanged", r#","Volume":0"#)).expect("reads");
    assert_eq!(frame.orders[0].change, Change::Cancel, "filled");
}

#[test]
fn books_that_nobody_asked_for_are_passed_over() {
    let (mut dialect, mut out, mut sent) = (IndependentReserve::default(), Frame::default(), Vec::new());
    dialect.subscribe(true, &["eth-nzd"], &[Channel::Book], 0, &mut sent);
    dialect.read(event(1, "NewOrder", PRICED).as_bytes(), &mut out).expect("reads");
    let [message] = out.messages.as_slice() else { panic!("one message") };
    let Symbol::Known(known) = message.symbol else { panic!("a known symbol") };
    assert_eq!(
        (sent.as_slice(), dialect.name(known)),
        (&[r#"{"Event":"Subscribe","Data":["orderbook-eth"]}"#.to_owned()][..], "eth-nzd")
    );
}

#[test]
fn a_missing_nonce_is_a_gap_and_a_snapshot_joins_by_its_time() {
    let unit = Unit::decimals(8);
    let aud = Instrument::infer(Venue::IndependentReserve, "eth-aud", unit, unit).expect("a pair");
    let mut session = Session::new(protocol(), [(0, &aud)]);
    let mut tape = Tape::default();
    let mut only = |session: &mut Session, frame: &str| {
        // The other three books are strangers to this session.
        session.on_frame(Nanos(1), frame.as_bytes(), &mut tape).ok();
    };
    only(&mut session, &event(5, "NewOrder", PRICED));
    let body = br#"{"BuyOrders":[],"SellOrders":[],"CreatedTimestampUtc":"2022-04-03T22:10:09.2080000Z"}"#;
    let mut rest = Tape::default();
    assert_eq!(session.on_snapshot(Nanos(2), 0, body, &mut rest), Ok(Outcome::Snapshot));
    assert!(session.is_synced(0));
    assert_eq!(session.counts(0).last_id, 5, "what was held is later than the snapshot");
    only(&mut session, &event(6, "OrderCanceled", ""));
    assert!(session.gaps().is_empty());
    only(&mut session, &event(8, "OrderCanceled", ""));
    assert_eq!((session.gaps().len(), session.is_synced(0)), (1, false));
}

#[test]
fn a_trade_is_told_in_every_currency_that_took_part() {
    let frame = r#"{"Event":"Trade","Channel":"ticker-xbt","Nonce":1,"Time":1689718320138,"Data":{"TradeGuid":"c5bde544-d8ae-4e38-9e90-405a3f93b6d6",
        "TradeDate":"2009-01-03T18:15:05.9321664+00:00","Volume":50.0,"Price":{"Aud":3313.59,"Sgd":4798.92},"Side":"Sell"}}"#;
    let (found, names) = read(protocol(), frame).expect("reads");
    assert_eq!(names, ["xbt-aud", "xbt-sgd"]);
    let Body::Trade { side: Some(Side::Ask), id: 0, silent: false, .. } = found.messages[0].body else {
        panic!("a trade")
    };
    assert_eq!(found.messages[0].ts_event, Nanos(1_231_006_505_932_166_400));
    let old = r#"{"Channel":"ticker-xbt-aud","Nonce":1,"Data":{"TradeGuid":"c5bde544-d8ae-4e38-9e90-405a3f93b6d6","Pair":"xbt-aud",
        "TradeDate":"2009-01-04T05:15:05.9321664+11:00","Price":3313.59,"Volume":50.0,"Side":"Buy"},"Time":1,"Event":"Trade"}"#;
    let (found, names) = read(protocol(), old).expect("reads");
    assert_eq!((names, found.messages[0].ts_event), (vec!["xbt-aud".to_owned()], Nanos(1_231_006_505_932_166_400)));
}

#[test]
fn heartbeats_subscriptions_and_errors_are_told_apart() {
    let body = |frame: &str| kind(&read(protocol(), frame).expect("reads").0.messages[0].body);
    assert_eq!(body(r#"{"Event":"Heartbeat","Time":1689719100201}"#), "heartbeat");
    assert_eq!(body(r#"{"Event":"Subscriptions","Data":["orderbook-xbt"],"Time":1}"#), "subscribed");
    assert_eq!(body(r#"{"Event":"Error","Data":"no such channel","Time":1}"#), "refused");
}

#[test]
fn guids_fold_to_distinct_ids() {
    let fold = |text: &str| guid(&mut Json::new(format!("\"{text}\"").as_bytes()));
    let one = fold("dbe7b832-b9b7-4eac-84ce-9f49c2a93b87");
    assert_eq!(one, fold("DBE7B832-B9B7-4EAC-84CE-9F49C2A93B87"));
    assert_ne!(one, fold("dbe7b832-b9b7-4eac-84ce-9f49c2a93b88"));
    assert_ne!(one, fold("84ce9f49-c2a9-3b87-dbe7-b832b9b74eac"), "halves are not exchangeable");
    assert!(fold("dbe7b832").is_err() && fold("zbe7b832-b9b7-4eac-84ce-9f49c2a93b87").is_err());
    let Some(answers) = lines("INDEPENDENT_RESERVE.http.0.0") else { return };
    let mut ids = std::collections::HashSet::new();
    let mut count = 0;
    for line in answers {
        let value: Value = serde_json::from_slice(&line.body).expect("JSON");
        for order in ["BuyOrders", "SellOrders"].iter().filter_map(|side| value[side].as_array()).flatten() {
            count += 1;
            ids.insert(fold(order["Guid"].as_str().unwrap_or_default()).expect("a GUID"));
        }
    }
    assert_eq!((count, ids.len()), (1784, 1784));
}

#[test]
fn missing_and_double_fields_and_garbage_are_refused() {
    let fault = |frame: &str| read(protocol(), frame).expect_err("refused");
    let good = event(1, "NewOrder", PRICED);
    assert!(fault(&event(1, "NewOrder", r#","Volume":1"#)).contains("Missing(\"Price\")"));
    assert!(fault(&event(1, "OrderChanged", "")).contains("Missing(\"Volume\")"));
    assert!(fault(&good.replace(r#""Nonce":1,"#, "")).contains("Missing(\"Nonce\")"));
    assert!(fault(&good.replace(r#""Nonce":1,"#, r#""Nonce":1,"Nonce":1,"#)).contains("Twice(\"Nonce\")"));
    for garbage in ["", "[]", "null", "{}", "hello", &good[..good.len() - 1]] {
        assert!(read(protocol(), garbage).is_err(), "{garbage}");
    }
}

#[test]
fn a_coin_is_subscribed_once_for_all_its_books() {
    let found = texts(protocol(), &["eth-aud", "eth-usd", "xbt-aud"], 0);
    assert_eq!(found, [r#"{"Event":"Subscribe","Data":["orderbook-eth","orderbook-xbt","ticker-eth","ticker-xbt"]}"#]);
}
