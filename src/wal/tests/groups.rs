//! How records come together, and who waits for whom.

use super::*;
use crate::wal::disk::faulty::Subject;
use crate::wal::gather::GROUP_BYTES_MAX;

/// A log whose group `held` waits until it is released.
fn held_at(dir: &Path, held: u64) -> (Log, Arc<Faults>) {
    let faults = Faults::new(move |subject| if subject == Subject::Group(held) { Fault::Hold } else { Fault::None });
    (Log::start(&Backend::Faulty(Arc::clone(&faults)), options(dir)), faults)
}

fn groups(dir: &Path) -> Vec<u32> {
    image::read(&dir.join("wal")).groups
}

#[test]
fn what_gathers_while_a_group_is_written_is_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (log, faults) = held_at(dir.path(), 1);
    log.write(1, b"alone");
    log.append(1, b"held");
    faults.wait_held();
    let last = log.append_many(50, 100);
    assert_eq!(log.wal.durable(), 1);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(log.wal.durable(), 1, "nothing passes the group that is being written");
    faults.release();
    log.wait_for(last);
    assert_eq!(groups(dir.path()), [1, 1, 50]);
}

#[test]
fn groups_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let (log, faults) = held_at(dir.path(), 0);
    log.append(1, b"held");
    faults.wait_held();
    let size = 300_000;
    let last = log.append_many(40, size);
    let large = log.append(1, &payload(40, GROUP_BYTES_MAX + 5));
    let small = log.append(1, b"behind it");
    assert_eq!((large, small), (last + 1, last + 2));
    faults.release();
    log.wait_for(small);
    let per_group = (GROUP_BYTES_MAX - 64) / (size + 16);
    let groups = groups(dir.path());
    assert_eq!(groups[1..4], [per_group as u32; 3]);
    assert_eq!(groups[groups.len() - 2..], [1, 1], "a record beyond the limit is a group of its own: {groups:?}");
}

#[test]
fn a_lone_writer_waits_for_nobody() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, options(dir.path()));
        for n in 0..20 {
            log.write(1, &payload(n, 1000));
        }
        assert_eq!(groups(dir.path()), [1; 20], "{}", backend.name());
    }
}

#[test]
fn a_records_parts_are_one_payload() {
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(&backend, options(dir.path()));
        let body = payload(1, 600_000);
        let mut space = log.wal.reserve(body.len() + 8, 2).unwrap();
        let parts: [&[u8]; 4] = [b"head", b"", &body, b"t"];
        let first = space.append(Record { kind: Kind::Request, epoch: 3, births: 0, parts: &parts });
        let second = space.append(Record { kind: Kind::Births, epoch: 0, births: 1, parts: &[b"abc"] });
        drop(space);
        assert_eq!((first, second), (1, 2));
        log.wait_for(2);
        let records = image::read(&dir.path().join("wal")).records;
        assert!(records[0].payload == [b"head", &body[..], b"t"].concat());
        assert_eq!((records[1].kind, &records[1].payload[..]), (2, &b"abc"[..]));
    }
}

#[test]
fn memory_is_counted_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (log, faults) = held_at(dir.path(), 0);
    let held = || log.budget.held_by(Consumer::LogQueue);
    assert_eq!(held(), 0, "an idle log takes none");
    log.append(1, b"held");
    faults.wait_held();
    let last = log.append_many(8, MIB as usize);
    assert!(held() >= 8 * MIB as usize, "{}", held());
    let space = log.wal.reserve(3 << 20, 1).unwrap();
    let more = held();
    assert!(more >= 11 * MIB as usize, "{more}");
    drop(space);
    faults.release();
    log.wait_for(last);
    log.wait_until("given back", |_| held() <= 2 * GROUP_BYTES_MAX);
    let budget = Arc::clone(&log.budget);
    drop(log);
    assert_eq!(budget.held_by(Consumer::LogQueue), 0);
}

#[test]
fn without_memory_there_is_no_room_until_groups_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (log, faults) = held_at(dir.path(), 0);
    let mut others = crate::budget::Reservation::new(&log.budget, Consumer::Bodies);
    log.append(1, b"held");
    faults.wait_held();
    assert!(others.try_grow(log.budget.bytes_max() - log.budget.total() - (4 << 20)));
    let mut last = log.append(1, &payload(0, 1 << 20));
    while log.wal.reserve(1 << 20, 1).is_ok() {
        last = log.append(1, &payload(0, 1 << 20));
    }
    assert_eq!(log.wal.reserve(1 << 20, 1).err(), Some(NoRoom::Memory));
    assert!((2..6).contains(&last), "{last}");
    faults.release();
    log.wait_for(last);
    log.room(1 << 20);
}
