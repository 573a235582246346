//! The groups of one segment: where whole ones lie, and what is there where none is.

use super::super::WalError;
use super::super::format::{BLOCK_BYTES, GroupHeader, HEADER_BYTES, Kind, RECORD_HEADER_BYTES, RecordHeader};
use super::blocks::Blocks;
use super::candidate::Candidate;
use super::{Losses, Lost, Segment, Tally, Torn};

/// Whole groups without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub start: u64,
    pub end: u64,
    /// Of the first group, and of the one that would come next.
    pub sequence: u64,
    pub next_sequence: u64,
}

pub(super) struct Scanned {
    pub segment: Segment,
    pub end: End,
    /// Whether there is a group of this use of the segment, be it that of its header only.
    pub holds_groups: bool,
}

/// Where the whole groups of a segment end.
#[derive(Debug)]
pub(super) struct End {
    candidate: Candidate,
    offset: u64,
    /// Of the next group.
    pub sequence: u64,
    torn_bytes: u64,
}

/// Reads the segment. Groups below `taken` were found elsewhere: they are checked, and passed over.
pub(super) fn scan(candidate: Candidate, taken: u64, losses: &mut Losses) -> Result<Scanned, WalError> {
    let mut scan = Scan::open(candidate)?;
    let mut holds_groups = false;
    let behind = loop {
        match scan.place()? {
            Place::Whole { header, tally } => {
                scan.take(&header, &tally, taken);
                holds_groups = true;
            }
            Place::Malformed { header } => {
                holds_groups = true;
                let what = format!(
                    "holds a group, {}, whose checksum is right and whose records do not fill it",
                    header.sequence
                );
                losses.add(scan.lost(header.disk_bytes(), 1, what))?;
                scan.go_on(scan.offset + header.disk_bytes(), header.sequence.saturating_add(1));
            }
            Place::NotWhole => {
                let behind = scan.look_behind()?;
                let Some((offset, sequence)) = behind.later else { break behind };
                holds_groups = true;
                if is_damaged(&mut scan.blocks, &scan.candidate, scan.offset, scan.sequence)? {
                    let groups = sequence - scan.sequence;
                    losses.add(scan.lost(offset - scan.offset, groups, missing(scan.sequence, sequence, offset)))?;
                    scan.go_on(offset, sequence);
                }
            }
        }
    };
    let end =
        End { candidate: scan.candidate, offset: scan.offset, sequence: scan.sequence, torn_bytes: behind.torn_bytes };
    Ok(Scanned { segment: scan.segment, end, holds_groups: holds_groups || behind.begun })
}

fn missing(sequence: u64, later: u64, offset: u64) -> String {
    format!(
        "is not the whole group {sequence} that was written there: group {later} follows at byte {offset}, and each group is written \
         after the one before it was"
    )
}

impl End {
    /// Whether the segment begins with the group `sequence`.
    pub fn begins_with(&self, sequence: u64) -> bool {
        self.candidate.first_sequence == Some(sequence)
    }

    /// What is lost between here and a segment that begins with the group `first`, and ends at `next`.
    pub fn gap(&self, first: u64, next: &Self) -> Result<Lost, WalError> {
        let mut blocks = Blocks::open(&self.candidate.path)?;
        if !is_damaged(&mut blocks, &self.candidate, self.offset, self.sequence)? {
            return Err(WalError::Changed { path: self.candidate.path.clone(), offset: self.offset });
        }
        let what = format!(
            "does not go on with group {}, and {} begins with group {first}: what is between them is missing",
            self.sequence,
            next.candidate.path.display()
        );
        let (path, groups) = (self.candidate.path.clone(), first - self.sequence);
        Ok(Lost { path, offset: self.offset, bytes: self.torn_bytes, groups, what })
    }

    /// The segment that ends here begins with the group `first`, which lies before the end of another one.
    pub fn overlap(&self, first: u64, before: &Self) -> Lost {
        let what =
            format!("begins with group {first}, which {} holds too: one is a copy", before.candidate.path.display());
        Lost { path: self.candidate.path.clone(), offset: BLOCK_BYTES as u64, bytes: 0, groups: 0, what }
    }

