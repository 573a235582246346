//! Each shape is what it says.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::line::grammar::Precision;
use crate::line::naive::{self, Point, Value};

const START_NS: i64 = 1_793_491_200_000_000_000;
const INTERVAL_NS: i64 = 10_000_000_000;

fn lines(kind: Kind, hosts: usize, count: usize) -> Vec<u8> {
    let mut body = Vec::new();
    Workload::new(kind, hosts, 42, START_NS, INTERVAL_NS).write_lines(count, &mut body);
    body
}

fn points(body: &[u8], count: usize) -> Vec<Point> {
    let parsed = naive::parse(body, Precision::Nanosecond);
    assert_eq!(parsed.errors.first(), None);
    assert_eq!(parsed.points.len(), count);
    parsed.points
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn a_seed_gives_the_same_bytes_everywhere() {
    const HASHES: [(&str, u64); 11] = [
        ("cpu", 0x5107_64c1_22d9_22bf),
        ("devops", 0xe4a1_6fb7_269a_95a3),
        ("iot", 0x7a88_d157_5eab_1369),
        ("telegraf", 0x0e38_732d_4438_dc81),
        ("logs", 0x5ed6_528c_a8b9_4062),
        ("escapes", 0xb5a3_c72b_c64e_951d),
        ("doubles", 0xf149_969d_833f_ded6),
        ("series", 0x316d_ad05_574c_8973),
        ("wide", 0xd5b9_f3dd_8a12_37dc),
        ("sparse", 0xa0ef_729a_1ce2_123f),
        ("reordered", 0x0be5_b873_8490_7ae7),
    ];
    let hashes = Kind::ALL.map(|kind| (kind.name(), fnv1a(&lines(kind, 100, 10_000))));
    assert_eq!(hashes, HASHES, "{hashes:#018x?}");
}

#[test]
fn a_kind_is_found_by_its_name() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(Kind::named("CPU"), None);
}

#[test]
fn lines_do_not_depend_on_how_many_are_asked_for_at_once() {
    for kind in Kind::ALL {
        let mut workload = Workload::new(kind, 7, 42, START_NS, INTERVAL_NS);
        let mut body = Vec::new();
        (0..100).for_each(|count| workload.write_lines(count, &mut body));
        assert!(body == lines(kind, 7, 99 * 100 / 2), "{kind:?}");
    }
}

#[test]
fn no_point_is_there_twice() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Iot) {
        let mut seen = BTreeSet::new();
        for point in points(&lines(kind, 20, 2_000), 2_000) {
            let first_field = (kind == Kind::Telegraf).then(|| point.fields.iter().map(|field| field.0.clone()).min());
            assert!(seen.insert((point.measurement, point.tags, point.time, first_field)), "{kind:?}");
        }
    }
}

#[test]
fn cpu_has_the_shape_of_tsbs() {
    let body = lines(Kind::Cpu, 100, 10_000);
    let mean = body.len() / 10_000;
    assert!((340..352).contains(&mean), "{mean} bytes per line");
    for (index, point) in points(&body, 10_000).iter().enumerate() {
        assert_eq!((point.measurement.as_str(), point.tags.len(), point.fields.len()), ("cpu", 10, 10));
        assert_eq!(point.tags[2], ("hostname".to_owned(), format!("host_{}", index % 100)));
        assert!(point.fields.iter().all(|(_, value)| matches!(value, Value::Integer(0..=100))));
        assert_eq!(point.time, Some(START_NS + (index / 100) as i64 * INTERVAL_NS));
    }
}

#[test]
fn devops_has_the_shape_of_tsbs() {
    let body = lines(Kind::Devops, 40, 9 * 40 * 50);
    let mut shapes = BTreeMap::new();
    for point in points(&body, 9 * 40 * 50) {
        let floats = point.fields.iter().filter(|(_, value)| matches!(value, Value::Float(_))).count();
        *shapes.entry((point.measurement, point.tags.len(), point.fields.len(), floats)).or_insert(0) += 1;
    }
    let shapes: Vec<_> = shapes
        .iter()
        .map(|((name, tags, fields, floats), count)| (name.as_str(), *tags, *fields, *floats, *count))
        .collect();
    assert_eq!(
        shapes,
        [
            ("cpu", 10, 10, 0, 2000),
            ("disk", 12, 7, 0, 2000),
            ("diskio", 11, 7, 0, 2000),
            ("kernel", 10, 6, 0, 2000),
            ("mem", 10, 9, 3, 2000),
            ("net", 11, 8, 0, 2000),
            ("nginx", 12, 7, 0, 2000),
            ("postgresl", 10, 16, 0, 2000),
            ("redis", 12, 31, 0, 2000),
        ]
    );
}

