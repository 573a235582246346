//! What the machine offers, from which defaults are computed.

use std::fs;
use std::path::{Path, PathBuf};

use super::value::{GIB, MIB};

/// A cgroup v1 limit at or above this means "none" (the kernel writes i64::MAX rounded down to a page).
const NO_LIMIT: u64 = 1 << 60;

/// Memory limit where neither cgroup nor machine says how much there is.
const MEMORY_LIMIT_UNKNOWN: usize = 1024 * MIB;

/// By shard. What lies in memory when it is sorted costs more the more it is: pages that are touched for the first time, and caches that are missed
/// (docs/PERFORMANCE.md, "How much is flushed at once").
const FLUSH_BYTES: usize = 64 * MIB;
const FLUSH_BYTES_MAX: usize = GIB;
const BODY_BYTES: usize = 25_000_000;
const WAL_LIMIT: usize = 8 * GIB;

/// What the defaults are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// Threads that can run at once.
    pub cores: usize,
    /// Bytes.
    pub memory_limit: usize,
    /// Bytes.
    pub wal_limit: usize,
}

impl Basis {
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { cores, memory_limit: memory_limit(Path::new("/")), wal_limit: WAL_LIMIT }
    }

    /// One lake thread keeps up with one to two shards.
    pub fn lake_threads(&self) -> usize {
        self.cores.div_ceil(3)
    }

    pub fn shards(&self) -> usize {
        (self.cores - self.lake_threads()).max(1)
    }

    pub fn flush_bytes(&self) -> usize {
        (FLUSH_BYTES * self.shards()).min(FLUSH_BYTES_MAX).min(self.memory_limit / 8)
    }

    pub fn body_bytes(&self) -> usize {
        BODY_BYTES.min(self.memory_limit / 8).min(self.wal_limit / 4)
    }
}

/// Three quarters of the smaller of machine and cgroup, in whole MiB: the rest is for stacks, code and the page cache.
fn memory_limit(root: &Path) -> usize {
    let available = [machine_memory(root), cgroup_memory(root)].into_iter().flatten().min();
    let Some(available) = available.and_then(|bytes| usize::try_from(bytes).ok()) else {
        return MEMORY_LIMIT_UNKNOWN;
    };
    (available / 4 * 3 / MIB * MIB).max(192 * MIB)
}

fn machine_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit of this process's cgroup and its ancestors, of version 2 and 1.
fn cgroup_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    text.lines().filter_map(|line| hierarchy_memory(root, line)).min()
}

/// `line` of `/proc/self/cgroup` is `id:controllers:path`; version 2 has no controllers.
fn hierarchy_memory(root: &Path, line: &str) -> Option<u64> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let mount = root.join(mount);
    // Inside a container the path may not exist below the mount; its ancestors, at last the mount itself, do.
    let leaf: PathBuf = mount.join(path.trim_start_matches('/'));
    leaf.ancestors()
        .take_while(|folder| folder.starts_with(&mount))
        .filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok())
        .filter(|bytes| *bytes < NO_LIMIT)
        .min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A root folder with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:         1024 kB\n");

    #[test]
    fn without_cgroup_limits_the_machine_decides() {
        let v1_unlimited = root(&[
            MEMINFO,
            ("proc/self/cgroup", "4:memory:/a\n0::/\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let v2_unlimited = root(&[MEMINFO, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")]);
        for root in [root(&[MEMINFO]), v1_unlimited, v2_unlimited] {
            assert_eq!(memory_limit(root.path()), 6144 * MIB);
        }
        assert_eq!(memory_limit(root(&[]).path()), MEMORY_LIMIT_UNKNOWN);
    }

    #[test]
    fn the_smallest_limit_of_a_cgroup_and_its_ancestors_counts() {
        let v2 = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
        ]);
        assert_eq!(memory_limit(v2.path()), 768 * MIB);
        let v1_in_container = root(&[
            MEMINFO,
            ("proc/self/cgroup", "5:cpu:/x\n4:memory,hugetlb:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"),
        ]);
        assert_eq!(memory_limit(v1_in_container.path()), 1536 * MIB);
    }

    #[test]
    fn threads_follow_the_cores() {
        let of = |cores| {
            let basis = Basis { cores, memory_limit: 0, wal_limit: 0 };
            (basis.shards(), basis.lake_threads())
        };
        assert_eq!([of(1), of(2), of(3), of(4), of(8), of(16)], [(1, 1), (1, 1), (2, 1), (2, 2), (5, 3), (10, 6)]);
    }
}
