//! Names on disk: path segments and Parquet columns.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Longest file name of Linux's file systems.
const SEGMENT_BYTES_MAX: usize = 255;

/// Bytes of `~` and 32 hex digits, which end a name that was cut. `~` itself is always encoded, so no other name ends like that.
const CUT_MARK_BYTES: usize = 33;

/// Column names that a table uses itself (`time`, `time_ns_rem`) or that partitions are named by (`day`, `hour`).
const RESERVED_COLUMNS: [&str; 4] = ["time", "time_ns_rem", "day", "hour"];

/// `name` as one segment of a path: every byte outside of `[A-Za-z0-9_.-]` as `%XX`, a leading `.` or `_` too. What would be longer than
/// 255 bytes is cut and ends in `~` and 128 bits of the name's SHA-256.
pub fn encode_path_segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    // Length of the longest whole prefix that leaves room for the cut mark.
    let mut kept = 0;
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-' || (matches!(byte, b'.' | b'_') && at > 0);
        if plain {
            segment.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(segment, "%{byte:02X}");
        }
        if segment.len() <= SEGMENT_BYTES_MAX - CUT_MARK_BYTES {
            kept = segment.len();
        }
    }
    if segment.len() > SEGMENT_BYTES_MAX {
        segment.truncate(kept);
        segment.push('~');
        for byte in &Sha256::digest(name.as_bytes())[..16] {
            let _ = write!(segment, "{byte:02x}");
        }
    }
    segment
}

/// The Parquet name of a later-born column: its own name if that is free, else the first free one of `name_<kind>` (only where a column
/// of the other kind has the very same name), `name_2`, `name_3`, ...
///
/// Names that differ only in case count as the same, because many readers fold case. `taken` is asked with lower-case names.
pub fn parquet_name(name: &str, clash: Option<&str>, taken: impl Fn(&str) -> bool) -> String {
    let free = |candidate: &str| {
        let folded = candidate.to_lowercase();
        !RESERVED_COLUMNS.contains(&folded.as_str()) && !taken(&folded)
    };
    if free(name) {
        return name.to_owned();
    }
    let stem = match clash {
        Some(kind) => {
            let stem = format!("{name}_{kind}");
            if free(&stem) {
                return stem;
            }
            stem
        }
        None => name.to_owned(),
    };
    let mut number = 2u64;
    loop {
        let candidate = format!("{stem}_{number}");
        if free(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_safe_and_reversible() {
        assert_eq!(encode_path_segment("cpu-0_a.b"), "cpu-0_a.b");
        assert_eq!(encode_path_segment("_m"), "%5Fm");
        assert_eq!(encode_path_segment(".."), "%2E.");
        assert_eq!(encode_path_segment("db/rp"), "db%2Frp");
        assert_eq!(encode_path_segment("größe 1%"), "gr%C3%B6%C3%9Fe%201%25");
    }

    #[test]
    fn long_segments_are_cut_and_stay_distinct() {
        let exact = "a".repeat(255);
        assert_eq!(encode_path_segment(&exact), exact);
        let long = encode_path_segment(&"a".repeat(256));
        assert_eq!(long.len(), 255);
        assert_ne!(long, encode_path_segment(&"a".repeat(257)));
        let encoded = encode_path_segment(&"ä".repeat(200));
        assert!(encoded.len() <= 255);
        assert_eq!(encoded.split('~').next().map(|prefix| prefix.len() % 3), Some(0), "{encoded}");
    }

    #[test]
    fn clashing_columns_are_renamed() {
        let taken = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        assert_eq!(parquet_name("host", None, taken(&[])), "host");
        assert_eq!(parquet_name("host", Some("field"), taken(&["host"])), "host_field");
        assert_eq!(parquet_name("host", Some("field"), taken(&["host", "host_field"])), "host_field_2");
        assert_eq!(parquet_name("Host", None, taken(&["host"])), "Host_2");
        assert_eq!(parquet_name("Host", None, taken(&["host", "host_2"])), "Host_3");
        assert_eq!(parquet_name("Time", None, taken(&[])), "Time_2");
        assert_eq!(parquet_name("day", None, taken(&[])), "day_2");
    }
}
