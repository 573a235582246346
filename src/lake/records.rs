//! The records of a manifest, read one at a time, also beside a node that is writing to it. However long it is, no more than a record is in
//! memory, and of a checkpoint, which names every file of a lake, not even that.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;

use super::LakeError;
use super::manifest::{
    CHECKPOINT_HEAD_BYTES, CheckpointHead, Damage, End, HEADER_BYTES, MARK, NodeId, PREFIX_BYTES, Prefix, Record,
    damaged, read_body, read_header,
};

/// How often, and after which pause, a record is looked at again that is not whole: a node may be writing it.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// What is searched at once for records behind one that is not intact.
const SEARCHED_BYTES: usize = 1 << 20;

/// What stands in a manifest.
#[derive(Debug)]
pub(super) enum Entry {
    Record(Record),
    /// Only as the first one.
    Checkpoint(Checkpoint),
}

/// What those records came to that stood in its place.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The last epoch that was committed.
    pub epoch: u64,
    /// The newest epoch that any of them named.
    pub floor: u64,
    /// The most of the catalog that any of them relied on.
    pub catalog_bytes: u64,
    /// Those of the lake.
    pub files: Paths,
}

/// The records of a manifest in their order.
#[derive(Debug)]
pub(super) struct Records {
    file: Arc<File>,
    reader: BufReader<Window>,
    path: PathBuf,
    /// How often a record is looked at that is not whole.
    looks: usize,
    node: NodeId,
    checkpoint: Option<u64>,
    /// Of the next record.
    sequence: u64,
    /// Where the next record begins.
    offset: u64,
    /// Where reading ends: what comes later was not there, or not durable, when reading began.
    end: u64,
}

impl Records {
    /// `None` if there is no manifest. A node may be writing to it.
    pub fn open(path: &Path) -> Result<Option<Self>, LakeError> {
        Self::open_with(path, LOOKS)
    }

    /// The same, by whoever alone writes to it.
    pub fn open_own(path: &Path) -> Result<Option<Self>, LakeError> {
        Self::open_with(path, 1)
    }

