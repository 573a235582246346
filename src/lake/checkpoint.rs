//! A manifest that has grown is condensed at a start: records of what is long gone become one that lists the files of the lake.

use super::LakeError;
use super::manifest::{Manifest, Record};
use super::recover::review;

/// Smaller ones are read in moments.
const BYTES_MIN: u64 = 4 << 20;
/// About so much of it stays as it is, for those who follow the feed of changes.
const KEPT_BYTES: u64 = 1 << 20;

/// The manifest, condensed if that is worth it. `records` are those that it had before recovery, whose own come to nothing: it closes open
/// intents.
pub(super) fn condense(manifest: Manifest, records: &[Record]) -> Result<Manifest, LakeError> {
    let bytes = records.iter().map(Record::encoded_bytes).sum();
    if bytes < BYTES_MIN {
        return Ok(manifest);
    }
    let Some(condensed) = condensed(records, bytes, KEPT_BYTES) else { return Ok(manifest) };
    let path = manifest.path().to_owned();
    let rewritten = match manifest.write_aside(&condensed) {
        Ok(rewritten) => rewritten,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the manifest could not be condensed; it stays as it is until the next start");
            return Ok(manifest);
        }
    };
    // From here on it is not certain which of the two is there.
    let rewritten = rewritten.take_place().map_err(|source| LakeError::Io { action: "replace", path, source })?;
    let (before, after) = (records.len(), condensed.len());
    tracing::info!(path = %rewritten.path().display(), before, after, "the manifest is condensed: so many records became so many");
    Ok(rewritten)
}

/// A checkpoint and the records behind it, about `kept_bytes` of them; `None` where this would not take half of `bytes` away. An intent that was
/// open at the end is left out, for recovery has taken back what it added.
fn condensed(records: &[Record], bytes: u64, kept_bytes: u64) -> Option<Vec<Record>> {
    let cut = cut(records, bytes, kept_bytes)?;
    let (before, kept) = records.split_at(cut);
    let past = review(before);
    if !past.open.is_empty() {
        return None;
    }
    let mut files: Vec<String> = past.committed.into_iter().map(str::to_owned).collect();
    files.sort_unstable();
    let most = |of: fn(&Record) -> u64| before.iter().map(of).max().unwrap_or(0);
    let (floor, catalog_bytes) = (most(Record::floor), most(Record::catalog_bytes));
    let mut condensed = vec![Record::Checkpoint { epoch: past.epoch, floor, catalog_bytes, files }];
    condensed.extend_from_slice(kept);
    // Closed, so that nothing is left to be done, and still named: their epochs are not given again.
    for (epoch, _) in review(kept).open {
        condensed.push(Record::Abort { epoch });
    }
    (condensed.iter().map(Record::encoded_bytes).sum::<u64>() <= bytes / 2).then_some(condensed)
}

/// How many records become the checkpoint: up to the first commit of a flush with no more than `kept_bytes` behind it, else up to the last one.
fn cut(records: &[Record], bytes: u64, kept_bytes: u64) -> Option<usize> {
    let (mut epoch, mut left, mut cut) = (0, bytes, None);
    for (index, record) in records.iter().enumerate() {
        left -= record.encoded_bytes();
        if matches!(record, Record::Commit { .. } | Record::Checkpoint { .. }) && record.epoch() > epoch {
            epoch = record.epoch();
            cut = Some(index + 1);
            if left <= kept_bytes {
                break;
            }
        }
    }
    cut
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn intent(epoch: u64, adds: &[&str], removes: &[&str]) -> Record {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Record::Intent { epoch, adds: owned(adds), removes: owned(removes) }
    }

    fn commit(epoch: u64) -> Record {
        Record::Commit { epoch, catalog_bytes: epoch * 10 }
    }

    /// Flushes 1 to 100 of a file each, of which one took the place of all others; one that was taken back; a replacement behind the last.
    fn records() -> Vec<Record> {
        let names: Vec<String> = (0..=100).map(|epoch| format!("lake/b/m/day=2024-01-01/{epoch:0>100}")).collect();
        let mut records = Vec::new();
        for epoch in 1..=100 {
            records.extend([intent(epoch, &[&names[epoch as usize]], &[]), commit(epoch)]);
            if epoch == 90 {
                let old: Vec<&str> = names[1..=90].iter().map(String::as_str).collect();
                records.extend([intent(90, &["lake/large"], &old), commit(90)]);
                records.extend([intent(95, &["lake/never"], &[]), Record::Abort { epoch: 95 }]);
            }
        }
        records.extend([intent(100, &["lake/small"], &[&names[100]]), commit(100)]);
        records
    }

    fn total(records: &[Record]) -> u64 {
        records.iter().map(Record::encoded_bytes).sum()
    }

    #[test]
    fn what_is_condensed_comes_to_the_same() {
        let records = records();
        let bytes = total(&records);
        for kept_bytes in [0, 1, 100, 300, 1000, 2000] {
            let condensed = condensed(&records, bytes, kept_bytes).unwrap();
            assert!(matches!(condensed[0], Record::Checkpoint { .. }));
            let (now, before) = (review(&condensed), review(&records));
            assert_eq!((now.epoch, now.committed), (before.epoch, before.committed), "{kept_bytes}");
            assert!(now.open.is_empty());
            let most = |records: &[Record], of: fn(&Record) -> u64| records.iter().map(of).max();
            for of in [Record::floor, Record::catalog_bytes] {
                assert_eq!(most(&condensed, of), most(&records, of));
            }
            // Behind the last flush all is kept, for who has heard of it has not heard of that.
            assert_eq!(condensed[condensed.len() - 2..], records[records.len() - 2..]);
            assert_eq!(condensed[1..], records[records.len() + 1 - condensed.len()..]);
            // Once more, from a checkpoint.
            assert_eq!(super::condensed(&condensed, total(&condensed), kept_bytes), None, "nothing would be won");
        }
        assert_eq!(condensed(&records, bytes, bytes), None, "all is kept");
    }

    #[test]
    fn what_recovery_closes_is_closed_in_the_condensed_one_too() {
        let mut records = records();
        records.push(intent(101, &["lake/cut off"], &[]));
        let condensed = condensed(&records, total(&records), 100).unwrap();
        assert_eq!(condensed.last(), Some(&Record::Abort { epoch: 101 }));
        assert!(review(&condensed).open.is_empty());
        assert_eq!(condensed.iter().map(Record::floor).max(), Some(101));
    }

    #[test]
    fn a_manifest_of_files_that_are_there_stays_as_it_is() {
        let names: Vec<String> = (1..=100).map(|epoch| format!("lake/{epoch:0>100}")).collect();
        let flushes = (1..).zip(&names).flat_map(|(epoch, name)| [intent(epoch, &[name], &[]), commit(epoch)]);
        let records: Vec<Record> = flushes.collect();
        assert_eq!(condensed(&records, total(&records), 0), None);
        assert_eq!(condensed(&[], 0, 0), None);
    }
}
