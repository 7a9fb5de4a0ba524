#![allow(clippy::unwrap_used)] // in a test a failure may panic

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::writer::hour_name_of;
use super::*;
use crate::capture::manifest::Manifest;

/// 2024-08-08T23:54:15Z, by `date -u -d @1723161255`.
const START: i64 = 1_723_161_255_030_314_667;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// A folder that goes when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("crossbook-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Owned = (RecordKind, i64, Vec<u8>);

fn meta() -> Meta {
    Meta {
        venue: "binance-usdm".to_owned(),
        protocol: "binance".to_owned(),
        connection: "0".to_owned(),
        url: "wss://fstream.binance.com/stream".to_owned(),
        instruments: RawValue::from_string(r#"[{"symbol": "BTCUSDT", "tick": 0.10}]"#.to_owned()).unwrap(),
        channels: vec!["btcusdt@depth@0ms".to_owned(), "btcusdt@trade".to_owned()],
        depth: Some(1000),
    }
}

fn options() -> Options {
    Options { sync: SyncPolicy::Never, ..Options::default() }
}

fn writer(folder: &Folder) -> Writer {
    Writer::new(&folder.0, meta(), options(), Nanos(START)).unwrap()
}

fn no_feed() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

fn record(kind: RecordKind, time: i64, payload: &[u8]) -> Record<'_> {
    Record { kind, ts_recv: Nanos(time), payload }
}

fn received(time: i64, payload: &[u8]) -> Record<'_> {
    record(RecordKind::Received, time, payload)
}

/// All records up to the end or the first error.
fn drain<R: io::Read>(reader: &mut Reader<R>) -> (Vec<Owned>, Option<StoreError>) {
    let mut records = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(Record { kind, ts_recv: Nanos(time), payload })) => records.push((kind, time, payload.to_vec())),
            Ok(None) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

fn read(path: &Path) -> Vec<Owned> {
    let mut reader = Reader::open(path).unwrap();
    let (records, error) = drain(&mut reader);
    assert!(error.is_none(), "{error:?}");
    assert!(reader.is_finished());
    records
}

fn over(bytes: &[u8]) -> Result<Reader<Cursor<&[u8]>>, StoreError> {
    Reader::new(Cursor::new(bytes), Path::new("test.xbc"))
}

/// A finished file of four blocks of three records each, its records, and where its blocks end.
fn sample() -> (Vec<u8>, Vec<Owned>, Vec<usize>) {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    let (mut records, mut ends) = (Vec::new(), vec![usize::try_from(writer.bytes()).unwrap()]);
    for block in 0..4 {
        for n in 0_u8..3 {
            let time = START + i64::from(block) * SECOND - i64::from(n) * 1_000;
            let payload = format!("{{\"u\":{block},\"n\":{n}}}").repeat(usize::from(n)).into_bytes();
            let kind = if n == 1 { RecordKind::Sent } else { RecordKind::Received };
            writer.append(record(kind, time, &payload)).unwrap();
            records.push((kind, time, payload));
        }
        writer.flush().unwrap();
        ends.push(usize::try_from(writer.bytes()).unwrap());
    }
    writer.finish(no_feed()).unwrap();
    (fs::read(path).unwrap(), records, ends)
}

/// A head that says what it likes, with a CRC that agrees.
fn forged(change: impl FnOnce(&mut Head), body: &[u8]) -> Vec<u8> {
    let (bytes, _, ends) = sample();
    let length = u32::try_from(body.len()).unwrap();
    let mut head = Head {
        end: false,
        number: 0,
        compressed: length,
        raw: 4,
        payload: 1,
        records: 1,
        earliest: 0,
        latest: 0,
        crc: crc32fast::hash(body),
    };
    change(&mut head);
    [&bytes[..ends[0]], &head.to_bytes(), body].concat()
}

fn packed(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap()
}

