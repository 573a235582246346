//! The state machine of one connection: which part of which request stands next in the received bytes.

use std::ops::Range;

use super::body::{Body, Progress};
use super::head::{HEADERS_CAPACITY, Parser, Scan};
use super::{Error, Head};

/// What a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the head, request line to empty line; bytes of a chunked body's trailer section, too.
    pub head_bytes_max: usize,
    /// Header lines of one request; [`HEADERS_CAPACITY`] is the most that counts.
    pub headers_max: usize,
    /// Bytes of the body as sent (compressed, if it is), chunk framing not counted.
    pub body_bytes_max: usize,
}

/// What [`State::advance`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Not enough bytes yet. Keep `bytes[..filled]` and receive behind it; what lies behind is free, because chunk framing
    /// was removed in place. The request can not be complete before `missing` more bytes have come (at least 1; exactly the
    /// rest for a Content-Length).
    More { filled: usize, missing: usize },
    /// The head is complete; read it with [`State::head`]. Comes once per request. Call `advance` again, with the same
    /// bytes, for the body.
    Head,
    /// The body is complete at `bytes[body]`, framing removed. The request's bytes end at `consumed`; what follows belongs
    /// to the next, pipelined request. Drop `bytes[..consumed]` before the next call.
    Body { body: Range<usize>, consumed: usize },
}

/// How far the current request has come, for deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of a request was seen (or, after an error, none is awaited).
    Idle,
    /// Inside a head.
    Head,
    /// Behind a head, before the end of its body.
    Body,
}

/// The receiving side of one connection.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    parser: Parser,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head(Scan),
    Body(Body),
    Failed(Error),
}

impl State {
    pub fn new(limits: Limits) -> Self {
        let headers_max = limits.headers_max.min(HEADERS_CAPACITY);
        Self {
            limits: Limits { headers_max, ..limits },
            parser: Parser::default(),
            stage: Stage::Head(Scan::default()),
        }
    }

    /// The head of the current request: complete from [`Event::Head`] until `advance` is called for the next request.
    /// After an error, what was understood before the fault: all of it for [`Error::BodyTooLarge`].
    pub fn head(&self) -> &Head {
        self.parser.head()
    }

    pub fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Head(scan) if !scan.is_idle() => Phase::Head,
            Stage::Body(_) => Phase::Body,
            Stage::Head(_) | Stage::Failed(_) => Phase::Idle,
        }
    }

    /// Looks for the next event. `bytes` is everything received and not dropped yet, from the current request's first byte:
    /// what the last call kept, unchanged, and what has come since. Time is linear in the bytes of the request, however
    /// small the pieces are that it comes in.
    ///
    /// # Errors
    /// The request can not be taken ([`Error::status`] says how to answer). The connection has to be closed: every later
    /// call returns the same error.
    pub fn advance(&mut self, bytes: &mut [u8]) -> Result<Event, Error> {
        match &mut self.stage {
            Stage::Head(scan) => match take_head(scan, &mut self.parser, bytes, &self.limits) {
                Ok(None) => Ok(Event::More { filled: bytes.len(), missing: 1 }),
                Ok(Some(body)) => {
                    self.stage = Stage::Body(body);
                    Ok(Event::Head)
                }
                Err(error) => self.fail(error),
            },
            Stage::Body(body) => match body.advance(bytes, &self.limits) {
                Ok(Progress::More { filled, missing }) => Ok(Event::More { filled, missing }),
                Ok(Progress::Complete { body, consumed }) => {
                    self.stage = Stage::Head(Scan::default());
                    Ok(Event::Body { body, consumed })
                }
                Err(error) => self.fail(error),
            },
            Stage::Failed(error) => Err(error.clone()),
        }
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Result<Event, Error> {
        self.stage = Stage::Failed(error.clone());
        Err(error)
    }
}

/// The body to wait for, once the head is complete.
fn take_head(scan: &mut Scan, parser: &mut Parser, bytes: &[u8], limits: &Limits) -> Result<Option<Body>, Error> {
    if scan.is_idle() {
        parser.forget();
    }
    let Some(span) = scan.find(bytes, limits)? else { return Ok(None) };
    let start = span.end;
    parser.parse(&bytes[span], limits.headers_max)?;
    Body::after(parser.head(), start, limits).map(Some)
}
