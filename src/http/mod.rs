//! HTTP/1.1 and 1.0 for one connection, sans I/O: bytes in, events out (RFC 9112).

mod body;
mod error;
mod head;
mod response;
mod state;

pub use error::Error;
pub use head::{HEADERS_CAPACITY, Head, Method};
pub use response::{Exchange, Response, Status};
pub use state::{Event, Limits, Phase, State};

#[cfg(test)]
mod tests;
