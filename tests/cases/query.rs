//! `/query`: what client libraries ask when they start, answered member by member as InfluxDB 1.x does.

use crate::answers::expect_row;
use crate::buckets::configured;
use crate::node::{Answer, Node, gzip};

fn encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn ask(node: &Node, query: &str) -> Answer {
    node.request("POST", &format!("/query?q={}", encoded(query)), b"")
}

/// The body of a 200.
fn told(node: &Node, query: &str) -> String {
    let answer = ask(node, query);
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.text()
}

/// The error member of the only statement.
fn error(node: &Node, query: &str) -> String {
    let answer = ask(node, query);
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let json = answer.json();
    json["results"][0]["error"].as_str().unwrap_or_else(|| panic!("{query}: {json}")).to_owned()
}

#[test]
fn statements_are_answered_as_influxdb_answers_them() {
    let node = Node::start(&["--default-retention", "72h"]);
    let policies = |rows: &str| {
        format!(
            "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"columns\":[\"name\",\"duration\",\"shardGroupDuration\",\
             \"replicaN\",\"default\"],\"values\":[{rows}]}}]}}]}}\n"
        )
    };
    for (query, expected) in [
        ("SHOW DATABASES", r#"{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"]}]}]}"#),
        ("CREATE DATABASE \"x\"", r#"{"results":[{"statement_id":0}]}"#),
        ("create database x", r#"{"results":[{"statement_id":0}]}"#),
        (
            "SHOW DATABASES",
            r#"{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"values":[["x"]]}]}]}"#,
        ),
        (
            "CREATE DATABASE \"y\" WITH DURATION 7d REPLICATION 1 SHARD DURATION 1h NAME \"autogen\"",
            r#"{"results":[{"statement_id":0}]}"#,
        ),
        (
            "SHOW DATABASES; CREATE DATABASE z ;show databases",
            concat!(
                r#"{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"values":[["x"],["y"]]}]},"#,
                r#"{"statement_id":1},"#,
                r#"{"statement_id":2,"series":[{"name":"databases","columns":["name"],"values":[["x"],["y"],["z"]]}]}]}"#
            ),
        ),
        ("SHOW RETENTION POLICIES ON \"no\"", r#"{"results":[{"statement_id":0,"error":"database not found: no"}]}"#),
        ("SHOW RETENTION POLICIES", r#"{"results":[{"statement_id":0,"error":"database name required"}]}"#),
    ] {
        assert_eq!(told(&node, query), format!("{expected}\n"), "{query}");
    }
    assert_eq!(told(&node, "SHOW RETENTION POLICIES ON x"), policies(r#"["autogen","72h0m0s","24h0m0s",1,true]"#));
    told(&node, "CREATE RETENTION POLICY \"for ever\" ON x DURATION INF REPLICATION 1");
    told(&node, "CREATE RETENTION POLICY short ON x DURATION 1h30m REPLICATION 1 SHARD DURATION 0s");
    let rows = r#"["autogen","72h0m0s","24h0m0s",1,true],["for ever","0s","168h0m0s",1,false],["short","1h30m0s","1h0m0s",1,false]"#;
    assert_eq!(told(&node, "SHOW RETENTION POLICIES ON \"x\""), policies(rows));
    let answer = node.request("GET", &format!("/query?db=x&q={}", encoded("SHOW RETENTION POLICIES")), b"");
    assert_eq!(answer.text(), policies(rows));
    // A policy takes what was said.
    let answer = node.request("POST", "/write?db=x&rp=for+ever", b"m f=1 1");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(node.request("POST", "/write?db=x&rp=short", b"m f=1 1").status, 422);
}

#[test]
fn every_answer_carries_the_headers_that_clients_read() {
    let node = Node::start(&[]);
    let answer = ask(&node, "SHOW DATABASES");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert!(answer.header("X-Influxdb-Version").is_some_and(|version| version.starts_with("1.8")));
    assert_eq!(answer.header("X-Influxdb-Build"), Some("OSS"));
    assert!(answer.header("Request-Id").is_some());
    let pretty = node.request("GET", "/query?pretty=true&q=SHOW+DATABASES", b"");
    assert!(pretty.text().starts_with("{\n    \"results\": [\n        {\n"), "{pretty:?}");
}

#[test]
fn another_retention_than_the_existing_one_conflicts() {
    let toml = "default-retention = \"72h\"\n[bucket.fixed]\nretention = \"10h\"\n";
    let node = configured(tempfile::tempdir().unwrap(), toml, &["--default-retention", "72h"]);
    const CONFLICT: &str = "retention policy conflicts with an existing policy";
    told(&node, "CREATE DATABASE x WITH DURATION 5h");
    assert_eq!(error(&node, "CREATE DATABASE x WITH DURATION 6h"), CONFLICT);
    assert_eq!(error(&node, "CREATE RETENTION POLICY autogen ON x DURATION INF REPLICATION 1"), CONFLICT);
    for same in [
        "CREATE DATABASE x",
        "CREATE DATABASE x WITH DURATION 300m",
        "CREATE RETENTION POLICY autogen ON x DURATION 5h REPLICATION 1 DEFAULT",
        "CREATE DATABASE fixed WITH DURATION 10h",
    ] {
        assert_eq!(told(&node, same), "{\"results\":[{\"statement_id\":0}]}\n", "{same}");
    }
    assert_eq!(error(&node, "CREATE DATABASE fixed WITH DURATION 11h"), CONFLICT);
    assert_eq!(error(&node, "CREATE DATABASE x WITH DURATION 100ms"), "retention policy duration must be at least 1s");
}

/// What micrometer sends when it starts, with a policy of its own; it writes with `rp` then.
#[test]
fn a_database_is_created_with_a_policy_of_another_name() {
    const CREATE: &str = "CREATE DATABASE \"mdb\" WITH DURATION 30d REPLICATION 1 SHARD DURATION 1d NAME \"mrp\"";
    const DONE: &str = "{\"results\":[{\"statement_id\":0}]}\n";
    const CONFLICT: &str = "retention policy conflicts with an existing policy";
    let args = ["--default-retention", "72h", "--auto-create-buckets=false"];
    let node = Node::start(&args);
    assert_eq!(told(&node, CREATE), DONE);
    let node = Node::start_in(node.kill(), &args);
    let policies = |node: &Node| {
        let shown = ask(node, "SHOW RETENTION POLICIES ON mdb").json();
        shown["results"][0]["series"][0]["values"].clone()
    };
    let both =
        serde_json::json!([["autogen", "72h0m0s", "24h0m0s", 1, true], ["mrp", "720h0m0s", "24h0m0s", 1, false]]);
    assert_eq!(policies(&node), both);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let old = format!("m f=1 {}", now - 20 * 86_400);
    for (target, status) in [("db=mdb&rp=mrp", 204), ("db=mdb", 422), ("db=mdb&rp=autogen", 422)] {
        let answer = node.request("POST", &format!("/write?{target}&precision=s"), old.as_bytes());
        assert_eq!(answer.status, status, "{target}: {answer:?}");
    }
    // Once more is success; another duration is none, whatever the policy was created by, and brings nothing else.
    assert_eq!(told(&node, CREATE), DONE);
    assert_eq!(told(&node, "CREATE DATABASE mdb WITH NAME mrp"), DONE);
    assert_eq!(error(&node, "CREATE DATABASE mdb WITH DURATION 31d NAME mrp"), CONFLICT);
    assert_eq!(told(&node, "CREATE RETENTION POLICY mrp ON mdb DURATION 720h REPLICATION 1"), DONE);
    assert_eq!(policies(&node), both);
    // The same under the name that the policy has anyway.
    assert_eq!(told(&node, "CREATE DATABASE plain WITH DURATION 5h NAME autogen"), DONE);
    let shown = ask(&node, "SHOW RETENTION POLICIES ON plain").json();
    let rows = serde_json::json!([["autogen", "5h0m0s", "1h0m0s", 1, true]]);
    assert_eq!(shown["results"][0]["series"][0]["values"], rows);
}

#[test]
fn a_policy_that_conflicts_brings_no_database() {
    let toml = "[bucket.\"fixed/r\"]\nretention = \"10h\"\n";
    let node = configured(tempfile::tempdir().unwrap(), toml, &["--auto-create-buckets=false"]);
    let refused = error(&node, "CREATE DATABASE fixed WITH DURATION 11h NAME r");
    assert_eq!(refused, "retention policy conflicts with an existing policy");
    assert_eq!(node.write("fixed", "m f=1").status, 404);
    told(&node, "CREATE DATABASE fixed WITH DURATION 10h NAME r");
    node.must_write("fixed", "m f=1");
}

/// They would be found under other names: a bucket `a/r` is the policy `r` of the database `a`.
#[test]
fn names_with_a_slash_are_invalid() {
    let node = Node::start(&[]);
    told(&node, "CREATE DATABASE a");
    for query in [
        "CREATE DATABASE \"a/r\"",
        "CREATE DATABASE \"q/autogen\"",
        "CREATE DATABASE \"/\"",
        "CREATE DATABASE x WITH NAME \"a/r\"",
        "CREATE DATABASE x WITH NAME \"\"",
        "CREATE RETENTION POLICY \"r/s\" ON a DURATION 1h REPLICATION 1",
        "CREATE RETENTION POLICY r ON \"a/r\" DURATION 1h REPLICATION 1",
    ] {
        let error = error(&node, query);
        assert!(error.starts_with("invalid name: "), "{query}: {error}");
    }
    let shown = ask(&node, "SHOW DATABASES").json();
    assert_eq!(shown["results"][0]["series"][0]["values"], serde_json::json!([["a"]]));
    let policies = ask(&node, "SHOW RETENTION POLICIES ON a").json();
    assert_eq!(policies["results"][0]["series"][0]["values"].as_array().map(Vec::len), Some(1));
}

#[test]
fn drop_and_select_say_that_they_did_nothing() {
    let node = Node::start(&[]);
    node.must_write("x", "m f=1 1");
    for (query, what) in [
        ("DROP DATABASE \"x\"", "DROP DATABASE"),
        ("DELETE FROM m", "DELETE"),
        ("SELECT * FROM m", "SELECT"),
        ("SHOW MEASUREMENTS", "SHOW MEASUREMENTS"),
        ("SHOW SERIES ON x", "SHOW SERIES"),
        ("SHOW TAG KEYS", "SHOW TAG KEYS"),
        ("SHOW USERS", "SHOW USERS"),
        ("ALTER RETENTION POLICY autogen ON x DURATION 1h", "ALTER RETENTION POLICY"),
    ] {
        let error = error(&node, query);
        assert!(error.starts_with(&format!("{what} is not supported and nothing was done")), "{error}");
    }
    for (query, part) in [
        ("CREATE RETENTION POLICY r ON x DURATION 1h REPLICATION 1 DEFAULT", "leave DEFAULT out"),
        ("CREATE DATABASE y WITH DURATION 5h FUTURE LIMIT 1h", "FUTURE LIMIT is not supported"),
        ("CREATE RETENTION POLICY r ON y DURATION 1h REPLICATION 1", "database not found: y"),
        ("CREATE DATABASE \"\"", "invalid name"),
    ] {
        let error = error(&node, query);
        assert!(error.contains(part), "{query}: {error}");
    }
    // What follows a statement that failed is not executed.
    let answer = told(&node, "CREATE DATABASE a; DROP DATABASE x; CREATE DATABASE b");
    assert!(
        answer.contains(r#"{"statement_id":0},"#) && answer.contains(r#"{"statement_id":2,"error":"not executed"}"#),
        "{answer}"
    );
    assert!(told(&node, "SHOW DATABASES").contains(r#""values":[["a"],["x"]]"#));
    assert_eq!(node.lake().lines("x", "m").len(), 1);
}

#[test]
fn a_query_comes_in_the_url_in_a_form_or_as_the_body() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let mut answers = |method: &str, target: &str, headers: &str, body: &[u8]| {
        client.request_with(method, target, headers, body);
        let answer = client.answer();
        (answer.status, answer.text())
    };
    let done = (200, "{\"results\":[{\"statement_id\":0}]}\n".to_owned());
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(answers("GET", "/query?q=CREATE+DATABASE+a", "", b""), done);
    assert_eq!(answers("POST", "/query", form, b"q=CREATE+DATABASE+%22b%22&u=root&p=root"), done);
    assert_eq!(answers("POST", "/query", "Content-Type: application/vnd.influxql\r\n", b"CREATE DATABASE c"), done);
    // As curl -F does, with a field and with a file.
    let part = |of: &str, value: &str| format!("--b0\r\nContent-Disposition: form-data; {of}\r\n\r\n{value}\r\n");
    let parts = "Content-Type: multipart/form-data; boundary=b0\r\n";
    let field = part("name=\"db\"", "x") + &part("name=\"q\"", "CREATE DATABASE f") + "--b0--\r\n";
    assert_eq!(answers("POST", "/query?q=nothing", parts, field.as_bytes()), done);
    let file = part("name=\"q\"; filename=\"q.txt\"", "CREATE DATABASE g\n") + "--b0--\r\n";
    assert_eq!(answers("POST", "/query", parts, file.as_bytes()), done);
    assert_eq!(answers("GET", "/query?q=CREATE+DATABASE+g", parts, b""), done);
    for (headers, body, why) in [
        ("Content-Type: multipart/form-data\r\n", file.as_bytes(), "names no boundary"),
        (parts, &file.as_bytes()[..file.len() - 10], "ends without its closing boundary"),
        (parts, b"q=SHOW+DATABASES", "does not begin with its boundary"),
    ] {
        let (status, text) = answers("POST", "/query", headers, body);
        assert!(status == 400 && text.contains(why), "{status} {text}");
    }
    // The Python client announces gzip with every request once it was asked for.
    assert_eq!(answers("POST", "/query?q=CREATE+DATABASE+d", "Content-Encoding: gzip\r\n", b""), done);
    let headers = format!("{form}Content-Encoding: gzip\r\n");
    assert_eq!(answers("POST", "/query", &headers, &gzip(b"q=CREATE+DATABASE+e")), done);
    let (_, shown) = answers("POST", "/query", form, b"q=SHOW+DATABASES");
    assert!(shown.contains(r#"[["a"],["b"],["c"],["d"],["e"],["f"],["g"]]"#), "{shown}");
}

#[test]
fn queries_that_cannot_be_read_are_400() {
    let node = Node::start(&[]);
    for (target, message) in [
        ("/query", "missing required parameter \"q\""),
        ("/query?q=", "missing required parameter \"q\""),
        ("/query?q=CREATE+TABLE+x", "error parsing query: found TABLE, expected ANALYZE, CARDINALITY,"),
        ("/query?q=SHOW+DATABASES+now", "error parsing query: found now, expected ;, EOF at line 1, char 16"),
    ] {
        let answer = node.request("POST", target, b"");
        expect_row("is no InfluxQL", &answer);
        assert!(answer.json()["error"].as_str().unwrap().starts_with(message), "{answer:?}");
    }
    let many = "SHOW+DATABASES;".repeat(33);
    assert_eq!(node.request("GET", &format!("/query?q={many}"), b"").status, 400);
    assert_eq!(node.request("DELETE", "/query?q=SHOW+DATABASES", b"").header("Allow"), Some("GET, POST, OPTIONS"));
    let large = vec![b'x'; (64 << 10) + 1];
    let answer = node.request("POST", "/query", &large);
    assert_eq!((answer.status, &answer.json()["code"]), (413, &"invalid".into()), "{answer:?}");
    assert!(answer.json()["message"].as_str().unwrap().contains("65536"), "{answer:?}");
    let mut client = node.connect();
    client.send("POST /query HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("{:x}\r\n", large.len()));
    client.send(&large);
    client.send("\r\n0\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    // Whatever the coding of a body that is not there, and not of one that is.
    for (body, status) in [(&b""[..], 200), (b"q=SHOW+DATABASES", 415)] {
        let mut client = node.connect();
        client.request_with("POST", "/query?q=SHOW+DATABASES", "Content-Encoding: br\r\n", body);
        assert_eq!(client.answer().status, status);
    }
}

#[test]
fn parameters_of_a_query_that_are_not_utf8_are_400() {
    let node = Node::start(&[]);
    let form = "application/x-www-form-urlencoded";
    for (target, media_type, body, part) in [
        ("/query?q=CREATE+DATABASE+%22%ff%22", form, &b""[..], "parameter \"q\""),
        ("/query?q=SHOW+RETENTION+POLICIES&db=%ff", form, b"", "parameter \"db\""),
        ("/query", form, b"q=CREATE+DATABASE+%22%ff%22", "parameter \"q\""),
        ("/query", form, b"q=CREATE DATABASE \"\xff\"", "parameter \"q\""),
        ("/query?q=SHOW+DATABASES", form, b"db=x%c3&q=SHOW+RETENTION+POLICIES", "parameter \"db\""),
        ("/query", "application/vnd.influxql", b"CREATE DATABASE \"\xff\"", "the body"),
    ] {
        let mut client = node.connect();
        client.request_with("POST", target, &format!("Content-Type: {media_type}\r\n"), body);
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["message"].as_str().unwrap().contains(part), "{answer:?}");
    }
    // Credentials are nobody's name.
    assert_eq!(node.request("POST", "/query?q=SHOW+DATABASES&u=%ff&p=%ff", b"u=%ff").status, 200);
    assert!(!told(&node, "SHOW DATABASES").contains("values"), "nothing was created");
}

#[test]
fn databases_are_shown_under_the_names_by_which_writes_reach_them() {
    let toml = r#"
[bucket.configured]
[bucket."c/rp"]
[[mapping]]
db = "d"
bucket = "elsewhere"
[[mapping]]
db = "d"
rp = "x"
bucket = "d"
"#;
    let node = configured(tempfile::tempdir().unwrap(), toml, &[]);
    node.must_write("plain", "m f=1 1");
    for bucket in ["/odd", "d/x", "autogenous/autogen", "elsewhere"] {
        assert_eq!(node.request("POST", &format!("/api/v2/write?bucket={bucket}"), b"m f=1 1").status, 204);
    }
    let shown = ask(&node, "SHOW DATABASES").json();
    let expected = serde_json::json!([
        ["/odd"],
        ["autogenous/autogen"],
        ["c"],
        ["configured"],
        ["d"],
        ["d/x"],
        ["elsewhere"],
        ["plain"]
    ]);
    assert_eq!(shown["results"][0]["series"][0]["values"], expected);
    let policies = ask(&node, "SHOW RETENTION POLICIES ON d").json();
    let names: Vec<_> =
        policies["results"][0]["series"][0]["values"].as_array().unwrap().iter().map(|row| &row[0]).collect();
    assert_eq!(names, ["autogen", "x"]);
}