#[test]
fn iot_has_gaps_and_late_lines_and_no_point_twice() {
    let body = lines(Kind::Iot, 100, 50_000);
    let points = points(&body, 50_000);
    let mut newest = BTreeMap::new();
    let (mut late, mut without_field, mut without_tag) = (0, 0, 0);
    let mut seen = BTreeSet::new();
    for point in &points {
        let whole = if point.measurement == "readings" { 10 } else { 6 };
        without_field += usize::from(point.fields.len() < whole);
        without_tag += usize::from(point.tags.len() < 5);
        let newest = newest.entry(&point.measurement).or_insert(point.time);
        late += usize::from(point.time < *newest);
        *newest = point.time.max(*newest);
        let has_name = point.tags.iter().any(|(key, _)| key == "name");
        assert!(!has_name || seen.insert((&point.measurement, &point.tags, point.time)), "{point:?}");
    }
    assert!((4_000..6_000).contains(&without_field), "{without_field}");
    assert!((150..450).contains(&without_tag), "{without_tag}");
    assert!((300..1_500).contains(&late), "{late}");
}

#[test]
fn no_hosts_are_one_host() {
    assert_eq!(lines(Kind::Iot, 0, 10), lines(Kind::Iot, 1, 10));
}

#[test]
fn telegraf_mixes_inputs_and_types_and_sorts_tags() {
    const LINES: usize = 23 * 40;
    let body = lines(Kind::Telegraf, 8, LINES);
    let text = String::from_utf8_lossy(&body);
    let keys = text.lines().map(|line| line.split(' ').next().unwrap_or_default());
    assert!(keys.map(|key| key.split(',').skip(1).collect::<Vec<_>>()).all(|tags| tags.is_sorted()));
    let (mut kinds, mut orders) = ([0; 4], BTreeSet::new());
    let mut measurements = BTreeMap::new();
    for point in points(&body, LINES) {
        assert_eq!(point.tags.iter().filter(|(key, _)| key == "host").count(), 1);
        for (_, value) in &point.fields {
            kinds[match value {
                Value::Float(_) => 0,
                Value::Integer(_) => 1,
                Value::String(_) => 2,
                Value::Boolean(_) => 3,
                Value::Unsigned(_) => panic!("Telegraf writes no unsigned integers"),
            }] += 1;
        }
        *measurements.entry(point.measurement.clone()).or_insert(0) += 1;
        if point.measurement == "cpu" {
            orders.insert(point.fields.iter().map(|field| field.0.clone()).collect::<Vec<_>>());
        }
    }
    let names: Vec<(&str, i32)> = measurements.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(
        names,
        [
            ("cpu", 200),
            ("disk", 120),
            ("diskio", 120),
            ("docker_container_status", 80),
            ("kernel", 40),
            ("mem", 40),
            ("net", 80),
            ("processes", 40),
            ("swap", 80),
            ("system", 120)
        ]
    );
    assert!(orders.len() > 190, "{}", orders.len());
    assert_eq!(kinds, [2840, 5520, 120, 80]);
}

#[test]
fn logs_are_one_long_string() {
    let (mut escaped, mut foreign) = (0, 0);
    let body = lines(Kind::Logs, 10, 4_000);
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let start = memchr::memchr(b'"', line).unwrap_or(0) + 1;
        let end = memchr::memrchr(b'"', line).unwrap_or(0);
        assert!((200..=600).contains(&(end - start)), "{}", String::from_utf8_lossy(line));
        escaped += usize::from(line.contains(&b'\\'));
        foreign += usize::from(!line.is_ascii());
    }
    for point in points(&body, 4_000) {
        assert_eq!((point.tags.len(), point.fields.len()), (4, 1));
        assert!(matches!(point.fields[0].1, Value::String(_)));
    }
    assert!((400..600).contains(&escaped), "{escaped}");
    assert!((180..320).contains(&foreign), "{foreign}");
}

