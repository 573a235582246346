//! How many connections a node takes, what one costs, and what ends it.

use std::time::{Duration, Instant};

use crate::answers::expect_row;
use crate::node::{Client, LINE, Node, PATIENCE};
use crate::server_requests::answer_while_sending;

#[track_caller]
fn assert_turned_away(client: &mut Client) {
    let answer = client.answer();
    expect_row("`max-connections` are open", &answer);
    assert!(answer.header("Retry-After").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(answer.header("X-Request-Id").unwrap().len(), 36);
    assert!(answer.json()["message"].as_str().unwrap().contains("max-connections"), "{answer:?}");
}

const DAY_NS: i64 = 86_400_000_000_000;

#[test]
fn one_connection_too_many_is_told_so() {
    let mut node = Node::start(&["--max-connections", "3", "--shards", "2"]);
    let mut clients = node.served(3);
    // Whether it has said anything yet or not.
    let mut silent = node.connect();
    assert_turned_away(&mut silent);
    silent.expect_end();
    let mut client = node.connect();
    client.request("POST", "/write?db=d", LINE.as_bytes());
    assert_turned_away(&mut client);
    node.wait_for_log("turned away");
    // Those that are there are served on, and a place that is left is free again.
    for client in &mut clients {
        client.request("POST", "/write?db=d", LINE.as_bytes());
        assert_eq!(client.answer().status, 204);
    }
    clients.pop();
    let give_up = Instant::now() + PATIENCE;
    loop {
        let mut client = node.connect();
        client.request("GET", "/metrics", b"");
        let answer = client.answer();
        if answer.status == 200 {
            assert!(answer.text().contains("ringest_connections 3\n"), "{}", answer.text());
            assert!(!answer.text().contains("ringest_connections_refused_total 0\n"));
            client.request("GET", "/ping", b"");
            assert_eq!(client.answer().status, 204);
            break;
        }
        assert!(Instant::now() < give_up, "{answer:?}");
    }
}

#[test]
fn who_is_only_waited_for_takes_no_place_of_the_next_one() {
    let node = Node::start(&["--max-connections", "1", "--shards", "1"]);
    let mut refused = 0;
    // Each client keeps its side open, as those do that never look at how the other ends.
    let clients: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = node.connect();
            client.send("GET /ping HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
            refused += usize::from(client.answer().status != 204);
            client
        })
        .collect();
    assert!(refused < 5, "{refused} of {} were turned away", clients.len());
}

#[test]
fn a_body_that_comes_to_a_full_node_is_answered_not_reset() {
    let node = Node::start(&["--max-connections", "1", "--shards", "1"]);
    let served = node.served(1);
    let head = "POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 20000000\r\n\r\n";
    assert_eq!(answer_while_sending(node.connect(), head, 20_000_000), 503);
    drop(served);
}

#[test]
fn a_crowd_at_the_door_costs_those_inside_nothing() {
    let node = Node::start(&["--max-connections", "2", "--shards", "1"]);
    let mut clients = node.served(2);
    // More than are told so; the others find their connection closed.
    let crowd: Vec<Client> = (0..600).map(|_| node.connect()).collect();
    for client in &mut clients {
        client.request("POST", "/write?db=d", LINE.as_bytes());
        assert_eq!(client.answer().status, 204);
    }
    let told = crowd.into_iter().filter_map(|mut client| client.receive().ok().filter(|bytes| *bytes > 0)).count();
    assert!((1..=600).contains(&told), "{told}");
    node.stop();
}

/// With 128 open files, connections leave enough of them for the log and the lake.
#[test]
fn a_crowd_at_the_door_takes_no_file_from_the_lake() {
    let mut node = Node::start_under("--nofile=128", &["--shards", "2", "--wal-size-limit", "64MiB"]);
    let told = node.wait_for_log("fewer connections than max-connections");
    assert!(told.contains("\"taken\":48,\"turned_away\":16,\"open_files_max\":128"), "{told}");
    let mut clients = node.served(40);
    let crowd: Vec<Client> = (0..300).map(|_| node.connect()).collect();
    let text = "some text ".repeat(1_000);
    for round in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            let lines: String =
                (0..10).map(|day| format!("m{day},c=c{number} f=\"{text}\" {}\n", (day + round) * DAY_NS)).collect();
            client.request("POST", "/write?db=d", lines.as_bytes());
            assert_eq!(client.answer().status, 204);
        }
        clients[0].request("POST", "/api/flush", b"");
        let answer = clients[0].answer();
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    drop(crowd);
    node.signal("TERM");
    assert!(node.wait().success());
    node.wait_for_log("everything is published");
    let faults = node.seen.iter().filter(|line| line.contains("open files (os error"));
    assert_eq!(faults.count(), 0, "{:#?}", node.seen);
}

