//! One accepted connection's socket.

use std::io;
use std::net::Shutdown;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::TcpStream;

use super::Buf;

/// A connected socket in this thread's ring. Operations own their memory until the kernel is done with it, so a deadline never
/// drops one: it calls [`Stream::shut_down`], and the operation ends by itself.
pub struct Stream {
    socket: TcpStream,
}

impl Stream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket }
    }

    /// Sends small answers at once instead of waiting for the client's acknowledgement of earlier ones (TCP_NODELAY).
    pub fn send_at_once(&self) -> io::Result<()> {
        self.socket.set_nodelay(true)
    }

    /// Reads up to `bytes_max` bytes behind the filled part of `buf` (less if less fits). 0 bytes: the client sends no more.
    pub async fn read(&self, buf: Buf, bytes_max: usize) -> (io::Result<usize>, Buf) {
        let start = buf.filled();
        let end = buf.capacity().min(start.saturating_add(bytes_max));
        let (result, slice) = self.socket.read(buf.slice(start..end)).await;
        let mut buf = slice.into_inner();
        if let Ok(bytes) = result {
            buf.set_filled(start + bytes);
        }
        (result, buf)
    }

    /// Sends all of `bytes` and hands the vector back, whatever the result.
    pub async fn write_all(&self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.socket.write_all(bytes).await
    }

    /// Ends one or both directions; pending operations on them end too. An error means that the connection is gone already.
    pub fn shut_down(&self, how: Shutdown) {
        let _ = self.socket.shutdown(how);
    }
}
