//! What a write means: what is stored, what is refused, and how the node says so.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::node::{Answer, Node};

/// 2023-11-14, 22:13:20 UTC.
const T: i64 = 1_700_000_000_000_000_000;

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// What every error answer must have; returns `message` and `error`.
fn check_error(answer: &Answer, status: u16, code: &str) -> (String, String) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["code"], code, "{answer:?}");
    assert_eq!(answer.header("X-Platform-Error-Code"), Some(code), "{answer:?}");
    let text = |member: &str| body[member].as_str().unwrap_or_else(|| panic!("{member} in {answer:?}")).to_owned();
    let (message, error) = (text("message"), text("error"));
    assert!(!message.is_empty() && !error.is_empty(), "{answer:?}");
    let header = answer.header("X-Influxdb-Error").unwrap_or_default();
    assert!(header.len() <= 1024 && error.replace('\n', " ").starts_with(header) && !header.is_empty(), "{answer:?}");
    assert_eq!(body.get("line").is_some(), status == 400 && message.contains("unable to parse"), "{answer:?}");
    (message, error)
}

#[test]
fn errors_have_one_shape() {
    let node = Node::start(&["--max-body-size", "100000"]);
    node.must_write("d", &format!("m f=1 {T}"));
    let large = "x".repeat(100_001);
    let cases = [
        ("POST", "/write", "", "m f=1", 400, "invalid", "missing db", "database is required"),
        ("POST", "/write?db=", "", "m f=1", 400, "invalid", "missing db", "database is required"),
        (
            "POST",
            "/write?db=d&precision=S",
            "",
            "m f=1",
            400,
            "invalid",
            "n, ns, u, us, µs, ms, s, m and h",
            "precision",
        ),
        (
            "POST",
            "/api/v2/write?bucket=d&precision=h",
            "",
            "m f=1",
            400,
            "invalid",
            "n, ns, u, us, ms and s",
            "precision",
        ),
        ("POST", "/api/v2/write", "", "m f=1", 404, "not found", "bucket not found", "bucket not found"),
        ("POST", "/nowhere", "", "m f=1", 404, "not found", "path not found", "path not found"),
        ("GET", "/write?db=d", "", "", 405, "method not allowed", "allow: ", "POST"),
        ("DELETE", "/ping", "", "", 405, "method not allowed", "allow: ", "GET"),
        ("POST", "/write?db=d", "", &*large, 413, "invalid", "100000", "100000"),
        ("POST", "/write?db=d", "Content-Encoding: br\r\n", "m f=1", 415, "unsupported media type", "gzip", "\"br\""),
        (
            "POST",
            "/write?db=d",
            "",
            "m f=1i",
            422,
            "unprocessable entity",
            "failure writing points to database: partial write: field type conflict: ",
            "partial write: field type conflict: ",
        ),
        ("POST", "/write?db=d", "", "m", 400, "invalid", "unable to parse 'm': missing fields", "unable to parse 'm'"),
    ];
    for (method, target, headers, body, status, code, message, error) in cases {
        let mut client = node.connect();
        let headers = format!("{headers}X-Request-Id: of-mine\r\n");
        client.request_with(method, target, &headers, body.as_bytes());
        let answer = client.answer();
        let (says, v1_says) = check_error(&answer, status, code);
        assert!(says.contains(message) && v1_says.contains(error), "{answer:?}");
        assert_eq!(answer.header("Allow").is_some(), status == 405, "{answer:?}");
        check_common_headers(&answer);
    }
    assert_eq!(node.lake().lines("d", "m"), [format!("f=1.0 {T}")]);
}

fn check_common_headers(answer: &Answer) {
    assert_eq!(answer.header("X-Influxdb-Build"), Some("OSS"), "{answer:?}");
    let version = answer.header("X-Influxdb-Version").unwrap_or_default();
    assert!(version.starts_with("1.8.10-ringest-"), "{answer:?}");
    assert_eq!(answer.header("Request-Id"), Some("of-mine"), "{answer:?}");
    assert_eq!(answer.header("X-Request-Id"), Some("of-mine"), "{answer:?}");
}

#[test]
fn success_is_204_without_a_body() {
    let node = Node::start(&[]);
    for (method, target, body) in
        [("POST", "/write?db=d", "m f=1"), ("GET", "/ping", ""), ("POST", "/api/v2/write?bucket=d&org=o", "m f=1")]
    {
        let mut client = node.connect();
        client.request_with(method, target, "Request-Id: of-mine\r\n", body.as_bytes());
        let answer = client.answer();
        assert_eq!((answer.status, &*answer.body, answer.header("Content-Length")), (204, &b""[..], None));
        check_common_headers(&answer);
    }
}

