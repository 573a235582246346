//! A segment before its groups are read: what its name and its header say.

use std::path::{Path, PathBuf};

use super::super::WalError;
use super::super::format::{BLOCK_BYTES, GroupHeader, HEADER_BYTES, NoHeader, SegmentHeader};
use super::blocks::Blocks;
use super::folder::Name;
use super::{Losses, Lost};

#[derive(Debug)]
pub(super) struct Candidate {
    pub path: PathBuf,
    pub life: u64,
    pub number: u32,
    /// `None` without a header that is whole.
    pub owner: Option<[u8; 8]>,
    /// Of the group at `start`; `None` if there are no groups to be read.
    pub first_sequence: Option<u64>,
    pub start: u64,
    /// Of the file.
    bytes: u64,
}

impl Candidate {
    pub fn examine(name: Name, losses: &mut Losses) -> Result<Self, WalError> {
        let mut blocks = Blocks::open(&name.path)?;
        let decoded = read_header(&mut blocks)?;
        let mut candidate = Self {
            path: name.path,
            life: name.life,
            number: name.number,
            owner: None,
            first_sequence: None,
            start: BLOCK_BYTES as u64,
            bytes: blocks.bytes(),
        };
        match decoded {
            Ok(header) => candidate.adopt(&header, blocks.bytes(), losses)?,
            Err(NoHeader::Invalid) => candidate.search(&mut blocks, losses)?,
            Err(NoHeader::Version { version, block }) => {
                let what = format!("version {version} of the log, with blocks of {block} bytes");
                return Err(WalError::Version { path: candidate.path, what });
            }
        }
        Ok(candidate)
    }

    /// Whether there are groups, or a header that announces them.
    pub fn is_used(&self) -> bool {
        self.first_sequence.is_some()
    }

    /// This one is not used though the file at `later`, which was made after it, is.
    pub fn emptied(&self, later: &Path) -> Lost {
        let what = format!("has neither header nor groups, but {} was made after it was used", later.display());
        Lost { path: self.path.clone(), offset: 0, bytes: self.bytes, groups: 0, what }
    }

    /// Whether the header still says what it said.
    pub fn is_unchanged(&self, blocks: &mut Blocks) -> Result<bool, WalError> {
        blocks.go(0)?;
        blocks.forget()?;
        let header = read_header(blocks)?.ok();
        let sequence = header.map(|header| header.first_sequence);
        Ok(header.map(|header| header.owner) == self.owner && (sequence.is_none() || sequence == self.first_sequence))
    }

    fn adopt(&mut self, header: &SegmentHeader, bytes: u64, losses: &mut Losses) -> Result<(), WalError> {
        let lost = |offset, bytes, what| Lost { path: self.path.clone(), offset, bytes, groups: 0, what };
        if header.life != self.life {
            let what = format!("names life {:016x}, and the file is called otherwise", header.life);
            losses.add(lost(0, 0, what))?;
        }
        // A segment has its full length before its header is written, so no crash leaves it so.
        if header.file_bytes != bytes {
            let what = format!("is not as long as its header says: {bytes} bytes, not {}", header.file_bytes);
            losses.add(lost(bytes.min(header.file_bytes), header.file_bytes.saturating_sub(bytes), what))?;
        }
        self.life = header.life;
        self.owner = Some(header.owner);
        self.first_sequence = Some(header.first_sequence);
        Ok(())
    }

    /// Without a header the segment was never used, unless there are groups in it.
    fn search(&mut self, blocks: &mut Blocks, losses: &mut Losses) -> Result<(), WalError> {
        let mut at = BLOCK_BYTES as u64;
        let mut header = [0; HEADER_BYTES];
        while at + HEADER_BYTES as u64 <= blocks.bytes() {
            blocks.go(at)?;
            blocks.read(&mut header)?;
            if let Some(group) = GroupHeader::decode(&header).filter(|group| group.life == self.life) {
                let what = format!("has no header that is whole, and group {} follows at byte {at}", group.sequence);
                losses.add(Lost { path: self.path.clone(), offset: 0, bytes: at, groups: 0, what })?;
                self.first_sequence = Some(group.sequence);
                self.start = at;
                break;
            }
            at += BLOCK_BYTES as u64;
        }
        Ok(())
    }
}

/// The header of a segment that was just opened.
pub(super) fn read_header(blocks: &mut Blocks) -> Result<Result<SegmentHeader, NoHeader>, WalError> {
    let mut header = [0; HEADER_BYTES];
    if blocks.bytes() < HEADER_BYTES as u64 {
        return Ok(Err(NoHeader::Invalid));
    }
    blocks.read(&mut header)?;
    Ok(SegmentHeader::decode(&header))
}
