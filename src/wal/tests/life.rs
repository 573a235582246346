//! From start to finish: what is appended is found, segments come and go.

use super::*;

/// What stands in the log, by its files.
fn payloads(dir: &Path) -> Vec<Vec<u8>> {
    image::read(&dir.join("wal")).records.into_iter().map(|record| record.payload).collect()
}

#[test]
fn what_is_durable_is_found() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, options(dir.path()));
        let sizes = [0, 1, 4016, 4017, 262_064, 262_065, 262_144, 1_000_000, 5_000_000, 100];
        let written: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, bytes)| payload(n as u64, *bytes)).collect();
        for (number, payload) in written.iter().enumerate() {
            log.write(7, payload);
            assert_eq!(log.wal.durable(), number as u64 + 1, "{}", backend.name());
        }
        assert!(payloads(dir.path()) == written, "{}", backend.name());
        log.write_births(3, b"a birth");
        let last = image::read(&dir.path().join("wal")).records.pop().unwrap();
        assert_eq!((last.kind, last.epoch, &last.payload[..]), (2, 0, &b"a birth"[..]));
    }
}

#[test]
fn threads_that_append_at_once_lose_nothing() {
    const THREADS: u64 = 8;
    const RECORDS: u64 = 400;
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, options(dir.path()));
        let append = |thread: u64| {
            let mut positions = Vec::new();
            for n in 0..RECORDS {
                let number = thread * RECORDS + n;
                positions.push((log.append(1, &payload(number, 8 + (number * 37 % 3000) as usize)), number));
            }
            positions
        };
        let mut all: Vec<(u64, u64)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || append(thread))).collect();
            let of_thread = |positions: Vec<(u64, u64)>| {
                assert!(positions.is_sorted_by(|one, next| one.0 < next.0));
                positions
            };
            threads.into_iter().flat_map(|thread| of_thread(thread.join().unwrap())).collect()
        });
        log.wait_for(THREADS * RECORDS);
        all.sort();
        assert!(all.iter().map(|(position, _)| *position).eq(1..=THREADS * RECORDS));
        let expected: Vec<Vec<u8>> =
            all.iter().map(|(_, number)| payload(*number, 8 + (number * 37 % 3000) as usize)).collect();
        assert!(payloads(dir.path()) == expected, "{}", backend.name());
    }
}

#[test]
fn finish_removes_what_is_committed_and_keeps_the_rest() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, options(dir.path()));
        log.write(5, b"committed");
        log.wal.free(5, 0);
        log.wal.finish();
        assert_eq!(std::fs::read_dir(dir.path().join("wal")).unwrap().count(), 0, "{}", backend.name());

        let log = Log::start(&backend, options(dir.path()));
        log.write(6, b"not committed");
        log.wal.free(5, 0);
        log.append(6, b"queued");
        log.wal.finish();
        assert_eq!(payloads(dir.path()), [&b"not committed"[..], b"queued"], "{}", backend.name());
    }
}

#[test]
fn finish_removes_a_prefix_only() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let small = Options { bytes_max: 4 << 20, segment_bytes: 256 << 10, ..options(dir.path()) };
        let log = Log::start(&backend, small);
        for (number, epoch) in [1, 1, 3, 1, 2].into_iter().enumerate() {
            log.write(epoch, &payload(number as u64, 200_000));
        }
        log.wal.free(2, 0);
        log.wal.finish();
        let image = image::read(&dir.path().join("wal"));
        let epochs: Vec<u64> = image.records.iter().map(|record| record.epoch).collect();
        assert_eq!((epochs, image.empty), (vec![3, 1, 2], 0), "{}", backend.name());
    }
}

#[test]
fn dropping_the_log_writes_what_is_queued_and_removes_nothing() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, options(dir.path()));
        log.append_many(20, 5000);
        log.wal.free(1, 0);
        drop(log);
        assert_eq!(payloads(dir.path()).len(), 20, "{}", backend.name());
    }
}

/// Everything at once, in segments that hold a few records: threads that append, one that frees, and memory for a few only.
#[test]
fn threads_that_append_while_segments_come_and_go() {
    const THREADS: u64 = 4;
    const RECORDS: u64 = 150;
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let small = Options { bytes_max: 2 << 20, segment_bytes: 512 << 10, ..options(dir.path()) };
        let log = Log::start(&backend, small);
        let mut others = crate::budget::Reservation::new(&log.budget, Consumer::Bodies);
        assert!(others.try_grow(log.budget.bytes_max() - (3 << 20)));
        let append = |thread: u64| {
            for n in 0..RECORDS {
                let number = thread * RECORDS + n;
                log.append(n, &payload(number, 8 + (number * 7919 % 40_000) as usize));
            }
        };
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || append(thread))).collect();
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    log.wal.free(RECORDS, 0);
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        log.wait_for(THREADS * RECORDS);
        assert!(files(dir.path()).1 <= 2 << 20, "{}", backend.name());
        let image = image::read(&dir.path().join("wal"));
        for record in &image.records {
            let number = u64::from_le_bytes(record.payload[..8].try_into().unwrap());
            assert!(record.payload == payload(number, record.payload.len()) && record.epoch == number % RECORDS);
        }
        assert!(image.segments.last().is_some_and(|last| last.1 > 10), "{}: {:?}", backend.name(), image.segments);
    }
}
