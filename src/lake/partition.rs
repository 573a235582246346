//! Rows split by UTC day, and the place of a day's files in the lake.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::catalog::{Table, encode_path_segment};
use crate::table::{Booleans, FieldColumn, Floats, Integers, Presence, Rows, Run, SeriesSet, Strings, Values};

use super::manifest::NodeId;

pub(super) const DAY_NS: i64 = 86_400_000_000_000;
const UNSEEN: u32 = u32::MAX;

/// The rows of one sealed table that fall on one day, in order of arrival.
#[derive(Debug)]
pub(super) struct DayPart {
    pub time: Integers,
    /// Index into `keys`, one per row.
    pub series: Integers,
    pub runs: Vec<Run>,
    /// Ascending by ordinal; columns without a value are left out, so that many days of a wide table stay small.
    pub fields: Vec<(u32, FieldColumn)>,
    /// Shared by all days of the sealed table.
    pub keys: Arc<SeriesSet>,
}

impl DayPart {
    pub fn rows(&self) -> usize {
        self.time.len()
    }

    /// The values of the field with this ordinal, if any row has one.
    pub fn field(&self, ordinal: u32) -> Option<&FieldColumn> {
        let at = self.fields.binary_search_by_key(&ordinal, |(ordinal, _)| *ordinal).ok()?;
        self.fields.get(at).map(|(_, column)| column)
    }
}

/// Days since 1970-01-01 in UTC; before it they are negative.
pub fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY_NS)
}

/// Splits a table's rows by day, ascending. Rows of a single day, the usual case, are moved and not copied.
pub(super) fn split(rows: Rows) -> Vec<(i64, DayPart)> {
    if rows.time.is_empty() {
        return Vec::new();
    }
    let first = day_of(rows.time.get(0));
    if rows.time.lie_in(times_of(first)) {
        let fields = (0..).zip(rows.fields).filter(|(_, column)| !column.values.is_empty()).collect();
        let keys = Arc::new(rows.keys);
        return vec![(first, DayPart { time: rows.time, series: rows.series, runs: rows.runs, fields, keys })];
    }
    split_days(rows)
}

/// The times of a day. The first and the last day that there are have not all of their hours.
fn times_of(day: i64) -> RangeInclusive<i64> {
    let next = (day + 1).checked_mul(DAY_NS);
    day.saturating_mul(DAY_NS)..=next.map_or(i64::MAX, |next| next - 1)
}

/// Neighbouring rows that fall on one day.
#[derive(Clone, Copy)]
struct Stretch {
    /// Index of the day.
    day: u32,
    /// The first of the rows. The last one lies before the next stretch.
    start: u32,
    /// Which row of its day the first one is.
    to: u32,
}

/// The days of `times`, ascending, and the stretches.
fn stretches(times: &Integers) -> (Vec<i64>, Vec<Stretch>) {
    let mut found: Vec<(i64, u32)> = Vec::new();
    let (mut today, mut row) = (RangeInclusive::new(1, 0), 0);
    times.each(0..times.len(), |time| {
        if !today.contains(&time) {
            let day = day_of(time);
            today = times_of(day);
            found.push((day, row));
        }
        row += 1;
    });
    let mut days: Vec<i64> = found.iter().map(|(day, _)| *day).collect();
    days.sort_unstable();
    days.dedup();
    let mut next = vec![0; days.len()];
    let ends = found.iter().skip(1).map(|(_, start)| *start).chain([row]);
    let place = |((day, start), end): (&(i64, u32), u32)| {
        let day = days.partition_point(|other| other < day);
        let to = next[day];
        next[day] += end - start;
        Stretch { day: day as u32, start: *start, to }
    };
    let stretches = found.iter().zip(ends).map(place).collect();
    (days, stretches)
}

/// Stretches and their rows, of which there are `rows`.
fn with_rows(stretches: &[Stretch], rows: usize) -> impl Iterator<Item = (&Stretch, Range<usize>)> {
    let ends = stretches.iter().skip(1).map(|next| next.start as usize).chain([rows]);
    stretches.iter().zip(ends).map(|(stretch, end)| (stretch, stretch.start as usize..end))
}

