//! The note: written in the right order, so that at no time more is claimed than is there, nor less than must be.

use super::*;
use crate::wal::disk::faulty::Subject;
use crate::wal::format::segment_name;
use crate::wal::{Found, Note, inspect};
use rustix::io::Errno;

const SEGMENT: u64 = 256 << 10;
/// Two of them do not fit into a segment.
const BODY: usize = 200_000;

fn small(dir: &Path) -> Options {
    Options { bytes_max: 8 * SEGMENT, segment_bytes: SEGMENT, ..options(dir) }
}

fn find(dir: &Path, skip_damaged: bool) -> Result<Found, WalError> {
    inspect(&dir.join("wal"), Some(&dir.join("note")), skip_damaged)
}

/// A log of four segments, the first of them given up, that was not ended in order.
fn killed(dir: &Path) -> Vec<std::path::PathBuf> {
    let log = Log::start(&Backend::Synced, small(dir));
    for n in 0..4 {
        log.write(1 + n, &payload(n, BODY));
    }
    log.wal.free(1, 0);
    drop(log);
    let found = find(dir, false).unwrap();
    let mut used: Vec<_> = found.segments.into_iter().filter(|segment| segment.first_sequence.is_some()).collect();
    used.sort_by_key(|segment| segment.first_sequence);
    used.into_iter().map(|segment| segment.path).collect()
}

#[track_caller]
fn missing(dir: &Path) -> String {
    let error = find(dir, false).unwrap_err();
    assert!(matches!(&error, WalError::Missing { path, .. } if *path == dir.join("wal")), "{error}");
    let found = find(dir, true).unwrap();
    let [lost] = &found.lost[..] else { panic!("{:?}", found.lost) };
    assert!(error.to_string().contains(&lost.what), "{error}: {lost:?}");
    error.to_string()
}

#[test]
fn a_header_is_noted_before_its_first_group_and_the_begin_before_a_segment_goes() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|_| Fault::None);
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small(dir.path()));
    for n in 0..3 {
        log.write(1 + n, &payload(n, BODY));
    }
    log.wal.free(1, 0);
    log.wal.free(1, 0);
    log.wal.free(2, 0);
    log.wal.free(3, 0);
    log.wal.finish();
    use Subject::{Group, Header};
    let (note, entered) = (Subject::Note, |sequence| Subject::Note(0, Some(sequence)));
    let written = [Header(0), entered(0), Group(0), Header(1), entered(1), Group(1), Header(2), entered(2), Group(2)];
    assert_eq!(faults.order(), [&written[..], &[note(1, Some(2)), note(2, Some(2))]].concat());
    assert!(!dir.path().join("note").exists(), "nothing is left that it could claim");
    assert_eq!(files(dir.path()), (0, 0));
}

#[test]
fn what_finish_leaves_is_what_the_note_claims() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::start(&Backend::Synced, small(dir.path()));
    for (number, epoch) in [1, 1, 3, 1].into_iter().enumerate() {
        log.write(epoch, &payload(number as u64, BODY));
    }
    log.wal.free(2, 0);
    log.wal.finish();
    let found = find(dir.path(), false).unwrap();
    assert_eq!(found.segments.iter().map(|segment| segment.first_sequence).collect::<Vec<_>>(), [Some(2), Some(3)]);
    std::fs::remove_file(&found.segments[0].path).unwrap();
    let error = missing(dir.path());
    assert!(error.contains("begins with group 3: the groups 2 to 2 are missing"), "{error}");
}

#[test]
fn a_failed_note_at_the_entrance_poisons() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|subject| match subject {
        Subject::Note(_, Some(1)) => Fault::Fail(Errno::IO),
        _ => Fault::None,
    });
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small(dir.path()));
    log.write(1, &payload(0, BODY));
    log.append(1, &payload(1, BODY));
    log.wait_until("poisoned", |wal| wal.failure().is_some());
    let failure = log.wal.failure().unwrap();
    assert!(failure.contains("the note of the log, ") && failure.contains("Input/output error"), "{failure}");
    assert_eq!(faults.seen(), [Subject::Header(0), Subject::Group(0), Subject::Header(1)]);
    log.wal.finish();
    // The header is there, and the note does not say so.
    assert_eq!(find(dir.path(), false).unwrap().groups, 1);
}

