//! What an exchange reads: commands, journals, snapshots. Arbitrary bytes and mutated valid ones.

use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use crossbook::exchange::{Command, Exchange, Fsync, Journal, JournalReader, Rules};

use crate::Budget;
use crate::generate::{self, Generator};
use crate::memory;
use crate::mutate::{Rng, mutate, noise};
use crate::world::calmly;

/// Beyond a multiple of its length, what a small input may take.
const ROOM: i64 = 1 << 20;
const PER_BYTE: i64 = 64;

/// What a reader says to bytes: the answer without its numbers, or a fault.
type Answer = Result<String, String>;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format!("exchange-{target}"))
}

/// What earlier runs found.
fn found(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(target))
        .unwrap_or_else(|error| panic!("{}: {error}", folder(target).display()))
        .map(|entry| entry.expect("a corpus file").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a corpus file")).collect()
}

/// An answer without its numbers and without what it found.
fn class(text: &str) -> String {
    let told = text.split(" found").next().unwrap_or_default().split(" got").next().unwrap_or_default();
    let words: Vec<&str> =
        told.split(' ').filter(|word| !word.contains(|letter: char| letter.is_ascii_digit())).collect();
    words.join(" ")
}

/// An input here, a number of it there becomes an absurd one.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + rng.size(3) {
        let numbers = [0, 1, 2, -1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1, 1 << 62, 0x7fff_ffff, 0xffff_ffff];
        match rng.below(4) {
            0 if bytes.len() >= 8 => {
                let at = rng.below(bytes.len() - 7);
                let number = *rng.pick(&numbers);
                bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            1 if !bytes.is_empty() => {
                let at = rng.below(bytes.len());
                bytes[at] = if rng.percent(50) { rng.byte() } else { bytes[at] ^ 1 << rng.below(8) };
            }
            2 if bytes.len() >= 16 => {
                // A run of bytes from elsewhere, often an order on top of another one.
                let (from, to) = (rng.below(bytes.len()), rng.below(bytes.len()));
                let length = (1 + rng.size(120)).min(bytes.len() - from.max(to));
                bytes.copy_within(from..from + length, to);
            }
            _ => mutate(rng, bytes, other),
        }
    }
}

fn run(
    target: &str,
    rng: &mut Rng,
    budget: &mut Budget,
    mut seeds: Vec<Vec<u8>>,
    sign: impl Fn(&mut [u8]),
    read: impl Fn(&[u8], u64) -> Answer,
) -> Result<(), String> {
    seeds.extend(found(target));
    let whole = seeds.len();
    let keep =
        std::env::var_os("CROSSBOOK_FUZZ_KEEP").map(|keep| PathBuf::from(keep).join(format!("exchange-{target}")));
    let (mut said, mut accepted) = (HashSet::new(), 0_u64);
    while budget.more() {
        let bases = &seeds[..if rng.percent(70) { whole } else { seeds.len() }];
        let mut bytes = if rng.percent(5) { noise(rng) } else { rng.pick(bases).clone() };
        if rng.percent(95) {
            let other = rng.pick(&seeds).clone();
            damage(rng, &mut bytes, &other);
        }
        if rng.percent(80) {
            sign(&mut bytes);
        }
        let (before, word) = (memory::live(), rng.next());
        memory::start();
        let answer = calmly(|| read(&bytes, word)).and_then(|answer| answer);
        let peak = memory::peak() - before;
        let most = ROOM + PER_BYTE * i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let answer = answer.and_then(|text| {
            if peak > most { Err(format!("{peak} bytes of memory for {} bytes", bytes.len())) } else { Ok(text) }
        });
        match answer {
            Ok(text) => {
                accepted += u64::from(text.starts_with("read"));
                if said.insert(class(&text)) && bytes.len() < 2_048 {
                    if let Some(folder) = &keep {
                        std::fs::create_dir_all(folder).expect("CROSSBOOK_FUZZ_KEEP: a folder");
                        std::fs::write(folder.join(format!("{:03}.bin", said.len())), &bytes).expect("a file");
                    }
                    seeds.push(bytes);
                }
            }
            Err(fault) => {
                let path = std::env::temp_dir().join(format!("crossbook-fuzz-{target}.bin"));
                std::fs::write(&path, bytes).expect("the file");
                return Err(format!("{fault}: {} and word {word}", path.display()));
            }
        }
    }
    eprintln!("{target}: {accepted} read, {} kinds of answers", said.len());
    Ok(())
}

