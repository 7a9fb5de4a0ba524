//! Damaged capture files: ours, and those of others.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crossbook::capture::identify;
use crossbook::capture::store::{Meta, Options, Reader, Record, RecordKind, Writer};
use crossbook::units::Nanos;

use crate::Budget;
use crate::memory;
use crate::mutate::{Rng, mutate};
use crate::world::calmly;

/// A folder of its own that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("crossbook-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Kept = (RecordKind, i64, Vec<u8>);

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

/// A whole file of a few blocks, and what is in it.
fn written(rng: &mut Rng, folder: &Path, number: usize) -> (Vec<u8>, Vec<Kept>) {
    let meta = Meta {
        venue: "kraken".to_owned(),
        protocol: "kraken-v2".to_owned(),
        connection: format!("c{number}"),
        url: "wss://ws.kraken.com/v2".to_owned(),
        instruments: raw("[]"),
        channels: vec!["book".to_owned()],
        depth: Some(10),
    };
    let options = Options { block_bytes: 4 << 10, ..Options::default() };
    let mut time = 1_700_000_000_000_000_000;
    let mut writer = Writer::new(folder, meta, options, Nanos(time)).expect("a writer");
    let path = writer.path().to_owned();
    let mut kept = Vec::new();
    for _ in 0..1 + rng.size(100) {
        time += 1_000 - i64::try_from(rng.size(2_000)).expect("small");
        let kind = *rng.pick(&RecordKind::ALL);
        let payload: Vec<u8> = match kind {
            RecordKind::Received => format!("{{\"channel\":\"book\",\"at\":{time}}}").into_bytes(),
            RecordKind::Response => b"https://api.kraken.com\n{}".to_vec(),
            RecordKind::Lost => 7_u64.to_le_bytes().to_vec(),
            _ => (0..rng.size(400)).map(|_| rng.byte()).collect(),
        };
        writer.append(Record { kind, ts_recv: Nanos(time), payload: &payload }).expect("a record");
        kept.push((kind, time, payload));
        if rng.percent(10) {
            writer.flush().expect("a block");
        }
    }
    if rng.percent(80) {
        writer.finish(raw("{}")).expect("an end");
    } else {
        writer.flush().expect("a block");
    }
    (std::fs::read(path).expect("the file"), kept)
}

const HEAD: usize = 48;

/// Writes the checksums anew, so that what was altered behind them is believed.
fn signed(bytes: &mut [u8], rng: &mut Rng) {
    let word =
        |bytes: &[u8], at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().expect("4")));
    let header = word(bytes, 12).map_or(0, |length| (length as usize).min(bytes.len()) + 16);
    if rng.percent(50)
        && let Some(covered) = bytes.get(..header)
    {
        let crc = crc32fast::hash(covered).to_le_bytes();
        if let Some(place) = bytes.get_mut(header..header + 4) {
            place.copy_from_slice(&crc);
        }
    }
    let heads: Vec<usize> = (0..bytes.len().saturating_sub(HEAD - 1))
        .filter(|&at| bytes[at..].starts_with(b"XBLK") || bytes[at..].starts_with(b"XEND"))
        .collect();
    for at in heads {
        let length = word(bytes, at + 8).unwrap_or(0) as usize;
        if let Some(body) = bytes.get(at + HEAD..(at + HEAD).saturating_add(length)) {
            let crc = crc32fast::hash(body).to_le_bytes();
            bytes[at + 40..at + 44].copy_from_slice(&crc);
        }
        let crc = crc32fast::hash(&bytes[at..at + 44]).to_le_bytes();
        bytes[at + 44..at + 48].copy_from_slice(&crc);
    }
}

/// Bytes of a file change, here and there, or a number of a head becomes an absurd one.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + rng.size(4) {
        if rng.percent(50) && !bytes.is_empty() {
            let heads: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"XBLK")).collect();
            let at = if heads.is_empty() { 8 } else { *rng.pick(&heads) + 4 * rng.below(12) };
            let word =
                *rng.pick(&[0, 1, 47, 48, 49, 255, 1 << 16, 64 << 20, (64 << 20) + 1, i32::MAX as u32, u32::MAX]);
            if let Some(place) = bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        } else {
            mutate(rng, bytes, other);
        }
    }
}

/// Reads all that can be read. Without checksums written anew, every record must be one that was written, in its order.
fn read(bytes: Vec<u8>, kept: Option<&[Kept]>) -> Result<usize, String> {
    let length = bytes.len();
    let Ok(mut reader) = Reader::new(Cursor::new(bytes), Path::new("damaged.xbc")) else { return Ok(0) };
    let (mut given, mut next, mut recovered) = (0, 0, 0);
    loop {
        match reader.next() {
            Ok(None) => return Ok(given),
            Ok(Some(record)) => {
                given += 1;
                let Some(kept) = kept else { continue };
                let same = |one: &Kept| one.0 == record.kind && one.1 == record.ts_recv.0 && one.2 == record.payload;
                match kept.iter().skip(next).position(same) {
                    Some(at) => next += at + 1,
                    None => return Err(format!("store: record {given} was never written, or not there")),
                }
            }
            Err(_) => {
                recovered += 1;
                if recovered > length {
                    return Err("store: recovers without end".to_owned());
                }
                match reader.recover() {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(given),
                    Err(error) => return Err(format!("store: {error}")),
                }
            }
        }
    }
}