fn damage(bytes: &[u8]) -> (Vec<Owned>, String) {
    let (records, error) = drain(&mut over(bytes).unwrap());
    match error {
        Some(StoreError::Damaged { expected, .. }) => (records, expected),
        other => panic!("expected damage, found {other:?}"),
    }
}

fn payload_of(kind: RecordKind, bytes: &[u8]) -> Vec<u8> {
    match kind {
        RecordKind::Lost => [&7_u64.to_le_bytes(), bytes].concat(),
        RecordKind::Response => [b"https://example.com/depth\n", bytes].concat(),
        _ => bytes.to_vec(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(RecordKind, i64, Vec<u8>),
    Batch(i64, Vec<Vec<u8>>),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..600);
    let time = || prop_oneof![5 => START..START + 3 * SECOND, 1 => any::<i64>()];
    let kind = (0_u8..7).prop_map(|code| RecordKind::from_code(code).unwrap());
    let append = (kind, time(), bytes()).prop_map(|(kind, time, bytes)| {
        let payload = payload_of(kind, &bytes);
        Step::Append(kind, time, payload)
    });
    let batch =
        (time(), proptest::collection::vec(bytes(), 0..20)).prop_map(|(time, frames)| Step::Batch(time, frames));
    proptest::collection::vec(prop_oneof![6 => append, 3 => batch, 1 => Just(Step::Flush)], 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(steps in steps()) {
        let folder = Folder::new();
        let small = Options { block_bytes: 4096, ..options() };
        let mut writer = Writer::new(&folder.0, meta(), small, Nanos(START)).unwrap();
        let path = writer.path().to_owned();
        let mut expected = Vec::new();
        for step in steps {
            match step {
                Step::Append(kind, time, payload) => {
                    writer.append(record(kind, time, &payload)).unwrap();
                    expected.push((kind, time, payload));
                }
                Step::Batch(time, frames) => {
                    let mut end = 0;
                    let mut end_of = |frame: &Vec<u8>| {
                        end += frame.len();
                        u32::try_from(end).unwrap()
                    };
                    let ends: Vec<u32> = frames.iter().map(&mut end_of).collect();
                    writer.append_batch(Nanos(time), &frames.concat(), &ends).unwrap();
                    expected.extend(frames.into_iter().map(|frame| (RecordKind::Received, time, frame)));
                }
                Step::Flush => writer.flush().unwrap(),
            }
        }
        writer.finish(no_feed()).unwrap();
        prop_assert_eq!(read(&path), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), behind in any::<bool>()) {
        let (file, _, ends) = sample();
        let bytes = if behind { [&file[..ends[1]], &bytes].concat() } else { bytes };
        if let Ok(mut reader) = over(&bytes) {
            let (records, _) = drain(&mut reader);
            prop_assert_eq!(records.len(), 3);
            let _ = reader.recover();
        }
    }

    #[test]
    fn arbitrary_records_with_a_right_crc_never_panic(
        raw in proptest::collection::vec(any::<u8>(), 3..80),
        payload in 0_u32..80,
        records in 1_u32..30,
    ) {
        let body = packed(&raw);
        let bytes = forged(|head| {
            head.raw = u32::try_from(raw.len()).unwrap();
            head.payload = payload;
            head.records = records;
        }, &body);
        let _ = drain(&mut over(&bytes).unwrap());
    }

    #[test]
    fn varints_come_back(value in any::<u64>(), signed in any::<i64>()) {
        let (mut bytes, mut at) = (Vec::new(), 0);
        put_varint(&mut bytes, value);
        prop_assert_eq!(take_varint(&bytes, &mut at), Some(value));
        prop_assert_eq!(at, bytes.len());
        prop_assert_eq!(take_varint(&bytes[..at - 1], &mut 0), None);
        prop_assert_eq!(unzigzag(zigzag(signed)), signed);
    }
}

#[test]
fn every_truncation_gives_the_whole_blocks_before_it_and_a_typed_end() {
    let (bytes, records, ends) = sample();
    for cut in 0..bytes.len() {
        let mut reader = match over(&bytes[..cut]) {
            Ok(reader) => reader,
            Err(StoreError::NotACapture { .. }) if cut == 0 => continue,
            Err(StoreError::Torn { at: 0, .. }) if (1..ends[0]).contains(&cut) => continue,
            Err(error) => panic!("cut at {cut}: {error}"),
        };
        let (found, error) = drain(&mut reader);
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        assert_eq!(found, records[..whole * 3], "cut at {cut}");
        assert!(!reader.is_finished());
        match error {
            None => assert!(ends.contains(&cut)),
            Some(StoreError::Torn { at, found, .. }) => {
                assert_eq!(usize::try_from(at).unwrap(), ends[whole]);
                assert_eq!(usize::try_from(at + found).unwrap(), cut);
            }
            Some(error) => panic!("cut at {cut}: {error}"),
        }
        assert_eq!(reader.recover().unwrap(), None);
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let (bytes, records, ends) = sample();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(mut reader) = over(&bytes) else {
            assert!(bit / 8 < ends[0]);
            continue;
        };
        let (found, error) = drain(&mut reader);
        let whole = ends.iter().filter(|end| **end <= bit / 8).count() - 1;
        assert_eq!(found, records[..whole * 3], "bit {bit}");
        assert!(error.is_some(), "bit {bit}");
        // It says so again when asked again.
        assert_eq!(reader.next().unwrap_err().to_string(), error.unwrap().to_string());
    }
}

#[test]
fn the_reader_goes_on_behind_damage_and_counts_the_blocks_lost() {
    let (bytes, records, ends) = sample();
    // In the second block: in its head, and in its frame.
    for at in [ends[1] + 9, ends[2] - 3] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x40;
        let mut reader = over(&bytes).unwrap();
        let (before, error) = drain(&mut reader);
        assert!(matches!(error, Some(StoreError::Damaged { at, .. }) if at == ends[1] as u64));
        assert_eq!(reader.recover().unwrap(), Some(1));
        let (after, error) = drain(&mut reader);
        assert!(error.is_none() && reader.is_finished());
        assert_eq!(before, records[..3]);
        assert_eq!(after, records[6..]);
    }
}

#[test]
fn a_block_that_is_missing_or_comes_twice_is_noticed() {
    let (bytes, records, ends) = sample();
    let missing = [&bytes[..ends[1]], &bytes[ends[2]..]].concat();
    let mut reader = over(&missing).unwrap();
    let (before, error) = drain(&mut reader);
    assert_eq!(before, records[..3]);
    assert!(error.unwrap().to_string().ends_with("expected block 1, found block 2"));
    assert_eq!(reader.recover().unwrap(), Some(1));
    assert_eq!(drain(&mut reader).0, records[6..]);

    let twice = [&bytes[..ends[2]], &bytes[ends[1]..]].concat();
    let mut reader = over(&twice).unwrap();
    assert_eq!(drain(&mut reader).0, records[..6]);
    assert_eq!(reader.recover().unwrap(), Some(0));
    let (rest, error) = drain(&mut reader);
    assert_eq!((rest.as_slice(), error.is_none()), (&records[6..], true));
}

#[test]
fn nothing_may_follow_the_end_mark() {
    let (mut bytes, records, _) = sample();
    bytes.push(0);
    let (found, expected) = damage(&bytes);
    assert_eq!(found, records);
    assert_eq!(expected, "the end of the file behind the end mark");
}

#[test]
fn hostile_lengths_are_damage_and_take_no_memory() {
    let raw = packed(b"x\0\0\x01");
    assert_eq!(drain(&mut over(&forged(|_| {}, &raw)).unwrap()).0, [(RecordKind::Received, 0, b"x".to_vec())]);
    let lengths = "a block of possible lengths, at most 67108864 bytes";
    let count = "records as the head of their block counts them";
    type Change = fn(&mut Head);
    let cases: [(Change, &str); 9] = [
        (|head| head.raw = u32::MAX, lengths),
        (|head| head.compressed = u32::MAX, lengths),
        (|head| head.records = u32::MAX, lengths),
        (|head| head.records = 0, lengths),
        (|head| head.payload = u32::MAX, lengths),
        (|head| head.raw = 64 << 20, "a zstd frame of 67108864 bytes"),
        (|head| head.payload = 0, count),
        (|head| head.latest = 1, count),
        (|head| (head.raw, head.payload) = (3, 0), "a zstd frame of 3 bytes"),
    ];
    for (change, expected) in cases {
        assert_eq!(damage(&forged(change, &raw)), (Vec::new(), expected.to_owned()));
    }
    // A length beyond the block, and one beyond 64 bits.
    for raw in [b"x\0\0\x02".as_slice(), b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"] {
        let body = packed(raw);
        let payload = u32::from(raw[0] == b'x');
        let bytes = forged(|head| (head.raw, head.payload) = (u32::try_from(raw.len()).unwrap(), payload), &body);
        assert_eq!(damage(&bytes).1, count);
    }
    // A bomb: far more than its head admits.
    let bomb = packed(&vec![0; 32 << 20]);
    assert!(bomb.len() < 4096);
    assert_eq!(damage(&forged(|head| head.raw = 4096, &bomb)).1, "a zstd frame of 4096 bytes");
    // A frame that is promised and never comes.
    let short = forged(|head| (head.compressed, head.raw) = (60 << 20, 60 << 20), &raw);
    assert!(matches!(drain(&mut over(&short).unwrap()).1, Some(StoreError::Torn { .. })));
    // A header that is promised and never comes, and one that is too long.
    let header = |length: u32| [MAGIC.as_slice(), &FORMAT.to_le_bytes(), &length.to_le_bytes(), b"{"].concat();
    assert!(matches!(over(&header(16 << 20)), Err(StoreError::Torn { .. })));
    assert!(matches!(over(&header(u32::MAX)), Err(StoreError::Damaged { .. })));
}

#[test]
fn other_files_and_later_versions_are_refused_by_name() {
    let error = |bytes: &[u8]| over(bytes).err().unwrap().to_string();
    assert!(error(b"").ends_with("found an empty file"));
    assert!(error(b"\x1f\x8b\x08\0").ends_with("found 1f 8b 08 00"));
    let later = [MAGIC.as_slice(), &2_u32.to_le_bytes(), &[0; 8]].concat();
    assert_eq!(error(&later), "test.xbc: expected format version 1, found 2");
}

#[test]
fn the_header_keeps_what_it_was_given() {
    let folder = Folder::new();
    let writer = writer(&folder);
    let path = writer.path().to_owned();
    writer.finish(no_feed()).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    let header = reader.header().clone();
    assert_eq!(header.meta.instruments.get(), meta().instruments.get());
    assert_eq!(serde_json::to_string(&header.meta).unwrap(), serde_json::to_string(&meta()).unwrap());
    assert_eq!((header.started, header.clock.as_str(), header.continues), (Nanos(START), "CLOCK_REALTIME", None));
    assert!(reader.next().unwrap().is_none() && reader.is_finished());
}

#[test]
fn files_are_named_by_the_hour() {
    // `date -u +%Y%m%dT%H -d @...`
    let cases = [
        (START, "20240808T23"),
        (0, "19700101T00"),
        (-1, "19691231T23"),
        (951_782_400 * SECOND, "20000229T00"),
        (4_107_542_399 * SECOND, "21000228T23"),
        (4_107_542_400 * SECOND, "21000301T00"),
        (i64::MIN, "16770921T00"),
        (i64::MAX, "22620411T23"),
    ];
    for (time, name) in cases {
        assert_eq!(hour_name_of(Nanos(time)), name);
    }
}

#[test]
fn a_new_hour_is_a_new_file_that_names_the_one_before() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let first = writer.path().to_owned();
    let next = (START / HOUR + 1) * HOUR;
    writer.append(received(next - 1, b"before")).unwrap();
    assert!(writer.tick(Nanos(next - 1), || panic!("no file ends here")).unwrap().is_none());
    let feed = || RawValue::from_string(r#"{"gaps":[[5,7]]}"#.to_owned()).unwrap();
    let manifest = writer.tick(Nanos(next), feed).unwrap().unwrap();
    assert_eq!(manifest.feed.get(), r#"{"gaps":[[5,7]]}"#);
    writer.append(received(next, b"after")).unwrap();
    // A clock that steps back a little stays where it is.
    assert!(writer.tick(Nanos(next - 1), no_feed).unwrap().is_none());
    let second = writer.path().to_owned();
    let last = writer.finish(no_feed()).unwrap();
    assert_eq!(manifest.file, "binance-usdm-binance-0-20240808T23.xbc");
    assert_eq!(last.file, "binance-usdm-binance-0-20240809T00.xbc");
    assert_eq!(last.continues.as_deref(), Some(manifest.file.as_str()));
    assert_eq!(Reader::open(&second).unwrap().header().continues, last.continues);
    assert_eq!(read(&first), [(RecordKind::Received, next - 1, b"before".to_vec())]);
    assert_eq!(read(&second), [(RecordKind::Received, next, b"after".to_vec())]);
}

#[test]
fn a_long_file_is_followed_by_another_in_the_same_hour() {
    let folder = Folder::new();
    let tiny = Options { max_bytes: Some(1), ..options() };
    let mut writer = Writer::new(&folder.0, meta(), tiny, Nanos(START)).unwrap();
    // The header alone is no reason.
    assert!(writer.tick(Nanos(START), no_feed).unwrap().is_none());
    writer.append(received(START, b"x")).unwrap();
    writer.flush().unwrap();
    assert!(writer.tick(Nanos(START), no_feed).unwrap().is_some());
    writer.finish(no_feed()).unwrap();
    let stem = "binance-usdm-binance-0-20240808T23";
    let names = [".1.json", ".1.xbc", ".json", ".xbc"].map(|end| format!("{stem}{end}"));
    assert_eq!(folder.names(), names);
}

#[test]
fn a_restart_takes_a_new_name_and_leaves_everything_as_it_was() {
    let folder = Folder::new();
    let mut killed = writer(&folder);
    let first = killed.path().to_owned();
    killed.append(received(START, b"x")).unwrap();
    killed.flush().unwrap();
    std::mem::forget(killed);
    let before = fs::read(&first).unwrap();
    let second = writer(&folder);
    assert!(second.path().ends_with("binance-usdm-binance-0-20240808T23.1.xbc"));
    second.finish(no_feed()).unwrap();
    // Its file was moved away; its manifest stays.
    fs::remove_file(folder.0.join("binance-usdm-binance-0-20240808T23.1.xbc")).unwrap();
    let third = writer(&folder);
    assert!(third.path().ends_with("binance-usdm-binance-0-20240808T23.2.xbc"));
    assert_eq!(fs::read(&first).unwrap(), before);
    assert!(!Manifest::path_of(&first).exists());
    let (manifest, stopped) = Manifest::survey(&first).unwrap();
    assert!(stopped.is_none());
    assert_eq!((manifest.finished, manifest.counts.received), (false, 1));
}

#[test]
fn a_kill_loses_at_most_one_flush_interval() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    let step = SECOND / 20;
    let mut sent = Vec::new();
    for n in 0..100 {
        let time = START + n * step;
        writer.tick(Nanos(time), no_feed).unwrap();
        if n % 7 < 3 {
            writer.append(received(time, b"frame")).unwrap();
            sent.push(time);
        }
        // What is in the file now is what a kill would leave.
        let (found, error) = drain(&mut Reader::open(&path).unwrap());
        assert!(error.is_none());
        let kept: Vec<_> = found.iter().map(|(_, time, _)| *time).collect();
        assert_eq!(kept, sent[..kept.len()]);
        assert!(sent.iter().skip(kept.len()).all(|sent| time - sent < SECOND), "{n}");
    }
}

#[test]
fn a_block_that_waited_is_written_before_the_next_record_even_without_a_tick() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    for n in 0..3 {
        writer.append(received(START + n * SECOND, b"frame")).unwrap();
    }
    assert_eq!(drain(&mut Reader::open(&path).unwrap()).0.len(), 2);
    // Dropped, it still writes what it has, and claims no more than that.
    drop(writer);
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(drain(&mut reader).0.len(), 3);
    assert!(!reader.is_finished() && !Manifest::path_of(&path).exists());
}