#[test]
fn bad_lines_are_named_by_their_physical_line() {
    let node = Node::start(&[]);
    for (body, line, message) in [
        ("m", 1, "unable to parse 'm': missing fields"),
        ("\n\n# c\r\n  bad,\r\nm f=1", 4, "unable to parse 'bad,': missing"),
        ("m f=\"1\n2\n3\"\nm f=\"x\" 1 2", 4, "text after the timestamp"),
        ("m f=1\nm f=\"open\nm g=1\nm h=1", 2, "unbalanced quotes"),
        ("m f=1 1\n\nm f=nan 2\nm f=1e400 3", 3, "'m f=1e400 3': invalid float"),
        ("m f=9223372036854775808i", 1, "unable to parse integer"),
        ("m,t=a,t=a f=1", 1, "duplicate tags"),
        ("m,time=a f=1", 1, "reserved tag key \"time\""),
        ("m f=1 9223372036854775807", 1, "time outside range"),
    ] {
        let answer = node.write("d", body);
        let (says, _) = check_error(&answer, 400, "invalid");
        assert_eq!(answer.json()["line"], json!(line), "{answer:?}");
        assert!(says.contains(message), "{answer:?}");
    }
    let answer = node.request("POST", "/write?db=d", b"ok f=1\nm\xFFx f=1");
    assert_eq!(answer.json()["line"], json!(2), "{answer:?}");
    assert!(answer.text().contains('\u{FFFD}'), "{answer:?}");
    assert!(node.lake().files.is_empty());
}

#[test]
fn a_malformed_line_leaves_nothing_behind() {
    let node = Node::start(&[]);
    let lines = format!("m,new=tag would_be=1i {T}\nm,new=tag broken {T}\nother f=1 {T}");
    assert_eq!(node.write("d", &lines).status, 400);
    node.flush();
    assert_eq!(std::fs::read_dir(node.data_dir().join("lake")).unwrap().count(), 0, "a folder was made");
    // Had the field or the tag been born, these would be refused or renamed.
    node.must_write("d", &format!("m would_be=\"text\",new=2.5 {T}"));
    let lake = node.lake();
    assert_eq!(lake.lines("d", "m"), [format!("new=2.5,would_be=\"text\" {T}")]);
    assert_eq!(lake.files.len(), 1);
    assert_eq!(lake.files[0].columns, ["time", "time_ns_rem", "would_be", "new"]);
}

#[test]
fn timestamps_count_in_the_unit_of_precision() {
    let node = Node::start(&[]);
    let units = [
        ("", 1),
        ("&precision=", 1),
        ("&precision=n", 1),
        ("&precision=ns", 1),
        ("&precision=u", 1_000),
        ("&precision=us", 1_000),
        ("&precision=%C2%B5s", 1_000),
        ("&precision=ms", 1_000_000),
        ("&precision=s", 1_000_000_000),
        ("&precision=m", 60_000_000_000),
        ("&precision=h", 3_600_000_000_000),
    ];
    let mut expected = Vec::new();
    for (number, (precision, ns)) in units.into_iter().enumerate() {
        let body = format!("m n={number}i {number}1");
        assert_eq!(node.request("POST", &format!("/write?db=d{precision}"), body.as_bytes()).status, 204);
        expected.push(format!("n={number}i {}", (number as i64 * 10 + 1) * ns));
    }
    expected.sort();
    assert_eq!(node.lake().lines("d", "m"), expected);
}

#[test]
fn a_time_that_the_unit_carries_out_of_range_is_a_bad_line() {
    let node = Node::start(&[]);
    let answer = node.request("POST", "/write?db=d&precision=s", b"m f=1 1700000000000000000");
    let (message, _) = check_error(&answer, 400, "invalid");
    assert!(message.contains("time outside range"), "{message}");
}

#[test]
fn points_without_a_timestamp_get_the_truncated_receive_time() {
    let node = Node::start(&[]);
    for (unit, ns) in [("ns", 1), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)] {
        let before = now_ns();
        let body = format!("{unit},host=a f=1\n{unit},host=b f=2\n{unit},host=a f=3,g=4");
        let target = format!("/write?db=d&precision={unit}");
        assert_eq!(node.request("POST", &target, body.as_bytes()).status, 204);
        let after = now_ns();
        let lake = node.lake();
        let rows = lake.rows("d", unit);
        // One time for the whole request: the points of host a are one.
        assert_eq!(rows.len(), 2, "{rows:?}");
        let time_ns = rows[0].time_ns;
        assert_eq!(rows[1].time_ns, time_ns);
        assert_eq!(time_ns % ns, 0, "{time_ns} in {unit}");
        assert!((before / ns * ns..=after).contains(&time_ns), "{before} {time_ns} {after}");
        assert_eq!(lake.lines("d", unit)[0], format!("host=a f=3.0,g=4.0 {time_ns}"));
    }
}

