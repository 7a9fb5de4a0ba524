//! There is no real capture of this venue: every frame here is written by hand, in the form of its documentation.

use super::*;
use crate::feed::json::{Decimal, FaultKind};
use crate::feed::message::Message;
use crate::feed::testing::{play, read, refuses_every_piece, requests};
use crate::feed::{Command, Outcome, Session, Survey};
use crate::tape::Tape;

const NAME: &str = "crypto-com";
const SNAPSHOT: &str = include_str!("../../../tests/corpus/crypto-com/snapshot.json");
const UPDATE: &str = include_str!("../../../tests/corpus/crypto-com/update.json");
const IDLE: &str = include_str!("../../../tests/corpus/crypto-com/idle.json");
const TRADES: &str = include_str!("../../../tests/corpus/crypto-com/trades.json");
const TICKER: &str = include_str!("../../../tests/corpus/crypto-com/ticker.json");
const MARK: &str = include_str!("../../../tests/corpus/crypto-com/mark.json");
const INDEX: &str = include_str!("../../../tests/corpus/crypto-com/index.json");
const FUNDING: &str = include_str!("../../../tests/corpus/crypto-com/funding.json");
const HEARTBEAT: &str = include_str!("../../../tests/corpus/crypto-com/heartbeat.json");
const REFUSAL: &str = include_str!("../../../tests/corpus/crypto-com/refusal.json");
const ALL: [&str; 10] = [SNAPSHOT, UPDATE, IDLE, TRADES, TICKER, MARK, INDEX, FUNDING, HEARTBEAT, REFUSAL];

/// The change that follows [`UPDATE`] and [`IDLE`].
fn next() -> String {
    UPDATE.replace(":9000100", ":x").replace(":9000900", ":9001000").replace(":x", ":9000900")
}

fn one(frame: &str) -> Message {
    let mut out = read(NAME, frame).expect("reads");
    assert_eq!(out.messages.len(), 1, "{frame}");
    out.messages.remove(0)
}

fn perpetual() -> Instrument {
    let mut survey = Survey::new(&PROTOCOLS[0]);
    [SNAPSHOT, UPDATE].iter().for_each(|frame| survey.observe(frame.as_bytes()));
    survey.instruments().remove(0)
}

/// What becomes of frames of one perpetual whose connection was opened, and what is sent meanwhile.
fn outcomes(frames: &[&str]) -> (Vec<Outcome>, Vec<Command>, Session) {
    let instrument = perpetual();
    let mut session = Session::new(&PROTOCOLS[0], [(0, &instrument)]);
    session.on_open(Nanos(1));
    assert_eq!(session.commands().count(), 2, "the book, and the rest");
    let mut tape = Tape::default();
    let frames = frames.iter().zip(2..);
    let found = frames.map(|(frame, at)| session.on_frame(Nanos(at), frame.as_bytes(), &mut tape).expect("good"));
    let found = found.collect();
    let sent = session.commands().collect();
    (found, sent, session)
}

fn is(found: Option<Decimal>, digits: u64, exponent: i8) -> bool {
    found.is_some_and(|found| (found.digits, found.exponent) == (digits, exponent))
}

#[test]
fn the_chain_is_unbroken_where_ids_jump_and_stand_still() {
    let next = next();
    let (found, sent, session) = outcomes(&[SNAPSHOT, UPDATE, IDLE, IDLE, &next]);
    use Outcome::{Depth, Snapshot};
    assert_eq!(found, [Snapshot, Depth, Depth, Depth, Depth]);
    assert!(sent.is_empty());
    let counts = session.counts(0);
    assert_eq!((counts.snapshots, counts.depth, counts.verified, counts.gaps), (1, 4, 4, 0));
}

#[test]
fn one_removed_frame_shows_and_the_book_is_subscribed_anew() {
    let next = next();
    let (found, sent, session) = outcomes(&[SNAPSHOT, &next, IDLE]);
    assert_eq!(found, [Outcome::Snapshot, Outcome::Gap, Outcome::Held]);
    assert_eq!((session.counts(0).gaps, session.is_synced(0)), (1, false));
    let how = r#","book_subscription_type":"SNAPSHOT_AND_UPDATE","book_update_frequency":10"#;
    let text = |id: u8, method: &str, how: &str| {
        Command::Send(format!(
            r#"{{"id":{id},"method":"{method}","params":{{"channels":["book.BTCUSD-PERP.50"]{how}}}}}"#
        ))
    };
    assert_eq!(sent, [text(2, "unsubscribe", ""), text(1, "subscribe", how)]);
}

