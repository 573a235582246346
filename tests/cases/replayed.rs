//! The bodies of the fuzz targets with generated input, so that no target waits for a fuzzer to fail.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzzed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn http_from_nearly_right_requests(plan in any::<[u8; 4]>(), parts in vec(prop::sample::select(&[
        "POST /write?db=d HTTP/1.1\r\n", "GET /ping HTTP/1.0\r\n", "Host: h\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Connection: close\r\n", "\r\n", "hello", "5\r\nhello\r\n",
        "0\r\n\r\n", "3;x=y\r\nabc\r\n", "\n", " ", "\0", "T: x\r\n", "ff\r\n", "+5\r\n", "HTTP/1.1 POST /\r\n\r\n",
    ][..]), 0..12)) {
        fuzzed::http::http(&[&plan[..], parts.concat().as_bytes()].concat());
    }

    #[test]
    fn http_from_any_bytes(data in vec(any::<u8>(), 0..300)) {
        fuzzed::http::http(&data);
    }

    #[test]
    fn gunzip_from_any_bytes(data in vec(any::<u8>(), 0..2_000)) {
        fuzzed::gunzip::gunzip(&data);
    }

    #[test]
    fn influxql_from_nearly_right_queries(parts in vec(prop::sample::select(&[
        "CREATE DATABASE ", "CREATE RETENTION POLICY ", "SHOW DATABASES", "SHOW RETENTION POLICIES ", "SELECT ", "DROP DATABASE ", "ON ",
        "x ", "\"a \\\" b\" ", "'it' ", "WITH ", "DURATION ", "7d ", "INF ", "1h30m ", "REPLICATION 1 ", "SHARD DURATION 0s ", "NAME ",
        "DEFAULT ", "; ", "/* c */", "-- c\n", "/re;/ ", "\"", "'", "\\", "9", "\0", "µ", "FROM ",
    ][..]), 0..16)) {
        fuzzed::influxql::influxql(parts.concat().as_bytes());
    }

    #[test]
    fn influxql_from_any_bytes(data in vec(any::<u8>(), 0..200)) {
        fuzzed::influxql::influxql(&data);
    }

    #[test]
    fn buffer_operations(data in vec(any::<u8>(), 0..100)) {
        fuzzed::buffer::buffer(&data);
    }
    #[test]
    fn wal_from_any_bytes(data in vec(any::<u8>(), 0..600)) {
        fuzzed::wal::wal(&data);
    }

    #[test]
    fn records_of_any_sizes_through_the_running_log(data in vec(any::<u8>(), 0..60)) {
        fuzzed::log_writer::log_writer(&data);
    }
}
