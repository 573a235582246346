//! After a failed write, and after the power went.

use std::collections::BTreeSet;

use super::*;
use crate::wal::disk::faulty::Subject;
use rustix::io::Errno;

fn payloads(dir: &Path) -> Vec<Vec<u8>> {
    image::read(&dir.join("wal")).records.into_iter().map(|record| record.payload).collect()
}

/// Everything that a poisoned log promises, when `durable` records were durable before.
#[track_caller]
fn assert_poisoned(log: &Log, faults: &Faults, durable: u64, place: &str) {
    log.wait_until("poisoned", |wal| wal.failure().is_some());
    let failure = log.wal.failure().unwrap();
    assert!(failure.contains(place) && failure.contains("restart the node"), "{failure}");
    assert!(matches!(log.wal.reserve(1, 1).err(), Some(NoRoom::Poisoned(why)) if why == failure));
    let seen = faults.seen();
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!((log.wal.durable(), faults.seen()), (durable, seen), "nothing is written any more");
}

#[test]
fn a_failed_write_poisons() {
    for fault in [Fault::Fail(Errno::IO), Fault::Torn(vec![0, 1]), Fault::Torn(vec![]), Fault::Fail(Errno::NOSPC)] {
        let dir = tempfile::tempdir().unwrap();
        let of_group = fault.clone();
        let faults =
            Faults::new(move |subject| if subject == Subject::Group(2) { of_group.clone() } else { Fault::None });
        let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), options(dir.path()));
        log.write(1, b"first");
        log.write(1, b"second");
        let mut space = log.wal.reserve(100, 2).unwrap();
        let record = |payload| Record { kind: Kind::Request, epoch: 1, births: 0, parts: payload };
        let failed = space.append(record(&[&[b'x'; 50]]));
        assert_eq!(failed, 3);
        assert_poisoned(&log, &faults, 2, "00000000.wal at byte 12288");
        let last = faults.seen().split_off(3);
        assert_eq!(last, [Subject::Group(2)], "{fault:?}: written once, and not again");
        assert_eq!(space.append(record(&[b"too late"])), 4, "what was promised is taken, and lost");
        drop(space);
        let budget = Arc::clone(&log.budget);
        log.wal.free(1, 0);
        log.wal.finish();
        assert_eq!(budget.held_by(Consumer::LogQueue), 0);
        // The write may have reached the disk in spite of the error.
        assert_eq!(payloads(dir.path())[..2], [b"first".to_vec(), b"second".to_vec()], "{fault:?}");
    }
}

#[test]
fn a_failed_header_poisons() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(move |subject| match subject {
        Subject::Header(first) if first > 0 => Fault::Fail(Errno::IO),
        _ => Fault::None,
    });
    let small = Options { segment_bytes: 256 << 10, ..options(dir.path()) };
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small);
    log.write(1, &payload(0, 200_000));
    log.append(1, &payload(1, 200_000));
    assert_poisoned(&log, &faults, 1, "00000001.wal at byte 0");
    assert_eq!(faults.seen(), [Subject::Header(0), Subject::Group(0), Subject::Header(1)]);
    log.wal.finish();
    assert_eq!(payloads(dir.path()), [payload(0, 200_000)]);
}

#[test]
fn waiters_are_woken_and_the_queue_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut is_first = true;
    let faults = Faults::new(move |subject| match subject {
        Subject::Group(0) if std::mem::take(&mut is_first) => Fault::Hold,
        Subject::Group(1) => Fault::Fail(Errno::IO),
        _ => Fault::None,
    });
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), options(dir.path()));
    log.append(1, b"held");
    faults.wait_held();
    log.append_many(12, 1 << 19);
    let calls = log.moved.len();
    faults.release();
    log.wait_until("poisoned", |wal| wal.failure().is_some());
    log.wait_until("told", |_| log.moved.is_empty());
    assert_eq!((calls, log.wal.durable()), (0, 1));
    let held = || log.budget.held_by(Consumer::LogQueue);
    log.wait_until("given back", |_| held() <= 8 << 20);
    log.wal.finish();
    assert_eq!(payloads(dir.path()), [b"held"]);
}

/// Whatever blocks of the last group reach the disk, what was durable is found, and the last group wholly or not at all.
#[test]
fn a_power_cut_takes_no_more_than_the_group_that_was_being_written() {
    let blocks = 6;
    let kept = (0..1 << blocks).map(|bits: u32| (0..blocks).filter(|bit| bits >> bit & 1 == 1).collect::<Vec<usize>>());
    for kept in kept {
        let dir = tempfile::tempdir().unwrap();
        let cut = kept.clone();
        let faults = Faults::new(move |subject| match subject {
            Subject::Group(3) => Fault::PowerCut(cut.clone()),
            _ => Fault::None,
        });
        let small = Options { segment_bytes: 256 << 10, ..options(dir.path()) };
        let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small);
        let mut expected: Vec<Vec<u8>> = (0..3).map(|n| payload(n, 10_000)).collect();
        expected.iter().for_each(|payload| log.write(1, payload));
        let last = payload(3, blocks * 4096 - 80);
        log.append(1, &last);
        log.wait_until("cut", |wal| wal.failure().is_some());
        drop(log);
        if kept.len() == blocks {
            expected.push(last);
        }
        assert!(payloads(dir.path()) == expected, "{kept:?}");
    }
}

/// A segment that is used again holds older groups of this very life. Whether its new header reached the disk or not, the log is whole.
#[test]
fn a_power_cut_while_a_segment_is_used_again() {
    for (kept, header) in [(vec![], true), (vec![0], true), (vec![], false), (vec![0], false), (vec![1, 2], false)] {
        let dir = tempfile::tempdir().unwrap();
        let small = Options { bytes_max: 768 << 10, segment_bytes: 256 << 10, ..options(dir.path()) };
        let (at, cut) = (9, kept.clone());
        let faults = Faults::new(move |subject| match subject {
            Subject::Header(first) if first == at && header => Fault::PowerCut(cut.clone()),
            Subject::Group(group) if group == at && !header => Fault::PowerCut(cut.clone()),
            _ => Fault::None,
        });
        let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small);
        for n in 0..at {
            log.wal.free(n.saturating_sub(1), 0);
            log.write(n, &payload(n, 200_000));
        }
        log.append(at, &payload(at, 200_000));
        log.wait_until("cut", |wal| wal.failure().is_some());
        drop(log);
        let image = image::read(&dir.path().join("wal"));
        let numbers: BTreeSet<u64> = image.records.iter().map(|found| u64::from(found.payload[0])).collect();
        assert!(numbers.contains(&(at - 1)) && numbers.contains(&(at - 2)), "{kept:?} {header} {numbers:?}");
        assert!(!numbers.contains(&at));
    }
}
