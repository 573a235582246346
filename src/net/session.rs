//! One connection's TLS, without I/O: bytes of the socket in and out, bytes of HTTP out and in.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::ServerConnection;

use crate::budget::{Budget, Consumer, Reservation};

/// What a session takes beside `incoming`: keys, the state machine and a buffer of 4 KiB for what has come in part. Measured with 3000 idle
/// connections, 2026-11. A large record takes 14 KiB more, for as long as it has come in part only.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

    use super::super::Tls;
    use super::*;

    const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

    /// Both ends of connections, as many as a test wants.
    struct Ends {
        tls: Tls,
        client: Arc<ClientConfig>,
        budget: Arc<Budget>,
    }

    impl Ends {
        fn new(version: &'static SupportedProtocolVersion) -> Self {
            let budget = Budget::new(1 << 30);
            let (tls, certificate) = Tls::self_signed(&budget);
            let mut roots = RootCertStore::empty();
            roots.add(certificate).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
            let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
            Self { tls, client, budget }
        }

        fn connect(&self) -> Pair {
            let name = ServerName::try_from("node").unwrap();
            let mut client = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
            client.set_buffer_limit(None);
            Pair { client, node: self.tls.session().unwrap(), received: Vec::new(), has_ended: false }
        }
    }

    struct Pair {
        client: ClientConnection,
        node: Session,
        /// What the node has decrypted.
        received: Vec<u8>,
        has_ended: bool,
    }

    impl Pair {
        /// What the client has to send.
        fn flight(&mut self) -> Vec<u8> {
            let mut flight = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut flight).unwrap();
            }
            flight
        }

        /// The node gets `bytes` in one read, and reads with `room` at a time; the client gets what the node has to say to that.
        fn give(&mut self, bytes: &[u8], room: usize) -> io::Result<()> {
            let mut incoming = self.node.take_incoming(bytes.len());
            incoming.extend_from_slice(bytes);
            self.node.give_incoming(incoming);
            let result = self.receive(room);
            let outgoing = self.node.take_outgoing();
            let mut rest = &outgoing[..];
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).unwrap();
                // Alerts are errors.
                let _ = self.client.process_new_packets();
            }
            self.node.give_outgoing(outgoing);
            result
        }

        fn receive(&mut self, room: usize) -> io::Result<()> {
            if !self.node.handshake()? {
                return Ok(());
            }
            let mut room = vec![0; room];
            while let Some(bytes) = self.node.read(&mut room)? {
                self.received.extend_from_slice(&room[..bytes]);
                if bytes == 0 {
                    self.has_ended = true;
                    return Ok(());
                }
            }
            Ok(())
        }
    }

    /// A conversation in which each flight of the client's that reaches byte `split` of all that it sends comes in two pieces.
    fn converse(ends: &Ends, split: usize, sent: &[&[u8]]) -> (Pair, usize) {
        let mut pair = ends.connect();
        for part in sent {
            // Waits for the handshake, and then stands in records behind its last message.
            pair.client.writer().write_all(part).unwrap();
        }
        let mut bytes = 0;
        let mut has_closed = false;
        loop {
            let flight = pair.flight();
            if flight.is_empty() {
                if std::mem::replace(&mut has_closed, true) {
                    return (pair, bytes);
                }
                pair.client.send_close_notify();
                continue;
            }
            let (first, second) = flight.split_at(split.saturating_sub(bytes).min(flight.len()));
            for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
                pair.give(piece, 16 << 10).unwrap();
            }
            bytes += flight.len();
        }
    }

    #[test]
    fn every_split_of_the_bytes_gives_the_same_requests() {
        let sent: [&[u8]; 3] = [b"POST /write?db=d HTTP/1.1\r\n", b"Content-Length: 5\r\n\r\n", b"m f=1GET /ping"];
        for version in VERSIONS {
            let ends = Ends::new(version);
            let bytes = converse(&ends, 0, &sent).1;
            assert!(bytes > 300, "{bytes}");
            for split in 0..=bytes {
                let (pair, _) = converse(&ends, split, &sent);
                assert_eq!(pair.received, sent.concat(), "split at {split}");
                assert!(pair.has_ended, "split at {split}");
            }
        }
    }

    #[test]
    fn bytes_may_come_one_by_one_and_be_read_one_by_one() {
        let ends = Ends::new(&rustls::version::TLS13);
        let mut pair = ends.connect();
        pair.client.writer().write_all(&[7; 20_000]).unwrap();
        loop {
            let flight = pair.flight();
            if flight.is_empty() {
                break;
            }
            flight.iter().for_each(|byte| pair.give(&[*byte], 1).unwrap());
        }
        assert_eq!(pair.received, [7; 20_000]);
    }

    #[test]
    fn much_at_once_is_read_whatever_the_room() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number / 7) as u8).collect();
        for version in VERSIONS {
            let ends = Ends::new(version);
            for room in [1_000, 16 << 10, (16 << 10) + 1, 40_000, 1 << 20] {
                let (mut pair, _) = converse_open(&ends);
                pair.client.writer().write_all(&bytes).unwrap();
                let flight = pair.flight();
                for piece in flight.chunks(64 << 10) {
                    pair.give(piece, room).unwrap();
                }
                assert!(pair.received == bytes, "read by {room}");
            }
        }
    }

    /// A pair whose handshake is over.
    fn converse_open(ends: &Ends) -> (Pair, usize) {
        let mut pair = ends.connect();
        let mut bytes = 0;
        loop {
            let flight = pair.flight();
            if flight.is_empty() {
                return (pair, bytes);
            }
            bytes += flight.len();
            pair.give(&flight, 1 << 10).unwrap();
        }
    }

    #[test]
    fn answers_of_any_length_arrive() {
        let ends = Ends::new(&rustls::version::TLS13);
        let (mut pair, _) = converse_open(&ends);
        let answer = vec![b'x'; 1 << 20];
        let mut sent = 0;
        let mut arrived = Vec::new();
        while sent < answer.len() {
            let taken = pair.node.write(&answer[sent..]).unwrap();
            assert!(taken > 0);
            sent += taken;
            let outgoing = pair.node.take_outgoing();
            assert!(outgoing.len() < 128 << 10, "sent piece by piece");
            let mut rest = &outgoing[..];
            while !rest.is_empty() {
                pair.client.read_tls(&mut rest).unwrap();
                pair.client.process_new_packets().unwrap();
                let mut room = [0; 64 << 10];
                while let Ok(bytes) = pair.client.reader().read(&mut room) {
                    arrived.extend_from_slice(&room[..bytes]);
                }
            }
            pair.node.give_outgoing(outgoing);
        }
        assert!(arrived == answer);
        pair.node.close();
        let goodbye = pair.node.take_outgoing();
        pair.client.read_tls(&mut &goodbye[..]).unwrap();
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
    }

    #[test]
    fn new_keys_are_answered_with_new_keys() {
        let ends = Ends::new(&rustls::version::TLS13);
        let (mut pair, _) = converse_open(&ends);
        for sent in 1..=3 {
            pair.client.refresh_traffic_keys().unwrap();
            pair.client.writer().write_all(b"x").unwrap();
            let flight = pair.flight();
            pair.give(&flight, 100).unwrap();
            assert_eq!(pair.received.len(), sent);
        }
        assert_eq!(pair.node.write(b"answer").unwrap(), 6);
        pair.give(b"", 100).unwrap();
        let mut answer = [0; 6];
        pair.client.reader().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[test]
    fn what_came_before_damage_is_read_and_the_client_is_told() {
        for version in VERSIONS {
            let ends = Ends::new(version);
            let (mut pair, _) = converse_open(&ends);
            pair.client.writer().write_all(b"whole").unwrap();
            let mut flight = pair.flight();
            pair.client.writer().write_all(b"damaged").unwrap();
            let mut damaged = pair.flight();
            *damaged.last_mut().unwrap() ^= 1;
            flight.extend(damaged);
            let error = pair.give(&flight, 100).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(pair.received, b"whole");
            let told = pair.client.process_new_packets().unwrap_err();
            assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told}");
        }
    }

    #[test]
    fn http_without_tls_is_known_by_its_first_byte() {
        let ends = Ends::new(&rustls::version::TLS13);
        for (first, is_http) in
            [(&b"GET / HTTP/1.1"[..], true), (b"post", true), (b"\x16\x03\x01", false), (b"", false)]
        {
            let mut node = ends.tls.session().unwrap();
            node.give_incoming(first.to_vec());
            assert_eq!(node.begins_with_letter(), is_http, "{first:?}");
        }
    }

    #[test]
    fn memory_is_accounted_and_given_back() {
        let ends = Ends::new(&rustls::version::TLS13);
        let held = || ends.budget.held_by(Consumer::Tls);
        let (mut pair, _) = converse_open(&ends);
        for (room, incoming) in [(1, 4 << 10), (16 << 10, 16 << 10), (1 << 30, 64 << 10), (2 << 10, 4 << 10)] {
            let taken = pair.node.take_incoming(room);
            assert_eq!(taken.capacity(), incoming);
            assert_eq!(held(), SESSION_BYTES + incoming);
            pair.node.give_incoming(taken);
        }
        drop(pair);
        assert_eq!(held(), 0);
    }
}
