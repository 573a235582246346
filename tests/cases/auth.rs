//! Tokens, from the command that makes them to the answers that they get.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::answers::expect_row;
use crate::node::{Answer, Client, Node, PATIENCE, ringest};

const LINE: &str = "m f=1 1";
const REQUIRED: [&str; 2] = ["--auth", "required"];

/// What `ringest token ...` does to a data directory.
fn run(dir: &Path, command: &str, args: &[&str]) -> Output {
    ringest("token").arg(command).arg("--data-dir").arg(dir).args(args).output().unwrap()
}

/// A new token.
fn create(dir: &Path, name: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(dir, "create", &[&["--name", name], args].concat());
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).unwrap();
    let token = text.strip_suffix('\n').unwrap();
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    token.to_owned()
}

/// The sentence with which `ringest token ...` fails.
fn refusal(dir: &Path, command: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(dir, command, args);
    assert!(!status.success() && stdout.is_empty(), "{status}");
    String::from_utf8(stderr).unwrap()
}

/// A node that wants tokens, and one that may write everywhere.
fn node_and_token(args: &[&str]) -> (Node, String) {
    let dir = tempfile::tempdir().unwrap();
    let token = create(dir.path(), "writer", &["--write", "*"]);
    (Node::start_in(dir, &[&REQUIRED, args].concat()), token)
}

fn reload(node: &mut Node) {
    node.seen.retain(|line| !line.contains("SIGHUP"));
    node.signal("HUP");
    node.wait_for_log("SIGHUP");
}

fn ask(client: &mut Client, target: &str, headers: &str, body: &str) -> Answer {
    client.request_with("POST", target, headers, body.as_bytes());
    client.answer()
}

fn write(node: &Node, target: &str, token: &str) -> u16 {
    ask(&mut node.connect(), target, &format!("Authorization: Token {token}\r\n"), LINE).status
}

#[track_caller]
fn expect_code(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["code"], code, "{answer:?}");
    assert_eq!(answer.header("X-Platform-Error-Code"), Some(code));
    assert_eq!(answer.header("WWW-Authenticate").is_some(), status == 401, "{answer:?}");
}

#[test]
fn no_credentials_is_403_and_bad_ones_401() {
    let (node, token) = node_and_token(&[]);
    let mut client = node.connect();
    let (id, secret) = token.split_once('.').unwrap();
    for target in [
        "/write?db=d",
        "/write",
        "/write?db=d&precision=x",
        "/api/v2/write?bucket=d",
        "/write?db=d&u=a&p=",
        "/api/flush",
        "/api/compact",
    ] {
        expect_row("there are no credentials", &ask(&mut client, target, "", LINE));
    }
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for credentials in [
        "Token unknown",
        &format!("Token {id}.{}", "A".repeat(secret.len())),
        &format!("Token 0123456789ab.{secret}"),
        &format!("Token {token}x"),
        "Token",
        &token,
        "Basic !",
        &basic(&token),
        &basic("root:root"),
        &format!("Digest {token}"),
        &format!("Token {token}\r\nAuthorization: Token {token}"),
        &format!("Token x\r\nAuthorization: Token user:{token}"),
    ] {
        let answer = ask(&mut client, "/write?db=d", &format!("Authorization: {credentials}\r\n"), LINE);
        expect_row("the credentials are unknown", &answer);
        assert!(!answer.text().contains(secret), "{answer:?}");
    }
    expect_row("the credentials are unknown", &ask(&mut client, "/write?db=d&u=root&p=root", "", LINE));
    // They beat the header.
    let good = format!("Authorization: Token {token}\r\n");
    expect_row("the credentials are unknown", &ask(&mut client, "/write?db=d&u=root&p=root", &good, LINE));
    assert_eq!(ask(&mut client, "/write?db=d", &good, LINE).status, 204);
    // Of what was refused nothing is there.
    assert_eq!(node.metric("ringest_points_total"), 1.0);
}

