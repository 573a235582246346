//! Lines of fleets: keys that share measurements and tags, for tests and fuzzing.

/// Tags that the measurements of a host share, as written. Some begin like others; some are escaped, not ASCII, or not right.
pub const HOSTS: [&str; 10] = [
    "",
    ",host=a,rack=in_the_cellar_of_the_house",
    ",host=b,rack=in_the_cellar_of_the_house",
    ",host=ab,rack=1",
    ",host=a\\ b,rack=1",
    ",host=ä,rack=3",
    ",rack=in_the_cellar_of_the_house,host=a",
    ",host=a",
    ",a_host_with_a_name_of_more_than_thirty_two_bytes=and_a_value_of_more_than_sixteen,rack=1",
    ",a_host_with_a_name_of_more_than_thirty_two_bytes=and_a_value_of_some_other_length,rack=1",
];

/// Tags behind them. Those from the first [`MORE_RIGHT`] on are wrong, each in another way, behind some hosts or all.
pub const MORE: [&str; 16] = [
    "",
    ",disk=sda",
    ",disk=sdb,fs=ext4",
    ",fs=ext4,disk=sdb",
    ",disk=a",
    ",disk=ü",
    ",disk=a\\,b",
    ",a_tag=1",
    ",host=a",
    ",rack=9",
    ",disk=x,disk=y",
    ",time=1",
    ",disk=",
    ",=x",
    ",disk",
    ",disk=a=b",
];

pub const MEASUREMENTS: [&str; 6] = ["cpu", "mem", "disk", "net", "n\\,et", "cpu=1"];

pub const MORE_RIGHT: usize = 8;

pub fn line((measurement, host, more, time): (usize, usize, usize, i64), field: &str) -> String {
    format!("{}{}{} {field} {time}\n", MEASUREMENTS[measurement], HOSTS[host], MORE[more])
}

/// A body of two bytes per line. Few lines are wrong.
pub fn body_from(choices: &[u8]) -> Vec<u8> {
    let lines = choices.chunks_exact(2).map(|pair| {
        let (place, kind) = (usize::from(pair[0]), usize::from(pair[1]));
        let more = if kind < 250 { kind % MORE_RIGHT } else { MORE_RIGHT + kind % (MORE.len() - MORE_RIGHT) };
        let point = (place % MEASUREMENTS.len(), place / MEASUREMENTS.len() % HOSTS.len(), more, kind as i64 / 64);
        line(point, if kind % 41 == 40 { "f=t" } else { "f=1" })
    });
    lines.collect::<String>().into_bytes()
}
