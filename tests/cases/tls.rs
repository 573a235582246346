//! A node with TLS: the same requests and answers, encrypted.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::node::{Answer, Client, LINE, Node, PATIENCE, metric_in, ringest, write_request};

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

/// A folder with `cert.pem` and `key.pem`, which change while the node runs.
struct Identity {
    dir: TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificate = write_pair(dir.path());
        Self { dir, certificate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, args: &[&str]) -> Node {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let files = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        Node::start(&[&files, args].concat())
    }

    /// What a client that trusts the certificate offers.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Arc<ClientConfig> {
        trust(&self.certificate, versions, protocols)
    }

    fn connect(&self, node: &Node) -> Secure {
        connect(node.address(), &self.client(&BOTH, &[]))
    }

    fn request(&self, node: &Node, method: &str, target: &str, body: &[u8]) -> Answer {
        let mut client = self.connect(node);
        client.request(method, target, body);
        client.answer()
    }

    fn metric(&self, node: &Node, name: &str) -> f64 {
        metric_in(&self.request(node, "GET", "/metrics", b"").text(), name)
    }
}

/// A new certificate with its key.
fn write_pair(dir: &Path) -> CertificateDer<'static> {
    write_pair_with(dir, |_| {})
}

fn write_pair_with(dir: &Path, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let made = params.self_signed(&key).unwrap();
    fs::write(dir.join("cert.pem"), made.pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    made.der().clone()
}

fn trust(
    certificate: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Secure {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    Client::over(StreamOwned::new(session, Client::new(address).stream))
}

/// Why there is no connection with `config`.
fn refusal(address: SocketAddr, config: &Arc<ClientConfig>) -> String {
    let mut client = connect(address, config);
    let Secure { stream, .. } = &mut client;
    stream.conn.complete_io(&mut stream.sock).unwrap_err().to_string()
}

#[test]
fn both_versions_serve_requests_and_end_with_a_goodbye() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    for version in BOTH {
        for protocols in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
            let mut client = connect(node.address(), &identity.client(&[version], protocols));
            for _ in 0..3 {
                client.request("POST", "/write?db=d", LINE.as_bytes());
                assert_eq!(client.answer().status, 204);
                client.request("POST", "/write?db=d", b"bad");
                assert_eq!(client.answer().status, 400);
            }
            client.send("GET /ping HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
            assert_eq!(client.answer().status, 204);
            // A read that meets no goodbye fails.
            client.expect_end();
            let agreed = client.stream.conn.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(agreed, protocols.last().map(|protocol| protocol.as_bytes().to_vec()));
        }
    }
    node.stop();
}

#[test]
fn a_client_without_http_1_1_is_refused_in_the_handshake() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    let told = refusal(node.address(), &identity.client(&BOTH, &["h2"]));
    assert!(told.contains("NoApplicationProtocol"), "{told}");
    assert_eq!(identity.metric(&node, "ringest_tls_handshake_failures_total"), 1.0);
}

#[test]
fn a_client_that_comes_back_need_not_begin_anew() {
    let identity = Identity::new();
    let node = identity.start(&["--shards", "2"]);
    for version in BOTH {
        let config = identity.client(&[version], &[]);
        let kinds = [0; 3].map(|_| {
            let mut client = connect(node.address(), &config);
            client.request("GET", "/ping", b"");
            assert_eq!(client.answer().status, 204);
            client.stream.conn.handshake_kind().unwrap()
        });
        assert_eq!(kinds[1..], [rustls::HandshakeKind::Resumed; 2], "{version:?}");
    }
}