#[test]
fn an_unauthenticated_get_of_write_is_403_not_405() {
    let (node, token) = node_and_token(&[]);
    let credentials = format!("Authorization: Token {token}\r\n");
    let ask = |method: &str, target: &str, headers: &str| {
        let mut client = node.connect();
        client.request_with(method, target, headers, b"");
        client.answer().status
    };
    assert_eq!(ask("GET", "/nothing", ""), 404);
    assert_eq!(ask("GET", "/write", ""), 403);
    assert_eq!(ask("GET", "/write", "Authorization: Token x\r\n"), 401);
    assert_eq!(ask("GET", "/write", &credentials), 405);
    assert_eq!(ask("POST", "/write", &credentials), 400);
    assert_eq!(ask("POST", "/write?db=d", &format!("{credentials}Content-Encoding: br\r\n")), 415);
    // What tells of the node alone is open.
    for target in ["/ping", "/health", "/ready", "/metrics"] {
        assert!((200..300).contains(&ask("GET", target, "")), "{target}");
        assert!((200..300).contains(&ask("GET", target, "Authorization: Token x\r\n")), "{target}");
    }
}

#[test]
fn a_refusal_comes_before_the_body_and_reaches_the_client() {
    let (node, token) = node_and_token(&["--max-body-size", "1MB"]);
    for (credentials, status) in
        [("", 403), ("Authorization: Token x\r\n", 401), (&format!("Authorization: Token {token}\r\n"), 413)]
    {
        // Too large, and never sent.
        let mut client = node.connect();
        client.send(format!("POST /write?db=d HTTP/1.1\r\nHost: n\r\n{credentials}Content-Length: 5000000\r\n\r\n"));
        assert_eq!(client.answer().status, status);
        // Sent, although nobody waits for it.
        let mut client = node.connect();
        client.request_with("POST", "/write?db=d", credentials, &vec![b'#'; 3_000_000]);
        assert_eq!(client.answer().status, status);
    }
    let mut client = node.connect();
    client.send("POST /write?db=d HTTP/1.1\r\nHost: n\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(client.answer().status, 403);
}

#[test]
fn every_scheme_reaches_the_same_token() {
    let (node, token) = node_and_token(&[]);
    let basic = STANDARD.encode(format!("any name:{token}"));
    let mut client = node.connect();
    let schemes = [
        format!("Token {token}"),
        format!("token {token}"),
        format!("Token user:{token}"),
        format!("Bearer {token}"),
        format!("BEARER {token}"),
        format!("Basic {basic}"),
        format!("basic {}", basic.trim_end_matches('=')),
    ];
    for scheme in &schemes {
        for target in ["/write?db=d", "/api/v2/write?bucket=d"] {
            let answer = ask(&mut client, target, &format!("Authorization: {scheme}\r\n"), LINE);
            assert_eq!(answer.status, 204, "{scheme} {answer:?}");
        }
    }
    for query in [format!("u=root&p={token}"), format!("p={}&u=x", token.replace('-', "%2D"))] {
        assert_eq!(ask(&mut client, &format!("/write?db=d&{query}"), "Authorization: Token x\r\n", LINE).status, 204);
    }
}

#[test]
fn with_auth_off_credentials_are_not_looked_at() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    for credentials in ["", "Authorization: Basic cm9vdDpyb290\r\n", "Authorization: nonsense\r\n"] {
        assert_eq!(ask(&mut client, "/write?db=d&u=root&p=root", credentials, LINE).status, 204);
    }
}

