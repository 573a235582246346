//! What a process has used, as Linux tells it.

use std::fs;
use std::io;
use std::time::Duration;

/// Clock ticks per second in `/proc`: the same on every architecture that Linux has today (`USER_HZ`).
const TICKS: u64 = 100;

/// User and system time of a process and its threads, and of the children that it has waited for.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 1000 / TICKS)).ok_or_else(|| unreadable("stat", pid))
}

/// The most memory that was resident at once, in bytes.
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    kib(&status, "VmHWM:").map(|kib| kib * 1024).ok_or_else(|| unreadable("status", pid))
}

fn unreadable(file: &str, pid: u32) -> io::Error {
    io::Error::other(format!("/proc/{pid}/{file} does not look as expected"))
}

/// Fields 14 and 15. The name of the program, field 2, may hold anything, so that counting begins behind its last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_confuse_nobody() {
        let stat = "42 (a) b 9) S 1 1 1 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 8 0 100 0 0";
        assert_eq!(ticks(stat), Some(168));
        assert_eq!(kib("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n", "VmHWM:"), Some(1234));
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let own = std::process::id();
        assert!(peak_resident_bytes(own).unwrap() > 100 << 10);
        assert!(cpu_time(own).unwrap() < Duration::from_secs(100_000));
        assert!(cpu_time(u32::MAX).is_err());
    }
}
