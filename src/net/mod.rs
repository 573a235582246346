//! Sockets, TLS on them, their runtime and the memory that they read into. The only module that names tokio_uring and rustls.

#[cfg(feature = "lake")]
mod concern;
#[cfg(feature = "lake")]
mod listener;
mod pool;
#[cfg(feature = "lake")]
mod ring;
#[cfg(feature = "lake")]
mod session;
#[cfg(feature = "lake")]
mod stream;
#[cfg(feature = "lake")]
mod tls;
#[cfg(feature = "lake")]
mod trust;

pub use pool::{Buf, IDLE_BYTES, PADDING, Pool, SMALL_BYTES};
#[cfg(feature = "lake")]
pub use {
    concern::Concern,
    listener::{BindError, Bound, Listener, accept_lost_connection},
    ring::{Ring, RingError, spawn},
    stream::{Greeting, Stream},
    tls::{Tls, TlsError},
    trust::{Trust, TrustError},
};
