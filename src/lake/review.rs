//! What the records of a manifest come to.

use super::LakeError;
use super::inventory::Inventory;
use super::manifest::Record;
use super::records::{Entry, Records};

/// Files that are about to appear, and those that go once they are committed.
#[derive(Debug)]
pub(super) struct Intent {
    pub epoch: u64,
    pub adds: Vec<String>,
    pub removes: Vec<String>,
}

/// In memory is what the lake has, not what it had.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// The last epoch that was committed; 0 if none was.
    pub epoch: u64,
    /// The newest epoch that is named; new ones lie above it.
    pub floor: u64,
    /// How much of the catalog committed files rely on.
    pub catalog_bytes: u64,
    pub files: Inventory,
    /// Those that are neither committed nor aborted.
    pub open: Vec<Intent>,
}

impl Review {
    /// Of all records that are left, or of those before the place `until`.
    ///
    /// # Errors
    /// The manifest cannot be read, is damaged, or names what no file of the lake is called.
    pub fn of(records: &mut Records, until: Option<u64>) -> Result<Self, LakeError> {
        let mut review = Self::default();
        while until.is_none_or(|until| records.position().offset < until)
            && let Some(entry) = records.next()?
        {
            match entry {
                Entry::Record(record) => review.take(record, records)?,
                Entry::Checkpoint(checkpoint) => {
                    review.epoch = checkpoint.epoch;
                    review.floor = review.floor.max(checkpoint.floor);
                    review.catalog_bytes = review.catalog_bytes.max(checkpoint.catalog_bytes);
                    review.files = Inventory::default();
                    for path in checkpoint.files {
                        let path = path?;
                        check(&path, records)?;
                        review.files.add(&path);
                    }
                }
            }
        }
        Ok(review)
    }

    fn take(&mut self, record: Record, records: &Records) -> Result<(), LakeError> {
        self.floor = self.floor.max(record.epoch());
        match record {
            Record::Intent { epoch, adds, removes } => {
                adds.iter().chain(&removes).try_for_each(|path| check(path, records))?;
                self.open.push(Intent { epoch, adds, removes });
            }
            Record::Commit { epoch, catalog_bytes } => {
                self.epoch = self.epoch.max(epoch);
                self.catalog_bytes = self.catalog_bytes.max(catalog_bytes);
                for Intent { adds, removes, .. } in self.open.extract_if(.., |intent| intent.epoch == epoch) {
                    adds.iter().for_each(|path| self.files.add(path));
                    removes.iter().for_each(|path| self.files.remove(path));
                }
            }
            Record::Abort { epoch } => self.open.retain(|intent| intent.epoch != epoch),
            Record::Loss { files, .. } => {
                for path in &files {
                    check(path, records)?;
                    self.files.remove(path);
                }
            }
        }
        Ok(())
    }
}

/// Nobody may be led out of the lake, nor past a file.
fn check(path: &str, records: &Records) -> Result<(), LakeError> {
    if Inventory::has_place_for(path) {
        return Ok(());
    }
    Err(LakeError::ManifestPath { manifest: records.path().to_owned(), file: path.to_owned() })
}
