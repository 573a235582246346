//! Requests as clients send them, well and badly.

use std::io::Write;
use std::time::Duration;

use crate::node::{Client, LINE, Node, write_request};

fn is_alive(node: &Node) -> bool {
    node.request("GET", "/ping", b"").status == 204
}

#[test]
fn a_connection_serves_many_requests() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    for _ in 0..100 {
        client.request("POST", "/write?db=d", LINE.as_bytes());
        assert_eq!(client.answer().status, 204);
        client.request("GET", "/ping", b"");
        let answer = client.answer();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("Connection"), None);
    }
}

#[test]
fn connection_close_is_honoured() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send("GET /ping HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("close"));
    client.expect_end();
    let mut old = node.connect();
    old.send("GET /ping HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().status, 204);
    old.expect_end();
}

/// What stands behind a request that ends its connection is thrown away, and does not cost the client its answer.
#[test]
fn bytes_behind_the_last_request_reset_nothing() {
    let node = Node::start(&[]);
    let stray = vec![b'x'; 1 << 20];
    for number in 0..30 {
        let (version, header) = [("1.0", ""), ("1.1", "Connection: close\r\n")][number % 2];
        let head =
            format!("POST /write?db=d HTTP/{version}\r\nHost: node\r\n{header}Content-Length: {}\r\n\r\n", LINE.len());
        let mut client = node.connect();
        client.send([head.as_bytes(), LINE.as_bytes(), &stray].concat());
        assert_eq!(client.answer().status, 204);
        // A reset would be an error here.
        client.expect_end();
    }
}

#[test]
fn every_answer_names_its_request() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send("GET /ping HTTP/1.1\r\nHost: node\r\nX-Request-Id: my-own\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.header("X-Request-Id"), Some("my-own"));
    assert_eq!(answer.header("Request-Id"), Some("my-own"));
    client.request("GET", "/ping", b"");
    let first = client.answer().header("X-Request-Id").unwrap().to_owned();
    client.request("GET", "/nowhere", b"");
    let answer = client.answer();
    assert_eq!(answer.status, 404);
    let second = answer.header("X-Request-Id").unwrap();
    assert_eq!((first.len(), second.len()), (36, 36));
    assert_ne!(first, second);
    // What would not fit into a log line is no name.
    for id in ["x".repeat(129), "\u{e9}".into()] {
        client.request_with("GET", "/ping", &format!("X-Request-Id: {id}\r\nRequest-Id: {id}\r\n"), b"");
        let own = client.answer().header("X-Request-Id").unwrap().to_owned();
        assert!(own.len() == 36 && own.starts_with(|first: char| first.is_ascii_hexdigit()), "{own}");
    }
}

#[test]
fn health_has_the_members_of_influxdb() {
    let node = Node::start(&[]);
    let health = node.request("GET", "/health", b"").json();
    for (member, value) in [
        ("name", "influxdb"),
        ("message", "ready for queries and writes"),
        ("status", "pass"),
        // Of the build that made the node, and this test.
        ("commit", option_env!("RINGEST_COMMIT").unwrap_or_default()),
    ] {
        assert_eq!(health[member], value, "{member} in {health}");
    }
    assert!(health["version"].as_str().is_some_and(|version| version.starts_with("1.8")), "{health}");
    assert_eq!(health["checks"], serde_json::json!([]));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let mut requests = String::new();
    for number in 0..300 {
        let id = format!("X-Request-Id: {number}\r\n");
        match number % 3 {
            0 => requests += &write_request(LINE).replacen("\r\n\r\n", &format!("\r\n{id}\r\n"), 1),
            1 => requests += &format!("GET /ping HTTP/1.1\r\nHost: node\r\n{id}\r\n"),
            _ => requests += &format!("POST /write HTTP/1.1\r\nHost: node\r\nContent-Length: 3\r\n{id}\r\nabc"),
        }
    }
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(requests.as_bytes()).unwrap());
    for number in 0..300 {
        let answer = client.answer();
        assert_eq!(answer.header("X-Request-Id"), Some(&*number.to_string()));
        assert_eq!(answer.status, if number % 3 == 2 { 400 } else { 204 }, "{answer:?}");
    }
    sending.join().unwrap();
}

#[test]
fn a_flush_in_a_pipeline_keeps_the_order() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let flush = "POST /api/flush HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n";
    client.send([write_request(LINE), flush.into(), write_request("bad"), flush.into()].concat());
    assert_eq!(client.answer().status, 204);
    assert!(matches!(client.answer().status, 200..300));
    assert_eq!(client.answer().status, 400);
    assert!(matches!(client.answer().status, 200..300));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    for byte in write_request(LINE).as_bytes() {
        client.send([*byte]);
        std::thread::sleep(Duration::from_micros(500));
    }
    assert_eq!(client.answer().status, 204);
    let chunked = format!(
        "POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        LINE.len() - 1,
        &LINE[1..]
    );
    for byte in chunked.as_bytes() {
        client.send([*byte]);
        std::thread::sleep(Duration::from_micros(500));
    }
    assert_eq!(client.answer().status, 204);
}

