//! HTTP/1.1 and 1.0 for one connection, sans I/O: bytes in, events out (RFC 9112).

mod body;
mod head;
mod response;
mod state;

pub use head::{Head, Method};
pub use response::{Response, Status};
pub use state::{Error, Event, Limits, State};