pub fn commands(rng: &mut Rng, budget: &mut Budget) -> Result<(), String> {
    let mut generator = Generator::new(1, &Rules::default());
    let mut seeds: Vec<Vec<u8>> = (0..40).map(|_| generator.next().to_bytes().to_vec()).collect();
    seeds.extend((0..20).map(|seed| generate::rules(seed).to_bytes()));
    run(
        "command",
        rng,
        budget,
        seeds,
        |_| {},
        |bytes, _| {
            let rules = match Rules::from_bytes(bytes) {
                Ok(rules) if rules.to_bytes() != bytes => return Err("rules: another encoding".to_owned()),
                Ok(rules) => match Exchange::new(rules) {
                    Ok(_) => "rules".to_owned(),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            match Command::from_bytes(bytes) {
                Ok(command) if command.to_bytes() != bytes => Err("command: another encoding".to_owned()),
                Ok(command) => {
                    let mut exchange = Exchange::new(Rules::default()).map_err(|error| error.to_string())?;
                    exchange
                        .apply(&Command::limit(1, crossbook::units::Side::Bid, command.price, command.size), |_| {});
                    exchange.apply(&command, |_| {});
                    Ok("read".to_owned())
                }
                Err(error) => Ok(format!("{error} {rules}")),
            }
        },
    )
}

/// Gives a snapshot its checksums and lengths, so that what was altered behind them is believed.
fn sign_snapshot(bytes: &mut [u8]) {
    if bytes.len() < 28 {
        return;
    }
    let length = (bytes.len() - 28) as u64;
    bytes[12..20].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes[28..]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
}

pub fn snapshots(rng: &mut Rng, budget: &mut Budget) -> Result<(), String> {
    let mut seeds = Vec::new();
    for seed in 0..40 {
        let rules = generate::rules(seed);
        let mut generator = Generator::new(seed, &rules);
        let mut exchange = Exchange::new(rules).map_err(|error| error.to_string())?;
        for number in 0..200 {
            exchange.apply(&generator.next(), |_| {});
            if number % 40 == 39 {
                seeds.push(exchange.snapshot());
            }
        }
    }
    run("snapshot", rng, budget, seeds, sign_snapshot, |bytes, word| match Exchange::restore(bytes) {
        Err(error) => Ok(error.to_string()),
        Ok(mut exchange) if exchange.snapshot() == bytes => {
            let mut generator = Generator::new(word, &exchange.rules().clone());
            for _ in 0..12 {
                exchange.apply(&generator.next(), |_| {});
            }
            Ok("read".to_owned())
        }
        Ok(_) => Err("what was restored has another snapshot".to_owned()),
    })
}

/// Gives the header and every block of a journal their checksums.
fn sign_journal(bytes: &mut [u8]) {
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map_or(0, |word| u32::from_le_bytes(word.try_into().expect("4")) as usize)
    };
    let rules = 24 + word(bytes, 12);
    if rules + 4 > bytes.len() {
        return;
    }
    let crc = crc32fast::hash(&bytes[..rules]);
    bytes[rules..rules + 4].copy_from_slice(&crc.to_le_bytes());
    let salt = bytes[16..24].to_vec();
    let mut at = rules + 4;
    while at + 24 <= bytes.len() {
        let body = word(bytes, at + 4).saturating_mul(Command::BYTES).min(bytes.len() - at - 24);
        let crc = crc32fast::hash(&[&salt, &bytes[at + 24..at + 24 + body]].concat());
        bytes[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&[&salt, &bytes[at..at + 20]].concat());
        bytes[at + 20..at + 24].copy_from_slice(&crc.to_le_bytes());
        at += 24 + body;
    }
}

pub fn journals(rng: &mut Rng, budget: &mut Budget) -> Result<(), String> {
    let path = std::env::temp_dir().join(format!("crossbook-fuzz-journal-{}", std::process::id()));
    let mut seeds = Vec::new();
    for seed in 0..12 {
        let rules = generate::rules(seed);
        let mut generator = Generator::new(seed, &rules);
        let mut journal = Journal::create(&path, &rules, Fsync::Never).map_err(|error| error.to_string())?;
        for block in 0..4 {
            let commands: Vec<Command> = (0..1 + block).map(|_| generator.next()).collect();
            journal.append(&commands).map_err(|error| error.to_string())?;
        }
        drop(journal);
        seeds.push(std::fs::read(&path).expect("the file"));
        std::fs::remove_file(&path).expect("the file");
    }
    run("journal", rng, budget, seeds, sign_journal, |bytes, _| {
        let mut reader = match JournalReader::new(Cursor::new(bytes), Path::new("journal")) {
            Ok(reader) => reader,
            Err(error) => return Ok(error.to_string()),
        };
        let mut exchange = Exchange::new(reader.rules().clone()).map_err(|error| error.to_string())?;
        loop {
            match reader.next() {
                Ok(Some(command)) => exchange.apply(&command, |_| {}),
                Ok(None) => break,
                Err(error) => return Ok(error.to_string()),
            }
        }
        let recovered = reader.recovered();
        let most = (bytes.len() / Command::BYTES) as u64;
        if recovered.commands > most || recovered.dropped_bytes > bytes.len() as u64 {
            return Err(format!("{recovered:?} of {} bytes", bytes.len()));
        }
        Ok(recovered.message.unwrap_or_else(|| "read".to_owned()))
    })
}
