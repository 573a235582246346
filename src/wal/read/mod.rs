//! What an earlier life has left: read and checked whole, then read once more, record by record.
//!
//! The first pass ([`inspect`]) looks at every byte, so that a start knows before it acts whether the log is sound. It keeps no more
//! than where the whole groups lie. The second ([`Reader`]) hands out the records and checks again what the first one has seen.
//! Both stream through one buffer a file; nothing is changed.
//!
//! What is found where no whole group is, is one of three things:
//!
//! - *nothing*: zeros, or groups of an earlier use of a recycled segment;
//! - a *torn* group: the last thing that the process began to write; nothing in it was acknowledged;
//! - *damage*: a group of the same life with the same or a later number stands behind it. Groups are written one after the other, so
//!   it was whole once.

mod blocks;
mod candidate;
mod claim;
mod folder;
mod reader;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::WalError;
use super::note::Claim;
use candidate::Candidate;
use scan::{End, Run};

pub use folder::{has_segments, remove};
pub use reader::{Head, Reader};

/// The log as a start finds it; nothing was changed to find out. Every byte was read and checked.
#[derive(Debug, Default)]
pub struct Found {
    /// Bytes of all records, payloads only.
    pub bytes: u64,
    pub records: u64,
    pub groups: u64,
    /// The largest epoch of any record; 0 without records.
    pub epoch_max: u64,
    /// The owner in the segments' headers, if there is any segment with one.
    pub owner: Option<[u8; 8]>,
    /// The end of the last segment that was not written whole.
    pub torn: Option<Torn>,
    /// What was passed over; empty unless damage is to be skipped.
    pub lost: Vec<Lost>,
    /// The files, in the order of the log; those without a header last.
    pub segments: Vec<Segment>,
    /// What lies in the folder and is no part of the log.
    pub ignored: Vec<PathBuf>,
}

/// A file of the log.
#[derive(Clone, Debug)]
pub struct Segment {
    pub path: PathBuf,
    pub file_bytes: u64,
    pub life: u64,
    /// The number of its first group, whether it is there or not; `None` without a header: made, but not used so far.
    pub first_sequence: Option<u64>,
    /// Of the groups that are read.
    pub tally: Tally,
    runs: Vec<Run>,
}

impl Segment {
    /// The numbers of the first and the last group that is read.
    pub fn sequences(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.runs.first()?, self.runs.last()?);
        Some((first.sequence, last.next_sequence.saturating_sub(1)))
    }
}

/// What whole groups hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub groups: u64,
    /// Records by kind.
    pub requests: u64,
    pub births: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// The smallest and the largest epoch of a record.
    pub epochs: Option<(u64, u64)>,
}

impl Tally {
    pub fn records(&self) -> u64 {
        self.requests + self.births
    }

    fn add(&mut self, other: &Self) {
        self.groups += other.groups;
        self.requests += other.requests;
        self.births += other.births;
        self.bytes += other.bytes;
        if let Some((least, largest)) = other.epochs {
            self.add_epoch(least);
            self.add_epoch(largest);
        }
    }

    fn add_epoch(&mut self, epoch: u64) {
        let (least, largest) = self.epochs.unwrap_or((epoch, epoch));
        self.epochs = Some((least.min(epoch), largest.max(epoch)));
    }
}

/// A group that was being written when the process ended: nothing in it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub path: PathBuf,
    pub offset: u64,
    /// Of the group, where its header is whole; otherwise of what is there. (In a segment that was used before that may be the end of an
    /// older group: nothing tells the two apart.)
    pub bytes: u64,
}

/// A damaged part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    /// Groups that are missing, by their sequence numbers.
    pub groups: u64,
    /// What is wrong there, to be read behind file and offset.
    pub what: String,
}

/// Where all damage is brought: refused, or noted and skipped.
struct Losses {
    skip: bool,
    list: Vec<Lost>,
}

impl Losses {
    fn add(&mut self, lost: Lost) -> Result<(), WalError> {
        if !self.skip {
            let Lost { path, offset, what, .. } = lost;
            return Err(WalError::Damaged { path, offset, what });
        }
        self.list.push(lost);
        Ok(())
    }

    /// What the note at `note` says that must be there.
    fn miss(&mut self, note: &Path, lost: Lost) -> Result<(), WalError> {
        if !self.skip {
            let Lost { path, what, .. } = lost;
            return Err(WalError::Missing { path, note: note.to_owned(), what });
        }
        self.list.push(lost);
        Ok(())
    }

    /// What the note says; nothing if it is damaged.
    fn read_note(&mut self, note: &Path) -> Result<Option<Claim>, WalError> {
        match Claim::read(note) {
            Err(WalError::Note { path }) if self.skip => {
                let what = "is not whole: it is not known which part of the log must be there".to_owned();
                self.list.push(Lost { path, offset: 0, bytes: 0, groups: 0, what });
                Ok(None)
            }
            claim => claim,
        }
    }
}