#[test]
fn db_and_rp_name_the_bucket() {
    let node = Node::start(&[]);
    let cases = [
        ("/write?db=plain", "plain", "plain"),
        ("/write?db=empty&rp=", "empty", "empty"),
        ("/write?db=auto&rp=autogen", "auto", "auto"),
        ("/write?db=d&rp=weekly", "d/weekly", "d%2Fweekly"),
        ("/write?db=d&rp=Autogen", "d/Autogen", "d%2FAutogen"),
        ("/write?db=a%2Bb+c&db=second&u=root&p=root&consistency=all", "a+b c", "a%2Bb%20c"),
        ("/write?db=..", "..", "%2E."),
        ("/write?db=gr%C3%B6%C3%9Fe", "größe", "gr%C3%B6%C3%9Fe"),
        ("/write?db=D", "D", "D"),
        ("/api/v2/write?org=o&bucket=v2%2Fbucket", "v2/bucket", "v2%2Fbucket"),
    ];
    for (target, _, _) in cases {
        assert_eq!(node.request("POST", target, format!("m f=1 {T}").as_bytes()).status, 204, "{target}");
    }
    let lake = node.lake();
    assert_eq!(lake.files.len(), cases.len());
    for (target, bucket, folder) in cases {
        let files = lake.files_of(bucket, "m");
        assert_eq!(files.len(), 1, "{target}");
        let expected = format!("{folder}/m/day=2023-11-14/");
        assert!(files[0].path.to_str().unwrap().starts_with(&expected), "{target}: {:?}", files[0].path);
    }
    assert_eq!(node.write("d/weekly", &format!("m f=1i {T}")).status, 422, "db=d&rp=weekly and db=d/weekly are one");
}

