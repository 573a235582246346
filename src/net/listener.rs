//! The one listening socket, cloned into every shard's ring.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Stream;

/// Connections that the kernel completes before a shard accepts them (it cuts this to net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// A bound, listening socket that belongs to no ring yet.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds with SO_REUSEADDR (a restart need not wait for old connections to leave TIME_WAIT) and without SO_REUSEPORT
    /// (with it a second node on the port would silently take half of the connections).
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let fault = |error| BindError { address, error };
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(fault)?;
        socket.set_reuse_address(true).map_err(fault)?;
        socket.bind(&address.into()).map_err(fault)?;
        socket.listen(BACKLOG).map_err(fault)?;
        let socket = TcpListener::from(socket);
        let address = socket.local_addr().map_err(fault)?;
        Ok(Self { socket, address })
    }

    /// Where it listens, with the port that the kernel chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another descriptor of the same socket, for a shard.
    pub fn share(&self) -> Result<Self, BindError> {
        let socket = self.socket.try_clone().map_err(|error| BindError { address: self.address, error })?;
        Ok(Self { socket, address: self.address })
    }

    /// Ends listening for all shards: their pending accepts fail.
    pub fn shut_down(&self) -> io::Result<()> {
        SockRef::from(&self.socket).shutdown(Shutdown::Both)
    }
}

/// The listening socket in a shard's ring.
pub struct Listener {
    socket: tokio_uring::net::TcpListener,
}

impl From<Bound> for Listener {
    fn from(bound: Bound) -> Self {
        Self { socket: tokio_uring::net::TcpListener::from_std(bound.socket) }
    }
}

impl Listener {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Stream> {
        let (socket, _) = self.socket.accept().await?;
        Ok(Stream::new(socket))
    }
}

/// Whether an accept failed for a reason that lies in that one connection (accept(2), "Error handling").
pub fn accept_lost_connection(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NONET
                | Errno::PERM
        )
    )
}

/// The address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

impl BindError {
    /// Whether another socket has the address.
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl std::error::Error for BindError {}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot listen on {address}: ")?;
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ADDRINUSE) => write!(
                f,
                "another program listens there already; stop it or choose another address with --listen ({error})"
            ),
            Some(Errno::ADDRNOTAVAIL) => {
                write!(f, "no interface of this machine has that address; choose another one with --listen ({error})")
            }
            Some(Errno::ACCESS) => write!(
                f,
                "this user may not use that port; choose one from 1024 with --listen or grant CAP_NET_BIND_SERVICE ({error})"
            ),
            _ => write!(f, "{error}; choose another address with --listen"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_becomes_a_real_port() {
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(bound.address().port(), 0);
    }

    #[test]
    fn taken_port_is_refused_by_name() {
        let first = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refusal = Bound::bind(first.address()).unwrap_err().to_string();
        assert!(refusal.contains(&first.address().to_string()), "{refusal}");
        assert!(refusal.contains("--listen"), "{refusal}");
    }

    #[test]
    fn shutting_down_ends_every_share() {
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let share = bound.share().unwrap();
        let waiting = std::thread::spawn(move || share.socket.accept().map(drop));
        std::thread::sleep(std::time::Duration::from_millis(20));
        bound.shut_down().unwrap();
        assert!(waiting.join().unwrap().is_err());
    }

    #[test]
    fn listens_on_ipv6() {
        let bound = Bound::bind("[::1]:0".parse().unwrap()).unwrap();
        assert!(std::net::TcpStream::connect(bound.address()).is_ok());
    }
}