/// Reads and checks all segments in `dir`; a missing folder is an empty log. What the note at `note` says must be there. `skip_damaged`: goes
/// on behind damage and lists it.
///
/// # Errors
/// A file cannot be read, is damaged or missing (unless skipped), is of a later version or does not belong here.
pub fn inspect(dir: &Path, note: Option<&Path>, skip_damaged: bool) -> Result<Found, WalError> {
    let mut losses = Losses { skip: skip_damaged, list: Vec::new() };
    // Before the folder: a running log enters segments meanwhile.
    let claim = note.map_or(Ok(None), |note| losses.read_note(note))?;
    let listing = folder::list(dir)?;
    let mut found = Found { ignored: listing.ignored, ..Found::default() };
    let mut lives: BTreeMap<u64, Vec<Candidate>> = BTreeMap::new();
    let mut owner_from: Option<PathBuf> = None;
    for name in listing.segments {
        let candidate = Candidate::examine(name, &mut losses)?;
        if let Some(owner) = candidate.owner {
            let first = owner_from.get_or_insert_with(|| candidate.path.clone());
            if *found.owner.get_or_insert(owner) != owner {
                return Err(WalError::Owners { path: candidate.path, other: first.clone() });
            }
        }
        lives.entry(candidate.life).or_default().push(candidate);
    }
    let mut logs = Vec::new();
    for candidates in lives.into_values() {
        logs.push(Log::read(candidates, &mut losses)?);
    }
    // Later lives begin with later epochs.
    logs.sort_by_key(|log| (log.tally.groups == 0, log.tally.epochs));
    if let [first, second, ..] = &*logs
        && second.tally.groups > 0
        && !skip_damaged
    {
        let path = |log: &Log| log.segments[0].path.clone();
        return Err(WalError::Lives { path: path(second), other: path(first) });
    }
    if let (Some(note), Some(claim)) = (note, claim) {
        claim::check(dir, note, &claim, &logs, &mut losses)?;
    }
    for log in logs {
        found.groups += log.tally.groups;
        found.records += log.tally.records();
        found.bytes += log.tally.bytes;
        found.epoch_max = found.epoch_max.max(log.tally.epochs.map_or(0, |(_, largest)| largest));
        found.torn = log.torn.or(found.torn);
        found.segments.extend(log.segments);
    }
    found.lost = losses.list;
    Ok(found)
}

impl Found {
    /// The records in the order of the log.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }
}

/// The segments of one life.
#[derive(Default)]
struct Log {
    segments: Vec<Segment>,
    tally: Tally,
    torn: Option<Torn>,
}

impl Log {
    fn life(&self) -> Option<u64> {
        self.segments.first().map(|segment| segment.life)
    }

    fn read(mut candidates: Vec<Candidate>, losses: &mut Losses) -> Result<Self, WalError> {
        candidates.sort_by_key(|candidate| (candidate.first_sequence.unwrap_or(u64::MAX), candidate.number));
        let mut log = Self::default();
        let mut end: Option<End> = None;
        let newest_used =
            candidates.iter().filter(|candidate| candidate.is_used()).max_by_key(|candidate| candidate.number);
        let newest_used = newest_used.map(|candidate| (candidate.number, candidate.path.clone()));
        for candidate in candidates {
            // Files are made one by one, each when the one before is used.
            if let Some((number, path)) = &newest_used
                && !candidate.is_used()
                && candidate.number < *number
            {
                losses.add(candidate.emptied(path))?;
            }
            let first = candidate.first_sequence;
            let taken = end.as_ref().map_or(0, |end| end.sequence);
            let scanned = scan::scan(candidate, taken, losses)?;
            log.tally.add(&scanned.segment.tally);
            log.segments.push(scanned.segment);
            if let Some(first) = first {
                end = Some(match end {
                    Some(before) => join(before, first, scanned.end, scanned.holds_groups, losses)?,
                    None => scanned.end,
                });
            }
        }
        log.torn = end.and_then(End::into_torn);
        Ok(log)
    }
}

/// Where the log ends when a segment that begins with the group `first` and ends at `next` follows one that ends at `before`.
fn join(before: End, first: u64, next: End, holds_groups: bool, losses: &mut Losses) -> Result<End, WalError> {
    // A header alone says nothing: it may be written while the last group of the segment before still is. Nor does a second one with
    // the same first group.
    if !holds_groups && (first != before.sequence || before.begins_with(first)) {
        return Ok(before);
    }
    if first > before.sequence {
        losses.add(before.gap(first, &next)?)?;
    } else if first < before.sequence {
        losses.add(next.overlap(first, &before))?;
    }
    Ok(if next.sequence >= before.sequence { next } else { before })
}
