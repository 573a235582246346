//! An answer and its bytes on the wire.

/// The statuses that the node answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Status {
    Continue = 100,
    Ok = 200,
    NoContent = 204,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    Gone = 410,
    LengthRequired = 411,
    ContentTooLarge = 413,
    UriTooLong = 414,
    UnsupportedMediaType = 415,
    ExpectationFailed = 417,
    UnprocessableContent = 422,
    TooManyRequests = 429,
    RequestHeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    HttpVersionNotSupported = 505,
}

impl Status {
    pub const ALL: [Self; 22] = [
        Self::Continue,
        Self::Ok,
        Self::NoContent,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Gone,
        Self::LengthRequired,
        Self::ContentTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::ExpectationFailed,
        Self::UnprocessableContent,
        Self::TooManyRequests,
        Self::RequestHeaderFieldsTooLarge,
        Self::InternalServerError,
        Self::NotImplemented,
        Self::ServiceUnavailable,
        Self::HttpVersionNotSupported,
    ];

    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Whether it says that the request failed.
    pub const fn is_error(self) -> bool {
        self.code() >= 400
    }

    /// The reason phrase (RFC 9110 section 15, RFC 6585).
    pub fn reason(self) -> &'static str {
        let line = self.line();
        &line[STATUS_PREFIX_BYTES..line.len() - 2]
    }

    /// The whole status line: one copy on the wire.
    const fn line(self) -> &'static str {
        match self {
            Self::Continue => "HTTP/1.1 100 Continue\r\n",
            Self::Ok => "HTTP/1.1 200 OK\r\n",
            Self::NoContent => "HTTP/1.1 204 No Content\r\n",
            Self::BadRequest => "HTTP/1.1 400 Bad Request\r\n",
            Self::Unauthorized => "HTTP/1.1 401 Unauthorized\r\n",
            Self::Forbidden => "HTTP/1.1 403 Forbidden\r\n",
            Self::NotFound => "HTTP/1.1 404 Not Found\r\n",
            Self::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed\r\n",
            Self::RequestTimeout => "HTTP/1.1 408 Request Timeout\r\n",
            Self::Gone => "HTTP/1.1 410 Gone\r\n",
            Self::LengthRequired => "HTTP/1.1 411 Length Required\r\n",
            Self::ContentTooLarge => "HTTP/1.1 413 Content Too Large\r\n",
            Self::UriTooLong => "HTTP/1.1 414 URI Too Long\r\n",
            Self::UnsupportedMediaType => "HTTP/1.1 415 Unsupported Media Type\r\n",
            Self::ExpectationFailed => "HTTP/1.1 417 Expectation Failed\r\n",
            Self::UnprocessableContent => "HTTP/1.1 422 Unprocessable Content\r\n",
            Self::TooManyRequests => "HTTP/1.1 429 Too Many Requests\r\n",
            Self::RequestHeaderFieldsTooLarge => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
            Self::InternalServerError => "HTTP/1.1 500 Internal Server Error\r\n",
            Self::NotImplemented => "HTTP/1.1 501 Not Implemented\r\n",
            Self::ServiceUnavailable => "HTTP/1.1 503 Service Unavailable\r\n",
            Self::HttpVersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
        }
    }

    /// 100 and 204 have neither a body nor a Content-Length (RFC 9110 section 8.6).
    const fn has_body(self) -> bool {
        !matches!(self, Self::Continue | Self::NoContent)
    }
}

/// `HTTP/1.1 204 `.
const STATUS_PREFIX_BYTES: usize = 13;

/// What a page of another origin may read beside the body, and for caches: another origin gets another answer.
const CORS_HEADERS: &[u8] = b"\r\nVary: Origin\r\nAccess-Control-Expose-Headers: Request-Id, Retry-After, Trace-Id, \
    X-Influxdb-Build, X-Influxdb-Error, X-Influxdb-Version, X-Platform-Error-Code";

