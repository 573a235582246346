//! `ringest load`: what it sends, how it counts, and what it says of a server that refuses, stalls or hangs up.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::node::{Node, ringest};

fn load(url: &str, args: &[&str]) -> Command {
    let mut command = ringest("load");
    command.args(["--url", url]).args(args);
    command
}

/// The report of a run that ends well.
fn report(url: &str, args: &[&str]) -> Value {
    let output = load(url, args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_line_that_is_counted_is_stored_once() {
    let node = Node::start(&["--shards", "2"]);
    for (db, args) in [
        ("plain", &["--lines", "3000", "--batch", "70"][..]),
        ("gzip", &["--lines", "3000", "--batch", "500", "--gzip"]),
        ("pipelined", &["--lines", "3000", "--batch", "1", "--pipeline", "9"]),
        // Far more lines than are prepared: their times move on.
        ("again", &["--lines", "3000", "--batch", "10", "--prepared", "20KB"]),
    ] {
        let args = [&["cpu", "--db", db, "--hosts", "17", "--flush"][..], args].concat();
        let report = report(&node.url(), &args);
        let rows = node.lake().rows(db, "cpu").len();
        assert_eq!(
            (rows as u64, report["repeated"].as_bool()),
            (report["lines"].as_u64().unwrap(), Some(false)),
            "{db}: {report}"
        );
        assert!((3000..3070).contains(&rows), "{db}: {rows}");
        assert_eq!(report["statuses"], serde_json::json!({"204": report["requests"]}));
        let of_seconds: u64 =
            report["timeline"].as_array().unwrap().iter().filter_map(|second| second["lines"].as_u64()).sum();
        assert_eq!(of_seconds, rows as u64);
    }
}

#[test]
fn an_open_loop_sends_at_its_rate_and_tells_what_the_server_used() {
    let node = Node::start(&[]);
    let pid = node.pid().to_string();
    let rate =
        ["telegraf", "--rate", "2000", "--duration", "1500ms", "--batch", "20", "--connections", "3", "--pid", &pid];
    let report = report(&node.url(), &rate);
    let (lines, seconds) = (report["lines"].as_f64().unwrap(), report["seconds"].as_f64().unwrap());
    // 100 requests a second are due, whether the disk lets them be answered in time or not.
    let due = lines / 20.0 + report["unsent"].as_f64().unwrap();
    assert!((148.0..=152.0).contains(&due) && lines > 0.0 && seconds >= 1.49, "{report}");
    assert!(report["server"]["peak_resident_bytes"].as_u64().unwrap() > 1 << 20, "{report}");
    assert!(report["server"]["cpu_seconds"].is_number());
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // Answers each request after 50 ms, one at a time: 20 a second, where 100 are due.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut input = [0; 4096];
                while stream.read(&mut input).is_ok_and(|read| read > 0) {
                    std::thread::sleep(Duration::from_millis(50));
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
                }
            });
        }
    });
    let one = ["cpu", "--connections", "1", "--batch", "1", "--duration", "1s"];
    let closed = report(&url, &one);
    let open = report(&url, &[&one[..], &["--rate", "100"]].concat());
    let p99 = |report: &Value| report["latency_ms"]["p99"].as_f64().unwrap();
    assert!(p99(&closed) < 400.0, "{closed}");
    assert!(p99(&open) > 500.0, "the wait before it was sent is the server's too: {open}");
    let (requests, unsent) = (open["requests"].as_u64().unwrap(), open["unsent"].as_u64().unwrap());
    assert!((95..=101).contains(&(requests + unsent)) && unsent > 50, "{open}");
    assert_eq!((&open["asked_lines_per_second"], &closed["unsent"]), (&100.0.into(), &0.into()));
}

#[test]
fn refusals_are_counted_and_the_first_is_quoted() {
    let node = Node::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    std::fs::write(&file, "m f=1 1\nm f=1 2\nm nonsense 3\nm f=1 4\n").unwrap();
    let path = file.to_str().unwrap();
    let report = report(&node.url(), &["--file", path, "--lines", "4", "--batch", "1", "--connections", "1"]);
    assert_eq!(report["statuses"], serde_json::json!({"204": 3, "400": 1}));
    assert_eq!(report["lines"], 3);
    assert!(report["first_refusal"].as_str().unwrap().starts_with("400: {"), "{report}");
    // What the human reads says it too.
    let shown = load(&node.url(), &["--file", path, "--lines", "8", "--batch", "1"]).output().unwrap();
    assert!(
        text(&shown).contains("first refusal: 400") && text(&shown).contains("sent more than once"),
        "{}",
        text(&shown)
    );
}

#[test]
fn a_server_that_hangs_up_or_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ends = std::thread::spawn(move || {
        for stream in listener.incoming().take(150) {
            drop(stream);
        }
    });
    let one = load(&url, &["cpu", "--lines", "100"]).output().unwrap();
    assert!(!one.status.success() && text(&one).contains("lost: 1 request"), "{}", text(&one));
    let lost = load(&url, &["cpu", "--duration", "20s"]).output().unwrap();
    assert!(!lost.status.success() && text(&lost).contains("100 times in a row"), "{}", text(&lost));
    drop(ends);
    let nobody = load("http://127.0.0.1:1", &["cpu", "--lines", "100"]).output().unwrap();
    assert!(!nobody.status.success() && text(&nobody).contains("cannot reach a server"), "{}", text(&nobody));
    let no_end = load(&url, &["cpu"]).output().unwrap();
    assert_eq!(no_end.status.code(), Some(2), "{}", text(&no_end));
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let began = Instant::now();
    let silent = load(&url, &["cpu", "--lines", "3000", "--batch", "1000", "--connections", "2"]).output().unwrap();
    assert!(!silent.status.success() && text(&silent).contains("lost: 2 request"), "{}", text(&silent));
    assert!(began.elapsed() < Duration::from_secs(25));
}