/// Sends the ciphertext of `plain` in pieces that end at `cuts`.
fn send_cut(client: &mut Secure, plain: &[u8], cuts: impl Iterator<Item = usize>) {
    let StreamOwned { conn, sock } = &mut client.stream;
    while conn.is_handshaking() {
        conn.complete_io(sock).unwrap();
    }
    conn.writer().write_all(plain).unwrap();
    let mut bytes = Vec::new();
    while conn.wants_write() {
        conn.write_tls(&mut bytes).unwrap();
    }
    let mut start = 0;
    for cut in cuts.take_while(|cut| *cut < bytes.len()) {
        sock.write_all(&bytes[start..cut]).unwrap();
        std::thread::sleep(Duration::from_micros(500));
        start = cut;
    }
    sock.write_all(&bytes[start..]).unwrap();
}

/// Every split of the bytes inside one session is a matter of `net::session`, whose tests have them all.
#[test]
fn requests_may_be_split_anywhere() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    let plain = [write_request(LINE), "GET /ping HTTP/1.1\r\nHost: node\r\n\r\n".into(), write_request("bad")].concat();
    let expect = |client: &mut Secure| {
        assert_eq!([client.answer().status, client.answer().status, client.answer().status], [204, 204, 400]);
    };
    let mut client = identity.connect(&node);
    send_cut(&mut client, plain.as_bytes(), 1..);
    expect(&mut client);
    for cut in 0..plain.len() + 30 {
        send_cut(&mut client, plain.as_bytes(), std::iter::once(cut));
        expect(&mut client);
    }
}

#[test]
fn many_pipelined_requests_are_answered_in_order() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    for version in BOTH {
        let mut client = connect(node.address(), &identity.client(&[version], &[]));
        let mut requests = String::new();
        for number in 0..1_000 {
            let body = if number % 3 == 2 { "abc" } else { LINE };
            let id = format!("\r\nX-Request-Id: {number}\r\n\r\n");
            requests += &write_request(body).replacen("\r\n\r\n", &id, 1);
        }
        client.send(requests);
        for number in 0..1_000 {
            let answer = client.answer();
            assert_eq!(answer.header("X-Request-Id"), Some(&*number.to_string()));
            assert_eq!(answer.status, if number % 3 == 2 { 400 } else { 204 }, "{answer:?}");
        }
    }
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    let mut client = identity.connect(&node);
    let points = client.write_bodies(&[1, 300, 1_000, 20_000, 200_000]);
    assert_eq!(identity.metric(&node, "ringest_points_total"), points);
    // Keys and a small buffer of each connection that is open, and of none that is not.
    drop(client);
    let give_up = Instant::now() + PATIENCE;
    while identity.metric(&node, "ringest_memory_bytes{consumer=\"tls\"}") > 40_000.0 {
        assert!(Instant::now() < give_up, "sessions are forgotten with their connections");
    }
}