/// An answer as the request's handler wants it; what every answer carries is added when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: Status,
    pub content_type: Option<&'static str>,
    /// Names and values as they go out; control bytes in the values are left out.
    pub headers: Vec<(&'static str, String)>,
    /// Not sent with 100 and 204.
    pub body: Vec<u8>,
    /// Close the connection behind this answer, whatever the client wants.
    pub close: bool,
}

/// What an answer has to know of its request and of the node.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Of the request: 0 or 1.
    pub minor_version: u8,
    /// The connection stays open, unless the response closes it.
    pub keep_alive: bool,
    /// A HEAD request: Content-Length as for GET, but no body.
    pub head_only: bool,
    /// The value of X-Influxdb-Version.
    pub version_header: &'a str,
    /// The value of Request-Id and X-Request-Id; may be what the client sent.
    pub request_id: &'a str,
    /// The trace of the request, for an answer that is an error; empty without one.
    pub trace_id: &'a str,
    /// The value of Origin where the page that it names may read the answer; empty otherwise. Is what the client sent.
    pub origin: &'a str,
}

impl<'a> Exchange<'a> {
    /// What an answer tells that [`Response::write_to`] has written, for another one in its place. Its trace is told by errors only, and that
    /// it had no body because of HEAD not at all.
    pub fn of(answer: &'a [u8]) -> Self {
        let head = answer.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).take_while(|line| !line.is_empty());
        let value = |name: &str| {
            let mut values = head.clone().filter_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b": "));
            values.next().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
        };
        let connection = value("Connection");
        Self {
            minor_version: u8::from(connection != "keep-alive"),
            keep_alive: connection != "close",
            head_only: false,
            version_header: value("X-Influxdb-Version"),
            request_id: value("Request-Id"),
            trace_id: value("Trace-Id"),
            origin: value("Access-Control-Allow-Origin"),
        }
    }
}

impl Response {
    pub fn empty(status: Status) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Vec::new(), close: false }
    }

    /// Appends the answer's bytes. 100 is interim, the final answer follows it: its status line alone is written.
    pub fn write_to(&self, out: &mut Vec<u8>, exchange: Exchange<'_>) {
        out.extend_from_slice(self.status.line().as_bytes());
        if self.status == Status::Continue {
            out.extend_from_slice(b"\r\n");
            return;
        }
        push_value(out, "X-Influxdb-Build: OSS\r\nX-Influxdb-Version: ", exchange.version_header);
        push_value(out, "\r\nRequest-Id: ", exchange.request_id);
        push_value(out, "\r\nX-Request-Id: ", exchange.request_id);
        if self.status.is_error() && !exchange.trace_id.is_empty() {
            push_value(out, "\r\nTrace-Id: ", exchange.trace_id);
        }
        if !exchange.origin.is_empty() {
            push_value(out, "\r\nAccess-Control-Allow-Origin: ", exchange.origin);
            out.extend_from_slice(CORS_HEADERS);
        }
        if let Some(content_type) = self.content_type {
            push_value(out, "\r\nContent-Type: ", content_type);
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(name.as_bytes());
            push_value(out, ": ", value);
        }
        if self.status.has_body() {
            out.extend_from_slice(b"\r\nContent-Length: ");
            push_decimal(out, self.body.len());
        }
        match (self.close || !exchange.keep_alive, exchange.minor_version) {
            (true, _) => out.extend_from_slice(b"\r\nConnection: close"),
            (false, 0) => out.extend_from_slice(b"\r\nConnection: keep-alive"),
            (false, _) => {}
        }
        out.extend_from_slice(b"\r\n\r\n");
        if self.status.has_body() && !exchange.head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Appends `before`, then `value` without the control bytes that would let it break out of its line.
fn push_value(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    // Without an early end, so that the compiler looks at many bytes at once.
    if value.bytes().fold(false, |found, byte| found | byte.is_ascii_control()) {
        out.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
    } else {
        out.extend_from_slice(value.as_bytes());
    }
}

fn push_decimal(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20]; // 2^64 has 20
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}