#[test]
fn without_a_note_no_segment_goes_until_it_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|_| Fault::None);
    let log = Log::start(&Backend::Faulty(Arc::clone(&faults)), small(dir.path()));
    for n in 0..3 {
        log.write(1, &payload(n, BODY));
    }
    let unfreed = || log.metrics.log_unfreed_bytes.get() as u64 / SEGMENT;
    faults.set_rule(|subject| if matches!(subject, Subject::Note(..)) { Fault::Fail(Errno::IO) } else { Fault::None });
    for _ in 0..3 {
        log.wal.free(1, 0);
        assert_eq!(unfreed(), 2);
    }
    assert_eq!(log.wal.failure(), None);
    faults.set_rule(|_| Fault::None);
    log.wal.free(1, 0);
    assert_eq!(unfreed(), 0);
    log.write(2, &payload(3, BODY));
    // Now at the end.
    faults.set_rule(|subject| if matches!(subject, Subject::Note(..)) { Fault::Fail(Errno::IO) } else { Fault::None });
    let before = files(dir.path());
    log.wal.finish();
    assert_eq!(files(dir.path()), before);
    assert!(find(dir.path(), false).unwrap().lost.is_empty());
}

#[test]
fn a_missing_front_end_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    let paths = killed(dir.path());
    let aside = dir.path().join("aside");
    let [first, .., last] = &paths[..] else { panic!("{paths:?}") };
    // The first segment was given up: it may be there or not.
    let is_freed = first.to_str().unwrap().contains("-00000000.wal");
    assert!(is_freed, "{paths:?}");
    std::fs::remove_file(first).unwrap();
    find(dir.path(), false).unwrap();

    std::fs::rename(&paths[1], &aside).unwrap();
    assert!(missing(dir.path()).contains("begins with group 2: the groups 1 to 1 are missing"));
    std::fs::rename(&aside, &paths[1]).unwrap();

    std::fs::rename(last, &aside).unwrap();
    let error = missing(dir.path());
    assert!(error.contains("no segment that begins with group 3 or a later one: the groups from 3 on"), "{error}");
    std::fs::rename(&aside, last).unwrap();

    // A spare may be missing.
    let spare = find(dir.path(), false).unwrap().segments.into_iter().find(|segment| segment.first_sequence.is_none());
    spare.into_iter().for_each(|spare| std::fs::remove_file(spare.path).unwrap());
    assert!(find(dir.path(), false).unwrap().lost.is_empty());

    std::fs::rename(dir.path().join("wal"), &aside).unwrap();
    assert!(missing(dir.path()).contains("its groups from 1 on are missing"));
    assert_eq!(find(dir.path(), true).unwrap().lost[0].groups, 2);
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    assert!(missing(dir.path()).contains("its groups from 1 on are missing"));
    // Without a note there is no claim.
    Note::remove(&dir.path().join("note")).unwrap();
    assert!(find(dir.path(), false).unwrap().lost.is_empty());
}

#[test]
fn a_log_of_another_life_than_the_note_s() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    // Started, and nothing written: the note claims nothing, but the old log cannot be there.
    Note::create(&dir.path().join("note"), 7, &Backend::Synced).unwrap();
    assert!(missing(dir.path()).contains("holds groups of another life, and none of life 0000000000000007"));
    let mut note = Note::create(&dir.path().join("note"), 7, &Backend::Synced).unwrap();
    note.enter(0).unwrap();
    assert!(missing(dir.path()).contains("no segment of life 0000000000000007"));
}

#[test]
fn a_damaged_note_refuses_and_can_be_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let paths = killed(dir.path());
    std::fs::write(dir.path().join("note"), [7; 100]).unwrap();
    assert!(matches!(find(dir.path(), false), Err(WalError::Note { .. })));
    let found = find(dir.path(), true).unwrap();
    assert_eq!((found.lost.len(), found.segments.iter().filter(|one| paths.contains(&one.path)).count()), (1, 4));
}

