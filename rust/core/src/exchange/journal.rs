//! Commands on disk before they are carried out, so that an exchange survives its process and its machine.
//!
//! A [`Journal`] is one append-only file: the rules, then blocks of commands, each with its checksum and the number of
//! its first command. As the same commands give the same executions, the file is the exchange; a [`checkpoint`]
//! (`<path>.snapshot`) beside it only saves the time of carrying them out again. A [`JournaledExchange`] keeps the two
//! together: it writes ahead, then applies.
//!
//! **What a crash leaves.** A block that was cut off at the file's end is a torn tail: opening truncates it and says so;
//! under [`Fsync::Always`] no append had returned for it. A block that is bad although another was begun behind it
//! cannot come from a crash of the process: opening refuses and changes nothing.
//!
//! Commands stand in the file as clients sent them. So that nobody can send bytes that look like a block, every checksum
//! begins with a number that was drawn for the file.
//!
//! # The format, version 1
//! Little-endian; CRC means CRC-32 (IEEE 802.3, that of gzip), in blocks of the salt and then the bytes.
//!
//! | bytes | header |
//! |---|---|
//! | 8 | magic `89 58 42 4a 0d 0a 1a 0a` (`\x89XBJ\r\n\x1a\n`) |
//! | u32 | format version, 1 |
//! | u32 | length of the rules, at most 16 MiB |
//! | u64 | salt |
//! | … | the rules, see [`Rules::to_bytes`] |
//! | u32 | CRC of everything before, without salt |
//!
//! | bytes | block |
//! |---|---|
//! | 4 | marker `XCMD` |
//! | u32 | number of commands, 1 to 16,384 |
//! | u64 | number of the first one |
//! | u32 | CRC of the commands |
//! | u32 | CRC of the 20 bytes before |
//! | … | the commands, [`Command::BYTES`] each |
//!
//! [`checkpoint`]: Journal::checkpoint

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem;
use thiserror::Error;

use super::{Command, Exchange, Execution, Rules, RulesError};

/// The version of the format written here.
pub const JOURNAL_FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"\x89XBJ\r\n\x1a\n";
const MARKER: [u8; 4] = *b"XCMD";
/// Magic, version, length, salt.
const FIXED: usize = 24;
const HEAD: usize = 24;
/// Rules are no longer.
const MAX_RULES: usize = 16 << 20;
/// No block holds more commands, so that reading takes little memory however long the file.
const MAX_BLOCK: usize = 1 << 14;
/// So much is looked through at once for a block behind damage.
const CHUNK: usize = 1 << 16;

/// What is wrong with a journal, or with an attempt to write one.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system refused to read or write. After an append the file ends at the last block that was whole before.
    #[error("{path} byte {at}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// A new journal would take the place of another one.
    #[error("{path}: expected no such file, a journal is never written over", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process, or another part of this one, has the journal open to write.
    #[error("{path}: expected a journal that nobody else has open to write", path = path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file does not begin as a journal does.
    #[error("{path}: expected a journal (89 58 42 4a 0d 0a 1a 0a), found {found}", path = path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// The first bytes, in hex.
        found: String,
    },
    /// A later version of the format.
    #[error("{path}: expected journal version {JOURNAL_FORMAT}, found {found}", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The bytes are not those that were written. Everything before is whole.
    #[error("{path} byte {at}: expected {expected}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        at: u64,
        /// What should stand there.
        expected: String,
    },
    /// An append failed before, and what the disk holds is known only after reading it.
    #[error("{path} byte {at}: expected the journal to be reopened after its failure", path = path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
        /// Where the last whole block ends.
        at: u64,
    },
    /// The snapshot covers commands that the journal does not hold: they do not belong together, or the journal lost
    /// its end. Without the snapshot the journal opens.
    #[error("{path}: expected at least {snapshot} commands, which its snapshot covers, found {journal}", path = path.display())]
    Behind {
        /// The journal.
        path: PathBuf,
        /// Commands that the snapshot covers.
        snapshot: u64,
        /// Commands in the journal.
        journal: u64,
    },
    /// An exchange that this journal does not lead to.
    #[error("{path}: expected {expected}", path = path.display())]
    Foreign {
        /// The journal.
        path: PathBuf,
        /// What would be accepted.
        expected: String,
    },
    /// The rules are none that an exchange can have.
    #[error("{path}: {source}", path = path.display())]
    Rules {
        /// The journal.
        path: PathBuf,
        /// What is wrong with them.
        source: RulesError,
    },
}