    pub fn into_torn(self) -> Option<Torn> {
        let Self { candidate, offset, torn_bytes: bytes, .. } = self;
        (bytes > 0).then_some(Torn { path: candidate.path, offset, bytes })
    }
}

enum Place {
    Whole {
        header: GroupHeader,
        tally: Tally,
    },
    /// Its checksum is right, but its records do not fill it: it was never written so by this version.
    Malformed {
        header: GroupHeader,
    },
    NotWhole,
}

/// What stands where a whole group does not.
#[derive(Default)]
struct Behind {
    /// Offset and number of the first group that cannot stand there unless the missing one was whole once.
    later: Option<(u64, u64)>,
    /// Whether the header of the expected group is there.
    begun: bool,
    torn_bytes: u64,
}

struct Scan {
    candidate: Candidate,
    blocks: Blocks,
    segment: Segment,
    offset: u64,
    /// Of the group that is expected at `offset`.
    sequence: u64,
}

impl Scan {
    fn open(candidate: Candidate) -> Result<Self, WalError> {
        let blocks = Blocks::open(&candidate.path)?;
        let segment = Segment {
            path: candidate.path.clone(),
            file_bytes: blocks.bytes(),
            life: candidate.life,
            first_sequence: candidate.first_sequence,
            tally: Tally::default(),
            runs: Vec::new(),
        };
        let (offset, sequence) = (candidate.start, candidate.first_sequence.unwrap_or(0));
        Ok(Self { candidate, blocks, segment, offset, sequence })
    }

    fn go_on(&mut self, offset: u64, sequence: u64) {
        (self.offset, self.sequence) = (offset, sequence);
    }

    fn lost(&self, bytes: u64, groups: u64, what: String) -> Lost {
        Lost { path: self.candidate.path.clone(), offset: self.offset, bytes, groups, what }
    }

    fn take(&mut self, header: &GroupHeader, tally: &Tally, taken: u64) {
        let Self { offset, sequence, .. } = *self;
        self.go_on(offset + header.disk_bytes(), sequence.saturating_add(1));
        if sequence < taken {
            return;
        }
        self.segment.tally.add(tally);
        let run = Run { start: offset, end: self.offset, sequence, next_sequence: self.sequence };
        match self.segment.runs.last_mut().filter(|last| last.end == run.start && last.next_sequence == run.sequence) {
            Some(last) => (last.end, last.next_sequence) = (run.end, run.next_sequence),
            None => self.segment.runs.push(run),
        }
    }

    fn place(&mut self) -> Result<Place, WalError> {
        place(&mut self.blocks, self.candidate.life, self.offset, self.sequence)
    }

    /// Looks at everything from the place on where no whole group is.
    fn look_behind(&mut self) -> Result<Behind, WalError> {
        let (place, bytes) = (self.offset, self.blocks.bytes());
        let mut behind = Behind::default();
        let mut group_bytes = None;
        // A segment that was used before: what follows is of then.
        let mut recycled = false;
        let mut filled = place;
        let mut block = [0; BLOCK_BYTES];
        self.blocks.go(place)?;
        while self.blocks.at() < bytes {
            let at = self.blocks.at();
            let block = &mut block[..BLOCK_BYTES.min((bytes - at) as usize)];
            self.blocks.read(block)?;
            match GroupHeader::decode(block).filter(|group| group.life == self.candidate.life) {
                Some(group) if group.sequence < self.sequence => recycled = true,
                Some(group) if at == place && group.sequence == self.sequence => {
                    behind.begun = true;
                    group_bytes = Some(group.disk_bytes().min(bytes - place));
                }
                // One misplaced group must not cost all between it and its place: the next in order counts.
                Some(group) if behind.later.is_none_or(|(_, least)| group.sequence < least) => {
                    behind.later = Some((at, group.sequence));
                    if group.sequence <= self.sequence + 1 {
                        return Ok(behind);
                    }
                }
                _ => {}
            }
            if at == place && group_bytes.is_none() {
                behind.begun = !recycled && GroupHeader::resembles(block, self.candidate.life, self.sequence);
            }
            // Without a branch a byte: most of what is read here is zeros.
            if !recycled && block.iter().fold(0, |all, byte| all | byte) != 0 {
                filled = at + block.len() as u64;
            }
        }
        if behind.later.is_some() {
            return Ok(behind);
        }
        behind.torn_bytes = match group_bytes {
            Some(bytes) => bytes,
            None if recycled && !behind.begun => 0,
            None => filled - place,
        };
        Ok(behind)
    }
}