/// Whatever is written last before the power is cut, what a start finds is sound, and what was durable is there.
#[test]
fn a_power_cut_at_every_write_leaves_a_sound_log() {
    let total = {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new(|_| Fault::None);
        run(dir.path(), &faults);
        faults.order().len()
    };
    assert!(total > 25, "{total}");
    for cut in 0..total {
        for kept in [vec![], vec![0]] {
            let dir = tempfile::tempdir().unwrap();
            let mut left = cut;
            let kept = kept.clone();
            let faults = Faults::new(move |subject| {
                if matches!(subject, Subject::Zeros(_) | Subject::Sync) {
                    return Fault::None;
                }
                let is_cut = left == 0;
                left = left.saturating_sub(1);
                if is_cut { Fault::PowerCut(kept.clone()) } else { Fault::None }
            });
            let (written, committed) = run(dir.path(), &faults);
            let found = find(dir.path(), false).unwrap_or_else(|error| panic!("{cut}: {error}"));
            let (mut reader, mut payload, mut epochs) = (found.reader(), Vec::new(), Vec::new());
            while let Some(head) = reader.next(&mut payload).unwrap() {
                epochs.push(head.epoch);
            }
            assert!((committed + 1..=written).all(|epoch| epochs.contains(&epoch)), "{cut}: {epochs:?}");
        }
    }
}

/// Writes ten segments, given up as it goes; the last epochs that were durable and committed.
fn run(dir: &Path, faults: &Arc<Faults>) -> (u64, u64) {
    let log = Log::start(
        &Backend::Faulty(Arc::clone(faults)),
        Options { bytes_max: 4 * SEGMENT, segment_bytes: SEGMENT, ..options(dir) },
    );
    let mut last = (0, 0);
    for epoch in 1..=10 {
        let started = Instant::now();
        let position = loop {
            match log.wal.reserve(BODY, 1) {
                Ok(mut space) => {
                    let parts = &[&payload(epoch, BODY)[..]];
                    break space.append(Record { kind: Kind::Request, epoch, births: 0, parts });
                }
                Err(_) if faults.power_is_off() => return last,
                Err(reason) => assert!(started.elapsed() < Duration::from_secs(30), "{reason:?}"),
            }
            std::thread::sleep(Duration::from_micros(100));
        };
        log.wait_until("durable or poisoned", |wal| wal.durable() >= position || wal.failure().is_some());
        if log.wal.failure().is_some() {
            return last;
        }
        last = (epoch, last.1);
        if epoch > 2 {
            log.wal.free(epoch - 2, 0);
            last = (epoch, epoch - 2);
        }
    }
    drop(log);
    last
}

/// Of a start: the note, then a segment without a header, then with one.
#[test]
fn the_states_of_a_crash_at_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("note");
    Note::create(&note, 7, &Backend::Synced).unwrap();
    assert!(find(dir.path(), false).unwrap().segments.is_empty(), "no folder");
    drop(Log::start(&Backend::Synced, small(dir.path())));
    assert_eq!(find(dir.path(), false).unwrap().segments.len(), 1);
    // A crash while the note is made.
    std::fs::remove_file(&note).unwrap();
    std::fs::write(dir.path().join("note.new"), [0; 100]).unwrap();
    assert_eq!(find(dir.path(), false).unwrap().segments.len(), 1);
    crate::wal::remove(&dir.path().join("wal")).unwrap();
    drop(Log::start(&Backend::Synced, small(dir.path())));
    assert!(!dir.path().join("note.new").exists());

    // The header is there and not noted.
    crate::wal::remove(&dir.path().join("wal")).unwrap();
    let life = u64::MAX - 1;
    Note::create(&note, life, &Backend::Synced).unwrap();
    let file_bytes = 8192;
    let header = crate::wal::format::SegmentHeader { life, first_sequence: 0, owner: *b"thisnode", file_bytes };
    let mut bytes = vec![0; file_bytes as usize];
    bytes[..64].copy_from_slice(&header.encode());
    std::fs::write(dir.path().join("wal").join(segment_name(life, 0)), bytes).unwrap();
    assert_eq!(find(dir.path(), false).unwrap().groups, 0);
}
