//! Whole requests through [`State`], each in every split; answers byte by byte.
#![allow(clippy::unwrap_used)]

use super::body::CHUNK_EXTENSION_BYTES_MAX;
use super::head::REQUEST_ID_BYTES_MAX;
use super::*;

const LIMITS: Limits = Limits { head_bytes_max: 512, headers_max: 16, body_bytes_max: 100 };

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Head(Box<Head>),
    Body(Vec<u8>),
    Refused(Error),
}

/// Plays a connection that delivers `input` in pieces that end at `cuts`; returns what came of it and where it stands then.
fn play(input: &[u8], cuts: &[usize], limits: Limits) -> (Vec<Step>, Phase) {
    let mut state = State::new(limits);
    let (mut steps, mut buffer, mut fed, mut due) = (Vec::new(), Vec::new(), 0, 0);
    for cut in cuts.iter().copied().chain([input.len()]) {
        buffer.extend_from_slice(&input[fed..cut]);
        due -= (cut - fed) as isize;
        fed = cut;
        loop {
            match state.advance(&mut buffer) {
                Ok(Event::More { filled, missing }) => {
                    assert!(missing > 0 && filled <= buffer.len());
                    buffer.truncate(filled);
                    due = missing as isize;
                    break;
                }
                Ok(Event::Head) => {
                    assert_eq!(state.phase(), Phase::Body);
                    steps.push(Step::Head(Box::new(state.head().clone())));
                }
                Ok(Event::Body { body, consumed }) => {
                    assert!(due <= 0, "complete with {due} bytes missing");
                    assert_eq!(state.phase(), Phase::Idle);
                    steps.push(Step::Body(buffer[body].to_vec()));
                    buffer.drain(..consumed);
                }
                Err(error) => {
                    assert_eq!(state.advance(&mut buffer), Err(error.clone()));
                    steps.push(Step::Refused(error));
                    return (steps, state.phase());
                }
            }
        }
    }
    (steps, state.phase())
}

/// Plays `input` whole, byte by byte, and in two pieces for every way to cut it in two: always the same steps.
fn every_split(input: &[u8], limits: Limits) -> Vec<Step> {
    let whole = play(input, &[], limits);
    let every_byte: Vec<usize> = (0..input.len()).collect();
    assert_eq!(play(input, &every_byte, limits), whole, "byte by byte: {}", input.escape_ascii());
    for cut in 0..=input.len() {
        assert_eq!(play(input, &[cut], limits), whole, "cut at {cut}: {}", input.escape_ascii());
    }
    whole.0
}

fn bodies(input: &[u8]) -> Vec<String> {
    let body = |step| match step {
        Step::Body(body) => Some(String::from_utf8(body).unwrap()),
        Step::Head(_) => None,
        Step::Refused(error) => panic!("{error}: {}", input.escape_ascii()),
    };
    every_split(input, LIMITS).into_iter().filter_map(body).collect()
}

fn only_head(input: &[u8]) -> Head {
    match every_split(input, LIMITS).first() {
        Some(Step::Head(head)) => Head::clone(head),
        other => panic!("{other:?}: {}", input.escape_ascii()),
    }
}

/// The error that `input` meets in the end, whatever came before it.
fn refused(input: &[u8], limits: Limits) -> Error {
    match every_split(input, limits).pop() {
        Some(Step::Refused(error)) => error,
        other => panic!("{other:?}: {}", input.escape_ascii()),
    }
}

fn head_with(headers: &str) -> Vec<u8> {
    format!("POST /write?db=x HTTP/1.1\r\nHost: h\r\n{headers}\r\n").into_bytes()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    [&head_with("Transfer-Encoding: chunked\r\n"), body].concat()
}

