//! Sockets, their runtime and the memory that they read into. The only module that names tokio_uring.

mod listener;
mod pool;
mod ring;
mod stream;

pub use listener::{BindError, Bound, Listener, accept_lost_connection};
pub use pool::{Buf, IDLE_BYTES, PADDING, Pool, SMALL_BYTES};
pub use ring::{Ring, RingError, spawn};
pub use stream::Stream;
