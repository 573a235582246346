//! One accepted connection's socket, with TLS or without.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::TcpStream;

use super::session::Session;
use super::{Buf, Tls};

/// A client's flights are small; a read of so many bytes has all of one.
const FLIGHT_BYTES: usize = 4 << 10;

/// A connected socket in this thread's ring. Operations own their memory until the kernel is done with it, so a deadline never
/// drops one: it calls [`Stream::shut_down`], and the operation ends by itself.
pub struct Stream {
    socket: TcpStream,
    /// `None` on a plain port, which pays no more for TLS than a look at this.
    secured: Option<Box<Secured>>,
}

struct Secured {
    /// Borrowed between operations of the socket only, never during one.
    session: RefCell<Session>,
    /// The client turned out to speak no TLS: what is said to it from then on is plain.
    is_plain: Cell<bool>,
}

/// How a connection began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// As its port wants.
    Welcome,
    /// Without TLS on a port that speaks TLS. An answer can be sent, plain; no request may be served.
    PlainOnTls,
    /// Without a byte: the client is gone again, or was not waited for any longer.
    Silence,
}

impl Stream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, secured: None }
    }

    /// From here on with TLS, beginning with [`Stream::handshake`].
    pub fn secured(self, tls: &Tls) -> io::Result<Self> {
        let session = RefCell::new(tls.session().map_err(io::Error::other)?);
        Ok(Self { secured: Some(Box::new(Secured { session, is_plain: Cell::new(false) })), ..self })
    }

    /// Whether what is sent is encrypted.
    pub fn is_secured(&self) -> bool {
        self.session().is_some()
    }

    fn session(&self) -> Option<&RefCell<Session>> {
        self.secured.as_deref().filter(|secured| !secured.is_plain.get()).map(|secured| &secured.session)
    }

    /// Sends small answers at once instead of waiting for the client's acknowledgement of earlier ones (TCP_NODELAY).
    pub fn send_at_once(&self) -> io::Result<()> {
        self.socket.set_nodelay(true)
    }

    /// Agrees with the client on keys; to be called once, before everything else. Nothing is to be done on a plain port.
    pub async fn handshake(&self) -> io::Result<Greeting> {
        let Some(secured) = &self.secured else { return Ok(Greeting::Welcome) };
        let session = &secured.session;
        let mut has_begun = false;
        loop {
            let is_over = session.borrow_mut().handshake();
            // An alert too: it tells the client what is wrong.
            self.send_outgoing(session).await?;
            if is_over? {
                return Ok(Greeting::Welcome);
            }
            match self.fetch(session, FLIGHT_BYTES).await {
                Ok(0) | Err(_) if !has_begun => return Ok(Greeting::Silence),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                result => result?,
            };
            if !std::mem::replace(&mut has_begun, true) && session.borrow().begins_with_letter() {
                secured.is_plain.set(true);
                return Ok(Greeting::PlainOnTls);
            }
        }
    }

    /// Reads up to `bytes_max` bytes behind the filled part of `buf` (less if less fits). 0 bytes: the client sends no more.
    pub async fn read(&self, buf: Buf, bytes_max: usize) -> (io::Result<usize>, Buf) {
        let start = buf.filled();
        let end = buf.capacity().min(start.saturating_add(bytes_max));
        if let Some(session) = self.session() {
            // Boxed, so that the task of a plain connection has no room for what it never does.
            return Box::pin(self.read_secured(session, buf, end)).await;
        }
        let (result, slice) = self.socket.read(buf.slice(start..end)).await;
        let mut buf = slice.into_inner();
        if let Ok(bytes) = result {
            buf.set_filled(start + bytes);
        }
        (result, buf)
    }

    async fn read_secured(&self, session: &RefCell<Session>, mut buf: Buf, end: usize) -> (io::Result<usize>, Buf) {
        let start = buf.filled();
        loop {
            buf.set_filled(end);
            let read = session.borrow_mut().read(buf.received(start));
            buf.set_filled(start + read.as_ref().map_or(0, |bytes| bytes.unwrap_or(0)));
            // TLS has answers of its own: to new keys, and alerts. What was read counts whether they arrive or not.
            let sent = self.send_outgoing(session).await;
            match read {
                Ok(Some(bytes)) => return (Ok(bytes), buf),
                Ok(None) => {}
                Err(error) => return (Err(error), buf),
            }
            match sent.and(self.fetch(session, end - start).await) {
                // Without an announcement too: HTTP knows itself where a request ends.
                Ok(0) => return (Ok(0), buf),
                Ok(_) => {}
                Err(error) => return (Err(error), buf),
            }
        }
    }

    /// Sends all of `bytes` and hands the vector back, whatever the result.
    pub async fn write_all(&self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        match self.session() {
            None => self.socket.write_all(bytes).await,
            Some(session) => Box::pin(self.write_secured(session, bytes)).await,
        }
    }

    async fn write_secured(&self, session: &RefCell<Session>, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let mut sent = 0;
        while sent < bytes.len() {
            let taken = session.borrow_mut().write(&bytes[sent..]);
            let result = match taken {
                Ok(taken) => {
                    sent += taken;
                    self.send_outgoing(session).await
                }
                Err(error) => Err(error),
            };
            if result.is_err() {
                return (result, bytes);
            }
        }
        (Ok(()), bytes)
    }

    /// Announces the end of what is sent, where that is done with bytes; [`Stream::shut_down`] does the rest.
    pub async fn say_goodbye(&self) {
        let Some(session) = self.session() else { return };
        session.borrow_mut().close();
        // Who is gone needs no goodbye.
        let _ = self.send_outgoing(session).await;
    }

    /// Ends one or both directions; pending operations on them end too. An error means that the connection is gone already.
    pub fn shut_down(&self, how: Shutdown) {
        let _ = self.socket.shutdown(how);
    }

    /// Reads ciphertext, about as much as a caller with room for `bytes` can take; 0 at the end.
    async fn fetch(&self, session: &RefCell<Session>, bytes: usize) -> io::Result<usize> {
        let incoming = session.borrow_mut().take_incoming(bytes);
        let (result, incoming) = self.socket.read(incoming).await;
        session.borrow_mut().give_incoming(incoming);
        result
    }

    /// Sends the ciphertext that there is.
    async fn send_outgoing(&self, session: &RefCell<Session>) -> io::Result<()> {
        let outgoing = session.borrow_mut().take_outgoing();
        if outgoing.is_empty() {
            session.borrow_mut().give_outgoing(outgoing);
            return Ok(());
        }
        let (result, outgoing) = self.socket.write_all(outgoing).await;
        session.borrow_mut().give_outgoing(outgoing);
        result
    }
}
