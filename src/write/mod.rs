//! One request's data plane: from a complete head and body to an answer, in one synchronous call on the shard's thread.

mod auth;
mod buckets;
mod entry;
mod error;
mod ingest;
mod keeper;
mod params;
pub mod query;
mod quota;
mod ready;
mod replay;
mod route;

pub use auth::{Client, Gate, ReloadError};
pub use error::Refusal;
pub use ingest::{Admit, Context, Ingest, Outcome, Plan, Stamp, kernel};
pub use keeper::{Keeper, Keeping};
pub use ready::Readiness;
pub use replay::{Replay, ReplayError};
pub use route::Route;

pub use crate::line::{PADDING, Padded};

/// What `X-Influxdb-Version` says: a version that clients take for 1.8, then ours.
pub const VERSION_HEADER: &str = concat!("1.8.10-ringest-", env!("CARGO_PKG_VERSION"));