/// Whether there is still no whole group, so that no running node has written it meanwhile.
fn is_damaged(blocks: &mut Blocks, candidate: &Candidate, offset: u64, sequence: u64) -> Result<bool, WalError> {
    if !candidate.is_unchanged(blocks)? {
        return Err(WalError::Changed { path: candidate.path.clone(), offset: 0 });
    }
    Ok(matches!(place(blocks, candidate.life, offset, sequence)?, Place::NotWhole))
}

/// What is at `offset`, where the group `sequence` is expected.
fn place(blocks: &mut Blocks, life: u64, offset: u64, sequence: u64) -> Result<Place, WalError> {
    let rest = blocks.bytes().saturating_sub(offset);
    if rest < HEADER_BYTES as u64 {
        return Ok(Place::NotWhole);
    }
    let mut header = [0; HEADER_BYTES];
    blocks.go(offset)?;
    blocks.read(&mut header)?;
    let expected = |group: &GroupHeader| group.life == life && group.sequence == sequence && group.disk_bytes() <= rest;
    let Some(header) = GroupHeader::decode(&header).filter(expected) else { return Ok(Place::NotWhole) };
    let mut crc = crc32fast::Hasher::new();
    let mut records = Records::default();
    blocks.stream(u64::from(header.payload_bytes), |piece| {
        crc.update(piece);
        records.follow(piece);
    })?;
    if crc.finalize() != header.payload_crc {
        return Ok(Place::NotWhole);
    }
    if let Some(kind) = records.unknown {
        return Err(WalError::Version { path: blocks.path().to_owned(), what: format!("a record of kind {kind}") });
    }
    let tally = Tally { groups: 1, ..records.tally };
    let filled = records.is_between_records() && tally.records() == u64::from(header.records);
    Ok(if filled { Place::Whole { header, tally } } else { Place::Malformed { header } })
}

/// Follows the records of a payload that comes in pieces.
#[derive(Default)]
struct Records {
    header: [u8; RECORD_HEADER_BYTES],
    /// Bytes of `header` that are there.
    filled: usize,
    /// Bytes of the record that are to come.
    left: usize,
    tally: Tally,
    /// The first kind that this version does not know.
    unknown: Option<u8>,
}

impl Records {
    fn follow(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let passed = self.left.min(piece.len());
            self.left -= passed;
            piece = &piece[passed..];
            if self.left > 0 || piece.is_empty() {
                return;
            }
            let taken = piece.len().min(RECORD_HEADER_BYTES - self.filled);
            self.header[self.filled..self.filled + taken].copy_from_slice(&piece[..taken]);
            self.filled += taken;
            piece = &piece[taken..];
            if let Some(header) = RecordHeader::decode(&self.header[..self.filled]) {
                self.begin(header);
            }
        }
    }

    fn begin(&mut self, header: RecordHeader) {
        self.filled = 0;
        self.left = header.bytes as usize;
        self.tally.bytes += u64::from(header.bytes);
        // Births are of no epoch.
        if header.kind == Kind::Request as u8 {
            self.tally.add_epoch(header.epoch);
        }
        match Kind::of(header.kind) {
            Some(Kind::Request) => self.tally.requests += 1,
            Some(Kind::Births) => self.tally.births += 1,
            None => self.unknown = self.unknown.or(Some(header.kind)),
        }
    }

    fn is_between_records(&self) -> bool {
        self.filled == 0 && self.left == 0
    }
}
