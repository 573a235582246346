//! What a request for the changes of the lake asks for, and what may become of it.

use super::error::Refusal;
use super::params;

/// Files of an answer, unless the request says another number: about a megabyte.
const FILES_MAX: u64 = 10_000;

/// The parameters of `/api/changes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The last epoch that the client knows; 0 for none.
    pub epoch: u64,
    /// The checkpoint, and how many of its files the client knows, as the answer before had it.
    pub cursor: Option<(u64, u64)>,
    /// The answer ends before an epoch when it has so many files, but not before the first.
    pub files_max: u64,
}

impl Since {
    /// `since`, `cursor` and `limit` of the URL.
    ///
    /// # Errors
    /// One of them is nothing that it may be.
    pub fn of(query: &str) -> Result<Self, Refusal> {
        let number = |name: &'static str, default: u64| match params::first(query.as_bytes(), name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Refusal::Changes { name }),
        };
        let (epoch, files_max) = (number("since", 0)?, number("limit", FILES_MAX)?);
        if files_max == 0 {
            return Err(Refusal::Changes { name: "limit" });
        }
        let cursor = params::first(query.as_bytes(), "cursor").map(|text| {
            let cursor = text
                .split_once('-')
                .and_then(|(checkpoint, files)| Some((checkpoint.parse().ok()?, files.parse().ok()?)));
            cursor.ok_or(Refusal::Changes { name: "cursor" })
        });
        Ok(Self { epoch, cursor: cursor.transpose()?, files_max })
    }
}

/// Why a request for changes has no answer.
#[derive(Debug)]
pub enum NoChanges {
    /// What has changed since that epoch is not known.
    Gone(String),
    /// There is no memory for the answer now.
    NoMemory,
    Failed(String),
}
