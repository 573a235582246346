//! Birth and death of a node, and many connections.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::answers::expect_row;
use crate::lake_reader::parquet_files;
use crate::node::{Client, LINE, Node, PATIENCE, ringest, write_request};

/// A start that must fail; its sentence on standard error.
fn refusal(args: &[&str]) -> String {
    let Output { status, stderr, .. } = ringest("serve").args(args).output().unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn the_start_line_says_what_runs() {
    let node = Node::start(&["--shards", "2"]);
    let line = &node.seen[node.seen.len() - 1];
    for part in ["\"data_dir\":\"/", "\"durability\":\"sync\"", "\"shards\":2", "\"simd\":", "\"listen\":\"127.0.0.1:"]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("127.0.0.1:0\""), "{line}");
}

#[test]
fn a_second_node_on_the_data_is_refused_with_the_holders_pid() {
    let node = Node::start(&[]);
    let data_dir = node.data_dir().to_str().unwrap();
    let sentence = refusal(&["--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    assert!(sentence.contains(&format!("process {}", node.pid())), "{sentence}");
    assert!(sentence.contains("--data-dir"), "{sentence}");
    assert_eq!(node.request("GET", "/ping", b"").status, 204);
}

#[test]
fn a_taken_port_is_refused_by_name() {
    let node = Node::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let address = node.address().to_string();
    let sentence = refusal(&["--listen", &address, "--data-dir", dir.path().to_str().unwrap()]);
    assert!(sentence.contains(&address) && sentence.contains("--listen"), "{sentence}");
}

#[test]
fn a_port_is_free_again_at_once() {
    let node = Node::start(&[]);
    let address = node.address().to_string();
    assert_eq!(node.write("d", LINE).status, 204);
    let dir = node.stop();
    let node = Node::start_in(dir, &["--listen", &address]);
    assert_eq!(node.write("d", LINE).status, 204);
}

#[test]
fn listens_on_ipv6() {
    let node = Node::start(&["--listen", "[::1]:0"]);
    assert!(node.address().is_ipv6());
    assert_eq!(node.write("d", LINE).status, 204);
}

#[test]
fn sigterm_and_sigint_end_it_well() {
    for signal in ["TERM", "INT"] {
        let mut node = Node::start(&[]);
        let mut idle = node.connect();
        idle.request("GET", "/ping", b"");
        assert_eq!(idle.answer().status, 204);
        assert_eq!(node.write("d", LINE).status, 204);
        node.signal(signal);
        assert_eq!(node.wait().code(), Some(0));
        idle.expect_end();
        assert!(TcpStream::connect(node.address()).is_err());
    }
}

/// A connection on which the node waits for the other half of a body.
fn half_a_request(node: &Node) -> Client {
    let mut client = node.connect();
    let request = write_request(LINE);
    client.send(&request[..request.len() - LINE.len().div_ceil(2)]);
    // The node has the head when it tells another connection that it has this one open.
    while node.metric("ringest_connections") < 2.0 {}
    std::thread::sleep(Duration::from_millis(100));
    client
}

#[test]
fn a_request_in_flight_is_finished() {
    let mut node = Node::start(&[]);
    let mut client = half_a_request(&node);
    node.signal("TERM");
    node.wait_for_log("stopping");
    client.send(&LINE[LINE.len() / 2..]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (204, Some("close")));
    client.expect_end();
    drop(client);
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_request_that_never_ends_is_cut_in_time() {
    let mut node = Node::start(&["--shutdown-timeout", "1s"]);
    let mut client = half_a_request(&node);
    node.signal("TERM");
    assert_eq!(node.wait().code(), Some(0));
    client.expect_end();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut node = Node::start(&[]);
    let _client = half_a_request(&node);
    node.signal("TERM");
    node.wait_for_log("stopping");
    node.signal("INT");
    assert_eq!(node.wait().code(), Some(130));
}

#[test]
fn a_damaged_catalog_is_refused_and_nothing_is_changed() {
    let node = Node::start(&[]);
    assert_eq!(node.write("d", LINE).status, 204);
    let dir = node.stop();
    let catalog = dir.path().join("state/catalog");
    let whole = std::fs::read(&catalog).unwrap();
    let leftover = dir.path().join("tmp/leftover");
    std::fs::write(&leftover, "x").unwrap();
    std::fs::write(&catalog, &whole[..whole.len() - 1]).unwrap();
    let args = ["--listen", "127.0.0.1:0", "--data-dir", dir.path().to_str().unwrap()];
    for damage in ["at byte 16", "is missing"] {
        let sentence = refusal(&args);
        assert!(sentence.contains("state/catalog") && sentence.contains(damage), "{sentence}");
        assert!(sentence.contains("Restore it from a backup"), "{sentence}");
        assert!(leftover.exists(), "a refused start changes nothing");
        if damage == "at byte 16" {
            assert_eq!(std::fs::read(&catalog).unwrap(), whole[..whole.len() - 1]);
            std::fs::remove_file(&catalog).unwrap();
        }
    }
    std::fs::write(&catalog, &whole).unwrap();
    let node = Node::start_in(dir, &[]);
    assert!(!node.data_dir().join("tmp/leftover").exists());
    let conflict = node.write("d", "weather,city=Oslo temperature=\"warm\"\n");
    assert_eq!(conflict.status, 422, "{conflict:?}");
}

#[test]
fn a_start_without_the_files_of_the_lake_says_so() {
    let node = Node::start(&[]);
    assert_eq!(node.write("d", LINE).status, 204);
    let dir = node.stop();
    std::fs::remove_dir_all(dir.path().join("lake")).unwrap();
    let mut node = Node::start_in(dir, &[]);
    let warning = node.wait_for_log("files are missing");
    assert!(warning.contains("1 of 1 ") && warning.contains("\"WARN\""), "{warning}");
    assert_eq!(node.write("d", LINE).status, 204);
}

#[test]
fn a_killed_node_leaves_no_lock() {
    let node = Node::start(&[]);
    assert_eq!(node.write("d", LINE).status, 204);
    let node = Node::start_in(node.kill(), &[]);
    assert_eq!(node.write("d", LINE).status, 204);
}

/// The clients' ends are descriptors too.
pub fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
}

#[test]
fn a_thousand_idle_connections_cost_little() {
    let node = Node::start(&["--shards", "2", "--memory-limit", "192MiB", "--max-body-size", "1MiB"]);
    raise_descriptor_limit();
    let mut clients: Vec<Client> = (0..1_000).map(|_| node.connect()).collect();
    for client in clients.iter_mut().step_by(7) {
        client.request("POST", "/write?db=d", LINE.as_bytes());
        assert_eq!(client.answer().status, 204);
    }
    assert!(node.metric("ringest_connections") >= 1_000.0);
    let bodies = node.metric("ringest_memory_bytes{consumer=\"bodies\"}");
    assert!(bodies <= 32.0 * f64::from(1 << 20), "{bodies} bytes");
    clients.clear();
    let give_up = std::time::Instant::now() + PATIENCE;
    while node.metric("ringest_connections") > 1.0 {
        assert!(std::time::Instant::now() < give_up, "closed connections are forgotten");
    }
    node.stop();
}

#[test]
fn too_little_memory_is_answered_with_a_retry() {
    let node = Node::start(&["--memory-limit", "192MiB", "--max-body-size", "16MiB", "--shards", "1"]);
    let head = "POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 16000000\r\n\r\n";
    let mut clients: Vec<Client> = (0..8).map(|_| node.connect()).collect();
    for client in &mut clients {
        client.send(head);
    }
    let mut refused = 0;
    let mut patience = Duration::from_secs(4);
    for client in &mut clients {
        // Those that were given memory wait for their bodies and hear nothing.
        client.stream.set_read_timeout(Some(patience)).unwrap();
        patience = Duration::from_millis(100);
        if client.receive().is_ok() {
            let answer = client.answer();
            expect_row("no memory for two seconds to receive", &answer);
            assert!(answer.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
            refused += 1;
        }
    }
    assert!((1..8).contains(&refused), "{refused} refused");
    assert_eq!(node.request("GET", "/health", b"").status, 200);
}

#[test]
fn a_flush_answers_when_the_data_is_published() {
    let node = Node::start(&["--flush-interval", "1h", "--shards", "2"]);
    for _ in 0..20 {
        assert_eq!(node.write("d", LINE).status, 204);
        node.flush();
    }
}

#[test]
fn the_flush_command_asks_a_running_node() {
    let node = Node::start(&["--flush-interval", "1h"]);
    assert_eq!(node.write("d", LINE).status, 204);
    let output = ringest("flush").args(["--url", &node.url()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A child that outlives no test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// `serve 2>&1 | head` and a full disk under the log file take the lines away, and nothing else.
#[test]
fn a_node_whose_log_lines_cannot_be_written_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = ringest("serve");
    command.arg("--data-dir").arg(dir.path()).args(["--listen", &address.to_string(), "--log", "trace"]);
    let mut node = Killed(command.stderr(full).stdout(Stdio::null()).spawn().unwrap());
    let give_up = Instant::now() + PATIENCE;
    let is_ready = || {
        TcpStream::connect(address).is_ok() && {
            let mut client = Client::new(address);
            client.request("GET", "/ready", b"");
            client.answer().status == 200
        }
    };
    while !is_ready() {
        assert!(Instant::now() < give_up && node.0.try_wait().unwrap().is_none(), "it is not there");
        sleep(Duration::from_millis(10));
    }
    for (body, status) in [("bad", 400), ("m f=1", 204), ("m f=t", 422)] {
        let mut client = Client::new(address);
        client.request("POST", "/write?db=d", body.as_bytes());
        assert_eq!(client.answer().status, status);
    }
    let pid = node.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(node.0.wait().unwrap().code(), Some(0));
    assert_ne!(parquet_files(dir.path()).len(), 0);
}
