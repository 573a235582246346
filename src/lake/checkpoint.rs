//! A manifest that has grown is condensed, at a start and while the node runs: records of what is long gone become one that lists the files of the
//! lake.

use std::io;

use super::LakeError;
use super::manifest::{End, HEADER_BYTES, Manifest, NewCheckpoint, Record};
use super::records::{Entry, Records};
use super::review::Review;

/// At a start; smaller ones are read in moments.
const BYTES_MIN: u64 = 4 << 20;
/// About so much of it stays as it is, for those who follow the feed of changes.
const KEPT_BYTES: u64 = 1 << 20;

/// What has become of a manifest that was to be condensed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Condensed,
    /// Most of it is of files that there are.
    NotWorthIt,
    /// It is as it was; a warning says why.
    Failed,
}

/// Condenses the manifest of a start if that is worth it. No intent of it is open.
pub(super) fn condense_at_start(manifest: &mut Manifest) -> Result<(), LakeError> {
    if manifest.bytes() >= BYTES_MIN {
        condense(manifest, KEPT_BYTES)?;
    }
    Ok(())
}

/// Condenses the manifest if that is worth it. No intent of it is open, and every file is gone that a commit removed: one that is still there would
/// be named nowhere.
///
/// # Errors
/// It is not certain which manifest has its name.
pub(super) fn condense(manifest: &mut Manifest, kept_bytes: u64) -> Result<Outcome, LakeError> {
    let path = manifest.path().to_owned();
    let condensed = match condensed(manifest, kept_bytes) {
        Ok(Some(condensed)) => condensed,
        Ok(None) => return Ok(Outcome::NotWorthIt),
        Err(error) => {
            // What is there of it takes room that a full disk lacks. It means nothing, so that it may also stay.
            let _ = std::fs::remove_file(path.with_extension("new"));
            tracing::warn!(path = %path.display(), %error, "the manifest could not be condensed; it stays as it is, and this is tried again later");
            return Ok(Outcome::Failed);
        }
    };
    let (before, after) = (manifest.bytes(), condensed.bytes());
    // From here on it is not certain which of the two is there.
    *manifest = condensed.take_place().map_err(|source| LakeError::Io { action: "replace", path, source })?;
    tracing::info!(path = %manifest.path().display(), before, after, "the manifest is condensed: so many bytes became so many");
    Ok(Outcome::Condensed)
}

/// Writes a checkpoint and the records behind it, about `kept_bytes` of them, aside; `None` where this would not take half of the manifest away.
fn condensed(manifest: &Manifest, kept_bytes: u64) -> Result<Option<Manifest>, LakeError> {
    let open = || Records::open_own(manifest.path());
    let error = |source| LakeError::Io { action: "write", path: manifest.path().with_extension("new"), source };
    let Some(cut) = open()?.map_or(Ok(None), |records| cut(records, kept_bytes))? else { return Ok(None) };
    let Some(mut records) = open()? else { return Ok(None) };
    let past = Review::of(&mut records, Some(cut.offset))?;
    let Review { epoch, floor, catalog_bytes, files, .. } = &past;
    let checkpoint = NewCheckpoint { epoch: *epoch, floor: *floor, catalog_bytes: *catalog_bytes, files };
    let bytes = manifest.bytes() - HEADER_BYTES as u64;
    if !past.open.is_empty() || checkpoint.encoded_bytes() + records.left_bytes() > bytes / 2 {
        return Ok(None);
    }
    let mut aside = manifest.begin_aside(&checkpoint).map_err(error)?;
    while let Some(entry) = records.next()? {
        match entry {
            Entry::Record(record) => aside.append(&record).map_err(error)?,
            Entry::Checkpoint(_) => return Err(error(io::Error::other("a checkpoint stands behind other records"))),
        }
    }
    Ok(Some(aside.finish().map_err(error)?))
}

