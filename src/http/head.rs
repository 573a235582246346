//! A request's head: found in the received bytes, judged line by line, parsed by httparse, kept in Strings that are reused.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::Error;
use super::error::quote;
use super::state::Limits;

/// The most header lines that a request can have, whatever its [`Limits`] say.
pub const HEADERS_CAPACITY: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Options,
    /// Any other token.
    Other,
}

/// The longest name that a client may give its request: it is repeated in the answer and in log lines.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// What the node wants to know of a request's head. Values are as sent, surrounding white space cut; bytes that are not
/// UTF-8 are replaced by U+FFFD. Of a header sent twice the first counts, unless a field says otherwise. An absent header
/// is `None`, an empty one `Some("")`.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    /// The target up to '?', visible ASCII, still percent-encoded; it begins with '/' or is "*".
    pub path: String,
    /// The target behind '?', visible ASCII, still percent-encoded; "" if there is none.
    pub query: String,
    /// 0 or 1.
    pub minor_version: u8,
    pub content_length: Option<u64>,
    pub chunked: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The client will send more requests on the connection.
    pub keep_alive: bool,
    /// Several are one list, joined by ", ".
    pub content_encoding: Option<String>,
    /// Several are one list, joined by ", ".
    pub authorization: Option<String>,
    /// X-Request-Id; if that is absent or no id, Request-Id. An id has 1 to [`REQUEST_ID_BYTES_MAX`] printable ASCII characters.
    pub request_id: Option<String>,
    pub origin: Option<String>,
    /// Several are as good as an empty one: which of them counts, nobody says.
    pub zap_trace_span: Option<String>,
    /// As above.
    pub traceparent: Option<String>,
    pub content_type: Option<String>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            method: Method::Other,
            path: String::new(),
            query: String::new(),
            minor_version: 1,
            content_length: None,
            chunked: false,
            expect_continue: false,
            keep_alive: false,
            content_encoding: None,
            authorization: None,
            request_id: None,
            origin: None,
            zap_trace_span: None,
            traceparent: None,
            content_type: None,
        }
    }
}

/// Without the query and the credentials: both may hold a password, and a debug line may end in a log.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("minor_version", &self.minor_version)
            .field("content_length", &self.content_length)
            .field("chunked", &self.chunked)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// The search for the end of a head. It remembers how far it came, so that a slow sender costs no more than a fast one, and
/// judges each line as soon as it is complete: what httparse would let pass (bare LF, leading blank lines) is refused here.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the request line begins, once its first byte was seen.
    start: Option<usize>,
    /// Where the current line begins.
    line_start: usize,
    /// No LF from `line_start` to here.
    searched: usize,
    /// Complete lines, the request line counted.
    lines: usize,
}

impl Scan {
    /// No byte of a request was seen.
    pub(super) fn is_idle(&self) -> bool {
        self.start.is_none()
    }

