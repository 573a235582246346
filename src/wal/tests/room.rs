//! Segments: how they grow, come back, are freed, and what limits them.

use super::*;
use crate::wal::disk::faulty::Subject;
use crate::wal::format::BLOCK_BYTES;
use rustix::io::Errno;

/// Segments of 256 KiB, at most eight of them.
fn small(dir: &Path) -> Options {
    Options { bytes_max: 8 * SEGMENT, segment_bytes: SEGMENT, ..options(dir) }
}

const SEGMENT: u64 = 256 << 10;
/// Groups of one such record fill a segment but for its header.
const QUARTER: usize = 60_000;

#[test]
fn freed_segments_are_written_again() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, small(dir.path()));
        let mut written: u64 = 0;
        for epoch in 1..=30 {
            for _ in 0..5 {
                log.write(epoch, &payload(written, QUARTER));
                written += 1;
            }
            // What stands in the files is whole at any time, whatever older groups lie behind.
            let image = image::read(&dir.path().join("wal"));
            let numbers: Vec<u64> =
                image.records.iter().map(|found| u64::from_le_bytes(found.payload[..8].try_into().unwrap())).collect();
            let kept = written - 5..written;
            assert!(kept.clone().all(|number| numbers.contains(&number)), "{}: {kept:?} {numbers:?}", backend.name());
            assert!(numbers.is_sorted() && image.segments.iter().all(|segment| segment.0 < 8), "{image:?}");
            log.wal.free(epoch - 1, 0);
        }
        let (count, bytes) = files(dir.path());
        assert!(count <= 5 && bytes <= 5 * SEGMENT, "{}: {count} files, {bytes} bytes", backend.name());
    }
}

#[test]
fn segments_grow_up_to_their_full_size() {
    let dir = tempfile::tempdir().unwrap();
    let all = Options { bytes_max: 256 * MIB, segment_bytes: 32 * MIB, ..options(dir.path()) };
    let log = Log::start(&Backend::candidates(false)[0], all);
    for n in 0..30 {
        log.write(1, &payload(n, 3 << 20));
    }
    let sizes: Vec<u64> = image::read(&dir.path().join("wal")).segments.iter().map(|segment| segment.2 / MIB).collect();
    assert_eq!(sizes, [8, 16, 32, 32, 32]);
}

#[test]
fn segments_are_freed_in_the_order_of_the_log() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, small(dir.path()));
        log.write_births(5, &payload(0, 200_000));
        log.write(1, &payload(1, 200_000));
        log.write(2, &payload(2, 200_000));
        log.write(1, &payload(3, 200_000));
        let unfreed = || log.metrics.log_unfreed_bytes.get() as u64 / SEGMENT;
        assert_eq!(unfreed(), 3, "the fourth is being written to");
        // The births are not durable in the catalog: nothing goes, though what follows might.
        log.wal.free(2, 4);
        assert_eq!(unfreed(), 3, "{}", backend.name());
        log.wal.free(2, 5);
        assert_eq!(unfreed(), 0, "{}", backend.name());
        log.write(4, &payload(4, 200_000));
        log.write(3, &payload(5, 200_000));
        log.write(3, &payload(6, 200_000));
        // The fourth had epoch 1, and is given up with the next commit; the next needs 4 and stands before one that needs 3.
        assert_eq!(unfreed(), 3, "{}", backend.name());
        log.wal.free(3, 5);
        assert_eq!(unfreed(), 2, "{}", backend.name());
        log.wal.free(4, 5);
        assert_eq!(unfreed(), 0, "{}", backend.name());
    }
}

#[test]
fn the_limit_holds_and_freeing_makes_room() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, small(dir.path()));
        assert!(!log.wal.is_tight());
        log.fill(1, QUARTER);
        let (count, bytes) = files(dir.path());
        assert_eq!((count, bytes), (8, 8 * SEGMENT), "{}", backend.name());
        assert!(log.wal.is_tight());
        assert_eq!(log.wal.failure(), None);
        log.wal.free(1, 0);
        log.write(2, &payload(1, QUARTER));
        assert!(!log.wal.is_tight());
        assert_eq!(files(dir.path()).1, 8 * SEGMENT);
    }
}

#[test]
fn half_of_the_limit_taken_is_tight() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::start(&Backend::candidates(false)[0], small(dir.path()));
    for n in 0..4 {
        assert!(!log.wal.is_tight(), "{n} segments are full");
        log.write(1, &payload(n, 200_000));
    }
    log.write(1, &payload(4, 200_000));
    assert!(log.wal.is_tight());
    log.wal.free(1, 0);
    assert!(!log.wal.is_tight());
}

#[test]
fn a_record_may_fill_a_segment_and_no_more() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        // The first segments are smaller than the record.
        let all = Options { bytes_max: 30 * MIB, segment_bytes: 12 * MIB, ..options(dir.path()) };
        let max = all.record_bytes_max() as usize;
        assert_eq!(max as u64, 12 * MIB - BLOCK_BYTES as u64 - 80);
        let log = Log::start(&backend, all);
        assert_eq!(log.wal.reserve(max + 1, 1).err(), Some(NoRoom::TooLarge));
        assert_eq!(log.wal.reserve(max, 2).err(), Some(NoRoom::TooLarge));
        log.write(1, b"before");
        log.wal.free(1, 0);
        for n in 0..4 {
            log.write(1, &payload(n, max));
            log.wal.free(1, 0);
        }
        log.write(1, b"after");
        let image = image::read(&dir.path().join("wal"));
        let lengths: Vec<usize> = image.records.iter().map(|record| record.payload.len()).collect();
        assert_eq!(lengths[lengths.len() - 2..], [max, 5], "{}", backend.name());
        assert!(image.records[lengths.len() - 2].payload == payload(3, max));
        assert!(image.bytes <= 30 * MIB);
    }
}