fn failed(path: &Path, at: u64, source: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), at, source: Arc::new(source) }
}

fn damaged(path: &Path, at: u64, expected: impl Into<String>) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), at, expected: expected.into() }
}

/// When an append waits until the disk itself has what was written. A process that dies loses nothing that was appended,
/// under any of these; this is about the machine that loses power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// In every append: what it acknowledged is there. Batches ([`Journal::append`] takes a slice) share the wait.
    #[default]
    Always,
    /// In the append after which so many commands, or the oldest of them for so long, have been waiting for it.
    /// [`Journal::sync`] does it for those that no append follows.
    Every {
        /// So many commands.
        commands: u64,
        /// So long.
        time: Duration,
    },
    /// Never: the system writes back when it likes, on Linux within half a minute.
    Never,
}

/// What was found when a journal was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Commands in the journal.
    pub commands: u64,
    /// Of these, carried out: those that the snapshot did not cover.
    pub replayed: u64,
    /// The commands that the snapshot covered, if there was a valid one.
    pub snapshot: Option<u64>,
    /// Length of the torn tail.
    pub dropped_bytes: u64,
    /// What is worth telling: a torn tail, a snapshot that could not be used.
    pub message: Option<String>,
}

impl Recovered {
    fn tell(&mut self, text: String) {
        self.message = Some(match self.message.take() {
            Some(before) => format!("{before}; {text}"),
            None => text,
        });
    }
}

/// The head of a block.
#[derive(Clone, Copy)]
struct Head {
    count: u32,
    first: u64,
    crc: u32,
}

impl Head {
    fn to_bytes(self, salt: u64) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MARKER);
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.crc.to_le_bytes());
        let crc = salted(salt, &bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if the bytes do not begin with a head that was written to this file.
    fn from_bytes(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        let word = |at: usize| bytes[at..].first_chunk().map(|word| u32::from_le_bytes(*word));
        if bytes[..4] != MARKER || word(20)? != salted(salt, &bytes[..20]) {
            return None;
        }
        let first = u64::from_le_bytes(*bytes[8..].first_chunk()?);
        Some(Self { count: word(4)?, first, crc: word(16)? })
    }
}

fn salted(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Where the snapshot of a journal lies: its path with `.snapshot` behind.
#[must_use]
pub fn snapshot_path(journal: &Path) -> PathBuf {
    behind(journal, ".snapshot")
}

fn behind(path: &Path, text: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(text);
    PathBuf::from(name)
}

/// Makes a file's name as durable as its content.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Opens a journal to append to it, before anything of it is read: what is read must be all that there is.
fn reopen(path: &Path) -> Result<File, JournalError> {
    let file = OpenOptions::new().append(true).open(path).map_err(|source| failed(path, 0, source))?;
    lock(&file, path)?;
    Ok(file)
}

/// Two who append to one journal would write over each other's numbers. The lock goes with the file, also where its
/// process is killed. Where the system has none, or one that would keep readers out, nothing is locked.
fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    if !cfg!(unix) {
        return Ok(());
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => Err(failed(path, 0, error)),
        _ => Ok(()),
    }
}

/// Reads a journal, command by command, in constant memory.
pub struct JournalReader<R = BufReader<File>> {
    input: R,
    path: PathBuf,
    rules: Rules,
    salt: u64,
    /// Where the next head begins.
    at: u64,
    /// The number of the next command.
    next: u64,
    block: Vec<u8>,
    cursor: usize,
    /// Length and cause of the torn tail, once the end was reached.
    end: Option<(u64, &'static str)>,
    stopped: Option<JournalError>,
}

impl JournalReader {
    /// Opens a journal and reads its rules.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be read or does not begin with a whole header.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(|source| failed(path, 0, source))?;
        Self::new(BufReader::with_capacity(CHUNK, file), path)
    }
}