fn split_days(rows: Rows) -> Vec<(i64, DayPart)> {
    let (days, stretches) = stretches(&rows.time);
    let keys = Arc::new(rows.keys);
    let (time, series) = (Integers::default, Integers::default);
    let empty = || DayPart { time: time(), series: series(), runs: vec![], fields: vec![], keys: Arc::clone(&keys) };
    let mut parts: Vec<DayPart> = days.iter().map(|_| empty()).collect();

    let mut runs = rows.runs.iter().peekable();
    let mut request = 0;
    for (stretch, here) in with_rows(&stretches, rows.time.len()) {
        let part = &mut parts[stretch.day as usize];
        part.time.extend_from(&rows.time, here.clone());
        part.series.extend_from(&rows.series, here.clone());
        let mut first = here.start;
        loop {
            while let Some(run) = runs.next_if(|run| run.first_row as usize <= first) {
                request = run.request;
            }
            if part.runs.last().is_none_or(|run| run.request != request) {
                part.runs.push(Run { first_row: stretch.to + (first - here.start) as u32, request });
            }
            match runs.peek() {
                Some(run) if (run.first_row as usize) < here.end => first = run.first_row as usize,
                _ => break,
            }
        }
    }

    let mut slots = vec![UNSEEN; days.len()];
    for (ordinal, column) in (0..).zip(rows.fields) {
        for (day, piece) in split_column(&column, &stretches, &mut slots) {
            parts[day as usize].fields.push((ordinal, piece));
        }
    }
    days.into_iter().zip(parts).collect()
}

/// The stretch with `row`, which is not before stretch `at`. Mostly it is that or the next one, but a column may have few values.
fn stretch_of(row: u32, stretches: &[Stretch], at: usize) -> usize {
    let begins_later = |at: usize| stretches.get(at).is_none_or(|stretch| stretch.start > row);
    if begins_later(at + 1) {
        at
    } else if begins_later(at + 2) {
        at + 1
    } else {
        at + stretches[at..].partition_point(|stretch| stretch.start <= row) - 1
    }
}

/// The column's pieces with their days. `slots` has an entry per day and is `UNSEEN` throughout before and after.
fn split_column(column: &FieldColumn, stretches: &[Stretch], slots: &mut [u32]) -> Vec<(u32, FieldColumn)> {
    let FieldColumn { values, presence } = column;
    let mut pieces: Vec<(u32, FieldColumn)> = Vec::new();
    let (mut at, mut first) = (0, 0);
    while first < values.len() {
        let row = match presence {
            Presence::Dense => first as u32,
            Presence::Sparse(rows) => rows[first],
        };
        at = stretch_of(row, stretches, at);
        let stretch = stretches[at];
        let end = stretches.get(at + 1).map_or(u32::MAX, |next| next.start);
        let next = match presence {
            Presence::Dense => values.len().min(end as usize),
            Presence::Sparse(rows) => first + rows[first..].partition_point(|row| *row < end),
        };
        let slot = &mut slots[stretch.day as usize];
        if *slot == UNSEEN {
            *slot = pieces.len() as u32;
            let presence = match presence {
                Presence::Dense => Presence::Dense,
                Presence::Sparse(_) => Presence::Sparse(Vec::new()),
            };
            pieces.push((stretch.day, FieldColumn { values: empty_like(values), presence }));
        }
        let piece = &mut pieces[*slot as usize].1;
        extend_from(&mut piece.values, values, first..next);
        if let (Presence::Sparse(to), Presence::Sparse(from)) = (&mut piece.presence, presence) {
            to.extend(from[first..next].iter().map(|row| row - stretch.start + stretch.to));
        }
        first = next;
    }
    for (day, _) in &pieces {
        slots[*day as usize] = UNSEEN;
    }
    pieces
}

fn empty_like(values: &Values) -> Values {
    match values {
        Values::Float(_) => Values::Float(Floats::default()),
        Values::Integer(_) => Values::Integer(Integers::default()),
        Values::Unsigned(_) => Values::Unsigned(Integers::default()),
        Values::Boolean(_) => Values::Boolean(Booleans::default()),
        Values::String(_) => Values::String(Strings::default()),
    }
}