#[test]
fn points_older_than_the_retention_are_dropped_and_the_others_stored() {
    let node = Node::start(&["--default-retention", "72h"]);
    let now = now_ns();
    let hour = 3_600_000_000_000;
    let (young, future) = (now - 71 * hour, now + 10_000 * hour);
    let lines = format!("m,h=a f=1 {T}\nm,h=b f=2 {young}\nold born=1i {}\nm,h=c f=3 {future}", T + 1);
    let answer = node.write("d", &lines);
    let (message, error) = check_error(&answer, 422, "unprocessable entity");
    for part in ["2 points", "72h0m0s", "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000000001Z", " dropped=2"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(error, "partial write: points beyond retention policy dropped=2");
    // What was dropped has borne nothing.
    node.must_write("d", &format!("old born=\"text\" {young}"));
    let lake = node.lake();
    assert_eq!(lake.lines("d", "m"), [format!("h=b f=2.0 {young}"), format!("h=c f=3.0 {future}")]);
    assert_eq!(lake.lines("d", "old"), [format!("born=\"text\" {young}")]);
    assert_eq!(node.write("d", &format!("m f=1 {}", now - 73 * hour)).status, 422);
}

#[test]
fn the_reason_of_the_schema_goes_before_that_of_retention() {
    let node = Node::start(&["--default-retention", "72h"]);
    let now = now_ns();
    let (_, error) =
        check_error(&node.write("d", &format!("m f=1 {T}\nm f=1 {now}\nm f=t {now}")), 422, "unprocessable entity");
    let conflict =
        "field type conflict: input field \"f\" on measurement \"m\" is type boolean, already exists as type float";
    assert_eq!(error, format!("partial write: {conflict} dropped=2"));
}

#[test]
fn a_point_of_another_type_is_dropped_whole_and_the_others_stored() {
    let node = Node::start(&[]);
    let lines = format!("m a=1,b=2i {T}\nm a=2i,c=3 1\nm c=\"x\",b=4i 2\nm b=5u 3\nm a=t 4\nm a=6 5");
    let answer = node.write("d", &lines);
    let (message, error) = check_error(&answer, 422, "unprocessable entity");
    let first =
        "field type conflict: input field \"a\" on measurement \"m\" is type integer, already exists as type float";
    assert_eq!(error, format!("partial write: {first} dropped=3"));
    assert_eq!(message, format!("failure writing points to database: {error}"));
    // The dropped point has not made c a float.
    assert_eq!(node.lake().lines("d", "m"), ["a=1.0,b=2i 1700000000000000000", "a=6.0 5", "b=4i,c=\"x\" 2"]);
    for (value, kind) in [("1", "float"), ("1u", "unsigned"), ("t", "boolean"), ("\"1\"", "string")] {
        let (_, error) = check_error(&node.write("d", &format!("m b={value}")), 422, "unprocessable entity");
        assert!(error.contains(&format!("is type {kind}, already exists as type integer dropped=1")), "{error}");
    }
}

#[test]
fn a_field_named_time_is_left_out() {
    let node = Node::start(&[]);
    let answer = node.write("d", "m time=5i,f=1 1\nm f=2 2");
    let (_, error) = check_error(&answer, 422, "unprocessable entity");
    assert!(error.contains("\"time\"") && error.ends_with(" dropped=0"), "{error}");
    let (_, error) = check_error(&node.write("d", "alone time=5i 1\nm f=3 3"), 422, "unprocessable entity");
    let expected =
        "partial write: invalid field name: input field \"time\" on measurement \"alone\" is invalid dropped=1";
    assert_eq!(error, expected);
    let lake = node.lake();
    assert_eq!(lake.lines("d", "m"), ["f=1.0 1", "f=2.0 2", "f=3.0 3"]);
    assert!(lake.files_of("d", "alone").is_empty());
}

#[test]
fn columns_whose_name_is_taken_are_renamed_and_listed() {
    let node = Node::start(&[]);
    node.must_write("d", "m,host=a,k=t host=1,day=2i,hour=3i,time_ns_rem=4i 1");
    node.must_write("d", "m,host=a,Host=b,HOST=c HoSt=5,Time=6 2");
    node.must_write("d", "m,new=x k=7,New=8 3");
    let lake = node.lake();
    assert_eq!(
        lake.lines("d", "m"),
        [
            "HOST_3=c,Host_2=b,host=a HoSt_4=5.0,Time_2=6.0 2",
            "host=a,k=t day_2=2i,host_field=1.0,hour_2=3i,time_ns_rem_2=4i 1",
            "new=x New_2=8.0,k_field=7.0 3",
        ]
    );
    let names = serde_json::to_value(&lake.files[0].names).unwrap();
    let expected = json!({
        "host_field": "host", "day_2": "day", "hour_2": "hour", "time_ns_rem_2": "time_ns_rem", "Host_2": "Host",
        "HOST_3": "HOST", "HoSt_4": "HoSt", "Time_2": "Time", "k_field": "k", "New_2": "New",
    });
    assert_eq!(names, expected);
}

#[test]
fn a_string_over_a_mebibyte_drops_its_point() {
    let node = Node::start(&[]);
    let (fits, too_long) = ("x".repeat(1 << 20), "x".repeat((1 << 20) + 1));
    // Two bytes that stand for one.
    let escaped = format!("{}\\\"", "y".repeat((1 << 20) - 1));
    let lines = format!("m s=\"{fits}\" 1\nm s=\"{too_long}\",f=1 2\nm s=\"{escaped}\" 3");
    let (_, error) = check_error(&node.write("d", &lines), 422, "unprocessable entity");
    let reason = "input field \"s\" on measurement \"m\" is too long, 1048577 > 1048576";
    assert_eq!(error, format!("partial write: {reason} dropped=1"));
    let lines = node.lake().lines("d", "m");
    assert_eq!(lines, [format!("s=\"{fits}\" 1"), format!("s=\"{escaped}\" 3")]);
}

#[test]
fn values_are_stored_to_the_byte() {
    let node = Node::start(&[]);
    let cases = [
        ("m1,t=a\\ b\\,c\\=d\\\\x f=1 1", "m1", "t=a b,c=d\\\\x f=1.0 1"),
        ("m2 s=\"q\\\" b\\\\ n\\n \\x\" 1", "m2", "s=\"q\\\" b\\\\ n\\\\n \\\\x\" 1"),
        ("m3 s=\"line\nbreak\ttab # , =\" 1", "m3", "s=\"line\\nbreak\\ttab # , =\" 1"),
        ("m4,t=n\0l s=\"n\0l\" 1", "m4", "t=n\0l s=\"n\\0l\" 1"),
        ("m\\ 5\\,x,größe=🦀 ключ=\"日本\" 1", "m 5,x", "größe=🦀 ключ=\"日本\" 1"),
        ("m6 s=\"\" 1", "m6", "s=\"\" 1"),
        ("m7 f=-0,g=1e-310,h=.5,i=1.,j=9007199254740993 1", "m7", "f=-0.0,g=1e-310,h=0.5,i=1.0,j=9007199254740992.0 1"),
        (
            "m8 i=-9223372036854775808i,j=9223372036854775807i 1",
            "m8",
            "i=-9223372036854775808i,j=9223372036854775807i 1",
        ),
        ("m9 u=18446744073709551615u,z=0u 1", "m9", "u=18446744073709551615u,z=0u 1"),
        ("ma a=t,b=FALSE,c=true,d=F 1", "ma", "a=true,b=false,c=true,d=false 1"),
        ("mb,t=x f=1 1\r\n\r\n", "mb", "t=x f=1.0 1"),
    ];
    for (line, _, _) in cases {
        node.must_write("d", line);
    }
    let lake = node.lake();
    for (line, measurement, expected) in cases {
        assert_eq!(lake.lines("d", measurement), [expected], "{line}");
    }
}

#[test]
fn times_are_exact_to_the_nanosecond_before_1970_too() {
    let node = Node::start(&[]);
    let mut times = vec![
        -1,
        0,
        1,
        999,
        1_000,
        -999,
        -1_000,
        -1_001,
        T + 1,
        -86_400_000_000_000,
        -86_400_000_000_001,
        86_400_000_000_000,
    ];
    times.extend([i64::MIN + 2, i64::MAX - 1]);
    let lines: Vec<String> = times.iter().map(|time| format!("m t={time}i {time}")).collect();
    node.must_write("d", &lines.join("\n"));
    let lake = node.lake();
    let mut found: Vec<i64> = lake.rows("d", "m").iter().map(|row| row.time_ns).collect();
    assert!(lake.rows("d", "m").iter().all(|row| row.to_string() == format!("t={0}i {0}", row.time_ns)));
    found.sort_unstable();
    times.sort_unstable();
    assert_eq!(found, times);
    let folder = |time: i64| {
        let holds = |row: &crate::lake_reader::Row| row.time_ns == time;
        let file = lake.files.iter().find(|file| file.rows.iter().any(holds)).unwrap();
        file.path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(folder(0), "day=1970-01-01");
    assert_eq!(folder(-1), "day=1969-12-31");
    assert_eq!(folder(-86_400_000_000_001), "day=1969-12-30");
    assert_eq!(folder(i64::MIN + 2), "day=1677-09-21");
    assert_eq!(folder(i64::MAX - 1), "day=2262-04-11");
}

#[test]
fn the_last_write_of_a_field_wins() {
    let node = Node::start(&["--shards", "2"]);
    // Within a body; a point's two spellings are one series.
    node.must_write("d", "body,a=1,b=2 f=1,g=1 1\nbody,b=2,a=1 f=2,h=1 1\nbody,a=1,b=2 g=3 1");
    node.must_write("d", "body,a=1 f=1,f=2,f=3 1");
    // Across requests of one connection, and across connections, which meet both shards.
    let mut one = node.connect();
    for value in 0..10 {
        one.request("POST", "/write?db=d", format!("request f={value}i,of{value}=t 1").as_bytes());
        assert_eq!(one.answer().status, 204);
        node.must_write("d", &format!("connection f={value}i,of{value}=t 1"));
    }
    let all = |last: &str| (0..10).fold(format!("f={last}i"), |line, value| line + &format!(",of{value}=true")) + " 1";
    let lake = node.lake();
    assert_eq!(lake.lines("d", "body"), ["a=1 f=3.0 1", "a=1,b=2 f=2.0,g=3.0,h=1.0 1"]);
    assert_eq!(lake.lines("d", "request"), [all("9")]);
    assert_eq!(lake.lines("d", "connection"), [all("9")]);
}

#[test]
fn a_later_epoch_keeps_the_fields_that_it_does_not_write() {
    let node = Node::start(&["--shards", "2"]);
    let mut client = node.connect();
    for epoch in 0..5 {
        for value in 0..4 {
            client.request("POST", "/write?db=d", format!("m,t=a f={value}i,e{epoch}={value}i 1").as_bytes());
            assert_eq!(client.answer().status, 204);
        }
        node.flush();
    }
    let lake = node.lake();
    assert_eq!(lake.files_of("d", "m").len(), 5, "an epoch has one file of a day");
    assert_eq!(lake.merged("d", "m"), ["t=a e0=3i,e1=3i,e2=3i,e3=3i,e4=3i,f=3i 1"]);
}
