//! Which bucket a write goes to, which buckets there are, and how old their points may be.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::answers::expect_row;
use crate::lake_reader::Lake;
use crate::node::{Node, ringest};

const HOUR_NS: u64 = 3_600_000_000_000;

/// A node whose configuration file says `toml`. The file lies beside the data.
pub fn configured(dir: TempDir, toml: &str, args: &[&str]) -> Node {
    let file = dir.path().join("ringest.toml");
    fs::write(&file, toml).unwrap();
    let file = file.to_str().unwrap().to_owned();
    Node::start_in(dir, &[&["--config", &file], args].concat())
}

/// A line whose time lies so many hours back.
fn aged(measurement: &str, hours: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    format!("{measurement} f=1 {}", now - hours * HOUR_NS)
}

#[test]
fn a_mapping_beats_everything() {
    let toml = r#"
[[mapping]]
db = "d"
bucket = "all of d"

[[mapping]]
db = "d"
rp = "long"
bucket = "e"
"#;
    let node = configured(tempfile::tempdir().unwrap(), toml, &[]);
    // Buckets of the names that would be meant without the mappings.
    for bucket in ["d", "d%2Flong"] {
        let answer = node.request("POST", &format!("/api/v2/write?bucket={bucket}"), b"direct f=1 1");
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    for (target, line) in [
        ("db=d", "default f=1 1"),
        ("db=d&rp=", "default f=1 2"),
        ("db=d&rp=autogen", "default f=1 3"),
        ("db=d&rp=long", "long f=1 1"),
        ("db=d&rp=other", "other f=1 1"),
        ("db=e", "e f=1 1"),
    ] {
        let answer = node.request("POST", &format!("/write?{target}"), line.as_bytes());
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let lake = node.lake();
    assert_eq!(lake.lines("all of d", "default").len(), 3);
    assert_eq!((lake.lines("e", "long").len(), lake.lines("e", "e").len()), (1, 1));
    assert_eq!(lake.lines("d/other", "other").len(), 1);
    assert_eq!((lake.lines("d", "direct").len(), lake.lines("d/long", "direct").len()), (1, 1));
    assert_eq!((lake.lines("d", "default").len(), lake.lines("d/long", "long").len()), (0, 0));
}

#[test]
fn a_configured_retention_judges_at_once() {
    // The bucket is born with 72 h.
    let node = Node::start(&["--default-retention", "72h"]);
    node.must_write("d", &aged("m", 48));
    assert_eq!(node.write("d", &aged("m", 96)).status, 422);

    // Shorter, also for what the log holds from before: that is not judged again.
    let node = configured(node.kill(), "[bucket.d]\nretention = \"24h\"\n[bucket.new]\nretention = \"1000h\"\n", &[]);
    assert_eq!(node.write("d", &aged("m", 48)).status, 422);
    node.must_write("d", &aged("m", 12));
    node.must_write("new", &aged("m", 900));
    assert_eq!(node.write("new", &aged("m", 1100)).status, 422);
    assert_eq!(node.lake().lines("d", "m").len(), 2);

    // For ever, and without a section again what it was born with.
    let node = configured(node.stop(), "[bucket.d]\nretention = \"inf\"\n", &[]);
    node.must_write("d", "m f=1 1");
    let node = Node::start_in(node.stop(), &[]);
    assert_eq!(node.write("d", &aged("m", 96)).status, 422);
    assert_eq!(node.write("new", &aged("m", 1100)).status, 422, "it was born with what the configuration said");
    node.must_write("d", &aged("m", 48));
}

#[test]
fn auto_create_off_is_404_until_created() {
    let toml = "auto-create-buckets = false\n[bucket.configured]\n[[mapping]]\ndb = \"mapped\"\nbucket = \"target\"\n";
    let node = configured(tempfile::tempdir().unwrap(), toml, &[]);
    for target in ["/write?db=d", "/write?db=d&rp=r", "/api/v2/write?bucket=d", "/api/v2/write?bucket=d&rp=r"] {
        let answer = node.request("POST", target, b"m f=1 1");
        expect_row("`auto-create-buckets` is off", &answer);
        // What makes Telegraf create the database.
        assert!(answer.json()["error"].as_str().unwrap().starts_with("database not found: "), "{target}: {answer:?}");
    }
    // Parameters and encoding are judged before, the body is not.
    assert_eq!(node.request("POST", "/write?db=d&precision=x", b"").status, 400);
    assert_eq!(node.request("POST", "/write?db=d", b"no line").status, 404);
    node.must_write("configured", "m f=1 1");
    node.must_write("mapped", "m f=1 1");

    let created = node.request("POST", "/query?q=CREATE+DATABASE+d", b"");
    assert_eq!((created.status, created.text().as_str()), (200, "{\"results\":[{\"statement_id\":0}]}\n"));
    node.must_write("d", "m f=1 1");
    assert_eq!(node.request("POST", "/api/v2/write?bucket=d", b"m f=2 2").status, 204);
    assert_eq!(node.request("POST", "/write?db=d&rp=r", b"m f=1 1").status, 404);
    let lake = node.lake();
    assert_eq!((lake.lines("d", "m").len(), lake.lines("target", "m").len()), (2, 1));
    // What was created is there for the next life too.
    let node = configured(node.stop(), toml, &[]);
    node.must_write("d", "m f=3 3");
    assert_eq!(node.write("other", "m f=1 1").status, 404);
}

/// Telegraf would create the database for ever if it were told that this is what is missing.
#[test]
fn a_missing_policy_of_a_database_that_exists_is_named() {
    let toml = "auto-create-buckets = false\n[bucket.configured]\n[bucket.\"half/r\"]\n[[mapping]]\ndb = \"mapped\"\nrp = \"r\"\nbucket = \"target\"\n";
    let node = configured(tempfile::tempdir().unwrap(), toml, &[]);
    let expect = |target: &str, error: &str| {
        let answer = node.request("POST", &format!("/write?{target}"), b"m f=1 1");
        expect_row("`auto-create-buckets` is off", &answer);
        assert_eq!(answer.json()["error"], error, "{target}: {answer:?}");
    };
    expect("db=u&rp=z", "database not found: \"u/z\"");
    assert_eq!(node.request("POST", "/query?q=CREATE+DATABASE+u", b"").status, 200);
    for db in ["u", "configured", "half", "mapped"] {
        expect(&format!("db={db}&rp=z"), "retention policy not found: z");
    }
    expect("db=half", "database not found: \"half\"");
    let create = "/query?q=CREATE+RETENTION+POLICY+z+ON+u+DURATION+INF+REPLICATION+1";
    assert_eq!(node.request("POST", create, b"").text(), "{\"results\":[{\"statement_id\":0}]}\n");
    assert_eq!(node.request("POST", "/write?db=u&rp=z", b"m f=1 1").status, 204);
}

#[test]
fn parallel_creates_make_one_bucket() {
    const CLIENTS: usize = 16;
    let node = Node::start(&["--shards", "4"]);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let mut client = node.connect();
            scope.spawn(move || {
                let (method, target, body) = match number % 2 {
                    0 => ("POST", "/write?db=d".to_owned(), format!("m,c=c{number} f=1 1")),
                    _ => ("POST", "/query?q=CREATE%20DATABASE%20%22d%22".to_owned(), String::new()),
                };
                client.request(method, &target, body.as_bytes());
                let answer = client.answer();
                assert_eq!(answer.status, if number % 2 == 0 { 204 } else { 200 }, "{answer:?}");
                assert!(!answer.text().contains("error"), "{answer:?}");
            });
        }
    });
    let shown = node.request("GET", "/query?q=SHOW+DATABASES", b"");
    assert_eq!(shown.json()["results"][0]["series"][0]["values"], serde_json::json!([["d"]]));
    let lake = node.lake();
    assert_eq!(lake.lines("d", "m").len(), CLIENTS / 2);
}

