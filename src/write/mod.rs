//! One request's data plane: from a complete head and body to an answer, in one synchronous call on the shard's thread.

mod answers;
mod auth;
mod buckets;
mod changes;
mod cors;
mod entry;
mod error;
mod ingest;
mod keeper;
mod params;
pub mod query;
mod quota;
mod ready;
mod reject_log;
mod rejects;
mod replay;
mod route;
mod trace;

pub use answers::{ANSWERS, Answer};
pub use auth::{Client, Gate, ReloadError};
pub use changes::{NoChanges, Since};
pub use cors::is_open as is_open_to_pages;
pub use error::Refusal;
pub use ingest::{Admit, Busy, Context, Ingest, Lack, Outcome, Plan, Stamp, kernel};
pub use keeper::{Keeper, Keeping};
pub use ready::Readiness;
pub use rejects::RejectQueue;
pub use replay::{Replay, ReplayError};
pub use route::Route;
pub use trace::{Caller, TraceId};

pub use crate::line::{PADDING, Padded};

/// What `X-Influxdb-Version` says: a version that clients take for 1.8, then ours.
pub const VERSION_HEADER: &str = concat!("1.8.10-ringest-", env!("CARGO_PKG_VERSION"));

/// The commit that the binary was built from, if whoever built it has said so: a build needs no git.
const COMMIT: &str = match option_env!("RINGEST_COMMIT") {
    Some(commit) => commit,
    None => "",
};