impl<R: Read + Seek> JournalReader<R> {
    /// Reads a journal from anything; `path` is what errors call it.
    ///
    /// # Errors
    /// As of [`open`](JournalReader::open).
    pub fn new(mut input: R, path: &Path) -> Result<Self, JournalError> {
        let mut bytes = Vec::new();
        let fail = |source| failed(path, 0, source);
        input.by_ref().take(FIXED as u64).read_to_end(&mut bytes).map_err(fail)?;
        if !bytes.starts_with(&MAGIC[..bytes.len().min(8)]) || bytes.is_empty() {
            let found = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let found = if found.is_empty() { "an empty file".to_owned() } else { found };
            return Err(JournalError::NotAJournal { path: path.to_owned(), found });
        }
        let word = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
        let torn = || damaged(path, 0, "a whole header; without one the file never held a command");
        let (version, length) = word(&bytes, 8).zip(word(&bytes, 12)).ok_or_else(torn)?;
        let salt = bytes.get(16..).and_then(|rest| rest.first_chunk()).map(|salt| u64::from_le_bytes(*salt));
        if version != JOURNAL_FORMAT {
            return Err(JournalError::Version { path: path.to_owned(), found: version });
        }
        let (salt, length) = (salt.ok_or_else(torn)?, length as usize);
        if length > MAX_RULES {
            return Err(damaged(path, 12, format!("rules of at most {MAX_RULES} bytes, found {length}")));
        }
        input.by_ref().take(length as u64 + 4).read_to_end(&mut bytes).map_err(fail)?;
        let crc = word(&bytes, FIXED + length).ok_or_else(torn)?;
        if crc != crc32fast::hash(&bytes[..FIXED + length]) {
            return Err(damaged(path, 0, "a header with the crc that stands behind it"));
        }
        let rules = Rules::from_bytes(&bytes[FIXED..FIXED + length])
            .map_err(|error| damaged(path, 0, format!("rules: {}", error.behind(FIXED as u64))))?;
        rules.check().map_err(|source| JournalError::Rules { path: path.to_owned(), source })?;
        let at = bytes.len() as u64;
        let path = path.to_owned();
        Ok(Self { input, path, rules, salt, at, next: 1, block: Vec::new(), cursor: 0, end: None, stopped: None })
    }

