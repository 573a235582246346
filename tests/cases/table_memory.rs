//! What requests take from the budget, before they have it and afterwards.

use std::sync::Arc;

use ringest::budget::{Budget, Consumer, Reservation};
use ringest::catalog::Catalog;
use ringest::line::{self, Kernel, Options, Outcome, Padded, Precision};
use ringest::table::{Rules, Tables, Unlogged};

struct Shard {
    budget: Arc<Budget>,
    catalog: Catalog,
    tables: Tables,
}

/// How a body ended: its points and those of them that were dropped, and the most bytes that were reserved.
#[derive(Debug)]
struct Ended {
    points: u64,
    dropped: u64,
    reserved: usize,
}

impl Shard {
    fn new(bytes_max: usize) -> Self {
        let budget = Budget::new(bytes_max);
        let catalog = Catalog::in_memory();
        catalog.count_in(&budget);
        let tables = Tables::new(&budget);
        Self { budget, catalog, tables }
    }

    /// `None` if the body was stopped because memory did not suffice.
    fn write(&mut self, body: &str) -> Option<Ended> {
        let mut body = body.as_bytes().to_vec();
        let rules = Rules { time_ns_min: None, retention: None };
        let mut writer = self.tables.writer("b", &self.catalog, rules, body.len())?;
        let options = Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
        let outcome = line::parse(Padded::from_vec(&mut body), options, &mut writer);
        let reserved = self.budget.total();
        assert!(reserved <= self.budget.bytes_max());
        match outcome {
            Outcome::Complete { .. } => {
                let committed = writer.commit(&mut Unlogged(1)).ok()?;
                Some(Ended { points: committed.points, dropped: committed.rejects.dropped, reserved })
            }
            Outcome::Stopped => None,
            Outcome::Bad { errors, .. } => panic!("{errors:?}"),
        }
    }

