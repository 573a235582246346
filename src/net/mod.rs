//! Sockets, TLS on them, their runtime and the memory that they read into. The only module that names tokio_uring.

mod listener;
mod pool;
mod ring;
mod session;
mod stream;
mod tls;
mod trust;

pub use listener::{BindError, Bound, Listener, accept_lost_connection};
pub use pool::{Buf, PADDING, Pool, SMALL_BYTES};
pub use ring::{Ring, RingError, spawn};
pub use stream::{Greeting, Stream};
pub use tls::{Tls, TlsError};
pub use trust::{Trust, TrustError};