#[test]
fn a_write_that_does_not_say_where_it_ends_is_411() {
    let node = Node::start(&[]);
    for target in ["/write?db=d", "/api/v2/write?bucket=b"] {
        for version in ["1.0", "1.1"] {
            let mut client = node.connect();
            client.send(format!("POST {target} HTTP/{version}\r\nHost: node\r\n\r\n{LINE}"));
            let answer = client.answer();
            expect_row("has neither `Content-Length`", &answer);
            assert!(answer.json()["message"].as_str().unwrap().contains("Content-Length"), "{answer:?}");
            client.expect_end();
        }
    }
    // What has no body needs no length, and an empty one is a write of nothing.
    let mut client = node.connect();
    client.send("POST /api/flush HTTP/1.1\r\nHost: node\r\n\r\n");
    assert_eq!(client.answer().status, 204);
    client.send("POST /write HTTP/1.1\r\nHost: node\r\n\r\n");
    assert_eq!(client.answer().status, 400, "what is wrong with the URL comes first");
    client.request("POST", "/write?db=d", b"");
    assert_eq!(client.answer().status, 204);
    assert_eq!(node.metric("ringest_points_total"), 0.0);
}

#[test]
fn refusals_reach_clients_that_are_still_sending() {
    let node = Node::start(&["--max-body-size", "1000000"]);
    for (line, headers, bytes, status) in [
        ("POST /write?db=d HTTP/1.1", "Content-Length: 100000000", 100_000_000, 413),
        ("POST /write?db=d HTTP/1.0", "Content-Length: 30000000", 30_000_000, 413),
        ("POST /write?db=d HTTP/1.1", "Content-Length: 30000000\r\nConnection: close", 30_000_000, 413),
        ("POST /write HTTP/1.1", "Content-Length: 30000000", 30_000_000, 400),
        ("POST /nowhere HTTP/1.1", "Content-Length: 30000000", 30_000_000, 404),
        ("PUT /write?db=d HTTP/1.1", "Content-Length: 30000000", 30_000_000, 405),
        ("POST /write?db=d HTTP/1.0", "Connection: close", 30_000_000, 411),
        ("POST /write?db=d HTTP/1.1", "Content-Length: 30000000\r\nContent-Encoding: br", 30_000_000, 415),
        ("POST /write?db=d HTTP/1.1", "Content-Length: 30000000\r\nExpect: magic", 30_000_000, 417),
        ("POST /write?db=d HTTP/1.1", "Transfer-Encoding: gzip", 30_000_000, 501),
    ] {
        let head = format!("{line}\r\nHost: node\r\n{headers}\r\n\r\n");
        assert_eq!(answer_while_sending(node.connect(), &head, bytes), status, "{head}");
    }
}