    /// The head's bytes with its empty line, or `None` while more must come.
    pub(super) fn find(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Range<usize>>, Error> {
        let Some(start) = self.find_start(bytes)? else { return Ok(None) };
        while let Some(offset) = bytes.get(self.searched..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let lf = self.searched + offset;
            self.check_size(lf + 1 - start, limits)?;
            let line = bytes[self.line_start..lf].strip_suffix(b"\r").ok_or(Error::BareLf { line: self.lines + 1 })?;
            let is_last = line.is_empty();
            self.check_line(line, limits)?;
            self.line_start = lf + 1;
            self.searched = lf + 1;
            self.lines += 1;
            if is_last {
                return Ok(Some(start..lf + 1));
            }
        }
        self.searched = bytes.len();
        self.check_size(bytes.len() - start, limits)?;
        Ok(None)
    }

    /// Passes over one empty line before the request (RFC 9112 section 2.2) and judges the request's first byte: what is
    /// no HTTP at all is refused at once, not when the deadline strikes.
    fn find_start(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        if self.start.is_some() {
            return Ok(self.start);
        }
        let start = match bytes {
            [] | b"\r" | b"\r\n" => return Ok(None),
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        let byte = bytes[start];
        if !is_token(byte) {
            return Err(Error::NotHttp { byte });
        }
        (self.line_start, self.searched) = (start, start);
        self.start = Some(start);
        Ok(self.start)
    }

    fn check_size(&self, head_bytes: usize, limits: &Limits) -> Result<(), Error> {
        let bytes_max = limits.head_bytes_max;
        match self.lines {
            _ if head_bytes <= bytes_max => Ok(()),
            0 => Err(Error::TargetTooLong { bytes_max }),
            _ => Err(Error::HeadTooLarge { bytes_max }),
        }
    }

    fn check_line(&self, line: &[u8], limits: &Limits) -> Result<(), Error> {
        let headers_max = limits.headers_max;
        match line.first() {
            Some(b' ' | b'\t') => Err(Error::FoldedHeader { line: self.lines + 1 }),
            Some(_) if self.lines > headers_max => Err(Error::TooManyHeaders { headers_max }),
            _ => Ok(()),
        }
    }
}

/// Longer Strings are not kept for the next request: a connection that once had a long head would hold it for ever.
const SPARE_BYTES_MAX: usize = 256;

/// Fills the head; keeps the Strings of headers that the current request lacks for those that a later one has.
#[derive(Debug, Default)]
pub(super) struct Parser {
    head: Head,
    spares: Vec<String>,
}

/// What only the judgement of a head needs.
#[derive(Default)]
struct Seen {
    hosts: usize,
    encoding: Option<Encoding>,
    wants_close: bool,
    wants_keep_alive: bool,
    /// From X-Request-Id, which beats Request-Id.
    strong_request_id: bool,
}

/// All Transfer-Encoding headers together.
enum Encoding {
    Chunked,
    Foreign { value: String },
}

impl Parser {
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Empties the head, keeping its memory.
    pub(super) fn forget(&mut self) {
        let head = &mut self.head;
        let kept = [&mut head.path, &mut head.query].map(std::mem::take);
        let optional = [
            &mut head.content_encoding,
            &mut head.authorization,
            &mut head.request_id,
            &mut head.origin,
            &mut head.zap_trace_span,
            &mut head.traceparent,
            &mut head.content_type,
        ];
        let used = optional.into_iter().filter_map(Option::take).chain(kept);
        self.spares.extend(used.filter(|text| text.capacity() <= SPARE_BYTES_MAX));
        self.spares.iter_mut().for_each(String::clear);
        self.head = Head {
            path: self.spares.pop().unwrap_or_default(),
            query: self.spares.pop().unwrap_or_default(),
            ..Head::default()
        };
    }

    /// Parses a head that [`Scan`] has found; `bytes` ends with its empty line.
    pub(super) fn parse(&mut self, bytes: &[u8], headers_max: usize) -> Result<(), Error> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_CAPACITY];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(parsed)) if parsed == bytes.len() => {}
            Ok(_) => return Err(explain(httparse::Error::NewLine, bytes, headers_max)),
            Err(error) => return Err(explain(error, bytes, headers_max)),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(explain(httparse::Error::Token, bytes, headers_max));
        };
        self.head.minor_version = version;
        self.head.method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        };
        self.target(target.as_bytes())?;
        let mut seen = Seen::default();
        for header in request.headers.iter() {
            self.header(header.name, header.value, &mut seen)?;
        }
        self.judge(seen)
    }

    /// Splits the target into path and query; of an http URL (RFC 9112 section 3.2.2) the authority is dropped.
    fn target(&mut self, target: &[u8]) -> Result<(), Error> {
        if let Some(byte) = target.iter().copied().find(|byte| !byte.is_ascii_graphic()) {
            return Err(Error::TargetByte { byte });
        }
        let local = without_authority(target);
        let split = memchr::memchr(b'?', local);
        let (path, query) = split.map_or((local, &[][..]), |at| (&local[..at], &local[at + 1..]));
        let path = if path.is_empty() && local.len() < target.len() { b"/" } else { path };
        if path.first() != Some(&b'/') && target != b"*" {
            return Err(Error::TargetForm { target: quote(before_query(target)) });
        }
        push_lossy(&mut self.head.path, path);
        push_lossy(&mut self.head.query, query);
        Ok(())
    }

    fn header(&mut self, name: &str, value: &[u8], seen: &mut Seen) -> Result<(), Error> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // By length first: most headers of most clients are none of these, and then one comparison settles it.
        match name.len() {
            4 if is("host") => return self.host(value, seen),
            6 if is("expect") => return self.expect(value),
            6 if is("origin") => self.keep(|head| &mut head.origin, value),
            10 if is("connection") => connection(value, seen),
            10 if is("request-id") && !seen.strong_request_id && is_request_id(value) => {
                self.keep(|head| &mut head.request_id, value);
            }
            11 if is("traceparent") => self.keep_lone(|head| &mut head.traceparent, value),
            12 if is("x-request-id") && !seen.strong_request_id && is_request_id(value) => {
                seen.strong_request_id = true;
                self.drop_request_id();
                self.keep(|head| &mut head.request_id, value);
            }
            12 if is("content-type") => self.keep(|head| &mut head.content_type, value),
            13 if is("authorization") => self.append(|head| &mut head.authorization, value),
            14 if is("content-length") => return self.content_length(value),
            14 if is("zap-trace-span") => self.keep_lone(|head| &mut head.zap_trace_span, value),
            16 if is("content-encoding") => self.append(|head| &mut head.content_encoding, value),
            17 if is("transfer-encoding") => self.transfer_encoding(value, seen),
            _ => {}
        }
        Ok(())
    }

    /// Keeps a header's value, if it is the first of its name.
    fn keep(&mut self, slot: impl Fn(&mut Head) -> &mut Option<String>, value: &[u8]) {
        let slot = slot(&mut self.head);
        if slot.is_none() {
            push_lossy(slot.insert(self.spares.pop().unwrap_or_default()), value);
        }
    }

    /// Keeps a header's value, unless there are several of its name.
    fn keep_lone(&mut self, slot: impl Fn(&mut Head) -> &mut Option<String>, value: &[u8]) {
        match slot(&mut self.head) {
            Some(first) => first.clear(),
            None => self.keep(slot, value),
        }
    }

    fn drop_request_id(&mut self) {
        if let Some(mut weaker) = self.head.request_id.take() {
            weaker.clear();
            self.spares.push(weaker);
        }
    }

    /// Keeps a header's value behind the earlier ones of its name.
    fn append(&mut self, slot: impl Fn(&mut Head) -> &mut Option<String>, value: &[u8]) {
        match slot(&mut self.head) {
            Some(list) => {
                list.push_str(", ");
                push_lossy(list, value);
            }
            None => self.keep(slot, value),
        }
    }

    fn host(&mut self, value: &[u8], seen: &mut Seen) -> Result<(), Error> {
        seen.hosts += 1;
        if seen.hosts > 1 {
            return Err(Error::HostRepeated);
        }
        // An empty one is valid (RFC 9110 section 7.2).
        let is_valid = value.iter().all(|byte| byte.is_ascii_graphic() && !b",/?#@\\".contains(byte));
        if is_valid { Ok(()) } else { Err(Error::HostInvalid { host: quote(value) }) }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.head.minor_version == 0 {
            return Ok(()); // a 1.0 client can not mean it (RFC 9110 section 10.1.1)
        }
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Error::Expectation { value: quote(value) });
        }
        self.head.expect_continue = true;
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.head.content_length.is_some() {
            return Err(Error::ContentLengthRepeated);
        }
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        let append = |sum: u64, byte: &u8| sum.checked_mul(10)?.checked_add(digit(byte)?);
        let length = value.iter().try_fold(0, append).filter(|_| !value.is_empty());
        self.head.content_length = Some(length.ok_or_else(|| Error::ContentLength { value: quote(value) })?);
        Ok(())
    }

    /// Judged at the end, because a Content-Length beside it is the graver fault.
    fn transfer_encoding(&mut self, value: &[u8], seen: &mut Seen) {
        let is_chunked = seen.encoding.is_none() && value.eq_ignore_ascii_case(b"chunked");
        seen.encoding = Some(if is_chunked { Encoding::Chunked } else { Encoding::Foreign { value: quote(value) } });
    }

    /// What only all headers together tell (RFC 9112 sections 3.2, 6.1 and 9.3).
    fn judge(&mut self, seen: Seen) -> Result<(), Error> {
        let head = &mut self.head;
        if head.minor_version == 1 && seen.hosts == 0 {
            return Err(Error::HostMissing);
        }
        head.chunked = match seen.encoding {
            None => false,
            Some(_) if head.content_length.is_some() => return Err(Error::LengthAndEncoding),
            Some(_) if head.minor_version == 0 => return Err(Error::EncodingOnOldVersion),
            Some(Encoding::Foreign { value }) => return Err(Error::TransferEncoding { value }),
            Some(Encoding::Chunked) => true,
        };
        head.keep_alive = !seen.wants_close && (head.minor_version == 1 || seen.wants_keep_alive);
        Ok(())
    }
}

