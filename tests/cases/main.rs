//! All integration tests in one binary: against the program as it is run.
#![allow(clippy::unwrap_used)]

mod node;
mod server_life;
mod server_requests;
