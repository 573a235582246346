//! A note beside the log, in `state/`: which part of the log must be there. The segments themselves cannot tell that one at either end
//! is missing, or all of them.
//!
//! Two slots are written in turn, in place and synced: a write that is torn leaves the other. The bytes are in docs/FORMATS.md, "Log".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::WalError;
use super::disk::Backend;
use super::format::{BLOCK_BYTES, HEADER_BYTES, put_u32, put_u64, seal, sound, u32_at, u64_at};
use super::spares;

const MAGIC: [u8; 8] = *b"ringnote";
const VERSION: u32 = 1;
const SLOTS: usize = 2;
/// In the place of a sequence: no segment was entered.
const NONE: u64 = u64::MAX;

/// What the note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub life: u64,
    /// Every group of this life from this one on is there, up to the end of the log.
    pub begin: u64,
    /// The first group of the newest segment whose header is on disk; `None`: nothing must be there.
    pub entered: Option<u64>,
}

impl Claim {
    fn encode(&self, counter: u64) -> [u8; BLOCK_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        put_u32(&mut header, 8, VERSION);
        put_u64(&mut header, 16, counter);
        put_u64(&mut header, 24, self.life);
        put_u64(&mut header, 32, self.begin);
        put_u64(&mut header, 40, self.entered.unwrap_or(NONE));
        seal(&mut header);
        let mut slot = [0; BLOCK_BYTES];
        slot[..HEADER_BYTES].copy_from_slice(&header);
        slot
    }

    /// With its counter; `None`: not whole. The error is the version that wrote it.
    fn decode(slot: &[u8]) -> Result<Option<(u64, Self)>, u32> {
        let Some(header) = sound(slot).filter(|header| header[..8] == MAGIC) else { return Ok(None) };
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(version);
        }
        let entered = Some(u64_at(header, 40)).filter(|entered| *entered != NONE);
        let claim = Self { life: u64_at(header, 24), begin: u64_at(header, 32), entered };
        Ok(Some((u64_at(header, 16), claim)))
    }

    /// What the note at `path` says; `None` without a note.
    ///
    /// # Errors
    /// It cannot be read, is not whole in either slot, or is of a later version.
    pub fn read(path: &Path) -> Result<Option<Self>, WalError> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|source| WalError::Io { action: "read", path: path.to_owned(), source })?,
        };
        let mut newest = None;
        for slot in bytes.chunks(BLOCK_BYTES).take(SLOTS) {
            let decoded = Self::decode(slot).map_err(|version| WalError::Version {
                path: path.to_owned(),
                what: format!("version {version} of the log's note"),
            })?;
            newest = decoded.into_iter().chain(newest).max_by_key(|(counter, _)| *counter);
        }
        newest.map(|(_, claim)| Some(claim)).ok_or_else(|| WalError::Note { path: path.to_owned() })
    }
}

/// The note of the running log.
pub struct Note {
    file: File,
    path: PathBuf,
    /// As it is on disk.
    claim: Claim,
    counter: u64,
    /// What is written next: the older one, or the one that could not be written.
    slot: usize,
    #[cfg(test)]
    faults: Option<std::sync::Arc<super::disk::faulty::Faults>>,
}