/// Whether a request may be called so, in headers and log lines.
fn is_request_id(value: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Notes what a Connection header's options say about keeping it; the others concern proxies.
fn connection(value: &[u8], seen: &mut Seen) {
    for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        seen.wants_close |= option.eq_ignore_ascii_case(b"close");
        seen.wants_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
}

/// The part of a target behind `http://authority`; the whole of any other.
fn without_authority(target: &[u8]) -> &[u8] {
    for scheme in [&b"http://"[..], b"https://"] {
        if target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme) {
            let rest = &target[scheme.len()..];
            let authority = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
            return &rest[authority..];
        }
    }
    target
}

fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// A byte of a method or of a header's name (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// httparse's verdict in our words.
#[cold]
fn explain(error: httparse::Error, bytes: &[u8], headers_max: usize) -> Error {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ');
    let words = [(); 4].map(|()| words.next());
    use httparse::Error as E;
    match (error, words) {
        (E::HeaderName, _) => Error::HeaderName,
        (E::HeaderValue, _) => Error::HeaderValue,
        (E::TooManyHeaders, _) => Error::TooManyHeaders { headers_max },
        // A CR that begins a header line.
        (E::NewLine, [_, _, Some(b"HTTP/1.0" | b"HTTP/1.1"), None]) => Error::HeaderName,
        (E::Version, [_, _, Some(version @ [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Error::Version { version: quote(version) }
        }
        // What stands behind a '?' may be a password.
        _ => Error::RequestLine { line: quote(before_query(line)) },
    }
}

fn before_query(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b'?', text).unwrap_or(text.len())]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_short_values_is_kept_and_of_long_ones_not() {
        let mut parser = Parser::default();
        let head = |value: &str| format!("GET /ping HTTP/1.1\r\nHost: h\r\nAuthorization: {value}\r\n\r\n");
        let kept = |parser: &mut Parser, value: &str| -> usize {
            parser.parse(head(value).as_bytes(), HEADERS_CAPACITY).unwrap();
            parser.forget();
            let head = &parser.head;
            parser.spares.iter().chain([&head.path, &head.query]).map(String::capacity).sum()
        };
        let short = kept(&mut parser, "Token abc");
        assert!((9..=5 * SPARE_BYTES_MAX).contains(&short), "{short}");
        let long = kept(&mut parser, &"x".repeat(20_000));
        assert!(long <= short, "{long} bytes stay of a long head, {short} of a short one");
    }
}