/// Appends the values of `range` of `from` to `to`; both have one type.
fn extend_from(to: &mut Values, from: &Values, range: Range<usize>) {
    match (to, from) {
        (Values::Float(to), Values::Float(from)) => to.extend_from(from, range),
        (Values::Integer(to), Values::Integer(from)) => to.extend_from(from, range),
        (Values::Unsigned(to), Values::Unsigned(from)) => to.extend_from(from, range),
        (Values::Boolean(to), Values::Boolean(from)) => to.extend_from(from, range),
        (Values::String(to), Values::String(from)) => range.for_each(|index| to.push(from.get(index))),
        _ => unreachable!("a piece is made from its own column"),
    }
}

/// The folder of a table's day, relative to the data directory, with `/` between its parts.
pub(super) fn folder(table: &Table, day: i64) -> String {
    let bucket = encode_path_segment(&table.bucket.name);
    let measurement = encode_path_segment(&table.name);
    format!("lake/{bucket}/{measurement}/day={}", Day(day))
}

/// The largest `n` in the name of a file: one with more digits would sort before it.
pub(super) const N_MAX: u32 = 9_999;

/// What the name of a lake file says. Names of one folder sort by `epoch`, then by `n`: in order of writing, because the epochs of a
/// compacted file are those of all files that it took the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The last epoch with rows in the file.
    pub epoch: u64,
    /// Attempt, part of a replay, or generation of a compaction.
    pub n: u32,
    /// The first epoch with rows in the file; `epoch` unless the file is compacted.
    pub first_epoch: u64,
    pub node: NodeId,
}

impl FileName {
    /// The name of a file of one epoch.
    pub fn new(epoch: u64, n: u32, node: NodeId) -> Self {
        Self { epoch, n, first_epoch: epoch, node }
    }

    /// `None` for names that ringest does not give.
    pub fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(".parquet")?.split('-');
        let epoch = parts.next()?.parse().ok()?;
        let n = parts.next()?.parse().ok()?;
        let node = NodeId::parse(parts.next()?)?;
        let first_epoch = parts.next().map_or(Some(epoch), |part| part.parse().ok())?;
        let name = Self { epoch, n, first_epoch, node };
        // Leading zeros and signs beyond those that a name has make it another one.
        (first_epoch <= epoch && name.to_string() == file).then_some(name)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, n, first_epoch, node } = self;
        write!(f, "{epoch:013}-{n:04}-{node}")?;
        if first_epoch != epoch {
            write!(f, "-{first_epoch:013}")?;
        }
        f.write_str(".parquet")
    }
}

