//! One connection: requests out, answers in, neither ever waited for.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use super::answer;
use super::bodies::Bodies;

/// Smaller bodies are copied behind their head, so that many requests leave with one call.
const COPIED_MAX: usize = 16 << 10;
/// Answers of this many bytes are read at once; those to writes are far shorter.
const READ_BYTES: usize = 16 << 10;

/// A request whose answer has not come.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    pub body: usize,
    /// Since when its latency counts.
    pub since: Instant,
}

/// What came back for a request.
#[derive(Debug)]
pub struct Answered {
    pub flight: Flight,
    pub status: u16,
    /// Of answers that are no success.
    pub text: String,
}

pub struct Connection {
    pub stream: TcpStream,
    /// In the order in which they were sent, as the answers come.
    flights: VecDeque<Flight>,
    /// Heads, and bodies that were copied; sent up to `out_at`.
    out: Vec<u8>,
    out_at: usize,
    /// A body that is sent from where it lies, once `out` has left, and how much of it has.
    large: Option<(usize, usize)>,
    input: Vec<u8>,
}

impl Connection {
    /// Begins to connect.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, flights: VecDeque::new(), out: Vec::new(), out_at: 0, large: None, input: Vec::new() })
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether another request may be queued, with at most `pipeline` without an answer.
    pub fn has_room(&self, pipeline: usize) -> bool {
        self.flights.len() < pipeline && self.large.is_none()
    }

    /// Queues a request; `head` ends with `Content-Length: `.
    pub fn queue(&mut self, head: &[u8], flight: Flight, bodies: &Bodies) {
        let body = &bodies.get(flight.body).bytes;
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(body.len().to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        if body.len() <= COPIED_MAX {
            self.out.extend_from_slice(body);
        } else {
            self.large = Some((flight.body, 0));
        }
        self.flights.push_back(flight);
    }

    /// Sends what the socket takes. Whether everything has left.
    pub fn send(&mut self, bodies: &Bodies) -> io::Result<bool> {
        loop {
            let head = &self.out[self.out_at..];
            let body = self.large.map_or(&[][..], |(body, at)| &bodies.get(body).bytes[at..]);
            if head.is_empty() && body.is_empty() {
                self.out.clear();
                self.out_at = 0;
                self.large = None;
                return Ok(true);
            }
            let in_head = head.len();
            let sent = match self.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => sent,
                // Not connected yet, or the socket is full.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.out_at += sent.min(in_head);
            if let Some((_, at)) = &mut self.large {
                *at += sent - sent.min(in_head);
            }
        }
    }

    /// Reads what has come and takes the answers that are whole. An error, or `false`, ends the connection.
    pub fn receive(&mut self, answered: &mut Vec<Answered>) -> io::Result<bool> {
        let mut is_open = true;
        loop {
            let filled = self.input.len();
            self.input.resize(filled + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[filled..]);
            self.input.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => is_open = false,
                // More than that may lie there.
                Ok(READ_BYTES) => continue,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            break;
        }
        let mut at = 0;
        while let Some(answer) = answer::next(&self.input[at..]).map_err(io::Error::other)? {
            let body = &self.input[at..][answer.body];
            at += answer.len;
            if answer.status < 200 {
                continue;
            }
            let flight = self.flights.pop_front().ok_or_else(|| io::Error::other("an answer came to no request"))?;
            let is_success = (200..300).contains(&answer.status);
            let text = if is_success { String::new() } else { String::from_utf8_lossy(body).trim().to_owned() };
            answered.push(Answered { flight, status: answer.status, text });
            is_open &= !answer.closes;
        }
        self.input.drain(..at);
        Ok(is_open)
    }
}

/// The answer to one request on a connection of its own, waited for.
#[derive(Debug)]
pub struct Single {
    pub status: u16,
    pub text: String,
}

pub fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Single> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(request)?;
    let mut input = Vec::new();
    loop {
        if let Some(answer) = answer::next(&input).map_err(io::Error::other)? {
            let text = String::from_utf8_lossy(&input[answer.body]).trim().to_owned();
            return Ok(Single { status: answer.status, text });
        }
        let filled = input.len();
        input.resize(filled + READ_BYTES, 0);
        let read = stream.read(&mut input[filled..])?;
        input.truncate(filled + read);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