    /// The rules of the exchange.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The number of the last command that was read, 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.next - 1
    }

    /// The next command; none at the end. A torn tail is an end: see [`recovered`](Self::recovered).
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if what follows is not what was written, [`JournalError::Io`] if it cannot be read. All
    /// commands of the blocks before were given. The error comes again from then on.
    #[expect(clippy::should_implement_trait, reason = "an error must not be passed over")]
    pub fn next(&mut self) -> Result<Option<Command>, JournalError> {
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        let read = self.read();
        if let Err(error) = &read {
            self.stopped = Some(error.clone());
        }
        read
    }

    fn read(&mut self) -> Result<Option<Command>, JournalError> {
        if self.cursor == self.block.len() && !self.load()? {
            return Ok(None);
        }
        let bytes = self.block.get(self.cursor..self.cursor + Command::BYTES).unwrap_or_default();
        let command = Command::from_bytes(bytes).map_err(|error| {
            let start = self.at - (self.block.len() - self.cursor) as u64;
            damaged(&self.path, start, format!("command {}: {}", self.next, error.behind(start)))
        })?;
        self.cursor += Command::BYTES;
        self.next += 1;
        Ok(Some(command))
    }

    /// What was read so far, and at the end the torn tail.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        let mut recovered = Recovered { commands: self.sequence(), ..Recovered::default() };
        if let Some((length, why)) = self.end.filter(|(length, _)| *length > 0) {
            recovered.dropped_bytes = length;
            recovered.tell(format!(
                "the last {length} bytes, from byte {} on, are no whole block ({why}): {} commands remain",
                self.at,
                self.sequence()
            ));
        }
        recovered
    }

    /// Loads and checks the next block. False at the end.
    fn load(&mut self) -> Result<bool, JournalError> {
        if self.end.is_some() {
            return Ok(false);
        }
        self.block.clear();
        self.cursor = 0;
        self.fill(HEAD)?;
        if self.block.is_empty() {
            self.end = Some((0, ""));
            return Ok(false);
        }
        let Some(head) = Head::from_bytes(&self.block, self.salt) else {
            let why = if self.block.len() < HEAD { "cut off in its head" } else { "its head is not one" };
            return self.tear(why);
        };
        let count = head.count as usize;
        if count == 0 || count > MAX_BLOCK || head.first != self.next {
            let (next, first) = (self.next, head.first);
            let expected = format!("1 to {MAX_BLOCK} commands from number {next} on, found {count} from {first} on");
            return Err(damaged(&self.path, self.at, expected));
        }
        self.block.clear();
        self.fill(count * Command::BYTES)?;
        if self.block.len() < count * Command::BYTES {
            return self.tear("cut off in its commands");
        }
        if salted(self.salt, &self.block) != head.crc {
            return self.tear("its commands have another crc");
        }
        self.at += (HEAD + self.block.len()) as u64;
        Ok(true)
    }

    fn fill(&mut self, count: usize) -> Result<(), JournalError> {
        let read = self.input.by_ref().take(count as u64).read_to_end(&mut self.block);
        read.map(drop).map_err(|source| failed(&self.path, self.at, source))
    }

    /// The block here is bad: the end if no other was begun behind it.
    fn tear(&mut self, why: &'static str) -> Result<bool, JournalError> {
        self.block.clear();
        let fail = |source| failed(&self.path, self.at, source);
        let mut from = self.at + 1;
        self.input.seek(SeekFrom::Start(from)).map_err(fail)?;
        let mut bytes = Vec::new();
        loop {
            let read = self.input.by_ref().take(CHUNK as u64).read_to_end(&mut bytes).map_err(fail)?;
            for found in memmem::find_iter(&bytes, &MARKER) {
                if let Some(head) = Head::from_bytes(&bytes[found..], self.salt) {
                    let (behind, first) = (from + found as u64, head.first);
                    let expected = format!("a whole block ({why}): one with command {first} follows at byte {behind}");
                    return Err(damaged(&self.path, self.at, expected));
                }
            }
            if read == 0 {
                break;
            }
            // A head may lie across two chunks.
            let done = bytes.len().saturating_sub(HEAD - 1);
            bytes.drain(..done);
            from += done as u64;
        }
        let end = from + bytes.len() as u64;
        self.end = Some((end.saturating_sub(self.at).max(1), why));
        Ok(false)
    }
}

/// Commands on disk. One process at a time may write to a journal.
///
/// ```
/// use crossbook::exchange::{Command, Fsync, Journal, Rules};
/// use crossbook::units::{Price, Side, Size};
///
/// # let folder = std::env::temp_dir().join(format!("crossbook-journal-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("commands.xbj");
/// let mut journal = Journal::create(&path, &Rules::default(), Fsync::Always)?;
/// journal.append(&[Command::limit(1, Side::Bid, Price(100), Size(5)), Command::cancel(1)])?;
/// drop(journal);
/// let (journal, recovered) = Journal::open(&path, Fsync::Always)?;
/// assert_eq!((journal.sequence(), recovered.commands, recovered.message), (2, 2, None));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal {
    file: File,
    path: PathBuf,
    rules: Rules,
    salt: u64,
    fsync: Fsync,
    /// Where the last whole block ends.
    end: u64,
    /// The number of the next command.
    next: u64,
    /// Commands that the disk may not have yet, and since when.
    waiting: u64,
    since: Option<Instant>,
    buffer: Vec<u8>,
    stopped: bool,
}

