//! The HTTP state machine alone: requests as bytes, in pieces as a socket delivers them, to heads and bodies.
//!
//! ```text
//! cargo bench --bench http           nanoseconds per request of each kind: the best and, in brackets, the median of 15 rounds, processor time of one core
//! cargo bench --bench http -- --test    a few requests of each kind, once
//!   --counts        the stages whose instructions scripts/count-instructions counts
//!   --count NAME    one of them once
//! ```
#![allow(clippy::unwrap_used)]

#[path = "line/clock.rs"]
mod clock;
#[path = "line/counted.rs"]
mod counted;

use std::hint::black_box;
use std::io::Write;
use std::process::ExitCode;

use ringest::http::{Event, Limits, State};

use clock::{cpu_time, pin};
use counted::{Count, counted};

/// As a node's by default.
const LIMITS: Limits = Limits { head_bytes_max: 32 << 10, headers_max: 100, body_bytes_max: 25 << 20 };
/// What one read of a socket brings at most.
const PIECE_BYTES: usize = 16 << 10;
const CHUNK_BYTES: usize = 4 << 10;

/// Each kind of request.
const COUNTS: [Count; 4] = [of("ping"), of("one-line"), of("batch"), of("chunked")];

const fn of(input: &'static str) -> Count {
    Count { stage: "http", input }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has("--counts") {
        COUNTS.iter().for_each(|count| println!("{count}"));
    } else if has("--count") {
        let name = arguments.last().unwrap();
        match Count::named(name, COUNTS) {
            Ok(wanted) => count(wanted),
            Err(wrong) => {
                eprintln!("{wrong}");
                return ExitCode::from(2);
            }
        }
    } else {
        pin();
        COUNTS.iter().for_each(|count| measure(count.input, if has("--test") { (1, 10) } else { (15, 20_000) }));
    }
    ExitCode::SUCCESS
}

fn count(count: Count) {
    const REQUESTS: usize = 1_000;
    let request = request(count.input);
    let mut connection = Connection::new();
    connection.receive(&request, REQUESTS);
    count.report(REQUESTS, "request", REQUESTS * request.len());
}

fn measure(name: &str, (rounds, requests): (usize, usize)) {
    let request = request(name);
    let mut connection = Connection::new();
    let mut round = || cpu_time(|| connection.receive(&request, requests)).as_secs_f64() * 1e9 / requests as f64;
    let mut times: Vec<f64> = (0..rounds).map(|_| round()).collect();
    times.sort_by(f64::total_cmp);
    println!("{name:9} {:6} bytes: {:7.0} ns ({:.0})", request.len(), times[0], times[rounds / 2]);
}

/// A request as clients send them.
fn request(name: &str) -> Vec<u8> {
    let head = |line: &str, of_body: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: localhost:8086\r\nUser-Agent: Telegraf/1.30.0 Go/1.22.1\r\n{of_body}\
             Authorization: Token 0123456789abcdef0123456789abcdef\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Accept-Encoding: gzip\r\n\r\n"
        )
    };
    let write = "POST /api/v2/write?org=o&bucket=b&precision=ns";
    let sized = |bytes: usize| {
        let mut request = head(write, &format!("Content-Length: {bytes}\r\n")).into_bytes();
        request.resize(request.len() + bytes, b'x');
        request
    };
    match name {
        "ping" => head("GET /ping", "").into_bytes(),
        "one-line" => sized(70),
        "batch" => sized(256 << 10),
        _ => chunked(head(write, "Transfer-Encoding: chunked\r\n").into_bytes()),
    }
}

/// Behind `head`, a body of 64 KiB in chunks.
fn chunked(head: Vec<u8>) -> Vec<u8> {
    let mut request = head;
    for _ in 0..(64 << 10) / CHUNK_BYTES {
        write!(request, "{CHUNK_BYTES:x}\r\n").unwrap();
        request.resize(request.len() + CHUNK_BYTES, b'x');
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// The receiving side: the state machine and what has come.
struct Connection {
    state: State,
    /// Received and not dropped yet are the first `filled`.
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    fn new() -> Self {
        Self { state: State::new(LIMITS), buffer: vec![0; 1 << 20], filled: 0 }
    }

    /// The same request so often, each in pieces.
    fn receive(&mut self, request: &[u8], times: usize) {
        for _ in 0..times {
            let mut bodies = 0;
            for piece in request.chunks(PIECE_BYTES) {
                // In a node this copy is the kernel's work: it is in the times, but its instructions are not counted.
                self.buffer[self.filled..self.filled + piece.len()].copy_from_slice(piece);
                self.filled += piece.len();
                bodies += counted(|| self.advance());
            }
            assert_eq!((bodies, self.filled), (1, 0), "one request, and nothing behind it");
        }
    }

    /// Takes what is complete; the number of bodies.
    fn advance(&mut self) -> usize {
        let mut bodies = 0;
        while self.filled > 0 {
            match self.state.advance(&mut self.buffer[..self.filled]).unwrap() {
                Event::More { filled, .. } => {
                    self.filled = filled;
                    break;
                }
                Event::Head => {
                    black_box(self.state.head());
                }
                Event::Body { body, consumed } => {
                    black_box(&self.buffer[body]);
                    self.buffer.copy_within(consumed..self.filled, 0);
                    self.filled -= consumed;
                    bodies += 1;
                }
            }
        }
        bodies
    }
}
