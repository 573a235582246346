//! Slow and silent clients, at deadlines short enough to wait for.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::answers::expect_row;
use crate::node::{Answer, Client, LINE, Node, PATIENCE};

const STEP: Duration = Duration::from_millis(100);

/// A node that waits a second for a request.
fn impatient(more: &[&str]) -> Node {
    Node::start(&[&["--request-timeout", "1s"], more].concat())
}

/// Sends `piece` each step until the node has answered; the answer, and how long it took. At most until patience ends.
fn trickle(client: &mut Client, piece: &[u8]) -> (Answer, Duration) {
    client.stream.set_read_timeout(Some(STEP)).unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        // It fails once the node has closed.
        let _ = client.stream.write_all(piece);
        if client.receive().is_ok() {
            client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return (client.answer(), began.elapsed());
        }
    }
    panic!("no answer within {PATIENCE:?}");
}

#[track_caller]
fn assert_timeout(answer: &Answer) {
    expect_row("did not arrive in time", answer);
    let message = answer.json()["message"].to_string();
    assert!(message.contains("request-timeout") && message.contains("min-body-rate"), "{message}");
}

#[track_caller]
fn assert_between(time: Duration, least: f64, most: f64) {
    assert!((least..most).contains(&time.as_secs_f64()), "{time:?}");
}

#[test]
fn a_head_that_does_not_end_is_answered_with_408() {
    let node = impatient(&[]);
    let mut silent = node.connect();
    silent.send("GET /ping HTTP/1.1\r\nHost: no");
    let began = Instant::now();
    assert_timeout(&silent.answer());
    assert_between(began.elapsed(), 0.7, 8.0);
    silent.expect_end();
    // A byte now and then does not prolong it.
    let mut slow = node.connect();
    slow.send("GET /ping HTTP/1.1\r\nX-Long: ");
    let (answer, time) = trickle(&mut slow, b"x");
    assert_timeout(&answer);
    assert_between(time, 0.7, 8.0);
}

#[test]
fn a_timeout_is_not_answered_as_the_request_before_it() {
    let node = impatient(&[]);
    let mut client = node.connect();
    client.send("GET /ping HTTP/1.1\r\nHost: node\r\nX-Request-Id: first\r\n\r\n");
    assert_eq!(client.answer().header("X-Request-Id"), Some("first"));
    client.send("GET /pi");
    let answer = client.answer();
    assert_timeout(&answer);
    assert_eq!(answer.header("X-Request-Id").map(str::len), Some(36), "an id of its own: {answer:?}");
    client.expect_end();
    // Nor is its body withheld because that one wanted none.
    let mut client = node.connect();
    client.send("HEAD /ping HTTP/1.1\r\nHost: node\r\n\r\nGET /pi");
    assert_eq!(client.answer().status, 204);
    assert_timeout(&client.answer());
    // One whose head was complete keeps its id.
    let mut client = node.connect();
    client.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 9\r\nX-Request-Id: mine\r\n\r\nhalf");
    let answer = client.answer();
    assert_timeout(&answer);
    assert_eq!(answer.header("X-Request-Id"), Some("mine"));
}

