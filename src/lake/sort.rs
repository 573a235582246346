//! Rows of all parts in file order: by series, then by time, one row per (series, time).
//!
//! A counting sort by series leaves the rows of a series in order of writing (request number, then row), which mostly is
//! order of time already; only series where it is not are sorted again. Rows with one (series, time) stay neighbours in
//! order of writing, so that a column takes the last value it finds among them and an absent field overwrites nothing.

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::Table;

use super::partition::DayPart;
use super::series::SeriesOrder;

/// Most rows of a row group.
pub(super) const GROUP_ROWS: usize = 256 * 1024;

/// Where an input row lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    pub part: u32,
    pub row: u32,
}

/// The order of a job's rows. A *position* counts input rows in file order, a *row* counts rows of the file: several
/// positions share a row where a point was written more than once.
#[derive(Debug)]
pub(super) struct Sorted {
    pub series: SeriesOrder,
    /// By place of the series: the row where it ends.
    pub series_ends: Vec<u32>,
    /// By row, nanoseconds.
    pub time: Vec<i64>,
    /// By position.
    pub sources: Vec<Source>,
    /// By row: its first position, and the number of positions at the end. Empty if every row has one position.
    starts: Vec<u32>,
}

impl Sorted {
    /// Sorts the rows of all parts. They are fewer than 2^32: the memory budget of a node holds far less in one epoch.
    pub fn new(parts: &[Arc<DayPart>], table: &Table) -> Self {
        let series = SeriesOrder::new(parts, table);
        let (mut sources, mut time, mut series_ends) = by_series(parts, &series);
        let mut start = 0;
        let mut scratch = Vec::new();
        let mut repeated = false;
        for end in &series_ends {
            let range = start..*end as usize;
            repeated |= sort_by_time(&mut sources[range.clone()], &mut time[range], &mut scratch);
            start = *end as usize;
        }
        let starts = if repeated { collapse(&mut time, &mut series_ends) } else { Vec::new() };
        Self { series, series_ends, time, sources, starts }
    }

    /// Whether every point was written once: rows are positions.
    pub fn is_unique(&self) -> bool {
        self.starts.is_empty()
    }

    pub fn rows(&self) -> usize {
        self.time.len()
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        8 * self.time.capacity()
            + size_of::<Source>() * self.sources.capacity()
            + 4 * (self.starts.capacity() + self.series_ends.capacity())
            + self.series.bytes()
    }

    /// The positions of `rows`.
    pub fn positions(&self, rows: Range<usize>) -> Range<usize> {
        if self.starts.is_empty() {
            return rows;
        }
        self.starts[rows.start] as usize..self.starts[rows.end] as usize
    }

    /// By row: the last of its positions.
    pub fn last_writes(&self) -> impl Iterator<Item = Source> {
        (0..self.rows()).map(|row| self.sources[self.positions(row..row + 1).end - 1])
    }

    /// Rows and sources of the positions of `rows` that are not the last ones of their row, in order.
    pub fn earlier_writes(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Source)> {
        let rows = if self.is_unique() { 0..0 } else { rows };
        rows.flat_map(move |row| {
            let positions = self.positions(row..row + 1);
            self.sources[positions.start..positions.end - 1].iter().map(move |source| (row, *source))
        })
    }

    /// The row of a position.
    pub fn row_of(&self, position: usize) -> usize {
        if self.starts.is_empty() {
            return position;
        }
        self.starts.partition_point(|start| *start as usize <= position) - 1
    }
}

/// A stable counting sort: sources and times in order of (place, request, row), and by place the position where it ends.
fn by_series(parts: &[Arc<DayPart>], series: &SeriesOrder) -> (Vec<Source>, Vec<i64>, Vec<u32>) {
    let mut next = vec![0u32; series.len()];
    for part in 0..parts.len() {
        series.each_place(parts, part, 0..parts[part].rows(), |_, place| next[place as usize] += 1);
    }
    let mut rows = 0;
    for next in &mut next {
        let count = *next;
        *next = rows;
        rows += count;
    }
    let mut sources = vec![Source::default(); rows as usize];
    let mut time = vec![0; rows as usize];
    let mut positions = Vec::new();
    for (part, rows) in in_order_of_writing(parts) {
        for rows in pieces(rows) {
            positions.clear();
            series.each_place(parts, part, rows.clone(), |row, place| {
                let position = next[place as usize];
                next[place as usize] += 1;
                sources[position as usize] = Source { part: part as u32, row };
                positions.push(position);
            });
            let mut positions = positions.iter();
            parts[part].time.each(rows, |value| {
                if let Some(position) = positions.next() {
                    time[*position as usize] = value;
                }
            });
        }
    }
    (sources, time, next)
}

/// `rows` in pieces so small that what is noted of them stays in the cache.
fn pieces(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    const ROWS: usize = 1024;
    let starts = rows.clone().step_by(ROWS);
    starts.map(move |start| start..rows.end.min(start + ROWS))
}

/// Part and rows of each run, by request number.
fn in_order_of_writing(parts: &[Arc<DayPart>]) -> Vec<(usize, Range<usize>)> {
    let mut runs = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let ends = part.runs.iter().skip(1).map(|run| run.first_row as usize).chain([part.rows()]);
        runs.extend(part.runs.iter().zip(ends).map(|(run, end)| (run.request, index, run.first_row as usize..end)));
    }
    // Parts are ascending in themselves, so that with one part there is nothing to do.
    runs.sort_by_key(|(request, ..)| *request);
    let mut merged: Vec<(usize, Range<usize>)> = Vec::new();
    for (_, part, rows) in runs {
        match merged.last_mut() {
            Some((last, before)) if *last == part && before.end == rows.start => before.end = rows.end,
            _ => merged.push((part, rows)),
        }
    }
    merged
}

/// Sorts one series by time and keeps the order of writing among equal times. True if a time is there twice.
fn sort_by_time(sources: &mut [Source], time: &mut [i64], scratch: &mut Vec<(i64, u32, Source)>) -> bool {
    if time.is_sorted_by(|a, b| a < b) {
        return false;
    }
    if !time.is_sorted() {
        scratch.clear();
        scratch.extend(time.iter().zip(0..).zip(&*sources).map(|((time, index), source)| (*time, index, *source)));
        scratch.sort_unstable_by_key(|(time, index, _)| (*time, *index));
        for ((time, source), sorted) in time.iter_mut().zip(sources).zip(&*scratch) {
            (*time, *source) = (sorted.0, sorted.2);
        }
    }
    time.windows(2).any(|pair| pair[0] == pair[1])
}

/// Makes rows of positions: leaves each time of a series once and answers where the rows start.
fn collapse(time: &mut Vec<i64>, series_ends: &mut [u32]) -> Vec<u32> {
    let mut starts = Vec::with_capacity(time.len() + 1);
    let mut position = 0;
    for end in series_ends {
        let first = starts.len();
        while position < *end as usize {
            let same = starts.len() > first && time[starts.len() - 1] == time[position];
            if !same {
                time[starts.len()] = time[position];
                starts.push(position as u32);
            }
            position += 1;
        }
        *end = starts.len() as u32;
    }
    time.truncate(starts.len());
    starts.push(position as u32);
    starts
}