#[test]
fn empty_payloads_are_records_too() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    writer.append(received(START, b"")).unwrap();
    writer.append_batch(Nanos(START), b"", &[0, 0]).unwrap();
    writer.append_batch(Nanos(START), b"", &[]).unwrap();
    let manifest = writer.finish(no_feed()).unwrap();
    assert_eq!((manifest.counts.received, manifest.payload_bytes), (3, 0));
    assert_eq!(read(&path), vec![(RecordKind::Received, START, Vec::new()); 3]);
}

#[test]
fn a_frame_of_five_megabytes_fits_and_one_of_64_mebibytes_is_refused() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    let mut state = 1_u32;
    // Noise: it does not compress.
    let giant: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take(5_000_000)
    .collect();
    writer.append(received(START, b"small")).unwrap();
    writer.append(received(START, &giant)).unwrap();
    let error = writer.append(received(START, &vec![0; MAX_PAYLOAD + 1])).unwrap_err();
    assert!(matches!(error, StoreError::TooLong { length, .. } if length == MAX_PAYLOAD + 1));
    writer.append(received(START, &vec![0; MAX_PAYLOAD])).unwrap();
    writer.append(received(START, b"small")).unwrap();
    writer.finish(no_feed()).unwrap();
    let lengths: Vec<_> = read(&path).into_iter().map(|(_, _, payload)| payload.len()).collect();
    assert_eq!(lengths, [5, 5_000_000, MAX_PAYLOAD, 5]);
}