#[test]
fn a_new_snapshot_resets_the_book() {
    let anew = SNAPSHOT.replace("9000100", "17").replace("70000.0", "69000.0");
    let update = UPDATE.replace("9000100", "17");
    let (found, sent, session) = outcomes(&[SNAPSHOT, UPDATE, &anew, &update]);
    assert_eq!(found, [Outcome::Snapshot, Outcome::Depth, Outcome::Snapshot, Outcome::Depth]);
    assert!(sent.is_empty());
    assert_eq!((session.counts(0).resets, session.counts(0).gaps), (1, 0));
}

#[test]
fn a_refusal_of_the_book_ends_the_waiting() {
    let refusal = REFUSAL.replace("ABCUSD", "BTCUSD");
    let (_, sent, mut session) = outcomes(&[&refusal]);
    assert!(sent.is_empty());
    session.on_time(Nanos(11_000_000_000));
    assert_eq!(session.commands().count(), 0, "nobody asks again");
    assert_eq!((session.gaps().len(), session.is_synced(0)), (0, false), "nothing was there to lose");
    let found = one(REFUSAL);
    let Symbol::At(symbol) = found.symbol else { panic!("named") };
    assert_eq!(symbol.of(REFUSAL.as_bytes()), b"ABCUSD-PERP");
    assert!(matches!(found.body, Body::Refused(text) if text.of(REFUSAL.as_bytes()) == b"Unknown symbol"));
    for other in [
        &REFUSAL.replace("book.ABCUSD-PERP.50", "index.ABCUSD-PERP"),
        &REFUSAL.replace(r#""channel":"book.ABCUSD-PERP.50","#, ""),
        &REFUSAL.replace("subscribe", "unsubscribe"),
    ] {
        let found = one(other);
        assert!(found.symbol == Symbol::None && matches!(found.body, Body::Refused(_)), "{other}");
    }
    let quoted = r#"{"id":-1,"method":"ERROR","code":40001,"message":"Bad request","original":"{\"id\":1}"}"#;
    let (found, _, session) = outcomes(&[quoted]);
    assert_eq!((found.as_slice(), session.frames()), (&[Outcome::Other][..], (1, 0, 1)));
}

#[test]
fn acknowledgements_name_the_book() {
    let text = r#"{"id":1,"method":"subscribe","code":0,"channel":"book.BTC_USDT.50"}"#;
    let found = one(text);
    let Symbol::At(symbol) = found.symbol else { panic!("named") };
    assert_eq!((symbol.of(text.as_bytes()), found.body), (&b"BTC_USDT"[..], Body::Subscribed));
    assert_eq!(one(r#"{"id":1,"method":"subscribe","code":0}"#).symbol, Symbol::None);
    assert_eq!(one(r#"{"id":2,"method":"unsubscribe","code":0}"#).body, Body::Other);
}

#[test]
fn a_heartbeat_is_answered_with_its_own_id() {
    let (found, sent, _) = outcomes(&[HEARTBEAT]);
    assert_eq!(found, [Outcome::Other]);
    let answer = r#"{"id":1700000000500,"method":"public/respond-heartbeat"}"#;
    assert_eq!(sent, [Command::Send(answer.to_owned())]);
    assert_eq!(one(HEARTBEAT).body, Body::Heartbeat);
}

#[test]
fn trades_have_the_takers_side_and_those_of_an_answer_are_history() {
    let out = read(NAME, TRADES).expect("reads");
    let sides: Vec<_> = out
        .messages
        .iter()
        .map(|message| match message.body {
            Body::Trade { id, side, silent: false, .. } => (id, side),
            _ => panic!("a trade"),
        })
        .collect();
    assert_eq!(sides, [(1_700_000_000_300_000_002, Some(Side::Bid)), (1_700_000_000_300_000_001, Some(Side::Ask))]);
    assert_eq!(out.messages[0].ts_event, Nanos(1_700_000_000_300_000_000));
    // The id may come behind the data.
    let history = TRADES.replace(r#""id":-1"#, r#""id":1"#);
    let turned = format!("{},\"id\":1}}", &TRADES.replace("\"id\":-1,", "")[..TRADES.len() - 9]);
    for text in [history, turned] {
        let out = read(NAME, &text).expect("reads");
        assert!(out.messages.iter().all(|message| matches!(message.body, Body::Trade { silent: true, .. })), "{text}");
    }
}

#[test]
fn quotes_marks_indices_and_funding_are_read() {
    let Body::Quote { sequence: 0, bid: Some((bid, size)), ask: Some((_, none)) } = one(TICKER).body else {
        panic!("a quote")
    };
    assert!(is(Some(bid), 6_999_999, -2) && is(Some(size), 40_000, -5) && none.is_zero());
    let Body::Mark { mark, index: None, iv: None, funding: None } = one(MARK).body else { panic!("a mark") };
    assert!(is(mark, 700_003, -1));
    let Body::Mark { mark: None, index, iv: None, funding: None } = one(INDEX).body else { panic!("an index") };
    assert!(is(index, 7_000_217, -2));
    let Body::Mark { funding: Some((rate, due)), .. } = one(FUNDING).body else { panic!("funding") };
    assert!(rate.negative && is(Some(rate), 4, -6));
    assert_eq!(due, Nanos(1_700_002_800_000_000_000), "the end of the hour");
    let candle = MARK.replace(r#""channel":"mark""#, r#""channel":"candlestick""#);
    assert!(read(NAME, &candle).expect("reads").messages.is_empty());
}

#[test]
fn an_index_is_told_of_its_perpetual() {
    let known = perpetual();
    let (session, tape) = play(NAME, std::slice::from_ref(&known), &[INDEX, MARK, FUNDING]);
    assert_eq!((session.counts(0).marks, tape.len()), (3, 3));
    let mut dialect = CryptoCom::default();
    let mut out = Frame::default();
    for pair in ["BTCUSD", "ETHUSD", "BTCUSD"] {
        dialect.read(INDEX.replace("BTCUSD", pair).as_bytes(), &mut out).expect("reads");
    }
    let known: Vec<_> = out.messages.iter().map(|message| message.symbol).collect();
    assert_eq!(known, [Symbol::Known(0), Symbol::Known(1), Symbol::Known(0)]);
    assert_eq!((dialect.name(0), dialect.name(1), dialect.name(2)), ("BTCUSD-PERP", "ETHUSD-PERP", ""));
    for pair in 0..=MAX_INDICES {
        let frame = INDEX.replace("BTCUSD", &format!("X{pair}USD"));
        dialect.read(frame.as_bytes(), &mut Frame::default()).expect("reads");
    }
    assert_eq!(dialect.perpetuals.len(), MAX_INDICES);
    dialect.reset();
    assert_eq!(dialect.name(0), "");
}

#[test]
fn a_frame_is_read_in_any_order_of_its_keys() {
    let turned = r#"{"result":{"data":[{"pu":3,"u":5,"tt":7,"update":{"bids":[["9","1","1"]],"asks":[]}}],
        "channel":"book.update","instrument_name":"A_B"},"code":0,"method":"subscribe","id":-1}"#;
    let Body::Levels { snapshot: false, link, checksum: None, levels } = one(turned).body else { panic!("levels") };
    assert_eq!((link, levels), (Link::Chain { previous: 3, last: 5 }, 0..1));
    let Body::Levels { snapshot: true, link, checksum: None, levels } = one(SNAPSHOT).body else { panic!("levels") };
    assert_eq!((link, levels), (Link::At(9_000_100), 0..4));
    assert_eq!(one(SNAPSHOT).ts_event, Nanos(1_700_000_000_100_000_000), "the engine's time");
    assert_eq!(read(NAME, SNAPSHOT).expect("reads").depth, Some(50));
}

#[test]
fn fields_that_are_missing_or_come_twice_are_refused() {
    let fields: [(&str, &[&str]); 8] = [
        (SNAPSHOT, &["id", "instrument_name", "channel", "data", "asks", "bids", "tt", "u"]),
        (UPDATE, &["id", "instrument_name", "channel", "data", "update", "asks", "bids", "tt", "u", "pu"]),
        (TRADES, &["id", "instrument_name", "channel", "data", "d", "p", "q", "s", "t"]),
        (TICKER, &["id", "instrument_name", "channel", "data", "b", "bs", "k", "ks", "t"]),
        (MARK, &["id", "instrument_name", "channel", "data", "v", "t"]),
        (FUNDING, &["id", "instrument_name", "channel", "data", "v", "t"]),
        (HEARTBEAT, &["id", "method"]),
        (REFUSAL, &["method", "code"]),
    ];
    for (text, fields) in fields {
        for field in fields {
            let key = format!("\"{field}\":");
            let without = text.replace(&key, &format!("\"{field}_\":"));
            let kind = read(NAME, &without).expect_err("a field is missing").kind;
            assert_eq!(kind, FaultKind::Missing(field), "{without}");
            let value = text.split(&key).nth(1).expect("there");
            let end = value_end(value);
            let twice = text.replacen(&key, &format!("{key}{},{key}", &value[..end]), 1);
            let kind = read(NAME, &twice).expect_err("a field comes twice").kind;
            assert_eq!(kind, FaultKind::Twice(field), "{twice}");
        }
    }
    ALL.iter().for_each(|text| refuses_every_piece(NAME, text));
    for garbage in ["", "[]", "{}", "null", r#"{"id":1}"#, r#"{"id":1,"result":{}}"#] {
        assert!(read(NAME, garbage).is_err(), "{garbage:?}");
    }
    assert!(read(NAME, &TRADES.replace("BUY", "buy")).is_err());
}

/// Where the JSON value ends that a text begins with.
fn value_end(text: &str) -> usize {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    values.next().expect("a value").expect("JSON");
    values.byte_offset()
}

#[test]
fn a_damaged_frame_says_whose_data_is_lost() {
    for (text, channel) in [(UPDATE, Channel::Book), (TRADES, Channel::Trades), (TICKER, Channel::Quotes)] {
        let damaged = text.replace("\"t\":1", "\"t\":x");
        let mut out = Frame::default();
        CryptoCom::default().read(damaged.as_bytes(), &mut out).expect_err("damaged");
        let Some(Symbol::At(symbol)) = out.symbol else { panic!("named") };
        let name: &[u8] = if channel == Channel::Book { b"BTCUSD-PERP" } else { b"BTC_USDT" };
        assert_eq!((out.channel, symbol.of(damaged.as_bytes())), (Some(channel), name));
    }
}

#[test]
fn no_damage_makes_the_reader_panic() {
    for text in ALL {
        for at in 0..text.len() {
            for byte in *b"\"\\0-[]{}:,e" {
                let mut damaged = text.as_bytes().to_vec();
                damaged[at] = byte;
                let mut out = Frame::default();
                if CryptoCom::default().read(&damaged, &mut out).is_ok() {
                    assert!(out.messages.len() <= 2);
                }
            }
        }
    }
}

#[test]
fn the_listing_gives_units_and_kinds() {
    let entry = |symbol: &str, kind: &str, base: &str, quote: &str, rest: &str| {
        let names = format!(r#""symbol":"{symbol}","inst_type":"{kind}","base_ccy":"{base}","quote_ccy":"{quote}""#);
        format!(r#"{{{names},{rest},"tradable":true}}"#)
    };
    let fine = r#""quote_decimals":2,"quantity_decimals":5,"price_tick_size":"0.01","qty_tick_size":"0.00001""#;
    let coarse = concat!(
        r#""quote_decimals":"1","quantity_decimals":"4","price_tick_size":"0.5","qty_tick_size":"0.0001","#,
        r#""contract_size":"1""#
    );
    let whole = r#""quote_decimals":9,"quantity_decimals":0,"price_tick_size":"0.0000001","qty_tick_size":"100""#;
    let entries = [
        entry("BTC_USDT", "CCY_PAIR", "BTC", "USDT", fine),
        entry("BTCUSD-PERP", "PERPETUAL_SWAP", "BTC", "USD", coarse),
        entry("BTCUSD-261225", "FUTURE", "BTC", "USD", coarse),
        entry("PEPE_USD", "CCY_PAIR", "PEPE", "USD", whole),
        entry("BTCUSD-INDEX", "INDEX", "BTC", "USD", fine),
        entry("BTC_USD", "SOMETHING_NEW", "BTC", "USD", fine),
        r#"{"symbol":7}"#.to_owned(),
    ];
    let body =
        format!(r#"{{"id":1,"method":"public/get-instruments","code":0,"result":{{"data":[{}]}}}}"#, entries.join(","));
    let found = list(body.as_bytes()).expect("a listing");
    let shown: Vec<_> = found
        .iter()
        .map(|one| (one.unified(), one.contract, one.price_unit, one.size_unit, one.multiplier, one.settle.as_str()))
        .collect();
    let unit = Unit::decimals;
    let expected = [
        ("BTC-USDT", Contract::Spot, unit(2), unit(5), Unit::ONE, "USDT"),
        ("BTC-USD-PERP", Contract::Linear, unit(1), unit(4), Unit::ONE, "USD"),
        ("BTC-USD-261225", Contract::Linear, unit(1), unit(4), Unit::ONE, "USD"),
        ("PEPE-USD", Contract::Spot, unit(9), Unit::ONE, Unit::ONE, "USD"),
    ];
    assert_eq!(shown, expected.map(|(name, a, b, c, d, e)| (name.to_owned(), a, b, c, d, e)));
    assert_eq!((found[1].tick, found[3].lot), (Unit::parse("0.5").ok(), Unit::parse("100").ok()));
    for one in &found {
        let known = describe(&one.symbol).expect("the symbol says what it is");
        assert_eq!((known.unified(), known.contract), (one.unified(), one.contract));
    }
    for bad in ["", "BTC", "BTC_", "_USD", "A_B_C", "USD-PERP", "BTCEUR-PERP", "BTCUSD-INDEX", "BTCUSD-12345x"] {
        assert!(describe(bad).is_none(), "{bad}");
    }
    assert!(list(b"[]").is_err() && list(br#"{"code":40001}"#).is_err());
    let url = "https://api.crypto.com/exchange/v1/public/get-instruments";
    assert_eq!(crate::feed::Protocol::listed(url, body.as_bytes()).len(), 4);
}

#[test]
fn subscriptions_name_the_channels_of_each_kind_of_instrument() {
    let of = |symbols: &[&str], depth| -> Vec<String> {
        let texts = requests(NAME, true, symbols, depth);
        assert!(texts.iter().all(|text| text["method"] == "subscribe" && text["id"] == 1));
        let channels = texts.iter().filter_map(|text| text["params"]["channels"].as_array()).flatten();
        channels.map(|channel| channel.as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(of(&["BTC_USDT"], 50), ["book.BTC_USDT.50", "trade.BTC_USDT", "ticker.BTC_USDT"]);
    assert_eq!(of(&["BTCUSD-261225"], 1)[0], "book.BTCUSD-261225.10");
    assert_eq!(of(&["BTCUSD-261225"], 400)[3..], ["mark.BTCUSD-261225"]);
    let marks = ["mark.BTCUSD-PERP", "index.BTCUSD-INDEX", "funding.BTCUSD-PERP"];
    assert_eq!(of(&["BTCUSD-PERP"], 50)[3..], marks);
    let books = &requests(NAME, true, &["BTC_USDT"], 50)[0]["params"];
    assert_eq!(
        (&books["book_subscription_type"], &books["book_update_frequency"]),
        (&"SNAPSHOT_AND_UPDATE".into(), &10.into())
    );
    let off = requests(NAME, false, &["BTC_USDT"; 101], 50);
    assert!(off.len() == 5 && off.iter().all(|text| text["method"] == "unsubscribe"));
    let most = usize::from(PROTOCOLS[0].per_connection);
    assert!(of(&vec!["BTCUSD-PERP"; most], 50).len() <= 400, "what a connection may have");
}

#[test]
fn an_address_and_frames_tell_the_protocol() {
    let found = crate::feed::Protocol::at("wss://stream.crypto.com/exchange/v1/market", "2026-08-24");
    assert_eq!(found.map(|found| found.name), Some(NAME));
    let frames = [SNAPSHOT, UPDATE, IDLE, TRADES, TICKER].map(str::as_bytes);
    let found = crate::feed::Protocol::recognise("", frames.into_iter());
    assert_eq!(found.map(|found| found.name), Some(NAME));
    assert_eq!(perpetual().unified(), "BTC-USD-PERP");
    assert_eq!((perpetual().price_unit, perpetual().size_unit), (Unit::decimals(1), Unit::decimals(2)));
}
