//! A real node in a process of its own, with a data directory of its own, and raw connections to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::lake_reader::Lake;

/// A node that does not answer for so long has failed its test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A line that is taken.
pub const LINE: &str = "weather,city=Oslo temperature=21.5 1700000000000000000\n";

/// A write to `d`, as it is on the wire.
pub fn write_request(body: &str) -> String {
    format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}

/// The value of the metric whose line starts with `name` (and a space).
pub fn metric_in(metrics: &str, name: &str) -> f64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no metric {name} in\n{metrics}"))
}

/// `ringest serve` on a free port; killed when dropped.
pub struct Node {
    child: Child,
    address: SocketAddr,
    log: Receiver<String>,
    /// Log lines read so far, the start line included.
    pub seen: Vec<String>,
    dir: TempDir,
}

/// A command for the binary under test, untouched by the caller's environment.
pub fn ringest(command: &str) -> Command {
    let mut ringest = Command::new(env!("CARGO_BIN_EXE_ringest"));
    ringest.arg(command).env_clear().stdin(Stdio::null());
    ringest
}

impl Node {
    /// With a fresh data directory; points of any age are taken unless `args` say otherwise.
    pub fn start(args: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), args)
    }

    /// With the data of an earlier life. The node listens on 127.0.0.1 unless `args` say otherwise.
    pub fn start_in(dir: TempDir, args: &[&str]) -> Self {
        let mut node = Self::open_in(dir, args);
        node.wait_for_log("\"listen\":");
        node
    }

    /// As [`Node::start_in`], but only until the port is open: the node may still be replaying its log.
    pub fn open_in(dir: TempDir, args: &[&str]) -> Self {
        let mut node = Self::spawn_in(dir, args);
        node.wait_for_port();
        node
    }

    /// As [`Node::open_in`], but nothing is waited for.
    pub fn spawn_in(dir: TempDir, args: &[&str]) -> Self {
        Self::spawn(ringest("serve"), dir, args)
    }

    /// With a fresh data directory, under these limits of the system, as `prlimit` has them.
    pub fn start_under(limits: &str, args: &[&str]) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(limits).args([env!("CARGO_BIN_EXE_ringest"), "serve"]).env_clear().stdin(Stdio::null());
        let mut node = Self::spawn(command, tempfile::tempdir().unwrap(), args);
        node.wait_for_port();
        node.wait_for_log("\"listen\":");
        node
    }

    fn spawn(mut command: Command, dir: TempDir, args: &[&str]) -> Self {
        command.args(["--log-format", "json"]).arg("--data-dir").arg(dir.path());
        // Tests look at files: those that are not about compaction keep each as it was written.
        let defaults = [("--listen", "127.0.0.1:0"), ("--default-retention", "inf"), ("--compaction", "off")];
        for (option, value) in defaults {
            if !args.contains(&option) {
                command.args([option, value]);
            }
        }
        let mut child = command.args(args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("node: {line}");
                let _ = lines.send(line);
            }
        });
        Self { child, address: ([0, 0, 0, 0], 0).into(), log, seen: Vec::new(), dir }
    }

    /// From here on there are connections.
    pub fn wait_for_port(&mut self) {
        let line = self.wait_for_log("\"address\":");
        let address = line.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
        self.address = address.and_then(|address| address.parse().ok()).expect(&line);
    }

    /// The first log line, from here on or seen before, that contains `part`.
    pub fn wait_for_log(&mut self, part: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        let mut next = 0;
        loop {
            if let Some(line) = self.seen[next..].iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            next = self.seen.len();
            match self.log.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("the node never logged {part:?} ({error}); it logged {:#?}", self.seen),
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// Connections that are served: each has had an answer. Of many at once the first shard that wakes up takes most; these are spread over all.
    pub fn served(&self, count: usize) -> Vec<Client> {
        let serve = |_| {
            let mut client = self.connect();
            client.request("GET", "/ping", b"");
            assert_eq!(client.answer().status, 204);
            client
        };
        (0..count).map(serve).collect()
    }

    /// One request on a connection of its own.
    pub fn request(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.request(method, target, body);
        client.answer()
    }

    pub fn write(&self, db: &str, lines: &str) -> Answer {
        self.request("POST", &format!("/write?db={db}"), lines.as_bytes())
    }

    /// Writes what must be taken whole.
    pub fn must_write(&self, db: &str, lines: &str) {
        let answer = self.write(db, lines);
        assert_eq!(answer.status, 204, "{answer:?} to {lines:.300}");
    }

    /// Until everything that was acknowledged is in the lake.
    pub fn flush(&self) {
        let answer = self.request("POST", "/api/flush", b"");
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// The lake once everything that was acknowledged is in it.
    pub fn lake(&self) -> Lake {
        self.flush();
        Lake::read(self.data_dir())
    }

    pub fn metrics(&self) -> String {
        let answer = self.request("GET", "/metrics", b"");
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// The value of the metric whose line starts with `name` (and a space).
    pub fn metric(&self, name: &str) -> f64 {
        metric_in(&self.metrics(), name)
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// How the node ended; it must do so soon.
    pub fn wait(&mut self) -> ExitStatus {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the node does not end");
    }

    /// SIGTERM; everything must be published. Returns the data directory.
    pub fn stop(mut self) -> TempDir {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}");
        self.take_dir()
    }

    /// SIGKILL. Returns the data directory.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.take_dir()
    }

    fn take_dir(&mut self) -> TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A raw connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
    /// Received and not yet taken.
    received: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The value of the header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    pub fn close_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request with a Content-Length.
    pub fn request(&mut self, method: &str, target: &str, body: &[u8]) {
        self.request_with(method, target, "", body);
    }

    /// Sends a request with a Content-Length and more `headers`, each line with its end.
    pub fn request_with(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: node\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.send([head.as_bytes(), body].concat());
    }

    /// Writes bodies of so many lines, each with its length and in chunks; says how many points that were.
    pub fn write_bodies(&mut self, lines: &[u32]) -> f64 {
        let mut points = 0.0;
        for lines in lines.iter().copied() {
            let body: String = (0..lines).map(|number| format!("m,host=a value={number}i {number}\n")).collect();
            self.request("POST", "/write?db=d", body.as_bytes());
            assert_eq!(self.answer().status, 204, "{lines} lines");
            let middle = body.len() / 2;
            self.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n");
            self.send(format!("{middle:x}\r\n{}\r\n", &body[..middle]));
            self.send(format!("{:X}\r\n{}\r\n0\r\n\r\n", body.len() - middle, &body[middle..]));
            assert_eq!(self.answer().status, 204, "{lines} lines, chunked");
            points += 2.0 * f64::from(lines);
        }
        points
    }

    /// The next answer to a request other than HEAD; an interim `100 Continue` is one too.
    pub fn answer(&mut self) -> Answer {
        let end = loop {
            match self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert_ne!(self.receive().unwrap(), 0, "closed in a head: {:?}", self.received.escape_ascii()),
            }
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect(&head);
        let mut answer = Answer { status, head, body: Vec::new() };
        let bytes: usize = answer.header("Content-Length").map_or(0, |value| value.parse().unwrap());
        while self.received.len() < bytes {
            assert_ne!(self.receive().unwrap(), 0, "closed in a body");
        }
        answer.body = self.received.drain(..bytes).collect();
        answer
    }

    /// One read; 0 at the end.
    pub fn receive(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        // A ring that this process has used, by a log of its own, interrupts waits while the kernel takes it down.
        let bytes = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received.extend_from_slice(&piece[..bytes]);
        Ok(bytes)
    }

    /// The node closes in an orderly way, without a byte more.
    pub fn expect_end(&mut self) {
        assert_eq!(self.received, b"");
        assert_eq!(self.receive().unwrap(), 0, "{:?}", self.received.escape_ascii());
    }

    /// Everything received and not yet taken.
    pub fn take_text(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }
}