#[test]
fn a_413_arrives_whether_the_client_reads_sooner_or_later() {
    let identity = Identity::new();
    let node = identity.start(&["--max-body-size", "1MiB"]);
    let body = vec![b'x'; 8 << 20];
    for version in BOTH {
        for is_chunked in [false, true] {
            let mut client = connect(node.address(), &identity.client(&[version], &[]));
            if is_chunked {
                client.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n");
                client.send(&body);
            } else {
                client.request("POST", "/write?db=d", &body);
            }
            let answer = client.answer();
            assert_eq!(answer.status, 413);
            assert!(answer.text().contains("1048576"), "{answer:?}");
            client.expect_end();
        }
        let mut client = connect(node.address(), &identity.client(&[version], &[]));
        let head = format!("Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len());
        client.send(format!("POST /write?db=d HTTP/1.1\r\nHost: node\r\n{head}"));
        assert_eq!(client.answer().status, 413);
        client.expect_end();
    }
}

#[test]
fn one_connection_too_many_is_told_so_inside_tls() {
    let identity = Identity::new();
    let mut node = identity.start(&["--max-connections", "1", "--shards", "1"]);
    let config = identity.client(&BOTH, &[]);
    let mut served = connect(node.address(), &config);
    served.request("GET", "/ping", b"");
    assert_eq!(served.answer().status, 204);
    for version in BOTH {
        let mut client = connect(node.address(), &identity.client(&[version], &[]));
        client.request("POST", "/write?db=d", LINE.as_bytes());
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")), "{answer:?}");
        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
        client.expect_end();
    }
    // Who speaks no TLS is told in plain, who says nothing is not waited for.
    let mut plain = Client::new(node.address());
    plain.request("GET", "/ping", b"");
    assert_eq!(plain.answer().status, 503);
    let mut silent = Client::new(node.address());
    silent.expect_end();
    node.wait_for_log("turned away");
    served.request("GET", "/metrics", b"");
    assert!(served.answer().text().contains("ringest_connections_refused_total 4\n"));
}

/// Keys take time: those that are served must not pay for a crowd at the door.
#[test]
fn a_crowd_on_a_full_tls_port_costs_few_handshakes() {
    const CROWD: usize = 400;
    let identity = Identity::new();
    let node = identity.start(&["--max-connections", "1", "--shards", "1"]);
    let config = identity.client(&BOTH, &[]);
    let mut served = connect(node.address(), &config);
    served.request("GET", "/ping", b"");
    assert_eq!(served.answer().status, 204);
    let began = Instant::now();
    let told = (0..CROWD).filter(|_| {
        let mut client = connect(node.address(), &config);
        let StreamOwned { conn, sock } = &mut client.stream;
        conn.complete_io(sock).is_ok() && client.answer().status == 503
    });
    let told = told.count();
    let sweeps = began.elapsed().as_millis() as usize / 250 + 2;
    assert!((1..=16 * sweeps).contains(&told), "{told} of {CROWD} in {sweeps} sweeps");
    served.request("GET", "/metrics", b"");
    let metrics = served.answer().text();
    assert!(metrics.contains(&format!("ringest_connections_refused_total {CROWD}\n")), "{metrics}");
}

#[test]
fn plain_http_on_a_tls_port_is_told_so() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    for request in
        [write_request(LINE), write_request(LINE).replace("Content-Length: 55", "Content-Length: 900000"), "G".into()]
    {
        let mut client = Client::new(node.address());
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (400, Some("close")));
        assert!(answer.text().contains("https://"), "{answer:?}");
        client.expect_end();
    }
    assert_eq!(identity.metric(&node, "ringest_points_total"), 0.0);
}

#[test]
fn what_is_neither_http_nor_tls_is_closed_and_counted() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    for bytes in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x00\x00\x00\x00\x00\x00", b"\x80\x2e\x01\x03\x01"] {
        let mut client = Client::new(node.address());
        client.send(bytes);
        let mut alert = Vec::new();
        client.stream.read_to_end(&mut alert).unwrap();
        assert!(alert.first().is_none_or(|first| *first == 21), "no HTTP, and nothing but an alert: {alert:?}");
    }
    // Who says nothing, as a load balancer that looks whether the port is open, is no failure.
    drop(Client::new(node.address()));
    let failures = || identity.metric(&node, "ringest_tls_handshake_failures_total");
    assert_eq!(failures(), 3.0);
    // Who begins and goes is one, and so is plain HTTP.
    let mut client = Client::new(node.address());
    client.send(b"\x16\x03\x01");
    drop(client);
    let mut client = Client::new(node.address());
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 400);
    let give_up = Instant::now() + PATIENCE;
    while failures() < 5.0 {
        assert!(Instant::now() < give_up, "{} failures", failures());
    }
    assert_eq!(failures(), 5.0);
}

#[test]
fn a_session_that_breaks_ends_its_connection_and_no_other() {
    let identity = Identity::new();
    let node = identity.start(&[]);
    let mut other = identity.connect(&node);
    let mut client = identity.connect(&node);
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 204);
    // A record that no key fits.
    client.stream.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
    client.stream.sock.write_all(&[7; 32]).unwrap();
    let error = client.receive().unwrap_err().to_string();
    assert!(error.contains("BadRecordMac"), "{error}");
    // A client that goes in the middle of a request has sent no request.
    let mut cut = identity.connect(&node);
    cut.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 55\r\n\r\nweather,city=Oslo te");
    drop(cut);
    other.request("POST", "/write?db=d", LINE.as_bytes());
    assert_eq!(other.answer().status, 204);
    assert_eq!(identity.metric(&node, "ringest_points_total"), 1.0);
}