/// The day of a folder `.../day=YYYY-MM-DD`, or of a file in it; `None` for other paths.
pub fn day_in(path: &str) -> Option<i64> {
    let part = path.split('/').find_map(|part| part.strip_prefix("day="))?;
    let mut numbers = part.split('-').map(|number| number.parse::<i64>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    // The inverse of what `Day` shows; a date that does not exist is shown as another one.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let year_of_era = shifted.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = Day(era * 146_097 + day_of_era - 719_468);
    (days.to_string() == part).then_some(days.0)
}

/// Days since 1970-01-01, shown as `YYYY-MM-DD`.
pub struct Day(pub i64);

impl std::fmt::Display for Day {
    /// Days to civil date in the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Years begin on 1 March here, so that the leap day is a year's last; an era is 400 years.
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::table::Lists;

    /// A series without tags.
    fn one_series() -> SeriesSet {
        let mut tags = Lists::default();
        tags.push(&[]);
        SeriesSet { tags: Arc::new(tags), values: Vec::new() }
    }

    #[test]
    fn days_end_at_midnight_before_1970_too() {
        for (time, day, shown) in [
            (0, 0, "1970-01-01"),
            (DAY_NS - 1, 0, "1970-01-01"),
            (DAY_NS, 1, "1970-01-02"),
            (-1, -1, "1969-12-31"),
            (-DAY_NS, -1, "1969-12-31"),
            (-DAY_NS - 1, -2, "1969-12-30"),
            (951_782_400_000_000_000, 11_016, "2000-02-29"),
            (951_868_800_000_000_000, 11_017, "2000-03-01"),
            (i64::MIN, -106_752, "1677-09-21"),
            (i64::MAX, 106_751, "2262-04-11"),
        ] {
            assert_eq!((day_of(time), Day(day_of(time)).to_string()), (day, shown.to_owned()));
        }
    }

    #[test]
    fn the_times_of_a_day_are_those_that_fall_on_it() {
        for day in [-106_752, -106_751, -1, 0, 1, 20_000, 106_750, 106_751] {
            let (first, last) = times_of(day).into_inner();
            assert_eq!((day_of(first), day_of(last)), (day, day));
            assert!(first.checked_sub(1).is_none_or(|before| day_of(before) == day - 1));
            assert!(last.checked_add(1).is_none_or(|after| day_of(after) == day + 1));
        }
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let first = jiff::civil::date(1677, 9, 21);
        for (offset, day) in (-106_752..=106_751).enumerate() {
            let expected = first.checked_add(jiff::Span::new().days(offset as i64)).unwrap();
            assert_eq!(Day(day).to_string(), expected.to_string());
            assert_eq!(day_in(&format!("lake/b/m/day={expected}/x.parquet")), Some(day));
        }
    }

    #[test]
    fn a_folder_that_names_no_date_has_no_day() {
        for folder in
            ["lake/b/m", "day=2026-02-30", "day=2026-13-01", "day=2026-1-01", "day=2026", "day=", "day=-1-01-01"]
        {
            assert_eq!(day_in(folder), None, "{folder}");
        }
    }

    #[test]
    fn file_names_sort_by_epoch_and_are_read_back() {
        let node = NodeId::of_test(0xAB);
        let name = FileName::new(1_700_000_000_000, 3, node);
        assert_eq!(name.to_string(), "1700000000000-0003-00000000000000ab.parquet");
        let compacted = FileName { n: 4, first_epoch: 9, ..name };
        assert_eq!(compacted.to_string(), "1700000000000-0004-00000000000000ab-0000000000009.parquet");
        for name in [name, compacted, FileName::new(10_000_000_000_000, 10_000, node)] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        let sorted = [FileName::new(9, 9_999, node), FileName::new(10, 0, node), name, compacted];
        assert!(sorted.is_sorted() && sorted.map(|name| name.to_string()).is_sorted());
        for foreign in [
            "part-0.parquet",
            "1700000000000.parquet",
            "x",
            "1700000000000-0003-00000000000000ab.csv",
            "-1-2.parquet",
            "1700000000000-0003-ab.parquet",
            "1700000000000-0003-00000000000000ab-1700000000001.parquet",
            "1700000000000-0003-00000000000000ab-5.parquet",
            "1700000000000-0003-00000000000000ab-0000000000009-1.parquet",
        ] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn runs_and_columns_follow_their_rows_to_their_days() {
        let rows = Rows {
            time: [0, DAY_NS, 1, DAY_NS + 1, 2].into_iter().collect(),
            series: [0; 5].into_iter().collect(),
            runs: vec![Run { first_row: 0, request: 4 }, Run { first_row: 3, request: 6 }],
            fields: vec![
                FieldColumn { values: Values::Integer([10, 11, 12].into_iter().collect()), presence: Presence::Dense },
                FieldColumn {
                    values: Values::Boolean([true].into_iter().collect()),
                    presence: Presence::Sparse(vec![4]),
                },
            ],
            keys: one_series(),
        };
        let days = split(rows);
        let [(0, first), (1, second)] = &days[..] else { panic!("{days:?}") };
        let times = |part: &DayPart| part.time.iter().collect::<Vec<i64>>();
        assert_eq!((times(first), times(second)), (vec![0, 1, 2], vec![DAY_NS, DAY_NS + 1]));
        assert_eq!(first.runs, [Run { first_row: 0, request: 4 }, Run { first_row: 2, request: 6 }]);
        assert_eq!(second.runs, [Run { first_row: 0, request: 4 }, Run { first_row: 1, request: 6 }]);
        let Values::Integer(values) = &first.field(0).unwrap().values else { panic!() };
        assert_eq!(values.iter().collect::<Vec<i64>>(), [10, 12]);
        assert!(matches!(&first.field(1).unwrap().presence, Presence::Sparse(rows) if rows == &[2]));
        assert!(second.field(1).is_none());
    }

    /// A row: its day, request, value of the full column and of the sparse one.
    type Row = (i64, u64, i64, Option<i64>);

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

        #[test]
        fn days_get_their_rows_in_order_with_requests_and_values(
            stretches in proptest::collection::vec((0..5i64, 1..400usize, 0..3u64), 1..40), prefix in 0..400usize, every in 1..40usize,
        ) {
            let mut rows: Vec<Row> = Vec::new();
            let mut request = 0;
            for (day, len, step) in stretches {
                request += step;
                rows.extend((rows.len()..rows.len() + len).map(|row| {
                    (day - 2, request, row as i64, row.is_multiple_of(every).then_some(-(row as i64)))
                }));
            }
            let prefix = prefix.min(rows.len());
            let mut by_day = std::collections::BTreeMap::<i64, Vec<Row>>::new();
            rows.iter().for_each(|row| by_day.entry(row.0).or_default().push(*row));

            let sparse: Vec<(u32, i64)> = (0..).zip(&rows).filter_map(|(at, row)| Some((at, row.3?))).collect();
            let mut runs: Vec<Run> = Vec::new();
            for (at, row) in (0..).zip(&rows) {
                if runs.last().is_none_or(|run| run.request != row.1) {
                    runs.push(Run { first_row: at, request: row.1 });
                }
            }
            let column = |values: Integers, presence| FieldColumn { values: Values::Integer(values), presence };
            let parts = split(Rows {
                time: rows.iter().map(|row| row.0 * DAY_NS + row.2).collect(),
                series: rows.iter().map(|row| row.2 % 7).collect(),
                runs,
                fields: vec![
                    column(rows[..prefix].iter().map(|row| row.2).collect(), Presence::Dense),
                    column(sparse.iter().map(|(_, value)| *value).collect(), Presence::Sparse(sparse.iter().map(|(row, _)| *row).collect())),
                ],
                keys: one_series(),
            });
            proptest::prop_assert_eq!(parts.iter().map(|(day, _)| *day).collect::<Vec<i64>>(), by_day.keys().copied().collect::<Vec<i64>>());
            for ((day, part), want) in parts.iter().zip(by_day.values()) {
                let times: Vec<i64> = want.iter().map(|row| day * DAY_NS + row.2).collect();
                proptest::prop_assert_eq!(part.time.iter().collect::<Vec<i64>>(), times);
                proptest::prop_assert_eq!(part.series.iter().collect::<Vec<i64>>(), want.iter().map(|row| row.2 % 7).collect::<Vec<i64>>());
                let request_of = |row: u32| part.runs.iter().rev().find(|run| run.first_row <= row).unwrap().request;
                proptest::prop_assert!((0..).zip(want).all(|(at, row)| request_of(at) == row.1));
                proptest::prop_assert!(part.runs.windows(2).all(|pair| pair[0].first_row < pair[1].first_row && pair[0].request != pair[1].request));
                let values = |ordinal| match part.field(ordinal).map(|column| &column.values) {
                    Some(Values::Integer(values)) => values.iter().collect::<Vec<i64>>(),
                    _ => Vec::new(),
                };
                let full: Vec<i64> = want.iter().map(|row| row.2).filter(|row| *row < prefix as i64).collect();
                proptest::prop_assert_eq!(values(0), full);
                proptest::prop_assert_eq!(values(1), want.iter().filter_map(|row| row.3).collect::<Vec<i64>>());
                let filled: Vec<u32> = (0..).zip(want).filter_map(|(at, row)| row.3.map(|_| at)).collect();
                if let Some(FieldColumn { presence: Presence::Sparse(rows), .. }) = part.field(1) {
                    proptest::prop_assert_eq!(rows, &filled);
                } else {
                    proptest::prop_assert!(filled.is_empty());
                }
            }
        }
    }
}