impl Journal {
    /// Begins a journal.
    ///
    /// # Errors
    /// [`JournalError::Exists`] if there is such a file, or a snapshot of such a journal; [`JournalError::Rules`] if no
    /// exchange can have these rules; [`JournalError::Io`].
    pub fn create(path: impl AsRef<Path>, rules: &Rules, fsync: Fsync) -> Result<Self, JournalError> {
        let path = path.as_ref();
        rules.check().map_err(|source| JournalError::Rules { path: path.to_owned(), source })?;
        let encoded = rules.to_bytes();
        let length = u32::try_from(encoded.len()).ok().filter(|_| encoded.len() <= MAX_RULES).ok_or_else(|| {
            let expected = format!("rules of at most {MAX_RULES} bytes, found {}", encoded.len());
            JournalError::Foreign { path: path.to_owned(), expected }
        })?;
        let snapshot = snapshot_path(path);
        if snapshot.exists() {
            return Err(JournalError::Exists { path: snapshot });
        }
        let salt = RandomState::new().hash_one(path);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&JOURNAL_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&salt.to_le_bytes());
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let mut file = match OpenOptions::new().append(true).create_new(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(JournalError::Exists { path: path.to_owned() });
            }
            Err(error) => return Err(failed(path, 0, error)),
        };
        lock(&file, path)?;
        let written = file.write_all(&bytes).and_then(|()| {
            if fsync == Fsync::Never {
                return Ok(());
            }
            file.sync_all().and_then(|()| sync_folder(path))
        });
        if let Err(error) = written {
            // It holds nothing yet; on a full disk nothing should stay.
            let _ = fs::remove_file(path);
            return Err(failed(path, 0, error));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            rules: rules.clone(),
            salt,
            fsync,
            end: bytes.len() as u64,
            next: 1,
            waiting: 0,
            since: None,
            buffer: Vec::new(),
            stopped: false,
        })
    }

    /// Opens a journal to go on with it. Reads all of it, truncates a torn tail, and says what it found.
    ///
    /// # Errors
    /// [`JournalError`] if the file is no journal, is damaged before its last block, or is open to write elsewhere; it
    /// is not changed then.
    pub fn open(path: impl AsRef<Path>, fsync: Fsync) -> Result<(Self, Recovered), JournalError> {
        let file = reopen(path.as_ref())?;
        let mut reader = JournalReader::open(path.as_ref())?;
        while reader.next()?.is_some() {}
        let recovered = reader.recovered();
        Ok((Self::resume(reader, file, fsync)?, recovered))
    }

    /// Goes on where a reader came to the end.
    fn resume(reader: JournalReader, file: File, fsync: Fsync) -> Result<Self, JournalError> {
        let JournalReader { path, rules, salt, at: end, next, end: torn, .. } = reader;
        let fail = |source| failed(&path, end, source);
        if torn.is_some_and(|(length, _)| length > 0) {
            file.set_len(end).map_err(fail)?;
        }
        // Without this, what a process that died had written would count as there and might not be.
        if fsync != Fsync::Never {
            file.sync_all().map_err(fail)?;
        }
        let buffer = Vec::new();
        Ok(Self { file, path, rules, salt, fsync, end, next, waiting: 0, since: None, buffer, stopped: false })
    }

    /// Reads a journal and calls back with every command, in constant memory. Changes nothing: a torn tail stays.
    ///
    /// # Errors
    /// As of [`JournalReader::next`]; the commands before the damage were given.
    pub fn replay(path: impl AsRef<Path>, mut each: impl FnMut(&Command)) -> Result<Recovered, JournalError> {
        let mut reader = JournalReader::open(path.as_ref())?;
        while let Some(command) = reader.next()? {
            each(&command);
        }
        let mut recovered = reader.recovered();
        recovered.replayed = recovered.commands;
        Ok(recovered)
    }

    /// Appends commands and returns the number of the last one. What [`Fsync`] says holds when it returns.
    ///
    /// # Errors
    /// [`JournalError::Io`] if the disk is full or fails. None of these commands is in the journal then: the file ends
    /// where it did before, as far as the disk lets us (otherwise in a torn tail). After that every append is refused
    /// with [`JournalError::Stopped`] until the journal is opened anew.
    pub fn append(&mut self, commands: &[Command]) -> Result<u64, JournalError> {
        if self.stopped {
            return Err(JournalError::Stopped { path: self.path.clone(), at: self.end });
        }
        if let Err(source) = self.write(commands) {
            self.stopped = true;
            // Nobody is helped by a second error; opening reads what is there.
            let _ = self.file.set_len(self.end).and_then(|()| self.file.sync_all());
            return Err(failed(&self.path, self.end, source));
        }
        Ok(self.sequence())
    }

    fn write(&mut self, commands: &[Command]) -> io::Result<()> {
        let (mut end, mut next) = (self.end, self.next);
        for block in commands.chunks(MAX_BLOCK) {
            let buffer = &mut self.buffer;
            buffer.clear();
            buffer.resize(HEAD, 0);
            for command in block {
                buffer.extend_from_slice(&command.to_bytes());
            }
            let count = u32::try_from(block.len()).unwrap_or(u32::MAX);
            let head = Head { count, first: next, crc: salted(self.salt, &buffer[HEAD..]) };
            buffer[..HEAD].copy_from_slice(&head.to_bytes(self.salt));
            self.file.write_all(buffer)?;
            end += buffer.len() as u64;
            next += u64::from(count);
        }
        let written = next - self.next;
        let due = match self.fsync {
            Fsync::Always => written > 0,
            Fsync::Every { commands, time } => {
                let since = *self.since.get_or_insert_with(Instant::now);
                self.waiting + written >= commands || since.elapsed() >= time
            }
            Fsync::Never => false,
        };
        if due {
            self.file.sync_data()?;
            (self.waiting, self.since) = (0, None);
        } else {
            self.waiting += written;
        }
        (self.end, self.next) = (end, next);
        Ok(())
    }

    /// Waits until the disk has everything that was appended.
    ///
    /// # Errors
    /// As of [`append`](Self::append): a disk that failed to write back may have lost any of it.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.stopped {
            return Err(JournalError::Stopped { path: self.path.clone(), at: self.end });
        }
        if let Err(source) = self.file.sync_data() {
            self.stopped = true;
            return Err(failed(&self.path, self.end, source));
        }
        (self.waiting, self.since) = (0, None);
        Ok(())
    }

    /// Stores a snapshot beside the journal, whole or not at all: it replaces the one before when it is on disk. What it
    /// covers is on disk in the journal before.
    ///
    /// # Errors
    /// [`JournalError::Foreign`] if the exchange has other rules, or carried out commands that are not in the journal;
    /// [`JournalError::Io`], after which the snapshot before is still there.
    pub fn checkpoint(&mut self, exchange: &Exchange) -> Result<(), JournalError> {
        if *exchange.rules() != self.rules || exchange.sequence() > self.sequence() {
            let (path, most) = (self.path.clone(), self.sequence());
            let expected = format!(
                "an exchange with the journal's rules and at most its {most} commands, found {}",
                exchange.sequence()
            );
            return Err(JournalError::Foreign { path, expected });
        }
        self.sync()?;
        let path = snapshot_path(&self.path);
        let temporary = behind(&path, ".tmp");
        let bytes = exchange.snapshot();
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(failed(&temporary, 0, error));
        }
        fs::rename(&temporary, &path).and_then(|()| sync_folder(&path)).map_err(|source| failed(&path, 0, source))
    }

    /// The number of the last command, 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.next - 1
    }

    /// The rules of the exchange.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length, in whole blocks.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.waiting > 0 && !self.stopped && self.fsync != Fsync::Never {
            // Nobody is left to hear of an error.
            let _ = self.file.sync_data();
        }
        // A process that is just being started may share the file still, and with it the lock.
        let _ = self.file.unlock();
    }
}