    /// As a request that finds no room in the log.
    fn try_and_take_back(&mut self, body: &str) {
        let mut body = body.as_bytes().to_vec();
        let rules = Rules { time_ns_min: None, retention: None };
        let mut writer = self.tables.writer("b", &self.catalog, rules, body.len()).unwrap();
        let options = Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
        let outcome = line::parse(Padded::from_vec(&mut body), options, &mut writer);
        assert!(matches!(outcome, Outcome::Complete { .. }), "{outcome:?}");
    }
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

/// A commit cannot be refused, so what it makes of a request has to be reserved before.
#[test]
fn what_a_request_becomes_was_reserved() {
    let bodies: &[(&str, String)] = &[
        ("measurements", numbered(20_000, |n| format!("m{n} f=1 1\n"))),
        ("fields", numbered(20_000, |n| format!("m f{n}=1 1\n"))),
        ("tags", numbered(20_000, |n| format!("m,t{n}=a f=1 1\n"))),
        (
            "tags of few values",
            numbered(50, |n| {
                let tags: String = (0..2_000).map(|tag| format!(",t{tag}=v{}", n * 7 % 40)).collect();
                format!("m{tags} f=1 1\n")
            }),
        ),
        ("series", numbered(50_000, |n| format!("m,t={n} f=1 1\n"))),
        ("series of known values", numbered(50_000, |n| format!("m,t={},u={} f=1 1\n", n % 223, n / 223))),
        ("long names", numbered(200, |n| format!("{n:060000} f=1 1\n"))),
        ("long field names", numbered(200, |n| format!("m {n:060000}=1 1\n"))),
        ("short lines", numbered(200_000, |_| "m f=1\n".into())),
        ("strings", numbered(20_000, |n| format!("m f=\"{n:0100}\" {n}\n"))),
        ("fields in turn", numbered(50_000, |n| format!("m f{}={n} {n}\n", n % 100))),
    ];
    for (name, body) in bodies {
        let mut shard = Shard::new(1 << 30);
        let ended = shard.write(body).unwrap();
        let became = shard.budget.total();
        println!("{name}: {} bytes, {} reserved, became {became}", body.len(), ended.reserved);
        assert!(became <= ended.reserved, "{name}: {} bytes were reserved for {became}", ended.reserved);
        assert_eq!(shard.budget.held_by(Consumer::OpenTables), shard.tables.bytes(), "{name}");
    }
}

/// What a refused point would have born costs nothing afterwards: a body of them needs no more memory than any other of its size.
#[test]
fn births_of_refused_points_take_no_memory() {
    for (name, line) in [
        ("fields", (|n| format!("m new{n}=1i,f=1.5 1\n")) as fn(usize) -> String),
        ("tags", |n| format!("m,new{n}=a f=1.5 1\n")),
        ("series", |n| format!("m,known={n} f=1.5 1\n")),
        ("measurements", |n| format!("new{n} time=1 1\n")),
    ] {
        let mut shard = Shard::new(16 << 20);
        assert!(shard.write("m,known=a f=1i 1").is_some());
        let before = shard.budget.total();
        let ended = shard.write(&numbered(50_000, line)).unwrap();
        assert_eq!((ended.points, ended.dropped), (0, 50_000), "{name}");
        assert!(shard.budget.total() < before + (4 << 20), "{name}: {}", shard.budget.total());
    }
}

/// Names without end are refused while there is still memory, and leave nothing.
#[test]
fn births_that_memory_does_not_suffice_for_stop_the_body() {
    for line in [
        (|n| format!("m{n} f=1 1\n")) as fn(usize) -> String,
        |n| format!("m f{n}=1 1\n"),
        |n| format!("m,t{n}=a f=1 1\n"),
    ] {
        let mut shard = Shard::new(64 << 20);
        let mut others = Reservation::new(&shard.budget, Consumer::Bodies);
        others.set(55 << 20);
        assert!(shard.write(&numbered(18_000, line)).is_none());
        assert!(shard.tables.is_empty());
        assert_eq!(shard.budget.held_by(Consumer::Catalog), 0);
        assert!(shard.write("m f=1 1").is_some_and(|ended| ended.points == 1));
    }
}

/// Names are for ever, so are the bytes that they take, whatever becomes of the rows.
#[test]
fn a_writer_by_force_takes_what_the_limit_does_not_leave() {
    let mut shard = Shard::new(2 << 20);
    // Series, whose memory a body's size does not bound.
    let body = numbered(20_000, |number| format!("m,t={number} f=1\n"));
    assert!(shard.write(&body).is_none());
    let mut text = body.as_bytes().to_vec();
    let rules = Rules { time_ns_min: None, retention: None };
    let options = Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
    let mut writer = shard.tables.writer_by_force("b", &shard.catalog, rules, body.len()).unwrap();
    assert_eq!(line::parse(Padded::from_vec(&mut text), options, &mut writer), Outcome::Complete { points: 20_000 });
    assert_eq!(writer.commit(&mut Unlogged(1)).unwrap().points, 20_000);
    assert_eq!(shard.budget.held_by(Consumer::OpenTables), shard.tables.bytes());
    drop(shard.tables.seal(false));
    assert_eq!(shard.budget.held_by(Consumer::OpenTables) + shard.budget.held_by(Consumer::SealedParts), 0);
}

#[test]
fn the_catalog_counts_what_it_holds_for_ever() {
    let mut shard = Shard::new(1 << 30);
    let held = |shard: &Shard| shard.budget.held_by(Consumer::Catalog);
    assert_eq!(held(&shard), 0);
    shard.write(&numbered(1_000, |n| format!("{n:0100} {n:0200}=1\n"))).unwrap();
    let all = held(&shard);
    assert!(all > 1_000 * 300, "{all}");
    shard.tables.seal(false);
    assert_eq!((held(&shard), shard.tables.bytes()), (all, 0));
    shard.write(&numbered(1_000, |n| format!("{n:0100} {n:0200}=1\n"))).unwrap();
    assert_eq!(held(&shard), all, "nothing was born");
    drop(shard.catalog);
    assert_eq!(shard.budget.held_by(Consumer::Catalog), 0);
}

/// Writes a point of each of these hosts and seals; returns the bytes that are kept.
fn seal_of_hosts(shard: &mut Shard, hosts: std::ops::Range<usize>) -> usize {
    shard.write(&numbered(hosts.len(), |n| format!("m,host=h{} f=1i\n", hosts.start + n))).unwrap();
    let rows: usize = shard.tables.seal(true).iter().map(|sealed| sealed.rows.time.len()).sum();
    assert_eq!(rows, hosts.len());
    assert!(shard.tables.is_empty() && shard.tables.grown_bytes() == 0);
    shard.tables.bytes()
}

/// Series outlive a seal where they are likely to come again, and no longer.
#[test]
fn series_that_come_again_are_kept_over_a_seal() {
    /// Room for rows alike, which grows at first.
    const STAGE_BYTES: usize = 20 << 10;
    let mut shard = Shard::new(1 << 30);
    let mut epoch = |hosts| seal_of_hosts(&mut shard, hosts);
    let kept = epoch(0..1_000);
    assert!(kept > 1_000 * 20, "{kept}");
    assert!(epoch(0..1_000).abs_diff(kept) < STAGE_BYTES, "nothing is new");
    // Each in its turn, as hosts report seldom.
    for start in (0..1_000).step_by(200) {
        assert!(epoch(start..start + 200).abs_diff(kept) < STAGE_BYTES);
    }
    assert!(epoch(500..1_500) > kept);
    // Most do not come any more: a short epoch shows nothing, several do.
    let seals = (0..100).take_while(|_| epoch(0..10) > 0).count();
    assert!((1..=8).contains(&seals), "{seals}");
    // Then new ones are forgotten for some time.
    let forgotten = (0..20).take_while(|seal| epoch(seal * 1_000 + 5_000..(seal + 1) * 1_000 + 5_000) == 0).count();
    assert_eq!(forgotten, 8);
    // Most are new, though there are as many as before.
    assert_eq!(epoch(2_000..3_000), 0);
    // An epoch without points changes nothing.
    let mut shard = Shard::new(1 << 30);
    let before = seal_of_hosts(&mut shard, 0..1_000);
    assert!(shard.tables.seal(true).is_empty());
    assert_eq!(shard.tables.bytes(), before);
    // But many of them do.
    let seals = (0..20).take_while(|_| {
        shard.tables.seal(true);
        shard.tables.bytes() > 0
    });
    assert_eq!(seals.count(), 6);
}

/// Whose points take several epochs to come once is new in each of them, until a sample of the series shows that they come again.
#[test]
fn series_that_take_several_epochs_to_come_are_kept_from_their_second_time_on() {
    const HOSTS: usize = 50_000;
    const PART: usize = 10_000;
    let mut shard = Shard::new(1 << 30);
    let mut cycle = || -> Vec<usize> {
        (0..HOSTS).step_by(PART).map(|start| seal_of_hosts(&mut shard, start..start + PART)).collect()
    };
    let first = cycle();
    assert!(first[1..].iter().all(|kept| *kept == 0), "nothing shows yet that they come again: {first:?}");
    let second = cycle();
    assert!(second.is_sorted() && second[0] > 0, "{second:?}");
    assert!(second[4] > 4 * second[0], "{second:?}");
    let third = cycle();
    assert!(third.iter().all(|kept| kept.abs_diff(second[4]) < second[4] / 2), "{second:?} {third:?}");
}

/// Where every series comes once, keeping them is tried now and then, and given up at once. A body that was taken back and is read again brings none twice.
#[test]
fn series_that_come_once_are_not_kept_for_long() {
    let mut shard = Shard::new(1 << 30);
    let kept = (0..40).map(|seal| {
        let hosts = seal * 10_000..(seal + 1) * 10_000;
        shard.try_and_take_back(&numbered(hosts.len(), |n| format!("m,host=h{} f=1i\n", hosts.start + n)));
        seal_of_hosts(&mut shard, hosts)
    });
    let tries = kept.filter(|kept| *kept > 0).count();
    assert!((1..=5).contains(&tries), "{tries}");
}

#[test]
fn no_series_are_kept_where_memory_is_short() {
    let body = numbered(1_000, |n| format!("m,host=h{n} f=1i\n"));
    for (held, keeps) in [(0, true), (24 << 20, true), (40 << 20, false)] {
        let mut shard = Shard::new(64 << 20);
        shard.write(&body).unwrap();
        let mut others = Reservation::new(&shard.budget, Consumer::Bodies);
        others.set(held);
        assert_eq!(shard.tables.seal(true).len(), 1);
        assert_eq!(shard.tables.bytes() > 0, keeps, "{held} bytes are held by others");
    }
    // Nor those that take too much of it.
    let mut shard = Shard::new(8 << 20);
    shard.write(&numbered(1_000, |n| format!("m,host={n:01000} f=1i\n"))).unwrap();
    shard.tables.seal(true);
    assert_eq!(shard.tables.bytes(), 0);
}

/// Names for ever may take a quarter of the memory; what is known stays writable, whatever comes.
#[test]
fn new_names_are_refused_before_they_fill_the_memory() {
    for line in [
        (|n| format!("m{n} f=1 1\n")) as fn(usize) -> String,
        |n| format!("m f{n}=1 1\n"),
        |n| format!("m,t{n}=a f=1 1\n"),
    ] {
        let mut shard = Shard::new(16 << 20);
        shard.write("known f=1 1").unwrap();
        let mut dropped = 0;
        for number in 0..60_000 {
            let ended = shard.write(&line(number)).unwrap();
            dropped += ended.dropped;
            if number % 1_000 == 0 {
                shard.tables.seal(true);
            }
        }
        assert!(dropped > 0, "{}", shard.budget.held_by(Consumer::Catalog));
        let names = shard.budget.held_by(Consumer::Catalog);
        assert!((2 << 20..5 << 20).contains(&names), "{names}");
        assert_eq!(shard.write("known f=2 2").unwrap().points, 1);
    }
}

/// Late points of a table that is not open: the table is opened once, not for each of them.
#[test]
fn refused_points_of_a_known_table_open_it_once() {
    let mut shard = Shard::new(1 << 30);
    shard.write(&numbered(20_000, |n| format!("m f{n}=1i 1\n"))).unwrap();
    shard.tables.seal(false);
    let began = std::time::Instant::now();
    let ended = shard.write(&numbered(5_000, |n| format!("m f0=1.5 {n}\n"))).unwrap();
    assert_eq!((ended.points, ended.dropped), (0, 5_000));
    // Opening it takes milliseconds; 5 000 times would take half a minute and more.
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    // In a body that is bad, the table that was opened goes again, and those behind it.
    shard.tables.seal(false);
    let mut writer =
        shard.tables.writer("b", &shard.catalog, Rules { time_ns_min: None, retention: None }, 100).unwrap();
    let options = Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
    let mut body = b"new f=1 1\nm f0=1.5 1\nm f0=2i 1\nother f=1 1\nm f0=3.5 1\nbad".to_vec();
    assert!(matches!(line::parse(Padded::from_vec(&mut body), options, &mut writer), Outcome::Bad { .. }));
    drop(writer);
    assert_eq!(shard.write("other f=1i 2\nm f1=7i 2\nnew f=1i 3").unwrap().points, 3);
    let rows: Vec<_> =
        shard.tables.seal(false).iter().map(|sealed| (sealed.table.name.to_string(), sealed.rows.time.len())).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
}

/// What requests that were taken back leave in the tables is neither kept nor uncounted.
#[test]
fn room_left_by_bad_bodies_is_not_kept() {
    let mut shard = Shard::new(1 << 30);
    let steady = numbered(1_000, |n| format!("m,host=h{n} f=1i\n"));
    shard.write(&steady).unwrap();
    shard.tables.seal(true);
    let kept = shard.tables.bytes();
    let rules = Rules { time_ns_min: None, retention: None };
    let mut bad = (numbered(100_000, |n| format!("m,host=new{n} f=1i\n")) + "bad").into_bytes();
    let mut writer = shard.tables.writer("b", &shard.catalog, rules, bad.len()).unwrap();
    let options = Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
    assert!(matches!(line::parse(Padded::from_vec(&mut bad), options, &mut writer), Outcome::Bad { .. }));
    drop(writer);
    shard.write(&steady).unwrap();
    shard.tables.seal(true);
    assert_eq!(shard.tables.bytes(), 0, "{kept} were kept before");
    shard.write(&steady).unwrap();
    shard.tables.seal(true);
    assert!(shard.tables.bytes().abs_diff(kept) < 20 << 10);
}

/// A shard that has not seen another's columns for long must not pass the limit of the table.
#[test]
fn two_shards_cannot_bring_more_columns_than_a_table_takes() {
    let mut shard = Shard::new(4 << 30);
    let mut other = Tables::new(&shard.budget);
    shard.write("m,host=a f=1").unwrap();
    shard.tables.seal(true);
    std::mem::swap(&mut shard.tables, &mut other);
    assert_eq!(shard.write(&numbered(65_000, |n| format!("m a{n}=1\n"))).unwrap().dropped, 0);
    std::mem::swap(&mut shard.tables, &mut other);
    let rules = Rules { time_ns_min: None, retention: None };
    let options = Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
    let mut body = numbered(1_000, |n| format!("m b{n}=1\n")).into_bytes();
    let body = Padded::from_vec(&mut body);
    let mut judged = Vec::new();
    for _ in 0..2 {
        let mut writer = shard.tables.writer("b", &shard.catalog, rules, body.len()).unwrap();
        line::parse(body, options, &mut writer);
        judged.push(writer.commit(&mut Unlogged(1)).map(|committed| (committed.points, committed.rejects.dropped)));
    }
    // The catalog refuses what the shard did not know; then the shard knows it.
    assert!(judged[0].is_err());
    assert_eq!(judged[1], Ok((534, 466)));
}