    fn open_with(path: &Path, looks: usize) -> Result<Option<Self>, LakeError> {
        let error = |action| move |source| LakeError::Io { action, path: path.to_owned(), source };
        let file = match File::open(path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => Arc::new(file.map_err(error("open"))?),
        };
        let end = file.metadata().map_err(error("read"))?.len();
        // Whoever acts on a record must not see it vanish in a power cut: a node may be about to sync it.
        file.sync_data().map_err(error("sync"))?;
        let mut reader = Window::reader(&file, 0);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(error("read"))?;
        let node = read_header(&header, path)?;
        let mut first = Vec::new();
        Window::reader(&file, (HEADER_BYTES + PREFIX_BYTES) as u64)
            .take(CHECKPOINT_HEAD_BYTES as u64)
            .read_to_end(&mut first)
            .map_err(error("read"))?;
        let checkpoint = CheckpointHead::read(&first).map(|head| head.epoch);
        Ok(Some(Self {
            looks,
            checkpoint,
            file,
            reader,
            path: path.to_owned(),
            node,
            sequence: 0,
            offset: HEADER_BYTES as u64,
            end,
        }))
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The epoch of the checkpoint that the first record looks like, which tells the manifest from what it was before and what it will be after it
    /// is condensed.
    pub fn checkpoint(&self) -> Option<u64> {
        self.checkpoint
    }

    /// Behind the last record that was read.
    pub fn position(&self) -> End {
        End { sequence: self.sequence, offset: self.offset }
    }

    /// Bytes that are left, a torn record too.
    pub fn left_bytes(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }

    /// Goes on with the record that stands there.
    pub fn skip_to(&mut self, position: End) {
        self.go_to(position.offset);
        (self.offset, self.sequence) = (position.offset, position.sequence);
    }

    /// The next record; `None` at the end, also where a torn record stands there.
    pub fn next(&mut self) -> Result<Option<Entry>, LakeError> {
        for look in 0..self.looks {
            if self.offset >= self.end {
                return Ok(None);
            }
            if look > 0 {
                std::thread::sleep(PAUSE);
                self.go_to(self.offset);
            }
            let found = self.entry(self.offset).map_err(|source| self.unread(source))?;
            if let Some((sequence, entry, end)) = found
                && sequence == self.sequence
            {
                self.sequence += 1;
                self.offset = end;
                return Ok(Some(entry));
            }
        }
        match self.intact_follows().map_err(|source| self.unread(source))? {
            true => Err(damaged(&self.path, Damage::Record { offset: self.offset })),
            false => Ok(None),
        }
    }

    fn go_to(&mut self, offset: u64) {
        self.reader = Window::reader(&self.file, offset);
    }

    /// The record at `at`, where the reader is, with its sequence number and the place behind it; `None` unless it is whole and intact.
    fn entry(&mut self, at: u64) -> io::Result<Option<(u64, Entry, u64)>> {
        let mut prefix = [0; PREFIX_BYTES];
        let left = self.end.saturating_sub(at + PREFIX_BYTES as u64);
        if self.end < at + PREFIX_BYTES as u64 || !self.fill(&mut prefix)? {
            return Ok(None);
        }
        let Some(prefix) = Prefix::read(&prefix).filter(|prefix| u64::from(prefix.body_bytes) <= left) else {
            return Ok(None);
        };
        let end = at + PREFIX_BYTES as u64 + u64::from(prefix.body_bytes);
        let mut body = Vec::new();
        let head = u64::from(prefix.body_bytes).min(CHECKPOINT_HEAD_BYTES as u64);
        self.reader.by_ref().take(head).read_to_end(&mut body)?;
        if let Some(head) = CheckpointHead::read(&body) {
            let files_at = at + (PREFIX_BYTES + CHECKPOINT_HEAD_BYTES) as u64;
            let intact = self.checksum(&body, end - files_at)? == prefix.checksum;
            return Ok(intact.then(|| (head.sequence, Entry::Checkpoint(self.files_of(&head, files_at, end)), end)));
        }
        self.reader.by_ref().take(u64::from(prefix.body_bytes) - body.len() as u64).read_to_end(&mut body)?;
        let intact = crc32fast::hash(&body) == prefix.checksum;
        let record = intact.then(|| read_body(&body)).flatten();
        Ok(record.map(|(sequence, record)| (sequence, Entry::Record(record), end)))
    }

    /// Whether there were so many bytes.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        match self.reader.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }

    /// Of a body that begins so and goes on for `left` bytes, which the reader passes over.
    fn checksum(&mut self, head: &[u8], mut left: u64) -> io::Result<u32> {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(head);
        while left > 0 {
            let bytes = self.reader.fill_buf()?;
            let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if taken == 0 {
                break;
            }
            checksum.update(&bytes[..taken]);
            self.reader.consume(taken);
            left -= taken as u64;
        }
        Ok(checksum.finalize())
    }

    fn files_of(&self, head: &CheckpointHead, files_at: u64, end: u64) -> Checkpoint {
        let files = Paths {
            bytes: Window::reader(&self.file, files_at).take(end - files_at),
            manifest: self.path.clone(),
            record: self.offset,
            left: head.files,
        };
        let CheckpointHead { epoch, floor, catalog_bytes, .. } = *head;
        Checkpoint { epoch, floor, catalog_bytes, files }
    }

    /// Whether an intact record with the next sequence number or a later one lies anywhere behind the last one that was read. Each record is
    /// synced before the next is written, so that a crash cannot tear any but the last.
    fn intact_follows(&mut self) -> io::Result<bool> {
        let (mut at, mut bytes) = (self.offset, Vec::new());
        while at < self.end {
            bytes.clear();
            let wanted = (self.end - at).min(SEARCHED_BYTES as u64);
            Window::reader(&self.file, at).take(wanted).read_to_end(&mut bytes)?;
            for found in memmem::find_iter(&bytes, &MARK) {
                let place = at + found as u64;
                self.go_to(place);
                if self.entry(place)?.is_some_and(|(sequence, ..)| sequence >= self.sequence) {
                    return Ok(true);
                }
            }
            if bytes.len() < SEARCHED_BYTES {
                break;
            }
            // A mark may lie across the end of what was searched.
            at += (SEARCHED_BYTES - MARK.len() + 1) as u64;
        }
        Ok(false)
    }

    fn unread(&self, source: io::Error) -> LakeError {
        LakeError::Io { action: "read", path: self.path.clone(), source }
    }
}

/// The files of a checkpoint that has proved to be intact, in the order of their names, relative to the data directory.
#[derive(Debug)]
pub(super) struct Paths {
    bytes: Take<BufReader<Window>>,
    manifest: PathBuf,
    /// Where the checkpoint begins.
    record: u64,
    /// Paths that were not read yet.
    left: u32,
}

impl Paths {
    /// How many were not read yet.
    pub fn left(&self) -> u32 {
        self.left
    }

    fn path(&mut self) -> Result<String, LakeError> {
        let mut length = [0; 2];
        let mut bytes = Vec::new();
        let read = self.bytes.read_exact(&mut length).and_then(|()| {
            bytes.resize(usize::from(u16::from_le_bytes(length)), 0);
            self.bytes.read_exact(&mut bytes)
        });
        let damage = || damaged(&self.manifest, Damage::Record { offset: self.record });
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damage()),
            read => {
                read.map_err(|source| LakeError::Io { action: "read", path: self.manifest.clone(), source })?;
            }
        }
        let path = String::from_utf8(bytes).map_err(|_| damage())?;
        if self.left == 0 && self.bytes.limit() > 0 {
            return Err(damage());
        }
        Ok(path)
    }
}

impl Iterator for Paths {
    type Item = Result<String, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.path())
    }
}

/// A file from some place on. Each reader has a place of its own.
#[derive(Debug)]
struct Window {
    file: Arc<File>,
    at: u64,
}

impl Window {
    fn reader(file: &Arc<File>, at: u64) -> BufReader<Self> {
        BufReader::with_capacity(64 << 10, Self { file: Arc::clone(file), at })
    }
}

impl Read for Window {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