/// An exchange whose commands are in its journal before they are carried out.
///
/// ```
/// use crossbook::exchange::{Command, Fsync, JournaledExchange, Rules};
/// use crossbook::units::{Price, Side, Size};
///
/// # let folder = std::env::temp_dir().join(format!("crossbook-journaled-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("commands.xbj");
/// let mut exchange = JournaledExchange::create(&path, Rules::default(), Fsync::Always)?;
/// exchange.apply(&Command::limit(1, Side::Bid, Price(100), Size(5)), |_| {})?;
/// exchange.checkpoint()?;
/// exchange.apply(&Command::limit(2, Side::Bid, Price(100), Size(1)), |_| {})?;
/// drop(exchange);
/// let (exchange, recovered) = JournaledExchange::open(&path, Fsync::Always)?;
/// assert_eq!((exchange.exchange().len(), recovered.snapshot, recovered.replayed), (2, Some(1), 1));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JournaledExchange {
    exchange: Exchange,
    journal: Journal,
}

impl JournaledExchange {
    /// An exchange without orders and its new journal.
    ///
    /// # Errors
    /// As of [`Journal::create`].
    pub fn create(path: impl AsRef<Path>, rules: Rules, fsync: Fsync) -> Result<Self, JournalError> {
        let journal = Journal::create(path, &rules, fsync)?;
        let exchange = begin(rules, &journal.path)?;
        Ok(Self { exchange, journal })
    }