#[test]
fn a_token_writes_where_its_patterns_say() {
    let dir = tempfile::tempdir().unwrap();
    let telegraf = create(dir.path(), "telegraf", &["--write", "telegraf*", "--write", "exact", "--read", "*"]);
    let reader = create(dir.path(), "reader", &["--read", "*"]);
    let node = Node::start_in(dir, &REQUIRED);
    for (target, status) in [
        ("/write?db=telegraf", 204),
        ("/write?db=telegraf&rp=week", 204),
        ("/api/v2/write?bucket=telegraf2", 204),
        ("/write?db=exact", 204),
        ("/write?db=exact&rp=autogen", 204),
        ("/write?db=exact&rp=week", 401),
        ("/write?db=other", 401),
        ("/api/v2/write?bucket=Telegraf", 401),
    ] {
        assert_eq!(write(&node, target, &telegraf), status, "{target}");
        assert_eq!(write(&node, target, &reader), 401, "{target}");
    }
    let answer = ask(&mut node.connect(), "/write?db=other", &format!("Authorization: Token {telegraf}\r\n"), LINE);
    expect_code(&answer, 401, "unauthorized");
    assert!(answer.json()["message"].as_str().unwrap().contains("insufficient permissions for write"), "{answer:?}");
    assert_eq!(write(&node, "/api/flush", &reader), 401);
    assert_eq!(write(&node, "/api/flush", &telegraf), 204);
    assert_eq!(write(&node, "/api/compact", &reader), 401);
    assert_eq!(write(&node, "/api/compact", &telegraf), 200);
    let buckets = node.data_dir().join("lake");
    let mut buckets: Vec<_> =
        fs::read_dir(buckets).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    buckets.sort();
    assert_eq!(buckets, ["exact", "telegraf", "telegraf%2Fweek", "telegraf2"]);
}

/// `/query` creates what the token may write, and shows what it may read or write.
#[test]
fn queries_reach_as_far_as_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let writer = create(dir.path(), "writer", &["--write", "a*"]);
    let reader = create(dir.path(), "reader", &["--read", "b"]);
    let all = create(dir.path(), "all", &["--write", "*"]);
    let node = Node::start_in(dir, &REQUIRED);
    let query = |token: &str, statement: &str| {
        let target = format!("/query?q={}", statement.replace(' ', "+"));
        let answer = ask(&mut node.connect(), &target, &format!("Authorization: Token {token}\r\n"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["results"][0].clone()
    };
    expect_code(&ask(&mut node.connect(), "/query?q=SHOW+DATABASES", "", ""), 403, "forbidden");
    let unknown = "Authorization: Token 0123456789ab.unknown\r\n";
    expect_code(&ask(&mut node.connect(), "/query?q=SHOW+DATABASES", unknown, ""), 401, "unauthorized");
    for (token, name, may) in [(&writer, "a1", true), (&writer, "b", false), (&reader, "b", false), (&all, "b", true)] {
        let result = query(token, &format!("CREATE DATABASE {name}"));
        assert_eq!(result["error"].is_null(), may, "{name}: {result}");
    }
    for (token, shown) in [(&writer, &["a1"][..]), (&reader, &["b"]), (&all, &["a1", "b"])] {
        let values = query(token, "SHOW DATABASES")["series"][0]["values"].clone();
        let names: Vec<&str> = values.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(names, shown);
    }
    let hidden = query(&reader, "SHOW RETENTION POLICIES ON a1");
    assert!(hidden["error"].as_str().unwrap().contains("database not found"), "{hidden}");
}

/// Says that it is over, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_reload_drops_no_request() {
    let (mut node, token) = node_and_token(&["--shards", "2"]);
    let address = node.address();
    let dir = node.data_dir().to_owned();
    let credentials = format!("Authorization: Token {token}\r\n");
    let is_over = AtomicBool::new(false);
    let written: u64 = std::thread::scope(|scope| {
        let writers = [0, 1, 2, 3].map(|writer| {
            let (is_over, credentials) = (&is_over, &credentials);
            scope.spawn(move || {
                let mut client = Client::new(address);
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let answer = ask(&mut client, "/write?db=d", credentials, &format!("m,w={writer} f=1 {number}"));
                    assert_eq!(answer.status, 204, "{answer:?}");
                    number += 1;
                }
                number
            })
        });
        let over = Over(&is_over);
        // A request whose body comes slowly, over all the reloads.
        let mut slow = Client::new(address);
        let length = LINE.len();
        slow.send(format!("POST /write?db=slow HTTP/1.1\r\nHost: n\r\n{credentials}Content-Length: {length}\r\n\r\n"));
        for number in 0..8 {
            let other = create(&dir, &format!("other{number}"), &["--write", "*"]);
            assert_eq!(write(&node, "/write?db=other", &other), 401, "it is not read yet");
            reload(&mut node);
            assert_eq!(write(&node, "/write?db=other", &other), 204);
        }
        slow.send(LINE);
        assert_eq!(slow.answer().status, 204);
        drop(over);
        writers.map(|writer| writer.join().unwrap()).iter().sum()
    });
    assert!(written > 0);
    assert_eq!(node.metric("ringest_points_total"), (written + 9) as f64);
}

