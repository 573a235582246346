//! Answers of a server, told from the bytes of a connection: where one ends, its status, and what its body says.

use std::ops::Range;

/// Headers that an answer may have.
const HEADERS_MAX: usize = 64;

/// A whole answer at the begin of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Bytes that it takes.
    pub len: usize,
    /// Its body within them, chunk framing included.
    pub body: Range<usize>,
    /// The server sends no more on this connection.
    pub closes: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("what the server sent is no answer in HTTP/1.1: {0}")]
pub struct NotHttp(String);

/// The first answer in `bytes`; `None` while it is not whole (RFC 9112, section 6.3; no answer here is one to HEAD or CONNECT).
pub fn next(bytes: &[u8]) -> Result<Option<Answer>, NotHttp> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let begin = match head.parse(bytes).map_err(|error| NotHttp(error.to_string()))? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial => return Ok(None),
    };
    let status = head.code.unwrap_or(0);
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| header.value.trim_ascii())
    };
    let closes = value("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    let answer = |len: usize| Ok(Some(Answer { status, len: begin + len, body: begin..begin + len, closes }));
    if matches!(status, 100..=199 | 204 | 304) {
        return answer(0);
    }
    let rest = &bytes[begin..];
    if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        return chunked_len(rest)?.map_or(Ok(None), answer);
    }
    let len = value("content-length").ok_or_else(|| NotHttp(format!("its length is not told (status {status})")))?;
    let len: usize = std::str::from_utf8(len)
        .ok()
        .and_then(|len| len.parse().ok())
        .ok_or_else(|| NotHttp("its Content-Length is no number".to_owned()))?;
    if rest.len() < len { Ok(None) } else { answer(len) }
}

/// Bytes of a chunked body, trailers included; `None` while it is not whole.
fn chunked_len(bytes: &[u8]) -> Result<Option<usize>, NotHttp> {
    let mut at = 0;
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..]).map_err(|_| NotHttp("a chunk has no size".to_owned()))?;
        let httparse::Status::Complete((begin, size)) = parsed else { return Ok(None) };
        at += begin;
        if size == 0 {
            return Ok(trailers_len(&bytes[at..]).map(|len| at + len));
        }
        at = usize::try_from(size).ok().and_then(|size| at.checked_add(size)?.checked_add(2)).unwrap_or(usize::MAX);
        if at > bytes.len() {
            return Ok(None);
        }
    }
}

/// Up to and including the empty line.
fn trailers_len(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn whole(text: &str) -> (u16, &str, bool) {
        let answer = next(text.as_bytes()).unwrap().unwrap();
        assert_eq!(answer.len, text.len());
        for cut in 0..text.len() {
            assert_eq!(next(&text.as_bytes()[..cut]), Ok(None), "cut at {cut}");
        }
        (answer.status, &text[answer.body], answer.closes)
    }

    #[test]
    fn answers_end_where_their_framing_says() {
        assert_eq!(whole("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"), (204, "", false));
        assert_eq!(whole("HTTP/1.1 400 Bad\r\ncontent-length: 3\r\nConnection: close\r\n\r\nabc"), (400, "abc", true));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), (200, "3\r\nabc\r\n0\r\n\r\n", false));
        let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n";
        assert_eq!(whole(trailers), (200, "0\r\nX: y\r\n\r\n", false));
    }

    #[test]
    fn an_answer_ends_before_the_next_one() {
        let two = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        let first = next(two).unwrap().unwrap();
        assert_eq!(next(&two[first.len..]).unwrap().unwrap().status, 503);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
        {
            assert!(next(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