    /// The exchange as its journal leaves it: from the snapshot if there is a valid one, else from the beginning, with
    /// the commands behind it. A torn tail is truncated.
    ///
    /// # Errors
    /// As of [`Journal::open`]; [`JournalError::Behind`] if the snapshot covers more than the journal holds. Nothing is
    /// changed then.
    pub fn open(path: impl AsRef<Path>, fsync: Fsync) -> Result<(Self, Recovered), JournalError> {
        let file = reopen(path.as_ref())?;
        let mut reader = JournalReader::open(path.as_ref())?;
        let snapshot = stored(&snapshot_path(path.as_ref()), &reader.rules);
        let (found, why) = match snapshot {
            Ok(found) => (found, None),
            Err(why) => (None, Some(why)),
        };
        let covered = found.as_ref().map(Exchange::sequence);
        let mut exchange = match found {
            Some(exchange) => exchange,
            None => begin(reader.rules.clone(), &reader.path)?,
        };
        let mut replayed = 0;
        while let Some(command) = reader.next()? {
            if reader.sequence() > exchange.sequence() {
                exchange.apply(&command, |_| {});
                replayed += 1;
            }
        }
        if exchange.sequence() > reader.sequence() {
            let (snapshot, journal) = (exchange.sequence(), reader.sequence());
            return Err(JournalError::Behind { path: reader.path, snapshot, journal });
        }
        let mut recovered = reader.recovered();
        recovered.replayed = replayed;
        recovered.snapshot = covered;
        if let Some(why) = why {
            recovered.tell(why);
        }
        let journal = Journal::resume(reader, file, fsync)?;
        Ok((Self { exchange, journal }, recovered))
    }

    /// Writes a command to the journal, then carries it out.
    ///
    /// # Errors
    /// As of [`Journal::append`]; the command is not carried out then.
    pub fn apply(&mut self, command: &Command, out: impl FnMut(&Execution)) -> Result<(), JournalError> {
        self.apply_all(std::slice::from_ref(command), out)
    }

    /// Writes commands to the journal, waiting for the disk at most once, then carries them out in order.
    ///
    /// # Errors
    /// As of [`Journal::append`]; none of them is carried out then.
    pub fn apply_all(&mut self, commands: &[Command], mut out: impl FnMut(&Execution)) -> Result<(), JournalError> {
        self.journal.append(commands)?;
        for command in commands {
            self.exchange.apply(command, &mut out);
        }
        Ok(())
    }

    /// Stores a snapshot, so that opening carries out only what follows.
    ///
    /// # Errors
    /// As of [`Journal::checkpoint`].
    pub fn checkpoint(&mut self) -> Result<(), JournalError> {
        self.journal.checkpoint(&self.exchange)
    }

    /// Waits until the disk has every command.
    ///
    /// # Errors
    /// As of [`Journal::sync`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.journal.sync()
    }

    /// The exchange.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The journal.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }
}

fn begin(rules: Rules, path: &Path) -> Result<Exchange, JournalError> {
    Exchange::new(rules).map_err(|source| JournalError::Rules { path: path.to_owned(), source })
}

/// The snapshot of a journal with these rules; none if there is no file, or the reason why it cannot be used.
fn stored(path: &Path, rules: &Rules) -> Result<Option<Exchange>, String> {
    let unused = |why: String| format!("{}: {why}; all commands were carried out from the first", path.display());
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unused(error.to_string())),
    };
    let exchange = Exchange::restore(&bytes).map_err(|error| unused(error.to_string()))?;
    if exchange.rules() != rules {
        return Err(unused("expected the journal's rules".to_owned()));
    }
    Ok(Some(exchange))
}