#[test]
fn what_cannot_be_recorded_is_refused_and_the_writer_goes_on() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    assert!(writer.append_batch(Nanos(START), b"abc", &[2, 1, 3]).is_err());
    assert!(writer.append_batch(Nanos(START), b"abc", &[2]).is_err());
    assert!(writer.append_batch(Nanos(START), b"abc", &[2, 4]).is_err());
    assert!(writer.append(record(RecordKind::Lost, START, b"seven b")).is_err());
    assert!(writer.append(record(RecordKind::Response, START, b"no newline")).is_err());
    assert!(writer.append_response(Nanos(START), "two\nlines", b"").is_err());
    writer.append_batch(Nanos(START), b"abc", &[2, 3]).unwrap();
    writer.finish(no_feed()).unwrap();
    assert_eq!(read(&path).len(), 2);
    for venue in ["", "..", "a/b", "a\0", "münchen", &"x".repeat(65)] {
        let meta = Meta { venue: venue.to_owned(), ..meta() };
        assert!(matches!(Writer::new(&folder.0, meta, options(), Nanos(START)), Err(StoreError::Refused { .. })));
    }
}

#[test]
fn answers_and_losses_keep_their_parts() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    writer.append_response(Nanos(START), "https://api/depth", b"{\n}").unwrap();
    writer.append_lost(Nanos(START), u64::MAX, "queue full").unwrap();
    writer.append_lost(Nanos(START), 2, "").unwrap();
    let manifest = writer.finish(no_feed()).unwrap();
    assert_eq!((manifest.counts.losses, manifest.counts.frames_lost, manifest.counts.records()), (2, u64::MAX, 3));
    let mut reader = Reader::open(&path).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!(record.response(), Some((b"https://api/depth".as_slice(), b"{\n}".as_slice())));
    assert_eq!(record.lost(), None);
    assert_eq!(reader.next().unwrap().unwrap().lost(), Some((u64::MAX, b"queue full".as_slice())));
}