impl Note {
    /// A note that claims nothing so far, in the place of any other. It is there wholly or not at all.
    #[cfg_attr(not(test), expect(unused_variables, reason = "only a faulty one matters"))]
    pub(super) fn create(path: &Path, life: u64, backend: &Backend) -> io::Result<Self> {
        let claim = Claim { life, begin: 0, entered: None };
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let file = File::create(&aside)?;
        for slot in 0..SLOTS as u64 {
            file.write_all_at(&claim.encode(slot), slot * BLOCK_BYTES as u64)?;
        }
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        path.parent().map_or(Ok(()), spares::sync_folder)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            claim,
            counter: SLOTS as u64,
            slot: 0,
            #[cfg(test)]
            faults: if let Backend::Faulty(faults) = backend { Some(std::sync::Arc::clone(faults)) } else { None },
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The groups before this one need not be there any more.
    pub(super) fn begin(&mut self, begin: u64) -> io::Result<()> {
        self.write(Claim { begin, ..self.claim })
    }

    /// The header of the segment that begins with this group is on disk.
    pub(super) fn enter(&mut self, first_sequence: u64) -> io::Result<()> {
        self.write(Claim { entered: Some(first_sequence), ..self.claim })
    }

    fn write(&mut self, claim: Claim) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            faults.note(claim.begin, claim.entered)?;
        }
        let slot = claim.encode(self.counter);
        self.counter += 1;
        self.file.write_all_at(&slot, (self.slot * BLOCK_BYTES) as u64)?;
        self.file.sync_data()?;
        self.slot = (self.slot + 1) % SLOTS;
        self.claim = claim;
        Ok(())
    }

    /// Removes the note at `path`, durably; from then on no segment must be there. One that is gone already is removed.
    ///
    /// # Errors
    /// It cannot be removed, or its folder cannot be synced.
    pub fn remove(path: &Path) -> Result<(), WalError> {
        spares::remove(path).map_err(|source| WalError::Io { action: "remove", path: path.to_owned(), source })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim { life: 7, begin: 3, entered: Some(9) };

    fn create(dir: &Path) -> Note {
        Note::create(&dir.join("log"), 7, &Backend::Synced).unwrap()
    }

    fn read(note: &Note) -> Option<Claim> {
        Claim::read(note.path()).unwrap()
    }

    #[test]
    fn the_newest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Claim::read(&dir.path().join("log")).unwrap(), None);
        let mut note = create(dir.path());
        assert_eq!(read(&note), Some(Claim { life: 7, begin: 0, entered: None }));
        for sequence in 0..5 {
            note.enter(sequence * 2).unwrap();
            assert_eq!(
                read(&note),
                Some(Claim { life: 7, begin: sequence.saturating_sub(1), entered: Some(sequence * 2) })
            );
            note.begin(sequence).unwrap();
            assert_eq!(read(&note), Some(Claim { life: 7, begin: sequence, entered: Some(sequence * 2) }));
        }
        assert_eq!(std::fs::metadata(note.path()).unwrap().len(), 2 * BLOCK_BYTES as u64);
        Note::remove(note.path()).unwrap();
        assert_eq!(read(&note), None);
        Note::remove(note.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// The layout is a promise: files of one version are read by the next.
    #[test]
    fn every_field_has_its_place() {
        let slot = CLAIM.encode(0x0102);
        assert_eq!(&slot[..18], b"ringnote\x01\0\0\0\0\0\0\0\x02\x01");
        assert_eq!((slot[24], slot[32], slot[40]), (7, 3, 9));
        assert_eq!(u32_at(&slot, 60), crc32fast::hash(&slot[..60]));
        assert_eq!(Claim::decode(&slot), Ok(Some((0x0102, CLAIM))));
        assert_eq!(Claim { entered: None, ..CLAIM }.encode(0)[40..48], [0xFF; 8]);
    }

    #[test]
    fn a_write_that_is_torn_at_any_byte_leaves_the_other_slot() {
        let dir = tempfile::tempdir().unwrap();
        let mut note = create(dir.path());
        note.enter(1).unwrap();
        for round in 2..4 {
            let (before, claimed) = (std::fs::read(note.path()).unwrap(), read(&note));
            let at = note.slot * BLOCK_BYTES;
            note.enter(round).unwrap();
            let (after, claims) = (std::fs::read(note.path()).unwrap(), read(&note));
            for torn in 0..=BLOCK_BYTES {
                let mut bytes = before.clone();
                bytes[at..at + torn].copy_from_slice(&after[at..at + torn]);
                std::fs::write(note.path(), &bytes).unwrap();
                let is_whole = bytes == after;
                assert_eq!(read(&note), if is_whole { claims } else { claimed }, "torn at {torn}");
            }
            std::fs::write(note.path(), &after).unwrap();
        }
    }

    #[test]
    fn a_flipped_bit_in_both_slots_is_no_note() {
        let dir = tempfile::tempdir().unwrap();
        let mut note = create(dir.path());
        note.enter(5).unwrap();
        let mut bytes = std::fs::read(note.path()).unwrap();
        bytes[20] ^= 1;
        std::fs::write(note.path(), &bytes).unwrap();
        assert_eq!(read(&note).unwrap().entered, None, "the older one");
        bytes[BLOCK_BYTES + 33] ^= 1;
        for bytes in [&bytes[..], &bytes[..100], &[]] {
            std::fs::write(note.path(), bytes).unwrap();
            let error = Claim::read(note.path()).unwrap_err().to_string();
            assert!(error.contains("neither of its two copies is whole"), "{error}");
        }
    }

    #[test]
    fn a_later_version_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let note = create(dir.path());
        let mut bytes = std::fs::read(note.path()).unwrap();
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes[..HEADER_BYTES]);
        put_u32(&mut header, 8, 2);
        seal(&mut header);
        bytes[..HEADER_BYTES].copy_from_slice(&header);
        std::fs::write(note.path(), &bytes).unwrap();
        assert!(matches!(Claim::read(note.path()), Err(WalError::Version { .. })));
    }
}