#[test]
fn escapes_are_in_every_part() {
    let points = points(&lines(Kind::Escapes, 30, 300), 300);
    for point in &points {
        assert_eq!((point.measurement.as_str(), point.tags.len(), point.fields.len()), ("file shares, usage", 3, 5));
        assert!(point.tags.iter().all(|(key, _)| key.contains([' ', ',', '='])));
        assert!(point.fields.iter().all(|(key, _)| key.contains([' ', ',', '='])));
        let strings = point.fields.iter().filter_map(|(_, value)| match value {
            Value::String(text) => Some(text),
            _ => None,
        });
        assert_eq!(strings.inspect(|text| assert!(text.contains(['"', '\\']))).count(), 2);
    }
    assert_eq!(points.iter().map(|point| &point.tags).collect::<BTreeSet<_>>().len(), 30);
}

#[test]
fn doubles_have_17_digits() {
    let body = lines(Kind::Doubles, 10, 1_000);
    let (mut small, mut negative) = (0, 0);
    for point in points(&body, 1_000) {
        assert_eq!((point.tags.len(), point.fields.len()), (2, 10));
        for (_, value) in &point.fields {
            let Value::Float(value) = value else { panic!("{value:?}") };
            small += usize::from(value.abs() < 1e-4);
            negative += usize::from(*value < 0.0);
        }
    }
    for value in String::from_utf8_lossy(&body).split([',', ' ', '\n']).filter_map(|field| field.split_once('=')) {
        let Some(number) = value.1.split('e').next().filter(|number| number.contains('.')) else { continue };
        let digits = number.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
        assert_eq!(digits, 17, "{number}");
    }
    assert!((200..420).contains(&small), "{small}");
    assert!((4_700..5_300).contains(&negative), "{negative}");
}

#[test]
fn series_are_new_in_every_line() {
    let mut tags = BTreeMap::new();
    let mut series = BTreeSet::new();
    for point in points(&lines(Kind::Series, 100, 6_000), 6_000) {
        *tags.entry(point.tags.len()).or_insert(0) += 1;
        assert_eq!(point.fields.len(), 3);
        assert!(series.insert((point.measurement, point.tags)));
    }
    assert!((5..=10).eq(tags.keys().copied()), "{tags:?}");
    assert!(tags.values().all(|lines| (850..1_150).contains(lines)), "{tags:?}");
}

#[test]
fn wide_rows_have_all_fields_and_sparse_ones_some() {
    let whole = points(&lines(Kind::Wide, 3, 12), 12);
    let names: Vec<&String> = whole[0].fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 200);
    for point in &whole {
        assert!(point.fields.iter().map(|(name, _)| name).eq(names.iter().copied()));
        let floats = point.fields.iter().filter(|(_, value)| matches!(value, Value::Float(_))).count();
        assert_eq!(floats, 100);
    }
    let mut seen = BTreeSet::new();
    let mut sets = BTreeSet::new();
    for point in points(&lines(Kind::Sparse, 3, 600), 600) {
        assert_eq!(point.fields.len(), 5);
        let fields: BTreeSet<String> = point.fields.into_iter().map(|(name, _)| name).collect();
        assert_eq!(fields.len(), 5);
        seen.extend(fields.iter().cloned());
        sets.insert(fields);
    }
    assert!(seen.len() > 190 && sets.len() > 590, "{} {}", seen.len(), sets.len());
    assert!(seen.iter().all(|name| names.contains(&name)));
}

#[test]
fn reordered_is_cpu_in_other_orders() {
    let sorted = |kind| {
        points(&lines(kind, 5, 500), 500).into_iter().map(|mut point| {
            let order: Vec<String> = point.fields.iter().map(|(name, _)| name.clone()).collect();
            point.fields.sort_by(|a, b| a.0.cmp(&b.0));
            (point, order)
        })
    };
    let orders: BTreeSet<Vec<String>> = sorted(Kind::Reordered).map(|(_, order)| order).collect();
    assert!(orders.len() > 490, "{}", orders.len());
    for ((reordered, _), (cpu, _)) in sorted(Kind::Reordered).zip(sorted(Kind::Cpu)) {
        let names = |point: &Point| point.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (reordered.measurement.as_str(), &reordered.tags, names(&reordered)),
            ("cpu", &cpu.tags, names(&cpu))
        );
        assert_eq!(reordered.time, cpu.time);
    }
}