/// A spare that is too small for somebody is replaced, but not while room in it is promised to others.
#[test]
fn a_spare_that_is_relied_upon_stays() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|subject| if subject == Subject::Group(0) { Fault::Hold } else { Fault::None });
    let all = Options { bytes_max: 128 * MIB, segment_bytes: 64 * MIB, ..options(dir.path()) };
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), all);
    log.append(1, b"held");
    faults.wait_held();
    log.wait_until("there is a spare of 16 MiB", |_| log.metrics.log_segment_bytes.get() == 24 << 20);
    // More than the 8 MiB of the current segment.
    let last = log.append_many(10, 1 << 20);
    assert_eq!(log.wal.reserve(20 << 20, 1).err(), Some(NoRoom::Disk));
    std::thread::sleep(Duration::from_millis(50));
    faults.release();
    log.wait_for(last);
    log.write(1, &vec![7; 20 << 20]);
    let sizes: Vec<u64> = image::read(&dir.path().join("wal")).segments.iter().map(|segment| segment.2 / MIB).collect();
    assert_eq!(sizes[..2], [8, 16]);
}

#[test]
fn a_segment_is_used_to_its_last_block() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, small(dir.path()));
        let blocks = SEGMENT as usize / BLOCK_BYTES - 1;
        log.write(1, &payload(0, (blocks - 1) * BLOCK_BYTES - 80));
        log.write(1, &payload(1, BLOCK_BYTES - 80));
        assert_eq!(image::read(&dir.path().join("wal")).segments.len(), 1, "{}", backend.name());
        log.write(1, b"one block more");
        let image = image::read(&dir.path().join("wal"));
        assert_eq!(image.segments.iter().map(|segment| segment.1).collect::<Vec<_>>(), [0, 2], "{}", backend.name());
        assert_eq!(image.groups, [1, 1, 1]);
    }
}

#[test]
fn what_the_disk_must_keep_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let all = Options { disk_reserve: u64::MAX / 2, ..options(dir.path()) };
    let Err(error) = Log::try_start(&Backend::candidates(true)[0], all) else { panic!("started on a full disk") };
    assert!(error.to_string().starts_with("cannot make the log's first segment in "), "{error}");
    assert_eq!(files(dir.path()), (0, 0));
}

#[test]
fn a_full_disk_is_no_poison() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|_| Fault::None);
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small(dir.path()));
    log.write(1, &payload(0, QUARTER));
    log.wait_until("there is a spare", |_| log.metrics.log_segments.get() == 2);
    let fails = Arc::clone(&faults);
    fails
        .set_rule(|subject| if matches!(subject, Subject::Zeros(_)) { Fault::Fail(Errno::NOSPC) } else { Fault::None });
    log.fill(1, QUARTER);
    assert_eq!(log.wal.failure(), None);
    assert!(log.wal.is_tight(), "a flush frees some");
    assert_eq!(files(dir.path()).1, 2 * SEGMENT, "what was not made is gone");
    // A segment that is freed is used, whether or not the disk is full.
    log.wal.free(1, 0);
    log.write(2, &payload(1, QUARTER));
    log.fill(2, QUARTER);
    faults.set_rule(|_| Fault::None);
    log.write(2, &payload(2, QUARTER));
    assert!(files(dir.path()).0 > 2);
    image::read(&dir.path().join("wal"));
}

/// Where a disk's first write is refused, as O_DIRECT is in places, the next one is taken.
#[test]
fn another_disk_is_taken_where_one_is_refused() {
    for at in [0, 2 * MIB] {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new(move |subject| match subject {
            Subject::Zeros(offset) if offset >= at => Fault::Fail(Errno::INVAL),
            _ => Fault::None,
        });
        let candidates = [Backend::Faulty(Arc::clone(&faults)), Backend::candidates(true)[0].clone()];
        let budget = Budget::new(1 << 30);
        let metrics = Metrics::new(&budget);
        let wal = Wal::start_on(&candidates, options(dir.path()), &budget, &metrics, Box::new(|| ())).unwrap();
        let mut space = wal.reserve(5, 1).unwrap();
        space.append(Record { kind: Kind::Request, epoch: 1, births: 0, parts: &[b"there"] });
        drop(space);
        drop(wal);
        assert_eq!(image::read(&dir.path().join("wal")).records[0].payload, b"there");
        assert_eq!(faults.seen(), [], "nothing else went to the one that refused");
    }
}

#[test]
fn without_any_disk_the_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|_| Fault::Fail(Errno::ROFS));
    let Err(error) = Log::try_start(&Backend::Faulty(faults), options(dir.path())) else { panic!("started") };
    assert!(error.to_string().ends_with("wal: Read-only file system (os error 30)"), "{error}");
    assert_eq!(files(dir.path()), (0, 0));
}

/// tmpfs takes O_DIRECT or refuses it, by its version; the log works either way.
#[test]
fn the_log_runs_in_memory() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let budget = Budget::new(1 << 30);
    let metrics = Metrics::new(&budget);
    let wal = Wal::start(options(dir.path()), &budget, &metrics, Box::new(|| ())).unwrap();
    let parts: &[&[u8]] = &[b"there"];
    wal.reserve(5, 1).unwrap().append(Record { kind: Kind::Request, epoch: 1, births: 0, parts });
    wal.finish();
    assert_eq!(image::read(&dir.path().join("wal")).records[0].payload, b"there");
}
