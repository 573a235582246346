//! New series with the tags of known ones, and maybe more, as the measurements of one host have them: as if each key were read on its own.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fleet_strategy::{HOSTS, MEASUREMENTS, MORE, MORE_RIGHT, body_from, line};
use crate::fuzzed;

fn table(bodies: &[String]) {
    let bodies: Vec<Vec<u8>> = bodies.iter().map(|body| body.clone().into_bytes()).collect();
    fuzzed::table::table(&bodies, None);
    // An empty body in front moves every request to the other shard and another kernel.
    fuzzed::table::table(&[vec![Vec::new()], bodies].concat(), None);
}

/// `hosts` for one measurement, and then all for the next; or all measurements of a host, and then those of the next.
fn fleet(measurements: &[(&str, &str)], hosts: usize, by_host: bool, time: i64) -> String {
    let key = |host: usize, measurement: usize| {
        let (name, more) = measurements[measurement];
        format!("{name},host=host_{host},rack={},os=linux{}", host % 3, more.replace('#', &host.to_string()))
    };
    let count = measurements.len();
    let place = |n: usize| if by_host { (n / count, n % count) } else { (n % hosts, n / hosts) };
    (0..count * hosts).map(place).map(|(host, of)| format!("{} f={host} {time}\n", key(host, of))).collect()
}

#[test]
fn fleets_in_either_order_have_their_own_tags_and_those_they_share() {
    let measurements = [("cpu", ""), ("mem", ""), ("disk", ",path=/dev/sd#,fs=ext4"), ("net", ",if=eth0"), ("io", "")];
    for by_host in [false, true] {
        let ticks: Vec<String> = (0..8).map(|time| fleet(&measurements, 50, by_host, time)).collect();
        table(&ticks);
        // The other order meets them all again.
        table(&[ticks, (8..12).map(|time| fleet(&measurements, 60, !by_host, time)).collect()].concat());
    }
}

#[test]
fn a_tag_that_comes_twice_is_refused_behind_a_twin_too() {
    let host = |name: &str| format!(",host={name}_of_a_name_that_is_long_enough_to_be_noted");
    let (a, b) = (host("a"), host("b"));
    let known = format!("cpu{a} f=1\ncpu{b} f=1\nmem{a},disk=x f=1\n");
    for wrong in [",host=c", ",disk=x,disk=y", ",time=1", ",disk=", ",disk", ",disk=x,disk="] {
        table(&[format!("{known}mem{b}{wrong} f=1\n"), known.clone(), format!("{known}mem{b},disk=y f=1\n")]);
    }
}

#[test]
fn what_is_taken_back_is_not_foreseen() {
    let born = "cpu,host=a f=1 1\ncpu,host=b f=1 2\nmem,host=a f=1 3\n";
    let refused = "mem,host=b,disk=new f=t 4\nmem,host=c,rack=new f=t 5\n";
    let other = "cpu,host=b,rack=2 f=1 6\nmem,host=b,disk=1 f=1 7\nmem,host=b,rack=1 f=1 8\n";
    table(&[format!("{born}{refused}{other}"), format!("{other}{born}")]);
    table(&[born.into(), format!("{refused}{other}x"), format!("{other}{refused}"), born.into()]);
    table(&[format!("{other}{born}mem f"), born.into(), other.into(), format!("{refused}{other}{born}")]);
}

#[test]
fn a_key_that_is_too_long_with_its_twins_tags_is_refused() {
    let tags = format!(",host={}", "h".repeat(65_500));
    table(&[format!("m{tags} f=1 1\nmeasurement_of_a_name_too_long{tags} f=1 2\n")]);
    let known = format!("measurement_of_a_name_too_long,host=a f=1 2\nm{tags}2 f=1 1\n");
    table(&[format!("{known}measurement_of_a_name_too_long{tags}2 f=1 2\n"), known]);
}

#[test]
fn fleets_of_any_lines() {
    let choices: Vec<u8> = (0..6_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bodies: Vec<Vec<u8>> = choices.chunks(97).map(body_from).collect();
    fuzzed::table::table(&bodies, None);
    fuzzed::table::table(&bodies, Some(2));
}

proptest! {
    #[test]
    fn small_fleets(
        bodies in vec(vec((0..MEASUREMENTS.len(), 0..HOSTS.len(), 0..MORE_RIGHT, 0..4i64), 1..30), 1..6),
        runs in vec((0..MEASUREMENTS.len(), 0..MEASUREMENTS.len(), 0..MORE_RIGHT), 0..4),
        odd in prop::option::of((0..MEASUREMENTS.len(), 0..HOSTS.len(), MORE_RIGHT..MORE.len(), 0..4i64)),
        refused in prop::option::of((0..MEASUREMENTS.len(), 0..HOSTS.len(), 0..MORE_RIGHT, 0..4i64)),
    ) {
        let mut bodies: Vec<String> =
            bodies.into_iter().map(|lines| lines.into_iter().map(|point| line(point, "f=1")).collect()).collect();
        for (one, other, more) in runs {
            let all = (0..HOSTS.len()).flat_map(|host| [(one, host, 0, 5), (other, host, more, 6)]);
            bodies.push(all.map(|point| line(point, "f=2")).collect());
        }
        let last = bodies.len() - 1;
        bodies[last / 2] += &refused.map_or_else(String::new, |point| line(point, "f=t"));
        bodies[last] += &odd.map_or_else(String::new, |point| line(point, "f=1"));
        let first = bodies[0].clone();
        bodies.push(first);
        table(&bodies);
    }
}
