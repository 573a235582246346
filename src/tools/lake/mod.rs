//! `ringest lake`: what the lake of a data directory holds, and whether it is sound. Only reads; a node may be running.

mod changes;
mod describe;
mod files;
mod list;
mod text;
mod verify;

use std::path::PathBuf;

use crate::catalog::CatalogError;
pub use crate::lake::Cursor;
use crate::lake::{FeedError, LakeError};

pub use changes::{ChangesReport, changes};
pub use describe::{DescribeReport, describe};
pub use files::Wanted;
pub use list::{ListReport, list, paths};
pub use verify::{Fault, VerifyReport, verify};

#[derive(Debug, thiserror::Error)]
pub enum LakeToolError {
    #[error("{path} is no folder; --data-dir is the folder that holds state/ and lake/")]
    NoDataDir { path: PathBuf },
    #[error(
        "{path} holds no lake: there is neither state/manifest nor lake/; --data-dir is the folder that holds them"
    )]
    NoLake { path: PathBuf },
    #[error("there is no {what} in the lake; `ringest lake list` shows what there is")]
    NotFound { what: String },
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("cannot read the footer of {path}: {reason}; `ringest lake verify` says more")]
    Footer { path: PathBuf, reason: String },
    #[error("files were replaced again and again while they were looked at; try again later")]
    Restless,
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Feed(#[from] FeedError),
}
