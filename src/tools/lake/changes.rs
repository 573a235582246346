//! `ringest lake changes`: the feed of changes, as `GET /api/changes` answers it.

use std::path::Path;

use super::LakeToolError;
use crate::lake::{Ask, Cursor, Feed, feed};

/// One JSON object, as on the wire.
#[derive(Debug)]
pub struct ChangesReport(Feed);

/// Every change behind the commit of epoch `since`, or so many files of them; `cursor` is that of the answer before, if it had one.
///
/// # Errors
/// There is no lake, its manifest cannot be read, or it does not know the epoch.
pub fn changes(
    data_dir: &Path,
    since: u64,
    cursor: Option<Cursor>,
    files_max: Option<usize>,
) -> Result<ChangesReport, LakeToolError> {
    if !data_dir.is_dir() {
        return Err(LakeToolError::NoDataDir { path: data_dir.to_owned() });
    }
    let ask = Ask { since, cursor, files_max: files_max.unwrap_or(usize::MAX) };
    Ok(ChangesReport(feed(data_dir, ask, None, |_| true)?))
}

impl ChangesReport {
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.0)
    }
}