#[test]
fn a_revoked_token_ends_on_a_kept_connection() {
    let (mut node, kept) = node_and_token(&[]);
    let dir = node.data_dir().to_owned();
    let revoked = create(&dir, "revoked", &["--write", "*"]);
    reload(&mut node);
    let mut client = node.connect();
    let mut ask_as =
        |token: &str| ask(&mut client, "/write?db=d", &format!("Authorization: Token {token}\r\n"), LINE).status;
    assert_eq!(ask_as(&revoked), 204);
    assert!(run(&dir, "revoke", &["revoked"]).status.success());
    assert_eq!(ask_as(&revoked), 204, "the node has not been told");
    reload(&mut node);
    assert_eq!(ask_as(&revoked), 401);
    assert_eq!(ask_as(&kept), 204);
}

#[test]
fn tokens_that_cannot_be_read_stay_as_they_were() {
    let (mut node, token) = node_and_token(&[]);
    let file = node.data_dir().join("tokens");
    let text = fs::read_to_string(&file).unwrap();
    let cut = text[..text.len() / 2].to_owned();
    for broken in [Some(cut), Some(text.replace("\"version\": 1", "\"version\": 2")), Some(String::new()), None] {
        match &broken {
            Some(broken) => fs::write(&file, broken).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        reload(&mut node);
        let line = node.wait_for_log("SIGHUP");
        assert!(line.contains("\"level\":\"ERROR\"") && line.contains(file.to_str().unwrap()), "{line}");
        assert_eq!(write(&node, "/write?db=d", &token), 204, "{broken:?}");
    }
    fs::write(&file, text).unwrap();
    reload(&mut node);
    assert!(node.wait_for_log("SIGHUP").contains("\"tokens\":1"));
    assert_eq!(write(&node, "/write?db=d", &token), 204);
}

#[test]
fn a_damaged_file_of_tokens_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokens"), "{\"version\": 1,\n\"tokens\": [1]}").unwrap();
    let output =
        ringest("serve").args(["--listen", "127.0.0.1:0", "--auth", "required", "--data-dir"]).arg(dir.path()).output();
    let Output { status, stderr, .. } = output.unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("tokens is no file of tokens (line 2, column 12)"), "{text}");
    assert!(refusal(dir.path(), "list", &[]).contains("is no file of tokens"));
    // With auth off nobody asks for it.
    assert_eq!(Node::start_in(dir, &[]).write("d", LINE).status, 204);
}

#[test]
fn sighup_does_not_end_a_node_with_auth_off_or_without_tokens() {
    let mut node = Node::start(&[]);
    reload(&mut node);
    assert_eq!(node.write("d", LINE).status, 204);

    let mut node = Node::start(&REQUIRED);
    node.wait_for_log("there are no tokens");
    reload(&mut node);
    assert_eq!(node.write("d", LINE).status, 403);
    let token = create(node.data_dir(), "first", &["--write", "*"]);
    reload(&mut node);
    assert_eq!(write(&node, "/write?db=d", &token), 204);
}

