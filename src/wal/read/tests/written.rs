//! What the running log writes, read back and read beside it.

use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::budget::Budget;
use crate::metrics::Metrics;
use crate::wal::{NoRoom, Options, Record, Wal};

const MIB: u64 = 1 << 20;

fn start(dir: &Path) -> Wal {
    let budget = Budget::new(1 << 28);
    let metrics = Metrics::new(&budget);
    let (bytes_max, segment_bytes) = (12 * MIB, 2 * MIB);
    let (dir, note) = (dir.join("wal"), dir.join("note"));
    let options = Options { dir, note, owner: OWNER, bytes_max, segment_bytes, disk_reserve: 0, sync: true };
    Wal::start(options, &budget, &metrics, Box::new(|| {})).unwrap()
}

/// A payload that tells its number; sizes from nothing to more than a buffer holds.
fn payload(number: u64) -> Vec<u8> {
    let bytes = [0, 10, 4000, 4096, 70_000, 300_000][number as usize % 6];
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + bytes, number as u8);
    payload
}

/// Queues it as soon as there is room.
fn append(wal: &Wal, number: u64, epoch: u64) -> u64 {
    let payload = payload(number);
    loop {
        match wal.reserve(payload.len(), 1) {
            Ok(mut space) => return space.append(Record { kind: Kind::Request, epoch, births: 0, parts: &[&payload] }),
            Err(NoRoom::Poisoned(failure)) => panic!("{failure}"),
            Err(_) => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

fn wait_for(wal: &Wal, position: u64) {
    while wal.durable() < position {
        std::thread::yield_now();
    }
}

fn numbers(written: &[Written]) -> Vec<u64> {
    let number = |(_, _, bytes): &Written| {
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(*bytes == payload(number));
        number
    };
    written.iter().map(number).collect()
}

#[test]
fn what_was_written_is_read_in_order_and_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let wal = start(dir.path());
    let dir = dir.path().join("wal");
    for number in 0..100 {
        let position = append(&wal, number, 100 + number);
        // Some groups of one record, some of several.
        if number % 4 == 0 {
            wait_for(&wal, position);
        }
    }
    wal.free(100 + 60, 0);
    wal.finish();
    let (found, written) = read(&dir, false).unwrap();
    let numbers = numbers(&written);
    assert_eq!(numbers, (numbers[0]..100).collect::<Vec<_>>());
    assert!((1..=61).contains(&numbers[0]), "{}", numbers[0]);
    assert_eq!((found.owner, found.torn.clone(), found.epoch_max), (Some(OWNER), None, 199));
    assert!(found.segments.len() > 2, "{found:?}");
    super::super::remove(&dir).unwrap();
    assert!(read(&dir, false).unwrap().0.segments.is_empty());
}

/// Segments are freed and used again under the reader: it may say that they have changed, and never that they are damaged.
#[test]
fn beside_a_running_log() {
    let dir = tempfile::tempdir().unwrap();
    let wal = start(dir.path());
    let (running, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        // Dropped at the end, be it that of a failed assertion.
        let _running = running;
        let wal = &wal;
        scope.spawn(move || {
            let mut number = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                append(wal, number, number);
                number += 1;
                if number % 50 == 0 {
                    wal.free(number - 30, 0);
                }
            }
        });
        let (mut read_whole, mut last) = (0, 0);
        let started = Instant::now();
        let is_enough = |read_whole, last, lasted| lasted > Duration::from_secs(2) && read_whole > 2 && last > 100;
        while !is_enough(read_whole, last, started.elapsed()) {
            assert!(started.elapsed() < Duration::from_secs(60), "read whole {read_whole} times, up to {last}");
            match read_with(&dir.path().join("wal"), Some(&dir.path().join("note")), false) {
                Ok((_, written)) => {
                    let numbers = numbers(&written);
                    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
                    let end = numbers.last().copied().unwrap_or(last);
                    assert!(end >= last, "{end} after {last}");
                    (read_whole, last) = (read_whole + 1, end);
                }
                Err(WalError::Changed { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
    wal.finish();
}