#[test]
fn certificates_are_read_anew() {
    let identity = Identity::new();
    let mut node = identity.start(&[]);
    let old_trust = identity.client(&BOTH, &[]);
    let mut kept = connect(node.address(), &old_trust);
    kept.request("GET", "/ping", b"");
    assert_eq!(kept.answer().status, 204);

    let renewed = write_pair(identity.dir.path());
    node.signal("HUP");
    node.wait_for_log("are read again");
    // Not even the memory of an old session gets past the new certificate.
    let told = refusal(node.address(), &old_trust);
    assert!(told.contains("certificate"), "{told}");
    let new_trust = trust(&renewed, &BOTH, &[]);
    let mut client = connect(node.address(), &new_trust);
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 204);
    kept.request("POST", "/write?db=d", LINE.as_bytes());
    assert_eq!(kept.answer().status, 204, "an open connection goes on");

    fs::write(identity.path("key.pem"), "half a key").unwrap();
    node.signal("HUP");
    let error = node.wait_for_log("stay as they were");
    assert!(error.contains("key.pem holds no private key in PEM") && !error.contains("half a key"), "{error}");
    let mut client = connect(node.address(), &new_trust);
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 204);
    drop((kept, client));
    node.stop();
}

#[test]
fn the_log_warns_of_certificates_that_end_and_of_keys_that_others_can_read() {
    let identity = Identity::new();
    let set_mode = |mode| fs::set_permissions(identity.path("key.pem"), Permissions::from_mode(mode)).unwrap();
    set_mode(0o600);
    let mut node = identity.start(&[]);
    let is_warning = |line: &String| line.contains("tls-cert: ") || line.contains("tls-key: ");
    assert!(!node.seen.iter().any(is_warning), "{:?}", node.seen);
    let now = date_time_ymd(1970, 1, 1) + UNIX_EPOCH.elapsed().unwrap();
    let in_days = |days: u64| now + Duration::from_secs(days * 24 * 3600 + 1800);
    for (from, to, mode, expected) in [
        (date_time_ymd(2000, 1, 1), now - Duration::from_secs(1), 0o600, "cert.pem has expired"),
        (in_days(1), in_days(100), 0o400, "cert.pem is not valid yet"),
        (now, in_days(13), 0o600, "cert.pem expires in 13 days"),
        (now, in_days(14), 0o640, "key.pem has mode 0640"),
        (now, in_days(14), 0o604, "key.pem has mode 0604"),
    ] {
        write_pair_with(identity.dir.path(), |params| (params.not_before, params.not_after) = (from, to));
        set_mode(mode);
        node.seen.clear();
        node.signal("HUP");
        node.wait_for_log(expected);
        assert_eq!(node.seen.iter().filter(|line| is_warning(line)).count(), 1, "{:?}", node.seen);
    }
    let node = identity.start(&[]);
    assert!(node.seen.iter().any(|line| line.contains("key.pem has mode 0604")), "at the start too: {:?}", node.seen);
}

#[test]
fn a_plain_node_survives_sighup() {
    let mut node = Node::start(&[]);
    node.signal("HUP");
    node.wait_for_log("nothing to read again");
    assert_eq!(node.write("d", LINE).status, 204);
}

#[test]
fn idle_connections_are_told_when_the_node_ends() {
    let identity = Identity::new();
    let mut node = identity.start(&[]);
    let mut client = identity.connect(&node);
    client.request("GET", "/ping", b"");
    assert_eq!(client.answer().status, 204);
    node.signal("TERM");
    client.expect_end();
    assert_eq!(node.wait().code(), Some(0));
}