/// The configuration is a pipe: so the start lasts for as long as the test wants.
#[test]
fn sighup_before_there_is_a_node_is_heard_once_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("ringest.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut node = Node::spawn_in(dir, &["--config", pipe.to_str().unwrap()]);
    // Without a reader a pipe cannot be opened like this: from here on the node reads its configuration.
    let mut options = fs::OpenOptions::new();
    options.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let give_up = Instant::now() + PATIENCE;
    let mut writer = loop {
        match options.open(&pipe) {
            Ok(writer) => break writer,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
    };
    for _ in 0..3 {
        node.signal("HUP");
        std::thread::sleep(Duration::from_millis(20));
    }
    let token = create(node.data_dir(), "late", &["--write", "*"]);
    writer.write_all(b"auth = \"required\"\n").unwrap();
    drop(writer);
    node.wait_for_port();
    node.wait_for_log("SIGHUP: the tokens are read again");
    node.wait_for_log("\"listen\":");
    assert_eq!(write(&node, "/write?db=d", &token), 204);
}

#[test]
fn sighup_while_the_log_is_replayed_is_heard() {
    let (node, token) = node_and_token(&["--flush-interval", "1h"]);
    assert_eq!(write(&node, "/write?db=d", &token), 204);
    let dir = node.kill();
    let late = create(dir.path(), "late", &["--write", "*"]);
    let mut node = Node::open_in(dir, &REQUIRED);
    node.signal("HUP");
    node.wait_for_log("SIGHUP");
    node.wait_for_log("\"listen\":");
    assert_eq!(write(&node, "/write?db=d", &late), 204);
    assert_eq!(write(&node, "/api/flush", &token), 204);
    assert_eq!(node.metric("ringest_rows_written_total"), 2.0);
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

#[test]
fn no_plain_token_in_log_or_data_dir() {
    let (mut node, token) = node_and_token(&["--log", "trace"]);
    let secret = token.split_once('.').unwrap().1;
    let basic = STANDARD.encode(format!("user:{token}"));
    for (target, headers) in [
        (format!("/write?db=d&u=a&p={token}"), String::new()),
        (format!("/write?db=d&u=a&p={token}x"), String::new()),
        ("/write?db=d".into(), format!("Authorization: Token {token}\r\n")),
        ("/write?db=d".into(), format!("Authorization: Bearer {token}\r\n")),
        ("/write?db=d".into(), format!("Authorization: Basic {basic}\r\n")),
        ("/write?db=d".into(), format!("Authorization: {token}\r\n")),
        (format!("/write?db=d&u=a&p={token}&precision=x"), String::new()),
        (format!("/nothing?u=a&p={token}"), String::new()),
        (format!("write?u=a&p={token}"), String::new()),
        (format!("/write?db=d&u=a&p={token} HTTP/7"), String::new()),
    ] {
        ask(&mut node.connect(), &target, &headers, LINE);
    }
    // A request that is cut, and one that comes to a node that ends.
    node.connect().send(format!("POST /write?db=d&u=a&p={token} HT"));
    let (id, dir) = (token.split_once('.').unwrap().0, node.data_dir().to_owned());
    assert_eq!(write(&node, "/api/flush", &token), 204);
    reload(&mut node);
    node.signal("TERM");
    node.wait_for_log("stopped:");
    assert!(node.wait().success());
    let log = node.seen.concat();
    assert!(log.contains("SIGHUP") && !log.contains(secret) && !log.contains(&basic), "{log}");

    let mut files = Vec::new();
    files_below(&dir, &mut files);
    let holds = |file: &PathBuf, text: &str| memchr::memmem::find(&fs::read(file).unwrap(), text.as_bytes()).is_some();
    assert!(files.iter().any(|file| holds(file, id)), "the search finds the id in {files:?}");
    assert!(files.iter().any(|file| file.extension().is_some_and(|extension| extension == "parquet")), "{files:?}");
    for file in files {
        assert!(!holds(&file, secret) && !holds(&file, &basic), "{}", file.display());
    }
}

/// Lines that are ignored.
fn comment(bytes: usize) -> String {
    "#".repeat(bytes)
}

#[test]
fn quota_answers_429_with_the_time_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let slow = create(dir.path(), "slow", &["--write", "*", "--quota", "1KiB"]);
    let brief = create(dir.path(), "brief", &["--write", "*", "--quota", "1KiB"]);
    let fast = create(dir.path(), "fast", &["--write", "*", "--quota", "inf"]);
    let default = create(dir.path(), "default", &["--write", "*"]);
    let mut node = Node::start_in(dir, &["--auth", "required", "--default-quota", "2KiB"]);
    let mut client = node.connect();
    let mut send = |token: &str, bytes: usize| {
        ask(&mut client, "/write?db=d", &format!("Authorization: Token {token}\r\n"), &comment(bytes))
    };
    let seconds_of = |answer: Answer| {
        expect_row("over its quota", &answer);
        answer.header("Retry-After").unwrap().parse::<u64>().unwrap()
    };
    // A minute's worth each, and a second, which a full bucket has.
    for (token, bytes) in [(&slow, 61 << 10), (&default, 122 << 10)] {
        assert_eq!(send(token, bytes).status, 204);
        let seconds = seconds_of(send(token, 10));
        assert!((50..=60).contains(&seconds), "{seconds}");
    }
    for _ in 0..5 {
        assert_eq!(send(&fast, 100_000).status, 204);
    }
    // Neither a reload nor another connection forgives.
    assert_eq!(send(&brief, 4 << 10).status, 204);
    let seconds = seconds_of(send(&brief, 10));
    assert!((1..=3).contains(&seconds), "{seconds}");
    reload(&mut node);
    for target in ["/write?db=d", "/api/v2/write?bucket=other"] {
        assert_eq!(write(&node, target, &slow), 429);
    }
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(write(&node, "/write?db=d", &brief), 204);
    assert_eq!(node.metric("ringest_points_total"), 1.0);
}

#[test]
fn a_quota_counts_chunked_and_refused_bodies_and_not_those_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let chunked = create(dir.path(), "chunked", &["--write", "*", "--quota", "1KiB"]);
    let malformed = create(dir.path(), "malformed", &["--write", "*", "--quota", "1KiB"]);
    let node = Node::start_in(dir, &REQUIRED);
    let mut client = node.connect();
    client.send(format!(
        "POST /write?db=d HTTP/1.1\r\nHost: n\r\nAuthorization: Token {chunked}\r\nTransfer-Encoding: chunked\r\n\r\n\
         7800\r\n{}\r\n0\r\n\r\n",
        comment(0x7800)
    ));
    assert_eq!(client.answer().status, 204);
    assert_eq!(write(&node, "/write?db=d", &chunked), 429);
    let credentials = format!("Authorization: Token {malformed}\r\n");
    assert_eq!(ask(&mut client, "/write?db=d", &credentials, &"malformed\n".repeat(3000)).status, 400);
    assert_eq!(write(&node, "/write?db=d", &malformed), 429);
    // Parameters are judged first.
    assert_eq!(ask(&mut client, "/write", &credentials, LINE).status, 400);
}

