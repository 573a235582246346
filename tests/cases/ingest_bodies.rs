//! Bodies in every wrapping and of every size: gzip, chunks, limits, and many or long names.

use crate::node::{Answer, Node, gzip};

fn write_gzip(node: &Node, body: &[u8]) -> Answer {
    let mut client = node.connect();
    client.request_with("POST", "/write?db=d", "Content-Encoding: gzip\r\n", body);
    client.answer()
}

#[test]
fn gzip_is_taken_with_every_member() {
    let node = Node::start(&[]);
    assert_eq!(write_gzip(&node, &gzip(b"m f=1 1")).status, 204);
    // A line may go on in the next member; an empty member holds nothing.
    let members = [gzip(b"m f=2 2\nm f"), gzip(b""), gzip(b"=3 3\n"), gzip(b"m f=4 4\n")].concat();
    assert_eq!(write_gzip(&node, &members).status, 204);
    for coding in ["GZIP", "x-gzip", "identity", ""] {
        let is_gzip = coding.to_lowercase().contains("gzip");
        let line = b"m f=5 5";
        let body = if is_gzip { gzip(line) } else { line.to_vec() };
        let mut client = node.connect();
        client.request_with("POST", "/write?db=d", &format!("Content-Encoding: {coding}\r\n"), &body);
        assert_eq!(client.answer().status, 204, "{coding:?}");
    }
    assert_eq!(node.lake().lines("d", "m"), ["f=1.0 1", "f=2.0 2", "f=3.0 3", "f=4.0 4", "f=5.0 5"]);
}

#[test]
fn damaged_gzip_is_refused_whole() {
    let node = Node::start(&[]);
    let lines: String = (0..1_000).map(|number| format!("m f={number}i {number}\n")).collect();
    let whole = gzip(lines.as_bytes());
    let mut flipped = whole.clone();
    let at = flipped.len() - 8;
    flipped[at] ^= 1;
    let mut bodies = vec![
        ("empty", Vec::new()),
        ("not gzip", lines.clone().into_bytes()),
        ("trailing garbage", [&whole[..], b"garbage"].concat()),
        ("a trailing zero", [&whole[..], b"\0"].concat()),
        ("a second member cut off", [&whole[..], &whole[..20]].concat()),
        ("a wrong checksum", flipped),
    ];
    for kept in [1, 9, 10, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        bodies.push(("truncated", whole[..kept].to_vec()));
    }
    for (what, body) in bodies {
        let answer = write_gzip(&node, &body);
        assert_eq!((answer.status, &answer.json()["code"]), (400, &"invalid".into()), "{what}: {answer:?}");
        assert!(answer.json()["message"].as_str().unwrap().starts_with("unable to read data: "), "{what}: {answer:?}");
    }
    assert!(node.lake().files.is_empty());
    assert_eq!(write_gzip(&node, &whole).status, 204);
    assert_eq!(node.lake().rows("d", "m").len(), 1_000);
}

