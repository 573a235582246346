//! Where lines end: what cuts a stream into pieces that can be parsed by themselves.
//!
//! An LF ends a line unless it stands in a string or behind a backslash, so that the whole line decides ([`super::grammar`]). Most chunks
//! tell more cheaply: where no quote is, there is no string, and the last LF without a backslash before it is the end.

use std::ops::Range;

use memchr::{memchr, memchr2, memrchr};

/// Bytes of `chunk` up to and including the last LF that ends a line; 0 if none does. The chunk begins where a line begins.
///
/// What is left over may begin a string that never ends. A reader that then reads on into a larger buffer (twice as large, say) and asks
/// again has looked at each byte of a long line a bounded number of times.
///
/// ```
/// let chunk = b"m f=1 1\nm s=\"two\nlines\" 2\nm s=\"and a\nhalf";
/// assert_eq!(&chunk[ringest::line::complete_len(chunk)..], b"m s=\"and a\nhalf");
/// ```
pub fn complete_len(chunk: &[u8]) -> usize {
    let Some(first_quote) = memchr(b'"', chunk) else { return complete_without_quotes(chunk, 0) };
    let last_quote = memrchr(b'"', chunk).unwrap_or(first_quote);
    let mut at = complete_without_quotes(&chunk[..first_quote], 0);
    while at <= last_quote {
        match next_line(chunk, at) {
            Some(next) => at = next,
            None => return at,
        }
    }
    complete_without_quotes(chunk, at)
}

/// As [`complete_len`]; a line begins at `at`, and no quote stands from there on.
fn complete_without_quotes(chunk: &[u8], mut at: usize) -> usize {
    let mut end = chunk.len();
    while let Some(feed) = memrchr(b'\n', &chunk[at..end]) {
        end = at + feed;
        if end == 0 || chunk[end - 1] != b'\\' {
            at = end + 1;
            break;
        }
    }
    // All LFs behind stand behind backslashes: they end comments at most.
    while let Some(next) = next_line(chunk, at) {
        at = next;
    }
    at
}

/// The lines of `body` that are neither blank nor comments, without leading spaces and tabs, with their line end.
pub fn point_lines(body: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < body.len() {
            let start = skip_white(body, at);
            at = next_line(body, at).unwrap_or(body.len());
            if !matches!(&body[start..], [] | [b'#' | b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..]) {
                return Some(start..at);
            }
        }
        None
    })
}

/// Where the line after the one that begins at `at` begins, if an LF ends that one.
fn next_line(body: &[u8], at: usize) -> Option<usize> {
    let start = skip_white(body, at);
    let feed = if body.get(start) == Some(&b'#') { start + memchr(b'\n', &body[start..])? } else { feed(body, start)? };
    Some(feed + 1)
}

/// The LF that ends the line (no comment) whose first byte behind white space is at `start`.
fn feed(body: &[u8], start: usize) -> Option<usize> {
    let is_escaped = |at: usize| at > start && body[at - 1] == b'\\';
    let mut at = start;
    // The key: no strings yet.
    loop {
        at += memchr2(b' ', b'\n', &body[at..])?;
        match body[at] {
            _ if is_escaped(at) => at += 1,
            b'\n' => return Some(at),
            _ => break,
        }
    }
    // The fields: a quote opens a string where more `=` than commas have been seen.
    let (mut balance, mut counted) = (0i64, at);
    loop {
        at += memchr2(b'"', b'\n', &body[at..])?;
        match body[at] {
            _ if is_escaped(at) => at += 1,
            b'\n' => return Some(at),
            _ => {
                balance += (counted..at).filter(|at| !is_escaped(*at)).map(|at| weight(body[at])).sum::<i64>();
                at = if balance > 0 { string_end(body, at + 1)? + 1 } else { at + 1 };
                counted = at;
            }
        }
    }
}

fn weight(byte: u8) -> i64 {
    i64::from(byte == b'=') - i64::from(byte == b',')
}