/// Where the records end that become the checkpoint: behind the first commit of a flush with no more than `kept_bytes` behind it, else behind the
/// last one.
fn cut(mut records: Records, kept_bytes: u64) -> Result<Option<End>, LakeError> {
    let (mut epoch, mut cut) = (0, None);
    while let Some(entry) = records.next()? {
        let committed = match entry {
            Entry::Record(Record::Commit { epoch, .. }) => epoch,
            Entry::Checkpoint(checkpoint) => checkpoint.epoch,
            Entry::Record(_) => continue,
        };
        if committed > epoch {
            epoch = committed;
            cut = Some(records.position());
            if records.left_bytes() <= kept_bytes {
                break;
            }
        }
    }
    Ok(cut)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::super::inventory::Inventory;
    use super::*;

    fn path(epoch: u64, n: u32) -> String {
        format!(
            "lake/bucket of a long name/measurement of a long name, too/day=2024-01-01/{epoch:013}-{n:04}-0000000000000001.parquet"
        )
    }

    fn flush(epoch: u64) -> [Record; 2] {
        [intent(epoch, vec![path(epoch, 0)], vec![]), commit(epoch)]
    }

    fn intent(epoch: u64, adds: Vec<String>, removes: Vec<String>) -> Record {
        Record::Intent { epoch, adds, removes }
    }

    fn commit(epoch: u64) -> Record {
        Record::Commit { epoch, catalog_bytes: epoch * 10 }
    }

    /// Flushes 1 to 100 of a file each, of which one took the place of the first 90; one that was taken back; a replacement behind the last.
    fn records() -> Vec<Record> {
        let mut records: Vec<Record> = (1..=90).flat_map(flush).collect();
        records.extend([intent(90, vec![path(90, 1)], (1..=90).map(|epoch| path(epoch, 0)).collect()), commit(90)]);
        records.extend([intent(95, vec![path(95, 7)], vec![]), Record::Abort { epoch: 95 }]);
        records.extend((91..=100).flat_map(flush));
        records.extend([intent(100, vec![path(100, 1)], vec![path(100, 0)]), commit(100)]);
        records
    }

    fn written(folder: &Path, records: &[Record]) -> Manifest {
        let mut manifest = Manifest::create(&folder.join("manifest")).unwrap();
        records.iter().for_each(|record| manifest.append(record).unwrap());
        manifest
    }

    fn review(manifest: &Manifest) -> Review {
        Review::of(&mut Records::open(manifest.path()).unwrap().unwrap(), None).unwrap()
    }

    fn said(review: Review) -> (u64, u64, u64, Inventory, usize) {
        let Review { epoch, floor, catalog_bytes, files, open } = review;
        (epoch, floor, catalog_bytes, files, open.len())
    }

    /// The records behind the checkpoint, which comes first.
    fn tail(manifest: &Manifest) -> Vec<Record> {
        let mut reader = Records::open(manifest.path()).unwrap().unwrap();
        assert!(matches!(reader.next().unwrap(), Some(Entry::Checkpoint(_))));
        let mut tail = Vec::new();
        while let Some(entry) = reader.next().unwrap() {
            let Entry::Record(record) = entry else { panic!("{entry:?}") };
            tail.push(record);
        }
        tail
    }

    #[test]
    fn what_is_condensed_comes_to_the_same() {
        let records = records();
        for kept_bytes in [0, 1, 100, 300, 1000, 2000] {
            let folder = tempfile::tempdir().unwrap();
            let manifest = written(folder.path(), &records);
            let before = said(review(&manifest));
            let now = condensed(&manifest, kept_bytes).unwrap().unwrap().take_place().unwrap();
            assert_eq!(said(review(&now)), before, "{kept_bytes}");
            let tail = tail(&now);
            // Behind the last flush all is kept, for who has heard of it has not heard of that.
            assert!(tail.len() >= 2);
            assert_eq!(tail, records[records.len() - tail.len()..]);
            assert_eq!(now.bytes(), std::fs::metadata(now.path()).unwrap().len());
            // Once more, from a checkpoint.
            assert!(condensed(&now, kept_bytes).unwrap().is_none(), "nothing would be won");
            // It goes on where it ended.
            let mut now = now;
            now.append(&commit(101)).unwrap();
            assert_eq!(review(&now).epoch, 101);
        }
        let folder = tempfile::tempdir().unwrap();
        let manifest = written(folder.path(), &records);
        assert!(condensed(&manifest, manifest.bytes()).unwrap().is_none(), "all is kept");
    }

    #[test]
    fn a_checkpoint_is_condensed_with_what_came_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = condensed(&written(folder.path(), &records()), 0).unwrap().unwrap().take_place().unwrap();
        let (mut before, removes) = (100, |epoch| vec![path(epoch, u32::from(epoch == 100))]);
        for epoch in 101..200 {
            manifest.append(&intent(epoch, vec![path(epoch, 0)], removes(before))).unwrap();
            manifest.append(&commit(epoch)).unwrap();
            before = epoch;
        }
        let before = said(review(&manifest));
        let now = condensed(&manifest, 0).unwrap().unwrap().take_place().unwrap();
        assert_eq!(said(review(&now)), before);
        assert_eq!(tail(&now), []);
    }

    #[test]
    fn an_intent_that_is_open_where_it_would_be_cut_keeps_it_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let records = [vec![intent(101, vec![path(101, 0)], vec![])], records()].concat();
        assert!(condensed(&written(folder.path(), &records), 0).unwrap().is_none());
    }

    #[test]
    fn a_manifest_of_files_that_are_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let records: Vec<Record> = (1..=100).flat_map(flush).collect();
        let manifest = written(folder.path(), &records);
        assert!(condensed(&manifest, 0).unwrap().is_none());
        assert!(!folder.path().join("manifest.new").exists(), "it was not begun");
        let folder = tempfile::tempdir().unwrap();
        assert!(condensed(&written(folder.path(), &[]), 0).unwrap().is_none());
    }
}