#[test]
fn bodies_of_every_size_class_arrive_whole() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let points = client.write_bodies(&[1, 10, 300, 1_000, 5_000, 20_000, 80_000, 200_000]);
    assert_eq!(node.metric("ringest_points_total"), points);
}

#[test]
fn expect_continue_gets_its_go_ahead() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let expect = "\r\nExpect: 100-continue\r\n\r\n";
    let (head, body) = (write_request(LINE).replacen("\r\n\r\n", expect, 1), LINE);
    client.send(head.strip_suffix(body).unwrap());
    assert_eq!(client.answer().status, 100);
    client.send(body);
    assert_eq!(client.answer().status, 204);
}

#[test]
fn expect_continue_is_refused_before_the_body() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send("POST /write HTTP/1.1\r\nHost: node\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (400, Some("close")));
    client.expect_end();
}

#[test]
fn a_cut_connection_writes_nothing() {
    let node = Node::start(&[]);
    for kept in [1, 40, write_request(LINE).len() - 1] {
        let mut client = node.connect();
        client.send(&write_request(LINE).as_bytes()[..kept]);
        drop(client);
        let mut half_closed = node.connect();
        half_closed.send(&write_request(LINE).as_bytes()[..kept]);
        half_closed.close_sending();
        half_closed.expect_end();
    }
    assert!(is_alive(&node));
    assert_eq!(node.metric("ringest_points_total"), 0.0);
}

#[test]
fn a_client_that_stops_sending_still_gets_its_answer() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send(write_request(LINE));
    client.close_sending();
    assert_eq!(client.answer().status, 204);
    client.expect_end();
}

/// Sends `bytes` from another thread while the answer is awaited, as a client does that reads late; sending may fail once the node
/// has closed, but the answer must be there.
pub fn answer_while_sending(mut client: Client, head: &str, bytes: usize) -> u16 {
    client.send(head);
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let piece = vec![b'x'; 64 << 10];
        let mut left = bytes;
        while left > 0 && sender.write_all(&piece[..left.min(piece.len())]).is_ok() {
            left -= left.min(piece.len());
        }
        left
    });
    let left = sending.join().unwrap();
    assert_eq!(left, 0, "everything could be sent");
    client.answer().status
}

#[test]
fn a_body_over_the_limit_is_answered_not_reset() {
    let node = Node::start(&["--max-body-size", "1000000"]);
    let length = "POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 30000000\r\n\r\n";
    assert_eq!(answer_while_sending(node.connect(), length, 30_000_000), 413);
    let chunked = "POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n1c9c380\r\n";
    assert_eq!(answer_while_sending(node.connect(), chunked, 30_000_000), 413);
    assert!(is_alive(&node));
}

#[test]
fn an_unwanted_large_body_is_answered_not_reset() {
    let node = Node::start(&[]);
    let head = "POST /nowhere HTTP/1.1\r\nHost: node\r\nContent-Length: 20000000\r\n\r\n";
    assert_eq!(answer_while_sending(node.connect(), head, 20_000_000), 404);
}

#[test]
fn an_unwanted_small_body_does_not_cost_the_connection() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.request("POST", "/nowhere", b"some bytes");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (404, None));
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 204);
}

#[test]
fn what_is_not_http_is_told_so() {
    let node = Node::start(&[]);
    for (bytes, status) in [
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("GET /ping HTTP/1.1\r\n\r\n", 400),
        ("GET /ping HTTP/1.1\r\nHost: node\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        ("GET /ping HTTP/2.0\r\nHost: node\r\n\r\n", 505),
    ] {
        let mut client = node.connect();
        client.send(bytes);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")), "{bytes:?}");
        client.expect_end();
    }
    let mut client = node.connect();
    client.send("GET /ping HTTP/1.1\r\nHost: node\r\n");
    client.send(format!("X-Long: {}\r\n\r\n", "x".repeat(100_000)));
    assert_eq!(client.answer().status, 431);
    assert!(is_alive(&node));
}

#[test]
fn a_head_request_gets_no_body() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send(
        "HEAD /nowhere HTTP/1.1\r\nHost: node\r\n\r\nGET /ping HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n",
    );
    while client.receive().unwrap() > 0 {}
    let text = client.take_text();
    assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
    assert!(text.split("\r\n\r\n").nth(1).unwrap().starts_with("HTTP/1.1 204"), "{text}");
}