/// The quote that closes the string whose first byte is at `at`.
fn string_end(body: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', body.get(at..)?)?;
        if body[at] == b'"' {
            return Some(at);
        }
        // The backslash takes the next byte with it.
        at += 2;
    }
}

fn skip_white(body: &[u8], at: usize) -> usize {
    at + body[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::line::naive;

    /// By the lines that the reference parser sees: behind the last one that is a point, and before it, only blank lines and comments are.
    fn expected_len(body: &[u8]) -> usize {
        let after = |feed: usize| feed + 1;
        let last = naive::split(body).last().map(|line| (line.start, line.end));
        let (start, end) = last.unwrap_or((body.len(), 0));
        let is_ended = body[end..].contains(&b'\n');
        memrchr(b'\n', if is_ended { body } else { &body[..start] }).map_or(0, after)
    }

    fn check(body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let complete = complete_len(body);
        assert_eq!(complete, expected_len(body), "{text:?}");
        assert_eq!(complete_len(&body[..complete]), complete, "{text:?}");
        let lines: Vec<Range<usize>> = point_lines(body).collect();
        let expected = naive::split(body);
        assert_eq!(lines.len(), expected.len(), "{text:?}");
        for (line, expected) in lines.into_iter().zip(expected) {
            assert_eq!(line.start, expected.start, "{text:?}");
            let line_end = &body[expected.end..line.end];
            let is_last = line.end == body.len();
            assert!(matches!(line_end, b"\n" | b"\r\n") || is_last && matches!(line_end, b"" | b"\r"), "{text:?}");
        }
    }

    #[test]
    fn line_ends_by_example() {
        for (body, rest) in [
            (&b""[..], &b""[..]),
            (b"m f=1", b"m f=1"),
            (b"m f=1\n", b""),
            (b"\n", b""),
            (b"m f=1\r\nm", b"m"),
            (b"m f=\"a\nb\" 1\nm f=\"a\nb", b"m f=\"a\nb"),
            (b"m f=\"a\\\"\nb", b"m f=\"a\\\"\nb"),
            (b"m f=\"a\\\\\"\nb", b"b"),
            (b"m f=\"\\", b"m f=\"\\"),
            (b"m\\\nn f=1", b"m\\\nn f=1"),
            (b"m f=1\\\n", b"m f=1\\\n"),
            (b"# f=\"\nm", b"m"),
            (b" \t# \\\n", b""),
            (b"#\\\n#\\\nm\\\n", b"m\\\n"),
            // A quote is data in the key, behind a comma, and behind a backslash.
            (b"m,t=\"a f=1\nx", b"x"),
            (b"m f=1,\"a\nx", b"x"),
            (b"m f=\\\"a\nx", b"x"),
            (b" m=\" f=1\nx", b"x"),
            (b"m f=\"a\",g=\"b\nc\",h\"=1\nx", b"x"),
            (b"m f=\"a\"\nm g=2\n\\\n", b"\\\n"),
        ] {
            check(body);
            assert_eq!(&body[complete_len(body)..], rest, "{:?}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_are_those_of_the_reference_parser(
            body in vec(prop::sample::select(&b"m,=\"\"\\\\\n\n\r\t  #f1"[..]), 0..60),
        ) {
            check(&body);
        }
    }

    #[test]
    fn bodies_of_any_shape_take_linear_time() {
        let shapes: [&[u8]; 8] =
            [b"\\\n", b"#\\\n", b"m f=\"", b"\"", b"m f=\"\"\n", b" m=\"\\\n", b"m f=,\"\\\"", b"\\ \\\n\""];
        for shape in shapes {
            let body = shape.repeat((8 << 20) / shape.len());
            let start = Instant::now();
            let lines = point_lines(&body).count();
            assert!(complete_len(&body) <= body.len() && lines <= body.len());
            assert!(start.elapsed().as_secs() < 5, "{:?} took {:?}", String::from_utf8_lossy(shape), start.elapsed());
        }
    }
}