/// What one server reads as two requests and another as one is refused, and nothing behind it is answered.
#[test]
fn smuggled_requests_are_refused_and_the_connection_closed() {
    let node = Node::start(&[]);
    let smuggled = "POST /write?db=smuggled HTTP/1.1\r\nHost: node\r\nContent-Length: 8\r\n\r\nm f=1 1\n";
    for (headers, body, status) in [
        ("Content-Length: 0\r\nContent-Length: 0", "", 400),
        ("Content-Length: 0\r\nContent-Length: 90", "", 400),
        ("Content-Length: 0, 0", "", 400),
        ("Content-Length: +0", "", 400),
        ("Content-Length: -0", "", 400),
        ("Content-Length: 0x0", "", 400),
        ("Content-Length:", "", 400),
        ("Content-Length : 0", "", 400),
        ("Content-Length: 18446744073709551616", "", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n", 501),
        ("Transfer-Encoding: identity, chunked", "0\r\n\r\n", 501),
        ("Transfer-Encoding: xchunked", "0\r\n\r\n", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 501),
        ("Transfer-Encoding:\x0bchunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "+0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "-0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "0x0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", " 0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "0\n\n", 400),
        ("Transfer-Encoding: chunked", "00000000000000000\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "1\r\n#\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "1\r\n##\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "0;\0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "0\r\n folded: x\r\n\r\n", 400),
        ("X-Long: a\r\n b\r\nContent-Length: 0", "", 400),
        ("X-Nul: a\0b\r\nContent-Length: 0", "", 400),
        ("X-Bare: a\nContent-Length: 0", "", 400),
        ("X-Return: a\rContent-Length: 0", "", 400),
        ("Host: other\r\nContent-Length: 0", "", 400),
    ] {
        let request = format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\n{headers}\r\n\r\n{body}");
        let mut client = node.connect();
        client.send(format!("{request}{smuggled}"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")), "{request:?}: {answer:?}");
        client.expect_end();
    }
    assert_eq!(node.metric("ringest_points_total"), 0.0);
}

/// Requests of about the sizes of the receive buffers, two in a row, cut anywhere.
#[test]
fn requests_arrive_whole_however_they_are_cut() {
    let node = Node::start(&["--shards", "1"]);
    let mut client = node.connect();
    let mut points = 0.0;
    for size in [1_900, 1_983, 1_984, 1_985, 2_047, 2_048, 2_049, 4_000, 16_383, 16_384, 16_385, 20_000] {
        let head = |bytes| format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: {bytes:<6}\r\n\r\n");
        let body_bytes = size - head(0).len();
        let body = format!("{LINE}{}", "#".repeat(body_bytes - LINE.len()));
        let request = format!("{}{body}", head(body_bytes));
        assert_eq!(request.len(), size);
        let both = request.repeat(2);
        for cut in [1, 60, 1_983, 1_984, 1_985, size - 1, size, size + 1, size + 1_984, 2 * size - 1] {
            let cut = cut.min(both.len());
            client.send(&both[..cut]);
            // The first piece is read before the second is there.
            std::thread::sleep(Duration::from_millis(3));
            client.send(&both[cut..]);
            assert_eq!((client.answer().status, client.answer().status), (204, 204), "{size} bytes cut at {cut}");
            points += 2.0;
        }
    }
    assert_eq!(node.metric("ringest_points_total"), points);
}

/// What a request needed goes back when the connection is idle again, however large it was.
#[test]
fn idle_connections_hold_little_whatever_they_have_done() {
    const CLIENTS: u32 = 2_000;
    let node = Node::start(&["--shards", "2", "--memory-limit", "192MiB", "--max-body-size", "1MiB"]);
    crate::server_life::raise_descriptor_limit();
    let long = format!("X-Request-Id: {}\r\nAuthorization: {}\r\n", "i".repeat(9_000), "a".repeat(9_000));
    let large = LINE.repeat(1_500);
    let small = LINE.repeat(150);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 4 {
            0 => client.request("POST", "/write?db=d", large.as_bytes()),
            1 => client.request("POST", "/write?db=d", small.as_bytes()),
            2 => client.request("GET", "/metrics", b""),
            _ => client.request_with("GET", "/ping", &long, b""),
        }
        assert!(client.answer().status < 300);
    }
    let bodies = node.metric("ringest_memory_bytes{consumer=\"bodies\"}");
    // 2 KiB each, and a few MiB for connections that stay ready for more and for free buffers.
    assert!(bodies < f64::from(CLIENTS * 2_048 + (12 << 20)), "{bodies} bytes");
    node.stop();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.gzip_compress_bound(text.len())];
    let bytes = compressor.gzip_compress(text.as_bytes(), &mut out).unwrap();
    out.truncate(bytes);
    out
}

/// Every byte of the budget is taken by bodies that are awaited: what is small is served, what is not gets its own 503.
#[test]
fn a_node_without_memory_still_answers() {
    let node = Node::start(&["--shards", "1", "--memory-limit", "192MiB", "--max-body-size", "16MiB"]);
    let mut waiting = Vec::new();
    for bytes in [16_000_000, 8_000_000, 4_000_000, 2_000_000, 1_000_000, 250_000, 60_000, 15_000] {
        for _ in 0..8 {
            let mut client = node.connect();
            client.send(format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: {bytes}\r\n\r\n"));
            waiting.push(client);
        }
    }
    // So long they wait for memory before they are refused.
    std::thread::sleep(Duration::from_millis(2_500));
    let mut client = node.connect();
    client.send("GET /health HTTP/1.1\r\nHost: node\r\nX-Request-Id: first\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send(format!("GET /ping HTTP/1.1\r\nHost: node\r\nX-Long: {}", "x".repeat(3_000)));
    let answer = client.answer();
    expect_row("no memory for two seconds to receive", &answer);
    assert_eq!(answer.header("X-Request-Id").map(str::len), Some(36), "not that of the request before: {answer:?}");
    // A request that is there, but not what it brings: its connection goes on.
    let mut client = node.connect();
    client.request_with("POST", "/write?db=d", "Content-Encoding: gzip\r\n", &gzip(&"m f=1 1\n".repeat(100_000)));
    expect_row("no memory for two seconds for what", &client.answer());
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 204);
    drop(waiting);
    let give_up = Instant::now() + PATIENCE;
    while node.write("d", &LINE.repeat(200)).status != 204 {
        assert!(Instant::now() < give_up, "memory does not come back");
    }
}