#[test]
fn the_limit_counts_decompressed_bytes() {
    let node = Node::start(&["--max-body-size", "100000"]);
    let exact = padded("m f=1 1\n", 100_000);
    for (body, status) in [(exact.clone(), 204), (exact.clone() + "#", 413), (padded("m f=2 2\n", 50_000_000), 413)] {
        let body = gzip(body.as_bytes());
        assert!(body.len() < 100_000 || status == 413, "{}", body.len());
        let answer = write_gzip(&node, &body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(status == 204 || answer.json()["message"].as_str().unwrap().contains("100000"), "{answer:?}");
    }
    let members = [gzip(exact.as_bytes()), gzip(b"#")].concat();
    assert_eq!(write_gzip(&node, &members).status, 413);
    assert_eq!(node.lake().lines("d", "m"), ["f=1.0 1"]);
}

/// `lines`, and a comment up to `bytes` in all.
fn padded(lines: &str, bytes: usize) -> String {
    format!("{lines}#{}", "x".repeat(bytes - lines.len() - 1))
}

#[test]
fn a_plain_body_of_exactly_the_limit_is_taken() {
    let node = Node::start(&["--max-body-size", "100000"]);
    for (bytes, status) in [(99_999, 204), (100_000, 204), (100_001, 413)] {
        let body = padded(&format!("m f={bytes}i 1\n"), bytes);
        assert_eq!(node.write("d", &body).status, status, "{bytes}");
        let mut client = node.connect();
        client.send("POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.as_bytes().chunks(7_001) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send([piece, b"\r\n"].concat());
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.answer().status, status, "{bytes}, chunked");
    }
    assert_eq!(node.lake().lines("d", "m"), ["f=100000i 1"]);
}

#[test]
fn chunks_are_joined_whatever_their_size() {
    let node = Node::start(&[]);
    let body: String =
        (0..500).map(|number| format!("m,host=h{number} f={number}i,s=\"\r\n5\r\n\" {number}\n")).collect();
    let mut client = node.connect();
    for size in [1, 2, 3, 17, 1_000, body.len()] {
        let mut request = b"POST /write?db=d HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.as_bytes().chunks(size) {
            let extension = if size > 100 { ";name=value" } else { "" };
            request.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
            request.extend_from_slice(piece);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
        client.send(request);
        assert_eq!(client.answer().status, 204, "chunks of {size}");
    }
    let compressed = gzip(body.as_bytes());
    client.send(
        "POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    client.send([format!("{:x}\r\n", compressed.len()).as_bytes(), &compressed, b"\r\n0\r\n\r\n"].concat());
    assert_eq!(client.answer().status, 204);
    let mut expected: Vec<String> =
        (0..500).map(|number| format!("host=h{number} f={number}i,s=\"\\r\\n5\\r\\n\" {number}")).collect();
    expected.sort();
    assert_eq!(node.lake().lines("d", "m"), expected);
}

#[test]
fn bodies_without_points_are_a_valid_write() {
    let node = Node::start(&[]);
    for body in ["", "\n", "\r\n\r\n", "# only a comment", "#a\n  # b\n\t\n\n", "# f=\"open\n"] {
        node.must_write("d", body);
    }
    assert_eq!(write_gzip(&node, &gzip(b"")).status, 204);
    let lake = node.lake();
    assert!(lake.files.is_empty());
    assert_eq!(std::fs::read_dir(node.data_dir().join("lake")).unwrap().count(), 0);
}

#[test]
fn five_thousand_new_fields_come_in_one_body() {
    let node = Node::start(&[]);
    let wide: Vec<String> = (0..2_500).map(|number| format!("f{number}={number}i")).collect();
    let one_each: Vec<String> = (2_500..5_000).map(|number| format!("m f{number}={number}i {number}")).collect();
    node.must_write("d", &format!("m {} 1\n{}", wide.join(","), one_each.join("\n")));
    let lake = node.lake();
    assert_eq!(lake.files.len(), 1);
    assert_eq!(lake.files[0].columns.len(), 5_002);
    let rows = lake.rows("d", "m");
    assert_eq!(rows.len(), 2_501);
    let fields: usize = rows.iter().map(|row| row.fields.len()).sum();
    assert_eq!(fields, 5_000);
    for row in rows {
        for (name, value) in &row.fields {
            assert_eq!(value.to_string(), format!("{}i", &name[1..]));
        }
    }
}

#[test]
fn long_names_are_kept_whole() {
    let node = Node::start(&[]);
    let [measurement, tag, field] = ["m", "t", "f"].map(|letter| letter.repeat(300));
    let like_it = format!("{}x", &measurement[..299]);
    let value = "v".repeat(5_000);
    node.must_write("d", &format!("{measurement},{tag}={value} {field}=1 1\n{like_it} {field}=2 2"));
    let umlauts = "ä".repeat(300);
    node.must_write(&umlauts.replace('ä', "%C3%A4"), &format!("{umlauts} f=1 1"));
    let lake = node.lake();
    assert_eq!(lake.lines("d", &measurement), [format!("{tag}={value} {field}=1.0 1")]);
    assert_eq!(lake.lines("d", &like_it), [format!("{field}=2.0 2")]);
    assert_eq!(lake.lines(&umlauts, &umlauts), ["f=1.0 1"]);
    for file in &lake.files {
        assert!(file.path.iter().all(|segment| segment.len() <= 255), "{}", file.path.display());
    }
    let too_long = format!("m,t={} f=1", "x".repeat(65_536));
    let answer = node.write("d", &too_long);
    assert!(answer.status == 400 && answer.text().contains("max key length exceeded"), "{answer:?}");
}

#[test]
fn many_days_and_series_of_one_body_go_to_their_files() {
    let node = Node::start(&[]);
    const DAY_NS: i64 = 86_400_000_000_000;
    let mut expected = Vec::new();
    let mut body = String::new();
    for number in 0..20_000_i64 {
        let time = (number % 7) * DAY_NS + number;
        body += &format!("m,host=h{},dc=d{} v={number}i {time}\n", number % 100, number % 3);
        expected.push(format!("dc=d{},host=h{} v={number}i {time}", number % 3, number % 100));
    }
    node.must_write("d", &body);
    let lake = node.lake();
    expected.sort();
    assert_eq!(lake.lines("d", "m"), expected);
    assert_eq!(lake.files.len(), 7);
}