#[track_caller]
fn assert_status(input: &[u8], code: u16) {
    let error = refused(input, LIMITS);
    assert_eq!(error.status().code(), code, "{error}: {}", input.escape_ascii());
    let text = error.to_string();
    assert!(text.len() < 200 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
}

#[test]
fn a_head_is_read() {
    let head = only_head(
        b"POST /api/v2/write?org=o&bucket=b%20c HTTP/1.1\r\nhOST: localhost:8086\r\nContent-Length:  0 \r\n\
          content-encoding:gzip\r\nAuthorization: Token t:\xff\r\nX-REQUEST-ID: one\r\nRequest-Id: two\r\n\
          Origin: http://o\r\nZap-Trace-Span: {}\r\nTraceparent: 00-1-2-3\r\nContent-Type: text/plain\t\r\n\
          User-Agent: \xc3\xa9\r\nExpect: 100-Continue\r\n\r\n",
    );
    let text = |text: &str| Some(text.to_owned());
    let expected = Head {
        method: Method::Post,
        path: "/api/v2/write".to_owned(),
        query: "org=o&bucket=b%20c".to_owned(),
        minor_version: 1,
        content_length: Some(0),
        chunked: false,
        expect_continue: true,
        keep_alive: true,
        content_encoding: text("gzip"),
        authorization: text("Token t:\u{fffd}"),
        request_id: text("one"),
        origin: text("http://o"),
        zap_trace_span: text("{}"),
        traceparent: text("00-1-2-3"),
        content_type: text("text/plain"),
    };
    assert!(head == expected, "{head:?}");
}

#[test]
fn a_debug_line_shows_no_secret() {
    let head = only_head(b"GET /write?u=name&p=secret HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n\r\n");
    assert!(!format!("{head:?}").contains("secret"));
}

#[test]
fn methods_and_targets() {
    let parse = |target: &str| {
        let head = only_head(format!("{target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        (head.method, head.path, head.query)
    };
    let expect = |method, path: &str, query: &str| (method, path.to_owned(), query.to_owned());
    assert_eq!(parse("GET /"), expect(Method::Get, "/", ""));
    assert_eq!(parse("HEAD /ping?"), expect(Method::Head, "/ping", ""));
    assert_eq!(parse("OPTIONS *"), expect(Method::Options, "*", ""));
    assert_eq!(parse("post /a?b?c"), expect(Method::Other, "/a", "b?c"));
    assert_eq!(parse("PUT http://h:1/a?b=/"), expect(Method::Other, "/a", "b=/"));
    assert_eq!(parse("GET HTTPS://h?b"), expect(Method::Get, "/", "b"));
    assert_eq!(parse("GET http://h"), expect(Method::Get, "/", ""));
}

#[test]
fn headers_sent_twice() {
    let head = only_head(&head_with(
        "Authorization: a\r\nAuthorization: b\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\n\
         Request-Id: weak\r\nRequest-Id: weaker\r\nX-Request-Id:\r\nX-Request-Id: strong\r\nX-Request-Id: late\r\n",
    ));
    assert_eq!(head.authorization.as_deref(), Some("a, b"));
    assert_eq!(head.content_encoding.as_deref(), Some("gzip, br"));
    assert_eq!(head.request_id.as_deref(), Some("strong"));
    let head = only_head(&head_with("X-Request-Id: \r\nRequest-Id: weak\r\nOrigin:\r\n"));
    assert_eq!((head.request_id.as_deref(), head.origin.as_deref()), (Some("weak"), Some("")));
}

#[test]
fn a_request_id_is_short_and_printable_or_none() {
    let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
    for id in ["1", "a b~!", &longest] {
        assert_eq!(only_head(&head_with(&format!("X-Request-Id: {id}\r\n"))).request_id.as_deref(), Some(id));
    }
    for id in ["", "\u{e9}", "a\tb", "a\u{9b}b", &format!("{longest}x")] {
        let head = only_head(&head_with(&format!("X-Request-Id: {id}\r\n")));
        assert_eq!(head.request_id, None, "{id}");
        let head = only_head(&head_with(&format!("X-Request-Id: {id}\r\nRequest-Id: other\r\n")));
        assert_eq!(head.request_id.as_deref(), Some("other"), "{id}");
    }
}

/// RFC 9110 section 5.3 joins repeated headers by commas, and a list is no trace.
#[test]
fn a_trace_that_is_named_twice_is_none() {
    for name in ["traceparent", "zap-trace-span"] {
        for times in 1..4 {
            let head = only_head(&head_with(&format!("{name}: same\r\n").repeat(times)));
            let trace = head.traceparent.or(head.zap_trace_span);
            assert_eq!(trace.as_deref(), Some(if times == 1 { "same" } else { "" }), "{name}, {times} times");
        }
    }
}

#[test]
fn keep_alive_follows_version_and_connection() {
    let keeps = |version: u8, connection: &str| {
        only_head(format!("GET / HTTP/1.{version}\r\nHost: h\r\n{connection}\r\n").as_bytes()).keep_alive
    };
    assert!(keeps(1, ""));
    assert!(!keeps(0, ""));
    assert!(!keeps(1, "Connection: Close\r\n"));
    assert!(keeps(0, "Connection: Keep-Alive\r\n"));
    assert!(!keeps(0, "Connection: keep-alive, close\r\n"));
    assert!(!keeps(1, "Connection: te\r\nConnection: upgrade ,\tclose\r\n"));
    assert!(keeps(1, "Connection: closed\r\n"));
}

#[test]
fn bodies_by_length() {
    assert_eq!(bodies(&head_with("")), [""]);
    assert_eq!(bodies(&head_with("Content-Length: 0\r\n")), [""]);
    assert_eq!(bodies(b"POST /w HTTP/1.0\r\nContent-Length: 003\r\n\r\na\nb"), ["a\nb"]);
    let (steps, phase) = play(b"POST /w HTTP/1.0\r\nContent-Length: 4\r\n\r\na\nb", &[], LIMITS);
    assert_eq!((steps.len(), phase), (1, Phase::Body));
}

#[test]
fn more_names_the_exact_rest_of_a_length() {
    let mut state = State::new(LIMITS);
    let mut bytes = head_with("Content-Length: 7\r\n");
    bytes.extend_from_slice(b"ab");
    assert_eq!(state.advance(&mut bytes), Ok(Event::Head));
    assert_eq!(state.advance(&mut bytes), Ok(Event::More { filled: bytes.len(), missing: 5 }));
}

#[test]
fn bodies_in_chunks() {
    assert_eq!(bodies(&chunked(b"0\r\n\r\n")), [""]);
    assert_eq!(bodies(&chunked(b"5\r\nab\r\nc\r\n0\r\n\r\n")), ["ab\r\nc"]);
    assert_eq!(bodies(&chunked(b"1\r\na\r\n002\r\nbc\r\nA\r\n0123456789\r\n000\r\n\r\n")), ["abc0123456789"]);
    assert_eq!(bodies(&chunked(b"1;x=\"y;z\"\r\na\r\n1 \t; q\r\nb\r\n0;last\r\n\r\n")), ["ab"]);
    assert_eq!(bodies(&chunked(b"1\r\na\r\n0\r\nExpires: never\r\nX:\t\xff\r\n\r\n")), ["a"]);
}

#[test]
fn framing_leaves_the_buffer() {
    let mut state = State::new(LIMITS);
    let mut bytes = chunked(b"1\r\na\r\n2\r\nbc\r\n6\r\ndef");
    let head_end = bytes.len() - b"1\r\na\r\n2\r\nbc\r\n6\r\ndef".len();
    assert_eq!(state.advance(&mut bytes), Ok(Event::Head));
    // The first chunk's data stays where it is; behind it all is contiguous.
    let filled = head_end + 3 + 6;
    assert_eq!(state.advance(&mut bytes), Ok(Event::More { filled, missing: 3 + 7 }));
    bytes.truncate(filled);
    assert!(bytes.ends_with(b"\r\n1\r\nabcdef"));
    bytes.extend_from_slice(b"ghi\r\n0\r\n\r\nGET /next");
    let consumed = filled + 10;
    assert_eq!(state.advance(&mut bytes), Ok(Event::Body { body: head_end + 3..head_end + 12, consumed }));
    assert_eq!(&bytes[head_end + 3..head_end + 12], b"abcdefghi");
    assert_eq!(&bytes[consumed..], b"GET /next");
}

#[test]
fn pipelined_requests() {
    let post = [&head_with("Content-Length: 2\r\nAuthorization: once\r\n")[..], b"ab"].concat();
    let input =
        [&post[..], b"\r\n", &chunked(b"1\r\nc\r\n1\r\nd\r\n0\r\nt: x\r\n\r\n"), &head_with(""), &post].concat();
    let steps = every_split(&input, Limits { body_bytes_max: 2, ..LIMITS });
    let seen: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::Head(head) => head.authorization.clone().unwrap_or_else(|| "nobody".to_owned()),
            Step::Body(body) => String::from_utf8(body.clone()).unwrap(),
            Step::Refused(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(seen, ["once", "ab", "nobody", "cd", "nobody", "", "once", "ab"]);
}

#[test]
fn one_empty_line_may_stand_before_a_request() {
    assert_eq!(bodies(&[b"\r\n", &head_with("")[..]].concat()), [""]);
    assert_status(&[b"\r\n\r\n", &head_with("")[..]].concat(), 400);
    assert_status(b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    assert_status(b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    assert_eq!(play(b"\r\n", &[], LIMITS), (vec![], Phase::Idle));
    assert_eq!(play(b"\r\nG", &[], LIMITS), (vec![], Phase::Head));
}

#[test]
fn what_is_no_http_is_refused_at_once() {
    assert_eq!(refused(b"\x16\x03\x01\x02", LIMITS), Error::NotHttp { byte: 0x16 });
    assert_eq!(refused(b" GET", LIMITS), Error::NotHttp { byte: b' ' });
}

#[test]
fn request_lines() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        "GET /\tHTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET /a\u{7f} HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET *a HTTP/1.1",
        "CONNECT h:1 HTTP/1.1",
        "GET / HTTP/1.1\rx",
        "GET /\0 HTTP/1.1",
    ] {
        assert_status(format!("{line}\r\nHost: h\r\n\r\n").as_bytes(), 400);
    }
    for line in ["GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2"] {
        assert_status(format!("{line}\r\nHost: h\r\n\r\n").as_bytes(), 505);
    }
}

#[test]
fn smuggling_by_length_and_encoding() {
    for value in
        ["+1", "-1", "1 2", "1,1", "", "0x1", "1.", "18446744073709551616", "99999999999999999999999", "\u{661}"]
    {
        assert_status(&head_with(&format!("Content-Length: {value}\r\n")), 400);
    }
    assert_status(&head_with("Content-Length: 1\r\nContent-Length: 1\r\n"), 400);
    assert_status(&head_with("Content-Length: 1\r\ncontent-length: 2\r\n"), 400);
    assert_status(&head_with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400);
    assert_status(&head_with("Transfer-Encoding: gzip\r\nContent-Length: 1\r\n"), 400);
    assert_status(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    for value in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "", "xchunked", "\"chunked\"", "chunked;q=1"]
    {
        assert_status(&head_with(&format!("Transfer-Encoding: {value}\r\n")), 501);
    }
    assert_status(&head_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 501);
    assert_status(&head_with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), 501);
    assert_eq!(bodies(&[&head_with("transfer-encoding: Chunked \r\n")[..], b"0\r\n\r\n"].concat()), [""]);
}

#[test]
fn smuggling_by_lines() {
    for headers in [
        "A: b\n",
        "A: b\n\r\n",
        "\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A : b\r\n",
        "A\r\n",
        ": b\r\n",
        "A: b\0\r\n",
        "A\0: b\r\n",
        "A: b\rc\r\n",
        "A: b\r\r\n",
        "\rA: b\r\n",
        "A: b\u{7f}\r\n",
        "A: \x01\r\n",
        "\u{e9}: b\r\n",
        "Content-Length : 1\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer\x0b-Encoding: chunked\r\n",
        " \r\n",
    ] {
        assert_status(&head_with(headers), 400);
    }
    assert_status(b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400);
    assert_eq!(refused(&head_with("A: b\n"), LIMITS), Error::BareLf { line: 3 });
    assert_eq!(refused(&head_with("A: b\r\n c\r\n"), LIMITS), Error::FoldedHeader { line: 4 });
    assert_eq!(refused(&head_with("\rA: b\r\n"), LIMITS), Error::HeaderName);
}

#[test]
fn smuggling_by_chunks() {
    for body in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "0x1\r\na\r\n",
        "1_0\r\n",
        ";x\r\n",
        "\n",
        "1\na\r\n",
        "1\r\na\n",
        "1\r\nab\r\n",
        "1\r\na\r0",
        "1\r\r\na",
        "1;x\na\r\n",
        "1;x\ry\r\na",
        "1;\0\r\na",
        "1;\x1f\r\na",
        "10000000000000000\r\n",
        "00000000000000001\r\na\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\n x: y\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\nx : y\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx: \0\r\n",
        "0\r\nx: y\r\r\n",
        "0\r\n: y\r\n",
    ] {
        assert_status(&chunked(body.as_bytes()), 400);
    }
}

#[test]
fn hosts() {
    assert_status(b"GET / HTTP/1.1\r\n\r\n", 400);
    assert_status(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    assert_status(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    assert_eq!(bodies(b"GET / HTTP/1.1\r\nHost:\r\n\r\n"), [""]);
    assert_eq!(bodies(b"GET / HTTP/1.1\r\nHost: [::1]:8086\r\n\r\n"), [""]);
    assert_eq!(bodies(b"GET / HTTP/1.0\r\n\r\n"), [""]);
}

#[test]
fn expectations() {
    assert_status(&head_with("Expect: 200-ok\r\n"), 417);
    assert!(only_head(&head_with("Expect: 100-continue\r\n")).expect_continue);
    assert!(!only_head(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
}

#[test]
fn limits_on_the_head() {
    let sized = |bytes: usize| head_with(&format!("A: {}\r\n", "x".repeat(bytes - head_with("A: \r\n").len())));
    assert_eq!(sized(512).len(), 512);
    assert_eq!(bodies(&sized(512)), [""]);
    assert_eq!(refused(&sized(513), LIMITS), Error::HeadTooLarge { bytes_max: 512 });
    assert_eq!(refused(&sized(513)[..510], Limits { head_bytes_max: 509, ..LIMITS }).status().code(), 431);
    assert_eq!(refused(&[b'x'; 513], LIMITS).status().code(), 414);
    assert_status(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(600)).as_bytes(), 414);

    assert_eq!(bodies(&head_with(&"A: b\r\n".repeat(15))), [""]);
    assert_status(&head_with(&"A: b\r\n".repeat(16)), 431);
    let endless = Limits { head_bytes_max: usize::MAX, headers_max: usize::MAX, body_bytes_max: usize::MAX };
    let error = play(&head_with(&"A: b\r\n".repeat(HEADERS_CAPACITY)), &[], endless).0.pop();
    assert_eq!(error, Some(Step::Refused(Error::TooManyHeaders { headers_max: HEADERS_CAPACITY })));
    assert_eq!(play(&head_with(&"A: b\r\n".repeat(HEADERS_CAPACITY - 1)), &[], endless).0.len(), 2);
}

#[test]
fn limits_on_the_body() {
    let full = "x".repeat(100);
    assert_eq!(bodies(format!("POST / HTTP/1.0\r\nContent-Length: 100\r\n\r\n{full}").as_bytes()), [full.as_str()]);
    assert_eq!(bodies(&chunked(format!("63\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", &full[1..]).as_bytes())), [full.as_str()]);
    let error = refused(&chunked(format!("63\r\n{}\r\n2\r\n", &full[1..]).as_bytes()), LIMITS);
    assert_eq!(error, Error::BodyTooLarge { declared: None, bytes_max: 100 });
    assert_status(&chunked(b"ffffffffffffffff\r\n"), 413);

    let mut state = State::new(LIMITS);
    let mut bytes = head_with("Content-Length: 101\r\nX-Request-Id: id\r\n");
    let error = state.advance(&mut bytes).unwrap_err();
    assert_eq!(error, Error::BodyTooLarge { declared: Some(101), bytes_max: 100 });
    assert!(error.to_string().contains("body of 101 bytes is larger than the maximum of 100 bytes"));
    assert_eq!((state.head().path.as_str(), state.head().request_id.as_deref()), ("/write", Some("id")));
    assert_status(&head_with("Content-Length: 18446744073709551615\r\n"), 413);
}

#[test]
fn limits_on_chunk_framing() {
    let extended = |bytes: usize| chunked(format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(bytes - 1)).as_bytes());
    let steps = play(&extended(CHUNK_EXTENSION_BYTES_MAX), &[], LIMITS).0;
    assert_eq!(steps[1], Step::Body(b"a".to_vec()));
    let steps = play(&extended(CHUNK_EXTENSION_BYTES_MAX + 1), &[], LIMITS).0;
    let bytes_max = CHUNK_EXTENSION_BYTES_MAX;
    assert_eq!(steps[1], Step::Refused(Error::ChunkExtensionsTooLong { bytes_max }));
    assert_status(&chunked(format!("0\r\nt: {}\r\n\r\n", "x".repeat(512)).as_bytes()), 431);
}

#[test]
fn an_error_forgets_the_request_before_it() {
    let mut state = State::new(LIMITS);
    let mut first = head_with("X-Request-Id: first\r\n");
    assert_eq!(state.advance(&mut first), Ok(Event::Head));
    assert!(matches!(state.advance(&mut first), Ok(Event::Body { .. })));
    assert_eq!(state.head().request_id.as_deref(), Some("first"));
    assert!(state.advance(&mut b"GET / HTTP/1.1\n".to_vec()).is_err());
    assert_eq!(state.head(), &Head::default());
}

#[test]
fn strings_are_reused() {
    let mut state = State::new(LIMITS);
    let mut full = head_with(
        "Content-Encoding: gzip\r\nAuthorization: a\r\nRequest-Id: r\r\nX-Request-Id: x\r\nOrigin: o\r\n\
         Zap-Trace-Span: z\r\nTraceparent: t\r\nContent-Type: c\r\n",
    );
    let mut bare = head_with("");
    let mut memory = |bytes: &mut Vec<u8>| {
        assert_eq!(state.advance(bytes), Ok(Event::Head));
        let head = state.head();
        let kept = [&head.path, &head.query].map(|text| text.as_ptr());
        let optional =
            [&head.authorization, &head.content_encoding, &head.content_type, &head.origin, &head.request_id];
        let mut all: Vec<_> = optional.into_iter().flatten().map(|text| text.as_ptr()).chain(kept).collect();
        all.extend([&head.traceparent, &head.zap_trace_span].into_iter().flatten().map(|text| text.as_ptr()));
        all.sort();
        assert!(matches!(state.advance(bytes), Ok(Event::Body { .. })));
        all
    };
    // The first rounds give every String the little memory that it needs.
    (0..10).for_each(|_| drop(memory(&mut full)));
    let before = memory(&mut full);
    assert!(memory(&mut bare).iter().all(|text| before.contains(text)));
    assert_eq!(memory(&mut full), before);
}

const EXCHANGE: Exchange<'static> = Exchange {
    minor_version: 1,
    keep_alive: true,
    head_only: false,
    version_header: "1.8.10-ringest-0.1.0",
    request_id: "id",
    trace_id: "",
    origin: "",
};

fn written(response: &Response, exchange: Exchange<'_>) -> String {
    let mut out = b"before;".to_vec();
    response.write_to(&mut out, exchange);
    String::from_utf8(out).unwrap().strip_prefix("before;").unwrap().to_owned()
}

#[test]
fn answers_without_a_body() {
    let common =
        "X-Influxdb-Build: OSS\r\nX-Influxdb-Version: 1.8.10-ringest-0.1.0\r\nRequest-Id: id\r\nX-Request-Id: id\r\n";
    let response = Response::empty(Status::NoContent);
    assert_eq!(written(&response, EXCHANGE), format!("HTTP/1.1 204 No Content\r\n{common}\r\n"));
    let closing = Exchange { keep_alive: false, ..EXCHANGE };
    assert_eq!(written(&response, closing), format!("HTTP/1.1 204 No Content\r\n{common}Connection: close\r\n\r\n"));
    let old = Exchange { minor_version: 0, ..EXCHANGE };
    assert_eq!(written(&response, old), format!("HTTP/1.1 204 No Content\r\n{common}Connection: keep-alive\r\n\r\n"));
    assert_eq!(written(&Response::empty(Status::Continue), EXCHANGE), "HTTP/1.1 100 Continue\r\n\r\n");
    let empty = Response { close: true, ..Response::empty(Status::Ok) };
    let tail = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(written(&empty, old), format!("HTTP/1.1 200 OK\r\n{common}{tail}"));
}

#[test]
fn an_answer_tells_for_whom_it_was_written() {
    let bodies = Response { body: b"\r\nOrigin: x\r\n\r\n".to_vec(), ..Response::empty(Status::BadRequest) };
    for response in [Response::empty(Status::NoContent), bodies] {
        for (minor_version, keep_alive) in [(0, true), (1, true), (1, false)] {
            for origin in ["", "https://page.example"] {
                let trace_id = if response.status.is_error() { "1a" } else { "" };
                let exchange = Exchange { minor_version, keep_alive, origin, trace_id, ..EXCHANGE };
                let mut out = Vec::new();
                response.write_to(&mut out, exchange);
                let mut again = Vec::new();
                response.write_to(&mut again, Exchange::of(&out));
                assert_eq!(out.escape_ascii().to_string(), again.escape_ascii().to_string());
            }
        }
    }
}

#[test]
fn answers_with_a_body() {
    let response = Response {
        status: Status::ServiceUnavailable,
        content_type: Some("application/json; charset=utf-8"),
        headers: vec![("Retry-After", "3".to_owned()), ("X-Influxdb-Error", "a\r\nSet-Cookie: b\0\u{e9}".to_owned())],
        body: b"{\"code\":\"x\"}".to_vec(),
        close: false,
    };
    let head = "HTTP/1.1 503 Service Unavailable\r\nX-Influxdb-Build: OSS\r\nX-Influxdb-Version: 1.8.10-ringest-0.1.0\r\n\
                Request-Id: xyz\r\nX-Request-Id: xyz\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 3\r\n\
                X-Influxdb-Error: aSet-Cookie: b\u{e9}\r\nContent-Length: 12\r\n\r\n";
    let exchange = Exchange { request_id: "x\ny\rz", ..EXCHANGE };
    assert_eq!(written(&response, exchange), format!("{head}{{\"code\":\"x\"}}"));
    assert_eq!(written(&response, Exchange { head_only: true, ..exchange }), head);
    let long = Response { body: vec![b'x'; 12_345], ..Response::empty(Status::Ok) };
    assert!(written(&long, EXCHANGE).contains("\r\nContent-Length: 12345\r\n"));
}

#[test]
fn status_lines() {
    for status in Status::ALL {
        let line = written(&Response::empty(status), EXCHANGE).lines().next().unwrap().to_owned();
        assert_eq!(line, format!("HTTP/1.1 {} {}", status.code(), status.reason()));
    }
    assert_eq!(Status::RequestHeaderFieldsTooLarge.reason(), "Request Header Fields Too Large");
}
