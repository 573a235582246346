//! What can be wrong with a request's framing, and the status that answers it.

use super::Status;

/// Why a request can not be taken. The place where the next request would begin is unknown then: answer, and close the connection.
///
/// `line` counts the lines of the head from 1 (the request line). Quoted values are cut and escaped, so that a sentence is
/// always short, printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "the connection does not begin with an HTTP request (first byte 0x{byte:02x}); speak plain HTTP/1.1, not TLS"
    )]
    NotHttp { byte: u8 },
    /// Told by whoever owns the connection: bytes do not show what their port is for.
    #[error("this port speaks TLS, and the request came without it; use https:// in the URL")]
    PlainOnTls,
    #[error("the request line is not `METHOD target HTTP/1.1`: '{line}'")]
    RequestLine { line: String },
    #[error("the request target holds the byte 0x{byte:02x}; percent-encode everything but visible ASCII")]
    TargetByte { byte: u8 },
    #[error("the request target '{target}' is neither a path that begins with '/', nor an http URL, nor '*'")]
    TargetForm { target: String },
    #[error("the request line is longer than {bytes_max} bytes; send less in the URL")]
    TargetTooLong { bytes_max: usize },
    #[error("'{version}' is not supported; use HTTP/1.1 or HTTP/1.0")]
    Version { version: String },
    #[error("the request's head is larger than {bytes_max} bytes; send fewer or shorter headers")]
    HeadTooLarge { bytes_max: usize },
    #[error("the request has more than {headers_max} headers; send fewer")]
    TooManyHeaders { headers_max: usize },
    #[error("line {line} of the request's head ends with a bare LF; end it with CR LF")]
    BareLf { line: usize },
    #[error(
        "line {line} of the request's head begins with white space; folded headers are not accepted, send one line per header"
    )]
    FoldedHeader { line: usize },
    #[error(
        "a header of the request has a name with a forbidden byte (a space before its colon is one), or has no colon"
    )]
    HeaderName,
    #[error("a header of the request has a value with a control byte (NUL, a CR without LF, ...)")]
    HeaderValue,
    #[error("the request has no Host header; HTTP/1.1 demands one")]
    HostMissing,
    #[error("the request has more than one Host header; send one")]
    HostRepeated,
    #[error("the Host header '{host}' is not a host name with an optional port")]
    HostInvalid { host: String },
    #[error("the Content-Length '{value}' is not one decimal number below 2^64")]
    ContentLength { value: String },
    #[error("the request has more than one Content-Length header; send one")]
    ContentLengthRepeated,
    #[error("the request has both Transfer-Encoding and Content-Length; send one of them")]
    LengthAndEncoding,
    #[error("the request has a Transfer-Encoding, which HTTP/1.0 does not know; use HTTP/1.1 or Content-Length")]
    EncodingOnOldVersion,
    #[error("the Transfer-Encoding '{value}' is not supported; use chunked or Content-Length")]
    TransferEncoding { value: String },
    #[error("the expectation '{value}' can not be met; only 100-continue is known")]
    Expectation { value: String },
    /// `declared` is the Content-Length; `None` for a chunked body, whose end is not known.
    #[error("the body{} is larger than the maximum of {bytes_max} bytes; send smaller batches", Declared(*.declared))]
    BodyTooLarge { declared: Option<u64>, bytes_max: usize },
    #[error("a chunk's size line holds the byte 0x{byte:02x} where a hexadecimal size, ';' or CR LF must stand")]
    ChunkSize { byte: u8 },
    #[error("a chunk's size has more than 16 hexadecimal digits")]
    ChunkSizeOverflow,
    #[error("a chunk's extension holds the control byte 0x{byte:02x}")]
    ChunkExtension { byte: u8 },
    #[error("the extensions of the body's chunks are longer than {bytes_max} bytes; send none")]
    ChunkExtensionsTooLong { bytes_max: usize },
    #[error("the chunk framing of the body has a line that does not end with CR LF")]
    ChunkLineEnd,
    #[error("a chunk's data is not followed by CR LF (byte 0x{byte:02x}); its size is wrong")]
    ChunkDataEnd { byte: u8 },
    #[error("the trailer section behind the last chunk holds the byte 0x{byte:02x} where it is not allowed")]
    Trailer { byte: u8 },
    #[error("the trailer section behind the last chunk is longer than {bytes_max} bytes; send none")]
    TrailersTooLong { bytes_max: usize },
}

impl Error {
    /// The status of the answer (RFC 9110 section 15, RFC 9112, RFC 6585).
    pub fn status(&self) -> Status {
        match self {
            Self::BodyTooLarge { .. } => Status::ContentTooLarge,
            Self::TargetTooLong { .. } => Status::UriTooLong,
            Self::Expectation { .. } => Status::ExpectationFailed,
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } | Self::TrailersTooLong { .. } => {
                Status::RequestHeaderFieldsTooLarge
            }
            Self::TransferEncoding { .. } => Status::NotImplemented,
            Self::Version { .. } => Status::HttpVersionNotSupported,
            _ => Status::BadRequest,
        }
    }
}

/// The client's bytes as an error may quote them: at most 64 of them, escaped.
pub(super) fn quote(bytes: &[u8]) -> String {
    const QUOTED_BYTES_MAX: usize = 64;
    bytes[..bytes.len().min(QUOTED_BYTES_MAX)].escape_ascii().to_string()
}

struct Declared(Option<u64>);

impl std::fmt::Display for Declared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, " of {bytes} bytes"),
            None => Ok(()),
        }
    }
}
