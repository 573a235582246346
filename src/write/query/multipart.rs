//! Forms of several parts (RFC 7578), as `curl -F` sends them. A strict reader of what clients write: each part has a name, and nothing
//! stands before the first.

/// The longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Name and value of a part.
pub type Part<'a> = (&'a str, &'a [u8]);

/// What a form's text is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the Content-Type of the multipart form names no boundary")]
    Boundary,
    #[error("the multipart form does not begin with its boundary")]
    Start,
    #[error("the multipart form ends without its closing boundary")]
    End,
    #[error("a part of the multipart form has no `Content-Disposition: form-data; name=\"...\"`")]
    Name,
}

/// The boundary that the value of a Content-Type names.
pub fn boundary(content_type: &str) -> Result<&str, Malformed> {
    let boundary = parameter(content_type, "boundary").ok_or(Malformed::Boundary)?;
    let is_one =
        (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_one { Ok(boundary) } else { Err(Malformed::Boundary) }
}

/// All parts in their order, files among them: those are values as others are.
pub fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Malformed> {
    // Every boundary but the first follows a line end that is its own.
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..]).ok_or(Malformed::Start)?;
    let mut parts = Vec::new();
    loop {
        match rest {
            // What follows the end is nobody's.
            [b'-', b'-', ..] => return Ok(parts),
            [b'\r', b'\n', after @ ..] => rest = after,
            _ => return Err(if parts.is_empty() { Malformed::Start } else { Malformed::End }),
        }
        let (name, after) = name(rest)?;
        let end = end(after, delimiter.as_bytes()).ok_or(Malformed::End)?;
        parts.push((name, &after[..end]));
        rest = &after[end + delimiter.len()..];
    }
}

/// A part's name, and what stands behind its head.
fn name(part: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let mut rest = part;
    let mut name = None;
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").ok_or(Malformed::End)?;
        let (line, after) = (&rest[..end], &rest[end + 2..]);
        rest = after;
        if line.is_empty() {
            return Ok((name.ok_or(Malformed::Name)?, rest));
        }
        let line = std::str::from_utf8(line).map_err(|_| Malformed::Name)?;
        let (key, value) = line.split_once(':').ok_or(Malformed::Name)?;
        if key.eq_ignore_ascii_case("content-disposition") {
            name = parameter(value, "name");
        }
    }
}

/// Where the delimiter begins that ends a value: one that is followed by a line end or by the mark of the last.
fn end(value: &[u8], delimiter: &[u8]) -> Option<usize> {
    let is_whole = |at: &usize| matches!(&value[at + delimiter.len()..], [b'-', b'-', ..] | [b'\r', b'\n', ..]);
    memchr::memmem::find_iter(value, delimiter).find(is_whole)
}

/// The first value of a parameter behind a `;`, out of its quotes. Escapes stay: no name that is looked for has any.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (&quoted[..end], quoted[end + 1..].split_once(';').map(|(_, next)| next))
            }
            None => match after.split_once(';') {
                Some((value, next)) => (value.trim_end(), Some(next)),
                None => (after.trim_end(), None),
            },
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next?;
    }
}

fn closing_quote(quoted: &str) -> Option<usize> {
    let mut is_escaped = false;
    quoted.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const CURL: &str = "--x1\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nSHOW DATABASES\r\n--x1\r\n\
                        Content-Disposition: form-data; name=\"db\"; filename=\"a; name=\\\"q\\\"\"\r\nContent-Type: text/plain\r\n\r\n\
                        a\r\n--x1y\r\n\r\n--x1--\r\n";

    #[test]
    fn the_forms_of_curl_are_read() {
        let found = parts(CURL.as_bytes(), "x1").unwrap();
        assert_eq!(found, [("q", &b"SHOW DATABASES"[..]), ("db", b"a\r\n--x1y\r\n")]);
        assert_eq!(parts(b"--b--", "b"), Ok(Vec::new()));
        for (value, expected) in [
            ("multipart/form-data; boundary=----WebKit+x", Ok("----WebKit+x")),
            ("multipart/form-data;charset=\"a;b\" ; Boundary=\"a b\"; x=y", Ok("a b")),
            ("multipart/form-data", Err(Malformed::Boundary)),
            ("multipart/form-data; boundary=", Err(Malformed::Boundary)),
            ("multipart/form-data; boundary=\"a", Err(Malformed::Boundary)),
            ("multipart/form-data; boundary=\u{e9}", Err(Malformed::Boundary)),
        ] {
            assert_eq!(boundary(value), expected, "{value}");
        }
        assert_eq!(boundary(&format!("m/f; boundary={}", "x".repeat(71))), Err(Malformed::Boundary));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for (body, expected) in [
            (&b""[..], Malformed::Start),
            (b"q=SHOW+DATABASES", Malformed::Start),
            (b"preamble\r\n--b--", Malformed::Start),
            (b"--bb\r\n", Malformed::Start),
            (b"--b\r\n\r\nvalue\r\n--b--", Malformed::Name),
            (b"--b\r\nContent-Disposition: form-data\r\n\r\nvalue\r\n--b--", Malformed::Name),
            (b"--b\r\nno colon\r\n\r\nvalue\r\n--b--", Malformed::Name),
            (b"--b\r\nContent-Disposition: form-data; name=q\r\n\r\nvalue\r\n--b", Malformed::End),
            (b"--b\nContent-Disposition: form-data; name=q\n\nvalue\n--b--", Malformed::Start),
        ] {
            assert_eq!(parts(body, "b"), Err(expected), "{}", body.escape_ascii());
        }
        let end = CURL.rfind("--").unwrap() + 2;
        for cut in 0..end {
            assert!(parts(&CURL.as_bytes()[..cut], "x1").is_err(), "cut at {cut}");
        }
    }

    /// Bytes that are likely to mean something.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"--".to_vec()),
            Just(b"--b".to_vec()),
            Just(b"\r\n--b\r\n".to_vec()),
            Just(b"content-disposition: form-data; name=\"q\"".to_vec()),
            Just(b"\";=\\".to_vec()),
            vec(any::<u8>(), 0..6),
        ];
        vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_a_client_writes_is_what_is_read(given in vec(("[a-z;= ]{1,9}", bytes()), 0..6)) {
            // As clients choose theirs: it stands in no value.
            let boundary = "the-only-one";
            let mut body = Vec::new();
            for (name, value) in &given {
                body.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes());
                body.extend_from_slice(value);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            let expected: Vec<Part> = given.iter().map(|(name, value)| (&**name, &**value)).collect();
            prop_assert_eq!(parts(&body, boundary).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in bytes(), header in ".{0,40}") {
            let body = [b"--b", &body[..]].concat();
            for (_, value) in parts(&body, "b").unwrap_or_default() {
                prop_assert!(memchr::memmem::find(value, b"\r\n--b\r\n").is_none());
            }
            // No value may be longer than the header that it is out of.
            prop_assert!(parameter(&header, "x").is_none_or(|value| value.len() < header.len()));
        }
    }
}
