//! The running log on the disk of this machine: what was appended is read back, in its order and whole.

use std::time::{Duration, Instant};

use ringest::budget::Budget;
use ringest::metrics::Metrics;
use ringest::wal::{Kind, Options, Record, Wal, inspect};

/// Each pair of bytes is a record: its size, in units that the first of them says.
///
/// # Panics
/// A record is missing, or differs.
pub fn log_writer(data: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::new(1 << 30);
    let options = Options {
        dir: dir.path().join("wal"),
        note: dir.path().join("note"),
        owner: [7; 8],
        bytes_max: 4 << 20,
        segment_bytes: 1 << 20,
        disk_reserve: 0,
        sync: true,
    };
    let log = Wal::start(options, &budget, &Metrics::new(&budget), Box::new(|| ())).unwrap();
    let (mut written, mut position) = (Vec::new(), 0);
    for (number, pair) in data.chunks_exact(2).take(64).enumerate() {
        let payload = vec![number as u8; usize::from(pair[1]) * [1, 16, 257, 1024][usize::from(pair[0] % 4)]];
        let Ok(mut space) = log.reserve(payload.len(), 1) else { continue };
        position = space.append(Record { kind: Kind::Request, epoch: 1, births: 0, parts: &[&payload] });
        written.push(payload);
    }
    let give_up = Instant::now() + Duration::from_secs(10);
    while log.durable() < position {
        assert!(log.failure().is_none() && Instant::now() < give_up, "{:?}", log.failure());
        std::thread::sleep(Duration::from_micros(50));
    }
    let found = inspect(&dir.path().join("wal"), Some(&dir.path().join("note")), false).unwrap();
    let (mut reader, mut read, mut payload) = (found.reader(), Vec::new(), Vec::new());
    while reader.next(&mut payload).unwrap().is_some() {
        read.push(payload.clone());
    }
    assert!(read == written, "{} records of {}", read.len(), written.len());
    log.finish();
}