#[test]
fn a_refused_body_creates_no_bucket() {
    let node = Node::start(&[]);
    assert_eq!(node.write("d", "m f=").status, 400);
    let shown = node.request("GET", "/query?q=SHOW+DATABASES", b"");
    assert_eq!(
        shown.text(),
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"]}]}]}\n"
    );
}

#[test]
fn a_created_database_survives_kill() {
    for durability in ["sync", "write"] {
        let node = Node::start(&["--durability", durability, "--flush-interval", "1h"]);
        let query =
            "/query?q=CREATE+DATABASE+d+WITH+DURATION+5h;CREATE+RETENTION+POLICY+r+ON+d+DURATION+7d+REPLICATION+1";
        let answer = node.request("POST", query, b"");
        let expected = "{\"results\":[{\"statement_id\":0},{\"statement_id\":1}]}\n";
        assert_eq!((answer.status, answer.text().as_str()), (200, expected));
        let node = Node::start_in(node.kill(), &["--auto-create-buckets=false"]);
        node.must_write("d", &aged("m", 4));
        assert_eq!(node.write("d", &aged("m", 6)).status, 422);
        let answer = node.request("POST", "/write?db=d&rp=r", aged("m", 160).as_bytes());
        assert_eq!(answer.status, 204, "{answer:?}");
        let lake = Lake::read(node.stop().path());
        assert_eq!((lake.lines("d", "m").len(), lake.lines("d/r", "m").len()), (1, 1));
    }
}

/// Births of buckets fill the log as writes do, and are flushed out of it as they are.
#[test]
fn a_log_full_of_created_databases_is_flushed() {
    let node = Node::start(&["--wal-size-limit", "32MiB", "--flush-interval", "1h"]);
    let query = format!("q=CREATE DATABASE \"{}\"", "x".repeat(60_000));
    let mut client = node.connect();
    for number in 0..1_000 {
        client.request("POST", "/query", query.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{number}: {answer:?}");
    }
}

#[test]
fn check_config_prints_the_sections_and_refuses_what_is_wrong_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ringest.toml");
    let check = |toml: &str| {
        fs::write(&file, toml).unwrap();
        ringest("check-config").arg("--config").arg(&file).output().unwrap()
    };
    let output =
        check("[bucket.\"a b\"]\nretention = \"30d\"\nrejects = true\n[[mapping]]\ndb = \"d\"\nbucket = \"a b\"\n");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        printed.ends_with(
            "[bucket.\"a b\"]\nretention = \"720h\"\nrejects = true\n\n[[mapping]]\ndb = \"d\"\nbucket = \"a b\"\n"
        ),
        "{printed}"
    );
    assert!(printed.contains(&format!("\n# {}\n", file.display())), "{printed}");
    assert_eq!(String::from_utf8(check(&printed).stdout).unwrap().lines().count(), printed.lines().count());
    let output = check("[bucket.a]\nretentoin = \"1h\"\n");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ringest.toml:2: there is no option \"retentoin\" (did you mean \"retention\"?)"), "{said}");
}
