//! One connection's TLS, without I/O: bytes of the socket in and out, bytes of HTTP out and in.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::ServerConnection;

use crate::budget::{Budget, Consumer, Reservation};

/// What a session takes beside `incoming`, as measured with idle connections: keys, the state machine, and the buffer of a record that
/// has come in part.
const SESSION_BYTES: usize = 12 << 10;

/// Sizes of one read from the socket; the smallest that has what the caller has room for.
const INCOMING_BYTES: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];

/// An empty vector for outgoing bytes keeps so many.
const OUTGOING_BYTES_KEPT: usize = 4 << 10;

pub struct Session {
    connection: ServerConnection,
    /// Bytes of the socket; those before `fed` have been decrypted.
    incoming: Vec<u8>,
    fed: usize,
    /// Empty; kept for its memory.
    outgoing: Vec<u8>,
    /// What ended the session; told when everything before it has been read.
    failure: Option<io::Error>,
    memory: Reservation,
}

impl Session {
    pub fn new(connection: ServerConnection, budget: &Arc<Budget>) -> Self {
        let mut memory = Reservation::new(budget, Consumer::Tls);
        // Over the limit if need be, as a connection's first buffer: the number of connections bounds it.
        memory.set(SESSION_BYTES);
        Self { connection, incoming: Vec::new(), fed: 0, outgoing: Vec::new(), failure: None, memory }
    }

    /// Takes the handshake as far as what has come allows; says whether it is over.
    pub fn handshake(&mut self) -> io::Result<bool> {
        while self.connection.is_handshaking() && self.has_incoming() {
            self.feed()?;
        }
        Ok(!self.connection.is_handshaking())
    }

    /// Whether the client began with a letter, as methods of HTTP do and no record of TLS does. To be asked before the handshake.
    pub fn begins_with_letter(&self) -> bool {
        self.incoming.first().is_some_and(u8::is_ascii_alphabetic)
    }

    /// Decrypts into `room`; 0 at the end that the client has announced, `None` when more must come first.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        let mut filled = 0;
        loop {
            match self.connection.reader().read(&mut room[filled..]) {
                // The end, or no more room.
                Ok(0) => return Ok(Some(filled)),
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if self.has_incoming() && self.failure.is_none() => self.failure = self.feed().err(),
                Err(_) if filled > 0 => return Ok(Some(filled)),
                Err(_) => return self.failure.take().map_or(Ok(None), Err),
            }
        }
    }

    /// Encrypts as much of `bytes` as is sent in one go; says how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(bytes)
    }

    /// Says that nothing more is sent.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// What the socket has to send now; often nothing. To be given back.
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        // Writing to a vector does not fail.
        while self.connection.wants_write() && self.connection.write_tls(&mut outgoing).is_ok() {}
        outgoing
    }

    pub fn give_outgoing(&mut self, mut outgoing: Vec<u8>) {
        outgoing.clear();
        outgoing.shrink_to(OUTGOING_BYTES_KEPT);
        self.outgoing = outgoing;
    }

    /// Memory for a read from the socket, for a caller with room for `bytes`. Everything that came before must have been decrypted.
    pub fn take_incoming(&mut self, bytes: usize) -> Vec<u8> {
        assert!(!self.has_incoming());
        let [.., most] = INCOMING_BYTES;
        let wanted = INCOMING_BYTES.into_iter().find(|size| *size >= bytes).unwrap_or(most);
        let mut incoming = std::mem::take(&mut self.incoming);
        self.fed = 0;
        incoming.clear();
        if incoming.capacity() != wanted {
            incoming = Vec::with_capacity(wanted);
            self.memory.set(SESSION_BYTES + wanted);
        }
        incoming
    }

    /// What has come from the socket.
    pub fn give_incoming(&mut self, incoming: Vec<u8>) {
        self.incoming = incoming;
    }

    fn has_incoming(&self) -> bool {
        self.fed < self.incoming.len()
    }

    /// One step: TLS takes a few KiB at a time, and nothing while there is plaintext that was not read.
    fn feed(&mut self) -> io::Result<()> {
        self.fed += self.connection.read_tls(&mut &self.incoming[self.fed..])?;
        self.connection.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(())
    }
}