#[test]
fn a_quota_counts_bodies_that_are_too_large_or_break_off_and_holds_for_queries() {
    let dir = tempfile::tempdir().unwrap();
    let [large, broken, asks] =
        ["large", "broken", "asks"].map(|name| create(dir.path(), name, &["--write", "*", "--quota", "1KiB"]));
    let node = Node::start_in(dir, &[&REQUIRED[..], &["--max-body-size", "1MB"]].concat());
    let head = |token: &str, framing: &str| {
        format!("POST /write?db=d HTTP/1.1\r\nHost: n\r\nAuthorization: Token {token}\r\n{framing}\r\n\r\n")
    };
    let mut client = node.connect();
    client.send(head(&large, "Transfer-Encoding: chunked") + "200000\r\n" + &comment(1_100_000));
    assert_eq!(client.answer().status, 413);
    let is_in_debt = |token: &str| {
        let give_up = std::time::Instant::now() + Duration::from_secs(10);
        while write(&node, "/write?db=d", token) != 429 {
            assert!(std::time::Instant::now() < give_up, "the bytes do not count");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    is_in_debt(&large);
    let mut client = node.connect();
    client.send(head(&broken, "Content-Length: 900000") + &comment(800_000));
    drop(client);
    is_in_debt(&broken);
    assert_eq!(write(&node, "/write?db=d", &asks), 204);
    let credentials = format!("Authorization: Token {asks}\r\n");
    assert_eq!(ask(&mut node.connect(), "/write?db=d", &credentials, &comment(30_000)).status, 204);
    assert_eq!(ask(&mut node.connect(), "/query?q=SHOW+DATABASES", &credentials, "").status, 429);
}

#[test]
fn beyond_loopback_without_auth_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |args: &[&str]| {
        let output = ringest("serve").arg("--data-dir").arg(dir.path()).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let (code, text) = serve(&["--listen", listen]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("auth is off") && text.contains("insecure"), "{text}");
    }
    // An IPv4 loopback address in the clothes of IPv6 is one.
    assert!(Node::start(&["--listen", "[::ffff:127.0.0.1]:0"]).address().is_ipv6());
    for args in [["--listen", "0.0.0.0:0", "--insecure"].as_slice(), &["--listen", "0.0.0.0:0", "--auth", "required"]] {
        let node = Node::start(args);
        let port = node.address().port();
        let mut client = Client::new(([127, 0, 0, 1], port).into());
        client.request("GET", "/ping", b"");
        assert_eq!(client.answer().status, 204);
    }
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    assert!(refusal(&dir, "revoke", &["x"]).contains("there is no token"));
    assert!(refusal(&dir, "list", &[]).contains("there is no folder "));
    assert!(!dir.exists(), "there was nothing to do");
    assert_eq!(String::from_utf8(run(parent.path(), "list", &[]).stdout).unwrap().lines().count(), 1, "no tokens yet");
    let token = create(&dir, "Telegraf at home", &["--write", "telegraf*", "--write", "b", "--quota", "10MB"]);
    let id = token.split_once('.').unwrap().0;
    let mode = fs::metadata(dir.join("tokens")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    create(&dir, "reader", &["--read", "*", "--quota", "inf"]);

    assert!(refusal(&dir, "create", &["--name", "reader", "--read", "*"]).contains("already"));
    assert!(refusal(&dir, "create", &["--name", "n"]).contains("--write"), "a token for nothing");
    assert!(refusal(&dir, "create", &["--name", "", "--read", "*"]).contains("name"));
    assert!(refusal(&dir, "create", &["--name", "n", "--read", ""]).contains("pattern"));
    assert!(refusal(&dir, "create", &["--name", "n", "--read", "*", "--quota", "5"]).contains("1KiB"));

    let list = || String::from_utf8(run(&dir, "list", &[]).stdout).unwrap();
    let lines: Vec<String> = list().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].starts_with(&format!("{id}  Telegraf at home  telegraf*,b  -     10000000 B/s  2")), "{lines:#?}");
    assert!(lines[2].contains("reader") && lines[2].contains("inf"), "{lines:#?}");
    assert!(!list().contains(token.split_once('.').unwrap().1));

    assert!(run(&dir, "revoke", &[id]).status.success());
    assert!(refusal(&dir, "revoke", &[id]).contains("there is no token"));
    assert!(run(&dir, "revoke", &["reader"]).status.success());
    assert_eq!(list().lines().count(), 1);
    assert!(!dir.join("tokens.new").exists());
}