#[test]
fn a_body_that_pauses_too_long_is_answered_with_408() {
    let node = impatient(&["--min-body-rate", "1"]);
    for head in ["Content-Length: 2000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1e8480\r\n"] {
        let mut client = node.connect();
        client.send(format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\n{head}"));
        // At this rate it has earned eleven days, but no pause of them.
        client.send("#".repeat(1_000_000));
        let began = Instant::now();
        assert_timeout(&client.answer());
        assert_between(began.elapsed(), 0.7, 8.0);
    }
    assert_eq!(node.metric("ringest_requests_total{status=\"408\"}"), 2.0);
}

#[test]
fn a_body_below_the_rate_is_answered_with_408() {
    let node = impatient(&["--min-body-rate", "100KiB"]);
    let piece = [b'#'; 3 << 10];
    let mut client = node.connect();
    client.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 9000000\r\n\r\n");
    let (answer, time) = trickle(&mut client, &piece);
    assert_timeout(&answer);
    // 30 KiB/s or less of 100: the second in advance lasts 1.4 s at most.
    assert_between(time, 0.7, 8.0);
    // Framing earns no more than anything else: a chunk for each byte.
    let mut client = node.connect();
    client.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (answer, time) = trickle(&mut client, b"1\r\n#\r\n");
    assert_timeout(&answer);
    assert_between(time, 0.7, 8.0);
}

#[test]
fn a_body_above_the_rate_may_take_its_time() {
    let node = Node::start(&["--request-timeout", "2s", "--min-body-rate", "1KiB"]);
    let body = LINE.repeat(400);
    let mut client = node.connect();
    client.send(format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: {}\r\n\r\n", body.len()));
    let began = Instant::now();
    for piece in body.as_bytes().chunks(1_000) {
        client.send(piece);
        std::thread::sleep(STEP * 2);
    }
    assert_eq!(client.answer().status, 204);
    assert!(began.elapsed() > Duration::from_secs(4), "longer than a request may be silent, {:?}", began.elapsed());
}

#[test]
fn the_timeout_reaches_a_client_that_is_still_sending() {
    let node = impatient(&["--min-body-rate", "1MiB"]);
    let mut client = node.connect();
    client.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 9000000\r\n\r\n");
    let began = Instant::now();
    // It reads nothing before it has sent for a while, or can send no more.
    while began.elapsed() < Duration::from_secs(2) && client.stream.write_all(b"####").is_ok() {
        std::thread::sleep(STEP);
    }
    assert_timeout(&client.answer());
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let node = Node::start(&["--idle-timeout", "1s"]);
    let mut fresh = node.connect();
    let mut used = node.connect();
    used.request("POST", "/write?db=d", LINE.as_bytes());
    assert_eq!(used.answer().status, 204);
    let began = Instant::now();
    used.expect_end();
    assert_between(began.elapsed(), 0.7, 8.0);
    fresh.expect_end();
    // The empty line that may stand before a request is none.
    let mut blank = node.connect();
    blank.send("\r\n");
    blank.expect_end();
}

#[test]
fn a_connection_in_use_is_not_idle() {
    let node = Node::start(&["--idle-timeout", "2s"]);
    let mut client = node.connect();
    for _ in 0..12 {
        std::thread::sleep(STEP * 3);
        client.request("GET", "/ping", b"");
        assert_eq!(client.answer().status, 204);
    }
}

#[test]
fn a_client_that_takes_no_answers_is_cut() {
    let node = impatient(&[]);
    let mut client = node.connect();
    client.stream.set_write_timeout(Some(STEP)).unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n".repeat(1_000);
    // Until the answers fill what both systems hold for them, and nothing can be sent any more.
    let began = Instant::now();
    while client.stream.write_all(requests.as_bytes()).is_ok() {
        assert!(began.elapsed() < PATIENCE, "the node takes requests without end whose answers nobody reads");
    }
    let give_up = Instant::now() + PATIENCE;
    while node.metric("ringest_connections") > 1.0 {
        assert!(Instant::now() < give_up, "the connection stays");
        std::thread::sleep(STEP);
    }
    drop(client);
}

#[test]
fn a_refused_client_is_not_listened_to_for_ever() {
    let node = impatient(&[]);
    let mut client = node.connect();
    client.send("POST /nowhere HTTP/1.1\r\nHost: node\r\nContent-Length: 1000000000000\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    // Fast enough for every other limit.
    let piece = [b'#'; 64 << 10];
    let began = Instant::now();
    while client.stream.write_all(&piece).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is listened to without end");
        std::thread::sleep(STEP / 10);
    }
    assert_between(began.elapsed(), 0.7, 8.0);
}