/// Memory that one small file may take: a block and its zstd window, a line of the longest kind, a screenful of frames.
const ROOM: i64 = 320 << 20;

pub fn store(rng: &mut Rng, budget: &mut Budget) -> Result<(), String> {
    let folder = Folder::new("store");
    let originals: Vec<(Vec<u8>, Vec<Kept>)> = (0..16).map(|number| written(rng, &folder.0, number)).collect();
    for (bytes, kept) in &originals {
        assert_eq!(read(bytes.clone(), Some(kept)), Ok(kept.len()), "an undamaged file is read whole");
    }
    while budget.more() {
        let ((bytes, kept), (other, _)) = (rng.pick(&originals), rng.pick(&originals));
        let mut bytes = bytes.clone();
        // Blocks of another file are whole, only strange.
        let own = rng.percent(50);
        damage(rng, &mut bytes, if own { b"X" } else { other });
        let believed = !own || rng.percent(50);
        if believed {
            signed(&mut bytes, rng);
        }
        let shown = bytes.clone();
        let before = memory::live();
        memory::start();
        let result = calmly(|| read(bytes, (!believed).then_some(kept.as_slice()))).and_then(|result| result.map(drop));
        if let Err(fault) = result {
            let path = std::env::temp_dir().join("crossbook-fuzz.xbc");
            std::fs::write(&path, shown).expect("the file");
            return Err(format!("{fault}: {}", path.display()));
        }
        if memory::peak() - before > ROOM {
            return Err(format!("store: {} bytes of memory", memory::peak() - before));
        }
    }
    Ok(())
}

/// A hundred lines of two MiB, packed.
pub fn bomb() -> PathBuf {
    let path = std::env::temp_dir().join(format!("crossbook-bomb-{}.gz", std::process::id()));
    let file = std::fs::File::create(&path).expect("a file");
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let line = format!("{{\"a\":\"{}\"}}\n", "0".repeat(2 << 20));
    (0..100).for_each(|_| packer.write_all(line.as_bytes()).expect("a line"));
    packer.finish().expect("a file");
    path
}

const NAMES: &[&str] = &[
    "spot-btcusdt.gz",
    "usdm-btcusdt.jsonl",
    "kraken-XBT-USD.txt",
    "COINBASE.ws.28.0",
    "COINBASE.ws.28.0.gz",
    "KUCOIN.http.0.0",
    "frames.jsonl",
    "a.xbc",
    "a",
    "okx-.gz",
    "-.gz",
];

pub fn identified(rng: &mut Rng, budget: &mut Budget, frames: &[Vec<u8>]) -> Result<(), String> {
    let folder = Folder::new("identify");
    let capture = written(rng, &folder.0, 0).0;
    while budget.more() {
        let name = *rng.pick(NAMES);
        let mut text = Vec::new();
        for _ in 0..rng.size(12) {
            let mut frame =
                if frames.is_empty() || rng.percent(10) { b"{}".to_vec() } else { rng.pick(frames).clone() };
            if rng.percent(60) {
                let other = if frames.is_empty() { Vec::new() } else { rng.pick(frames).clone() };
                mutate(rng, &mut frame, &other);
            }
            let prefix = *rng.pick(&[
                "",
                "1700000000000000000 ",
                "1618677816.84: ",
                "wss://ws.kraken.com <-> 1618677816.8",
                "https://api.kraken.com/0/public/Depth?pair=X -> 1618677816.8: ",
                "wss://ws.kraken.com <- 99999999999.99999999999999: ",
                "-9223372036854775808 ",
                "9223372036854775807 ",
                "configuration: ",
            ]);
            text.extend_from_slice(prefix.as_bytes());
            text.append(&mut frame);
            text.push(b'\n');
        }
        if rng.percent(20) {
            text = capture.clone();
            damage(rng, &mut text, &capture);
            signed(&mut text, rng);
        }
        if rng.percent(40) {
            let other = text.clone();
            mutate(rng, &mut text, &other);
        }
        if name.ends_with(".gz") && rng.percent(80) {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&text).expect("memory");
            text = packer.finish().expect("memory");
            if rng.percent(30) {
                damage(rng, &mut text, b"\x1f\x8b");
            }
        }
        let path = folder.0.join(name);
        std::fs::write(&path, &text).expect("a file");
        let before = memory::live();
        memory::start();
        let result = calmly(|| identify(&path).map(drop));
        let peak = memory::peak() - before;
        if let Err(fault) = result {
            let kept = std::env::temp_dir().join(format!("crossbook-fuzz-{name}"));
            std::fs::write(&kept, &text).expect("the file");
            return Err(format!("{fault}: {}", kept.display()));
        }
        if peak > ROOM {
            return Err(format!("identify: {peak} bytes of memory for a file of {} named {name}", text.len()));
        }
    }
    Ok(())
}
