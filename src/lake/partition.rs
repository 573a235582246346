//! Rows split by UTC day, and the place of a day's files in the lake.

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
    let (first, last) = span(&rows.time);
    let (first, last) = (day_of(first), day_of(last));
    if first == last {
        let fields = (0..).zip(rows.fields).filter(|(_, column)| !column.values.is_empty()).collect();
        let keys = Arc::new(rows.keys);
        return vec![(first, DayPart { time: rows.time, series: rows.series, runs: rows.runs, fields, keys })];
    }
    split_days(rows)
}

/// The first and the last of some times.
fn span(times: &Integers) -> (i64, i64) {
    let mut span = (i64::MAX, i64::MIN);
    times.each(0..times.len(), |time| span = (time.min(span.0), time.max(span.1)));
    span
}

/// Where a row goes: which of the days, and which row of it.
#[derive(Clone, Copy)]
struct Target {
    day: u32,
    row: u32,
}

fn split_days(rows: Rows) -> Vec<(i64, DayPart)> {
    let mut days: Vec<i64> = rows.time.iter().map(day_of).collect();
    days.sort_unstable();
    days.dedup();
    let keys = Arc::new(rows.keys);
    let (time, series) = (Integers::default, Integers::default);
    let empty = || DayPart { time: time(), series: series(), runs: vec![], fields: vec![], keys: Arc::clone(&keys) };
    let mut parts: Vec<DayPart> = days.iter().map(|_| empty()).collect();

    let mut targets = Vec::with_capacity(rows.time.len());
    let mut runs = rows.runs.iter().peekable();
    let mut request = 0;
    let mut previous = 0;
    for (row, (time, series)) in rows.time.iter().zip(rows.series.iter()).enumerate() {
        while let Some(run) = runs.next_if(|run| run.first_row as usize <= row) {
            request = run.request;
        }
        let day = day_of(time);
        // Neighbours mostly share their day.
        if days[previous] != day {
            previous = days.partition_point(|other| *other < day);
        }
        let part = &mut parts[previous];
        let target = Target { day: previous as u32, row: part.time.len() as u32 };
        targets.push(target);
        part.time.push(time);
        part.series.push(series);
        if part.runs.last().is_none_or(|run| run.request != request) {
            part.runs.push(Run { first_row: target.row, request });
        }
    }

    let mut slots = vec![UNSEEN; days.len()];
    for (ordinal, column) in (0..).zip(rows.fields) {
        for (day, piece) in split_column(column, &targets, &mut slots) {
            parts[day as usize].fields.push((ordinal, piece));
        }
    }
    days.into_iter().zip(parts).collect()
}

/// The column's pieces with their days. `slots` has an entry per day and is `UNSEEN` throughout before and after.
fn split_column(column: FieldColumn, targets: &[Target], slots: &mut [u32]) -> Vec<(u32, FieldColumn)> {
    let FieldColumn { values, presence } = column;
    let mut pieces: Vec<(u32, FieldColumn)> = Vec::new();
    for index in 0..values.len() {
        let row = match &presence {
            Presence::Dense => index,
            Presence::Sparse(rows) => rows[index] as usize,
        };
        let target = targets[row];
        let slot = &mut slots[target.day as usize];
        if *slot == UNSEEN {
            *slot = pieces.len() as u32;
            let presence = match presence {
                Presence::Dense => Presence::Dense,
                Presence::Sparse(_) => Presence::Sparse(Vec::new()),
            };
            pieces.push((target.day, FieldColumn { values: empty_like(&values), presence }));
        }
        let piece = &mut pieces[*slot as usize].1;
        push_from(&mut piece.values, &values, index);
        if let Presence::Sparse(rows) = &mut piece.presence {
            rows.push(target.row);
        }
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

/// Appends value `index` of `from` to `to`; both have one type.
fn push_from(to: &mut Values, from: &Values, index: usize) {
    match (to, from) {
        (Values::Float(to), Values::Float(from)) => to.push(from.get(index)),
        (Values::Integer(to), Values::Integer(from)) => to.push(from.get(index)),
        (Values::Unsigned(to), Values::Unsigned(from)) => to.push(from.get(index)),
        (Values::Boolean(to), Values::Boolean(from)) => to.push(from.get(index)),
        (Values::String(to), Values::String(from)) => to.push(from.get(index)),
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
            keys: SeriesSet { ends: Arc::new(vec![0]), ..SeriesSet::default() },
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
}