/// A start that must fail; its sentence on standard error.
fn start_refused(certificate: &Path, key: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut command = ringest("serve");
    command.args(["--listen", "127.0.0.1:0"]).arg("--data-dir").arg(dir.path().join("data"));
    let output = command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn files_that_do_not_do_are_refused_by_name() {
    let (identity, other) = (Identity::new(), Identity::new());
    let (certificate, key) = (identity.path("cert.pem"), identity.path("key.pem"));
    let damaged = identity.path("damaged.pem");
    fs::write(&damaged, fs::read_to_string(&key).unwrap().replace("-----END", "")).unwrap();
    let empty = identity.path("empty.pem");
    fs::write(&empty, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n").unwrap();
    for (certificate, key, expected) in [
        (&identity.path("none.pem"), &key, ["tls-cert", "none.pem", "cannot be read (No such file"]),
        (&certificate, &identity.path("none.pem"), ["tls-key", "none.pem", "cannot be read (No such file"]),
        (&key, &key, ["tls-cert", "key.pem", "holds no certificate in PEM"]),
        (&certificate, &certificate, ["tls-key", "cert.pem", "holds no private key in PEM"]),
        (&certificate, &damaged, ["tls-key", "damaged.pem", "ends within a section"]),
        (&certificate, &other.path("key.pem"), ["key.pem", "cert.pem", "is not that of the first certificate"]),
        (&empty, &key, ["empty.pem", "key.pem", "cannot be used"]),
    ] {
        let sentence = start_refused(certificate, key);
        assert!(expected.iter().all(|part| sentence.contains(part)), "{expected:?} in {sentence}");
        assert!(sentence.contains("; give "), "{sentence}");
    }
}

#[test]
fn ringest_flush_asks_a_node_that_it_trusts() {
    let (identity, other) = (Identity::new(), Identity::new());
    let node = identity.start(&["--flush-interval", "1h"]);
    assert_eq!(identity.request(&node, "POST", "/write?db=d", LINE.as_bytes()).status, 204);
    let flush = |url: &str, trusted: &Path| {
        let output = ringest("flush").arg("--url").arg(url).arg("--ca").arg(trusted).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let certificate = identity.path("cert.pem");
    let url = format!("https://localhost:{}", node.address().port());
    assert_eq!(flush(&url, &certificate), (Some(0), String::new()));
    assert_eq!(identity.metric(&node, "ringest_rows_written_total"), 1.0);
    let plain = url.replace("https", "http");
    let address = node.address();
    for (url, trusted, expected) in [
        (&url, &other.path("cert.pem"), "certificate"),
        (&url, &identity.path("key.pem"), "key.pem holds no certificate in PEM"),
        (&format!("https://{address}"), &certificate, "not valid for"),
        (&plain, &certificate, "answered 400: this port speaks TLS"),
    ] {
        let (code, sentence) = flush(url, trusted);
        assert_eq!(code, Some(1));
        assert!(sentence.contains(expected), "{expected:?} in {sentence}");
    }
}

/// As long as a request's head may take: `request-timeout`.
#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let identity = Identity::new();
    let node = identity.start(&["--request-timeout", "1s"]);
    // Nothing, and the beginning of a record.
    let clients = [&b""[..], b"\x16\x03\x01\x01"].map(|bytes| {
        let mut client = Client::new(node.address());
        client.send(bytes);
        client.stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        client
    });
    for mut client in clients {
        // There are no keys for a 408.
        client.expect_end();
    }
    assert_eq!(identity.metric(&node, "ringest_tls_handshake_failures_total"), 2.0);
}

#[test]
fn a_late_request_gets_its_408() {
    let identity = Identity::new();
    let node = identity.start(&["--request-timeout", "1s"]);
    let clients =
        ["GET /pi", "POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 55\r\n\r\nweather"].map(|part| {
            let mut client = identity.connect(&node);
            client.send(part);
            client.stream.sock.set_read_timeout(Some(PATIENCE * 2)).unwrap();
            client
        });
    for mut client in clients {
        assert_eq!(client.answer().status, 408);
        client.expect_end();
    }
}
