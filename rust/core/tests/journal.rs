//! An exchange that is written down: commands as bytes, snapshots, the journal.

#[path = "../src/exchange/tests/generate.rs"]
mod generate;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use crossbook::exchange::{
    Action, CodecError, Command, Exchange, Execution, Fsync, Journal, JournalError, JournalReader, JournaledExchange,
    Rules, SnapshotError, State, snapshot_path,
};
use crossbook::units::{Nanos, Price, Side, Size};
use proptest::prelude::*;

use self::generate::Generator;

/// Runs this many times as many cases with `CROSSBOOK_SLOW=n`.
fn cases(n: u32) -> ProptestConfig {
    let factor: u32 =
        std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"));
    ProptestConfig::with_cases(n * factor)
}

/// A folder of its own that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("crossbook-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for files");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("commands.xbj")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn commands(seed: u64, rules: &Rules, count: usize) -> Vec<Command> {
    let mut generator = Generator::new(seed, rules);
    (0..count).map(|_| generator.next()).collect()
}

fn run(exchange: &mut Exchange, commands: &[Command]) -> Vec<Execution> {
    let mut said = Vec::new();
    for command in commands {
        exchange.apply(command, |execution| said.push(*execution));
    }
    said
}

/// FNV-1a over every field.
fn digest(executions: &[Execution]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for one in executions {
        let words = [
            one.sequence,
            one.order_id,
            one.counter_id,
            one.price.0.cast_unsigned(),
            one.size.0.cast_unsigned(),
            one.remaining.0.cast_unsigned(),
            one.fee.cast_unsigned(),
            one.counter_fee.cast_unsigned(),
            u64::from(one.account),
            u64::from(one.counter_account),
            one.kind as u64,
            one.side.map_or(2, |side| side as u64),
            one.reason as u64,
            one.state as u64,
        ];
        for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

// ---- commands and rules as bytes

#[test]
fn every_command_and_all_rules_are_read_as_they_were_written() {
    for seed in 0..200 {
        let rules = generate::rules(seed);
        assert_eq!(Rules::from_bytes(&rules.to_bytes()), Ok(rules.clone()));
        for command in commands(seed, &rules, 50) {
            assert_eq!(Command::from_bytes(&command.to_bytes()), Ok(command));
        }
    }
}

#[test]
fn the_layout_of_a_command_is_the_documented_one() {
    let command = Command {
        ts: Nanos(1),
        order_id: 2,
        price: Price(-1),
        size: Size(4),
        trigger: Price(5),
        display: Size(6),
        expires: Nanos(7),
        link: 8,
        account: 9,
        action: Action::State,
        side: Side::Ask,
        state: State::Closed,
        one_side: true,
        ..Command::new(Action::New)
    };
    let bytes = command.to_bytes();
    assert_eq!(bytes[..9], [1, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(bytes[16..24], [0xff; 8]);
    assert_eq!((bytes[24], bytes[32], bytes[40], bytes[48], bytes[56], bytes[64]), (4, 5, 6, 7, 8, 9));
    assert_eq!(bytes[68..], [6, 1, 0, 0, 0, 0, 4, 1]);
}

#[test]
fn an_unknown_code_is_refused_with_its_field_and_place() {
    for (offset, field, below) in [
        (68, "action", 10),
        (69, "side", 2),
        (70, "order_type", 8),
        (71, "time_in_force", 7),
        (72, "self_trade", 5),
        (73, "post_only", 3),
        (74, "state", 5),
        (75, "one_side", 2),
    ] {
        let mut bytes = Command::cancel(1).to_bytes();
        bytes[offset] = below;
        let offset = offset as u64;
        assert_eq!(Command::from_bytes(&bytes), Err(CodecError::Code { field, offset, below, got: below }));
    }
    let bytes = Command::cancel(1).to_bytes();
    let short = CodecError::Short { field: "link", offset: 56, expected: 8, found: 4 };
    assert_eq!(Command::from_bytes(&bytes[..60]), Err(short));
    let long = CodecError::Long { offset: 76, found: 1 };
    assert_eq!(Command::from_bytes(&[bytes.as_slice(), &[0]].concat()), Err(long));
}

// ---- snapshots

/// What an exchange and its copy say must be the same from a snapshot on.
fn goes_on_the_same(rules: &Rules, commands: &[Command], at: usize) -> Result<(), TestCaseError> {
    let mut exchange = Exchange::new(rules.clone()).expect("rules");
    run(&mut exchange, &commands[..at]);
    let snapshot = exchange.snapshot();
    let mut copy = match Exchange::restore(&snapshot) {
        Ok(copy) => copy,
        Err(error) => return Err(TestCaseError::fail(format!("{error}; {commands:#?}"))),
    };
    prop_assert_eq!(&copy.snapshot(), &snapshot);
    prop_assert_eq!(copy.orders(), exchange.orders());
    for (number, command) in commands.iter().enumerate().skip(at) {
        let one = std::slice::from_ref(command);
        prop_assert_eq!(run(&mut copy, one), run(&mut exchange, one), "command {}: {:?}", number, command);
    }
    prop_assert_eq!(copy.snapshot(), exchange.snapshot());
    prop_assert_eq!(copy.orders(), exchange.orders());
    prop_assert_eq!(copy.quote(), exchange.quote());
    prop_assert_eq!(copy.indicative(), exchange.indicative());
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn a_restored_exchange_goes_on_as_the_first(
        rules in any::<u64>(),
        words in prop::collection::vec(any::<u64>(), 1..250),
        part in 0.0..1.0,
    ) {
        let rules = generate::rules(rules);
        let mut generator = Generator::new(0, &rules);
        let commands: Vec<Command> = words.into_iter().map(|word| generator.of(word)).collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (part * commands.len() as f64) as usize;
        goes_on_the_same(&rules, &commands, at)?;
    }
}

#[test]
fn a_snapshot_after_every_command_can_be_restored() {
    for seed in 0..60 {
        let rules = generate::rules(seed);
        let mut exchange = Exchange::new(rules.clone()).expect("rules");
        let mut copy = exchange.clone();
        for (number, command) in commands(seed, &rules, 400).iter().enumerate() {
            let one = std::slice::from_ref(command);
            assert_eq!(run(&mut copy, one), run(&mut exchange, one), "seed {seed}, command {number}: {command:?}");
            let snapshot = exchange.snapshot();
            copy = Exchange::restore(&snapshot).unwrap_or_else(|error| panic!("seed {seed}, {number}: {error}"));
            assert_eq!(copy.snapshot(), snapshot, "seed {seed}, command {number}");
        }
    }
}

#[test]
fn the_same_state_has_the_same_bytes_whatever_was_there_before() {
    let orders = [
        Command::limit(1, Side::Bid, Price(99), Size(5)),
        Command::limit(2, Side::Bid, Price(99), Size(6)),
        Command::limit(3, Side::Ask, Price(101), Size(7)),
    ];
    let mut first = Exchange::new(Rules::default()).expect("rules");
    let mut second = Exchange::new(Rules::default()).expect("rules");
    let others: Vec<Command> = (10..40).map(|id| Command::limit(id, Side::Bid, Price(90), Size(1))).collect();
    run(&mut first, &others);
    run(&mut first, &(10..40).rev().map(Command::cancel).collect::<Vec<_>>());
    // The same number of commands, and nothing left of them.
    for _ in 0..30 {
        run(&mut second, &[Command::cancel(7), Command::new(Action::MassCancel)]);
    }
    run(&mut first, &orders);
    run(&mut second, &orders);
    assert_eq!(first.snapshot(), second.snapshot());
}

#[test]
fn the_executions_of_a_seed_are_the_same_on_every_machine() {
    let mut all = Vec::new();
    for seed in 0..20 {
        let rules = generate::rules(seed);
        let mut exchange = Exchange::new(rules.clone()).expect("rules");
        all.extend(run(&mut exchange, &commands(seed, &rules, 2_000)));
    }
    // Our own engine on 2026-11-23: it changes with the rules of docs/exchange.md, and with nothing else.
    assert_eq!((all.len(), digest(&all)), (47_600, 9_329_407_394_073_271_511));
}

/// A snapshot with a bit of everything in it.
fn eventful() -> Vec<u8> {
    let rules = generate::rules(4);
    let mut exchange = Exchange::new(rules.clone()).expect("rules");
    let mut best = (0, Vec::new());
    for command in commands(4, &rules, 3_000) {
        exchange.apply(&command, |_| {});
        let linked = exchange.orders().iter().filter(|order| order.link != 0).count();
        let outside = exchange.orders().iter().filter(|order| !order.rests).count();
        if linked * outside > best.0 {
            best = (linked * outside, exchange.snapshot());
        }
    }
    assert!(best.0 > 8, "a snapshot with links and stops");
    best.1
}

/// Writes both checksums and the length anew, so that what was altered behind them is believed.
fn signed(bytes: &mut [u8]) {
    let length = (bytes.len() - 28) as u64;
    bytes[12..20].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes[28..]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_snapshot_with_a_changed_bit_or_another_length_is_refused() {
    let snapshot = eventful();
    for length in 0..snapshot.len() {
        assert!(Exchange::restore(&snapshot[..length]).is_err(), "{length} bytes");
    }
    assert!(Exchange::restore(&[snapshot.as_slice(), &[0]].concat()).is_err());
    for bit in 0..snapshot.len() * 8 {
        let mut bytes = snapshot.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Exchange::restore(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn a_forged_snapshot_is_refused_or_goes_on_without_a_panic() {
    let snapshot = eventful();
    let mut accepted = 0;
    for bit in 28 * 8..snapshot.len() * 8 {
        let mut bytes = snapshot.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        signed(&mut bytes);
        if let Ok(mut exchange) = Exchange::restore(&bytes) {
            accepted += 1;
            assert_eq!(exchange.snapshot(), bytes, "bit {bit}: what is accepted is canonical");
            let rules = exchange.rules().clone();
            run(&mut exchange, &commands(7, &rules, 30));
        }
    }
    assert!(accepted > 100, "{accepted} of them make sense");
}

#[test]
fn what_is_wrong_with_an_order_is_told_with_its_place() {
    const A: u64 = 0x1111_2222_3333_4444;
    const B: u64 = 0x5555_6666_7777_8888;
    let mut exchange = Exchange::new(Rules { tick: 5, ..Rules::default() }).expect("rules");
    let bid = Command { account: 1, ..Command::limit(A, Side::Bid, Price(95), Size(5)) };
    run(&mut exchange, &[bid, Command { link: A, ..Command::limit(B, Side::Ask, Price(105), Size(5)).by(1) }]);
    let whole = exchange.snapshot();
    // Each names the other: the bid's own id is the first one, the ask's the last.
    let first = whole.windows(8).position(|bytes| bytes == A.to_le_bytes()).expect("the bid");
    let second = whole.windows(8).rposition(|bytes| bytes == B.to_le_bytes()).expect("the ask");
    let link = second + 33 + 9 * 8;
    let faults: [(usize, [u8; 8], u64, &str); 7] = [
        (first, 0_u64.to_le_bytes(), 0, "order_id"),
        (first + 8, 97_i64.to_le_bytes(), A, "price"),
        (first + 16, 0_i64.to_le_bytes(), A, "size"),
        (first + 16, i64::MAX.to_le_bytes(), A, "size"),
        (second, A.to_le_bytes(), A, "order_id"),
        (link, 9_u64.to_le_bytes(), B, "link"),
        (link, B.to_le_bytes(), B, "link"),
    ];
    for (at, value, id, wrong) in faults {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&value);
        signed(&mut bytes);
        match Exchange::restore(&bytes).err() {
            Some(SnapshotError::Order { offset, order_id, field, .. }) => {
                let place = if at < second { first } else { second };
                assert_eq!((offset, order_id, field), (place as u64, id, wrong));
            }
            other => panic!("{wrong} at {at}: {other:?}"),
        }
    }
    let mut crossed = whole.clone();
    crossed[second + 8..second + 16].copy_from_slice(&95_i64.to_le_bytes());
    signed(&mut crossed);
    let error = Exchange::restore(&crossed).err();
    assert!(matches!(error, Some(SnapshotError::Value { field: "best bid", .. })), "{error:?}");
    // The bid names no alternative, the ask still names the bid.
    let mut asymmetric = whole.clone();
    asymmetric[first + 33 + 72..first + 33 + 80].fill(0);
    signed(&mut asymmetric);
    let error = Exchange::restore(&asymmetric).err();
    assert!(matches!(error, Some(SnapshotError::Order { order_id: B, field: "link", .. })), "{error:?}");
}

// ---- the journal

#[test]
fn a_journal_gives_back_what_was_appended_in_blocks_of_any_length() {
    let folder = Folder::new("blocks");
    let rules = generate::rules(3);
    let all = commands(3, &rules, 40_000);
    let mut journal = Journal::create(folder.file(), &rules, Fsync::Never).expect("a journal");
    assert_eq!(journal.append(&[]).expect("nothing"), 0);
    assert_eq!(journal.append(&all[..1]).expect("one"), 1);
    assert_eq!(journal.append(&all[1..100]).expect("some"), 100);
    assert_eq!(journal.append(&all[100..]).expect("more than a block"), 40_000);
    drop(journal);
    let mut read = Vec::new();
    let recovered = Journal::replay(folder.file(), |command| read.push(*command)).expect("a journal");
    assert_eq!((recovered.commands, recovered.dropped_bytes, recovered.message), (40_000, 0, None));
    assert!(read == all);
    let (journal, _) = Journal::open(folder.file(), Fsync::Never).expect("a journal");
    assert_eq!((journal.sequence(), journal.rules()), (40_000, &rules));
}

#[cfg(unix)]
#[test]
fn two_who_would_append_to_one_journal_are_told_so() {
    let folder = Folder::new("locked");
    let path = folder.file();
    let rules = Rules::default();
    let mut journal = Journal::create(&path, &rules, Fsync::Never).expect("a journal");
    journal.append(&commands(3, &rules, 5)).expect("room");
    let before = fs::read(&path).expect("a file");
    assert!(matches!(Journal::open(&path, Fsync::Never), Err(JournalError::Locked { .. })));
    assert!(matches!(JournaledExchange::open(&path, Fsync::Never), Err(JournalError::Locked { .. })));
    assert_eq!(Journal::replay(&path, |_| {}).expect("readers may read").commands, 5);
    assert_eq!(fs::read(&path).expect("a file"), before);
    drop(journal);
    assert_eq!(Journal::open(&path, Fsync::Never).expect("it is free again").0.sequence(), 5);
}

#[test]
fn an_existing_file_is_not_written_over() {
    let folder = Folder::new("exists");
    fs::write(folder.file(), b"precious").expect("a file");
    let error = Journal::create(folder.file(), &Rules::default(), Fsync::Always).err();
    assert!(matches!(error, Some(JournalError::Exists { .. })), "{error:?}");
    assert_eq!(fs::read(folder.file()).expect("the file"), b"precious");
    let error = Journal::open(folder.file(), Fsync::Always).err();
    assert!(matches!(error, Some(JournalError::NotAJournal { .. })), "{error:?}");
}

/// A journal of blocks of 1 to 5 commands, and where each block begins and how many commands come before.
fn written(path: &Path, blocks: usize) -> (Vec<Command>, Vec<(u64, u64)>) {
    let rules = Rules::default();
    let all = commands(9, &rules, 5 * blocks);
    let mut journal = Journal::create(path, &rules, Fsync::Never).expect("a journal");
    let mut places = Vec::new();
    let mut given = 0;
    for block in 0..blocks {
        places.push((journal.bytes(), journal.sequence()));
        let count = 1 + block % 5;
        journal.append(&all[given..given + count]).expect("a block");
        given += count;
    }
    places.push((journal.bytes(), journal.sequence()));
    (all[..given].to_vec(), places)
}

#[test]
fn every_truncation_of_the_last_block_gives_the_blocks_before_and_a_message() {
    let folder = Folder::new("truncated");
    let (all, places) = written(&folder.file(), 5);
    let whole = fs::read(folder.file()).expect("the file");
    let ((start, before), (end, _)) = (places[4], places[5]);
    assert_eq!(end, whole.len() as u64);
    for length in start..end {
        #[allow(clippy::cast_possible_truncation)]
        fs::write(folder.file(), &whole[..length as usize]).expect("the file");
        let (mut journal, recovered) = Journal::open(folder.file(), Fsync::Never).expect("recovered");
        assert_eq!((recovered.commands, recovered.dropped_bytes), (before, length - start));
        assert_eq!(recovered.message.is_some(), length > start, "{:?}", recovered.message);
        assert_eq!(fs::metadata(folder.file()).expect("the file").len(), start);
        // It goes on where the last whole block ended.
        journal.append(&all[..1]).expect("a command");
        let again = Journal::replay(folder.file(), |_| {}).expect("a journal");
        assert_eq!((again.commands, again.message), (before + 1, None));
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused_and_nothing_is_changed() {
    let folder = Folder::new("flipped");
    let (_, places) = written(&folder.file(), 6);
    let whole = fs::read(folder.file()).expect("the file");
    let last = usize::try_from(places[5].0).expect("a small file");
    for bit in 0..last * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // All of them in memory, a few on disk.
        let read = JournalReader::new(Cursor::new(&bytes), Path::new("flipped")).and_then(|mut reader| {
            while reader.next()?.is_some() {}
            Ok(reader.recovered())
        });
        let error = read.expect_err("a changed bit");
        let at = match &error {
            JournalError::Damaged { at, .. } => *at,
            JournalError::NotAJournal { .. } | JournalError::Version { .. } => 0,
            other => panic!("bit {bit}: {other}"),
        };
        let block = places.iter().rev().map(|place| place.0).find(|&place| place <= bit as u64 / 8).unwrap_or(0);
        assert!(at == block || block == 0 && at < places[0].0, "bit {bit}: {error}");
        if bit.is_multiple_of(997) {
            fs::write(folder.file(), &bytes).expect("the file");
            assert!(Journal::open(folder.file(), Fsync::Never).is_err());
            assert!(fs::read(folder.file()).expect("the file") == bytes);
        }
    }
}

#[test]
fn bytes_of_a_client_are_never_taken_for_a_block() {
    let folder = Folder::new("client");
    let rules = Rules::default();
    let mut journal = Journal::create(folder.file(), &rules, Fsync::Never).expect("a journal");
    // A head as it would be without the salt: marker, one command, number 3, checksums.
    let mut head = b"XCMD".to_vec();
    head.extend_from_slice(&1_u32.to_le_bytes());
    head.extend_from_slice(&3_u64.to_le_bytes());
    head.extend_from_slice(&0_u32.to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
    let order = Command {
        order_id: word(0),
        price: Price(word(8).cast_signed()),
        size: Size(word(16).cast_signed()),
        ..Command::new(Action::New)
    };
    journal.append(&[Command::cancel(1)]).expect("a block");
    let end = journal.bytes();
    journal.append(&[order, order]).expect("a block");
    drop(journal);
    let length = fs::metadata(folder.file()).expect("the file").len();
    OpenOptions::new().write(true).open(folder.file()).and_then(|file| file.set_len(length - 1)).expect("the file");
    let (journal, recovered) = Journal::open(folder.file(), Fsync::Never).expect("a torn tail");
    assert_eq!((journal.bytes(), recovered.commands), (end, 1));
}

#[test]
fn a_whole_block_with_an_unknown_code_is_no_torn_tail() {
    let folder = Folder::new("code");
    written(&folder.file(), 2);
    let whole = fs::read(folder.file()).expect("the file");
    let salt = &whole[16..24];
    let crc = |bytes: &[u8]| crc32fast::hash(&[salt, bytes].concat()).to_le_bytes();
    let at = whole.len() - 2 * Command::BYTES - 24;
    let mut bytes = whole.clone();
    *bytes.last_mut().expect("a byte") = 9;
    let body = crc(&bytes[at + 24..]);
    bytes[at + 16..at + 20].copy_from_slice(&body);
    let head = crc(&bytes[at..at + 20]);
    bytes[at + 20..at + 24].copy_from_slice(&head);
    fs::write(folder.file(), &bytes).expect("the file");
    let error = Journal::open(folder.file(), Fsync::Never).err().expect("an error").to_string();
    assert!(error.contains("one_side"), "{error}");
    assert!(fs::read(folder.file()).expect("the file") == bytes);
}

#[test]
fn recovery_is_the_snapshot_and_what_came_after_it() {
    let folder = Folder::new("recovery");
    for seed in 0..12 {
        let path = folder.0.join(format!("{seed}.xbj"));
        let rules = generate::rules(seed);
        let all = commands(seed, &rules, 600);
        let mut live = JournaledExchange::create(&path, rules.clone(), Fsync::Never).expect("a journal");
        let mut plain = Exchange::new(rules).expect("rules");
        for (number, block) in all.chunks(7).enumerate() {
            let mut said = Vec::new();
            live.apply_all(block, |execution| said.push(*execution)).expect("a block");
            assert_eq!(said, run(&mut plain, block));
            if number % 30 == 20 {
                live.checkpoint().expect("a snapshot");
            }
        }
        drop(live);
        let (live, recovered) = JournaledExchange::open(&path, Fsync::Never).expect("recovered");
        assert_eq!((recovered.snapshot, recovered.replayed, recovered.message), (Some(81 * 7), 600 - 81 * 7, None));
        assert_eq!(live.exchange().snapshot(), plain.snapshot());
        drop(live);
        // A snapshot that is damaged is not used, and its loss is told.
        let mut bytes = fs::read(snapshot_path(&path)).expect("a snapshot");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(snapshot_path(&path), bytes).expect("a snapshot");
        let (live, recovered) = JournaledExchange::open(&path, Fsync::Never).expect("recovered");
        assert_eq!((recovered.snapshot, recovered.replayed), (None, 600));
        assert!(recovered.message.is_some_and(|message| message.contains("crc")));
        assert_eq!(live.exchange().snapshot(), plain.snapshot());
    }
}

#[test]
fn a_snapshot_that_covers_more_than_the_journal_is_not_guessed_at() {
    let folder = Folder::new("behind");
    let mut live = JournaledExchange::create(folder.file(), Rules::default(), Fsync::Never).expect("a journal");
    live.apply(&Command::limit(1, Side::Bid, Price(1), Size(1)), |_| {}).expect("a command");
    let end = live.journal().bytes();
    live.apply(&Command::limit(2, Side::Bid, Price(1), Size(1)), |_| {}).expect("a command");
    live.checkpoint().expect("a snapshot");
    drop(live);
    let cut = |length| OpenOptions::new().write(true).open(folder.file()).and_then(|file| file.set_len(length));
    cut(end + 5).expect("the file");
    let error = JournaledExchange::open(folder.file(), Fsync::Never).err();
    assert!(matches!(error, Some(JournalError::Behind { snapshot: 2, journal: 1, .. })), "{error:?}");
    assert_eq!(fs::metadata(folder.file()).expect("the file").len(), end + 5);
    let mut other = Journal::create(folder.0.join("other"), &Rules::default(), Fsync::Never).expect("a journal");
    let mut exchange = Exchange::new(Rules::default()).expect("rules");
    run(&mut exchange, &[Command::cancel(1)]);
    assert!(matches!(other.checkpoint(&exchange), Err(JournalError::Foreign { .. })));
}

/// The part of the tests below that dies: run by them in a process of its own.
#[test]
fn child() {
    let Ok(path) = std::env::var("CROSSBOOK_JOURNAL_CHILD") else { return };
    let fsync = Fsync::Always;
    let (mut live, recovered) = JournaledExchange::open(&path, fsync).expect("a journal");
    println!("\nopen {} {}", recovered.commands, recovered.dropped_bytes);
    let rules = live.exchange().rules().clone();
    let mut generator = Generator::new(5, &rules);
    for _ in 0..recovered.commands {
        generator.next();
    }
    for block in 0_usize.. {
        let commands: Vec<Command> = (0..1 + block % 40).map(|_| generator.next()).collect();
        match live.apply_all(&commands, |_| {}) {
            Ok(()) => println!("done {}", live.journal().sequence()),
            Err(error) => {
                let again = live.apply_all(&commands, |_| {}).expect_err("refused until reopened");
                assert!(matches!(again, JournalError::Stopped { .. }), "{again}");
                assert_eq!(live.journal().sequence(), live.exchange().sequence());
                println!("fail {} {error}", live.journal().bytes());
                return;
            }
        }
        if block % 25 == 24 && std::env::var_os("CROSSBOOK_JOURNAL_FULL").is_none() {
            live.checkpoint().expect("a snapshot");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = Folder::new("killed");
    let rules = Rules::default();
    drop(Journal::create(folder.file(), &rules, Fsync::Always).expect("a journal"));
    let mut delay = 0x5eed_u64;
    let mut total = 0;
    for round in 0..12 {
        let mut process = Process::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("CROSSBOOK_JOURNAL_CHILD", folder.file())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        for line in lines.by_ref() {
            if line.expect("a line").starts_with("done") {
                break;
            }
        }
        delay = delay.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros(delay >> 48));
        process.kill().expect("SIGKILL");
        process.wait().expect("its end");
        // What it had said by then stays in the pipe.
        let said: Vec<String> = lines.map_while(Result::ok).collect();
        let number = |line: &String| line.strip_prefix("done ").and_then(|text| text.parse::<u64>().ok());
        let acknowledged = said.iter().filter_map(number).max().unwrap_or(0);
        let (live, recovered) = JournaledExchange::open(folder.file(), Fsync::Always).expect("recovered");
        assert!(recovered.commands >= acknowledged, "round {round}: {} of {acknowledged}", recovered.commands);
        let mut generator = Generator::new(5, &rules);
        let mut plain = Exchange::new(rules.clone()).expect("rules");
        Journal::replay(folder.file(), |command| {
            assert_eq!(*command, generator.next());
            plain.apply(command, |_| {});
        })
        .expect("a journal");
        assert_eq!(live.exchange().snapshot(), plain.snapshot());
        assert!(recovered.commands > total, "round {round} did something");
        total = recovered.commands;
    }
    eprintln!("{total} commands in 12 rounds");
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_whole_blocks_and_a_journal_that_says_so() {
    let folder = Folder::new("full");
    drop(Journal::create(folder.file(), &Rules::default(), Fsync::Always).expect("a journal"));
    // A limit on the length of files, whose signal is ignored, is as good as a full disk: a write is cut short.
    let output = Process::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact child --nocapture --test-threads=1"])
        .arg(std::env::current_exe().expect("this test"))
        .env("CROSSBOOK_JOURNAL_CHILD", folder.file())
        .env("CROSSBOOK_JOURNAL_FULL", "1")
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = text.lines().find_map(|line| line.strip_prefix("fail ")).unwrap_or_else(|| panic!("{text}"));
    let end: u64 = failed.split(' ').next().and_then(|text| text.parse().ok()).expect("a length");
    assert_eq!(fs::metadata(folder.file()).expect("the file").len(), end);
    let done = text.lines().filter_map(|line| line.strip_prefix("done ")?.parse::<u64>().ok()).max();
    let (mut journal, recovered) = Journal::open(folder.file(), Fsync::Always).expect("a journal");
    assert_eq!((Some(recovered.commands), recovered.message), (done, None));
    journal.append(&[Command::cancel(1)]).expect("room again");
}

#[test]
fn a_temporary_snapshot_that_was_not_finished_does_no_harm() {
    let folder = Folder::new("temporary");
    let mut live = JournaledExchange::create(folder.file(), Rules::default(), Fsync::Never).expect("a journal");
    live.apply(&Command::limit(1, Side::Bid, Price(1), Size(1)), |_| {}).expect("a command");
    let mut temporary = snapshot_path(&folder.file()).into_os_string();
    temporary.push(".tmp");
    fs::File::create(&temporary).and_then(|mut file| file.write_all(b"half")).expect("a file");
    drop(live);
    let (mut live, recovered) = JournaledExchange::open(folder.file(), Fsync::Never).expect("a journal");
    assert_eq!((recovered.snapshot, recovered.message), (None, None));
    live.checkpoint().expect("a snapshot");
    assert!(!Path::new(&temporary).exists());
}