#[test]
fn tokens_made_at_once_are_all_there_though_an_earlier_write_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokens.new"), "{\"versi").unwrap();
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let dir = dir.path();
        let makers: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || create(dir, &format!("token{number}"), &["--write", "*"])))
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    let node = Node::start_in(dir, &REQUIRED);
    for token in tokens {
        assert_eq!(write(&node, "/write?db=d", &token), 204);
    }
}

#[test]
fn ringest_flush_sends_the_token_of_a_file() {
    let (node, token) = node_and_token(&[]);
    assert_eq!(write(&node, "/write?db=d", &token), 204);
    let dir: TempDir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let flush = |args: &[&str]| {
        let output = ringest("flush").args(["--url", &node.url()]).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let with_file = ["--token-file", file.to_str().unwrap()];
    let (code, text) = flush(&[]);
    assert!(code == Some(1) && text.contains("403"), "{text}");
    let (code, text) = flush(&with_file);
    assert!(code == Some(1) && text.contains("--token-file"), "{text}");
    fs::write(&file, format!("{token}\r\nX-Header: y\n")).unwrap();
    let (code, text) = flush(&with_file);
    assert!(code == Some(1) && text.contains("one word") && !text.contains(&token), "{text}");
    fs::write(&file, format!("{token}\n")).unwrap();
    assert_eq!(flush(&with_file), (Some(0), String::new()));
}