#[test]
fn a_manifest_agrees_with_its_file() {
    let folder = Folder::new();
    let small = Options { block_bytes: 4096, sync: SyncPolicy::Block, ..options() };
    let mut writer = Writer::new(&folder.0, meta(), small, Nanos(START)).unwrap();
    let path = writer.path().to_owned();
    for (n, kind) in (0..2_000).zip(RecordKind::ALL.into_iter().cycle()) {
        let payload = payload_of(kind, format!("{{\"u\":{n}}}").as_bytes());
        writer.append(record(kind, START - n, &payload)).unwrap();
    }
    let feed = RawValue::from_string(r#"{"btcusdt@trade": {"count": 3, "first": 0.10}}"#.to_owned()).unwrap();
    let manifest = writer.finish(feed).unwrap();
    let written = Manifest::read(&Manifest::path_of(&path)).unwrap();
    assert_eq!(serde_json::to_string(&written).unwrap(), serde_json::to_string(&manifest).unwrap());

    let bytes = fs::read(&path).unwrap();
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((manifest.bytes, &manifest.sha256), (bytes.len() as u64, &digest));
    assert_eq!((manifest.earliest, manifest.latest), (Some(Nanos(START - 1_999)), Some(Nanos(START))));
    assert_eq!((manifest.counts.received, manifest.counts.notes, manifest.counts.records()), (286, 285, 2_000));
    assert_eq!(manifest.counts.frames_lost, 7 * manifest.counts.losses);
    assert!(manifest.blocks > 1 && manifest.finished);

    let (mut survey, stopped) = Manifest::survey(&path).unwrap();
    assert!(stopped.is_none());
    survey.feed = manifest.feed.clone();
    assert_eq!(serde_json::to_string(&survey).unwrap(), serde_json::to_string(&manifest).unwrap());
    assert_eq!(folder.names().len(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_writer_and_leaves_what_was_written() {
    let folder = Folder::new();
    let mut writer = writer(&folder);
    let path = writer.path().to_owned();
    writer.append(received(START, b"kept")).unwrap();
    writer.flush().unwrap();
    let kept = writer.bytes();
    writer.redirect(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    writer.append(received(START, b"lost")).unwrap();
    let error = writer.tick(Nanos(START + SECOND), no_feed).unwrap_err();
    assert!(matches!(&error, StoreError::Full { at, .. } if *at == kept), "{error:?}");
    assert!(error.to_string().contains("expected room on the disk"));
    for again in
        [writer.append(received(START, b"more")), writer.append_batch(Nanos(START), b"x", &[1]), writer.flush()]
    {
        assert_eq!(again.unwrap_err().to_string(), error.to_string());
    }
    assert_eq!(writer.tick(Nanos(START + HOUR), no_feed).unwrap_err().to_string(), error.to_string());
    assert_eq!(writer.failed().unwrap().to_string(), error.to_string());
    assert_eq!(writer.finish(no_feed()).unwrap_err().to_string(), error.to_string());
    assert!(!Manifest::path_of(&path).exists());
    assert_eq!(drain(&mut Reader::open(&path).unwrap()).0, [(RecordKind::Received, START, b"kept".to_vec())]);
}

#[test]
fn a_folder_that_is_none_is_an_error_of_the_system() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(Writer::new(&file, meta(), options(), Nanos(START)), Err(StoreError::Io { .. })));
}
